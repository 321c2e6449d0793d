//! `keyvault audit …`

mod cursor;
mod export;

use clap::{Args, Subcommand};
use data_encoding::HEXLOWER;
use keyvault_vault::{check, key, token};

use std::collections::VecDeque;
use std::path::PathBuf;

use crate::cli::args::named;
use crate::cli::complete;
use crate::cli::context::{Context, read_secret};
use crate::cli::errors::{Failure, code};
use crate::cli::output::event;
use crate::cli::output::time::{self, Expiry};
use crate::cli::output::view;
use crate::cli::unlock::log_gap_json;
use keyvault_core::clock::Moment;
use keyvault_core::name::{KeyName, TokenName};
use keyvault_os::fs::private::open_secret_file;
use keyvault_vault::audit::{Action, Event, IssuedChange, Reach, Renamed};
use keyvault_vault::{BrokenReads, ImportedReads, Of, Reader, Unproved, VerifiedReads};

/// Read and verify the audit log.
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    Log(ShowLog),
    Verify(Verify),
    Import(Import),
    Export(export::Export),
}

/// Show who did what, when, and with which keys.
///
/// Reads on a device are numbered LEDGER:N, reads by a token TOKEN:N. With --json, prints one object per line: seq, ledger,
/// token, time, action, keys, actor, outcome.
#[derive(Debug, Args)]
pub(crate) struct ShowLog {
    /// Entries that name this key
    #[arg(long, value_name = "NAME", add = complete::keys(), value_parser = named::<KeyName>)]
    key: Option<KeyName>,
    /// Entries since: 24h, 2027-01-31 or 2027-01-31T12:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = time::since)]
    since: Option<Expiry>,
    /// Entries by this user
    #[arg(long, value_name = "USER")]
    actor: Option<String>,
    /// Entries of this kind, such as exec, reveal, unlock, generate or rotate
    #[arg(long, value_name = "WHAT", add = complete::one_of(Action::names), value_parser = action)]
    action: Option<Action>,
    /// Reads by this token
    #[arg(long, value_name = "NAME", add = complete::tokens(), value_parser = named::<TokenName>)]
    token: Option<TokenName>,
    /// Only the last N of these entries
    #[arg(long, short = 'n', value_name = "N")]
    last: Option<usize>,
    /// Newest first
    #[arg(long)]
    reverse: bool,
}

fn action(text: &str) -> Result<Action, String> {
    Action::parse(text)
        .ok_or_else(|| format!("is not one of {}", Action::names().collect::<Vec<_>>().join(", ")))
}

/// Prove that no entry was altered, removed or added.
///
/// With the passphrase, proves every entry from the start of the audit log; with a session, only that each entry follows
/// from the previous one. Also proves the reads by devices and tokens. The exit code is 5 if a proof fails.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Ask for the passphrase and prove from the start, even if a session is open
    #[arg(long)]
    from_start: bool,
}

/// Import reads from bundles, which were recorded where no vault is.
///
/// Imports every line that was written with a token of this vault, once. Reads that were imported before are skipped. A line
/// that cannot be proved, and a place where lines are missing, are reported with the line's number; the others are imported,
/// and the exit code is 5. A truncated last line and reads of other vaults or former tokens are skipped and reported.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The read log: ~/.local/state/keyvault/reads/TOKEN.jsonl on that machine, or the file that $KEYVAULT_READS names
    file: PathBuf,
}

impl Audit {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        match self {
            Self::Log(log) => log.run(context),
            Self::Verify(verify) => verify.run(context),
            Self::Import(import) => import.run(context),
            Self::Export(export) => export.run(context),
        }
    }
}

impl ShowLog {
    fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let (mut vault, access) = context.open_to_look()?;
        let path = vault.path().to_owned();
        let since = self.since.and_then(|since| since.resolve(context.now()));
        let (mut lines, mut objects) = (VecDeque::new(), VecDeque::new());
        let mut named = self.key.is_none();
        let mut show = |of: &Of, event: &Event| {
            named |= self.key.as_ref().is_some_and(|key| names_key(event, key));
            if self.wants(of, event, since) {
                if context.ui.json {
                    objects.push_back(event::json(of, event).to_string() + "\n");
                } else {
                    lines.push_back(event::Line::of(of, event));
                }
                if self.last.is_some_and(|last| lines.len().max(objects.len()) > last) {
                    lines.pop_front();
                    objects.pop_front();
                }
            }
        };
        let broken =
            token::whole_log(&mut vault, &access, &mut show).map_err(|error| Failure::of(error, &path))?;
        tell_broken(context, &broken);
        // A name that neither an entry nor a key has is a slip; a removed or renamed key has its entries.
        if let Some(name) = self.key.as_ref().filter(|_| !named) {
            key::show(&mut vault, &access, name).map_err(|error| Failure::of(error, &path))?;
        }
        if let Some(name) = self.token.as_ref().filter(|_| lines.is_empty() && objects.is_empty()) {
            token::exists(&mut vault, &access, name).map_err(|error| Failure::of(error, &path))?;
        }
        if lines.is_empty() && !context.ui.json {
            context.ui.note("No matching entries.");
        }
        if self.reverse {
            lines.make_contiguous().reverse();
            objects.make_contiguous().reverse();
        }
        if context.ui.json {
            context.ui.json_lines(Vec::from(objects).concat().as_bytes())?;
        } else {
            context.ui.paged(&event::text(&lines))?;
        }
        Ok(code::DONE)
    }

    fn wants(&self, of: &Of, event: &Event, since: Option<Moment>) -> bool {
        let token = |wanted: &TokenName| matches!(of, Of::Token(name, _) if name == wanted);
        self.token.as_ref().is_none_or(token)
            && self.key.as_ref().is_none_or(|name| names_key(event, name))
            && since.is_none_or(|since| event.time >= since)
            && self.actor.as_ref().is_none_or(|actor| *actor == event.actor.user)
            && self.action.is_none_or(|action| action == event.action)
    }
}

fn names_key(event: &Event, name: &KeyName) -> bool {
    let issued = event.get::<IssuedChange>();
    event.keys.iter().any(|key| key.name == name.as_str())
        || issued.is_some_and(|change| change.keys.values().flatten().any(|own| own == name))
        || event.get() == Some(Renamed(name.clone()))
}

impl Verify {
    fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let given = self.from_start || context.is_given_root();
        let (mut vault, access) =
            if given { context.open_with_root()? } else { context.open_with_access()? };
        let alarm = context.tell_alarm(&mut vault, &access)?;
        let gap = context.tell_log_gap(&mut vault, &access)?;
        let path = vault.path().to_owned();
        let failed = |error| Failure::of(error, &path);
        let verified = check::audit_log(&mut vault, &access).map_err(failed)?;
        let VerifiedReads { of_devices, of_tokens: reads, broken } =
            token::verify_reads(&mut vault, &access).map_err(failed)?;
        let entries = usize::try_from(verified.entries).unwrap_or(usize::MAX).saturating_add(of_devices);
        let from_start = verified.reach == Reach::FromTheStart;
        let done = if broken.is_empty() { code::DONE } else { code::DAMAGED };
        if context.ui.json {
            let broken: Vec<_> = broken
                .iter()
                .map(|(reader, fault)| match reader {
                    Reader::Device(ledger) => {
                        serde_json::json!({ "ledger": HEXLOWER.encode(ledger), "token": null, "what": fault })
                    }
                    Reader::Token(name) => {
                        serde_json::json!({ "ledger": null, "token": name.as_str(), "what": fault })
                    }
                })
                .collect();
            context.ui.print_json(&serde_json::json!({
                "ok": broken.is_empty(), "entry_count": entries, "from_start": from_start, "read_count": reads,
                "clock_back_at": verified.clock_back_at, "broken": broken, "alarm": alarm,
                "log_gap": log_gap_json(gap),
            }))?;
            return Ok(done);
        }
        let reach = if from_start {
            "all proved from the start of the audit log"
        } else {
            "each follows from the previous one; `--from-start` proves them with the passphrase"
        };
        context.ui.line(&format!("{} verified: {reach}.", view::counted(entries, "entry")))?;
        if reads > 0 {
            context.ui.line(&format!("{} by tokens verified.", view::counted(reads, "read")))?;
        }
        if let Some(seq) = verified.clock_back_at {
            context.ui.warn(&format!(
                "The clock went back at entry {seq}. The order of the entries is still proved."
            ));
        }
        tell_broken(context, &broken);
        Ok(done)
    }
}

fn tell_broken(context: &Context, broken: &[BrokenReads]) {
    for (reader, fault) in broken {
        let reads = match reader {
            Reader::Device(ledger) => format!("reads in ledger {}", event::short(ledger)),
            Reader::Token(name) => format!("reads by token `{name}`"),
        };
        context.ui.warn(&format!("The {reads} cannot be proved: {fault}. Someone may have hidden reads."));
    }
}

/// Warns of each faulty line by its number.
fn tell_faults(context: &Context, imported: &ImportedReads) {
    const SHOWN: usize = 10;
    for fault in imported.faults.iter().take(SHOWN) {
        let line = fault.line;
        context.ui.warn(&match fault.what {
            Unproved::NotOurs | Unproved::Altered => format!("Line {line} {}; not imported.", fault.what),
            Unproved::Missing(count) => {
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                format!("Before line {line}, {} missing.", are(count))
            }
            Unproved::Contradicts => format!(
                "Line {line} does not follow from the read imported before it: the read log was replaced by an older copy."
            ),
        });
    }
    let more = imported.faults.len().saturating_sub(SHOWN);
    if more > 0 {
        context
            .ui
            .warn(&format!("{} more cannot be proved; `--json` lists them.", view::counted(more, "line")));
    }
    if imported.cut_off {
        context
            .ui
            .warn("The last line is truncated. Its read was not released, unless the copy is incomplete.");
    }
}

fn are(count: usize) -> String {
    format!("{} {}", view::counted(count, "read"), if count == 1 { "is" } else { "are" })
}

impl Import {
    fn run(self, context: &Context) -> Result<u8, Failure> {
        const MAX_LOG: usize = 256 << 20;
        let (mut file, _) = open_secret_file(&self.file).map_err(|error| Failure::io(&self.file, &error))?;
        let text = read_secret(&mut file, MAX_LOG, &self.file)?;
        let (mut vault, access) = context.open_with_access()?;
        let path = vault.path().to_owned();
        let imported = context.with_world(|world| {
            token::import_reads(&mut vault, &access, world, text.expose())
                .map_err(|error| Failure::of(error, &path))
        })?;
        let done = if imported.faults.is_empty() { code::DONE } else { code::DAMAGED };
        if context.ui.json {
            let new = imported
                .new
                .iter()
                .map(|(name, count)| serde_json::json!({ "token": name.as_str(), "read_count": count }));
            let faults = imported.faults.iter().map(|fault| {
                let what = fault.what.to_string();
                serde_json::json!({ "line": fault.line, "what": what, "imported": fault.imported })
            });
            context.ui.print_json(&serde_json::json!({
                "new": new.collect::<Vec<_>>(), "known": imported.known, "unknown": imported.unknown, "other_vaults": imported.of_other_vaults,
                "cut_off": imported.cut_off, "faults": faults.collect::<Vec<_>>(),
            }))?;
            return Ok(done);
        }
        tell_faults(context, &imported);
        if imported.unknown > 0 {
            context.ui.warn(&format!(
                "Skipped {} by tokens that this vault does not know, such as tokens renewed since.",
                view::counted(imported.unknown, "read")
            ));
        }
        if imported.of_other_vaults > 0 {
            let reads = view::counted(imported.of_other_vaults, "read");
            context.ui.warn(&format!("Skipped {reads} by tokens of another vault."));
        }
        if imported.new.is_empty() {
            context.ui.confirm(
                match (imported.known, imported.unknown + imported.of_other_vaults, done) {
                    (0, 0, code::DONE) => "The file contains no reads.",
                    (_, 0, code::DONE) => "Nothing new: every read in the file was imported before.",
                    (1.., _, code::DONE) => "Nothing new: every other read in the file was imported before.",
                    _ => "Nothing new was imported.",
                },
            )?;
        } else {
            for (name, count) in &imported.new {
                let reads = view::counted(*count, "new read");
                context.ui.confirm(&format!("Imported {reads} by token `{name}`."))?;
            }
        }
        Ok(done)
    }
}
