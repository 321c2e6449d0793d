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

use data_encoding::BASE64;

use crate::audit::{Action, KeyRef};
use crate::store::TokenId;
use keyvault_core::clock::Moment;
use keyvault_core::codec::{self, Decoder, Encoder, Extensions, Malformed};
use keyvault_core::crypto::{self, Signed, wipe_stack};
use keyvault_core::identity::{Identity, Place};
use keyvault_core::name::TokenName;
use keyvault_core::secret::SecretBytes;

use super::bearer::BearerKeys;
use super::error::TokenError;
use super::grant::Grant;
use super::record::TokenKind;
use super::signed::{self, NamedSigner, SignedText};
use super::{index, regrant};
use crate::error::VaultError;
use crate::file::open::{Access, Vault, World};
use crate::key::edit::key_ref;
use crate::tx::{VerifiedTx, damaged};

const LABEL: &str = "keyvault bundle";
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

#[derive(Debug)]
pub struct BundleContent {
    pub name: TokenName,
    pub made: Moment,
    /// After this it is refused.
    pub expires: Option<Moment>,
    keys: Vec<BundledKey>,
}

/// A key's id, its grant, and the values of its versions.
type BundledKey = ([u8; 16], SecretBytes, Vec<(u32, SecretBytes)>);

/// The unsealed part of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
        let mut decoder = Decoder::new(&bytes);
        let mut head = || -> Result<_, Malformed> {
            let identity = Identity { vault_id: decoder.array()?, epoch: decoder.u32()? };
            Ok(Self { identity, token: decoder.array()?, change: decoder.u64()? })
        };
        let label = head().map_err(|_| TokenError::BundleDamaged)?;
        let sealed = bytes.get(16 + 4 + 16 + 8..).unwrap_or_default().to_vec();
        Ok((label, sealed))
    }

    pub fn write(&self, sealed: &[u8]) -> Vec<u8> {
        let head = Encoder::new()
            .fixed(&self.identity.vault_id)
            .u32(self.identity.epoch)
            .fixed(&self.token)
            .u64(self.change)
            .fixed(sealed)
            .finish();
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

    fn context(&self) -> Vec<u8> {
        let place = Place {
            table: "bundle",
            row: &self.token,
            version: 0,
            field: "sealed",
            revision: self.change,
            bound: &[],
        };
        self.identity.context(&place)
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
        let whole = crypto::open(&key, LABEL, &label.context(), sealed).is_ok();
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
    let view = record.view.ok_or_else(|| TokenError::Revoked(name.clone()))?;
    record.in_force(world.now())?;
    regrant::verified_grants(tx, &record)?;
    let key_records = regrant::matching(tx, &record.rule)?;
    let mut content = signed::head(TokenKind::Bearer, &record.id, view.change)
        .bytes(name.as_str().as_bytes())
        .i64(world.now().0)
        .option(record.expires, |encoder, expires| encoder.i64(expires.0))
        .u32(u32::try_from(key_records.len()).map_err(|_| damaged("bundle: too many keys"))?);
    for key in &key_records {
        let grant = regrant::grant_of(tx, key, world.now())?;
        let good: Vec<_> = grant.versions.iter().filter_map(|version| key.version(version.number)).collect();
        content = content
            .fixed(&key.id)
            .bytes(grant.encode().expose())
            .u32(u32::try_from(good.len()).unwrap_or(u32::MAX));
        for version in good {
            let value = tx.value(&key.id, version)?;
            let padded = codec::pad(value.expose()).map_err(|_| damaged("bundle: too long to encode"))?;
            content = content.u32(version.number).bytes(padded.expose());
        }
    }
    // The allocator wipes the encoder's buffers.
    let content = content.extensions(&Extensions::default()).finish();
    let signing = &tx.daily.signing;
    let plain = SignedText::encode(Signed::Bundle, &content, signing, &tx.identity)
        .bytes(&signing.signer().encode())
        .finish();
    let padded = codec::pad(&plain).map_err(|_| damaged("bundle: too long to encode"))?;
    let label = BundleLabel { identity: tx.identity, token: record.id, change: view.change };
    let keys = record.keys(&tx.identity);
    let sealed = crypto::seal(&keys.bundle, LABEL, &label.context(), padded.expose(), world.rng)?;
    let opened: Vec<_> = key_records.iter().filter(|key| key.has_value(world.now())).map(key_ref).collect();
    Ok((Bundled { text: label.write(&sealed), change: view.change, keys: opened.len() }, opened))
}

impl Bundle {
    /// Opens the content of a bundle's file with the token that it was made for.
    pub fn open(bytes: &[u8], file: &Path, bearer: &BearerKeys, now: Moment) -> Result<Self, TokenError> {
        let (label, sealed) = BundleLabel::parse(bytes)?;
        if label.token != bearer.id {
            return Err(TokenError::OtherBundle);
        }
        let keys = bearer.keys(&label.identity);
        let padded = crypto::open(&keys.bundle, LABEL, &label.context(), &sealed)
            .map_err(|_| TokenError::BundleDamaged)?;
        let malformed = |Malformed| TokenError::BundleDamaged;
        let mut decoder = Decoder::new(codec::unpad(&padded).map_err(malformed)?);
        let signed = SignedText::decode(&mut decoder).map_err(malformed)?;
        let named = NamedSigner { id: &bearer.signer, encoded: decoder.bytes().map_err(malformed)? };
        decoder.end().map_err(malformed)?;
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
        let (_, _, values) = self.content.keys.iter().find(|(id, ..)| id == key_id)?;
        let (_, value) = values.iter().find(|(number, _)| *number == version)?;
        Some(SecretBytes::copy_from(value.expose()))
    }
}

impl BundleContent {
    /// The content of a bundle with this label.
    pub fn decode(bytes: &[u8], label: &BundleLabel) -> Result<(Self, Extensions), Malformed> {
        let mut decoder = Decoder::new(bytes);
        signed::expect_head(&mut decoder, TokenKind::Bearer, &label.token, label.change)?;
        let content = Self {
            name: TokenName::parse(decoder.text()?).map_err(|_| Malformed)?,
            made: Moment(decoder.i64()?),
            expires: decoder.option(|decoder| decoder.i64().map(Moment))?,
            keys: decoder.list(|decoder| {
                let id = decoder.array()?;
                let grant = SecretBytes::copy_from(decoder.bytes()?);
                let values = decoder.list(|decoder| {
                    let number = decoder.u32()?;
                    let padded = SecretBytes::copy_from(decoder.bytes()?);
                    Ok((number, SecretBytes::copy_from(codec::unpad(&padded)?)))
                })?;
                Ok((id, grant, values))
            })?,
        };
        let extensions = decoder.extensions()?;
        decoder.end()?;
        content.grants()?;
        Ok((content, extensions))
    }

    pub(crate) fn grants(&self) -> Result<Vec<Grant>, Malformed> {
        self.keys.iter().map(|(id, grant, _)| Grant::decode(*id, grant.expose())).collect()
    }
}
