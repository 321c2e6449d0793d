//! Problems with keys that are asked for.

use std::fmt::Display;
use std::slice::from_ref;

use crate::fit::Misfit;
use keyvault_core::clock::Moment;
use keyvault_core::name::refused::Refused;
use keyvault_core::name::{EnvName, KeyName, Scope};
use keyvault_core::text::list;
use keyvault_vault::time::local;
use keyvault_vault::{FieldFault, GrantedTo, JsonField, VaultError, hides_its_name};

/// Something that is wrong with what was asked for. `Display` is a line of [`Refusal`]'s message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("{}", missing(wanted, near.as_ref()))]
    Missing {
        wanted: KeyName,
        /// A key that was probably meant.
        near: Option<KeyName>,
        /// Until when a removed key of the name can be brought back.
        removed: Option<Moment>,
    },
    /// These keys are missing, and the default that would stand in is that of a file that nobody approved.
    #[error("{}: not granted{}, and the file's default is not approved", list(keys), to_whom(to.as_ref()))]
    UnapprovedDefault { keys: Vec<KeyName>, to: Option<GrantedTo> },
    /// The token opens no key of that name.
    #[error("{}", not_granted(wanted, near.as_ref(), to))]
    NotGranted {
        wanted: KeyName,
        /// A key that it opens and that was probably meant.
        near: Option<KeyName>,
        to: GrantedTo,
    },
    /// A variable was named where a key belongs, and there are keys with that variable.
    #[error("{variable}: a variable, not a key; {}", keys_of(names))]
    VariableNamed { variable: EnvName, names: Vec<KeyName> },
    /// A mapping names a variable where a key belongs, and a key where a variable does.
    #[error("{variable}: no such key, but {name} is one")]
    Swapped {
        /// The variable that was given as the key.
        variable: EnvName,
        /// The key that was given as the variable.
        name: KeyName,
        /// True if the variable is to name a file that contains the value.
        to_file: bool,
    },
    #[error("scope {wanted}: {}{}", without_scope(to.as_ref()), meant(near.as_ref()))]
    NoSuchScope {
        wanted: Scope,
        near: Option<Scope>,
        /// The bearer that is granted no key with that scope.
        to: Option<GrantedTo>,
    },
    #[error("{name}: expired on {}", local(*since))]
    Expired { name: KeyName, since: Moment },
    #[error("{0}: disabled")]
    Disabled(KeyName),
    /// The key is one of our own API, of which the vault has a hash alone.
    #[error("{0}: an issued key, which has no value in the vault")]
    Issued(KeyName),
    /// The key has no current version.
    #[error("{0}: revoked")]
    Revoked(KeyName),
    #[error("{0}: no previous version is within its grace period")]
    NoPrevious(KeyName),
    #[error("{variable}: set by {}", list(names))]
    SameVariable {
        variable: EnvName,
        names: Vec<KeyName>,
        /// One of them whose own variable it is, and the variable that its name gives, which nothing else sets.
        rename: Option<(KeyName, EnvName)>,
    },
    /// The variable is one that runs code and was stored before that was known; or one of those that an owner may not
    /// choose for the bearer of a token.
    #[error("{name}: {variable} {why}")]
    Variable { name: KeyName, variable: EnvName, why: Refused },
    /// Everything that was chosen is revoked, or the vault is empty.
    #[error("no keys are left: every chosen key is revoked, or there is none")]
    NothingLeft,
    /// The key is marked as never to be handed out because a file asks for it.
    #[error("{0}: not available to project files, because of its tag project=never")]
    Withheld(KeyName),
    /// The version is none that may be handed out.
    #[error("{name}: {}", version_fault(*version, *state))]
    Version {
        name: KeyName,
        version: u32,
        /// Its state; `None` if there is no such version.
        state: Option<&'static str>,
    },
    #[error("{name}, field {field}: {why}")]
    Field { name: KeyName, field: JsonField, why: FieldFault },
    /// Something is wrong with a variable that a file asks for.
    #[error("{variable} <- {problem}")]
    Asked { variable: EnvName, problem: Box<Problem> },
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

impl std::error::Error for Refusal {}

impl Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cannot release the keys:")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))?;
        self.misfits.iter().try_for_each(|misfit| write!(f, "\n  {misfit}"))
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// The vault, the grants or the bundle cannot be read, or the read cannot be recorded.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// Keys that were asked for cannot be handed out.
    #[error("{0}")]
    Refused(Refusal),
}

impl From<Refusal> for ReleaseError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

const HIDDEN: &str = "no such key; its name is not shown, because it looks like a value";

fn missing(wanted: &KeyName, near: Option<&KeyName>) -> String {
    if hides_its_name(from_ref(wanted), near) {
        return HIDDEN.to_owned();
    }
    format!("{wanted}: no such key{}", meant(near))
}

fn not_granted(wanted: &KeyName, near: Option<&KeyName>, to: &GrantedTo) -> String {
    if hides_its_name(from_ref(wanted), near) {
        return HIDDEN.to_owned();
    }
    format!("{wanted}: not granted to {to}{}", meant(near))
}

fn to_whom(to: Option<&GrantedTo>) -> String {
    to.map(|to| format!(" to {to}")).unwrap_or_default()
}

fn without_scope(to: Option<&GrantedTo>) -> String {
    to.map_or_else(|| "no key has it".to_owned(), |to| format!("no key granted to {to} has it"))
}

fn keys_of(names: &[KeyName]) -> String {
    match names {
        [one] => format!("its key is {one}"),
        several => format!("its keys are {}", list(several)),
    }
}

fn version_fault(version: u32, state: Option<&str>) -> String {
    match state {
        None => format!("it has no version {version}"),
        Some(state) => format!("version {version} is {state}"),
    }
}

/// ` (did you mean stripe/live?)`
fn meant<T: Display>(near: Option<&T>) -> String {
    near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default()
}
