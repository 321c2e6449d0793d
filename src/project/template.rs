//! Templates: text with keys' values in it.
//!
//! ```text
//! template  := (text | '{{' | '}}' | reference)*      at least one reference
//! reference := '{' key-name ('|json:' field)? ('|url')? '}'
//! ```
//!
//! `{db/password}` is the value byte for byte, `{db/password|url}` the value percent-encoded so that it fits into any
//! part of a URL, `{db|json:password}` the field of a value that is JSON; `{{` and `}}` are the braces themselves. Nothing else is special: no variables, no defaults, no code.

use keyvault_core::name::{KeyName, NameError};
use keyvault_exec::release::{Encoding, JsonField, Piece};
use keyvault_vault::NotAField;

/// The longest template or default, in bytes: what is asked for is shown whole.
pub(crate) const MAX_TEXT: usize = 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    pieces: Vec<Piece>,
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A `{` that no `}` ends.
    #[error("the {{ at character {at} is not closed; write a literal brace twice")]
    Unclosed {
        /// The place, in characters from 1.
        at: usize,
    },
    /// A `}` that ends nothing.
    #[error("the }} at character {at} closes nothing; write a literal brace twice")]
    Unopened {
        /// The place, in characters from 1.
        at: usize,
    },
    /// The text between braces is no key's name.
    #[error("the name between braces at character {at} {why}")]
    Name {
        /// The place of the brace, in characters from 1.
        at: usize,
        /// Why not.
        why: NameError,
    },
    /// The text behind `json:` is no field's name.
    #[error("the text after json: at character {at} {}", NotAField)]
    Field {
        /// The place of the brace, in characters from 1.
        at: usize,
    },
    /// The text behind `|` is neither `json:FIELD` nor `url`.
    #[error("only json:FIELD and then url may follow the | at character {at}")]
    Encoding {
        /// The place of the brace, in characters from 1.
        at: usize,
    },
    /// It names no key.
    #[error("it names no key, such as {{db/password}}")]
    NoKey,
}

impl Template {
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let (mut rest, mut at) = (text, 1);
        while let Some(brace) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at_checked(brace).unwrap_or((rest, ""));
            literal.push_str(before);
            at += before.chars().count();
            let taken = if let Some(double) = ["{{", "}}"].iter().find(|double| from.starts_with(**double)) {
                literal.extend(double.chars().next());
                2
            } else if let Some(inner) = from.strip_prefix('{') {
                let end = inner.find(['}', '{']).filter(|end| inner.get(*end..).is_some_and(closes));
                let inner = end.and_then(|end| inner.get(..end)).ok_or(TemplateError::Unclosed { at })?;
                if !literal.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut literal)));
                }
                pieces.push(reference(inner, at)?);
                inner.len() + 2
            } else {
                return Err(TemplateError::Unopened { at });
            };
            let (whole, behind) = from.split_at_checked(taken).unwrap_or((from, ""));
            at += whole.chars().count();
            rest = behind;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        if pieces.iter().any(|piece| matches!(piece, Piece::Value { .. })) {
            Ok(Self { text: text.to_owned(), pieces })
        } else {
            Err(TemplateError::NoKey)
        }
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }
}

fn closes(from: &str) -> bool {
    from.starts_with('}')
}

fn reference(inner: &str, at: usize) -> Result<Piece, TemplateError> {
    let (inner, encoding) = match inner.strip_suffix("|url") {
        Some(before) => (before, Encoding::Url),
        None => (inner, Encoding::Raw),
    };
    let (name, field) = match inner.split_once('|') {
        None => (inner, None),
        Some((name, filter)) => {
            let field = filter.strip_prefix("json:").ok_or(TemplateError::Encoding { at })?;
            (name, Some(JsonField::parse(field).map_err(|_| TemplateError::Field { at })?))
        }
    };
    let name = KeyName::parse(name).map_err(|why| TemplateError::Name { at, why })?;
    Ok(Piece::Value { name, version: None, field, encoding })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A template, with its values written as `<name>` and `<name!>`.
    fn read(text: &str) -> Result<String, TemplateError> {
        Ok(Template::parse(text)?.pieces().iter().fold(String::new(), |whole, piece| match piece {
            Piece::Text(text) => whole + text,
            Piece::Value { name, field, encoding, .. } => {
                let field = field.as_ref().map_or_else(String::new, |field| format!(".{field}"));
                let encoded = if *encoding == Encoding::Url { "!" } else { "" };
                format!("{whole}<{name}{field}{encoded}>")
            }
        }))
    }

    #[test]
    fn references_and_braces_are_told_apart() {
        for (text, expected) in [
            ("{a}", "<a>"),
            ("postgres://app:{db/password|url}@localhost/app", "postgres://app:<db/password!>@localhost/app"),
            ("{a}{b}", "<a><b>"),
            ("{{{a}}}", "{<a>}"),
            ("{{\"k\": \"{a}\"}}", "{\"k\": \"<a>\"}"),
            ("ä{a}\n", "ä<a>\n"),
            ("{a|json:user}:{a|json:pass/0|url}", "<a.user>:<a.pass/0!>"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_template_says_where() {
        use TemplateError::{Encoding, Field, Name, NoKey, Unclosed, Unopened};
        let grammar = NameError::Grammar;
        for (text, expected) in [
            ("", NoKey),
            ("text {{a}}", NoKey),
            ("ää{a", Unclosed { at: 3 }),
            ("{a{b}}", Unclosed { at: 1 }),
            ("{", Unclosed { at: 1 }),
            ("{a}}", Unopened { at: 4 }),
            ("{{a}", Unopened { at: 4 }),
            ("x{}", Name { at: 2, why: NameError::Empty }),
            ("{a b}", Name { at: 1, why: grammar }),
            ("{../a}", Name { at: 1, why: grammar }),
            ("{{{{ {$(id)}", Name { at: 6, why: grammar }),
            ("{a|base64}", Encoding { at: 1 }),
            ("{a|url|url}", Encoding { at: 1 }),
            ("{a|url|json:b}", Encoding { at: 1 }),
            ("{a|json}", Encoding { at: 1 }),
            ("x{a|json:}", Field { at: 2 }),
            ("{a|json:b|c}", Field { at: 1 }),
        ] {
            assert_eq!(read(text), Err(expected), "{text}");
        }
    }
}
