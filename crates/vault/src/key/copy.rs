//! A copy of a key: its current value and what is known about it, as a key of its own.

use keyvault_core::name::{EnvName, KeyName};

use super::edit::{add_version, existing, key_ref, refuse_existing, variable_of};
use super::record::KeyRecord;
use crate::audit::{Action, KeyRef};
use crate::error::VaultError;
use crate::file::open::{Access, Vault, World};

/// Copies a key. The copy has an id and a version 1 of its own, and no unit, rotation, or grant by id. The log has a read of
/// the one key and the creation of the other.
pub fn copy(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    name: &KeyName,
    new: &KeyName,
    variable: Option<&EnvName>,
) -> Result<KeyRecord, VaultError> {
    vault.change(access, world, |tx| {
        let source = existing(tx, name)?;
        refuse_existing(tx, new)?;
        let now = world.now();
        let version = source.readable(None, now)?;
        let value = tx.value(&source.id, version)?;
        let variable = variable_of(new, variable)?;
        let mut id = [0; 16];
        world.rng.fill(&mut id)?;
        let mut key = KeyRecord {
            scopes: source.scopes.clone(),
            tags: source.tags.clone(),
            note: source.note.clone(),
            expires: source.expires,
            recipe: source.recipe.clone(),
            owner: source.owner.clone(),
            display_name: source.display_name.clone(),
            value_kind: source.value_kind,
            public: source.public,
            decoy: source.decoy,
            rotate_every: source.rotate_every,
            warn: source.warn,
            ..KeyRecord::new(id, new.clone(), variable, now)
        };
        add_version(tx, &mut key, &value, version.public.clone(), 0, world, now)?;
        if let Some(copied) = key.versions.last_mut() {
            copied.origin = version.origin;
        }
        tx.put_key(&mut key, world.rng)?;
        tx.enter_key(None, Some(&key));
        let read = KeyRef { name: name.to_string(), version: version.number };
        tx.carried.push(world.event(Action::Reveal, vec![read], format!("copied to {new}")));
        let event = world.event(Action::Add, vec![key_ref(&key)], format!("copy of {name}"));
        Ok((key, event))
    })
}
