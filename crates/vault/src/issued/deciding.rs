//! The owner's decision on holds: each becomes an override, or is lifted.

use std::collections::BTreeMap;

use keyvault_core::codec::Extensions;
use keyvault_issue::hold::Remembered;
use keyvault_issue::record::{Ascending, Id, Note, Override, State, VerifierEntry};
use keyvault_issue::set::{Changes, Found, api_key};
use keyvault_issue::{ApiId, VerifierId};

use super::entries::rewrite;
use super::holds::read;
use super::{draft_of, find};
use crate::audit::Action;
use crate::error::VaultError;
use crate::file::open::{Access, Vault, World};
use crate::token::error::TokenError;

/// The owner's answer to a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision<'a> {
    /// The hold counts no more.
    Lift,
    /// The key or client is disabled for this reason, whatever its own record says.
    Disable(&'a str),
    /// The key or client is revoked for this reason.
    Revoke(&'a str),
}

/// Decides the holds of an API that `which` picks among the open ones in the file, and returns them.
///
/// A hold that only a verifier remembers, because its log became shorter, cannot be decided: its number may become that of
/// another hold.
pub fn decide_holds(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    api: &ApiId,
    decision: Decision<'_>,
    which: impl Fn(&VerifierEntry, &Remembered) -> bool,
) -> Result<Vec<(VerifierId, Remembered)>, VaultError> {
    vault.change(access, world, |tx| {
        let sets = find(tx)?.sets;
        let owner = sets.iter().find_map(|carried| {
            let own = carried.set.api().filter(|own| own.id == *api)?;
            Some((carried, own))
        });
        let (carried, own) = owner.ok_or(TokenError::NoApi(*api))?;
        let key = api_key(&tx.daily.issued, api);
        let mut decided = Vec::new();
        let mut verifiers = own.verifiers.to_vec();
        for entry in &mut verifiers {
            let rows = tx.rows.holds(&entry.id)?;
            let log = read(&rows, (own, entry), (&key, &tx.identity), entry.seen);
            let open = log.seen().holds.iter().filter(|hold| !entry.is_decided(hold.number));
            let picked: Vec<Remembered> = open.filter(|hold| which(entry, hold)).copied().collect();
            if picked.is_empty() {
                continue;
            }
            // A decision is on entries that the owner has seen.
            if log.seen().point.count > entry.seen.count {
                entry.seen = log.seen().point;
            }
            settle(entry, picked.iter().map(|hold| hold.number));
            decided.extend(picked.into_iter().map(|hold| (entry.id, hold)));
        }
        let mut changes = Changes::default();
        changes.put.overrides = overrides(&decided, decision, world, |id| carried.set.r#override(id));
        if !decided.is_empty() {
            changes.put.api = Some(own.with_others(own.issuers.clone(), Ascending::of(verifiers)));
            rewrite(tx, carried, &draft_of(tx, &carried.set), &changes, world)?;
        }
        let done = if decision == Decision::Lift { "lifted" } else { "decided" };
        let detail = format!("api {}: {done} {} holds", own.name, decided.len());
        Ok((decided, world.event(Action::Edit, Vec::new(), detail)))
    })
}

/// Adds decided numbers to an entry. Those that follow `settled` without a gap are told by it alone.
fn settle(entry: &mut VerifierEntry, decided: impl Iterator<Item = u64>) {
    let mut lifted: Vec<u64> = Ascending::of(entry.lifted.iter().copied().chain(decided)).to_vec();
    lifted.retain(|number| {
        if *number == entry.settled {
            entry.settled = entry.settled.saturating_add(1);
        }
        *number >= entry.settled
    });
    entry.lifted = Ascending::of(lifted);
}

/// The overrides that a decision writes: none where there is one already that is as strict.
fn overrides<'s>(
    decided: &[(VerifierId, Remembered)],
    decision: Decision<'_>,
    world: &World<'_>,
    present: impl Fn(&Id) -> Found<'s, Override>,
) -> Vec<Override> {
    let note = |reason: &str| Box::new(Note { since: world.now(), reason: reason.into() });
    let state = match decision {
        Decision::Lift => return Vec::new(),
        Decision::Disable(reason) => State::Disabled(note(reason)),
        Decision::Revoke(reason) => State::Revoked(note(reason)),
    };
    let mut all = BTreeMap::new();
    for (_, hold) in decided {
        let extensions = match present(&hold.id) {
            Found::Record(own) if own.state.is_revoked() || !state.is_revoked() => continue,
            Found::Record(own) => own.extensions.clone(),
            Found::Newer | Found::Absent => Extensions::default(),
        };
        all.insert(hold.id, Override { id: hold.id, state: state.clone(), extensions });
    }
    all.into_values().collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]
mod tests {
    use keyvault_issue::hold::{Notice, Reason};
    use keyvault_issue::record::Id;
    use keyvault_issue::standing::{Lookup, Standing};
    use keyvault_issue::verifier_id;

    use super::super::fixture::{API, vault, verifier, world};
    use super::super::{hold, owners_set, read_sets};
    use super::*;
    use crate::check;
    use crate::unlock::token::Token;

    const OWNERS: &str = "aa0000000001";

    fn hold_back(vault: &mut Vault, gateway: &Token, world: &World<'_>, id: &str) {
        let id = Id::parse(id).unwrap();
        let notice = Notice { id, time: world.now(), reason: Reason::Leaked, detail: "seen in a repository" };
        hold(vault, gateway, world, &API, &notice).unwrap();
    }

    fn standing(vault: &mut Vault, gateway: &Token, world: &World<'_>) -> Standing {
        let seen = read_sets(vault, gateway, world).unwrap();
        let (sets, _) = seen.apis.into_iter().next().unwrap().1.unwrap().join(&seen.list, world.now());
        match sets.find(&Id::parse(OWNERS).unwrap()) {
            Lookup::Key(key) => key.standing(world.now()),
            Lookup::Unavailable | Lookup::Unknown => Standing::Decoy,
        }
    }

    /// The verifier's count, `settled`, and `lifted`, in a vault without findings.
    fn entry(vault: &mut Vault, access: &Access) -> (u64, u64, Vec<u64>) {
        assert_eq!(check::run(vault, access).unwrap().findings, []);
        let set = vault.read(access, |tx| owners_set(tx, &API)).unwrap().unwrap();
        let entry = &set.api().unwrap().verifiers[0];
        (entry.seen.count, entry.settled, entry.lifted.to_vec())
    }

    #[test]
    fn a_hold_that_is_lifted_counts_no_more_and_the_next_one_does() {
        let folder = tempfile::tempdir().unwrap();
        let world = world(folder.path());
        let (mut vault, access) = vault(&world);
        let gateway = verifier(&mut vault, &access, &world).token;
        for id in ["aa0000000009", OWNERS] {
            hold_back(&mut vault, &gateway, &world, id);
        }
        assert_eq!(standing(&mut vault, &gateway, &world), Standing::Held);
        let own = Id::parse(OWNERS).unwrap();
        let lifted =
            decide_holds(&mut vault, &access, &world, &API, Decision::Lift, |_, hold| hold.id == own)
                .unwrap();
        assert_eq!(lifted.iter().map(|(_, hold)| hold.number).collect::<Vec<_>>(), [1]);
        assert_eq!(entry(&mut vault, &access), (2, 0, vec![1]));
        assert_eq!(standing(&mut vault, &gateway, &world), Standing::Active);
        hold_back(&mut vault, &gateway, &world, OWNERS);
        assert_eq!(standing(&mut vault, &gateway, &world), Standing::Held);
    }

    #[test]
    fn all_holds_of_one_verifier_are_lifted_at_once_and_no_other_verifiers() {
        let folder = tempfile::tempdir().unwrap();
        let world = world(folder.path());
        let (mut vault, access) = vault(&world);
        let gateway = verifier(&mut vault, &access, &world);
        let id = verifier_id(&gateway.record.id, &API);
        let gateway = gateway.token;
        hold_back(&mut vault, &gateway, &world, OWNERS);
        hold_back(&mut vault, &gateway, &world, "aa0000000009");
        let of = |id| move |entry: &VerifierEntry, _: &Remembered| entry.id == id;
        let none = decide_holds(&mut vault, &access, &world, &API, Decision::Lift, of([9; 16])).unwrap();
        assert_eq!((none, standing(&mut vault, &gateway, &world)), (vec![], Standing::Held));
        let lifted = decide_holds(&mut vault, &access, &world, &API, Decision::Lift, of(id)).unwrap();
        assert_eq!((lifted.len(), entry(&mut vault, &access)), (2, (2, 2, vec![])));
        assert_eq!(standing(&mut vault, &gateway, &world), Standing::Active);
    }

    #[test]
    fn a_hold_becomes_an_override_and_a_milder_decision_leaves_a_stricter_one() {
        let folder = tempfile::tempdir().unwrap();
        let world = world(folder.path());
        let (mut vault, access) = vault(&world);
        let gateway = verifier(&mut vault, &access, &world).token;
        let steps = [
            (Decision::Disable("leaked"), Standing::Disabled),
            (Decision::Revoke("leaked"), Standing::Revoked),
            (Decision::Disable("leaked again"), Standing::Revoked),
        ];
        for (count, (decision, then)) in (1..).zip(steps) {
            hold_back(&mut vault, &gateway, &world, OWNERS);
            decide_holds(&mut vault, &access, &world, &API, decision, |_, _| true).unwrap();
            assert_eq!(entry(&mut vault, &access), (count, count, vec![]));
            assert_eq!(standing(&mut vault, &gateway, &world), then);
        }
    }
}
