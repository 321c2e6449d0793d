//! The life of a key in the vault.
//!
//! [`Vault`] is a file that was opened safely; [`Access`] is what a passphrase, a recovery code, a keyring or a session gives;
//! together they make transactions ([`Vault::read`] and those behind each command) in which every row is
//! verified against the tree before it is believed, and in which the audit event commits before a value leaves. A
//! [`Reading`] is such a transaction held open, over the keys of any supplier ([`Supply`]).

#![forbid(unsafe_code)]

pub mod audit;
pub mod check;
mod error;
pub mod file;
pub mod issued;
pub mod key;
mod ledger;
mod sealed;
pub mod slot;
pub mod state;
mod store;
pub mod supply;
pub mod time;
pub mod token;
mod tx;
pub mod unlock;

pub use check::{Checked, Finding};
pub use error::{VaultError, hides_its_name};
pub use file::backup::{Difference, Mark, Restored};
pub use file::busy::{Holder, Holders};
pub use file::create::{Created, Creation};
pub use file::diff::{Compared, Comparison, Contents, Field, Taken, Takeover, VersionPair};
pub use file::open::{Access, Notice, Notices, Refusal, Vault, World};
pub use file::rollback_alarm::Adopted;
pub use file::sealing::{Opens, RootAfter, Sealing};
pub use file::survivors::Loss;
pub use key::edit::{Edit, NewKey, Origin};
pub use key::history::Usage;
pub use key::import::{Conflict, Import, Imported, Incoming};
pub use key::record::{
    Alarm, Decoy, Disabled, KeyRecord, OnTrip, Rotation, RotationMode, RotationOutcome, RotationStep, Status,
    Version, VersionOrigin, VersionState,
};
pub use key::removal::{RemovedKey, Undeleted};
pub use key::rotate::{History, NewValue, Revocation, Terms, Which};
pub use ledger::Ledgers;
pub use slot::rekey::{RekeyPreview, Rekeyed};
pub use slot::strays::{PassedOver, Unusable};
pub use slot::{Credential, Slot};
pub use store::{LedgerId, Oddity, StoreError, Stray, TokenId};
pub use supply::{Encoding, Fragment, Shape, Unrecorded};
pub use supply::{FieldFault, JsonField, JsonKind, JsonText, NotAField, NotJson};
pub use supply::{KeySource, KeyView, Keys, Looking, Purpose, Reading, Recorded, Supply, Taking};
pub use token::bearer::{BearerKeys, GrantedTo};
pub use token::bundle::{Bundle, BundleContent, BundleLabel, Bundled, MAX_BUNDLE};
pub use token::edit::{Edited, TokenEdit};
pub use token::error::TokenError;
pub use token::grant::Grant;
pub use token::grant::View;
pub use token::limited::{LONGEST as LONGEST_SESSION, Sought};
pub use token::offline_reads::ReadsLine;
pub use token::offline_reads::{ImportedReads, ReadsLog, Unproved};
pub use token::read_log::{BrokenReads, Of, Reader, VerifiedReads};
pub use token::record::{Apis, Rule, TokenKind, TokenRecord};
pub use token::{Issued, KeysOfIssuer, Listed, NewIssuer, NewToken};
pub use tx::VerifiedTx;
pub use tx::names::Names;
