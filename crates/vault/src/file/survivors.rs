//! The provable part of a vault that may be damaged: every row that the state record proves, and every entry of the log
//! that k₀ proves. Anyone who can write the file can add, alter, and remove rows; none of that may keep the owner from
//! giving the vault another root, or from taking a backup of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use crate::audit::{self, Break, KeyRef, Outcome, Salvaged, Seed};
use crate::ledger::{self, Kept};
use crate::store::{ObjectKind, ObjectRow, SlotRow, Tag};
use crate::time::rfc3339;
use crate::unlock::slot;
use keyvault_core::clock::Moment;
use keyvault_core::crypto::SealingKey;
use keyvault_core::name::KeyName;
use keyvault_core::text::counted;

use crate::check::{BESIDE_THE_LOG, Check, Finding};
use crate::error::{VaultError, is_damage};
use crate::issued::{self, Carried};
use crate::key::record::{KeyRecord, Version, VersionState};
use crate::key::removal::RemovedKey;
use crate::key::tombstones::Tombstones;
use crate::token::record::TokenRecord;
use crate::tx::VerifiedTx;
use crate::tx::index::{Entry, Index, Names};
use crate::tx::object::UnknownObject;

/// The parts of a damaged vault that are not carried over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loss {
    /// Keys whose own rows do not hold, as far as their names are known.
    pub keys: BTreeSet<KeyName>,
    /// Versions whose values do not hold. The keys are kept without them.
    pub values: Vec<KeyRef>,
    /// How many removed keys do not hold. Only their own rows name them.
    pub removed: usize,
    /// True if the list of the sets of issued keys does not hold, and with it none of the sets.
    pub set_list: bool,
    /// How many listed sets of issued keys do not hold.
    pub sets: usize,
    /// Entries of the log that cannot be proved.
    pub log: Vec<Break>,
    /// True if the list of the devices' ledgers does not hold, and with it no read of theirs can be proved.
    pub ledgers: bool,
    /// Reads of devices that cannot be proved, with the short ids of their ledgers. Someone without keys can write those rows,
    /// so they are recorded and are no loss that has to be accepted.
    pub reads: Vec<(String, Break)>,
    /// Everything that did not hold: rows that are dropped, and rows that are rebuilt from others.
    pub rows: Vec<Finding>,
}

/// The keys that prove the entries of the owner's ledgers; without them none is proved.
#[derive(Default)]
pub(crate) struct Seeds {
    /// k₀ of the vault's ledger.
    pub(crate) vault: Option<Seed>,
    /// The key that seals the k₀ of the devices'.
    pub(crate) root: Option<SealingKey>,
}

pub(crate) struct Survivors {
    pub(crate) keys: Vec<KeyRecord>,
    pub(crate) removed: Vec<RemovedKey>,
    pub(crate) slots: Vec<SlotRow>,
    pub(crate) tokens: Vec<TokenRecord>,
    /// Objects of a later version.
    pub(crate) unknown: Vec<UnknownObject>,
    pub(crate) sets: Vec<Carried>,
    pub(crate) log: Salvaged,
    /// The reads of devices.
    pub(crate) ledgers: Vec<Kept>,
    pub(crate) loss: Loss,
}

impl Loss {
    /// The number of things that cannot be made again from the rest, as the subject of a sentence; none if all can.
    #[must_use]
    pub fn counted(&self) -> Option<String> {
        let count = |count: usize, what| (count > 0).then(|| counted(count, what));
        let parts: Vec<_> = [
            count(self.keys.len(), "key"),
            count(self.values.len(), "value"),
            count(self.removed, "removed key"),
            self.set_list.then(|| "all issued keys".to_owned()),
            (self.sets > 0).then(|| counted_sets(self.sets)),
            self.ledgers.then(|| "the reads of all devices".to_owned()),
            (!self.log.is_empty()).then(|| "audit log entries".to_owned()),
        ]
        .into_iter()
        .flatten()
        .collect();
        let (last, first) = parts.split_last()?;
        Some(if first.is_empty() { last.clone() } else { format!("{} and {last}", first.join(", ")) })
    }

    /// The message about a vault or a backup that has this loss, where it is not accepted.
    #[must_use]
    pub fn message(&self, file: &dyn Display) -> String {
        let damaged = self.counted().unwrap_or_else(|| "damaged rows".to_owned());
        format!("{file} is damaged: {damaged} would be lost.")
    }

    /// As an entry of the log keeps it, behind its own words.
    pub(crate) fn behind(&self, words: String) -> String {
        let mut parts = vec![words];
        if !self.keys.is_empty() {
            let names: Vec<_> = self.keys.iter().map(KeyName::as_str).collect();
            parts.push(format!("damaged keys dropped: {}", names.join(" ")));
        }
        if !self.values.is_empty() {
            let names: Vec<_> =
                self.values.iter().map(|key| format!("{}@{}", key.name, key.version)).collect();
            parts.push(format!("damaged values dropped: {}", names.join(" ")));
        }
        if self.removed > 0 {
            parts.push(format!("damaged removed keys dropped: {}", self.removed));
        }
        if self.set_list {
            parts.push("the list of sets did not hold: all issued keys dropped".to_owned());
        }
        if self.sets > 0 {
            parts.push(format!("damaged sets of issued keys dropped: {}", self.sets));
        }
        if self.ledgers {
            parts.push("the list of ledgers did not hold: all reads of devices dropped".to_owned());
        }
        let since = |gap: &Break| gap.since.map_or(String::new(), |at| format!(", after {}", rfc3339(at)));
        parts.extend(
            self.log
                .iter()
                .map(|gap| format!("log entries {} to {} cannot be proved{}", gap.from, gap.to, since(gap))),
        );
        parts.extend(self.reads.iter().map(|(ledger, gap)| {
            format!("entries {} to {} of ledger {ledger} cannot be proved{}", gap.from, gap.to, since(gap))
        }));
        if !self.rows.is_empty() {
            parts.push(format!("rows that did not hold: {}", self.rows.len()));
        }
        parts.join(", ")
    }
}

/// A number of sets of issued keys, in words.
#[must_use]
pub fn counted_sets(count: usize) -> String {
    format!("{} of issued keys", counted(count, "set"))
}

impl Survivors {
    /// Keys and removed keys.
    pub(crate) fn every_key(&self) -> impl Iterator<Item = &KeyRecord> {
        self.keys.iter().chain(self.removed.iter().map(|removed| &removed.key))
    }

    /// Tombstones of keys that are gone or removed, which only dropped entries of the log have.
    pub(crate) fn tombstones(&self) -> Tombstones {
        let mut tombstones = Tombstones::default();
        self.log.unproved.iter().filter(|event| event.outcome == Outcome::Done).for_each(|event| {
            tombstones.take_revoked(event);
            tombstones.take_disabled(event);
        });
        let there: BTreeSet<_> = self.keys.iter().map(|key| key.id).collect();
        tombstones.and(&Tombstones::default(), |id| there.contains(id))
    }
}

impl Version {
    /// Its value did not hold and is gone. It was not revoked, so a backup may still bring it back.
    pub(crate) fn lose_value(&mut self, (now, change): (Moment, u64)) {
        self.digest = None;
        self.due = None;
        if self.state != VersionState::Revoked {
            (self.state, self.since, self.since_change) = (VersionState::Retired, now, change);
            self.grace_until = None;
            "the value was damaged".clone_into(&mut self.reason);
        }
    }
}

/// The versions of these keys that have rows.
pub(crate) fn named_versions<'k>(keys: impl Iterator<Item = &'k KeyRecord>) -> BTreeSet<([u8; 16], u32)> {
    let of = |key: &KeyRecord| {
        let id = key.id;
        let there = key.versions.iter().filter(|version| version.digest.is_some());
        there.map(move |version| (id, version.number)).collect::<Vec<_>>()
    };
    keys.flat_map(of).collect()
}

/// Everything that the record proves. Values are not looked at.
pub(crate) fn survivors(tx: &mut VerifiedTx<'_>, seeds: Seeds) -> Result<Survivors, VaultError> {
    let (mut check, ..) = Check::rows(tx)?;
    if let Some(what) = &tx.newer {
        check.find("state", &format!("{what}, which this version of keyvault does not know"));
    }
    let has_no_ledgers = ledger::are_none(tx);
    let rows = tx.rows.objects(ObjectKind::Key)?;
    let leaf_of = |row: &ObjectRow| (row.tag, tx.object_leaf(row));
    let slots = tx.rows.slots()?;
    let slot_leaves = slots.iter().map(|slot| (tx.slot_tag(slot.id), tx.slot_leaf(slot))).collect();
    let mut leaves: Vec<_> = rows.iter().map(leaf_of).chain(tx.other_leaves(slot_leaves)?).collect();
    leaves.sort_unstable();
    let proved: BTreeMap<Tag, _> = tx.tree.proved(leaves)?.into_iter().collect();
    let holds = |tag: &Tag, leaf| proved.get(tag) == Some(&leaf);
    let holds_row = |row: &ObjectRow| holds(&row.tag, tx.object_leaf(row));
    let mut names = BTreeSet::new();
    let mut key_records = Vec::with_capacity(rows.len());
    for row in &rows {
        // The names of keys that do not open are in the buckets of names.
        let Ok(key) = tx.opener().object::<KeyRecord>(row) else { continue };
        names.insert(key.name.clone());
        if holds_row(row) && tx.key_tag(&key.name) == row.tag {
            key_records.push(key);
        }
    }
    key_records.sort_by_cached_key(|key| key.name.clone());
    for row in tx.rows.objects(Names::KIND)?.iter().filter(|row| holds_row(row)) {
        names.extend(tx.opener().object::<Entry<Names>>(row).into_iter().flat_map(|entry| entry.members));
    }
    names.retain(|name| key_records.binary_search_by(|key| key.name.cmp(name)).is_err());
    let rows = tx.rows.objects(ObjectKind::Removed)?;
    // A row that the tree does not know was added, and is no loss.
    let known = rows.iter().filter(|row| proved.contains_key(&row.tag));
    let opened = known.map(|row| tx.opener().object::<RemovedKey>(row).ok().filter(|_| holds_row(row)));
    let (there, damaged): (Vec<_>, Vec<_>) = opened.partition(Option::is_some);
    let removed = there.into_iter().flatten();
    // A removed key that is there as a key as well would share its versions' rows with it.
    let ids: BTreeSet<_> = key_records.iter().map(|key| key.id).collect();
    let removed: Vec<_> = removed.filter(|removed| !ids.contains(&removed.key.id)).collect();
    let every_key = key_records.iter().chain(removed.iter().map(|removed| &removed.key));
    match tx.rows.other_versions(&named_versions(every_key))?.len() {
        0 => {}
        1 => check.find("version", "has 1 row that no key names"),
        count => check.find("version", &format!("has {count} rows that no key names")),
    }
    let unknown = tx.unknown_objects(holds)?;
    let issued = issued::find(tx)?;
    for row in tx.unknown_rows(holds)?.iter().filter(|row| row.gives_access()) {
        check.find(&row.place(), "gives access in a way that this version of keyvault does not know");
    }
    let slots = slots
        .into_iter()
        .filter(|row| holds(&tx.slot_tag(row.id), tx.slot_leaf(row)) && slot::kind(row).is_ok())
        .collect();
    let tokens = tx.rows.objects(ObjectKind::Token)?;
    let tokens = tokens.iter().filter(|row| holds_row(row));
    let tokens = tokens.filter_map(|row| tx.opener().object(row).ok()).collect();
    let known = tx.current.record.audit_count;
    let log = audit::salvage(tx.rows, &tx.daily.audit, &tx.identity, seeds.vault, known)?;
    let listed = ledger::salvage(tx, seeds.root.as_ref(), holds)?;
    let ledgers_lost = listed.is_none() && !has_no_ledgers;
    let ledgers = listed.unwrap_or_default();
    let of = |kept: &Kept| {
        let id = ledger::short(&kept.id);
        kept.log.breaks.iter().map(move |gap| (id.clone(), *gap)).collect::<Vec<_>>()
    };
    let reads = ledgers.iter().flat_map(of).collect();
    if log.strays > 0 {
        check.find("log", BESIDE_THE_LOG);
    }
    if !log.ends_right {
        check.find("log_head", "does not follow from the start of the log");
    }
    let rows = check.into_findings().into_iter().filter(|finding| !finding.is_of_reads()).collect();
    let loss = Loss {
        keys: names,
        values: Vec::new(),
        removed: damaged.len(),
        set_list: issued.lost.list,
        sets: issued.lost.sets,
        log: log.breaks.clone(),
        ledgers: ledgers_lost,
        reads,
        rows,
    };
    Ok(Survivors {
        keys: key_records,
        removed,
        slots,
        tokens,
        unknown,
        sets: issued.sets,
        log,
        ledgers,
        loss,
    })
}

/// The versions whose values do not hold.
pub(crate) fn lost_values<'k>(
    tx: &VerifiedTx<'_>,
    keys: impl Iterator<Item = &'k KeyRecord>,
) -> Result<Vec<KeyRef>, VaultError> {
    let mut lost = Vec::new();
    for key in keys {
        for version in key.versions.iter().filter(|version| version.digest.is_some()) {
            match tx.value(&key.id, version) {
                Ok(_) => {}
                Err(error) if is_damage(&error) => {
                    lost.push(KeyRef { name: key.name.to_string(), version: version.number });
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(lost)
}
