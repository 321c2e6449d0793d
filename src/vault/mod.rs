//! The life of a key in the vault.
//!
//! [`Vault`] is a file that was opened safely; [`Access`] is what a passphrase, a recovery code or a session gives;
//! together they make transactions ([`Vault::read`], [`Vault::release`], [`Vault::change`]) in which every row is
//! verified against the tree before it is believed, and in which the audit event commits before a value leaves.

mod adopt;
mod aging;
mod backup;
mod bundle;
mod catalog;
mod check;
mod check_tokens;
mod create;
mod directory;
mod draft;
mod error;
mod grant;
mod granted;
mod holder;
mod import;
mod item;
mod leaves;
mod lifecycle;
mod open;
mod opener;
mod reads;
mod rekey;
mod resolve;
mod scopes;
mod source;
mod token;
mod token_error;
mod token_record;
mod token_work;
mod ways;
mod work;

pub use adopt::Adopted;
pub use backup::{Difference, Mark, Restored};
pub use bundle::{Bundle, BundleContent, BundleLabel, Bundled, MAX_BUNDLE};
pub use catalog::{Edit, NewKey, Origin};
pub use check::{Checked, Finding};
pub use create::{Created, Creation};
pub use directory::Names;
pub use error::VaultError;
pub(crate) use grant::Grant;
pub use grant::View;
pub use granted::Holding;
pub use holder::{Holder, Holders};
pub use import::{Conflict, Import, Imported, Incoming};
pub use item::{Item, Status, Version, VersionState};
pub use lifecycle::{History, NewValue, Revocation, Terms, Which, new_name};
pub use open::{Access, Notice, Vault, World};
pub(crate) use reads::ReadsLine;
pub use reads::{BroughtHome, ReadsLog};
pub use rekey::Rekeyed;
pub use resolve::{Preview, Problem, Purpose, Resolved, Selection};
pub use token::{Issued, Listed, NewToken};
pub use token_error::TokenError;
pub use token_record::{Rule, TokenRecord};
pub use ways::{Credential, Way};
pub use work::Work;
