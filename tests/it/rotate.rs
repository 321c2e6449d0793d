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
    world.run(&["show", "a", "--reveal", "--version", "1"]).fails_with(
        6,
        "
            error: Version 1 of `a` is retired.
                   Make it current again with `keyvault rollback a --to 1`.
        ",
    );
    injected(&world, &["--previous", "a"]).fails_with(
        125,
        "
            error: Cannot release the keys:
              a: no previous version is within its grace period
        ",
    );
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
    let ran = world.run(&["rotate", "--scope", "s"]).fails_with(2, "
            error: These keys were not generated, so each needs a new value: b, c.
                   Nothing was changed. Rotate them one at a time with `keyvault rotate NAME`, which prompts for the value.
        ");
    assert_eq!(ran.out, "");
    states_are(&world, "a", &[(1, "current")]);
    world.run_with_input(&["rotate", "a", "b", "--stdin"], "x").fails_with(
        2,
        "
            error: Only one key can be given a value at a time.
                   Rotate the keys one at a time.
        ",
    );
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
    world.run(&["rotate", "--scope", "none"]).fails_with(
        3,
        "
            error: No key has the scope `none`.
                   Run `keyvault list` to see keys and their scopes.
        ",
    );
}

#[test]
fn expired_keys_are_rotated_to_the_same_lifetime_anew_and_none_due_is_0() {
    let world = World::new();
    world.run(&["generate", "a", "--expires", "2h"]).ok();
    world.run(&["rotate", "--expired"]).prints("No keys are due. Nothing was changed.\n");
    let later = world.run(&["edit", "a", "--expires", "2020-01-01"]);
    later.ok();
    world.run(&["show", "a", "--reveal"]).fails_with(
        6,
        "
            error: `a` is expired, so its value is not shown.
                   Extend it with `keyvault edit a --expires 30d`.
        ",
    );
    world.run(&["rotate", "--expired"]).fails_with(2, "
            error: `a` had expired before its version was created or rolled back, so there is no lifetime to repeat.
                   Nothing was changed. Set an expiry: `--expires 90d`, or `--expires never`.
        ");
    world.run(&["rotate", "--expired", "--expires", "90d", "--grace", "24h"]).ok();
    assert_eq!(value(&world, "a").len(), 52);
    // An expired version gets no grace.
    states_are(&world, "a", &[(2, "current"), (1, "retired")]);
    world.run(&["generate", "b", "--expires", "90d"]).ok();
    world.run(&["rotate", "b"]).prints("b is now at version 2; the key expires 2040-08-15 08:00 (in 90d)\n");
}

#[test]
fn a_jobs_stdin_becomes_no_value_unless_the_job_named_the_key() {
    let world = World::new();
    world.run_with_input(&["add", "b", "--scope", "s"], "v1").ok();
    world.run_with_input(&["rotate", "--scope", "s"], "swallowed").fails_with(2, "
            error: These keys were not generated, so each needs a new value: b.
                   Nothing was changed. Rotate them one at a time with `keyvault rotate NAME`, which prompts for the value.
        ");
    world.run(&["rotate", "--scope", "s"]).fails_with(2, "
            error: These keys were not generated, so each needs a new value: b.
                   Nothing was changed. Rotate them one at a time with `keyvault rotate NAME`, which prompts for the value.
        ");
    world.run(&["edit", "b", "--expires", "2020-01-01"]).ok();
    world.run_with_input(&["rotate", "--expired", "--expires", "9d"], "swallowed").fails_with(2, "
            error: These keys were not generated, so each needs a new value: b.
                   Nothing was changed. Rotate them one at a time with `keyvault rotate NAME`, which prompts for the value.
        ");
    world.run(&["edit", "b", "--expires", "never"]).ok();
    world.run(&["rotate", "b"]).fails_with(
        2,
        "
            error: No new value given. Nothing was changed.
                   If an empty value is intended, use `--stdin`.
        ",
    );
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
    world.run(&["rotate", "a", "--grace", "-1h"]).fails_with(2, "
            error: The value of `--grace` is negative; a duration is a number and s, m, h, d, w or y, such as 90d.
                   See its usage with `keyvault rotate --help`.
        ");
    world.run(&["rotate", "a", "--grace", "9999999w"]).fails_with(
        2,
        "
            error: The value of `--grace` is longer than 100 years, the longest duration.
                   See its usage with `keyvault rotate --help`.
        ",
    );
    world.run(&["revoke", "a"]).ok();
    world
        .run(&["rotate", "--scope", "s"])
        .prints("Every key with this scope is revoked. Nothing was changed.\n");
}
