//! Passphrases of words from the EFF's long list (7,776 words, 12.9 bits each).
//!
//! `words.txt` is "EFF's New Wordlists for Random Passphrases" by the Electronic Frontier Foundation, 2016, under
//! Creative Commons Attribution 3.0 US; the dice numbers were taken out.

use crate::clock::Rng;
use crate::secret::{SecretBytes, SecretWriter};

use super::RecipeError;
use super::draw;

const LIST: &str = include_str!("words.txt");

/// How many words there are: five dice.
pub(super) const COUNT: u16 = 7776;

/// The longest word of the list, in bytes.
const LONGEST_WORD: usize = 9;

pub(super) fn passphrase(count: u32, rng: &dyn Rng) -> Result<SecretBytes, RecipeError> {
    let words: Vec<&str> = LIST.lines().collect();
    let mut passphrase = SecretWriter::with_capacity(count as usize * (LONGEST_WORD + 1));
    for place in 0..count {
        if place > 0 {
            passphrase.push(b"-")?;
        }
        passphrase.push(draw::one_of(&words, rng)?.as_bytes())?;
    }
    Ok(passphrase.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_whole() {
        let mut words: Vec<&str> = LIST.lines().collect();
        assert_eq!(words.len(), usize::from(COUNT));
        assert!(words.iter().all(|word| (3..=LONGEST_WORD).contains(&word.len())));
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), usize::from(COUNT));
    }
}
