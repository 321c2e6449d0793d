//! The sentences for what goes wrong with a vault, its file and what was asked of it.

use std::fmt::Display;
use std::path::Path;

use keyvault_core::name::{KeyName, NameError};
use keyvault_vault::audit::AuditError;
use keyvault_vault::state::StateError;
use keyvault_vault::unlock::{Secret, UnlockError};
use keyvault_vault::{Loss, VaultError};

use super::file_sentences::{alarm, altered, altered_file, exists, file, store};
use super::token_sentences::{reads_busy, reads_not_written, token};
use super::{Failure, HOW_TO_OPEN_AS_OWNER, code};
use crate::cli::output::loss;

/// Said behind the remedy where it may be the session's keys that are not the vault's.
pub(in crate::cli) const IF_REKEYED: &str =
    "\nIf it was rekeyed on another machine, end the session of its old keys: keyvault lock";

impl Failure {
    /// An error of the vault at `path`.
    #[allow(clippy::too_many_lines, reason = "one arm for each error, as flat as a table")]
    pub(in crate::cli) fn of(error: VaultError, path: &Path) -> Self {
        match error {
            VaultError::File(fault) => file(&fault),
            VaultError::Store(error) | VaultError::Audit(AuditError::Store(error)) => store(&error, path),
            VaultError::State(StateError::Store(error) | StateError::Audit(AuditError::Store(error))) => {
                store(&error, path)
            }
            VaultError::Rng(_)
            | VaultError::State(StateError::Audit(AuditError::Rng(_)))
            | VaultError::Audit(AuditError::Rng(_)) => rng(),
            VaultError::State(StateError::Audit(error)) | VaultError::Audit(error) => {
                altered(&format!("the audit log: {error}"), path)
            }
            VaultError::State(error @ StateError::Record) => {
                let mut failure = altered(&error.to_string(), path);
                failure.hint.get_or_insert_default().push_str(IF_REKEYED);
                failure
            }
            VaultError::State(error @ StateError::Newer { .. }) => newer(&error, path),
            VaultError::State(error) => altered(&error.to_string(), path),
            VaultError::Unlock(error) => unlock(&error),
            VaultError::Alarm { standing, found, pinned, path } => alarm(standing, found, pinned, &path),
            VaultError::NeedsRoot => Self::new(
                code::LOCKED,
                "locked",
                "This needs the passphrase or a key file; a session is not enough.",
                Some(HOW_TO_OPEN_AS_OWNER),
            ),
            VaultError::DamagedNeedsRoot(error) => mend_needs_root(*error, path),
            VaultError::WouldDrop(loss) => would_drop(&loss, path),
            VaultError::NoSuchSlot { id } => Self::new(
                code::NOT_FOUND,
                "not_found",
                format!("The vault has no slot {id}."),
                Some("Run `keyvault vault slot list` to see the slots."),
            ),
            VaultError::NoStrays => Self::new(
                code::NOT_FOUND,
                "not_found",
                "Every slot belongs to the vault.".to_owned(),
                Some("Run `keyvault vault slot list` to see the slots."),
            ),
            VaultError::LastSlot { id } => Self::refused(
                &format!("Slot {id} is the last one with full access and was not removed."),
                Some("Add another first: keyvault vault slot add keyfile FILE"),
            ),
            VaultError::TooManySlots => Self::refused(
                "The vault has 32 slots, the maximum.",
                Some("Remove one with `keyvault vault slot remove NUMBER`."),
            ),
            VaultError::SlotsChanged => Self::new(
                code::BUSY,
                "changed",
                "Another command changed the slots at the same time. Nothing was changed.",
                Some("Check `keyvault vault slot list`, and try again."),
            ),
            VaultError::Rekeyed => Self::new(
                code::BUSY,
                "changed",
                "Another command rekeyed or restored the vault at the same time. Nothing was done.",
                Some("Run the command again."),
            ),
            VaultError::Changed => Self::new(
                code::BUSY,
                "changed",
                "Another command changed the vault after this one looked at it. Nothing was done.",
                Some("Run the command again, and check what it would supersede."),
            ),
            VaultError::Token(error) => token(&error),
            VaultError::AnotherKey(name) => Self::new(
                code::BUSY,
                "changed",
                format!("Another command replaced `{name}` with another key. Nothing was done."),
                Some("Check the key, and run the command again."),
            ),
            VaultError::BackupDamaged { row, what } => Self::damaged(
                &format!("The backup is damaged: {}.", loss::sentence(&row, &what)),
                Some("The vault here was not changed. Use another backup."),
            ),
            VaultError::HeaderDamaged => altered_file("the vault's id or epoch is altered", path),
            VaultError::BackupOfItself => Self::refused(
                "The backup is the vault itself.",
                Some("To accept a file that a sync or a snapshot put back: keyvault vault restore --adopt"),
            ),
            VaultError::OwnName { path } => Self::refused(
                &format!("{} would be mistaken for a part of the vault.", path.display()),
                Some("Choose another name or folder."),
            ),
            VaultError::FileExists { path } => Self::refused(
                &format!("{} already exists and was not changed.", path.display()),
                Some("Choose another name."),
            ),
            VaultError::AnotherVault => Self::refused(
                "The backup belongs to another vault.",
                Some("Nothing was changed. To restore it next to this vault, use `--vault PATH`."),
            ),
            VaultError::VaultExists { path } => exists(&path),
            VaultError::KeysExist(names) => Self::refused(
                &match names.as_slice() {
                    [name] => format!("Key `{name}` already exists."),
                    names => format!("Keys already exist: {}.", list(names)),
                },
                Some(
                    "Nothing was changed. Give a key a new value with `keyvault rotate`, or replace keys from a file with `keyvault import --on-conflict replace`.",
                ),
            ),
            VaultError::NameTaken(name) => Self::refused(
                &format!("Key `{name}` here is another key than the one in the copy."),
                Some(&format!(
                    "Nothing was changed. Give the one here another name first: keyvault edit {name} --rename NEW"
                )),
            ),
            VaultError::NoSuchKeys { missing, near } => no_such_keys(&missing, near.as_ref()),
            VaultError::NeedValues(names) => need_values(&names),
            VaultError::NoSuchScope { wanted, near } => Self::new(
                code::NOT_FOUND,
                "not_found",
                format!("No key has the scope `{wanted}`."),
                Some(&did_you_mean(near.as_ref(), "Run `keyvault list` to see keys and their scopes.")),
            ),
            VaultError::NoSuchVersion { name, version } => Self::new(
                code::NOT_FOUND,
                "not_found",
                format!("`{name}` has no version {version}."),
                Some(&format!("Run `keyvault history {name}` to see its versions.")),
            ),
            VaultError::VersionRefused { name, version, state } => version_refused(&name, version, state),
            VaultError::NoLifetime { name } => Self::usage(
                &format!(
                    "`{name}` had expired before its version was created or rolled back, so there is no lifetime to repeat."
                ),
                Some("Nothing was changed. Set an expiry: `--expires 90d`, or `--expires never`."),
            ),
            VaultError::NothingToRollBack { name } => Self::refused(
                &format!("`{name}` has no older version to return to."),
                Some(&format!("Run `keyvault history {name}` to see its versions.")),
            ),
            VaultError::NotReadable { name, status } => Self::refused(
                &format!("`{name}` is {status}, so its value is not shown."),
                Some(&match status {
                    "expired" => format!("Extend it with `keyvault edit {name} --expires 30d`."),
                    "disabled" => format!("Enable it with `keyvault enable {name}`."),
                    _ => format!("Give it a new value with `keyvault rotate {name}`."),
                }),
            ),
            VaultError::NoVariable { name, why: NameError::Grammar } => Self::usage(
                &format!("No variable can be derived from the name `{name}`."),
                Some("Name one with `--env VAR`."),
            ),
            VaultError::NoVariable { name, why } => Self::usage(
                &format!("The variable of `{name}` {why}."),
                Some("Name another with `--env VAR`."),
            ),
            VaultError::Recipe(error) => Self::recipe(error),
            VaultError::ValueTooLong { name, len } => Self::refused(
                &format!("The value of `{name}` has {len} bytes; the limit is 16 MiB."),
                Some(
                    "Nothing was changed. Keep the large file elsewhere, encrypted, and its encryption key here.",
                ),
            ),
            VaultError::ReadsNotWritten { path, source } => reads_not_written(&path, &source),
            VaultError::ReadsBusy(held) => reads_busy(&held),
            VaultError::Io { path, source } => Self::io(&path, &source),
        }
    }
}

/// A session is refused an urgent change of a damaged vault: its keys are not enough to write the vault anew.
pub(in crate::cli) fn mend_needs_root(error: VaultError, path: &Path) -> Failure {
    let hint = format!(
        "Nothing was changed. A session cannot repair the vault; this command can, with the passphrase or a key file.\n\
         {HOW_TO_OPEN_AS_OWNER}"
    );
    Failure { hint: Some(hint), ..Failure::of(error, path) }
}

/// Damage is in the way of something that can wait, and other things would be lost with it.
fn would_drop(loss: &Loss, path: &Path) -> Failure {
    let damaged = loss::counted(loss).unwrap_or_else(|| "damaged rows".to_owned());
    Failure::damaged(
        &format!("{} is damaged: {damaged} would be lost.", path.display()),
        Some(
            "Nothing was changed. `keyvault vault rekey` lists what is damaged, and keeps everything else;\n\
             `keyvault revoke` does not wait for that.",
        ),
    )
}

pub(in crate::cli) fn rng() -> Failure {
    Failure::failed("The system returned no random bytes.", Some("Nothing was done."))
}

fn need_values(names: &[KeyName]) -> Failure {
    Failure::usage(
        &format!("These keys were not generated, so each needs a new value: {}.", list(names)),
        Some(
            "Nothing was changed. Rotate them one at a time with `keyvault rotate NAME`, which prompts for the value.",
        ),
    )
}

fn no_such_keys(missing: &[KeyName], near: Option<&KeyName>) -> Failure {
    if near.is_none() && missing.iter().any(|name| looks_like_a_value(name.as_str())) {
        return Failure::new(
            code::NOT_FOUND,
            "not_found",
            "No such key. Its name is not shown, because it looks like a value.",
            Some(
                "If it is a value, treat it as leaked. Give values at a prompt, or with `--stdin` or `--file`.",
            ),
        );
    }
    Failure::new(
        code::NOT_FOUND,
        "not_found",
        match missing {
            [name] => format!("No key named `{name}`."),
            names => format!("No keys with these names: {}.", list(names)),
        },
        Some(&did_you_mean(near, "Run `keyvault list` to see all keys.")),
    )
}

/// Long, without the parts that names have, and with digits: keys of providers look like this, names hardly ever.
/// `S3_SECRET_ACCESS_KEY` is named after its variable.
pub(in crate::cli) fn looks_like_a_value(text: &str) -> bool {
    let variable = text.contains('_') && !text.bytes().any(|byte| byte.is_ascii_lowercase());
    text.len() >= 20
        && !variable
        && !text.contains(['/', '.'])
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

fn version_refused(name: &KeyName, version: u32, state: &str) -> Failure {
    let hint = match state {
        "retired" => format!("Make it current again with `keyvault rollback {name} --to {version}`."),
        "revoked" => "A revoked version cannot come back.".to_owned(),
        "wiped" => "Only its fingerprint is kept.".to_owned(),
        _ => format!("Run `keyvault history {name}` to see its versions."),
    };
    Failure::refused(&format!("Version {version} of `{name}` is {state}."), Some(&hint))
}

fn unlock(error: &UnlockError) -> Failure {
    let locked = |message: &str, hint| Failure::new(code::LOCKED, "wrong_credential", message, hint);
    match error {
        UnlockError::Wrong(Secret::RecoveryCode) => locked(
            "That recovery code does not open this vault.",
            Some("A code that was used or replaced no longer opens anything."),
        ),
        UnlockError::Wrong(Secret::KeyFile) => locked(
            "That key file does not open this vault.",
            Some("Run `keyvault vault slot list` to see the slots."),
        ),
        UnlockError::Wrong(Secret::Keyring) => locked(
            "The keyring's entry does not open this vault.",
            Some("Add one that does with `keyvault vault slot add keyring`."),
        ),
        UnlockError::Wrong(Secret::Passphrase) => locked(
            "That is not the vault's passphrase.",
            Some(
                "If it is lost, or its slot is damaged, set a new one with the recovery code: keyvault vault recover",
            ),
        ),
        UnlockError::NoSuchSlot(secret) => locked(
            &format!("The vault has no slot for a {secret}."),
            Some(match secret {
                Secret::Passphrase => {
                    "Set KEYVAULT_KEY_FILE to a key file that opens it, or set a passphrase with `keyvault vault recover`."
                }
                _ => "Run `keyvault vault slot list` to see the slots.",
            }),
        ),
        UnlockError::NotACode => locked(
            "That is not a recovery code, which is eight groups of five characters.",
            Some("0 and O are the same, as are 1, I and L. The last group is a checksum."),
        ),
        UnlockError::NotAKeyFile => locked(
            "That is not a key file, which is one line that starts with keyvault-key-file:.",
            Some("Create one with `keyvault vault slot add keyfile FILE`."),
        ),
        UnlockError::NotAToken => locked(
            "That is not a token, which is kvt_ and 71 letters and digits, the last six a checksum.",
            Some("Create one with `keyvault token create NAME --scope SCOPE`."),
        ),
        UnlockError::Passphrase(unfit) => Failure::passphrase(*unfit),
        UnlockError::Kdf(error) => Failure::failed(
            &format!("The passphrase could not be checked: {error}."),
            Some("Free some memory and try again."),
        ),
        UnlockError::Rng(_) => rng(),
    }
}

pub(in crate::cli) fn did_you_mean<T: Display>(near: Option<&T>, otherwise: &str) -> String {
    near.map_or_else(|| otherwise.to_owned(), |near| format!("Did you mean `{near}`? {otherwise}"))
}

pub(in crate::cli) fn list(names: &[KeyName]) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(KeyName::as_str).collect();
    match names.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{} and {more} more", shown.join(", ")),
        _ => shown.join(", "),
    }
}

fn newer(error: &StateError, path: &Path) -> Failure {
    Failure::failed(
        &format!("{} was changed by a newer version of keyvault: {error}.", path.display()),
        Some("Use that version or a newer one."),
    )
}
