//! A copy of the whole file, and the way back from one.

use std::path::{Path, PathBuf};

use crate::audit::Action;
use crate::identity::Identity;
use crate::name::KeyName;
use crate::state::pin::Memory;
use crate::store::{StateRow, Store, StoreError};

use super::check::Finding;
use super::draft::Draft;
use super::error::VaultError;
use super::item::Item;
use super::open::{Access, Notice, Vault, World};

/// How a backup stands to the vault that it would take the place of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// The backup's change number.
    pub backup: u64,
    /// The vault's, if it could be read with the backup's keys.
    pub here: Option<u64>,
    /// Keys that only the vault has: they would be gone.
    pub lost: Vec<KeyName>,
    /// Keys that the vault has at another version: they would be as they were.
    pub older: Vec<KeyName>,
    /// Keys that only the backup has: they would be back.
    pub back: Vec<KeyName>,
}

/// Where a file stood when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark(Option<StateRow>);

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The vault.
    pub path: PathBuf,
    /// The backup's change number.
    pub found: u64,
    /// The highest change number known here that it supersedes.
    pub superseded: Option<u64>,
    /// The vault's change number now.
    pub now: u64,
}

impl Vault {
    /// Copies the vault, as it stands at one moment, to a new file; others may write meanwhile. Needs no key. Returns
    /// the copy's length in bytes.
    pub fn backup(&self, target: &Path, world: &World<'_>) -> Result<u64, VaultError> {
        let failed = |source| VaultError::Io { path: target.to_owned(), source };
        if std::fs::symlink_metadata(target).is_ok() {
            return Err(VaultError::FileExists { path: target.to_owned() });
        }
        self.refuse_own_name(target)?;
        let draft = Draft::beside(target, world)?;
        let mut copy = Store::blank(draft.0.clone())?;
        self.store.copy_into(&mut copy, || Ok::<_, StoreError>(()))?;
        drop(copy);
        draft.move_to(target)?;
        Ok(std::fs::metadata(target).map_err(failed)?.len())
    }

    /// SQLite would take a file of these names beside the vault for a part of it.
    fn refuse_own_name(&self, target: &Path) -> Result<(), VaultError> {
        let folder = |path: &Path| {
            let folder =
                path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            folder.canonicalize().ok()
        };
        let own = ["-wal", "-shm", "-journal"].iter().any(|suffix| {
            let mut name = self.path().file_name().unwrap_or_default().to_owned();
            name.push(suffix);
            target.file_name() == Some(&name)
        });
        if own && folder(target) == folder(self.path()) {
            return Err(VaultError::OwnName { path: target.to_owned() });
        }
        Ok(())
    }

    /// What the file says of its state, authentic or not; it becomes another with every change.
    pub fn mark(&mut self) -> Mark {
        mark(&mut self.store)
    }

    /// Whether this file and the vault that it would replace are the same file, or of two vaults.
    pub fn refuse_other(&self, vault: &Self) -> Result<(), VaultError> {
        if self.checked.is(&vault.checked) {
            return Err(VaultError::BackupOfItself);
        }
        if vault.identity().vault_id != self.identity().vault_id {
            return Err(VaultError::AnotherVault);
        }
        Ok(())
    }

    /// What would change if this backup took the place of `here`.
    pub fn difference(&mut self, access: &Access, here: Option<&mut Self>) -> Result<Difference, VaultError> {
        let identity = self.identity();
        let look = |vault: &mut Self| vault.read(access, |work| Ok((work.change_number(), work.items()?)));
        let (backup, ours) = look(self)?;
        let mut difference = Difference { backup, ..Difference::default() };
        // A vault that was rekeyed since, or is damaged, keeps to itself what it has.
        let theirs = here.filter(|vault| vault.identity() == identity).and_then(|vault| look(vault).ok());
        let Some((here, theirs)) = theirs else { return Ok(difference) };
        difference.here = Some(here);
        let find = |items: &[Item], item: &Item| items.iter().position(|other| other.name == item.name);
        for item in &theirs {
            match find(&ours, item).and_then(|place| ours.get(place)) {
                None => difference.lost.push(item.name.clone()),
                Some(other) if other.versions != item.versions => difference.older.push(item.name.clone()),
                Some(_) => {}
            }
        }
        let back = ours.iter().filter(|item| find(&theirs, item).is_none());
        difference.back = back.map(|item| item.name.clone()).collect();
        Ok(difference)
    }

    /// Puts this backup in the place of the vault at `path`, or where there is none.
    ///
    /// The copy is made, verified from the first row to the last, given a change of its own under a number above all
    /// that is known here, and only then written over the vault, in one transaction of SQLite's. That is refused if the
    /// vault is not at the mark any more at which the caller looked: somebody was told that those changes are done.
    pub fn restore(
        &mut self,
        access: &Access,
        here: Option<(&mut Self, &Mark)>,
        path: &Path,
        world: &World<'_>,
    ) -> Result<Restored, VaultError> {
        if !access.has_root() {
            return Err(VaultError::NeedsRoot);
        }
        let identity = self.identity();
        let mut here = here;
        if let Some((vault, _)) = &here {
            self.refuse_other(vault)?;
        }
        let superseded =
            known_here(&identity, access, here.as_mut().map(|(vault, _)| &mut **vault), path, world);
        let found = self.read(access, |work| Ok(work.change_number()))?;
        let draft = Draft::beside(path, world)?;
        let mut copy = Store::blank(draft.0.clone())?;
        self.store.copy_into(&mut copy, || Ok::<_, StoreError>(()))?;
        drop(copy);
        let mut copy = Self::open(&draft.0, &world.pins)?;
        if let Some(Finding { row, what }) = copy.check(access)?.findings.into_iter().next() {
            return Err(VaultError::BackupDamaged { row, what });
        }
        copy.memory = Memory::None { elsewhere: None };
        let ((), record) = copy.commit_change(access, world, |work, _| {
            work.floor = superseded.unwrap_or(0);
            let known = superseded.map(|known| format!(", supersedes change {known}")).unwrap_or_default();
            Ok(((), world.event(Action::Restore, Vec::new(), format!("backup of change {found}{known}"))))
        })?;
        if let Some((vault, seen)) = here {
            copy.fold(world);
            // A second connection sees what stands there while the first one keeps others from changing it.
            let (mut witness, _) = Store::open(path.to_owned())?;
            let Self { store, checked, .. } = &mut *vault;
            copy.store.copy_into(store, || {
                checked.still_same()?;
                if mark(&mut witness) == *seen { Ok(()) } else { Err(VaultError::Changed) }
            })?;
            vault.fold(world);
            vault.header = copy.header.clone();
        } else {
            copy.store.fold_log()?;
            draft.move_to(path)?;
        }
        drop(copy);
        let now = record.record.change;
        let pinned = world.pins.replace(&identity, path, &record);
        pinned.unwrap_or_else(|error| (world.notice)(Notice::NotPinned(error)));
        Ok(Restored { path: path.to_owned(), found, superseded, now })
    }
}

fn mark(store: &mut Store) -> Mark {
    Mark(store.begin_reading().and_then(|tx| tx.state()).ok())
}

/// The highest change number that the vault or its pin tell of.
fn known_here(
    identity: &Identity,
    access: &Access,
    here: Option<&mut Vault>,
    path: &Path,
    world: &World<'_>,
) -> Option<u64> {
    let pinned = match world.pins.read(identity, path) {
        Memory::Pin(pin) => Some(pin.change),
        Memory::None { .. } | Memory::Unreadable => None,
    };
    let stands = here
        .filter(|vault| vault.identity() == *identity)
        .and_then(|vault| vault.read(access, |work| Ok(work.change_number())).ok());
    pinned.max(stands)
}
