//! `vault restore`: what it puts in the vault's place, what it says first, and what is mended where it cannot.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use pretty_assertions::assert_eq;
use rusqlite::Connection;

use crate::harness::bearer::{ENV, held, seen, token, with_keys};
use crate::harness::vault_file::drop_side_files;
use crate::harness::{PASSPHRASE, World, no_key};

fn add(world: &World, name: &str, value: &str) {
    world.run_with_input(&["add", name], value).ok();
}

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

/// A world of its own with a private file `new` that holds `passphrase`.
fn with_new(passphrase: &str) -> World {
    let world = World::own();
    let file = world.file("new", passphrase);
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    world
}

#[test]
fn a_damaged_backup_takes_nothings_place() {
    let world = World::own();
    for name in ["k1", "k2"] {
        world.run(&["generate", name]).ok();
    }
    world.run(&["vault", "backup", "bf"]).ok();
    let backup = world.home().join("bf");
    let connection = Connection::open(&backup).unwrap();
    connection.execute_batch("UPDATE version SET sealed = zeroblob(length(sealed))").unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(connection);
    drop_side_files(&backup);
    let before = std::fs::read(world.vault()).unwrap();
    world.run(&["vault", "restore", "bf", "--yes"]).fails_with(5, "
            warning: Damaged values would be dropped: k1 version 1, k2 version 1. The keys stay; give each a new value with `keyvault rotate NAME`.
            error: bf is damaged: 2 values would be lost.
                   Nothing was changed. Restore another backup, or continue without them with `--drop-damaged`.
        ");
    assert!(std::fs::read(world.vault()).unwrap() == before);
    world.run(&["vault", "check"]).ok();
}

#[test]
fn the_remedy_for_a_vault_that_cannot_be_replaced_works_as_it_is_printed() {
    let world = World::own();
    world.run(&["generate", "a"]).ok();
    world.run(&["vault", "backup", "b"]).ok();
    std::fs::write(world.vault(), b"no vault at all").unwrap();
    let refused = world.run(&["vault", "restore", "b", "--yes"]);
    assert_eq!(refused.code, 5, "{}", refused.err);
    let remedy = refused.err.lines().find(|line| line.contains("for part in")).unwrap().trim().to_owned();
    world.sh(&format!("{{ {remedy}; }} 2>/dev/null; true")).ok();
    world.run(&["vault", "restore", "b", "--yes"]).ok();
    world.run(&["show", "a"]).ok();
}

#[test]
fn what_a_killed_restore_left_beside_the_vault_goes_with_the_next_one_and_nothing_else() {
    let world = World::own();
    world.run(&["vault", "backup", "b"]).ok();
    let folder = world.vault().parent().unwrap().to_owned();
    for (name, age) in [
        ("vault.db.new-00aa00aa00aa00aa", 7200),
        ("vault.db.new-00aa00aa00aa00aa-wal", 7200),
        ("vault.db.new-11bb11bb11bb11bb", 60),
        // Somebody's own.
        ("vault.db.new-laptop", 7200),
        ("vault.db.new-00aa00aa00aa00aa0", 7200),
    ] {
        let file = std::fs::File::create(folder.join(name)).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(age)).unwrap();
    }
    world.run(&["vault", "restore", "b", "--yes"]).ok();
    let mut left: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains(".new-"))
        .collect();
    left.sort();
    // The younger one may be somebody's who is at work.
    let own = ["vault.db.new-00aa00aa00aa00aa0", "vault.db.new-11bb11bb11bb11bb", "vault.db.new-laptop"];
    assert_eq!(left, own);
}

#[test]
fn a_wrong_passphrase_for_a_backup_leaves_nothing_in_it() {
    let mut world = World::own();
    world.run(&["generate", "k"]).ok();
    world.run(&["vault", "backup", "b"]).ok();
    world.run(&["unlock"]).ok();
    let before = std::fs::read(world.home().join("b")).unwrap();
    world.set("KEYVAULT_PASSPHRASE", "not this one");
    world.run(&["vault", "restore", "b", "--yes"]).fails_with(
        4,
        "
            error: That is not the vault's passphrase. (It came from KEYVAULT_PASSPHRASE.)
                   The backup opens with what opened the vault when the backup was made.
        ",
    );
    assert!(std::fs::read(world.home().join("b")).unwrap() == before);
    let log = std::fs::metadata(world.home().join("b-wal")).map_or(0, |log| log.len());
    assert_eq!(log, 0);
    world.run(&["lock"]).ok();
}

#[test]
fn a_restore_where_the_vault_is_gone_says_what_this_machine_saw() {
    let world = World::new();
    add(&world, "a", "leaked");
    world.run(&["vault", "backup", "b"]).ok();
    world.run(&["revoke", "a"]).ok();
    std::fs::remove_file(world.vault()).unwrap();
    drop_side_files(&world.vault());
    world.run(&["vault", "restore", "b", "--yes"]).is(0, "Restored ~/.local/share/keyvault/vault.db from the backup at change 2. It is now at change 4.\n", "This machine had seen change 3: later changes are missing, and what was revoked since is valid again. Check every key.\n");
}

#[test]
fn a_restore_of_a_vault_that_was_rekeyed_says_so_and_calls_no_key_changed() {
    let mut world = World::own();
    add(&world, "a", "1");
    world.run(&["vault", "backup", "b"]).ok();
    world.run(&["vault", "rekey", "--keep-passphrase", "--no-recovery", "--yes"]).ok();
    world.run(&["vault", "restore", "b"]).fails_with(2, "
            The backup is at change 2; the vault here is at change 3.
            1 change since the backup would be superseded, with its audit log entry and those of reads.
            The backup is from before the last rekey. Its keys would be sealed again under the vault's present root key, and the vault keeps its slots.
            error: This cannot be undone, and there is no terminal to prompt on.
                   Use `--yes` to confirm.
        ");
    world.file("new", "another horse battery staple");
    world.run(&["vault", "passwd", "--new-passphrase-file", "new"]).ok();
    world.run(&["vault", "restore", "b"]).fails_with(2, "
            The backup is at change 2; the vault here does not open with what opens the backup, so it is unknown what would be lost.
            Everything revoked since the backup would be valid again, except what is listed here. Check every key.
            To keep what was revoked and the vault's slots, give the vault's passphrase as usual, and the backup's with `--backup-passphrase-file FILE`.
            The backup is from before the last rekey. Its keys would be sealed again under a new root key, and only the passphrase of the backup would open the vault.
            error: This cannot be undone, and there is no terminal to prompt on.
                   Use `--yes` to confirm.
        ");
    world.unset("KEYVAULT_PASSPHRASE");
}

#[test]
fn a_journal_beside_the_vault_is_set_aside_alone_by_the_line_that_a_restore_prints() {
    let world = with_backup();
    let journal = world.vault().with_file_name("vault.db-journal");
    std::fs::write(&journal, "x").unwrap();
    let refused = world.run(&["vault", "restore", "b", "--yes"]).fails_with(5, "
            error: ~/.local/share/keyvault/vault.db-journal is next to the vault, and opening the vault would apply it.
                   Nothing was changed. Move it aside, then restore again:
                     mv '~/.local/share/keyvault/vault.db-journal' '~/.local/share/keyvault/vault.db-journal'.aside
        ");
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
        ("folder", "Name a file that `keyvault vault backup` wrote."),
        ("pipe", "Name a file that `keyvault vault backup` wrote."),
        ("text", "Name a file that `keyvault vault backup` wrote."),
        ("link", "Name the file that the link points to."),
    ] {
        let said = world.run(&["vault", "restore", file, "--yes"]).fails(5, remedy).err;
        assert!(!said.contains("--vault"), "{file}: {said}");
    }
    // In a folder like /tmp: the line is followed with a folder's name.
    world.sh("mkdir shared; cp b shared/; chmod 600 shared/b").ok();
    set_mode(&world.home().join("shared"), 0o1777);
    let said = world.run(&["vault", "restore", "shared/b", "--yes"]).fails_with(5, "
            error: Others can write to ~/shared (mode 1777).
                   The vault here was not changed. A backup must be where no one else can write. Copy it, and name the copy:
                     mkdir -m 700 FOLDER; cp 'shared/b' FOLDER/
        ").err;
    world.sh(&line(&said, "mkdir").replace("FOLDER", "own")).ok();
    world.run(&["vault", "restore", "own/b", "--yes"]).ok();
    let whole = std::fs::read(world.home().join("b")).unwrap();
    world.file("text", &whole[..whole.len() - 100]);
    world.run(&["vault", "restore", "text", "--yes"]).fails_with(
        5,
        "
            warning: ~/text is damaged: the file is cut off within a page. Everything else in it that verifies is kept.
            warning: Damaged values would be dropped: a version 1. The keys stay; give each a new value with `keyvault rotate NAME`.
            error: text is damaged: 1 value would be lost.
                   Nothing was changed. Restore another backup, or continue without them with `--drop-damaged`.
        ",
    );
}

#[test]
fn a_restore_says_how_many_changes_it_supersedes_and_that_it_ends_the_session() {
    let world = with_backup();
    world.run(&["unlock"]).ok();
    world.run(&["generate", "later"]).ok();
    world.run(&["generate", "latest"]).ok();
    world.run(&["vault", "restore", "b", "--yes"]).is(
        0,
        "
            The backup is at change 2; the vault here was at change 4.
            2 changes since the backup were superseded, with their audit log entries and those of reads.
            2 keys were lost: later, latest
            Restored ~/.local/share/keyvault/vault.db from the backup at change 2. It is now at change 5.
        ",
        "The open session has ended. Open another with `keyvault unlock`.\n",
    );
    world.run(&["status"]).is(
        4,
        "
            vault        ~/.local/share/keyvault/vault.db
            session      locked; open a session with `keyvault unlock`
        ",
        "",
    );
}

#[test]
fn a_restore_or_an_adoption_locks_no_bearer_out_that_saw_what_it_supersedes() {
    let mut world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    world.run(&["vault", "backup", "backup.db"]).ok();
    let old = std::fs::read(world.vault()).unwrap();
    world.run_with_input(&["rotate", "a"], "value-a2").ok();
    assert_eq!(seen(held(&world, &token, &ENV)), ["A=value-a2", "B=value-b"]);
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    world.run(&["vault", "restore", "backup.db", "--yes"]).ok();
    assert_eq!(seen(held(&world, &token, &ENV)), ["A=value-a", "B=value-b"]);
    world.run(&["vault", "check"]).ok();
    world.run_with_input(&["rotate", "a"], "value-a3").ok();
    held(&world, &token, &ENV).ok();
    crate::harness::vault_file::put_back(&world, &old);
    held(&world, &token, &ENV).fails_with(125, "
            error: The grants of token `ci` at change 6 are older than what this machine saw at change 9.
                   Put the newer vault back. If its owner restored a backup, any change to a granted key resolves this.
        ");
    world.run(&["vault", "restore", "--adopt", "--yes"]).ok();
    assert_eq!(seen(held(&world, &token, &ENV)), ["A=value-a", "B=value-b"]);
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_restore_over_a_rekeyed_vault_leaves_no_session_of_other_keys() {
    let world = World::own();
    let rekey = ["vault", "rekey", "--keep-passphrase", "--no-recovery", "--yes"];
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
    assert_eq!(answer["other_slots"], true);
    assert!(restored.err.contains("The backup's slots apply"), "{}", restored.err);
    let (found, superseded, now) = (&answer["found"], &answer["superseded"], &answer["change"]);
    assert!(now.as_u64() > superseded.as_u64() && superseded.as_u64() > found.as_u64(), "{answer}");
}

#[test]
fn a_restore_says_what_it_supersedes_and_the_vault_goes_on_above_it() {
    let world = World::own();
    world.run(&["generate", "kept"]).ok();
    world.run(&["generate", "turned"]).ok();
    world.run(&["generate", "removed"]).ok();
    let turned = world.run(&["show", "turned", "--reveal"]).ok().out;
    world.run(&["vault", "backup", "copy.db"]).ok();
    world.run(&["generate", "later"]).ok();
    world.run(&["rotate", "turned"]).ok();
    world.run(&["remove", "removed", "--yes"]).ok();
    world.run(&["vault", "restore", "copy.db"]).fails_with(
        2,
        "
            The backup is at change 4; the vault here is at change 7.
            3 changes since the backup would be superseded, with their audit log entries and those of reads.
            1 key would be lost: later
            1 key would return to an earlier state: turned
            1 key would come back: removed
            error: This cannot be undone, and there is no terminal to prompt on.
                   Use `--yes` to confirm.
        ",
    );
    let answer = world.run(&["vault", "restore", "copy.db", "--yes", "--json"]).ok();
    let json = answer.json();
    assert_eq!(json["lost"], serde_json::json!(["later"]));
    assert_eq!(json["older"], serde_json::json!(["turned"]));
    assert_eq!(json["back"], serde_json::json!(["removed"]));
    assert_eq!((&json["found"], &json["superseded"], &json["change"]), (&4.into(), &7.into(), &8.into()));
    assert!(answer.err.contains("1 key was lost: later"), "{}", answer.err);
    assert_eq!(world.run(&["show", "turned", "--reveal"]).ok().out, turned);
    world.run(&["show", "later"]).fails_with(3, &no_key("later"));
    world.run(&["vault", "check"]).ok();
    world.run(&["audit", "verify"]).ok();
    world.run(&["generate", "after"]).ok();
}

#[test]
fn a_restore_where_there_is_no_vault_brings_it_back() {
    let world = World::own();
    world.run(&["generate", "a"]).ok();
    let value = world.run(&["show", "a", "--reveal"]).ok().out;
    world.run(&["vault", "backup", "copy.db"]).ok();
    world.run(&["generate", "b"]).ok();
    std::fs::remove_file(world.vault()).unwrap();
    for side in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{side}", world.vault().display()));
    }
    world.run(&["vault", "restore", "copy.db"]).ok();
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok().out, value);
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_backup_of_another_vault_or_a_damaged_one_changes_nothing() {
    let world = World::own();
    let other = World::own();
    other.run(&["vault", "backup", "copy.db"]).ok();
    let foreign = std::fs::read(other.home().join("copy.db")).unwrap();
    world.run(&["generate", "a"]).ok();
    let before = std::fs::read(world.vault()).unwrap();
    let put = |bytes: &[u8]| {
        std::fs::write(world.home().join("copy.db"), bytes).unwrap();
        std::fs::set_permissions(world.home().join("copy.db"), std::fs::Permissions::from_mode(0o600))
            .unwrap();
    };
    put(&foreign);
    world.run(&["vault", "restore", "copy.db", "--yes"]).fails_with(
        6,
        "
            error: The backup belongs to another vault.
                   Nothing was changed. To restore it next to this vault, use `--vault PATH`.
        ",
    );
    put(b"not a vault");
    world.run(&["vault", "restore", "copy.db", "--yes"]).fails_with(
        5,
        "
            error: copy.db is not a vault.
                   The vault here was not changed. Name a file that `keyvault vault backup` wrote.
        ",
    );
    let mut damaged = before.clone();
    let middle = damaged.len() / 2;
    damaged.truncate(middle);
    put(&damaged);
    world.run(&["vault", "restore", "copy.db", "--yes"]).fails_with(
        5,
        "
            error: copy.db is damaged or was tampered with: database disk image is malformed.
                   The vault here was not changed. Use another backup.
        ",
    );
    assert!(std::fs::read(world.vault()).unwrap() == before, "the vault was touched");
}

#[test]
fn a_restore_above_a_number_gives_the_vault_a_higher_one() {
    let world = with_backup();
    std::fs::remove_file(world.vault()).unwrap();
    drop_side_files(&world.vault());
    world.run(&["vault", "restore", "b", "--above", "700", "--yes"]).ok();
    let listed = world.run(&["vault", "check", "--json"]).ok();
    assert_eq!(listed.json()["change"], 701);
    world.run(&["vault", "restore", "b", "--above", "2305843009213693953", "--yes"]).fails(2, "--above");
}
