//! The sets that keys are verified by, for their owner and for a verifier.

use std::collections::BTreeMap;

use keyvault_core::name::{KeyName, Label};
use keyvault_issue::record::Id;
use keyvault_issue::standing::Sets;

use super::names::Gone;
use super::verifier_side::read_sets;
use super::view::{load, of_name};
use super::{apart, fault};
use crate::error::VaultError;
use crate::file::open::{Access, Vault, World};
use crate::unlock::token::Token;

/// All sets of one API.
pub struct ApiToVerify {
    pub api: Label,
    pub sets: Sets,
    /// Which only the owner has.
    pub names: BTreeMap<Id, KeyName>,
}

/// The sets of an API, or of all, for their owner.
pub fn to_verify(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    api: Option<&Label>,
) -> Result<Vec<ApiToVerify>, VaultError> {
    let path = vault.path().to_owned();
    vault.read(access, |tx| {
        // A file that was put back would have keys that were revoked since.
        tx.refuse_in_alarm(&path)?;
        let loaded = load(tx, world.now())?;
        let loaded = match api {
            Some(api) => vec![of_name(loaded, api)?],
            None => loaded,
        };
        let mut all = Vec::new();
        for one in loaded {
            let names = one.set().names().filter(|entry| Gone::of(entry).is_none());
            let names = names.map(|entry| (entry.id, entry.name.clone())).collect();
            all.push(ApiToVerify { api: one.api()?.name.clone(), sets: one.sets, names });
        }
        Ok(all)
    })
}

/// The sets of a verifier's APIs. One whose own set is not taken is an error: no key of it has a verdict.
pub fn granted_to_verify(
    vault: &mut Vault,
    token: &Token,
    world: &World<'_>,
) -> Result<Vec<ApiToVerify>, VaultError> {
    let seen = read_sets(vault, token, world)?;
    let mut all = Vec::new();
    for (id, sets) in seen.apis {
        let (sets, _) = sets.map_err(|error| fault(&id, error))?.join(&seen.list, world.now());
        let api = sets.owner().api().map(|api| api.name.clone());
        let api = api.ok_or_else(|| apart("issued_set: the API's record is missing"))?;
        all.push(ApiToVerify { api, sets, names: BTreeMap::new() });
    }
    Ok(all)
}
