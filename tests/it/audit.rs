//! `audit log` and `audit verify`: every change is in the log, and a log that was cut is not shown as whole.

use pretty_assertions::assert_eq;

use crate::harness::vault_file::tamper;
use crate::harness::{PASSPHRASE, World};

#[test]
fn every_change_leaves_a_clean_vault_and_a_line_in_the_log() {
    let world = World::new();
    for line in [
        &["generate", "a", "--scope", "s"][..],
        &["rotate", "a", "--grace", "1h"],
        &["rollback", "a"],
        &["revoke", "a", "--version", "2"],
        &["rotate", "--scope", "s"],
        &["revoke", "a"],
    ] {
        world.run(line).ok();
        world.run(&["vault", "check"]).ok();
    }
    let log = world.run(&["audit", "log", "--json"]).ok().out;
    let actions: Vec<_> = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["action"].clone())
        .collect();
    assert_eq!(actions, ["init", "generate", "rotate", "rollback", "revoke", "rotate", "revoke"]);
}

#[test]
fn a_log_that_was_cut_is_not_shown_as_whole() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    world.run(&["show", "a", "--reveal"]).ok();
    tamper(&world, "DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit);");
    world.run(&["audit", "log"]).fails(5, "");
    world.run(&["audit", "log", "--json"]).fails(5, "");
}

/// A pipe gives a passphrase once.
#[test]
fn audit_verify_reads_a_passphrase_once() {
    let mut world = World::own();
    world.unset("KEYVAULT_PASSPHRASE");
    let verify = "KEYVAULT_PASSPHRASE_FILE=- keyvault audit verify";
    let ran = world.sh(&format!("printf '%s' '{}' | {verify}", PASSPHRASE)).ok();
    assert!(ran.out.contains("from the start"), "{}", ran.out);
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

#[test]
fn no_entry_of_the_log_names_a_version_that_does_not_exist() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    world.run(&["rotate", "a"]).ok();
    world.run(&["revoke", "a", "--version", "2"]).ok();
    world.run(&["rollback", "a"]).ok();
    world.run(&["revoke", "a"]).ok();
    world.run(&["remove", "a", "--yes"]).ok();
    let log = world.run(&["audit", "log"]).ok().out;
    assert!(!log.contains("version 0") && !log.contains(" v0"), "{log}");
}
