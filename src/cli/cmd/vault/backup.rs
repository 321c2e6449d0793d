//! `keyvault vault backup`

use std::path::PathBuf;

use clap::Args;

use crate::cli::context::Context;
use crate::cli::error::{Failure, code};
use crate::vault::Access;

/// Copy the vault to a new file.
///
/// The copy is of one moment, while other commands go on. It is sealed like the vault and opens with what opens the
/// vault today; no passphrase is needed to make it. What is damaged is copied too, with exit code 5: without a key
/// damaged pages are noticed, with an open session every row, and that the vault was put back.
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
                &format!("The vault is copied to {file}, and it is damaged."),
                Some(
                    "Keep the older backups: this one does not restore. 'keyvault vault check' says what is wrong.",
                ),
            ));
        }
        if context.ui.json {
            context.ui.print_json(&serde_json::json!({ "file": file, "bytes": bytes }))?;
        } else {
            context.ui.note(&format!("Copied the vault to {file}, {} KiB.", bytes / 1024));
        }
        Ok(code::DONE)
    }
}
