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

mod harness;

mod child;
mod ci_boxes;
mod ci_docs;
mod ci_stage;
mod completion;
mod crash;
mod crash_ways;
mod delivery;
mod desktop;
mod doctor;
mod errors;
mod exchange;
mod exec;
mod file;
mod flips;
mod hostile;
mod keyring;
mod keys;
mod leaks;
mod life;
mod machines;
mod masked_writers;
mod place;
mod project;
mod project_files;
mod prompt;
mod review;
mod review_child;
mod review_cli;
mod review_hands;
mod review_life;
mod review_restore;
mod review_texts;
mod review_tokens;
mod review_ways;
mod session;
mod streams;
mod terminal;
mod together;
mod token_variables;
mod tokens;
mod tour;
mod values;
mod watch;
mod ways;
