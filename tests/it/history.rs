//! `history`: who made a version, and when it was last read.

use crate::harness::World;

fn value(world: &World, name: &str) -> String {
    world.run(&["show", name, "--reveal"]).ok().out
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
