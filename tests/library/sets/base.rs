//! The shop: an owner's set, a portal that issues keys, and a gate that verifies and holds.

use std::collections::BTreeMap;

use keyvault_core::clock::Moment;
use keyvault_core::codec::Extensions;
use keyvault_core::crypto::{SealingKey, sha256};
use keyvault_core::name::{KeyName, Label, Scope};
use keyvault_issue::record::{
    Api, Ascending, Bounds, Client, Conditions, Environment, HoldPoint, Id, IssuerEntry, IssuerState,
    KeyRecord, Limit, Mark, Meaning, NamedKey, Note, Override, Period, Prefix, Proof, Quota, Reaction,
    Record, Replaced, State, UsageKey, VerifierEntry, VerifierState, Word,
};

use super::forge::{API, GATE, Hold, IDENTITY, Kind, OWNERS, PORTALS, Set, Sets, Who, day, log};

pub(crate) const NOW: i64 = 1_800_000_000_000;
const MONTHS: u64 = 90 * 86_400_000;

pub(crate) fn id(text: &str) -> Id {
    Id::parse(text).unwrap()
}

pub(crate) fn label(text: &str) -> Label {
    Label::parse(text).unwrap()
}

pub(crate) fn note() -> Box<Note> {
    Box::new(Note { since: day(-3), reason: "asked".into() })
}

pub(crate) fn limit(name: &str, count: u32, burst: u32) -> Limit {
    Limit { name: label(name), count, per: 60_000, burst, cost: 1 }
}

pub(crate) fn conditions(limits: &[Limit], quotas: &[Quota]) -> Option<Box<Conditions>> {
    Some(Box::new(Conditions {
        limits: Ascending::of(limits.iter().cloned()),
        quotas: Ascending::of(quotas.iter().copied()),
        ..Conditions::default()
    }))
}

/// An active key without client, scopes, and end.
pub(crate) fn key(text: &str) -> KeyRecord {
    KeyRecord {
        id: id(text),
        state: State::Active,
        proof: Proof::of_own(&id(text), &[b's'; 43]),
        environment: Environment::Live,
        prefix: Prefix::parse("kv").unwrap(),
        client: None,
        roles: Ascending::default(),
        scopes: Ascending::default(),
        created: day(-10),
        not_before: None,
        expires: None,
        replaced: None,
        decoy: false,
        display_name: "".into(),
        conditions: None,
        extensions: Extensions::default(),
    }
}

/// An active key of the portal, within its bounds.
pub(crate) fn portals_key(text: &str) -> KeyRecord {
    KeyRecord {
        expires: Some(day(30)),
        scopes: Ascending::of([1]),
        client: Some(id("bbCL00000001")),
        ..key(text)
    }
}

pub(crate) fn client(text: &str, name: &str) -> Client {
    Client {
        id: id(text),
        state: State::Active,
        name: label(name),
        contact: "ops@example.com".into(),
        created: day(-20),
        conditions: None,
        extensions: Extensions::default(),
    }
}

pub(crate) fn words() -> Vec<Word> {
    let scope = |number, name: &str| (number, Meaning::Scope(Scope::parse(name).unwrap()));
    let role = |number, name: &str, scopes: &[u32]| {
        (number, Meaning::Role(label(name), Ascending::of(scopes.iter().copied())))
    };
    let words = [
        scope(1, "orders:read"),
        scope(2, "orders:write"),
        scope(3, "admin:all"),
        scope(4, "stock:read"),
        role(10, "reader", &[1, 4]),
        role(11, "clerk", &[1, 2, 99]),
    ];
    words
        .into_iter()
        .map(|(number, meaning)| Word { number, meaning, extensions: Extensions::default() })
        .collect()
}

pub(crate) fn bounds() -> Bounds {
    Bounds {
        scopes: Ascending::of([1, 2]),
        roles: Ascending::of([10]),
        limits: Ascending::of([limit("requests", 100, 20)]),
        quotas: Ascending::of([Quota { period: Period::Day, amount: 1000 }]),
        longest_life: MONTHS,
        keys: 6,
        clients: 2,
        client_prefix: "portal-".into(),
        owners_clients: Ascending::of([id("aaCL00000001")]),
    }
}

fn api(holds: &[Hold]) -> Api {
    let (_, points) = log(holds);
    let (count, head) = points[1];
    let prefixes = ["kv", "old"].map(|text| Prefix::parse(text).unwrap());
    Api {
        id: API,
        name: label("shop"),
        mark: Mark::parse("aa").unwrap(),
        prefix: prefixes[0],
        prefixes: Ascending::of(prefixes),
        reaction: Reaction::Hold,
        usage_keys: Ascending::of([UsageKey {
            generation: 1,
            key: SealingKey::from_bytes(&[9; 32]).unwrap(),
        }]),
        issuers: Ascending::of([IssuerEntry {
            set: PORTALS,
            mark: Mark::parse("bb").unwrap(),
            name: label("portal"),
            signer: Who::Portal.signer(),
            state: IssuerState::InForce,
            ends: Some(day(10)),
            bounds: bounds(),
            extensions: Extensions::default(),
        }]),
        verifiers: Ascending::of([VerifierEntry {
            id: GATE,
            name: label("gate"),
            signer: Who::Gate.signer(),
            epoch: IDENTITY.epoch,
            state: VerifierState::Writes,
            seen: HoldPoint { count, head },
            settled: 0,
            lifted: Ascending::of([1]),
            extensions: Extensions::default(),
        }]),
        extensions: Extensions::default(),
    }
}

fn owners_keys() -> Vec<KeyRecord> {
    let replaced = Replaced { by: id("aaKEY0000001"), grace_until: day(2) };
    vec![
        KeyRecord {
            client: Some(id("aaCL00000001")),
            roles: Ascending::of([11]),
            scopes: Ascending::of([3, 77]),
            conditions: conditions(&[limit("writes", 10, 5)], &[]),
            ..key("aaKEY0000001")
        },
        KeyRecord { state: State::Revoked(note()), proof: Proof::None, ..key("aaKEY0000002") },
        KeyRecord { state: State::Disabled(note()), expires: Some(day(-1)), ..key("aaKEY0000003") },
        KeyRecord {
            proof: Proof::ImportedSha512(Box::new([5; 64])),
            prefix: Prefix::NONE,
            environment: Environment::Test,
            ..key("aaKEY0000004")
        },
        KeyRecord { decoy: true, ..key("aaKEY0000005") },
        KeyRecord { expires: Some(day(0)), ..key("aaKEY0000006") },
        KeyRecord { expires: Some(day(9)), replaced: Some(replaced), ..key("aaKEY0000007") },
        KeyRecord { client: Some(id("aaCL00000002")), ..key("aaKEY0000008") },
        key("aaKEY0000009"),
        KeyRecord { not_before: Some(day(1)), ..key("aaKEY000000a") },
        KeyRecord { client: Some(id("aaCL00000009")), ..key("aaKEY000000b") },
        KeyRecord {
            client: Some(id("aaCL00000001")),
            conditions: conditions(&[limit("requests", 200, 50)], &[]),
            proof: Proof::ImportedSha256(sha256(b"an old key")),
            ..key("aaKEY000000c")
        },
    ]
}

fn portals_keys() -> Vec<KeyRecord> {
    vec![
        KeyRecord {
            scopes: Ascending::of([1, 3]),
            roles: Ascending::of([10]),
            conditions: conditions(
                &[limit("requests", 500, 10), limit("writes", 1, 1)],
                &[Quota { period: Period::Month, amount: 5 }],
            ),
            ..portals_key("bbKEY0000001")
        },
        portals_key("bbKEY0000002"),
        KeyRecord {
            client: Some(id("aaCL00000001")),
            conditions: conditions(&[], &[Quota { period: Period::Day, amount: 2000 }]),
            ..portals_key("bbKEY0000003")
        },
        KeyRecord { state: State::Revoked(note()), ..portals_key("bbKEY0000004") },
    ]
}

pub(crate) fn put_all<T: Record>(kind: &mut Kind, mut records: Vec<T>) {
    records.sort_by_key(Record::key);
    for record in &records {
        kind.put(T::place(&record.key()), record);
    }
}

pub(crate) fn kind_of<T: Record>(pages: u32, records: Vec<T>) -> Kind {
    let mut kind = Kind::of(pages);
    put_all(&mut kind, records);
    kind
}

pub(crate) fn hold(id: &'static str) -> Hold {
    Hold { id, reason: 2, who: Who::Gate, fields: BTreeMap::new(), epoch: IDENTITY.epoch }
}

/// Everything right.
pub(crate) fn shop() -> Sets {
    let holds = vec![hold("aaKEY0000009"), hold("aaKEY0000001"), hold("bbCL00000002")];
    let acme = Client {
        conditions: conditions(
            &[limit("requests", 50, 30)],
            &[Quota { period: Period::Day, amount: 10_000 }],
        ),
        ..client("aaCL00000001", "acme")
    };
    let closed = Client { state: State::Disabled(note()), ..client("aaCL00000002", "closed") };
    let names = ["acme/prod", "acme/test"].map(|name| NamedKey {
        name: KeyName::parse(name).unwrap(),
        id: id("aaKEY0000001"),
        note: "for the app".into(),
        tags: BTreeMap::new(),
        extensions: Extensions::default(),
    });
    let word = Override {
        id: id("bbKEY0000002"),
        state: State::Disabled(note()),
        extensions: Extensions::default(),
    };
    let mut first = Kind::of(1);
    first.put(0, &api(&holds));
    let owner = Set {
        id: OWNERS,
        identity: IDENTITY,
        api: API,
        number: 40,
        kinds: BTreeMap::from([
            (1, first),
            (2, kind_of(2, words())),
            (3, kind_of(2, vec![acme, closed])),
            (4, kind_of(8, owners_keys())),
            (5, kind_of(1, vec![word])),
            (6, kind_of(2, names.to_vec())),
        ]),
        time: day(-1).0,
        fresh_until: None,
        signer: (1, Who::Owner),
        extensions: BTreeMap::new(),
        claims: BTreeMap::new(),
        behind: BTreeMap::new(),
    };
    let portal = Set {
        id: PORTALS,
        number: 5,
        kinds: BTreeMap::from([
            (3, kind_of(1, vec![client("bbCL00000001", "portal-one"), client("bbCL00000002", "portal-two")])),
            (4, kind_of(2, portals_keys())),
        ]),
        signer: (3, Who::Portal),
        ..owner.clone()
    };
    let ask = vec![
        "aaKEY0000001",
        "aaKEY0000002",
        "aaKEY0000003",
        "aaKEY0000004",
        "aaKEY0000005",
        "aaKEY0000006",
        "aaKEY0000007",
        "aaKEY0000008",
        "aaKEY0000009",
        "aaKEY000000a",
        "aaKEY000000b",
        "aaKEY000000c",
        "aaKEY000000z",
        "bbKEY0000001",
        "bbKEY0000002",
        "bbKEY0000003",
        "bbKEY0000004",
        "bbKEY0000005",
        "ccKEY0000001",
    ];
    Sets { now: Moment(NOW).0, owner, portal, holds, ask }
}
