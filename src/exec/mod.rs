//! Giving values to a process: plan, then the child's environment, then exec(2).
//!
//! Planning and building are pure, so that every refusal comes before anything is recorded, released or started.

pub mod delivery;
pub mod environment;
pub mod plan;

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt;

use self::delivery::DeliveryError;
use crate::sys::descriptors::Descriptors;
use crate::sys::exec::{self, EnvBlock, EnvError, NotRunnable};

/// Why the command did not start.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// It cannot be found or run.
    #[error(transparent)]
    NotRunnable(#[from] NotRunnable),
    /// An argument holds a NUL byte.
    #[error("an argument holds a NUL byte")]
    NulInArgument,
    /// The environment cannot be passed on; planning has let something through.
    #[error(transparent)]
    Environment(#[from] EnvError),
    /// A value cannot be delivered.
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
    /// The kernel refused.
    #[error(transparent)]
    Kernel(std::io::Error),
}

/// A command that was found and may be run.
pub struct Command {
    program: CString,
    arguments: Vec<CString>,
}

impl Command {
    /// Finds the program along `path`, before anything is released for it.
    pub fn find(words: &[OsString], path: Option<&std::ffi::OsStr>) -> Result<Self, ExecError> {
        let program = words.first().ok_or(ExecError::NotRunnable(NotRunnable::NotFound))?;
        let program = exec::find_program(program, path)?;
        let arguments = words
            .iter()
            .map(|word| CString::new(word.as_bytes()).map_err(|_| ExecError::NulInArgument))
            .collect::<Result<_, _>>()?;
        Ok(Self { program, arguments })
    }

    /// How many bytes the arguments take on the new process's stack, pointers included.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.arguments.iter().map(|argument| argument.as_bytes().len() + 9).sum()
    }

    /// Becomes the command, which finds `descriptors` open. Returns only if the kernel refused.
    #[must_use]
    pub fn replace(&self, environment: &EnvBlock, descriptors: &Descriptors) -> ExecError {
        ExecError::Kernel(exec::replace(&self.program, &self.arguments, environment, descriptors))
    }
}
