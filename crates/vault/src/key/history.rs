//! When keys were last handed out, by what the log says.

use std::collections::BTreeMap;

use crate::audit::{Action, Event, KeptIds, Outcome, Renamed};
use keyvault_core::clock::Moment;

use crate::error::VaultError;
use crate::file::open::{Access, Vault};
use crate::token;

/// The last reads of keys, from the log.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The last time that a value of the key left the vault, under the name that the key has now.
    pub last_read: BTreeMap<String, Moment>,
    /// The latest time in the vault's own log; a token's bearer and a session's holder write what they like.
    pub last_entry: Option<Moment>,
    removed: OfRemoved<Moment>,
}

/// The reads of removed keys, by the keys' ids.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OfRemoved<R>(BTreeMap<[u8; 16], R>);

impl<R> Default for OfRemoved<R> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<R> OfRemoved<R> {
    /// The keys of a `remove` take their reads with them.
    pub(super) fn take(&mut self, event: &Event, reads: &mut BTreeMap<String, R>) {
        let mut ids = event.get::<KeptIds>().into_iter().flat_map(|kept| kept.0);
        for key in &event.keys {
            let (reads, id) = (reads.remove(&key.name), ids.next());
            self.0.extend(id.zip(reads));
        }
    }

    /// The key of an `undelete` brings its reads back.
    pub(super) fn bring_back(&mut self, event: &Event, reads: &mut BTreeMap<String, R>) {
        let (Some(KeptIds(ids)), [key]) = (event.get(), event.keys.as_slice()) else { return };
        let name = event.get().map_or_else(|| key.name.clone(), |Renamed(new)| new.to_string());
        reads.extend(ids.first().and_then(|id| self.0.remove(id)).map(|of_key| (name, of_key)));
    }
}

impl Usage {
    fn take(&mut self, event: &Event) {
        if event.outcome != Outcome::Done {
            return;
        }
        match event.action {
            Action::Exec | Action::Export | Action::Reveal => {
                for key in &event.keys {
                    let last = self.last_read.entry(key.name.clone()).or_insert(event.time);
                    *last = after(*last, event);
                }
            }
            // A key that gets the name later is another one. An entry without a change wipes a key that was removed before.
            Action::Remove if event.change.is_some() => {
                self.removed.take(event, &mut self.last_read);
            }
            Action::Undelete => self.removed.bring_back(event, &mut self.last_read),
            Action::Edit => {
                if let (Some(Renamed(new)), [key]) = (event.get(), event.keys.as_slice())
                    && let Some(time) = self.last_read.remove(&key.name)
                {
                    self.last_read.insert(new.to_string(), time);
                }
            }
            _ => {}
        }
    }
}

/// The time of the last read, after this one. A session's reads come to the log with its end, behind later ones.
pub(super) fn after(last: Moment, read: &Event) -> Moment {
    if read.is_carried() { last.max(read.time) } else { read.time }
}

/// Reads the whole log for when each key was last read.
pub fn usage(vault: &mut Vault, access: &Access) -> Result<Usage, VaultError> {
    let mut usage = Usage::default();
    token::whole_log(vault, access, &mut |of, event| {
        if of.vouches_for(event) {
            usage.take(event);
        }
        if of.is_owners() && !event.is_carried() {
            usage.last_entry = usage.last_entry.max(Some(event.time));
        }
    })?;
    Ok(usage)
}
