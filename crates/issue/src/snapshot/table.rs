//! The keys of one page in a table with open addressing: a fifth of its places is empty, so a look-up reads one or two
//! neighboring lines of memory. An issuer who chooses ids that meet makes look-ups of its own ids slower, by as much as a
//! page has records.

use std::sync::Arc;

use super::entry::Entry;
use crate::record::Id;

pub(super) fn of(entries: &[Entry]) -> Arc<[Entry]> {
    let len = if entries.is_empty() { 0 } else { entries.len() + entries.len() / 4 + 1 };
    let mut places = vec![Entry::EMPTY; len];
    for entry in entries {
        let free = probes(entry.id.number(), len).find(|at| places.get(*at).is_some_and(Entry::is_empty));
        if let Some(place) = free.and_then(|at| places.get_mut(at)) {
            *place = entry.clone();
        }
    }
    places.into()
}

pub(super) fn find<'a>(places: &'a [Entry], id: &Id, number: u64) -> Option<&'a Entry> {
    let probed = probes(number, places.len()).filter_map(|at| places.get(at));
    probed.take_while(|entry| !entry.is_empty()).find(|entry| entry.id == *id)
}

/// Places of a number, the first by its upper bits: the lower ones chose the page, and are alike.
fn probes(number: u64, len: usize) -> impl Iterator<Item = usize> {
    // The odd factor of the golden ratio (Knuth's multiplicative hashing) carries all bits into the upper 32.
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    let scaled = (mixed * u64::try_from(len).unwrap_or(0)) >> 32;
    let first = usize::try_from(scaled).unwrap_or(0);
    (first..len).chain(0..first)
}
