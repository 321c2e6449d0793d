//! New keys, and new secrets for those that are there.

use std::collections::{BTreeMap, BTreeSet};

use keyvault_core::clock::Moment;
use keyvault_core::codec::Extensions;
use keyvault_core::name::{KeyName, Label, Scope, TagKey};
use keyvault_core::secret::SecretBytes;
use keyvault_issue::record::{
    Ascending, Conditions, Environment, Id, KeyRecord, Mark, NamedKey, Prefix, Replaced, State,
};
use keyvault_issue::set::{Changes, Found, LoadedSet};
use keyvault_issue::standing::Standing;
use keyvault_issue::text::{self, MintError};

use super::error::IssuedError;
use super::names::refuse_issued;
use super::view::{self, Former, Key, Loaded, Pending, choose, client_of, event, load, numbers_of, viewed};
use super::{api, narrow, role};
use crate::audit::{Grace, IssuedDeed};
use crate::error::VaultError;
use crate::file::open::{Access, Vault, World};
use crate::tx::VerifiedTx;

/// A key that is to be issued.
#[derive(Debug, Clone)]
pub struct New {
    pub name: KeyName,
    /// The API `default` if none is named, which is made with its first key.
    pub api: Option<Label>,
    pub environment: Environment,
    /// The API's own if none is named.
    pub prefix: Option<Prefix>,
    pub client: Option<Label>,
    pub roles: BTreeSet<Label>,
    pub scopes: BTreeSet<Scope>,
    pub not_before: Option<Moment>,
    pub expires: Option<Moment>,
    pub display_name: String,
    pub note: String,
    pub tags: BTreeMap<TagKey, String>,
    pub conditions: Conditions,
}

/// The terms of a rotation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terms {
    /// How long the secret before stays good, in milliseconds.
    pub grace: i64,
    /// A new expiry; `Some(None)` is never. Without one, a key that expires gets the same lifetime again.
    pub expires: Option<Option<Moment>>,
}

/// A key, and its text, which is nowhere else.
pub struct Minted {
    pub key: Key,
    pub text: SecretBytes,
}

/// Issues a key. The text comes back once the record and the audit event are durable.
pub fn issue(vault: &mut Vault, access: &Access, world: &World<'_>, new: &New) -> Result<Minted, VaultError> {
    if new.expires.is_some_and(|expires| new.not_before.is_some_and(|begin| expires <= begin)) {
        return Err(IssuedError::EndsBeforeItBegins.into());
    }
    vault.change(access, world, |tx| {
        refuse_issued(tx, &new.name)?;
        if tx.key(&new.name)?.is_some() {
            return Err(IssuedError::Held(new.name.clone()).into());
        }
        let one = api::of_name_or_default(tx, world, new.api.as_ref())?;
        let own = one.api()?;
        let prefix = new.prefix.unwrap_or(own.prefix);
        if !own.prefixes.has(prefix.as_str()) {
            return Err(no_prefix(&one, &prefix));
        }
        let client = new.client.as_ref().map(|client| client_of(&one, client)).transpose()?;
        let roles = role::numbers_of_roles(&one, &new.roles)?;
        let mut changes = Changes::default();
        let scopes = numbers_of(&one, &new.scopes, &mut changes);
        let id = unused_id(one.set(), own.mark, world)?;
        let minted = text::mint(&prefix, new.environment, id, world.rng).map_err(|error| match error {
            MintError::Rng(error) => error.into(),
            MintError::NoPrefix => no_prefix(&one, &prefix),
        })?;

        let record = KeyRecord {
            id,
            state: State::Active,
            proof: minted.proof,
            environment: new.environment,
            prefix,
            client,
            roles: view::ascending(roles),
            scopes: view::ascending(scopes),
            created: world.now(),
            not_before: new.not_before,
            expires: new.expires,
            replaced: None,
            decoy: false,
            display_name: new.display_name.as_str().into(),
            conditions: boxed(new.conditions.clone()),
            extensions: Extensions::default(),
        };
        changes.put.keys.push(record.clone());
        changes.put.names.push(NamedKey {
            name: new.name.clone(),
            id,
            note: new.note.as_str().into(),
            tags: new.tags.clone(),
            extensions: Extensions::default(),
        });
        let is_held_back = client.is_some_and(|client| match one.set().client(&client) {
            Found::Record(client) => !client.state.is_active(),
            Found::Newer | Found::Absent => false,
        });
        let standing = if is_held_back {
            Standing::Disabled
        } else if new.not_before.is_some_and(|begin| world.now() < begin) {
            Standing::NotYet
        } else {
            Standing::Active
        };
        let key = Key {
            name: Some(new.name.clone()),
            note: new.note.clone(),
            tags: new.tags.clone(),
            api: own.name.clone(),
            issuer: None,
            client: new.client.clone(),
            roles: new.roles.iter().cloned().collect(),
            scopes: new.scopes.iter().cloned().collect(),
            ends: record.expires,
            record,
            standing: Some(standing),
            formers: Vec::new(),
        };
        view::write(tx, &one, changes, world)?;
        let event = event(world, IssuedDeed::Issued, &key.api, [(id, key.name.clone())], "");
        Ok((Minted { key, text: minted.text }, event))
    })
}

/// Gives keys new secrets under new ids, all or none. The one before stays good for the grace of `terms`, and never past its
/// own expiry or that of the new one; those before it do not outlive that grace. A disabled key stays disabled; a revoked one comes back with the new secret alone.
pub fn rotate(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    names: &[KeyName],
    terms: Terms,
) -> Result<Vec<Minted>, VaultError> {
    vault.change(access, world, |tx| {
        let now = world.now();
        let loaded = load(tx, now)?;
        let mut pending = Pending::default();
        let mut minted = Vec::new();
        for name in names.iter().collect::<BTreeSet<_>>() {
            minted.push(rotate_one(tx, &loaded, name, terms, &mut pending, world)?);
        }
        pending.write(tx, &loaded, world)?;
        let api = minted.first().map(|minted: &Minted| minted.key.api.clone());
        let api = api.ok_or_else(|| VaultError::NeedValues(Vec::new()))?;
        let keys = minted.iter().map(|minted| (minted.key.record.id, minted.key.name.clone()));
        let event = event(world, IssuedDeed::Rotated, &api, keys, "");
        let event = if terms.grace > 0 { event.with(&Grace(terms.grace)) } else { event };
        Ok((minted, event))
    })
}

fn rotate_one(
    tx: &mut VerifiedTx<'_>,
    loaded: &[Loaded],
    name: &KeyName,
    terms: Terms,
    pending: &mut Pending,
    world: &World<'_>,
) -> Result<Minted, VaultError> {
    let now = world.now();
    let chosen = choose(tx, loaded, name)?;
    let (Some(one), Some(entry)) = (loaded.get(chosen.at), chosen.entry.clone()) else {
        return Err(IssuedError::Issuers(chosen.id).into());
    };
    let mut key = viewed(loaded, &chosen, now)?;
    let mut old = key.record.clone();
    if old.client.is_some_and(|client| matches!(one.set().client(&client), Found::Absent)) {
        return Err(IssuedError::ClientRemoved(entry.name).into());
    }
    let id = unused_id(one.set(), one.api()?.mark, world)?;
    let minted = text::mint(&old.prefix, old.environment, id, world.rng).map_err(|error| match error {
        MintError::Rng(error) => error.into(),
        MintError::NoPrefix => no_prefix(one, &old.prefix),
    })?;
    let lifetime = old.expires.map(|expires| expires.0.saturating_sub(old.created.0));
    let expires = match (terms.expires, lifetime) {
        (Some(given), _) => given,
        (None, None) => None,
        (None, Some(lifetime)) if lifetime > 0 => Some(now.plus_millis(lifetime)),
        (None, Some(_)) => return Err(IssuedError::NoLifetime(entry.name).into()),
    };
    let state = if old.state.is_revoked() { State::Active } else { old.state.clone() };
    let record = KeyRecord {
        id,
        state,
        proof: minted.proof,
        created: now,
        expires,
        not_before: old.not_before.filter(|begin| *begin > now),
        replaced: None,
        ..old.clone()
    };
    // No former outlives this rotation's grace, nor the new secret.
    let graced = now.plus_millis(terms.grace);
    let graced = record.expires.map_or(graced, |expires| graced.min(expires));
    old.replaced = Some(Replaced { by: id, grace_until: graced });
    let mut earlier = Vec::new();
    for former in &mut key.formers {
        let after = narrow::graced_until(&former.record, graced);
        former.ends = former.ends.into_iter().chain([graced]).min();
        if former.ends.is_some_and(|end| end <= now) {
            former.standing = former.standing.map(|standing| standing.max(Standing::Expired));
        }
        if after != former.record {
            earlier.push(after.clone());
            former.record = after;
        }
    }
    let until = [old.expires, old.replaced.map(|replaced| replaced.grace_until)].into_iter().flatten().min();
    let standing = match key.standing {
        // The state of the old one is that of its record; what else refuses it is its client, which is still there.
        Some(Standing::Expired | Standing::Revoked | Standing::Held | Standing::NotYet) | None => {
            if view::is_disabled(&record.state) {
                Standing::Disabled
            } else {
                Standing::Active
            }
        }
        Some(standing) => standing,
    };
    let old_standing =
        if until.is_some_and(|until| until <= now) { Some(Standing::Expired) } else { key.standing };
    let changes = pending.of(chosen.at);
    changes.put.keys.extend(earlier.into_iter().chain([old.clone(), record.clone()]));
    changes.put.names.push(NamedKey { id, ..entry });
    key.formers.insert(0, Former { record: old, standing: old_standing, ends: until });
    key.ends = record.expires;
    key.record = record;
    key.standing = Some(standing);
    Ok(Minted { key, text: minted.text })
}

fn no_prefix(one: &Loaded, prefix: &Prefix) -> VaultError {
    let api = match one.api() {
        Ok(api) => api.name.clone(),
        Err(error) => return error,
    };
    IssuedError::NoPrefix { api, prefix: prefix.as_str().to_owned() }.into()
}

/// An id that the set has for neither a key nor a client.
pub(super) fn unused_id(set: &LoadedSet, mark: Mark, world: &World<'_>) -> Result<Id, VaultError> {
    loop {
        let id = text::new_id(mark, world.rng)?;
        if matches!((set.key(&id), set.client(&id)), (Found::Absent, Found::Absent)) {
            return Ok(id);
        }
    }
}

/// Conditions, or none if nothing is in them.
pub(super) fn boxed(conditions: Conditions) -> Option<Box<Conditions>> {
    (conditions != Conditions::default()).then(|| Box::new(conditions))
}

/// The elements of both lists; the later one counts where both have one of a key.
pub(super) fn joined<T: keyvault_issue::record::Sorted + Clone>(
    old: &Ascending<T>,
    new: &Ascending<T>,
) -> Ascending<T> {
    Ascending::of(old.iter().chain(new.iter()).cloned())
}
