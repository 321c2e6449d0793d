//! `keyvault vault restore`

use std::path::{Path, PathBuf};

use clap::Args;

use super::confirm;
use crate::cli::context::Context;
use crate::cli::error::{Failure, code};
use crate::cli::{file_sentences, view};
use crate::name::{KeyName, TokenName};
use crate::store::StoreError;
use crate::sys::files::FileFault;
use crate::unlock::session;
use crate::vault::{Difference, Restored, Vault, VaultError};

/// Put a backup in the vault's place, or accept a vault that a sync or a snapshot put back.
///
/// With FILE it says what would be superseded and asks first, and ends the open session. --adopt asks nothing and lists
/// nothing: the file counts as it lies. Both need the passphrase or a key file of the file that is to count, and give it
/// a number above all that was seen here. Its ways in and its log count as well: what was taken away since is in force
/// again, and what was logged since is superseded; one entry more says so. After --adopt, tokens and versions that were
/// revoked since are good again too; a restore keeps them revoked. Other machines that saw the superseded state raise an
/// alarm until they accept it with --adopt.
#[derive(Debug, Args)]
pub struct Restore {
    /// The backup
    #[arg(required_unless_present = "adopt")]
    file: Option<PathBuf>,
    /// Accept the file where it lies, at once
    #[arg(long, conflicts_with = "file")]
    adopt: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
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
            backup.refuse_other(vault).map_err(failed)?;
        }
        let (access, opens) = context.root_of_copy(&mut backup, here.as_mut())?;
        let mark = here.as_mut().map(Vault::mark);
        let both = here.as_mut().map(|vault| (vault, opens.as_ref()));
        let difference = backup.difference(&access, both, context.now()).map_err(failed)?;
        if here.is_some() {
            for line in told(&difference) {
                context.ui.note(&line);
            }
            confirm(context, self.yes, &format!("Put the backup in the place of {}?", path.display()))?;
        }
        let path = match &here {
            Some(vault) => vault.path().to_owned(),
            None => crate::sys::files::prepare_new(&path)
                .map_err(|fault| file_sentences::cannot_replace(VaultError::File(fault), &path))?,
        };
        let restored = context.with_world(|world| {
            let here = here.as_mut().zip(mark.as_ref());
            backup.restore(&access, here, &difference, &path, world).map_err(|error| match error {
                VaultError::Store(StoreError::Undecided(_)) => Failure::of(error, &path),
                error => failed(error),
            })
        })?;
        // A session of what was here may hold keys of another root.
        let ended = session::close(&backup.identity()).unwrap_or(false);
        answer(context, &restored, &difference, here.is_some())?;
        if ended {
            context.ui.note("The session that was open has ended; 'keyvault unlock' opens another.");
        }
        Ok(code::DONE)
    }
}

const OTHER_WAYS: &str =
    "Other ways in: what opened the backup then opens it again, an older passphrase too.";

/// What would be superseded, a line each.
fn told(difference: &Difference) -> Vec<String> {
    let Some(here) = difference.here else {
        return told_of_unread(difference);
    };
    let mut lines =
        vec![format!("The backup is of change {}; the vault here is at change {here}.", difference.backup)];
    lines.push(match usize::try_from(here.saturating_sub(difference.backup)) {
        Ok(0) | Err(_) => "What was logged here and not in the backup would be superseded.".to_owned(),
        Ok(changes) => format!(
            "{} since would be superseded, with what was logged of them and of reads.",
            view::counted(changes, "change")
        ),
    });
    for (what, names) in [
        ("would be gone", &difference.lost),
        ("would be as they were", &difference.older),
        ("would be back", &difference.back),
        ("stay revoked", &difference.revoked),
    ] {
        if !names.is_empty() {
            lines.push(format!("{} {what}: {}", names.len(), some(names)));
        }
    }
    if !difference.tokens.is_empty() {
        let names = view::joined(difference.tokens.iter());
        lines.push(format!("Tokens that would open nothing any more: {names}"));
    }
    lines.extend(spent_tokens(difference));
    if difference.rekeyed {
        lines.push(
            "The vault here was rekeyed since: the backup's root counts again, for whoever else has it."
                .to_owned(),
        );
    }
    if difference.other_ways {
        lines.push(OTHER_WAYS.to_owned());
    }
    lines
}

/// Of a vault that is damaged, or that was rekeyed since and is locked.
fn told_of_unread(difference: &Difference) -> Vec<String> {
    let why =
        if difference.locked { "does not open with what opens the backup" } else { "cannot be read whole" };
    let mut lines = vec![
        format!(
            "The backup is of change {}; the vault here {why}, so what would be gone is not known.",
            difference.backup
        ),
        "What was revoked since then is good again, but for what is named here: look at every key."
            .to_owned(),
    ];
    if difference.locked {
        lines.push(
            "If it was rekeyed and has another passphrase: after 'keyvault unlock' with that, what was revoked stays so."
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
        .then(|| format!("Tokens of the backup that open nothing any more: {}", view::joined(names.iter())))
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
            "compared": difference.here.is_some(), "rekeyed": difference.rekeyed, "other_ways": difference.other_ways,
            "tokens": difference.tokens.iter().map(TokenName::as_str).collect::<Vec<_>>(),
            "revoked_tokens": difference.revoked_tokens.iter().map(TokenName::as_str).collect::<Vec<_>>(),
        }))?;
    } else {
        context.ui.note(&format!(
            "Restored {path} from the backup of change {}; it is now change {}.",
            restored.found, restored.now
        ));
        // There was no vault to tell it before.
        if let Some(seen) = restored.superseded.filter(|seen| !asked && *seen > restored.found) {
            context.ui.note(&format!(
                "Change {seen} was seen here: what was changed since is missing, and what was revoked since is good \
                 again. Look at every key."
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
    let adopted =
        context.with_world(|world| vault.adopt(&access, world).map_err(|error| Failure::of(error, &path)))?;
    if context.ui.json {
        let adopted = adopted.map(|adopted| {
            serde_json::json!({
                "found": adopted.found, "superseded": adopted.superseded, "change": adopted.now,
            })
        });
        context.ui.print_json(&serde_json::json!({ "adopted": adopted }))?;
    } else {
        context.ui.note(&match adopted {
            None => "There is no alarm; nothing was changed.".to_owned(),
            Some(adopted) => format!(
                "Accepted change {} of {}. It supersedes change {} that was seen here and is now change {}.\n\
                 Keys that were made, rotated or revoked in between are as they were before; look at them.\n\
                 So are ways in and tokens: what was taken away in between opens it again \
                 ('keyvault vault slot list', 'keyvault token list').",
                adopted.found,
                path.display(),
                adopted.superseded,
                adopted.now
            ),
        });
    }
    Ok(code::DONE)
}
