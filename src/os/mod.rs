//! What Rust's standard library does not offer of the operating system.
//!
//! This room knows files, descriptors, processes, kernel keys, signals and terminals. It knows nothing of vaults,
//! keys or commands, prints only what a prompt must show, and reads no environment variable. It is the one room
//! with `unsafe`; each file that needs it says why at its head, and each block says why it is sound.
//!
//! Two rules hold throughout. Every descriptor opened here is close-on-exec, so that a child inherits what the
//! caller passed and nothing of ours. And every change to process-wide state (limits, dispositions, terminal
//! modes) is undone by the code that made it, or put back before `execve`.
//!
//! - [`alloc`]: an allocator that wipes what it frees
//! - [`startup`]: what the process was given before Rust's runtime touched it, and protection from core files
//! - [`exec`]: the search for a program, the environment block, the jump into the program
//! - [`descriptors`]: what a program finds on its descriptors; [`memory_folder`]: files that live as long as a command
//! - [`child`]: a program as a child of ours; [`signals`]: those that come for it, [`signal_names`]: how they are called, [`witness`]: whom they were sent to
//! - [`pty`]: a terminal between a child and the caller's; [`leader`]: a child on it; [`lent`]: the caller's pipes while it runs
//! - [`keyring`]: the kernel's keys, where an open session lives
//! - [`files`]: the checks before a vault is opened, with what they find in [`fault`]; [`private`]: files nobody else may read;
//!   [`foreign`]: files that somebody else may have put there; [`lock`]: flock
//! - [`tty`]: prompts on the caller's terminal; [`line`]: the editing of the line typed there
//! - [`aside`]: work that may never end, given up after a time
//! - [`cores`]: the same work on many things, on all cores
//! - [`conflicts`]: what a sync service left beside a file; [`synced`]: whether one looks after a folder
//! - [`interrupt`]: signals that are noted until everything is cleaned up
//! - [`who`]: on whose behalf the process runs, for the audit log

pub mod fs;
pub mod kernel_keyring;
pub mod process;
pub mod terminal;
