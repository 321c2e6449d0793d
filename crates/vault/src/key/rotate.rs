//! The life of a key after it was made: rotation, rollback, revocation, and in the end the wiping of values.

use std::collections::BTreeMap;

use crate::audit::{Action, Event, Grace, KeyRef, Renamed, Wiped};
use crate::state::StateError;
use crate::store::Tag;
use keyvault_core::clock::Moment;
use keyvault_core::crypto;
use keyvault_core::name::{KeyName, Scope};
use keyvault_core::secret::SecretBytes;

use super::edit;
use super::edit::key_ref;
use super::history::{OfRemoved, after};
use super::record::{KeyRecord, Status, Version, VersionState};
use crate::error::VaultError;
use crate::file::open::{Access, Refusal, Vault, World};
use crate::file::survivors::Loss;
use crate::tx::VerifiedTx;
use crate::{file, token};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// These, strictly; a revoked one comes back with a new version.
    Names(Vec<KeyName>),
    /// Those that carry any of these scopes and are not revoked.
    Scopes(Vec<Scope>),
    Expired,
}

/// The terms of a rotation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terms {
    /// How long the version before stays good, in milliseconds.
    pub grace: i64,
    /// A new expiry; `Some(None)` is never. Without one, a key that expires gets the same lifetime again.
    pub expires: Option<Option<Moment>>,
}

/// A value from elsewhere, for the key that it was asked for.
pub struct NewValue {
    /// The key as it was named when it was asked for.
    pub name: KeyName,
    pub key: Tag,
    pub value: SecretBytes,
}

/// The versions to revoke, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revocation {
    /// One version; all of them if none is named.
    pub version: Option<u32>,
    /// Why, for the log and for `history`.
    pub reason: String,
    /// True if the values go too.
    pub wipe: bool,
}

/// A key and when each of its versions was last read, as far as the log tells.
pub type History = (KeyRecord, BTreeMap<u32, Moment>);

/// The keys that a rotation would rotate.
pub fn due(
    vault: &mut Vault,
    access: &Access,
    which: &Which,
    now: Moment,
) -> Result<Vec<KeyRecord>, VaultError> {
    vault.read(access, |tx| due_in(tx, which, now))
}

/// Gives keys new current versions, all or none. A generated key repeats its recipe; `value` is for one key that
/// was added, or overrides a recipe, which is then forgotten. Without a key that is due nothing is written.
pub fn rotate(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    which: &Which,
    value: Option<&NewValue>,
    terms: Terms,
) -> Result<Vec<KeyRecord>, VaultError> {
    vault.change_if_any(access, world, |tx| {
        let before = due_in(tx, which, world.now())?;
        if before.is_empty() {
            return Ok((Vec::new(), None));
        }
        let given = |key: &KeyRecord| value.filter(|value| value.key == key.id);
        if let Some(value) = value.filter(|value| before.iter().all(|key| value.key != key.id)) {
            return Err(VaultError::AnotherKey(value.name.clone()));
        }
        let unmade = before.iter().filter(|key| key.recipe.is_none() && given(key).is_none());
        let unmade: Vec<_> = unmade.map(|key| key.name.clone()).collect();
        if !unmade.is_empty() {
            return Err(VaultError::NeedValues(unmade));
        }
        let mut after = Vec::with_capacity(before.len());
        for key in before {
            let given = given(&key).map(|given| &given.value);
            after.push(rotate_one(tx, key, given, terms, world)?);
        }
        let event = world.event(Action::Rotate, after.iter().map(key_ref).collect(), String::new());
        let event = if terms.grace > 0 { event.with(&Grace(terms.grace)) } else { event };
        Ok((after, Some(event)))
    })
}

/// Returns `true` if a revoked version of the key has this value.
pub fn is_revoked_value(
    vault: &mut Vault,
    access: &Access,
    key: &KeyRecord,
    value: &SecretBytes,
) -> Result<bool, VaultError> {
    vault.read(access, |tx| {
        let fingerprint = tx.opener().fingerprint(value);
        let is_it =
            |version: &Version| version.state == VersionState::Revoked && version.fingerprint == fingerprint;
        Ok(key.versions.iter().any(is_it))
    })
}

/// Makes an older version current again: the one that was replaced last, or number `to`. `None` if that one is
/// current already, and then nothing is written.
pub fn rollback(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    name: &KeyName,
    to: Option<u32>,
) -> Result<Option<KeyRecord>, VaultError> {
    let key = edit::show(vault, access, name)?;
    if to.is_some() && key.current().map(|version| version.number) == to {
        return Ok(None);
    }
    vault.change(access, world, |tx| {
        let mut key = edit::existing(tx, name)?;
        settle(tx, &mut key, world.now())?;
        let number = key.rollback_to(to, world.now())?;
        let from = key.current().map(|version| format!("from version {}", version.number));
        key.expires = key.expiry_of(number);
        key.make_current(number, (no_earlier(tx, world.now()), tx.next_change()));
        tx.put_key(&mut key, world.rng)?;
        let event = world.event(Action::Rollback, vec![key_ref(&key)], from.unwrap_or_default());
        Ok((Some(key), event))
    })
}

/// Refuses versions for good, at once. With root no damage is in the way: see [`file::change_despite_damage`].
pub fn revoke(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    names: &[KeyName],
    revocation: &Revocation,
) -> Result<Vec<KeyRecord>, VaultError> {
    let go_on = |_: &Loss| Ok(());
    let revoked = file::change_despite_damage(vault, access, world, names, go_on, |tx, dropped| {
        let (there, gone) = dropped.divide(tx, names)?;
        let mut key_records = edit::all_existing(tx, &there)?;
        let mut keys = Vec::with_capacity(key_records.len());
        for key in &mut key_records {
            let numbers = revoke_versions(tx, key, revocation, world.now())?;
            keys.extend(numbers.into_iter().map(|version| KeyRef { name: key.name.to_string(), version }));
            tx.put_key(key, world.rng)?;
        }
        // A backup that brings one of these back brings it back as revoked.
        for name in &gone {
            let versions =
                revocation.version.map_or_else(|| dropped.versions(name), |number| number..=number);
            keys.extend(versions.map(|version| KeyRef { name: name.to_string(), version }));
        }
        file::tell_gone(gone, Some(Refusal::Revoked), world);
        let event = world.event(Action::Revoke, keys, revocation.reason.clone());
        Ok((key_records, Some(if revocation.wipe { event.with(&Wiped) } else { event })))
    })?;
    if revocation.wipe {
        vault.compact(world);
    }
    Ok(revoked)
}

/// A key with the times at which its versions were last handed out. Reads the whole log.
pub fn history(vault: &mut Vault, access: &Access, name: &KeyName) -> Result<History, VaultError> {
    vault.read(access, |tx| {
        let key = edit::existing(tx, name)?;
        let mut reads = Reads::default();
        token::read_all_logs(tx, &mut |of, event| {
            if of.vouches_for(event) {
                reads.note(event);
            }
        })?;
        let reads = reads.of_keys.remove(name.as_str()).unwrap_or_default();
        Ok((key, reads))
    })
}

/// Per name, per version: the last release. A key is followed through its renames.
#[derive(Default)]
struct Reads {
    of_keys: BTreeMap<String, BTreeMap<u32, Moment>>,
    removed: OfRemoved<BTreeMap<u32, Moment>>,
}

impl Reads {
    fn note(&mut self, event: &Event) {
        match event.action {
            Action::Exec | Action::Export | Action::Reveal => {
                for key in &event.keys {
                    let reads = self.of_keys.entry(key.name.clone()).or_default();
                    let last = reads.entry(key.version).or_insert(event.time);
                    *last = after(*last, event);
                }
            }
            Action::Edit => {
                if let (Some(Renamed(new)), [key]) = (event.get(), event.keys.as_slice())
                    && let Some(reads) = self.of_keys.remove(&key.name)
                {
                    self.of_keys.insert(new.to_string(), reads);
                }
            }
            Action::Remove if event.change.is_some() => self.removed.take(event, &mut self.of_keys),
            Action::Undelete => self.removed.bring_back(event, &mut self.of_keys),
            _ => {}
        }
    }
}

fn due_in(tx: &mut VerifiedTx<'_>, which: &Which, now: Moment) -> Result<Vec<KeyRecord>, VaultError> {
    match which {
        Which::Names(names) => edit::all_existing(tx, names),
        Which::Scopes(scopes) => {
            let mut keys = BTreeMap::new();
            for scope in scopes {
                let Some(members) = of_scope(tx, scope)? else {
                    let near = tx.scope_like(scope)?;
                    return Err(VaultError::NoSuchScope { wanted: scope.clone(), near });
                };
                keys.extend(members.into_iter().map(|key| (key.name.clone(), key)));
            }
            Ok(keys.into_values().filter(|key| key.current().is_some()).collect())
        }
        Which::Expired => {
            let mut keys = tx.keys()?;
            keys.retain(|key| key.status(now) == Status::Expired);
            Ok(keys)
        }
    }
}

/// The keys that carry a scope; `None` if nothing does.
pub(crate) fn of_scope(tx: &mut VerifiedTx<'_>, scope: &Scope) -> Result<Option<Vec<KeyRecord>>, VaultError> {
    let members = tx.keys_of_scope(scope)?;
    let mut keys = Vec::with_capacity(members.len());
    for tag in &members {
        let key = tx.object_at(tag)?.filter(|key: &KeyRecord| key.scopes.contains(scope));
        keys.push(key.ok_or_else(|| StateError::Mismatch { what: "scope".to_owned() })?);
    }
    Ok(if keys.is_empty() { None } else { Some(keys) })
}

fn rotate_one(
    tx: &mut VerifiedTx<'_>,
    mut key: KeyRecord,
    value: Option<&SecretBytes>,
    terms: Terms,
    world: &World<'_>,
) -> Result<KeyRecord, VaultError> {
    let now = world.now();
    // No grace reaches past the expiry that the key had: what has expired does not become good again for a while.
    let grace = key.expires.map_or(terms.grace, |end| terms.grace.min(end.0.saturating_sub(now.0)).max(0));
    key.end_graces_by_expiry();
    let (value, public) = match (value, &key.recipe) {
        (Some(value), _) => {
            key.recipe = None;
            (SecretBytes::copy_from(value.expose()), None)
        }
        (None, Some(recipe)) => {
            let made = recipe.generate(world.rng, crypto::KEY_PAIRS, key.name.as_str())?;
            (made.value, made.public)
        }
        (None, None) => return Err(VaultError::NeedValues(vec![key.name])),
    };
    key.expires = match terms.expires {
        Some(expires) => expires,
        None => key.renewed_expiry(now)?,
    };
    settle(tx, &mut key, now)?;
    edit::add_version(tx, &mut key, &value, public, grace, world, now)?;
    tx.put_key(&mut key, world.rng)?;
    Ok(key)
}

/// This moment, or that of the last change if the clock has gone back since.
pub(crate) fn no_earlier(tx: &VerifiedTx<'_>, now: Moment) -> Moment {
    now.max(tx.current.record.time)
}

/// Writes down what time has done to a key's versions, and wipes those whose keeping is over.
pub(crate) fn settle(tx: &mut VerifiedTx<'_>, key: &mut KeyRecord, now: Moment) -> Result<(), VaultError> {
    // A clock that went back may have been ahead before, and everything would seem overdue.
    let clock_holds = now >= tx.current.record.time;
    for number in key.settle(now, clock_holds) {
        tx.rows.delete_version(&key.id, number)?;
    }
    Ok(())
}

fn revoke_versions(
    tx: &mut VerifiedTx<'_>,
    key: &mut KeyRecord,
    revocation: &Revocation,
    now: Moment,
) -> Result<Vec<u32>, VaultError> {
    let wanted = |version: &Version| revocation.version.is_none_or(|number| number == version.number);
    if !key.versions.iter().any(wanted) {
        let version = revocation.version.unwrap_or_default();
        return Err(VaultError::NoSuchVersion { name: key.name.clone(), version });
    }
    let change = tx.next_change();
    for version in key.versions.iter_mut().filter(|version| wanted(version)) {
        if version.state != VersionState::Revoked {
            version.revoke((now, change), &revocation.reason);
        } else if version.reason.is_empty() {
            version.reason.clone_from(&revocation.reason);
        }
        if revocation.wipe && version.digest.take().is_some() {
            tx.rows.delete_version(&key.id, version.number)?;
        }
    }
    Ok(key.versions.iter().filter(|version| wanted(version)).map(|version| version.number).collect())
}
