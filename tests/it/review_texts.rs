//! Sentences and remedies that a review found wrong: what they name, and that they work as they are printed.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use pretty_assertions::assert_eq;
use rusqlite::Connection;

use crate::file::{drop_side_files, put_back};
use crate::harness::World;

/// The line of a remedy that holds `word`.
fn line(said: &str, word: &str) -> String {
    said.lines()
        .find(|line| line.contains(word))
        .unwrap_or_else(|| panic!("{word}: {said}"))
        .trim()
        .to_owned()
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A world with a key in its vault and a backup `b` of it.
fn with_backup() -> World {
    let world = World::own();
    world.run(&["generate", "a"]).ok();
    world.run(&["vault", "backup", "b"]).ok();
    world
}

#[test]
fn a_journal_beside_the_vault_is_set_aside_alone_by_the_line_that_a_restore_prints() {
    let world = with_backup();
    let journal = world.vault().with_file_name("vault.db-journal");
    std::fs::write(&journal, "x").unwrap();
    let refused = world.run(&["vault", "restore", "b", "--yes"]).fails(5, "vault.db-journal");
    world.sh(&line(&refused.err, "mv ")).ok();
    assert!(!journal.exists() && world.vault().exists());
    world.run(&["vault", "check"]).ok();
    world.run(&["vault", "restore", "b", "--yes"]).ok();
}

#[test]
fn what_is_wrong_with_a_backup_is_mended_at_the_backup() {
    let world = with_backup();
    world.sh("mkdir folder; mkfifo pipe; ln -s b link; printf nothing > text; chmod 600 text").ok();
    for (file, remedy) in [
        ("folder", "Name a file that 'keyvault vault backup' wrote."),
        ("pipe", "Name a file that 'keyvault vault backup' wrote."),
        ("text", "Name a file that 'keyvault vault backup' wrote."),
        ("link", "Name the file that the link leads to."),
    ] {
        let said = world.run(&["vault", "restore", file, "--yes"]).fails(5, remedy).err;
        assert!(!said.contains("--vault"), "{file}: {said}");
    }
    // In a folder like /tmp: the line is followed with a folder's name.
    world.sh("mkdir shared; cp b shared/; chmod 600 shared/b").ok();
    set_mode(&world.home().join("shared"), 0o1777);
    let said = world.run(&["vault", "restore", "shared/b", "--yes"]).fails(5, "mkdir -m 700 FOLDER").err;
    world.sh(&line(&said, "mkdir").replace("FOLDER", "own")).ok();
    world.run(&["vault", "restore", "own/b", "--yes"]).ok();
    let whole = std::fs::read(world.home().join("b")).unwrap();
    world.file("text", &whole[..whole.len() - 100]);
    let said = world.run(&["vault", "restore", "text", "--yes"]).fails(5, "Take another backup.").err;
    assert!(!said.contains("vault check"), "{said}");
}

#[test]
fn a_check_that_cannot_look_at_the_rows_does_not_name_itself() {
    let world = World::own();
    world.run(&["generate", "a"]).ok();
    drop_side_files(&world.vault());
    let mut bytes = std::fs::read(world.vault()).unwrap();
    // Every page but the first, which says how to read the others.
    bytes[4096..].fill(0xA5);
    std::fs::write(world.vault(), bytes).unwrap();
    let said = world.run(&["vault", "check"]).fails(5, "'keyvault vault restore FILE'").err;
    assert!(!said.contains("'keyvault vault check'"), "{said}");
}

#[test]
fn a_vault_that_lost_its_log_gets_it_again_by_the_line_that_is_printed() {
    let world = World::own();
    world.run(&["generate", "a"]).ok();
    let converted = |mode: &str| {
        let connection = Connection::open(world.vault()).unwrap();
        let now: String =
            connection.query_row(&format!("PRAGMA journal_mode = {mode}"), [], |row| row.get(0)).unwrap();
        assert_eq!(now, mode);
    };
    converted("delete");
    world.run(&["list"]).fails(5, "PRAGMA journal_mode=WAL");
    // What the line does; sqlite3 itself need not be here.
    converted("wal");
    world.run(&["show", "a", "--reveal"]).ok();
}

#[test]
fn a_restore_says_how_many_changes_it_supersedes_and_that_it_ends_the_session() {
    let world = with_backup();
    world.run(&["unlock"]).ok();
    world.run(&["generate", "later"]).ok();
    world.run(&["generate", "latest"]).ok();
    let said = world.run(&["vault", "restore", "b", "--yes"]).ok().err;
    assert!(said.contains("2 changes since would be superseded, with what was logged"), "{said}");
    assert!(said.contains("The session that was open has ended"), "{said}");
    world.run(&["status"]).fails(4, "");
}

#[test]
fn what_only_looks_names_the_alarm_where_keys_are_at_hand() {
    let world = World::own();
    world.run(&["generate", "a"]).ok();
    let old = std::fs::read(world.vault()).unwrap();
    world.run(&["generate", "b"]).ok();
    world.run(&["unlock"]).ok();
    put_back(&world, &old);
    for command in [
        &["vault", "slot", "list"] as &[&str],
        &["audit", "verify"],
        &["vault", "backup", "copy"],
        &["status"],
    ] {
        let said = world.run(command).ok().err;
        assert!(said.contains("older than what was last seen here"), "{command:?}: {said}");
    }
    let status = world.run(&["status", "--json"]).ok().json();
    assert_eq!(status["alarm"], "older than what was last seen here");
    let doctor = world.run(&["doctor"]);
    assert!(doctor.code == 1 && doctor.out.contains("restore --adopt"), "{}", doctor.out);
    world.run(&["lock"]).ok();
    assert!(world.run(&["status", "--json"]).fails(4, "").json()["alarm"].is_null());
}

#[test]
fn a_rekey_with_a_key_file_alone_is_told_that_it_needs_the_passphrase() {
    let mut world = World::own();
    world.run(&["vault", "slot", "add", "keyfile", "kf"]).ok();
    world.unset("KEYVAULT_PASSPHRASE");
    world.set("KEYVAULT_KEY_FILE", "kf");
    let said = world.run(&["vault", "rekey", "--no-recovery", "--yes"]).fails(4, "needs the passphrase").err;
    assert!(!said.contains("KEYVAULT_KEY_FILE"), "{said}");
}

#[test]
fn a_credential_without_a_slot_is_named_with_what_gave_it() {
    let mut world = World::own();
    world.run(&["vault", "slot", "add", "keyfile", "kf"]).ok();
    world.run(&["vault", "slot", "remove", "3", "--yes"]).ok();
    world.set("KEYVAULT_KEY_FILE", "kf");
    let said = world.run(&["list"]).fails(4, "The vault has no slot for a key file.").err;
    assert!(said.contains("(It was given by KEYVAULT_KEY_FILE.)"), "{said}");
    world.run(&["vault", "slot", "add", "recovery", "--no-recovery"]).fails(2, "There is no option");
}

#[test]
fn the_first_passphrase_of_a_vault_takes_no_others_place() {
    let mut world = World::own();
    world.run(&["vault", "slot", "add", "keyfile", "kf"]).ok();
    world.run(&["vault", "slot", "remove", "1", "--yes"]).ok();
    world.unset("KEYVAULT_PASSPHRASE");
    world.set("KEYVAULT_KEY_FILE", "kf");
    set_mode(&world.file("new", "other words"), 0o600);
    let said = world.run(&["vault", "passwd", "--new-passphrase-file", "new"]).ok().err;
    assert!(said.contains("from now on") && !said.contains("the old one"), "{said}");
}

#[test]
fn a_second_revocation_gives_a_reason_where_there_was_none_and_says_where_one_stays() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    world.run(&["revoke", "a"]).ok();
    assert_eq!(world.run(&["revoke", "a", "--reason", "leaked"]).ok().err, "");
    let said = world.run(&["revoke", "a", "--version", "1", "--reason", "other"]).ok().err;
    assert!(said.contains("a was revoked before"), "{said}");
    let history = world.run(&["history", "a"]).ok().out;
    assert!(history.contains("leaked") && !history.contains("other"), "{history}");
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
    let log = world.run(&["audit", "log"]).ok().out;
    assert!(!log.contains("version 0") && !log.contains(" v0"), "{log}");
}

#[test]
fn where_a_backup_cannot_be_made_is_said_as_it_is() {
    let world = World::new();
    world.run(&["vault", "backup", "/proc/x"]).fails(1, "no file can be made in that folder");
    world.run(&["vault", "backup", "new/"]).fails(1, "new/ is a folder.");
    world.run(&["vault", "backup", "no/b"]).fails(3, "There is no no.");
}

#[test]
fn a_scope_of_revoked_keys_and_a_grace_below_nothing_are_told_so() {
    let world = World::new();
    world.run(&["generate", "a", "--scope", "s"]).ok();
    world.run(&["rotate", "a", "--grace", "-1h"]).fails(2, "is negative");
    world.run(&["rotate", "a", "--grace", "9999999w"]).fails(2, "longer than 100 years");
    world.run(&["revoke", "a"]).ok();
    let said = world.run(&["rotate", "--scope", "s"]).ok().err;
    assert_eq!(said, "Every key that carries the scope is revoked; nothing was changed.\n");
}
