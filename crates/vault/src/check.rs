//! `vault check`: everything there is, opened and held against everything else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::audit::{self, ChangeMark, Verified};
use crate::ledger::{self, OwnKeys};
use crate::state::pin::Standing;
use crate::state::record;
use crate::state::tree::Bucket;
use crate::store::{HeaderRow, ObjectKind, Stray, Tag, VersionRow};
use crate::token::check::device;
use crate::unlock::slot;
use keyvault_core::crypto::SealingKey;
use keyvault_core::name::KeyName;
use keyvault_core::text::harmless_line;
use keyvault_os::process::cores::on_all_cores;

use super::error::{VaultError, is_damage};
use super::file::open::{Access, Vault};
use super::key::record::{KeyRecord, Version};
use super::key::removal::RemovedKey;
use super::tx::VerifiedTx;
use super::tx::index::{Entry, Index, Names, Scopes, bucket_of};
use super::tx::leaf;
use super::{issued, token};

/// Rows of unknown kinds that are named although the tree does not know them.
const NAMED_STRAYS: usize = 32;

/// How much sealed text is read before it is opened, in bytes.
const LOAD_BYTES: usize = 16 << 20;

/// Finding for log entries before the first, or behind the last.
pub(super) const BESIDE_THE_LOG: &str = "has rows that are no entries of the log";

/// Something that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The row, as table and name.
    pub row: String,
    /// The fault, in words that follow the row's name.
    pub what: String,
}

/// The row as the subject of its fault, or in front of a fault that has a subject of its own.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const VERBS: [&str; 7] = ["is", "has", "was", "does", "stands", "names", "grants"];
        let is_verb = self.what.split(' ').next().is_some_and(|first| VERBS.contains(&first));
        write!(f, "{}{} {}", harmless_line(&self.row), if is_verb { "" } else { ":" }, self.what)
    }
}

#[derive(Debug, Clone)]
pub struct Checked {
    /// Keys opened.
    pub keys: usize,
    /// Values opened.
    pub versions: usize,
    pub change: u64,
    /// How the file stands to the pin.
    pub standing: Standing,
    /// The vault's ledger, if it held.
    pub audit: Option<Verified>,
    /// Entries of devices' ledgers that held.
    pub reads: u64,
    /// Everything that does not hold.
    pub findings: Vec<Finding>,
}

/// Verifies the audit chain: from the start if root is there.
pub fn audit_log(vault: &mut Vault, access: &Access) -> Result<Verified, VaultError> {
    let seed = vault.seed(access)?;
    vault.read(access, |tx| Ok(audit::verify(tx.rows, &tx.daily.audit, &tx.identity, seed)?))
}

/// Rebuilds the tree, opens every row and compares state, pin and chain. Rows that do not hold are findings;
/// only what prevents any look at the rows is an error.
pub fn run(vault: &mut Vault, access: &Access) -> Result<Checked, VaultError> {
    let seed = vault.seed(access)?;
    let root = vault.seed_key(access);
    let witness = vault.pins.witness(&vault.identity(), vault.place());
    vault.read(access, |tx| {
        let (mut check, key_records, removed) = Check::rows(tx)?;
        for fault in tx.rows.page_faults()? {
            check.find("file", &fault);
        }
        let versions = check.values(tx, &key_records, &removed)?;
        let verified = audit::verify(tx.rows, &tx.daily.audit, &tx.identity, seed);
        let audit = match verified {
            Ok(verified) => {
                if tx.rows.count_entries(tx.daily.audit.ledger)? != verified.entries {
                    check.find("log", BESIDE_THE_LOG);
                }
                Some(verified)
            }
            Err(error) => {
                check.find("log", &error.to_string());
                None
            }
        };
        check.record(tx);
        let reads = check.reads_of_devices(tx, root.as_ref())?;
        let own = OwnKeys::of(&tx.daily.audit, witness.ledger(), &tx.identity);
        let head = own.load(tx.rows, &tx.identity).map(|chain| chain.mark());
        if head.is_ok_and(|head| witness.denies(&tx.identity, &head)) {
            check.find("log_head", "does not follow from the one that this machine wrote");
        }
        check.findings.sort();
        Ok(Checked {
            keys: key_records.len(),
            versions,
            change: tx.change_number(),
            standing: tx.standing(),
            audit,
            reads,
            findings: check.findings,
        })
    })
}

/// Returns `true` if something does not hold: of all rows, or without a key of the file's pages, as far as SQLite can
/// tell, and of rows that belong to nothing.
pub fn is_damaged(vault: &mut Vault, access: Option<&Access>) -> Result<bool, VaultError> {
    let looked = match access {
        Some(access) => run(vault, access).map(|checked| checked.findings.iter().any(|it| !it.is_of_reads())),
        None => vault
            .store
            .begin_reading()
            .and_then(|rows| Ok(!rows.page_faults()?.is_empty() || !rows.strays()?.is_empty()))
            .map_err(Into::into),
    };
    looked.or_else(|error| if is_damage(&error) { Ok(true) } else { Err(error) })
}

/// Rows that belong to nothing, as far as that shows without a key.
pub fn strays(vault: &mut Vault) -> Result<Vec<Stray>, VaultError> {
    Ok(vault.store.begin_reading()?.strays()?)
}

/// A key and the tag that its name has.
pub(super) struct Tagged {
    tag: Tag,
    pub(super) key: KeyRecord,
}

/// A version with its sealed texts.
type Unopened<'i> = (Of<'i>, &'i Version, VersionRow);

/// The key that a version is of.
#[derive(Clone, Copy)]
struct Of<'i> {
    key: &'i KeyRecord,
    is_removed: bool,
}

impl Of<'_> {
    /// The version as findings name it.
    fn version(self, version: &Version) -> String {
        let key = if self.is_removed { named_removed(self.key) } else { format!("key {}", self.key.name) };
        format!("{key} version {}", version.number)
    }
}

fn named_removed(key: &KeyRecord) -> String {
    format!("removed key {}", key.name)
}

pub(super) struct Check {
    findings: Vec<Finding>,
    /// Leaves that no row has claimed yet.
    leaves: Bucket,
}

impl Check {
    /// Every row but those of values and of the log, held against the tree and against the others; the keys and removed keys
    /// among them.
    pub(super) fn rows(tx: &mut VerifiedTx<'_>) -> Result<(Self, Vec<Tagged>, Vec<RemovedKey>), VaultError> {
        tx.rows.pass_over_malformed();
        let mut check = Self { findings: Vec::new(), leaves: BTreeMap::new() };
        for fault in tx.tree.check()? {
            let (row, what) = fault.split_once(": ").unwrap_or(("tree", &fault));
            check.find(row, what);
        }
        check.leaves = tx.rows.leaves(&[0; 16], &[0xFF; 16])?.into_iter().collect();
        check.header_and_slots(tx)?;
        let keys = check.keys(tx)?;
        check.scopes(tx, &keys)?;
        check.names(tx, &keys)?;
        let removed = check.removed(tx)?;
        check.tokens(tx, &keys)?;
        check.unknown_objects(tx)?;
        let issued = issued::find(tx)?;
        for (row, what) in &issued.faults {
            check.find(row, what);
        }
        // A record that does not hold is a finding already.
        if let Ok(mut tokens) = token::load_all(tx) {
            tokens.extend(token::former::that_hold(tx)?.into_iter().map(|former| former.record));
            for (row, what) in issued.strangers(&tokens) {
                check.find(&row, &what);
            }
        }
        for tag in check.leaves.keys().copied().collect::<Vec<_>>() {
            check.find(&format!("leaf {}", hex(&tag)), "stands for no row");
        }
        for table in tx.rows.malformed() {
            check.find(&table, "has rows of another shape");
        }
        Ok((check, keys, removed))
    }

    /// The findings, in the order in which rows were looked at.
    pub(super) fn into_findings(mut self) -> Vec<Finding> {
        self.findings.sort();
        self.findings
    }

    pub(super) fn find(&mut self, row: &str, what: &str) {
        self.findings.push(Finding { row: row.to_owned(), what: what.to_owned() });
    }

    /// A row claims its leaf.
    pub(super) fn claim(&mut self, row: &str, tag: &Tag, leaf: Tag) {
        match self.leaves.remove(tag) {
            Some(known) if known == leaf => {}
            Some(_) => self.find(row, "is not the one that the tree knows"),
            None => self.find(row, "was added: the tree does not know it"),
        }
    }

    /// Each device's ledger. That the list of them does not hold is found elsewhere.
    fn reads_of_devices(
        &mut self,
        tx: &mut VerifiedTx<'_>,
        root: Option<&SealingKey>,
    ) -> Result<u64, VaultError> {
        let mut reads = 0;
        let verified = match ledger::verify(tx, root) {
            Err(error) if is_damage(&error) => return Ok(reads),
            verified => verified?,
        };
        for (id, entries) in verified {
            match entries {
                Ok(entries) => reads += entries,
                Err(fault) => self.find_reads(&device(&id), &fault.to_string()),
            }
        }
        Ok(reads)
    }

    /// The entry that the record names must be of the record's change. That the chain does not hold is found elsewhere.
    fn record(&mut self, tx: &VerifiedTx<'_>) {
        let record = &tx.current.record;
        let mut mark = None;
        let last = record.audit_count.saturating_sub(1)..record.audit_count;
        let take = &mut |_, event: audit::Event| mark = event.change;
        if audit::read_range(tx.rows, &tx.daily.audit, &tx.identity, last, take).is_ok()
            && mark != Some(ChangeMark { number: record.change, previous: record.previous })
        {
            self.find("state", "names an entry of another change");
        }
    }

    /// A session is shown by MACs alone that nothing was altered; a bearer looks at signatures.
    fn signatures(&mut self, tx: &VerifiedTx<'_>, header: &HeaderRow) -> Result<(), VaultError> {
        let signer = tx.daily.signing.signer();
        if header.signer != signer.encode() {
            self.find("vault", "names a signer that is not the one of the vault's everyday keys");
        }
        if !record::is_signed_by(tx.rows, &signer, &tx.identity)? {
            self.find("state", "is not signed by the vault's everyday keys");
        }
        Ok(())
    }

    fn header_and_slots(&mut self, tx: &VerifiedTx<'_>) -> Result<(), VaultError> {
        let header = tx.rows.header()?;
        self.claim("vault", &tx.header_tag(), tx.header_leaf(&header));
        self.signatures(tx, &header)?;
        let slots = tx.rows.slots()?;
        for slot in &slots {
            let tag = tx.slot_tag(slot.id);
            self.claim(&format!("slot {}", slot.id), &tag, tx.slot_leaf(slot));
            if let Err(why) = slot::kind(slot) {
                self.find(&format!("slot {}", slot.id), &why.to_string());
            }
        }
        if let Some((rows, lowest)) = tx.rows.slots_beyond()? {
            let what = format!("has a number that no slot has; such rows: {rows}");
            self.find(&format!("slot {lowest}"), &what);
        }
        Ok(())
    }

    fn keys(&mut self, tx: &VerifiedTx<'_>) -> Result<Vec<Tagged>, VaultError> {
        let rows = tx.rows.objects(ObjectKind::Key)?;
        let (opener, tree, index) = (tx.opener(), &tx.daily.tree, &tx.daily.index);
        let results = on_all_cores(&rows, |row| {
            let key = opener.object::<KeyRecord>(row).map(|key| {
                let tag = leaf::tag(index, ObjectKind::Key as u8, key.name.as_str().as_bytes());
                Tagged { tag, key }
            });
            (leaf::object_leaf(tree, row), key)
        });
        let mut keys = Vec::with_capacity(rows.len());
        for (row, (leaf, result)) in rows.iter().zip(results) {
            let named = match result {
                Ok(tagged) => {
                    let name = format!("key {}", tagged.key.name);
                    if tagged.tag == row.tag {
                        keys.push(tagged);
                    } else {
                        self.find(&name, "stands where another name belongs");
                    }
                    name
                }
                Err(error) => {
                    let name = row.place();
                    self.find(&name, &error.fault());
                    name
                }
            };
            self.claim(&named, &row.tag, leaf);
        }
        Ok(keys)
    }

    fn removed(&mut self, tx: &VerifiedTx<'_>) -> Result<Vec<RemovedKey>, VaultError> {
        let mut removed = Vec::new();
        for row in tx.rows.objects(ObjectKind::Removed)? {
            let found = tx.opener().object::<RemovedKey>(&row);
            let named = found.as_ref().map_or_else(|_| row.place(), |found| named_removed(&found.key));
            self.claim(&named, &row.tag, tx.object_leaf(&row));
            match found {
                Ok(found) if tx.object_tag(ObjectKind::Removed, &found.key.id) == row.tag => {
                    removed.push(found);
                }
                Ok(_) => self.find(&named, "stands where another key belongs"),
                Err(error) => self.find(&named, &error.fault()),
            }
        }
        Ok(removed)
    }

    fn values(
        &mut self,
        tx: &VerifiedTx<'_>,
        key_records: &[Tagged],
        removed: &[RemovedKey],
    ) -> Result<usize, VaultError> {
        let keys = key_records.iter().map(|tagged| (&tagged.key, false));
        let keys = keys.chain(removed.iter().map(|removed| (&removed.key, true)));
        let mut named: BTreeMap<([u8; 16], u32), (Of<'_>, &Version)> = keys
            .flat_map(|(key, is_removed)| {
                key.versions.iter().map(move |version| (Of { key, is_removed }, version))
            })
            .filter(|(_, version)| version.digest.is_some())
            .map(|(of, version)| ((of.key.id, version.number), (of, version)))
            .collect();
        let count = named.len();
        // A load at a time: rows are read here, in the order in which they lie, and opened on all cores.
        let (mut load, mut bytes) = (Vec::new(), 0);
        tx.rows.each_version(|id, number, row| {
            if let Some((of, version)) = named.remove(&(id, number)) {
                bytes += row.wrapped.len() + row.sealed.len();
                load.push((of, version, row));
            }
            if bytes >= LOAD_BYTES {
                self.open_values(tx, &load);
                load.clear();
                bytes = 0;
            }
            Ok(())
        })?;
        self.open_values(tx, &load);
        for (of, version) in named.into_values() {
            self.find(&of.version(version), "is missing");
        }
        let known = u64::try_from(count).unwrap_or(u64::MAX);
        let rows = tx.rows.count_versions()?;
        if rows > known {
            let unnamed = rows - known;
            let noun = if unnamed == 1 { "row" } else { "rows" };
            self.find("version", &format!("has {unnamed} {noun} that no key names"));
        }
        Ok(count)
    }

    fn open_values(&mut self, tx: &VerifiedTx<'_>, load: &[Unopened<'_>]) {
        let opener = tx.opener();
        let faults = on_all_cores(load, |(of, version, row)| match opener.value(&of.key.id, version, row) {
            Ok(_) => None,
            Err(error) => Some(error.fault()),
        });
        for ((of, version, _), fault) in load.iter().zip(faults) {
            if let Some(fault) = fault {
                self.find(&of.version(version), &fault);
            }
        }
    }

    fn names(&mut self, tx: &VerifiedTx<'_>, keys: &[Tagged]) -> Result<(), VaultError> {
        let mut expected: BTreeMap<Vec<u8>, BTreeSet<KeyName>> = BTreeMap::new();
        for Tagged { tag, key } in keys {
            expected.entry(vec![bucket_of(tag)]).or_default().insert(key.name.clone());
        }
        let named = |name: &[u8]| format!("names {}", name.iter().map(u8::to_string).collect::<String>());
        self.index::<Names>(tx, expected, named, "has other names than the keys that are there")
    }

    fn scopes(&mut self, tx: &VerifiedTx<'_>, keys: &[Tagged]) -> Result<(), VaultError> {
        let mut expected: BTreeMap<Vec<u8>, BTreeSet<Tag>> = BTreeMap::new();
        for Tagged { tag, key } in keys {
            for scope in &key.scopes {
                expected.entry(scope.as_str().into()).or_default().insert(*tag);
            }
        }
        let named = |name: &[u8]| format!("scope {}", String::from_utf8_lossy(name));
        self.index::<Scopes>(tx, expected, named, "lists other keys than those that carry it")
    }

    /// Every entry of an index, held against the members that it must have.
    fn index<I: Index>(
        &mut self,
        tx: &VerifiedTx<'_>,
        expected: BTreeMap<Vec<u8>, BTreeSet<I::Member>>,
        named: impl Fn(&[u8]) -> String,
        others: &str,
    ) -> Result<(), VaultError> {
        let place = |(name, members): (Vec<u8>, _)| (tx.object_tag(I::KIND, &name), (name, members));
        let mut expected: BTreeMap<Tag, (Vec<u8>, BTreeSet<I::Member>)> =
            expected.into_iter().map(place).collect();
        for row in tx.rows.objects(I::KIND)? {
            let wanted = expected.remove(&row.tag);
            let found = wanted.as_ref().map_or_else(|| row.place(), |(name, _)| named(name));
            self.claim(&found, &row.tag, tx.object_leaf(&row));
            let (name, members) = wanted.unwrap_or_default();
            match tx.opener().object::<Entry<I>>(&row) {
                Err(error) => self.find(&found, &error.fault()),
                Ok(entry) if !members.is_empty() && entry.name != name => {
                    self.find(&found, "is sealed under another name");
                }
                Ok(entry) if entry.members.iter().ne(&members) => self.find(&found, others),
                Ok(_) => {}
            }
        }
        for (name, _) in expected.into_values() {
            self.find(&named(&name), "is missing");
        }
        Ok(())
    }

    /// Objects of a later version are not read; they must be in their place. Of those that the tree does not know only the
    /// first are named, since anyone who can write the file can add any number.
    fn unknown_objects(&mut self, tx: &VerifiedTx<'_>) -> Result<(), VaultError> {
        let (mut added, mut misplaced) = (0_usize, false);
        for (_, place) in tx.rows.places_of_unknown_kinds()? {
            let is_known = |(_, tag): &(u8, Tag)| self.leaves.contains_key(tag) || added < NAMED_STRAYS;
            let known = place.filter(is_known);
            let row = known.map(|(kind, tag)| tx.rows.object_of_kind(kind, &tag)).transpose()?.flatten();
            let Some(row) = row else {
                misplaced |= place.is_none();
                added += usize::from(place.is_some());
                continue;
            };
            let named = row.place();
            added += usize::from(!self.leaves.contains_key(&row.tag));
            self.claim(&named, &row.tag, tx.object_leaf(&row));
            match tx.opener().content(&row) {
                _ if row.is_none() => self.find(&named, "is of a kind that no object has"),
                Err(error) => self.find(&named, &error.to_string()),
                Ok(content) if tx.opener().tag_of_content(&row, &content) == Ok(row.tag) => {}
                Ok(_) => self.find(&named, "stands where another name belongs"),
            }
        }
        if misplaced {
            self.find("object", "has rows of another shape");
        }
        if added > NAMED_STRAYS {
            self.find("object", &format!("has {added} rows of unknown kinds that the tree does not know"));
        }
        Ok(())
    }
}

pub(super) fn hex(tag: &Tag) -> String {
    data_encoding::HEXLOWER.encode(tag)
}
