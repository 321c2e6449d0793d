//! Cases 3 and 5–7 of the fault catalog: what somebody without a key wrote into the file is refused.
//!
//! "Refused" means: a sentence, the right exit code, and not a byte changed. Faults are made from outside, with
//! SQLite on the file.

use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use crate::harness::World;
use crate::harness::vault_file::{drop_side_files, filled, put_back, tamper};

/// A command that uses the rows of a table and must refuse them. `None`: only `vault check` reads them.
fn user_of(table: &str) -> Option<&'static [&'static str]> {
    Some(match table {
        "object" | "version" | "leaf" | "node" | "slot" | "state" => &["show", "a", "--reveal"],
        "scope" => &["export", "--scope", "s"],
        "log" | "log_head" => &["audit", "verify"],
        _ => return None,
    })
}

#[track_caller]
fn refused_by_its_user_and_by_check(world: &World, table: &str, what: &str) {
    let bytes = std::fs::read(world.vault()).unwrap();
    let user = user_of(table).unwrap();
    for command in [user, &["vault", "check"]] {
        let ran = world.run(command);
        assert_eq!(ran.code, 5, "{table} {what}: {command:?}\n{}{}", ran.out, ran.err);
        assert!(!ran.out.contains("value-"), "{table} {what}: {}", ran.out);
    }
    assert_eq!(std::fs::read(world.vault()).unwrap(), bytes, "{table} {what}: a refusal changed the file");
}

/// The statements that damage a table, by what they do.
fn damages(table: &str) -> Vec<(&'static str, String)> {
    let empty = format!("DELETE FROM {table};");
    match table {
        "object" => vec![
            ("swapped", "CREATE TEMP TABLE p AS SELECT * FROM object;
              UPDATE object SET (sealed, revision) = (SELECT sealed, revision FROM p WHERE p.id >> 56 = object.id >> 56 AND p.id <> object.id ORDER BY p.id LIMIT 1)
              WHERE object.id >> 56 IN (3, 4);".to_owned()),
            ("deleted", empty),
            ("added", "INSERT INTO object SELECT id + 1, randomblob(16), revision, sealed FROM object;".to_owned()),
            ("of another kind", "UPDATE object SET id = id + (20 << 56);".to_owned()),
            ("aged", "UPDATE object SET revision = revision - 1;".to_owned()),
        ],
        // The objects of scopes alone.
        "scope" => vec![
            ("swapped", "CREATE TEMP TABLE p AS SELECT tag, sealed FROM object WHERE id >> 56 = 4;
              UPDATE object SET sealed = (SELECT sealed FROM p WHERE p.tag <> object.tag LIMIT 1) WHERE id >> 56 = 4;".to_owned()),
            ("deleted", "DELETE FROM object WHERE id >> 56 = 4;".to_owned()),
        ],
        "version" => ["wrapped", "sealed", "wrapped, sealed"]
            .map(|columns| ("swapped", format!("CREATE TEMP TABLE p AS SELECT * FROM version;
              UPDATE version SET ({columns}) = (SELECT {columns} FROM p WHERE p.id <> version.id ORDER BY p.id LIMIT 1);")))
            .into_iter()
            .chain([("deleted", empty)])
            .collect(),
        "leaf" => vec![
            ("swapped", "CREATE TEMP TABLE p AS SELECT tag, digest FROM leaf;
              UPDATE leaf SET digest = (SELECT digest FROM p WHERE p.tag <> leaf.tag ORDER BY p.tag LIMIT 1);".to_owned()),
            ("deleted", empty),
            ("added", "INSERT INTO leaf SELECT randomblob(16), digest FROM leaf;".to_owned()),
        ],
        "node" => vec![
            ("deleted", empty),
            ("altered", "UPDATE node SET body = CAST(x'deadbeef' || substr(body, 5) AS BLOB);".to_owned()),
        ],
        "slot" => vec![
            ("swapped header", "UPDATE slot SET header = CAST(substr(header, 1, 30) || x'0000' || substr(header, 33) AS BLOB) WHERE id <> (SELECT min(id) FROM slot);".to_owned()),
        ],
        "log" => vec![
            ("swapped", "UPDATE log SET sealed = (SELECT sealed FROM log WHERE id = 1) WHERE id = 2;".to_owned()),
            ("deleted in the middle", "DELETE FROM log WHERE id = 1;".to_owned()),
            ("cut at the tail", "DELETE FROM log WHERE id = (SELECT max(id) FROM log);".to_owned()),
            ("added", "INSERT INTO log SELECT id + 100, NULL, mac, sealed FROM log WHERE id = 1;".to_owned()),
            ("in another ledger", "UPDATE log SET id = id + (7 << 32) WHERE id = 1;".to_owned()),
        ],
        "log_head" => vec![
            ("deleted", empty),
            ("counted down", "UPDATE log_head SET count = count - 1;".to_owned()),
            ("of another ledger", "UPDATE log_head SET (ledger, number) = (randomblob(16), 7);".to_owned()),
        ],
        "state" => vec![("deleted", empty), ("altered", "UPDATE state SET record = CAST(x'ff' || substr(record, 2) AS BLOB);".to_owned())],
        other => panic!("no damage for {other}"),
    }
}

#[test]
fn case_3_rows_swapped_deleted_or_added_are_refused_by_their_user_and_by_check() {
    let world = filled();
    let good = std::fs::read(world.vault()).unwrap();
    for table in ["object", "scope", "version", "leaf", "node", "log", "log_head", "state"] {
        for (what, statements) in damages(table) {
            put_back(&world, &good);
            tamper(&world, &statements);
            // Rows that were added beside those in use are found only by a command that reads all of them.
            let unused = what == "added" && matches!(table, "object" | "leaf");
            if unused {
                world.run(&["vault", "check"]).fails(5, "");
            } else {
                refused_by_its_user_and_by_check(&world, table, what);
            }
        }
    }
    put_back(&world, &good);
    world.run(&["vault", "check"]).ok();
}

#[test]
fn case_3_a_slot_that_was_altered_or_added_is_found_even_though_another_one_opens() {
    let world = filled();
    let good = std::fs::read(world.vault()).unwrap();
    for (_, statements) in damages("slot") {
        tamper(&world, &statements);
        world.run(&["vault", "check"]).is(5, "
                3 keys, 3 versions, 4 audit log entries, change 4
                damaged slot 2: is not the one that the tree knows
            ", "
                warning: Slot 2 was passed over: someone without the vault's keys added or altered it. To remove what does not belong to the vault, run `keyvault vault slot remove --strays`.
                Run `keyvault vault rekey` to keep everything that is not damaged, or restore a backup with
                `keyvault vault restore FILE`. docs/recovery.md has other options.
            ");
        put_back(&world, &good);
    }
    tamper(&world, "INSERT INTO slot SELECT id + 5, header, sealed FROM slot;");
    world.run(&["vault", "check"]).is(5, "
            3 keys, 3 versions, 4 audit log entries, change 4
            damaged slot 6: was added: the tree does not know it
            damaged slot 7: was added: the tree does not know it
        ", "
            warning: Slots 6 and 7 were passed over: someone without the vault's keys added or altered them. To remove what does not belong to the vault, run `keyvault vault slot remove --strays`.
            Run `keyvault vault rekey` to keep everything that is not damaged, or restore a backup with
            `keyvault vault restore FILE`. docs/recovery.md has other options.
        ");
    put_back(&world, &good);
    tamper(&world, "DELETE FROM slot;");
    let ran = world.run(&["show", "a", "--reveal"]);
    assert!(ran.code == 4 || ran.code == 5, "{}", ran.err);
    put_back(&world, &good);
    // A deleted recovery slot is not missed by the passphrase, but by a check.
    tamper(&world, "DELETE FROM slot WHERE id <> (SELECT min(id) FROM slot);");
    world.run(&["vault", "check"]).is(5, "
            3 keys, 3 versions, 4 audit log entries, change 4
            damaged leaf <hex>: stands for no row
        ", "
            warning: Slot 2 is missing from the file. To remove what does not belong to the vault, run `keyvault vault slot remove --strays`.
            Run `keyvault vault rekey` to keep everything that is not damaged, or restore a backup with
            `keyvault vault restore FILE`. docs/recovery.md has other options.
        ");
}

#[test]
fn case_3_each_table_put_back_to_an_earlier_state_is_refused() {
    let world = filled();
    let old = world.file("old.db", std::fs::read(world.vault()).unwrap());
    // Touches every table but the slots, which no command of this kind writes.
    let dotenv = world.file("new.env", "a=new-a\nb=new-b\nd=new-d\n");
    world.run(&["import", dotenv.to_str().unwrap(), "--on-conflict", "replace", "--scope", "s"]).ok();
    world.run(&["edit", "b", "--note", "x", "--unscope", "s"]).ok();
    world.run(&["edit", "a", "--note", "y"]).ok();
    let new = std::fs::read(world.vault()).unwrap();
    for (table, rows) in [
        ("object", "object"),
        ("scope", "object WHERE id >> 56 = 4"),
        ("version", "version"),
        ("leaf", "leaf"),
        ("node", "node"),
        ("log", "log"),
        ("log_head", "log_head"),
        ("state", "state"),
    ] {
        put_back(&world, &new);
        let into = rows.split(' ').next().unwrap();
        let statements = format!(
            "ATTACH '{}' AS old; DELETE FROM main.{rows}; INSERT INTO main.{into} SELECT * FROM old.{rows}; DETACH old;",
            old.display()
        );
        tamper(&world, &statements);
        refused_by_its_user_and_by_check(&world, table, "aged");
    }
}

#[test]
fn case_5_a_hostile_kdf_header_is_passed_over_before_the_work() {
    let world = filled();
    let good = std::fs::read(world.vault()).unwrap();
    let [floor, four_tib] = [19 * 1024_u32, u32::MAX];
    for (memory, passes, lanes) in [
        (four_tib, 1, 1),
        (8, 1, 1),
        (floor - 1, 1, 1),
        (floor, 0, 1),
        (floor, 11, 1),
        (floor, 1, 9),
        (floor, 1, 0),
    ] {
        put_back(&world, &good);
        let connection = Connection::open(world.vault()).unwrap();
        let header: Vec<u8> = connection
            .query_row("SELECT header FROM slot ORDER BY id LIMIT 1", [], |row| row.get(0))
            .unwrap();
        let mut hostile = header[..33].to_vec();
        for number in [memory, passes, lanes] {
            hostile.extend_from_slice(&u32::to_le_bytes(number));
        }
        connection
            .execute("UPDATE slot SET header = ? WHERE id = (SELECT min(id) FROM slot)", params![hostile])
            .unwrap();
        drop(connection);
        let begun = Instant::now();
        world.run(&["show", "a", "--reveal"]).fails_with(4, "
                warning: Slot 1 was passed over: cost out of bounds. To remove what does not belong to the vault, run `keyvault vault slot remove --strays`.
                error: The vault has no slot for a passphrase. (It came from KEYVAULT_PASSPHRASE.)
                       Set KEYVAULT_KEY_FILE to a key file that opens it, or set a passphrase with `keyvault vault recover`.
            ");
        assert!(begun.elapsed() < Duration::from_secs(2), "{memory} KiB were tried");
    }
}

#[test]
fn case_5_a_cost_that_was_changed_within_the_bounds_opens_nothing() {
    let world = filled();
    // The passes, last but one of the header's three numbers, from 1 to 2.
    tamper(
        &world,
        "UPDATE slot SET header = CAST(substr(header, 1, 37) || x'02000000' || substr(header, 42) AS BLOB) WHERE length(header) = 45;",
    );
    world.run(&["show", "a", "--reveal"]).fails_with(
        4,
        "
            error: That is not the vault's passphrase. (It came from KEYVAULT_PASSPHRASE.)
                   If it is lost, or its slot is damaged, set a new one with the recovery code: keyvault vault recover
        ",
    );
}

#[test]
fn case_5_a_slot_of_another_vault_opens_nothing_although_its_passphrase_is_right() {
    let (world, other) = (filled(), World::own());
    drop_side_files(&other.vault());
    tamper(
        &world,
        &format!(
            "ATTACH '{}' AS other; DELETE FROM main.slot; INSERT INTO main.slot SELECT * FROM other.slot; DETACH other;",
            other.vault().display()
        ),
    );
    world.run(&["show", "a", "--reveal"]).fails_with(
        4,
        "
            error: That is not the vault's passphrase. (It came from KEYVAULT_PASSPHRASE.)
                   If it is lost, or its slot is damaged, set a new one with the recovery code: keyvault vault recover
        ",
    );
}

#[test]
fn case_6_a_newer_format_is_refused_and_names_who_wrote_it() {
    let world = filled();
    tamper(
        &world,
        "PRAGMA user_version = 1005; UPDATE vault SET written_by = '9.9.9'; CREATE TABLE more (x);",
    );
    for command in [&["show", "a", "--reveal"] as &[&str], &["list"], &["generate", "x"], &["vault", "check"]]
    {
        world.run(command).fails_with(1, "
                error: ~/.local/share/keyvault/vault.db has format 1005, which this version of keyvault does not support; keyvault 9.9.9 wrote it.
                       Use that version or a newer one.
            ");
    }
}

#[test]
fn an_older_format_is_refused_and_says_what_wrote_it() {
    let world = filled();
    let good = std::fs::read(world.vault()).unwrap();
    for (format, older) in [
        (0, "DROP TABLE token_view; PRAGMA user_version = 0"),
        (-1, "DROP TABLE token_view; PRAGMA user_version = -1"),
        (
            1,
            "DROP TABLE token_view; DROP TABLE token_grant; DROP TABLE log; DROP TABLE log_head; PRAGMA user_version = 1",
        ),
    ] {
        put_back(&world, &good);
        tamper(&world, older);
        for command in [&["show", "a", "--reveal"] as &[&str], &["list"], &["generate", "x"]] {
            world.run(command).fails_with(1, &format!("
                error: ~/.local/share/keyvault/vault.db has format {format}, which only builds before the first release wrote.
                       Export its keys with the build that wrote it, and import them into a new vault.
                "));
        }
    }
}

#[test]
fn case_7_a_hostile_schema_is_refused_and_not_run() {
    let world = filled();
    let good = std::fs::read(world.vault()).unwrap();
    for statement in [
        "CREATE TRIGGER steal AFTER INSERT ON log BEGIN DELETE FROM slot; END",
        "CREATE VIEW extra AS SELECT * FROM object",
        "CREATE TABLE zz (x)",
        "CREATE INDEX zz ON object (revision)",
        "DROP TABLE version",
        "DROP TABLE object; CREATE VIEW object AS SELECT 3 id, x'00' tag, 1 revision, x'00' sealed",
        "ALTER TABLE slot ADD COLUMN more BLOB",
    ] {
        put_back(&world, &good);
        tamper(&world, statement);
        for command in
            [&["show", "a", "--reveal"] as &[&str], &["list"], &["generate", "x"], &["vault", "check"]]
        {
            world.run(command).fails(5, "schema");
        }
        let connection = Connection::open(world.vault()).unwrap();
        let slots: u32 = connection.query_row("SELECT count(*) FROM slot", [], |row| row.get(0)).unwrap();
        assert!(slots > 0, "{statement} was run");
    }
}

#[test]
fn a_forged_scope_row_hides_no_key() {
    let world = World::new();
    for name in ["a", "b", "c", "d"] {
        world.run(&["generate", name, "--scope", "s"]).ok();
    }
    tamper(
        &world,
        "CREATE TEMP TABLE gone AS SELECT id, tag FROM object WHERE id >> 56 = 3 LIMIT 1;
         DELETE FROM object WHERE id = (SELECT id FROM gone);
         INSERT INTO object SELECT id + (1 << 56), tag, 1, randomblob(100) FROM gone;",
    );
    world.run(&["list"]).fails_with(5, "
            error: ~/.local/share/keyvault/vault.db is damaged or was tampered with: row <hex>: added or altered.
                   Nothing was released. Run `keyvault vault check` to see the damaged rows, then `keyvault vault rekey` to keep the rest, or restore a backup.
        ");
    world.run(&["export", "--all"]).fails_with(5, "
            error: ~/.local/share/keyvault/vault.db is damaged or was tampered with: row <hex>: added or altered.
                   Nothing was released. Run `keyvault vault check` to see the damaged rows, then `keyvault vault rekey` to keep the rest, or restore a backup.
        ");
    world.run(&["exec", "--all", "--", "touch", "ran"]).fails_with(125, "
            error: ~/.local/share/keyvault/vault.db is damaged or was tampered with: row <hex>: added or altered.
                   Nothing was released. Run `keyvault vault check` to see the damaged rows, then `keyvault vault rekey` to keep the rest, or restore a backup.
        ");
    assert!(!world.home().join("ran").exists());
    // The damaged bucket of names, among the lines, depends on which row was the first.
    let checked = world.run(&["vault", "check"]).fails(5, "`keyvault vault restore FILE`.");
    assert!(
        checked.out.contains("\ndamaged scope s: lists other keys than those that carry it\n"),
        "{}",
        checked.out
    );
}
