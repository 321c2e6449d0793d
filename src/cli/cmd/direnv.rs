//! `keyvault direnv`

use clap::Args;

use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};

/// Print the function that loads keys through direnv.
///
/// With it, `use keyvault` in an `.envrc` takes the options of `keyvault exec`. While you are in the folder, your shell and
/// everything that it starts have the keys; `keyvault exec` gives them to one command. It never prompts: if the vault is
/// locked, run `keyvault unlock` and `direnv reload`.
#[derive(Debug, Args)]
pub(crate) struct Direnv {}

impl Direnv {
    pub(in crate::cli) fn run(context: &Context) -> Result<u8, Failure> {
        context.ui.data(include_bytes!("direnv.sh"))?;
        Ok(code::DONE)
    }
}
