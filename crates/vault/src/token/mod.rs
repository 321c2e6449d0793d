//! Tokens on the owner's side: made, listed, renewed, revoked, and kept current by every change.
//!
//! A change that touches a key writes the grants and views of the tokens that match it in the same transaction, and
//! takes away those that match no longer. It records as well how far the bearers' chains have come, so that a read
//! which was there cannot be hidden later.

pub(crate) mod api_grant;
pub(crate) mod bearer;
pub(crate) mod bundle;
pub(crate) mod check;
pub(crate) mod edit;
pub(crate) mod error;
pub(crate) mod former;
pub(crate) mod grant;
pub(crate) mod index;
pub(crate) mod limited;
pub(crate) mod offline_reads;
pub(crate) mod read_log;
pub(crate) mod record;
pub(crate) mod regrant;
pub(crate) mod signed;

pub use self::bundle::{bundle, of_bundle};
pub use self::edit::edit;
pub(crate) use self::index::{drop_strays, load_all, put};
pub(crate) use self::limited::{all_reads_to_carry, end_some};
pub use self::limited::{begin_session, end_session, end_sessions, sessions};
pub use self::offline_reads::import_reads;
pub(crate) use self::read_log::read_all_logs;
pub use self::read_log::{verify_reads, whole_log};
pub(crate) use self::regrant::{apply_changes, grant_anew, renew_all, revoke_spent, to_renew, touch};

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::{Action, Event, KeyRef, TokenChange, TokenDeed};
use crate::unlock::token::Token;
use keyvault_core::clock::Moment;
use keyvault_core::codec::Extensions;
use keyvault_core::name::{KeyName, Label, Scope, TokenName};
use keyvault_issue::ApiId;
use keyvault_issue::record::{Bounds, IssuerEntry, IssuerState, Mark};

use self::error::TokenError;
use self::record::{Apis, Rule, TokenKind, TokenRecord};
use self::regrant::Grantee;
use super::error::{VaultError, is_of_rows};
use super::file::open::{Access, Notice, Vault, World};
use super::file::survivors::Loss;
use super::key::edit::key_ref;
use super::key::record::KeyRecord;
use crate::tx::VerifiedTx;
use crate::{file, issued, key};

pub struct NewToken {
    pub name: TokenName,
    /// Keys that carry any of these.
    pub scopes: Vec<Scope>,
    pub keys: Vec<KeyName>,
    pub expires: Option<Moment>,
}

/// An issuer of keys of an API, and its bounds.
pub struct NewIssuer {
    pub name: TokenName,
    pub api: ApiId,
    /// Its keys' ids begin with it; no other set of the vault ever had it.
    pub mark: Mark,
    pub bounds: Bounds,
    /// End of its token. From then on no verifier takes a change of its set.
    pub expires: Option<Moment>,
}

/// The fate of an issuer's keys once its token is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeysOfIssuer {
    /// Good as they are now, until they expire.
    Kept,
    Ended,
}

/// A token that was made, and the keys that it opens now.
pub struct Issued {
    pub record: TokenRecord,
    /// The token, to be shown once.
    pub token: Token,
    pub granted: Vec<KeyName>,
    pub empty_scopes: Vec<Scope>,
}

/// A token as it is listed.
pub struct Listed {
    pub record: TokenRecord,
    /// The keys that it opens now, by name; none if it is revoked.
    pub granted: Vec<KeyName>,
    /// Its bearer's reads, oldest first.
    pub reads: Vec<Event>,
    /// How many reads stand before them in its log: of the tokens that had its name before.
    pub before: u64,
    /// The fault of the bearer's chain.
    pub fault: Option<String>,
}

/// Makes a token. It takes the place of a revoked one of that name, whose reads stay on record.
pub fn create(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    new: &NewToken,
) -> Result<Issued, VaultError> {
    vault.change(access, world, |tx| make(tx, new, (TokenKind::Bearer, Apis::new()), world))
}

/// Makes the token of a verifier of these APIs, and its entry in each. Keys are granted to it as to a machine.
pub fn create_verifier(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    new: &NewToken,
    apis: &[ApiId],
) -> Result<Issued, VaultError> {
    vault.change(access, world, |tx| {
        for api in apis {
            issued::owners_set(tx, api)?.ok_or(TokenError::NoApi(*api))?;
        }
        let apis = apis.iter().map(|api| (*api, None)).collect();
        make(tx, new, (TokenKind::Verifier, apis), world)
    })
}

/// Makes the token of an issuer, and its entry in the API's record. Its set is empty until it writes it.
pub fn create_issuer(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    new: &NewIssuer,
) -> Result<Issued, VaultError> {
    vault.change(access, world, |tx| {
        let mut set = [0; 16];
        world.rng.fill(&mut set)?;
        issued::owners_set(tx, &new.api)?.ok_or(TokenError::NoApi(new.api))?;
        issued::refuse_mark(tx, new.mark)?;
        let token =
            NewToken { name: new.name.clone(), scopes: Vec::new(), keys: Vec::new(), expires: new.expires };
        let (issued, event) =
            make(tx, &token, (TokenKind::Issuer, BTreeMap::from([(new.api, Some(set))])), world)?;
        let label = Label::parse(new.name.as_str()).map_err(|_| crate::tx::damaged("token: its name"))?;
        let signer = issued.token.signing(&tx.identity).signer();
        tx.entries.made.push((
            new.api,
            IssuerEntry {
                set,
                mark: new.mark,
                name: label,
                signer,
                state: IssuerState::InForce,
                ends: new.expires,
                bounds: new.bounds.clone(),
                extensions: Extensions::default(),
            },
        ));
        Ok((issued, event))
    })
}

/// Makes a token of this kind, for these APIs, in the place of a revoked one of its name.
fn make(
    tx: &mut VerifiedTx<'_>,
    new: &NewToken,
    (kind, apis): (TokenKind, Apis),
    world: &World<'_>,
) -> Result<(Issued, Event), VaultError> {
    limited::refuse_name(&new.name)?;
    let old = index::find(tx, &new.name)?;
    if old.as_ref().is_some_and(|old| old.revoked.is_none()) {
        return Err(TokenError::Exists(new.name.clone()).into());
    }
    let named = key::all_existing(tx, &new.keys)?;
    let rule =
        Rule { scopes: new.scopes.iter().cloned().collect(), keys: named.iter().map(|key| key.id).collect() };
    let key_records = if rule == Rule::default() { Vec::new() } else { regrant::matching(tx, &rule)? };
    let mut reads = Vec::new();
    if let Some(old) = &old {
        reads = read_log::reads_to_keep(tx, old, world)?;
        index::forget(tx, old)?;
    }
    let (name, expires, made) = (new.name.clone(), new.expires, world.now());
    let (places, extensions) = (BTreeMap::new(), Extensions::default());
    let grant = Grantee { kind, name, rule, expires, made, places, apis, extensions };
    let issued = regrant::issue(tx, grant, &key_records, &reads, world)?;
    let opened = key_records.iter().filter(|key| key.has_value(world.now())).map(key_ref).collect();
    Ok((issued, event(world, TokenDeed::Created, &new.name, opened)))
}

/// Gives a token another secret; the old one opens nothing any more.
pub fn renew(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    name: &TokenName,
) -> Result<Issued, VaultError> {
    vault.change(access, world, |tx| {
        let old = index::existing(tx, name)?;
        old.refuse_session()?;
        if old.revoked.is_some() {
            return Err(TokenError::Revoked(name.clone()).into());
        }
        old.in_force(world.now())?;
        let reads = read_log::reads_to_keep(tx, &old, world)?;
        let keys = regrant::matching(tx, &old.rule)?;
        index::forget(tx, &old)?;
        // Another secret may be the answer to a leak of either.
        former::end_of(tx, Some(name))?;
        let issued = regrant::issue(tx, Grantee::of(&old), &keys, &reads, world)?;
        Ok((issued, event(world, TokenDeed::Renewed, name, Vec::new())))
    })
}

/// Refuses a token for good, or ends a limited session. The keys of an issuer are kept.
pub fn revoke(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    name: &TokenName,
) -> Result<Vec<KeyRef>, VaultError> {
    revoke_with(vault, access, world, name, KeysOfIssuer::Kept)
}

/// Refuses a token for good, or ends a limited session; returns the keys that it could read. With root no damage is in the way: see
/// [`file::change_despite_damage`].
pub fn revoke_with(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    name: &TokenName,
    keys_of_issuer: KeysOfIssuer,
) -> Result<Vec<KeyRef>, VaultError> {
    let go_on = |_: &Loss| Ok(());
    file::change_despite_damage(vault, access, world, &[], go_on, |tx, dropped| {
        let event = |could| Some(event(world, TokenDeed::Revoked, name, could));
        tx.takes_away = true;
        let mut record = match index::existing(tx, name) {
            Err(VaultError::Token(TokenError::Missing { .. })) if dropped.had_token(tx, name) => {
                if !dropped.tokens.contains(name) {
                    world.note(Notice::TokenDamaged { token: name.clone() });
                }
                return Ok((Vec::new(), event(Vec::new())));
            }
            Err(error) if is_of_rows(&error) => {
                index::forget_damaged(tx, name)?;
                world.note(Notice::TokenDamaged { token: name.clone() });
                return Ok((Vec::new(), event(Vec::new())));
            }
            record => record?,
        };
        if record.revoked.is_some() {
            return Err(TokenError::Revoked(name.clone()).into());
        }
        let could = regrant::could_read(tx, &record);
        if keys_of_issuer == KeysOfIssuer::Ended {
            tx.entries.ended.extend(record.apis.values().flatten());
        }
        if record.is_session() {
            limited::end(tx, &record, world)?;
        } else {
            regrant::mark_revoked(tx, &mut record, world)?;
        }
        Ok((could.clone(), event(could)))
    })
}

fn event(world: &World<'_>, deed: TokenDeed, name: &TokenName, keys: Vec<KeyRef>) -> Event {
    let change = TokenChange { deed, token: name.clone() };
    world.event(Action::Token, keys, String::new()).with(&change)
}

/// The names of all tokens, in order.
pub fn names(vault: &mut Vault, access: &Access) -> Result<BTreeSet<TokenName>, VaultError> {
    vault.read(access, |tx| Ok(load_all(tx)?.into_iter().map(|record| record.name).collect()))
}

/// An error if there is no token of that name, with the one that was probably meant.
pub fn exists(vault: &mut Vault, access: &Access, name: &TokenName) -> Result<(), VaultError> {
    vault.read(access, |tx| index::existing(tx, name).map(drop))
}

/// The tokens for machines that are granted one of these keys, in order: those that may have bundles.
pub fn granted(
    vault: &mut Vault,
    access: &Access,
    keys: &[KeyRecord],
) -> Result<BTreeSet<TokenName>, VaultError> {
    vault.read(access, |tx| {
        let mut records = load_all(tx)?;
        records.retain(|record| {
            let has_bundles = record.kind == TokenKind::Bearer && record.revoked.is_none();
            has_bundles && keys.iter().any(|key| record.rule.matches(key))
        });
        Ok(records.into_iter().map(|record| record.name).collect())
    })
}

/// Every token, ordered by name, with what it opens and what was read with it.
pub fn list(vault: &mut Vault, access: &Access, now: Moment) -> Result<Vec<Listed>, VaultError> {
    vault.read(access, |tx| {
        let records = load_all(tx)?;
        let keys = if records.is_empty() { Vec::new() } else { tx.keys()? };
        let mut listed = Vec::with_capacity(records.len());
        for record in records {
            let opens =
                |key: &&KeyRecord| record.revoked.is_none() && record.rule.matches(key) && key.has_value(now);
            let granted = keys.iter().filter(opens).map(|key| key.name.clone()).collect();
            let (record, mut reads, fault) = read_log::told_reads(tx, record);
            let of_others = regrant::first_own(tx, &record, &reads);
            let reads = reads.split_off(of_others);
            let before = of_others as u64;
            listed.push(Listed { record, granted, reads, before, fault });
        }
        listed.sort_by(|left, right| left.record.name.cmp(&right.record.name));
        Ok(listed)
    })
}
