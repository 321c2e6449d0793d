//! The owner's record of a token: what it is granted, and what is needed to keep that written for its bearer.

use crate::key::record::Status;
use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};

use crate::audit::ChainMark;
use crate::store::TokenId;
use crate::unlock::token::{Reader, TokenKeys};
use keyvault_core::clock::Moment;
use keyvault_core::codec::{self, Extensions, Malformed};
use keyvault_core::crypto::{Digest, SealingKey};
use keyvault_core::identity::Identity;
use keyvault_core::name::{Scope, TokenName};
use keyvault_core::secret::{Full, SecretBytes};
use keyvault_issue::{ApiId, SetId};

use super::error::TokenError;
use crate::key::record::KeyRecord;

/// The holder of a token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
pub enum TokenKind {
    /// A machine.
    #[default]
    Bearer = 1,
    /// The kernel, for a limited session.
    Session = 2,
    /// A machine that decides by the sets of its APIs.
    Verifier = 3,
    /// A machine that writes a set of its own.
    Issuer = 4,
}

/// The APIs of a verifier, or that of an issuer with the issuer's set.
pub type Apis = BTreeMap<ApiId, Option<SetId>>;

impl TokenKind {
    /// Refuses a session without an end, and APIs that no token of this kind has.
    pub(crate) fn hold(self, expires: Option<Moment>, apis: &Apis) -> Result<(), Malformed> {
        let fits = match self {
            Self::Bearer => apis.is_empty(),
            Self::Session => apis.is_empty() && expires.is_some(),
            Self::Verifier => !apis.is_empty() && apis.values().all(Option::is_none),
            Self::Issuer => apis.len() == 1 && apis.values().all(Option::is_some),
        };
        if fits { Ok(()) } else { Err(Malformed) }
    }

    /// The word for whoever has such a token.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Session => "session",
            Self::Verifier => "verifier",
            Self::Issuer => "issuer",
        }
    }
}

/// The keys that a token is granted: those that carry any of these scopes, and those listed; now and whenever that
/// changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Rule {
    pub scopes: BTreeSet<Scope>,
    /// Keys, by their ids: a new name changes nothing.
    pub keys: BTreeSet<[u8; 16]>,
}

impl Rule {
    #[must_use]
    pub fn matches(&self, key: &KeyRecord) -> bool {
        self.keys.contains(&key.id) || !self.scopes.is_disjoint(&key.scopes)
    }
}

/// A token as its owner knows it. The token itself is not in it. The fields stand in the order of their encoding.
#[derive(Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TokenRecord {
    pub name: TokenName,
    pub kind: TokenKind,
    pub id: TokenId,
    #[borsh(serialize_with = "Reader::write", deserialize_with = "Reader::read")]
    pub(crate) reader: Reader,
    /// k₀ of the bearer's chain.
    #[borsh(serialize_with = "SealingKey::write", deserialize_with = "SealingKey::read")]
    pub(crate) first_key: SealingKey,
    pub rule: Rule,
    pub created: Moment,
    pub expires: Option<Moment>,
    pub revoked: Option<Moment>,
    /// `user@host` of the maker.
    pub made_by: String,
    pub(crate) view: Option<ViewMark>,
    /// How far the bearer's chain had come at the last change.
    pub(crate) read: ChainMark,
    /// How far what was read from bundles has been imported, by the place where it was read.
    pub(crate) places: BTreeMap<[u8; 16], ChainMark>,
    pub apis: Apis,
    pub(crate) extensions: Extensions,
}

/// Which view was written last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct ViewMark {
    pub(crate) change: u64,
    /// Digest of the view's row.
    pub(crate) digest: Digest,
}

impl TokenRecord {
    /// Returns `true` if it has come to its end.
    #[must_use]
    pub fn expired(&self, now: Moment) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Refuses what no token of its kind has.
    pub(crate) fn hold_kind(&self) -> Result<(), Malformed> {
        if self.kind == TokenKind::Issuer && self.rule != Rule::default() {
            return Err(Malformed);
        }
        self.kind.hold(self.expires, &self.apis)
    }

    /// The word for what may be done with it.
    #[must_use]
    pub fn status(&self, now: Moment) -> Status {
        match self.revoked {
            Some(_) => Status::Revoked,
            None if self.expired(now) => Status::Expired,
            None => Status::Active,
        }
    }

    /// Refuses one that is past its expiry.
    pub(crate) fn in_force(&self, now: Moment) -> Result<(), TokenError> {
        match self.expires {
            Some(since) if since <= now => Err(TokenError::Expired { name: self.name.clone(), since }),
            _ => Ok(()),
        }
    }

    /// The keys of what it shares with its bearer.
    pub(crate) fn keys(&self, identity: &Identity) -> TokenKeys {
        self.reader.keys(identity, &self.id)
    }

    pub fn encode(&self) -> Result<SecretBytes, Full> {
        codec::encode_secret(self)
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let record: Self = codec::decode(bytes)?;
        record.hold_kind()?;
        Ok(record)
    }
}
