//! Bugs that the same review found about restore, the ways in, questions and completion.

use std::os::unix::fs::PermissionsExt;

use pretty_assertions::assert_eq;
use rusqlite::Connection;

use crate::harness::{KEYVAULT, PASSPHRASE, World, finish};
use crate::terminal::Terminal;

/// A world of its own with a private file `new` that holds `passphrase`.
fn with_new(passphrase: &str) -> World {
    let world = World::own();
    let file = world.file("new", passphrase);
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    world
}

#[test]
fn a_value_in_the_place_of_a_name_is_not_repeated() {
    let world = World::new();
    world.run(&["generate", "stripe"]).ok();
    let value = "sk_live_CANARY1234567890abcd";
    for arguments in [
        &["rotate", "stripe", value] as &[&str],
        &["rotate", value],
        &["revoke", value],
        &["history", value],
        &["show", value],
        &["vault", "recover", "--code-file", value, "--new-passphrase-file", "x", "--no-recovery"],
        &["vault", "passwd", "--new-passphrase-file", value],
    ] {
        let ran = world.run(arguments);
        assert!(ran.code != 0 && !ran.err.contains("CANARY"), "{arguments:?}: {}", ran.err);
    }
    world.run(&["show", "a-name/that-is-merely-long-and-has-a-1"]).fails(3, "that-is-merely-long");
}

#[test]
fn ctrl_c_at_a_question_is_130_and_the_cursor_is_back() {
    let world = World::own();
    world.run(&["generate", "a"]).ok();
    world.run(&["vault", "slot", "add", "keyfile", "k"]).ok();
    world.run(&["vault", "backup", "b"]).ok();
    let terminal = Terminal::shell(&world);
    for (line, question) in [
        ("keyvault vault slot remove 3", "Remove slot 3"),
        ("keyvault vault restore b", "Put the backup in the place of"),
        ("keyvault remove a", "Type its name"),
    ] {
        terminal.run(line, question);
        terminal.press("C-c");
        let (shown, code) = terminal.ended();
        assert_eq!(code, 130, "{line}: {shown}");
        assert!(shown.contains("Interrupted; nothing was done."), "{line}: {shown}");
        assert!(terminal.cursor_is_shown(), "{line}");
        terminal.run(line, question);
        terminal.press("Enter");
        assert_eq!(terminal.ended().1, 6, "{line}");
    }
    world.run(&["show", "a"]).ok();
    assert_eq!(
        world.run(&["vault", "slot", "list", "--json"]).ok().json()["slots"].as_array().unwrap().len(),
        3
    );
}

#[test]
fn enter_where_a_value_is_asked_for_changes_nothing() {
    let world = World::own();
    world.run_with_input(&["add", "h"], "good").ok();
    let terminal = Terminal::shell(&world);
    for line in ["keyvault rotate h", "keyvault add new"] {
        terminal.run(line, "Value of ");
        terminal.press("Enter");
        let (shown, code) = terminal.ended();
        assert!(code == 2 && shown.contains("No value was typed"), "{line}: {code} {shown}");
    }
    assert_eq!(world.run(&["show", "h", "--reveal"]).ok().out, "good");
    world.run(&["show", "new"]).fails(3, "");
}

#[test]
fn a_new_passphrase_may_come_from_stdin() {
    let mut world = World::own();
    world.run_with_input(&["vault", "passwd", "--new-passphrase-file", "-"], "another one\n").ok();
    world.run(&["list"]).fails(4, "");
    world.set("KEYVAULT_PASSPHRASE", "another one");
    world.run(&["list"]).ok();
}

#[test]
fn a_restore_over_a_rekeyed_vault_leaves_no_session_of_other_keys() {
    let world = World::own();
    let rekey = ["vault", "rekey", "--no-recovery", "--yes"];
    world.run(&["vault", "backup", "b1"]).ok();
    world.run(&rekey).ok();
    world.run(&["vault", "backup", "b2"]).ok();
    world.run(&["vault", "restore", "b1", "--yes"]).ok();
    world.run(&rekey).ok();
    world.run(&["unlock"]).ok();
    world.run(&["vault", "restore", "b2", "--yes"]).ok();
    world.run(&["list"]).ok();
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_sync_that_fails_at_the_commit_leaves_every_way_in_that_may_be_in_force() {
    for when in 1..12 {
        let world = with_new("the new one");
        world.run(&["vault", "slot", "add", "recovery", "--recovery-file", "old"]).ok();
        let mut recover = world.command("strace");
        let inject = format!("inject=fsync,fdatasync:error=EIO:when={when}");
        recover.args([
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "trace=fsync,fdatasync",
            "-e",
            &inject,
            KEYVAULT,
        ]);
        recover.args(["vault", "recover", "--code-file", "old", "--new-passphrase-file", "new"]);
        let ran = finish(recover.args(["--recovery-file", "code"]), b"");
        let mut list = world.command(KEYVAULT);
        let in_force = finish(list.env("KEYVAULT_PASSPHRASE", "the new one").arg("list"), b"").code == 0;
        let there = world.home().join("code").exists();
        assert!(!in_force || there, "{when}: the new code is in force and its file is gone: {}", ran.err);
        assert!(ran.code != 0 || in_force, "{when}");
        let code = if in_force { "code" } else { "old" };
        let again =
            ["vault", "recover", "--code-file", code, "--new-passphrase-file", "new", "--no-recovery"];
        world.run(&again).ok();
        if ran.code == 0 {
            return;
        }
    }
    panic!("it never ran clean");
}

#[test]
fn a_restore_says_what_it_undoes_after_the_passphrase_was_changed_too() {
    let mut world = with_new("the new one");
    world.run(&["generate", "kept"]).ok();
    world.run(&["generate", "edited", "--scope", "s"]).ok();
    world.run(&["vault", "backup", "b"]).ok();
    world.run(&["vault", "passwd", "--new-passphrase-file", "new"]).ok();
    world.set("KEYVAULT_PASSPHRASE", "the new one");
    world.run(&["generate", "more"]).ok();
    world.run(&["edit", "edited", "--unscope", "s"]).ok();
    std::fs::remove_dir_all(world.pins()).unwrap();
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    let restored = world.run(&["vault", "restore", "b", "--yes", "--json"]).ok();
    let answer = restored.json();
    assert_eq!(answer["lost"], serde_json::json!(["more"]));
    assert_eq!(answer["older"], serde_json::json!(["edited"]));
    assert_eq!(answer["other_ways"], true);
    assert!(restored.err.contains("Other ways in"), "{}", restored.err);
    let (found, superseded, now) = (&answer["found"], &answer["superseded"], &answer["change"]);
    assert!(now.as_u64() > superseded.as_u64() && superseded.as_u64() > found.as_u64(), "{answer}");
}

#[test]
fn a_revoked_version_does_not_come_back_with_a_backup() {
    let world = World::own();
    world.run(&["generate", "r"]).ok();
    world.run(&["generate", "w"]).ok();
    world.run(&["rotate", "w", "--grace", "1h"]).ok();
    world.run(&["vault", "backup", "b"]).ok();
    world.run(&["revoke", "r", "--reason", "leaked"]).ok();
    world.run(&["revoke", "w", "--version", "1", "--wipe"]).ok();
    world.run(&["edit", "r", "--rename", "renamed"]).ok();
    let answer = world.run(&["vault", "restore", "b", "--yes", "--json"]).ok().json();
    assert_eq!(answer["revoked"], serde_json::json!(["renamed", "w"]));
    world.run(&["show", "r", "--reveal"]).fails(6, "revoked");
    world.run(&["show", "w", "--version", "1", "--reveal"]).fails(6, "revoked");
    world.run(&["show", "w", "--reveal"]).ok();
    world.run(&["rollback", "r"]).fails(6, "");
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_rollback_gives_no_value_a_new_life() {
    let world = World::new();
    world.run(&["generate", "e", "--expires", "1s"]).ok();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    world.run(&["rotate", "e", "--expires", "1h"]).ok();
    world.run(&["rollback", "e"]).ok();
    // Version 1 was made for the lifetime that version 2 has now: an hour from when it was made.
    let expires: jiff::Timestamp =
        world.run(&["show", "e", "--json"]).ok().json()["expires"].as_str().unwrap().parse().unwrap();
    assert!(expires.duration_since(jiff::Timestamp::now()).as_secs() < 3600);
    world.run(&["generate", "f", "--expires", "2s"]).ok();
    std::thread::sleep(std::time::Duration::from_millis(2100));
    world.run(&["rotate", "f"]).ok();
    let said = world.run(&["rollback", "f"]).ok().out;
    assert!(said.contains("the key expires"), "{said}");
    world.run(&["show", "f", "--reveal"]).fails(6, "expired");
}

#[test]
fn a_rotation_after_a_rollback_gives_the_lifetime_that_the_key_had() {
    let world = World::new();
    let moment = |json: &serde_json::Value| -> jiff::Timestamp { json.as_str().unwrap().parse().unwrap() };
    let lifetime = || {
        let expires = moment(&world.run(&["show", "a", "--json"]).ok().json()["expires"]);
        let history = world.run(&["history", "a", "--json"]).ok().json();
        let versions = history["versions"].as_array().unwrap();
        let current = versions.iter().find(|version| version["state"] == "current").unwrap();
        expires.duration_since(moment(&current["created"]))
    };
    world.run(&["generate", "a", "--expires", "1h"]).ok();
    let whole = lifetime();
    for _ in 0..2 {
        world.run(&["rotate", "a"]).ok();
        assert_eq!(lifetime(), whole);
    }
    world.run(&["rollback", "a", "--to", "1"]).ok();
    assert_eq!(lifetime(), whole);
    world.run(&["rotate", "a"]).ok();
    assert_eq!(lifetime(), whole);
}

#[test]
fn a_log_that_a_reader_kept_from_being_folded_is_said_to_be_there() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    let reader = Connection::open(world.vault()).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM item;").unwrap();
    let said = world.run(&["revoke", "a", "--wipe"]).ok().err;
    assert!(said.contains("Done; but"), "{said}");
    drop(reader);
    assert_eq!(world.run(&["generate", "b"]).ok().err, "");
}

#[test]
fn completion_answers_its_own_scripts_only() {
    let mut world = World::own();
    for value in ["0", "1", "fish", "xx"] {
        world.set("KEYVAULT_COMPLETE", value);
        let ran = world.run(&["status"]);
        assert!(ran.out.contains("locked"), "{value}: {}", ran.out);
    }
}

#[test]
fn completion_leaves_no_trace() {
    let world = World::own();
    world.run(&["generate", "stripe/live"]).ok();
    world.run(&["unlock"]).ok();
    crate::file::drop_side_files(&world.vault());
    std::fs::set_permissions(world.vault(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let before = world.every_file();
    let mut complete = world.command(KEYVAULT);
    complete.env("KEYVAULT_COMPLETE", "fish").args(["--", "keyvault", "show", "str"]);
    let ran = finish(&mut complete, b"").ok();
    assert!(ran.out.contains("stripe/live"), "{}{}", ran.out, ran.err);
    assert!(world.every_file() == before, "a file was made or changed");
    let mode = std::fs::metadata(world.vault()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
}

#[test]
fn the_log_of_a_rekey_names_the_slots_that_went() {
    let world = World::own();
    world.run(&["vault", "rekey", "--no-recovery", "--yes"]).ok();
    let log = world.run(&["audit", "log", "--action", "rekey"]).ok().out;
    assert!(log.contains("epoch 2, dropped slot 2"), "{log}");
}
