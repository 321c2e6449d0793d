//! The child's environment: what the caller had, without anything of ours, and with the values.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::name::EnvName;
use crate::secret::SecretBytes;
use crate::sys::exec::{EnvBlock, EnvError};
use crate::vault::Resolved;

/// What `--clean-env` keeps, besides every `LC_*`.
pub const KEPT: [&str; 9] = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "LANG", "TZ", "TMPDIR"];

/// Set for the child, so that a program can tell.
const MARKER: &str = "KEYVAULT_EXEC";

/// What is inherited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inheritance {
    /// Only [`KEPT`] and what is named in `preserve`.
    pub clean: bool,
    /// Kept in spite of `clean`.
    pub preserve: Vec<OsString>,
}

impl Inheritance {
    /// The caller's variables that the child inherits. Our own never pass, whatever is asked for.
    #[must_use]
    pub fn filter(&self, variables: Vec<(OsString, OsString)>) -> Vec<(OsString, OsString)> {
        variables.into_iter().filter(|(name, _)| self.passes(name)).collect()
    }

    fn passes(&self, name: &OsString) -> bool {
        let bytes = name.as_bytes();
        if bytes.starts_with(b"KEYVAULT_") {
            return false;
        }
        let kept = || KEPT.iter().any(|kept| kept.as_bytes() == bytes) || bytes.starts_with(b"LC_");
        !self.clean || kept() || self.preserve.contains(name)
    }
}

/// The caller's variables with others added. Those of `set` stand in the place of every inherited copy; those of
/// `fallback` count only where the caller and `set` have none.
#[must_use]
pub fn with_literals(
    inherited: Vec<(OsString, OsString)>,
    set: &[(EnvName, SecretBytes)],
    fallback: &[(EnvName, String)],
) -> Vec<(OsString, OsString)> {
    let known: HashSet<&[u8]> = set.iter().map(|(name, _)| name.as_str().as_bytes()).collect();
    let mut all: Vec<_> =
        inherited.into_iter().filter(|(name, _)| !known.contains(name.as_bytes())).collect();
    all.extend(set.iter().map(|(name, value)| {
        (OsString::from(name.as_str()), OsStr::from_bytes(value.expose()).to_os_string())
    }));
    for (name, value) in fallback {
        if !all.iter().any(|(known, _)| known == name.as_str()) {
            all.push((OsString::from(name.as_str()), OsString::from(value)));
        }
    }
    all
}

/// Bytes that variables take on a new process's stack, pointers included.
#[must_use]
pub fn weight(variables: &[(OsString, OsString)]) -> usize {
    variables.iter().map(|(name, value)| name.len() + value.len() + 2 + size_of::<usize>()).sum()
}

/// The block for exec(2). A vault's value stands in the place of every inherited copy of its variable: getenv(3)
/// would find the first.
pub fn build(inherited: &[(OsString, OsString)], resolved: &[Resolved]) -> Result<EnvBlock, EnvError> {
    let ours: HashSet<&[u8]> = resolved.iter().map(|key| key.variable.as_str().as_bytes()).collect();
    let replaced = |name: &OsString| ours.contains(name.as_bytes());
    let mut all: Vec<(&[u8], &[u8])> = inherited
        .iter()
        .filter(|(name, _)| !replaced(name))
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
        .collect();
    all.extend(resolved.iter().map(|key| (key.variable.as_str().as_bytes(), key.value.expose())));
    all.push((MARKER.as_bytes(), b"1"));
    EnvBlock::build(&all)
}
