//! Tests that take minutes: every kill, every turned bit, power cuts, an attacker's thousand keys.

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
const WHOLE_TABLES: bool = true;

mod attacker;
mod concurrency;
mod crash;
mod crash_vault;
#[path = "../it/damaged_file.rs"]
mod damaged_file;
mod flips;
mod power;
