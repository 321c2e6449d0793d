//! The state record: the vault as of its last change, signed, and under one MAC together with its signature.

use crate::store::{StateRow, Tx};
use borsh::{BorshDeserialize, BorshSerialize};
use keyvault_core::clock::Moment;
use keyvault_core::codec::{self, Extensions, Malformed};
use keyvault_core::crypto::{
    Digest, HASH_LEN, Hash, Mac, SealingKey, Signed, Signer, SignerId, SigningKey, sha256,
};
use keyvault_core::identity::{FORMAT, Identity};

use super::StateError;

const LABEL: &[u8] = b"keyvault state record";

/// A change has a lower number.
const MAX_CHANGE: u64 = 1 << 62;
/// The audit log has fewer entries.
const MAX_ENTRIES: u64 = 1 << 32;

/// Stands for the record before the first.
pub(crate) const NO_RECORD: Hash = [0; HASH_LEN];

/// The pair that signed a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum SignedBy {
    /// The epoch's, which follows from the daily key.
    Epoch(SignerId) = 1,
    // 2 a device's: reserved.
}

/// The vault as of one change.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Record {
    /// Counts changes, from 1 (`init`).
    pub change: u64,
    pub time: Moment,
    /// Root digest of the hash tree.
    pub root: Digest,
    /// Number of audit entries, the change's own included.
    pub audit_count: u64,
    /// MAC of the last of them.
    pub audit_head: Mac,
    /// SHA-256 of the list of sets of issued keys.
    pub sets: Hash,
    pub signer: SignedBy,
    /// The record before this one.
    pub previous: Hash,
    pub extensions: Extensions,
}

/// A record whose MAC was right. Only [`Record::load`] and [`Record::store`] make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentic {
    pub record: Record,
    /// Over the record and its signature.
    pub hash: Hash,
}

impl Record {
    pub fn encode(&self, identity: &Identity) -> Vec<u8> {
        codec::encode(&(FORMAT, identity, self))
    }

    pub fn decode(bytes: &[u8], identity: &Identity) -> Result<Self, Malformed> {
        let (format, of, record): (u32, Identity, Self) = codec::decode(bytes)?;
        if (format, of) != (FORMAT, *identity) {
            return Err(Malformed);
        }
        // Numbers that no vault comes to: what counts up to them would not end, and none would be left for the next change.
        if record.change < MAX_CHANGE && record.audit_count < MAX_ENTRIES {
            Ok(record)
        } else {
            Err(Malformed)
        }
    }

    /// The vault and epoch that a record names, authentic or not.
    pub(crate) fn identity(record: &[u8]) -> Option<Identity> {
        let (_, identity) = <(u32, Identity)>::deserialize(&mut &record[..]).ok()?;
        Some(identity)
    }

    /// Reads the record and checks its MAC before its content. The signature is under the MAC, and both keys follow
    /// from the daily key, so it is verified only where origin is asked for ([`is_signed_by`]).
    pub(crate) fn load(tx: &Tx<'_>, key: &SealingKey, identity: &Identity) -> Result<Authentic, StateError> {
        let loaded = Self::load_to_recover(tx, key, identity)?;
        match loaded.record.extensions.must_be_known() {
            Some(field) => Err(newer_field(field)),
            None => Ok(loaded),
        }
    }

    /// [`Record::load`] for a change that reseals everything, which a field of a later version must not stop: anyone who
    /// has the everyday keys can write one.
    pub(crate) fn load_to_recover(
        tx: &Tx<'_>,
        key: &SealingKey,
        identity: &Identity,
    ) -> Result<Authentic, StateError> {
        let row = tx.state()?;
        if !same(&mac(key, &row), &row.mac) {
            return Err(StateError::Record);
        }
        let record = Self::decode(&row.record, identity).map_err(|_| StateError::Record)?;
        Ok(Authentic { record, hash: hash(&row) })
    }

    /// Signs the record and writes it under its MAC.
    pub(crate) fn store(
        self,
        tx: &Tx<'_>,
        signing: &SigningKey,
        key: &SealingKey,
        identity: &Identity,
    ) -> Result<Authentic, StateError> {
        let record = self.encode(identity);
        let signature = signing.sign(Signed::Record, identity, &record);
        let mut row = StateRow { record, signature, mac: [0; 32] };
        row.mac = mac(key, &row);
        tx.put_state(&row)?;
        Ok(Authentic { record: self, hash: hash(&row) })
    }
}

/// Returns `true` if the record that is there was signed by `signer`, and names it.
pub(crate) fn is_signed_by(tx: &Tx<'_>, signer: &Signer, identity: &Identity) -> Result<bool, StateError> {
    let row = tx.state()?;
    let names = Record::decode(&row.record, identity)
        .is_ok_and(|record| record.signer == SignedBy::Epoch(signer.id()));
    Ok(names && signer.verify(Signed::Record, identity, &row.record, &row.signature).is_ok())
}

fn newer_field(field: u16) -> StateError {
    StateError::Newer { what: format!("the state record has field {field}") }
}

fn parts(row: &StateRow) -> Vec<u8> {
    codec::encode(&(&row.record, &row.signature))
}

fn mac(key: &SealingKey, row: &StateRow) -> Mac {
    key.mac(&[LABEL, &parts(row)])
}

pub(crate) fn hash(row: &StateRow) -> Hash {
    sha256(&parts(row))
}

fn same(left: &Mac, right: &Mac) -> bool {
    subtle::ConstantTimeEq::ct_eq(left.as_slice(), right.as_slice()).into()
}
