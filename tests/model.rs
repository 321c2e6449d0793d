//! Any sequence of commands against a plain map of versions: what the vault says afterwards is what the map says.
//!
//! Among the steps are two processes that take turns, a vault that is opened anew, a source of random bytes that fails in
//! the middle of a change, a clock that jumps either way, a file that is put back, and its adoption. `cargo test` takes a
//! sample; all of it: `PROPTEST_CASES=10000 cargo test --release --test model`. The seed of a sequence that fails is
//! added to `model.proptest-regressions`, which every run reads first.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::pedantic,
    unreachable_pub,
    reason = "a test may fail"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;

use keyvault_core::clock::{Clock, Moment, Rng, RngError};
use keyvault_core::crypto::{Cost, SystemRng};
use keyvault_core::name::{KeyName, Scope};
use keyvault_core::secret::SecretBytes;
use keyvault_vault::audit::Actor;
use keyvault_vault::state::pin::{Pins, Standing};
use keyvault_vault::unlock::passphrase::Passphrase;
use keyvault_vault::{
    Access, Creation, Edit, Holder, Holders, KeyRecord, NewKey, NewValue, Notices, Origin, Revocation, Terms,
    Vault, VaultError, VersionState, Which, World, check, file, key,
};
use proptest::prelude::*;
use proptest::test_runner::{FailurePersistence, FileFailurePersistence};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const KEPT: i64 = 30 * DAY;
const BEGIN: i64 = 1_800_000_000_000;

/// One step. Names and scopes are numbers below a handful, so that steps meet.
#[derive(Debug, Clone)]
enum Step {
    Add { name: u8, scope: u8, life: Option<i64> },
    Rotate { name: u8, grace: i64, expires: Option<Option<i64>> },
    Rollback { name: u8, to: Option<u32> },
    Revoke { name: u8, version: Option<u32>, wipe: bool },
    Rename { name: u8, to: u8 },
    Scope { name: u8, scope: u8, on: bool },
    Expire { name: u8, life: Option<i64> },
    Disable { name: u8, on: bool },
    Remove { name: u8 },
    Undelete { name: u8, to: Option<u8> },
    Wipe { name: u8 },
    Clock(i64),
    Reopen,
    Keep,
    PutBack,
}

fn steps() -> impl Strategy<Value = Vec<(Step, bool, Option<u32>)>> {
    let life = prop_oneof![Just(None), (1..60 * DAY).prop_map(Some), (1..2 * HOUR).prop_map(Some)];
    let name = 0..3_u8;
    let scope = 0..3_u8;
    let number = proptest::option::of(1..4_u32);
    let step = prop_oneof![
        4 => (name.clone(), scope.clone(), life.clone()).prop_map(|(name, scope, life)| Step::Add { name, scope, life }),
        6 => (name.clone(), prop_oneof![Just(0), 1..3 * HOUR], proptest::option::weighted(0.3, life.clone()))
            .prop_map(|(name, grace, expires)| Step::Rotate { name, grace, expires }),
        3 => (name.clone(), number.clone()).prop_map(|(name, to)| Step::Rollback { name, to }),
        3 => (name.clone(), number, any::<bool>())
            .prop_map(|(name, version, wipe)| Step::Revoke { name, version, wipe }),
        2 => (name.clone(), 0..3_u8).prop_map(|(name, to)| Step::Rename { name, to }),
        2 => (name.clone(), scope, any::<bool>()).prop_map(|(name, scope, on)| Step::Scope { name, scope, on }),
        2 => (name.clone(), life).prop_map(|(name, life)| Step::Expire { name, life }),
        2 => (name.clone(), any::<bool>()).prop_map(|(name, on)| Step::Disable { name, on }),
        2 => name.clone().prop_map(|name| Step::Remove { name }),
        3 => (name.clone(), proptest::option::of(0..3_u8)).prop_map(|(name, to)| Step::Undelete { name, to }),
        1 => name.prop_map(|name| Step::Wipe { name }),
        3 => prop_oneof![0..2 * HOUR, -2 * HOUR..0, -3..3_i64, 0..40 * DAY, -40 * DAY..0].prop_map(Step::Clock),
        1 => Just(Step::Reopen),
        1 => Just(Step::Keep),
        1 => Just(Step::PutBack),
    ];
    // Which of two processes, and after how many draws the random numbers fail.
    proptest::collection::vec((step, any::<bool>(), proptest::option::weighted(0.15, 0..12_u32)), 1..40)
}

// ── The map ──────────────────────────────────────────────────────────────────────────────────────────────────────────

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Current,
    Grace(i64),
    Retired,
    Revoked,
}

#[derive(Debug, Clone, PartialEq)]
struct Version {
    number: u32,
    value: String,
    made: i64,
    /// When its keeping began.
    since: i64,
    /// Its place in the order in which the key's versions were replaced.
    replaced: usize,
    state: State,
    /// Its keeping may be over, or it was wiped: nothing is promised of its value.
    gone: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Key {
    scopes: BTreeSet<u8>,
    expires: Option<i64>,
    disabled: bool,
    versions: Vec<Version>,
}

impl Key {
    fn current(&self) -> Option<&Version> {
        self.versions.iter().find(|version| version.state == State::Current)
    }

    fn lifetime(&self) -> Option<i64> {
        let newest = || self.versions.last().map(|version| version.made);
        let made = self.current().map(|version| version.made).or_else(newest).unwrap_or(0);
        self.expires.map(|expires| expires - made)
    }

    /// Time is written down when a key is changed.
    fn settle(&mut self, now: i64) {
        for version in &mut self.versions {
            if let State::Grace(until) = version.state
                && until <= now
            {
                (version.state, version.since) = (State::Retired, until.max(version.since));
            }
            version.gone |= version.state == State::Retired && version.since + KEPT <= now;
        }
    }

    fn retire(&mut self, now: i64, grace: i64) {
        let replaced = self.versions.iter().map(|version| version.replaced).max().unwrap_or(0) + 1;
        for version in self.versions.iter_mut().filter(|version| version.state == State::Current) {
            version.state = if grace > 0 { State::Grace(now + grace) } else { State::Retired };
            (version.since, version.replaced) = (now, replaced);
        }
    }

    fn add(&mut self, value: String, now: i64) {
        let number = self.versions.last().map_or(1, |version| version.number + 1);
        let state = State::Current;
        self.versions.push(Version { number, value, made: now, since: now, replaced: 0, state, gone: false });
    }

    fn readable(&self, version: &Version, now: i64) -> bool {
        let good = match version.state {
            State::Current => true,
            State::Grace(until) => now < until,
            State::Retired | State::Revoked => false,
        };
        good && !self.disabled && self.expires.is_none_or(|expires| now < expires)
    }
}

type Map = BTreeMap<u8, Key>;

/// A removed key.
#[derive(Debug, Clone, PartialEq)]
struct Removed {
    name: u8,
    key: Key,
    since: i64,
    /// Its 30 days may be over, so that it is there or not.
    gone: bool,
}

// ── The vault ────────────────────────────────────────────────────────────────────────────────────────────────────────

struct Time(AtomicI64);

impl Clock for Time {
    fn now(&self) -> Moment {
        Moment(self.0.load(Relaxed))
    }
}

/// Fails when it has been asked so often.
struct Failing(Mutex<Option<u32>>);

impl Rng for Failing {
    fn fill(&self, target: &mut [u8]) -> Result<(), RngError> {
        let mut left = self.0.lock().unwrap();
        match *left {
            Some(0) => return Err(RngError),
            more => *left = more.map(|more| more - 1),
        }
        SystemRng.fill(target)
    }
}

fn name(number: u8) -> KeyName {
    KeyName::parse(&format!("key/{number}")).unwrap()
}

fn scope(number: u8) -> Scope {
    Scope::parse(&format!("scope:{number}")).unwrap()
}

struct Run {
    folder: tempfile::TempDir,
    /// Two processes on one file, or one on a vault in memory.
    handles: Vec<Vault>,
    access: Access,
    time: Time,
    rng: Failing,
    map: Map,
    /// In the order of their removals.
    removed: Vec<Removed>,
    values: u32,
    kept: Option<(Vec<u8>, Map, Vec<Removed>, u64)>,
}

fn template() -> &'static [u8] {
    static TEMPLATE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let (time, rng) = (Time(AtomicI64::new(BEGIN)), Failing(Mutex::new(None)));
        let world = world(folder.path(), &time, &rng);
        let passphrase = passphrase();
        let creation = Creation { passphrase: &passphrase, cost: Cost::FLOOR, recovery: None };
        let path = folder.path().join("vault.db");
        file::create(&path, &creation, &world).unwrap();
        std::fs::read(path).unwrap()
    })
}

fn passphrase() -> Passphrase {
    Passphrase::new(&SecretBytes::copy_from(b"of the model")).unwrap()
}

fn pins(folder: &Path) -> Pins {
    Pins::in_folder(folder.join("pins"))
}

fn world<'w>(folder: &Path, time: &'w Time, rng: &'w Failing) -> World<'w> {
    World {
        clock: time,
        rng,
        actor: Actor::default(),
        pins: pins(folder),
        holders: Holders::in_folder(folder.join("state"), Holder { command: String::new(), pid: 0 }),
        notices: Notices::told_by(&|_| ()),
        waiting: &|_, _| (),
    }
}

fn open(folder: &Path) -> Vec<Vault> {
    [0, 1].map(|_| Vault::open(&folder.join("vault.db"), &pins(folder)).unwrap()).into()
}

impl Run {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("model-").tempdir_in("/dev/shm").unwrap();
        let path = folder.path().join("vault.db");
        std::fs::write(&path, template()).unwrap();
        std::os::unix::fs::PermissionsExt::set_mode(
            &mut std::fs::metadata(&path).unwrap().permissions(),
            0o600,
        );
        let mut handles = open(folder.path());
        let access = handles[0].open_passphrase(&passphrase()).unwrap();
        let (time, rng) = (Time(AtomicI64::new(BEGIN)), Failing(Mutex::new(None)));
        let (map, removed) = (Map::new(), Vec::new());
        Self { folder, handles, access, time, rng, map, removed, values: 0, kept: None }
    }

    fn in_memory() -> Self {
        let folder = tempfile::Builder::new().prefix("model-").tempdir_in("/dev/shm").unwrap();
        let (time, rng) = (Time(AtomicI64::new(BEGIN)), Failing(Mutex::new(None)));
        let passphrase = passphrase();
        let creation = Creation { passphrase: &passphrase, cost: Cost::FLOOR, recovery: None };
        let mut vault = file::create_in_memory(&creation, &world(folder.path(), &time, &rng)).unwrap();
        let access = vault.open_passphrase(&passphrase).unwrap();
        let (map, removed) = (Map::new(), Vec::new());
        Self { folder, handles: vec![vault], access, time, rng, map, removed, values: 0, kept: None }
    }

    fn now(&self) -> i64 {
        self.time.0.load(Relaxed)
    }

    fn value(&mut self) -> String {
        self.values += 1;
        format!("value {}", self.values)
    }

    fn reopen(&mut self) {
        self.handles = open(self.folder.path());
    }

    /// Does a step in the vault; if it is done there, in the map too.
    fn step(&mut self, step: &Step, second: bool, fails_after: Option<u32>) {
        match step {
            Step::Clock(by) => return self.time.0.store(self.now() + by, Relaxed),
            // Memory cannot be opened again, copied, or put back.
            Step::Reopen | Step::Keep | Step::PutBack if self.handles.len() == 1 => return,
            Step::Reopen => return self.reopen(),
            Step::Keep => return self.keep(),
            Step::PutBack => return self.put_back(),
            _ => {}
        }
        let (now, value) = (self.now(), self.value());
        for removed in &mut self.removed {
            removed.gone |= removed.since + KEPT <= now;
        }
        if let Step::Undelete { name, .. } | Step::Wipe { name } = step
            && self.removed.iter().any(|removed| removed.name == *name && removed.gone)
        {
            return;
        }
        let (map, removed, outcome) = expected(&self.map, &self.removed, step, now, &value);
        *self.rng.0.lock().unwrap() = fails_after;
        let world = world(self.folder.path(), &self.time, &self.rng);
        let place = usize::from(second).min(self.handles.len() - 1);
        let vault = &mut self.handles[place];
        let done = perform(vault, &self.access, &world, step, now, &value);
        drop(world);
        *self.rng.0.lock().unwrap() = None;
        match (done, outcome) {
            (Ok(()), Outcome::Done) => (self.map, self.removed) = (map, removed),
            (Err(VaultError::Rng(_) | VaultError::Recipe(_)), _) if fails_after.is_some() => {}
            (Err(error), _) if fails_after.is_some() && format!("{error:?}").contains("Rng") => {}
            (Err(_), Outcome::Refused) => {}
            // A tombstone that is old enough may be there still, or not.
            (Ok(()), Outcome::Either) => self.take_over(step),
            (Err(_), Outcome::Either) => {}
            (done, outcome) => panic!("{step:?}: {done:?}, and it should be {outcome:?}\n{:#?}", self.map),
        }
    }

    fn keep(&mut self) {
        let mut vault = Vault::open(&self.folder.path().join("vault.db"), &pins(self.folder.path())).unwrap();
        let copy = self.folder.path().join("kept");
        let _ = std::fs::remove_file(&copy);
        let world = world(self.folder.path(), &self.time, &self.rng);
        file::backup(&vault, &copy, &world).unwrap();
        let change = vault.read(&self.access, |tx| Ok(tx.change_number())).unwrap();
        self.kept = Some((std::fs::read(copy).unwrap(), self.map.clone(), self.removed.clone(), change));
    }

    /// A sync puts an older file back: it is refused until it is adopted, and then it counts.
    fn put_back(&mut self) {
        let Some((bytes, map, removed, change)) = self.kept.clone() else { return };
        let newest = self.handles[0].read(&self.access, |tx| Ok(tx.change_number())).unwrap();
        let path = self.folder.path().join("vault.db");
        // The old handles go first: their locks would be on a file that is not there any more.
        let aside = self.folder.path().join("aside.db");
        std::fs::rename(&path, &aside).unwrap();
        for suffix in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(self.folder.path().join(format!("vault.db{suffix}")));
        }
        std::fs::write(&path, bytes).unwrap();
        self.reopen();
        let standing = self.handles[0].read(&self.access, |tx| Ok(tx.standing())).unwrap();
        if change == newest {
            assert!(
                matches!(standing, Standing::Same | Standing::FirstUse | Standing::Ahead),
                "{standing:?}"
            );
            return;
        }
        assert_eq!(standing, Standing::RolledBack);
        let world = world(self.folder.path(), &self.time, &self.rng);
        let refused = perform(&mut self.handles[0], &self.access, &world, &Step::Remove { name: 0 }, 0, "");
        assert!(matches!(refused, Err(VaultError::Alarm { .. })), "{refused:?}");
        assert!(file::adopt(&mut self.handles[1], &self.access, &world).unwrap().is_some());
        drop(world);
        (self.map, self.removed) = (map, removed);
        // Opened anew: the pin that a handle knows is the one from before.
        self.reopen();
    }

    /// The map learns from the vault what became of a key whose versions may have been wiped.
    fn take_over(&mut self, step: &Step) {
        let Step::Rollback { name: number, .. } = step else { panic!("{step:?}") };
        let now = self.now();
        let key_record = key::show(&mut self.handles[0], &self.access, &name(*number)).unwrap();
        let key = self.map.get_mut(number).unwrap();
        key.settle(now);
        key.retire(now, 0);
        key.expires = key_record.expires.map(|at| at.0);
        let current = key_record.current().unwrap().number;
        for version in key.versions.iter_mut().filter(|version| version.number == current) {
            (version.state, version.since) = (State::Current, now);
        }
    }

    fn compare(&mut self) {
        let now = self.now();
        let keys = key::list(self.handles.last_mut().unwrap(), &self.access).unwrap();
        assert_eq!(
            keys.iter().map(|key_record| key_record.name.clone()).collect::<Vec<_>>(),
            self.map.keys().map(|number| name(*number)).collect::<Vec<_>>()
        );
        for (key_record, key) in keys.iter().zip(self.map.values()) {
            same(key_record, key, now);
        }
        // Those that are over and not wiped yet as well.
        let removed = key::removed(self.handles.last_mut().unwrap(), &self.access, Moment(0)).unwrap();
        for number in 0..3 {
            let listed = removed.iter().filter(|removed| removed.key.name == name(number)).count();
            let of_name = self.removed.iter().filter(|removed| removed.name == number);
            let (all, there) = (of_name.clone().count(), of_name.filter(|removed| !removed.gone).count());
            assert!((there..=all).contains(&listed), "{listed} removed, {there} to {all} expected");
        }
        for number in 0..3 {
            let carrying: Vec<_> =
                keys.iter().filter(|key_record| key_record.scopes.contains(&scope(number))).collect();
            let due = key::due(
                &mut self.handles[0],
                &self.access,
                &Which::Scopes(vec![scope(number)]),
                Moment(now),
            );
            let due = due.unwrap_or_else(|_| Vec::new());
            let alive = carrying.iter().filter(|key_record| key_record.current().is_some()).count();
            assert_eq!(due.len(), alive, "scope {number}");
        }
    }

    /// Every version of every key is read, or refused, as the map says.
    fn read_all(&mut self) {
        let now = self.now();
        let world = world(self.folder.path(), &self.time, &self.rng);
        for (number, key) in &self.map {
            for version in &key.versions {
                let got = key::reveal(
                    &mut self.handles[0],
                    &self.access,
                    &world,
                    &name(*number),
                    Some(version.number),
                );
                match got {
                    Ok((_, value)) => {
                        assert!(key.readable(version, now), "{number} {version:?} at {now}");
                        assert_eq!(value.expose(), version.value.as_bytes());
                    }
                    Err(error) => assert!(!key.readable(version, now), "{number} {version:?}: {error:?}"),
                }
            }
        }
    }

    fn finish(mut self) {
        if self.handles.len() > 1 {
            self.reopen();
        }
        let checked = check::run(&mut self.handles[0], &self.access).unwrap();
        assert!(checked.findings.is_empty() && checked.audit.is_some(), "{:?}", checked.findings);
    }
}

fn same(key_record: &KeyRecord, key: &Key, now: i64) {
    assert_eq!(key_record.expires.map(|at| at.0), key.expires, "{}", key_record.name);
    assert_eq!(key_record.disabled.is_some(), key.disabled, "{}", key_record.name);
    // The first change, which made the vault, wrote no key.
    assert!(key_record.last_change > 1, "{}", key_record.name);
    assert_eq!(
        key_record.scopes,
        key.scopes.iter().map(|number| scope(*number)).collect(),
        "{}",
        key_record.name
    );
    let theirs: Vec<_> = key_record
        .versions
        .iter()
        .map(|version| {
            let graced = version.state == VersionState::Previous;
            (version.number, version.state, version.grace_until.filter(|_| graced).map(|at| at.0))
        })
        .collect();
    let ours: Vec<_> = key
        .versions
        .iter()
        .map(|version| match version.state {
            State::Current => (version.number, VersionState::Current, None),
            State::Grace(until) => (version.number, VersionState::Previous, Some(until)),
            State::Retired => (version.number, VersionState::Retired, None),
            State::Revoked => (version.number, VersionState::Revoked, None),
        })
        .collect();
    assert_eq!(theirs, ours, "{} at {now}", key_record.name);
}

// ── What a step should come to, and how it is done ───────────────────────────────────────────────────────────────────

#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    Done,
    Refused,
    Either,
}

fn expected(
    map: &Map,
    removed: &[Removed],
    step: &Step,
    now: i64,
    value: &str,
) -> (Map, Vec<Removed>, Outcome) {
    let (mut map, mut removed) = (map.clone(), removed.to_vec());
    let outcome = match step {
        Step::Add { name, scope, life } => {
            if map.contains_key(name) {
                return (map, removed, Outcome::Refused);
            }
            let expires = life.map(|life| now + life);
            let scopes = BTreeSet::from([*scope]);
            let mut key = Key { scopes, expires, disabled: false, versions: Vec::new() };
            key.add(value.to_owned(), now);
            map.insert(*name, key);
            Outcome::Done
        }
        Step::Remove { name } => {
            let Some(mut key) = map.remove(name) else { return (map, removed, Outcome::Refused) };
            key.settle(now);
            removed.push(Removed { name: *name, key, since: now, gone: false });
            Outcome::Done
        }
        Step::Wipe { name } => {
            let there = removed.len();
            if map.remove(name).is_none() {
                removed.retain(|removed| removed.name != *name);
                if removed.len() == there {
                    return (map, removed, Outcome::Refused);
                }
            }
            Outcome::Done
        }
        Step::Undelete { name, to } => {
            let wanted = to.unwrap_or(*name);
            let last = removed.iter().rposition(|removed| removed.name == *name);
            let Some(last) = last.filter(|_| !map.contains_key(&wanted)) else {
                return (map, removed, Outcome::Refused);
            };
            let mut key = removed.remove(last).key;
            key.settle(now);
            map.insert(wanted, key);
            Outcome::Done
        }
        Step::Rename { name, to } => {
            if !map.contains_key(name) || name != to && map.contains_key(to) {
                return (map, removed, Outcome::Refused);
            }
            let mut key = map.remove(name).unwrap();
            key.settle(now);
            map.insert(*to, key);
            Outcome::Done
        }
        Step::Rotate { name, .. }
        | Step::Rollback { name, .. }
        | Step::Revoke { name, .. }
        | Step::Scope { name, .. }
        | Step::Expire { name, .. }
        | Step::Disable { name, .. } => match map.get_mut(name) {
            None => Outcome::Refused,
            Some(key) => of_key(key, step, now, value),
        },
        Step::Clock(_) | Step::Reopen | Step::Keep | Step::PutBack => Outcome::Done,
    };
    (map, removed, outcome)
}

fn of_key(key: &mut Key, step: &Step, now: i64, value: &str) -> Outcome {
    match step {
        Step::Rotate { grace, expires, .. } => {
            let renewed = match (expires, key.lifetime()) {
                (Some(life), _) => life.map(|life| now + life),
                (None, None) => None,
                (None, Some(lifetime)) if lifetime > 0 => Some(now + lifetime),
                (None, Some(_)) => return Outcome::Refused,
            };
            let mut grace = *grace;
            if let Some(end) = key.expires {
                grace = grace.min(end - now).max(0);
                for version in &mut key.versions {
                    if let State::Grace(until) = &mut version.state {
                        *until = (*until).min(end);
                    }
                }
            }
            key.expires = renewed;
            key.settle(now);
            key.retire(now, grace);
            key.add(value.to_owned(), now);
            Outcome::Done
        }
        Step::Rollback { to, .. } => {
            if to.is_some() && key.current().map(|version| version.number) == *to {
                return Outcome::Done;
            }
            let before = key.clone();
            key.settle(now);
            let back = |version: &&Version| matches!(version.state, State::Grace(_) | State::Retired);
            let target = match to {
                Some(number) => key.versions.iter().find(|version| version.number == *number).filter(back),
                None => key.versions.iter().filter(back).max_by_key(|version| version.replaced),
            };
            let unsure = key.versions.iter().filter(back).any(|version| version.gone);
            let Some(target) = target.cloned() else { return Outcome::Refused };
            if unsure {
                *key = before;
                return Outcome::Either;
            }
            if let (Some(lifetime), Some(expires)) = (key.lifetime(), key.expires)
                && lifetime > 0
            {
                key.expires = Some(expires.min(target.made + lifetime));
            }
            key.retire(now, 0);
            for version in key.versions.iter_mut().filter(|version| version.number == target.number) {
                (version.state, version.since) = (State::Current, now);
            }
            Outcome::Done
        }
        Step::Revoke { version, wipe, .. } => {
            let wanted = |known: &Version| version.is_none_or(|number| number == known.number);
            if !key.versions.iter().any(wanted) {
                return Outcome::Refused;
            }
            for known in key.versions.iter_mut().filter(|known| wanted(known)) {
                known.state = State::Revoked;
                known.gone |= wipe;
            }
            Outcome::Done
        }
        Step::Scope { scope, on, .. } => {
            if *on {
                key.scopes.insert(*scope);
            } else {
                key.scopes.remove(scope);
            }
            key.settle(now);
            Outcome::Done
        }
        Step::Expire { life, .. } => {
            key.expires = life.map(|life| now + life);
            key.settle(now);
            Outcome::Done
        }
        // A key that is so already is not written.
        Step::Disable { on, .. } => {
            if key.disabled != *on {
                key.disabled = *on;
                key.settle(now);
            }
            Outcome::Done
        }
        _ => Outcome::Refused,
    }
}

fn perform(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    step: &Step,
    now: i64,
    value: &str,
) -> Result<(), VaultError> {
    let value = || SecretBytes::copy_from(value.as_bytes());
    let at = |life: &Option<i64>| life.map(|life| Moment(now + life));
    let mut edit = |number: u8, edit: Edit| key::edit(vault, access, world, &[name(number)], &edit).map(drop);
    match step {
        Step::Add { name: number, scope: carried, life } => {
            let new = NewKey {
                public: false,
                name: name(*number),
                variable: None,
                scopes: BTreeSet::from([scope(*carried)]),
                tags: BTreeMap::new(),
                note: String::new(),
                expires: at(life),
                origin: Origin::Given(value()),
            };
            key::create(vault, access, world, &new, false).map(drop)
        }
        Step::Rotate { name: number, grace, expires } => {
            let id = key::show(vault, access, &name(*number))?.id;
            let value = NewValue { name: name(*number), key: id, value: value() };
            let terms = Terms { grace: *grace, expires: expires.as_ref().map(at) };
            key::rotate(vault, access, world, &Which::Names(vec![name(*number)]), Some(&value), terms)
                .map(drop)
        }
        Step::Rollback { name: number, to } => {
            key::rollback(vault, access, world, &name(*number), *to).map(drop)
        }
        Step::Revoke { name: number, version, wipe } => {
            let revocation = Revocation { version: *version, reason: "why".to_owned(), wipe: *wipe };
            key::revoke(vault, access, world, &[name(*number)], &revocation).map(drop)
        }
        Step::Disable { name: number, on: true } => {
            key::disable(vault, access, world, &[name(*number)], "").map(drop)
        }
        Step::Disable { name: number, on: false } => {
            key::enable(vault, access, world, &[name(*number)]).map(drop)
        }
        Step::Rename { name: number, to } => {
            edit(*number, Edit { rename: Some(name(*to)), ..Edit::default() })
        }
        Step::Scope { name: number, scope: carried, on } => {
            let carried = BTreeSet::from([scope(*carried)]);
            let none = BTreeSet::new();
            let (scope, unscope) = if *on { (carried, none) } else { (none, carried) };
            edit(*number, Edit { scope, unscope, ..Edit::default() })
        }
        Step::Expire { name: number, life } => {
            edit(*number, Edit { expires: Some(at(life)), ..Edit::default() })
        }
        Step::Remove { name: number } => key::remove(vault, access, world, &[name(*number)]).map(drop),
        Step::Wipe { name: number } => match key::wipe(vault, access, world, &[name(*number)]) {
            Err(VaultError::NoSuchKeys { .. }) => {
                key::wipe_removed(vault, access, world, &[name(*number)]).map(drop)
            }
            wiped => wiped.map(drop),
        },
        Step::Undelete { name: number, to } => {
            key::undelete(vault, access, world, &name(*number), to.map(name).as_ref()).map(drop)
        }
        Step::Clock(_) | Step::Reopen | Step::Keep | Step::PutBack => Ok(()),
    }
}

const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/model.proptest-regressions");

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(64),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(SEEDS))),
        max_shrink_iters: 2000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_sequence_of_commands_is_what_a_plain_map_says(steps in steps()) {
        follow_all(Run::new(), &steps);
    }

    #[test]
    fn any_sequence_of_commands_on_a_vault_in_memory_is_what_a_plain_map_says(steps in steps()) {
        follow_all(Run::in_memory(), &steps);
    }
}

fn follow_all(mut run: Run, steps: &[(Step, bool, Option<u32>)]) {
    for (step, second, fails_after) in steps {
        run.step(step, *second, *fails_after);
        run.compare();
        run.read_all();
    }
    run.finish();
}

#[test]
fn the_seeds_that_failed_are_in_the_repository_and_are_read() {
    let text = std::fs::read_to_string(SEEDS).unwrap();
    let kept = text.lines().filter(|line| line.starts_with("cc ")).count();
    let read = FileFailurePersistence::Direct(SEEDS).load_persisted_failures2(Some(file!())).len();
    assert!(kept > 0 && read == kept, "{read} of {kept}");
}

/// A seed means another sequence once the strategy changes; these stay what they are.
fn follow(steps: impl IntoIterator<Item = Step>) -> Run {
    let mut run = Run::new();
    for step in steps {
        run.step(&step, false, None);
        run.compare();
        run.read_all();
    }
    run
}

fn current(run: &mut Run) -> Option<u32> {
    let key = key::show(&mut run.handles[0], &run.access, &name(0)).unwrap();
    key.current().map(|version| version.number)
}

const ADD: Step = Step::Add { name: 0, scope: 0, life: None };
const BACK: Step = Step::Rollback { name: 0, to: None };

fn rotate(grace: i64) -> Step {
    Step::Rotate { name: 0, grace, expires: None }
}

#[test]
fn a_rollback_after_the_clock_went_back_takes_the_version_that_was_replaced_last() {
    for back in [-2, -HOUR, -40 * DAY] {
        for on in [0, 1, 60_000] {
            let on = || Step::Clock(on);
            let steps = [ADD, Step::Clock(back), rotate(0), on(), rotate(0), on(), BACK];
            let mut run = follow(steps);
            assert_eq!(current(&mut run), Some(2), "{back}");
            // Version 3 was replaced last now, and so on, whatever the numbers say.
            for expected in [3, 2, 3] {
                run.step(&BACK, false, None);
                assert_eq!(current(&mut run), Some(expected), "{back}");
            }
            run.step(&rotate(0), false, None);
            run.step(&BACK, false, None);
            assert_eq!(current(&mut run), Some(3), "{back}");
            run.compare();
            run.finish();
        }
    }
}

#[test]
fn a_grace_that_ended_later_does_not_make_a_version_the_one_that_was_replaced_last() {
    let steps = [ADD, rotate(3 * HOUR), Step::Clock(HOUR), rotate(0), Step::Clock(5 * HOUR), BACK];
    assert_eq!(current(&mut follow(steps)), Some(2));
}

#[test]
fn of_a_key_without_a_current_version_the_lifetime_is_that_of_the_highest_number() {
    let life = Some(10 * DAY);
    follow([
        Step::Add { name: 0, scope: 0, life },
        Step::Clock(-HOUR),
        rotate(0),
        Step::Revoke { name: 0, version: Some(2), wipe: false },
        Step::Clock(DAY),
        rotate(0),
    ]);
}
