//! `keyvault`: a person's API keys in one sealed file, handed to exactly the process that needs them.
//!
//! The command line, project files, and import and export; the crates `keyvault-*` hold everything else
//! (`docs/ARCHITECTURE.md`).

#![forbid(unsafe_code)]

pub mod cli;
pub mod exchange;
#[doc(hidden)]
pub mod fuzzing;
pub mod project;
