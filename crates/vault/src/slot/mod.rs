//! The ways in: slots that are written anew, added and taken away. All of it needs root.

pub(crate) mod rekey;
pub(crate) mod strays;

use crate::audit::Action;
use crate::state::StateError;
use crate::store::{HeaderRow, MAX_SLOTS, SlotRow};
use crate::unlock::keyfile::KeyFile;
use crate::unlock::keyring_entry::KeyringSecret;
use crate::unlock::keys::Root;
use crate::unlock::passphrase::Passphrase;
use crate::unlock::recovery::RecoveryCode;
use crate::unlock::slot::{self, Kind};
use keyvault_core::crypto::{Cost, Digest};
use keyvault_core::identity::Identity;

use super::error::VaultError;
use super::file::open::{Access, Vault, World};
use super::file::restore_guard::is_of_rows;
use super::file::survivors::Loss;
use super::tx::Work;
use super::tx::leaf;

/// A slot as `vault slot list` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    pub id: u32,
    pub kind: Kind,
}

/// A secret that is to open the vault.
#[derive(Debug, Clone, Copy)]
pub enum Credential<'c> {
    Passphrase(&'c Passphrase, Cost),
    Recovery(&'c RecoveryCode),
    KeyFile(&'c KeyFile),
    /// The entry of an OS keyring, which opens the daily key and not root.
    Keyring(&'c KeyringSecret),
}

impl Credential<'_> {
    fn kind(self) -> Kind {
        match self {
            Self::Passphrase(_, cost) => Kind::Passphrase(cost),
            Self::Recovery(_) => Kind::Recovery,
            Self::KeyFile(_) => Kind::KeyFile,
            Self::Keyring(_) => Kind::Keyring,
        }
    }

    fn opens(self, kind: Kind) -> bool {
        std::mem::discriminant(&self.kind()) == std::mem::discriminant(&kind)
    }

    /// A slot for `root` that this opens.
    pub(crate) fn seal(
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

    /// The ways in that the tree knows.
    pub fn ways(&mut self, access: &Access) -> Result<Vec<Way>, VaultError> {
        self.read(access, |work| Ok(ways_of(&work.slots()?)))
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
        let before = self.ways(access)?;
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
            expect_same(work, &before)?;
            let strays = work.drop_strays()?;
            gone.iter().try_for_each(|id| work.delete_slot(*id))?;
            rows.iter().try_for_each(|row| work.put_slot(row))?;
            let kinds = credentials.iter().map(|credential| credential.kind().name().to_owned());
            let detail: Vec<_> = kinds.chain(strays).collect();
            let event = world.event(action, Vec::new(), detail.join(", "));
            Ok((ways_of(&work.slots()?), event))
        })
    }

    /// What [`Self::recover_ways`] would drop, if it was damage that kept [`Self::replace_ways`] from its work; otherwise
    /// the error as it was.
    pub fn recovery_loss(&mut self, access: &Access, error: VaultError) -> Result<Loss, VaultError> {
        if is_of_rows(&error) { Ok(self.before_rekey(access)?.loss) } else { Err(error) }
    }

    /// The same with what opens the vault when the passphrase is gone. Damage that is in the way is dropped first, in a
    /// change of its own; what was lost by it.
    pub fn recover_ways(
        &mut self,
        access: &Access,
        world: &World<'_>,
        credentials: &[Credential<'_>],
    ) -> Result<(Vec<Way>, Loss), VaultError> {
        match self.replace_ways(access, world, Action::Recover, credentials) {
            Err(error) if is_of_rows(&error) => {
                let loss = self.mend(access, world)?;
                Ok((self.replace_ways(access, world, Action::Recover, credentials)?, loss))
            }
            ways => Ok((ways?, Loss::default())),
        }
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
            let strays = work.drop_strays()?;
            work.put_slot(&row)?;
            let added = Way { id, kind: credential.kind() };
            let detail = format!("added slot {id}, {}{}", added.kind.name(), appended(&strays));
            Ok((added, world.event(Action::Slot, Vec::new(), detail)))
        })
    }

    /// Takes a way in away; never the last one that gives root.
    pub fn remove_way(&mut self, access: &Access, world: &World<'_>, wanted: Way) -> Result<Way, VaultError> {
        if !access.has_root() {
            return Err(VaultError::NeedsRoot);
        }
        let removed = self.change(access, world, |work| {
            let ways = ways_of(&work.slots()?);
            let id = wanted.id;
            let removed = *ways.iter().find(|way| way.id == id).ok_or(VaultError::NoSuchWay { id })?;
            // Numbers are given again: it may have become another way in since the question.
            if removed != wanted {
                return Err(VaultError::WaysChanged);
            }
            if removed.kind.gives_root() && ways.iter().filter(|way| way.kind.gives_root()).count() == 1 {
                return Err(VaultError::LastWay { id });
            }
            let strays = work.drop_strays()?;
            work.delete_slot(id)?;
            let detail = format!("removed slot {id}, {}{}", removed.kind.name(), appended(&strays));
            Ok((removed, world.event(Action::Slot, Vec::new(), detail)))
        })?;
        self.compact(world);
        Ok(removed)
    }
}

/// Between the derivation and the transaction somebody else may have changed the slots.
fn expect_same(work: &mut Work<'_>, before: &[Way]) -> Result<(), VaultError> {
    if ways_of(&work.slots()?) == before { Ok(()) } else { Err(VaultError::WaysChanged) }
}

/// More of an event's detail.
fn appended(more: &[String]) -> String {
    more.iter().fold(String::new(), |text, more| text + ", " + more)
}

fn ways_of(rows: &[SlotRow]) -> Vec<Way> {
    rows.iter().filter_map(way).collect()
}

pub(crate) fn way(row: &SlotRow) -> Option<Way> {
    slot::kind(row).ok().map(|kind| Way { id: row.id, kind })
}

/// The numbers that no slot has, the lowest first: so none is far above how many slots there may be.
fn free_ids(ways: &[Way]) -> impl Iterator<Item = u32> {
    (1..).filter(|id| ways.iter().all(|way| way.id != *id))
}

impl Work<'_> {
    /// The slot that was opened must be in the tree. If it is not, but the one that stands there now is, another command
    /// changed it after this one had opened it.
    pub(crate) fn expect_slot(&mut self, opened: &SlotRow) -> Result<(), VaultError> {
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

    pub(crate) fn put_slot(&mut self, row: &SlotRow) -> Result<(), VaultError> {
        self.tx.put_slot(row)?;
        self.leaf_changes.insert(self.slot_tag(row.id), Some(self.slot_leaf(row)));
        Ok(())
    }

    fn delete_slot(&mut self, id: u32) -> Result<(), VaultError> {
        self.tx.delete_slot(id)?;
        self.leaf_changes.insert(self.slot_tag(id), None);
        Ok(())
    }

    pub(crate) fn put_header(&mut self, header: &HeaderRow) -> Result<(), VaultError> {
        self.tx.put_header(header)?;
        let leaf: Digest = leaf::header_leaf(&self.keys.tree, header);
        self.leaf_changes.insert(self.tag(leaf::Kind::Header, &[]), Some(leaf));
        Ok(())
    }
}
