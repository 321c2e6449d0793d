//! `audit log` and `audit verify`: every change is in the log, and a log that was cut is not shown as whole.

use pretty_assertions::assert_eq;

use crate::harness::vault_file::tamper;
use crate::harness::{PASSPHRASE, World, no_key};

#[test]
fn every_change_leaves_a_clean_vault_and_a_line_in_the_log() {
    let world = World::new();
    for line in [
        &["generate", "a", "--scope", "s"][..],
        &["rotate", "a", "--grace", "1h"],
        &["rollback", "a"],
        &["revoke", "a", "--version", "2"],
        &["rotate", "--scope", "s"],
        &["revoke", "a"],
    ] {
        world.run(line).ok();
        world.run(&["vault", "check"]).ok();
    }
    let log = world.run(&["audit", "log", "--json"]).ok().out;
    let actions: Vec<_> = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["action"].clone())
        .collect();
    assert_eq!(actions, ["init", "generate", "rotate", "rollback", "revoke", "rotate", "revoke"]);
}

/// A read on a device without a ledger, which goes to the vault's.
fn elsewhere(world: &World, read: &str) {
    world.sh(&format!("XDG_STATE_HOME=$PWD/elsewhere keyvault {read}")).ok();
}

#[test]
fn the_last_entries_are_the_newest_in_either_order() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        world.run(&["generate", name]).ok();
    }
    let shown = |arguments: &[&str]| {
        let log = world.run(&[&["audit", "log", "--json"], arguments].concat()).ok().out;
        let name =
            |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["keys"][0]["name"].clone();
        log.lines().map(name).collect::<Vec<_>>()
    };
    assert_eq!(shown(&["-n", "2"]), ["b", "c"]);
    assert_eq!(shown(&["-n", "2", "--reverse"]), ["c", "b"]);
    assert_eq!(shown(&["--key", "a", "--last", "5"]), ["a"]);
    assert!(shown(&["-n", "0"]).is_empty());
}

#[test]
fn a_log_that_was_cut_is_not_shown_as_whole() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    elsewhere(&world, "show a --reveal");
    tamper(&world, "DELETE FROM log WHERE id = (SELECT max(id) FROM log WHERE id >> 32 = 0);");
    world.run(&["audit", "log"]).fails_with(5, "
            error: ~/.local/share/keyvault/vault.db is damaged or was tampered with: the audit log: entry 2: entries were cut off or added.
                   Nothing was released. Run `keyvault vault check` to see the damaged rows, then `keyvault vault rekey` to keep the rest, or restore a backup.
        ");
    world.run(&["audit", "log", "--json"]).fails_with(5, r#"
            {"error":{"kind":"damaged","message":"~/.local/share/keyvault/vault.db is damaged or was tampered with: the audit log: entry 2: entries were cut off or added.","hint":"Nothing was released. Run `keyvault vault check` to see the damaged rows, then `keyvault vault rekey` to keep the rest, or restore a backup."}}
        "#);
}

/// A pipe gives a passphrase once.
#[test]
fn audit_verify_reads_a_passphrase_once() {
    let mut world = World::own();
    world.unset("KEYVAULT_PASSPHRASE");
    let verify = "KEYVAULT_PASSPHRASE_FILE=- keyvault audit verify";
    world
        .sh(&format!("printf '%s' '{}' | {verify}", PASSPHRASE))
        .prints("1 entry verified: all proved from the start of the audit log.\n");
}

#[test]
fn a_log_that_was_cut_names_the_first_entry_that_is_missing() {
    let world = World::own();
    world.run(&["generate", "k"]).ok();
    elsewhere(&world, "show k --reveal");
    world.run(&["show", "nobody", "--reveal"]).fails_with(3, &no_key("nobody"));
    elsewhere(&world, "export --only k");
    let log = world.run(&["audit", "log", "--json"]).ok().out;
    let entries: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(entries.iter().all(|entry| entry["outcome"] == "done"), "{log}");
    let count = entries.len();
    assert!(count >= 4, "{log}");
    for missing in [count - 1, count - 2] {
        tamper(&world, &format!("DELETE FROM log WHERE id = {missing}"));
        world.run(&["audit", "verify"]).fails_with(5, &format!("
            error: ~/.local/share/keyvault/vault.db is damaged or was tampered with: the audit log: entry {missing}: entries were cut off or added.
                   Nothing was released. Run `keyvault vault check` to see the damaged rows, then `keyvault vault rekey` to keep the rest, or restore a backup.
            "));
    }
}

#[test]
fn no_entry_of_the_log_names_a_version_that_does_not_exist() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    world.run(&["rotate", "a"]).ok();
    world.run(&["revoke", "a", "--version", "2"]).ok();
    world.run(&["rollback", "a"]).ok();
    world.run(&["revoke", "a"]).ok();
    world.run(&["remove", "a", "--yes"]).ok();
    world.run(&["audit", "log"]).prints(
        "
                0  2040-05-17 08:00  init  @  -  -
                1  2040-05-17 08:00  generate  ada@host tests -  a v1
                2  2040-05-17 08:00  rotate  ada@host tests -  a v2
                3  2040-05-17 08:00  revoke  ada@host tests -  a v2
                4  2040-05-17 08:00  rollback  ada@host tests -  a v1
                5  2040-05-17 08:00  revoke  ada@host tests -  a v1, a v2
                6  2040-05-17 08:00  remove  ada@host tests -  a
        ",
    );
}
