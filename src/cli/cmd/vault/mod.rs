//! `keyvault vault …`: the care of the vault's file and of the slots that open it.

pub mod backup;
pub mod check;
pub mod passwd;
pub mod recover;
pub mod rekey;
pub mod restore;
pub mod slot;

use clap::Subcommand;

use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};
use crate::cli::prompt;

/// Maintain the vault's file and its slots.
#[derive(Debug, Subcommand)]
#[allow(missing_docs, reason = "each command's words stand with its arguments")]
pub enum Vault {
    Check(check::Check),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Passwd(passwd::Passwd),
    Recover(recover::Recover),
    Rekey(rekey::Rekey),
    #[command(subcommand)]
    Slot(slot::SlotCommand),
}

impl Vault {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        match self {
            Self::Check(check::Check {}) => check::Check::run(context),
            Self::Backup(args) => args.run(context),
            Self::Restore(args) => args.run(context),
            Self::Passwd(args) => args.run(context),
            Self::Recover(args) => args.run(context),
            Self::Rekey(args) => args.run(context),
            Self::Slot(args) => args.run(context),
        }
    }
}

/// What cannot be undone is asked for on a terminal and needs `--yes` elsewhere.
fn confirm(context: &Context, yes: bool, question: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !context.may_ask() {
        return Err(Failure::usage(
            &format!("This cannot be undone, and {}.", context.unasked()),
            Some("Use `--yes` to confirm."),
        ));
    }
    if prompt::confirm("", question)? {
        Ok(())
    } else {
        Err(Failure::new(code::REFUSED, "refused", "Nothing was changed.", None))
    }
}
