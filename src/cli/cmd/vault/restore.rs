//! `keyvault vault restore`

use std::path::{Path, PathBuf};

use clap::Args;

use super::confirm;
use crate::cli::context::Context;
use crate::cli::errors::file_sentences;
use crate::cli::errors::{Failure, code};
use crate::cli::output::{loss, view};
use keyvault_core::name::{KeyName, TokenName};
use keyvault_os::fs::vault_file::FileFault;
use keyvault_vault::store::StoreError;
use keyvault_vault::unlock::session;
use keyvault_vault::{Difference, Loss, Restored, VaultError, file};

/// Replace the vault with a backup, or accept a vault that a sync or a snapshot put back.
///
/// With FILE, shows what would be superseded, asks, and ends the open session. --adopt accepts the vault's file as it is
/// and asks nothing. Both need the passphrase or a key file of the copy that is to apply, and give it a number above every
/// change this machine has seen. Its slots and its audit log apply as well: slots removed since work again, and later audit
/// log entries are superseded, which one more entry records. After --adopt, tokens and versions that were revoked since are
/// valid again; a restore keeps them revoked. Other machines that saw the superseded state raise an alarm until they accept
/// the new one with --adopt.
///
/// A damaged backup is restored without its damaged rows, which are listed first. With --yes, if keys or values would be
/// lost, --drop-damaged has to confirm it.
#[derive(Debug, Args)]
pub struct Restore {
    /// The backup
    #[arg(required_unless_present = "adopt")]
    file: Option<PathBuf>,
    /// Accept the vault's file as it is, at once
    #[arg(long, conflicts_with = "file")]
    adopt: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Continue without the backup's damaged keys and values
    #[arg(long, conflicts_with = "adopt")]
    drop_damaged: bool,
}

impl Restore {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        match &self.file {
            Some(file) => self.take(context, file),
            None => adopt(context),
        }
    }

    fn take(&self, context: &Context, file: &Path) -> Result<u8, Failure> {
        let failed = |error: VaultError| file_sentences::backup(error, file);
        let mut backup = context.open_at(file, |error| match error {
            VaultError::File(FileFault::NotFound { .. }) => {
                Failure::io(file, &std::io::ErrorKind::NotFound.into())
            }
            error => failed(error),
        })?;
        let path = context.vault_path()?;
        let mut here = match context.open_at(&path, |error| file_sentences::cannot_replace(error, &path)) {
            Err(failure) if failure.kind == "no_vault" => None,
            opened => Some(opened?),
        };
        if let Some(vault) = &here {
            file::refuse_other(&backup, vault).map_err(failed)?;
        }
        let (access, opens) = context.root_of_copy(&mut backup, here.as_mut())?;
        let mark = here.as_mut().map(file::mark);
        let both = here.as_mut().map(|vault| (vault, opens.as_ref()));
        let difference = file::difference(&mut backup, &access, both, context.now()).map_err(failed)?;
        if here.is_some() {
            for line in told(&difference) {
                context.ui.note(&line);
            }
            self.refuse_unseen_loss(&difference.loss, file, self.yes)?;
            confirm(context, self.yes, &format!("Replace {} with the backup?", path.display()))?;
        } else {
            self.refuse_unseen_loss(&difference.loss, file, true)?;
        }
        let path = match &here {
            Some(vault) => vault.path().to_owned(),
            None => keyvault_os::fs::vault_file::prepare_new(&path)
                .map_err(|fault| file_sentences::cannot_replace(VaultError::File(fault), &path))?,
        };
        let restored = context.with_world(|world| {
            let here = here.as_mut().zip(mark.as_ref());
            file::restore(&mut backup, &access, here, &difference, &path, world).map_err(
                |error| match error {
                    VaultError::Store(StoreError::Undecided(_)) => Failure::of(error, &path),
                    error => failed(error),
                },
            )
        })?;
        // A session of what was here may hold keys of another root.
        let ended = session::close(&backup.identity()).unwrap_or(false);
        answer(context, &restored, &difference, here.is_some())?;
        if ended {
            context.ui.note("The open session has ended. Open another with `keyvault unlock`.");
        }
        Ok(code::DONE)
    }
}

impl Restore {
    /// Where nobody is shown what a damaged backup lost, it takes no whole vault's place unless that was said.
    fn refuse_unseen_loss(&self, loss: &Loss, file: &Path, unseen: bool) -> Result<(), Failure> {
        if !unseen || self.drop_damaged || (loss.keys.is_empty() && loss.values.is_empty()) {
            return Ok(());
        }
        Err(Failure::damaged(
            &format!(
                "{} is damaged: {} and {} would be lost.",
                file.display(),
                view::counted(loss.keys.len(), "key"),
                view::counted(loss.values.len(), "value")
            ),
            Some(
                "The vault here was not changed. Restore another backup, or continue without them with `--drop-damaged`.",
            ),
        ))
    }
}

const OTHER_WAYS: &str = "The backup's slots apply: whatever opened the backup then opens the vault again, including an older passphrase.";

/// What would be superseded, a line each.
fn told(difference: &Difference) -> Vec<String> {
    let mut lines = told_of_states(difference);
    lines.extend(loss::told(&difference.loss));
    lines
}

fn told_of_states(difference: &Difference) -> Vec<String> {
    let Some(here) = difference.here else {
        return told_of_unread(difference);
    };
    let mut lines =
        vec![format!("The backup is at change {}; the vault here is at change {here}.", difference.backup)];
    lines.push(match usize::try_from(here.saturating_sub(difference.backup)) {
        Ok(0) | Err(_) => "Audit log entries made here since the backup would be superseded.".to_owned(),
        Ok(changes) => format!(
            "{} since the backup would be superseded, with their audit log entries and those of reads.",
            view::counted(changes, "change")
        ),
    });
    for (what, names) in [
        ("would be lost", &difference.lost),
        ("would return to an earlier state", &difference.older),
        ("would come back", &difference.back),
        ("stay revoked", &difference.revoked),
    ] {
        if !names.is_empty() {
            lines.push(format!("{} {what}: {}", names.len(), some(names)));
        }
    }
    if !difference.tokens.is_empty() {
        let names = view::joined(difference.tokens.iter());
        lines.push(format!("Tokens that would no longer open anything: {names}"));
    }
    lines.extend(spent_tokens(difference));
    if difference.rekeyed {
        lines.push(
            "The vault here was rekeyed since the backup. The backup's root key would apply again, also for anyone else who has it."
                .to_owned(),
        );
    }
    if difference.other_slots {
        lines.push(OTHER_WAYS.to_owned());
    }
    lines
}

/// Of a vault that is damaged, or that was rekeyed since and is locked.
fn told_of_unread(difference: &Difference) -> Vec<String> {
    let why = if difference.locked {
        "does not open with what opens the backup"
    } else {
        "cannot be read completely"
    };
    let mut lines = vec![
        format!(
            "The backup is at change {}; the vault here {why}, so it is unknown what would be lost.",
            difference.backup
        ),
        "Everything revoked since the backup would be valid again, except what is listed here. Check every key."
            .to_owned(),
    ];
    if difference.locked {
        lines.push(
            "If it was rekeyed and has another passphrase, first run `keyvault unlock` with that one: then what was revoked stays revoked."
                .to_owned(),
        );
    }
    if !difference.revoked.is_empty() {
        lines.push(format!("{} stay revoked: {}", difference.revoked.len(), some(&difference.revoked)));
    }
    lines.extend(spent_tokens(difference));
    lines.push(OTHER_WAYS.to_owned());
    lines
}

fn spent_tokens(difference: &Difference) -> Option<String> {
    let names = &difference.revoked_tokens;
    (!names.is_empty())
        .then(|| format!("Tokens in the backup that no longer open anything: {}", view::joined(names.iter())))
}

fn some(names: &[KeyName]) -> String {
    const SHOWN: usize = 10;
    let shown = view::joined(names.iter().take(SHOWN));
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}

fn answer(
    context: &Context,
    restored: &Restored,
    difference: &Difference,
    asked: bool,
) -> Result<(), Failure> {
    let path = restored.path.display();
    if context.ui.json {
        context.ui.print_json(&serde_json::json!({
            "vault": path.to_string(), "found": restored.found, "superseded": restored.superseded,
            "change": restored.now, "lost": names(&difference.lost), "older": names(&difference.older),
            "back": names(&difference.back), "revoked": names(&difference.revoked),
            "compared": difference.here.is_some(), "rekeyed": difference.rekeyed, "other_slots": difference.other_slots,
            "tokens": difference.tokens.iter().map(TokenName::as_str).collect::<Vec<_>>(),
            "lost_to_damage": loss::json(&restored.loss),
            "revoked_tokens": difference.revoked_tokens.iter().map(TokenName::as_str).collect::<Vec<_>>(),
        }))?;
    } else {
        context.ui.note(&format!(
            "Restored {path} from the backup at change {}. It is now at change {}.",
            restored.found, restored.now
        ));
        for line in loss::told(&restored.loss) {
            context.ui.warn(&line);
        }
        // There was no vault to tell it before.
        if let Some(seen) = restored.superseded.filter(|seen| !asked && *seen > restored.found) {
            context.ui.note(&format!(
                "This machine had seen change {seen}: later changes are missing, and what was revoked since is valid \
                 again. Check every key."
            ));
        }
    }
    Ok(())
}

fn names(names: &[KeyName]) -> Vec<&str> {
    names.iter().map(KeyName::as_str).collect()
}

fn adopt(context: &Context) -> Result<u8, Failure> {
    let (mut vault, access) = context.open_with_root()?;
    let path = vault.path().to_owned();
    let adopted = context.with_world(|world| {
        file::adopt(&mut vault, &access, world).map_err(|error| Failure::of(error, &path))
    })?;
    if context.ui.json {
        let adopted = adopted.map(|adopted| {
            serde_json::json!({
                "found": adopted.found, "superseded": adopted.superseded, "change": adopted.now,
            })
        });
        context.ui.print_json(&serde_json::json!({ "adopted": adopted }))?;
    } else {
        context.ui.note(&match adopted {
            None => "There is no alarm. Nothing was changed.".to_owned(),
            Some(adopted) => format!(
                "Accepted change {} of {}. It supersedes change {}, which this machine had seen, and is now change {}.\n\
                 Keys that were created, rotated or revoked in between are back in their earlier state. Check them.\n\
                 So are slots and tokens: what was removed in between opens the vault again\n\
                 (`keyvault vault slot list`, `keyvault token list`).",
                adopted.found,
                path.display(),
                adopted.superseded,
                adopted.now
            ),
        });
    }
    Ok(code::DONE)
}
