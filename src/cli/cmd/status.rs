//! `keyvault status`

use clap::Args;

use crate::cli::context::Context;
use crate::cli::error::{Failure, code};
use crate::cli::opening::alarm;
use crate::cli::time;
use crate::cli::ui;

/// Say whether the vault is open: exit code 0 open, 4 locked, 3 no vault.
///
/// Derives nothing, asks nothing, and looks at what a command would find.
#[derive(Debug, Args)]
pub struct Status {}

impl Status {
    pub(in crate::cli) fn run(context: &mut Context) -> Result<u8, Failure> {
        let path = context.vault_path()?;
        let mut vault = match context.open() {
            Ok(vault) => vault,
            Err(failure) if failure.kind == "no_vault" => {
                return answer(context, &path.display().to_string(), "none", None, code::NOT_FOUND);
            }
            Err(failure) => return Err(failure),
        };
        let now = context.now();
        let shown = vault.path().display().to_string();
        match vault.session(now) {
            Some(session) => {
                let until = session.until;
                let access = session.into();
                // A file that does not hold is for `vault check` to name.
                let standing = vault.read(&access, |work| Ok(work.standing())).ok();
                if let Some(alarm) = standing.and_then(alarm) {
                    context
                        .ui
                        .warn(&format!("The vault is {alarm}; 'keyvault vault restore --adopt' accepts it."));
                }
                answer(context, &shown, "open", Some(until), code::DONE)
            }
            None => answer(context, &shown, "locked", None, code::LOCKED),
        }
    }
}

fn answer(
    context: &Context,
    vault: &str,
    status: &str,
    until: Option<crate::clock::Moment>,
    code: u8,
) -> Result<u8, Failure> {
    let ui = &context.ui;
    if ui.json {
        ui.print_json(&serde_json::json!({
            "vault": vault, "status": status, "until": until.map(time::rfc3339)
        }))?;
        return Ok(code);
    }
    let told = match until {
        Some(until) => {
            let word = ui.on_out(ui::GOOD, "open");
            format!("{word} until {} ({})", time::local(until), time::relative(until, context.now()))
        }
        None if status == "none" => "there is no vault; 'keyvault init' makes one".to_owned(),
        None => format!("{}; 'keyvault unlock' opens a session", ui.on_out(ui::WARN, "locked")),
    };
    ui.line(&format!("vault    {}\nsession  {told}", ui::harmless_line(vault)))?;
    Ok(code)
}
