//! The file: SQLite behind narrow, typed reads and writes of sealed rows.
//!
//! The store knows rows and transactions, no plaintext and no key. Everything that it reads is untrusted: lengths are
//! checked here, meaning and authenticity above. All work goes through one connection and one `BEGIN IMMEDIATE` at a
//! time ([`Tx`]), so a command sees and writes one state.

mod connect;
mod log_rows;
mod object_rows;
mod rows;
mod salvage;
mod schema;
mod strays;
mod token_rows;
mod tree_rows;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode};

use keyvault_os::brief_index;

pub(crate) use log_rows::Ledger;
pub(crate) use object_rows::{ObjectKind, ObjectRow};
pub(crate) use rows::{AuditRow, HeaderRow, SlotRow, StateRow, Tag, VersionRow};
pub use salvage::Oddity;
pub(crate) use salvage::{Original, Salvaged};
pub use strays::Stray;
pub use token_rows::TokenId;
pub(crate) use token_rows::{GrantRow, TokenCounts, ViewRow};

/// Most slots a vault may have; more are an attack on a command that tries them one by one.
pub(crate) const MAX_SLOTS: usize = 32;

/// The highest number of a slot: a new one gets the lowest from 1 that is free, and there are never more than
/// [`MAX_SLOTS`].
pub(crate) const HIGHEST_SLOT: u32 = 32;

/// How long a command waits for another one to finish.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a change waits, once committed, for readers to let it fold the write-ahead log into the file. The
/// change is durable already.
const CHECKPOINT_PATIENCE: Duration = Duration::from_secs(1);

/// A write-ahead log longer than this costs each start more than a checkpoint does (every opener rebuilds its index).
const LONG_WAL_FRAMES: u64 = 64;

/// Why the file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Not a SQLite file, or one of another program.
    #[error("not a vault")]
    NotAVault,
    /// A vault in a format that only builds before the first release wrote.
    #[error("format {format}")]
    OlderFormat {
        /// The file's format number.
        format: i32,
    },
    /// A vault in a format that this binary does not know.
    #[error("format {format}")]
    NewerFormat {
        /// The file's format number.
        format: i32,
        /// The version of keyvault that wrote it, if it says so.
        written_by: Option<String>,
    },
    /// The schema is not the one that this format has.
    #[error("schema: {what}")]
    Schema {
        /// The object that is missing, extra or different.
        what: String,
    },
    /// One of the two numbers in SQLite's header is not a vault's, and everything else is.
    #[error("header: {field} is {found}")]
    Number {
        /// `application_id` or `user_version`.
        field: &'static str,
        found: i32,
    },
    /// A row or the file itself does not have the shape it must have.
    #[error("damaged: {what}")]
    Damaged {
        /// Which row or structure.
        what: String,
    },
    /// Another program took the file's write-ahead log away.
    #[error("damaged: the journal mode is not WAL")]
    NoWal,
    /// Another process held the vault for the whole time that we were ready to wait.
    #[error("busy")]
    Busy,
    /// The disk failed at the moment of the commit.
    #[error("at the commit: {0}")]
    Undecided(String),
    /// The disk is full.
    #[error("disk full")]
    Full,
    /// The file or its folder cannot be written.
    #[error("read-only")]
    ReadOnly,
    /// The system failed to read, write or sync.
    #[error("input/output: {0}")]
    Io(String),
    /// SQLite was compiled in a way that a vault must not be kept with.
    #[error("unfit SQLite: {what}")]
    Build {
        /// The option.
        what: String,
    },
    /// Anything else SQLite says; never expected.
    #[error("SQLite: {0}")]
    Sqlite(String),
}

impl StoreError {
    /// The error of a commit: after an I/O error, it is open whether the commit happened.
    fn of_a_commit(self) -> Self {
        match self {
            Self::Io(text) => Self::Undecided(text),
            other => other,
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let code = error.sqlite_error_code();
        let text = error.to_string();
        match code {
            Some(ErrorCode::NotADatabase) => Self::NotAVault,
            Some(ErrorCode::DatabaseCorrupt) if text.starts_with("malformed database schema") => {
                Self::Schema { what: text }
            }
            // A hostile schema fails as an unknown error, while SQLite reads it.
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::Unknown) => Self::Damaged { what: text },
            // The last is what SQLite says after ten seconds of an index that it may not look at.
            Some(
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed,
            ) => Self::Busy,
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::ReadOnly) => Self::ReadOnly,
            Some(
                ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::OutOfMemory,
            ) => Self::Io(text),
            _ => match error {
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::Utf8Error(..) => Self::Damaged { what: text },
                _ => Self::Sqlite(text),
            },
        }
    }
}

/// How much a commit promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// On the disk before the commit returns: changes.
    Synced,
    /// Survives the death of the process, but a power cut may cost the last of them: read events.
    Logged,
}

/// An open vault file whose schema is known to be ours.
#[derive(Debug)]
pub(crate) struct Store {
    connection: Connection,
    path: PathBuf,
    index: Cell<Index>,
}

/// Where the index of the write-ahead log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Index {
    /// In the file that all processes with the vault open share.
    Shared,
    /// In our own memory, if nobody else had the vault open: until the next transaction ends, others wait. See
    /// [`brief_index`].
    Brief,
    /// It was in our own memory. The next transaction needs another connection.
    Ended,
}

impl Store {
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

    /// Begins a transaction as [`Store::begin`] does, after [`Store::make_ready`], without borrowing the store
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
                Err(StoreError::Busy) if begun.elapsed() < PATIENCE => {
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

    /// Begins a reading transaction after [`Store::make_ready`], without borrowing the store exclusively.
    pub(crate) fn begin_reading_ready(&self) -> Result<Tx<'_>, StoreError> {
        self.connection.busy_timeout(PATIENCE)?;
        self.connection.execute_batch("BEGIN DEFERRED")?;
        Ok(self.begun())
    }

    fn begun(&self) -> Tx<'_> {
        Tx { connection: &self.connection, store: self, open: true, malformed: RefCell::new(None) }
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
            Err(StoreError::Busy) => Ok(()),
            other => other,
        }
    }

    /// Never PASSIVE: that would leave a write-ahead log that no one truncates.
    fn checkpoint(&self) -> Result<(), StoreError> {
        // The first column says whether somebody was in the way.
        let blocked =
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0))?;
        if blocked { Err(StoreError::Busy) } else { Ok(()) }
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

/// One transaction. Dropped without [`Tx::commit`], it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Tx<'a> {
    connection: &'a Connection,
    store: &'a Store,
    open: bool,
    /// Tables of which a row was passed over; `None` while such a row is an error.
    malformed: RefCell<Option<BTreeSet<String>>>,
}

impl Tx<'_> {
    /// From here on, reading many rows passes over those whose columns have the wrong shape. Anybody can put such a row
    /// there without a key; nothing that is proved needs it.
    pub(crate) fn pass_over_malformed(&self) {
        self.malformed.borrow_mut().get_or_insert_default();
    }

    /// The tables of which a row was passed over.
    pub(crate) fn malformed(&self) -> BTreeSet<String> {
        self.malformed.borrow().clone().unwrap_or_default()
    }
}

impl Tx<'_> {
    /// Makes everything written so far permanent, or nothing.
    ///
    /// A sync that failed decides nothing: the next process that opens the file may find the transaction complete. That
    /// is [`StoreError::Undecided`].
    pub(crate) fn commit(mut self) -> Result<(), StoreError> {
        self.connection.execute_batch("COMMIT").map_err(|error| StoreError::from(error).of_a_commit())?;
        self.open = false;
        Ok(())
    }
}

impl Drop for Tx<'_> {
    fn drop(&mut self) {
        if self.open {
            // A rollback that fails has already happened: SQLite rolls back by itself on a failed commit.
            let _ = self.connection.execute_batch("ROLLBACK");
            // After a commit there may be a write-ahead log to fold.
            self.store.let_others_in();
        }
    }
}

/// Copies so many pages (all: -1), once nobody is in the way.
fn step(backup: &Backup<'_, '_>, pages: i32) -> Result<(), StoreError> {
    let begun = Instant::now();
    let mut jitter = Jitter::new();
    loop {
        match backup.step(pages)? {
            StepResult::Done => return Ok(()),
            StepResult::More if pages >= 0 => return Ok(()),
            _ if begun.elapsed() >= PATIENCE => return Err(StoreError::Busy),
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
