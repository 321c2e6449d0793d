//! The way of one stream: from the child's end, through the mask, to the caller's.
//!
//! Nothing here waits. What the caller's end does not take is kept, and until it is taken the child's end is not read:
//! so the child waits for its reader as it would without us, and signals are heard meanwhile. The caller's descriptor
//! is shared with others and stays as it is; where one that does not wait can be opened beside it, that one is written to.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::fs::{FileType, OFlags, fstat};
use rustix::io::Errno;
use zeroize::Zeroizing;

use crate::mask::{Filter, Mask};
use keyvault_os::terminal::pty;

/// How long a child is silent until it counts as pausing: longer than between two writes of one line, too short to be
/// noticed by whoever types.
const PAUSE: Duration = Duration::from_millis(10);

/// As much as a pipe holds on Linux.
pub(crate) const PIECE: usize = 64 * 1024;

pub(crate) struct Channel<'m> {
    source: Option<OwnedFd>,
    sink: Option<Sink>,
    filter: Filter<'m>,
    /// Counts what was masked.
    counter: Option<&'m Cell<u64>>,
    /// Masked, and not yet taken.
    backlog: Vec<u8>,
    spoke: Instant,
    failure: Option<io::Error>,
}

pub(crate) struct Wanted<'c> {
    pub(crate) fd: BorrowedFd<'c>,
    pub(crate) flags: PollFlags,
}

impl<'m> Channel<'m> {
    /// From `source`, which does not wait, to `sink`.
    pub(crate) fn new(source: OwnedFd, sink: Sink, mask: &'m Mask, counter: Option<&'m Cell<u64>>) -> Self {
        Self {
            source: Some(source),
            sink: Some(sink),
            filter: Filter::new(mask),
            counter,
            backlog: Vec::new(),
            spoke: Instant::now(),
            failure: None,
        }
    }

    /// The descriptor and event that it waits for; nothing once it has ended.
    pub(crate) fn wants(&self) -> Option<Wanted<'_>> {
        if self.backlog.is_empty() {
            self.source.as_ref().map(|source| Wanted { fd: source.as_fd(), flags: PollFlags::IN })
        } else {
            self.sink.as_ref().map(|sink| Wanted { fd: sink.as_fd(), flags: PollFlags::OUT })
        }
    }

    /// The caller's end while nothing is to be written there: whether anybody still reads is to be seen there and nowhere
    /// else.
    pub(crate) fn listens(&self) -> Option<BorrowedFd<'_>> {
        self.sink.as_ref().filter(|_| self.backlog.is_empty() && self.source.is_some()).map(Sink::as_fd)
    }

    /// When the child's silence counts as a pause that lets something out.
    pub(crate) fn pauses_at(&self) -> Option<Instant> {
        (self.backlog.is_empty() && self.filter.would_show()).then(|| self.spoke + PAUSE)
    }

    /// Returns `true` if the child's end can bring nothing more.
    pub(crate) fn has_ended(&self) -> bool {
        self.source.is_none()
    }

    /// Returns `true` if everything that came is taken.
    pub(crate) fn is_idle(&self) -> bool {
        self.backlog.is_empty()
    }

    /// Why the caller's end took no more, if not because its reader went away.
    pub(crate) fn failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    /// Moves on what can be moved; whether anything could.
    pub(crate) fn advance(&mut self, buffer: &mut Zeroizing<Vec<u8>>) -> bool {
        if !self.backlog.is_empty() {
            return self.write_backlog();
        }
        let Some(source) = &self.source else { return false };
        match rustix::io::read(source, buffer.as_mut_slice()) {
            Ok(0) | Err(Errno::IO) => {
                self.finish();
                if self.backlog.is_empty() {
                    self.let_go();
                }
                true
            }
            Ok(got) => {
                self.spoke = Instant::now();
                let piece = buffer.get(..got).unwrap_or_default();
                self.through(|filter, out| filter.feed(piece, out));
                true
            }
            Err(Errno::INTR) => true,
            Err(Errno::AGAIN) if self.listens().is_some_and(|sink| is_ready(sink, PollFlags::empty())) => {
                self.break_off();
                true
            }
            Err(Errno::AGAIN) => false,
            Err(error) => {
                self.failure = Some(error.into());
                self.finish();
                true
            }
        }
    }

    /// Lets out what a pause lets out, if there is one.
    pub(crate) fn pause(&mut self, now: Instant) {
        if self.pauses_at().is_some_and(|at| at <= now) {
            self.through(|filter, out| filter.pause(out));
        }
    }

    /// Lets out all that is held: nothing more comes.
    pub(crate) fn finish(&mut self) {
        self.source = None;
        self.through(|filter, out| filter.finish(out));
    }

    /// Lets go of the caller's end, so that its reader sees the end as soon as without us.
    pub(crate) fn let_go(&mut self) {
        self.sink = None;
    }

    fn through(&mut self, act: impl FnOnce(&mut Filter<'m>, &mut dyn FnMut(&[u8]))) {
        let Self { sink, filter, backlog, failure, .. } = self;
        let before = filter.masked();
        let mut broken = false;
        act(filter, &mut |bytes| {
            let Some(sink) = sink.as_ref().filter(|_| !broken) else { return };
            let mut rest = bytes;
            if backlog.is_empty() {
                match sink.write(bytes) {
                    Ok(taken) => rest = bytes.get(taken..).unwrap_or_default(),
                    Err(error) => {
                        broken = true;
                        *failure = not_a_reader_gone(error);
                        return;
                    }
                }
            }
            backlog.extend_from_slice(rest);
        });
        if let Some(counter) = self.counter {
            counter.set(counter.get() + self.filter.masked() - before);
        }
        if broken {
            self.break_off();
        }
    }

    fn write_backlog(&mut self) -> bool {
        let Some(sink) = &self.sink else { return false };
        match sink.write(&self.backlog) {
            Ok(0) => false,
            Ok(taken) => {
                self.backlog.drain(..taken);
                if self.backlog.is_empty() && self.source.is_none() {
                    self.let_go();
                }
                true
            }
            Err(error) => {
                self.failure = not_a_reader_gone(error);
                self.break_off();
                true
            }
        }
    }

    /// No one takes more: the child learns it as it would from the caller's own end, by SIGPIPE or EPIPE.
    fn break_off(&mut self) {
        self.source = None;
        self.backlog = Vec::new();
        self.let_go();
    }
}

fn not_a_reader_gone(error: Errno) -> Option<io::Error> {
    // EIO is a terminal that was hung up.
    (![Errno::PIPE, Errno::IO].contains(&error)).then(|| error.into())
}

/// The caller's end.
pub(crate) enum Sink {
    /// Opened once more, and never waits.
    Own(OwnedFd),
    /// The caller's own descriptor: written to only when it is ready, and no more than it takes then.
    Shared(OwnedFd),
    /// A file, which never waits, and whose place is shared with whoever else writes to it.
    File(OwnedFd),
}

impl Sink {
    /// The way to one of the caller's streams.
    pub(crate) fn to(stream: BorrowedFd<'_>) -> io::Result<Self> {
        let kind = FileType::from_raw_mode(fstat(stream)?.st_mode);
        if kind == FileType::RegularFile {
            return Ok(Self::File(stream.try_clone_to_owned()?));
        }
        // A socket cannot be opened again, and a device may do something when it is.
        if (kind == FileType::Fifo || rustix::termios::isatty(stream))
            && let Ok(own) = pty::reopen(stream, OFlags::WRONLY | OFlags::NOCTTY)
        {
            return Ok(Self::Own(own));
        }
        Ok(Self::Shared(stream.try_clone_to_owned()?))
    }

    /// Writes what is taken at once; zero where nothing is.
    fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        // A pipe that is ready takes this much whole, and less than a socket or a terminal that is ready has room for.
        const CAREFUL: usize = 4096;
        let written = match self {
            Self::Own(fd) | Self::File(fd) => rustix::io::write(fd, bytes),
            Self::Shared(fd) if is_ready(fd.as_fd(), PollFlags::OUT) => {
                rustix::io::write(fd, bytes.get(..CAREFUL).unwrap_or(bytes))
            }
            Self::Shared(_) => Ok(0),
        };
        match written {
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            other => other,
        }
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Own(fd) | Self::Shared(fd) | Self::File(fd) => fd.as_fd(),
        }
    }
}

/// Returns `true` if this would not wait.
pub(crate) fn is_ready(fd: BorrowedFd<'_>, flags: PollFlags) -> bool {
    let mut wanted = [rustix::event::PollFd::from_borrowed_fd(fd, flags)];
    let now = rustix::event::Timespec::default();
    rustix::event::poll(&mut wanted, Some(&now)).is_ok_and(|ready| ready > 0)
}
