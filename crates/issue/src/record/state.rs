use borsh::{BorshDeserialize, BorshSerialize};
use keyvault_core::clock::Moment;

use super::is_text;

/// The word of whoever signs the record on a key or a client.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum State {
    Active = 1,
    /// Refused until it is enabled.
    Disabled(Box<Note>) = 2,
    /// Refused permanently.
    Revoked(Box<Note>) = 3,
}

#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Note {
    pub since: Moment,
    pub reason: Box<str>,
}

impl State {
    #[must_use]
    pub fn is_active(&self) -> bool {
        matches!(self, Self::Active)
    }

    #[must_use]
    pub fn is_revoked(&self) -> bool {
        matches!(self, Self::Revoked(_))
    }

    pub(super) fn is_valid(&self) -> bool {
        match self {
            Self::Active => true,
            Self::Disabled(note) | Self::Revoked(note) => is_text(&note.reason),
        }
    }
}
