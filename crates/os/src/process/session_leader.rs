//! A child on a terminal of ours: a session of its own, and its leader.
//!
//! The program cannot lead the session itself. Its group would then have no member whose parent is in the same session,
//! and the kernel does not stop such a group: Ctrl-Z would do nothing. So a process of ours leads the session, and the
//! program leads a group in it, in front, as a shell would have placed it. The leader waits for the program and reports
//! stops and the end; it reaps the program last, so that the program's number stays its own until we have heard of it.
//! It drops our memory as soon as the program has what it needs of it.
//!
//! If we are killed, so is the leader, and with it the terminal goes: the program gets SIGHUP as from any terminal.
#![allow(unsafe_code, reason = "fork, sessions, and waiting without reaping")]

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions, waitid, waitpid};

use super::child::{self, Started, Streams};
use super::exec::Image;
use super::signal_group::GroupProbe;
use super::signals::{self, Caught};

/// A change of the program's state, as the leader passes it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// Stopped by this signal.
    Stopped(c_int),
    /// Ended with this code.
    Exited(c_int),
    /// Killed by this signal.
    Killed(c_int),
}

#[derive(Debug)]
pub struct Leader {
    process: Pid,
    reports: OwnedFd,
    /// The leader ends when this is closed.
    leash: Option<OwnedFd>,
    waits: bool,
}

impl Leader {
    /// Leaves it to itself: it ends with the last process that holds its leash.
    pub fn leave_behind(&mut self) {
        self.waits = false;
    }

    /// The next report, if there is one; the end where the leader is gone without one.
    pub fn next(&self) -> io::Result<Option<Report>> {
        let mut bytes = [0_u8; 8];
        match rustix::io::read(&self.reports, &mut bytes) {
            Ok(8) => Ok(Some(report(bytes))),
            // Somebody killed the leader; the program has lost its terminal.
            Ok(_) => Ok(Some(Report::Killed(libc::SIGHUP))),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Leader {
    /// Readable when there is a report.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reports.as_fd()
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        drop(self.leash.take());
        while self.waits && matches!(waitpid(Some(self.process), WaitOptions::empty()), Err(Errno::INTR)) {}
    }
}

/// Starts the program in a session of its own whose terminal is `slave`.
pub fn start(
    image: &Image<'_>,
    streams: Streams<'_>,
    slave: BorrowedFd<'_>,
    caught: &Caught,
) -> io::Result<(Started, Leader)> {
    let (failure, report) = pipe_with(PipeFlags::CLOEXEC)?;
    let (reports, reporter) = pipe_with(PipeFlags::CLOEXEC)?;
    let (held, leash) = pipe_with(PipeFlags::CLOEXEC)?;
    let ends = [slave.as_raw_fd(), reporter.as_raw_fd(), held.as_raw_fd()];
    let (early, forked) = signals::held(|| {
        let probe = GroupProbe::place();
        // SAFETY: the new process only makes system calls until it ends.
        match unsafe { (libc::getpid(), libc::fork()) } {
            (_, -1) => Err(io::Error::last_os_error()),
            (maker, 0) => unsafe { lead(maker, image, streams, ends, caught, &report) },
            (_, process) => {
                Pid::from_raw(process).map(|process| (process, probe)).ok_or_else(child::no_child)
            }
        }
    });
    let (leader, probe) = forked?;
    drop((report, reporter, held));
    let leader = Leader { process: leader, reports, leash: Some(leash), waits: true };
    if let Some(errno) = child::read_number(&failure)? {
        return Err(io::Error::from_raw_os_error(errno));
    }
    let process = child::read_number(&leader.reports)?.and_then(Pid::from_raw).ok_or_else(child::no_child)?;
    rustix::io::ioctl_fionbio(&leader.reports, true)?;
    Ok((Started { process, probe, early }, leader))
}

/// The leader's whole life.
///
/// # Safety
/// Only in a process that was just forked, with all signals held back.
unsafe fn lead(
    maker: libc::pid_t,
    image: &Image<'_>,
    streams: Streams<'_>,
    [slave, reporter, leash]: [c_int; 3],
    caught: &Caught,
    report: &OwnedFd,
) -> ! {
    // SAFETY: system calls on descriptors that are open, and buffers that are as long as said.
    unsafe {
        #[cfg(target_os = "linux")]
        {
            child::end_with(maker);
            libc::prctl(libc::PR_SET_NAME, c"keyvault-tty".as_ptr());
        }
        #[allow(clippy::useless_conversion, reason = "the request has another type on macOS")]
        if libc::setsid() < 0 || libc::ioctl(slave, libc::TIOCSCTTY.into(), 0) < 0 {
            child::fail(report);
        }
        let program = libc::fork();
        match program {
            -1 => child::fail(report),
            0 => {
                libc::setpgid(0, 0);
                libc::tcsetpgrp(slave, libc::getpid());
                child::become_program(image, streams, caught, report);
            }
            _ => {}
        }
        // Only what it needs, as 0–2: it must not keep anybody's pipe open. The terminal it keeps until the program's end,
        // so that it does not seem to be hung up before the program has opened it, or in between.
        for (target, fd) in (0..).zip([slave, reporter, leash]) {
            libc::dup2(fd, target);
        }
        child::close_from(3);
        // Where there is no /proc it stays as it is: the program's end must still be reported.
        #[cfg(target_os = "linux")]
        let _ = super::forget::forget_values();
        let [reporter, leash] = [1, 2].map(|fd| BorrowedFd::borrow_raw(fd));
        let _ = rustix::io::write(reporter, &program.to_ne_bytes());
        if let Some(program) = Pid::from_raw(program) {
            watch(program, reporter);
            rustix::io::close(0);
            while rustix::io::read(leash, &mut [0_u8]) == Err(Errno::INTR) {}
            let _ = waitpid(Some(program), WaitOptions::empty());
        }
        libc::_exit(0)
    }
}

/// Reports every stop and the end, and returns then. Only with system calls of `rustix`, as in the leader.
fn watch(program: Pid, reporter: BorrowedFd<'_>) {
    let any = WaitIdOptions::EXITED | WaitIdOptions::STOPPED;
    loop {
        // Told and not yet reaped.
        let Ok(Some(news)) = waitid(WaitId::Pid(program), any | WaitIdOptions::NOWAIT) else { return };
        let stopped = news.stopping_signal().or_else(|| news.trapping_signal());
        let (code, status) = match stopped {
            Some(signal) => {
                let _ = waitid(WaitId::Pid(program), WaitIdOptions::STOPPED | WaitIdOptions::NOHANG);
                (libc::CLD_STOPPED, signal)
            }
            None => match news.exit_status() {
                Some(status) => (libc::CLD_EXITED, status),
                None => (libc::CLD_KILLED, news.terminating_signal().unwrap_or(libc::SIGKILL)),
            },
        };
        let [code_bytes, status_bytes] = [code, status].map(c_int::to_ne_bytes);
        let mut bytes = [0_u8; 8];
        for (to, from) in bytes.iter_mut().zip(code_bytes.into_iter().chain(status_bytes)) {
            *to = from;
        }
        #[cfg(target_os = "linux")]
        if stopped.is_none() {
            // From here on it is the leash that says how long others need the terminal.
            let _ = rustix::process::set_parent_process_death_signal(None);
        }
        let _ = rustix::io::write(reporter, &bytes);
        if stopped.is_none() {
            return;
        }
    }
}

fn report(bytes: [u8; 8]) -> Report {
    let number = |from: usize| {
        let part = bytes.get(from..).and_then(<[u8]>::first_chunk);
        part.map_or(0, |part| c_int::from_ne_bytes(*part))
    };
    match number(0) {
        libc::CLD_EXITED => Report::Exited(number(4)),
        libc::CLD_STOPPED | libc::CLD_TRAPPED => Report::Stopped(number(4)),
        _ => Report::Killed(number(4)),
    }
}
