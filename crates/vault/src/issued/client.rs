//! Clients: the owners of issued keys.

use std::collections::BTreeSet;

use keyvault_core::codec::Extensions;
use keyvault_core::name::Label;
use keyvault_core::name::similar::nearest;
use keyvault_issue::record::{Client, Conditions, KeyRecord, State};
use keyvault_issue::set::{Changes, LoadedSet, Removal};

use super::api::{event, of_name_or_default, of_name_to_look};
use super::edit::{Part, merged};
use super::error::{IssuedError, Noun};
use super::mint::{boxed, unused_id};
use super::state::Switch;
use super::view::{Loaded, write};
use crate::audit::{ApiDeed, ApiNoun};
use crate::error::VaultError;
use crate::file::open::{Access, Vault, World};

/// A client, and how many keys belong to it.
#[derive(Debug, Clone)]
pub struct ClientView {
    pub api: Label,
    pub client: Client,
    /// The issuer whose client it is.
    pub issuer: Option<Label>,
    /// Keys that are neither revoked nor replaced.
    pub keys: usize,
}

/// Changes to a client; fields that are `None` or empty leave it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientEdit {
    pub rename: Option<Label>,
    pub contact: Option<String>,
    pub clear: BTreeSet<Part>,
    pub conditions: Conditions,
}

/// Makes a client of an API, `default` if none is named.
pub fn add_client(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    api: Option<&Label>,
    name: &Label,
    edit: &ClientEdit,
) -> Result<ClientView, VaultError> {
    vault.change(access, world, |tx| {
        let one = of_name_or_default(tx, world, api)?;
        refuse_taken(&one, name)?;
        let own = one.api()?;
        let client = Client {
            id: unused_id(one.set(), own.mark, world)?,
            state: State::Active,
            name: name.clone(),
            contact: edit.contact.clone().unwrap_or_default().into(),
            created: world.now(),
            conditions: boxed(edit.conditions.clone()),
            extensions: Extensions::default(),
        };
        let api = own.name.clone();
        let mut changes = Changes::default();
        changes.put.clients.push(client.clone());
        write(tx, &one, changes, world)?;
        let event = event(world, ApiDeed::Added, ApiNoun::Client, &api, name);
        Ok((ClientView { api, client, issuer: None, keys: 0 }, event))
    })
}

/// Changes a client.
pub fn edit_client(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    api: Option<&Label>,
    name: &Label,
    edit: &ClientEdit,
) -> Result<ClientView, VaultError> {
    vault.change(access, world, |tx| {
        let one = of_name_or_default(tx, world, api)?;
        let before = existing(&one, name)?;
        let mut client = before.clone();
        if let Some(rename) = edit.rename.as_ref().filter(|rename| *rename != name) {
            refuse_taken(&one, rename)?;
            client.name = rename.clone();
        }
        if let Some(contact) = &edit.contact {
            client.contact = contact.as_str().into();
        }
        client.conditions = boxed(merged(client.conditions.as_deref(), &edit.clear, &edit.conditions));
        let view = view(&one, client.clone(), None)?;
        let mut changes = Changes::default();
        changes.put.clients.push(client);
        let api = one.api()?.name.clone();
        write(tx, &one, changes, world)?;
        Ok((view, event(world, ApiDeed::Edited, ApiNoun::Client, &api, name)))
    })
}

/// Disables a client, whose keys are refused until it is enabled; the result says whether it was otherwise before.
pub fn switch_client(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    api: Option<&Label>,
    name: &Label,
    switch: Switch<'_>,
) -> Result<(ClientView, bool), VaultError> {
    vault.change_if_any(access, world, |tx| {
        let one = of_name_or_default(tx, world, api)?;
        let before = existing(&one, name)?;
        let client = Client { state: switch.next(&before.state, world), ..before.clone() };
        let is_other = client != *before;
        let view = view(&one, client.clone(), None)?;
        if !is_other {
            return Ok(((view, false), None));
        }
        let mut changes = Changes::default();
        changes.put.clients.push(client);
        let api = one.api()?.name.clone();
        tx.takes_away = switch != Switch::Enable;
        write(tx, &one, changes, world)?;
        let deed = if switch == Switch::Enable { ApiDeed::Enabled } else { ApiDeed::Disabled };
        Ok(((view, true), Some(event(world, deed, ApiNoun::Client, &api, name))))
    })
}

/// Removes a client. One whose keys are not all revoked or gone stays: a key without its client would lose its limits.
pub fn remove_client(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    api: Option<&Label>,
    name: &Label,
) -> Result<ClientView, VaultError> {
    vault.change(access, world, |tx| {
        let one = of_name_or_default(tx, world, api)?;
        let client = existing(&one, name)?.clone();
        let is_over = |key: &KeyRecord| {
            let is_former = key.replaced.is_some_and(|replaced| replaced.grace_until <= world.now());
            is_former || key.state.is_revoked()
        };
        let keys = all_keys(&one).filter(|key| key.client == Some(client.id) && !is_over(key)).count();
        if keys > 0 {
            return Err(IssuedError::InUse { noun: Noun::Client, named: name.clone(), keys }.into());
        }
        let mut changes = Changes::default();
        changes.removed.push(Removal::Client(client.id));
        let view = view(&one, client, None)?;
        let api = one.api()?.name.clone();
        write(tx, &one, changes, world)?;
        Ok((view, event(world, ApiDeed::Removed, ApiNoun::Client, &api, name)))
    })
}

/// Every client of an API, or of all; those of issuers as well.
pub fn clients(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    api: Option<&Label>,
) -> Result<Vec<ClientView>, VaultError> {
    vault.read(access, |tx| {
        let loaded = match api {
            Some(_) => of_name_to_look(tx, world, api)?.into_iter().collect(),
            None => super::view::load(tx, world.now())?,
        };
        let mut all = Vec::new();
        for one in &loaded {
            for client in one.set().clients() {
                all.push(view(one, client.clone(), None)?);
            }
            for set in one.sets.issuers() {
                let entry = one.api()?.issuers.find(&set.header().header().set);
                let issuer = entry.map(|entry| entry.name.clone());
                for client in set.clients() {
                    all.push(view(one, client.clone(), issuer.clone())?);
                }
            }
        }
        all.sort_by(|left, right| (&left.api, &left.client.name).cmp(&(&right.api, &right.client.name)));
        Ok(all)
    })
}

/// The error for a client that is none of these.
#[must_use]
pub fn missing_client(all: &[ClientView], wanted: &Label) -> VaultError {
    let names: Vec<_> = all.iter().map(|view| view.client.name.clone()).collect();
    let near = nearest(names, wanted.as_str(), Label::as_str);
    IssuedError::Missing { noun: Noun::Client, wanted: wanted.clone(), near }.into()
}

fn existing<'l>(one: &'l Loaded, name: &Label) -> Result<&'l Client, VaultError> {
    let found = one.set().clients().find(|client| client.name == *name);
    found.ok_or_else(|| {
        let names: Vec<_> = one.set().clients().map(|client| client.name.clone()).collect();
        let near = nearest(names, name.as_str(), Label::as_str);
        IssuedError::Missing { noun: Noun::Client, wanted: name.clone(), near }.into()
    })
}

fn refuse_taken(one: &Loaded, name: &Label) -> Result<(), VaultError> {
    if one.set().clients().any(|client| client.name == *name) {
        return Err(IssuedError::Taken { noun: Noun::Client, wanted: name.clone() }.into());
    }
    Ok(())
}

fn all_keys(one: &Loaded) -> impl Iterator<Item = &KeyRecord> {
    one.set().keys().chain(one.sets.issuers().flat_map(LoadedSet::keys))
}

fn view(one: &Loaded, client: Client, issuer: Option<Label>) -> Result<ClientView, VaultError> {
    let counts =
        |key: &&KeyRecord| key.client == Some(client.id) && !key.state.is_revoked() && key.replaced.is_none();
    let keys = all_keys(one).filter(counts).count();
    Ok(ClientView { api: one.api()?.name.clone(), client, issuer, keys })
}
