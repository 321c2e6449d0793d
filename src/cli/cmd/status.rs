//! `keyvault status`

use clap::Args;

use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};
use crate::cli::output;
use crate::cli::output::time;
use crate::cli::unlock::log_gap_json;
use crate::cli::unlock::order::Outlook;
use keyvault_core::clock::Moment;
use keyvault_vault::audit::LogGap;

/// Show whether the vault is open: exit code 0 for open, 4 for locked, 3 for no vault.
///
/// The vault is open while a session is. This does not prompt and does not derive a key. With --verbose, shows for each
/// credential whether it would open the vault for the next command, and why.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Show for each credential whether it would open the vault, and why not
    #[arg(long, short)]
    verbose: bool,
}

/// The answer as JSON.
struct Answer {
    vault: String,
    status: &'static str,
    until: Option<Moment>,
    /// The word of a rollback alarm; unknown without a session.
    alarm: Option<&'static str>,
    log_gap: Option<LogGap>,
    credentials: Option<Vec<Outlook>>,
}

impl Status {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let path = context.vault_path()?;
        let mut vault = match context.open() {
            Ok(vault) => vault,
            Err(failure) if failure.kind == "no_vault" => {
                let vault = path.display().to_string();
                let credentials = self.verbose.then(|| vec![context.outlook_without_vault()]);
                print(
                    context,
                    &Answer { vault, status: "none", until: None, alarm: None, log_gap: None, credentials },
                )?;
                return Ok(code::NOT_FOUND);
            }
            Err(failure) => return Err(failure),
        };
        let shown = vault.path().display().to_string();
        let credentials = self.verbose.then(|| context.outlook(&mut vault));
        let Some(session) = vault.session(context.now()) else {
            print(
                context,
                &Answer {
                    vault: shown,
                    status: "locked",
                    until: None,
                    alarm: None,
                    log_gap: None,
                    credentials,
                },
            )?;
            return Ok(code::LOCKED);
        };
        let until = Some(session.until);
        let access = session.into();
        // A file that does not hold is for `vault check` to name.
        let alarm = context.tell_alarm(&mut vault, &access).ok().flatten();
        let log_gap = context.tell_log_gap(&mut vault, &access).ok().flatten();
        print(context, &Answer { vault: shown, status: "open", until, alarm, log_gap, credentials })?;
        Ok(code::DONE)
    }
}

fn print(context: &Context, answer: &Answer) -> Result<(), Failure> {
    let ui = &context.ui;
    let Answer { vault, status, until, alarm, log_gap, credentials } = answer;
    if ui.json {
        let mut json = serde_json::json!({
            "vault": vault, "status": status, "until": until.map(time::rfc3339), "alarm": alarm,
            "log_gap": log_gap_json(*log_gap),
        });
        if let (Some(credentials), Some(json)) = (credentials, json.as_object_mut()) {
            json.insert("credentials".to_owned(), credentials.iter().map(credential_json).collect());
        }
        return ui.print_json(&json);
    }
    let told = match until {
        Some(until) => {
            let word = ui.on_out(output::GOOD, "open");
            format!("{word} until {} ({})", time::local(*until), time::relative(*until, context.now()))
        }
        None if *status == "none" => "no vault; create one with `keyvault init`".to_owned(),
        None => format!("{}; open a session with `keyvault unlock`", ui.on_out(output::WARN, "locked")),
    };
    let mut text = format!("vault    {}\nsession  {told}", output::harmless_line(vault));
    for credential in credentials.iter().flatten() {
        text += &format!("\n  {}", credential_line(credential));
    }
    ui.line(&text)
}

fn credential_json(credential: &Outlook) -> serde_json::Value {
    serde_json::json!({ "credential": credential.step.name(), "opens": credential.opens, "why": credential.why })
}

/// `  keyring              no     it is locked.`
fn credential_line(credential: &Outlook) -> String {
    let word = match credential.opens {
        Some(true) => "yes",
        Some(false) => "no",
        None => "maybe",
    };
    format!("{:<20} {word:<6} {}", credential.step.name(), credential.why)
}
