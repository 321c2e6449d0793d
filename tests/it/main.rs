//! Tests of the real binary that are quick and need neither rights nor more than every system has.

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

/// True if the tables of `damaged_file` are run to their ends.
const WHOLE_TABLES: bool = false;

mod add;
mod approval;
mod arguments;
mod audit;
mod audit_export;
mod backup;
mod bearer_list;
mod bundles;
mod check;
mod client;
mod clipboard;
mod clock;
mod completion;
mod copy;
mod damaged_file;
mod delivery;
mod diff;
mod disable;
mod disk_errors;
mod display;
mod doctor;
mod drop_damaged;
mod edit;
mod env_file;
mod errors;
mod exact_values;
mod exec;
mod exec_slips;
mod expiring_soon;
mod export;
mod extends;
mod first_project;
mod gateway_program;
mod generated_key_pairs;
mod github_env;
mod grace;
mod help;
mod history;
mod home;
mod import;
mod init;
mod interpreters;
mod issue;
mod issue_formers;
mod json;
mod leaks;
mod ledgers;
mod left_out;
mod limited_session;
mod lines_left_out;
mod list;
mod log_gap;
mod mappings;
mod mask;
mod masked_data;
mod masked_writers;
mod names;
mod nested_exec;
mod old_hosts;
mod panics;
mod passwd;
mod permissions;
mod phrasing;
mod presets;
mod project;
mod prompt;
mod public_keys;
mod quiet;
mod read_log;
mod reads;
mod recover;
mod recovery;
mod rekey;
mod rekey_overlap;
mod remove;
mod render;
mod restore;
mod restore_before_rekey;
mod restore_narrowed;
mod restore_only;
mod restore_revoked;
mod revoke;
mod revoke_damaged;
mod rollback;
mod rollback_alarm;
mod rotate;
mod session;
mod settings;
mod show;
mod slips;
mod slots;
mod slots_passed_over;
mod streams;
mod supervise;
mod tamper;
mod test_clock;
mod token_alone;
mod token_edit;
mod token_variables;
mod tokens;
mod tour;
mod undelete;
mod vault_file;
mod verify;
mod watch;
mod worktrees;
