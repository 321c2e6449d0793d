//! `keyvault completions`

use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};

/// Print a shell's completion script.
///
/// Names of keys and scopes come from an open session, or with KEYVAULT_TOKEN, from what the token opens. Completion never prompts for a passphrase.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// bash, zsh or fish
    #[arg(value_parser = PossibleValuesParser::new(complete::SHELLS), hide_possible_values = true)]
    shell: String,
}

impl Completions {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        context.ui.data(complete::script(&self.shell)?)?;
        Ok(code::DONE)
    }
}
