//! The sentences for what goes wrong with a vault, its file and what was asked of it.

use std::fmt::Display;
use std::path::Path;

use crate::audit::AuditError;
use crate::name::{KeyName, NameError};
use crate::state::StateError;
use crate::unlock::{Secret, UnlockError};
use crate::vault::VaultError;

use super::error::{Failure, WAYS_TO_ROOT, code};
use super::file_sentences::{alarm, altered, exists, file, store};
use super::problem_sentences::selection;
use super::token_sentences::{reads_busy, reads_not_written, token};

impl Failure {
    /// An error of the vault at `path`.
    #[allow(clippy::too_many_lines, reason = "one arm for each error, as flat as a table")]
    pub(super) fn of(error: VaultError, path: &Path) -> Self {
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
                let rekeyed = "\nIf it was rekeyed on another machine, 'keyvault lock' ends the session of its old keys.";
                failure.hint.get_or_insert_default().push_str(rekeyed);
                failure
            }
            VaultError::State(error) => altered(&error.to_string(), path),
            VaultError::Unlock(error) => unlock(&error),
            VaultError::Session(error) => Self::session(&error),
            VaultError::Alarm { standing, found, pinned, path } => alarm(standing, found, pinned, &path),
            VaultError::NeedsRoot => Self::new(
                code::LOCKED,
                "locked",
                "This needs the passphrase or a key file; a session is not enough.",
                Some(WAYS_TO_ROOT),
            ),
            VaultError::NoSuchWay { id } => Self::new(
                code::NOT_FOUND,
                "not_found",
                format!("The vault has no slot {id}."),
                Some("'keyvault vault slot list' shows the slots."),
            ),
            VaultError::NoStrays => Self::new(
                code::NOT_FOUND,
                "not_found",
                "Every slot is the vault's own.".to_owned(),
                Some("'keyvault vault slot list' shows the slots."),
            ),
            VaultError::LastWay { id } => Self::refused(
                &format!("Slot {id} is the last way into the vault; it was not removed."),
                Some("Add another way in first: keyvault vault slot add keyfile FILE, or add recovery."),
            ),
            VaultError::TooManyWays => Self::refused(
                "The vault has 32 slots, and that is the most it may have.",
                Some("'keyvault vault slot remove' takes one away."),
            ),
            VaultError::WaysChanged => Self::new(
                code::BUSY,
                "changed",
                "Another command changed the slots at the same time; nothing was changed by this one.",
                Some("Look at 'keyvault vault slot list' and try again."),
            ),
            VaultError::Rekeyed => Self::new(
                code::BUSY,
                "changed",
                "Another command rekeyed or restored the vault at the same time; nothing was done by this one.",
                Some("Run it again."),
            ),
            VaultError::Changed => Self::new(
                code::BUSY,
                "changed",
                "Another command changed the vault after it was looked at; nothing was done by this one.",
                Some("Run it again, and look at what it would supersede now."),
            ),
            VaultError::NothingDue => Self::refused("No key is due.", None),
            VaultError::NothingNew(known) => {
                Self::refused(&format!("All {known} reads were brought home before."), None)
            }
            VaultError::Token(error) => token(&error),
            VaultError::AnotherKey(name) => Self::new(
                code::BUSY,
                "changed",
                format!(
                    "Another command put another key in the place of {name}; nothing was done by this one."
                ),
                Some("Look at the key, and run it again."),
            ),
            VaultError::BackupDamaged { row, what } => Self::damaged(
                &format!("The backup is damaged: {row} {what}."),
                Some("The vault here was not touched. Take another backup."),
            ),
            VaultError::BackupOfItself => Self::refused(
                "That is the vault itself; it is where it belongs.",
                Some("'keyvault vault restore --adopt' accepts a file that a sync or a snapshot put back."),
            ),
            VaultError::OwnName { path } => Self::refused(
                &format!("{} would be taken for a part of the vault.", path.display()),
                Some("Choose another name or folder."),
            ),
            VaultError::FileExists { path } => Self::refused(
                &format!("{} is there already; it was not touched.", path.display()),
                Some("Choose another name."),
            ),
            VaultError::AnotherVault => Self::refused(
                "The backup is of another vault than the one that is here.",
                Some("Nothing was changed. --vault PATH restores it elsewhere, beside this one."),
            ),
            VaultError::VaultExists { path } => exists(&path),
            VaultError::KeysExist(names) => Self::refused(
                &format!(
                    "{} there already: {}.",
                    if names.len() == 1 { "A key of that name is" } else { "Keys of these names are" },
                    list(&names)
                ),
                Some(
                    "Nothing was changed. 'keyvault rotate' gives a key a new value; 'keyvault import --on-conflict replace' takes a file's.",
                ),
            ),
            VaultError::NoSuchKeys { missing, near } => no_such_keys(&missing, near.as_ref()),
            VaultError::NeedValues(names) => need_values(&names),
            VaultError::NoSuchScope { wanted, near } => Self::new(
                code::NOT_FOUND,
                "not_found",
                format!("No key carries the scope {wanted}."),
                Some(&did_you_mean(near.as_ref(), "'keyvault list' shows keys and their scopes.")),
            ),
            VaultError::NoSuchVersion { name, version } => Self::new(
                code::NOT_FOUND,
                "not_found",
                format!("{name} has no version {version}."),
                Some(&format!("'keyvault history {name}' shows its versions.")),
            ),
            VaultError::VersionRefused { name, version, state } => version_refused(&name, version, state),
            VaultError::NoLifetime { name } => Self::usage(
                &format!(
                    "{name} expired before its version was made or brought back, so there is no lifetime to repeat."
                ),
                Some("Nothing was changed. Say when it expires: --expires 90d, or --expires never."),
            ),
            VaultError::NothingToRollBack { name } => Self::refused(
                &format!("{name} has no older version that could return."),
                Some(&format!(
                    "'keyvault history {name}' shows its versions; 'keyvault rotate' makes a new one."
                )),
            ),
            VaultError::NotReadable { name, status } => Self::refused(
                &format!("{name} is {status}; its value is not shown."),
                Some(if status == "expired" {
                    "'keyvault edit NAME --expires 30d' gives it more time."
                } else {
                    "'keyvault rotate NAME' gives it a new version."
                }),
            ),
            VaultError::NoVariable { name, why: NameError::Grammar } => Self::usage(
                &format!("No variable can be made of the name {name}."),
                Some("Name one with --env VAR."),
            ),
            VaultError::NoVariable { name, why } => Self::usage(
                &format!("The variable that {name} would get {why}."),
                Some("Name another with --env VAR."),
            ),
            VaultError::Problems(problems) => selection(&problems),
            VaultError::Recipe(error) => Self::recipe(error),
            VaultError::ValueTooLong { name, len } => Self::refused(
                &format!("The value for {name} has {len} bytes; a key has at most 16 MiB."),
                Some("Nothing was changed. Keep the large file elsewhere, encrypted, and its key here."),
            ),
            VaultError::ReadsNotWritten { path, source } => reads_not_written(&path, &source),
            VaultError::ReadsBusy { path, holder } => reads_busy(&path, holder.as_ref()),
            VaultError::Io { path, source } => Self::io(&path, &source),
        }
    }
}

pub(super) fn rng() -> Failure {
    Failure::failed("The system gave no random bytes.", Some("Nothing was done."))
}

fn need_values(names: &[KeyName]) -> Failure {
    Failure::usage(
        &format!("These keys were not generated, so each needs its new value: {}.", list(names)),
        Some(
            "Nothing was changed. 'keyvault rotate NAME' takes the value of one, from a prompt, stdin or --file.",
        ),
    )
}

fn no_such_keys(missing: &[KeyName], near: Option<&KeyName>) -> Failure {
    if near.is_none() && missing.iter().any(|name| looks_like_a_value(name.as_str())) {
        return Failure::new(
            code::NOT_FOUND,
            "not_found",
            "There is no key of that name. It is not shown, because it looks like a value.",
            Some("If it was one, count it as leaked. Values come from a prompt, from --stdin or --file."),
        );
    }
    Failure::new(
        code::NOT_FOUND,
        "not_found",
        match missing {
            [name] => format!("There is no key {name}."),
            names => format!("There are no keys {}.", list(names)),
        },
        Some(&did_you_mean(near, "'keyvault list' shows what there is.")),
    )
}

/// Long, without the parts that names have, and with digits: keys of providers look like this, names hardly ever.
/// `S3_SECRET_ACCESS_KEY` is named after its variable.
pub(super) fn looks_like_a_value(text: &str) -> bool {
    let variable = text.contains('_') && !text.bytes().any(|byte| byte.is_ascii_lowercase());
    text.len() >= 20
        && !variable
        && !text.contains(['/', '.'])
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

fn version_refused(name: &KeyName, version: u32, state: &str) -> Failure {
    let hint = match state {
        "retired" => format!("'keyvault rollback {name} --to {version}' makes it current again."),
        "revoked" => "A revoked version never returns.".to_owned(),
        "wiped" => "Its value is gone; only its fingerprint was kept.".to_owned(),
        _ => format!("'keyvault history {name}' shows its versions."),
    };
    Failure::refused(&format!("Version {version} of {name} is {state}."), Some(&hint))
}

fn unlock(error: &UnlockError) -> Failure {
    let locked = |message: &str, hint| Failure::new(code::LOCKED, "wrong_credential", message, hint);
    match error {
        UnlockError::Wrong(Secret::RecoveryCode) => locked(
            "That recovery code does not open this vault.",
            Some("A code that was used, or that a newer one took the place of, opens nothing any more."),
        ),
        UnlockError::Wrong(Secret::KeyFile) => locked(
            "That key file does not open this vault.",
            Some("'keyvault vault slot list' shows the ways in."),
        ),
        UnlockError::Wrong(Secret::Keyring) => locked(
            "The keyring's entry does not open this vault.",
            Some("'keyvault vault slot add keyring' makes one that does."),
        ),
        UnlockError::Wrong(Secret::Passphrase) => locked(
            "That is not the vault's passphrase.",
            Some(
                "If it is lost: 'keyvault vault recover' sets a new one with the recovery code, if you kept one.",
            ),
        ),
        UnlockError::NoSuchSlot(secret) => locked(
            &format!("The vault has no slot for a {secret}."),
            Some(match secret {
                Secret::Passphrase => {
                    "KEYVAULT_KEY_FILE names a key file that opens it; with the recovery code 'keyvault vault recover' sets a passphrase."
                }
                _ => "'keyvault vault slot list' shows the ways in; 'keyvault vault slot add' adds one.",
            }),
        ),
        UnlockError::NotACode => locked(
            "That is not a recovery code: eight groups of five characters.",
            Some("0 and O, 1 and I and L are the same; the last group checks the rest."),
        ),
        UnlockError::NotAKeyFile => locked(
            "That is not a key file: one line that begins with keyvault-key-file:.",
            Some("'keyvault vault slot add keyfile FILE' makes one."),
        ),
        UnlockError::NotAToken => locked(
            "That is not a token: kvt_ and 49 letters and digits, the last six of which check the rest.",
            Some("'keyvault token create NAME' makes one."),
        ),
        UnlockError::Passphrase(unfit) => Failure::passphrase(*unfit),
        UnlockError::Kdf(error) => Failure::failed(
            &format!("The passphrase could not be tried: {error}."),
            Some("Free some memory and try again."),
        ),
        UnlockError::Rng(_) => rng(),
    }
}

pub(in crate::cli) fn did_you_mean<T: Display>(near: Option<&T>, otherwise: &str) -> String {
    near.map_or_else(|| otherwise.to_owned(), |near| format!("Did you mean {near}? {otherwise}"))
}

pub(super) fn list(names: &[KeyName]) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(KeyName::as_str).collect();
    match names.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{} and {more} more", shown.join(", ")),
        _ => shown.join(", "),
    }
}

#[cfg(test)]
#[path = "sentences_tests.rs"]
mod tests;
