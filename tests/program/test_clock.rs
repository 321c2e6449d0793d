//! `keyvault` by a clock that a test sets; see `tests/harness/mod.rs`.
//!
//! `KEYVAULT_TEST_CLOCK` names a file that holds the time as RFC 3339. It is read each time that the time is asked for, so a
//! command that is running notices a change. Without the variable this program goes by the system's clock.
#![cfg_attr(any(all(target_os = "linux", target_env = "gnu"), target_vendor = "apple"), no_main)]
#![allow(clippy::panic, reason = "a test that misleads its own program should fail")]

use keyvault_core::clock::{Clock, Moment, SystemClock};
use keyvault_os::process::alloc::WipingAllocator;
use keyvault_os::process::startup;

#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator;

static CLOCK: TestClock = TestClock;

struct TestClock;

impl Clock for TestClock {
    fn now(&self) -> Moment {
        let Some(path) = std::env::var_os("KEYVAULT_TEST_CLOCK") else { return SystemClock.now() };
        let read = match std::fs::read_to_string(&path) {
            // A test takes the descriptors away; what it looks at are the errors of everything else.
            Err(error) if error.raw_os_error() == Some(libc::EMFILE) => return SystemClock.now(),
            read => read.map_err(|error| error.to_string()),
        };
        let time =
            read.and_then(|text| text.trim().parse::<jiff::Timestamp>().map_err(|why| why.to_string()));
        match time {
            Ok(time) => Moment(time.as_millisecond()),
            Err(why) => panic!("KEYVAULT_TEST_CLOCK names {}: {why}", path.display()),
        }
    }
}

startup::entry!(run);

fn run() -> u8 {
    keyvault::run(&std::env::args_os().collect::<Vec<_>>(), &CLOCK)
}
