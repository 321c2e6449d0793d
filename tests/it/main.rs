//! Everything that is tested through the real binary, on one hermetic harness.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::pedantic,
    clippy::explicit_counter_loop,
    unreachable_pub,
    clippy::print_stdout,
    reason = "a test may fail"
)]

#[path = "../harness/mod.rs"]
mod harness;

mod add;
mod approval;
mod arguments;
mod audit;
mod backup;
mod bundles;
mod check;
mod ci_boxes;
mod ci_docs;
mod ci_stage;
mod clock;
mod completion;
mod concurrency;
mod crash;
mod crash_vault;
mod delivery;
mod disk_errors;
mod display;
mod doctor;
mod edit;
mod env_file;
mod errors;
mod exact_values;
mod exec;
mod export;
mod flips;
mod github_env;
mod grace;
mod help;
mod history;
mod home;
mod import;
mod init;
mod keyring;
mod leaks;
mod mappings;
mod mask;
mod names;
mod passwd;
mod permissions;
mod project;
mod prompt;
mod read_log;
mod recover;
mod rekey;
mod remove;
mod render;
mod restore;
mod restore_revoked;
mod revoke;
mod rollback;
mod rollback_alarm;
mod rotate;
mod session;
mod show;
mod slots;
mod streams;
mod supervise;
mod tamper;
mod tokens;
mod tour;
mod vault_file;
mod watch;
