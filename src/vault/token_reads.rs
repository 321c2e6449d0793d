//! What holders of tokens read, on the owner's side: their chains, held against what the last change recorded of them.

use crate::audit::{self, AuditError, Chain, Event, Seed};
use crate::crypto::Key;
use crate::unlock::token::TokenKeys;

use super::error::VaultError;
use super::open::{Notice, World};
use super::token_record::{Mark, TokenRecord};
use super::work::{Work, damaged};

impl Work<'_> {
    /// What a token's holder read, from the first entry on.
    pub(super) fn reads_of(&self, record: &TokenRecord) -> Result<Vec<Event>, VaultError> {
        let keys = record.keys(&self.identity).audit;
        let first = Key::from_bytes(record.first_key.expose()).ok_or_else(|| damaged("token: k₀"))?;
        audit::verify(self.tx, &keys, &self.identity, Some(Seed::from(first)))?;
        self.hold_reads_against_record(record)?;
        let mut events = Vec::new();
        audit::read_all(self.tx, &keys, &self.identity, &mut |_, event| events.push(event))?;
        Ok(events)
    }

    /// What its holder read, or why that cannot be told.
    pub(super) fn told_reads(&self, record: TokenRecord) -> (TokenRecord, Vec<Event>, Option<String>) {
        match self.reads_of(&record) {
            Ok(reads) => (record, reads, None),
            Err(error) => (record, Vec::new(), Some(error.to_string())),
        }
    }

    /// The chain must still pass through the point that the last change recorded.
    fn hold_reads_against_record(&self, record: &TokenRecord) -> Result<(), VaultError> {
        let Some(last) = record.read.count.checked_sub(1) else { return Ok(()) };
        let ledger = record.keys(&self.identity).audit.ledger;
        if self.tx.audit_mac(ledger, last)? == Some(record.read.head) {
            Ok(())
        } else {
            let what = "reads that were recorded are gone";
            Err(AuditError::Broken { seq: last, what }.into())
        }
    }

    /// Records how far the holder's chain has come. What is wrong with it is said and found by a check; it must not keep
    /// the owner from changing the vault.
    pub(super) fn note_reads(
        &self,
        record: &mut TokenRecord,
        keys: &TokenKeys,
        world: &World<'_>,
    ) -> Result<bool, VaultError> {
        let reached = || -> Result<Mark, VaultError> {
            self.hold_reads_against_record(record)?;
            let chain = Chain::load(self.tx, &keys.audit, &self.identity)?;
            audit::read_range(
                self.tx,
                &keys.audit,
                &self.identity,
                record.read.count..chain.count,
                &mut |_, _| {},
            )?;
            Ok(Mark { count: chain.count, head: chain.head })
        };
        match reached() {
            Ok(mark) => Ok(std::mem::replace(&mut record.read, mark) != mark),
            Err(VaultError::Audit(fault @ AuditError::Broken { .. })) => {
                (world.notice)(Notice::ReadsBroken { token: record.name.clone(), fault });
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}
