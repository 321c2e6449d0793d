//! Writing a set whole.

use std::collections::BTreeMap;

use keyvault_core::clock::{Moment, Rng};
use keyvault_core::codec::Extensions;
use keyvault_core::crypto::{Hash, SigningKey};
use keyvault_core::identity::{FORMAT, Identity};

use super::load::SealedPage;
use super::page::{self, At, MAX_RECORDS, page_of};
use super::{
    Header, Kind, KindCount, MAX_NUMBER, MAX_PAGES, PageKeys, SignedBy, SignedHeader, SignerKind, WriteError,
    tree,
};
use crate::record::{Api, Ascending, Client, KeyRecord, NamedKey, Override, Record, Word};
use crate::{ApiId, SetId};

/// Records on a page on the average, at most: twice as many pages are made above it.
const USUAL_RECORDS: usize = 64;

/// All records of a set, in any order.
#[derive(Debug, Default)]
pub struct Content {
    pub api: Option<Api>,
    pub words: Vec<Word>,
    pub clients: Vec<Client>,
    pub keys: Vec<KeyRecord>,
    pub overrides: Vec<Override>,
    pub names: Vec<NamedKey>,
}

/// A header's fields beside roots and counts.
#[derive(Debug, Clone)]
pub struct Draft {
    pub identity: Identity,
    pub api: ApiId,
    pub set: SetId,
    pub number: u64,
    pub time: Moment,
    pub fresh_until: Option<Moment>,
    pub signer: SignerKind,
    pub extensions: Extensions,
}

/// The rows of a set, or those of them that a change replaces.
#[derive(Debug, Clone)]
pub struct Written {
    pub header: SignedHeader,
    pub pages: Vec<SealedPage<'static>>,
    /// Kinds of which there are more or fewer pages than before: all other rows of theirs go.
    pub replaced: Vec<Kind>,
}

/// Leaves and counts of a set that is being written, and the rows that are new.
pub(super) struct Rows<'a> {
    pub(super) draft: &'a Draft,
    pub(super) keys: &'a PageKeys,
    pub(super) rng: &'a dyn Rng,
    pub(super) leaves: BTreeMap<Kind, Vec<Hash>>,
    pub(super) records: BTreeMap<Kind, u32>,
    pub(super) pages: Vec<SealedPage<'static>>,
    pub(super) replaced: Vec<Kind>,
}

impl Content {
    /// Seals and signs the set.
    pub fn write(
        &self,
        draft: &Draft,
        keys: &PageKeys,
        signing: &SigningKey,
        rng: &dyn Rng,
    ) -> Result<Written, WriteError> {
        let mut rows = Rows::new(draft, keys, rng);
        rows.write_all(&self.api.iter().collect::<Vec<_>>())?;
        rows.write_all(&self.words.iter().collect::<Vec<_>>())?;
        rows.write_all(&self.clients.iter().collect::<Vec<_>>())?;
        rows.write_all(&self.keys.iter().collect::<Vec<_>>())?;
        rows.write_all(&self.overrides.iter().collect::<Vec<_>>())?;
        rows.write_all(&self.names.iter().collect::<Vec<_>>())?;
        rows.sign(signing)
    }
}

impl<'a> Rows<'a> {
    pub(super) fn new(draft: &'a Draft, keys: &'a PageKeys, rng: &'a dyn Rng) -> Self {
        Self {
            draft,
            keys,
            rng,
            leaves: BTreeMap::new(),
            records: BTreeMap::new(),
            pages: Vec::new(),
            replaced: Vec::new(),
        }
    }

    /// Writes all pages of a kind; none without records.
    pub(super) fn write_all<T: Record>(&mut self, records: &[&T]) -> Result<(), WriteError> {
        self.leaves.remove(&T::KIND);
        self.records.remove(&T::KIND);
        if records.is_empty() {
            return Ok(());
        }
        let pages = grouped(records)?;
        for (at, page) in (0_u32..).zip(&pages) {
            self.write_page(at, page)?;
        }
        self.records.insert(T::KIND, u32::try_from(records.len()).map_err(|_| WriteError::Full)?);
        Ok(())
    }

    /// Writes one page, whose records are in order.
    pub(super) fn write_page<T: Record>(&mut self, page: u32, records: &[&T]) -> Result<(), WriteError> {
        if !records.iter().all(|record| record.is_valid()) {
            return Err(WriteError::Invalid);
        }
        if !records.is_sorted_by(|left, right| left.key() < right.key()) {
            return Err(WriteError::Twice);
        }
        let kind = T::KIND;
        let key = self.keys.get(kind).ok_or(WriteError::NoKey(kind as u8))?;
        let at = At { identity: &self.draft.identity, set: &self.draft.set, kind, page };
        let sealed = page::seal(at, key, records, self.rng)?;
        self.keep_page(kind, page, sealed);
        Ok(())
    }

    /// Enters a sealed page, over the one with its number or as the next.
    pub(super) fn keep_page(&mut self, kind: Kind, page: u32, sealed: Vec<u8>) {
        let leaf = tree::leaf(&self.draft.set, kind, page, &sealed);
        let leaves = self.leaves.entry(kind).or_default();
        match leaves.get_mut(usize::try_from(page).unwrap_or(usize::MAX)) {
            Some(place) => *place = leaf,
            None => leaves.push(leaf),
        }
        self.pages.push(SealedPage { kind: kind as u8, page, sealed: sealed.into() });
    }

    pub(super) fn sign(self, signing: &SigningKey) -> Result<Written, WriteError> {
        let draft = self.draft;
        if draft.number >= MAX_NUMBER {
            return Err(WriteError::Number);
        }
        let set = &draft.set;
        let counts = self.leaves.iter().map(|(kind, leaves)| KindCount {
            kind: *kind,
            pages: u32::try_from(leaves.len()).unwrap_or(u32::MAX),
            records: self.records.get(kind).copied().unwrap_or(0),
        });
        let others = self.leaves.iter().filter(|(kind, _)| **kind != Kind::Names);
        let header = Header {
            format: FORMAT,
            identity: draft.identity,
            api: draft.api,
            set: *set,
            number: draft.number,
            root: tree::root(set, others.map(|(kind, leaves)| (*kind, leaves.as_slice()))),
            names: self.leaves.get(&Kind::Names).and_then(|leaves| tree::top(set, Kind::Names, leaves)),
            kinds: Ascending::of(counts),
            time: draft.time,
            fresh_until: draft.fresh_until,
            signer: SignedBy { kind: draft.signer, id: signing.signer().id() },
            extensions: draft.extensions.clone(),
        };
        let header = SignedHeader::sign(&header, signing);
        Ok(Written { header, pages: self.pages, replaced: self.replaced })
    }
}

/// The records by their pages, in order. As many pages as the average asks for, and more if chance filled one too far.
fn grouped<'r, T: Record>(records: &[&'r T]) -> Result<Vec<Vec<&'r T>>, WriteError> {
    let mut pages = records.len().div_ceil(USUAL_RECORDS).next_power_of_two();
    loop {
        let count = u32::try_from(pages).ok().filter(|count| *count <= MAX_PAGES).ok_or(WriteError::Full)?;
        if pages > records.len().next_power_of_two() {
            return Err(WriteError::Full);
        }
        let mut groups = vec![Vec::new(); pages];
        for record in records {
            let at = usize::try_from(page_of::<T>(&record.key(), count)).unwrap_or(usize::MAX);
            if let Some(group) = groups.get_mut(at) {
                group.push(*record);
            }
        }
        if groups.iter().all(|group| group.len() <= MAX_RECORDS) {
            for group in &mut groups {
                group.sort_by_key(|record| record.key());
            }
            return Ok(groups);
        }
        pages *= 2;
    }
}

/// True if so many pages are enough for so many records.
pub(super) fn fits(records: usize, pages: usize) -> bool {
    records <= pages.saturating_mul(USUAL_RECORDS)
}
