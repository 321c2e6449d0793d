//! Slots that are passed over: rows that are no slots or that the tree does not know, and rows that are gone. Anyone
//! who can write the file can make all of these without a key; they block no slot that holds, and are reported.

use std::collections::BTreeMap;

use crate::audit::Action;
use crate::store::{HIGHEST_SLOT, SlotRow};
use crate::unlock::slot::{self, Untried};
use keyvault_core::crypto::Digest;

use crate::error::VaultError;
use crate::file::open::{Access, Vault, World};
use crate::tx::VerifiedTx;

/// A slot that is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassedOver {
    pub slot: i64,
    pub why: Unusable,
}

/// Why a slot is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It is not one, or trying it would cost too much.
    #[error(transparent)]
    Untried(#[from] Untried),
    /// It was added or altered by somebody without the vault's keys.
    #[error("is not one that the tree knows")]
    Unknown,
    /// The tree knows it, and its row is gone.
    #[error("its row is missing")]
    Missing,
    /// Rows have numbers that no slot has; this is the lowest of these.
    #[error("a number that no slot has")]
    Beyond { rows: u64 },
}

/// The number of a slot on which rows and tree do not agree.
type Stray = (u32, Unusable);

/// The slots that are passed over, in the order of their numbers. With `access` also those that only the tree tells
/// from the vault's own.
pub fn passed_over(vault: &mut Vault, access: Option<&Access>) -> Result<Vec<PassedOver>, VaultError> {
    let Some(access) = access else {
        let rows = vault.store.begin_reading()?;
        return Ok(gather(&rows.slots()?, rows.slots_beyond()?, Vec::new()));
    };
    vault.read(access, |tx| {
        let (_, strays) = sort(tx)?;
        Ok(gather(&tx.rows.slots()?, tx.rows.slots_beyond()?, strays))
    })
}

/// Takes the slots out of the file that are not the vault's, and out of the tree those whose rows are gone.
pub fn remove_strays(vault: &mut Vault, access: &Access, world: &World<'_>) -> Result<(), VaultError> {
    if !access.has_root() {
        return Err(VaultError::NeedsRoot);
    }
    vault.change(access, world, |tx| {
        let strays = drop_strays(tx)?;
        if strays.is_empty() {
            return Err(VaultError::NoStrays);
        }
        tx.takes_away = true;
        Ok(((), world.event(Action::Slot, Vec::new(), strays.join(", "))))
    })?;
    vault.compact(world);
    Ok(())
}

/// One reason for each number: what is wrong with a row by itself says more than that the tree does not know it.
fn gather(rows: &[SlotRow], beyond: Option<(u64, i64)>, strays: Vec<Stray>) -> Vec<PassedOver> {
    let untried = slot::untried(rows).into_iter().map(|(id, why)| (id, Unusable::from(why)));
    let (sum, alone): (Vec<_>, Vec<_>) = untried.partition(|(_, why)| *why == Untried::Sum.into());
    let numbered = sum.into_iter().chain(strays).chain(alone).map(|(id, why)| (i64::from(id), why));
    let beyond = beyond.map(|(rows, lowest)| (lowest, Unusable::Beyond { rows }));
    let found: BTreeMap<_, _> = numbered.chain(beyond).collect();
    found.into_iter().map(|(slot, why)| PassedOver { slot, why }).collect()
}

/// The slots that the tree knows.
pub(crate) fn verified(tx: &mut VerifiedTx<'_>) -> Result<Vec<SlotRow>, VaultError> {
    Ok(sort(tx)?.0)
}

/// The slots that the tree knows, and those that are apart from it.
fn sort(tx: &mut VerifiedTx<'_>) -> Result<(Vec<SlotRow>, Vec<Stray>), VaultError> {
    let mut rows = tx.rows.slots()?.into_iter().peekable();
    let (mut known, mut strays) = (Vec::new(), Vec::new());
    for id in 1..=HIGHEST_SLOT {
        match (rows.next_if(|row| row.id == id), proved_leaf(tx, id)?) {
            (None, None) => {}
            (None, Some(_)) => strays.push((id, Unusable::Missing)),
            (Some(row), leaf) if leaf != Some(tx.slot_leaf(&row)) => {
                strays.push((id, Unusable::Unknown));
            }
            (Some(row), _) => match slot::kind(&row) {
                Ok(_) => known.push(row),
                Err(why) => strays.push((id, why.into())),
            },
        }
    }
    Ok((known, strays))
}

/// The leaf that the tree has for a slot, with the changes of this very transaction.
fn proved_leaf(tx: &mut VerifiedTx<'_>, id: u32) -> Result<Option<Digest>, VaultError> {
    let tag = tx.slot_tag(id);
    match tx.leaf_changes.get(&tag) {
        Some(changed) => Ok(*changed),
        None => Ok(tx.tree.leaf(&tag)?),
    }
}

/// Makes rows and tree agree on the slots: a row that the tree does not know goes, and a row that is gone opens nothing
/// when it is put back. Returns notes for the log.
pub(crate) fn drop_strays(tx: &mut VerifiedTx<'_>) -> Result<Vec<String>, VaultError> {
    let mut done = Vec::new();
    for (id, why) in sort(tx)?.1 {
        done.push(match why {
            Unusable::Missing => format!("slot {id} was missing"),
            _ => format!("dropped slot {id}, which was not the vault's"),
        });
        tx.rows.delete_slot(id)?;
        if proved_leaf(tx, id)?.is_some() {
            let tag = tx.slot_tag(id);
            tx.leaf_changes.insert(tag, None);
        }
    }
    if let Some((rows, _)) = tx.rows.slots_beyond()? {
        tx.rows.delete_slots_beyond()?;
        done.push(format!("dropped {rows} rows beyond the slots"));
    }
    Ok(done)
}
