//! Signals that would end or stop the process before it has put something back: a terminal, a folder. Noted instead, for as
//! long as that takes.
//!
//! The handler writes the signal's number into a pipe, which can be waited for beside a terminal. A process that looks
//! after a child has a handler of its own ([`signals`](super::signals)): it catches all signals, also those that the
//! caller ignores or blocks, and needs to know who sent them.
#![allow(unsafe_code, reason = "signal handlers")]

use std::ffi::c_int;
use std::io::{self, PipeReader, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use rustix::pipe::{PipeFlags, pipe_with};

use super::signals::errno_location;

/// Made once and never closed, so that a handler that runs late in another thread does not write into a stranger's
/// descriptor.
static PIPE: OnceLock<(PipeReader, OwnedFd)> = OnceLock::new();
static WRITER: AtomicI32 = AtomicI32::new(-1);
/// True while an [`Interrupts`] lives.
static IS_LIVE: AtomicBool = AtomicBool::new(false);

/// Caught signals; their dispositions are put back on drop. One at a time: all of them share the pipe.
#[derive(Debug)]
pub struct Interrupts {
    reader: &'static PipeReader,
    previous: Vec<(c_int, libc::sigaction)>,
}

impl Interrupts {
    /// Begins to note. Of `unless_ignored`, what the caller ignores stays ignored.
    pub fn catch(always: &[c_int], unless_ignored: &[c_int]) -> io::Result<Self> {
        let reader = pipe()?;
        IS_LIVE.store(true, Ordering::Release);
        // Filled one by one, so that an error half-way puts back what was changed.
        let mut caught = Self { reader, previous: Vec::with_capacity(always.len() + unless_ignored.len()) };
        // A handler of an earlier one may have run late.
        while caught.next()?.is_some() {}
        for signal in always.iter().chain(unless_ignored).copied() {
            let mut previous = MaybeUninit::<libc::sigaction>::zeroed();
            // SAFETY: a null new action only asks; the kernel fills the old one, and zero is a valid value of it.
            let previous = unsafe {
                libc::sigaction(signal, ptr::null(), previous.as_mut_ptr());
                previous.assume_init()
            };
            if previous.sa_sigaction == libc::SIG_IGN && unless_ignored.contains(&signal) {
                continue;
            }
            // SAFETY: all-zero is a valid action: no flags, so without SA_RESTART, and an empty mask.
            let mut action = unsafe { MaybeUninit::<libc::sigaction>::zeroed().assume_init() };
            let handler: extern "C" fn(c_int) = note;
            action.sa_sigaction = handler as libc::sighandler_t;
            // SAFETY: `note` does only what a handler may, and is never unloaded.
            if unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) } != 0 {
                return Err(io::Error::last_os_error());
            }
            caught.previous.push((signal, previous));
        }
        Ok(caught)
    }

    /// The next signal, if one came.
    pub fn next(&self) -> io::Result<Option<c_int>> {
        let mut number = [0_u8];
        let mut reader = self.reader;
        match reader.read(&mut number) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(number[0].into())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.next(),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Interrupts {
    /// Readable when a signal came.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        IS_LIVE.store(false, Ordering::Release);
        for (signal, previous) in &self.previous {
            // SAFETY: `previous` is what the kernel gave for this signal.
            unsafe { libc::sigaction(*signal, previous, ptr::null_mut()) };
        }
    }
}

/// The pipe of the signals that are noted at present, if any are.
pub(super) fn noted() -> Option<BorrowedFd<'static>> {
    PIPE.get().filter(|_| IS_LIVE.load(Ordering::Acquire)).map(|(reader, _)| reader.as_fd())
}

fn pipe() -> io::Result<&'static PipeReader> {
    if let Some((reader, _)) = PIPE.get() {
        return Ok(reader);
    }
    // A handler must not wait; of more signals than a pipe holds, the last are lost.
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let (reader, writer) = PIPE.get_or_init(|| (reader.into(), writer));
    WRITER.store(writer.as_raw_fd(), Ordering::Release);
    Ok(reader)
}

extern "C" fn note(signal: c_int) {
    let number = signal.to_le_bytes();
    // SAFETY: `write` may be called in a handler; the buffer is as long as said, and the pipe is never closed. The
    // interrupted code finds its error number as it left it.
    unsafe {
        let errno = errno_location();
        let saved = *errno;
        libc::write(WRITER.load(Ordering::Acquire), number.as_ptr().cast(), 1);
        *errno = saved;
    }
}
