//! The child's environment: what the caller had, without anything of ours, and with the values.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use keyvault_os::process::exec::{EnvBlock, EnvError};

/// Variables that `--clean-env` keeps, besides every `LC_*`.
pub const KEPT: [&str; 9] = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "LANG", "TZ", "TMPDIR"];

/// Set for the child, so that a program can tell.
const MARKER: &str = "KEYVAULT_EXEC";

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
    all.push((MARKER.as_bytes(), b"1"));
    EnvBlock::build(&all)
}
