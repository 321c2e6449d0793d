//! HTTP in front of an API whose keys `keyvault` issues.
//!
//! A request comes in through a guard that leaves its head one reading ([`head`]), is matched with a route, or refused
//! ([`routes`]), judged by its key ([`verdict`]), and forwarded ([`upstream`]). Nothing of a request is rewritten to make it
//! acceptable: it passes as it is, or is refused.
//!
//! This is the only async code of the workspace. One thread with a runtime of its own serves a connection from its first
//! byte to its last; nothing on a request's path waits for another thread.

#![forbid(unsafe_code)]

mod admin;
mod answer;
mod config;
mod credential;
mod error;
mod exchange;
mod explain;
mod fields;
mod gateway;
mod head;
mod headers;
mod keys;
mod log;
mod metrics;
mod routes;
mod run;
mod service;
mod state;
mod tls;
mod upstream;
mod verdict;
mod worker;

pub use config::{Config, Fault};
pub use error::StartError;
pub use gateway::Gateway;
pub use log::Log;
pub use run::{read_config, run};
pub use verdict::{Asked, Judge, Known, LimitState, Outcome, Verdict};
