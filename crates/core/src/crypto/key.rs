//! Symmetric keys and what is done with them: HKDF-SHA-256 (RFC 5869) and HMAC-SHA-256 (RFC 2104).

use std::fmt;
use std::sync::OnceLock;

use ring::{digest, hkdf, hmac};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::clock::{Rng, RngError};

/// Length of every symmetric key, in bytes.
pub const KEY_LEN: usize = 32;
/// Length of a full MAC, in bytes.
pub const MAC_LEN: usize = 32;
/// Length of a truncated MAC where it stands in the hash tree or in an index, in bytes.
pub const DIGEST_LEN: usize = 16;

/// Length of a SHA-256, in bytes.
pub const HASH_LEN: usize = 32;

pub type Hash = [u8; HASH_LEN];

pub type Mac = [u8; MAC_LEN];
/// An HMAC-SHA-256 value cut to 128 bits (RFC 2104 §5 asks for at least half).
pub type Digest = [u8; DIGEST_LEN];

/// A 256-bit symmetric key, wiped on drop.
///
/// Contexts that `ring` prepares from a key are kept for the next use, each in a block of its own: `ring` does not wipe
/// them, and the process's allocator does. Schedules that `ring` makes on the stack for the time of a call remain
/// (THREATS).
pub struct SealingKey {
    bytes: Zeroizing<[u8; KEY_LEN]>,
    extracted: OnceLock<Box<hkdf::Prk>>,
    hmac: OnceLock<Box<hmac::Key>>,
}

impl SealingKey {
    pub fn random(rng: &dyn Rng) -> Result<Self, RngError> {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        rng.fill(&mut *bytes)?;
        Ok(Self::of(bytes))
    }

    /// The key that these bytes are; `None` unless there are exactly [`KEY_LEN`].
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Self::of(Zeroizing::new(bytes)))
    }

    fn of(bytes: Zeroizing<[u8; KEY_LEN]>) -> Self {
        Self { bytes, extracted: OnceLock::new(), hmac: OnceLock::new() }
    }

    /// The key's bytes, for sealing it under another key or handing it to the kernel.
    #[must_use]
    pub fn expose(&self) -> &[u8; KEY_LEN] {
        &self.bytes
    }

    /// Writes the key's bytes: for a field of a structure that is encoded into a buffer that is wiped.
    pub fn write<W: borsh::io::Write>(&self, writer: &mut W) -> borsh::io::Result<()> {
        writer.write_all(&*self.bytes)
    }

    /// Reads what [`SealingKey::write`] wrote.
    pub fn read<R: borsh::io::Read>(reader: &mut R) -> borsh::io::Result<Self> {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        reader.read_exact(&mut *bytes)?;
        Ok(Self::of(bytes))
    }

    /// HKDF with this key as input and no salt; the info is the parts, one after another.
    pub(super) fn expand(&self, info: &[&[u8]], out: &mut [u8]) -> bool {
        fill(self.extracted.get_or_init(|| Box::new(extract(&*self.bytes, &[]))), info, out)
    }

    /// A key for one purpose: HKDF-SHA-256 with this key as input, no salt, and
    /// `info = u8 length ‖ label ‖ u32le length ‖ context`.
    #[must_use]
    pub fn derive(&self, label: &str, context: &[u8]) -> Self {
        let mut derived = Zeroizing::new([0; KEY_LEN]);
        self.expand(&[&labeled(label), &context_len(context), context], &mut *derived);
        Self::of(derived)
    }

    /// [`SealingKey::derive`] for input that is random but not 32 bytes long (a recovery code).
    #[must_use]
    pub fn derive_from(input: &[u8], label: &str, context: &[u8]) -> Self {
        let mut derived = Zeroizing::new([0; KEY_LEN]);
        let info: [&[u8]; 3] = [&labeled(label), &context_len(context), context];
        fill(&extract(input, &[]), &info, &mut *derived);
        Self::of(derived)
    }

    /// HMAC-SHA-256 over the parts, one after another. Callers put a label first and fix or prefix lengths.
    #[must_use]
    pub fn mac(&self, parts: &[&[u8]]) -> Mac {
        sign(self.hmac.get_or_init(|| Box::new(hmac::Key::new(hmac::HMAC_SHA256, &*self.bytes))), parts)
    }

    /// [`SealingKey::mac`], cut to its first 16 bytes.
    #[must_use]
    pub fn digest(&self, parts: &[&[u8]]) -> Digest {
        truncate(&self.mac(parts))
    }
}

impl PartialEq for SealingKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes.ct_eq(&*other.bytes).into()
    }
}

impl Eq for SealingKey {}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

fn sign(key: &hmac::Key, parts: &[&[u8]]) -> Mac {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(part);
    }
    to_array(context.sign().as_ref())
}

/// HKDF-SHA-256 (RFC 5869), extract then expand; `false`, with `out` untouched, if more than 255 blocks are asked.
#[must_use]
pub fn hkdf_sha256(ikm: &[u8], salt: &[u8], info: &[u8], out: &mut [u8]) -> bool {
    fill(&extract(ikm, salt), &[info], out)
}

/// SHA-256 of something that is not secret: a sealed text, a path. Secrets are fingerprinted under a key.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Hash {
    to_array(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// [`sha256`] of the parts, one after another. Callers put a label first and fix or prefix lengths.
#[must_use]
pub fn sha256_of(parts: &[&[u8]]) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    to_array(context.finish().as_ref())
}

/// SHA-512 of the bytes: of keys that another system hashed.
#[must_use]
pub fn sha512(bytes: &[u8]) -> [u8; 64] {
    digest::digest(&digest::SHA512, bytes).as_ref().try_into().unwrap_or([0; 64])
}

fn extract(ikm: &[u8], salt: &[u8]) -> hkdf::Prk {
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(ikm)
}

fn fill(prk: &hkdf::Prk, info: &[&[u8]], out: &mut [u8]) -> bool {
    prk.expand(info, Length(out.len())).and_then(|okm| okm.fill(out)).is_ok()
}

/// `u8 length ‖ label`.
pub(super) fn labeled(label: &str) -> Vec<u8> {
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
