//! dotenv, byte for byte as the npm package `dotenv` 18 parses it by default, because that is what most `.env` files
//! were written for.
//!
//! What it does: `\r\n` and `\r` become `\n`. An entry begins at the start of a line (after JavaScript's white space,
//! which may run over several lines): an optional `export`, a name of `[A-Za-z0-9_.-]`, then `=` or `: `. The value is
//! quoted with `'`, `"` or a backtick, over several lines if need be, or runs to the end of the line or a `#`. Behind it
//! only white space and a comment may stand before the line's end. The value is trimmed and, per line, stripped of a
//! surrounding pair of quotes; if it began with `"`, `\n` and `\r` are expanded. Lines that do not fit are passed over.
//!
//! JavaScript's `^` and `$` also stop at U+2028 and U+2029, so this looks for line starts itself and matches the
//! anchored rest with a regular expression whose alternatives are tried in the same order.

use std::sync::LazyLock;

use regex::Regex;

use crate::secret::{SecretBytes, SecretWriter};

use super::{Entry, ExchangeError};

/// JavaScript's `\s` (ECMA-262, WhiteSpace and LineTerminator).
const SPACE: &str =
    r"[\t\n\x0B\x0C\r \x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}\x{FEFF}]";

/// One entry from a line's start. The line's end, which JavaScript only looks at, is the group `end` here.
static ENTRY: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let expression = [
        r"\A\s*(?:export\s+)?(?<name>[A-Za-z0-9_.-]+)(?:\s*=\s*?|:\s+?)",
        r"(?<value>\s*'(?:\\'|[^'])*'",
        r#"|\s*"(?:\\"|[^"])*""#,
        r"|\s*`(?:\\`|[^`])*`",
        r"|[^#\r\n]+)?",
        r"\s*(?:#[^\n\r\x{2028}\x{2029}]*)?(?<end>\z|[\n\r\x{2028}\x{2029}])",
    ];
    Regex::new(&expression.concat().replace(r"\s", SPACE)).ok()
});

pub(super) fn read(text: &str) -> Result<Vec<Entry>, ExchangeError> {
    let text = normalise_line_ends(text)?;
    let text = std::str::from_utf8(text.expose()).map_err(|_| ExchangeError::NotUtf8)?;
    let Some(entry) = ENTRY.as_ref() else { return Err(ExchangeError::NotUtf8) };
    let mut entries = Vec::new();
    let mut start = Some(0);
    while let Some(from) = start {
        let rest = text.get(from..).unwrap_or_default();
        let Some(found) = entry.captures(rest) else {
            start = next_line(text, from);
            continue;
        };
        let group = |name| found.name(name).map_or("", |group| group.as_str());
        // JavaScript's objects take no own property of this name from an assignment of a string.
        if group("name") != "__proto__" {
            entries.push(Entry { variable: group("name").to_owned(), value: value(group("value"))? });
        }
        if entries.len() > super::MAX_ENTRIES {
            return Err(ExchangeError::TooMany);
        }
        let end = from + found.name("end").map_or(rest.len(), |end| end.start());
        start = if is_line_start(text, end) { Some(end) } else { next_line(text, end) };
    }
    Ok(entries)
}

fn normalise_line_ends(text: &str) -> Result<SecretBytes, ExchangeError> {
    let mut normal = SecretWriter::with_capacity(text.len());
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b'\r' {
            bytes.next_if_eq(&b'\n');
            normal.push(b"\n")?;
        } else {
            normal.push(&[byte])?;
        }
    }
    Ok(normal.finish())
}

fn is_terminator(c: char) -> bool {
    matches!(c, '\n' | '\u{2028}' | '\u{2029}')
}

fn is_line_start(text: &str, at: usize) -> bool {
    text.get(..at).is_some_and(|before| before.chars().next_back().is_none_or(is_terminator))
}

/// The start of the first line that begins behind `at`.
fn next_line(text: &str, at: usize) -> Option<usize> {
    let mut behind = text.get(at..)?.char_indices();
    behind.find(|(_, c)| is_terminator(*c)).map(|(place, c)| at + place + c.len_utf8())
}

/// From what stands behind the `=` to the value.
fn value(written: &str) -> Result<SecretBytes, ExchangeError> {
    let trimmed = written.trim_matches(is_js_space);
    let stripped = strip_quotes(trimmed)?;
    if trimmed.starts_with('"') { expand(stripped.expose()) } else { Ok(stripped) }
}

fn is_js_space(c: char) -> bool {
    matches!(
        c,
        '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'
            ..='\u{200a}' | '\u{2028}' | '\u{2029}' | '\u{202f}' | '\u{205f}' | '\u{3000}' | '\u{feff}'
    )
}

/// Takes away each pair of quotes that begins at a line's start and ends, as late as possible, at a line's end.
fn strip_quotes(text: &str) -> Result<SecretBytes, ExchangeError> {
    let mut stripped = SecretWriter::with_capacity(text.len());
    let mut at = 0;
    while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let width = c.len_utf8();
        let closing = (matches!(c, '\'' | '"' | '`') && is_line_start(text, at))
            .then(|| closing_quote(text, at + width, c))
            .flatten();
        let (kept, next) = match closing {
            Some(close) => (at + width..close, close + width),
            None => (at..at + width, at + width),
        };
        stripped.push(text.get(kept).unwrap_or_default().as_bytes())?;
        at = next;
    }
    Ok(stripped.finish())
}

/// The last quote from `from` on that stands at a line's end.
fn closing_quote(text: &str, from: usize, quote: char) -> Option<usize> {
    let rest = text.get(from..)?;
    let ends_line = |place: usize| {
        let after = rest.get(place + quote.len_utf8()..).unwrap_or_default();
        after.chars().next().is_none_or(is_terminator)
    };
    rest.rmatch_indices(quote)
        .map(|(place, _)| place)
        .find(|place| ends_line(*place))
        .map(|place| from + place)
}

/// `\n` first and then `\r`, as two passes over the whole do; neither makes a new sequence for the other.
fn expand(text: &[u8]) -> Result<SecretBytes, ExchangeError> {
    let mut expanded = SecretWriter::with_capacity(text.len());
    let mut rest = text;
    loop {
        match rest {
            [b'\\', b'n', after @ ..] => {
                expanded.push(b"\n")?;
                rest = after;
            }
            [b'\\', b'r', after @ ..] => {
                expanded.push(b"\r")?;
                rest = after;
            }
            [byte, after @ ..] => {
                expanded.push(&[*byte])?;
                rest = after;
            }
            [] => return Ok(expanded.finish()),
        }
    }
}

/// Ways to write a value, in the order of preference: as it is, and in quotes that a shell reads the same way.
const QUOTES: [&str; 4] = ["", "'", "\"", "`"];

pub(super) fn write(variables: &[(&str, &SecretBytes)]) -> Result<SecretBytes, ExchangeError> {
    // Each line: name, "=", two quotes, value, newline; `\r` and `\n` may each take two bytes.
    let total = variables.iter().map(|(name, value)| name.len() + 2 * value.len() + 4).sum();
    let mut file = SecretWriter::with_capacity(total);
    for (name, value) in variables {
        file.push(line(name, value)?.expose())?;
    }
    Ok(file.finish())
}

/// The line of one variable: the first way of writing it that reads back as the same bytes.
fn line(name: &str, value: &SecretBytes) -> Result<SecretBytes, ExchangeError> {
    let cannot = |why| ExchangeError::CannotCarry { variable: name.to_owned(), format: "dotenv", why };
    if std::str::from_utf8(value.expose()).is_err() {
        return Err(cannot("it is not UTF-8"));
    }
    let plain =
        value.expose().iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-./:@%+=,".contains(byte));
    for quote in QUOTES.into_iter().skip(usize::from(!plain)) {
        let mut line = SecretWriter::with_capacity(name.len() + 2 * value.len() + 4);
        line.push(name.as_bytes())?;
        line.push(b"=")?;
        line.push(quote.as_bytes())?;
        for byte in value.expose() {
            match byte {
                // A carriage return can only be carried as an escape.
                b'\r' if quote == "\"" => line.push(b"\\r")?,
                _ => line.push(&[*byte])?,
            }
        }
        line.push(quote.as_bytes())?;
        line.push(b"\n")?;
        let line = line.finish();
        if reads_back(&line, name, value) {
            return Ok(line);
        }
    }
    Err(cannot("no way of quoting reads back as the same bytes"))
}

fn reads_back(line: &SecretBytes, name: &str, value: &SecretBytes) -> bool {
    let Ok(text) = std::str::from_utf8(line.expose()) else { return false };
    read(text).is_ok_and(|entries| match entries.as_slice() {
        [entry] => entry.variable == name && entry.value == *value,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for value in [
            "",
            "plain",
            "two words",
            "it's",
            "say \"hi\"",
            "a#b",
            " lead",
            "line\nline",
            "$(rm) `x`",
            "tab\t",
            "a\rb",
        ] {
            let value = SecretBytes::copy_from(value.as_bytes());
            let line = line("NAME", &value);
            assert!(line.is_ok_and(|line| reads_back(&line, "NAME", &value)));
        }
    }

    #[test]
    fn what_no_quoting_carries_is_refused() {
        for value in [&b"'\"`\n"[..], b"\xff", b"'`\\n\""] {
            let refused = line("NAME", &SecretBytes::copy_from(value));
            assert!(matches!(refused, Err(ExchangeError::CannotCarry { .. })));
        }
    }
}
