//! The text of a key.
//!
//! ```text
//! kv_live_7HqW2bXk9LmT_<secret><checksum>
//! │  │    │             │       └ 6 digits of base62: CRC-32 of all before
//! │  │    │             └ 43 characters of base62, 256 random bits
//! │  │    └ the id, 12 characters of base62: what logs show
//! │  └ `live` or `test`
//! └ the API's prefix
//! ```
//!
//! All of it is letters, digits, and `_`, so a double-click selects it whole. The checksum lets a scanner tell a key from a
//! random word without the vault, and catches each mistyped character; it authenticates nothing.

use keyvault_core::clock::{Rng, RngError};
use keyvault_core::recipe::{RecipeError, token_checksum_ok, token_with_tail};
use keyvault_core::secret::{Full, SecretBytes, SecretWriter};

use crate::record::{Environment, ID_LEN, Id, Mark, NUMBERS, Prefix, Proof};

/// Characters of a key's secret. 62^43 > 2^256.
pub const SECRET_LEN: usize = 43;
/// Characters of its checksum.
const CHECKSUM_LEN: usize = 6;
/// `live` and `test` have one length, so every part has its place counted from the end.
const ENVIRONMENT_LEN: usize = 4;
/// Longest text of a key, with the longest prefix.
pub const MAX_TEXT_LEN: usize = 16 + BEHIND_PREFIX;
const BEHIND_PREFIX: usize = 1 + ENVIRONMENT_LEN + 1 + ID_LEN + 1 + SECRET_LEN + CHECKSUM_LEN;

/// How often a number for an id is drawn again. Each time the chance is below one in 22.
const MAX_REJECTIONS: u32 = 128;

/// The parts of a text in the form of our keys, borrowed from it. That a text has the form says nothing of whether there is
/// such a key.
///
/// The secret is in it, so it has no `Debug`.
#[derive(Clone, Copy)]
pub struct KeyText<'a> {
    pub prefix: &'a str,
    pub environment: Environment,
    /// The part of a key that logs may show.
    pub id: Id,
    pub secret: &'a [u8; SECRET_LEN],
}

/// A new key: the text, to be shown once, and what the record keeps of it.
#[derive(Debug)]
pub struct Minted {
    pub text: SecretBytes,
    pub proof: Proof,
}

/// The reason why no key is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// [`Prefix::NONE`], which only keys of other systems have.
    #[error("the prefix is empty")]
    NoPrefix,
    #[error(transparent)]
    Rng(#[from] RngError),
}

impl<'a> KeyText<'a> {
    /// Takes a text apart; `None` if it is not in the form of our keys, or its checksum is wrong.
    ///
    /// Places are counted from the end and each part is looked at whole, so the time depends on the length alone and not on
    /// where two secrets differ.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        if text.len() > MAX_TEXT_LEN {
            return None;
        }
        let (rest, checksum) = text.split_last_chunk::<CHECKSUM_LEN>()?;
        let (rest, secret) = rest.split_last_chunk::<SECRET_LEN>()?;
        let rest = rest.strip_suffix(b"_")?;
        let (rest, id) = rest.split_last_chunk::<ID_LEN>()?;
        let rest = rest.strip_suffix(b"_")?;
        let (rest, environment) = rest.split_last_chunk::<ENVIRONMENT_LEN>()?;
        let environment = match environment {
            b"live" => Environment::Live,
            b"test" => Environment::Test,
            _ => return None,
        };
        let prefix = Prefix::check(rest.strip_suffix(b"_")?)?;
        let is_base62 = |part: &[u8]| part.iter().fold(true, |all, byte| all & byte.is_ascii_alphanumeric());
        let is_ours = is_base62(secret) & is_base62(checksum) & token_checksum_ok(text);
        is_ours.then_some(Self { prefix, environment, id: Id::of(*id)?, secret })
    }
}

/// Draws an id for a new key or client of the set with `mark`, each equally likely. The caller sees to it that the set has
/// not had it before.
pub fn new_id(mark: Mark, rng: &dyn Rng) -> Result<Id, RngError> {
    // The numbers beyond the last whole multiple would make small ones likelier.
    let end = u64::MAX / NUMBERS * NUMBERS;
    for _ in 0..MAX_REJECTIONS {
        let mut drawn = [0; 8];
        rng.fill(&mut drawn)?;
        let drawn = u64::from_le_bytes(drawn);
        if drawn < end {
            return Id::of_number(mark, drawn % NUMBERS).ok_or(RngError);
        }
    }
    Err(RngError)
}

/// Makes the text of a new key, and the proof for its record.
pub fn mint(prefix: &Prefix, environment: Environment, id: Id, rng: &dyn Rng) -> Result<Minted, MintError> {
    if prefix.as_str().is_empty() {
        return Err(MintError::NoPrefix);
    }
    // Nothing in the part before the secret is one.
    let head = head(prefix.as_str(), environment, &id).map_err(|Full| RngError)?;
    let text = token_with_tail(rng, head.expose(), SECRET_LEN, &[]).map_err(|error| match error {
        RecipeError::Rng(error) => error,
        // The sizes are fixed and fit.
        _ => RngError,
    })?;
    let proof = KeyText::parse(text.expose()).map(|parts| Proof::of_own(&parts.id, parts.secret));
    Ok(Minted { proof: proof.ok_or(RngError)?, text })
}

/// All before the secret.
fn head(prefix: &str, environment: Environment, id: &Id) -> Result<SecretBytes, Full> {
    let environment: &[u8; ENVIRONMENT_LEN] = match environment {
        Environment::Live => b"live",
        Environment::Test => b"test",
    };
    let mut head = SecretWriter::with_capacity(MAX_TEXT_LEN);
    for part in [prefix.as_bytes(), b"_", environment, b"_", id.as_bytes(), b"_"] {
        head.push(part)?;
    }
    Ok(head.finish())
}
