//! Records of a set: an API, scopes and roles, clients, keys, overrides, names. They know their encoding and which page
//! they belong on; whether a set may have them is decided elsewhere.

mod api;
mod ascending;
mod client;
mod id;
mod key;
mod limit;
mod name;
mod overrides;
mod prefix;
mod state;
mod word;

pub use api::{
    Api, Bounds, HoldPoint, IssuerEntry, IssuerState, Reaction, UsageKey, VerifierEntry, VerifierState,
};
pub use ascending::{Ascending, Sorted};
pub use client::Client;
pub use id::{ID_LEN, Id, Mark, NUMBERS};
pub use key::{Environment, KeyRecord, Proof, Replaced};
pub use limit::{Conditions, Limit, Network, Period, Quota};
pub use name::NamedKey;
pub use overrides::Override;
pub use prefix::Prefix;
pub use state::{Note, State};
pub use word::{Meaning, Word};

use borsh::{BorshDeserialize, BorshSerialize};
use keyvault_core::codec::Extensions;

use crate::set::Kind;

/// A record of one kind, as pages hold them in the order of their keys.
pub trait Record: BorshSerialize + BorshDeserialize {
    const KIND: Kind;
    /// The record is found by it. No set has two of one kind with the same.
    type Key: Ord + Clone;

    fn key(&self) -> Self::Key;

    /// Chooses the page: its lowest bits are the page's number.
    fn place(key: &Self::Key) -> u64;

    /// The mark in the key, if records of this kind must have their set's.
    fn mark(_: &Self::Key) -> Option<Mark> {
        None
    }

    fn extensions(&self) -> &Extensions;

    /// Holds the record against the rules that its encoding does not hold.
    fn is_valid(&self) -> bool;
}

/// Longest free text (a contact, a reason, a note), in bytes.
pub const MAX_TEXT: usize = 1024;

/// Texts for people: bounded, and without control characters, which a terminal or a log would obey.
fn is_text(text: &str) -> bool {
    text.len() <= MAX_TEXT && !text.chars().any(char::is_control)
}
