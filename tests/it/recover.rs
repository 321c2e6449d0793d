//! `vault recover`: the code opens the vault, and a new one takes its place.

use std::os::unix::fs::PermissionsExt;

use pretty_assertions::assert_eq;

use crate::harness::vault_file::tamper;
use crate::harness::{KEYVAULT, PASSPHRASE, World, finish};

const NEW: &str = "another horse battery staple";

/// A world whose vault has a recovery code, in the file `code`.
fn with_code() -> World {
    let world = World::own();
    world.run(&["vault", "slot", "remove", "2", "--yes"]).ok();
    world.run(&["vault", "slot", "add", "recovery", "--recovery-file", "code"]).ok();
    world
}

/// A world with a passphrase file, for what asks twice.
fn with_files() -> World {
    let world = World::own();
    let file = world.file("new", PASSPHRASE);
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    world
}

#[test]
fn recover_sets_a_passphrase_and_issues_a_new_code() {
    let mut world = with_code();
    world.run(&["generate", "a"]).ok();
    let value = world.run(&["show", "a", "--reveal"]).ok().out;
    world.unset("KEYVAULT_PASSPHRASE");
    world.file("new", NEW);
    let recover = ["vault", "recover", "--code-file", "code", "--new-passphrase-file", "new"];
    world.run(&recover).fails_with(
        2,
        "
            error: The recovery code opens the vault, so it is not printed where it may be logged.
                   Say where it goes: `--recovery-file FILE` or `--json`. `--no-recovery` creates none.
        ",
    );
    world.run(&[&recover[..], &["--recovery-file", "code2"]].concat()).ok();
    world.set("KEYVAULT_PASSPHRASE", NEW);
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok().out, value);
    world.run(&[&recover[..], &["--no-recovery"]].concat()).fails_with(
        4,
        "
            error: That recovery code does not open this vault.
                   A code that was used or replaced no longer opens anything.
        ",
    );
    let again = ["vault", "recover", "--code-file", "code2", "--new-passphrase-file", "new", "--json"];
    let json = world.run(&again).ok().json();
    assert_eq!(json["recovery_code"].as_str().unwrap().len(), 47);
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_recovery_code_is_read_from_stdin_and_a_wrong_one_opens_nothing() {
    let world = with_code();
    world.file("new", NEW);
    let recover =
        ["vault", "recover", "--code-file", "-", "--new-passphrase-file", "new", "--recovery-file", "code2"];
    let wrong = "000G4-0R40M-30E20-9185G-R38E1-W8124-GKRZM-15SD8";
    world.run_with_input(&recover, wrong).fails_with(
        4,
        "
            error: That recovery code does not open this vault.
                   A code that was used or replaced no longer opens anything.
        ",
    );
    world.run_with_input(&recover, "nonsense").fails_with(
        4,
        "
            error: That is not a recovery code, which is eight groups of five characters.
                   0 and O are the same, as are 1, I and L. The last group is a checksum.
        ",
    );
    assert!(!world.home().join("code2").exists());
    let code = std::fs::read_to_string(world.home().join("code")).unwrap().to_lowercase().replace('-', " ");
    world.run_with_input(&recover, code).ok();
}

#[test]
fn a_wrong_code_and_a_wrong_key_file_are_named_as_such() {
    let world = with_files();
    world.run(&["vault", "slot", "add", "recovery", "--recovery-file", "code"]).ok();
    let recover = [
        "vault",
        "recover",
        "--code-file",
        "code",
        "--new-passphrase-file",
        "new",
        "--recovery-file",
        "next",
    ];
    world.run(&recover).ok();
    std::fs::remove_file(world.home().join("next")).unwrap();
    let again = world.run(&recover).fails_with(
        4,
        "
            error: That recovery code does not open this vault.
                   A code that was used or replaced no longer opens anything.
        ",
    );
    assert!(!again.err.contains("passphrase"), "{}", again.err);
    assert!(!world.home().join("next").exists());
    world.run(&["vault", "slot", "add", "keyfile", "own"]).ok();
    let other = with_files();
    other.run(&["vault", "slot", "add", "keyfile", "kf"]).ok();
    std::fs::copy(other.home().join("kf"), world.home().join("kf")).unwrap();
    let mut list = world.command(KEYVAULT);
    let list = finish(list.env("KEYVAULT_KEY_FILE", "kf").arg("list"), b"");
    list.fails_with(
        4,
        "
            error: That key file does not open this vault. (It came from KEYVAULT_KEY_FILE.)
                   Run `keyvault vault slot list` to see the slots.
        ",
    );
}

#[test]
fn a_recovery_code_mends_a_vault_whose_passphrase_slot_was_lost() {
    let mut world = World::empty();
    world.file("new", "another horse battery staple");
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    world.run(&["init", "--recovery-file", "code"]).ok();
    world.run(&["generate", "a"]).ok();
    tamper(&world, "DELETE FROM slot WHERE id = (SELECT min(id) FROM slot)");
    world.run(&["list"]).fails_with(4, "
            error: The vault has no slot for a passphrase. (It came from KEYVAULT_PASSPHRASE.)
                   Set KEYVAULT_KEY_FILE to a key file that opens it, or set a passphrase with `keyvault vault recover`.
        ");
    let recover = ["vault", "recover", "--code-file", "code", "--new-passphrase-file", "new"];
    world.run(&[&recover[..], &["--recovery-file", "code2"]].concat()).ok();
    world.set("KEYVAULT_PASSPHRASE", "another horse battery staple");
    world.run(&["vault", "check"]).ok();
    world.run(&["show", "a", "--reveal"]).ok();
}
