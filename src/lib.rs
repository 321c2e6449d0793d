//! `keyvault`: a person's API keys in one sealed file, handed to exactly the process that needs them.
//!
//! Imports point down this list and never up; `tests/library/architecture.rs` holds them against it.

pub mod cli;
pub mod exchange;
#[doc(hidden)]
pub mod fuzzing;
pub mod project;
