//! `keyvault vault recover`

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Consent, accept_loss, confirm};
use crate::cli::context::{self, Context, STDIN};
use crate::cli::errors::{Failure, code};
use crate::cli::output::loss::{self, Tense};
use crate::cli::unlock::TRIES;
use crate::cli::unlock::new_credentials::{self, RecoveryPlace};
use keyvault_core::crypto;
use keyvault_core::secret::SecretBytes;
use keyvault_os::terminal::prompt;
use keyvault_vault::audit::Action;
use keyvault_vault::unlock::UnlockError;
use keyvault_vault::unlock::recovery::RecoveryCode;
use keyvault_vault::{Access, Credential, Loss, Vault, VaultError, slot};

/// The longest text that can be a code, in bytes.
const MAX_CODE: usize = 256;

/// Set a new passphrase with the recovery code.
///
/// The old passphrase no longer opens the vault. A new recovery code replaces the one you used, unless you pass
/// --no-recovery. Without a terminal, the new passphrase comes from --new-passphrase-file, KEYVAULT_NEW_PASSPHRASE_FILE or
/// KEYVAULT_NEW_PASSPHRASE.
///
/// Damaged rows that would prevent the recovery are dropped. What is lost is listed first: on a terminal, you are asked;
/// elsewhere, --drop-damaged has to accept it.
#[derive(Debug, Args)]
pub(crate) struct Recover {
    /// Read the recovery code from a file, or - for stdin
    #[arg(long, value_name = "FILE")]
    code_file: Option<PathBuf>,
    /// Read the new passphrase from a file
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,
    /// Write the new recovery code to a new file
    #[arg(long, value_name = "FILE")]
    recovery_file: Option<PathBuf>,
    /// Create no new recovery code: the one you used stays valid
    #[arg(long, conflicts_with = "recovery_file")]
    no_recovery: bool,
    /// Continue without damaged keys, values, and audit log entries
    #[arg(long)]
    drop_damaged: bool,
}

impl Recover {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        if self.reads_stdin() {
            context::refuse_typed_stdin(context::CODE_BY_FILE)?;
        }
        let interactive = context.may_ask();
        let place = RecoveryPlace::of(self.recovery_file.clone(), self.no_recovery);
        place.require(context, interactive)?;
        let mut vault = context.open_to_recover()?;
        let path = vault.path().to_owned();
        let failed = |error: VaultError| Failure::of(error, &path);
        let opened = self.open(context, &mut vault);
        context.name_slots(&mut vault, opened.as_ref().ok());
        let access = opened.map_err(|error| match error {
            NotOpened::Vault(error) => failed(error),
            NotOpened::Other(failure) => failure,
        })?;
        context.tell_left_behind(&vault);
        let passphrase = new_credentials::new_passphrase(context, self.new_passphrase_file.as_deref())?;
        let recovery = place.make(context, interactive)?;
        let mut credentials = vec![Credential::Passphrase(&passphrase, crypto::calibrate())];
        credentials.extend(recovery.code.as_ref().map(Credential::Recovery));
        let (expected, loss) = context
            .with_world(|world| {
                let replaced = slot::replace(&mut vault, &access, world, Action::Recover, &credentials);
                let Err(error) = replaced else { return Ok((Loss::default(), Loss::default())) };
                let expected = slot::recovery_loss(&mut vault, &access, error).map_err(failed)?;
                self.accept(context, &expected, &path)?;
                let (_, loss) = slot::recover(&mut vault, &access, world, &credentials).map_err(failed)?;
                Ok((expected, loss))
            })
            .inspect_err(|failure| recovery.withdraw(failure))?;
        if context.ui.json {
            let vault = path.display().to_string();
            recovery.print(
                context,
                &serde_json::json!({
                    "vault": vault, "recovery_code": recovery.in_json(), "lost_to_damage": loss::json(&loss),
                }),
            )?;
        } else {
            if loss != expected {
                for line in loss::told(&loss, Tense::Done) {
                    context.ui.warn(&line);
                }
            }
            context.ui.confirm("The new passphrase opens the vault; the old one no longer does.")?;
            if recovery.code.is_none() {
                context.ui.warn("The recovery code that was used stays valid, because `--no-recovery` created no new one.");
            }
            recovery.tell(context);
        }
        Ok(code::DONE)
    }

    /// Only damage that is in the way is dropped, so the question comes when it has turned out to be.
    fn accept(&self, context: &Context, loss: &Loss, path: &Path) -> Result<(), Failure> {
        let asks = context.may_ask();
        accept_loss(context, loss, Consent::of(self.drop_damaged, asks), path, "Restore a backup")?;
        let damaged = loss.counted().filter(|_| !self.drop_damaged);
        damaged.map_or(Ok(()), |damaged| confirm(context, false, &format!("Continue without {damaged}?")))
    }

    fn reads_stdin(&self) -> bool {
        self.code_file.as_deref() == Some(Path::new("-"))
    }

    /// Opens the vault with the code of the file, or with one that is typed, in three tries.
    fn open(&self, context: &Context, vault: &mut Vault) -> Result<Access, NotOpened> {
        let open = |vault: &mut Vault, text: &SecretBytes| {
            RecoveryCode::parse(text.expose())
                .map_err(VaultError::Unlock)
                .and_then(|code| vault.open_recovery(&code))
        };
        if let Some(file) = self.code_file.as_deref() {
            let text = code_of_file(context, file).map_err(NotOpened::Other)?;
            return open(vault, &text).map_err(NotOpened::Vault);
        }
        if !context.may_ask() {
            return Err(NotOpened::Other(Failure::usage(
                &format!("No recovery code given, and {}.", context.unasked()),
                Some("Use `--code-file FILE`, or `--code-file -` for standard input."),
            )));
        }
        let mut left = TRIES;
        loop {
            left -= 1;
            let typed = prompt::read_secret("Recovery code: ", MAX_CODE);
            let typed = typed.map_err(|error| NotOpened::Other(Failure::prompt(&error)))?;
            match open(vault, &typed) {
                Err(VaultError::Unlock(error @ (UnlockError::NotACode | UnlockError::Wrong(_))))
                    if left > 0 =>
                {
                    context.ui.say(&format!("{error} Try again."));
                }
                opened => return opened.map_err(NotOpened::Vault),
            }
        }
    }
}

enum NotOpened {
    Vault(VaultError),
    /// No code could be had.
    Other(Failure),
}

/// A recovery code's text from a file, or from standard input.
pub(super) fn code_of_file(context: &Context, file: &Path) -> Result<SecretBytes, Failure> {
    if file == Path::new("-") {
        context::read_secret(&mut std::io::stdin().lock(), MAX_CODE, Path::new(STDIN))
    } else {
        context.private_file(file, MAX_CODE)
    }
}
