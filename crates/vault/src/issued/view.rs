//! Issued keys as their owner sees them.

use std::collections::{BTreeMap, BTreeSet};

use keyvault_core::clock::Moment;
use keyvault_core::name::{KeyName, Label, Scope, TagKey};
use keyvault_issue::record::{Api, Ascending, HoldPoint, Id, KeyRecord, Meaning, NamedKey, State};
use keyvault_issue::set::{Changes, Found, LoadedSet, api_key};
use keyvault_issue::standing::{Lookup, Sets, Standing};

use super::entries::rewrite;
use super::error::{IssuedError, Noun};
use super::names::{Gone, REMOVED_COUNT, named};
use super::{Carried, apart, draft_of, find, holds, removal, verified_list};
use crate::audit::{Action, Event, IssuedChange, IssuedDeed};
use crate::error::VaultError;
use crate::file::open::{Access, Vault, World};
use crate::key::not_found;
use crate::tx::VerifiedTx;
use keyvault_core::codec;

/// An issued key.
#[derive(Debug, Clone)]
pub struct Key {
    /// Keys of issuers have none.
    pub name: Option<KeyName>,
    pub note: String,
    pub tags: BTreeMap<TagKey, String>,
    pub api: Label,
    pub issuer: Option<Label>,
    pub client: Option<Label>,
    pub roles: Vec<Label>,
    /// Its own, without those of its roles.
    pub scopes: Vec<Scope>,
    pub record: KeyRecord,
    /// `None` if the set that would have the key is not taken.
    pub standing: Option<Standing>,
    /// The first of its expiry, the end of its grace, and its issuer's end.
    pub ends: Option<Moment>,
    /// Ids that it had before, the last one first.
    pub formers: Vec<Former>,
}

/// A key that a rotation replaced.
#[derive(Debug, Clone)]
pub struct Former {
    pub record: KeyRecord,
    pub standing: Option<Standing>,
    pub ends: Option<Moment>,
}

impl Key {
    /// The name, or the id where there is none.
    #[must_use]
    pub fn label(&self) -> String {
        self.name.as_ref().map_or_else(|| self.record.id.to_string(), ToString::to_string)
    }
}

/// The owner's set of an API, and all sets of it to decide by.
pub(super) struct Loaded {
    pub(super) carried: Carried,
    pub(super) sets: Sets,
}

/// A key that was chosen by its name or id.
pub(super) struct Chosen {
    /// Which of the loaded APIs has it.
    pub(super) at: usize,
    pub(super) id: Id,
    pub(super) entry: Option<NamedKey>,
}

/// All APIs, by their names. Any fault is an error: nothing is told of sets of which one does not hold.
pub(super) fn load(tx: &VerifiedTx<'_>, now: Moment) -> Result<Vec<Loaded>, VaultError> {
    let found = find(tx)?;
    if let Some((row, what)) = found.faults.into_iter().next() {
        return Err(apart(&format!("{row}: {what}")));
    }
    let list = verified_list(tx)?;
    let (owners, issuers): (Vec<_>, Vec<_>) =
        found.sets.into_iter().partition(|carried| carried.set.api().is_some());
    let mut all = Vec::with_capacity(owners.len());
    for carried in owners {
        let Some(api) = carried.set.api() else { continue };
        let key = api_key(&tx.daily.issued, &api.id);
        let logs = api.verifiers.iter().map(|entry| {
            let rows = carried.holds.iter().find(|(id, _)| *id == entry.id);
            let rows = rows.map(|(_, rows)| rows.as_slice()).unwrap_or_default();
            holds::read(rows, (api, entry), (&key, &tx.identity), HoldPoint::default())
        });
        let logs = logs.collect();
        let of_api =
            issuers.iter().filter(|issuer| issuer.api == carried.api).map(|issuer| issuer.set.clone());
        let (sets, _) = Sets::join(&list, carried.set.clone(), of_api.collect(), logs, now);
        all.push(Loaded { carried, sets });
    }
    all.sort_by_key(Loaded::name);
    Ok(all)
}

/// The API of this name, among those that were loaded.
pub(super) fn of_name(loaded: Vec<Loaded>, wanted: &Label) -> Result<Loaded, VaultError> {
    let near = keyvault_core::name::similar::nearest(
        loaded.iter().filter_map(Loaded::name).collect::<Vec<_>>(),
        wanted.as_str(),
        Label::as_str,
    );
    let found = loaded.into_iter().find(|one| one.name().as_ref() == Some(wanted));
    found.ok_or_else(|| IssuedError::Missing { noun: Noun::Api, wanted: wanted.clone(), near }.into())
}

impl Loaded {
    pub(super) fn set(&self) -> &LoadedSet {
        &self.carried.set
    }

    pub(super) fn api(&self) -> Result<&Api, VaultError> {
        self.carried.set.api().ok_or_else(|| apart("issued_set: the API's record is missing"))
    }

    fn name(&self) -> Option<Label> {
        self.carried.set.api().map(|api| api.name.clone())
    }

    /// The keys that led to this one by rotations, the last one first.
    pub(super) fn formers_of(&self, id: &Id) -> Vec<&KeyRecord> {
        let mut formers: Vec<&KeyRecord> = Vec::new();
        let mut after = BTreeSet::from([*id]);
        loop {
            let leads = |key: &&KeyRecord| {
                key.replaced.is_some_and(|replaced| after.contains(&replaced.by)) && !after.contains(&key.id)
            };
            let more: Vec<_> = self.set().keys().filter(leads).collect();
            if more.is_empty() {
                break;
            }
            after.extend(more.iter().map(|key| key.id));
            formers.extend(more);
        }
        formers
    }

    /// Names of keys that are not removed, by ids.
    fn entries(&self) -> BTreeMap<Id, &NamedKey> {
        let entries = self.set().names().filter(|entry| Gone::of(entry).is_none());
        entries.map(|entry| (entry.id, entry)).collect()
    }

    pub(super) fn word(&self, number: u32) -> Option<&Meaning> {
        match self.set().word(number) {
            Found::Record(word) => Some(&word.meaning),
            Found::Newer | Found::Absent => None,
        }
    }

    fn judged(&self, id: &Id, now: Moment) -> (Option<Standing>, Option<Moment>) {
        match self.sets.find(id) {
            Lookup::Key(credential) => (Some(credential.standing(now)), credential.ends()),
            Lookup::Unavailable | Lookup::Unknown => (None, None),
        }
    }

    pub(super) fn record(&self, id: &Id) -> Option<&KeyRecord> {
        match self.sets.find(id) {
            Lookup::Key(credential) => Some(credential.key()),
            Lookup::Unavailable | Lookup::Unknown => None,
        }
    }

    pub(super) fn is_owners(&self, id: &Id) -> bool {
        self.set().mark() == Some(id.mark())
    }

    /// A key with its formers.
    pub(super) fn view(&self, id: &Id, entry: Option<&NamedKey>, now: Moment) -> Option<Key> {
        let mut key = self.brief(id, entry, now)?;
        let formers = self.formers_of(id).into_iter().map(|record| {
            let (standing, ends) = self.judged(&record.id, now);
            Former { record: record.clone(), standing, ends }
        });
        key.formers = formers.collect();
        Some(key)
    }

    /// A key without its formers.
    fn brief(&self, id: &Id, entry: Option<&NamedKey>, now: Moment) -> Option<Key> {
        let Lookup::Key(credential) = self.sets.find(id) else { return None };
        let record = credential.key();
        let roles = record.roles.iter().filter_map(|number| match self.word(*number) {
            Some(Meaning::Role(name, _)) => Some(name.clone()),
            _ => None,
        });
        let scopes = record.scopes.iter().filter_map(|number| match self.word(*number) {
            Some(Meaning::Scope(scope)) => Some(scope.clone()),
            _ => None,
        });
        let mut scopes: Vec<_> = scopes.collect();
        scopes.sort();
        let mut roles: Vec<_> = roles.collect();
        roles.sort();
        Some(Key {
            name: entry.map(|entry| entry.name.clone()),
            note: entry.map(|entry| entry.note.to_string()).unwrap_or_default(),
            tags: entry.map(|entry| entry.tags.clone()).unwrap_or_default(),
            api: self.name()?,
            issuer: credential.issuer().map(|issuer| issuer.name.clone()),
            client: credential.client().map(|client| client.name.clone()),
            roles,
            scopes,
            record: record.clone(),
            standing: Some(credential.standing(now)),
            ends: credential.ends(),
            formers: Vec::new(),
        })
    }
}

/// Every issued key that was not removed or replaced, by name, those without one after them.
pub fn list(vault: &mut Vault, access: &Access, now: Moment) -> Result<Vec<Key>, VaultError> {
    vault.read(access, |tx| {
        let mut keys = Vec::new();
        for one in load(tx, now)? {
            let entries = one.entries();
            keys.extend(entries.iter().filter_map(|(id, entry)| one.brief(id, Some(entry), now)));
            let of_issuers =
                one.sets.issuers().flat_map(LoadedSet::keys).filter(|key| key.replaced.is_none());
            keys.extend(of_issuers.filter_map(|key| one.brief(&key.id, None, now)));
        }
        keys.sort_by_cached_key(|key| (key.name.is_none(), key.name.clone(), key.record.id));
        Ok(keys)
    })
}

/// One issued key, by its name or id.
pub fn show(vault: &mut Vault, access: &Access, name: &KeyName, now: Moment) -> Result<Key, VaultError> {
    vault.read(access, |tx| {
        let loaded = load(tx, now)?;
        let chosen = choose(tx, &loaded, name)?;
        viewed(&loaded, &chosen, now)
    })
}

/// Those of these names that mean issued keys, by name or id, and no held ones.
pub fn among(vault: &mut Vault, access: &Access, names: &[KeyName]) -> Result<Vec<KeyName>, VaultError> {
    vault.read(access, |tx| {
        let mut issued = Vec::new();
        if tx.rows.set_headers()?.is_empty() {
            return Ok(issued);
        }
        for name in names {
            if named(tx, name)?.is_some() {
                issued.push(name.clone());
            } else if let Some(id) = Id::parse(name.as_str())
                && tx.key(name)?.is_none()
            {
                let loaded = load(tx, tx.current.record.time)?;
                issued.extend(loaded.iter().any(|one| one.record(&id).is_some()).then(|| name.clone()));
            }
        }
        Ok(issued)
    })
}

pub(super) fn viewed(loaded: &[Loaded], chosen: &Chosen, now: Moment) -> Result<Key, VaultError> {
    let one = loaded.get(chosen.at);
    let key = one.and_then(|one| one.view(&chosen.id, chosen.entry.as_ref(), now));
    key.ok_or_else(|| apart(&format!("issued key {}: missing", chosen.id)))
}

/// The key of this name or id.
pub(super) fn choose(
    tx: &mut VerifiedTx<'_>,
    loaded: &[Loaded],
    name: &KeyName,
) -> Result<Chosen, VaultError> {
    for (at, one) in loaded.iter().enumerate() {
        if let Found::Record(entry) = one.set().name(name)
            && Gone::of(entry).is_none()
        {
            return Ok(Chosen { at, id: entry.id, entry: Some(entry.clone()) });
        }
    }
    if let Some(id) = Id::parse(name.as_str()) {
        for (at, one) in loaded.iter().enumerate() {
            if one.record(&id).is_some() {
                let entry = one.entries().get(&id).map(|entry| (*entry).clone());
                return Ok(Chosen { at, id, entry });
            }
        }
    }
    Err(not_found(tx, vec![name.clone()])?)
}

/// Changes of several APIs, to be written together.
#[derive(Default)]
pub(super) struct Pending(BTreeMap<usize, Changes>);

impl Pending {
    pub(super) fn of(&mut self, at: usize) -> &mut Changes {
        self.0.entry(at).or_default()
    }

    pub(super) fn write(
        self,
        tx: &mut VerifiedTx<'_>,
        loaded: &[Loaded],
        world: &World<'_>,
    ) -> Result<(), VaultError> {
        for (at, changes) in self.0 {
            if let Some(one) = loaded.get(at) {
                write(tx, one, changes, world)?;
            }
        }
        Ok(())
    }
}

/// Writes a change of the owner's set. Removed keys whose time is over go with it.
pub(super) fn write(
    tx: &mut VerifiedTx<'_>,
    one: &Loaded,
    mut changes: Changes,
    world: &World<'_>,
) -> Result<(), VaultError> {
    removal::purge(tx, one, &mut changes, world);
    let mut draft = draft_of(tx, one.set());
    let removed = removal::count(one, &changes);
    if removed > 0 || draft.extensions.get(REMOVED_COUNT).is_some() {
        draft.extensions = draft.extensions.with(REMOVED_COUNT, codec::encode(&removed));
    }
    rewrite(tx, &one.carried, &draft, &changes, world)
}

/// The event of a change of keys of one API.
pub(super) fn event(
    world: &World<'_>,
    deed: IssuedDeed,
    api: &Label,
    keys: impl IntoIterator<Item = (Id, Option<KeyName>)>,
    detail: &str,
) -> Event {
    let keys = keys.into_iter().collect();
    world.event(Action::Issue, Vec::new(), detail.to_owned()).with(&IssuedChange {
        deed,
        api: api.clone(),
        keys,
    })
}

/// The number of each scope, those that the API does not have yet put among its words.
pub(super) fn numbers_of<'s>(
    one: &Loaded,
    scopes: impl IntoIterator<Item = &'s Scope>,
    changes: &mut Changes,
) -> Vec<u32> {
    let mut known: BTreeMap<Scope, u32> = BTreeMap::new();
    let mut next = 1;
    for word in one.set().words().chain(&changes.put.words) {
        next = next.max(word.number.saturating_add(1));
        if let Meaning::Scope(scope) = &word.meaning {
            known.insert(scope.clone(), word.number);
        }
    }
    let mut numbers = Vec::new();
    for scope in scopes {
        let number = *known.entry(scope.clone()).or_insert_with(|| {
            let number = next;
            next = next.saturating_add(1);
            changes.put.words.push(keyvault_issue::record::Word {
                number,
                meaning: Meaning::Scope(scope.clone()),
                extensions: codec::Extensions::default(),
            });
            number
        });
        numbers.push(number);
    }
    numbers
}

/// The client of this name.
pub(super) fn client_of(one: &Loaded, wanted: &Label) -> Result<Id, VaultError> {
    let client = one.set().clients().find(|client| client.name == *wanted);
    client.map(|client| client.id).ok_or_else(|| {
        let names: Vec<_> = one.set().clients().map(|client| client.name.clone()).collect();
        let near = keyvault_core::name::similar::nearest(names, wanted.as_str(), Label::as_str);
        IssuedError::Missing { noun: Noun::Client, wanted: wanted.clone(), near }.into()
    })
}

/// The state's note, if it refuses.
#[must_use]
pub(super) fn is_disabled(state: &State) -> bool {
    matches!(state, State::Disabled(_))
}

pub(super) fn ascending(numbers: impl IntoIterator<Item = u32>) -> Ascending<u32> {
    Ascending::of(numbers)
}
