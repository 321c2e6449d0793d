//! The log's memory of keys that are gone: which of their versions were revoked, and whether they were wiped, and which
//! keys were disabled. By the keys' ids, since names are given again; in the entries of removals, restores, and rekeys.

use crate::audit::detail::{DisabledBefore, RevokedBefore, Spent};
use crate::audit::{Event, KeptIds};

use super::record::{Disabled, KeyRecord, Version, VersionState};

impl Spent {
    pub(crate) fn of(version: &Version) -> Self {
        Self {
            version: version.number,
            since: version.since,
            change: version.since_change,
            reason: version.reason.clone(),
            wiped: version.digest.is_none(),
        }
    }
}

/// Revoked versions, and the keys that were disabled, by the ids of the keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tombstones {
    revoked: RevokedBefore,
    disabled: DisabledBefore,
}

impl Tombstones {
    /// The tombstones that these keys would leave.
    pub(crate) fn of<'i>(keys: impl IntoIterator<Item = &'i KeyRecord>) -> Self {
        let mut all = Self::default();
        for key in keys {
            let revoked = key.versions.iter().filter(|version| version.state == VersionState::Revoked);
            let revoked: Vec<_> = revoked.map(Spent::of).collect();
            if !revoked.is_empty() {
                all.revoked.0.insert(key.id, revoked);
            }
            let disabled = key.disabled.as_ref().map(|disabled| (disabled.since, disabled.reason.clone()));
            all.disabled.0.extend(disabled.map(|disabled| (key.id, disabled)));
        }
        all
    }

    /// Takes the revoked versions that the next entry of a log keeps.
    pub(crate) fn take_revoked(&mut self, event: &Event) {
        for (id, spent) in event.get::<RevokedBefore>().unwrap_or_default().0 {
            self.revoked.0.entry(id).or_default().extend(spent);
        }
    }

    /// Takes the disabled keys that the next entry of a log keeps. A key that is removed again may have been enabled after
    /// it was brought back: the last removal counts, and none while the key is there.
    pub(crate) fn take_disabled(&mut self, event: &Event) {
        for id in event.get::<KeptIds>().into_iter().flat_map(|ids| ids.0) {
            self.disabled.0.remove(&id);
        }
        self.disabled.0.extend(event.get::<DisabledBefore>().unwrap_or_default().0);
    }

    /// These and those of `others`, but for the keys that are there.
    pub(crate) fn and(mut self, others: &Self, is_there: impl Fn(&[u8; 16]) -> bool) -> Self {
        for (id, spent) in &others.revoked.0 {
            self.revoked.0.entry(*id).or_insert_with(|| spent.clone());
        }
        for (id, disabled) in &others.disabled.0 {
            self.disabled.0.entry(*id).or_insert_with(|| disabled.clone());
        }
        self.revoked.0.retain(|id, _| !is_there(id));
        self.disabled.0.retain(|id, _| !is_there(id));
        self
    }

    /// The revoked versions of a key that is gone.
    pub(crate) fn spent(&self, key: &KeyRecord) -> &[Spent] {
        self.revoked.0.get(&key.id).map_or(&[], Vec::as_slice)
    }

    /// Since when and why a key that is gone was disabled.
    pub(crate) fn disabled(&self, key: &KeyRecord) -> Option<Disabled> {
        let (since, reason) = self.disabled.0.get(&key.id)?.clone();
        Some(Disabled { since, reason })
    }

    /// The event, which keeps them if there are any.
    pub(crate) fn kept_in(&self, event: Event) -> Event {
        let event = if self.revoked.0.is_empty() { event } else { event.with(&self.revoked) };
        if self.disabled.0.is_empty() { event } else { event.with(&self.disabled) }
    }
}
