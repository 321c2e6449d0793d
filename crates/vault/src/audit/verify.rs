//! Reading the chain back and holding it against its keys.

use std::ops::Range;

use crate::store::{AuditRow, Tx};
use keyvault_core::clock::Moment;
use keyvault_core::crypto::{Key, Mac};
use keyvault_core::identity::Identity;

use super::chain::{self, AuditKeys, Chain, START, Seed};
use super::{AuditError, Event};

/// How far a verification could look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Root was there: every MAC recomputed from k₀, and the stored key is where the chain ends.
    FromTheStart,
    /// Daily keys only: every event opens in its place behind the one before, nothing is missing up to the head.
    /// Whoever held a session could have rewritten the chain; that shows only from the start.
    LinksOnly,
}

/// A chain that held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Number of entries.
    pub entries: u64,
    /// How far it could look.
    pub reach: Reach,
    /// The first entry whose clock reads earlier than the one before, if any. Flagged, never refused.
    pub clock_back_at: Option<u64>,
}

/// Verifies the whole chain; with `seed`, from the start.
pub fn verify(
    tx: &Tx<'_>,
    keys: &AuditKeys,
    identity: &Identity,
    seed: Option<Seed>,
) -> Result<Verified, AuditError> {
    let stored = Chain::load(tx, keys, identity)?;
    let reach = if seed.is_some() { Reach::FromTheStart } else { Reach::LinksOnly };
    let mut key = seed.map(Seed::into_first_key);
    let mut last_time = Moment(i64::MIN);
    let mut clock_back_at = None;
    let end = walk(tx, keys, identity, 0..u64::MAX, START, &mut |row, event, previous| {
        if let Some(key) = &mut key {
            check_mac(key, row, previous)?;
            *key = chain::next_key(key);
        }
        if event.time < last_time {
            clock_back_at = clock_back_at.or(Some(row.seq));
        }
        last_time = event.time;
        Ok(())
    })?;
    let ends_right = match &key {
        Some(key) => stored.ends_at(end.count, &end.head, key),
        None => stored.count == end.count && stored.head == end.head,
    };
    if !ends_right {
        return Err(AuditError::Broken {
            seq: end.count,
            what: "the chain does not end where its key stands",
        });
    }
    Ok(Verified { entries: end.count, reach, clock_back_at })
}

/// Reads every event up to the head of the chain, each checked to follow from the one before; a log that was cut is
/// an error.
pub fn read_all(
    tx: &Tx<'_>,
    keys: &AuditKeys,
    identity: &Identity,
    take: &mut dyn FnMut(u64, Event),
) -> Result<(), AuditError> {
    let chain = Chain::load(tx, keys, identity)?;
    read_range(tx, keys, identity, 0..chain.count, take)
}

/// Reads the events of these entries, each checked to follow from the one before.
pub fn read_range(
    tx: &Tx<'_>,
    keys: &AuditKeys,
    identity: &Identity,
    entries: Range<u64>,
    take: &mut dyn FnMut(u64, Event),
) -> Result<(), AuditError> {
    let from = entries.start;
    let before = match from.checked_sub(1) {
        None => START,
        Some(before) => {
            let missing = AuditError::Broken { seq: before, what: "the entry is missing" };
            tx.audit_mac(keys.ledger, before)?.ok_or(missing)?
        }
    };
    walk(tx, keys, identity, entries, before, &mut |row, event, _| {
        take(row.seq, event);
        Ok(())
    })?;
    Ok(())
}

/// Reads every event that opens behind the entry before it, whatever became of the others and of the chain's head. For
/// what is left of a vault that is damaged.
pub fn read_what_opens(
    tx: &Tx<'_>,
    keys: &AuditKeys,
    identity: &Identity,
    take: &mut dyn FnMut(Event),
) -> Result<(), AuditError> {
    let end = tx.last_audit_seq(keys.ledger)?.map_or(0, |last| last.saturating_add(1));
    let (mut next, mut before) = (0, START);
    while next < end {
        let read = tx.each_audit_entry(keys.ledger, next..end, |row| {
            if let Ok(event) = chain::open_event(keys, identity, &row, &before) {
                take(event);
            }
            (next, before) = (row.seq.saturating_add(1), row.mac);
            Ok(())
        });
        if read.is_ok() {
            break;
        }
        // On behind the row that cannot be read.
        before = tx.audit_mac(keys.ledger, next).ok().flatten().unwrap_or(START);
        next = next.saturating_add(1);
    }
    Ok(())
}

struct End {
    count: u64,
    head: Mac,
}

type Visit<'a> = dyn FnMut(&AuditRow, Event, &Mac) -> Result<(), AuditError> + 'a;

fn walk(
    tx: &Tx<'_>,
    keys: &AuditKeys,
    identity: &Identity,
    entries: Range<u64>,
    before: Mac,
    visit: &mut Visit<'_>,
) -> Result<End, AuditError> {
    let mut end = End { count: entries.start, head: before };
    let mut broken = None;
    tx.each_audit_entry(keys.ledger, entries, |row| {
        if broken.is_none() {
            match step(keys, identity, &end, &row, visit) {
                Ok(()) => end = End { count: end.count + 1, head: row.mac },
                Err(error) => broken = Some(error),
            }
        }
        Ok(())
    })?;
    broken.map_or(Ok(end), Err)
}

fn step(
    keys: &AuditKeys,
    identity: &Identity,
    end: &End,
    row: &AuditRow,
    visit: &mut Visit<'_>,
) -> Result<(), AuditError> {
    if row.seq != end.count {
        return Err(AuditError::Broken { seq: end.count, what: "the entry is missing" });
    }
    let event = chain::open_event(keys, identity, row, &end.head)?;
    visit(row, event, &end.head)
}

fn check_mac(key: &Key, row: &AuditRow, previous: &Mac) -> Result<(), AuditError> {
    if chain::entry_mac(key, row.seq, row.change, previous, &row.sealed) == row.mac {
        Ok(())
    } else {
        Err(AuditError::Broken {
            seq: row.seq,
            what: "the entry's MAC does not follow from the chain's seed",
        })
    }
}
