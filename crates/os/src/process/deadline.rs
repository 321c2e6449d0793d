//! Work that may never end, done on a thread of its own and given up after a time.
//!
//! A request to another process takes as long as that process likes. The thread that waits cannot be ended from outside;
//! it is left behind, and goes with this process or with the program that takes its place. It and whatever threads it
//! starts take no signals, so that Ctrl-C at a later prompt reaches the thread that asks.
#![allow(unsafe_code, reason = "signal masks, which std does not know")]

use std::mem::MaybeUninit;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// Why there is no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GaveUp {
    TimedOut,
    /// There was no thread to be had, or the work ended without a result.
    Died,
}

/// The result of `work`, if it comes within `limit`.
pub fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, GaveUp> {
    let (send, receive) = mpsc::sync_channel(1);
    let started = without_signals(|| {
        thread::Builder::new().name("aside".to_owned()).spawn(move || {
            // No one receives any more once the time is over.
            let _ = send.send(work());
        })
    });
    if started.is_err() {
        return Err(GaveUp::Died);
    }
    receive.recv_timeout(limit).map_err(|error| match error {
        RecvTimeoutError::Timeout => GaveUp::TimedOut,
        RecvTimeoutError::Disconnected => GaveUp::Died,
    })
}

/// Runs `start` with every signal blocked; a thread that it starts inherits that, and this thread gets its mask back.
fn without_signals<T>(start: impl FnOnce() -> T) -> T {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the first call fills `all`; the second reads it and fills `before`. With valid arguments neither fails.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    let started = start();
    // SAFETY: `before` was filled above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    started
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocked(signal: libc::c_int) -> bool {
        let mut mask = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: a null new mask only asks; the kernel fills the old one.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, std::ptr::null(), mask.as_mut_ptr());
            libc::sigismember(mask.as_ptr(), signal) == 1
        }
    }

    #[test]
    fn what_ends_in_time_has_a_result_and_what_does_not_is_left() {
        assert_eq!(within(Duration::from_secs(60), || 7), Ok(7));
        let endless = || thread::sleep(Duration::from_secs(600));
        assert_eq!(within(Duration::from_millis(20), endless), Err(GaveUp::TimedOut));
    }

    #[test]
    fn the_thread_takes_no_signals_and_this_one_takes_what_it_took() {
        let before = blocked(libc::SIGINT);
        let inside = within(Duration::from_secs(60), || [libc::SIGINT, libc::SIGTERM].map(blocked));
        assert_eq!((inside, blocked(libc::SIGINT)), (Ok([true, true]), before));
    }
}
