//! A set on its way into another epoch.

use keyvault_core::clock::Rng;
use keyvault_core::crypto::SigningKey;

use super::content::Rows;
use super::page::{self, At};
use super::{Draft, LoadedSet, PageKeys, SealedPage, SetError, WriteError, Written, tree};

impl LoadedSet {
    /// Seals the set again, for a rekey: page by page and byte for byte, so that records of later versions come along. The
    /// pages are the rows that the set was loaded from; each is held against its leaf. The new header is by `draft`.
    pub fn reseal<'a>(
        &self,
        pages: impl IntoIterator<Item = SealedPage<'a>>,
        old: &PageKeys,
        draft: &Draft,
        new: &PageKeys,
        signing: &SigningKey,
        rng: &dyn Rng,
    ) -> Result<Written, WriteError> {
        let header = self.header().header();
        let mut rows = Rows::new(draft, new, rng);
        let mut pages = pages.into_iter();
        for count in &*header.kinds {
            let kind = count.kind;
            let no_key = WriteError::NoKey(kind as u8);
            let (old_key, new_key) = old.get(kind).zip(new.get(kind)).ok_or(no_key)?;
            let known = self.leaves.get(&kind).ok_or(no_key)?;
            for (page, known) in (0..count.pages).zip(known) {
                let other = SetError::PageMissing { kind: kind as u8, page };
                let row =
                    pages.next().filter(|row| (row.kind, row.page) == (kind as u8, page)).ok_or(other)?;
                if tree::leaf(&header.set, kind, page, &row.sealed) != *known {
                    return Err(other.into());
                }
                let from = At { identity: &header.identity, set: &header.set, kind, page };
                let to = At { identity: &draft.identity, set: &draft.set, kind, page };
                rows.keep_page(kind, page, page::reseal(from, old_key, to, new_key, &row.sealed, rng)?);
            }
            rows.records.insert(kind, count.records);
        }
        rows.sign(signing)
    }
}
