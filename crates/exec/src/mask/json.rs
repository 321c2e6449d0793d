//! The strings of a value that some reader takes for JSON.
//!
//! A program prints what its own reader makes of the value, and readers differ: numbers beyond any range, `NaN`, a
//! surrogate by itself, nesting without limit, trailing commas, comments, single quotes, and documents one after another.
//! So this is a scanner, not a parser, and takes what any of them takes. Text counts as JSON if its brackets match, holds
//! nothing in them but strings, words and punctuation, and has nothing outside of them but strings and comments.

use keyvault_core::secret::{SecretBytes, SecretWriter};

/// The strings of the documents, at any depth, those under the same name as well, without the names; none if it is no JSON.
pub(super) fn strings(text: &[u8]) -> Vec<SecretBytes> {
    let mut strings = Vec::new();
    if scan(text, &mut strings).is_some() { strings } else { Vec::new() }
}

/// A bracket that is open.
struct Open {
    closing: u8,
    /// True where a string is a value: in a list, and after the colon of a member.
    is_value: bool,
}

fn scan(text: &[u8], strings: &mut Vec<SecretBytes>) -> Option<()> {
    // A list of its own instead of recursion: documents may be nested deeper than the stack.
    let mut open: Vec<Open> = Vec::new();
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = match *first {
            // 0x1e separates the documents of RFC 7464.
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | 0x1e => after,
            b'{' | b'[' => {
                let is_list = *first == b'[';
                open.push(Open { closing: if is_list { b']' } else { b'}' }, is_value: is_list });
                after
            }
            b'}' | b']' => open.pop().filter(|bracket| bracket.closing == *first).map(|_| after)?,
            b':' => {
                open.last_mut()?.is_value = true;
                after
            }
            b',' => {
                let bracket = open.last_mut()?;
                bracket.is_value = bracket.closing == b']';
                after
            }
            quote @ (b'"' | b'\'') => {
                let (inside, after) = quoted(after, quote)?;
                if open.last().is_none_or(|bracket| bracket.is_value) {
                    read(inside, strings);
                }
                after
            }
            b'/' => behind_comment(after)?,
            byte if !open.is_empty() && is_of_word(byte) => after,
            _ => return None,
        };
    }
    open.is_empty().then_some(())
}

/// Of a number, a literal, or a name without quotes.
fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+-._$".contains(&byte) || !byte.is_ascii()
}

/// The text up to the closing quote, and what follows that.
fn quoted(text: &[u8], quote: u8) -> Option<(&[u8], &[u8])> {
    let mut at = 0;
    loop {
        match *text.get(at)? {
            b'\\' => at += 2,
            byte if byte == quote => return Some((text.get(..at)?, text.get(at + 1..)?)),
            _ => at += 1,
        }
    }
}

/// The text behind a comment, of which the first slash was read.
fn behind_comment(text: &[u8]) -> Option<&[u8]> {
    match text.first()? {
        b'/' => {
            let end = text.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(text.len());
            text.get(end..)
        }
        b'*' => {
            let end = text.get(1..)?.windows(2).position(|window| window == b"*/")?;
            text.get(end + 3..)
        }
        _ => None,
    }
}

/// The string that is written so. Readers put one character or another in the place of a surrogate that is no pair, so the
/// pieces beside it count too.
fn read(written: &[u8], strings: &mut Vec<SecretBytes>) {
    // No escape is shorter than what it means, so there is room for all.
    let mut string = SecretWriter::with_capacity(written.len());
    let mut pieces = Vec::new();
    let mut begin = 0;
    let mut rest = written;
    while let Some((first, after)) = rest.split_first() {
        let escape = if *first == b'\\' { escape(after) } else { None };
        let (meaning, after) = escape.unwrap_or((Meaning::Byte(*first), after));
        rest = after;
        let mut buffer = [0; 4];
        let bytes = match &meaning {
            Meaning::Nothing => b"",
            Meaning::Byte(byte) => std::slice::from_ref(byte),
            Meaning::Character(character) => character.encode_utf8(&mut buffer).as_bytes(),
            Meaning::Surrogate => "\u{fffd}".as_bytes(),
        };
        if matches!(meaning, Meaning::Surrogate) {
            pieces.push(begin..string.written().len());
            begin = string.written().len() + bytes.len();
        }
        let _ = string.push(bytes);
    }
    let string = string.finish();
    if !pieces.is_empty() {
        pieces.push(begin..string.len());
        let texts = pieces.into_iter().filter_map(|piece| string.expose().get(piece));
        strings.extend(texts.map(SecretBytes::copy_from));
    }
    strings.push(string);
}

enum Meaning {
    /// The end of a line that goes on.
    Nothing,
    Byte(u8),
    Character(char),
    /// Half of a pair, without the other half.
    Surrogate,
}

/// The escape behind a backslash, and what follows it; `None` at the end of the text.
fn escape(text: &[u8]) -> Option<(Meaning, &[u8])> {
    let (letter, after) = text.split_first()?;
    let meaning = match letter {
        b'b' => Meaning::Byte(8),
        b't' => Meaning::Byte(b'\t'),
        b'n' => Meaning::Byte(b'\n'),
        b'v' => Meaning::Byte(11),
        b'f' => Meaning::Byte(12),
        b'r' => Meaning::Byte(b'\r'),
        b'0' => Meaning::Byte(0),
        b'\n' => Meaning::Nothing,
        b'\r' => return Some((Meaning::Nothing, after.strip_prefix(b"\n").unwrap_or(after))),
        b'u' | b'x' => return Some(numbered(*letter, after).unwrap_or((Meaning::Byte(*letter), after))),
        other => Meaning::Byte(*other),
    };
    Some((meaning, after))
}

/// `\uXXXX`, `\uXXXX\uXXXX` or `\xXX`, of which the first letter was read.
fn numbered(letter: u8, text: &[u8]) -> Option<(Meaning, &[u8])> {
    let (unit, after) = hexadecimal(text, if letter == b'u' { 4 } else { 2 })?;
    if let Some(character) = char::from_u32(unit) {
        return Some((Meaning::Character(character), after));
    }
    let second = after.strip_prefix(b"\\u").and_then(|text| hexadecimal(text, 4));
    let pair = second.filter(|(second, _)| unit < 0xdc00 && (0xdc00..0xe000).contains(second)).and_then(
        |(second, after)| {
            let character = char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (second - 0xdc00))?;
            Some((Meaning::Character(character), after))
        },
    );
    Some(pair.unwrap_or((Meaning::Surrogate, after)))
}

fn hexadecimal(text: &[u8], digits: usize) -> Option<(u32, &[u8])> {
    let (number, after) = text.split_at_checked(digits)?;
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let number = number.iter().try_fold(0, |number, byte| Some(number * 16 + digit(byte)?))?;
    Some((number, after))
}
