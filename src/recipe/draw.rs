//! Uniform draws, and the kinds that are little more than one.

use data_encoding::Encoding;

use crate::clock::{Rng, RngError};
use crate::secret::{SecretBytes, SecretWriter};

use super::RecipeError;

const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &[u8] = b"0123456789";
/// Symbols that need no quoting in a shell word, a URL's password part or a dotenv file.
const SYMBOLS: &[u8] = b"-_.+,:@%^~=";
const CLASSES: [&[u8]; 4] = [LOWER, UPPER, DIGITS, SYMBOLS];

/// A number from 0 to `bound` − 1, each as likely: draws that would favour the low ones are thrown away.
pub(super) fn below(bound: u16, rng: &dyn Rng) -> Result<u16, RngError> {
    let span = u32::from(u16::MAX) + 1;
    let fair = span - span % u32::from(bound.max(1));
    loop {
        let mut bytes = zeroize::Zeroizing::new([0; 2]);
        rng.fill(&mut *bytes)?;
        let draw = u16::from_le_bytes(*bytes);
        if u32::from(draw) < fair {
            return Ok(draw % bound.max(1));
        }
    }
}

/// One element of a list of at most 65,535.
pub(super) fn one_of<'l, T>(list: &'l [T], rng: &dyn Rng) -> Result<&'l T, RngError> {
    let bound = u16::try_from(list.len()).map_err(|_| RngError)?;
    list.get(usize::from(below(bound, rng)?)).ok_or(RngError)
}

/// A password with every class in it: whole candidates are drawn and thrown away until one has them all, so every
/// password with that property is as likely as every other.
pub(super) fn password(length: u32, rng: &dyn Rng) -> Result<SecretBytes, RecipeError> {
    let alphabet = CLASSES.concat();
    loop {
        let mut candidate = SecretWriter::with_capacity(length as usize);
        for _ in 0..length {
            candidate.push(&[*one_of(&alphabet, rng)?])?;
        }
        let candidate = candidate.finish();
        let has = |class: &&[u8]| candidate.expose().iter().any(|byte| class.contains(byte));
        if CLASSES.iter().all(has) {
            return Ok(candidate);
        }
    }
}

/// log2 of how many passwords of that length have every class, by inclusion and exclusion over the classes left out.
pub(super) fn password_bits(length: u32) -> f64 {
    let total: usize = CLASSES.iter().map(|class| class.len()).sum();
    let share: f64 = (0_u32..16)
        .map(|left_out| {
            let missing: usize = CLASSES
                .iter()
                .enumerate()
                .filter(|(place, _)| left_out >> place & 1 == 1)
                .map(|(_, class)| class.len())
                .sum();
            #[allow(clippy::cast_precision_loss, reason = "both are below 100")]
            let ratio = (total - missing) as f64 / total as f64;
            let sign = if left_out.count_ones() % 2 == 0 { 1.0 } else { -1.0 };
            sign * ratio.powf(f64::from(length))
        })
        .sum();
    #[allow(clippy::cast_precision_loss, reason = "below 100")]
    let whole = f64::from(length) * (total as f64).log2();
    // A length below four has no such password at all.
    if share > 0.0 { whole + share.log2() } else { 0.0 }
}

/// `length` random bytes in an encoding.
pub(super) fn encoded(
    prefix: &str,
    length: u32,
    encoding: &Encoding,
    rng: &dyn Rng,
) -> Result<SecretBytes, RecipeError> {
    let mut bytes = SecretBytes::zeroed(length as usize);
    rng.fill(bytes.expose_mut())?;
    let mut text = SecretBytes::zeroed(encoding.encode_len(bytes.len()));
    encoding.encode_mut(bytes.expose(), text.expose_mut());
    let mut value = SecretWriter::with_capacity(prefix.len() + text.len());
    value.push(prefix.as_bytes())?;
    value.push(text.expose())?;
    Ok(value.finish())
}

/// RFC 9562 §5.4: version 4 and variant 10 over 122 random bits.
pub(super) fn uuid(prefix: &str, rng: &dyn Rng) -> Result<SecretBytes, RecipeError> {
    let mut bytes = zeroize::Zeroizing::new([0_u8; 16]);
    rng.fill(&mut *bytes)?;
    let [.., version, _, variant, _, _, _, _, _, _, _] = &mut *bytes;
    *version = *version & 0x0F | 0x40;
    *variant = *variant & 0x3F | 0x80;
    let mut hex = SecretBytes::zeroed(32);
    data_encoding::HEXLOWER.encode_mut(&*bytes, hex.expose_mut());
    let mut value = SecretWriter::with_capacity(prefix.len() + 36);
    value.push(prefix.as_bytes())?;
    let mut rest = hex.expose();
    for (place, width) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        let (group, after) = rest.split_at_checked(width).ok_or(RecipeError::KeyPair)?;
        if place > 0 {
            value.push(b"-")?;
        }
        value.push(group)?;
        rest = after;
    }
    Ok(value.finish())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A fixed sequence (splitmix64), so that a statistical test gives one answer.
    struct Sequence(Cell<u64>);

    impl Rng for Sequence {
        fn fill(&self, target: &mut [u8]) -> Result<(), RngError> {
            for byte in target {
                self.0.set(self.0.get().wrapping_add(0x9E37_79B9_7F4A_7C15));
                let mut mixed = self.0.get();
                mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
                *byte = (mixed ^ mixed >> 31).to_le_bytes().first().copied().unwrap_or(0);
            }
            Ok(())
        }
    }

    #[test]
    fn draws_are_even_by_chi_square() -> Result<(), RngError> {
        let rng = Sequence(Cell::new(1));
        for bound in [3_u16, 62, 73, 7776] {
            let draws = u32::from(bound) * 100;
            let mut counts = vec![0_u32; usize::from(bound)];
            for _ in 0..draws {
                if let Some(count) = counts.get_mut(usize::from(below(bound, &rng)?)) {
                    *count += 1;
                }
            }
            let chi: f64 = counts.iter().map(|count| (f64::from(*count) - 100.0).powi(2) / 100.0).sum();
            let freedom = f64::from(bound) - 1.0;
            // Within four standard deviations of its mean.
            assert!((chi - freedom).abs() < 4.0 * (2.0 * freedom).sqrt(), "{bound}: {chi}");
        }
        Ok(())
    }

    #[test]
    fn passwords_have_every_class_and_no_bias_at_any_place() -> Result<(), RecipeError> {
        let rng = Sequence(Cell::new(2));
        let alphabet = CLASSES.concat();
        let mut counts = vec![vec![0_u32; alphabet.len()]; 24];
        for _ in 0..7300 {
            let password = password(24, &rng)?;
            for class in CLASSES {
                assert!(password.expose().iter().any(|byte| class.contains(byte)));
            }
            for (place, byte) in password.expose().iter().enumerate() {
                let symbol = alphabet.iter().position(|known| known == byte);
                let count = counts.get_mut(place).zip(symbol).and_then(|(row, symbol)| row.get_mut(symbol));
                if let Some(count) = count {
                    *count += 1;
                }
            }
        }
        // Having every class favours the small classes a little, everywhere alike; so places are compared with each
        // other: each symbol's count at each place against its mean over the places.
        let mut chi = 0.0;
        for symbol in 0..alphabet.len() {
            let column: Vec<f64> =
                counts.iter().filter_map(|row| row.get(symbol)).map(|count| f64::from(*count)).collect();
            let mean = column.iter().sum::<f64>() / 24.0;
            chi += column.iter().map(|count| (count - mean).powi(2) / mean).sum::<f64>();
        }
        let freedom = 72.0 * 23.0;
        assert!((chi - freedom).abs() < 4.0 * f64::sqrt(2.0 * freedom), "{chi}");
        Ok(())
    }

    #[test]
    fn a_uuid_says_its_version_and_variant() {
        let text = uuid("", &Sequence(Cell::new(3))).map(|uuid| uuid.expose().to_vec()).unwrap_or_default();
        assert_eq!(text.len(), 36);
        assert_eq!(text.get(14), Some(&b'4'));
        assert!(text.get(19).is_some_and(|byte| b"89ab".contains(byte)));
    }
}
