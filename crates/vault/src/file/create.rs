//! Making a vault.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::audit::{Action, Chain, ChangeMark, Event, Seed};
use crate::state::pin::VaultPath;
use crate::state::record::{Authentic, NO_RECORD, Record, SignedBy};
use crate::state::tree::Tree;
use crate::store::{Durability, FileStore, HeaderRow, SlotRow, Store, Tag, Tx};
use crate::unlock::keys::Root;
use crate::unlock::passphrase::Passphrase;
use crate::unlock::recovery::RecoveryCode;
use crate::unlock::slot;
use keyvault_core::clock::RngError;
use keyvault_core::codec::Extensions;
use keyvault_core::crypto::Cost;
use keyvault_core::crypto::Signer;
use keyvault_core::identity::Identity;
use keyvault_issue::set::List;
use keyvault_os::fs::vault_file;

use super::open::{Notice, Vault, World};
use super::working_copy::WorkingCopy;
use crate::error::VaultError;
use crate::tx::leaf;

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
    let (identity, seen) = build(&mut store, creation, world)?;
    store.in_file()?.fold_wal()?;
    drop(store);
    working.move_to(&path)?;
    let pinned = world.pins.replace(&identity, &VaultPath::of(given, &path), &seen);
    pinned.unwrap_or_else(|error| world.note(Notice::NotPinned(error)));
    world.notices.tell();
    Ok(Created { path, identity })
}

/// Makes a vault that is in memory and ends with it: nothing of it can be copied to a file, or be rolled back.
pub fn create_in_memory(creation: &Creation<'_>, world: &World<'_>) -> Result<Vault, VaultError> {
    let mut store = Store::in_memory();
    let (identity, seen) = build(&mut store, creation, world)?;
    let vault = Vault::in_memory(store, &identity, &world.pins)?;
    let pinned = world.pins.replace(&identity, vault.place(), &seen);
    pinned.unwrap_or_else(|error| world.note(Notice::NotPinned(error)));
    Ok(vault)
}

fn build(
    store: &mut Store,
    creation: &Creation<'_>,
    world: &World<'_>,
) -> Result<(Identity, Authentic), VaultError> {
    let mut identity = Identity { vault_id: [0; 16], epoch: 1 };
    world.rng.fill(&mut identity.vault_id)?;
    let root = Root::create(world.rng)?;
    let slots = seal_slots(&root, creation, &identity, world)?;
    let tx = store.begin(Durability::Synced, &mut |waited| world.wait(waited, &identity))?;
    let seen = fill(&tx, &root, &slots, &identity, world)?;
    tx.commit()?;
    Ok((identity, seen))
}

fn seal_slots(
    root: &Root,
    creation: &Creation<'_>,
    identity: &Identity,
    world: &World<'_>,
) -> Result<Vec<SlotRow>, VaultError> {
    let mut slots =
        vec![slot::seal_passphrase(1, root, creation.passphrase, creation.cost, identity, world.rng)?];
    if let Some(code) = creation.recovery {
        slots.push(slot::seal_recovery(2, root, code, identity, world.rng)?);
    }
    Ok(slots)
}

/// Header, slots, tree, first event, first record.
fn fill(
    tx: &Tx<'_>,
    root: &Root,
    slots: &[SlotRow],
    identity: &Identity,
    world: &World<'_>,
) -> Result<Authentic, VaultError> {
    let keys = root.daily(identity).keys(identity);
    let (seed, chain_seed) = Seed::create(&root.seed_key(identity), identity, world.rng)?;
    let header = HeaderRow {
        vault_id: identity.vault_id,
        epoch: identity.epoch,
        written_by: env!("CARGO_PKG_VERSION").to_owned(),
        chain_seed,
        signer: keys.signing.signer().encode(),
    };
    tx.put_header(&header)?;
    let mut leaves: BTreeMap<Tag, _> = BTreeMap::new();
    leaves.insert(leaf::header_tag(&keys.index), Some(leaf::header_leaf(&keys.tree, &header)));
    for slot in slots {
        tx.put_slot(slot)?;
        let tag = leaf::slot_tag(&keys.index, slot.id);
        leaves.insert(tag, Some(leaf::slot_leaf(&keys.tree, slot)));
    }
    let root = Tree::new(tx, &keys.tree, None).apply(&leaves)?.ok_or(RngError)?;
    let number = 1;
    let event = Event {
        change: Some(ChangeMark { number, previous: NO_RECORD }),
        ..world.event(Action::Init, Vec::new(), String::new())
    };
    let mut chain = Chain::begin(seed);
    chain.append(tx, &keys.audit, identity, &event, world.rng)?;
    let record = Record {
        change: number,
        time: event.time,
        root,
        audit_count: chain.count,
        audit_head: chain.head,
        sets: List::hash(&List::default().encode()),
        signer: SignedBy::Epoch(Signer::id_of(&header.signer)),
        previous: NO_RECORD,
        extensions: Extensions::default(),
    };
    Ok(record.store(tx, &keys.signing, &keys.state, identity)?)
}
