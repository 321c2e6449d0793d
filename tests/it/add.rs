//! `add`: which name and which bytes become a key.

use pretty_assertions::assert_eq;

use crate::harness::{World, no_key};

#[test]
fn an_existing_name_is_refused_with_6_and_nothing_changes() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    let before = world.run(&["show", "a", "--reveal"]).ok().out;
    world.run(&["generate", "a"]).fails_with(6, "
            error: Key `a` already exists.
                   Nothing was changed. Give a key a new value with `keyvault rotate`, or replace keys from a file with `keyvault import --on-conflict replace`.
        ");
    world.run_with_input(&["add", "a"], "other").fails_with(6, "
            error: Key `a` already exists.
                   Nothing was changed. Give a key a new value with `keyvault rotate`, or replace keys from a file with `keyvault import --on-conflict replace`.
        ");
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok().out, before);
}

#[test]
fn stdin_is_taken_byte_for_byte_but_for_one_final_newline() {
    let world = World::new();
    world.run_with_input(&["add", "a"], "x\n\n").is(
        0,
        "
            name         a
            variable     A
            version      1
            scopes       -
            status       active
            created      2040-05-17 08:00 (just now)
            expires      never
            fingerprint  xxxxxxxxxxxx
        ",
        "Dropped a final newline. `--exact` keeps it.\n",
    );
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok().bytes, b"x\n");
    world.run_with_input(&["add", "b", "--exact"], "x\n").ok();
    assert_eq!(world.run(&["show", "b", "--reveal"]).ok().bytes, b"x\n");
    let file = world.file("value", b"\x00\xff\r\n");
    world.run(&["add", "c", "--file", file.to_str().unwrap()]).ok();
    assert_eq!(world.run(&["show", "c", "--reveal"]).ok().bytes, b"\x00\xff\r\n");
}

/// The program that was to write the value had failed, and the key was there, with nothing in it.
#[test]
fn an_empty_pipe_makes_no_key() {
    let world = World::own();
    world.sh("false | keyvault add a").fails_with(
        2,
        "
            error: The value is empty. The program that should have written it may have failed.
                   Nothing was changed. If an empty value is intended, use `--file /dev/null`.
        ",
    );
    world.run(&["show", "a"]).fails_with(3, &no_key("a"));
    world.sh("false | keyvault add a --file -").fails_with(
        2,
        "
            error: The value is empty. The program that should have written it may have failed.
                   Nothing was changed. If an empty value is intended, use `--file /dev/null`.
        ",
    );
    world.run(&["add", "a", "--file", "/dev/null"]).ok();
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok().out, "");
}
