//! References to keys in other files: `kv://name`, and behind it `?version=N`, `?json=field`, or both, joined by `&`.
//!
//! In an env-file a reference is a variable's whole value. In a text that is filled (`project render`) it may stand
//! anywhere, and ends where a name or a field can go on no longer; a full stop, a dash or a slash that would end it
//! belongs to the text. Where a letter follows, braces say where it ends: `{{kv://name}}`, which are replaced with it.

use keyvault_core::name::{KeyName, NameError};
use keyvault_exec::release::{Encoding, JsonField, Piece};

const SCHEME: &str = "kv://";

/// Why a reference is none. What was written is not repeated: it may be a value in the wrong place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReferenceError {
    /// The name is none.
    #[error("the name after kv:// {0}")]
    Name(NameError),
    /// The text behind the name is not `?version=` and a number from 1, or `?json=` and a field.
    #[error("only ?version= and a number, or ?json= and a field, may follow the name")]
    Query,
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
    let (name, mut rest) = split_name(behind);
    let mut query = Query::default();
    let mut mark = '?';
    // Text that begins like a query and is none of ours belongs to what follows the reference.
    while let Some(parameter) = rest.strip_prefix(mark).filter(|text| Query::begins(text)) {
        let (key, value) = parameter.split_once('=').ok_or(ReferenceError::Query)?;
        let (value, behind) = if key == "version" {
            let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
            value.split_at_checked(digits).unwrap_or((value, ""))
        } else {
            split_name(value)
        };
        query.take(key, value)?;
        (mark, rest) = ('&', behind);
    }
    Ok((before, query.piece(name)?, rest))
}

/// The longest text that can be a name or a field, and what follows it.
fn split_name(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !is_name(c)).unwrap_or(text.len());
    let name = text.get(..end).unwrap_or_default().trim_end_matches(['.', '-', '/']);
    (name, text.get(name.len()..).unwrap_or_default())
}

/// A name and its query, and nothing else.
fn exact(reference: &str) -> Result<Piece, ReferenceError> {
    let (name, parameters) =
        reference.split_once('?').map_or((reference, None), |(name, rest)| (name, Some(rest)));
    let mut query = Query::default();
    for parameter in parameters.into_iter().flat_map(|parameters| parameters.split('&')) {
        let (key, value) = parameter.split_once('=').ok_or(ReferenceError::Query)?;
        query.take(key, value)?;
    }
    query.piece(name)
}

/// The parameters behind a name.
#[derive(Default)]
struct Query {
    version: Option<u32>,
    field: Option<JsonField>,
}

impl Query {
    fn begins(text: &str) -> bool {
        text.starts_with("version=") || text.starts_with("json=")
    }

    /// Takes in a parameter, each once.
    fn take(&mut self, key: &str, value: &str) -> Result<(), ReferenceError> {
        match key {
            "version" if self.version.is_none() && value.starts_with(|c: char| matches!(c, '1'..='9')) => {
                self.version = Some(value.parse().map_err(|_| ReferenceError::Query)?);
            }
            "json" if self.field.is_none() => {
                self.field = Some(JsonField::parse(value).map_err(|_| ReferenceError::Query)?);
            }
            _ => return Err(ReferenceError::Query),
        }
        Ok(())
    }

    fn piece(self, name: &str) -> Result<Piece, ReferenceError> {
        let name = KeyName::parse(name).map_err(ReferenceError::Name)?;
        Ok(Piece::Value { name, version: self.version, field: self.field, encoding: Encoding::Raw })
    }
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
            Piece::Value { name, version, field, .. } => {
                let version = version.map_or_else(String::new, |version| format!("@{version}"));
                let field = field.as_ref().map_or_else(String::new, |field| format!("!{field}"));
                format!("<{name}{version}{field}>")
            }
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
            ("u: kv://a?json=user.\np: kv://a?json=db/pass&version=2&x", "u: <a!user>.\np: <a@2!db/pass>&x"),
            ("{{kv://a?version=2&json=b}}c kv://a?jsonx=1", "<a@2!b>c <a>?jsonx=1"),
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
            ("a\nb\nkv://a?version=", 3, ReferenceError::Query),
            ("kv://a?version=0", 1, ReferenceError::Query),
            ("kv://a?version=99999999999", 1, ReferenceError::Query),
            ("{{kv://a} }", 1, ReferenceError::Unclosed),
            ("\nkv://a?json=", 2, ReferenceError::Query),
            ("kv://a?json=b&json=c", 1, ReferenceError::Query),
            ("kv://a?version=1&version=2", 1, ReferenceError::Query),
            ("{{kv://a?json=b c}}", 1, ReferenceError::Query),
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
        assert_eq!(read("kv://a/b?json=c/d"), Ok(Some("<a/b!c/d>".to_owned())));
        assert_eq!(read("kv://a/b?json=c&version=2"), Ok(Some("<a/b@2!c>".to_owned())));
        assert_eq!(read("kv://a/b?json=c&"), Err(ReferenceError::Query));
        assert_eq!(read("https://example.com/?x=1"), Ok(None));
        assert_eq!(read("x kv://a"), Err(ReferenceError::NotWhole));
        assert_eq!(read("kv://a "), Err(ReferenceError::Name(NameError::Grammar)));
        assert_eq!(read("kv://a?v=1"), Err(ReferenceError::Query));
    }
}
