//! A verifier's and an issuer's transaction: view, record, and list are verified before anything of a set is looked at.

use std::collections::BTreeMap;

use keyvault_core::crypto::{Hash, Signed, Signer};
use keyvault_issue::issuer::Pinned;
use keyvault_issue::set::{Origin, SetError, VerifiedHeader, VerifiedList};
use keyvault_issue::{ApiId, SetId};

use super::{apart, signed};
use crate::error::VaultError;
use crate::file::open::{Notice, Vault, World};
use crate::state::StateError;
use crate::state::pin::{Memory, Pin, Seen, Standing, VaultPath};
use crate::state::record::{self, Record, SignedBy};
use crate::store::{Durability, SetRow};
use crate::token::api_grant::ApiGrant;
use crate::token::bearer::{BearerKeys, BearerTx};
use crate::token::error::TokenError;
use crate::token::signed::{NamedSigner, SignedText};
use crate::tx::known;

/// Pins, read before the vault is.
struct Remembered {
    record: Memory,
    sets: BTreeMap<SetId, Memory>,
}

pub(super) struct Machine<'r> {
    pub(super) tx: BearerTx<'r>,
    bearer: &'r BearerKeys,
    pub(super) record: Record,
    hash: Hash,
    pub(super) list: VerifiedList,
    pub(super) headers: Vec<SetRow>,
    remembered: Remembered,
}

impl Remembered {
    fn read(vault: &Vault, bearer: &BearerKeys, headers: &[SetRow], world: &World<'_>) -> Self {
        let seen = |what: &Seen<'_>| world.pins.read_seen(what, &vault.place);
        let sets = headers.iter().map(|row| (row.set, seen(&Seen::Set(&row.set)))).collect();
        Self { record: seen(&Seen::Record(&bearer.id)), sets }
    }
}

impl<'r> Machine<'r> {
    /// Begins a transaction that sees one state and excludes no one.
    pub(super) fn look(
        vault: &'r mut Vault,
        bearer: &'r BearerKeys,
        world: &World<'_>,
    ) -> Result<Self, VaultError> {
        let headers = vault.store.begin_reading()?.set_headers()?;
        let vault: &'r Vault = vault;
        let remembered = Remembered::read(vault, bearer, &headers, world);
        Self::verified(BearerTx::look(vault, bearer, world)?, vault, bearer, Some(remembered), world)
    }

    /// Begins a transaction that can write.
    pub(super) fn begin(
        vault: &'r mut Vault,
        bearer: &'r BearerKeys,
        world: &World<'_>,
    ) -> Result<Self, VaultError> {
        vault.store.make_ready()?;
        let vault: &'r Vault = vault;
        let tx = BearerTx::begin_as(vault, bearer, Durability::Synced, world)?;
        Self::verified(tx, vault, bearer, None, world)
    }

    fn verified(
        tx: BearerTx<'r>,
        vault: &'r Vault,
        bearer: &'r BearerKeys,
        remembered: Option<Remembered>,
        world: &World<'_>,
    ) -> Result<Self, VaultError> {
        let identity = tx.identity;
        let headers = tx.tx.set_headers()?;
        let remembered = remembered.unwrap_or_else(|| Remembered::read(vault, bearer, &headers, world));
        let row = tx.tx.state()?;
        // The view showed that it is the token's, or the one that follows it.
        let id = Signer::id_of(&vault.header.signer);
        let signer = NamedSigner { id: &id, encoded: &vault.header.signer };
        SignedText::of(&row.record, &row.signature).verify(Signed::Record, &signer, &identity)?;
        let record = Record::decode(&row.record, &identity).map_err(|_| StateError::Record)?;
        if record.signer != SignedBy::Epoch(id) {
            return Err(TokenError::NotByOwner { what: "record" }.into());
        }
        known("the state record", &record.extensions)?;
        let hash = record::hash(&row);
        hold(&record, &hash, remembered.record.pin(), vault)?;
        let owner = Signer::decode(&vault.header.signer).map_err(|_| StateError::Record)?;
        let list = VerifiedList::verify(&tx.tx.set_list()?, &record.sets, Origin { identity, owner })
            .map_err(|error| apart(&error.to_string()))?;
        Ok(Self { tx, bearer, record, hash, list, headers, remembered })
    }

    /// The grant of an API that the view names.
    pub(super) fn grant(&self, api: &ApiId) -> Result<ApiGrant, VaultError> {
        let rows = self.tx.tx.grants(&self.bearer.id)?;
        let named = || format!("token_grant of token {}", self.tx.view.name);
        if !self.tx.view.binds(&rows) {
            return Err(StateError::Mismatch { what: named() }.into());
        }
        let row = rows.iter().find(|row| row.key == *api);
        let row = row.ok_or_else(|| StateError::Mismatch { what: named() })?;
        ApiGrant::open(row, &self.tx.keys, &self.tx.identity)
    }

    /// The header of an issuer's set that this machine took last in this epoch.
    pub(super) fn pinned(&self, set: &SetId) -> Option<Pinned> {
        let identity = &self.tx.identity;
        let pin = self.remembered.sets.get(set).and_then(Memory::pin)?;
        let is_of_now = (pin.vault_id, pin.epoch) == (identity.vault_id, Some(identity.epoch));
        is_of_now.then_some(Pinned { number: pin.change, hash: pin.hash })
    }

    /// The owner's set of an API: exactly the listed one.
    pub(super) fn owners_header(&self, api: &ApiId) -> Result<VerifiedHeader, SetError> {
        let mut fault = SetError::NotListed;
        for row in &self.headers {
            match VerifiedHeader::of_owner(&self.list, api, &signed(row)) {
                Ok(header) if header.header().set == row.set => return Ok(header),
                // That of another API, or of an issuer, says nothing of this one.
                Ok(_) | Err(SetError::OtherApi | SetError::Shape) => {}
                Err(error) => fault = error,
            }
        }
        Err(fault)
    }

    /// Commits what was written, and remembers it.
    pub(super) fn commit(self, sets: &[&VerifiedHeader], world: &World<'_>) -> Result<(), VaultError> {
        let (pins, place) = (self.pins(sets), self.tx.place);
        self.tx.finish(world)?;
        advance(&pins, place, world);
        Ok(())
    }

    /// Remembers what was seen, once all of it has verified.
    pub(super) fn remember(&self, sets: &[&VerifiedHeader], world: &World<'_>) {
        self.tx.remember(world);
        advance(&self.pins(sets), self.tx.place, world);
    }

    fn pins<'p>(&self, sets: &[&'p VerifiedHeader]) -> Vec<(Seen<'p>, Pin)>
    where
        'r: 'p,
    {
        let given = &self.tx.place.given;
        let bearer: &'p BearerKeys = self.bearer;
        let mut pins = vec![(Seen::Record(&bearer.id), Pin::of_token(self.record.change, self.hash, given))];
        for header in sets {
            let own = header.header();
            let pin = Pin::of_set(&self.tx.identity, own.number, header.hash(), given);
            pins.push((Seen::Set(&own.set), pin));
        }
        pins
    }
}

fn advance(pins: &[(Seen<'_>, Pin)], place: &VaultPath, world: &World<'_>) {
    for (seen, pin) in pins {
        if let Err(error) = world.pins.advance_seen(seen, place, pin) {
            world.note(Notice::NotPinned(error));
        }
    }
    world.notices.tell();
}

/// Refuses a record that is older than what this machine saw with this token, or another one of its number.
fn hold(record: &Record, hash: &Hash, pinned: Option<&Pin>, vault: &Vault) -> Result<(), VaultError> {
    let Some(pin) = pinned else { return Ok(()) };
    let standing = pin.standing_of(record.change, hash);
    if matches!(standing, Standing::RolledBack | Standing::Forked) {
        let path = vault.path().to_owned();
        return Err(VaultError::Alarm { standing, found: record.change, pinned: pin.change, path });
    }
    Ok(())
}
