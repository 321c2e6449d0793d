//! Keys that a scope or `--all` chooses and that are not handed out: each is named, and `--strict` refuses.

use pretty_assertions::assert_eq;

use crate::harness::bearer::{held, token, with_keys};
use crate::harness::{Ran, World};

/// Scope `s` with the keys `a` (good), `r` (revoked), `d` (disabled), and `w`, which has one good version before a revoked one.
fn filled() -> World {
    let world = World::new();
    for name in ["a", "r", "d"] {
        world.run_with_input(&["add", name, "--scope", "s"], format!("value-{name}")).ok();
    }
    world.run(&["revoke", "r"]).ok();
    world.run(&["disable", "d"]).ok();
    world
}

fn exec(world: &World, flags: &[&str]) -> Ran {
    world.run(&[&["exec"], flags, &["--", "sh", "-c", "echo $A${R-} ${D-}"]].concat())
}

const REVOKED: &str = "warning: Left out, because it is revoked: r.\n";

#[test]
fn revoked_keys_are_named_wherever_they_are_left_out() {
    let world = filled();
    world.run(&["enable", "d"]).ok();
    for flags in [
        &["--scope", "s"][..],
        &["--all"],
        &["--scope", "s", "--only", "a"],
        &["--scope", "s", "--mask"],
        &["--scope", "s", "--watch"],
        &["--scope", "s", "--file", "F=a"],
    ] {
        assert_eq!(exec(&world, flags).ok().err, REVOKED, "{flags:?}");
    }
    exec(&world, &["--scope", "s", "--dry-run"]).is(0, "A <- a\nD <- d\n", REVOKED);
    let json = exec(&world, &["--scope", "s", "--dry-run", "--json"]).ok().json();
    assert_eq!(json["skipped"], serde_json::json!([{ "name": "r", "reason": "revoked" }]));
    // Not chosen by a scope.
    assert_eq!(exec(&world, &["--only", "a"]).ok().err, "");
    assert_eq!(
        exec(&world, &["--only", "a", "--dry-run", "--json"]).ok().json()["skipped"],
        serde_json::json!([])
    );
    assert_eq!(world.run(&["export", "--scope", "s"]).ok().err, REVOKED);
}

#[test]
fn strict_refuses_a_scope_with_a_revoked_key() {
    let world = filled();
    world.run(&["enable", "d"]).ok();
    let refused = "
        error: Cannot release the keys:
          r: revoked
               Give a revoked key a new value with `keyvault rotate r`.
    ";
    let log = world.run(&["audit", "log", "--json"]).ok().out;
    for flags in [&["--scope", "s"][..], &["--all"], &["--all", "--mask"], &["--scope", "s", "--dry-run"]] {
        exec(&world, &[flags, &["--strict"]].concat()).fails_with(125, refused);
    }
    world.run(&["export", "--scope", "s", "--strict"]).fails_with(6, refused);
    assert_eq!(world.run(&["audit", "log", "--json"]).ok().out, log);
    world.run_with_input(&["rotate", "r", "--stdin"], "new").ok();
    exec(&world, &["--scope", "s", "--strict"]).prints("value-anew value-d\n");
    exec(&world, &["--scope", "s", "--strict", "--skip-expired"]).fails(125, "cannot be used with");
}

#[test]
fn disabled_keys_are_refused_and_named_where_they_are_left_out() {
    let world = filled();
    for flags in [&["--scope", "s"][..], &["--all"], &["--scope", "s", "--strict"]] {
        exec(&world, flags).fails(125, "d: disabled");
    }
    let both =
        "warning: Left out, because it is disabled: d.\nwarning: Left out, because it is revoked: r.\n";
    exec(&world, &["--scope", "s", "--skip-expired"]).is(0, "value-a\n", both);
    let json = exec(&world, &["--scope", "s", "--skip-expired", "--dry-run", "--json"]).ok().json();
    let skipped =
        serde_json::json!([{ "name": "d", "reason": "disabled" }, { "name": "r", "reason": "revoked" }]);
    assert_eq!(json["skipped"], skipped);
}

#[test]
fn a_bearer_hears_of_a_revoked_key_that_it_was_granted() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    world.run(&["revoke", "b"]).ok();
    let run = |flags: &[&str]| held(&world, &token, &[&["exec"], flags, &["--", "true"]].concat());
    let told = "warning: Left out, because it is revoked: b.\n";
    assert_eq!(run(&[]).ok().err, told);
    assert_eq!(run(&["--scope", "deploy"]).ok().err, told);
    run(&["--strict", "--all"]).fails(125, "b: revoked");
    run(&["--strict"]).fails(125, "b: revoked");
}
