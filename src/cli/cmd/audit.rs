//! `keyvault audit …`

use clap::{Args, Subcommand};

use crate::audit::{Action, Event, Reach};
use crate::cli::args::named;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::error::{Failure, code};
use crate::cli::time::{self, Expiry};
use crate::cli::{ui, view};
use crate::clock::Moment;
use crate::name::KeyName;
use crate::vault;

/// Read and verify the audit log.
#[derive(Debug, Subcommand)]
#[allow(missing_docs, reason = "each command's words stand with its arguments")]
pub enum Audit {
    Log(Log),
    Verify(Verify),
}

/// Say who did what, when, with which keys.
///
/// --json prints one object per line: seq, time, action, keys, actor, outcome.
#[derive(Debug, Args)]
pub struct Log {
    /// Entries that name this key
    #[arg(long, value_name = "NAME", add = complete::keys(), value_parser = named::<KeyName>)]
    key: Option<KeyName>,
    /// Entries since: 24h, 2027-01-31 or 2027-01-31T12:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = time::since)]
    since: Option<Expiry>,
    /// Entries of this user
    #[arg(long, value_name = "USER")]
    actor: Option<String>,
    /// Entries of this kind, such as exec, reveal, unlock, generate or rotate
    #[arg(long, value_name = "WHAT", value_parser = action)]
    action: Option<Action>,
}

fn action(text: &str) -> Result<Action, String> {
    Action::parse(text).ok_or_else(|| format!("it takes {}", Action::names().collect::<Vec<_>>().join(", ")))
}

/// Prove that no entry was altered, cut off or added.
///
/// With the passphrase from the start of the log; with a session only that each entry follows from the one before.
#[derive(Debug, Args)]
pub struct Verify {
    /// From the start: ask for the passphrase even if a session is open
    #[arg(long)]
    from_start: bool,
}

impl Audit {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        match self {
            Self::Log(log) => log.run(context),
            Self::Verify(verify) => verify.run(context),
        }
    }
}

impl Log {
    fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let (mut vault, access) = context.open_to_look()?;
        let path = vault.path().to_owned();
        let since = self.since.and_then(|since| since.resolve(context.now()));
        let mut lines = String::new();
        let mut shown = 0;
        vault
            .audit_log(&access, &mut |seq, event| {
                if self.wants(&event, since) {
                    shown += 1;
                    lines += &if context.ui.json { json(seq, &event) } else { line(seq, &event) };
                    lines.push('\n');
                }
            })
            .map_err(|error| Failure::of(error, &path))?;
        if shown == 0 && !context.ui.json {
            context.ui.note("No entry fits.");
        }
        context.ui.data(lines.as_bytes())?;
        Ok(code::DONE)
    }

    fn wants(&self, event: &Event, since: Option<Moment>) -> bool {
        let names_key = |name: &KeyName| {
            event.keys.iter().any(|key| key.name == name.as_str())
                || vault::new_name(event) == Some(name.as_str())
        };
        self.key.as_ref().is_none_or(names_key)
            && since.is_none_or(|since| event.time >= since)
            && self.actor.as_ref().is_none_or(|actor| *actor == event.actor.user)
            && self.action.is_none_or(|action| action == event.action)
    }
}

fn json(seq: u64, event: &Event) -> String {
    let keys: Vec<_> = event
        .keys
        .iter()
        .map(|key| serde_json::json!({ "name": key.name, "version": key.version }))
        .collect();
    let actor = &event.actor;
    serde_json::json!({
        "seq": seq,
        "time": time::rfc3339(event.time),
        "action": event.action.name(),
        "outcome": event.outcome.name(),
        "keys": keys,
        "actor": {
            "user": actor.user, "host": actor.host, "pid": actor.pid, "program": actor.program,
            "terminal": actor.terminal, "job": actor.job,
        },
        "detail": event.detail,
        "change": event.change.map(|change| change.number),
    })
    .to_string()
}

/// `   12  2026-11-21 14:03  exec      ada@host bash pts/3  stripe/live v2  (npm)`
fn line(seq: u64, event: &Event) -> String {
    const SHOWN: usize = 5;
    let actor = &event.actor;
    let place = actor.job.as_ref().or(actor.terminal.as_ref()).map_or("-", String::as_str);
    let mut keys =
        view::joined(event.keys.iter().take(SHOWN).map(|key| format!("{} v{}", key.name, key.version)));
    if event.keys.len() > SHOWN {
        keys += &format!(" and {} more", event.keys.len() - SHOWN);
    }
    let detail = if event.detail.is_empty() { String::new() } else { format!("  ({})", event.detail) };
    let refused = if event.outcome == crate::audit::Outcome::Refused { " REFUSED" } else { "" };
    ui::harmless_line(&format!(
        "{seq:>5}  {}  {:<8}{refused}  {}@{} {} {place}  {keys}{detail}",
        time::local(event.time),
        event.action.name(),
        actor.user,
        actor.host,
        actor.program,
    ))
}

impl Verify {
    fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let given = self.from_start || context.given_passphrase()?.is_some();
        let (mut vault, access) = if given { context.open_with_root()? } else { context.open_to_look()? };
        let path = vault.path().to_owned();
        let verified = vault.verify_audit(&access).map_err(|error| Failure::of(error, &path))?;
        let from_start = verified.reach == Reach::FromTheStart;
        if context.ui.json {
            context.ui.print_json(&serde_json::json!({
                "ok": true, "entries": verified.entries, "from_start": from_start,
                "clock_back_at": verified.clock_back_at,
            }))?;
            return Ok(code::DONE);
        }
        let reach = if from_start {
            "every one proved from the start of the log"
        } else {
            "each follows from the one before; --from-start proves them with the passphrase"
        };
        context.ui.line(&format!("{} entries hold: {reach}.", verified.entries))?;
        if let Some(seq) = verified.clock_back_at {
            context.ui.warn(&format!(
                "The clock went back at entry {seq}; the order of entries holds all the same."
            ));
        }
        Ok(code::DONE)
    }
}
