//! Rows as the domain knows them, read from the columns that a store gives and written as such.

use std::collections::BTreeSet;

use rusqlite::types::Value;

use super::log_rows::Ledger;
use super::table::{Cells, Order, Result, Span, Table};
use super::{HIGHEST_SLOT, StoreError, Tx};

/// Where something stands in the index and in the tree: a truncated MAC of its kind and name.
pub(crate) type Tag = [u8; 16];

/// The unsealed row at the head of a vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeaderRow {
    /// Random, for the life of the vault.
    pub vault_id: [u8; 16],
    /// Raised by each rekey, from 1.
    pub epoch: u32,
    /// The version of keyvault that made the vault or last rekeyed it.
    pub written_by: String,
    /// The audit chain's k₀, sealed under root.
    pub chain_seed: Vec<u8>,
    /// The public half of the pair that signs in this epoch.
    pub signer: Vec<u8>,
}

/// One way to open the vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotRow {
    pub(crate) id: u32,
    /// Kind, salt and cost; authenticated when the slot is opened.
    pub header: Vec<u8>,
    /// Root, sealed under the slot's key.
    pub(crate) sealed: Vec<u8>,
}

/// The state record, its signature, and the MAC of both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StateRow {
    pub record: Vec<u8>,
    pub signature: Vec<u8>,
    /// Under the state key.
    pub mac: [u8; 32],
}

/// One entry of the audit chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuditRow {
    /// Position, from 0.
    pub seq: u64,
    /// The change that it records, if it records one.
    pub change: Option<u64>,
    /// The event.
    pub sealed: Vec<u8>,
    /// The chain's MAC.
    pub mac: [u8; 32],
}

/// The sealed texts of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VersionRow {
    /// The key of the value, sealed under the vault's wrapping key.
    pub wrapped: Vec<u8>,
    /// The value, sealed under its own key.
    pub sealed: Vec<u8>,
}

/// Longest columns of a slot, in bytes.
const SLOT_HEADER: usize = 64;
const SLOT_SEALED: usize = 256;

/// The only key of tables that have one row.
const ONLY: i64 = 1;

impl Tx<'_> {
    pub(crate) fn header(&self) -> Result<HeaderRow> {
        let header = self.first(
            Table::Vault,
            &["vault_id", "epoch", "written_by", "chain_seed", "signer"],
            &Span::one(ONLY),
            |columns| {
                Ok(HeaderRow {
                    vault_id: columns.array()?,
                    epoch: columns.u32()?,
                    written_by: columns.text()?,
                    chain_seed: columns.bytes()?,
                    signer: columns.bytes()?,
                })
            },
        )?;
        header.ok_or_else(|| damaged("vault"))
    }

    pub(crate) fn put_header(&self, header: &HeaderRow) -> Result<()> {
        self.put(
            Table::Vault,
            vec![
                ONLY.into(),
                header.vault_id.to_vec().into(),
                header.epoch.into(),
                header.written_by.clone().into(),
                header.chain_seed.clone().into(),
                header.signer.clone().into(),
            ],
        )
    }

    /// The slots, in the order of their numbers: 1 to [`HIGHEST_SLOT`], and no row besides. A column that is longer than
    /// a slot's can be, or no bytes, comes out empty: nothing that somebody put there keeps the other slots back.
    pub(crate) fn slots(&self) -> Result<Vec<SlotRow>> {
        let span = Span::ids([1, HIGHEST_SLOT.into()]);
        self.list(Table::Slot, &["id", "header", "sealed"], &span, |columns| {
            let id = columns.u32()?;
            let header = columns.bytes().ok().filter(|header| header.len() <= SLOT_HEADER);
            let sealed = columns.bytes().ok().filter(|sealed| sealed.len() <= SLOT_SEALED);
            Ok(SlotRow { id, header: header.unwrap_or_default(), sealed: sealed.unwrap_or_default() })
        })
    }

    /// How many rows there are under numbers that no slot has, and the lowest of these numbers.
    pub(crate) fn slots_beyond(&self) -> Result<Option<(u64, i64)>> {
        let mut ids = Vec::new();
        for span in SLOTS_BEYOND {
            ids.extend(self.list(Table::Slot, &["id"], &Span::ids(span), Columns::integer)?);
        }
        Ok(ids.first().map(|lowest| (ids.len() as u64, *lowest)))
    }

    /// Deletes the rows under numbers that no slot has.
    pub(crate) fn delete_slots_beyond(&self) -> Result<()> {
        SLOTS_BEYOND.into_iter().try_for_each(|span| self.delete(Table::Slot, &Span::ids(span)).map(drop))
    }

    pub(crate) fn put_slot(&self, slot: &SlotRow) -> Result<()> {
        self.put(Table::Slot, vec![slot.id.into(), slot.header.clone().into(), slot.sealed.clone().into()])
    }

    pub(crate) fn delete_slot(&self, id: u32) -> Result<()> {
        self.delete(Table::Slot, &Span::one(id)).map(drop)
    }

    /// Deletes everything that a rekey seals again; the header's row and the versions stay until they are replaced.
    pub(crate) fn clear_sealed(&self) -> Result<()> {
        [Table::Slot, Table::Object, Table::Leaf, Table::Node, Table::State]
            .into_iter()
            .try_for_each(|table| self.delete(table, &Span::All).map(drop))?;
        self.delete_ledger(Ledger::Vault)
    }

    pub(crate) fn version(&self, key_id: &[u8; 16], version: u32) -> Result<Option<VersionRow>> {
        let span = Span::one(version_id(key_id, version));
        let found =
            self.first(Table::Version, &["key", "version", "wrapped", "sealed"], &span, |columns| {
                let is_it = (columns.bytes()?.as_slice(), columns.u32()?) == (key_id.as_slice(), version);
                Ok(is_it.then_some(VersionRow { wrapped: columns.bytes()?, sealed: columns.bytes()? }))
            })?;
        Ok(found.flatten())
    }

    /// Every version: key's id, number, sealed texts; in the order in which they lie in the file.
    pub(crate) fn each_version(
        &self,
        mut take: impl FnMut([u8; 16], u32, VersionRow) -> Result<()>,
    ) -> Result<()> {
        self.each(Table::Version, &["id", "key", "version", "wrapped", "sealed"], &Span::All, |columns| {
            let (id, key, version) = (columns.integer()?, columns.array()?, columns.u32()?);
            if version_id(&key, version) != id {
                return Err(damaged("version.id"));
            }
            take(key, version, VersionRow { wrapped: columns.bytes()?, sealed: columns.bytes()? })
        })
    }

    /// Another version whose row has the id of this one, and that belongs there.
    pub(crate) fn version_in_the_way(
        &self,
        key_id: &[u8; 16],
        version: u32,
    ) -> Result<Option<([u8; 16], u32)>> {
        let span = Span::one(version_id(key_id, version));
        let there = self.first(Table::Version, &["key", "version"], &span, |columns| {
            Ok(columns.array().and_then(|key| Ok((key, columns.u32()?))).ok())
        })?;
        let belongs =
            |(key, number): &([u8; 16], u32)| version_id(key, *number) == version_id(key_id, version);
        Ok(there.flatten().filter(|there| *there != (*key_id, version) && belongs(there)))
    }

    /// Writes a version over whatever row has its id.
    pub(crate) fn put_version(&self, key_id: &[u8; 16], version: u32, texts: &VersionRow) -> Result<()> {
        let id = version_id(key_id, version);
        let texts = [texts.wrapped.clone().into(), texts.sealed.clone().into()];
        self.put(
            Table::Version,
            [id.into(), key_id.to_vec().into(), version.into()].into_iter().chain(texts).collect(),
        )
    }

    pub(crate) fn delete_version(&self, key_id: &[u8; 16], version: u32) -> Result<()> {
        let span = Span::one(version_id(key_id, version));
        self.delete_where(Table::Version, &span, &key_id.to_vec().into()).map(drop)
    }

    /// Deletes every version of a key.
    pub(crate) fn delete_versions(&self, key_id: &[u8; 16]) -> Result<()> {
        let span = Span::ids([version_id(key_id, 0), version_id(key_id, u32::MAX)]);
        self.delete_where(Table::Version, &span, &key_id.to_vec().into()).map(drop)
    }

    /// The ids of the rows that are not these versions; the columns may be anything.
    pub(crate) fn other_versions(&self, known: &BTreeSet<([u8; 16], u32)>) -> Result<Vec<i64>> {
        let mut others = Vec::new();
        self.each(Table::Version, &["id", "key", "version"], &Span::All, |columns| {
            let id = columns.integer()?;
            let named = columns.array().and_then(|key| Ok((key, columns.u32()?)));
            let is_known = |named| known.contains(&named) && version_id(&named.0, named.1) == id;
            if !named.is_ok_and(is_known) {
                others.push(id);
            }
            Ok(())
        })?;
        Ok(others)
    }

    /// Deletes the versions that are not among these.
    pub(crate) fn delete_other_versions(&self, known: &BTreeSet<([u8; 16], u32)>) -> Result<()> {
        let others = self.other_versions(known)?;
        others.into_iter().try_for_each(|id| self.delete(Table::Version, &Span::one(id)).map(drop))
    }

    /// How many versions there are in the whole vault, named by a key or not.
    pub(crate) fn count_versions(&self) -> Result<u64> {
        self.count(Table::Version, &Span::All)
    }

    pub(super) fn put(&self, table: Table, row: Cells) -> Result<()> {
        self.rows.put(table, row)
    }

    pub(super) fn delete(&self, table: Table, span: &Span) -> Result<usize> {
        self.rows.delete(table, span, None)
    }

    pub(super) fn delete_where(&self, table: Table, span: &Span, second: &Value) -> Result<usize> {
        self.rows.delete(table, span, Some(second))
    }

    pub(super) fn count(&self, table: Table, span: &Span) -> Result<u64> {
        let mut rows = 0;
        let key = table.columns().get(..1).unwrap_or_default();
        self.rows.scan(table, key, span, Order::Ascending, &mut |_| {
            rows += 1;
            Ok(())
        })?;
        Ok(rows)
    }

    /// The only row of a span.
    pub(super) fn first<T>(
        &self,
        table: Table,
        columns: &'static [&'static str],
        span: &Span,
        read: impl FnMut(&mut Columns) -> Result<T>,
    ) -> Result<Option<T>> {
        self.one(table, columns, span, Order::Ascending, read)
    }

    /// The last row of a span.
    pub(super) fn last<T>(
        &self,
        table: Table,
        columns: &'static [&'static str],
        span: &Span,
        read: impl FnMut(&mut Columns) -> Result<T>,
    ) -> Result<Option<T>> {
        self.one(table, columns, span, Order::Last, read)
    }

    fn one<T>(
        &self,
        table: Table,
        columns: &'static [&'static str],
        span: &Span,
        order: Order,
        mut read: impl FnMut(&mut Columns) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut found = None;
        self.rows.scan(table, columns, span, order, &mut |cells| {
            found = Some(read(&mut Columns::of(table, columns, cells))?);
            Ok(())
        })?;
        Ok(found)
    }

    pub(super) fn list<T>(
        &self,
        table: Table,
        columns: &'static [&'static str],
        span: &Span,
        mut read: impl FnMut(&mut Columns) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut list = Vec::new();
        self.each(table, columns, span, |columns| {
            list.push(read(columns)?);
            Ok(())
        })?;
        Ok(list)
    }

    /// Each row of a span; those of the wrong shape are passed over once [`Tx::pass_over_malformed`] was called.
    pub(super) fn each(
        &self,
        table: Table,
        columns: &'static [&'static str],
        span: &Span,
        mut take: impl FnMut(&mut Columns) -> Result<()>,
    ) -> Result<()> {
        self.rows.scan(table, columns, span, Order::Ascending, &mut |cells| {
            let taken = take(&mut Columns::of(table, columns, cells));
            match (taken, &mut *self.malformed.borrow_mut()) {
                (Err(StoreError::Damaged { .. }), Some(tables)) => {
                    tables.insert(table.name().to_owned());
                    Ok(())
                }
                (taken, _) => taken,
            }
        })
    }
}

const SLOTS_BEYOND: [[i64; 2]; 2] = [[i64::MIN, 0], [HIGHEST_SLOT as i64 + 1, i64::MAX]];

/// The columns of one row, taken one after another.
pub(super) struct Columns {
    table: Table,
    names: std::slice::Iter<'static, &'static str>,
    cells: std::vec::IntoIter<Value>,
}

impl Columns {
    pub(super) fn of(table: Table, names: &'static [&'static str], cells: Cells) -> Self {
        Self { table, names: names.iter(), cells: cells.into_iter() }
    }

    fn next<T>(&mut self, read: impl FnOnce(Value) -> Option<T>) -> Result<T> {
        let name = self.names.next().copied().unwrap_or_default();
        let value = self.cells.next().and_then(read);
        value.ok_or_else(|| damaged(&format!("{}.{name}", self.table.name())))
    }

    pub(super) fn integer(&mut self) -> Result<i64> {
        self.next(|value| if let Value::Integer(value) = value { Some(value) } else { None })
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.next(|value| if let Value::Integer(value) = value { value.try_into().ok() } else { None })
    }

    pub(super) fn unsigned(&mut self) -> Result<u64> {
        self.next(|value| if let Value::Integer(value) = value { value.try_into().ok() } else { None })
    }

    /// NULL, or a number from 0.
    pub(super) fn optional(&mut self) -> Result<Option<u64>> {
        self.next(|value| match value {
            Value::Null => Some(None),
            Value::Integer(value) => value.try_into().ok().map(Some),
            _ => None,
        })
    }

    pub(super) fn text(&mut self) -> Result<String> {
        self.next(|value| if let Value::Text(value) = value { Some(value) } else { None })
    }

    pub(super) fn bytes(&mut self) -> Result<Vec<u8>> {
        self.next(|value| if let Value::Blob(value) = value { Some(value) } else { None })
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.next(|value| if let Value::Blob(value) = value { value.try_into().ok() } else { None })
    }
}

/// A version's id: the first 62 bits of its key's id, and its number added. So the versions of a key lie together.
fn version_id(key_id: &[u8; 16], version: u32) -> i64 {
    i64::try_from(u128::from_be_bytes(*key_id) >> 66).unwrap_or_default() + i64::from(version)
}

pub(super) fn number(value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|_| damaged("a number beyond 2^63"))
}

pub(super) fn damaged(what: &str) -> StoreError {
    StoreError::Damaged { what: what.to_owned() }
}
