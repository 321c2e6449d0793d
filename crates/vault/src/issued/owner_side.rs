//! The owner's own sets: made, and changed.

use keyvault_core::codec::Extensions;
use keyvault_issue::record::Api;
use keyvault_issue::set::{Changes, Content, Draft, LoadedSet, SignerKind};
use keyvault_issue::{ApiId, SetId};

use super::entries::rewrite;
use super::{apart, draft_of, find, keys_of, named, put, refuse_mark};
use crate::audit::{Action, Event};
use crate::error::VaultError;
use crate::file::open::{Access, Vault, World};
use crate::token::error::TokenError;
use crate::tx::VerifiedTx;

/// Makes the owner's set of an API, with the API's record alone. Issuers and verifiers come with their tokens.
pub fn create_api(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    api: &Api,
) -> Result<(), VaultError> {
    vault.change(access, world, |tx| {
        make(tx, world, api)?;
        Ok(((), event(world, &format!("api {}", api.name))))
    })
}

/// Writes the owner's set of a new API.
pub(super) fn make(tx: &mut VerifiedTx<'_>, world: &World<'_>, api: &Api) -> Result<(), VaultError> {
    let mut set: SetId = [0; 16];
    world.rng.fill(&mut set)?;
    refuse_mark(tx, api.mark)?;
    let draft = Draft {
        identity: tx.identity,
        api: api.id,
        set,
        number: tx.next_change(),
        time: world.now(),
        fresh_until: None,
        signer: SignerKind::Epoch,
        extensions: Extensions::default(),
    };
    let own = api.with_others(api.issuers.clone(), api.verifiers.clone());
    let content = Content { api: Some(own), ..Content::default() };
    let keys = keys_of(&tx.daily.issued, &api.id, &set);
    let written = content.write(&draft, &keys, &tx.daily.signing, world.rng);
    let written = written.map_err(|error| apart(&format!("{}: {error}", named(&set))))?;
    put(tx, &set, &written)
}

/// Changes the owner's set of an API.
pub fn change_api(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    api: &ApiId,
    changes: impl Fn(&LoadedSet) -> Result<Changes, VaultError>,
) -> Result<(), VaultError> {
    vault.change(access, world, |tx| {
        let sets = find(tx)?.sets;
        let owner = sets.iter().find(|carried| carried.api == *api && carried.set.api().is_some());
        let owner = owner.ok_or(TokenError::NoApi(*api))?;
        let name = owner.set.api().map(|api| api.name.to_string()).unwrap_or_default();
        rewrite(tx, owner, &draft_of(tx, &owner.set), &changes(&owner.set)?, world)?;
        Ok(((), event(world, &format!("api {name}"))))
    })
}

fn event(world: &World<'_>, detail: &str) -> Event {
    world.event(Action::Edit, Vec::new(), detail.to_owned())
}
