//! The slots: rewritten, added, and removed. All of it needs root.

pub(crate) mod rekey;
pub(crate) mod strays;

pub(crate) use self::rekey::reseal;
pub use self::rekey::{before_rekey, rekey, rekey_overlapping};
pub(crate) use self::strays::verified;
pub use self::strays::{passed_over, remove_strays};
pub use crate::token::former::LONGEST as LONGEST_OVERLAP;

use crate::audit::Action;
use crate::state::StateError;
use crate::store::{MAX_SLOTS, SlotRow, Tx};
use crate::unlock::keyfile::KeyFile;
use crate::unlock::keyring_entry::KeyringSecret;
use crate::unlock::keys::Root;
use crate::unlock::passphrase::Passphrase;
use crate::unlock::recovery::RecoveryCode;
use crate::unlock::slot::{self, SlotKind};
use keyvault_core::crypto::Cost;
use keyvault_core::identity::Identity;

use super::error::{VaultError, is_of_rows};
use super::file::open::{Access, Vault, World};
use super::file::survivors::Loss;
use super::tx::VerifiedTx;
use crate::file;

/// A slot as `vault slot list` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    pub id: u32,
    pub kind: SlotKind,
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
    fn kind(self) -> SlotKind {
        match self {
            Self::Passphrase(_, cost) => SlotKind::Passphrase(cost),
            Self::Recovery(_) => SlotKind::Recovery,
            Self::KeyFile(_) => SlotKind::KeyFile,
            Self::Keyring(_) => SlotKind::Keyring,
        }
    }

    fn opens(self, kind: SlotKind) -> bool {
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

/// Returns `true` if there is a passphrase slot at all; nothing is believed of it yet.
pub fn has_passphrase(vault: &mut Vault) -> Result<bool, VaultError> {
    let rows = vault.store.begin_reading()?.slots()?;
    Ok(rows.iter().any(|row| matches!(slot::kind(row), Ok(SlotKind::Passphrase(_)))))
}

/// Returns `true` if there is a keyring slot; nothing is believed of it yet.
pub fn has_keyring(vault: &mut Vault) -> Result<bool, VaultError> {
    let rows = vault.store.begin_reading()?.slots()?;
    Ok(rows.iter().any(|row| matches!(slot::kind(row), Ok(SlotKind::Keyring))))
}

/// The slots that the tree knows.
pub fn list(vault: &mut Vault, access: &Access) -> Result<Vec<Slot>, VaultError> {
    vault.read(access, |tx| Ok(slots_of(&verified(tx)?)))
}

/// Rewrites the slots that credentials of these kinds open, or adds slots where there is none. The secrets that
/// opened them before open nothing in this file any more.
pub fn replace(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    action: Action,
    credentials: &[Credential<'_>],
) -> Result<Vec<Slot>, VaultError> {
    let root = access.root.as_ref().ok_or(VaultError::NeedsRoot)?;
    let identity = vault.identity();
    let before = list(vault, access)?;
    let mut free = free_ids(&before);
    let mut rows = Vec::with_capacity(credentials.len());
    let mut gone = Vec::new();
    for credential in credentials {
        let mut same = before.iter().filter(|slot| credential.opens(slot.kind)).map(|slot| slot.id);
        let Some(id) = same.next().or_else(|| free.next()) else { return Err(VaultError::TooManySlots) };
        gone.extend(same);
        // Derived before the transaction, which others would have to wait for.
        rows.push(credential.seal(id, root, &identity, world)?);
    }
    let added = rows.iter().filter(|row| before.iter().all(|slot| slot.id != row.id)).count();
    if before.len() + added - gone.len() > MAX_SLOTS {
        return Err(VaultError::TooManySlots);
    }
    vault.change(access, world, |tx| {
        expect_same(tx, &before)?;
        let strays = strays::drop_strays(tx)?;
        gone.iter().try_for_each(|id| delete(tx, *id))?;
        rows.iter().try_for_each(|row| put(tx, row))?;
        let kinds = credentials.iter().map(|credential| credential.kind().name().to_owned());
        let detail: Vec<_> = kinds.chain(strays).collect();
        let event = world.event(action, Vec::new(), detail.join(", "));
        Ok((slots_of(&verified(tx)?), event))
    })
}

/// The loss that [`recover`] would cause, if it was damage that kept [`replace`] from its work; otherwise the error as
/// it was.
pub fn recovery_loss(vault: &mut Vault, access: &Access, error: VaultError) -> Result<Loss, VaultError> {
    if is_of_rows(&error) { Ok(before_rekey(vault, access)?.loss) } else { Err(error) }
}

/// Replaces slots as [`replace`] does, with a credential that still opens the vault when the passphrase is gone. Damage
/// that is in the way is dropped first, in a change of its own; returns the loss.
pub fn recover(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    credentials: &[Credential<'_>],
) -> Result<(Vec<Slot>, Loss), VaultError> {
    match replace(vault, access, world, Action::Recover, credentials) {
        Err(error) if is_of_rows(&error) => {
            let loss = file::mend(vault, access, world)?;
            Ok((replace(vault, access, world, Action::Recover, credentials)?, loss))
        }
        slots => Ok((slots?, Loss::default())),
    }
}

/// Adds a slot beside those that there are.
pub fn add(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    credential: Credential<'_>,
) -> Result<Slot, VaultError> {
    let root = access.root.as_ref().ok_or(VaultError::NeedsRoot)?;
    let identity = vault.identity();
    let before = list(vault, access)?;
    if before.len() >= MAX_SLOTS {
        return Err(VaultError::TooManySlots);
    }
    let Some(id) = free_ids(&before).next() else { return Err(VaultError::TooManySlots) };
    let row = credential.seal(id, root, &identity, world)?;
    vault.change(access, world, |tx| {
        expect_same(tx, &before)?;
        let strays = strays::drop_strays(tx)?;
        put(tx, &row)?;
        let added = Slot { id, kind: credential.kind() };
        let detail = format!("added slot {id}, {}{}", added.kind.name(), appended(&strays));
        Ok((added, world.event(Action::Slot, Vec::new(), detail)))
    })
}

/// Takes a slot away; never the last one that gives root.
pub fn remove(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    wanted: Slot,
) -> Result<Slot, VaultError> {
    if !access.has_root() {
        return Err(VaultError::NeedsRoot);
    }
    let removed = vault.change(access, world, |tx| {
        let slots = slots_of(&verified(tx)?);
        let id = wanted.id;
        let removed = *slots.iter().find(|slot| slot.id == id).ok_or(VaultError::NoSuchSlot { id })?;
        // Numbers are given again: it may have become another slot since the question.
        if removed != wanted {
            return Err(VaultError::SlotsChanged);
        }
        if removed.kind.gives_root() && slots.iter().filter(|slot| slot.kind.gives_root()).count() == 1 {
            return Err(VaultError::LastSlot { id });
        }
        let strays = strays::drop_strays(tx)?;
        delete(tx, id)?;
        let detail = format!("removed slot {id}, {}{}", removed.kind.name(), appended(&strays));
        tx.takes_away = true;
        Ok((removed, world.event(Action::Slot, Vec::new(), detail)))
    })?;
    vault.compact(world);
    Ok(removed)
}

/// Between the derivation and the transaction somebody else may have changed the slots.
fn expect_same(tx: &mut VerifiedTx<'_>, before: &[Slot]) -> Result<(), VaultError> {
    if slots_of(&verified(tx)?) == before { Ok(()) } else { Err(VaultError::SlotsChanged) }
}

/// More of an event's detail.
fn appended(more: &[String]) -> String {
    more.iter().fold(String::new(), |text, more| text + ", " + more)
}

fn slots_of(rows: &[SlotRow]) -> Vec<Slot> {
    rows.iter().filter_map(slot_of).collect()
}

pub(crate) fn slot_of(row: &SlotRow) -> Option<Slot> {
    slot::kind(row).ok().map(|kind| Slot { id: row.id, kind })
}

/// The numbers that no slot has, the lowest first: so none is far above how many slots there may be.
fn free_ids(slots: &[Slot]) -> impl Iterator<Item = u32> {
    (1..).filter(|id| slots.iter().all(|slot| slot.id != *id))
}

/// The slot that was opened must be in the tree. If it is not, but the one that stands there now is, another command
/// changed it after this one had opened it.
pub(crate) fn expect_opened(tx: &mut VerifiedTx<'_>, opened: &SlotRow) -> Result<(), VaultError> {
    let known = tx.tree.leaf(&tx.slot_tag(opened.id))?;
    if known == Some(tx.slot_leaf(opened)) {
        return Ok(());
    }
    let there = tx.rows.slots()?.into_iter().find(|row| row.id == opened.id);
    if known == there.map(|row| tx.slot_leaf(&row)) {
        Err(VaultError::SlotsChanged)
    } else {
        Err(StateError::Mismatch { what: "slot".to_owned() }.into())
    }
}

/// The slot that was opened must be one of those that are proved, as it was opened. If it stands there unproved, too little
/// of the vault is left to prove anything.
pub(crate) fn expect_proved(rows: &Tx<'_>, opened: &SlotRow, proved: &[SlotRow]) -> Result<(), VaultError> {
    if proved.contains(opened) {
        Ok(())
    } else if rows.slots()?.contains(opened) {
        Err(StateError::Mismatch { what: "slot".to_owned() }.into())
    } else {
        Err(VaultError::SlotsChanged)
    }
}

pub(crate) fn put(tx: &mut VerifiedTx<'_>, row: &SlotRow) -> Result<(), VaultError> {
    tx.rows.put_slot(row)?;
    tx.leaf_changes.insert(tx.slot_tag(row.id), Some(tx.slot_leaf(row)));
    Ok(())
}

fn delete(tx: &mut VerifiedTx<'_>, id: u32) -> Result<(), VaultError> {
    tx.rows.delete_slot(id)?;
    tx.leaf_changes.insert(tx.slot_tag(id), None);
    Ok(())
}
