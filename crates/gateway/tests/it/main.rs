//! The gateway over real sockets, with a service behind it that records every byte.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test may fail"
)]

mod forwarding;
mod harness;
mod keys;
mod owner;
mod program;
mod smuggling;
mod streaming;
mod tls;
mod verdicts;
