//! One transaction in which keys are chosen and their reads are recorded.
//!
//! [`Reading::keys`] verifies every row before it is looked at; a reading that takes values ends in
//! [`Reading::commit`], in the transaction that read them, and a release demands the [`Recorded`] that it gives.
//! Dropped without, a reading leaves nothing behind.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use keyvault_core::clock::Moment;
use keyvault_core::crypto::wipe_stack;
use keyvault_core::identity::Identity;
use keyvault_core::name::KeyName;
use keyvault_core::secret::SecretBytes;

use super::Purpose;
use super::key_source::KeySource;
use super::unrecorded::{Recorded, Unrecorded};
use crate::audit::{Action, AfterChange, Chain, Event, LogGap};
use crate::error::VaultError;
use crate::file::open::{Access, Vault, World, remember, still_same};
use crate::file::rollback_alarm::tell_if_older;
use crate::key::record::Status;
use crate::ledger::OwnKeys;
use crate::state::pin::Memory;
use crate::state::witness::Witness;
use crate::store::{Durability, FileStore, Ledger, SlotRow, Store, Tx};
use crate::token::bearer::{BearerKeys, BearerTx, Granted};
use crate::token::bundle::Bundle;
use crate::token::offline_reads::ReadsLog;
use crate::token::read_log::fault_of;
use crate::tx::{Setting, VerifiedTx};
use crate::unlock::keys::DailyKeys;

/// A reading that can only look: there is nothing to commit.
///
/// ```compile_fail,E0599
/// use keyvault_vault::{Looking, Purpose, Reading};
///
/// fn release(reading: Reading<'_, Looking>, purpose: Purpose) {
///     let _ = reading.commit(purpose, []);
/// }
/// ```
#[derive(Debug)]
pub enum Looking {}

/// A reading that may end in a release.
///
/// ```
/// use keyvault_vault::{Purpose, Reading, Taking};
///
/// fn release(reading: Reading<'_, Taking>, purpose: Purpose) {
///     let _ = reading.commit(purpose, []);
/// }
/// ```
#[derive(Debug)]
pub enum Taking {}

/// An open transaction on the supplier of keys.
pub struct Reading<'r, M> {
    supplier: Supplier<'r>,
    world: &'r World<'r>,
    now: Moment,
    mode: PhantomData<M>,
}

/// The keys of a reading, verified.
pub struct Keys<'k>(Box<dyn KeySource + 'k>);

pub(crate) enum Supplier<'r> {
    Owner(Box<Owner<'r>>),
    Bearer(Box<BearerTx<'r>>),
    Bundle(Bundled<'r>),
}

/// A bundle has no transaction: nobody changes it.
pub(crate) struct Bundled<'r> {
    pub(crate) bundle: &'r Bundle,
    pub(crate) bearer: &'r BearerKeys,
    pub(crate) log: &'r ReadsLog,
}

impl<'r> From<Bundled<'r>> for Supplier<'r> {
    fn from(bundled: Bundled<'r>) -> Self {
        Self::Bundle(bundled)
    }
}

impl<'r> Reading<'r, Taking> {
    pub(crate) fn begin(supplier: Supplier<'r>, world: &'r World<'r>) -> Self {
        Self { supplier, world, now: world.now(), mode: PhantomData }
    }

    /// Records which versions the values were read from and for what, and commits.
    pub fn commit<'v>(
        self,
        purpose: Purpose,
        values: impl IntoIterator<Item = &'v Unrecorded>,
    ) -> Result<Recorded, VaultError> {
        let world = self.world;
        let read: BTreeSet<_> = values.into_iter().flat_map(Unrecorded::versions).cloned().collect();
        let keys = read.iter().map(|version| version.named.clone()).collect();
        let event = world.event(purpose.action, keys, purpose.detail);
        match self.supplier {
            Supplier::Owner(owner) => owner.commit(&event, world),
            Supplier::Bearer(bearer) => bearer.commit(&event, world),
            Supplier::Bundle(Bundled { bundle, bearer, log }) => {
                log.append(&bundle.label, &bearer.keys(&bundle.label.identity), &event, world.rng)
            }
        }?;
        Ok(Recorded(read))
    }

    /// The current values of those of these keys that are public and good, by name, once the log knows. Nothing is
    /// recorded if there is none.
    pub fn public_values(self, names: &[KeyName]) -> Result<BTreeMap<KeyName, SecretBytes>, VaultError> {
        let mut values = BTreeMap::new();
        {
            let mut keys = self.keys()?;
            for name in names {
                // The owner may have said meanwhile that it is a secret, or withdrawn it.
                let key = keys.named(name)?;
                let public = key.filter(|key| key.public() && key.status(self.now) == Status::Active);
                if let Some((key, version)) =
                    public.and_then(|key| key.current().map(|version| (key, version)))
                {
                    values.insert(name.clone(), keys.value(&key, version)?);
                }
            }
        }
        if values.is_empty() {
            return Ok(BTreeMap::new());
        }
        let purpose = Purpose { action: Action::Reveal, detail: "public".to_owned() };
        let recorded = self.commit(purpose, values.values())?;
        values.into_iter().map(|(name, value)| Ok((name, value.release(&recorded)?))).collect()
    }

    /// This machine's memory of the vault; a bearer's reading has none.
    pub(crate) fn memory(&self) -> Option<&Memory> {
        match &self.supplier {
            Supplier::Owner(owner) => Some(owner.memory),
            Supplier::Bearer(_) | Supplier::Bundle(_) => None,
        }
    }
}

impl<'r> Reading<'r, Looking> {
    pub(crate) fn look(supplier: Supplier<'r>, world: &'r World<'r>) -> Self {
        Self { supplier, world, now: world.now(), mode: PhantomData }
    }
}

impl<M> Reading<'_, M> {
    /// The moment that decides what has expired.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.now
    }

    /// The keys to choose among. Refuses a vault or grants that do not verify, that are in an alarm, or out of force.
    pub fn keys(&self) -> Result<Keys<'_>, VaultError> {
        Ok(Keys(match &self.supplier {
            Supplier::Owner(owner) => Box::new(owner.tx(self.world)?),
            Supplier::Bearer(bearer) => Box::new(bearer.granted()?),
            Supplier::Bundle(Bundled { bundle, .. }) => Box::new(Granted::of_bundle(bundle)?),
        }))
    }
}

impl<'k> Deref for Keys<'k> {
    type Target = dyn KeySource + 'k;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl DerefMut for Keys<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut *self.0
    }
}

impl Drop for Keys<'_> {
    /// Opening rows has left copies of plaintext on the stack.
    fn drop(&mut self) {
        wipe_stack();
    }
}

pub(crate) struct Owner<'r> {
    rows: Tx<'r>,
    store: &'r Store,
    /// The end of the log that this machine saw; none for a look.
    witness: Option<Witness>,
    keys: DailyKeys,
    identity: Identity,
    memory: &'r Memory,
    /// The vault's last change, once it was verified.
    change: Cell<Option<u64>>,
    slot: Option<&'r SlotRow>,
    /// True if it is said that this machine saw a later copy.
    tells: bool,
}

impl<'r> Owner<'r> {
    pub(crate) fn begin(
        vault: &'r mut Vault,
        access: &'r Access,
        world: &World<'_>,
    ) -> Result<Self, VaultError> {
        vault.store.make_ready()?;
        let (keys, identity) = vault.keys(access);
        let Vault { store, memory, checked, place, .. } = vault;
        let store: &Store = store;
        let witness = world.pins.witness(&identity, place);
        let rows = store.begin_ready(Durability::Logged, &mut |waited| world.wait(waited, &identity))?;
        // Others may have gone on, and the file been put back, while a value was typed.
        let memory = remember(memory, world.pins.read(&identity, place));
        // A sync service may have put another file in place while a passphrase was typed.
        still_same(checked.as_ref())?;
        let witness = Some(witness);
        Ok(Self {
            rows,
            store,
            witness,
            keys,
            identity,
            memory,
            change: Cell::new(None),
            slot: access.slot.as_ref(),
            tells: true,
        })
    }

    fn look(vault: &'r Vault, access: &'r Access) -> Result<Self, VaultError> {
        let (keys, identity) = vault.keys(access);
        let (memory, store) = (vault.memory(), &vault.store);
        let rows = store.begin_reading_ready()?;
        still_same(vault.checked.as_ref())?;
        Ok(Self {
            rows,
            store,
            witness: None,
            keys,
            identity,
            memory,
            change: Cell::new(None),
            slot: access.slot.as_ref(),
            tells: false,
        })
    }

    pub(crate) fn tx(&self, world: &World<'_>) -> Result<VerifiedTx<'_>, VaultError> {
        let setting =
            Setting { keys: &self.keys, identity: self.identity, memory: self.memory, slot: self.slot };
        let tx = VerifiedTx::load(&self.rows, &setting)?;
        tx.refuse_in_alarm(self.store.path())?;
        self.change.set(Some(tx.change_number()));
        if self.tells {
            tell_if_older(self.memory, &tx, world);
        }
        Ok(tx)
    }

    /// The ledger that a read here goes to, and the entries that are missing from it: this device's own, or the vault's
    /// where it has none, or one that someone without keys could have damaged.
    fn ledger(&self) -> Result<(OwnKeys<'_>, Chain, Option<LogGap>), VaultError> {
        let own = self.witness.as_ref().map_or(Ledger::Vault, Witness::ledger);
        let keys = OwnKeys::of(&self.keys.audit, own, &self.identity);
        match keys.load(&self.rows, &self.identity) {
            Ok(chain) => {
                let gap =
                    self.witness.as_ref().map(|seen| seen.gap(&self.identity, &chain.mark(), &self.rows));
                return Ok((keys, chain, gap.transpose()?.flatten()));
            }
            Err(error) if own == Ledger::Vault => return Err(error.into()),
            Err(error) => fault_of(error.into())?,
        };
        let keys = OwnKeys::of(&self.keys.audit, Ledger::Vault, &self.identity);
        let chain = keys.load(&self.rows, &self.identity)?;
        let gap = self.witness.as_ref().and_then(|seen| seen.gap_without(&self.identity));
        Ok((keys, chain, gap))
    }

    pub(crate) fn commit(self, event: &Event, world: &World<'_>) -> Result<(), VaultError> {
        let (keys, mut chain, gap) = self.ledger()?;
        let found = chain.mark();
        match (found.ledger, self.change.get()) {
            (Ledger::Device(_), Some(change)) => {
                let event = event.clone().with(&AfterChange(change));
                chain.append(&self.rows, keys.keys(), &self.identity, &event, world.rng)
            }
            _ => chain.append(&self.rows, keys.keys(), &self.identity, event, world.rng),
        }?;
        self.rows.commit()?;
        // A write-ahead log that stays long makes the next start slower, and that is all.
        let _ = self.store.file().map_or(Ok(()), FileStore::finish_release);
        if let Some(witness) = &self.witness {
            witness.note(&self.identity, &found, &chain.mark(), gap, false);
        }
        world.notices.tell();
        Ok(())
    }
}

/// Begins to take values, as the vault's owner.
pub fn begin<'r>(
    vault: &'r mut Vault,
    access: &'r Access,
    world: &'r World<'r>,
) -> Result<Reading<'r, Taking>, VaultError> {
    let now = world.now();
    let supplier = Supplier::Owner(Box::new(Owner::begin(vault, access, world)?));
    Ok(Reading { now, ..Reading::begin(supplier, world) })
}

/// Begins to look at keys as they would be taken.
pub fn look<'r>(
    vault: &'r mut Vault,
    access: &'r Access,
    world: &'r World<'r>,
) -> Result<Reading<'r, Looking>, VaultError> {
    vault.store.make_ready()?;
    Ok(Reading::look(Supplier::Owner(Box::new(Owner::look(vault, access)?)), world))
}

pub(crate) fn begin_granted<'r>(
    vault: &'r mut Vault,
    bearer: &'r BearerKeys,
    world: &'r World<'r>,
) -> Result<Reading<'r, Taking>, VaultError> {
    vault.store.make_ready()?;
    let now = world.now();
    let supplier = Supplier::Bearer(Box::new(BearerTx::begin(vault, bearer, world)?));
    Ok(Reading { now, ..Reading::begin(supplier, world) })
}

pub(crate) fn look_granted<'r>(
    vault: &'r mut Vault,
    bearer: &'r BearerKeys,
    world: &'r World<'r>,
) -> Result<Reading<'r, Looking>, VaultError> {
    vault.store.make_ready()?;
    Ok(Reading::look(Supplier::Bearer(Box::new(BearerTx::look(vault, bearer, world)?)), world))
}
