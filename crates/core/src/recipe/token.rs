//! Tokens: `prefix`, base62 characters, and a checksum over both, so that a scanner that meets one in a file knows it
//! from a random word without asking anybody.

use super::RecipeError;
use super::draw::Draws;
use crate::clock::Rng;
use crate::crypto::wipe_stack;
use crate::secret::{SecretBytes, SecretWriter};

/// The prefix of a token whose recipe names none.
pub(super) const DEFAULT_PREFIX: &str = "kv_";

/// The digits 0 to 61.
pub(super) const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// How many characters the checksum has: 62^6 > 2^32.
const CHECKSUM: usize = 6;

/// A token of `length` random characters.
pub(super) fn token(rng: &dyn Rng, prefix: &[u8], length: usize) -> Result<SecretBytes, RecipeError> {
    token_with_tail(rng, prefix, length, &[])
}

/// `prefix`, `length` random characters, `tail`, and the checksum of all of them.
pub fn token_with_tail(
    rng: &dyn Rng,
    prefix: &[u8],
    length: usize,
    tail: &[u8],
) -> Result<SecretBytes, RecipeError> {
    let mut draws = Draws::new(rng);
    let mut token = SecretWriter::with_capacity(prefix.len() + length + tail.len() + CHECKSUM);
    token.push(prefix)?;
    for _ in 0..length {
        token.push(&[draws.one_of(BASE62)?])?;
    }
    token.push(tail)?;
    let checksum = checksum(token.written());
    token.push(&checksum)?;
    // The checksum goes through registers of 16 bytes, which a build without optimization keeps on the stack.
    wipe_stack();
    Ok(token.finish())
}

/// Returns `true` if `text` ends with the checksum of what stands before it, as every generated token does. A random
/// text of base62 does so once in 2^32 times.
#[must_use]
pub fn token_checksum_ok(text: &[u8]) -> bool {
    text.split_last_chunk::<CHECKSUM>()
        .is_some_and(|(body, last)| !body.is_empty() && *last == checksum(body))
}

/// The CRC-32 of IEEE 802.3 of `body`. In 32 bits instead of [`base62`]'s 128: a verifier does it for every request.
fn checksum(body: &[u8]) -> [u8; CHECKSUM] {
    let mut digits = [b'0'; CHECKSUM];
    let mut rest = crc32fast::hash(body);
    for digit in digits.iter_mut().rev() {
        *digit = BASE62.get(usize::try_from(rest % 62).unwrap_or(0)).copied().unwrap_or(b'0');
        rest /= 62;
    }
    digits
}

/// A number in base62, most significant digit first, with leading zeros. 22 digits hold 128 bits.
#[must_use]
pub fn base62<const DIGITS: usize>(number: u128) -> [u8; DIGITS] {
    let mut digits = [b'0'; DIGITS];
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit = BASE62.get(usize::try_from(rest % 62).unwrap_or(0)).copied().unwrap_or(b'0');
        rest /= 62;
    }
    digits
}

/// The number that these digits are; `None` if one is no digit of base62, or the number has more than 128 bits.
#[must_use]
pub fn from_base62(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0_u128, |number, digit| {
        let value = BASE62.iter().position(|known| known == digit)?;
        number.checked_mul(62)?.checked_add(u128::try_from(value).ok()?)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]

    use super::super::draw::testing::{Counter, even};
    use super::*;

    #[test]
    fn base62_of_128_bits_reads_back_and_more_bits_are_none() {
        for number in [0, 1, 61, 62, u128::from(u32::MAX), u128::MAX] {
            assert_eq!(from_base62(&base62::<22>(number)), Some(number));
        }
        assert_eq!(&base62::<22>(u128::MAX), b"7n42DGM5Tflk9n8mt7Fhc7");
        assert_eq!(from_base62(b"7n42DGM5Tflk9n8mt7Fhc8"), None, "2^128");
        assert_eq!(from_base62(b"zzzzzzzzzzzzzzzzzzzzzz"), None);
        assert_eq!(from_base62(b"-"), None);
    }

    #[test]
    fn the_crc_is_the_one_of_ieee_802_3() {
        // The check value of CRC-32/ISO-HDLC in the RevEng catalog.
        assert_eq!(checksum(b"123456789"), base62(0xCBF4_3926));
        assert_eq!(checksum(b""), *b"000000");
    }

    #[test]
    fn a_token_is_prefix_and_base62_and_its_checksum() {
        let rng = Counter::new(2);
        for length in [11, 43, 200] {
            let token = token(&rng, b"kv_", length);
            let text = token.as_ref().map(SecretBytes::expose).unwrap_or_default();
            assert_eq!(text.len(), 3 + length + 6);
            assert!(text.strip_prefix(b"kv_").is_some_and(|rest| rest.iter().all(u8::is_ascii_alphanumeric)));
            assert!(token_checksum_ok(text));
        }
    }

    #[test]
    fn one_changed_character_breaks_the_checksum() {
        let rng = Counter::new(3);
        let Ok(mut token) = token(&rng, b"kv_", 43) else { panic!("no token") };
        for place in 0..token.len() {
            let change = |byte: &mut u8| *byte = if *byte == b'a' { b'b' } else { b'a' };
            let before = SecretBytes::copy_from(token.expose());
            token.expose_mut().get_mut(place).map(change).unwrap_or_default();
            assert!(!token_checksum_ok(token.expose()), "{place}");
            token = before;
        }
        assert!(!token_checksum_ok(b"") && !token_checksum_ok(b"000000") && !token_checksum_ok(b"kv_"));
    }

    #[test]
    fn every_character_is_equally_likely() {
        let rng = Counter::new(4);
        let mut counts = [0_u32; 62];
        for _ in 0..200 {
            let token = token(&rng, b"", 43);
            for byte in token.iter().flat_map(|token| token.expose().iter().take(43)) {
                let digit = BASE62.iter().position(|digit| digit == byte);
                digit.and_then(|digit| counts.get_mut(digit)).map(|count| *count += 1).unwrap_or_default();
            }
        }
        assert_eq!(counts.iter().sum::<u32>(), 200 * 43);
        assert!(even(&counts));
    }
}
