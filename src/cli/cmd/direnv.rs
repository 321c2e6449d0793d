//! `keyvault direnv`

use clap::Args;

use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};

/// Print the function that loads keys through direnv.
///
///   once            keyvault direnv > ~/.config/direnv/lib/keyvault.sh
///   in an .envrc    use keyvault
///                   use keyvault --profile staging
///                   use keyvault --scope dev
///
/// `use keyvault` takes what `keyvault exec` takes. While you are in the folder,
/// your shell and all that it starts have the keys; `keyvault exec` gives them to
/// one command. It never prompts: open the vault before, then `direnv reload`.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Direnv {}

impl Direnv {
    pub(in crate::cli) fn run(context: &Context) -> Result<u8, Failure> {
        context.ui.data(include_bytes!("direnv.sh"))?;
        Ok(code::DONE)
    }
}
