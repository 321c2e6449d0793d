//! Opening the file, getting keys for it, and the three kinds of transactions.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::audit::LogGap;
use crate::audit::{Action, Actor, AuditError, Event, HeadMark, KeyRef, Outcome, Seed};
use crate::state::pin::{Memory, Pin, Pins, VaultPath};
use crate::state::record::Authentic;
use crate::state::witness::Witness;
use crate::store::{Durability, FileStore, HeaderRow, SlotRow, Store, StoreError};
use crate::unlock::UnlockError;
use crate::unlock::keyfile::KeyFile;
use crate::unlock::keyring_entry::KeyringSecret;
use crate::unlock::keys::{Daily, DailyKeys, Root};
use crate::unlock::passphrase::Passphrase;
use crate::unlock::recovery::RecoveryCode;
use crate::unlock::session::{self, Session};
use crate::unlock::slot::{self, SealedFor};
use keyvault_core::clock::{Clock, Moment, Rng};
use keyvault_core::codec::Extensions;
use keyvault_core::crypto::{SealingKey, wipe_stack};
use keyvault_core::identity::Identity;
use keyvault_core::name::{KeyName, TokenName};
use keyvault_os::fs::vault_file::{self, CheckedVault};

use super::busy::{Holder, Holders};
use super::damaged::{self, Recovery};
use super::rollback_alarm::{log_gap, recorded, tell_if_older};
use super::survivors::{Loss, Seeds};
use crate::error::VaultError;
use crate::ledger;
use crate::state::StateError;
use crate::supply::reading::Owner;
use crate::token;
use crate::tx::{Setting, VerifiedTx};

/// The world outside, as far as a vault needs it. Threads may share it, as those of a server do.
pub struct World<'w> {
    pub clock: &'w dyn Clock,
    pub rng: &'w dyn Rng,
    pub actor: Actor,
    /// This machine's memory of vaults.
    pub pins: Pins,
    /// Commands that hold a vault for longer than a second.
    pub holders: Holders,
    pub notices: Notices<'w>,
    /// Told, again and again, how long a command has been waiting for another one, and for which if that is known.
    pub waiting: &'w (dyn Fn(Duration, Option<Holder>) + Sync),
}

impl World<'_> {
    #[must_use]
    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    pub(crate) fn note(&self, notice: Notice) {
        self.notices.kept.lock().unwrap_or_else(PoisonError::into_inner).push(notice);
    }

    pub(crate) fn wait(&self, waited: Duration, identity: &Identity) {
        (self.waiting)(waited, self.holders.current(identity));
    }

    /// An event of this moment and actor.
    pub(crate) fn event(&self, action: Action, keys: Vec<KeyRef>, detail: String) -> Event {
        Event {
            time: self.now(),
            action,
            outcome: Outcome::Done,
            actor: self.actor.clone(),
            keys,
            detail,
            change: None,
            extensions: Extensions::default(),
        }
    }
}

/// Where notices go. In a transaction they are kept, because a terminal that was stopped or a full pipe would make
/// everyone else wait for the vault. They are told when the transaction has ended; those of one that failed, when this
/// is dropped.
pub struct Notices<'w> {
    tell: &'w (dyn Fn(Notice) + Sync),
    kept: Mutex<Vec<Notice>>,
}

impl<'w> Notices<'w> {
    #[must_use]
    pub fn told_by(tell: &'w (dyn Fn(Notice) + Sync)) -> Self {
        Self { tell, kept: Mutex::default() }
    }

    pub(crate) fn tell(&self) {
        self.take().into_iter().for_each(self.tell);
    }

    /// For a transaction that is made again.
    pub(crate) fn forget(&self) {
        self.take();
    }

    fn take(&self) -> Vec<Notice> {
        std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Notices<'_> {
    fn drop(&mut self) {
        self.tell();
    }
}

/// How a key is refused that comes back with a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Revoked,
    Disabled,
}

/// Something that the user should know although the command is done.
#[derive(Debug)]
pub enum Notice {
    /// The change is durable, but the write-ahead log could not be folded into the file.
    NotFolded(StoreError),
    /// The removal is durable, but the file could not be rewritten without its free pages.
    NotCompacted(StoreError),
    /// This machine could not remember the change, so it would not notice a rollback of it.
    NotPinned(std::io::Error),
    /// This machine's memory of the vault cannot be read.
    UnreadableMemory,
    /// This machine's memory of the token's part of the vault cannot be read.
    UnreadablePin,
    /// The vault had rows for a token that is not known, or that was revoked: somebody put them there, and they are
    /// dropped.
    StrayTokenRows,
    /// A token's grants or view were not those that the owner wrote; they are rewritten.
    GrantsAltered { token: TokenName, fault: String },
    /// A token's record was not the one that the owner wrote; the token is revoked, and what it could read is not known.
    TokenDamaged { token: TokenName },
    /// Damage was in the way of a change, and everything that verifies was rewritten without the rest.
    Mended(Box<Loss>),
    /// Keys that a change was to end, and of which damage had left nothing to write it on. They are gone.
    DamagedKeysGone { keys: Vec<KeyName>, stay: Option<Refusal> },
    /// A device's ledger, by its short id, no longer passes through the point that was recorded of it; the change that is
    /// done records that.
    LedgerBroken { ledger: String, fault: AuditError },
    /// A token's chain of reads does not continue the one that was recorded of it.
    ReadsBroken { token: TokenName, fault: AuditError },
    /// Entries that this machine saw are missing from the log; the change that is done records it.
    LogGap(LogGap),
    /// Another copy of the vault was seen here at a later change.
    OlderCopy { pin: Pin, change: u64 },
}

/// A vault file that was opened safely. Nothing in it has been believed yet.
pub struct Vault {
    pub(crate) store: Store,
    pub(crate) header: HeaderRow,
    /// The pin, read before the state is.
    pub(crate) memory: OnceCell<Memory>,
    /// The file as it was looked at before it was opened; none for a vault in memory.
    pub(crate) checked: Option<CheckedVault>,
    pub(crate) place: VaultPath,
    pub(crate) pins: Pins,
    pub(crate) log_moved: Option<LogMoved>,
    /// Set for a command that recovers a damaged vault.
    pub(crate) recovery: Option<Recovery>,
}

/// Where a change found and left the audit log, and what this machine had seen of it.
pub(crate) struct LogMoved {
    pub(crate) witness: Witness,
    pub(crate) found: HeadMark,
    pub(crate) left: HeadMark,
    pub(crate) gap: Option<LogGap>,
}

/// The keys to a vault's rows: the daily key, and root where the credential gives it.
#[derive(Debug)]
pub struct Access {
    pub daily: Daily,
    pub(crate) root: Option<Root>,
    /// The slot that was opened, to be held against the tree.
    pub(crate) slot: Option<SlotRow>,
}

impl Access {
    /// The number of the slot that was opened; none for a session.
    #[must_use]
    pub fn slot_id(&self) -> Option<u32> {
        self.slot.as_ref().map(|slot| slot.id)
    }

    /// Drops root and the slot, for a holder that keeps the access for long: as with a session, the slot that gave it
    /// may be changed or removed meanwhile.
    #[must_use]
    pub fn without_root(self) -> Self {
        Self { root: None, slot: None, ..self }
    }

    /// Returns `true` if root is there, as `audit verify` from the start and `restore --adopt` need it.
    #[must_use]
    pub(crate) fn has_root(&self) -> bool {
        self.root.is_some()
    }
}

impl From<Session> for Access {
    fn from(session: Session) -> Self {
        Self { daily: session.daily, root: None, slot: None }
    }
}

impl Vault {
    /// Opens the vault at `path`, after looking at owner, mode and kind of the file and its side files.
    pub fn open(path: &Path, pins: &Pins) -> Result<Self, VaultError> {
        let checked = vault_file::check_vault(path)?;
        let (store, header) = FileStore::open(checked.path().to_owned())?;
        Self::of(path, checked, (store.into(), header), pins)
    }

    /// Opens the vault for one release that begins at once. Other commands may have to wait until it is over, so the
    /// caller calls [`Vault::let_others_in`] before anything that takes longer than a millisecond.
    pub fn open_briefly(path: &Path, pins: &Pins) -> Result<Self, VaultError> {
        let checked = vault_file::check_vault(path)?;
        let (store, header) = FileStore::open_briefly(checked.path().to_owned())?;
        // The transaction itself holds the opened file against the one that was checked.
        Ok(Self::with(path, checked, (store.into(), header), pins))
    }

    /// Ends the wait of others for what was opened with [`Vault::open_briefly`].
    pub fn let_others_in(&self) {
        self.store.let_others_in();
    }

    /// Opens the vault for a look that changes nothing, not even a mode or a side file.
    pub fn open_untouched(path: &Path, pins: &Pins) -> Result<Self, VaultError> {
        let checked = vault_file::check_vault_untouched(path)?;
        let (store, header) = FileStore::open_untouched(checked.path().to_owned())?;
        Self::of(path, checked, (store.into(), header), pins)
    }

    pub(crate) fn of(
        given: &Path,
        checked: CheckedVault,
        opened: (Store, HeaderRow),
        pins: &Pins,
    ) -> Result<Self, VaultError> {
        checked.still_same()?;
        Ok(Self::with(given, checked, opened, pins))
    }

    fn with(given: &Path, checked: CheckedVault, (store, header): (Store, HeaderRow), pins: &Pins) -> Self {
        let place = VaultPath::of(given, checked.path());
        let memory = OnceCell::new();
        Self {
            store,
            header,
            memory,
            checked: Some(checked),
            place,
            pins: pins.clone(),
            log_moved: None,
            recovery: None,
        }
    }

    /// A vault whose rows are in memory. The place that pins know it by is its own.
    pub(crate) fn in_memory(mut store: Store, identity: &Identity, pins: &Pins) -> Result<Self, VaultError> {
        let header = store.begin_reading()?.header()?;
        let path = Path::new("/memory").join(identity.vault_hex());
        let place = VaultPath::of(&path, &path);
        let (memory, pins) = (OnceCell::new(), pins.clone());
        Ok(Self { store, header, memory, checked: None, place, pins, log_moved: None, recovery: None })
    }

    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity { vault_id: self.header.vault_id, epoch: self.header.epoch }
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        self.store.path()
    }

    /// Where the vault lies, for what this machine remembers of it.
    #[must_use]
    pub fn place(&self) -> &VaultPath {
        &self.place
    }

    /// Returns `true` if the file or a side file could be read by others until now.
    #[must_use]
    pub fn tightened(&self) -> bool {
        self.checked.as_ref().is_some_and(CheckedVault::tightened)
    }

    /// This machine's memory of the vault: the last one that was read, or one that is read now if none was.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        self.memory.get_or_init(|| self.pins.read(&self.identity(), &self.place))
    }

    /// The vault's session, if one is open.
    #[must_use]
    pub fn session(&self, now: Moment) -> Option<Session> {
        session::find(&self.identity(), now)
    }

    /// Opens a passphrase slot: one Argon2id run per slot of that kind.
    pub fn open_passphrase(&mut self, passphrase: &Passphrase) -> Result<Access, VaultError> {
        self.open_root(|rows, sealed_for| slot::open_passphrase(rows, passphrase, sealed_for))
    }

    pub fn open_recovery(&mut self, code: &RecoveryCode) -> Result<Access, VaultError> {
        self.open_root(|rows, sealed_for| slot::open_recovery(rows, code, sealed_for))
    }

    /// Opens a key file's slot.
    pub fn open_key_file(&mut self, file: &KeyFile) -> Result<Access, VaultError> {
        self.open_root(|rows, sealed_for| slot::open_key_file(rows, file, sealed_for))
    }

    fn open_root(
        &mut self,
        open: impl for<'r> Fn(&'r [SlotRow], &SealedFor<'_>) -> Result<(Root, &'r SlotRow, Identity), UnlockError>,
    ) -> Result<Access, VaultError> {
        let (rows, witnesses) = damaged::slots_and_witnesses(self)?;
        let others = || damaged::candidates(self, &witnesses);
        let (root, row, identity) = open(&rows, &SealedFor { own: self.identity(), others: &others })?;
        damaged::settle(self, identity)?;
        Ok(Access { daily: root.daily(&identity), root: Some(root), slot: Some(row.clone()) })
    }

    /// Opens a keyring's slot. Root does not come out of it.
    pub fn open_keyring(&mut self, secret: &KeyringSecret) -> Result<Access, VaultError> {
        let (rows, witnesses) = damaged::slots_and_witnesses(self)?;
        let others = || damaged::candidates(self, &witnesses);
        let sealed_for = SealedFor { own: self.identity(), others: &others };
        let (daily, row, identity) = slot::open_keyring(&rows, secret, &sealed_for)?;
        damaged::settle(self, identity)?;
        Ok(Access { daily, root: None, slot: Some(row.clone()) })
    }

    /// Looks at the vault without releasing a value. Works on a read-only file and in an alarm, which the caller
    /// gets to see as [`VerifiedTx::standing`].
    pub fn read<T>(
        &mut self,
        access: &Access,
        look: impl FnOnce(&mut VerifiedTx<'_>) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        let (keys, identity) = self.keys(access);
        let memory = self.memory().clone();
        let rows = self.store.begin_reading()?;
        still_same(self.checked.as_ref())?;
        let setting = Setting { keys: &keys, identity, memory: &memory, slot: access.slot.as_ref() };
        let seen = look(&mut VerifiedTx::load(&rows, &setting)?);
        wipe_stack();
        seen
    }

    /// Looks at a vault that may be damaged: only its record and its standing are verified. The slot that was opened must
    /// be among those that the record proves, which is the caller's to see.
    pub(crate) fn read_damaged<T>(
        &mut self,
        access: &Access,
        look: impl FnOnce(&mut VerifiedTx<'_>) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        let (keys, identity) = self.keys(access);
        let memory = self.memory().clone();
        let rows = self.store.begin_reading()?;
        let setting = Setting { keys: &keys, identity, memory: &memory, slot: access.slot.as_ref() };
        let seen = look(&mut VerifiedTx::load_damaged(&rows, &setting)?);
        wipe_stack();
        seen
    }

    /// Releases values: what `take` resolves leaves only after the event is committed.
    pub(crate) fn release<T>(
        &mut self,
        access: &Access,
        world: &World<'_>,
        take: impl FnOnce(&mut VerifiedTx<'_>) -> Result<(T, Event), VaultError>,
    ) -> Result<T, VaultError> {
        let reading = Owner::begin(self, access, world)?;
        let mut tx = reading.tx(world)?;
        let taken = take(&mut tx);
        wipe_stack();
        let (taken, event) = taken?;
        drop(tx);
        reading.commit(&event, world)?;
        Ok(taken)
    }

    /// Changes the vault: event, tree, record and rows in one durable commit, then the pin. `make` draws, asks, and consumes
    /// nothing that it could not again: a store that several write to at once may have it make its change a second time.
    pub(crate) fn change<T>(
        &mut self,
        access: &Access,
        world: &World<'_>,
        make: impl Fn(&mut VerifiedTx<'_>) -> Result<(T, Event), VaultError>,
    ) -> Result<T, VaultError> {
        self.change_if_any(access, world, |tx| make(tx).map(|(outcome, event)| (outcome, Some(event))))
    }

    /// Changes the vault, or writes nothing if it turns out that there is nothing to change and so no event.
    pub(crate) fn change_if_any<T>(
        &mut self,
        access: &Access,
        world: &World<'_>,
        make: impl Fn(&mut VerifiedTx<'_>) -> Result<(T, Option<Event>), VaultError>,
    ) -> Result<T, VaultError> {
        let memory = self.memory().clone();
        self.change_even_in_alarm(access, world, |tx, path| {
            tx.refuse_in_alarm(path)?;
            tell_if_older(&memory, tx, world);
            make(tx)
        })
    }

    pub(crate) fn change_even_in_alarm<T>(
        &mut self,
        access: &Access,
        world: &World<'_>,
        make: impl Fn(&mut VerifiedTx<'_>, &Path) -> Result<(T, Option<Event>), VaultError>,
    ) -> Result<T, VaultError> {
        let mut adopted = false;
        let root = self.seed_key(access);
        let (outcome, seen) = self.commit_change(access, world, |tx, path| {
            let (outcome, event) = make(tx, path)?;
            if let (Some(_), Some(root)) = (&event, &root) {
                ledger::ensure(tx, root, world)?;
            }
            adopted = event.as_ref().is_some_and(|event| event.action == Action::Adopt);
            Ok((outcome, event))
        })?;
        let Some(seen) = seen else { return Ok(outcome) };
        let identity = self.identity();
        if adopted {
            let pinned = world.pins.replace(&identity, &self.place, &seen);
            pinned.unwrap_or_else(|error| world.note(Notice::NotPinned(error)));
            if let Some(moved) = &mut self.log_moved {
                moved.witness.forget();
            }
            self.after_pin(world);
        } else {
            self.after_change(&seen, world);
        }
        Ok(outcome)
    }

    /// The pin of a change that is committed, and what follows it.
    pub(crate) fn after_change(&mut self, seen: &Authentic, world: &World<'_>) {
        let pinned = world.pins.advance(&self.identity(), &self.place, seen);
        pinned.unwrap_or_else(|error| world.note(Notice::NotPinned(error)));
        self.after_pin(world);
    }

    fn after_pin(&mut self, world: &World<'_>) {
        if let Some(LogMoved { witness, found, left, gap }) = self.log_moved.take() {
            witness.note(&self.identity(), &found, &left, gap, true);
            if let Some(gap) = gap {
                world.note(Notice::LogGap(gap));
            }
        }
        self.fold(world);
        world.notices.tell();
    }

    /// The transaction of a change, without the pin.
    pub(crate) fn commit_change<T>(
        &mut self,
        access: &Access,
        world: &World<'_>,
        mut make: impl FnMut(&mut VerifiedTx<'_>, &Path) -> Result<(T, Option<Event>), VaultError>,
    ) -> Result<(T, Option<Authentic>), VaultError> {
        let (keys, identity) = self.keys(access);
        let path = self.store.path().to_owned();
        let witness = world.pins.witness(&identity, &self.place);
        let rows = self.store.begin(Durability::Synced, &mut |waited| world.wait(waited, &identity))?;
        let held = world.holders.hold(&identity);
        let memory = remember(&mut self.memory, world.pins.read(&identity, &self.place));
        still_same(self.checked.as_ref())?;
        let setting = Setting { keys: &keys, identity, memory, slot: access.slot.as_ref() };
        let mut tx = VerifiedTx::load(&rows, &setting)?;
        tx.device = witness.ledger();
        let gap = log_gap(&tx, &witness)?;
        token::drop_strays(&mut tx, world)?;
        let result = make(&mut tx, &path);
        wipe_stack();
        let (outcome, event) = result?;
        let Some(event) = event else { return Ok((outcome, None)) };
        let seen = tx.seal_change(recorded(event, gap), world)?;
        let log_moved = tx.log_moved();
        drop(tx);
        still_same(self.checked.as_ref())?;
        rows.commit()?;
        damaged::write_back(self)?;
        drop(held);
        self.log_moved = log_moved.map(|(found, left)| LogMoved { witness, found, left, gap });
        Ok((outcome, Some(seen)))
    }

    /// Records that a session was opened, or that somebody failed to open one.
    pub fn record_unlock(
        &mut self,
        access: &Access,
        world: &World<'_>,
        outcome: Outcome,
        detail: &str,
    ) -> Result<(), VaultError> {
        let event = Event { outcome, ..world.event(Action::Unlock, Vec::new(), detail.to_owned()) };
        if outcome == Outcome::Done && self.needs_ledger(access, world)? {
            match self.change(access, world, |_| Ok(((), event.clone()))) {
                // A vault that this version may not change can still be opened.
                Err(VaultError::State(StateError::Newer { .. })) => world.notices.forget(),
                changed => return changed,
            }
        }
        self.release(access, world, |_| Ok(((), event)))
    }

    /// Returns `true` if root is at hand, and this device has no ledger for its reads yet.
    fn needs_ledger(&mut self, access: &Access, world: &World<'_>) -> Result<bool, VaultError> {
        if !access.has_root() {
            return Ok(false);
        }
        let device = world.pins.witness(&self.identity(), &self.place).ledger();
        self.read(access, |tx| {
            tx.device = device;
            ledger::is_missing(tx)
        })
    }

    /// Lets go of the file without closing it, right before the process becomes another program.
    pub fn leave_open(self) {
        if let Store::File(file) = self.store {
            file.leave_open();
        }
        if let Some(checked) = self.checked {
            checked.leave_open();
        }
    }

    /// Rewrites the file, so that what was removed is not left in free pages. The change itself is done.
    pub(crate) fn compact(&self, world: &World<'_>) {
        let vacuumed = self.store.file().map_or(Ok(()), FileStore::vacuum);
        vacuumed.unwrap_or_else(|error| world.note(Notice::NotCompacted(error)));
        self.fold(world);
        world.notices.tell();
    }

    /// Folds the write-ahead log, so that the file alone is complete. The change itself is done.
    pub(crate) fn fold(&self, world: &World<'_>) {
        let folded = self.store.file().map_or(Ok(()), FileStore::fold_wal);
        folded.unwrap_or_else(|error| world.note(Notice::NotFolded(error)));
    }

    /// The file's write-ahead log, if it has content: if rows do not fit together, it may be another
    /// vault's.
    #[must_use]
    pub fn wal_beside(path: &Path) -> Option<PathBuf> {
        let mut wal = path.as_os_str().to_owned();
        wal.push("-wal");
        let wal = PathBuf::from(wal);
        std::fs::symlink_metadata(&wal).ok().filter(|found| found.len() > 0).map(|_| wal)
    }

    pub(crate) fn seed(&self, access: &Access) -> Result<Option<Seed>, VaultError> {
        let identity = self.identity();
        let open = |root: &Root| Seed::open(&root.seed_key(&identity), &identity, &self.header.chain_seed);
        Ok(access.root.as_ref().map(open).transpose()?)
    }

    /// The key that seals the k₀ of each of the owner's ledgers, if root is there.
    pub(crate) fn seed_key(&self, access: &Access) -> Option<SealingKey> {
        access.root.as_ref().map(|root| root.seed_key(&self.identity()))
    }

    /// The keys that prove the entries of a vault that may be damaged.
    pub(crate) fn seeds(&self, access: &Access) -> Seeds {
        Seeds { vault: self.seed(access).ok().flatten(), root: self.seed_key(access) }
    }

    pub(crate) fn keys(&self, access: &Access) -> (DailyKeys, Identity) {
        let identity = self.identity();
        (access.daily.keys(&identity), identity)
    }
}

/// Refuses to go on with a file that is no longer the one that was opened.
pub(crate) fn still_same(checked: Option<&CheckedVault>) -> Result<(), VaultError> {
    checked.map_or(Ok(()), |checked| Ok(checked.still_same()?))
}

/// Takes what was read of the pin in place of what was read before.
pub(crate) fn remember(memory: &mut OnceCell<Memory>, read: Memory) -> &Memory {
    *memory = OnceCell::new();
    memory.get_or_init(|| read)
}

/// [`World`] is shared by threads.
const _: () = {
    const fn is_shared<T: Send + Sync>() {}
    is_shared::<World<'_>>();
};
