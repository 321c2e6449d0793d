//! A new root, and everything sealed anew under it: the answer to a passphrase, a session or an old copy that somebody
//! else may have.
//!
//! One transaction. Keys, values, scopes, names, the log and the state get new seals under the next epoch; nothing that
//! opened the file before opens it afterwards but the credentials that were presented. The log keeps its entries word
//! for word, and a pin of the old epoch is still led to the new record by them.

use crate::audit::{self, Action, Chain, Event, Seed};
use crate::store::{Durability, HeaderRow, MAX_SLOTS, SlotRow, StoreError, Tx};
use crate::unlock::keys::{DailyKeys, Root};
use keyvault_core::identity::Identity;

use super::{Credential, Way, way};
use crate::error::VaultError;
use crate::file::open::{Access, Notice, Vault, World, remember};
use crate::key::record::Item;
use crate::token::Issued;
use crate::tx::{Setting, Work};

/// What a rekey did.
pub struct Rekeyed {
    /// The new epoch.
    pub epoch: u32,
    /// Keys sealed anew.
    pub keys: usize,
    /// The ways in that are gone, as they were numbered.
    pub dropped: Vec<Way>,
    /// The ways in that there are now.
    pub ways: Vec<Way>,
    /// The tokens, each under a new secret; the old ones open nothing any more.
    pub tokens: Vec<Issued>,
}

/// The next epoch before its transaction.
struct Next {
    identity: Identity,
    keys: DailyKeys,
    header: HeaderRow,
    seed: Seed,
    slots: Vec<SlotRow>,
}

impl Next {
    fn create(
        identity: Identity,
        credentials: &[Credential<'_>],
        world: &World<'_>,
    ) -> Result<Self, VaultError> {
        let identity = Identity { epoch: identity.epoch + 1, ..identity };
        let root = Root::create(world.rng)?;
        let (seed, chain_seed) = Seed::create(&root.seed_key(&identity), &identity, world.rng)?;
        let slots = (1..)
            .zip(credentials)
            .map(|(id, credential)| credential.seal(id, &root, &identity, world))
            .collect::<Result<_, _>>()?;
        let header = HeaderRow {
            vault_id: identity.vault_id,
            epoch: identity.epoch,
            written_by: env!("CARGO_PKG_VERSION").to_owned(),
            chain_seed,
        };
        Ok(Self { identity, keys: root.daily(&identity).keys(&identity), header, seed, slots })
    }
}

impl Vault {
    /// Seals everything anew under a new root, which `credentials` open and nothing else. `kept` are what
    /// opened the slots of today whose secrets are among them; each must still stand as it was opened. `progress` is told how many keys are done.
    pub fn rekey(
        &mut self,
        access: &Access,
        world: &World<'_>,
        credentials: &[Credential<'_>],
        kept: &[&Access],
        progress: &dyn Fn(usize),
    ) -> Result<Rekeyed, VaultError> {
        if !access.has_root() {
            return Err(VaultError::NeedsRoot);
        }
        if credentials.len() > MAX_SLOTS {
            return Err(VaultError::TooManyWays);
        }
        let first_key = self.seed(access)?;
        let (keys, identity) = self.keys(access);
        let path = self.store.path().to_owned();
        // Derived before the transaction, which others would have to wait for.
        let next = Next::create(identity, credentials, world)?;
        let tx = self.store.begin(Durability::Synced, &mut |waited| world.wait(waited, &identity))?;
        let held = world.holders.hold(&identity);
        let memory = remember(&mut self.memory, world.pins.read(&identity, &path));
        self.checked.still_same()?;
        let setting = Setting { keys: &keys, identity, memory, slot: access.slot.as_ref() };
        let mut old = Work::load(&tx, &setting)?;
        old.refuse_in_alarm(&path)?;
        audit::verify(&tx, &keys.audit, &identity, first_key)?;
        let slots = old.slots()?;
        let kept: Vec<_> = kept.iter().filter_map(|access| access.slot.as_ref()).collect();
        // Somebody may have taken one away, or put another in its place, while the new ones were derived.
        if !kept.iter().all(|kept| slots.contains(kept)) {
            return Err(VaultError::WaysChanged);
        }
        let dropped: Vec<_> = slots.iter().filter(|slot| !kept.contains(slot)).filter_map(way).collect();
        let items = old.items()?;
        refuse_strays(&tx, &items)?;
        let mut events = Vec::new();
        audit::read_all(&tx, &keys.audit, &identity, &mut |_, event: Event| events.push(event))?;
        let tokens = old.tokens_to_renew(world)?;
        tx.clear_sealed()?;
        tx.clear_tokens()?;
        let mut new = Work::begin(&tx, &next.keys, next.identity, old.current);
        let ways = next.slots.iter().filter_map(way).collect();
        new.put_header(&next.header)?;
        next.slots.iter().try_for_each(|slot| new.put_slot(slot))?;
        Chain::rewrite(next.seed, &tx, &next.keys.audit, &next.identity, &events, world.rng)?;
        drop(events);
        let count = items.len();
        let mut granted = Vec::new();
        for (done, item) in items.into_iter().enumerate() {
            let item = new.move_item(&old, item, world)?;
            granted.extend(tokens.iter().any(|(grantee, _)| grantee.rule.matches(&item)).then_some(item));
            progress(done + 1);
        }
        let mut tokens = new.renew_all(tokens, &granted, world)?;
        // One that has expired keeps its record; nobody needs its new secret.
        tokens.retain(|issued| !issued.record.expired(world.now()));
        let epoch = next.identity.epoch;
        let gone =
            dropped.iter().fold(String::new(), |text, way| text + &format!(", dropped slot {}", way.id));
        let event = world.event(Action::Rekey, Vec::new(), format!("epoch {epoch}{gone}"));
        let seen = new.seal_change(event, world)?;
        keyvault_core::crypto::wipe_stack();
        drop((old, new));
        self.checked.still_same()?;
        tx.commit()?;
        drop(held);
        self.header = next.header;
        let pinned = world.pins.advance(&next.identity, &path, &seen);
        pinned.unwrap_or_else(|error| (world.notice)(Notice::NotPinned(error)));
        self.compact(world);
        Ok(Rekeyed { epoch, keys: count, dropped, ways, tokens })
    }
}

/// Rows of versions that no key names would stay behind, sealed under the old epoch.
fn refuse_strays(tx: &Tx<'_>, items: &[Item]) -> Result<(), VaultError> {
    let named =
        items.iter().flat_map(|item| &item.versions).filter(|version| version.digest.is_some()).count();
    let named = u64::try_from(named).unwrap_or(u64::MAX);
    if tx.count_versions()? == (named, named) {
        Ok(())
    } else {
        Err(StoreError::Damaged { what: "version_key: has rows that no key names".to_owned() }.into())
    }
}

impl Work<'_> {
    /// Seals a key of `old` anew, each value as it passes.
    fn move_item(&mut self, old: &Work<'_>, mut item: Item, world: &World<'_>) -> Result<Item, VaultError> {
        let id = item.id;
        for version in item.versions.iter_mut().filter(|version| version.digest.is_some()) {
            let value = old.value(&id, version)?;
            version.digest = Some(self.put_value(&id, version.number, &value, world.rng)?);
            version.fingerprint = self.opener().fingerprint(&value);
        }
        self.settle(&mut item, world.now())?;
        self.put_item(&mut item, world.rng)?;
        self.enter(None, Some(&item));
        Ok(item)
    }
}
