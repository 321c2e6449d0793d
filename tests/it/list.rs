//! `list`: which keys, in which order, and which columns.

use pretty_assertions::assert_eq;
use std::time::Duration;

use crate::harness::World;

/// Four keys, made an hour apart in the order of this list.
fn world() -> World {
    let world = World::new();
    for (name, options) in [
        ("stripe/live", &["--scope", "payments", "--expires", "2d", "--tag", "team=billing"][..]),
        (
            "db/prod",
            &["--scope", "dev", "--scope", "payments", "--env", "DATABASE_URL", "--note", "the primary"],
        ),
        ("stripe/test", &["--scope", "dev", "--tag", "team=billing", "--tag", "tier=2"]),
        ("db/test", &["--expires", "90d"]),
    ] {
        let arguments = [&["generate", name][..], options].concat();
        world.run(&arguments).ok();
        world.advance(Duration::from_secs(3600));
    }
    world
}

fn names(world: &World, arguments: &[&str]) -> Vec<String> {
    let arguments = [&["list", "--json"], arguments].concat();
    let listed = world.run(&arguments).ok().json();
    let keys = listed["keys"].as_array().unwrap();
    keys.iter().map(|key| key["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_pattern_is_a_prefix_or_a_glob() {
    let world = world();
    for (pattern, found) in [
        ("stripe/", &["stripe/live", "stripe/test"][..]),
        ("db/prod", &["db/prod"]),
        ("*/test", &["db/test", "stripe/test"]),
        ("db/????", &["db/prod", "db/test"]),
        ("[ds]*/[lp]*", &["db/prod", "stripe/live"]),
        ("test", &[]),
    ] {
        assert_eq!(names(&world, &[pattern]), found, "{pattern}");
    }
    world.run(&["list", "db/["]).fails_with(
        2,
        "
            error: The value of `PATTERN` is not a pattern: invalid range pattern.
                   See its usage with `keyvault list --help`.
        ",
    );
}

#[test]
fn filters_narrow_together_and_lists_are_separated_by_commas() {
    let world = world();
    assert_eq!(names(&world, &["--scope", "dev,payments"]), ["db/prod", "stripe/live", "stripe/test"]);
    assert_eq!(names(&world, &["stripe/", "--scope", "dev,payments"]), ["stripe/live", "stripe/test"]);
    assert_eq!(names(&world, &["--tag", "team=billing,tier"]), ["stripe/test"]);
    assert_eq!(names(&world, &["--tag", "team", "--expiring", "3d"]), ["stripe/live"]);
}

#[test]
fn the_order_is_that_of_names_newest_or_next_to_expire() {
    let world = world();
    assert_eq!(names(&world, &[]), ["db/prod", "db/test", "stripe/live", "stripe/test"]);
    assert_eq!(names(&world, &["--sort", "created"]), ["db/test", "stripe/test", "db/prod", "stripe/live"]);
    assert_eq!(names(&world, &["--sort", "expires"]), ["stripe/live", "db/test", "db/prod", "stripe/test"]);
}

#[test]
fn columns_are_chosen_or_all() {
    let world = world();
    world.run(&["list", "--columns", "name,tags,note"]).prints(
        "
            NAME         TAGS                  NOTE
            db/prod                            the primary
            db/test
            stripe/live  team=billing
            stripe/test  team=billing, tier=2
        ",
    );
    let wide = world.run(&["list", "--wide", "--scope", "payments"]).ok();
    wide.prints(
        "
            NAME         VARIABLE      SCOPES         VER  AGE  EXPIRES  STATUS  TAGS          OWNER  FINGERPRINT   NOTE
            db/prod      DATABASE_URL  dev, payments    1   3h  never    active                       xxxxxxxxxxxx  the primary
            stripe/live  STRIPE_LIVE   payments         1   4h  in 2d    active  team=billing         xxxxxxxxxxxx
        ",
    );
}

/// Every option that takes scopes.
#[test]
fn scopes_are_lists_everywhere() {
    let world = World::new();
    world.run(&["generate", "a", "--scope", "dev,ci"]).ok();
    world.file("x.env", "B=1\n");
    world.run(&["import", "x.env", "--scope", "dev,test"]).ok();
    world.run(&["edit", "B", "--scope", "ci,more", "--unscope", "test,other"]).ok();
    let scopes = |name: &str| world.run(&["show", name, "--json"]).ok().json()["scopes"].clone();
    assert_eq!(scopes("a"), serde_json::json!(["ci", "dev"]));
    assert_eq!(scopes("B"), serde_json::json!(["ci", "dev", "more"]));
    world.run(&["generate", "c", "--scope", "other"]).ok();
    let ran = world.run(&["exec", "--scope", "dev,other", "--dry-run", "--", "true"]).ok();
    assert_eq!(ran.out, "A <- a\nB <- B\nC <- c\n");
    let made =
        world.run(&["token", "create", "t", "--scope", "dev,other", "--expires", "1d", "--json"]).ok().json();
    assert_eq!(made["keys"], serde_json::json!(["B", "a", "c"]));
    world.run(&["generate", "d", "--scope", "dev,"]).fails(2, "");
}
