//! The reads of tokens' bearers, on the owner's side: their chains, held against what the last change recorded of them.

use crate::audit::{self, Action, AuditError, Chain, Event, Seed};
use crate::store::StoreError;
use crate::unlock::token::TokenKeys;
use keyvault_core::clock::Moment;
use keyvault_core::crypto::SealingKey;
use keyvault_core::name::TokenName;

use super::index;
use super::record::{ChainMark, TokenRecord};
use crate::error::VaultError;
use crate::file::open::{Access, Notice, Vault, World};
use crate::tx::{VerifiedTx, damaged};

/// The ledger of an entry, and its number there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Of {
    /// The vault's own.
    Vault(u64),
    /// A chain of a token's bearer.
    Token(TokenName, u64),
}

impl Of {
    /// Returns `true` if it counts as what it says. A token's bearer writes its entries itself, and all that it can do
    /// is read.
    #[must_use]
    pub(crate) fn vouches_for(&self, event: &Event) -> bool {
        matches!(self, Self::Vault(_))
            || matches!(event.action, Action::Exec | Action::Export | Action::Reveal)
    }
}

/// A token whose bearer's chain does not hold, and what is wrong with it.
pub type BrokenReads = (TokenName, String);

/// Reads the vault's log, each entry checked to follow from the one before, and what was read with tokens among it
/// by time. Returns the tokens whose reads cannot be proved; they are left out.
pub fn whole_log(
    vault: &mut Vault,
    access: &Access,
    take: &mut dyn FnMut(&Of, &Event),
) -> Result<Vec<BrokenReads>, VaultError> {
    vault.read(access, |tx| read_all_logs(tx, take))
}

/// Verifies what was read with tokens, each chain from its start. Returns how many reads hold, and the tokens whose
/// reads cannot be proved.
pub fn verify_reads(vault: &mut Vault, access: &Access) -> Result<(usize, Vec<BrokenReads>), VaultError> {
    vault.read(access, |tx| {
        let (mut proved, mut broken) = (0, Vec::new());
        for record in index::load_all(tx)? {
            let (record, reads, fault) = told_reads(tx, record);
            proved += reads.len();
            broken.extend(fault.map(|fault| (record.name, fault)));
        }
        Ok((proved, broken))
    })
}

/// The order of each log's entries is that of their numbers; between the vault's and tokens' there is none but time.
pub(crate) fn read_all_logs(
    tx: &mut VerifiedTx<'_>,
    take: &mut dyn FnMut(&Of, &Event),
) -> Result<Vec<BrokenReads>, VaultError> {
    let (mut reads, mut broken) = (Vec::new(), Vec::new());
    for record in index::load_all(tx)? {
        let (record, events, fault) = told_reads(tx, record);
        let mut at = Moment(i64::MIN);
        for (seq, event) in (0..).zip(events) {
            at = at.max(event.time);
            reads.push((at, Of::Token(record.name.clone(), seq), event));
        }
        broken.extend(fault.map(|fault| (record.name.clone(), fault)));
    }
    reads.sort_by_key(|(at, ..): &(Moment, Of, Event)| *at);
    let mut reads = reads.into_iter().peekable();
    audit::read_all(tx.rows, &tx.daily.audit, &tx.identity, &mut |seq, event| {
        while let Some((_, of, read)) = reads.next_if(|(at, ..)| *at < event.time) {
            take(&of, &read);
        }
        take(&Of::Vault(seq), &event);
    })?;
    reads.for_each(|(_, of, read)| take(&of, &read));
    Ok(broken)
}

/// The reads of a token's bearer, from the first entry on.
pub(crate) fn reads_of(tx: &VerifiedTx<'_>, record: &TokenRecord) -> Result<Vec<Event>, VaultError> {
    let keys = record.keys(&tx.identity).audit;
    let first = SealingKey::from_bytes(record.first_key.expose()).ok_or_else(|| damaged("token: k₀"))?;
    audit::verify(tx.rows, &keys, &tx.identity, Some(Seed::from(first)))?;
    hold_reads_against_record(tx, record)?;
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

/// The chain must still pass through the point that the last change recorded.
fn hold_reads_against_record(tx: &VerifiedTx<'_>, record: &TokenRecord) -> Result<(), VaultError> {
    let Some(last) = record.read.count.checked_sub(1) else { return Ok(()) };
    let ledger = record.keys(&tx.identity).audit.ledger;
    if tx.rows.entry_mac(ledger, last)? == Some(record.read.head) {
        Ok(())
    } else {
        let what = "reads that were recorded are gone";
        Err(AuditError::Broken { seq: last, what }.into())
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
    let reached = || -> Result<ChainMark, VaultError> {
        hold_reads_against_record(tx, record)?;
        let chain = Chain::load(tx.rows, &keys.audit, &tx.identity)?;
        audit::read_range(
            tx.rows,
            &keys.audit,
            &tx.identity,
            record.read.count..chain.count,
            &mut |_, _| {},
        )?;
        Ok(ChainMark { count: chain.count, head: chain.head })
    };
    match reached() {
        Ok(mark) => Ok(std::mem::replace(&mut record.read, mark) != mark),
        Err(error) => {
            let fault = fault_of(error)?;
            world.note(Notice::ReadsBroken { token: record.name.clone(), fault });
            Ok(false)
        }
    }
}

/// The fault of a chain, whose rows its bearer can write; or the error, if it is another.
pub(super) fn fault_of(error: VaultError) -> Result<AuditError, VaultError> {
    match error {
        VaultError::Store(fault @ StoreError::Damaged { .. }) => Ok(fault.into()),
        VaultError::Audit(
            fault @ (AuditError::Broken { .. } | AuditError::Store(StoreError::Damaged { .. })),
        ) => Ok(fault),
        error => Err(error),
    }
}
