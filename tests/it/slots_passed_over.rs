//! Slots that whoever writes the file added, altered or took away: what still opens does, the sum of what they cost is
//! bounded, and each of them is named.

use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use crate::harness::vault_file::{drop_side_files, put_back, tamper};
use crate::harness::{PASSPHRASE, Ran, World};

const SLOTS: &str = "
            SLOT  KIND           ABOUT
               1  passphrase     Argon2id, 19 MiB, 1 pass
               2  recovery code
               3  key file
        ";

const NEW: &str = "another horse battery staple";

/// A world whose vault opens with the passphrase (slot 1), the code in `code` (slot 2) and the key file `kf` (slot 3).
fn world() -> World {
    let world = World::own();
    world.run(&["vault", "slot", "remove", "2", "--yes"]).ok();
    world.run(&["vault", "slot", "add", "recovery", "--recovery-file", "code"]).ok();
    world.run(&["vault", "slot", "add", "keyfile", "kf"]).ok();
    world.run_with_input(&["add", "a"], "value-a").ok();
    world.file("new", NEW);
    world
}

/// A header of this kind, with a salt, and behind it these numbers.
fn header(kind: u8, numbers: &[u32]) -> Vec<u8> {
    let mut header = [&[kind][..], &[7; 32]].concat();
    numbers.iter().for_each(|number| header.extend_from_slice(&number.to_le_bytes()));
    header
}

fn insert(world: &World, id: i64, header: &[u8]) {
    let connection = Connection::open(world.vault()).unwrap();
    let sql = "INSERT INTO slot VALUES (?, ?, zeroblob(104))";
    connection.execute(sql, params![id, header]).unwrap();
}

/// Puts the vault back on a machine that has not seen it go on.
fn put_back_unseen(world: &World, bytes: &[u8]) {
    std::fs::remove_dir_all(world.pins()).unwrap();
    put_back(world, bytes);
}

/// Rows that are no slots, each under a number of its own.
fn malformed() -> Vec<(i64, Vec<u8>, &'static str)> {
    const FLOOR: u32 = 19 * 1024;
    vec![
        (4, Vec::new(), "malformed header"),
        (5, header(1, &[]), "malformed header"),
        (6, header(1, &[FLOOR, 1, 1, 1]), "malformed header"),
        (7, header(2, &[FLOOR]), "malformed header"),
        (8, header(0, &[]), "unknown kind 0"),
        (9, header(77, &[]), "unknown kind 77"),
        (10, header(1, &[u32::MAX, 1, 1]), "out of bounds"),
        (11, header(1, &[FLOOR - 1, 1, 1]), "out of bounds"),
        (12, header(1, &[FLOOR, 11, 1]), "out of bounds"),
        (13, header(1, &[FLOOR, 1, 0]), "out of bounds"),
        (14, vec![4; 1 << 20], "malformed header"),
        (-3, header(2, &[]), "slot -3 and 3 more"),
        (0, header(2, &[]), "1 to 32"),
        (33, header(4, &[]), "1 to 32"),
        (1 << 40, header(4, &[]), "1 to 32"),
    ]
}

/// Each slot, with what it does with the vault.
fn with_every_credential(world: &mut World) -> Vec<Ran> {
    let mut ran = vec![world.run(&["show", "a", "--reveal"])];
    world.unset("KEYVAULT_PASSPHRASE");
    world.set("KEYVAULT_KEY_FILE", "kf");
    ran.push(world.run(&["show", "a", "--reveal"]));
    world.unset("KEYVAULT_KEY_FILE");
    let recover =
        ["vault", "recover", "--code-file", "code", "--new-passphrase-file", "new", "--no-recovery"];
    ran.push(world.run(&recover));
    world.set("KEYVAULT_PASSPHRASE", NEW);
    ran
}

#[test]
fn case_78_malformed_slots_are_passed_over_and_named_by_every_credential() {
    let mut world = world();
    let all = malformed();
    for (id, header, _) in &all {
        insert(&world, *id, header);
    }
    let named = |text: &str| {
        let text = text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
        all.iter().find(|(.., what)| !text.contains(what)).map(|(id, ..)| format!("{id}: {text}"))
    };
    for command in [&["vault", "slot", "list"][..], &["list"], &["doctor"]] {
        let ran = world.run(command);
        assert_eq!(ran.code, i32::from(command == ["doctor"]), "{}", ran.err);
        assert_eq!(named(&(ran.out + &ran.err)), None, "{command:?}");
    }
    world.run(&["vault", "check"]).is(5, "
            1 key, 1 version, 5 audit log entries, change 5
            damaged slot -3: has a number that no slot has; such rows: 4
            damaged slot 10: cost out of bounds
            damaged slot 10: was added: the tree does not know it
            damaged slot 11: cost out of bounds
            damaged slot 11: was added: the tree does not know it
            damaged slot 12: cost out of bounds
            damaged slot 12: was added: the tree does not know it
            damaged slot 13: cost out of bounds
            damaged slot 13: was added: the tree does not know it
            damaged slot 14: malformed header
            damaged slot 14: was added: the tree does not know it
            damaged slot 4: malformed header
            damaged slot 4: was added: the tree does not know it
            damaged slot 5: malformed header
            damaged slot 5: was added: the tree does not know it
            damaged slot 6: malformed header
            damaged slot 6: was added: the tree does not know it
            damaged slot 7: malformed header
            damaged slot 7: was added: the tree does not know it
            damaged slot 8: unknown kind 0
            damaged slot 8: was added: the tree does not know it
            damaged slot 9: unknown kind 77
            damaged slot 9: was added: the tree does not know it
        ", "
            warning: Slot -3 and 3 more were passed over: slots have the numbers 1 to 32. Slots 4, 5, 6, 7 and 14 were passed over: malformed header. Slot 8 was passed over: unknown kind 0. Slot 9 was passed over: unknown kind 77. Slots 10, 11, 12 and 13 were passed over: cost out of bounds. To remove what does not belong to the vault, run `keyvault vault slot remove --strays`.
            Run `keyvault vault rekey` to keep everything that is not damaged, or restore a backup with
            `keyvault vault restore FILE`. docs/recovery.md has other options.
        ");
    let bad = std::fs::read(world.vault()).unwrap();
    for ran in with_every_credential(&mut world) {
        assert_eq!(named(&ran.ok().err), None);
    }
    // The command that rewrote the slots took the strays with it.
    world.run(&["vault", "slot", "list"]).warns("");
    world.run(&["vault", "check"]).ok();
    // So does a rekey.
    put_back_unseen(&world, &bad);
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    world.run(&["vault", "rekey", "--keep-passphrase", "--yes", "--recovery-file", "r"]).ok();
    world.run(&["vault", "check"]).ok();
}

#[test]
fn case_78_a_backup_with_stray_slots_restores_without_them() {
    let world = world();
    for (id, header, _) in malformed() {
        insert(&world, id, &header);
    }
    tamper(&world, "INSERT INTO slot SELECT 20, header, sealed FROM slot WHERE id = 1");
    world.run(&["vault", "backup", "copy"]).fails_with(5, "
            error: The vault is copied to copy, but it is damaged.
                   Keep the older backups: a restore of this one drops the damaged rows. `keyvault vault check` shows them;
                   `keyvault vault rekey` keeps everything else.
        ");
    for gone in [false, true] {
        if gone {
            std::fs::remove_file(world.vault()).unwrap();
            drop_side_files(&world.vault());
        }
        let said = world.run(&["vault", "restore", "copy", "--yes"]).ok().err;
        assert!(
            said.contains("slot -3 has a number that no slot has")
                && said.contains("damaged rows would be dropped"),
            "{said}"
        );
        world.run(&["vault", "check"]).ok();
        let listed = world.run(&["vault", "slot", "list", "--json"]).ok().json();
        let slots = listed["slots"].as_array().unwrap();
        let ids: Vec<_> = slots.iter().map(|slot| slot["slot"].as_u64().unwrap()).collect();
        assert_eq!(ids, [1, 2, 3]);
        assert_eq!(world.run(&["show", "a", "--reveal"]).ok().out, "value-a");
    }
}

#[test]
fn case_78_a_malformed_slot_of_the_vaults_own_leaves_the_other_ways_in() {
    for (damage, what) in [
        ("UPDATE slot SET header = x'' WHERE id = 1", "Slot 1 was passed over: malformed header."),
        (
            "UPDATE slot SET header = CAST(x'63' || substr(header, 2) AS BLOB) WHERE id = 1",
            "Slot 1 was passed over: unknown kind 99.",
        ),
        (
            "UPDATE slot SET header = CAST(substr(header, 1, 33) || x'ffffffff0100000001000000' AS BLOB) WHERE id = 1",
            "Slot 1 was passed over: cost out of bounds.",
        ),
        (
            "UPDATE slot SET sealed = x'' WHERE id = 1",
            "Slot 1 was passed over: someone without the vault's keys added or altered it.",
        ),
        ("DELETE FROM slot WHERE id = 1", "Slot 1 is missing from the file."),
    ] {
        let mut world = world();
        tamper(&world, damage);
        world.run(&["show", "a", "--reveal"]).fails(4, "");
        let listed = world.run(&["vault", "slot", "list"]);
        assert_eq!(listed.code, 4, "{damage}");
        world.unset("KEYVAULT_PASSPHRASE");
        world.set("KEYVAULT_KEY_FILE", "kf");
        let warning = format!(
            "warning: {what} To remove what does not belong to the vault, run `keyvault vault slot remove --strays`.\n"
        );
        let others = "SLOT  KIND           ABOUT\n   2  recovery code\n   3  key file\n";
        world.run(&["vault", "slot", "list"]).is(0, others, &warning);
        world.unset("KEYVAULT_KEY_FILE");
        let recover = ["vault", "recover", "--code-file", "code", "--new-passphrase-file", "new"];
        let ran = world.run(&[&recover[..], &["--no-recovery"]].concat()).ok();
        assert!(ran.err.contains("lot 1"), "{damage}: {}", ran.err);
        world.set("KEYVAULT_PASSPHRASE", NEW);
        assert_eq!(world.run(&["show", "a", "--reveal"]).ok().out.trim_end(), "value-a");
        world.run(&["vault", "check"]).ok();
        let slots = world.run(&["vault", "slot", "list", "--json"]).ok().json();
        assert_eq!(slots["slots"].as_array().unwrap().len(), 3, "{damage}");
        assert_eq!(slots["passed_over"], serde_json::json!([]));
    }
}

#[test]
fn case_78_slots_of_the_highest_cost_cost_nothing_beyond_the_bound() {
    let mut world = world();
    for id in 4..33 {
        insert(&world, id, &header(1, &[1 << 20, 10, 1]));
    }
    let begun = Instant::now();
    world.run(&["show", "a", "--reveal"]).is(0, "value-a", "
            warning: Slots 4, 5, 6, 7, 8 and 24 more were passed over: someone without the vault's keys added or altered them. To remove what does not belong to the vault, run `keyvault vault slot remove --strays`.
        ");
    world.set("KEYVAULT_PASSPHRASE", "wrong");
    world.run(&["show", "a", "--reveal"]).fails_with(4, "
            warning: Slots 4, 5, 6, 7, 8 and 24 more were passed over: the passphrase slots together cost too much.
            error: That is not the vault's passphrase. (It came from KEYVAULT_PASSPHRASE.)
                   If it is lost, or its slot is damaged, set a new one with the recovery code: keyvault vault recover
        ");
    world.unset("KEYVAULT_PASSPHRASE");
    let recover =
        ["vault", "recover", "--code-file", "code", "--new-passphrase-file", "new", "--no-recovery"];
    world.run(&recover).ok();
    world.set("KEYVAULT_PASSPHRASE", NEW);
    world.run(&["vault", "slot", "list"]).warns("");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn case_5_more_rows_than_there_can_be_slots_are_passed_over_and_counted() {
    let mut world = world();
    tamper(
        &world,
        "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
         INSERT INTO slot SELECT i, (SELECT header FROM slot LIMIT 1), randomblob(112) FROM n;",
    );
    let begun = Instant::now();
    let beyond = "warning: Slot 100 and 19900 more were passed over: slots have the numbers 1 to 32. To remove what does not belong to the vault, run `keyvault vault slot remove --strays`.\n";
    world.run(&["show", "a", "--reveal"]).is(0, "value-a", beyond);
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(world.run(&["vault", "check"]).code, 5);
    for ran in with_every_credential(&mut world) {
        assert!(ran.ok().err.contains("19900 more"));
    }
    world.run(&["vault", "check"]).ok();
}

/// A copy of a slot under another number has the right shape, and only the tree knows that it is none.
#[test]
fn a_slot_that_the_tree_does_not_know_is_named_and_can_be_removed() {
    let world = world();
    let good = std::fs::read(world.vault()).unwrap();
    tamper(&world, "INSERT INTO slot SELECT 9, header, sealed FROM slot WHERE id = 2");
    let unknown = "warning: Slot 9 was passed over: someone without the vault's keys added or altered it. To remove what does not belong to the vault, run `keyvault vault slot remove --strays`.\n";
    world.run(&["vault", "slot", "list"]).is(0, SLOTS, unknown);
    let listed = world.run(&["vault", "slot", "list", "--json"]).ok().json();
    assert_eq!(listed["passed_over"][0]["slot"], 9);
    for command in [&["list"][..], &["show", "a", "--reveal"], &["generate", "b"]] {
        world.run(command).warns(unknown);
    }
    let ran = world.run(&["vault", "slot", "remove", "--strays", "--yes"]).ok();
    assert!(ran.err.contains("lot 9"), "{}", ran.err);
    world.run(&["vault", "check"]).ok();
    world.run(&["vault", "slot", "remove", "--strays", "--yes"]).fails_with(
        3,
        "
            error: Every slot belongs to the vault.
                   Run `keyvault vault slot list` to see the slots.
        ",
    );
    for change in [
        &["vault", "slot", "add", "keyfile", "kf2"][..],
        &["vault", "slot", "remove", "3", "--yes"],
        &["vault", "passwd", "--new-passphrase-file", "same"],
    ] {
        put_back_unseen(&world, &good);
        world.file("same", PASSPHRASE);
        tamper(&world, "INSERT INTO slot SELECT 9, header, sealed FROM slot WHERE id = 2");
        world.run(change).ok();
        world.run(&["vault", "check"]).ok();
    }
}

/// A session opens the vault without a look at the slots.
#[test]
fn a_stray_slot_keeps_nothing_from_a_session() {
    let mut world = world();
    world.run(&["unlock", "--for", "1h"]).ok();
    world.unset("KEYVAULT_PASSPHRASE");
    insert(&world, 4, b"");
    for command in [&["list"][..], &["show", "a", "--reveal"], &["exec", "--only", "a", "--", "true"]] {
        assert_eq!(world.run(command).ok().err, "", "{command:?}");
    }
    world.run(&["vault", "slot", "list"]).is(0, SLOTS, "
            warning: Slot 4 was passed over: malformed header. To remove what does not belong to the vault, run `keyvault vault slot remove --strays`.
        ");
}
