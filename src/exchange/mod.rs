//! Import and export: what other programs keep variables in, read and written.
//!
//! This module turns bytes into entries and entries into bytes. It knows no vault, opens no file and asks nothing; the
//! caller has bounded the size of the input and decides what to do with a name the vault does not allow. Values go
//! from buffer to buffer and never into an error; errors name variables and places only. What is written is written
//! so that the format's own reader gives the same bytes back, or refused.

mod docker;
mod dotenv;
mod dotenv_writer;
mod github_env;
mod json;
mod shell;

use std::collections::{HashMap, HashSet};

use keyvault_core::clock::Rng;
use keyvault_core::clock::RngError;
use keyvault_core::name::{EnvName, KeyName, NameError};
use keyvault_core::secret::{Full, SecretBytes};
use keyvault_core::text::harmless_line;

use keyvault_exec::fit::LineFault;

pub(crate) use github_env::GithubEnv;
pub(crate) use shell::Shell;

/// How many variables one file may have.
pub(crate) const MAX_ENTRIES: usize = 100_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Lines of `NAME=value`, as the npm package `dotenv` 18 reads them.
    Dotenv,
    Json,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its name as the file writes it; in JSON that can be any text, control characters too, and of a member of an object
    /// within the object the path to it.
    pub variable: String,
    /// Its value, with quotes and escapes of the format undone.
    pub value: SecretBytes,
    /// True if the value has `$NAME` or `${NAME}` in it, which some readers replace and keyvault keeps as it is.
    pub interpolates: bool,
    /// True if a `#` ended the value in the file that may have belonged to it.
    pub cut: bool,
}

/// Lines of a file that are neither assignments nor comments, so that nothing was read from them. Their text is nowhere
/// repeated: it may be a part of a value.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Strays(Vec<(usize, usize)>);

impl Strays {
    /// Takes in a line; lines come in order.
    fn add(&mut self, line: usize) {
        self.add_all(line, line);
    }

    fn add_all(&mut self, first: usize, last: usize) {
        match self.0.last_mut() {
            Some((_, end)) if first <= *end + 1 => *end = last.max(*end),
            _ => self.0.push((first, last)),
        }
    }

    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first and the last line of each run of lines, from 1.
    #[must_use]
    pub(crate) fn runs(&self) -> &[(usize, usize)] {
        &self.0
    }

    /// `line 3` or `lines 3-5, 9`; then the word that fits.
    #[must_use]
    pub(crate) fn told<'w>(&self, one: &'w str, several: &'w str) -> (String, &'w str) {
        const SHOWN: usize = 12;
        if let [(first, last)] = self.0.as_slice()
            && first == last
        {
            return (format!("line {first}"), one);
        }
        let run = |(first, last): &(usize, usize)| {
            if first == last { first.to_string() } else { format!("{first}-{last}") }
        };
        let mut shown: Vec<_> = self.0.iter().take(SHOWN).map(run).collect();
        if self.0.len() > SHOWN {
            shown.push("and others".to_owned());
        }
        (format!("lines {}", shown.join(", ")), several)
    }
}

#[derive(Debug)]
pub(crate) struct Parsed {
    pub format: Format,
    /// Its variables, each once: at the place of its first mention, with the value of its last.
    pub entries: Vec<Entry>,
    /// The variables that were mentioned more than once, in the order in which that came to light.
    pub duplicates: Vec<String>,
    pub strays: Strays,
    /// Members of a JSON object that are null or an empty object, by their paths.
    pub valueless: Vec<String>,
}

impl Entry {
    /// The variable: of a path such as `db/password` the one that a key of that name gets.
    pub(crate) fn env_name(&self) -> Result<EnvName, NameError> {
        if !self.variable.contains('/') {
            return EnvName::parse(&self.variable);
        }
        KeyName::parse(&self.variable)?.default_variable()
    }
}

impl Parsed {
    /// The variables whose value a `#` cut.
    pub(crate) fn cut(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter(|entry| entry.cut).map(|entry| entry.variable.as_str())
    }
}

/// Why a file was not understood, or cannot be written. [`Self::about`] is the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// The file is not UTF-8.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// The file is JSON, but not an object.
    #[error("it is JSON, but not an object")]
    NotAnObject,
    /// Too many objects are within each other.
    #[error("its member {} is nested too deeply", shortened(member))]
    TooDeep { member: String },
    /// More than [`MAX_ENTRIES`] variables.
    #[error("it has more than 100,000 entries")]
    TooManyEntries,
    /// The file begins like a JSON object but does not go on like one.
    #[error("it is not valid JSON at line {line}, column {column}")]
    Json {
        /// The line, from 1.
        line: usize,
        /// The byte within the line, from 1.
        column: usize,
    },
    /// The format has no way to write this variable that reads back the same.
    #[error("{variable} cannot be written in this format: {reason}.")]
    CannotCarry { variable: String, reason: Obstacle },
    #[error(transparent)]
    Rng(#[from] RngError),
    /// A buffer has not the size that was computed for it.
    #[error("an internal size is wrong")]
    Size,
}

impl ExchangeError {
    /// The message about this file.
    pub(crate) fn about(&self, file: &str) -> String {
        match self {
            Self::CannotCarry { .. } | Self::Rng(_) => self.to_string(),
            fault => format!("{file} cannot be read: {fault}."),
        }
    }
}

impl From<Full> for ExchangeError {
    fn from(_: Full) -> Self {
        Self::Size
    }
}

/// A reason why a format cannot carry a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Obstacle {
    /// The value is not UTF-8, and the format is text.
    #[error("the value is not UTF-8")]
    NotUtf8,
    /// The value has a NUL byte, and the format is for variables.
    #[error("the value has a NUL byte")]
    Nul,
    /// The format's reader would not take the name.
    #[error("the format does not allow the name")]
    Name,
    /// The variable is given twice; the reader would keep one.
    #[error("the variable is given twice")]
    Repeated,
    /// The value has carriage returns, which dotenv reads from double quotes only, and something double quotes
    /// cannot hold.
    #[error("the value has a carriage return beside something double quotes cannot hold")]
    CarriageReturn,
    /// Docker would read another value.
    #[error(transparent)]
    Line(LineFault),
    /// None of dotenv's quotes holds the value.
    #[error("no kind of quotes can hold the value")]
    Quotes,
}

/// Guesses the format: JSON if the first character is `{`, dotenv otherwise.
#[must_use]
pub(crate) fn detect(bytes: &[u8]) -> Format {
    let first = without_bom(bytes).iter().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'{') { Format::Json } else { Format::Dotenv }
}

/// Reads a whole file, of the format its content shows.
pub(crate) fn parse(bytes: &SecretBytes) -> Result<Parsed, ExchangeError> {
    parse_joined_by(bytes, json::SEPARATOR)
}

/// [`parse`] with another text than `/` between the names of members that are within each other in JSON.
pub(crate) fn parse_joined_by(bytes: &SecretBytes, separator: &str) -> Result<Parsed, ExchangeError> {
    let bytes = bytes.expose();
    let format = detect(bytes);
    let text = std::str::from_utf8(without_bom(bytes)).map_err(|_| ExchangeError::NotUtf8)?;
    let mut found = Found::default();
    match format {
        Format::Json => json::read(text, separator, &mut found)?,
        Format::Dotenv => {
            dotenv::read(text, &mut found)?;
            if found.entries.is_empty() && json::is_json(text) {
                return Err(ExchangeError::NotAnObject);
            }
        }
    }
    let Found { entries, duplicates, strays, valueless, .. } = found;
    Ok(Parsed { format, entries, duplicates, strays, valueless })
}

/// Writes a dotenv file, in the given order, that the npm package `dotenv` 18 reads back to the same bytes.
///
/// A shell that sources the file reads bare and single-quoted values the same way. Where a value has a `'`, only
/// other quotes are left, in which a shell would replace `$` and run what stands in backticks.
pub(crate) fn write_dotenv(entries: &[(&str, &[u8])]) -> Result<SecretBytes, ExchangeError> {
    once_each(entries)?;
    dotenv_writer::write(entries)
}

/// Writes a JSON object keyed by variable, in the given order, one member a line.
pub(crate) fn write_json(entries: &[(&str, &[u8])]) -> Result<SecretBytes, ExchangeError> {
    once_each(entries)?;
    json::write(entries)
}

/// Writes assignments for a shell to evaluate, in the given order.
pub(crate) fn write_shell(entries: &[(&str, &[u8])], shell: Shell) -> Result<SecretBytes, ExchangeError> {
    once_each(entries)?;
    shell::write(entries, shell)
}

/// Writes an env-file for docker, in the given order.
pub(crate) fn write_docker(entries: &[(&str, &[u8])]) -> Result<SecretBytes, ExchangeError> {
    once_each(entries)?;
    docker::write(entries)
}

/// Writes variables for the later steps of a GitHub Actions job, and the commands that mask them in its log.
pub(crate) fn write_github_env(entries: &[(&str, &[u8])], rng: &dyn Rng) -> Result<GithubEnv, ExchangeError> {
    once_each(entries)?;
    github_env::write(entries, rng)
}

fn once_each(entries: &[(&str, &[u8])]) -> Result<(), ExchangeError> {
    let mut seen = HashSet::with_capacity(entries.len());
    match entries.iter().find(|(variable, _)| !seen.insert(variable)) {
        Some((variable, _)) => Err(cannot_carry(variable, Obstacle::Repeated)),
        None => Ok(()),
    }
}

fn cannot_carry(variable: &str, reason: Obstacle) -> ExchangeError {
    ExchangeError::CannotCarry { variable: variable.to_owned(), reason }
}

/// The beginning of a text that may be long.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    harmless_line(&shown)
}

fn without_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(bytes)
}

/// A reader's entries so far.
#[derive(Default)]
struct Found {
    entries: Vec<Entry>,
    duplicates: Vec<String>,
    strays: Strays,
    valueless: Vec<String>,
    /// For each variable its place in `entries`, and whether it is among the `duplicates` already.
    places: HashMap<String, (usize, bool)>,
}

impl Found {
    /// A variable, its value, and whether a `#` cut it; an earlier value of the same variable gives way.
    fn put(&mut self, variable: &str, value: SecretBytes, cut: bool) -> Result<(), ExchangeError> {
        let interpolates = interpolates(value.expose());
        if let Some((place, known)) = self.places.get_mut(variable) {
            if !std::mem::replace(known, true) {
                self.duplicates.push(variable.to_owned());
            }
            let entry = self.entries.get_mut(*place).ok_or(ExchangeError::Size)?;
            (entry.value, entry.interpolates, entry.cut) = (value, interpolates, cut);
            return Ok(());
        }
        if self.entries.len() == MAX_ENTRIES {
            return Err(ExchangeError::TooManyEntries);
        }
        self.places.insert(variable.to_owned(), (self.entries.len(), false));
        self.entries.push(Entry { variable: variable.to_owned(), value, interpolates, cut });
        Ok(())
    }
}

/// Returns `true` if `$NAME` or `${NAME…` stands in the value.
fn interpolates(value: &[u8]) -> bool {
    let mut pieces = value.split(|byte| *byte == b'$');
    pieces.next();
    pieces.any(|after| {
        let name = after.strip_prefix(b"{").unwrap_or(after);
        name.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_text(text: &str) -> Result<Parsed, ExchangeError> {
        parse(&SecretBytes::copy_from(text.as_bytes()))
    }

    #[test]
    fn the_format_is_known_by_content() {
        for json in ["{", " \r\n\t{}", "\u{FEFF}{", "\u{FEFF} {"] {
            assert_eq!(detect(json.as_bytes()), Format::Json, "{json:?}");
        }
        for dotenv in ["", "A={", "# {", "[", "\u{FEFF}A=1"] {
            assert_eq!(detect(dotenv.as_bytes()), Format::Dotenv, "{dotenv:?}");
        }
    }

    #[test]
    fn fuzz_dotenv_one_byte_order_mark_is_taken_off_and_not_two() {
        let parsed = parse_text("\u{FEFF}\u{FEFF}{\nA=1");
        assert!(parsed.is_ok_and(|parsed| parsed.format == Format::Dotenv && parsed.entries.len() == 1));
    }

    #[test]
    fn the_last_of_duplicates_wins_at_the_place_of_the_first() {
        for text in ["A=1\nB=2\nA=3\nA=4\nB=$x", r#"{"A":"1","B":"2","A":"3","A":"4","B":"$x"}"#] {
            let parsed = parse_text(text);
            let entries = parsed.as_ref().map(|parsed| parsed.entries.as_slice()).unwrap_or_default();
            let expected =
                [("A", "4", false), ("B", "$x", true)].map(|(variable, value, interpolates)| Entry {
                    variable: variable.to_owned(),
                    value: SecretBytes::copy_from(value.as_bytes()),
                    interpolates,
                    cut: false,
                });
            assert_eq!(entries, expected);
            let duplicates = parsed.map(|parsed| parsed.duplicates);
            assert_eq!(duplicates, Ok(vec!["A".to_owned(), "B".to_owned()]));
        }
    }

    #[test]
    fn what_some_readers_would_replace_is_noticed() {
        for value in ["${X}", "a$X", "$_", "$$x", "${x:-1}", "$1$a"] {
            assert!(interpolates(value.as_bytes()), "{value}");
        }
        for value in ["", "$", "5$", "$1", "a$ b", "${", "${1}", "x{Y}"] {
            assert!(!interpolates(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn case_63_too_many_variables_are_refused_and_too_many_mentions_are_not() {
        use std::fmt::Write as _;
        let mut text = String::new();
        for number in 0..=MAX_ENTRIES {
            let _ = writeln!(text, "V{number}=");
        }
        assert!(matches!(parse_text(&text), Err(ExchangeError::TooManyEntries)));
        let repeated = "A=\n".repeat(MAX_ENTRIES + 1);
        assert!(parse_text(&repeated).is_ok_and(|parsed| parsed.entries.len() == 1));
    }

    #[test]
    fn text_that_is_neither_utf8_nor_an_object_is_refused() {
        let latin = parse(&SecretBytes::copy_from(b"A=\xE4"));
        assert!(matches!(latin, Err(ExchangeError::NotUtf8)));
        for json in ["[]", "[{\"A\":\"1\"}]", "\"A\"", "1", "null"] {
            assert!(matches!(parse_text(json), Err(ExchangeError::NotAnObject)), "{json}");
        }
        assert!(parse_text("").is_ok_and(|parsed| parsed.entries.is_empty()));
    }

    #[test]
    fn a_variable_given_twice_is_not_written() {
        let twice: [(&str, &[u8]); 2] = [("A", b"1"), ("A", b"2")];
        let refusal = cannot_carry("A", Obstacle::Repeated);
        assert_eq!(write_dotenv(&twice), Err(refusal.clone()));
        assert_eq!(write_json(&twice), Err(refusal));
    }
}
