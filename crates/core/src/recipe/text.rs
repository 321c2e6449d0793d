//! Values that are text without structure: passwords, encoded bytes, UUIDs, passphrases.

use super::RecipeError;
use super::draw::Draws;
use crate::clock::{Rng, RngError};
use crate::secret::{SecretBytes, SecretWriter};

/// The four classes of a password's characters.
///
/// The symbols are the marks that RFC 3986 §2.3 leaves unreserved: they stand in a URL as they are, and no shell,
/// dotenv file, JSON or YAML string needs a quote for them.
const CLASSES: [&[u8]; 4] = [LOWER, UPPER, DIGIT, b"-._~"];
const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGIT: &[u8] = b"0123456789";
const CHARACTERS: &[u8; 66] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";

/// How many passwords may be rejected. Even of the shortest ones a third is accepted, so a generator that gets here
/// is stuck.
const MAX_CANDIDATES: u32 = 1000;

/// The large word list of the Electronic Frontier Foundation (2016), one word a line, in order:
/// <https://www.eff.org/files/2016/07/18/eff_large_wordlist.txt>, there with dice numbers. License: CC BY 3.0 US.
///
/// Four words contain a hyphen; none of their parts but `down` and `shirt` is a word, so two different choices never
/// join to the same passphrase.
const WORDS: &str = include_str!("words.txt");
/// How many [`WORDS`] there are: 6^5.
pub(super) const WORD_COUNT: u16 = 7776;
/// The length of the longest of [`WORDS`], in characters.
pub(super) const LONGEST_WORD: u32 = 9;

/// A password of `length` characters that has each class, and begins with a letter or a digit so that no program
/// takes it for an option or a home directory.
///
/// Whole candidates are drawn evenly and those that break a rule thrown away: what remains is even among all that
/// keep the rules, which putting a digit in by force would not be.
pub(super) fn password(rng: &dyn Rng, prefix: &[u8], length: usize) -> Result<SecretBytes, RecipeError> {
    let mut draws = Draws::new(rng);
    let mut password = SecretBytes::zeroed(prefix.len() + length);
    let (head, body) = password.expose_mut().split_at_mut_checked(prefix.len()).ok_or(RecipeError::Size)?;
    head.copy_from_slice(prefix);
    for _ in 0..MAX_CANDIDATES {
        for place in body.iter_mut() {
            *place = draws.one_of(CHARACTERS)?;
        }
        let starts_well = body.first().is_some_and(u8::is_ascii_alphanumeric);
        if starts_well && CLASSES.iter().all(|class| body.iter().any(|byte| class.contains(byte))) {
            return Ok(password);
        }
    }
    Err(RngError.into())
}

/// log2 of how many passwords of `length` characters keep the rules of [`password`].
///
/// By inclusion and exclusion over the classes that are missing: with `a` letters and digits and `c` characters left
/// there are `a · c^(length - 1)`, counted with a minus when an odd number of classes is missing. The sum is taken
/// relative to all `66^length` strings, which would not fit a float.
pub(super) fn password_entropy(length: u32) -> f64 {
    let all = f64::from(66_u32);
    let tail = f64::from(length.saturating_sub(1));
    let share: f64 = (0_u32..16)
        .map(|missing| {
            let left = |class: u32, size: u32| if missing >> class & 1 == 0 { size } else { 0 };
            let first = left(0, 26) + left(1, 26) + left(2, 10);
            let any = first + left(3, 4);
            let sign = if missing.count_ones() % 2 == 0 { 1.0 } else { -1.0 };
            sign * f64::from(first) / all * (f64::from(any) / all).powf(tail)
        })
        .sum();
    f64::from(length) * all.log2() + share.log2()
}

/// `length` random bytes as text.
pub(super) fn encoded(
    rng: &dyn Rng,
    prefix: &[u8],
    length: usize,
    encoding: &data_encoding::Encoding,
) -> Result<SecretBytes, RecipeError> {
    let mut raw = SecretBytes::zeroed(length);
    rng.fill(raw.expose_mut())?;
    let mut text = SecretBytes::zeroed(prefix.len() + encoding.encode_len(length));
    let (head, body) = text.expose_mut().split_at_mut_checked(prefix.len()).ok_or(RecipeError::Size)?;
    head.copy_from_slice(prefix);
    encoding.encode_mut(raw.expose(), body);
    Ok(text)
}

/// A UUID of version 4: 122 random bits, version and variant in the other six.
pub(super) fn uuid(rng: &dyn Rng) -> Result<SecretBytes, RecipeError> {
    let mut raw = SecretBytes::zeroed(16);
    rng.fill(raw.expose_mut())?;
    if let [_, _, _, _, _, _, version, _, variant, ..] = raw.expose_mut() {
        *version = *version & 0x0F | 0x40;
        *variant = *variant & 0x3F | 0x80;
    }
    let mut digits = SecretBytes::zeroed(32);
    data_encoding::HEXLOWER.encode_mut(raw.expose(), digits.expose_mut());
    let mut text = SecretWriter::with_capacity(36);
    for (place, digit) in digits.expose().iter().enumerate() {
        if matches!(place, 8 | 12 | 16 | 20) {
            text.push(b"-")?;
        }
        text.push(&[*digit])?;
    }
    Ok(text.finish())
}

/// `count` words joined by `-`.
pub(super) fn passphrase(rng: &dyn Rng, count: usize) -> Result<SecretBytes, RecipeError> {
    let mut draws = Draws::new(rng);
    let room = usize::try_from(LONGEST_WORD).map_err(|_| RecipeError::Size)? + 1;
    let mut text = SecretWriter::with_capacity(count * room);
    for place in 0..count {
        if place > 0 {
            text.push(b"-")?;
        }
        let index = draws.below(WORD_COUNT)?;
        text.push(WORDS.lines().nth(usize::from(index)).ok_or(RecipeError::Size)?.as_bytes())?;
    }
    Ok(text.finish())
}

#[cfg(test)]
mod tests {
    use super::super::draw::testing::{Counter, Stuck, even};
    use super::*;
    use std::collections::BTreeSet;

    fn class_of(byte: u8) -> Option<usize> {
        CLASSES.iter().position(|class| class.contains(&byte))
    }

    #[test]
    fn the_alphabet_is_the_four_classes() {
        assert_eq!(CLASSES.concat(), CHARACTERS);
    }

    #[test]
    fn a_password_has_every_class_and_starts_with_a_letter_or_digit() {
        let rng = Counter::new(5);
        for length in [11, 24, 100] {
            for _ in 0..200 {
                let made = password(&rng, b"p_", length);
                let text = made.as_ref().map(SecretBytes::expose).unwrap_or_default();
                let body = text.strip_prefix(b"p_").unwrap_or_default();
                assert_eq!(body.len(), length);
                let classes: BTreeSet<_> = body.iter().map(|byte| class_of(*byte)).collect();
                assert_eq!(classes, (0..4).map(Some).collect());
                assert!(body.first().is_some_and(u8::is_ascii_alphanumeric));
            }
        }
    }

    #[test]
    fn password_characters_are_even_within_a_class_and_classes_over_the_places() {
        // The rules treat the characters of a class alike, and all places but the first.
        const LENGTH: usize = 24;
        let rng = Counter::new(6);
        let mut by_character = [0_u32; 66];
        let mut by_place = [[0_u32; LENGTH]; 4];
        let mut symbol_by_place = [[0_u32; LENGTH]; 4];
        for _ in 0..6000 {
            let made = password(&rng, b"", LENGTH);
            let text = made.as_ref().map(SecretBytes::expose).unwrap_or_default();
            for (place, byte) in text.iter().enumerate() {
                let bump = |count: Option<&mut u32>| count.map(|count| *count += 1).unwrap_or_default();
                let character = CHARACTERS.iter().position(|other| other == byte);
                bump(character.and_then(|character| by_character.get_mut(character)));
                let class = class_of(*byte).and_then(|class| by_place.get_mut(class));
                bump(class.and_then(|places| places.get_mut(place)));
                let symbol = b"-._~".iter().position(|other| other == byte);
                let symbol = symbol.and_then(|symbol| symbol_by_place.get_mut(symbol));
                bump(symbol.and_then(|places| places.get_mut(place)));
            }
        }
        assert_eq!(by_character.iter().sum::<u32>(), 6000 * 24);
        let mut rest = by_character.as_slice();
        for class in CLASSES {
            let (counts, others) = rest.split_at_checked(class.len()).unwrap_or_default();
            assert!(even(counts), "{counts:?}");
            rest = others;
        }
        for places in by_place.iter().chain(&symbol_by_place) {
            let behind_the_first = places.split_first().map(|(_, others)| others).unwrap_or_default();
            assert!(even(behind_the_first), "{places:?}");
        }
        let first_symbols: u32 = by_place.last().and_then(|places| places.first()).copied().unwrap_or(1);
        assert_eq!(first_symbols, 0);
    }

    #[test]
    fn the_stated_entropy_counts_the_passwords_that_keep_the_rules() {
        // Four places: the symbol in one of the last three, the other three classes in any order: 3 · 3! · the sizes.
        let four = f64::from(3 * 6 * 26 * 26 * 10 * 4_u32).log2();
        assert!((password_entropy(4) - four).abs() < 1e-6);
        // Five: one class twice. Symbols twice, in 2 of the last 4 places, or once there and another class twice.
        let twice_symbol = 6 * 6 * 26 * 26 * 10 * 16_u32;
        let once = 4 * 4 * (12 * 26 * 26 * 26 * 10 * 2 + 12 * 26 * 26 * 10 * 10);
        assert!((password_entropy(5) - f64::from(twice_symbol + once).log2()).abs() < 1e-6);
    }

    #[test]
    fn a_stuck_generator_is_an_error_and_not_a_weak_password() {
        assert!(matches!(password(&Stuck(0), b"", 24), Err(RecipeError::Rng(RngError))));
    }

    #[test]
    fn bytes_are_encoded_behind_the_prefix() {
        let encode = |length, encoding: &data_encoding::Encoding| {
            encoded(&Stuck(0xFB), b"x-", length, encoding).map(|text| text.expose().to_vec())
        };
        assert_eq!(encode(3, &data_encoding::HEXLOWER), Ok(b"x-fbfbfb".to_vec()));
        assert_eq!(encode(4, &data_encoding::BASE64), Ok(b"x-+/v7+w==".to_vec()));
        assert_eq!(encode(4, &data_encoding::BASE64URL_NOPAD), Ok(b"x--_v7-w".to_vec()));
    }

    #[test]
    fn a_uuid_says_version_4_and_the_variant() {
        let text = |byte| uuid(&Stuck(byte)).map(|text| text.expose().to_vec());
        assert_eq!(text(0), Ok(b"00000000-0000-4000-8000-000000000000".to_vec()));
        assert_eq!(text(0xFF), Ok(b"ffffffff-ffff-4fff-bfff-ffffffffffff".to_vec()));
    }

    #[test]
    fn the_word_list_is_whole() {
        let words: BTreeSet<&str> = WORDS.lines().collect();
        assert_eq!(WORDS.lines().count(), usize::from(WORD_COUNT));
        assert_eq!(words.len(), usize::from(WORD_COUNT));
        assert_eq!(words.iter().map(|word| word.len()).max(), usize::try_from(LONGEST_WORD).ok());
        assert!(words.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')));
        for word in words.iter().filter(|word| word.contains('-')) {
            assert!(word.split('-').any(|part| !words.contains(part)), "{word}");
        }
    }

    #[test]
    fn a_passphrase_is_words_of_the_list() {
        let rng = Counter::new(7);
        let words: BTreeSet<&str> = WORDS.lines().filter(|word| !word.contains('-')).collect();
        let made = passphrase(&rng, 409);
        let text = made.as_ref().map(SecretBytes::expose).unwrap_or_default();
        assert!(text.len() <= 4096);
        let text = std::str::from_utf8(text).unwrap_or_default();
        assert!(text.split('-').filter(|word| words.contains(word)).count() >= 400);
        assert!(passphrase(&Stuck(0), 2).is_ok_and(|text| text.expose() == b"abacus-abacus"));
    }
}
