//! `keyvault vault restore`

use std::path::{Path, PathBuf};

use clap::Args;

use super::recover::code_of_file;
use super::{Consent, accept_loss, confirm, restore_only};
use crate::cli::args::named;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::errors::vault_file;
use crate::cli::errors::{Failure, code};
use crate::cli::output::loss::{self, Tense};
use crate::cli::output::view;
use crate::cli::unlock::{OpenedCopy, Presented};
use keyvault_core::name::{KeyName, TokenName};
use keyvault_os::fs::vault_file::FileFault;
use keyvault_vault::StoreError;
use keyvault_vault::unlock::passphrase::Passphrase;
use keyvault_vault::unlock::recovery::RecoveryCode;
use keyvault_vault::unlock::session;
use keyvault_vault::{Difference, Opens, Restored, RootAfter, VaultError, file};

/// Replace the vault with a backup, or accept a vault that a sync or a snapshot put back.
///
/// With FILE, shows what would be superseded, asks, and ends the open session. --adopt accepts the vault's file as it is
/// and asks nothing. Both need the passphrase or a key file of the copy that is to apply, and give it a number above every
/// change this machine has seen. Its slots and its audit log apply as well: slots removed since work again, and later audit
/// log entries are superseded, which one more entry records. After --adopt, tokens and versions that were revoked since are
/// valid again; a restore keeps them revoked. Other machines that saw the superseded state raise an alarm until they accept
/// the new one with --adopt.
///
/// A backup from before a rekey does not undo the rekey: its keys are sealed again under the vault's present root key, and the
/// vault keeps its slots. Give the vault's passphrase as usual and the backup's with --backup-passphrase-file, if it is
/// another one; on a terminal, you are asked for both. Without the vault's, a new root key takes its place, which only the
/// backup's passphrase, key file, or recovery code opens. All tokens end.
///
/// A damaged backup is restored without its damaged rows. What is lost is listed first; with --yes, --drop-damaged has to
/// accept it.
///
/// With FILE and --only, the vault stays, and takes single keys over from another copy of it in one change: a key that only
/// FILE has is added; of a key that both have, the versions that are missing here, in the state that they have there. A
/// version that is current there becomes current here, with the key's expiry and recipe; the one before is retired. Names,
/// variables, scopes, tags, and notes stay as they are here. What is revoked in either copy stays revoked. Shows what it
/// would do, and asks. `keyvault vault diff FILE` shows what differs.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The backup, or another copy of the vault
    #[arg(required_unless_present_any = ["adopt", "only"])]
    file: Option<PathBuf>,
    /// Accept the vault's file as it is, at once
    #[arg(long, conflicts_with = "file")]
    adopt: bool,
    /// Take over this key and keep everything else as it is here
    #[arg(long, value_name = "NAME", num_args = 1.., conflicts_with_all = ["adopt", "drop_damaged"], add = complete::more_keys(), value_parser = named::<KeyName>)]
    only: Vec<KeyName>,
    /// Read the backup's passphrase from a file, if it is not the vault's
    #[arg(long, value_name = "FILE", conflicts_with_all = ["adopt", "only"])]
    backup_passphrase_file: Option<PathBuf>,
    /// Open the backup with its recovery code, from a file, or - for stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["adopt", "only", "backup_passphrase_file"])]
    backup_code_file: Option<PathBuf>,
    /// Continue above change N, the highest that a gateway has seen, if the vault here is lost or unreadable
    #[arg(long, value_name = "N", conflicts_with_all = ["adopt", "only"], value_parser = clap::value_parser!(u64).range(..=HIGHEST_ABOVE))]
    above: Option<u64>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Continue without damaged keys, values, and audit log entries
    #[arg(long, conflicts_with = "adopt")]
    drop_damaged: bool,
}

/// Half of the numbers that changes have, so that many are left.
const HIGHEST_ABOVE: u64 = 1 << 61;

impl Restore {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        match &self.file {
            Some(file) if self.only.is_empty() => self.take(context, file),
            Some(file) => restore_only::run(context, file, &self.only.iter().cloned().collect(), self.yes),
            // Names that follow `--only` take the file's name as one of them.
            None if !self.only.is_empty() => Err(Failure::usage(
                "`--only` takes keys over from another file, and none is named.",
                Some("Name it first: keyvault vault restore FILE --only NAME"),
            )),
            None => adopt(context),
        }
    }

    fn take(&self, context: &Context, file: &Path) -> Result<u8, Failure> {
        let failed = |error: VaultError| vault_file::backup(error, file);
        let mut backup = context.open_damaged_at(file, file::open_to_copy, |error| match error {
            VaultError::File(FileFault::NotFound { .. }) => {
                Failure::io(file, &std::io::ErrorKind::NotFound.into())
            }
            error => failed(error),
        })?;
        let path = context.vault_path()?;
        let cannot_replace = |error| vault_file::cannot_replace(error, &path);
        let mut here = match context.open_damaged_at(&path, file::open_to_recover, cannot_replace) {
            Err(failure) if failure.kind == "no_vault" => None,
            opened => Some(opened?),
        };
        if let Some(vault) = &mut here {
            file::refuse_itself(&backup, vault).map_err(failed)?;
            file::introduce(&mut backup, vault);
        }
        let of_another = here.as_ref().is_some_and(|vault| file::refuse_other(&backup, vault).is_err());
        let own = self.backups_own(context)?;
        let before_rekey =
            here.as_ref().is_some_and(|vault| vault.identity().epoch > backup.identity().epoch);
        let needs_own = before_rekey && own.is_none();
        let opened = context.root_of_copy(&mut backup, here.as_mut(), own);
        let OpenedCopy { access, mut present, by } = opened.map_err(|failure| match failure.code {
            code::LOCKED if of_another => failed(VaultError::AnotherVault),
            code::LOCKED if needs_own => Failure { hint: Some(NEEDS_OWN.to_owned()), ..failure },
            _ => failure,
        })?;
        if let Some(vault) = &mut here {
            file::recognize(&backup, &access, vault).map_err(failed)?;
            file::refuse_other(&backup, vault).map_err(failed)?;
            context.tell_left_behind(vault);
        }
        context.tell_left_behind(&backup);
        let mark = here.as_mut().map(file::mark);
        let both = here.as_mut().map(|vault| (vault, present.as_ref()));
        let superseded = file::is_superseded(&mut backup, &access, &path, both).map_err(failed)?;
        if let Some(vault) = here.as_mut().filter(|_| superseded && present.is_none() && context.may_ask()) {
            present = context.root_if_known(vault)?;
        }
        let both = here.as_mut().map(|vault| (vault, present.as_ref()));
        let mut difference =
            file::difference(&mut backup, &access, both, &path, context.now()).map_err(failed)?;
        difference.above = self.above;
        let asks = !self.yes && context.may_ask();
        if here.is_some() && !self.yes {
            for line in told(&difference, &by, Tense::Ahead) {
                context.ui.say(&line);
            }
        }
        let consent = Consent::of(self.drop_damaged, asks);
        accept_loss(context, &difference.loss, consent, file, "Restore another backup")?;
        if here.is_some() {
            confirm(context, self.yes, &format!("Replace {} with the backup?", path.display()))?;
        } else if let Some(lost) = difference.loss.counted().filter(|_| !self.drop_damaged) {
            confirm(context, self.yes, &format!("Continue without {lost}?"))?;
        }
        let path = match &here {
            Some(vault) => vault.path().to_owned(),
            None => keyvault_os::fs::vault_file::prepare_new(&path)
                .map_err(|fault| vault_file::cannot_replace(VaultError::File(fault), &path))?,
        };
        let opens = match difference.sealing.root {
            RootAfter::Backup => None,
            RootAfter::Present | RootAfter::New => {
                Some(Opens { present: present.as_ref(), backup: by.credential() })
            }
        };
        let restored = context.with_world(|world| {
            let here = here.as_mut().zip(mark.as_ref());
            file::restore(&mut backup, &access, here, &difference, opens.as_ref(), &path, world).map_err(
                |error| match error {
                    VaultError::Store(StoreError::Undecided(_)) => Failure::of(error, &path),
                    error => failed(error),
                },
            )
        })?;
        // A session of what was here may hold keys of another root.
        let ended = session::close(&backup.identity()).unwrap_or(false);
        if here.is_some() && self.yes {
            confirm_all(context, &told(&difference, &by, Tense::Done))?;
        }
        if here.is_none() {
            confirm_all(context, &of_root(&difference, &by, Tense::Done))?;
            confirm_all(context, &above(&difference).into_iter().collect::<Vec<_>>())?;
        }
        answer(context, &restored, &difference, here.is_some())?;
        if difference.sealing.root == RootAfter::New {
            context.ui.note(match by {
                Presented::Recovery(_) => "Set a passphrase: keyvault vault recover",
                Presented::Passphrase(_) => "Set a new passphrase: keyvault vault passwd",
                Presented::KeyFile(_) => "Add a passphrase or a recovery code: keyvault vault slot add",
            });
        }
        if ended {
            context.ui.note("The open session has ended. Open another with `keyvault unlock`.");
        }
        Ok(code::DONE)
    }
}

impl Restore {
    /// The secret that opens the backup and not the vault, and the option that gave it.
    fn backups_own(&self, context: &Context) -> Result<Option<(Presented, String)>, Failure> {
        if let Some(file) = &self.backup_passphrase_file {
            let text = context.passphrase_file(file)?;
            let passphrase = Passphrase::new(&text).map_err(Failure::passphrase)?;
            let source = format!("--backup-passphrase-file {}", file.display());
            return Ok(Some((Presented::Passphrase(passphrase), source)));
        }
        let Some(file) = &self.backup_code_file else { return Ok(None) };
        let code = RecoveryCode::parse(code_of_file(context, file)?.expose());
        let code = code.map_err(|error| Failure::of(VaultError::Unlock(error), file))?;
        Ok(Some((Presented::Recovery(code), format!("--backup-code-file {}", file.display()))))
    }
}

fn confirm_all(context: &Context, lines: &[String]) -> Result<(), Failure> {
    lines.iter().try_for_each(|line| context.ui.confirm(line))
}

/// Changes that the backup supersedes, a line each.
fn told(difference: &Difference, by: &Presented, tense: Tense) -> Vec<String> {
    let Some(here) = difference.here else {
        return told_of_unread(difference, by, tense);
    };
    let mut lines = vec![format!(
        "The backup is at change {}; the vault here {} at change {here}.",
        difference.backup,
        tense.pick("is", "was")
    )];
    lines.push(match usize::try_from(here.saturating_sub(difference.backup)) {
        Ok(0) | Err(_) => format!(
            "Audit log entries made here since the backup {} superseded.",
            tense.pick("would be", "were")
        ),
        Ok(1) => format!(
            "1 change since the backup {} superseded, with its audit log entry and those of reads.",
            tense.pick("would be", "was")
        ),
        Ok(changes) => format!(
            "{} since the backup {} superseded, with their audit log entries and those of reads.",
            view::counted(changes, "change"),
            tense.pick("would be", "were")
        ),
    });
    for (one, many, names) in [
        (tense.pick("would be lost", "was lost"), tense.pick("would be lost", "were lost"), &difference.lost),
        (
            tense.pick("would return to an earlier state", "returned to an earlier state"),
            tense.pick("would return to an earlier state", "returned to an earlier state"),
            &difference.older,
        ),
        (
            tense.pick("would come back", "came back"),
            tense.pick("would come back", "came back"),
            &difference.back,
        ),
        ("stays revoked", "stay revoked", &difference.revoked),
    ] {
        if !names.is_empty() {
            lines.push(of_keys(names, one, many));
        }
    }
    lines.extend(wiped(difference, tense));
    lines.extend(unread_sets(difference, tense));
    if !difference.tokens.is_empty() {
        let names = view::joined(difference.tokens.iter());
        lines.push(format!(
            "Tokens that {} open anything: {names}",
            tense.pick("would no longer", "no longer")
        ));
    }
    lines.extend(spent_tokens(difference));
    lines.extend(of_root(difference, by, tense));
    if difference.other_slots {
        lines.push(OTHER_WAYS.to_owned());
    }
    lines
}

/// The root that a backup of before a rekey is sealed under.
fn of_root(difference: &Difference, by: &Presented, tense: Tense) -> Vec<String> {
    let why = if difference.sealing.older_epoch {
        "The backup is from before the last rekey. Its"
    } else {
        "The backup and the vault here were rekeyed apart. The backup's"
    };
    let sealed = tense.pick("would be sealed", "were sealed");
    match difference.sealing.root {
        RootAfter::Backup => Vec::new(),
        RootAfter::Present => vec![format!(
            "{why} keys {sealed} again under the vault's present root key, and the vault keeps its slots."
        )],
        RootAfter::New => {
            let opens = tense.pick("would open", "opens");
            let by = by.name();
            vec![format!(
                "{why} keys {sealed} again under a new root key, and only the {by} of the backup {opens} the vault."
            )]
        }
    }
}

fn of_keys(names: &[KeyName], one: &str, many: &str) -> String {
    let verb = if names.len() == 1 { one } else { many };
    format!("{} {verb}: {}", view::counted(names.len(), "key"), some(names))
}

const OTHER_WAYS: &str = "The backup's slots apply: whatever opened the backup then opens the vault again, including an older passphrase.";

const NEEDS_OWN: &str = "The backup is from before a rekey. Give its own passphrase with `--backup-passphrase-file FILE`, or its recovery code with `--backup-code-file FILE`.";

/// Of a vault that is damaged, or that was rekeyed since and is locked.
fn told_of_unread(difference: &Difference, by: &Presented, tense: Tense) -> Vec<String> {
    let why = if difference.locked {
        tense.pick("does not open with what opens the backup", "did not open with what opens the backup")
    } else {
        tense.pick("cannot be read completely", "could not be read completely")
    };
    let mut lines = vec![
        format!(
            "The backup is at change {}; the vault here {why}, so it is unknown what {} lost.",
            difference.backup,
            tense.pick("would be", "was")
        ),
        format!(
            "Everything revoked since the backup {} valid again, except what is listed here. Check every key.",
            tense.pick("would be", "is")
        ),
    ];
    if difference.locked && difference.sealing.root == RootAfter::New && tense == Tense::Ahead {
        lines.push(
            "To keep what was revoked and the vault's slots, give the vault's passphrase as usual, and the backup's with `--backup-passphrase-file FILE`."
                .to_owned(),
        );
    }
    let damaged: Vec<_> = [(difference.unread.keys, "key"), (difference.unread.tokens, "token")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| view::counted(count, what))
        .collect();
    if !damaged.is_empty() {
        lines.push(format!("Damaged in the vault here: {}.", damaged.join(", ")));
    }
    lines.extend(wiped(difference, tense));
    lines.extend(unread_sets(difference, tense));
    if !difference.revoked.is_empty() {
        lines.push(of_keys(&difference.revoked, "stays revoked", "stay revoked"));
    }
    lines.extend(spent_tokens(difference));
    lines.extend(of_root(difference, by, tense));
    if difference.sealing.root == RootAfter::Backup {
        lines.push(OTHER_WAYS.to_owned());
    }
    lines
}

/// Values that were destroyed on purpose, and that the backup still has.
fn wiped(difference: &Difference, tense: Tense) -> Option<String> {
    let names = &difference.wiped;
    let back = tense.pick("would come back", "came back");
    let were = if names.len() == 1 { "was" } else { "were" };
    let line = || {
        let keys = view::counted(names.len(), "key");
        format!("{keys} {back} that {were} wiped after the backup was made: {}", some(names))
    };
    (!names.is_empty()).then(line)
}

/// Refusals of issued keys that the vault here cannot tell, and the way past numbers that gateways may have seen.
fn unread_sets(difference: &Difference, tense: Tense) -> Vec<String> {
    let unread = &difference.unread;
    let why = if !difference.has_sets {
        return Vec::new();
    } else if unread.set_list {
        "The list of issued keys here is damaged or missing".to_owned()
    } else if unread.sets > 0 {
        let are = if unread.sets == 1 { "is" } else { "are" };
        format!("{} here {are} damaged or missing", file::counted_sets(unread.sets))
    } else if difference.locked {
        "The issued keys here cannot be read".to_owned()
    } else {
        return Vec::new();
    };
    let are = tense.pick("would be", "are");
    let mut lines =
        vec![format!("{why}: issued keys that were revoked or held since the backup {are} valid again.")];
    lines.extend(above(difference));
    lines
}

/// The way past numbers of sets that gateways may have seen.
fn above(difference: &Difference) -> Option<String> {
    (difference.has_sets && difference.above.is_none()).then(|| ABOVE.to_owned())
}

const ABOVE: &str = "To continue above the highest change N that a gateway has seen, add `--above N`: a gateway refuses older sets of issued keys.";

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
            "back": names(&difference.back), "wiped": names(&difference.wiped), "revoked": names(&difference.revoked),
            "unread": {
                "keys": difference.unread.keys, "tokens": difference.unread.tokens,
                "set_list": difference.unread.set_list, "sets": difference.unread.sets,
            },
            "compared": difference.here.is_some(), "other_slots": difference.other_slots,
            "epoch": restored.epoch, "root": root_word(difference.sealing.root),
            "tokens": difference.tokens.iter().map(TokenName::as_str).collect::<Vec<_>>(),
            "lost_to_damage": loss::json(&restored.loss),
            "revoked_tokens": difference.revoked_tokens.iter().map(TokenName::as_str).collect::<Vec<_>>(),
        }))?;
    } else {
        context.ui.confirm(&format!(
            "Restored {path} from the backup at change {}. It is now at change {}.",
            restored.found, restored.now
        ))?;
        if restored.loss != difference.loss {
            for line in loss::told(&restored.loss, Tense::Done) {
                context.ui.warn(&line);
            }
        }
        // There was no vault to tell it before.
        if let Some(seen) = restored.superseded.filter(|seen| !asked && *seen > restored.found) {
            context.ui.say(&format!(
                "This machine had seen change {seen}: later changes are missing, and what was revoked since is valid \
                 again. Check every key."
            ));
        }
    }
    Ok(())
}

fn root_word(root: RootAfter) -> &'static str {
    match root {
        RootAfter::Backup => "backup",
        RootAfter::Present => "present",
        RootAfter::New => "new",
    }
}

fn names(names: &[KeyName]) -> Vec<&str> {
    names.iter().map(KeyName::as_str).collect()
}

fn adopt(context: &Context) -> Result<u8, Failure> {
    let (mut vault, access) = context.open_with_root()?;
    let path = vault.path().to_owned();
    let adopted = context.with_world(|world| Ok(file::adopt(&mut vault, &access, world)))?;
    let adopted = adopted.map_err(|error| {
        let failure = Failure::of(error, &path);
        let is_damage = failure.code == code::DAMAGED && failure.kind != "alarm";
        if is_damage && file::alarms_despite_damage(&mut vault, &access) {
            vault_file::beyond_adopting(failure)
        } else {
            failure
        }
    })?;
    if context.ui.json {
        let adopted = adopted.map(|adopted| {
            serde_json::json!({
                "found": adopted.found, "superseded": adopted.superseded, "change": adopted.now,
            })
        });
        context.ui.print_json(&serde_json::json!({ "adopted": adopted }))?;
    } else {
        match adopted {
            None => context.ui.confirm("There is no alarm. Nothing was changed.")?,
            // With `--quiet` too: someone who does not check the keys may lose by it.
            Some(adopted) => context.ui.line(&format!(
                "Accepted change {} of {}. It supersedes change {}, which this machine had seen, and is now change {}.\n\
                 Keys that were created, rotated or revoked in between are back in their earlier state. Check them.\n\
                 So are slots and tokens: what was removed in between opens the vault again\n\
                 (`keyvault vault slot list`, `keyvault token list`).",
                adopted.found,
                path.display(),
                adopted.superseded,
                adopted.now
            ))?,
        }
    }
    Ok(code::DONE)
}
