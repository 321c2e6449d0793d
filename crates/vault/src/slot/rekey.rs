//! A new root, and everything resealed under it: the answer to a passphrase, a session or an old copy that somebody
//! else may have.
//!
//! One transaction. Keys, values, scopes, names, the log and the state get new seals under the next epoch; nothing that
//! opened the file before opens it afterwards but the credentials that were presented. The log keeps its entries word
//! for word, and a pin of the old epoch is still led to the new record by them.

use std::collections::BTreeSet;

use crate::audit::{Action, Chain, KeyRef, Seed};
use crate::store::{Durability, HeaderRow, MAX_SLOTS, SlotRow, Tx};
use crate::time::rfc3339;
use crate::unlock::keys::{Daily, DailyKeys, Root};
use keyvault_core::clock::Moment;
use keyvault_core::crypto::SealingKey;
use keyvault_core::identity::Identity;
use keyvault_core::name::TokenName;

use super::{Credential, Slot, expect_proved, put, slot_of};
use crate::error::{VaultError, is_damage};
use crate::file::damaged;
use crate::file::open::{Access, Notice, Vault, World, remember, still_same};
use crate::file::survivors::{Loss, Survivors, named_versions};
use crate::key::record::KeyRecord;
use crate::key::tombstones::Tombstones;
use crate::token::Issued;
use crate::token::former::{self, SignedSuccession};
use crate::token::record::{TokenKind, TokenRecord};
use crate::tx::{Setting, VerifiedTx};
use crate::{file, issued, key, ledger, token};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RekeyPreview {
    /// Keys that would be resealed.
    pub keys: usize,
    pub slots: Vec<Slot>,
    /// The tokens in force, each of which would get another secret.
    pub tokens: Vec<TokenName>,
    /// Verifiers among them. Without an overlap they stop until each has its new token.
    pub verifiers: Vec<TokenName>,
    /// Issuers among them, which stop until each has its new token.
    pub issuers: Vec<TokenName>,
    /// Damaged parts, which would not be carried over.
    pub loss: Loss,
}

pub struct Rekeyed {
    pub epoch: u32,
    /// Keys that were resealed.
    pub keys: usize,
    /// The slots that are gone, as they were numbered.
    pub dropped: Vec<Slot>,
    /// The slots that there are now.
    pub slots: Vec<Slot>,
    /// The tokens, each under a new secret; the old ones open nothing any more.
    pub tokens: Vec<Issued>,
    /// Until when verifiers' tokens of the epoch before go on.
    pub overlap: Option<Moment>,
    /// Damaged parts, which were not carried over.
    pub loss: Loss,
}

/// The parts of a new epoch that do not depend on the keys that the vault holds.
pub(crate) struct Frame<'f> {
    pub(crate) header: &'f HeaderRow,
    pub(crate) slots: &'f [SlotRow],
    /// k₀ of the vault's ledger.
    pub(crate) seed: Seed,
    /// Seals the k₀ of the devices' ledgers.
    pub(crate) seed_key: &'f SealingKey,
    pub(crate) values: Values,
}

/// Values of the keys that are carried over, by what becomes of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Values {
    /// Sealed again, and dropped if they do not hold.
    SealedAnew,
    /// Left where they are, damaged or not: the keys that seal them stay.
    AsTheyStand,
}

/// The epoch that everything is to be sealed for, before its transaction.
pub(crate) struct Next {
    identity: Identity,
    daily: Daily,
    keys: DailyKeys,
    seed_key: SealingKey,
    header: HeaderRow,
    slots: Vec<SlotRow>,
}

impl Next {
    /// An epoch with a root of its own, which `credentials` open.
    pub(crate) fn create(
        identity: Identity,
        credentials: &[Credential<'_>],
        world: &World<'_>,
    ) -> Result<(Self, Seed), VaultError> {
        let root = Root::create(world.rng)?;
        let slots = (1..)
            .zip(credentials)
            .map(|(id, credential)| credential.seal(id, &root, &identity, world))
            .collect::<Result<_, _>>()?;
        Self::under(&root, identity, slots, world)
    }

    /// An epoch that has this root and these slots.
    pub(crate) fn under(
        root: &Root,
        identity: Identity,
        slots: Vec<SlotRow>,
        world: &World<'_>,
    ) -> Result<(Self, Seed), VaultError> {
        let seed_key = root.seed_key(&identity);
        let (seed, chain_seed) = Seed::create(&seed_key, &identity, world.rng)?;
        let daily = root.daily(&identity);
        let keys = daily.keys(&identity);
        let header = HeaderRow {
            vault_id: identity.vault_id,
            epoch: identity.epoch,
            written_by: env!("CARGO_PKG_VERSION").to_owned(),
            chain_seed,
            signer: keys.signing.signer().encode(),
        };
        Ok((Self { identity, daily, keys, seed_key, header, slots }, seed))
    }
}

/// A transaction that has written everything for another epoch but its change.
struct Moved<'t> {
    tx: VerifiedTx<'t>,
    tombstones: Tombstones,
    /// Keys that were carried over.
    keys: usize,
    tokens: Vec<Issued>,
}

/// Writes everything that survived of `old` for the next epoch, its tokens under new secrets.
fn move_all<'t>(
    rows: &'t Tx<'t>,
    old: &VerifiedTx<'_>,
    (next, seed): (&'t Next, Seed),
    found: &mut Survivors,
    overlap: Option<Moment>,
    world: &World<'_>,
    progress: &dyn Fn(usize),
) -> Result<Moved<'t>, VaultError> {
    let tokens = token::to_renew(old, &found.tokens, world)?;
    let carried = token::all_reads_to_carry(old, &found.tokens, world)?;
    rows.clear_tokens()?;
    let mut tx = VerifiedTx::begin(rows, &next.keys, next.identity, old.current.clone());
    tx.carried = carried;
    let tombstones = found.tombstones();
    let frame = Frame {
        header: &next.header,
        slots: &next.slots,
        seed,
        seed_key: &next.seed_key,
        values: Values::SealedAnew,
    };
    let key_records = reseal(&mut tx, old, frame, found, world, progress)?;
    let tokens = token::renew_all(&mut tx, tokens, &key_records, world)?;
    if let Some(ends) = overlap {
        let proof = SignedSuccession::sign(old, &tx, ends);
        let in_force = |token: &&TokenRecord| {
            token.kind == TokenKind::Verifier && token.revoked.is_none() && !token.expired(world.now())
        };
        for token in found.tokens.iter().filter(in_force) {
            former::go_on(&mut tx, token, &proof, ends, world)?;
        }
    }
    Ok(Moved { tx, tombstones, keys: key_records.len(), tokens })
}

/// Seals a working copy for another epoch, in a change of its own, before a restore puts the copy in a vault's place.
/// Its tokens get secrets that are given to nobody. Returns what opens it from then on, and its loss.
pub(crate) fn move_copy(
    copy: &mut Vault,
    access: &Access,
    (next, seed): (Next, Seed),
    world: &World<'_>,
) -> Result<(Access, Loss), VaultError> {
    let seeds = copy.seeds(access);
    let (keys, identity) = copy.keys(access);
    let memory = copy.memory().clone();
    let rows = copy.store.begin(Durability::Synced, &mut |waited| world.wait(waited, &identity))?;
    still_same(copy.checked.as_ref())?;
    let setting = Setting { keys: &keys, identity, memory: &memory, slot: access.slot.as_ref() };
    let mut old = VerifiedTx::load_damaged(&rows, &setting)?;
    let mut found = file::survivors(&mut old, seeds)?;
    let slots = std::mem::take(&mut found.slots);
    access.slot.as_ref().map_or(Ok(()), |opened| expect_proved(&rows, opened, &slots))?;
    let mut moved = move_all(&rows, &old, (&next, seed), &mut found, None, world, &|_| ())?;
    let detail = found.loss.behind(format!("epoch {}, for a restore", next.identity.epoch));
    let event = moved.tombstones.kept_in(world.event(Action::Rekey, Vec::new(), detail));
    moved.tx.seal_change(event, world)?;
    keyvault_core::crypto::wipe_stack();
    drop((old, moved));
    rows.commit()?;
    copy.header = next.header;
    copy.compact(world);
    Ok((Access { daily: next.daily, root: None, slot: None }, found.loss))
}

/// Looks at what a rekey would carry over and what it would end; changes nothing.
pub fn before_rekey(vault: &mut Vault, access: &Access) -> Result<RekeyPreview, VaultError> {
    let seeds = vault.seeds(access);
    vault.read_damaged(access, |tx| {
        let mut found = file::survivors(tx, seeds)?;
        found.loss.values = file::lost_values(tx, found.every_key())?;
        found.tokens.retain(|token| token.revoked.is_none() && !token.is_session());
        // Records stand in the order of their tags.
        let names = |tokens: &mut dyn Iterator<Item = &TokenRecord>| {
            tokens.map(|token| token.name.clone()).collect::<BTreeSet<_>>().into_iter().collect()
        };
        let of_kind = |kind| found.tokens.iter().filter(move |token| token.kind == kind);
        Ok(RekeyPreview {
            keys: found.keys.len(),
            slots: found.slots.iter().filter_map(slot_of).collect(),
            tokens: names(&mut found.tokens.iter()),
            verifiers: names(&mut of_kind(TokenKind::Verifier)),
            issuers: names(&mut of_kind(TokenKind::Issuer)),
            loss: found.loss,
        })
    })
}

/// Reseals everything under a new root, which `credentials` open and nothing else. `kept` are the accesses that
/// opened today's slots with secrets among them; each must still stand as it was opened, and so must the slot that
/// `access` opened. `progress` gets the number of keys done. Damaged parts are left out and reported.
pub fn rekey(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    credentials: &[Credential<'_>],
    kept: &[&Access],
    progress: &dyn Fn(usize),
) -> Result<Rekeyed, VaultError> {
    rekey_overlapping(vault, access, world, credentials, kept, None, progress)
}

/// [`rekey`], after which verifiers' present tokens go on for `overlap` milliseconds, at most [`former::LONGEST`], so that they
/// change their tokens one by one. Until a verifier has changed, it believes what the former signer signs.
pub fn rekey_overlapping(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    credentials: &[Credential<'_>],
    kept: &[&Access],
    overlap: Option<i64>,
    progress: &dyn Fn(usize),
) -> Result<Rekeyed, VaultError> {
    if !access.has_root() {
        return Err(VaultError::NeedsRoot);
    }
    if credentials.len() > MAX_SLOTS {
        return Err(VaultError::TooManySlots);
    }
    let overlap = overlap.map(|overlap| world.now().plus_millis(overlap.clamp(0, former::LONGEST)));
    let seeds = vault.seeds(access);
    let (keys, identity) = vault.keys(access);
    let path = vault.store.path().to_owned();
    // Derived before the transaction, which others would have to wait for.
    let next = Identity { epoch: identity.epoch + 1, ..identity };
    let (next, chain) = Next::create(next, credentials, world)?;
    let witness = world.pins.witness(&identity, &vault.place);
    let rows = vault.store.begin(Durability::Synced, &mut |waited| world.wait(waited, &identity))?;
    let held = world.holders.hold(&identity);
    let memory = remember(&mut vault.memory, world.pins.read(&identity, &vault.place));
    still_same(vault.checked.as_ref())?;
    let setting = Setting { keys: &keys, identity, memory, slot: access.slot.as_ref() };
    let mut old = VerifiedTx::load_damaged(&rows, &setting)?;
    old.refuse_in_alarm(&path)?;
    let gap = file::log_gap(&old, &witness)?;
    let mut found = file::survivors(&mut old, seeds)?;
    let slots = std::mem::take(&mut found.slots);
    let kept: Vec<_> = kept.iter().filter_map(|access| access.slot.as_ref()).collect();
    // Somebody may have taken one away, or put another in its place, while the new ones were derived.
    kept.iter().copied().chain(&access.slot).try_for_each(|opened| expect_proved(&rows, opened, &slots))?;
    let dropped: Vec<_> = slots.iter().filter(|slot| !kept.contains(slot)).filter_map(slot_of).collect();
    let slots = next.slots.iter().filter_map(slot_of).collect();
    let Moved { tx: mut new, tombstones, keys: count, mut tokens } =
        move_all(&rows, &old, (&next, chain), &mut found, overlap, world, progress)?;
    // One that has expired keeps its record; nobody needs its new secret.
    tokens.retain(|issued| !issued.record.expired(world.now()));
    let has_verifier = tokens.iter().any(|issued| issued.record.kind == TokenKind::Verifier);
    let overlap = overlap.filter(|_| has_verifier);
    let epoch = next.identity.epoch;
    let gone = dropped.iter().fold(String::new(), |text, slot| text + &format!(", dropped slot {}", slot.id));
    let until = overlap.map(|ends| format!(", verifiers' former tokens until {}", rfc3339(ends)));
    let detail = found.loss.behind(format!("epoch {epoch}{gone}{}", until.unwrap_or_default()));
    let event = tombstones.kept_in(world.event(Action::Rekey, Vec::new(), detail));
    new.device = witness.ledger();
    ledger::ensure(&mut new, &next.seed_key, world)?;
    let seen = new.seal_change(file::recorded(event, gap), world)?;
    let own = ledger::end_of_own(&new);
    keyvault_core::crypto::wipe_stack();
    drop((old, new));
    still_same(vault.checked.as_ref())?;
    rows.commit()?;
    damaged::write_back(vault)?;
    drop(held);
    vault.header = next.header;
    let pinned = world.pins.advance(&next.identity, &vault.place, &seen);
    pinned.unwrap_or_else(|error| world.note(Notice::NotPinned(error)));
    if let Some(own) = own {
        witness.note(&next.identity, &own, &own, None, true);
    }
    vault.compact(world);
    Ok(Rekeyed { epoch, keys: count, dropped, slots, tokens, overlap, loss: found.loss })
}

/// Rewrites what survived of `old`, all but tokens; returns the keys. Values that do not hold are added to what
/// is lost.
pub(crate) fn reseal(
    tx: &mut VerifiedTx<'_>,
    old: &VerifiedTx<'_>,
    frame: Frame<'_>,
    found: &mut Survivors,
    world: &World<'_>,
    progress: &dyn Fn(usize),
) -> Result<Vec<KeyRecord>, VaultError> {
    tx.rows.clear_sealed()?;
    tx.put_header(frame.header)?;
    frame.slots.iter().try_for_each(|slot| put(tx, slot))?;
    let events = std::mem::take(&mut found.log.events);
    Chain::rewrite(frame.seed, tx.rows, &tx.daily.audit, &tx.identity, &events, world.rng)?;
    drop(events);
    ledger::carry(tx, &found.ledgers, frame.seed_key, world)?;
    let mut keys = std::mem::take(&mut found.keys);
    for (done, key) in keys.iter_mut().enumerate() {
        if frame.values == Values::SealedAnew {
            move_values(tx, old, key, &mut found.loss.values, world)?;
        }
        key::settle(tx, key, world.now())?;
        tx.put_key(key, world.rng)?;
        tx.enter_key(None, Some(key));
        progress(done + 1);
    }
    let mut removed = std::mem::take(&mut found.removed);
    for removed in &mut removed {
        if frame.values == Values::SealedAnew {
            move_values(tx, old, &mut removed.key, &mut found.loss.values, world)?;
        }
        key::removal::put(tx, removed, world)?;
    }
    issued::carry(tx, (old.daily, &old.identity), &found.sets, world.rng)?;
    tx.entries.moved |= !found.sets.is_empty();
    found.unknown.iter().try_for_each(|object| tx.put_unknown(object, world.rng))?;
    let every_key = keys.iter().chain(removed.iter().map(|removed| &removed.key));
    tx.rows.delete_other_versions(&named_versions(every_key))?;
    Ok(keys)
}

/// Reseals the values of a key of `old`, each as it passes.
fn move_values(
    tx: &VerifiedTx<'_>,
    old: &VerifiedTx<'_>,
    key: &mut KeyRecord,
    lost: &mut Vec<KeyRef>,
    world: &World<'_>,
) -> Result<(), VaultError> {
    let id = key.id;
    for version in key.versions.iter_mut().filter(|version| version.digest.is_some()) {
        match old.value(&id, version) {
            Ok(value) => {
                version.digest = Some(tx.put_value(&id, version.number, &value, world.rng)?);
                version.fingerprint = tx.opener().fingerprint(&value);
            }
            Err(error) if is_damage(&error) => {
                lost.push(KeyRef { name: key.name.to_string(), version: version.number });
                version.lose_value((world.now(), tx.next_change()));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
