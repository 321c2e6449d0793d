//! `revoke`: refused everywhere from then on, and wiped where that was asked for.

use pretty_assertions::assert_eq;
use rusqlite::Connection;

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
fn revoked_is_refused_at_once_everywhere_and_never_returns() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    world.run(&["rotate", "a", "--grace", "24h"]).ok();
    world.run(&["revoke", "a", "--reason", "found in a log"]).ok();
    injected(&world, &["--only", "a"]).fails_with(
        125,
        "
            error: Cannot release the keys:
              a: revoked
                   Give a revoked key a new value with `keyvault rotate a`.
        ",
    );
    injected(&world, &["--previous", "a"]).fails_with(
        125,
        "
            error: Cannot release the keys:
              a: revoked
                   Give a revoked key a new value with `keyvault rotate a`.
        ",
    );
    world.run(&["show", "a", "--reveal"]).fails_with(
        6,
        "
            error: `a` is revoked, so its value is not shown.
                   Give it a new value with `keyvault rotate a`.
        ",
    );
    world.run(&["rollback", "a"]).fails_with(
        6,
        "
            error: `a` has no older version to return to.
                   A revoked version cannot come back. Give the key a new value: keyvault rotate a
        ",
    );
    world.run(&["rollback", "a", "--to", "1"]).fails_with(
        6,
        "
            error: Version 1 of `a` is revoked.
                   A revoked version cannot come back.
        ",
    );
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
    world.run(&["show", "a", "--reveal"]).fails_with(
        6,
        "
            error: `a` is revoked, so its value is not shown.
                   Give it a new value with `keyvault rotate a`.
        ",
    );
    world.run(&["rollback", "a"]).ok();
    assert_eq!(value(&world, "a"), first);
    world.run(&["revoke", "a", "--version", "9"]).fails_with(
        3,
        "
            error: `a` has no version 9.
                   Run `keyvault history a` to see its versions.
        ",
    );
}

#[test]
fn wiped_is_nowhere_in_the_file_and_the_check_is_clean() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    world.run(&["revoke", "a", "--wipe"]).ok();
    let history = world.run(&["history", "a", "--json"]).ok().json();
    assert_eq!(history["versions"][0]["wiped"], true);
    let database = Connection::open(world.vault()).unwrap();
    let rows: u32 = database.query_row("SELECT count(*) FROM version", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 0);
    drop(database);
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_version_that_cannot_be_rolled_back_is_not_said_to_be() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    world
        .run(&["revoke", "a", "--version", "1", "--wipe"])
        .prints("a version 1 is revoked and wiped, and no version is current: rotate it\n");
    world.run(&["generate", "b"]).ok();
    world.run(&["rotate", "b"]).ok();
    world
        .run(&["revoke", "b", "--version", "2"])
        .prints("b version 2 is revoked, and no version is current: rotate it or roll it back\n");
}

#[test]
fn a_second_revocation_gives_a_reason_where_there_was_none_and_says_where_one_stays() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    world.run(&["revoke", "a"]).ok();
    world
        .run(&["revoke", "a", "--reason", "leaked"])
        .prints("a is revoked; `keyvault rotate a` gives it a new value\n");
    world.run(&["revoke", "a", "--version", "1", "--reason", "other"]).is(
        0,
        "a version 1 is revoked, and no version is current: rotate it\n",
        "
            a was already revoked. `keyvault history a` keeps the first reason; the audit log has both.
        ",
    );
    world.run(&["history", "a"]).prints(
        "
            VER  STATE  AGE  FINGERPRINT  MADE BY  LAST READ
            1  revoked: leaked  0s  xxxxxxxxxxxx  ada@host  never
        ",
    );
}

#[test]
fn a_log_that_a_reader_kept_from_being_folded_is_said_to_be_there() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    let reader = Connection::open(world.vault()).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM object;").unwrap();
    world.run(&["revoke", "a", "--wipe"]).is(0, "a is revoked and wiped; `keyvault rotate a` gives it a new value\n", "
            warning: Done, but the write-ahead log stays next to the file until the next change (busy). Copy both.
        ");
    drop(reader);
    assert_eq!(world.run(&["generate", "b"]).ok().err, "");
}

#[test]
fn a_revoked_value_is_not_the_next_one_without_a_confirmation() {
    let world = World::new();
    world.run_with_input(&["add", "a"], "leaked").ok();
    world.run(&["revoke", "a"]).ok();
    world.run_with_input(&["rotate", "a"], "leaked").fails(6, "That is the value that was revoked.");
    world.run_with_input(&["rotate", "a"], "fresh").ok();
    world.run_with_input(&["rotate", "a", "--yes"], "leaked").ok();
}
