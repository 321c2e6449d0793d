//! Prompts on the caller's terminal: `/dev/tty`, so that standard input stays the data it may be.
//!
//! While a prompt waits, the terminal neither echoes nor edits. It must not be left so: not by an error, not by a
//! signal. Signals that would end or stop the process are therefore caught for as long as the prompt lasts
//! ([`Interrupts`]), and the loop waits for them and for the terminal together, so there is no moment at which a signal is overlooked, in whichever thread it arrives, and the signal mask need not
//! be touched. Then the terminal and the dispositions are put back, and the signal has its way:
//!
//! - INT (Ctrl-C) is reported, for the caller to end with 130. It is heeded even where it came ignored: whoever types
//!   it at a prompt means it.
//! - TERM, HUP and QUIT are raised again and end the process as if there had been no prompt. Ignored, they stay so.
//! - TSTP (Ctrl-Z) stops the process for real. Continued, also after a STOP that cannot be caught, it hides the
//!   typing again and asks again, from an empty line.
//!
//! In the background the kernel stops the process (SIGTTOU) as it touches the terminal, as with any program, and it
//! asks when it is brought to the front. Where it cannot be stopped, in an orphaned group, there is no terminal for it.
//!
//! Input from before the question, and from after the end of the answer, is thrown away: the rest of a secret that was
//! pasted must not become the next command of the shell. A terminal is asked to mark a text that is pasted at a hidden
//! prompt (bracketed paste); where it does not, what follows the first line is waited for, thrown away, and the answer is
//! refused, as it was not all of it.
#![allow(unsafe_code, reason = "raise and select")]

use std::ffi::c_int;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush, tcgetattr,
    tcsetattr,
};
use zeroize::Zeroizing;

use super::line::{Echo, Line, Lines, Step, Unfit};
use crate::process::interrupt::Interrupts;
use keyvault_core::secret::SecretBytes;
use keyvault_core::text::reason;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// The process has no terminal, or may not use it.
    #[error("There is no terminal to prompt on.")]
    NoTerminal,
    /// Ctrl-C; or another signal that ends processes, where a handler of the caller's let it go on.
    #[error("Interrupted.")]
    Interrupted,
    /// Ctrl-D on an empty line, or the terminal went away.
    #[error("No answer given.")]
    Eof,
    /// More lines were typed or pasted than are taken. What followed the first is gone.
    #[error("More than one line was entered.")]
    Lines,
    /// A control character was typed or pasted that is no key of the prompt's.
    #[error("A control character was entered.")]
    Control,
    /// More was typed than is allowed.
    #[error("The answer is longer than {limit} bytes.")]
    TooLong {
        /// The most that was allowed, in bytes.
        limit: usize,
    },
    #[error("The terminal failed: {}.", reason(.0))]
    Io(#[from] io::Error),
}

/// Returns `true` if there is a terminal to ask at.
#[must_use]
pub fn has_terminal() -> bool {
    open_output().is_ok()
}

/// Returns `true` if the command is told not to ask: it reads /dev/null and does not write to a terminal, as in a script
/// or a job in the background. With any other input, `keyvault export > file` among them, it may ask.
#[must_use]
pub fn input_is_ruled_out() -> bool {
    !io::stdout().is_terminal() && is_null(io::stdin())
}

/// Returns `true` if a stream is /dev/null.
fn is_null(stream: impl AsFd) -> bool {
    let (Ok(stream), Ok(null)) = (rustix::fs::fstat(stream), rustix::fs::stat("/dev/null")) else {
        return false;
    };
    (stream.st_mode, stream.st_rdev) == (null.st_mode, null.st_rdev)
}

/// Asks for a secret of one line, which does not appear while it is typed: at most `limit` bytes.
pub fn read_secret(prompt: &str, limit: usize) -> Result<SecretBytes, PromptError> {
    ask(prompt, limit, Echo::Hidden, Lines::One)
}

/// [`read_secret`], of several lines if they are pasted. Of several the last has a line end, as in a file; one has none.
pub fn read_secret_lines(prompt: &str, limit: usize) -> Result<SecretBytes, PromptError> {
    ask(prompt, limit, Echo::Hidden, Lines::Several)
}

/// From here on no terminal is asked to mark pasted text: for one that would show the request.
pub fn never_mark_pastes() {
    MARKS_PASTES.store(false, Relaxed);
}

static MARKS_PASTES: AtomicBool = AtomicBool::new(true);

/// Turn bracketed paste on and off.
const MARK_PASTES: &[u8] = b"\x1b[?2004h";
const NO_MARKS: &[u8] = b"\x1b[?2004l";

/// Asks for a line that may be seen while it is typed, such as a part of a recovery code: at most `limit` bytes.
pub fn read_line(prompt: &str, limit: usize) -> Result<SecretBytes, PromptError> {
    ask(prompt, limit, Echo::Shown, Lines::One)
}

/// Shows a line on the terminal, wherever standard output and error lead. Bytes, so that a secret can be shown
/// without becoming a `String`.
pub fn write_line(text: &[u8]) -> Result<(), PromptError> {
    let mut output = open_output()?;
    output.write_all(text)?;
    output.write_all(b"\n")?;
    Ok(())
}

fn ask(prompt: &str, limit: usize, echo: Echo, lines: Lines) -> Result<SecretBytes, PromptError> {
    // Dispositions and terminal modes are the whole process's: one prompt at a time.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut output = open_output()?;
    // Two descriptions of one terminal: reading must never wait, since only the loop may; writing may.
    let input = open(OpenOptions::new().read(true), OFlags::NONBLOCK)?;
    loop {
        let session = Session::begin(&input)?;
        let marks = echo == Echo::Hidden && MARKS_PASTES.load(Relaxed);
        if marks {
            output.write_all(MARK_PASTES)?;
        }
        let outcome = session.answer(prompt, Line::new(limit, echo, lines), &mut output);
        if marks {
            let _ = output.write_all(NO_MARKS);
        }
        // Nothing that was typed moved the cursor to the next line. A terminal that is gone needs none.
        let _ = output.write_all(b"\n");
        drop(session);
        match outcome? {
            Answer::Line(line) => {
                return line.finish().map_err(|unfit| match unfit {
                    Unfit::TooLong => PromptError::TooLong { limit },
                    Unfit::Lines => PromptError::Lines,
                    Unfit::Control => PromptError::Control,
                });
            }
            Answer::Signal(libc::SIGINT) => return Err(PromptError::Interrupted),
            Answer::Signal(libc::SIGCONT) => {}
            Answer::Signal(signal) => {
                // SAFETY: sends a signal to this thread; its handler, if any, is as it was before the prompt.
                unsafe { libc::raise(signal) };
                if signal != libc::SIGTSTP {
                    return Err(PromptError::Interrupted);
                }
            }
        }
    }
}

fn open(options: &OpenOptions, flags: OFlags) -> Result<File, PromptError> {
    let flags = (flags | OFlags::NOCTTY).bits().cast_signed();
    options.clone().custom_flags(flags).open("/dev/tty").map_err(|_| PromptError::NoTerminal)
}

fn open_output() -> Result<File, PromptError> {
    open(OpenOptions::new().write(true), OFlags::empty())
}

const UNLESS_IGNORED: [c_int; 5] = [libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGTSTP, libc::SIGCONT];

enum Answer {
    Line(Line),
    Signal(c_int),
}

/// A terminal that hides what is typed, and signals that are caught. Both end with it, the terminal first.
struct Session<'a> {
    terminal: Hidden<'a>,
    signals: Interrupts,
}

impl<'a> Session<'a> {
    fn begin(input: &'a File) -> Result<Self, PromptError> {
        // In the background this stops us until we are in front; only then are the terminal's modes ours to save.
        retry(|| tcflush(input, QueueSelector::IFlush))?;
        let original = retry(|| tcgetattr(input))?;
        // Signals first: from here on none may end us before the terminal is put back.
        let signals = Interrupts::catch(&[libc::SIGINT], &UNLESS_IGNORED)?;
        let terminal = Hidden { input, original };
        terminal.hide()?;
        Ok(Self { terminal, signals })
    }

    fn answer(&self, prompt: &str, mut line: Line, output: &mut File) -> Result<Answer, PromptError> {
        output.write_all(prompt.as_bytes())?;
        let mut piece = Zeroizing::new([0_u8; 256]);
        loop {
            let limit = line.awaits_rest_of_key().then_some(REST_OF_KEY);
            let got = match self.read(&mut piece, limit)? {
                Input::Signal(signal) => return Ok(Answer::Signal(signal)),
                Input::Silence => {
                    line.escape_was_a_key();
                    continue;
                }
                Input::Gone => return Err(PromptError::Eof),
                Input::Bytes(got) => got,
            };
            let mut bytes = piece.get(..got).unwrap_or_default().iter();
            while let Some(byte) = bytes.next() {
                match line.key(*byte, output)? {
                    Step::More => {}
                    Step::Done => {
                        let more = is_visible(bytes.as_slice());
                        return self.discard_rest(line, more);
                    }
                    Step::Eof => return Err(PromptError::Eof),
                }
            }
        }
    }

    /// Takes in and forgets what follows the end of the answer, until nothing more comes. Where there is something to see
    /// in it, the answer was only the first line of what was pasted.
    fn discard_rest(&self, mut line: Line, mut more: bool) -> Result<Answer, PromptError> {
        let mut piece = Zeroizing::new([0_u8; 256]);
        let begin = Instant::now();
        while begin.elapsed() < LONGEST_REST {
            match self.read(&mut piece, Some(SILENCE))? {
                Input::Signal(signal) => return Ok(Answer::Signal(signal)),
                Input::Silence | Input::Gone => break,
                Input::Bytes(got) => more |= is_visible(piece.get(..got).unwrap_or_default()),
            }
        }
        if more {
            line.refuse_more();
        }
        Ok(Answer::Line(line))
    }

    /// The next input, within the limit if there is one.
    fn read(&self, piece: &mut Zeroizing<[u8; 256]>, limit: Option<Duration>) -> Result<Input, PromptError> {
        let mut input = self.terminal.input;
        loop {
            if !wait_for([self.signals.as_fd().as_raw_fd(), input.as_raw_fd()], limit)? {
                return Ok(Input::Silence);
            }
            // A signal comes before what was typed.
            if let Some(signal) = self.signals.next()? {
                return Ok(Input::Signal(signal));
            }
            return match input.read(piece.as_mut_slice()) {
                Ok(0) => Ok(Input::Gone),
                Ok(got) => Ok(Input::Bytes(got)),
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) =>
                {
                    continue;
                }
                Err(error) if error.raw_os_error() == Some(libc::EIO) => Ok(Input::Gone),
                Err(error) => Err(error.into()),
            };
        }
    }
}

/// How long the rest of a key takes that begins with ESC. What a person types after the key Esc comes later.
const REST_OF_KEY: Duration = Duration::from_millis(50);

/// After so long without input a pasted text is at its end. Over a network its lines come a round trip apart.
const SILENCE: Duration = Duration::from_millis(150);

/// How long the rest of a text is taken in at most.
const LONGEST_REST: Duration = Duration::from_secs(10);

enum Input {
    Bytes(usize),
    Signal(c_int),
    /// Nothing came within the limit.
    Silence,
    /// The terminal went away.
    Gone,
}

/// Returns `true` if there is more in the input than line ends and blanks.
fn is_visible(input: &[u8]) -> bool {
    !input.iter().all(u8::is_ascii_whitespace)
}

/// The terminal's modes, put back on drop.
struct Hidden<'a> {
    input: &'a File,
    original: Termios,
}

impl Hidden<'_> {
    fn hide(&self) -> Result<(), PromptError> {
        let mut modes = self.original.clone();
        modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ECHONL);
        modes.local_modes.insert(LocalModes::ISIG);
        // Line ends as they are sent: of CR LF, turned into two line ends, nobody could say that it was one.
        modes
            .input_modes
            .remove(InputModes::ICRNL | InputModes::INLCR | InputModes::IGNCR | InputModes::ISTRIP);
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        retry(|| tcsetattr(self.input, OptionalActions::Flush, &modes))
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        // Sent to the background, we are no longer the ones whose modes are in force, and would be stopped for trying.
        if super::pty::is_in_front(self.input.as_fd()) {
            let _ = retry(|| tcsetattr(self.input, OptionalActions::Flush, &self.original));
        }
    }
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> Result<T, PromptError> {
    loop {
        match call() {
            Ok(value) => return Ok(value),
            Err(Errno::INTR) => {}
            // In the background where nothing could bring us to the front again, or hung up.
            Err(Errno::IO | Errno::NOTTY | Errno::NXIO) => return Err(PromptError::NoTerminal),
            Err(error) => return Err(PromptError::Io(error.into())),
        }
    }
}

/// Waits until one of two descriptors can be read, or the limit is over; whether one can. `select`, because macOS does not
/// `poll` terminals.
fn wait_for(fds: [c_int; 2], within: Option<Duration>) -> io::Result<bool> {
    let limit = c_int::try_from(libc::FD_SETSIZE).unwrap_or(c_int::MAX);
    let highest = fds[0].max(fds[1]);
    if highest >= limit {
        return Err(io::Error::from_raw_os_error(libc::EMFILE));
    }
    loop {
        // SAFETY: a set is plain bits, for which zero is valid; each descriptor put in or asked for is below its size. The
        // time outlives the call.
        unsafe {
            let mut set = MaybeUninit::<libc::fd_set>::zeroed().assume_init();
            for fd in fds {
                libc::FD_SET(fd, &raw mut set);
            }
            let none = ptr::null_mut();
            let mut time = within.map(|within| libc::timeval {
                tv_sec: within.as_secs().try_into().unwrap_or(libc::time_t::MAX),
                tv_usec: within.subsec_micros().into(),
            });
            let time = time.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
            match libc::select(highest + 1, &raw mut set, none, none, time) {
                0 => return Ok(false),
                1.. => return Ok(true),
                _ => {}
            }
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests;
