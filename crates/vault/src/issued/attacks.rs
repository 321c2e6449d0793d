//! Verifiers and issuers at work, and with their tokens and write access to the file: nothing that they put there is taken
//! beyond what the owner signed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

use keyvault_core::clock::Moment;
use keyvault_core::crypto::{Cost, Signed, SystemRng};
use keyvault_issue::hold::{Finding, Notice, Reason};
use keyvault_issue::issuer::MAX_RISE;
use keyvault_issue::record::{Id, KeyRecord, Proof, State, VerifierEntry, VerifierState};
use keyvault_issue::set::{
    Changes, Content, Draft, Kind, List, LoadedSet, PageKeys, SetError, SignerKind, Written, page_key,
};
use keyvault_issue::standing::{Lookup, Standing};
use keyvault_issue::verifier_id;

use super::fixture::{API, SET, issuer, key, passphrase, revoked, token_name, vault, verifier, world};
use super::{
    Replaced, change_api, find, hold, keep_irrevocable, put_pages, read_sets, rise_above, sealed, write_set,
};
use crate::audit::Action;
use crate::error::VaultError;
use crate::file::open::World;
use crate::state::StateError;
use crate::state::record::Record;
use crate::store::{Durability, PageRow, SetRow, StateRow, Tx};
use crate::token::api_grant::ApiGrant;
use crate::token::error::TokenError;
use crate::unlock::token::Token;
use crate::{Access, BearerKeys, Credential, KeysOfIssuer, Supply, Vault, check, slot, token};

const NOON: i64 = 1_800_000_000_000;
const DAY: i64 = 86_400_000;

/// A vault with an API whose keys the gateway verifies.
struct Scene {
    /// Of the pins, until the test ends.
    folder: tempfile::TempDir,
    world: World<'static>,
    vault: Vault,
    access: Access,
    gateway: Token,
}

impl Scene {
    fn set() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let world = world(folder.path());
        let (mut vault, access) = vault(&world);
        let gateway = verifier(&mut vault, &access, &world).token;
        Self { folder, world, vault, access, gateway }
    }
}

#[track_caller]
fn finds_nothing(vault: &mut Vault, access: &Access) {
    assert_eq!(check::run(vault, access).unwrap().findings, []);
}

/// A key of the portal, whose set has the mark `bb`.
fn portals(number: u8, expires: i64) -> KeyRecord {
    let id = Id::parse(&format!("bb00000000{number:02}")).unwrap();
    KeyRecord {
        id,
        proof: Proof::of_own(&id, b"secret"),
        expires: Some(Moment(expires)),
        ..key(State::Active)
    }
}

fn put_keys(keys: Vec<KeyRecord>) -> Changes {
    Changes { put: Content { keys, ..Content::default() }, removed: Vec::new() }
}

fn write(vault: &mut Vault, portal: &Token, world: &World<'_>, keys: &[KeyRecord]) -> Result<(), VaultError> {
    write_set(vault, portal, world, |_| Ok(put_keys(keys.to_vec())))
}

/// Any change of the owner's.
fn change(vault: &mut Vault, access: &Access, world: &World<'_>) {
    let event = || world.event(Action::Edit, Vec::new(), String::new());
    vault.change(access, world, |_| Ok(((), event()))).unwrap();
}

/// Writes rows as anyone can who may write the file.
fn tamper<T>(vault: &mut Vault, act: impl FnOnce(&Tx<'_>) -> T) -> T {
    let rows = vault.store.begin(Durability::Synced, &mut |_| ()).unwrap();
    let done = act(&rows);
    rows.commit().unwrap();
    done
}

/// The verdict of the gateway on a key, or the fault of its set.
fn verdict(vault: &mut Vault, gateway: &Token, world: &World<'_>, id: &str) -> Result<Standing, SetError> {
    let seen = read_sets(vault, gateway, world).unwrap();
    let list = seen.list;
    let api = seen.apis.into_iter().next().unwrap().1?;
    let (sets, faults) = api.join(&list, world.now());
    match sets.find(&Id::parse(id).unwrap()) {
        Lookup::Key(key) => Ok(key.standing(world.now())),
        Lookup::Unavailable => Err(*faults.values().next().unwrap_or(&SetError::NotListed)),
        Lookup::Unknown => Err(SetError::NoIssuer),
    }
}

/// The rows of a set.
fn rows_of(tx: &Tx<'_>, set: &[u8; 16]) -> (SetRow, Vec<PageRow>) {
    let header = tx.set_headers().unwrap().into_iter().find(|row| row.set == *set).unwrap();
    (header, tx.set_pages(set).unwrap())
}

fn put_rows(tx: &Tx<'_>, (header, pages): &(SetRow, Vec<PageRow>)) {
    for kind in Kind::ALL {
        tx.delete_set_pages(&header.set, kind as u8).unwrap();
    }
    for page in pages {
        tx.put_set_page(page).unwrap();
    }
    tx.put_set_header(header).unwrap();
}

fn set_of(portal: &token::Issued) -> [u8; 16] {
    portal.record.apis[&API].unwrap()
}

#[test]
fn an_issuers_key_is_good_at_once_and_listed_by_the_owners_next_change() {
    let Scene { folder: _folder, world, mut vault, access, gateway } = Scene::set();
    let portal = issuer(&mut vault, &access, &world);
    assert_eq!(verdict(&mut vault, &gateway, &world, "aa0000000001"), Ok(Standing::Active));
    write(&mut vault, &portal.token, &world, &[portals(1, NOON + DAY)]).unwrap();
    assert_eq!(verdict(&mut vault, &gateway, &world, "bb0000000001"), Ok(Standing::Active));
    write(&mut vault, &portal.token, &world, &[portals(2, NOON + DAY)]).unwrap();
    assert_eq!(verdict(&mut vault, &gateway, &world, "bb0000000001"), Ok(Standing::Active));
    change(&mut vault, &access, &world);
    let listed = read_sets(&mut vault, &gateway, &world).unwrap().list;
    assert_eq!(listed.set(&set_of(&portal)).unwrap().number, 2);
    assert_eq!(verdict(&mut vault, &gateway, &world, "bb0000000002"), Ok(Standing::Active));
    finds_nothing(&mut vault, &access);
}

#[test]
fn a_renewed_issuer_goes_on_with_its_keys_and_the_one_who_has_the_old_token_does_not() {
    let Scene { folder: _folder, world, mut vault, access, gateway } = Scene::set();
    let portal = issuer(&mut vault, &access, &world);
    write(&mut vault, &portal.token, &world, &[portals(1, NOON + DAY)]).unwrap();
    let renewed = token::renew(&mut vault, &access, &world, &token_name("portal")).unwrap();
    assert_eq!(verdict(&mut vault, &gateway, &world, "bb0000000001"), Ok(Standing::Active));
    let refused = write(&mut vault, &portal.token, &world, &[portals(2, NOON + DAY)]).unwrap_err();
    assert!(matches!(refused, VaultError::Token(TokenError::OpensNothing)));
    write(&mut vault, &renewed.token, &world, &[portals(3, NOON + DAY)]).unwrap();
    assert_eq!(verdict(&mut vault, &gateway, &world, "bb0000000003"), Ok(Standing::Active));
    change(&mut vault, &access, &world);
    finds_nothing(&mut vault, &access);
}

/// A generation of the portal's set that its issuer signs itself, whatever it may.
fn signed_by(
    vault: &mut Vault,
    access: &Access,
    portal: &token::Issued,
    (number, signer): (u64, SignerKind),
    keys: Vec<KeyRecord>,
) -> Written {
    let identity = vault.identity();
    let page_keys = vault
        .read(access, |tx| {
            let grant = ApiGrant::of(tx, &API, Some(&set_of(portal)))?;
            let Some(ApiGrant::Issuer(grant)) = grant else { panic!("no grant") };
            Ok(grant.page_keys())
        })
        .unwrap();
    let draft = Draft {
        identity,
        api: API,
        set: set_of(portal),
        number,
        time: Moment(0),
        fresh_until: None,
        signer,
        extensions: keyvault_core::codec::Extensions::default(),
    };
    let content = Content { keys, ..Content::default() };
    content.write(&draft, &page_keys, &portal.token.signing(&identity), &SystemRng).unwrap()
}

fn put_written(tx: &Tx<'_>, set: [u8; 16], number: u64, written: &Written) {
    put_pages(tx, &set, number, written).unwrap();
    let header = &written.header;
    let row = SetRow { set, header: header.text.clone(), signature: header.signature.clone() };
    tx.put_set_header(&row).unwrap();
}

#[test]
fn nothing_that_an_issuer_writes_beyond_its_bounds_is_taken() {
    let Scene { folder: _folder, world, mut vault, access, gateway } = Scene::set();
    let portal = issuer(&mut vault, &access, &world);
    let set = set_of(&portal);
    // A key beyond the longest life is refused alone.
    write(&mut vault, &portal.token, &world, &[portals(1, NOON + DAY), portals(2, NOON + 2 * DAY)]).unwrap();
    assert_eq!(verdict(&mut vault, &gateway, &world, "bb0000000001"), Ok(Standing::Active));
    let beyond = verdict(&mut vault, &gateway, &world, "bb0000000002").unwrap();
    assert!(matches!(beyond, Standing::Refused(_)), "{beyond:?}");
    // Its own program refuses to write more keys than it may have.
    let many: Vec<_> = (1..=11).map(|number| portals(number, NOON + DAY)).collect();
    assert!(write(&mut vault, &portal.token, &world, &many).is_err());

    let good = tamper(&mut vault, |tx| rows_of(tx, &set));
    let by_itself = |number, signer, keys: &[KeyRecord]| (number, signer, keys.to_vec());
    let own = SignerKind::Issuer;
    for (number, signer, keys) in [
        by_itself(2, own, &many),
        by_itself(MAX_RISE + 2, own, &[portals(3, NOON + DAY)]),
        by_itself(2, SignerKind::Epoch, &[portals(3, NOON + DAY)]),
    ] {
        let written = signed_by(&mut vault, &access, &portal, (number, signer), keys);
        tamper(&mut vault, |tx| put_written(tx, set, number, &written));
        let error = verdict(&mut vault, &gateway, &world, "bb0000000003").unwrap_err();
        assert!(
            matches!(error, SetError::TooManyKeys | SetError::Number | SetError::Origin),
            "{number}: {error}"
        );
        // The owner's keys are not its to take away, and the owner does not list it.
        assert_eq!(verdict(&mut vault, &gateway, &world, "aa0000000001"), Ok(Standing::Active));
        change(&mut vault, &access, &world);
        let listed = read_sets(&mut vault, &gateway, &world).unwrap().list;
        assert!(listed.set(&set).is_none_or(|listed| listed.number <= 1));
        tamper(&mut vault, |tx| put_rows(tx, &good));
    }
    // A set in the owner's place.
    let written = signed_by(&mut vault, &access, &portal, (9, own), vec![portals(3, NOON + DAY)]);
    let owners = tamper(&mut vault, |tx| rows_of(tx, &SET));
    tamper(&mut vault, |tx| {
        let header = written.header.clone();
        tx.put_set_header(&SetRow { set: SET, header: header.text, signature: header.signature }).unwrap();
    });
    assert!(verdict(&mut vault, &gateway, &world, "aa0000000001").is_err());
    tamper(&mut vault, |tx| put_rows(tx, &owners));
    assert_eq!(verdict(&mut vault, &gateway, &world, "aa0000000001"), Ok(Standing::Active));
}

#[test]
fn after_an_issuer_is_revoked_its_keys_stay_as_they_were_and_no_other_is_taken() {
    let Scene { folder: _folder, world, mut vault, access, gateway } = Scene::set();
    let portal = issuer(&mut vault, &access, &world);
    let set = set_of(&portal);
    write(&mut vault, &portal.token, &world, &[portals(1, NOON + DAY)]).unwrap();
    let stolen =
        signed_by(&mut vault, &access, &portal, (2, SignerKind::Issuer), vec![portals(3, NOON + DAY)]);
    token::revoke(&mut vault, &access, &world, &token_name("portal")).unwrap();
    assert_eq!(verdict(&mut vault, &gateway, &world, "bb0000000001"), Ok(Standing::Active));
    let good = tamper(&mut vault, |tx| rows_of(tx, &set));
    tamper(&mut vault, |tx| put_written(tx, set, 2, &stolen));
    assert_eq!(verdict(&mut vault, &gateway, &world, "bb0000000003"), Err(SetError::NotListed));
    change(&mut vault, &access, &world);
    assert_eq!(verdict(&mut vault, &gateway, &world, "bb0000000003"), Err(SetError::NotListed));
    tamper(&mut vault, |tx| put_rows(tx, &good));
    assert_eq!(verdict(&mut vault, &gateway, &world, "bb0000000001"), Ok(Standing::Active));
}

#[test]
fn the_keys_of_an_issuer_that_was_ended_are_refused() {
    let Scene { folder: _folder, world, mut vault, access, gateway } = Scene::set();
    let portal = issuer(&mut vault, &access, &world);
    write(&mut vault, &portal.token, &world, &[portals(1, NOON + DAY)]).unwrap();
    token::revoke_with(&mut vault, &access, &world, &token_name("portal"), KeysOfIssuer::Ended).unwrap();
    let seen = read_sets(&mut vault, &gateway, &world).unwrap();
    let issuers = &seen.apis[&API].as_ref().unwrap().issuers;
    assert_eq!(issuers[&set_of(&portal)].as_ref().err(), Some(&SetError::IssuerEnded));
    finds_nothing(&mut vault, &access);
    change(&mut vault, &access, &world);
}

#[test]
fn a_verifier_that_can_write_the_file_mints_widens_and_unrevokes_nothing() {
    let Scene { folder: _folder, world, mut vault, access, gateway } = Scene::set();
    let before = tamper(&mut vault, |tx| (rows_of(tx, &SET), tx.set_list().unwrap(), tx.state().unwrap()));
    // The owner revokes the key.
    vault
        .change(&access, &world, |tx| {
            let carried = find(tx)?.sets.remove(0);
            let keys = super::keys_of(&tx.daily.issued, &API, &SET);
            let draft = super::draft_of(tx, &carried.set);
            let changes = put_keys(vec![key(revoked())]);
            let written = carried.set.change(&draft, &changes, &keys, &tx.daily.signing, world.rng).unwrap();
            super::put(tx, &SET, &written)?;
            Ok(((), world.event(Action::Edit, Vec::new(), String::new())))
        })
        .unwrap();
    assert_eq!(verdict(&mut vault, &gateway, &world, "aa0000000001"), Ok(Standing::Revoked));
    let now = tamper(&mut vault, |tx| (rows_of(tx, &SET), tx.set_list().unwrap(), tx.state().unwrap()));

    let record = vault.read(&access, |tx| Ok(tx.current.record.clone())).unwrap();
    // A generation of its own, sealed as the owner's pages are: it has their key.
    let seen = read_sets(&mut vault, &gateway, &world).unwrap();
    let owner = seen.apis.into_iter().next().unwrap().1.unwrap().owner;
    let api_key = vault.read(&access, |tx| Ok(keyvault_issue::set::api_key(&tx.daily.issued, &API))).unwrap();
    let identity = vault.identity();
    let keys = PageKeys::of_api(&api_key, &SET);
    let own = owner.header().header();
    let draft = |number| Draft {
        identity,
        api: API,
        set: SET,
        number,
        time: Moment(NOON),
        fresh_until: None,
        signer: SignerKind::Epoch,
        extensions: own.extensions.clone(),
    };
    let forged = owner
        .change(
            &draft(own.number + 1),
            &put_keys(vec![key(State::Active)]),
            &keys,
            &gateway.signing(&identity),
            &SystemRng,
        )
        .unwrap();
    tamper(&mut vault, |tx| put_written(tx, SET, own.number + 1, &forged));
    assert_eq!(verdict(&mut vault, &gateway, &world, "aa0000000001"), Err(SetError::Origin));
    // Under the owner's header.
    tamper(&mut vault, |tx| tx.put_set_header(&now.0.0).unwrap());
    assert_eq!(verdict(&mut vault, &gateway, &world, "aa0000000001"), Err(SetError::Root));
    // With a list of its own.
    tamper(&mut vault, |tx| {
        put_written(tx, SET, own.number + 1, &forged);
        let listed =
            keyvault_issue::set::Listed { set: SET, number: own.number + 1, header: forged.header.hash() };
        let list = List(keyvault_issue::record::Ascending::of([listed])).encode();
        tx.put_set_list(&list).unwrap();
    });
    assert!(matches!(
        read_sets(&mut vault, &gateway, &world),
        Err(VaultError::State(StateError::Apart { .. }))
    ));
    tamper(&mut vault, |tx| {
        put_rows(tx, &now.0);
        tx.put_set_list(&now.1).unwrap();
    });
    assert_eq!(verdict(&mut vault, &gateway, &world, "aa0000000001"), Ok(Standing::Revoked));
    // The owner's set as it was: not listed, and with its list and record rolled back.
    tamper(&mut vault, |tx| put_rows(tx, &before.0));
    assert_eq!(verdict(&mut vault, &gateway, &world, "aa0000000001"), Err(SetError::NotListed));
    tamper(&mut vault, |tx| {
        tx.put_set_list(&before.1).unwrap();
        tx.put_state(&before.2).unwrap();
    });
    assert!(matches!(read_sets(&mut vault, &gateway, &world), Err(VaultError::Alarm { .. })));
    // With a record that goes on from the owner's and names the old list, signed with what it has.
    let later = Record { change: record.change + 1, sets: List::hash(&before.1), ..record };
    let text = later.encode(&identity);
    let signature = gateway.signing(&identity).sign(Signed::Record, &identity, &text);
    let signers = [now.2.signature.clone(), signature];
    for signature in signers {
        let state = StateRow { record: text.clone(), signature, mac: [0; 32] };
        tamper(&mut vault, |tx| tx.put_state(&state).unwrap());
        let error = read_sets(&mut vault, &gateway, &world).err().unwrap();
        assert!(matches!(error, VaultError::Token(TokenError::NotByOwner { what: "record" })), "{error}");
    }
    // With its own public key where the vault has the owner's.
    vault.header.signer = gateway.signing(&identity).signer().encode();
    assert!(read_sets(&mut vault, &gateway, &world).is_err());
}

#[test]
fn an_issuers_set_that_is_put_back_is_not_taken_where_it_was_seen() {
    let Scene { folder: _folder, world, mut vault, access, gateway } = Scene::set();
    let portal = issuer(&mut vault, &access, &world);
    let set = set_of(&portal);
    write(&mut vault, &portal.token, &world, &[portals(1, NOON + DAY)]).unwrap();
    let first = tamper(&mut vault, |tx| rows_of(tx, &set));
    write_set(&mut vault, &portal.token, &world, |view| {
        let id = portals(1, NOON + DAY).id;
        assert!(matches!(view.own.unwrap().key(&id), keyvault_issue::set::Found::Record(_)));
        assert_eq!(view.words()?.words().count(), 0);
        Ok(put_keys(vec![KeyRecord { state: revoked(), ..portals(1, NOON + DAY) }]))
    })
    .unwrap();
    assert_eq!(verdict(&mut vault, &gateway, &world, "bb0000000001"), Ok(Standing::Revoked));
    tamper(&mut vault, |tx| put_rows(tx, &first));
    assert_eq!(verdict(&mut vault, &gateway, &world, "bb0000000001"), Err(SetError::Older));
    // It was never listed, so a machine that never saw the second knows no better.
    assert!(write(&mut vault, &portal.token, &world, &[]).is_err());
}

#[test]
fn a_token_of_another_kind_or_that_was_revoked_opens_no_sets() {
    let Scene { folder: _folder, world, mut vault, access, gateway } = Scene::set();
    let portal = issuer(&mut vault, &access, &world).token;
    let other = |error: VaultError| matches!(error, VaultError::Token(TokenError::OtherKind { .. }));
    assert!(other(read_sets(&mut vault, &portal, &world).err().unwrap()));
    assert!(other(write(&mut vault, &gateway, &world, &[]).unwrap_err()));
    let mut supply = Supply::Granted(vault, BearerKeys::of(&gateway, None));
    assert!(other(supply.look(&world).err().unwrap()));
    let Supply::Granted(mut vault, _) = supply else { panic!("another supply") };
    token::revoke(&mut vault, &access, &world, &token_name("gateway")).unwrap();
    let gone = read_sets(&mut vault, &gateway, &world).err().unwrap();
    assert!(matches!(gone, VaultError::Token(TokenError::OpensNothing)));
}

#[test]
fn an_issuers_grants_open_its_own_pages_and_those_of_words_alone() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let (mut vault, access) = vault(&world);
    let portal = issuer(&mut vault, &access, &world);
    let (carried, grant) = vault
        .read(&access, |tx| Ok((find(tx)?.sets.remove(0), ApiGrant::of(tx, &API, Some(&set_of(&portal)))?)))
        .unwrap();
    let Some(ApiGrant::Issuer(grant)) = grant else { panic!("no grant") };
    let page = carried.pages.iter().find(|page| page.kind == Kind::Keys as u8).unwrap();
    let header = carried.set.header().clone();
    let own = grant.page_keys();
    let theirs =
        own.get(Kind::Keys).and_then(|key| keyvault_core::crypto::SealingKey::from_bytes(key.expose()));
    let keys = PageKeys::default().with(Kind::Keys, theirs.unwrap());
    let opened = LoadedSet::load(header, &keys, carried.pages.iter().map(sealed));
    assert_eq!(opened.err(), Some(SetError::PageSeal { kind: page.kind, page: page.page }));
    assert!(grant.words_key().get(Kind::Keys).is_none());
    let api_key = vault.read(&access, |tx| Ok(keyvault_issue::set::api_key(&tx.daily.issued, &API))).unwrap();
    let words = page_key(&api_key, &SET, Kind::Words);
    assert_eq!(
        grant.words_key().get(Kind::Words).map(|key| key.expose().to_vec()),
        Some(words.expose().to_vec())
    );
}

/// Anyone with a token shares the keys of its rows with the owner.
#[test]
fn a_verifiers_grants_that_were_altered_are_written_again_by_the_next_change_of_its_apis() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let (mut vault, access) = vault(&world);
    let gateway = verifier(&mut vault, &access, &world);
    let id = gateway.record.id;
    let forged = vault
        .read(&access, |tx| {
            let keys = gateway.record.keys(&tx.identity);
            let other = ApiGrant::of(tx, &[9; 16], None)?.unwrap();
            other.seal(&keys, &tx.identity, (&id, &API), world.rng)
        })
        .unwrap();
    tamper(&mut vault, |tx| tx.put_grant(&forged).unwrap());
    assert!(read_sets(&mut vault, &gateway.token, &world).is_err());
    let found = check::run(&mut vault, &access).unwrap().findings;
    assert!(found.iter().any(|finding| finding.row == "token_grant of gateway"), "{found:?}");
    change_api(&mut vault, &access, &world, &API, |_| Ok(put_keys(vec![key(revoked())]))).unwrap();
    issuer(&mut vault, &access, &world);
    assert_eq!(verdict(&mut vault, &gateway.token, &world, OWNERS), Ok(Standing::Revoked));
    finds_nothing(&mut vault, &access);
}

#[test]
fn a_verifier_holds_nothing_back_of_an_api_that_is_not_its_own() {
    let Scene { folder: _folder, world, mut vault, access: _, gateway } = Scene::set();
    let notice =
        Notice { id: Id::parse(OWNERS).unwrap(), time: world.now(), reason: Reason::Asked, detail: "" };
    let refused = hold(&mut vault, &gateway, &world, &[9; 16], &notice).unwrap_err();
    assert!(matches!(refused, VaultError::Token(TokenError::NoApi(_))));
}

const OWNERS: &str = "aa0000000001";

fn hold_back(vault: &mut Vault, gateway: &Token, world: &World<'_>, id: &str) -> Result<(), VaultError> {
    let id = Id::parse(id).unwrap();
    let notice = Notice { id, time: world.now(), reason: Reason::Leaked, detail: "seen in a repository" };
    hold(vault, gateway, world, &API, &notice)
}

/// The entries of verifiers, and what the gateway finds wrong with their logs.
fn logs(vault: &mut Vault, gateway: &Token, world: &World<'_>) -> (Vec<VerifierEntry>, Vec<Finding>) {
    let seen = read_sets(vault, gateway, world).unwrap();
    let sets = seen.apis.into_iter().next().unwrap().1.unwrap();
    let findings = sets.holds.iter().flat_map(|(_, log)| log.findings().to_vec()).collect();
    (sets.owner.api().unwrap().verifiers.to_vec(), findings)
}

#[test]
fn a_hold_counts_at_once_and_the_owners_next_change_writes_down_how_far_its_log_goes() {
    let Scene { folder: _folder, world, mut vault, access, gateway } = Scene::set();
    hold_back(&mut vault, &gateway, &world, OWNERS).unwrap();
    assert_eq!(verdict(&mut vault, &gateway, &world, OWNERS), Ok(Standing::Held));
    finds_nothing(&mut vault, &access);
    hold_back(&mut vault, &gateway, &world, "aa0000000009").unwrap();
    change(&mut vault, &access, &world);
    let (entries, findings) = logs(&mut vault, &gateway, &world);
    assert_eq!((entries[0].seen.count, findings), (2, vec![]));
    let before = vault.read(&access, |tx| Ok(tx.change_number())).unwrap();
    change(&mut vault, &access, &world);
    // Nothing new was held, so the set stays as it was.
    let own = read_sets(&mut vault, &gateway, &world).unwrap().list.set(&SET).unwrap().number;
    assert_eq!(own, before);
    finds_nothing(&mut vault, &access);
}

#[test]
fn a_hold_that_is_taken_out_of_the_file_still_counts_where_it_was_seen_and_the_owner_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let (mut vault, access) = vault(&world);
    let gateway = verifier(&mut vault, &access, &world);
    let id = verifier_id(&gateway.record.id, &API);
    let gateway = gateway.token;
    hold_back(&mut vault, &gateway, &world, OWNERS).unwrap();
    change(&mut vault, &access, &world);
    assert_eq!(verdict(&mut vault, &gateway, &world, OWNERS), Ok(Standing::Held));
    let held = tamper(&mut vault, |tx| {
        let rows = tx.holds(&id).unwrap();
        tx.delete_holds(&id).unwrap();
        rows
    });
    assert_eq!(verdict(&mut vault, &gateway, &world, OWNERS), Ok(Standing::Held));
    let shorter = Finding::Shorter { found: 0, seen: 1 };
    assert_eq!(logs(&mut vault, &gateway, &world).1, [shorter]);
    let found = check::run(&mut vault, &access).unwrap().findings;
    assert!(found.iter().any(|finding| finding.row == "log of gateway"), "{found:?}");
    change(&mut vault, &access, &world);
    assert_eq!(logs(&mut vault, &gateway, &world).0[0].seen.count, 1);
    // Rows that are none, and one of another place, are no holds.
    tamper(&mut vault, |tx| {
        tx.put_hold(&id, 0, &held[0]).unwrap();
        tx.put_hold(&id, 1, &held[0]).unwrap();
    });
    assert_eq!(logs(&mut vault, &gateway, &world).1, [Finding::Damaged(1)]);
    change(&mut vault, &access, &world);
    assert_eq!(logs(&mut vault, &gateway, &world).0[0].seen.count, 1);
    // The next hold takes the place of what is none.
    hold_back(&mut vault, &gateway, &world, "aa0000000009").unwrap();
    assert_eq!(logs(&mut vault, &gateway, &world).1, []);
    finds_nothing(&mut vault, &access);
}

#[test]
fn a_verifier_that_is_revoked_or_of_another_name_holds_nothing_more_back() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let (mut vault, access) = vault(&world);
    let gateway = verifier(&mut vault, &access, &world);
    let old = verifier_id(&gateway.record.id, &API);
    hold_back(&mut vault, &gateway.token, &world, OWNERS).unwrap();
    let renewed = token::renew(&mut vault, &access, &world, &token_name("gateway")).unwrap().token;
    let (entries, _) = logs(&mut vault, &renewed, &world);
    let closed = entries.iter().find(|entry| entry.id == old).unwrap();
    assert_eq!((closed.state, closed.seen.count), (VerifierState::Closed, 1));
    assert_eq!(verdict(&mut vault, &renewed, &world, OWNERS), Ok(Standing::Held));
    assert!(hold_back(&mut vault, &gateway.token, &world, "aa0000000009").is_err());
    hold_back(&mut vault, &renewed, &world, "aa0000000009").unwrap();
    finds_nothing(&mut vault, &access);
}

#[test]
fn holds_go_through_a_rekey_whose_verifiers_get_logs_of_their_own() {
    let Scene { folder: _folder, world, mut vault, access, gateway } = Scene::set();
    hold_back(&mut vault, &gateway, &world, OWNERS).unwrap();
    let passphrase = passphrase();
    let credential = Credential::Passphrase(&passphrase, Cost::FLOOR);
    let rekeyed = slot::rekey(&mut vault, &access, &world, &[credential], &[&access], &|_| ()).unwrap();
    let access = vault.open_passphrase(&passphrase).unwrap();
    let gateway = &rekeyed.tokens[0].token;
    assert_eq!(verdict(&mut vault, gateway, &world, OWNERS), Ok(Standing::Held));
    hold_back(&mut vault, gateway, &world, "aa0000000009").unwrap();
    change(&mut vault, &access, &world);
    let (mut entries, findings) = logs(&mut vault, gateway, &world);
    entries.sort_by_key(|entry| entry.epoch);
    let of = |entry: &VerifierEntry| (entry.epoch, entry.state, entry.seen.count);
    assert_eq!(findings, []);
    assert_eq!(
        entries.iter().map(of).collect::<Vec<_>>(),
        [(1, VerifierState::Closed, 1), (2, VerifierState::Writes, 1)]
    );
    finds_nothing(&mut vault, &access);
}

#[test]
fn a_restore_does_not_lift_a_hold_that_the_backup_does_not_have() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let (mut vault, access) = vault(&world);
    let gateway = verifier(&mut vault, &access, &world);
    let id = verifier_id(&gateway.record.id, &API);
    let gateway = gateway.token;
    hold_back(&mut vault, &gateway, &world, OWNERS).unwrap();
    let replaced = vault.read(&access, |tx| Ok(Replaced(find(tx)?.sets))).unwrap();
    tamper(&mut vault, |tx| tx.delete_holds(&id).unwrap());
    vault
        .change(&access, &world, |tx| {
            keep_irrevocable(tx, &replaced, &world)?;
            Ok(((), world.event(Action::Restore, Vec::new(), String::new())))
        })
        .unwrap();
    assert_eq!(verdict(&mut vault, &gateway, &world, OWNERS), Ok(Standing::Held));
    assert_eq!(logs(&mut vault, &gateway, &world).0[0].seen.count, 1);
    finds_nothing(&mut vault, &access);
}

#[test]
fn a_restore_from_another_epoch_does_not_lift_a_hold_either() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let (mut vault, access) = vault(&world);
    let gateway = verifier(&mut vault, &access, &world);
    let id = verifier_id(&gateway.record.id, &API);
    hold_back(&mut vault, &gateway.token, &world, OWNERS).unwrap();
    let replaced = vault.read(&access, |tx| Ok(Replaced(find(tx)?.sets))).unwrap();
    tamper(&mut vault, |tx| tx.delete_holds(&id).unwrap());
    let passphrase = passphrase();
    let credential = Credential::Passphrase(&passphrase, Cost::FLOOR);
    let rekeyed = slot::rekey(&mut vault, &access, &world, &[credential], &[&access], &|_| ()).unwrap();
    let access = vault.open_passphrase(&passphrase).unwrap();
    let gateway = &rekeyed.tokens[0].token;
    assert_eq!(verdict(&mut vault, gateway, &world, OWNERS), Ok(Standing::Active));
    vault
        .change(&access, &world, |tx| {
            keep_irrevocable(tx, &replaced, &world)?;
            Ok(((), world.event(Action::Restore, Vec::new(), String::new())))
        })
        .unwrap();
    assert_eq!(verdict(&mut vault, gateway, &world, OWNERS), Ok(Standing::Held));
    finds_nothing(&mut vault, &access);
}

#[test]
fn a_restore_above_a_number_goes_on_where_a_verifier_saw_what_the_owner_lost() {
    let Scene { folder: _folder, world, mut vault, access, gateway } = Scene::set();
    let portal = issuer(&mut vault, &access, &world);
    write(&mut vault, &portal.token, &world, &[portals(1, NOON + DAY)]).unwrap();
    change(&mut vault, &access, &world);
    let seen = read_sets(&mut vault, &gateway, &world).unwrap();
    let listed = seen.list.set(&set_of(&portal)).unwrap().number;
    let above = seen.change + 500;
    vault
        .change(&access, &world, |tx| {
            tx.floor = above;
            rise_above(tx, above, &world)?;
            Ok(((), world.event(Action::Restore, Vec::new(), String::new())))
        })
        .unwrap();
    let seen = read_sets(&mut vault, &gateway, &world).unwrap();
    let number = |set| seen.list.set(set).unwrap().number;
    assert_eq!((seen.change, number(&SET)), (above + 1, above + 1));
    assert_eq!(number(&set_of(&portal)), listed + MAX_RISE + 1);
    for id in [OWNERS, "bb0000000001"] {
        assert_eq!(verdict(&mut vault, &gateway, &world, id), Ok(Standing::Active));
    }
    finds_nothing(&mut vault, &access);
}
