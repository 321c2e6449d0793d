//! The configuration: listeners, upstreams, and routes. It is checked whole before any of it is used.

mod reader;
mod template;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, Uri};
use jiff::Timestamp;
use keyvault_core::name::Label;
use keyvault_issue::decide::Costs;
use keyvault_issue::query::Query;
use toml_edit::Document;

pub use reader::Fault;
use reader::{Faults, Fields, Value};

pub(crate) use template::{Part, Template};

use crate::upstream;

/// A configuration without a fault.
#[derive(Debug)]
pub struct Config {
    pub(crate) vault: PathBuf,
    pub(crate) token_file: PathBuf,
    /// For the pins.
    pub(crate) state: PathBuf,
    /// The API whose keys are accepted, where the token is of several.
    pub(crate) api: Option<String>,
    /// One thread and runtime each.
    pub(crate) workers: usize,
    /// Without a confirmation of the sets for so long, every key is answered 503.
    pub(crate) unconfirmed: Duration,
    pub(crate) access_log: bool,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) bounds: Bounds,
    pub(crate) upstreams: Vec<Upstream>,
    pub(crate) routes: Vec<Route>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<Certificate>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// A chain as PEM.
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Bounds of what a client may send and take, on all listeners.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    pub(crate) head: usize,
    pub(crate) headers: usize,
    pub(crate) head_time: Duration,
    pub(crate) idle_time: Duration,
    pub(crate) body_time: Duration,
    /// On each worker.
    pub(crate) connections: usize,
    /// After SIGTERM.
    pub(crate) drain_time: Duration,
    /// Without a byte either way.
    pub(crate) websocket_time: Duration,
}

#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) name: String,
    /// The name that its certificate has.
    pub(crate) host: String,
    pub(crate) address: SocketAddr,
    /// The Host header of requests to it.
    pub(crate) authority: HeaderValue,
    pub(crate) tls: Option<Trust>,
    pub(crate) connect_time: Duration,
    /// From the end of a request to the head of the answer.
    pub(crate) answer_time: Duration,
    /// Between two pieces of an answer's body.
    pub(crate) body_time: Duration,
    /// An unused connection is kept for so long.
    pub(crate) idle_time: Duration,
    /// On each worker.
    pub(crate) connections: usize,
}

/// The certificates that an upstream's is verified by, as PEM.
#[derive(Debug)]
pub(crate) struct Trust {
    pub(crate) ca: PathBuf,
}

#[derive(Debug)]
pub(crate) struct Route {
    /// Its path template, for logs, metrics, and messages.
    pub(crate) name: String,
    pub(crate) template: Template,
    pub(crate) methods: Vec<Method>,
    /// The place of its upstream in [`Config::upstreams`].
    pub(crate) upstream: usize,
    pub(crate) access: Access,
    /// By the names of limits, for people.
    pub(crate) costs: BTreeMap<String, u32>,
    pub(crate) charged: Costs,
    pub(crate) body: u64,
    /// Of the whole exchange.
    pub(crate) total_time: Option<Duration>,
    pub(crate) empty_segments: bool,
    /// `;` in the path.
    pub(crate) parameters: bool,
    pub(crate) websocket: bool,
    pub(crate) cors: Option<Cors>,
    pub(crate) deprecation: Option<Deprecation>,
}

#[derive(Debug)]
pub(crate) enum Access {
    /// Without a key.
    Public,
    /// With a key, and with one that has these scopes.
    Key { needs: Query },
}

#[derive(Debug)]
pub(crate) struct Cors {
    /// Without any, every origin.
    pub(crate) origins: Option<Vec<HeaderValue>>,
    pub(crate) headers: Vec<HeaderName>,
    pub(crate) exposed: Vec<HeaderName>,
    pub(crate) max_age: Duration,
}

#[derive(Debug)]
pub(crate) struct Deprecation {
    pub(crate) since: Timestamp,
    pub(crate) sunset: Option<Timestamp>,
    pub(crate) link: Option<HeaderValue>,
}

impl Config {
    /// Reads a configuration. All faults are reported, each with its place.
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let faults = Faults::of(text);
        let document = match Document::parse(text) {
            Ok(document) => document,
            Err(error) => {
                let line = faults.line(error.span().map_or(0, |span| span.start));
                faults.add(line, "", error.message());
                return Err(faults.into_sorted());
            }
        };
        let fields = Fields::new(&faults, document.as_table(), String::new(), 1);
        let config = read(fields);
        let faults = faults.into_sorted();
        match config {
            Some(config) if faults.is_empty() => Ok(config),
            _ => Err(faults),
        }
    }
}

/// Reads all fields before it gives up, so that all faults are found.
fn read(fields: Fields<'_>) -> Option<Config> {
    let path = |value: Option<Value<'_>>| value.and_then(|value| value.text()).map(PathBuf::from);
    let vault = path(fields.required("vault"));
    let token_file = path(fields.required("token-file"));
    let state = path(fields.required("state"));
    let api = fields.get("api").and_then(|value| value.text()).map(str::to_owned);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers =
        fields.get("workers").and_then(|value| value.number()).map_or(cores, |number| number as usize);
    let unconfirmed = duration(&fields, "unconfirmed", 5);
    let access_log = fields.get("access-log").and_then(|value| value.boolean()).unwrap_or(true);
    let listeners = fields.required("listener").map(|value| value.tables()).unwrap_or_default();
    let listeners: Vec<_> = listeners.into_iter().filter_map(listener).collect();
    let admin = fields.get("admin").and_then(|value| {
        let admin = value.table()?;
        let address = admin.required("address").and_then(|value| value.parsed(address));
        admin.end();
        address
    });
    let bounds = bounds(fields.get("bounds").and_then(|value| value.table()));
    let named = fields.required("upstream").and_then(|value| value.table());
    let named = named.map(|table| table.all()).unwrap_or_default();
    let known: Vec<String> = named.iter().map(|(name, _)| (*name).to_owned()).collect();
    let upstreams: Vec<_> =
        named.into_iter().filter_map(|(name, value)| read_upstream(name, &value)).collect();
    let routes = fields.required("route").map(|value| value.tables()).unwrap_or_default();
    let routes: Vec<_> = routes.into_iter().filter_map(|fields| route(fields, &known)).collect();
    for (at, (route, line)) in routes.iter().enumerate() {
        for (other, ..) in routes.iter().take(at) {
            let both = route.methods.iter().find(|method| other.methods.contains(method));
            if let Some(method) = both.filter(|_| route.template.is_like(&other.template)) {
                fields.fault_at(
                    *line,
                    "route.path",
                    format!("with {method} is that of route `{}`", other.name),
                );
            }
        }
    }
    let routes = routes.into_iter().map(|(route, ..)| route).collect();
    fields.end();
    Some(Config {
        vault: vault?,
        token_file: token_file?,
        state: state?,
        api,
        workers,
        unconfirmed,
        access_log,
        listeners,
        admin,
        bounds,
        upstreams,
        routes,
    })
}

fn duration(fields: &Fields<'_>, field: &'static str, seconds: u64) -> Duration {
    fields.get(field).and_then(|value| value.duration()).unwrap_or(Duration::from_secs(seconds))
}

fn count(fields: &Fields<'_>, field: &'static str, otherwise: usize) -> usize {
    fields.get(field).and_then(|value| value.number()).map_or(otherwise, |number| number as usize)
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "must be an address with a port, such as `127.0.0.1:8080`".to_owned())
}

fn listener(fields: Fields<'_>) -> Option<Listener> {
    let address = fields.required("address").and_then(|value| value.parsed(address));
    let tls = fields.get("tls").and_then(|value| {
        let tls = value.table()?;
        let path = |field| tls.required(field).and_then(|value| value.text()).map(PathBuf::from);
        let (certificate, key) = (path("certificate"), path("key"));
        tls.end();
        Some(Certificate { certificate: certificate?, key: key? })
    });
    fields.end();
    Some(Listener { address: address?, tls })
}

fn bounds(fields: Option<Fields<'_>>) -> Bounds {
    let mut bounds = Bounds {
        head: 32 * 1024,
        headers: 100,
        head_time: Duration::from_secs(10),
        idle_time: Duration::from_secs(75),
        body_time: Duration::from_secs(30),
        connections: 10_000,
        drain_time: Duration::from_secs(30),
        websocket_time: Duration::from_secs(300),
    };
    let Some(fields) = fields else { return bounds };
    if let Some(size) = fields.get("head").and_then(|value| value.size()) {
        // hyper takes no less than 8 KiB for its buffer, and longer targets are refused elsewhere.
        if (1024..=1 << 20).contains(&size) {
            bounds.head = usize::try_from(size).unwrap_or(bounds.head);
        } else {
            fields.fault("head", "must be from 1KiB to 1MiB");
        }
    }
    bounds.headers = count(&fields, "headers", bounds.headers);
    bounds.head_time = duration(&fields, "head-time", 10);
    bounds.idle_time = duration(&fields, "idle-time", 75);
    bounds.body_time = duration(&fields, "body-time", 30);
    bounds.connections = count(&fields, "connections", bounds.connections);
    bounds.drain_time = duration(&fields, "drain-time", 30);
    bounds.websocket_time = duration(&fields, "websocket-time", 300);
    fields.end();
    bounds
}

fn read_upstream(name: &str, value: &Value<'_>) -> Option<Upstream> {
    let fields = value.table()?;
    let uri = fields.required("url").and_then(|value| {
        value.parsed(|text| {
            let wrong = || "must be a URL such as `http://127.0.0.1:3000`, without a path".to_owned();
            let uri: Uri = text.parse().map_err(|_| wrong())?;
            let bare = uri.path() == "/"
                && uri.query().is_none()
                && !text.ends_with('/')
                && !text.contains(['#', '@']);
            let known = matches!(uri.scheme_str(), Some("http" | "https"));
            if bare && known && uri.host().is_some() { Ok(uri) } else { Err(wrong()) }
        })
    });
    let ca = fields.get("ca").and_then(|value| value.text()).map(PathBuf::from);
    let is_tls = uri.as_ref().is_some_and(|uri| uri.scheme_str() == Some("https"));
    if uri.is_some() && is_tls != ca.is_some() {
        let what =
            if is_tls { "is missing: the file of certificates to trust" } else { "is for an `https` URL" };
        fields.fault("ca", what);
    }
    let given = fields.get("address").and_then(|value| value.parsed(address));
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = uri.as_ref().and_then(Uri::port_u16).unwrap_or(if is_tls { 443 } else { 80 });
    let place = given.or_else(|| upstream::address(&host, port));
    if uri.is_some() && place.is_none() {
        // The resolver of a C library that is linked statically loads parts of another one, so there is none here.
        fields.fault("address", "is missing: names are not resolved, so a URL with a name needs an address");
    }
    let connect_time = duration(&fields, "connect-time", 2);
    let answer_time = duration(&fields, "answer-time", 30);
    let body_time = duration(&fields, "body-time", 60);
    let idle_time = duration(&fields, "idle-time", 60);
    let connections = count(&fields, "connections", 1000);
    fields.end();
    let uri = uri?;
    let authority = uri.authority()?.as_str();
    Some(Upstream {
        name: name.to_owned(),
        host,
        address: place?,
        authority: HeaderValue::from_str(authority).ok()?,
        tls: ca.map(|ca| Trust { ca }),
        connect_time,
        answer_time,
        body_time,
        idle_time,
        connections,
    })
}

/// A route with its line.
fn route(fields: Fields<'_>, upstreams: &[String]) -> Option<(Route, usize)> {
    let template = fields.required("path").and_then(|value| value.parsed(Template::parse));
    let name = fields.get("path").and_then(|value| value.item.as_str()).unwrap_or_default().to_owned();
    let methods = fields.required("methods").map(|value| value.list(method)).unwrap_or_default();
    let upstream = fields.required("upstream").and_then(|value| {
        value.parsed(|text| {
            let place = upstreams.iter().position(|name| name == text);
            place.ok_or_else(|| format!("names no upstream: there is no `[upstream.{text}]`"))
        })
    });
    let parse = |text: &str| Query::parse(text).map_err(|error| error.to_string());
    let needs = fields.get("scope").and_then(|value| value.parsed(parse));
    let public = fields.get("public").and_then(|value| value.boolean()).unwrap_or(false);
    if public && fields.get("scope").is_some() {
        fields.fault("public", "excludes `scope`");
    }
    let (mut costs, mut charged) = (BTreeMap::new(), Costs::default());
    for (name, value) in
        fields.get("cost").and_then(|value| value.table()).map(|table| table.all()).into_iter().flatten()
    {
        let Some(cost) = value.number() else { continue };
        match Label::parse(name) {
            Ok(limit) => charged = charged.with_limit(&limit, cost),
            Err(error) => value.fault(error.to_string()),
        }
        costs.insert(name.to_owned(), cost);
    }
    if let Some(cost) = fields.get("quota-cost").and_then(|value| value.number()) {
        charged = charged.with_quota(cost.into());
    }
    let body = fields.get("body").and_then(|value| value.size()).unwrap_or(1 << 20);
    let total_time = fields.get("total-time").and_then(|value| value.duration());
    let empty_segments = fields.get("empty-segments").and_then(|value| value.boolean()).unwrap_or(false);
    let parameters = fields.get("parameters").and_then(|value| value.boolean()).unwrap_or(false);
    let websocket = fields.get("websocket").and_then(|value| value.boolean()).unwrap_or(false);
    let cors = fields.get("cors").and_then(|value| value.table()).map(cors);
    let deprecation = fields.get("deprecation").and_then(|value| value.table()).map(deprecation);
    let line = fields.line;
    fields.end();
    let access =
        if public { Access::Public } else { Access::Key { needs: needs.unwrap_or_else(Query::any) } };
    let route = Route {
        name,
        template: template?,
        methods,
        upstream: upstream?,
        access,
        costs,
        charged,
        body,
        total_time,
        empty_segments,
        parameters,
        websocket,
        cors,
        deprecation: deprecation.flatten(),
    };
    Some((route, line))
}

fn method(text: &str) -> Result<Method, String> {
    let method = Method::from_bytes(text.as_bytes()).map_err(|_| format!("`{text}` is not a method"))?;
    let is_usable = method != Method::CONNECT && text.bytes().all(|byte| !byte.is_ascii_lowercase());
    if is_usable { Ok(method) } else { Err(format!("`{text}` is not a method that a route can have")) }
}

fn cors(fields: Fields<'_>) -> Cors {
    let name = |text: &str| {
        HeaderName::from_bytes(text.as_bytes()).map_err(|_| format!("`{text}` is not a header name"))
    };
    let origin = |text: &str| {
        let uri: Option<Uri> = text.parse().ok();
        let is_origin =
            uri.is_some_and(|uri| uri.scheme().is_some() && uri.path() == "/") && !text.ends_with('/');
        let value = HeaderValue::from_str(text).ok().filter(|_| is_origin);
        value.ok_or_else(|| format!("`{text}` is not an origin, such as `https://app.example`"))
    };
    let any = fields.get("any-origin").and_then(|value| value.boolean()).unwrap_or(false);
    let origins = fields.get("origins").map(|value| value.list(origin));
    if any == origins.is_some() {
        fields.fault("origins", "or `any-origin = true`: one of them is needed");
    }
    let cors = Cors {
        origins: if any { None } else { Some(origins.unwrap_or_default()) },
        headers: fields.get("headers").map(|value| value.list(name)).unwrap_or_default(),
        exposed: fields.get("exposed").map(|value| value.list(name)).unwrap_or_default(),
        max_age: duration(&fields, "max-age", 600),
    };
    fields.end();
    cors
}

fn deprecation(fields: Fields<'_>) -> Option<Deprecation> {
    let time = |text: &str| {
        text.parse::<Timestamp>().map_err(|_| "must be a time such as `2027-01-31T12:00:00Z`".to_owned())
    };
    let since = fields.required("since").and_then(|value| value.parsed(time));
    let sunset = fields.get("sunset").and_then(|value| value.parsed(time));
    let link = fields.get("link").and_then(|value| {
        value.parsed(|text| {
            let is_uri = text.parse::<Uri>().is_ok() && !text.contains(['<', '>', '"']);
            let value = HeaderValue::from_str(&format!("<{text}>; rel=\"deprecation\"")).ok();
            value.filter(|_| is_uri).ok_or_else(|| "must be a URL".to_owned())
        })
    });
    fields.end();
    Some(Deprecation { since: since?, sunset, link })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    pub(crate) const SMALL: &str = r#"
vault = "/v"
token-file = "/t"
state = "/s"
[[listener]]
address = "127.0.0.1:8080"
[upstream.app]
url = "http://127.0.0.1:3000"
[[route]]
path = "/orders/{id}"
methods = ["GET"]
upstream = "app"
scope = "orders:read"
"#;

    fn faults(text: &str) -> Vec<String> {
        Config::parse(text).err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_configuration_is_read() {
        let config = Config::parse(SMALL).unwrap();
        assert_eq!(config.listeners, [Listener { address: "127.0.0.1:8080".parse().unwrap(), tls: None }]);
        assert_eq!(config.upstreams.first().map(|app| app.address.port()), Some(3000));
        assert_eq!(config.routes.first().map(|route| route.body), Some(1 << 20));
    }

    #[test]
    fn all_faults_are_told_with_their_places() {
        let wrong = SMALL
            .replace("token-file", "tokenfile")
            .replace("127.0.0.1:8080", "localhost")
            .replace(":3000", ":3000/x")
            .replace("/orders/{id}", "orders")
            .replace("\"GET\"", "\"GET\", \"get\", \"CONNECT\"")
            .replace("\"app\"", "\"api\"");
        assert_eq!(
            faults(&wrong),
            [
                "line 1: `token-file` is missing",
                "line 3: `tokenfile` is unknown; did you mean `token-file`?",
                "line 6: `listener.address` must be an address with a port, such as `127.0.0.1:8080`",
                "line 8: `upstream.app.url` must be a URL such as `http://127.0.0.1:3000`, without a path",
                "line 10: `route.path` must begin with `/`",
                "line 11: `route.methods` `CONNECT` is not a method that a route can have",
                "line 11: `route.methods` `get` is not a method that a route can have",
                "line 12: `route.upstream` names no upstream: there is no `[upstream.api]`",
            ]
        );
    }

    #[test]
    fn two_routes_for_one_request_are_a_fault() {
        let twice = format!(
            "{SMALL}[[route]]\npath = \"/orders/{{number}}\"\nmethods = [\"PUT\", \"GET\"]\nupstream = \"app\"\n"
        );
        assert_eq!(faults(&twice), ["line 14: `route.path` with GET is that of route `/orders/{id}`"]);
    }

    #[test]
    fn a_text_that_is_no_toml_has_one_fault() {
        assert!(faults("vault = \n").first().unwrap().starts_with("line 1: "));
    }
}
