//! A command as our child, for what must outlive its start: masking, files to take away, a watch over its keys.
//!
//! To everybody outside we are the command: whoever signals, stops, continues or waits for us means it, and our end is
//! its end. That is kept by these rules.
//!
//! - Signals are caught before anything is made or started ([`Supervisor::begin`]), so no signal that can be caught ends
//!   us before the child, and what the caller cleans up after [`Supervisor::run`] is always cleaned up.
//! - The child stays in our process group, in the foreground. A signal sent to the group reaches both, one sent to us
//!   is passed on; see [`Witness`] for how they are told apart. So each arrives once.
//! - No signal is sent that nobody sent. There is no timer that kills.
//! - Stopped, the child stops us, so that the shell sees the job stopped; continued, we continue it.
//! - Its exit code is ours, and a signal that killed it kills us too ([`Ending::pass_on`]).
//! - Orphans that are handed to us, as the first process of a container, are reaped.
//! - Descriptors that the child closes are closed: we keep none of the caller's that we do not need.

use std::ffi::c_int;
use std::io;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus, wait};

use super::{Command, ExecError};
use crate::sys::child::{self, Started};
use crate::sys::exec::EnvBlock;
use crate::sys::signals::{self, Arrival, Caught, Sender};
use crate::sys::witness::Witness;

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this code.
    Exited(u8),
    /// By this signal.
    Killed(c_int),
}

/// What else is to be done while a child runs.
pub trait Overseer {
    /// When [`Self::tick`] is wanted at the latest; `None` is never.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// Called when it is due, and not before. May signal the child, and so end it.
    fn tick(&mut self, _child: Child) {}

    /// Told of each signal that came for the child.
    fn heard(&mut self, _signal: c_int) {}
}

/// Nothing else.
#[derive(Debug, Clone, Copy)]
pub struct Nothing;

impl Overseer for Nothing {}

/// A running child.
#[derive(Debug, Clone, Copy)]
pub struct Child {
    process: Pid,
}

impl Child {
    /// Sends it a signal; a child that is gone by now misses nothing. Until its end was seen, its number is its own.
    pub fn signal(self, signal: c_int) {
        signals::pass_on(self.process, Arrival { signal, sender: Sender::Process });
    }
}

/// Looks after children, one after the other. While it lives, no signal that can be caught ends this process.
#[derive(Debug)]
pub struct Supervisor {
    caught: Caught,
    again: bool,
}

impl Supervisor {
    /// Begins to catch signals. Before anything is made that must be taken away again.
    pub fn begin() -> Result<Self, ExecError> {
        Ok(Self { caught: Caught::begin().map_err(ExecError::Supervision)?, again: false })
    }

    /// Keeps what a second child needs: the caller's descriptors are not let go of while one runs.
    #[must_use]
    pub fn for_several(self) -> Self {
        Self { again: true, ..self }
    }

    /// Starts the command and looks after it until its end.
    pub fn run(
        &self,
        command: &Command,
        environment: &EnvBlock,
        overseer: &mut dyn Overseer,
    ) -> Result<Ending, ExecError> {
        let Started { process, witness, early } = command.start(environment, [None; 3], &self.caught)?;
        if !self.again {
            child::let_go_of_stream(0);
            child::let_go_of_stream(1);
            child::let_go_of_the_callers();
        }
        let mut watch = Watch { caught: &self.caught, child: Child { process }, witness, early };
        watch.until_its_end(overseer).map_err(ExecError::Supervision)
    }

    /// Waits between two children: for so long, or until a signal comes that would have ended the command.
    pub fn pause(&self, time: Duration) -> Option<Ending> {
        let end = Instant::now() + time;
        loop {
            while let Ok(Some(arrival)) = self.caught.next() {
                match arrival.signal {
                    libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => self.caught.stop(arrival.signal),
                    signal if self.caught.would_end(signal) => return Some(Ending::Killed(signal)),
                    _ => {}
                }
            }
            let left = end.checked_duration_since(Instant::now())?;
            let _ = wait_for(&mut [PollFd::new(&self.caught, PollFlags::IN)], Some(left));
        }
    }
}

impl Ending {
    /// Ends as the child has: by the same signal, with no core file of our own. Where that is not possible, the code
    /// to end with.
    #[must_use]
    pub fn pass_on(self, supervisor: Supervisor) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::Killed(signal) => {
                supervisor.caught.die(signal);
                u8::try_from(128 + signal).unwrap_or(u8::MAX)
            }
        }
    }
}

/// One child and what comes for it.
struct Watch<'a> {
    caught: &'a Caught,
    child: Child,
    witness: Witness,
    early: Vec<c_int>,
}

impl Watch<'_> {
    fn until_its_end(&mut self, overseer: &mut dyn Overseer) -> io::Result<Ending> {
        loop {
            while let Some(arrival) = self.caught.next()? {
                self.heed(arrival);
                overseer.heard(arrival.signal);
            }
            if let Some(ending) = self.reap()? {
                return Ok(ending);
            }
            let left = overseer.due().map(|due| due.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                overseer.tick(self.child);
                continue;
            }
            wait_for(&mut [PollFd::new(self.caught, PollFlags::IN)], left)?;
        }
    }

    fn heed(&mut self, arrival: Arrival) {
        if arrival.signal == libc::SIGCHLD && arrival.sender == Sender::Kernel {
            return;
        }
        let early = self.early.iter().position(|signal| *signal == arrival.signal);
        let saw = self.witness.saw(arrival, self.caught);
        if let Some(early) = early {
            self.early.swap_remove(early);
        } else if saw {
            return;
        }
        signals::pass_on(self.child.process, arrival);
    }

    /// Takes note of everything that has happened to children; the end, if it was the child's.
    fn reap(&mut self) -> io::Result<Option<Ending>> {
        loop {
            match wait(WaitOptions::NOHANG | WaitOptions::UNTRACED) {
                Ok(Some((process, status))) if process == self.child.process => {
                    if let Some(ending) = ending(status) {
                        return Ok(Some(ending));
                    }
                    if let Some(signal) = status.stopping_signal() {
                        self.caught.stop(signal);
                    }
                }
                Ok(Some((process, status))) => {
                    if self.witness.is(process) && ending(status).is_some() {
                        self.witness.is_gone();
                    }
                }
                Ok(None) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn ending(status: WaitStatus) -> Option<Ending> {
    let code = status.exit_status().map(|code| Ending::Exited(u8::try_from(code).unwrap_or(u8::MAX)));
    code.or_else(|| status.terminating_signal().map(Ending::Killed))
}

/// Waits until one of the descriptors is ready, a signal has come, or the time is over.
fn wait_for(ready: &mut [PollFd<'_>], time: Option<Duration>) -> io::Result<()> {
    let time = time.and_then(|time| Timespec::try_from(time).ok());
    match poll(ready, time.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
