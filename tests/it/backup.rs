//! `vault backup`: a copy is whole, private, and takes nobody's name.

use std::os::unix::fs::PermissionsExt;

use pretty_assertions::assert_eq;

use crate::harness::vault_file::{drop_side_files, tamper};
use crate::harness::{PASSPHRASE, World};

#[test]
fn no_backup_takes_a_name_that_belongs_to_the_vault() {
    let world = World::new();
    for suffix in ["-journal", "-wal", "-shm"] {
        drop_side_files(&world.vault());
        let name = format!("{}{suffix}", world.vault().display());
        world.run(&["vault", "backup", &name]).fails(6, "");
        world.run(&["list"]).ok();
    }
    world.run(&["vault", "backup", "vault.db-journal"]).ok();
    let vault = world.vault();
    world.run(&["vault", "restore", vault.to_str().unwrap(), "--yes"]).fails_with(
        6,
        "
            error: The backup is the vault itself.
                   To accept a file that a sync or a snapshot put back: keyvault vault restore --adopt
        ",
    );
}

#[test]
fn a_backup_of_a_damaged_vault_is_no_success() {
    let world = World::own();
    for name in ["a", "b", "c"] {
        world.run(&["generate", name]).ok();
    }
    world.run(&["unlock"]).ok();
    world.run(&["vault", "backup", "whole"]).ok();
    tamper(&world, "DELETE FROM version");
    world.run(&["vault", "backup", "no-values"]).fails_with(5, "
            error: The vault is copied to no-values, but it is damaged.
                   Keep the older backups: a restore of this one drops the damaged rows. `keyvault vault check` shows them;
                   `keyvault vault rekey` keeps everything else.
        ");
    assert!(world.home().join("no-values").exists());
    world.run(&["lock"]).ok();
    // Without a key the pages are looked at.
    let bytes = std::fs::read(world.home().join("whole")).unwrap();
    let half = bytes.len() / 2;
    std::fs::write(world.vault(), [&bytes[..half], &vec![0xFF; 8192], &bytes[half + 8192..]].concat())
        .unwrap();
    drop_side_files(&world.vault());
    let ran = world.run(&["vault", "backup", "pages"]);
    assert_eq!(ran.code, 5, "{}", ran.err);
}

#[test]
fn where_a_backup_cannot_be_made_is_said_as_it_is() {
    let world = World::new();
    world
        .run(&["vault", "backup", "/proc/x"])
        .fails_with(1, "error: /proc/x: no file can be made in that folder.\n");
    world.run(&["vault", "backup", "new/"]).fails_with(
        1,
        "
            error: new/ is a folder.
                   Name a file.
        ",
    );
    world.run(&["vault", "backup", "no/b"]).fails_with(3, "error: no does not exist.\n");
}

#[test]
fn a_backup_is_whole_private_and_opens_on_another_machine() {
    let mut world = World::own();
    world.run(&["generate", "a"]).ok();
    let value = world.run(&["show", "a", "--reveal"]).ok().out;
    world.unset("KEYVAULT_PASSPHRASE");
    world.run(&["vault", "backup", "copy.db"]).ok();
    let copy = world.home().join("copy.db");
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o7777, 0o600);
    let before = std::fs::read(&copy).unwrap();
    world.run(&["vault", "backup", "copy.db"]).fails_with(
        6,
        "
            error: copy.db already exists and was not changed.
                   Choose another name.
        ",
    );
    assert!(std::fs::read(&copy).unwrap() == before);
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    world.set("XDG_STATE_HOME", world.path().join("elsewhere").to_str().unwrap().to_owned().as_str());
    assert_eq!(world.run(&["--vault", "copy.db", "show", "a", "--reveal"]).ok().out, value);
    world.run(&["--vault", "copy.db", "vault", "check"]).ok();
    let left: Vec<_> =
        std::fs::read_dir(world.home()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains(".new-")), "{left:?}");
}

#[test]
fn a_verified_backup_is_remembered_and_doctor_shows_its_age() {
    let mut world = World::own();
    world.run(&["generate", "a"]).ok();
    let backup = |world: &World| {
        let checks = world.run(&["doctor", "--json"]).json()["checks"].clone();
        let check = checks.as_array().unwrap().iter().find(|check| check["check"] == "backup").unwrap();
        check["what"].as_str().unwrap().to_owned()
    };
    world.run(&["vault", "backup", "unproved.db"]).ok();
    assert!(backup(&world).starts_with("none verified yet"), "{}", backup(&world));
    let proved = world.run(&["vault", "backup", "--verify", "copy.db", "--json"]).ok().json();
    assert_eq!(proved["proved_change"], 2);
    let told = backup(&world);
    assert!(told.starts_with("last verified ") && told.ends_with("copy.db, at change 2"), "{told}");
    let beside: Vec<_> =
        std::fs::read_dir(world.home()).unwrap().map(|found| found.unwrap().file_name()).collect();
    assert!(beside.iter().all(|name| !name.to_string_lossy().starts_with("copy.db-")), "{beside:?}");
    // One that does not hold is none.
    tamper(&world, "UPDATE version SET sealed = randomblob(120)");
    world.run(&["vault", "backup", "--verify", "damaged.db"]).fails_with(5, "
            warning: key a version 1: version 1 of a key does not match the tree
            error: The vault is copied to damaged.db, but it is damaged.
                   Keep the older backups: a restore of this one drops the damaged rows. `keyvault vault check` shows them;
                   `keyvault vault rekey` keeps everything else.
        ");
    assert_eq!(backup(&world), told);
    world.unset("KEYVAULT_PASSPHRASE");
    world.run(&["vault", "backup", "--verify", "locked.db"]).fails_with(
        4,
        "
            error: The vault is locked, and there is no terminal to prompt on.
                   Run `keyvault unlock` in a terminal, or set KEYVAULT_PASSPHRASE_FILE to
                   a file with the passphrase, KEYVAULT_PASSPHRASE to the passphrase itself,
                   or KEYVAULT_KEY_FILE to a key file.
        ",
    );
}
