//! `keyvault audit export`: the log as a stream for a log shipper, from where the last one ended.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::cursor::{Cursor, Lost, Print, Prints, Source, print_of};
use super::tell_broken;
use crate::cli::context::{Context, state_folder};
use crate::cli::errors::{Failure, code};
use crate::cli::output::event;
use crate::cli::output::ocsf::{self, Place};
use crate::cli::output::time::{self, Expiry};
use keyvault_core::clock::Moment;
use keyvault_core::identity::Identity;
use keyvault_exec::release::Glance;
use keyvault_os::fs::private;
use keyvault_os::process::interrupt::Interrupts;
use keyvault_vault::audit::Event;
use keyvault_vault::state::pin::Pins;
use keyvault_vault::{Access, BrokenReads, Of, Reader, Vault, token};

/// How often `--follow` looks at the file.
const PAUSE: Duration = Duration::from_millis(500);

/// Print the audit log as JSON lines for a SIEM or log shipper.
///
/// Each line is an object of `keyvault audit log --json` with a cursor added, or with --format ocsf an event of the Open
/// Cybersecurity Schema Framework 1.8.0, class API Activity (6003), with the cursor under unmapped. The cursor of a line, saved to a file, continues after that line. With --cursor, keyvault keeps the last one itself: it is written after the lines, so a crash may repeat lines but never loses one.
///
/// If the log no longer contains what the cursor has seen, such as after a restore of an older backup, the exit code is 5.
/// With --follow, such a loss, a rekey, and reads that cannot be proved are records of their own, with the field notice, and
/// the export goes on. INT and TERM end it with 0. While the vault is locked it waits.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Entries since: 24h, 2027-01-31 or 2027-01-31T12:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = time::since)]
    since: Option<Expiry>,
    /// jsonl or ocsf
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "jsonl", hide_possible_values = true)]
    format: Format,
    /// Wait for new entries
    #[arg(long)]
    follow: bool,
    /// Continue from the cursor in this file, if it exists, and keep it up to date
    #[arg(long, value_name = "FILE")]
    cursor: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Jsonl,
    Ocsf,
}

/// The log at one look.
struct Log {
    identity: Identity,
    prints: Prints,
    /// Entries behind the cursor.
    new: Vec<(Of, Event)>,
    broken: Vec<BrokenReads>,
}

impl Export {
    pub(super) fn run(self, context: &Context) -> Result<u8, Failure> {
        let (mut vault, access) = context.open_to_look()?;
        let path = vault.path().to_owned();
        let identity = vault.identity();
        let mut stream = Stream {
            context,
            format: self.format,
            since: self.since.and_then(|since| since.resolve(context.now())),
            file: self.cursor.as_deref(),
            cursor: self.starting_point(identity.vault_id)?,
            told: Vec::new(),
        };
        // Before the first look: a change in between is seen at the next.
        let mut glance = Glance::at(&path);
        glance.changed();
        let log = look(&mut vault, &access, &stream.cursor)?;
        let unproved = sources_of(&log.broken);
        if let Some(lost) = stream.cursor.lost(&log.prints, None, &unproved).first() {
            return Err(no_longer_there(lost, self.cursor.as_deref()));
        }
        if !self.follow {
            tell_broken(context, &log.broken);
            stream.write(&log, &[])?;
            return Ok(code::DONE);
        }
        let held = vault.session(context.now()).is_none().then(|| (identity, access.without_root()));
        drop(vault);
        let followed = Followed { context, path, held: RefCell::new(held) };
        stream.follow(&followed, glance, log)
    }

    fn starting_point(&self, vault: [u8; 16]) -> Result<Cursor, Failure> {
        let Some(file) = &self.cursor else { return Ok(Cursor::start(vault)) };
        let text = match std::fs::read_to_string(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Cursor::start(vault)),
            text => text.map_err(|error| Failure::io(file, &error))?,
        };
        let shown = file.display();
        let hint = "Name the file of an earlier export, or one that does not exist.";
        let cursor = Cursor::parse(&text)
            .ok_or_else(|| Failure::usage(&format!("{shown} does not contain a cursor."), Some(hint)))?;
        if cursor.vault != vault {
            return Err(Failure::damaged(&format!("The cursor in {shown} is of another vault."), Some(hint)));
        }
        Ok(cursor)
    }
}

fn no_longer_there(lost: &Lost, file: Option<&Path>) -> Failure {
    let file = file.map_or_else(String::new, |file| file.display().to_string());
    Failure::damaged(
        &format!("Nothing was exported: {} that the cursor has seen.", lost.told()),
        Some(&format!(
            "A restore of an older backup does that, and so can anyone who can write the file. Run `keyvault audit verify`. \
             To begin again, delete {file} and use `--since WHEN`."
        )),
    )
}

/// Reads the log, and keeps the entries behind the cursor.
fn look(vault: &mut Vault, access: &Access, cursor: &Cursor) -> Result<Log, Failure> {
    let (path, identity) = (vault.path().to_owned(), vault.identity());
    let (mut prints, mut new) = (Prints::new(), Vec::new());
    let mut take = |of: &Of, event: &Event| {
        let (source, seq) = Source::of(of);
        if seq >= cursor.count(&source) {
            new.push((of.clone(), event.clone()));
        }
        prints.entry(source).or_default().push(print_of(event));
    };
    let broken = token::whole_log(vault, access, &mut take).map_err(|error| Failure::of(error, &path))?;
    Ok(Log { identity, prints, new, broken })
}

fn sources_of(broken: &[BrokenReads]) -> Vec<Source> {
    let source = |(reader, _): &BrokenReads| match reader {
        Reader::Device(id) => Source::Device(*id),
        Reader::Token(name) => Source::Token(name.to_string()),
    };
    broken.iter().map(source).collect()
}

/// Something about the log itself, for a record of its own.
enum Notice {
    Rekeyed { epoch: u32 },
    Lost(Lost),
    Unprovable { source: Source, fault: String },
}

impl Notice {
    fn name(&self) -> &'static str {
        match self {
            Self::Rekeyed { .. } => "rekeyed",
            Self::Lost(_) => "entries_missing",
            Self::Unprovable { .. } => "unprovable",
        }
    }

    fn told(&self) -> String {
        match self {
            Self::Rekeyed { epoch } => format!("the vault was rekeyed and is now in epoch {epoch}"),
            Self::Lost(lost) => lost.told(),
            Self::Unprovable { fault, .. } => format!("reads cannot be proved: {fault}"),
        }
    }

    fn json(&self, now: Moment) -> serde_json::Value {
        let source = match self {
            Self::Rekeyed { .. } => None,
            Self::Lost(lost) => Some(&lost.source),
            Self::Unprovable { source, .. } => Some(source),
        };
        let (ledger, token) = match source {
            Some(Source::Device(id)) => (Some(data_encoding::HEXLOWER.encode(id)), None),
            Some(Source::Token(name)) => (None, Some(name)),
            Some(Source::Vault) | None => (None, None),
        };
        let missing = if let Self::Lost(lost) = self { Some(lost.missing) } else { None };
        serde_json::json!({
            "notice": self.name(), "time": time::rfc3339(now), "ledger": ledger, "token": token, "missing": missing,
            "detail": self.told(),
        })
    }
}

/// The stream to standard output, and how far it has come.
struct Stream<'c> {
    context: &'c Context,
    format: Format,
    since: Option<Moment>,
    file: Option<&'c Path>,
    cursor: Cursor,
    /// Faults that were reported.
    told: Vec<BrokenReads>,
}

impl Stream<'_> {
    /// Writes records, and then the cursor's file.
    fn write(&mut self, log: &Log, notices: &[Notice]) -> Result<(), Failure> {
        let before = self.cursor.text();
        let mut lines = String::new();
        let now = self.context.now();
        for notice in notices {
            let mut record = notice.json(now);
            ocsf::put(&mut record, "cursor", before.clone());
            if self.format == Format::Ocsf {
                record = ocsf::notice(&notice.told(), now, &record);
            }
            lines += &format!("{record}\n");
        }
        for (of, event) in &log.new {
            let (source, seq) = Source::of(of);
            let last: Print = print_of(event);
            self.cursor.pass(&source, seq, last);
            if self.since.is_none_or(|since| event.time >= since) {
                let mut record = event::json(of, event);
                ocsf::put(&mut record, "cursor", self.cursor.text());
                if self.format == Format::Ocsf {
                    record = ocsf::event(&Place { vault: &log.identity.vault_hex(), of }, event, &record);
                }
                lines += &format!("{record}\n");
            }
        }
        if !lines.is_empty() {
            self.context.ui.json_lines(lines.as_bytes())?;
        }
        match self.file {
            Some(file) if self.cursor.text() != before || !notices.is_empty() || !file.exists() => {
                let text = format!("{}\n", self.cursor.text());
                let written =
                    private::replace_private(file, text.as_bytes()).and_then(|()| private::sync(file));
                written.map_err(|error| Failure::making(file, &error))
            }
            _ => Ok(()),
        }
    }

    /// Writes what is new each time that the file changes, until a signal, or until nobody reads any more.
    fn follow(mut self, followed: &Followed<'_>, mut glance: Glance, first: Log) -> Result<u8, Failure> {
        let interrupts = Interrupts::catch(&[libc::SIGINT, libc::SIGTERM], &[]);
        let interrupts = interrupts.map_err(|error| Failure::failed(&error.to_string(), None))?;
        let notices = self.unprovable(&first);
        if let Err(failure) = self.write(&first, &notices) {
            return if asks_to_end(&interrupts)? { Ok(code::DONE) } else { Err(failure) };
        }
        let mut before = first;
        let mut waiting_for: Option<String> = None;
        let mut is_busy = false;
        loop {
            if is_over(&interrupts)? {
                return Ok(code::DONE);
            }
            // Whatever unlocks the vault writes an entry.
            if !glance.changed() && !is_busy {
                continue;
            }
            let next = self.next(followed, &before);
            is_busy = next.as_ref().is_err_and(|failure| failure.code == code::BUSY);
            match next {
                Ok(log) => {
                    waiting_for = None;
                    before = log;
                }
                // Its output was stuck, or so slow that the signal came first.
                Err(_) if asks_to_end(&interrupts)? => return Ok(code::DONE),
                Err(failure) if failure.quiet || failure.code == code::DAMAGED => return Err(failure),
                Err(failure) => {
                    if waiting_for.as_ref() != Some(&failure.message) {
                        self.context.ui.warn(&format!("The export waits: {}", failure.message));
                    }
                    waiting_for = Some(failure.message);
                }
            }
        }
    }

    /// One look, and the records that follow from it.
    fn next(&mut self, followed: &Followed<'_>, before: &Log) -> Result<Log, Failure> {
        let mut log = followed.look(&self.cursor)?;
        let mut notices = Vec::new();
        if log.identity.vault_id != before.identity.vault_id {
            return Err(Failure::damaged("Another vault took the place of this one.", None));
        }
        if log.identity.epoch != before.identity.epoch {
            notices.push(Notice::Rekeyed { epoch: log.identity.epoch });
        }
        let lost = self.cursor.lost(&log.prints, Some(&before.prints), &sources_of(&log.broken));
        if !lost.is_empty() {
            for lost in lost {
                self.cursor.go_back(&lost, &log.prints);
                notices.push(Notice::Lost(lost));
            }
            log = followed.look(&self.cursor)?;
        }
        notices.extend(self.unprovable(&log));
        self.write(&log, &notices)?;
        Ok(log)
    }

    /// Faults that were not reported before.
    fn unprovable(&mut self, log: &Log) -> Vec<Notice> {
        let new: Vec<_> = log.broken.iter().filter(|fault| !self.told.contains(fault)).cloned().collect();
        tell_broken(self.context, &new);
        self.told.clone_from(&log.broken);
        let sources = sources_of(&new).into_iter();
        sources.zip(new).map(|(source, (_, fault))| Notice::Unprovable { source, fault }).collect()
    }
}

/// Waits a moment; returns `true` if a signal came or the reader of standard output is gone.
fn is_over(interrupts: &Interrupts) -> Result<bool, Failure> {
    let pause = Timespec { tv_sec: 0, tv_nsec: i64::from(PAUSE.subsec_nanos()) };
    let stdout = rustix::stdio::stdout();
    let mut streams = [PollFd::new(interrupts, PollFlags::IN), PollFd::new(&stdout, PollFlags::empty())];
    match poll(&mut streams, Some(&pause)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(Failure::failed(&error.to_string(), None)),
    }
    let [_, reader] = &streams;
    let is_gone = reader.revents().intersects(PollFlags::ERR | PollFlags::HUP);
    Ok(asks_to_end(interrupts)? || is_gone)
}

fn asks_to_end(interrupts: &Interrupts) -> Result<bool, Failure> {
    let signal = interrupts.next().map_err(|error| Failure::failed(&error.to_string(), None))?;
    Ok(signal.is_some())
}

/// The vault between two looks, in which no lock and no descriptor of ours is held.
struct Followed<'c> {
    context: &'c Context,
    path: PathBuf,
    /// Access by a credential, for an epoch. A session's key is not held: a session that has ended opens nothing here.
    held: RefCell<Option<(Identity, Access)>>,
}

impl Followed<'_> {
    fn look(&self, cursor: &Cursor) -> Result<Log, Failure> {
        let pins = Pins::in_folder(state_folder()?.join("pins"));
        let mut vault = Vault::open(&self.path, &pins).map_err(|error| Failure::of(error, &self.path))?;
        let now = self.context.now();
        if let Some(session) = vault.session(now) {
            return look(&mut vault, &session.into(), cursor);
        }
        let identity = vault.identity();
        let held = self.held.borrow_mut().take().filter(|(epoch, _)| *epoch == identity);
        let access = match held {
            Some((_, access)) => access,
            None => self.context.access_without_question(&mut vault)?.without_root(),
        };
        let log = look(&mut vault, &access, cursor);
        if vault.session(now).is_none() {
            *self.held.borrow_mut() = Some((identity, access));
        }
        log
    }
}
