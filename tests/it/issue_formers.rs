//! The old secret of an issued key within its grace: never wider than it was, nor than the key is now.

use pretty_assertions::assert_eq;

use super::issue::{issue, verify, with_key};
use crate::harness::{World, days, hours};

fn rotate(world: &World, options: &[&str]) -> String {
    world.run(&[&["rotate", "acme/prod"], options].concat()).ok().out.trim_end().to_owned()
}

fn from(world: &World, address: &str, text: &str) -> i32 {
    world.run_with_input(&["verify", "--ip", address], text).code
}

#[test]
fn an_edit_that_drops_restrictions_leaves_the_old_secret_with_them() {
    let (world, old) = with_key(&["--cidr", "203.0.113.0/24", "--rate", "2/h,cost=2"]);
    let new = rotate(&world, &["--grace", "7d"]);
    world.run(&["edit", "acme/prod", "--clear", "cidrs,paths,rates"]).ok();
    assert_eq!((from(&world, "10.0.0.1", &new), from(&world, "10.0.0.1", &old)), (0, 6));
    assert_eq!(from(&world, "203.0.113.9", &old), 0);
    let line = serde_json::json!({ "key": old, "ip": "203.0.113.9" }).to_string();
    assert_eq!(world.run_with_input(&["verify", "--batch"], format!("{line}\n{line}\n")).code, 6);
}

#[test]
fn an_edit_leaves_the_old_secret_what_both_allow() {
    let (world, old) = with_key(&["--cidr", "10.0.0.0/8", "--path", "/orders/*"]);
    let new = rotate(&world, &["--grace", "7d"]);
    let edit = ["--clear", "cidrs", "--cidr", "10.1.0.0/16", "--cidr", "192.0.2.0/24", "--path", "/stock"];
    world.run(&[&["edit", "acme/prod"], &edit[..]].concat()).ok();
    let at = |path: &str, ip: &str, text: &str| {
        world.run_with_input(&["verify", "--ip", ip, "--path", path], text).code
    };
    assert_eq!(
        [
            at("/orders/1", "10.1.0.1", &old),
            at("/orders/1", "10.2.0.1", &old),
            at("/stock", "10.1.0.1", &old)
        ],
        [0, 6, 6]
    );
    assert_eq!([at("/stock", "192.0.2.1", &new), at("/orders/1", "192.0.2.1", &old)], [0, 6]);
    world.run(&["edit", "acme/prod", "--clear", "cidrs", "--cidr", "198.51.100.0/24"]).ok();
    assert_eq!([at("/stock", "198.51.100.1", &new), at("/orders/1", "10.1.0.1", &old)], [0, 6]);
    world.run(&["vault", "check"]).ok();
}

#[test]
fn another_client_of_the_key_does_not_make_the_old_secret_of_a_disabled_one_valid() {
    let world = World::own();
    world.run(&["client", "add", "acme"]).ok();
    world.run(&["client", "add", "other", "--rate", "1/h"]).ok();
    let old = issue(&world, "acme/prod", &["--client", "acme"]);
    let new = rotate(&world, &["--grace", "7d"]);
    world.run(&["client", "disable", "acme"]).ok();
    world.run(&["edit", "acme/prod", "--client", "other"]).ok();
    assert_eq!((verify(&world, &new).0, verify(&world, &old).0), (0, 6));
    world.run(&["client", "remove", "acme"]).fails(6, "still has 1 key");
    world.advance(days(8));
    world.run(&["client", "remove", "acme"]).ok();
    world.run(&["vault", "check"]).ok();
}

#[test]
fn an_earlier_expiry_and_a_later_beginning_reach_the_old_secret() {
    let (world, old) = with_key(&["--expires", "90d"]);
    let new = rotate(&world, &["--grace", "7d"]);
    world.run(&["edit", "acme/prod", "--expires", "1h"]).ok();
    world.run(&["edit", "acme/prod", "--expires", "30d"]).ok();
    world.advance(hours(2));
    assert_eq!((verify(&world, &new).0, verify(&world, &old).0), (0, 6));
    let (world, old) = with_key(&[]);
    let new = rotate(&world, &["--grace", "7d"]);
    world.run(&["edit", "acme/prod", "--not-before", "1d"]).ok();
    assert_eq!((verify(&world, &new).0, verify(&world, &old).0), (6, 6));
    world.advance(days(2));
    assert_eq!((verify(&world, &new).0, verify(&world, &old).0), (0, 0));
}

#[test]
fn a_rotation_ends_every_grace_before_it_and_no_former_outlives_the_new_secret() {
    let (world, first) = with_key(&[]);
    let second = rotate(&world, &["--grace", "7d"]);
    let third = rotate(&world, &["--grace", "1d"]);
    assert_eq!([&first, &second, &third].map(|text| verify(&world, text).0), [0, 0, 0]);
    world.advance(days(2));
    assert_eq!([&first, &second, &third].map(|text| verify(&world, text).0), [6, 6, 0]);
    let fourth = rotate(&world, &["--grace", "7d"]);
    let fifth = rotate(&world, &[]);
    assert_eq!([&third, &fourth, &fifth].map(|text| verify(&world, text).0), [6, 6, 0]);
    let sixth = rotate(&world, &["--grace", "10d", "--expires", "1d"]);
    world.advance(days(2));
    assert_eq!([&fifth, &sixth].map(|text| verify(&world, text).0), [6, 6]);
}

#[test]
fn a_reason_with_control_characters_revokes_and_disables_all_the_same() {
    let (world, text) = with_key(&[]);
    world.run(&["disable", "acme/prod", "--reason", "seen\tin a log"]).ok();
    assert_eq!(verify(&world, &text).0, 6);
    world.run(&["revoke", "acme/prod", "--reason", "two\nlines"]).ok();
    assert_eq!(verify(&world, &text).0, 6);
    assert_eq!(verify(&world, &text).0, 6);
    world.run(&["client", "add", "acme"]).ok();
    world.run(&["client", "disable", "acme", "--reason", "two\nlines"]).ok();
    world.run(&["vault", "check"]).ok();
}
