//! The rows of the vault that a token's bearer reads: a view, and a grant for each key.
//!
//! A grant holds all that a reader must know to refuse (name, variable, scopes, expiry, the states of versions), and
//! the keys of the versions that are good. The view binds the set of grants, so that none can be left out, put back or
//! exchanged for an older one, and is signed by the owner, so that no bearer of the token can make one. Both are sealed
//! with keys that follow from the token; its bearer verifies everything that it uses and needs nothing else of the
//! vault.

use std::collections::BTreeSet;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::audit::KeyRef;
use crate::sealed::{At, SealError, SealKind};
use crate::store::{GrantRow, TokenId, ViewRow};
use crate::unlock::token::TokenKeys;
use keyvault_core::clock::{Moment, Rng};
use keyvault_core::codec::{self, Extensions, Malformed};
use keyvault_core::crypto::{self, Hash, SealingKey, Signed, Signer, SigningKey};
use keyvault_core::identity::Identity;
use keyvault_core::name::{EnvName, KeyName, Scope, TokenName};
use keyvault_core::secret::{Full, SecretBytes};

use super::error::TokenError;
use super::former::SignedSuccession;
use super::record::{Apis, TokenKind};
use super::signed::{Head, NamedSigner, SignedText};
use crate::error::VaultError;
use crate::key::record::{KeyRecord, VersionState};
use crate::tx::damaged;

const VIEW: SealKind = SealKind::of("keyvault token view", "token_view");
const GRANT: SealKind = SealKind::of("keyvault token grant", "token_grant");
/// The extension of a grant whose key is handed out to nobody because a file asks for it; it is empty. Only a limited
/// session's grants have it: what a machine was granted, its files may ask for.
const WITHHELD: u16 = 2;

const GRANTS_LABEL: &[u8] = b"keyvault token grants";

/// The head of a bearer's rows: their time and expiry, and a hash of the grants.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct View {
    /// The kind of token, and the vault's change that wrote the view, are in the head of the text.
    #[borsh(skip)]
    pub kind: TokenKind,
    #[borsh(skip)]
    pub change: u64,
    pub name: TokenName,
    pub time: Moment,
    /// After this the token opens nothing.
    pub expires: Option<Moment>,
    pub(crate) count: u32,
    pub(crate) grants: Hash,
    /// Each has a grant among the grants, under its id.
    pub(crate) apis: Apis,
}

/// One key as a bearer gets it. The fields stand in the order of their encoding.
#[derive(Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Grant {
    /// The key's id. It stands in the row.
    #[borsh(skip)]
    pub(crate) key: [u8; 16],
    pub(crate) name: KeyName,
    pub(crate) variable: EnvName,
    pub(crate) scopes: BTreeSet<Scope>,
    pub(crate) expires: Option<Moment>,
    /// The value is no secret.
    pub(crate) public: bool,
    /// No version is granted until the owner enables the key.
    pub(crate) disabled: bool,
    pub(crate) value_kind: u8,
    pub(crate) versions: Vec<GrantedVersion>,
    pub(crate) extensions: Extensions,
}

/// One version that is good, and its key.
#[derive(Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct GrantedVersion {
    pub(crate) number: u32,
    /// True if it is a previous version, and not the current one.
    pub(crate) previous: bool,
    pub(crate) grace_until: Option<Moment>,
    #[borsh(serialize_with = "SealingKey::write", deserialize_with = "SealingKey::read")]
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
        proof: Option<&SignedSuccession>,
        rng: &dyn Rng,
    ) -> Result<ViewRow, VaultError> {
        let head = Head::of(self.kind, token, self.change);
        let text = codec::encode(&(head, self, Extensions::default()));
        let mut plain = codec::encode(&(&text, signing.sign(Signed::View, identity, &text)));
        plain.extend(proof.map(codec::encode).unwrap_or_default());
        let sealed = VIEW.seal(&keys.view, identity, view_at(token, self.change), &plain, rng)?;
        Ok(ViewRow { token: *token, change: self.change, sealed })
    }

    /// Opens the view for its owner, whose record of the token says which view it wrote.
    pub(crate) fn open(
        row: &ViewRow,
        kind: TokenKind,
        keys: &TokenKeys,
        identity: &Identity,
    ) -> Result<Self, VaultError> {
        Self::open_with(row, kind, keys, identity, |_, _| Ok(()))
    }

    /// Opens the view for its owner, and learns from the signature that it is the owner's; with the succession behind it.
    pub(crate) fn open_own(
        row: &ViewRow,
        kind: TokenKind,
        keys: &TokenKeys,
        identity: &Identity,
        signing: &SigningKey,
    ) -> Result<(Self, Option<SignedSuccession>), VaultError> {
        let encoded = signing.signer().encode();
        let signer = NamedSigner { id: &Signer::id_of(&encoded), encoded: &encoded };
        let mut behind = None;
        let view = Self::open_with(row, kind, keys, identity, |text, proof| {
            behind = proof.cloned();
            text.verify(Signed::View, &signer, identity)
        })?;
        Ok((view, behind))
    }

    /// Opens the view for its bearer, which learns from the signature that the owner wrote it. The signer is the one that
    /// the token names, or for a verifier's former token the one that follows it.
    pub(crate) fn open_signed(
        row: &ViewRow,
        kind: TokenKind,
        keys: &TokenKeys,
        identity: &Identity,
        signer: &NamedSigner<'_>,
        now: Moment,
    ) -> Result<Self, VaultError> {
        Self::open_with(row, kind, keys, identity, |text, proof| {
            let Some(proof) = proof else { return text.verify(Signed::View, signer, identity) };
            if kind != TokenKind::Verifier || Signer::id_of(signer.encoded) == *signer.id {
                return Err(TokenError::NotByOwner { what: "view" });
            }
            let id = proof.successor(signer.id, signer.encoded, identity, now)?;
            text.verify(Signed::View, &NamedSigner { id: &id, encoded: signer.encoded }, identity)
        })
    }

    fn open_with(
        row: &ViewRow,
        kind: TokenKind,
        keys: &TokenKeys,
        identity: &Identity,
        verify: impl FnOnce(&SignedText<'_>, Option<&SignedSuccession>) -> Result<(), TokenError>,
    ) -> Result<Self, VaultError> {
        let plain = VIEW
            .open(&keys.view, identity, view_at(&row.token, row.change), &row.sealed)
            .map_err(|error| damaged(&format!("token_view: {error}")))?;
        let malformed = |Malformed| damaged("token_view: malformed");
        let mut rest = plain.bytes();
        let signed = SignedText::take(&mut rest).map_err(malformed)?;
        let proof: Option<SignedSuccession> =
            (!rest.is_empty()).then(|| codec::decode(rest)).transpose().map_err(malformed)?;
        verify(&signed, proof.as_ref())?;
        if let Some(found) = Head::other_machines(signed.text, kind, &row.token, row.change) {
            return Err(TokenError::OtherKind { found }.into());
        }
        let (view, extensions) = Self::decode(signed.text, kind, row).map_err(malformed)?;
        match extensions.must_be_known() {
            Some(field) => Err(TokenError::Newer { what: format!("the view has field {field}") }.into()),
            None => Ok(view),
        }
    }

    fn decode(text: &[u8], kind: TokenKind, row: &ViewRow) -> Result<(Self, Extensions), Malformed> {
        let (head, view, extensions): (Head, Self, Extensions) = codec::decode(text)?;
        if head != Head::of(kind, &row.token, row.change) {
            return Err(Malformed);
        }
        kind.hold(view.expires, &view.apis)?;
        Ok((Self { kind, change: row.change, ..view }, extensions))
    }

    /// Returns `true` if these are the grants that it names, every one and no other.
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
            public: key.public,
            disabled: key.disabled.is_some(),
            value_kind: key.value_kind,
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
    pub fn encode(&self) -> Result<SecretBytes, Full> {
        codec::encode_secret(self)
    }

    pub fn decode(key: [u8; 16], bytes: &[u8]) -> Result<Self, Malformed> {
        let grant = Self { key, ..codec::decode(bytes)? };
        let one_current = grant.versions.iter().filter(|version| !version.previous).count() <= 1;
        let in_order = grant.versions.is_sorted_by(|left, right| left.number < right.number);
        let withheld = !grant.disabled || grant.versions.is_empty();
        if one_current && in_order && withheld { Ok(grant) } else { Err(Malformed) }
    }

    pub(crate) fn seal(
        &self,
        keys: &TokenKeys,
        identity: &Identity,
        token: &TokenId,
        rng: &dyn Rng,
    ) -> Result<GrantRow, VaultError> {
        let plain = self.encode().map_err(|Full| SealError::TooLong)?;
        let sealed = GRANT.seal(&keys.grants, identity, grant_at(&self.key, token), plain.expose(), rng)?;
        Ok(GrantRow { token: *token, key: self.key, sealed })
    }

    pub(crate) fn open(row: &GrantRow, keys: &TokenKeys, identity: &Identity) -> Result<Self, VaultError> {
        let plain = GRANT
            .open(&keys.grants, identity, grant_at(&row.key, &row.token), &row.sealed)
            .map_err(|error| damaged(&format!("token_grant: {error}")))?;
        let grant =
            Self::decode(row.key, plain.bytes()).map_err(|Malformed| damaged("token_grant: malformed"))?;
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
        let current = self.versions.iter().find(|version| !version.previous);
        KeyRef { name: self.name.to_string(), version: current.map_or(0, |version| version.number) }
    }

    pub(crate) fn version(&self, number: u32) -> Option<&GrantedVersion> {
        self.versions.iter().find(|version| version.number == number)
    }
}

impl GrantedVersion {
    pub(crate) fn state(&self) -> VersionState {
        if self.previous { VersionState::Previous } else { VersionState::Current }
    }
}

fn view_at(token: &TokenId, change: u64) -> At<'_> {
    At { row: token, revision: change, ..At::default() }
}

pub(super) fn grant_at<'p>(key_id: &'p [u8; 16], token: &'p TokenId) -> At<'p> {
    At { row: key_id, bound: token, ..At::default() }
}
