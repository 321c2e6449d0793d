//! Opening the connection: every switch that keeps a hostile file from doing anything but being read.

use std::cell::Cell;
use std::cmp::Ordering;
use std::ffi::CStr;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};
use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::file::Index;
use super::salvage::oddities;
use super::schema::{APPLICATION_ID, FORMAT, OBJECTS, PAGE};
use super::{FileStore, HeaderRow, StoreError};
use keyvault_os::{brief_index, sqlite_build};

impl FileStore {
    /// Opens an existing vault and reads its head. `path` is canonical and has been checked for owner, mode and kind.
    pub(crate) fn open(path: PathBuf) -> Result<(Self, HeaderRow), StoreError> {
        let opening = Opening::of(&path);
        Self::open_as(path, opening)
    }

    /// Opens a vault for one transaction that begins at once, such as that of `exec`: if nobody else has the vault
    /// open, others wait until it is over or [`FileStore::let_others_in`] is called.
    pub(crate) fn open_briefly(path: PathBuf) -> Result<(Self, HeaderRow), StoreError> {
        let opening = if is_frozen(&path) {
            Opening::Immutable
        } else if brief_index::register() {
            Opening::Brief
        } else {
            Opening::Shared
        };
        Self::open_as(path, opening)
    }

    /// Opens a vault without a lock, and without making missing side files: for a look that nothing depends on. If
    /// another process writes meanwhile, the look shows nothing.
    pub(crate) fn open_untouched(path: PathBuf) -> Result<(Self, HeaderRow), StoreError> {
        let opening = if has_content(&path, "-wal") { Opening::Shared } else { Opening::Immutable };
        Self::open_as(path, opening)
    }

    fn open_as(path: PathBuf, opening: Opening) -> Result<(Self, HeaderRow), StoreError> {
        let file = path.clone();
        let index = if opening == Opening::Brief { Index::Brief } else { Index::Shared };
        let store = Self { connection: connect(&path, opening)?, path, index: Cell::new(index) };
        // In one transaction, which is begun once: this is on the way of every command.
        let tx = store.begin_reading_ready()?;
        check_format(&store.connection)?;
        check_pages(&store.connection, opening)?;
        check_length(&file)?;
        check_schema(&store.connection)?;
        let header = tx.header()?;
        tx.commit()?;
        Ok((store, header))
    }

    /// Opens an empty file, to be filled by [`FileStore::copy_into`].
    pub(crate) fn blank(path: PathBuf) -> Result<Self, StoreError> {
        Ok(Self { connection: connect(&path, Opening::Shared)?, path, index: Cell::new(Index::Shared) })
    }

    /// Turns the empty file at `path` (made by the caller with the mode it wants; side files inherit it) into a
    /// vault without content.
    pub(crate) fn create(path: PathBuf) -> Result<Self, StoreError> {
        let connection = connect(&path, Opening::Shared)?;
        connection.execute_batch(&format!("PRAGMA page_size = {PAGE}"))?;
        use_wal(&connection)?;
        create_objects(&connection)?;
        Ok(Self { connection, path, index: Cell::new(Index::Shared) })
    }
}

/// Makes an empty file a vault's.
pub(super) fn create_objects(connection: &Connection) -> Result<(), StoreError> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", FORMAT)?;
    for (_, _, _, statement) in OBJECTS {
        connection.execute_batch(statement)?;
    }
    Ok(connection.execute_batch("COMMIT")?)
}

/// Gives a new file its write-ahead log, for good. SQLite names the new mode before it is written, so the statement is
/// run to its end, where a fault shows; and one that it gets over leaves the old mode and no error.
pub(super) fn use_wal(connection: &Connection) -> Result<(), StoreError> {
    let mut statement = connection.prepare("PRAGMA journal_mode = WAL")?;
    let mut rows = statement.query([])?;
    let mut mode = String::new();
    while let Some(row) = rows.next()? {
        mode = row.get(0)?;
    }
    if mode == "wal" { Ok(()) } else { Err(StoreError::Io(format!("the journal mode stays {mode}"))) }
}

/// Nothing in the file may call a function, write to the schema, or be run; and a write-ahead log that belongs to another file
/// must not be folded into this one merely because we go away. All this is set here and not where SQLite is compiled, which is
/// the caller's in an installation from a registry.
const SETTINGS: [(DbConfig, bool); 9] = [
    (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
    (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
    (DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false),
    (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
    (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
    (DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true),
];

/// A SQLite that was compiled without what a vault depends on: syncs, the write-ahead log, its own check of pages, locks
/// between threads.
fn refuse_unfit_build() -> Result<(), StoreError> {
    const UNFIT: [&CStr; 6] = [
        c"NO_SYNC",
        c"DISABLE_DIRSYNC",
        c"OMIT_WAL",
        c"OMIT_INTEGRITY_CHECK",
        c"OMIT_PRAGMA",
        c"THREADSAFE=0",
    ];
    match UNFIT.into_iter().find(|option| sqlite_build::has_option(option)) {
        None => Ok(()),
        Some(option) => {
            Err(StoreError::Build { what: format!("compiled with {}", option.to_string_lossy()) })
        }
    }
}

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// Beside others.
    Shared,
    /// For one transaction, with the write-ahead log's index in our own memory if nobody else has the vault open.
    Brief,
    /// As one that never changes.
    Immutable,
}

impl Opening {
    pub(super) fn of(path: &Path) -> Self {
        if is_frozen(path) { Self::Immutable } else { Self::Shared }
    }
}

fn connect(path: &Path, opening: Opening) -> Result<Connection, StoreError> {
    let connection = open_connection(path, opening)?;
    set_up(connection, opening)
}

/// Connects to a file whose schema SQLite may not be able to read: its pages can be copied all the same.
pub(super) fn connect_tolerant(path: &Path, opening: Opening) -> Result<Connection, StoreError> {
    let connection = open_connection(path, opening)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, true)?;
    set_up(connection, opening)
}

fn open_connection(path: &Path, opening: Opening) -> Result<Connection, StoreError> {
    let flags =
        OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let writable = flags | OpenFlags::SQLITE_OPEN_READ_WRITE;
    let connection = match opening {
        Opening::Shared => Connection::open_with_flags(path, writable)?,
        Opening::Brief => Connection::open_with_flags_and_vfs(path, writable, brief_index::NAME)?,
        Opening::Immutable => {
            let flags = flags | OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
            Connection::open_with_flags(immutable_uri(path), flags)?
        }
    };
    harden(&connection)?;
    Ok(connection)
}

/// Sets every switch of a connection that is new.
pub(super) fn harden(connection: &Connection) -> Result<(), StoreError> {
    refuse_unfit_build()?;
    for (setting, value) in SETTINGS {
        if connection.set_db_config(setting, value)? != value {
            return Err(StoreError::Build { what: format!("{setting:?} cannot be set") });
        }
    }
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, 64 << 20)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    Ok(())
}

fn set_up(connection: Connection, opening: Opening) -> Result<Connection, StoreError> {
    connection.set_prepared_statement_cache_capacity(64);
    connection.busy_timeout(super::PATIENCE)?;
    connection.execute_batch(
        "PRAGMA mmap_size = 0; PRAGMA cell_size_check = ON; PRAGMA secure_delete = ON; \
         PRAGMA wal_autocheckpoint = 0; PRAGMA temp_store = MEMORY;",
    )?;
    // In pages. The way to a row is a dozen of them, and each that is kept beyond is a fresh page of memory: among 100,000 keys
    // an `exec` of ten reads 94 pages with 24 as with 48, and takes 30 page faults less.
    connection.execute_batch(match opening {
        Opening::Brief => "PRAGMA cache_size = 24",
        Opening::Shared | Opening::Immutable => "PRAGMA cache_size = 48",
    })?;
    Ok(connection)
}

/// Another program may have given the file another journal or other pages. In any mode but WAL a crash would leave a
/// journal, which would be needed then and is refused.
fn check_pages(connection: &Connection, opening: Opening) -> Result<(), StoreError> {
    if connection.query_row("PRAGMA page_size", [], |row| row.get::<_, u32>(0))? != PAGE {
        return Err(StoreError::Damaged { what: "the page size is not 4096".to_owned() });
    }
    let mode = connection.query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0))?;
    // A file that was opened as one that never changes has no journal either.
    if mode == "wal" || opening == Opening::Immutable { Ok(()) } else { Err(StoreError::NoWal) }
}

/// A file cut off within its last page is filled up with zeros by SQLite, and only a reader of that page would notice.
/// With a write-ahead log beside it, a checkpoint may have died in the middle of the page, which the log still has whole.
fn check_length(path: &Path) -> Result<(), StoreError> {
    match std::fs::metadata(path) {
        Ok(file) if file.len() % u64::from(PAGE) != 0 && !has_content(path, "-wal") => {
            Err(StoreError::Damaged { what: "the file is cut off within a page".to_owned() })
        }
        // A file that cannot be looked at cannot be opened either, and that error says more.
        _ => Ok(()),
    }
}

fn has_content(path: &Path, suffix: &str) -> bool {
    let mut side = path.as_os_str().to_owned();
    side.push(suffix);
    std::fs::symlink_metadata(side).is_ok_and(|found| found.len() > 0)
}

/// Returns `true` if the file lies, without a write-ahead log, where nothing can be written. SQLite wants to make the
/// log's index even to read and could not; told that the file never changes it does without. Should somebody with
/// another view of the file system change it meanwhile, what is read does not fit the tree and is refused.
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

/// A number that is not ours beside a schema that is ours, word for word, was written by somebody without a key; beside
/// another schema it is another program's, or another format's.
fn check_format(connection: &Connection) -> Result<(), StoreError> {
    let number =
        |pragma: &str| connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i32>(0));
    let (id, format) = (number("application_id")?, number("user_version")?);
    if (id, format) == (APPLICATION_ID, FORMAT) {
        return Ok(());
    }
    if check_schema(connection).is_ok() {
        let (field, found) =
            if id == APPLICATION_ID { ("user_version", format) } else { ("application_id", id) };
        return Err(StoreError::Number { field, found });
    }
    if id != APPLICATION_ID {
        return Err(StoreError::NotAVault);
    }
    match format.cmp(&FORMAT) {
        Ordering::Greater => {
            let written_by = connection.query_row("SELECT written_by FROM vault", [], |row| row.get(0)).ok();
            Err(StoreError::NewerFormat { format, written_by })
        }
        Ordering::Less | Ordering::Equal => Err(StoreError::OlderFormat { format }),
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
            return Err(other_schema(connection));
        }
    }
    if expected.next().is_none() { Ok(()) } else { Err(other_schema(connection)) }
}

/// Names the first thing that is not ours.
fn other_schema(connection: &Connection) -> StoreError {
    match oddities(connection).as_deref() {
        Ok([first, ..]) => StoreError::Schema { what: first.to_string() },
        Ok([]) | Err(_) => StoreError::Schema { what: "its entries cannot be read".to_owned() },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;
    use crate::store::Durability;

    fn header(epoch: u32) -> HeaderRow {
        HeaderRow {
            vault_id: [1; 16],
            epoch,
            written_by: "0".to_owned(),
            chain_seed: vec![2],
            signer: vec![3],
        }
    }

    fn vault() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("vault.db");
        std::fs::write(&path, "").unwrap();
        put_epoch(&mut FileStore::create(path.clone()).unwrap(), 1);
        (folder, path)
    }

    fn put_epoch(store: &mut FileStore, epoch: u32) {
        let tx = store.begin(Durability::Synced, &mut |_| ()).unwrap();
        tx.put_header(&header(epoch)).unwrap();
        tx.commit().unwrap();
    }

    fn epoch(store: &mut FileStore) -> u32 {
        store.begin_reading().unwrap().header().unwrap().epoch
    }

    #[test]
    fn others_wait_for_a_brief_opening_and_it_sees_afterwards_what_they_wrote() {
        let (_folder, path) = vault();
        let (mut brief, found) = FileStore::open_briefly(path.clone()).unwrap();
        assert_eq!(found, header(1));
        let other = std::thread::spawn(move || put_epoch(&mut FileStore::open(path).unwrap().0, 2));
        std::thread::sleep(Duration::from_millis(100));
        assert!(!other.is_finished());
        brief.let_others_in();
        other.join().unwrap();
        assert_eq!(epoch(&mut brief), 2);
    }

    /// One that asked for the last user of the index, and was kept waiting, would take it for a current one.
    #[test]
    fn a_brief_opening_leaves_no_index_that_somebody_left_behind() {
        let (folder, path) = vault();
        let index = folder.path().join("vault.db-shm");
        std::fs::write(&index, vec![7; 32 << 10]).unwrap();
        let (mut brief, _) = FileStore::open_briefly(path).unwrap();
        assert_eq!(std::fs::metadata(&index).unwrap().len(), 3);
        let tx = brief.begin(Durability::Logged, &mut |_| ()).unwrap();
        tx.put_header(&header(7)).unwrap();
        tx.commit().unwrap();
        assert_eq!(std::fs::metadata(&index).unwrap().len(), 3);
        brief.finish_release().unwrap();
        assert_eq!(epoch(&mut brief), 7);
    }

    #[test]
    fn a_release_ends_a_brief_opening_whether_it_commits_or_not() {
        for commits in [true, false] {
            let (_folder, path) = vault();
            let (mut brief, _) = FileStore::open_briefly(path.clone()).unwrap();
            let tx = brief.begin(Durability::Logged, &mut |_| ()).unwrap();
            tx.put_header(&header(7)).unwrap();
            if commits {
                tx.commit().unwrap();
                brief.finish_release().unwrap();
            } else {
                drop(tx);
            }
            let wanted = if commits { 7 } else { 1 };
            let (mut other, found) = FileStore::open(path).unwrap();
            assert_eq!(found.epoch, wanted);
            put_epoch(&mut other, 9);
            assert_eq!(epoch(&mut brief), 9);
        }
    }

    #[test]
    fn a_vault_that_is_open_already_is_shared_and_a_brief_opening_keeps_nobody_out() {
        let (_folder, path) = vault();
        let (mut other, _) = FileStore::open(path.clone()).unwrap();
        let reading = other.begin_reading().unwrap();
        assert_eq!(reading.header().unwrap().epoch, 1);
        let (mut brief, _) = FileStore::open_briefly(path.clone()).unwrap();
        let tx = brief.begin(Durability::Logged, &mut |_| ()).unwrap();
        tx.put_header(&header(3)).unwrap();
        tx.commit().unwrap();
        assert_eq!(reading.header().unwrap().epoch, 1);
        drop(reading);
        assert_eq!(epoch(&mut other), 3);
        assert_eq!(epoch(&mut brief), 3);
    }

    #[test]
    fn a_connection_can_do_nothing_but_read_and_write_rows_whatever_sqlite_was_built_with() {
        let (_folder, path) = vault();
        for store in
            [FileStore::open(path.clone()).unwrap().0, FileStore::open_briefly(path.clone()).unwrap().0]
        {
            let connection = &store.connection;
            for (setting, wanted) in SETTINGS {
                assert_eq!(connection.db_config(setting).unwrap(), wanted, "{setting:?}");
            }
            let pragma = |name: &str| {
                connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0)).unwrap()
            };
            let values = [
                ("mmap_size", 0),
                ("cell_size_check", 1),
                ("secure_delete", 1),
                ("wal_autocheckpoint", 0),
                ("temp_store", 2),
                ("trusted_schema", 0),
            ];
            for (name, wanted) in values {
                assert_eq!(pragma(name), wanted, "{name}");
            }
            assert_eq!(connection.limit(Limit::SQLITE_LIMIT_ATTACHED).unwrap(), 0);
            for refused in ["ATTACH ':memory:' AS other", "SELECT load_extension('x')"] {
                assert!(
                    connection
                        .prepare(refused)
                        .and_then(|mut statement| statement.query([])?.next().map(drop))
                        .is_err(),
                    "{refused}"
                );
            }
            for unwritable in
                ["DELETE FROM sqlite_schema", "PRAGMA writable_schema = ON; DELETE FROM sqlite_schema"]
            {
                assert!(connection.execute_batch(unwritable).is_err(), "{unwritable}");
            }
            store.let_others_in();
        }
    }
}
