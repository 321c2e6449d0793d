//! `keyvault vault …`: the care of the vault's file and of the slots that open it.

pub(crate) mod backup;
pub(crate) mod check;
pub(crate) mod diff;
pub(crate) mod passwd;
pub(crate) mod recover;
pub(crate) mod rekey;
pub(crate) mod restore;
mod restore_only;
pub(crate) mod slot;

use std::path::Path;

use clap::Subcommand;

use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};
use crate::cli::output::loss::{self, Tense};
use crate::cli::prompt;
use keyvault_vault::Loss;

/// Maintain the vault's file and its slots.
#[derive(Debug, Subcommand)]
pub(crate) enum Vault {
    Check(check::Check),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Diff(diff::Diff),
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
            Self::Diff(args) => args.run(context),
            Self::Passwd(args) => args.run(context),
            Self::Recover(args) => args.run(context),
            Self::Rekey(args) => args.run(context),
            Self::Slot(args) => args.run(context),
        }
    }
}

/// Shows by name what damage would cost, before anything changes. Where no question follows, `--drop-damaged` has to
/// accept it.
fn accept_loss(
    context: &Context,
    loss: &Loss,
    consent: Consent,
    file: &Path,
    otherwise: &str,
) -> Result<(), Failure> {
    for line in loss::told(loss, Tense::Ahead) {
        context.ui.warn(&line);
    }
    match loss.counted() {
        Some(_) if consent == Consent::Missing => Err(Failure::damaged(
            &loss.message(&file.display()),
            Some(&format!(
                "Nothing was changed. {otherwise}, or continue without them with `--drop-damaged`."
            )),
        )),
        _ => Ok(()),
    }
}

/// How it is said that a loss is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Consent {
    /// By `--drop-damaged`, or by the answer to a question that follows.
    Given,
    Missing,
}

impl Consent {
    fn of(drop_damaged: bool, asks: bool) -> Self {
        if drop_damaged || asks { Self::Given } else { Self::Missing }
    }
}

/// Asks on a terminal and requires `--yes` elsewhere, for an action that cannot be undone.
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
