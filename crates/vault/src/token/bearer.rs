//! The bearer's side: from a token to the values that were granted to it.
//!
//! A bearer has no key to the tree. It verifies its view, the grants that the view binds, and the values under the keys
//! that the grants hold; it remembers which view it saw; and what it reads is an entry in a chain of its own before a
//! value leaves.

use std::fmt::{self, Display, Formatter};
use std::rc::Rc;

use crate::audit::{Chain, Event};
use crate::state::StateError;
use crate::state::pin::{Memory, Pin, Standing, VaultPath};
use crate::state::record::{Record as StateRecord, SignedBy};
use crate::store::{Durability, FileStore, Store, TokenId, Tx, ViewRow};
use crate::unlock::session::LimitedSession;
use crate::unlock::token::{Reader, Token, TokenKeys};
use keyvault_core::clock::Moment;
use keyvault_core::crypto::{self, Signer, SignerId};
use keyvault_core::identity::Identity;
use keyvault_core::name::refused::{self, Refused};
use keyvault_core::name::similar::nearest;
use keyvault_core::name::{EnvName, KeyName, Scope, TokenName};

use super::bundle::Bundle;
use super::error::TokenError;
use super::grant::{Grant, View};
use super::record::TokenKind;
use super::signed::NamedSigner;
use crate::error::VaultError;
use crate::file::open::{Notice, Vault, World, still_same};
use crate::supply::key_source::KeySource;
use crate::supply::key_view::{KeyView, Record};
use crate::supply::unrecorded::Unrecorded;
use crate::tx::sealed::open_value;

/// The keys that a token gives its bearer, for any vault or bundle.
#[derive(Debug)]
pub struct BearerKeys {
    pub(crate) kind: TokenKind,
    pub(crate) id: TokenId,
    pub(crate) reader: Reader,
    /// Signer of everything that the owner writes for the bearer.
    pub(crate) signer: SignerId,
    /// A view or bundle of an earlier change is refused.
    pub(crate) least: Option<u64>,
}

impl BearerKeys {
    /// The keys that `token` gives, for views and bundles of change `least` or later.
    #[must_use]
    pub fn of(token: &Token, least: Option<u64>) -> Self {
        let kind = TokenKind::Bearer;
        Self { kind, id: token.id(), reader: token.reader(), signer: token.signer(), least }
    }

    /// The keys that the token of a verifier or an issuer gives.
    #[must_use]
    pub fn of_machine(token: &Token, kind: TokenKind) -> Self {
        Self { kind, ..Self::of(token, None) }
    }

    /// The keys of a limited session.
    #[must_use]
    pub fn of_session(session: &LimitedSession) -> Self {
        Self { kind: TokenKind::Session, ..Self::of(&session.token, None) }
    }

    /// Returns `true` if a limited session gave them, whose end is also theirs.
    #[must_use]
    pub fn is_session(&self) -> bool {
        self.kind == TokenKind::Session
    }

    /// Clones the bearer's keys for repeated polling.
    #[must_use]
    pub fn again(&self) -> Option<Self> {
        Reader::from_bytes(self.reader.expose()).map(|reader| Self {
            kind: self.kind,
            id: self.id,
            reader,
            signer: self.signer,
            least: self.least,
        })
    }

    pub(crate) fn keys(&self, identity: &Identity) -> TokenKeys {
        self.reader.keys(identity, &self.id)
    }

    /// Refuses a view of another change than the one that was asked for.
    pub(crate) fn accept(&self, found: u64) -> Result<(), TokenError> {
        match self.least {
            Some(least) if found < least => Err(TokenError::Stale { found, least }),
            _ => Ok(()),
        }
    }
}

/// The bearer that keys were granted to. `Display` names it in a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantedTo {
    pub kind: TokenKind,
    pub name: TokenName,
}

impl Display for GrantedTo {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.kind {
            TokenKind::Session => f.write_str("the limited session"),
            TokenKind::Bearer | TokenKind::Verifier | TokenKind::Issuer => write!(f, "token `{}`", self.name),
        }
    }
}

/// A bearer's transaction on a vault.
pub(crate) struct BearerTx<'r> {
    pub(crate) tx: Tx<'r>,
    store: &'r Store,
    pub(crate) place: &'r VaultPath,
    bearer: &'r BearerKeys,
    pub(crate) keys: TokenKeys,
    pub(crate) identity: Identity,
    pub(crate) view: View,
    row: ViewRow,
    pinned: Memory,
}

impl<'r> BearerTx<'r> {
    pub(crate) fn begin(
        vault: &'r Vault,
        bearer: &'r BearerKeys,
        world: &World<'_>,
    ) -> Result<Self, VaultError> {
        Self::begin_as(vault, bearer, Durability::Logged, world)
    }

    pub(crate) fn begin_as(
        vault: &'r Vault,
        bearer: &'r BearerKeys,
        durability: Durability,
        world: &World<'_>,
    ) -> Result<Self, VaultError> {
        let (identity, store) = (vault.identity(), &vault.store);
        let tx = store.begin_ready(durability, &mut |waited| world.wait(waited, &identity))?;
        let pinned = world.pins.read_token(&bearer.id, vault.place());
        still_same(vault.checked.as_ref())?;
        Self::verified(tx, vault, bearer, pinned, world)
    }

    pub(crate) fn look(
        vault: &'r Vault,
        bearer: &'r BearerKeys,
        world: &World<'_>,
    ) -> Result<Self, VaultError> {
        let pinned = world.pins.read_token(&bearer.id, vault.place());
        let tx = vault.store.begin_reading_ready()?;
        still_same(vault.checked.as_ref())?;
        Self::verified(tx, vault, bearer, pinned, world)
    }

    fn verified(
        tx: Tx<'r>,
        vault: &'r Vault,
        bearer: &'r BearerKeys,
        pinned: Memory,
        world: &World<'_>,
    ) -> Result<Self, VaultError> {
        let identity = vault.identity();
        let keys = bearer.keys(&identity);
        let signer = NamedSigner { id: &bearer.signer, encoded: &vault.header.signer };
        let open = || {
            let row = tx.view(&bearer.id)?.ok_or(TokenError::OpensNothing)?;
            Ok((View::open_signed(&row, bearer.kind, &keys, &identity, &signer, world.now())?, row))
        };
        let (view, row) = open().map_err(|error: VaultError| match altered_head(&tx, vault, bearer) {
            Some(what) => TokenError::HeaderDamaged { what }.into(),
            None => error,
        })?;
        hold(&view, &row, bearer, world.now(), pinned.pin())?;
        Ok(Self { tx, store: &vault.store, place: vault.place(), bearer, keys, identity, view, row, pinned })
    }

    pub(crate) fn granted(&self) -> Result<Granted<'_>, VaultError> {
        Granted::load(&self.tx, &self.view, self.bearer, &self.keys, &self.identity)
    }

    /// Remembers the view, once everything has verified.
    pub(crate) fn remember(&self, world: &World<'_>) {
        if self.pinned == Memory::Unreadable {
            world.note(Notice::UnreadablePin);
        }
        remember(world, self.bearer, self.place, &self.row, self.pinned.pin());
    }

    /// Commits what a machine wrote that is no read, and remembers the view.
    pub(crate) fn finish(self, world: &World<'_>) -> Result<(), VaultError> {
        self.tx.commit()?;
        if self.pinned == Memory::Unreadable {
            world.note(Notice::UnreadablePin);
        }
        remember(world, self.bearer, self.place, &self.row, self.pinned.pin());
        Ok(())
    }

    /// Enters the read in the bearer's own chain.
    pub(crate) fn commit(self, event: &Event, world: &World<'_>) -> Result<(), VaultError> {
        let mut chain = Chain::load(&self.tx, &self.keys.audit, &self.identity)?;
        chain.append(&self.tx, &self.keys.audit, &self.identity, event, world.rng)?;
        self.tx.commit()?;
        // A log that stays long makes the next start slower, and that is all.
        let _ = self.store.file().map_or(Ok(()), FileStore::finish_release);
        if self.pinned == Memory::Unreadable {
            world.note(Notice::UnreadablePin);
        }
        remember(world, self.bearer, self.place, &self.row, self.pinned.pin());
        world.notices.tell();
        Ok(())
    }
}

/// The part of the vault's head that differs from its state record, or from what this machine saw at its path. Neither is
/// proved to a bearer, so this only explains why nothing opened.
fn altered_head(tx: &Tx<'_>, vault: &Vault, bearer: &BearerKeys) -> Option<&'static str> {
    let own = vault.identity();
    let row = tx.state().ok();
    let named = row.as_ref().and_then(|row| StateRecord::identity(&row.record));
    let seen = vault.pins.vaults_at(vault.place());
    let is_other = |known: &Identity| known.vault_id != own.vault_id || known.epoch > own.epoch;
    match named {
        Some(named) if named != own => return Some("id or epoch"),
        None if !seen.is_empty() && seen.iter().all(is_other) => return Some("id or epoch"),
        _ => {}
    }
    let SignedBy::Epoch(signer) = StateRecord::decode(&row?.record, &own).ok()?.signer;
    let in_head = Signer::id_of(&vault.header.signer);
    if signer != bearer.signer || in_head == signer {
        return None;
    }
    // A bearer can put a signer of its own there and sign a view: that is no damage.
    let forger = NamedSigner { id: &in_head, encoded: &vault.header.signer };
    let view = tx.view(&bearer.id).ok().flatten()?;
    let opened = View::open_signed(&view, bearer.kind, &bearer.keys(&own), &own, &forger, Moment(0));
    let is_forged = opened.is_ok();
    (!is_forged).then_some("signer")
}

/// Refuses a view that is not in force, or older than what this machine saw.
fn hold(
    view: &View,
    row: &ViewRow,
    bearer: &BearerKeys,
    now: Moment,
    pinned: Option<&Pin>,
) -> Result<(), TokenError> {
    if let Some(pin) = pinned {
        let standing = pin.standing_of(view.change, &crypto::sha256(&row.sealed));
        if matches!(standing, Standing::RolledBack | Standing::Forked) {
            let alarm = TokenError::Alarm {
                name: view.name.clone(),
                standing,
                found: view.change,
                pinned: pin.change,
            };
            return Err(alarm);
        }
    }
    bearer.accept(view.change)?;
    match view.expires {
        Some(since) if since <= now => Err(TokenError::Expired { name: view.name.clone(), since }),
        _ => Ok(()),
    }
}

/// That it could not be remembered makes a later rollback go unnoticed, and nothing else.
fn remember(world: &World<'_>, bearer: &BearerKeys, path: &VaultPath, row: &ViewRow, pinned: Option<&Pin>) {
    if pinned.is_none_or(|pin| pin.change != row.change) {
        let seen = Pin::of_token(row.change, crypto::sha256(&row.sealed), &path.given);
        if let Err(error) = world.pins.advance_token(&bearer.id, path, &seen) {
            world.note(Notice::NotPinned(error));
        }
    }
}

/// The keys that a token's bearer may read, and where their values are.
pub(crate) struct Granted<'g> {
    to: GrantedTo,
    grants: Vec<Rc<Grant>>,
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
        bearer: &BearerKeys,
        keys: &TokenKeys,
        identity: &Identity,
    ) -> Result<Self, VaultError> {
        let rows = tx.grants(&bearer.id)?;
        if !view.binds(&rows) {
            let what = format!("token_grant of token {}", view.name);
            return Err(StateError::Mismatch { what }.into());
        }
        let open = |row| Grant::open(row, keys, identity).map(Rc::new);
        let rows = rows.iter().filter(|row| !view.apis.contains_key(&row.key));
        let grants = rows.map(open).collect::<Result<_, _>>()?;
        let to = GrantedTo { kind: view.kind, name: view.name.clone() };
        Ok(Self { to, grants, values: Values::Vault(tx, *identity) })
    }

    pub(crate) fn of_bundle(bundle: &'g Bundle) -> Result<Self, TokenError> {
        let grants = bundle.content.grants().map_err(|_| TokenError::BundleDamaged)?;
        grants.iter().try_for_each(Grant::known)?;
        let grants = grants.into_iter().map(Rc::new).collect();
        let to = GrantedTo { kind: TokenKind::Bearer, name: bundle.content.name.clone() };
        Ok(Self { to, grants, values: Values::Bundle(bundle) })
    }
}

impl KeySource for Granted<'_> {
    fn all(&mut self) -> Result<Vec<KeyView>, VaultError> {
        Ok(self.grants.iter().map(view_of).collect())
    }

    fn with_scope(&mut self, scope: &Scope) -> Result<Option<Vec<KeyView>>, VaultError> {
        let carry = self.grants.iter().filter(|grant| grant.scopes.contains(scope));
        let keys: Vec<_> = carry.map(view_of).collect();
        Ok(if keys.is_empty() { None } else { Some(keys) })
    }

    fn named(&mut self, name: &KeyName) -> Result<Option<KeyView>, VaultError> {
        Ok(self.grants.iter().find(|grant| grant.name == *name).map(view_of))
    }

    fn granted_to(&self) -> Option<GrantedTo> {
        Some(self.to.clone())
    }

    fn name_like(&self, wanted: &KeyName) -> Result<Option<KeyName>, VaultError> {
        let names = self.grants.iter().map(|grant| grant.name.clone());
        Ok(nearest(names, wanted.as_str(), KeyName::as_str))
    }

    fn scope_like(&self, wanted: &Scope) -> Result<Option<Scope>, VaultError> {
        let scopes = self.grants.iter().flat_map(|grant| grant.scopes.iter().cloned());
        Ok(nearest(scopes, wanted.as_str(), Scope::as_str))
    }

    /// The vault's owner chose it, for a machine that is the bearer's.
    fn check_variable(&self, variable: &EnvName) -> Result<(), Refused> {
        refused::parse(variable.as_str()).map(drop)
    }

    fn value(&mut self, key: &KeyView, version: u32) -> Result<Unrecorded, VaultError> {
        let missing = || StateError::Mismatch { what: format!("version {version} of {}", key.name()) };
        let Record::Granted(grant) = &key.0 else { return Err(missing().into()) };
        let value = match &self.values {
            Values::Vault(tx, identity) => {
                let granted = grant.version(version).ok_or_else(missing)?;
                let row = tx.version(&grant.key, version)?;
                let row = row.filter(|row| crypto::sha256(&row.sealed) == granted.sealed);
                let row = row.ok_or_else(missing)?;
                open_value(&granted.key, identity, &grant.key, version, &row.sealed)?
            }
            Values::Bundle(bundle) => bundle.value(&grant.key, version).ok_or_else(missing)?,
        };
        Ok(Unrecorded::new(key, version, value))
    }
}

fn view_of(grant: &Rc<Grant>) -> KeyView {
    KeyView(Record::Granted(Rc::clone(grant)))
}
