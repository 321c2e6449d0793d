//! A request and its answer, as the log and the metrics see them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::head::guard::Seen;
use crate::log::Log;
use crate::metrics::{Labels, Metrics};
use crate::verdict::{Known, Outcome};

/// Everything that is noted about an exchange. It ends when this is dropped, with the answer's body.
pub(crate) struct Exchange {
    pub(crate) seen: Seen,
    pub(crate) log: Arc<Log>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) began: Instant,
    pub(crate) peer: SocketAddr,
    /// None of a request that was refused by its form.
    pub(crate) request: Option<Asked>,
    pub(crate) route: Option<Arc<str>>,
    pub(crate) key: Option<Arc<Known>>,
    pub(crate) outcome: Option<Outcome>,
    /// The kind of problem that it was answered with.
    pub(crate) problem: Option<&'static str>,
    pub(crate) status: StatusCode,
    pub(crate) sent: u64,
    /// The fault that ended the answer early.
    pub(crate) fault: Option<String>,
}

pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// Without one that contains a key.
    pub(crate) query: Option<String>,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.seen.answered();
        let took = self.began.elapsed();
        let method = self.request.as_ref().map_or("_OTHER", |request| known_method(&request.method));
        let route = self.route.clone().unwrap_or_else(|| Arc::from(""));
        self.metrics.request(Labels { method, route, status: self.status.as_u16() }, took);
        if let Some(outcome) = self.outcome {
            self.metrics.verdict(outcome.word());
        }
        if self.log.is_on() {
            let mut line = Value::Object(self.line(took.as_micros())).to_string();
            line.push('\n');
            self.log.write(line);
        }
    }
}

impl Exchange {
    fn line(&self, micros: u128) -> Map<String, Value> {
        let mut line = Map::new();
        let mut put = |name: &str, value: Value| drop(line.insert(name.to_owned(), value));
        put("time", Timestamp::now().to_string().into());
        put("client_address", self.peer.ip().to_string().into());
        if let Some(Asked { method, path, query }) = &self.request {
            // A client that puts its key there does not have it logged.
            put("method", known_method(method).into());
            put("path", path.as_str().into());
            if let Some(query) = query {
                put("query", query.as_str().into());
            }
        }
        if let Some(route) = &self.route {
            put("route", (&**route).into());
        }
        put("status", self.status.as_u16().into());
        if let Some(outcome) = self.outcome {
            put("outcome", outcome.word().into());
        }
        if let Some(problem) = self.problem {
            put("problem", problem.into());
        }
        if let Some(key) = &self.key {
            put("key", (&*key.id).into());
            if let Some(client) = &key.client {
                put("client", (&**client).into());
            }
        }
        put("sent", self.sent.into());
        put("micros", u64::try_from(micros).unwrap_or(u64::MAX).into());
        if let Some(fault) = &self.fault {
            put("fault", fault.as_str().into());
        }
        line
    }
}

/// The methods that OpenTelemetry knows; `_OTHER` for others.
fn known_method(method: &Method) -> &'static str {
    const KNOWN: [&str; 8] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}
