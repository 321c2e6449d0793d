//! The file's text, read: which variables a project wants, made of which keys.
//!
//! ```toml
//! [keys]
//! STRIPE_KEY = "stripe/live"
//! SENTRY_DSN = { key = "sentry/dsn", optional = true, description = "errors are reported where it is set" }
//! LOG_TOKEN = { key = "log/token", default = "none" }
//! DATABASE_URL = { template = "postgres://app:{db/password|url}@localhost/app" }
//! PORT = { value = "3000" }
//!
//! [profiles.prod.keys]
//! STRIPE_KEY = "stripe/prod"
//! ```
//!
//! `extends = "../.keyvault.toml"` adds the entries of another file.
//!
//! A profile's entry takes the place of the one with the same variable above. Nothing that is not understood is passed
//! over: an unknown field may be a misspelt `optional`, and a file that means something else than it seems to is worse
//! than one that is refused.

use std::collections::BTreeMap;
use std::fmt;

use toml_edit::{Document, Item, TableLike};

use keyvault_core::name::similar::nearest;
use keyvault_core::name::{EnvName, KeyName, NameError, Scope, refused};
use keyvault_exec::release::{ComposedVariable, Piece, WhenMissing};

use super::error::{FileError, What};
use super::template::{MAX_TEXT, Template};

/// The longest file that is read, in bytes.
pub(crate) const MAX_FILE: usize = 64 << 10;

/// Fields of the file, of a profile, of an entry.
pub(super) const FIELDS: [&str; 3] = ["extends", "keys", "profiles"];
pub(super) const PROFILE_FIELDS: [&str; 1] = ["keys"];
pub(super) const ENTRY_FIELDS: [&str; 7] =
    ["key", "template", "value", "required", "optional", "default", "description"];

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProjectFile {
    /// The relative path of the file whose entries hold as well.
    extends: Option<String>,
    sections: BTreeMap<Section, BTreeMap<EnvName, Entry>>,
}

/// Where an entry stands: under `[keys]`, or under a profile's.
pub(crate) type Section = Option<Profile>;

/// A profile's name: a part of a key's name, without `/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Profile(String);

impl Profile {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Profile {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Scope::parse(text)?;
        if text.contains(['/', ':']) { Err(NameError::Grammar) } else { Ok(Self(text.to_owned())) }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A variable that the project wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub variable: EnvName,
    pub source: VariableSource,
    /// The variable's fate when a key is not to be had.
    pub when_missing: WhenMissing,
    /// A note, shown to readers and otherwise ignored.
    pub description: Option<String>,
}

/// The origin of a variable's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VariableSource {
    Key(KeyName),
    /// Text with keys' values in it.
    Template(Template),
    /// A plain setting, which is no secret: the text itself.
    Text(String),
}

impl Entry {
    /// The variable as the vault is to compose it; `None` for a plain setting, which takes no key.
    #[must_use]
    pub fn composed(&self) -> Option<ComposedVariable> {
        let pieces = match &self.source {
            VariableSource::Key(name) => {
                vec![Piece::whole(name.clone())]
            }
            VariableSource::Template(template) => template.pieces().to_vec(),
            VariableSource::Text(_) => return None,
        };
        let when_missing = self.when_missing.clone();
        Some(ComposedVariable { variable: self.variable.clone(), pieces, when_missing })
    }

    /// The text of a plain setting.
    #[must_use]
    pub fn setting(&self) -> Option<&str> {
        match &self.source {
            VariableSource::Text(text) => Some(text),
            VariableSource::Key(_) | VariableSource::Template(_) => None,
        }
    }

    #[must_use]
    pub fn keys(&self) -> Vec<&KeyName> {
        let pieces = match &self.source {
            VariableSource::Key(name) => return vec![name],
            VariableSource::Template(template) => template.pieces(),
            VariableSource::Text(_) => return Vec::new(),
        };
        let named = pieces.iter().filter_map(|piece| match piece {
            Piece::Value { name, .. } => Some(name),
            Piece::Text(_) => None,
        });
        named.collect()
    }
}

impl ProjectFile {
    pub fn parse(bytes: &[u8]) -> Result<Self, FileError> {
        let reader = Reader::of(bytes);
        let text = std::str::from_utf8(bytes)
            .map_err(|error| FileError { line: reader.line(error.valid_up_to()), what: What::NotUtf8 })?;
        let document = Document::parse(text).map_err(|error| {
            let line = reader.line(error.span().map_or(0, |span| span.start));
            FileError { line, what: What::Toml(error.message().to_owned()) }
        })?;
        let (mut extends, mut sections) = (None, BTreeMap::new());
        for (field, item, place) in reader.members(document.as_table()) {
            match field {
                "extends" => extends = Some(extended(field, item, place)?),
                "keys" => {
                    sections.insert(None, reader.entries(field, item, place)?);
                }
                "profiles" => reader.profiles(field, item, place, &mut sections)?,
                _ => return Err(unknown(field, &FIELDS, place)),
            }
        }
        Ok(Self { extends, sections })
    }

    /// The relative path of the file that this one extends.
    #[must_use]
    pub(crate) fn extends(&self) -> Option<&str> {
        self.extends.as_deref()
    }

    /// Adds the entries of the file that this one extends. An entry of this file takes the place of one with the same
    /// variable and profile.
    pub(crate) fn add_base(&mut self, base: Self) {
        for (section, entries) in base.sections {
            let own = self.sections.entry(section).or_default();
            for (variable, entry) in entries {
                own.entry(variable).or_insert(entry);
            }
        }
    }

    /// The entries that hold under a profile, each with where it stands, ordered by variable; `None` if there is no such
    /// profile.
    #[must_use]
    pub fn entries(&self, profile: Option<&Profile>) -> Option<Vec<(Section, &Entry)>> {
        let mut chosen: BTreeMap<&EnvName, (Section, &Entry)> = BTreeMap::new();
        let base = std::iter::once(&None);
        let wanted = profile.cloned().map(Some);
        if let Some(section) = &wanted {
            self.sections.get(section)?;
        }
        for section in base.chain(&wanted) {
            for (variable, entry) in self.sections.get(section).into_iter().flatten() {
                chosen.insert(variable, (section.clone(), entry));
            }
        }
        Some(chosen.into_values().collect())
    }

    pub fn all(&self) -> impl Iterator<Item = (&Section, &Entry)> {
        self.sections
            .iter()
            .flat_map(|(section, entries)| entries.values().map(move |entry| (section, entry)))
    }

    pub fn profiles(&self) -> impl Iterator<Item = &Profile> {
        self.sections.keys().flatten()
    }
}

/// Walks the parsed text, and knows where its lines end.
struct Reader {
    ends: Vec<usize>,
}

impl Reader {
    fn of(bytes: &[u8]) -> Self {
        let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        Self { ends: ends.map(|(at, _)| at).collect() }
    }

    /// The line of a place, from 1.
    fn line(&self, at: usize) -> usize {
        self.ends.partition_point(|end| *end < at) + 1
    }

    /// A table's members with their places.
    fn members<'a>(&self, table: &'a dyn TableLike) -> Vec<(&'a str, &'a Item, usize)> {
        let place = |name: &str, item: &Item| {
            let span = table.key(name).and_then(toml_edit::Key::span).or_else(|| item.span());
            self.line(span.map_or(0, |span| span.start))
        };
        table.iter().map(|(name, item)| (name, item, place(name, item))).collect()
    }

    fn profiles(
        &self,
        field: &str,
        item: &Item,
        line: usize,
        sections: &mut BTreeMap<Section, BTreeMap<EnvName, Entry>>,
    ) -> Result<(), FileError> {
        for (name, item, line) in self.members(table(field, item, line)?) {
            let profile: Profile = name
                .parse()
                .map_err(|why| FileError { line, what: What::Profile { profile: name.to_owned(), why } })?;
            let section = sections.entry(Some(profile)).or_default();
            for (field, item, line) in self.members(table(name, item, line)?) {
                match field {
                    "keys" => *section = self.entries(field, item, line)?,
                    _ => return Err(unknown(field, &PROFILE_FIELDS, line)),
                }
            }
        }
        Ok(())
    }

    fn entries(&self, field: &str, item: &Item, line: usize) -> Result<BTreeMap<EnvName, Entry>, FileError> {
        let mut entries = BTreeMap::new();
        for (name, item, line) in self.members(table(field, item, line)?) {
            let variable = refused::parse(name)
                .map_err(|why| FileError { line, what: What::Variable { variable: name.to_owned(), why } })?;
            entries.insert(variable.clone(), self.entry(variable, item, line)?);
        }
        Ok(entries)
    }

    fn entry(&self, variable: EnvName, item: &Item, line: usize) -> Result<Entry, FileError> {
        let key = |text: &str, line: usize| {
            let why = |why| FileError { line, what: What::Key { variable: variable.clone(), why } };
            KeyName::parse(text).map(VariableSource::Key).map_err(why)
        };
        if let Some(text) = item.as_str() {
            let source = key(text, line)?;
            return Ok(Entry { variable, source, when_missing: WhenMissing::default(), description: None });
        }
        let Some(table) = item.as_table_like() else {
            let expected = "the name of a key, or a table";
            return Err(FileError { line, what: What::Type { field: variable.to_string(), expected } });
        };
        let (mut sources, mut required, mut optional) = (Vec::new(), None, None);
        let (mut default, mut description) = (None, None);
        for (field, item, line) in self.members(table) {
            match field {
                "key" => sources.push(key(string(field, item, line)?, line)?),
                "template" => {
                    let text = bounded(&variable, "template", item, line)?;
                    let why =
                        |why| FileError { line, what: What::Template { variable: variable.clone(), why } };
                    sources.push(VariableSource::Template(Template::parse(text).map_err(why)?));
                }
                "value" => {
                    let text = bounded(&variable, "value", item, line)?;
                    sources.push(VariableSource::Text(text.to_owned()));
                }
                "required" => required = Some(boolean(field, item, line)?),
                "optional" => optional = Some(boolean(field, item, line)?),
                "default" => default = Some(bounded(&variable, "default", item, line)?.to_owned()),
                "description" => {
                    description = Some(bounded(&variable, "description", item, line)?.to_owned());
                }
                _ => return Err(unknown(field, &ENTRY_FIELDS, line)),
            }
        }
        let contradiction =
            (required.is_some() && optional.is_some()) || (default.is_some() && required == Some(true));
        if contradiction {
            return Err(FileError { line, what: What::Required { variable } });
        }
        let is_setting = sources.iter().any(|source| matches!(source, VariableSource::Text(_)));
        if is_setting && (required.is_some() || optional.is_some() || default.is_some()) {
            return Err(FileError { line, what: What::Setting { variable } });
        }
        let optional = optional.unwrap_or(required == Some(false));
        match (sources.pop(), sources.pop()) {
            (Some(source), None) => Ok(Entry {
                variable,
                source,
                when_missing: WhenMissing { optional, default, unapproved: false },
                description,
            }),
            _ => Err(FileError { line, what: What::Source { variable } }),
        }
    }
}

/// `../.keyvault.toml`
fn extended(field: &str, item: &Item, line: usize) -> Result<String, FileError> {
    let path = string(field, item, line)?;
    let fit = path.ends_with("/.keyvault.toml")
        && !path.starts_with('/')
        && !path.contains('\0')
        && path.chars().count() <= MAX_TEXT;
    if fit { Ok(path.to_owned()) } else { Err(FileError { line, what: What::Extends }) }
}

fn table<'a>(field: &str, item: &'a Item, line: usize) -> Result<&'a dyn TableLike, FileError> {
    item.as_table_like().ok_or_else(|| of_type(field, "a table", line))
}

fn string<'a>(field: &str, item: &'a Item, line: usize) -> Result<&'a str, FileError> {
    item.as_str().ok_or_else(|| of_type(field, "a text", line))
}

fn boolean(field: &str, item: &Item, line: usize) -> Result<bool, FileError> {
    item.as_bool().ok_or_else(|| of_type(field, "true or false", line))
}

fn of_type(field: &str, expected: &'static str, line: usize) -> FileError {
    FileError { line, what: What::Type { field: field.to_owned(), expected } }
}

/// A text that is shown to people or handed to a process.
fn bounded<'a>(
    variable: &EnvName,
    field: &'static str,
    item: &'a Item,
    line: usize,
) -> Result<&'a str, FileError> {
    let text = string(field, item, line)?;
    if text.chars().count() > MAX_TEXT || text.contains('\0') {
        return Err(FileError { line, what: What::Text { variable: variable.clone(), field } });
    }
    Ok(text)
}

fn unknown(field: &str, known: &'static [&'static str], line: usize) -> FileError {
    let near = nearest(known.iter().copied(), field, |name| *name);
    FileError { line, what: What::Field { field: field.to_owned(), near, known } }
}
