//! Giving values to a process: stage, fit, commit; then the child's environment, then exec(2), or a child that is looked
//! after.
//!
//! Staging and fitting write nothing, so that every refusal comes before anything is recorded, released or started.

#![forbid(unsafe_code)]

pub mod delivery;
pub mod environment;
pub mod fit;
pub mod mask;
pub mod release;
pub mod supervise;

use std::ffi::{CString, OsString};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;

use crate::delivery::DeliveryError;
use keyvault_os::process::child::{self, Started};
use keyvault_os::process::descriptors::Descriptors;
use keyvault_os::process::exec::{self, EnvBlock, EnvError, Image, NotRunnable};
use keyvault_os::process::session_leader::{self, Leader};
use keyvault_os::process::signals::Caught;

/// Why the command did not start.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// It cannot be found or run.
    #[error(transparent)]
    NotRunnable(#[from] NotRunnable),
    /// An argument holds a NUL byte.
    #[error("an argument holds a NUL byte")]
    NulInArgument,
    /// The environment cannot be passed on; `fit` has let something through.
    #[error(transparent)]
    Environment(#[from] EnvError),
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
    #[error(transparent)]
    Kernel(std::io::Error),
    /// Output of the child could not be passed on.
    #[error(transparent)]
    Output(std::io::Error),
    /// Signals, pipes or a terminal to look after the child with could not be had.
    #[error(transparent)]
    Supervision(std::io::Error),
}

/// A command that was found and may be run.
pub struct Command {
    program: CString,
    arguments: Vec<CString>,
    descriptors: Descriptors,
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
        Ok(Self { program, arguments, descriptors: Descriptors::default() })
    }

    /// How many bytes the arguments take on the new process's stack, pointers included.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.arguments.iter().map(|argument| argument.as_bytes().len() + 9).sum()
    }

    /// The descriptors that the command inherits besides its streams.
    pub fn descriptors(&mut self) -> &mut Descriptors {
        &mut self.descriptors
    }

    /// Starts the command as a child; see [`supervise`].
    pub(crate) fn start(
        &self,
        environment: &EnvBlock,
        streams: child::Streams<'_>,
        caught: &Caught,
    ) -> Result<Started, ExecError> {
        child::start(&self.image(environment), streams, caught).map_err(ExecError::Kernel)
    }

    /// Starts the command as a child on a terminal of its own, whose end `slave` is.
    pub(crate) fn start_on_terminal(
        &self,
        environment: &EnvBlock,
        streams: child::Streams<'_>,
        slave: BorrowedFd<'_>,
        caught: &Caught,
    ) -> Result<(Started, Leader), ExecError> {
        session_leader::start(&self.image(environment), streams, slave, caught).map_err(ExecError::Kernel)
    }

    /// Becomes the command. Returns only if the kernel refused.
    #[must_use]
    pub fn replace(&self, environment: &EnvBlock) -> ExecError {
        ExecError::Kernel(self.image(environment).replace())
    }

    fn image<'a>(&'a self, environment: &'a EnvBlock) -> Image<'a> {
        Image::new(&self.program, &self.arguments, environment, &self.descriptors)
    }
}
