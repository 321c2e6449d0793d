//! Writing the next generation of a set: only the pages that differ are sealed again.

use std::collections::{BTreeMap, BTreeSet};

use keyvault_core::clock::Rng;
use keyvault_core::crypto::SigningKey;
use keyvault_core::name::KeyName;

use super::content::{Rows, fits};
use super::load::PagesOf;
use super::page::{MAX_RECORDS, page_of};
use super::{Content, Draft, LoadedSet, PageKeys, WriteError, Written};
use crate::record::{Api, Client, Id, KeyRecord, NamedKey, Override, Record, Word};

/// A change of a set: records that are put, over those with the same key, and keys of records that go.
#[derive(Debug, Default)]
pub struct Changes {
    pub put: Content,
    pub removed: Vec<Removal>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    Word(u32),
    Client(Id),
    Key(Id),
    Override(Id),
    Name(KeyName),
}

impl LoadedSet {
    /// Writes this set with some records changed. The rest of their pages is sealed again with them; all other pages stay.
    ///
    /// A page with a record that a later version wrote is not rewritten, because this version cannot copy it.
    pub fn change(
        &self,
        draft: &Draft,
        changes: &Changes,
        keys: &PageKeys,
        signing: &SigningKey,
        rng: &dyn Rng,
    ) -> Result<Written, WriteError> {
        let mut rows = Rows::new(draft, keys, rng);
        rows.leaves.clone_from(&self.leaves);
        rows.records = self.header().header().kinds.iter().map(|count| (count.kind, count.records)).collect();
        let (put, removed) = (&changes.put, &changes.removed);
        self.change_kind::<Api>(&mut rows, put.api.as_slice(), &[])?;
        self.change_kind::<Word>(&mut rows, &put.words, &keys_of(removed, Removal::word))?;
        self.change_kind::<Client>(&mut rows, &put.clients, &keys_of(removed, Removal::client))?;
        self.change_kind::<KeyRecord>(&mut rows, &put.keys, &keys_of(removed, Removal::key))?;
        self.change_kind::<Override>(&mut rows, &put.overrides, &keys_of(removed, Removal::overrides))?;
        self.change_kind::<NamedKey>(&mut rows, &put.names, &keys_of(removed, Removal::name))?;
        rows.sign(signing)
    }

    fn change_kind<T: Record>(
        &self,
        rows: &mut Rows<'_>,
        put: &[T],
        removed: &[T::Key],
    ) -> Result<(), WriteError>
    where
        Self: PagesOf<T>,
    {
        if put.is_empty() && removed.is_empty() {
            return Ok(());
        }
        let old = PagesOf::<T>::pages(self);
        let (pages, _) = self.header().header().count(T::KIND);
        if old.len() != usize::try_from(pages).unwrap_or(usize::MAX) {
            return Err(WriteError::NoKey(T::KIND as u8));
        }
        let keys: Vec<T::Key> = put.iter().map(Record::key).chain(removed.iter().cloned()).collect();
        let affected: BTreeSet<u32> = keys.iter().map(|key| page_of::<T>(key, pages.max(1))).collect();
        let mut changed: BTreeMap<u32, BTreeMap<T::Key, &T>> = BTreeMap::new();
        for at in affected {
            let page = old.get(usize::try_from(at).unwrap_or(usize::MAX));
            if page.is_some_and(|page| page.count() > page.records().len().try_into().unwrap_or(0)) {
                return Err(WriteError::Newer);
            }
            let records = page.into_iter().flat_map(|page| page.records());
            changed.insert(at, records.map(|record| (record.key(), record)).collect());
        }
        for key in removed {
            if let Some(page) = changed.get_mut(&page_of::<T>(key, pages.max(1))) {
                page.remove(key);
            }
        }
        for record in put {
            let key = record.key();
            if let Some(page) = changed.get_mut(&page_of::<T>(&key, pages.max(1))) {
                page.insert(key, record);
            }
        }
        let untouched =
            || (0_u32..).zip(old).filter(|(at, _)| !changed.contains_key(at)).map(|(_, page)| page);
        let total = untouched().map(|page| page.count() as usize).sum::<usize>()
            + changed.values().map(BTreeMap::len).sum::<usize>();
        let keeps_pages = total > 0
            && fits(total, old.len())
            && old.len() <= total.next_power_of_two()
            && changed.values().all(|page| page.len() <= MAX_RECORDS);
        if keeps_pages {
            for (at, records) in &changed {
                rows.write_page(*at, &records.values().copied().collect::<Vec<_>>())?;
            }
            rows.records.insert(T::KIND, u32::try_from(total).map_err(|_| WriteError::Full)?);
            return Ok(());
        }
        if untouched().any(|page| page.count() as usize > page.records().len()) {
            return Err(WriteError::Newer);
        }
        let kept = untouched().flat_map(|page| page.records());
        let all: Vec<&T> = kept.chain(changed.values().flat_map(|page| page.values().copied())).collect();
        rows.replaced.push(T::KIND);
        rows.write_all(&all)
    }
}

impl Removal {
    fn word(&self) -> Option<u32> {
        if let Self::Word(number) = self { Some(*number) } else { None }
    }

    fn client(&self) -> Option<Id> {
        if let Self::Client(id) = self { Some(*id) } else { None }
    }

    fn key(&self) -> Option<Id> {
        if let Self::Key(id) = self { Some(*id) } else { None }
    }

    fn overrides(&self) -> Option<Id> {
        if let Self::Override(id) = self { Some(*id) } else { None }
    }

    fn name(&self) -> Option<KeyName> {
        if let Self::Name(name) = self { Some(name.clone()) } else { None }
    }
}

fn keys_of<K>(removed: &[Removal], of: impl Fn(&Removal) -> Option<K>) -> Vec<K> {
    removed.iter().filter_map(of).collect()
}
