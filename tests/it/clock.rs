//! Case 26 of the fault catalog: a clock that jumps changes no order and wipes nothing early.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;

use keyvault_core::clock::{Clock, Moment};
use keyvault_core::crypto::SystemRng;
use keyvault_core::secret::SecretBytes;
use keyvault_vault::audit::Actor;
use keyvault_vault::state::pin::Pins;
use keyvault_vault::unlock::passphrase::Passphrase;
use keyvault_vault::{
    NewKey, NewValue, Notices, Origin, Terms, Vault, VersionState, Which, World as VaultWorld, key,
};

use crate::harness::vault_file::filled;
use crate::harness::{PASSPHRASE, World};

/// A clock that is told what to say.
struct Told(AtomicI64);

impl Clock for Told {
    fn now(&self) -> Moment {
        Moment(self.0.load(Relaxed))
    }
}

#[test]
fn a_rotation_with_a_clock_in_the_past_does_not_wipe_the_version_as_soon_as_it_is_right() {
    const HOUR: i64 = 3_600_000;
    let world = World::own();
    for name in ["other", "k", "graced"] {
        world.run_with_input(&["add", name], "one").ok();
    }
    let now = world.clock().now().0;
    let clock = Told(AtomicI64::new(0));
    let vault_world = VaultWorld {
        clock: &clock,
        rng: &SystemRng,
        actor: Actor::default(),
        pins: Pins::in_folder(world.pins()),
        holders: crate::harness::nobody(),
        notices: Notices::told_by(&|_| ()),
        waiting: &|_, _| (),
    };
    let passphrase = Passphrase::new(&SecretBytes::copy_from(PASSPHRASE.as_bytes())).unwrap();
    let mut vault = Vault::open(&world.vault(), &vault_world.pins).unwrap();
    let access = vault.open_passphrase(&passphrase).unwrap();
    // The battery is empty; then the clock is right, and two changes are more than an hour apart.
    for moment in [0, now + HOUR, now + 3 * HOUR, now + 5 * HOUR] {
        clock.0.store(moment, Relaxed);
        for (name, grace) in [("other", 0), ("k", 0), ("graced", HOUR)] {
            let name = || name.parse().unwrap();
            let key = key::show(&mut vault, &access, &name()).unwrap().id;
            let value = NewValue { name: name(), key, value: SecretBytes::copy_from(b"next") };
            let terms = Terms { grace, ..Terms::default() };
            key::rotate(&mut vault, &access, &vault_world, &Which::Names(vec![name()]), Some(&value), terms)
                .unwrap();
        }
    }
    for name in ["other", "k", "graced"] {
        let key = key::show(&mut vault, &access, &name.parse().unwrap()).unwrap();
        let first = key.version(1).unwrap();
        assert_eq!(first.state, VersionState::Retired);
        assert!(first.digest.is_some(), "{name} was wiped 5 hours after it was replaced");
    }
}

#[test]
fn case_26_a_clock_that_jumps_a_year_either_way_changes_no_order_and_is_flagged() {
    const YEAR: i64 = 365 * 86_400_000;
    let world = filled();
    let now = world.clock().now().0;
    let clock = Told(AtomicI64::new(now));
    let vault_world = VaultWorld {
        clock: &clock,
        rng: &SystemRng,
        actor: Actor::default(),
        pins: Pins::in_folder(world.pins()),
        holders: crate::harness::nobody(),
        notices: Notices::told_by(&|_| ()),
        waiting: &|_, _| (),
    };
    let passphrase = Passphrase::new(&SecretBytes::copy_from(PASSPHRASE.as_bytes())).unwrap();
    for (name, shift) in [("ahead", YEAR), ("back", -YEAR), ("present", 0)] {
        clock.0.store(now + shift, Relaxed);
        let mut vault = Vault::open(&world.vault(), &vault_world.pins).unwrap();
        let access = vault.open_passphrase(&passphrase).unwrap();
        let new = NewKey {
            public: false,
            name: name.parse().unwrap(),
            variable: None,
            scopes: BTreeSet::new(),
            tags: std::collections::BTreeMap::new(),
            note: String::new(),
            expires: None,
            origin: Origin::Given(SecretBytes::copy_from(name.as_bytes())),
        };
        key::create(&mut vault, &access, &vault_world, &new, false).unwrap();
        let (_, value) =
            key::reveal(&mut vault, &access, &vault_world, &name.parse().unwrap(), None).unwrap();
        assert_eq!(value.expose(), name.as_bytes());
    }
    let log = world.run(&["audit", "log", "--action", "add", "--json"]).ok().out;
    let entries: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut named: Vec<_> = entries
        .iter()
        .map(|entry| (entry["seq"].as_u64().unwrap(), entry["keys"][0]["name"].as_str().unwrap()))
        .collect();
    named.sort_unstable();
    let order: Vec<_> = named.iter().map(|(_, name)| *name).collect();
    assert_eq!(order, ["a", "b", "c", "ahead", "back", "present"]);
    world.run(&["audit", "verify"]).is(
        0,
        "10 entries verified: all proved from the start of the audit log.\n",
        "warning: The clock went back at entry 5. The order of the entries is still proved.\n",
    );
    world.run(&["vault", "check"]).ok();
    assert_eq!(world.run(&["show", "ahead", "--reveal"]).ok().out, "ahead");
}
