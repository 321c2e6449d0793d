//! Import and export formats: dotenv as the npm package `dotenv` reads it, and a JSON object of strings.
//!
//! A file is read whole, within limits, or not at all; what cannot be carried is refused, never altered.

mod dotenv;
mod json;

use crate::secret::{Full, SecretBytes};

/// The longest file, in bytes.
pub const MAX_FILE: usize = 16 << 20;

/// The most entries of one file.
pub const MAX_ENTRIES: usize = 100_000;

/// A file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `NAME=value` lines.
    Dotenv,
    /// `{"NAME": "value"}`.
    Json,
}

impl Format {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dotenv => "dotenv",
            Self::Json => "json",
        }
    }
}

/// A variable of the file and its value.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// As written.
    pub variable: String,
    /// Byte for byte.
    pub value: SecretBytes,
}

impl Entry {
    /// Whether the value holds `${…}`, which other readers would expand; here it stays as it is.
    #[must_use]
    pub fn interpolates(&self) -> bool {
        self.value.expose().windows(2).any(|pair| pair == b"${")
    }
}

/// What a file holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Known by its content.
    pub format: Format,
    /// In the order of first appearance, each variable once, with its last value.
    pub entries: Vec<Entry>,
    /// Variables that were there more than once.
    pub repeated: Vec<String>,
}

/// Why a file is not taken, or not made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// Not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// JSON that is not an object of strings.
    #[error("{what} at line {line}, column {column}")]
    Json {
        /// What stands there instead.
        what: &'static str,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// More than [`MAX_ENTRIES`].
    #[error("more than 100000 entries")]
    TooMany,
    /// The format has no way to write this value.
    #[error("{variable}: {format} cannot carry it: {why}")]
    CannotCarry {
        /// The variable.
        variable: String,
        /// The format's name.
        format: &'static str,
        /// What stands in the way.
        why: &'static str,
    },
}

impl From<Full> for ExchangeError {
    /// Buffers are sized for the longest that can come of their input, so this is the limit of memory itself.
    fn from(_: Full) -> Self {
        Self::TooMany
    }
}

/// Reads a file. It is JSON if its first character, after white space and a byte-order mark, is `{`.
pub fn parse(file: &SecretBytes) -> Result<Parsed, ExchangeError> {
    let text = std::str::from_utf8(file.expose()).map_err(|_| ExchangeError::NotUtf8)?;
    let first = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    if first.starts_with('{') {
        collect(Format::Json, json::read(first)?)
    } else {
        collect(Format::Dotenv, dotenv::read(text)?)
    }
}

/// Writes variables in a format; `variables` in the order in which they are to stand.
pub fn write(format: Format, variables: &[(&str, &SecretBytes)]) -> Result<SecretBytes, ExchangeError> {
    match format {
        Format::Dotenv => dotenv::write(variables),
        Format::Json => json::write(variables),
    }
}

fn collect(format: Format, read: Vec<Entry>) -> Result<Parsed, ExchangeError> {
    if read.len() > MAX_ENTRIES {
        return Err(ExchangeError::TooMany);
    }
    let mut parsed = Parsed { format, entries: Vec::new(), repeated: Vec::new() };
    let mut places = std::collections::HashMap::new();
    for entry in read {
        let place = *places.entry(entry.variable.clone()).or_insert(parsed.entries.len());
        if let Some(earlier) = parsed.entries.get_mut(place) {
            earlier.value = entry.value;
            if !parsed.repeated.contains(&entry.variable) {
                parsed.repeated.push(entry.variable);
            }
        } else {
            parsed.entries.push(entry);
        }
    }
    Ok(parsed)
}
