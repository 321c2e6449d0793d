//! The audit log: who did what to which version of which key, chained so that an edit shows.
//!
//! Entry *i* is MACed with kᵢ, which is then replaced by kᵢ₊₁ = HKDF(kᵢ): who steals a key can forge what comes, not
//! what was. k₀ stays sealed under root, so whoever has root can check the whole chain and the stored key against
//! it; a cut tail shows because the key has moved on. Events are sealed, because they name keys.
//! Bernstein-style forward-secure MACs as in Bellare and Yee, "Forward Integrity for Secure Audit Logs" (1997).
//!
//! This room computes and checks entries; the room that calls it owns the transaction they are written in.

mod chain;
mod event;
mod verify;

pub(crate) use chain::{AuditKeys, Chain, HeadMark, START, Seed};
pub use event::{Action, Actor, ChangeMark, Event, KeyRef, LogGap, Outcome};
pub(crate) use verify::{Break, Salvaged, read_all, read_range, read_what_opens, salvage, verify};
pub use verify::{Reach, Verified};

use crate::store::StoreError;
use keyvault_core::clock::RngError;

/// Why the chain could not be read or continued.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The chain is broken at an entry: altered, missing, added, or not following from the one before.
    #[error("entry {seq}: {what}")]
    Broken {
        /// The first entry that does not hold.
        seq: u64,
        what: &'static str,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Rng(#[from] RngError),
}
