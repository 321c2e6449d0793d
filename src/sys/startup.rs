//! What the process was given, recorded before Rust's runtime changes it.
//!
//! The runtime ignores SIGPIPE and opens /dev/null in place of closed standard descriptors before `main`. A child that
//! is to see the caller's world needs both put back, so a function among the program's initialisers looks first.

#![allow(unsafe_code, reason = "raw system calls before the runtime starts, and a link section")]

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

static SIGPIPE_IGNORED: AtomicBool = AtomicBool::new(false);
static CLOSED: AtomicI32 = AtomicI32::new(0);
static CORE_SOFT: AtomicU64 = AtomicU64::new(0);

/// What the caller gave this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inherited {
    /// Whether the caller ignores SIGPIPE.
    pub sigpipe_ignored: bool,
    /// Which of the descriptors 0, 1, 2 were closed.
    pub closed: [bool; 3],
    /// The soft limit of core files, in bytes.
    pub core_soft: u64,
}

/// What was recorded when the process started.
#[must_use]
pub fn inherited() -> Inherited {
    let closed = CLOSED.load(Ordering::Relaxed);
    Inherited {
        sigpipe_ignored: SIGPIPE_IGNORED.load(Ordering::Relaxed),
        closed: [closed & 1 != 0, closed & 2 != 0, closed & 4 != 0],
        core_soft: CORE_SOFT.load(Ordering::Relaxed),
    }
}

/// No core file and no debugger of the same user sees this process: lowers the soft core limit only (the hard one
/// could not be given back) and makes the process undumpable. Both end with exec(2).
pub fn harden() {
    set_core_soft(0);
    set_dumpable(false);
}

/// Puts the core limit back for a child that takes this process's place.
pub(super) fn soften() {
    set_core_soft(inherited().core_soft);
    set_dumpable(true);
}

fn set_core_soft(soft: u64) {
    // SAFETY: both calls get a pointer to a live rlimit structure.
    unsafe {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        if libc::getrlimit(libc::RLIMIT_CORE, &raw mut limit) == 0 {
            limit.rlim_cur = soft.min(limit.rlim_max);
            libc::setrlimit(libc::RLIMIT_CORE, &raw const limit);
        }
    }
}

#[cfg(target_os = "linux")]
fn set_dumpable(dumpable: bool) {
    // SAFETY: PR_SET_DUMPABLE takes an integer.
    unsafe {
        libc::prctl(libc::PR_SET_DUMPABLE, libc::c_ulong::from(dumpable), 0, 0, 0);
    }
}

#[cfg(not(target_os = "linux"))]
fn set_dumpable(_: bool) {}

#[used]
#[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
#[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
static RECORD: extern "C" fn() = record;

extern "C" fn record() {
    // SAFETY: the calls get pointers to live structures; nothing here allocates or needs the runtime.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(libc::SIGPIPE, std::ptr::null(), &raw mut action) == 0 {
            SIGPIPE_IGNORED.store(action.sa_sigaction == libc::SIG_IGN, Ordering::Relaxed);
        }
        let mut closed = 0;
        for descriptor in 0..3 {
            if libc::fcntl(descriptor, libc::F_GETFD) == -1 {
                closed |= 1 << descriptor;
            }
        }
        CLOSED.store(closed, Ordering::Relaxed);
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        if libc::getrlimit(libc::RLIMIT_CORE, &raw mut limit) == 0 {
            CORE_SOFT.store(limit.rlim_cur, Ordering::Relaxed);
        }
    }
}
