//! How a value is generated, kept with the key so that a rotation repeats it.
//!
//! A recipe is a kind, a length, a prefix, and an alphabet; nothing in it is secret. It knows alphabets, entropy and key
//! formats; it takes chance from an [`Rng`] and the arithmetic of key pairs from functions given to it ([`KeyPairs`]), and
//! knows no vault. Every random choice of a character goes through `draw`, so no letter is likelier than another. A value is built in a buffer of its own size and
//! never stands in a `String`. No recipe gives less than [`MIN_ENTROPY`] bits.

mod alphabet;
mod draw;
mod ecdsa;
mod keypair;
mod kind;
mod text;
mod token;

pub use alphabet::{Alphabet, MAX_ALPHABET};
pub use ecdsa::EcdsaPair;
pub use kind::{UnknownKind, ValueKind};
pub use token::{base62, from_base62, token_checksum_ok, token_with_tail};

use borsh::{BorshDeserialize, BorshSerialize, io};

use crate::clock::{Rng, RngError};
use crate::codec;
use crate::secret::{Full, SecretBytes};

/// The least entropy of a generated value, in bits. Below it a leaked hash of the value can be searched.
pub const MIN_ENTROPY: u32 = 64;

/// The longest generated text, in characters, not counting prefix and checksum.
pub const MAX_CHARACTERS: u32 = 4096;

/// The longest prefix, in bytes.
pub const MAX_PREFIX: usize = 32;

/// Computes the public key of an Ed25519 seed (RFC 8032 §5.1.5). Only `crypto` can, so the function is handed in.
pub type Ed25519Public = fn(&[u8; 32]) -> Option<[u8; 32]>;

/// The arithmetic of key pairs. Those of ECDSA take their chance from the system, for no primitive takes it from us.
#[derive(Debug, Clone, Copy)]
pub struct KeyPairs {
    pub ed25519_public: Ed25519Public,
    pub ecdsa_p256: EcdsaPair,
    pub ecdsa_p384: EcdsaPair,
}

/// Why a recipe is refused, or gave no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecipeError {
    /// A value of this length has less than [`MIN_ENTROPY`] bits.
    #[error("`{}` needs a length of at least {minimum}{}; a shorter value could be guessed.", kind.name(), unit(*kind))]
    TooShort {
        kind: ValueKind,
        /// The least length, in the kind's [`unit`](ValueKind::unit).
        minimum: u32,
    },
    /// The value would be longer than [`MAX_CHARACTERS`].
    #[error("`{}` takes a length of at most {maximum}{}.", kind.name(), unit(*kind))]
    TooLong {
        kind: ValueKind,
        /// The greatest length, in the kind's [`unit`](ValueKind::unit).
        maximum: u32,
    },
    /// The kind has one size only.
    #[error("`{}` has a fixed size and takes no length.", kind.name())]
    NoLength { kind: ValueKind },
    /// The kind's format has no place for a prefix.
    #[error("`{}` takes no prefix.", kind.name())]
    NoPrefix { kind: ValueKind },
    /// The prefix is longer than [`MAX_PREFIX`] bytes.
    #[error("A prefix has at most 32 visible ASCII characters.")]
    PrefixTooLong,
    /// The prefix has a character that is not visible ASCII.
    #[error("A prefix has at most 32 visible ASCII characters.")]
    PrefixCharacter,
    /// The kind's characters are fixed.
    #[error("`{}` takes no alphabet.", kind.name())]
    NoAlphabet { kind: ValueKind },
    /// The set has too few characters, one of them twice, or one that is not visible ASCII.
    #[error("An alphabet has 2 to 94 different visible ASCII characters.")]
    Alphabet,
    /// The text looks like the name of a set, and is none.
    #[error("There is no alphabet of that name.")]
    AlphabetName,
    /// No random bytes came, or none that are random.
    #[error(transparent)]
    Rng(#[from] RngError),
    /// No key pair came of the seed, or it did not encode.
    #[error("The value could not be generated: no key pair could be created.")]
    KeyPair,
    /// The comment has a control character.
    #[error("The value could not be generated: the comment has a control character.")]
    Comment,
    /// A buffer or a table has not the size the recipe counts on.
    #[error("The value could not be generated: an internal size is wrong.")]
    Size,
}

/// The unit behind a number, with the space between them.
fn unit(kind: ValueKind) -> String {
    kind.unit().map(|unit| format!(" {unit}")).unwrap_or_default()
}

impl From<Full> for RecipeError {
    fn from(_: Full) -> Self {
        Self::Size
    }
}

/// How a value is made. Only recipes that can be followed exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    kind: ValueKind,
    /// In the kind's unit; 0 for kinds of one size.
    length: u32,
    /// Visible ASCII; empty for kinds without one.
    prefix: String,
    /// The characters that the value is made of, behind the prefix; `None` where they are the kind's own.
    alphabet: Option<Alphabet>,
}

/// A new value, and the half of it that is not secret.
#[derive(Debug)]
pub struct Generated {
    /// The secret, which becomes the key's value.
    pub value: SecretBytes,
    /// A key pair's public half, as text, ending without a newline for OpenSSH and with one for PEM.
    pub public: Option<String>,
}

impl Recipe {
    /// A recipe of this kind, with the kind's own length and prefix where none are given. An empty prefix is none.
    pub fn new(kind: ValueKind, length: Option<u32>, prefix: Option<&str>) -> Result<Self, RecipeError> {
        Self::of(kind, None, length, prefix)
    }

    fn of(
        kind: ValueKind,
        alphabet: Option<Alphabet>,
        length: Option<u32>,
        prefix: Option<&str>,
    ) -> Result<Self, RecipeError> {
        if alphabet.is_some() && !kind.takes_alphabet() {
            return Err(RecipeError::NoAlphabet { kind });
        }
        if kind.unit().is_none() && length.is_some() {
            return Err(RecipeError::NoLength { kind });
        }
        if !kind.takes_prefix() && prefix.is_some_and(|prefix| !prefix.is_empty()) {
            return Err(RecipeError::NoPrefix { kind });
        }
        let prefix = prefix.unwrap_or(if kind == ValueKind::Token { token::DEFAULT_PREFIX } else { "" });
        if prefix.len() > MAX_PREFIX {
            return Err(RecipeError::PrefixTooLong);
        }
        if !prefix.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(RecipeError::PrefixCharacter);
        }
        let (minimum, default) = match &alphabet {
            None => (kind.min_length(), kind.default_length()),
            Some(alphabet) => {
                let usual = if kind == ValueKind::Token { 256 } else { 128 };
                (alphabet.length_for(MIN_ENTROPY), alphabet.length_for(usual).max(kind.default_length()))
            }
        };
        let length = length.unwrap_or(default);
        if length < minimum {
            return Err(RecipeError::TooShort { kind, minimum });
        }
        if length > kind.max_length() {
            return Err(RecipeError::TooLong { kind, maximum: kind.max_length() });
        }
        Ok(Self { kind, length, prefix: prefix.to_owned(), alphabet })
    }

    /// A recipe whose values are made of these characters alone: a token has neither the default prefix nor a checksum
    /// then, and a password no rules.
    pub fn of_alphabet(
        kind: ValueKind,
        alphabet: Alphabet,
        length: Option<u32>,
        prefix: Option<&str>,
    ) -> Result<Self, RecipeError> {
        Self::of(kind, Some(alphabet), length, Some(prefix.unwrap_or_default()))
    }

    #[must_use]
    pub fn kind(&self) -> ValueKind {
        self.kind
    }

    /// The length in the kind's [`unit`](ValueKind::unit); `None` where the kind has one size only.
    #[must_use]
    pub fn length(&self) -> Option<u32> {
        self.kind.unit().map(|_| self.length)
    }

    /// Begins every value; may be empty.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// log2 of how many values the recipe has, all equally likely; rounded down. For key pairs, of the seed.
    #[must_use]
    pub fn entropy_bits(&self) -> u32 {
        match &self.alphabet {
            None => self.kind.entropy_bits(self.length),
            Some(alphabet) => kind::whole_bits(f64::from(self.length) * alphabet.bits()),
        }
    }

    #[must_use]
    pub fn alphabet(&self) -> Option<&Alphabet> {
        self.alphabet.as_ref()
    }

    /// Makes a value. `comment` goes into an OpenSSH key pair and nowhere else.
    pub fn generate(&self, rng: &dyn Rng, pairs: KeyPairs, comment: &str) -> Result<Generated, RecipeError> {
        let length = usize::try_from(self.length).map_err(|_| RecipeError::Size)?;
        let prefix = self.prefix.as_bytes();
        if let Some(alphabet) = &self.alphabet {
            return Ok(Generated { value: alphabet.text(rng, prefix, length)?, public: None });
        }
        let value = match self.kind {
            ValueKind::Token => token::token(rng, prefix, length)?,
            ValueKind::Password => text::password(rng, prefix, length)?,
            ValueKind::Hex => text::encoded(rng, prefix, length, &data_encoding::HEXLOWER)?,
            ValueKind::Base64 => text::encoded(rng, prefix, length, &data_encoding::BASE64)?,
            ValueKind::Base64Url => text::encoded(rng, prefix, length, &data_encoding::BASE64URL_NOPAD)?,
            ValueKind::Uuid => text::uuid(rng)?,
            ValueKind::Passphrase => text::passphrase(rng, length)?,
            ValueKind::Ed25519 => return keypair::pem(rng, pairs.ed25519_public),
            ValueKind::SshEd25519 => return keypair::openssh(rng, pairs.ed25519_public, comment),
            ValueKind::EcdsaP256 => return ecdsa::pem(&ecdsa::P256, pairs.ecdsa_p256),
            ValueKind::EcdsaP384 => return ecdsa::pem(&ecdsa::P384, pairs.ecdsa_p384),
            ValueKind::SshEcdsaP256 => return ecdsa::openssh(rng, &ecdsa::P256, pairs.ecdsa_p256, comment),
            ValueKind::SshEcdsaP384 => return ecdsa::openssh(rng, &ecdsa::P384, pairs.ecdsa_p384, comment),
        };
        Ok(Generated { value, public: None })
    }
}

impl BorshDeserialize for Recipe {
    /// Holds what was written to the same rules as a new recipe.
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let (kind, length) = <(ValueKind, u32)>::deserialize_reader(reader)?;
        // A kind of one size is written as length 0, and nothing else is.
        let length = if kind.unit().is_none() && length == 0 { None } else { Some(length) };
        let prefix = codec::read_short::<MAX_PREFIX, _, _, _>(reader, |prefix| {
            Ok::<_, RecipeError>(prefix.to_owned())
        })?;
        codec::read_short::<MAX_ALPHABET, _, _, _>(reader, |set| {
            let alphabet = if set.is_empty() { None } else { Some(Alphabet::of_sorted(set)?) };
            Self::of(kind, alphabet, length, Some(&prefix))
        })
    }
}

impl BorshSerialize for Recipe {
    /// No alphabet is written as an empty one.
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        let set = self.alphabet.as_ref().map(Alphabet::characters).unwrap_or_default();
        (self.kind, self.length, self.prefix.as_str(), set).serialize(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Malformed;

    #[test]
    fn a_recipe_survives_its_encoding() {
        for kind in ValueKind::ALL {
            for prefix in [None, Some("sk-")] {
                for length in [None, Some(40)] {
                    let Ok(recipe) = Recipe::new(kind, length, prefix) else { continue };
                    assert_eq!(codec::decode(&codec::encode(&recipe)), Ok(recipe));
                }
            }
        }
    }

    #[test]
    fn an_encoded_recipe_that_could_not_be_made_is_malformed() {
        let decode = |kind: u8, length: u32, prefix: &[u8]| {
            codec::decode::<Recipe>(&codec::encode(&(kind, length, prefix, "")))
        };
        assert!(decode(1, 43, b"kv_").is_ok() && decode(6, 0, b"").is_ok());
        for (kind, length, prefix) in [
            (0, 43, "kv_"),
            (14, 0, ""),
            (10, 256, ""),
            (13, 0, "x"),
            (1, 0, ""),
            (1, 4097, ""),
            (6, 1, ""),
            (6, 0, "x"),
            (3, 32, "a b"),
        ] {
            assert_eq!(decode(kind, length, prefix.as_bytes()), Err(Malformed), "{kind} {length} {prefix}");
        }
        assert_eq!(decode(1, 43, b"\xff"), Err(Malformed));
    }

    #[test]
    fn an_alphabet_survives_its_encoding_and_stands_there_in_ascending_order() {
        let encoded = |set: &str| codec::encode(&(2_u8, 64_u32, "p-", set));
        let decode = |set: &str| codec::decode::<Recipe>(&encoded(set));
        for set in ["", "01", "0123456789abcdef"] {
            assert_eq!(decode(set).map(|recipe| codec::encode(&recipe)), Ok(encoded(set)));
        }
        for set in ["0", "10", "00", "0 1", "0ä"] {
            assert_eq!(decode(set), Err(Malformed), "{set:?}");
        }
        assert_eq!(codec::decode::<Recipe>(&codec::encode(&(3_u8, 64_u32, "", "01"))), Err(Malformed));
        assert_eq!(codec::decode::<Recipe>(&codec::encode(&(2_u8, 63_u32, "", "01"))), Err(Malformed));
    }

    #[test]
    fn a_value_of_an_alphabet_has_64_bits_at_least_and_as_many_as_its_kind_by_default() {
        for (set, minimum, token, password) in
            [("01", 64, 256, 128), ("hex", 16, 64, 32), ("digits", 20, 78, 39), ("visible", 10, 43, 24)]
        {
            let of = |kind, length| {
                let alphabet = Alphabet::parse(set)?;
                let recipe = Recipe::of_alphabet(kind, alphabet, length, None)?;
                assert!(recipe.entropy_bits() >= MIN_ENTROPY && recipe.prefix().is_empty());
                Ok(recipe.length().unwrap_or(0))
            };
            assert_eq!(of(ValueKind::Token, None), Ok(token), "{set}");
            assert_eq!(of(ValueKind::Password, None), Ok(password), "{set}");
            assert_eq!(of(ValueKind::Token, Some(minimum)), Ok(minimum), "{set}");
            let kind = ValueKind::Token;
            assert_eq!(of(kind, Some(minimum - 1)), Err(RecipeError::TooShort { kind, minimum }), "{set}");
            assert_eq!(of(kind, Some(4097)), Err(RecipeError::TooLong { kind, maximum: 4096 }), "{set}");
            let kind = ValueKind::Hex;
            assert_eq!(of(kind, None), Err(RecipeError::NoAlphabet { kind }));
        }
    }

    #[test]
    fn lengths_are_bounded_by_entropy_below_and_by_size_above() {
        let bounds = |kind: ValueKind| (kind.min_length(), kind.default_length(), kind.max_length());
        assert_eq!(bounds(ValueKind::Token), (11, 43, 4096));
        assert_eq!(bounds(ValueKind::Password), (11, 24, 4096));
        assert_eq!(bounds(ValueKind::Hex), (8, 32, 2048));
        assert_eq!(bounds(ValueKind::Base64), (8, 32, 3072));
        assert_eq!(bounds(ValueKind::Passphrase), (5, 6, 409));
        for kind in ValueKind::ALL.into_iter().filter(|kind| kind.unit().is_some()) {
            let (minimum, _, maximum) = bounds(kind);
            assert!(
                Recipe::new(kind, Some(minimum), None)
                    .is_ok_and(|recipe| recipe.entropy_bits() >= MIN_ENTROPY)
            );
            assert!(Recipe::new(kind, Some(maximum), None).is_ok());
            let short = Recipe::new(kind, Some(minimum - 1), None);
            assert_eq!(short, Err(RecipeError::TooShort { kind, minimum }));
            let long = Recipe::new(kind, Some(maximum + 1), None);
            assert_eq!(long, Err(RecipeError::TooLong { kind, maximum }));
        }
    }

    #[test]
    fn length_and_prefix_are_refused_where_they_mean_nothing() {
        for kind in ValueKind::ALL.into_iter().filter(|kind| kind.unit().is_none()) {
            assert_eq!(Recipe::new(kind, Some(32), None), Err(RecipeError::NoLength { kind }));
            assert_eq!(Recipe::new(kind, None, Some("x")), Err(RecipeError::NoPrefix { kind }));
        }
        let passphrase = Recipe::new(ValueKind::Passphrase, None, Some("x"));
        assert_eq!(passphrase, Err(RecipeError::NoPrefix { kind: ValueKind::Passphrase }));
        let prefix = |prefix: &str| Recipe::new(ValueKind::Token, None, Some(prefix)).map(|_| ());
        assert_eq!(prefix(&"x".repeat(32)), Ok(()));
        assert_eq!(prefix(&"x".repeat(33)), Err(RecipeError::PrefixTooLong));
        for bad in ["a b", "ä", "a\n", "\u{7f}"] {
            assert_eq!(prefix(bad), Err(RecipeError::PrefixCharacter), "{bad:?}");
        }
    }

    #[test]
    fn the_stated_entropy_is_that_of_the_default_values() {
        let bits = |kind| Recipe::new(kind, None, None).map(|recipe| recipe.entropy_bits());
        let expected = [256, 144, 256, 256, 256, 122, 77, 256, 256, 256, 384, 256, 384];
        for (kind, expected) in ValueKind::ALL.into_iter().zip(expected) {
            assert_eq!(bits(kind), Ok(expected), "{}", kind.name());
        }
    }
}
