//! The holder's side: from a token to the values that were granted to it.
//!
//! A holder has no key to the tree. It verifies its view, the grants that the view binds, and the values under the keys
//! that the grants hold; it remembers which view it saw; and what it reads is an entry in a chain of its own before a
//! value leaves.

use std::path::Path;

use crate::audit::{Chain, KeyRef};
use crate::state::StateError;
use crate::state::pin::{Memory, Pin, Standing};
use crate::store::{Durability, TokenId, Tx, ViewRow};
use crate::unlock::token::{Reader, Token, TokenKeys};
use keyvault_core::clock::Moment;
use keyvault_core::crypto::{self, wipe_stack};
use keyvault_core::identity::Identity;
use keyvault_core::name::refused::{self, Refused};
use keyvault_core::name::{EnvName, KeyName, Scope};
use keyvault_core::secret::SecretBytes;

use super::bundle::Bundle;
use super::error::TokenError;
use super::grant::{self, Grant, View};
use crate::error::VaultError;
use crate::file::open::{Notice, Vault, World};
use crate::key::record::{Item, Version};
use crate::release::key_source::Source;
use crate::release::problem::Problem;
use crate::release::select::{Purpose, Resolver};
use crate::tx::name_index::nearest;
use crate::tx::sealed::open_value;

/// What a token gives its holder, in any vault or bundle.
#[derive(Debug)]
pub struct Holding {
    pub(crate) id: TokenId,
    pub(crate) reader: Reader,
    /// A view or bundle of an earlier change is refused.
    pub(crate) least: Option<u64>,
}

impl Holding {
    /// What `token` gives, at change `least` or later.
    #[must_use]
    pub fn of(token: &Token, least: Option<u64>) -> Self {
        Self { id: token.id(), reader: token.reader(), least }
    }

    /// The same once more, for who opens what it opens again and again.
    #[must_use]
    pub fn again(&self) -> Option<Self> {
        Reader::from_bytes(self.reader.expose()).map(|reader| Self { id: self.id, reader, least: self.least })
    }

    pub(crate) fn keys(&self, identity: &Identity) -> TokenKeys {
        self.reader.keys(identity, &self.id)
    }

    /// Whether a view of this change is one that was asked for.
    pub(crate) fn accept(&self, found: u64) -> Result<(), TokenError> {
        match self.least {
            Some(least) if found < least => Err(TokenError::Stale { found, least }),
            _ => Ok(()),
        }
    }
}

impl Vault {
    /// Takes values from what was granted. The read is in the holder's chain before they leave.
    pub(crate) fn release_granted<T>(
        &mut self,
        holding: &Holding,
        world: &World<'_>,
        purpose: Purpose,
        take: impl FnOnce(Resolver<'_>) -> Result<(T, Vec<KeyRef>), VaultError>,
    ) -> Result<T, VaultError> {
        let identity = self.identity();
        let keys = holding.keys(&identity);
        let path = self.store.path().to_owned();
        let tx = self.store.begin(Durability::Logged, &mut |waited| world.wait(waited, &identity))?;
        let pinned = world.pins.read_token(&holding.id, &path);
        self.checked.still_same()?;
        let (view, row) = verified_view(&tx, holding, &keys, &identity, world.now(), pinned.pin())?;
        let mut granted = Granted::load(&tx, &view, holding, &keys, &identity)?;
        let taken = take(Resolver { source: &mut granted });
        wipe_stack();
        let (taken, read) = taken?;
        let event = world.event(purpose.action, read, purpose.detail);
        let mut chain = Chain::load(&tx, &keys.audit, &identity)?;
        chain.append(&tx, &keys.audit, &identity, &event, world.rng)?;
        drop(granted);
        tx.commit()?;
        // A log that stays long makes the next start slower, and that is all.
        let _ = self.store.finish_release();
        if pinned == Memory::Unreadable {
            (world.notice)(Notice::UnreadablePin);
        }
        remember(world, holding, &path, &row, &keys, pinned.pin());
        Ok(taken)
    }

    /// Looks at what was granted; nothing is released or recorded.
    pub(crate) fn look_granted<T>(
        &mut self,
        holding: &Holding,
        world: &World<'_>,
        look: impl FnOnce(Resolver<'_>) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        let identity = self.identity();
        let keys = holding.keys(&identity);
        let pinned = world.pins.read_token(&holding.id, self.store.path());
        let tx = self.store.begin_reading()?;
        self.checked.still_same()?;
        let (view, _) = verified_view(&tx, holding, &keys, &identity, world.now(), pinned.pin())?;
        let mut granted = Granted::load(&tx, &view, holding, &keys, &identity)?;
        let seen = look(Resolver { source: &mut granted });
        wipe_stack();
        seen
    }
}

/// The view, if it is authentic, in force, and not older than what this machine saw.
fn verified_view(
    tx: &Tx<'_>,
    holding: &Holding,
    keys: &TokenKeys,
    identity: &Identity,
    now: Moment,
    pinned: Option<&Pin>,
) -> Result<(View, ViewRow), VaultError> {
    let row = tx.view(&holding.id)?.ok_or(TokenError::OpensNothing)?;
    let view = View::open(&row, keys, identity)?;
    if let Some(pin) = pinned {
        let standing = pin.standing_of(view.change, &grant::pin_mac(&row, keys));
        if matches!(standing, Standing::RolledBack | Standing::Forked) {
            let alarm =
                TokenError::Alarm { name: view.name, standing, found: view.change, pinned: pin.change };
            return Err(alarm.into());
        }
    }
    holding.accept(view.change)?;
    match view.expires {
        Some(since) if since <= now => Err(TokenError::Expired { name: view.name, since }.into()),
        _ => Ok((view, row)),
    }
}

/// That it could not be remembered makes a later rollback go unnoticed, and nothing else.
fn remember(
    world: &World<'_>,
    holding: &Holding,
    path: &Path,
    row: &ViewRow,
    keys: &TokenKeys,
    pinned: Option<&Pin>,
) {
    let mac = grant::pin_mac(row, keys);
    if pinned.is_none_or(|pin| pin.change != row.change) {
        let seen = Pin { change: row.change, mac, epoch: None, path: path.to_string_lossy().into_owned() };
        if let Err(error) = world.pins.advance_token(&holding.id, path, &seen) {
            (world.notice)(Notice::NotPinned(error));
        }
    }
}

/// The keys that a token's holder may read, and where their values are.
pub(crate) struct Granted<'g> {
    grants: Vec<Grant>,
    values: Values<'g>,
}

enum Values<'g> {
    Vault(&'g Tx<'g>, Identity),
    Bundle(&'g Bundle),
}

impl<'g> Granted<'g> {
    fn load(
        tx: &'g Tx<'g>,
        view: &View,
        holding: &Holding,
        keys: &TokenKeys,
        identity: &Identity,
    ) -> Result<Self, VaultError> {
        let rows = tx.grants(&holding.id)?;
        if !view.binds(&rows, keys) {
            let what = format!("token_grant of token {}", view.name);
            return Err(StateError::Mismatch { what }.into());
        }
        let grants = rows.iter().map(|row| Grant::open(row, keys, identity)).collect::<Result<_, _>>()?;
        Ok(Self { grants, values: Values::Vault(tx, *identity) })
    }

    pub(crate) fn of_bundle(bundle: &'g Bundle, grants: Vec<Grant>) -> Self {
        Self { grants, values: Values::Bundle(bundle) }
    }
}

impl Source for Granted<'_> {
    fn all(&mut self) -> Result<Vec<Item>, VaultError> {
        Ok(self.grants.iter().map(Grant::as_item).collect())
    }

    fn with_scope(&mut self, scope: &Scope) -> Result<Option<Vec<Item>>, VaultError> {
        let carry = self.grants.iter().filter(|grant| grant.scopes.contains(scope));
        let items: Vec<_> = carry.map(Grant::as_item).collect();
        Ok(if items.is_empty() { None } else { Some(items) })
    }

    fn named(&mut self, name: &KeyName) -> Result<Option<Item>, VaultError> {
        Ok(self.grants.iter().find(|grant| grant.name == *name).map(Grant::as_item))
    }

    fn missing(&self, wanted: &KeyName) -> Result<Problem, VaultError> {
        let names = self.grants.iter().map(|grant| grant.name.clone());
        let near = nearest(names, wanted.as_str(), KeyName::as_str);
        Ok(Problem::NotGranted { wanted: wanted.clone(), near })
    }

    fn scope_like(&self, wanted: &Scope) -> Result<Option<Scope>, VaultError> {
        let scopes = self.grants.iter().flat_map(|grant| grant.scopes.iter().cloned());
        Ok(nearest(scopes, wanted.as_str(), Scope::as_str))
    }

    /// The vault's owner chose it, for a machine that is the bearer's.
    fn check_variable(&self, variable: &EnvName) -> Result<(), Refused> {
        refused::parse(variable.as_str()).map(drop)
    }

    fn value(&mut self, item: &Item, version: &Version) -> Result<SecretBytes, VaultError> {
        let missing =
            || StateError::Mismatch { what: format!("version {} of {}", version.number, item.name) };
        let grant = self.grants.iter().find(|grant| grant.item == item.id).ok_or_else(missing)?;
        match &self.values {
            Values::Vault(tx, identity) => {
                let granted = grant.version(version.number).ok_or_else(missing)?;
                let sealed = tx.version_value(&item.id, version.number)?;
                let sealed = sealed.filter(|sealed| crypto::sha256(sealed) == granted.sealed);
                let sealed = sealed.ok_or_else(missing)?;
                open_value(&granted.key, identity, &item.id, version.number, &sealed)
            }
            Values::Bundle(bundle) => Ok(bundle.value(&item.id, version.number).ok_or_else(missing)?),
        }
    }
}
