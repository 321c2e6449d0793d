//! Verifiers' tokens of the epoch before a rekey with an overlap: they go on until its end and no longer, and nothing that
//! their holders write is taken for the owner's.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

use keyvault_core::clock::{Clock, Moment};
use keyvault_core::codec;
use keyvault_core::crypto::{Cost, SigningKey};
use keyvault_issue::hold::{Notice, Reason};
use keyvault_issue::record::{Api, Id, Reaction, State, VerifierState};
use keyvault_issue::set::{Changes, Content, LoadedSet};
use keyvault_issue::standing::{Lookup, Standing};
use keyvault_issue::verifier_id;

use super::fixture::{API, issue, issuer, key, passphrase, token_name, vault, verifier, world};
use super::{change_api, hold, owners_set, read_sets};
use crate::audit::Action;
use crate::error::VaultError;
use crate::file::open::World;
use crate::slot::rekey::Rekeyed;
use crate::store::{Durability, Tx};
use crate::token::error::TokenError;
use crate::token::former::{self, SignedSuccession};
use crate::token::grant::View;
use crate::token::record::TokenKind;
use crate::unlock::token::Token;
use crate::{Access, Creation, Credential, Vault, check, file, slot, token};

const DAY: i64 = 86_400_000;
const NOON: i64 = 1_800_000_000_000;
const OWNERS: &str = "aa0000000001";

/// So many milliseconds after noon.
struct After(i64);

impl Clock for After {
    fn now(&self) -> Moment {
        Moment(NOON + self.0)
    }
}

fn at<'c>(clock: &'c After, folder: &std::path::Path) -> World<'c> {
    World { clock, ..world(folder) }
}

fn rekey(vault: &mut Vault, access: &Access, world: &World<'_>, overlap: Option<i64>) -> (Rekeyed, Access) {
    let passphrase = passphrase();
    let credential = Credential::Passphrase(&passphrase, Cost::FLOOR);
    let rekeyed =
        slot::rekey_overlapping(vault, access, world, &[credential], &[access], overlap, &|_| ()).unwrap();
    (rekeyed, vault.open_passphrase(&passphrase).unwrap())
}

fn change(vault: &mut Vault, access: &Access, world: &World<'_>) {
    let event = || world.event(Action::Edit, Vec::new(), String::new());
    vault.change(access, world, |_| Ok(((), event()))).unwrap();
}

/// The owner writes the set, with the grants of its API.
fn write_key(vault: &mut Vault, access: &Access, world: &World<'_>) {
    let make = |set: &LoadedSet| {
        let api = set.api().unwrap();
        let others = api.with_others(api.issuers.clone(), api.verifiers.clone());
        let own = Api { reaction: Reaction::Hold, ..others };
        let put = Content { api: Some(own), keys: vec![key(State::Active)], ..Content::default() };
        Ok(Changes { put, removed: Vec::new() })
    };
    change_api(vault, access, world, &API, make).unwrap();
}

fn verdict(vault: &mut Vault, token: &Token, world: &World<'_>) -> Result<Standing, TokenError> {
    let seen = match read_sets(vault, token, world) {
        Err(VaultError::Token(error)) => return Err(error),
        seen => seen.unwrap(),
    };
    let list = seen.list;
    let api = seen.apis.into_iter().next().unwrap().1.unwrap();
    match api.join(&list, world.now()).0.find(&Id::parse(OWNERS).unwrap()) {
        Lookup::Key(key) => Ok(key.standing(world.now())),
        _ => panic!("no verdict"),
    }
}

fn hold_back(vault: &mut Vault, token: &Token, world: &World<'_>) -> Result<(), VaultError> {
    let id = Id::parse(OWNERS).unwrap();
    hold(vault, token, world, &API, &Notice { id, time: world.now(), reason: Reason::Leaked, detail: "" })
}

fn sound(vault: &mut Vault, access: &Access) {
    assert_eq!(check::run(vault, access).unwrap().findings, []);
}

fn tamper<T>(vault: &mut Vault, act: impl FnOnce(&Tx<'_>) -> T) -> T {
    let rows = vault.store.begin(Durability::Synced, &mut |_| ()).unwrap();
    let done = act(&rows);
    rows.commit().unwrap();
    done
}

#[test]
fn a_former_token_reads_the_sets_until_the_end_of_the_overlap_and_not_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let (mut vault, access) = vault(&world);
    let former = verifier(&mut vault, &access, &world).token;
    assert_eq!(verdict(&mut vault, &former, &world), Ok(Standing::Active));
    let (rekeyed, access) = rekey(&mut vault, &access, &world, Some(DAY));
    assert_eq!(rekeyed.overlap, Some(Moment(NOON + DAY)));
    let present = &rekeyed.tokens[0].token;
    for token in [&former, present] {
        assert_eq!(verdict(&mut vault, token, &world), Ok(Standing::Active));
    }
    sound(&mut vault, &access);
    // Changes of the owner's reach both, and a hold by either counts for both.
    change(&mut vault, &access, &world);
    write_key(&mut vault, &access, &world);
    hold_back(&mut vault, &former, &world).unwrap();
    for token in [&former, present] {
        assert_eq!(verdict(&mut vault, token, &world), Ok(Standing::Held));
    }
    change(&mut vault, &access, &world);
    sound(&mut vault, &access);
    let clock = After(DAY - 1);
    assert_eq!(verdict(&mut vault, &former, &at(&clock, folder.path())), Ok(Standing::Held));
    // The verifier's own clock ends it, before any change does.
    let clock = After(DAY);
    let over = at(&clock, folder.path());
    let since = Moment(NOON + DAY);
    assert_eq!(verdict(&mut vault, &former, &over), Err(TokenError::FormerOver { since }));
    assert!(hold_back(&mut vault, &former, &over).is_err());
    change(&mut vault, &access, &over);
    assert_eq!(verdict(&mut vault, &former, &over), Err(TokenError::OpensNothing));
    assert_eq!(verdict(&mut vault, present, &over), Ok(Standing::Held));
    let set = vault.read(&access, |tx| owners_set(tx, &API)).unwrap().unwrap();
    let entry = set.api().unwrap().verifiers.find(&verifier_id(&former.id(), &API)).unwrap();
    assert_eq!((entry.state, entry.seen.count, entry.epoch), (VerifierState::Closed, 1, 1));
    sound(&mut vault, &access);
}

#[test]
fn without_an_overlap_the_former_token_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let (mut vault, access) = vault(&world);
    let former = verifier(&mut vault, &access, &world).token;
    let (rekeyed, access) = rekey(&mut vault, &access, &world, None);
    assert_eq!((rekeyed.overlap, rekeyed.tokens.len()), (None, 1));
    assert_eq!(verdict(&mut vault, &former, &world), Err(TokenError::OpensNothing));
    sound(&mut vault, &access);
}

#[test]
fn no_overlap_is_longer_than_a_week_and_none_outlasts_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let (mut vault, access) = vault(&world);
    verifier(&mut vault, &access, &world);
    let (rekeyed, access) = rekey(&mut vault, &access, &world, Some(i64::MAX));
    assert_eq!(rekeyed.overlap, Some(Moment(NOON + former::LONGEST)));
    sound(&mut vault, &access);
}

#[test]
fn what_ends_a_verifiers_token_or_replaces_the_epoch_ends_its_former_one() {
    type Deed = fn(&mut Vault, Access, &World<'_>) -> Access;
    let deeds: [Deed; 4] = [
        |vault, access, world| {
            token::revoke(vault, &access, world, &token_name("gateway")).unwrap();
            access
        },
        |vault, access, world| {
            token::renew(vault, &access, world, &token_name("gateway")).unwrap();
            access
        },
        |vault, access, world| rekey(vault, &access, world, None).1,
        |vault, access, world| {
            vault
                .change(&access, world, |tx| {
                    former::end_of(tx, None)?;
                    Ok(((), world.event(Action::Restore, Vec::new(), String::new())))
                })
                .unwrap();
            access
        },
    ];
    for deed in deeds {
        let folder = tempfile::tempdir().unwrap();
        let world = world(folder.path());
        let (mut vault, access) = vault(&world);
        let former = verifier(&mut vault, &access, &world).token;
        let (_, access) = rekey(&mut vault, &access, &world, Some(DAY));
        assert_eq!(verdict(&mut vault, &former, &world), Ok(Standing::Active));
        let access = deed(&mut vault, access, &world);
        assert_eq!(verdict(&mut vault, &former, &world), Err(TokenError::OpensNothing));
        sound(&mut vault, &access);
    }
}

#[test]
fn a_second_rekey_lets_the_tokens_of_the_first_go_on_and_those_before_end() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let (mut vault, access) = vault(&world);
    let first = verifier(&mut vault, &access, &world).token;
    let (rekeyed, access) = rekey(&mut vault, &access, &world, Some(DAY));
    let (_, access) = rekey(&mut vault, &access, &world, Some(DAY));
    assert_eq!(verdict(&mut vault, &first, &world), Err(TokenError::OpensNothing));
    assert_eq!(verdict(&mut vault, &rekeyed.tokens[0].token, &world), Ok(Standing::Active));
    sound(&mut vault, &access);
}

#[test]
fn an_issuers_former_token_opens_nothing_and_its_keys_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let (mut vault, access) = vault(&world);
    verifier(&mut vault, &access, &world);
    let portal = issuer(&mut vault, &access, &world).token;
    let (_, access) = rekey(&mut vault, &access, &world, Some(DAY));
    let refused = super::write_set(&mut vault, &portal, &world, |_| panic!("it opens nothing")).unwrap_err();
    assert!(matches!(refused, VaultError::Token(TokenError::OpensNothing)));
    sound(&mut vault, &access);
}

/// The view of a token as its holder can write it, signed by `signing`, with `proof` behind it.
fn forge(
    vault: &mut Vault,
    token: &Token,
    signing: &SigningKey,
    proof: Option<&SignedSuccession>,
    change: u64,
) {
    let identity = vault.identity();
    let keys = token.reader().keys(&identity, &token.id());
    tamper(vault, |tx| {
        let row = tx.view(&token.id()).unwrap().unwrap();
        let view = View::open(&row, TokenKind::Verifier, &keys, &identity).unwrap();
        let view = View { change, ..view };
        let rng = &keyvault_core::crypto::SystemRng;
        let row = view.seal(&keys, &identity, &token.id(), signing, proof, rng).unwrap();
        tx.put_view(&row).unwrap();
    });
}

#[test]
fn nothing_that_a_former_token_or_a_former_root_signs_is_taken_for_the_owners() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let (mut vault, access) = vault(&world);
    let former = verifier(&mut vault, &access, &world).token;
    // Someone had the everyday keys of the epoch that the rekey ends.
    let (stolen, old) = vault.keys(&access);
    let (rekeyed, access) = rekey(&mut vault, &access, &world, Some(DAY));
    let present = &rekeyed.tokens[0].token;
    let identity = vault.identity();
    let proofs = vault.read(&access, former::that_hold).unwrap();
    let proof = proofs[0].proof.clone();
    let (owner, _) = vault.keys(&access);
    let change = vault.read(&access, |tx| Ok(tx.change_number())).unwrap();
    let by_owner = Err(TokenError::NotByOwner { what: "view" });
    let own = former.signing(&identity);
    for signing in [&own, &stolen.signing] {
        // Behind the right succession stands a view that the present signer did not sign, or none does.
        for proof in [Some(&proof), None] {
            forge(&mut vault, &former, signing, proof, change + 1);
            assert_eq!(verdict(&mut vault, &former, &world), by_owner);
        }
        forge(&mut vault, present, signing, None, change + 1);
        assert_eq!(verdict(&mut vault, present, &world), by_owner);
    }
    // Not even the owner's own signature makes a present token take a succession.
    forge(&mut vault, present, &owner.signing, Some(&proof), change);
    assert_eq!(verdict(&mut vault, present, &world), by_owner);
    // A succession of another epoch, of another signer, or with another end was not signed as it stands.
    let encoded = codec::encode(&proof);
    for place in 0..encoded.len() {
        let mut altered = encoded.clone();
        altered[place] ^= 1;
        let Ok(altered) = codec::decode::<SignedSuccession>(&altered) else { continue };
        forge(&mut vault, &former, &owner.signing, Some(&altered), change);
        assert!(verdict(&mut vault, &former, &world).is_err(), "{place}");
    }
    assert_ne!(old, identity);
    forge(&mut vault, &former, &owner.signing, Some(&proof), change);
    assert_eq!(verdict(&mut vault, &former, &world), Ok(Standing::Active));
    // The owner's next change writes over all of it.
    let mut change = || {
        self::change(&mut vault, &access, &world);
        check::run(&mut vault, &access).unwrap().findings
    };
    assert_ne!(change(), []);
    write_key(&mut vault, &access, &world);
    sound(&mut vault, &access);
    assert_eq!(verdict(&mut vault, &former, &world), Ok(Standing::Active));
}

#[test]
fn a_row_in_the_place_of_a_former_token_keeps_no_change_from_being_made() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let (mut vault, access) = vault(&world);
    let former = verifier(&mut vault, &access, &world).token;
    let (_, access) = rekey(&mut vault, &access, &world, Some(DAY));
    tamper(&mut vault, |tx| {
        let rows = tx.wellformed_objects(crate::store::ObjectKind::Former).unwrap();
        let mut row = rows.into_iter().next().unwrap();
        row.sealed[40] ^= 1;
        tx.put_object(&row).unwrap();
    });
    change(&mut vault, &access, &world);
    assert_eq!(verdict(&mut vault, &former, &world), Err(TokenError::OpensNothing));
    assert_ne!(check::run(&mut vault, &access).unwrap().findings, []);
    let (_, access) = rekey(&mut vault, &access, &world, None);
    sound(&mut vault, &access);
}

#[test]
fn a_restored_backup_with_an_overlap_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let passphrase = passphrase();
    let creation = Creation { passphrase: &passphrase, cost: Cost::FLOOR, recovery: None };
    let own = folder.path().join("vault.db");
    drop(file::create(&own, &creation, &world).unwrap());
    let mut vault = Vault::open(&own, &world.pins).unwrap();
    let access = vault.open_passphrase(&passphrase).unwrap();
    issue(&mut vault, &access, &world);
    let former = verifier(&mut vault, &access, &world).token;
    let (_, access) = rekey(&mut vault, &access, &world, Some(DAY));
    assert_eq!(verdict(&mut vault, &former, &world), Ok(Standing::Active));
    let copy = folder.path().join("backup.db");
    file::backup(&vault, &copy, &world).unwrap();
    let path = folder.path().join("restored.db");
    let mut backup = Vault::open(&copy, &world.pins).unwrap();
    let access_of_copy = backup.open_passphrase(&passphrase).unwrap();
    let difference = file::difference(&mut backup, &access_of_copy, None, &path, world.now()).unwrap();
    file::restore(&mut backup, &access_of_copy, None, &difference, None, &path, &world).unwrap();
    let mut restored = Vault::open(&path, &world.pins).unwrap();
    assert_eq!(verdict(&mut restored, &former, &world), Err(TokenError::OpensNothing));
    let access_of_restored = restored.open_passphrase(&passphrase).unwrap();
    sound(&mut restored, &access_of_restored);
    sound(&mut vault, &access);
}
