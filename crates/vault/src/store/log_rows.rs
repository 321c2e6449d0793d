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

/// Entries of one ledger have ids from this times its number. The vault's own has number 0.
const LEDGER_IDS: u64 = 1 << 32;

/// The ids of a ledger's entries.
struct Ids(u64);

impl Ids {
    fn of(self, seq: u64) -> Result<i64> {
        if seq < LEDGER_IDS {
            number(self.0 * LEDGER_IDS + seq)
        } else {
            Err(damaged("a number beyond 2^32"))
        }
    }

    /// From the first to the last that there can be.
    fn range(self) -> [i64; 2] {
        let first = i64::try_from(self.0 * LEDGER_IDS).unwrap_or(i64::MAX);
        [first, first.saturating_add((1 << 32) - 1)]
    }
}

impl Tx<'_> {
    /// A ledger's head: (number of entries, sealed head).
    pub(crate) fn log_head(&self, ledger: Ledger) -> Result<(u64, Vec<u8>)> {
        let sql = "SELECT count, sealed, number FROM log_head WHERE ledger = ?";
        let head = self.one(sql, [ledger.id()], "log_head", |row| {
            if ledger == Ledger::Vault && row.get::<_, i64>(2)? != 0 {
                return Err(damaged("log_head.number"));
            }
            Ok((unsigned(row.get(0)?)?, row.get(1)?))
        });
        head?.ok_or_else(|| damaged("log_head"))
    }

    /// Writes the head of a ledger whose entries, if it has any, are there.
    pub(crate) fn put_log_head(&self, ledger: Ledger, count: u64, sealed: &[u8]) -> Result<()> {
        let Ids(ids) = self.new_ids(ledger)?;
        self.run(
            "INSERT OR REPLACE INTO log_head (ledger, number, count, sealed) VALUES (?, ?, ?, ?)",
            params![ledger.id(), number(ids)?, number(count)?, sealed],
        )
    }

    /// The ids of a ledger that has a head.
    fn ids(&self, ledger: Ledger) -> Result<Option<Ids>> {
        match ledger {
            Ledger::Vault => Ok(Some(Ids(0))),
            Ledger::Token(token) => {
                let sql = "SELECT number FROM log_head WHERE ledger = ?";
                self.one(sql, [token], "log_head", |row| match unsigned(row.get(0)?)? {
                    ids @ 1..0x7FFF_FFFF => Ok(Ids(ids)),
                    _ => Err(damaged("log_head.number")),
                })
            }
        }
    }

    /// The ids of a ledger, which gets the lowest number above all others if it is new.
    fn new_ids(&self, ledger: Ledger) -> Result<Ids> {
        if let Some(ids) = self.ids(ledger)? {
            return Ok(ids);
        }
        let sql = "SELECT max(ifnull((SELECT max(number) FROM log_head), 0), ifnull((SELECT max(id) FROM log), 0) >> 32)";
        let highest = self.one(sql, [], "log_head", |row| unsigned(row.get(0)?))?.unwrap_or(0);
        let ids = highest + 1;
        self.run(
            "INSERT INTO log_head (ledger, number, count, sealed) VALUES (?, ?, 0, x'')",
            params![ledger.id(), number(ids)?],
        )?;
        Ok(Ids(ids))
    }

    /// One entry's MAC. It stands before the event, which may be long: an import names every key.
    pub(crate) fn entry_mac(&self, ledger: Ledger, seq: u64) -> Result<Option<[u8; 32]>> {
        let Some(ids) = self.ids(ledger)? else { return Ok(None) };
        self.one("SELECT mac FROM log WHERE id = ?", [ids.of(seq)?], "log", |row| array(row, 0, "log.mac"))
    }

    /// The vault's entry of the first change after `change`; an adoption skips numbers.
    pub(crate) fn entry_of_next_change(&self, change: u64) -> Result<Option<AuditRow>> {
        // The plus keeps SQLite from walking the log instead of the index of changes.
        let sql = "SELECT id, change, sealed, mac FROM log WHERE change > ? AND +id BETWEEN ? AND ? \
                   ORDER BY change LIMIT 1";
        let [first, last] = Ids(0).range();
        self.one(sql, [number(change)?, first, last], "log", entry)
    }

    /// The highest number of an entry.
    pub(crate) fn last_entry(&self, ledger: Ledger) -> Result<Option<u64>> {
        let Some(ids) = self.ids(ledger)? else { return Ok(None) };
        let read = |row: &Row<'_>| row.get::<_, Option<i64>>(0)?.map(seq_of).transpose();
        Ok(self.one("SELECT max(id) FROM log WHERE id BETWEEN ? AND ?", ids.range(), "log", read)?.flatten())
    }

    /// How many rows a ledger has, entries or not.
    pub(crate) fn count_entries(&self, ledger: Ledger) -> Result<u64> {
        let Some(ids) = self.ids(ledger)? else { return Ok(0) };
        let sql = "SELECT count(*) FROM log WHERE id BETWEEN ? AND ?";
        Ok(self.one(sql, ids.range(), "log", |row| unsigned(row.get(0)?))?.unwrap_or_default())
    }

    /// These entries, in order.
    pub(crate) fn each_entry(
        &self,
        ledger: Ledger,
        entries: Range<u64>,
        mut take: impl FnMut(AuditRow) -> Result<()>,
    ) -> Result<()> {
        let Some(ids) = self.ids(ledger)? else { return Ok(()) };
        let [first, last] = ids.range();
        let from = first.saturating_add(i64::try_from(entries.start).unwrap_or(i64::MAX));
        let to = first.saturating_add(i64::try_from(entries.end).unwrap_or(i64::MAX));
        let sql = "SELECT id, change, sealed, mac FROM log WHERE id >= ? AND id < ? AND id <= ? ORDER BY id";
        self.each(sql, [from, to, last], |row| take(entry(row)?))
    }

    /// Appends an entry; one that is already there is never replaced.
    pub(crate) fn append_entry(&self, ledger: Ledger, entry: &AuditRow) -> Result<()> {
        let id = self.new_ids(ledger)?.of(entry.seq)?;
        self.run(
            "INSERT INTO log (id, change, sealed, mac) VALUES (?, ?, ?, ?)",
            params![id, entry.change.map(number).transpose()?, entry.sealed, entry.mac],
        )
    }

    pub(crate) fn delete_ledger(&self, ledger: Ledger) -> Result<()> {
        if let Some(ids) = self.ids(ledger)? {
            self.run("DELETE FROM log WHERE id BETWEEN ? AND ?", ids.range())?;
        }
        self.run("DELETE FROM log_head WHERE ledger = ?", [ledger.id()])
    }

    /// Whether anything is left of a ledger.
    pub(crate) fn has_ledger(&self, ledger: Ledger) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM log_head WHERE ledger = ?1)";
        Ok(self.one(sql, [ledger.id()], "log", |row| Ok(row.get(0)?))?.unwrap_or(false))
    }
}

fn entry(row: &Row<'_>) -> Result<AuditRow> {
    Ok(AuditRow {
        seq: seq_of(row.get(0)?)?,
        change: row.get::<_, Option<i64>>(1)?.map(unsigned).transpose()?,
        sealed: row.get(2)?,
        mac: array(row, 3, "log.mac")?,
    })
}

fn seq_of(id: i64) -> Result<u64> {
    Ok(unsigned(id)? % LEDGER_IDS)
}
