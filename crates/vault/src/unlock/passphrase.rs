//! A passphrase: UTF-8 text in Unicode's NFC, so that the same words typed on two systems are the same bytes.

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use keyvault_core::secret::{SecretBytes, SecretWriter};

/// The longest passphrase, in bytes as given.
pub const MAX_LEN: usize = 4096;

/// Normalising to NFC can lengthen text, at most threefold in UTF-8 (UAX #15).
const MAX_GROWTH: usize = 3;

/// Why a secret cannot be a passphrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("is empty")]
    Empty,
    /// More than [`MAX_LEN`] bytes.
    #[error("is longer than 4096 bytes")]
    TooLong,
    /// Not UTF-8.
    #[error("is not UTF-8")]
    NotUtf8,
}

/// A passphrase in NFC.
#[derive(Debug)]
pub struct Passphrase(SecretBytes);

impl Passphrase {
    /// Checks and normalises what somebody typed or a file held.
    pub fn new(given: &SecretBytes) -> Result<Self, Unfit> {
        if given.is_empty() {
            return Err(Unfit::Empty);
        }
        if given.len() > MAX_LEN {
            return Err(Unfit::TooLong);
        }
        let text = std::str::from_utf8(given.expose()).map_err(|_| Unfit::NotUtf8)?;
        if is_nfc_quick(text.chars()) == IsNormalized::Yes {
            return Ok(Self(SecretBytes::copy_from(given.expose())));
        }
        let mut normal = SecretWriter::with_capacity(given.len() * MAX_GROWTH);
        for c in text.nfc() {
            let mut utf8 = [0; 4];
            normal.push(c.encode_utf8(&mut utf8).as_bytes()).map_err(|_| Unfit::TooLong)?;
        }
        Ok(Self(normal.finish()))
    }

    /// The bytes that the KDF gets.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Result<Vec<u8>, Unfit> {
        Passphrase::new(&SecretBytes::copy_from(bytes)).map(|passphrase| passphrase.expose().to_vec())
    }

    #[test]
    fn case_34_odd_passphrases_are_defined() {
        assert_eq!(of(b""), Err(Unfit::Empty));
        assert_eq!(of(&vec![b'a'; 1 << 20]), Err(Unfit::TooLong));
        assert_eq!(of(b"\xff\xfe"), Err(Unfit::NotUtf8));
        assert_eq!(of("Zoe\u{308}".as_bytes()), of("Zo\u{eb}".as_bytes()));
    }
}
