//! The rows of the vault that a token's bearer reads: a view, and a grant for each key.
//!
//! A grant holds all that a reader must know to refuse (name, variable, scopes, expiry, the states of versions), and
//! the keys of the versions that are good. The view binds the set of grants, so that none can be left out, put back or
//! exchanged for an older one, and is signed by the owner, so that no bearer of the token can make one. Both are sealed
//! with keys that follow from the token; its bearer verifies everything that it uses and needs nothing else of the
//! vault.

use std::collections::BTreeSet;

use crate::audit::KeyRef;
use crate::store::{GrantRow, TokenId, ViewRow};
use crate::unlock::token::TokenKeys;
use keyvault_core::clock::{Moment, Rng};
use keyvault_core::codec::{self, Decoder, Encoder, Extensions, Malformed};
use keyvault_core::crypto::{self, Hash, SealingKey, Signed, SigningKey};
use keyvault_core::identity::{Identity, Place};
use keyvault_core::name::{EnvName, KeyName, Scope, TokenName};
use keyvault_core::secret::SecretBytes;

use super::error::TokenError;
use super::record::TokenKind;
use super::signed::{self, NamedSigner, SignedText};
use crate::error::VaultError;
use crate::key::record::{KeyRecord, VersionState};
use crate::tx::damaged;

const VIEW_LABEL: &str = "keyvault token view";
const GRANT_LABEL: &str = "keyvault token grant";
/// The extension of a grant whose key is handed out to nobody because a file asks for it; it is empty. Only a limited
/// session's grants have it: what a machine was granted, its files may ask for.
const WITHHELD: u16 = 2;

const GRANTS_LABEL: &[u8] = b"keyvault token grants";

/// The head of a bearer's rows: their time and expiry, and a hash of the grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    pub kind: TokenKind,
    /// The vault's change that wrote it.
    pub change: u64,
    pub name: TokenName,
    pub time: Moment,
    /// After this the token opens nothing.
    pub expires: Option<Moment>,
    pub(crate) count: u32,
    pub(crate) grants: Hash,
}

/// One key as a bearer gets it.
#[derive(Debug, PartialEq, Eq)]
pub struct Grant {
    pub(crate) key: [u8; 16],
    pub(crate) name: KeyName,
    pub(crate) variable: EnvName,
    pub(crate) scopes: BTreeSet<Scope>,
    pub(crate) expires: Option<Moment>,
    pub(crate) versions: Vec<GrantedVersion>,
    pub(crate) extensions: Extensions,
}

/// One version that is good, and its key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct GrantedVersion {
    pub(crate) number: u32,
    pub(crate) state: VersionState,
    pub(crate) grace_until: Option<Moment>,
    pub(crate) key: SealingKey,
    /// SHA-256 of its sealed value: other bearers that were granted the key have this version's key too, and could seal
    /// another value under it.
    pub(crate) sealed: [u8; 32],
}

impl View {
    pub(crate) fn seal(
        &self,
        keys: &TokenKeys,
        identity: &Identity,
        token: &TokenId,
        signing: &SigningKey,
        rng: &dyn Rng,
    ) -> Result<ViewRow, VaultError> {
        let text = signed::head(self.kind, token, self.change)
            .bytes(self.name.as_str().as_bytes())
            .i64(self.time.0)
            .option(self.expires, |encoder, expires| encoder.i64(expires.0))
            .u32(self.count)
            .fixed(&self.grants)
            .extensions(&Extensions::default())
            .finish();
        let plain = SignedText::encode(Signed::View, &text, signing, identity).finish();
        let padded = codec::pad(&plain).map_err(|_| damaged("token_view: too long to encode"))?;
        let context = identity.context(&view_place(token, self.change));
        let sealed = crypto::seal(&keys.view, VIEW_LABEL, &context, padded.expose(), rng)?;
        Ok(ViewRow { token: *token, change: self.change, sealed })
    }

    /// Opens the view for its owner, whose record of the token says which view it wrote.
    pub(crate) fn open(
        row: &ViewRow,
        kind: TokenKind,
        keys: &TokenKeys,
        identity: &Identity,
    ) -> Result<Self, VaultError> {
        Self::open_with(row, kind, keys, identity, |_| Ok(()))
    }

    /// Opens the view for its bearer, which learns from the signature that the owner wrote it.
    pub(crate) fn open_signed(
        row: &ViewRow,
        kind: TokenKind,
        keys: &TokenKeys,
        identity: &Identity,
        signer: &NamedSigner<'_>,
    ) -> Result<Self, VaultError> {
        Self::open_with(row, kind, keys, identity, |text| text.verify(Signed::View, signer, identity))
    }

    fn open_with(
        row: &ViewRow,
        kind: TokenKind,
        keys: &TokenKeys,
        identity: &Identity,
        verify: impl FnOnce(&SignedText<'_>) -> Result<(), TokenError>,
    ) -> Result<Self, VaultError> {
        let context = identity.context(&view_place(&row.token, row.change));
        let plain = crypto::open(&keys.view, VIEW_LABEL, &context, &row.sealed)
            .map_err(|_| damaged("token_view: does not open"))?;
        let malformed = |Malformed| damaged("token_view: malformed");
        let mut decoder = Decoder::new(codec::unpad(&plain).map_err(malformed)?);
        let signed = SignedText::decode(&mut decoder).map_err(malformed)?;
        decoder.end().map_err(malformed)?;
        verify(&signed)?;
        let (view, extensions) = Self::decode(signed.text, kind, row).map_err(malformed)?;
        match extensions.must_be_known() {
            Some(field) => Err(TokenError::Newer { what: format!("the view has field {field}") }.into()),
            None => Ok(view),
        }
    }

    fn decode(text: &[u8], kind: TokenKind, row: &ViewRow) -> Result<(Self, Extensions), Malformed> {
        let mut decoder = Decoder::new(text);
        signed::expect_head(&mut decoder, kind, &row.token, row.change)?;
        let view = Self {
            kind,
            change: row.change,
            name: TokenName::parse(decoder.text()?).map_err(|_| Malformed)?,
            time: Moment(decoder.i64()?),
            expires: decoder.option(|decoder| decoder.i64().map(Moment))?,
            count: decoder.u32()?,
            grants: decoder.array()?,
        };
        let extensions = decoder.extensions()?;
        decoder.end()?;
        view.kind.hold_expiry(view.expires)?;
        Ok((view, extensions))
    }

    /// Whether these are the grants that it names, every one and no other.
    pub(crate) fn binds(&self, rows: &[GrantRow]) -> bool {
        u32::try_from(rows.len()) == Ok(self.count) && grants_hash(rows) == self.grants
    }
}

/// The hash over all grants; `rows` are ordered by the keys' ids.
pub(crate) fn grants_hash(rows: &[GrantRow]) -> Hash {
    let mut all = Vec::with_capacity(GRANTS_LABEL.len() + rows.len() * (16 + crypto::HASH_LEN));
    all.extend_from_slice(GRANTS_LABEL);
    for row in rows {
        all.extend_from_slice(&row.key);
        all.extend_from_slice(&crypto::sha256(&row.sealed));
    }
    crypto::sha256(&all)
}

impl Grant {
    pub(crate) fn of(key: &KeyRecord, versions: Vec<GrantedVersion>) -> Self {
        Self {
            key: key.id,
            name: key.name.clone(),
            variable: key.variable.clone(),
            scopes: key.scopes.clone(),
            expires: key.expires,
            versions,
            extensions: Extensions::default(),
        }
    }

    pub(crate) fn withhold_from_files(mut self) -> Self {
        self.extensions = self.extensions.with(WITHHELD, Vec::new());
        self
    }

    pub(crate) fn is_withheld(&self) -> bool {
        self.extensions.get(WITHHELD).is_some()
    }

    /// The plaintext, in a buffer that is wiped: it holds the keys of versions.
    pub fn encode(&self) -> SecretBytes {
        let scopes: Vec<_> = self.scopes.iter().collect();
        let encoded = Encoder::new()
            .bytes(self.name.as_str().as_bytes())
            .bytes(self.variable.as_str().as_bytes())
            .list(&scopes, |encoder, scope| encoder.bytes(scope.as_str().as_bytes()))
            .option(self.expires, |encoder, expires| encoder.i64(expires.0))
            .list(&self.versions, |encoder, version| {
                encoder
                    .u32(version.number)
                    .u8(u8::from(version.state == VersionState::Previous))
                    .option(version.grace_until, |encoder, until| encoder.i64(until.0))
                    .fixed(version.key.expose())
                    .fixed(&version.sealed)
            })
            .extensions(&self.extensions)
            .finish();
        // The allocator wipes the encoder's buffers.
        SecretBytes::copy_from(&encoded)
    }

    pub fn decode(key: [u8; 16], bytes: &[u8]) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(bytes);
        let grant = Self {
            key,
            name: KeyName::parse(decoder.text()?).map_err(|_| Malformed)?,
            variable: EnvName::stored(decoder.text()?).map_err(|_| Malformed)?,
            scopes: decoder
                .ascending(|decoder| Scope::parse(decoder.text()?).map_err(|_| Malformed), |scope| scope)?
                .into_iter()
                .collect(),
            expires: decoder.option(|decoder| decoder.i64().map(Moment))?,
            versions: decoder.ascending(GrantedVersion::decode, |version| &version.number)?,
            extensions: decoder.extensions()?,
        };
        decoder.end()?;
        let current = grant.versions.iter().filter(|version| version.state == VersionState::Current);
        if current.count() <= 1 { Ok(grant) } else { Err(Malformed) }
    }

    pub(crate) fn seal(
        &self,
        keys: &TokenKeys,
        identity: &Identity,
        token: &TokenId,
        rng: &dyn Rng,
    ) -> Result<GrantRow, VaultError> {
        let padded =
            codec::pad(self.encode().expose()).map_err(|_| damaged("token_grant: too long to encode"))?;
        let context = identity.context(&grant_place(&self.key, token));
        let sealed = crypto::seal(&keys.grants, GRANT_LABEL, &context, padded.expose(), rng)?;
        Ok(GrantRow { token: *token, key: self.key, sealed })
    }

    pub(crate) fn open(row: &GrantRow, keys: &TokenKeys, identity: &Identity) -> Result<Self, VaultError> {
        let context = identity.context(&grant_place(&row.key, &row.token));
        let plain = crypto::open(&keys.grants, GRANT_LABEL, &context, &row.sealed)
            .map_err(|_| damaged("token_grant: does not open"))?;
        let grant = codec::unpad(&plain)
            .and_then(|bytes| Self::decode(row.key, bytes))
            .map_err(|_| damaged("token_grant: malformed"))?;
        grant.known()?;
        Ok(grant)
    }

    /// Refuses a grant with a field that must be known to read it.
    pub(crate) fn known(&self) -> Result<(), TokenError> {
        match self.extensions.must_be_known_besides(&[WITHHELD]) {
            Some(field) => Err(TokenError::Newer { what: format!("the grant of a key has field {field}") }),
            None => Ok(()),
        }
    }

    /// The key as the audit log names it; version 0 if none is in use.
    pub(crate) fn key_ref(&self) -> KeyRef {
        let current = self.versions.iter().find(|version| version.state == VersionState::Current);
        KeyRef { name: self.name.to_string(), version: current.map_or(0, |version| version.number) }
    }

    pub(crate) fn version(&self, number: u32) -> Option<&GrantedVersion> {
        self.versions.iter().find(|version| version.number == number)
    }
}

impl GrantedVersion {
    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            number: decoder.u32()?,
            state: match decoder.u8()? {
                0 => VersionState::Current,
                1 => VersionState::Previous,
                _ => return Err(Malformed),
            },
            grace_until: decoder.option(|decoder| decoder.i64().map(Moment))?,
            key: SealingKey::from_bytes(decoder.fixed(crypto::KEY_LEN)?).ok_or(Malformed)?,
            sealed: decoder.array()?,
        })
    }
}

fn view_place(token: &TokenId, change: u64) -> Place<'_> {
    Place { table: "token_view", row: token, version: 0, field: "sealed", revision: change, bound: &[] }
}

fn grant_place<'p>(key_id: &'p [u8; 16], token: &'p TokenId) -> Place<'p> {
    Place { table: "token_grant", row: key_id, version: 0, field: "sealed", revision: 0, bound: token }
}
