//! `rollback`: which version comes back, and what its life is then.

use std::time::Duration;

use pretty_assertions::assert_eq;

use crate::harness::{World, hours, minutes};

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

#[test]
fn a_rollback_gives_no_value_a_new_life() {
    let world = World::new();
    world.run(&["generate", "e", "--expires", "1m"]).ok();
    world.advance(hours(2));
    world.run(&["rotate", "e", "--expires", "3h"]).ok();
    world.run(&["rollback", "e"]).ok();
    // Version 1 was made for the lifetime that version 2 has now: three hours from when it was made.
    let shown = world.run(&["show", "e", "--json"]).ok().json();
    assert_eq!(shown["expires"], "2040-05-17T11:00:00.000Z");
    world.run(&["generate", "f", "--expires", "1m"]).ok();
    world.advance(minutes(1));
    world.run(&["rotate", "f"]).ok();
    world
        .run(&["rollback", "f"])
        .prints("f is back at version 1; the key expires 2040-05-17 10:01 (just now)\n");
    world.run(&["show", "f", "--reveal"]).fails_with(
        6,
        "
            error: `f` is expired, so its value is not shown.
                   Extend it with `keyvault edit f --expires 30d`.
        ",
    );
}

#[test]
fn a_rotation_after_a_rollback_gives_the_lifetime_that_the_key_had() {
    let world = World::new();
    let moment = |json: &serde_json::Value| -> jiff::Timestamp { json.as_str().unwrap().parse().unwrap() };
    let lifetime = || {
        let expires = moment(&world.run(&["show", "a", "--json"]).ok().json()["expires"]);
        let history = world.run(&["history", "a", "--json"]).ok().json();
        let versions = history["versions"].as_array().unwrap();
        let current = versions.iter().find(|version| version["state"] == "current").unwrap();
        expires.duration_since(moment(&current["created"]))
    };
    world.run(&["generate", "a", "--expires", "1h"]).ok();
    let whole = lifetime();
    for _ in 0..2 {
        world.run(&["rotate", "a"]).ok();
        assert_eq!(lifetime(), whole);
    }
    world.run(&["rollback", "a", "--to", "1"]).ok();
    assert_eq!(lifetime(), whole);
    world.run(&["rotate", "a"]).ok();
    assert_eq!(lifetime(), whole);
}

#[test]
fn a_rollback_brings_back_the_version_replaced_last_and_goes_back_and_forth() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    let first = value(&world, "a");
    world.run(&["rollback", "a"]).fails_with(
        6,
        "
            error: `a` has no older version to return to.
                   Run `keyvault history a` to see its versions.
        ",
    );
    world.run(&["rotate", "a"]).ok();
    let second = value(&world, "a");
    assert_eq!(world.run(&["rollback", "a"]).ok().out, "a is back at version 1\n");
    assert_eq!(value(&world, "a"), first);
    states_are(&world, "a", &[(2, "retired"), (1, "current")]);
    assert_eq!(world.run(&["rollback", "a", "--to", "1"]).ok().out, "a was already at version 1\n");
    world.run(&["rollback", "a", "--to", "7"]).fails_with(
        3,
        "
            error: `a` has no version 7.
                   Run `keyvault history a` to see its versions.
        ",
    );
    world.run(&["rollback", "a"]).ok();
    assert_eq!(value(&world, "a"), second);
    world.run(&["rotate", "a"]).ok();
    states_are(&world, "a", &[(3, "current"), (2, "retired"), (1, "retired")]);
}

#[test]
fn case_86_a_clock_that_steps_back_between_two_rotations_changes_no_order() {
    for step in [Duration::from_millis(2), Duration::from_secs(3600)] {
        let world = World::new();
        world.run_with_input(&["add", "a"], "one").ok();
        world.at(&(world.time() - step).to_string());
        world.run_with_input(&["rotate", "a", "--stdin"], "two").ok();
        world.advance(Duration::from_secs(60));
        world.run_with_input(&["rotate", "a", "--stdin"], "three").ok();
        world.advance(Duration::from_secs(60));
        world.run(&["rollback", "a"]).ok();
        assert_eq!(value(&world, "a"), "two", "{step:?}");
    }
}
