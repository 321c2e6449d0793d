//! One ledger for the owner's reads on each device, and the list that binds them.

use pretty_assertions::assert_eq;
use rusqlite::Connection;

use crate::harness::vault_file::{put_back, tamper};
use crate::harness::{Ran, World};

/// A run on the second device: another state folder, another user session of the same vault.
fn away(world: &World, command: &str) -> Ran {
    world.sh(&format!("XDG_STATE_HOME=$PWD/elsewhere {command}"))
}

/// Two devices that have a ledger each, and a key.
fn two_devices() -> World {
    let world = World::own();
    world.run(&["generate", "a"]).ok();
    away(&world, "keyvault edit a --note second").ok();
    world
}

fn read(world: &World) {
    assert_eq!(world.run(&["exec", "--only", "a", "--", "true"]).ok().err, "");
}

fn read_away(world: &World) {
    assert_eq!(away(world, "keyvault exec --only a -- true").ok().err, "");
}

fn number(world: &World, sql: &str) -> i64 {
    Connection::open(world.vault()).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

/// The action and the ledger of each entry, as `audit log` shows them.
fn shown(world: &World) -> Vec<(String, Option<String>)> {
    let log = world.run(&["audit", "log", "--json"]).ok().out;
    let entry = |line: &str| {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        (entry["action"].as_str().unwrap().to_owned(), entry["ledger"].as_str().map(str::to_owned))
    };
    log.lines().map(entry).collect()
}

#[test]
fn each_device_reads_into_a_ledger_of_its_own_and_the_log_shows_all_reads_in_their_place() {
    let world = two_devices();
    read(&world);
    read_away(&world);
    world.run(&["edit", "a", "--note", "third"]).ok();
    read(&world);
    assert_eq!(number(&world, "SELECT count(*) FROM log_head"), 3);
    let all = shown(&world);
    let actions: Vec<_> = all.iter().map(|(action, _)| action.as_str()).collect();
    assert_eq!(actions, ["init", "generate", "edit", "exec", "exec", "edit", "exec"]);
    let ledgers: Vec<_> = all.iter().map(|(_, ledger)| ledger).collect();
    assert!(ledgers[..3].iter().all(|ledger| ledger.is_none()) && ledgers[5].is_none());
    assert!(ledgers[3].is_some() && ledgers[4].is_some() && ledgers[3] != ledgers[4]);
    assert!(ledgers[6] == ledgers[3] || ledgers[6] == ledgers[4]);
    world
        .run(&["audit", "verify"])
        .prints("7 entries verified: all proved from the start of the audit log.\n");
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_read_touches_neither_the_tree_nor_the_list() {
    let world = two_devices();
    let state = || {
        let connection = Connection::open(world.vault()).unwrap();
        let sum = |table: &str, column: &str| -> String {
            let sql =
                format!("SELECT group_concat(hex({column})) FROM (SELECT {column} FROM {table} ORDER BY 1)");
            connection.query_row(&sql, [], |row| row.get(0)).unwrap()
        };
        [sum("object", "sealed"), sum("node", "body"), sum("leaf", "digest"), sum("state", "record")]
    };
    let before = state();
    read(&world);
    read_away(&world);
    assert_eq!(state(), before);
}

#[test]
fn a_device_without_a_ledger_reads_into_the_vaults_until_root_is_at_hand() {
    let world = World::own();
    world.run(&["generate", "a"]).ok();
    let heads = || number(&world, "SELECT count(*) FROM log_head");
    let of_the_vault = || number(&world, "SELECT count FROM log_head WHERE number = 0");
    let before = of_the_vault();
    read_away(&world);
    assert_eq!((heads(), of_the_vault()), (2, before + 1));
    // The first unlock with the passphrase is a change, and the next one is not.
    away(&world, "keyvault unlock").ok();
    assert_eq!(heads(), 3);
    let record = std::fs::read(world.vault()).unwrap().len();
    let changes = || number(&world, "SELECT max(change) FROM log");
    let made = changes();
    away(&world, "keyvault lock").ok();
    away(&world, "keyvault unlock").ok();
    assert_eq!((heads(), changes()), (3, made), "{record}");
    let before = of_the_vault();
    read_away(&world);
    assert_eq!(of_the_vault(), before);
}

#[test]
fn a_ledger_that_was_cut_is_reported_on_its_device_and_by_the_list_on_every_other() {
    let world = two_devices();
    let before = std::fs::read(world.vault()).unwrap();
    read_away(&world);
    read_away(&world);
    world.run(&["edit", "a", "--note", "listed"]).ok();
    read(&world);
    // The second device's ledger as it was before its reads, head and all.
    let copy = world.home().join("before.db");
    std::fs::write(&copy, before).unwrap();
    let number = "(SELECT number FROM log_head WHERE count = 2 AND number > 0)";
    tamper(
        &world,
        &format!(
            "ATTACH '{}' AS old; DELETE FROM log WHERE id >> 32 = {number};
             UPDATE log_head SET (count, sealed) = (SELECT count, sealed FROM old.log_head AS o WHERE o.ledger = log_head.ledger)
             WHERE count = 2 AND number > 0",
            copy.display()
        ),
    );
    world.run(&["unlock"]).ok();
    let missing = "warning: 2 audit log entries that this machine saw are missing";
    let there = away(&world, "keyvault status");
    assert!(there.err.contains(missing), "{}", there.err);
    let here = world.run(&["status"]);
    assert!(here.err.contains("2 audit log entries"), "{}", here.err);
    assert_eq!(world.run(&["audit", "verify"]).code, 5);
    assert_eq!(world.run(&["vault", "check"]).code, 5);
    // Nothing is refused, the next change records it, and the ledger goes on.
    read(&world);
    let edited = world.run(&["edit", "a", "--note", "recorded"]).ok();
    assert!(edited.err.contains("This change has recorded it"), "{}", edited.err);
    let log = world.run(&["audit", "log", "--action", "edit"]).ok().out;
    assert!(log.trim_end().ends_with("behind a gap: entries were replaced)"), "{log}");
    assert_eq!(world.run(&["status"]).ok().err, "");
    assert_eq!(world.run(&["edit", "a", "--note", "once"]).ok().err, "");
    world.run(&["audit", "verify"]).ok();
    let edited = away(&world, "keyvault edit a --note there").ok();
    assert!(edited.err.contains("This change has recorded it"), "{}", edited.err);
    read_away(&world);
    world.run(&["vault", "check"]).ok();
}

/// Rows that anyone can write who can write the file.
const WRECKS: [&str; 9] = [
    "DELETE FROM log_head WHERE number > 0",
    "DELETE FROM log WHERE id >> 32 > 0",
    "DELETE FROM log WHERE id >> 32 > 0; DELETE FROM log_head WHERE number > 0",
    "DELETE FROM log WHERE id >> 32 > 0 AND id & 4294967295 = 0",
    "UPDATE log SET mac = zeroblob(32) WHERE id >> 32 > 0",
    "UPDATE log SET mac = x'00' WHERE id >> 32 > 0",
    "UPDATE log_head SET sealed = x'' WHERE number > 0",
    "UPDATE log_head SET number = number + 70 WHERE number > 0",
    "INSERT INTO log SELECT id + 50, NULL, mac, sealed FROM log WHERE id >> 32 > 0",
];

#[test]
fn a_writer_without_keys_who_wrecks_the_ledgers_of_devices_blocks_nothing() {
    let world = two_devices();
    world.run(&["generate", "b"]).ok();
    world.run(&["vault", "backup", "whole.db"]).ok();
    for _ in 0..2 {
        read(&world);
        read_away(&world);
    }
    world.run(&["edit", "a", "--note", "listed"]).ok();
    let whole = std::fs::read(world.vault()).unwrap();
    let state = world.home().join("state-copy");
    let pins = world.pins();
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        let _ = std::fs::remove_dir_all(to);
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    };
    copy(&pins, &state);
    for wreck in WRECKS {
        for act in [
            &["exec", "--only", "a", "--", "true"][..],
            &["revoke", "b"],
            &["rotate", "a"],
            &["vault", "rekey", "--keep-passphrase", "--no-recovery", "--yes"],
            &["vault", "restore", "whole.db", "--yes"],
            &["vault", "backup", "again.db"],
        ] {
            put_back(&world, &whole);
            copy(&state, &pins);
            let _ = std::fs::remove_file(world.home().join("again.db"));
            tamper(&world, wreck);
            let ran = world.run(act);
            // A copy is made in any case; without keys it may count as damaged.
            let copied = ran.code == 5 && world.home().join("again.db").exists();
            assert!(ran.code == 0 || copied, "{wreck}, {act:?}: {}{}", ran.out, ran.err);
            if act[0] == "exec" {
                // Recorded, written again, and gone on with, after a change or two.
                read(&world);
                world.run(&["edit", "a", "--note", "x"]).ok();
                world.run(&["edit", "a", "--note", "y"]).ok();
                if wreck.ends_with("= 0") || wreck.contains("x'00'") {
                    // Entries before the listed ones and rows of another shape are a rekey's to drop.
                    assert_eq!(world.run(&["vault", "check"]).code, 5);
                    continue;
                }
            }
            if ["exec", "vault"].contains(&act[0]) && act[1] != "backup" {
                world.run(&["vault", "check"]).ok();
            }
        }
    }
}

#[test]
fn a_rekey_and_a_restore_keep_the_reads_of_every_device() {
    let world = two_devices();
    read(&world);
    read_away(&world);
    let before = shown(&world);
    world.run(&["vault", "rekey", "--keep-passphrase", "--no-recovery", "--yes"]).ok();
    assert_eq!(shown(&world)[..before.len()], before);
    read(&world);
    read_away(&world);
    assert_eq!(number(&world, "SELECT count(*) FROM log_head WHERE number > 0 AND count = 2"), 2);
    world.run(&["vault", "backup", "backup.db"]).ok();
    let before = shown(&world);
    world.run(&["vault", "restore", "backup.db", "--yes"]).ok();
    assert_eq!(shown(&world)[..before.len()], before);
    read(&world);
    assert_eq!(number(&world, "SELECT max(count) FROM log_head WHERE number > 0"), 3, "the device goes on");
    world.run(&["vault", "check"]).ok();
}
