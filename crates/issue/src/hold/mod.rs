//! Holds: a verifier's word that a key or a client is refused until the owner decides.
//!
//! A verifier can narrow and never widen: it signs entries of an append-only log, and there is no entry that lifts. It can
//! write the file, and so can others, so a log that became shorter, or another, takes back nothing that was seen: a reader
//! keeps those holds and says so. The owner lifts, in the verifier's entry of the API's record. Nothing here turns a hold into
//! the owner's word.

mod log;

pub use log::{Finding, HoldLog, Remembered, Seen};

use borsh::{BorshDeserialize, BorshSerialize};
use keyvault_core::clock::{Moment, Rng, RngError};
use keyvault_core::codec::{Extensions, decode, encode, pad, take_bytes, unpad};
use keyvault_core::crypto::{self, Hash, OpenError, SealingKey, Signed, SigningKey, sha256};
use keyvault_core::identity::{FORMAT, Identity, Place};

use crate::record::{HoldPoint, Id};
use crate::set::WriteError;
use crate::{ApiId, VerifierId};

const LABEL: &str = "keyvault hold";

/// An entry of a verifier's log.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Hold {
    pub format: u32,
    /// With the epoch in which it was signed.
    pub identity: Identity,
    pub api: ApiId,
    pub verifier: VerifierId,
    /// Counts the log's entries from 0.
    pub number: u64,
    /// Hash of the entry before.
    pub before: Hash,
    /// A key or a client.
    pub id: Id,
    pub time: Moment,
    /// Why, as a number that later versions may add to: an unknown reason is no reason to lift.
    pub reason: u8,
    pub detail: Box<str>,
    pub extensions: Extensions,
}

/// The reason of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    Asked = 1,
    Leaked = 2,
    SentInPlaintext = 3,
    Unused = 4,
}

/// A hold as a verifier decides on it.
#[derive(Debug, Clone, Copy)]
pub struct Notice<'a> {
    pub id: Id,
    pub time: Moment,
    pub reason: Reason,
    pub detail: &'a str,
}

/// The log that a verifier writes.
#[derive(Debug, Clone, Copy)]
pub struct Ledger<'a> {
    pub identity: Identity,
    pub api: ApiId,
    pub verifier: VerifierId,
    /// The key that the API's pages are derived from.
    pub api_key: &'a SealingKey,
}

impl Ledger<'_> {
    /// Signs the entry behind `point` in the epoch of the verifier's entry, and seals it in that of the vault; gives the row,
    /// and the point behind it.
    pub fn append(
        &self,
        point: &HoldPoint,
        notice: &Notice<'_>,
        (signing, epoch): (&SigningKey, u32),
        rng: &dyn Rng,
    ) -> Result<(Vec<u8>, HoldPoint), WriteError> {
        let signed_in = Identity { epoch, ..self.identity };
        let hold = Hold {
            format: FORMAT,
            identity: signed_in,
            api: self.api,
            verifier: self.verifier,
            number: point.count,
            before: point.head,
            id: notice.id,
            time: notice.time,
            reason: notice.reason as u8,
            detail: notice.detail.into(),
            extensions: Extensions::default(),
        };
        let text = encode(&hold);
        let signature = signing.sign(Signed::Hold, &signed_in, &text);
        let entry = encode(&(text, signature));
        let padded = pad(&entry).map_err(|_| WriteError::Full)?;
        let key = crate::set::hold_key(self.api_key, &self.verifier);
        let context = context(&self.identity, &self.verifier, point.count);
        let sealed = crypto::seal(&key, LABEL, &context, padded.expose(), rng)?;
        Ok((sealed, HoldPoint { count: point.count.saturating_add(1), head: sha256(&entry) }))
    }
}

/// Seals a row of a log for the next epoch of the vault. The entry stays as it was signed.
pub fn reseal(
    from: &Ledger<'_>,
    to: &Ledger<'_>,
    number: u64,
    sealed: &[u8],
    rng: &dyn Rng,
) -> Result<Vec<u8>, ResealError> {
    let key = |ledger: &Ledger<'_>| crate::set::hold_key(ledger.api_key, &ledger.verifier);
    let place = |ledger: &Ledger<'_>| context(&ledger.identity, &ledger.verifier, number);
    let plain = crypto::open(&key(from), LABEL, &place(from), sealed)?;
    Ok(crypto::seal(&key(to), LABEL, &place(to), plain.expose(), rng)?)
}

/// The reason why a row of a log is not sealed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResealError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Rng(#[from] RngError),
}

/// A signed hold out of its seal; nothing of it is believed yet.
struct Entry {
    hold: Hold,
    text: Vec<u8>,
    signature: Vec<u8>,
    hash: Hash,
}

impl Entry {
    fn open(key: &SealingKey, context: &[u8], sealed: &[u8]) -> Option<Self> {
        let plain = crypto::open(key, LABEL, context, sealed).ok()?;
        let whole = unpad(&plain).ok()?;
        let mut rest = whole;
        let text = take_bytes(&mut rest).ok()?;
        let signature = take_bytes(&mut rest).ok()?;
        let hold = decode(text).ok()?;
        rest.is_empty().then(|| Self {
            hold,
            text: text.to_vec(),
            signature: signature.to_vec(),
            hash: sha256(whole),
        })
    }
}

/// The place of a row: the vault's present epoch, whatever epoch the entry was signed in.
fn context(identity: &Identity, verifier: &VerifierId, number: u64) -> Vec<u8> {
    let row = encode(&(verifier, number));
    identity.context(&Place {
        table: "issued_hold",
        row: &row,
        version: 0,
        field: "sealed",
        revision: 0,
        bound: &[],
    })
}
