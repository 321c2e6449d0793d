//! Case 4 of the fault catalogue: a vault that was put back or went on elsewhere raises an alarm, and what is right
//! raises none. The pin, its number, and other machines that see the same file.

use std::path::PathBuf;

use pretty_assertions::assert_eq;

use crate::harness::vault_file::{filled, put_back};
use crate::harness::{Ran, World};

/// A second machine: its own memory of the vault, the same file.
fn elsewhere(world: &World, line: &str) -> Ran {
    let state = world.path().join("elsewhere");
    world.sh(&format!("export XDG_STATE_HOME='{}'; {line}", state.display()))
}

fn add(world: &World, name: &str, value: &str) {
    world.run_with_input(&["add", name], value).ok();
}

#[test]
fn an_adoption_here_is_no_fork_on_a_machine_that_saw_the_adopted_state() {
    let world = World::new();
    world.run(&["generate", "k1"]).ok();
    elsewhere(&world, "keyvault generate k2").ok();
    let adopted = std::fs::read(world.vault()).unwrap();
    world.run(&["generate", "k3"]).ok();
    put_back(&world, &adopted);
    world.run(&["vault", "restore", "--adopt", "--yes"]).ok();
    elsewhere(&world, "keyvault exec --all -- true").ok();
    elsewhere(&world, "keyvault generate k4").ok();
}

#[test]
fn a_moved_vault_is_silent_and_an_older_copy_is_said_to_be_older() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    let older = world.home().join("older.db");
    std::fs::copy(world.vault(), &older).unwrap();
    let moved = world.home().join("moved.db");
    world.run(&["generate", "b"]).ok();
    std::fs::copy(world.vault(), &moved).unwrap();
    let exec = |vault: &std::path::Path, key: &str| {
        world.run(&["--vault", vault.to_str().unwrap(), "exec", "--only", key, "--", "true"]).ok()
    };
    assert_eq!(exec(&moved, "b").err, "");
    let said = exec(&older, "a").err;
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("This copy is at change"), "{said}");
}

#[test]
fn a_machine_that_cannot_remember_says_so_and_the_change_stands() {
    let mut world = World::new();
    world.set("XDG_STATE_HOME", "/proc/nowhere");
    let made = world.run(&["generate", "a"]).ok();
    assert!(made.err.contains("could not record it"), "{}", made.err);
    world.run(&["show", "a"]).ok();
}

#[test]
fn an_alarm_is_said_wherever_the_vault_is_looked_at() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    let older = std::fs::read(world.vault()).unwrap();
    world.run(&["generate", "b"]).ok();
    put_back(&world, &older);
    for command in [&["list"] as &[&str], &["show", "a"]] {
        let ran = world.run(command).ok();
        assert!(ran.err.contains("older than the state this machine last saw"), "{command:?}: {}", ran.err);
    }
    world.run(&["exec", "--all", "--dry-run", "--", "true"]).fails(125, "was rolled back");
    world.run(&["exec", "--all", "--", "true"]).fails(125, "was rolled back");
}

#[test]
fn case_4_a_whole_file_that_was_rolled_back_alarms_until_it_is_adopted() {
    let world = filled();
    let old = std::fs::read(world.vault()).unwrap();
    world.run(&["edit", "a", "--note", "later"]).ok();
    put_back(&world, &old);
    world.run(&["show", "a", "--reveal"]).fails(5, "vault restore --adopt");
    world.run(&["exec", "--only", "a", "--", "true"]).fails(125, "vault restore --adopt");
    world.run(&["edit", "a", "--note", "z"]).fails(5, "rolled back");
    world.run(&["list"]).ok();
    let check = world.run(&["vault", "check"]);
    assert!(
        check.code == 5 && check.out.contains("older than the state this machine last saw"),
        "{}",
        check.out
    );
    world.run(&["vault", "restore", "--adopt"]).ok();
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok().out, "value-a");
    world.run(&["vault", "check"]).ok();
    world.run(&["audit", "verify"]).ok();
    let log = world.run(&["audit", "log", "--action", "adopt"]).ok();
    assert!(log.out.contains("supersedes"), "{}", log.out);
}

#[test]
fn case_4_a_fork_alarms_at_the_same_number_and_beyond_it() {
    let world = filled();
    let old = std::fs::read(world.vault()).unwrap();
    world.run(&["edit", "a", "--note", "here"]).ok();
    let pins: Vec<_> =
        world.every_file().into_iter().filter(|(path, _)| path.starts_with(world.pins())).collect();
    // The other branch, made where nobody remembers.
    put_back(&world, &old);
    std::fs::remove_dir_all(world.pins()).unwrap();
    for note in ["there", "further"] {
        world.run(&["edit", "a", "--note", note]).ok();
        let there: Vec<_> =
            world.every_file().into_iter().filter(|(path, _)| path.starts_with(world.pins())).collect();
        let write = |files: &[(PathBuf, Vec<u8>)]| {
            for (path, bytes) in files {
                std::fs::write(path, bytes).unwrap();
            }
        };
        write(&pins);
        world.run(&["show", "a", "--reveal"]).fails(5, "a different branch");
        world.run(&["list"]).ok();
        world.run(&["vault", "check"]).fails(5, "");
        write(&there);
    }
    for (path, bytes) in &pins {
        std::fs::write(path, bytes).unwrap();
    }
    world.run(&["vault", "restore", "--adopt"]).ok();
    world.run(&["show", "a", "--reveal"]).ok();
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_number_in_a_pin_cannot_end_a_vault() {
    let world = World::new();
    add(&world, "a", "1");
    let pin = std::fs::read_dir(world.pins()).unwrap().map(|entry| entry.unwrap().path());
    let pin = pin.into_iter().find(|path| path.extension().is_some_and(|it| it == "json")).unwrap();
    let mut text: serde_json::Value = serde_json::from_slice(&std::fs::read(&pin).unwrap()).unwrap();
    for number in [u64::MAX, (1 << 63) - 2] {
        text["change"] = number.into();
        std::fs::write(&pin, text.to_string()).unwrap();
        world.run(&["vault", "restore", "--adopt"]);
        world.run(&["list"]).ok();
        world.run(&["edit", "a", "--note", "x"]).ok();
    }
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_copy_that_is_older_is_named_by_what_looks_at_it_too() {
    let world = World::new();
    add(&world, "a", "1");
    world.run(&["vault", "backup", "copy"]).ok();
    world.run(&["revoke", "a"]).ok();
    for command in [&["show", "a"][..], &["list"], &["history", "a"], &["vault", "check"]] {
        let ran = world.run(&[command, &["--vault", "copy"]].concat()).ok();
        assert!(
            ran.err.contains("what was changed or revoked there is missing here"),
            "{command:?}: {}",
            ran.err
        );
    }
}

#[test]
fn what_only_looks_names_the_alarm_where_keys_are_at_hand() {
    let world = World::own();
    world.run(&["generate", "a"]).ok();
    let old = std::fs::read(world.vault()).unwrap();
    world.run(&["generate", "b"]).ok();
    world.run(&["unlock"]).ok();
    put_back(&world, &old);
    for command in [
        &["vault", "slot", "list"] as &[&str],
        &["audit", "verify"],
        &["vault", "backup", "copy"],
        &["status"],
    ] {
        let said = world.run(command).ok().err;
        assert!(said.contains("older than the state this machine last saw"), "{command:?}: {said}");
    }
    let status = world.run(&["status", "--json"]).ok().json();
    assert_eq!(status["alarm"], "older than the state this machine last saw");
    let doctor = world.run(&["doctor"]);
    assert!(doctor.code == 1 && doctor.out.contains("restore --adopt"), "{}", doctor.out);
    world.run(&["lock"]).ok();
    assert!(world.run(&["status", "--json"]).fails(4, "").json()["alarm"].is_null());
}
