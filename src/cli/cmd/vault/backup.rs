//! `keyvault vault backup`

use std::path::PathBuf;

use clap::Args;

use crate::cli::context::Context;
use crate::cli::error::{Failure, code};

/// Copy the vault to a new file.
///
/// The copy is of one moment, while other commands go on. It is sealed like the vault and opens with what opens the
/// vault today; no passphrase is needed to make it. With an open session it says if the vault was put back.
#[derive(Debug, Args)]
pub struct Backup {
    /// The new file
    file: PathBuf,
}

impl Backup {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let mut vault = context.open()?;
        // No key is needed, so none is asked for; where a session is open it tells how the file stands.
        if let Some(session) = vault.session(context.now()) {
            let _ = context.tell_alarm(&mut vault, &session.into());
        }
        let bytes = context.with_world(|world| {
            vault.backup(&self.file, world).map_err(|error| Failure::of(error, &self.file))
        })?;
        let file = self.file.display().to_string();
        if context.ui.json {
            context.ui.print_json(&serde_json::json!({ "file": file, "bytes": bytes }))?;
        } else {
            context.ui.note(&format!("Copied the vault to {file}, {} KiB.", bytes / 1024));
        }
        Ok(code::DONE)
    }
}
