//! Roles: named sets of scopes.

use std::collections::BTreeSet;

use keyvault_core::codec::Extensions;
use keyvault_core::name::similar::nearest;
use keyvault_core::name::{Label, Scope};
use keyvault_issue::record::{Ascending, KeyRecord, Meaning, Word};
use keyvault_issue::set::{Changes, LoadedSet};

use super::api::{event, of_name_or_default, of_name_to_look};
use super::error::{IssuedError, Noun};
use super::view::{Loaded, load, numbers_of, write};
use crate::audit::{ApiDeed, ApiNoun};
use crate::error::VaultError;
use crate::file::open::{Access, Vault, World};

/// The field of a word's extensions that says that the role was removed. Its number stays its own: it is never another's.
const REMOVED: u16 = 1;

/// A role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleView {
    pub api: Label,
    pub name: Label,
    pub scopes: BTreeSet<Scope>,
    /// Keys that have it and are neither revoked nor replaced.
    pub keys: usize,
}

/// Makes a role of an API, `default` if none is named.
pub fn add_role(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    api: Option<&Label>,
    name: &Label,
    scopes: &BTreeSet<Scope>,
) -> Result<RoleView, VaultError> {
    vault.change(access, world, |tx| {
        let one = of_name_or_default(tx, world, api)?;
        if roles_of(&one).any(|(_, role, _)| role == name) {
            return Err(IssuedError::Taken { noun: Noun::Role, wanted: name.clone() }.into());
        }
        let mut changes = Changes::default();
        let numbers = numbers_of(&one, scopes, &mut changes);
        let words = || one.set().words().chain(&changes.put.words);
        let own = words().find(|word| matches!(&word.meaning, Meaning::Role(role, _) if role == name));
        let next = words().map(|word| word.number).max().unwrap_or(0).saturating_add(1);
        let number = own.map_or(next, |word| word.number);
        changes.put.words.push(Word {
            number,
            meaning: Meaning::Role(name.clone(), Ascending::of(numbers)),
            extensions: Extensions::default(),
        });
        let api = one.api()?.name.clone();
        write(tx, &one, changes, world)?;
        let view = RoleView { api, name: name.clone(), scopes: scopes.clone(), keys: 0 };
        let event = event(world, ApiDeed::Added, ApiNoun::Role, &view.api, name);
        Ok((view, event))
    })
}

/// Changes the scopes of a role, which its keys have from then on.
pub fn edit_role(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    (api, name): (Option<&Label>, &Label),
    scope: &BTreeSet<Scope>,
    unscope: &BTreeSet<Scope>,
) -> Result<RoleView, VaultError> {
    vault.change(access, world, |tx| {
        let one = of_name_or_default(tx, world, api)?;
        let (role, before) = existing(&one, name)?;
        if let Some(missing) = unscope.iter().find(|scope| !before.contains(scope)) {
            return Err(IssuedError::NotItsScope { key: name.to_string(), scope: missing.clone() }.into());
        }
        let scopes: BTreeSet<Scope> = before.difference(unscope).chain(scope).cloned().collect();
        let mut changes = Changes::default();
        let numbers = numbers_of(&one, &scopes, &mut changes);
        changes
            .put
            .words
            .push(Word { meaning: Meaning::Role(name.clone(), Ascending::of(numbers)), ..role.clone() });
        let view = RoleView {
            api: one.api()?.name.clone(),
            name: name.clone(),
            scopes,
            keys: keys_with(&one, role.number),
        };
        write(tx, &one, changes, world)?;
        let event = event(world, ApiDeed::Edited, ApiNoun::Role, &view.api, name);
        Ok((view, event))
    })
}

/// Removes a role that no key has.
pub fn remove_role(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    api: Option<&Label>,
    name: &Label,
) -> Result<RoleView, VaultError> {
    vault.change(access, world, |tx| {
        let one = of_name_or_default(tx, world, api)?;
        let (role, scopes) = existing(&one, name)?;
        let has = |key: &&KeyRecord| key.roles.has(&role.number) && !key.state.is_revoked();
        let keys = all_keys(&one).filter(has).count();
        if keys > 0 {
            return Err(IssuedError::InUse { noun: Noun::Role, named: name.clone(), keys }.into());
        }
        let mut changes = Changes::default();
        changes.put.words.push(Word {
            number: role.number,
            meaning: Meaning::Role(name.clone(), Ascending::default()),
            extensions: role.extensions.clone().with(REMOVED, Vec::new()),
        });
        let view = RoleView { api: one.api()?.name.clone(), name: name.clone(), scopes, keys: 0 };
        write(tx, &one, changes, world)?;
        let event = event(world, ApiDeed::Removed, ApiNoun::Role, &view.api, name);
        Ok((view, event))
    })
}

/// Every role of an API, or of all.
pub fn roles(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    api: Option<&Label>,
) -> Result<Vec<RoleView>, VaultError> {
    vault.read(access, |tx| {
        let loaded = match api {
            Some(_) => of_name_to_look(tx, world, api)?.into_iter().collect(),
            None => load(tx, world.now())?,
        };
        let mut all = Vec::new();
        for one in &loaded {
            let api = &one.api()?.name;
            all.extend(roles_of(one).map(|(word, name, scopes)| RoleView {
                api: api.clone(),
                name: name.clone(),
                scopes: scopes_of(one, scopes),
                keys: keys_with(one, word.number),
            }));
        }
        all.sort_by(|left, right| (&left.api, &left.name).cmp(&(&right.api, &right.name)));
        Ok(all)
    })
}

/// The numbers of roles, which all have to be there.
pub(super) fn numbers_of_roles(one: &Loaded, roles: &BTreeSet<Label>) -> Result<Vec<u32>, VaultError> {
    roles.iter().map(|role| existing(one, role).map(|(word, _)| word.number)).collect()
}

fn roles_of(one: &Loaded) -> impl Iterator<Item = (&Word, &Label, &Ascending<u32>)> {
    one.set().words().filter_map(|word| match &word.meaning {
        Meaning::Role(name, scopes) if word.extensions.get(REMOVED).is_none() => Some((word, name, scopes)),
        _ => None,
    })
}

fn existing<'l>(one: &'l Loaded, wanted: &Label) -> Result<(&'l Word, BTreeSet<Scope>), VaultError> {
    let found = roles_of(one).find(|(_, name, _)| *name == wanted);
    let found = found.map(|(word, _, scopes)| (word, scopes_of(one, scopes)));
    found.ok_or_else(|| {
        let names: Vec<_> = roles_of(one).map(|(_, name, _)| name.clone()).collect();
        let near = nearest(names, wanted.as_str(), Label::as_str);
        IssuedError::Missing { noun: Noun::Role, wanted: wanted.clone(), near }.into()
    })
}

fn scopes_of(one: &Loaded, numbers: &Ascending<u32>) -> BTreeSet<Scope> {
    let scope = |number: &u32| match one.word(*number) {
        Some(Meaning::Scope(scope)) => Some(scope.clone()),
        _ => None,
    };
    numbers.iter().filter_map(scope).collect()
}

fn all_keys(one: &Loaded) -> impl Iterator<Item = &KeyRecord> {
    one.set().keys().chain(one.sets.issuers().flat_map(LoadedSet::keys))
}

fn keys_with(one: &Loaded, role: u32) -> usize {
    let has = |key: &&KeyRecord| key.roles.has(&role) && !key.state.is_revoked() && key.replaced.is_none();
    all_keys(one).filter(has).count()
}
