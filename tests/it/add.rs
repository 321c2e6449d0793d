//! `add`: which name and which bytes become a key.

use pretty_assertions::assert_eq;

use crate::harness::World;

#[test]
fn an_existing_name_is_refused_with_6_and_nothing_changes() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    let before = world.run(&["show", "a", "--reveal"]).ok().out;
    world.run(&["generate", "a"]).fails(6, "rotate");
    world.run_with_input(&["add", "a"], "other").fails(6, "rotate");
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok().out, before);
}

#[test]
fn stdin_is_taken_byte_for_byte_but_for_one_final_newline() {
    let world = World::new();
    let added = world.run_with_input(&["add", "a"], "x\n\n").ok();
    assert!(added.err.contains("Dropped a final newline"), "{}", added.err);
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok().bytes, b"x\n");
    world.run_with_input(&["add", "b", "--exact"], "x\n").ok();
    assert_eq!(world.run(&["show", "b", "--reveal"]).ok().bytes, b"x\n");
    let file = world.file("value", b"\x00\xff\r\n");
    world.run(&["add", "c", "--file", file.to_str().unwrap()]).ok();
    assert_eq!(world.run(&["show", "c", "--reveal"]).ok().bytes, b"\x00\xff\r\n");
}

/// What was to write it had failed, and the key was there, with nothing in it.
#[test]
fn an_empty_pipe_makes_no_key() {
    let world = World::own();
    world.sh("false | keyvault add a").fails(2, "should have written it may have failed");
    world.run(&["show", "a"]).fails(3, "");
    world.sh("false | keyvault add a --file -").fails(2, "should have written it may have failed");
    world.run(&["add", "a", "--file", "/dev/null"]).ok();
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok().out, "");
}
