//! Reading a verifier's log.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use keyvault_core::clock::Moment;
use keyvault_core::crypto::{Hash, SealingKey, Signed};
use keyvault_core::identity::{FORMAT, Identity};

use super::{Entry, context};
use crate::record::{Api, HoldPoint, Id, VerifierEntry, VerifierState};
use crate::set::hold_key;

/// A hold that was seen once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Remembered {
    pub number: u64,
    pub id: Id,
    pub time: Moment,
}

/// A reader's memory of a log: between two looks, and beside its pin.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Seen {
    pub point: HoldPoint,
    pub holds: Vec<Remembered>,
}

/// A fault of a log. It takes back no hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Finding {
    #[error("entry {0} does not open in its place, or is not one")]
    Damaged(u64),
    #[error("entry {0} is not signed by the verifier")]
    Forged(u64),
    #[error("entries are missing: there are {found} of {seen}")]
    Shorter { found: u64, seen: u64 },
    #[error("the log is another one than the one seen before, at entry {0}")]
    Other(u64),
}

/// A verifier's holds: all that were ever seen, but those that the owner decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldLog {
    held: BTreeMap<Id, Moment>,
    seen: Seen,
    findings: Vec<Finding>,
}

impl HoldLog {
    /// Reads the rows of a verifier's log from its beginning, in their order.
    ///
    /// `identity` is the vault's of now. Signatures are verified of the entries behind the point that was seen; the chain
    /// holds those before it.
    pub fn read<'a>(
        api: &Api,
        verifier: &VerifierEntry,
        api_key: &SealingKey,
        identity: &Identity,
        rows: impl IntoIterator<Item = &'a [u8]>,
        seen: &Seen,
    ) -> Self {
        let mut findings = Vec::new();
        let (mut entries, cut) = chain(api, verifier, api_key, identity, rows);
        findings.extend(cut);
        let signed_in = Identity { epoch: verifier.epoch, ..*identity };
        let passes_seen = head_at(&entries, seen.point.count) == Some(seen.point.head);
        let known = if passes_seen { seen.point.count } else { 0 };
        let forged = entries.iter().position(|entry| {
            let signature =
                || verifier.signer.verify(Signed::Hold, &signed_in, &entry.text, &entry.signature);
            entry.hold.number >= known && signature().is_err()
        });
        if let Some(at) = forged {
            findings.push(Finding::Forged(u64::try_from(at).unwrap_or(u64::MAX)));
            entries.truncate(at);
        }
        for point in [&verifier.seen, &seen.point] {
            findings.extend(missing(&entries, point));
        }
        findings.sort_unstable();
        findings.dedup();

        let read = entries.iter().map(|entry| &entry.hold);
        let read = read.map(|hold| Remembered { number: hold.number, id: hold.id, time: hold.time });
        let mut holds: Vec<Remembered> = read.collect();
        let (kept, read) = (&seen.holds, holds.len());
        let is_new = |old: &&Remembered| !holds.get(..read).unwrap_or_default().contains(old);
        let kept: Vec<_> = kept.iter().filter(is_new).copied().collect();
        holds.extend(kept);
        let is_open = |hold: &&Remembered| !verifier.is_decided(hold.number);
        let held = holds.iter().filter(is_open).map(|hold| (hold.id, hold.time)).collect();
        let point = if passes_seen { point_of(&entries) } else { seen.point };
        Self { held, seen: Seen { point, holds }, findings }
    }

    /// Since when a key or a client is held.
    #[must_use]
    pub fn held(&self, id: &Id) -> Option<Moment> {
        self.held.get(id).copied()
    }

    pub fn all(&self) -> impl Iterator<Item = (&Id, &Moment)> {
        self.held.iter()
    }

    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// For the next look. A log that became shorter does not lower the point.
    #[must_use]
    pub fn seen(&self) -> &Seen {
        &self.seen
    }
}

/// The entries up to the first that does not continue the one before. A log that is closed ends where the owner saw it.
fn chain<'a>(
    api: &Api,
    verifier: &VerifierEntry,
    api_key: &SealingKey,
    identity: &Identity,
    rows: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Entry>, Option<Finding>) {
    let key = hold_key(api_key, &verifier.id);
    let signed_in = Identity { epoch: verifier.epoch, ..*identity };
    let mut entries: Vec<Entry> = Vec::new();
    let mut before = Hash::default();
    for (number, sealed) in (0_u64..).zip(rows) {
        if verifier.state == VerifierState::Closed && number >= verifier.seen.count {
            break;
        }
        let entry = Entry::open(&key, &context(identity, &verifier.id, number), sealed);
        let entry = entry.filter(|Entry { hold, .. }| {
            (hold.format, hold.identity, hold.api, hold.verifier) == (FORMAT, signed_in, api.id, verifier.id)
                && (hold.number, hold.before) == (number, before)
        });
        let Some(entry) = entry else { return (entries, Some(Finding::Damaged(number))) };
        before = entry.hash;
        entries.push(entry);
    }
    (entries, None)
}

/// The hash of the entry before number `count`; `None` if there are fewer.
fn head_at(entries: &[Entry], count: u64) -> Option<Hash> {
    match count.checked_sub(1) {
        None => Some(Hash::default()),
        Some(last) => entries.get(usize::try_from(last).ok()?).map(|entry| entry.hash),
    }
}

fn point_of(entries: &[Entry]) -> HoldPoint {
    let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
    HoldPoint { count, head: head_at(entries, count).unwrap_or_default() }
}

fn missing(entries: &[Entry], point: &HoldPoint) -> Option<Finding> {
    let found = u64::try_from(entries.len()).unwrap_or(u64::MAX);
    match head_at(entries, point.count) {
        None => Some(Finding::Shorter { found, seen: point.count }),
        Some(head) if head != point.head => Some(Finding::Other(point.count.saturating_sub(1))),
        Some(_) => None,
    }
}
