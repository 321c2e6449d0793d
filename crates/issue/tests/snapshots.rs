//! Snapshots against the sets that they are made of, which judge each key by itself and slowly.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod shop;

use std::collections::BTreeSet;

use keyvault_core::clock::Moment;
use keyvault_core::crypto::sha256;
use keyvault_issue::decide::Cause;
use keyvault_issue::record::{
    Ascending, Bounds, Client, Conditions, Id, IssuerState, KeyRecord, Override, Period, Proof, Quota,
    Replaced, State,
};
use keyvault_issue::set::{Changes, Content, Removal};
use keyvault_issue::snapshot::{Algorithm, Found, Known, LoadWhole, Records, Snapshot};
use keyvault_issue::standing::{Credential, Lookup, Sets, Standing};
use proptest::prelude::*;
use shop::{
    DAY, NOW, Shop, api, bounds, client, disabled, id, issuer, key, limit, portals_id, revoked, words,
};

/// Ids that the tests use, and some that there are never.
fn ids() -> Vec<Id> {
    (0..14).map(id).chain((0..14).map(portals_id)).chain([id(900), portals_id(900)]).collect()
}

fn cause(standing: Standing) -> Option<Cause> {
    match standing {
        Standing::Active => None,
        Standing::NotYet => Some(Cause::NotYet),
        Standing::Expired => Some(Cause::Expired),
        Standing::Held => Some(Cause::Held),
        Standing::Disabled => Some(Cause::Disabled),
        Standing::Revoked => Some(Cause::Revoked),
        Standing::Refused(_) => Some(Cause::OutOfBounds),
        Standing::Decoy => Some(Cause::Decoy),
    }
}

fn is_alike(sets: &Sets, credential: &Credential<'_>, known: &Known<'_>) {
    let key = credential.key();
    for days in [-40, -1, 0, 1, 5, 20, 29, 30, 31, 89, 90, 200] {
        let now = NOW.plus_millis(days * DAY);
        assert_eq!(known.refused_at(now), cause(credential.standing(now)), "{} on day {days}", key.id);
    }
    let owner = sets.owner();
    let name = |number: u32| match owner.word(number) {
        keyvault_issue::set::Found::Record(word) => match &word.meaning {
            keyvault_issue::record::Meaning::Scope(scope) => scope.as_str().to_owned(),
            role @ keyvault_issue::record::Meaning::Role(..) => panic!("{role:?}"),
        },
        other => panic!("{other:?}"),
    };
    let slow: BTreeSet<String> = credential.scopes().into_iter().map(name).collect();
    let fast: Vec<&str> = known.terms.scopes().iter().map(keyvault_core::name::Scope::as_str).collect();
    assert_eq!(fast, slow.iter().collect::<Vec<_>>(), "{}", key.id);
    let slow: Vec<_> =
        credential.limits().into_iter().map(|((counter, _), limit)| (counter, limit)).collect();
    let fast: Vec<_> = known.terms.limits().iter().map(|term| (term.counter, term.limit.clone())).collect();
    assert_eq!(fast, slow, "{}", key.id);
    let slow: Vec<_> = credential.quotas().into_iter().collect();
    let fast: Vec<_> =
        known.terms.quotas().iter().map(|term| ((term.counter, term.period), term.amount)).collect();
    assert_eq!(fast, slow, "{}", key.id);
    assert_eq!(known.terms.client(), credential.client().map(|client| client.id));
    assert_eq!((known.terms.prefix(), known.terms.environment()), (&key.prefix, key.environment));
    let hash = match &key.proof {
        Proof::Own(hash) | Proof::ImportedSha256(hash) => *hash,
        Proof::None => return assert!(!known.entry.is_proved_by(&[0; 32])),
        Proof::ImportedSha512(hash) => *hash.first_chunk().unwrap(),
    };
    assert!(known.entry.is_proved_by(&hash));
}

/// Each id is in both or in neither, and all is alike.
fn is_as_sets_say(snapshot: &Snapshot, sets: &Sets) {
    let mut count = 0;
    for id in ids() {
        match (sets.find(&id), snapshot.by_id(&id)) {
            (Lookup::Key(credential), Found::Known(known)) => {
                is_alike(sets, &credential, &known);
                count += 1;
                let algorithm = known.entry.algorithm();
                if let Proof::ImportedSha256(hash) = &credential.key().proof {
                    let found = snapshot.by_hash(algorithm, hash);
                    assert!(matches!(found, Found::Known(known) if known.entry.id() == id), "{id}");
                }
            }
            (Lookup::Unknown, Found::Unknown) | (Lookup::Unavailable, Found::Unavailable) => {}
            (slow, fast) => panic!("{id}: {slow:?}, {fast:?}"),
        }
    }
    assert_eq!(snapshot.len(), count);
}

fn moment() -> impl Strategy<Value = Option<Moment>> {
    prop::option::of(prop::sample::select(vec![-1_i64, 0, 1, 5, 30, 90, 91]))
        .prop_map(|days| days.map(|days| NOW.plus_millis(days * DAY)))
}

fn state() -> impl Strategy<Value = State> {
    prop_oneof![4 => Just(State::Active), 1 => Just(disabled()), 1 => Just(revoked())]
}

fn conditions() -> impl Strategy<Value = Option<Box<Conditions>>> {
    let limit = (prop::sample::select(vec!["requests", "writes"]), 1..50_u32, 1..10_u32)
        .prop_map(|(name, count, burst)| limit(name, count, 1000, burst));
    let quota = (any::<bool>(), 1..100_u64).prop_map(|(is_day, amount)| Quota {
        period: if is_day { Period::Day } else { Period::Month },
        amount,
    });
    let both = (prop::collection::vec(limit, 0..3), prop::collection::vec(quota, 0..3));
    prop::option::of(both.prop_map(|(limits, quotas)| {
        let (limits, quotas) = (Ascending::of(limits), Ascending::of(quotas));
        Box::new(Conditions { limits, quotas, ..Conditions::default() })
    }))
}

fn record() -> impl Strategy<Value = KeyRecord> {
    let words = (prop::collection::vec(1..4_u32, 0..3), any::<bool>());
    let who = (any::<bool>(), 0..12_u64, prop::option::of(prop::sample::select(vec![900_u64, 901])));
    let kind = (0..8_u8, prop::bool::weighted(0.1));
    (who, words, state(), (moment(), moment(), moment()), kind, conditions()).prop_map(
        |((is_owners, number, client), (scopes, role), state, times, (kind, decoy), conditions)| {
            let id = if is_owners { id(number) } else { portals_id(number) };
            let (not_before, expires, grace) = times;
            let imported = |kind: u8| is_owners && kind == 0;
            let proof = match &state {
                State::Revoked(_) if kind == 1 => Proof::None,
                _ if imported(kind) => Proof::ImportedSha256(sha256(id.as_bytes())),
                _ => key(id).proof,
            };
            KeyRecord {
                proof,
                state,
                client: client.map(shop::id),
                roles: Ascending::of(role.then_some(10)),
                scopes: Ascending::of(scopes),
                not_before,
                expires,
                replaced: grace.map(|grace_until| Replaced { by: shop::id(13), grace_until }),
                decoy,
                conditions,
                ..key(id)
            }
        },
    )
}

#[derive(Debug, Clone)]
enum Edit {
    Put(Box<KeyRecord>),
    Remove(Id),
    Client(State, Option<Box<Conditions>>, u64),
    RemoveClient(u64),
    Override(Id, bool),
    LiftOverride(Id),
    Hold(Id),
    Bounds(u64, Vec<u32>),
    Role(Vec<u32>),
}

fn any_id() -> impl Strategy<Value = Id> {
    prop::sample::select(ids())
}

fn edit() -> impl Strategy<Value = Edit> {
    let clients = || prop::sample::select(vec![900_u64, 901]);
    prop_oneof![
        6 => record().prop_map(|record| Edit::Put(Box::new(record))),
        1 => any_id().prop_map(Edit::Remove),
        2 => (state(), conditions(), clients()).prop_map(|(state, conditions, client)| Edit::Client(state, conditions, client)),
        1 => clients().prop_map(Edit::RemoveClient),
        1 => (any_id(), any::<bool>()).prop_map(|(id, over)| Edit::Override(id, over)),
        1 => any_id().prop_map(Edit::LiftOverride),
        1 => any_id().prop_map(Edit::Hold),
        1 => (1..100_u64, prop::collection::vec(1..4_u32, 0..3)).prop_map(|(days, scopes)| Edit::Bounds(days, scopes)),
        1 => prop::collection::vec(1..4_u32, 0..3).prop_map(Edit::Role),
    ]
}

fn apply(shop: &mut Shop, edit: Edit) {
    let mut changes = Changes::default();
    let is_portals = |id: &Id| id.mark() == portals_id(0).mark();
    match edit {
        Edit::Put(record) => return shop.put(*record),
        Edit::Hold(id) => return shop.hold(id),
        Edit::Remove(id) if is_portals(&id) => {
            changes.removed.push(Removal::Key(id));
            return shop.change_portals(&changes);
        }
        Edit::Remove(id) => changes.removed.push(Removal::Key(id)),
        Edit::Client(state, conditions, number) => {
            changes.put.clients.push(Client { state, conditions, ..client(id(number)) });
        }
        Edit::RemoveClient(number) => changes.removed.push(Removal::Client(id(number))),
        Edit::Override(id, over) => changes.put.overrides.push(Override {
            id,
            state: if over { revoked() } else { disabled() },
            extensions: keyvault_core::codec::Extensions::default(),
        }),
        Edit::LiftOverride(id) => changes.removed.push(Removal::Override(id)),
        Edit::Bounds(days, scopes) => {
            let bounds = Bounds {
                longest_life: days * DAY.unsigned_abs(),
                scopes: Ascending::of(scopes),
                limits: Ascending::of([limit("requests", 10, 1000, 5)]),
                ..bounds()
            };
            changes.put.api = Some(api(Some(issuer(bounds, IssuerState::InForce))));
        }
        Edit::Role(scopes) => changes.put.words.push(shop::role_word(10, "clerk", &scopes)),
    }
    shop.change(&changes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// A snapshot that is built says what the sets say of each key at each time, and so does one that followed each edit,
    /// with all records at hand and without those of keys.
    #[test]
    fn a_snapshot_says_what_the_sets_say(
        first in prop::collection::vec(record(), 0..10), edits in prop::collection::vec(edit(), 0..10),
    ) {
        let mut shop = Shop::of_keys([]);
        for record in first {
            shop.put(record);
        }
        shop.put_client(client(id(900)));
        let mut before = shop.sets();
        let mut thin = shop.sets_without_keys();
        let mut followed = Snapshot::build(&before);
        let mut lean = followed.clone();
        is_as_sets_say(&followed, &before);
        for edit in edits {
            apply(&mut shop, edit);
            let next = shop.sets();
            let built = Snapshot::build(&next);
            is_as_sets_say(&built, &next);
            // Sets of other sizes have other pages, and are loaded whole.
            followed = followed.follow(&before, &next).unwrap_or_else(|LoadWhole| built.clone());
            is_as_sets_say(&followed, &next);
            lean = match lean.follow(&thin, &next) {
                Ok(snapshot) => snapshot,
                Err(LoadWhole) => built,
            };
            is_as_sets_say(&lean, &next);
            (before, thin) = (next, shop.sets_without_keys());
        }
    }
}

type Step = Box<dyn Fn(&mut Shop)>;

/// So many keys that they are on several pages.
fn large(count: u64) -> Shop {
    let keys =
        (0..count).map(|number| KeyRecord { client: Some(id(90_000 + number % 10)), ..key(id(number)) });
    let clients = (0..10).map(|number| client(id(90_000 + number)));
    let content =
        Content { words: words(), clients: clients.collect(), keys: keys.collect(), ..Content::default() };
    Shop::new(content, Content::default())
}

#[test]
fn a_verifier_without_the_records_of_keys_follows_edits_of_keys_clients_and_holds() {
    let mut shop = large(1000);
    let mut before = shop.sets();
    let mut snapshot = Snapshot::build(&before);
    shop.forget_keys();
    let refused = |snapshot: &Snapshot, number| match snapshot.by_id(&id(number)) {
        Found::Known(known) => known.refused_at(NOW),
        other => panic!("{other:?}"),
    };
    let mut steps: Vec<(Step, u64, Cause)> = vec![
        (Box::new(|shop| shop.hold(id(7))), 7, Cause::Held),
        (
            Box::new(|shop| shop.put_client(Client { state: disabled(), ..client(id(90_003)) })),
            3,
            Cause::Disabled,
        ),
    ];
    steps.push((
        Box::new(|shop| {
            let mut changes = Changes::default();
            let extensions = keyvault_core::codec::Extensions::default();
            changes.put.overrides.push(Override { id: id(8), state: revoked(), extensions });
            shop.change(&changes);
        }),
        8,
        Cause::Revoked,
    ));
    for (step, number, cause) in steps {
        assert_eq!(refused(&snapshot, number), None);
        step(&mut shop);
        let next = shop.sets();
        snapshot = snapshot.follow(&before, &next).unwrap();
        before = next;
        assert_eq!(refused(&snapshot, number), Some(cause));
    }
    assert_eq!(refused(&snapshot, 13), Some(Cause::Disabled), "another key of the client");
    assert_eq!(refused(&snapshot, 14), None);
    assert_eq!(snapshot.len(), 1000);
}

#[test]
fn a_snapshot_follows_only_from_the_sets_that_it_was_made_of() {
    let mut shop = large(10);
    let first = shop.sets();
    let snapshot = Snapshot::build(&first);
    shop.put(KeyRecord { state: disabled(), ..key(id(1)) });
    let second = shop.sets();
    shop.put(KeyRecord { state: disabled(), ..key(id(2)) });
    let third = shop.sets();
    assert!(snapshot.follow(&first, &third).is_ok());
    assert_eq!(snapshot.follow(&second, &third).err(), Some(LoadWhole));
    // A page that changed has to be there.
    assert_eq!(snapshot.follow(&first, &shop.sets_without_keys()).err(), Some(LoadWhole));
    assert!(matches!(Snapshot::build(&shop.sets_without_keys()).by_id(&id(1)), Found::Unavailable));
    let without = shop.without_portal();
    assert_eq!(snapshot.follow(&first, &without).err(), Some(LoadWhole));
}

#[test]
fn edits_leave_no_more_terms_behind_than_there_were_and_a_thousand() {
    let mut shop = large(10);
    let mut before = shop.sets();
    let mut snapshot = Snapshot::build(&before);
    let mut last = Ok(());
    for number in 0..1200_i64 {
        shop.put(KeyRecord { not_before: Some(NOW.plus_millis(number)), ..key(id(1)) });
        let next = shop.sets();
        match snapshot.follow(&before, &next) {
            Ok(followed) => (snapshot, before) = (followed, next),
            Err(error) => {
                last = Err((number, error));
                break;
            }
        }
    }
    let (number, LoadWhole) = last.unwrap_err();
    assert!((1024..1100).contains(&number), "{number}");
}

#[test]
fn ids_that_an_issuer_chose_to_collide_are_all_found() {
    // One tag, since only the lowest bits differ.
    let keys = (0..100).map(|number| key(portals_id(number)));
    let shop = Shop::new(
        Content { words: words(), ..Content::default() },
        Content { keys: keys.collect(), ..Content::default() },
    );
    let snapshot = Snapshot::build(&shop.sets());
    for number in 0..100 {
        assert!(
            matches!(snapshot.by_id(&portals_id(number)), Found::Known(known) if known.entry.id() == portals_id(number))
        );
    }
    assert!(matches!(snapshot.by_id(&portals_id(100)), Found::Unknown));
}

#[test]
fn imported_keys_are_indexed_as_pages_change() {
    let imported = |number: u64, text: &[u8]| KeyRecord {
        proof: Proof::ImportedSha256(sha256(text)),
        ..key(id(number))
    };
    let text = |number: u64| format!("old {number}").into_bytes();
    let mut shop = Shop::of_keys((0..500).map(|number| imported(number, &text(number))));
    let mut before = shop.sets();
    let mut snapshot = Snapshot::build(&before);
    let found =
        |snapshot: &Snapshot, text: &[u8]| match snapshot.by_hash(Algorithm::ImportedSha256, &sha256(text)) {
            Found::Known(known) => Some(known.entry.id()),
            _ => None,
        };
    assert!((0..500).all(|number| found(&snapshot, &text(number)) == Some(id(number))));
    for number in 0..20 {
        shop.put(imported(number, format!("new {number}").as_bytes()));
        let next = shop.sets();
        snapshot = snapshot.follow(&before, &next).unwrap();
        before = next;
    }
    assert!((0..20).all(|number| found(&snapshot, format!("new {number}").as_bytes()) == Some(id(number))));
    assert!((0..20).all(|number| found(&snapshot, &text(number)).is_none()));
    assert!((20..500).all(|number| found(&snapshot, &text(number)) == Some(id(number))));
}

#[test]
fn an_issuers_keys_end_with_its_end_and_its_longest_life_together() {
    let bounds = Bounds { longest_life: 45 * DAY.unsigned_abs(), ..bounds() };
    let entry = issuer(bounds, IssuerState::InForce);
    let entry = keyvault_issue::record::IssuerEntry { ends: Some(NOW.plus_millis(10 * DAY)), ..entry };
    let key = KeyRecord { expires: Some(NOW.plus_millis(80 * DAY)), ..key(portals_id(1)) };
    let shop = Shop::new(
        Content { api: Some(api(Some(entry))), words: words(), ..Content::default() },
        Content { keys: vec![key], ..Content::default() },
    );
    let sets = shop.sets();
    let snapshot = Snapshot::build(&sets);
    let Found::Known(known) = snapshot.by_id(&portals_id(1)) else { panic!("not there") };
    for (days, cause) in [(30, Some(Cause::OutOfBounds)), (50, None), (55, Some(Cause::Expired))] {
        assert_eq!(known.refused_at(NOW.plus_millis(days * DAY)), cause, "on day {days}");
    }
}
