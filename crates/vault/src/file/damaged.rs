//! Opening a vault that daily work refuses, for the commands that recover it: its file has a schema or numbers that are
//! not a vault's, or its head an id or an epoch that its slots were not sealed for.
//!
//! Such a vault is worked on in memory, where its rows stand under our schema and its head is put right. A change is
//! written over the whole file at its end, unless another process has changed that meanwhile.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::path::Path;

use crate::state::pin::Pins;
use crate::state::record::Record;
use crate::store::{FileStore, HeaderRow, Oddity, Original, Salvaged, SlotRow, Store, StoreError};
use keyvault_core::identity::Identity;
use keyvault_os::fs::vault_file;

use super::open::{Access, Vault, still_same};
use crate::error::VaultError;

/// Epochs that are tried where nothing says which one is right: each is a rekey.
pub(crate) const EPOCHS: u32 = 64;

#[derive(Default)]
pub(crate) struct Recovery {
    /// True if the file is to be written.
    writes: bool,
    /// The id and epoch in the head of a copy of the vault.
    copy: Option<Identity>,
    left: Vec<Oddity>,
    /// The file that the store in memory is written over; none without such a store, or if nothing is to be written.
    original: Option<Original>,
    in_memory: bool,
}

/// Opens a vault to be rekeyed, recovered, or replaced, whatever its schema is.
pub fn open_to_recover(path: &Path, pins: &Pins) -> Result<Vault, VaultError> {
    open(path, pins, true)
}

/// Opens a vault or a backup of which everything that can be read is wanted elsewhere.
pub fn open_to_copy(path: &Path, pins: &Pins) -> Result<Vault, VaultError> {
    open(path, pins, false)
}

fn open(given: &Path, pins: &Pins, writes: bool) -> Result<Vault, VaultError> {
    let checked = vault_file::check_vault(given)?;
    let path = checked.path().to_owned();
    let mut recovery = Recovery { writes, ..Recovery::default() };
    let opened = match FileStore::open(path.clone()) {
        Err(error @ (StoreError::Schema { .. } | StoreError::Number { .. } | StoreError::Damaged { .. })) => {
            match (salvaged(path, &mut recovery), error) {
                (Err(StoreError::Busy { holder }), _) => return Err(StoreError::Busy { holder }.into()),
                (Err(_), error) => return Err(error.into()),
                (Ok(opened), StoreError::Damaged { what }) if recovery.left.is_empty() => {
                    recovery.left.push(Oddity::File(what));
                    opened
                }
                (Ok(opened), _) => opened,
            }
        }
        opened => opened?,
    };
    let (store, header) = opened;
    let mut vault = Vault::of(given, checked, (store.into(), header), pins)?;
    vault.recovery = Some(recovery);
    Ok(vault)
}

fn salvaged(path: std::path::PathBuf, recovery: &mut Recovery) -> Result<(FileStore, HeaderRow), StoreError> {
    if recovery.writes {
        // Before the file is read, so that no change is missed.
        recovery.original = Some(Original::open(path.clone())?);
    }
    let Salvaged { mut store, left } = FileStore::salvage(path)?;
    recovery.left.extend(left);
    recovery.in_memory = true;
    let header = store.begin_reading()?.header()?;
    Ok((store, header))
}

/// The parts of the file that are not taken over, as far as they are known by now.
#[must_use]
pub fn left_behind(vault: &Vault) -> &[Oddity] {
    vault.recovery.as_ref().map_or(&[], |recovery| &recovery.left)
}

/// Returns `true` if the vault was read from a copy in memory.
pub(crate) fn is_in_memory(vault: &Vault) -> bool {
    vault.recovery.as_ref().is_some_and(|recovery| recovery.in_memory)
}

/// Refuses a head that does not fit the state record: nothing that opens the vault would open it.
pub fn refuse_altered_head(vault: &mut Vault) -> Result<(), VaultError> {
    if vault.recovery.is_none() && is_head_altered(vault)? { Err(VaultError::HeaderDamaged) } else { Ok(()) }
}

/// Returns `true` if the state record names another vault or epoch than the head.
pub fn is_head_altered(vault: &mut Vault) -> Result<bool, VaultError> {
    let own = vault.identity();
    let state = vault.store.begin_reading()?.state().ok().and_then(|row| Record::identity(&row.record));
    Ok(state.is_some_and(|state| state != own))
}

/// The slots, and what the state record says that they were sealed for.
pub(crate) fn slots_and_witnesses(vault: &mut Vault) -> Result<(Vec<SlotRow>, Vec<Identity>), VaultError> {
    let tx = vault.store.begin_reading()?;
    let rows = tx.slots()?;
    let state = tx.state().ok().and_then(|row| Record::identity(&row.record));
    Ok((rows, state.into_iter().collect()))
}

/// Other vaults and epochs that the slots may have been sealed for: those of the state record, of this machine's pin
/// for the path, and of a copy, each in its epoch and in the first ones.
pub(crate) fn candidates(vault: &Vault, state: &[Identity]) -> Vec<Identity> {
    let own = vault.identity();
    let copy = vault.recovery.as_ref().and_then(|recovery| recovery.copy);
    let mut witnesses: Vec<_> = state.iter().copied().chain(copy).collect();
    witnesses.extend(vault.pins.vaults_at(vault.place()));
    let mut candidates = witnesses.clone();
    let ids: BTreeSet<_> = witnesses.iter().chain([&own]).map(|identity| identity.vault_id).collect();
    let epochs: BTreeSet<_> = witnesses.iter().chain([&own]).map(|identity| identity.epoch).collect();
    for vault_id in ids {
        candidates.extend(epochs.iter().copied().chain(1..=EPOCHS).map(|epoch| Identity { vault_id, epoch }));
    }
    candidates.retain(|identity| *identity != own);
    candidates
}

/// A slot opened that was sealed for this. If the head says otherwise it is damaged, and put right where that is wanted.
pub(crate) fn settle(vault: &mut Vault, identity: Identity) -> Result<(), VaultError> {
    if identity == vault.identity() {
        Ok(())
    } else if vault.recovery.is_some() {
        put_right(vault, identity)
    } else {
        Err(VaultError::HeaderDamaged)
    }
}

fn put_right(vault: &mut Vault, identity: Identity) -> Result<(), VaultError> {
    let path = vault.path().to_owned();
    let Some(recovery) = &mut vault.recovery else { return Err(VaultError::HeaderDamaged) };
    if !recovery.in_memory {
        let (store, header) = salvaged(path, recovery)?;
        (vault.store, vault.header) = (store.into(), header);
    }
    recovery.left.push(Oddity::Identity);
    vault.header.vault_id = identity.vault_id;
    vault.header.epoch = identity.epoch;
    let store = vault.store.file_mut().ok_or(StoreError::NoFile)?;
    store.put_header(&vault.header)?;
    vault.memory = OnceCell::new();
    Ok(())
}

/// Writes what is in memory over the vault's file, and goes on with the file.
pub(crate) fn write_back(vault: &mut Vault) -> Result<(), VaultError> {
    if is_in_memory(vault) { write_over(vault, None) } else { Ok(()) }
}

/// Puts a store, or what is in memory, in the place of the file of a vault that is in memory.
pub(crate) fn write_over(vault: &mut Vault, copy: Option<&Store>) -> Result<(), VaultError> {
    let path = vault.path().to_owned();
    let Vault { store, checked, recovery, .. } = &mut *vault;
    let Some(recovery) = recovery else { return Ok(()) };
    let Some(original) = &mut recovery.original else { return Err(VaultError::Changed) };
    let source = copy.unwrap_or(store).in_file()?;
    original.write_over(source, || still_same(checked.as_ref()), || VaultError::Changed)?;
    recovery.original = None;
    recovery.in_memory = false;
    let (store, header) = FileStore::open(path)?;
    (vault.store, vault.header) = (store.into(), header);
    Ok(())
}

/// Tells each of a backup and the vault that it is to replace what the other says that both are.
pub fn introduce(backup: &mut Vault, here: &mut Vault) {
    let (ours, theirs) = (backup.identity(), here.identity());
    for (vault, copy) in [(backup, theirs), (here, ours)] {
        if let Some(recovery) = &mut vault.recovery {
            recovery.copy = Some(copy);
        }
    }
}

/// Finds out whether the vault that a backup is to replace is the backup's own with an altered head. `access` opened the
/// backup.
pub fn recognize(backup: &Vault, access: &Access, here: &mut Vault) -> Result<(), VaultError> {
    let (own, theirs) = (here.identity(), backup.identity());
    if own == theirs {
        return Ok(());
    }
    let (_, state) = slots_and_witnesses(here)?;
    let seen = here.pins.vaults_at(here.place());
    let of_backup = |identity: &Identity| identity.vault_id == theirs.vault_id;
    let proved = match &access.root {
        Some(root) => {
            let tx = here.store.begin_reading()?;
            let mut named = state.iter().copied().chain([theirs]).filter(of_backup);
            named.find(|identity| {
                let keys = root.daily(identity).keys(identity);
                Record::load(&tx, &keys.state, identity).is_ok()
            })
        }
        None => None,
    };
    // Under another root nothing proves it. Then the state record says what vault it is, and what this machine saw here
    // where that is another one's as well.
    let is_own = |identity: &Identity| identity.vault_id == own.vault_id;
    let is_known = state.iter().chain(&seen).any(is_own);
    let said = state.iter().chain(&seen).copied().find(of_backup).filter(|_| !is_known);
    match proved.or(said) {
        Some(identity) if identity != own => put_right(here, identity),
        _ => Ok(()),
    }
}
