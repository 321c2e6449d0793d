//! `keyvault status`

use clap::Args;

use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};
use crate::cli::output;
use crate::cli::output::table::{Cell, Column, Table};
use crate::cli::output::time;
use crate::cli::output::view;
use crate::cli::unlock::key_source::{token_given_by, token_is_given};
use crate::cli::unlock::log_gap_json;
use crate::cli::unlock::order::{Outlook, Step};
use keyvault_core::clock::Moment;
use keyvault_core::name::Scope;
use keyvault_vault::audit::LogGap;
use keyvault_vault::unlock::session::{self, Current, LimitedSession};
use keyvault_vault::{BearerKeys, Supply, TokenRecord, Vault, token};

/// Show whether the vault is open: exit code 0 for open, 4 for locked, 3 for no vault.
///
/// The vault is open while a session is, full or limited, and where the OS keyring or a key file opens it for the next
/// command without a question. This does not prompt and does not derive a key. While the vault is open in full, the tokens
/// of limited sessions that have not expired are listed: one outlives `keyvault lock`, until the owner opens the vault again. With --verbose, shows for each credential whether it would open the vault for the next
/// command, and why.
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
    /// The credential that opens the vault where no session is open.
    opened_by: Option<Step>,
    /// The word of a rollback alarm; unknown without a session.
    alarm: Option<&'static str>,
    log_gap: Option<LogGap>,
    credentials: Option<Vec<Outlook>>,
    /// The keys of a limited session.
    keys: Option<Vec<String>>,
    /// The limited sessions in the vault; unknown without a full session.
    sessions: Option<Vec<TokenRecord>>,
}

impl Answer {
    /// One that has nothing to tell but this.
    fn of(vault: String, status: &'static str, credentials: Option<Vec<Outlook>>) -> Self {
        Self {
            vault,
            status,
            until: None,
            opened_by: None,
            alarm: None,
            log_gap: None,
            credentials,
            keys: None,
            sessions: None,
        }
    }
}

impl Status {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let path = context.vault_path()?;
        let mut vault = match context.open() {
            Ok(vault) => vault,
            Err(failure) if failure.kind == "no_vault" => {
                let vault = path.display().to_string();
                let credentials = self.verbose.then(|| vec![context.outlook_without_vault()]);
                print(context, &Answer::of(vault, "none", credentials))?;
                return Ok(code::NOT_FOUND);
            }
            Err(failure) => return Err(failure),
        };
        let shown = vault.path().display().to_string();
        let session = session::current(&vault.identity(), context.now());
        // It is asked once, for both of its uses.
        let keyring =
            if session.is_none() || self.verbose { context.keyring_alone(&mut vault) } else { Ok(None) };
        let credentials = self.verbose.then(|| context.outlook(&mut vault, &keyring));
        let (access, until, opened_by) = match session {
            Some(Current::Full(session)) => {
                let until = session.until;
                (session.into(), Some(until), None)
            }
            Some(Current::Limited(session)) => {
                return limited(context, vault, &session, Answer::of(shown, "limited", credentials));
            }
            None => {
                let opened = context.opens_alone(&mut vault, keyring.ok().flatten());
                let Some((step, access)) = opened else {
                    print(context, &Answer::of(shown, "locked", credentials))?;
                    return Ok(code::LOCKED);
                };
                (access, None, Some(step))
            }
        };
        // A file that does not hold is for `vault check` to name.
        let alarm = context.tell_alarm(&mut vault, &access).ok().flatten();
        let log_gap = context.tell_log_gap(&mut vault, &access).ok().flatten();
        let sessions = token::sessions(&mut vault, &access, context.now()).ok();
        let answer = Answer::of(shown, "open", credentials);
        print(context, &Answer { until, opened_by, alarm, log_gap, sessions, ..answer })?;
        Ok(code::DONE)
    }
}

/// The keys of a limited session. One whose token is gone opens nothing, which is told as locked.
fn limited(context: &Context, vault: Vault, session: &LimitedSession, answer: Answer) -> Result<u8, Failure> {
    let mut supply = Supply::Granted(vault, BearerKeys::of_session(session));
    let keys = context.with_keys(&mut supply, |supply, world| {
        let looking = supply.look(world)?;
        let mut keys = looking.keys()?.all()?;
        // As `unlock` counts them.
        keys.retain(|key| key.has_value(context.now()));
        let mut keys: Vec<_> = keys.iter().map(|key| key.name().to_string()).collect();
        keys.sort();
        Ok(keys)
    });
    match keys {
        Ok(keys) => {
            print(context, &Answer { until: Some(session.until), keys: Some(keys), ..answer })?;
            Ok(code::DONE)
        }
        Err(failure) => {
            context.ui.warn(&failure.message);
            print(context, &Answer { status: "locked", ..answer })?;
            Ok(code::LOCKED)
        }
    }
}

fn print(context: &Context, answer: &Answer) -> Result<(), Failure> {
    let ui = &context.ui;
    let Answer { vault, status, until, opened_by, alarm, log_gap, credentials, keys, sessions } = answer;
    if ui.json {
        let json = serde_json::json!({
            "vault": vault, "status": status, "until": until.map(time::rfc3339), "alarm": alarm,
            "log_gap": log_gap_json(*log_gap), "keys": keys,
            "sessions": sessions.as_ref().map(|all| all.iter().map(session_json).collect::<Vec<_>>()),
            "credentials": credentials.as_ref().map(|all| all.iter().map(credential_json).collect::<Vec<_>>()),
        });
        return ui.print_json(&json);
    }
    let told = match (until, opened_by) {
        (Some(until), _) => {
            let word = match keys {
                None => ui.on_out(output::GOOD, "open"),
                Some(keys) => format!("limited to {}", view::counted(keys.len(), "key")),
            };
            let listed = keys.as_ref().filter(|keys| !keys.is_empty());
            let listed = listed.map(|keys| format!(": {}", named(keys))).unwrap_or_default();
            format!("{word} until {}{listed}", view::when(*until, context.now()))
        }
        (None, Some(step)) => {
            let open = ui.on_out(output::GOOD, "open");
            format!("{open} without a session: the {} opens the vault", step.name())
        }
        (None, None) if *status == "none" => "no vault; create one with `keyvault init`".to_owned(),
        (None, None) => {
            format!("{}; open a session with `keyvault unlock`", ui.on_out(output::WARN, "locked"))
        }
    };
    let mut facts = vec![("vault", output::harmless_line(vault)), ("session", told)];
    if token_is_given() {
        let variable = token_given_by().unwrap_or("KEYVAULT_TOKEN");
        facts.push(("token", format!("{variable} is set: commands use it and no session")));
    }
    for session in sessions.iter().flatten() {
        let end = session_end(session, context.now());
        facts.push(("limited", format!("{} {end}", session.name)));
    }
    ui.data(view::card(facts).as_bytes())?;
    let Some(credentials) = credentials else { return Ok(()) };
    let mut table = Table::new([Column::whole("CREDENTIAL"), Column::whole("OPENS"), Column::broken("WHY")]);
    for credential in credentials {
        table.row(credential_cells(credential));
    }
    ui.data(format!("\n{}", table.text(ui)).as_bytes())
}

/// The keys of a limited session in a line.
fn named(keys: &[String]) -> String {
    const SHOWN: usize = 10;
    let mut names = view::joined(keys.iter().take(SHOWN));
    if keys.len() > SHOWN {
        names += &format!(" and {} more", keys.len() - SHOWN);
    }
    names
}

/// A limited session in the vault, for programs.
pub(super) fn session_json(session: &TokenRecord) -> serde_json::Value {
    serde_json::json!({
        "name": session.name.as_str(),
        "scopes": session.rule.scopes.iter().map(Scope::as_str).collect::<Vec<_>>(),
        "created": time::rfc3339(session.created),
        "expires": session.expires.map(time::rfc3339),
        "made_by": session.made_by,
    })
}

/// `until 2026-11-22 08:13 (in 1h), by ada@host`
pub(super) fn session_end(session: &TokenRecord, now: Moment) -> String {
    let end = session.expires.unwrap_or(session.created);
    let by = output::harmless_line(&session.made_by);
    format!("until {}, by {by}", view::when(end, now))
}

fn credential_json(credential: &Outlook) -> serde_json::Value {
    serde_json::json!({ "credential": credential.step.name(), "opens": credential.opens, "why": credential.why })
}

fn credential_cells(credential: &Outlook) -> [Cell<'_>; 3] {
    let opens = match credential.opens {
        Some(true) => Cell::styled("yes", output::GOOD),
        Some(false) => "no".into(),
        None => Cell::styled("maybe", output::WARN),
    };
    [credential.step.name().into(), opens, output::harmless_line(&credential.why).into()]
}
