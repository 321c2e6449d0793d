//! An issuer's change of its own set.

use keyvault_core::codec::Extensions;
use keyvault_core::name::Label;
use keyvault_issue::issuer::{Pinned, accept_by};
use keyvault_issue::record::{Ascending, IssuerEntry, Prefix};
use keyvault_issue::set::{
    Changes, Draft, LoadedSet, PageKeys, SetError, SignerKind, VerifiedHeader, WriteError,
};

use super::machine::Machine;
use super::{apart, fault, named, put_pages, sealed, signed};
use crate::error::VaultError;
use crate::file::open::{Vault, World};
use crate::store::SetRow;
use crate::token::api_grant::{ApiGrant, IssuerGrant};
use crate::token::bearer::BearerKeys;
use crate::token::error::TokenError;
use crate::token::record::TokenKind;
use crate::unlock::token::Token;

/// An issuer's view of its API.
pub struct IssuersView<'v> {
    /// Its mark, end, and bounds, as the owner signed them last.
    pub entry: &'v IssuerEntry,
    pub api: &'v Label,
    /// Of new keys' texts.
    pub prefix: Prefix,
    pub prefixes: &'v Ascending<Prefix>,
    /// Its own set, unless it has not written one yet.
    pub own: Option<&'v LoadedSet>,
    machine: &'v Machine<'v>,
    grant: &'v IssuerGrant,
}

impl IssuersView<'_> {
    /// The owner's set, opened no further than scopes and roles.
    pub fn words(&self) -> Result<LoadedSet, VaultError> {
        let set = self.grant.owners_set;
        let header = self.machine.owners_header(&self.machine_api()).map_err(|error| fault(&set, error))?;
        load(self.machine, header, &self.grant.words_key())
    }

    fn machine_api(&self) -> keyvault_issue::ApiId {
        self.machine.tx.view.apis.keys().next().copied().unwrap_or_default()
    }
}

/// Writes the next generation of the issuer's set: pages and header, in one transaction. `make` draws, asks, and consumes
/// nothing that it could not again.
pub fn write_set(
    vault: &mut Vault,
    token: &Token,
    world: &World<'_>,
    make: impl Fn(&IssuersView<'_>) -> Result<Changes, VaultError>,
) -> Result<(), VaultError> {
    let bearer = BearerKeys::of_machine(token, TokenKind::Issuer);
    let machine = Machine::begin(vault, &bearer, world)?;
    let api = machine.tx.view.apis.keys().next().copied().unwrap_or_default();
    let ApiGrant::Issuer(grant) = machine.grant(&api)? else {
        return Err(TokenError::OtherKind { found: TokenKind::Verifier }.into());
    };
    let entry = &grant.entry;
    let set = entry.set;
    let keys = grant.page_keys();
    let pinned = machine.pinned(&set);
    let accept = |row: &SetRow, pinned: Option<&Pinned>| {
        accept_by(&machine.list, (&api, entry), &signed(row), pinned, world.now())
            .map_err(|error| fault(&set, error))
    };
    let own = match machine.headers.iter().find(|row| row.set == set) {
        Some(row) => Some(load(&machine, accept(row, pinned.as_ref())?, &keys)?),
        None if machine.list.set(&set).is_some() => return Err(fault(&set, SetError::NotListed)),
        None => None,
    };
    let view = IssuersView {
        entry,
        api: &grant.api,
        prefix: grant.prefix,
        prefixes: &grant.prefixes,
        own: own.as_ref(),
        machine: &machine,
        grant: &grant,
    };
    let changes = make(&view)?;
    let floor = own.as_ref().map(|own| own.header().header().number).max(pinned.map(|pin| pin.number));
    let draft = Draft {
        identity: machine.tx.identity,
        api,
        set,
        number: floor.unwrap_or(0).saturating_add(1),
        time: world.now(),
        fresh_until: None,
        signer: SignerKind::Issuer,
        extensions: Extensions::default(),
    };
    let signing = token.signing(&draft.identity);
    let unwritten = |error: WriteError| apart(&format!("{}: {error}", named(&set)));
    let written = match &own {
        Some(own) => own.change(&draft, &changes, &keys, &signing, world.rng),
        None => changes.put.write(&draft, &keys, &signing, world.rng),
    };
    let written = written.map_err(unwritten)?;
    let row =
        SetRow { set, header: written.header.text.clone(), signature: written.header.signature.clone() };
    // A set that no verifier takes is not written.
    let header = accept(&row, pinned.as_ref())?;
    put_pages(&machine.tx.tx, &set, draft.number, &written)?;
    machine.tx.tx.put_set_header(&row)?;
    machine.commit(&[&header], world)
}

fn load(machine: &Machine<'_>, header: VerifiedHeader, keys: &PageKeys) -> Result<LoadedSet, VaultError> {
    let set = header.header().set;
    let pages = machine.tx.tx.set_pages(&set)?;
    LoadedSet::load(header, keys, pages.iter().map(sealed)).map_err(|error| fault(&set, error))
}
