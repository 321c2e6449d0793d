//! The reader between a socket and hyper.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use memchr::memchr;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::chunked::Chunked;
use super::{Framing, Refusal, inspect};

/// Bytes read from the socket at once.
const PIECE: usize = 8192;
/// Handed to hyper in place of a head that is refused, so that the answer goes its ordinary way. The service recognizes it by
/// its number and looks at nothing of it.
const INSTEAD: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";
/// Bytes of interim answers that wait for the socket; more are dropped, as any of them may be.
const MAX_INTERIM: usize = 16_384;
/// After a refusal so much of the client's bytes is read and dropped before the socket is closed: a socket that is closed
/// with bytes unread resets the connection, and the client may lose the answer.
const DRAINED: usize = 65_536;
/// Between two looks at a client that takes nothing.
const LOOK: Duration = Duration::from_millis(500);
const DRAIN_TIME: Duration = Duration::from_millis(500);

/// Bounds of a head, and of the time that its parts take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) head: usize,
    pub(crate) headers: usize,
    /// From the first byte of a head to its end.
    pub(crate) head_time: Duration,
    /// From the end of an answer to the first byte of the next head.
    pub(crate) idle_time: Duration,
    /// Between two pieces of a body.
    pub(crate) body_time: Duration,
}

/// Tells if the key of a request is still accepted.
pub(crate) type InForce = Arc<dyn Fn() -> bool + Send + Sync>;

/// The part of a guard that the service sees.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Shared>>);

#[derive(Default)]
struct Shared {
    /// Heads handed over.
    heads: u64,
    /// The service has taken so many of them.
    taken: u64,
    /// So many of them are answered.
    answered: u64,
    /// The refusal of the last head.
    refusal: Option<Refusal>,
    /// True once the framing of a body turned out to be wrong.
    broken: bool,
    /// The last head asks for an upgrade, and nothing behind it is read before the decision.
    is_undecided: bool,
    upgraded: Option<bool>,
    /// Interim answers (1xx) to the request in progress, as they go over the wire.
    interim: BytesMut,
    /// True while the answer in progress may go on.
    in_force: Option<InForce>,
    /// Reads wait for an answer, or for the decision on an upgrade.
    waiting: Option<Waker>,
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called by the service for each request. Without a refusal the head passed.
    pub(crate) fn take(&self) -> Option<Refusal> {
        let mut shared = self.lock();
        shared.taken += 1;
        if shared.taken == shared.heads { shared.refusal } else { None }
    }

    /// Called when an answer has been given to hyper whole, or dropped.
    pub(crate) fn answered(&self) {
        let mut shared = self.lock();
        shared.answered += 1;
        wake(shared);
    }

    /// Sends an interim answer ahead of the answer to the request in progress. hyper has no way to write one, so it goes past
    /// hyper.
    pub(crate) fn interim(&self, head: &[u8]) {
        let mut shared = self.lock();
        if shared.interim.len() + head.len() <= MAX_INTERIM {
            shared.interim.extend_from_slice(head);
        }
        wake(shared);
    }

    /// The decision on the upgrade that the request in progress asked for. A request with a body cannot be upgraded, and an
    /// answer to an earlier one decides nothing about the last head.
    pub(crate) fn upgrade(&self, upgraded: bool) {
        let mut shared = self.lock();
        if shared.is_undecided && shared.taken == shared.heads {
            shared.is_undecided = false;
            shared.upgraded = Some(upgraded);
            wake(shared);
        }
    }

    /// True if nothing but this decides what follows the request in progress.
    pub(crate) fn may_upgrade(&self) -> bool {
        let shared = self.lock();
        shared.is_undecided && shared.taken == shared.heads
    }

    /// The condition under which the answer that follows is written.
    pub(crate) fn watch(&self, in_force: InForce) {
        self.lock().in_force = Some(in_force);
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.lock().broken
    }

    /// True until the first head has come.
    pub(crate) fn is_fresh(&self) -> bool {
        self.lock().heads == 0
    }

    /// True while no request is in progress.
    fn is_idle(&self) -> bool {
        let shared = self.lock();
        shared.heads == shared.answered
    }
}

fn wake(mut shared: MutexGuard<'_, Shared>) {
    let waker = shared.waiting.take();
    drop(shared);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Reads heads and bodies, and hands over what is within the rules.
pub(crate) struct Guard<S> {
    socket: S,
    bounds: Bounds,
    seen: Seen,
    /// Read and not yet handed over.
    read: BytesMut,
    /// Bytes at the front of `read` that are known to be within the rules.
    passed: usize,
    /// Bytes of an unfinished head that contain no end of it.
    searched: usize,
    next: Next,
    sleep: Option<Pin<Box<Sleep>>>,
    timed: Timed,
    drained: usize,
    /// The client has taken nothing since.
    stalled: Option<Instant>,
    /// The time of the next look at an answer that waits for its client. One that takes a little at a time puts it off no more
    /// than one that takes nothing.
    looks: Option<Pin<Box<Sleep>>>,
    /// True if hyper has written everything that it had.
    is_flushed: bool,
}

/// The content behind the bytes that have passed.
enum Next {
    Head,
    Length(u64),
    Chunked(Chunked),
    /// It depends on the answer.
    Undecided,
    /// Another protocol.
    Tunnel,
    Refused,
    End,
}

/// The wait that the timer is set for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Timed {
    Nothing,
    Head,
    Idle,
    Body,
    Drain,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guard<S> {
    pub(crate) fn new(socket: S, bounds: Bounds) -> (Self, Seen) {
        let seen = Seen::default();
        let guard = Self {
            socket,
            bounds,
            seen: seen.clone(),
            read: BytesMut::new(),
            passed: 0,
            searched: 0,
            next: Next::Head,
            sleep: None,
            timed: Timed::Nothing,
            drained: 0,
            stalled: None,
            looks: None,
            is_flushed: true,
        };
        (guard, seen)
    }

    /// Ends the wait for a client that takes nothing when it is too long, and the answer to one whose key is no longer
    /// accepted: while bytes wait, hyper asks for no more of the answer's body, so that nothing else looks.
    fn hold_stall<T>(&mut self, written: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let body_time = self.bounds.body_time;
        let since = *self.stalled.get_or_insert_with(Instant::now);
        let look = LOOK.min(body_time);
        let sleep = self.looks.get_or_insert_with(|| Box::pin(tokio::time::sleep(look)));
        while sleep.as_mut().poll(cx).is_ready() {
            let in_force = self.seen.lock().in_force.clone();
            if since.elapsed() >= body_time || in_force.is_some_and(|in_force| !in_force()) {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            sleep.as_mut().reset(Instant::now() + look);
        }
        Poll::Pending
    }

    fn poll_written<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let written = match self.poll_interim(cx) {
            Poll::Ready(Ok(())) => {
                self.is_flushed = false;
                write(Pin::new(&mut self.socket), cx)
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        };
        self.hold_stall(written, cx)
    }

    /// Writes interim answers, where no answer is in the middle.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.seen.lock();
        // An answer before the one in progress may not be written whole.
        while !shared.interim.is_empty() && self.is_flushed {
            let written = ready!(Pin::new(&mut self.socket).poll_write(cx, &shared.interim))?;
            shared.interim.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Hands over as much as has passed.
    fn hand_over(&mut self, out: &mut ReadBuf<'_>) {
        let length = self.passed.min(out.remaining()).min(self.read.len());
        out.put_slice(self.read.get(..length).unwrap_or_default());
        self.read.advance(length);
        self.passed -= length;
        if self.read.is_empty() {
            // A connection that idles keeps no memory here.
            self.read = BytesMut::new();
        }
    }

    /// Looks at what was read, until something passes or more is needed. False if more is needed.
    fn look(&mut self) -> io::Result<bool> {
        match &mut self.next {
            Next::Head => Ok(self.look_for_head()),
            Next::Length(0) => {
                self.next = Next::Head;
                self.look()
            }
            Next::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(self.read.len());
                *left -= here as u64;
                self.passed = here;
                Ok(here > 0)
            }
            Next::Chunked(body) => match body.follow(&self.read) {
                Ok(length) => {
                    self.passed = length;
                    if body.is_done() {
                        self.next = Next::Head;
                    }
                    Ok(length > 0)
                }
                Err(refusal) => {
                    self.seen.lock().broken = true;
                    self.next = Next::End;
                    Err(io::Error::new(io::ErrorKind::InvalidData, refusal.sentence()))
                }
            },
            Next::Undecided => {
                let upgraded = self.seen.lock().upgraded.take();
                match upgraded {
                    Some(true) => self.next = Next::Tunnel,
                    Some(false) => self.next = Next::Head,
                    None => return Ok(false),
                }
                self.look()
            }
            Next::Tunnel => {
                self.passed = self.read.len();
                Ok(self.passed > 0)
            }
            Next::Refused | Next::End => Ok(false),
        }
    }

    fn look_for_head(&mut self) -> bool {
        if self.read.is_empty() {
            return false;
        }
        let from = self.searched.saturating_sub(3);
        let unsearched = self.read.get(from..).unwrap_or_default();
        let Some(at) = end_of_head(unsearched) else {
            self.searched = self.read.len();
            let refusal = match self.read.len() {
                length if length > self.bounds.head => Refusal::HeadTooLarge,
                // Another protocol, such as TLS or HTTP/2, is told at its first bytes.
                _ if self.read.first().is_some_and(|byte| !super::is_token(*byte)) => Refusal::RequestLine,
                _ => return false,
            };
            self.refuse(refusal);
            return true;
        };
        self.searched = 0;
        let end = from + at;
        let head = self.read.get(..end).unwrap_or_default();
        let verdict = if end > self.bounds.head {
            Err(Refusal::HeadTooLarge)
        } else {
            inspect(head, self.bounds.headers)
        };
        match verdict {
            Ok(framing) => {
                self.passed = end;
                self.timed = Timed::Nothing;
                let mut shared = self.seen.lock();
                shared.heads += 1;
                shared.upgraded = None;
                shared.is_undecided = framing == Framing::Upgrade;
                drop(shared);
                self.next = match framing {
                    Framing::Length(length) => Next::Length(length),
                    Framing::Chunked => Next::Chunked(Chunked::new(self.bounds.head)),
                    Framing::Upgrade => Next::Undecided,
                };
            }
            Err(refusal) => self.refuse(refusal),
        }
        true
    }

    fn refuse(&mut self, refusal: Refusal) {
        let mut shared = self.seen.lock();
        shared.heads += 1;
        shared.refusal = Some(refusal);
        drop(shared);
        self.read.clear();
        self.read.extend_from_slice(INSTEAD);
        self.passed = INSTEAD.len();
        self.next = Next::Refused;
    }

    /// The time that the present wait may take.
    fn timing(&self) -> (Timed, Duration) {
        match self.next {
            Next::Head if !self.read.is_empty() => (Timed::Head, self.bounds.head_time),
            // A connection without a first byte takes the place of another.
            Next::Head if self.seen.is_fresh() => (Timed::Idle, self.bounds.head_time),
            Next::Head if self.seen.is_idle() => (Timed::Idle, self.bounds.idle_time),
            Next::Length(_) | Next::Chunked(_) => (Timed::Body, self.bounds.body_time),
            _ => (Timed::Nothing, Duration::ZERO),
        }
    }

    /// Ready when the present wait has taken too long.
    fn poll_timer(&mut self, (timed, time): (Timed, Duration), cx: &mut Context<'_>) -> Poll<()> {
        if timed == Timed::Nothing {
            self.timed = timed;
            return Poll::Pending;
        }
        let until = Instant::now() + time;
        // A head's time runs from its first byte, and a body's from the last piece. A body that was not asked for while the
        // service had enough of it has not been waited for.
        let overslept = |sleep: &Pin<Box<Sleep>>| sleep.deadline() + Duration::from_secs(1) < Instant::now();
        if self.timed != timed || timed == Timed::Body && self.sleep.as_ref().is_some_and(overslept) {
            self.timed = timed;
            match &mut self.sleep {
                Some(sleep) => sleep.as_mut().reset(until),
                None => self.sleep = Some(Box::pin(tokio::time::sleep_until(until))),
            }
        }
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    /// Reads from the socket. `Ok(false)` is its end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut piece = [0; PIECE];
        let mut piece = ReadBuf::new(&mut piece);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut piece))?;
        self.read.extend_from_slice(piece.filled());
        if self.timed == Timed::Body {
            self.timed = Timed::Nothing;
        }
        Poll::Ready(Ok(!piece.filled().is_empty()))
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        match self.next {
            // An end before the answer would be taken for that of the client, who then gets none.
            Next::Refused => {
                if self.seen.is_idle() {
                    return Poll::Ready(Ok(false));
                }
                self.seen.lock().waiting = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Next::End => return Poll::Ready(Ok(false)),
            // The service decides in the task that reads, so not between the look at its decision and this line.
            Next::Undecided => {
                self.seen.lock().waiting = Some(cx.waker().clone());
                return Poll::Pending;
            }
            // The time to idle begins with the end of the answer, and interim answers are written from here.
            Next::Head | Next::Length(_) | Next::Chunked(_) => {
                self.seen.lock().waiting = Some(cx.waker().clone());
            }
            Next::Tunnel => (),
        }
        if let Poll::Ready(filled) = self.poll_fill(cx)? {
            if !filled {
                self.next = Next::End;
            }
            return Poll::Ready(Ok(filled));
        }
        let timing = self.timing();
        if self.poll_timer(timing, cx).is_pending() {
            return Poll::Pending;
        }
        match timing.0 {
            Timed::Head => {
                self.refuse(Refusal::HeadTimeout);
                Poll::Ready(Ok(true))
            }
            Timed::Body => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            _ => {
                self.next = Next::End;
                Poll::Ready(Ok(false))
            }
        }
    }
}

/// The length of a head that ends in these bytes. A bare line end that could be the end of a head for another reader is one
/// here too, so that such a head is complete and is refused for it.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = bytes.get(at..)?;
        at += memchr(b'\n', rest)? + 1;
        match bytes.get(at..) {
            Some([b'\n', ..]) => return Some(at + 1),
            Some([b'\r', b'\n', ..]) => return Some(at + 2),
            _ => (),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guard<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let guard = self.get_mut();
        if guard.poll_interim(cx)?.is_ready() {
            let _ = Pin::new(&mut guard.socket).poll_flush(cx)?;
        }
        loop {
            if guard.passed > 0 {
                guard.hand_over(out);
                return Poll::Ready(Ok(()));
            }
            if !guard.look()? && !ready!(guard.poll_more(cx))? {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_written(cx, |socket, cx| socket.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let guard = self.get_mut();
        // hyper flushes when it has nothing left to write.
        guard.is_flushed = true;
        let flushed = Pin::new(&mut guard.socket).poll_flush(cx);
        if flushed.is_ready() {
            guard.looks = None;
        }
        guard.hold_stall(flushed, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let guard = self.get_mut();
        ready!(Pin::new(&mut guard.socket).poll_shutdown(cx))?;
        let is_refused = matches!(guard.next, Next::Refused) || guard.seen.is_broken();
        while is_refused && guard.drained < DRAINED {
            guard.read.clear();
            match guard.poll_fill(cx) {
                Poll::Ready(Ok(true)) => guard.drained += guard.read.len(),
                Poll::Ready(_) => break,
                Poll::Pending => {
                    ready!(guard.poll_timer((Timed::Drain, DRAIN_TIME), cx));
                    break;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_written(cx, |socket, cx| socket.poll_write_vectored(cx, bufs))
    }
}
