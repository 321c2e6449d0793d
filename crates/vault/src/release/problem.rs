//! What can be wrong with keys that are asked for.

use keyvault_core::clock::Moment;
use keyvault_core::name::refused::Refused;
use keyvault_core::name::{EnvName, KeyName, Scope};

/// Something that is wrong with what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// No key of that name.
    Missing {
        /// The name.
        wanted: KeyName,
        /// A key that was probably meant.
        near: Option<KeyName>,
    },
    /// These keys are missing, and the default that would stand in is that of a file that nobody approved.
    UnapprovedDefault(Vec<KeyName>),
    /// The token opens no key of that name.
    NotGranted {
        /// The name.
        wanted: KeyName,
        /// A key that it opens and that was probably meant.
        near: Option<KeyName>,
    },
    /// A mapping names a variable where a key belongs, and a key where a variable does.
    Swapped {
        /// The variable that was given as the key.
        variable: EnvName,
        /// The key that was given as the variable.
        name: KeyName,
        /// Whether the variable names a file with the value.
        to_file: bool,
    },
    /// No key carries that scope.
    NoSuchScope {
        /// The scope.
        wanted: Scope,
        /// One that was probably meant.
        near: Option<Scope>,
    },
    /// The key is past its expiry.
    Expired {
        /// The key.
        name: KeyName,
        /// Since when.
        since: Moment,
    },
    /// The key has no current version.
    Revoked(KeyName),
    /// The key has no version in its grace.
    NoPrevious(KeyName),
    /// Two keys want one variable.
    SameVariable {
        /// The variable.
        variable: EnvName,
        /// The keys.
        names: Vec<KeyName>,
    },
    /// The variable is one that runs code and was stored before that was known; or one of those that an owner may not
    /// choose for the bearer of a token.
    Variable {
        /// The key.
        name: KeyName,
        /// Its variable.
        variable: EnvName,
        /// Why not.
        why: Refused,
    },
    /// The value has a NUL byte, which an environment cannot carry.
    Nul(KeyName),
    /// The value is longer than the kernel takes in one string.
    TooLong {
        /// The key.
        name: KeyName,
        /// Length of `VARIABLE=value` and its NUL, in bytes.
        len: usize,
        /// The most that the kernel takes.
        max: usize,
    },
    /// Environment and arguments together are more than the kernel takes.
    TooMuch {
        /// Their length in bytes.
        len: usize,
        /// The most that the kernel takes.
        max: usize,
    },
    /// The value is empty, and empty ones were declined.
    Empty(KeyName),
    /// The variable of this key is to say where a file is.
    FileVariable {
        /// The key.
        name: KeyName,
        /// The variable.
        variable: EnvName,
    },
    /// The value cannot stand in a line of docker's env-file.
    Line {
        /// The key.
        name: KeyName,
        /// What docker would make of it.
        fault: LineFault,
    },
    /// Everything that was chosen is revoked, or the vault is empty.
    NothingLeft,
    /// The key is marked as never to be handed out because a file asks for it.
    Withheld(KeyName),
    /// The version is none that may be handed out.
    Version {
        /// The key.
        name: KeyName,
        /// The version.
        version: u32,
        /// Its state; `None` if there is no such version.
        state: Option<&'static str>,
    },
    /// A key under a variable that a file gives a text of its own.
    AlreadyGiven {
        /// The variable.
        variable: EnvName,
        /// The key.
        name: KeyName,
    },
    /// Something is wrong with a variable that a file asks for.
    Asked {
        /// The variable.
        variable: EnvName,
        /// What is wrong.
        problem: Box<Problem>,
    },
}

/// What docker would misread in a line of its env-file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineFault {
    /// A newline: the rest would be a line of its own.
    Newline,
    /// A carriage return at the end, which it drops.
    CarriageReturn,
    /// Bytes that are not UTF-8, which it refuses, and prints.
    NotText,
    /// A line longer than it reads.
    TooLong {
        /// Length of `VARIABLE=value`, in bytes.
        len: usize,
        /// The most that docker takes.
        max: usize,
    },
}
