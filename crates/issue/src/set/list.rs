//! The list of sets: which header of each set the owner's last change saw. The state record binds it.

use borsh::{BorshDeserialize, BorshSerialize};
use keyvault_core::codec::{decode, encode};
use keyvault_core::crypto::{Hash, Signer, sha256};
use keyvault_core::identity::Identity;

use super::SetError;
use crate::SetId;
use crate::record::{Ascending, Sorted};

/// A set in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Listed {
    pub set: SetId,
    pub number: u64,
    /// Of the header with its signature.
    pub header: Hash,
}

/// The list as a row has it, in the clear.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct List(pub Ascending<Listed>);

/// The vault whose record was verified, and its owner's public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub identity: Identity,
    pub owner: Signer,
}

/// The list that a verified state record names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedList {
    origin: Origin,
    list: List,
}

impl Sorted for Listed {
    type Key = SetId;
    fn sort_key(&self) -> &SetId {
        &self.set
    }
}

impl List {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// The state record binds it.
    #[must_use]
    pub fn hash(text: &[u8]) -> Hash {
        sha256(text)
    }
}

impl VerifiedList {
    /// Holds the row against the hash in a state record whose signature by `origin.owner` the caller has verified, and
    /// which it has held against its pin.
    pub fn verify(text: &[u8], bound: &Hash, origin: Origin) -> Result<Self, SetError> {
        if List::hash(text) != *bound {
            return Err(SetError::List);
        }
        let list = decode(text).map_err(|_| SetError::ListMalformed)?;
        Ok(Self { origin, list })
    }

    #[must_use]
    pub fn sets(&self) -> &[Listed] {
        &self.list.0
    }

    #[must_use]
    pub fn set(&self, set: &SetId) -> Option<&Listed> {
        self.list.0.find(set)
    }

    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}
