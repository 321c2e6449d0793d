//! Templates of paths: `/orders/{id}/lines`, `/files/{rest...}`.

use std::fmt;

use crate::head::target::{self, decode};

/// The pattern of a path, segment by segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) parts: Vec<Part>,
}

/// In the order of precedence: where two templates fit a path, the one with the earlier part at the first difference counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// A segment's text, decoded.
    Literal(Box<[u8]>),
    /// One segment that is not empty.
    Segment,
    /// All further segments, of which there is at least one.
    Rest,
}

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix('/') else { return Err("must begin with `/`".to_owned()) };
        let mut parts = Vec::new();
        let mut segments = path.split('/').peekable();
        while let Some(segment) = segments.next() {
            let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            let is_name = |name: &str| {
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            };
            parts.push(match name {
                Some(name) if is_name(name) => Part::Segment,
                Some(name) if name.strip_suffix("...").is_some_and(is_name) => {
                    if segments.peek().is_some() {
                        return Err("has segments after `{…...}`, which takes all of them".to_owned());
                    }
                    Part::Rest
                }
                Some(_) => return Err(format!("has a malformed parameter: `{segment}`")),
                None => {
                    let literal = decode(segment.as_bytes())
                        .filter(|_| target::check(format!("/{segment}").as_bytes()).is_ok());
                    let Some(literal) = literal else {
                        return Err(format!("has a segment that no request can have: `{segment}`"));
                    };
                    Part::Literal(literal.into())
                }
            });
        }
        Ok(Self { parts })
    }

    /// True if both fit the same paths.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self == other
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) => f.write_str(&String::from_utf8_lossy(text)),
            Self::Segment => f.write_str("{}"),
            Self::Rest => f.write_str("{...}"),
        }
    }
}
