//! Records, headers, and holds as this program writes them.

use std::collections::BTreeMap;

use keyvault_core::clock::Moment;
use keyvault_core::codec::{Extensions, encode};
use keyvault_core::crypto::{SealingKey, SigningKey};
use keyvault_core::name::{KeyName, Label, Scope, TagKey};
use keyvault_issue::hold::Hold;
use keyvault_issue::record::{
    Api, Ascending, Bounds, Client, Conditions, Environment, HoldPoint, Id, IssuerEntry, IssuerState,
    KeyRecord, Limit, Mark, Meaning, NamedKey, Network, Note, Override, Period, Prefix, Proof, Quota,
    Reaction, Replaced, State, UsageKey, VerifierEntry, VerifierState, Word,
};
use keyvault_issue::set::{Header, Kind, KindCount, List, Listed, SignedBy, SignerKind};

use super::IDENTITY;
use super::seeds::{Seeds, extensions};

fn id(text: &str) -> Id {
    Id::parse(text).unwrap_or_else(|| std::process::abort())
}

fn label(text: &str) -> Label {
    Label::parse(text).unwrap_or_else(|_| std::process::abort())
}

fn prefix(text: &str) -> Prefix {
    Prefix::parse(text).unwrap_or(Prefix::NONE)
}

fn mark(text: &str) -> Mark {
    Mark::parse(text).unwrap_or_else(|| std::process::abort())
}

fn note() -> Note {
    Note { since: Moment(7), reason: "asked".into() }
}

fn limits() -> Ascending<Limit> {
    Ascending::of([Limit { name: label("requests"), count: 100, per: 60_000, burst: 20, cost: 1 }])
}

fn quotas() -> Ascending<Quota> {
    Ascending::of([Quota { period: Period::Month, amount: 1_000_000 }])
}

fn conditions() -> Conditions {
    let texts = |texts: [&str; 2]| Ascending::of(texts.map(Box::<str>::from));
    Conditions {
        limits: limits(),
        quotas: quotas(),
        networks: Ascending::of([Network::V4([10, 0, 0, 0], 8), Network::V6([0xFD; 16], 128)]),
        origins: texts(["https://a.example", "https://b.example"]),
        methods: texts(["GET", "PUT"]),
        paths: texts(["/orders", "/stock"]),
        apps: texts(["android", "ios"]),
    }
}

fn keys() -> [KeyRecord; 3] {
    let plain = KeyRecord {
        id: id("aa0000000001"),
        state: State::Active,
        proof: Proof::of_own(&id("aa0000000001"), &[b's'; 43]),
        environment: Environment::Live,
        prefix: prefix("kv"),
        client: None,
        roles: Ascending::default(),
        scopes: Ascending::of([1, 2]),
        created: Moment(0),
        not_before: None,
        expires: None,
        replaced: None,
        decoy: false,
        display_name: "".into(),
        conditions: None,
        extensions: Extensions::default(),
    };
    let full = KeyRecord {
        state: State::Disabled(Box::new(note())),
        proof: Proof::ImportedSha512(Box::new([1; 64])),
        client: Some(id("aa0000000002")),
        roles: Ascending::of([10]),
        not_before: Some(Moment(1)),
        expires: Some(Moment(2)),
        replaced: Some(Replaced { by: id("aa0000000003"), grace_until: Moment(3) }),
        decoy: true,
        display_name: "für Ö".into(),
        conditions: Some(Box::new(conditions())),
        extensions: extensions(),
        ..plain.clone()
    };
    let revoked = KeyRecord { state: State::Revoked(Box::new(note())), proof: Proof::None, ..plain.clone() };
    [plain, full, revoked]
}

fn api() -> Api {
    let signer = |byte| {
        SigningKey::of_seed(SealingKey::from_bytes(&[byte; 32]).unwrap_or_else(|| std::process::abort()))
            .signer()
    };
    let usage_key = SealingKey::from_bytes(&[6; 32]).map(|key| UsageKey { generation: 1, key });
    Api {
        id: [1; 16],
        name: label("shop"),
        mark: mark("aa"),
        prefix: prefix("kv"),
        prefixes: Ascending::of([prefix("kv")]),
        reaction: Reaction::Hold,
        usage_keys: Ascending::of(usage_key),
        issuers: Ascending::of([IssuerEntry {
            set: [2; 16],
            mark: mark("bb"),
            name: label("portal"),
            signer: signer(4),
            state: IssuerState::InForce,
            ends: Some(Moment(5)),
            bounds: Bounds {
                scopes: Ascending::of([1, 2]),
                roles: Ascending::of([10]),
                limits: limits(),
                quotas: quotas(),
                longest_life: 7_776_000_000,
                keys: 1000,
                clients: 9,
                client_prefix: "portal-".into(),
                owners_clients: Ascending::of([id("aa0000000002")]),
            },
            extensions: Extensions::default(),
        }]),
        verifiers: Ascending::of([VerifierEntry {
            id: [3; 16],
            name: label("gate"),
            signer: signer(5),
            epoch: 1,
            state: VerifierState::Writes,
            seen: HoldPoint { count: 3, head: [4; 32] },
            settled: 1,
            lifted: Ascending::of([2]),
            extensions: Extensions::default(),
        }]),
        extensions: extensions(),
    }
}

fn header(kind: SignerKind, kinds: &[Kind]) -> Header {
    Header {
        format: 1,
        identity: IDENTITY,
        api: [1; 16],
        set: [2; 16],
        number: 3,
        root: [4; 32],
        names: kinds.contains(&Kind::Names).then_some([5; 32]),
        kinds: Ascending::of(kinds.iter().map(|kind| KindCount { kind: *kind, pages: 2, records: 100 })),
        time: Moment(6),
        fresh_until: None,
        signer: SignedBy { kind, id: [8; 16] },
        extensions: Extensions::default(),
    }
}

pub(super) fn seeds() -> Seeds {
    let [plain, full, revoked] = keys();
    let client = Client {
        id: id("aa0000000002"),
        state: State::Active,
        name: label("acme"),
        contact: "ops@example.com".into(),
        created: Moment(0),
        conditions: Some(Box::new(conditions())),
        extensions: Extensions::default(),
    };
    let word = |meaning| Word { number: 10, meaning, extensions: Extensions::default() };
    let scope =
        Scope::parse("orders:read").map_or_else(|_| Vec::new(), |scope| encode(&word(Meaning::Scope(scope))));
    let overridden = Override {
        id: id("bb0000000001"),
        state: State::Revoked(Box::new(note())),
        extensions: Extensions::default(),
    };
    let named = KeyName::parse("acme/prod").map(|name| NamedKey {
        name,
        id: id("aa0000000001"),
        note: "for the app".into(),
        tags: TagKey::parse("team")
            .map_or_else(|_| BTreeMap::new(), |tag| BTreeMap::from([(tag, "web".to_owned())])),
        extensions: Extensions::default(),
    });
    let listed = [1, 2].map(|set| Listed { set: [set; 16], number: 3, header: [4; 32] });
    let hold = Hold {
        format: 1,
        identity: IDENTITY,
        api: [1; 16],
        verifier: [3; 16],
        number: 0,
        before: [0; 32],
        id: id("aa0000000001"),
        time: Moment(5),
        reason: 2,
        detail: "seen in a log".into(),
        extensions: Extensions::default(),
    };
    let later = Hold { number: 7, before: [9; 32], reason: 200, extensions: extensions(), ..hold.clone() };
    let all = [Kind::Api, Kind::Words, Kind::Clients, Kind::Keys, Kind::Overrides, Kind::Names];
    vec![
        ("issued_record", "key", encode(&plain)),
        ("issued_record", "key-full", encode(&full)),
        ("issued_record", "key-revoked", encode(&revoked)),
        ("issued_record", "client", encode(&client)),
        ("issued_record", "scope", scope),
        ("issued_record", "role", encode(&word(Meaning::Role(label("clerk"), Ascending::of([1, 2]))))),
        ("issued_record", "override", encode(&overridden)),
        ("issued_record", "name", named.map_or_else(|_| Vec::new(), |named| encode(&named))),
        ("issued_record", "api", encode(&api())),
        ("set_header", "owners", encode(&header(SignerKind::Epoch, &all))),
        ("set_header", "issuers", encode(&header(SignerKind::Issuer, &[Kind::Clients, Kind::Keys]))),
        ("set_header", "list", List(Ascending::of(listed)).encode()),
        ("hold", "first", encode(&hold)),
        ("hold", "later", encode(&later)),
    ]
}
