//! `keyvault init`

use std::path::Path;

use clap::Args;

use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};
use crate::cli::prompt;
use crate::cli::unlock::new_credentials::{self, RecoveryPlace};
use keyvault_core::crypto;
use keyvault_vault::unlock::os_keyring::{self, LIMIT};
use keyvault_vault::unlock::passphrase::Passphrase;
use keyvault_vault::{Creation, VaultError, file};

/// Create a vault.
///
/// Asks for a passphrase and shows a recovery code, which opens the vault if the passphrase is lost. Without a terminal, the
/// passphrase comes from KEYVAULT_PASSPHRASE_FILE or KEYVAULT_PASSPHRASE, and --json, --recovery-file or --no-recovery says
/// where the code goes. On a terminal, if the desktop's keyring answers, you can add a slot for it.
#[derive(Debug, Args)]
pub(crate) struct Init {
    #[command(flatten)]
    recovery: RecoveryPlace,
}

impl Init {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let path = context.vault_path()?;
        // Said before anything is asked. That it still holds when the vault is put in place, `create` sees to.
        if std::fs::symlink_metadata(&path).is_ok() {
            return Err(Failure::of(VaultError::VaultExists { path: path.clone() }, &path));
        }
        let given = context.given_passphrase()?;
        let interactive = given.is_none() && context.may_ask();
        if given.is_none() && !interactive {
            return Err(Failure::no_passphrase_to_set(context.unasked()));
        }
        self.recovery.require(context, interactive)?;
        let passphrase = match given {
            Some((passphrase, _)) => new_credentials::to_be_set(context, passphrase)?,
            None => new_credentials::ask_passphrase(context)?,
        };
        let recovery = self.recovery.make(context, interactive)?;
        let creation =
            Creation { passphrase: &passphrase, cost: crypto::calibrate(), recovery: recovery.code.as_ref() };
        let created = context
            .with_world(|world| {
                file::create(&path, &creation, world).map_err(|error| Failure::of(error, &path))
            })
            .inspect_err(|failure| recovery.withdraw(failure))?;
        let shown = created.path.display();
        if context.ui.json {
            let answer =
                serde_json::json!({ "vault": shown.to_string(), "recovery_code": recovery.in_json() });
            recovery.print(context, &answer)?;
        } else {
            context.ui.confirm(&format!("Created the vault {shown}."))?;
            recovery.tell(context);
            if interactive {
                offer_keyring(context, &created.path, &passphrase);
            }
            context
                .ui
                .note("Next: `keyvault unlock`, then `keyvault project init --import` in a project, or `keyvault generate NAME`.");
        }
        Ok(code::DONE)
    }
}

/// Asks whether the keyring of this user may open the vault too, if one answers. Nothing that comes of it undoes the
/// vault that was just made.
fn offer_keyring(context: &Context, path: &Path, passphrase: &Passphrase) {
    if os_keyring::ready(LIMIT).is_err() {
        return;
    }
    let question =
        "Also open the vault with this desktop's keyring, without asking, while the keyring is unlocked?";
    let Ok(true) = prompt::confirm("", question) else { return };
    let failed = |error: VaultError| Failure::of(error, path);
    let added = context.open_at(path, failed).and_then(|mut vault| {
        let access = vault.open_passphrase(passphrase).map_err(failed)?;
        context.add_keyring(&mut vault, &access)
    });
    match added {
        Ok(slot) => context.ui.note(&format!("Slot {} opens with the keyring.", slot.id)),
        Err(failure) => context.ui.warn(&failure.message),
    }
}
