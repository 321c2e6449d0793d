//! Changing what a token is granted, and for how long. Its secret stays, so its bearer notices nothing but the grants.

use std::collections::BTreeSet;

use crate::audit::{KeyRef, NewExpiry, TokenDeed, TokenEdited};
use keyvault_core::clock::Moment;
use keyvault_core::name::{KeyName, Scope, TokenName};

use super::error::TokenError;
use super::record::{Rule, TokenKind, TokenRecord};
use super::{event, index, regrant};
use crate::error::{VaultError, is_damage};
use crate::file::open::{Access, Notice, Vault, World};
use crate::key;
use crate::key::edit::key_ref;
use crate::key::record::KeyRecord;
use crate::tx::VerifiedTx;

/// Changes to a token; what is empty or `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenEdit {
    pub scope: BTreeSet<Scope>,
    pub unscope: BTreeSet<Scope>,
    /// Keys to grant by name.
    pub key: Vec<KeyName>,
    pub no_key: Vec<KeyName>,
    /// A new expiry; `Some(None)` is never.
    pub expires: Option<Option<Moment>>,
}

/// A token that was edited.
#[derive(Debug)]
pub struct Edited {
    pub record: TokenRecord,
    /// Scopes of this edit that no key has yet.
    pub empty_scopes: Vec<Scope>,
    /// Keys that it opened before and no longer does. Its bearer may have kept them.
    pub withdrawn: Vec<KeyRef>,
    /// Keys that are no longer granted by name, and still by a scope.
    pub still_granted: Vec<KeyName>,
}

/// Changes what a token in force is granted, and its expiry, and writes its grants and view.
pub fn edit(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    name: &TokenName,
    edit: &TokenEdit,
) -> Result<Edited, VaultError> {
    vault.change(access, world, |tx| {
        let mut record = index::existing(tx, name)?;
        refuse_unfit(tx, &record, world)?;
        let added = key::all_existing(tx, &edit.key)?;
        let removed = key::all_existing(tx, &edit.no_key)?;
        let before = record.rule.clone();
        record.rule = new_rule(&record, edit, &added, &removed)?;
        let expires = edit.expires.unwrap_or(record.expires);
        let changed = TokenEdited {
            scopes_added: &record.rule.scopes - &before.scopes,
            scopes_removed: &before.scopes - &record.rule.scopes,
            keys_added: names_within(&added, &(&record.rule.keys - &before.keys)),
            keys_removed: names_within(&removed, &(&before.keys - &record.rule.keys)),
            expires: (expires != record.expires)
                .then_some(NewExpiry { before: record.expires, after: expires }),
        };
        record.expires = expires;
        refuse_over(tx, &record)?;
        tx.takes_away |= changed.takes_away();
        let union = |left: &Rule, right: &Rule| Rule {
            scopes: &left.scopes | &right.scopes,
            keys: &left.keys | &right.keys,
        };
        let key_records = regrant::matching(tx, &union(&before, &record.rule))?;
        regrant::grant_anew(tx, &mut record, &key_records, world)?;
        index::put(tx, &record, world)?;
        let moved = key_records.iter().filter(|key| before.matches(key) != record.rule.matches(key));
        let moved: Vec<_> = moved.filter(|key| key.has_value(world.now())).collect();
        let event = event(world, TokenDeed::Edited, name, moved.iter().map(|key| key_ref(key)).collect());
        let withdrawn = moved.into_iter().filter(|key| before.matches(key)).map(key_ref).collect();
        let still_granted = removed.iter().filter(|key| record.rule.matches(key));
        let lacks = |scope: &&Scope| !key_records.iter().any(|key| key.scopes.contains(*scope));
        let edited = Edited {
            empty_scopes: edit.scope.iter().filter(lacks).cloned().collect(),
            withdrawn,
            still_granted: still_granted.map(|key| key.name.clone()).collect(),
            record,
        };
        Ok((edited, event.with(&changed)))
    })
}

/// Refuses a token that is no machine's or not in force, and says so if its bearer altered its grants.
fn refuse_unfit(tx: &VerifiedTx<'_>, record: &TokenRecord, world: &World<'_>) -> Result<(), VaultError> {
    record.refuse_session()?;
    let (name, kind) = (record.name.clone(), record.kind);
    if kind != TokenKind::Bearer {
        return Err(TokenError::NotEdited { name, kind }.into());
    }
    if record.revoked.is_some() {
        return Err(TokenError::Revoked(name).into());
    }
    record.in_force(world.now())?;
    match regrant::verified_grants(tx, record) {
        Err(error) if is_damage(&error) => {
            world.note(Notice::GrantsAltered { token: name, fault: error.fault() });
            Ok(())
        }
        rows => {
            rows?;
            refuse_over(tx, record)
        }
    }
}

/// Refuses one whose view says that it has expired: it gets no grants, whatever the clock says.
fn refuse_over(tx: &VerifiedTx<'_>, record: &TokenRecord) -> Result<(), VaultError> {
    let over = regrant::view_is_over(tx, record, &record.keys(&tx.identity)).unwrap_or(false);
    match record.expires.filter(|_| over) {
        Some(since) => Err(TokenError::Expired { name: record.name.clone(), since }.into()),
        None => Ok(()),
    }
}

fn new_rule(
    record: &TokenRecord,
    edit: &TokenEdit,
    added: &[KeyRecord],
    removed: &[KeyRecord],
) -> Result<Rule, TokenError> {
    let mut rule = record.rule.clone();
    rule.scopes.extend(edit.scope.iter().cloned());
    rule.keys.extend(added.iter().map(|key| key.id));
    for scope in &edit.unscope {
        if !rule.scopes.remove(scope) {
            return Err(TokenError::NotItsScope { token: record.name.clone(), scope: scope.clone() });
        }
    }
    for key in removed {
        if !rule.keys.remove(&key.id) {
            let by = rule.scopes.intersection(&key.scopes).next().cloned();
            let (token, key) = (record.name.clone(), key.name.clone());
            return Err(TokenError::NotItsKey { token, key, by });
        }
    }
    if rule == Rule::default() { Err(TokenError::GrantsNothing(record.name.clone())) } else { Ok(rule) }
}

fn names_within(keys: &[KeyRecord], ids: &BTreeSet<[u8; 16]>) -> BTreeSet<KeyName> {
    keys.iter().filter(|key| ids.contains(&key.id)).map(|key| key.name.clone()).collect()
}
