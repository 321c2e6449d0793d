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
    /// It opens nothing at a prompt. Refused only where it is set: what is set already has to open.
    #[error("{0}")]
    Untypeable(Oddity),
}

/// Something about a passphrase that its owner may not have meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Oddity {
    #[error("ends in a carriage return (CR)")]
    CarriageReturn,
    #[error("has several lines")]
    Lines,
    /// U+FEFF, wherever it is.
    #[error("contains a byte order mark (U+FEFF)")]
    ByteOrderMark,
    #[error("contains a control character")]
    Control,
    /// It can be typed all the same.
    #[error("begins or ends with a blank")]
    Blank,
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

    /// The oddity of a passphrase, the likeliest cause of a mistake first.
    #[must_use]
    pub fn oddity(&self) -> Option<Oddity> {
        let text = std::str::from_utf8(self.expose()).unwrap_or_default();
        let found = [
            (text.ends_with('\r'), Oddity::CarriageReturn),
            (text.contains('\n'), Oddity::Lines),
            (text.contains('\u{FEFF}'), Oddity::ByteOrderMark),
            (text.contains(char::is_control), Oddity::Control),
            (text.trim() != text, Oddity::Blank),
        ];
        found.into_iter().find(|(is, _)| *is).map(|(_, oddity)| oddity)
    }

    /// Refuses one that is to be set and that nobody could type.
    pub fn refuse_untypeable(&self) -> Result<(), Unfit> {
        match self.oddity() {
            None | Some(Oddity::Blank) => Ok(()),
            Some(oddity) => Err(Unfit::Untypeable(oddity)),
        }
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
    fn what_cannot_be_typed_is_no_new_passphrase() -> Result<(), Unfit> {
        for (text, expected) in [
            ("two words", None),
            ("Zo\u{eb} \u{1f980}", None),
            (" x", Some(Oddity::Blank)),
            ("x\r", Some(Oddity::CarriageReturn)),
            ("x\ny\r", Some(Oddity::CarriageReturn)),
            ("x\ny", Some(Oddity::Lines)),
            ("\u{feff}x", Some(Oddity::ByteOrderMark)),
            ("x\u{feff}y", Some(Oddity::ByteOrderMark)),
            ("x\ty", Some(Oddity::Control)),
            ("x\u{85}y", Some(Oddity::Control)),
            ("\u{1b}[200~x", Some(Oddity::Control)),
        ] {
            let passphrase = Passphrase::new(&SecretBytes::copy_from(text.as_bytes()))?;
            assert_eq!(passphrase.oddity(), expected, "{text:?}");
            let typeable = matches!(expected, None | Some(Oddity::Blank));
            assert_eq!(passphrase.refuse_untypeable().is_ok(), typeable, "{text:?}");
        }
        Ok(())
    }

    #[test]
    fn case_34_odd_passphrases_are_defined() {
        assert_eq!(of(b""), Err(Unfit::Empty));
        assert_eq!(of(&vec![b'a'; 1 << 20]), Err(Unfit::TooLong));
        assert_eq!(of(b"\xff\xfe"), Err(Unfit::NotUtf8));
        assert_eq!(of("Zoe\u{308}".as_bytes()), of("Zo\u{eb}".as_bytes()));
    }
}
