//! Tests that need root or programs that not every system has: terminals, keyrings, other shells, file systems, tracers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::pedantic,
    clippy::explicit_counter_loop,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a test may fail"
)]

#[path = "../harness/mod.rs"]
#[allow(dead_code, reason = "each suite uses a part of it")]
mod harness;

mod approval;
mod attaching;
mod ci_boxes;
mod ci_docs;
mod ci_stage;
mod clipboard;
mod completion;
mod concurrency;
mod conformance;
mod delivery;
mod disk_errors;
mod display;
mod doctor;
mod exec;
mod export;
mod format_reader;
mod github_env;
mod home;
mod import;
mod init;
mod json_answers;
mod keyring;
mod leaks;
mod manual;
mod mask;
mod other_users_checkout;
mod other_users_home;
mod packages;
mod paste;
mod permissions;
mod project;
mod project_schema;
mod prompt;
mod public_keys;
mod readme;
mod recover;
mod restore;
mod rollback_alarm;
mod rotate;
mod session;
mod supervise;
mod vault_file;
mod watch;
