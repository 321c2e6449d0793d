//! Remedies for errors of a vault and of requests to it.

use std::fmt::Display;
use std::path::Path;

use keyvault_core::name::{KeyName, NameError};
use keyvault_vault::audit::AuditError;
use keyvault_vault::state::StateError;
use keyvault_vault::unlock::UnlockError;
use keyvault_vault::unlock::slot::SlotKind;
use keyvault_vault::{VaultError, hides_its_name};

pub(in crate::cli) use keyvault_core::text::{list, looks_like_a_value};

use super::issued::issued;
use super::remedy::{Remedy, busy, changed, damaged, failed, not_found, refused, usage, wrong_credential};
use super::token::token;
use super::vault_file::{alarm, altered, altered_file, exists, file, store};
use super::{Failure, HOW_TO_OPEN_AS_OWNER, PASSPHRASE_FORM, code, recipe};

/// Said behind the remedy where it may be the session's keys that are not the vault's.
pub(in crate::cli) const IF_REKEYED: &str =
    "\nIf it was rekeyed on another machine, end the session of its old keys: keyvault lock";

const SLOTS: &str = "Run `keyvault vault slot list` to see the slots.";

impl Failure {
    /// An error of the vault at `path`.
    #[allow(clippy::too_many_lines, reason = "one arm for each error, as flat as a table")]
    pub(in crate::cli) fn of(error: VaultError, path: &Path) -> Self {
        let remedy = match &error {
            VaultError::File(fault) => return file(fault),
            VaultError::Store(error)
            | VaultError::Audit(AuditError::Store(error))
            | VaultError::State(StateError::Store(error) | StateError::Audit(AuditError::Store(error))) => {
                return store(error, path);
            }
            VaultError::Rng(_)
            | VaultError::State(StateError::Audit(AuditError::Rng(_)))
            | VaultError::Audit(AuditError::Rng(_)) => rng(),
            VaultError::State(StateError::Record) => {
                let mut failure = altered(path).after(&error.about(&path.display()));
                failure.hint.get_or_insert_default().push_str(IF_REKEYED);
                return failure;
            }
            VaultError::State(StateError::Newer { .. }) => failed("Use that version or a newer one."),
            VaultError::State(_) | VaultError::Audit(_) => altered(path),
            VaultError::Unlock(error) => unlock(error),
            VaultError::Alarm { standing, path, .. } => alarm(*standing, path),
            VaultError::NeedsRoot => Remedy::new(code::LOCKED, "locked", HOW_TO_OPEN_AS_OWNER),
            VaultError::DamagedNeedsRoot(_) => return mend_needs_root(error, path),
            VaultError::WouldDrop(_) => damaged(
                "Nothing was changed. `keyvault vault rekey` lists what is damaged, and keeps everything else;\n\
                 `keyvault revoke` does not wait for that.",
            ),
            VaultError::NoSuchSlot { .. } | VaultError::NoStrays => not_found(SLOTS),
            VaultError::LastSlot { .. } => refused("Add another first: keyvault vault slot add keyfile FILE"),
            VaultError::TooManySlots => refused("Remove one with `keyvault vault slot remove NUMBER`."),
            VaultError::SlotsChanged => changed("Check `keyvault vault slot list`, and try again."),
            VaultError::Rekeyed => changed("Run the command again."),
            VaultError::Changed => changed("Run the command again, and check what it would supersede."),
            VaultError::Token(error) => token(error),
            VaultError::Issued(error) => issued(error),
            VaultError::AnotherKey(_) => changed("Check the key, and run the command again."),
            VaultError::BackupDamaged(_) => damaged("The vault here was not changed. Use another backup."),
            VaultError::HeaderDamaged => altered_file(path),
            VaultError::BackupOfItself => {
                refused("To accept a file that a sync or a snapshot put back: keyvault vault restore --adopt")
            }
            VaultError::OwnName { .. } => refused("Choose another name or folder."),
            VaultError::FileExists { .. } => refused("Choose another name."),
            VaultError::AnotherVault => {
                refused("Nothing was changed. To restore it next to this vault, use `--vault PATH`.")
            }
            VaultError::VaultExists { .. } => exists(),
            VaultError::KeysExist(_) => refused(
                "Nothing was changed. Give a key a new value with `keyvault rotate`, or replace keys from a file with `keyvault import --on-conflict replace`.",
            ),
            VaultError::NameTaken(name) => refused(format!(
                "Nothing was changed. Give the one here another name first: keyvault edit {name} --rename NEW"
            )),
            VaultError::NoSuchKeys { missing, near, .. } if hides_its_name(missing, near.as_ref()) => {
                not_found(
                    "If it is a value, treat it as leaked. Give values at a prompt, or with `--stdin` or `--file`.",
                )
            }
            VaultError::NoSuchKeys { removed: Some((until, removed)), .. }
                if *until > crate::cli::output::time::now() =>
            {
                not_found(format!("`{removed}` was removed. To bring it back: keyvault undelete {removed}"))
            }
            VaultError::NotRemoved { near, removed, .. } => not_found(match removed.len() {
                0 => "No removed keys are kept.".to_owned(),
                1..=5 if near.is_none() => format!("Removed keys: {}.", list(removed)),
                _ => did_you_mean(near.as_ref(), "Run `keyvault list --removed` to see all removed keys."),
            }),
            VaultError::RemovalOver(name) => refused(format!(
                "Later changes destroy its values. To destroy them now: keyvault remove --wipe --removed {name}"
            )),
            VaultError::NameInUse { removed, .. } => refused(format!(
                "Nothing was changed. Bring the removed key back under another name: keyvault undelete {removed} --as NEW"
            )),
            VaultError::RemovedHere(name) => {
                refused(format!("Nothing was changed. Bring it back first: keyvault undelete {name}"))
            }
            VaultError::NoSuchKeys { near, .. } => {
                not_found(did_you_mean(near.as_ref(), "Run `keyvault list` to see all keys."))
            }
            VaultError::NeedValues(_) => usage(
                "Nothing was changed. Rotate them one at a time with `keyvault rotate NAME`, which prompts for the value.",
            ),
            VaultError::NoSuchScope { near, .. } => {
                not_found(did_you_mean(near.as_ref(), "Run `keyvault list` to see keys and their scopes."))
            }
            VaultError::NoSuchVersion { name, .. } => not_found(see_versions(name)),
            VaultError::VersionRefused { name, version, state } => refused(match *state {
                "retired" => {
                    format!("Make it current again with `keyvault rollback {name} --to {version}`.")
                }
                "revoked" => "A revoked version cannot come back.".to_owned(),
                "wiped" => "Only its fingerprint is kept.".to_owned(),
                _ => see_versions(name),
            }),
            VaultError::NoLifetime { .. } => {
                usage("Nothing was changed. Set an expiry: `--expires 90d`, or `--expires never`.")
            }
            VaultError::NothingToRollBack { name, revoked: true } => refused(format!(
                "A revoked version cannot come back. Give the key a new value: keyvault rotate {name}"
            )),
            VaultError::NothingToRollBack { name, .. } => refused(see_versions(name)),
            VaultError::NotReadable { name, status } => refused(match *status {
                "expired" => format!("Extend it with `keyvault edit {name} --expires 30d`."),
                "disabled" => format!("Enable it with `keyvault enable {name}`."),
                _ => format!("Give it a new value with `keyvault rotate {name}`."),
            }),
            VaultError::NoVariable { why: NameError::Grammar, .. } => usage("Name one with `--env VAR`."),
            VaultError::NoVariable { .. } => usage("Name another with `--env VAR`."),
            VaultError::Recipe(error) => recipe(*error),
            VaultError::ValueTooLong { .. } => refused(
                "Nothing was changed. Keep the large file elsewhere, encrypted, and its encryption key here.",
            ),
            VaultError::ReadsNotWritten { source, .. }
                if source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                failed(
                    "Nothing was released. Check its owner and mode with `ls -l`, or set KEYVAULT_READS to another file.",
                )
            }
            VaultError::ReadsNotWritten { .. } => {
                failed("Nothing was released. Set KEYVAULT_READS to another file.")
            }
            VaultError::ReadsInNoFile { .. } => failed(
                "Nothing was released. Set KEYVAULT_READS to a new file, or to one that keyvault wrote.",
            ),
            VaultError::ReadsBusy(_) => busy(
                "Nothing was released, because each read is recorded there. Set KEYVAULT_READS to another file.",
            ),
            VaultError::Io { path, source } => return Self::io(path, source),
        };
        remedy.after(&error.about(&path.display()))
    }
}

/// A session is refused an urgent change of a damaged vault: its keys are not enough to rewrite the vault.
pub(in crate::cli) fn mend_needs_root(error: VaultError, path: &Path) -> Failure {
    let error = if let VaultError::DamagedNeedsRoot(error) = error { *error } else { error };
    let hint = format!(
        "Nothing was changed. A session cannot repair the vault; this command can, with the passphrase or a key file.\n\
         {HOW_TO_OPEN_AS_OWNER}"
    );
    Failure { hint: Some(hint), ..Failure::of(error, path) }
}

pub(super) fn rng() -> Remedy {
    failed("Nothing was done.")
}

fn see_versions(name: &KeyName) -> String {
    format!("Run `keyvault history {name}` to see its versions.")
}

fn unlock(error: &UnlockError) -> Remedy {
    match error {
        UnlockError::Wrong(SlotKind::Recovery) => {
            wrong_credential("A code that was used or replaced no longer opens anything.")
        }
        UnlockError::Wrong(SlotKind::Keyring) => {
            wrong_credential("Add one that does with `keyvault vault slot add keyring`.")
        }
        UnlockError::Wrong(SlotKind::Passphrase(())) => wrong_credential(
            "If it is lost, or its slot is damaged, set a new one with the recovery code: keyvault vault recover",
        ),
        UnlockError::NoSuchSlot(SlotKind::Passphrase(())) => wrong_credential(
            "Set KEYVAULT_KEY_FILE to a key file that opens it, or set a passphrase with `keyvault vault recover`.",
        ),
        UnlockError::Wrong(SlotKind::KeyFile) | UnlockError::NoSuchSlot(_) => wrong_credential(SLOTS),
        UnlockError::NotACode => {
            wrong_credential("0 and O are the same, as are 1, I and L. The last group is a checksum.")
        }
        UnlockError::NotAKeyFile => {
            wrong_credential("Create one with `keyvault vault slot add keyfile FILE`.")
        }
        UnlockError::NotAToken => {
            wrong_credential("Create one with `keyvault token create NAME --scope SCOPE`.")
        }
        UnlockError::Passphrase(_) => usage(PASSPHRASE_FORM),
        UnlockError::Kdf(_) => failed("Free some memory and try again."),
        UnlockError::Rng(_) => rng(),
    }
}

pub(in crate::cli) fn did_you_mean<T: Display>(near: Option<&T>, otherwise: &str) -> String {
    near.map_or_else(|| otherwise.to_owned(), |near| format!("Did you mean `{near}`? {otherwise}"))
}
