//! `remove`: it asks, the key is kept for 30 days, the log remembers, and with `--wipe` or after the 30 days nothing of the
//! value stays in the file.

use pretty_assertions::assert_eq;
use rusqlite::Connection;

use crate::harness::bearer::{ENV, held, seen, token, with_keys};
use crate::harness::vault_file::filled;
use crate::harness::{World, days, hours};

#[test]
fn case_9_a_removed_versions_wrapped_key_is_nowhere_in_the_file() {
    let world = filled();
    let sealed = || -> Vec<Vec<u8>> {
        let connection = Connection::open(world.vault()).unwrap();
        let mut statement =
            connection.prepare("SELECT wrapped FROM version UNION ALL SELECT sealed FROM version").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let before = sealed();
    world.run(&["remove", "a", "--wipe", "--yes"]).ok();
    let after = sealed();
    let gone: Vec<_> = before.iter().filter(|blob| !after.contains(blob)).collect();
    assert_eq!(gone.len(), 2);
    for (path, bytes) in world.every_file() {
        for blob in &gone {
            assert!(!bytes.windows(16).any(|piece| piece == &blob[16..32]), "{}", path.display());
        }
    }
}

#[test]
fn remove_needs_yes_without_a_terminal_and_the_log_remembers() {
    let world = World::new();
    world.run(&["generate", "a", "--scope", "s"]).ok();
    world.run(&["remove", "a"]).fails_with(
        2,
        "
            error: Removing a key ends its grants, and there is no terminal to prompt on.
                   Use `--yes` to confirm.
        ",
    );
    world.run(&["remove", "a", "--wipe"]).fails_with(
        2,
        "
            error: Wiping a key cannot be undone, and there is no terminal to prompt on.
                   Use `--yes` to confirm.
        ",
    );
    world
        .run(&["remove", "a", "--yes"])
        .prints("a is removed with 1 version; `keyvault undelete a` brings it back until 2040-06-16 08:00\n");
    world.run(&["show", "a"]).fails_with(
        3,
        "
            error: No key named `a`.
                   `a` was removed. To bring it back: keyvault undelete a
        ",
    );
    let log = world.run(&["audit", "log", "--key", "a", "--action", "remove", "--json"]).ok();
    assert_eq!(log.json()["keys"], serde_json::json!([{ "name": "a", "version": 1 }]));
    world.run(&["vault", "check"]).ok();
}

/// The ids of the version rows in the file.
fn version_rows(world: &World) -> i64 {
    let connection = Connection::open(world.vault()).unwrap();
    connection.query_row("SELECT count(*) FROM version", [], |row| row.get(0)).unwrap()
}

#[test]
fn a_removed_key_is_released_nowhere_and_listed_only_when_asked_for() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    assert_eq!(seen(held(&world, &token, &ENV)), ["A=value-a", "B=value-b"]);
    world.run(&["remove", "a", "--yes"]).ok();
    assert_eq!(seen(held(&world, &token, &ENV)), ["B=value-b"]);
    assert_eq!(seen(world.run(&["exec", "--scope", "deploy", "--", "env"])), ["B=value-b"]);
    assert_eq!(world.run(&["exec", "--only", "a", "--", "env"]).code, 125);
    assert_eq!(world.run(&["export", "--only", "a", "--format", "json"]).code, 3);
    for command in
        [&["show", "a"][..], &["rotate", "a"], &["revoke", "a"], &["disable", "a"], &["history", "a"]]
    {
        assert_eq!(world.run(command).code, 3, "{command:?}");
    }
    let listed = world.run(&["list", "--json"]).ok().json();
    let names: Vec<_> = listed["keys"].as_array().unwrap().iter().map(|key| key["name"].clone()).collect();
    assert!(!names.contains(&"a".into()) && names.contains(&"b".into()), "{names:?}");
    world.run(&["list", "--removed"]).prints(
        "
            NAME  SCOPES  VER  REMOVED   LEFT
            a     deploy    1  just now   30d
        ",
    );
    let removed = world.run(&["list", "--removed", "--json"]).ok().json();
    assert_eq!(removed["keys"][0]["removed"], "2040-05-17T08:00:00.000Z");
    assert_eq!(removed["keys"][0]["until"], "2040-06-16T08:00:00.000Z");
    world.run(&["list", "--removed", "b"]).reports("No matching removed keys.\n");
    world.run(&["vault", "check"]).ok();
}

#[test]
fn thirty_days_after_its_removal_two_changes_an_hour_apart_wipe_a_key_and_the_log_says_so() {
    let world = World::own();
    world.run_with_input(&["add", "a"], "value-a").ok();
    world.run_with_input(&["add", "b"], "value-b").ok();
    world.run(&["remove", "a", "--yes"]).ok();
    assert_eq!(version_rows(&world), 2);
    world.advance(days(30));
    world.run(&["edit", "b", "--note", "1"]).ok();
    world.advance(hours(1));
    // A clock that stands before the last change wipes nothing.
    world.at("2040-05-20T00:00:00Z");
    world.run(&["edit", "b", "--note", "2"]).ok();
    assert_eq!(version_rows(&world), 2);
    world.at("2040-06-16T09:00:00Z");
    world.run(&["edit", "b", "--note", "3"]).ok();
    assert_eq!(version_rows(&world), 1);
    world.run(&["list", "--removed"]).reports("No removed keys.\n");
    world.run(&["undelete", "a"]).fails_with(
        3,
        "
            error: No removed key is named `a`.
                   No removed keys are kept.
        ",
    );
    let log = world.run(&["audit", "log", "--action", "remove"]).ok().out;
    assert!(log.contains("a v1  (wiped: 30 days after its removal)"), "{log}");
    world.run(&["vault", "check"]).ok();
    world.run(&["audit", "verify"]).ok();
}

#[test]
fn wipe_destroys_the_key_that_has_the_name_and_with_removed_those_that_had_it() {
    let world = World::own();
    let add = |value: &str| world.run_with_input(&["add", "a"], value).ok();
    for value in ["first", "second"] {
        add(value);
        world.run(&["remove", "a", "--yes"]).ok();
    }
    world.run(&["remove", "a", "--wipe", "--yes"]).fails_with(
        3,
        "
            error: No key named `a`.
                   `a` was removed. To destroy its values: keyvault remove --wipe --removed a
        ",
    );
    add("third");
    world.run(&["remove", "a", "--removed", "--yes"]).fails(2, "--wipe");
    world
        .run(&["remove", "a", "--wipe", "--removed", "--yes"])
        .prints("a is wiped as a removed key with 1 version\na is wiped as a removed key with 1 version\n");
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok().out, "third");
    assert_eq!(version_rows(&world), 1);
    world.run(&["remove", "a", "--wipe", "--removed", "--yes"]).fails(3, "No removed key is named `a`.");
    world.run(&["remove", "a", "--yes"]).ok();
    add("fourth");
    world.run(&["remove", "a", "--wipe", "--yes"]).is(
        0,
        "a is wiped with 1 version\n",
        "1 removed key of that name is kept. To destroy: keyvault remove --wipe --removed a\n",
    );
    world.run(&["undelete", "a"]).ok();
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok().out, "third");
    world.run(&["remove", "a", "--wipe", "--yes"]).prints("a is wiped with 1 version\n");
    assert_eq!(version_rows(&world), 0);
    world.run(&["remove", "a", "--wipe", "--yes"]).fails(3, "No key named `a`");
    world.run(&["vault", "check"]).ok();
}
