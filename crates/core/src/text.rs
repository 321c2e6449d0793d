//! Text from outside in a message: made harmless, counted, listed.

use std::io;
use std::path::Path;

use crate::name::KeyName;

/// Characters that a terminal obeys instead of showing: C0, DEL, C1, direction marks and overrides, invisible separators.
#[must_use]
pub fn obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}')
}

/// Text for a terminal or a log: control characters and Unicode's direction marks as `\u{…}`; newlines stay.
#[must_use]
pub fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if obeyed(c) && c != '\n' {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// [`harmless`] for text that stands in one line.
#[must_use]
pub fn harmless_line(text: &str) -> String {
    harmless(text).replace('\n', "\\n")
}

/// A path as a shell reads it back.
#[must_use]
pub fn quoted(path: &Path) -> String {
    format!("'{}'", harmless_line(&path.display().to_string().replace('\'', r"'\''")))
}

/// The system's message, without its number.
#[must_use]
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    with_first(text, |first| first.to_lowercase().collect())
}

/// A fact as a sentence of its own.
#[must_use]
pub fn sentence(fact: &str) -> String {
    with_first(fact, |first| first.to_uppercase().collect()) + "."
}

fn with_first(text: &str, change: impl Fn(char) -> String) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| change(first) + characters.as_str())
}

/// `1 key`, `2 keys`, `0 entries`.
#[must_use]
pub fn counted(count: usize, what: &str) -> String {
    match what.strip_suffix("ry") {
        _ if count == 1 => format!("1 {what}"),
        Some(stem) => format!("{count} {stem}ries"),
        None if what.ends_with("ss") => format!("{count} {what}es"),
        None => format!("{count} {what}s"),
    }
}

/// The first ten names, and the number of the others.
#[must_use]
pub fn list(names: &[KeyName]) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(KeyName::as_str).collect();
    match names.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{} and {more} more", shown.join(", ")),
        _ => shown.join(", "),
    }
}

/// Long, without the parts that names have, and with digits: keys of providers look like this, names hardly ever.
/// `S3_SECRET_ACCESS_KEY` is named after its variable.
#[must_use]
pub fn looks_like_a_value(text: &str) -> bool {
    let variable = text.contains('_') && !text.bytes().any(|byte| byte.is_ascii_lowercase());
    text.len() >= 20
        && !variable
        && !text.contains(['/', '.'])
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_35_escape_codes_and_direction_marks_are_shown() {
        assert_eq!(harmless("a\u{1b}[31mb\u{202e}c"), "a\\u{1b}[31mb\\u{202e}c");
        assert_eq!(harmless_line("a\nb"), "a\\nb");
    }
}
