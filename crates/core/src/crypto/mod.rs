//! Cryptography: the only module that imports `ring`, `chacha20poly1305` and `argon2`.
//!
//! Nothing here is a primitive of our own. There is one way to seal ([`seal`]), one way to derive a key from a key
//! ([`SealingKey::derive`]), one way to authenticate ([`SealingKey::mac`]), one way to sign ([`SigningKey`]), and one way to
//! turn a passphrase into a key ([`argon2id`]). What the bytes mean is the callers' business: this module knows labels and contexts, no
//! tables.

mod key;
mod passphrase_kdf;
mod seal;
mod sign;
#[cfg(test)]
mod vectors;

pub use key::{
    DIGEST_LEN, Digest, HASH_LEN, Hash, KEY_LEN, MAC_LEN, Mac, SealingKey, hkdf_sha256, sha256, sha256_of,
    sha512,
};
pub use passphrase_kdf::{Cost, CostError, KdfError, argon2id, calibrate};
pub use seal::{OpenError, open, seal};
pub use sign::{SIGNER_ID_LEN, SignatureError, Signed, Signer, SignerId, SigningKey};

use ring::rand::SecureRandom;
use ring::signature::KeyPair;
use zeroize::Zeroize;

use crate::clock::{Rng, RngError};
use crate::recipe::KeyPairs;
use crate::secret::SecretBytes;

/// The operating system's random number generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRng;

impl Rng for SystemRng {
    fn fill(&self, target: &mut [u8]) -> Result<(), RngError> {
        ring::rand::SystemRandom::new().fill(target).map_err(|_| RngError)
    }
}

/// The Ed25519 public key of a private seed (RFC 8032 §5.1.5); `None` if the primitive refuses the seed.
#[must_use]
pub fn ed25519_public(seed: &[u8; 32]) -> Option<[u8; 32]> {
    let pair = ring::signature::Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
    pair.public_key().as_ref().try_into().ok()
}

/// The arithmetic that recipes of key pairs need.
pub const KEY_PAIRS: KeyPairs = KeyPairs {
    ed25519_public,
    ecdsa_p256: || ecdsa_pkcs8(&ring::signature::ECDSA_P256_SHA256_ASN1_SIGNING),
    ecdsa_p384: || ecdsa_pkcs8(&ring::signature::ECDSA_P384_SHA384_ASN1_SIGNING),
};

/// A new key pair in PKCS #8. The primitive hands it over on the stack, which is wiped.
fn ecdsa_pkcs8(curve: &'static ring::signature::EcdsaSigningAlgorithm) -> Option<SecretBytes> {
    #[inline(never)]
    fn copied(curve: &'static ring::signature::EcdsaSigningAlgorithm) -> Option<SecretBytes> {
        let system = ring::rand::SystemRandom::new();
        let made = ring::signature::EcdsaKeyPair::generate_pkcs8(curve, &system).ok()?;
        Some(SecretBytes::copy_from(made.as_ref()))
    }
    let made = copied(curve);
    wipe_stack();
    made
}

/// Wipes what ended calls left on the stack below the caller's frame. The cipher works on blocks of plaintext there and
/// leaves the last of them; found by reading a process's memory. 16 KiB reach below every call of this module.
#[inline(never)]
pub fn wipe_stack() {
    let mut dead = [0_u64; 2048];
    dead.zeroize();
    std::hint::black_box(&dead);
}
