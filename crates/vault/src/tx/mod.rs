//! One transaction: every row that is read is verified, every row that is written is entered in the tree.

pub(crate) mod index;
pub(crate) mod leaf;
pub(crate) mod names;
pub(crate) mod object;
pub(crate) mod sealed;

use std::collections::BTreeMap;
use std::path::Path;

use crate::audit::{Action, Chain, ChangeMark, Event, HeadMark};
use crate::state::StateError;
use crate::state::pin::{self, Memory, Standing};
use crate::state::record::{Authentic, Record, SignedBy};
use crate::state::tree::Tree;
use crate::store::{HIGHEST_SLOT, HeaderRow, Ledger, ObjectKind, SlotRow, StoreError, Tag, Tx, VersionRow};
use crate::unlock::keys::DailyKeys;
use keyvault_core::clock::{Moment, Rng};
use keyvault_core::codec::Extensions;
use keyvault_core::crypto::{Digest, Hash, SealingKey};
use keyvault_core::identity::Identity;
use keyvault_core::name::KeyName;
use keyvault_core::secret::SecretBytes;

use self::index::IndexChanges;
use self::sealed::{Opener, VALUE, VERSION_KEY, of_version};
use super::error::VaultError;
use super::file::open::World;
use super::key::record::{KeyRecord, Version};
use super::key::removal::{self, RemovedKey};
use crate::issued::Entries;
use crate::{issued, ledger, slot, token};

/// 2026-01-01T00:00:00Z: no vault is older.
const FIRST_VAULT: Moment = Moment(1_767_225_600_000);

pub(crate) struct Setting<'a> {
    pub(crate) keys: &'a DailyKeys,
    pub(crate) identity: Identity,
    pub(crate) memory: &'a Memory,
    pub(crate) slot: Option<&'a SlotRow>,
}

/// One transaction on a vault whose record, header, and standing have been verified.
pub struct VerifiedTx<'a> {
    pub(crate) rows: &'a Tx<'a>,
    pub(crate) daily: &'a DailyKeys,
    pub(crate) identity: Identity,
    pub(crate) current: Authentic,
    pub(crate) tree: Tree<'a>,
    /// SHA-256 of the list of sets, as the record has it or this change leaves it.
    pub(crate) sets: Hash,
    pub(crate) leaf_changes: BTreeMap<Tag, Option<Digest>>,
    pub(crate) index_changes: IndexChanges,
    /// A record that this change rewrites although a later version put something into it.
    pub(crate) newer: Option<String>,
    /// Set by a change that only takes something away and whose action does not say so.
    pub(crate) takes_away: bool,
    /// The change's number is above this.
    pub(crate) floor: u64,
    /// Set once the change has looked for tokens.
    pub(crate) has_tokens: Option<bool>,
    /// Issuers, verifiers, and sets of this change.
    pub(crate) entries: Entries,
    /// Entries that the log gets before this change's own.
    pub(crate) carried: Vec<Event>,
    /// Keys that this change writes or removes, if there is a token.
    pub(crate) touched: BTreeMap<[u8; 16], Option<KeyRecord>>,
    /// The ledger of this device's reads, as far as this machine remembers one.
    pub(crate) device: Ledger,
    /// Where the vault's ledger stood before this transaction's entry, and where it stands behind it.
    log_moved: Option<(HeadMark, HeadMark)>,
    standing: Standing,
    pinned: Option<u64>,
}

impl<'a> VerifiedTx<'a> {
    /// Verifies the record, its place in the audit chain, the header, the opened slot, and the standing to the pin.
    pub(crate) fn load(rows: &'a Tx<'a>, setting: &Setting<'a>) -> Result<Self, VaultError> {
        let (mut tx, header) = Self::open(rows, setting, Record::load)?;
        tx.hold_chain_against_record()?;
        tx.expect_leaf(&tx.header_tag(), Some(tx.header_leaf(&header)), "vault")?;
        if let Some(slot) = setting.slot {
            slot::expect_opened(&mut tx, slot)?;
        }
        Ok(tx)
    }

    /// Verifies the record and the standing to the pin, and nothing else: for [`file::survivors`](crate::file::survivors()), which needs no more
    /// to tell what the record proves from what it does not.
    pub(crate) fn load_damaged(rows: &'a Tx<'a>, setting: &Setting<'a>) -> Result<Self, VaultError> {
        rows.pass_over_malformed();
        let (mut tx, _) = Self::open(rows, setting, Record::load_to_recover)?;
        let extensions = std::mem::take(&mut tx.current.record.extensions);
        if let Some(field) = extensions.must_be_known() {
            tx.newer = Some(format!("the state record has field {field}"));
        }
        tx.current.record.extensions = extensions.without_narrowing();
        Ok(tx)
    }

    fn open(
        rows: &'a Tx<'a>,
        setting: &Setting<'a>,
        load: fn(&Tx<'_>, &SealingKey, &Identity) -> Result<Authentic, StateError>,
    ) -> Result<(Self, HeaderRow), VaultError> {
        let Setting { keys, identity, memory, .. } = *setting;
        let header = rows.header()?;
        if header.vault_id == identity.vault_id && header.epoch != identity.epoch {
            return Err(VaultError::Rekeyed);
        }
        let current = load(rows, &keys.state, &identity)?;
        let standing = pin::judge(memory, &current, rows, &keys.audit, &identity)?;
        let pinned = memory.pin().map(|pin| pin.change);
        let tree = Tree::new(rows, &keys.tree, Some(current.record.root));
        Ok((Self { tree, standing, pinned, ..Self::begin(rows, keys, identity, current) }, header))
    }

    /// A transaction on a vault without rows that continues after `current`.
    pub(crate) fn begin(
        rows: &'a Tx<'a>,
        daily: &'a DailyKeys,
        identity: Identity,
        current: Authentic,
    ) -> Self {
        let sets = current.record.sets;
        Self {
            rows,
            daily,
            identity,
            current,
            tree: Tree::new(rows, &daily.tree, None),
            sets,
            leaf_changes: BTreeMap::new(),
            index_changes: IndexChanges::default(),
            newer: None,
            takes_away: false,
            floor: 0,
            has_tokens: None,
            entries: Entries::default(),
            carried: Vec::new(),
            device: Ledger::Vault,
            touched: BTreeMap::new(),
            log_moved: None,
            standing: Standing::Same,
            pinned: None,
        }
    }

    /// How the file stands to what this machine last saw.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Returns `true` if the file is not what this machine expects at its path.
    pub(crate) fn alarms(&self) -> bool {
        self.standing.alarms()
    }

    /// The number of the last change.
    #[must_use]
    pub fn change_number(&self) -> u64 {
        self.current.record.change
    }

    pub(crate) fn pinned(&self) -> Option<u64> {
        self.pinned
    }

    pub(crate) fn refuse_in_alarm(&self, path: &Path) -> Result<(), VaultError> {
        match self.standing {
            Standing::FirstUse | Standing::Same | Standing::Ahead => Ok(()),
            Standing::RolledBack | Standing::Forked | Standing::OtherVault => Err(VaultError::Alarm {
                standing: self.standing,
                found: self.current.record.change,
                pinned: self.pinned.unwrap_or(0),
                path: path.to_owned(),
            }),
        }
    }

    /// The record says where the chain stood at its change; the chain must still pass through that point.
    fn hold_chain_against_record(&self) -> Result<(), VaultError> {
        let record = &self.current.record;
        let last = record.audit_count.checked_sub(1);
        let mac = last.map(|seq| self.rows.entry_mac(self.daily.audit.ledger, seq)).transpose()?.flatten();
        if mac == Some(record.audit_head) {
            return Ok(());
        }
        let what = "audit: the entry of the last change is not the one that the state record names";
        Err(StateError::Apart { what: what.to_owned() }.into())
    }

    // ── Tags and leaves ──────────────────────────────────────────────────────────────────────────────────────────

    pub(crate) fn header_tag(&self) -> Tag {
        leaf::header_tag(&self.daily.index)
    }

    pub(crate) fn slot_tag(&self, id: u32) -> Tag {
        leaf::slot_tag(&self.daily.index, id)
    }

    pub(crate) fn key_tag(&self, name: &KeyName) -> Tag {
        self.object_tag(ObjectKind::Key, name.as_str().as_bytes())
    }

    pub(crate) fn header_leaf(&self, header: &HeaderRow) -> Digest {
        leaf::header_leaf(&self.daily.tree, header)
    }

    pub(crate) fn slot_leaf(&self, slot: &SlotRow) -> Digest {
        leaf::slot_leaf(&self.daily.tree, slot)
    }

    pub(crate) fn put_header(&mut self, header: &HeaderRow) -> Result<(), VaultError> {
        self.rows.put_header(header)?;
        let leaf = self.header_leaf(header);
        self.leaf_changes.insert(self.header_tag(), Some(leaf));
        Ok(())
    }

    // ── Keys ─────────────────────────────────────────────────────────────────────────────────────────────────────

    /// A key by its name; `None` is proved.
    pub fn key(&mut self, name: &KeyName) -> Result<Option<KeyRecord>, VaultError> {
        self.object(name.as_str().as_bytes())
    }

    pub(crate) fn opener(&self) -> Opener<'a> {
        Opener { keys: self.daily, identity: self.identity }
    }

    /// Every key, ordered by name, each held against the tree, and none missing.
    pub(crate) fn keys(&mut self) -> Result<Vec<KeyRecord>, VaultError> {
        let leaves = self.tree.all_leaves()?;
        let rows = self.rows.objects(ObjectKind::Key)?;
        let mut keys = self.opener().open_all(&rows, &leaves)?;
        // The other leaves of the tree must be those of the other rows, word for word; a forged row excuses no missing
        // key.
        let slots = (1..=HIGHEST_SLOT).map(|id| self.slot_tag(id));
        let place = |tag: Tag| leaves.binary_search_by_key(&tag, |(tag, _)| *tag).ok();
        let slots = slots.filter_map(|tag| leaves.get(place(tag)?).copied()).collect();
        let others = self.other_leaves(slots)?;
        let known = |leaf: &(Tag, Digest)| leaves.binary_search(leaf).is_ok();
        if let Some((tag, _)) = others.iter().find(|leaf| !known(leaf)) {
            let what = format!("row {}: added or altered", data_encoding::HEXLOWER.encode(tag));
            return Err(StateError::Apart { what }.into());
        }
        if rows.len() + others.len() != leaves.len() {
            let missing = leaves.len().saturating_sub(rows.len() + others.len());
            return Err(
                StateError::Apart { what: format!("rows are missing: {missing} without a row") }.into()
            );
        }
        // Keys are large to move about; their names are sorted, and then each key goes to its place once.
        keys.sort_by_cached_key(|key| key.name.clone());
        Ok(keys)
    }

    /// The leaves that all rows but the keys' must have, after those of the slots: where only keys are asked for, a stray
    /// slot is no reason to keep them back.
    pub(crate) fn other_leaves(&self, slots: Vec<(Tag, Digest)>) -> Result<Vec<(Tag, Digest)>, VaultError> {
        let mut leaves = slots;
        leaves.push((self.header_tag(), self.header_leaf(&self.rows.header()?)));
        let objects = self.rows.objects_but_keys()?;
        leaves.extend(objects.iter().map(|row| (row.tag, self.object_leaf(row))));
        Ok(leaves)
    }

    /// Writes a key's metadata under its next revision.
    pub(crate) fn put_key(&mut self, key: &mut KeyRecord, rng: &dyn Rng) -> Result<(), VaultError> {
        key.last_change = self.next_change();
        self.put_object(key, key.revision, rng)?;
        key.revision += 1;
        token::touch(self, key.id, Some(key))
    }

    /// Takes a key's metadata away from where its name puts it. Its versions stay.
    pub(crate) fn delete_key_row(&mut self, name: &KeyName) -> Result<(), VaultError> {
        let tag = self.key_tag(name);
        self.delete_object(ObjectKind::Key, &tag)
    }

    // ── Values ───────────────────────────────────────────────────────────────────────────────────────────────────

    /// Seals a value under a key of its own, wraps that key, and returns what the metadata keeps of both.
    pub(crate) fn put_value(
        &self,
        key_id: &[u8; 16],
        version: u32,
        value: &SecretBytes,
        rng: &dyn Rng,
    ) -> Result<Digest, VaultError> {
        let key = SealingKey::random(rng)?;
        let at = of_version(key_id, version);
        let wrapped = VERSION_KEY.seal_key(&self.daily.wrapping, &self.identity, at, &key, rng)?;
        let sealed = VALUE.seal(&key, &self.identity, at, value.expose(), rng)?;
        let row = VersionRow { wrapped, sealed };
        if let Some(other) = self.rows.version_in_the_way(key_id, version)?
            && self.is_of_a_key(other)?
        {
            return Err(damaged("version: another one has its id"));
        }
        self.rows.put_version(key_id, version, &row)?;
        Ok(self.opener().version_digest(&row))
    }

    /// A version that no key names keeps nothing out of its place. All keys are opened: two versions hardly ever have one
    /// id, unless somebody put a row there.
    fn is_of_a_key(&self, (key_id, version): ([u8; 16], u32)) -> Result<bool, VaultError> {
        let opener = self.opener();
        let rows = self.rows.wellformed_objects(ObjectKind::Key)?;
        let keys = rows.iter().filter_map(|row| opener.object::<KeyRecord>(row).ok());
        let rows = self.rows.wellformed_objects(ObjectKind::Removed)?;
        let removed = rows.iter().filter_map(|row| opener.object::<RemovedKey>(row).ok());
        let mut keys = keys.chain(removed.map(|removed| removed.key));
        Ok(keys.any(|key| key.id == key_id && key.version(version).is_some()))
    }

    /// A version's value. Its row must be the one that the verified metadata names.
    pub(crate) fn value(&self, key_id: &[u8; 16], version: &Version) -> Result<SecretBytes, VaultError> {
        let row = self.version_row(key_id, version.number)?;
        self.opener().value(key_id, version, &row)
    }

    /// A version's sealed texts, not yet believed.
    pub(crate) fn version_row(&self, key_id: &[u8; 16], version: u32) -> Result<VersionRow, VaultError> {
        let missing = || StateError::Apart { what: format!("version {version} of a key: missing") };
        Ok(self.rows.version(key_id, version)?.ok_or_else(missing)?)
    }

    // ── Ending ───────────────────────────────────────────────────────────────────────────────────────────────────

    /// A clock that stands before any vault was made has lost the time; the last that is known counts then.
    fn no_earlier_than_possible(&self, time: Moment) -> Moment {
        if time < FIRST_VAULT { time.max(self.current.record.time) } else { time }
    }

    fn append_to_log(&mut self, event: &Event, rng: &dyn Rng) -> Result<Chain, VaultError> {
        let mut chain = Chain::load(self.rows, &self.daily.audit, &self.identity)?;
        let found = chain.mark();
        let carried = std::mem::take(&mut self.carried);
        let events = carried.iter().chain([event]);
        chain.append_all(self.rows, &self.daily.audit, &self.identity, events, rng)?;
        self.log_moved = Some((found, chain.mark()));
        Ok(chain)
    }

    /// This change's number. Adopting and restoring skip some, so that the result is ahead of all that was seen here.
    pub(crate) fn next_change(&self) -> u64 {
        self.current.record.change.max(self.floor) + 1
    }

    /// Notes that this change rewrites a record whose extensions no version before a later one knows.
    pub(crate) fn rewrites(&mut self, what: &str, extensions: &Extensions) {
        if let Some(field) = extensions.first() {
            self.newer.get_or_insert_with(|| format!("{what} has field {field}"));
        }
    }

    /// An extension of a later version may depend on the fields that this change alters. Only a change that takes
    /// something away, or reseals everything, copies extensions that are not known here.
    fn may_rewrite(&self, action: Action) -> Result<(), StateError> {
        use Action::{Adopt, Disable, Recover, Rekey, Remove, Restore, Revoke};
        let copies = self.takes_away
            || matches!(action, Adopt | Disable | Recover | Rekey | Remove | Restore | Revoke);
        match &self.newer {
            Some(what) if !copies => Err(StateError::Newer { what: what.clone() }),
            _ => Ok(()),
        }
    }

    /// Where this device's log of reads stood before this change, and where it stands behind it.
    pub(crate) fn log_moved(&self) -> Option<(HeadMark, HeadMark)> {
        ledger::end_of_own(self).map(|end| (end, end)).or(self.log_moved)
    }

    /// Ends a change: ledgers, tokens, indexes, tree, event, record.
    pub(crate) fn seal_change(&mut self, event: Event, world: &World<'_>) -> Result<Authentic, VaultError> {
        let extensions = self.current.record.extensions.clone();
        self.rewrites("the state record", &extensions);
        self.settle_unknown_objects()?;
        removal::wipe_overdue(self, world)?;
        let broken = ledger::settle(self, world)?;
        let event = match &broken {
            Some(broken) => event.with(broken),
            None => event,
        };
        token::former::settle(self, world)?;
        let mut unlisted = issued::list_raised(self, world)?;
        unlisted.extend(issued::note_holds(self, world)?);
        issued::follow_tokens(self, world)?;
        token::apply_changes(self, world)?;
        self.apply_index_changes(world.rng)?;
        self.may_rewrite(event.action)?;
        let number = self.next_change();
        let changes = std::mem::take(&mut self.leaf_changes);
        let root = self.tree.apply(&changes)?.ok_or_else(|| damaged("node: the tree is empty"))?;
        let parts = std::iter::once(event.detail).chain(unlisted).filter(|part| !part.is_empty());
        let detail = parts.collect::<Vec<_>>().join(", ");
        let event =
            Event { detail, change: Some(ChangeMark { number, previous: self.current.hash }), ..event };
        let chain = self.append_to_log(&event, world.rng)?;
        let record = Record {
            change: number,
            time: self.no_earlier_than_possible(event.time),
            root,
            audit_count: chain.count,
            audit_head: chain.head,
            sets: self.sets,
            signer: SignedBy::Epoch(self.daily.signing.signer().id()),
            previous: self.current.hash,
            extensions,
        };
        self.current = record.store(self.rows, &self.daily.signing, &self.daily.state, &self.identity)?;
        Ok(self.current.clone())
    }
}

/// Refuses a structure with a field that must be known to read it.
pub(crate) fn known(what: &str, extensions: &Extensions) -> Result<(), StateError> {
    match extensions.must_be_known() {
        Some(field) => Err(StateError::Newer { what: format!("{what} has field {field}") }),
        None => Ok(()),
    }
}

pub(crate) fn damaged(what: &str) -> VaultError {
    StoreError::Damaged { what: what.to_owned() }.into()
}
