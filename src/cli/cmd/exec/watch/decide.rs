//! Keeping a command up to date with its keys: what to do when, decided apart from how it is found out and done.
//!
//! - A key hands out another version: the command is ended by TERM and started again, as soon as it has ended, however
//!   long it takes. Or it gets a signal, once its files have been rewritten. Only if it could be started again: else it
//!   keeps what it has.
//! - A key is refused now (revoked, expired, removed): the command is ended by TERM, and that is our end. Or its file is
//!   taken away and the command gets the signal. What leaked must not go on being used because a process happens to run.
//! - Nothing can be found out (locked, busy, rolled back): the command keeps what it has, and it is tried again.
//! - The command ends by itself: that is our end too. A watch is no service manager.
//!
//! Restarts and signals come at once the first time, then at least a second apart; each that comes soon after the one
//! before doubles that, up to half a minute, and a minute of quiet forgets it ([`Pace`]). A refusal never waits.

use std::ffi::c_int;
use std::time::{Duration, Instant};

use super::Keys;
use keyvault_core::clock::Moment;
use keyvault_exec::release::{Fate, Given};
use keyvault_exec::supervise::{Overseer, Wish};

/// How often the vault is looked at.
const EVERY: Duration = Duration::from_millis(250);

/// How long a command may take to end until that is said.
const LONG: Duration = Duration::from_secs(10);

/// How a command learns that a key has another version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// A new start.
    Restart,
    Signal(c_int),
}

/// Versions that were handed out, each with its fate.
pub(super) type Fates = Vec<(Given, Fate)>;

/// A message of the watch to its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said<'a> {
    /// The command is ended, to be started again.
    Restarting(&'a [(Given, Fate)]),
    /// The command is ended for good.
    Ending(&'a [(Given, Fate)]),
    /// The command gets the signal.
    Signaling(&'a [(Given, Fate)]),
    /// The command does not end.
    Waiting,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Possible {
    Yes,
    /// Not now: the vault is locked or in use.
    Later,
    /// Not as the vault is: something else that was asked for is missing or refused.
    No,
}

/// Why a watch has ended the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// To start it again.
    ToRestart,
    /// For good, because of these.
    Refused(Fates),
}

/// The watch over a command's keys, through all its starts.
pub(super) struct Watch<'k> {
    keys: Keys<'k>,
    manner: Manner,
    given: Vec<Given>,
    /// Those of them that are refused, as the command was told by a signal.
    refused: Vec<Given>,
    /// Fates that the command was not told yet.
    pending: Fates,
    /// True if the vault is to be looked at, whether it may have changed or not.
    look: bool,
    /// When the fate of a version changes by itself.
    until: Option<Moment>,
    pace: Pace,
    due: Instant,
    ended: Option<(Ended, Instant)>,
    told: bool,
    dismissed: bool,
}

impl<'k> Watch<'k> {
    /// A watch that has not begun.
    pub(super) fn new(keys: Keys<'k>, manner: Manner) -> Self {
        Self {
            keys,
            manner,
            given: Vec::new(),
            refused: Vec::new(),
            pending: Vec::new(),
            look: true,
            until: None,
            pace: Pace::default(),
            due: Instant::now(),
            ended: None,
            told: false,
            dismissed: false,
        }
    }

    /// The command is about to start, with these versions. They may have been replaced since they were read: the first
    /// look tells.
    pub(super) fn over(&mut self, given: Vec<Given>) {
        self.given = given;
        self.pending.clear();
        (self.look, self.until, self.due) = (true, None, Instant::now() + EVERY);
        (self.ended, self.told) = (None, false);
    }

    /// Why the watch ended the command, if it did and nobody else wanted it to end.
    pub(super) fn ended(&mut self) -> Option<Ended> {
        self.ended.take().map(|(why, _)| why).filter(|why| !(self.dismissed && *why == Ended::ToRestart))
    }

    fn find_out(&mut self) {
        let overdue = self.until.is_some_and(|until| until <= self.keys.now());
        self.look |= self.keys.may_have_changed() || overdue;
        if self.look
            && let Some(outcomes) = self.keys.outcomes(&self.given)
        {
            (self.look, self.until) = (false, outcomes.until);
            self.pending = self.news(outcomes.fates);
        }
    }

    /// Drops fates that the command was told. A key that was refused and is not any more, or has another version since,
    /// has come back.
    fn news(&self, mut fates: Fates) -> Fates {
        let back = self.refused.iter().filter(|given| !fates.iter().any(|(same, _)| same == *given));
        let back: Vec<_> = back.map(|given| (given.clone(), Fate::Replaced(given.clone()))).collect();
        fates.retain(|(given, fate)| is_replaced(fate) || !self.refused.contains(given));
        fates.extend(back);
        fates
    }

    fn act(&mut self, now: Instant) -> Option<Wish> {
        let refused = self.pending.iter().any(|(_, fate)| !is_replaced(fate));
        if let Some(at) = self.pace.next().filter(|at| *at > now && (!refused || self.pace.failed)) {
            self.due = self.due.min(at);
            return None;
        }
        match self.manner {
            Manner::Restart if refused => {
                self.pending.retain(|(_, fate)| !is_replaced(fate));
                self.keys.say(Said::Ending(&self.pending));
                let fates = std::mem::take(&mut self.pending);
                Some(self.end(Ended::Refused(fates), now))
            }
            Manner::Restart => {
                let possible = self.keys.could_start();
                self.goes_on(possible).then(|| {
                    self.keys.say(Said::Restarting(&self.pending));
                    self.pace.note(now);
                    self.end(Ended::ToRestart, now)
                })
            }
            Manner::Signal(signal) => self.tell(signal, now),
        }
    }

    fn tell(&mut self, signal: c_int, now: Instant) -> Option<Wish> {
        let mut refused = self.refused.clone();
        for (given, fate) in &self.pending {
            refused.retain(|known| known != given);
            if !is_replaced(fate) {
                refused.push(given.clone());
            }
        }
        let possible = self.keys.rewrite(&self.pending, &refused);
        if !self.goes_on(possible) {
            // It was recorded that the values leave the vault, as it is at each attempt.
            self.pace.note(now);
            self.pace.failed = true;
            return None;
        }
        self.pace.failed = false;
        self.keys.say(Said::Signaling(&self.pending));
        if self.pending.iter().any(|(_, fate)| is_replaced(fate)) {
            self.pace.note(now);
        }
        self.refused = refused;
        for (given, fate) in std::mem::take(&mut self.pending) {
            if let Fate::Replaced(by) = fate {
                self.given.retain(|known| *known != given);
                self.given.push(by.asked_for_as(&given));
            }
        }
        Some(Wish { signal, again: false })
    }

    /// An action that fails is tried again when the vault changes, or, if its content is not the reason, until it
    /// succeeds.
    fn goes_on(&mut self, possible: Possible) -> bool {
        if possible != Possible::Yes {
            self.look = possible == Possible::Later;
            self.pending.clear();
        }
        possible == Possible::Yes
    }

    fn end(&mut self, why: Ended, now: Instant) -> Wish {
        let again = why == Ended::ToRestart;
        self.ended = Some((why, now));
        Wish { signal: libc::SIGTERM, again }
    }
}

impl Overseer for Watch<'_> {
    fn due(&self) -> Option<Instant> {
        Some(self.due)
    }

    fn tick(&mut self) -> Option<Wish> {
        let now = Instant::now();
        self.due = now + EVERY;
        if let Some((_, since)) = &self.ended {
            if !self.told && now.duration_since(*since) >= LONG {
                self.told = true;
                self.keys.say(Said::Waiting);
            }
            return None;
        }
        self.find_out();
        if self.pending.is_empty() { None } else { self.act(now) }
    }

    /// A signal that ends the command also ends the restarts.
    fn heard(&mut self, signal: c_int) {
        let ends = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT].contains(&signal);
        self.dismissed |= ends && self.ended.is_some();
    }
}

fn is_replaced(fate: &Fate) -> bool {
    matches!(fate, Fate::Replaced(_))
}

/// How soon after one restart the next may come.
#[derive(Debug, Default)]
struct Pace {
    last: Option<(Instant, Duration)>,
    /// True if the last attempt to hand values over failed; then even a refusal waits its turn.
    failed: bool,
}

impl Pace {
    const FIRST: Duration = Duration::from_secs(1);
    const MOST: Duration = Duration::from_secs(30);
    const QUIET: Duration = Duration::from_secs(60);

    /// Not before this.
    fn next(&self) -> Option<Instant> {
        self.last.map(|(last, gap)| last + gap)
    }

    fn note(&mut self, now: Instant) {
        let gap = match self.last {
            Some((last, gap)) if now.duration_since(last) < gap + Self::QUIET => (gap * 2).min(Self::MOST),
            _ => Self::FIRST,
        };
        self.last = Some((now, gap));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_restart_is_at_once_the_next_ones_ever_further_apart_until_it_is_quiet() {
        let mut pace = Pace::default();
        assert_eq!(pace.next(), None);
        let mut now = Instant::now();
        let mut gaps = Vec::new();
        for _ in 0..7 {
            pace.note(now);
            let next = pace.next().unwrap_or(now);
            gaps.push((next - now).as_secs());
            now = next;
        }
        assert_eq!(gaps, [1, 2, 4, 8, 16, 30, 30]);
        now += Duration::from_secs(61);
        pace.note(now);
        assert_eq!(pace.next(), Some(now + Duration::from_secs(1)));
    }
}
