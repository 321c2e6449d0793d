//! Facts about what went wrong with the keys of our own API.

use keyvault_core::name::{KeyName, Label, Scope};
use keyvault_issue::record::Id;

/// A noun of an API, for a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noun {
    Api,
    Client,
    Role,
}

impl Noun {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Api => "API",
            Self::Client => "client",
            Self::Role => "role",
        }
    }

    fn at_the_beginning(self) -> &'static str {
        match self {
            Self::Api => "API",
            Self::Client => "Client",
            Self::Role => "Role",
        }
    }
}

/// Why nothing was done with an issued key, or with an API, a client, or a role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssuedError {
    /// An issued key has the name.
    #[error("Key `{0}` was already issued. Its secret was shown once.")]
    Exists(KeyName),
    /// A held key has the name.
    #[error("Key `{0}` already exists. It is a held key.")]
    Held(KeyName),
    /// A held key is meant, and the key is issued.
    #[error("`{0}` is an issued key. The vault has no value for it, only a hash of its secret.")]
    NoValue(KeyName),
    #[error("No {} named `{wanted}`.", noun.name())]
    Missing { noun: Noun, wanted: Label, near: Option<Label> },
    #[error("{} `{wanted}` already exists.", noun.at_the_beginning())]
    Taken { noun: Noun, wanted: Label },
    /// Keys would lose their client or role.
    #[error("{} `{named}` still has {keys}.", noun.at_the_beginning(), keys = counted(*keys))]
    InUse { noun: Noun, named: Label, keys: usize },
    /// New keys have one of the API's prefixes.
    #[error("API `{api}` does not have the prefix `{prefix}`.")]
    NoPrefix { api: Label, prefix: String },
    /// The key does not have the scope that it was to lose.
    #[error("`{key}` does not have the scope `{scope}`.")]
    NotItsScope { key: String, scope: Scope },
    #[error("`{key}` does not have the role `{role}`.")]
    NotItsRole { key: String, role: Label },
    /// The record of an issuer's key is the issuer's to write.
    #[error("Key {0} belongs to an issuer, so only its state can be changed here.")]
    Issuers(Id),
    /// The key would end before it begins.
    #[error("The key would expire before it becomes valid.")]
    EndsBeforeItBegins,
    /// The key had expired before it was made, so there is no lifetime to repeat.
    #[error("`{0}` has no lifetime to repeat.")]
    NoLifetime(KeyName),
    /// A new secret would be refused.
    #[error("The client of `{0}` was removed, so a new secret would be refused.")]
    ClientRemoved(KeyName),
    /// All marks of two characters are given.
    #[error("The vault has no mark left for another API.")]
    NoMark,
}

fn counted(keys: usize) -> String {
    keyvault_core::text::counted(keys, "key")
}
