//! Services of the operating system that Rust's standard library does not offer.
//!
//! This crate knows files, descriptors, processes, kernel keys, signals and terminals. It knows nothing of vaults, keys or
//! commands, prints only what a prompt must show, and reads no environment variable. It is the one crate with `unsafe`;
//! each file that needs it says why at its head, and each block says why it is sound.
//!
//! Two rules hold throughout. Every descriptor opened here is close-on-exec, so that a child inherits what the caller
//! passed and nothing of ours. And every change to process-wide state (limits, dispositions, terminal modes) is undone by
//! the code that made it, or put back before `execve`.

pub mod brief_index;
pub mod fs;
pub mod kernel_keyring;
pub mod process;
pub mod sqlite_build;
pub mod terminal;
