//! Tests through the library: the format, its vectors, what the fuzzer kept, and the rules of the source.

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

mod architecture;
mod by_hand;
mod corpus;
mod format;
mod project_schema;
mod sets;
mod testkit;
mod vectors;
