//! Cheap looks at whether a vault has changed, for a process that follows it.

use crate::error::VaultError;
use crate::file::open::Vault;

/// A number that differs from the one before if another connection has changed the file in between. Whether the change was
/// about sets only a transaction tells.
pub fn data_version(vault: &Vault) -> Result<i64, VaultError> {
    Ok(vault.store.data_version()?)
}

/// Fails if the path leads to another file than the one that was opened.
pub fn still_there(vault: &Vault) -> Result<(), VaultError> {
    vault.checked.as_ref().map_or(Ok(()), |checked| Ok(checked.still_same()?))
}
