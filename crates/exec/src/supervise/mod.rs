//! A command as our child, for what must outlive its start: masking, files to take away, a watch over its keys.
//!
//! To everybody outside we are the command: whoever signals, stops, continues or waits for us means it, and our end is
//! its end. That is kept by these rules.
//!
//! - Signals are caught before anything is made or started ([`Supervisor::begin`]), so no signal that can be caught ends
//!   us before the child, and what the caller cleans up after [`Supervisor::run`] is always cleaned up.
//! - The child stays in our process group, in the foreground. A signal sent to the group reaches both, one sent to us
//!   is passed on; see [`GroupProbe`] for how they are told apart. So each arrives once.
//! - No signal is sent that nobody sent. There is no timer that kills.
//! - Stopped, the child stops us, so that the shell sees the job stopped; continued, we continue it.
//! - Its exit code is ours, and a signal that killed it kills us too ([`Ending::pass_on`]).
//! - Orphans that are handed to us, as the first process of a container, are reaped.
//! - Descriptors that the child closes are closed: we keep none of the caller's that we do not need, which leaves
//!   standard error, as something of ours may have to be said at the end.

mod channel;
mod outputs;
pub mod streams;

use std::ffi::c_int;
use std::io;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus, wait};

pub use self::outputs::Masking;
use self::outputs::{Keyboard, Outputs};
use super::{Command, ExecError};
use keyvault_os::process::caller_streams::ReleasedPipes;
use keyvault_os::process::child::{self, Started};
use keyvault_os::process::exec::EnvBlock;
use keyvault_os::process::session_leader::{Leader, Report};
use keyvault_os::process::signal_group::GroupProbe;
use keyvault_os::process::signals::{self, Arrival, Caught, Sender};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this code.
    Exited(u8),
    /// By this signal.
    Killed(c_int),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// This signal to the child.
    pub signal: c_int,
    /// True if another child is to follow when this one has ended.
    pub again: bool,
}

/// Work beside a child that runs.
pub trait Overseer {
    /// When [`Self::tick`] is wanted at the latest; `None` is never.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// Called when it is due, and not before.
    fn tick(&mut self) -> Option<Wish> {
        None
    }

    /// Told of each signal that came for the child.
    fn heard(&mut self, _signal: c_int) {}
}

/// Nothing else.
#[derive(Debug, Clone, Copy)]
pub struct Nothing;

impl Overseer for Nothing {}

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

    /// Keeps what a second child needs of the caller's descriptors.
    #[must_use]
    pub fn for_several(self) -> Self {
        Self { again: true, ..self }
    }

    /// Starts the command and looks after it until its end.
    pub fn run(
        &self,
        command: &Command,
        environment: &EnvBlock,
        masking: Option<Masking<'_>>,
        overseer: &mut dyn Overseer,
    ) -> Result<Ending, ExecError> {
        let mut outputs = match masking {
            Some(masking) => Outputs::open(masking).map_err(ExecError::Supervision)?,
            None => Outputs::none(),
        };
        // Before the child can ask for a key: what is typed while the caller's terminal still makes lines of it would come
        // without what ends them.
        outputs.keyboard.iter_mut().for_each(Keyboard::enter);
        let on_terminal = outputs.keyboard.is_some();
        let (started, leader) = match outputs.ends() {
            streams @ [_, Some(slave), _] if on_terminal => {
                let (started, leader) =
                    command.start_on_terminal(environment, streams, slave, &self.caught)?;
                (started, Some(leader))
            }
            streams => (command.start(environment, streams, &self.caught)?, None),
        };
        outputs.close_ends();
        let mut pipes = ReleasedPipes::default();
        if self.again {
            pipes = ReleasedPipes::release();
        } else {
            child::close_stream(0);
            child::close_stream(1);
            child::close_inherited_fds();
        }
        let Started { process, probe, early } = started;
        let child = Child { process };
        let mut watch = Watch {
            caught: &self.caught,
            child,
            probe,
            early,
            outputs,
            leader,
            pipes,
            is_asked_to_end: false,
        };
        let ending = watch.until_its_end(overseer).map_err(ExecError::Supervision)?;
        match watch.end() {
            Some(error) if ending == Ending::Exited(0) => Err(ExecError::Output(error)),
            _ => Ok(ending),
        }
    }

    /// Waits between two children: for so long, or until a signal comes that would have ended the command.
    #[must_use]
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
        // Dispositions are as they were.
        drop(supervisor);
        match self {
            Self::Exited(code) => code,
            Self::Killed(signal) => {
                signals::die(signal);
                u8::try_from(128 + signal).unwrap_or(u8::MAX)
            }
        }
    }
}

/// How often a background job looks whether it was moved to the front.
const LOOK: Duration = Duration::from_millis(200);

/// How long a reader that takes nothing is waited for once a signal has asked for the end.
const PATIENCE: Duration = Duration::from_secs(1);

/// One child and what comes for it.
struct Watch<'a> {
    caught: &'a Caught,
    child: Child,
    probe: GroupProbe,
    early: Vec<c_int>,
    outputs: Outputs<'a>,
    /// Of the session on a terminal of ours, if the child is there and not in our own group.
    leader: Option<Leader>,
    pipes: ReleasedPipes,
    /// True if a signal came that would have ended the command in our place.
    is_asked_to_end: bool,
}

impl Watch<'_> {
    fn until_its_end(&mut self, overseer: &mut dyn Overseer) -> io::Result<Ending> {
        let mut news = true;
        loop {
            if news {
                while let Some(arrival) = self.caught.next()? {
                    self.heed(arrival);
                    overseer.heard(arrival.signal);
                }
                if let Some(ending) = self.reap()? {
                    return Ok(ending);
                }
            }
            if overseer.due().is_some_and(|due| due <= Instant::now())
                && let Some(Wish { signal, again }) = overseer.tick()
            {
                if again {
                    self.pipes.reopen();
                }
                self.child.signal(signal);
            }
            news = self.wait(overseer.due())?;
            if self.outputs.advance(self.child.process) {
                self.probe.renew();
            }
        }
    }

    /// Everything goes out that the child wrote, and the caller's terminal is as it was.
    fn end(&mut self) -> Option<io::Error> {
        let caught = self.caught;
        let mut broken_off = || {
            let mut ends = false;
            while let Ok(Some(arrival)) = caught.next() {
                ends |= caught.would_end(arrival.signal);
            }
            ends
        };
        let patience = self.is_asked_to_end.then_some(PATIENCE);
        self.outputs.drain(caught, patience, &mut broken_off);
        let failure = self.outputs.failure();
        if self.outputs.end(caught, patience, &mut broken_off) {
            // A process that still writes to the terminal of ours keeps it.
            self.leader.iter_mut().for_each(Leader::leave_behind);
        }
        failure
    }

    /// Waits for anything; whether there is news of the child or a signal.
    fn wait(&mut self, due: Option<Instant>) -> io::Result<bool> {
        let mut ready = vec![PollFd::new(self.caught, PollFlags::IN)];
        ready.extend(self.leader.as_ref().map(|leader| PollFd::new(leader, PollFlags::IN)));
        let news = ready.len();
        self.outputs.wanted(&mut ready);
        let now = Instant::now();
        let behind = self.outputs.keyboard.as_ref().is_some_and(Keyboard::is_in_the_background);
        let look = behind.then(|| now + LOOK);
        let due = [due, self.outputs.due(), look].into_iter().flatten().min();
        wait_for(&mut ready, due.map(|due| due.saturating_duration_since(now)))?;
        let news = ready.iter().take(news).any(|news| !news.revents().is_empty());
        if behind {
            self.take_terminal();
        }
        Ok(news)
    }

    fn take_terminal(&mut self) {
        if let Some(keyboard) = &mut self.outputs.keyboard {
            keyboard.enter();
        }
    }

    fn heed(&mut self, arrival: Arrival) {
        self.is_asked_to_end |= self.caught.would_end(arrival.signal);
        let by_kernel = arrival.sender == Sender::Kernel;
        match arrival.signal {
            libc::SIGCHLD if by_kernel => return,
            libc::SIGWINCH => {
                self.outputs.resize();
                // The child hears of it from its own terminal.
                if by_kernel && self.leader.is_some() {
                    return;
                }
            }
            // In the background, and not allowed to write.
            libc::SIGTTIN | libc::SIGTTOU | libc::SIGTSTP if by_kernel && self.leader.is_some() => {
                return self.stop(arrival.signal);
            }
            libc::SIGCONT => self.take_terminal(),
            _ => {}
        }
        let early = self.early.iter().position(|signal| *signal == arrival.signal);
        let group = self.probe.saw(arrival);
        if let Some(early) = early {
            self.early.swap_remove(early);
        }
        match (group, &self.leader) {
            // The child is in another group than the one that was meant, and so are those it started.
            (true, Some(_)) => signals::pass_on_to_group(self.child.process, arrival.signal),
            (true, None) if early.is_none() => {}
            _ => signals::pass_on(self.child.process, arrival),
        }
    }

    /// Takes note of everything that has happened to children; the end, if it was the child's.
    fn reap(&mut self) -> io::Result<Option<Ending>> {
        while let Some(report) = self.leader.as_ref().map(Leader::next).transpose()?.flatten() {
            match report {
                Report::Stopped(signal) => self.stop(signal),
                Report::Exited(code) => {
                    return Ok(Some(Ending::Exited(u8::try_from(code).unwrap_or(u8::MAX))));
                }
                Report::Killed(signal) => return Ok(Some(Ending::Killed(signal))),
            }
        }
        loop {
            match wait(WaitOptions::NOHANG | WaitOptions::UNTRACED) {
                Ok(Some((process, status))) if process == self.child.process => {
                    if let Some(ending) = ending(status) {
                        return Ok(Some(ending));
                    }
                    if let Some(signal) = status.stopping_signal() {
                        self.stop(signal);
                    }
                }
                Ok(Some((process, status))) => {
                    if self.probe.is(process) && ending(status).is_some() {
                        self.probe.is_gone();
                    }
                }
                Ok(None) | Err(Errno::CHILD) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The child has stopped: so do we, until somebody lets us go on.
    fn stop(&mut self, signal: c_int) {
        if self.leader.is_none() {
            return self.caught.stop(signal);
        }
        // Its output so far must stand above the shell's prompt.
        self.outputs.drain(self.caught, None, &mut || true);
        if let Some(keyboard) = &mut self.outputs.keyboard {
            keyboard.leave();
        }
        if signal == libc::SIGTSTP {
            self.caught.stop_group(signal);
        } else {
            self.caught.stop(signal);
        }
        // True if somebody let us go on, or the kernel had not stopped us, as it does not where nobody could.
        while let Ok(Some(arrival)) = self.caught.next() {
            if arrival.signal != libc::SIGCONT {
                self.heed(arrival);
            }
        }
        self.probe.renew();
        self.take_terminal();
        self.outputs.resize();
        signals::pass_on_to_group(self.child.process, libc::SIGCONT);
    }
}

fn ending(status: WaitStatus) -> Option<Ending> {
    let code = status.exit_status().map(|code| Ending::Exited(u8::try_from(code).unwrap_or(u8::MAX)));
    code.or_else(|| status.terminating_signal().map(Ending::Killed))
}

/// Waits until one of the descriptors is ready, a signal has come, or the time is over.
pub(super) fn wait_for(ready: &mut [PollFd<'_>], time: Option<Duration>) -> io::Result<()> {
    let time = time.and_then(|time| Timespec::try_from(time).ok());
    match poll(ready, time.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
