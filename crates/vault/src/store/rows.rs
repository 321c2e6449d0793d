//! The rows, and the statements that read and write them. Each statement stands once.

use std::collections::BTreeSet;

use rusqlite::types::ValueRef;
use rusqlite::{OptionalExtension, Row, params};

use super::log_rows::Ledger;
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

    /// Deletes everything that a rekey seals again; the header's row and the versions stay until they are replaced.
    pub(crate) fn clear_sealed(&self) -> Result<()> {
        ["slot", "object", "leaf", "node", "state"]
            .into_iter()
            .try_for_each(|table| self.run(&format!("DELETE FROM {table}"), []))?;
        self.delete_ledger(Ledger::Vault)
    }

    pub(crate) fn version(&self, key_id: &[u8; 16], version: u32) -> Result<Option<VersionRow>> {
        let sql = "SELECT wrapped, sealed FROM version WHERE id = ? AND key = ? AND version = ?";
        self.one(sql, params![version_id(key_id, version), key_id, version], "version", |row| {
            Ok(VersionRow { wrapped: row.get(0)?, sealed: row.get(1)? })
        })
    }

    /// Every version: key's id, number, sealed texts; in the order in which they lie in the file.
    pub(crate) fn each_version(
        &self,
        mut take: impl FnMut([u8; 16], u32, VersionRow) -> Result<()>,
    ) -> Result<()> {
        self.each("SELECT id, key, version, wrapped, sealed FROM version ORDER BY id", [], |row| {
            let (key, version) = (array(row, 1, "version.key")?, row.get(2)?);
            if version_id(&key, version) != row.get::<_, i64>(0)? {
                return Err(damaged("version.id"));
            }
            take(key, version, VersionRow { wrapped: row.get(3)?, sealed: row.get(4)? })
        })
    }

    /// Writes a version over the row that it had. Another one with the same id keeps it out.
    pub(crate) fn put_version(&self, key_id: &[u8; 16], version: u32, texts: &VersionRow) -> Result<()> {
        let sql = "INSERT INTO version (id, key, version, wrapped, sealed) VALUES (?, ?, ?, ?, ?) \
                   ON CONFLICT (id) DO UPDATE SET wrapped = excluded.wrapped, sealed = excluded.sealed \
                   WHERE key = excluded.key AND version = excluded.version";
        let id = version_id(key_id, version);
        let values = params![id, key_id, version, texts.wrapped, texts.sealed];
        if self.connection.prepare_cached(sql)?.execute(values)? == 1 {
            Ok(())
        } else {
            Err(damaged("version: another one has its id"))
        }
    }

    pub(crate) fn delete_version(&self, key_id: &[u8; 16], version: u32) -> Result<()> {
        let sql = "DELETE FROM version WHERE id = ? AND key = ? AND version = ?";
        self.run(sql, params![version_id(key_id, version), key_id, version])
    }

    /// Deletes every version of a key.
    pub(crate) fn delete_versions(&self, key_id: &[u8; 16]) -> Result<()> {
        let ids = [version_id(key_id, 0), version_id(key_id, u32::MAX)];
        self.run("DELETE FROM version WHERE id BETWEEN ? AND ? AND key = ?", params![ids[0], ids[1], key_id])
    }

    /// The ids of the rows that are not these versions; the columns may be anything.
    pub(crate) fn other_versions(&self, known: &BTreeSet<([u8; 16], u32)>) -> Result<Vec<i64>> {
        let mut others = Vec::new();
        self.each("SELECT id, key, version FROM version", [], |row| {
            let (id, key): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let named =
                <[u8; 16]>::try_from(key.as_slice()).ok().zip(u32::try_from(row.get::<_, i64>(2)?).ok());
            let is_known =
                named.is_some_and(|named| known.contains(&named) && version_id(&named.0, named.1) == id);
            if !is_known {
                others.push(id);
            }
            Ok(())
        })?;
        Ok(others)
    }

    /// Deletes the versions that are not among these.
    pub(crate) fn delete_other_versions(&self, known: &BTreeSet<([u8; 16], u32)>) -> Result<()> {
        let others = self.other_versions(known)?;
        others.iter().try_for_each(|id| self.run("DELETE FROM version WHERE id = ?", [id]))
    }

    /// How many versions there are in the whole vault, named by a key or not.
    pub(crate) fn count_versions(&self) -> Result<u64> {
        self.one("SELECT count(*) FROM version", [], "version", |row| unsigned(row.get(0)?))?
            .ok_or_else(|| damaged("version"))
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

/// A version's id: the first 62 bits of its key's id, and its number added. So the versions of a key lie together.
fn version_id(key_id: &[u8; 16], version: u32) -> i64 {
    i64::try_from(u128::from_be_bytes(*key_id) >> 66).unwrap_or_default() + i64::from(version)
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
