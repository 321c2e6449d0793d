//! Text from outside in a message: made harmless, counted, listed.

use std::io;
use std::path::Path;

use crate::name::KeyName;
use crate::recipe::token_checksum_ok;

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

/// How the keys and tokens of providers begin.
const SECRET_PREFIXES: [&str; 34] = [
    "sk_live_",
    "sk_test_",
    "rk_live_",
    "rk_test_",
    "whsec_",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "glrt-",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "xapp-",
    "AKIA",
    "ASIA",
    "AIza",
    "ya29.",
    "SG.",
    "npm_",
    "pypi-",
    "dop_v1_",
    "shpat_",
    "sk-ant-",
    "sk-proj-",
    "hf_",
    "hvs.",
    "kvt_",
    "kv_",
    "AGE-SECRET-KEY-",
    "lin_api_",
];

/// Returns `true` if a name is probably a value: by the prefix of a provider, as a JSON Web Token, by the checksum that
/// generated tokens end with, or as a long random text.
#[must_use]
pub fn resembles_a_secret(text: &str) -> bool {
    let long_behind = |rest: &str| {
        rest.len() >= 8 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
    };
    let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).count();
    let prefixed = SECRET_PREFIXES
        .iter()
        .any(|prefix| text.strip_prefix(prefix).is_some_and(|rest| long_behind(rest) && digits(rest) > 0));
    let web_token = text.starts_with("eyJ") && text.split('.').count() == 3 && text.len() > 30;
    let checked = text.len() >= 20 && token_checksum_ok(text.as_bytes());
    prefixed || web_token || checked || is_uuid(text) || text.split(['/', '.', '-', '_']).any(is_random)
}

/// Returns `true` for a UUID, which some providers issue as keys.
fn is_uuid(text: &str) -> bool {
    text.split('-').map(str::len).eq([8, 4, 4, 4, 12])
        && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// Returns `true` for a run of 20 or more letters and digits that change between the two as often as random ones do. Words
/// with a number behind them change once.
fn is_random(run: &str) -> bool {
    let changes = run.as_bytes().windows(2).filter(|pair| match pair {
        [left, right] => left.is_ascii_digit() != right.is_ascii_digit(),
        _ => false,
    });
    run.len() >= 20 && run.bytes().all(|byte| byte.is_ascii_alphanumeric()) && changes.count() >= 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_the_place_of_names_are_recognized_and_names_are_not() {
        for value in [
            "sk_live_51HxabcdEFGHijklmnop",
            "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
            "AKIAIOSFODNN7EXAMPLE1",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
            "kvt_8Qi0IasASk2KcuCUm4MewEWo6OgyGYq8Qi0IasASk2K1YcOzKxiFwHZoOrAKkO2Ro0kq9vz",
            "550e8400-e29b-41d4-a716-446655440000",
            "4eC39HqLyjWDarjtT1zdp7dc",
            "stripe/4eC39HqLyjWDarjtT1zdp7dc",
        ] {
            assert!(resembles_a_secret(value), "{value}");
        }
        for name in [
            "stripe/live",
            "S3_SECRET_ACCESS_KEY",
            "my-shop/NEXT_PUBLIC_ANALYTICS_ENDPOINT_V2",
            "db/eu-west-1/primary-2024-11-30",
            "internationalization2service",
            "kv_store/production-replica",
            "npm_registry-token",
            "sk_live_key",
        ] {
            assert!(!resembles_a_secret(name), "{name}");
        }
    }

    #[test]
    fn case_35_escape_codes_and_direction_marks_are_shown() {
        assert_eq!(harmless("a\u{1b}[31mb\u{202e}c"), "a\\u{1b}[31mb\\u{202e}c");
        assert_eq!(harmless_line("a\nb"), "a\\nb");
    }
}
