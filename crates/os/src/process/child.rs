//! A child that finds the world as our caller left it for us.
//!
//! fork(2) and execve(2) by hand, because the standard library's `Command` copies the environment, secrets included,
//! empties the signal mask and resets SIGPIPE. Between the two only system calls are made: no allocation, no lock. What
//! the kernel says to execve(2) comes back through a pipe that a success closes.
//!
//! The child stays in our process group and session. It gets the mask, the dispositions, the limits and the descriptors
//! that we were given, with `streams` in the place of 0–2 where some are named, the values that it is to find on descriptors, and nothing of ours.
#![allow(unsafe_code, reason = "fork, and what may be done between it and execve")]

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;

use super::exec::Image;
use super::signal_group::GroupProbe;
use super::signals::{self, Caught};
use crate::fs::memory_folder;

/// The child's descriptors 0–2; `None` keeps the one that this process has there.
pub type Streams<'a> = [Option<BorrowedFd<'a>>; 3];

#[derive(Debug)]
pub struct Started {
    pub process: Pid,
    /// Tells signals to the group from those to us.
    pub probe: GroupProbe,
    /// Signals that came before there was a child: they are its, whoever else got them.
    pub early: Vec<c_int>,
}

/// Starts the program. Once it answers, the child runs the program, or there is no child and never was a program.
pub fn start(image: &Image<'_>, streams: Streams<'_>, caught: &Caught) -> io::Result<Started> {
    let (failure, report) = pipe_with(PipeFlags::CLOEXEC)?;
    let (early, forked) = signals::held(|| {
        let probe = GroupProbe::place();
        // SAFETY: the new process only makes system calls until it becomes the program or ends.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => unsafe { become_program(image, streams, caught, &report) },
            process => Pid::from_raw(process).map(|process| (process, probe)).ok_or_else(no_child),
        }
    });
    let (process, probe) = forked?;
    drop(report);
    match read_number(&failure)? {
        None => Ok(Started { process, probe, early }),
        Some(errno) => {
            let _ = rustix::process::waitpid(Some(process), rustix::process::WaitOptions::empty());
            Err(io::Error::from_raw_os_error(errno))
        }
    }
}

pub(crate) fn no_child() -> io::Error {
    io::Error::from_raw_os_error(libc::EAGAIN)
}

/// The number in a pipe, or nothing if it was closed without one.
pub(crate) fn read_number(pipe: &OwnedFd) -> io::Result<Option<c_int>> {
    let mut bytes = [0_u8; size_of::<c_int>()];
    loop {
        match rustix::io::read(pipe, &mut bytes) {
            Ok(got) if got == bytes.len() => return Ok(Some(c_int::from_ne_bytes(bytes))),
            Ok(_) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The way from fork(2) to the program.
///
/// # Safety
/// Only in a process that was just forked, with all signals held back.
pub(crate) unsafe fn become_program(
    image: &Image<'_>,
    streams: Streams<'_>,
    caught: &Caught,
    report: &OwnedFd,
) -> ! {
    // SAFETY: system calls on descriptors that are open, and a buffer that is as long as said.
    unsafe {
        caught.as_given();
        for (target, stream) in (0..).zip(streams) {
            // 0–2 are never free, not even where the caller closed them; so ours have other numbers, and the copy is
            // not close-on-exec.
            let copied = stream.map_or(0, |stream| libc::dup2(stream.as_raw_fd(), target));
            if copied < 0 {
                fail(report);
            }
        }
        let error = image.enter();
        fail_with(report, &error)
    }
}

/// # Safety
/// As [`become_program`].
pub(crate) unsafe fn fail(report: &OwnedFd) -> ! {
    // SAFETY: the caller's promise.
    unsafe { fail_with(report, &io::Error::last_os_error()) }
}

/// # Safety
/// As [`become_program`].
unsafe fn fail_with(report: &OwnedFd, error: &io::Error) -> ! {
    let errno = error.raw_os_error().unwrap_or(0).to_ne_bytes();
    // SAFETY: the buffer is as long as said.
    unsafe {
        libc::write(report.as_raw_fd(), errno.as_ptr().cast(), errno.len());
        libc::_exit(127)
    }
}

/// Ends this process when its maker ends, whatever ends that; at once, if it ended before it could be asked for.
///
/// # Safety
/// Only in a process that was just forked off by `maker`.
#[cfg(target_os = "linux")]
pub(crate) unsafe fn end_with(maker: libc::pid_t) {
    // SAFETY: plain numbers.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if libc::getppid() != maker {
            libc::_exit(0);
        }
    }
}

/// Closes this descriptor and all above, with a system call only.
///
/// # Safety
/// Only in a process that was just forked: no value of ours that owns one is used afterwards.
pub(crate) unsafe fn close_from(first: c_int) {
    // SAFETY: the caller's promise; the kernel fills the limit.
    unsafe {
        #[cfg(target_os = "linux")]
        if libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) == 0 {
            return;
        }
        let mut limit = std::mem::MaybeUninit::<libc::rlimit>::zeroed().assume_init();
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        let end = c_int::try_from(limit.rlim_cur).unwrap_or(c_int::MAX).min(65_536);
        for fd in first..end {
            libc::close(fd);
        }
    }
}

/// Goes on as a process of its own, which nobody waits for, while the caller's process ends. `true` in the new one: it
/// has the caller's mask and dispositions, and must end with [`end`]. It is this process over again, memory included: it
/// goes on masking, and needs for that what it masks.
#[must_use]
pub fn stay_behind(caught: &Caught) -> bool {
    let (_, forked) = signals::held(|| {
        // SAFETY: there is one thread, so the new process may do all that this one may.
        unsafe { libc::fork() }
    });
    if forked == 0 {
        caught.put_back();
        memory_folder::close_lock();
    }
    forked == 0
}

/// Ends a process that stayed behind, without what its copies of our values would undo on their way.
pub fn end() -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(0) }
}

/// Closes every descriptor above 2 that the caller passed: the child has it, and a reader at its other end that waits for
/// all of them to be closed must not wait for us. Descriptors that we opened are close-on-exec and stay.
#[cfg(target_os = "linux")]
pub fn close_inherited_fds() {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<c_int>().ok());
    for fd in numbers.filter(|fd| *fd > 2).collect::<Vec<_>>() {
        // SAFETY: asks for a flag, and closes a descriptor that no value of ours owns: ours all carry the flag.
        unsafe {
            let flags = libc::fcntl(fd, libc::F_GETFD);
            if flags >= 0 && flags & libc::FD_CLOEXEC == 0 {
                libc::close(fd);
            }
        }
    }
}

/// This system lists no descriptors, so the inherited ones stay open.
#[cfg(not(target_os = "linux"))]
pub fn close_inherited_fds() {}

/// Replaces one of the caller's streams by the null device, so that its number is not given to another file.
pub fn close_stream(number: c_int) {
    if let Ok(null) = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null") {
        // SAFETY: both descriptors are open, and no value of ours owns the number.
        unsafe { libc::dup2(null.as_raw_fd(), number) };
    }
}
