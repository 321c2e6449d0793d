//! Facts about what went wrong with a vault.

use std::path::PathBuf;

use crate::audit::AuditError;
use crate::state::StateError;
use crate::state::pin::Standing;
use crate::store::StoreError;
use crate::unlock::UnlockError;
use keyvault_core::clock::RngError;
use keyvault_core::name::{KeyName, NameError, Scope};
use keyvault_core::recipe::RecipeError;
use keyvault_os::fs::lock::Held;
use keyvault_os::fs::vault_file::FileFault;

use super::file::survivors::Loss;
use super::sealed::SealError;
use super::token::error::TokenError;

/// Why a command on a vault did not happen.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The file is not one that is opened.
    #[error(transparent)]
    File(#[from] FileFault),
    /// The file could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Rows, tree and record do not fit together.
    #[error(transparent)]
    State(#[from] StateError),
    /// The audit chain does not hold.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// No key came out of the credential.
    #[error(transparent)]
    Unlock(#[from] UnlockError),
    /// The whole file was put back, or is another branch of its history.
    #[error("the vault is not the one last seen here: {standing:?}")]
    Alarm {
        /// Rolled back or forked.
        standing: Standing,
        found: u64,
        pinned: u64,
        path: PathBuf,
    },
    /// The act needs root, and a session has only daily keys.
    #[error("needs the passphrase or the recovery code")]
    NeedsRoot,
    /// Damage is in the way of what must not wait, and to mend it takes root.
    #[error("damaged, and mending needs the passphrase: {0}")]
    DamagedNeedsRoot(Box<VaultError>),
    /// Damage is in the way, and to go on would drop this.
    #[error("damaged: {}", .0.behind("in the way".to_owned()))]
    WouldDrop(Box<Loss>),
    /// There is no such slot.
    #[error("no slot {id}")]
    NoSuchSlot { id: u32 },
    /// Every slot is the vault's own.
    #[error("no stray slots")]
    NoStrays,
    /// Without this slot nobody could open the vault.
    #[error("slot {id} is the last one with full access")]
    LastSlot { id: u32 },
    /// The vault has as many slots as it may have.
    #[error("too many slots")]
    TooManySlots,
    /// Another command changed the slots in the meantime.
    #[error("the slots changed in the meantime")]
    SlotsChanged,
    /// Another command rekeyed the vault, or put a backup in its place, after this one had opened it.
    #[error("the vault has other keys now")]
    Rekeyed,
    /// Another command changed the vault between the question and the answer.
    #[error("the vault changed in the meantime")]
    Changed,
    /// The key for which a value was given is another one by now.
    #[error("{0} is another key now")]
    AnotherKey(KeyName),
    /// A backup that does not hold must not take a vault's place.
    #[error("the backup is damaged: {row} {what}")]
    BackupDamaged {
        /// The first row that does not hold.
        row: String,
        what: String,
    },
    /// The vault's id or epoch is not the one that its slots were sealed for.
    #[error("vault: its id or epoch is altered")]
    HeaderDamaged,
    /// The file named as a backup is the vault.
    #[error("the backup is the vault itself")]
    BackupOfItself,
    /// A file of this name beside the vault would be taken for a part of it.
    #[error("{path} is a name of the vault's own")]
    OwnName { path: PathBuf },
    /// A backup of one vault cannot take another one's place.
    #[error("the backup is of another vault")]
    AnotherVault,
    /// A vault is already there.
    #[error("{path} exists")]
    VaultExists { path: PathBuf },
    /// The file that was to be made exists.
    #[error("{path} exists")]
    FileExists { path: PathBuf },
    /// Something with a token or a bundle.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A key of that name is already there.
    #[error("{} exist", names(.0))]
    KeysExist(Vec<KeyName>),
    /// Another key has the name of one that is to be taken over.
    #[error("{0} is the name of another key")]
    NameTaken(KeyName),
    /// These keys have no recipe, and no value was given.
    #[error("{} need values", names(.0))]
    NeedValues(Vec<KeyName>),
    #[error("no key carries {wanted}")]
    NoSuchScope { wanted: Scope, near: Option<Scope> },
    /// The key has no version of that number.
    #[error("{name} has no version {version}")]
    NoSuchVersion { name: KeyName, version: u32 },
    /// The version is not in a state in which this can be done.
    #[error("{name} version {version}: {state}")]
    VersionRefused {
        name: KeyName,
        version: u32,
        /// Its state, or `wiped`.
        state: &'static str,
    },
    /// The key expired before its last version was made, so there is no lifetime to repeat.
    #[error("{name}: no lifetime")]
    NoLifetime { name: KeyName },
    /// The key has no older version that could return.
    #[error("{name}: nothing to roll back to")]
    NothingToRollBack { name: KeyName },
    #[error("{} not found", names(missing))]
    NoSuchKeys {
        missing: Vec<KeyName>,
        /// A key that was probably meant by the first of them.
        near: Option<KeyName>,
    },
    /// The key has no version of which a value could be read.
    #[error("{name}: {status}")]
    NotReadable {
        name: KeyName,
        /// Expired or revoked.
        status: &'static str,
    },
    /// No variable can be made of the name.
    #[error("no default variable for {name}: {why}")]
    NoVariable {
        name: KeyName,
        /// The fault of the name in upper case.
        why: NameError,
    },
    /// A value could not be generated.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// A value is longer than a vault keeps.
    #[error("{name}: {len} bytes are more than a key may have")]
    ValueTooLong {
        name: KeyName,
        /// Its value's length in bytes.
        len: usize,
    },
    #[error(transparent)]
    Rng(#[from] RngError),
    /// A read from a bundle could not be recorded, so no value was given out.
    #[error("{}: {source}", path.display())]
    ReadsNotWritten { path: PathBuf, source: std::io::Error },
    /// Another process holds the log of what is read from bundles.
    #[error(transparent)]
    ReadsBusy(Held),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
}

/// Returns `true` if the content of a vault is the reason why it cannot be read; a vault that is busy and a disk that
/// fails are not damage. A field of a later version counts as damage where everything is carried over: anyone who has
/// the everyday keys can write one.
pub(crate) fn is_damage(error: &VaultError) -> bool {
    !matches!(error, VaultError::Store(StoreError::Busy | StoreError::Io(_)) | VaultError::Io { .. })
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

fn names(names: &[KeyName]) -> String {
    names.iter().map(KeyName::as_str).collect::<Vec<_>>().join(", ")
}
impl From<SealError> for VaultError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Rng(error) => error.into(),
            SealError::TooLong => StoreError::Damaged { what: error.to_string() }.into(),
        }
    }
}
