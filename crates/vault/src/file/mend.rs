//! A damaged vault rewritten, with what its record proves, under the root that it has: a copy before a restore puts
//! it in a vault's place, a vault whose damage keeps a recovery code from setting a passphrase, and one whose damage is
//! in the way of a revocation.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::audit::{Action, Event, HeadMark, Renamed, Seed, TokenChange, TokenDeed};
use crate::state::pin::Memory;
use crate::state::witness::Witness;
use crate::store::{Durability, HeaderRow, Ledger, ObjectKind, Tag, Tx};
use keyvault_core::identity::Identity;
use keyvault_core::name::{KeyName, TokenName};

use super::damaged;
use super::open::{Access, LogMoved, Notice, Refusal, Vault, World, remember, still_same};
use super::rollback_alarm::{log_gap, recorded};
use super::survivors::{Loss, Seeds, Survivors, survivors};
use crate::error::{VaultError, is_of_rows};
use crate::slot::rekey::{Frame, Values};
use crate::tx::{Setting, VerifiedTx};
use crate::unlock::keys::{DailyKeys, Root};
use crate::{ledger, slot, token};

/// The vault before it was mended, as far as a change needs it that ends something by its name.
#[derive(Default)]
pub(crate) struct Dropped {
    pub(crate) loss: Loss,
    /// Where rows and leaves stood, damaged or not.
    tags: BTreeSet<Tag>,
    /// The highest number that the log names of a key's versions, by the names of today.
    versions: BTreeMap<String, u32>,
    /// Tokens in force whose records did not hold, as far as the log tells their names.
    pub(crate) tokens: BTreeSet<TokenName>,
}

struct Mending<'m> {
    root: &'m Root,
    keys: &'m DailyKeys,
    identity: Identity,
    seeds: Seeds,
    path: &'m Path,
    witness: &'m Witness,
    values: Values,
}

struct Mended {
    dropped: Dropped,
    header: HeaderRow,
    /// Where the log stands behind it.
    log: Option<HeadMark>,
}

/// Keeps everything that verifies and drops the rest, in a change of its own.
///
/// Tokens keep their secrets, their grants and views are rebuilt, and limited sessions end. The change is not pinned,
/// because the caller makes another one at once.
pub(crate) fn mend(vault: &mut Vault, access: &Access, world: &World<'_>) -> Result<Loss, VaultError> {
    let root = access.root.as_ref().ok_or(VaultError::NeedsRoot)?;
    let seeds = vault.seeds(access);
    let (keys, identity) = vault.keys(access);
    let memory = vault.memory().clone();
    let mut witness = world.pins.witness(&identity, &vault.place);
    let path = vault.path().to_owned();
    let rows = vault.store.begin(Durability::Synced, &mut |waited| world.wait(waited, &identity))?;
    still_same(vault.checked.as_ref())?;
    let witness_before = &witness;
    let values = Values::SealedAnew;
    let mending =
        Mending { root, keys: &keys, identity, seeds, path: &path, witness: witness_before, values };
    let Mended { dropped, header, log } = mend_in(&rows, mending, access, &memory, world)?;
    rows.commit()?;
    vault.header = header;
    if let Some(log) = log {
        witness.renew(&identity, &log);
    }
    Ok(dropped.loss)
}

/// A change that ends something and must not wait. Where damage is in its way, the vault is mended in the same commit,
/// which takes root; it is told afterwards. `make` runs once more then, with what was dropped. Values stay where they
/// are, damaged or not, and without an event the vault stays as it is. `accept` may refuse a loss, of which the keys that the change ends are no part.
pub(crate) fn change_despite_damage<T>(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    ends: &[KeyName],
    accept: impl FnOnce(&Loss) -> Result<(), VaultError>,
    make: impl Fn(&mut VerifiedTx<'_>, &Dropped) -> Result<(T, Option<Event>), VaultError>,
) -> Result<T, VaultError> {
    match vault.change_if_any(access, world, |tx| make(tx, &Dropped::default())) {
        Err(error) if is_of_rows(&error) => match &access.root {
            Some(root) => {
                // Those of the change that failed are told again, if they are still true.
                world.notices.forget();
                mend_and_change(vault, (access, root), world, ends, accept, make)
            }
            None => Err(VaultError::DamagedNeedsRoot(Box::new(error))),
        },
        changed => changed,
    }
}

fn mend_and_change<T>(
    vault: &mut Vault,
    (access, root): (&Access, &Root),
    world: &World<'_>,
    ends: &[KeyName],
    accept: impl FnOnce(&Loss) -> Result<(), VaultError>,
    make: impl Fn(&mut VerifiedTx<'_>, &Dropped) -> Result<(T, Option<Event>), VaultError>,
) -> Result<T, VaultError> {
    let seeds = vault.seeds(access);
    let (keys, identity) = vault.keys(access);
    let mut witness = world.pins.witness(&identity, &vault.place);
    let path = vault.path().to_owned();
    let rows = vault.store.begin(Durability::Synced, &mut |waited| world.wait(waited, &identity))?;
    let held = world.holders.hold(&identity);
    let memory = remember(&mut vault.memory, world.pins.read(&identity, &vault.place));
    still_same(vault.checked.as_ref())?;
    let witness_before = &witness;
    let values = Values::AsTheyStand;
    let mending =
        Mending { root, keys: &keys, identity, seeds, path: &path, witness: witness_before, values };
    let Mended { dropped, header, .. } = mend_in(&rows, mending, access, memory, world)?;
    let mut loss = dropped.loss.clone();
    loss.keys.retain(|key| !ends.contains(key));
    accept(&loss)?;
    let setting = Setting { keys: &keys, identity, memory, slot: access.slot.as_ref() };
    let mut tx = VerifiedTx::load(&rows, &setting)?;
    tx.device = witness.ledger();
    let result = make(&mut tx, &dropped);
    keyvault_core::crypto::wipe_stack();
    let (outcome, event) = result?;
    let Some(event) = event else { return Ok(outcome) };
    ledger::ensure(&mut tx, &root.seed_key(&identity), world)?;
    let seen = tx.seal_change(event, world)?;
    let log_moved = tx.log_moved();
    drop(tx);
    still_same(vault.checked.as_ref())?;
    rows.commit()?;
    vault.header = header;
    // The log was rewritten, so that what was seen of it before is not in it.
    witness.forget();
    vault.log_moved = log_moved.map(|(found, left)| LogMoved { witness, found, left, gap: None });
    damaged::write_back(vault)?;
    drop(held);
    for token in dropped.tokens {
        world.note(Notice::TokenDamaged { token });
    }
    world.note(Notice::Mended(Box::new(loss)));
    vault.after_change(&seen, world);
    Ok(outcome)
}

fn mend_in(
    rows: &Tx<'_>,
    mending: Mending<'_>,
    access: &Access,
    memory: &Memory,
    world: &World<'_>,
) -> Result<Mended, VaultError> {
    let Mending { root, keys, identity, seeds, path, witness, values } = mending;
    let setting = Setting { keys, identity, memory, slot: access.slot.as_ref() };
    let mut old = VerifiedTx::load_damaged(rows, &setting)?;
    old.refuse_in_alarm(path)?;
    // A log that cannot be compared has a break of its own.
    let gap = log_gap(&old, witness).unwrap_or_default();
    let mut found = survivors(&mut old, seeds)?;
    access.slot.as_ref().map_or(Ok(()), |opened| slot::expect_proved(rows, opened, &found.slots))?;
    let carried = token::all_reads_to_carry(&old, &found.tokens, world)?;
    found.tokens.retain(|token| !token.is_session());
    let mut dropped = Dropped::of(&old, &found)?;
    let (seed, chain_seed) = Seed::create(&root.seed_key(&identity), &identity, world.rng)?;
    let header = HeaderRow {
        vault_id: identity.vault_id,
        epoch: identity.epoch,
        written_by: env!("CARGO_PKG_VERSION").to_owned(),
        chain_seed,
        signer: keys.signing.signer().encode(),
    };
    let slots = std::mem::take(&mut found.slots);
    let mut new = VerifiedTx::begin(rows, keys, identity, old.current.clone());
    new.carried = carried;
    let tombstones = found.tombstones();
    new.device = witness.ledger();
    let seed_key = root.seed_key(&identity);
    let frame = Frame { header: &header, slots: &slots, seed, seed_key: &seed_key, values };
    let key_records = slot::reseal(&mut new, &old, frame, &mut found, world, &|_| ())?;
    let mut known: Vec<_> = found.tokens.iter().map(|token| Ledger::Token(token.id)).collect();
    known.extend(ledger::listed(&mut new)?);
    let in_force = found.tokens.iter().filter(|token| token.revoked.is_none());
    rows.delete_other_tokens(&in_force.map(|token| token.id).collect::<Vec<_>>(), &known)?;
    for token in &mut found.tokens {
        if token.revoked.is_none() {
            token::grant_anew(&mut new, token, &key_records, world)?;
        }
        token::put(&mut new, token, world)?;
    }
    let detail = found.loss.behind("mended".to_owned());
    let event = tombstones.kept_in(world.event(Action::Restore, Vec::new(), detail));
    new.seal_change(recorded(event, gap), world)?;
    keyvault_core::crypto::wipe_stack();
    dropped.loss = found.loss;
    Ok(Mended { dropped, header, log: new.log_moved().map(|(_, left)| left) })
}

impl Dropped {
    fn of(old: &VerifiedTx<'_>, found: &Survivors) -> Result<Self, VaultError> {
        let mut tags: BTreeSet<_> = old.rows.object_tags(ObjectKind::Key)?.into_iter().collect();
        tags.extend(old.rows.object_tags(ObjectKind::Token)?);
        tags.extend(old.rows.leaves(&[0; 16], &[0xFF; 16])?.into_iter().map(|(tag, _)| tag));
        let mut dropped = Self { tags, ..Self::default() };
        let mut tokens = BTreeSet::new();
        for event in found.log.events.iter().chain(&found.log.unproved) {
            dropped.note(event);
            match event.get() {
                Some(TokenChange { deed: TokenDeed::Revoked, token }) => drop(tokens.remove(&token)),
                Some(TokenChange { token, .. }) => {
                    tokens.insert(token);
                }
                None => {}
            }
        }
        tokens.retain(|name| found.tokens.iter().all(|token| token.name != *name));
        tokens.retain(|name| dropped.had_token(old, name));
        dropped.tokens = tokens;
        Ok(dropped)
    }

    fn note(&mut self, event: &Event) {
        if let (Some(Renamed(new)), [key]) = (event.get(), event.keys.as_slice()) {
            let version = self.versions.remove(&key.name).unwrap_or_default().max(key.version);
            self.versions.insert(new.to_string(), version);
            return;
        }
        for key in &event.keys {
            let highest = self.versions.entry(key.name.clone()).or_default();
            *highest = key.version.max(*highest);
        }
    }

    fn had_key(&self, tx: &VerifiedTx<'_>, name: &KeyName) -> bool {
        self.loss.keys.contains(name) || self.tags.contains(&tx.key_tag(name))
    }

    pub(crate) fn had_token(&self, tx: &VerifiedTx<'_>, name: &TokenName) -> bool {
        self.tags.contains(&tx.object_tag(ObjectKind::Token, name.as_str().as_bytes()))
    }

    /// Those of `names` that are there, and those of which only damage was.
    pub(crate) fn divide(
        &self,
        tx: &mut VerifiedTx<'_>,
        names: &[KeyName],
    ) -> Result<(Vec<KeyName>, Vec<KeyName>), VaultError> {
        let (mut there, mut gone) = (Vec::new(), Vec::new());
        for name in names.iter().collect::<BTreeSet<_>>() {
            let is_gone = self.had_key(tx, name) && tx.key(name)?.is_none();
            if is_gone { &mut gone } else { &mut there }.push(name.clone());
        }
        Ok((there, gone))
    }

    /// Every version that a key may have had, at least the first.
    pub(crate) fn versions(&self, name: &KeyName) -> std::ops::RangeInclusive<u32> {
        1..=self.versions.get(name.as_str()).copied().unwrap_or_default().max(1)
    }
}

/// The keys that a change ended, and what it made of them, for whoever reads of it.
pub(crate) fn tell_gone(keys: Vec<KeyName>, stay: Option<Refusal>, world: &World<'_>) {
    if !keys.is_empty() {
        world.note(Notice::DamagedKeysGone { keys, stay });
    }
}
