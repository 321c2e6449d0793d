//! Cases 24–26 of the fault catalogue: many at once, death between commit and pin, clocks that jump.
//!
//! The clock is given to the library: the binary is static, so libfaketime has no hold on it.
//! `KEYVAULT_ROUNDS=100` runs the race in full: 100 rounds of 100 `exec`.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use keyvault::audit::Actor;
use keyvault::clock::{Clock, Moment, SystemClock};
use keyvault::crypto::SystemRng;
use keyvault::secret::SecretBytes;
use keyvault::state::pin::Pins;
use keyvault::unlock::passphrase::Passphrase;
use keyvault::vault::{NewKey, Origin, Vault, World as VaultWorld};

use crate::file::filled;
use crate::harness::{KEYVAULT, PASSPHRASE, World, finish};

#[test]
fn case_24_many_exec_beside_a_changing_process_see_one_state_each_and_all_are_in_the_log() {
    let (rounds, at_once) = match std::env::var("KEYVAULT_ROUNDS") {
        Ok(rounds) => (rounds.parse().expect("KEYVAULT_ROUNDS is a number"), 100),
        Err(_) => (5, 40),
    };
    let world = World::own();
    let import = |number: usize| {
        let file = world.file("pair.env", format!("LEFT={number}\nRIGHT={number}\n"));
        world.run(&["import", file.to_str().unwrap(), "--on-conflict", "replace"]).ok();
    };
    import(0);
    // Faster, so more crowded; a passphrase does as well where the kernel has no sessions.
    let session = world.run(&["unlock"]).code == 0;
    let done = AtomicBool::new(false);
    let imports = AtomicUsize::new(1);
    let mut seen = BTreeSet::new();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                import(imports.fetch_add(1, Ordering::Relaxed));
            }
        });
        for _ in 0..rounds {
            let children: Vec<_> = (0..at_once)
                .map(|_| {
                    let mut command = world.command(KEYVAULT);
                    command.args([
                        "exec",
                        "--only",
                        "LEFT",
                        "--only",
                        "RIGHT",
                        "--",
                        "sh",
                        "-c",
                        "echo $LEFT $RIGHT",
                    ]);
                    command.stdout(Stdio::piped()).stderr(Stdio::piped());
                    command.spawn().unwrap()
                })
                .collect();
            for child in children {
                let output = child.wait_with_output().unwrap();
                let (out, err) =
                    (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
                assert!(output.status.success(), "{:?}: {err}", output.status);
                let (left, right) = out.trim().split_once(' ').unwrap();
                assert_eq!(left, right, "a mixed set");
                seen.insert(left.to_owned());
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    let logged =
        |action: &str| world.run(&["audit", "log", "--action", action, "--json"]).ok().out.lines().count();
    assert_eq!(logged("exec"), rounds * at_once);
    assert_eq!(logged("import"), imports.load(Ordering::Relaxed));
    world.run(&["vault", "check"]).ok();
    world.run(&["audit", "verify"]).ok();
    println!(
        "case 24: {} exec beside {} imports, {} different states seen, session {session}, in {:.1?}",
        rounds * at_once,
        imports.into_inner(),
        seen.len(),
        begun.elapsed()
    );
    assert!(seen.len() > 1, "nothing changed while it was read");
}

#[test]
fn case_25_killed_between_commit_and_pin_the_next_change_advances_the_pin() {
    let world = filled();
    let pin = || -> u64 {
        let files = world.every_file();
        let pin = files.iter().find(|(path, _)| path.extension().is_some_and(|it| it == "json")).unwrap();
        serde_json::from_slice::<serde_json::Value>(&pin.1).unwrap()["change"].as_u64().unwrap()
    };
    let change = || world.run(&["vault", "check", "--json"]).ok().json()["change"].as_u64().unwrap();
    let before = pin();
    let mut command = world.command("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=rename", "-e", "inject=rename:signal=KILL"]);
    let ran = finish(command.args([KEYVAULT, "generate", "new"]), b"");
    assert_eq!(ran.code, 137, "{}", ran.err);
    assert_eq!((pin(), change()), (before, before + 1), "it died elsewhere");
    world.run(&["show", "new", "--reveal"]).ok();
    // Case 21 as well: doing it again is harmless.
    world.run(&["generate", "new"]).fails(6, "there already");
    world.run(&["edit", "new", "--note", "x"]).ok();
    assert_eq!(pin(), before + 2);
    assert_eq!(change(), before + 2);
}

/// A clock that shows what it is told.
struct Told(Cell<i64>);

impl Clock for Told {
    fn now(&self) -> Moment {
        Moment(self.0.get())
    }
}

#[test]
fn case_26_a_clock_that_jumps_a_year_either_way_changes_no_order_and_is_flagged() {
    const YEAR: i64 = 365 * 86_400_000;
    let world = filled();
    let now = SystemClock.now().0;
    let clock = Told(Cell::new(now));
    let vault_world = VaultWorld {
        clock: &clock,
        rng: &SystemRng,
        actor: Actor::default(),
        pins: Pins::in_folder(world.pins()),
        holders: crate::harness::nobody(),
        notice: &|_| (),
        waiting: &|_, _| (),
    };
    let passphrase = Passphrase::new(&SecretBytes::copy_from(PASSPHRASE.as_bytes())).unwrap();
    for (name, shift) in [("ahead", YEAR), ("back", -YEAR), ("present", 0)] {
        clock.0.set(now + shift);
        let mut vault = Vault::open(&world.vault(), &vault_world.pins).unwrap();
        let access = vault.open_passphrase(&passphrase).unwrap();
        let new = NewKey {
            name: name.parse().unwrap(),
            variable: None,
            scopes: BTreeSet::new(),
            tags: std::collections::BTreeMap::new(),
            note: String::new(),
            expires: None,
            origin: Origin::Given(SecretBytes::copy_from(name.as_bytes())),
        };
        vault.create_key(&access, &vault_world, new, false).unwrap();
        let (_, value) = vault.reveal(&access, &vault_world, &name.parse().unwrap(), None).unwrap();
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
    let verified = world.run(&["audit", "verify"]).ok();
    assert!(format!("{}{}", verified.out, verified.err).contains("clock went back"), "{}", verified.out);
    world.run(&["vault", "check"]).ok();
    assert_eq!(world.run(&["show", "ahead", "--reveal"]).ok().out, "ahead");
}

#[test]
fn who_waits_longer_than_a_second_says_for_whom() {
    let world = World::new();
    let trace = world.path().join("trace");
    let mut holder = world.command("strace");
    // Each sync of the holder takes three seconds, and the first of its commit happens under the lock.
    holder.args(["-f", "-o", trace.to_str().unwrap(), "-e", "trace=fdatasync,fsync"]);
    holder.args(["-e", "inject=fdatasync,fsync:delay_enter=3000000:when=1", KEYVAULT, "generate", "slow"]);
    let mut holder = holder.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !std::fs::read_to_string(&trace).is_ok_and(|trace| trace.contains("sync(")) {
        assert!(Instant::now() < deadline, "the holder never came to its sync");
        std::thread::sleep(Duration::from_millis(10));
    }
    let waiter = world.run(&["generate", "late"]).ok();
    assert!(holder.wait().unwrap().success());
    let line = waiter.err.lines().next().unwrap();
    assert!(
        line.starts_with("Waiting for keyvault generate (process ")
            && line.ends_with(") to let go of the vault, up to 10 s."),
        "{line}"
    );
}
