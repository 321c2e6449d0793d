//! A new root, and everything sealed anew under it: the answer to a passphrase, a session or an old copy that somebody
//! else may have.
//!
//! One transaction. Keys, values, scopes, names, the log and the state get new seals under the next epoch; nothing that
//! opened the file before opens it afterwards but the credentials that were presented. The log keeps its entries word
//! for word, and a pin of the old epoch is still led to the new record by them.

use crate::audit::{Action, Chain, KeyRef, Seed};
use crate::store::{Durability, HeaderRow, MAX_SLOTS, SlotRow};
use crate::unlock::keys::{DailyKeys, Root};
use keyvault_core::identity::Identity;
use keyvault_core::name::TokenName;

use super::{Credential, Way, way};
use crate::error::VaultError;
use crate::file::open::{Access, Notice, Vault, World, remember};
use crate::file::restore_guard::is_damage;
use crate::file::survivors::{Loss, Survivors, named_versions};
use crate::key::record::Item;
use crate::token::Issued;
use crate::tx::{Setting, Work};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// Keys that would be sealed anew.
    pub keys: usize,
    pub ways: Vec<Way>,
    /// The tokens in force, each of which would get another secret.
    pub tokens: Vec<TokenName>,
    /// What would not be carried over.
    pub loss: Loss,
}

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
    /// What was damaged and is not carried over.
    pub loss: Loss,
}

/// What does not depend on the keys that a vault has.
pub(crate) struct Frame<'f> {
    pub(crate) header: &'f HeaderRow,
    pub(crate) slots: &'f [SlotRow],
    pub(crate) seed: Seed,
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
    /// What a rekey would carry over and what it would end, by a look that changes nothing.
    pub fn before_rekey(&mut self, access: &Access) -> Result<Outlook, VaultError> {
        let first_key = self.seed(access).ok().flatten();
        self.read_damaged(access, |work| {
            let mut found = work.survivors(first_key)?;
            found.loss.values = work.lost_values(&found.items)?;
            let in_force = found.tokens.into_iter().filter(|token| token.revoked.is_none());
            Ok(Outlook {
                keys: found.items.len(),
                ways: found.slots.iter().filter_map(way).collect(),
                tokens: in_force.map(|token| token.name).collect(),
                loss: found.loss,
            })
        })
    }

    /// Seals everything anew under a new root, which `credentials` open and nothing else. `kept` are what
    /// opened the slots of today whose secrets are among them; each must still stand as it was opened, and so must the
    /// slot that `access` opened. `progress` is told how many keys are done. What is damaged is left out and told.
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
        let first_key = self.seed(access).ok().flatten();
        let (keys, identity) = self.keys(access);
        let path = self.store.path().to_owned();
        // Derived before the transaction, which others would have to wait for.
        let next = Next::create(identity, credentials, world)?;
        let tx = self.store.begin(Durability::Synced, &mut |waited| world.wait(waited, &identity))?;
        let held = world.holders.hold(&identity);
        let memory = remember(&mut self.memory, world.pins.read(&identity, &path));
        self.checked.still_same()?;
        let setting = Setting { keys: &keys, identity, memory, slot: access.slot.as_ref() };
        let mut old = Work::load_damaged(&tx, &setting)?;
        old.refuse_in_alarm(&path)?;
        let mut found = old.survivors(first_key)?;
        let slots = std::mem::take(&mut found.slots);
        let kept: Vec<_> = kept.iter().filter_map(|access| access.slot.as_ref()).collect();
        // Somebody may have taken one away, or put another in its place, while the new ones were derived.
        if !kept.iter().copied().chain(&access.slot).all(|opened| slots.contains(opened)) {
            return Err(VaultError::WaysChanged);
        }
        let dropped: Vec<_> = slots.iter().filter(|slot| !kept.contains(slot)).filter_map(way).collect();
        let tokens = old.tokens_to_renew(&found.tokens, world)?;
        tx.clear_tokens()?;
        let mut new = Work::begin(&tx, &next.keys, next.identity, old.current);
        let ways = next.slots.iter().filter_map(way).collect();
        let tombs = found.tombs();
        let frame = Frame { header: &next.header, slots: &next.slots, seed: next.seed };
        let items = new.seal_anew(&old, frame, &mut found, world, progress)?;
        let count = items.len();
        let mut tokens = new.renew_all(tokens, &items, world)?;
        drop(items);
        // One that has expired keeps its record; nobody needs its new secret.
        tokens.retain(|issued| !issued.record.expired(world.now()));
        let epoch = next.identity.epoch;
        let gone =
            dropped.iter().fold(String::new(), |text, way| text + &format!(", dropped slot {}", way.id));
        let detail = tombs.behind(&found.loss.behind(format!("epoch {epoch}{gone}")));
        let event = world.event(Action::Rekey, Vec::new(), detail);
        let seen = new.seal_change(event, world)?;
        keyvault_core::crypto::wipe_stack();
        drop((old, new));
        self.checked.still_same()?;
        tx.commit()?;
        drop(held);
        self.header = next.header;
        let pinned = world.pins.advance(&next.identity, &path, &seen);
        pinned.unwrap_or_else(|error| world.note(Notice::NotPinned(error)));
        self.compact(world);
        Ok(Rekeyed { epoch, keys: count, dropped, ways, tokens, loss: found.loss })
    }
}

impl Work<'_> {
    /// Writes what survived of `old` anew, all but tokens; returns the keys. Values that do not hold are added to what
    /// is lost.
    pub(crate) fn seal_anew(
        &mut self,
        old: &Work<'_>,
        frame: Frame<'_>,
        found: &mut Survivors,
        world: &World<'_>,
        progress: &dyn Fn(usize),
    ) -> Result<Vec<Item>, VaultError> {
        self.tx.clear_sealed()?;
        self.put_header(frame.header)?;
        frame.slots.iter().try_for_each(|slot| self.put_slot(slot))?;
        let events = std::mem::take(&mut found.log.events);
        Chain::rewrite(frame.seed, self.tx, &self.keys.audit, &self.identity, &events, world.rng)?;
        drop(events);
        let mut items = std::mem::take(&mut found.items);
        for (done, item) in items.iter_mut().enumerate() {
            self.move_item(old, item, &mut found.loss.values, world)?;
            progress(done + 1);
        }
        self.tx.delete_other_versions(&named_versions(&items))?;
        Ok(items)
    }

    /// Seals a key of `old` anew, each value as it passes.
    fn move_item(
        &mut self,
        old: &Work<'_>,
        item: &mut Item,
        lost: &mut Vec<KeyRef>,
        world: &World<'_>,
    ) -> Result<(), VaultError> {
        let id = item.id;
        for version in item.versions.iter_mut().filter(|version| version.digest.is_some()) {
            match old.value(&id, version) {
                Ok(value) => {
                    version.digest = Some(self.put_value(&id, version.number, &value, world.rng)?);
                    version.fingerprint = self.opener().fingerprint(&value);
                }
                Err(error) if is_damage(&error) => {
                    lost.push(KeyRef { name: item.name.to_string(), version: version.number });
                    version.lose_value(world.now());
                }
                Err(error) => return Err(error),
            }
        }
        self.settle(item, world.now())?;
        self.put_item(item, world.rng)?;
        self.enter(None, Some(item));
        Ok(())
    }
}
