//! `vault restore FILE --only NAME`: single keys of another copy, and what must not come with them.

use pretty_assertions::assert_eq;

use crate::harness::bearer::{held, seen, token};
use crate::harness::copies::{apart, other, part, there};
use crate::harness::{PASSPHRASE, World, days, hours};

fn add(world: &World, name: &str, value: &str) {
    world.run_with_input(&["add", name], value).ok();
}

fn value(world: &World, name: &str) -> String {
    world.run(&["show", name, "--reveal"]).ok().out
}

/// The versions of a key and their states, oldest first.
fn states(world: &World, name: &str) -> Vec<String> {
    let shown = world.run(&["history", name, "--json"]).ok().json();
    let version = |version: &serde_json::Value| {
        let wiped = if version["wiped"] == true { ", wiped" } else { "" };
        format!("{} {}{wiped}", version["version"], version["state"].as_str().unwrap())
    };
    let mut versions: Vec<_> = shown["versions"].as_array().unwrap().iter().map(version).collect();
    versions.reverse();
    versions
}

fn take(world: &World, names: &[&str]) -> crate::harness::Ran {
    world.run(&[&["vault", "restore", "other.db", "--yes", "--only"], names].concat())
}

#[test]
fn single_keys_are_taken_over_in_one_change_that_the_log_names() {
    let world = apart();
    let other_file = std::fs::read(other(&world)).unwrap();
    take(&world, &["cache", "db", "kept", "spent", "loud", "gone", "api"]).prints("
            The vault here has everything that other.db has of these keys, or holds it revoked: api, quiet. Names, variables, scopes, tags, and notes are not taken over.
            The vault here took over, from other.db at change 15:
              cache: new key; version 1 current
              db: version 2 current; version 1 previous
              gone: new key; version 1 current
              kept: version 3 (version 2 there) current; version 2 retired
              spent: version 1 revoked
            Took over 5 keys. The vault is now at change 15.
        ");
    assert!(std::fs::read(other(&world)).unwrap() == other_file);
    assert_eq!(value(&world, "db"), "secret-value-of-db-there");
    assert_eq!(states(&world, "db"), ["1 previous", "2 current"]);
    assert_eq!(value(&world, "kept"), "secret-value-of-kept-there");
    assert_eq!(states(&world, "kept"), ["1 retired", "2 retired", "3 current"]);
    assert_eq!(states(&world, "spent"), ["1 revoked"]);
    assert_eq!(states(&world, "api"), ["1 revoked"]);
    assert_eq!(value(&world, "gone"), "secret-value-of-gone");
    world.run(&["show", "cache", "--reveal"]).ok();
    world.run(&["audit", "log", "--action", "restore"]).prints("
            14  2040-05-17 11:00  restore  ada@host tests -  cache v1, db v2, gone v1, kept v3, spent  (cache, db, gone, kept, spent from a copy at change 15)
        ");
    world.run(&["vault", "check"]).ok();
    world.run(&["rollback", "kept"]).ok();
    assert_eq!(value(&world, "kept"), "secret-value-of-kept-here");
    // There is nothing left to take.
    take(&world, &["cache", "db", "kept", "spent", "loud", "gone", "api"]).prints("
            The vault here has everything that other.db has of these keys, or holds it revoked: api, cache, db, gone, kept, quiet, spent. Names, variables, scopes, tags, and notes are not taken over.
            Nothing was changed.
        ");
    world.run(&["vault", "diff", "other.db"]).prints("
            The vault here is at change 16, other.db at change 15. 7 changes were made here only, 6 in other.db only. 5 keys are the same, 5 differ.
            KEY  DIFFERS  HERE  OTHER
            api  version 1  REVOKED 2h ago: found in a log  current
            kept  version 2  current, made 2h ago by ada@host  -
            kept  version 3, there 2  retired  current
            quiet  name  quiet  loud
            quiet  scopes  dev, test  dev
            quiet  tags  owner=ada  -
            quiet  note  of the old laptop  -
            quiet  expires  never  2041-01-01 00:00 (in 229d)
            here-only  only here  version 1, made 2h ago by ada@host  -
            old  only here  version 1, made 3h ago by ada@host  removed 2h ago
        ");
}

#[test]
fn what_a_program_reads_has_one_shape() {
    let world = World::own();
    for name in ["a", "b"] {
        add(&world, name, "value");
    }
    part(&world);
    world.run_with_input(&["rotate", "a", "--stdin"], "here").ok();
    there(&world, "printf there | keyvault rotate a --stdin").ok();
    let shown =
        world.run(&["vault", "restore", "other.db", "--only", "a", "b", "--yes", "--json"]).ok().json();
    let vault = world.vault().to_str().unwrap().to_owned();
    assert_eq!(
        shown,
        serde_json::json!({
            "keys": [{
                "name": "a", "added": false, "replaced": 2, "revoked": [], "stay_revoked": [], "expires": null, "disabled": false,
                "versions": [{ "version": 3, "in_other": 2, "state": "current" }],
            }],
            "unchanged": ["b"], "vault": vault, "other": "other.db", "found": 4, "change": 5,
        })
    );
}

#[test]
fn what_is_revoked_here_stays_so_even_if_the_key_is_gone() {
    let world = World::own();
    for name in ["there", "removed", "wiped"] {
        add(&world, name, "leaked");
    }
    part(&world);
    for name in ["there", "removed"] {
        there(&world, &format!("printf good | keyvault rotate {name} --stdin")).ok();
        world.run(&["revoke", name]).ok();
    }
    world.run(&["remove", "removed", "--wipe", "--yes"]).ok();
    world.run(&["revoke", "wiped", "--wipe"]).ok();
    world.advance(hours(1));
    take(&world, &["there", "removed", "wiped"]).prints("
            The vault here has everything that other.db has of these keys, or holds it revoked: wiped. Names, variables, scopes, tags, and notes are not taken over.
            The vault here took over, from other.db at change 6:
              removed: new key; version 1 stays revoked; version 2 current
              there: version 2 current; version 1 stays revoked
            Took over 2 keys. The vault is now at change 9.
        ");
    for name in ["there", "removed"] {
        assert_eq!(states(&world, name), ["1 revoked", "2 current"], "{name}");
        assert_eq!(value(&world, name), "good");
    }
    assert_eq!(states(&world, "wiped"), ["1 revoked, wiped"]);
    world.run(&["vault", "check"]).ok();
}

#[test]
fn what_is_revoked_in_the_copy_becomes_so_and_what_is_wiped_there_is_wiped() {
    let world = World::own();
    for name in ["a", "b"] {
        add(&world, name, "leaked");
    }
    part(&world);
    there(&world, "keyvault revoke a --wipe --reason 'found in a log'").ok();
    there(&world, "keyvault revoke b; printf good | keyvault rotate b --stdin").ok();
    take(&world, &["a", "b"]).ok();
    assert_eq!(states(&world, "a"), ["1 revoked, wiped"]);
    assert_eq!(states(&world, "b"), ["1 revoked", "2 current"]);
    world.run(&["vault", "check"]).ok();
}

/// A version that was given twice gets another number here; under its own it would come back with the whole copy.
#[test]
fn a_taken_version_that_was_revoked_since_does_not_come_back_with_the_whole_copy() {
    let world = World::own();
    add(&world, "a", "first");
    part(&world);
    world.run_with_input(&["rotate", "a", "--stdin"], "here").ok();
    world.advance(hours(1));
    there(&world, "printf leaked | keyvault rotate a --stdin").ok();
    take(&world, &["a"]).ok();
    assert_eq!(value(&world, "a"), "leaked");
    world.run(&["revoke", "a", "--version", "3"]).ok();
    world.run(&["vault", "restore", "other.db", "--yes"]).ok();
    assert_eq!(states(&world, "a"), ["1 retired", "2 revoked", "3 revoked, wiped"]);
    world.run(&["vault", "check"]).ok();
}

#[test]
fn tokens_read_what_was_taken_over_by_their_rules() {
    let mut world = World::own();
    world.run_with_input(&["add", "a", "--scope", "deploy"], "value-a").ok();
    let bearer = token(&world, &["ci", "--scope", "deploy"]);
    part(&world);
    there(
        &world,
        "printf value-b | keyvault add b --scope deploy; printf value-c | keyvault rotate a --stdin",
    )
    .ok();
    take(&world, &["a", "b"]).ok();
    world.unset("KEYVAULT_PASSPHRASE");
    assert_eq!(seen(held(&world, &bearer, &["exec", "--", "env"])), ["A=value-c", "B=value-b"]);
}

#[test]
fn a_key_keeps_its_name_scopes_and_note_and_gets_the_expiry_of_the_version_that_it_takes() {
    let world = World::own();
    world.run(&["generate", "a", "--expires", "10d", "--scope", "dev"]).ok();
    part(&world);
    world.run(&["edit", "a", "--note", "mine", "--rename", "b"]).ok();
    there(&world, "keyvault edit a --note theirs --scope prod; keyvault rotate a --expires 90d").ok();
    world.advance(days(11));
    world.run(&["show", "b", "--reveal"]).fails(6, "is expired");
    // By its name in the copy.
    take(&world, &["a"]).prints("
            The vault here took over, from other.db at change 4:
              b: version 2 current; version 1 retired; expires 2040-08-15 09:00 (in 79d), before 2040-05-27 08:00 (1d ago)
            Took over 1 key. The vault is now at change 4.
        ");
    world.run(&["show", "b", "--reveal"]).ok();
    let shown = world.run(&["show", "b", "--json"]).ok().json();
    assert_eq!((&shown["note"], &shown["scopes"]), (&"mine".into(), &serde_json::json!(["dev"])));
    assert_eq!(shown["expires"], "2040-08-15T09:00:00.000Z");
    // Nothing but what stays differs now.
    take(&world, &["b"]).prints("
            The vault here has everything that other.db has of these keys, or holds it revoked: b. Names, variables, scopes, tags, and notes are not taken over.
            Nothing was changed.
        ");
}

#[test]
fn what_cannot_be_taken_over_is_refused_and_nothing_is_changed() {
    let world = World::own();
    add(&world, "a", "value");
    part(&world);
    add(&world, "cache", "value");
    there(&world, "keyvault generate cache").ok();
    there(&world, "keyvault generate database").ok();
    let before = std::fs::read(world.vault()).unwrap();
    take(&world, &["cache", "database"]).fails_with(
        6,
        "
            error: Key `cache` here is another key than the one in the copy.
                   Nothing was changed. Give the one here another name first: keyvault edit cache --rename NEW
        ",
    );
    take(&world, &["databse"]).fails_with(
        3,
        "
            error: No key named `databse` in other.db.
                   Did you mean `database`? To see its keys: keyvault list --vault 'other.db'
        ",
    );
    take(&world, &["database", "nothing", "like-it"]).fails_with(
        3,
        "
            error: No keys with these names in other.db: like-it, nothing.
                   To see its keys: keyvault list --vault 'other.db'
        ",
    );
    world.run(&["vault", "restore", "other.db", "--only", "database"]).fails_with(
        2,
        "
            The vault here would take over, from other.db at change 4:
              database: new key; version 1 current
            error: This cannot be undone, and there is no terminal to prompt on.
                   Use `--yes` to confirm.
        ",
    );
    world.run(&["vault", "restore", "--only", "database", "other.db"]).fails_with(
        2,
        "
            error: `--only` takes keys over from another file, and none is named.
                   Name it first: keyvault vault restore FILE --only NAME
        ",
    );
    world.run(&["vault", "restore", "other.db", "--only", "database", "--drop-damaged"]).fails_with(
        2,
        "
            error: `--only NAME` cannot be used with `--drop-damaged`.
                   See its usage with `keyvault vault restore --help`.
        ",
    );
    assert!(std::fs::read(world.vault()).unwrap() == before);
    // The remedy, as it is printed.
    world.run(&["edit", "cache", "--rename", "NEW"]).ok();
    take(&world, &["cache", "database"]).ok();
}

#[test]
fn keys_come_from_a_copy_of_before_a_rekey_too() {
    let mut world = World::own();
    add(&world, "a", "value-a");
    add(&world, "b", "value-b");
    part(&world);
    world.run(&["remove", "a", "--wipe", "--yes"]).ok();
    world.run_with_input(&["rotate", "b", "--stdin"], "here").ok();
    world.advance(hours(1));
    there(&world, "printf there | keyvault rotate b --stdin").ok();
    let new = world.file("new", "another passphrase");
    std::fs::set_permissions(new, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    world.run(&["vault", "rekey", "--yes", "--no-recovery", "--new-passphrase-file", "new"]).ok();
    world.set("KEYVAULT_PASSPHRASE", "another passphrase");
    world.run(&["unlock"]).ok();
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    take(&world, &["a", "b"]).ok();
    world.unset("KEYVAULT_PASSPHRASE");
    assert_eq!((value(&world, "a"), value(&world, "b")), ("value-a".to_owned(), "there".to_owned()));
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_key_that_is_disabled_in_either_copy_is_disabled_afterwards() {
    let world = World::own();
    for name in ["a", "b", "c"] {
        add(&world, name, "value");
    }
    part(&world);
    world.run(&["disable", "a", "--reason", "here"]).ok();
    world.run(&["edit", "c", "--note", "x"]).ok();
    there(&world, "printf there | keyvault rotate a --stdin; keyvault disable b --reason there").ok();
    let shown = world.run(&["vault", "diff", "other.db"]).ok().out;
    assert!(shown.lines().any(|line| line.starts_with("b    disabled   no  ")), "{shown}");
    take(&world, &["a", "b", "c"]).prints("
            The vault here has everything that other.db has of these keys, or holds it revoked: c. Names, variables, scopes, tags, and notes are not taken over.
            The vault here took over, from other.db at change 6:
              a: version 2 current; version 1 retired
              b: disabled
            Took over 2 keys. The vault is now at change 7.
        ");
    for (name, reason) in [("a", "here"), ("b", "there")] {
        assert_eq!(world.run(&["show", name, "--json"]).ok().json()["disabled"]["reason"], reason, "{name}");
    }
    world.run(&["enable", "a"]).ok();
    assert_eq!(value(&world, "a"), "there");
}
