//! Finds every value that does not fit its place, before anything is recorded or started. Pure.

use std::collections::BTreeSet;

use super::delivery::Places;
use super::release::{Fitted, Refusal, Resolved, Staged};
use keyvault_core::name::{EnvName, KeyName};
use keyvault_core::secret::SecretBytes;
use keyvault_os::process::exec::{MAX_STRING, arg_limit};
use keyvault_vault::Unrecorded;

/// Why a value cannot go where it is meant to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    #[error("{0}: its value contains a NUL byte, which no variable can carry")]
    Nul(KeyName),
    /// The value is longer than the kernel's limit for one string, 128 KiB.
    #[error("{name}: {len} bytes with its variable; the kernel accepts {max} in one string")]
    TooLong {
        name: KeyName,
        /// Length of `VARIABLE=value` and its NUL, in bytes.
        len: usize,
        max: usize,
    },
    #[error("{len} bytes of environment and arguments; the kernel accepts {max}")]
    TooMuch { len: usize, max: usize },
    /// The value is empty, and empty ones were declined.
    #[error("{0}: its value is empty, which --no-empty refuses")]
    Empty(KeyName),
    #[error("{name}: {variable} would hold both a value and the path of a file")]
    FileVariable { name: KeyName, variable: EnvName },
    /// The value cannot stand in a line of docker's env-file.
    #[error("{name}: {fault}")]
    Line { name: KeyName, fault: LineFault },
    /// A key under a variable that a file gives a text of its own.
    #[error("{variable}: set by the env-file, and also by {name}")]
    AlreadyGiven { variable: EnvName, name: KeyName },
}

/// A value that docker would misread in a line of its env-file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// The rest would be a line of its own.
    #[error("its value has a newline, which an env-file cannot carry")]
    Newline,
    #[error("its value ends in a carriage return, which docker drops")]
    CarriageReturn,
    /// Docker refuses such bytes, and prints them.
    #[error("its value is not UTF-8, which docker refuses")]
    NotText,
    #[error("{len} bytes with its variable; docker accepts {max} in a line")]
    TooLong {
        /// Length of `VARIABLE=value`, in bytes.
        len: usize,
        max: usize,
    },
}

/// Everything beside the values that the child gets: it counts toward the kernel's limits.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// Where values go that are not variables.
    pub places: &'a Places,
    /// Variables with values of an env-file's own.
    pub literals: &'a [(EnvName, SecretBytes)],
    /// Bytes of arguments and inherited variables, pointers included.
    pub weight: usize,
    pub no_empty: bool,
}

/// Every problem with these values at once, those of their selection first.
pub fn fit<'r, M>(staged: Staged<'r, M>, surroundings: Surroundings<'_>) -> Result<Fitted<'r, M>, Refusal> {
    let misfits = misfits(staged.values(), surroundings);
    staged.unless(misfits)
}

fn misfits(resolved: &[Resolved<Unrecorded>], surroundings: Surroundings<'_>) -> Vec<Misfit> {
    let Surroundings { places, literals, mut weight, no_empty } = surroundings;
    let mut misfits = places.inspect(resolved);
    for key in resolved {
        let shape = key.value.shape();
        if shape.len == 0 && no_empty {
            misfits.push(Misfit::Empty(key.name.clone()));
        }
        let Some(variable) = key.variable.as_ref().filter(|_| places.is_variable(key)) else { continue };
        // `NAME=value` and its NUL.
        let len = variable.as_str().len() + shape.len + 2;
        weight += len + size_of::<usize>();
        if shape.has_nul {
            misfits.push(Misfit::Nul(key.name.clone()));
        }
        if len > MAX_STRING {
            misfits.push(Misfit::TooLong { name: key.name.clone(), len, max: MAX_STRING });
        }
    }
    let max = arg_limit();
    if weight > max && misfits.is_empty() {
        misfits.push(Misfit::TooMuch { len: weight, max });
    }
    misfits.extend(given_twice(resolved, literals));
    misfits
}

/// Keys under variables to which an env-file gives a value of its own.
fn given_twice<'a>(
    resolved: &'a [Resolved<Unrecorded>],
    literals: &'a [(EnvName, SecretBytes)],
) -> impl Iterator<Item = Misfit> {
    let given: BTreeSet<&EnvName> = literals.iter().map(|(variable, _)| variable).collect();
    let variables = resolved.iter().filter_map(|key| Some((key.variable.as_ref()?, &key.name)));
    let twice = variables.filter(move |(variable, _)| given.contains(variable));
    twice.map(|(variable, name)| Misfit::AlreadyGiven { variable: variable.clone(), name: name.clone() })
}
