//! The lives of keys as a log tells them, from their making through renames to their removal, and what was revoked of
//! them: of a key that is gone by now nothing else knows it.

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::{Action, Event};
use crate::clock::Moment;

use super::item::Item;
use super::lifecycle::{WIPED, new_name};

/// How far apart the making of a key and its entry in the log may be, in milliseconds.
const APART: u64 = 60_000;

/// A version that was revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spent {
    pub(super) version: u32,
    pub(super) since: Moment,
    pub(super) reason: String,
    pub(super) wiped: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Life {
    names: BTreeSet<String>,
    /// Unknown if the log was not read from its start.
    made: Option<Moment>,
    spent: Vec<Spent>,
}

/// All of them; several may have had one name, one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lives {
    all: Vec<Life>,
    /// By the name that they have now.
    going_on: BTreeMap<String, usize>,
}

impl Lives {
    /// Takes the next entry of the log.
    pub(super) fn take(&mut self, event: &Event) {
        match event.action {
            // An import also gives keys that are there another version.
            Action::Generate | Action::Add | Action::Import => {
                for key in event.keys.iter().filter(|key| key.version == 1) {
                    self.begin(&key.name, Some(event.time));
                }
            }
            Action::Edit => {
                if let (Some(new), [key]) = (new_name(event), event.keys.as_slice()) {
                    let life = self.place(&key.name);
                    self.going_on.remove(&key.name);
                    self.going_on.insert(new.to_owned(), life);
                    if let Some(life) = self.all.get_mut(life) {
                        life.names.insert(new.to_owned());
                    }
                }
            }
            Action::Remove => {
                for key in &event.keys {
                    self.going_on.remove(&key.name);
                }
            }
            Action::Revoke => {
                let reason = event.detail.strip_prefix(WIPED);
                for key in &event.keys {
                    let spent = Spent {
                        version: key.version,
                        since: event.time,
                        reason: reason.unwrap_or(&event.detail).trim_start_matches(": ").to_owned(),
                        wiped: reason.is_some(),
                    };
                    let life = self.place(&key.name);
                    if let Some(life) = self.all.get_mut(life) {
                        life.spent.push(spent);
                    }
                }
            }
            _ => {}
        }
    }

    fn begin(&mut self, name: &str, made: Option<Moment>) -> usize {
        let life = self.all.len();
        self.all.push(Life { names: BTreeSet::from([name.to_owned()]), made, spent: Vec::new() });
        self.going_on.insert(name.to_owned(), life);
        life
    }

    fn place(&mut self, name: &str) -> usize {
        self.going_on.get(name).copied().unwrap_or_else(|| self.begin(name, None))
    }

    /// What was revoked of a key: of the one of its names that was made when it was.
    pub(super) fn spent(&self, item: &Item) -> &[Spent] {
        let apart = |life: &Life| life.made.map_or(APART, |made| made.0.abs_diff(item.created.0));
        let named = self.all.iter().filter(|life| life.names.contains(item.name.as_str()));
        let near = named.map(|life| (apart(life), life)).filter(|(apart, _)| *apart <= APART);
        near.min_by_key(|(apart, _)| *apart).map_or(&[], |(_, life)| &life.spent)
    }
}
