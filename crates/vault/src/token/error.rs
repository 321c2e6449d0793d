//! Facts about what went wrong with a token or a bundle.

use std::path::PathBuf;

use crate::state::pin::Standing;
use crate::time::local;
use keyvault_core::clock::Moment;
use keyvault_core::name::{KeyName, Scope, TokenName};
use keyvault_core::text::quoted;
use keyvault_issue::ApiId;
use keyvault_issue::record::Mark;

use super::record::TokenKind;

/// Why a token was not made, or opened nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// A token of that name is there and has not been revoked.
    #[error("Token `{0}` already exists.")]
    Exists(TokenName),
    #[error("No token named `{name}`.")]
    Missing {
        name: TokenName,
        /// The one that was probably meant.
        near: Option<TokenName>,
    },
    /// The owner's token was revoked before.
    #[error("Token `{0}` is revoked.")]
    Revoked(TokenName),
    /// The name is one that only limited sessions have.
    #[error("`{0}` cannot be the name of a token: `session/` begins the names of limited sessions.")]
    SessionName(TokenName),
    /// A limited session cannot be renewed, edited, or bundled.
    #[error("`{0}` is a limited session, which cannot be renewed, edited, or bundled.")]
    IsSession(TokenName),
    /// The bounds of an issuer and the APIs of a verifier are not a rule for keys.
    #[error("`{name}` is the token of {}, which cannot be edited.", with_article(*kind))]
    NotEdited { name: TokenName, kind: TokenKind },
    /// A scope was to be taken from a token that has none of that name.
    #[error("Token `{token}` does not have the scope `{scope}`.")]
    NotItsScope { token: TokenName, scope: Scope },
    /// A key was to be taken from a token that is not granted it by name.
    #[error("{}", not_its_key(token, key, by.as_ref()))]
    NotItsKey {
        token: TokenName,
        key: KeyName,
        /// A scope that grants it.
        by: Option<Scope>,
    },
    /// An edit would leave neither a scope nor a key.
    #[error("Token `{0}` would have neither a scope nor a key.")]
    GrantsNothing(TokenName),
    /// The vault has no view for this token: revoked, renewed, or of another vault.
    #[error("This token opens nothing here: it was revoked or renewed, or belongs to another vault.")]
    OpensNothing,
    /// The token is there, for something else.
    #[error("This is the token of {}, which opens no keys for a command.", with_article(*found))]
    OtherKind { found: TokenKind },
    /// Only a bearer has bundles.
    #[error("`{name}` is the token of {}, which has no bundles.", with_article(*kind))]
    NoBundles { name: TokenName, kind: TokenKind },
    /// There is no such API among those whose sets hold.
    #[error("No API has the id {}.", data_encoding::HEXLOWER.encode(.0))]
    NoApi(ApiId),
    /// One mark never means two sets.
    #[error("Another set has the mark `{}`.", .0.as_str())]
    MarkTaken(Mark),
    /// The vault's head is not the one that its rows were written under, which is no fault of the token's.
    #[error("The vault's header is damaged: its {what} is altered. The token may be right.")]
    HeaderDamaged {
        /// `id or epoch`, or `signer`.
        what: &'static str,
    },
    /// The token has come to its end.
    #[error("Token `{name}` expired on {}.", local(*since))]
    Expired { name: TokenName, since: Moment },
    /// A rekey gave the verifier another token, and the time is over in which the former one went on.
    #[error("A rekey replaced this token, and its overlap ended on {}.", local(*since))]
    FormerOver { since: Moment },
    /// The token's part of the vault is not the one that this machine last saw.
    #[error(
        "The grants of token `{name}` at change {found} are {} what this machine saw at change {pinned}.",
        if *standing == Standing::RolledBack { "older than" } else { "different from" }
    )]
    Alarm {
        name: TokenName,
        /// Rolled back or forked.
        standing: Standing,
        found: u64,
        pinned: u64,
    },
    /// The view or bundle is older than the change that was asked for at least.
    #[error("The token's grants are at change {found}, but at least {least} is required.")]
    Stale {
        found: u64,
        /// The least that was asked for.
        least: u64,
    },
    /// The file is no bundle, or not one that this program knows.
    #[error("The file is not a bundle.")]
    NotABundle,
    /// The bundle was made for another token.
    #[error("The bundle belongs to another token.")]
    OtherBundle,
    #[error("The bundle was altered or truncated.")]
    BundleDamaged,
    /// A holder of the token, or of a copy of the vault's file, made it.
    #[error("The {what} for this token was not signed by the vault's owner.")]
    NotByOwner {
        /// `view` or `bundle`.
        what: &'static str,
    },
    #[error("A newer version of keyvault wrote this: {what}, which this version of keyvault does not know.")]
    Newer {
        /// The structure with the unknown field, and the field.
        what: String,
    },
    /// The vault has no such token any more, so its bundle has nothing to follow.
    #[error("The bundle's token was renewed or created again, so the bundle can no longer be updated.")]
    BundleOfNone,
    /// The bundle is of another vault.
    #[error("The file belongs to another vault.")]
    OtherVault,
    /// The file that reads are to be written to is something else.
    #[error("{} is not a read log and was not changed.", quoted(path))]
    NotAReadsLog { path: PathBuf },
    /// The reads are of a token that this vault does not know.
    #[error("The reads are by a token that this vault does not know.")]
    UnknownReads,
}

fn not_its_key(token: &TokenName, key: &KeyName, by: Option<&Scope>) -> String {
    match by {
        Some(scope) => format!("Token `{token}` is granted `{key}` by the scope `{scope}`, and not by name."),
        None => format!("Token `{token}` is not granted `{key}`."),
    }
}

fn with_article(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Bearer => "a machine",
        TokenKind::Session => "a limited session",
        TokenKind::Verifier => "a verifier",
        TokenKind::Issuer => "an issuer",
    }
}
