//! From a passphrase to a key: Argon2id (RFC 9106), at a cost that is measured when the vault is made and bounded
//! when it is read.

use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::Zeroize;

use super::key::{KEY_LEN, SealingKey};

/// The cost of one derivation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    pub passes: u32,
    pub lanes: u32,
}

/// A cost outside what is ever accepted: below it a stolen file is cheap to guess at, above it the file is an
/// attack on whoever opens it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Argon2id cost out of bounds: {0:?}")]
pub struct CostError(pub Cost);

/// Why no key could be derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KdfError {
    /// The memory that the cost asks for is not to be had.
    #[error("{memory_kib} KiB of memory are not available")]
    Memory { memory_kib: u32 },
    /// The primitive refused its input.
    #[error("Argon2id refused its input")]
    Refused,
}

impl Cost {
    /// The cheapest that is accepted, and what tests use: OWASP's 19 MiB floor.
    pub const FLOOR: Self = Self { memory_kib: 19 * 1024, passes: 1, lanes: 1 };

    /// The dearest that is accepted.
    pub const CEILING: Self = Self { memory_kib: 1024 * 1024, passes: 10, lanes: 8 };

    /// Checked before any memory is taken.
    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, CostError> {
        let cost = Self { memory_kib, passes, lanes };
        let (floor, ceiling) = (Self::FLOOR, Self::CEILING);
        let within = (floor.memory_kib..=ceiling.memory_kib).contains(&memory_kib)
            && (floor.passes..=ceiling.passes).contains(&passes)
            && (floor.lanes..=ceiling.lanes).contains(&lanes);
        if within { Ok(cost) } else { Err(CostError(cost)) }
    }

    /// The time that a derivation takes, as the KiB that it passes over. Lanes do not count: they are filled one after
    /// another.
    #[must_use]
    pub const fn work(self) -> u64 {
        self.memory_kib as u64 * self.passes as u64
    }
}

/// Argon2id version 1.3 over `secret` and `salt`, in memory of our own that is wiped afterwards.
pub fn argon2id(secret: &[u8], salt: &[u8], cost: Cost) -> Result<SealingKey, KdfError> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(KEY_LEN))
        .map_err(|_| KdfError::Refused)?;
    let mut memory = Memory::of(params.block_count(), cost)?;
    let mut out = [0; KEY_LEN];
    let derived = Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into_with_memory(
        secret,
        salt,
        &mut out,
        &mut memory.0,
    );
    let key = SealingKey::from_bytes(&out);
    out.zeroize();
    derived.ok().and(key).ok_or(KdfError::Refused)
}

/// A cost that takes this machine 250 to 500 ms.
///
/// 64 MiB to begin with, so that the vault opens on a small runner too; passes are raised first (3 to 10), and only
/// a machine that is still too fast gets more memory, up to 256 MiB.
#[must_use]
pub fn calibrate() -> Cost {
    calibrate_by(time_of_passes)
}

/// The cost for a machine on which one pass over so many KiB takes `time_of_pass`.
fn calibrate_by(time_of_pass: impl Fn(u32) -> Duration) -> Cost {
    const AIM: Duration = Duration::from_millis(420);
    let mut memory_kib = 64 * 1024;
    loop {
        let per_pass = time_of_pass(memory_kib);
        let wanted = AIM.as_secs_f64() / per_pass.as_secs_f64().max(0.001);
        let passes = (3..=10).rev().find(|passes| f64::from(*passes) <= wanted).unwrap_or(3);
        let too_fast = per_pass * passes < Duration::from_millis(250);
        if !too_fast || memory_kib >= 256 * 1024 {
            return Cost { memory_kib, passes, lanes: 1 };
        }
        memory_kib *= 2;
    }
}

/// The time of one pass, from the faster of two runs, because the first one also pays for the pages.
fn time_of_passes(memory_kib: u32) -> Duration {
    const PASSES: u32 = 2;
    let cost = Cost { memory_kib, passes: PASSES, lanes: 1 };
    let run = || {
        let begun = Instant::now();
        let _ = argon2id(b"calibration", b"calibration salt", cost);
        begun.elapsed()
    };
    run().min(run()) / PASSES
}

struct Memory(Vec<Block>);

impl Memory {
    fn of(blocks: usize, cost: Cost) -> Result<Self, KdfError> {
        let mut memory = Vec::new();
        memory.try_reserve_exact(blocks).map_err(|_| KdfError::Memory { memory_kib: cost.memory_kib })?;
        memory.resize(blocks, Block::new());
        Ok(Self(memory))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(Zeroize::zeroize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_5_a_hostile_cost_is_refused_before_the_work() {
        for (memory, passes, lanes) in
            [(u32::MAX, 3, 1), (1024, 3, 1), (65536, 11, 1), (65536, 0, 1), (65536, 3, 9), (65536, 3, 0)]
        {
            assert!(Cost::new(memory, passes, lanes).is_err(), "{memory} {passes} {lanes}");
        }
        assert!(Cost::new(19 * 1024, 1, 1).is_ok() && Cost::new(1024 * 1024, 10, 8).is_ok());
    }

    /// On a machine that takes so many microseconds for a pass over 64 MiB.
    fn calibrated(micros: u64) -> (u32, u32, Duration) {
        let time = |memory_kib: u32| Duration::from_micros(micros) * (memory_kib / (64 * 1024));
        let cost = calibrate_by(time);
        (cost.memory_kib / 1024, cost.passes, time(cost.memory_kib) * cost.passes)
    }

    #[test]
    fn passes_are_raised_first_and_memory_only_on_a_machine_that_is_still_too_fast() {
        let millis = |(memory, passes, took): (u32, u32, Duration)| (memory, passes, took.as_millis());
        // As many passes as fit into 420 ms, at least three.
        assert_eq!(millis(calibrated(1_000_000)), (64, 3, 3000));
        assert_eq!(millis(calibrated(139_990)), (64, 3, 419));
        assert_eq!(millis(calibrated(105_010)), (64, 3, 315));
        assert_eq!(millis(calibrated(104_990)), (64, 4, 419));
        assert_eq!(millis(calibrated(41_990)), (64, 10, 419));
        // Ten passes are enough at 250 ms and not below.
        assert_eq!(millis(calibrated(25_000)), (64, 10, 250));
        assert_eq!(millis(calibrated(24_999)), (128, 8, 399));
        assert_eq!(millis(calibrated(12_499)), (256, 8, 399));
        // 256 MiB is the most, whatever the machine.
        assert_eq!(millis(calibrated(1_000)), (256, 10, 40));
        assert_eq!(millis(calibrated(0)), (256, 10, 0));
    }

    #[test]
    fn a_pass_is_timed_and_not_made_up() {
        let small = time_of_passes(19 * 1024);
        assert!(small > Duration::from_micros(100) && small < Duration::from_secs(60), "{small:?}");
    }
}
