//! A terminal between a program and the caller's own, so that what the program writes can be looked at on its way.
//!
//! [`Pty`] is the new one: a copy of the caller's in modes and size, the program's controlling terminal. [`Outer`] is
//! the caller's own, raw while the program is in front: what is typed goes through unchanged, and the new terminal's
//! driver makes signals, echo and lines of it by the modes that the program sets there. Its modes are put back whenever
//! we stop or end. In the background it is neither changed nor read, as the kernel would stop us for it.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::Pid;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr,
    tcsetwinsize,
};

#[derive(Debug)]
pub struct Pty {
    /// Our end. Never waits.
    pub master: OwnedFd,
    pub slave: OwnedFd,
}

impl Pty {
    /// One with the modes and the size of another.
    pub fn like(other: BorrowedFd<'_>) -> io::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let slave: OwnedFd = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlags::NOCTTY.bits().cast_signed())
            .open(std::ffi::OsStr::from_bytes(name.to_bytes()))?
            .into();
        tcsetattr(&slave, OptionalActions::Now, &tcgetattr(other)?)?;
        tcsetwinsize(&slave, tcgetwinsize(other)?)?;
        rustix::io::ioctl_fionbio(&master, true)?;
        Ok(Self { master, slave })
    }
}

/// Gives a terminal the size of another, which tells its programs if that changes it.
pub fn resize(master: BorrowedFd<'_>, like: BorrowedFd<'_>) {
    if let Ok(size) = tcgetwinsize(like) {
        let _ = tcsetwinsize(master, size);
    }
}

/// Which signals the typed bytes make on the terminal behind `master`, if `process` leads the group in front there.
/// `literal` is kept from one call to the next: whether the last byte was Ctrl-V, which makes the next one a plain one.
#[must_use]
pub fn typed_signals(master: BorrowedFd<'_>, process: Pid, typed: &[u8], literal: &mut bool) -> Vec<i32> {
    let Ok(modes) = tcgetattr(master) else { return Vec::new() };
    let quotes = modes.local_modes.contains(LocalModes::ICANON | LocalModes::IEXTEN);
    let quote = modes.special_codes[SpecialCodeIndex::VLNEXT];
    let mut is_plain = |byte: u8| {
        let plain = std::mem::take(literal);
        *literal = quotes && !plain && byte != 0 && byte == quote;
        plain
    };
    let typed: Vec<_> = typed.iter().filter(|byte| !is_plain(**byte)).collect();
    if !modes.local_modes.contains(LocalModes::ISIG) || tcgetpgrp(master) != Ok(process) {
        return Vec::new();
    }
    let [interrupt, quit] =
        [SpecialCodeIndex::VINTR, SpecialCodeIndex::VQUIT].map(|code| modes.special_codes[code]);
    let made = |byte: &u8| match *byte {
        // Zero turns a key off.
        0 => None,
        byte if byte == interrupt => Some(libc::SIGINT),
        byte if byte == quit => Some(libc::SIGQUIT),
        _ => None,
    };
    typed.into_iter().filter_map(made).collect()
}

#[derive(Debug)]
pub struct Outer {
    terminal: OwnedFd,
    original: Option<Termios>,
}

impl Outer {
    /// The terminal that a descriptor is open on.
    pub fn of(stream: BorrowedFd<'_>) -> io::Result<Self> {
        let terminal = match reopen(stream, OFlags::RDWR | OFlags::NOCTTY) {
            Ok(own) => own,
            // Another user's terminal, after su(1): the descriptor itself is all there is.
            Err(_) => stream.try_clone_to_owned()?,
        };
        Ok(Self { terminal, original: None })
    }

    /// Returns `true` if what is typed there is typed for us.
    #[must_use]
    pub(crate) fn is_in_front(&self) -> bool {
        is_in_front(self.terminal.as_fd())
    }

    /// Makes it raw if we are in front; whether it is raw then.
    pub fn enter(&mut self) -> bool {
        if self.original.is_none()
            && self.is_in_front()
            && let Ok(original) = tcgetattr(&self.terminal)
        {
            let mut raw = original.clone();
            raw.make_raw();
            if set(&self.terminal, &raw) {
                self.original = Some(original);
            }
        }
        self.original.is_some()
    }

    #[must_use]
    pub fn is_raw(&self) -> bool {
        self.original.is_some()
    }

    pub fn leave(&mut self) {
        if let Some(original) = self.original.take() {
            // Sent to the background we would be stopped for it, and the modes in force are another's.
            if self.is_in_front() {
                set(&self.terminal, &original);
            }
        }
    }
}

impl AsFd for Outer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.terminal.as_fd()
    }
}

impl Drop for Outer {
    fn drop(&mut self) {
        self.leave();
    }
}

/// At once: what was written before has passed the driver's output modes already.
fn set(terminal: &OwnedFd, modes: &Termios) -> bool {
    // From the background every attempt is interrupted, by the signal that would have stopped us.
    for _ in 0..8 {
        match tcsetattr(terminal, OptionalActions::Now, modes) {
            Ok(()) => return true,
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    false
}

/// Returns `true` if our own group is the one in front. The numbers are the kernel's: in a namespace of processes that
/// the group came into from outside, both are zero.
#[allow(unsafe_code, reason = "two system calls whose answers may be zero, which rustix does not expect")]
pub(crate) fn is_in_front(terminal: BorrowedFd<'_>) -> bool {
    // SAFETY: asks for two numbers.
    unsafe {
        let front = libc::tcgetpgrp(terminal.as_raw_fd());
        front >= 0 && front == libc::getpgrp()
    }
}

/// Opens what a descriptor is open on once more, so that it can be made not to wait without a change for those who
/// share the first one.
pub fn reopen(stream: BorrowedFd<'_>, flags: OFlags) -> io::Result<OwnedFd> {
    let folder = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };
    let path = format!("{folder}/{}", stream.as_raw_fd());
    let flags = flags | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, rustix::fs::Mode::empty())?)
}
