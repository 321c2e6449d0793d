//! From the vault's path to an opened vault. Which credential is tried when stands in `order`; how each of them opens it stands here.

pub(in crate::cli) mod despite_damage;
pub(crate) mod key_source;
pub(crate) mod keyring;
pub(crate) mod new_credentials;
pub(crate) mod order;

use std::fs::File;
use std::path::Path;

use keyvault_core::crypto;
use keyvault_core::secret::{ReadError, SecretBytes};
use keyvault_os::fs::lock::{ANSWER, FileLock, Held};
use keyvault_os::fs::modes::Modes;
use keyvault_os::fs::{memory_folder, private};
use keyvault_os::terminal::prompt;
use keyvault_vault::audit::LogGap;
use keyvault_vault::audit::Outcome;
use keyvault_vault::state::pin::{Memory, Pins, Standing};
use keyvault_vault::unlock::UnlockError;
use keyvault_vault::unlock::keyfile::{self, KeyFile};
use keyvault_vault::unlock::passphrase::{MAX_LEN, Passphrase, Unfit};
use keyvault_vault::unlock::recovery::RecoveryCode;
use keyvault_vault::unlock::session::{self, Current};
use keyvault_vault::unlock::slot::SlotKind;
use keyvault_vault::{Access, Credential, Notice, Vault, VaultError, file, slot, token};

use self::keyring::Keep;
use self::order::ORDER;
use super::context::{
    Context, NOT_TYPED, STDIN, read_secret, refuse_terminal, runtime_folder, state_folder, variable,
    without_line_end,
};
use super::errors::{Failure, vault_file};
use super::output;
use super::output::{time, view};

/// How long a session lasts that a typed passphrase or a keyring opens, in seconds.
const SHORT_SESSION: u32 = 15 * 60;

/// Names a file that contains the passphrase.
pub(in crate::cli) const PASSPHRASE_FILE: &str = "KEYVAULT_PASSPHRASE_FILE";
/// Contains the passphrase itself, which other processes of the user can read; [`PASSPHRASE_FILE`] comes first.
pub(in crate::cli) const PASSPHRASE: &str = "KEYVAULT_PASSPHRASE";

/// How often a passphrase or a recovery code may be typed.
pub(in crate::cli) const TRIES: u32 = 3;

/// The remedy where another command has asked, here or on another terminal, and nobody answers it.
pub(in crate::cli) const UNANSWERED: &str =
    "Nothing was done. If it is waiting for an answer, give one; otherwise end it. Then try again.";

impl Context {
    /// Opens the vault's file and says in a line each what was noticed about it.
    pub(crate) fn open(&self) -> Result<Vault, Failure> {
        let path = self.vault_path()?;
        self.open_at(&path, |error| Failure::of(error, &path))
    }

    /// Opens the vault for [`Supply`](keyvault_vault::Supply), which reports by itself what it cannot remember.
    pub(in crate::cli) fn open_to_take(&self) -> Result<Vault, Failure> {
        let path = self.vault_path()?;
        self.opened(&path, Vault::open_briefly, |error| Failure::of(error, &path))
    }

    /// Opens a file that is named otherwise, such as a backup, about which the caller has other things to say.
    pub(crate) fn open_at(
        &self,
        path: &Path,
        failed: impl FnOnce(VaultError) -> Failure,
    ) -> Result<Vault, Failure> {
        let vault = self.opened(path, Vault::open, failed)?;
        if *vault.memory() == Memory::Unreadable {
            self.tell(&Notice::UnreadableMemory);
        }
        Ok(vault)
    }

    /// Opens the vault's file to rekey or recover it, whatever its schema is.
    pub(in crate::cli) fn open_to_recover(&self) -> Result<Vault, Failure> {
        let path = self.vault_path()?;
        self.open_damaged_at(&path, file::open_to_recover, |error| Failure::of(error, &path))
    }

    /// Opens a file whose damage other commands refuse.
    pub(in crate::cli) fn open_damaged_at(
        &self,
        path: &Path,
        open: impl FnOnce(&Path, &Pins) -> Result<Vault, VaultError>,
        failed: impl FnOnce(VaultError) -> Failure,
    ) -> Result<Vault, Failure> {
        let vault = self.opened(path, open, failed)?;
        if *vault.memory() == Memory::Unreadable {
            self.tell(&Notice::UnreadableMemory);
        }
        Ok(vault)
    }

    /// Says what of a file that was opened so is not taken over.
    pub(in crate::cli) fn tell_left_behind(&self, vault: &Vault) {
        let left: Vec<_> = file::left_behind(vault).iter().map(ToString::to_string).collect();
        if !left.is_empty() {
            let path = output::harmless_line(&vault.path().display().to_string());
            let left = output::harmless_line(&left.join("; "));
            self.ui.warn(&format!("{path} is damaged: {left}. Everything else in it that verifies is kept."));
        }
    }

    fn opened(
        &self,
        path: &Path,
        open: impl FnOnce(&Path, &Pins) -> Result<Vault, VaultError>,
        failed: impl FnOnce(VaultError) -> Failure,
    ) -> Result<Vault, Failure> {
        let pins = Pins::in_folder(state_folder()?.join("pins"));
        let vault = open(path, &pins).map_err(failed)?;
        if vault.tightened() {
            vault.let_others_in();
            self.ui.warn(&format!("{} was readable by others and no longer is.", vault.path().display()));
        }
        Ok(vault)
    }

    /// Opens the file to release values or to change it: what is in alarm refuses by itself.
    pub(crate) fn open_with_access(&self) -> Result<(Vault, Access), Failure> {
        let mut vault = self.open()?;
        let access = self.access(&mut vault, &ORDER)?;
        Ok((vault, access))
    }

    /// Opens the file to be looked at, which works in an alarm too, and is said.
    pub(crate) fn open_to_look(&self) -> Result<(Vault, Access), Failure> {
        let (mut vault, access) = self.open_with_access()?;
        self.tell_alarm(&mut vault, &access)?;
        Ok((vault, access))
    }

    /// Says in a line that the file is in alarm, or older than another copy of it, and gives the word for programs.
    pub(crate) fn tell_alarm(
        &self,
        vault: &mut Vault,
        access: &Access,
    ) -> Result<Option<&'static str>, Failure> {
        let standing = file::standing(vault, access).map_err(|error| Failure::of(error, vault.path()));
        let (standing, older_copy) = standing?;
        if let Some(notice) = older_copy {
            self.tell(&notice);
        }
        let alarm = alarm(standing);
        if let Some(alarm) = alarm {
            self.ui.warn(&format!("The vault is {alarm}. {}", vault_file::ways_out(standing, vault.path())));
        }
        Ok(alarm)
    }

    /// Warns where entries of the audit log that this machine saw are gone.
    pub(in crate::cli) fn tell_log_gap(
        &self,
        vault: &mut Vault,
        access: &Access,
    ) -> Result<Option<LogGap>, Failure> {
        let gap = file::missing_entries(vault, access).map_err(|error| Failure::of(error, vault.path()))?;
        if let Some(gap) = gap {
            self.ui.warn(&format!("{} The next change records it.", log_gap(gap)));
        }
        Ok(gap)
    }

    /// Opens the file for a session: by whatever opens it but the session that may be open.
    pub(crate) fn open_for_session(&self) -> Result<(Vault, Access), Failure> {
        sweep();
        self.refuse_token()?;
        let mut vault = self.open()?;
        let access = match self.keyring_access(&mut vault)? {
            Some(access) => access,
            None => self.root_of(&mut vault)?,
        };
        Ok((vault, access))
    }

    /// Access for a limited session: by a full session that is open, or by whatever opens one. None is opened on the way.
    pub(in crate::cli) fn access_to_limit(&self, vault: &mut Vault) -> Result<Access, Failure> {
        self.refuse_token()?;
        if let Some(session) = vault.session(self.now()) {
            return Ok(session.into());
        }
        match self.keyring_access_for(vault, Keep::Nothing)? {
            Some(access) => Ok(access),
            None => self.root_of(vault),
        }
    }

    /// Forgets what was remembered of a limited session that is about to end.
    pub(in crate::cli) fn forget_limited(&self, vault: &Vault) {
        if let Some(Current::Limited(session)) = session::current(&vault.identity(), self.now())
            && let Ok(state) = state_folder()
        {
            Pins::in_folder(state.join("pins")).forget_token(&session.token.id());
        }
    }

    /// Records that a full session is about to be opened, and ends the limited ones that it takes the place of.
    pub(in crate::cli) fn record_session(
        &self,
        vault: &mut Vault,
        access: &Access,
        detail: &str,
    ) -> Result<(), Failure> {
        self.forget_limited(vault);
        let path = vault.path().to_owned();
        self.with_world(|world| {
            // Damage to tokens keeps nobody from opening the vault; a limited session expires by itself.
            if token::end_sessions(vault, access, world, detail).unwrap_or(false) {
                return Ok(());
            }
            let recorded = vault.record_unlock(access, world, Outcome::Done, detail);
            recorded.map_err(|error| Failure::of(error, &path))
        })
    }

    /// Opens the file with root: by key file or passphrase, even if a session is open.
    pub(crate) fn open_with_root(&self) -> Result<(Vault, Access), Failure> {
        let mut vault = self.open()?;
        let access = self.given_or_asked_root(&mut vault)?;
        Ok((vault, access))
    }

    pub(in crate::cli) fn given_or_asked_root(&self, vault: &mut Vault) -> Result<Access, Failure> {
        self.refuse_token()?;
        if !self.is_given_root() && !self.may_ask() {
            return Err(Failure::needs_root(self.unasked()));
        }
        self.root_of(vault)
    }

    /// Root of an opened file, by key file or passphrase.
    fn root_of(&self, vault: &mut Vault) -> Result<Access, Failure> {
        match self.given_access(vault)? {
            Some(access) => Ok(access),
            None => self.ask_for_access(vault).map(|(access, _)| access),
        }
    }

    /// Root of a copy, by `own` or else by key file or passphrase, and what opens the vault that it is a copy of, which may
    /// have been rekeyed since: the same, or next to `own` the key file or passphrase.
    pub(in crate::cli) fn root_of_copy(
        &self,
        copy: &mut Vault,
        vault: Option<&mut Vault>,
        own: Option<(Presented, String)>,
    ) -> Result<OpenedCopy, Failure> {
        if let Some((by, source)) = own {
            let access = by.open(copy).map_err(|error| {
                let wrong = matches!(error, VaultError::Unlock(UnlockError::Wrong(_)));
                let failure = Failure::of(error, copy.path()).given_by(&source);
                let hint = if wrong { Some(OPENS_THEN.to_owned()) } else { failure.hint.clone() };
                Failure { hint, ..failure }
            })?;
            let present = match vault {
                Some(vault) => self.given_access(vault)?.or_else(|| by.open(vault).ok()),
                None => None,
            };
            return Ok(OpenedCopy { access, present, by });
        }
        let (access, by) = if let Some(file) = self.given_key_file()? {
            let opened = self.open_key_file(copy, &file);
            (opened.map_err(|failure| failure.given_by("KEYVAULT_KEY_FILE"))?, Presented::KeyFile(file))
        } else if let Some((passphrase, source)) = self.given_passphrase()? {
            let opened = self.open_passphrase(copy, &passphrase).map_err(of_then);
            (opened.map_err(|failure| failure.given_by(source))?, Presented::Passphrase(passphrase))
        } else {
            let (access, passphrase) = self.ask_for_access(copy).map_err(of_then)?;
            (access, Presented::Passphrase(passphrase))
        };
        let present = vault.and_then(|vault| by.open(vault).ok());
        Ok(OpenedCopy { access, present, by })
    }

    /// Root of a vault whose passphrase may be lost: an empty answer says so.
    pub(in crate::cli) fn root_if_known(&self, vault: &mut Vault) -> Result<Option<Access>, Failure> {
        self.require_terminal()?;
        let path = vault.path().to_owned();
        let shown = output::harmless_line(&path.display().to_string());
        let prompt = format!("Passphrase for {shown} (empty if it is lost): ");
        for left in (0..TRIES).rev() {
            let typed = prompt::read_secret(&prompt, MAX_LEN).map_err(|error| Failure::prompt(&error))?;
            if typed.expose().is_empty() {
                return Ok(None);
            }
            match vault.open_passphrase(&Passphrase::new(&typed).map_err(Failure::passphrase)?) {
                Err(VaultError::Unlock(UnlockError::Wrong(_))) if left > 0 => {
                    self.ui.say("That is not the passphrase. Try again.");
                }
                opened => return opened.map(Some).map_err(|error| self.refused(vault, error)),
            }
        }
        Ok(None)
    }

    /// Opens a copy of a vault that does not open with what opened the vault: with a session of the copy's epoch, or with
    /// its key file or passphrase. Nothing is recorded in the copy.
    pub(in crate::cli) fn access_of_copy(&self, copy: &mut Vault, file: &Path) -> Result<Access, Failure> {
        if let Some(access) = copy.session(self.now()).map(Access::from)
            && file::opens(copy, &access).map_err(|error| vault_file::backup(error, file))?
        {
            return Ok(access);
        }
        let failed = |error| match error {
            VaultError::Unlock(UnlockError::Wrong(_) | UnlockError::NoSuchSlot(_)) => Ok(()),
            error => Err(vault_file::backup(error, file)),
        };
        if let Some(key_file) = self.given_key_file()? {
            match copy.open_key_file(&key_file) {
                Ok(access) => return Ok(access),
                Err(error) => failed(error)?,
            }
        }
        if let Some((passphrase, _)) = self.given_passphrase()? {
            match copy.open_passphrase(&passphrase) {
                Ok(access) => return Ok(access),
                Err(error) => failed(error)?,
            }
        }
        if !self.may_ask() {
            return Err(Failure::locked_copy(file, Some(self.unasked())));
        }
        let prompt = format!("Passphrase for {}: ", output::harmless_line(&file.display().to_string()));
        for left in (0..TRIES).rev() {
            match copy.open_passphrase(&self.typed_passphrase(&prompt)?) {
                Ok(access) => return Ok(access),
                Err(error) => failed(error)?,
            }
            if left > 0 {
                self.ui.say("That is not the passphrase. Try again.");
            }
        }
        Err(Failure::locked_copy(file, None))
    }

    /// Opens the file with root for a rekey. If it keeps the passphrase, that opens it and is given back: the new root
    /// is sealed under it.
    pub(crate) fn open_for_rekey(
        &self,
        keep_passphrase: bool,
    ) -> Result<(Vault, Access, Option<Passphrase>), Failure> {
        self.refuse_token()?;
        let mut vault = self.open_to_recover()?;
        if !keep_passphrase {
            let access = self.given_or_asked_root(&mut vault)?;
            return Ok((vault, access, None));
        }
        if !slot::has_passphrase(&mut vault).map_err(|error| Failure::of(error, vault.path()))? {
            return Err(Failure::refused(
                "The vault has no passphrase to keep.",
                Some("Without `--keep-passphrase`, `keyvault vault rekey` sets one."),
            ));
        }
        let (access, passphrase) = match self.given_passphrase()? {
            Some((passphrase, source)) => {
                let opened = self.open_passphrase(&mut vault, &passphrase);
                (opened.map_err(|failure| failure.given_by(source))?, passphrase)
            }
            None if self.may_ask() => self.ask_for_access(&mut vault)?,
            None => return Err(Failure::rekey_without_passphrase(self.unasked())),
        };
        Ok((vault, access, Some(passphrase)))
    }

    /// Access by a passphrase that is typed on the terminal, and a session for the commands that follow.
    pub(in crate::cli) fn typed_access(&self, vault: &mut Vault) -> Result<Access, Failure> {
        self.require_terminal()?;
        // Of several commands that come here at once one asks; the others find its session. Where no lock can be made
        // they ask one after the other, as the terminal gives them their turn.
        let folder = state_folder()?;
        let lock = folder.join(format!("prompt-{}", vault.identity().vault_hex()));
        let turn = private::create_folder(&folder)
            .and_then(|()| FileLock::exclusive_for_answer(&lock, &|held| self.waits_for_answer(held)));
        if let Some(held) = turn.as_ref().err().and_then(Held::of) {
            return Err(vault_file::held_by_another(held, UNANSWERED));
        }
        if let Some(session) = vault.session(self.now()) {
            return Ok(session.into());
        }
        let (access, _) = self.ask_for_access(vault)?;
        if !self.global.no_session {
            self.keep_session(vault, &access, "passphrase typed", true);
        }
        Ok(access)
    }

    /// Says that another command may be waiting for an answer, and whether this one waits for that.
    pub(in crate::cli) fn waits_for_answer(&self, held: &Held) -> bool {
        if !self.may_ask() {
            return false;
        }
        let who = match &held.holder {
            Some(process) => format!("Process {} ({})", process.id, process.name),
            None => "Another keyvault command".to_owned(),
        };
        self.ui.note(&format!(
            "{who} is waiting for an answer. This command continues after it, and waits at most {} s (Ctrl-C to cancel).",
            ANSWER.as_secs()
        ));
        true
    }

    /// Recorded first: a session that the log does not know must not exist. Without one the passphrase is typed or the
    /// keyring asked again, and that is all that is lost. `tell` is for a user who has just typed.
    pub(in crate::cli) fn keep_session(
        &self,
        vault: &mut Vault,
        access: &Access,
        opened_by: &str,
        tell: bool,
    ) {
        // A limited session is open: another command opened it meanwhile, or a credential was given in spite of it.
        if session::current(&vault.identity(), self.now())
            .is_some_and(|now| matches!(now, Current::Limited(_)))
        {
            return;
        }
        let recorded = self.record_session(vault, access, &format!("{opened_by}, 15m"));
        if recorded.is_err() {
            if tell {
                self.ui.note("No session was opened, because it could not be recorded.");
            }
            return;
        }
        match session::open(&access.daily, &vault.identity(), self.now(), SHORT_SESSION) {
            Ok(_) if !tell => {}
            Ok(until) => self.ui.note(&format!(
                "Unlocked until {}. `keyvault lock` ends the session; `--no-session` opens none.",
                time::local(until)
            )),
            Err(_) => self.record_refused(vault, access, "the system kept no session"),
        }
    }

    fn ask_for_access(&self, vault: &mut Vault) -> Result<(Access, Passphrase), Failure> {
        self.require_terminal()?;
        let path = vault.path().to_owned();
        let prompt = format!("Passphrase for {}: ", output::harmless_line(&path.display().to_string()));
        let mut wrong = 0;
        for left in (0..TRIES).rev() {
            let passphrase = self.typed_passphrase(&prompt)?;
            match vault.open_passphrase(&passphrase) {
                Err(VaultError::Unlock(UnlockError::Wrong(_))) if left > 0 => {
                    wrong += 1;
                    self.ui.say("That is not the passphrase. Try again.");
                }
                Err(error) => {
                    self.name_slots(vault, None);
                    return Err(self.refused(vault, error));
                }
                Ok(access) => {
                    self.name_slots(vault, Some(&access));
                    if wrong > 0 {
                        self.record_refused(vault, &access, &format!("wrong passphrase, {wrong}x"));
                    }
                    return Ok((access, passphrase));
                }
            }
        }
        Err(Failure::of(VaultError::Unlock(UnlockError::Wrong(SlotKind::Passphrase(()))), &path))
    }

    /// Opens the vault with a passphrase that nobody typed. If it is wrong and looks as if something came along with it, that
    /// is said.
    pub(in crate::cli) fn open_passphrase(
        &self,
        vault: &mut Vault,
        passphrase: &Passphrase,
    ) -> Result<Access, Failure> {
        let opened = vault.open_passphrase(passphrase);
        self.name_slots(vault, opened.as_ref().ok());
        opened.map_err(|error| {
            let wrong = matches!(error, VaultError::Unlock(UnlockError::Wrong(_)));
            let failure = self.refused(vault, error);
            match passphrase.oddity().filter(|_| wrong) {
                Some(oddity) => {
                    failure.because(&format!("What was given {oddity}, which may not be part of it."))
                }
                None => failure,
            }
        })
    }

    fn open_key_file(&self, vault: &mut Vault, file: &KeyFile) -> Result<Access, Failure> {
        let opened = vault.open_key_file(file);
        self.name_slots(vault, opened.as_ref().ok());
        opened.map_err(|error| self.refused(vault, error))
    }

    /// A wrong credential can be recorded only where a session holds the key to the log; in a backup nothing is.
    fn refused(&self, vault: &mut Vault, error: VaultError) -> Failure {
        let own = self.vault_path().map(|path| path.canonicalize().is_ok_and(|path| path == vault.path()));
        if matches!(error, VaultError::Unlock(UnlockError::Wrong(_)))
            && own.unwrap_or(false)
            && let Some(session) = vault.session(self.now())
        {
            self.record_refused(vault, &session.into(), "wrong passphrase");
        }
        Failure::of(error, vault.path())
    }

    /// The failure itself is reported either way.
    pub(in crate::cli) fn record_refused(&self, vault: &mut Vault, access: &Access, detail: &str) {
        let _ = self.with_world(|world| {
            vault
                .record_unlock(access, world, Outcome::Refused, detail)
                .map_err(|error| Failure::of(error, Path::new("the vault")))
        });
    }

    /// Access by a key file or a passphrase from the environment.
    pub(in crate::cli) fn given_access(&self, vault: &mut Vault) -> Result<Option<Access>, Failure> {
        if let Some(access) = self.key_file_access(vault)? {
            return Ok(Some(access));
        }
        let Some((passphrase, source)) = self.given_passphrase()? else { return Ok(None) };
        let opened = self.open_passphrase(vault, &passphrase);
        opened.map(Some).map_err(|failure| failure.given_by(source))
    }

    /// Access by the key file that `KEYVAULT_KEY_FILE` names.
    pub(in crate::cli) fn key_file_access(&self, vault: &mut Vault) -> Result<Option<Access>, Failure> {
        let Some(file) = self.given_key_file()? else { return Ok(None) };
        let opened = self.open_key_file(vault, &file);
        opened.map(Some).map_err(|failure| failure.given_by("KEYVAULT_KEY_FILE"))
    }

    /// The key file that `KEYVAULT_KEY_FILE` names.
    pub(crate) fn given_key_file(&self) -> Result<Option<KeyFile>, Failure> {
        let named = variable("KEYVAULT_KEY_FILE");
        named
            .map(|path| self.key_file(Path::new(&path)).map_err(|failure| failure.named("KEYVAULT_KEY_FILE")))
            .transpose()
    }

    /// Reads a key file.
    pub(crate) fn key_file(&self, path: &Path) -> Result<KeyFile, Failure> {
        let content = self.private_file(path, keyfile::MAX_LEN)?;
        KeyFile::parse(content.expose()).map_err(|error| Failure::of(VaultError::Unlock(error), path))
    }

    /// The passphrase from `KEYVAULT_PASSPHRASE_FILE` or `KEYVAULT_PASSPHRASE`, if either is set, and which of them.
    pub(crate) fn given_passphrase(&self) -> Result<Option<(Passphrase, &'static str)>, Failure> {
        match self.passphrase_of_file()? {
            Some(passphrase) => Ok(Some((passphrase, PASSPHRASE_FILE))),
            None => Ok(self.passphrase_of_variable()?.map(|passphrase| (passphrase, PASSPHRASE))),
        }
    }

    /// Returns `true` if something is given that opens everything, without reading it: a pipe gives what it has once.
    #[allow(clippy::unused_self, reason = "beside what reads it")]
    pub(in crate::cli) fn is_given_root(&self) -> bool {
        let names = ["KEYVAULT_KEY_FILE", "KEYVAULT_PASSPHRASE_FILE", "KEYVAULT_PASSPHRASE"];
        names.into_iter().any(|name| variable(name).is_some())
    }

    pub(in crate::cli) fn passphrase_of_file(&self) -> Result<Option<Passphrase>, Failure> {
        let Some(path) = variable("KEYVAULT_PASSPHRASE_FILE") else { return Ok(None) };
        let read = self.passphrase_file(Path::new(&path));
        let given = read.map_err(|failure| failure.named("KEYVAULT_PASSPHRASE_FILE"))?;
        Passphrase::new(&given).map(Some).map_err(Failure::passphrase)
    }

    #[allow(clippy::unused_self, reason = "beside the other way of giving one")]
    pub(in crate::cli) fn passphrase_of_variable(&self) -> Result<Option<Passphrase>, Failure> {
        use std::os::unix::ffi::OsStrExt;
        let Some(text) = variable("KEYVAULT_PASSPHRASE") else { return Ok(None) };
        let given = SecretBytes::copy_from(text.as_bytes());
        Passphrase::new(&given).map(Some).map_err(Failure::passphrase)
    }

    /// A passphrase from a file, without its line end.
    pub(in crate::cli) fn passphrase_file(&self, path: &Path) -> Result<SecretBytes, Failure> {
        // Two bytes more than a passphrase may have, for the line end; what is longer still has too much of the other.
        let read = if path == Path::new("-") {
            let mut stdin = std::io::stdin().lock();
            refuse_terminal(&stdin, Path::new(STDIN), NOT_TYPED)?;
            SecretBytes::read_from(&mut stdin, MAX_LEN + 2)
        } else {
            let mut file = self.open_private(path)?;
            refuse_terminal(&file, path, NOT_TYPED)?;
            SecretBytes::read_from(&mut file, MAX_LEN + 2)
        };
        let bytes = read.map_err(|error| match error {
            ReadError::TooLong { .. } => Failure::passphrase(Unfit::TooLong),
            ReadError::Io(error) => Failure::io(path, &error),
        })?;
        Ok(without_line_end(bytes).0)
    }

    /// Reads a file that others should not read, and says so if they can.
    pub(crate) fn private_file(&self, path: &Path, limit: usize) -> Result<SecretBytes, Failure> {
        read_secret(&mut self.open_private(path)?, limit, path)
    }

    fn open_private(&self, path: &Path) -> Result<File, Failure> {
        let (file, readable) = private::open_secret_file(path).map_err(|error| Failure::io(path, &error))?;
        if readable.is_some() {
            let command = format!("chmod 600 {}", path.display());
            let remedy = vault_file::chmod(&command, Modes::at(path), vault_file::MOVE_FILE);
            self.ui.warn(&format!("Others can read {}. Fix it: {remedy}", path.display()));
        }
        Ok(file)
    }

    /// Asks for a passphrase on the terminal.
    pub(crate) fn typed_passphrase(&self, prompt: &str) -> Result<Passphrase, Failure> {
        self.require_terminal()?;
        let typed = prompt::read_secret(prompt, MAX_LEN).map_err(|error| Failure::prompt(&error))?;
        Passphrase::new(&typed).map_err(Failure::passphrase)
    }
}

const OPENS_THEN: &str = "The backup opens with what opened the vault when the backup was made.";

/// A wrong secret for a copy: the recovery code of the vault here would not help.
fn of_then(failure: Failure) -> Failure {
    if failure.kind == "wrong_credential" {
        Failure { hint: Some(OPENS_THEN.to_owned()), ..failure }
    } else {
        failure
    }
}

/// A secret that opened a copy with root.
pub(in crate::cli) enum Presented {
    Passphrase(Passphrase),
    KeyFile(KeyFile),
    Recovery(RecoveryCode),
}

/// A copy of a vault, opened with root.
pub(in crate::cli) struct OpenedCopy {
    pub(in crate::cli) access: Access,
    /// Root of the vault that it is a copy of.
    pub(in crate::cli) present: Option<Access>,
    pub(in crate::cli) by: Presented,
}

impl Presented {
    fn open(&self, vault: &mut Vault) -> Result<Access, VaultError> {
        match self {
            Self::Passphrase(passphrase) => vault.open_passphrase(passphrase),
            Self::KeyFile(file) => vault.open_key_file(file),
            Self::Recovery(code) => vault.open_recovery(code),
        }
    }

    /// A slot for it, whose cost is measured only where a passphrase needs it.
    pub(in crate::cli) fn credential(&self) -> Credential<'_> {
        match self {
            Self::Passphrase(passphrase) => Credential::Passphrase(passphrase, crypto::calibrate()),
            Self::KeyFile(file) => Credential::KeyFile(file),
            Self::Recovery(code) => Credential::Recovery(code),
        }
    }

    pub(in crate::cli) fn name(&self) -> &'static str {
        match self {
            Self::Passphrase(_) => "passphrase",
            Self::KeyFile(_) => "key file",
            Self::Recovery(_) => "recovery code",
        }
    }
}

/// Removes what an `exec --file` that was killed has left in memory. For commands that are about what lies around, and
/// nobody's way to work: the look costs a tenth of what the kernel is asked for by an `exec`.
pub(in crate::cli) fn sweep() {
    memory_folder::sweep(runtime_folder().as_deref());
}

/// How a gap in the audit log is told.
pub(in crate::cli) fn log_gap(gap: LogGap) -> String {
    match gap {
        LogGap::Missing(count) => {
            let entries = view::counted(usize::try_from(count).unwrap_or(usize::MAX), "audit log entry");
            let are = if count == 1 { "is" } else { "are" };
            format!(
                "{entries} that this machine saw {are} missing: a power cut took the end of the log, or someone cut it off."
            )
        }
        LogGap::Replaced => {
            "The end of the audit log that this machine saw was replaced: a power cut took it, or someone cut it off."
                .to_owned()
        }
    }
}

/// A gap in the audit log, for programs.
pub(in crate::cli) fn log_gap_json(gap: Option<LogGap>) -> serde_json::Value {
    match gap {
        None => serde_json::Value::Null,
        Some(LogGap::Missing(count)) => serde_json::json!({ "missing": count }),
        Some(LogGap::Replaced) => serde_json::json!({ "missing": null }),
    }
}

/// The word for a file that is not as this machine last saw it.
pub(in crate::cli) fn alarm(standing: Standing) -> Option<&'static str> {
    match standing {
        Standing::RolledBack => Some("older than the state this machine last saw"),
        Standing::Forked => Some("on a different branch than the state this machine last saw"),
        Standing::OtherVault => Some("not the vault that this machine last saw at this path"),
        Standing::FirstUse | Standing::Same | Standing::Ahead => None,
    }
}
