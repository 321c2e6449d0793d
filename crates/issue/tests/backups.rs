//! A set from a backup, and what the set that it replaces refused.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

use keyvault_core::clock::Moment;
use keyvault_core::codec::Extensions;
use keyvault_core::crypto::{SealingKey, SigningKey, SystemRng};
use keyvault_core::identity::Identity;
use keyvault_core::name::{Label, Scope};
use keyvault_issue::record::{
    Api, Ascending, Bounds, Client, Conditions, Environment, HoldPoint, Id, IssuerEntry, IssuerState,
    KeyRecord, Limit, Mark, Meaning, Note, Period, Prefix, Proof, Quota, Reaction, Replaced, State,
    VerifierEntry, VerifierState, Word,
};
use keyvault_issue::set::{
    Content, Draft, Found, List, Listed, LoadedSet, Origin, PageKeys, SignerKind, VerifiedHeader,
    VerifiedList, Written, narrowings,
};
use keyvault_issue::standing::{Lookup, Sets, Standing};
use proptest::prelude::*;

const IDENTITY: Identity = Identity { vault_id: [1; 16], epoch: 1 };
const API: [u8; 16] = [2; 16];
const OWNERS: [u8; 16] = [3; 16];
const PORTALS: [u8; 16] = [4; 16];
const GATE: [u8; 16] = [5; 16];
const NOW: Moment = Moment(1_000_000);

fn signing(byte: u8) -> SigningKey {
    SigningKey::of_seed(SealingKey::from_bytes(&[byte; 32]).unwrap())
}

fn keys() -> PageKeys {
    PageKeys::of_api(&SealingKey::from_bytes(&[6; 32]).unwrap(), &OWNERS)
}

fn id(text: &str) -> Id {
    Id::parse(text).unwrap()
}

fn note() -> Note {
    Note { since: Moment(1), reason: "leaked".into() }
}

fn disabled() -> State {
    State::Disabled(Box::new(note()))
}

fn revoked() -> State {
    State::Revoked(Box::new(note()))
}

fn key(text: &str) -> KeyRecord {
    KeyRecord {
        id: id(text),
        state: State::Active,
        proof: Proof::of_own(&id(text), b"secret"),
        environment: Environment::Live,
        prefix: Prefix::parse("kv").unwrap(),
        client: None,
        roles: Ascending::default(),
        scopes: Ascending::default(),
        created: Moment(0),
        not_before: None,
        expires: None,
        replaced: None,
        decoy: false,
        display_name: "".into(),
        conditions: None,
        extensions: Extensions::default(),
    }
}

fn client(text: &str, state: State) -> Client {
    Client {
        id: id(text),
        state,
        name: Label::parse("acme").unwrap(),
        contact: "".into(),
        created: Moment(0),
        conditions: None,
        extensions: Extensions::default(),
    }
}

fn limit(count: u32) -> Limit {
    Limit { name: Label::parse("requests").unwrap(), count, per: 1000, burst: 1, cost: 1 }
}

fn limited(count: u32) -> Conditions {
    Conditions { limits: Ascending::of([limit(count)]), ..Conditions::default() }
}

fn bounds() -> Bounds {
    Bounds { scopes: Ascending::of([1, 2]), longest_life: 100, keys: 10, ..Bounds::default() }
}

fn portal() -> IssuerEntry {
    IssuerEntry {
        set: PORTALS,
        mark: Mark::parse("bb").unwrap(),
        name: Label::parse("portal").unwrap(),
        signer: signing(8).signer(),
        state: IssuerState::InForce,
        ends: None,
        bounds: bounds(),
        extensions: Extensions::default(),
    }
}

fn gate() -> VerifierEntry {
    VerifierEntry {
        id: GATE,
        name: Label::parse("gate").unwrap(),
        signer: signing(9).signer(),
        epoch: 1,
        state: VerifierState::Writes,
        seen: HoldPoint { count: 5, head: [5; 32] },
        settled: 0,
        lifted: Ascending::default(),
        extensions: Extensions::default(),
    }
}

fn scope(number: u32, text: &str) -> Word {
    let meaning = Meaning::Scope(Scope::parse(text).unwrap());
    Word { number, meaning, extensions: Extensions::default() }
}

fn role(number: u32, scopes: &[u32]) -> Word {
    let meaning = Meaning::Role(Label::parse("clerk").unwrap(), Ascending::of(scopes.iter().copied()));
    Word { number, meaning, extensions: Extensions::default() }
}

fn words() -> Vec<Word> {
    vec![scope(1, "a"), scope(2, "b"), scope(3, "c"), role(10, &[1, 2])]
}

/// An owner's set with these issuers and verifiers.
fn content(issuers: &[IssuerEntry], verifiers: &[VerifierEntry]) -> Content {
    let prefix = Prefix::parse("kv").unwrap();
    let api = Api {
        id: API,
        name: Label::parse("shop").unwrap(),
        mark: Mark::parse("aa").unwrap(),
        prefix,
        prefixes: Ascending::of([prefix]),
        reaction: Reaction::Alert,
        usage_keys: Ascending::default(),
        issuers: Ascending::of(issuers.iter().cloned()),
        verifiers: Ascending::of(verifiers.iter().cloned()),
        extensions: Extensions::default(),
    };
    Content { api: Some(api), words: words(), ..Content::default() }
}

fn with_keys(keys: Vec<KeyRecord>) -> Content {
    Content { keys, ..content(&[], &[]) }
}

fn draft(number: u64) -> Draft {
    Draft {
        identity: IDENTITY,
        api: API,
        set: OWNERS,
        number,
        time: Moment(0),
        fresh_until: None,
        signer: SignerKind::Epoch,
        extensions: Extensions::default(),
    }
}

fn listed(header: &keyvault_issue::set::SignedHeader) -> VerifiedList {
    let number = header.unverified().unwrap().number;
    let list = List(Ascending::of([Listed { set: OWNERS, number, header: header.hash() }])).encode();
    let origin = Origin { identity: IDENTITY, owner: signing(7).signer() };
    VerifiedList::verify(&list, &List::hash(&list), origin).unwrap()
}

fn load(written: &Written) -> LoadedSet {
    let header = VerifiedHeader::of_owner(&listed(&written.header), &API, &written.header).unwrap();
    LoadedSet::load(header, &keys(), written.pages.iter().cloned()).unwrap()
}

fn set(content: &Content) -> LoadedSet {
    load(&content.write(&draft(1), &keys(), &signing(7), &SystemRng).unwrap())
}

/// The backup as it is restored over another set.
fn restored(backup: &Content, replaced: &Content) -> LoadedSet {
    let mut rows = backup.write(&draft(1), &keys(), &signing(7), &SystemRng).unwrap();
    let from = load(&rows);
    let changes = narrowings(&from, &set(replaced), NOW);
    let next = from.change(&draft(2), &changes, &keys(), &signing(7), &SystemRng).unwrap();
    rows.pages.retain(|row| {
        !next.replaced.iter().any(|kind| *kind as u8 == row.kind)
            && !next.pages.iter().any(|new| (new.kind, new.page) == (row.kind, row.page))
    });
    rows.pages.extend(next.pages);
    rows.pages.sort_by_key(|row| (row.kind, row.page));
    load(&Written { header: next.header, ..rows })
}

fn found(set: &LoadedSet, text: &str) -> KeyRecord {
    match set.key(&id(text)) {
        Found::Record(key) => key.clone(),
        other => panic!("{other:?}"),
    }
}

fn standing(owner: LoadedSet, text: &str) -> Option<Standing> {
    let written = content(&[], &[]).write(&draft(1), &keys(), &signing(7), &SystemRng).unwrap();
    let (sets, _) = Sets::join(&listed(&written.header), owner, Vec::new(), Vec::new(), NOW);
    match sets.find(&id(text)) {
        Lookup::Key(credential) => Some(credential.standing(NOW)),
        Lookup::Unavailable | Lookup::Unknown => None,
    }
}

fn issuer(backup: &IssuerEntry, replaced: &IssuerEntry) -> IssuerEntry {
    let set =
        restored(&content(std::slice::from_ref(backup), &[]), &content(std::slice::from_ref(replaced), &[]));
    set.api().unwrap().issuers[0].clone()
}

#[test]
fn an_issuer_keeps_the_signer_that_the_replaced_set_has() {
    let changed = IssuerEntry { signer: signing(20).signer(), ..portal() };
    assert_eq!(issuer(&portal(), &changed).signer, signing(20).signer());
    // A field that must be known refuses the issuer's set, and does so afterwards.
    let newer = IssuerEntry { extensions: Extensions::default().with(2, vec![1]), ..portal() };
    assert_eq!(issuer(&portal(), &newer).extensions, newer.extensions);
}

#[test]
fn an_issuers_bounds_are_those_that_both_sets_allow() {
    let quota = |amount| Quota { period: Period::Day, amount };
    let wide = Bounds {
        scopes: Ascending::of([1, 2]),
        roles: Ascending::of([10]),
        limits: Ascending::of([limit(100)]),
        quotas: Ascending::of([quota(7)]),
        longest_life: 100,
        keys: 10,
        clients: 3,
        client_prefix: "p-".into(),
        owners_clients: Ascending::of([id("aaCL00000001"), id("aaCL00000002")]),
    };
    let other = Bounds {
        scopes: Ascending::of([2, 3]),
        roles: Ascending::default(),
        limits: Ascending::of([limit(10)]),
        quotas: Ascending::of([quota(9)]),
        longest_life: 50,
        keys: 20,
        clients: 1,
        client_prefix: "p-one-".into(),
        owners_clients: Ascending::of([id("aaCL00000002"), id("aaCL00000003")]),
    };
    let both = Bounds {
        scopes: Ascending::of([2]),
        roles: Ascending::default(),
        limits: Ascending::of([limit(10)]),
        quotas: Ascending::of([quota(7)]),
        longest_life: 50,
        keys: 10,
        clients: 1,
        client_prefix: "p-one-".into(),
        owners_clients: Ascending::of([id("aaCL00000002")]),
    };
    let with = |bounds: &Bounds| IssuerEntry { bounds: bounds.clone(), ..portal() };
    assert_eq!(issuer(&with(&wide), &with(&other)).bounds, both);
    assert_eq!(issuer(&with(&other), &with(&wide)).bounds, both);
    let prefix = |text: &str| with(&Bounds { client_prefix: text.into(), ..wide.clone() });
    assert_eq!(&*issuer(&prefix("p-"), &prefix("q-")).bounds.client_prefix, "q-");
}

#[test]
fn a_number_with_another_meaning_gives_nothing_and_none_becomes_free() {
    let over = Content {
        words: vec![scope(1, "a"), scope(2, "other"), role(10, &[1, 3]), scope(11, "later")],
        ..content(&[portal()], &[])
    };
    let backup = Content {
        keys: vec![KeyRecord { scopes: Ascending::of([1, 2]), ..key("aaKEY0000001") }],
        ..content(&[portal()], &[])
    };
    let over = Content { keys: backup.keys.clone(), ..over };
    let set = restored(&backup, &over);
    assert_eq!(&*set.api().unwrap().issuers[0].bounds.scopes, [1]);
    assert_eq!(&*found(&set, "aaKEY0000001").scopes, [1]);
    let role = match set.word(10) {
        Found::Record(Word { meaning: Meaning::Role(_, scopes), .. }) => scopes.to_vec(),
        other => panic!("{other:?}"),
    };
    assert_eq!(role, [1]);
    assert!(matches!(set.word(11), Found::Record(word) if *word == scope(11, "later")));
    assert!(matches!(set.word(2), Found::Record(word) if *word == scope(2, "b")));
}

#[test]
fn a_key_or_client_that_was_disabled_is_disabled_afterwards() {
    let of = |state: State, clients: State| Content {
        clients: vec![client("aaCL00000001", clients)],
        keys: vec![
            KeyRecord { state, ..key("aaKEY0000001") },
            KeyRecord { client: Some(id("aaCL00000001")), ..key("aaKEY0000002") },
        ],
        ..content(&[], &[])
    };
    let after = |backup: &Content, replaced: &Content| {
        let set = restored(backup, replaced);
        ["aaKEY0000001", "aaKEY0000002"].map(|text| standing(set.clone(), text).unwrap())
    };
    let (good, closed) = (of(State::Active, State::Active), of(disabled(), disabled()));
    assert_eq!(after(&good, &closed), [Standing::Disabled; 2]);
    assert_eq!(after(&closed, &good), [Standing::Disabled; 2]);
    let over = of(revoked(), revoked());
    assert_eq!(after(&closed, &over), [Standing::Revoked; 2]);
    assert_eq!(after(&over, &closed), [Standing::Revoked; 2]);
    assert_eq!(after(&good, &good), [Standing::Active; 2]);
}

#[test]
fn a_record_of_a_later_version_refuses_on_either_side() {
    let newer = |state: State| KeyRecord {
        state,
        extensions: Extensions::default().with(2, vec![1]),
        ..key("aaKEY0000001")
    };
    let closed = Client {
        extensions: Extensions::default().with(2, vec![1]),
        ..client("aaCL00000001", State::Active)
    };
    // The replaced set's: our version would have let the backup's record pass.
    let backup = Content {
        clients: vec![client("aaCL00000001", State::Active)],
        keys: vec![
            key("aaKEY0000001"),
            KeyRecord { client: Some(id("aaCL00000001")), ..key("aaKEY0000002") },
        ],
        ..content(&[], &[])
    };
    let over = Content {
        clients: vec![closed],
        keys: vec![newer(State::Active), backup.keys[1].clone()],
        ..content(&[], &[])
    };
    let set = restored(&backup, &over);
    assert_eq!(standing(set.clone(), "aaKEY0000001"), Some(Standing::Disabled));
    assert_eq!(standing(set, "aaKEY0000002"), Some(Standing::Disabled));
    // The backup's: a later version would let it pass. Its page cannot be rewritten, so an override refuses it.
    let over = with_keys(vec![KeyRecord { state: revoked(), ..key("aaKEY0000001") }]);
    let set = restored(&with_keys(vec![newer(State::Active)]), &over);
    assert!(matches!(set.r#override(&id("aaKEY0000001")), Found::Record(word) if word.state.is_revoked()));
}

#[test]
fn a_key_whose_client_or_end_was_changed_is_refused_as_before() {
    let backup = Content {
        clients: vec![client("aaCL00000001", State::Active)],
        keys: vec![
            key("aaKEY0000001"),
            key("aaKEY0000002"),
            KeyRecord { client: Some(id("aaCL00000001")), ..key("aaKEY0000003") },
            key("aaKEY0000004"),
            KeyRecord { conditions: Some(Box::new(limited(100))), ..key("aaKEY0000005") },
        ],
        ..content(&[], &[])
    };
    let grace = Replaced { by: id("aaKEY0000009"), grace_until: NOW };
    let over = Content {
        clients: vec![client("aaCL00000002", disabled())],
        keys: vec![
            KeyRecord { client: Some(id("aaCL00000002")), ..key("aaKEY0000001") },
            KeyRecord { replaced: Some(grace), ..key("aaKEY0000002") },
            KeyRecord { client: Some(id("aaCL00000001")), ..key("aaKEY0000003") },
            KeyRecord { expires: Some(NOW), ..key("aaKEY0000004") },
            KeyRecord { conditions: Some(Box::new(limited(1))), ..key("aaKEY0000005") },
        ],
        ..content(&[], &[])
    };
    let set = restored(&backup, &over);
    let standing = |text: &str| standing(set.clone(), text).unwrap();
    assert_eq!(standing("aaKEY0000001"), Standing::Disabled);
    assert_eq!(standing("aaKEY0000002"), Standing::Expired);
    // The replaced set did not have its client any more.
    assert_eq!(standing("aaKEY0000003"), Standing::Disabled);
    assert_eq!(standing("aaKEY0000004"), Standing::Expired);
    assert_eq!(found(&set, "aaKEY0000005").conditions.as_deref(), Some(&limited(1)));
}

#[test]
fn a_hold_that_the_replaced_set_did_not_lift_is_not_lifted() {
    let lifted = VerifierEntry { settled: 3, lifted: Ascending::of([3, 4]), ..gate() };
    let kept = VerifierEntry { settled: 1, lifted: Ascending::of([4]), ..gate() };
    let after = |backup: &VerifierEntry, over: &VerifierEntry| {
        let set =
            restored(&content(&[], std::slice::from_ref(backup)), &content(&[], std::slice::from_ref(over)));
        let entry = &set.api().unwrap().verifiers[0];
        (0..5).filter(|number| *number < entry.settled || entry.lifted.has(number)).collect::<Vec<_>>()
    };
    assert_eq!(after(&lifted, &kept), [0, 4]);
    assert_eq!(after(&kept, &lifted), [0, 4]);
}

fn state() -> impl Strategy<Value = State> {
    prop_oneof![Just(State::Active), Just(disabled()), Just(revoked())]
}

fn any_key() -> impl Strategy<Value = KeyRecord> {
    let scopes = proptest::collection::btree_set(1..4_u32, 0..4);
    let expires = proptest::option::of(-2..3_i64);
    (state(), scopes, expires, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(state, scopes, expires, decoy, has_role, has_client)| KeyRecord {
            state,
            scopes: Ascending::of(scopes),
            roles: Ascending::of(has_role.then_some(10)),
            client: has_client.then(|| id("aaCL00000001")),
            expires: expires.map(|after| NOW.plus_millis(after)),
            decoy,
            ..key("aaKEY0000001")
        },
    )
}

fn any_content() -> impl Strategy<Value = Content> {
    let clients = proptest::option::of(state());
    let role_scopes = proptest::collection::btree_set(1..4_u32, 0..4);
    (any_key(), clients, role_scopes, proptest::option::of(any::<bool>())).prop_map(
        |(key, clients, scopes, word)| {
            let scopes: Vec<u32> = scopes.into_iter().collect();
            let override_of = |is_revoked: bool| keyvault_issue::record::Override {
                id: key.id,
                state: if is_revoked { revoked() } else { disabled() },
                extensions: Extensions::default(),
            };
            Content {
                words: vec![scope(1, "a"), scope(2, "b"), scope(3, "c"), role(10, &scopes)],
                clients: clients.map(|state| client("aaCL00000001", state)).into_iter().collect(),
                overrides: word.map(override_of).into_iter().collect(),
                keys: vec![key],
                ..content(&[], &[])
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// No key that the replaced set refused is active, and none has a scope that the replaced set did not give it.
    #[test]
    fn a_restored_key_can_do_nothing_that_it_could_not_do_before(backup in any_content(), replaced in any_content()) {
        let look = |set: LoadedSet| {
            let written = content(&[], &[]).write(&draft(1), &keys(), &signing(7), &SystemRng).unwrap();
            let (sets, _) = Sets::join(&listed(&written.header), set, Vec::new(), Vec::new(), NOW);
            let Lookup::Key(credential) = sets.find(&id("aaKEY0000001")) else { panic!("no key") };
            let later = NOW.plus_millis(2);
            (credential.standing(NOW) == Standing::Active, credential.standing(later) == Standing::Active, credential.scopes())
        };
        let (own, other, both) = (look(set(&backup)), look(set(&replaced)), look(restored(&backup, &replaced)));
        prop_assert!(!both.0 || other.0);
        prop_assert!(!both.1 || other.1);
        prop_assert!(both.2.is_subset(&other.2) && both.2.is_subset(&own.2));
        let again = narrowings(&restored(&backup, &replaced), &set(&replaced), NOW).put;
        prop_assert!(again.keys.is_empty() && again.words.is_empty() && again.clients.is_empty());
    }
}
