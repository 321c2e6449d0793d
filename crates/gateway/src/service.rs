//! The path of a request: form → route → key → verdict → service → answer.

use std::future::Future;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::header::{self, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body, Incoming};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use crate::answer::{AnswerBody, Problem};
use crate::config::{Access, Route};
use crate::credential::{self, Fault};
use crate::exchange::{Asked as Noted, Exchange};
use crate::fields;
use crate::head::Refusal;
use crate::head::guard::{InForce, Seen};
use crate::head::target;
use crate::headers;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::routes::Match;
use crate::state::State;
use crate::upstream::{Counted, Download, Failure, Upload, Watch};
use crate::verdict::{Asked, Judge, Known, Outcome};
use crate::worker::Open;

const KEY_ID: HeaderName = HeaderName::from_static("x-keyvault-key-id");
const CLIENT: HeaderName = HeaderName::from_static("x-keyvault-client");
const SCOPES: HeaderName = HeaderName::from_static("x-keyvault-scopes");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// A client's connection.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) peer: SocketAddr,
    pub(crate) is_tls: bool,
    pub(crate) seen: Seen,
    pub(crate) log: Arc<Log>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) judge: Arc<dyn Judge>,
    /// The number of the worker, which has pools of its own.
    pub(crate) worker: usize,
    pub(crate) place: Arc<Open>,
}

impl Client {
    fn exchange(&self) -> Box<Exchange> {
        Box::new(Exchange {
            seen: self.seen.clone(),
            log: Arc::clone(&self.log),
            metrics: Arc::clone(&self.metrics),
            began: Instant::now(),
            peer: self.peer,
            request: None,
            route: None,
            key: None,
            outcome: None,
            problem: None,
            status: StatusCode::INTERNAL_SERVER_ERROR,
            sent: 0,
            fault: None,
        })
    }

    /// Answers a request. One that panics ends alone: with 500, and with its connection, whose state is then unknown.
    pub(crate) async fn answer(self, state: Arc<State>, request: Request<Incoming>) -> Response<AnswerBody> {
        let mut exchange = self.exchange();
        if let Some(refusal) = self.seen.take() {
            return self.refuse(refusal, exchange);
        }
        let answered = {
            let mut handled = pin!(self.handle(&state, request, &mut exchange));
            std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| handled.as_mut().poll(cx))) {
                Ok(poll) => poll.map(Some),
                Err(_) => std::task::Poll::Ready(None),
            })
            .await
        };
        let is_upgraded =
            matches!(&answered, Some(Ok(answer)) if answer.status() == StatusCode::SWITCHING_PROTOCOLS);
        self.seen.upgrade(is_upgraded);
        let problem = match answered {
            Some(Ok(answer)) => {
                exchange.status = answer.status();
                return answer.map(|body| match body {
                    Some(download) => AnswerBody::of_upstream(download, exchange),
                    None => AnswerBody::own(bytes::Bytes::new(), exchange),
                });
            }
            Some(Err(problem)) => *problem,
            None => {
                let detail = "The gateway failed.";
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail).closing()
            }
        };
        exchange.status = problem.status;
        exchange.problem = Some(problem.word);
        problem.into_response(exchange)
    }

    fn refuse(&self, refusal: Refusal, mut exchange: Box<Exchange>) -> Response<AnswerBody> {
        self.metrics.refused(refusal.word());
        exchange.status = refusal.status();
        exchange.problem = Some(refusal.word());
        Problem::new(refusal.status(), refusal.word(), refusal.sentence()).closing().into_response(exchange)
    }

    async fn handle(
        &self,
        state: &State,
        request: Request<Incoming>,
        exchange: &mut Exchange,
    ) -> Result<Response<Option<Download>>, Box<Problem>> {
        let uri = request.uri();
        let has_key_in_query = uri.query().is_some_and(|query| credential::in_query(query.as_bytes()));
        exchange.request = Some(Noted {
            method: request.method().clone(),
            path: credential::redacted(uri.path(), false),
            query: uri.query().map(|query| credential::redacted(query, has_key_in_query)),
        });
        if !self.is_tls && !self.peer.ip().to_canonical().is_loopback() {
            let detail = "This service is available over TLS only. A key that was sent to it in plaintext must be replaced.";
            return Err(Problem::new(StatusCode::FORBIDDEN, "plaintext", detail).closing().into());
        }
        if let Some(answer) = preflight(state, &request) {
            return answer;
        }
        let (place, route) = match state.routes.find(request.method(), uri.path()) {
            Match::Route(place, route) => (place, route),
            Match::Methods(methods) => return Err(not_allowed(&methods).into()),
            Match::None => {
                let detail = "There is no route for this path.";
                return Err(Problem::new(StatusCode::NOT_FOUND, "no-route", detail).into());
            }
        };
        exchange.route = state.names.get(place).cloned();
        let origin = request.headers().get(header::ORIGIN).cloned();
        let judged = self.judge(state, route, request, exchange, has_key_in_query).await;
        // A page that may ask may also read why it is refused.
        match judged {
            Ok(mut answer) => {
                fields::of_route(route, origin.as_ref(), answer.headers_mut());
                Ok(answer)
            }
            Err(mut problem) => {
                fields::of_route(route, origin.as_ref(), &mut problem.headers);
                Err(problem)
            }
        }
    }

    async fn judge(
        &self,
        state: &State,
        route: &Route,
        request: Request<Incoming>,
        exchange: &mut Exchange,
        has_key_in_query: bool,
    ) -> Result<Response<Option<Download>>, Box<Problem>> {
        let refused = |refusal: Refusal| {
            self.metrics.refused(refusal.word());
            Problem::new(refusal.status(), refusal.word(), refusal.sentence()).closing()
        };
        let path = request.uri().path();
        if !route.empty_segments && target::has_empty_segment(path.as_bytes()) {
            return Err(refused(Refusal::EmptySegment).into());
        }
        if !route.parameters && target::has_parameter(path.as_bytes()) {
            return Err(refused(Refusal::Parameter).into());
        }
        let is_upgrade = is_websocket(&request) && self.seen.may_upgrade();
        let found = if has_key_in_query {
            Err(Fault::InQuery)
        } else {
            credential::find(request.headers(), is_upgrade)
        };
        let found = found.and_then(|key| {
            let is_misplaced = credential::is_misplaced(request.uri(), request.headers(), key);
            if is_misplaced { Err(Fault::Misplaced) } else { Ok(key) }
        });
        let key = found.map_err(|fault| {
            let (word, detail) = match fault {
                Fault::Several => ("several-keys", "The request has more than one credential."),
                Fault::InQuery => {
                    ("key-in-query", "A key must not be sent in a query. One that was has to be replaced.")
                }
                Fault::Misplaced => (
                    "misplaced-key",
                    "A key must be sent in the header for it only, and is in another place.",
                ),
            };
            Problem::new(StatusCode::BAD_REQUEST, word, detail).closing()
        })?;
        let verdict = match (&route.access, key) {
            (Access::Public, _) => None,
            (Access::Key { .. }, None) => return Err(fields::no_key().into()),
            (Access::Key { needs }, Some(credential)) => {
                let asked = Asked {
                    credential,
                    network: self.peer.ip().to_canonical(),
                    origin: request.headers().get(header::ORIGIN).and_then(|origin| origin.to_str().ok()),
                    method: request.method().as_str(),
                    path,
                    needs,
                    costs: &route.charged,
                };
                let verdict = self.judge.decide(&asked);
                exchange.outcome = Some(verdict.outcome);
                exchange.key.clone_from(&verdict.key);
                if verdict.outcome != Outcome::Valid {
                    return Err(fields::refused(&verdict, needs).into());
                }
                Some(verdict)
            }
        };
        let answer = self.forward(state, route, request, exchange, is_upgrade && route.websocket).await;
        match (answer, verdict) {
            (Ok(mut answer), Some(verdict)) => {
                fields::of_limits(&verdict, answer.headers_mut());
                Ok(answer)
            }
            (Err(mut problem), Some(verdict)) => {
                fields::of_limits(&verdict, &mut problem.headers);
                Err(problem)
            }
            (answer, None) => answer,
        }
    }

    async fn forward(
        &self,
        state: &State,
        route: &Route,
        mut request: Request<Incoming>,
        exchange: &mut Exchange,
        upgrades: bool,
    ) -> Result<Response<Option<Download>>, Box<Problem>> {
        let (Some(upstream), Some(pool)) =
            (state.upstreams.get(route.upstream), state.pool(self.worker, route.upstream))
        else {
            return Err(Problem::new(StatusCode::BAD_GATEWAY, "upstream", "There is no such service.").into());
        };
        if request.body().size_hint().lower() > route.body {
            return Err(too_long().into());
        }
        let ours = upgrades.then(|| hyper::upgrade::on(&mut request));
        let (mut parts, body) = request.into_parts();
        let (upload, is_too_long) = Upload::new(body, route.body);
        self.rewrite(&mut parts.headers, upgrades, exchange.key.as_deref())?;
        parts.headers.insert(header::HOST, upstream.authority.clone());
        let mut forwarded = Request::new(upload);
        *forwarded.method_mut() = parts.method;
        *forwarded.uri_mut() = origin_form(&parts.uri)?;
        *forwarded.headers_mut() = parts.headers;
        let ends = route.total_time.map(|time| exchange.began + time);
        let time = ends.map_or(upstream.answer_time, |ends| {
            upstream.answer_time.min(ends.saturating_duration_since(Instant::now()))
        });
        if parts.version == Version::HTTP_11 {
            let seen = self.seen.clone();
            hyper::ext::on_informational(&mut forwarded, move |interim| {
                send_interim(&seen, interim.status(), interim.headers().clone());
            });
        }
        let sent = timeout(time, pool.send(forwarded, upgrades)).await;
        let failed = |failure| {
            let problem =
                if is_too_long.load(Ordering::Relaxed) { too_long() } else { failed(failure, &self.seen) };
            Box::new(problem)
        };
        let mut answer = match sent {
            Ok(Ok(answer)) => answer,
            Ok(Err(failure)) => {
                if let Failure::Answer(why) = failure {
                    exchange.fault = Some(format!("the service answered with {why}"));
                }
                return Err(failed(failure));
            }
            Err(_) => {
                let detail = "The service did not answer in time.";
                return Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, "upstream-timeout", detail).into());
            }
        };
        let judge = Arc::clone(&self.judge);
        let key = exchange.key.clone();
        let in_force: InForce = Arc::new(move || key.as_ref().is_none_or(|key| judge.is_in_force(&key.id)));
        self.seen.watch(Arc::clone(&in_force));
        let watch = Watch::new(upstream.body_time, ends, in_force);
        if let (StatusCode::SWITCHING_PROTOCOLS, Some(ours)) = (answer.status(), ours) {
            let theirs = hyper::upgrade::on(&mut answer);
            let idle_time = state.bounds.websocket_time;
            let places = (Arc::clone(&self.place), answer.body().place());
            tokio::spawn(async move {
                tunnel(ours, theirs, watch, idle_time).await;
                drop(places);
            });
            let mut switched = Response::new(None);
            *switched.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            std::mem::swap(switched.headers_mut(), answer.headers_mut());
            strip_answer(switched.headers_mut())?;
            switched.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            switched.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            return Ok(switched);
        }
        strip_answer(answer.headers_mut())?;
        Ok(answer.map(|download| Some(download.watched(watch))))
    }

    /// Makes the headers of a request those that a service gets.
    fn rewrite(&self, map: &mut HeaderMap, upgrades: bool, key: Option<&Known>) -> Result<(), Box<Problem>> {
        let host = map.get(header::HOST).cloned();
        let protocols = if upgrades { credential::without_key(map) } else { None };
        // The answer has a body by the client's word only; `100 Continue` is sent from here.
        map.remove(header::EXPECT);
        if !headers::strip_hop_by_hop(map) {
            let detail = "`Connection` names a header that is not about the connection.";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "connection-header", detail).closing().into());
        }
        headers::strip_identity(map);
        map.remove(header::SEC_WEBSOCKET_PROTOCOL);
        if upgrades {
            map.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            map.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            if let Some(protocols) = protocols {
                map.insert(header::SEC_WEBSOCKET_PROTOCOL, protocols);
            }
        }
        map.insert(FORWARDED_FOR, headers::value(&self.peer.ip().to_canonical().to_string()));
        map.insert(FORWARDED_PROTO, HeaderValue::from_static(if self.is_tls { "https" } else { "http" }));
        if let Some(host) = host {
            map.insert(FORWARDED_HOST, host);
        }
        if let Some(Known { id, client, scopes }) = key {
            map.insert(KEY_ID, headers::value(id));
            map.insert(SCOPES, headers::value(scopes));
            if let Some(client) = client {
                map.insert(CLIENT, headers::value(client));
            }
        }
        Ok(())
    }
}

/// The target as it came, without scheme and host if it had them.
fn origin_form(uri: &Uri) -> Result<Uri, Box<Problem>> {
    let target = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = Some(target);
    Uri::from_parts(parts).map_err(|_| {
        let refusal = Refusal::TargetForm;
        Problem::new(refusal.status(), refusal.word(), refusal.sentence()).closing().into()
    })
}

/// Passes an interim answer on, but for 100: the client's body is asked for from here.
fn send_interim(seen: &Seen, status: StatusCode, mut map: HeaderMap) {
    if status == StatusCode::CONTINUE || !headers::strip_hop_by_hop(&mut map) {
        return;
    }
    let mut head = format!("HTTP/1.1 {status}\r\n").into_bytes();
    for (name, value) in &map {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
    seen.interim(&head);
}

fn strip_answer(map: &mut HeaderMap) -> Result<(), Box<Problem>> {
    if headers::strip_hop_by_hop(map) {
        return Ok(());
    }
    let detail = "The answer of the service is malformed.";
    Err(Problem::new(StatusCode::BAD_GATEWAY, "upstream-answer", detail).into())
}

fn is_websocket(request: &Request<Incoming>) -> bool {
    let has = |name: HeaderName, token: &str| {
        let values = request.headers().get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(token))
    };
    request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && request.body().is_end_stream()
        && has(header::UPGRADE, "websocket")
        && has(header::CONNECTION, "upgrade")
}

fn too_long() -> Problem {
    let detail = "The body is longer than this route allows.";
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail).closing()
}

fn failed(failure: Failure, seen: &Seen) -> Problem {
    if seen.is_broken() {
        let refusal = Refusal::TransferEncoding;
        return Problem::new(refusal.status(), "body-framing", "The framing of the body is malformed.")
            .closing();
    }
    let (word, detail) = match failure {
        Failure::Connect => ("upstream-connect", "The service cannot be reached."),
        Failure::Broken => ("upstream-closed", "The service closed the connection before it answered."),
        Failure::Answer(_) => ("upstream-answer", "The answer of the service is malformed."),
        Failure::Body => {
            let detail = "The body ended early.";
            return Problem::new(StatusCode::BAD_REQUEST, "body-incomplete", detail).closing();
        }
        Failure::Busy => {
            let detail = "The service has as many connections as it may have.";
            let mut problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "upstream-busy", detail);
            problem.headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            return problem;
        }
    };
    Problem::new(StatusCode::BAD_GATEWAY, word, detail)
}

fn not_allowed(methods: &[&Method]) -> Problem {
    let detail = "The path has no route for this method.";
    let mut problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", detail);
    let names: Vec<&str> = methods.iter().map(|method| method.as_str()).collect();
    problem.headers.insert(header::ALLOW, headers::value(&names.join(", ")));
    problem
}

/// The answer to a CORS preflight, which has no key and reaches no service.
fn preflight(
    state: &State,
    request: &Request<Incoming>,
) -> Option<Result<Response<Option<Download>>, Box<Problem>>> {
    let wanted = request.headers().get(header::ACCESS_CONTROL_REQUEST_METHOD);
    let origin = request.headers().get(header::ORIGIN);
    let (Some(wanted), Some(origin), &Method::OPTIONS) = (wanted, origin, request.method()) else {
        return None;
    };
    let method = Method::from_bytes(wanted.as_bytes()).ok();
    let route = method.and_then(|method| match state.routes.find(&method, request.uri().path()) {
        Match::Route(_, route) => Some(route),
        Match::Methods(_) | Match::None => None,
    });
    let answer = route.and_then(|route| fields::preflight(route, origin));
    Some(answer.ok_or_else(|| {
        let detail = "This origin may not send this request.";
        Problem::new(StatusCode::FORBIDDEN, "cors", detail).into()
    }))
}

/// Copies both ways until one side ends, or neither sends for too long, or the stream must not go on.
async fn tunnel(
    ours: hyper::upgrade::OnUpgrade,
    theirs: hyper::upgrade::OnUpgrade,
    watch: Watch,
    idle_time: Duration,
) {
    let (Ok(ours), Ok(theirs)) = (ours.await, theirs.await) else { return };
    let read = Arc::new(AtomicU64::new(0));
    let mut ours = Counted::new(TokioIo::new(ours), &read);
    let mut theirs = Counted::new(TokioIo::new(theirs), &read);
    let cut = async {
        let mut looks = tokio::time::interval(Duration::from_millis(500).min(idle_time));
        let (mut last, mut since) = (0, Instant::now());
        // A quiet websocket is no paused answer: its ends have pings of their own, and a time of its own.
        while watch.ends.is_none_or(|ends| Instant::now() < ends) && (watch.in_force)() {
            looks.tick().await;
            let now = read.load(Ordering::Relaxed);
            if now != last {
                (last, since) = (now, Instant::now());
            } else if since.elapsed() >= idle_time {
                return;
            }
        }
    };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut ours, &mut theirs) => (),
        () = cut => (),
    }
}
