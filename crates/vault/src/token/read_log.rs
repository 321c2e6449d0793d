//! The log as a whole: the vault's chain, and among it the reads of the owner's devices and of tokens' bearers, each held
//! against what the last change recorded of it.

use crate::audit::{self, Action, AfterChange, AuditError, Event, Seed};
use crate::ledger;
use crate::store::{LedgerId, StoreError};
use crate::unlock::token::TokenKeys;
use keyvault_core::clock::Moment;
use keyvault_core::crypto::SealingKey;
use keyvault_core::name::TokenName;

use super::index;
use super::record::TokenRecord;
use crate::error::VaultError;
use crate::file::open::{Access, Notice, Vault, World};
use crate::tx::{VerifiedTx, damaged};

/// The ledger of an entry, and its number there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Of {
    /// The vault's own.
    Vault(u64),
    /// That of a device of the owner.
    Device(LedgerId, u64),
    /// A chain of a token's bearer.
    Token(TokenName, u64),
}

impl Of {
    /// Returns `true` if it counts as what it says. A token's bearer writes its entries itself, and all that it can do
    /// is read; so is all that a device's ledger is for.
    #[must_use]
    pub(crate) fn vouches_for(&self, event: &Event) -> bool {
        matches!(self, Self::Vault(_))
            || matches!(event.action, Action::Exec | Action::Export | Action::Reveal)
    }

    /// Returns `true` if the owner wrote it.
    #[must_use]
    pub(crate) fn is_owners(&self) -> bool {
        matches!(self, Self::Vault(_) | Self::Device(..))
    }
}

/// A chain of reads beside the vault's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reader {
    Device(LedgerId),
    Token(TokenName),
}

/// A chain of reads that does not hold, and what is wrong with it.
pub type BrokenReads = (Reader, String);

/// The reads that hold, by their readers, and the chains that do not.
#[derive(Debug, Default)]
pub struct VerifiedReads {
    pub of_devices: usize,
    pub of_tokens: usize,
    pub broken: Vec<BrokenReads>,
}

/// Reads the vault's log, each entry checked to follow from the one before, and what was read on devices and with tokens
/// among it by time. Returns the readers whose reads cannot be proved; those of tokens are left out, and those of devices
/// as far as they do not open.
pub fn whole_log(
    vault: &mut Vault,
    access: &Access,
    take: &mut dyn FnMut(&Of, &Event),
) -> Result<Vec<BrokenReads>, VaultError> {
    vault.read(access, |tx| read_all_logs(tx, take))
}

/// Verifies what was read on devices and with tokens, each chain from its start if root is there.
pub fn verify_reads(vault: &mut Vault, access: &Access) -> Result<VerifiedReads, VaultError> {
    let root = vault.seed_key(access);
    vault.read(access, |tx| {
        let mut verified = VerifiedReads::default();
        for (id, entries) in ledger::verify(tx, root.as_ref())? {
            match entries {
                Ok(entries) => verified.of_devices += usize::try_from(entries).unwrap_or(usize::MAX),
                Err(fault) => verified.broken.push((Reader::Device(id), fault.to_string())),
            }
        }
        for record in index::load_all(tx)? {
            let (record, reads, fault) = told_reads(tx, record);
            verified.of_tokens += reads.len();
            verified.broken.extend(fault.map(|fault| (Reader::Token(record.name), fault)));
        }
        Ok(verified)
    })
}

/// A read beside the vault's ledger, where the whole log has it.
struct Beside {
    /// The vault's last change before it, if it says so: no clock decides about that.
    after: Option<u64>,
    /// Its time, or that of one before it in its ledger, if that is later.
    at: Moment,
    of: Of,
    event: Event,
}

/// The order of each log's entries is that of their numbers. A device's read is between the change that it names and the
/// next; all else is among others by time.
pub(crate) fn read_all_logs(
    tx: &mut VerifiedTx<'_>,
    take: &mut dyn FnMut(&Of, &Event),
) -> Result<Vec<BrokenReads>, VaultError> {
    let (mut reads, mut broken) = (Vec::new(), Vec::new());
    for ledger::Reads { id, events, fault } in ledger::reads(tx)? {
        in_order(events, |seq| Of::Device(id, seq), &mut reads);
        broken.extend(fault.map(|fault| (Reader::Device(id), fault.to_string())));
    }
    for record in index::load_all(tx)? {
        let (record, events, fault) = told_reads(tx, record);
        in_order(events, |seq| Of::Token(record.name.clone(), seq), &mut reads);
        broken.extend(fault.map(|fault| (Reader::Token(record.name.clone()), fault)));
    }
    let (mut placed, mut timed): (Vec<_>, Vec<_>) = reads.into_iter().partition(|read| read.after.is_some());
    placed.sort_by_key(|read| (read.after, read.at));
    timed.sort_by_key(|read| read.at);
    let (mut placed, mut timed) = (placed.into_iter().peekable(), timed.into_iter().peekable());
    let mut last_change = 0;
    let give = |due: &mut Vec<Beside>, take: &mut dyn FnMut(&Of, &Event)| {
        due.sort_by_key(|read| read.at);
        due.drain(..).for_each(|read| take(&read.of, &read.event));
    };
    let mut due = Vec::new();
    audit::read_all(tx.rows, &tx.daily.audit, &tx.identity, &mut |seq, event| {
        while let Some(read) = timed.next_if(|read| read.at < event.time) {
            due.push(read);
        }
        let change = event.change.map(|change| change.number);
        let is_before = |read: &Beside| match (read.after, change) {
            (Some(after), Some(change)) => after < change,
            // A session's reads come with the change that ends it.
            (Some(after), None) => after <= last_change && (event.is_carried() || read.at < event.time),
            (None, _) => false,
        };
        while let Some(read) = placed.next_if(is_before) {
            due.push(read);
        }
        give(&mut due, take);
        last_change = change.unwrap_or(last_change);
        take(&Of::Vault(seq), &event);
    })?;
    due.extend(placed.chain(timed));
    give(&mut due, take);
    Ok(broken)
}

fn in_order(events: Vec<Event>, of: impl Fn(u64) -> Of, reads: &mut Vec<Beside>) {
    let mut latest = Moment(i64::MIN);
    for (seq, event) in (0..).zip(events) {
        latest = latest.max(event.time);
        let of = of(seq);
        let after = event.get().filter(|_| of.is_owners()).map(|AfterChange(change)| change);
        reads.push(Beside { after, at: latest, of, event });
    }
}

/// The reads of a token's bearer, from the first entry on.
pub(crate) fn reads_of(tx: &VerifiedTx<'_>, record: &TokenRecord) -> Result<Vec<Event>, VaultError> {
    let keys = record.keys(&tx.identity).audit;
    let first = SealingKey::from_bytes(record.first_key.expose()).ok_or_else(|| damaged("token: k₀"))?;
    audit::verify(tx.rows, &keys, &tx.identity, Some(Seed::from(first)))?;
    audit::passes_through(tx.rows, keys.ledger, &record.read)?;
    let mut events = Vec::new();
    audit::read_all(tx.rows, &keys, &tx.identity, &mut |_, event| events.push(event))?;
    Ok(events)
}

/// The reads that a token keeps under another secret. A chain that cannot be proved is dropped with a notice: it must not
/// keep the owner from giving the token another secret.
pub(crate) fn reads_to_keep(
    tx: &VerifiedTx<'_>,
    record: &TokenRecord,
    world: &World<'_>,
) -> Result<Vec<Event>, VaultError> {
    match reads_of(tx, record) {
        Err(error) => {
            let fault = fault_of(error)?;
            world.note(Notice::ReadsBroken { token: record.name.clone(), fault });
            Ok(Vec::new())
        }
        reads => reads,
    }
}

/// The bearer's reads, or the reason why they cannot be told.
pub(crate) fn told_reads(
    tx: &VerifiedTx<'_>,
    record: TokenRecord,
) -> (TokenRecord, Vec<Event>, Option<String>) {
    match reads_of(tx, &record) {
        Ok(reads) => (record, reads, None),
        Err(error) => (record, Vec::new(), Some(error.fault())),
    }
}

/// Records how far the bearer's chain has come. A fault in it is reported, and found by a check; it must not keep the
/// owner from changing the vault.
pub(crate) fn note_reads(
    tx: &VerifiedTx<'_>,
    record: &mut TokenRecord,
    keys: &TokenKeys,
    world: &World<'_>,
) -> Result<bool, VaultError> {
    match audit::reached(tx.rows, &keys.audit, &tx.identity, &record.read) {
        Ok(mark) => Ok(std::mem::replace(&mut record.read, mark) != mark),
        Err(error) => {
            let fault = fault_of(error.into())?;
            world.note(Notice::ReadsBroken { token: record.name.clone(), fault });
            Ok(false)
        }
    }
}

/// The fault of a chain, whose rows its bearer can write; or the error, if it is another.
pub(crate) fn fault_of(error: VaultError) -> Result<AuditError, VaultError> {
    match error {
        VaultError::Store(fault @ StoreError::Damaged { .. }) => Ok(fault.into()),
        VaultError::Audit(
            fault @ (AuditError::Broken { .. } | AuditError::Store(StoreError::Damaged { .. })),
        ) => Ok(fault),
        error => Err(error),
    }
}
