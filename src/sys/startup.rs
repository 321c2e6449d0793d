//! What the process was given, recorded before Rust's runtime changes it; and protection from core files.
//!
//! Before `main`, the runtime ignores SIGPIPE and opens `/dev/null` on each of descriptors 0–2 that is closed. Both
//! would be inherited by the program that `exec` starts, which must find the world as `env(1)` would have left it.
//! So a function in the list of initialisers, which the loader runs before the runtime, notes both, and the soft
//! limit of core files with them, since [`harden`] lowers it.
//!
//! Nothing here may allocate or use the standard library's streams in [`record`]: neither is ready at that time.
#![allow(unsafe_code, reason = "signal dispositions, and code that runs before main")]

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

static RECORDED: AtomicBool = AtomicBool::new(false);
static SIGPIPE_IGNORED: AtomicBool = AtomicBool::new(false);
static CLOSED: [AtomicBool; 3] = [const { AtomicBool::new(false) }; 3];
static CORE_SOFT: AtomicU64 = AtomicU64::new(NO_LIMIT);

/// How "unlimited" is written in [`CORE_SOFT`]; no limit in bytes comes near it.
const NO_LIMIT: u64 = u64::MAX;

/// Run by the loader, before the runtime. `used` keeps it in a program that links this crate as a library.
#[used]
#[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
#[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
static AT_START: extern "C" fn() = record;

/// What was there at the start of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inherited {
    /// Whether SIGPIPE was ignored; else it had its default, as nothing else survives `execve`.
    pub sigpipe_ignored: bool,
    /// Which of descriptors 0, 1 and 2 were closed.
    pub closed: [bool; 3],
    /// The soft limit of core files in bytes; `None` is unlimited.
    pub core_soft: Option<u64>,
}

/// What the process was given at its start.
#[must_use]
pub fn inherited() -> Inherited {
    if !RECORDED.load(Ordering::Acquire) {
        // Not reached where initialisers run; elsewhere, the present is the best that can be told.
        record();
    }
    let core = CORE_SOFT.load(Ordering::Relaxed);
    Inherited {
        sigpipe_ignored: SIGPIPE_IGNORED.load(Ordering::Relaxed),
        closed: CLOSED.each_ref().map(|closed| closed.load(Ordering::Relaxed)),
        core_soft: (core != NO_LIMIT).then_some(core),
    }
}

/// Whether standard output was closed by the caller: what is written there goes nowhere, without an error.
#[must_use]
pub fn stdout_was_closed() -> bool {
    inherited().closed[1]
}

/// No core file, and no other process of the same user may attach to this one or read its memory.
///
/// Lowers the soft limit only, so that it can be put back for the program that `exec` starts. Both calls fail only
/// where a sandbox forbids them, and then there is nothing better to do than to go on.
pub fn harden() {
    let _ = inherited();
    set_core_limit(Some(0));
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// Puts back what a new program must find, for the moment before `execve`. The kernel makes a process dumpable
/// again by itself when the new program starts.
///
/// Descriptors that were closed are marked close-on-exec and not closed, so that they stay usable should `execve` fail.
pub(super) fn give_back() {
    let inherited = inherited();
    set_core_limit(inherited.core_soft);
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
pub(super) fn take_again() {
    set_sigpipe(libc::SIG_IGN);
    harden();
}

fn set_core_limit(soft: Option<u64>) {
    let maximum = getrlimit(Resource::Core).maximum;
    let current = match (soft, maximum) {
        (Some(soft), Some(hard)) => Some(soft.min(hard)),
        (None, hard) => hard,
        (soft, None) => soft,
    };
    let _ = setrlimit(Resource::Core, Rlimit { current, maximum });
}

fn set_sigpipe(disposition: libc::sighandler_t) {
    // SAFETY: SIG_DFL and SIG_IGN run no code of ours.
    unsafe { libc::signal(libc::SIGPIPE, disposition) };
}

/// Notes the state of the process. Only system calls and atomics, as it runs before anything is set up.
extern "C" fn record() {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null new action only asks; the kernel fills the old one, and zero is a valid value of it.
    let action = unsafe {
        libc::sigaction(libc::SIGPIPE, std::ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    SIGPIPE_IGNORED.store(action.sa_sigaction == libc::SIG_IGN, Ordering::Relaxed);

    for (fd, closed) in (0..).zip(&CLOSED) {
        // SAFETY: asks for the flags of a descriptor; a closed one is answered with an error, the only one there is.
        let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
        closed.store(flags == -1, Ordering::Relaxed);
    }

    CORE_SOFT.store(getrlimit(Resource::Core).current.unwrap_or(NO_LIMIT), Ordering::Relaxed);
    RECORDED.store(true, Ordering::Release);
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
            format!("{shell}; exec \"$0\" --exact sys::startup::tests::child_sees_what_it_was_given");
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
    fn closed_streams_and_sigpipe_are_seen_before_the_runtime_changes_them() {
        child_expecting("false [false, false, false]", ":");
        child_expecting("false [false, true, false]", "exec >&-");
        child_expecting("false [true, false, true]", "exec <&- 2>&-");
        child_expecting("true [false, false, false]", "trap '' PIPE");
    }
}
