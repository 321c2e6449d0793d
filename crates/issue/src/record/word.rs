use borsh::{BorshDeserialize, BorshSerialize};
use keyvault_core::codec::Extensions;
use keyvault_core::name::{Label, Scope};

use super::{Ascending, Record};
use crate::set::Kind;

/// A scope or a role, under a number that keys and bounds name it by. A number is never used again for another.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Word {
    pub number: u32,
    pub meaning: Meaning,
    pub extensions: Extensions,
}

#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Meaning {
    Scope(Scope) = 1,
    /// A named set of scopes, by their numbers.
    Role(Label, Ascending<u32>) = 2,
}

impl Record for Word {
    const KIND: Kind = Kind::Words;
    type Key = u32;

    fn key(&self) -> u32 {
        self.number
    }

    fn place(key: &u32) -> u64 {
        u64::from(*key)
    }

    fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    fn is_valid(&self) -> bool {
        true
    }
}
