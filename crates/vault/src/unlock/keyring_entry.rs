//! Entries of the OS keyring: one per vault, with the secret that opens the vault's keyring slot.
//!
//! ```text
//! service = "keyvault", account = vault id in hexadecimal
//! entry   = "keyvault-keyring:" ‖ base64url without padding of (16-byte vault id ‖ 32 random bytes ‖ first 4 bytes of
//!           SHA-256("keyvault keyring entry" ‖ vault id ‖ those 32))
//! ```
//!
//! The checksum tells garbage from an entry whose slot is gone; the vault id, an entry that was copied to another name.

use data_encoding::BASE64URL_NOPAD;

use keyvault_core::clock::Rng;
use keyvault_core::crypto::sha256;
use keyvault_core::identity::Identity;
use keyvault_core::secret::{Full, SecretBytes, SecretWriter};

use super::UnlockError;

const PREFIX: &[u8] = b"keyvault-keyring:";
const RANDOM: usize = 32;
const ID: usize = 16;
const CHECK: usize = 4;

/// The 256 bits of one entry.
#[derive(Debug)]
pub struct KeyringSecret(SecretBytes);

impl KeyringSecret {
    pub fn create(rng: &dyn Rng) -> Result<Self, UnlockError> {
        let mut random = SecretBytes::zeroed(RANDOM);
        rng.fill(random.expose_mut())?;
        Ok(Self(random))
    }

    /// The 32 bytes from which the slot's key is derived.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }

    /// The entry's text for a vault.
    pub fn entry(&self, identity: &Identity) -> Result<SecretBytes, Full> {
        let mut whole = SecretWriter::with_capacity(ID + RANDOM + CHECK);
        whole.push(&identity.vault_id)?;
        whole.push(self.0.expose())?;
        whole.push(&checksum(&identity.vault_id, self.0.expose())?)?;
        let whole = whole.finish();
        let mut text = SecretBytes::zeroed(BASE64URL_NOPAD.encode_len(whole.len()));
        BASE64URL_NOPAD.encode_mut(whole.expose(), text.expose_mut());
        let mut entry = SecretWriter::with_capacity(PREFIX.len() + text.len());
        entry.push(PREFIX)?;
        entry.push(text.expose())?;
        Ok(entry.finish())
    }

    /// Reads an entry of this vault back; `None` for whatever else stands there.
    #[must_use]
    pub fn parse(entry: &[u8], identity: &Identity) -> Option<Self> {
        let text = entry.trim_ascii().strip_prefix(PREFIX)?;
        if BASE64URL_NOPAD.decode_len(text.len()) != Ok(ID + RANDOM + CHECK) {
            return None;
        }
        let mut whole = SecretBytes::zeroed(ID + RANDOM + CHECK);
        BASE64URL_NOPAD.decode_mut(text, whole.expose_mut()).ok()?;
        let (id, rest) = whole.expose().split_at_checked(ID)?;
        let (random, check) = rest.split_at_checked(RANDOM)?;
        let fits = *id == identity.vault_id && checksum(id, random).ok()? == *check;
        fits.then(|| Self(SecretBytes::copy_from(random)))
    }
}

fn checksum(id: &[u8], random: &[u8]) -> Result<Vec<u8>, Full> {
    let mut input = SecretWriter::with_capacity(96);
    for part in [b"keyvault keyring entry", id, random] {
        input.push(part)?;
    }
    Ok(sha256(input.written()).get(..CHECK).unwrap_or_default().to_vec())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use keyvault_core::crypto::SystemRng;

    #[test]
    fn an_entry_reads_back_for_its_vault_alone_and_garbage_is_none() {
        let identity = Identity { vault_id: [7; ID], epoch: 3 };
        let secret = KeyringSecret::create(&SystemRng).unwrap();
        let entry = secret.entry(&identity).unwrap();
        // A rekey changes the epoch and leaves the entry.
        let later = Identity { epoch: 4, ..identity };
        assert_eq!(KeyringSecret::parse(entry.expose(), &later).unwrap().expose(), secret.expose());
        assert!(KeyringSecret::parse(entry.expose(), &Identity { vault_id: [8; ID], epoch: 3 }).is_none());
        for place in 0..entry.len() {
            let mut slip = entry.expose().to_vec();
            slip[place] = if slip[place] == b'A' { b'B' } else { b'A' };
            assert!(KeyringSecret::parse(&slip, &identity).is_none(), "{place}");
        }
        for garbage in [&b""[..], b"hunter2", PREFIX, &[0xff; 100], &entry.expose()[1..]] {
            assert!(KeyringSecret::parse(garbage, &identity).is_none());
        }
    }
}
