//! The vault's file: SQLite behind the five things that a store does with rows, and what only a file has: locks, a
//! write-ahead log, copies.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::limits::Limit;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use keyvault_os::brief_index;

use super::strays::{self, Stray};
use super::table::{Cells, Key, Order, Result, Rows, Span, Table};
use super::{CHECKPOINT_PATIENCE, Durability, LONG_WAL_FRAMES, PATIENCE, StoreError, Tx};

/// An open vault file whose schema is known to be ours.
#[derive(Debug)]
pub(crate) struct FileStore {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    pub(super) index: Cell<Index>,
}

/// Where the index of the write-ahead log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Index {
    /// In the file that all processes with the vault open share.
    Shared,
    /// In our own memory, if nobody else had the vault open: until the next transaction ends, others wait. See
    /// [`brief_index`].
    Brief,
    /// It was in our own memory. The next transaction needs another connection.
    Ended,
}

impl FileStore {
    /// Begins a transaction that excludes every other writer.
    ///
    /// Waits up to ten seconds for others, with jitter so that many waiters do not wake together; `waiting` is told
    /// each time how long it has been.
    pub(crate) fn begin(
        &mut self,
        durability: Durability,
        waiting: &mut dyn FnMut(Duration),
    ) -> Result<Tx<'_>, StoreError> {
        if durability == Durability::Synced {
            self.let_others_in();
        }
        self.make_ready()?;
        self.begin_ready(durability, waiting)
    }

    /// Begins a transaction as [`FileStore::begin`] does, after [`FileStore::make_ready`], without borrowing the store
    /// exclusively.
    pub(crate) fn begin_ready(
        &self,
        durability: Durability,
        waiting: &mut dyn FnMut(Duration),
    ) -> Result<Tx<'_>, StoreError> {
        // A small cache is quicker where ten keys are read (fewer fresh pages of memory), and a change must not spill.
        self.connection.execute_batch(match durability {
            Durability::Synced => "PRAGMA synchronous = FULL; PRAGMA cache_size = -65536",
            Durability::Logged => "PRAGMA synchronous = NORMAL",
        })?;
        self.connection.busy_timeout(Duration::ZERO)?;
        let begun = Instant::now();
        let mut jitter = None;
        loop {
            match self.connection.execute_batch("BEGIN IMMEDIATE").map_err(StoreError::from) {
                Ok(()) => return Ok(self.begun()),
                Err(StoreError::Busy { .. }) if begun.elapsed() < PATIENCE => {
                    waiting(begun.elapsed());
                    std::thread::sleep(jitter.get_or_insert_with(Jitter::new).next());
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Begins a transaction that sees one state and excludes nobody; it cannot write.
    pub(crate) fn begin_reading(&mut self) -> Result<Tx<'_>, StoreError> {
        self.make_ready()?;
        self.begin_reading_ready()
    }

    /// Begins a reading transaction after [`FileStore::make_ready`], without borrowing the store exclusively.
    pub(crate) fn begin_reading_ready(&self) -> Result<Tx<'_>, StoreError> {
        self.connection.busy_timeout(PATIENCE)?;
        self.connection.execute_batch("BEGIN DEFERRED")?;
        Ok(self.begun())
    }

    fn begun(&self) -> Tx<'_> {
        Tx::of(FileTx { store: self, open: true })
    }

    pub(super) fn data_version(&self) -> Result<i64, StoreError> {
        super::salvage::data_version(&self.connection)
    }

    /// Ends what makes others wait. To be called before anything that takes longer than a millisecond.
    pub(crate) fn let_others_in(&self) {
        // Within a transaction others would write what its commit does not know of.
        if self.index.get() == Index::Brief && self.connection.is_autocommit() {
            let was_alone = brief_index::end(&self.connection);
            self.index.set(if was_alone { Index::Ended } else { Index::Shared });
        }
    }

    /// Has a connection for the next transaction: one whose index of the write-ahead log was its own serves a single one.
    pub(crate) fn make_ready(&mut self) -> Result<(), StoreError> {
        if self.index.get() == Index::Ended {
            *self = Self::open(self.path.clone())?.0;
        }
        Ok(())
    }

    /// Folds the whole write-ahead log into the file, so that `vault.db` alone is complete. `Busy` if readers stay in the way for
    /// longer than a second; then the next change does it.
    pub(crate) fn fold_wal(&self) -> Result<(), StoreError> {
        self.connection.busy_timeout(CHECKPOINT_PATIENCE)?;
        self.checkpoint()
    }

    /// Ends a release: folds the write-ahead log if it has grown long, without waiting for anybody, and lets others in.
    pub(crate) fn finish_release(&self) -> Result<(), StoreError> {
        let folded = self.fold_long_wal();
        self.let_others_in();
        folded
    }

    fn fold_long_wal(&self) -> Result<(), StoreError> {
        const FRAME: u64 = 4096 + 24;
        let mut wal = self.path.clone().into_os_string();
        wal.push("-wal");
        let frames = std::fs::metadata(wal).map_or(0, |wal| wal.len() / FRAME);
        if frames <= LONG_WAL_FRAMES {
            return Ok(());
        }
        self.connection.busy_timeout(Duration::ZERO)?;
        match self.checkpoint() {
            Err(StoreError::Busy { .. }) => Ok(()),
            other => other,
        }
    }

    /// Never PASSIVE: that would leave a write-ahead log that no one truncates.
    fn checkpoint(&self) -> Result<(), StoreError> {
        // The first column says whether somebody was in the way.
        let blocked =
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0))?;
        if blocked { Err(StoreError::Busy { holder: None }) } else { Ok(()) }
    }

    /// Rewrites the file without free pages, so that what was deleted is not left in them.
    pub(crate) fn vacuum(&self) -> Result<(), StoreError> {
        self.connection.busy_timeout(CHECKPOINT_PATIENCE)?;
        // SQLite vacuums through an attached temporary file; nothing else may attach one.
        self.connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 1)?;
        let vacuumed = self.connection.execute_batch("VACUUM").map_err(StoreError::from);
        self.connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        vacuumed
    }

    /// Copies the whole file, as it stands at one moment, over `target`'s in one transaction. Other processes may write
    /// here meanwhile; those that hold `target` are waited for. `may` is asked when no other writer can change `target`
    /// any more, and before a page of it is written.
    pub(crate) fn copy_into<E: From<StoreError>>(
        &self,
        target: &mut Self,
        may: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let connect = |store: &Self| store.connection.busy_timeout(Duration::ZERO).map_err(StoreError::from);
        connect(self)?;
        connect(target)?;
        let synced = target.connection.execute_batch("PRAGMA synchronous = FULL");
        synced.map_err(StoreError::from)?;
        let backup = Backup::new(&self.connection, &mut target.connection).map_err(StoreError::from)?;
        // A step of no pages takes the locks.
        step(&backup, 0)?;
        may()?;
        // As with a commit: the next process that opens the file may find the copy whole although its sync failed.
        Ok(step(&backup, -1).map_err(StoreError::of_a_commit)?)
    }

    /// Lets go of the connection without closing it: the process is about to become another program, and exec(2)
    /// closes the descriptors and drops the locks. Closing would cost what nobody needs.
    #[allow(clippy::mem_forget, reason = "the process image that owns this memory is about to be replaced")]
    pub(crate) fn leave_open(self) {
        std::mem::forget(self);
    }

    /// Where the file is.
    #[must_use]
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.path
    }
}

struct FileTx<'a> {
    store: &'a FileStore,
    open: bool,
}

impl Drop for FileTx<'_> {
    fn drop(&mut self) {
        if self.open {
            // A rollback that fails has already happened: SQLite rolls back by itself on a failed commit.
            let _ = self.store.connection.execute_batch("ROLLBACK");
            // After a commit there may be a write-ahead log to fold.
            self.store.let_others_in();
        }
    }
}

impl Rows for FileTx<'_> {
    fn scan(
        &self,
        table: Table,
        columns: &'static [&'static str],
        span: &Span,
        order: Order,
        take: &mut dyn FnMut(Cells) -> Result<()>,
    ) -> Result<()> {
        let (condition, values) = condition(span);
        let sql = selection(table, columns, condition, order);
        let mut statement = self.store.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        while let Some(row) = rows.next().map_err(|error| of_table(table, error))? {
            if let Span::Except(keys) = span
                && Key::of(&row.get(columns.len())?).is_some_and(|key| keys.contains(&key))
            {
                continue;
            }
            take(cells(row, columns.len()).map_err(|error| of_table(table, error))?)?;
            if order == Order::Last {
                break;
            }
        }
        Ok(())
    }

    fn put(&self, table: Table, row: Cells) -> Result<()> {
        self.insert("INSERT OR REPLACE", table, row)
    }

    fn append(&self, table: Table, row: Cells) -> Result<()> {
        self.insert("INSERT", table, row)
    }

    fn delete(&self, table: Table, span: &Span, second: Option<&Value>) -> Result<usize> {
        if let Span::Except(keys) = span {
            return self.delete_all_but(table, keys, second);
        }
        let (condition, mut values) = condition(span);
        let mut sql = format!("DELETE FROM {}", table.name());
        restrict(&mut sql, table, condition);
        if let Some((value, column)) = second.zip(table.columns().get(1)) {
            sql += if condition.is_empty() { " WHERE " } else { " AND " };
            sql = sql + column + " = ?";
            values.push(value.clone());
        }
        Ok(self.store.connection.prepare_cached(&sql)?.execute(params_from_iter(values))?)
    }

    fn entry_of_next_change(&self, above: i64, [first, last]: [i64; 2]) -> Result<Option<Cells>> {
        // The plus keeps SQLite from walking the log instead of the index of changes.
        let sql = "SELECT id, change, mac, sealed FROM log WHERE change > ? AND +id BETWEEN ? AND ? \
                   ORDER BY change LIMIT 1";
        let mut statement = self.store.connection.prepare_cached(sql)?;
        let found = statement.query_row([above, first, last], |row| Ok(cells(row, 4))).optional();
        found.map_err(|error| of_table(Table::Log, error))?.transpose()
    }

    fn commit(mut self: Box<Self>) -> Result<()> {
        let committed = self.store.connection.execute_batch("COMMIT");
        committed.map_err(|error| StoreError::from(error).of_a_commit())?;
        self.open = false;
        Ok(())
    }

    /// SQLite's own check of pages and b-trees.
    fn page_faults(&self) -> Result<Vec<String>> {
        let mut statement = self.store.connection.prepare("PRAGMA integrity_check(20)")?;
        let faults = statement.query_map([], |row| row.get::<_, String>(0))?;
        let faults: rusqlite::Result<Vec<_>> = faults.filter(|fault| fault.as_deref() != Ok("ok")).collect();
        Ok(faults?)
    }

    fn strays(&self) -> Result<Vec<Stray>> {
        strays::all(&self.store.connection)
    }
}

impl FileTx<'_> {
    fn delete_all_but(&self, table: Table, kept: &BTreeSet<Key>, second: Option<&Value>) -> Result<usize> {
        let mut others = Vec::new();
        let columns = table.columns().get(..1).unwrap_or_default();
        self.scan(table, columns, &Span::All, Order::Ascending, &mut |cells| {
            let key = cells.into_iter().next();
            others.extend(key.filter(|key| Key::of(key).is_none_or(|key| !kept.contains(&key))));
            Ok(())
        })?;
        others.dedup();
        others.into_iter().try_fold(0, |rows, key| Ok(rows + self.delete(table, &Span::one(key), second)?))
    }

    fn insert(&self, verb: &str, table: Table, row: Cells) -> Result<()> {
        let columns = table.columns();
        let places = vec!["?"; columns.len()].join(", ");
        let sql = format!("{verb} INTO {} ({}) VALUES ({places})", table.name(), columns.join(", "));
        self.store.connection.prepare_cached(&sql)?.execute(params_from_iter(row))?;
        Ok(())
    }
}

/// The statement that reads these columns, and behind them the first of the key, for which `Span::Except` asks. Put together
/// by hand: an `exec` of ten keys reads sixty times.
fn selection(table: Table, columns: &[&str], condition: &str, order: Order) -> String {
    let key = table.columns().get(..table.key_len()).unwrap_or_default();
    let mut sql = String::with_capacity(128);
    sql += "SELECT ";
    for column in columns {
        sql += column;
        sql += ", ";
    }
    sql += key.first().copied().unwrap_or_default();
    sql += " FROM ";
    sql += table.name();
    restrict(&mut sql, table, condition);
    let mut before = " ORDER BY ";
    for column in key {
        sql += before;
        sql += column;
        sql += if order == Order::Last { " DESC" } else { "" };
        before = ", ";
    }
    sql
}

/// Adds the condition on the first column of the key.
fn restrict(sql: &mut String, table: Table, condition: &str) {
    if !condition.is_empty() {
        *sql += " WHERE ";
        *sql += table.columns().first().copied().unwrap_or_default();
        *sql += condition;
    }
}

/// The condition on a row's key that it is in the span, and its values.
fn condition(span: &Span) -> (&'static str, Vec<Value>) {
    match span {
        Span::Between(first, last) if first == last => (" = ?", vec![first.clone()]),
        Span::Between(first, last) => (" BETWEEN ? AND ?", vec![first.clone(), last.clone()]),
        // Not as a condition: there may be more keys than a statement has parameters.
        Span::All | Span::Except(_) => ("", Vec::new()),
    }
}

fn cells(row: &Row<'_>, columns: usize) -> Result<Cells> {
    (0..columns).map(|column| Ok(row.get(column)?)).collect()
}

/// Damage is told with its table.
fn of_table(table: Table, error: impl Into<StoreError>) -> StoreError {
    match error.into() {
        StoreError::Damaged { what } => StoreError::Damaged { what: format!("{}: {what}", table.name()) },
        other => other,
    }
}

/// Copies so many pages (all: -1), once nobody is in the way.
pub(super) fn step(backup: &Backup<'_, '_>, pages: i32) -> Result<(), StoreError> {
    let begun = Instant::now();
    let mut jitter = Jitter::new();
    loop {
        match backup.step(pages)? {
            StepResult::Done => return Ok(()),
            StepResult::More if pages >= 0 => return Ok(()),
            _ if begun.elapsed() >= PATIENCE => return Err(StoreError::Busy { holder: None }),
            _ => std::thread::sleep(jitter.next()),
        }
    }
}

/// Sleeps between tries: between half a millisecond and a bound that doubles up to 16 ms. Spread by process id and
/// clock; it needs to differ between processes, not to be unpredictable.
struct Jitter {
    bound_micros: u64,
    state: u64,
}

impl Jitter {
    fn new() -> Self {
        let nanos = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(1, |since| u64::from(since.subsec_nanos()));
        Self { bound_micros: 1000, state: nanos ^ (u64::from(std::process::id()) << 32) | 1 }
    }

    fn next(&mut self) -> Duration {
        // xorshift64 (Marsaglia 2003).
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let wait = 500 + self.state % self.bound_micros;
        self.bound_micros = (self.bound_micros * 2).min(16_000);
        Duration::from_micros(wait)
    }
}
