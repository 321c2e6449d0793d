//! Which rule a request would meet, for `keyvault-gateway check`.

use std::fmt::Write;

use http::Method;
use keyvault_issue::query::Query;

use crate::config::{Access, Config};
use crate::head::{Refusal, target};
use crate::routes::{Match, Routes};

impl Config {
    /// Describes the course of a request with this method and target, as far as it depends on the configuration.
    #[must_use]
    pub fn explain(self, method: &str, target: &str) -> String {
        let mut text = format!("{method} {target}\n");
        // Writing into a String cannot fail.
        let _ = self.write(&mut text, method, target);
        text
    }

    fn write(self, text: &mut String, method: &str, given: &str) -> std::fmt::Result {
        if let Err(refusal) = target::check(given.as_bytes()) {
            return writeln!(
                text,
                "  refused: {} {}: {}",
                refusal.status().as_u16(),
                refusal.word(),
                refusal.sentence()
            );
        }
        let path = given.split('?').next().unwrap_or_default();
        let has_empty_segment = target::has_empty_segment(path.as_bytes());
        let Ok(method) = Method::from_bytes(method.as_bytes()) else {
            return writeln!(text, "  refused: 400 request-line: The request line is malformed.");
        };
        let (upstreams, routes) = (self.upstreams, Routes::new(self.routes));
        let route = match routes.find(&method, path) {
            Match::Route(_, route) => route,
            Match::Methods(methods) => {
                let names: Vec<&str> = methods.iter().map(|method| method.as_str()).collect();
                return writeln!(
                    text,
                    "  refused: 405 method: The path has routes for {} only.",
                    names.join(", ")
                );
            }
            Match::None => {
                return writeln!(text, "  refused: 404 no-route: There is no route for this path.");
            }
        };
        writeln!(text, "  route: {}", route.name)?;
        if has_empty_segment && !route.empty_segments {
            return writeln!(text, "  refused: 400 empty-segment: The path contains an empty segment.");
        }
        if !route.parameters && target::has_parameter(path.as_bytes()) {
            let refusal = Refusal::Parameter;
            return writeln!(text, "  refused: 400 {}: {}", refusal.word(), refusal.sentence());
        }
        let key = match &route.access {
            Access::Public => "none".to_owned(),
            Access::Key { needs } if *needs == Query::any() => "any that is valid".to_owned(),
            Access::Key { needs } => format!("with the scopes {needs}"),
        };
        writeln!(text, "  key: {key}")?;
        for (limit, cost) in &route.costs {
            writeln!(text, "  cost: {cost} of limit `{limit}`")?;
        }
        writeln!(text, "  body: at most {} bytes", route.body)?;
        if let Some(upstream) = upstreams.get(route.upstream) {
            writeln!(text, "  upstream: {} ({})", upstream.name, upstream.address)?;
        }
        Ok(())
    }
}
