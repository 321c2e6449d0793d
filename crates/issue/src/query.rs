//! Scope requirements: `orders:read AND (stock:write OR admin:*)`.
//!
//! `AND` binds more closely than `OR`, as everywhere. `*` as the last part of a name requires some scope below it:
//! `admin:*` is met by `admin:users` and by `admin:users/read`, and not by `admin`. `*` alone is met by any scope.
//!
//! A requirement is parsed once, when a route is read. Words are names and not a set's numbers, so it outlives every change
//! of the set.

use std::fmt;

use keyvault_core::name::Scope;

/// Longest requirement, in bytes.
pub const MAX_QUERY: usize = 4096;
/// Most nested parentheses: reading and answering recurse.
pub const MAX_DEPTH: usize = 32;

/// A parsed scope requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    text: Box<str>,
    node: Node,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Scope(Scope),
    /// Some scope that begins with this text, which ends with `:` or `/`, or is empty.
    Below(Box<str>),
    /// Met if each is; so by everything, if there is none.
    All(Box<[Node]>),
    /// Met if one is.
    Either(Box<[Node]>),
}

/// The fault of a requirement, and its place: the first byte of the word that is wrong, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at character {}", at + 1)]
pub struct QueryError {
    pub at: usize,
    pub kind: QueryErrorKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QueryErrorKind {
    #[error("expected a scope")]
    ExpectedScope,
    #[error("expected `AND`, `OR`, or the end")]
    ExpectedOperator,
    #[error("no `(` for this `)`")]
    Unopened,
    #[error("no `)` for this `(`")]
    Unclosed,
    /// No scope's grammar, or a `*` in another place than the last part.
    #[error("not a scope")]
    NotAScope,
    /// More than [`MAX_DEPTH`] parentheses in one another.
    #[error("too many nested parentheses")]
    TooDeep,
    /// More than [`MAX_QUERY`] bytes.
    #[error("the requirement is too long")]
    TooLong,
}

impl Query {
    /// Parses a requirement. An empty one is an error: a route that requires no scope says so by [`Query::any`].
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        if text.len() > MAX_QUERY {
            return Err(QueryError { at: MAX_QUERY, kind: QueryErrorKind::TooLong });
        }
        let mut parser = Parser { text, at: 0 };
        let node = parser.either(0)?;
        match parser.peek() {
            None => Ok(Self { text: text.trim().into(), node }),
            Some(")") => Err(parser.error(QueryErrorKind::Unopened)),
            Some(_) => Err(parser.error(QueryErrorKind::ExpectedOperator)),
        }
    }

    /// The requirement that every key meets, one without scopes too.
    #[must_use]
    pub fn any() -> Self {
        Self { text: "".into(), node: Node::All(Box::default()) }
    }

    /// True if a bearer of `scopes` meets the requirement. The scopes ascend.
    #[must_use]
    pub fn is_met_by(&self, scopes: &[Scope]) -> bool {
        self.node.is_met_by(scopes)
    }

    /// The scopes that are named whole, for whoever wants to report one that the API does not have.
    #[must_use]
    pub fn scopes(&self) -> Vec<&Scope> {
        let mut scopes = Vec::new();
        self.node.collect(&mut scopes);
        scopes
    }
}

impl fmt::Display for Query {
    /// As it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl Node {
    fn is_met_by(&self, scopes: &[Scope]) -> bool {
        match self {
            Self::Scope(scope) => scopes.binary_search(scope).is_ok(),
            Self::Below(start) => {
                let first = scopes.partition_point(|scope| scope.as_str() < start);
                scopes.get(first).is_some_and(|scope| scope.as_str().starts_with(&**start))
            }
            Self::All(nodes) => nodes.iter().all(|node| node.is_met_by(scopes)),
            Self::Either(nodes) => nodes.iter().any(|node| node.is_met_by(scopes)),
        }
    }

    fn collect<'a>(&'a self, scopes: &mut Vec<&'a Scope>) {
        match self {
            Self::Scope(scope) => scopes.push(scope),
            Self::Below(_) => {}
            Self::All(nodes) | Self::Either(nodes) => nodes.iter().for_each(|node| node.collect(scopes)),
        }
    }

    /// One node for several, and the node itself for one.
    fn join(mut nodes: Vec<Self>, join: fn(Box<[Self]>) -> Self) -> Self {
        match nodes.pop() {
            Some(only) if nodes.is_empty() => only,
            Some(last) => {
                nodes.push(last);
                join(nodes.into_boxed_slice())
            }
            None => join(Box::default()),
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    /// In bytes.
    at: usize,
}

impl<'a> Parser<'a> {
    /// The next word, behind spaces: a parenthesis, or all up to a space or parenthesis.
    fn peek(&mut self) -> Option<&'a str> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let word = rest.trim_start();
        self.at += rest.len() - word.len();
        let is_end = |c: char| c.is_whitespace() || matches!(c, '(' | ')');
        let len = match word.chars().next()? {
            '(' | ')' => 1,
            _ => word.find(is_end).unwrap_or(word.len()),
        };
        word.get(..len)
    }

    fn take(&mut self, wanted: &str) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len();
        }
        found
    }

    fn error(&self, kind: QueryErrorKind) -> QueryError {
        QueryError { at: self.at, kind }
    }

    fn either(&mut self, depth: usize) -> Result<Node, QueryError> {
        let mut nodes = vec![self.all(depth)?];
        while self.take("OR") {
            nodes.push(self.all(depth)?);
        }
        Ok(Node::join(nodes, Node::Either))
    }

    fn all(&mut self, depth: usize) -> Result<Node, QueryError> {
        let mut nodes = vec![self.one(depth)?];
        while self.take("AND") {
            nodes.push(self.one(depth)?);
        }
        Ok(Node::join(nodes, Node::All))
    }

    fn one(&mut self, depth: usize) -> Result<Node, QueryError> {
        let word = match self.peek() {
            None | Some(")" | "AND" | "OR") => return Err(self.error(QueryErrorKind::ExpectedScope)),
            Some(word) => word,
        };
        if word == "(" {
            let open = self.error(QueryErrorKind::Unclosed);
            if depth == MAX_DEPTH {
                return Err(self.error(QueryErrorKind::TooDeep));
            }
            self.at += 1;
            let node = self.either(depth + 1)?;
            return match self.peek() {
                Some(")") => {
                    self.at += 1;
                    Ok(node)
                }
                Some(_) => Err(self.error(QueryErrorKind::ExpectedOperator)),
                None => Err(open),
            };
        }
        let node = Self::word(word).ok_or_else(|| self.error(QueryErrorKind::NotAScope))?;
        self.at += word.len();
        Ok(node)
    }

    fn word(word: &str) -> Option<Node> {
        let Some(start) = word.strip_suffix('*') else { return Scope::parse(word).ok().map(Node::Scope) };
        let is_name = start.strip_suffix([':', '/']).is_some_and(|above| Scope::parse(above).is_ok());
        (start.is_empty() || is_name).then(|| Node::Below(start.into()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail")]

    use proptest::prelude::*;

    use super::*;

    fn scopes(names: &str) -> Vec<Scope> {
        let mut scopes: Vec<_> = names.split_whitespace().map(|name| Scope::parse(name).unwrap()).collect();
        scopes.sort_unstable();
        scopes
    }

    #[test]
    fn and_binds_more_closely_than_or_and_a_star_requires_something_below() {
        for (query, held, met) in [
            ("a", "a", true),
            ("a", "b", false),
            ("a AND (b OR c)", "a c", true),
            ("a AND (b OR c)", "a", false),
            ("a AND b OR c", "c", true),
            ("a OR b AND c", "a", true),
            ("a OR b AND c", "b", false),
            ("(a OR b) AND c", "a", false),
            ("admin:*", "admin:users", true),
            ("admin:*", "admin:users/read", true),
            ("admin:*", "admin", false),
            ("admin:*", "administrator:x", false),
            ("admin/*", "admin/x", true),
            ("admin/*", "admin:x", false),
            ("*", "x", true),
            ("*", "", false),
            ("AND1", "AND1", true),
            ("  ( ( a ) ) ", "a", true),
            ("and", "and", true),
        ] {
            assert_eq!(Query::parse(query).unwrap().is_met_by(&scopes(held)), met, "{query} by {held}");
        }
        assert!(Query::any().is_met_by(&[]));
        assert_eq!(Query::any().to_string(), "");
        assert_eq!(Query::parse(" a AND  b ").unwrap().to_string(), "a AND  b");
        let query = Query::parse("b AND (a OR x:*)").unwrap();
        assert_eq!(query.scopes(), scopes("b a").iter().rev().collect::<Vec<_>>());
    }

    #[test]
    fn an_error_names_the_place() {
        use QueryErrorKind::{
            ExpectedOperator, ExpectedScope, NotAScope, TooDeep, TooLong, Unclosed, Unopened,
        };
        let deep = format!("{}a", "(".repeat(MAX_DEPTH + 1));
        let long = "a".repeat(MAX_QUERY + 1);
        for (query, at, kind) in [
            ("", 0, ExpectedScope),
            ("  ", 2, ExpectedScope),
            ("AND", 0, ExpectedScope),
            ("a AND", 5, ExpectedScope),
            ("a AND OR b", 6, ExpectedScope),
            ("a b", 2, ExpectedOperator),
            ("a and b", 2, ExpectedOperator),
            ("(a b)", 3, ExpectedOperator),
            ("a)", 1, Unopened),
            ("(a", 0, Unclosed),
            ("x AND (a OR (b)", 6, Unclosed),
            ("()", 1, ExpectedScope),
            ("a AND b:*:c", 6, NotAScope),
            ("a*", 0, NotAScope),
            ("**", 0, NotAScope),
            (":*", 0, NotAScope),
            ("/*", 0, NotAScope),
            ("a//*", 0, NotAScope),
            ("a AND é", 6, NotAScope),
            ("é a", 0, NotAScope),
            (&deep, MAX_DEPTH, TooDeep),
            (&long, MAX_QUERY, TooLong),
        ] {
            assert_eq!(Query::parse(query), Err(QueryError { at, kind }), "{query}");
        }
        let shown = Query::parse("a AND b:*:c").unwrap_err().to_string();
        assert_eq!(shown, "not a scope at character 7");
    }

    /// A requirement as a tree, to be written down and answered by hand.
    #[derive(Debug, Clone)]
    enum Wanted {
        Name(String),
        Below(String),
        And(Box<Wanted>, Box<Wanted>),
        Or(Box<Wanted>, Box<Wanted>),
    }

    impl Wanted {
        fn naive(&self, scopes: &[Scope]) -> bool {
            match self {
                Self::Name(name) => scopes.iter().any(|scope| scope.as_str() == name),
                Self::Below(above) => scopes.iter().any(|scope| {
                    scope.as_str().strip_prefix(above.as_str()).is_some_and(|rest| rest.starts_with(':'))
                }),
                Self::And(left, right) => left.naive(scopes) && right.naive(scopes),
                Self::Or(left, right) => left.naive(scopes) || right.naive(scopes),
            }
        }

        /// With as few parentheses as precedence allows.
        fn write(&self) -> String {
            let inside_and = |side: &Self| match side {
                Self::Or(..) => format!("({})", side.write()),
                _ => side.write(),
            };
            match self {
                Self::Name(name) => name.clone(),
                Self::Below(above) => format!("{above}:*"),
                Self::And(left, right) => format!("{} AND {}", inside_and(left), inside_and(right)),
                Self::Or(left, right) => format!("{} OR {}", left.write(), right.write()),
            }
        }
    }

    fn wanted() -> impl Strategy<Value = Wanted> {
        let name = "[ab](:[ab]){0,2}";
        let leaf = prop_oneof![name.prop_map(Wanted::Name), name.prop_map(Wanted::Below)];
        leaf.prop_recursive(5, 40, 2, |inner| {
            let pair = || (inner.clone().prop_map(Box::new), inner.clone().prop_map(Box::new));
            prop_oneof![
                pair().prop_map(|(left, right)| Wanted::And(left, right)),
                pair().prop_map(|(left, right)| Wanted::Or(left, right)),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_requirement_is_answered_as_by_hand(
            wanted in wanted(),
            held in prop::collection::btree_set("[ab](:[ab]){0,2}", 0..5),
        ) {
            let held = scopes(&held.into_iter().collect::<Vec<_>>().join(" "));
            let query = Query::parse(&wanted.write()).unwrap();
            prop_assert_eq!(query.is_met_by(&held), wanted.naive(&held), "{}", wanted.write());
        }

        #[test]
        fn one_more_scope_never_makes_a_requirement_unmet(
            wanted in wanted(),
            held in prop::collection::btree_set("[ab](:[ab]){0,2}", 1..5),
        ) {
            let query = Query::parse(&wanted.write()).unwrap();
            let held = scopes(&held.into_iter().collect::<Vec<_>>().join(" "));
            let fewer = held.get(1..).unwrap();
            prop_assert!(!query.is_met_by(fewer) || query.is_met_by(&held));
        }

        #[test]
        fn no_text_makes_the_parser_fail_and_the_place_is_in_the_text(text in "[ab:*/() ANDORé]{0,40}") {
            if let Err(error) = Query::parse(&text) {
                prop_assert!(text.is_char_boundary(error.at));
            }
        }
    }
}
