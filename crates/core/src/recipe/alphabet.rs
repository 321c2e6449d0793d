//! Sets of characters that a service prescribes for a token or password.

use super::RecipeError;
use super::draw::Draws;
use crate::clock::Rng;
use crate::secret::SecretBytes;

/// The most characters of an alphabet: every visible one of ASCII.
pub const MAX_ALPHABET: usize = 94;

/// The names that stand for a set. The first name of a set is the one that people are shown.
const NAMED: [(&str, &str); 10] = [
    ("digits", "0123456789"),
    ("hex", "0123456789abcdef"),
    ("lower", "abcdefghijklmnopqrstuvwxyz"),
    ("upper", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    ("alpha", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"),
    // RFC 4648 §6.
    ("base32", "234567ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    // Without 0, O, I, and l, which people confuse.
    ("base58", "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"),
    ("base62", "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"),
    ("alnum", "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"),
    (
        "visible",
        "!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~",
    ),
];

/// 2 to [`MAX_ALPHABET`] visible ASCII characters in ascending order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alphabet(String);

impl Alphabet {
    /// Every name, in the order in which people are shown them.
    pub const NAMES: [&str; NAMED.len()] = {
        let mut names = [""; NAMED.len()];
        let mut rest: &[(&str, &str)] = &NAMED;
        let mut left: &mut [&str] = &mut names;
        while let ([(name, _), others @ ..], [place, places @ ..]) = (rest, left) {
            *place = name;
            (rest, left) = (others, places);
        }
        names
    };

    /// The set that the text names, or the set of its characters.
    pub fn parse(text: &str) -> Result<Self, RecipeError> {
        if let Some((_, set)) = NAMED.iter().find(|(name, _)| *name == text) {
            return Ok(Self((*set).to_owned()));
        }
        // A misspelled name would be a set of a few letters.
        if is_like_a_name(text) {
            return Err(RecipeError::AlphabetName);
        }
        let mut bytes = text.as_bytes().to_vec();
        bytes.sort_unstable();
        let sorted = String::from_utf8(bytes).map_err(|_| RecipeError::Alphabet)?;
        Self::of_sorted(&sorted)
    }

    /// The set of these characters, if they are visible ASCII, each once, and in ascending order.
    pub(super) fn of_sorted(set: &str) -> Result<Self, RecipeError> {
        let ascending = set.as_bytes().is_sorted_by(|left, right| left < right);
        let whole = ascending && set.bytes().all(|byte| byte.is_ascii_graphic()) && set.len() >= 2;
        if whole { Ok(Self(set.to_owned())) } else { Err(RecipeError::Alphabet) }
    }

    /// The set's name, or its characters.
    #[must_use]
    pub fn name(&self) -> &str {
        NAMED.iter().find(|(_, set)| *set == self.0).map_or(&self.0, |(name, _)| name)
    }

    #[must_use]
    pub fn characters(&self) -> &str {
        &self.0
    }

    /// The entropy of one character, in bits.
    pub(super) fn bits(&self) -> f64 {
        u32::try_from(self.0.len()).map_or(0.0, f64::from).log2()
    }

    /// The least length that has this many bits.
    pub(super) fn length_for(&self, bits: u32) -> u32 {
        (1..=bits).find(|length| f64::from(*length) * self.bits() >= f64::from(bits)).unwrap_or(bits)
    }

    /// `prefix` and `length` characters, each equally likely.
    pub(super) fn text(
        &self,
        rng: &dyn Rng,
        prefix: &[u8],
        length: usize,
    ) -> Result<SecretBytes, RecipeError> {
        let mut draws = Draws::new(rng);
        let mut text = SecretBytes::zeroed(prefix.len() + length);
        let (head, body) = text.expose_mut().split_at_mut_checked(prefix.len()).ok_or(RecipeError::Size)?;
        head.copy_from_slice(prefix);
        for place in body {
            *place = draws.one_of(self.0.as_bytes())?;
        }
        Ok(text)
    }
}

/// Small letters that are not in the order of a set, and digits behind them: `base36`, `letters`.
fn is_like_a_name(text: &str) -> bool {
    let letters = text.trim_end_matches(|digit: char| digit.is_ascii_digit());
    letters.len() >= 3
        && letters.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
        && !letters.as_bytes().is_sorted()
}

#[cfg(test)]
mod tests {
    use super::super::draw::testing::{Counter, even};
    use super::*;

    #[test]
    fn a_name_stands_for_its_set_and_a_set_is_told_by_its_name() {
        for (name, set) in NAMED {
            let alphabet = Alphabet::parse(name);
            assert_eq!(alphabet, Alphabet::of_sorted(set), "{name}");
            assert!(Alphabet::NAMES.contains(&name));
        }
        let name = |text: &str| Alphabet::parse(text).map(|alphabet| alphabet.name().to_owned());
        assert_eq!(name("alnum"), Ok("base62".to_owned()));
        assert_eq!(name("9876543210fedcba"), Ok("hex".to_owned()));
        assert_eq!(name("cab!"), Ok("!abc".to_owned()));
        assert_eq!(Alphabet::parse("visible").map(|set| set.characters().len()), Ok(MAX_ALPHABET));
    }

    #[test]
    fn a_set_has_two_to_94_different_visible_characters() {
        for bad in ["", "a", "aa", "01210", "a b", "aä", "ab\n", "ab\u{7f}"] {
            assert_eq!(Alphabet::parse(bad), Err(RecipeError::Alphabet), "{bad:?}");
        }
        for unknown in ["base36", "letters", "numeric", "hexa"] {
            assert_eq!(Alphabet::parse(unknown), Err(RecipeError::AlphabetName), "{unknown:?}");
        }
        assert_eq!(Alphabet::of_sorted("ba"), Err(RecipeError::Alphabet));
        assert!(Alphabet::parse("01").is_ok() && Alphabet::parse("abc123").is_ok());
    }

    #[test]
    fn every_character_of_the_set_is_equally_likely_and_no_other_comes() {
        let rng = Counter::new(8);
        for text in ["01", "hex", "digits", "visible"] {
            let Ok(alphabet) = Alphabet::parse(text) else { continue };
            let made = alphabet.text(&rng, b"p-", 4096);
            let body = made.as_ref().map(SecretBytes::expose).unwrap_or_default();
            let body = body.strip_prefix(b"p-").unwrap_or_default();
            let mut counts = vec![0_u32; alphabet.characters().len()];
            for byte in body {
                let place = alphabet.characters().bytes().position(|other| other == *byte);
                place.and_then(|place| counts.get_mut(place)).map(|count| *count += 1).unwrap_or_default();
            }
            assert_eq!(counts.iter().sum::<u32>(), 4096, "{text}");
            assert!(even(&counts), "{text}: {counts:?}");
        }
    }
}
