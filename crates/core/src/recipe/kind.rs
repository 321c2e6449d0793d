//! The kinds of values there are, and for each what its length counts, what bounds it, and how much chance is in it.

use borsh::{BorshDeserialize, BorshSerialize};

use super::{MAX_CHARACTERS, MIN_ENTROPY, text};

/// The shape of a generated value. Its number stands in the vault file, fixed for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
pub enum ValueKind {
    /// Prefix, base62 characters, and a checksum that lets a scanner recognize it.
    Token = 1,
    /// Characters of four classes, each present.
    Password = 2,
    /// Random bytes in lower-case hexadecimal.
    Hex = 3,
    /// Random bytes in base64 with padding (RFC 4648 §4).
    Base64 = 4,
    /// Random bytes in the URL-safe base64 without padding (RFC 4648 §5).
    Base64Url = 5,
    /// A UUID of version 4 (RFC 9562 §5.4).
    Uuid = 6,
    /// Words of a list made for it, joined by `-`.
    Passphrase = 7,
    /// An Ed25519 key pair: PKCS #8 and SPKI in PEM (RFC 8410).
    Ed25519 = 8,
    /// An Ed25519 key pair in OpenSSH's own formats.
    SshEd25519 = 9,
    /// An ECDSA key pair on P-256: PKCS #8 and SPKI in PEM (RFC 5480, RFC 5915).
    EcdsaP256 = 10,
    /// On P-384.
    EcdsaP384 = 11,
    /// An ECDSA key pair on P-256 in OpenSSH's own formats (RFC 5656).
    SshEcdsaP256 = 12,
    /// On P-384.
    SshEcdsaP384 = 13,
}

/// The text names no kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such recipe")]
pub struct UnknownKind;

impl ValueKind {
    /// Every kind, in the order in which people are shown them.
    pub const ALL: [Self; 13] = [
        Self::Token,
        Self::Password,
        Self::Hex,
        Self::Base64,
        Self::Base64Url,
        Self::Uuid,
        Self::Passphrase,
        Self::Ed25519,
        Self::SshEd25519,
        Self::EcdsaP256,
        Self::EcdsaP384,
        Self::SshEcdsaP256,
        Self::SshEcdsaP384,
    ];

    /// The word people use for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Password => "password",
            Self::Hex => "hex",
            Self::Base64 => "base64",
            Self::Base64Url => "base64url",
            Self::Uuid => "uuid",
            Self::Passphrase => "passphrase",
            Self::Ed25519 => "ed25519",
            Self::SshEd25519 => "ssh-ed25519",
            Self::EcdsaP256 => "ecdsa-p256",
            Self::EcdsaP384 => "ecdsa-p384",
            Self::SshEcdsaP256 => "ssh-ecdsa-p256",
            Self::SshEcdsaP384 => "ssh-ecdsa-p384",
        }
    }

    /// The unit of this kind's length; `None` where the kind has one size only.
    #[must_use]
    pub fn unit(self) -> Option<&'static str> {
        match self {
            Self::Token | Self::Password => Some("characters"),
            Self::Hex | Self::Base64 | Self::Base64Url => Some("bytes"),
            Self::Passphrase => Some("words"),
            _ => None,
        }
    }

    /// The length where none is asked for: at least 128 bits, and 256 where nobody types the value.
    pub(super) fn default_length(self) -> u32 {
        match self {
            // 62^43 > 2^256.
            Self::Token => 43,
            Self::Password => 24,
            Self::Hex | Self::Base64 | Self::Base64Url => 32,
            // 77 bits: what people still learn by heart.
            Self::Passphrase => 6,
            _ => 0,
        }
    }

    /// The greatest length: what always fits [`MAX_CHARACTERS`].
    pub(super) fn max_length(self) -> u32 {
        match self {
            Self::Token | Self::Password => MAX_CHARACTERS,
            Self::Hex => MAX_CHARACTERS / 2,
            Self::Base64 | Self::Base64Url => MAX_CHARACTERS / 4 * 3,
            Self::Passphrase => (MAX_CHARACTERS + 1) / (text::LONGEST_WORD + 1),
            _ => 0,
        }
    }

    /// The least length that reaches [`MIN_ENTROPY`].
    pub(super) fn min_length(self) -> u32 {
        (1..self.max_length()).find(|length| self.entropy_bits(*length) >= MIN_ENTROPY).unwrap_or(0)
    }

    /// log2 of how many values a length has, all equally likely; rounded down.
    pub(super) fn entropy_bits(self, length: u32) -> u32 {
        let bits = match self {
            Self::Token => f64::from(length) * 62_f64.log2(),
            Self::Password => text::password_entropy(length),
            Self::Hex | Self::Base64 | Self::Base64Url => f64::from(length) * 8.0,
            Self::Passphrase => f64::from(length) * f64::from(text::WORD_COUNT).log2(),
            // Six of the 128 bits say that it is a version 4 UUID.
            Self::Uuid => 122.0,
            Self::Ed25519 | Self::SshEd25519 | Self::EcdsaP256 | Self::SshEcdsaP256 => 256.0,
            Self::EcdsaP384 | Self::SshEcdsaP384 => 384.0,
        };
        whole_bits(bits)
    }

    pub(super) fn takes_alphabet(self) -> bool {
        matches!(self, Self::Token | Self::Password)
    }

    pub(super) fn takes_prefix(self) -> bool {
        matches!(self, Self::Token | Self::Password | Self::Hex | Self::Base64 | Self::Base64Url)
    }
}

/// Rounds down.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at most 32,768; the cast saturates at 0 where a length has no value at all"
)]
pub(super) fn whole_bits(bits: f64) -> u32 {
    bits.floor() as u32
}

impl std::str::FromStr for ValueKind {
    type Err = UnknownKind;
    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or(UnknownKind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    #[test]
    fn a_kind_is_found_by_its_name_and_number() {
        for (index, kind) in ValueKind::ALL.into_iter().enumerate() {
            assert_eq!(kind.name().parse(), Ok(kind));
            assert_eq!(codec::encode(&kind), [u8::try_from(index + 1).unwrap_or(0)]);
        }
        assert_eq!("Token".parse::<ValueKind>(), Err(UnknownKind));
    }
}
