//! Facts about what went wrong with a vault.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use crate::audit::AuditError;
use crate::state::StateError;
use crate::state::pin::Standing;
use crate::store::{StoreError, THE_FILE, damage};
use crate::unlock::UnlockError;
use keyvault_core::clock::{Moment, RngError};
use keyvault_core::name::{KeyName, NameError, Scope};
use keyvault_core::recipe::RecipeError;
use keyvault_core::text::{list, looks_like_a_value, quoted, reason};
use keyvault_os::fs::fault::PathError;
use keyvault_os::fs::lock::Held;
use keyvault_os::fs::vault_file::FileFault;

use super::check::Finding;
use super::file::survivors::Loss;
use super::issued::IssuedError;
use super::sealed::SealError;
use super::token::error::TokenError;

/// Why a command on a vault did not happen. `Display` is the message; [`VaultError::about`] names the vault's file in it.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The file is not one that is opened.
    #[error(transparent)]
    File(#[from] FileFault),
    /// The file could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Rows, tree and record do not fit together.
    #[error("{}", .0.about(&THE_FILE))]
    State(#[from] StateError),
    /// The audit chain does not hold.
    #[error("{}", .0.about(&THE_FILE))]
    Audit(#[from] AuditError),
    /// No key came out of the credential.
    #[error(transparent)]
    Unlock(#[from] UnlockError),
    /// The whole file was put back, or is another branch of its history.
    #[error("{}", alarm(*standing, *found, *pinned, path))]
    Alarm {
        /// Rolled back or forked.
        standing: Standing,
        found: u64,
        pinned: u64,
        path: PathBuf,
    },
    /// The act needs root, and a session has only daily keys.
    #[error("This needs the passphrase or a key file; a session is not enough.")]
    NeedsRoot,
    /// Damage is in the way of what must not wait, and to mend it takes root.
    #[error("{0}")]
    DamagedNeedsRoot(Box<VaultError>),
    /// Damage is in the way, and to go on would drop this.
    #[error("{}", .0.message(&THE_FILE))]
    WouldDrop(Box<Loss>),
    /// There is no such slot.
    #[error("The vault has no slot {id}.")]
    NoSuchSlot { id: u32 },
    /// Every slot is the vault's own.
    #[error("Every slot belongs to the vault.")]
    NoStrays,
    /// Without this slot nobody could open the vault.
    #[error("Slot {id} is the last one with full access and was not removed.")]
    LastSlot { id: u32 },
    /// The vault has as many slots as it may have.
    #[error("The vault has 32 slots, the maximum.")]
    TooManySlots,
    /// Another command changed the slots in the meantime.
    #[error("Another command changed the slots at the same time. Nothing was changed.")]
    SlotsChanged,
    /// Another command rekeyed the vault, or put a backup in its place, after this one had opened it.
    #[error("Another command rekeyed or restored the vault at the same time. Nothing was done.")]
    Rekeyed,
    /// Another command changed the vault between the question and the answer.
    #[error("Another command changed the vault after this one looked at it. Nothing was done.")]
    Changed,
    /// The key for which a value was given is another one by now.
    #[error("Another command replaced `{0}` with another key. Nothing was done.")]
    AnotherKey(KeyName),
    /// A backup that does not hold must not take a vault's place.
    #[error("The backup is damaged: {0}.")]
    BackupDamaged(Finding),
    /// The vault's id or epoch is not the one that its slots were sealed for.
    #[error("{}", damage(&THE_FILE, &HEADER))]
    HeaderDamaged,
    /// The file named as a backup is the vault.
    #[error("The backup is the vault itself.")]
    BackupOfItself,
    /// A file of this name beside the vault would be taken for a part of it.
    #[error("{} would be mistaken for a part of the vault.", path.display())]
    OwnName { path: PathBuf },
    /// A backup of one vault cannot take another one's place.
    #[error("The backup belongs to another vault.")]
    AnotherVault,
    /// A vault is already there.
    #[error("{} already exists.", path.display())]
    VaultExists { path: PathBuf },
    /// The file that was to be made exists.
    #[error("{} already exists and was not changed.", path.display())]
    FileExists { path: PathBuf },
    /// Something with a token or a bundle.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Something with a key of our own API, or with the API.
    #[error(transparent)]
    Issued(#[from] IssuedError),
    /// A key of that name is already there.
    #[error("{}", keys_exist(.0))]
    KeysExist(Vec<KeyName>),
    /// Another key has the name of one that is to be taken over.
    #[error("Key `{0}` here is another key than the one in the copy.")]
    NameTaken(KeyName),
    /// No removed key has this name.
    #[error("No removed key is named `{name}`.")]
    NotRemoved {
        name: KeyName,
        /// A removed key that was probably meant.
        near: Option<KeyName>,
        /// The names of all removed keys, in order and none twice.
        removed: Vec<KeyName>,
    },
    /// The 30 days of the removed keys of this name are over.
    #[error("`{0}` was removed more than 30 days ago and cannot be brought back.")]
    RemovalOver(KeyName),
    /// A key has the name that a removed one is to be brought back under.
    #[error("Key `{wanted}` already exists.")]
    NameInUse { removed: KeyName, wanted: KeyName },
    /// A key that is to be taken over from a copy is removed here.
    #[error("Key `{0}` was removed here and can be brought back.")]
    RemovedHere(KeyName),
    /// These keys have no recipe, and no value was given.
    #[error("These keys were not generated, so each needs a new value: {}.", list(.0))]
    NeedValues(Vec<KeyName>),
    #[error("No key has the scope `{wanted}`.")]
    NoSuchScope { wanted: Scope, near: Option<Scope> },
    /// The key has no version of that number.
    #[error("`{name}` has no version {version}.")]
    NoSuchVersion { name: KeyName, version: u32 },
    /// The version is not in a state in which this can be done.
    #[error("Version {version} of `{name}` is {state}.")]
    VersionRefused {
        name: KeyName,
        version: u32,
        /// Its state, or `wiped`.
        state: &'static str,
    },
    /// The key expired before its last version was made, so there is no lifetime to repeat.
    #[error(
        "`{name}` had expired before its version was created or rolled back, so there is no lifetime to repeat."
    )]
    NoLifetime { name: KeyName },
    /// The key has no older version that could return.
    #[error("`{name}` has no older version to return to.")]
    NothingToRollBack {
        name: KeyName,
        /// No version is left that was not revoked.
        revoked: bool,
    },
    #[error("{}", no_such_keys(missing, near.as_ref()))]
    NoSuchKeys {
        missing: Vec<KeyName>,
        /// A key that was probably meant by the first of them.
        near: Option<KeyName>,
        /// The first of them, if it was removed, and until when it can be brought back.
        removed: Option<(Moment, KeyName)>,
    },
    /// The key has no version of which a value could be read.
    #[error("`{name}` is {status}, so its value is not shown.")]
    NotReadable {
        name: KeyName,
        /// Expired or revoked.
        status: &'static str,
    },
    /// No variable can be made of the name.
    #[error("{}", no_variable(name, *why))]
    NoVariable {
        name: KeyName,
        /// The fault of the name in upper case.
        why: NameError,
    },
    /// A value could not be generated.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// A value is longer than a vault keeps.
    #[error("The value of `{name}` has {len} bytes; the limit is 16 MiB.")]
    ValueTooLong {
        name: KeyName,
        /// Its value's length in bytes.
        len: usize,
    },
    #[error(transparent)]
    Rng(#[from] RngError),
    /// A read from a bundle could not be recorded, so no value was given out.
    #[error("{}", reads_not_written(path, source))]
    ReadsNotWritten { path: PathBuf, source: io::Error },
    /// Reads from bundles are to be recorded where there is something other than a regular file.
    #[error("Reads from a bundle must be recorded in a file, but {} is {kind}.", quoted(path))]
    ReadsInNoFile { path: PathBuf, kind: &'static str },
    /// Another process holds the log of what is read from bundles.
    #[error("{}", .0.sentence())]
    ReadsBusy(Held),
    #[error("{}", PathError(path, source))]
    Io { path: PathBuf, source: io::Error },
}

/// Returns `true` if the content of a vault is the reason why it cannot be read; a vault that is busy and a disk that
/// fails are not damage. A field of a later version counts as damage where everything is carried over: anyone who has
/// the everyday keys can write one.
pub(crate) fn is_damage(error: &VaultError) -> bool {
    !matches!(error, VaultError::Store(StoreError::Busy { .. } | StoreError::Io(_)) | VaultError::Io { .. })
}

/// Returns `true` if rows that the owner did not write are in the way; a damaged schema or file is not among them.
pub(crate) fn is_of_rows(error: &VaultError) -> bool {
    let of_log = |error: &AuditError| {
        matches!(error, AuditError::Broken { .. } | AuditError::Store(StoreError::Damaged { .. }))
    };
    match error {
        VaultError::State(StateError::Audit(error)) | VaultError::Audit(error) => of_log(error),
        VaultError::State(StateError::Store(error)) | VaultError::Store(error) => {
            matches!(error, StoreError::Damaged { .. })
        }
        VaultError::State(
            StateError::Mismatch { .. }
            | StateError::Apart { .. }
            | StateError::Newer { .. }
            | StateError::Record,
        ) => true,
        _ => false,
    }
}

impl VaultError {
    /// The message about the vault in this file.
    #[must_use]
    pub fn about(&self, file: &dyn Display) -> String {
        match self {
            Self::Store(error) => error.about(file),
            Self::State(error) => error.about(file),
            Self::Audit(error) => error.about(file),
            Self::HeaderDamaged => damage(file, &HEADER),
            Self::DamagedNeedsRoot(error) => error.about(file),
            Self::WouldDrop(loss) => loss.message(file),
            other => other.to_string(),
        }
    }

    /// The fault as words that follow the name of a row.
    pub(crate) fn fault(&self) -> String {
        match self {
            Self::Store(error) => error.fault().into_owned(),
            Self::State(error) => error.to_string(),
            Self::Audit(error) => error.to_string(),
            other => other.to_string(),
        }
    }
}

const HEADER: &str = "the vault's id or epoch is altered";

fn alarm(standing: Standing, found: u64, pinned: u64, path: &Path) -> String {
    let path = path.display();
    match standing {
        Standing::OtherVault => format!("{path} is not the vault that this machine last saw at this path."),
        Standing::RolledBack if found >= pinned => {
            format!(
                "{path} was rolled back: it is from before a rekey that this machine saw at change {pinned}."
            )
        }
        Standing::RolledBack => {
            format!("{path} was rolled back: it is at change {found}, and this machine saw change {pinned}.")
        }
        _ => format!(
            "{path} is on a different branch: its change {found} does not follow from change {pinned}, which this machine saw."
        ),
    }
}

fn keys_exist(names: &[KeyName]) -> String {
    match names {
        [name] => format!("Key `{name}` already exists."),
        names => format!("Keys already exist: {}.", list(names)),
    }
}

fn no_such_keys(missing: &[KeyName], near: Option<&KeyName>) -> String {
    match missing {
        _ if hides_its_name(missing, near) => {
            "No such key. Its name is not shown, because it looks like a value.".to_owned()
        }
        [name] => format!("No key named `{name}`."),
        names => format!("No keys with these names: {}.", list(names)),
    }
}

/// Returns `true` if a missing key looks like a value that was given in its place. None of the names is repeated.
#[must_use]
pub fn hides_its_name(missing: &[KeyName], near: Option<&KeyName>) -> bool {
    near.is_none() && missing.iter().any(|name| looks_like_a_value(name.as_str()))
}

fn no_variable(name: &KeyName, why: NameError) -> String {
    match why {
        NameError::Grammar => format!("No variable can be derived from the name `{name}`."),
        why => format!("The variable of `{name}` {why}."),
    }
}

fn reads_not_written(path: &Path, why: &io::Error) -> String {
    let path = quoted(path);
    let fault = match why.kind() {
        io::ErrorKind::PermissionDenied => format!("you are not permitted to write {path}"),
        _ => format!("{path} cannot be written: {}", reason(why)),
    };
    format!("Reads from a bundle must be recorded, but {fault}.")
}

impl From<SealError> for VaultError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Rng(error) => error.into(),
            SealError::TooLong => StoreError::Damaged { what: error.to_string() }.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_the_path_of_the_file_or_a_word_for_it() {
        let damaged =
            || VaultError::from(StoreError::Damaged { what: "the last page is cut off".to_owned() });
        for error in [damaged(), StateError::from(AuditError::from(StoreError::ReadOnly)).into()] {
            let message = error.to_string();
            assert_eq!(message.replacen("The vault's file", "v.db", 1), error.about(&"v.db"));
        }
        assert_eq!(
            VaultError::DamagedNeedsRoot(Box::new(damaged())).about(&"v.db"),
            "v.db is damaged or was tampered with: the last page is cut off."
        );
    }

    #[test]
    fn a_missing_key_that_looks_like_a_value_is_not_repeated() {
        let missing = |near: Option<&str>| {
            let key = |text: &str| KeyName::parse(text).ok();
            let missing = key("sk_live_4eC39HqLyjWDarjtT1zdp7dc").into_iter().collect();
            VaultError::NoSuchKeys { missing, near: near.and_then(key), removed: None }.to_string()
        };
        assert!(!missing(None).contains("4eC39"));
        assert!(missing(Some("sk_live_4eC39HqLyjWDarjtT1zdp7dd")).contains("4eC39HqLyjWDarjtT1zdp7dc"));
    }
}
