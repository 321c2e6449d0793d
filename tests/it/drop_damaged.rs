//! Rows that a rekey, a recovery, or a restore cannot carry over are shown by name before anything changes. Where nobody
//! is asked, `--drop-damaged` has to accept it.

use pretty_assertions::assert_eq;

use crate::harness::vault_file::{drop_side_files, filled, put_back, tamper};
use crate::harness::{PASSPHRASE, World};

const DAMAGE: &str = "UPDATE version SET sealed = zeroblob(length(sealed))
    WHERE key = (SELECT max(key) FROM version)";

/// Runs a command that is refused for one damaged value, whose key it names; then with `--drop-damaged`.
fn refused_then_accepted(world: &World, line: &[&str], file: &str, otherwise: &str) {
    let before = (world.home().join("code3").exists(), std::fs::read(world.vault()).ok());
    let refused = world.run(line);
    // Keys have random numbers, so any of them may be the last.
    let named =
        |said: &str| ["a", "b", "c"].into_iter().find(|key| said.contains(&format!(" {key} version 1.")));
    let damaged = named(&refused.err).unwrap_or("none of them");
    let warning = format!("warning: Damaged values would be dropped: {damaged} version 1.");
    assert_eq!(refused.code, 5, "{line:?}: {}", refused.err);
    let fact = format!("error: {file} is damaged: ");
    let hint = format!("{otherwise}, or continue without them with `--drop-damaged`.");
    for said in [&warning, &fact, "1 value", " would be lost.\n", "Nothing was changed.", &hint] {
        assert!(refused.err.contains(said), "{line:?}: {said}: {}", refused.err);
    }
    assert!((world.home().join("code3").exists(), std::fs::read(world.vault()).ok()) == before, "{line:?}");
    let done = world.run(&[line, &["--drop-damaged"]].concat()).ok();
    // Each fact once.
    assert_eq!(done.err.matches(&format!("{damaged} version 1")).count(), 1, "{line:?}: {}", done.err);
    world.run(&["vault", "check"]).ok();
}

#[test]
fn rekey_names_damaged_values_before_it_drops_them() {
    let world = filled();
    tamper(&world, DAMAGE);
    let vault = world.vault().display().to_string();
    let rekey = ["vault", "rekey", "--keep-passphrase", "--no-recovery", "--yes"];
    refused_then_accepted(&world, &rekey, &vault, "Restore a backup");
}

#[test]
fn recover_names_damaged_values_before_it_drops_them() {
    let world = filled();
    world.run(&["vault", "slot", "remove", "2", "--yes"]).ok();
    world.run(&["vault", "slot", "add", "recovery", "--recovery-file", "code"]).ok();
    world.file("new", PASSPHRASE);
    // Only what is in its way is dropped.
    tamper(&world, DAMAGE);
    let recover = |new| {
        ["vault", "recover", "--code-file", "code", "--new-passphrase-file", "new", "--recovery-file", new]
    };
    world.run(&recover("code2")).ok();
    world.run(&["vault", "check"]).fails(5, "");
    std::fs::rename(world.home().join("code2"), world.home().join("code")).unwrap();
    tamper(&world, "DELETE FROM node");
    let vault = world.vault().display().to_string();
    refused_then_accepted(&world, &recover("code3"), &vault, "Restore a backup");
}

#[test]
fn restore_names_damaged_values_before_it_drops_them() {
    let world = filled();
    let good = std::fs::read(world.vault()).unwrap();
    tamper(&world, DAMAGE);
    world.run(&["vault", "backup", "copy"]);
    put_back(&world, &good);
    let restore = ["vault", "restore", "copy", "--yes"];
    refused_then_accepted(&world, &restore, "copy", "Restore another backup");
    // Where there is no vault, nothing is asked either.
    std::fs::remove_file(world.vault()).unwrap();
    drop_side_files(&world.vault());
    refused_then_accepted(&world, &["vault", "restore", "copy"], "copy", "Restore another backup");
}

#[test]
fn a_finished_restore_says_in_the_past_what_it_did() {
    let world = World::own();
    for key in ["a", "b"] {
        world.run(&["generate", key]).ok();
    }
    world.run(&["vault", "backup", "copy"]).ok();
    world.run(&["revoke", "b"]).ok();
    world.run(&["generate", "c"]).ok();
    world.run(&["vault", "restore", "copy", "--yes"]).prints(
        "
            The backup is at change 3; the vault here was at change 5.
            2 changes since the backup were superseded, with their audit log entries and those of reads.
            1 key was lost: c
            1 key returned to an earlier state: b
            1 key stays revoked: b
            Restored ~/.local/share/keyvault/vault.db from the backup at change 3. It is now at change 6.
        ",
    );
    world.run(&["generate", "d"]).ok();
    let said = world.run(&["vault", "restore", "copy", "--yes"]).ok().err;
    assert!(!said.contains("would"), "{said}");
}

/// Runs a rekey that is refused with `warning`, then with `--drop-damaged`; the log keeps `recorded`.
fn rekey_is_refused_then_accepted(world: &World, warning: &str, counted: &str, recorded: &str) {
    let rekey = ["vault", "rekey", "--keep-passphrase", "--no-recovery", "--yes"];
    let refused = world.run(&rekey);
    assert_eq!(refused.code, 5, "{}", refused.err);
    for said in [warning, counted] {
        assert!(refused.err.contains(said), "{said}: {}", refused.err);
    }
    world.run(&[&rekey[..], &["--drop-damaged"]].concat()).ok();
    let log = world.run(&["audit", "log"]).ok().out;
    assert!(log.contains(recorded), "{log}");
    world.run(&["vault", "check"]).ok();
}

const LEDGERS_LOST: &str =
    "warning: The reads of all devices would be dropped: the list of their ledgers is damaged";

#[test]
fn a_list_of_ledgers_that_is_gone_or_damaged_is_a_loss_that_a_rekey_has_to_accept() {
    for wreck in [
        "DELETE FROM object WHERE id >> 56 = 15",
        "UPDATE object SET sealed = zeroblob(length(sealed)) WHERE id >> 56 = 15",
        "DELETE FROM leaf WHERE tag = (SELECT tag FROM object WHERE id >> 56 = 15);
            DELETE FROM object WHERE id >> 56 = 15",
    ] {
        let world = filled();
        tamper(&world, wreck);
        let recorded = "the list of ledgers did not hold: all reads of devices dropped";
        rekey_is_refused_then_accepted(
            &world,
            LEDGERS_LOST,
            "the reads of all devices would be lost",
            recorded,
        );
    }
}

#[test]
fn a_revocation_passes_over_a_lost_list_of_ledgers_and_says_so() {
    let world = filled();
    tamper(&world, "DELETE FROM object WHERE id >> 56 = 15");
    let revoked = world.run(&["revoke", "a"]).ok();
    assert!(revoked.err.contains("The reads of all devices were dropped"), "{}", revoked.err);
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_damaged_removed_key_is_a_loss_that_a_rekey_has_to_accept() {
    let world = filled();
    world.run(&["remove", "b", "--yes"]).ok();
    tamper(&world, "UPDATE object SET sealed = zeroblob(length(sealed)) WHERE id >> 56 = 14");
    let warning = "warning: 1 damaged removed key would be dropped";
    rekey_is_refused_then_accepted(
        &world,
        warning,
        "1 removed key would be lost",
        "damaged removed keys dropped: 1",
    );
}

const NONE_LISTED: &str =
    "warning: All issued keys would be dropped: the list of their sets is damaged or missing.";

#[test]
fn a_lost_list_of_issued_sets_and_a_damaged_set_are_losses_that_a_rekey_has_to_accept() {
    let all = ["all issued keys would be lost", "the list of sets did not hold: all issued keys dropped"];
    let one = ["1 set of issued keys would be lost", "damaged sets of issued keys dropped: 1"];
    let set = "warning: 1 set of issued keys would be dropped, damaged or missing.";
    for (wreck, warning, [counted, recorded]) in [
        ("DELETE FROM issued_list", NONE_LISTED, all),
        ("UPDATE issued_list SET list = zeroblob(length(list))", NONE_LISTED, all),
        ("DELETE FROM issued_list; DELETE FROM issued_set; DELETE FROM issued_page", NONE_LISTED, all),
        ("DELETE FROM issued_set", set, one),
        ("UPDATE issued_page SET sealed = zeroblob(length(sealed))", set, one),
    ] {
        let world = filled();
        world.run(&["issue", "acme/prod"]).ok();
        tamper(&world, wreck);
        rekey_is_refused_then_accepted(&world, warning, counted, recorded);
    }
}

#[test]
fn rows_of_issued_sets_that_are_not_listed_are_no_loss() {
    for stray in [
        "INSERT INTO issued_set VALUES (randomblob(16), x'00', x'00')",
        "DELETE FROM issued_list; INSERT INTO issued_list VALUES (1, x'00')",
    ] {
        let world = filled();
        tamper(&world, stray);
        world.run(&["vault", "rekey", "--keep-passphrase", "--no-recovery", "--yes"]).ok();
        world.run(&["vault", "check"]).ok();
    }
}
