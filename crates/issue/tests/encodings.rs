//! Each structure has one encoding: bytes that decode are those that encode the result.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use keyvault_core::clock::Moment;
use keyvault_core::codec::{Extensions, decode, encode};
use keyvault_core::crypto::{SealingKey, SigningKey};
use keyvault_core::identity::Identity;
use keyvault_core::name::{KeyName, Label, Scope, TagKey};
use keyvault_issue::hold::Hold;
use keyvault_issue::record::{
    Api, Ascending, Bounds, Client, Conditions, Environment, HoldPoint, Id, IssuerEntry, IssuerState,
    KeyRecord, Limit, Mark, Meaning, NamedKey, Network, Note, Override, Period, Prefix, Proof, Quota,
    Reaction, Replaced, State, UsageKey, VerifierEntry, VerifierState, Word,
};
use keyvault_issue::set::{Header, Kind, KindCount, List, Listed, SignedBy, SignerKind};
use proptest::prelude::*;

fn id(text: &str) -> Id {
    Id::parse(text).unwrap()
}

fn note() -> Note {
    Note { since: Moment(7), reason: "asked".into() }
}

fn fields() -> Extensions {
    Extensions::default().with(1, vec![1, 2]).with(3, Vec::new())
}

fn limits() -> Ascending<Limit> {
    let limit =
        |name: &str| Limit { name: Label::parse(name).unwrap(), count: 5, per: 1000, burst: 2, cost: 1 };
    Ascending::of([limit("requests"), limit("writes")])
}

fn quotas() -> Ascending<Quota> {
    Ascending::of([Quota { period: Period::Day, amount: 5 }, Quota { period: Period::Month, amount: 9 }])
}

fn conditions() -> Conditions {
    let texts = |texts: [&str; 2]| Ascending::of(texts.map(Box::<str>::from));
    Conditions {
        limits: limits(),
        quotas: quotas(),
        networks: Ascending::of([Network::V4([10, 0, 0, 0], 8), Network::V6([0; 16], 0)]),
        origins: texts(["https://a.example", "https://b.example"]),
        methods: texts(["GET", "PUT"]),
        paths: texts(["/a", "/b"]),
        apps: texts(["a", "b"]),
    }
}

fn key() -> KeyRecord {
    KeyRecord {
        id: id("aa0000000001"),
        state: State::Disabled(Box::new(note())),
        proof: Proof::ImportedSha512(Box::new([1; 64])),
        environment: Environment::Test,
        prefix: Prefix::parse("kv").unwrap(),
        client: Some(id("aa0000000002")),
        roles: Ascending::of([1, 2]),
        scopes: Ascending::of([3, 4]),
        created: Moment(1),
        not_before: Some(Moment(2)),
        expires: Some(Moment(3)),
        replaced: Some(Replaced { by: id("aa0000000003"), grace_until: Moment(4) }),
        decoy: true,
        display_name: "für Ö".into(),
        conditions: Some(Box::new(conditions())),
        extensions: fields(),
    }
}

fn api() -> Api {
    let signer = SigningKey::of_seed(SealingKey::from_bytes(&[5; 32]).unwrap()).signer();
    let prefix = Prefix::parse("kv").unwrap();
    Api {
        id: [1; 16],
        name: Label::parse("shop").unwrap(),
        mark: Mark::parse("aa").unwrap(),
        prefix,
        prefixes: Ascending::of([prefix, Prefix::NONE]),
        reaction: Reaction::Hold,
        usage_keys: Ascending::of([UsageKey {
            generation: 1,
            key: SealingKey::from_bytes(&[6; 32]).unwrap(),
        }]),
        issuers: Ascending::of([IssuerEntry {
            set: [2; 16],
            mark: Mark::parse("bb").unwrap(),
            name: Label::parse("portal").unwrap(),
            signer: signer.clone(),
            state: IssuerState::KeysKept,
            ends: Some(Moment(5)),
            bounds: Bounds {
                scopes: Ascending::of([1, 2]),
                roles: Ascending::of([3]),
                limits: limits(),
                quotas: quotas(),
                longest_life: 7,
                keys: 8,
                clients: 9,
                client_prefix: "p-".into(),
                owners_clients: Ascending::of([id("aa0000000002")]),
            },
            extensions: fields(),
        }]),
        verifiers: Ascending::of([VerifierEntry {
            id: [3; 16],
            name: Label::parse("gate").unwrap(),
            signer,
            epoch: 1,
            state: VerifierState::Closed,
            seen: HoldPoint { count: 3, head: [4; 32] },
            settled: 1,
            lifted: Ascending::of([2]),
            extensions: fields(),
        }]),
        extensions: fields(),
    }
}

/// A change of some bytes.
#[derive(Debug, Clone)]
enum Change {
    Set(prop::sample::Index, u8),
    Insert(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), 0..8_u8).prop_map(|(at, byte)| Change::Set(at, byte)),
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (at(), 0..3_u8).prop_map(|(at, byte)| Change::Insert(at, byte)),
        at().prop_map(Change::Remove),
        (at(), at(), 1..20_usize).prop_map(|(left, right, len)| Change::Swap(left, right, len)),
    ]
}

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        if bytes.is_empty() {
            break;
        }
        match change {
            Change::Set(at, byte) => *at.get_mut(&mut bytes) = *byte,
            Change::Insert(at, byte) => bytes.insert(at.index(bytes.len()), *byte),
            Change::Remove(at) => drop(bytes.remove(at.index(bytes.len()))),
            Change::Swap(left, right, len) => {
                let (left, right) = (left.index(bytes.len()), right.index(bytes.len()));
                let (left, right) = (left.min(right), left.max(right));
                let len = (*len).min(right - left).min(bytes.len() - right);
                (0..len).for_each(|at| bytes.swap(left + at, right + at));
            }
        }
    }
    bytes
}

fn one_encoding<T: BorshSerialize + BorshDeserialize>(
    value: &T,
    changes: &[Change],
) -> Result<(), TestCaseError> {
    let right = encode(value);
    prop_assert_eq!(decode::<T>(&right).map(|value| encode(&value)), Ok(right.clone()));
    let bytes = changed(right, changes);
    if let Ok(read) = decode::<T>(&bytes) {
        prop_assert_eq!(encode(&read), bytes);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_structure_has_one_encoding(changes in proptest::collection::vec(change(), 1..4)) {
        let extensions = fields();
        one_encoding(&key(), &changes)?;
        one_encoding(&KeyRecord { proof: Proof::Own([2; 32]), state: State::Active, conditions: None, ..key() }, &changes)?;
        one_encoding(&api(), &changes)?;
        let (state, name) = (State::Revoked(Box::new(note())), Label::parse("acme").unwrap());
        let client = Client {
            id: id("aa0000000002"),
            state: state.clone(),
            name: name.clone(),
            contact: "ops".into(),
            created: Moment(1),
            conditions: Some(Box::new(conditions())),
            extensions: extensions.clone(),
        };
        one_encoding(&client, &changes)?;
        one_encoding(&Override { id: id("bb0000000002"), state, extensions: extensions.clone() }, &changes)?;
        for meaning in [Meaning::Scope(Scope::parse("a:b").unwrap()), Meaning::Role(name, Ascending::of([1, 2]))] {
            one_encoding(&Word { number: 1, meaning, extensions: extensions.clone() }, &changes)?;
        }
        let named = NamedKey {
            name: KeyName::parse("acme/prod").unwrap(),
            id: id("aa0000000001"),
            note: "note".into(),
            tags: BTreeMap::from([("a", "1"), ("b", "2")].map(|(tag, value)| (TagKey::parse(tag).unwrap(), value.to_owned()))),
            extensions: extensions.clone(),
        };
        one_encoding(&named, &changes)?;
        let identity = Identity { vault_id: [1; 16], epoch: 1 };
        let header = Header {
            format: 1,
            identity,
            api: [1; 16],
            set: [2; 16],
            number: 3,
            root: [4; 32],
            names: Some([5; 32]),
            kinds: Ascending::of([Kind::Keys, Kind::Names].map(|kind| KindCount { kind, pages: 2, records: 9 })),
            time: Moment(6),
            fresh_until: Some(Moment(7)),
            signer: SignedBy { kind: SignerKind::Issuer, id: [8; 16] },
            extensions: extensions.clone(),
        };
        one_encoding(&header, &changes)?;
        let listed = [1, 2].map(|set| Listed { set: [set; 16], number: 3, header: [4; 32] });
        one_encoding(&List(Ascending::of(listed)), &changes)?;
        let hold = Hold {
            format: 1,
            identity,
            api: [1; 16],
            verifier: [2; 16],
            number: 3,
            before: [4; 32],
            id: id("aa0000000001"),
            time: Moment(5),
            reason: 2,
            detail: "seen in a log".into(),
            extensions,
        };
        one_encoding(&hold, &changes)?;
    }
}
