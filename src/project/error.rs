//! Faults of a project file: in its text, and in the place where it lies.

use std::io;
use std::path::PathBuf;

use keyvault_core::name::refused::Refused;
use keyvault_core::name::{EnvName, NameError};

use super::template::TemplateError;

/// Why a file is not understood, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileError {
    /// The line, from 1.
    pub line: usize,
    pub what: What,
}

/// A fault in a file. Names of fields and variables are the file's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    NotUtf8,
    Toml(String),
    /// A field that there is not.
    Field {
        field: String,
        near: Option<&'static str>,
        known: &'static [&'static str],
    },
    /// Something has another type than it must have.
    Type {
        field: String,
        /// The types or values that the field takes.
        expected: &'static str,
    },
    /// A variable that a project file may not set.
    Variable {
        variable: String,
        why: Refused,
    },
    /// A profile whose name is none.
    Profile {
        profile: String,
        why: NameError,
    },
    /// A key's name that is none. Not repeated: it may be a value in the wrong place.
    Key {
        variable: EnvName,
        why: NameError,
    },
    /// A template that is none.
    Template {
        variable: EnvName,
        why: TemplateError,
    },
    /// An entry with both a key and a template, or with neither.
    Source {
        variable: EnvName,
    },
    /// An entry that is said to be both required and something else.
    Required {
        variable: EnvName,
    },
    /// A text that is longer than [`MAX_TEXT`](super::template::MAX_TEXT) or holds a NUL.
    Text {
        variable: EnvName,
        field: &'static str,
    },
}

/// Why a file that was found, or the place for one, is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    /// It is not a regular file: a link, a folder, a pipe, a device.
    #[error("{path:?} is not a regular file")]
    NotRegular { path: PathBuf },
    /// It, or the folder that it lies in, belongs to somebody else.
    #[error("{path:?} belongs to user {uid}")]
    WrongOwner { path: PathBuf, uid: u32 },
    /// It, or the folder that it lies in, can be written by others.
    #[error("{path:?} is writable by others: {mode:o}")]
    WritableByOthers { path: PathBuf, mode: u32 },
    /// It is longer than a project file may be.
    #[error("{path:?} is too long")]
    TooLong { path: PathBuf },
    #[error("{path:?}: {source}")]
    Io { path: PathBuf, source: io::Error },
}
