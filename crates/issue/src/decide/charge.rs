//! Charging all limits of a request, or none.
//!
//! All are looked at before one is charged, so nothing is ever given back. Quotas are locked from the look to the charge: key
//! before client, day before month, so no two requests wait for one another. Rates are atomics: the first is charged
//! exactly, and the others follow even if another thread has used one up since the look ([`crate::rate::RateCell::owe`]).

use std::sync::{Arc, Mutex, MutexGuard};

use super::counters::{Counters, RateOf, lock};
use super::{Cause, Costs, LimitOf, LimitState, Now, States};
use crate::quota::{NotCounted, QuotaCell, QuotaOf, Window};
use crate::rate::{RateState, Refused};
use crate::record::Id;
use crate::snapshot::{QuotaTerm, RateTerm, Terms};

/// Quotas of a request: by day and month, of the key and of the client.
const MAX_QUOTAS: usize = 4;

/// The limit that a request is refused by.
pub(super) struct Uncharged {
    pub(super) cause: Cause,
    pub(super) retry_after: Option<u64>,
}

pub(super) fn charge<'s>(
    counters: &Counters,
    key: Id,
    terms: &'s Terms,
    costs: &Costs,
    now: Now,
    states: &mut States<'s>,
) -> Result<(), Uncharged> {
    let rates = Rates { counters, key, terms, costs, ticks: now.ticks };
    let quotas = terms.quotas();
    if quotas.is_empty() && terms.limits().len() == 1 {
        return rates.charge(states);
    }
    rates.check(states)?;
    if quotas.is_empty() {
        return rates.charge(states);
    }
    let mut cells: [Option<Arc<Mutex<QuotaCell>>>; MAX_QUOTAS] = [const { None }; MAX_QUOTAS];
    for (cell, term) in cells.iter_mut().zip(quotas) {
        *cell = Some(counters.quota(quota_of(terms, term, key)));
    }
    let mut locked: [Option<MutexGuard<'_, QuotaCell>>; MAX_QUOTAS] =
        cells.each_ref().map(|cell| cell.as_ref().map(|cell| lock(cell)));
    let first = terms.limits().len();
    for (at, (cell, term)) in locked.iter_mut().flatten().zip(quotas).enumerate() {
        let quota = quota_of(terms, term, key);
        let room = cell.make_room(counters.store(), quota, (term.amount, costs.quota), now.wall);
        states.set(first + at, quota_state(term, cell, now));
        room.map_err(|reason| uncharged(reason, quota_state(term, cell, now).reset))?;
    }
    rates.charge(states)?;
    for (at, (cell, term)) in locked.iter_mut().flatten().zip(quotas).enumerate() {
        cell.count(costs.quota);
        states.set(first + at, quota_state(term, cell, now));
    }
    Ok(())
}

fn quota_of(terms: &Terms, term: &QuotaTerm, key: Id) -> QuotaOf {
    QuotaOf { owner: terms.owner(term.counter, key), counter: term.counter, period: term.period }
}

fn uncharged(reason: NotCounted, reset: u64) -> Uncharged {
    match reason {
        NotCounted::UsedUp => Uncharged { cause: Cause::Quota, retry_after: Some(reset) },
        NotCounted::Pending => Uncharged { cause: Cause::Reserving, retry_after: None },
        NotCounted::Failed => Uncharged { cause: Cause::NoStore, retry_after: None },
    }
}

fn quota_state<'s>(term: &QuotaTerm, cell: &QuotaCell, now: Now) -> LimitState<'s> {
    let window = cell.window().unwrap_or_else(|| Window::of(term.period, now.wall));
    let millis = u64::try_from(window.end().0.saturating_sub(now.wall.0)).unwrap_or(0);
    LimitState {
        limit: LimitOf::Quota { period: term.period, amount: term.amount },
        counter: term.counter,
        remaining: term.amount.saturating_sub(cell.used()),
        reset: millis.saturating_mul(1_000_000),
    }
}

struct Rates<'a, 's> {
    counters: &'a Counters,
    key: Id,
    terms: &'s Terms,
    costs: &'a Costs,
    ticks: u64,
}

impl<'s> Rates<'_, 's> {
    /// Looks at all; of those that refuse, the one with the longest wait is told.
    fn check(&self, states: &mut States<'s>) -> Result<(), Uncharged> {
        let mut refused: Option<Refused> = None;
        for (at, term) in self.terms.limits().iter().enumerate() {
            let cost = self.costs.of_limit(term.tag, term.limit.cost);
            // Until it is charged, the state is the one without this request.
            let (result, present) = self.counters.rate(self.of(term), &term.cell, |cell| {
                (cell.check(&term.rate, cost, self.ticks), cell.state(&term.rate, self.ticks))
            });
            states.set(at, rate_state(term, present));
            if let Err(other) = result {
                let longer = |known: &Refused| wait(known) >= wait(&other);
                refused = refused.filter(longer).or(Some(other));
            }
        }
        refused.map_or(Ok(()), |refused| Err(rate_refused(&refused)))
    }

    fn charge(&self, states: &mut States<'s>) -> Result<(), Uncharged> {
        let mut is_passing = false;
        for (at, term) in self.terms.limits().iter().enumerate() {
            let cost = self.costs.of_limit(term.tag, term.limit.cost);
            let result = self.counters.rate(self.of(term), &term.cell, |cell| {
                if is_passing {
                    Ok(cell.owe(&term.rate, cost, self.ticks))
                } else {
                    cell.charge(&term.rate, cost, self.ticks)
                }
            });
            let state = result.as_ref().map_or_else(|refused| refused.state, |state| *state);
            states.set(at, rate_state(term, state));
            result.map_err(|refused| rate_refused(&refused))?;
            is_passing |= cost > 0;
        }
        Ok(())
    }

    fn of(&self, term: &RateTerm) -> RateOf {
        RateOf { owner: self.terms.owner(term.counter, self.key), counter: term.counter, tag: term.tag }
    }
}

/// One that never passes waits the longest.
fn wait(refused: &Refused) -> u64 {
    refused.retry_after.unwrap_or(u64::MAX)
}

fn rate_refused(refused: &Refused) -> Uncharged {
    Uncharged { cause: Cause::Rate, retry_after: refused.retry_after }
}

fn rate_state(term: &RateTerm, state: RateState) -> LimitState<'_> {
    LimitState {
        limit: LimitOf::Rate(&term.limit),
        counter: term.counter,
        remaining: state.remaining,
        reset: state.reset,
    }
}
