//! `keyvault vault …`

use clap::{Args, Subcommand};

use crate::cli::context::Context;
use crate::cli::error::{Failure, code};
use crate::cli::ui;
use crate::state::pin::Standing;
use crate::vault::Checked;

/// Care for the vault's file.
#[derive(Debug, Subcommand)]
pub enum Vault {
    /// Verify everything: rebuild the tree, open every row, compare state, pin and log
    Check,
    /// Accept a vault that was put back by a sync, a backup or a snapshot
    Restore(Restore),
}

/// Accept a vault that was put back by a sync, a backup or a snapshot.
#[derive(Debug, Args)]
pub struct Restore {
    /// Accept the file where it lies; needs the passphrase
    #[arg(long, required = true)]
    adopt: bool,
}

impl Vault {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        match self {
            Self::Check => check(context),
            Self::Restore(restore) => {
                debug_assert!(restore.adopt, "clap requires it");
                adopt(context)
            }
        }
    }
}

fn check(context: &Context) -> Result<u8, Failure> {
    let (mut vault, access) = context.open_with_access()?;
    let path = vault.path().to_owned();
    let checked = vault.check(&access).map_err(|error| Failure::of(error, &path))?;
    let alarm = match checked.standing {
        Standing::RolledBack => Some("older than what was last seen here"),
        Standing::Forked => Some("another branch than what was last seen here"),
        Standing::FirstUse | Standing::Same | Standing::Ahead => None,
    };
    let clean = checked.findings.is_empty() && alarm.is_none();
    if context.ui.json {
        let findings: Vec<_> = checked
            .findings
            .iter()
            .map(|finding| serde_json::json!({ "row": finding.row, "what": finding.what }))
            .collect();
        context.ui.print_json(&serde_json::json!({
            "ok": clean, "keys": checked.keys, "versions": checked.versions, "change": checked.change,
            "alarm": alarm, "findings": findings,
        }))?;
    } else {
        report(context, &checked, alarm)?;
    }
    Ok(if clean { code::DONE } else { code::DAMAGED })
}

fn report(context: &Context, checked: &Checked, alarm: Option<&str>) -> Result<(), Failure> {
    let entries = checked.audit.map_or(0, |audit| audit.entries);
    context.ui.line(&format!(
        "{} keys, {} versions, {entries} log entries, change {}",
        checked.keys, checked.versions, checked.change
    ))?;
    for finding in &checked.findings {
        let row = ui::harmless_line(&finding.row);
        context.ui.line(&format!("{} {row}: {}", context.ui.on_out(ui::BAD, "damaged"), finding.what))?;
    }
    if let Some(alarm) = alarm {
        let hint = "keyvault vault restore --adopt accepts it";
        context.ui.line(&format!("{} the vault is {alarm}; {hint}", context.ui.on_out(ui::BAD, "alarm")))?;
    }
    if checked.findings.is_empty() && alarm.is_none() {
        context.ui.line(&context.ui.on_out(ui::GOOD, "All of it holds."))?;
    }
    Ok(())
}

fn adopt(context: &Context) -> Result<u8, Failure> {
    let (mut vault, access) = context.open_with_root()?;
    let path = vault.path().to_owned();
    let adopted =
        context.with_world(|world| vault.adopt(&access, world).map_err(|error| Failure::of(error, &path)))?;
    if context.ui.json {
        let adopted = adopted.map(|adopted| {
            serde_json::json!({
                "found": adopted.found, "superseded": adopted.superseded, "change": adopted.now,
            })
        });
        context.ui.print_json(&serde_json::json!({ "adopted": adopted }))?;
    } else {
        context.ui.note(&match adopted {
            None => "There is no alarm; nothing was changed.".to_owned(),
            Some(adopted) => format!(
                "Accepted change {} of {}. It supersedes change {} that was seen here and is now change {}.\n\
                 Keys that were made, rotated or revoked in between are as they were before; look at them.",
                adopted.found,
                path.display(),
                adopted.superseded,
                adopted.now
            ),
        });
    }
    Ok(code::DONE)
}
