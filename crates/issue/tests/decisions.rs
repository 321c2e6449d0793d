//! The verdict on a request: the order of reasons, who learns them, and what is charged.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod shop;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use keyvault_core::clock::Moment;
use keyvault_core::crypto::{sha256, sha512};
use keyvault_issue::decide::{Cause, Costs, Counters, Decision, LimitOf, Now, Outcome, Request, decide};
use keyvault_issue::query::Query;
use keyvault_issue::quota::{Ask, InMemory, QuotaOf, Reserved, UsageStore};
use keyvault_issue::record::{
    Ascending, Conditions, Environment, Id, KeyRecord, Network, Period, Prefix, Proof, Quota, Replaced, State,
};
use keyvault_issue::set::{Changes, Content};
use keyvault_issue::snapshot::{Algorithm, Asked, Found, Records, Restriction, Single, Snapshot};
use keyvault_issue::standing::{Counter, Sets};
use proptest::prelude::*;
use shop::{
    DAY, NOW, Shop, api, bounds, client, disabled, id, issuer, key, label, limit, limits, portals_id, quota,
    revoked, secret, text, text_with, words,
};

const SECOND: u64 = 1_000_000_000;

fn now() -> Now {
    Now { wall: NOW, ticks: 100 * SECOND }
}

fn any() -> Query {
    Query::any()
}

fn ask<'s>(
    snapshot: &'s Snapshot,
    counters: &Counters,
    credential: &[u8],
    asked: Asked<'_>,
    needs: &Query,
) -> Decision<'s> {
    let costs = Costs::default();
    decide(snapshot, counters, &Request { credential, asked, needs, costs: &costs }, now())
}

/// The verdict on a plain request with the key of an id.
fn plain(snapshot: &Snapshot, id: Id) -> (Outcome, Option<Cause>) {
    let decision = ask(snapshot, &Counters::in_memory(), &text(id), Asked::default(), &any());
    (decision.outcome, decision.cause)
}

fn of(keys: impl IntoIterator<Item = KeyRecord>) -> Snapshot {
    Snapshot::build(&Shop::of_keys(keys).sets())
}

/// A key that fails for every reason that there is.
fn worst() -> KeyRecord {
    KeyRecord {
        state: revoked(),
        expires: Some(NOW),
        scopes: Ascending::default(),
        conditions: Some(Box::new(Conditions {
            limits: Ascending::of([limit("requests", 1, 86_400_000, 1)]),
            quotas: Ascending::of([Quota { period: Period::Day, amount: 0 }]),
            networks: Ascending::of([Network::V4([10, 0, 0, 0], 8)]),
            origins: Ascending::of(["https://shop.example".into()]),
            apps: Ascending::of(["com.example.shop".into()]),
            methods: Ascending::of(["GET".into()]),
            paths: Ascending::of(["/orders/*".into()]),
        })),
        ..key(id(1))
    }
}

#[test]
fn the_first_reason_in_the_order_decides_and_each_is_seen_once_those_before_it_are_gone() {
    let counters = Counters::in_memory();
    let needs = Query::parse("orders:read").unwrap();
    // The limit is used up by a key of the same id before.
    let spender = KeyRecord { conditions: limits([limit("requests", 1, 86_400_000, 1)]), ..key(id(1)) };
    assert_eq!(
        ask(&of([spender]), &counters, &text(id(1)), Asked::default(), &any()).outcome,
        Outcome::Valid
    );
    let mut key = worst();
    let mut asked = Asked::default();
    let steps: [(&str, Outcome, Cause); 10] = [
        ("state", Outcome::Revoked, Cause::Revoked),
        ("expiry", Outcome::Expired, Cause::Expired),
        ("network", Outcome::Forbidden, Cause::Unmet(Restriction::Network)),
        ("origin", Outcome::Forbidden, Cause::Unmet(Restriction::Origin)),
        ("app", Outcome::Forbidden, Cause::Unmet(Restriction::App)),
        ("method", Outcome::Forbidden, Cause::Unmet(Restriction::Method)),
        ("path", Outcome::Forbidden, Cause::Unmet(Restriction::Path)),
        ("scope", Outcome::InsufficientPermissions, Cause::Scope),
        ("rate", Outcome::RateLimited, Cause::Rate),
        ("quota", Outcome::UsageExceeded, Cause::Quota),
    ];
    for (step, outcome, cause) in steps {
        let snapshot = of([key.clone()]);
        let decision = ask(&snapshot, &counters, &text(id(1)), asked, &needs);
        assert_eq!((decision.outcome, decision.cause), (outcome, Some(cause)), "{step}");
        assert!(decision.was_proved(), "{step}");
        let conditions = key.conditions.as_mut().unwrap();
        match step {
            "state" => key.state = State::Active,
            "expiry" => key.expires = None,
            "network" => asked.network = Some("10.1.2.3".parse().unwrap()),
            "origin" => asked.origin = Some("https://SHOP.example"),
            "app" => asked.app = Some("com.example.shop"),
            "method" => asked.method = Some("GET"),
            "path" => asked.path = Some("/orders/7"),
            "scope" => key.scopes = Ascending::of([1]),
            "rate" => conditions.limits = Ascending::default(),
            _ => conditions.quotas = Ascending::of([Quota { period: Period::Day, amount: 1 }]),
        }
    }
    assert_eq!(ask(&of([key]), &counters, &text(id(1)), asked, &needs).outcome, Outcome::Valid);
}

#[test]
fn each_state_has_its_outcome_and_the_strictest_is_told() {
    let replaced = |until: Moment| Some(Replaced { by: id(99), grace_until: until });
    let cases = [
        (key(id(1)), Outcome::Valid, None),
        (KeyRecord { state: disabled(), ..key(id(2)) }, Outcome::Disabled, Some(Cause::Disabled)),
        (KeyRecord { state: revoked(), ..key(id(3)) }, Outcome::Revoked, Some(Cause::Revoked)),
        (KeyRecord { expires: Some(NOW), ..key(id(4)) }, Outcome::Expired, Some(Cause::Expired)),
        (KeyRecord { expires: Some(NOW.plus_millis(1)), ..key(id(5)) }, Outcome::Valid, None),
        (KeyRecord { not_before: Some(NOW), ..key(id(6)) }, Outcome::Valid, None),
        (
            KeyRecord { not_before: Some(NOW.plus_millis(1)), ..key(id(7)) },
            Outcome::Forbidden,
            Some(Cause::NotYet),
        ),
        (KeyRecord { replaced: replaced(NOW.plus_millis(1)), ..key(id(8)) }, Outcome::Valid, None),
        (KeyRecord { replaced: replaced(NOW), ..key(id(9)) }, Outcome::Expired, Some(Cause::Expired)),
        (
            KeyRecord { state: disabled(), expires: Some(NOW), ..key(id(10)) },
            Outcome::Disabled,
            Some(Cause::Disabled),
        ),
        (KeyRecord { client: Some(id(901)), ..key(id(11)) }, Outcome::Forbidden, Some(Cause::OutOfBounds)),
    ];
    let snapshot = of(cases.iter().map(|(key, ..)| key.clone()));
    for (key, outcome, cause) in cases {
        assert_eq!(plain(&snapshot, key.id), (outcome, cause), "{}", key.id);
    }
}

/// All that the bearer of a text is told.
fn told(decision: &Decision<'_>) -> (Outcome, bool, usize, Option<u64>) {
    (decision.outcome, decision.was_proved(), decision.limits.iter().count(), decision.retry_after)
}

#[test]
fn whoever_proved_nothing_gets_one_answer_and_charges_nobody() {
    let limited = || limits([limit("requests", 1, 86_400_000, 1)]);
    let of_client = |number, state| KeyRecord { state, conditions: limited(), ..key(id(number)) };
    let snapshot = of([
        of_client(1, State::Active),
        of_client(2, disabled()),
        of_client(3, revoked()),
        KeyRecord { state: revoked(), proof: Proof::None, ..key(id(4)) },
        KeyRecord { decoy: true, ..key(id(5)) },
        KeyRecord { environment: Environment::Test, ..key(id(6)) },
        KeyRecord { proof: Proof::ImportedSha256(sha256(b"old")), ..key(id(7)) },
    ]);
    let counters = Counters::in_memory();
    let wrong = [b'x'; 43];
    let mut texts: Vec<Vec<u8>> = (1..=8).map(|number| text_with("kv", "live", id(number), &wrong)).collect();
    texts.extend([
        // The right secret with another prefix, environment, or id.
        text_with("kx", "live", id(1), &secret(id(1))),
        text_with("kv", "test", id(1), &secret(id(1))),
        text_with("kv", "live", id(2), &secret(id(1))),
        text_with("kv", "live", portals_id(1), &secret(id(1))),
        // A revoked key without a hash, a decoy, a key of the other environment, an imported key by its id.
        text(id(4)),
        text(id(5)),
        text(id(6)),
        text(id(7)),
        b"".to_vec(),
        b"kv_live_".to_vec(),
        vec![b'a'; 100_000],
        [text(id(1)), b" ".to_vec()].concat(),
    ]);
    for text in &texts {
        let decision = ask(&snapshot, &counters, text, Asked::default(), &any());
        assert_eq!(told(&decision), (Outcome::NotFound, false, 0, None), "{}", String::from_utf8_lossy(text));
        assert!(decision.bearer.is_none());
    }
    let decoy = ask(&snapshot, &counters, &text(id(5)), Asked::default(), &any());
    assert_eq!((decoy.cause, decoy.claimed), (Some(Cause::Decoy), Some(id(5))), "the alarm knows which");
    assert!(counters.is_empty(), "no counter was made");
    assert_eq!(ask(&snapshot, &counters, &text(id(1)), Asked::default(), &any()).outcome, Outcome::Valid);
}

#[test]
fn imported_keys_are_found_by_the_hash_of_their_whole_text() {
    let snapshot = of([
        KeyRecord { proof: Proof::ImportedSha256(sha256(b"sk_old_1")), ..key(id(1)) },
        KeyRecord { proof: Proof::ImportedSha512(Box::new(sha512(b"sk_old_2"))), ..key(id(2)) },
        // Its text has the form of ours, so it is looked up by id.
        KeyRecord { proof: Proof::ImportedSha256(sha256(&text(id(9)))), ..key(id(3)) },
        // The first eight bytes of another one's hash.
        KeyRecord {
            proof: Proof::ImportedSha256({
                let mut hash = sha256(b"sk_old_1");
                hash[31] ^= 1;
                hash
            }),
            ..key(id(4))
        },
    ]);
    let counters = Counters::in_memory();
    let found = |text: &[u8]| {
        let decision = ask(&snapshot, &counters, text, Asked::default(), &any());
        decision.bearer.map(|bearer| bearer.id)
    };
    assert_eq!(found(b"sk_old_1"), Some(id(1)));
    assert_eq!(found(b"sk_old_2"), Some(id(2)));
    assert_eq!(found(b"sk_old_3"), None);
    assert_eq!(found(&text(id(9))), None);
    assert_eq!(found(&sha256(b"sk_old_1")), None, "a stolen hash opens nothing");
    assert!(!Records::has(&of([key(id(1))]), Algorithm::ImportedSha512));
}

#[test]
fn a_set_that_is_not_there_gives_no_verdict_on_its_keys() {
    let shop = Shop::new(
        Content { words: words(), keys: vec![key(id(1))], ..Content::default() },
        Content { keys: vec![key(portals_id(1))], ..Content::default() },
    );
    let whole = Snapshot::build(&shop.sets());
    assert_eq!(plain(&whole, portals_id(1)).0, Outcome::Valid);
    let without = Snapshot::build(&shop.without_portal());
    assert_eq!(plain(&without, portals_id(1)), (Outcome::Unavailable, Some(Cause::NoSet)));
    assert_eq!(plain(&without, id(1)).0, Outcome::Valid);
}

#[test]
fn a_client_is_restricted_with_its_keys_and_either_may_refuse() {
    let networks =
        |network| Some(Box::new(Conditions { networks: Ascending::of([network]), ..Conditions::default() }));
    let mut shop = Shop::of_keys([KeyRecord {
        client: Some(id(900)),
        conditions: networks(Network::V4([10, 0, 0, 0], 8)),
        ..key(id(1))
    }]);
    shop.put_client(keyvault_issue::record::Client {
        conditions: networks(Network::V4([10, 1, 0, 0], 16)),
        ..client(id(900))
    });
    let snapshot = Snapshot::build(&shop.sets());
    for (address, outcome) in
        [("10.1.0.1", Outcome::Valid), ("10.2.0.1", Outcome::Forbidden), ("11.1.0.1", Outcome::Forbidden)]
    {
        let asked = Asked { network: Some(address.parse().unwrap()), ..Asked::default() };
        let decision = ask(&snapshot, &Counters::in_memory(), &text(id(1)), asked, &any());
        assert_eq!(decision.outcome, outcome, "{address}");
    }
}

#[test]
fn a_refused_request_costs_nothing_of_any_limit() {
    let conditions = Conditions {
        limits: Ascending::of([limit("reads", 1, 1000, 5), limit("writes", 1, 1000, 1)]),
        quotas: Ascending::of([Quota { period: Period::Day, amount: 3 }]),
        ..Conditions::default()
    };
    let key = KeyRecord { conditions: Some(Box::new(conditions)), ..key(id(1)) };
    let snapshot = of([key]);
    let counters = Counters::in_memory();
    let state = |costs: &Costs, at: u64| {
        let (text, needs) = (text(id(1)), any());
        let request = Request { credential: &text, asked: Asked::default(), needs: &needs, costs };
        let decision = decide(&snapshot, &counters, &request, Now { ticks: at * SECOND, ..now() });
        let left = |wanted: &str| {
            let of = |limit: &LimitOf<'_>| match limit {
                LimitOf::Rate(limit) => limit.name.as_str() == wanted,
                LimitOf::Quota { .. } => wanted == "day",
            };
            decision.limits.iter().find(|state| of(&state.limit)).map(|state| state.remaining)
        };
        (decision.outcome, left("reads"), left("writes"), left("day"), decision.retry_after)
    };
    let all = Costs::default();
    assert_eq!(state(&all, 100), (Outcome::Valid, Some(4), Some(0), Some(2), None));
    for _ in 0..10 {
        // `writes` is used up: neither `reads` nor the quota is charged.
        assert_eq!(state(&all, 100), (Outcome::RateLimited, Some(4), Some(0), None, Some(SECOND)));
    }
    let reads = Costs::default().with_limit(&label("writes"), 0).with_limit(&label("reads"), 2);
    assert_eq!(state(&reads, 100), (Outcome::Valid, Some(2), Some(0), Some(1), None));
    let dear = Costs::default().with_limit(&label("writes"), 0).with_quota(2);
    let midnight = (DAY - NOW.0.rem_euclid(DAY)).unsigned_abs() * 1_000_000;
    for _ in 0..10 {
        // The quota has one left: no rate is charged.
        assert_eq!(state(&dear, 100), (Outcome::UsageExceeded, Some(2), Some(0), Some(1), Some(midnight)));
    }
    assert_eq!(state(&all, 102), (Outcome::Valid, Some(3), Some(0), Some(0), None));
    let free = Costs::default().with_limit(&label("writes"), 0).with_limit(&label("reads"), 0).with_quota(0);
    assert_eq!(state(&free, 102).0, Outcome::Valid);
    let more_than_ever = Costs::default().with_limit(&label("writes"), 2);
    let refused = state(&more_than_ever, 200);
    assert_eq!((refused.0, refused.4), (Outcome::RateLimited, None), "no time to wait for");
}

#[test]
fn neither_many_keys_nor_a_rotation_multiplies_the_limits_of_a_client() {
    let shared = |number| KeyRecord { client: Some(id(900)), ..key(id(number)) };
    let mut shop = Shop::of_keys([shared(1), shared(2)]);
    shop.put_client(keyvault_issue::record::Client {
        conditions: limits([limit("requests", 1, 86_400_000, 4)]),
        ..client(id(900))
    });
    let counters = Counters::in_memory();
    let mut passed = 0;
    let mut use_up = |shop: &Shop, numbers: [u64; 2]| {
        let snapshot = Snapshot::build(&shop.sets());
        for number in numbers {
            let decision = ask(&snapshot, &counters, &text(id(number)), Asked::default(), &any());
            passed += u32::from(decision.outcome == Outcome::Valid);
        }
        passed
    };
    assert_eq!(use_up(&shop, [1, 2]), 2);
    shop.put(KeyRecord {
        replaced: Some(Replaced { by: id(3), grace_until: NOW.plus_millis(5) }),
        ..shared(1)
    });
    shop.put(shared(3));
    assert_eq!(use_up(&shop, [1, 3]), 4);
    assert_eq!(use_up(&shop, [2, 3]), 4);
    // A key with a limit of its own of that name is counted by it instead.
    shop.put(KeyRecord { conditions: limits([limit("requests", 1, 86_400_000, 1)]), ..shared(2) });
    assert_eq!(use_up(&shop, [2, 2]), 5);
}

#[test]
fn limits_are_exact_and_charged_together_by_several_threads() {
    let conditions = Conditions {
        limits: Ascending::of([limit("all", 1, 86_400_000, 500), limit("few", 1, 86_400_000, 300)]),
        quotas: Ascending::of([Quota { period: Period::Day, amount: 200 }]),
        ..Conditions::default()
    };
    let snapshot = of([KeyRecord { conditions: Some(Box::new(conditions)), ..key(id(1)) }]);
    let (counters, passed, costs) = (Counters::in_memory(), AtomicU32::new(0), Costs::default());
    let (text, needs) = (text(id(1)), any());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let request =
                        Request { credential: &text, asked: Asked::default(), needs: &needs, costs: &costs };
                    if decide(&snapshot, &counters, &request, now()).outcome == Outcome::Valid {
                        passed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(passed.into_inner(), 200);
    let left: Vec<u64> = ask(&snapshot, &counters, &text, Asked::default(), &any())
        .limits
        .iter()
        .map(|state| state.remaining)
        .collect();
    assert_eq!(left, [300, 100, 0], "each was charged as often as the others");
}

/// The overshoot of two verifiers: none of a quota, which they reserve from one store, and of a rate, which each counts for
/// itself, as much as there are verifiers.
#[test]
fn two_verifiers_share_a_quota_exactly_and_each_has_the_rate() {
    let snapshot = of([
        KeyRecord { conditions: quota(Period::Month, 2_500), ..key(id(1)) },
        KeyRecord { conditions: limits([limit("requests", 100, 1000, 10)]), ..key(id(2)) },
    ]);
    let store = Arc::new(InMemory::default());
    let verifiers = [Counters::new(Arc::clone(&store)), Counters::new(Arc::clone(&store))];
    let passed = |number, offered: u64| {
        let asks = (0..offered).flat_map(|at| verifiers.iter().map(move |counters| (at, counters)));
        let valid = asks.filter(|(at, counters)| {
            let (text, needs, costs) = (text(id(number)), any(), Costs::default());
            let request =
                Request { credential: &text, asked: Asked::default(), needs: &needs, costs: &costs };
            let now = Now { ticks: 100 * SECOND + at * SECOND / 1000, ..now() };
            decide(&snapshot, counters, &request, now).outcome == Outcome::Valid
        });
        valid.count()
    };
    assert_eq!(passed(1, 2_000), 2_500);
    let of_rate = passed(2, 1_000);
    assert_eq!(of_rate, 2 * (10 + 99), "twice the burst, and twice 100 a second");
    // A verifier that stops gives the rest of its block back.
    for counters in &verifiers {
        counters.take_unused().iter().for_each(|unused| store.take_back(unused));
    }
    let month = QuotaOf { owner: id(1), counter: Counter::Key, period: Period::Month };
    assert_eq!(store.used(&month).map(|(_, used)| used), Some(2_500));
}

/// A store that has written nothing yet, or cannot.
struct Stuck(Reserved);
impl UsageStore for Stuck {
    fn reserve(&self, _: &Ask) -> Reserved {
        self.0
    }
}

#[test]
fn a_request_that_waits_for_the_store_is_charged_nothing_and_one_without_a_quota_goes_on() {
    let both = Conditions {
        limits: Ascending::of([limit("requests", 1, 86_400_000, 1)]),
        quotas: Ascending::of([Quota { period: Period::Day, amount: 10 }]),
        ..Conditions::default()
    };
    let snapshot = of([KeyRecord { conditions: Some(Box::new(both)), ..key(id(1)) }, key(id(2))]);
    for (answer, cause) in [(Reserved::Pending, Cause::Reserving), (Reserved::Failed, Cause::NoStore)] {
        let counters = Counters::new(Stuck(answer));
        for _ in 0..3 {
            let decision = ask(&snapshot, &counters, &text(id(1)), Asked::default(), &any());
            assert_eq!((decision.outcome, decision.cause), (Outcome::Unavailable, Some(cause)));
            assert_eq!(decision.limits.iter().next().map(|state| state.remaining), Some(1));
        }
        assert_eq!(ask(&snapshot, &counters, &text(id(2)), Asked::default(), &any()).outcome, Outcome::Valid);
    }
}

#[test]
fn counters_that_say_nothing_are_forgotten_and_nothing_is_refunded_by_it() {
    let both = Conditions {
        limits: Ascending::of([limit("requests", 1, 1000, 1)]),
        quotas: Ascending::of([Quota { period: Period::Day, amount: 2 }]),
        ..Conditions::default()
    };
    let snapshot = of([KeyRecord { conditions: Some(Box::new(both)), ..key(id(1)) }]);
    let counters = Counters::in_memory();
    let mut at = now();
    let mut once = |counters: &Counters| {
        let (text, needs, costs) = (text(id(1)), any(), Costs::default());
        let request = Request { credential: &text, asked: Asked::default(), needs: &needs, costs: &costs };
        let outcome = decide(&snapshot, counters, &request, at).outcome;
        counters.prune(at.ticks, at.wall);
        at.ticks += SECOND;
        outcome
    };
    assert_eq!(once(&counters), Outcome::Valid);
    assert_eq!(counters.len(), 2, "both are in use");
    counters.prune(200 * SECOND, NOW.plus_millis(2 * DAY));
    assert!(counters.is_empty());
    assert_eq!(once(&counters), Outcome::Valid);
    assert_eq!(once(&counters), Outcome::UsageExceeded);
}

#[test]
fn snapshots_share_the_counter_of_a_client_whatever_is_forgotten_in_between() {
    let mut shop = Shop::of_keys([KeyRecord { client: Some(id(900)), ..key(id(1)) }]);
    shop.put_client(keyvault_issue::record::Client {
        conditions: limits([limit("requests", 1, 86_400_000, 2)]),
        ..client(id(900))
    });
    let snapshots = [Snapshot::build(&shop.sets()), Snapshot::build(&shop.sets())];
    let counters = Counters::in_memory();
    let outcome = |which: usize, counters: &Counters| {
        ask(&snapshots[which], counters, &text(id(1)), Asked::default(), &any()).outcome
    };
    assert_eq!(outcome(0, &counters), Outcome::Valid);
    counters.prune(100_000_000 * SECOND, NOW);
    assert_eq!(
        [outcome(1, &counters), outcome(0, &counters), outcome(1, &counters)],
        [Outcome::Valid, Outcome::RateLimited, Outcome::RateLimited]
    );
    assert_eq!(outcome(0, &Counters::in_memory()), Outcome::Valid, "another verifier has its own");
}

/// Records as a store on a network would keep them: each by itself, fetched when it is asked for.
struct Fetched(Vec<Single>);
impl Records for Fetched {
    fn by_id(&self, id: &Id) -> Found<'_> {
        let single = self.0.iter().find(|single| single.known().entry.id() == *id);
        single.map_or(Found::Unknown, |single| Found::Known(single.known()))
    }

    fn by_hash(&self, algorithm: Algorithm, hash: &[u8; 32]) -> Found<'_> {
        let is_it = |single: &&Single| {
            let entry = single.known().entry;
            entry.algorithm() == algorithm && entry.is_proved_by(hash)
        };
        self.0.iter().find(is_it).map_or(Found::Unknown, |single| Found::Known(single.known()))
    }

    fn has(&self, _: Algorithm) -> bool {
        true
    }
}

#[test]
fn records_that_are_kept_elsewhere_are_decided_on_alike() {
    let shop = Shop::of_keys([
        key(id(1)),
        KeyRecord { state: disabled(), ..key(id(2)) },
        KeyRecord { proof: Proof::ImportedSha512(Box::new(sha512(b"old"))), ..key(id(3)) },
    ]);
    let sets = shop.sets();
    let fetched = Fetched((1..=3).filter_map(|number| Single::of(&sets, &id(number))).collect());
    let snapshot = Snapshot::build(&sets);
    let (needs, costs) = (Query::parse("orders:*").unwrap(), Costs::default());
    for credential in [text(id(1)), text(id(2)), text(id(3)), text(id(4)), b"old".to_vec()] {
        let request =
            Request { credential: &credential, asked: Asked::default(), needs: &needs, costs: &costs };
        let ours = decide(&snapshot, &Counters::in_memory(), &request, now());
        let theirs = decide(&fetched, &Counters::in_memory(), &request, now());
        assert_eq!((ours.outcome, ours.cause, ours.claimed), (theirs.outcome, theirs.cause, theirs.claimed));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// A key is valid only for requests that the scopes of its own record meet, whatever is edited around it: new
    /// words, roles that others have, other keys, a client that gets more.
    #[test]
    fn nothing_that_is_added_around_a_key_widens_it(
        added in prop::collection::vec(0..5_u8, 1..5),
        needs in "(orders|stock|new):(read|write|\\*)( (AND|OR) (orders|stock):(read|write)){0,2}",
    ) {
        let mut shop = Shop::of_keys([KeyRecord { client: Some(id(900)), ..key(id(1)) }]);
        shop.put_client(client(id(900)));
        let needs = Query::parse(&needs).unwrap();
        let before = Snapshot::build(&shop.sets());
        let verdict = |snapshot: &Snapshot| {
            ask(snapshot, &Counters::in_memory(), &text(id(1)), Asked::default(), &needs).outcome
        };
        let first = verdict(&before);
        for (number, what) in (0_u32..).zip(added) {
            let mut changes = Changes::default();
            match what {
                0 => changes.put.words.push(shop::scope_word(20 + number, "new:read")),
                1 => changes.put.words.push(shop::role_word(40 + number, "admin", &[1, 2, 3])),
                2 => changes.put.keys.push(KeyRecord {
                    scopes: Ascending::of([1, 2, 3]),
                    roles: Ascending::of([10]),
                    client: Some(id(900)),
                    ..key(id(100 + u64::from(number)))
                }),
                3 => changes.put.clients.push(client(id(910 + u64::from(number)))),
                _ => changes.put.clients.push(keyvault_issue::record::Client {
                    conditions: limits([limit("more", 1_000_000, 1, 1_000_000)]),
                    ..client(id(900))
                }),
            }
            shop.change(&changes);
            prop_assert_eq!(verdict(&Snapshot::build(&shop.sets())), first);
        }
    }
}

/// The owner's edits of a key, of its client, and of what is said of both.
#[derive(Debug, Clone, Copy)]
enum Edit {
    Disable,
    Enable,
    Revoke,
    ShortenExpiry,
    LengthenExpiry,
    Replace,
    Hold,
    DisableClient,
    EnableClient,
    MakeDecoy,
    Wait,
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let edit = prop_oneof![
        Just(Edit::Disable),
        Just(Edit::Enable),
        Just(Edit::Revoke),
        Just(Edit::ShortenExpiry),
        Just(Edit::LengthenExpiry),
        Just(Edit::Replace),
        Just(Edit::Hold),
        Just(Edit::DisableClient),
        Just(Edit::EnableClient),
        Just(Edit::MakeDecoy),
        Just(Edit::Wait),
        Just(Edit::Wait),
    ];
    prop::collection::vec(edit, 1..12)
}

/// A key in words, without records.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each may hold without the others")]
struct Model {
    is_disabled: bool,
    is_revoked: bool,
    is_held: bool,
    client_is_disabled: bool,
    is_decoy: bool,
    expires: i64,
    grace: Option<i64>,
    time: i64,
}

impl Model {
    fn outcome(&self) -> Outcome {
        let is_over = self.expires <= self.time || self.grace.is_some_and(|grace| grace <= self.time);
        match self {
            Self { is_decoy: true, .. } => Outcome::NotFound,
            Self { is_revoked: true, .. } => Outcome::Revoked,
            Self { is_disabled: true, .. }
            | Self { client_is_disabled: true, .. }
            | Self { is_held: true, .. } => Outcome::Disabled,
            _ if is_over => Outcome::Expired,
            _ => Outcome::Valid,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// The snapshot follows each edit, and no order of edits makes a key valid that the model refuses. The owner's program
    /// does not take a revocation back; neither does the model.
    #[test]
    fn a_key_is_as_a_model_of_its_life_says(edits in edits()) {
        let mut record = KeyRecord { client: Some(id(900)), ..key(id(1)) };
        record.expires = Some(NOW.plus_millis(10 * DAY));
        let mut shop = Shop::of_keys([record.clone(), key(id(2))]);
        shop.put_client(client(id(900)));
        let mut model = Model { expires: 10, ..Model::default() };
        let mut before = shop.sets();
        let mut snapshot = Snapshot::build(&before);
        for edit in edits {
            match edit {
                Edit::Disable | Edit::Enable if model.is_revoked => {}
                Edit::Disable => (record.state, model.is_disabled) = (disabled(), true),
                Edit::Enable => (record.state, model.is_disabled) = (State::Active, false),
                Edit::Revoke => (record.state, model.is_revoked) = (revoked(), true),
                Edit::ShortenExpiry => model.expires -= 3,
                Edit::LengthenExpiry => model.expires += 3,
                Edit::Replace => model.grace = model.grace.or(Some(model.time + 2)),
                Edit::Hold => model.is_held = true,
                Edit::DisableClient => model.client_is_disabled = true,
                Edit::EnableClient => model.client_is_disabled = false,
                Edit::MakeDecoy => (record.decoy, model.is_decoy) = (true, true),
                Edit::Wait => model.time += 1,
            }
            record.expires = Some(NOW.plus_millis(model.expires * DAY));
            record.replaced = model.grace.map(|grace| Replaced { by: id(2), grace_until: NOW.plus_millis(grace * DAY) });
            match edit {
                Edit::Hold => shop.hold(id(1)),
                Edit::DisableClient | Edit::EnableClient => {
                    let state = if model.client_is_disabled { disabled() } else { State::Active };
                    shop.put_client(keyvault_issue::record::Client { state, ..client(id(900)) });
                }
                Edit::Wait => {}
                _ => shop.put(record.clone()),
            }
            let next = shop.sets();
            snapshot = snapshot.follow(&before, &next).unwrap();
            before = next;
            let (text, needs, costs) = (text(id(1)), any(), Costs::default());
            let request = Request { credential: &text, asked: Asked::default(), needs: &needs, costs: &costs };
            let at = Now { wall: NOW.plus_millis(model.time * DAY), ticks: 0 };
            let decision = decide(&snapshot, &Counters::in_memory(), &request, at);
            prop_assert_eq!(decision.outcome, model.outcome(), "{:?} {:?}", edit, model);
        }
    }
}

#[test]
fn an_issuers_keys_are_decided_on_within_its_bounds_of_now() {
    let of_portal = |number, scopes: &[u32]| KeyRecord {
        scopes: Ascending::of(scopes.iter().copied()),
        ..key(portals_id(number))
    };
    let content = Content {
        keys: vec![
            of_portal(1, &[1, 3]),
            KeyRecord { expires: None, ..of_portal(2, &[1]) },
            KeyRecord { expires: Some(NOW.plus_millis(91 * DAY)), ..of_portal(3, &[1]) },
            KeyRecord { prefix: Prefix::parse("other").unwrap(), ..of_portal(4, &[1]) },
        ],
        ..Content::default()
    };
    let mut shop = Shop::new(Content { words: words(), ..Content::default() }, content);
    let sets: Sets = shop.sets();
    let snapshot = Snapshot::build(&sets);
    let needs = |needs: &str| {
        let needs = Query::parse(needs).unwrap();
        ask(&snapshot, &Counters::in_memory(), &text(portals_id(1)), Asked::default(), &needs).outcome
    };
    assert_eq!(needs("orders:read"), Outcome::Valid);
    assert_eq!(needs("stock:read"), Outcome::InsufficientPermissions, "not within its bounds");
    assert_eq!(plain(&snapshot, portals_id(2)).1, Some(Cause::OutOfBounds));
    assert_eq!(plain(&snapshot, portals_id(3)).1, Some(Cause::OutOfBounds));
    let other = text_with("other", "live", portals_id(4), &secret(portals_id(4)));
    let decision = ask(&snapshot, &Counters::in_memory(), &other, Asked::default(), &any());
    assert_eq!(decision.cause, Some(Cause::OutOfBounds));
    // The owner narrows the bounds: the keys follow at once.
    let narrower = keyvault_issue::record::Bounds { scopes: Ascending::of([2]), ..bounds() };
    let mut changes = Changes::default();
    changes.put.api = Some(api(Some(issuer(narrower, keyvault_issue::record::IssuerState::InForce))));
    shop.change(&changes);
    let next = snapshot.follow(&sets, &shop.sets()).unwrap();
    let needs = Query::parse("orders:read").unwrap();
    let decision = ask(&next, &Counters::in_memory(), &text(portals_id(1)), Asked::default(), &needs);
    assert_eq!(decision.outcome, Outcome::InsufficientPermissions);
}
