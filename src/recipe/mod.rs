//! Recipes: how a value is generated. A key keeps its recipe, so that a rotation repeats it.
//!
//! All chance is drawn through [`draw::below`], which rejects instead of taking a remainder, so every value of a recipe
//! is as likely as every other.

mod draw;
mod keypair;
mod token;
mod words;

use crate::clock::{Rng, RngError};
use crate::codec::{Decoder, Encoder, Malformed};
use crate::secret::{Full, SecretBytes};

pub use token::checksum_matches;

/// Computes the public half of an Ed25519 seed; only the cryptography room can.
pub type Ed25519Public = fn(&[u8; 32]) -> Option<[u8; 32]>;

/// The least entropy that is generated, in bits: 2^64 guesses are within reach of nobody who has to ask a server.
const LEAST_BITS: u32 = 64;
const LONGEST: u32 = 4096;
const LONGEST_PREFIX: usize = 32;

/// What kind of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Base62 with a prefix and a checksum, so that a scanner knows it when it sees it.
    Token,
    /// Lower, upper, digits and symbols, each present.
    Password,
    /// Hexadecimal.
    Hex,
    /// Base64 with padding (RFC 4648 §4).
    Base64,
    /// Base64 for URLs, without padding (RFC 4648 §5).
    Base64Url,
    /// A random UUID (RFC 9562 version 4).
    Uuid,
    /// Words of the EFF's long list.
    Passphrase,
    /// An Ed25519 key pair in PEM (RFC 8410).
    Ed25519,
    /// An Ed25519 key pair for OpenSSH.
    SshEd25519,
}

struct Traits {
    kind: Kind,
    number: u8,
    name: &'static str,
    default_length: Option<u32>,
    default_prefix: &'static str,
    takes_prefix: bool,
}

const KINDS: [Traits; 9] = [
    traits(Kind::Token, 1, "token", Some(43), "kv_", true),
    traits(Kind::Password, 2, "password", Some(24), "", false),
    traits(Kind::Hex, 3, "hex", Some(32), "", true),
    traits(Kind::Base64, 4, "base64", Some(32), "", true),
    traits(Kind::Base64Url, 5, "base64url", Some(32), "", true),
    traits(Kind::Uuid, 6, "uuid", None, "", true),
    traits(Kind::Passphrase, 7, "passphrase", Some(6), "", false),
    traits(Kind::Ed25519, 8, "ed25519", None, "", false),
    traits(Kind::SshEd25519, 9, "ssh-ed25519", None, "", false),
];

const fn traits(
    kind: Kind,
    number: u8,
    name: &'static str,
    default_length: Option<u32>,
    default_prefix: &'static str,
    takes_prefix: bool,
) -> Traits {
    Traits { kind, number, name, default_length, default_prefix, takes_prefix }
}

impl Kind {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|traits| traits.kind == self).map_or("", |traits| traits.name)
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        KINDS.iter().find(|traits| traits.name == name).map(|traits| traits.kind)
    }

    /// All names.
    pub fn names() -> impl Iterator<Item = &'static str> {
        KINDS.iter().map(|traits| traits.name)
    }
}

/// Why there is no such recipe, or no value.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecipeError {
    /// The kind's length is fixed.
    #[error("{0} has a fixed length")]
    FixedLength(&'static str),
    /// The kind takes no prefix.
    #[error("{0} takes no prefix")]
    NoPrefix(&'static str),
    /// The length is too small or too large.
    #[error("{kind} takes a length of {least} to {most}")]
    Length {
        /// The kind's name.
        kind: &'static str,
        /// The least.
        least: u32,
        /// The most.
        most: u32,
    },
    /// The prefix is longer than 32 bytes or not printable ASCII.
    #[error("prefix must be at most 32 printable ASCII characters")]
    Prefix,
    /// The random number generator.
    #[error(transparent)]
    Rng(#[from] RngError),
    /// The key pair could not be encoded.
    #[error("key pair could not be encoded")]
    KeyPair,
}

impl From<Full> for RecipeError {
    /// Buffers are sized for what goes into them, so only an encoding that changed its length comes here.
    fn from(_: Full) -> Self {
        Self::KeyPair
    }
}

/// How a value is generated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    kind: Kind,
    /// Characters, bytes or words, as the kind counts; 0 where the kind fixes it.
    length: u32,
    prefix: String,
}

/// A generated value.
pub struct Generated {
    /// The value; of a key pair the private half.
    pub value: SecretBytes,
    /// The public half of a key pair.
    pub public: Option<String>,
}

impl Recipe {
    /// A recipe of `kind`, with the kind's own length and prefix where none are given.
    pub fn new(kind: Kind, length: Option<u32>, prefix: Option<&str>) -> Result<Self, RecipeError> {
        let Some(traits) = KINDS.iter().find(|traits| traits.kind == kind) else {
            return Err(RecipeError::KeyPair);
        };
        if length.is_some() && traits.default_length.is_none() {
            return Err(RecipeError::FixedLength(traits.name));
        }
        if prefix.is_some_and(|prefix| !prefix.is_empty()) && !traits.takes_prefix {
            return Err(RecipeError::NoPrefix(traits.name));
        }
        let prefix = prefix.unwrap_or(traits.default_prefix).to_owned();
        if prefix.len() > LONGEST_PREFIX || !prefix.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(RecipeError::Prefix);
        }
        let length = length.or(traits.default_length).unwrap_or(0);
        let recipe = Self { kind, length, prefix };
        if traits.default_length.is_some() {
            recipe.check_length(traits)?;
        }
        Ok(recipe)
    }

    fn check_length(&self, traits: &Traits) -> Result<(), RecipeError> {
        let enough = |length: u32| Self { length, ..self.clone() }.entropy_bits() >= LEAST_BITS;
        if self.length <= LONGEST && enough(self.length) {
            return Ok(());
        }
        let least = (1..=LEAST_BITS).find(|length| enough(*length)).unwrap_or(LEAST_BITS);
        Err(RecipeError::Length { kind: traits.name, least, most: LONGEST })
    }

    /// What kind of value.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How many bits of chance are in a value, rounded down.
    #[must_use]
    pub fn entropy_bits(&self) -> u32 {
        let length = f64::from(self.length);
        let bits = match self.kind {
            Kind::Token => length * f64::from(token::ALPHABET_LEN).log2(),
            Kind::Password => draw::password_bits(self.length),
            Kind::Hex | Kind::Base64 | Kind::Base64Url => length * 8.0,
            Kind::Uuid => 122.0,
            Kind::Passphrase => length * f64::from(words::COUNT).log2(),
            Kind::Ed25519 | Kind::SshEd25519 => 256.0,
        };
        // Non-negative and far below 2^32.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let floor = bits.max(0.0) as u32;
        floor
    }

    /// Generates a value. `comment` goes into an OpenSSH public key.
    pub fn generate(
        &self,
        rng: &dyn Rng,
        public: Ed25519Public,
        comment: &str,
    ) -> Result<Generated, RecipeError> {
        let secret = |value| Ok(Generated { value, public: None });
        match self.kind {
            Kind::Token => secret(token::generate(&self.prefix, self.length, rng)?),
            Kind::Password => secret(draw::password(self.length, rng)?),
            Kind::Hex => secret(draw::encoded(&self.prefix, self.length, &data_encoding::HEXLOWER, rng)?),
            Kind::Base64 => secret(draw::encoded(&self.prefix, self.length, &data_encoding::BASE64, rng)?),
            Kind::Base64Url => {
                secret(draw::encoded(&self.prefix, self.length, &data_encoding::BASE64URL_NOPAD, rng)?)
            }
            Kind::Uuid => secret(draw::uuid(&self.prefix, rng)?),
            Kind::Passphrase => secret(words::passphrase(self.length, rng)?),
            Kind::Ed25519 => keypair::pem(rng, public),
            Kind::SshEd25519 => keypair::openssh(rng, public, comment),
        }
    }

    /// `u8 kind ‖ u32le length ‖ prefix behind its length`.
    #[must_use]
    pub fn encode(&self, encoder: Encoder) -> Encoder {
        let number = KINDS.iter().find(|traits| traits.kind == self.kind).map_or(0, |traits| traits.number);
        encoder.u8(number).u32(self.length).bytes(self.prefix.as_bytes())
    }

    /// Reads what [`Recipe::encode`] wrote.
    pub fn decode(decoder: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let number = decoder.u8()?;
        let kind = KINDS.iter().find(|traits| traits.number == number).ok_or(Malformed)?.kind;
        let length = decoder.u32()?;
        let prefix = decoder.text()?;
        Self::new(kind, (length > 0).then_some(length), (!prefix.is_empty()).then_some(prefix))
            .map(|recipe| Self { prefix: prefix.to_owned(), ..recipe })
            .map_err(|_| Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_survives_its_encoding() {
        for traits in &KINDS {
            let Ok(recipe) = Recipe::new(traits.kind, None, None) else { continue };
            let bytes = recipe.encode(Encoder::new()).finish();
            assert_eq!(Recipe::decode(&mut Decoder::new(&bytes)), Ok(recipe));
        }
    }

    #[test]
    fn the_default_token_has_256_bits_and_too_short_is_refused() {
        assert_eq!(Recipe::new(Kind::Token, None, None).map(|recipe| recipe.entropy_bits()), Ok(256));
        let short = Recipe::new(Kind::Hex, Some(4), None);
        assert_eq!(short, Err(RecipeError::Length { kind: "hex", least: 8, most: 4096 }));
        assert_eq!(Recipe::new(Kind::Uuid, Some(4), None), Err(RecipeError::FixedLength("uuid")));
        assert_eq!(Recipe::new(Kind::Password, None, Some("x")), Err(RecipeError::NoPrefix("password")));
    }
}
