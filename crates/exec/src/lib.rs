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
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;

use crate::delivery::DeliveryError;
use keyvault_core::text::{harmless_line, reason};
use keyvault_os::process::child::{self, Started};
use keyvault_os::process::descriptors::Descriptors;
use keyvault_os::process::exec::{self, EnvBlock, EnvError, Image, NotRunnable};
use keyvault_os::process::interpreter::{self, Unusable, Why};
use keyvault_os::process::session_leader::{self, Leader};
use keyvault_os::process::signals::Caught;

/// Why the command did not start, or not come to its end. [`Self::about`] names the program in the message.
#[derive(Debug)]
pub enum ExecError {
    /// It cannot be found or run.
    NotRunnable(NotRunnable),
    /// An argument holds a NUL byte.
    NulInArgument,
    /// The environment cannot be passed on; `fit` has let something through.
    Environment(EnvError),
    Delivery(DeliveryError),
    Kernel(io::Error),
    /// The program names another one to be run by, and that one cannot be run.
    Interpreter(Unusable),
    /// Output of the child could not be passed on.
    Output(io::Error),
    /// Signals, pipes or a terminal to look after the child with could not be had.
    Supervision(io::Error),
}

impl ExecError {
    /// The message about this program. Where it is not found and has a `=`, it is not repeated: a value may follow.
    #[must_use]
    pub fn about(&self, program: &str) -> String {
        match self {
            Self::NotRunnable(NotRunnable::NotFound) if program.contains('=') => {
                "The command after `--` starts with an assignment, which only a shell understands.".to_owned()
            }
            Self::NotRunnable(NotRunnable::NotFound) if program.is_empty() => {
                "The command is empty.".to_owned()
            }
            Self::NotRunnable(NotRunnable::NotFound) => format!("Command not found: {program}."),
            Self::Kernel(error) if error.raw_os_error() == Some(libc::ENOEXEC) => {
                format!("{program} is not a program that this system can run.")
            }
            Self::Interpreter(Unusable { interpreter, why, .. }) => {
                let named = harmless_line(&interpreter.display().to_string());
                match why {
                    Why::Absent => format!("The interpreter of {program} does not exist: {named}."),
                    Why::CarriageReturn => format!(
                        "The first line of {program} ends in CR LF, so its interpreter {named} is not found."
                    ),
                    Why::NoLoader => {
                        format!("{program} needs a loader that this system does not have: {named}.")
                    }
                    Why::NotExecutable => {
                        format!("The interpreter of {program} may not be executed: {named}.")
                    }
                }
            }
            Self::NotRunnable(NotRunnable::NotExecutable(error)) | Self::Kernel(error) => {
                format!("{program} cannot be run: {}.", reason(error))
            }
            Self::Delivery(error) => error.to_string(),
            Self::Output(error) => {
                format!("The output of {program} could not be passed on: {}.", reason(error))
            }
            Self::Supervision(error) => format!("{program} could not be supervised: {}.", reason(error)),
            Self::NulInArgument => "An argument of the command contains a NUL byte.".to_owned(),
            Self::Environment(error) => format!("The environment cannot be passed on: {error}."),
        }
    }
}

impl std::error::Error for ExecError {}

impl fmt::Display for ExecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRunnable(NotRunnable::NotFound) => f.write_str("Command not found."),
            error => f.write_str(&error.about("The command")),
        }
    }
}

impl From<NotRunnable> for ExecError {
    fn from(error: NotRunnable) -> Self {
        Self::NotRunnable(error)
    }
}

impl From<EnvError> for ExecError {
    fn from(error: EnvError) -> Self {
        Self::Environment(error)
    }
}

impl From<DeliveryError> for ExecError {
    fn from(error: DeliveryError) -> Self {
        Self::Delivery(error)
    }
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
        child::start(&self.image(environment), streams, caught).map_err(|error| self.refused(error))
    }

    /// Starts the command as a child on a terminal of its own, whose end `slave` is.
    pub(crate) fn start_on_terminal(
        &self,
        environment: &EnvBlock,
        streams: child::Streams<'_>,
        slave: BorrowedFd<'_>,
        caught: &Caught,
    ) -> Result<(Started, Leader), ExecError> {
        session_leader::start(&self.image(environment), streams, slave, caught)
            .map_err(|error| self.refused(error))
    }

    /// Becomes the command. Returns only if the kernel refused.
    #[must_use]
    pub fn replace(&self, environment: &EnvBlock) -> ExecError {
        self.refused(self.image(environment).replace())
    }

    /// An error of execve(2), which may be about the program's interpreter.
    fn refused(&self, error: io::Error) -> ExecError {
        let about_a_file = [libc::ENOENT, libc::ENOTDIR, libc::EACCES].map(Some);
        let unusable = || interpreter::unusable(&self.program);
        match error
            .raw_os_error()
            .filter(|errno| about_a_file.contains(&Some(*errno)))
            .and_then(|_| unusable())
        {
            Some(unusable) => ExecError::Interpreter(unusable),
            None => ExecError::Kernel(error),
        }
    }

    fn image<'a>(&'a self, environment: &'a EnvBlock) -> Image<'a> {
        Image::new(&self.program, &self.arguments, environment, &self.descriptors)
    }
}
