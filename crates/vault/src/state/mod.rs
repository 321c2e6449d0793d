//! The state of the whole file: a keyed hash tree over every live row, a record that names its root, and a pin outside
//! the file that remembers the record.
//!
//! The tree notices a row that was swapped, deleted, added or aged ([`tree`]); the record binds the tree to a change
//! number and to the audit chain ([`record`]); the pin notices that the whole file was put back ([`pin`]).

pub mod pin;
pub mod pin_file;
pub mod proof;
pub(crate) mod record;
pub(crate) mod tree;
pub(crate) mod witness;

pub use record::{Record, SignedBy};
pub use tree::Node;

use crate::audit::AuditError;
use crate::store::{StoreError, damage};

/// Why rows, tree and record do not fit together. `Display` is words that follow the name of a row.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A row is not the one that the tree knows.
    #[error("{what} does not match the tree")]
    Mismatch {
        /// Which row or node.
        what: String,
    },
    /// Rows do not fit together in another way than that the tree knows others.
    #[error("{what}")]
    Apart {
        /// Which, and how.
        what: String,
    },
    /// The state record was not made by this vault's key.
    #[error("the state record is not authentic")]
    Record,
    #[error("{what}, which this version of keyvault does not know")]
    Newer {
        /// Which row, and what of it.
        what: String,
    },
    /// The chain does not fit the record.
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error("{}", .0.fault())]
    Store(#[from] StoreError),
}

impl StateError {
    /// The message about the vault in this file.
    pub(crate) fn about(&self, file: &dyn std::fmt::Display) -> String {
        match self {
            Self::Store(error) => error.about(file),
            Self::Audit(error) => error.about(file),
            Self::Newer { .. } => format!("{file} was changed by a newer version of keyvault: {self}."),
            Self::Mismatch { .. } | Self::Apart { .. } | Self::Record => damage(file, self),
        }
    }
}
