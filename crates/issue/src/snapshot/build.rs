//! Making a snapshot of all sets, and of another one and what changed.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use keyvault_core::crypto::Hash;

use super::entry::{Entry, Fixed};
use super::imports::{At, Imports};
use super::terms::{ScopeSets, Terms, encode_common, model};
use super::{Part, Snapshot, table};
use crate::record::{Id, IssuerState, KeyRecord, Mark, Record};
use crate::set::{Kind, LoadedSet, Page};
use crate::standing::{Sets, of_key};

/// More terms than at the last whole build are left behind by edits at first; then it is time for a whole one.
const SPARE_TERMS: usize = 1024;

/// A delta cannot lead there: the sets have to be loaded and the snapshot built whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the snapshot has to be built of whole sets")]
pub struct LoadWhole;

/// The entry of a record, without its place among terms.
pub(super) fn entry(sets: &Sets, key: &KeyRecord, terms: u32) -> Entry {
    Entry::of(key, Fixed::of(of_key(key)), Fixed::of(sets.above(&key.id)), terms)
}

/// The terms of records, each once.
struct Interning<'a> {
    sets: &'a Sets,
    terms: Vec<Arc<Terms>>,
    /// Those of the snapshot before.
    known: Option<&'a HashMap<Box<[u8]>, u32>>,
    new: HashMap<Box<[u8]>, u32>,
    scopes: ScopeSets,
    buffer: Vec<u8>,
}

impl<'a> Interning<'a> {
    fn new(
        sets: &'a Sets,
        terms: Vec<Arc<Terms>>,
        known: Option<&'a HashMap<Box<[u8]>, u32>>,
        scopes: ScopeSets,
    ) -> Self {
        Self { sets, terms, known, new: HashMap::new(), scopes, buffer: Vec::new() }
    }

    fn place(&mut self, key: &KeyRecord) -> Option<u32> {
        encode_common(key, &mut self.buffer);
        let known = self.known.and_then(|known| known.get(&*self.buffer));
        if let Some(place) = known.or_else(|| self.new.get(&*self.buffer)) {
            return Some(*place);
        }
        let place = u32::try_from(self.terms.len()).ok()?;
        self.terms.push(Arc::new(Terms::of(self.sets, model(key)?, &mut self.scopes)?));
        self.new.insert(self.buffer.as_slice().into(), place);
        Some(place)
    }

    fn page(&mut self, records: &[KeyRecord]) -> Arc<[Entry]> {
        let entries = records.iter().filter_map(|key| Some(entry(self.sets, key, self.place(key)?)));
        table::of(&entries.collect::<Vec<_>>())
    }
}

impl Snapshot {
    /// Builds a snapshot of all that the sets have. Of a set without the records of its keys
    /// ([`LoadedSet::without_keys`]) it gives no verdict, as of one that is not there.
    #[must_use]
    pub fn build(sets: &Sets) -> Self {
        let mut interning = Interning::new(sets, Vec::new(), None, ScopeSets::new());
        let mut parts = Vec::new();
        for (mark, set) in marks(sets) {
            let pages = set.map(LoadedSet::key_pages).unwrap_or_default();
            let is_there = set.is_some() && pages.iter().all(|page| page.is_whole());
            let made = pages.iter().map(|page| interning.page(page.records()));
            parts.push(Part { mark, pages: made.collect(), is_there });
        }
        let imports = Imports::of(parts.iter().flat_map(|part| imports_of(&part.pages)).collect());
        let Interning { terms, new, .. } = interning;
        Self {
            parts,
            built_terms: terms.len(),
            terms: terms.into(),
            interned: Arc::new(new),
            imports,
            headers: headers(sets),
        }
    }

    /// The snapshot of the next generation of the sets. `before` are those that this one was built of; with both, only what
    /// changed is looked at. `before` and the unchanged pages of `next` may be without the records of keys
    /// ([`LoadedSet::without_keys`]).
    ///
    /// A changed scope, role, or bound changes the terms of all keys; a changed client, those of its own. Issuers that come or
    /// go, and sets with more or fewer pages, need a whole build.
    pub fn follow(&self, before: &Sets, next: &Sets) -> Result<Self, LoadWhole> {
        if headers(before) != self.headers {
            return Err(LoadWhole);
        }
        let (old, new) = (marks(before), marks(next));
        let is_same = |left: &(Mark, Option<&LoadedSet>), right: &(Mark, Option<&LoadedSet>)| {
            let pages = |set: Option<&LoadedSet>| set.map(|set| set.key_pages().len());
            left.0 == right.0 && pages(left.1) == pages(right.1)
        };
        if old.len() != new.len() || !old.iter().zip(&new).all(|(left, right)| is_same(left, right)) {
            return Err(LoadWhole);
        }
        let judged_anew = Self::changed_clients_and_above(before, next, &old, &new);
        let mut scopes: ScopeSets = self.terms.iter().map(|terms| terms.shared_scopes()).collect();
        let terms = self.terms_of(next, before, &judged_anew, &mut scopes)?;
        let mut interning = Interning::new(next, terms, Some(&self.interned), scopes);
        let mut snapshot = self.clone();
        let (mut left, mut came) = (Vec::new(), Vec::new());
        let sets = old.iter().zip(&new).zip(&mut snapshot.parts);
        for ((old, new), part) in sets {
            let (Some(old), Some(set)) = (old.1, new.1) else { continue };
            let leaves = old.leaves(Kind::Keys).iter().zip(set.leaves(Kind::Keys));
            let pages = leaves.zip(set.key_pages()).zip(&mut part.pages);
            for (at, (((before, now), new), place)) in pages.enumerate() {
                if before == now {
                    continue;
                }
                if !new.is_whole() {
                    return Err(LoadWhole);
                }
                left.extend(imports_of_page(at, place));
                *place = interning.page(new.records());
                came.extend(imports_of_page(at, place));
            }
        }
        snapshot.judge_above(next, &judged_anew);
        snapshot.imports.change(&left, &came);
        let Interning { terms, new, .. } = interning;
        if terms.len() > self.built_terms * 2 + SPARE_TERMS {
            return Err(LoadWhole);
        }
        if !new.is_empty() {
            let mut interned = HashMap::clone(&self.interned);
            interned.extend(new);
            snapshot.interned = Arc::new(interned);
        }
        snapshot.terms = terms.into();
        snapshot.headers = headers(next);
        Ok(snapshot)
    }

    /// Ids of clients whose records changed, and of keys and clients that the owner or a hold says something else of.
    fn changed_clients_and_above(
        before: &Sets,
        next: &Sets,
        old: &[(Mark, Option<&LoadedSet>)],
        new: &[(Mark, Option<&LoadedSet>)],
    ) -> BTreeSet<Id> {
        let mut changed = BTreeSet::new();
        for ((_, old), (_, new)) in old.iter().zip(new) {
            let (Some(old), Some(new)) = (old, new) else { continue };
            let leaves = (old.leaves(Kind::Clients), new.leaves(Kind::Clients));
            changed.extend(on_changed_pages(leaves, old.client_pages(), new.client_pages()));
        }
        let (old, new) = (before.owner(), next.owner());
        let leaves = (old.leaves(Kind::Overrides), new.leaves(Kind::Overrides));
        changed.extend(on_changed_pages(leaves, old.override_pages(), new.override_pages()));
        let held = |sets: &Sets| -> BTreeSet<Id> {
            sets.holds().iter().flat_map(|log| log.all().map(|(id, _)| *id)).collect()
        };
        changed.extend(held(before).symmetric_difference(&held(next)));
        changed
    }

    fn terms_of(
        &self,
        next: &Sets,
        before: &Sets,
        changed: &BTreeSet<Id>,
        scopes: &mut ScopeSets,
    ) -> Result<Vec<Arc<Terms>>, LoadWhole> {
        let is_other = |kind| next.owner().leaves(kind) != before.owner().leaves(kind);
        let all = is_other(Kind::Api) || is_other(Kind::Words);
        let is_stale =
            |terms: &Terms| all || terms.model.client.is_some_and(|client| changed.contains(&client));
        let made = self.terms.iter().map(|terms| {
            if !is_stale(terms) {
                return Ok(Arc::clone(terms));
            }
            Terms::of(next, KeyRecord::clone(&terms.model), scopes).map(Arc::new).ok_or(LoadWhole)
        });
        made.collect()
    }

    /// Asks again what owner and holds say of some keys.
    fn judge_above(&mut self, sets: &Sets, changed: &BTreeSet<Id>) {
        for id in changed {
            let Some(part) = self.parts.iter_mut().find(|part| part.mark == id.mark()) else { continue };
            let Some(found) = part.find(id) else { continue };
            let judged = found.with_above(Fixed::of(sets.above(id)));
            let mask = u64::try_from(part.pages.len().saturating_sub(1)).unwrap_or(0);
            let at = usize::try_from(id.number() & mask).unwrap_or(0);
            if let Some(place) = part.pages.get_mut(at) {
                let others = place.iter().cloned();
                *place = others.map(|entry| if entry.id == *id { judged.clone() } else { entry }).collect();
            }
        }
    }
}

/// The marks of an API in order, with their sets as far as they are there. An issuer that was taken away with its keys has
/// none.
fn marks(sets: &Sets) -> Vec<(Mark, Option<&LoadedSet>)> {
    let Some(api) = sets.owner().api() else { return Vec::new() };
    let issuers = api.issuers.iter().filter_map(|entry| {
        let set = sets.issuers().find(|set| set.mark() == Some(entry.mark));
        (set.is_some() || entry.state != IssuerState::Ended).then_some((entry.mark, set))
    });
    let mut marks: Vec<_> = issuers.chain([(api.mark, Some(sets.owner()))]).collect();
    marks.sort_unstable_by_key(|(mark, _)| *mark);
    marks
}

fn headers(sets: &Sets) -> Vec<Hash> {
    let owners = sets.owner().header().hash();
    [owners].into_iter().chain(sets.issuers().map(|set| set.header().hash())).collect()
}

/// Ids on pages that have another text than before, or another place.
fn on_changed_pages<T: Record<Key = Id>>(
    (before, now): (&[Hash], &[Hash]),
    old: &[Arc<Page<T>>],
    new: &[Arc<Page<T>>],
) -> Vec<Id> {
    let is_same = |at: usize| before.len() == now.len() && before.get(at) == now.get(at);
    let changed = |pages: &[Arc<Page<T>>]| -> Vec<Id> {
        let pages = pages.iter().enumerate().filter(|(at, _)| !is_same(*at));
        let ids = pages.flat_map(|(_, page)| {
            let newer = page.newer().iter().copied();
            page.records().iter().map(Record::key).chain(newer).collect::<Vec<_>>()
        });
        ids.collect()
    };
    [changed(old), changed(new)].concat()
}

fn imports_of(pages: &[Arc<[Entry]>]) -> Vec<At> {
    pages.iter().enumerate().flat_map(|(at, page)| imports_of_page(at, page)).collect()
}

fn imports_of_page(at: usize, page: &[Entry]) -> Vec<At> {
    let entries = page.iter().enumerate();
    entries.filter_map(|(place, entry)| At::of(entry, at, place)).collect()
}
