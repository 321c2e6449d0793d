//! Ledgers, the chains of audit entries: the vault's own, and one for each token.

use std::ops::Range;

use rusqlite::{Row, params};

use super::Tx;
use super::rows::{AuditRow, Result, array, damaged, number, unsigned};
use super::token_rows::TokenId;

/// One chain of audit entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ledger {
    /// Changes, and reads by the owner.
    Vault,
    /// Reads by a token's bearer, who writes them.
    Token(TokenId),
}

impl Ledger {
    /// The column `ledger`.
    pub(crate) fn id(self) -> [u8; 16] {
        match self {
            Self::Vault => [0; 16],
            Self::Token(token) => token,
        }
    }
}

impl Tx<'_> {
    /// A ledger's head: (number of entries, sealed head).
    pub(crate) fn log_head(&self, ledger: Ledger) -> Result<(u64, Vec<u8>)> {
        let sql = "SELECT count, sealed FROM log_head WHERE ledger = ?";
        self.one(sql, [ledger.id()], "log_head", |row| Ok((unsigned(row.get(0)?)?, row.get(1)?)))?
            .ok_or_else(|| damaged("log_head"))
    }

    pub(crate) fn put_log_head(&self, ledger: Ledger, count: u64, sealed: &[u8]) -> Result<()> {
        self.run(
            "INSERT OR REPLACE INTO log_head (ledger, count, sealed) VALUES (?, ?, ?)",
            params![ledger.id(), number(count)?, sealed],
        )
    }

    /// One entry's MAC. It stands before the event, which may be long: an import names every key.
    pub(crate) fn entry_mac(&self, ledger: Ledger, seq: u64) -> Result<Option<[u8; 32]>> {
        let sql = "SELECT mac FROM log WHERE ledger = ? AND seq = ?";
        self.one(sql, params![ledger.id(), number(seq)?], "log", |row| array(row, 0, "log.mac"))
    }

    /// The vault's entry of the first change after `change`; an adoption skips numbers.
    pub(crate) fn entry_of_next_change(&self, change: u64) -> Result<Option<AuditRow>> {
        // The plus keeps SQLite from walking the ledger instead of the index of changes.
        let sql = "SELECT seq, change, sealed, mac FROM log WHERE change > ? AND +ledger = ? ORDER BY change LIMIT 1";
        self.one(sql, params![number(change)?, Ledger::Vault.id()], "log", entry)
    }

    /// The highest number of an entry.
    pub(crate) fn last_entry(&self, ledger: Ledger) -> Result<Option<u64>> {
        let read = |row: &Row<'_>| row.get::<_, Option<i64>>(0)?.map(unsigned).transpose();
        Ok(self.one("SELECT max(seq) FROM log WHERE ledger = ?", [ledger.id()], "log", read)?.flatten())
    }

    /// How many rows a ledger has, entries or not.
    pub(crate) fn count_entries(&self, ledger: Ledger) -> Result<u64> {
        let sql = "SELECT count(*) FROM log WHERE ledger = ?";
        Ok(self.one(sql, [ledger.id()], "log", |row| unsigned(row.get(0)?))?.unwrap_or_default())
    }

    /// These entries, in order.
    pub(crate) fn each_entry(
        &self,
        ledger: Ledger,
        entries: Range<u64>,
        mut take: impl FnMut(AuditRow) -> Result<()>,
    ) -> Result<()> {
        let (from, to) = (number(entries.start)?, i64::try_from(entries.end).unwrap_or(i64::MAX));
        let sql =
            "SELECT seq, change, sealed, mac FROM log WHERE ledger = ? AND seq >= ? AND seq < ? ORDER BY seq";
        self.each(sql, params![ledger.id(), from, to], |row| take(entry(row)?))
    }

    /// Appends an entry; one that is already there is never replaced.
    pub(crate) fn append_entry(&self, ledger: Ledger, entry: &AuditRow) -> Result<()> {
        self.run(
            "INSERT INTO log (ledger, seq, change, sealed, mac) VALUES (?, ?, ?, ?, ?)",
            params![
                ledger.id(),
                number(entry.seq)?,
                entry.change.map(number).transpose()?,
                entry.sealed,
                entry.mac
            ],
        )
    }

    pub(crate) fn delete_ledger(&self, ledger: Ledger) -> Result<()> {
        self.run("DELETE FROM log WHERE ledger = ?", [ledger.id()])?;
        self.run("DELETE FROM log_head WHERE ledger = ?", [ledger.id()])
    }

    /// Whether anything is left of a ledger.
    pub(crate) fn has_ledger(&self, ledger: Ledger) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM log WHERE ledger = ?1 \
                   UNION ALL SELECT 1 FROM log_head WHERE ledger = ?1)";
        Ok(self.one(sql, [ledger.id()], "log", |row| Ok(row.get(0)?))?.unwrap_or(false))
    }
}

fn entry(row: &Row<'_>) -> Result<AuditRow> {
    Ok(AuditRow {
        seq: unsigned(row.get(0)?)?,
        change: row.get::<_, Option<i64>>(1)?.map(unsigned).transpose()?,
        sealed: row.get(2)?,
        mac: array(row, 3, "log.mac")?,
    })
}
