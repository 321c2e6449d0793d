//! One vault seen from several machines, and what somebody may do who can write the file but has no key to it.

use pretty_assertions::assert_eq;

use crate::file::{put_back, tamper};
use crate::harness::{Ran, World};

/// A second machine: its own memory of the vault, the same file.
fn elsewhere(world: &World, line: &str) -> Ran {
    let state = world.path().join("elsewhere");
    world.sh(&format!("export XDG_STATE_HOME='{}'; {line}", state.display()))
}

#[test]
fn case_19_a_synced_folders_conflict_copies_are_named() {
    let world = World::new();
    let folder = world.vault().parent().unwrap().to_owned();
    assert_eq!(
        world.run(&["vault", "check", "--json"]).ok().json()["conflict_copies"],
        serde_json::json!([])
    );
    for name in [
        "vault (Ada's conflicted copy 2026-11-21).db",
        "vault.sync-conflict-20261121-101112-ABC.db",
        "vault-of-work.db",
    ] {
        std::fs::copy(world.vault(), folder.join(name)).unwrap();
    }
    let checked = world.run(&["vault", "check"]).ok();
    assert_eq!(checked.err.matches("A sync service left ").count(), 2, "{}", checked.err);
    assert!(
        checked.err.contains("Ada's conflicted copy") && !checked.err.contains("of-work"),
        "{}",
        checked.err
    );
}

#[test]
fn b1_a_forged_scope_row_hides_no_key() {
    let world = World::new();
    for name in ["a", "b", "c", "d"] {
        world.run(&["generate", name, "--scope", "s"]).ok();
    }
    tamper(
        &world,
        "CREATE TEMP TABLE gone AS SELECT tag FROM item LIMIT 1;
         DELETE FROM item WHERE tag = (SELECT tag FROM gone);
         INSERT INTO scope SELECT tag, 1, randomblob(100) FROM gone;",
    );
    world.run(&["list"]).fails(5, "");
    world.run(&["export", "--all"]).fails(5, "");
    world.run(&["exec", "--all", "--", "touch", "ran"]).fails(125, "");
    assert!(!world.home().join("ran").exists());
    world.run(&["vault", "check"]).fails(5, "");
}

#[test]
fn s2_an_adoption_here_is_no_fork_on_a_machine_that_saw_the_adopted_state() {
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
fn s4_a_log_that_was_cut_is_not_shown_as_whole() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    world.run(&["show", "a", "--reveal"]).ok();
    tamper(&world, "DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit);");
    world.run(&["audit", "log"]).fails(5, "");
    world.run(&["audit", "log", "--json"]).fails(5, "");
}

#[test]
fn s7_a_moved_vault_is_silent_and_an_older_copy_is_said_to_be_older() {
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
fn s13_a_machine_that_cannot_remember_says_so_and_the_change_stands() {
    let mut world = World::new();
    world.set("XDG_STATE_HOME", "/proc/nowhere");
    let made = world.run(&["generate", "a"]).ok();
    assert!(made.err.contains("could not remember it"), "{}", made.err);
    world.run(&["show", "a"]).ok();
}

#[test]
fn s16_an_alarm_is_said_wherever_the_vault_is_looked_at() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    let older = std::fs::read(world.vault()).unwrap();
    world.run(&["generate", "b"]).ok();
    put_back(&world, &older);
    for command in [&["list"] as &[&str], &["show", "a"]] {
        let ran = world.run(command).ok();
        assert!(ran.err.contains("older than what was last seen here"), "{command:?}: {}", ran.err);
    }
    world.run(&["exec", "--all", "--dry-run", "--", "true"]).fails(125, "was put back");
    world.run(&["exec", "--all", "--", "true"]).fails(125, "was put back");
}
