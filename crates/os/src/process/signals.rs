//! Signals of a process that looks after another: each is noted with where it came from, so that it can be passed on.
//!
//! The handler only writes what the kernel told it into a pipe, and the loop that looks after the child reads it there
//! beside everything else it waits for. So no signal is overlooked between looking and waiting, and none interrupts.
//!
//! All signals that can be caught are: what ends a process as well as what stops it, those that mean something only to
//! the child, and those that our caller ignores or blocks, which the child may still heed. The child gets the mask and
//! the dispositions that we were given ([`Caught::as_given`]). SIGSEGV and its like are faults of ours when the kernel
//! sends them, and end us; sent by a process, they are the child's.
#![allow(unsafe_code, reason = "signal handlers, masks, and a queued signal's value")]

use std::ffi::{c_int, c_void};
use std::io::{self, PipeReader, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;

use super::startup;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The kernel: a key on the terminal, a timer, a terminal that went away.
    Kernel,
    Process,
    /// A process, with a value (`sigqueue(3)`).
    Queue(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    pub signal: c_int,
    pub sender: Sender,
}

/// A record that the handler writes: no larger than a write that a pipe keeps whole.
#[repr(C)]
#[derive(Clone, Copy)]
struct Note {
    signal: c_int,
    code: c_int,
    pid: c_int,
    value: usize,
}

const NOTE: usize = size_of::<Note>();

/// Made once and never closed, so that a handler that runs late does not write into a stranger's descriptor.
static PIPE: OnceLock<(PipeReader, std::os::fd::OwnedFd)> = OnceLock::new();
static WRITER: AtomicI32 = AtomicI32::new(-1);
/// True while a [`Caught`] lives.
static IS_LIVE: AtomicBool = AtomicBool::new(false);

/// While it lives, signals are noted. Dispositions and mask are put back on drop.
pub struct Caught {
    reader: &'static PipeReader,
    previous: Vec<(c_int, libc::sigaction)>,
    mask: libc::sigset_t,
}

impl Caught {
    /// Begins to note. Before anything is made or started that a signal should find cared for.
    pub fn begin() -> io::Result<Self> {
        let reader = pipe()?;
        IS_LIVE.store(true, Ordering::Release);
        let mut caught = Self { reader, previous: Vec::new(), mask: empty_set() };
        for signal in catchable() {
            caught.previous.extend(install(signal).map(|previous| (signal, previous)));
        }
        // A signal that the caller blocks must still reach the child, which may have unblocked it.
        caught.mask = set_mask(&empty_set());
        Ok(caught)
    }

    /// The next signal, if one came.
    pub fn next(&self) -> io::Result<Option<Arrival>> {
        let mut bytes = [0_u8; NOTE];
        let mut reader = self.reader;
        match reader.read(&mut bytes) {
            Ok(NOTE) => {
                // SAFETY: these are the bytes of a `Note`, which the handler wrote whole; every pattern is a valid one.
                let note: Note = unsafe { ptr::read_unaligned(bytes.as_ptr().cast()) };
                Ok(Some(Arrival { signal: note.signal, sender: sender(&note) }))
            }
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.next(),
            Err(error) => Err(error),
        }
    }

    /// Puts dispositions and mask back as they were given, in a process that becomes another program. Only system
    /// calls: between fork(2) and execve(2) nothing else is allowed.
    pub(crate) fn as_given(&self) {
        self.put_back_dispositions();
        startup::give_back();
        set_mask(&self.mask);
    }

    /// Puts dispositions and mask back as they were before they were caught.
    pub(crate) fn put_back(&self) {
        self.put_back_dispositions();
        set_mask(&self.mask);
    }

    fn put_back_dispositions(&self) {
        for (signal, previous) in &self.previous {
            // SAFETY: `previous` is what the kernel gave for this signal.
            unsafe { libc::sigaction(*signal, previous, ptr::null_mut()) };
        }
    }

    /// Returns `true` if the signal asks a process to end, and would have ended one started in our place.
    #[must_use]
    pub fn would_end(&self, signal: c_int) -> bool {
        let asks = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM].contains(&signal);
        let ignored = |action: &libc::sigaction| action.sa_sigaction == libc::SIG_IGN;
        asks && self.previous.iter().any(|(caught, action)| *caught == signal && !ignored(action))
    }

    /// Stops this process by `signal` as if nobody had caught it, and returns when it goes on.
    pub fn stop(&self, signal: c_int) {
        self.stop_with(signal, || die(signal));
    }

    /// Stops this process and its whole group, as the terminal's driver would have. Returns when it goes on, and at once
    /// where nothing could let it go on: the kernel does not stop such a group.
    pub fn stop_group(&self, signal: c_int) {
        self.stop_with(signal, || {
            // SAFETY: SIG_DFL runs no code of ours.
            unsafe {
                libc::signal(signal, libc::SIG_DFL);
                libc::kill(0, signal);
            }
        });
    }

    fn stop_with(&self, signal: c_int, stop: impl FnOnce()) {
        stop();
        if self.previous.iter().any(|(caught, _)| *caught == signal) {
            install(signal);
        }
    }
}

impl std::fmt::Debug for Caught {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caught").field("signals", &self.previous.len()).finish_non_exhaustive()
    }
}

impl AsFd for Caught {
    /// Readable when a signal came.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

impl Drop for Caught {
    fn drop(&mut self) {
        IS_LIVE.store(false, Ordering::Release);
        self.put_back();
    }
}

/// The pipe of the signals that are noted at present, if any are.
pub(super) fn noted() -> Option<BorrowedFd<'static>> {
    PIPE.get().filter(|_| IS_LIVE.load(Ordering::Acquire)).map(|(reader, _)| reader.as_fd())
}

/// Ends this process by a signal that ended its child, as if nobody had caught it, or stops it. Returns where neither is
/// possible: the first process of a container does not die of a signal.
pub fn die(signal: c_int) {
    // SAFETY: SIG_DFL runs no code of ours; the kernel refuses it for KILL and STOP, which have no other.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        let mut only = empty_set();
        libc::sigaddset(&raw mut only, signal);
        libc::sigprocmask(libc::SIG_UNBLOCK, &raw const only, ptr::null_mut());
        libc::kill(libc::getpid(), signal);
    }
}

/// Runs `fork` with every signal held back, so that no handler of ours runs in the new process; gives with it what
/// had come before, which the new process knows nothing of.
pub(crate) fn held<T>(fork: impl FnOnce() -> T) -> (Vec<c_int>, T) {
    let before = set_mask(&full_set());
    let mut pending = empty_set();
    // SAFETY: the kernel fills the set.
    unsafe { libc::sigpending(&raw mut pending) };
    // SAFETY: reads a set.
    let came = catchable().filter(|signal| unsafe { libc::sigismember(&raw const pending, *signal) } == 1);
    let came = came.collect();
    let made = fork();
    set_mask(&before);
    (came, made)
}

/// Sends a signal on, with its value if it had one. A process that is gone by now misses nothing.
pub fn pass_on(to: Pid, arrival: Arrival) {
    // SAFETY: sends a signal; the value is passed through without being looked at.
    unsafe {
        match arrival.sender {
            #[cfg(target_os = "linux")]
            Sender::Queue(value) => {
                let value = libc::sigval { sival_ptr: value as *mut c_void };
                libc::sigqueue(to.as_raw_nonzero().get(), arrival.signal, value);
            }
            _ => {
                libc::kill(to.as_raw_nonzero().get(), arrival.signal);
            }
        }
    }
}

/// Sends a signal to every process of our own group but this one, which overlooks it.
pub fn pass_on_to_own_group(signal: c_int) {
    // SAFETY: sends a signal.
    unsafe { libc::kill(0, signal) };
}

/// Sends a signal to every process of a group.
pub fn pass_on_to_group(group: Pid, signal: c_int) {
    // SAFETY: sends a signal.
    unsafe { libc::kill(-group.as_raw_nonzero().get(), signal) };
}

fn catchable() -> impl Iterator<Item = c_int> {
    (1..=highest()).filter(|signal| ![libc::SIGKILL, libc::SIGSTOP].contains(signal))
}

#[cfg(target_os = "linux")]
fn highest() -> c_int {
    libc::SIGRTMAX()
}

#[cfg(not(target_os = "linux"))]
fn highest() -> c_int {
    31
}

fn pipe() -> io::Result<&'static PipeReader> {
    if let Some((reader, _)) = PIPE.get() {
        return Ok(reader);
    }
    // A handler must not wait, and the loop reads until nothing is left.
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let (reader, writer) = PIPE.get_or_init(|| (reader.into(), writer));
    WRITER.store(writer.as_raw_fd(), Ordering::Release);
    Ok(reader)
}

fn sender(note: &Note) -> Sender {
    match note.code {
        #[cfg(target_os = "linux")]
        libc::SI_QUEUE => Sender::Queue(note.value),
        // On Linux, zero and below is what a process asked for; elsewhere SI_USER has a number of its own.
        code if code == libc::SI_USER || (cfg!(target_os = "linux") && code < 0) => Sender::Process,
        _ => Sender::Kernel,
    }
}

const FAULTS: [c_int; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGSYS];

/// The handler. A full pipe, thousands of signals on, loses the newest, as the kernel merges equal ones.
extern "C" fn note(signal: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: the kernel's information about this signal, of which only the fields that this kind has are used; `write`
    // may be called in a handler, the buffer is as long as said, and the pipe is never closed. The interrupted code
    // finds its error number as it left it.
    unsafe {
        let errno = errno_location();
        let saved = *errno;
        let code = (*info).si_code;
        if FAULTS.contains(&signal) && code > 0 {
            // Returning makes the fault happen again, this time without a handler.
            libc::signal(signal, libc::SIG_DFL);
            *errno = saved;
            return;
        }
        let by_process = code <= 0 || code == libc::SI_USER;
        let pid = if by_process { (*info).si_pid() } else { 0 };
        // A write to a closed pipe or past a limit makes the kernel send one in our own name, and the write says so too;
        // what we send to the group is meant for the others.
        if pid != libc::getpid() {
            let value = if by_process { (*info).si_value().sival_ptr as usize } else { 0 };
            let note = Note { signal, code, pid, value };
            libc::write(WRITER.load(Ordering::Acquire), (&raw const note).cast(), NOTE);
        }
        *errno = saved;
    }
}

/// Installs the handler and gives what was there; nothing for the numbers that the C library keeps for itself.
fn install(signal: c_int) -> Option<libc::sigaction> {
    // SAFETY: all-zero is a valid action; the kernel fills the old one. The handler does only what a handler may and is
    // never unloaded.
    unsafe {
        let mut previous = MaybeUninit::<libc::sigaction>::zeroed();
        let mut action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
        let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = note;
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // One handler at a time, so that the notes stand in the order in which the signals came.
        libc::sigfillset(&raw mut action.sa_mask);
        let set = libc::sigaction(signal, &raw const action, previous.as_mut_ptr());
        (set == 0).then(|| previous.assume_init())
    }
}

#[cfg(not(target_vendor = "apple"))]
pub(crate) use libc::__errno_location as errno_location;
#[cfg(target_vendor = "apple")]
pub(crate) use libc::__error as errno_location;

fn empty_set() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: fills the set.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    }
}

fn full_set() -> libc::sigset_t {
    let mut set = empty_set();
    // SAFETY: fills the set.
    unsafe { libc::sigfillset(&raw mut set) };
    set
}

/// Sets the mask of this thread, the only one there is while a child is looked after; gives the one before.
fn set_mask(mask: &libc::sigset_t) -> libc::sigset_t {
    let mut before = empty_set();
    // SAFETY: reads one set and fills another.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, mask, &raw mut before) };
    before
}
