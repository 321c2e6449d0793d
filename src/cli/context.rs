//! The world as a command sees it: environment, folders, terminal, and the way to an opened vault.

use std::cell::Cell;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use directories::BaseDirs;

use crate::audit::{Actor, Outcome};
use crate::clock::{Clock, Moment, SystemClock};
use crate::crypto::SystemRng;
use crate::secret::{ReadError, SecretBytes};
use crate::state::pin::{Memory, Pins};
use crate::sys::keyring::SessionError;
use crate::sys::lock::FileLock;
use crate::sys::private;
use crate::sys::{tty, who};
use crate::unlock::keyfile::{self, KeyFile};
use crate::unlock::passphrase::{MAX_LEN, Passphrase};
use crate::unlock::{UnlockError, session};
use crate::vault::{Access, Holder, Holders, Vault, VaultError, World};

use super::args::Global;
use super::error::Failure;
use super::time;
use super::ui::Ui;

/// How long a session that a typed passphrase opens lasts, in seconds.
const TYPED_SESSION: u32 = 15 * 60;

/// How often a passphrase may be typed.
const TRIES: u32 = 3;

/// Everything a command works with.
pub struct Context {
    /// Streams.
    pub ui: Ui,
    /// What every command takes.
    pub global: Global,
    clock: SystemClock,
    rng: SystemRng,
    verb: String,
    announced: Cell<bool>,
}

/// Where a passphrase comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A file or a variable.
    Given,
    /// The terminal.
    Typed,
}

impl Context {
    pub(super) fn new(global: Global, ui: Ui, verb: String) -> Self {
        Self { ui, global, clock: SystemClock, rng: SystemRng, verb, announced: Cell::new(false) }
    }

    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Runs `act` with the vault room's world.
    pub fn with_world<T>(&self, act: impl FnOnce(&World<'_>) -> Result<T, Failure>) -> Result<T, Failure> {
        let waiting = |waited: Duration, holder: Option<Holder>| self.announce_wait(waited, holder);
        let state = state_folder()?;
        let own = Holder { command: self.verb.clone(), pid: std::process::id() };
        let world = World {
            clock: &self.clock,
            rng: &self.rng,
            actor: actor(),
            pins: Pins::in_folder(state.join("pins")),
            holders: Holders::in_folder(state, own),
            waiting: &waiting,
        };
        act(&world)
    }

    fn announce_wait(&self, waited: Duration, holder: Option<Holder>) {
        // A holder has a second to announce itself, and a moment to write it down.
        let known = holder.is_some() || waited >= Duration::from_secs(2);
        if waited >= Duration::from_secs(1) && known && !self.announced.replace(true) {
            let whom = holder.map_or_else(
                || "another keyvault command".to_owned(),
                |holder| format!("keyvault {} (process {})", holder.command, holder.pid),
            );
            self.ui.note(&format!("Waiting for {whom} to let go of the vault, up to 10 s."));
        }
    }

    /// The vault's path: `--vault`, `KEYVAULT_VAULT`, or the data folder.
    pub fn vault_path(&self) -> Result<PathBuf, Failure> {
        self.global.vault.clone().map_or_else(default_vault, Ok)
    }

    /// Opens the vault's file and says in a line each what was noticed about it.
    pub fn open(&self) -> Result<Vault, Failure> {
        self.open_at(&self.vault_path()?)
    }

    /// The same for a file that is named otherwise, such as a backup.
    pub fn open_at(&self, path: &Path) -> Result<Vault, Failure> {
        let pins = Pins::in_folder(state_folder()?.join("pins"));
        let vault = Vault::open(path, &pins).map_err(|error| Failure::of(error, path))?;
        if vault.tightened() {
            self.ui.warn(&format!("{} was readable by others; it no longer is.", vault.path().display()));
        }
        match vault.memory() {
            Memory::Unreadable => {
                self.ui.warn("The pin of this vault cannot be read; the next change writes a new one.");
            }
            Memory::None { elsewhere: Some(pin) } => self.ui.warn(&format!(
                "This vault was last used at {}, there at change {}. If this copy is older, changes are missing here.",
                pin.path, pin.change
            )),
            Memory::None { elsewhere: None } | Memory::Pin(_) => {}
        }
        Ok(vault)
    }

    /// Opens the file and gets keys for it: a session, else a key file, else a passphrase.
    pub fn open_with_access(&self) -> Result<(Vault, Access), Failure> {
        let mut vault = self.open()?;
        let access = match vault.session(self.now()) {
            Some(session) => session.into(),
            None => self.access_by_passphrase(&mut vault)?,
        };
        Ok((vault, access))
    }

    /// Opens the file with root: by key file or passphrase, even if a session is open.
    pub fn open_with_root(&self) -> Result<(Vault, Access), Failure> {
        let mut vault = self.open()?;
        let access = self.root_of(&mut vault)?;
        Ok((vault, access))
    }

    /// Root of an opened file, by key file or passphrase.
    pub fn root_of(&self, vault: &mut Vault) -> Result<Access, Failure> {
        match self.given_access(vault)? {
            Some(access) => Ok(access),
            None => self.ask_for_access(vault).map(|(access, _)| access),
        }
    }

    /// Opens the file with root by passphrase, which is given back: a rekey seals the new root under it.
    pub fn open_with_passphrase(&self) -> Result<(Vault, Access, Passphrase), Failure> {
        let mut vault = self.open()?;
        let (access, passphrase) = match self.given_passphrase()? {
            Some(passphrase) => (open_passphrase(&mut vault, &passphrase)?, passphrase),
            None => self.ask_for_access(&mut vault)?,
        };
        Ok((vault, access, passphrase))
    }

    /// What a key file or a passphrase from the environment opens.
    fn given_access(&self, vault: &mut Vault) -> Result<Option<Access>, Failure> {
        if let Some(file) = self.given_key_file()? {
            let path = vault.path().to_owned();
            return vault.open_key_file(&file).map(Some).map_err(|error| Failure::of(error, &path));
        }
        self.given_passphrase()?.map(|passphrase| open_passphrase(vault, &passphrase)).transpose()
    }

    /// The key file that `KEYVAULT_KEY_FILE` names.
    pub fn given_key_file(&self) -> Result<Option<KeyFile>, Failure> {
        variable("KEYVAULT_KEY_FILE").map(|path| self.key_file(Path::new(&path))).transpose()
    }

    /// Reads a key file.
    pub fn key_file(&self, path: &Path) -> Result<KeyFile, Failure> {
        let content = self.private_file(path, keyfile::MAX_LEN)?;
        KeyFile::parse(content.expose()).map_err(|error| Failure::of(VaultError::Unlock(error), path))
    }

    /// Reads a file that others should not read, and says so if they can.
    pub fn private_file(&self, path: &Path, limit: usize) -> Result<SecretBytes, Failure> {
        let (mut file, readable) =
            private::open_secret_file(path).map_err(|error| Failure::io(path, &error))?;
        if readable.is_some() {
            self.ui.warn(&format!("{} can be read by others; chmod 600 it.", path.display()));
        }
        read_secret(&mut file, limit, path)
    }

    fn access_by_passphrase(&self, vault: &mut Vault) -> Result<Access, Failure> {
        if let Some(access) = self.given_access(vault)? {
            return Ok(access);
        }
        self.require_terminal()?;
        // Of several commands that come here at once one asks; the others find its session.
        let folder = state_folder()?;
        let lock = folder.join(format!("prompt-{}", vault.identity().vault_hex()));
        let _turn = private::create_folder(&folder)
            .and_then(|()| FileLock::exclusive(&lock))
            .map_err(|error| Failure::io(&lock, &error))?;
        if let Some(session) = vault.session(self.now()) {
            return Ok(session.into());
        }
        let (access, _) = self.ask_for_access(vault)?;
        if !self.global.no_session {
            self.keep_typed_session(vault, &access)?;
        }
        Ok(access)
    }

    fn keep_typed_session(&self, vault: &mut Vault, access: &Access) -> Result<(), Failure> {
        match session::open(&access.daily, &vault.identity(), self.now(), TYPED_SESSION) {
            Ok(until) => {
                self.ui.note(&format!(
                    "Unlocked until {}; 'keyvault lock' ends it, --no-session declines.",
                    time::local(until)
                ));
                let path = vault.path().to_owned();
                self.with_world(|world| {
                    vault
                        .record_unlock(access, world, Outcome::Done, "passphrase typed, 15m")
                        .map_err(|error| Failure::of(error, &path))
                })
            }
            // Typing it again is all that is lost.
            Err(SessionError::Unsupported(_)) => Ok(()),
            Err(error) => {
                self.ui.warn(&format!("No session was opened: {error}."));
                Ok(())
            }
        }
    }

    fn ask_for_access(&self, vault: &mut Vault) -> Result<(Access, Passphrase), Failure> {
        self.require_terminal()?;
        let path = vault.path().to_owned();
        for left in (0..TRIES).rev() {
            let passphrase = self.typed_passphrase(&format!("Passphrase for {}: ", path.display()))?;
            match vault.open_passphrase(&passphrase) {
                Err(VaultError::Unlock(UnlockError::Wrong)) if left > 0 => {
                    self.ui.note("That is not the passphrase. Once more.");
                }
                opened => {
                    let access = opened.map_err(|error| Failure::of(error, &path))?;
                    return Ok((access, passphrase));
                }
            }
        }
        Err(Failure::of(VaultError::Unlock(UnlockError::Wrong), &path))
    }

    /// The passphrase from `KEYVAULT_PASSPHRASE_FILE` or `KEYVAULT_PASSPHRASE`, if either is set.
    pub fn given_passphrase(&self) -> Result<Option<Passphrase>, Failure> {
        let given = if let Some(path) = variable("KEYVAULT_PASSPHRASE_FILE") {
            self.passphrase_file(Path::new(&path))?
        } else if let Some(text) = variable("KEYVAULT_PASSPHRASE") {
            use std::os::unix::ffi::OsStrExt;
            SecretBytes::copy_from(text.as_bytes())
        } else {
            return Ok(None);
        };
        Passphrase::new(&given).map(Some).map_err(Failure::passphrase)
    }

    /// A passphrase from a file, without its final newline.
    pub(super) fn passphrase_file(&self, path: &Path) -> Result<SecretBytes, Failure> {
        // One byte more than a passphrase may have, for the newline.
        let bytes = self.private_file(path, MAX_LEN + 1)?;
        Ok(without_final_newline(bytes).0)
    }

    /// Asks for a passphrase on the terminal.
    pub fn typed_passphrase(&self, prompt: &str) -> Result<Passphrase, Failure> {
        self.require_terminal()?;
        let typed = tty::read_secret(prompt, MAX_LEN).map_err(Failure::prompt)?;
        Passphrase::new(&typed).map_err(Failure::passphrase)
    }

    /// Whether a question may be asked.
    #[must_use]
    pub fn may_ask(&self) -> bool {
        !self.global.non_interactive && tty::has_terminal()
    }

    fn require_terminal(&self) -> Result<(), Failure> {
        if self.may_ask() { Ok(()) } else { Err(Failure::locked()) }
    }
}

fn open_passphrase(vault: &mut Vault, passphrase: &Passphrase) -> Result<Access, Failure> {
    let path = vault.path().to_owned();
    vault.open_passphrase(passphrase).map_err(|error| Failure::of(error, &path))
}

/// The caller's variables, for a child.
#[must_use]
pub fn variables() -> Vec<(OsString, OsString)> {
    std::env::vars_os().collect()
}

/// The vault that is meant without `--vault`: `KEYVAULT_VAULT`, or the one in the data folder.
pub fn default_vault() -> Result<PathBuf, Failure> {
    match variable("KEYVAULT_VAULT") {
        Some(path) => Ok(PathBuf::from(path)),
        None => Ok(base_folders("XDG_DATA_HOME")?.data_dir().join("keyvault").join("vault.db")),
    }
}

/// The folder of pins, locks and nothing secret.
pub fn state_folder() -> Result<PathBuf, Failure> {
    let base = base_folders("XDG_STATE_HOME")?;
    Ok(base.state_dir().unwrap_or_else(|| base.data_local_dir()).join("keyvault"))
}

/// Where this user's folders are. `HOME` must say; guessing one for root or for nobody would make a vault that is
/// not found again.
fn base_folders(instead: &str) -> Result<BaseDirs, Failure> {
    let home = variable("HOME").filter(|home| home != "/");
    let folders = if home.is_some() || variable(instead).is_some() { BaseDirs::new() } else { None };
    folders.ok_or_else(|| Failure::no_home(instead))
}

/// Whether colour is wanted: NO_COLOR is not set to something, and the terminal is not a dumb one.
#[must_use]
pub fn colour_wanted() -> bool {
    variable("NO_COLOR").is_none() && variable("TERM").is_none_or(|term| term != "dumb")
}

/// A variable that is set to something.
#[must_use]
pub fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Reads a secret from a stream or file.
pub fn read_secret(source: &mut dyn Read, limit: usize, path: &Path) -> Result<SecretBytes, Failure> {
    SecretBytes::read_from(source, limit).map_err(|error| match error {
        ReadError::TooLong { limit } => Failure::failed(
            &format!("{} holds more than {limit} bytes.", path.display()),
            Some("Nothing was done."),
        ),
        ReadError::Io(error) => Failure::io(path, &error),
    })
}

/// Drops one final newline; whether there was one.
#[must_use]
pub fn without_final_newline(bytes: SecretBytes) -> (SecretBytes, bool) {
    match bytes.expose().strip_suffix(b"\n") {
        Some(rest) => (SecretBytes::copy_from(rest), true),
        None => (bytes, false),
    }
}

fn actor() -> Actor {
    let who = who::who();
    Actor {
        user: who.user,
        host: who.host,
        pid: who.pid,
        program: who.parent,
        terminal: who.terminal,
        job: ci_job(),
    }
}

/// What the known CI services call the job that runs.
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
