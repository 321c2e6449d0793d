//! The rows, and the statements that read and write them. Each statement stands once.

use std::collections::BTreeSet;

use rusqlite::types::ValueRef;
use rusqlite::{OptionalExtension, Row, params};

use super::{StoreError, Tx};

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

/// A key's sealed metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyRow {
    /// The blind index of its name.
    pub tag: Tag,
    /// Raised by each rewrite.
    pub revision: u64,
    pub sealed: Vec<u8>,
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

/// A row of a version, whatever its columns are: table, key's id, number.
pub(super) type OtherVersion = (&'static str, Vec<u8>, i64);

pub(super) type Result<T> = std::result::Result<T, StoreError>;

impl Tx<'_> {
    pub(crate) fn header(&self) -> Result<HeaderRow> {
        self.one(
            "SELECT vault_id, epoch, written_by, chain_seed, signer FROM vault WHERE id = 1",
            [],
            "vault",
            |row| {
                Ok(HeaderRow {
                    vault_id: array(row, 0, "vault.vault_id")?,
                    epoch: row.get(1)?,
                    written_by: row.get(2)?,
                    chain_seed: row.get(3)?,
                    signer: row.get(4)?,
                })
            },
        )?
        .ok_or_else(|| damaged("vault"))
    }

    pub(crate) fn put_header(&self, header: &HeaderRow) -> Result<()> {
        self.run(
            "INSERT OR REPLACE INTO vault (id, vault_id, epoch, written_by, chain_seed, signer) VALUES (1, ?, ?, ?, ?, ?)",
            params![header.vault_id, header.epoch, header.written_by, header.chain_seed, header.signer],
        )
    }

    /// The slots, in the order of their numbers: 1 to [`HIGHEST_SLOT`](super::HIGHEST_SLOT), and no row besides. A
    /// column that is longer than a slot's can be, or no bytes, comes out empty: nothing that somebody put there keeps
    /// the other slots back, or takes memory.
    pub(crate) fn slots(&self) -> Result<Vec<SlotRow>> {
        let sql = "SELECT id, CASE WHEN length(header) <= 64 THEN header END, \
                   CASE WHEN length(sealed) <= 256 THEN sealed END FROM slot WHERE id BETWEEN 1 AND 32 ORDER BY id";
        let mut slots = Vec::new();
        self.each(sql, [], |row| {
            let bytes = |column| match row.get_ref(column) {
                Ok(ValueRef::Blob(bytes)) => bytes.to_vec(),
                _ => Vec::new(),
            };
            slots.push(SlotRow { id: row.get(0)?, header: bytes(1), sealed: bytes(2) });
            Ok(())
        })?;
        Ok(slots)
    }

    /// How many rows stand under numbers that no slot has, and the lowest of these numbers.
    pub(crate) fn slots_beyond(&self) -> Result<Option<(u64, i64)>> {
        let sql = "SELECT count(*), min(id) FROM slot WHERE id NOT BETWEEN 1 AND 32";
        let found = self.one(sql, [], "slot", |row| Ok((unsigned(row.get(0)?)?, row.get(1)?)))?;
        Ok(found.and_then(|(rows, lowest): (u64, Option<i64>)| lowest.map(|lowest| (rows, lowest))))
    }

    /// Deletes the rows under numbers that no slot has.
    pub(crate) fn delete_slots_beyond(&self) -> Result<()> {
        self.run("DELETE FROM slot WHERE id NOT BETWEEN 1 AND 32", [])
    }

    pub(crate) fn put_slot(&self, slot: &SlotRow) -> Result<()> {
        self.run(
            "INSERT OR REPLACE INTO slot (id, header, sealed) VALUES (?, ?, ?)",
            params![slot.id, slot.header, slot.sealed],
        )
    }

    pub(crate) fn delete_slot(&self, id: u32) -> Result<()> {
        self.run("DELETE FROM slot WHERE id = ?", [id])
    }

    /// Deletes every row but the head and the versions, for a rekey that writes them all anew.
    pub(crate) fn clear_sealed(&self) -> Result<()> {
        [
            "DELETE FROM slot",
            "DELETE FROM item",
            "DELETE FROM scope",
            "DELETE FROM scope_member",
            "DELETE FROM directory",
            "DELETE FROM leaf",
            "DELETE FROM node",
            "DELETE FROM state",
            "DELETE FROM audit",
            "DELETE FROM audit_head",
        ]
        .into_iter()
        .try_for_each(|sql| self.run(sql, []))
    }

    /// A key's row by the blind index of its name.
    pub(crate) fn key(&self, tag: &Tag) -> Result<Option<KeyRow>> {
        self.one("SELECT tag, revision, sealed FROM item WHERE tag = ?", [tag.as_slice()], "item", key_row)
    }

    /// All keys' rows, ordered by tag.
    pub(crate) fn each_key(&self, mut take: impl FnMut(KeyRow) -> Result<()>) -> Result<()> {
        self.each("SELECT tag, revision, sealed FROM item ORDER BY tag", [], |row| take(key_row(row)?))
    }

    /// The tags of all rows that have one, whatever else is wrong with them.
    pub(crate) fn key_tags(&self) -> Result<Vec<Tag>> {
        let mut tags = Vec::new();
        self.each("SELECT tag FROM item", [], |row| {
            tags.extend(row.get::<_, Tag>(0).ok());
            Ok(())
        })?;
        Ok(tags)
    }

    pub(crate) fn put_key(&self, key: &KeyRow) -> Result<()> {
        self.run(
            "INSERT OR REPLACE INTO item (tag, revision, sealed) VALUES (?, ?, ?)",
            params![key.tag, number(key.revision)?, key.sealed],
        )
    }

    pub(crate) fn delete_key(&self, tag: &Tag) -> Result<()> {
        self.run("DELETE FROM item WHERE tag = ?", [tag.as_slice()])
    }

    pub(crate) fn version_key(&self, key_id: &[u8; 16], version: u32) -> Result<Option<Vec<u8>>> {
        self.one(
            "SELECT sealed FROM version_key WHERE item = ? AND version = ?",
            params![key_id, version],
            "version_key",
            |row| Ok(row.get(0)?),
        )
    }

    /// A version's sealed value.
    pub(crate) fn version_value(&self, key_id: &[u8; 16], version: u32) -> Result<Option<Vec<u8>>> {
        self.one(
            "SELECT sealed FROM version_value WHERE item = ? AND version = ?",
            params![key_id, version],
            "version_value",
            |row| Ok(row.get(0)?),
        )
    }

    /// Every version that has both rows: key's id, number, wrapped key, sealed value; ordered, as they lie in the file.
    pub(crate) fn each_version(
        &self,
        mut take: impl FnMut([u8; 16], u32, Vec<u8>, Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        let sql = "SELECT k.item, k.version, k.sealed, v.sealed FROM version_key k \
                   JOIN version_value v ON v.item = k.item AND v.version = k.version ORDER BY k.item, k.version";
        self.each(sql, [], |row| {
            take(array(row, 0, "version_key.item")?, row.get(1)?, row.get(2)?, row.get(3)?)
        })
    }

    /// Writes a version: its wrapped key and its value.
    pub(crate) fn put_version(
        &self,
        key_id: &[u8; 16],
        version: u32,
        key: &[u8],
        value: &[u8],
    ) -> Result<()> {
        self.run(
            "INSERT OR REPLACE INTO version_key (item, version, sealed) VALUES (?, ?, ?)",
            params![key_id, version, key],
        )?;
        self.run(
            "INSERT OR REPLACE INTO version_value (item, version, sealed) VALUES (?, ?, ?)",
            params![key_id, version, value],
        )
    }

    /// Deletes one version's key and value.
    pub(crate) fn delete_version(&self, key_id: &[u8; 16], version: u32) -> Result<()> {
        self.run("DELETE FROM version_key WHERE item = ? AND version = ?", params![key_id, version])?;
        self.run("DELETE FROM version_value WHERE item = ? AND version = ?", params![key_id, version])
    }

    /// Deletes every version of a key.
    pub(crate) fn delete_versions(&self, key_id: &[u8; 16]) -> Result<()> {
        self.run("DELETE FROM version_key WHERE item = ?", [key_id.as_slice()])?;
        self.run("DELETE FROM version_value WHERE item = ?", [key_id.as_slice()])
    }

    /// The rows of versions that are not among these, as table, key's id and number; the columns may be anything.
    pub(crate) fn other_versions(&self, known: &BTreeSet<([u8; 16], u32)>) -> Result<Vec<OtherVersion>> {
        let mut others = Vec::new();
        for table in ["version_key", "version_value"] {
            self.each(&format!("SELECT item, version FROM {table}"), [], |row| {
                let (key, version): (Vec<u8>, i64) = (row.get(0)?, row.get(1)?);
                let named = <[u8; 16]>::try_from(key.as_slice()).ok().zip(u32::try_from(version).ok());
                if named.is_none_or(|named| !known.contains(&named)) {
                    others.push((table, key, version));
                }
                Ok(())
            })?;
        }
        Ok(others)
    }

    /// Deletes the rows of versions that are not among these.
    pub(crate) fn delete_other_versions(&self, known: &BTreeSet<([u8; 16], u32)>) -> Result<()> {
        self.other_versions(known)?.iter().try_for_each(|(table, key, version)| {
            let sql = format!("DELETE FROM {table} WHERE item = ? AND version = ?");
            self.run(&sql, params![key, version])
        })
    }

    /// (wrapped keys, values) in the whole vault: whether there are rows that no key names.
    pub(crate) fn count_versions(&self) -> Result<(u64, u64)> {
        self.one(
            "SELECT (SELECT count(*) FROM version_key), (SELECT count(*) FROM version_value)",
            [],
            "version_key",
            |row| Ok((unsigned(row.get(0)?)?, unsigned(row.get(1)?)?)),
        )?
        .ok_or_else(|| damaged("version_key"))
    }

    /// SQLite's own check of pages and b-trees; what it says, unless "ok".
    pub(crate) fn page_faults(&self) -> Result<Vec<String>> {
        let mut faults = Vec::new();
        self.each("PRAGMA integrity_check(20)", [], |row| {
            faults.push(row.get::<_, String>(0)?);
            Ok(())
        })?;
        faults.retain(|fault| fault != "ok");
        Ok(faults)
    }

    pub(super) fn run(&self, sql: &str, params: impl rusqlite::Params) -> Result<()> {
        self.connection.prepare_cached(sql)?.execute(params)?;
        Ok(())
    }

    pub(super) fn one<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        table: &str,
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let read = statement.query_row(params, |row| Ok(read(row))).optional();
        match read {
            Ok(row) => row.transpose().map_err(|error| in_table(table, error)),
            Err(error) => Err(in_table(table, error.into())),
        }
    }

    pub(super) fn each(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        mut take: impl FnMut(&Row<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        while let Some(row) = rows.next()? {
            match (take(row), &mut *self.malformed.borrow_mut()) {
                (Err(StoreError::Damaged { .. }), Some(tables)) => drop(tables.insert(table_of(sql))),
                (taken, _) => taken?,
            }
        }
        Ok(())
    }
}

/// The first table that a statement reads.
fn table_of(sql: &str) -> String {
    let behind = sql.split_once(" FROM ").map_or("", |(_, behind)| behind);
    behind.split(' ').next().unwrap_or_default().to_owned()
}

fn key_row(row: &Row<'_>) -> Result<KeyRow> {
    Ok(KeyRow { tag: array(row, 0, "item.tag")?, revision: unsigned(row.get(1)?)?, sealed: row.get(2)? })
}

/// A BLOB column of exactly `N` bytes.
pub(super) fn array<const N: usize>(row: &Row<'_>, column: usize, what: &str) -> Result<[u8; N]> {
    match row.get_ref(column)? {
        ValueRef::Blob(bytes) => bytes.try_into().map_err(|_| damaged(what)),
        _ => Err(damaged(what)),
    }
}

pub(super) fn unsigned(value: i64) -> Result<u64> {
    u64::try_from(value).map_err(|_| damaged("a negative number"))
}

pub(super) fn number(value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|_| damaged("a number beyond 2^63"))
}

pub(super) fn damaged(what: &str) -> StoreError {
    StoreError::Damaged { what: what.to_owned() }
}

fn in_table(table: &str, error: StoreError) -> StoreError {
    match error {
        StoreError::Damaged { what } => StoreError::Damaged { what: format!("{table}: {what}") },
        other => other,
    }
}
