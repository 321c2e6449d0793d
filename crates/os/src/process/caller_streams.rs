//! The caller's standard input and output while a child runs that may be started again.
//!
//! The child has them, and a later one needs them too; but as long as we hold a pipe, whoever is at its other end does
//! not learn that the child has closed it. So a pipe is let go of and only its place is remembered (`O_PATH`, which
//! counts neither as a reader nor as a writer), and it is reopened before the child is asked to end, so that there is
//! never nobody. What is no pipe is kept: its other end, if there is one, waits for nothing.
#![allow(unsafe_code, reason = "descriptors by their number")]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl, fstat};
use rustix::pipe::{PipeFlags, pipe_with};

use super::{child, startup};
use crate::terminal::pty;

/// The pipes on standard input and output that were closed here, with what it takes to reopen them.
#[derive(Debug, Default)]
pub struct ReleasedPipes([Option<(OwnedFd, OFlags)>; 2]);

impl ReleasedPipes {
    /// Lets go of what can be had again.
    #[must_use]
    pub fn release() -> Self {
        Self([release(0), release(1)])
    }

    /// Reopens everything. An output that nobody reads any more becomes one that nobody reads.
    pub fn reopen(&mut self) {
        for (number, pipe) in (0..).zip(&mut self.0) {
            let Some((place, flags)) = pipe.take() else { continue };
            let opened = pty::reopen(place.as_fd(), flags & OFlags::ACCMODE).ok();
            if let Some(stream) = opened.or_else(|| (number == 1).then(unread).flatten()) {
                let _ = fcntl_setfl(&stream, flags & OFlags::NONBLOCK);
                // SAFETY: the number is taken by the null device, which no value of ours owns.
                unsafe { libc::dup2(stream.as_raw_fd(), number) };
            }
        }
    }
}

fn release(number: RawFd) -> Option<(OwnedFd, OFlags)> {
    if startup::inherited().closed.get(usize::try_from(number).ok()?).is_none_or(|closed| *closed) {
        return None;
    }
    // SAFETY: 0 and 1 are never free, not even where the caller closed them.
    let stream = unsafe { BorrowedFd::borrow_raw(number) };
    if FileType::from_raw_mode(fstat(stream).ok()?.st_mode) != FileType::Fifo {
        return None;
    }
    let flags = fcntl_getfl(stream).ok()?;
    // Another user's pipe cannot be opened.
    pty::reopen(stream, flags & OFlags::ACCMODE).ok()?;
    let place = pty::reopen(stream, OFlags::PATH).ok()?;
    child::close_stream(number);
    Some((place, flags))
}

/// The end of a pipe for writing whose other end is closed.
fn unread() -> Option<OwnedFd> {
    pipe_with(PipeFlags::CLOEXEC).ok().map(|(_, end)| end)
}
