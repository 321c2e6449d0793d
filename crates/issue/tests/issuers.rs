//! An issuer's set from one of the owner's changes to the next.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

use keyvault_core::clock::Moment;
use keyvault_core::codec::Extensions;
use keyvault_core::crypto::{SealingKey, SigningKey, SystemRng};
use keyvault_core::identity::Identity;
use keyvault_core::name::{Label, Scope};
use keyvault_issue::issuer::{Pinned, accept, raise};
use keyvault_issue::record::{
    Api, Ascending, Bounds, Client, Environment, Id, IssuerEntry, IssuerState, KeyRecord, Mark, Meaning,
    Note, Prefix, Proof, Reaction, State, Word,
};
use keyvault_issue::set::{
    Content, Draft, Header, List, Listed, LoadedSet, Origin, PageKeys, SetError, SignedHeader, SignerKind,
    VerifiedHeader, VerifiedList, WriteError, Written, narrowings,
};
use keyvault_issue::standing::{Lookup, Sets, Standing};
use proptest::prelude::*;

const IDENTITY: Identity = Identity { vault_id: [1; 16], epoch: 1 };
const API: [u8; 16] = [2; 16];
const OWNERS: [u8; 16] = [3; 16];
const PORTALS: [u8; 16] = [4; 16];
const NOW: Moment = Moment(1_000_000);

fn signing(byte: u8) -> SigningKey {
    SigningKey::of_seed(SealingKey::from_bytes(&[byte; 32]).unwrap())
}

fn keys(set: &[u8; 16]) -> PageKeys {
    PageKeys::of_api(&SealingKey::from_bytes(&[6; 32]).unwrap(), set)
}

fn id(number: u32) -> Id {
    Id::parse(&format!("bb{number:010}")).unwrap()
}

fn key(number: u32) -> KeyRecord {
    KeyRecord {
        id: id(number),
        state: State::Active,
        proof: Proof::of_own(&id(number), b"secret"),
        environment: Environment::Live,
        prefix: Prefix::parse("kv").unwrap(),
        client: None,
        roles: Ascending::default(),
        scopes: Ascending::of([1, 2]),
        created: Moment(0),
        not_before: None,
        expires: Some(NOW.plus_millis(50)),
        replaced: None,
        decoy: false,
        display_name: "".into(),
        conditions: None,
        extensions: Extensions::default(),
    }
}

fn revoked(number: u32) -> KeyRecord {
    let note = Note { since: Moment(0), reason: "asked".into() };
    KeyRecord { state: State::Revoked(Box::new(note)), proof: Proof::None, ..key(number) }
}

fn bounds() -> Bounds {
    Bounds { scopes: Ascending::of([1, 2]), longest_life: 100, keys: 10, ..Bounds::default() }
}

fn write(set: [u8; 16], number: u64, by: SignerKind, signing: &SigningKey, content: &Content) -> Written {
    let draft = Draft {
        identity: IDENTITY,
        api: API,
        set,
        number,
        time: Moment(0),
        fresh_until: None,
        signer: by,
        extensions: Extensions::default(),
    };
    content.write(&draft, &keys(&set), signing, &SystemRng).unwrap()
}

fn owners(bounds: Bounds, state: IssuerState) -> Written {
    owners_with(Some((bounds, state)))
}

fn owners_without_issuers() -> Written {
    owners_with(None)
}

fn owners_with(issuer: Option<(Bounds, IssuerState)>) -> Written {
    let prefix = Prefix::parse("kv").unwrap();
    let api = Api {
        id: API,
        name: Label::parse("shop").unwrap(),
        mark: Mark::parse("aa").unwrap(),
        prefix,
        prefixes: Ascending::of([prefix]),
        reaction: Reaction::Alert,
        usage_keys: Ascending::default(),
        issuers: Ascending::of(issuer.map(|(bounds, state)| IssuerEntry {
            set: PORTALS,
            mark: Mark::parse("bb").unwrap(),
            name: Label::parse("portal").unwrap(),
            signer: signing(8).signer(),
            state,
            ends: None,
            bounds,
            extensions: Extensions::default(),
        })),
        verifiers: Ascending::default(),
        extensions: Extensions::default(),
    };
    let words = [1, 2, 3].map(|number| Word {
        number,
        meaning: Meaning::Scope(Scope::parse(&format!("scope:{number}")).unwrap()),
        extensions: Extensions::default(),
    });
    let role = Word {
        number: 10,
        meaning: Meaning::Role(Label::parse("clerk").unwrap(), Ascending::of([1, 3])),
        extensions: Extensions::default(),
    };
    let words = words.into_iter().chain([role]).collect();
    let content = Content { api: Some(api), words, ..Content::default() };
    write(OWNERS, 1, SignerKind::Epoch, &signing(7), &content)
}

fn portals(number: u64, keys: &[KeyRecord]) -> Written {
    portals_with(number, keys, &[])
}

fn portals_with(number: u64, keys: &[KeyRecord], clients: &[Client]) -> Written {
    let content = Content { keys: keys.to_vec(), clients: clients.to_vec(), ..Content::default() };
    write(PORTALS, number, SignerKind::Issuer, &signing(8), &content)
}

fn listed(set: [u8; 16], header: &SignedHeader) -> Listed {
    Listed { set, number: header.unverified().unwrap().number, header: header.hash() }
}

/// The list of the owner's set, and of the portal's as far as it is listed; the owner's set.
fn owner(written: &Written, portals: Option<Listed>) -> (VerifiedList, LoadedSet) {
    let list = List(Ascending::of([listed(OWNERS, &written.header)].into_iter().chain(portals))).encode();
    let origin = Origin { identity: IDENTITY, owner: signing(7).signer() };
    let list = VerifiedList::verify(&list, &List::hash(&list), origin).unwrap();
    let header = VerifiedHeader::of_owner(&list, &API, &written.header).unwrap();
    let set = LoadedSet::load(header, &keys(&OWNERS), written.pages.iter().cloned()).unwrap();
    (list, set)
}

fn load(
    list: &VerifiedList,
    owner: &LoadedSet,
    written: &Written,
    pin: Option<&Pinned>,
) -> Result<LoadedSet, SetError> {
    let header = accept(list, owner, &written.header, pin, NOW)?;
    LoadedSet::load(header, &keys(&PORTALS), written.pages.iter().cloned())
}

fn standing(sets: &Sets, number: u32) -> Option<Standing> {
    match sets.find(&id(number)) {
        Lookup::Key(credential) => Some(credential.standing(NOW)),
        Lookup::Unavailable | Lookup::Unknown => None,
    }
}

#[test]
fn the_owner_lists_a_set_that_goes_on_and_no_other() {
    let (list, owners_set) = owner(&owners(bounds(), IssuerState::InForce), None);
    let generation =
        |number, keys: &[KeyRecord]| load(&list, &owners_set, &portals(number, keys), None).unwrap();
    let before = generation(5, &[key(1), revoked(2), revoked(3)]);
    let floor = raise(None, None, &before, NOW).unwrap();
    let raised = |next: &LoadedSet, now| raise(Some(&floor), Some(&before), next, now);

    let next = generation(6, &[key(1), revoked(2), revoked(3), key(4)]);
    assert_eq!(raised(&next, NOW).map(|listed| listed.number), Ok(6));
    assert_eq!(raised(&before, NOW), Err(SetError::Older));
    let unrevoked = generation(6, &[key(1), key(2), revoked(3)]);
    assert_eq!(raised(&unrevoked, NOW), Err(SetError::Reused(id(2))));
    let other = KeyRecord { proof: Proof::of_own(&id(1), b"another"), ..key(1) };
    assert_eq!(raised(&generation(6, &[other, revoked(2), revoked(3)]), NOW), Err(SetError::Reused(id(1))));
    // A revoked id is gone only once its key has expired.
    let gone = generation(6, &[key(1), revoked(2)]);
    assert_eq!(raised(&gone, NOW), Err(SetError::Reused(id(3))));
    assert!(raised(&gone, NOW.plus_millis(50)).is_ok());
}

#[test]
fn an_issuer_cannot_take_a_revocation_back_in_several_steps() {
    let (list, owners_set) = owner(&owners(bounds(), IssuerState::InForce), None);
    let raised = |before: &KeyRecord, next: Option<KeyRecord>, now| {
        let generation = |number, keys: &[KeyRecord]| load(&list, &owners_set, &portals(number, keys), None);
        let before = generation(5, std::slice::from_ref(before)).unwrap();
        let floor = raise(None, None, &before, NOW).unwrap();
        raise(Some(&floor), Some(&before), &generation(6, next.as_slice()).unwrap(), now)
    };
    let reused = Err(SetError::Reused(id(1)));
    let until =
        |after: Option<i64>| KeyRecord { expires: after.map(|after| NOW.plus_millis(after)), ..revoked(1) };
    let newer = KeyRecord { extensions: Extensions::default().with(1, vec![7]), ..revoked(1) };
    // Its expiry is not brought forward, by the revocation or after it, so that it cannot be dropped earlier.
    assert_eq!(raised(&revoked(1), Some(until(Some(49))), NOW), reused);
    assert_eq!(raised(&key(1), Some(until(Some(49))), NOW), reused);
    assert_eq!(raised(&until(None), Some(until(Some(50))), NOW), reused);
    assert!(raised(&key(1), Some(until(Some(50))), NOW).is_ok());
    assert!(raised(&revoked(1), Some(until(Some(51))), NOW).is_ok());
    assert!(raised(&revoked(1), Some(until(None)), NOW).is_ok());
    // A record that this version refuses would be forgotten by the next listing.
    assert_eq!(raised(&revoked(1), Some(newer), NOW), reused);
    // An expired one may be dropped, and does not come back as long as it is there.
    let past = NOW.plus_millis(60);
    let longer = KeyRecord { expires: Some(NOW.plus_millis(120)), ..key(1) };
    assert_eq!(raised(&revoked(1), Some(longer), past), reused);
    assert!(raised(&revoked(1), None, past).is_ok());
}

#[test]
fn a_revoked_client_of_an_issuer_stays_revoked() {
    let bounds = Bounds { clients: 2, ..bounds() };
    let (list, owners_set) = owner(&owners(bounds, IssuerState::InForce), None);
    let client = |number: u32, state: State| Client {
        id: id(number),
        state,
        name: Label::parse("acme").unwrap(),
        contact: "".into(),
        created: Moment(0),
        conditions: None,
        extensions: Extensions::default(),
    };
    let note = || Box::new(Note { since: Moment(0), reason: "asked".into() });
    let raised = |before: (Option<&Client>, &[KeyRecord]), next: (Option<&Client>, &[KeyRecord])| {
        let load = |number, (client, keys): (Option<&Client>, &[KeyRecord])| {
            let clients: Vec<_> = client.into_iter().cloned().collect();
            load(&list, &owners_set, &portals_with(number, keys, &clients), None).unwrap()
        };
        raise(None, Some(&load(5, before)), &load(6, next), NOW).map(|listed| listed.number)
    };
    let next = |before: &Client, next: Option<&Client>| raised((Some(before), &[]), (next, &[]));
    let reused = Err(SetError::Reused(id(9)));
    let (active, closed) = (client(9, State::Active), client(9, State::Disabled(note())));
    let over = client(9, State::Revoked(note()));
    let newer = Client { extensions: Extensions::default().with(1, vec![7]), ..over.clone() };
    assert_eq!(next(&over, Some(&active)), reused);
    assert_eq!(next(&over, Some(&closed)), reused);
    assert_eq!(next(&over, None), reused);
    assert_eq!(next(&over, Some(&newer)), reused);
    assert_eq!(next(&over, Some(&over)), Ok(6));
    assert_eq!(next(&closed, Some(&active)), Ok(6));
    assert_eq!(next(&active, None), Ok(6));
    // An id of one kind is not used for the other.
    assert_eq!(raised((Some(&active), &[]), (None, &[key(9)])), reused);
    assert_eq!(raised((None, &[key(9)]), (Some(&active), &[])), reused);
}

#[test]
fn an_issuer_cannot_use_up_the_numbers_that_the_owner_needs() {
    const RISE: u64 = 1 << 32;
    let written = |number| portals(number, &[key(1)]);
    let (list, owners_set) = owner(&owners(bounds(), IssuerState::InForce), None);
    // Our own program writes no such header.
    let forged = |number| {
        let mut written = written(1);
        let header = Header { number, ..written.header.unverified().unwrap() };
        written.header = SignedHeader::sign(&header, &signing(8));
        load(&list, &owners_set, &written, None).err()
    };
    assert_eq!(forged(u64::MAX), Some(SetError::HeaderMalformed));
    assert_eq!(forged(1 << 62), Some(SetError::HeaderMalformed));
    assert_eq!(forged((1 << 62) - 1), Some(SetError::Number));
    let first = load(&list, &owners_set, &written(RISE), None).unwrap();
    assert_eq!(load(&list, &owners_set, &written(RISE + 1), None).err(), Some(SetError::Number));
    let floor = raise(None, None, &first, NOW).unwrap();
    let (list, owners_set) = owner(&owners(bounds(), IssuerState::InForce), Some(floor));
    let next = load(&list, &owners_set, &written(2 * RISE), None).unwrap();
    assert_eq!(load(&list, &owners_set, &written(2 * RISE + 1), None).err(), Some(SetError::Number));
    assert!(raise(Some(&floor), Some(&first), &next, NOW).is_ok());
    // A set that was taken by another list.
    assert_eq!(raise(None, None, &next, NOW), Err(SetError::Number));
}

#[test]
fn no_header_is_written_with_a_number_that_no_reader_takes() {
    let content = Content { keys: vec![key(1)], ..Content::default() };
    let write = |number| {
        let draft = Draft {
            identity: IDENTITY,
            api: API,
            set: PORTALS,
            number,
            time: Moment(0),
            fresh_until: None,
            signer: SignerKind::Issuer,
            extensions: Extensions::default(),
        };
        content.write(&draft, &keys(&PORTALS), &signing(8), &SystemRng)
    };
    assert!(write((1 << 62) - 1).is_ok());
    assert_eq!(write(1 << 62).err(), Some(WriteError::Number));
}

#[test]
fn a_role_gives_no_scope_that_is_not_in_bounds() {
    let within = Bounds { roles: Ascending::of([10]), scopes: Ascending::of([1]), ..bounds() };
    let record = KeyRecord { roles: Ascending::of([10]), scopes: Ascending::default(), ..key(1) };
    let (list, owners_set) = owner(&owners(within, IssuerState::InForce), None);
    let set = load(&list, &owners_set, &portals(5, &[record]), None).unwrap();
    let (sets, _) = Sets::join(&list, owners_set, vec![set], Vec::new(), NOW);
    let Lookup::Key(credential) = sets.find(&id(1)) else { panic!("no key") };
    assert_eq!(credential.scopes().into_iter().collect::<Vec<_>>(), [1]);
}

#[test]
fn a_set_in_memory_is_held_against_the_owners_words_of_now() {
    let written = portals(5, &[key(1)]);
    let (list, owners_set) = owner(&owners(bounds(), IssuerState::InForce), None);
    let set = load(&list, &owners_set, &written, None).unwrap();
    let joined = |bounds: Bounds, state, portals: Option<Listed>| {
        let (list, owners_set) = owner(&owners(bounds, state), portals);
        let (sets, refused) = Sets::join(&list, owners_set, vec![set.clone()], Vec::new(), NOW);
        (standing(&sets, 1), refused.into_iter().map(|(_, error)| error).next())
    };
    let active = (Some(Standing::Active), None);
    assert_eq!(joined(bounds(), IssuerState::InForce, None), active);
    assert_eq!(joined(bounds(), IssuerState::Ended, None), (None, Some(SetError::IssuerEnded)));
    assert_eq!(joined(bounds(), IssuerState::KeysKept, None), (None, Some(SetError::NotListed)));
    let this = listed(PORTALS, &written.header);
    assert_eq!(joined(bounds(), IssuerState::KeysKept, Some(this)), active);
    let fewer = Bounds { keys: 0, ..bounds() };
    assert_eq!(joined(fewer, IssuerState::InForce, None), (None, Some(SetError::TooManyKeys)));
    let newer = listed(PORTALS, &portals(6, &[key(1)]).header);
    assert_eq!(joined(bounds(), IssuerState::InForce, Some(newer)), (None, Some(SetError::Older)));
    let shorter = Bounds { longest_life: 49, ..bounds() };
    let (life, refused) = joined(shorter, IssuerState::InForce, None);
    assert!(matches!(life, Some(Standing::Refused(_))) && refused.is_none());
}

#[test]
fn a_backup_brings_no_issuer_back_and_frees_no_mark() {
    let set = |bounds: Bounds, state| owner(&owners(bounds, state), None).1;
    let ended = |backup: &LoadedSet, replaced: &LoadedSet| {
        let api = narrowings(backup, replaced, NOW).put.api?;
        Some(api.issuers.iter().map(|issuer| (issuer.mark, issuer.state)).collect::<Vec<_>>())
    };
    let mark = Mark::parse("bb").unwrap();
    let (backup, same) = (set(bounds(), IssuerState::InForce), set(bounds(), IssuerState::InForce));
    assert_eq!(ended(&backup, &same), None);
    let over = set(bounds(), IssuerState::Ended);
    assert_eq!(ended(&backup, &over), Some(vec![(mark, IssuerState::Ended)]));
    assert_eq!(ended(&over, &backup), None);
    let before = owner(&owners_without_issuers(), None).1;
    assert_eq!(ended(&before, &same), Some(vec![(mark, IssuerState::Ended)]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// An issuer's key has no scope that bounds do not have, and lives no longer, whatever its record says.
    #[test]
    fn no_record_reaches_beyond_the_bounds(
        scopes in proptest::collection::btree_set(0..5_u32, 0..5),
        allowed in proptest::collection::btree_set(0..5_u32, 0..5),
        expires in proptest::option::of(0..300_i64),
        created in any::<i64>(),
        longest_life in 1..200_u64,
    ) {
        let record = KeyRecord {
            scopes: Ascending::of(scopes.iter().copied()),
            expires: expires.map(|after| NOW.plus_millis(after)),
            created: Moment(created),
            ..key(1)
        };
        let bounds = Bounds { scopes: Ascending::of(allowed.iter().copied()), longest_life, ..bounds() };
        let (list, owners_set) = owner(&owners(bounds, IssuerState::InForce), None);
        let set = load(&list, &owners_set, &portals(5, &[record]), None).unwrap();
        let (sets, _) = Sets::join(&list, owners_set, vec![set], Vec::new(), NOW);
        let Lookup::Key(credential) = sets.find(&id(1)) else { return Err(TestCaseError::fail("no key")) };
        prop_assert!(credential.scopes().iter().all(|scope| allowed.contains(scope) && scopes.contains(scope) && (1..=3).contains(scope)));
        let within = expires.is_some_and(|after| 0 < after && after.unsigned_abs() <= longest_life);
        prop_assert_eq!(credential.standing(NOW) == Standing::Active, within);
    }
}
