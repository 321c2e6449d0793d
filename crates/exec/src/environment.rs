//! The child's environment: what the caller had, without anything of ours, and with the values.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use keyvault_os::process::exec::{EnvBlock, EnvError};

/// Variables that `--clean-env` keeps, besides every `LC_*`.
pub const KEPT: [&str; 9] = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "LANG", "TZ", "TMPDIR"];

/// How the variables of keyvault itself begin. None of the caller's passes: most hold credentials, or the way to one.
const OWN: &str = "KEYVAULT_";

/// Set to 1 for the child, so that a program can tell.
const MARKER: &str = "KEYVAULT_EXEC";

/// The vault of the keys, so that another `keyvault` inside of the command means the same one.
const VAULT: &str = "KEYVAULT_VAULT";

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inheritance {
    /// Only [`KEPT`] and what is named in `preserve`.
    pub clean: bool,
    /// Kept in spite of `clean`.
    pub preserve: Vec<OsString>,
}

impl Inheritance {
    /// The caller's variables that the child inherits, and the two of ours that it gets: the marker, and the vault's
    /// path, if there is a vault.
    #[must_use]
    pub fn filter(
        &self,
        variables: Vec<(OsString, OsString)>,
        vault: Option<&Path>,
    ) -> Vec<(OsString, OsString)> {
        let mut kept: Vec<_> = variables.into_iter().filter(|(name, _)| self.passes(name)).collect();
        kept.push((MARKER.into(), "1".into()));
        kept.extend(vault.map(|path| (VAULT.into(), path.into())));
        kept
    }

    fn passes(&self, name: &OsString) -> bool {
        let bytes = name.as_bytes();
        if is_own(name) {
            return false;
        }
        let kept = || KEPT.iter().any(|kept| kept.as_bytes() == bytes) || bytes.starts_with(b"LC_");
        !self.clean || kept() || self.preserve.contains(name)
    }
}

/// Returns `true` for a variable of keyvault itself, which no command inherits.
#[must_use]
pub fn is_own(name: &OsStr) -> bool {
    name.as_bytes().starts_with(OWN.as_bytes())
}

/// Bytes that variables take on a new process's stack, pointers included.
#[must_use]
pub fn weight(variables: &[(OsString, OsString)]) -> usize {
    variables.iter().map(|(name, value)| name.len() + value.len() + 2 + size_of::<usize>()).sum()
}

/// The block for exec(2). What is `given` stands in the place of every inherited copy of its variable: getenv(3) would
/// find the first.
pub fn build(inherited: &[(OsString, OsString)], given: &[(&[u8], &[u8])]) -> Result<EnvBlock, EnvError> {
    let ours: HashSet<&[u8]> = given.iter().map(|(name, _)| *name).collect();
    let mut all: Vec<(&[u8], &[u8])> = inherited
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
        .filter(|(name, _)| !ours.contains(name))
        .collect();
    all.extend(given);
    EnvBlock::build(&all)
}
