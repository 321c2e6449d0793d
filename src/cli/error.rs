//! From facts to sentences: what is wrong, with which thing, what to do about it; and the exit code.

use std::io;
use std::path::Path;

use crate::audit::AuditError;
use crate::exchange::ExchangeError;
use crate::exec::ExecError;
use crate::name::KeyName;
use crate::recipe::RecipeError;
use crate::state::StateError;
use crate::state::pin::Standing;
use crate::store::StoreError;
use crate::sys::exec::NotRunnable;
use crate::sys::files::{FileFault, Kind};
use crate::sys::keyring::SessionError;
use crate::sys::tty::PromptError;
use crate::unlock::UnlockError;
use crate::unlock::passphrase::Unfit;
use crate::vault::{Problem, Vault, VaultError};

use super::{time, ui};

/// Exit codes.
pub mod code {
    /// Done.
    pub const DONE: u8 = 0;
    /// Failed.
    pub const FAILED: u8 = 1;
    /// Called wrongly.
    pub const USAGE: u8 = 2;
    /// No such key or vault.
    pub const NOT_FOUND: u8 = 3;
    /// Locked, or the wrong credential.
    pub const LOCKED: u8 = 4;
    /// Damaged, rolled back or tampered with.
    pub const DAMAGED: u8 = 5;
    /// Exists, expired, revoked, not allowed.
    pub const REFUSED: u8 = 6;
    /// Another command had the vault for too long.
    pub const BUSY: u8 = 7;
    /// `exec`: a failure of ours, not the child's.
    pub const OURS: u8 = 125;
    /// `exec`: found, but cannot be run.
    pub const NOT_EXECUTABLE: u8 = 126;
    /// `exec`: not found.
    pub const NO_COMMAND: u8 = 127;
    /// Ctrl-C at a prompt.
    pub const INTERRUPTED: u8 = 130;
}

/// A failure as a person reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Exit code.
    pub code: u8,
    /// One word for programs.
    pub kind: &'static str,
    /// The fact and the thing.
    pub message: String,
    /// The remedy.
    pub hint: Option<String>,
    /// Nobody is there to read it (a closed pipe).
    pub quiet: bool,
}

const WAYS_TO_OPEN: &str = "Run 'keyvault unlock' in a terminal, or set KEYVAULT_PASSPHRASE_FILE to a file\n\
    with the passphrase (or KEYVAULT_PASSPHRASE to the passphrase itself).";

impl Failure {
    fn new(code: u8, kind: &'static str, message: impl Into<String>, hint: Option<&str>) -> Self {
        Self { code, kind, message: message.into(), hint: hint.map(str::to_owned), quiet: false }
    }

    pub(super) fn failed(message: &str, hint: Option<&str>) -> Self {
        Self::new(code::FAILED, "failed", message, hint)
    }

    pub(super) fn usage(message: &str, hint: Option<&str>) -> Self {
        Self::new(code::USAGE, "usage", message, hint)
    }

    pub(super) fn refused(message: &str, hint: Option<&str>) -> Self {
        Self::new(code::REFUSED, "refused", message, hint)
    }

    pub(super) fn damaged(message: &str, hint: Option<&str>) -> Self {
        Self::new(code::DAMAGED, "damaged", message, hint)
    }

    pub(super) fn locked() -> Self {
        Self::new(
            code::LOCKED,
            "locked",
            "The vault is locked, and there is no terminal to ask on.",
            Some(WAYS_TO_OPEN),
        )
    }

    pub(super) fn no_home(instead: &str) -> Self {
        Self::failed(
            "HOME does not name a home folder.",
            Some(&format!("Set HOME or {instead}; --vault and KEYVAULT_VAULT name a vault directly.")),
        )
    }

    pub(super) fn io(path: &Path, error: &io::Error) -> Self {
        let path = path.display();
        match error.kind() {
            io::ErrorKind::NotFound => {
                Self::new(code::NOT_FOUND, "not_found", format!("There is no {path}."), None)
            }
            io::ErrorKind::PermissionDenied => {
                Self::failed(&format!("{path} may not be opened by this user."), None)
            }
            _ => Self::failed(&format!("{path}: {}.", reason(error)), None),
        }
    }

    /// Writing the answer failed. A closed pipe is nobody's fault; a full disk must show.
    pub(super) fn output(error: &io::Error) -> Self {
        let quiet = error.kind() == io::ErrorKind::BrokenPipe;
        Self {
            quiet,
            ..Self::failed(
                &format!("The answer could not be written to standard output: {}.", reason(error)),
                Some("If the command changes something, the change is made; look before doing it again."),
            )
        }
    }

    pub(super) fn prompt(error: PromptError) -> Self {
        match error {
            PromptError::NoTerminal => Self::locked(),
            PromptError::Interrupted => {
                Self::new(code::INTERRUPTED, "interrupted", "Interrupted; nothing was done.", None)
            }
            PromptError::Eof => {
                Self::new(code::LOCKED, "locked", "No answer was given; nothing was done.", None)
            }
            PromptError::TooLong { limit } => {
                Self::usage(&format!("An answer has at most {limit} bytes."), None)
            }
            PromptError::Io(error) => {
                Self::failed(&format!("The terminal failed: {}.", reason(&error)), None)
            }
        }
    }

    pub(super) fn passphrase(unfit: Unfit) -> Self {
        Self::usage(&format!("The passphrase {unfit}."), Some("It is 1 to 4096 bytes of UTF-8 text."))
    }

    pub(super) fn session(error: &SessionError) -> Self {
        match error {
            SessionError::Unsupported(_) => Self::failed(
                "This system keeps no sessions: the kernel's keys are not available (Docker forbids them).",
                Some(
                    "Each command opens the vault by itself with KEYVAULT_PASSPHRASE_FILE or KEYVAULT_PASSPHRASE.",
                ),
            ),
            SessionError::Quota => Self::failed(
                "The kernel keeps no more keys for this user (the quota is 200).",
                Some("'keyvault lock --all' ends every session; 'keyctl show @u' lists what else is kept."),
            ),
            SessionError::Other(error) => {
                Self::failed(&format!("The session failed: {}.", reason(error)), None)
            }
        }
    }

    pub(super) fn recipe(error: RecipeError) -> Self {
        let usage =
            |message: String| Self::usage(&message, Some("'keyvault generate --help' lists the recipes."));
        match error {
            RecipeError::TooShort { kind, minimum } => usage(format!(
                "A {} takes a --length of at least {minimum}{}; less could be guessed.",
                kind.name(),
                kind.unit().map(|unit| format!(" {unit}")).unwrap_or_default()
            )),
            RecipeError::TooLong { kind, maximum } => usage(format!(
                "A {} takes a --length of at most {maximum}{}.",
                kind.name(),
                kind.unit().map(|unit| format!(" {unit}")).unwrap_or_default()
            )),
            RecipeError::NoLength { kind } => {
                usage(format!("A {} has one size; it takes no --length.", kind.name()))
            }
            RecipeError::NoPrefix { kind } => usage(format!("A {} takes no --prefix.", kind.name())),
            RecipeError::PrefixTooLong | RecipeError::PrefixCharacter => {
                usage("A --prefix is at most 32 visible ASCII characters.".to_owned())
            }
            RecipeError::Rng(_) => rng(),
            other @ (RecipeError::KeyPair | RecipeError::Comment | RecipeError::Size) => {
                Self::failed(&format!("The value could not be made: {other}."), None)
            }
        }
    }

    pub(super) fn exchange(error: &ExchangeError, path: &str) -> Self {
        if let ExchangeError::CannotCarry { variable, reason } = error {
            return Self::refused(
                &format!("{variable} cannot be written in this format: {reason}."),
                Some("Leave the key out, choose the other --format, or take the value with 'show --reveal'."),
            );
        }
        let what = match error {
            ExchangeError::NotUtf8 => "it is not UTF-8".to_owned(),
            ExchangeError::NotAnObject => "it is JSON, but not an object of strings".to_owned(),
            ExchangeError::NotAString { member } => {
                format!("its member {} is not a string", ui::harmless_line(member))
            }
            ExchangeError::TooManyEntries => "it has more than 100,000 entries".to_owned(),
            ExchangeError::Json { line, column } => format!("it is not JSON at line {line}, column {column}"),
            ExchangeError::CannotCarry { .. } | ExchangeError::Size => "an internal size is wrong".to_owned(),
        };
        Self::failed(&format!("{path} cannot be taken in: {what}."), Some("Nothing was changed."))
    }

    pub(super) fn exec(error: &ExecError, program: &str) -> Self {
        match error {
            ExecError::NotRunnable(NotRunnable::NotFound) => Self::new(
                code::NO_COMMAND,
                "no_command",
                format!("There is no command {program}."),
                Some("Nothing was released."),
            ),
            ExecError::NotRunnable(NotRunnable::NotExecutable(error)) => Self::new(
                code::NOT_EXECUTABLE,
                "not_executable",
                format!("{program} cannot be run: {}.", reason(error)),
                Some("Nothing was released."),
            ),
            ExecError::Kernel(error) if error.raw_os_error() == Some(libc::ENOEXEC) => Self::new(
                code::NOT_EXECUTABLE,
                "not_executable",
                format!("{program} is not a program, and it names no interpreter."),
                Some("Begin the script with a line such as #!/bin/sh."),
            ),
            ExecError::Kernel(error) => Self::new(
                code::NOT_EXECUTABLE,
                "not_executable",
                format!("{program} cannot be run: {}.", reason(error)),
                None,
            ),
            ExecError::NulInArgument => Self::usage("An argument of the command holds a NUL byte.", None),
            ExecError::Environment(error) => {
                Self::refused(&format!("The environment cannot be passed on: {error}."), None)
            }
        }
    }

    /// An error of the vault at `path`.
    pub(super) fn of(error: VaultError, path: &Path) -> Self {
        match error {
            VaultError::File(fault) => file(&fault),
            VaultError::Store(error) | VaultError::Audit(AuditError::Store(error)) => store(&error, path),
            VaultError::State(StateError::Store(error) | StateError::Audit(AuditError::Store(error))) => {
                store(&error, path)
            }
            VaultError::State(StateError::Audit(error)) | VaultError::Audit(error) => {
                altered(&format!("the audit log: {error}"), path)
            }
            VaultError::State(error) => altered(&error.to_string(), path),
            VaultError::Unlock(error) => unlock(&error),
            VaultError::Session(error) => Self::session(&error),
            VaultError::Alarm { standing, found, pinned, path } => alarm(standing, found, pinned, &path),
            VaultError::NeedsRoot => Self::new(
                code::LOCKED,
                "locked",
                "This needs the passphrase; a session is not enough.",
                Some(WAYS_TO_OPEN),
            ),
            VaultError::VaultExists { path } => exists(&path),
            VaultError::KeysExist(names) => Self::refused(
                &format!(
                    "{} there already: {}.",
                    if names.len() == 1 { "A key of that name is" } else { "Keys of these names are" },
                    list(&names)
                ),
                Some(
                    "Nothing was changed. 'keyvault rotate' gives a key a new value; 'keyvault import --on-conflict replace' takes a file's.",
                ),
            ),
            VaultError::NoSuchKeys(names) => Self::new(
                code::NOT_FOUND,
                "not_found",
                format!("There is no key {}.", list(&names)),
                Some("'keyvault list' shows what there is."),
            ),
            VaultError::NotReadable { name, status } => Self::refused(
                &format!("{name} is {status}; its value is not shown."),
                Some(if status == "expired" {
                    "'keyvault edit NAME --expires 30d' gives it more time."
                } else {
                    "A revoked key stays revoked."
                }),
            ),
            VaultError::NoVariable { name, why } => Self::usage(
                &format!("The variable that {name} would get {why}."),
                Some("Name another with --env VAR."),
            ),
            VaultError::Problems(problems) => selection(&problems),
            VaultError::Recipe(error) => Self::recipe(error),
            VaultError::ValueTooLong { name, len } => Self::refused(
                &format!("The value for {name} has {len} bytes; a key has at most 16 MiB."),
                None,
            ),
            VaultError::Rng(_) => rng(),
            VaultError::Io { path, source } => Self::io(&path, &source),
        }
    }
}

fn rng() -> Failure {
    Failure::failed("The system gave no random bytes.", Some("Nothing was done."))
}

fn exists(path: &Path) -> Failure {
    Failure::refused(
        &format!("There is a vault already, or something else: {}.", path.display()),
        Some("It was not touched. --vault PATH makes another one elsewhere."),
    )
}

fn file(fault: &FileFault) -> Failure {
    match fault {
        FileFault::NotFound { path } => Failure::new(
            code::NOT_FOUND,
            "no_vault",
            format!("There is no vault at {}.", path.display()),
            Some("'keyvault init' makes one; --vault or KEYVAULT_VAULT name another."),
        ),
        FileFault::Exists { path } => exists(path),
        FileFault::Symlink { path } => Failure::damaged(
            &format!("{} is a symbolic link; a vault is opened only where it lies.", path.display()),
            Some("Name the file itself with --vault. A symlinked folder is fine."),
        ),
        FileFault::HardLink { path, links } => Failure::damaged(
            &format!("{} has {links} names; another one of them may be somebody else's.", path.display()),
            Some("Remove the other hard links, or copy the file to a name of its own."),
        ),
        FileFault::NotRegular { path, kind } => Failure::damaged(
            &format!("{} is a {}, not a vault.", path.display(), kind_name(*kind)),
            Some("Name the vault's file with --vault."),
        ),
        FileFault::Empty { path } => Failure::damaged(
            &format!("{} is empty; it is not a vault.", path.display()),
            Some("Put back a copy of the vault, or remove the empty file and run 'keyvault init'."),
        ),
        FileFault::WrongOwner { path, uid } => Failure::damaged(
            &format!("{} belongs to user {uid}, who could exchange it at any time.", path.display()),
            Some(&format!("If it is yours: sudo chown \"$(id -u)\" '{}'", path.display())),
        ),
        FileFault::WritableByOthers { path, mode } => Failure::damaged(
            &format!("{} may be written by others (mode {mode:04o}).", path.display()),
            Some(&format!("chmod {} '{}'", if path.is_dir() { "go-w" } else { "600" }, path.display())),
        ),
        FileFault::Journal { path } => Failure::damaged(
            &format!("{} lies beside the vault; opening the vault would play it back.", path.display()),
            Some("keyvault never writes one. Move it away if you did not put it there."),
        ),
        FileFault::Swapped { path } => Failure::damaged(
            &format!("{} was exchanged while it was being opened.", path.display()),
            Some("Look at who else can write to its folders."),
        ),
        FileFault::Io { path, source } => Failure::io(path, source),
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Folder => "folder",
        Kind::Fifo => "named pipe",
        Kind::Socket => "socket",
        Kind::Device => "device",
    }
}

fn store(error: &StoreError, path: &Path) -> Failure {
    let shown = path.display();
    match error {
        StoreError::NotAVault => {
            Failure::damaged(&format!("{shown} is not a vault."), Some("Name the vault's file with --vault."))
        }
        StoreError::NewerFormat { format, written_by } => Failure::failed(
            &format!(
                "{shown} has format {format}, which this keyvault does not know{}.",
                written_by
                    .as_ref()
                    .map(|version| format!("; keyvault {version} wrote it"))
                    .unwrap_or_default()
            ),
            Some("Use that version or a newer one."),
        ),
        StoreError::Schema { object } => altered(&format!("its schema is not a vault's ({object})"), path),
        StoreError::Damaged { what } => altered(what, path),
        StoreError::Busy => Failure::new(
            code::BUSY,
            "busy",
            "Another keyvault command had the vault for more than 10 s.",
            Some("Nothing was done. Try again when it has ended."),
        ),
        StoreError::Full => {
            Failure::failed("The disk is full; nothing was changed.", Some("Make room and try again."))
        }
        StoreError::ReadOnly => Failure::failed(
            &format!("{shown} cannot be written, so nothing can be recorded and no value is released."),
            Some("list, show, status and vault check still work."),
        ),
        StoreError::Io(text) => Failure::failed(
            &format!("{shown} could not be read or written: {text}."),
            Some("It was not reported as done; 'keyvault vault check' tells what state the vault is in."),
        ),
        StoreError::Sqlite(text) => Failure::failed(&format!("{shown}: {text}."), None),
    }
}

/// Damage. A log beside the file may be the cause, if it came from another copy.
fn altered(what: &str, path: &Path) -> Failure {
    let hint = match Vault::log_beside(path) {
        Some(log) => format!(
            "Nothing was released. {log} lies beside it; if it came from another copy, set it aside:\n  mv '{log}' '{log}.aside'\nOtherwise put back a copy of the vault.",
            log = log.display()
        ),
        None => "Nothing was released. 'keyvault vault check' names every row; put back a copy of the vault."
            .to_owned(),
    };
    Failure::damaged(&format!("{} was damaged or tampered with: {what}.", path.display()), Some(&hint))
}

fn alarm(standing: Standing, found: u64, pinned: u64, path: &Path) -> Failure {
    let what = if standing == Standing::RolledBack {
        format!(
            "{} was put back: it stands at change {found}, and change {pinned} was seen here.",
            path.display()
        )
    } else {
        format!(
            "{} is another branch: its change {found} does not follow from change {pinned} that was seen here.",
            path.display()
        )
    };
    Failure::new(
        code::DAMAGED,
        "alarm",
        what,
        Some(
            "No value is released. If you or a sync put this copy here and it is the one to keep:\n  keyvault vault restore --adopt",
        ),
    )
}

fn unlock(error: &UnlockError) -> Failure {
    let locked = |message: &str, hint| Failure::new(code::LOCKED, "wrong_credential", message, hint);
    match error {
        UnlockError::Wrong => locked(
            "That is not the vault's passphrase.",
            Some("If it is lost, the recovery code still opens the vault."),
        ),
        UnlockError::NoSuchSlot => locked("The vault has no way in of that kind.", None),
        UnlockError::NotACode => locked(
            "That is not a recovery code: eight groups of five characters.",
            Some("0 and O, 1 and I and L are the same; the last group checks the rest."),
        ),
        UnlockError::Slot { id, what } => Failure::damaged(
            &format!("Slot {id} of the vault is not acceptable: {what}."),
            Some("Put back a copy of the vault."),
        ),
        UnlockError::Passphrase(unfit) => Failure::passphrase(*unfit),
        UnlockError::Kdf(error) => {
            Failure::failed(&format!("The passphrase could not be tried: {error}."), None)
        }
        UnlockError::Rng(_) => rng(),
    }
}

/// Everything that is wrong with what was asked for, a line each.
fn selection(problems: &[Problem]) -> Failure {
    let only_missing =
        problems.iter().all(|problem| matches!(problem, Problem::Missing(_) | Problem::NoSuchScope(_)));
    let (code, kind) = if only_missing { (code::NOT_FOUND, "not_found") } else { (code::REFUSED, "refused") };
    let mut message = "Nothing was released:".to_owned();
    for problem in problems {
        message.push_str("\n  ");
        message.push_str(&problem_line(problem));
    }
    let expired = problems.iter().any(|problem| matches!(problem, Problem::Expired { .. }));
    let hint = if expired {
        "Give expired keys more time (keyvault edit NAME --expires 30d), or leave them out (--skip-expired)."
    } else {
        "'keyvault list' shows keys, variables and scopes."
    };
    Failure::new(code, kind, message, Some(hint))
}

fn problem_line(problem: &Problem) -> String {
    match problem {
        Problem::Missing(name) => format!("{name}: there is no such key"),
        Problem::NoSuchScope(scope) => format!("scope {scope}: no key carries it"),
        Problem::Expired { name, since } => format!("{name}: expired on {}", time::local(*since)),
        Problem::Revoked(name) => format!("{name}: revoked"),
        Problem::SameVariable { variable, names } => format!(
            "{variable}: wanted by {} (choose with --only, or rename with --as NAME=VAR)",
            list(names)
        ),
        Problem::Variable { name, variable, why } => {
            format!("{name}: {variable} {why} (keyvault edit {name} --env VAR)")
        }
        Problem::Nul(name) => format!("{name}: its value holds a NUL byte, which no variable can carry"),
        Problem::TooLong { name, len, max } => {
            format!("{name}: {len} bytes with its variable; the kernel takes {max} in one string")
        }
        Problem::TooMuch { len, max } => {
            format!("{len} bytes of environment and arguments; the kernel takes {max}")
        }
        Problem::Empty(name) => format!("{name}: its value is empty, and --no-empty was given"),
    }
}

fn list(names: &[KeyName]) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(KeyName::as_str).collect();
    match names.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{} and {more} more", shown.join(", ")),
        _ => shown.join(", "),
    }
}

/// What the system says, without its number.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut characters = text.chars();
    characters
        .next()
        .map_or_else(String::new, |first| first.to_lowercase().collect::<String>() + characters.as_str())
}
