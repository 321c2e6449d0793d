//! Questions on the caller's terminal, `/dev/tty`, so that piped input stays data.
//!
//! The terminal is put into a mode without echo and without the kernel's line editing (which would cut a line at 4096
//! bytes), and put back on every way out: an answer, Ctrl-C, a signal, a stop and continue. Keys are read one byte at a
//! time into a buffer that is wiped.

#![allow(unsafe_code, reason = "signal handlers")]

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

use crate::secret::{SecretBytes, SecretWriter};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// No terminal to ask on.
    #[error("no terminal")]
    NoTerminal,
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// The terminal hung up, or Ctrl-D on an empty line.
    #[error("end of input")]
    Eof,
    /// The answer is longer than `limit` bytes.
    #[error("more than {limit} bytes")]
    TooLong {
        /// The most that was allowed.
        limit: usize,
    },
    /// The terminal failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Whether there is a terminal to ask on.
#[must_use]
pub fn has_terminal() -> bool {
    open().is_ok()
}

/// Asks for a secret; nothing of the answer is shown.
pub fn read_secret(prompt: &str, limit: usize) -> Result<SecretBytes, PromptError> {
    ask(prompt, limit, false)
}

/// Asks for a line; the answer is shown.
pub fn read_line(prompt: &str, limit: usize) -> Result<SecretBytes, PromptError> {
    ask(prompt, limit, true)
}

/// Shows a secret on the terminal and nowhere else.
pub fn show(bytes: &[u8]) -> Result<(), PromptError> {
    let mut terminal = open()?;
    terminal.write_all(bytes)?;
    Ok(())
}

fn open() -> Result<File, PromptError> {
    File::options().read(true).write(true).open("/dev/tty").map_err(|_| PromptError::NoTerminal)
}

fn ask(prompt: &str, limit: usize, echo: bool) -> Result<SecretBytes, PromptError> {
    let terminal = open()?;
    let handlers = Handlers::install();
    loop {
        let raw = RawMode::enter(&terminal)?;
        (&terminal).write_all(prompt.as_bytes())?;
        let answer = read_answer(&terminal, limit, echo);
        drop(raw);
        match answer {
            Ok(Some(answer)) => return Ok(answer),
            Err(error) => {
                (&terminal).write_all(b"\n")?;
                return Err(error);
            }
            // A signal: the terminal is as it was before, so act on it as if nobody had caught it.
            Ok(None) => {
                (&terminal).write_all(b"\n")?;
                let signal = PENDING.swap(0, Ordering::SeqCst);
                if signal == libc::SIGINT {
                    return Err(PromptError::Interrupted);
                }
                // A stop comes back here after SIGCONT and asks again; the others do not come back.
                handlers.deliver(signal);
            }
        }
    }
}

/// Reads keys until Enter; `None` if a signal came.
fn read_answer(terminal: &File, limit: usize, echo: bool) -> Result<Option<SecretBytes>, PromptError> {
    let mut answer = SecretWriter::with_capacity(limit);
    let mut too_long = false;
    let echoed = |bytes: &[u8]| if echo { (&*terminal).write_all(bytes) } else { Ok(()) };
    loop {
        let mut key = zeroize::Zeroizing::new([0_u8; 1]);
        match wait_for_key(terminal)? {
            Wait::Signal => return Ok(None),
            Wait::Ready => {}
        }
        match rustix::io::read(terminal, &mut *key) {
            Ok(0) | Err(rustix::io::Errno::IO) => return Err(PromptError::Eof),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => continue,
            Err(error) => return Err(io::Error::from(error).into()),
        }
        let [key] = *key;
        match key {
            b'\r' | b'\n' if too_long => return Err(PromptError::TooLong { limit }),
            b'\r' | b'\n' => {
                (&*terminal).write_all(b"\n")?;
                return Ok(Some(answer.finish()));
            }
            0x04 if answer.written().is_empty() => return Err(PromptError::Eof),
            0x04 => {}
            // Ctrl-U takes the whole line back, Backspace one character.
            0x15 => {
                while take_back(&mut answer) {
                    echoed(b"\x08 \x08")?;
                }
                too_long = false;
            }
            0x7F | 0x08 => {
                if take_back(&mut answer) {
                    echoed(b"\x08 \x08")?;
                }
            }
            _ => {
                too_long |= answer.push(&[key]).is_err();
                echoed(&[key])?;
            }
        }
    }
}

/// Takes one character back: a byte, and the bytes before it as long as it continues them in UTF-8.
fn take_back(answer: &mut SecretWriter) -> bool {
    let mut taken = false;
    while let Some(byte) = answer.pop() {
        taken = true;
        if byte & 0xC0 != 0x80 {
            break;
        }
    }
    taken
}

enum Wait {
    Ready,
    Signal,
}

/// Waits for a key or a signal. The signals are blocked but within ppoll, so that none slips in between looking for
/// one and going to sleep.
fn wait_for_key(terminal: &File) -> Result<Wait, PromptError> {
    loop {
        let before = block_caught();
        let polled = if PENDING.load(Ordering::SeqCst) == 0 { poll_with(terminal, &before) } else { Ok(0) };
        unblock(&before);
        if PENDING.load(Ordering::SeqCst) != 0 {
            return Ok(Wait::Signal);
        }
        match polled {
            Ok(0) => {}
            Ok(_) => return Ok(Wait::Ready),
            // Another signal than those caught here: look again.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn block_caught() -> libc::sigset_t {
    // SAFETY: the sets are initialised by sigemptyset and sigprocmask before they are read.
    unsafe {
        let mut caught: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut caught);
        for signal in CAUGHT {
            libc::sigaddset(&raw mut caught, signal);
        }
        libc::sigprocmask(libc::SIG_BLOCK, &raw const caught, &raw mut before);
        before
    }
}

fn unblock(before: &libc::sigset_t) {
    // SAFETY: the set came from sigprocmask.
    unsafe {
        libc::sigprocmask(libc::SIG_SETMASK, before, std::ptr::null_mut());
    }
}

fn poll_with(terminal: &File, mask: &libc::sigset_t) -> io::Result<i32> {
    let mut poll = libc::pollfd { fd: terminal.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one live pollfd, no timeout, a live mask.
    let ready = unsafe { libc::ppoll(&raw mut poll, 1, std::ptr::null(), mask) };
    if ready < 0 { Err(io::Error::last_os_error()) } else { Ok(ready) }
}

// ── Signals ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const CAUGHT: [libc::c_int; 5] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGTSTP];

static PENDING: AtomicI32 = AtomicI32::new(0);

extern "C" fn remember(signal: libc::c_int) {
    PENDING.store(signal, Ordering::SeqCst);
}

/// Our handlers, and what was there before.
struct Handlers {
    before: Vec<(libc::c_int, libc::sigaction)>,
}

impl Handlers {
    fn install() -> Self {
        PENDING.store(0, Ordering::SeqCst);
        let caught = CAUGHT.iter().filter_map(|signal| {
            let handler: extern "C" fn(libc::c_int) = remember;
            let before = set_action(*signal, handler as libc::sighandler_t)?;
            // What the caller ignores stays ignored.
            if before.sa_sigaction == libc::SIG_IGN {
                put_back(*signal, &before);
                return None;
            }
            Some((*signal, before))
        });
        Self { before: caught.collect() }
    }

    /// Sends this process a signal under the disposition that it had before, and takes the handler up again if the
    /// process lives on.
    fn deliver(&self, signal: libc::c_int) {
        for (_, before) in self.before.iter().filter(|(caught, _)| *caught == signal) {
            put_back(signal, before);
            // SAFETY: raise takes a signal number.
            unsafe {
                libc::raise(signal);
            }
            let handler: extern "C" fn(libc::c_int) = remember;
            set_action(signal, handler as libc::sighandler_t);
        }
    }
}

impl Drop for Handlers {
    fn drop(&mut self) {
        self.before.iter().for_each(|(signal, before)| put_back(*signal, before));
    }
}

/// Without SA_RESTART, so that waiting ends. Returns what was set before.
fn set_action(signal: libc::c_int, handler: libc::sighandler_t) -> Option<libc::sigaction> {
    // SAFETY: the structures are live; the handler only stores to an atomic.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let mut before: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        libc::sigemptyset(&raw mut action.sa_mask);
        (libc::sigaction(signal, &raw const action, &raw mut before) == 0).then_some(before)
    }
}

fn put_back(signal: libc::c_int, before: &libc::sigaction) {
    // SAFETY: the structure came from sigaction.
    unsafe {
        libc::sigaction(signal, before, std::ptr::null_mut());
    }
}

// ── Terminal mode ────────────────────────────────────────────────────────────────────────────────────────────────────

/// No echo, no line editing by the kernel; signals from keys stay. Put back on drop.
struct RawMode<'t> {
    terminal: &'t File,
    before: Termios,
}

impl<'t> RawMode<'t> {
    fn enter(terminal: &'t File) -> Result<Self, PromptError> {
        let before = tcgetattr(terminal).map_err(io::Error::from)?;
        let mut raw = before.clone();
        raw.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ECHONL);
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(terminal, OptionalActions::Drain, &raw).map_err(io::Error::from)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for RawMode<'_> {
    fn drop(&mut self) {
        // What was typed ahead and not read belongs to nobody else.
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}
