//! `keyvault doctor`
//!
//! Looks and changes nothing: no mode, no side file, no session. What it reads of the vault it verifies like any command.
//! It only takes away what an `exec --file` that was killed has left in memory.

mod keys;
mod machine;
mod place;
mod rows;
mod shell;
mod system;

use std::path::Path;

use clap::Args;

use crate::cli::context::{Context, state_folder};
use crate::cli::errors::{Failure, code};
use crate::cli::output::table::{Cell, Column, Table};
use crate::cli::{output, unlock};
use keyvault_vault::Vault;
use keyvault_vault::state::pin::{Memory, Pins};

/// Find problems around the vault and show how to fix them: exit code 0 for none, 1 for findings.
///
/// Checks file modes and owners, synced folders, conflict copies, stray rows, the last verified backup, rollback, slots, the keyring,
/// kernel keys, sessions, the clock, completion, and expired and unused keys; with KEYVAULT_TOKEN, the token and its bundle. Removes what a
/// killed `exec --file` left in memory and changes nothing else. Keys and the audit log are checked only if the vault opens without a prompt.
#[derive(Debug, Args)]
pub(crate) struct Doctor {}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ok,
    Finding,
    Skipped,
}

/// One check's word.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Report {
    check: &'static str,
    state: State,
    what: String,
    remedy: Option<String>,
}

impl Report {
    fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, state: State::Ok, what: what.into(), remedy: None }
    }

    fn skipped(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, state: State::Skipped, what: what.into(), remedy: None }
    }

    fn finding(check: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, state: State::Finding, what: what.into(), remedy: Some(remedy.into()) }
    }

    /// A failure as a finding; its hint is the remedy.
    fn failure(check: &'static str, failure: Failure) -> Self {
        let remedy = failure.hint.unwrap_or_else(|| "Run `keyvault vault check` for details.".to_owned());
        Self::finding(check, failure.message, remedy)
    }
}

impl Doctor {
    pub(in crate::cli) fn run(context: &mut Context) -> Result<u8, Failure> {
        context.names_slots_itself();
        unlock::sweep();
        let token = machine::token(context);
        // A bundle is there for places that have no vault, and no home.
        let needs_none = token.as_ref().is_some_and(|report| report.state == State::Ok);
        let mut reports = match (context.vault_path(), state_folder()) {
            (Ok(path), Ok(state)) => Self::around_the_vault(context, &path, &state, needs_none),
            (Err(why), _) | (_, Err(why)) if needs_none => vec![Report::skipped("vault", why.message)],
            (Err(why), _) | (_, Err(why)) => return Err(why),
        };
        reports.extend(token);
        reports.push(shell::completion());
        print(context, &reports)
    }

    fn around_the_vault(context: &Context, path: &Path, state: &Path, needs_none: bool) -> Vec<Report> {
        let mut reports = place::files(path, state);
        let pins = Pins::in_folder(state.join("pins"));
        match Vault::open_untouched(path, &pins) {
            Ok(mut vault) => {
                if *vault.memory() == Memory::Unreadable {
                    reports.push(Report::finding(
                        "pin",
                        "this machine's record of the vault cannot be read, so a rollback would go unnoticed",
                        "Check its owner and mode. If it is damaged, the next change replaces it.",
                    ));
                }
                reports.extend(place::folder(vault.path()));
                reports.push(rows::strays(&mut vault));
                reports.push(rows::backup(context, &vault, state));
                let (keyring, access) = system::keyring(context, &mut vault);
                reports.push(keyring);
                reports.extend(system::sessions(context, &vault));
                reports.extend(keys::all(context, &mut vault, access));
            }
            Err(error) => {
                let failure = Failure::of(error, path);
                reports.push(if needs_none && failure.kind == "no_vault" {
                    Report::skipped("vault", "no vault, and the bundle needs none")
                } else {
                    Report::failure("vault", failure)
                });
                reports.push(system::kernel_keys());
            }
        }
        reports
    }
}

fn print(context: &Context, reports: &[Report]) -> Result<u8, Failure> {
    let findings = reports.iter().filter(|report| report.state == State::Finding).count();
    if context.ui.json {
        let checks: Vec<_> = reports.iter().map(json).collect();
        context.ui.print_json(&serde_json::json!({ "ok": findings == 0, "checks": checks }))?;
    } else {
        let mut table =
            Table::new([Column::whole("CHECK"), Column::whole("STATE"), Column::broken("RESULT")]);
        for report in reports {
            let state = match report.state {
                State::Ok => Cell::styled("ok", output::GOOD),
                State::Finding => Cell::styled("FOUND", output::BAD),
                State::Skipped => "-".into(),
            };
            table.row([report.check.into(), state, output::harmless_line(&report.what).into()]);
            if let Some(remedy) = &report.remedy {
                table.below(remedy);
            }
        }
        context.ui.data(table.text(&context.ui).as_bytes())?;
        context.ui.line(&match findings {
            0 => context.ui.on_out(output::GOOD, "No problems found."),
            1 => context.ui.on_out(output::WARN, "1 finding."),
            count => context.ui.on_out(output::WARN, &format!("{count} findings.")),
        })?;
    }
    Ok(if findings == 0 { code::DONE } else { code::FAILED })
}

fn json(report: &Report) -> serde_json::Value {
    let state = match report.state {
        State::Ok => "ok",
        State::Finding => "finding",
        State::Skipped => "skipped",
    };
    serde_json::json!({
        "check": report.check, "state": state, "what": report.what, "remedy": report.remedy
    })
}
