//! The log's memory of keys that are gone: which of their versions were revoked, and whether they were wiped. By the
//! keys' ids, since names are given again; in the entries of removals, restores, and rekeys.

use crate::audit::Event;
use crate::audit::detail::{RevokedBefore, Spent};

use super::record::{KeyRecord, Version, VersionState};

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

/// Revoked versions by the ids of their keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tombstones(RevokedBefore);

impl Tombstones {
    /// The tombstones that these keys would leave.
    pub(crate) fn of<'i>(keys: impl IntoIterator<Item = &'i KeyRecord>) -> Self {
        let revoked = |key: &KeyRecord| {
            let revoked = key.versions.iter().filter(|version| version.state == VersionState::Revoked);
            revoked.map(Spent::of).collect::<Vec<_>>()
        };
        let all = keys.into_iter().map(|key| (key.id, revoked(key)));
        Self(RevokedBefore(all.filter(|(_, spent)| !spent.is_empty()).collect()))
    }

    /// Takes what the next entry of a log keeps.
    pub(crate) fn take(&mut self, event: &Event) {
        for (id, spent) in event.get::<RevokedBefore>().unwrap_or_default().0 {
            self.0.0.entry(id).or_default().extend(spent);
        }
    }

    /// These and those of `others`, but for the keys that are there.
    pub(crate) fn and(mut self, others: &Self, is_there: impl Fn(&[u8; 16]) -> bool) -> Self {
        for (id, spent) in &others.0.0 {
            self.0.0.entry(*id).or_insert_with(|| spent.clone());
        }
        self.0.0.retain(|id, _| !is_there(id));
        self
    }

    /// The revoked versions of a key that is gone.
    pub(crate) fn spent(&self, key: &KeyRecord) -> &[Spent] {
        self.0.0.get(&key.id).map_or(&[], Vec::as_slice)
    }

    /// The event, which keeps them if there are any.
    pub(crate) fn kept_in(&self, event: Event) -> Event {
        if self.0.0.is_empty() { event } else { event.with(&self.0) }
    }
}
