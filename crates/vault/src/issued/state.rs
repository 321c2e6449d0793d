//! The owner's word on issued keys: revoked, disabled, enabled.

use std::collections::BTreeSet;

use keyvault_core::codec::Extensions;
use keyvault_core::name::KeyName;
use keyvault_issue::record::{Id, KeyRecord, MAX_TEXT, Note, Override, Proof, State};
use keyvault_issue::set::{Changes, Found, Removal};

use super::view::{Key, Loaded, Pending, choose, event, load, viewed};
use crate::audit::IssuedDeed;
use crate::error::VaultError;
use crate::file::open::{Access, Vault, World};

/// A change of the owner's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch<'r> {
    /// Refused until it is enabled, for this reason.
    Disable(&'r str),
    Enable,
    /// Refused permanently; with `wipe` not even the hash is kept.
    Revoke {
        reason: &'r str,
        wipe: bool,
    },
}

impl Switch<'_> {
    fn deed(self) -> IssuedDeed {
        match self {
            Self::Disable(_) => IssuedDeed::Disabled,
            Self::Enable => IssuedDeed::Enabled,
            Self::Revoke { .. } => IssuedDeed::Revoked,
        }
    }

    fn reason(&self) -> &str {
        match self {
            Self::Disable(reason) | Self::Revoke { reason, .. } => reason,
            Self::Enable => "",
        }
    }

    /// The state after it.
    pub(super) fn next(self, before: &State, world: &World<'_>) -> State {
        let note = |reason: &str| Box::new(Note { since: world.now(), reason: kept(reason) });
        match (self, before) {
            (_, State::Revoked(_)) | (Self::Disable(""), State::Disabled(_)) => before.clone(),
            (Self::Enable, _) => State::Active,
            (Self::Disable(reason), State::Disabled(old)) => {
                State::Disabled(Box::new(Note { since: old.since, reason: kept(reason) }))
            }
            (Self::Disable(reason), State::Active) => State::Disabled(note(reason)),
            (Self::Revoke { reason, .. }, _) => State::Revoked(note(reason)),
        }
    }
}

/// A reason as records keep it, which have no control characters and no long texts: no reason keeps a key valid.
fn kept(reason: &str) -> Box<str> {
    let plain = reason.chars().map(|char| if char.is_control() { ' ' } else { char });
    let mut left = MAX_TEXT;
    let fits = plain.take_while(|char| {
        let fits = char.len_utf8() <= left;
        left = left.saturating_sub(char.len_utf8());
        fits
    });
    fits.collect::<String>().into()
}

/// Switches keys, all or none, with the ids that they had before and that are within their grace. The result says of each
/// whether it was otherwise before.
pub fn switch(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    names: &[KeyName],
    switch: Switch<'_>,
) -> Result<Vec<(Key, bool)>, VaultError> {
    vault.change_if_any(access, world, |tx| {
        let now = world.now();
        let loaded = load(tx, now)?;
        let mut pending = Pending::default();
        let mut chosen = Vec::new();
        for name in names.iter().collect::<BTreeSet<_>>() {
            let one = choose(tx, &loaded, name)?;
            let Some(api) = loaded.get(one.at) else { continue };
            let changed = change(api, &one.id, switch, pending.of(one.at), world);
            chosen.push((one, changed));
        }
        let changed = chosen.iter().any(|(_, changed)| *changed);
        let after = if changed {
            // Nothing but an enabling gives anything back.
            tx.takes_away = switch != Switch::Enable;
            pending.write(tx, &loaded, world)?;
            load(tx, now)?
        } else {
            loaded
        };
        let mut keys = Vec::new();
        for (one, changed) in &chosen {
            keys.push((viewed(&after, one, now)?, *changed));
        }
        let ids = keys.iter().filter(|(_, changed)| *changed);
        let ids = ids.map(|(key, _)| (key.record.id, key.name.clone()));
        let event = keys
            .first()
            .filter(|_| changed)
            .map(|(key, _)| event(world, switch.deed(), &key.api, ids, switch.reason()));
        Ok((keys, event))
    })
}

/// Enters the change of one key; `false` if it is so already.
fn change(one: &Loaded, id: &Id, switch: Switch<'_>, changes: &mut Changes, world: &World<'_>) -> bool {
    let mut is_other = false;
    if one.is_owners(id) {
        let formers = one.formers_of(id).into_iter();
        let own = match one.set().key(id) {
            Found::Record(key) => Some(key),
            Found::Newer | Found::Absent => None,
        };
        for key in own.into_iter().chain(formers) {
            let mut after = KeyRecord { state: switch.next(&key.state, world), ..key.clone() };
            if matches!(switch, Switch::Revoke { wipe: true, .. }) {
                after.proof = Proof::None;
            }
            if after != *key {
                is_other = true;
                changes.put.keys.push(after);
            }
        }
    }
    let over = match one.set().r#override(id) {
        Found::Record(over) => Some(over.clone()),
        Found::Newer | Found::Absent => None,
    };
    match (switch, over) {
        (Switch::Enable, Some(over)) if !over.state.is_revoked() => {
            changes.removed.push(Removal::Override(*id));
            is_other = true;
        }
        (Switch::Disable(_) | Switch::Revoke { .. }, over) if !one.is_owners(id) => {
            let before = over.as_ref().map_or(State::Active, |over| over.state.clone());
            let state = switch.next(&before, world);
            if state != before {
                let extensions = over.map_or_else(Extensions::default, |over| over.extensions);
                changes.put.overrides.push(Override { id: *id, state, extensions });
                is_other = true;
            }
        }
        _ => {}
    }
    is_other
}
