//! What is wrong with values for the places that they are meant for, found before anything starts.

use super::delivery::Places;
use keyvault_os::process::exec::{MAX_STRING, arg_limit};
use keyvault_vault::{Problem, Resolved};

/// What the child gets besides the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Surroundings {
    /// Bytes of arguments and inherited variables, pointers included.
    pub weight: usize,
    /// Refuse empty values.
    pub no_empty: bool,
}

/// Every problem with these values.
#[must_use]
pub fn inspect(resolved: &[Resolved], places: &Places, surroundings: Surroundings) -> Vec<Problem> {
    let mut problems = places.inspect(resolved);
    let mut weight = surroundings.weight;
    for key in resolved {
        if key.value.is_empty() && surroundings.no_empty {
            problems.push(Problem::Empty(key.name.clone()));
        }
        let Some(variable) = key.variable.as_ref().filter(|_| places.is_variable(key)) else { continue };
        // `NAME=value` and its NUL.
        let len = variable.as_str().len() + key.value.len() + 2;
        weight += len + size_of::<usize>();
        if key.value.expose().contains(&0) {
            problems.push(Problem::Nul(key.name.clone()));
        }
        if len > MAX_STRING {
            problems.push(Problem::TooLong { name: key.name.clone(), len, max: MAX_STRING });
        }
    }
    let max = arg_limit();
    if weight > max && problems.is_empty() {
        problems.push(Problem::TooMuch { len: weight, max });
    }
    problems
}
