//! `edit`: it changes what it names, and the value stays.

use pretty_assertions::assert_eq;

use crate::harness::{World, no_key};

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
    world.run(&["show", "b", "--json"]).prints(r#"
            {"name":"b","variable":"B_KEY","version":1,"display_name":null,"owner":null,"scopes":["two"],"tags":{},"note":"first","public":false,"status":"active","disabled":null,"created":"2040-05-17T08:00:00.000Z","expires":null,"recipe":"token","entropy_bits":256,"fingerprint":"xxxxxxxxxxxx","public_key":null,"previous":null}
        "#);
    assert_eq!(world.run(&["show", "b", "--reveal"]).ok().out, value);
    world.run(&["show", "a"]).fails_with(3, &no_key("a"));
    world.run(&["exec", "--scope", "one", "--", "true"]).fails_with(
        125,
        "
            error: Cannot release the keys:
              scope one: no key has it
                   Run `keyvault list` to see all keys with their variables, scopes and status.
        ",
    );
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_key_says_who_answers_for_it_and_what_people_call_it_until_that_is_removed() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    let edited =
        world.run(&["edit", "a", "--owner", "Payments\u{1b}[31m", "--display-name", "Stripe, live"]).ok();
    assert_eq!(edited.out, "a is changed: owner Payments\\u{1b}[31m; display name Stripe, live\n");
    let shown = world.run(&["show", "a"]).ok().out;
    assert!(shown.contains("owner        Payments\\u{1b}[31m\n"), "{shown}");
    assert!(shown.contains("display name Stripe, live\n"), "{shown}");
    let json = world.run(&["show", "a", "--json"]).ok().json();
    assert_eq!(json["owner"], "Payments\u{1b}[31m");
    assert_eq!(json["display_name"], "Stripe, live");
    let log = world.run(&["audit", "log", "--action", "edit"]).ok().out;
    assert!(log.trim_end().ends_with("(owner, display name)"), "{log}");
    world.run(&["rotate", "a"]).ok();
    assert_eq!(world.run(&["show", "a", "--json"]).ok().json()["display_name"], "Stripe, live");
    world.run(&["edit", "a", "--owner", "", "--display-name", ""]).ok();
    let json = world.run(&["show", "a", "--json"]).ok().json();
    assert!(json["owner"].is_null() && json["display_name"].is_null(), "{json}");
}
