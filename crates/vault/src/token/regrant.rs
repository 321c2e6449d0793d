//! The part of a change that concerns tokens: grants and views are kept current, and bearers' chains are held against
//! their recorded points.

use std::collections::BTreeMap;

use crate::audit::{self, Chain, ChainMark, Event, KeyRef, Seed, TokenChange, TokenDeed};
use crate::ledger;
use crate::state::StateError;
use crate::store::{GrantRow, Ledger, ObjectKind};
use crate::unlock::token::{Token, TokenKeys};
use keyvault_core::clock::Moment;
use keyvault_core::codec::Extensions;
use keyvault_core::crypto::{self, Digest, SealingKey};
use keyvault_core::name::{Scope, TokenName};

use super::Issued;
use super::api_grant::ApiGrant;
use super::former::{FormerToken, SignedSuccession};
use super::grant::{self, Grant, GrantedVersion, View};
use super::record::{Apis, Rule, TokenKind, TokenRecord, ViewMark};
use super::{former, index, limited, read_log};
use crate::error::{VaultError, is_damage};
use crate::file::open::{Notice, World};
use crate::key::edit::key_ref;
use crate::key::record::{KeyRecord, Version, VersionState};
use crate::tx::{VerifiedTx, damaged};

const VIEW_MARK_LABEL: &[u8] = b"keyvault token view mark";

/// Whom keys are granted to, and which.
pub(crate) struct Grantee {
    pub(crate) kind: TokenKind,
    pub(crate) name: TokenName,
    pub(crate) rule: Rule,
    pub(crate) expires: Option<Moment>,
    pub(crate) made: Moment,
    /// How far reads from bundles have been imported, which outlasts the secret that they were recorded under.
    pub(crate) places: BTreeMap<[u8; 16], ChainMark>,
    pub(crate) apis: Apis,
    pub(crate) extensions: Extensions,
}

impl Grantee {
    /// The grantee of a record, to be issued another secret.
    pub(crate) fn of(record: &TokenRecord) -> Self {
        Self {
            kind: record.kind,
            name: record.name.clone(),
            rule: record.rule.clone(),
            expires: record.expires,
            made: record.created,
            places: record.places.clone(),
            apis: record.apis.clone(),
            extensions: record.extensions.clone(),
        }
    }
}

/// The tokens that are in force, with what their bearers read, for a rekey.
pub(crate) fn to_renew(
    tx: &VerifiedTx<'_>,
    records: &[TokenRecord],
    world: &World<'_>,
) -> Result<Vec<(Grantee, Vec<Event>)>, VaultError> {
    let in_force = records.iter().filter(|record| record.revoked.is_none() && !record.is_session());
    in_force.map(|record| Ok((Grantee::of(record), read_log::reads_to_keep(tx, record, world)?))).collect()
}

/// Each of them under a new secret.
pub(crate) fn renew_all(
    tx: &mut VerifiedTx<'_>,
    tokens: Vec<(Grantee, Vec<Event>)>,
    keys: &[KeyRecord],
    world: &World<'_>,
) -> Result<Vec<Issued>, VaultError> {
    let renew = |(grantee, reads): (Grantee, Vec<Event>)| {
        let keys: Vec<_> = keys.iter().filter(|key| grantee.rule.matches(key)).cloned().collect();
        issue(tx, grantee, &keys, &reads, world)
    };
    tokens.into_iter().map(renew).collect()
}

/// Revokes those of the tokens in force that are `spent`.
pub(crate) fn revoke_spent(
    tx: &mut VerifiedTx<'_>,
    spent: impl Fn(&TokenRecord) -> bool,
    world: &World<'_>,
) -> Result<(), VaultError> {
    for mut record in index::load_all(tx)? {
        if record.revoked.is_none() && spent(&record) {
            mark_revoked(tx, &mut record, world)?;
        }
    }
    Ok(())
}

/// The token opens nothing any more; its record stays, with what its bearer read.
pub(crate) fn mark_revoked(
    tx: &mut VerifiedTx<'_>,
    record: &mut TokenRecord,
    world: &World<'_>,
) -> Result<(), VaultError> {
    tx.entries.needs(&record.apis);
    tx.rows.delete_view(&record.id)?;
    record.revoked = Some(world.now());
    record.view = None;
    // Later entries by its bearer are ignored.
    let keys = record.keys(&tx.identity);
    read_log::note_reads(tx, record, &keys, world)?;
    index::put(tx, record, world)
}

/// The keys that a rule grants. Only before this change has touched any.
pub(crate) fn matching(tx: &mut VerifiedTx<'_>, rule: &Rule) -> Result<Vec<KeyRecord>, VaultError> {
    let mut keys = match tx.keys() {
        // A row that somebody put there is nothing to grant, and keeps no token from being renewed; a token that
        // was taken out of the file does.
        Err(error) if is_damage(&error) => {
            index::load_all(tx)?;
            keys_that_hold(tx)?
        }
        keys => keys?,
    };
    keys.retain(|key| rule.matches(key));
    Ok(keys)
}

/// The keys that the tree knows as they stand, whatever became of the others; without those that this change has
/// written.
fn keys_that_hold(tx: &mut VerifiedTx<'_>) -> Result<Vec<KeyRecord>, VaultError> {
    let mut keys = Vec::new();
    for tag in tx.rows.object_tags(ObjectKind::Key)? {
        if tx.leaf_changes.contains_key(&tag) {
            continue;
        }
        match tx.object_at(&tag) {
            Err(error) if is_damage(&error) => {}
            key => keys.extend(key?),
        }
    }
    Ok(keys)
}

/// A new token under a new secret, its grants and view, and its bearer's chain with what was read before.
pub(crate) fn issue(
    tx: &mut VerifiedTx<'_>,
    grantee: Grantee,
    key_records: &[KeyRecord],
    reads: &[Event],
    world: &World<'_>,
) -> Result<Issued, VaultError> {
    let token = Token::create(&tx.daily.signing.signer().id(), world.rng)?;
    let mut record = TokenRecord {
        kind: grantee.kind,
        name: grantee.name,
        id: token.id(),
        rule: grantee.rule,
        created: grantee.made,
        expires: grantee.expires,
        revoked: None,
        made_by: format!("{}@{}", world.actor.user, world.actor.host),
        reader: token.reader(),
        first_key: SealingKey::random(world.rng)?,
        view: None,
        read: ChainMark::START,
        // A chain that was not proved is not kept, and what it knew can be imported again.
        places: if reads.is_empty() { BTreeMap::new() } else { grantee.places },
        apis: grantee.apis,
        extensions: grantee.extensions,
    };
    if !record.apis.is_empty() {
        tx.entries.needs(&record.apis);
        tx.entries.signers.insert(record.id, token.signing(&tx.identity).signer());
    }
    let keys = record.keys(&tx.identity);
    let seed = SealingKey::from_bytes(record.first_key.expose()).ok_or_else(|| damaged("token: k₀"))?;
    let chain = Chain::rewrite(Seed::from(seed), tx.rows, &keys.audit, &tx.identity, reads, world.rng)?;
    record.read = chain.end();
    if !record.expired(world.now()) {
        for key in key_records {
            put_grant(tx, &record, &keys, key, world)?;
        }
    }
    write_view(tx, &mut record, &keys, false, None, world)?;
    index::put(tx, &record, world)?;
    let lacks = |scope: &&Scope| !key_records.iter().any(|key| key.scopes.contains(*scope));
    let empty_scopes = record.rule.scopes.iter().filter(lacks).cloned().collect();
    let opened = key_records.iter().filter(|key| key.has_value(world.now()));
    let opened = opened.map(|key| key.name.clone()).collect();
    Ok(Issued { record, token, granted: opened, empty_scopes })
}

fn put_grant(
    tx: &VerifiedTx<'_>,
    record: &TokenRecord,
    keys: &TokenKeys,
    key: &KeyRecord,
    world: &World<'_>,
) -> Result<(), VaultError> {
    let mut grant = grant_of(tx, key, world.now())?;
    if record.is_session() && key.is_withheld() {
        grant = grant.withhold_from_files();
    }
    Ok(tx.rows.put_grant(&grant.seal(keys, &tx.identity, &record.id, world.rng)?)?)
}

/// The grants of a token's APIs, as their sets are after this change. An issuer whose set's owner cannot be read gets none.
fn put_api_grants(
    tx: &VerifiedTx<'_>,
    record: &TokenRecord,
    keys: &TokenKeys,
    world: &World<'_>,
) -> Result<(), VaultError> {
    for (api, set) in &record.apis {
        match ApiGrant::of(tx, api, set.as_ref())? {
            Some(grant) => {
                tx.rows.put_grant(&grant.seal(keys, &tx.identity, (&record.id, api), world.rng)?)?;
            }
            None => tx.rows.delete_grant(&record.id, api)?,
        }
    }
    Ok(())
}

/// The grant of a key: only versions that are good have their keys in it.
pub(crate) fn grant_of(tx: &VerifiedTx<'_>, key: &KeyRecord, now: Moment) -> Result<Grant, VaultError> {
    let mut versions = Vec::new();
    for version in key.versions.iter().filter(|_| key.disabled.is_none()) {
        let state = version.state_at(now);
        if matches!(state, VersionState::Current | VersionState::Previous) && version.digest.is_some() {
            match granted_version(tx, key, version, state) {
                // A value that another bearer put in its place is not passed on as the owner's.
                Err(error) if is_damage(&error) => {}
                granted => versions.push(granted?),
            }
        }
    }
    Ok(Grant::of(key, versions))
}

fn granted_version(
    tx: &VerifiedTx<'_>,
    key_record: &KeyRecord,
    version: &Version,
    state: VersionState,
) -> Result<GrantedVersion, VaultError> {
    let row = tx.version_row(&key_record.id, version.number)?;
    drop(tx.opener().value(&key_record.id, version, &row)?);
    let key = tx.opener().version_key(&key_record.id, version, &row)?;
    let (number, grace_until) = (version.number, version.good_until());
    let previous = state == VersionState::Previous;
    Ok(GrantedVersion { number, previous, grace_until, key, sealed: crypto::sha256(&row.sealed) })
}

/// A token's grants and view, from the owner's record and keys alone, in the place of whatever stands there.
pub(crate) fn grant_anew(
    tx: &mut VerifiedTx<'_>,
    record: &mut TokenRecord,
    key_records: &[KeyRecord],
    world: &World<'_>,
) -> Result<(), VaultError> {
    let keys = record.keys(&tx.identity);
    let was_over = view_is_over(tx, record, &keys).unwrap_or(false);
    tx.rows.delete_view(&record.id)?;
    if !was_over && !record.expired(world.now()) {
        for key in key_records.iter().filter(|key| record.rule.matches(key)) {
            put_grant(tx, record, &keys, key, world)?;
        }
    }
    write_view(tx, record, &keys, was_over, None, world)
}

/// Binds the grants as they stand now, under this change's number. `was_over`: the view before it was. `proof` is that of a
/// former token.
pub(crate) fn write_view(
    tx: &mut VerifiedTx<'_>,
    record: &mut TokenRecord,
    keys: &TokenKeys,
    was_over: bool,
    proof: Option<&SignedSuccession>,
    world: &World<'_>,
) -> Result<(), VaultError> {
    let rows = tx.rows.grants(&record.id)?;
    let now = world.now();
    let over = record.expires.filter(|_| was_over);
    let view = View {
        kind: record.kind,
        change: tx.next_change(),
        name: record.name.clone(),
        time: over.map_or(now, |expires| now.max(expires)),
        expires: record.expires,
        count: u32::try_from(rows.len()).map_err(|_| damaged("token_grant: too many"))?,
        grants: grant::grants_hash(&rows),
        apis: record.apis.clone(),
    };
    let row = view.seal(keys, &tx.identity, &record.id, &tx.daily.signing, proof, world.rng)?;
    record.view = Some(ViewMark { change: view.change, digest: view_mark(tx, &row.sealed) });
    Ok(tx.rows.put_view(&row)?)
}

/// Returns `true` if the view was written when the token had expired. From then on it gets no grant, whatever the clock
/// says: what such a view lacks was withheld.
pub(crate) fn view_is_over(
    tx: &VerifiedTx<'_>,
    record: &TokenRecord,
    keys: &TokenKeys,
) -> Result<bool, VaultError> {
    let Some((expires, row)) = record.expires.zip(tx.rows.view(&record.id)?) else { return Ok(false) };
    // Its bearer could have made one that is over, and so have the token never be granted anything again.
    let (view, _) = View::open_own(&row, record.kind, keys, &tx.identity, &tx.daily.signing)?;
    Ok(expires <= view.time)
}

fn view_mark(tx: &VerifiedTx<'_>, sealed: &[u8]) -> Digest {
    // All of it: the bearer has the key, and could make another with the same salt, commitment and tag.
    tx.daily.tree.digest(&[VIEW_MARK_LABEL, sealed])
}

/// A token's grants, held against its view, and that against its record: what a bearer put there itself must not be
/// bound by the next view.
pub(crate) fn verified_grants(
    tx: &VerifiedTx<'_>,
    record: &TokenRecord,
) -> Result<Vec<GrantRow>, VaultError> {
    let keys = record.keys(&tx.identity);
    let wrong = |what: &str| StateError::Mismatch { what: format!("{what} of token {}", record.name) };
    let row = tx.rows.view(&record.id)?;
    let mark = row.as_ref().map(|row| ViewMark { change: row.change, digest: view_mark(tx, &row.sealed) });
    if mark != record.view {
        return Err(wrong("token_view").into());
    }
    let rows = tx.rows.grants(&record.id)?;
    let Some(row) = row else {
        return if rows.is_empty() { Ok(rows) } else { Err(wrong("token_grant").into()) };
    };
    if View::open(&row, record.kind, &keys, &tx.identity)?.binds(&rows) {
        Ok(rows)
    } else {
        Err(wrong("token_grant").into())
    }
}

/// The keys that it could read, current versions: those that it matches, those that its grants open, and those that
/// were read with it and are still as they were. The rows are its bearer's to alter, so none of these is enough; and
/// none that does not hold is in the way, for this is what an emergency asks.
pub(crate) fn could_read(tx: &mut VerifiedTx<'_>, record: &TokenRecord) -> Vec<KeyRef> {
    let keys = record.keys(&tx.identity);
    let grants = tx.rows.grants(&record.id).unwrap_or_default();
    let reads = read_log::reads_of(tx, record).unwrap_or_default();
    let own = first_own(tx, record, &reads);
    let read: Vec<_> = reads.into_iter().skip(own).flat_map(|read| read.keys).collect();
    let mut named = Vec::new();
    let key_records = match tx.keys() {
        Ok(key_records) => Ok(key_records),
        Err(_) => keys_that_hold(tx),
    };
    if let Ok(key_records) = key_records {
        let now = key_records.iter().map(|key_record| (key_record, key_ref(key_record)));
        let could = now.filter(|(key_record, key)| record.rule.matches(key_record) || read.contains(key));
        named.extend(could.map(|(_, key)| key));
    }
    let opened = grants.iter().filter_map(|row| Grant::open(row, &keys, &tx.identity).ok());
    named.extend(opened.map(|grant| grant.key_ref()));
    // The vault's own entry for a key sorts before one that the bearer may have written.
    named.sort_by(|left, right| left.name.cmp(&right.name));
    named.dedup_by(|left, right| left.name == right.name);
    named
}

/// How many of these reads are of tokens that had its name before. There are none, whatever the times in its bearer's
/// entries, if the log knows of no such token; and behind the first read of its own none is another's.
pub(crate) fn first_own(tx: &VerifiedTx<'_>, record: &TokenRecord, reads: &[Event]) -> usize {
    let earlier = reads.iter().take_while(|read| read.time < record.created).count();
    if earlier == 0 {
        return 0;
    }
    let creation = TokenChange { deed: TokenDeed::Created, token: record.name.clone() };
    let mut made = 0;
    let told = audit::read_what_opens(tx.rows, &tx.daily.audit, &tx.identity, &mut |event| {
        made += u32::from(event.get().as_ref() == Some(&creation));
    });
    if told.is_ok() && made > 1 { earlier } else { 0 }
}

/// Notes a key that this change writes (or removes: `None`), if there is a token that it may concern.
pub(crate) fn touch(
    tx: &mut VerifiedTx<'_>,
    id: [u8; 16],
    after: Option<&KeyRecord>,
) -> Result<(), VaultError> {
    if tx.has_tokens.is_none() {
        tx.has_tokens = Some(tx.rows.has_objects(ObjectKind::Token)?);
    }
    if tx.has_tokens == Some(true) {
        tx.touched.insert(id, after.cloned());
    }
    Ok(())
}

/// Writes what this change means for every token.
pub(crate) fn apply_changes(tx: &mut VerifiedTx<'_>, world: &World<'_>) -> Result<(), VaultError> {
    let touched = std::mem::take(&mut tx.touched);
    let (over, records): (Vec<_>, Vec<_>) =
        index::load_all(tx)?.into_iter().partition(|record| limited::is_over(record, world.now()));
    over.iter().try_for_each(|session| limited::end(tx, session, world))?;
    let ids = |records: &mut dyn Iterator<Item = &TokenRecord>| records.map(|record| record.id).collect();
    let in_force: Vec<_> = ids(&mut records.iter().filter(|record| record.revoked.is_none()));
    let formers = former::that_hold(tx)?;
    let mut known = ledger::listed(tx)?;
    let former_ids = formers.iter().map(|former| former.record.id);
    known.extend(records.iter().map(|record| record.id).chain(former_ids.clone()).map(Ledger::Token));
    let in_force: Vec<_> = in_force.into_iter().chain(former_ids).collect();
    if tx.rows.delete_other_tokens(&in_force, &known)? > 0 {
        world.note(Notice::StrayTokenRows);
    }
    for mut record in records {
        let keys = record.keys(&tx.identity);
        let granted = record.revoked.is_none() && regrant(tx, &mut record, &keys, &touched, world)?;
        let granted = granted || is_left_behind(tx, &record);
        let read = record.revoked.is_none() && read_log::note_reads(tx, &mut record, &keys, world)?;
        if granted {
            let was_over = view_is_over(tx, &record, &keys)?;
            write_view(tx, &mut record, &keys, was_over, None, world)?;
        }
        if granted || read {
            index::put(tx, &record, world)?;
        }
    }
    for mut former in formers {
        let FormerToken { record, proof, .. } = &mut former;
        let keys = record.keys(&tx.identity);
        let granted = regrant(tx, record, &keys, &BTreeMap::new(), world)? || is_left_behind(tx, record);
        let read = read_log::note_reads(tx, record, &keys, world)?;
        if granted {
            write_view(tx, record, &keys, false, Some(proof), world)?;
        }
        if granted || read {
            former::put(tx, &former, world)?;
        }
    }
    Ok(())
}

/// Returns `true` if a restore or an adoption leaves a view behind under a number that its bearer may have seen
/// surpassed: it would take the owner's own decision for a rollback.
fn is_left_behind(tx: &VerifiedTx<'_>, record: &TokenRecord) -> bool {
    tx.floor > 0 && record.view.is_some_and(|view| view.change < tx.next_change())
}

fn regrant(
    tx: &mut VerifiedTx<'_>,
    record: &mut TokenRecord,
    keys: &TokenKeys,
    touched: &BTreeMap<[u8; 16], Option<KeyRecord>>,
    world: &World<'_>,
) -> Result<bool, VaultError> {
    let concerns_apis = !record.apis.is_empty() && (tx.floor > 0 || tx.entries.concern(&record.apis));
    // One that was made in this very change has seen all keys, though not yet what became of its APIs.
    if record.view.is_some_and(|view| view.change == tx.next_change()) {
        if !record.apis.is_empty() && !record.expired(world.now()) {
            put_api_grants(tx, record, keys, world)?;
        }
        return Ok(!record.apis.is_empty());
    }
    if touched.is_empty() && tx.floor == 0 && !concerns_apis {
        return Ok(false);
    }
    let rows = match verified_grants(tx, record) {
        Err(error) if is_damage(&error) => {
            world.note(Notice::GrantsAltered { token: record.name.clone(), fault: error.fault() });
            let mut key_records = keys_that_hold(tx)?;
            key_records.extend(touched.values().flatten().cloned());
            record.rule.keys.retain(|id| touched.get(id) != Some(&None));
            grant_anew(tx, record, &key_records, world)?;
            if !record.expired(world.now()) && !view_is_over(tx, record, keys)? {
                put_api_grants(tx, record, keys, world)?;
            }
            return Ok(true);
        }
        rows => rows?,
    };
    // Its bearer can turn a clock back, so a token that has expired is not trusted to refuse: it gets nothing of what
    // a key is from now on, not even its name. The first change that finds it so says it in the view.
    let was_over = view_is_over(tx, record, keys)?;
    let over = was_over || record.expired(world.now());
    let mut changed = over && !was_over;
    if concerns_apis {
        if over {
            record.apis.keys().try_for_each(|api| tx.rows.delete_grant(&record.id, api))?;
        } else {
            put_api_grants(tx, record, keys, world)?;
        }
        changed = true;
    }
    for (id, after) in touched {
        match after.as_ref().filter(|key| !over && record.rule.matches(key)) {
            Some(key) => {
                put_grant(tx, record, keys, key, world)?;
                changed = true;
            }
            None if rows.iter().any(|row| row.key == *id) => {
                tx.rows.delete_grant(&record.id, id)?;
                changed = true;
            }
            None => {}
        }
        if after.is_none() {
            record.rule.keys.remove(id);
        }
    }
    Ok(changed)
}
