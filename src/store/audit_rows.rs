//! Rows of the audit chain.

use std::ops::Range;

use rusqlite::{Row, params};

use super::Tx;
use super::rows::{AuditRow, Result, array, damaged, number, unsigned};

impl Tx<'_> {
    /// The chain's head: (number of entries, sealed head).
    pub fn audit_head(&self) -> Result<(u64, Vec<u8>)> {
        self.one("SELECT count, sealed FROM audit_head WHERE id = 1", [], "audit_head", |row| {
            Ok((unsigned(row.get(0)?)?, row.get(1)?))
        })?
        .ok_or_else(|| damaged("audit_head"))
    }

    /// Writes the chain's head.
    pub fn put_audit_head(&self, count: u64, sealed: &[u8]) -> Result<()> {
        self.run(
            "INSERT OR REPLACE INTO audit_head (id, count, sealed) VALUES (1, ?, ?)",
            params![number(count)?, sealed],
        )
    }

    /// One entry's MAC. It stands before the event, which may be long: an import names every key.
    pub fn audit_mac(&self, seq: u64) -> Result<Option<[u8; 32]>> {
        self.one("SELECT mac FROM audit WHERE seq = ?", [number(seq)?], "audit", |row| {
            array(row, 0, "audit.mac")
        })
    }

    /// The entry of the first change after `change`; an adoption skips numbers.
    pub fn audit_entry_of_next_change(&self, change: u64) -> Result<Option<AuditRow>> {
        self.one(
            "SELECT seq, change, sealed, mac FROM audit WHERE change > ? ORDER BY change LIMIT 1",
            [number(change)?],
            "audit",
            audit_row,
        )
    }

    /// The highest number of an entry.
    pub fn last_audit_seq(&self) -> Result<Option<u64>> {
        self.one("SELECT max(seq) FROM audit", [], "audit", |row| {
            row.get::<_, Option<i64>>(0)?.map(unsigned).transpose()
        })
        .map(Option::flatten)
    }

    /// These entries, in order.
    pub fn each_audit_entry(
        &self,
        entries: Range<u64>,
        mut take: impl FnMut(AuditRow) -> Result<()>,
    ) -> Result<()> {
        self.each(
            "SELECT seq, change, sealed, mac FROM audit WHERE seq >= ? AND seq < ? ORDER BY seq",
            [number(entries.start)?, i64::try_from(entries.end).unwrap_or(i64::MAX)],
            |row| take(audit_row(row)?),
        )
    }

    /// Appends an entry; one that is already there is never replaced.
    pub fn append_audit_entry(&self, entry: &AuditRow) -> Result<()> {
        self.run(
            "INSERT INTO audit (seq, change, sealed, mac) VALUES (?, ?, ?, ?)",
            params![number(entry.seq)?, entry.change.map(number).transpose()?, entry.sealed, entry.mac],
        )
    }
}

fn audit_row(row: &Row<'_>) -> Result<AuditRow> {
    Ok(AuditRow {
        seq: unsigned(row.get(0)?)?,
        change: row.get::<_, Option<i64>>(1)?.map(unsigned).transpose()?,
        sealed: row.get(2)?,
        mac: array(row, 3, "audit.mac")?,
    })
}
