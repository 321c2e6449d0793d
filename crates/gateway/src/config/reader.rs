//! Walks a parsed TOML text, and collects everything that is wrong with it, each with its place.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use keyvault_core::name::similar;
use toml_edit::{Item, TableLike};

/// A fault in a configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// From 1.
    pub line: usize,
    /// The field, such as `route.path`.
    pub field: String,
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, field, what } = self;
        if field.is_empty() {
            write!(f, "line {line}: {what}")
        } else {
            write!(f, "line {line}: `{field}` {what}")
        }
    }
}

/// The text's faults, and where its lines end.
pub(super) struct Faults {
    ends: Vec<usize>,
    found: RefCell<Vec<Fault>>,
}

impl Faults {
    pub(super) fn of(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
        Self { ends, found: RefCell::default() }
    }

    pub(super) fn line(&self, at: usize) -> usize {
        self.ends.partition_point(|end| *end < at) + 1
    }

    pub(super) fn add(&self, line: usize, field: &str, what: impl Into<String>) {
        self.found.borrow_mut().push(Fault { line, field: field.to_owned(), what: what.into() });
    }

    /// In the order of their places.
    pub(super) fn into_sorted(self) -> Vec<Fault> {
        let mut found = self.found.into_inner();
        found.sort();
        found
    }
}

/// A table whose fields are taken one by one; those that are left when it is dropped are unknown.
pub(super) struct Fields<'a> {
    faults: &'a Faults,
    table: &'a dyn TableLike,
    name: String,
    pub(super) line: usize,
    taken: RefCell<BTreeSet<&'static str>>,
}

/// A field's value with its place.
pub(super) struct Value<'a> {
    faults: &'a Faults,
    pub(super) item: &'a Item,
    pub(super) field: String,
    pub(super) line: usize,
}

impl<'a> Fields<'a> {
    pub(super) fn new(faults: &'a Faults, table: &'a dyn TableLike, name: String, line: usize) -> Self {
        Self { faults, table, name, line, taken: RefCell::default() }
    }

    /// The qualified name of a field.
    fn path(&self, field: &str) -> String {
        if self.name.is_empty() { field.to_owned() } else { format!("{}.{field}", self.name) }
    }

    fn value(&self, field: &str, item: &'a Item) -> Value<'a> {
        let span = self.table.key(field).and_then(toml_edit::Key::span).or_else(|| item.span());
        let line = span.map_or(self.line, |span| self.faults.line(span.start));
        Value { faults: self.faults, item, field: self.path(field), line }
    }

    pub(super) fn get(&self, field: &'static str) -> Option<Value<'a>> {
        self.taken.borrow_mut().insert(field);
        self.table.get(field).map(|item| self.value(field, item))
    }

    pub(super) fn required(&self, field: &'static str) -> Option<Value<'a>> {
        let value = self.get(field);
        if value.is_none() {
            self.faults.add(self.line, &self.path(field), "is missing");
        }
        value
    }

    /// All fields, for a table whose names are the user's.
    pub(super) fn all(&self) -> Vec<(&'a str, Value<'a>)> {
        self.table.iter().map(|(name, item)| (name, self.value(name, item))).collect()
    }

    pub(super) fn fault(&self, field: &str, what: impl Into<String>) {
        self.faults.add(self.line, &self.path(field), what);
    }

    pub(super) fn fault_at(&self, line: usize, field: &str, what: impl Into<String>) {
        self.faults.add(line, &self.path(field), what);
    }

    /// Reports the fields that nothing took.
    pub(super) fn end(self) {
        let taken = self.taken.borrow();
        for (name, value) in self.all() {
            if taken.contains(name) {
                continue;
            }
            let what = match similar::nearest(taken.iter().copied(), name, |known| *known) {
                Some(close) => format!("is unknown; did you mean `{close}`?"),
                None => "is unknown".to_owned(),
            };
            value.fault(what);
        }
    }
}

impl<'a> Value<'a> {
    pub(super) fn fault(&self, what: impl Into<String>) {
        self.faults.add(self.line, &self.field, what);
    }

    fn expected<T>(&self, found: Option<T>, what: &str) -> Option<T> {
        if found.is_none() {
            self.fault(format!("must be {what}"));
        }
        found
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        self.expected(self.item.as_str().filter(|text| !text.is_empty()), "a text")
    }

    /// A text that `parse` reads.
    pub(super) fn parsed<T>(&self, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match parse(self.text()?) {
            Ok(value) => Some(value),
            Err(what) => {
                self.fault(what);
                None
            }
        }
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        self.expected(self.item.as_bool(), "`true` or `false`")
    }

    /// A number above zero.
    pub(super) fn number(&self) -> Option<u32> {
        let number = self.item.as_integer().and_then(|number| u32::try_from(number).ok());
        self.expected(number.filter(|number| *number > 0), "a number from 1 to 4294967295")
    }

    /// A number of bytes: `65536`, `64KiB`, `10MiB`, `1GiB`.
    pub(super) fn size(&self) -> Option<u64> {
        let read = |text: &str| {
            let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            let (digits, unit) = text.split_at(at);
            let shift = match unit.trim_start() {
                "" | "B" => 0,
                "KiB" => 10,
                "MiB" => 20,
                "GiB" => 30,
                _ => return None,
            };
            digits.parse::<u32>().ok().map(|number| u64::from(number) << shift)
        };
        let size = match (self.item.as_str(), self.item.as_integer()) {
            (Some(text), _) => read(text),
            (None, Some(number)) => u64::try_from(number).ok(),
            (None, None) => None,
        };
        self.expected(size, "a size such as `64KiB` or `10MiB`")
    }

    /// `500ms`, `10s`, `5m`, `1h`.
    pub(super) fn duration(&self) -> Option<Duration> {
        let read = |text: &str| {
            let at = text.find(|c: char| !c.is_ascii_digit())?;
            let (digits, unit) = text.split_at(at);
            let number = u64::from(digits.parse::<u32>().ok().filter(|number| *number > 0)?);
            Some(match unit {
                "ms" => Duration::from_millis(number),
                "s" => Duration::from_secs(number),
                "m" => Duration::from_secs(number * 60),
                "h" => Duration::from_secs(number * 3600),
                "d" => Duration::from_secs(number * 86_400),
                _ => return None,
            })
        };
        self.expected(self.item.as_str().and_then(read), "a duration such as `500ms`, `10s`, or `5m`")
    }

    /// A list of texts, each read by `parse`. One that cannot be read is reported and left out.
    pub(super) fn list<T>(&self, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let Some(array) = self.expected(self.item.as_array(), "a list of texts") else { return Vec::new() };
        let mut list = Vec::new();
        for value in array {
            match value.as_str().ok_or_else(|| "must be a list of texts".to_owned()).and_then(&parse) {
                Ok(read) => list.push(read),
                Err(what) => {
                    let line = value.span().map_or(self.line, |span| self.faults.line(span.start));
                    self.faults.add(line, &self.field, what);
                }
            }
        }
        list
    }

    pub(super) fn table(&self) -> Option<Fields<'a>> {
        let table = self.expected(self.item.as_table_like(), "a table")?;
        Some(Fields::new(self.faults, table, self.field.clone(), self.line))
    }

    /// The tables of `[[…]]`.
    pub(super) fn tables(&self) -> Vec<Fields<'a>> {
        let Some(tables) = self.expected(self.item.as_array_of_tables(), "a list of tables, `[[…]]`")
        else {
            return Vec::new();
        };
        let fields = |table: &'a toml_edit::Table| {
            let line = table.span().map_or(self.line, |span| self.faults.line(span.start));
            Fields::new(self.faults, table, self.field.clone(), line)
        };
        tables.iter().map(fields).collect()
    }
}
