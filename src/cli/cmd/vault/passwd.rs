//! `keyvault vault passwd`

use std::path::PathBuf;

use clap::Args;

use crate::audit::Action;
use crate::cli::context::Context;
use crate::cli::credentials;
use crate::cli::error::{Failure, code};
use crate::crypto;
use crate::vault::Credential;

/// Change the passphrase.
///
/// Takes no longer for a large vault than for a small one, because keys are not sealed anew. So a copy of the vault
/// that somebody made before still opens with the old passphrase; if it may be known, 'vault rekey' is the answer,
/// and rotating the keys.
#[derive(Debug, Args)]
pub struct Passwd {
    /// Take the new passphrase from a file
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,
}

impl Passwd {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let (mut vault, access) = context.open_with_root()?;
        let path = vault.path().to_owned();
        let had_one = vault.has_passphrase().map_err(|error| Failure::of(error, &path))?;
        let passphrase = credentials::new_passphrase(context, self.new_passphrase_file.as_deref())?;
        let credential = Credential::Passphrase(&passphrase, crypto::calibrate());
        context.with_world(|world| {
            vault
                .replace_ways(&access, world, Action::Passwd, &[credential])
                .map_err(|error| Failure::of(error, &path))
        })?;
        if context.ui.json {
            context.ui.print_json(&serde_json::json!({ "vault": path.display().to_string() }))?;
        } else {
            context.ui.note(if had_one {
                "The passphrase is changed. Copies of the vault from before still open with the old one;\n\
                 if somebody may know it: keyvault vault rekey, and rotate the keys."
            } else {
                "The vault opens with this passphrase from now on, and with what opened it before.\n\
                 Copies from before do not know the passphrase."
            });
        }
        Ok(code::DONE)
    }
}
