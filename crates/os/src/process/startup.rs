//! How the process begins: what it was given, recorded; what a program needs from its first line on; and protection from
//! core files.
//!
//! A program that Rust's runtime starts pays for what this one does not use: a second stack for signals, handlers that
//! word a stack overflow, the bounds of the stack, read from `/proc/self/maps`. So [`entry!`] makes
//! the C library's `main` ours, and the rest of what the runtime does is done here: SIGPIPE is ignored, so that a write into
//! a closed pipe is an error to be reported; and `/dev/null` is opened on each of descriptors 0–2 that is closed, so that no
//! file of ours gets its number. Both would be inherited by the program that `exec` starts, which must find the world as
//! `env(1)` would have left it, and so what was there is recorded first.
//!
//! All of it happens in the list of initializers, which the loader runs before `main`: the tests' programs have the
//! runtime's `main`, and find the same. Nothing in [`begin`] may allocate or use the standard library's streams: neither is
//! ready at that time.
#![allow(unsafe_code, reason = "signal dispositions, descriptors, and code that runs before main")]

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

static RECORDED: AtomicBool = AtomicBool::new(false);
static SIGPIPE_IGNORED: AtomicBool = AtomicBool::new(false);
static CLOSED: [AtomicBool; 3] = [const { AtomicBool::new(false) }; 3];
static CORE_SOFT: AtomicU64 = AtomicU64::new(NO_LIMIT);
static CORE_HARD: AtomicU64 = AtomicU64::new(NO_LIMIT);

/// How "unlimited" is written in [`CORE_SOFT`] and [`CORE_HARD`]; no limit in bytes comes near it.
const NO_LIMIT: u64 = u64::MAX;

/// The whole message of a program that panics.
const PANIC: &[u8] = b"error: keyvault stopped because of an internal error. Please report it.\n";

/// Run by the loader. `used` keeps it in a program that links this crate as a library.
#[used]
#[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
#[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
static AT_START: extern "C" fn() = begin;

/// Makes `$run`, a `fn() -> u8` whose result is the exit code, the program.
///
/// Where the standard library knows the arguments only from its own start (anything but glibc and Apple's systems), that
/// is what runs it.
#[macro_export]
macro_rules! entry {
    ($run:path) => {
        #[cfg(any(all(target_os = "linux", target_env = "gnu"), target_vendor = "apple"))]
        #[allow(
            unsafe_code,
            reason = "the one name that the C library calls; nothing else in the program has it"
        )]
        #[unsafe(no_mangle)]
        pub extern "C" fn main() -> ::std::ffi::c_int {
            $crate::process::startup::harden();
            $crate::process::startup::abort_at_panic();
            ::std::ffi::c_int::from($run())
        }

        #[cfg(not(any(all(target_os = "linux", target_env = "gnu"), target_vendor = "apple")))]
        fn main() -> ::std::process::ExitCode {
            $crate::process::startup::harden();
            $crate::process::startup::abort_at_panic();
            ::std::process::ExitCode::from($run())
        }
    };
}

#[doc(inline)]
pub use entry;

/// The state that the process inherited, taken before anything changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inherited {
    /// True if SIGPIPE was ignored; else it had its default, as nothing else survives `execve`.
    pub sigpipe_ignored: bool,
    /// Which of descriptors 0, 1 and 2 were closed.
    pub closed: [bool; 3],
    /// The soft limit of core files in bytes; `None` is unlimited.
    pub core_soft: Option<u64>,
}

/// The state at the start of the process.
#[must_use]
pub fn inherited() -> Inherited {
    if !RECORDED.load(Ordering::Acquire) {
        // Not reached where initializers run; elsewhere, the present is the best that can be told.
        begin();
    }
    Inherited {
        sigpipe_ignored: SIGPIPE_IGNORED.load(Ordering::Relaxed),
        closed: CLOSED.each_ref().map(|closed| closed.load(Ordering::Relaxed)),
        core_soft: limit(&CORE_SOFT),
    }
}

/// Returns `true` if standard output was closed by the caller: what is written there goes nowhere, without an error.
#[must_use]
pub fn stdout_was_closed() -> bool {
    inherited().closed[1]
}

/// No core file, and no other process of the same user may attach to this one or read its memory.
///
/// Lowers the soft limit only, so that it can be put back for the program that `exec` starts. Both calls fail only
/// where a sandbox forbids them, and then there is nothing better to do than to go on.
pub fn harden() {
    if inherited().core_soft != Some(0) {
        set_core_soft(Some(0));
    }
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// Has a panic end the process at once: nothing of a step that failed in the middle is gone on with, and no destructor
/// runs on what it left. The message is one fixed line, since a payload may repeat a value.
pub fn abort_at_panic() {
    std::panic::set_hook(Box::new(|_| {
        // No lock of the standard library, which the thread that panics may hold.
        let _ = rustix::io::write(rustix::stdio::stderr(), PANIC);
        std::process::abort();
    }));
}

/// Puts back what a new program must find, for the moment before `execve`. The kernel makes a process dumpable
/// again by itself when the new program starts.
///
/// Descriptors that were closed are marked close-on-exec and not closed, so that they stay usable should `execve` fail.
pub(crate) fn give_back() {
    let inherited = inherited();
    if inherited.core_soft != Some(0) {
        set_core_soft(inherited.core_soft);
    }
    if !inherited.sigpipe_ignored {
        set_sigpipe(libc::SIG_DFL);
    }
    for (fd, closed) in (0..).zip(inherited.closed) {
        if closed {
            // SAFETY: sets a flag of a descriptor; a bad one is answered with an error.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
}

/// Undoes [`give_back`] after an `execve` that failed.
pub(crate) fn take_again() {
    set_sigpipe(libc::SIG_IGN);
    harden();
}

/// The hard limit is nowhere changed, so that the one of the start holds.
fn set_core_soft(soft: Option<u64>) {
    let maximum = limit(&CORE_HARD);
    let _ = setrlimit(Resource::Core, Rlimit { current: soft, maximum });
}

fn limit(recorded: &AtomicU64) -> Option<u64> {
    let bytes = recorded.load(Ordering::Relaxed);
    (bytes != NO_LIMIT).then_some(bytes)
}

fn set_sigpipe(disposition: libc::sighandler_t) {
    // SAFETY: SIG_DFL and SIG_IGN run no code of ours.
    unsafe { libc::signal(libc::SIGPIPE, disposition) };
}

/// Notes the state of the process and makes of it what a program needs. Only system calls and atomics, as it runs before
/// anything is set up.
extern "C" fn begin() {
    begin_with_sigpipe_ignored();
    begin_with_open_streams();
    begin_with_room();
    let core = getrlimit(Resource::Core);
    CORE_SOFT.store(core.current.unwrap_or(NO_LIMIT), Ordering::Relaxed);
    CORE_HARD.store(core.maximum.unwrap_or(NO_LIMIT), Ordering::Relaxed);
    RECORDED.store(true, Ordering::Release);
}

fn begin_with_sigpipe_ignored() {
    // SAFETY: zero is a valid action, with no flags and an empty mask, and SIG_IGN runs no code; the kernel fills the old
    // one.
    let before = unsafe {
        let mut ignore = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
        ignore.sa_sigaction = libc::SIG_IGN;
        let mut before = MaybeUninit::<libc::sigaction>::zeroed();
        libc::sigaction(libc::SIGPIPE, &raw const ignore, before.as_mut_ptr());
        before.assume_init()
    };
    SIGPIPE_IGNORED.store(before.sa_sigaction == libc::SIG_IGN, Ordering::Relaxed);
}

/// The heap grows by enough for an `exec` at once, and is not made smaller for a buffer that comes and goes. Memory that is
/// never touched costs nothing.
fn begin_with_room() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: numbers that the allocator reads when it next grows or shrinks the heap; no other thread runs yet.
    unsafe {
        libc::mallopt(libc::M_TOP_PAD, 512 << 10);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 2 << 20);
    }
}

fn begin_with_open_streams() {
    if !note_closed_at_once() {
        for (fd, closed) in (0..).zip(&CLOSED) {
            // SAFETY: asks for the flags of a descriptor; a closed one is answered with an error, the only one there is.
            let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
            closed.store(flags == -1, Ordering::Relaxed);
        }
    }
    for closed in &CLOSED {
        if closed.load(Ordering::Relaxed) {
            // SAFETY: the path ends in NUL. The number that is given is the lowest that is free, which is this one, since
            // those below it are open by now. Without /dev/null there is nothing to be put there.
            unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) };
        }
    }
}

/// Notes which streams are closed with one call; whether that worked. macOS knows no `poll` for terminals.
fn note_closed_at_once() -> bool {
    if cfg!(target_vendor = "apple") {
        return false;
    }
    let mut streams = [0, 1, 2].map(|fd| libc::pollfd { fd, events: 0, revents: 0 });
    // SAFETY: three entries, as said; the call does not wait, and writes into them alone.
    if unsafe { libc::poll(streams.as_mut_ptr(), 3, 0) } == -1 {
        return false;
    }
    for (stream, closed) in streams.iter().zip(&CLOSED) {
        closed.store(stream.revents & libc::POLLNVAL != 0, Ordering::Relaxed);
    }
    true
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::process::Command;

    const EXPECTED: &str = "TEST_STARTUP_EXPECTED";

    /// Not a test by itself: run by the others in a process of its own, it compares what was recorded.
    #[test]
    fn child_sees_what_it_was_given() {
        if let Ok(expected) = std::env::var(EXPECTED) {
            let seen = inherited();
            harden();
            assert_eq!(getrlimit(Resource::Core).current, Some(0));
            assert_eq!(inherited(), seen, "hardening changes nothing that was recorded");
            assert_eq!(format!("{} {:?}", seen.sigpipe_ignored, seen.closed), expected);
        }
    }

    fn child_expecting(expected: &str, shell: &str) {
        let script =
            format!("{shell}; exec \"$0\" --exact process::startup::tests::child_sees_what_it_was_given");
        let status = Command::new("sh")
            .args(["-c", &script])
            .arg(std::env::current_exe().unwrap())
            .env(EXPECTED, expected)
            .output()
            .unwrap()
            .status;
        assert!(status.success(), "{expected}");
    }

    #[test]
    fn closed_streams_and_sigpipe_are_seen_before_they_are_changed() {
        child_expecting("false [false, false, false]", ":");
        child_expecting("false [false, true, false]", "exec >&-");
        child_expecting("false [true, false, true]", "exec <&- 2>&-");
        child_expecting("true [false, false, false]", "trap '' PIPE");
    }
}
