//! `keyvault`: a person's API keys in one sealed file, handed to exactly the process that needs them.
//!
//! The command line, project files, and import and export; the crates `keyvault-*` hold everything else
//! (`docs/ARCHITECTURE.md`).

#![forbid(unsafe_code)]

mod cli;
mod exchange;
#[doc(hidden)]
pub mod fuzzing;
mod project;

pub use cli::run;
#[doc(hidden)]
pub use project::{ProjectFile, schema};
