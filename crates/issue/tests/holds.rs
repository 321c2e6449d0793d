//! Logs of holds that grow, are cut, and are rewritten by anyone who has the verifier's token.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::collections::BTreeSet;

use keyvault_core::clock::Moment;
use keyvault_core::codec::{Extensions, decode, encode};
use keyvault_core::crypto::{SealingKey, SigningKey, SystemRng};
use keyvault_core::identity::Identity;
use keyvault_core::name::Label;
use keyvault_issue::hold::{Finding, HoldLog, Ledger, Notice, Reason, Seen, reseal};
use keyvault_issue::record::{
    Api, Ascending, HoldPoint, Id, Mark, Prefix, Reaction, VerifierEntry, VerifierState,
};
use proptest::prelude::*;

const IDENTITY: Identity = Identity { vault_id: [1; 16], epoch: 1 };
const API: [u8; 16] = [2; 16];
const GATE: [u8; 16] = [3; 16];

fn signing() -> SigningKey {
    SigningKey::of_seed(SealingKey::from_bytes(&[5; 32]).unwrap())
}

fn api_key() -> SealingKey {
    SealingKey::from_bytes(&[6; 32]).unwrap()
}

fn api() -> Api {
    let prefix = Prefix::parse("kv").unwrap();
    Api {
        id: API,
        name: Label::parse("shop").unwrap(),
        mark: Mark::parse("aa").unwrap(),
        prefix,
        prefixes: Ascending::of([prefix]),
        reaction: Reaction::Alert,
        usage_keys: Ascending::default(),
        issuers: Ascending::default(),
        verifiers: Ascending::of([VerifierEntry {
            id: GATE,
            name: Label::parse("gate").unwrap(),
            signer: signing().signer(),
            epoch: 1,
            state: VerifierState::Writes,
            seen: HoldPoint::default(),
            settled: 0,
            lifted: Ascending::default(),
            extensions: Extensions::default(),
        }]),
        extensions: Extensions::default(),
    }
}

fn id(number: u32) -> Id {
    Id::parse(&format!("aa{number:010}")).unwrap()
}

/// Rows behind those that are there.
fn append(rows: &mut Vec<Vec<u8>>, point: &mut HoldPoint, held: u32) {
    let key = api_key();
    let ledger = Ledger { identity: IDENTITY, api: API, verifier: GATE, api_key: &key };
    let notice = Notice { id: id(held), time: Moment(1), reason: Reason::Leaked, detail: "seen in a log" };
    let (row, next) = ledger.append(point, &notice, (&signing(), ledger.identity.epoch), &SystemRng).unwrap();
    rows.push(row);
    *point = next;
}

fn log(held: &[u32]) -> Vec<Vec<u8>> {
    let (mut rows, mut point) = (Vec::new(), HoldPoint::default());
    for held in held {
        append(&mut rows, &mut point, *held);
    }
    rows
}

fn read(api: &Api, rows: &[Vec<u8>], seen: &Seen) -> HoldLog {
    let rows = rows.iter().map(Vec::as_slice);
    HoldLog::read(api, &api.verifiers[0], &api_key(), &IDENTITY, rows, seen)
}

fn held(log: &HoldLog) -> BTreeSet<Id> {
    log.all().map(|(id, _)| *id).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// No change of the rows between two looks ends a hold that was seen, and each loss is reported.
    #[test]
    fn no_change_of_the_rows_lifts_a_hold_that_was_seen(
        first in proptest::collection::vec(0..20_u32, 1..12),
        kept in 0..12_usize,
        then in proptest::collection::vec(0..20_u32, 0..4),
        flipped in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        let api = api();
        let before = read(&api, &log(&first), &Seen::default());
        prop_assert_eq!(before.findings(), &[]);
        prop_assert_eq!(held(&before), first.iter().map(|held| id(*held)).collect::<BTreeSet<_>>());
        // A verifier's memory survives its own encoding.
        let seen: Seen = decode(&encode(before.seen())).unwrap();

        let kept = kept.min(first.len());
        let written: Vec<u32> = first[..kept].iter().chain(&then).copied().collect();
        let mut rows = log(&written);
        let damaged = flipped.filter(|_| !rows.is_empty()).map(|at| at.index(rows.len()));
        if let Some(at) = damaged {
            rows[at][60] ^= 1;
        }
        let after = read(&api, &rows, &seen);
        prop_assert!(held(&after).is_superset(&held(&before)));
        let readable = damaged.unwrap_or(written.len());
        for number in &written[..readable] {
            prop_assert!(after.held(&id(*number)).is_some());
        }
        let goes_on = readable >= first.len() && written[..first.len()] == first[..];
        let lost = after.findings().iter().any(|finding| matches!(finding, Finding::Shorter { .. } | Finding::Other(_)));
        prop_assert_eq!(lost, !goes_on);
        prop_assert!(after.seen().point.count >= before.seen().point.count);
        // It is reported again at the next look.
        let again = read(&api, &rows, after.seen());
        prop_assert_eq!(again.findings(), after.findings());
    }

    /// The owner lifts by number, and nothing else lifts.
    #[test]
    fn the_owner_lifts_what_it_names(all in proptest::collection::vec(0..8_u32, 1..10), settled in 0..10_u64, lifted in proptest::collection::vec(0..10_u64, 0..3)) {
        let mut api = api();
        let rows = log(&all);
        let point = read(&api, &rows, &Seen::default()).seen().point;
        let mut gate = api.verifiers[0].clone();
        gate.seen = point;
        gate.settled = settled.min(point.count);
        gate.lifted = Ascending::of(lifted.iter().copied());
        let is_open = |number: u64| number >= gate.settled && !lifted.contains(&number);
        let open = (0..).zip(&all).filter(|(number, _)| is_open(*number)).map(|(_, held)| id(*held)).collect::<BTreeSet<_>>();
        api.verifiers = Ascending::of([gate]);
        let read = read(&api, &rows, &Seen::default());
        prop_assert_eq!(held(&read), open);
    }
}

#[test]
fn a_log_goes_on_from_where_it_was_read_without_its_past_being_verified_again() {
    let api = api();
    let mut rows = log(&[1, 2, 3]);
    let seen = read(&api, &rows, &Seen::default());
    let mut point = seen.seen().point;
    append(&mut rows, &mut point, 4);
    let next = read(&api, &rows, seen.seen());
    assert_eq!((next.findings(), next.seen().point), (&[][..], point));
    assert_eq!(held(&next).len(), 4);
}

#[test]
fn a_rekey_seals_a_log_again_and_leaves_its_entries_as_they_were_signed() {
    let mut api = api();
    let rows = log(&[1, 2]);
    let point = read(&api, &rows, &Seen::default()).seen().point;
    let next = Identity { epoch: 2, ..IDENTITY };
    let (old_key, new_key) = (api_key(), SealingKey::from_bytes(&[7; 32]).unwrap());
    let old = Ledger { identity: IDENTITY, api: API, verifier: GATE, api_key: &old_key };
    let new = Ledger { identity: next, api_key: &new_key, ..old };
    let resealed: Vec<_> =
        (0..).zip(&rows).map(|(number, row)| reseal(&old, &new, number, row, &SystemRng).unwrap()).collect();
    let mut gate = api.verifiers[0].clone();
    (gate.state, gate.seen) = (VerifierState::Closed, point);
    api.verifiers = Ascending::of([gate]);
    let rows = resealed.iter().map(Vec::as_slice);
    let log = HoldLog::read(&api, &api.verifiers[0], &new_key, &next, rows, &Seen::default());
    assert_eq!((log.findings(), log.seen().point), (&[][..], point));
    assert_eq!(held(&log), BTreeSet::from([id(1), id(2)]));
    assert!(reseal(&old, &new, 1, &resealed[0], &SystemRng).is_err());
}
