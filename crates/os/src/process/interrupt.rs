//! Signals that would end the process before it has cleaned up after itself: noted instead, for as long as that takes.
#![allow(unsafe_code, reason = "signal handlers")]

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicU8, Ordering};

/// The last signal that came; 0 for none.
static NOTED: AtomicU8 = AtomicU8::new(0);

/// While it lives, INT, TERM and HUP are noted and end nothing; their dispositions are put back on drop.
#[derive(Debug)]
pub struct Interrupts {
    previous: Vec<(c_int, libc::sigaction)>,
}

impl Interrupts {
    /// Begins to note. What the caller has ignored stays ignored.
    #[must_use]
    pub fn watch() -> Self {
        NOTED.store(0, Ordering::Relaxed);
        let mut previous = Vec::new();
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            let handler: extern "C" fn(c_int) = note;
            // SAFETY: an all-zero action is valid (no flags, empty mask); the kernel fills the old one; the handler only
            // stores an atomic and is never unloaded.
            unsafe {
                let mut before = MaybeUninit::<libc::sigaction>::zeroed();
                libc::sigaction(signal, ptr::null(), before.as_mut_ptr());
                let before = before.assume_init();
                if before.sa_sigaction == libc::SIG_IGN {
                    continue;
                }
                let mut action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
                action.sa_sigaction = handler as libc::sighandler_t;
                if libc::sigaction(signal, &raw const action, ptr::null_mut()) == 0 {
                    previous.push((signal, before));
                }
            }
        }
        Self { previous }
    }

    /// The number of the signal that came, if one did.
    #[must_use]
    pub fn noted(&self) -> Option<u8> {
        Some(NOTED.load(Ordering::Relaxed)).filter(|signal| *signal != 0)
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        for (signal, before) in &self.previous {
            // SAFETY: `before` is what the kernel gave for this signal.
            unsafe { libc::sigaction(*signal, before, ptr::null_mut()) };
        }
    }
}

extern "C" fn note(signal: c_int) {
    NOTED.store(u8::try_from(signal).unwrap_or(u8::MAX), Ordering::Relaxed);
}
