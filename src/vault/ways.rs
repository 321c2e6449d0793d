//! The ways in: slots that are written anew, added and taken away. All of it needs root.

use std::collections::BTreeSet;

use crate::audit::Action;
use crate::crypto::{Cost, Digest};
use crate::identity::Identity;
use crate::state::StateError;
use crate::store::{HeaderRow, MAX_SLOTS, SlotRow};
use crate::unlock::keyfile::KeyFile;
use crate::unlock::keyring_entry::KeyringSecret;
use crate::unlock::keys::Root;
use crate::unlock::passphrase::Passphrase;
use crate::unlock::recovery::RecoveryCode;
use crate::unlock::slot::{self, Kind};

use super::error::VaultError;
use super::leaves;
use super::open::{Access, Vault, World};
use super::work::Work;

/// Up to here each number without a slot is proved to be one: there are never more, and the lowest free one is taken.
const HIGHEST_SLOT: u32 = 32;

/// A slot as `vault slot list` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// The slot's number.
    pub id: u32,
    /// What opens it.
    pub kind: Kind,
}

/// A secret that is to open the vault.
#[derive(Debug, Clone, Copy)]
pub enum Credential<'c> {
    /// A passphrase, at a cost.
    Passphrase(&'c Passphrase, Cost),
    /// A recovery code.
    Recovery(&'c RecoveryCode),
    /// A key file.
    KeyFile(&'c KeyFile),
    /// The entry of an OS keyring, which opens the daily key and not root.
    Keyring(&'c KeyringSecret),
}

impl Credential<'_> {
    fn opens(self, kind: Kind) -> bool {
        matches!(
            (self, kind),
            (Self::Passphrase(..), Kind::Passphrase(_))
                | (Self::Recovery(_), Kind::Recovery)
                | (Self::KeyFile(_), Kind::KeyFile)
                | (Self::Keyring(_), Kind::Keyring)
        )
    }

    /// A slot for `root` that this opens.
    pub(super) fn seal(
        self,
        id: u32,
        root: &Root,
        identity: &Identity,
        world: &World<'_>,
    ) -> Result<SlotRow, VaultError> {
        Ok(match self {
            Self::Passphrase(passphrase, cost) => {
                slot::seal_passphrase(id, root, passphrase, cost, identity, world.rng)
            }
            Self::Recovery(code) => slot::seal_recovery(id, root, code, identity, world.rng),
            Self::KeyFile(file) => slot::seal_key_file(id, root, file, identity, world.rng),
            Self::Keyring(secret) => {
                slot::seal_keyring(id, &root.daily(identity), secret, identity, world.rng)
            }
        }?)
    }
}

impl Vault {
    /// Whether there is a passphrase slot at all; nothing is believed of it yet.
    pub fn has_passphrase(&mut self) -> Result<bool, VaultError> {
        let rows = self.store.begin_reading()?.slots()?;
        Ok(rows.iter().any(|row| matches!(slot::kind(row), Ok(Kind::Passphrase(_)))))
    }

    /// Whether there is a keyring slot; nothing is believed of it yet.
    pub fn has_keyring(&mut self) -> Result<bool, VaultError> {
        let rows = self.store.begin_reading()?.slots()?;
        Ok(rows.iter().any(|row| matches!(slot::kind(row), Ok(Kind::Keyring))))
    }

    /// The ways in, each held against the tree.
    pub fn ways(&mut self, access: &Access) -> Result<Vec<Way>, VaultError> {
        self.read(access, |work| work.slots()?.iter().map(way).collect())
    }

    /// Writes the slots that credentials of these kinds open anew, or adds slots where there is none. What they opened
    /// before opens nothing in this file any more.
    pub fn replace_ways(
        &mut self,
        access: &Access,
        world: &World<'_>,
        action: Action,
        credentials: &[Credential<'_>],
    ) -> Result<Vec<Way>, VaultError> {
        let root = access.root.as_ref().ok_or(VaultError::NeedsRoot)?;
        let identity = self.identity();
        let before: Vec<_> = self.read(access, |work| {
            work.forget_missing_slots()?;
            work.slots()?.iter().map(way).collect()
        })?;
        let mut free = free_ids(&before);
        let mut rows = Vec::with_capacity(credentials.len());
        let mut gone = Vec::new();
        for credential in credentials {
            let mut same = before.iter().filter(|way| credential.opens(way.kind)).map(|way| way.id);
            let Some(id) = same.next().or_else(|| free.next()) else { return Err(VaultError::TooManyWays) };
            gone.extend(same);
            // Derived before the transaction, which others would have to wait for.
            rows.push(credential.seal(id, root, &identity, world)?);
        }
        let added = rows.iter().filter(|row| before.iter().all(|way| way.id != row.id)).count();
        if before.len() + added - gone.len() > MAX_SLOTS {
            return Err(VaultError::TooManyWays);
        }
        self.change(access, world, |work| {
            let missing = work.forget_missing_slots()?;
            expect_same(work, &before)?;
            gone.iter().try_for_each(|id| work.delete_slot(*id))?;
            rows.iter().try_for_each(|row| work.put_slot(row))?;
            let kinds: Vec<_> =
                rows.iter().map(way).map(|way| way.map(|way| way.kind.name())).collect::<Result<_, _>>()?;
            let missing = missing.iter().map(|id| format!("slot {id} was missing"));
            let detail: Vec<_> = kinds.into_iter().map(str::to_owned).chain(missing).collect();
            let event = world.event(action, Vec::new(), detail.join(", "));
            Ok((work.slots()?.iter().map(way).collect::<Result<_, _>>()?, event))
        })
    }

    /// Adds a way in beside those that there are.
    pub fn add_way(
        &mut self,
        access: &Access,
        world: &World<'_>,
        credential: Credential<'_>,
    ) -> Result<Way, VaultError> {
        let root = access.root.as_ref().ok_or(VaultError::NeedsRoot)?;
        let identity = self.identity();
        let before = self.ways(access)?;
        if before.len() >= MAX_SLOTS {
            return Err(VaultError::TooManyWays);
        }
        let Some(id) = free_ids(&before).next() else { return Err(VaultError::TooManyWays) };
        let row = credential.seal(id, root, &identity, world)?;
        self.change(access, world, |work| {
            expect_same(work, &before)?;
            let added = way(&row)?;
            work.put_slot(&row)?;
            let detail = format!("added slot {}, {}", added.id, added.kind.name());
            Ok((added, world.event(Action::Slot, Vec::new(), detail)))
        })
    }

    /// Takes a way in away; never the last one that gives root.
    pub fn remove_way(&mut self, access: &Access, world: &World<'_>, wanted: Way) -> Result<Way, VaultError> {
        if !access.has_root() {
            return Err(VaultError::NeedsRoot);
        }
        let removed = self.change(access, world, |work| {
            let ways = work.slots()?.iter().map(way).collect::<Result<Vec<_>, _>>()?;
            let id = wanted.id;
            let removed = *ways.iter().find(|way| way.id == id).ok_or(VaultError::NoSuchWay { id })?;
            // Numbers are given again: it may have become another way in since the question.
            if removed != wanted {
                return Err(VaultError::WaysChanged);
            }
            if removed.kind.gives_root() && ways.iter().filter(|way| way.kind.gives_root()).count() == 1 {
                return Err(VaultError::LastWay { id });
            }
            work.delete_slot(id)?;
            let detail = format!("removed slot {id}, {}", removed.kind.name());
            Ok((removed, world.event(Action::Slot, Vec::new(), detail)))
        })?;
        self.compact(world);
        Ok(removed)
    }
}

/// Between the derivation and the transaction somebody else may have changed the slots.
fn expect_same(work: &mut Work<'_>, before: &[Way]) -> Result<(), VaultError> {
    let now = work.slots()?.iter().map(way).collect::<Result<Vec<_>, _>>()?;
    if now == before { Ok(()) } else { Err(VaultError::WaysChanged) }
}

pub(super) fn way(row: &SlotRow) -> Result<Way, VaultError> {
    Ok(Way { id: row.id, kind: slot::kind(row)? })
}

/// The numbers that no slot has, the lowest first: so none is far above how many slots there may be.
fn free_ids(ways: &[Way]) -> impl Iterator<Item = u32> {
    (1..).filter(|id| ways.iter().all(|way| way.id != *id))
}

impl Work<'_> {
    /// All slots, each held against the tree, and none missing: one whose row was taken away for a while would be
    /// forgotten by a change of the ways in, and open the vault again when its row is back.
    pub(super) fn slots(&mut self) -> Result<Vec<SlotRow>, VaultError> {
        let rows = self.tx.slots()?;
        for row in &rows {
            let tag = self.slot_tag(row.id);
            // A slot of this very change is not in the tree yet.
            if self.leaf_changes.get(&tag) != Some(&Some(self.slot_leaf(row))) {
                self.expect_leaf(&tag, Some(self.slot_leaf(row)), "slot")?;
            }
        }
        let highest = rows.iter().map(|row| row.id).fold(HIGHEST_SLOT, u32::max);
        for id in (1..=highest).filter(|id| rows.iter().all(|row| row.id != *id)) {
            let tag = self.slot_tag(id);
            if self.leaf_changes.get(&tag) != Some(&None) && self.tree.leaf(&tag)?.is_some() {
                return Err(StateError::Apart { what: format!("slot {id}: its row is missing") }.into());
            }
        }
        Ok(rows)
    }

    /// Takes the slots out of the tree whose rows are missing, so that nothing opens the vault when such a row is back;
    /// their numbers. Without it a damaged slot would keep root from writing it anew.
    fn forget_missing_slots(&mut self) -> Result<Vec<u32>, VaultError> {
        let there: BTreeSet<_> = self.tx.slots()?.iter().map(|row| row.id).collect();
        let mut missing = Vec::new();
        for id in (1..=HIGHEST_SLOT).filter(|id| !there.contains(id)) {
            let tag = self.slot_tag(id);
            if self.tree.leaf(&tag)?.is_some() {
                self.leaf_changes.insert(tag, None);
                missing.push(id);
            }
        }
        Ok(missing)
    }

    /// The slot that was opened must be in the tree. If it is not, but the one that stands there now is, another command
    /// changed it after this one had opened it.
    pub(super) fn expect_slot(&mut self, opened: &SlotRow) -> Result<(), VaultError> {
        let known = self.tree.leaf(&self.slot_tag(opened.id))?;
        if known == Some(self.slot_leaf(opened)) {
            return Ok(());
        }
        let there = self.tx.slots()?.into_iter().find(|row| row.id == opened.id);
        if known == there.map(|row| self.slot_leaf(&row)) {
            Err(VaultError::WaysChanged)
        } else {
            Err(StateError::Mismatch { what: "slot".to_owned() }.into())
        }
    }

    pub(super) fn put_slot(&mut self, row: &SlotRow) -> Result<(), VaultError> {
        self.tx.put_slot(row)?;
        self.leaf_changes.insert(self.slot_tag(row.id), Some(self.slot_leaf(row)));
        Ok(())
    }

    fn delete_slot(&mut self, id: u32) -> Result<(), VaultError> {
        self.tx.delete_slot(id)?;
        self.leaf_changes.insert(self.slot_tag(id), None);
        Ok(())
    }

    pub(super) fn put_header(&mut self, header: &HeaderRow) -> Result<(), VaultError> {
        self.tx.put_header(header)?;
        let leaf: Digest = leaves::header_leaf(&self.keys.tree, header);
        self.leaf_changes.insert(self.tag(leaves::Kind::Header, &[]), Some(leaf));
        Ok(())
    }
}
