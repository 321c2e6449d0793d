//! Problems with keys that are asked for.

use crate::fit::Misfit;
use keyvault_core::clock::Moment;
use keyvault_core::name::refused::Refused;
use keyvault_core::name::{EnvName, KeyName, Scope};
use keyvault_vault::{TokenKind, VaultError};

/// Something that is wrong with what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    Missing {
        wanted: KeyName,
        /// A key that was probably meant.
        near: Option<KeyName>,
    },
    /// These keys are missing, and the default that would stand in is that of a file that nobody approved.
    UnapprovedDefault(Vec<KeyName>),
    /// The token opens no key of that name.
    NotGranted {
        wanted: KeyName,
        /// A key that it opens and that was probably meant.
        near: Option<KeyName>,
        kind: TokenKind,
    },
    /// A mapping names a variable where a key belongs, and a key where a variable does.
    Swapped {
        /// The variable that was given as the key.
        variable: EnvName,
        /// The key that was given as the variable.
        name: KeyName,
        /// True if the variable is to name a file that contains the value.
        to_file: bool,
    },
    NoSuchScope {
        wanted: Scope,
        near: Option<Scope>,
        /// Of a token that opens no key with that scope.
        kind: Option<TokenKind>,
    },
    /// The key is past its expiry.
    Expired {
        name: KeyName,
        since: Moment,
    },
    /// Its owner has disabled the key.
    Disabled(KeyName),
    /// The key has no current version.
    Revoked(KeyName),
    /// The key has no version in its grace.
    NoPrevious(KeyName),
    SameVariable {
        variable: EnvName,
        names: Vec<KeyName>,
    },
    /// The variable is one that runs code and was stored before that was known; or one of those that an owner may not
    /// choose for the bearer of a token.
    Variable {
        name: KeyName,
        variable: EnvName,
        why: Refused,
    },
    /// Everything that was chosen is revoked, or the vault is empty.
    NothingLeft,
    /// The key is marked as never to be handed out because a file asks for it.
    Withheld(KeyName),
    /// The version is none that may be handed out.
    Version {
        name: KeyName,
        version: u32,
        /// Its state; `None` if there is no such version.
        state: Option<&'static str>,
    },
    /// Something is wrong with a variable that a file asks for.
    Asked {
        variable: EnvName,
        problem: Box<Problem>,
    },
}

/// Everything that is wrong with a release: nothing of it happens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusal {
    /// With the keys that were asked for.
    pub problems: Vec<Problem>,
    /// With values for the places that they are meant for.
    pub misfits: Vec<Misfit>,
}

impl Refusal {
    /// True if there is no problem.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty() && self.misfits.is_empty()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// The vault, the grants or the bundle cannot be read, or the read cannot be recorded.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// Keys that were asked for cannot be handed out.
    #[error("{} problems", .0.problems.len() + .0.misfits.len())]
    Refused(Refusal),
}

impl From<Refusal> for ReleaseError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
