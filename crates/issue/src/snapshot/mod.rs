//! All keys of an API as a verifier looks them up: immutable, 64 bytes a key and a little, shared page by page with the
//! next generation.
//!
//! ```text
//! id ─ mark → set ─ lowest bits of the number → page ─ its other bits → entry: hash, times, state ─→ terms
//! hash of an imported key ─ its first 8 bytes → (page, place)
//! ```
//!
//! The pages are those of the signed set, so a changed page is a changed page here. [`Terms`] are all that many keys have in
//! common: scopes, limits, client, restrictions. Each is there once.
//!
//! A snapshot is made of verified [`Sets`] alone. It knows no time: an expiry is looked at when a request comes.

mod build;
mod entry;
mod imports;
mod restrictions;
mod table;
mod terms;

pub use build::LoadWhole;
pub use entry::{Algorithm, Entry, Fixed};
pub use restrictions::{Asked, Restriction};
pub use terms::{QuotaTerm, RateTerm, Terms, limit_tag};

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use keyvault_core::crypto::Hash;

use crate::record::{Id, Mark};
use crate::set::Found as InSet;
use crate::standing::{Place, Sets};

use self::imports::Imports;

/// Where keys are looked up: a [`Snapshot`], or a store on a network that keeps what it fetched.
pub trait Records: Send + Sync {
    /// The key with an id, if the set that its mark names has it and its text is one of ours.
    fn by_id(&self, id: &Id) -> Found<'_>;

    /// The imported key with a hash, of the whole text for SHA-256 and cut to its first 32 bytes for SHA-512.
    fn by_hash(&self, algorithm: Algorithm, hash: &Hash) -> Found<'_>;

    /// True if there may be keys of that kind: if not, nothing has to be hashed for them.
    fn has(&self, algorithm: Algorithm) -> bool;
}

/// The result of looking a key up.
#[derive(Debug, Clone, Copy)]
pub enum Found<'a> {
    Known(Known<'a>),
    Unknown,
    /// The set that would have it is not there: no verdict.
    Unavailable,
}

/// A key that is there. Nothing of it says that anyone proved to have it.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    pub entry: &'a Entry,
    pub terms: &'a Terms,
}

/// One key, looked up in the sets by itself: for records that are kept in another way than a [`Snapshot`]'s.
#[derive(Debug)]
pub struct Single {
    entry: Entry,
    terms: Terms,
}

/// See the [module](self).
#[derive(Clone)]
pub struct Snapshot {
    /// By their marks.
    parts: Vec<Part>,
    terms: Arc<[Arc<Terms>]>,
    /// The place in `terms` of what a record says, encoded.
    interned: Arc<HashMap<Box<[u8]>, u32>>,
    imports: Imports,
    /// Hashes of the headers that it was made of.
    headers: Vec<Hash>,
    /// Terms when it was built whole. Edits leave some behind that no key has any more.
    built_terms: usize,
}

/// The keys of one set.
#[derive(Clone)]
struct Part {
    mark: Mark,
    /// A power of two, or 0.
    pages: Vec<Arc<[Entry]>>,
    is_there: bool,
}

impl Single {
    /// `None` if there is no such key, or its set is not there.
    #[must_use]
    pub fn of(sets: &Sets, id: &Id) -> Option<Self> {
        let set = match sets.place(id.mark()) {
            Place::Owners => sets.owner(),
            Place::Issuers(_, set) => set,
            Place::Unavailable | Place::Unknown => return None,
        };
        let InSet::Record(key) = set.key(id) else { return None };
        Some(Self {
            entry: build::entry(sets, key, 0),
            terms: Terms::of(sets, terms::model(key)?, &mut terms::ScopeSets::new())?,
        })
    }

    #[must_use]
    pub fn known(&self) -> Known<'_> {
        Known { entry: &self.entry, terms: &self.terms }
    }
}

impl Snapshot {
    /// How many keys it has, imported ones among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries().count()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries().next().is_none()
    }

    /// All keys, in no order.
    pub fn keys(&self) -> impl Iterator<Item = Known<'_>> {
        self.entries().filter_map(|entry| self.known(entry))
    }

    /// Bytes that it takes, by the sizes of its parts; shared ones are counted in full.
    #[must_use]
    pub fn size(&self) -> usize {
        // The counts of an `Arc` take a line of their own before entries.
        let page = |page: &Arc<[Entry]>| size_of::<Arc<[Entry]>>() + 64 + size_of_val(&**page);
        let pages: usize = self.parts.iter().flat_map(|part| part.pages.iter()).map(page).sum();
        let terms: usize = self.terms.iter().map(|terms| size_of::<Arc<Terms>>() + 16 + terms.size()).sum();
        // A hash map has up to twice the places, each with a byte of its own.
        let place = 2 * (size_of::<(Box<[u8]>, u32)>() + 1);
        let interned: usize = self.interned.keys().map(|key| key.len() + place).sum();
        size_of::<Self>() + pages + terms + interned + self.imports.size()
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        let pages = self.parts.iter().flat_map(|part| part.pages.iter());
        pages.flat_map(|page| page.iter()).filter(|entry| !entry.is_empty())
    }

    fn known<'a>(&'a self, entry: &'a Entry) -> Option<Known<'a>> {
        let terms = self.terms.get(usize::try_from(entry.terms).ok()?)?;
        Some(Known { entry, terms })
    }

    fn part(&self, mark: Mark) -> Option<&Part> {
        let at = self.parts.binary_search_by_key(&mark, |part| part.mark).ok()?;
        self.parts.get(at)
    }
}

impl Records for Snapshot {
    fn by_id(&self, id: &Id) -> Found<'_> {
        let Some(part) = self.part(id.mark()) else { return Found::Unknown };
        if !part.is_there {
            return Found::Unavailable;
        }
        let known = part.find(id).and_then(|entry| self.known(entry));
        known.map_or(Found::Unknown, Found::Known)
    }

    fn by_hash(&self, algorithm: Algorithm, hash: &Hash) -> Found<'_> {
        for at in self.imports.find(hash) {
            let part = self.part(at.mark);
            let entry = part.and_then(|part| part.pages.get(at.page())?.get(at.place()));
            // The index is public, so to find the entry by all of the hash tells nothing that its first bytes did not.
            let entry = entry.filter(|entry| entry.algorithm == algorithm && entry.is_proved_by(hash));
            if let Some(known) = entry.and_then(|entry| self.known(entry)) {
                return Found::Known(known);
            }
        }
        Found::Unknown
    }

    fn has(&self, algorithm: Algorithm) -> bool {
        match algorithm {
            Algorithm::ImportedSha256 | Algorithm::ImportedSha512 => self.imports.has(algorithm),
            Algorithm::None | Algorithm::Own => true,
        }
    }
}

impl Part {
    fn find(&self, id: &Id) -> Option<&Entry> {
        let number = id.number();
        let mask = self.pages.len().checked_sub(1)?;
        // Only the lowest bits count, and those fit.
        let at = usize::try_from(number & u64::try_from(mask).unwrap_or(0)).unwrap_or(0);
        table::find(self.pages.get(at)?, id, number)
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("keys", &self.len())
            .field("terms", &self.terms.len())
            .finish_non_exhaustive()
    }
}
