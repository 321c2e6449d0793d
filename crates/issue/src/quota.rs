//! Quotas in days and months of UTC.
//!
//! *Used* is what a store keeps; *remaining* follows from it, so a changed amount holds at once. A verifier reserves ahead: the
//! store writes down a block as used before a request is counted from it. A verifier that is killed loses the rest of its
//! block and never grants a request twice, and verifiers that share a store share the quota.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use keyvault_core::clock::Moment;

use crate::record::{Id, Period};
use crate::standing::Counter;

const MILLIS_PER_DAY: i64 = 86_400_000;

/// One day or month. Later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// Milliseconds since 1970, as a [`Moment`].
    begin: i64,
    end: i64,
}

/// A quota of a key or a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QuotaOf {
    /// The key or the client.
    pub owner: Id,
    pub counter: Counter,
    pub period: Period,
}

/// A verifier's wish for a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    pub quota: QuotaOf,
    pub window: Window,
    /// The whole quota, as the records have it now.
    pub amount: u64,
    /// As much as the request at hand needs.
    pub least: u64,
    /// As much as is wished for, at least `least`.
    pub block: u64,
}

/// The answer of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserved {
    /// Written down as used: from `from` up to `to` of the quota, for whoever asked alone.
    Granted { window: Window, from: u64, to: u64 },
    /// Less than `least` is left; so much is used.
    UsedUp { window: Window, used: u64 },
    /// It is being written down. The caller asks again after the store has said so in its own way.
    Pending,
    /// The store cannot write.
    Failed,
}

/// The store of usage, in a file or on a network.
///
/// It keeps *used* for each quota and window. It never answers with a window before one that it granted from: a clock that
/// was set back refunds nothing, so a wish for an earlier window is answered from the later one.
pub trait UsageStore: Send + Sync {
    /// Reserves a block, durably, before it answers [`Reserved::Granted`]. It does not wait longer than its caller may:
    /// one that writes in groups answers [`Reserved::Pending`]. The same wish may come again until then, and means one block.
    fn reserve(&self, ask: &Ask) -> Reserved;
}

/// The rest of a block that was not used, for a store to take back when a verifier stops in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unused {
    pub quota: QuotaOf,
    pub window: Window,
    /// The end of the block.
    pub to: u64,
    pub left: u64,
}

impl Window {
    /// The day or month that has `now`.
    #[must_use]
    pub fn of(period: Period, now: Moment) -> Self {
        Self::anchored(period, 1, now)
    }

    /// The day that has `now`, or the month that begins on a day of the month: the last day of those that are too short. A
    /// month from the 31st on begins on January 31st, February 28th or 29th, March 31st, April 30th.
    #[must_use]
    pub fn anchored(period: Period, day: u8, now: Moment) -> Self {
        let today = now.0.div_euclid(MILLIS_PER_DAY);
        let (begin, end) = match period {
            Period::Day => (today, today + 1),
            Period::Month => {
                let (year, month, _) = civil(today);
                let this = begin_of_month(year, month, day);
                if this <= today {
                    let (year, month) = next_month(year, month);
                    (this, begin_of_month(year, month, day))
                } else {
                    let (year, month) = month_before(year, month);
                    (begin_of_month(year, month, day), this)
                }
            }
        };
        Self { begin: begin.saturating_mul(MILLIS_PER_DAY), end: end.saturating_mul(MILLIS_PER_DAY) }
    }

    #[must_use]
    pub fn begin(&self) -> Moment {
        Moment(self.begin)
    }

    /// The first moment that is not in it.
    #[must_use]
    pub fn end(&self) -> Moment {
        Moment(self.end)
    }
}

fn next_month(year: i64, month: u8) -> (i64, u8) {
    if month == 12 { (year + 1, 1) } else { (year, month + 1) }
}

fn month_before(year: i64, month: u8) -> (i64, u8) {
    if month == 1 { (year - 1, 12) } else { (year, month - 1) }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: u8) -> u8 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn begin_of_month(year: i64, month: u8, day: u8) -> i64 {
    days_of(year, month, day.clamp(1, days_in(year, month)))
}

/// Days from 1970-01-01 in the Gregorian calendar: Howard Hinnant's `days_from_civil`. A year begins in March there, so
/// that the leap day is its last.
fn days_of(year: i64, month: u8, day: u8) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let from_march = i64::from((month + 9) % 12);
    let of_year = (153 * from_march + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month, and day: Hinnant's `civil_from_days`.
fn civil(days: i64) -> (i64, u8, u8) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let small = |number: i64| u8::try_from(number).unwrap_or(1);
    (year + era * 400 + i64::from(month <= 2), small(month), small(day))
}

/// A verifier's part of one quota: the block that it may still count from.
#[derive(Debug, Default)]
pub(crate) struct QuotaCell {
    window: Option<Window>,
    left: u64,
    to: u64,
}

/// The reason why a request is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotCounted {
    UsedUp,
    Pending,
    Failed,
}

impl QuotaCell {
    /// Sees to it that the block has room for a request. Counts nothing.
    pub(crate) fn make_room(
        &mut self,
        store: &dyn UsageStore,
        quota: QuotaOf,
        (amount, cost): (u64, u64),
        now: Moment,
    ) -> Result<(), NotCounted> {
        let window = Window::of(quota.period, now);
        // A clock that was set back goes on in the later window.
        let window = self.window.map_or(window, |known| known.max(window));
        self.enter(window);
        if self.used().saturating_add(cost) > amount {
            return Err(NotCounted::UsedUp);
        }
        if self.left >= cost {
            return Ok(());
        }
        let least = cost - self.left;
        let ask = Ask { quota, window, amount, least, block: block(amount).max(least) };
        match store.reserve(&ask) {
            Reserved::Granted { window, from, to } => {
                self.enter(window);
                self.left = self.left.saturating_add(to.saturating_sub(from));
                self.to = self.to.max(to);
                if self.left < cost {
                    return Err(NotCounted::UsedUp);
                }
                Ok(())
            }
            Reserved::UsedUp { window, used } => {
                self.enter(window);
                self.to = self.to.max(used);
                Err(NotCounted::UsedUp)
            }
            Reserved::Pending => Err(NotCounted::Pending),
            Reserved::Failed => Err(NotCounted::Failed),
        }
    }

    /// The rest of a block counts in its own window only.
    fn enter(&mut self, window: Window) {
        if self.window != Some(window) {
            *self = Self { window: Some(window), left: 0, to: 0 };
        }
    }

    /// Counts a request that there is room for.
    pub(crate) fn count(&mut self, cost: u64) {
        self.left = self.left.saturating_sub(cost);
    }

    /// As far as this verifier knows: others may have used more since it reserved.
    pub(crate) fn used(&self) -> u64 {
        self.to.saturating_sub(self.left)
    }

    pub(crate) fn window(&self) -> Option<Window> {
        self.window
    }

    pub(crate) fn take_unused(&mut self, quota: QuotaOf) -> Option<Unused> {
        let window = self.window.filter(|_| self.left > 0)?;
        let unused = Unused { quota, window, to: self.to, left: self.left };
        *self = Self::default();
        Some(unused)
    }
}

/// A thousandth of a quota is the most that a killed verifier loses of it. Below 1000 each request waits for the store.
fn block(amount: u64) -> u64 {
    (amount / 1000).max(1)
}

/// A store in memory: for one process that keeps nothing, and for tests of several verifiers.
#[derive(Debug, Default)]
pub struct InMemory(Mutex<HashMap<QuotaOf, (Window, u64)>>);

impl InMemory {
    /// The latest window of a quota, and how much of it is used or reserved.
    #[must_use]
    pub fn used(&self, quota: &QuotaOf) -> Option<(Window, u64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(quota).copied()
    }

    /// Takes the rest of a block back, if it is the last one that was reserved.
    pub fn take_back(&self, unused: &Unused) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((window, used)) = all.get_mut(&unused.quota)
            && (*window, *used) == (unused.window, unused.to)
        {
            *used = used.saturating_sub(unused.left);
        }
    }
}

impl UsageStore for InMemory {
    fn reserve(&self, ask: &Ask) -> Reserved {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = all.entry(ask.quota).or_insert((ask.window, 0));
        if place.0 < ask.window {
            *place = (ask.window, 0);
        }
        let (window, from) = *place;
        let free = ask.amount.saturating_sub(from);
        if free < ask.least {
            return Reserved::UsedUp { window, used: from };
        }
        place.1 = from.saturating_add(ask.block.min(free));
        Reserved::Granted { window, from, to: place.1 }
    }
}

impl<T: UsageStore + ?Sized> UsageStore for Arc<T> {
    fn reserve(&self, ask: &Ask) -> Reserved {
        (**self).reserve(ask)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail")]

    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600_000;

    fn day(year: i64, month: u8, day: u8) -> Moment {
        Moment(days_of(year, month, day) * MILLIS_PER_DAY)
    }

    fn quota(period: Period) -> QuotaOf {
        QuotaOf { owner: Id::parse("aa0000000001").unwrap(), counter: Counter::Client, period }
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        assert_eq!(day(1970, 1, 1), Moment(0));
        assert_eq!(day(2026, 12, 1), Moment(1_796_083_200_000));
        for (now, begin, end) in [
            (day(2026, 12, 1), day(2026, 12, 1), day(2027, 1, 1)),
            (day(2026, 12, 31).plus_millis(MILLIS_PER_DAY - 1), day(2026, 12, 1), day(2027, 1, 1)),
            (day(2028, 2, 29), day(2028, 2, 1), day(2028, 3, 1)),
            (Moment(-1), day(1969, 12, 1), day(1970, 1, 1)),
        ] {
            let month = Window::of(Period::Month, now);
            assert_eq!((month.begin(), month.end()), (begin, end), "{now:?}");
        }
        let today = Window::of(Period::Day, day(2028, 2, 29).plus_millis(HOUR));
        assert_eq!((today.begin(), today.end()), (day(2028, 2, 29), day(2028, 3, 1)));
    }

    #[test]
    fn a_month_from_the_31st_on_begins_on_the_last_day_of_short_months() {
        let month = |now| Window::anchored(Period::Month, 31, now);
        for (now, begin, end) in [
            (day(2027, 1, 30), day(2026, 12, 31), day(2027, 1, 31)),
            (day(2027, 1, 31), day(2027, 1, 31), day(2027, 2, 28)),
            (day(2027, 2, 27), day(2027, 1, 31), day(2027, 2, 28)),
            (day(2027, 2, 28), day(2027, 2, 28), day(2027, 3, 31)),
            (day(2027, 3, 30), day(2027, 2, 28), day(2027, 3, 31)),
            (day(2027, 4, 30), day(2027, 4, 30), day(2027, 5, 31)),
            (day(2028, 2, 29), day(2028, 2, 29), day(2028, 3, 31)),
        ] {
            assert_eq!((month(now).begin(), month(now).end()), (begin, end), "{now:?}");
        }
    }

    proptest! {
        #[test]
        fn windows_follow_one_another_without_a_gap(anchor in 1..=31_u8, millis in -4_000_000_000_000..8_000_000_000_000_i64) {
            for period in [Period::Day, Period::Month] {
                let window = Window::anchored(period, anchor, Moment(millis));
                prop_assert!(window.begin <= millis && millis < window.end);
                let next = Window::anchored(period, anchor, window.end());
                prop_assert_eq!(next.begin, window.end);
                prop_assert_eq!(Window::anchored(period, anchor, Moment(window.end - 1)), window);
            }
        }

        #[test]
        fn a_day_is_its_year_month_and_day(days in -1_000_000..1_000_000_i64) {
            let (year, month, of_month) = civil(days);
            prop_assert_eq!(days_of(year, month, of_month), days);
            prop_assert!((1..=days_in(year, month)).contains(&of_month));
        }
    }

    /// Requests that pass of `offered`.
    fn passed(cell: &mut QuotaCell, store: &dyn UsageStore, amount: u64, offered: u64, now: Moment) -> u64 {
        let mut passed = 0;
        for _ in 0..offered {
            if cell.make_room(store, quota(Period::Day), (amount, 1), now).is_ok() {
                cell.count(1);
                passed += 1;
            }
        }
        passed
    }

    #[test]
    fn a_quota_lets_exactly_its_amount_pass_in_a_window() {
        for amount in [1, 10, 999, 1000, 5500] {
            let (store, mut cell) = (InMemory::default(), QuotaCell::default());
            let noon = day(2026, 12, 1).plus_millis(12 * HOUR);
            assert_eq!(passed(&mut cell, &store, amount, amount + 100, noon), amount);
            assert_eq!(passed(&mut cell, &store, amount, 100, noon.plus_millis(11 * HOUR)), 0);
            assert_eq!(passed(&mut cell, &store, amount, amount + 100, noon.plus_millis(12 * HOUR)), amount);
        }
    }

    #[test]
    fn a_clock_that_jumps_back_refunds_nothing_with_a_new_verifier_either() {
        let (store, mut cell) = (InMemory::default(), QuotaCell::default());
        let (today, yesterday) = (day(2026, 12, 2), day(2026, 12, 1));
        assert_eq!(passed(&mut cell, &store, 10, 4, yesterday), 4);
        assert_eq!(passed(&mut cell, &store, 10, 10, today), 10);
        assert_eq!(passed(&mut cell, &store, 10, 10, yesterday), 0);
        let mut restarted = QuotaCell::default();
        assert_eq!(passed(&mut restarted, &store, 10, 10, yesterday), 0);
        assert_eq!(restarted.window(), Some(Window::of(Period::Day, today)));
    }

    #[test]
    fn a_clock_that_jumps_back_goes_on_in_the_later_window_and_its_block() {
        let (store, mut cell) = (InMemory::default(), QuotaCell::default());
        let (today, yesterday) = (day(2026, 12, 2), day(2026, 12, 1));
        assert_eq!(passed(&mut cell, &store, 10_000, 4, today), 4);
        assert_eq!(passed(&mut cell, &Stuck(Reserved::Failed), 10_000, 100, yesterday), 6);
        assert_eq!(cell.window(), Some(Window::of(Period::Day, today)));
    }

    #[test]
    fn a_killed_verifier_loses_at_most_a_block_and_a_stopped_one_nothing() {
        let (store, now) = (InMemory::default(), day(2026, 12, 1));
        let amount = 10_000;
        let mut killed = QuotaCell::default();
        assert_eq!(passed(&mut killed, &store, amount, 15, now), 15);
        assert_eq!(store.used(&quota(Period::Day)).map(|(_, used)| used), Some(20), "two blocks of ten");
        let mut next = QuotaCell::default();
        assert_eq!(passed(&mut next, &store, amount, 3, now), 3);
        store.take_back(&next.take_unused(quota(Period::Day)).unwrap());
        let mut last = QuotaCell::default();
        assert_eq!(passed(&mut last, &store, amount, 20_000, now), 10_000 - 15 - 5 - 3);
    }

    #[test]
    fn a_changed_amount_holds_at_once_and_a_cost_may_be_more_than_a_block() {
        let (store, mut cell, now) = (InMemory::default(), QuotaCell::default(), day(2026, 12, 1));
        assert_eq!(passed(&mut cell, &store, 100_000, 150, now), 150);
        assert_eq!(passed(&mut cell, &store, 100, 1, now), 0, "a hundred are used");
        assert_eq!(passed(&mut cell, &store, 151, 5, now), 1);
        let mut room = |cost| cell.make_room(&store, quota(Period::Day), (100_000, cost), now);
        assert_eq!(room(5_000), Ok(()));
        assert_eq!(room(100_000), Err(NotCounted::UsedUp));
    }

    /// A store that cannot write any more, or has not yet.
    struct Stuck(Reserved);
    impl UsageStore for Stuck {
        fn reserve(&self, _: &Ask) -> Reserved {
            self.0
        }
    }

    #[test]
    fn without_the_store_a_verifier_counts_to_the_end_of_its_block_and_no_further() {
        let (store, mut cell, now) = (InMemory::default(), QuotaCell::default(), day(2026, 12, 1));
        assert_eq!(passed(&mut cell, &store, 10_000, 1, now), 1);
        assert_eq!(passed(&mut cell, &Stuck(Reserved::Failed), 10_000, 100, now), 9);
        let mut room = |answer| cell.make_room(&Stuck(answer), quota(Period::Day), (10_000, 1), now);
        assert_eq!(room(Reserved::Failed), Err(NotCounted::Failed));
        assert_eq!(room(Reserved::Pending), Err(NotCounted::Pending));
    }
}
