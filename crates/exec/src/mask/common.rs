//! Values that stand in any output by chance, and hide nothing where they are masked: they would only make it unreadable.

use super::forms::SHORTEST;

/// Words that programs use as settings.
const WORDS: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "null", "none", "localhost"];

/// The digits of the longest port.
const DIGITS: usize = 5;

/// Returns `true` for less than four bytes, for blanks, for an integer of up to five digits, and for a setting's word in
/// any case. Blanks around a word or a number are no part of it.
#[must_use]
pub fn is_common(value: &[u8]) -> bool {
    let text = value.trim_ascii();
    let digits = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    value.len() < SHORTEST
        || text.is_empty()
        || WORDS.iter().any(|word| text.eq_ignore_ascii_case(word.as_bytes()))
        || (1..=DIGITS).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_like_a_common_value_and_may_be_a_password_is_none() {
        for common in [
            "",
            "abc",
            "    ",
            "\t\n\r ",
            "true",
            "TRUE",
            "False",
            "none",
            "NULL",
            "localhost",
            "yes\n",
            " off ",
            "0",
            "5432",
            "65535",
            "00000",
            "-5432",
            "+8080",
            "5432\n",
        ] {
            assert!(is_common(common.as_bytes()), "{common:?}");
        }
        for secret in [
            "abcd",
            "truely",
            "postgres",
            "postgres1",
            "123456",
            "1234.5",
            "--54",
            "5432a",
            "0x1f",
            "true false",
            "localhost:5432",
            "true\nfalse",
            "-",
            "\u{a0}\u{a0}",
        ] {
            assert_eq!(is_common(secret.as_bytes()), secret.len() < 4, "{secret:?}");
        }
    }
}
