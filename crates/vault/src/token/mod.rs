//! Tokens on the owner's side: made, listed, renewed, revoked, and kept current by every change.
//!
//! A change that touches a key writes the grants and views of the tokens that match it in the same transaction, and
//! takes away those that match no longer. It records as well how far the holders' chains have come, so that a read
//! which was there cannot be hidden later.

pub(crate) mod bearer;
pub(crate) mod bundle;
pub(crate) mod check;
pub(crate) mod error;
pub(crate) mod grant;
pub(crate) mod index;
pub(crate) mod offline_reads;
pub(crate) mod read_log;
pub(crate) mod record;
pub(crate) mod regrant;

use std::collections::BTreeSet;

use crate::audit::{Action, Event, KeyRef};
use crate::unlock::token::Token;
use keyvault_core::clock::Moment;
use keyvault_core::name::{KeyName, Scope, TokenName};

use self::error::TokenError;
use self::record::{Rule, TokenRecord};
use self::regrant::{Grantee, created};
use super::error::VaultError;
use super::file::open::{Access, Notice, Vault, World};
use super::file::restore_guard::is_of_rows;
use super::key::edit::key_ref;
use super::key::record::Item;

pub struct NewToken {
    pub name: TokenName,
    /// Keys that carry any of these.
    pub scopes: Vec<Scope>,
    pub keys: Vec<KeyName>,
    pub expires: Option<Moment>,
}

/// A token that was made, and the keys that it opens now.
pub struct Issued {
    /// What the owner knows of it.
    pub record: TokenRecord,
    /// The token, to be shown once.
    pub token: Token,
    pub granted: Vec<KeyName>,
    pub empty_scopes: Vec<Scope>,
}

/// A token as it is listed.
pub struct Listed {
    /// What the owner knows of it.
    pub record: TokenRecord,
    /// The keys that it opens now, by name; none if it is revoked.
    pub granted: Vec<KeyName>,
    /// Its holder's reads, oldest first.
    pub reads: Vec<Event>,
    /// How many reads stand before them in its log: of the tokens that had its name before.
    pub before: u64,
    /// What is wrong with the holder's chain.
    pub fault: Option<String>,
}

impl Vault {
    /// Makes a token. One of that name that was revoked makes room for it; what was read with it stays on record.
    pub fn create_token(
        &mut self,
        access: &Access,
        world: &World<'_>,
        new: &NewToken,
    ) -> Result<Issued, VaultError> {
        self.change(access, world, |work| {
            let old = work.token(&new.name)?;
            if old.as_ref().is_some_and(|old| old.revoked.is_none()) {
                return Err(TokenError::Exists(new.name.clone()).into());
            }
            let named = work.all_existing(&new.keys)?;
            let rule = Rule {
                scopes: new.scopes.iter().cloned().collect(),
                keys: named.iter().map(|item| item.id).collect(),
            };
            let items = work.matching(&rule)?;
            let mut reads = Vec::new();
            if let Some(old) = &old {
                reads = work.reads_to_keep(old, world)?;
                work.forget_token(old)?;
            }
            let (name, expires, made) = (new.name.clone(), new.expires, world.now());
            let grant = Grantee { name, rule, expires, made, places: Vec::new() };
            let issued = work.issue_token(grant, &items, &reads, world)?;
            let opened = items.iter().filter(|item| item.has_value(world.now())).map(key_ref).collect();
            let event = world.event(Action::Token, opened, created(&new.name));
            Ok((issued, event))
        })
    }

    /// Gives a token another secret; the old one opens nothing any more.
    pub fn renew_token(
        &mut self,
        access: &Access,
        world: &World<'_>,
        name: &TokenName,
    ) -> Result<Issued, VaultError> {
        self.change(access, world, |work| {
            let old = work.existing_token(name)?;
            if old.revoked.is_some() {
                return Err(TokenError::Revoked(name.clone()).into());
            }
            old.in_force(world.now())?;
            let reads = work.reads_to_keep(&old, world)?;
            let items = work.matching(&old.rule)?;
            work.forget_token(&old)?;
            let issued = work.issue_token(Grantee::of(&old), &items, &reads, world)?;
            let event = world.event(Action::Token, Vec::new(), format!("renewed {name}"));
            Ok((issued, event))
        })
    }

    /// Refuses a token for good; returns the keys that it could read.
    pub fn revoke_token(
        &mut self,
        access: &Access,
        world: &World<'_>,
        name: &TokenName,
    ) -> Result<Vec<KeyRef>, VaultError> {
        self.change(access, world, |work| {
            let event = |could| world.event(Action::Token, could, format!("revoked {name}"));
            let mut record = match work.existing_token(name) {
                Err(error) if is_of_rows(&error) => {
                    work.forget_damaged_token(name)?;
                    (world.notice)(Notice::TokenDamaged { token: name.clone() });
                    return Ok((Vec::new(), event(Vec::new())));
                }
                record => record?,
            };
            if record.revoked.is_some() {
                return Err(TokenError::Revoked(name.clone()).into());
            }
            let could = work.could_read(&record);
            work.revoke(&mut record, world)?;
            Ok((could.clone(), event(could)))
        })
    }

    /// The names of all tokens, in order.
    pub fn token_names(&mut self, access: &Access) -> Result<BTreeSet<TokenName>, VaultError> {
        self.read(access, |work| Ok(work.load_tokens()?.into_iter().map(|record| record.name).collect()))
    }

    /// Every token, ordered by name, with what it opens and what was read with it.
    pub fn tokens(&mut self, access: &Access, now: Moment) -> Result<Vec<Listed>, VaultError> {
        self.read(access, |work| {
            let records = work.load_tokens()?;
            let items = if records.is_empty() { Vec::new() } else { work.items()? };
            let mut listed = Vec::with_capacity(records.len());
            for record in records {
                let opens = |item: &&Item| {
                    record.revoked.is_none() && record.rule.matches(item) && item.has_value(now)
                };
                let granted = items.iter().filter(opens).map(|item| item.name.clone()).collect();
                let (record, mut reads, fault) = work.told_reads(record);
                let of_others = work.first_own(&record, &reads);
                let reads = reads.split_off(of_others);
                let before = of_others as u64;
                listed.push(Listed { record, granted, reads, before, fault });
            }
            listed.sort_by(|left, right| left.record.name.cmp(&right.record.name));
            Ok(listed)
        })
    }
}
