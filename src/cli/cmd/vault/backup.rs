//! `keyvault vault backup`

use std::path::PathBuf;

use clap::Args;

use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};
use keyvault_vault::Access;

/// Copy the vault to a new file.
///
/// The copy is a snapshot, taken while other commands continue. It is sealed like the vault and opens with what opens the
/// vault today; you need no passphrase to make it. A damaged vault is copied too, with exit code 5: without a session,
/// damaged pages are noticed; with one, every damaged row and a rollback.
#[derive(Debug, Args)]
pub struct Backup {
    /// The new file
    file: PathBuf,
}

impl Backup {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let mut vault = context.open()?;
        // No key is needed, so none is asked for; where a session is open it tells how the file stands.
        let session = vault.session(context.now()).map(Access::from);
        if let Some(access) = &session {
            let _ = context.tell_alarm(&mut vault, access);
        }
        let bytes = context.with_world(|world| {
            vault.backup(&self.file, world).map_err(|error| Failure::of(error, &self.file))
        })?;
        let file = self.file.display().to_string();
        let path = vault.path().to_owned();
        if vault.is_damaged(session.as_ref()).map_err(|error| Failure::of(error, &path))? {
            return Err(Failure::damaged(
                &format!("The vault is copied to {file}, but it is damaged."),
                Some(
                    "Keep the older backups: this one cannot be restored. Run `keyvault vault check` to see what is wrong.",
                ),
            ));
        }
        if context.ui.json {
            context.ui.print_json(&serde_json::json!({ "file": file, "bytes": bytes }))?;
        } else {
            context.ui.note(&format!("Copied the vault to {file} ({} KiB).", bytes / 1024));
        }
        Ok(code::DONE)
    }
}
