//! Tokens: `prefix ‖ base62 ‖ checksum`. The checksum lets a scanner tell a token from a look-alike without asking
//! anybody: six base62 digits of the CRC-32 (IEEE 802.3) of everything before them.

use crate::clock::Rng;
use crate::secret::{SecretBytes, SecretWriter};

use super::RecipeError;
use super::draw;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// How many characters a token's random part is drawn from.
pub(super) const ALPHABET_LEN: u8 = 62;

/// Digits of the checksum: 62^6 > 2^32.
const CHECKSUM_LEN: usize = 6;

pub(super) fn generate(prefix: &str, length: u32, rng: &dyn Rng) -> Result<SecretBytes, RecipeError> {
    let mut token = SecretWriter::with_capacity(prefix.len() + length as usize + CHECKSUM_LEN);
    token.push(prefix.as_bytes())?;
    for _ in 0..length {
        token.push(&[*draw::one_of(ALPHABET, rng)?])?;
    }
    let checksum = checksum(token.written());
    token.push(&checksum)?;
    Ok(token.finish())
}

/// Whether the last six characters are the checksum of what stands before them.
#[must_use]
pub fn checksum_matches(text: &[u8]) -> bool {
    text.split_last_chunk::<CHECKSUM_LEN>().is_some_and(|(body, found)| checksum(body) == *found)
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_LEN] {
    let mut rest = crc32(body);
    let mut digits = [b'0'; CHECKSUM_LEN];
    for digit in digits.iter_mut().rev() {
        let place = usize::try_from(rest % 62).unwrap_or(0);
        *digit = ALPHABET.get(place).copied().unwrap_or(b'0');
        rest /= 62;
    }
    digits
}

/// CRC-32 as in IEEE 802.3, bit by bit: tokens are short.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::RngError;

    struct Zeros;

    impl Rng for Zeros {
        fn fill(&self, target: &mut [u8]) -> Result<(), RngError> {
            target.fill(0);
            Ok(())
        }
    }

    #[test]
    fn the_checksum_is_the_published_crc() {
        // The check value of CRC-32/ISO-HDLC.
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn a_token_is_recognised_and_a_slip_is_not() {
        let token = generate("kv_", 43, &Zeros).map(|token| token.expose().to_vec()).unwrap_or_default();
        assert_eq!(token.len(), 52);
        assert!(token.starts_with(b"kv_000"));
        assert!(checksum_matches(&token));
        let slip: Vec<u8> = token.iter().map(|byte| if *byte == b'k' { b'K' } else { *byte }).collect();
        assert!(!checksum_matches(&slip));
    }
}
