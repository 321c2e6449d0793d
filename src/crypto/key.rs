//! Symmetric keys and what is done with them: HKDF-SHA-256 (RFC 5869) and HMAC-SHA-256 (RFC 2104).

use std::fmt;

use ring::{digest, hkdf, hmac};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::clock::{Rng, RngError};

/// Length of every symmetric key, in bytes.
pub const KEY_LEN: usize = 32;
/// Length of a full MAC, in bytes.
pub const MAC_LEN: usize = 32;
/// Length of a truncated MAC where it stands in the hash tree or in an index, in bytes.
pub const DIGEST_LEN: usize = 16;

/// A full HMAC-SHA-256 value.
pub type Mac = [u8; MAC_LEN];
/// An HMAC-SHA-256 value cut to 128 bits (RFC 2104 §5 asks for at least half).
pub type Digest = [u8; DIGEST_LEN];

/// A 256-bit symmetric key, wiped on drop.
///
/// `ring` copies a key into schedules of its own for the time of a call; those it does not wipe (THREATS).
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Key([u8; KEY_LEN]);

impl Key {
    /// A new random key.
    pub fn random(rng: &dyn Rng) -> Result<Self, RngError> {
        let mut key = Self([0; KEY_LEN]);
        rng.fill(&mut key.0)?;
        Ok(key)
    }

    /// The key that these bytes are; `None` unless there are exactly [`KEY_LEN`].
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut key = Self([0; KEY_LEN]);
        if bytes.len() != KEY_LEN {
            return None;
        }
        key.0.copy_from_slice(bytes);
        Some(key)
    }

    /// The key's bytes, for sealing it under another key or handing it to the kernel.
    #[must_use]
    pub fn expose(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// A key for one purpose: HKDF-SHA-256 with this key as input, no salt, and
    /// `info = u8 length ‖ label ‖ u32le length ‖ context`.
    #[must_use]
    pub fn derive(&self, label: &str, context: &[u8]) -> Self {
        Self::derive_from(&self.0, label, context)
    }

    /// [`Key::derive`] for input that is random but not 32 bytes long (a recovery code).
    #[must_use]
    pub fn derive_from(input: &[u8], label: &str, context: &[u8]) -> Self {
        let mut derived = Self([0; KEY_LEN]);
        expand(input, &[], &labelled(label), &[&context_len(context), context], &mut derived.0);
        derived
    }

    /// HMAC-SHA-256 over the parts, one after another. Callers put a label first and fix or prefix lengths.
    #[must_use]
    pub fn mac(&self, parts: &[&[u8]]) -> Mac {
        hmac_sha256(&self.0, parts)
    }

    /// [`Key::mac`], cut to its first 16 bytes.
    #[must_use]
    pub fn digest(&self, parts: &[&[u8]]) -> Digest {
        truncate(&self.mac(parts))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// HMAC-SHA-256 (RFC 2104) over the parts, one after another.
#[must_use]
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> Mac {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    to_array(context.sign().as_ref())
}

/// HKDF-SHA-256 (RFC 5869), extract then expand; `false`, with `out` untouched, if more than 255 blocks are asked.
#[must_use]
pub fn hkdf_sha256(ikm: &[u8], salt: &[u8], info: &[u8], out: &mut [u8]) -> bool {
    expand(ikm, salt, info, &[], out)
}

/// SHA-256 of what is not secret (a path in a file name). Secrets are fingerprinted under a key.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    to_array(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// HKDF whose info is `first` followed by `rest`.
pub(super) fn expand(ikm: &[u8], salt: &[u8], first: &[u8], rest: &[&[u8]], out: &mut [u8]) -> bool {
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(ikm);
    let mut info: [&[u8]; 5] = [first, &[], &[], &[], &[]];
    for (place, part) in info.iter_mut().skip(1).zip(rest) {
        *place = part;
    }
    prk.expand(&info, Length(out.len())).and_then(|okm| okm.fill(out)).is_ok()
}

/// `u8 length ‖ label`.
pub(super) fn labelled(label: &str) -> Vec<u8> {
    let mut prefixed = Vec::with_capacity(1 + label.len());
    prefixed.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
    prefixed.extend_from_slice(label.as_bytes());
    prefixed
}

/// The 32-bit little-endian length that stands before a context.
pub(super) fn context_len(context: &[u8]) -> [u8; 4] {
    u32::try_from(context.len()).unwrap_or(u32::MAX).to_le_bytes()
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// `ring` hands out slices of what is always 32 bytes.
fn to_array(bytes: &[u8]) -> [u8; 32] {
    let mut array = [0; 32];
    for (place, byte) in array.iter_mut().zip(bytes) {
        *place = *byte;
    }
    array
}

fn truncate(mac: &Mac) -> Digest {
    let mut digest = [0; DIGEST_LEN];
    for (place, byte) in digest.iter_mut().zip(mac) {
        *place = *byte;
    }
    digest
}
