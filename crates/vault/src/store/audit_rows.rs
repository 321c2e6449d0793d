//! Rows of the audit chains: the vault's own, and one for each token that was used.

use std::ops::Range;

use rusqlite::{Row, params};

use super::Tx;
use super::rows::{AuditRow, Result, array, damaged, number, unsigned};
use super::token_rows::Ledger;

impl Tx<'_> {
    /// A chain's head: (number of entries, sealed head).
    pub(crate) fn audit_head(&self, ledger: Ledger) -> Result<(u64, Vec<u8>)> {
        let read = |row: &Row<'_>| Ok((unsigned(row.get(0)?)?, row.get(1)?));
        match ledger {
            Ledger::Vault => {
                self.one("SELECT count, sealed FROM audit_head WHERE id = 1", [], "audit_head", read)
            }
            Ledger::Token(token) => {
                let sql = "SELECT count, sealed FROM token_audit_head WHERE token = ?";
                self.one(sql, [token.as_slice()], "token_audit_head", read)
            }
        }?
        .ok_or_else(|| damaged("audit_head"))
    }

    pub(crate) fn put_audit_head(&self, ledger: Ledger, count: u64, sealed: &[u8]) -> Result<()> {
        match ledger {
            Ledger::Vault => self.run(
                "INSERT OR REPLACE INTO audit_head (id, count, sealed) VALUES (1, ?, ?)",
                params![number(count)?, sealed],
            ),
            Ledger::Token(token) => self.run(
                "INSERT OR REPLACE INTO token_audit_head (token, count, sealed) VALUES (?, ?, ?)",
                params![token, number(count)?, sealed],
            ),
        }
    }

    /// One entry's MAC. It stands before the event, which may be long: an import names every key.
    pub(crate) fn audit_mac(&self, ledger: Ledger, seq: u64) -> Result<Option<[u8; 32]>> {
        let seq = number(seq)?;
        let read = |row: &Row<'_>| array(row, 0, "audit.mac");
        match ledger {
            Ledger::Vault => self.one("SELECT mac FROM audit WHERE seq = ?", [seq], "audit", read),
            Ledger::Token(token) => {
                let sql = "SELECT mac FROM token_audit WHERE token = ? AND seq = ?";
                self.one(sql, params![token, seq], "token_audit", read)
            }
        }
    }

    /// The entry of the first change after `change`; an adoption skips numbers.
    pub(crate) fn audit_entry_of_next_change(&self, change: u64) -> Result<Option<AuditRow>> {
        self.one(
            "SELECT seq, change, sealed, mac FROM audit WHERE change > ? ORDER BY change LIMIT 1",
            [number(change)?],
            "audit",
            audit_row,
        )
    }

    /// The highest number of an entry.
    pub(crate) fn last_audit_seq(&self, ledger: Ledger) -> Result<Option<u64>> {
        let read = |row: &Row<'_>| row.get::<_, Option<i64>>(0)?.map(unsigned).transpose();
        match ledger {
            Ledger::Vault => self.one("SELECT max(seq) FROM audit", [], "audit", read),
            Ledger::Token(token) => {
                let sql = "SELECT max(seq) FROM token_audit WHERE token = ?";
                self.one(sql, [token.as_slice()], "token_audit", read)
            }
        }
        .map(Option::flatten)
    }

    /// How many rows the chain has, whatever they are.
    pub(crate) fn count_audit_entries(&self, ledger: Ledger) -> Result<u64> {
        let read = |row: &Row<'_>| unsigned(row.get(0)?);
        match ledger {
            Ledger::Vault => self.one("SELECT count(*) FROM audit", [], "audit", read),
            Ledger::Token(token) => {
                let sql = "SELECT count(*) FROM token_audit WHERE token = ?";
                self.one(sql, [token.as_slice()], "token_audit", read)
            }
        }
        .map(Option::unwrap_or_default)
    }

    /// These entries, in order.
    pub(crate) fn each_audit_entry(
        &self,
        ledger: Ledger,
        entries: Range<u64>,
        mut take: impl FnMut(AuditRow) -> Result<()>,
    ) -> Result<()> {
        let (from, to) = (number(entries.start)?, i64::try_from(entries.end).unwrap_or(i64::MAX));
        match ledger {
            Ledger::Vault => self.each(
                "SELECT seq, change, sealed, mac FROM audit WHERE seq >= ? AND seq < ? ORDER BY seq",
                [from, to],
                |row| take(audit_row(row)?),
            ),
            Ledger::Token(token) => self.each(
                "SELECT seq, NULL, sealed, mac FROM token_audit \
                 WHERE token = ? AND seq >= ? AND seq < ? ORDER BY seq",
                params![token, from, to],
                |row| take(audit_row(row)?),
            ),
        }
    }

    /// Appends an entry; one that is already there is never replaced. A token's chain records no change.
    pub(crate) fn append_audit_entry(&self, ledger: Ledger, entry: &AuditRow) -> Result<()> {
        let seq = number(entry.seq)?;
        match ledger {
            Ledger::Vault => self.run(
                "INSERT INTO audit (seq, change, sealed, mac) VALUES (?, ?, ?, ?)",
                params![seq, entry.change.map(number).transpose()?, entry.sealed, entry.mac],
            ),
            Ledger::Token(token) => self.run(
                "INSERT INTO token_audit (token, seq, sealed, mac) VALUES (?, ?, ?, ?)",
                params![token, seq, entry.sealed, entry.mac],
            ),
        }
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
