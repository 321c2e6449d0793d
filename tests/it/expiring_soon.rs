//! The line of `exec` about keys that expire soon: on a terminal, once a day for each vault, and not for short-lived keys.

use pretty_assertions::assert_eq;

use crate::harness::{KEYVAULT, World, days, hours};

/// The output of `exec` on a terminal.
fn exec(world: &World, name: &str) -> String {
    world
        .sh(&format!(
            "script -qec \"NO_COLOR=1 '{KEYVAULT}' exec --only {name} -- true\" /dev/null | tr -d '\\r'"
        ))
        .ok()
        .out
}

#[test]
fn it_is_said_once_a_day() {
    let world = World::own();
    world.run(&["generate", "a", "--expires", "10d"]).ok();
    world.run(&["generate", "b", "--expires", "10d"]).ok();
    assert_eq!(exec(&world, "a"), "");
    assert!(!world.home().join(".local/state/keyvault/expiring").exists());
    world.advance(days(5));
    let line = |name: &str, when: &str| format!("warning: Expiring soon: {name} ({when}).\n");
    assert_eq!(exec(&world, "a"), line("a", "in 5d"));
    assert_eq!(exec(&world, "a"), "");
    assert_eq!(exec(&world, "b"), "");
    world.advance(hours(25));
    assert_eq!(exec(&world, "b"), line("b", "in 4d"));
    // A clock that went back does not silence it.
    world.advance(hours(2));
    let told = world.time();
    world.at("2040-05-23T08:00:00Z");
    assert!(world.time() < told);
    assert_eq!(exec(&world, "b"), line("b", "in 4d"));
}

#[test]
fn a_pipe_neither_hears_of_it_nor_counts() {
    let world = World::own();
    world.run(&["generate", "a", "--expires", "10d"]).ok();
    world.advance(days(5));
    world.run(&["exec", "--only", "a", "--", "true"]).is(0, "", "");
    assert!(exec(&world, "a").contains("Expiring soon"));
}

#[test]
fn a_key_that_lives_less_than_a_week_is_left_out() {
    let world = World::own();
    world.run(&["generate", "short", "--expires", "6d"]).ok();
    world.run(&["generate", "long", "--expires", "7d"]).ok();
    assert_eq!(exec(&world, "short"), "");
    assert!(exec(&world, "long").contains("Expiring soon: long"));
}
