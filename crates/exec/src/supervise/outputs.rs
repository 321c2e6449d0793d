//! All streams of one child that go through a mask, and the terminal it may be on.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;
use zeroize::Zeroizing;

use super::channel::{Channel, PIECE, Sink, is_ready};
use super::streams::{Callers, Route, Routes};
use crate::mask::Mask;
use keyvault_os::process::child;
use keyvault_os::process::signals::{self, Caught};
use keyvault_os::terminal::pty::{self, Outer, Pty};

/// How many pieces of one stream are moved on before signals and the other streams are looked at.
const AT_A_TIME: usize = 8;

/// Filters a child's output on its way to the caller's streams.
#[derive(Debug, Clone, Copy)]
pub struct Masking<'m> {
    pub mask: &'m Mask,
    /// The routes of the two streams.
    pub routes: Routes,
    pub callers: Callers<'m>,
    /// Counts what is masked in standard output, unless that shares its way with standard error.
    pub masked: &'m Cell<u64>,
}

/// The streams, made before the child.
pub(crate) struct Outputs<'m> {
    channels: Vec<Channel<'m>>,
    /// The child's ends of its descriptors 0–2; `None` is the caller's own.
    ends: [Option<OwnedFd>; 3],
    /// Terminals of ours whose size follows the caller's.
    sized: Vec<(OwnedFd, BorrowedFd<'m>)>,
    pub(crate) keyboard: Option<Keyboard>,
    buffer: Zeroizing<Vec<u8>>,
}

/// The caller's terminal, and what is typed there on its way to ours.
pub(crate) struct Keyboard {
    outer: Outer,
    master: OwnedFd,
    typed: Vec<u8>,
    /// True if the last byte that was typed makes the next one a plain one.
    literal: bool,
    hung_up: bool,
}

impl<'m> Outputs<'m> {
    pub(crate) fn none() -> Self {
        Self {
            channels: Vec::new(),
            ends: [None, None, None],
            sized: Vec::new(),
            keyboard: None,
            buffer: Zeroizing::new(Vec::new()),
        }
    }

    pub(crate) fn open(masking: Masking<'m>) -> io::Result<Self> {
        let mut outputs = Self::none();
        outputs.buffer = Zeroizing::new(vec![0; PIECE]);
        let [input, out, err] = masking.callers;
        let counter = Some(masking.masked);
        match masking.routes.out {
            Route::Direct => {}
            Route::Pipe { shared: true } => {
                outputs.ends[1] = Some(outputs.pipe(out, masking.mask, None)?);
                outputs.ends[2] = outputs.ends[1].as_ref().map(OwnedFd::try_clone).transpose()?;
            }
            Route::Pipe { shared: false } => {
                outputs.ends[1] = Some(outputs.pipe(out, masking.mask, counter)?);
            }
            Route::Terminal | Route::OutputTerminal => {
                let slave = outputs.terminal(out, masking.mask)?;
                let master = outputs.sized.last().map(|(master, _)| master.try_clone()).transpose()?;
                if let (Some(master), Route::Terminal) = (master, masking.routes.out) {
                    let outer = Outer::of(out)?;
                    outputs.keyboard =
                        Some(Keyboard { outer, master, typed: Vec::new(), literal: false, hung_up: false });
                    if rustix::termios::isatty(input) {
                        outputs.ends[0] = Some(slave.try_clone()?);
                    }
                }
                outputs.ends[1] = Some(slave);
            }
        }
        match masking.routes.err {
            Route::Direct | Route::Pipe { shared: true } => {}
            Route::Pipe { shared: false } => {
                outputs.ends[2] = Some(outputs.pipe(err, masking.mask, None)?);
            }
            // It is the terminal that standard output is.
            Route::Terminal => {
                outputs.ends[2] = outputs.ends[1].as_ref().map(OwnedFd::try_clone).transpose()?;
            }
            Route::OutputTerminal => outputs.ends[2] = Some(outputs.terminal(err, masking.mask)?),
        }
        Ok(outputs)
    }

    fn pipe(
        &mut self,
        to: BorrowedFd<'m>,
        mask: &'m Mask,
        counter: Option<&'m Cell<u64>>,
    ) -> io::Result<OwnedFd> {
        let (source, end) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&source, true)?;
        self.channels.push(Channel::new(source, Sink::to(to)?, mask, counter));
        Ok(end)
    }

    fn terminal(&mut self, to: BorrowedFd<'m>, mask: &'m Mask) -> io::Result<OwnedFd> {
        let Pty { master, slave } = Pty::like(to)?;
        self.sized.push((master.try_clone()?, to));
        self.channels.push(Channel::new(master, Sink::to(to)?, mask, None));
        Ok(slave)
    }

    pub(crate) fn ends(&self) -> child::Streams<'_> {
        self.ends.each_ref().map(|end| end.as_ref().map(AsFd::as_fd))
    }

    /// Closes our copies of the child's ends, which would keep the streams from ending.
    pub(crate) fn close_ends(&mut self) {
        self.ends = [None, None, None];
    }

    /// Appends the descriptors to poll for.
    pub(crate) fn wanted<'s>(&'s self, ready: &mut Vec<PollFd<'s>>) {
        let channels = self.channels.iter().filter_map(Channel::wants);
        ready.extend(channels.map(|wanted| PollFd::from_borrowed_fd(wanted.fd, wanted.flags)));
        let readers = self.channels.iter().filter_map(Channel::listens);
        ready.extend(readers.map(|sink| PollFd::from_borrowed_fd(sink, PollFlags::empty())));
        if let Some(keyboard) = &self.keyboard {
            keyboard.wanted(ready);
        }
    }

    /// When something is due although nothing comes.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.channels.iter().filter_map(Channel::pauses_at).min()
    }

    /// Moves on what can be moved, and what is typed for `process`; whether that was a signal for our whole group.
    pub(crate) fn advance(&mut self, process: Pid) -> bool {
        for channel in &mut self.channels {
            // A few at a time, so that asking whether there are signals is not what takes the time.
            let _ = (0..AT_A_TIME).all(|_| channel.advance(&mut self.buffer));
            channel.pause(Instant::now());
        }
        self.keyboard.as_mut().is_some_and(|keyboard| keyboard.advance(process))
    }

    /// Moves on what has come until now, waiting for the caller's ends but not for the child's. Whatever of it was
    /// written before this call is through afterwards, unless a signal breaks it off, or the caller's ends take nothing for
    /// as long as `patience`.
    pub(crate) fn drain(
        &mut self,
        caught: &Caught,
        patience: Option<Duration>,
        broken_off: &mut dyn FnMut() -> bool,
    ) {
        loop {
            let mut moved = false;
            for channel in &mut self.channels {
                while channel.advance(&mut self.buffer) {
                    moved = true;
                    if !channel.is_idle() {
                        break;
                    }
                }
            }
            if self.channels.iter().all(Channel::is_idle) && !moved {
                return;
            }
            if broken_off() {
                return;
            }
            if !moved {
                let backlogs = self.channels.iter().filter(|channel| !channel.is_idle());
                let mut ready: Vec<PollFd<'_>> = backlogs
                    .filter_map(Channel::wants)
                    .map(|wanted| PollFd::from_borrowed_fd(wanted.fd, wanted.flags))
                    .collect();
                ready.push(PollFd::new(caught, PollFlags::IN));
                let time = patience.and_then(|patience| Timespec::try_from(patience).ok());
                if !matches!(rustix::event::poll(&mut ready, time.as_ref()), Ok(1..) | Err(Errno::INTR)) {
                    return;
                }
            }
        }
    }

    /// The child has ended. Everything it wrote goes out; what others of its kin still have to write goes out after us,
    /// from a process that stays behind, as it would have without us. Whether there is such a process.
    pub(crate) fn end(
        &mut self,
        caught: &Caught,
        patience: Option<Duration>,
        broken_off: &mut dyn FnMut() -> bool,
    ) -> bool {
        self.drain(caught, patience, broken_off);
        // Also the caller's terminal is as it was.
        self.keyboard = None;
        self.sized.clear();
        self.channels.retain(|channel| !channel.has_ended());
        if self.channels.is_empty() {
            return false;
        }
        if child::stay_behind(caught) {
            self.stay();
        }
        self.channels.clear();
        true
    }

    /// Why something that was written could not be passed on, if not because nobody reads it.
    pub(crate) fn failure(&mut self) -> Option<io::Error> {
        self.channels.iter_mut().find_map(Channel::failure)
    }

    /// The life of the process that stays behind: until every stream has ended.
    fn stay(&mut self) -> ! {
        (0..3).for_each(child::close_stream);
        while !self.channels.is_empty() {
            let mut ready = Vec::new();
            self.wanted(&mut ready);
            let left = self.due().map(|due| due.saturating_duration_since(Instant::now()));
            if super::wait_for(&mut ready, left).is_err() {
                break;
            }
            drop(ready);
            for channel in &mut self.channels {
                channel.advance(&mut self.buffer);
                channel.pause(Instant::now());
            }
            self.channels.retain(|channel| !(channel.has_ended() && channel.is_idle()));
        }
        child::end()
    }

    /// The caller's terminal has another size.
    pub(crate) fn resize(&self) {
        for (master, like) in &self.sized {
            let like = self.keyboard.as_ref().map_or(*like, |keyboard| keyboard.outer.as_fd());
            pty::resize(master.as_fd(), like);
        }
    }
}

impl Keyboard {
    /// Takes the caller's terminal if we are in front there.
    pub(crate) fn enter(&mut self) {
        self.outer.enter();
    }

    pub(crate) fn leave(&mut self) {
        self.outer.leave();
    }

    /// Returns `true` if the caller's terminal is worth a look now and then: a shell tells nobody that it moved a
    /// running job to the front.
    pub(crate) fn is_in_the_background(&self) -> bool {
        !self.hung_up && !self.outer.is_raw()
    }

    fn wanted<'s>(&'s self, ready: &mut Vec<PollFd<'s>>) {
        if !self.typed.is_empty() {
            ready.push(PollFd::new(&self.master, PollFlags::OUT));
        } else if self.outer.is_raw() && !self.hung_up {
            ready.push(PollFd::new(&self.outer, PollFlags::IN));
        }
    }

    /// Moves on what was typed; whether a signal for our whole group was.
    fn advance(&mut self, process: Pid) -> bool {
        let mut signaled = false;
        // Where the terminal is another user's, the descriptor is the caller's own, and reading it waits.
        let listens = self.typed.is_empty() && self.outer.is_raw() && !self.hung_up;
        if listens && is_ready(self.outer.as_fd(), PollFlags::IN) {
            let mut bytes = Zeroizing::new([0_u8; 1024]);
            match rustix::io::read(&self.outer, bytes.as_mut_slice()) {
                Ok(0) | Err(Errno::IO) => self.hung_up = true,
                Ok(got) => self.typed.extend_from_slice(bytes.get(..got).unwrap_or_default()),
                Err(_) => {}
            }
            // The driver of the caller's terminal would have told everybody in our group, such as a script around us. The
            // child hears of it from its own terminal.
            for signal in pty::typed_signals(self.master.as_fd(), process, &self.typed, &mut self.literal) {
                signals::pass_on_to_own_group(signal);
                signaled = true;
            }
        }
        if !self.typed.is_empty() {
            match rustix::io::write(&self.master, &self.typed) {
                Ok(taken) => {
                    self.typed.drain(..taken);
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => self.typed.clear(),
            }
        }
        signaled
    }
}
