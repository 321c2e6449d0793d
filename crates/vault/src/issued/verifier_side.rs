//! A verifier's look at the sets of its APIs.

use std::collections::BTreeMap;

use keyvault_core::clock::Moment;
use keyvault_issue::hold::HoldLog;
use keyvault_issue::issuer;
use keyvault_issue::record::IssuerState;
use keyvault_issue::set::{LoadedSet, PageKeys, SetError, VerifiedHeader, VerifiedList};
use keyvault_issue::standing::Sets;
use keyvault_issue::{ApiId, SetId, VerifierId};

use super::machine::Machine;
use super::{sealed, signed};
use crate::error::VaultError;
use crate::file::open::{Notice, Vault, World};
use crate::token::api_grant::ApiGrant;
use crate::token::bearer::BearerKeys;
use crate::token::error::TokenError;
use crate::token::record::TokenKind;
use crate::unlock::token::Token;

/// The sets of a verifier's APIs, as of one state record that the owner signed.
pub struct SetsSeen {
    /// Number and time of the owner's last change.
    pub change: u64,
    pub time: Moment,
    pub list: VerifiedList,
    /// An API whose own set is not taken gives no verdict on any key.
    pub apis: BTreeMap<ApiId, Result<ApiSets, SetError>>,
}

/// The owner's set of an API, and those of its issuers.
pub struct ApiSets {
    pub owner: LoadedSet,
    /// A set that is not taken keeps none of the others out.
    pub issuers: BTreeMap<SetId, Result<LoadedSet, SetError>>,
    /// The logs of all verifiers of the API, with what this machine saw in them before.
    pub holds: Vec<(VerifierId, HoldLog)>,
}

impl ApiSets {
    /// The sets that are taken, to decide by; and the faults of the others.
    #[must_use]
    pub fn join(self, list: &VerifiedList, now: Moment) -> (Sets, BTreeMap<SetId, SetError>) {
        let (mut taken, mut faults) = (Vec::new(), BTreeMap::new());
        for (id, set) in self.issuers {
            match set {
                Ok(set) => taken.push(set),
                Err(error) => drop(faults.insert(id, error)),
            }
        }
        let holds = self.holds.into_iter().map(|(_, log)| log).collect();
        let (sets, refused) = Sets::join(list, self.owner, taken, holds, now);
        faults.extend(refused.into_iter().map(|(set, error)| (set.header().header().set, error)));
        (sets, faults)
    }
}

/// Reads the sets of the verifier's APIs in one transaction, each held against the list, the owner's bounds, and what this
/// machine saw before.
pub fn read_sets(vault: &mut Vault, token: &Token, world: &World<'_>) -> Result<SetsSeen, VaultError> {
    let bearer = BearerKeys::of_machine(token, TokenKind::Verifier);
    let machine = Machine::look(vault, &bearer, world)?;
    let mut apis = BTreeMap::new();
    for api in machine.tx.view.apis.keys() {
        apis.insert(*api, read_api(&machine, api, world)?);
    }
    let all = apis.values().flatten().flat_map(|sets: &ApiSets| sets.issuers.values().flatten());
    let headers: Vec<_> = all.map(LoadedSet::header).collect();
    machine.remember(&headers, world);
    for (verifier, log) in apis.values().flatten().flat_map(|sets: &ApiSets| &sets.holds) {
        if let Err(error) = world.pins.remember_holds(verifier, machine.tx.place, log.seen()) {
            world.note(Notice::NotPinned(error));
        }
    }
    world.notices.tell();
    let Machine { record, list, .. } = machine;
    Ok(SetsSeen { change: record.change, time: record.time, list, apis })
}

fn read_api(
    machine: &Machine<'_>,
    api: &ApiId,
    world: &World<'_>,
) -> Result<Result<ApiSets, SetError>, VaultError> {
    let ApiGrant::Verifier(grant) = machine.grant(api)? else {
        return Err(TokenError::OtherKind { found: TokenKind::Issuer }.into());
    };
    let load = |header: VerifiedHeader| -> Result<Result<LoadedSet, SetError>, VaultError> {
        let set = header.header().set;
        let pages = machine.tx.tx.set_pages(&set)?;
        let keys = PageKeys::of_api(&grant.api_key, &set);
        Ok(LoadedSet::load(header, &keys, pages.iter().map(sealed)))
    };
    let owner = match machine.owners_header(api) {
        Ok(header) => load(header)?,
        Err(error) => Err(error),
    };
    let owner = match owner {
        Ok(owner) => owner,
        Err(error) => return Ok(Err(error)),
    };
    let mut issuers = BTreeMap::new();
    for entry in owner.api().iter().flat_map(|api| api.issuers.iter()) {
        let set = entry.set;
        let row = machine.headers.iter().find(|row| row.set == set);
        let taken = match row {
            Some(row) => {
                let (signed, pin) = (signed(row), machine.pinned(&set));
                match issuer::accept(&machine.list, &owner, &signed, pin.as_ref(), world.now()) {
                    Ok(header) if header.header().set == set => load(header)?,
                    Ok(_) => Err(SetError::HeaderMalformed),
                    Err(error) => Err(error),
                }
            }
            // Its issuer has not written it yet.
            None if entry.state == IssuerState::Ended => Err(SetError::IssuerEnded),
            None if machine.list.set(&set).is_none() && machine.pinned(&set).is_none() => continue,
            None => Err(SetError::NotListed),
        };
        issuers.insert(set, taken);
    }
    let mut holds = Vec::new();
    for entry in owner.api().iter().flat_map(|api| api.verifiers.iter()) {
        let Some(api) = owner.api() else { continue };
        let rows = machine.tx.tx.holds(&entry.id)?;
        let rows = rows.iter().map(Vec::as_slice);
        let seen = world.pins.holds_seen(&entry.id, machine.tx.place);
        let log = HoldLog::read(api, entry, &grant.api_key, &machine.tx.identity, rows, &seen);
        holds.push((entry.id, log));
    }
    Ok(Ok(ApiSets { owner, issuers, holds }))
}
