//! Reading the chain back and holding it against its keys.

use std::ops::Range;

use crate::store::{AuditRow, Ledger, Tx};
use keyvault_core::clock::Moment;
use keyvault_core::crypto::{Mac, SealingKey};
use keyvault_core::identity::Identity;

use super::chain::{self, AuditKeys, Chain, ChainMark, START, Seed};
use super::{AuditError, Event};

/// How far a verification could look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Root was there: every MAC recomputed from k₀, and the stored key is where the chain ends.
    FromTheStart,
    /// Daily keys only: every event opens in its place behind the one before, nothing is missing up to the head. A
    /// holder of a session could have rewritten the chain; that shows only from the start.
    LinksOnly,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    pub entries: u64,
    /// How far it could look.
    pub reach: Reach,
    /// The first entry whose clock reads earlier than the one before, if any. Flagged, never refused.
    pub clock_back_at: Option<u64>,
}

/// Verifies the whole chain; with `seed`, from the start.
pub(crate) fn verify(
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
pub(crate) fn read_all(
    tx: &Tx<'_>,
    keys: &AuditKeys,
    identity: &Identity,
    take: &mut dyn FnMut(u64, Event),
) -> Result<(), AuditError> {
    let chain = Chain::load(tx, keys, identity)?;
    read_range(tx, keys, identity, 0..chain.count, take)
}

/// Reads the events of these entries, each checked to follow from the one before.
pub(crate) fn read_range(
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
            tx.entry_mac(keys.ledger, before)?.ok_or(missing)?
        }
    };
    walk(tx, keys, identity, entries, before, &mut |row, event, _| {
        take(row.seq, event);
        Ok(())
    })?;
    Ok(())
}

/// The chain must still pass through a point that the last change recorded of it.
pub(crate) fn passes_through(tx: &Tx<'_>, ledger: Ledger, point: &ChainMark) -> Result<(), AuditError> {
    let Some(last) = point.count.checked_sub(1) else { return Ok(()) };
    if tx.entry_mac(ledger, last)? == Some(point.head) {
        Ok(())
    } else {
        Err(AuditError::Broken { seq: last, what: "reads that were recorded are gone" })
    }
}

/// Where the chain ends now, which it must reach through the point that the last change recorded of it.
pub(crate) fn reached(
    tx: &Tx<'_>,
    keys: &AuditKeys,
    identity: &Identity,
    recorded: &ChainMark,
) -> Result<ChainMark, AuditError> {
    passes_through(tx, keys.ledger, recorded)?;
    let chain = Chain::load(tx, keys, identity)?;
    read_range(tx, keys, identity, recorded.count..chain.count, &mut |_, _| {})?;
    Ok(chain.end())
}

/// Reads every event that opens behind the entry before it, whatever became of the others and of the chain's head. For
/// what is left of a vault that is damaged.
pub(crate) fn read_what_opens(
    tx: &Tx<'_>,
    keys: &AuditKeys,
    identity: &Identity,
    take: &mut dyn FnMut(Event),
) -> Result<(), AuditError> {
    let end = tx.last_entry(keys.ledger)?.map_or(0, |last| last.saturating_add(1));
    let (mut next, mut before) = (0, START);
    while next < end {
        let read = tx.each_entry(keys.ledger, next..end, |row| {
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
        before = tx.entry_mac(keys.ledger, next).ok().flatten().unwrap_or(START);
        next = next.saturating_add(1);
    }
    Ok(())
}

/// The entries of a chain that may be damaged, as far as they can be proved.
#[derive(Debug, Default)]
pub(crate) struct Salvaged {
    /// The events whose MACs follow from k₀, in order.
    pub events: Vec<Event>,
    /// Events that open in their place and are not proved: the chain went on there from another key.
    pub unproved: Vec<Event>,
    /// Where entries are missing from `events`.
    pub breaks: Vec<Break>,
    /// How many rows belong to no entry.
    pub strays: u64,
    /// True if the chain ends where its head says, with the key that follows from k₀.
    pub ends_right: bool,
}

/// Entries of a chain that cannot be proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Break {
    /// The first of them.
    pub from: u64,
    /// The last of them.
    pub to: u64,
    /// The time of the last entry before them that is proved.
    pub since: Option<Moment>,
}

/// Reads every entry that k₀ proves, whatever became of the others and of the chain's head. `known` is how many entries
/// the chain had at the last change; without `seed` nothing is proved.
pub(crate) fn salvage(
    tx: &Tx<'_>,
    keys: &AuditKeys,
    identity: &Identity,
    seed: Option<Seed>,
    known: u64,
) -> Result<Salvaged, AuditError> {
    // The keys are stepped through one by one, and a row's number may be anything.
    let rows = tx.count_entries(keys.ledger)?;
    let most = known.saturating_add(rows).saturating_add(1);
    let stored = Chain::read(tx, keys, identity).ok();
    let claimed = stored.as_ref().map_or(0, |chain| chain.count.min(most)).max(known);
    let mut key = seed.map(|seed| (0, seed.into_first_key()));
    let mut before = Some((0, START));
    let mut left = Salvaged::default();
    let (mut next, mut since) = (0, None);
    // Rows up to the end of the chain, and those that may lie behind it.
    let (mut inside, mut behind) = (0_u64, Vec::new());
    tx.each_entry(keys.ledger, 0..most, |row| {
        let previous = before.filter(|(seq, _)| *seq == row.seq).map(|(_, mac)| mac);
        before = Some((row.seq + 1, row.mac));
        if row.seq < claimed {
            inside += 1;
        } else {
            behind.push(row.seq);
        }
        let event = previous.and_then(|previous| chain::open_event(keys, identity, &row, &previous).ok());
        let Some((previous, event)) = previous.zip(event) else { return Ok(()) };
        let proved = key.as_mut().is_some_and(|(at, key)| {
            while *at < row.seq {
                *key = chain::next_key(key);
                *at += 1;
            }
            check_mac(key, &row, &previous).is_ok()
        });
        if !proved {
            left.unproved.push(event);
            return Ok(());
        }
        if next < row.seq {
            left.breaks.push(Break { from: next, to: row.seq - 1, since });
        }
        (next, since) = (row.seq + 1, Some(event.time));
        left.events.push(event);
        Ok(())
    })?;
    if next < claimed {
        left.breaks.push(Break { from: next, to: claimed - 1, since });
    }
    inside += behind.iter().filter(|seq| **seq < next).count() as u64;
    left.strays = rows.saturating_sub(inside);
    // With a break at its end the chain does not get there.
    left.ends_right = match (&mut key, before) {
        (Some((at, key)), Some((end, head))) if next == end => {
            while *at < end {
                *key = chain::next_key(key);
                *at += 1;
            }
            stored.is_some_and(|stored| stored.ends_at(end, &head, key))
        }
        _ => false,
    };
    Ok(left)
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
    tx.each_entry(keys.ledger, entries, |row| {
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

fn check_mac(key: &SealingKey, row: &AuditRow, previous: &Mac) -> Result<(), AuditError> {
    if chain::entry_mac(key, row.seq, row.change, previous, &row.sealed) == row.mac {
        Ok(())
    } else {
        Err(AuditError::Broken {
            seq: row.seq,
            what: "the entry's MAC does not follow from the chain's seed",
        })
    }
}
