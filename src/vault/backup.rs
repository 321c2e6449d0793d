//! A copy of the whole file, and the way back from one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::audit::Action;
use crate::clock::Moment;
use crate::identity::Identity;
use crate::name::{KeyName, TokenName};
use crate::state::pin::Memory;
use crate::store::{StateRow, Store, StoreError, TokenId};

use super::check::Finding;
use super::draft::Draft;
use super::error::VaultError;
use super::item::{Item, Version, VersionState};
use super::open::{Access, Notice, Vault, World};
use super::work::Work;

/// How a backup stands to the vault that it would take the place of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// The backup's change number.
    pub backup: u64,
    /// The vault's, if it could be read with the backup's keys.
    pub here: Option<u64>,
    /// Keys that only the vault has: they would be gone.
    pub lost: Vec<KeyName>,
    /// Keys of which the vault has other versions, or knows other things: they would be as they were.
    pub older: Vec<KeyName>,
    /// Keys with versions that were revoked since. They stay revoked.
    pub revoked: Vec<KeyName>,
    /// Whether the backup has other ways in: what opened it then would open it again.
    pub other_ways: bool,
    /// Keys that only the backup has: they would be back.
    pub back: Vec<KeyName>,
    /// Tokens that are in force here and not in the backup: they would open nothing any more.
    pub tokens: Vec<TokenName>,
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
    pub fn difference(
        &mut self,
        access: &Access,
        here: Option<&mut Self>,
        now: Moment,
    ) -> Result<Difference, VaultError> {
        let look = |work: &mut Work<'_>| {
            Ok((work.change_number(), work.items()?, work.slots()?, work.tokens_in_force()?))
        };
        let identity = self.identity();
        let (backup, ours, our_ways, our_tokens) = self.read(access, look)?;
        let mut difference = Difference { backup, ..Difference::default() };
        let Some(vault) = here else { return Ok(difference) };
        // A vault that was rekeyed since and is locked, or is damaged, keeps to itself what it has.
        let theirs =
            access.without_slot_for(&identity, vault, now).and_then(|access| vault.read(&access, look).ok());
        let Some((here, theirs, their_ways, their_tokens)) = theirs else {
            difference.other_ways = true;
            return Ok(difference);
        };
        difference.here = Some(here);
        difference.other_ways = our_ways != their_ways;
        let ours: BTreeMap<_, _> = ours.into_iter().map(|item| (item.id, item)).collect();
        for item in &theirs {
            match ours.get(&item.id) {
                None => difference.lost.push(item.name.clone()),
                Some(other) if !other.same_but_revision(item) => difference.older.push(item.name.clone()),
                Some(_) => {}
            }
            if ours.get(&item.id).is_some_and(|other| !revoked_since(item, other).is_empty()) {
                difference.revoked.push(item.name.clone());
            }
        }
        let theirs: BTreeSet<_> = theirs.iter().map(|item| item.id).collect();
        let back = ours.into_values().filter(|item| !theirs.contains(&item.id));
        difference.back = back.map(|item| item.name).collect();
        difference.back.sort();
        let gone = their_tokens.into_iter().filter(|(id, _)| !our_tokens.contains_key(id));
        difference.tokens = gone.map(|(_, name)| name).collect();
        difference.tokens.sort();
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
        let vault = here.as_mut().map(|(vault, _)| &mut **vault);
        let (superseded, revoked, tokens) = known_here(&identity, access, vault, path, world);
        let found = self.read(access, |work| Ok(work.change_number()))?;
        let draft = Draft::beside(path, world)?;
        let mut copy = Store::blank(draft.0.clone())?;
        self.store.copy_into(&mut copy, || Ok::<_, StoreError>(()))?;
        drop(copy);
        let mut copy = Self::open(&draft.0, &world.pins)?;
        // What a holder did to its own chain makes no backup useless; the change below tells of it.
        let mut damage = copy.check(access)?.findings.into_iter().filter(|finding| !finding.is_of_reads());
        if let Some(Finding { row, what }) = damage.next() {
            return Err(VaultError::BackupDamaged { row, what });
        }
        copy.memory = Memory::None { elsewhere: None };
        let ((), record) = copy.commit_change(access, world, |work, _| {
            work.floor = superseded.unwrap_or(0);
            work.revoke_again(&revoked, world)?;
            tokens.iter().try_for_each(|known| work.keep_tokens(known, world))?;
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

/// What the vault's place tells: the highest change number, the keys with revoked versions, the tokens in force.
type Known = (Option<u64>, Vec<Item>, Option<BTreeSet<TokenId>>);

/// What the vault and its pin tell.
fn known_here(
    identity: &Identity,
    access: &Access,
    here: Option<&mut Vault>,
    path: &Path,
    world: &World<'_>,
) -> Known {
    let pinned = world.pins.read(identity, path).pin().map(|pin| pin.change);
    let stands = here.and_then(|vault| {
        let access = access.without_slot_for(identity, vault, world.now())?;
        let look = |work: &mut Work<'_>| {
            Ok((work.change_number(), work.items()?, work.tokens_in_force()?.into_keys().collect()))
        };
        vault.read(&access, look).ok()
    });
    let Some((change, mut items, tokens)) = stands else { return (pinned, Vec::new(), None) };
    items.retain(|item| item.versions.iter().any(|version| version.state == VersionState::Revoked));
    (pinned.max(Some(change)), items, Some(tokens))
}

/// The versions of a key that are revoked now and were not then.
fn revoked_since(now: &Item, then: &Item) -> Vec<Version> {
    let revoked = now.versions.iter().filter(|version| version.state == VersionState::Revoked);
    let alive = |number| then.version(number).is_some_and(|version| version.state != VersionState::Revoked);
    revoked.filter(|version| alive(version.number)).cloned().collect()
}

impl Access {
    /// What reads a vault that may have other ways in than the one that was opened: the same daily keys, or those of its
    /// own session if it was rekeyed.
    fn without_slot_for(&self, opened: &Identity, vault: &Vault, now: Moment) -> Option<Self> {
        match &self.root {
            Some(root) if vault.identity() == *opened => {
                Some(Self { daily: root.daily(opened), root: None, slot: None })
            }
            _ => vault.session(now).map(Self::from),
        }
    }
}

impl Work<'_> {
    fn tokens_in_force(&mut self) -> Result<BTreeMap<TokenId, TokenName>, VaultError> {
        let in_force = self.load_tokens()?.into_iter().filter(|token| token.revoked.is_none());
        Ok(in_force.map(|token| (token.id, token.name)).collect())
    }

    /// Revoked versions never return, not with a backup either.
    fn revoke_again(&mut self, revoked: &[Item], world: &World<'_>) -> Result<(), VaultError> {
        if revoked.is_empty() {
            return Ok(());
        }
        for mut item in self.items()? {
            let Some(now) = revoked.iter().find(|known| known.id == item.id) else { continue };
            let since = revoked_since(now, &item);
            if since.is_empty() {
                continue;
            }
            for version in &mut item.versions {
                let Some(revoked) = since.iter().find(|revoked| revoked.number == version.number) else {
                    continue;
                };
                version.revoke(revoked.since, &revoked.reason);
                if revoked.digest.is_none() && version.digest.take().is_some() {
                    self.tx.delete_version(&item.id, version.number)?;
                }
            }
            self.put_item(&mut item, world.rng)?;
        }
        Ok(())
    }
}
