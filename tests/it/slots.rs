//! `vault slot`: key files and recovery codes, the last one, and a slot that is missing.

use std::os::unix::fs::PermissionsExt;

use pretty_assertions::assert_eq;

use crate::harness::vault_file::tamper;
use crate::harness::{KEYVAULT, PASSPHRASE, World, finish, no_key};

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
    world.run(&["vault", "slot", "add", "keyfile", "machine.key"]).fails_with(
        6,
        "
            error: machine.key already exists and was not changed.
                   Choose another name.
        ",
    );
    assert_eq!(kinds(&world), ["passphrase", "recovery code", "key file"]);
    world.unset("KEYVAULT_PASSPHRASE");
    world.run(&["show", "a"]).fails_with(
        4,
        "
            error: The vault is locked, and there is no terminal to prompt on.
                   Run `keyvault unlock` in a terminal, or set KEYVAULT_PASSPHRASE_FILE to
                   a file with the passphrase, KEYVAULT_PASSPHRASE to the passphrase itself,
                   or KEYVAULT_KEY_FILE to a key file.
        ",
    );
    world.set("KEYVAULT_KEY_FILE", "machine.key");
    world.run(&["exec", "--only", "a", "--", "true"]).ok();
    world.run(&["vault", "slot", "remove", "3"]).fails_with(
        2,
        "
            error: This cannot be undone, and there is no terminal to prompt on.
                   Use `--yes` to confirm.
        ",
    );
    world.run(&["vault", "slot", "remove", "9", "--yes"]).fails_with(
        3,
        "
            error: The vault has no slot 9.
                   Run `keyvault vault slot list` to see the slots.
        ",
    );
    world.run(&["vault", "slot", "remove", "3", "--yes"]).ok();
    world.run(&["show", "a"]).fails_with(
        4,
        "
            error: The vault has no slot for a key file. (It came from KEYVAULT_KEY_FILE.)
                   Run `keyvault vault slot list` to see the slots.
        ",
    );
}

#[test]
fn the_last_slot_with_full_access_is_never_removed() {
    let world = World::own();
    world.run(&["vault", "slot", "remove", "2", "--yes"]).is(0, "Slot 2 (recovery code) no longer opens this vault. Older copies still open with it.\n", "
            warning: This is the only recovery code. Without one, a lost passphrase cannot be replaced. Create another: keyvault vault slot add recovery
            warning: Only one slot with full access is left. If it is lost, so is the vault.
        ");
    world.run(&["vault", "slot", "remove", "1", "--yes"]).fails_with(
        6,
        "
            error: Slot 1 is the last one with full access and was not removed.
                   Add another first: keyvault vault slot add keyfile FILE
        ",
    );
    world.run(&["show", "a"]).fails_with(3, &no_key("a"));
}

#[test]
fn a_session_is_not_enough_for_the_ways_in() {
    let mut world = World::own();
    world.run(&["unlock"]).ok();
    world.unset("KEYVAULT_PASSPHRASE");
    world.run(&["vault", "slot", "list"]).ok();
    world.run(&["vault", "slot", "add", "keyfile", "k"]).fails_with(
        4,
        "
            error: This needs the passphrase or a key file, and there is no terminal to prompt on.
                   Run it in a terminal, or set KEYVAULT_PASSPHRASE_FILE to a file with
                   the passphrase, KEYVAULT_PASSPHRASE to the passphrase itself, or
                   KEYVAULT_KEY_FILE to a key file.
        ",
    );
    world.run(&["vault", "slot", "remove", "2", "--yes"]).fails_with(
        4,
        "
            error: This needs the passphrase or a key file, and there is no terminal to prompt on.
                   Run it in a terminal, or set KEYVAULT_PASSPHRASE_FILE to a file with
                   the passphrase, KEYVAULT_PASSPHRASE to the passphrase itself, or
                   KEYVAULT_KEY_FILE to a key file.
        ",
    );
    world.run(&["vault", "rekey", "--keep-passphrase", "--no-recovery", "--yes"]).fails_with(4, "
            error: A rekey with `--keep-passphrase` needs the passphrase, and there is no terminal to prompt on.
                   Run it in a terminal, or set KEYVAULT_PASSPHRASE_FILE to a file with
                   the passphrase, or KEYVAULT_PASSPHRASE to the passphrase itself.
        ");
    assert!(!world.home().join("k").exists());
}

#[test]
fn a_code_that_was_lost_with_its_answer_is_said_to_be_lost() {
    let world = with_files();
    let ran = world.sh("keyvault vault slot add recovery --json >/dev/full");
    ran.fails_with(1, r#"
            {"error":{"kind":"failed","message":"The answer could not be written to standard output: no space left on device.","hint":"The change was made, but the new recovery code is lost. Create another:\n  keyvault vault slot add recovery --recovery-file FILE"}}
        "#);
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
        world.run(command).fails_with(
            6,
            "
                error: there already exists and was not changed.
                       Choose another name.
            ",
        );
    }
    assert_eq!(std::fs::read_to_string(world.home().join("there")).unwrap(), "mine");
    world.run(&["vault", "slot", "add", "keyfile", "no/x"]).fails_with(
        1,
        "
            error: The folder of no/x does not exist.
                   Create it first.
        ",
    );
    world.run(&["vault", "backup", "no/x"]).fails_with(3, "error: no does not exist.\n");
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
    by_file(&["vault", "slot", "list"]).is(0, "SLOT  KIND           ABOUT\n   2  recovery code\n   3  key file\n", "
            warning: Slot 1 is missing from the file. To remove what does not belong to the vault, run `keyvault vault slot remove --strays`.
        ");
    by_file(&["vault", "check"]).is(5, "
            0 keys, 0 versions, 2 audit log entries, change 2
            damaged leaf <hex>: stands for no row
        ", "
            warning: Slot 1 is missing from the file. To remove what does not belong to the vault, run `keyvault vault slot remove --strays`.
            Run `keyvault vault rekey` to keep everything that is not damaged, or restore a backup with
            `keyvault vault restore FILE`. docs/recovery.md has other options.
        ");
    // A command that writes the slots anew mends it, and takes the missing one out for good.
    by_file(&["vault", "passwd", "--new-passphrase-file", "new"]).ok();
    by_file(&["vault", "check"]).ok();
    by_file(&["audit", "log", "--action", "passwd"])
        .prints("2  2040-05-17 08:00  passwd  ada@host tests -  -  (passphrase, slot 1 was missing)\n");
    tamper(
        &world,
        &format!(
            "ATTACH '{}' AS old; REPLACE INTO slot SELECT * FROM old.slot WHERE id = 1",
            world.home().join("before").display()
        ),
    );
    world.run(&["list"]).fails_with(5, "
            error: ~/.local/share/keyvault/vault.db is damaged or was tampered with: slot does not match the tree.
                   Nothing was released. Run `keyvault vault check` to see the damaged rows, then `keyvault vault rekey` to keep the rest, or restore a backup.
        ");
}

#[test]
fn a_credential_without_a_slot_is_named_with_what_gave_it() {
    let mut world = World::own();
    world.run(&["vault", "slot", "add", "keyfile", "kf"]).ok();
    world.run(&["vault", "slot", "remove", "3", "--yes"]).ok();
    world.set("KEYVAULT_KEY_FILE", "kf");
    world.run(&["list"]).fails_with(
        4,
        "
            error: The vault has no slot for a key file. (It came from KEYVAULT_KEY_FILE.)
                   Run `keyvault vault slot list` to see the slots.
        ",
    );
    world.run(&["vault", "slot", "add", "recovery", "--no-recovery"]).fails_with(
        2,
        "
            error: Unknown option `--no-recovery`.
                   Did you mean `--non-interactive`?
        ",
    );
}
