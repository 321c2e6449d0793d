//! `show`: what is shown of a key and of its versions.

use pretty_assertions::assert_eq;

use crate::harness::{KEYVAULT, World};

#[test]
fn a_generated_key_is_shown_without_its_value_and_revealed_on_demand() {
    let world = World::new();
    let made =
        world.run(&["generate", "stripe/live", "--scope", "payments", "--expires", "90d", "--json"]).ok();
    let json = made.json();
    assert_eq!(json["name"], "stripe/live");
    assert_eq!(json["variable"], "STRIPE_LIVE");
    assert_eq!(json["version"], 1);
    assert_eq!(json["status"], "active");
    assert_eq!(json["entropy_bits"], 256);
    assert!(json.get("value").is_none());
    let value = world.run(&["show", "stripe/live", "--reveal"]).ok();
    assert!(value.out.starts_with("kv_") && value.out.len() == 52, "{}", value.out);
    assert!(!made.out.contains(&value.out));
}

#[test]
fn what_is_shown_of_a_version_is_that_versions() {
    let world = World::new();
    world.run(&["generate", "g"]).ok();
    let first = world.run(&["show", "g", "--json"]).ok().json();
    let rotated = world.run(&["rotate", "g", "--grace", "1h", "--json"]).ok().json();
    assert_eq!(rotated["keys"][0]["previous"]["version"], 1);
    let shown = world.run(&["show", "g", "--version", "1", "--reveal", "--json"]).ok().json();
    assert_eq!((&shown["version"], &shown["fingerprint"]), (&first["version"], &first["fingerprint"]));
    assert!(shown["value"].is_string());
}

/// At the terminal's width it became two lines, and no entry of an `authorized_keys` file.
#[test]
fn a_public_key_stays_one_line_on_a_terminal() {
    let world = World::own();
    world.run(&["generate", "deploy/of-the-office-and-at-home", "--recipe", "ssh-ed25519"]).ok();
    let ran =
        world.sh(&format!("script -qec 'stty cols 60; {KEYVAULT} show deploy/of-the-office-and-at-home --public' /dev/null | tr -d '\\r'")).ok();
    assert_eq!(ran.out, world.run(&["show", "deploy/of-the-office-and-at-home", "--public"]).ok().out);
}
