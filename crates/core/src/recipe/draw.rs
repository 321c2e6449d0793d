//! Even choices from random bytes. `word % bound` alone would favor small numbers; what lies beyond the last whole
//! multiple of the bound is therefore thrown away and drawn again.

use super::RecipeError;
use crate::clock::{Rng, RngError};
use crate::secret::SecretBytes;

/// How many random bytes are fetched at once.
const POOL: usize = 128;

/// How often a draw may be rejected. The chance is below one half each time, so a generator that gets here is stuck.
const MAX_REJECTIONS: u32 = 128;

/// Random choices, drawn from a pool that is wiped with them.
pub(super) struct Draws<'a> {
    rng: &'a dyn Rng,
    pool: SecretBytes,
    used: usize,
}

impl<'a> Draws<'a> {
    pub(super) fn new(rng: &'a dyn Rng) -> Self {
        Self { rng, pool: SecretBytes::zeroed(POOL), used: POOL }
    }

    /// A number below `bound`, each equally likely.
    pub(super) fn below(&mut self, bound: u16) -> Result<u16, RecipeError> {
        // How many of the 65,536 words lie beyond the last whole multiple of the bound.
        let excess = (u16::MAX % bound.max(1) + 1) % bound.max(1);
        for _ in 0..MAX_REJECTIONS {
            let word = self.word()?;
            if word <= u16::MAX - excess {
                return word.checked_rem(bound).ok_or(RecipeError::Size);
            }
        }
        Err(RngError.into())
    }

    /// One of `choices`, each equally likely.
    pub(super) fn one_of(&mut self, choices: &[u8]) -> Result<u8, RecipeError> {
        let bound = u16::try_from(choices.len()).map_err(|_| RecipeError::Size)?;
        let index = self.below(bound)?;
        choices.get(usize::from(index)).copied().ok_or(RecipeError::Size)
    }

    fn word(&mut self) -> Result<u16, RecipeError> {
        if self.used >= POOL {
            self.rng.fill(self.pool.expose_mut())?;
            self.used = 0;
        }
        let rest = self.pool.expose().get(self.used..).unwrap_or_default();
        let word = rest.first_chunk::<2>().ok_or(RecipeError::Size)?;
        self.used += 2;
        Ok(u16::from_le_bytes(*word))
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::{Rng, RngError};
    use std::sync::atomic::AtomicU64;
    use std::sync::atomic::Ordering::Relaxed;

    /// `SplitMix64` over a counter: even, repeatable, and nowhere but in tests.
    pub(in crate::recipe) struct Counter(AtomicU64);

    impl Counter {
        pub(in crate::recipe) fn new(seed: u64) -> Self {
            Self(AtomicU64::new(seed))
        }
    }

    impl Rng for Counter {
        fn fill(&self, target: &mut [u8]) -> Result<(), RngError> {
            for piece in target.chunks_mut(8) {
                const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
                let mut mixed = self.0.fetch_add(STEP, Relaxed).wrapping_add(STEP);
                mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
                mixed ^= mixed >> 31;
                piece.iter_mut().zip(mixed.to_le_bytes()).for_each(|(to, from)| *to = from);
            }
            Ok(())
        }
    }

    /// Draws one byte for ever.
    pub(in crate::recipe) struct Stuck(pub(in crate::recipe) u8);

    impl Rng for Stuck {
        fn fill(&self, target: &mut [u8]) -> Result<(), RngError> {
            target.fill(self.0);
            Ok(())
        }
    }

    /// Returns `true` if counts that should be equal are, by a chi-square test.
    ///
    /// The bound is the statistic's mean plus five standard deviations: an even draw exceeds it about once in a
    /// hundred thousand seeds, and the seeds here are fixed.
    pub(in crate::recipe) fn even(counts: &[u32]) -> bool {
        let cells = f64::from(u32::try_from(counts.len()).unwrap_or(u32::MAX));
        let mean = counts.iter().copied().map(f64::from).sum::<f64>() / cells;
        let statistic: f64 = counts.iter().map(|count| (f64::from(*count) - mean).powi(2) / mean).sum();
        let freedom = cells - 1.0;
        mean >= 5.0 && statistic < freedom + 5.0 * (2.0 * freedom).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{Counter, Stuck, even};
    use super::*;

    #[test]
    fn every_number_below_the_bound_is_equally_likely() {
        let rng = Counter::new(1);
        let mut draws = Draws::new(&rng);
        for bound in [1_u16, 2, 10, 62, 66, 7776, 40_000] {
            let mut counts = vec![0_u32; usize::from(bound)];
            for _ in 0..u32::from(bound) * 20 {
                let number = draws.below(bound).ok();
                if let Some(count) = number.and_then(|number| counts.get_mut(usize::from(number))) {
                    *count += 1;
                }
            }
            assert_eq!(counts.iter().sum::<u32>(), u32::from(bound) * 20, "{bound}");
            assert!(bound == 1 || even(&counts), "{bound}");
        }
    }

    #[test]
    fn what_lies_beyond_the_last_whole_multiple_is_rejected() {
        assert_eq!(Draws::new(&Stuck(0xFF)).below(62), Err(RecipeError::Rng(RngError)));
        assert_eq!(Draws::new(&Stuck(0xFF)).below(64), Ok(63));
        assert_eq!(Draws::new(&Stuck(0)).below(62), Ok(0));
        assert_eq!(Draws::new(&Stuck(0)).below(0), Err(RecipeError::Size));
    }
}
