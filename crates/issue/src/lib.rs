//! Keys that an API of our own issues: what is recorded of them, how the records are sealed and signed as sets, what
//! a verifier may believe of them, and the verdict on a request that presents one.
//!
//! A verifier loads sets ([`set`], [`issuer`], [`hold`]), joins them ([`standing::Sets`]), builds a [`snapshot::Snapshot`] of them,
//! and asks [`decide::decide`] about each request. Changes of the sets lead to the next snapshot; the counters stay.
//!
//! Nothing here reads a file or a clock. A caller hands in rows as bytes and the time, and gets back values that only
//! verification makes: a [`set::VerifiedList`] is demanded for a [`set::VerifiedHeader`], and that for a
//! [`set::LoadedSet`], so a step cannot be left out.

#![forbid(unsafe_code)]

use keyvault_core::crypto::sha256_of;

pub mod decide;
pub mod hold;
pub mod issuer;
pub mod query;
pub mod quota;
pub mod rate;
pub mod record;
pub mod set;
pub mod snapshot;
pub mod standing;
pub mod text;

/// The id of an API: 16 random bytes.
pub type ApiId = [u8; 16];
/// The id of a set: 16 random bytes.
pub type SetId = [u8; 16];
/// The id of a verifier of one API.
pub type VerifierId = [u8; 16];

/// The id of a token's bearer as a verifier of an API. Each of its APIs has another, and so a log of its own.
#[must_use]
pub fn verifier_id(token: &[u8; 16], api: &ApiId) -> VerifierId {
    let mut id = [0; 16];
    for (place, byte) in id.iter_mut().zip(sha256_of(&[b"keyvault verifier", token, api])) {
        *place = byte;
    }
    id
}
