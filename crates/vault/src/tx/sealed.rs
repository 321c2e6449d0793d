//! Opening rows apart from the transaction that they came from, so that many are opened on all cores.

use crate::state::StateError;
use crate::store::{ObjectRow, Tag, VersionRow};
use crate::unlock::keys::DailyKeys;
use keyvault_core::crypto::{self, Digest, SealingKey};
use keyvault_core::identity::Identity;
use keyvault_core::secret::SecretBytes;
use keyvault_os::process::cores::on_all_cores;

use super::{damaged, leaf};
use crate::error::VaultError;
use crate::key::record::{FINGERPRINT_LEN, KeyRecord, Version};
use crate::sealed::{At, SealKind};

pub(crate) const VERSION_KEY: SealKind =
    SealKind { label: "keyvault version key", table: "version", field: "wrapped" };
pub(crate) const VALUE: SealKind = SealKind::of("keyvault value", "version");
const VERSION_LABEL: &[u8] = b"keyvault version rows";
const FINGERPRINT_LABEL: &[u8] = b"keyvault fingerprint";

/// The keys to a key's metadata and values.
#[derive(Clone, Copy)]
pub(crate) struct Opener<'k> {
    pub(crate) keys: &'k DailyKeys,
    pub(crate) identity: Identity,
}

impl Opener<'_> {
    /// Opens rows that must all be leaves of the tree; `leaves` are ordered by tag.
    pub(crate) fn open_all(
        self,
        rows: &[ObjectRow],
        leaves: &[(Tag, Digest)],
    ) -> Result<Vec<KeyRecord>, VaultError> {
        on_all_cores(rows, |row| self.open_known(row, leaves)).into_iter().collect()
    }

    /// The key of a version's value. The row must be the one that the metadata names.
    pub(crate) fn version_key(
        self,
        key_id: &[u8; 16],
        version: &Version,
        row: &VersionRow,
    ) -> Result<SealingKey, VaultError> {
        let number = version.number;
        if version.digest != Some(self.version_digest(row)) {
            return Err(StateError::Mismatch { what: format!("version {number} of a key") }.into());
        }
        VERSION_KEY
            .open_key(&self.keys.wrapping, &self.identity, of_version(key_id, number), &row.wrapped)
            .map_err(|error| damaged(&format!("version: its key {error}")))
    }

    /// A version's value out of its row, which must be the one that the metadata names.
    pub(crate) fn value(
        self,
        key_id: &[u8; 16],
        version: &Version,
        row: &VersionRow,
    ) -> Result<SecretBytes, VaultError> {
        let key = self.version_key(key_id, version, row)?;
        let value = open_value(&key, &self.identity, key_id, version.number, &row.sealed)?;
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

    pub(crate) fn version_digest(self, row: &VersionRow) -> Digest {
        let texts = [crypto::sha256(&row.wrapped), crypto::sha256(&row.sealed)];
        self.keys.tree.digest(&[VERSION_LABEL, texts.as_flattened()])
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

    fn open_known(self, row: &ObjectRow, leaves: &[(Tag, Digest)]) -> Result<KeyRecord, VaultError> {
        let leaf = leaf::object_leaf(&self.keys.tree, row);
        let known =
            leaves.binary_search_by(|(tag, _)| tag.cmp(&row.tag)).ok().and_then(|place| leaves.get(place));
        if known == Some(&(row.tag, leaf)) {
            self.object(row)
        } else {
            Err(StateError::Mismatch { what: "key".to_owned() }.into())
        }
    }
}

/// The place of a version's two texts.
pub(crate) fn of_version(key_id: &[u8; 16], version: u32) -> At<'_> {
    At { row: key_id, version, ..At::default() }
}

/// A version's value under that version's own key, which was made for it and seals nothing else.
pub(crate) fn open_value(
    key: &SealingKey,
    identity: &Identity,
    key_id: &[u8; 16],
    version: u32,
    sealed: &[u8],
) -> Result<SecretBytes, VaultError> {
    let value = VALUE
        .open(key, identity, of_version(key_id, version), sealed)
        .map_err(|error| damaged(&format!("version: its value {error}")))?;
    Ok(SecretBytes::copy_from(value.bytes()))
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
        let at = of_version(&key_id, 1);
        let wrapped = VERSION_KEY.seal_key(&keys.wrapping, &identity, at, &key, &SystemRng).unwrap();
        let sealed = VALUE.seal(&key, &identity, at, b"the attacker's", &SystemRng).unwrap();
        let row = VersionRow { wrapped, sealed };
        let mut version = Version {
            fingerprint: opener.fingerprint(&SecretBytes::copy_from(b"the owner's")),
            digest: Some(opener.version_digest(&row)),
            ..Version::new(1, VersionState::Current, VersionOrigin::Given, (Moment(0), 1))
        };
        assert!(matches!(opener.value(&key_id, &version, &row), Err(VaultError::State(_))));
        version.fingerprint = opener.fingerprint(&SecretBytes::copy_from(b"the attacker's"));
        assert!(opener.value(&key_id, &version, &row).is_ok());
    }
}
