//! Values on their way in: what in them may not be meant, and how much of them was stored. They are stored as they come; the
//! person who gave one decides.

use keyvault_core::secret::SecretBytes;

use super::context::Context;

/// Warns of what surrounds a value, or ends its lines, and may have come along with it.
pub(in crate::cli) fn warn_of_oddities(context: &Context, value: &SecretBytes, newline_meant: bool) {
    let mut oddities = oddities(value.expose());
    oddities.retain(|oddity| !(newline_meant && *oddity == FINAL_NEWLINE));
    if let Some((last, others)) = oddities.split_last() {
        let joined =
            if others.is_empty() { (*last).to_owned() } else { format!("{} and {last}", others.join(", ")) };
        context.ui.warn(&format!("The value {joined}. It is stored as it is."));
    }
}

const FINAL_NEWLINE: &str = "ends with a newline";

/// Oddities of a value that is text.
pub(in crate::cli) fn oddities(value: &[u8]) -> Vec<&'static str> {
    let Ok(text) = std::str::from_utf8(value) else { return Vec::new() };
    let is_blank = |character: char| character.is_whitespace() && !matches!(character, '\n' | '\r');
    let one_line = !text.strip_suffix('\n').unwrap_or(text).contains('\n');
    let found = [
        (text.starts_with('\u{FEFF}'), "begins with a byte order mark"),
        (text.trim_start_matches('\u{FEFF}').starts_with(is_blank), "begins with a blank"),
        (text.ends_with(is_blank), "ends with a blank"),
        (one_line && text.ends_with('\n'), FINAL_NEWLINE),
        (text.ends_with('\r'), "ends with a carriage return"),
        (!one_line && text.contains("\r\n"), "has lines that end in CR LF"),
    ];
    found.into_iter().filter(|(is, _)| *is).map(|(_, oddity)| oddity).collect()
}

/// The size of a value of several lines, of which a part may not have come; `None` for one line.
pub(in crate::cli) fn size_in_lines(value: &[u8]) -> Option<String> {
    let ends = value.split(|byte| *byte == b'\n').skip(1).count();
    let lines = ends + usize::from(!value.ends_with(b"\n"));
    (lines > 1).then(|| format!("Stored {} bytes, {} lines.", in_groups(value.len()), in_groups(lines)))
}

/// A number with a comma before each group of three digits.
fn in_groups(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_surrounds_a_value_is_odd_and_what_is_within_it_is_not() {
        for (value, expected) in [
            ("plain", &[][..]),
            ("two words\tand a tab", &[]),
            ("one\ntwo\n", &[]),
            ("one\n  two", &[]),
            ("", &[]),
            (" x", &["begins with a blank"]),
            ("x\t", &["ends with a blank"]),
            ("x\u{a0}", &["ends with a blank"]),
            ("\u{feff} x", &["begins with a byte order mark", "begins with a blank"]),
            ("x\n", &["ends with a newline"]),
            ("\n", &["ends with a newline"]),
            ("x\r", &["ends with a carriage return"]),
            ("one\r\ntwo\r\n", &["has lines that end in CR LF"]),
        ] {
            assert_eq!(oddities(value.as_bytes()), expected, "{value:?}");
        }
        assert!(oddities(b"\xff ").is_empty());
    }

    #[test]
    fn a_size_counts_a_last_line_without_an_end() {
        assert_eq!(size_in_lines(b"one"), None);
        assert_eq!(size_in_lines(b"one\n"), None);
        assert_eq!(size_in_lines(b"one\ntwo").as_deref(), Some("Stored 7 bytes, 2 lines."));
        let key = "x".repeat(99).repeat(12_345).into_bytes();
        let value = [&key[..], b"\n\n"].concat();
        assert_eq!(size_in_lines(&value).as_deref(), Some("Stored 1,222,157 bytes, 2 lines."));
    }
}
