//! Faults of a vault's file, as a store finds them.

use std::borrow::Cow;
use std::fmt;

use rusqlite::ErrorCode;

use keyvault_core::text::harmless_line;
use keyvault_os::fs::lock::Process;

/// Why the file could not be read or written. `Display` has the vault as its subject, [`Self::about`] the file's path.
#[derive(Debug)]
pub enum StoreError {
    /// Not a SQLite file, or one of another program.
    NotAVault,
    /// A vault in a format that only builds before the first release wrote.
    OlderFormat {
        /// The file's format number.
        format: i32,
    },
    /// A vault in a format that this binary does not know.
    NewerFormat {
        /// The file's format number.
        format: i32,
        /// The version of keyvault that wrote it, if it says so.
        written_by: Option<String>,
    },
    /// The schema is not the one that this format has.
    Schema {
        /// The object that is missing, extra or different.
        what: String,
    },
    /// One of the two numbers in SQLite's header is not a vault's, and everything else is.
    Number {
        /// `application_id` or `user_version`.
        field: &'static str,
        found: i32,
    },
    /// A row or the file itself does not have the shape it must have.
    Damaged {
        /// Which row or structure.
        what: String,
    },
    /// Another program took the file's write-ahead log away.
    NoWal,
    /// Another process held the vault for the whole time that we were ready to wait.
    Busy {
        /// The other process, where it was looked for and found.
        holder: Option<Process>,
    },
    /// The disk failed at the moment of the commit.
    Undecided(String),
    /// The disk is full.
    Full,
    /// The file or its folder cannot be written.
    ReadOnly,
    /// The system failed to read, write or sync.
    Io(String),
    /// The vault is in memory, and only a file can be copied or replaced.
    NoFile,
    /// SQLite was compiled in a way that a vault must not be kept with.
    Build {
        /// The option.
        what: String,
    },
    /// Anything else SQLite says; never expected.
    Sqlite(String),
}

impl std::error::Error for StoreError {}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.about(&THE_FILE))
    }
}

impl StoreError {
    /// The message about this file.
    #[must_use]
    pub fn about(&self, file: &dyn fmt::Display) -> String {
        match self {
            Self::NotAVault => format!("{file} is not a vault."),
            Self::OlderFormat { format } => {
                format!("{file} has format {format}, which only builds before the first release wrote.")
            }
            Self::NewerFormat { format, written_by } => {
                let writer = written_by
                    .as_ref()
                    .map(|version| format!("; keyvault {version} wrote it"))
                    .unwrap_or_default();
                format!(
                    "{file} has format {format}, which this version of keyvault does not support{writer}."
                )
            }
            Self::Schema { what } => damage(file, &format_args!("its schema is not a vault's ({what})")),
            Self::Number { field, found } => {
                damage(file, &format_args!("its {field} is {found}, although its schema is a vault's"))
            }
            Self::Damaged { what } => damage(file, what),
            Self::NoWal => format!("{file} no longer has a write-ahead log: another program removed it."),
            Self::Busy { holder } => {
                let who = holder.as_ref().map_or_else(
                    || "Another keyvault command".to_owned(),
                    |Process { id, name }| format!("Process {id} ({})", harmless_line(name)),
                );
                format!("{who} kept the vault busy for more than 10 s.")
            }
            Self::Full => "The disk is full. Nothing was changed.".to_owned(),
            Self::ReadOnly => {
                format!("{file} cannot be written, so nothing can be recorded and no values are released.")
            }
            Self::Io(why) => format!("{file} could not be read or written: {why}."),
            Self::Undecided(why) => {
                format!(
                    "{file} could not be synced to the disk: {why}. The change may or may not have been made."
                )
            }
            Self::Build { what } => {
                format!("This build of keyvault cannot keep a vault: its SQLite is unfit ({what}).")
            }
            Self::NoFile => "The vault is in memory and has no file.".to_owned(),
            Self::Sqlite(why) => format!("{file}: {why}."),
        }
    }

    /// The fault as words that follow the name of a row, or stand in parentheses.
    #[must_use]
    pub fn fault(&self) -> Cow<'_, str> {
        match self {
            Self::Damaged { what } => format!("damaged: {what}").into(),
            Self::Busy { .. } => "busy".into(),
            Self::Full => "disk full".into(),
            Self::ReadOnly => "read-only".into(),
            Self::Io(why) => format!("input/output: {why}").into(),
            other => other.to_string().into(),
        }
    }

    /// The error of a commit: after an I/O error, it is open whether the commit happened.
    pub(super) fn of_a_commit(self) -> Self {
        match self {
            Self::Io(text) => Self::Undecided(text),
            other => other,
        }
    }
}

/// The subject of a message about a vault whose path is not known where it is written.
pub(crate) const THE_FILE: &str = "The vault's file";

/// The message about content that keyvault did not write.
pub(crate) fn damage(file: &dyn fmt::Display, what: &dyn fmt::Display) -> String {
    format!("{file} is damaged or was tampered with: {what}.")
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
            ) => Self::Busy { holder: None },
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
