//! The life of a key in the vault.
//!
//! [`Vault`] is a file that was opened safely; [`Access`] is what a passphrase, a recovery code or a session gives;
//! together they make transactions ([`Vault::read`], [`Vault::release`], [`Vault::change`]) in which every row is
//! verified against the tree before it is believed, and in which the audit event commits before a value leaves.

mod adopt;
mod aftermath;
mod aging;
mod backup;
mod catalog;
mod check;
mod create;
mod directory;
mod draft;
mod error;
mod holder;
mod import;
mod item;
mod leaves;
mod lifecycle;
mod open;
mod opener;
mod rekey;
mod resolve;
mod scopes;
mod ways;
mod work;

pub use adopt::Adopted;
pub use aftermath::{Aftermath, Fate, Given, Glance};
pub use backup::{Difference, Mark, Restored};
pub use catalog::{Edit, NewKey, Origin};
pub use check::{Checked, Finding};
pub use create::{Created, Creation};
pub use directory::Names;
pub use error::VaultError;
pub use holder::{Holder, Holders};
pub use import::{Conflict, Import, Imported, Incoming};
pub use item::{Item, Status, Version, VersionState};
pub use lifecycle::{History, NewValue, Revocation, Terms, Which, new_name};
pub use open::{Access, Notice, Vault, World};
pub use rekey::Rekeyed;
pub use resolve::{LineFault, Preview, Problem, Purpose, Resolved, Selection};
pub use ways::{Credential, Way};
pub use work::Work;
