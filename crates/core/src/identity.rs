//! Which vault, which epoch, which place in it: the context that every seal is bound to.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::codec;

/// The format that this binary writes and reads.
pub const FORMAT: u32 = 1;

/// A vault in one of its epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Identity {
    /// Random, for the life of the vault.
    pub vault_id: [u8; 16],
    /// Raised by each rekey, from 1.
    pub epoch: u32,
}

/// A place in the vault that holds one sealed text.
#[derive(Debug, Clone, Copy, BorshSerialize)]
pub struct Place<'a> {
    pub table: &'a str,
    /// The row: a tag, an item id, a number, as the table is keyed.
    pub row: &'a [u8],
    /// The version, where the row belongs to one; else 0.
    pub version: u32,
    pub field: &'a str,
    /// How often the row has been rewritten.
    pub revision: u64,
    /// Whatever else the text is bound to; mostly empty.
    pub bound: &'a [u8],
}

impl Identity {
    /// The context bytes of a place in this vault: the associated data of its seal.
    #[must_use]
    pub fn context(&self, place: &Place<'_>) -> Vec<u8> {
        codec::encode(&(FORMAT, self, place))
    }

    /// Vault id and epoch alone: the context of keys that are derived for the whole vault.
    #[must_use]
    pub fn whole(&self) -> Vec<u8> {
        codec::encode(&(FORMAT, self))
    }

    /// The vault id in hexadecimal, as it stands in file names and in the session's description.
    #[must_use]
    pub fn vault_hex(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.vault_id)
    }
}
