//! From facts to sentences: what is wrong, with which thing, what to do about it; and the exit code.

pub(in crate::cli) mod delivery;
mod issued;
pub(in crate::cli) mod problem;
pub(in crate::cli) mod project;
mod remedy;
pub(in crate::cli) mod slot;
pub(in crate::cli) mod token;
pub(in crate::cli) mod vault;
pub(in crate::cli) mod vault_file;

use std::io;
use std::path::Path;

use crate::exchange::ExchangeError;
use keyvault_core::recipe::RecipeError;
use keyvault_exec::ExecError;
use keyvault_os::fs::fault::PathError;
use keyvault_os::kernel_keyring::SessionError;
use keyvault_os::process::exec::NotRunnable;
use keyvault_os::process::interpreter::{Unusable, Why};
use keyvault_os::terminal::prompt::PromptError;
use keyvault_vault::VaultError;
use keyvault_vault::unlock::UnlockError;
use keyvault_vault::unlock::passphrase::Unfit;

pub(in crate::cli) use keyvault_core::text::reason;

use self::remedy::Remedy;
use super::context::STDIN;
use super::output;

/// Exit codes of the program; `exec` passes its child's on and has the ones from 125 for itself.
pub(crate) mod code {
    pub(crate) const DONE: u8 = 0;
    pub(crate) const FAILED: u8 = 1;
    /// The arguments are wrong.
    pub(crate) const USAGE: u8 = 2;
    /// No such key or vault.
    pub(crate) const NOT_FOUND: u8 = 3;
    /// Locked, or the wrong credential.
    pub(crate) const LOCKED: u8 = 4;
    /// Damaged, rolled back or tampered with.
    pub(crate) const DAMAGED: u8 = 5;
    /// Exists, expired, revoked, not allowed.
    pub(crate) const REFUSED: u8 = 6;
    /// Another command had the vault for too long.
    pub(crate) const BUSY: u8 = 7;
    /// `exec`: a failure of ours, not the child's.
    pub(crate) const OURS: u8 = 125;
    /// `exec`: found, but cannot be run.
    pub(crate) const NOT_EXECUTABLE: u8 = 126;
    /// `exec`: not found.
    pub(crate) const NO_COMMAND: u8 = 127;
    /// Ctrl-C at a prompt.
    pub(crate) const INTERRUPTED: u8 = 130;
}

/// A failure as a person reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub code: u8,
    /// One word for programs.
    pub kind: &'static str,
    /// The fact and the thing.
    pub message: String,
    /// The remedy.
    pub hint: Option<String>,
    /// No one is there to read it (a closed pipe).
    pub quiet: bool,
}

pub(in crate::cli) const HOW_TO_OPEN: &str = "Run `keyvault unlock` in a terminal, or set KEYVAULT_PASSPHRASE_FILE to\n\
    a file with the passphrase, KEYVAULT_PASSPHRASE to the passphrase itself,\n\
    or KEYVAULT_KEY_FILE to a key file.";

/// Like [`HOW_TO_OPEN`], for commands that a session does not open.
pub(in crate::cli) const HOW_TO_OPEN_AS_OWNER: &str = "Run it in a terminal, or set KEYVAULT_PASSPHRASE_FILE to a file with\n\
    the passphrase, KEYVAULT_PASSPHRASE to the passphrase itself, or\n\
    KEYVAULT_KEY_FILE to a key file.";

/// Why nobody is asked, as the end of a sentence.
pub(in crate::cli) const NO_TERMINAL: &str = "there is no terminal to prompt on";

/// Why nobody is asked although there is a terminal.
pub(in crate::cli) const NOT_TO_ASK: &str = "`--non-interactive` forbids prompts";

const PASSPHRASE_FORM: &str = "Use 1 to 4096 bytes of UTF-8 text.";

/// Said where the command did not start after its keys were recorded.
const RELEASED: &str = "The audit log counts the values as released.";

impl Failure {
    pub(in crate::cli) fn new(
        code: u8,
        kind: &'static str,
        message: impl Into<String>,
        hint: Option<&str>,
    ) -> Self {
        Self { code, kind, message: message.into(), hint: hint.map(str::to_owned), quiet: false }
    }

    /// Adds the variable that named the file; a file that is not there locks the vault.
    pub(in crate::cli) fn named(self, variable: &str) -> Self {
        let code = if self.code == code::NOT_FOUND { code::LOCKED } else { self.code };
        let message = format!("{} ({variable} names it.)", self.message);
        Self { code, kind: if code == self.code { self.kind } else { "locked" }, message, ..self }
    }

    /// Adds the variable or option that the credential came from, if it was the wrong one.
    pub(in crate::cli) fn given_by(self, source: &str) -> Self {
        if self.kind != "wrong_credential" {
            return self;
        }
        let message = format!("{} (It came from {source}.)", self.message);
        Self { message, ..self }
    }

    /// Puts a likely cause before the remedy.
    pub(in crate::cli) fn because(self, cause: &str) -> Self {
        let hint = self.hint.map_or_else(|| cause.to_owned(), |remedy| format!("{cause}\n{remedy}"));
        Self { hint: Some(hint), ..self }
    }

    /// Returns `true` if the change may have been made in spite of the failure.
    pub(in crate::cli) fn is_undecided(&self) -> bool {
        self.kind == "undecided"
    }

    pub(in crate::cli) fn failed(message: &str, hint: Option<&str>) -> Self {
        Self::new(code::FAILED, "failed", message, hint)
    }

    pub(in crate::cli) fn usage(message: &str, hint: Option<&str>) -> Self {
        Self::new(code::USAGE, "usage", message, hint)
    }

    pub(in crate::cli) fn refused(message: &str, hint: Option<&str>) -> Self {
        Self::new(code::REFUSED, "refused", message, hint)
    }

    pub(in crate::cli) fn damaged(message: &str, hint: Option<&str>) -> Self {
        Self::new(code::DAMAGED, "damaged", message, hint)
    }

    pub(in crate::cli) fn locked() -> Self {
        Self::locked_as(NO_TERMINAL)
    }

    /// Locked, and why nobody is asked.
    pub(in crate::cli) fn locked_as(unasked: &str) -> Self {
        let message = format!("The vault is locked, and {unasked}.");
        Self::new(code::LOCKED, "locked", message, Some(HOW_TO_OPEN))
    }

    /// A limited session is open, and this takes the everyday keys.
    pub(in crate::cli) fn limited() -> Self {
        Self::limited_for("this command")
    }

    /// [`Failure::limited`] for a part of a command.
    pub(in crate::cli) fn limited_for(what: &str) -> Self {
        Self::new(
            code::LOCKED,
            "locked",
            format!("The open session is limited to some keys, and {what} needs the whole vault."),
            Some("Open a full session, which ends the limited one: keyvault unlock"),
        )
    }

    /// A copy that nothing opened that opens the vault, or that was given for it; and why nobody is asked.
    pub(in crate::cli) fn locked_copy(file: &Path, unasked: Option<&str>) -> Self {
        let shown = file.display();
        let (message, hint) = match unasked {
            Some(unasked) => (
                format!("{shown} does not open with what opens the vault, and {unasked}."),
                "Run `keyvault unlock` to keep the vault open. Then set KEYVAULT_PASSPHRASE_FILE to a file\n\
                 with the copy's passphrase, or KEYVAULT_KEY_FILE to a key file that opens it.",
            ),
            None => (
                format!("That is not the passphrase of {shown}."),
                "It opens with what opened the vault when the copy was made.",
            ),
        };
        Self::new(code::LOCKED, "wrong_credential", message, Some(hint))
    }

    /// A vault that is to be made has no passphrase yet.
    pub(in crate::cli) fn no_passphrase_to_set(unasked: &str) -> Self {
        Self::new(
            code::LOCKED,
            "locked",
            format!("A new vault needs a passphrase, and {unasked}."),
            Some(
                "Run it in a terminal, or set KEYVAULT_PASSPHRASE_FILE to a file with\n\
                 the passphrase, or KEYVAULT_PASSPHRASE to the passphrase itself.",
            ),
        )
    }

    /// A session may be open; it is not enough.
    pub(in crate::cli) fn needs_root(unasked: &str) -> Self {
        let message = format!("This needs the passphrase or a key file, and {unasked}.");
        Self::new(code::LOCKED, "locked", message, Some(HOW_TO_OPEN_AS_OWNER))
    }

    /// A rekey that keeps the passphrase seals the new root under it; another slot is not enough.
    pub(in crate::cli) fn rekey_without_passphrase(unasked: &str) -> Self {
        Self::new(
            code::LOCKED,
            "locked",
            format!("A rekey with `--keep-passphrase` needs the passphrase, and {unasked}."),
            Some(
                "Run it in a terminal, or set KEYVAULT_PASSPHRASE_FILE to a file with\n\
                 the passphrase, or KEYVAULT_PASSPHRASE to the passphrase itself.",
            ),
        )
    }

    pub(in crate::cli) fn locked_bundle() -> Self {
        Self::new(
            code::LOCKED,
            "locked",
            "A bundle opens only with its token, and none is set.",
            Some("Set KEYVAULT_TOKEN to the token, or KEYVAULT_TOKEN_FILE to a file with it."),
        )
    }

    pub(in crate::cli) fn no_home(instead: &str) -> Self {
        Self::failed(
            "HOME is not set to a home folder.",
            Some(&if instead == "XDG_STATE_HOME" {
                "Set HOME or XDG_STATE_HOME: what this machine saw of the vault is kept there.".to_owned()
            } else {
                format!("Set HOME or {instead}, or name a vault with `--vault` or KEYVAULT_VAULT.")
            }),
        )
    }

    pub(in crate::cli) fn io(path: &Path, error: &io::Error) -> Self {
        let error = PathError(path, error);
        let remedy = match error.1.kind() {
            _ if error.hides_its_path() => remedy::not_found(
                "If it is a value, treat it as leaked. The option takes the name of a file that contains it.",
            ),
            io::ErrorKind::NotFound => Remedy::without_hint(code::NOT_FOUND, "not_found"),
            io::ErrorKind::IsADirectory => remedy::failed("Name a file."),
            io::ErrorKind::PermissionDenied => remedy::failed("Check its owner and mode with `ls -l`."),
            _ => Remedy::without_hint(code::FAILED, "failed"),
        };
        remedy.after(&error)
    }

    /// The failure for a secret that would be echoed as it is typed.
    pub(in crate::cli) fn echoed(path: &Path, instead: &str) -> Self {
        let path = if path == Path::new(STDIN) { "Standard input".into() } else { path.to_string_lossy() };
        Self::usage(&format!("{path} is a terminal, which would show what you type."), Some(instead))
    }

    /// A file could not be made.
    pub(in crate::cli) fn making(path: &Path, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AlreadyExists => Self::of(VaultError::FileExists { path: path.to_owned() }, path),
            io::ErrorKind::NotFound => Self::failed(
                &format!("The folder of {} does not exist.", path.display()),
                Some("Create it first."),
            ),
            _ => Self::io(path, error),
        }
    }

    /// Writing the answer failed. A closed pipe is nobody's fault; a full disk must show.
    pub(in crate::cli) fn output(error: &io::Error) -> Self {
        let quiet = error.kind() == io::ErrorKind::BrokenPipe;
        Self {
            quiet,
            ..Self::failed(
                &format!("The answer could not be written to standard output: {}.", reason(error)),
                Some("If the command makes a change, the change was made. Check before you repeat it."),
            )
        }
    }

    pub(in crate::cli) fn prompt(error: &PromptError) -> Self {
        let message = format!("{error} Nothing was done.");
        match error {
            PromptError::NoTerminal => Self::locked(),
            PromptError::Interrupted => Self::new(code::INTERRUPTED, "interrupted", message, None),
            PromptError::Eof => Self::new(code::LOCKED, "locked", message, None),
            PromptError::Lines => Self::usage(
                &message,
                Some(
                    "What followed the first line was discarded. For a value of several lines, use `--file FILE` or a pipe.",
                ),
            ),
            PromptError::Control => Self::usage(
                &message,
                Some(
                    "Keys such as Tab are not part of an answer. For such a value, use `--file FILE` or a pipe.",
                ),
            ),
            PromptError::TooLong { .. } => Self::usage(&error.to_string(), None),
            PromptError::Io(_) => Self::failed(&error.to_string(), None),
        }
    }

    pub(in crate::cli) fn passphrase(unfit: Unfit) -> Self {
        let remedy = match unfit {
            Unfit::Untypeable(_) => "It could not be typed at a prompt. Remove that, and try again.",
            Unfit::Empty | Unfit::TooLong | Unfit::NotUtf8 => PASSPHRASE_FORM,
        };
        remedy::usage(remedy).after(&UnlockError::Passphrase(unfit))
    }

    pub(in crate::cli) fn session(error: &SessionError) -> Self {
        let remedy = match error {
            SessionError::Unsupported(_) => remedy::failed(
                "Set KEYVAULT_PASSPHRASE_FILE or KEYVAULT_PASSPHRASE, which opens the vault for each command.",
            ),
            SessionError::Quota => remedy::failed(
                "End all sessions with `keyvault lock --all`, or see what else is kept with `keyctl show @u`.",
            ),
            SessionError::Other(_) => Remedy::without_hint(code::FAILED, "failed"),
        };
        remedy.after(error)
    }

    pub(in crate::cli) fn recipe(error: RecipeError) -> Self {
        recipe(error).after(&error)
    }

    pub(in crate::cli) fn exchange(error: &ExchangeError, path: &str) -> Self {
        let remedy = match error {
            ExchangeError::CannotCarry { .. } => remedy::refused(
                "Leave out the key, use another `--format`, or get the value with `keyvault show NAME --reveal`.",
            ),
            ExchangeError::Rng(_) => vault::rng(),
            _ => remedy::failed("Nothing was changed."),
        };
        remedy.after(&error.about(path))
    }

    pub(in crate::cli) fn exec(error: &ExecError, program: &str) -> Self {
        let no_command = |hint: &str| Remedy::new(code::NO_COMMAND, "no_command", hint.to_owned());
        let not_executable =
            |hint: &str| Remedy::new(code::NOT_EXECUTABLE, "not_executable", hint.to_owned());
        let remedy = match error {
            ExecError::NotRunnable(NotRunnable::NotFound) if program.contains('=') => no_command(
                "Nothing was released. Put `env` in front of it, or set the variable before `keyvault`.",
            ),
            ExecError::NotRunnable(NotRunnable::NotFound) => no_command(&not_found(program)),
            ExecError::NotRunnable(NotRunnable::NotExecutable(_)) => not_executable("Nothing was released."),
            ExecError::Kernel(error) if error.raw_os_error() == Some(libc::ENOEXEC) => {
                not_executable(&format!("It may be built for another machine. {RELEASED}"))
            }
            ExecError::Interpreter(Unusable { file, interpreter, why }) => {
                let script = keyvault_core::text::quoted(file);
                match why {
                    Why::CarriageReturn => {
                        no_command(&format!("Convert it: sed -i 's/\\r$//' {script}\n{RELEASED}"))
                    }
                    Why::Absent if interpreter.is_relative() => no_command(&format!(
                        "Begin the script with the interpreter's full path, or with `#!/usr/bin/env NAME`. {RELEASED}"
                    )),
                    Why::Absent => {
                        no_command(&format!("Install it, or correct the script's first line. {RELEASED}"))
                    }
                    Why::NoLoader => no_command(&format!(
                        "It was built for another system or C library, such as glibc instead of musl. {RELEASED}"
                    )),
                    Why::NotExecutable => {
                        not_executable(&format!("Correct the script's first line. {RELEASED}"))
                    }
                }
            }
            ExecError::Kernel(_) => not_executable(
                "The audit log counts the values as released. If they are too many for one command, choose fewer keys.",
            ),
            ExecError::Delivery(error) => delivery::delivery(error),
            ExecError::Output(_) => {
                remedy::failed("Its output was then closed. Anything it did before that is not undone.")
            }
            ExecError::Supervision(_) => remedy::failed(
                "It may still be running. Free some descriptors or processes (`ulimit -n`, `ulimit -u`) and try again.",
            ),
            ExecError::NulInArgument => Remedy::without_hint(code::USAGE, "usage"),
            ExecError::Environment(_) => Remedy::without_hint(code::REFUSED, "refused"),
        };
        remedy.after(&error.about(program))
    }
}

/// The remedy for a program that is not there: one that a shell has within itself, or a whole line in quotes.
fn not_found(program: &str) -> String {
    const BUILT_IN: [&str; 24] = [
        ".", "alias", "bg", "bind", "builtin", "cd", "declare", "eval", "exec", "exit", "export", "fg",
        "hash", "jobs", "popd", "pushd", "read", "readonly", "set", "shift", "source", "ulimit", "umask",
        "unset",
    ];
    const LONGEST: usize = 60;
    let nothing = "Nothing was released.";
    if BUILT_IN.contains(&program) {
        return format!(
            "{nothing} `{program}` is built into the shell, so run a shell: -- sh -c '{program} …'"
        );
    }
    if !program.trim().contains(char::is_whitespace) {
        return nothing.to_owned();
    }
    // Words that only a shell understands; a quote could not stand in the line to paste.
    let for_shell =
        program.contains(['|', '&', ';', '<', '>', '(', ')', '$', '`', '*', '?', '"', '~', '{', '#']);
    let line = output::harmless_line(program.trim());
    let shown = if line.len() > LONGEST || line.contains(['\'', '\\']) || line.contains(char::is_control) {
        "…".to_owned()
    } else {
        line
    };
    if for_shell {
        format!("{nothing} It is a line for a shell: -- sh -c '{shown}'")
    } else {
        format!("{nothing} Leave out the quotes around the command: -- {shown}")
    }
}

fn recipe(error: RecipeError) -> Remedy {
    match error {
        RecipeError::Rng(_) => vault::rng(),
        RecipeError::KeyPair | RecipeError::Comment | RecipeError::Size => {
            Remedy::without_hint(code::FAILED, "failed")
        }
        _ => remedy::usage("Run `keyvault generate --help` for the recipes."),
    }
}

#[cfg(test)]
mod snapshot;
