use borsh::{BorshDeserialize, BorshSerialize};
use keyvault_core::codec::Extensions;

use super::{Id, Record, State};
use crate::set::Kind;

/// The owner's word on a key or a client of an issuer. It narrows: whatever the issuer's record says, it is not active.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Override {
    pub id: Id,
    pub state: State,
    pub extensions: Extensions,
}

impl Record for Override {
    const KIND: Kind = Kind::Overrides;
    type Key = Id;

    fn key(&self) -> Id {
        self.id
    }

    fn place(key: &Id) -> u64 {
        key.number()
    }

    fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    fn is_valid(&self) -> bool {
        !self.state.is_active() && self.state.is_valid()
    }
}
