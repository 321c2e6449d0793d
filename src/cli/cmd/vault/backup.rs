//! `keyvault vault backup`

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::context::{Context, state_folder};
use crate::cli::errors::{Failure, code, reason};
use crate::cli::unlock::key_source::token_is_given;
use crate::cli::unlock::order::ORDER;
use keyvault_vault::state::pin::Pins;
use keyvault_vault::state::proof::{Proof, Proofs};
use keyvault_vault::{Access, Vault, check, file};

/// Copy the vault to a new file.
///
/// The copy is a snapshot, taken while other commands continue. It is sealed like the vault and opens with what opens the
/// vault today; you need no passphrase to make it. A damaged vault is copied too, with exit code 5: without a session,
/// damaged pages and stray rows are noticed; with one, every damaged row and a rollback.
///
/// --verify opens the copy (with a session, or whatever else opens the vault) and checks every row. This machine records
/// when; `keyvault doctor` shows it.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The new file
    file: PathBuf,
    /// Open the copy and check every row
    #[arg(long)]
    verify: bool,
}

impl Backup {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let path = context.vault_path()?;
        let failed = |error| Failure::of(error, &path);
        let mut vault = context.open_damaged_at(&path, file::open_to_copy, failed)?;
        context.tell_left_behind(&vault);
        // No key is needed, so none is asked for; where a session is open it tells how the file stands.
        let session = vault.session(context.now()).map(Access::from).filter(|_| !token_is_given());
        if let Some(access) = &session {
            let _ = context.tell_alarm(&mut vault, access);
        }
        let bytes = context.with_world(|world| {
            file::backup(&vault, &self.file, world).map_err(|error| Failure::of(error, &self.file))
        })?;
        let path = vault.path().to_owned();
        let proof = if self.verify {
            Some(prove(context, &vault, &self.file)?)
        } else if !file::left_behind(&vault).is_empty()
            || check::is_damaged(&mut vault, session.as_ref()).map_err(|error| Failure::of(error, &path))?
        {
            return Err(damaged(&self.file));
        } else {
            None
        };
        let file = self.file.display().to_string();
        if context.ui.json {
            let proved = proof.map(|proof| proof.change);
            context.ui.print_json(&serde_json::json!({
                "file": file, "bytes": bytes, "proved_change": proved,
            }))?;
        } else {
            context.ui.confirm(&format!("Copied the vault to {file} ({} KiB).", bytes / 1024))?;
            if let Some(proof) = proof {
                context
                    .ui
                    .confirm(&format!("Verified every row of the copy. It is at change {}.", proof.change))?;
            }
        }
        Ok(code::DONE)
    }
}

fn damaged(file: &Path) -> Failure {
    Failure::damaged(
        &format!("The vault is copied to {}, but it is damaged.", file.display()),
        Some(
            "Keep the older backups: a restore of this one drops the damaged rows. `keyvault vault check` shows them;\n\
             `keyvault vault rekey` keeps everything else.",
        ),
    )
}

/// Opens the copy as whatever opens the vault does, checks every row and remembers it. Leaves no side file.
fn prove(context: &Context, vault: &Vault, file: &Path) -> Result<Proof, Failure> {
    let state = state_folder()?;
    let failed = |error| Failure::of(error, file);
    let mut copy = Vault::open_untouched(file, &Pins::in_folder(state.join("pins"))).map_err(failed)?;
    let access = context.access(&mut copy, &ORDER)?;
    let checked = check::run(&mut copy, &access).map_err(failed)?;
    if checked.findings.iter().any(|finding| !finding.is_of_reads()) {
        for finding in &checked.findings {
            context.ui.warn(&finding.to_string());
        }
        return Err(damaged(file));
    }
    let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let proof =
        Proof { time: context.now(), change: checked.change, file: file.to_string_lossy().into_owned() };
    if let Err(error) = Proofs::in_folder(state.join("proofs")).keep(&vault.identity(), vault.path(), &proof)
    {
        context.ui.warn(&format!(
            "This machine could not record that the backup was verified: {}.",
            reason(&error)
        ));
    }
    Ok(proof)
}
