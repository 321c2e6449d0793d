//! Time and chance as arguments, so that a test decides both. The shipped program has no way to fix either: its `main`
//! names [`SystemClock`]. The program that the tests run is another one, `tests/program/test_clock.rs`.

use std::time::{SystemTime, UNIX_EPOCH};

use borsh::{BorshDeserialize, BorshSerialize};

/// A moment: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Moment(pub i64);

impl Moment {
    /// The moment `millis` later, at the end of time at the latest.
    #[must_use]
    pub fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// The present moment by the wall clock.
    fn now(&self) -> Moment;
}

/// The system's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        let millis = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        };
        Moment(millis)
    }
}

/// The system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("The system returned no random bytes.")]
pub struct RngError;

/// Where random bytes come from. The one for real use is [`crate::crypto::SystemRng`].
pub trait Rng: Send + Sync {
    /// Fills `target` with random bytes.
    fn fill(&self, target: &mut [u8]) -> Result<(), RngError>;
}
