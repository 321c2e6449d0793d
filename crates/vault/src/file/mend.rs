//! A damaged vault written anew, with what its record proves, under the root that it has: a copy before a restore puts
//! it in a vault's place, and a vault whose damage keeps a recovery code from setting a passphrase.

use crate::audit::{Action, Seed};
use crate::store::{Durability, HeaderRow};

use super::open::{Access, Vault, World};
use super::survivors::{Loss, survivors};
use crate::error::VaultError;
use crate::slot::rekey::Frame;
use crate::tx::{Setting, VerifiedTx};
use crate::{slot, token};

/// Carries over everything that verifies and drops the rest, in a change of its own; tokens keep their secrets and
/// get their grants and views anew. Nothing is pinned: another change follows at once.
pub(crate) fn mend(vault: &mut Vault, access: &Access, world: &World<'_>) -> Result<Loss, VaultError> {
    let root = access.root.as_ref().ok_or(VaultError::NeedsRoot)?;
    let first_key = vault.seed(access).ok().flatten();
    let (keys, identity) = vault.keys(access);
    let memory = vault.memory().clone();
    let rows = vault.store.begin(Durability::Synced, &mut |waited| world.wait(waited, &identity))?;
    vault.checked.still_same()?;
    let setting = Setting { keys: &keys, identity, memory: &memory, slot: access.slot.as_ref() };
    let mut old = VerifiedTx::load_damaged(&rows, &setting)?;
    old.refuse_in_alarm(vault.checked.path())?;
    let mut found = survivors(&mut old, first_key)?;
    if !access.slot.as_ref().is_none_or(|slot| found.slots.contains(slot)) {
        return Err(VaultError::SlotsChanged);
    }
    let (seed, chain_seed) = Seed::create(&root.seed_key(&identity), &identity, world.rng)?;
    let header = HeaderRow {
        vault_id: identity.vault_id,
        epoch: identity.epoch,
        written_by: env!("CARGO_PKG_VERSION").to_owned(),
        chain_seed,
        signer: keys.signing.signer().encode(),
    };
    let slots = std::mem::take(&mut found.slots);
    let mut new = VerifiedTx::begin(&rows, &keys, identity, old.current.clone());
    let tombstones = found.tombstones();
    let frame = Frame { header: &header, slots: &slots, seed };
    let key_records = slot::seal_anew(&mut new, &old, frame, &mut found, world, &|_| ())?;
    let known: Vec<_> = found.tokens.iter().map(|token| token.id).collect();
    let in_force = found.tokens.iter().filter(|token| token.revoked.is_none());
    rows.clear_records()?;
    rows.delete_other_tokens(&in_force.map(|token| token.id).collect::<Vec<_>>(), &known)?;
    for token in &mut found.tokens {
        if token.revoked.is_none() {
            token::grant_anew(&mut new, token, &key_records, world)?;
        }
        token::put(&mut new, token, world)?;
    }
    let detail = tombstones.behind(&found.loss.behind("mended".to_owned()));
    new.seal_change(world.event(Action::Restore, Vec::new(), detail), world)?;
    keyvault_core::crypto::wipe_stack();
    drop((old, new));
    rows.commit()?;
    vault.header = header;
    Ok(found.loss)
}
