//! The one way to seal: key-committing authenticated encryption with a context.
//!
//! ```text
//! salt   = 24 random bytes
//! k ‖ c  = HKDF-SHA-256(ikm = key, salt = "", info = u8 len ‖ label ‖ salt ‖ u32le len ‖ context, 64 bytes)
//! sealed = salt (24) ‖ c (32) ‖ XChaCha20-Poly1305(k, nonce = salt, aad = context, plaintext) ‖ tag (16)
//! ```
//!
//! Poly1305 does not commit to its key: a ciphertext can be made that opens under two keys ("Fast Message Franking",
//! CRYPTO 2018; "Partitioning Oracle Attacks", USENIX Security 2021), which would let one forged slot open for two
//! passphrases. `c` is that commitment: it is compared, in constant time, before anything is decrypted.
//! `k` is fresh for each seal, so no nonce can repeat under one key.

use chacha20poly1305::aead::{AeadInOut, KeyInit, inout::InOutBuf};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::key::{self, SealingKey};
use crate::clock::{Rng, RngError};
use crate::secret::SecretBytes;

const SALT_LEN: usize = 24;
const COMMITMENT_LEN: usize = 32;
const TAG_LEN: usize = 16;

/// How much longer a sealed text is than its plaintext, in bytes.
const OVERHEAD: usize = SALT_LEN + COMMITMENT_LEN + TAG_LEN;

/// The text was not sealed by this key, under this label, for this context, or it was altered since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("sealed text does not open")]
pub struct OpenError;

/// Seals `plaintext` under `key` for one purpose (`label`) and one place (`context`).
pub fn seal(
    key: &SealingKey,
    label: &str,
    context: &[u8],
    plaintext: &[u8],
    rng: &dyn Rng,
) -> Result<Vec<u8>, RngError> {
    let mut salt = [0; SALT_LEN];
    rng.fill(&mut salt)?;
    let (cipher, commitment) = keys(key, label, &salt, context);
    let mut sealed = Vec::with_capacity(plaintext.len() + OVERHEAD);
    sealed.extend_from_slice(&salt);
    sealed.extend_from_slice(&*commitment);
    // Encrypted from the caller's buffer into this one, so the plaintext is never copied here.
    sealed.resize(SALT_LEN + COMMITMENT_LEN + plaintext.len(), 0);
    let body = sealed.get_mut(SALT_LEN + COMMITMENT_LEN..).unwrap_or_default();
    let tag = InOutBuf::new(plaintext, body).map_err(|_| RngError).and_then(|buffer| {
        cipher.encrypt_inout_detached(&XNonce::from(salt), context, buffer).map_err(|_| RngError)
    })?;
    sealed.extend_from_slice(&tag);
    Ok(sealed)
}

/// Opens what [`seal`] made with the same key, label and context.
pub fn open(key: &SealingKey, label: &str, context: &[u8], sealed: &[u8]) -> Result<SecretBytes, OpenError> {
    let parts = Parts::of(sealed).ok_or(OpenError)?;
    let (cipher, commitment) = keys(key, label, parts.salt, context);
    if !bool::from(commitment.ct_eq(parts.commitment)) {
        return Err(OpenError);
    }
    let mut plaintext = SecretBytes::zeroed(parts.body.len());
    let buffer = InOutBuf::new(parts.body, plaintext.expose_mut()).map_err(|_| OpenError)?;
    cipher
        .decrypt_inout_detached(&XNonce::from(*parts.salt), context, buffer, &Tag::from(*parts.tag))
        .map_err(|_| OpenError)?;
    Ok(plaintext)
}

struct Parts<'a> {
    salt: &'a [u8; SALT_LEN],
    commitment: &'a [u8; COMMITMENT_LEN],
    body: &'a [u8],
    tag: &'a [u8; TAG_LEN],
}

impl<'a> Parts<'a> {
    fn of(sealed: &'a [u8]) -> Option<Self> {
        let (salt, rest) = sealed.split_first_chunk()?;
        let (commitment, rest) = rest.split_first_chunk()?;
        let (body, tag) = rest.split_last_chunk()?;
        Some(Self { salt, commitment, body, tag })
    }
}

type Commitment = Zeroizing<[u8; COMMITMENT_LEN]>;

fn keys(
    key: &SealingKey,
    label: &str,
    salt: &[u8; SALT_LEN],
    context: &[u8],
) -> (XChaCha20Poly1305, Commitment) {
    let mut okm = Zeroizing::new([0_u8; 64]);
    key.expand(&[&key::labeled(label), salt, &key::context_len(context), context], &mut *okm);
    let mut cipher_key = Zeroizing::new([0_u8; 32]);
    let mut commitment = Zeroizing::new([0_u8; COMMITMENT_LEN]);
    for (place, byte) in cipher_key.iter_mut().chain(commitment.iter_mut()).zip(okm.iter()) {
        *place = *byte;
    }
    (XChaCha20Poly1305::new((&*cipher_key).into()), commitment)
}

/// XChaCha20-Poly1305 as it is used above, for published test vectors.
#[cfg(test)]
pub(super) fn raw_open(
    key: &[u8; 32],
    nonce: [u8; 24],
    aad: &[u8],
    body: &[u8],
    tag: [u8; 16],
) -> Option<Vec<u8>> {
    let mut out = vec![0; body.len()];
    let buffer = InOutBuf::new(body, out.as_mut_slice()).ok()?;
    XChaCha20Poly1305::new(key.into())
        .decrypt_inout_detached(&XNonce::from(nonce), aad, buffer, &Tag::from(tag))
        .ok()?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::super::SystemRng;
    use super::*;

    fn sealed(plaintext: &[u8]) -> (SealingKey, Vec<u8>) {
        let key = SealingKey::random(&SystemRng).unwrap_or_else(|_| std::process::abort());
        let sealed = seal(&key, "label", b"context", plaintext, &SystemRng).unwrap_or_default();
        (key, sealed)
    }

    #[test]
    fn what_is_sealed_opens_only_with_its_key_label_and_context() {
        let (key, text) = sealed(b"hello");
        assert!(open(&key, "label", b"context", &text).is_ok_and(|plain| plain.expose() == b"hello"));
        let (other, _) = sealed(b"");
        assert_eq!(open(&other, "label", b"context", &text), Err(OpenError));
        assert_eq!(open(&key, "lable", b"context", &text), Err(OpenError));
        assert_eq!(open(&key, "label", b"kontext", &text), Err(OpenError));
        // The boundary between label and context is bound as well.
        assert_eq!(open(&key, "labelcon", b"text", &text), Err(OpenError));
    }

    #[test]
    fn every_single_bit_flip_and_every_truncation_is_refused() {
        let (key, text) = sealed(b"some plaintext of forty-odd bytes in length");
        for bit in 0..text.len() * 8 {
            let mut flipped = text.clone();
            if let Some(byte) = flipped.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
            assert_eq!(open(&key, "label", b"context", &flipped), Err(OpenError), "bit {bit}");
        }
        for len in 0..text.len() {
            let short = text.get(..len).unwrap_or_default();
            assert_eq!(open(&key, "label", b"context", short), Err(OpenError), "length {len}");
        }
    }

    #[test]
    fn a_key_shows_nothing_of_itself() {
        let key = SealingKey::random(&SystemRng).unwrap_or_else(|_| std::process::abort());
        assert_eq!(format!("{key:?}"), "Key(…)");
    }

    #[test]
    fn two_seals_of_one_text_share_nothing() {
        let (key, first) = sealed(b"same");
        let second = seal(&key, "label", b"context", b"same", &SystemRng).unwrap_or_default();
        let parts =
            |sealed: &[u8]| Parts::of(sealed).map(|parts| (*parts.salt, *parts.commitment, *parts.tag));
        let (first, second) = (parts(&first).unwrap_or_default(), parts(&second).unwrap_or_default());
        assert!(first.0 != second.0 && first.1 != second.1 && first.2 != second.2);
    }
}
