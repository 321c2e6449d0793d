//! Cases 5–7 of the fault catalogue: slots, a format and a schema that somebody wrote to harm who opens the file.

use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use crate::file::{drop_side_files, filled, put_back, tamper};
use crate::harness::World;

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
        world.run(&["show", "a", "--reveal"]).fails(4, "Slot 1 was passed over: cost out of bounds.");
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
    world.run(&["show", "a", "--reveal"]).fails(4, "passphrase");
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
    world.run(&["show", "a", "--reveal"]).fails(4, "passphrase");
}

#[test]
fn case_6_a_newer_format_is_refused_and_names_who_wrote_it() {
    let world = filled();
    tamper(&world, "PRAGMA user_version = 3; UPDATE vault SET written_by = '9.9.9';");
    for command in [&["show", "a", "--reveal"] as &[&str], &["list"], &["generate", "x"], &["vault", "check"]]
    {
        world.run(command).fails(1, "9.9.9");
    }
}

#[test]
fn an_older_format_is_refused_and_says_what_wrote_it() {
    let world = filled();
    let good = std::fs::read(world.vault()).unwrap();
    for older in [
        "PRAGMA user_version = 0",
        "PRAGMA user_version = -1",
        "PRAGMA user_version = 1",
        "DROP TABLE token; DROP TABLE token_view; DROP TABLE token_grant; DROP TABLE token_audit;
         DROP TABLE token_audit_head; PRAGMA user_version = 1",
    ] {
        put_back(&world, &good);
        tamper(&world, older);
        for command in [&["show", "a", "--reveal"] as &[&str], &["list"], &["generate", "x"]] {
            world.run(command).fails(1, "before the first release");
        }
    }
}

#[test]
fn case_7_a_hostile_schema_is_refused_and_not_run() {
    let world = filled();
    let good = std::fs::read(world.vault()).unwrap();
    for statement in [
        "CREATE TRIGGER steal AFTER INSERT ON audit BEGIN DELETE FROM slot; END",
        "CREATE VIEW extra AS SELECT * FROM item",
        "CREATE TABLE zz (x)",
        "CREATE INDEX zz ON item (revision)",
        "DROP TABLE scope_member",
        "DROP TABLE item; CREATE VIEW item AS SELECT x'00' tag, 1 revision, x'00' sealed",
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
