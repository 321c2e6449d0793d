//! A copy of the whole file, and the way back from one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::audit::Action;
use crate::slot::rekey::move_copy;
use crate::state::pin::VaultPath;
use crate::store::{FileStore, StateRow, Store, StoreError};
use crate::unlock::keys::Root;
use keyvault_core::clock::Moment;
use keyvault_core::identity::Identity;
use keyvault_core::name::{KeyName, TokenName};

use super::damaged;
use super::open::{Access, Notice, Vault, World, still_same};
use super::restore_guard::{Irrevocable, Unread};
use super::sealing::{Opens, Replaced, Sealing};
use super::survivors::Loss;
use super::working_copy::WorkingCopy;
use super::{mend, restore_guard, survivors};
use crate::check;
use crate::error::VaultError;
use crate::key::record::KeyRecord;

/// How a backup stands to the vault that it would take the place of.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Difference {
    pub backup: u64,
    /// The vault's, if it could be read with the backup's keys.
    pub here: Option<u64>,
    /// A number that others may have seen, if the caller names one: the restored vault goes on above it.
    pub above: Option<u64>,
    /// Keys that only the vault has: they would be gone.
    pub lost: Vec<KeyName>,
    /// Keys of which the vault has other versions, or knows other things: they would be as they were.
    pub older: Vec<KeyName>,
    /// Keys with versions that were revoked since. They stay revoked.
    pub revoked: Vec<KeyName>,
    /// The root that the vault would have.
    pub sealing: Sealing,
    /// True if nothing that was given opens the vault: it was rekeyed since, or is damaged.
    pub locked: bool,
    /// True if the backup has other slots than the vault.
    pub other_slots: bool,
    /// Keys that only the backup has: they would be back.
    pub back: Vec<KeyName>,
    /// Keys that were wiped since the backup was made: their values would be back.
    pub wiped: Vec<KeyName>,
    /// Tokens that are in force here and not in the backup: they would open nothing any more.
    pub tokens: Vec<TokenName>,
    /// Tokens of the backup that are not in force here: they stay revoked.
    pub revoked_tokens: Vec<TokenName>,
    /// Damaged parts of the backup, which would not be carried over.
    pub loss: Loss,
    /// Damaged parts of the vault, of whose refusals nothing is known. Of a locked vault nothing is.
    pub unread: Unread,
    /// True if the backup has sets of issued keys.
    pub has_sets: bool,
    irrevocable: Irrevocable,
}

/// Where a file stood when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark(Option<StateRow>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    pub path: PathBuf,
    pub found: u64,
    /// The highest change number known here that it supersedes.
    pub superseded: Option<u64>,
    pub now: u64,
    /// The epoch that the vault is in.
    pub epoch: u32,
    /// Damaged parts of the backup, which were not carried over.
    pub loss: Loss,
}

/// Copies the vault, as it stands at one moment, to a new file; others may write meanwhile. Needs no key. Returns
/// the copy's length in bytes.
pub fn backup(vault: &Vault, target: &Path, world: &World<'_>) -> Result<u64, VaultError> {
    let failed = |source| VaultError::Io { path: target.to_owned(), source };
    if std::fs::symlink_metadata(target).is_ok() {
        return Err(VaultError::FileExists { path: target.to_owned() });
    }
    refuse_own_name(vault, target)?;
    // `new/` names a folder, whether it is there or not; a working name behind it would be in it.
    if target.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(failed(std::io::ErrorKind::IsADirectory.into()));
    }
    let working = WorkingCopy::beside(target, world)?;
    copy_to(vault, &working).map_err(VaultError::Store).map_err(of_a_working_copy)?;
    // A copy that a power cut may take away is none, and would be in the way of the next try.
    let not_safe = |error: &VaultError| matches!(error, VaultError::Store(StoreError::Undecided(_)));
    working.move_to(target).map_err(|error| {
        if not_safe(&error) {
            let _ = std::fs::remove_file(target);
        }
        of_a_working_copy(error)
    })?;
    Ok(std::fs::metadata(target).map_err(failed)?.len())
}

/// A vault in memory has no write-ahead log that the copy could take over from it.
fn copy_to(vault: &Vault, working: &WorkingCopy) -> Result<(), StoreError> {
    let path = working.0.clone();
    let in_memory = damaged::is_in_memory(vault);
    let mut copy = if in_memory { FileStore::create(path)? } else { FileStore::blank(path)? };
    vault.store.in_file()?.copy_into(&mut copy, || Ok::<_, StoreError>(()))?;
    if in_memory { copy.fold_wal() } else { Ok(()) }
}

/// SQLite would take a file of these names beside the vault for a part of it.
fn refuse_own_name(vault: &Vault, target: &Path) -> Result<(), VaultError> {
    let folder = |path: &Path| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        folder.canonicalize().ok()
    };
    let own = ["-wal", "-shm", "-journal"].iter().any(|suffix| {
        let mut name = vault.path().file_name().unwrap_or_default().to_owned();
        name.push(suffix);
        target.file_name() == Some(&name)
    });
    if own && folder(target) == folder(vault.path()) {
        return Err(VaultError::OwnName { path: target.to_owned() });
    }
    Ok(())
}

/// The file's state row as it stands, authentic or not; it becomes another with every change.
pub fn mark(vault: &mut Vault) -> Mark {
    state_of(&mut vault.store)
}

/// Refuses a backup that is the file of the vault that it would replace.
pub fn refuse_itself(backup: &Vault, vault: &Vault) -> Result<(), VaultError> {
    let same = backup.checked.as_ref().zip(vault.checked.as_ref()).is_some_and(|(one, other)| one.is(other));
    if same { Err(VaultError::BackupOfItself) } else { Ok(()) }
}

/// Refuses a backup that is the file of the vault that it would replace, or of another vault.
pub fn refuse_other(backup: &Vault, vault: &Vault) -> Result<(), VaultError> {
    refuse_itself(backup, vault)?;
    if vault.identity().vault_id != backup.identity().vault_id {
        return Err(VaultError::AnotherVault);
    }
    Ok(())
}

/// The effect of putting this backup in the place of `here`, which `opens` opens if it was rekeyed since.
pub fn difference(
    backup: &mut Vault,
    access: &Access,
    here: Option<(&mut Vault, Option<&Access>)>,
    path: &Path,
    now: Moment,
) -> Result<Difference, VaultError> {
    let identity = backup.identity();
    let seeds = backup.seeds(access);
    let (change, changes, mut found) = backup.read_damaged(access, |tx| {
        let mut found = survivors(tx, seeds)?;
        found.loss.values = survivors::lost_values(tx, found.every_key())?;
        Ok((tx.change_number(), restore_guard::changes(tx)?, found))
    })?;
    let loss = std::mem::take(&mut found.loss);
    let (ours, our_slots, mut our_tokens) = (found.keys, found.slots, found.tokens);
    our_tokens.retain(|token| token.revoked.is_none() && !token.is_session());
    let has_sets = !found.sets.is_empty();
    let mut difference = Difference { backup: change, loss, has_sets, ..Difference::default() };
    let Some((vault, opens)) = here else {
        difference.sealing = Sealing::of(backup, access, path, None)?;
        let in_force = our_tokens.into_iter().map(|token| token.name);
        difference.revoked_tokens = in_force.filter(|_| difference.sealing.is_other()).collect();
        difference.revoked_tokens.sort();
        return Ok(difference);
    };
    let present = opens;
    let opens = access.without_slot_for(&identity, vault, opens, now);
    // A vault that is damaged, or was rekeyed since and is locked, tells nothing of its content.
    let irrevocable = Irrevocable::of(vault, &opens, &changes)?;
    difference.locked = irrevocable.change.is_none();
    difference.unread = irrevocable.unread;
    let here = Replaced { vault, present, locked: difference.locked };
    difference.sealing = Sealing::of(backup, access, path, Some(here))?;
    let removed = found.removed.iter().map(|removed| (&removed.key, true));
    let wiped = ours.iter().map(|key| (key, false)).chain(removed);
    let wiped = wiped.filter(|(key, is_removed)| irrevocable.was_wiped(key, *is_removed));
    difference.wiped = wiped.map(|(key, _)| key.name.clone()).collect();
    difference.wiped.sort();
    let ours: BTreeMap<_, _> = ours.into_iter().map(|key| (key.id, key)).collect();
    for key in irrevocable.keys.values() {
        match ours.get(&key.id) {
            None => difference.lost.push(key.name.clone()),
            Some(other) if !other.same_but_sealing(key) => difference.older.push(key.name.clone()),
            Some(_) => {}
        }
    }
    difference.lost.sort();
    difference.older.sort();
    let revoked = ours.values().filter(|key| irrevocable.keep(&mut KeyRecord::clone(key)).revoked);
    difference.revoked = revoked.map(|key| irrevocable.name_of(key)).collect();
    difference.revoked.sort();
    let ends_all = difference.sealing.is_other();
    let spent = our_tokens.iter().filter(|token| ends_all || irrevocable.is_spent(token, ours.values()));
    difference.revoked_tokens = spent.map(|token| token.name.clone()).collect();
    difference.revoked_tokens.sort();
    difference.other_slots = !ends_all && irrevocable.whole.as_ref() != Some(&our_slots);
    if irrevocable.whole.is_some() {
        difference.here = irrevocable.change;
        let back = ours.into_values().filter(|key| !irrevocable.keys.contains_key(&key.id));
        difference.back = back.map(|key| key.name).collect();
        difference.back.sort();
        let ours: BTreeSet<_> = our_tokens.iter().map(|token| token.id).collect();
        let gone = irrevocable.tokens_in_force().into_iter();
        let gone = gone.filter(|(id, _)| ends_all || !ours.contains(id));
        difference.tokens = gone.map(|(_, name)| name).collect();
        difference.tokens.sort();
    }
    difference.irrevocable = irrevocable;
    Ok(difference)
}

/// Puts this backup in the place of the vault at `path`, or where there is none.
///
/// The work is done on a copy, in this order:
/// 1. every row is verified, and rows that do not verify are left out;
/// 2. if a rekey has replaced the backup's root, the rows are sealed under another root;
/// 3. the copy gets a change of its own, with a number above every number known on this machine;
/// 4. one SQLite transaction writes the copy over the vault.
///
/// `difference` is what the caller found when it compared the backup with the vault. What it lists as revoked stays
/// revoked, and the vault gets the root that it names, to which `opens` belongs. The restore is refused if the vault has
/// changed since that comparison, since it would undo changes whose success was already reported.
pub fn restore(
    backup: &mut Vault,
    access: &Access,
    here: Option<(&mut Vault, &Mark)>,
    difference: &Difference,
    opens: Option<&Opens<'_>>,
    path: &Path,
    world: &World<'_>,
) -> Result<Restored, VaultError> {
    if !access.has_root() {
        return Err(VaultError::NeedsRoot);
    }
    let identity = backup.identity();
    if let Some((vault, _)) = &here {
        refuse_other(backup, vault)?;
    }
    let irrevocable = &difference.irrevocable;
    let place = place_of(path);
    let superseded = world.pins.read(&identity, &place).pin().map(|pin| pin.change).max(irrevocable.change);
    let found = difference.backup;
    let working = WorkingCopy::beside(path, world)?;
    copy_to(backup, &working).map_err(VaultError::Store).map_err(of_a_working_copy)?;
    let mut copy = Vault::open(&working.0, &world.pins)?;
    let (moved, mut loss) = match difference.sealing.next(&identity, opens, world)? {
        Some(next) => {
            let (access, loss) = move_copy(&mut copy, access, next, world).map_err(of_a_working_copy)?;
            (Some(access), loss)
        }
        None => (None, Loss::default()),
    };
    let ends_all = moved.is_some();
    let access = moved.as_ref().unwrap_or(access);
    if check::is_damaged(&mut copy, Some(access))? {
        if !ends_all {
            loss = mend(&mut copy, access, world).map_err(of_a_working_copy)?;
        }
        // A bearer can break its own chain, and that makes no backup useless; the change below reports it.
        let mut damage =
            check::run(&mut copy, access)?.findings.into_iter().filter(|finding| !finding.is_of_reads());
        if let Some(finding) = damage.next() {
            return Err(VaultError::BackupDamaged(finding));
        }
    }
    let ((), sealed) = copy
        .commit_change(access, world, |tx, _| {
            tx.floor = superseded.max(difference.above).unwrap_or(0);
            let tombstones =
                restore_guard::keep_irrevocable(tx, irrevocable, ends_all, difference.above, world)?;
            let superseded =
                superseded.map(|change| format!(", supersedes change {change}")).unwrap_or_default();
            let epoch = if ends_all { format!(" in epoch {}", identity.epoch) } else { String::new() };
            let detail = format!("backup of change {found}{epoch}{superseded}");
            Ok(((), Some(tombstones.kept_in(world.event(Action::Restore, Vec::new(), detail)))))
        })
        .map_err(of_a_working_copy)?;
    // Its event is there, so it was sealed.
    let record = sealed.ok_or(VaultError::Changed)?;
    if let Some((vault, seen)) = here {
        copy.fold(world);
        if damaged::is_in_memory(vault) {
            if mark(vault) != *seen {
                return Err(VaultError::Changed);
            }
            damaged::write_over(vault, Some(&copy.store))?;
        } else {
            replace_file(vault, &copy, path, seen)?;
        }
        vault.fold(world);
        vault.header = copy.header.clone();
    } else {
        copy.store.in_file()?.fold_wal()?;
        working.move_to(path)?;
    }
    let identity = copy.identity();
    drop(copy);
    let now = record.record.change;
    let pinned = world.pins.replace(&identity, &place, &record);
    pinned.unwrap_or_else(|error| world.note(Notice::NotPinned(error)));
    world.notices.tell();
    Ok(Restored { path: path.to_owned(), found, superseded, now, epoch: identity.epoch, loss })
}

/// Writes `copy` over the file of `vault`, if that still is as it was `seen`.
fn replace_file(vault: &mut Vault, copy: &Vault, path: &Path, seen: &Mark) -> Result<(), VaultError> {
    // A second connection sees what stands there while the first one keeps others from changing it.
    let mut second = FileStore::open(path.to_owned())?.0.into();
    let Vault { store, checked, .. } = vault;
    let target = store.file_mut().ok_or(StoreError::NoFile)?;
    copy.store.in_file()?.copy_into(target, || {
        still_same(checked.as_ref())?;
        if state_of(&mut second) == *seen { Ok(()) } else { Err(VaultError::Changed) }
    })
}

/// A commit to a working copy that may or may not have happened concerns no vault: it is an ordinary failure.
fn of_a_working_copy(error: VaultError) -> VaultError {
    match error {
        VaultError::Store(StoreError::Undecided(text)) => VaultError::Store(StoreError::Io(text)),
        other => other,
    }
}

/// Where a vault is to lie that need not be there yet.
pub(crate) fn place_of(path: &Path) -> VaultPath {
    let resolved = path.parent().and_then(|folder| folder.canonicalize().ok()).zip(path.file_name());
    VaultPath::of(path, &resolved.map_or_else(|| path.to_owned(), |(folder, name)| folder.join(name)))
}

fn state_of(store: &mut Store) -> Mark {
    Mark(store.begin_reading().and_then(|tx| tx.state()).ok())
}

impl Access {
    /// Accesses that may read a vault with other slots than the one that was opened: the root that opened this one,
    /// unless they were rekeyed apart, the root in `opens`, and the vault's own session.
    fn without_slot_for(
        &self,
        opened: &Identity,
        vault: &Vault,
        opens: Option<&Self>,
        now: Moment,
    ) -> Vec<Self> {
        let same = Some(self).filter(|_| vault.identity() == *opened);
        let roots = same.into_iter().chain(opens).filter_map(|access| access.root.as_ref());
        let daily = |root: &Root| Self { daily: root.daily(&vault.identity()), root: None, slot: None };
        roots.map(daily).chain(vault.session(now).map(Self::from)).collect()
    }
}
