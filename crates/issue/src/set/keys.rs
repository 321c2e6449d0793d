//! Keys of pages. All follow from the vault's everyday key, so that a rekey replaces them.

use std::collections::BTreeMap;

use keyvault_core::codec::encode;
use keyvault_core::crypto::SealingKey;
use keyvault_core::identity::Identity;

use super::Kind;
use crate::{ApiId, SetId, VerifierId};

/// The key of everything about issued keys, from the vault's everyday key.
#[must_use]
pub fn issued_key(daily: &SealingKey, identity: &Identity) -> SealingKey {
    daily.derive("keyvault daily issued keys", &identity.whole())
}

/// The key that a verifier of the API is granted.
#[must_use]
pub fn api_key(issued: &SealingKey, api: &ApiId) -> SealingKey {
    issued.derive("keyvault api", api)
}

/// The key of a set's pages of one kind.
#[must_use]
pub fn page_key(api_key: &SealingKey, set: &SetId, kind: Kind) -> SealingKey {
    api_key.derive("keyvault set", &encode(&(set, kind)))
}

/// The key of the pages of names. It does not follow from the API's key, which verifiers have.
#[must_use]
pub fn names_key(issued: &SealingKey, set: &SetId) -> SealingKey {
    issued.derive("keyvault set names", set)
}

/// The key of a verifier's log of holds.
pub(crate) fn hold_key(api_key: &SealingKey, verifier: &VerifierId) -> SealingKey {
    api_key.derive("keyvault holds", verifier)
}

/// The keys of those pages of a set that somebody may open. Other pages are hashed for the root, and stay sealed.
#[derive(Debug, Default)]
pub struct PageKeys(BTreeMap<Kind, SealingKey>);

impl PageKeys {
    /// A verifier's keys of a set: all but that of names.
    #[must_use]
    pub fn of_api(api_key: &SealingKey, set: &SetId) -> Self {
        let kinds = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Names);
        Self(kinds.map(|kind| (kind, page_key(api_key, set, kind))).collect())
    }

    #[must_use]
    pub fn with(mut self, kind: Kind, key: SealingKey) -> Self {
        self.0.insert(kind, key);
        self
    }

    #[must_use]
    pub fn get(&self, kind: Kind) -> Option<&SealingKey> {
        self.0.get(&kind)
    }
}
