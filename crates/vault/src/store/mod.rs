//! Where the rows are: a SQLite file, or memory. Narrow, typed reads and writes of sealed rows over the few things that
//! every store does with rows ([`table::Rows`]).
//!
//! The store knows rows and transactions, no plaintext and no key. Everything that it reads is untrusted: lengths are
//! checked here, meaning and authenticity above. A command sees and writes one state, in one transaction ([`Tx`]) that
//! excludes every other writer.

mod connect;
mod error;
mod file;
mod issued_rows;
mod log_rows;
mod memory;
mod object_rows;
mod rows;
mod salvage;
mod schema;
mod strays;
mod table;
mod token_rows;
mod tree_rows;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use self::memory::MemoryStore;
use self::table::Rows;

pub use error::StoreError;
pub(crate) use error::{THE_FILE, damage};
pub(crate) use file::FileStore;
pub(crate) use issued_rows::{PageRow, SetRow};
pub(crate) use log_rows::Ledger;
pub use log_rows::LedgerId;
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

/// How much a commit promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// On the disk before the commit returns: changes.
    Synced,
    /// Survives the death of the process, but a power cut may cost the last of them: read events.
    Logged,
}

/// A vault's rows.
pub(crate) enum Store {
    File(FileStore),
    Memory(MemoryStore),
}

impl From<FileStore> for Store {
    fn from(file: FileStore) -> Self {
        Self::File(file)
    }
}

impl Store {
    pub(crate) fn in_memory() -> Self {
        Self::Memory(MemoryStore::default())
    }

    /// The file, where there is one: locks, a write-ahead log, and copies are its matter alone.
    pub(crate) fn file(&self) -> Option<&FileStore> {
        match self {
            Self::File(file) => Some(file),
            Self::Memory(_) => None,
        }
    }

    pub(crate) fn file_mut(&mut self) -> Option<&mut FileStore> {
        match self {
            Self::File(file) => Some(file),
            Self::Memory(_) => None,
        }
    }

    /// Begins a transaction that excludes every other writer, after others were waited for; see [`FileStore::begin`].
    pub(crate) fn begin(
        &mut self,
        durability: Durability,
        waiting: &mut dyn FnMut(Duration),
    ) -> Result<Tx<'_>, StoreError> {
        match self {
            Self::File(file) => file.begin(durability, waiting),
            Self::Memory(memory) => Ok(memory.begin()),
        }
    }

    /// Begins a transaction as [`Store::begin`] does, after [`Store::make_ready`], without borrowing the store
    /// exclusively.
    pub(crate) fn begin_ready(
        &self,
        durability: Durability,
        waiting: &mut dyn FnMut(Duration),
    ) -> Result<Tx<'_>, StoreError> {
        match self {
            Self::File(file) => file.begin_ready(durability, waiting),
            Self::Memory(memory) => Ok(memory.begin()),
        }
    }

    /// Begins a transaction that sees one state and excludes nobody; it cannot write.
    pub(crate) fn begin_reading(&mut self) -> Result<Tx<'_>, StoreError> {
        self.make_ready()?;
        self.begin_reading_ready()
    }

    /// Begins a reading transaction after [`Store::make_ready`], without borrowing the store exclusively.
    pub(crate) fn begin_reading_ready(&self) -> Result<Tx<'_>, StoreError> {
        match self {
            Self::File(file) => file.begin_reading_ready(),
            Self::Memory(memory) => Ok(memory.begin()),
        }
    }

    /// Has whatever the next transaction needs.
    pub(crate) fn make_ready(&mut self) -> Result<(), StoreError> {
        self.file_mut().map_or(Ok(()), FileStore::make_ready)
    }

    /// A number that becomes another one when another connection changes the file.
    pub(crate) fn data_version(&self) -> Result<i64, StoreError> {
        self.file().map_or(Ok(0), FileStore::data_version)
    }

    /// Ends what makes others wait.
    pub(crate) fn let_others_in(&self) {
        if let Some(file) = self.file() {
            file.let_others_in();
        }
    }

    /// The file that every operation on files needs.
    pub(crate) fn in_file(&self) -> Result<&FileStore, StoreError> {
        self.file().ok_or(StoreError::NoFile)
    }

    /// Where the vault is, for people.
    pub(crate) fn path(&self) -> &Path {
        self.file().map_or(Path::new("(memory)"), FileStore::path)
    }
}

/// One transaction. Dropped without [`Tx::commit`], it leaves nothing behind.
pub(crate) struct Tx<'a> {
    rows: Box<dyn Rows + 'a>,
    /// Tables of which a row was passed over; `None` while such a row is an error.
    malformed: RefCell<Option<BTreeSet<String>>>,
}

impl<'a> Tx<'a> {
    fn of(rows: impl Rows + 'a) -> Self {
        Self { rows: Box::new(rows), malformed: RefCell::new(None) }
    }
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

    /// Makes everything written so far permanent, or nothing.
    ///
    /// A sync that failed decides nothing: the next process that opens the file may find the transaction complete. That
    /// is [`StoreError::Undecided`].
    pub(crate) fn commit(self) -> Result<(), StoreError> {
        self.rows.commit()
    }

    /// Faults of the file's pages.
    pub(crate) fn page_faults(&self) -> Result<Vec<String>, StoreError> {
        self.rows.page_faults()
    }

    /// Rows that a vault written only by keyvault does not have. Without a key nothing is proved by them.
    pub(crate) fn strays(&self) -> Result<Vec<Stray>, StoreError> {
        self.rows.strays()
    }
}
