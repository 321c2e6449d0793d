//! The rows of a file that is not opened as it is, because its schema or its numbers are not ours: taken over into a store
//! that we make, in memory.
//!
//! Nothing that the file says is compiled into a statement. Its pages are copied, the copy gets our schema over the roots
//! of its tables, and only then are rows read. SQLite parses the file's own statements once, to name what there is, with
//! triggers and views off and no trust in them; those that are none it passes over.

use std::collections::BTreeSet;
use std::path::PathBuf;

use rusqlite::backup::Backup;
use rusqlite::config::DbConfig;
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OpenFlags, params, params_from_iter};

use super::connect::{Opening, connect_tolerant, create_objects, harden, use_wal};
use super::file::{Index, step};
use super::schema::{APPLICATION_ID, FORMAT, OBJECTS, PAGE};
use super::{FileStore, HeaderRow, StoreError};

/// Something in a file that is not a vault's, or that a vault has and the file lacks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Oddity {
    #[error("{0} is not part of a vault")]
    Extra(String),
    #[error("{0} is altered")]
    Altered(String),
    #[error("{0} is missing")]
    Missing(String),
    #[error("{field} is {found} instead of {wanted}")]
    Number { field: &'static str, found: i32, wanted: i32 },
    #[error("{rows} rows of {table} do not fit its columns")]
    Rows { table: &'static str, rows: u64 },
    #[error("table {table} cannot be read to its end")]
    Unreadable { table: &'static str },
    #[error("{0}")]
    File(String),
    #[error("the row of table vault is not whole")]
    Header,
    #[error("the vault's id or epoch is altered")]
    Identity,
}

pub(crate) struct Salvaged {
    /// In memory, under the file's path.
    pub(crate) store: FileStore,
    pub(crate) left: Vec<Oddity>,
}

/// A file to be written over as a whole. No statement of it is run.
pub(crate) struct Original {
    target: FileStore,
    /// Sees whether another process has changed the file while `target` keeps all others from it.
    observer: Connection,
    version: i64,
}

impl Original {
    /// To be opened before the file is read. Its changes from here on are noticed.
    pub(crate) fn open(path: PathBuf) -> Result<Self, StoreError> {
        let observer = connect_tolerant(&path, Opening::Shared)?;
        let connection = connect_tolerant(&path, Opening::Shared)?;
        if connection.query_row("PRAGMA page_size", [], |row| row.get::<_, u32>(0))? != PAGE {
            return Err(StoreError::Damaged { what: "the page size is not 4096".to_owned() });
        }
        if connection.query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0))? != "wal" {
            use_wal(&connection)?;
        }
        let version = data_version(&observer)?;
        Ok(Self { target: FileStore { connection, path, index: Index::Shared.into() }, observer, version })
    }

    /// Puts `source` in the place of the file's content, in one transaction. `changed` is the error if somebody else
    /// has changed the file since it was opened here.
    pub(crate) fn write_over<E: From<StoreError>>(
        &mut self,
        source: &FileStore,
        may: impl FnOnce() -> Result<(), E>,
        changed: impl FnOnce() -> E,
    ) -> Result<(), E> {
        let Self { target, observer, version } = self;
        source.copy_into(target, || {
            may()?;
            if data_version(observer)? == *version { Ok(()) } else { Err(changed()) }
        })
    }
}

/// A number that becomes another one when another connection changes the file.
pub(super) fn data_version(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.query_row("PRAGMA data_version", [], |row| row.get(0))?)
}

impl FileStore {
    /// Takes the rows of the file at `path` over into a store in memory.
    pub(crate) fn salvage(path: PathBuf) -> Result<Salvaged, StoreError> {
        let opening = Opening::of(&path);
        let (pages, mut left) = private_copy(&connect_tolerant(&path, opening)?)?;
        let tables = our_tables(&pages, &mut left)?;
        if left.iter().any(|oddity| matches!(oddity, Oddity::Number { .. })) && left.iter().any(is_of_schema)
        {
            // It may be a format that we do not know.
            return Err(StoreError::NotAVault);
        }
        impose(&pages, &tables)?;
        let connection = memory()?;
        create_objects(&connection)?;
        connection.execute_batch("BEGIN")?;
        for (table, _) in &tables {
            take_rows(&pages, &connection, table, &mut left)?;
        }
        connection.execute_batch("COMMIT")?;
        let mut store = Self { connection, path, index: Index::Shared.into() };
        store.complete_header(&mut left)?;
        Ok(Salvaged { store, left })
    }

    /// Gives the store a row of the head if there is none that can be read: what is missing of it is zero or empty.
    fn complete_header(&mut self, left: &mut Vec<Oddity>) -> Result<(), StoreError> {
        if self.begin_reading()?.header().is_ok() {
            return Ok(());
        }
        let header = self.header_as_far_as_it_goes();
        left.push(Oddity::Header);
        self.put_header(&header)
    }

    /// Writes the row of the head, and nothing besides.
    pub(crate) fn put_header(&mut self, header: &HeaderRow) -> Result<(), StoreError> {
        let tx = self.begin(super::Durability::Synced, &mut |_| ())?;
        tx.put_header(header)?;
        tx.commit()
    }
}

impl FileStore {
    fn header_as_far_as_it_goes(&self) -> HeaderRow {
        let column = |name: &str| {
            let sql = format!("SELECT {name} FROM vault LIMIT 1");
            self.connection.query_row(&sql, [], |row| row.get::<_, Value>(0)).ok()
        };
        let bytes = |name| match column(name) {
            Some(Value::Blob(bytes)) => bytes,
            _ => Vec::new(),
        };
        HeaderRow {
            vault_id: match column("vault_id") {
                Some(Value::Blob(id)) => id.try_into().unwrap_or_default(),
                _ => Default::default(),
            },
            epoch: match column("epoch") {
                Some(Value::Integer(epoch)) => epoch.try_into().unwrap_or(1),
                _ => 1,
            },
            written_by: match column("written_by") {
                Some(Value::Text(version)) => version,
                _ => String::new(),
            },
            chain_seed: bytes("chain_seed"),
            signer: bytes("signer"),
        }
    }
}

/// Objects in the schema of an opened file that ours lacks, and the reverse; by the file's own words.
pub(super) fn oddities(connection: &Connection) -> Result<Vec<Oddity>, StoreError> {
    let mut left = Vec::new();
    our_tables(connection, &mut left)?;
    Ok(left)
}

fn is_of_schema(oddity: &Oddity) -> bool {
    matches!(oddity, Oddity::Extra(_) | Oddity::Altered(_) | Oddity::Missing(_))
}

/// The file's pages in memory, where only we have what they say run; and what is wrong with the file's numbers.
fn private_copy(file: &Connection) -> Result<(Connection, Vec<Oddity>), StoreError> {
    let mut pages = memory()?;
    step(&Backup::new(file, &mut pages)?, -1)?;
    let number = |field: &str| {
        pages.query_row(&format!("PRAGMA {field}"), [], |row| row.get::<_, i32>(0)).map_err(StoreError::from)
    };
    let mut left = Vec::new();
    for (field, wanted) in [("application_id", APPLICATION_ID), ("user_version", FORMAT)] {
        let found = number(field)?;
        left.extend((found != wanted).then_some(Oddity::Number { field, found, wanted }));
    }
    Ok((pages, left))
}

/// A store of ours that no other process sees, with an index of nothing yet.
fn memory() -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE
        | OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_MEMORY;
    let connection = Connection::open_with_flags(":memory:", flags)?;
    harden(&connection)?;
    // It is read past an entry that SQLite cannot parse.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, true)?;
    connection.execute_batch("PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON")?;
    Ok(connection)
}

/// The tables of ours that the file has under their names, whatever it says of their columns, each with its root.
fn our_tables(
    connection: &Connection,
    left: &mut Vec<Oddity>,
) -> Result<Vec<(&'static str, i64)>, StoreError> {
    // Without an index, which somebody may have made of the schema itself.
    let mut statement =
        connection.prepare("SELECT type, name, tbl_name, sql, rootpage FROM sqlite_schema NOT INDEXED")?;
    let mut rows = statement.query([])?;
    let (mut tables, mut whole, mut altered) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    let mut roots = BTreeSet::new();
    while let Some(row) = rows.next()? {
        let text = |column| row.get_ref(column).ok().and_then(|value| value.as_str().ok());
        let (kind, name) = (text(0).unwrap_or("an object"), text(1).unwrap_or("without a name"));
        let ours = OBJECTS.iter().find(|(ours, object, ..)| *ours == kind && *object == name);
        let Some((kind, name, table, sql)) =
            ours.filter(|(_, name, ..)| !whole.contains(name) && !altered.contains(name))
        else {
            left.push(Oddity::Extra(format!("{kind} {name}")));
            continue;
        };
        if (text(2), text(3)) == (Some(*table), Some(*sql)) {
            whole.insert(*name);
        } else {
            altered.insert(*name);
            left.push(Oddity::Altered(format!("{kind} {name}")));
        }
        // The index is rebuilt.
        let root: i64 = row.get(4).unwrap_or(0);
        if *kind == "table" && root > 1 && roots.insert(root) {
            tables.push((*name, root));
        } else if *kind == "table" {
            left.push(Oddity::Unreadable { table: name });
        }
    }
    let missing = OBJECTS.iter().filter(|(_, name, ..)| !whole.contains(name) && !altered.contains(name));
    left.extend(missing.map(|(kind, name, ..)| Oddity::Missing(format!("{kind} {name}"))));
    Ok(tables)
}

/// Puts our statements in the place of all that the copy's schema says.
fn impose(pages: &Connection, tables: &[(&'static str, i64)]) -> Result<(), StoreError> {
    let count: i64 = pages.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    pages.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false)?;
    pages.execute_batch("BEGIN; DELETE FROM sqlite_schema")?;
    for (kind, name, table, sql) in OBJECTS {
        let root = tables.iter().find(|(ours, _)| *ours == name).map(|(_, root)| *root);
        if let Some(root) = root.filter(|root| *root <= count) {
            pages.execute(
                "INSERT INTO sqlite_schema (type, name, tbl_name, rootpage, sql) VALUES (?, ?, ?, ?, ?)",
                params![kind, name, table, root, sql],
            )?;
        }
    }
    pages.execute_batch("COMMIT; PRAGMA writable_schema = RESET")?;
    pages.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    Ok(())
}

/// Copies the rows of one table that have the shape of its columns. A page that cannot be read ends it.
fn take_rows(
    pages: &Connection,
    target: &Connection,
    table: &'static str,
    left: &mut Vec<Oddity>,
) -> Result<(), StoreError> {
    let read = copy_rows(pages, target, table);
    match read {
        Ok(0) => {}
        Ok(rows) => left.push(Oddity::Rows { table, rows }),
        Err(StoreError::Damaged { .. } | StoreError::Sqlite(_)) => left.push(Oddity::Unreadable { table }),
        Err(error) => return Err(error),
    }
    Ok(())
}

/// How many rows are left out.
fn copy_rows(pages: &Connection, target: &Connection, table: &str) -> Result<u64, StoreError> {
    let mut select = pages.prepare(&format!("SELECT * FROM {table}"))?;
    let columns = select.column_count();
    let places = vec!["?"; columns].join(", ");
    let mut insert = target.prepare(&format!("INSERT OR IGNORE INTO {table} VALUES ({places})"))?;
    let mut rows = select.query([])?;
    let mut out = 0;
    while let Some(row) = rows.next()? {
        let values = (0..columns).map(|column| row.get::<_, Value>(column)).collect::<Result<Vec<_>, _>>();
        let taken = values.and_then(|values| insert.execute(params_from_iter(values)));
        match taken {
            Ok(1..) => {}
            // A text that is none, or a type that the column does not have.
            Ok(0) | Err(rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::Utf8Error(..)) => {
                out += 1;
            }
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => out += 1,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(out)
}
