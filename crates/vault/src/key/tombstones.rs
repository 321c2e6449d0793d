//! The log's memory of keys that are gone: which of their versions were revoked, and whether they were wiped. By the
//! keys' ids, since names are given again; in the entries of removals, restores and rekeys, behind the text that people
//! read.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;

use crate::audit::{Action, Event};
use keyvault_core::clock::Moment;

use super::record::{KeyRecord, Version, VersionState};

/// Stands before the list: `revoked before: ID:1,2w ID:7`, `w` for wiped.
const MARK: &str = "revoked before: ";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spent {
    pub(crate) version: u32,
    pub(crate) since: Moment,
    pub(crate) reason: String,
    pub(crate) wiped: bool,
}

impl Spent {
    pub(crate) fn of(version: &Version) -> Self {
        Self {
            version: version.number,
            since: version.since,
            reason: version.reason.clone(),
            wiped: version.digest.is_none(),
        }
    }
}

/// Revoked versions by the ids of their keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tombstones(BTreeMap<[u8; 16], Vec<Spent>>);

impl Tombstones {
    /// The tombstones that these keys would leave.
    pub(crate) fn of<'i>(keys: impl IntoIterator<Item = &'i KeyRecord>) -> Self {
        let revoked = |key: &KeyRecord| {
            let revoked = key.versions.iter().filter(|version| version.state == VersionState::Revoked);
            revoked.map(Spent::of).collect::<Vec<_>>()
        };
        let all = keys.into_iter().map(|key| (key.id, revoked(key)));
        Self(all.filter(|(_, spent)| !spent.is_empty()).collect())
    }

    /// Takes what the next entry of a log keeps.
    pub(crate) fn take(&mut self, event: &Event) {
        if !matches!(event.action, Action::Remove | Action::Restore | Action::Rekey) {
            return;
        }
        let Some((_, list)) = event.detail.split_once(MARK) else { return };
        for (id, versions) in list.split(' ').filter_map(|key| key.split_once(':')) {
            let id = HEXLOWER.decode(id.as_bytes()).ok().and_then(|id| id.try_into().ok());
            let spent = versions.split(',').filter_map(|text| spent(text, event.time));
            if let Some(id) = id {
                self.0.entry(id).or_default().extend(spent);
            }
        }
    }

    /// These and those of `others`, but for the keys that are there.
    pub(crate) fn and(mut self, others: &Self, is_there: impl Fn(&[u8; 16]) -> bool) -> Self {
        for (id, spent) in &others.0 {
            self.0.entry(*id).or_insert_with(|| spent.clone());
        }
        self.0.retain(|id, _| !is_there(id));
        self
    }

    /// The revoked versions of a key that is gone.
    pub(crate) fn spent(&self, key: &KeyRecord) -> &[Spent] {
        self.0.get(&key.id).map_or(&[], Vec::as_slice)
    }

    /// Behind the words of an entry.
    pub(crate) fn behind(&self, words: &str) -> String {
        if self.0.is_empty() {
            return words.to_owned();
        }
        let one = |spent: &Spent| format!("{}{}", spent.version, if spent.wiped { "w" } else { "" });
        let key = |(id, spent): (&[u8; 16], &Vec<Spent>)| {
            format!("{}:{}", HEXLOWER.encode(id), spent.iter().map(one).collect::<Vec<_>>().join(","))
        };
        let list = self.0.iter().map(key).collect::<Vec<_>>().join(" ");
        let between = if words.is_empty() { "" } else { "; " };
        format!("{words}{between}{MARK}{list}")
    }
}

fn spent(text: &str, since: Moment) -> Option<Spent> {
    let number = text.strip_suffix('w').unwrap_or(text);
    Some(Spent {
        version: number.parse().ok()?,
        since,
        reason: "revoked before it was removed".to_owned(),
        wiped: number != text,
    })
}

/// The part of an entry's detail that is written for people.
#[must_use]
pub fn words(event: &Event) -> &str {
    match event.action {
        Action::Remove | Action::Restore | Action::Rekey => {
            event.detail.split(MARK).next().unwrap_or_default().trim_end_matches("; ")
        }
        _ => &event.detail,
    }
}
