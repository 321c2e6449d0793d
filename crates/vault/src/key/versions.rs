//! The effect of time on a key's versions, and of one version taking over from another. Pure: no row is touched.

use keyvault_core::clock::Moment;

use super::record::{KeyRecord, Status, Version, VersionState};
use crate::error::VaultError;

/// How long a retired version is kept for a rollback, and a removed key, in milliseconds: 30 days.
pub(crate) const KEPT: i64 = 30 * 86_400_000;

/// How far apart the change that finds one of them overdue and the one that wipes it must be, in milliseconds.
pub(super) const SECOND_LOOK: i64 = 3_600_000;

/// How many wiped versions a key remembers.
pub(crate) const REMEMBERED: usize = 32;

impl KeyRecord {
    /// Retires what is over its grace, and returns the numbers of versions whose values are to be wiped: those that are
    /// past their keeping and were so at a change an hour ago. With a clock that does not hold, none.
    pub(crate) fn settle(&mut self, now: Moment, clock_holds: bool) -> Vec<u32> {
        let mut wiped = Vec::new();
        for version in &mut self.versions {
            if version.state_at(now) != version.state {
                version.state = VersionState::Retired;
                // The end of a grace that a wrong clock set may lie before its beginning.
                version.grace_until = version.grace_until.map(|until| until.max(version.since));
            }
            let overdue = version.state == VersionState::Retired
                && version.digest.is_some()
                && version.in_state_since().plus_millis(KEPT) <= now;
            if !overdue || !clock_holds {
                continue;
            }
            match version.due {
                None => version.due = Some(now),
                Some(due) if due.plus_millis(SECOND_LOOK) <= now => {
                    version.digest = None;
                    wiped.push(version.number);
                }
                Some(_) => {}
            }
        }
        self.forget_oldest();
        wiped
    }

    fn forget_oldest(&mut self) {
        let remembered = self.versions.iter().filter(|version| version.digest.is_none()).count();
        let mut surplus = remembered.saturating_sub(REMEMBERED);
        self.versions.retain(|version| {
            let forgotten = surplus > 0 && version.digest.is_none();
            surplus -= usize::from(forgotten);
            !forgotten
        });
    }

    /// Ends the current version in this change: good for `grace` more milliseconds, or retired at once. `since` is when that
    /// is, by a clock that never went back: by one that stands in the past it would seem long overdue as soon as it is
    /// right.
    pub(crate) fn retire_current(&mut self, now: Moment, (since, change): (Moment, u64), grace: i64) {
        let current = self.versions.iter_mut().filter(|version| version.state == VersionState::Current);
        for version in current {
            let graced = grace > 0;
            version.state = if graced { VersionState::Previous } else { VersionState::Retired };
            version.grace_until = graced.then(|| now.plus_millis(grace));
            (version.since, version.since_change) = (since, change);
        }
    }

    /// The key's expiry if version `number` takes over: no later than that version's own, which is the key's lifetime
    /// counted from when this one was made. A rollback gives no value a new life.
    pub(crate) fn expiry_of(&self, number: u32) -> Option<Moment> {
        let (expires, lifetime) = self.lifetime()?;
        let made = self.version(number).map(|version| version.created).filter(|_| lifetime > 0);
        Some(made.map_or(expires, |made| expires.min(made.plus_millis(lifetime))))
    }

    /// The expiry, and how long after the making of its current version that is, in milliseconds: a rollback and the
    /// rotation after it keep that. Of a key without a current version the one of the highest number counts.
    pub(crate) fn lifetime(&self) -> Option<(Moment, i64)> {
        let expires = self.expires?;
        let newest = || self.versions.last().map(|version| version.created);
        let made = self.current().map(|version| version.created).or_else(newest).unwrap_or(self.created);
        Some((expires, expires.0.saturating_sub(made.0)))
    }

    /// Before the key gets another expiry: what is in its grace stays good until the old one at the longest.
    pub(crate) fn end_graces_by_expiry(&mut self) {
        let Some(end) = self.expires else { return };
        let graced = self.versions.iter_mut().filter(|version| version.state == VersionState::Previous);
        for until in graced.filter_map(|version| version.grace_until.as_mut()) {
            *until = (*until).min(end);
        }
    }

    /// Version `number` takes over in this change; the current one is retired.
    pub(crate) fn make_current(&mut self, number: u32, (since, change): (Moment, u64)) {
        self.retire_current(since, (since, change), 0);
        for version in self.versions.iter_mut().filter(|version| version.number == number) {
            version.state = VersionState::Current;
            (version.since, version.since_change) = (since, change);
            version.grace_until = None;
            version.due = None;
        }
    }

    /// The version that a rollback makes current: number `to`, or of those that can return the one that was replaced last.
    pub(crate) fn rollback_to(&self, to: Option<u32>, now: Moment) -> Result<u32, VaultError> {
        let returns = |version: &&Version| version.digest.is_some() && version.was_replaced();
        let Some(number) = to else {
            let last = self.versions.iter().filter(returns).max_by_key(|version| version.replaced());
            return last.map(|version| version.number).ok_or_else(|| VaultError::NothingToRollBack {
                name: self.name.clone(),
                revoked: self.current().is_none(),
            });
        };
        let name = || self.name.clone();
        let version = self
            .version(number)
            .ok_or_else(|| VaultError::NoSuchVersion { name: name(), version: number })?;
        if returns(&version) {
            Ok(number)
        } else {
            let state = if version.digest.is_none() { "wiped" } else { version.state_at(now).name() };
            Err(VaultError::VersionRefused { name: name(), version: number, state })
        }
    }

    /// The current version, or number `wanted` if that one is current or in its grace; unless the key is disabled or has
    /// expired.
    pub(crate) fn readable(&self, wanted: Option<u32>, now: Moment) -> Result<&Version, VaultError> {
        let name = || self.name.clone();
        let version = match wanted {
            None => self.current(),
            Some(number) => Some(
                self.version(number)
                    .ok_or_else(|| VaultError::NoSuchVersion { name: name(), version: number })?,
            ),
        };
        let status = match self.status(now) {
            Status::Revoked if self.expired(now) => Status::Expired,
            status => status,
        };
        let Some(version) = version.filter(|_| !matches!(status, Status::Disabled | Status::Expired)) else {
            return Err(VaultError::NotReadable { name: name(), status: status.name() });
        };
        match version.state_at(now) {
            VersionState::Current | VersionState::Previous => Ok(version),
            state => {
                Err(VaultError::VersionRefused { name: name(), version: version.number, state: state.name() })
            }
        }
    }

    /// The expiry after a rotation: the key's lifetime, counted from now. An error if it has none, because the expiry was
    /// put before its version.
    pub(crate) fn renewed_expiry(&self, now: Moment) -> Result<Option<Moment>, VaultError> {
        match self.lifetime() {
            None => Ok(None),
            Some((_, lifetime)) if lifetime > 0 => Ok(Some(now.plus_millis(lifetime))),
            Some(_) => Err(VaultError::NoLifetime { name: self.name.clone() }),
        }
    }
}

impl Version {
    /// Returns `true` if another version took its place, and it was not revoked since.
    fn was_replaced(&self) -> bool {
        matches!(self.state, VersionState::Previous | VersionState::Retired)
    }

    /// Its place in the order in which the key's versions were replaced. One change can take over several from a copy.
    fn replaced(&self) -> (u64, u32) {
        (self.since_change, self.number)
    }

    /// Refused for good.
    pub(crate) fn revoke(&mut self, (since, change): (Moment, u64), reason: &str) {
        self.state = VersionState::Revoked;
        (self.since, self.since_change) = (since, change);
        self.grace_until = None;
        reason.clone_into(&mut self.reason);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::super::record::VersionOrigin;
    use super::*;

    const DAY: i64 = 86_400_000;
    const NONE: [u32; 0] = [];

    fn version(number: u32, state: VersionState, since: i64) -> Version {
        Version {
            since: Moment(since),
            digest: Some([1; 16]),
            ..Version::new(number, state, VersionOrigin::Generated, (Moment(0), 1))
        }
    }

    fn key(versions: Vec<Version>) -> KeyRecord {
        let bare = KeyRecord::new([0; 16], "a".parse().unwrap(), "A".parse().unwrap(), Moment(0));
        KeyRecord { revision: 1, versions, next_version: 99, ..bare }
    }

    #[test]
    fn a_grace_that_is_over_has_retired_the_version_since_then() {
        let mut key = key(vec![version(1, VersionState::Current, 0)]);
        key.retire_current(Moment(10), (Moment(10), 2), DAY);
        assert_eq!(key.previous(Moment(DAY)).map(|version| version.number), Some(1));
        assert_eq!(key.previous(Moment(10 + DAY)), None);
        key.settle(Moment(5 * DAY), true);
        let version = key.version(1).unwrap();
        assert_eq!((version.state, version.in_state_since()), (VersionState::Retired, Moment(10 + DAY)));
    }

    #[test]
    fn wiping_takes_30_days_and_two_changes_an_hour_apart() {
        let mut key = key(vec![version(1, VersionState::Retired, 0), version(2, VersionState::Current, 0)]);
        assert_eq!(key.settle(Moment(KEPT - 1), true), NONE);
        assert_eq!(key.version(1).unwrap().due, None);
        assert_eq!(key.settle(Moment(KEPT), true), NONE);
        assert_eq!(key.settle(Moment(KEPT + SECOND_LOOK - 1), true), NONE);
        assert_eq!(key.settle(Moment(KEPT + SECOND_LOOK), true), [1]);
        assert_eq!(key.version(1).unwrap().digest, None);
        assert_eq!(key.settle(Moment(KEPT * 9), true), NONE);
    }

    /// Each deed, and how far the clock has moved before it.
    const DEEDS: [(&str, i64); 8] = [
        ("rotate", -DAY),
        ("rotate", 1),
        ("rotate with grace", -DAY),
        ("rotate with grace", DAY),
        ("rollback", -DAY),
        ("rollback", 0),
        ("rollback to 1", 0),
        ("rollback to 1", DAY),
    ];

    #[test]
    fn a_rollback_takes_what_was_replaced_last_whatever_the_clock_and_grace_did() {
        // Every sequence of five changes, against a list of the replaced.
        for sequence in 0..DEEDS.len().pow(5) {
            let mut key = key(vec![version(1, VersionState::Current, 0)]);
            key.next_version = 2;
            let (mut clock, mut recorded, mut replaced) = (0, 0, Vec::new());
            for place in 0..5_u32 {
                let (deed, moved) = DEEDS[sequence / DEEDS.len().pow(place) % DEEDS.len()];
                let change = u64::from(place) + 2;
                clock += moved;
                let (now, since) = (Moment(clock), Moment(clock.max(recorded)));
                recorded = clock;
                key.settle(now, false);
                let current = key.current().unwrap().number;
                if let Some(to) = deed.strip_prefix("rollback") {
                    let to = (!to.is_empty() && current != 1).then_some(1);
                    let back = key.rollback_to(to, now).ok();
                    assert_eq!(back, to.or(replaced.last().copied()), "{sequence}");
                    let Some(back) = back else { continue };
                    key.make_current(back, (since, change));
                    replaced.retain(|number| *number != back);
                } else {
                    key.retire_current(now, (since, change), if deed == "rotate" { 0 } else { DAY });
                    let number = key.next_version;
                    key.versions.push(version(number, VersionState::Current, clock));
                    key.next_version += 1;
                }
                replaced.push(current);
                let kept = key.version(current).unwrap();
                assert!(kept.state != VersionState::Retired || kept.in_state_since() == since, "{sequence}");
            }
        }
    }

    #[test]
    fn a_clock_that_was_ahead_once_keeps_no_later_version_longer() {
        let mut key =
            key(vec![version(1, VersionState::Retired, 900 * DAY), version(2, VersionState::Current, 0)]);
        key.retire_current(Moment(DAY), (Moment(DAY), 2), 0);
        assert_eq!(key.rollback_to(None, Moment(DAY)).ok(), Some(2));
        key.settle(Moment(DAY + KEPT), true);
        assert_eq!(key.settle(Moment(DAY + KEPT + SECOND_LOOK), true), [2]);
    }

    #[test]
    fn a_clock_that_does_not_hold_wipes_nothing() {
        let mut key = key(vec![version(1, VersionState::Retired, 0)]);
        for day in [31, 32, 400] {
            assert_eq!(key.settle(Moment(day * DAY), false), NONE);
        }
        assert_eq!(key.version(1).unwrap().due, None);
    }

    #[test]
    fn current_and_revoked_versions_are_never_wiped_by_time() {
        let mut key = key(vec![version(1, VersionState::Revoked, 0), version(2, VersionState::Current, 0)]);
        key.settle(Moment(KEPT * 2), true);
        assert_eq!(key.settle(Moment(KEPT * 3), true), NONE);
    }

    #[test]
    fn a_version_that_returns_starts_its_keeping_anew() {
        let mut key = key(vec![version(1, VersionState::Retired, 0), version(2, VersionState::Current, 0)]);
        key.settle(Moment(KEPT), true);
        key.make_current(1, (Moment(KEPT + 1), 2));
        key.make_current(2, (Moment(KEPT + 2), 3));
        assert_eq!(key.settle(Moment(KEPT + SECOND_LOOK * 2), true), NONE);
    }

    #[test]
    fn of_wiped_versions_the_last_32_are_remembered() {
        let mut versions: Vec<_> = (1..=40).map(|number| version(number, VersionState::Retired, 0)).collect();
        for version in &mut versions {
            version.digest = None;
        }
        versions.push(version(41, VersionState::Current, 0));
        let mut key = key(versions);
        key.settle(Moment(0), true);
        assert_eq!(key.versions.len(), REMEMBERED + 1);
        assert_eq!(key.versions.first().map(|version| version.number), Some(9));
    }
}
