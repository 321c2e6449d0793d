//! Verifiers' logs of holds in the file: a verifier appends, and the owner's changes write down how far each log goes.

use keyvault_core::clock::Rng;
use keyvault_core::crypto::SealingKey;
use keyvault_core::identity::Identity;
use keyvault_issue::hold::{self, HoldLog, Ledger, Notice as Hold, ResealError, Seen};
use keyvault_issue::record::{Api, Ascending, HoldPoint, VerifierEntry, VerifierState};
use keyvault_issue::set::{Changes, Kind, LoadedSet, PageKeys, VerifiedHeader, api_key, page_key};
use keyvault_issue::{ApiId, VerifierId, verifier_id};

use super::entries::rewrite;
use super::machine::Machine;
use super::{Carried, apart, draft_of, fault, find, sealed, signed, verified_list};
use crate::error::VaultError;
use crate::file::open::{Vault, World};
use crate::store::Tx;
use crate::token::api_grant::ApiGrant;
use crate::token::bearer::BearerKeys;
use crate::token::error::TokenError;
use crate::token::record::TokenKind;
use crate::tx::VerifiedTx;
use crate::unlock::token::Token;

/// The logs of the verifiers of one API.
pub(super) struct Logs {
    /// As far as each holds.
    pub(super) held: Vec<(VerifierId, Vec<Vec<u8>>)>,
    /// All rows of these verifiers that follow one another.
    pub(super) rows: u64,
    /// Row and fault.
    pub(super) faults: Vec<(String, String)>,
}

/// A verifier's log as far as it holds, and the point behind it. `seen` as far as its signatures were verified before.
pub(super) fn read(
    rows: &[Vec<u8>],
    (api, entry): (&Api, &VerifierEntry),
    (key, identity): (&SealingKey, &Identity),
    seen: HoldPoint,
) -> HoldLog {
    let seen = Seen { point: seen, holds: Vec::new() };
    HoldLog::read(api, entry, key, identity, rows.iter().map(Vec::as_slice), &seen)
}

/// The logs beside an owner's set; none beside another.
pub(super) fn of_set(tx: &VerifiedTx<'_>, set: &LoadedSet) -> Result<Logs, VaultError> {
    let mut logs = Logs { held: Vec::new(), rows: 0, faults: Vec::new() };
    let Some(api) = set.api() else { return Ok(logs) };
    let key = api_key(&tx.daily.issued, &api.id);
    for entry in api.verifiers.iter() {
        let mut rows = tx.rows.holds(&entry.id)?;
        let log = read(&rows, (api, entry), (&key, &tx.identity), HoldPoint::default());
        logs.rows += rows.len() as u64;
        // Its rows are the verifier's to write.
        let row = format!("log of {}", entry.name);
        logs.faults.extend(log.findings().iter().map(|finding| (row.clone(), format!("holds: {finding}"))));
        rows.truncate(usize::try_from(log.seen().point.count).unwrap_or(usize::MAX));
        logs.held.push((entry.id, rows));
    }
    Ok(logs)
}

/// Puts logs in the place of those that are there.
fn put_back(rows: &Tx<'_>, logs: &[(VerifierId, Vec<Vec<u8>>)]) -> Result<(), VaultError> {
    for (verifier, log) in logs {
        rows.delete_holds(verifier)?;
        for (number, sealed) in (0..).zip(log) {
            rows.put_hold(verifier, number, sealed)?;
        }
    }
    Ok(())
}

/// Puts logs that were carried over in the place of those that are there, sealed again if they are of another epoch.
pub(super) fn carry(tx: &VerifiedTx<'_>, carried: &Carried, rng: &dyn Rng) -> Result<(), VaultError> {
    let old = carried.set.header().header().identity;
    if old == tx.identity {
        return put_back(tx.rows, &carried.holds);
    }
    let new_key = api_key(&tx.daily.issued, &carried.api);
    for (verifier, log) in &carried.holds {
        tx.rows.delete_holds(verifier)?;
        let ledger = |identity, api_key| Ledger { identity, api: carried.api, verifier: *verifier, api_key };
        let (from, to) = (ledger(old, &carried.api_key), ledger(tx.identity, &new_key));
        for (number, sealed) in (0..).zip(log) {
            match hold::reseal(&from, &to, number, sealed, rng) {
                Ok(sealed) => tx.rows.put_hold(verifier, number, &sealed)?,
                Err(ResealError::Rng(error)) => return Err(error.into()),
                Err(error @ ResealError::Open(_)) => return Err(apart(&format!("issued_hold: {error}"))),
            }
        }
    }
    Ok(())
}

/// The record of the API in `own`, or `changed`, where the entries of verifiers of a replaced vault tell how far their logs
/// went there; none if nothing is other than in `own`. Of a closed log no hold behind that point counts.
pub(super) fn with_logs_of(replaced: &Carried, own: &LoadedSet, changed: Option<Api>) -> Option<Api> {
    let (own, theirs) = (own.api()?, replaced.set.api()?);
    let api = changed.unwrap_or_else(|| own.with_others(own.issuers.clone(), own.verifiers.clone()));
    let identity = replaced.set.header().header().identity;
    let mut verifiers = api.verifiers.to_vec();
    for (verifier, log) in &replaced.holds {
        let Some(entry) = theirs.verifiers.find(verifier) else { continue };
        let log = read(log, (theirs, entry), (&replaced.api_key, &identity), HoldPoint::default());
        let point = log.seen().point;
        for entry in verifiers.iter_mut().filter(|entry| entry.id == *verifier) {
            if point.count > entry.seen.count {
                entry.seen = point;
            }
        }
    }
    let api = api.with_others(api.issuers.clone(), Ascending::of(verifiers));
    (api != *own).then_some(api)
}

/// Writes into the verifiers' entries how far their logs go. A log that does not pass through the point in its entry leaves
/// that as it was, and the change goes on; the result is the fault of each such log, in words.
pub(crate) fn note_holds(tx: &mut VerifiedTx<'_>, world: &World<'_>) -> Result<Vec<String>, VaultError> {
    let mut faults = Vec::new();
    if !may_have_moved(tx)? {
        return Ok(faults);
    }
    for carried in &find(tx)?.sets {
        let Some(api) = carried.set.api() else { continue };
        let key = api_key(&tx.daily.issued, &api.id);
        let mut verifiers = api.verifiers.to_vec();
        for entry in verifiers.iter_mut().filter(|entry| entry.state == VerifierState::Writes) {
            let rows = tx.rows.holds(&entry.id)?;
            let log = read(&rows, (api, entry), (&key, &tx.identity), entry.seen);
            faults.extend(log.findings().iter().map(|finding| format!("holds of {}: {finding}", entry.name)));
            let point = log.seen().point;
            if point.count > entry.seen.count {
                entry.seen = point;
            }
        }
        let next = api.with_others(api.issuers.clone(), Ascending::of(verifiers));
        if next != *api {
            let mut changes = Changes::default();
            changes.put.api = Some(next);
            rewrite(tx, carried, &draft_of(tx, &carried.set), &changes, world)?;
        }
    }
    Ok(faults)
}

/// Returns `true` if a log has more or fewer rows than its entry says, by a look at the entries alone: all pages of a set
/// are read only then.
fn may_have_moved(tx: &VerifiedTx<'_>) -> Result<bool, VaultError> {
    let Ok(headers) = tx.rows.set_headers() else { return Ok(false) };
    if headers.is_empty() {
        return Ok(false);
    }
    let Ok(list) = verified_list(tx) else { return Ok(false) };
    for row in headers {
        let signed = signed(&row);
        let Ok(api) = signed.unverified().map(|header| header.api) else { continue };
        let Ok(header) = VerifiedHeader::of_owner(&list, &api, &signed) else { continue };
        let key = api_key(&tx.daily.issued, &api);
        let keys = PageKeys::default().with(Kind::Api, page_key(&key, &row.set, Kind::Api));
        let Ok(Some(page)) = tx.rows.set_page(&row.set, Kind::Api as u8, 0) else { continue };
        let Some(api) = LoadedSet::glance(&header, &keys, &sealed(&page)) else { continue };
        for entry in api.verifiers.iter().filter(|entry| entry.state == VerifierState::Writes) {
            if tx.rows.holds(&entry.id)?.len() as u64 != entry.seen.count {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Appends a hold to the verifier's own log. It counts for every reader at once, until the owner decides.
pub fn hold(
    vault: &mut Vault,
    token: &Token,
    world: &World<'_>,
    api: &ApiId,
    hold: &Hold<'_>,
) -> Result<(), VaultError> {
    let bearer = BearerKeys::of_machine(token, TokenKind::Verifier);
    let machine = Machine::begin(vault, &bearer, world)?;
    if !machine.tx.view.apis.contains_key(api) {
        return Err(TokenError::NoApi(*api).into());
    }
    let ApiGrant::Verifier(grant) = machine.grant(api)? else {
        return Err(TokenError::OtherKind { found: TokenKind::Issuer }.into());
    };
    let rows = &machine.tx.tx;
    let header = machine.owners_header(api).map_err(|error| apart(&error.to_string()))?;
    let set = header.header().set;
    let keys = PageKeys::default().with(Kind::Api, page_key(&grant.api_key, &set, Kind::Api));
    let owner = LoadedSet::load(header, &keys, rows.set_pages(&set)?.iter().map(sealed));
    let owner = owner.map_err(|error| fault(&set, error))?;
    let verifier = verifier_id(&bearer.id, api);
    let entry = owner.api().and_then(|api| Some((api, api.verifiers.find(&verifier)?)));
    let Some((record, entry)) = entry.filter(|(_, entry)| entry.state == VerifierState::Writes) else {
        return Err(TokenError::OpensNothing.into());
    };
    let identity = machine.tx.identity;
    // Behind what a reader takes of the file, whatever this machine remembers: there it counts for all of them.
    let log =
        read(&rows.holds(&verifier)?, (record, entry), (&grant.api_key, &identity), HoldPoint::default());
    let point = log.seen().point;
    // A former token signs as its entry has it.
    let signed_in = Identity { epoch: entry.epoch, ..identity };
    let ledger = Ledger { identity, api: *api, verifier, api_key: &grant.api_key };
    let (sealed, _) = ledger
        .append(&point, hold, (&token.signing(&signed_in), entry.epoch), world.rng)
        .map_err(|error| apart(&format!("issued_hold: {error}")))?;
    rows.put_hold(&verifier, point.count, &sealed)?;
    machine.commit(&[], world)
}
