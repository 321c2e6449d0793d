//! The process: what must happen before anything else, then the command line.

use std::process::ExitCode;

use keyvault::cli;
use keyvault::clock::SystemClock;
use keyvault::sys::alloc::WipingAllocator;
use keyvault::sys::startup;

#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator;

fn main() -> ExitCode {
    startup::harden();
    ExitCode::from(cli::run(&std::env::args_os().collect::<Vec<_>>(), &SystemClock))
}
