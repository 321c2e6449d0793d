//! Removed keys: hidden for 30 days, in which they can be brought back, and wiped after them or at once.

use std::collections::BTreeSet;

use borsh::{BorshDeserialize, BorshSerialize};
use keyvault_core::clock::Moment;
use keyvault_core::codec::{Extensions, Malformed};
use keyvault_core::name::KeyName;
use keyvault_core::name::similar::nearest;

use super::edit::{all_existing, key_ref};
use super::record::KeyRecord;
use super::rotate::{no_earlier, settle};
use super::tombstones::Tombstones;
use super::versions::{KEPT, SECOND_LOOK};
use crate::audit::{Action, Event, KeptIds, KeyRef, Renamed, Wiped};
use crate::error::{VaultError, is_damage};
use crate::file::open::{Access, Vault, World};
use crate::file::survivors::Loss;
use crate::issued;
use crate::store::ObjectKind;
use crate::tx::VerifiedTx;
use crate::tx::object::Object;
use crate::{file, token};

/// A key that was removed. The fields stand in the order of their encoding.
#[derive(Debug, Clone, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct RemovedKey {
    /// The key's id, by which the object is found: several removed keys can have one name.
    id: Vec<u8>,
    /// When it was removed, by a clock that never went back.
    pub removed: Moment,
    /// The number of the change that removed it.
    pub change: u64,
    /// When a change first found that its 30 days are over. One at least an hour later wipes it.
    due: Option<Moment>,
    /// As it was when it was removed; nothing changes it but a rekey and a restore.
    pub key: KeyRecord,
}

/// A key that was brought back.
pub struct Undeleted {
    pub key: KeyRecord,
    /// When it was removed.
    pub removed: Moment,
    /// How many more removed keys have the name that it had.
    pub others: usize,
}

impl RemovedKey {
    /// Until when it can be brought back.
    #[must_use]
    pub fn until(&self) -> Moment {
        self.removed.plus_millis(KEPT)
    }

    /// Returns `true` while it can be brought back. A clock that was wrong wipes nothing at once, and what it refused is
    /// there again once it is right.
    #[must_use]
    pub fn is_kept(&self, now: Moment) -> bool {
        now < self.until()
    }
}

impl Object for RemovedKey {
    const KIND: ObjectKind = ObjectKind::Removed;

    fn name(&self) -> &[u8] {
        &self.id
    }

    fn extensions(&self) -> &Extensions {
        self.key.extensions()
    }

    fn complete(self, revision: u64) -> Result<Self, Malformed> {
        if self.id != self.key.id {
            return Err(Malformed);
        }
        Ok(Self { key: self.key.complete(revision)?, ..self })
    }
}

/// Removes keys, all or none; they are kept for 30 days. With root no damage is in the way that costs nothing else.
pub fn remove(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    names: &[KeyName],
) -> Result<Vec<RemovedKey>, VaultError> {
    file::change_despite_damage(vault, access, world, names, accept, |tx, dropped| {
        let (there, gone) = dropped.divide(tx, names)?;
        let mut removed = Vec::new();
        for key in all_existing(tx, &there)? {
            removed.push(hide(tx, key, world)?);
        }
        let keys = removed.iter().map(|removed| &removed.key);
        let event = event(keys.clone(), gone, world);
        let ids: Vec<_> = keys.map(|key| key.id).collect();
        let event = if ids.is_empty() { event } else { event.with(&KeptIds(ids)) };
        Ok((removed, Some(event)))
    })
}

/// Deletes keys with the values of all their versions, all or none, and compacts the file. Removed keys of these names stay.
/// With root no damage is in the way that costs nothing else.
pub fn wipe(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    names: &[KeyName],
) -> Result<Vec<KeyRecord>, VaultError> {
    let wiped = file::change_despite_damage(vault, access, world, names, accept, |tx, dropped| {
        let (there, gone) = dropped.divide(tx, names)?;
        let wiped = all_existing(tx, &there)?;
        wiped.iter().try_for_each(|key| delete(tx, key))?;
        let event = event(wiped.iter(), gone, world).with(&Wiped);
        Ok((wiped, Some(event)))
    })?;
    vault.compact(world);
    Ok(wiped)
}

/// Deletes every removed key of these names with the values of all its versions, all or none, and compacts the file. Keys
/// that have these names by now stay. With root no damage is in the way that costs nothing else.
pub fn wipe_removed(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    names: &[KeyName],
) -> Result<Vec<KeyRecord>, VaultError> {
    let wiped = file::change_despite_damage(vault, access, world, &[], accept, |tx, _| {
        let mut wiped = Vec::new();
        for name in names.iter().collect::<BTreeSet<_>>() {
            let removed = of_name(tx, name)?;
            if removed.is_empty() {
                return Err(not_removed(tx, name, world.now())?);
            }
            for removed in removed {
                forget(tx, &removed)?;
                wiped.push(removed.key);
            }
        }
        let ids = KeptIds(wiped.iter().map(|key| key.id).collect());
        let event = event(wiped.iter(), Vec::new(), world).with(&Wiped).with(&ids);
        Ok((wiped, Some(event)))
    })?;
    vault.compact(world);
    Ok(wiped)
}

/// Brings back the key of this name that was removed last, under its id, and under another name if one is given. Nothing
/// comes back whose 30 days are over, wiped or not.
pub fn undelete(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    name: &KeyName,
    rename: Option<&KeyName>,
) -> Result<Undeleted, VaultError> {
    vault.change(access, world, |tx| {
        let mut removed = all(tx)?;
        let now = world.now();
        let is_over = removed.iter().any(|removed| removed.key.name == *name);
        removed.retain(|removed| removed.key.name == *name && removed.is_kept(now));
        let others = removed.len().saturating_sub(1);
        let Some(last) = removed.into_iter().next() else {
            return Err(if is_over {
                VaultError::RemovalOver(name.clone())
            } else {
                not_removed(tx, name, now)?
            });
        };
        let wanted = rename.unwrap_or(name);
        let in_use = || VaultError::NameInUse { removed: name.clone(), wanted: wanted.clone() };
        if tx.key(wanted)?.is_some() {
            return Err(in_use());
        }
        issued::refuse_issued(tx, wanted).map_err(|error| match error {
            VaultError::Issued(_) => in_use(),
            error => error,
        })?;
        let tag = tx.object_tag(ObjectKind::Removed, last.name());
        tx.delete_object(ObjectKind::Removed, &tag)?;
        let mut key = KeyRecord { name: wanted.clone(), ..last.key };
        settle(tx, &mut key, now)?;
        tx.put_key(&mut key, world.rng)?;
        tx.enter_key(None, Some(&key));
        let event_key = KeyRef { name: name.to_string(), ..key_ref(&key) };
        let event =
            world.event(Action::Undelete, vec![event_key], String::new()).with(&KeptIds(vec![key.id]));
        let renamed = rename.filter(|rename| *rename != name).cloned().map(Renamed);
        let event = if let Some(renamed) = renamed { event.with(&renamed) } else { event };
        Ok((Undeleted { key, removed: last.removed, others }, event))
    })
}

/// Every removed key that can be brought back, the one that was removed last first.
pub fn removed(vault: &mut Vault, access: &Access, now: Moment) -> Result<Vec<RemovedKey>, VaultError> {
    let mut removed = vault.read(access, all)?;
    removed.retain(|removed| removed.is_kept(now));
    Ok(removed)
}

/// Removed keys of this name, each verified, whether or not they can still be brought back.
pub fn removed_of_name(
    vault: &mut Vault,
    access: &Access,
    name: &KeyName,
) -> Result<Vec<RemovedKey>, VaultError> {
    vault.read(access, |tx| of_name(tx, name))
}

/// The names of removed keys that can be brought back, each verified, for completion.
pub fn removed_names(
    vault: &mut Vault,
    access: &Access,
    now: Moment,
) -> Result<BTreeSet<KeyName>, VaultError> {
    vault.read(access, |tx| kept_names(tx, now))
}

fn kept_names(tx: &mut VerifiedTx<'_>, now: Moment) -> Result<BTreeSet<KeyName>, VaultError> {
    let kept = there(tx)?.into_iter().filter(|removed| removed.is_kept(now));
    Ok(kept.map(|removed| removed.key.name).collect())
}

fn not_removed(tx: &mut VerifiedTx<'_>, name: &KeyName, now: Moment) -> Result<VaultError, VaultError> {
    let names = kept_names(tx, now)?;
    let near = nearest(names.iter(), name.as_str(), |name| name.as_str()).cloned();
    Ok(VaultError::NotRemoved { name: name.clone(), near, removed: names.into_iter().collect() })
}

/// A removal can wait, so nothing but these keys is dropped for it.
fn accept(loss: &Loss) -> Result<(), VaultError> {
    let no_sets = loss.sets == 0 && !loss.set_list;
    if loss.keys.is_empty() && loss.log.is_empty() && loss.removed == 0 && no_sets && !loss.ledgers {
        Ok(())
    } else {
        Err(VaultError::WouldDrop(Box::new(loss.clone())))
    }
}

/// The event of keys that are removed or wiped; of those that are `gone` only damage was there.
fn event<'k>(
    keys: impl Iterator<Item = &'k KeyRecord> + Clone,
    gone: Vec<KeyName>,
    world: &World<'_>,
) -> Event {
    let mut refs: Vec<_> = keys.clone().map(key_ref).collect();
    refs.extend(gone.iter().map(|name| KeyRef { name: name.to_string(), version: 0 }));
    file::tell_gone(gone, None, world);
    Tombstones::of(keys).kept_in(world.event(Action::Remove, refs, String::new()))
}

fn hide(tx: &mut VerifiedTx<'_>, mut key: KeyRecord, world: &World<'_>) -> Result<RemovedKey, VaultError> {
    settle(tx, &mut key, world.now())?;
    tx.delete_key_row(&key.name)?;
    tx.enter_key(Some(&key), None);
    token::touch(tx, key.id, None)?;
    let (removed, change) = (no_earlier(tx, world.now()), tx.next_change());
    let mut removed = RemovedKey { id: key.id.to_vec(), removed, change, due: None, key };
    put(tx, &mut removed, world)?;
    Ok(removed)
}

/// Writes a removed key under its next revision.
pub(crate) fn put(
    tx: &mut VerifiedTx<'_>,
    removed: &mut RemovedKey,
    world: &World<'_>,
) -> Result<(), VaultError> {
    removed.key.last_change = tx.next_change();
    tx.put_object(removed, removed.key.revision, world.rng)?;
    removed.key.revision += 1;
    Ok(())
}

fn delete(tx: &mut VerifiedTx<'_>, key: &KeyRecord) -> Result<(), VaultError> {
    tx.delete_key_row(&key.name)?;
    tx.rows.delete_versions(&key.id)?;
    tx.enter_key(Some(key), None);
    token::touch(tx, key.id, None)
}

fn forget(tx: &mut VerifiedTx<'_>, removed: &RemovedKey) -> Result<(), VaultError> {
    let tag = tx.object_tag(ObjectKind::Removed, removed.name());
    tx.delete_object(ObjectKind::Removed, &tag)?;
    Ok(tx.rows.delete_versions(&removed.key.id)?)
}

/// Every removed key, none missing, the one that was removed last first.
fn all(tx: &mut VerifiedTx<'_>) -> Result<Vec<RemovedKey>, VaultError> {
    // Proves that no row is missing, of whatever kind.
    tx.keys()?;
    there(tx)
}

fn of_name(tx: &mut VerifiedTx<'_>, name: &KeyName) -> Result<Vec<RemovedKey>, VaultError> {
    let mut removed = there(tx)?;
    removed.retain(|removed| removed.key.name == *name);
    Ok(removed)
}

/// The removed keys that there are rows of, each verified, the one that was removed last first.
pub(crate) fn there(tx: &mut VerifiedTx<'_>) -> Result<Vec<RemovedKey>, VaultError> {
    let rows = tx.rows.objects(ObjectKind::Removed)?;
    let mut removed: Vec<RemovedKey> = rows.iter().map(|row| tx.verified(row)).collect::<Result<_, _>>()?;
    removed.sort_by_key(|removed| std::cmp::Reverse((removed.change, removed.removed)));
    Ok(removed)
}

/// The removed keys that hold, whatever became of the others.
pub(crate) fn that_hold(tx: &mut VerifiedTx<'_>) -> Vec<RemovedKey> {
    let rows = tx.rows.wellformed_objects(ObjectKind::Removed).unwrap_or_default();
    rows.iter().filter_map(|row| tx.verified(row).ok()).collect()
}

/// Wipes the removed keys whose 30 days are over and were so at a change an hour ago, each with an entry of the log before
/// that of this change.
pub(crate) fn wipe_overdue(tx: &mut VerifiedTx<'_>, world: &World<'_>) -> Result<(), VaultError> {
    let now = world.now();
    // A clock that went back may have been ahead before, and everything would seem overdue.
    if !tx.rows.has_objects(ObjectKind::Removed)? || now < tx.current.record.time {
        return Ok(());
    }
    for row in tx.rows.wellformed_objects(ObjectKind::Removed)? {
        let mut removed: RemovedKey = match tx.verified(&row) {
            // Damage is for a check to find, and keeps no change from being made.
            Err(error) if is_damage(&error) => continue,
            removed => removed?,
        };
        if removed.until() > now || removed.key.extensions.first().is_some() {
            continue;
        }
        match removed.due {
            None => {
                removed.due = Some(now);
                put(tx, &mut removed, world)?;
            }
            Some(due) if due.plus_millis(SECOND_LOOK) <= now => {
                forget(tx, &removed)?;
                let detail = "30 days after its removal".to_owned();
                let event = world.event(Action::Remove, vec![key_ref(&removed.key)], detail);
                tx.carried.push(event.with(&Wiped).with(&KeptIds(vec![removed.key.id])));
            }
            Some(_) => {}
        }
    }
    Ok(())
}
