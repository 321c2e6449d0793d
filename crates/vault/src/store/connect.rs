//! Opening the connection: every switch that keeps a hostile file from doing anything but being read.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};
use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::schema::{APPLICATION_ID, FORMAT, OBJECTS};
use super::{HeaderRow, Store, StoreError};

/// Size of a page, in bytes.
const PAGE: u32 = 4096;

impl Store {
    /// Opens an existing vault and reads its head. `path` is canonical and has been checked for owner, mode and kind.
    pub fn open(path: PathBuf) -> Result<(Self, HeaderRow), StoreError> {
        let frozen = is_frozen(&path);
        Self::open_as(path, frozen)
    }

    /// The same without a lock, and without making the side files that there are not: for a look that nothing depends
    /// on. Somebody who writes meanwhile makes it a look at nothing.
    pub fn open_untouched(path: PathBuf) -> Result<(Self, HeaderRow), StoreError> {
        let complete = !has_content(&path, "-wal");
        Self::open_as(path, complete)
    }

    fn open_as(path: PathBuf, immutable: bool) -> Result<(Self, HeaderRow), StoreError> {
        let file = path.clone();
        let store = Self { connection: connect(&path, immutable)?, path };
        // In one transaction, which is begun once: this is on the way of every command.
        let tx = store.begin_reading()?;
        check_format(tx.connection)?;
        check_pages(tx.connection, immutable)?;
        check_length(&file)?;
        check_schema(tx.connection)?;
        let header = tx.header()?;
        tx.commit()?;
        Ok((store, header))
    }

    /// Opens an empty file, to be filled by [`Store::copy_into`].
    pub fn blank(path: PathBuf) -> Result<Self, StoreError> {
        Ok(Self { connection: connect(&path, false)?, path })
    }

    /// Turns the empty file at `path` (made by the caller with the mode it wants; side files inherit it) into a
    /// vault without content.
    pub fn create(path: PathBuf) -> Result<Self, StoreError> {
        let connection = connect(&path, false)?;
        connection.execute_batch(&format!("PRAGMA page_size = {PAGE}"))?;
        use_log(&connection)?;
        connection.execute_batch("BEGIN IMMEDIATE")?;
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
        connection.pragma_update(None, "user_version", FORMAT)?;
        for (_, _, _, statement) in OBJECTS {
            connection.execute_batch(statement)?;
        }
        connection.execute_batch("COMMIT")?;
        Ok(Self { connection, path })
    }
}

/// Gives a new file its write-ahead log, for good. SQLite names the new mode before it is written, so the statement is
/// run to its end, where a fault shows; and one that it gets over leaves the old mode and no error.
fn use_log(connection: &Connection) -> Result<(), StoreError> {
    let mut statement = connection.prepare("PRAGMA journal_mode = WAL")?;
    let mut rows = statement.query([])?;
    let mut mode = String::new();
    while let Some(row) = rows.next()? {
        mode = row.get(0)?;
    }
    if mode == "wal" { Ok(()) } else { Err(StoreError::Io(format!("the journal mode stays {mode}"))) }
}

fn connect(path: &Path, immutable: bool) -> Result<Connection, StoreError> {
    let flags =
        OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = if immutable {
        let flags = flags | OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        Connection::open_with_flags(immutable_uri(path), flags)?
    } else {
        Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_READ_WRITE)?
    };
    // Nothing in the file may call a function, write to the schema, or be run.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    // A log that belongs to another file must not be folded into this one merely because we go away.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, 64 << 20)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.busy_timeout(super::PATIENCE)?;
    connection.execute_batch(
        "PRAGMA mmap_size = 0; PRAGMA cell_size_check = ON; PRAGMA secure_delete = ON; \
         PRAGMA wal_autocheckpoint = 0; PRAGMA temp_store = MEMORY; \
         PRAGMA cache_size = 48;",
    )?;
    Ok(connection)
}

/// Another program may have given the file another journal or other pages. In any mode but WAL a crash would leave a
/// journal, which would be needed then and is refused.
fn check_pages(connection: &Connection, immutable: bool) -> Result<(), StoreError> {
    if connection.query_row("PRAGMA page_size", [], |row| row.get::<_, u32>(0))? != PAGE {
        return Err(StoreError::Damaged { what: "the page size is not 4096".to_owned() });
    }
    let mode = connection.query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0))?;
    // A file that was opened as one that never changes has no journal either.
    if mode == "wal" || immutable { Ok(()) } else { Err(StoreError::NoLog) }
}

/// A file cut off within its last page is filled up with zeros by SQLite, and only who reads there would notice. With a
/// log beside it, a checkpoint may have died in the middle of that page, and the log still has it whole.
fn check_length(path: &Path) -> Result<(), StoreError> {
    match std::fs::metadata(path) {
        Ok(file) if file.len() % u64::from(PAGE) != 0 && !has_content(path, "-wal") => {
            Err(StoreError::Damaged { what: "the file is cut off within a page".to_owned() })
        }
        // What cannot be looked at is opened in vain as well, and that error says more.
        _ => Ok(()),
    }
}

fn has_content(path: &Path, suffix: &str) -> bool {
    let mut side = path.as_os_str().to_owned();
    side.push(suffix);
    std::fs::symlink_metadata(side).is_ok_and(|found| found.len() > 0)
}

/// Whether the file lies, without a log, where nothing can be written. SQLite wants to make a log's index even to read
/// and could not; told that the file never changes it does without. Should somebody with another view of the file
/// system change it meanwhile, what is read does not fit the tree and is refused.
fn is_frozen(path: &Path) -> bool {
    let folder = path.parent().unwrap_or(Path::new("/"));
    !has_content(path, "-wal")
        && !has_content(path, "-shm")
        && matches!(access(folder, Access::WRITE_OK), Err(Errno::ROFS | Errno::ACCESS))
}

/// The path as SQLite's URI; every byte that could mean something in one is escaped.
fn immutable_uri(path: &Path) -> PathBuf {
    let escaped: String = path
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .map(|byte| match byte {
            b'/' | b'.' | b'_' | b'-' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                char::from(*byte).to_string()
            }
            other => format!("%{other:02x}"),
        })
        .collect();
    PathBuf::from(format!("file:{escaped}?immutable=1"))
}

fn check_format(connection: &Connection) -> Result<(), StoreError> {
    let number =
        |pragma: &str| connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i32>(0));
    if number("application_id")? != APPLICATION_ID {
        return Err(StoreError::NotAVault);
    }
    let format = number("user_version")?;
    match format.cmp(&FORMAT) {
        Ordering::Equal => Ok(()),
        Ordering::Less => Err(StoreError::OlderFormat { format }),
        Ordering::Greater => {
            let written_by = connection.query_row("SELECT written_by FROM vault", [], |row| row.get(0)).ok();
            Err(StoreError::NewerFormat { format, written_by })
        }
    }
}

fn check_schema(connection: &Connection) -> Result<(), StoreError> {
    let mut statement =
        connection.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name")?;
    let mut rows = statement.query([])?;
    let mut expected = OBJECTS.iter();
    while let Some(row) = rows.next()? {
        let text = |column| row.get_ref(column).ok().and_then(|value| value.as_str().ok());
        let found = (text(0), text(1), text(2), text(3));
        let wanted = expected.next().map(|(kind, name, table, sql)| (*kind, *name, *table, *sql));
        if wanted.map(|(kind, name, table, sql)| (Some(kind), Some(name), Some(table), Some(sql)))
            != Some(found)
        {
            let object = found.1.unwrap_or("an unnamed object").to_owned();
            return Err(StoreError::Schema { object });
        }
    }
    match expected.next() {
        None => Ok(()),
        Some((_, name, _, _)) => Err(StoreError::Schema { object: (*name).to_owned() }),
    }
}
