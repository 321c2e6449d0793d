//! The process: what must happen before anything else, then the command line.

#![cfg_attr(any(all(target_os = "linux", target_env = "gnu"), target_vendor = "apple"), no_main)]

use keyvault_core::clock::SystemClock;
use keyvault_os::process::alloc::WipingAllocator;
use keyvault_os::process::startup;

#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator;

startup::entry!(run);

fn run() -> u8 {
    keyvault::run(&std::env::args_os().collect::<Vec<_>>(), &SystemClock)
}
