//! `edit`: it changes what it names, and the value stays.

use pretty_assertions::assert_eq;

use crate::harness::World;

#[test]
fn edit_changes_what_it_names_and_the_value_stays() {
    let world = World::new();
    world.run(&["generate", "a", "--scope", "one", "--tag", "team=x", "--note", "first"]).ok();
    let value = world.run(&["show", "a", "--reveal"]).ok().out;
    world
        .run(&[
            "edit",
            "a",
            "--rename",
            "b",
            "--scope",
            "two",
            "--unscope",
            "one",
            "--untag",
            "team",
            "--env",
            "B_KEY",
        ])
        .ok();
    let json = world.run(&["show", "b", "--json"]).ok().json();
    assert_eq!(json["scopes"], serde_json::json!(["two"]));
    assert_eq!(json["tags"], serde_json::json!({}));
    assert_eq!(json["variable"], "B_KEY");
    assert_eq!(json["note"], "first");
    assert_eq!(world.run(&["show", "b", "--reveal"]).ok().out, value);
    world.run(&["show", "a"]).fails(3, "No key named `a`");
    world.run(&["exec", "--scope", "one", "--", "true"]).fails(125, "no key has it");
    world.run(&["vault", "check"]).ok();
}
