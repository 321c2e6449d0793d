//! Removed issued keys: refused at once, kept for a while, and their names free.

use std::collections::{BTreeMap, BTreeSet};

use keyvault_core::clock::Moment;
use keyvault_core::codec::Extensions;
use keyvault_core::name::KeyName;
use keyvault_issue::record::{Id, KeyRecord, NamedKey, Note, Proof, State};
use keyvault_issue::set::{Changes, Found, Removal};

use super::error::IssuedError;
use super::names::{self, Gone};
use super::view::{Key, Loaded, Pending, choose, event, load, viewed};
use super::{apart, view};
use crate::audit::IssuedDeed;
use crate::error::VaultError;
use crate::file::open::{Access, Vault, World};
use crate::key::KEPT;
use crate::tx::VerifiedTx;

const REASON: &str = "removed";

/// A removed key.
#[derive(Debug, Clone)]
pub struct Removed {
    pub key: Key,
    pub removed: Moment,
}

impl Removed {
    /// Until then it can be brought back.
    #[must_use]
    pub fn until(&self) -> Moment {
        self.removed.plus_millis(KEPT)
    }
}

/// Removes keys, all or none: they are refused at once, and kept for 30 days.
pub fn remove(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    names: &[KeyName],
) -> Result<Vec<Removed>, VaultError> {
    take_away(vault, access, world, names, |one, key, entry, changes| {
        let note = Note { since: world.now(), reason: REASON.into() };
        let mut was = BTreeMap::new();
        for record in own_and_formers(one, &key.record.id) {
            was.insert(record.id, record.state.clone());
            if !record.state.is_revoked() {
                let state = State::Disabled(Box::new(note.clone()));
                changes.put.keys.push(KeyRecord { state, ..record.clone() });
            }
        }
        let gone = Gone { name: entry.name.clone(), since: world.now(), was };
        let keeper = Gone::keeper(&entry.id).map_err(|_| apart("issued_page: no name for a removed key"))?;
        changes.removed.push(Removal::Name(entry.name.clone()));
        changes.put.names.push(NamedKey { name: keeper, extensions: gone.extensions(), ..entry.clone() });
        Ok(())
    })
}

/// Removes keys at once and permanently. Their ids stay, revoked and without a hash.
pub fn wipe(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    names: &[KeyName],
) -> Result<Vec<Removed>, VaultError> {
    take_away(vault, access, world, names, |one, key, entry, changes| {
        end(one, &key.record.id, world.now(), changes);
        changes.removed.push(Removal::Name(entry.name.clone()));
        Ok(())
    })
}

fn take_away(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    names: &[KeyName],
    take: impl Fn(&Loaded, &Key, &NamedKey, &mut Changes) -> Result<(), VaultError>,
) -> Result<Vec<Removed>, VaultError> {
    vault.change(access, world, |tx| {
        let now = world.now();
        let loaded = load(tx, now)?;
        let mut pending = Pending::default();
        let mut keys = Vec::new();
        for name in names.iter().collect::<BTreeSet<_>>() {
            let chosen = choose(tx, &loaded, name)?;
            let (Some(one), Some(entry)) = (loaded.get(chosen.at), &chosen.entry) else {
                return Err(IssuedError::Issuers(chosen.id).into());
            };
            let key = viewed(&loaded, &chosen, now)?;
            take(one, &key, entry, pending.of(chosen.at))?;
            keys.push(Removed { key, removed: now });
        }
        tx.takes_away = true;
        pending.write(tx, &loaded, world)?;
        let api = keys.first().map(|removed| removed.key.api.clone());
        let api = api.ok_or_else(|| apart("no issued key is ids"))?;
        let ids = keys.iter().map(|removed| (removed.key.record.id, removed.key.name.clone()));
        let event = event(world, IssuedDeed::Removed, &api, ids, "");
        Ok((keys, event))
    })
}

/// Every removed key, by name, the one that was removed last first among those of one name.
pub fn removed(vault: &mut Vault, access: &Access, now: Moment) -> Result<Vec<Removed>, VaultError> {
    vault.read(access, |tx| {
        let loaded = load(tx, now)?;
        let mut all = Vec::new();
        for one in &loaded {
            for (entry, gone) in entries(one) {
                let Some(mut key) = one.view(&entry.id, Some(entry), now) else { continue };
                key.name = Some(gone.name);
                all.push(Removed { key, removed: gone.since });
            }
        }
        all.sort_by_cached_key(|removed| (removed.key.name.clone(), std::cmp::Reverse(removed.removed)));
        Ok(all)
    })
}

/// Brings back the key that was removed last under this name; its states are those that it had.
pub fn undelete(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    name: &KeyName,
    rename: Option<&KeyName>,
) -> Result<Key, VaultError> {
    vault.change(access, world, |tx| {
        let now = world.now();
        let loaded = load(tx, now)?;
        let of_name = loaded.iter().flat_map(|one| entries(one).map(move |(entry, gone)| (one, entry, gone)));
        let last = of_name.filter(|(.., gone)| gone.name == *name).max_by_key(|(.., gone)| gone.since);
        let Some((one, entry, gone)) = last else { return Err(not_removed(&loaded, name)) };
        let wanted = rename.unwrap_or(name);
        if tx.key(wanted)?.is_some() || names::named(tx, wanted)?.is_some() {
            return Err(VaultError::NameInUse { removed: name.clone(), wanted: wanted.clone() });
        }
        let mut changes = Changes::default();
        for record in own_and_formers(one, &entry.id) {
            let state = gone.was.get(&record.id).filter(|_| !record.state.is_revoked());
            if let Some(state) = state {
                changes.put.keys.push(KeyRecord { state: state.clone(), ..record.clone() });
            }
        }
        changes.removed.push(Removal::Name(entry.name.clone()));
        let back = NamedKey { name: wanted.clone(), extensions: Extensions::default(), ..entry.clone() };
        changes.put.names.push(back.clone());
        let id = entry.id;
        let api = one.api()?.name.clone();
        view::write(tx, one, changes, world)?;
        let loaded = load(tx, now)?;
        let key = loaded.iter().find_map(|one| one.view(&id, Some(&back), now));
        let key = key.ok_or_else(|| apart(&format!("issued key {id}: missing")))?;
        let event = event(world, IssuedDeed::Undeleted, &api, [(id, Some(wanted.clone()))], "");
        Ok((key, event))
    })
}

fn not_removed(loaded: &[Loaded], name: &KeyName) -> VaultError {
    let removed: BTreeSet<_> = loaded.iter().flat_map(entries).map(|(_, gone)| gone.name).collect();
    let near = keyvault_core::name::similar::nearest(removed.clone(), name.as_str(), KeyName::as_str);
    VaultError::NotRemoved { name: name.clone(), near, removed: removed.into_iter().collect() }
}

fn entries(one: &Loaded) -> impl Iterator<Item = (&NamedKey, Gone)> {
    one.set().names().filter_map(|entry| Some((entry, Gone::of(entry)?)))
}

fn own_and_formers<'l>(one: &'l Loaded, id: &Id) -> Vec<&'l KeyRecord> {
    let own = match one.set().key(id) {
        Found::Record(key) => Some(key),
        Found::Newer | Found::Absent => None,
    };
    own.into_iter().chain(one.formers_of(id)).collect()
}

/// Revokes a key and its formers, and forgets their hashes.
fn end(one: &Loaded, id: &Id, since: Moment, changes: &mut Changes) {
    for record in own_and_formers(one, id) {
        let state = if record.state.is_revoked() {
            record.state.clone()
        } else {
            State::Revoked(Box::new(Note { since, reason: REASON.into() }))
        };
        changes.put.keys.push(KeyRecord { state, proof: Proof::None, ..record.clone() });
    }
}

/// Ends what was removed long enough ago, in a change that is made in any case. A clock that went back ends nothing.
pub(super) fn purge(tx: &VerifiedTx<'_>, one: &Loaded, changes: &mut Changes, world: &World<'_>) {
    let now = world.now();
    if now < tx.current.record.time {
        return;
    }
    let overdue = |(entry, gone): &(&NamedKey, Gone)| {
        gone.since.plus_millis(KEPT) <= now && !changes.removed.contains(&Removal::Name(entry.name.clone()))
    };
    let overdue: Vec<_> = entries(one).filter(overdue).collect();
    for (entry, gone) in overdue {
        end(one, &entry.id, gone.since, changes);
        changes.removed.push(Removal::Name(entry.name.clone()));
    }
}

/// How many removed keys the set keeps after a change.
pub(super) fn count(one: &Loaded, changes: &Changes) -> u32 {
    let goes = |name: &KeyName| changes.removed.contains(&Removal::Name(name.clone()));
    let stay = entries(one).filter(|(entry, _)| !goes(&entry.name)).count();
    let come = changes.put.names.iter().filter(|entry| Gone::of(entry).is_some()).count();
    u32::try_from(stay + come).unwrap_or(u32::MAX)
}
