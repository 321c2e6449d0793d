//! Decisions a second on one core, bytes a key, and the time to build and to follow: `cargo bench -p keyvault-issue`.
//!
//! A decision is a whole one: the text taken apart, its checksum, the look-up, the hash, state, a network, a scope requirement, a
//! rate of the client that is charged, the facts for headers. Keys come in the order of chance, so with a million of them each
//! look-up is of memory that no cache has.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark may fail, and prints")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use keyvault_core::clock::{Moment, Rng};
use keyvault_core::codec::Extensions;
use keyvault_core::crypto::{SealingKey, SigningKey, SystemRng};
use keyvault_core::identity::Identity;
use keyvault_core::name::{Label, Scope};
use keyvault_core::secret::SecretBytes;
use keyvault_issue::decide::{Costs, Counters, Now, Outcome, Request, decide};
use keyvault_issue::query::Query;
use keyvault_issue::record::{
    Api, Ascending, Client, Conditions, Environment, Id, KeyRecord, Limit, Mark, Meaning, NUMBERS, Network,
    Prefix, Reaction, State, Word,
};
use keyvault_issue::set::{
    Changes, Content, Draft, List, Listed, LoadedSet, Origin, PageKeys, SealedPage, SignerKind,
    VerifiedHeader, VerifiedList, Written,
};
use keyvault_issue::snapshot::{Asked, Snapshot};
use keyvault_issue::standing::Sets;
use keyvault_issue::text::mint;

const IDENTITY: Identity = Identity { vault_id: [1; 16], epoch: 1 };
const API: [u8; 16] = [2; 16];
const SET: [u8; 16] = [3; 16];
const NOW: Moment = Moment(1_850_000_000_000);
const CLIENTS: u64 = 1000;

/// Numbers that look like chance and are the same each time.
struct Chance(std::sync::atomic::AtomicU64);

impl Chance {
    fn next(&self) -> u64 {
        // SplitMix64.
        let step = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, std::sync::atomic::Ordering::Relaxed);
        let mixed = (step ^ (step >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

impl Rng for Chance {
    fn fill(&self, target: &mut [u8]) -> Result<(), keyvault_core::clock::RngError> {
        for chunk in target.chunks_mut(8) {
            for (place, byte) in chunk.iter_mut().zip(self.next().to_le_bytes()) {
                *place = byte;
            }
        }
        Ok(())
    }
}

fn mark() -> Mark {
    Mark::parse("aa").unwrap()
}

fn client_id(number: u64) -> Id {
    Id::of_number(mark(), number % CLIENTS).unwrap()
}

fn content(keys: Vec<KeyRecord>) -> Content {
    let prefix = Prefix::parse("kv").unwrap();
    let limit = Limit {
        name: Label::parse("requests").unwrap(),
        count: 1_000_000,
        per: 1000,
        burst: 1_000_000,
        cost: 1,
    };
    let conditions = Conditions {
        limits: Ascending::of([limit]),
        networks: Ascending::of([Network::V4([10, 0, 0, 0], 8)]),
        ..Conditions::default()
    };
    let clients = (0..CLIENTS).map(|number| Client {
        id: client_id(number),
        state: State::Active,
        name: Label::parse("acme").unwrap(),
        contact: "ops@example.com".into(),
        created: Moment(0),
        conditions: Some(Box::new(conditions.clone())),
        extensions: Extensions::default(),
    });
    let words = (1..20).map(|number| Word {
        number,
        meaning: Meaning::Scope(Scope::parse(&format!("scope:{number}")).unwrap()),
        extensions: Extensions::default(),
    });
    Content {
        api: Some(Api {
            id: API,
            name: Label::parse("shop").unwrap(),
            mark: mark(),
            prefix,
            prefixes: Ascending::of([prefix]),
            reaction: Reaction::Alert,
            usage_keys: Ascending::default(),
            issuers: Ascending::default(),
            verifiers: Ascending::default(),
            extensions: Extensions::default(),
        }),
        words: words.collect(),
        clients: clients.collect(),
        keys,
        ..Content::default()
    }
}

fn key(number: u64, chance: &Chance) -> (KeyRecord, SecretBytes) {
    let id = Id::of_number(mark(), chance.next() % NUMBERS).unwrap();
    let prefix = Prefix::parse("kv").unwrap();
    let minted = mint(&prefix, Environment::Live, id, chance).unwrap();
    let record = KeyRecord {
        id,
        state: State::Active,
        proof: minted.proof,
        environment: Environment::Live,
        prefix,
        client: Some(client_id(number)),
        roles: Ascending::default(),
        scopes: Ascending::of([1, 2]),
        created: Moment(1_800_000_000_000),
        not_before: None,
        expires: Some(Moment(1_900_000_000_000)),
        replaced: None,
        decoy: false,
        display_name: "".into(),
        conditions: None,
        extensions: Extensions::default(),
    };
    (record, minted.text)
}

fn draft(number: u64) -> Draft {
    Draft {
        identity: IDENTITY,
        api: API,
        set: SET,
        number,
        time: Moment(0),
        fresh_until: None,
        signer: SignerKind::Epoch,
        extensions: Extensions::default(),
    }
}

fn verified(written: &Written, signing: &SigningKey) -> (VerifiedList, VerifiedHeader) {
    let number = written.header.unverified().unwrap().number;
    let list = List(Ascending::of([Listed { set: SET, number, header: written.header.hash() }])).encode();
    let origin = Origin { identity: IDENTITY, owner: signing.signer() };
    let list = VerifiedList::verify(&list, &List::hash(&list), origin).unwrap();
    let header = VerifiedHeader::of_owner(&list, &API, &written.header).unwrap();
    (list, header)
}

fn join(list: &VerifiedList, owner: LoadedSet) -> Sets {
    Sets::join(list, owner, Vec::new(), Vec::new(), NOW).0
}

/// Time that this process had on a processor, or that passed.
fn timed<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let on_processor = || {
        let told = std::fs::read_to_string("/proc/self/schedstat").ok()?;
        told.split(' ').next()?.parse().ok().map(Duration::from_nanos)
    };
    let (start, before) = (Instant::now(), on_processor());
    let result = run();
    let passed = start.elapsed();
    let spent = on_processor().zip(before).map(|(after, before)| after.saturating_sub(before));
    // The system counts in ticks, so a short time is the one that passed.
    (result, spent.filter(|_| passed > Duration::from_millis(20)).unwrap_or(passed))
}

/// The best of five.
fn best<T>(mut run: impl FnMut() -> T) -> (T, Duration) {
    let mut best = timed(&mut run);
    for _ in 0..4 {
        let next = timed(&mut run);
        if next.1 < best.1 {
            best = next;
        }
    }
    best
}

/// Memory of this process, in bytes.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|pages| pages.split(' ').nth(1)?.parse::<usize>().ok());
    pages.unwrap_or(0) * 4096
}

fn rate(name: &str, snapshot: &Snapshot, texts: &[impl AsRef<[u8]>], expected: Outcome) {
    let (needs, costs) = (Query::parse("scope:1 AND (scope:2 OR scope:9)").unwrap(), Costs::default());
    let counters = Counters::in_memory();
    let asked =
        Asked { network: "10.1.2.3".parse().ok(), method: Some("GET"), path: Some("/"), ..Asked::default() };
    let mut ticks = 1_000_000_000;
    let ((), time) = best(|| {
        for text in texts {
            ticks += 500;
            let request = Request { credential: text.as_ref(), asked, needs: &needs, costs: &costs };
            let decision = decide(snapshot, &counters, &request, Now { wall: NOW, ticks });
            assert_eq!(black_box(decision).outcome, expected);
        }
    });
    let each = time.as_secs_f64() / f64::from(u32::try_from(texts.len()).unwrap());
    println!("  {name}: {:.2} M a second, {:.0} ns each", 1e-6 / each, each * 1e9);
}

fn main() {
    let keys = PageKeys::of_api(&SealingKey::from_bytes(&[4; 32]).unwrap(), &SET);
    let signing = SigningKey::of_seed(SealingKey::from_bytes(&[5; 32]).unwrap());
    for count in [1_000_u64, 100_000, 1_000_000] {
        let chance = Chance(7.into());
        let (records, mut texts): (Vec<_>, Vec<_>) = (0..count).map(|number| key(number, &chance)).unzip();
        let one = records.first().unwrap().clone();
        let written = content(records).write(&draft(1), &keys, &signing, &SystemRng).unwrap();
        let pages = || {
            let all = written.pages.iter();
            all.map(|page| SealedPage { kind: page.kind, page: page.page, sealed: (&*page.sealed).into() })
        };
        let before = resident();
        let ((sets, list), loading) = timed(|| {
            let (list, header) = verified(&written, &signing);
            (join(&list, LoadedSet::load(header, &keys, pages()).unwrap()), list)
        });
        let loaded = resident();
        let (snapshot, building) = best(|| Snapshot::build(&sets));
        let owner = sets.owner().clone();
        drop(sets);
        let thin = owner.clone().without_keys();
        // One key is disabled.
        let mut changes = Changes::default();
        changes.put.keys.push(KeyRecord { display_name: "new".into(), expires: Some(Moment(1)), ..one });
        let written_then = owner.change(&draft(2), &changes, &keys, &signing, &SystemRng).unwrap();
        drop(owner);
        let from = join(&list, thin.clone());
        let (followed, following) = best(|| {
            let (list, header) = verified(&written_then, &signing);
            let next = thin.follow(header, &keys, written_then.pages.iter().cloned()).unwrap();
            snapshot.follow(&from, &join(&list, next)).unwrap()
        });
        assert_eq!(followed.len(), snapshot.len());
        println!(
            "{count} keys: loaded and verified in {loading:.0?}, built in {building:.0?}, followed in {following:.2?}; \
             {} bytes a key, {} MiB; the process grew by {} MiB for the loaded sets",
            snapshot.size() / usize::try_from(count).unwrap(),
            snapshot.size() >> 20,
            loaded.saturating_sub(before) >> 20,
        );
        drop(followed);
        for at in (1..texts.len()).rev() {
            texts.swap(at, usize::try_from(chance.next()).unwrap_or(0) % (at + 1));
        }
        // As requests do, the texts lie beside one another.
        let rounds = 200_000_usize.div_ceil(texts.len());
        let valid: Vec<[u8; 70]> =
            (0..rounds).flat_map(|_| &texts).map(|text| text.expose().try_into().unwrap()).collect();
        rate("valid", &snapshot, &valid, Outcome::Valid);
        let other = Chance(99.into());
        let unknown: Vec<_> = (0..200_000).map(|number| key(number, &other).1.expose().to_vec()).collect();
        rate("unknown id", &snapshot, &unknown, Outcome::NotFound);
        // The ids that are there, with secrets that are not theirs.
        let wrong: Vec<_> = valid.iter().map(|text| with_another_secret(text, &other)).collect();
        rate("wrong secret", &snapshot, &wrong, Outcome::NotFound);
    }
}

fn with_another_secret(text: &[u8], chance: &Chance) -> Vec<u8> {
    let id = keyvault_issue::text::KeyText::parse(text).unwrap().id;
    let prefix = Prefix::parse("kv").unwrap();
    mint(&prefix, Environment::Live, id, chance).unwrap().text.expose().to_vec()
}
