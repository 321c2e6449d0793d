//! The project file: which keys a project needs, under which variables.
//!
//! It lies in a repository and was written by whoever wrote that, so it is a wish and no authority: it holds no secrets,
//! it can run nothing, and what it asks for is handed out only once this user has approved it for that path ([`approval`]).
//! This module reads and writes the file, remembers what was approved, and says how it stands with each variable. It asks
//! nothing, prints nothing and opens no vault; `keyvault-exec` resolves what the file asks for, all at once.
//!
//! - [`file`]: the text, parsed; [`template`]: text with values in it
//! - [`place`]: where the file is looked for, and whether it is believed to be this user's
//! - [`trust`]: folders of other users that are believed; [`worktrees`]: one file in several worktrees
//! - [`approval`]: what was approved; [`report`]: how it stands with each variable
//! - [`edit`]: entries that are added, comments kept; [`schema`]: the same grammar for editors
//! - [`reference`]: `kv://name` in other files; [`tracked`]: whether git keeps a file

pub(crate) mod approval;
pub(crate) mod edit;
pub(crate) mod error;
pub(crate) mod file;
pub(crate) mod place;
pub(crate) mod reference;
pub(crate) mod report;
pub mod schema;
pub(crate) mod template;
pub(crate) mod tracked;
pub(crate) mod trust;
mod worktrees;

pub(crate) use approval::Ask;
pub(crate) use error::{FileError, PlaceError, What};
pub use file::ProjectFile;
pub(crate) use file::{Entry, Profile, Section, VariableSource};
pub(crate) use place::FILE_NAME;
