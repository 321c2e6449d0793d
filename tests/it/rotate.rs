//! `rotate`: where the new value comes from, which keys it takes, and two at once.

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
fn a_generated_key_repeats_its_recipe_and_the_version_before_is_refused() {
    let world = World::new();
    world.run(&["generate", "a", "--recipe", "hex", "--length", "20"]).ok();
    let first = value(&world, "a");
    assert_eq!(world.run(&["rotate", "a"]).ok().out, "a is now at version 2\n");
    let second = value(&world, "a");
    assert_eq!((first.len(), second.len()), (40, 40));
    assert_ne!(first, second);
    states_are(&world, "a", &[(2, "current"), (1, "retired")]);
    world.run(&["show", "a", "--reveal", "--version", "1"]).fails(6, "rollback a --to 1");
    injected(&world, &["--previous", "a"]).fails(125, "in its grace");
    assert_eq!(injected(&world, &["--only", "a"]).ok().out, second);
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
    let ran = world.run(&["rotate", "--scope", "s"]).fails(2, "each needs a new value: b, c.");
    assert_eq!(ran.out, "");
    states_are(&world, "a", &[(1, "current")]);
    world.run_with_input(&["rotate", "a", "b", "--stdin"], "x").fails(2, "Only one key can be given a value");
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
    world.run(&["rotate", "--scope", "none"]).fails(3, "No key has the scope `none`");
}

#[test]
fn expired_keys_are_rotated_to_the_same_lifetime_anew_and_none_due_is_0() {
    let world = World::new();
    world.run(&["generate", "a", "--expires", "2h"]).ok();
    let none = world.run(&["rotate", "--expired"]).ok();
    assert_eq!((none.out.as_str(), none.err.as_str()), ("", "No keys are due. Nothing was changed.\n"));
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
fn a_jobs_stdin_becomes_no_value_unless_the_job_named_the_key() {
    let world = World::new();
    world.run_with_input(&["add", "b", "--scope", "s"], "v1").ok();
    world.run_with_input(&["rotate", "--scope", "s"], "swallowed").fails(2, "b");
    world.run(&["rotate", "--scope", "s"]).fails(2, "b");
    world.run(&["edit", "b", "--expires", "2020-01-01"]).ok();
    world.run_with_input(&["rotate", "--expired", "--expires", "9d"], "swallowed").fails(2, "b");
    world.run(&["edit", "b", "--expires", "never"]).ok();
    world.run(&["rotate", "b"]).fails(2, "No new value given");
    assert_eq!(value(&world, "b"), "v1");
    world.run_with_input(&["rotate", "b"], "v2").ok();
    assert_eq!(value(&world, "b"), "v2");
    world.run(&["rotate", "b", "--stdin"]).ok();
    assert_eq!(value(&world, "b"), "");
}

#[test]
fn a_scope_of_revoked_keys_and_a_grace_below_nothing_are_told_so() {
    let world = World::new();
    world.run(&["generate", "a", "--scope", "s"]).ok();
    world.run(&["rotate", "a", "--grace", "-1h"]).fails(2, "is negative");
    world.run(&["rotate", "a", "--grace", "9999999w"]).fails(2, "longer than 100 years");
    world.run(&["revoke", "a"]).ok();
    let said = world.run(&["rotate", "--scope", "s"]).ok().err;
    assert_eq!(said, "Every key with this scope is revoked. Nothing was changed.\n");
}
