//! Requests to a service: its connections, and its answers.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{Request, Response, StatusCode};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::config::Upstream;
use crate::head::guard::InForce;
use crate::headers;

/// Bytes of an answer's head.
const MAX_HEAD: usize = 65_536;
/// Between two looks at whether an open stream may go on.
const LOOK: Duration = Duration::from_millis(500);

/// A worker's connections to one service.
pub(crate) struct Pool {
    address: SocketAddr,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    connect_time: Duration,
    idle_time: Duration,
    connections: usize,
    idle: Mutex<VecDeque<Idle>>,
    open: Arc<AtomicUsize>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

/// A connection that can take a request.
struct Connection {
    sender: SendRequest<Upload>,
    /// Bytes that have come over it.
    read: Arc<AtomicU64>,
    place: Arc<Place>,
}

/// The reason for which there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    Connect,
    Busy,
    /// The connection ended before the answer.
    Broken,
    /// The answer is malformed.
    Answer(&'static str),
    /// The request's body was not within the rules.
    Body,
}

impl Pool {
    pub(crate) fn new(upstream: &Upstream, tls: Option<(TlsConnector, ServerName<'static>)>) -> Self {
        Self {
            address: upstream.address,
            tls,
            connect_time: upstream.connect_time,
            idle_time: upstream.idle_time,
            connections: upstream.connections,
            idle: Mutex::default(),
            open: Arc::default(),
        }
    }

    /// The connection that was used last: others time out sooner.
    fn take(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while idle.front().is_some_and(|first| first.since.elapsed() >= self.idle_time) {
            idle.pop_front();
        }
        while let Some(Idle { connection, .. }) = idle.pop_back() {
            if connection.sender.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    fn put(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push_back(Idle { connection, since: Instant::now() });
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let place = Place::claim(&self.open, self.connections).map(Arc::new).ok_or(Failure::Busy)?;
        let connect = async {
            let socket = TcpStream::connect(self.address).await?;
            socket.set_nodelay(true)?;
            Ok::<_, io::Error>(match &self.tls {
                None => self.begin(socket, place).await,
                Some((connector, name)) => {
                    let socket = connector.connect(name.clone(), socket).await?;
                    self.begin(socket, place).await
                }
            })
        };
        match timeout(self.connect_time, connect).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(_)) | Err(_) => Err(Failure::Connect),
        }
    }

    async fn begin<S>(&self, socket: S, place: Arc<Place>) -> Result<Connection, Failure>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let read = Arc::new(AtomicU64::new(0));
        let socket = Counted::new(socket, &read);
        let mut builder = http1::Builder::new();
        builder.max_buf_size(MAX_HEAD);
        let (sender, connection) =
            builder.handshake(TokioIo::new(socket)).await.map_err(|_| Failure::Connect)?;
        let kept = Arc::clone(&place);
        tokio::spawn(async move {
            // Its errors reach the one that waits for the answer.
            let _ = connection.with_upgrades().await;
            drop(kept);
        });
        Ok(Connection { sender, read, place })
    }

    /// Sends a request. It is sent again once at most, on a new connection, if the first had been used before and nothing of
    /// the request was sent, or if it may be repeated, has no body, and the connection was closed without a byte of an answer.
    pub(crate) async fn send(
        self: &Arc<Self>,
        mut request: Request<Upload>,
        asks_upgrade: bool,
    ) -> Result<Response<Download>, Failure> {
        let is_repeatable = request.method().is_idempotent() && request.body().is_end_stream();
        let mut may_reuse = true;
        loop {
            let (mut connection, is_reused) = match may_reuse.then(|| self.take()).flatten() {
                Some(connection) => (connection, true),
                None => (self.connect().await?, false),
            };
            let copy = (is_reused && is_repeatable).then(|| again(&request));
            let read_before = connection.read.load(Ordering::Relaxed);
            match connection.sender.try_send_request(request).await {
                Ok(response) => return self.accept(response, connection, asks_upgrade),
                Err(mut error) => {
                    may_reuse = false;
                    let unsent = error.take_message();
                    let is_silent = connection.read.load(Ordering::Relaxed) == read_before;
                    request = match (is_reused, unsent, copy) {
                        (true, Some(unsent), _) => unsent,
                        (true, None, Some(copy)) if is_silent => copy,
                        _ if error.error().is_user() => return Err(Failure::Body),
                        _ => return Err(Failure::Broken),
                    };
                }
            }
        }
    }

    /// Holds an answer against the rules that requests are held against.
    fn accept(
        self: &Arc<Self>,
        response: Response<Incoming>,
        connection: Connection,
        asks_upgrade: bool,
    ) -> Result<Response<Download>, Failure> {
        let headers = response.headers();
        let lengths = headers.get_all(CONTENT_LENGTH).iter().count();
        let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
        let encoding = encodings.next();
        if lengths > 1 {
            return Err(Failure::Answer("two Content-Length headers"));
        }
        if headers.get(CONTENT_LENGTH).is_some_and(|value| !value.as_bytes().iter().all(u8::is_ascii_digit)) {
            return Err(Failure::Answer("a Content-Length that is no number"));
        }
        if lengths == 1 && encoding.is_some() {
            return Err(Failure::Answer("Content-Length with Transfer-Encoding"));
        }
        if encoding.is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"chunked"))
            || encodings.next().is_some()
        {
            return Err(Failure::Answer("a Transfer-Encoding other than chunked"));
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let to = headers.get(UPGRADE).map(|value| value.as_bytes().to_ascii_lowercase());
            if !asks_upgrade || to.as_deref() != Some(b"websocket") {
                return Err(Failure::Answer("a 101 that was not asked for"));
            }
        }
        let pool = Arc::clone(self);
        Ok(response.map(|body| Download {
            body,
            back: Some((pool, connection)),
            watch: None,
            moved: false,
            timer: None,
        }))
    }
}

fn again(request: &Request<Upload>) -> Request<Upload> {
    let mut copy = Request::new(Upload::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// One of the connections that a pool may have.
pub(crate) struct Place(Arc<AtomicUsize>);

impl Place {
    fn claim(open: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let place = Self(Arc::clone(open));
        (open.fetch_add(1, Ordering::Relaxed) < most).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A socket that counts the bytes that come.
pub(crate) struct Counted<S> {
    socket: S,
    read: Arc<AtomicU64>,
}

impl<S> Counted<S> {
    pub(crate) fn new(socket: S, read: &Arc<AtomicU64>) -> Self {
        Self { socket, read: Arc::clone(read) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let own = self.get_mut();
        let before = out.filled().len();
        let result = Pin::new(&mut own.socket).poll_read(cx, out);
        own.read.fetch_add((out.filled().len() - before) as u64, Ordering::Relaxed);
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(cx, bufs)
    }
}

/// The body of a request on its way to a service, no longer than its route allows.
pub(crate) struct Upload {
    body: Option<Incoming>,
    left: u64,
    too_long: Arc<AtomicBool>,
}

impl Upload {
    pub(crate) fn new(body: Incoming, most: u64) -> (Self, Arc<AtomicBool>) {
        let too_long = Arc::new(AtomicBool::new(false));
        let body = (!body.is_end_stream()).then_some(body);
        (Self { body, left: most, too_long: Arc::clone(&too_long) }, too_long)
    }

    fn empty() -> Self {
        Self { body: None, left: 0, too_long: Arc::default() }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let own = self.get_mut();
        let Some(body) = &mut own.body else { return Poll::Ready(None) };
        Pin::new(body).poll_frame(cx).map(|frame| {
            let frame = match frame? {
                Ok(frame) => frame,
                Err(error) => return Some(Err(io::Error::other(error))),
            };
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            let Some(left) = own.left.checked_sub(length) else {
                own.too_long.store(true, Ordering::Relaxed);
                return Some(Err(io::Error::other("the body is too long")));
            };
            own.left = left;
            Some(Ok(without_framing(frame)))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

fn without_framing(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            headers::strip_trailers(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

/// The conditions under which an answer's body goes on.
pub(crate) struct Watch {
    /// Between two pieces.
    pub(crate) body_time: Duration,
    pub(crate) ends: Option<Instant>,
    /// False once the key is refused.
    pub(crate) in_force: InForce,
    last: Instant,
}

impl Watch {
    pub(crate) fn new(body_time: Duration, ends: Option<Instant>, in_force: InForce) -> Self {
        Self { body_time, ends, in_force, last: Instant::now() }
    }

    /// The reason for which the stream is cut.
    pub(crate) fn over(&self) -> Option<&'static str> {
        if self.ends.is_some_and(|ends| ends <= Instant::now()) {
            Some("the exchange took too long")
        } else if self.last.elapsed() >= self.body_time {
            Some("the service paused for too long")
        } else if !(self.in_force)() {
            Some("the key is no longer accepted")
        } else {
            None
        }
    }
}

/// The body of an answer on its way from a service. Its connection is kept for the next request once the body has ended.
pub(crate) struct Download {
    body: Incoming,
    back: Option<(Arc<Pool>, Connection)>,
    watch: Option<Watch>,
    moved: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Download {
    /// The place of its connection, for one that goes on as a websocket.
    pub(crate) fn place(&self) -> Option<Arc<Place>> {
        self.back.as_ref().map(|(_, connection)| Arc::clone(&connection.place))
    }

    pub(crate) fn watched(mut self, watch: Watch) -> Self {
        self.watch = Some(watch);
        self
    }

    /// Looks at the conditions each half second, whether pieces come or not.
    fn poll_watch(&mut self, cx: &mut Context<'_>) -> Option<&'static str> {
        let watch = self.watch.as_mut()?;
        if self.moved {
            self.moved = false;
            watch.last = Instant::now();
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(LOOK)));
        while timer.as_mut().poll(cx).is_ready() {
            if let Some(why) = watch.over() {
                return Some(why);
            }
            timer.as_mut().reset(tokio::time::Instant::now() + LOOK);
        }
        None
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        // An answer that is there at once needs no timer.
        let goes_on = self.timer.is_some() || frame.is_pending() || !self.body.is_end_stream();
        self.moved |= frame.is_ready();
        if goes_on && let Some(why) = self.poll_watch(cx) {
            self.back = None;
            return Poll::Ready(Some(Err(io::Error::other(why))));
        }
        if self.body.is_end_stream() || matches!(frame, Poll::Ready(None)) {
            self.give_back();
        }
        frame.map(|frame| match frame? {
            Ok(frame) => Some(Ok(without_framing(frame))),
            Err(error) => {
                self.back = None;
                Some(Err(io::Error::other(error)))
            }
        })
    }

    pub(crate) fn is_end(&self) -> bool {
        self.body.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    fn give_back(&mut self) {
        let Some((pool, mut connection)) = self.back.take() else { return };
        if connection.sender.is_ready() {
            pool.put(connection);
        } else if !connection.sender.is_closed() {
            // Its task has not come to see the end of the answer.
            tokio::spawn(async move {
                if connection.sender.ready().await.is_ok() {
                    pool.put(connection);
                }
            });
        }
    }
}

impl Drop for Download {
    /// An answer without a body is dropped without a look at it.
    fn drop(&mut self) {
        if self.body.is_end_stream() {
            self.give_back();
        }
    }
}

/// The address of a host that is one, or that every machine has.
pub(crate) fn address(host: &str, port: u16) -> Option<SocketAddr> {
    let ip = if host.eq_ignore_ascii_case("localhost") {
        Some(IpAddr::from([127, 0, 0, 1]))
    } else {
        host.parse().ok()
    };
    ip.map(|ip| SocketAddr::new(ip, port))
}
