//! Opening rows apart from the transaction that they came from, so that many are opened on all cores.

use crate::state::StateError;
use crate::store::{KeyRow, Tag};
use crate::unlock::keys::DailyKeys;
use keyvault_core::codec;
use keyvault_core::crypto::{self, Digest, SealingKey};
use keyvault_core::identity::Identity;
use keyvault_core::secret::SecretBytes;
use keyvault_os::process::cores::on_all_cores;

use super::leaf::{self, LeafKind};
use super::{damaged, known, row_place, version_place};
use crate::error::VaultError;
use crate::key::record::{FINGERPRINT_LEN, KeyRecord, Version};

pub(crate) const KEY_LABEL: &str = "keyvault item";
pub(crate) const VERSION_KEY_LABEL: &str = "keyvault version key";
pub(crate) const VALUE_LABEL: &str = "keyvault value";
const VERSION_LABEL: &[u8] = b"keyvault version rows";
const FINGERPRINT_LABEL: &[u8] = b"keyvault fingerprint";

/// The keys to a key's metadata and values.
#[derive(Clone, Copy)]
pub(crate) struct Opener<'k> {
    pub(crate) keys: &'k DailyKeys,
    pub(crate) identity: Identity,
}

impl Opener<'_> {
    pub(crate) fn open(self, row: &KeyRow) -> Result<KeyRecord, VaultError> {
        let context = self.identity.context(&row_place("item", &row.tag, row.revision));
        let plain = crypto::open(&self.keys.metadata, KEY_LABEL, &context, &row.sealed)
            .map_err(|_| damaged("key: the metadata does not open"))?;
        let key = codec::unpad(&plain)
            .and_then(|bytes| KeyRecord::decode(bytes, row.revision))
            .map_err(|_| damaged("key: the metadata is malformed"))?;
        known("the record of a key", &key.extensions)?;
        Ok(key)
    }

    /// Opens rows that must all be leaves of the tree; `leaves` are ordered by tag.
    pub(crate) fn open_all(
        self,
        rows: &[KeyRow],
        leaves: &[(Tag, Digest)],
    ) -> Result<Vec<KeyRecord>, VaultError> {
        on_all_cores(rows, |row| self.open_known(row, leaves)).into_iter().collect()
    }

    /// The key of a version's value. The rows must be those that the metadata names.
    pub(crate) fn version_key(
        self,
        key_id: &[u8; 16],
        version: &Version,
        (wrapped, sealed): &(Vec<u8>, Vec<u8>),
    ) -> Result<SealingKey, VaultError> {
        let number = version.number;
        if version.digest != Some(self.version_digest(wrapped, sealed)) {
            return Err(StateError::Mismatch { what: format!("version {number} of a key") }.into());
        }
        let context = self.identity.context(&version_place("version_key", key_id, number));
        crypto::open(&self.keys.wrapping, VERSION_KEY_LABEL, &context, wrapped)
            .ok()
            .and_then(|bytes| SealingKey::from_bytes(bytes.expose()))
            .ok_or_else(|| damaged("version_key: does not open"))
    }

    /// A version's value out of its wrapped key and its sealed value, which must be those that the metadata names.
    pub(crate) fn value(
        self,
        key_id: &[u8; 16],
        version: &Version,
        rows: &(Vec<u8>, Vec<u8>),
    ) -> Result<SecretBytes, VaultError> {
        let key = self.version_key(key_id, version, rows)?;
        let value = open_value(&key, &self.identity, key_id, version.number, &rows.1)?;
        if self.fingerprint(&value) == version.fingerprint {
            Ok(value)
        } else {
            let what = format!(
                "version {} of a key: has another fingerprint than its metadata says",
                version.number
            );
            Err(StateError::Apart { what }.into())
        }
    }

    pub(crate) fn version_digest(self, wrapped: &[u8], sealed: &[u8]) -> Digest {
        self.keys.tree.digest(&[VERSION_LABEL, &crypto::sha256(wrapped), &crypto::sha256(sealed)])
    }

    /// The first 6 bytes of a MAC of the value under a key of this vault; equal for equal values.
    pub(crate) fn fingerprint(self, value: &SecretBytes) -> [u8; FINGERPRINT_LEN] {
        let mac = self.keys.fingerprint.mac(&[FINGERPRINT_LABEL, value.expose()]);
        let mut fingerprint = [0; FINGERPRINT_LEN];
        for (place, byte) in fingerprint.iter_mut().zip(mac) {
            *place = byte;
        }
        fingerprint
    }

    fn open_known(self, row: &KeyRow, leaves: &[(Tag, Digest)]) -> Result<KeyRecord, VaultError> {
        let leaf = leaf::row_leaf(&self.keys.tree, LeafKind::Key, &row.tag, row.revision, &row.sealed);
        let known =
            leaves.binary_search_by(|(tag, _)| tag.cmp(&row.tag)).ok().and_then(|place| leaves.get(place));
        if known == Some(&(row.tag, leaf)) {
            self.open(row)
        } else {
            Err(StateError::Mismatch { what: "key row".to_owned() }.into())
        }
    }
}

/// A version's value under that version's own key, which was made for it and seals nothing else.
pub(crate) fn open_value(
    key: &SealingKey,
    identity: &Identity,
    key_id: &[u8; 16],
    version: u32,
    sealed: &[u8],
) -> Result<SecretBytes, VaultError> {
    let context = identity.context(&version_place("version_value", key_id, version));
    let padded = crypto::open(key, VALUE_LABEL, &context, sealed)
        .map_err(|_| damaged("version_value: does not open"))?;
    codec::unpad(&padded).map(SecretBytes::copy_from).map_err(|_| damaged("version_value: malformed"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::unlock::keys::Root;
    use crate::{VersionOrigin, VersionState};
    use keyvault_core::clock::Moment;
    use keyvault_core::crypto::SystemRng;

    /// A bearer of the version's key makes a text with the salt, the commitment and the tag of the owner's; here the
    /// owner's digest is simply that of the forged rows.
    #[test]
    fn a_value_that_has_the_right_digest_and_another_fingerprint_is_not_released() {
        let identity = Identity { vault_id: [1; 16], epoch: 1 };
        let keys = Root::create(&SystemRng).unwrap().daily(&identity).keys(&identity);
        let opener = Opener { keys: &keys, identity };
        let key = SealingKey::random(&SystemRng).unwrap();
        let key_id = [7; 16];
        let seal = |key: &SealingKey, table, label, plain: &[u8]| {
            let context = identity.context(&version_place(table, &key_id, 1));
            crypto::seal(key, label, &context, plain, &SystemRng).unwrap()
        };
        let wrapped = seal(&keys.wrapping, "version_key", VERSION_KEY_LABEL, key.expose());
        let forged = codec::pad(b"the attacker's").unwrap();
        let rows = (wrapped, seal(&key, "version_value", VALUE_LABEL, forged.expose()));
        let mut version = Version {
            fingerprint: opener.fingerprint(&SecretBytes::copy_from(b"the owner's")),
            digest: Some(opener.version_digest(&rows.0, &rows.1)),
            ..Version::new(1, VersionState::Current, VersionOrigin::Given, (Moment(0), 1))
        };
        assert!(matches!(opener.value(&key_id, &version, &rows), Err(VaultError::State(_))));
        version.fingerprint = opener.fingerprint(&SecretBytes::copy_from(b"the attacker's"));
        assert!(opener.value(&key_id, &version, &rows).is_ok());
    }
}
