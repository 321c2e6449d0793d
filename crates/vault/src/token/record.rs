//! The owner's record of a token: what it is granted, and what is needed to keep that written for its bearer.

use std::collections::BTreeSet;

use crate::audit::START;
use crate::store::TokenId;
use crate::unlock::token::{Reader, TokenKeys};
use keyvault_core::clock::Moment;
use keyvault_core::codec::{Decoder, Encoder, Extensions, Malformed};
use keyvault_core::crypto::{self, Digest, Mac, SealingKey};
use keyvault_core::identity::Identity;
use keyvault_core::name::{Scope, TokenName};

use super::error::TokenError;
use crate::key::record::KeyRecord;

/// The holder of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A machine.
    Bearer,
    /// The kernel, for a limited session.
    Session,
}

impl TokenKind {
    /// As it stands in records, views and bundles. Reserved: 3 verifier, 4 issuer.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Bearer => 1,
            Self::Session => 2,
        }
    }

    pub(crate) fn of_code(code: u8) -> Result<Self, Malformed> {
        [Self::Bearer, Self::Session].into_iter().find(|kind| kind.code() == code).ok_or(Malformed)
    }

    /// Refuses a session without an end.
    pub(crate) fn hold_expiry(self, expires: Option<Moment>) -> Result<(), Malformed> {
        if self == Self::Session && expires.is_none() { Err(Malformed) } else { Ok(()) }
    }
}

/// The keys that a token is granted: those that carry any of these scopes, and those listed; now and whenever that
/// changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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

/// A token as its owner knows it. The token itself is not in it.
#[derive(Debug, PartialEq, Eq)]
pub struct TokenRecord {
    pub kind: TokenKind,
    pub name: TokenName,
    pub id: TokenId,
    pub rule: Rule,
    pub created: Moment,
    pub expires: Option<Moment>,
    pub revoked: Option<Moment>,
    /// `user@host` of the maker.
    pub made_by: String,
    pub(crate) reader: Reader,
    /// k₀ of the bearer's chain.
    pub(crate) first_key: SealingKey,
    pub(crate) view: Option<ViewMark>,
    /// How far the bearer's chain had come at the last change.
    pub(crate) read: ChainMark,
    /// How far what was read from bundles has been imported, by the place where it was read.
    pub(crate) places: Vec<([u8; 16], ChainMark)>,
    pub(crate) extensions: Extensions,
}

/// Which view was written last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ViewMark {
    pub(crate) change: u64,
    /// Digest of the view's row.
    pub(crate) digest: Digest,
}

/// A point in a chain: so many entries, the last with this MAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChainMark {
    pub(crate) count: u64,
    pub(crate) head: Mac,
}

impl ChainMark {
    /// Before the first entry.
    pub(crate) const START: Self = Self { count: 0, head: START };
}

impl TokenRecord {
    /// Whether it has come to its end.
    #[must_use]
    pub fn expired(&self, now: Moment) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// The word for what may be done with it.
    #[must_use]
    pub fn status(&self, now: Moment) -> &'static str {
        match self.revoked {
            Some(_) => "revoked",
            None if self.expired(now) => "expired",
            None => "active",
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

    pub fn encode(&self) -> Vec<u8> {
        let scopes: Vec<_> = self.rule.scopes.iter().collect();
        let keys: Vec<_> = self.rule.keys.iter().collect();
        let moment = |encoder: Encoder, moment: Moment| encoder.i64(moment.0);
        Encoder::new()
            .u8(self.kind.code())
            .bytes(self.name.as_str().as_bytes())
            .fixed(&self.id)
            .fixed(self.reader.expose())
            .fixed(self.first_key.expose())
            .list(&scopes, |encoder, scope| encoder.bytes(scope.as_str().as_bytes()))
            .list(&keys, |encoder, key| encoder.fixed(key.as_slice()))
            .i64(self.created.0)
            .option(self.expires, moment)
            .option(self.revoked, moment)
            .bytes(self.made_by.as_bytes())
            .option(self.view, |encoder, view| encoder.u64(view.change).fixed(&view.digest))
            .u64(self.read.count)
            .fixed(&self.read.head)
            .list(&self.places, |encoder, (place, mark)| {
                encoder.fixed(place).u64(mark.count).fixed(&mark.head)
            })
            .extensions(&self.extensions)
            .finish()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(bytes);
        let moment = |decoder: &mut Decoder<'_>| decoder.i64().map(Moment);
        let record = Self {
            kind: TokenKind::of_code(decoder.u8()?)?,
            name: TokenName::parse(decoder.text()?).map_err(|_| Malformed)?,
            id: decoder.array()?,
            reader: Reader::from_bytes(decoder.fixed(crypto::KEY_LEN)?).ok_or(Malformed)?,
            first_key: SealingKey::from_bytes(decoder.fixed(crypto::KEY_LEN)?).ok_or(Malformed)?,
            rule: Rule {
                scopes: decoder
                    .ascending(|decoder| Scope::parse(decoder.text()?).map_err(|_| Malformed), |scope| scope)?
                    .into_iter()
                    .collect(),
                keys: decoder.ascending(Decoder::array, |key| key)?.into_iter().collect(),
            },
            created: moment(&mut decoder)?,
            expires: decoder.option(moment)?,
            revoked: decoder.option(moment)?,
            made_by: decoder.text()?.to_owned(),
            view: decoder
                .option(|decoder| Ok(ViewMark { change: decoder.u64()?, digest: decoder.array()? }))?,
            read: ChainMark::decode(&mut decoder)?,
            places: decoder.ascending(
                |decoder| Ok((decoder.array()?, ChainMark::decode(decoder)?)),
                |(place, _)| place,
            )?,
            extensions: decoder.extensions()?,
        };
        decoder.end()?;
        record.kind.hold_expiry(record.expires)?;
        Ok(record)
    }
}

impl ChainMark {
    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, Malformed> {
        Ok(Self { count: decoder.u64()?, head: decoder.array()? })
    }
}
