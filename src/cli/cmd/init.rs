//! `keyvault init`

use std::path::PathBuf;

use clap::Args;

use crate::cli::context::Context;
use crate::cli::error::{Failure, code};
use crate::crypto;
use crate::secret::SecretBytes;
use crate::sys::{private, tty};
use crate::unlock::passphrase::Passphrase;
use crate::unlock::recovery::RecoveryCode;
use crate::vault::{Creation, Vault};

/// Make a vault.
///
/// Asks for a passphrase and shows a recovery code, the second way in. Without a terminal the passphrase comes from
/// KEYVAULT_PASSPHRASE_FILE or KEYVAULT_PASSPHRASE, and one of --json, --recovery-file or --no-recovery says where the
/// code goes.
#[derive(Debug, Args)]
pub struct Init {
    /// Write the recovery code to a new file
    #[arg(long, value_name = "FILE")]
    recovery_file: Option<PathBuf>,
    /// Make no recovery code: a lost passphrase is then a lost vault
    #[arg(long, conflicts_with = "recovery_file")]
    no_recovery: bool,
}

impl Init {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let path = context.vault_path()?;
        // Said before anything is asked. That it still holds when the vault is put in place, `create` sees to.
        if std::fs::symlink_metadata(&path).is_ok() {
            return Err(Failure::of(crate::vault::VaultError::VaultExists { path: path.clone() }, &path));
        }
        let given = context.given_passphrase()?;
        let interactive = given.is_none() && context.may_ask();
        let has_place = context.ui.json || self.recovery_file.is_some() || self.no_recovery;
        if !interactive && !has_place {
            return Err(Failure::usage(
                "The recovery code opens the vault, so it is not printed into what may be a log.",
                Some("Say where it goes: --recovery-file FILE, --json, or --no-recovery for none."),
            ));
        }
        let passphrase = match given {
            Some(passphrase) => passphrase,
            None => ask_passphrase(context)?,
        };
        let failed = |error| Failure::of(crate::vault::VaultError::Unlock(error), &path);
        let recovery = if self.no_recovery {
            None
        } else {
            Some(RecoveryCode::create(&crypto::SystemRng).map_err(failed)?)
        };
        let code = recovery.as_ref().map(RecoveryCode::text).transpose().map_err(failed)?;
        if let Some(code) =
            code.as_ref().filter(|_| interactive && self.recovery_file.is_none() && !context.ui.json)
        {
            show_and_ask_back(code)?;
        }
        if let (Some(file), Some(code)) = (&self.recovery_file, &code) {
            private::write_private(file, code.expose()).map_err(|error| Failure::io(file, &error))?;
        }
        let creation =
            Creation { passphrase: &passphrase, cost: crypto::calibrate(), recovery: recovery.as_ref() };
        let created = context.with_world(|world| {
            Vault::create(&path, &creation, world).map_err(|error| Failure::of(error, &path))
        });
        if created.is_err()
            && let Some(file) = &self.recovery_file
        {
            // A code that opens nothing would only mislead.
            let _ = std::fs::remove_file(file);
        }
        let created = created?;
        let shown = created.path.display();
        if context.ui.json {
            let code = code.filter(|_| self.recovery_file.is_none());
            let code = code.as_ref().map(|code| String::from_utf8_lossy(code.expose()));
            context
                .ui
                .print_json(&serde_json::json!({ "vault": shown.to_string(), "recovery_code": code }))?;
        } else {
            context.ui.note(&format!("Made the vault {shown}."));
            if let Some(file) = &self.recovery_file {
                context.ui.note(&format!("The recovery code is in {}; keep it elsewhere.", file.display()));
            }
            context.ui.note("Next: keyvault unlock, then keyvault import .env or keyvault generate NAME.");
        }
        Ok(code::DONE)
    }
}

fn ask_passphrase(context: &Context) -> Result<Passphrase, Failure> {
    loop {
        let first = context.typed_passphrase("New passphrase: ")?;
        context.ui.note(&estimate(&first));
        let second = context.typed_passphrase("The same again: ")?;
        if first.expose() == second.expose() {
            return Ok(first);
        }
        context.ui.note("They differ. Once more.");
    }
}

/// How long guessing would take somebody who has the file and a lot of machines: zxcvbn's guesses at 10,000 a second,
/// which is generous against Argon2id.
fn estimate(passphrase: &Passphrase) -> String {
    let text = std::str::from_utf8(passphrase.expose()).unwrap_or_default();
    let estimate = zxcvbn::zxcvbn(text, &["keyvault"]);
    let time = estimate.crack_times().offline_slow_hashing_1e4_per_second();
    let verdict = match u8::from(estimate.score()) {
        0 | 1 => "Weak",
        2 => "Fair",
        3 => "Good",
        _ => "Strong",
    };
    let advice = estimate
        .feedback()
        .and_then(|feedback| feedback.suggestions().first())
        .map_or_else(String::new, |suggestion| format!("\n{suggestion}"));
    format!("{verdict}: whoever has the file would need {time} to guess it.{advice}")
}

/// Shows the code on the terminal, and asks for its last group, so that it was written down and not clicked away.
fn show_and_ask_back(code: &SecretBytes) -> Result<(), Failure> {
    let shown = |bytes: &[u8]| tty::write_line(bytes).map_err(Failure::prompt);
    shown(b"\nThe recovery code opens the vault when the passphrase is lost. Write it down;")?;
    shown(b"it is not shown again.\n")?;
    shown(code.expose())?;
    shown(b"")?;
    let group = code.expose().rsplit(|byte| *byte == b'-').next().unwrap_or_default();
    loop {
        let typed = tty::read_line("Its last five characters: ", 64).map_err(Failure::prompt)?;
        if typed.expose().trim_ascii().eq_ignore_ascii_case(group) {
            return Ok(());
        }
        shown(b"Those are others. Look again.")?;
    }
}
