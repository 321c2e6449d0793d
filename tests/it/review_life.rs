//! What a review found of what a backup brings back, of slots that are not there, and of pins; each test has the name of
//! its fault.

use std::cell::Cell;
use std::os::unix::fs::FileExt;
use std::process::Stdio;

use keyvault::audit::Actor;
use keyvault::clock::{Clock, Moment, SystemClock};
use keyvault::crypto::SystemRng;
use keyvault::secret::SecretBytes;
use keyvault::state::pin::Pins;
use keyvault::unlock::passphrase::Passphrase;
use keyvault::vault::{NewValue, Terms, Vault, VersionState, Which, World as VaultWorld};
use rusqlite::Connection;

use crate::file::{drop_side_files, tamper};
use crate::harness::{KEYVAULT, PASSPHRASE, Ran, World, finish};

fn restore(world: &World, backup: &str) -> String {
    world.run(&["vault", "restore", backup, "--yes"]).ok().err
}

/// Alters a byte of another key's row, so that the vault cannot be read whole.
fn damage(world: &World, name: &str) {
    let path = world.vault();
    let connection = Connection::open(&path).unwrap();
    let mut statement = connection.prepare("SELECT sealed FROM item").unwrap();
    let rows: Vec<Vec<u8>> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    drop(statement);
    drop(connection);
    let bytes = std::fs::read(&path).unwrap();
    // The row whose damage `show` of this name refuses.
    for sealed in rows {
        let at = bytes.windows(60).position(|piece| piece == &sealed[..60]).unwrap() as u64 + 50;
        let byte = bytes[usize::try_from(at).unwrap()];
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&[byte ^ 1], at).unwrap();
        drop_side_files(&path);
        if world.run(&["show", name]).code == 5 {
            return;
        }
        file.write_all_at(&[byte], at).unwrap();
    }
    panic!("no row of {name}");
}

#[test]
fn a_restore_of_a_damaged_vault_brings_back_no_revoked_version_and_no_revoked_token() {
    let world = World::own();
    for name in ["k", "other"] {
        world.run_with_input(&["add", name, "--scope", "s"], "old").ok();
    }
    let token = world.run(&["token", "create", "bot", "--scope", "s"]).ok().out;
    world.run(&["vault", "backup", "b"]).ok();
    world.run(&["revoke", "k", "--reason", "leaked"]).ok();
    world.run(&["token", "revoke", "bot"]).ok();
    damage(&world, "other");
    let said = restore(&world, "b");
    for part in
        ["cannot be read whole", "good again, but for", "1 stay revoked: k", "open nothing any more: bot"]
    {
        assert!(said.contains(part), "{said}");
    }
    world.run(&["show", "k", "--reveal"]).fails(6, "revoked");
    let mut exec = world.command(KEYVAULT);
    exec.env("KEYVAULT_TOKEN", token.trim()).args(["exec", "--all", "--", "true"]);
    finish(&mut exec, b"").fails(125, "opens nothing");
    world.run(&["vault", "check"]).ok();
    // What was not revoked is whole again.
    assert_eq!(world.run(&["show", "other", "--reveal"]).ok().out.trim_end(), "old");
}

#[test]
fn a_restore_of_a_rekeyed_vault_reads_it_with_the_same_passphrase() {
    let world = World::own();
    world.run_with_input(&["add", "k"], "old").ok();
    world.run(&["vault", "backup", "b"]).ok();
    world.run(&["revoke", "k"]).ok();
    world.run(&["vault", "rekey", "--recovery-file", "code"]).ok();
    world.run(&["lock"]).ok();
    let said = restore(&world, "b");
    assert!(said.contains("1 stay revoked: k"), "{said}");
    world.run(&["show", "k", "--reveal"]).fails(6, "revoked");
}

#[test]
fn a_revoked_version_does_not_return_by_way_of_two_backups_and_its_number_is_not_given_again() {
    let world = World::own();
    world.run_with_input(&["add", "k"], "one").ok();
    world.run(&["vault", "backup", "b1"]).ok();
    world.run_with_input(&["rotate", "k", "--stdin"], "two").ok();
    world.run(&["vault", "backup", "b2"]).ok();
    world.run(&["revoke", "k", "--version", "2", "--reason", "leaked"]).ok();
    restore(&world, "b1");
    assert_eq!(world.run(&["show", "k", "--reveal"]).ok().out.trim_end(), "one");
    let history = world.run(&["history", "k"]).ok().out;
    assert!(history.contains("leaked"), "{history}");
    restore(&world, "b2");
    let shown = world.run(&["show", "k", "--reveal"]);
    assert!(!shown.out.contains("two"), "{}", shown.out);
    restore(&world, "b1");
    world.run_with_input(&["rotate", "k", "--stdin"], "three").ok();
    let versions = world.run(&["history", "k", "--json"]).ok().json();
    let numbers: Vec<_> =
        versions["versions"].as_array().unwrap().iter().map(|version| &version["version"]).collect();
    assert_eq!(numbers.len(), 3, "{versions}");
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_key_that_was_revoked_and_then_removed_does_not_come_back_alive() {
    let world = World::own();
    world.run_with_input(&["add", "k"], "old").ok();
    world.run_with_input(&["add", "removed"], "fine").ok();
    world.run(&["vault", "backup", "b"]).ok();
    world.run(&["edit", "k", "--rename", "renamed"]).ok();
    world.run(&["revoke", "renamed", "--reason", "leaked"]).ok();
    world.run(&["remove", "renamed", "removed", "--yes"]).ok();
    let said = restore(&world, "b");
    assert!(said.contains("2 would be back: k, removed") && said.contains("1 stay revoked: k"), "{said}");
    world.run(&["show", "k", "--reveal"]).fails(6, "revoked");
    assert_eq!(world.run(&["show", "removed", "--reveal"]).ok().out.trim_end(), "fine");
}

#[test]
fn what_was_wiped_when_it_was_revoked_stays_wiped() {
    let world = World::own();
    world.run_with_input(&["add", "k"], "one").ok();
    world.run_with_input(&["rotate", "k", "--stdin"], "two").ok();
    world.run(&["revoke", "k", "--version", "1"]).ok();
    world.run(&["vault", "backup", "b"]).ok();
    world.run(&["revoke", "k", "--wipe"]).ok();
    restore(&world, "b");
    let history = world.run(&["history", "k"]).ok().out;
    assert_eq!(history.matches("wiped").count(), 2, "{history}");
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_wrong_passphrase_for_a_backup_leaves_nothing_in_it() {
    let mut world = World::own();
    world.run(&["generate", "k"]).ok();
    world.run(&["vault", "backup", "b"]).ok();
    world.run(&["unlock"]).ok();
    let before = std::fs::read(world.home().join("b")).unwrap();
    world.set("KEYVAULT_PASSPHRASE", "not this one");
    world.run(&["vault", "restore", "b", "--yes"]).fails(4, "");
    assert!(std::fs::read(world.home().join("b")).unwrap() == before);
    let log = std::fs::metadata(world.home().join("b-wal")).map_or(0, |log| log.len());
    assert_eq!(log, 0);
    world.run(&["lock"]).ok();
}

#[test]
fn a_slot_whose_row_was_taken_away_is_missed_by_every_change_of_the_ways_in() {
    let world = World::own();
    world.run(&["vault", "slot", "add", "keyfile", "kf"]).ok();
    world.file("new", "another horse battery staple");
    world.run(&["vault", "backup", "before"]).ok();
    tamper(&world, "DELETE FROM slot WHERE id = 1");
    let by_file = |arguments: &[&str]| {
        let mut command = world.command(KEYVAULT);
        command.env_remove("KEYVAULT_PASSPHRASE").env("KEYVAULT_KEY_FILE", world.home().join("kf"));
        finish(command.args(arguments), b"")
    };
    let listed = by_file(&["vault", "slot", "list"]).ok();
    assert!(listed.err.contains("Slot 1 is missing from the file."), "{}", listed.err);
    by_file(&["vault", "check"]).fails(5, "");
    // What writes the ways in anew mends it, and takes the missing one out for good.
    by_file(&["vault", "passwd", "--new-passphrase-file", "new"]).ok();
    by_file(&["vault", "check"]).ok();
    let log = by_file(&["audit", "log", "--action", "passwd"]).ok().out;
    assert!(log.contains("slot 1 was missing"), "{log}");
    tamper(
        &world,
        &format!(
            "ATTACH '{}' AS old; REPLACE INTO slot SELECT * FROM old.slot WHERE id = 1",
            world.home().join("before").display()
        ),
    );
    world.run(&["list"]).fails(5, "slot");
}

#[test]
fn a_recovery_code_mends_a_vault_whose_passphrase_slot_was_lost() {
    let mut world = World::empty();
    world.file("new", "another horse battery staple");
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    world.run(&["init", "--recovery-file", "code"]).ok();
    world.run(&["generate", "a"]).ok();
    tamper(&world, "DELETE FROM slot WHERE id = (SELECT min(id) FROM slot)");
    world.run(&["list"]).fails(4, "");
    let recover = ["vault", "recover", "--code-file", "code", "--new-passphrase-file", "new"];
    world.run(&[&recover[..], &["--recovery-file", "code2"]].concat()).ok();
    world.set("KEYVAULT_PASSPHRASE", "another horse battery staple");
    world.run(&["vault", "check"]).ok();
    world.run(&["show", "a", "--reveal"]).ok();
}

#[test]
fn a_change_made_while_another_command_waits_is_not_rolled_back_in_silence() {
    let world = World::own();
    world.run_with_input(&["add", "k"], "one").ok();
    let before = std::fs::read(world.vault()).unwrap();
    let mut waiting = world.command(KEYVAULT);
    waiting
        .args(["rotate", "k", "--stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = waiting.spawn().unwrap();
    let opened = || {
        let folder = format!("/proc/{}/fd", child.id());
        let links =
            std::fs::read_dir(folder).unwrap().filter_map(|link| std::fs::read_link(link.ok()?.path()).ok());
        links.into_iter().any(|path| path == world.vault())
    };
    while !opened() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    world.run_with_input(&["add", "x"], "acknowledged").ok();
    // In place, so that it is the same file.
    let file = std::fs::OpenOptions::new().write(true).open(world.vault()).unwrap();
    file.write_all_at(&before, 0).unwrap();
    file.set_len(before.len() as u64).unwrap();
    drop(file);
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"two").unwrap();
    let ran = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(5), "{said}");
    assert!(said.contains("was put back"), "{said}");
}

#[test]
fn a_log_that_was_cut_names_the_first_entry_that_is_missing() {
    let world = World::own();
    world.run(&["generate", "k"]).ok();
    world.run(&["show", "k", "--reveal"]).ok();
    world.run(&["show", "nobody", "--reveal"]).fails(3, "");
    world.run(&["export", "--only", "k"]).ok();
    let log = world.run(&["audit", "log", "--json"]).ok().out;
    let entries: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(entries.iter().all(|entry| entry["outcome"] == "done"), "{log}");
    let count = entries.len();
    assert!(count >= 4, "{log}");
    for missing in [count - 1, count - 2] {
        tamper(&world, &format!("DELETE FROM audit WHERE seq = {missing}"));
        let said = world.run(&["audit", "verify"]).fails(5, "cut off").err;
        assert!(said.contains(&format!("entry {missing}")), "{said}");
    }
}

/// A clock that is told what to say.
struct Told(Cell<i64>);

impl Clock for Told {
    fn now(&self) -> Moment {
        Moment(self.0.get())
    }
}

#[test]
fn a_rotation_with_a_clock_in_the_past_does_not_wipe_the_version_as_soon_as_it_is_right() {
    const HOUR: i64 = 3_600_000;
    let world = World::own();
    for name in ["other", "k", "graced"] {
        world.run_with_input(&["add", name], "one").ok();
    }
    let now = SystemClock.now().0;
    let clock = Told(Cell::new(0));
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
    let mut vault = Vault::open(&world.vault(), &vault_world.pins).unwrap();
    let access = vault.open_passphrase(&passphrase).unwrap();
    // The battery is empty; then the clock is right, and two changes are more than an hour apart.
    for moment in [0, now + HOUR, now + 3 * HOUR, now + 5 * HOUR] {
        clock.0.set(moment);
        for (name, grace) in [("other", 0), ("k", 0), ("graced", HOUR)] {
            let name = || name.parse().unwrap();
            let item = vault.show(&access, &name()).unwrap().id;
            let value = NewValue { name: name(), item, value: SecretBytes::copy_from(b"next") };
            let terms = Terms { grace, ..Terms::default() };
            vault.rotate(&access, &vault_world, &Which::Names(vec![name()]), Some(value), terms).unwrap();
        }
    }
    for name in ["other", "k", "graced"] {
        let item = vault.show(&access, &name.parse().unwrap()).unwrap();
        let first = item.version(1).unwrap();
        assert_eq!(first.state, VersionState::Retired);
        assert!(first.digest.is_some(), "{name} was wiped 5 hours after it was replaced");
    }
}

/// Runs keyvault with the `when`th call of one kind failing. Each kind is counted by itself.
fn with_failing(world: &World, call: &str, when: usize, arguments: &[&str]) -> Ran {
    let mut strace = world.command("strace");
    let inject = format!("inject={call}:error=EIO:when={when}");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject, KEYVAULT]);
    finish(strace.args(arguments), b"")
}

#[test]
fn an_init_whose_last_sync_fails_keeps_the_code_of_the_vault_that_it_made() {
    let mut seen = 0;
    for when in 1..10 {
        let mut world = World::empty();
        world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
        let ran = with_failing(&world, "fsync", when, &["init", "--recovery-file", "code"]);
        let (vault, code) = (world.vault().exists(), world.home().join("code").exists());
        assert!(!vault || code, "{when}: there is a vault, and its code is gone: {}", ran.err);
        seen += u32::from(vault && ran.code != 0);
    }
    assert!(seen > 0, "no sync failed behind the move");
}

#[test]
fn a_restore_whose_commit_fails_does_not_say_that_nothing_happened() {
    let mut seen = 0;
    for (call, when) in (1..14).map(|when| ("fdatasync", when)).chain((1..4).map(|when| ("fsync", when))) {
        let world = World::own();
        world.run_with_input(&["add", "k"], "one").ok();
        world.run(&["vault", "backup", "b"]).ok();
        world.run_with_input(&["add", "later"], "two").ok();
        let ran = with_failing(&world, call, when, &["vault", "restore", "b", "--yes"]);
        let unsure = ran.err.contains("or not");
        assert!(!unsure || ran.err.contains("vault.db"), "{call} {when}: {}", ran.err);
        drop_side_files(&world.vault());
        std::fs::remove_dir_all(world.pins()).ok();
        let replaced = world.run(&["show", "later"]).code != 0;
        assert!(ran.code == 0 || unsure || !replaced, "{call} {when}: done, and said not to be: {}", ran.err);
        seen += u32::from(ran.code != 0 && unsure);
    }
    assert!(seen > 0, "no commit failed");
}
