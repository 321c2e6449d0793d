//! Cases 8 and 13 of the fault catalog: journals and logs beside the vault's file, and links to it.

use std::os::unix::fs::{PermissionsExt, symlink};

use pretty_assertions::assert_eq;
use rusqlite::Connection;

use crate::harness::World;
use crate::harness::vault_file::{beside, filled, put_back};

#[test]
fn case_8_a_foreign_log_is_noticed_and_setting_it_aside_heals() {
    let world = filled();
    let good = std::fs::read(world.vault()).unwrap();
    // From another vault, and from a copy of this very one that went its own way.
    let other = filled();
    other.run(&["show", "a", "--reveal"]).ok();
    let mut logs = vec![std::fs::read(beside(&other.vault(), "-wal")).unwrap()];
    let copy = World::empty();
    std::fs::write(copy.home().join("copy.db"), &good).unwrap();
    std::fs::set_permissions(copy.home().join("copy.db"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let path = copy.home().join("copy.db");
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch("PRAGMA wal_autocheckpoint = 0; UPDATE object SET sealed = randomblob(64)")
        .unwrap();
    logs.push(std::fs::read(beside(&path, "-wal")).unwrap());
    drop(connection);
    for log in logs {
        assert!(!log.is_empty());
        put_back(&world, &good);
        let planted = beside(&world.vault(), "-wal");
        std::fs::write(&planted, &log).unwrap();
        std::fs::set_permissions(&planted, std::fs::Permissions::from_mode(0o600)).unwrap();
        let ran = world.run(&["show", "a", "--reveal"]).fails(5, "mv '");
        assert_eq!(ran.out, "");
        assert_eq!(std::fs::read(world.vault()).unwrap(), good, "the log was folded in");
        // The line that the hint gives.
        let line = ran.err.lines().find(|line| line.contains("mv '")).unwrap().trim().to_owned();
        world.sh(&line).ok();
        let _ = std::fs::remove_file(beside(&world.vault(), "-shm"));
        assert_eq!(world.run(&["show", "a", "--reveal"]).ok().out, "value-a");
        world.run(&["vault", "check"]).ok();
    }
}

#[test]
fn case_8_any_journal_is_refused_before_the_file_is_opened() {
    let world = filled();
    let good = std::fs::read(world.vault()).unwrap();
    std::fs::write(beside(&world.vault(), "-journal"), b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7").unwrap();
    for command in [&["show", "a", "--reveal"] as &[&str], &["list"], &["generate", "x"], &["vault", "check"]]
    {
        world.run(command).fails_with(5, "
                error: ~/.local/share/keyvault/vault.db-journal is next to the vault, and opening the vault would apply it.
                       keyvault never writes such a file. Move it aside, and nothing else:
                         mv '~/.local/share/keyvault/vault.db-journal' '~/.local/share/keyvault/vault.db-journal'.aside
            ");
    }
    assert_eq!(std::fs::read(world.vault()).unwrap(), good);
}

#[test]
fn case_13_a_symlinked_vault_is_refused_and_a_symlinked_folder_is_not() {
    let world = filled();
    let link = world.home().join("link.db");
    symlink(world.vault(), &link).unwrap();
    world.run(&["list", "--vault", link.to_str().unwrap()]).fails_with(
        5,
        "
            error: ~/link.db is a symbolic link, which keyvault does not follow.
                   Name the file itself with `--vault`. Symbolic links to folders are fine.
        ",
    );
    let folder = world.home().join("stow");
    symlink(world.vault().parent().unwrap(), &folder).unwrap();
    let through = folder.join("vault.db");
    assert_eq!(
        world.run(&["show", "a", "--reveal", "--vault", through.to_str().unwrap()]).ok().out,
        "value-a"
    );
    // Both paths are one vault: a change by one is not a rollback by the other.
    world.run(&["edit", "a", "--note", "x", "--vault", through.to_str().unwrap()]).ok();
    world.run(&["vault", "check"]).ok();
    let second = world.home().join("second.db");
    std::fs::hard_link(world.vault(), &second).unwrap();
    world.run(&["list"]).fails_with(
        5,
        "
            error: ~/.local/share/keyvault/vault.db has 2 hard links; someone else may own another one.
                   Remove the other hard links, or copy the file.
        ",
    );
    std::fs::remove_file(second).unwrap();
    world.run(&["list"]).ok();
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
    world.run(&["list"]).fails_with(5, "
            error: ~/.local/share/keyvault/vault.db no longer has a write-ahead log: another program removed it.
                   Nothing was released. If that program only copied or converted the file, give it its log again:
                     sqlite3 '~/.local/share/keyvault/vault.db' 'PRAGMA journal_mode=WAL'
        ");
    // The effect of the command in the message; sqlite3 itself need not be here.
    converted("wal");
    world.run(&["show", "a", "--reveal"]).ok();
}

/// On a file system that has no rename without replacing, a vault that is being made has two names for a moment.
#[test]
fn a_second_name_of_the_vault_that_goes_away_is_waited_for() {
    let world = World::new();
    let vault = world.vault();
    let other = vault.with_file_name("vault.db.new-0123456789abcdef");
    std::fs::hard_link(&vault, &other).unwrap();
    world.run(&["list"]).fails(5, "has 2 hard links");
    let gone = std::thread::spawn({
        let other = other.clone();
        move || {
            std::thread::sleep(std::time::Duration::from_millis(200));
            std::fs::remove_file(other).unwrap();
        }
    });
    world.run(&["list"]).ok();
    gone.join().unwrap();
}
