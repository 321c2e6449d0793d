//! The ledgers of the owner's reads, one for each device, and the list of them (FORMAT §6, §9).
//!
//! A read on a device writes to its ledger and touches nothing else, so the list is brought up to date by changes. Someone
//! without keys can write these rows too: no fault in a ledger may keep the owner from anything, so each is recorded or
//! reported, and none refuses a change.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use keyvault_core::codec::{self, Extensions, Malformed};
use keyvault_core::crypto::{Digest, SealingKey};
use keyvault_core::identity::Identity;

use crate::audit::{
    self, AuditError, AuditKeys, BrokenLedgers, Chain, ChainMark, Event, HeadMark, LogGap, Salvaged, Seed,
};
use crate::check::Check;
use crate::error::VaultError;
use crate::file::open::{Notice, World};
use crate::store::{Ledger, LedgerId, ObjectKind, Tag, Tx};
use crate::token::read_log::fault_of;
use crate::tx::VerifiedTx;
use crate::tx::object::Object;

/// More would make every change slow; a device beyond them writes to the vault's ledger.
const MOST: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
enum State {
    Whole = 1,
    /// A change found it damaged and recorded that; its device does not go on with it.
    Broken = 2,
}

/// A ledger as of the last change.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Listed {
    /// k₀, sealed under root.
    seed: Vec<u8>,
    state: State,
    /// How far the ledger had come.
    point: ChainMark,
}

/// The list of ledgers, under one empty name. Without ledgers there is no object.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Ledgers {
    name: Vec<u8>,
    by_id: BTreeMap<LedgerId, Listed>,
    #[borsh(skip)]
    revision: u64,
    extensions: Extensions,
}

impl Ledgers {
    /// The list in these bytes.
    pub fn decode(content: &[u8]) -> Result<Self, Malformed> {
        codec::decode(content).and_then(|list: Self| list.complete(1))
    }

    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }
}

impl Object for Ledgers {
    const KIND: ObjectKind = ObjectKind::Ledgers;

    fn name(&self) -> &[u8] {
        &self.name
    }

    fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    fn complete(self, revision: u64) -> Result<Self, Malformed> {
        let is_point = |point: &ChainMark| point.count > 0 || *point == ChainMark::START;
        let is_one =
            |(id, listed): (&LedgerId, &Listed)| *id != Ledger::Vault.id() && is_point(&listed.point);
        let fits = (1..=MOST).contains(&self.by_id.len());
        if self.name.is_empty() && fits && self.by_id.iter().all(is_one) {
            Ok(Self { revision, ..self })
        } else {
            Err(Malformed)
        }
    }
}

/// The reads of one ledger.
pub(crate) struct Reads {
    pub(crate) id: LedgerId,
    pub(crate) events: Vec<Event>,
    /// Why there may be others.
    pub(crate) fault: Option<AuditError>,
}

/// The keys of the ledger that the owner writes to.
pub(crate) enum OwnKeys<'k> {
    Vault(&'k AuditKeys),
    Device(Box<AuditKeys>),
}

impl<'k> OwnKeys<'k> {
    pub(crate) fn of(vaults: &'k AuditKeys, ledger: Ledger, identity: &Identity) -> Self {
        match ledger {
            Ledger::Device(id) => Self::Device(Box::new(vaults.of_device(&id, identity))),
            Ledger::Vault | Ledger::Token(_) => Self::Vault(vaults),
        }
    }

    pub(crate) fn keys(&self) -> &AuditKeys {
        match self {
            Self::Vault(keys) => keys,
            Self::Device(keys) => keys,
        }
    }

    pub(crate) fn load(&self, rows: &Tx<'_>, identity: &Identity) -> Result<Chain, AuditError> {
        Chain::load(rows, self.keys(), identity)
    }
}

/// The provable part of a ledger, for a change that seals everything again.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) id: LedgerId,
    pub(crate) log: Salvaged,
}

/// A ledger's id as people read it.
pub(crate) fn short(id: &LedgerId) -> String {
    let [a, b, c, d, ..] = *id;
    data_encoding::HEXLOWER.encode(&[a, b, c, d])
}

fn load(tx: &mut VerifiedTx<'_>) -> Result<Ledgers, VaultError> {
    Ok(tx.object::<Ledgers>(&[])?.unwrap_or_default())
}

fn store(tx: &mut VerifiedTx<'_>, list: &Ledgers, world: &World<'_>) -> Result<(), VaultError> {
    tx.put_object(list, list.revision, world.rng)
}

fn keys_of(tx: &VerifiedTx<'_>, id: &LedgerId) -> AuditKeys {
    tx.daily.audit.of_device(id, &tx.identity)
}

/// The ledgers in the list.
pub(crate) fn listed(tx: &mut VerifiedTx<'_>) -> Result<Vec<Ledger>, VaultError> {
    Ok(load(tx)?.by_id.into_keys().map(Ledger::Device).collect())
}

/// Returns `true` if this device has no ledger that it can go on with, and may get one.
pub(crate) fn is_missing(tx: &mut VerifiedTx<'_>) -> Result<bool, VaultError> {
    let list = load(tx)?;
    let is_listed = matches!(tx.device, Ledger::Device(id) if list.by_id.contains_key(&id));
    Ok(!(is_listed && end_of_own(tx).is_some()) && list.by_id.len() < MOST)
}

/// Makes a ledger for this device if it has none that it can go on with, and writes those again whose break an earlier
/// change has recorded. A change calls it with root at hand.
pub(crate) fn ensure(
    tx: &mut VerifiedTx<'_>,
    root: &SealingKey,
    world: &World<'_>,
) -> Result<(), VaultError> {
    write_broken_again(tx, root, world)?;
    if !is_missing(tx)? {
        return Ok(());
    }
    let mut list = load(tx)?;
    let mut id = LedgerId::default();
    world.rng.fill(&mut id)?;
    list.by_id.insert(id, write(tx, &id, root, &[], world)?);
    tx.device = Ledger::Device(id);
    store(tx, &list, world)
}

/// Writes a ledger from a new k₀.
fn write(
    tx: &VerifiedTx<'_>,
    id: &LedgerId,
    root: &SealingKey,
    events: &[Event],
    world: &World<'_>,
) -> Result<Listed, VaultError> {
    let (seed, sealed) = Seed::create_for(id, root, &tx.identity, world.rng)?;
    let chain = Chain::rewrite(seed, tx.rows, &keys_of(tx, id), &tx.identity, events, world.rng)?;
    Ok(Listed { seed: sealed, state: State::Whole, point: chain.end() })
}

fn write_broken_again(
    tx: &mut VerifiedTx<'_>,
    root: &SealingKey,
    world: &World<'_>,
) -> Result<(), VaultError> {
    let mut list = load(tx)?;
    let (broken, whole): (BTreeMap<_, _>, _) =
        std::mem::take(&mut list.by_id).into_iter().partition(|(_, listed)| listed.state == State::Broken);
    list.by_id = whole;
    if broken.is_empty() {
        return Ok(());
    }
    for (id, listed) in broken {
        let log = match proved(tx, &id, &listed, Some(root)) {
            Ok(log) => log,
            // Rows of another shape, which only a change that passes over them reads past.
            Err(error) => {
                fault_of(error.into())?;
                list.by_id.insert(id, listed);
                continue;
            }
        };
        tx.rows.delete_ledger(Ledger::Device(id))?;
        if !log.events.is_empty() {
            list.by_id.insert(id, write(tx, &id, root, &log.events, world)?);
        }
    }
    if list.by_id.is_empty() {
        let tag = tx.object_tag(ObjectKind::Ledgers, &[]);
        return tx.delete_object(ObjectKind::Ledgers, &tag);
    }
    store(tx, &list, world)
}

/// The entries of a ledger that k₀ proves.
fn proved(
    tx: &VerifiedTx<'_>,
    id: &LedgerId,
    listed: &Listed,
    root: Option<&SealingKey>,
) -> Result<Salvaged, AuditError> {
    let seed = root.and_then(|root| Seed::open_for(id, root, &tx.identity, &listed.seed).ok());
    audit::salvage(tx.rows, &keys_of(tx, id), &tx.identity, seed, listed.point.count)
}

/// Where this device's own ledger ends; none if it has none that it can go on with.
pub(crate) fn end_of_own(tx: &VerifiedTx<'_>) -> Option<HeadMark> {
    let Ledger::Device(id) = tx.device else { return None };
    Chain::load(tx.rows, &keys_of(tx, &id), &tx.identity).ok().map(|chain| chain.mark())
}

/// Holds each ledger against its point, and moves the points to where the ledgers have come. Returns those that did not
/// hold, each once.
pub(crate) fn settle(
    tx: &mut VerifiedTx<'_>,
    world: &World<'_>,
) -> Result<Option<BrokenLedgers>, VaultError> {
    let mut list = load(tx)?;
    let before = list.clone();
    let mut broken = BrokenLedgers::default();
    for (id, listed) in &mut list.by_id {
        let keys = keys_of(tx, id);
        match audit::reached(tx.rows, &keys, &tx.identity, &listed.point) {
            Ok(point) => (listed.state, listed.point) = (State::Whole, point),
            Err(error) => {
                let fault = fault_of(error.into())?;
                if listed.state == State::Whole {
                    broken.0.insert(*id, listed.point.count);
                    world.note(Notice::LedgerBroken { ledger: short(id), fault });
                }
                match Chain::load(tx.rows, &keys, &tx.identity) {
                    Ok(chain) => (listed.state, listed.point) = (State::Whole, chain.end()),
                    Err(error) => {
                        fault_of(error.into())?;
                        listed.state = State::Broken;
                    }
                }
            }
        }
    }
    if list != before {
        store(tx, &list, world)?;
    }
    Ok(Some(broken).filter(|broken| !broken.0.is_empty()))
}

/// The first ledger in the list that is shorter than it was at the last change, or another. One whose break a change has
/// recorded is left out.
pub(crate) fn gap(tx: &mut VerifiedTx<'_>) -> Result<Option<LogGap>, VaultError> {
    for (id, listed) in load(tx)?.by_id.iter().filter(|(_, listed)| listed.state == State::Whole) {
        let keys = keys_of(tx, id);
        if audit::passes_through(tx.rows, keys.ledger, &listed.point).is_ok() {
            continue;
        }
        let count = Chain::load(tx.rows, &keys, &tx.identity).map_or(0, |chain| chain.count);
        let missing = listed.point.count.saturating_sub(count);
        return Ok(Some(if missing > 0 { LogGap::Missing(missing) } else { LogGap::Replaced }));
    }
    Ok(None)
}

/// Every ledger's reads, those that open in their place.
pub(crate) fn reads(tx: &mut VerifiedTx<'_>) -> Result<Vec<Reads>, VaultError> {
    let mut all = Vec::new();
    for (id, listed) in load(tx)?.by_id {
        let keys = keys_of(tx, &id);
        let mut events = Vec::new();
        let mut read = audit::read_all(tx.rows, &keys, &tx.identity, &mut |_, event| events.push(event));
        if read.is_err() {
            events.clear();
            audit::read_what_opens(tx.rows, &keys, &tx.identity, &mut |event| events.push(event))?;
        } else {
            read = audit::passes_through(tx.rows, keys.ledger, &listed.point);
        }
        let fault = match read {
            Ok(()) => None,
            Err(error) => Some(fault_of(error.into())?),
        };
        all.push(Reads { id, events, fault });
    }
    Ok(all)
}

/// A ledger, and the number of its entries or what is wrong with it.
pub(crate) type Verified = (LedgerId, Result<u64, AuditError>);

/// Verifies every ledger, from the start if root is there.
pub(crate) fn verify(
    tx: &mut VerifiedTx<'_>,
    root: Option<&SealingKey>,
) -> Result<Vec<Verified>, VaultError> {
    let verified = load(tx)?.by_id.into_iter().map(|(id, listed)| {
        let entries = match verify_one(tx, root, &id, &listed) {
            Ok(entries) => Ok(entries),
            Err(error) => Err(fault_of(error.into())?),
        };
        Ok((id, entries))
    });
    verified.collect()
}

fn verify_one(
    tx: &VerifiedTx<'_>,
    root: Option<&SealingKey>,
    id: &LedgerId,
    listed: &Listed,
) -> Result<u64, AuditError> {
    let keys = keys_of(tx, id);
    let seed = root.map(|root| Seed::open_for(id, root, &tx.identity, &listed.seed)).transpose()?;
    let verified = audit::verify(tx.rows, &keys, &tx.identity, seed)?;
    audit::passes_through(tx.rows, keys.ledger, &listed.point)?;
    Ok(verified.entries)
}

/// Returns `true` if the tree proves that there is no list.
pub(crate) fn are_none(tx: &mut VerifiedTx<'_>) -> bool {
    let tag = tx.object_tag(ObjectKind::Ledgers, &[]);
    matches!(tx.tree.leaf(&tag), Ok(None))
}

/// The ledgers of a list that `holds` proves, as far as k₀ proves their entries; none if no list holds.
pub(crate) fn salvage(
    tx: &VerifiedTx<'_>,
    root: Option<&SealingKey>,
    holds: impl Fn(&Tag, Digest) -> bool,
) -> Result<Option<Vec<Kept>>, VaultError> {
    let tag = tx.object_tag(ObjectKind::Ledgers, &[]);
    let row = tx.rows.objects(ObjectKind::Ledgers)?.into_iter().find(|row| row.tag == tag);
    let row = row.filter(|row| holds(&row.tag, tx.object_leaf(row)));
    let list = row.and_then(|row| tx.opener().object::<Ledgers>(&row).ok());
    let Some(list) = list else { return Ok(None) };
    let kept =
        list.by_id.into_iter().map(|(id, listed)| Ok(Kept { id, log: proved(tx, &id, &listed, root)? }));
    kept.collect::<Result<_, _>>().map(Some)
}

/// Writes ledgers again, each from a new k₀; one without entries goes.
pub(crate) fn carry(
    tx: &mut VerifiedTx<'_>,
    kept: &[Kept],
    root: &SealingKey,
    world: &World<'_>,
) -> Result<(), VaultError> {
    let mut list = Ledgers::default();
    for Kept { id, log } in kept {
        tx.rows.delete_ledger(Ledger::Device(*id))?;
        if !log.events.is_empty() {
            list.by_id.insert(*id, write(tx, id, root, &log.events, world)?);
        }
    }
    if list.by_id.is_empty() { Ok(()) } else { store(tx, &list, world) }
}

impl Check {
    /// The list of ledgers. Returns how many of them have a head, and how many have none.
    pub(crate) fn ledgers(&mut self, tx: &VerifiedTx<'_>) -> Result<[u64; 2], VaultError> {
        let own = tx.object_tag(ObjectKind::Ledgers, &[]);
        let [mut with_head, mut without] = [0, 0];
        for row in tx.rows.objects(ObjectKind::Ledgers)? {
            let named = if row.tag == own { "ledgers".to_owned() } else { row.place() };
            self.claim(&named, &row.tag, tx.object_leaf(&row));
            match tx.opener().object::<Ledgers>(&row) {
                Err(error) => self.find(&named, &error.fault()),
                Ok(_) if row.tag != own => self.find(&named, "stands where another name belongs"),
                Ok(list) => {
                    for id in list.by_id.into_keys() {
                        let has_head = tx.rows.has_ledger(Ledger::Device(id))?;
                        with_head += u64::from(has_head);
                        without += u64::from(!has_head);
                    }
                }
            }
        }
        Ok([with_head, without])
    }
}
