//! Bundles: a sealed file with just a token's keys, to be committed or shipped to where no vault is.
//!
//! ```text
//! file    = "keyvault bundle 1" ‖ newline ‖ lines of at most 76 characters of base64 of:
//!           vault id (16) ‖ u32 epoch ‖ token id (16) ‖ u64 change ‖ sealed
//! sealed  = seal(bundle key, "keyvault bundle", context of (bundle, token id, change), pad(signed))
//! signed  = bytes(content) ‖ bytes(signature of content) ‖ bytes(signer)
//! content = u8 kind of token ‖ token id ‖ u64 change ‖ text token name ‖ i64 made ‖ option(i64 expires)
//!           ‖ list(key id (16) ‖ bytes(grant) ‖ list(u32 version ‖ bytes(pad(value)))) ‖ extensions
//! ```
//!
//! Nothing but ids and the change number stands outside of the seal, and the length is that of the padding.

use std::path::{Path, PathBuf};

use borsh::{BorshDeserialize, BorshSerialize};
use data_encoding::BASE64;

use crate::audit::{Action, KeyRef};
use crate::sealed::{At, SealKind};
use crate::store::TokenId;
use keyvault_core::clock::Moment;
use keyvault_core::codec::{self, Extensions, Malformed};
use keyvault_core::crypto::{Signed, wipe_stack};
use keyvault_core::identity::Identity;
use keyvault_core::name::TokenName;
use keyvault_core::secret::SecretBytes;

use super::bearer::BearerKeys;
use super::error::TokenError;
use super::grant::Grant;
use super::record::TokenKind;
use super::signed::{Head, NamedSigner, SignedText};
use super::{index, regrant};
use crate::error::VaultError;
use crate::file::open::{Access, Vault, World};
use crate::key::edit::key_ref;
use crate::key::record::KeyRecord;
use crate::tx::{VerifiedTx, damaged};

const BUNDLE: SealKind = SealKind::of("keyvault bundle", "bundle");
const FIRST_LINE: &str = "keyvault bundle 1";
const LINE: usize = 76;

/// The longest file that is read, in bytes.
pub const MAX_BUNDLE: usize = 64 << 20;

/// A bundle that was opened with its token, and has not expired.
#[derive(Debug)]
pub struct Bundle {
    pub label: BundleLabel,
    pub content: BundleContent,
    file: PathBuf,
}

#[derive(Debug, BorshSerialize, BorshDeserialize)]
pub struct BundleContent {
    pub name: TokenName,
    pub made: Moment,
    /// After this it is refused.
    pub expires: Option<Moment>,
    keys: Vec<BundledKey>,
}

#[derive(Debug, BorshSerialize, BorshDeserialize)]
struct BundledKey {
    id: [u8; 16],
    #[borsh(serialize_with = "SecretBytes::write", deserialize_with = "SecretBytes::read")]
    grant: SecretBytes,
    /// The values of the grant's versions.
    values: Vec<BundledValue>,
}

#[derive(Debug, BorshSerialize, BorshDeserialize)]
struct BundledValue {
    version: u32,
    #[borsh(serialize_with = "SecretBytes::write", deserialize_with = "SecretBytes::read")]
    padded: SecretBytes,
}

/// The unsealed part of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BundleLabel {
    /// Which vault it was made from.
    pub identity: Identity,
    pub token: TokenId,
    /// At which change of the token's view.
    pub change: u64,
}

#[derive(Debug)]
pub struct Bundled {
    pub text: Vec<u8>,
    /// The change that it stands at.
    pub change: u64,
    /// How many keys are in it.
    pub keys: usize,
}

impl BundleLabel {
    /// Reads what stands outside of the seal, and the sealed content.
    pub fn parse(file: &[u8]) -> Result<(Self, Vec<u8>), TokenError> {
        let text = std::str::from_utf8(file).map_err(|_| TokenError::NotABundle)?;
        let mut lines = text.lines();
        if lines.next().map(str::trim_end) != Some(FIRST_LINE) {
            return Err(TokenError::NotABundle);
        }
        let body: String = lines.map(str::trim).collect();
        let bytes = BASE64.decode(body.as_bytes()).map_err(|_| TokenError::BundleDamaged)?;
        let mut sealed = bytes.as_slice();
        let label = Self::deserialize(&mut sealed).map_err(|_| TokenError::BundleDamaged)?;
        Ok((label, sealed.to_vec()))
    }

    pub fn write(&self, sealed: &[u8]) -> Vec<u8> {
        let head = [&codec::encode(self), sealed].concat();
        let body = BASE64.encode(&head);
        let mut file = Vec::with_capacity(FIRST_LINE.len() + 2 + body.len() + body.len() / LINE);
        file.extend_from_slice(FIRST_LINE.as_bytes());
        file.push(b'\n');
        for line in body.as_bytes().chunks(LINE) {
            file.extend_from_slice(line);
            file.push(b'\n');
        }
        file
    }

    fn at(&self) -> At<'_> {
        At { row: &self.token, revision: self.change, ..At::default() }
    }
}

/// Makes a bundle of what a token opens now. The values leave the vault, sealed, once the log knows.
pub fn bundle(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    name: &TokenName,
) -> Result<Bundled, VaultError> {
    vault.release(access, world, |tx| {
        let (bundled, keys) = make(tx, name, world)?;
        Ok((bundled, world.event(Action::Bundle, keys, format!("for token {name}"))))
    })
}

/// The name and the current change of the token that a bundle was made for; no change if what is sealed there does not
/// open: a bundle that was altered is not up to date.
pub fn of_bundle(
    vault: &mut Vault,
    access: &Access,
    label: &BundleLabel,
    sealed: &[u8],
    now: Moment,
) -> Result<(TokenName, Option<u64>), VaultError> {
    if label.identity.vault_id != vault.identity().vault_id {
        return Err(TokenError::OtherVault.into());
    }
    vault.read(access, |tx| {
        let record = index::load_all(tx)?.into_iter().find(|record| record.id == label.token);
        let record = record.ok_or(TokenError::BundleOfNone)?;
        record.in_force(now)?;
        let key = record.keys(&label.identity).bundle;
        let whole = BUNDLE.open(&key, &label.identity, label.at(), sealed).is_ok();
        Ok((record.name.clone(), record.view.filter(|_| whole).map(|view| view.change)))
    })
}

fn make(
    tx: &mut VerifiedTx<'_>,
    name: &TokenName,
    world: &World<'_>,
) -> Result<(Bundled, Vec<KeyRef>), VaultError> {
    let record = index::existing(tx, name)?;
    record.refuse_session()?;
    if record.kind != TokenKind::Bearer {
        return Err(TokenError::NoBundles { name: name.clone(), kind: record.kind }.into());
    }
    let view = record.view.ok_or_else(|| TokenError::Revoked(name.clone()))?;
    record.in_force(world.now())?;
    regrant::verified_grants(tx, &record)?;
    let key_records = regrant::matching(tx, &record.rule)?;
    let keys = key_records.iter().map(|key| bundled(tx, key, world)).collect::<Result<_, _>>()?;
    let content = BundleContent { name: name.clone(), made: world.now(), expires: record.expires, keys };
    let too_long = |_| damaged("bundle: too long to encode");
    let content = codec::encode_secret(&(
        Head::of(TokenKind::Bearer, &record.id, view.change),
        content,
        Extensions::default(),
    ));
    let content = content.map_err(too_long)?;
    let signing = &tx.daily.signing;
    let signature = signing.sign(Signed::Bundle, &tx.identity, content.expose());
    let plain = codec::encode_secret(&(content.expose(), signature, signing.signer().encode()));
    let plain = plain.map_err(too_long)?;
    let label = BundleLabel { identity: tx.identity, token: record.id, change: view.change };
    let keys = record.keys(&tx.identity);
    let sealed = BUNDLE.seal(&keys.bundle, &label.identity, label.at(), plain.expose(), world.rng)?;
    let opened: Vec<_> = key_records.iter().filter(|key| key.has_value(world.now())).map(key_ref).collect();
    Ok((Bundled { text: label.write(&sealed), change: view.change, keys: opened.len() }, opened))
}

/// A key as its grant has it, and the values of the grant's versions.
fn bundled(tx: &VerifiedTx<'_>, key: &KeyRecord, world: &World<'_>) -> Result<BundledKey, VaultError> {
    let too_long = |_| damaged("bundle: too long to encode");
    let grant = regrant::grant_of(tx, key, world.now())?;
    let mut values = Vec::with_capacity(grant.versions.len());
    for version in grant.versions.iter().filter_map(|version| key.version(version.number)) {
        let value = tx.value(&key.id, version)?;
        let padded = codec::pad(value.expose()).map_err(too_long)?;
        values.push(BundledValue { version: version.number, padded });
    }
    Ok(BundledKey { id: key.id, grant: grant.encode().map_err(too_long)?, values })
}

impl Bundle {
    /// Opens the content of a bundle's file with the token that it was made for.
    pub fn open(bytes: &[u8], file: &Path, bearer: &BearerKeys, now: Moment) -> Result<Self, TokenError> {
        let (label, sealed) = BundleLabel::parse(bytes)?;
        if label.token != bearer.id {
            return Err(TokenError::OtherBundle);
        }
        let keys = bearer.keys(&label.identity);
        let plain = BUNDLE
            .open(&keys.bundle, &label.identity, label.at(), &sealed)
            .map_err(|_| TokenError::BundleDamaged)?;
        let malformed = |Malformed| TokenError::BundleDamaged;
        let mut rest = plain.bytes();
        let signed = SignedText::take(&mut rest).map_err(malformed)?;
        let encoded = codec::take_bytes(&mut rest).map_err(malformed)?;
        if !rest.is_empty() {
            return Err(TokenError::BundleDamaged);
        }
        let named = NamedSigner { id: &bearer.signer, encoded };
        signed.verify(Signed::Bundle, &named, &label.identity)?;
        let (content, extensions) = BundleContent::decode(signed.text, &label).map_err(malformed)?;
        if let Some(field) = extensions.must_be_known() {
            return Err(TokenError::Newer { what: format!("the bundle has field {field}") });
        }
        wipe_stack();
        bearer.accept(label.change)?;
        match content.expires {
            Some(since) if since <= now => Err(TokenError::Expired { name: content.name, since }),
            _ => Ok(Self { label, content, file: file.to_owned() }),
        }
    }

    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    pub(crate) fn value(&self, key_id: &[u8; 16], version: u32) -> Option<SecretBytes> {
        let key = self.content.keys.iter().find(|key| key.id == *key_id)?;
        let value = key.values.iter().find(|value| value.version == version)?;
        codec::unpad(&value.padded).ok().map(SecretBytes::copy_from)
    }
}

impl BundleContent {
    /// The content of a bundle with this label.
    pub fn decode(bytes: &[u8], label: &BundleLabel) -> Result<(Self, Extensions), Malformed> {
        let (head, content, extensions): (Head, Self, Extensions) = codec::decode(bytes)?;
        if head != Head::of(TokenKind::Bearer, &label.token, label.change) {
            return Err(Malformed);
        }
        content.grants()?;
        let values = content.keys.iter().flat_map(|key| &key.values);
        for value in values {
            codec::unpad(&value.padded)?;
        }
        Ok((content, extensions))
    }

    pub(crate) fn grants(&self) -> Result<Vec<Grant>, Malformed> {
        self.keys.iter().map(|key| Grant::decode(key.id, key.grant.expose())).collect()
    }
}
