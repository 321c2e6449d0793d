//! Faults of a project file: in its text, and in the place where it lies.

use std::io;
use std::path::{Path, PathBuf};

use keyvault_core::name::refused::Refused;
use keyvault_core::name::{EnvName, NameError};
use keyvault_core::text::harmless_line;
use keyvault_os::fs::fault::PathError;

use super::template::TemplateError;

/// Why a file is not understood, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Line {line}: {what}.")]
pub struct FileError {
    /// The line, from 1.
    pub line: usize,
    pub what: What,
}

impl FileError {
    /// The message about this file.
    pub(crate) fn about(&self, path: &Path) -> String {
        format!("{}, line {}: {}.", shown(path), self.line, self.what)
    }
}

/// A fault in a file. Names of fields and variables are the file's own words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum What {
    #[error("it is not UTF-8")]
    NotUtf8,
    #[error("it is not TOML: {}", harmless_line(.0).trim_end_matches('.'))]
    Toml(String),
    #[error("unknown field {}", harmless_line(field))]
    Field { field: String, near: Option<&'static str>, known: &'static [&'static str] },
    #[error("{} is not {expected}", harmless_line(field))]
    Type {
        field: String,
        /// The types or values that the field takes.
        expected: &'static str,
    },
    /// A variable that a project file may not set.
    #[error("{} {why}", harmless_line(variable))]
    Variable { variable: String, why: Refused },
    #[error("the profile {} {why}", harmless_line(profile))]
    Profile { profile: String, why: NameError },
    /// Not repeated: it may be a value in the wrong place.
    #[error("the key name for {variable} {why}")]
    Key { variable: EnvName, why: NameError },
    #[error("the template of {variable} is not valid: {why}")]
    Template { variable: EnvName, why: TemplateError },
    #[error("{variable} needs one of key, template, and value")]
    Source { variable: EnvName },
    #[error("{variable} is marked as required, but also as optional or with a default")]
    Required { variable: EnvName },
    /// A plain setting cannot be missing.
    #[error("{variable} has a value of its own, so it takes no required, optional, or default")]
    Setting { variable: EnvName },
    #[error("extends is not a relative path to a .keyvault.toml")]
    Extends,
    /// A text that is longer than [`MAX_TEXT`](super::template::MAX_TEXT) or holds a NUL.
    #[error("the {field} of {variable} is longer than 1024 characters, or contains a NUL")]
    Text { variable: EnvName, field: &'static str },
}

/// Why a file that was found, or the place for one, is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    /// It is not a regular file: a link, a folder, a pipe, a device.
    #[error("{} is not a regular file, so it is not read.", shown(path))]
    NotRegular { path: PathBuf },
    /// It, or the folder that it lies in, belongs to somebody else.
    #[error("{} belongs to another user ({uid}), so it is not read.", shown(path))]
    WrongOwner { path: PathBuf, uid: u32 },
    /// It, or the folder that it lies in, can be written by others.
    #[error("Others can write to {} (mode {mode:o}), so it is not trusted.", shown(path))]
    WritableByOthers { path: PathBuf, mode: u32 },
    /// It extends a file that the search from it would not come to.
    #[error(
        "{} extends `{}`, which is outside of its repository or home folder, behind a link, or itself.",
        shown(path),
        harmless_line(extends)
    )]
    Outside { path: PathBuf, extends: String },
    #[error(
        "{} extends a file that extends another, more than {} times.",
        shown(path),
        super::place::DEEPEST
    )]
    TooDeep { path: PathBuf },
    #[error("{} is longer than 64 KiB.", shown(path))]
    TooLong { path: PathBuf },
    #[error("{}", PathError(path, source))]
    Io { path: PathBuf, source: io::Error },
}

fn shown(path: &Path) -> String {
    harmless_line(&path.display().to_string())
}
