//! Tokens on the owner's side: made, listed, renewed, revoked, and kept current by every change.
//!
//! A change that touches a key writes the grants and views of the tokens that match it in the same transaction, and
//! takes away those that match no longer. It records as well how far the bearers' chains have come, so that a read
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
use super::key::record::KeyRecord;

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
    /// Its bearer's reads, oldest first.
    pub reads: Vec<Event>,
    /// How many reads stand before them in its log: of the tokens that had its name before.
    pub before: u64,
    /// What is wrong with the bearer's chain.
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
        self.change(access, world, |tx| {
            let old = tx.token(&new.name)?;
            if old.as_ref().is_some_and(|old| old.revoked.is_none()) {
                return Err(TokenError::Exists(new.name.clone()).into());
            }
            let named = tx.all_existing(&new.keys)?;
            let rule = Rule {
                scopes: new.scopes.iter().cloned().collect(),
                keys: named.iter().map(|key| key.id).collect(),
            };
            let key_records = tx.matching(&rule)?;
            let mut reads = Vec::new();
            if let Some(old) = &old {
                reads = tx.reads_to_keep(old, world)?;
                tx.forget_token(old)?;
            }
            let grant = Grantee { name: new.name.clone(), rule, expires: new.expires, made: world.now() };
            let issued = tx.issue_token(grant, &key_records, &reads, world)?;
            let opened = key_records.iter().filter(|key| key.has_value(world.now())).map(key_ref).collect();
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
        self.change(access, world, |tx| {
            let old = tx.existing_token(name)?;
            if old.revoked.is_some() {
                return Err(TokenError::Revoked(name.clone()).into());
            }
            old.in_force(world.now())?;
            let reads = tx.reads_to_keep(&old, world)?;
            let keys = tx.matching(&old.rule)?;
            tx.forget_token(&old)?;
            let issued = tx.issue_token(Grantee::of(&old), &keys, &reads, world)?;
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
        self.change(access, world, |tx| {
            let event = |could| world.event(Action::Token, could, format!("revoked {name}"));
            let mut record = match tx.existing_token(name) {
                Err(error) if is_of_rows(&error) => {
                    tx.forget_damaged_token(name)?;
                    (world.notice)(Notice::TokenDamaged { token: name.clone() });
                    return Ok((Vec::new(), event(Vec::new())));
                }
                record => record?,
            };
            if record.revoked.is_some() {
                return Err(TokenError::Revoked(name.clone()).into());
            }
            let could = tx.could_read(&record);
            tx.revoke(&mut record, world)?;
            Ok((could.clone(), event(could)))
        })
    }

    /// The names of all tokens, in order.
    pub fn token_names(&mut self, access: &Access) -> Result<BTreeSet<TokenName>, VaultError> {
        self.read(access, |tx| Ok(tx.load_tokens()?.into_iter().map(|record| record.name).collect()))
    }

    /// Every token, ordered by name, with what it opens and what was read with it.
    pub fn tokens(&mut self, access: &Access, now: Moment) -> Result<Vec<Listed>, VaultError> {
        self.read(access, |tx| {
            let records = tx.load_tokens()?;
            let keys = if records.is_empty() { Vec::new() } else { tx.keys()? };
            let mut listed = Vec::with_capacity(records.len());
            for record in records {
                let opens = |key: &&KeyRecord| {
                    record.revoked.is_none() && record.rule.matches(key) && key.has_value(now)
                };
                let granted = keys.iter().filter(opens).map(|key| key.name.clone()).collect();
                let (record, mut reads, fault) = tx.told_reads(record);
                let of_others = tx.first_own(&record, &reads);
                let reads = reads.split_off(of_others);
                let before = of_others as u64;
                listed.push(Listed { record, granted, reads, before, fault });
            }
            listed.sort_by(|left, right| left.record.name.cmp(&right.record.name));
            Ok(listed)
        })
    }
}
