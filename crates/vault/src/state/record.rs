//! The state record: the vault as of its last change, under one MAC.

use crate::store::{StateRow, Tx};
use keyvault_core::clock::Moment;
use keyvault_core::codec::{Decoder, Encoder, Malformed};
use keyvault_core::crypto::{Digest, Mac, SealingKey};
use keyvault_core::identity::{FORMAT, Identity};

use super::StateError;

const LABEL: &[u8] = b"keyvault state record";

/// The vault as of one change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// MAC of the record before this one; zero before the first.
    pub previous: Mac,
}

/// A record whose MAC was right. Only [`Record::load`] and [`Record::store`] make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authentic {
    pub record: Record,
    /// Its MAC.
    pub mac: Mac,
}

impl Record {
    pub fn encode(&self, identity: &Identity) -> Vec<u8> {
        Encoder::new()
            .u32(FORMAT)
            .fixed(&identity.vault_id)
            .u32(identity.epoch)
            .u64(self.change)
            .i64(self.time.0)
            .fixed(&self.root)
            .u64(self.audit_count)
            .fixed(&self.audit_head)
            .fixed(&self.previous)
            .finish()
    }

    pub fn decode(bytes: &[u8], identity: &Identity) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(bytes);
        let found = (decoder.u32()?, decoder.array()?, decoder.u32()?);
        if found != (FORMAT, identity.vault_id, identity.epoch) {
            return Err(Malformed);
        }
        let record = Self {
            change: decoder.u64()?,
            time: Moment(decoder.i64()?),
            root: decoder.array()?,
            audit_count: decoder.u64()?,
            audit_head: decoder.array()?,
            previous: decoder.array()?,
        };
        decoder.end()?;
        Ok(record)
    }

    /// Reads the record and checks its MAC before its content.
    pub fn load(tx: &Tx<'_>, key: &SealingKey, identity: &Identity) -> Result<Authentic, StateError> {
        let row = tx.state()?;
        if !same(&key.mac(&[LABEL, &row.record]), &row.mac) {
            return Err(StateError::Record);
        }
        let record = Self::decode(&row.record, identity).map_err(|_| StateError::Record)?;
        Ok(Authentic { record, mac: row.mac })
    }

    /// Writes the record under its MAC.
    pub fn store(self, tx: &Tx<'_>, key: &SealingKey, identity: &Identity) -> Result<Authentic, StateError> {
        let record = self.encode(identity);
        let mac = key.mac(&[LABEL, &record]);
        tx.put_state(&StateRow { record, mac })?;
        Ok(Authentic { record: self, mac })
    }
}

fn same(left: &Mac, right: &Mac) -> bool {
    subtle::ConstantTimeEq::ct_eq(left.as_slice(), right.as_slice()).into()
}
