//! `disable` and `enable`: refused everywhere in between, with everything kept.

use pretty_assertions::assert_eq;

use crate::harness::bearer::{ENV, held, seen, token, with_keys};
use crate::harness::vault_file::tamper;
use crate::harness::{World, days, hours};

const REFUSED: &str = "
    error: Cannot release the keys:
      a: disabled
           Enable disabled keys (`keyvault enable a`), or leave them out (`--skip-expired`).
";

/// The keys of [`with_keys`] in a vault that each command unlocks by itself.
fn keys() -> World {
    let world = World::own();
    for (name, scopes) in [("a", &["--scope", "deploy"][..]), ("b", &["--scope", "deploy"]), ("c", &[])] {
        world.run_with_input(&[&["add", name], scopes].concat(), format!("value-{name}")).ok();
    }
    world
}

#[test]
fn a_disabled_key_is_refused_by_every_command_that_gives_values_until_it_is_enabled() {
    let world = keys();
    world.run(&["disable", "a", "--reason", "seen in a log"]).is(
        0,
        "a is disabled; `keyvault enable a` enables it\n",
        "",
    );
    for chosen in
        [&["--only", "a"][..], &["--scope", "deploy"], &["--all"], &["--as", "X=a"], &["--previous", "a"]]
    {
        let whole = [&["exec"], chosen, &["--", "env"]].concat();
        world.run(&whole).fails_with(125, REFUSED);
        let whole = [&["export", "--format", "dotenv"], chosen].concat();
        assert_eq!(world.run(&whole).code, 6, "{whole:?}");
    }
    let skipped = world.run(&["exec", "--scope", "deploy", "--skip-expired", "--", "sh", "-c", "echo $A$B"]);
    skipped.is(0, "value-b\n", "warning: Left out, because it is disabled: a.\n");
    for version in [&[][..], &["--version", "1"]] {
        let whole = [&["show", "a", "--reveal"], version].concat();
        world.run(&whole).fails_with(
            6,
            "
                error: `a` is disabled, so its value is not shown.
                       Enable it with `keyvault enable a`.
            ",
        );
    }
    world.run(&["enable", "a"]).is(0, "a is enabled\n", "");
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok().out, "value-a");
    assert_eq!(seen(world.run(&["exec", "--scope", "deploy", "--", "env"])), ["A=value-a", "B=value-b"]);
}

#[test]
fn list_show_and_the_log_say_that_a_key_is_disabled_since_when_and_why() {
    let world = keys();
    world.run(&["disable", "a", "b", "--reason", "leaked?"]).ok();
    world.advance(hours(2));
    world.run(&["list", "--status", "disabled"]).prints(
        "
            NAME  VARIABLE  SCOPES  VER  AGE  EXPIRES  STATUS
            a     A         deploy    1   2h  never    DISABLED
            b     B         deploy    1   2h  never    DISABLED
        ",
    );
    let shown = world.run(&["show", "a"]).ok().out;
    assert!(shown.contains("status       DISABLED\n"), "{shown}");
    assert!(shown.contains("(2h ago): leaked?\n"), "{shown}");
    let json = world.run(&["show", "a", "--json"]).ok().json();
    assert_eq!((&json["status"], &json["disabled"]["reason"]), (&"disabled".into(), &"leaked?".into()));
    let other = world.run(&["show", "c", "--json"]).ok().json();
    assert_eq!((&other["status"], &other["disabled"]), (&"active".into(), &serde_json::Value::Null));
    world.run(&["enable", "b"]).ok();
    let log = world.run(&["audit", "log", "--action", "disable"]).ok().out;
    assert!(log.trim_end().ends_with("a v1, b v1  (leaked?)"), "{log}");
    let log = world.run(&["audit", "log", "--action", "enable"]).ok().out;
    assert!(log.trim_end().ends_with(" b v1"), "{log}");
    let json = world.run(&["enable", "a", "--json"]).ok().json();
    assert_eq!(
        (&json["keys"][0]["status"], &json["keys"][0]["disabled"]),
        (&"active".into(), &serde_json::Value::Null)
    );
}

#[test]
fn the_bearer_of_a_token_loses_the_values_of_a_disabled_key_and_gets_them_back() {
    let world = with_keys();
    let ci = token(&world, &["ci", "--scope", "deploy"]);
    world.run(&["disable", "a"]).ok();
    held(&world, &ci, &["exec", "--only", "a", "--", "env"]).fails_with(125, REFUSED);
    held(&world, &ci, &ENV).fails_with(125, REFUSED);
    assert_eq!(seen(held(&world, &ci, &["exec", "--only", "b", "--", "env"])), ["B=value-b"]);
    let opens = world.run(&["token", "show", "ci", "--json"]).ok().json();
    assert_eq!(opens["keys"], serde_json::json!(["b"]));
    // Neither a token nor a bundle that is made now has the value.
    let cd = token(&world, &["cd", "--scope", "deploy"]);
    held(&world, &cd, &["exec", "--only", "a", "--", "env"]).fails_with(125, REFUSED);
    world.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb"]).ok();
    held(&world, &ci, &["exec", "--bundle", "keys.kvb", "--only", "a", "--", "env"]).fails_with(125, REFUSED);
    assert_eq!(world.run(&["vault", "check"]).code, 0);
    world.run(&["enable", "a"]).ok();
    assert_eq!(seen(held(&world, &ci, &ENV)), ["A=value-a", "B=value-b"]);
    assert_eq!(seen(held(&world, &cd, &ENV)), ["A=value-a", "B=value-b"]);
    assert_eq!(world.run(&["vault", "check"]).code, 0);
}

#[test]
fn a_key_stays_disabled_through_rotations_rekeys_and_restores() {
    let world = keys();
    world.run(&["vault", "backup", "before"]).ok();
    world.run(&["disable", "a", "--reason", "leaked?"]).ok();
    world.run_with_input(&["rotate", "a", "--stdin"], "value-a-2").ok();
    world.run(&["edit", "a", "--note", "x"]).ok();
    world.run(&["show", "a", "--reveal"]).fails(6, "disabled");
    world.run(&["vault", "restore", "before", "--yes"]).ok();
    let json = world.run(&["show", "a", "--json"]).ok().json();
    assert_eq!((&json["status"], &json["disabled"]["reason"]), (&"disabled".into(), &"leaked?".into()));
    world.run(&["vault", "rekey", "--yes", "--keep-passphrase", "--no-recovery"]).ok();
    world.run(&["show", "a", "--reveal"]).fails(6, "disabled");
    world.run(&["enable", "a"]).ok();
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok().out, "value-a");
}

#[test]
fn disabling_twice_keeps_the_first_time_and_enabling_tells_what_still_refuses_the_key() {
    let world = keys();
    world.run(&["disable", "a", "--reason", "first"]).ok();
    let since = world.run(&["show", "a", "--json"]).ok().json()["disabled"]["since"].clone();
    world.advance(days(1));
    world.run(&["disable", "a"]).is(0, "a was already disabled\n", "");
    world.run(&["disable", "a", "--reason", "second"]).ok();
    let json = world.run(&["show", "a", "--json"]).ok().json();
    assert_eq!((&json["disabled"]["since"], &json["disabled"]["reason"]), (&since, &"second".into()));
    world.run(&["enable", "b"]).is(0, "b was not disabled\n", "");
    world.run(&["revoke", "a"]).ok();
    world.run(&["enable", "a"]).is(
        0,
        "a is enabled; it is revoked: `keyvault rotate a` gives it a new value\n",
        "",
    );
    world.run(&["disable", "nothing", "b"]).fails(3, "nothing");
    assert_eq!(world.run(&["show", "b", "--reveal"]).ok().out, "value-b");
}

/// Every key's row, overwritten by a writer without keys.
const NO_KEYS: &str = "UPDATE object SET sealed = zeroblob(length(sealed)) WHERE id >> 56 = 3";

#[test]
fn a_key_that_was_disabled_before_damage_or_a_removal_took_it_comes_back_disabled() {
    let remove: &[&str] = &["remove", "z", "--yes"];
    let disable: &[&str] = &["disable", "a", "--reason", "leaked?"];
    let disable_z: &[&str] = &["disable", "z", "--reason", "leaked?"];
    let rename: &[&str] = &["edit", "a", "--rename", "z"];
    let takes_its_name: &[&str] = &["edit", "b", "--rename", "a"];
    let rekey: &[&str] = &["vault", "rekey", "--yes", "--keep-passphrase", "--no-recovery"];
    let cases: [(&[&[&str]], &str, &str); 8] = [
        (&[disable], NO_KEYS, "disabled"),
        (&[disable, rename], NO_KEYS, "disabled"),
        (&[rename, disable_z, takes_its_name, &["enable", "a"]], NO_KEYS, "disabled"),
        (&[disable, &["remove", "a", "--yes"]], "SELECT 1", "disabled"),
        (&[rename, disable_z, remove], "SELECT 1", "disabled"),
        (&[rename, disable_z, remove, rekey], NO_KEYS, "disabled"),
        // The log is that of a backup which never had the key, and its last entry says what became of it.
        (&[disable, &["vault", "restore", "empty", "--yes"]], "SELECT 1", "disabled"),
        (&[disable, &["enable", "a"]], NO_KEYS, "active"),
    ];
    for (commands, sql, status) in cases {
        let world = World::own();
        world.run(&["vault", "backup", "empty"]).ok();
        for name in ["a", "b"] {
            world.run_with_input(&["add", name], format!("value-{name}")).ok();
        }
        world.run(&["vault", "backup", "before"]).ok();
        for command in commands {
            world.run(command).ok();
        }
        tamper(&world, sql);
        world.run(&["vault", "restore", "before", "--yes"]).ok();
        let json = world.run(&["show", "a", "--json"]).ok().json();
        let reason = if status == "disabled" { "leaked?".into() } else { serde_json::Value::Null };
        assert_eq!((&json["status"], &json["disabled"]["reason"]), (&status.into(), &reason), "{commands:?}");
        assert_eq!(world.run(&["show", "b", "--json"]).ok().json()["status"], "active", "{commands:?}");
        world.run(&["vault", "check"]).ok();
    }
}

#[test]
fn another_key_under_the_name_of_a_disabled_one_is_not_disabled_by_a_restore() {
    let world = keys();
    world.run(&["disable", "a"]).ok();
    world.run(&["remove", "a", "--yes"]).ok();
    world.run_with_input(&["add", "a"], "another").ok();
    world.run(&["vault", "backup", "before"]).ok();
    tamper(&world, NO_KEYS);
    world.run(&["vault", "restore", "before", "--yes"]).ok();
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok().out, "another");
}

#[test]
fn a_restore_knows_whether_a_key_was_disabled_when_it_was_last_there() {
    // Steps with key `a`, the backup among them; true if the key is disabled after a restore.
    let table = [
        ("backup disable", true),
        ("backup disable enable", false),
        ("backup disable remove", true),
        ("backup disable remove undelete", true),
        ("backup disable remove undelete enable", false),
        ("backup disable remove undelete enable remove", false),
        ("backup disable remove undelete enable wipe", false),
        ("backup disable remove undelete enable disable wipe", true),
        ("backup disable remove undelete wipe", true),
        ("backup disable remove undelete enable remove wipe-removed", false),
        ("backup disable remove wipe-removed", true),
        ("backup disable wipe", true),
        ("backup disable enable wipe", false),
        ("backup remove undelete disable wipe", true),
        ("backup remove undelete disable enable wipe", false),
        ("backup disable remove undelete-as enable wipe", false),
        ("backup remove undelete-as disable wipe", true),
        ("backup remove undelete remove wipe-removed", false),
        ("disable remove backup undelete enable disable wipe", true),
        ("remove backup undelete wipe", false),
        ("remove backup undelete disable remove", true),
        ("remove backup undelete disable enable remove", false),
        // As the backup has it, though it was enabled since.
        ("disable backup enable", true),
        ("disable backup enable remove undelete wipe", true),
    ];
    for (steps, disabled) in table {
        for by_way_of_another in [false, true] {
            let world = World::own();
            world.run(&["vault", "backup", "empty"]).ok();
            world.run_with_input(&["add", "a"], "value").ok();
            let mut name = "a";
            for step in steps.split(' ') {
                let command = match step {
                    "backup" => &["vault", "backup", "b"][..],
                    "remove" => &["remove", name, "--yes"],
                    "wipe" => &["remove", name, "--wipe", "--yes"],
                    "wipe-removed" => &["remove", name, "--wipe", "--removed", "--yes"],
                    "undelete-as" => &["undelete", name, "--as", "c"],
                    step => &[step, name],
                };
                world.run(command).ok();
                if step == "undelete-as" {
                    name = "c";
                }
            }
            if by_way_of_another {
                world.run(&["vault", "restore", "empty", "--yes"]).ok();
            }
            world.run(&["vault", "restore", "b", "--yes"]).ok();
            // A key that was removed in the backup is removed again.
            world.run(&["undelete", "a"]);
            let shown = world.run(&["show", "a", "--json"]).ok().json();
            assert_eq!(shown["status"] == "disabled", disabled, "{steps}, {by_way_of_another}: {shown}");
        }
    }
}
