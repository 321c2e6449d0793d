//! The world as a command sees it: environment, folders, terminal.

use std::ffi::OsString;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use directories::BaseDirs;

use keyvault_core::clock::Moment;
use keyvault_core::crypto::SystemRng;
use keyvault_core::name::KeyName;
use keyvault_core::secret::{ReadError, SecretBytes};
use keyvault_os::fs::untrusted;
use keyvault_os::process::actor::{self, User};
use keyvault_os::terminal::prompt;
use keyvault_vault::audit::Actor;
use keyvault_vault::state::pin::Pins;
use keyvault_vault::{Access, Holder, Holders, Notice, Notices, Refusal, Vault, World, slot};

use super::args::Global;
use super::errors::slot::{REMOVE_STRAYS, is_stray, passed_over};
use super::errors::vault::list;
use super::errors::vault_file;
use super::errors::{self, Failure};
use super::output::loss::{self, Tense};
use super::output::time;
use super::output::{self, Ui};
use super::unlock::log_gap;

/// Everything a command works with.
pub(crate) struct Context {
    pub ui: Ui,
    pub global: Global,
    rng: SystemRng,
    verb: String,
    announced: AtomicBool,
    told_unreadable: AtomicBool,
    told_not_folded: AtomicBool,
    homeless: AtomicBool,
    slots_named: AtomicBool,
    vault_path: OnceLock<PathBuf>,
}

impl Context {
    pub(super) fn new(global: Global, ui: Ui, verb: String) -> Self {
        Self {
            ui: ui.quiet(global.quiet),
            global,
            rng: SystemRng,
            verb,
            announced: AtomicBool::new(false),
            told_unreadable: AtomicBool::new(false),
            told_not_folded: AtomicBool::new(false),
            homeless: AtomicBool::new(false),
            slots_named: AtomicBool::new(false),
            vault_path: OnceLock::new(),
        }
    }

    #[allow(clippy::unused_self, reason = "a command asks its world alone for the time")]
    #[must_use]
    pub(crate) fn now(&self) -> Moment {
        time::now()
    }

    /// Runs `act` with the clock, the actor and the callbacks that the vault's functions need.
    pub(crate) fn with_world<T>(
        &self,
        act: impl FnOnce(&World<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let tell = |notice| self.tell(&notice);
        let waiting = |waited: Duration, holder: Option<Holder>| self.announce_wait(waited, holder);
        let state = match state_folder() {
            // No vault, so nothing that a pin or a holder's note would be about.
            Err(_) if self.homeless.load(Relaxed) => PathBuf::new(),
            folder => folder?,
        };
        let actor = actor();
        let own = Holder { command: self.verb.clone(), pid: actor.pid };
        let world = World {
            clock: time::clock(),
            rng: &self.rng,
            actor,
            pins: Pins::in_folder(state.join("pins")),
            holders: Holders::in_folder(state, own),
            notices: Notices::told_by(&tell),
            waiting: &waiting,
        };
        act(&world)
    }

    /// From here on no vault is worked with, and whoever runs us need not have a home.
    pub(super) fn go_without_home(&self) {
        self.homeless.store(true, Relaxed);
    }

    /// Names the slots of a vault that are passed over, once; `access` is what another one opened.
    pub(super) fn name_slots(&self, vault: &mut Vault, access: Option<&Access>) {
        if self.slots_named.load(Relaxed) {
            return;
        }
        let with_tree = access.and_then(|access| slot::passed_over(vault, Some(access)).ok());
        let found = with_tree.or_else(|| slot::passed_over(vault, None).ok()).unwrap_or_default();
        let mut sentences = passed_over(&found);
        if found.iter().any(is_stray) {
            sentences.push(format!("To remove what does not belong to the vault, run `{REMOVE_STRAYS}`."));
        }
        if !sentences.is_empty() {
            self.slots_named.store(true, Relaxed);
            self.ui.warn(&sentences.join(" "));
        }
    }

    /// For a command that names the slots itself.
    pub(super) fn names_slots_itself(&self) {
        self.slots_named.store(true, Relaxed);
    }

    fn announce_wait(&self, waited: Duration, holder: Option<Holder>) {
        // A bearer has a second to announce itself, and a moment to write it down.
        let known = holder.is_some() || waited >= Duration::from_secs(2);
        if waited >= Duration::from_secs(1) && known && !self.announced.swap(true, Relaxed) {
            let whom = holder.map_or_else(
                || "another keyvault command".to_owned(),
                |holder| format!("keyvault {} (process {})", holder.command, holder.pid),
            );
            self.ui.note(&format!("Waiting up to 10 s for {whom} to release the vault."));
        }
    }

    /// Warns of a command's side effects after it succeeded.
    pub(super) fn tell(&self, notice: &Notice) {
        // Noticed when the vault is opened and when it is read.
        if matches!(notice, Notice::UnreadableMemory) && self.told_unreadable.swap(true, Relaxed) {
            return;
        }
        // Noticed after each of the steps of a command, such as a revocation and its wipe.
        if matches!(notice, Notice::NotFolded(_)) && self.told_not_folded.swap(true, Relaxed) {
            return;
        }
        if let Notice::Mended(loss) = notice {
            self.ui.warn("The vault was damaged. Everything in it that verifies was kept and written again.");
            return loss::told(loss, Tense::Done).iter().for_each(|line| self.ui.warn(line));
        }
        self.ui.warn(&match notice {
            Notice::Mended(_) => return,
            Notice::DamagedKeysGone { keys, stay } => gone(keys, *stay),
            Notice::NotFolded(error) => {
                format!("Done, but the write-ahead log stays next to the file until the next change ({}). Copy both.", error.fault())
            }
            Notice::NotCompacted(error) => {
                format!("Done, but the file could not be compacted ({}), so deleted data may remain in free pages.", error.fault())
            }
            Notice::NotPinned(why) => format!(
                "Done, but this machine could not record it ({}), so a rollback would go unnoticed.",
                errors::reason(why)
            ),
            Notice::UnreadableMemory => "This machine's record of the vault cannot be read, so a rollback would go unnoticed. \
                                         Run `keyvault doctor` for details."
                .to_owned(),
            Notice::UnreadablePin => UNREADABLE_TOKEN_PIN.to_owned(),
            Notice::StrayTokenRows => "The vault held rows of an unknown or revoked token, which someone inserted. They were removed."
                .to_owned(),
            Notice::LedgerBroken { ledger, fault } => format!(
                "The reads of a device no longer follow from the recorded ones (ledger {ledger}, {fault}): a power cut took \
                 some, or someone hid them. This change has recorded it."
            ),
            Notice::LogGap(gap) => format!("{} This change has recorded it.", log_gap(*gap)),
            Notice::GrantsAltered { token, fault } => format!(
                "Someone altered the grants of token `{token}` ({fault}). They were written again. Give the token a new \
                 secret: keyvault token renew {token}"
            ),
            Notice::TokenDamaged { token } => format!(
                "The record of token `{token}` was damaged, so the keys that it could read are unknown. Rotate every key that \
                 may have been granted to it."
            ),
            Notice::ReadsBroken { token, fault } => format!(
                "The reads by token `{token}` do not follow from the recorded ones ({fault}): someone may have hidden reads. \
                 Revoke it: keyvault token revoke {token}"
            ),
            Notice::OlderCopy { pin, change } => format!(
                "This copy is at change {change}, but this machine saw {} at change {}{}: what was changed or revoked there \
                 is missing here.",
                output::harmless_line(&pin.path),
                pin.change,
                if pin.change > *change { "" } else { ", after a rekey" }
            ),
        });
    }

    /// The vault's path: `--vault`, `KEYVAULT_VAULT`, or the data folder.
    pub(crate) fn vault_path(&self) -> Result<PathBuf, Failure> {
        if let Some(path) = self.vault_path.get() {
            return Ok(path.clone());
        }
        let path = self.global.vault.clone().map_or_else(default_vault, Ok)?;
        Ok(self.vault_path.get_or_init(|| path).clone())
    }

    /// Returns `true` if `--vault` or `KEYVAULT_VAULT` names a vault.
    pub(super) fn names_vault(&self) -> bool {
        self.global.vault.is_some() || variable("KEYVAULT_VAULT").is_some()
    }

    /// Returns `true` if a question may be asked.
    #[must_use]
    pub(crate) fn may_ask(&self) -> bool {
        !self.global.non_interactive && prompt::has_terminal() && !prompt::input_is_ruled_out()
    }

    pub(super) fn require_terminal(&self) -> Result<(), Failure> {
        if self.may_ask() { Ok(()) } else { Err(Failure::locked_as(self.unasked())) }
    }

    /// Why no question may be asked, as the end of a sentence.
    #[must_use]
    pub(crate) fn unasked(&self) -> &'static str {
        if self.global.non_interactive && prompt::has_terminal() && !prompt::input_is_ruled_out() {
            errors::NOT_TO_ASK
        } else {
            errors::NO_TERMINAL
        }
    }
}

/// Keys that a command ended although damage had left nothing of them but their names.
fn gone(keys: &[KeyName], stay: Option<Refusal>) -> String {
    let names = list(keys);
    let (keys, they, they_stay) = match keys {
        [_] => ("Key", "it", "it stays"),
        _ => ("Keys", "them", "they stay"),
    };
    let gone = format!("{keys} {names} could not be read, so nothing is left of {they} here.");
    let word = match stay {
        None => return gone,
        Some(Refusal::Revoked) => "revoked",
        Some(Refusal::Disabled) => "disabled",
    };
    format!("{gone} If a backup brings {they} back, {they_stay} {word}.")
}

/// Said where an older bundle, or an older part of the vault that a token opens, would not be noticed this once.
pub(super) const UNREADABLE_TOKEN_PIN: &str =
    "The record of what this token last opened here cannot be read, so an older state would go unnoticed.";

/// The caller's variables, for a child.
#[must_use]
pub(crate) fn variables() -> Vec<(OsString, OsString)> {
    std::env::vars_os().collect()
}

/// The vault that is meant without `--vault`: `KEYVAULT_VAULT`, or the one in the data folder.
pub(crate) fn default_vault() -> Result<PathBuf, Failure> {
    match variable("KEYVAULT_VAULT") {
        Some(path) => Ok(PathBuf::from(path)),
        None => Ok(user_folder("XDG_DATA_HOME", BaseDirs::data_dir)?.join("vault.db")),
    }
}

/// The home folder, where HOME names one.
#[must_use]
pub(crate) fn home() -> Option<PathBuf> {
    variable("HOME").map(PathBuf::from).filter(|home| home.is_absolute())
}

/// The folder of pins, locks and nothing secret.
pub(crate) fn state_folder() -> Result<PathBuf, Failure> {
    fn of(base: &BaseDirs) -> &Path {
        base.state_dir().unwrap_or_else(|| base.data_local_dir())
    }
    user_folder("XDG_STATE_HOME", of)
}

/// keyvault's folder of this user's: in their home, or where the variable `instead` says. `HOME` must say where that is; guessing
/// it for root or for nobody would make a vault that is not found again.
///
/// As root, one in another user's home is refused, as if there were no home: what root left there would be in that user's
/// way, and what a pin there says would be theirs to change.
///
/// Nor is the system asked without `HOME`: what knows its users is loaded from libraries, which a static binary cannot do
/// safely; under a user whom `/etc/passwd` does not name it crashed there.
fn user_folder(instead: &str, of: impl Fn(&BaseDirs) -> &Path) -> Result<PathBuf, Failure> {
    let absolute = |name| variable(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
    let (home, named) = (absolute("HOME"), absolute(instead));
    let (variable, base) = named.as_ref().map_or(("HOME", &home), |_| (instead, &named));
    let folder = match (&home, &named) {
        (Some(home), None) if home == Path::new("/") => None,
        (Some(_), _) => BaseDirs::new().map(|base| of(&base).to_owned()),
        (None, named) => named.clone(),
    };
    let folder = folder.ok_or_else(|| Failure::no_home(instead))?.join("keyvault");
    for part in base.as_deref().into_iter().chain([folder.as_path()]) {
        if let Some(uid) = untrusted::owner_beside_root(part) {
            return Err(vault_file::foreign_home(variable, part, &User::of(uid)));
        }
    }
    Ok(folder)
}

/// The folder in memory that a login session gives its user.
#[must_use]
pub(crate) fn runtime_folder() -> Option<PathBuf> {
    variable("XDG_RUNTIME_DIR").map(PathBuf::from)
}

/// Returns `true` if color is wanted: NO_COLOR is not set to something, and the terminal is not a dumb one.
#[must_use]
pub(crate) fn color_wanted() -> bool {
    variable("NO_COLOR").is_none() && variable("TERM").is_none_or(|term| term != "dumb")
}

/// Returns `true` if the terminal is of a kind that obeys escape codes.
#[must_use]
pub(super) fn terminal_obeys() -> bool {
    variable("TERM").is_some_and(|term| term != "dumb")
}

/// A variable that is set to something.
#[must_use]
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The token's variable, which is set and empty where a service was to give one and did not.
pub(super) fn token_variable() -> Option<OsString> {
    std::env::var_os("KEYVAULT_TOKEN")
}

/// How standard input is called where it is read like a file.
pub(in crate::cli) const STDIN: &str = "standard input";

/// Hints where a typed secret would be seen: for any secret, for values, and for the recovery code.
pub(in crate::cli) const NOT_TYPED: &str = "Pipe it in, or name a file that contains it.";
pub(in crate::cli) const VALUE_BY_STDIN: &str = "Pipe the value in, or use `--file FILE`. Without `--stdin`, a value that is not generated is typed without echo.";
pub(in crate::cli) const VALUE_BY_FILE: &str =
    "Pipe the value in, or leave out `--file`: a value that is not generated is then typed without echo.";
pub(in crate::cli) const CODE_BY_FILE: &str =
    "Pipe the recovery code in, or leave out `--code-file` to type it without echo.";

/// A secret is not read from standard input while that is a terminal: it would be seen as it is typed. `instead` says what
/// else there is; the check is for before anything is asked.
pub(crate) fn refuse_typed_stdin(instead: &str) -> Result<(), Failure> {
    refuse_terminal(&std::io::stdin(), Path::new(STDIN), instead)
}

/// Refuses a source that shows what is typed.
pub(in crate::cli) fn refuse_terminal(
    source: &impl IsTerminal,
    path: &Path,
    instead: &str,
) -> Result<(), Failure> {
    if source.is_terminal() { Err(Failure::echoed(path, instead)) } else { Ok(()) }
}

/// Reads a secret from a stream or file. From a terminal it is not, however that was named: /dev/tty, /dev/stdin.
pub(crate) fn read_secret(
    source: &mut (impl Read + IsTerminal),
    limit: usize,
    path: &Path,
) -> Result<SecretBytes, Failure> {
    refuse_terminal(source, path, NOT_TYPED)?;
    read_whole(source, limit, path)
}

/// Reads what may hold a secret and may be typed all the same.
pub(crate) fn read_whole(source: &mut dyn Read, limit: usize, path: &Path) -> Result<SecretBytes, Failure> {
    SecretBytes::read_from(source, limit).map_err(|error| match error {
        ReadError::TooLong { limit } => Failure::failed(
            &format!("{} is longer than {limit} bytes.", path.display()),
            Some("Nothing was done."),
        ),
        ReadError::Io(error) => Failure::io(path, &error),
    })
}

/// Drops the line end of a text of one line, LF or CR LF; whether there was one. Of several lines the last keeps its end:
/// programs do not read a private key without it.
#[must_use]
pub(crate) fn without_line_end(bytes: SecretBytes) -> (SecretBytes, bool) {
    match bytes.expose().strip_suffix(b"\n") {
        Some(line) if !line.contains(&b'\n') => {
            (SecretBytes::copy_from(line.strip_suffix(b"\r").unwrap_or(line)), true)
        }
        _ => (bytes, false),
    }
}

fn actor() -> Actor {
    let who = actor::who();
    Actor {
        user: who.user,
        host: who.host,
        pid: who.pid,
        program: who.parent,
        terminal: who.terminal,
        job: ci_job(),
    }
}

/// The running job's name in the known CI services.
fn ci_job() -> Option<String> {
    const SERVICES: [(&str, &[&str]); 6] = [
        ("GITHUB_ACTIONS", &["GITHUB_REPOSITORY", "GITHUB_WORKFLOW", "GITHUB_RUN_ID"]),
        ("GITLAB_CI", &["CI_PROJECT_PATH", "CI_JOB_NAME", "CI_JOB_ID"]),
        ("CIRCLECI", &["CIRCLE_PROJECT_REPONAME", "CIRCLE_JOB", "CIRCLE_BUILD_NUM"]),
        ("BUILDKITE", &["BUILDKITE_PIPELINE_SLUG", "BUILDKITE_LABEL", "BUILDKITE_BUILD_NUMBER"]),
        ("JENKINS_URL", &["JOB_NAME", "BUILD_NUMBER"]),
        ("CI", &[]),
    ];
    let (service, parts) = SERVICES.iter().find(|(service, _)| variable(service).is_some())?;
    let named =
        parts.iter().filter_map(|part| variable(part)).map(|part| part.to_string_lossy().into_owned());
    let job = std::iter::once((*service).to_owned()).chain(named).collect::<Vec<_>>().join(" ");
    // Long enough for every service's own names, short enough for an entry.
    Some(job.chars().take(200).collect())
}
