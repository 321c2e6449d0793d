//! Changes of what an issued key may do, and of what its owner notes about it.

use std::collections::{BTreeMap, BTreeSet};

use keyvault_core::clock::Moment;
use keyvault_core::name::{KeyName, Label, Scope, TagKey};
use keyvault_issue::record::{Ascending, Conditions, KeyRecord, Meaning, NamedKey};
use keyvault_issue::set::{Changes, Removal};

use super::error::IssuedError;
use super::mint::{boxed, joined};
use super::names::refuse_issued;
use super::view::{Key, Loaded, Pending, choose, client_of, event, load, numbers_of, viewed};
use super::{narrow, role};
use crate::audit::IssuedDeed;
use crate::error::VaultError;
use crate::file::open::{Access, Vault, World};

/// A part of a key's or a client's conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Rates,
    Quotas,
    Networks,
    Origins,
    Methods,
    Paths,
    Apps,
}

impl Part {
    pub const ALL: [Self; 7] =
        [Self::Rates, Self::Quotas, Self::Networks, Self::Origins, Self::Methods, Self::Paths, Self::Apps];
}

/// Changes to an issued key; fields that are `None` or empty leave it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edit {
    pub rename: Option<KeyName>,
    pub scope: BTreeSet<Scope>,
    pub unscope: BTreeSet<Scope>,
    pub role: BTreeSet<Label>,
    pub unrole: BTreeSet<Label>,
    pub tag: BTreeMap<TagKey, String>,
    pub untag: BTreeSet<TagKey>,
    pub note: Option<String>,
    pub display_name: Option<String>,
    /// A new expiry; `Some(None)` is never.
    pub expires: Option<Option<Moment>>,
    pub not_before: Option<Option<Moment>>,
    /// Another client; `Some(None)` is none.
    pub client: Option<Option<Label>>,
    /// Emptied before anything is added.
    pub clear: BTreeSet<Part>,
    pub conditions: Conditions,
}

impl Edit {
    /// The names of what it changes, for the log.
    fn describe(&self) -> String {
        let fields = [
            ("renamed", self.rename.is_some()),
            ("scopes", !self.scope.is_empty() || !self.unscope.is_empty()),
            ("roles", !self.role.is_empty() || !self.unrole.is_empty()),
            ("tags", !self.tag.is_empty() || !self.untag.is_empty()),
            ("note", self.note.is_some()),
            ("display name", self.display_name.is_some()),
            ("expiry", self.expires.is_some()),
            ("not before", self.not_before.is_some()),
            ("client", self.client.is_some()),
            ("conditions", !self.clear.is_empty() || self.conditions != Conditions::default()),
        ];
        let changed = fields.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name);
        changed.collect::<Vec<_>>().join(", ")
    }
}

/// Changes issued keys, all or none.
pub fn edit(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    names: &[KeyName],
    edit: &Edit,
) -> Result<Vec<Key>, VaultError> {
    vault.change(access, world, |tx| {
        let now = world.now();
        if let Some(name) = &edit.rename {
            if tx.key(name)?.is_some() {
                return Err(VaultError::KeysExist(vec![name.clone()]));
            }
            refuse_issued(tx, name)?;
        }
        let loaded = load(tx, now)?;
        let mut pending = Pending::default();
        let mut all = Vec::new();
        for name in names.iter().collect::<BTreeSet<_>>() {
            let mut chosen = choose(tx, &loaded, name)?;
            let key = viewed(&loaded, &chosen, now)?;
            let (Some(one), Some(entry)) = (loaded.get(chosen.at), &chosen.entry) else {
                return Err(IssuedError::Issuers(chosen.id).into());
            };
            chosen.entry = Some(edit_one(one, &key, entry, edit, now, pending.of(chosen.at))?);
            all.push((chosen, key));
        }
        pending.write(tx, &loaded, world)?;
        let after = load(tx, now)?;
        let keys = all.iter().map(|(chosen, _)| viewed(&after, chosen, now));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let api = all.first().map(|(_, key)| key.api.clone());
        let api = api.ok_or_else(|| super::apart("no issued key is ids"))?;
        let ids = all.iter().map(|(chosen, key)| (chosen.id, key.name.clone()));
        let event = event(world, IssuedDeed::Edited, &api, ids, &edit.describe());
        Ok((keys, event))
    })
}

fn edit_one(
    one: &Loaded,
    key: &Key,
    entry: &NamedKey,
    edit: &Edit,
    now: Moment,
    changes: &mut Changes,
) -> Result<NamedKey, VaultError> {
    let mut record: KeyRecord = key.record.clone();
    if let Some(scope) = edit.unscope.iter().find(|scope| !key.scopes.contains(scope)) {
        return Err(IssuedError::NotItsScope { key: key.label(), scope: scope.clone() }.into());
    }
    if let Some(role) = edit.unrole.iter().find(|role| !key.roles.contains(role)) {
        return Err(IssuedError::NotItsRole { key: key.label(), role: role.clone() }.into());
    }
    let stays = |number: &u32| match one.word(*number) {
        Some(Meaning::Scope(scope)) => !edit.unscope.contains(scope),
        Some(Meaning::Role(role, _)) => !edit.unrole.contains(role),
        None => true,
    };
    let added = numbers_of(one, &edit.scope, changes);
    record.scopes = Ascending::of(record.scopes.iter().copied().filter(stays).chain(added));
    let added = role::numbers_of_roles(one, &edit.role)?;
    record.roles = Ascending::of(record.roles.iter().copied().filter(stays).chain(added));
    if let Some(display_name) = &edit.display_name {
        record.display_name = display_name.as_str().into();
    }
    if let Some(expires) = edit.expires {
        record.expires = expires;
    }
    if let Some(not_before) = edit.not_before {
        record.not_before = not_before;
    }
    if record.expires.is_some_and(|expires| record.not_before.is_some_and(|begin| expires <= begin)) {
        return Err(IssuedError::EndsBeforeItBegins.into());
    }
    if let Some(client) = &edit.client {
        record.client = client.as_ref().map(|client| client_of(one, client)).transpose()?;
    }
    record.conditions = boxed(merged(record.conditions.as_deref(), &edit.clear, &edit.conditions));
    if record != key.record {
        // An id that a rotation replaced is left with no more than it had, and with no more than the key has now.
        for former in one.formers_of(&record.id) {
            changes.put.keys.push(narrow::former(one, former, &record, now));
        }
        changes.put.keys.push(record);
    }
    let mut after = entry.clone();
    after.tags.retain(|key, _| !edit.untag.contains(key));
    after.tags.extend(edit.tag.clone());
    if let Some(note) = &edit.note {
        after.note = note.as_str().into();
    }
    if let Some(name) = &edit.rename {
        changes.removed.push(Removal::Name(entry.name.clone()));
        after.name = name.clone();
    }
    if after != *entry {
        changes.put.names.push(after.clone());
    }
    Ok(after)
}

/// Conditions with some parts emptied, and others added. A rate or a quota of the same name or period is replaced.
pub(super) fn merged(old: Option<&Conditions>, clear: &BTreeSet<Part>, new: &Conditions) -> Conditions {
    let mut kept = old.cloned().unwrap_or_default();
    for part in clear {
        match part {
            Part::Rates => kept.limits = Ascending::default(),
            Part::Quotas => kept.quotas = Ascending::default(),
            Part::Networks => kept.networks = Ascending::default(),
            Part::Origins => kept.origins = Ascending::default(),
            Part::Methods => kept.methods = Ascending::default(),
            Part::Paths => kept.paths = Ascending::default(),
            Part::Apps => kept.apps = Ascending::default(),
        }
    }
    Conditions {
        limits: joined(&kept.limits, &new.limits),
        quotas: joined(&kept.quotas, &new.quotas),
        networks: joined(&kept.networks, &new.networks),
        origins: joined(&kept.origins, &new.origins),
        methods: joined(&kept.methods, &new.methods),
        paths: joined(&kept.paths, &new.paths),
        apps: joined(&kept.apps, &new.apps),
    }
}
