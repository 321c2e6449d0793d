//! The grant of an API: what a verifier or an issuer needs of its sets, and nothing that opens a held key.

use borsh::{BorshDeserialize, BorshSerialize};
use keyvault_core::clock::Rng;
use keyvault_core::codec::{self, Extensions, Malformed};
use keyvault_core::crypto::SealingKey;
use keyvault_core::identity::Identity;
use keyvault_core::name::Label;
use keyvault_core::secret::Full;
use keyvault_issue::record::{Ascending, IssuerEntry, Prefix};
use keyvault_issue::set::{Kind, PageKeys, api_key, page_key};
use keyvault_issue::{ApiId, SetId};

use super::error::TokenError;
use super::grant::grant_at;
use crate::error::VaultError;
use crate::issued;
use crate::sealed::{SealError, SealKind};
use crate::store::{GrantRow, TokenId};
use crate::tx::{VerifiedTx, damaged};
use crate::unlock::token::TokenKeys;

const API_GRANT: SealKind = SealKind::of("keyvault api grant", "token_grant");

#[derive(Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
pub(crate) enum ApiGrant {
    Verifier(VerifierGrant) = 1,
    Issuer(IssuerGrant) = 2,
}

#[derive(Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct VerifierGrant {
    #[borsh(serialize_with = "SealingKey::write", deserialize_with = "SealingKey::read")]
    pub(crate) api_key: SealingKey,
    extensions: Extensions,
}

/// An issuer does not get the API's record, which has the usage keys, so its own entry comes with the grant.
#[derive(Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct IssuerGrant {
    pub(crate) owners_set: SetId,
    #[borsh(serialize_with = "SealingKey::write", deserialize_with = "SealingKey::read")]
    words: SealingKey,
    #[borsh(serialize_with = "SealingKey::write", deserialize_with = "SealingKey::read")]
    clients: SealingKey,
    #[borsh(serialize_with = "SealingKey::write", deserialize_with = "SealingKey::read")]
    keys: SealingKey,
    pub(crate) api: Label,
    /// Of new keys' texts.
    pub(crate) prefix: Prefix,
    pub(crate) prefixes: Ascending<Prefix>,
    pub(crate) entry: IssuerEntry,
    extensions: Extensions,
}

impl ApiGrant {
    /// The grant of an API to a verifier, or of a set in it to its issuer; `None` if the API's record does not hold or does
    /// not know the set.
    pub(crate) fn of(
        tx: &VerifiedTx<'_>,
        api: &ApiId,
        issuers: Option<&SetId>,
    ) -> Result<Option<Self>, VaultError> {
        let key = api_key(&tx.daily.issued, api);
        let Some(set) = issuers else {
            return Ok(Some(Self::Verifier(VerifierGrant {
                api_key: key,
                extensions: Extensions::default(),
            })));
        };
        let Some(owner) = issued::owners_set(tx, api)? else { return Ok(None) };
        let Some((record, entry)) = owner.api().and_then(|record| Some((record, record.issuers.find(set)?)))
        else {
            return Ok(None);
        };
        let owners_set = owner.header().header().set;
        Ok(Some(Self::Issuer(IssuerGrant {
            owners_set,
            words: page_key(&key, &owners_set, Kind::Words),
            clients: page_key(&key, set, Kind::Clients),
            keys: page_key(&key, set, Kind::Keys),
            api: record.name.clone(),
            prefix: record.prefix,
            prefixes: record.prefixes.clone(),
            entry: entry.clone(),
            extensions: Extensions::default(),
        })))
    }

    pub(crate) fn seal(
        &self,
        keys: &TokenKeys,
        identity: &Identity,
        (token, api): (&TokenId, &ApiId),
        rng: &dyn Rng,
    ) -> Result<GrantRow, VaultError> {
        let plain = codec::encode_secret(self).map_err(|Full| SealError::TooLong)?;
        let sealed = API_GRANT.seal(&keys.grants, identity, grant_at(api, token), plain.expose(), rng)?;
        Ok(GrantRow { token: *token, key: *api, sealed })
    }

    pub(crate) fn open(row: &GrantRow, keys: &TokenKeys, identity: &Identity) -> Result<Self, VaultError> {
        let plain = API_GRANT
            .open(&keys.grants, identity, grant_at(&row.key, &row.token), &row.sealed)
            .map_err(|error| damaged(&format!("token_grant: {error}")))?;
        let grant: Self =
            codec::decode(plain.bytes()).map_err(|Malformed| damaged("token_grant: malformed"))?;
        let extensions = match &grant {
            Self::Verifier(grant) => &grant.extensions,
            Self::Issuer(grant) => &grant.extensions,
        };
        match extensions.must_be_known() {
            Some(field) => {
                Err(TokenError::Newer { what: format!("the grant of an API has field {field}") }.into())
            }
            None => Ok(grant),
        }
    }
}

impl IssuerGrant {
    /// The keys of the issuer's own pages.
    pub(crate) fn page_keys(&self) -> PageKeys {
        let copy = |key: &SealingKey| SealingKey::from_bytes(key.expose());
        let kinds = [(Kind::Clients, &self.clients), (Kind::Keys, &self.keys)];
        let known = kinds.into_iter().filter_map(|(kind, key)| Some((kind, copy(key)?)));
        known.fold(PageKeys::default(), |keys, (kind, key)| keys.with(kind, key))
    }

    /// The key of the pages of scopes and roles in the owner's set.
    pub(crate) fn words_key(&self) -> PageKeys {
        let key = SealingKey::from_bytes(self.words.expose());
        key.map_or_else(PageKeys::default, |key| PageKeys::default().with(Kind::Words, key))
    }
}
