//! APIs of our own: made, changed, and listed.

use keyvault_core::codec::Extensions;
use keyvault_core::crypto::SealingKey;
use keyvault_core::name::Label;
use keyvault_issue::ApiId;
use keyvault_issue::record::{Api, Ascending, IssuerState, Mark, Prefix, Reaction, UsageKey, VerifierState};
use keyvault_issue::set::Changes;

use super::error::{IssuedError, Noun};
use super::names::Gone;
use super::owner_side::make;
use super::view::{Loaded, load, of_name, write};
use crate::audit::{Action, ApiChange, ApiDeed, ApiNoun, Event};
use crate::error::VaultError;
use crate::file::open::{Access, Vault, World};
use crate::tx::VerifiedTx;

/// The API that is there from the first issued key on.
const DEFAULT: &str = "default";
const DEFAULT_PREFIX: &str = "kv";

/// Changes to an API; `None` leaves it as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ApiEdit {
    /// Of new keys. Those that the API had before stay good for the keys that have them.
    pub prefix: Option<Prefix>,
    pub reaction: Option<Reaction>,
}

/// An API, without what is secret of it.
#[derive(Debug, Clone)]
pub struct ApiSummary {
    pub id: ApiId,
    pub name: Label,
    pub mark: Mark,
    pub prefix: Prefix,
    pub prefixes: Vec<Prefix>,
    pub reaction: Reaction,
    /// Issued keys that have a name.
    pub keys: usize,
    pub clients: usize,
    /// Issuers and verifiers that were not taken away.
    pub issuers: Vec<Label>,
    pub verifiers: Vec<Label>,
}

/// Makes an API.
pub fn add_api(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    name: &Label,
    edit: ApiEdit,
) -> Result<ApiSummary, VaultError> {
    vault.change(access, world, |tx| {
        let loaded = load(tx, world.now())?;
        if names(&loaded).any(|other| other == name) {
            return Err(IssuedError::Taken { noun: Noun::Api, wanted: name.clone() }.into());
        }
        create(tx, world, &loaded, name, edit)?;
        let one = of_name(load(tx, world.now())?, name)?;
        Ok((summary(&one)?, event(world, ApiDeed::Added, ApiNoun::Api, name, name)))
    })
}

/// Changes an API.
pub fn edit_api(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    name: &Label,
    edit: ApiEdit,
) -> Result<ApiSummary, VaultError> {
    vault.change(access, world, |tx| {
        let one = of_name(load(tx, world.now())?, name)?;
        let own = one.api()?;
        let mut next = own.with_others(own.issuers.clone(), own.verifiers.clone());
        if let Some(prefix) = edit.prefix {
            next.prefix = prefix;
            next.prefixes = Ascending::of(own.prefixes.iter().copied().chain([prefix]));
        }
        next.reaction = edit.reaction.unwrap_or(own.reaction);
        let mut changes = Changes::default();
        changes.put.api = Some(next);
        write(tx, &one, changes, world)?;
        let one = of_name(load(tx, world.now())?, name)?;
        Ok((summary(&one)?, event(world, ApiDeed::Edited, ApiNoun::Api, name, name)))
    })
}

/// Every API, by name.
pub fn apis(vault: &mut Vault, access: &Access, world: &World<'_>) -> Result<Vec<ApiSummary>, VaultError> {
    vault.read(access, |tx| load(tx, world.now())?.iter().map(summary).collect())
}

/// The API of this name.
pub fn api(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    name: &Label,
) -> Result<ApiSummary, VaultError> {
    vault.read(access, |tx| summary(&of_name(load(tx, world.now())?, name)?))
}

/// The API `default`, which has to be there.
pub fn default_api(vault: &mut Vault, access: &Access, world: &World<'_>) -> Result<ApiSummary, VaultError> {
    api(vault, access, world, &default_name()?)
}

fn default_name() -> Result<Label, VaultError> {
    Label::parse(DEFAULT).map_err(|_| super::apart("the name of an API"))
}

fn summary(one: &Loaded) -> Result<ApiSummary, VaultError> {
    let api = one.api()?;
    let issuers = api.issuers.iter().filter(|issuer| issuer.state == IssuerState::InForce);
    let verifiers = api.verifiers.iter().filter(|verifier| verifier.state == VerifierState::Writes);
    Ok(ApiSummary {
        id: api.id,
        name: api.name.clone(),
        mark: api.mark,
        prefix: api.prefix,
        prefixes: api.prefixes.to_vec(),
        reaction: api.reaction,
        keys: one.set().names().filter(|entry| Gone::of(entry).is_none()).count(),
        clients: one.set().clients().count(),
        issuers: issuers.map(|issuer| issuer.name.clone()).collect(),
        verifiers: verifiers.map(|verifier| verifier.name.clone()).collect(),
    })
}

/// The API that is named, or `default`, which is made if it is not there.
pub(super) fn of_name_or_default(
    tx: &mut VerifiedTx<'_>,
    world: &World<'_>,
    name: Option<&Label>,
) -> Result<Loaded, VaultError> {
    let default = default_name()?;
    let wanted = name.unwrap_or(&default);
    let loaded = load(tx, world.now())?;
    if *wanted != default || names(&loaded).any(|other| *other == default) {
        return of_name(loaded, wanted);
    }
    create(tx, world, &loaded, &default, ApiEdit::default())?;
    of_name(load(tx, world.now())?, &default)
}

/// The API that is named, or `default`, to look at: one that is not there is an error.
pub(super) fn of_name_to_look(
    tx: &VerifiedTx<'_>,
    world: &World<'_>,
    name: Option<&Label>,
) -> Result<Option<Loaded>, VaultError> {
    let loaded = load(tx, world.now())?;
    match name {
        Some(name) => of_name(loaded, name).map(Some),
        None => Ok(loaded.into_iter().find(|one| one.api().is_ok_and(|api| api.name.as_str() == DEFAULT))),
    }
}

fn create(
    tx: &mut VerifiedTx<'_>,
    world: &World<'_>,
    loaded: &[Loaded],
    name: &Label,
    edit: ApiEdit,
) -> Result<(), VaultError> {
    let mut id: ApiId = [0; 16];
    world.rng.fill(&mut id)?;
    let usual = Prefix::parse(DEFAULT_PREFIX).ok_or_else(|| super::apart("the prefix of an API"))?;
    let prefix = edit.prefix.unwrap_or(usual);
    let api = Api {
        id,
        name: name.clone(),
        mark: unused_mark(loaded, world)?,
        prefix,
        prefixes: Ascending::of([prefix]),
        reaction: edit.reaction.unwrap_or(Reaction::Alert),
        usage_keys: Ascending::of([UsageKey { generation: 1, key: SealingKey::random(world.rng)? }]),
        issuers: Ascending::default(),
        verifiers: Ascending::default(),
        extensions: Extensions::default(),
    };
    make(tx, world, &api)
}

/// A mark that no set of the vault has or had, drawn so that two vaults have different ones.
pub(crate) fn unused_mark(loaded: &[Loaded], world: &World<'_>) -> Result<Mark, VaultError> {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let is_taken = |mark: &Mark| {
        let apis = loaded.iter().filter_map(|one| one.api().ok());
        apis.into_iter().any(|api| api.mark == *mark || api.issuers.iter().any(|issuer| issuer.mark == *mark))
    };
    let mut drawn = [0; 4];
    world.rng.fill(&mut drawn)?;
    let start = usize::try_from(u32::from_le_bytes(drawn)).unwrap_or(0);
    let all = DIGITS.len() * DIGITS.len();
    let mark = (0..all).find_map(|step| {
        let at = start.wrapping_add(step) % all;
        let digits = [*DIGITS.get(at / DIGITS.len())?, *DIGITS.get(at % DIGITS.len())?];
        Mark::parse(std::str::from_utf8(&digits).ok()?).filter(|mark| !is_taken(mark))
    });
    mark.ok_or_else(|| IssuedError::NoMark.into())
}

fn names(loaded: &[Loaded]) -> impl Iterator<Item = &Label> {
    loaded.iter().filter_map(|one| one.api().ok().map(|api| &api.name))
}

pub(super) fn event(world: &World<'_>, deed: ApiDeed, noun: ApiNoun, api: &Label, name: &Label) -> Event {
    let change = ApiChange { deed, noun, api: api.clone(), name: name.clone() };
    world.event(Action::Api, Vec::new(), String::new()).with(&change)
}
