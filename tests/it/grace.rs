//! The grace of a version: how long it is handed out beside the one that replaced it, and when it is not.

use std::time::Duration;

use pretty_assertions::assert_eq;

use crate::harness::{Ran, World, minutes};

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
fn the_version_before_is_good_on_the_day_on_which_the_new_one_is_revoked() {
    let world = World::new();
    world.run(&["generate", "g"]).ok();
    let first = value(&world, "g");
    world.run(&["rotate", "g", "--grace", "1h"]).ok();
    world.run(&["revoke", "g", "--version", "2"]).ok();
    let ran = world.run(&["exec", "--previous", "g", "--", "sh", "-c", "printf %s \"$G\""]).ok();
    assert_eq!(ran.out, first);
    world.run(&["exec", "--only", "g", "--", "true"]).fails_with(
        125,
        "
            error: Cannot release the keys:
              g: revoked
                   Give a revoked key a new value with `keyvault rotate g`.
        ",
    );
    world.run(&["revoke", "g"]).ok();
    world.run(&["exec", "--previous", "g", "--", "true"]).fails_with(
        125,
        "
            error: Cannot release the keys:
              g: revoked
                   Give a revoked key a new value with `keyvault rotate g`.
        ",
    );
}

#[test]
fn an_expired_key_refuses_its_version_in_grace_even_if_the_current_one_is_revoked() {
    let world = World::new();
    world.run(&["generate", "g"]).ok();
    world.run(&["rotate", "g", "--grace", "1h"]).ok();
    world.run(&["revoke", "g", "--version", "2"]).ok();
    world.run(&["edit", "g", "--expires", "2020-01-01"]).ok();
    world.run(&["show", "g", "--version", "1", "--reveal"]).fails_with(
        6,
        "
            error: `g` is expired, so its value is not shown.
                   Extend it with `keyvault edit g --expires 30d`.
        ",
    );
    world.run(&["exec", "--previous", "g", "--", "true"]).fails_with(
        125,
        "
            error: Cannot release the keys:
              g: expired on 2020-01-01 00:00
                   Extend expired keys (`keyvault edit g --expires 30d`), or leave them out (`--skip-expired`).
        ",
    );
}

#[test]
fn no_grace_reaches_past_the_expiry_that_the_key_had() {
    let world = World::new();
    world.run(&["generate", "c", "--expires", "2m"]).ok();
    world.run(&["rotate", "c", "--grace", "1h", "--expires", "never"]).ok();
    world.advance(Duration::from_secs(119));
    world.run(&["show", "c", "--version", "1", "--reveal"]).ok();
    world.advance(Duration::from_secs(1));
    world.run(&["show", "c", "--version", "1", "--reveal"]).fails_with(
        6,
        "
            error: Version 1 of `c` is retired.
                   Make it current again with `keyvault rollback c --to 1`.
        ",
    );
    world.run(&["exec", "--previous", "c", "--", "true"]).fails_with(
        125,
        "
            error: Cannot release the keys:
              c: no previous version is within its grace period
        ",
    );
    world.run(&["generate", "e", "--expires", "1m"]).ok();
    world.run(&["rotate", "e", "--grace", "1h", "--expires", "2m"]).ok();
    world.advance(minutes(2));
    world.run(&["rotate", "e", "--grace", "1h", "--expires", "9d"]).ok();
    world.run(&["show", "e", "--version", "1", "--reveal"]).fails_with(
        6,
        "
            error: Version 1 of `e` is retired.
                   Make it current again with `keyvault rollback e --to 1`.
        ",
    );
    world.run(&["show", "e", "--version", "2", "--reveal"]).fails_with(
        6,
        "
            error: Version 2 of `e` is retired.
                   Make it current again with `keyvault rollback e --to 2`.
        ",
    );
    world.run(&["rotate", "e", "--expires", "2020-01-01"]).fails_with(
        2,
        "
            error: The value of `--expires` is in the past.
                   See its usage with `keyvault rotate --help`.
        ",
    );
}

#[test]
fn in_its_grace_the_version_before_is_handed_out_on_demand() {
    let world = World::new();
    world.run(&["generate", "a", "--scope", "s"]).ok();
    let first = value(&world, "a");
    world
        .run(&["rotate", "a", "--grace", "24h"])
        .prints("a is now at version 2; version 1 stays valid until 2040-05-18 08:00 (in 1d)\n");
    states_are(&world, "a", &[(2, "current"), (1, "previous")]);
    assert_eq!(injected(&world, &["--previous", "a"]).ok().out, first);
    assert_eq!(injected(&world, &["--scope", "s", "--previous", "a"]).ok().out, first);
    assert_eq!(injected(&world, &["--scope", "s"]).ok().out, value(&world, "a"));
    assert_eq!(world.run(&["show", "a", "--reveal", "--version", "1"]).ok().out, first);
    let log = world.run(&["audit", "log", "--action", "reveal", "--json"]).ok().out;
    assert!(log.lines().last().unwrap().contains(r#""version":1"#), "{log}");
}

#[test]
fn a_grace_that_an_expired_key_does_not_get_is_named() {
    let world = World::new();
    world.run(&["generate", "a", "--expires", "1m"]).ok();
    world.run(&["generate", "b"]).ok();
    world.run(&["revoke", "b"]).ok();
    world.advance(minutes(1));
    for name in ["a", "b"] {
        world.run(&["rotate", name, "--grace", "1h", "--expires", "30d"]).is(
            0,
            &format!("{name} is now at version 2; the key expires 2040-06-16 08:01 (in 30d)\n"),
            &format!(
                "{name} gets no grace period: an expired or revoked version does not become valid again.\n"
            ),
        );
    }
    world.run(&["rotate", "a", "--grace", "1h"]).prints("
            a is now at version 3; version 2 stays valid until 2040-05-17 09:01 (in 1h); the key expires 2040-06-16 08:01 (in 30d)
        ");
}
