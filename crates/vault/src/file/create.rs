//! Making a vault.

use std::path::{Path, PathBuf};

use crate::audit::{Action, Chain, HeadMark, START, Seed};
use crate::state::pin::VaultPath;
use crate::state::record::{Authentic, NO_RECORD, Record, SignedBy};
use crate::store::{Durability, FileStore, HeaderRow, SlotRow, Store, Tx};
use crate::unlock::keys::Root;
use crate::unlock::passphrase::Passphrase;
use crate::unlock::recovery::RecoveryCode;
use crate::unlock::slot as credential;
use keyvault_core::clock::Moment;
use keyvault_core::codec::Extensions;
use keyvault_core::crypto::Cost;
use keyvault_core::crypto::{Digest, Signer};
use keyvault_core::identity::Identity;
use keyvault_issue::set::List;
use keyvault_os::fs::vault_file;

use super::open::{Notice, Vault, World};
use super::working_copy::WorkingCopy;
use crate::error::VaultError;
use crate::tx::VerifiedTx;
use crate::{ledger, slot};

pub struct Creation<'c> {
    /// Opens it from day to day.
    pub passphrase: &'c Passphrase,
    pub cost: Cost,
    /// Opens it when the passphrase is gone.
    pub recovery: Option<&'c RecoveryCode>,
}

#[derive(Debug)]
pub struct Created {
    pub path: PathBuf,
    pub identity: Identity,
}

/// Makes a vault at `path`, where nothing may be.
///
/// It is built whole under another name and then moved into place, so that a crash leaves a vault or none, and
/// an existing one is never touched, not even by a command that runs at the same time.
pub fn create(path: &Path, creation: &Creation<'_>, world: &World<'_>) -> Result<Created, VaultError> {
    let given = path;
    let path = vault_file::prepare_new(given)?;
    let working = WorkingCopy::beside(&path, world)?;
    let mut store = FileStore::create(working.0.clone())?.into();
    let built = build(&mut store, creation, world)?;
    store.in_file()?.fold_wal()?;
    drop(store);
    working.move_to(&path)?;
    built.remember(&VaultPath::of(given, &path), world);
    world.notices.tell();
    Ok(Created { path, identity: built.identity })
}

/// Makes a vault that is in memory and ends with it: nothing of it can be copied to a file, or be rolled back.
pub fn create_in_memory(creation: &Creation<'_>, world: &World<'_>) -> Result<Vault, VaultError> {
    let mut store = Store::in_memory();
    let built = build(&mut store, creation, world)?;
    let vault = Vault::in_memory(store, &built.identity, &world.pins)?;
    built.remember(vault.place(), world);
    Ok(vault)
}

/// A new vault as this machine is to remember it.
struct Built {
    identity: Identity,
    seen: Authentic,
    /// Where this device's ledger begins.
    own: Option<HeadMark>,
}

impl Built {
    fn remember(&self, place: &VaultPath, world: &World<'_>) {
        let pinned = world.pins.replace(&self.identity, place, &self.seen);
        pinned.unwrap_or_else(|error| world.note(Notice::NotPinned(error)));
        if let Some(own) = &self.own {
            world.pins.witness(&self.identity, place).note(&self.identity, own, own, None, true);
        }
    }
}

fn build(store: &mut Store, creation: &Creation<'_>, world: &World<'_>) -> Result<Built, VaultError> {
    let mut identity = Identity { vault_id: [0; 16], epoch: 1 };
    world.rng.fill(&mut identity.vault_id)?;
    let root = Root::create(world.rng)?;
    let slots = seal_slots(&root, creation, &identity, world)?;
    let tx = store.begin(Durability::Synced, &mut |waited| world.wait(waited, &identity))?;
    let (seen, own) = fill(&tx, &root, &slots, &identity, world)?;
    tx.commit()?;
    Ok(Built { identity, seen, own })
}

fn seal_slots(
    root: &Root,
    creation: &Creation<'_>,
    identity: &Identity,
    world: &World<'_>,
) -> Result<Vec<SlotRow>, VaultError> {
    let mut slots =
        vec![credential::seal_passphrase(1, root, creation.passphrase, creation.cost, identity, world.rng)?];
    if let Some(code) = creation.recovery {
        slots.push(credential::seal_recovery(2, root, code, identity, world.rng)?);
    }
    Ok(slots)
}

/// Header, slots, this device's ledger, tree, first event, first record.
fn fill(
    rows: &Tx<'_>,
    root: &Root,
    slots: &[SlotRow],
    identity: &Identity,
    world: &World<'_>,
) -> Result<(Authentic, Option<HeadMark>), VaultError> {
    let keys = root.daily(identity).keys(identity);
    let (seed, chain_seed) = Seed::create(&root.seed_key(identity), identity, world.rng)?;
    let header = HeaderRow {
        vault_id: identity.vault_id,
        epoch: identity.epoch,
        written_by: env!("CARGO_PKG_VERSION").to_owned(),
        chain_seed,
        signer: keys.signing.signer().encode(),
    };
    // The first change follows a record of nothing.
    let nothing = Record {
        change: 0,
        time: Moment(i64::MIN),
        root: Digest::default(),
        audit_count: 0,
        audit_head: START,
        sets: List::hash(&List::default().encode()),
        signer: SignedBy::Epoch(Signer::id_of(&header.signer)),
        previous: NO_RECORD,
        extensions: Extensions::default(),
    };
    let mut tx = VerifiedTx::begin(rows, &keys, *identity, Authentic { record: nothing, hash: NO_RECORD });
    tx.put_header(&header)?;
    slots.iter().try_for_each(|slot| slot::put(&mut tx, slot))?;
    Chain::rewrite(seed, rows, &keys.audit, identity, &[], world.rng)?;
    ledger::ensure(&mut tx, &root.seed_key(identity), world)?;
    let sealed = tx.seal_change(world.event(Action::Init, Vec::new(), String::new()), world)?;
    Ok((sealed, ledger::end_of_own(&tx)))
}
