//! The life of a key after its birth: rotate, rollback, revoke, history.

use pretty_assertions::assert_eq;

use crate::harness::{Ran, World};

fn value(world: &World, name: &str) -> String {
    world.run(&["show", name, "--reveal"]).ok().out
}

/// (version, state) of a key, newest first.
fn states(world: &World, name: &str) -> Vec<(u64, String)> {
    let history = world.run(&["history", name, "--json"]).ok().json();
    let versions = history["versions"].as_array().unwrap().clone();
    versions
        .iter()
        .map(|version| (version["version"].as_u64().unwrap(), version["state"].as_str().unwrap().to_owned()))
        .collect()
}

fn states_are(world: &World, name: &str, expected: &[(u64, &str)]) {
    let expected: Vec<_> = expected.iter().map(|(number, state)| (*number, (*state).to_owned())).collect();
    assert_eq!(states(world, name), expected);
}

fn injected(world: &World, arguments: &[&str]) -> Ran {
    let mut whole = vec!["exec"];
    whole.extend(arguments);
    whole.extend(["--", "sh", "-c", "printf %s \"$A\""]);
    world.run(&whole)
}

#[test]
fn case_23_two_that_rotate_at_once_come_one_after_the_other_and_both_versions_are_kept() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    for round in 0..10 {
        let ran = world
            .sh("keyvault rotate a >o1 & one=$!; keyvault rotate a >o2; echo $?; wait $one; echo $?")
            .ok();
        assert_eq!(ran.out, "0\n0\n", "{round}: {}", ran.err);
    }
    let history = world.run(&["history", "a", "--json"]).ok().json();
    let versions = history["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 21, "{history}");
    let fingerprints: std::collections::BTreeSet<_> =
        versions.iter().map(|version| version["fingerprint"].to_string()).collect();
    assert_eq!(fingerprints.len(), 21);
    let numbers: std::collections::BTreeSet<_> =
        versions.iter().map(|version| version["version"].as_u64()).collect();
    assert_eq!(numbers, (1..=21).map(Some).collect());
    world.run(&["vault", "check"]).ok();
}

#[test]
fn case_21_a_command_that_was_killed_after_its_commit_may_be_given_again() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    world.run(&["vault", "slot", "add", "keyfile", "k"]).ok();
    // Killed when it was about to answer: the change is made, and nobody was told.
    let killed = |arguments: &[&str]| {
        let mut strace = world.command("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=exit_group"]);
        strace.args(["-e", "inject=exit_group:signal=KILL", crate::harness::KEYVAULT]).args(arguments);
        assert_ne!(crate::harness::finish(&mut strace, b"").code, 0);
    };
    for (again, code) in [
        (&["edit", "a", "--expires", "2030-01-01", "--scope", "s"] as &[&str], 0),
        (&["revoke", "a", "--reason", "r"], 0),
        (&["remove", "a", "--yes"], 3),
        (&["generate", "a"], 6),
        (&["vault", "slot", "remove", "3", "--yes"], 3),
        (&["vault", "backup", "b"], 6),
    ] {
        killed(again);
        let ran = world.run(again);
        assert_eq!(ran.code, code, "{again:?}: {}", ran.err);
        world.run(&["vault", "check"]).ok();
    }
}

#[test]
fn a_generated_key_repeats_its_recipe_and_the_version_before_is_refused() {
    let world = World::new();
    world.run(&["generate", "a", "--recipe", "hex", "--length", "20"]).ok();
    let first = value(&world, "a");
    assert_eq!(world.run(&["rotate", "a"]).ok().out, "a is at version 2\n");
    let second = value(&world, "a");
    assert_eq!((first.len(), second.len()), (40, 40));
    assert_ne!(first, second);
    states_are(&world, "a", &[(2, "current"), (1, "retired")]);
    world.run(&["show", "a", "--reveal", "--version", "1"]).fails(6, "rollback a --to 1");
    injected(&world, &["--previous", "a"]).fails(125, "in its grace");
    assert_eq!(injected(&world, &["--only", "a"]).ok().out, second);
}

#[test]
fn in_its_grace_the_version_before_is_handed_out_on_demand() {
    let world = World::new();
    world.run(&["generate", "a", "--scope", "s"]).ok();
    let first = value(&world, "a");
    let said = world.run(&["rotate", "a", "--grace", "24h"]).ok().out;
    assert!(said.starts_with("a is at version 2; version 1 stays good until "), "{said}");
    states_are(&world, "a", &[(2, "current"), (1, "previous")]);
    assert_eq!(injected(&world, &["--previous", "a"]).ok().out, first);
    assert_eq!(injected(&world, &["--scope", "s", "--previous", "a"]).ok().out, first);
    assert_eq!(injected(&world, &["--scope", "s"]).ok().out, value(&world, "a"));
    assert_eq!(world.run(&["show", "a", "--reveal", "--version", "1"]).ok().out, first);
    let log = world.run(&["audit", "log", "--action", "reveal", "--json"]).ok().out;
    assert!(log.lines().last().unwrap().contains(r#""version":1"#), "{log}");
}

#[test]
fn an_added_key_takes_its_new_value_like_add() {
    let world = World::new();
    world.run_with_input(&["add", "a"], "one").ok();
    world.run_with_input(&["rotate", "a"], "two\n").ok();
    assert_eq!(value(&world, "a"), "two");
    let file = world.file("value", "three\n");
    world.run(&["rotate", "a", "--file", file.to_str().unwrap()]).ok();
    assert_eq!(value(&world, "a"), "three\n");
}

#[test]
fn a_given_value_overrides_a_recipe_which_is_then_forgotten() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    world.run_with_input(&["rotate", "a", "--stdin"], "mine").ok();
    assert_eq!(value(&world, "a"), "mine");
    world.run_with_input(&["rotate", "a"], "mine again").ok();
    assert_eq!(value(&world, "a"), "mine again");
}

#[test]
fn several_keys_of_which_some_need_a_value_are_listed_with_2_and_nothing_is_rotated() {
    let world = World::new();
    world.run(&["generate", "a", "--scope", "s"]).ok();
    world.run_with_input(&["add", "b", "--scope", "s"], "x").ok();
    world.run_with_input(&["add", "c", "--scope", "s"], "x").ok();
    let ran = world.run(&["rotate", "--scope", "s"]).fails(2, "each needs its new value: b, c.");
    assert_eq!(ran.out, "");
    states_are(&world, "a", &[(1, "current")]);
    world.run_with_input(&["rotate", "a", "b", "--stdin"], "x").fails(2, "One value is for one key");
}

#[test]
fn a_scope_is_rotated_whole_and_its_revoked_keys_stay_as_they_are() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        world.run(&["generate", name, "--scope", "s"]).ok();
    }
    world.run(&["revoke", "c"]).ok();
    let rotated = world.run(&["rotate", "--scope", "s", "--json"]).ok().json();
    let names: Vec<_> = rotated["keys"].as_array().unwrap().iter().map(|key| key["name"].clone()).collect();
    assert_eq!(names, ["a", "b"]);
    states_are(&world, "c", &[(1, "revoked")]);
    world.run(&["rotate", "--scope", "none"]).fails(3, "No key carries the scope none");
}

#[test]
fn expired_keys_are_rotated_to_the_same_lifetime_anew_and_none_due_is_0() {
    let world = World::new();
    world.run(&["generate", "a", "--expires", "2h"]).ok();
    let none = world.run(&["rotate", "--expired"]).ok();
    assert_eq!((none.out.as_str(), none.err.as_str()), ("", "No key is due; nothing was changed.\n"));
    let later = world.run(&["edit", "a", "--expires", "2020-01-01"]);
    later.ok();
    world.run(&["show", "a", "--reveal"]).fails(6, "expired");
    world.run(&["rotate", "--expired"]).fails(2, "--expires 90d");
    world.run(&["rotate", "--expired", "--expires", "90d", "--grace", "24h"]).ok();
    assert_eq!(value(&world, "a").len(), 52);
    // What had expired gets no grace.
    states_are(&world, "a", &[(2, "current"), (1, "retired")]);
    world.run(&["generate", "b", "--expires", "90d"]).ok();
    let said = world.run(&["rotate", "b"]).ok().out;
    assert!(said.contains("(in 90d)") || said.contains("(in 3mo)") || said.contains("in 89d"), "{said}");
}

#[test]
fn a_rollback_brings_back_the_version_replaced_last_and_goes_back_and_forth() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    let first = value(&world, "a");
    world.run(&["rollback", "a"]).fails(6, "no older version");
    world.run(&["rotate", "a"]).ok();
    let second = value(&world, "a");
    assert_eq!(world.run(&["rollback", "a"]).ok().out, "a is back at version 1\n");
    assert_eq!(value(&world, "a"), first);
    states_are(&world, "a", &[(2, "retired"), (1, "current")]);
    assert_eq!(world.run(&["rollback", "a", "--to", "1"]).ok().out, "a was already at version 1\n");
    world.run(&["rollback", "a", "--to", "7"]).fails(3, "a has no version 7");
    world.run(&["rollback", "a"]).ok();
    assert_eq!(value(&world, "a"), second);
    world.run(&["rotate", "a"]).ok();
    states_are(&world, "a", &[(3, "current"), (2, "retired"), (1, "retired")]);
}

#[test]
fn revoked_is_refused_at_once_everywhere_and_never_returns() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    world.run(&["rotate", "a", "--grace", "24h"]).ok();
    world.run(&["revoke", "a", "--reason", "found in a log"]).ok();
    injected(&world, &["--only", "a"]).fails(125, "revoked");
    injected(&world, &["--previous", "a"]).fails(125, "revoked");
    world.run(&["show", "a", "--reveal"]).fails(6, "revoked");
    world.run(&["rollback", "a"]).fails(6, "no older version");
    world.run(&["rollback", "a", "--to", "1"]).fails(6, "never returns");
    // Again is no harm, and the first reason stays.
    world.run(&["revoke", "a", "--reason", "again"]).ok();
    let history = world.run(&["history", "a", "--json"]).ok().json();
    assert_eq!(history["versions"][0]["reason"], "found in a log");
    world.run(&["rotate", "a"]).ok();
    states_are(&world, "a", &[(3, "current"), (2, "revoked"), (1, "revoked")]);
    assert_eq!(injected(&world, &["--only", "a"]).ok().out, value(&world, "a"));
}

#[test]
fn one_version_is_revoked_and_the_others_stay() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    let first = value(&world, "a");
    world.run(&["rotate", "a"]).ok();
    world.run(&["revoke", "a", "--version", "2"]).ok();
    world.run(&["show", "a", "--reveal"]).fails(6, "revoked");
    world.run(&["rollback", "a"]).ok();
    assert_eq!(value(&world, "a"), first);
    world.run(&["revoke", "a", "--version", "9"]).fails(3, "no version 9");
}

#[test]
fn wiped_is_nowhere_in_the_file_and_the_check_is_clean() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    world.run(&["revoke", "a", "--wipe"]).ok();
    let history = world.run(&["history", "a", "--json"]).ok().json();
    assert_eq!(history["versions"][0]["wiped"], true);
    let database = rusqlite::Connection::open(world.vault()).unwrap();
    for table in ["version_key", "version_value"] {
        let rows: u32 =
            database.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 0, "{table}");
    }
    drop(database);
    world.run(&["vault", "check"]).ok();
}

#[test]
fn history_tells_who_made_a_version_and_when_it_was_last_read_through_a_rename() {
    let world = World::new();
    world.run(&["generate", "old"]).ok();
    value(&world, "old");
    world.run(&["edit", "old", "--rename", "new"]).ok();
    world.run(&["rotate", "new"]).ok();
    let history = world.run(&["history", "new", "--json"]).ok().json();
    assert!(history["versions"][0]["last_read"].is_null());
    assert!(history["versions"][1]["last_read"].is_string());
    let text = world.run(&["history", "new"]).ok().out;
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("VER  STATE"), "{text}");
    assert!(lines[1].ends_with("never") && lines[2].starts_with("1    retired"), "{text}");
}

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
