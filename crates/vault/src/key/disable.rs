//! Keys that their owner disables for a while: refused everywhere, and nothing of them is lost.

use keyvault_core::name::KeyName;

use super::edit::{all_existing, key_ref};
use super::record::{Disabled, KeyRecord};
use super::rotate::settle;
use crate::audit::{Action, KeyRef};
use crate::error::VaultError;
use crate::file;
use crate::file::open::{Access, Refusal, Vault, World};
use crate::file::survivors::Loss;
use crate::tx::VerifiedTx;

/// A key after it was to be disabled or enabled.
pub struct Switched {
    pub key: KeyRecord,
    /// False if it was so before.
    pub changed: bool,
}

/// Disables keys, all or none. A key that is disabled keeps its time, and its reason unless another one is given. With root
/// no damage is in the way: see [`file::change_despite_damage`].
pub fn disable(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    names: &[KeyName],
    reason: &str,
) -> Result<Vec<Switched>, VaultError> {
    let now = world.now();
    let to = |before: Option<&Disabled>| match before {
        Some(before) if reason.is_empty() => Some(before.clone()),
        Some(before) => Some(Disabled { reason: reason.to_owned(), ..before.clone() }),
        None => Some(Disabled { since: now, reason: reason.to_owned() }),
    };
    let go_on = |_: &Loss| Ok(());
    file::change_despite_damage(vault, access, world, names, go_on, |tx, dropped| {
        let (there, gone) = dropped.divide(tx, names)?;
        let (switched, mut refs) = switch(tx, world, &there, to)?;
        // A backup that brings one of these back brings it back disabled.
        refs.extend(gone.iter().map(|name| KeyRef { name: name.to_string(), version: 0 }));
        file::tell_gone(gone, Some(Refusal::Disabled), world);
        let event = (!refs.is_empty()).then(|| world.event(Action::Disable, refs, reason.to_owned()));
        Ok((switched, event))
    })
}

/// Enables keys, all or none.
pub fn enable(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    names: &[KeyName],
) -> Result<Vec<Switched>, VaultError> {
    vault.change_if_any(access, world, |tx| {
        let (switched, refs) = switch(tx, world, names, |_| None)?;
        let event = (!refs.is_empty()).then(|| world.event(Action::Enable, refs, String::new()));
        Ok((switched, event))
    })
}

/// The keys, and those among them that were not so before.
fn switch(
    tx: &mut VerifiedTx<'_>,
    world: &World<'_>,
    names: &[KeyName],
    to: impl Fn(Option<&Disabled>) -> Option<Disabled>,
) -> Result<(Vec<Switched>, Vec<KeyRef>), VaultError> {
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
    Ok((switched, refs))
}
