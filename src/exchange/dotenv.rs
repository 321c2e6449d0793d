//! dotenv, read as the npm package `dotenv` 18 reads it, and told what that reading leaves out.
//!
//! The package has one regular expression for an assignment and searches the whole text for its next match. What matches
//! nowhere it passes over in silence; here those lines are counted ([`super::Strays`]), and a variable is marked whose
//! value a `#` ended that may have belonged to it. This is the same search as a scanner, in time linear in the text. Its
//! less obvious consequences, all kept:
//!
//! - White space is JavaScript's, the byte order mark and U+2028 included, and runs over line ends: the value of
//!   `A=` may be a quoted text lines below, and `A` may stand lines above its `=`.
//! - A closing quote counts only if nothing but white space and a comment follows on its line. A backslash before a
//!   quote lets the text go on behind it, but both characters stay in the value. Of several closing quotes that
//!   would do the last is taken, up to the first without a backslash.
//! - A text without such a closing quote is read as if it were bare, and so ends before the first `#`; it still
//!   loses its quotes if the last character is the one it begins with.
//! - A bare value runs on over U+2028 and U+2029, but those are line ends when its quotes are taken off.
//! - `\n` and `\r` are escapes wherever the value begins with a double quote, closed or not.
//! - A variable `__proto__` is lost, for JavaScript takes the assignment for one of the object's prototype. Its line
//!   counts as left out.
//!
//! In one place more lines are left out than by the package: between the first and the last line of a PEM text without
//! quotes, and at the end of base64 text whose other lines are no assignments. There `kJ3d9A==` would be the variable
//! `kJ3d9A`, and a part of a private key would be a name, which is shown, logged, and written into project files.
//!
//! `tests/vectors/dotenv/cases.json` holds what the package itself made of such inputs.

use super::{ExchangeError, Found};
use keyvault_core::secret::{Full, SecretBytes, SecretWriter};

pub(super) fn read(text: &str, found: &mut Found) -> Result<(), ExchangeError> {
    let text = line_feeds_only(text)?;
    let whole = std::str::from_utf8(text.expose()).map_err(|_| ExchangeError::NotUtf8)?;
    let mut lines = LineCounter { whole, counted: 0, line: 1 };
    let last_pem_end = whole.rfind(PEM_END).unwrap_or(0);
    let mut rest = whole;
    let mut after_stray = false;
    loop {
        // At the beginning of a line. An assignment may begin below, and then begins at the next visible character.
        rest = rest.trim_start_matches(is_white);
        let line = rest.split(is_line_end).next().unwrap_or_default();
        let assignment = Assignment::at_start(rest)
            .filter(|assignment| assignment.name != "__proto__" && !(after_stray && ends_base64(line)));
        after_stray = assignment.is_none() && !line.is_empty() && !line.starts_with('#');
        if after_stray {
            found.strays.add(lines.line_of(rest));
        }
        let opens_pem = opens_pem(assignment.as_ref().map_or(line, |assignment| assignment.value));
        if let Some(assignment) = assignment {
            found.put(assignment.name, unquote(assignment.value)?, assignment.cut)?;
            rest = assignment.rest;
        }
        if opens_pem
            && whole.len() - rest.len() <= last_pem_end
            && let Some(last) = rest.find(PEM_END)
        {
            let first = lines.line_of(rest) + 1;
            rest = rest.get(last + 1..).unwrap_or_default();
            found.strays.add_all(first, lines.line_of(rest));
        }
        match rest.find(is_line_end).and_then(|end| rest.get(end..)) {
            Some(next) => rest = next,
            None => return Ok(()),
        }
    }
}

/// How the last line of a PEM text begins.
const PEM_END: &str = "\n-----END ";

/// Returns `true` if a value, or a line that is none, is the first line of a PEM text and no more of it.
fn opens_pem(text: &str) -> bool {
    text.trim_start_matches(is_quote).starts_with("-----BEGIN ") && !text.contains("-----END ")
}

/// Numbers the lines of a text, from 1. Asked in order, it passes over each byte once.
struct LineCounter<'t> {
    whole: &'t str,
    /// How many bytes have been passed over.
    counted: usize,
    line: usize,
}

impl LineCounter<'_> {
    /// The line on which `rest`, an end of the whole text, begins.
    fn line_of(&mut self, rest: &str) -> usize {
        let place = self.whole.len() - rest.len();
        self.line += self.whole.get(self.counted..place).unwrap_or_default().matches('\n').count();
        self.counted = place.max(self.counted);
        self.line
    }
}

/// Returns `true` if a line looks like the padded end of base64 text.
fn ends_base64(line: &str) -> bool {
    let line = line.trim_end_matches(is_white);
    let body = line.trim_end_matches('=');
    let padded = match line.len() - body.len() {
        1 => body.len() >= 16,
        2 => true,
        _ => false,
    };
    padded && line.len().is_multiple_of(4) && body.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The text with CR and CR LF as LF.
fn line_feeds_only(text: &str) -> Result<SecretBytes, Full> {
    let mut lines = SecretWriter::with_capacity(text.len());
    let mut pieces = text.split('\r');
    lines.push(pieces.next().unwrap_or_default().as_bytes())?;
    for piece in pieces {
        lines.push(b"\n")?;
        lines.push(piece.strip_prefix('\n').unwrap_or(piece).as_bytes())?;
    }
    Ok(lines.finish())
}

struct Assignment<'t> {
    name: &'t str,
    /// The value as it stands in the text, quotes and all, without white space around it.
    value: &'t str,
    /// The text from where the search for the next line's end goes on.
    rest: &'t str,
    /// True if a `#` ended the value that may have belonged to it: no white space is before it, or it is within quotes
    /// or brackets that the value opens.
    cut: bool,
}

impl<'t> Assignment<'t> {
    /// The assignment whose first visible character is the text's first, if there is one.
    fn at_start(text: &'t str) -> Option<Self> {
        let (name, after) = split_while(behind_export(text).unwrap_or(text), is_name);
        if name.is_empty() {
            return None;
        }
        let value = match after.trim_start_matches(is_white).strip_prefix('=') {
            Some(value) => value,
            None => after.strip_prefix(':')?.strip_prefix(is_white)?,
        };
        let (value, rest) =
            quoted(value).unwrap_or_else(|| split_while(value, |character| !matches!(character, '#' | '\n')));
        let cut = rest.starts_with('#') && (!value.ends_with(is_white) || opens_more_than_it_closes(value));
        Some(Self { name, value: value.trim_matches(is_white), rest, cut })
    }
}

fn opens_more_than_it_closes(value: &str) -> bool {
    let count = |wanted: char| value.matches(wanted).count();
    ['\'', '"', '`'].into_iter().any(|quote| count(quote) % 2 == 1)
        || [('{', '}'), ('[', ']')].into_iter().any(|(open, close)| count(open) > count(close))
}

/// The name behind `export` and white space. `None` if no name follows: then `export` is itself the name, or none.
fn behind_export(text: &str) -> Option<&str> {
    let name = text.strip_prefix("export")?.strip_prefix(is_white)?.trim_start_matches(is_white);
    name.starts_with(is_name).then_some(name)
}

/// The quoted text that `value` begins with, from quote to quote, and what follows it. `None` if it begins with
/// none, or with one that no closing quote ends.
fn quoted(value: &str) -> Option<(&str, &str)> {
    let open = value.trim_start_matches(is_white);
    let quote = open.chars().next().filter(|first| is_quote(*first))?;
    let mut end = None;
    for (place, _) in open.match_indices(quote).skip(1) {
        let (text, after) = open.split_at_checked(place + 1)?;
        if ends_assignment(after) {
            end = Some((text, after));
        }
        // The opening quote is no backslash, so this looks within the quotes only.
        if !open.get(..place)?.ends_with('\\') {
            break;
        }
    }
    end
}

/// Returns `true` if only white space and a comment follow, up to the end of a line.
fn ends_assignment(after: &str) -> bool {
    let (white, visible) = split_while(after, is_white);
    visible.is_empty() || visible.starts_with('#') || white.contains(is_line_end)
}

/// The value without its quotes, and with its escapes undone if it began with a double quote.
///
/// Quotes are taken off wherever a line begins with one: that one and the last of its kind that ends a line.
fn unquote(text: &str) -> Result<SecretBytes, Full> {
    let escapes = text.starts_with('"');
    let last = ['\'', '"', '`'].map(|quote| (quote, last_closing(text, quote)));
    let mut value = SecretWriter::with_capacity(text.len());
    let mut rest = text;
    loop {
        // At the beginning of a line, `start` bytes into the text.
        let start = text.len() - rest.len();
        let closing = last.iter().find(|(quote, _)| rest.starts_with(*quote)).and_then(|(_, place)| *place);
        if let Some(place) = closing.filter(|place| *place > start) {
            push(&mut value, text.get(start + 1..place).unwrap_or_default(), escapes)?;
            rest = text.get(place + 1..).unwrap_or_default();
        }
        // Another line begins behind the next line's end.
        let line = rest.split_inclusive(is_line_end).next().unwrap_or_default();
        push(&mut value, line, escapes)?;
        rest = rest.get(line.len()..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(value.finish());
        }
    }
}

/// The place of the last such quote that ends a line.
fn last_closing(text: &str, quote: char) -> Option<usize> {
    let ends_line = |place: &usize| {
        let after = text.get(place + 1..).unwrap_or_default();
        after.is_empty() || after.starts_with(is_line_end)
    };
    text.rmatch_indices(quote).map(|(place, _)| place).find(ends_line)
}

/// Appends the text; with `escapes`, `\n` and `\r` become the characters they stand for.
fn push(value: &mut SecretWriter, text: &str, escapes: bool) -> Result<(), Full> {
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let (byte, width) = match (first, tail.first()) {
            (b'\\', Some(b'n')) if escapes => (b'\n', 2),
            (b'\\', Some(b'r')) if escapes => (b'\r', 2),
            _ => (*first, 1),
        };
        value.push(&[byte])?;
        rest = rest.get(width..).unwrap_or_default();
    }
    Ok(())
}

/// Matches like `\s` in JavaScript: `WhiteSpace` and `LineTerminator` of ECMA-262 §12.
fn is_white(character: char) -> bool {
    matches!(character, '\t'..='\r' | ' ' | '\u{A0}' | '\u{1680}' | '\u{2000}'..='\u{200A}')
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202F}' | '\u{205F}' | '\u{3000}' | '\u{FEFF}')
}

/// Before and behind what `$` and `^` match in JavaScript; CR is gone by then.
fn is_line_end(character: char) -> bool {
    matches!(character, '\n' | '\u{2028}' | '\u{2029}')
}

pub(super) fn is_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '-')
}

pub(super) fn is_quote(character: char) -> bool {
    matches!(character, '\'' | '"' | '`')
}

/// The longest beginning of such characters, and the rest.
fn split_while(text: &str, wanted: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|character| !wanted(character)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::time::{Duration, Instant};

    #[derive(serde::Deserialize)]
    struct Case {
        input: String,
        expected: BTreeMap<String, String>,
    }

    fn variables(text: &str) -> Vec<(String, String)> {
        let mut found = Found::default();
        assert_eq!(read(text, &mut found), Ok(()));
        let value = |value: &SecretBytes| String::from_utf8_lossy(value.expose()).into_owned();
        found.entries.iter().map(|entry| (entry.variable.clone(), value(&entry.value))).collect()
    }

    #[test]
    fn every_case_reads_as_the_package_read_it() {
        let cases = include_str!("../../tests/vectors/dotenv/cases.json");
        let cases: Vec<Case> = serde_json::from_str(cases).unwrap_or_default();
        assert!(cases.len() >= 60);
        for case in cases {
            let read: BTreeMap<_, _> = variables(&case.input).into_iter().collect();
            assert_eq!(read, case.expected, "{:?}", case.input);
        }
    }

    #[test]
    fn case_63_no_text_takes_more_than_linear_time() {
        let bombs = [
            "\n".repeat(1 << 20),
            ["A=x", &"\u{2028}'y".repeat(1 << 18)].concat(),
            ["A='", &"\\' ".repeat(1 << 18)].concat(),
            "A='\\'x\n".repeat(1 << 17),
            "export\n".repeat(1 << 17),
        ];
        for bomb in bombs {
            let start = Instant::now();
            let _ = variables(&bomb);
            // Quadratic time would be minutes.
            assert!(start.elapsed() < Duration::from_secs(10), "{:?}…", bomb.get(..20));
        }
    }
}
