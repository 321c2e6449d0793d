//! Sets of issued keys: pages under a seal, a tree of hashes over the sealed texts, a signed header, and the list of sets
//! that the vault's signed record binds.
//!
//! The order is held by types: the hash in a verified state record makes a [`VerifiedList`]; that and a signature make a
//! [`VerifiedHeader`]; that, and a root recomputed from the sealed texts, make a [`LoadedSet`]. Nothing else makes one.

mod carry;
mod change;
mod content;
mod error;
mod header;
mod keys;
mod kind;
mod list;
mod load;
mod narrow;
mod page;
mod tree;

pub use change::{Changes, Removal};
pub use content::{Content, Draft, Written};
pub use error::{SetError, WriteError};
pub use header::{
    Header, KindCount, MAX_NUMBER, MAX_PAGES, SignedBy, SignedHeader, SignerKind, VerifiedHeader,
};
pub use keys::{PageKeys, api_key, issued_key, names_key, page_key};
pub use kind::Kind;
pub use list::{List, Listed, Origin, VerifiedList};
pub use load::{LoadedSet, SealedPage};
pub use narrow::narrowings;
pub use page::{Found, MAX_PAGE, MAX_RECORDS, Page};

pub(crate) use header::Signature;
pub(crate) use keys::hold_key;
