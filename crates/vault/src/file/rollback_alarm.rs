//! How a file stands to what this machine has seen, and accepting one that the pin alarms about.
//!
//! A dotfile sync, a Time Machine restore or a VM snapshot puts back a whole vault every day somewhere; nobody may be
//! locked out by that. It takes root, so that nobody adopts with a session in passing, and it is an entry in the log
//! that names what it supersedes. That is a rule of this program: daily keys can seal an old content as a new change.

use crate::audit::LogGap;
use crate::audit::{Action, Event};
use crate::ledger::{self, OwnKeys};
use crate::state::pin::{Memory, Standing};
use crate::state::witness::Witness;
use crate::store::Ledger;

use super::open::{Access, Notice, Vault, World};
use crate::error::VaultError;
use crate::token;
use crate::tx::VerifiedTx;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adopted {
    pub standing: Standing,
    /// The file's change number as it was found.
    pub found: u64,
    /// The change number that this machine had seen.
    pub superseded: u64,
    pub now: u64,
}

/// How the file stands to what this machine last saw, and what is to be said of it as a copy.
pub fn standing(vault: &mut Vault, access: &Access) -> Result<(Standing, Option<Notice>), VaultError> {
    let memory = vault.memory().clone();
    vault.read(access, |tx| Ok((tx.standing(), older_copy(&memory, tx))))
}

/// Refuses a vault in alarm as a change would, but before anything is asked.
pub fn refuse_in_alarm(vault: &mut Vault, access: &Access) -> Result<(), VaultError> {
    let path = vault.path().to_owned();
    vault.read(access, |tx| tx.refuse_in_alarm(&path))
}

/// Returns `true` if the pin alarms about a vault whose rows need not hold.
#[must_use]
pub fn alarms_despite_damage(vault: &mut Vault, access: &Access) -> bool {
    vault.read_damaged(access, |tx| Ok(tx.alarms())).unwrap_or(false)
}

/// Accepts the file in place under a number above both its own and the pin's; `None` if there is no alarm.
pub fn adopt(vault: &mut Vault, access: &Access, world: &World<'_>) -> Result<Option<Adopted>, VaultError> {
    if !access.has_root() {
        return Err(VaultError::NeedsRoot);
    }
    let standing = vault.read(access, |tx| Ok(tx.standing()))?;
    if !standing.alarms() {
        return Ok(None);
    }
    vault.change_even_in_alarm(access, world, |tx, _| {
        let found = tx.change_number();
        let superseded = tx.pinned().unwrap_or(found);
        tx.floor = superseded;
        // One that was ended since must not be back.
        token::end_some(tx, |_| true, world)?;
        token::former::end_of(tx, None)?;
        let adopted = Adopted { standing: tx.standing(), found, superseded, now: found.max(superseded) + 1 };
        let detail = format!("change {found} accepted, supersedes change {superseded} seen here");
        Ok((Some(adopted), Some(world.event(Action::Adopt, Vec::new(), detail))))
    })
}

/// Entries of the audit log that this machine saw, or that the last change recorded of a device, and that are no longer in it: a power cut took them, or someone cut
/// them off. Reported, and no reason to refuse anything.
pub fn missing_entries(vault: &mut Vault, access: &Access) -> Result<Option<LogGap>, VaultError> {
    let witness = vault.pins.witness(&vault.identity(), &vault.place);
    vault.read(access, |tx| match log_gap(tx, &witness)? {
        None if !tx.alarms() => ledger::gap(tx),
        gap => Ok(gap),
    })
}

/// The entries of this device's ledger that this machine saw and a transaction does not find. A log of the vault whose end
/// does not hold is found elsewhere, and a file that alarms is another one as a whole.
pub(crate) fn log_gap(tx: &VerifiedTx<'_>, witness: &Witness) -> Result<Option<LogGap>, VaultError> {
    if tx.alarms() {
        return Ok(None);
    }
    match OwnKeys::of(&tx.daily.audit, witness.ledger(), &tx.identity).load(tx.rows, &tx.identity) {
        Ok(chain) => Ok(witness.gap(&tx.identity, &chain.mark(), tx.rows)?),
        Err(_) if witness.ledger() == Ledger::Vault => Ok(None),
        Err(_) => Ok(witness.gap_without(&tx.identity)),
    }
}

/// The event of a change, which is where a gap in the log is recorded.
pub(crate) fn recorded(event: Event, gap: Option<LogGap>) -> Event {
    match gap {
        Some(gap) => event.behind_gap(gap),
        None => event,
    }
}

/// A copy that is older than another one is used, because both may be wanted; but not in silence.
pub(crate) fn tell_if_older(memory: &Memory, tx: &VerifiedTx<'_>, world: &World<'_>) {
    if let Some(notice) = older_copy(memory, tx) {
        world.note(notice);
    }
}

fn older_copy(memory: &Memory, tx: &VerifiedTx<'_>) -> Option<Notice> {
    let Memory::None { elsewhere: Some(pin) } = memory else { return None };
    let change = tx.change_number();
    pin.is_later_than(tx.identity.epoch, change).then(|| Notice::OlderCopy { pin: pin.clone(), change })
}
