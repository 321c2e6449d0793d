//! `vault passwd`: it changes the one slot, and says what it does not do.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use pretty_assertions::assert_eq;

use crate::harness::{PASSPHRASE, World};

const NEW: &str = "another horse battery staple";

fn kinds(world: &World) -> Vec<String> {
    let slots = world.run(&["vault", "slot", "list", "--json"]).ok().json();
    slots["slots"].as_array().unwrap().iter().map(|slot| slot["kind"].as_str().unwrap().to_owned()).collect()
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn passwd_changes_the_one_slot_and_says_what_it_does_not_do() {
    let mut world = World::own();
    world.run(&["generate", "a"]).ok();
    let value = world.run(&["show", "a", "--reveal"]).ok().out;
    let old = std::fs::read(world.vault()).unwrap();
    world.file("new", NEW);
    world.run(&["vault", "passwd", "--new-passphrase-file", "new"]).is(
        0,
        "
            The passphrase is changed. Older copies of the vault still open with the old one.
            If someone may know it, run `keyvault vault rekey` and rotate the keys.
        ",
        "warning: Others can read new. Fix it: chmod 600 new\n",
    );
    world.run(&["show", "a", "--reveal"]).fails_with(
        4,
        "
            error: That is not the vault's passphrase. (It came from KEYVAULT_PASSPHRASE.)
                   If it is lost, or its slot is damaged, set a new one with the recovery code: keyvault vault recover
        ",
    );
    world.set("KEYVAULT_PASSPHRASE", NEW);
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok().out, value);
    world.run(&["vault", "check"]).ok();
    assert_eq!(kinds(&world), ["passphrase", "recovery code"]);
    // The warning about old copies is true.
    std::fs::write(world.home().join("old.db"), old).unwrap();
    std::fs::set_permissions(world.home().join("old.db"), std::fs::Permissions::from_mode(0o600)).unwrap();
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    world.set("XDG_STATE_HOME", world.path().join("elsewhere").to_str().unwrap().to_owned().as_str());
    assert_eq!(world.run(&["--vault", "old.db", "show", "a", "--reveal"]).ok().out, value);
}

#[test]
fn passwd_without_a_terminal_or_a_file_is_refused_before_anything() {
    let world = World::new();
    let before = std::fs::read(world.vault()).unwrap();
    world.run(&["vault", "passwd"]).fails_with(
        2,
        "
            error: No new passphrase given, and there is no terminal to prompt on.
                   Use `--new-passphrase-file FILE`.
        ",
    );
    assert!(std::fs::read(world.vault()).unwrap() == before);
}

#[test]
fn the_first_passphrase_of_a_vault_takes_no_others_place() {
    let mut world = World::own();
    world.run(&["vault", "slot", "add", "keyfile", "kf"]).ok();
    world.run(&["vault", "slot", "remove", "1", "--yes"]).ok();
    world.unset("KEYVAULT_PASSPHRASE");
    world.set("KEYVAULT_KEY_FILE", "kf");
    set_mode(&world.file("new", "other words"), 0o600);
    world.run(&["vault", "passwd", "--new-passphrase-file", "new"]).prints(
        "
            This passphrase now opens the vault, and so does what opened it before.
            It does not open older copies.
        ",
    );
}

#[test]
fn a_new_passphrase_may_come_from_stdin() {
    let mut world = World::own();
    world.run_with_input(&["vault", "passwd", "--new-passphrase-file", "-"], "another one\n").ok();
    world.run(&["list"]).fails_with(
        4,
        "
            error: That is not the vault's passphrase. (It came from KEYVAULT_PASSPHRASE.)
                   If it is lost, or its slot is damaged, set a new one with the recovery code: keyvault vault recover
        ",
    );
    world.set("KEYVAULT_PASSPHRASE", "another one");
    world.run(&["list"]).ok();
}
