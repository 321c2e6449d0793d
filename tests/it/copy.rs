//! `copy`: another key with the same value, and nothing else in common.

use pretty_assertions::assert_eq;

use crate::harness::World;

#[test]
fn a_copy_has_the_value_and_what_is_known_of_the_key_and_a_life_of_its_own() {
    let world = World::new();
    let whole = ["generate", "a", "--recipe", "hex", "--scope", "s", "--tag", "project=never", "--note", "n"];
    world.run(&[&whole[..], &["--expires", "30d"]].concat()).ok();
    world.run(&["rotate", "a"]).ok();
    let source = world.run(&["show", "a", "--json"]).ok().json();
    world.run(&["copy", "a", "b/c"]).ok();
    let mut copy = world.run(&["show", "b/c", "--json"]).ok().json();
    assert_eq!((&copy["version"], &copy["variable"]), (&1.into(), &"B_C".into()));
    for field in ["name", "variable", "version"] {
        copy[field] = source[field].clone();
    }
    assert_eq!(copy, source);
    let value = |name: &str| world.run(&["show", name, "--reveal"]).ok().out;
    assert_eq!(value("a"), value("b/c"));
    world.run(&["rotate", "b/c"]).ok();
    assert!(value("a") != value("b/c"));
    world.run(&["revoke", "a"]).ok();
    value("b/c");
    let log = world.run(&["audit", "log", "-n", "20"]).ok().out;
    assert!(log.contains("a v2  (copied to b/c)") && log.contains("b/c v1  (copy of a)"), "{log}");
    let last = world.run(&["audit", "log", "--action", "reveal", "--key", "a", "--json"]).ok().out;
    assert!(last.lines().next().unwrap().contains("copied to b/c"), "{last}");
    world.run(&["vault", "check"]).ok();
}

#[test]
fn no_copy_is_made_of_a_value_that_is_refused_or_over_another_key() {
    let world = World::own();
    for name in ["disabled", "expired", "revoked", "there"] {
        world.run_with_input(&["add", name], "value").ok();
    }
    world.run(&["disable", "disabled"]).ok();
    world.run(&["edit", "expired", "--expires", "2020-01-01"]).ok();
    world.run(&["revoke", "revoked"]).ok();
    for name in ["disabled", "expired", "revoked"] {
        world.run(&["copy", name, "new"]).fails(6, &format!("`{name}` is {name}"));
    }
    world.run(&["copy", "there", "revoked"]).fails(6, "Key `revoked` already exists.");
    world.run(&["copy", "missing", "new"]).fails(3, "No key named `missing`.");
    world.run(&["show", "new"]).fails(3, "No key named `new`.");
    world.run(&["copy", "there", "new", "--env", "OTHER"]).ok();
    assert_eq!(world.run(&["show", "new", "--json"]).ok().json()["variable"], "OTHER");
}
