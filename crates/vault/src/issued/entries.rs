//! The entries of issuers and verifiers in their APIs' records, which follow their tokens: each change that makes, renews, or
//! revokes such a token writes them.

use std::collections::{BTreeMap, BTreeSet};

use keyvault_core::codec::Extensions;
use keyvault_core::crypto::Signer;
use keyvault_core::name::Label;
use keyvault_issue::issuer::MAX_RISE;
use keyvault_issue::record::{
    Api, Ascending, HoldPoint, IssuerEntry, IssuerState, Mark, VerifierEntry, VerifierState,
};
use keyvault_issue::set::{
    Changes, Draft, Kind, LoadedSet, PageKeys, SignedHeader, VerifiedHeader, api_key, page_key,
};
use keyvault_issue::{ApiId, SetId, verifier_id};

use super::{Carried, Found, apart, draft_of, find, keys_of, put, put_list, sealed, verified_list};
use crate::error::VaultError;
use crate::file::open::World;
use crate::store::TokenId;
use crate::token;
use crate::token::error::TokenError;
use crate::token::record::{Apis, TokenKind, TokenRecord};
use crate::tx::{VerifiedTx, damaged};

/// Issuers, verifiers, and sets of one change.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    /// Set once a token may have come or gone whose entries have to follow.
    pub(crate) moved: bool,
    /// APIs that cannot be left as they are.
    needed: BTreeSet<ApiId>,
    /// Of the tokens that this change made, by what they sign with.
    pub(crate) signers: BTreeMap<TokenId, Signer>,
    pub(crate) made: Vec<(ApiId, IssuerEntry)>,
    /// Sets whose keys end with their issuer.
    pub(crate) ended: BTreeSet<SetId>,
    /// Numbers of the headers that this change wrote.
    pub(super) written: BTreeMap<SetId, u64>,
    /// APIs whose record this change wrote.
    apis: BTreeSet<ApiId>,
}

impl Entries {
    /// A token of these APIs comes or goes.
    pub(crate) fn needs(&mut self, apis: &Apis) {
        self.moved |= !apis.is_empty();
        self.needed.extend(apis.keys());
    }

    /// Returns `true` if this change wrote the record of one of these APIs.
    pub(crate) fn concern(&self, apis: &Apis) -> bool {
        apis.keys().any(|api| self.apis.contains(api))
    }

    pub(super) fn wrote(&self, set: &SetId, number: u64) -> bool {
        self.written.get(set) == Some(&number)
    }

    pub(super) fn wrote_api(&mut self, api: ApiId) {
        self.apis.insert(api);
    }
}

/// The owner's set of an API, opened no further than the API's record; `None` if there is none that holds.
pub(crate) fn owners_set(tx: &VerifiedTx<'_>, api: &ApiId) -> Result<Option<LoadedSet>, VaultError> {
    let Ok(list) = verified_list(tx) else { return Ok(None) };
    let key = api_key(&tx.daily.issued, api);
    for row in tx.rows.set_headers()? {
        let signed = SignedHeader { text: row.header, signature: row.signature };
        let Ok(header) = VerifiedHeader::of_owner(&list, api, &signed) else { continue };
        if header.header().set != row.set {
            continue;
        }
        let keys = PageKeys::default().with(Kind::Api, page_key(&key, &row.set, Kind::Api));
        let pages = tx.rows.set_pages(&row.set)?;
        if let Ok(set) = LoadedSet::load(header, &keys, pages.iter().map(sealed)) {
            return Ok(Some(set));
        }
    }
    Ok(None)
}

/// Refuses a mark that a set of the vault has or had.
pub(crate) fn refuse_mark(tx: &VerifiedTx<'_>, mark: Mark) -> Result<(), VaultError> {
    let is_of = |api: &Api| api.mark == mark || api.issuers.iter().any(|issuer| issuer.mark == mark);
    let taken = find(tx)?.sets.iter().filter_map(|carried| carried.set.api()).any(is_of);
    if taken { Err(TokenError::MarkTaken(mark).into()) } else { Ok(()) }
}

/// Writes into each API's record what became of the tokens of its issuers and verifiers.
pub(crate) fn follow_tokens(tx: &mut VerifiedTx<'_>, world: &World<'_>) -> Result<(), VaultError> {
    if !tx.entries.moved {
        return Ok(());
    }
    let mut tokens = token::load_all(tx)?;
    tokens.retain(|token| token.revoked.is_none() && !token.apis.is_empty());
    tokens.extend(token::former::that_hold(tx)?.into_iter().map(|former| former.record));
    let sets = find(tx)?.sets;
    let listed = verified_list(tx)?.sets().len();
    let has = |api: &ApiId| sets.iter().any(|set| set.api == *api && set.set.api().is_some());
    if let Some(api) = tx.entries.needed.iter().find(|api| !has(api))
        && listed > sets.len()
    {
        let api = data_encoding::HEXLOWER.encode(api);
        return Err(apart(&format!("the set of API {api} does not hold")));
    }
    for owner in &sets {
        let Some(api) = owner.set.api() else { continue };
        let mut resigned = BTreeSet::new();
        let issuers = issuers(api, &tokens, &tx.entries, &mut resigned);
        let verifiers = verifiers(tx, api, &tokens)?;
        let ended = issuers.iter().filter(|entry| entry.state == IssuerState::Ended);
        for set in ended.map(|entry| entry.set).collect::<Vec<_>>() {
            drop_set(tx, &set)?;
        }
        let next = api.with_others(issuers, verifiers);
        if next == *api {
            continue;
        }
        let mut changes = Changes::default();
        changes.put.api = Some(next);
        rewrite(tx, owner, &draft_of(tx, &owner.set), &changes, world)?;
        // Signed by the former signer, it would be refused.
        for set in sets.iter().filter(|set| resigned.contains(&set.set.header().header().set)) {
            let own = set.set.header().header();
            let number = if tx.entries.wrote(&own.set, own.number) {
                own.number
            } else {
                // Above all that any reader can have pinned.
                let floor = verified_list(tx)?.set(&own.set).map_or(0, |listed| listed.number);
                floor.saturating_add(MAX_RISE).saturating_add(1)
            };
            let draft = Draft { number, ..draft_of(tx, &set.set) };
            rewrite(tx, set, &draft, &Changes::default(), world)?;
        }
    }
    Ok(())
}

fn issuers(
    api: &Api,
    tokens: &[TokenRecord],
    entries: &Entries,
    resigned: &mut BTreeSet<SetId>,
) -> Ascending<IssuerEntry> {
    let mut all = api.issuers.to_vec();
    for entry in &mut all {
        let is_its = |token: &&TokenRecord| token.apis.get(&api.id) == Some(&Some(entry.set));
        let signer = tokens.iter().find(is_its).map(|token| entries.signers.get(&token.id));
        match signer {
            Some(Some(signer)) if entry.signer != *signer => {
                entry.signer = signer.clone();
                resigned.insert(entry.set);
            }
            Some(_) => {}
            None => entry.state = entry.state.max(IssuerState::KeysKept),
        }
        if entries.ended.contains(&entry.set) {
            entry.state = IssuerState::Ended;
        }
    }
    let made = entries.made.iter().filter(|(of, _)| *of == api.id);
    all.extend(made.map(|(_, entry)| entry.clone()));
    Ascending::of(all)
}

fn verifiers(
    tx: &VerifiedTx<'_>,
    api: &Api,
    tokens: &[TokenRecord],
) -> Result<Ascending<VerifierEntry>, VaultError> {
    let of_api = |token: &&TokenRecord| token.kind == TokenKind::Verifier && token.apis.contains_key(&api.id);
    let ours: Vec<_> =
        tokens.iter().filter(of_api).map(|token| (verifier_id(&token.id, &api.id), token)).collect();
    let mut all = api.verifiers.to_vec();
    for entry in all.iter_mut().filter(|entry| ours.iter().all(|(id, _)| *id != entry.id)) {
        entry.state = VerifierState::Closed;
    }
    for (id, token) in ours.iter().filter(|(id, _)| !api.verifiers.has(id)) {
        let Some(signer) = tx.entries.signers.get(&token.id) else { continue };
        all.push(VerifierEntry {
            id: *id,
            name: Label::parse(token.name.as_str()).map_err(|_| damaged("token: its name"))?,
            signer: signer.clone(),
            epoch: tx.identity.epoch,
            state: VerifierState::Writes,
            seen: HoldPoint::default(),
            settled: 0,
            lifted: Ascending::default(),
            extensions: Extensions::default(),
        });
    }
    Ok(Ascending::of(all))
}

impl Found {
    /// Entries of no token in force, and tokens that have no entry: row and fault.
    pub(crate) fn strangers(&self, tokens: &[TokenRecord]) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let in_force: Vec<_> = tokens.iter().filter(|token| token.revoked.is_none()).collect();
        let mut entered = BTreeSet::new();
        for carried in &self.sets {
            let Some(api) = carried.set.api() else { continue };
            let row = super::named(&carried.set.header().header().set);
            for entry in api.issuers.iter() {
                let its = in_force.iter().find(|token| token.apis.get(&api.id) == Some(&Some(entry.set)));
                entered.extend(its.map(|token| (token.id, api.id)));
                if its.is_none() && entry.state == IssuerState::InForce {
                    faults.push((
                        row.clone(),
                        format!("names issuer {}, which has no token in force", entry.name),
                    ));
                }
            }
            for entry in api.verifiers.iter() {
                let its = in_force.iter().find(|token| verifier_id(&token.id, &api.id) == entry.id);
                entered.extend(its.map(|token| (token.id, api.id)));
                if its.is_none() && entry.state == VerifierState::Writes {
                    faults.push((
                        row.clone(),
                        format!("names verifier {}, which has no token in force", entry.name),
                    ));
                }
            }
        }
        for token in in_force {
            if let Some(api) = token.apis.keys().find(|api| !entered.contains(&(token.id, **api))) {
                let api = data_encoding::HEXLOWER.encode(api);
                faults.push((
                    format!("token {}", token.name),
                    format!("has no entry in the record of API {api}"),
                ));
            }
        }
        faults
    }
}

/// Takes a set out of the file that no reader takes any more.
fn drop_set(tx: &mut VerifiedTx<'_>, set: &SetId) -> Result<(), VaultError> {
    for kind in Kind::ALL {
        tx.rows.delete_set_pages(set, kind as u8)?;
    }
    tx.rows.delete_set_header(set)?;
    let list = verified_list(tx)?;
    if list.set(set).is_some() {
        put_list(tx, list.sets().iter().copied().filter(|listed| listed.set != *set))?;
    }
    Ok(())
}

/// Writes the next generation of a set, signed by the owner.
pub(super) fn rewrite(
    tx: &mut VerifiedTx<'_>,
    carried: &Carried,
    draft: &Draft,
    changes: &Changes,
    world: &World<'_>,
) -> Result<(), VaultError> {
    let keys = keys_of(&tx.daily.issued, &draft.api, &draft.set);
    let written = carried.set.change(draft, changes, &keys, &tx.daily.signing, world.rng);
    let written = written.map_err(|error| apart(&format!("{}: {error}", super::named(&draft.set))))?;
    put(tx, &draft.set, &written)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]
mod tests {
    use keyvault_core::crypto::Cost;
    use keyvault_issue::record::{Bounds, Id};

    use super::super::fixture::{API, issuer, passphrase, token_name as name, vault, verifier, world};
    use super::*;
    use crate::{Access, Credential, KeysOfIssuer, NewIssuer, Vault, check, slot, token};

    /// Issuers and verifiers as the API's record has them.
    fn entries(vault: &mut Vault, access: &Access) -> (Vec<IssuerEntry>, Vec<VerifierEntry>) {
        assert_eq!(check::run(vault, access).unwrap().findings, []);
        let set = vault.read(access, |tx| owners_set(tx, &API)).unwrap().unwrap();
        let api = set.api().unwrap();
        (api.issuers.to_vec(), api.verifiers.to_vec())
    }

    #[test]
    fn a_token_and_its_entry_come_and_go_in_one_change() {
        let folder = tempfile::tempdir().unwrap();
        let world = world(folder.path());
        let (mut vault, access) = vault(&world);
        let gateway = verifier(&mut vault, &access, &world);
        let portal = issuer(&mut vault, &access, &world);
        let (issuers, verifiers) = entries(&mut vault, &access);
        let identity = vault.identity();
        assert_eq!((issuers.len(), verifiers.len()), (1, 1));
        assert_eq!(verifiers[0].signer, gateway.token.signing(&identity).signer());
        assert_eq!(verifiers[0].id, verifier_id(&gateway.record.id, &API));
        assert_eq!(issuers[0].signer, portal.token.signing(&identity).signer());
        assert_eq!(portal.record.apis.get(&API), Some(&Some(issuers[0].set)));

        let renewed = token::renew(&mut vault, &access, &world, &name("portal")).unwrap();
        token::renew(&mut vault, &access, &world, &name("gateway")).unwrap();
        let (issuers, verifiers) = entries(&mut vault, &access);
        assert_eq!(issuers[0].signer, renewed.token.signing(&identity).signer());
        let state = |id: &[u8; 16]| verifiers.iter().find(|entry| entry.id == *id).unwrap().state;
        assert_eq!(verifiers.len(), 2);
        assert_eq!(state(&verifier_id(&gateway.record.id, &API)), VerifierState::Closed);

        token::revoke(&mut vault, &access, &world, &name("gateway")).unwrap();
        token::revoke(&mut vault, &access, &world, &name("portal")).unwrap();
        let (issuers, verifiers) = entries(&mut vault, &access);
        assert_eq!(issuers[0].state, IssuerState::KeysKept);
        assert!(verifiers.iter().all(|entry| entry.state == VerifierState::Closed));
    }

    #[test]
    fn an_issuer_that_is_revoked_with_its_keys_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let world = world(folder.path());
        let (mut vault, access) = vault(&world);
        issuer(&mut vault, &access, &world);
        let portal = name("portal");
        token::revoke_with(&mut vault, &access, &world, &portal, KeysOfIssuer::Ended).unwrap();
        assert_eq!(entries(&mut vault, &access).0[0].state, IssuerState::Ended);
    }

    #[test]
    fn a_rekey_gives_issuers_and_verifiers_other_pairs() {
        let folder = tempfile::tempdir().unwrap();
        let world = world(folder.path());
        let (mut vault, access) = vault(&world);
        verifier(&mut vault, &access, &world);
        issuer(&mut vault, &access, &world);
        let (before, _) = entries(&mut vault, &access);
        let passphrase = passphrase();
        let credential = Credential::Passphrase(&passphrase, Cost::FLOOR);
        let rekeyed = slot::rekey(&mut vault, &access, &world, &[credential], &[&access], &|_| ()).unwrap();
        let access = vault.open_passphrase(&passphrase).unwrap();
        let (issuers, verifiers) = entries(&mut vault, &access);
        let signer = |of: TokenKind| {
            let issued = rekeyed.tokens.iter().find(|issued| issued.record.kind == of).unwrap();
            issued.token.signing(&vault.identity()).signer()
        };
        assert_eq!(issuers[0].signer, signer(TokenKind::Issuer));
        assert_ne!(issuers[0].signer, before[0].signer);
        let open: Vec<_> = verifiers.iter().filter(|entry| entry.state == VerifierState::Writes).collect();
        assert_eq!((open.len(), verifiers.len(), open[0].epoch), (1, 2, 2));
        assert_eq!(open[0].signer, signer(TokenKind::Verifier));
    }

    #[test]
    fn a_mark_that_a_set_has_and_an_api_that_is_not_there_make_no_issuer() {
        let folder = tempfile::tempdir().unwrap();
        let world = world(folder.path());
        let (mut vault, access) = vault(&world);
        let new = |api, mark: &str| NewIssuer {
            name: name("portal"),
            api,
            mark: Mark::parse(mark).unwrap(),
            bounds: Bounds { longest_life: 1, ..Bounds::default() },
            expires: None,
        };
        let own = Id::parse("aa0000000001").unwrap().mark();
        let error =
            |vault: &mut Vault, new| token::create_issuer(vault, &access, &world, &new).err().unwrap();
        let taken = error(&mut vault, new(API, own.as_str()));
        assert!(matches!(taken, VaultError::Token(TokenError::MarkTaken(mark)) if mark == own));
        let missing = error(&mut vault, new([9; 16], "bb"));
        assert!(matches!(missing, VaultError::Token(TokenError::NoApi(_))));
    }
}
