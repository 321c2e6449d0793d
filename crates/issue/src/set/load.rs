//! A set in memory: opened pages whose sealed texts have the signed root.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use keyvault_core::crypto::{Hash, SealingKey};
use keyvault_core::name::KeyName;

use super::page::{At, By, Found, MAX_PAGE, Page, Rules, page_of};
use super::{Kind, PageKeys, SetError, VerifiedHeader, tree};
use crate::record::{Api, Client, KeyRecord, Mark, NamedKey, Override, Record, Word};

/// A row of a page, as it is stored.
#[derive(Debug, Clone)]
pub struct SealedPage<'a> {
    /// The number of a [`Kind`].
    pub kind: u8,
    pub page: u32,
    pub sealed: Cow<'a, [u8]>,
}

/// A generation of a set: immutable, and shared with the next one page by page.
#[derive(Debug, Clone)]
pub struct LoadedSet {
    header: VerifiedHeader,
    /// Of each page of each kind, in order: what a delta is held against.
    pub(super) leaves: BTreeMap<Kind, Vec<Hash>>,
    opened: Opened,
}

/// The pages of each kind that there was a key for.
#[derive(Debug, Clone, Default)]
struct Opened {
    api: Pages<Api>,
    words: Pages<Word>,
    clients: Pages<Client>,
    keys: Pages<KeyRecord>,
    overrides: Pages<Override>,
    names: Pages<NamedKey>,
}

type Pages<T> = Vec<Arc<Page<T>>>;

impl LoadedSet {
    /// Opens a whole set. The pages come in the order of kinds and of their numbers, as the table has them.
    ///
    /// Nothing is handed out unless all pages of the header are there, have as many records as it says, and together the
    /// root that was signed. Pages that there is no key for are hashed and stay closed; names without a key are skipped.
    pub fn load<'a>(
        header: VerifiedHeader,
        keys: &PageKeys,
        pages: impl IntoIterator<Item = SealedPage<'a>>,
    ) -> Result<Self, SetError> {
        let mut set = Self { header, leaves: BTreeMap::new(), opened: Opened::default() };
        let names = keys.get(Kind::Names).is_some();
        let mut pages = pages.into_iter().filter(|page| names || page.kind != Kind::Names as u8);
        for kind in Kind::ALL.into_iter().filter(|kind| names || *kind != Kind::Names) {
            let (count, records) = set.header.header().count(kind);
            let mut read = 0_u32;
            for page in 0..count {
                let sealed = pages
                    .next()
                    .filter(|next| (next.kind, next.page) == (kind as u8, page))
                    .ok_or(SetError::PageMissing { kind: kind as u8, page })?;
                read = read.saturating_add(set.put(kind, page, keys, &sealed.sealed)?);
                if read > records {
                    return Err(SetError::Count);
                }
            }
            if keys.get(kind).is_some() && read != records {
                return Err(SetError::Count);
            }
        }
        if pages.next().is_some() {
            return Err(SetError::PageExtra);
        }
        set.is_as_signed(names)?;
        Ok(set)
    }

    /// The next generation: this one with some pages replaced. That those were all is not believed of anyone: the root
    /// shows it. If it differs, or the number of pages does, the set has to be loaded whole; so it has with a key that this
    /// one was not loaded with, or without one that it was: pages would be missing, or stay as they were.
    pub fn follow<'a>(
        &self,
        header: VerifiedHeader,
        keys: &PageKeys,
        changed: impl IntoIterator<Item = SealedPage<'a>>,
    ) -> Result<Self, SetError> {
        let (own, next) = (self.header.header(), header.header());
        let pages = |kind: Kind| (own.count(kind).0, next.count(kind).0);
        if own.set != next.set || Kind::ALL.into_iter().any(|kind| pages(kind).0 != pages(kind).1) {
            return Err(SetError::LoadWhole);
        }
        if next.number < own.number {
            return Err(SetError::Older);
        }
        let is_open = |kind: Kind| self.opened.count(kind).is_some();
        let has_key = |kind: Kind| keys.get(kind).is_some() && pages(kind).0 > 0;
        if Kind::ALL.into_iter().any(|kind| is_open(kind) != has_key(kind)) {
            return Err(SetError::LoadWhole);
        }
        let mut set = Self { header, ..self.clone() };
        for page in changed {
            let kind = Kind::of(page.kind).ok_or(SetError::PageExtra)?;
            if kind == Kind::Names && !set.leaves.contains_key(&kind) {
                continue;
            }
            if page.page >= set.header.header().count(kind).0 {
                return Err(SetError::PageExtra);
            }
            set.put(kind, page.page, keys, &page.sealed)?;
        }
        let names = set.leaves.contains_key(&Kind::Names);
        set.is_as_signed(names).map_err(|_| SetError::LoadWhole)?;
        for kind in Kind::ALL {
            let (_, records) = set.header.header().count(kind);
            if set.opened.count(kind).is_some_and(|count| count != records) {
                return Err(SetError::Count);
            }
        }
        Ok(set)
    }

    /// The API's record alone, out of an owner's set whose pages are not held against the root: whoever has the API's key can
    /// have made it. For a hint.
    #[must_use]
    pub fn glance(header: &VerifiedHeader, keys: &PageKeys, page: &SealedPage<'_>) -> Option<Api> {
        let (set, kind) = (&header.header().set, Kind::Api);
        let at = At { identity: &header.header().identity, set, kind, page: 0 };
        let rules = Rules { pages: 1, by: By::Owner, mark: None };
        Page::open(at, keys.get(kind)?, rules, &page.sealed).ok()?.into_first()
    }

    /// The page that a name is on, if it is in the set.
    #[must_use]
    pub fn page_of_name(header: &VerifiedHeader, name: &KeyName) -> Option<u32> {
        let (pages, _) = header.header().count(Kind::Names);
        (pages > 0).then(|| page_of::<NamedKey>(name, pages))
    }

    /// A name's entry out of its page, which is not held against the root: whoever has the key of names can have made it.
    #[must_use]
    pub fn glance_at_name(
        header: &VerifiedHeader,
        key: &SealingKey,
        page: &SealedPage<'_>,
        name: &KeyName,
    ) -> Option<NamedKey> {
        let header = header.header();
        let (set, kind) = (&header.set, Kind::Names);
        let at = At { identity: &header.identity, set, kind, page: page.page };
        let rules = Rules { pages: header.count(kind).0, by: By::Owner, mark: None };
        match Page::<NamedKey>::open(at, key, rules, &page.sealed).ok()?.find(name) {
            Found::Record(entry) => Some(entry.clone()),
            Found::Newer | Found::Absent => None,
        }
    }

    /// Takes in one page; says how many records it has.
    fn put(&mut self, kind: Kind, page: u32, keys: &PageKeys, sealed: &[u8]) -> Result<u32, SetError> {
        if sealed.len() > MAX_PAGE {
            return Err(SetError::PageLong { kind: kind as u8, page });
        }
        let header = self.header.header();
        let leaf = tree::leaf(&header.set, kind, page, sealed);
        put_at(self.leaves.entry(kind).or_default(), page, leaf);
        let Some(key) = keys.get(kind) else { return Ok(0) };
        let at = At { identity: &header.identity, set: &header.set, kind, page };
        let rules = Rules { pages: header.count(kind).0, by: self.header.by(), mark: self.mark() };
        match kind {
            Kind::Api => {
                let opened: Page<Api> = Page::open(at, key, rules, sealed)?;
                let api = opened.records().first().ok_or(SetError::ApiNewer)?;
                if api.must_be_known().is_some() {
                    return Err(SetError::ApiNewer);
                }
                if api.id != header.api {
                    return Err(SetError::malformed(kind, page));
                }
                Ok(keep(&mut self.opened.api, page, opened))
            }
            Kind::Words => Ok(keep(&mut self.opened.words, page, Page::open(at, key, rules, sealed)?)),
            Kind::Clients => Ok(keep(&mut self.opened.clients, page, Page::open(at, key, rules, sealed)?)),
            Kind::Keys => Ok(keep(&mut self.opened.keys, page, Page::open(at, key, rules, sealed)?)),
            Kind::Overrides => {
                Ok(keep(&mut self.opened.overrides, page, Page::open(at, key, rules, sealed)?))
            }
            Kind::Names => Ok(keep(&mut self.opened.names, page, Page::open(at, key, rules, sealed)?)),
        }
    }

    fn is_as_signed(&self, names: bool) -> Result<(), SetError> {
        let header = self.header.header();
        let others = self.leaves.iter().filter(|(kind, _)| **kind != Kind::Names);
        if tree::root(&header.set, others.map(|(kind, leaves)| (*kind, leaves.as_slice()))) != header.root {
            return Err(SetError::Root);
        }
        let leaves = self.leaves.get(&Kind::Names).map(Vec::as_slice).unwrap_or_default();
        if names && tree::top(&header.set, Kind::Names, leaves) != header.names {
            return Err(SetError::NamesRoot);
        }
        Ok(())
    }

    /// The mark that the set's own ids have: an issuer's is in its bounds, the owner's in the API's record, which is read
    /// before any id.
    #[must_use]
    pub fn mark(&self) -> Option<Mark> {
        match self.header.by() {
            By::Owner => self.api().map(|api| api.mark),
            By::Issuer => self.header.mark(),
        }
    }

    #[must_use]
    pub fn header(&self) -> &VerifiedHeader {
        &self.header
    }

    /// The API's record: there in every owner's set that was opened with the API's key.
    #[must_use]
    pub fn api(&self) -> Option<&Api> {
        self.opened.api.first()?.records().first()
    }

    #[must_use]
    pub fn word(&self, number: u32) -> Found<'_, Word> {
        find(&self.opened.words, &number)
    }

    #[must_use]
    pub fn client(&self, id: &crate::record::Id) -> Found<'_, Client> {
        find(&self.opened.clients, id)
    }

    #[must_use]
    pub fn key(&self, id: &crate::record::Id) -> Found<'_, KeyRecord> {
        find(&self.opened.keys, id)
    }

    #[must_use]
    pub fn r#override(&self, id: &crate::record::Id) -> Found<'_, Override> {
        find(&self.opened.overrides, id)
    }

    #[must_use]
    pub fn name(&self, name: &KeyName) -> Found<'_, NamedKey> {
        find(&self.opened.names, name)
    }

    pub fn words(&self) -> impl Iterator<Item = &Word> {
        self.opened.words.iter().flat_map(|page| page.records())
    }

    pub fn clients(&self) -> impl Iterator<Item = &Client> {
        self.opened.clients.iter().flat_map(|page| page.records())
    }

    pub fn keys(&self) -> impl Iterator<Item = &KeyRecord> {
        self.opened.keys.iter().flat_map(|page| page.records())
    }

    pub fn overrides(&self) -> impl Iterator<Item = &Override> {
        self.opened.overrides.iter().flat_map(|page| page.records())
    }

    /// The set without its keys' records, for a verifier that has made a [`crate::snapshot::Snapshot`] of them: it knows the
    /// sealed texts by their hashes, and can follow. No key is found in it but those on pages that came since.
    #[must_use]
    pub fn without_keys(mut self) -> Self {
        for page in &mut self.opened.keys {
            *page = Arc::new(page.without_records());
        }
        self
    }

    pub(crate) fn key_pages(&self) -> &[Arc<Page<KeyRecord>>] {
        &self.opened.keys
    }

    pub(crate) fn client_pages(&self) -> &[Arc<Page<Client>>] {
        &self.opened.clients
    }

    pub(crate) fn override_pages(&self) -> &[Arc<Page<Override>>] {
        &self.opened.overrides
    }

    /// The hashes of all pages of a kind: equal ones are of one text.
    pub(crate) fn leaves(&self, kind: Kind) -> &[Hash] {
        self.leaves.get(&kind).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn newer_keys(&self) -> impl Iterator<Item = crate::record::Id> {
        self.opened.keys.iter().flat_map(|page| page.newer().iter().copied())
    }

    pub(super) fn newer_clients(&self) -> impl Iterator<Item = crate::record::Id> {
        self.opened.clients.iter().flat_map(|page| page.newer().iter().copied())
    }

    pub(super) fn newer_overrides(&self) -> impl Iterator<Item = crate::record::Id> {
        self.opened.overrides.iter().flat_map(|page| page.newer().iter().copied())
    }

    pub fn names(&self) -> impl Iterator<Item = &NamedKey> {
        self.opened.names.iter().flat_map(|page| page.records())
    }

    /// How many records of an issuer are refused because they are none, are on another page, or have another mark.
    #[must_use]
    pub fn unreadable(&self) -> u32 {
        let clients = self.opened.clients.iter().map(|page| page.unreadable());
        clients.chain(self.opened.keys.iter().map(|page| page.unreadable())).sum()
    }
}

/// Pages of one kind, for whoever writes the next generation.
pub(super) trait PagesOf<T: Record> {
    fn pages(&self) -> &[Arc<Page<T>>];
}

macro_rules! pages_of {
    ($($type:ty: $field:ident),*) => {
        $(impl PagesOf<$type> for LoadedSet {
            fn pages(&self) -> &[Arc<Page<$type>>] {
                &self.opened.$field
            }
        })*
    };
}

pages_of!(Api: api, Word: words, Client: clients, KeyRecord: keys, Override: overrides, NamedKey: names);

impl Opened {
    /// Records of a kind; `None` if no page of it was opened.
    fn count(&self, kind: Kind) -> Option<u32> {
        fn sum<T: Record>(pages: &Pages<T>) -> Option<u32> {
            (!pages.is_empty()).then(|| pages.iter().map(|page| page.count()).sum())
        }
        match kind {
            Kind::Api => sum(&self.api),
            Kind::Words => sum(&self.words),
            Kind::Clients => sum(&self.clients),
            Kind::Keys => sum(&self.keys),
            Kind::Overrides => sum(&self.overrides),
            Kind::Names => sum(&self.names),
        }
    }
}

/// Puts a page where it belongs; says how many records it has.
fn keep<T: Record>(pages: &mut Pages<T>, page: u32, opened: Page<T>) -> u32 {
    let count = opened.count();
    put_at(pages, page, Arc::new(opened));
    count
}

/// Replaces an element, or appends the next one.
fn put_at<T>(list: &mut Vec<T>, at: u32, value: T) {
    let at = usize::try_from(at).unwrap_or(usize::MAX);
    match list.get_mut(at) {
        Some(place) => *place = value,
        None => list.push(value),
    }
}

fn find<'a, T: Record>(pages: &'a Pages<T>, key: &T::Key) -> Found<'a, T> {
    let count = u32::try_from(pages.len()).unwrap_or(0);
    let at = usize::try_from(page_of::<T>(key, count)).unwrap_or(usize::MAX);
    pages.get(at).map_or(Found::Absent, |page| page.find(key))
}
