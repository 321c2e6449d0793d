use borsh::{BorshDeserialize, BorshSerialize};
use keyvault_core::clock::Moment;
use keyvault_core::codec::Extensions;
use keyvault_core::crypto::{Hash, sha256_of};
use subtle::ConstantTimeEq;

use super::{Ascending, Conditions, Id, Mark, Prefix, Record, State, is_text};
use crate::set::Kind;

/// An issued key. Its secret is not in it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct KeyRecord {
    pub id: Id,
    pub state: State,
    pub proof: Proof,
    pub environment: Environment,
    pub prefix: Prefix,
    /// Its owner, in the set or, for an issuer's key within bounds, in the owner's set.
    pub client: Option<Id>,
    /// By their numbers in the owner's set.
    pub roles: Ascending<u32>,
    /// By their numbers in the owner's set.
    pub scopes: Ascending<u32>,
    pub created: Moment,
    pub not_before: Option<Moment>,
    pub expires: Option<Moment>,
    pub replaced: Option<Replaced>,
    /// A key that looks real and is never right.
    pub decoy: bool,
    pub display_name: Box<str>,
    pub conditions: Option<Box<Conditions>>,
    pub extensions: Extensions,
}

/// The hash that a key's text is held against.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Proof {
    /// A revoked key may keep no hash.
    None = 1,
    /// SHA-256 of id ‖ secret: 55 bytes of which 43 are random.
    Own(Hash) = 2,
    /// SHA-256 of a whole text that another system issued.
    ImportedSha256(Hash) = 3,
    /// SHA-512 of a whole text that another system issued.
    ImportedSha512(Box<[u8; 64]>) = 4,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Environment {
    Live = 1,
    Test = 2,
}

/// Another key has taken this one's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Replaced {
    pub by: Id,
    /// Until then this one is accepted as well.
    pub grace_until: Moment,
}

impl Proof {
    #[must_use]
    pub fn of_own(id: &Id, secret: &[u8]) -> Self {
        Self::Own(sha256_of(&[id.as_bytes(), secret]))
    }

    /// True if `secret` is the one behind `id` in a key's text. Never for an imported key, which has no id in its text.
    #[must_use]
    pub fn is_of(&self, id: &Id, secret: &[u8]) -> bool {
        let hash = sha256_of(&[id.as_bytes(), secret]);
        matches!(self, Self::Own(own) if bool::from(own.as_slice().ct_eq(&hash)))
    }

    #[must_use]
    pub fn is_imported(&self) -> bool {
        matches!(self, Self::ImportedSha256(_) | Self::ImportedSha512(_))
    }
}

impl Record for KeyRecord {
    const KIND: Kind = Kind::Keys;
    type Key = Id;

    fn key(&self) -> Id {
        self.id
    }

    fn place(key: &Id) -> u64 {
        key.number()
    }

    fn mark(key: &Id) -> Option<Mark> {
        Some(key.mark())
    }

    fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    fn is_valid(&self) -> bool {
        (self.state.is_revoked() || self.proof != Proof::None)
            && self.state.is_valid()
            && is_text(&self.display_name)
            && self.conditions.as_ref().is_none_or(|conditions| conditions.is_valid())
    }
}
