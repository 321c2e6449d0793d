//! Tells a signal to this process alone from one to its whole group.
//!
//! A child stays in its parent's process group, as it would be if the parent had become it. So what the terminal or a
//! shell sends to the group has reached the child already, and passing it on would make it arrive twice; what was
//! sent to the parent alone must be passed on. The kernel tells a receiver who sent a signal, but not to whom. So a
//! second process of ours sits in the group and blocks every signal: what is pending there was sent to the group.
//!
//! The kernel walks a group under a lock that setpgid(2) takes exclusively; so after a setpgid(2), even one that is
//! refused, a signal that we have seen is pending in the probe too, or was not meant for the group.
//!
//! The probe has no descriptor and nothing of our memory, does nothing, and is killed when we end, whatever ends us. Where there is no `/proc`
//! to ask, who sent it must do: the kernel's signals come from the terminal and are the group's, all others are ours.
#![allow(unsafe_code, reason = "fork")]

use std::ffi::c_int;

use rustix::process::{Pid, Signal, kill_process};

use super::signals::{self, Arrival, Sender};

/// A process that notices what the group is sent.
#[derive(Debug)]
pub struct GroupProbe {
    process: Option<Pid>,
}

impl GroupProbe {
    /// Places one in our own group. Called with all signals held back, which it inherits.
    pub(crate) fn place() -> Self {
        #[cfg(target_os = "linux")]
        // SAFETY: the new process only makes system calls and never returns.
        let process = match unsafe { (libc::getpid(), libc::fork()) } {
            (maker, 0) => unsafe { sit(maker) },
            (_, process) => Pid::from_raw(process).filter(|_| process > 0),
        };
        #[cfg(not(target_os = "linux"))]
        let process = None;
        Self { process }
    }

    #[must_use]
    pub fn is(&self, process: Pid) -> bool {
        self.process == Some(process)
    }

    /// Takes note that it has ended and was reaped: somebody killed it.
    pub fn is_gone(&mut self) {
        self.process = None;
    }

    /// Returns `true` if the signal was sent to the group.
    pub fn saw(&mut self, arrival: Arrival) -> bool {
        let Some(process) = self.process else { return arrival.sender == Sender::Kernel };
        // SAFETY: asks for a group that cannot exist, and is refused.
        unsafe { libc::setpgid(0, c_int::MAX) };
        let Some(pending) = pending(process) else { return arrival.sender == Sender::Kernel };
        let saw = has(pending, arrival.signal);
        if saw {
            self.renew();
        }
        saw || is_overtaken(pending, arrival.signal)
    }

    /// Puts a fresh one in its place, as what is pending cannot be taken back. It is there before the old one goes, so
    /// that nothing is missed in between.
    pub fn renew(&mut self) {
        let (_, fresh) = signals::held(Self::place);
        drop(std::mem::replace(self, fresh));
    }
}

impl Drop for GroupProbe {
    fn drop(&mut self) {
        if let Some(process) = self.process {
            let _ = kill_process(process, Signal::KILL);
            let _ = rustix::process::waitpid(Some(process), rustix::process::WaitOptions::empty());
        }
    }
}

fn has(set: u64, signal: c_int) -> bool {
    u32::try_from(signal - 1).is_ok_and(|bit| set.checked_shr(bit).unwrap_or(0) & 1 == 1)
}

/// Returns `true` if what is pending may have taken this signal away: the kernel drops a stop that waits when it is
/// told to go on, and the other way round. What came last is what counts for the child, so the one before is not passed
/// on, whomever it was for.
fn is_overtaken(pending: u64, signal: c_int) -> bool {
    const STOPS: [c_int; 3] = [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];
    match signal {
        libc::SIGCONT => STOPS.iter().any(|stop| has(pending, *stop)),
        signal => STOPS.contains(&signal) && has(pending, libc::SIGCONT),
    }
}

/// The signals that wait for a process, bit 0 being signal 1.
fn pending(process: Pid) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.as_raw_nonzero())).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    // In a container that shares the `/proc` of another one, the number is somebody else's.
    let ours = rustix::process::getpid().as_raw_nonzero().to_string();
    field("PPid:").filter(|parent| *parent == ours)?;
    let mask = |name: &str| u64::from_str_radix(field(name)?, 16).ok();
    Some(mask("SigPnd:")? | mask("ShdPnd:")?)
}

/// The probe's whole life.
///
/// # Safety
/// Only in a process that was just forked.
#[cfg(target_os = "linux")]
unsafe fn sit(maker: libc::pid_t) -> ! {
    // SAFETY: only system calls, each with plain numbers or a string that lives for ever; from `forget_values` on, of
    // `rustix`.
    unsafe {
        super::child::end_with(maker);
        libc::prctl(libc::PR_SET_NAME, c"keyvault-group".as_ptr());
        // Without descriptors it keeps no pipe open and no terminal busy.
        super::child::close_from(0);
        if !super::forget::forget_values() {
            // Without /proc nobody can see what is pending here.
            libc::_exit(0);
        }
    }
    loop {
        rustix::event::pause();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(signals: &[c_int]) -> u64 {
        signals.iter().fold(0, |set, signal| set | 1 << (signal - 1))
    }

    /// Ctrl-Z right behind 'fg': the command was told to go on twice, and did not stop.
    #[test]
    fn a_stop_that_comes_behind_a_continuation_takes_its_trace_away_and_the_other_way_round() {
        for stop in [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU] {
            assert!(is_overtaken(set(&[libc::SIGHUP, stop]), libc::SIGCONT));
            assert!(is_overtaken(set(&[libc::SIGCONT]), stop));
            assert!(!is_overtaken(set(&[stop]), stop));
        }
        assert!(!is_overtaken(set(&[libc::SIGHUP]), libc::SIGCONT));
        assert!(!is_overtaken(set(&[libc::SIGCONT]), libc::SIGTERM));
        assert!(!is_overtaken(0, libc::SIGTSTP));
    }
}
