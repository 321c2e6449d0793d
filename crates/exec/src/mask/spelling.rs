//! How writers spell single characters: raw, and escaped by the rules of JSON, shells, languages, HTML, URLs, SQL and
//! others.
//!
//! A writer decides for each character by itself whether to escape it: `System.Text.Json` escapes `+` and not `=`, Gson
//! `=` and not `+`, `json.dumps` neither. So there is no list of whole texts to look for, but one of spellings for each
//! character, any of which may stand beside any other. Letters and digits are escaped by no writer that does not escape
//! everything; [`escaped`] is for those.
//!
//! Sources: RFC 8259 and the encoders of .NET, Gson, Jackson, PHP, Go, Python and Node; bash(1), dash(1), zshall(1),
//! `shlex`; Python's, Perl's, Ruby's, Go's and Rust's reprs; HTML's and XML's character references; RFC 3986, RFC 2045;
//! the quoting of SQL, YAML, CSV, Make and Compose, which double.

use std::collections::BTreeSet;

/// A character of a value, or a byte where the value is not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Unit {
    Char(char),
    Byte(u8),
}

/// The units of a value, in order.
pub(crate) fn units(value: &[u8]) -> impl Iterator<Item = Unit> {
    value.utf8_chunks().flat_map(|chunk| {
        chunk.valid().chars().map(Unit::Char).chain(chunk.invalid().iter().copied().map(Unit::Byte))
    })
}

impl Unit {
    /// Returns `true` if no writer escapes it that leaves anything as it is.
    #[must_use]
    pub(crate) fn is_plain(self) -> bool {
        matches!(self, Self::Char(c) if c.is_ascii_alphanumeric())
    }

    /// How many bytes it has.
    #[must_use]
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Char(c) => c.len_utf8(),
            Self::Byte(_) => 1,
        }
    }
}

type Texts = BTreeSet<String>;

/// Every spelling of a unit. None is shorter than the unit itself.
#[must_use]
pub(crate) fn spellings(unit: Unit) -> Vec<Vec<u8>> {
    let (raw, escapes) = match unit {
        Unit::Char(c) if unit.is_plain() => (c.to_string().into_bytes(), Texts::new()),
        Unit::Char(c) => (c.to_string().into_bytes(), of_char(c)),
        Unit::Byte(byte) => (vec![byte], of_bytes(&[byte])),
    };
    let mut all: BTreeSet<Vec<u8>> = escapes.into_iter().map(String::into_bytes).collect();
    if !unit.is_plain() {
        // Perl's quotemeta, which goes byte by byte.
        all.insert(raw.iter().flat_map(|byte| [b'\\', *byte]).collect());
    }
    all.insert(raw);
    all.into_iter().collect()
}

/// The spellings of a byte by writers that leave nothing as it is.
#[must_use]
pub(crate) fn escaped(byte: u8) -> Vec<Vec<u8>> {
    let mut texts = of_bytes(&[byte]);
    texts.retain(|text| !text.starts_with('='));
    if byte.is_ascii() {
        texts.insert(format!("&#{byte};"));
    }
    texts.into_iter().map(String::into_bytes).collect()
}

/// Escapes byte by byte: of URLs, of strings in C and Python's `bytes`, of `printf %q` where the locale is C, of mails.
fn of_bytes(bytes: &[u8]) -> Texts {
    let each = |write: fn(&u8) -> String| bytes.iter().map(write).collect::<String>();
    Texts::from([
        each(|byte| format!("%{byte:02x}")),
        each(|byte| format!("%{byte:02X}")),
        each(|byte| format!("\\x{byte:02x}")),
        each(|byte| format!("\\x{byte:02X}")),
        each(|byte| format!("\\{byte:03o}")),
        each(|byte| format!("={byte:02X}")),
    ])
}

fn of_char(c: char) -> Texts {
    let code = u32::from(c);
    let mut utf8 = [0; 4];
    let mut texts = of_bytes(c.encode_utf8(&mut utf8).as_bytes());
    let mut units = [0; 2];
    let units = c.encode_utf16(&mut units);
    let utf16 = |write: fn(&u16) -> String| units.iter().map(write).collect::<String>();
    texts.extend([
        utf16(|unit| format!("\\u{unit:04x}")),
        utf16(|unit| format!("\\u{unit:04X}")),
        format!("\\u{{{code:x}}}"),
        format!("\\u{{{code:X}}}"),
        format!("\\x{{{code:x}}}"),
        format!("\\x{{{code:X}}}"),
        format!("\\U{code:08x}"),
        format!("\\U{code:08X}"),
        format!("&#{code};"),
        format!("&#{code:03};"),
        format!("&#x{code:x};"),
        format!("&#x{code:X};"),
        format!("&#x{code:02x};"),
        format!("&#x{code:02X};"),
    ]);
    if code < 0x100 {
        texts.extend([format!("\\x{code:02x}"), format!("\\x{code:02X}")]);
    }
    match c {
        ' '..='~' => punctuation(c, &mut texts),
        '\0'..='\u{1f}' | '\u{7f}' => control(c, &mut texts),
        _ => {}
    }
    nested(&mut texts);
    texts
}

/// The spellings of an ASCII character that can be seen, and of a blank.
fn punctuation(c: char, texts: &mut Texts) {
    texts.insert(format!("\\{c}"));
    // Characters that quote or begin something, where they are doubled: SQL, YAML, CSV, Make, Compose, cron, templates.
    if "'\"`$%{}@\\".contains(c) {
        texts.insert(format!("{c}{c}"));
    }
    let name = match c {
        '"' => "&quot;",
        '&' => "&amp;",
        '<' => "&lt;",
        '>' => "&gt;",
        '\'' => "&apos;",
        _ => "",
    };
    if !name.is_empty() {
        // JSON within HTML: the backslash stays, the quote does not.
        texts.extend([name.to_owned(), format!("\\{name}"), format!("\\&#{};", u32::from(c))]);
    }
    match c {
        ' ' => {
            texts.insert("+".to_owned());
        }
        // Out of single quotes and back: for each, or at both ends of several (dash, zsh).
        '\'' => texts.extend(["'\\''", "'\\'", "\\''", "'\"'\"'", "'\"'"].map(str::to_owned)),
        _ => {}
    }
}

/// The spellings of a character that cannot be seen.
fn control(c: char, texts: &mut Texts) {
    let code = u32::from(c);
    let letters = match c {
        '\u{7}' => "a",
        '\u{8}' => "b",
        '\t' => "t",
        '\n' => "n",
        '\u{b}' => "v",
        '\u{c}' => "f",
        '\r' => "r",
        '\u{1b}' => "eE",
        _ => "",
    };
    let mut escapes: Vec<String> = letters.chars().map(|letter| format!("\\{letter}")).collect();
    escapes.extend([format!("\\{code:o}"), format!("\\{code:03o}")]);
    let caret = char::from_u32(code ^ 0x40).unwrap_or('?');
    escapes.extend([
        format!("\\C-{caret}"),
        format!("\\C-{}", caret.to_ascii_lowercase()),
        format!("\\c{caret}"),
    ]);
    // A shell's $'…', around the character alone, outside of quotes and between two parts in them.
    for escape in &escapes {
        texts.extend([format!("$'{escape}'"), format!("'$'{escape}''")]);
    }
    texts.extend(escapes);
    texts.extend([format!("^{caret}"), format!("#{code:03o}")]);
    if c == '\n' {
        // As a terminal and the protocols of the net end a line.
        let ends = [
            "\r\n",
            "\\r\\n",
            "%0D%0A",
            "%0d%0a",
            "&#13;&#10;",
            "&#xD;&#xA;",
            "&#xd;&#xa;",
            "\\u000d\\u000a",
            "\\u000D\\u000A",
        ];
        texts.extend(ends.map(str::to_owned));
    }
}

/// Adds the spellings of texts that become a string of JSON, text of HTML or part of a URL once more, and of JSON a third
/// time, as logs have it of logs.
fn nested(texts: &mut Texts) {
    let json = |text: &String| text.replace('\\', "\\\\").replace('"', "\\\"");
    let once = texts.clone();
    let twice: Texts = once.iter().map(json).collect();
    texts.extend(twice.iter().map(json));
    texts.extend(twice);
    texts.extend(once.iter().filter(|text| text.starts_with('%')).map(|text| text.replace('%', "%25")));
    for text in once.iter().filter(|text| text.starts_with('&') && text.len() > 1) {
        texts.extend(["&amp;", "\\u0026"].map(|escape| text.replace('&', escape)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_or_digit_stands_for_itself_and_nothing_is_spelt_in_fewer_bytes() {
        for code in (0..0x3000).chain(0x1_f600..0x1_f610) {
            let Some(c) = char::from_u32(code) else { continue };
            let unit = Unit::Char(c);
            let all = spellings(unit);
            assert!(all.contains(&c.to_string().into_bytes()), "{c:?}");
            assert_eq!(all.len() == 1, unit.is_plain(), "{c:?}");
            assert!(all.iter().all(|spelling| spelling.len() >= unit.len()), "{c:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_escaped_one_by_one() {
        let all = spellings(Unit::Byte(0xff));
        for expected in ["%ff", "%FF", "\\xff", "\\377"] {
            assert!(all.contains(&expected.as_bytes().to_vec()), "{expected}");
        }
        let of: Vec<Unit> = units(b"a\xffb").collect();
        assert_eq!(of, [Unit::Char('a'), Unit::Byte(0xff), Unit::Char('b')]);
    }
}
