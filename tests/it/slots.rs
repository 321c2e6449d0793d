//! `vault slot`: key files and recovery codes, the last one, and a slot that is missing.

use std::os::unix::fs::PermissionsExt;

use pretty_assertions::assert_eq;

use crate::harness::vault_file::tamper;
use crate::harness::{KEYVAULT, PASSPHRASE, World, finish};

fn kinds(world: &World) -> Vec<String> {
    let slots = world.run(&["vault", "slot", "list", "--json"]).ok().json();
    slots["slots"].as_array().unwrap().iter().map(|slot| slot["kind"].as_str().unwrap().to_owned()).collect()
}

/// A world with a passphrase file, for what asks twice.
fn with_files() -> World {
    let world = World::own();
    let file = world.file("new", PASSPHRASE);
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    world
}

#[test]
fn a_key_file_opens_until_its_slot_is_removed() {
    let mut world = World::own();
    world.run(&["generate", "a"]).ok();
    world.run(&["vault", "slot", "add", "keyfile", "machine.key"]).ok();
    let mode = std::fs::metadata(world.home().join("machine.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    world.run(&["vault", "slot", "add", "keyfile", "machine.key"]).fails(6, "machine.key");
    assert_eq!(kinds(&world), ["passphrase", "recovery code", "key file"]);
    world.unset("KEYVAULT_PASSPHRASE");
    world.run(&["show", "a"]).fails(4, "");
    world.set("KEYVAULT_KEY_FILE", "machine.key");
    world.run(&["exec", "--only", "a", "--", "true"]).ok();
    world.run(&["vault", "slot", "remove", "3"]).fails(2, "--yes");
    world.run(&["vault", "slot", "remove", "9", "--yes"]).fails(3, "no slot 9");
    world.run(&["vault", "slot", "remove", "3", "--yes"]).ok();
    world.run(&["show", "a"]).fails(4, "");
}

#[test]
fn the_last_way_in_is_never_removed() {
    let world = World::own();
    let said = world.run(&["vault", "slot", "remove", "2", "--yes"]).ok();
    assert!(said.err.contains("Only one slot with full access is left"), "{}", said.err);
    world.run(&["vault", "slot", "remove", "1", "--yes"]).fails(6, "the last one with full access");
    world.run(&["show", "a"]).fails(3, "No key named `a`");
}

#[test]
fn a_session_is_not_enough_for_the_ways_in() {
    let mut world = World::own();
    world.run(&["unlock"]).ok();
    world.unset("KEYVAULT_PASSPHRASE");
    world.run(&["vault", "slot", "list"]).ok();
    world.run(&["vault", "slot", "add", "keyfile", "k"]).fails(4, "");
    world.run(&["vault", "slot", "remove", "2", "--yes"]).fails(4, "");
    world.run(&["vault", "rekey", "--keep-passphrase", "--no-recovery", "--yes"]).fails(4, "");
    assert!(!world.home().join("k").exists());
}

#[test]
fn a_code_that_was_lost_with_its_answer_is_said_to_be_lost() {
    let world = with_files();
    let ran = world.sh("keyvault vault slot add recovery --json >/dev/full");
    ran.fails(1, "keyvault vault slot add recovery --recovery-file FILE");
}

#[test]
fn what_is_there_already_is_refused_with_6_and_a_missing_folder_is_named() {
    let world = with_files();
    world.file("there", "mine");
    for command in [
        &["vault", "slot", "add", "keyfile", "there"] as &[&str],
        &["vault", "backup", "there"],
        &["vault", "slot", "add", "recovery", "--recovery-file", "there"],
    ] {
        world.run(command).fails(6, "there already exists and was not changed");
    }
    assert_eq!(std::fs::read_to_string(world.home().join("there")).unwrap(), "mine");
    world.run(&["vault", "slot", "add", "keyfile", "no/x"]).fails(1, "The folder of no/x does not exist");
    let backup = world.run(&["vault", "backup", "no/x"]);
    assert!(backup.code == 3 && !backup.err.contains(".new-"), "{}", backup.err);
    assert_eq!(
        world.run(&["vault", "slot", "list", "--json"]).ok().json()["slots"].as_array().unwrap().len(),
        2
    );
}

#[test]
fn a_slot_whose_row_was_taken_away_is_missed_by_every_change_of_the_ways_in() {
    let world = World::own();
    world.run(&["vault", "slot", "add", "keyfile", "kf"]).ok();
    world.file("new", "another horse battery staple");
    world.run(&["vault", "backup", "before"]).ok();
    tamper(&world, "DELETE FROM slot WHERE id = 1");
    let by_file = |arguments: &[&str]| {
        let mut command = world.command(KEYVAULT);
        command.env_remove("KEYVAULT_PASSPHRASE").env("KEYVAULT_KEY_FILE", world.home().join("kf"));
        finish(command.args(arguments), b"")
    };
    let listed = by_file(&["vault", "slot", "list"]).ok();
    assert!(listed.err.contains("Slot 1 is missing from the file."), "{}", listed.err);
    by_file(&["vault", "check"]).fails(5, "");
    // What writes the ways in anew mends it, and takes the missing one out for good.
    by_file(&["vault", "passwd", "--new-passphrase-file", "new"]).ok();
    by_file(&["vault", "check"]).ok();
    let log = by_file(&["audit", "log", "--action", "passwd"]).ok().out;
    assert!(log.contains("slot 1 was missing"), "{log}");
    tamper(
        &world,
        &format!(
            "ATTACH '{}' AS old; REPLACE INTO slot SELECT * FROM old.slot WHERE id = 1",
            world.home().join("before").display()
        ),
    );
    world.run(&["list"]).fails(5, "slot");
}

#[test]
fn a_credential_without_a_slot_is_named_with_what_gave_it() {
    let mut world = World::own();
    world.run(&["vault", "slot", "add", "keyfile", "kf"]).ok();
    world.run(&["vault", "slot", "remove", "3", "--yes"]).ok();
    world.set("KEYVAULT_KEY_FILE", "kf");
    let said = world.run(&["list"]).fails(4, "The vault has no slot for a key file.").err;
    assert!(said.contains("(It came from KEYVAULT_KEY_FILE.)"), "{said}");
    world.run(&["vault", "slot", "add", "recovery", "--no-recovery"]).fails(2, "Unknown option");
}
