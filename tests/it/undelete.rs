//! `undelete`: a removed key comes back as it was, and nothing comes back that was refused for good.

use pretty_assertions::assert_eq;

use crate::harness::bearer::{ENV, held, seen, token, with_keys};
use crate::harness::vault_file::tamper;
use crate::harness::{World, days, hours};

fn value(world: &World, name: &str) -> String {
    world.run(&["show", name, "--reveal"]).ok().out
}

fn states(world: &World, name: &str) -> Vec<String> {
    let history = world.run(&["history", name, "--json"]).ok().json();
    let versions = history["versions"].as_array().unwrap();
    versions
        .iter()
        .map(|version| format!("{} {}", version["version"], version["state"].as_str().unwrap()))
        .collect()
}

#[test]
fn a_key_comes_back_under_its_id_with_its_versions_scopes_and_history() {
    let world = World::new();
    world.run_with_input(&["add", "a", "--scope", "s", "--tag", "project=never", "--note", "n"], "one").ok();
    assert_eq!(value(&world, "a"), "one");
    world.run_with_input(&["rotate", "a", "--stdin"], "two").ok();
    world.run(&["revoke", "a", "--version", "1"]).ok();
    let before = world.run(&["show", "a", "--json"]).ok().json();
    let history = world.run(&["history", "a", "--json"]).ok().json();
    world.run(&["remove", "a", "--yes"]).ok();
    world.advance(hours(2));
    world.run(&["undelete", "a"]).is(0, "a is back with 2 versions; it was removed 2h ago\n", "");
    assert_eq!(world.run(&["show", "a", "--json"]).ok().json(), before);
    assert_eq!(world.run(&["history", "a", "--json"]).ok().json(), history);
    assert_eq!(states(&world, "a"), ["2 current", "1 revoked"]);
    assert_eq!(value(&world, "a"), "two");
    let log = world.run(&["audit", "log", "--key", "a", "--action", "undelete", "--json"]).ok();
    assert_eq!(log.json()["keys"], serde_json::json!([{ "name": "a", "version": 2 }]));
    world.run(&["list", "--removed"]).reports("No removed keys.\n");
    world.run(&["vault", "check"]).ok();
    world.run(&["undelete", "a"]).fails(3, "No removed key is named `a`.");
}

#[test]
fn revoked_and_disabled_keys_come_back_revoked_and_disabled() {
    let world = World::own();
    for name in ["off", "spent"] {
        world.run_with_input(&["add", name], "value").ok();
    }
    world.run(&["disable", "off", "--reason", "leaked?"]).ok();
    world.run(&["revoke", "spent"]).ok();
    world.run(&["remove", "off", "spent", "--yes"]).ok();
    world
        .run(&["undelete", "off"])
        .prints("off is back with 1 version; it was removed just now and is disabled\n");
    world
        .run(&["undelete", "spent"])
        .prints("spent is back with 1 version; it was removed just now and is revoked\n");
    assert_eq!(world.run(&["show", "off", "--reveal"]).code, 6);
    assert_eq!(world.run(&["show", "spent", "--reveal"]).code, 6);
    world.run(&["enable", "off"]).ok();
    assert_eq!(value(&world, "off"), "value");
}

#[test]
fn tokens_get_the_key_back_by_its_scopes_alone() {
    let world = with_keys();
    let by_scope = token(&world, &["scoped", "--scope", "deploy"]);
    let by_name = token(&world, &["named", "--key", "a", "--key", "b"]);
    world.run(&["remove", "a", "--yes"]).ok();
    assert_eq!(seen(held(&world, &by_scope, &ENV)), ["B=value-b"]);
    assert_eq!(seen(held(&world, &by_name, &ENV)), ["B=value-b"]);
    world.run(&["undelete", "a"]).ok();
    assert_eq!(seen(held(&world, &by_scope, &ENV)), ["A=value-a", "B=value-b"]);
    assert_eq!(seen(held(&world, &by_name, &ENV)), ["B=value-b"]);
    world.run(&["vault", "check"]).ok();
}

#[test]
fn of_several_removed_keys_the_last_comes_back_and_a_taken_name_needs_another() {
    let world = World::own();
    for text in ["first", "second", "third"] {
        world.run_with_input(&["add", "a"], text).ok();
        if text != "third" {
            world.run(&["remove", "a", "--yes"]).ok();
        }
    }
    world.run(&["undelete", "a"]).fails_with(
        6,
        "
            error: Key `a` already exists.
                   Nothing was changed. Bring the removed key back under another name: keyvault undelete a --as NEW
        ",
    );
    world.run(&["undelete", "a", "--as", "b"]).is(
        0,
        "b is back with 1 version; it was removed just now\n",
        "
            This is the key that was removed last. Another removed key was named `a`:
            keyvault undelete a --as NEW
        ",
    );
    world.run(&["undelete", "a", "--as", "c"]).is(
        0,
        "c is back with 1 version; it was removed just now\n",
        "",
    );
    for (name, text) in [("a", "third"), ("b", "second"), ("c", "first")] {
        assert_eq!(value(&world, name), text);
    }
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_name_that_no_removed_key_has_is_answered_with_those_that_could_be_meant() {
    let world = World::own();
    world.run(&["generate", "stripe/live"]).ok();
    world.run(&["generate", "db"]).ok();
    world.run(&["remove", "stripe/live", "db", "--yes"]).ok();
    world.run(&["undelete", "stripe/life"]).fails_with(
        3,
        "
            error: No removed key is named `stripe/life`.
                   Did you mean `stripe/live`? Run `keyvault list --removed` to see all removed keys.
        ",
    );
    world.run(&["undelete", "quite-another"]).fails_with(
        3,
        "
            error: No removed key is named `quite-another`.
                   Removed keys: db, stripe/live.
        ",
    );
}

#[test]
fn a_removed_key_outlives_a_rekey_and_a_backup() {
    let world = World::own();
    world.run_with_input(&["add", "a", "--scope", "s"], "value-a").ok();
    world.run_with_input(&["add", "b", "--scope", "s"], "value-b").ok();
    world.run(&["remove", "a", "--yes"]).ok();
    world.run(&["vault", "rekey", "--keep-passphrase", "--no-recovery", "--yes"]).ok();
    world.run(&["vault", "check"]).ok();
    world.run(&["vault", "backup", "copy.db"]).ok();
    world.run(&["undelete", "a"]).ok();
    assert_eq!(value(&world, "a"), "value-a");
    // In the backup it is removed, and so it is after the restore, with what was revoked since.
    world.run(&["revoke", "a"]).ok();
    world.run(&["vault", "restore", "copy.db", "--yes"]).ok();
    assert_eq!(world.run(&["show", "a"]).code, 3);
    world
        .run(&["undelete", "a"])
        .prints("a is back with 1 version; it was removed just now and is revoked\n");
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_backup_from_before_the_removal_brings_back_no_version_that_was_revoked() {
    let world = World::own();
    world.run_with_input(&["add", "a"], "leaked").ok();
    world.run(&["vault", "backup", "copy.db"]).ok();
    world.run_with_input(&["rotate", "a", "--stdin"], "good").ok();
    world.run(&["revoke", "a", "--version", "1"]).ok();
    world.run(&["remove", "a", "--yes"]).ok();
    let restored = world.run(&["vault", "restore", "copy.db", "--yes"]).ok();
    assert!(restored.out.contains("1 key came back: a"), "{}", restored.out);
    assert_eq!(states(&world, "a"), ["1 revoked"]);
}

#[test]
fn what_an_undeleted_key_was_revoked_for_survives_the_loss_of_its_row() {
    let world = World::own();
    world.run_with_input(&["add", "a"], "leaked").ok();
    world.run_with_input(&["add", "other"], "x").ok();
    world.run(&["vault", "backup", "copy.db"]).ok();
    world.run(&["remove", "a", "--yes"]).ok();
    world.run(&["undelete", "a", "--as", "b"]).ok();
    world.run(&["revoke", "b"]).ok();
    world.run(&["remove", "other", "--wipe", "--yes"]).ok();
    tamper(&world, "DELETE FROM object WHERE id >> 56 = 3");
    world.run(&["vault", "restore", "copy.db", "--yes"]).ok();
    assert_eq!(states(&world, "a"), ["1 revoked"]);
}

#[test]
fn a_removed_key_is_not_taken_over_from_a_copy() {
    let world = World::own();
    world.run_with_input(&["add", "a"], "value").ok();
    world.run(&["vault", "backup", "copy.db"]).ok();
    world.run(&["remove", "a", "--yes"]).ok();
    world.run(&["vault", "restore", "copy.db", "--only", "a", "--yes"]).fails_with(
        6,
        "
            error: Key `a` was removed here and can be brought back.
                   Nothing was changed. Bring it back first: keyvault undelete a
        ",
    );
}

#[test]
fn an_altered_or_missing_removed_key_is_found_and_keeps_no_change_from_being_made() {
    for (statement, found) in [
        ("UPDATE object SET sealed = zeroblob(length(sealed)) WHERE id >> 56 = 14", "removed key"),
        ("DELETE FROM object WHERE id >> 56 = 14", "stands for no row"),
    ] {
        let world = World::own();
        for name in ["a", "b"] {
            world.run_with_input(&["add", name], "value").ok();
        }
        world.run(&["remove", "a", "--yes"]).ok();
        tamper(&world, statement);
        let checked = world.run(&["vault", "check"]);
        assert!(
            checked.code == 5 && checked.out.contains(found) || checked.err.contains(found),
            "{checked:?}"
        );
        assert_eq!(world.run(&["undelete", "a"]).code, 5, "{statement}");
        world.advance(days(31));
        world.run(&["edit", "b", "--note", "1"]).ok();
        world.advance(hours(2));
        world.run(&["edit", "b", "--note", "2"]).ok();
    }
}

#[test]
fn completion_offers_removed_keys_to_undelete_alone() {
    let mut world = World::own();
    world.run(&["generate", "kept"]).ok();
    world.run(&["generate", "gone"]).ok();
    world.run(&["remove", "gone", "--yes"]).ok();
    world.run(&["unlock"]).ok();
    world.unset("KEYVAULT_PASSPHRASE");
    let ask = |words: &[&str]| {
        let mut command = world.command(crate::harness::KEYVAULT);
        command.env("KEYVAULT_COMPLETE", "fish").args(["--", "keyvault"]).args(words);
        crate::harness::finish(&mut command, b"").ok().out
    };
    assert_eq!(ask(&["undelete", "g"]), "gone\n");
    assert_eq!(ask(&["show", "g"]), "");
    assert_eq!(ask(&["undelete", "k"]), "");
}

#[test]
fn a_key_is_refused_from_the_moment_on_at_which_its_thirty_days_are_over() {
    let mut world = World::own();
    world.run_with_input(&["add", "a"], "value-a").ok();
    world.run_with_input(&["add", "b"], "value-b").ok();
    world.run(&["remove", "a", "--yes"]).ok();
    world.advance(days(30) - std::time::Duration::from_millis(1));
    assert!(world.run(&["list", "--removed"]).ok().out.contains("a "));
    world.run(&["show", "a"]).fails(3, "keyvault undelete a");
    world.advance(std::time::Duration::from_millis(1));
    // No change has found it yet, so the values are still there.
    let over = "
        error: `a` was removed more than 30 days ago and cannot be brought back.
               Later changes destroy its values. To destroy them now: keyvault remove --wipe --removed a
    ";
    world.run(&["undelete", "a"]).fails_with(6, over);
    world.run(&["undelete", "a", "--as", "c"]).fails_with(6, over);
    world.run(&["list", "--removed"]).reports("No removed keys.\n");
    let shown = world.run(&["show", "a"]);
    assert!(shown.code == 3 && !shown.err.contains("undelete"), "{shown:?}");
    // The first change after it finds it over, and wipes nothing yet.
    world.run(&["edit", "b", "--note", "n"]).ok();
    world.run(&["undelete", "a"]).fails_with(6, over);
    // A clock that was ahead refuses while it is, and takes nothing away.
    world.at("2040-05-18T00:00:00Z");
    world.run(&["undelete", "a"]).ok();
    assert_eq!(value(&world, "a"), "value-a");
    world.run(&["remove", "a", "--yes"]).ok();
    world.advance(days(40));
    world.run(&["unlock"]).ok();
    world.unset("KEYVAULT_PASSPHRASE");
    let mut complete = world.command(crate::harness::KEYVAULT);
    complete.env("KEYVAULT_COMPLETE", "fish").args(["--", "keyvault", "undelete", ""]);
    assert_eq!(crate::harness::finish(&mut complete, b"").ok().out, "");
    world
        .run(&["remove", "a", "--wipe", "--removed", "--yes"])
        .prints("a is wiped as a removed key with 1 version\n");
    world.run(&["vault", "check"]).ok();
}

#[test]
fn of_two_removed_keys_of_a_name_the_one_that_is_over_counts_for_nothing() {
    let world = World::own();
    world.run_with_input(&["add", "a"], "first").ok();
    world.run(&["remove", "a", "--yes"]).ok();
    world.advance(days(29));
    world.run_with_input(&["add", "a"], "second").ok();
    world.run(&["remove", "a", "--yes"]).ok();
    world.advance(days(2));
    world.run(&["undelete", "a"]).is(0, "a is back with 1 version; it was removed 2d ago\n", "");
    assert_eq!(value(&world, "a"), "second");
}
