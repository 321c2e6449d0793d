//! One page: records under one seal.

use keyvault_core::clock::Rng;
use keyvault_core::codec::{decode, encode, encode_secret, pad, take_bytes, unpad};
use keyvault_core::crypto::{self, SealingKey};
use keyvault_core::identity::{Identity, Place};
use keyvault_core::secret::SecretWriter;

use super::{Kind, SetError, WriteError};
use crate::SetId;
use crate::record::{Mark, Record};

/// Most records on a page.
pub const MAX_RECORDS: usize = 128;
/// Longest sealed page, in bytes.
pub const MAX_PAGE: usize = 1024 * 1024;

const LABEL: &str = "keyvault set page";

/// A page's place, to which its seal is bound.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) identity: &'a Identity,
    pub(super) set: &'a SetId,
    pub(super) kind: Kind,
    pub(super) page: u32,
}

/// Rules for the records of a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// Pages of the kind.
    pub(super) pages: u32,
    pub(super) by: By,
    /// The set's mark; `None` to a reader who does not have it.
    pub(super) mark: Option<Mark>,
}

/// On whose word a record is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// A record that is wrong refuses the set: the owner's own program wrote it.
    Owner,
    /// A record that is wrong, or has any field that is not known, is refused; the others go on.
    Issuer,
}

/// A page's records, in the order of their keys.
#[derive(Debug)]
pub struct Page<T: Record> {
    records: Box<[T]>,
    /// Keys of records that have a field which must be known, and is not.
    newer: Box<[T::Key]>,
    /// How many records are none, or not of this page or set.
    unreadable: u32,
    /// How many records are not kept, because a snapshot has them.
    dropped: u32,
}

/// The result of looking a key up.
#[derive(Debug)]
pub enum Found<'a, T> {
    Record(&'a T),
    /// A record that a later version wrote: it counts as one that narrows.
    Newer,
    Absent,
}

impl<T: Record> Page<T> {
    #[must_use]
    pub fn records(&self) -> &[T] {
        &self.records
    }

    pub(super) fn into_first(self) -> Option<T> {
        self.records.into_iter().next()
    }

    #[must_use]
    pub fn newer(&self) -> &[T::Key] {
        &self.newer
    }

    #[must_use]
    pub fn unreadable(&self) -> u32 {
        self.unreadable
    }

    /// All records, those that are refused as well.
    pub(super) fn count(&self) -> u32 {
        let known = self.records.len() + self.newer.len();
        u32::try_from(known).unwrap_or(u32::MAX).saturating_add(self.unreadable).saturating_add(self.dropped)
    }

    pub(crate) fn without_records(&self) -> Self {
        let dropped = self.count().saturating_sub(self.unreadable);
        Self { records: Box::default(), newer: Box::default(), unreadable: self.unreadable, dropped }
    }

    /// True if all its records are there.
    pub(crate) fn is_whole(&self) -> bool {
        self.dropped == 0
    }

    pub(super) fn find(&self, key: &T::Key) -> Found<'_, T> {
        match self.records.binary_search_by(|record| record.key().cmp(key)) {
            Ok(at) => self.records.get(at).map_or(Found::Absent, Found::Record),
            Err(_) if self.newer.contains(key) => Found::Newer,
            Err(_) => Found::Absent,
        }
    }

    /// Opens a page in its place.
    pub(super) fn open(at: At<'_>, key: &SealingKey, rules: Rules, sealed: &[u8]) -> Result<Self, SetError> {
        let plain = crypto::open(key, LABEL, &at.context(), sealed)
            .map_err(|_| SetError::PageSeal { kind: at.kind as u8, page: at.page })?;
        let malformed = || SetError::malformed(at.kind, at.page);
        let content = unpad(&plain).map_err(|_| malformed())?;
        Self::decode(content, at.page, rules).ok_or_else(malformed)
    }

    fn decode(content: &[u8], page: u32, rules: Rules) -> Option<Self> {
        let (count, mut rest) = content.split_first_chunk()?;
        let count = usize::try_from(u32::from_le_bytes(*count)).ok().filter(|count| *count <= MAX_RECORDS)?;
        let mut records: Vec<T> = Vec::with_capacity(count);
        let (mut newer, mut unreadable) = (Vec::new(), 0);
        let mut before = None;
        for _ in 0..count {
            let bytes = take_bytes(&mut rest).ok()?;
            let record = decode::<T>(bytes).ok().filter(|record| belongs(record, page, rules));
            let Some(record) = record else {
                if rules.by == By::Owner {
                    return None;
                }
                unreadable += 1;
                continue;
            };
            let key = record.key();
            if before.as_ref().is_some_and(|before| *before >= key) {
                return None;
            }
            let unknown = match rules.by {
                By::Owner => record.extensions().must_be_known(),
                By::Issuer => record.extensions().first(),
            };
            before = Some(key.clone());
            if unknown.is_some() {
                newer.push(key);
            } else {
                records.push(record);
            }
        }
        rest.is_empty().then(|| Self { records: records.into(), newer: newer.into(), unreadable, dropped: 0 })
    }
}

/// True if a record keeps its rules, and is in the right set and on the right page.
fn belongs<T: Record>(record: &T, page: u32, rules: Rules) -> bool {
    let key = record.key();
    let own_mark = match (T::mark(&key), rules.mark) {
        (Some(own), Some(sets)) => own == sets,
        _ => true,
    };
    own_mark && page_of::<T>(&key, rules.pages) == page && record.is_valid()
}

/// The page of a key among `pages`, a power of two.
pub(super) fn page_of<T: Record>(key: &T::Key, pages: u32) -> u32 {
    let mask = u64::from(pages.saturating_sub(1));
    // The mask has at most 32 bits.
    u32::try_from(T::place(key) & mask).unwrap_or(0)
}

/// Seals records as a page. They are sorted by whoever hands them in.
pub(super) fn seal<T: Record>(
    at: At<'_>,
    key: &SealingKey,
    records: &[&T],
    rng: &dyn Rng,
) -> Result<Vec<u8>, WriteError> {
    let encoded: Vec<_> = records
        .iter()
        .map(|record| encode_secret(*record))
        .collect::<Result<_, _>>()
        .map_err(|_| WriteError::Full)?;
    let len = 4 + encoded.iter().map(|record| 4 + record.len()).sum::<usize>();
    let mut content = SecretWriter::with_capacity(len);
    let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
    let mut push = |bytes: &[u8]| content.push(bytes).map_err(|_| WriteError::Full);
    push(&count(encoded.len()))?;
    for record in &encoded {
        push(&count(record.len()))?;
        push(record.expose())?;
    }
    let padded = pad(content.finish().expose()).map_err(|_| WriteError::Full)?;
    let sealed = crypto::seal(key, LABEL, &at.context(), padded.expose(), rng)?;
    if records.len() > MAX_RECORDS || sealed.len() > MAX_PAGE { Err(WriteError::Full) } else { Ok(sealed) }
}

/// Seals the content of a page for another place, unread.
pub(super) fn reseal(
    from: At<'_>,
    old: &SealingKey,
    to: At<'_>,
    new: &SealingKey,
    sealed: &[u8],
    rng: &dyn Rng,
) -> Result<Vec<u8>, WriteError> {
    let plain = crypto::open(old, LABEL, &from.context(), sealed)
        .map_err(|_| SetError::PageSeal { kind: from.kind as u8, page: from.page })?;
    Ok(crypto::seal(new, LABEL, &to.context(), plain.expose(), rng)?)
}

impl At<'_> {
    fn context(&self) -> Vec<u8> {
        let row = encode(&(self.set, self.kind, self.page));
        self.identity.context(&Place {
            table: "issued_page",
            row: &row,
            version: 0,
            field: "sealed",
            revision: 0,
            bound: &[],
        })
    }
}
