//! A revocation survives a restore, and nothing else is revoked by one.

use std::os::unix::fs::FileExt;

use pretty_assertions::assert_eq;
use rusqlite::Connection;

use crate::harness::bearer::{ENV, held, seen, token, with_keys};
use crate::harness::vault_file::{drop_side_files, tamper};
use crate::harness::{KEYVAULT, PASSPHRASE, World, finish, minutes, no_key};

fn add(world: &World, name: &str, value: &str) {
    world.run_with_input(&["add", name], value).ok();
}

fn rotate(world: &World, name: &str, value: &str) {
    world.run_with_input(&["rotate", name, "--stdin"], value).ok();
}

fn value(world: &World, name: &str) -> String {
    world.run(&["show", name, "--reveal"]).ok().out
}

fn restore(world: &World, backup: &str) -> String {
    let ran = world.run(&["vault", "restore", backup, "--yes"]).ok();
    ran.out + &ran.err
}

/// Puts a copy that was made with `backup` in the vault's place, as a sync does.
fn put_back(world: &World, copy: &str) {
    std::fs::copy(world.home().join(copy), world.vault()).unwrap();
    drop_side_files(&world.vault());
    world.run(&["vault", "restore", "--adopt"]).ok();
}

/// The vault goes on in two ways from one file: `theirs` in a copy named `other`, then `ours` here.
fn apart(world: &World, theirs: impl FnOnce(), ours: impl FnOnce()) {
    world.run(&["vault", "backup", "start"]).ok();
    theirs();
    world.run(&["vault", "backup", "other"]).ok();
    put_back(world, "start");
    ours();
}

/// Alters a byte of another key's row, so that the vault cannot be read completely.
fn damage(world: &World, name: &str) {
    let path = world.vault();
    let connection = Connection::open(&path).unwrap();
    let mut statement = connection.prepare("SELECT sealed FROM object WHERE id >> 56 = 3").unwrap();
    let rows: Vec<Vec<u8>> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    drop(statement);
    drop(connection);
    let bytes = std::fs::read(&path).unwrap();
    // The row whose damage `show` of this name refuses.
    for sealed in rows {
        let at = bytes.windows(60).position(|piece| piece == &sealed[..60]).unwrap() as u64 + 50;
        let byte = bytes[usize::try_from(at).unwrap()];
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&[byte ^ 1], at).unwrap();
        drop_side_files(&path);
        if world.run(&["show", name]).code == 5 {
            return;
        }
        file.write_all_at(&[byte], at).unwrap();
    }
    panic!("no row of {name}");
}

#[test]
fn a_version_of_the_same_number_is_not_the_one_that_was_revoked() {
    let world = World::new();
    add(&world, "a", "first");
    apart(
        &world,
        || rotate(&world, "a", "good"),
        || {
            // Versions of one number are told apart by when they were made.
            world.advance(minutes(1));
            rotate(&world, "a", "bad");
            world.run(&["revoke", "a", "--version", "2", "--wipe"]).ok();
        },
    );
    restore(&world, "other");
    assert_eq!(value(&world, "a"), "good");
    world.run(&["vault", "check"]).ok();
}

#[test]
fn what_was_revoked_stays_so_though_the_backups_log_is_longer() {
    let world = World::new();
    add(&world, "a", "leaked");
    world.run(&["vault", "backup", "b1"]).ok();
    for name in ["b", "c", "d", "e"] {
        add(&world, name, "x");
    }
    world.run(&["vault", "backup", "b2"]).ok();
    restore(&world, "b1");
    world.run(&["revoke", "a"]).ok();
    world.run(&["remove", "a", "--yes"]).ok();
    world.run(&["vault", "restore", "b2", "--yes"]).prints(
        "
            The backup is at change 6; the vault here was at change 9.
            3 changes since the backup were superseded, with their audit log entries and those of reads.
            5 keys came back: a, b, c, d, e
            1 key stays revoked: a
            Restored ~/.local/share/keyvault/vault.db from the backup at change 6. It is now at change 10.
        ",
    );
    world.run(&["show", "a", "--reveal"]).fails_with(
        6,
        "
            error: `a` is revoked, so its value is not shown.
                   Give it a new value with `keyvault rotate a`.
        ",
    );
    assert_eq!(value(&world, "b"), "x");
}

#[test]
fn every_version_that_was_revoked_is_known_when_its_key_is_gone() {
    let world = World::new();
    for name in ["all", "one", "wiped"] {
        add(&world, name, "1");
    }
    for value in ["2", "3"] {
        rotate(&world, "all", value);
    }
    world.run_with_input(&["rotate", "one", "--stdin", "--grace", "1d"], "2").ok();
    world.run(&["vault", "backup", "b"]).ok();
    world.run(&["rollback", "all", "--to", "1"]).ok();
    world.run(&["revoke", "all"]).ok();
    world.run(&["revoke", "one", "--version", "2"]).ok();
    world.run(&["revoke", "wiped", "--wipe", "--reason", "seen"]).ok();
    world.run(&["audit", "log", "--action", "revoke"]).prints(
        "
            8  2040-05-17 08:00  revoke  ada@host tests -  all v1, all v2, all v3
            9  2040-05-17 08:00  revoke  ada@host tests -  one v2
            10  2040-05-17 08:00  revoke  ada@host tests -  wiped v1  (wiped: seen)
        ",
    );
    world.run(&["remove", "all", "one", "wiped", "--yes"]).ok();
    restore(&world, "b");
    world.run(&["show", "all", "--reveal"]).fails_with(
        6,
        "
            error: `all` is revoked, so its value is not shown.
                   Give it a new value with `keyvault rotate all`.
        ",
    );
    world.run(&["rollback", "all"]).fails_with(
        6,
        "
            error: `all` has no older version to return to.
                   A revoked version cannot come back. Give the key a new value: keyvault rotate all
        ",
    );
    world.run(&["show", "one", "--version", "2", "--reveal"]).fails_with(
        6,
        "
            error: Version 2 of `one` is revoked.
                   A revoked version cannot come back.
        ",
    );
    assert_eq!(world.run(&["show", "one", "--version", "1", "--reveal"]).ok().out, "1");
    let history = world.run(&["history", "wiped", "--json"]).ok().json();
    assert_eq!(
        (&history["versions"][0]["wiped"], &history["versions"][0]["reason"]),
        (&true.into(), &"seen".into())
    );
    world.run(&["vault", "check"]).ok();
}

#[test]
fn another_key_of_the_same_name_is_not_the_one_that_was_revoked() {
    let world = World::new();
    add(&world, "a", "old");
    add(&world, "b", "under its first name");
    world.run(&["vault", "backup", "backup"]).ok();
    world.run(&["remove", "a", "--yes"]).ok();
    add(&world, "a", "new");
    world.run(&["revoke", "a"]).ok();
    world.run(&["edit", "b", "--rename", "c"]).ok();
    world.run(&["remove", "c", "--yes"]).ok();
    add(&world, "c", "another");
    world.run(&["revoke", "c"]).ok();
    restore(&world, "backup");
    assert_eq!(
        (value(&world, "a"), value(&world, "b")),
        ("old".to_owned(), "under its first name".to_owned())
    );
}

#[test]
fn a_renamed_key_that_was_revoked_and_removed_stays_revoked() {
    let world = World::new();
    add(&world, "a", "1");
    world.run(&["edit", "a", "--rename", "b"]).ok();
    world.run(&["vault", "backup", "backup"]).ok();
    world.run(&["edit", "b", "--rename", "c"]).ok();
    world.run(&["revoke", "c"]).ok();
    world.run(&["remove", "c", "--yes"]).ok();
    restore(&world, "backup");
    world.run(&["show", "b", "--reveal"]).fails_with(
        6,
        "
            error: `b` is revoked, so its value is not shown.
                   Give it a new value with `keyvault rotate b`.
        ",
    );
}

fn opens(world: &World, token: &str) -> bool {
    let mut command = world.command(KEYVAULT);
    command.env_remove("KEYVAULT_PASSPHRASE").env("KEYVAULT_TOKEN", token.trim());
    finish(command.args(["exec", "--all", "--", "true"]), b"").code == 0
}

#[test]
fn a_restore_revokes_no_token_that_nobody_revoked() {
    let world = World::own();
    world.run(&["generate", "a", "--scope", "s"]).ok();
    world.run(&["vault", "backup", "before"]).ok();
    let token = world.run(&["token", "create", "ci", "--scope", "s"]).ok().out;
    world.run(&["vault", "backup", "with"]).ok();
    // A sync puts back the file from before, and the backup is the way out.
    put_back(&world, "before");
    restore(&world, "with");
    assert!(opens(&world, &token));
    // The wrong backup, then the right one.
    restore(&world, "before");
    assert!(!opens(&world, &token));
    restore(&world, "with");
    assert!(opens(&world, &token));
    // A rekey gave the token another secret in between.
    let rekeyed =
        world.run(&["vault", "rekey", "--keep-passphrase", "--no-recovery", "--yes", "--json"]).ok().json();
    let renewed = rekeyed["tokens"][0]["token"].as_str().unwrap().to_owned();
    world.run(&["vault", "backup", "rekeyed"]).ok();
    put_back(&world, "with");
    restore(&world, "rekeyed");
    assert!(opens(&world, &renewed) && !opens(&world, &token));
}

#[test]
fn a_token_that_was_revoked_or_replaced_stays_so_and_is_named() {
    let world = World::own();
    world.run(&["generate", "a", "--scope", "s"]).ok();
    let made = |name: &str| world.run(&["token", "create", name, "--scope", "s"]).ok().out;
    let (one, two, three) = (made("one"), made("two"), made("three"));
    world.run(&["vault", "backup", "backup"]).ok();
    world.run(&["token", "revoke", "one"]).ok();
    let renewed = world.run(&["token", "renew", "two"]).ok().out;
    world.run(&["vault", "restore", "backup", "--yes"]).prints(
        "
            The backup is at change 5; the vault here was at change 7.
            2 changes since the backup were superseded, with their audit log entries and those of reads.
            Tokens that no longer open anything: two
            Tokens in the backup that no longer open anything: one, two
            Restored ~/.local/share/keyvault/vault.db from the backup at change 5. It is now at change 8.
        ",
    );
    let open: Vec<_> = [&one, &two, &three, &renewed].iter().map(|token| opens(&world, token)).collect();
    assert_eq!(open, [false, false, true, false]);
}

#[test]
fn vaults_that_were_rekeyed_apart_tell_what_was_revoked() {
    let world = World::own();
    add(&world, "a", "leaked");
    let rekey = || world.run(&["vault", "rekey", "--keep-passphrase", "--no-recovery", "--yes"]).ok();
    apart(&world, || drop(rekey()), || drop(rekey()));
    world.run(&["revoke", "a"]).ok();
    world.run(&["vault", "restore", "other", "--yes"]).prints("
            The backup is at change 3; the vault here was at change 6.
            3 changes since the backup were superseded, with their audit log entries and those of reads.
            1 key returned to an earlier state: a
            1 key stays revoked: a
            The backup and the vault here were rekeyed apart. The backup's keys were sealed again under the vault's present root key, and the vault keeps its slots.
            Restored ~/.local/share/keyvault/vault.db from the backup at change 3. It is now at change 7.
        ");
    world.run(&["show", "a", "--reveal"]).fails_with(
        6,
        "
            error: `a` is revoked, so its value is not shown.
                   Give it a new value with `keyvault rotate a`.
        ",
    );
}

#[test]
fn one_damaged_entry_of_the_log_hides_no_revocation() {
    let world = World::new();
    add(&world, "a", "leaked");
    world.run(&["vault", "backup", "b"]).ok();
    world.run(&["revoke", "a"]).ok();
    world.run(&["remove", "a", "--yes"]).ok();
    tamper(&world, "UPDATE log SET sealed = zeroblob(length(sealed)) WHERE id = 1");
    restore(&world, "b");
    world.run(&["show", "a", "--reveal"]).fails_with(
        6,
        "
            error: `a` is revoked, so its value is not shown.
                   Give it a new value with `keyvault rotate a`.
        ",
    );
}

#[test]
fn keys_of_one_import_that_changed_names_are_told_apart() {
    let world = World::new();
    world.file("e.env", "KEY=old\nKEY_NEW=new\n");
    world.run(&["import", "e.env"]).ok();
    world.run(&["edit", "KEY", "--rename", "KEY_OLD"]).ok();
    world.run(&["edit", "KEY_NEW", "--rename", "KEY"]).ok();
    world.run(&["vault", "backup", "backup"]).ok();
    world.run(&["revoke", "KEY"]).ok();
    world.run(&["remove", "KEY", "KEY_OLD", "--yes"]).ok();
    world.run(&["vault", "restore", "backup", "--yes"]).prints(
        "
            The backup is at change 4; the vault here was at change 6.
            2 changes since the backup were superseded, with their audit log entries and those of reads.
            2 keys came back: KEY, KEY_OLD
            1 key stays revoked: KEY
            Restored ~/.local/share/keyvault/vault.db from the backup at change 4. It is now at change 7.
        ",
    );
    world.run(&["show", "KEY", "--reveal"]).fails_with(
        6,
        "
            error: `KEY` is revoked, so its value is not shown.
                   Give it a new value with `keyvault rotate KEY`.
        ",
    );
    assert_eq!(value(&world, "KEY_OLD"), "old");
}

#[test]
fn what_a_restore_kept_revoked_stays_so_through_a_removal_and_another_restore() {
    let world = World::new();
    world.run(&["vault", "backup", "empty"]).ok();
    add(&world, "a", "leaked");
    world.run(&["edit", "a", "--rename", "z"]).ok();
    world.run(&["vault", "backup", "b"]).ok();
    world.run(&["revoke", "z"]).ok();
    let revoked = || {
        world.run(&["show", "z", "--reveal"]).fails_with(
            6,
            "
                error: `z` is revoked, so its value is not shown.
                       Give it a new value with `keyvault rotate z`.
            ",
        );
    };
    restore(&world, "b");
    revoked();
    world.run(&["remove", "z", "--yes"]).ok();
    restore(&world, "b");
    revoked();
    // By way of a backup that does not know the key at all.
    restore(&world, "empty");
    world.run(&["show", "z"]).fails_with(3, &no_key("z"));
    restore(&world, "b");
    revoked();
    let log = world.run(&["audit", "log", "--action", "restore"]).ok().out;
    assert!(!log.contains("already revoked"), "{log}");
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_reason_that_says_wiped_wipes_nothing() {
    let world = World::new();
    add(&world, "a", "1");
    world.run(&["vault", "backup", "b"]).ok();
    world.run(&["revoke", "a", "--reason", "wiped: by the cleaning staff"]).ok();
    world.run(&["remove", "a", "--yes"]).ok();
    restore(&world, "b");
    let history = world.run(&["history", "a", "--json"]).ok().json();
    assert_eq!(
        (&history["versions"][0]["wiped"], &history["versions"][0]["state"]),
        (&false.into(), &"revoked".into())
    );
}

#[test]
fn a_row_of_the_log_that_is_malformed_hides_no_revocation_behind_it() {
    let world = World::new();
    add(&world, "a", "leaked");
    world.run(&["vault", "backup", "b"]).ok();
    add(&world, "c", "x");
    world.run(&["revoke", "a"]).ok();
    world.run(&["remove", "a", "--yes"]).ok();
    tamper(&world, "UPDATE log SET mac = x'00' WHERE id = 1");
    restore(&world, "b");
    world.run(&["show", "a", "--reveal"]).fails_with(
        6,
        "
            error: `a` is revoked, so its value is not shown.
                   Give it a new value with `keyvault rotate a`.
        ",
    );
}

#[test]
fn a_restore_of_a_damaged_vault_brings_back_no_revoked_version_and_no_revoked_token() {
    let world = World::own();
    for name in ["k", "other"] {
        world.run_with_input(&["add", name, "--scope", "s"], "old").ok();
    }
    let token = world.run(&["token", "create", "bot", "--scope", "s"]).ok().out;
    world.run(&["vault", "backup", "b"]).ok();
    world.run(&["revoke", "k", "--reason", "leaked"]).ok();
    world.run(&["token", "revoke", "bot"]).ok();
    damage(&world, "other");
    let said = restore(&world, "b");
    for part in [
        "could not be read completely",
        "valid again, except",
        "1 key stays revoked: k",
        "no longer open anything: bot",
    ] {
        assert!(said.contains(part), "{said}");
    }
    world.run(&["show", "k", "--reveal"]).fails_with(
        6,
        "
            error: `k` is revoked, so its value is not shown.
                   Give it a new value with `keyvault rotate k`.
        ",
    );
    let mut exec = world.command(KEYVAULT);
    exec.env("KEYVAULT_TOKEN", token.trim()).args(["exec", "--all", "--", "true"]);
    finish(&mut exec, b"").fails_with(
        125,
        "
            error: This token opens nothing here: it was revoked or renewed, or belongs to another vault.
                   The vault's owner can see its tokens with `keyvault token list`.
        ",
    );
    world.run(&["vault", "check"]).ok();
    // The key that was not revoked is whole again.
    assert_eq!(world.run(&["show", "other", "--reveal"]).ok().out.trim_end(), "old");
}

#[test]
fn a_restore_of_a_rekeyed_vault_reads_it_with_the_same_passphrase() {
    let world = World::own();
    world.run_with_input(&["add", "k"], "old").ok();
    world.run(&["vault", "backup", "b"]).ok();
    world.run(&["revoke", "k"]).ok();
    world.run(&["vault", "rekey", "--keep-passphrase", "--yes", "--recovery-file", "code"]).ok();
    world.run(&["lock"]).ok();
    world.run(&["vault", "restore", "b", "--yes"]).prints("
            The backup is at change 2; the vault here was at change 4.
            2 changes since the backup were superseded, with their audit log entries and those of reads.
            1 key returned to an earlier state: k
            1 key stays revoked: k
            The backup is from before the last rekey. Its keys were sealed again under the vault's present root key, and the vault keeps its slots.
            Restored ~/.local/share/keyvault/vault.db from the backup at change 2. It is now at change 5.
        ");
    world.run(&["show", "k", "--reveal"]).fails_with(
        6,
        "
            error: `k` is revoked, so its value is not shown.
                   Give it a new value with `keyvault rotate k`.
        ",
    );
}

#[test]
fn a_revoked_version_does_not_return_by_way_of_two_backups_and_its_number_is_not_given_again() {
    let world = World::own();
    world.run_with_input(&["add", "k"], "one").ok();
    world.run(&["vault", "backup", "b1"]).ok();
    world.run_with_input(&["rotate", "k", "--stdin"], "two").ok();
    world.run(&["vault", "backup", "b2"]).ok();
    world.run(&["revoke", "k", "--version", "2", "--reason", "leaked"]).ok();
    restore(&world, "b1");
    assert_eq!(world.run(&["show", "k", "--reveal"]).ok().out.trim_end(), "one");
    world.run(&["history", "k"]).prints(
        "
            VER  STATE  AGE  FINGERPRINT  MADE BY  LAST READ
            2  revoked, wiped: leaked  0s  xxxxxxxxxxxx  ada@host  never
            1  current  0s  xxxxxxxxxxxx  ada@host  just now
        ",
    );
    restore(&world, "b2");
    let shown = world.run(&["show", "k", "--reveal"]);
    assert!(!shown.out.contains("two"), "{}", shown.out);
    restore(&world, "b1");
    world.run_with_input(&["rotate", "k", "--stdin"], "three").ok();
    let versions = world.run(&["history", "k", "--json"]).ok().json();
    let numbers: Vec<_> =
        versions["versions"].as_array().unwrap().iter().map(|version| &version["version"]).collect();
    assert_eq!(numbers.len(), 3, "{versions}");
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_key_that_was_revoked_and_then_removed_does_not_come_back_alive() {
    let world = World::own();
    world.run_with_input(&["add", "k"], "old").ok();
    world.run_with_input(&["add", "removed"], "fine").ok();
    world.run(&["vault", "backup", "b"]).ok();
    world.run(&["edit", "k", "--rename", "renamed"]).ok();
    world.run(&["revoke", "renamed", "--reason", "leaked"]).ok();
    world.run(&["remove", "renamed", "removed", "--yes"]).ok();
    world.run(&["vault", "restore", "b", "--yes"]).prints(
        "
            The backup is at change 3; the vault here was at change 6.
            3 changes since the backup were superseded, with their audit log entries and those of reads.
            2 keys came back: k, removed
            1 key stays revoked: k
            Restored ~/.local/share/keyvault/vault.db from the backup at change 3. It is now at change 7.
        ",
    );
    world.run(&["show", "k", "--reveal"]).fails_with(
        6,
        "
            error: `k` is revoked, so its value is not shown.
                   Give it a new value with `keyvault rotate k`.
        ",
    );
    assert_eq!(world.run(&["show", "removed", "--reveal"]).ok().out.trim_end(), "fine");
}

#[test]
fn what_was_wiped_when_it_was_revoked_stays_wiped() {
    let world = World::own();
    world.run_with_input(&["add", "k"], "one").ok();
    world.run_with_input(&["rotate", "k", "--stdin"], "two").ok();
    world.run(&["revoke", "k", "--version", "1"]).ok();
    world.run(&["vault", "backup", "b"]).ok();
    world.run(&["revoke", "k", "--wipe"]).ok();
    restore(&world, "b");
    let history = world.run(&["history", "k"]).ok().out;
    assert_eq!(history.matches("wiped").count(), 2, "{history}");
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_restore_says_which_tokens_it_ends() {
    let mut world = with_keys();
    token(&world, &["kept", "--scope", "deploy"]);
    token(&world, &["renewed", "--scope", "deploy"]);
    world.run(&["vault", "backup", "backup.db"]).ok();
    token(&world, &["made", "--scope", "deploy"]);
    world.run(&["token", "renew", "renewed"]).ok();
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    world.run(&["vault", "restore", "backup.db"]).fails_with(
        2,
        "
            The backup is at change 7; the vault here is at change 9.
            2 changes since the backup would be superseded, with their audit log entries and those of reads.
            Tokens that would no longer open anything: made, renewed
            Tokens in the backup that no longer open anything: renewed
            error: This cannot be undone, and there is no terminal to prompt on.
                   Use `--yes` to confirm.
        ",
    );
    let answer = world.run(&["vault", "restore", "backup.db", "--yes", "--json"]).ok().json();
    assert_eq!(answer["tokens"], serde_json::json!(["made", "renewed"]));
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
    world.run(&["show", "r", "--reveal"]).fails_with(
        6,
        "
            error: `r` is revoked, so its value is not shown.
                   Give it a new value with `keyvault rotate r`.
        ",
    );
    world.run(&["show", "w", "--version", "1", "--reveal"]).fails_with(
        6,
        "
            error: Version 1 of `w` is revoked.
                   A revoked version cannot come back.
        ",
    );
    world.run(&["show", "w", "--reveal"]).ok();
    world.run(&["rollback", "r"]).fails_with(
        6,
        "
            error: `r` has no older version to return to.
                   A revoked version cannot come back. Give the key a new value: keyvault rotate r
        ",
    );
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_restore_brings_no_token_back_that_was_revoked_since() {
    let mut world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    let kept = self::token(&world, &["cd", "--scope", "deploy"]);
    world.run(&["vault", "backup", "backup.db"]).ok();
    world.run(&["token", "revoke", "ci"]).ok();
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    world.run(&["vault", "restore", "backup.db", "--yes"]).ok();
    held(&world, &token, &ENV).fails_with(
        125,
        "
            error: This token opens nothing here: it was revoked or renewed, or belongs to another vault.
                   The vault's owner can see its tokens with `keyvault token list`.
        ",
    );
    assert_eq!(seen(held(&world, &kept, &ENV)), ["A=value-a", "B=value-b"]);
    world.run(&["vault", "check"]).ok();
}

/// A key that damage took away has no row that says that it was revoked; the audit log still does.
#[test]
fn a_version_that_was_revoked_stays_so_though_its_key_was_lost_to_damage_and_a_rekey() {
    for name in ["a", "b"] {
        let world = World::own();
        add(&world, "a", "value-a");
        world.run(&["vault", "backup", "backup"]).ok();
        if name == "b" {
            world.run(&["edit", "a", "--rename", "b"]).ok();
        }
        world.run(&["revoke", name, "--reason", "leaked"]).ok();
        damage(&world, name);
        world.run(&["vault", "rekey", "--yes", "--keep-passphrase", "--no-recovery", "--drop-damaged"]).ok();
        world.run(&["show", name]).fails_with(3, &no_key(name));
        // Another key that bears the name is another matter.
        add(&world, "a", "another");
        world.run(&["revoke", "a"]).ok();
        let answer = world.run(&["vault", "restore", "backup", "--yes", "--json"]).ok().json();
        assert_eq!(answer["revoked"], serde_json::json!(["a"]));
        assert_eq!(world.run(&["show", "a", "--json"]).ok().json()["status"], "revoked");
        world.run(&["exec", "--only", "a", "--", "true"]).fails(125, "revoked");
        world.run(&["vault", "check"]).ok();
    }
}

#[test]
fn a_restore_says_which_issued_keys_of_the_damaged_vault_it_knows_nothing_of() {
    for (wreck, why) in [
        ("DELETE FROM issued_list", "The list of issued keys here is damaged or missing: "),
        (
            "UPDATE issued_page SET sealed = zeroblob(length(sealed))",
            "1 set of issued keys here is damaged or missing: ",
        ),
    ] {
        let world = World::own();
        world.run(&["issue", "acme/prod"]).ok();
        world.run(&["vault", "backup", "copy"]).ok();
        world.run(&["revoke", "acme/prod"]).ok();
        tamper(&world, wreck);
        let backup = std::fs::read(world.vault()).unwrap();
        let said = restore(&world, "copy");
        for line in [why, "revoked or held since the backup are valid again", "`--above N`"] {
            assert!(said.contains(line), "{line}: {said}");
        }
        std::fs::write(world.vault(), backup).unwrap();
        drop_side_files(&world.vault());
        let ran = world.run(&["vault", "restore", "copy", "--yes", "--above", "90", "--json"]).ok();
        assert!(!ran.err.contains("--above"), "{}", ran.err);
        let unread = &ran.json()["unread"];
        assert!(unread["set_list"] == true || unread["sets"] == 1, "{unread}");
    }
}

#[test]
fn a_restore_names_the_keys_that_were_wiped_after_the_backup_was_made() {
    let world = World::new();
    for key in ["a", "b", "c", "d", "e", "f"] {
        add(&world, key, "value");
    }
    world.run(&["remove", "e", "--yes"]).ok();
    world.run(&["vault", "backup", "copy"]).ok();
    world.run(&["remove", "a", "--wipe", "--yes"]).ok();
    add(&world, "a", "another key");
    world.run(&["remove", "b", "--yes"]).ok();
    world.run(&["edit", "c", "--rename", "z"]).ok();
    world.run(&["remove", "z", "--wipe", "--yes"]).ok();
    world.run(&["remove", "d", "--yes"]).ok();
    world.run(&["remove", "d", "--wipe", "--removed", "--yes"]).ok();
    world.run(&["remove", "e", "--wipe", "--removed", "--yes"]).ok();
    world.run(&["vault", "backup", "later"]).ok();
    let said = restore(&world, "copy");
    let line = "4 keys came back that were wiped after the backup was made: a, c, d, e\n";
    assert!(said.contains(line), "{said}");
    // Of a damaged vault the log tells it too.
    put_back(&world, "later");
    damage(&world, "f");
    let answer = world.run(&["vault", "restore", "copy", "--yes", "--json"]).ok().json();
    assert_eq!(answer["wiped"], serde_json::json!(["a", "c", "d", "e"]));
    assert!(!restore(&world, "copy").contains("wiped after"));
}

#[test]
fn a_restore_of_issued_keys_where_the_vault_is_gone_suggests_to_go_on_above_the_gateways_number() {
    let world = World::own();
    world.run(&["issue", "acme/prod"]).ok();
    world.run(&["vault", "backup", "copy"]).ok();
    let gone = |line: &[&str]| {
        std::fs::remove_file(world.vault()).unwrap();
        drop_side_files(&world.vault());
        let ran = world.run(line).ok();
        (ran.out + &ran.err).contains("add `--above N`")
    };
    assert!(gone(&["vault", "restore", "copy", "--yes"]));
    assert!(!gone(&["vault", "restore", "copy", "--yes", "--above", "90"]));
}
