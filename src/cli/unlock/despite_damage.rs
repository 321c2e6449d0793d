//! Changes that must not wait for a vault to be whole: a session is enough where no damage is in the way, and root mends
//! the vault where it is.

use keyvault_vault::state::StateError;
use keyvault_vault::{Access, StoreError, Vault, VaultError, World, file};

use super::order::ORDER;
use crate::cli::context::Context;
use crate::cli::errors::Failure;
use crate::cli::errors::vault::{IF_REKEYED, mend_needs_root};
use crate::cli::errors::vault_file::beyond_mending;

impl Context {
    /// Opens the file whatever its schema is and whatever its head says.
    pub(in crate::cli) fn open_despite_damage(&self) -> Result<(Vault, Access), Failure> {
        let mut vault = self.open_to_recover()?;
        let access = self.access(&mut vault, &ORDER).map_err(|failure| {
            // A session is found by the head, and one of another vault is none.
            let is_altered = failure.kind == "locked" && file::is_head_altered(&mut vault).unwrap_or(false);
            if is_altered { mend_needs_root(VaultError::HeaderDamaged, vault.path()) } else { failure }
        })?;
        self.tell_left_behind(&vault);
        Ok((vault, access))
    }

    /// Changes the vault; if damage is in the way of a session, with root that is given or asked for.
    pub(in crate::cli) fn change_despite_damage<T>(
        &self,
        vault: &mut Vault,
        access: &mut Access,
        change: impl Fn(&mut Vault, &Access, &World<'_>) -> Result<T, VaultError>,
    ) -> Result<T, Failure> {
        let path = vault.path().to_owned();
        let failed = |error| match error {
            // Of a session it may be the keys that are not the vault's any more.
            VaultError::DamagedNeedsRoot(error)
                if matches!(*error, VaultError::State(StateError::Record)) =>
            {
                let mut failure = beyond_mending(Failure::of(*error, &path));
                failure.hint.get_or_insert_default().push_str(IF_REKEYED);
                failure
            }
            VaultError::Store(StoreError::Damaged { .. })
            | VaultError::State(
                StateError::Record | StateError::Mismatch { .. } | StateError::Apart { .. },
            ) => beyond_mending(Failure::of(error, &path)),
            error => Failure::of(error, &path),
        };
        let changed = self.with_world(|world| Ok(change(vault, access, world)))?;
        match changed {
            Err(error @ VaultError::DamagedNeedsRoot(_)) => {
                if !self.is_given_root() && !self.may_ask() {
                    return Err(failed(error));
                }
                *access = self.given_or_asked_root(vault)?;
                self.with_world(|world| change(vault, access, world).map_err(failed))
            }
            changed => changed.map_err(failed),
        }
    }
}
