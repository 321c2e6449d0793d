//! References to keys in other files: `kv://name` and `kv://name?version=N`.
//!
//! In an env-file a reference is a variable's whole value. In a text that is filled (`project render`) it may stand
//! anywhere, and ends where a name can go on no longer; a full stop, a dash or a slash that would end the name belongs
//! to the text. Where a letter follows, braces say where it ends: `{{kv://name}}`, which are replaced with it.

use keyvault_core::name::{KeyName, NameError};
use keyvault_exec::release::{Encoding, Piece};

const SCHEME: &str = "kv://";
const VERSION: &str = "?version=";

/// Why a reference is none. What was written is not repeated: it may be a value in the wrong place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReferenceError {
    /// The name is none.
    #[error("the name after kv:// {0}")]
    Name(NameError),
    /// The text behind the name is not `?version=` and a number from 1.
    #[error("only ?version= and a number may follow the name")]
    Version,
    /// The reference is not the whole value.
    #[error("a kv:// reference must be the whole value")]
    NotWhole,
    /// `{{kv://` that no `}}` ends.
    #[error("a {{{{kv:// is not closed by }}}}")]
    Unclosed,
}

/// A variable's value as a reference; `None` if it is just a value.
pub(crate) fn whole(value: &str) -> Result<Option<Piece>, ReferenceError> {
    match value.strip_prefix(SCHEME) {
        Some(reference) => exact(reference).map(Some),
        None if first(value).is_some() => Err(ReferenceError::NotWhole),
        None => Ok(None),
    }
}

/// A text's pieces, or the line, from 1, on which a reference is none.
pub(crate) fn pieces(text: &str) -> Result<Vec<Piece>, (usize, ReferenceError)> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = first(rest) {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        let behind = from.strip_prefix(SCHEME).unwrap_or_default();
        let (before, piece, behind) = taken(before, behind).map_err(|why| {
            let read = text.len() - from.len();
            (text.get(..read).unwrap_or_default().matches('\n').count() + 1, why)
        })?;
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        pieces.push(piece);
        rest = behind;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

/// The first `kv://` that is not the end of another scheme.
fn first(text: &str) -> Option<usize> {
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-');
    let alone = |at: &usize| !text.get(..*at).is_some_and(|before| before.ends_with(letter));
    text.match_indices(SCHEME).map(|(at, _)| at).find(alone)
}

/// The text before a reference, the reference, and the text behind it.
fn taken<'t>(before: &'t str, behind: &'t str) -> Result<(&'t str, Piece, &'t str), ReferenceError> {
    if let Some(outside) = before.strip_suffix("{{") {
        let (inner, rest) = behind.split_once("}}").ok_or(ReferenceError::Unclosed)?;
        return Ok((outside, exact(inner)?, rest));
    }
    let end = behind.find(|c: char| !is_name(c)).unwrap_or(behind.len());
    let name = behind.get(..end).unwrap_or_default().trim_end_matches(['.', '-', '/']);
    let rest = behind.get(name.len()..).unwrap_or_default();
    let Some(number) = rest.strip_prefix(VERSION) else { return Ok((before, piece(name, None)?, rest)) };
    let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    let (number, rest) = number.split_at_checked(digits).unwrap_or((number, ""));
    Ok((before, piece(name, Some(number))?, rest))
}

/// A name and its version, and nothing else.
fn exact(reference: &str) -> Result<Piece, ReferenceError> {
    match reference.split_once('?') {
        None => piece(reference, None),
        Some((name, query)) => {
            let number = query.strip_prefix("version=").ok_or(ReferenceError::Version)?;
            piece(name, Some(number))
        }
    }
}

fn piece(name: &str, number: Option<&str>) -> Result<Piece, ReferenceError> {
    let name = KeyName::parse(name).map_err(ReferenceError::Name)?;
    let version = match number {
        None => None,
        Some(number) if number.starts_with(|c: char| matches!(c, '1'..='9')) => {
            Some(number.parse().map_err(|_| ReferenceError::Version)?)
        }
        Some(_) => return Err(ReferenceError::Version),
    };
    Ok(Piece::Value { name, version, encoding: Encoding::Raw })
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(piece: &Piece) -> String {
        match piece {
            Piece::Text(text) => text.clone(),
            Piece::Value { name, version: None, .. } => format!("<{name}>"),
            Piece::Value { name, version: Some(version), .. } => format!("<{name}@{version}>"),
        }
    }

    #[test]
    fn references_stand_anywhere_in_a_text_and_end_where_a_name_ends() {
        for (text, expected) in [
            ("no reference", "no reference"),
            ("kv://a", "<a>"),
            ("x: kv://db/pass-word.1\n", "x: <db/pass-word.1>\n"),
            ("Use kv://a. Or kv://b/, kv://c-", "Use <a>. Or <b>/, <c>-"),
            ("postgres://app:kv://db@host", "postgres://app:<db>@host"),
            ("kv://a?version=3;kv://b?x", "<a@3>;<b>?x"),
            ("a{{kv://b}}c{{kv://d?version=2}}", "a<b>c<d@2>"),
            ("{{x}} {{ {{kv://a}}", "{{x}} {{ <a>"),
            ("mkv://a", "mkv://a"),
            ("kv://a kv://a", "<a> <a>"),
        ] {
            let read = pieces(text).map(|pieces| pieces.iter().map(shown).collect::<String>());
            assert_eq!(read.as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_reference_says_on_which_line() {
        for (text, line, expected) in [
            ("kv://", 1, ReferenceError::Name(NameError::Empty)),
            ("\n kv:///etc", 2, ReferenceError::Name(NameError::Grammar)),
            ("a\nb\nkv://a?version=", 3, ReferenceError::Version),
            ("kv://a?version=0", 1, ReferenceError::Version),
            ("kv://a?version=99999999999", 1, ReferenceError::Version),
            ("{{kv://a} }", 1, ReferenceError::Unclosed),
            ("{{kv://a b}}", 1, ReferenceError::Name(NameError::Grammar)),
            ("kv://../a", 1, ReferenceError::Name(NameError::Grammar)),
        ] {
            assert_eq!(pieces(text).err(), Some((line, expected)), "{text}");
        }
    }

    #[test]
    fn in_an_env_file_a_reference_is_the_whole_value_or_an_error() {
        let read = |value: &str| whole(value).map(|piece| piece.as_ref().map(shown));
        assert_eq!(read("kv://a/b"), Ok(Some("<a/b>".to_owned())));
        assert_eq!(read("kv://a/b?version=12"), Ok(Some("<a/b@12>".to_owned())));
        assert_eq!(read("https://example.com/?x=1"), Ok(None));
        assert_eq!(read("x kv://a"), Err(ReferenceError::NotWhole));
        assert_eq!(read("kv://a "), Err(ReferenceError::Name(NameError::Grammar)));
        assert_eq!(read("kv://a?v=1"), Err(ReferenceError::Version));
    }
}
