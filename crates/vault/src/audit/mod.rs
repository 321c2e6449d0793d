//! The audit log: every read and change of a version of a key, and its actor, chained so that an edit shows.
//!
//! Entry *i* is MACed with kᵢ, which is then replaced by kᵢ₊₁ = HKDF(kᵢ): a thief of a key can forge later entries, not
//! earlier ones. k₀ stays sealed under root, so a holder of root can check the whole chain and the stored key against
//! it; a cut tail shows because the key has moved on. Events are sealed, because they name keys. Bernstein-style
//! forward-secure MACs as in Bellare and Yee, "Forward Integrity for Secure Audit Logs" (1997).
//!
//! This module computes and checks entries; its caller owns the transaction they are written in.

mod chain;
pub(crate) mod detail;
mod event;
mod verify;

pub(crate) use chain::{AuditKeys, Chain, ChainMark, HeadMark, START, Seed};
pub(crate) use detail::{AfterChange, KeptIds};
pub use detail::{
    ApiChange, ApiDeed, ApiNoun, BrokenLedgers, Detail, Grace, IssuedChange, IssuedDeed, NewExpiry,
    OfSession, Renamed, TokenChange, TokenDeed, TokenEdited, Wiped,
};
pub use event::{Action, Actor, ChangeMark, Event, KeyRef, LogGap, Outcome};
pub(crate) use verify::{
    Break, Salvaged, passes_through, reached, read_all, read_range, read_what_opens, salvage, verify,
};
pub use verify::{Reach, Verified};

use crate::store::{StoreError, damage};
use keyvault_core::clock::RngError;

/// Why the chain could not be read or continued. `Display` is words that follow the name of the log.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The chain is broken at an entry: altered, missing, added, or not following from the one before.
    #[error("entry {seq}: {what}")]
    Broken {
        /// The first entry that does not hold.
        seq: u64,
        what: &'static str,
    },
    #[error("{}", .0.fault())]
    Store(#[from] StoreError),
    #[error(transparent)]
    Rng(#[from] RngError),
}

impl AuditError {
    /// The message about the vault in this file.
    pub(crate) fn about(&self, file: &dyn std::fmt::Display) -> String {
        match self {
            Self::Store(error) => error.about(file),
            Self::Rng(error) => error.to_string(),
            Self::Broken { .. } => damage(file, &format_args!("the audit log: {self}")),
        }
    }
}
