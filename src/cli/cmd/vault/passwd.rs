//! `keyvault vault passwd`

use std::path::PathBuf;

use clap::Args;

use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};
use crate::cli::unlock::new_credentials;
use keyvault_core::crypto;
use keyvault_vault::audit::Action;
use keyvault_vault::{Credential, slot};

/// Change the passphrase.
///
/// This is as fast for a large vault as for a small one, because it does not seal the keys again. Older copies of the vault
/// still open with the old passphrase. If someone may know it, run `keyvault vault rekey` and rotate the keys. Without a
/// terminal, the new passphrase comes from --new-passphrase-file, KEYVAULT_NEW_PASSPHRASE_FILE or KEYVAULT_NEW_PASSPHRASE.
#[derive(Debug, Args)]
pub(crate) struct Passwd {
    /// Read the new passphrase from a file
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,
}

impl Passwd {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let (mut vault, access) = context.open_with_root()?;
        let path = vault.path().to_owned();
        let had_one = slot::has_passphrase(&mut vault).map_err(|error| Failure::of(error, &path))?;
        let passphrase = new_credentials::new_passphrase(context, self.new_passphrase_file.as_deref())?;
        let credential = Credential::Passphrase(&passphrase, crypto::calibrate());
        context.with_world(|world| {
            slot::replace(&mut vault, &access, world, Action::Passwd, &[credential])
                .map_err(|error| Failure::of(error, &path))
        })?;
        if context.ui.json {
            context.ui.print_json(&serde_json::json!({ "vault": path.display().to_string() }))?;
        } else {
            context.ui.confirm(if had_one {
                "The passphrase is changed. Older copies of the vault still open with the old one.\n\
                 If someone may know it, run `keyvault vault rekey` and rotate the keys."
            } else {
                "This passphrase now opens the vault, and so does what opened it before.\n\
                 It does not open older copies."
            })?;
        }
        Ok(code::DONE)
    }
}
