//! Facts about what went wrong with a token or a bundle.

use std::path::PathBuf;

use crate::state::pin::Standing;
use keyvault_core::clock::Moment;
use keyvault_core::name::TokenName;

/// Why a token was not made, or opened nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// A token of that name is there and has not been revoked.
    #[error("token {0} exists")]
    Exists(TokenName),
    #[error("no token {0}")]
    Missing(TokenName),
    /// The owner's token was revoked before.
    #[error("token {0} is revoked")]
    Revoked(TokenName),
    /// The name is one that only limited sessions have.
    #[error("{0} is a name for a session")]
    SessionName(TokenName),
    /// A limited session cannot be renewed or bundled.
    #[error("{0} is a session")]
    IsSession(TokenName),
    /// The vault has no view for this token: revoked, renewed, or of another vault.
    #[error("the token opens nothing here")]
    OpensNothing,
    /// The vault's head is not the one that its rows were written under, which is no fault of the token's.
    #[error("vault: its {what} is altered")]
    HeaderDamaged {
        /// `id or epoch`, or `signer`.
        what: &'static str,
    },
    /// The token has come to its end.
    #[error("token {name} has expired")]
    Expired { name: TokenName, since: Moment },
    /// The token's part of the vault is not the one that this machine last saw.
    #[error("the view of {name} is not the one last seen here: {standing:?}")]
    Alarm {
        name: TokenName,
        /// Rolled back or forked.
        standing: Standing,
        found: u64,
        pinned: u64,
    },
    /// The view or bundle is older than the change that was asked for at least.
    #[error("change {found} is before {least}")]
    Stale {
        found: u64,
        /// The least that was asked for.
        least: u64,
    },
    /// The file is no bundle, or not one that this program knows.
    #[error("not a bundle")]
    NotABundle,
    /// The bundle was made for another token.
    #[error("the bundle is for another token")]
    OtherBundle,
    #[error("the bundle does not open")]
    BundleDamaged,
    /// A holder of the token, or of a copy of the vault's file, made it.
    #[error("the {what} was not signed by the vault's owner")]
    NotByOwner {
        /// `view` or `bundle`.
        what: &'static str,
    },
    #[error("{what}, which this version of keyvault does not know")]
    Newer {
        /// The structure with the unknown field, and the field.
        what: String,
    },
    /// The vault has no such token any more, so its bundle has nothing to follow.
    #[error("the bundle's token is gone")]
    BundleOfNone,
    /// The bundle is of another vault.
    #[error("the bundle is of another vault")]
    OtherVault,
    /// The file that reads are to be written to is something else.
    #[error("{} is not a log of reads", path.display())]
    NotAReadsLog { path: PathBuf },
    /// The reads are of a token that this vault does not know.
    #[error("the reads are of a token that is not known here")]
    UnknownReads,
}
