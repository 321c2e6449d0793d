use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use keyvault_core::codec::Extensions;
use keyvault_core::crypto::sha256_of;
use keyvault_core::name::{KeyName, TagKey};

use super::{Id, Record, is_text};
use crate::set::Kind;

/// The owner's name for an issued key, which verifiers do not get.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct NamedKey {
    pub name: KeyName,
    pub id: Id,
    pub note: Box<str>,
    pub tags: BTreeMap<TagKey, String>,
    pub extensions: Extensions,
}

impl Record for NamedKey {
    const KIND: Kind = Kind::Names;
    type Key = KeyName;

    fn key(&self) -> KeyName {
        self.name.clone()
    }

    fn place(key: &KeyName) -> u64 {
        let hash = sha256_of(&[b"keyvault set name", key.as_str().as_bytes()]);
        hash.first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
    }

    fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    fn is_valid(&self) -> bool {
        is_text(&self.note) && self.tags.values().all(|value| is_text(value))
    }
}
