//! The route of a request. A request without one is refused.
//!
//! Paths are compared as they are decoded, since the service decodes them too: `/%61dmin` is `/admin`, and the route of the
//! latter holds for it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use http::Method;

use crate::config::{Part, Route};
use crate::head::target::decode;

/// The routes as a tree of segments.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    all: Vec<Route>,
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    literals: BTreeMap<Box<[u8]>, Node>,
    segment: Option<Box<Node>>,
    /// The places of routes that end here.
    here: Vec<usize>,
    /// Those that take everything from here on.
    rest: Vec<usize>,
}

/// The result of a search.
#[derive(Debug)]
pub(crate) enum Match<'a> {
    Route(usize, &'a Route),
    /// The path has routes, for these methods.
    Methods(Vec<&'a Method>),
    None,
}

impl Routes {
    pub(crate) fn new(all: Vec<Route>) -> Self {
        let mut root = Node::default();
        for (place, route) in all.iter().enumerate() {
            let mut node = &mut root;
            let mut is_rest = false;
            for part in &route.template.parts {
                match part {
                    Part::Literal(text) => node = node.literals.entry(text.clone()).or_default(),
                    Part::Segment => node = node.segment.get_or_insert_default(),
                    Part::Rest => is_rest = true,
                }
            }
            if is_rest { node.rest.push(place) } else { node.here.push(place) }
        }
        Self { all, root }
    }

    /// Finds the route of a path that passed the rules for targets. The template with the more literal beginning counts,
    /// whatever its methods are: a wider one does not allow what it leaves out.
    pub(crate) fn find(&self, method: &Method, path: &str) -> Match<'_> {
        let segments: Option<Vec<Cow<'_, [u8]>>> = path
            .strip_prefix('/')
            .unwrap_or(path)
            .split('/')
            .map(|segment| {
                let bytes = segment.as_bytes();
                if bytes.contains(&b'%') { decode(bytes).map(Cow::Owned) } else { Some(Cow::Borrowed(bytes)) }
            })
            .collect();
        let Some(places) = segments.and_then(|segments| self.root.find(&segments)) else {
            return Match::None;
        };
        let routes = places.iter().filter_map(|place| Some((*place, self.all.get(*place)?)));
        let mut methods = Vec::new();
        for (place, route) in routes {
            if route.methods.contains(method) {
                return Match::Route(place, route);
            }
            methods.extend(&route.methods);
        }
        Match::Methods(methods)
    }
}

impl Node {
    fn find(&self, segments: &[Cow<'_, [u8]>]) -> Option<&[usize]> {
        let Some((first, others)) = segments.split_first() else {
            return (!self.here.is_empty()).then_some(&*self.here);
        };
        let literal = self.literals.get(&**first).and_then(|node| node.find(others));
        let segment =
            || self.segment.as_ref().filter(|_| !first.is_empty()).and_then(|node| node.find(others));
        literal.or_else(segment).or_else(|| (!self.rest.is_empty()).then_some(&*self.rest))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;
    use crate::config::Config;

    fn routes() -> Routes {
        let mut text =
            "vault = \"/v\"\ntoken-file = \"/t\"\nstate = \"/s\"\n[[listener]]\naddress = \"127.0.0.1:1\"\n\
                        [upstream.app]\nurl = \"http://127.0.0.1:2\"\n"
                .to_owned();
        for (path, methods) in [
            ("/", "GET"),
            ("/orders", "POST"),
            ("/orders/{id}", "GET"),
            ("/orders/new", "PUT"),
            ("/orders/{id}/lines", "GET"),
            ("/orders/new/x", "GET"),
            ("/files/{rest...}", "GET"),
            ("/files/secret", "POST"),
            ("/a%20b", "GET"),
        ] {
            text += &format!("[[route]]\npath = \"{path}\"\nmethods = [\"{methods}\"]\nupstream = \"app\"\n");
        }
        Routes::new(Config::parse(&text).unwrap().routes)
    }

    #[test]
    fn the_most_literal_template_is_the_route() {
        let routes = routes();
        let name = |method: Method, path: &str| match routes.find(&method, path) {
            Match::Route(_, route) => route.name.clone(),
            Match::Methods(_) => "405".to_owned(),
            Match::None => "404".to_owned(),
        };
        for (path, expected) in [
            ("/", "/"),
            ("/orders", "405"),
            ("/orders/", "404"),
            ("/orders/7", "/orders/{id}"),
            ("/orders/new", "405"),
            ("/orders/%6e%65w", "405"),
            ("/orders/new/lines", "/orders/{id}/lines"),
            ("/orders/new/x", "/orders/new/x"),
            ("/orders/7/x", "404"),
            ("/Orders/7", "404"),
            ("/files/a/b/", "/files/{rest...}"),
            ("/files/", "/files/{rest...}"),
            ("/files", "404"),
            ("/files/secret", "405"),
            ("/files/%73ecret", "405"),
            ("/a%20b", "/a%20b"),
            ("/a%20%62", "/a%20b"),
        ] {
            assert_eq!(name(Method::GET, path), expected, "{path}");
        }
    }
}
