//! `keyvault help`

use std::ffi::OsString;

use clap::Args;

use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};
use crate::cli::{complete, help};

/// Show the help of a command.
///
/// `keyvault COMMAND --help` shows the same, and `keyvault COMMAND -h` a summary.
#[derive(Debug, Args)]
pub(crate) struct Help {
    /// The command, such as exec or vault backup
    #[arg(add = complete::verbs())]
    command: Vec<String>,
}

impl Help {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let typed: Vec<_> =
            std::iter::once("keyvault").chain(self.command.iter().map(String::as_str)).collect();
        let arguments: Vec<_> = typed.iter().map(OsString::from).collect();
        if help::command_path(&arguments).split(' ').count() != typed.len() {
            return Err(Failure::usage("Unknown command.", Some("List the commands with `keyvault help`.")));
        }
        context.ui.data(help::whole(&arguments, context.ui.color()).as_bytes())?;
        Ok(code::DONE)
    }
}
