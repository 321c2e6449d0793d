//! `keyvault vault check`

use std::path::Path;

use clap::Args;
use keyvault_vault::{check, file};

use crate::cli::cmd::issued;
use crate::cli::context::Context;
use crate::cli::errors::vault_file::{RESTORE, beyond_check, compare, ways_out};
use crate::cli::errors::{Failure, code};
use crate::cli::output;
use crate::cli::output::view;
use crate::cli::unlock::alarm;
use keyvault_os::fs::sync_conflicts;
use keyvault_vault::audit::Reach;
use keyvault_vault::{Checked, Finding};

/// Verify everything: rebuild the tree, open every row, and compare the state, the pin and the audit log.
///
/// Names each damaged row. The exit code is 5 if there is any problem.
#[derive(Debug, Args)]
pub(crate) struct Check {}

impl Check {
    pub(in crate::cli) fn run(context: &mut Context) -> Result<u8, Failure> {
        Self::look(context).map_err(beyond_check)
    }

    fn look(context: &Context) -> Result<u8, Failure> {
        let (mut vault, access) = context.open_with_access()?;
        let path = vault.path().to_owned();
        // The check itself finds what keeps the standing from being told.
        if let Ok((_, Some(notice))) = file::standing(&mut vault, &access) {
            context.tell(&notice);
        }
        let checked = check::run(&mut vault, &access).map_err(|error| Failure::of(error, &path))?;
        let issued = issued::count(&mut vault, &access, context.now());
        let alarm = alarm(checked.standing);
        let clean = checked.findings.is_empty() && alarm.is_none();
        let copies = sync_conflicts::beside(&path);
        if context.ui.json {
            let findings: Vec<_> = checked
                .findings
                .iter()
                .map(|finding| serde_json::json!({ "row": finding.row, "what": finding.what }))
                .collect();
            context.ui.print_json(&serde_json::json!({
                "ok": clean, "key_count": checked.keys, "issued_key_count": issued, "version_count": checked.versions,
                "change": checked.change,
                "from_start": reaches_start(&checked), "alarm": alarm, "findings": findings,
                "conflict_copies": copies.iter().map(|copy| copy.display().to_string()).collect::<Vec<_>>(),
            }))?;
        } else {
            report(context, (&checked, issued), alarm, &path)?;
            for copy in copies {
                let shown = output::harmless_line(&copy.display().to_string());
                let line = compare(&copy);
                context.ui.warn(&format!("A sync service left {shown} next to the vault. Compare: {line}"));
            }
        }
        Ok(if clean { code::DONE } else { code::DAMAGED })
    }
}

/// Returns `true` if the log was proved from its start, which takes root.
fn reaches_start(checked: &Checked) -> bool {
    checked.audit.is_some_and(|audit| audit.reach == Reach::FromTheStart)
}

fn report(
    context: &Context,
    (checked, issued): (&Checked, usize),
    alarm: Option<&str>,
    path: &Path,
) -> Result<(), Failure> {
    let log = checked.audit.map_or_else(
        || "an audit log that does not verify".to_owned(),
        |audit| {
            let entries = audit.entries.saturating_add(checked.reads);
            view::counted(usize::try_from(entries).unwrap_or(usize::MAX), "audit log entry")
        },
    );
    context.ui.line(&format!(
        "{}, {}, {}, change {}",
        issued::counted_with(checked.keys, issued),
        view::counted(checked.versions, "version"),
        log,
        checked.change
    ))?;
    for finding in &checked.findings {
        let row = output::harmless_line(&finding.row);
        context.ui.line(&format!("{} {row}: {}", context.ui.on_out(output::BAD, "damaged"), finding.what))?;
    }
    if checked.findings.iter().any(|finding| !finding.is_of_reads()) {
        context.ui.say(RESTORE);
    }
    if checked.findings.iter().any(Finding::is_of_a_device) {
        context.ui.say(
            "Someone may have hidden reads on a device. `keyvault vault rekey` keeps those that can be proved.",
        );
    }
    if checked.findings.iter().any(|finding| finding.is_of_reads() && !finding.is_of_a_device()) {
        context.ui.say(
            "Someone may have hidden reads by a token: treat its keys as read. `keyvault token renew NAME` starts a new read log; \
             so does another token of that name if it is revoked.",
        );
    }
    if let Some(alarm) = alarm {
        let word = context.ui.on_out(output::BAD, "alarm");
        context.ui.line(&format!("{word} the vault is {alarm}. {}", ways_out(checked.standing, path)))?;
    }
    if checked.findings.is_empty() && alarm.is_none() {
        context.ui.line(&context.ui.on_out(output::GOOD, "Everything verified."))?;
        if !reaches_start(checked) {
            context.ui.line(
                "The audit log is proved link by link. `keyvault audit verify --from-start` proves it from its first entry.",
            )?;
        }
    }
    Ok(())
}
