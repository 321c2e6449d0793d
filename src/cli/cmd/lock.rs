//! `keyvault lock`

use clap::Args;
use keyvault_vault::slot;

use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};
use crate::cli::unlock;
use keyvault_vault::unlock::session;

/// End the session.
#[derive(Debug, Args)]
pub(crate) struct Lock {
    /// End the sessions of all vaults
    #[arg(long)]
    all: bool,
}

impl Lock {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        unlock::sweep();
        let mut reopens = false;
        let closed = if self.all {
            session::close_all()
        } else {
            let mut vault = context.open().map_err(|failure| Failure {
                hint: Some(
                    "`keyvault lock --all` ends the sessions of all vaults, wherever their files are."
                        .to_owned(),
                ),
                ..failure
            })?;
            reopens = slot::has_keyring(&mut vault).unwrap_or(false);
            context.forget_limited(&vault);
            session::close(&vault.identity()).map(usize::from)
        };
        let closed = closed.map_err(|error| Failure::session(&error))?;
        if context.ui.json {
            context.ui.print_json(&serde_json::json!({ "closed": closed }))?;
        } else {
            context.ui.confirm(match closed {
                0 => "No session was open.",
                1 => "Locked.",
                _ => "All vaults are locked.",
            })?;
            if reopens {
                context.ui.note("While the OS keyring is unlocked, the next command opens the vault with it. Lock the keyring too.");
            }
        }
        Ok(code::DONE)
    }
}
