//! Keys that their owner disables for a while: refused everywhere, and nothing of them is lost.

use keyvault_core::name::KeyName;

use super::edit::{all_existing, key_ref};
use super::record::{Disabled, KeyRecord};
use super::rotate::settle;
use crate::audit::Action;
use crate::error::VaultError;
use crate::file::open::{Access, Vault, World};

/// A key after it was to be disabled or enabled.
pub struct Switched {
    pub key: KeyRecord,
    /// False if it was so before.
    pub changed: bool,
}

/// Disables keys, all or none. A key that is disabled keeps its time, and its reason unless another one is given.
pub fn disable(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    names: &[KeyName],
    reason: &str,
) -> Result<Vec<Switched>, VaultError> {
    let now = world.now();
    switch(vault, access, world, names, (Action::Disable, reason), |before| match before {
        Some(before) if reason.is_empty() => Some(before.clone()),
        Some(before) => Some(Disabled { reason: reason.to_owned(), ..before.clone() }),
        None => Some(Disabled { since: now, reason: reason.to_owned() }),
    })
}

/// Enables keys, all or none.
pub fn enable(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    names: &[KeyName],
) -> Result<Vec<Switched>, VaultError> {
    switch(vault, access, world, names, (Action::Enable, ""), |_| None)
}

/// Without a key that changes nothing is written.
fn switch(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    names: &[KeyName],
    (action, detail): (Action, &str),
    to: impl Fn(Option<&Disabled>) -> Option<Disabled>,
) -> Result<Vec<Switched>, VaultError> {
    vault.change_if_any(access, world, |tx| {
        let mut switched = Vec::new();
        let mut refs = Vec::new();
        for mut key in all_existing(tx, names)? {
            let after = to(key.disabled.as_ref());
            let changed = after != key.disabled;
            if changed {
                key.disabled = after;
                settle(tx, &mut key, world.now())?;
                tx.put_key(&mut key, world.rng)?;
                refs.push(key_ref(&key));
            }
            switched.push(Switched { key, changed });
        }
        let event = (!refs.is_empty()).then(|| world.event(action, refs, detail.to_owned()));
        Ok((switched, event))
    })
}
