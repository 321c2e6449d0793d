//! When keys were last handed out, by what the log says.

use std::collections::BTreeMap;

use crate::audit::{Action, Event, Outcome, Renamed};
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
            // A key that gets the name later is another one.
            Action::Remove => {
                for key in &event.keys {
                    self.last_read.remove(&key.name);
                }
            }
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
