//! `keyvault`: a person's API keys in one sealed file, handed to exactly the process that needs them.
//!
//! Imports point down this list and never up; `tests/library/architecture.rs` holds them against it.

pub mod audit;
pub mod cli;
pub mod clock;
pub mod codec;
pub mod crypto;
pub mod exchange;
pub mod exec;
#[doc(hidden)]
pub mod fuzzing;
pub mod identity;
pub mod name;
pub mod os;
pub mod project;
pub mod recipe;
pub mod secret;
pub mod state;
pub mod store;
pub mod unlock;
pub mod vault;
