//! The index of imported keys by the first 8 bytes of their hashes.

use std::sync::Arc;

use keyvault_core::crypto::Hash;

use super::Algorithm;
use super::entry::Entry;
use crate::record::Mark;

/// Keys in a bucket on the average, at most.
const USUAL: usize = 64;
const MAX_BUCKETS: usize = 1 << 16;

/// Buckets by the first bits of a hash. Hashes are as good as random, and only the owner imports.
#[derive(Clone)]
pub(super) struct Imports {
    /// A power of two.
    buckets: Vec<Arc<[At]>>,
    /// Keys of each algorithm.
    sha256: usize,
    sha512: usize,
}

/// The place of an imported key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    first: u64,
    page: u32,
    place: u8,
    sha512: bool,
    pub(super) mark: Mark,
}

impl At {
    /// `None` for a key that is not imported.
    pub(super) fn of(entry: &Entry, page: usize, place: usize) -> Option<Self> {
        let sha512 = match entry.algorithm {
            Algorithm::ImportedSha256 => false,
            Algorithm::ImportedSha512 => true,
            Algorithm::None | Algorithm::Own => return None,
        };
        Some(Self {
            first: first(&entry.hash),
            page: u32::try_from(page).ok()?,
            place: u8::try_from(place).ok()?,
            sha512,
            mark: entry.id.mark(),
        })
    }

    pub(super) fn page(&self) -> usize {
        usize::try_from(self.page).unwrap_or(usize::MAX)
    }

    pub(super) fn place(&self) -> usize {
        usize::from(self.place)
    }
}

impl Imports {
    pub(super) fn of(all: Vec<At>) -> Self {
        let count = all.len().div_ceil(USUAL).next_power_of_two().min(MAX_BUCKETS);
        let mut buckets = vec![Vec::new(); count];
        let sha512 = all.iter().filter(|at| at.sha512).count();
        let sha256 = all.len() - sha512;
        for at in all {
            if let Some(bucket) = buckets.get_mut(bucket_of(at.first, count)) {
                bucket.push(at);
            }
        }
        Self { buckets: buckets.into_iter().map(Arc::from).collect(), sha256, sha512 }
    }

    /// The index with some places taken out and others put in.
    pub(super) fn change(&mut self, old: &[At], new: &[At]) {
        let sha512 = |list: &[At]| list.iter().filter(|at| at.sha512).count();
        self.sha512 = (self.sha512 + sha512(new)).saturating_sub(sha512(old));
        self.sha256 = (self.sha256 + new.len() - sha512(new)).saturating_sub(old.len() - sha512(old));
        let count = self.buckets.len();
        let mut touched: Vec<_> = old.iter().chain(new).map(|at| bucket_of(at.first, count)).collect();
        touched.sort_unstable();
        touched.dedup();
        for place in touched {
            let Some(bucket) = self.buckets.get_mut(place) else { continue };
            let kept = bucket.iter().filter(|at| !old.contains(at));
            let added = new.iter().filter(|at| bucket_of(at.first, count) == place);
            *bucket = kept.chain(added).copied().collect();
        }
    }

    /// Keys whose hash begins as this one does.
    pub(super) fn find(&self, hash: &Hash) -> impl Iterator<Item = &At> {
        let wanted = first(hash);
        let bucket = self.buckets.get(bucket_of(wanted, self.buckets.len()));
        bucket.into_iter().flat_map(|bucket| bucket.iter()).filter(move |at| at.first == wanted)
    }

    pub(super) fn has(&self, algorithm: Algorithm) -> bool {
        match algorithm {
            Algorithm::ImportedSha256 => self.sha256 > 0,
            Algorithm::ImportedSha512 => self.sha512 > 0,
            Algorithm::None | Algorithm::Own => false,
        }
    }

    pub(super) fn size(&self) -> usize {
        self.buckets.iter().map(|bucket| size_of::<Arc<[At]>>() + 16 + size_of_val(&**bucket)).sum()
    }
}

fn first(hash: &Hash) -> u64 {
    hash.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

fn bucket_of(first: u64, buckets: usize) -> usize {
    let mask = u64::try_from(buckets.saturating_sub(1)).unwrap_or(0);
    usize::try_from(first & mask).unwrap_or(0)
}
