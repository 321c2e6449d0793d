//! Slots: root, or for a keyring the daily key, sealed under a key from one secret.
//!
//! ```text
//! header = u8 kind ‖ 32-byte salt ‖ (kind 1 only) u32le memory KiB ‖ u32le passes ‖ u32le lanes
//! key    = kind 1 passphrase     Argon2id(passphrase NFC UTF-8, salt, cost) → 32 bytes
//!          kind 2 recovery code  HKDF of the 20 random bytes, label "keyvault recovery slot", context salt
//!          kind 4 key file       HKDF of the 32 random bytes, label "keyvault key file slot", context salt
//!          kind 3 OS keyring    HKDF of the 32 random bytes, label "keyvault keyring slot", context salt
//! sealed = seal(key, "keyvault slot", context of the slot's row bound to its header, root; for kind 3 the daily key)
//! ```
//!
//! The header is part of the context, so a cost that was lowered or a salt that was exchanged opens nothing.

use crate::clock::Rng;
use crate::codec::{Decoder, Encoder, Malformed};
use crate::crypto::{self, Cost, Key};
use crate::identity::{Identity, Place};
use crate::store::SlotRow;

use super::keyfile::KeyFile;
use super::keyring_entry::KeyringSecret;
use super::keys::{Daily, Root};
use super::passphrase::Passphrase;
use super::recovery::RecoveryCode;
use super::{Secret, UnlockError};

const LABEL: &str = "keyvault slot";
const SALT_LEN: usize = 32;

/// What a slot is opened with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A passphrase, at this cost.
    Passphrase(Cost),
    /// The recovery code.
    Recovery,
    /// The entry of an OS keyring; it opens the daily key and not root.
    Keyring,
    /// A key file.
    KeyFile,
}

impl Kind {
    /// Whether root comes out. A vault must keep one way in that gives it.
    #[must_use]
    pub fn gives_root(self) -> bool {
        self != Self::Keyring
    }

    /// The word for people and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Passphrase(_) => "passphrase",
            Self::Recovery => "recovery code",
            Self::Keyring => "keyring",
            Self::KeyFile => "key file",
        }
    }
}

pub(crate) struct Header {
    kind: Kind,
    salt: [u8; SALT_LEN],
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self.kind {
            Kind::Passphrase(cost) => Encoder::new()
                .u8(1)
                .fixed(&self.salt)
                .u32(cost.memory_kib)
                .u32(cost.passes)
                .u32(cost.lanes)
                .finish(),
            Kind::Recovery => Encoder::new().u8(2).fixed(&self.salt).finish(),
            Kind::Keyring => Encoder::new().u8(3).fixed(&self.salt).finish(),
            Kind::KeyFile => Encoder::new().u8(4).fixed(&self.salt).finish(),
        }
    }

    pub(crate) fn decode(row: &SlotRow) -> Result<Self, UnlockError> {
        let wrong = |what: String| UnlockError::Slot { id: row.id, what };
        let malformed = |_: Malformed| wrong("malformed header".to_owned());
        let mut decoder = Decoder::new(&row.header);
        let kind = decoder.u8().map_err(malformed)?;
        let salt = decoder.array().map_err(malformed)?;
        let kind = match kind {
            1 => {
                let mut number = || decoder.u32().map_err(malformed);
                let cost = Cost::new(number()?, number()?, number()?);
                Kind::Passphrase(cost.map_err(|error| wrong(error.to_string()))?)
            }
            2 => Kind::Recovery,
            3 => Kind::Keyring,
            4 => Kind::KeyFile,
            other => return Err(wrong(format!("unknown kind {other}"))),
        };
        decoder.end().map_err(malformed)?;
        Ok(Self { kind, salt })
    }
}

/// What kind of slot a row is.
pub fn kind(row: &SlotRow) -> Result<Kind, UnlockError> {
    Header::decode(row).map(|header| header.kind)
}

/// A passphrase slot for `root`.
pub fn seal_passphrase(
    id: u32,
    root: &Root,
    passphrase: &Passphrase,
    cost: Cost,
    identity: &Identity,
    rng: &dyn Rng,
) -> Result<SlotRow, UnlockError> {
    let header = Header { kind: Kind::Passphrase(cost), salt: salt(rng)? };
    let key = crypto::argon2id(passphrase.expose(), &header.salt, cost)?;
    seal(id, &header, &key, &root.0, identity, rng)
}

/// A recovery slot for `root`.
pub fn seal_recovery(
    id: u32,
    root: &Root,
    code: &RecoveryCode,
    identity: &Identity,
    rng: &dyn Rng,
) -> Result<SlotRow, UnlockError> {
    let header = Header { kind: Kind::Recovery, salt: salt(rng)? };
    let key = recovery_key(code, &header.salt);
    seal(id, &header, &key, &root.0, identity, rng)
}

/// A key file's slot for `root`.
pub fn seal_key_file(
    id: u32,
    root: &Root,
    file: &KeyFile,
    identity: &Identity,
    rng: &dyn Rng,
) -> Result<SlotRow, UnlockError> {
    let header = Header { kind: Kind::KeyFile, salt: salt(rng)? };
    let key = key_file_key(file, &header.salt);
    seal(id, &header, &key, &root.0, identity, rng)
}

/// A keyring's slot for the daily key.
pub fn seal_keyring(
    id: u32,
    daily: &Daily,
    secret: &KeyringSecret,
    identity: &Identity,
    rng: &dyn Rng,
) -> Result<SlotRow, UnlockError> {
    let header = Header { kind: Kind::Keyring, salt: salt(rng)? };
    let key = keyring_key(secret, &header.salt);
    seal(id, &header, &key, &daily.0, identity, rng)
}

/// Root and the slot that a passphrase opens.
pub fn open_passphrase<'r>(
    rows: &'r [SlotRow],
    passphrase: &Passphrase,
    identity: &Identity,
) -> Result<(Root, &'r SlotRow), UnlockError> {
    open(rows, identity, Secret::Passphrase, |header| match header.kind {
        Kind::Passphrase(cost) => Some(crypto::argon2id(passphrase.expose(), &header.salt, cost)),
        Kind::Recovery | Kind::Keyring | Kind::KeyFile => None,
    })
    .map(|(key, row)| (Root(key), row))
}

/// Root and the slot that a recovery code opens.
pub fn open_recovery<'r>(
    rows: &'r [SlotRow],
    code: &RecoveryCode,
    identity: &Identity,
) -> Result<(Root, &'r SlotRow), UnlockError> {
    open(rows, identity, Secret::RecoveryCode, |header| match header.kind {
        Kind::Recovery => Some(Ok(recovery_key(code, &header.salt))),
        Kind::Passphrase(_) | Kind::Keyring | Kind::KeyFile => None,
    })
    .map(|(key, row)| (Root(key), row))
}

/// Root and the slot that a key file opens.
pub fn open_key_file<'r>(
    rows: &'r [SlotRow],
    file: &KeyFile,
    identity: &Identity,
) -> Result<(Root, &'r SlotRow), UnlockError> {
    open(rows, identity, Secret::KeyFile, |header| match header.kind {
        Kind::KeyFile => Some(Ok(key_file_key(file, &header.salt))),
        Kind::Passphrase(_) | Kind::Recovery | Kind::Keyring => None,
    })
    .map(|(key, row)| (Root(key), row))
}

/// The daily key and the slot that a keyring's entry opens.
pub fn open_keyring<'r>(
    rows: &'r [SlotRow],
    secret: &KeyringSecret,
    identity: &Identity,
) -> Result<(Daily, &'r SlotRow), UnlockError> {
    open(rows, identity, Secret::Keyring, |header| match header.kind {
        Kind::Keyring => Some(Ok(keyring_key(secret, &header.salt))),
        Kind::Passphrase(_) | Kind::Recovery | Kind::KeyFile => None,
    })
    .map(|(key, row)| (Daily(key), row))
}

fn open<'r>(
    rows: &'r [SlotRow],
    identity: &Identity,
    secret: Secret,
    key: impl Fn(&Header) -> Option<Result<Key, crypto::KdfError>>,
) -> Result<(Key, &'r SlotRow), UnlockError> {
    // All headers are checked before the first derivation costs anything.
    let headers = rows.iter().map(Header::decode).collect::<Result<Vec<_>, _>>()?;
    let mut tried = false;
    for (row, header) in rows.iter().zip(&headers) {
        let Some(key) = key(header) else { continue };
        tried = true;
        let context = identity.context(&place(&row.id.to_le_bytes(), &row.header));
        if let Ok(opened) = crypto::open(&key?, LABEL, &context, &row.sealed)
            && let Some(key) = Key::from_bytes(opened.expose())
        {
            return Ok((key, row));
        }
    }
    Err(if tried { UnlockError::Wrong(secret) } else { UnlockError::NoSuchSlot(secret) })
}

fn seal(
    id: u32,
    header: &Header,
    key: &Key,
    held: &Key,
    identity: &Identity,
    rng: &dyn Rng,
) -> Result<SlotRow, UnlockError> {
    let header = header.encode();
    let context = identity.context(&place(&id.to_le_bytes(), &header));
    let sealed = crypto::seal(key, LABEL, &context, held.expose(), rng)?;
    Ok(SlotRow { id, header, sealed })
}

fn place<'a>(row: &'a [u8], header: &'a [u8]) -> Place<'a> {
    Place { table: "slot", row, version: 0, field: "sealed", revision: 0, bound: header }
}

fn recovery_key(code: &RecoveryCode, salt: &[u8]) -> Key {
    Key::derive_from(code.expose(), "keyvault recovery slot", salt)
}

fn key_file_key(file: &KeyFile, salt: &[u8]) -> Key {
    Key::derive_from(file.expose(), "keyvault key file slot", salt)
}

fn keyring_key(secret: &KeyringSecret, salt: &[u8]) -> Key {
    Key::derive_from(secret.expose(), "keyvault keyring slot", salt)
}

fn salt(rng: &dyn Rng) -> Result<[u8; SALT_LEN], UnlockError> {
    let mut salt = [0; SALT_LEN];
    rng.fill(&mut salt)?;
    Ok(salt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_in_but_the_keyring_gives_root_and_each_has_its_word() {
        for (kind, root, word) in [
            (Kind::Passphrase(Cost::FLOOR), true, "passphrase"),
            (Kind::Recovery, true, "recovery code"),
            (Kind::Keyring, false, "keyring"),
            (Kind::KeyFile, true, "key file"),
        ] {
            assert_eq!((kind.gives_root(), kind.name()), (root, word));
        }
    }
}
