//! `show`: what is shown of a key and of its versions.

use pretty_assertions::assert_eq;

use crate::harness::{KEYVAULT, World};

#[test]
fn a_generated_key_is_shown_without_its_value_and_revealed_on_demand() {
    let world = World::new();
    let made =
        world.run(&["generate", "stripe/live", "--scope", "payments", "--expires", "90d", "--json"]).ok();
    let made = made.prints(r#"
            {"keys":[{"name":"stripe/live","variable":"STRIPE_LIVE","version":1,"display_name":null,"owner":null,"scopes":["payments"],"tags":{},"note":null,"public":false,"status":"active","disabled":null,"created":"2040-05-17T08:00:00.000Z","expires":"2040-08-15T08:00:00.000Z","recipe":"token","entropy_bits":256,"fingerprint":"xxxxxxxxxxxx","public_key":null,"previous":null}]}
        "#);
    world.run(&["show", "stripe/live"]).prints(
        "
            name         stripe/live
            variable     STRIPE_LIVE
            version      1
            scopes       payments
            status       active
            created      2040-05-17 08:00 (just now)
            expires      2040-08-15 08:00 (in 90d)
            recipe       token, 256 bits of entropy
            fingerprint  xxxxxxxxxxxx
        ",
    );
    world.run(&["list"]).prints(
        "
            NAME         VARIABLE     SCOPES    VER  AGE  EXPIRES  STATUS
            stripe/live  STRIPE_LIVE  payments    1   0s  in 90d   active
        ",
    );
    world.run(&["list", "--json"]).prints(r#"
            {"keys":[{"name":"stripe/live","variable":"STRIPE_LIVE","version":1,"display_name":null,"owner":null,"scopes":["payments"],"tags":{},"note":null,"public":false,"status":"active","disabled":null,"created":"2040-05-17T08:00:00.000Z","expires":"2040-08-15T08:00:00.000Z","recipe":"token","entropy_bits":256,"fingerprint":"xxxxxxxxxxxx","public_key":null,"previous":null}]}
        "#);
    let value = world.run(&["show", "stripe/live", "--reveal"]).ok();
    assert!(value.out.starts_with("kv_") && value.out.len() == 52, "{}", value.out);
    assert!(!made.out.contains(&value.out));
}

#[test]
fn what_is_shown_of_a_version_is_that_versions() {
    let world = World::new();
    world.run(&["generate", "g"]).ok();
    let first = world.run(&["show", "g", "--json"]).ok().json();
    world.run(&["rotate", "g", "--grace", "1h", "--json"]).prints(r#"
            {"keys":[{"name":"g","variable":"G","version":2,"display_name":null,"owner":null,"scopes":[],"tags":{},"note":null,"public":false,"status":"active","disabled":null,"created":"2040-05-17T08:00:00.000Z","expires":null,"recipe":"token","entropy_bits":256,"fingerprint":"xxxxxxxxxxxx","public_key":null,"previous":{"version":1,"valid_until":"2040-05-17T09:00:00.000Z"}}]}
        "#);
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
