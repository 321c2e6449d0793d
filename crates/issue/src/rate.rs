//! Rates by GCRA, the generic cell rate algorithm: the state of a limit is the one moment at which it would be unused again.
//!
//! A request of cost *c* moves that moment *c* × period / count further, and passes if it then lies no further ahead than
//! *burst* requests are worth. So a limit lets `burst` requests pass at once, and on the average `count` in each period,
//! without a window at whose border twice as many would pass. The state is one atomic number.
//!
//! Moments are of a monotonic clock, so no change of the wall clock refunds or withholds anything.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::record::Limit;

/// Parts of a nanosecond in which moments are counted: at ten million requests a second, rounding is a part in 1600.
const PARTS: u64 = 16;
const NANOS_PER_MILLI: u64 = 1_000_000;
/// The furthest that a limit's state lies ahead of now: nine years. It leaves room for as much uptime, and a bit.
const FURTHEST: u64 = 1 << 62;

/// A limit, as it is computed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Parts of a nanosecond that a request of cost 1 takes up, rounded up: rounding never lets more pass.
    interval: u64,
    /// The furthest ahead that the state may lie.
    tolerance: u64,
}

/// The state of one limit for one key or client.
#[derive(Debug, Default)]
pub struct RateCell {
    /// From then on the limit is unused; 0 at the start.
    unused_from: AtomicU64,
    /// The tolerance of the limit that it was last used with; 0 at the start. It decides nothing.
    tolerance: AtomicU64,
}

/// The state of a limit, for headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateState {
    /// Requests of cost 1 that would pass now.
    pub remaining: u64,
    /// Nanoseconds until the limit is unused again.
    pub reset: u64,
}

/// The limit does not let a request pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    pub state: RateState,
    /// Nanoseconds after which it would pass, if nothing else does until then; `None` if it never would, since it costs
    /// more than the burst.
    pub retry_after: Option<u64>,
}

impl Rate {
    #[must_use]
    pub fn of(limit: &Limit) -> Self {
        let period = u128::from(limit.per) * u128::from(NANOS_PER_MILLI * PARTS);
        let interval = period.div_ceil(u128::from(limit.count.max(1))).max(1);
        let interval = u64::try_from(interval).unwrap_or(u64::MAX).min(FURTHEST);
        // A burst that takes longer to be earned is cut: that narrows.
        let tolerance = interval.saturating_mul(u64::from(limit.burst.max(1))).min(FURTHEST);
        Self { interval, tolerance }
    }

    fn state(&self, ahead: u64) -> RateState {
        RateState {
            remaining: self.tolerance.saturating_sub(ahead) / self.interval.max(1),
            reset: ahead.div_ceil(PARTS),
        }
    }
}

/// A moment in parts.
fn parts(ticks: u64) -> u64 {
    ticks.saturating_mul(PARTS).min(FURTHEST)
}

impl RateCell {
    /// A state further ahead than the limit of now allows is one of a limit that was changed since: a slow one's debt would
    /// hold a fast one up for as long. Done once for each change, since threads read the clock at different times and a
    /// late one would give back what an early one has charged.
    fn adopt(&self, rate: &Rate, now: u64) {
        let known = self.tolerance.load(Ordering::Relaxed);
        if known == rate.tolerance {
            return;
        }
        let exchange =
            self.tolerance.compare_exchange(known, rate.tolerance, Ordering::Relaxed, Ordering::Relaxed);
        if exchange.is_ok() && known != 0 {
            self.unused_from.fetch_min(now.saturating_add(rate.tolerance), Ordering::Relaxed);
        }
    }

    /// How far ahead the state lies.
    fn ahead(&self, now: u64) -> u64 {
        self.unused_from.load(Ordering::Relaxed).saturating_sub(now)
    }

    /// Says if a request of `cost` would pass at `ticks`, in nanoseconds of a monotonic clock. Charges nothing.
    pub fn check(&self, rate: &Rate, cost: u32, ticks: u64) -> Result<RateState, Refused> {
        let now = parts(ticks);
        self.adopt(rate, now);
        rate.pass(self.ahead(now), cost).map(|(_, state)| state)
    }

    /// The state without another request.
    #[must_use]
    pub fn state(&self, rate: &Rate, ticks: u64) -> RateState {
        rate.state(self.ahead(parts(ticks)).min(rate.tolerance))
    }

    /// Charges a request, if it passes. Between threads the charges are exact: each is made against all that were before.
    pub fn charge(&self, rate: &Rate, cost: u32, ticks: u64) -> Result<RateState, Refused> {
        let now = parts(ticks);
        self.adopt(rate, now);
        let mut before = self.unused_from.load(Ordering::Relaxed);
        loop {
            let (added, state) = rate.pass(before.saturating_sub(now), cost)?;
            let next = before.max(now).saturating_add(added);
            match self.unused_from.compare_exchange_weak(before, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(state),
                Err(present) => before = present,
            }
        }
    }

    /// Charges a request that passes already, since [`RateCell::check`] said so and its first limit is charged: other threads
    /// may have used this limit up in between. The debt is paid before the next request passes, so the average is
    /// kept, and nothing has to be given back.
    pub fn owe(&self, rate: &Rate, cost: u32, ticks: u64) -> RateState {
        let now = parts(ticks);
        let added = rate.interval.saturating_mul(u64::from(cost));
        let mut before = self.unused_from.load(Ordering::Relaxed);
        loop {
            let next = before.max(now).saturating_add(added);
            match self.unused_from.compare_exchange_weak(before, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return rate.state(next.saturating_sub(now)),
                Err(present) => before = present,
            }
        }
    }

    /// True if the cell says no more than a new one.
    #[must_use]
    pub fn is_unused(&self, ticks: u64) -> bool {
        self.ahead(parts(ticks)) == 0
    }
}

impl Rate {
    /// The increment of a request to a state so far ahead of now, and the state after it.
    fn pass(&self, ahead: u64, cost: u32) -> Result<(u64, RateState), Refused> {
        let added = self.interval.saturating_mul(u64::from(cost));
        let next = ahead.saturating_add(added);
        if next <= self.tolerance || cost == 0 {
            return Ok((added, self.state(next)));
        }
        let ahead = ahead.min(self.tolerance);
        let wait = (added <= self.tolerance).then(|| (ahead + added - self.tolerance).div_ceil(PARTS));
        Err(Refused { state: self.state(ahead), retry_after: wait })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

    use std::sync::atomic::AtomicU32;

    use keyvault_core::name::Label;
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn limit(count: u32, per: u64, burst: u32) -> Limit {
        Limit { name: Label::parse("requests").unwrap(), count, per, burst, cost: 1 }
    }

    /// Requests that pass of `offered` a second in so many seconds.
    fn passed(rate: &Rate, offered: u64, seconds: u64) -> u64 {
        let cell = RateCell::default();
        let start = 77 * SECOND;
        let requests = offered * seconds;
        (0..requests).filter(|n| cell.charge(rate, 1, start + n * SECOND / offered).is_ok()).count() as u64
    }

    #[test]
    fn a_rate_is_exact_to_half_a_percent_over_five_seconds() {
        for count in [1, 3, 999, 30_000, 99_991, 100_000, 1_000_000] {
            // The first burst comes on top.
            let burst = (count / 1000).max(1);
            let got = passed(&Rate::of(&limit(count, 1000, burst)), 200_000, 5);
            let expected = u64::from(count).min(200_000) * 5;
            let wrong = got.abs_diff(expected);
            assert!(wrong <= u64::from(burst) || wrong * 200 <= expected, "{count}/s: {got} of {expected}");
        }
        let minutely = passed(&Rate::of(&limit(6_000_000, 60_000, 100)), 200_000, 5);
        assert!((497_500..=502_500).contains(&minutely), "{minutely}");
    }

    #[test]
    fn a_rate_is_exact_with_several_threads() {
        let rate = Rate::of(&limit(100_000, 1000, 100));
        let (cell, tick, passed) = (RateCell::default(), AtomicU64::new(SECOND), AtomicU32::new(0));
        // 200,000 requests a second for five seconds, by a clock that all threads move on.
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..250_000 {
                        let now = tick.fetch_add(5_000, Ordering::Relaxed);
                        if cell.charge(&rate, 1, now).is_ok() {
                            passed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let passed = passed.into_inner();
        assert!((497_500..=500_101).contains(&passed), "{passed}");
    }

    #[test]
    fn one_burst_passes_at_once_however_many_threads_ask() {
        let rate = Rate::of(&limit(1, 1000, 1000));
        let (cell, passed) = (RateCell::default(), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        if cell.charge(&rate, 1, SECOND).is_ok() {
                            passed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(passed.into_inner(), 1000);
    }

    #[test]
    fn a_refused_request_costs_nothing_and_passes_after_the_time_that_it_was_told() {
        let rate = Rate::of(&limit(10, 1000, 5));
        let cell = RateCell::default();
        let full = cell.charge(&rate, 5, SECOND).unwrap();
        assert_eq!(full, RateState { remaining: 0, reset: SECOND / 2 });
        for _ in 0..100 {
            let refused = cell.charge(&rate, 2, SECOND).unwrap_err();
            assert_eq!(refused.retry_after, Some(SECOND / 5));
            assert_eq!(refused.state, full);
        }
        let again = SECOND + SECOND / 5;
        assert!(cell.check(&rate, 2, again - 1).is_err());
        assert_eq!(cell.check(&rate, 2, again), cell.charge(&rate, 2, again));
        assert_eq!(cell.charge(&rate, 6, 9 * SECOND).unwrap_err().retry_after, None, "more than the burst");
        assert!(cell.is_unused(9 * SECOND));
        assert_eq!(cell.charge(&rate, 0, again).map(|state| state.remaining), Ok(0), "no cost, no charge");
    }

    #[test]
    fn a_limit_that_became_faster_does_not_wait_for_the_debt_of_the_slow_one() {
        let (slow, fast) = (Rate::of(&limit(1, 86_400_000, 10)), Rate::of(&limit(10, 1000, 10)));
        let cell = RateCell::default();
        cell.charge(&slow, 10, SECOND).unwrap();
        assert_eq!(cell.charge(&fast, 1, SECOND).unwrap_err().retry_after, Some(SECOND / 10));
        assert!(cell.charge(&fast, 1, SECOND + SECOND / 10).is_ok());
        assert!(cell.charge(&fast, 1, SECOND + SECOND / 10).is_err(), "and does not begin with a new burst");
    }

    #[test]
    fn a_debt_is_paid_before_the_next_request_passes() {
        let rate = Rate::of(&limit(10, 1000, 1));
        let cell = RateCell::default();
        for _ in 0..3 {
            cell.owe(&rate, 1, SECOND);
        }
        assert!(cell.charge(&rate, 1, SECOND + 3 * SECOND / 10 - 1).is_err());
        assert!(cell.charge(&rate, 1, SECOND + 3 * SECOND / 10).is_ok());
    }

    #[test]
    fn limits_at_the_ends_of_their_range_neither_overflow_nor_let_more_pass() {
        let slowest = Rate::of(&limit(1, u64::MAX, u32::MAX));
        let cell = RateCell::default();
        assert!(cell.charge(&slowest, 1, SECOND).is_ok());
        assert!(cell.charge(&slowest, 1, SECOND).is_err());
        let fastest = Rate::of(&limit(u32::MAX, 1, 1));
        let cell = RateCell::default();
        assert!(cell.charge(&fastest, 1, SECOND).is_ok());
        assert!(cell.charge(&fastest, u32::MAX, u64::MAX).is_err());
        assert!(cell.charge(&slowest, 1, u64::MAX).is_ok());
    }

    proptest! {
        #[test]
        fn in_no_interval_more_passes_than_burst_and_rate_allow(
            count in 1..50_u32, per in 1..5_000_u64, burst in 1..20_u32,
            requests in prop::collection::vec((0..200_000_000_u64, 1..4_u32), 1..60),
        ) {
            let rate = Rate::of(&limit(count, per, burst));
            let cell = RateCell::default();
            let (mut now, mut taken) = (SECOND, Vec::new());
            for (step, cost) in requests {
                now += step;
                if cell.charge(&rate, cost, now).is_ok() {
                    taken.push((now, u128::from(cost)));
                }
            }
            for (at, (first, _)) in taken.iter().enumerate() {
                let mut sum = 0;
                for (last, cost) in taken.iter().skip(at) {
                    sum += cost;
                    let earned = u128::from(last - first) * u128::from(count);
                    let allowed = u128::from(burst) + earned / (u128::from(per) * 1_000_000);
                    prop_assert!(sum <= allowed);
                }
            }
        }
    }
}
