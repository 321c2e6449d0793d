//! Cases 3, 4, 8–10 and 13 of the fault catalogue: what a vault's file may do to us; `hostile` has slots, format
//! and schema, `place` the file system.
//!
//! "Refused" means: a sentence, the right exit code, and not a byte changed. Faults are made from outside, with
//! SQLite on the file.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::harness::World;

/// A world with a vault of its own, two keys in one scope and one in another, and no log beside the file.
pub(crate) fn filled() -> World {
    let world = World::own();
    for (name, value, scope) in [("a", "value-a", "s"), ("b", "value-b", "s"), ("c", "value-c", "t")] {
        world.run_with_input(&["add", name, "--scope", scope], value).ok();
    }
    world
}

/// Takes the log and its index away. After a change the file is complete without them.
pub(crate) fn drop_side_files(vault: &Path) {
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(beside(vault, suffix));
    }
}

/// The vault's path with a suffix.
pub(crate) fn beside(vault: &Path, suffix: &str) -> PathBuf {
    let mut path = vault.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// Puts `bytes` in the place of the whole vault.
pub(crate) fn put_back(world: &World, bytes: &[u8]) {
    drop_side_files(&world.vault());
    std::fs::write(world.vault(), bytes).unwrap();
}

/// Changes rows behind keyvault's back.
pub(crate) fn tamper(world: &World, statements: &str) {
    let connection = Connection::open(world.vault()).unwrap();
    connection.execute_batch(statements).unwrap_or_else(|error| panic!("{error}: {statements}"));
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(connection);
    drop_side_files(&world.vault());
}

/// Who uses the rows of a table, as a command that must refuse them. `None`: only `vault check` reads them.
fn user_of(table: &str) -> Option<&'static [&'static str]> {
    Some(match table {
        "item" | "version_key" | "version_value" | "leaf" | "node" | "slot" | "state" => {
            &["show", "a", "--reveal"]
        }
        "scope" | "scope_member" => &["export", "--scope", "s"],
        "audit" | "audit_head" => &["audit", "verify"],
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
    let swap = |key: &str, cell: &str| {
        format!(
            "CREATE TEMP TABLE pair AS SELECT {key} k, {cell} c, row_number() OVER (ORDER BY {key}) n FROM {table} LIMIT 2;
             UPDATE {table} SET {cell} = (SELECT c FROM pair WHERE k <> {table}.{key}) WHERE {key} IN (SELECT k FROM pair);"
        )
    };
    let add = |columns: &str| format!("INSERT INTO {table} SELECT {columns} FROM {table} LIMIT 1;");
    let empty = format!("DELETE FROM {table};");
    match table {
        "item" => vec![
            ("swapped", "CREATE TEMP TABLE p AS SELECT tag, sealed, revision FROM item;
              UPDATE item SET (sealed, revision) = (SELECT sealed, revision FROM p WHERE p.tag <> item.tag ORDER BY p.tag LIMIT 1);".to_owned()),
            ("deleted", empty),
            ("added", add("randomblob(16), revision, sealed")),
            ("aged", "UPDATE item SET revision = revision - 1;".to_owned()),
        ],
        "version_key" | "version_value" => vec![
            ("swapped", format!("CREATE TEMP TABLE p AS SELECT item, sealed FROM {table};
              UPDATE {table} SET sealed = (SELECT sealed FROM p WHERE p.item <> {table}.item ORDER BY p.item LIMIT 1);")),
            ("deleted", empty),
        ],
        "scope" => vec![
            ("swapped", swap("tag", "sealed")),
            ("deleted", empty),
        ],
        "scope_member" => vec![
            ("swapped", "CREATE TEMP TABLE p AS SELECT DISTINCT scope FROM scope_member;
              CREATE TEMP TABLE m AS SELECT (SELECT scope FROM p WHERE scope <> o.scope) scope, item FROM scope_member o;
              DELETE FROM scope_member; INSERT INTO scope_member SELECT * FROM m;".to_owned()),
            ("deleted", empty),
            ("added", "INSERT OR IGNORE INTO scope_member SELECT s.tag, i.tag FROM scope s, item i;".to_owned()),
        ],
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
        "audit" => vec![
            ("swapped", "UPDATE audit SET sealed = (SELECT sealed FROM audit WHERE seq = 1) WHERE seq = 2;".to_owned()),
            ("deleted in the middle", "DELETE FROM audit WHERE seq = 1;".to_owned()),
            ("cut at the tail", "DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit);".to_owned()),
            ("added", "INSERT INTO audit SELECT seq + 100, NULL, sealed, mac FROM audit WHERE seq = 1;".to_owned()),
        ],
        "audit_head" => vec![("deleted", empty), ("counted down", "UPDATE audit_head SET count = count - 1;".to_owned())],
        "state" => vec![("deleted", empty), ("altered", "UPDATE state SET record = CAST(x'ff' || substr(record, 2) AS BLOB);".to_owned())],
        other => panic!("no damage for {other}"),
    }
}

#[test]
fn case_3_rows_swapped_deleted_or_added_are_refused_by_their_user_and_by_check() {
    let world = filled();
    let good = std::fs::read(world.vault()).unwrap();
    for table in [
        "item",
        "version_key",
        "version_value",
        "scope",
        "scope_member",
        "leaf",
        "node",
        "audit",
        "audit_head",
        "state",
    ] {
        for (what, statements) in damages(table) {
            put_back(&world, &good);
            tamper(&world, &statements);
            // What was added beside the rows in use is found by whoever reads all of them.
            let unused = what == "added" && matches!(table, "item" | "leaf");
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
        world.run(&["vault", "check"]).fails(5, "");
        put_back(&world, &good);
    }
    tamper(&world, "INSERT INTO slot SELECT id + 5, header, sealed FROM slot;");
    world.run(&["vault", "check"]).fails(5, "");
    put_back(&world, &good);
    tamper(&world, "DELETE FROM slot;");
    let ran = world.run(&["show", "a", "--reveal"]);
    assert!(ran.code == 4 || ran.code == 5, "{}", ran.err);
    put_back(&world, &good);
    // A deleted recovery slot is not missed by the passphrase, but by a check.
    tamper(&world, "DELETE FROM slot WHERE id <> (SELECT min(id) FROM slot);");
    world.run(&["vault", "check"]).fails(5, "");
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
    for table in [
        "item",
        "version_key",
        "version_value",
        "scope",
        "scope_member",
        "leaf",
        "node",
        "audit",
        "audit_head",
        "state",
    ] {
        put_back(&world, &new);
        let statements = format!(
            "ATTACH '{}' AS old; DELETE FROM main.{table}; INSERT INTO main.{table} SELECT * FROM old.{table}; DETACH old;",
            old.display()
        );
        tamper(&world, &statements);
        refused_by_its_user_and_by_check(&world, table, "aged");
    }
}

#[test]
fn case_4_a_whole_file_that_was_rolled_back_alarms_until_it_is_adopted() {
    let world = filled();
    let old = std::fs::read(world.vault()).unwrap();
    world.run(&["edit", "a", "--note", "later"]).ok();
    put_back(&world, &old);
    world.run(&["show", "a", "--reveal"]).fails(5, "vault restore --adopt");
    world.run(&["exec", "--only", "a", "--", "true"]).fails(125, "vault restore --adopt");
    world.run(&["edit", "a", "--note", "z"]).fails(5, "put back");
    world.run(&["list"]).ok();
    let check = world.run(&["vault", "check"]);
    assert!(check.code == 5 && check.out.contains("older than what was last seen"), "{}", check.out);
    world.run(&["vault", "restore", "--adopt"]).ok();
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok().out, "value-a");
    world.run(&["vault", "check"]).ok();
    world.run(&["audit", "verify"]).ok();
    let log = world.run(&["audit", "log", "--action", "adopt"]).ok();
    assert!(log.out.contains("supersedes"), "{}", log.out);
}

#[test]
fn case_4_a_fork_alarms_at_the_same_number_and_beyond_it() {
    let world = filled();
    let old = std::fs::read(world.vault()).unwrap();
    world.run(&["edit", "a", "--note", "here"]).ok();
    let pins: Vec<_> =
        world.every_file().into_iter().filter(|(path, _)| path.starts_with(world.pins())).collect();
    // The other branch, made where nobody remembers.
    put_back(&world, &old);
    std::fs::remove_dir_all(world.pins()).unwrap();
    for note in ["there", "further"] {
        world.run(&["edit", "a", "--note", note]).ok();
        let there: Vec<_> =
            world.every_file().into_iter().filter(|(path, _)| path.starts_with(world.pins())).collect();
        let write = |files: &[(PathBuf, Vec<u8>)]| {
            for (path, bytes) in files {
                std::fs::write(path, bytes).unwrap();
            }
        };
        write(&pins);
        world.run(&["show", "a", "--reveal"]).fails(5, "another branch");
        world.run(&["list"]).ok();
        world.run(&["vault", "check"]).fails(5, "");
        write(&there);
    }
    for (path, bytes) in &pins {
        std::fs::write(path, bytes).unwrap();
    }
    world.run(&["vault", "restore", "--adopt"]).ok();
    world.run(&["show", "a", "--reveal"]).ok();
    world.run(&["vault", "check"]).ok();
}

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
        .execute_batch("PRAGMA wal_autocheckpoint = 0; UPDATE item SET sealed = randomblob(64)")
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
        world.run(command).fails(5, "-journal");
    }
    assert_eq!(std::fs::read(world.vault()).unwrap(), good);
}

#[test]
fn case_9_a_removed_versions_wrapped_key_is_nowhere_in_the_file() {
    let world = filled();
    let sealed = |table: &str| -> Vec<Vec<u8>> {
        let connection = Connection::open(world.vault()).unwrap();
        let mut statement = connection.prepare(&format!("SELECT sealed FROM {table}")).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let before = [sealed("version_key"), sealed("version_value")].concat();
    world.run(&["remove", "a", "--yes"]).ok();
    let after = [sealed("version_key"), sealed("version_value")].concat();
    let gone: Vec<_> = before.iter().filter(|blob| !after.contains(blob)).collect();
    assert_eq!(gone.len(), 2);
    for (path, bytes) in world.every_file() {
        for blob in &gone {
            assert!(!bytes.windows(16).any(|piece| piece == &blob[16..32]), "{}", path.display());
        }
    }
}

#[test]
fn case_10_anything_but_a_file_is_refused_without_blocking() {
    let world = World::new();
    let path = |name: &str| world.home().join(name).to_str().unwrap().to_owned();
    world.file("empty", "");
    std::fs::create_dir(world.home().join("folder")).unwrap();
    world.sh("mkfifo fifo && chmod 600 fifo && mkdir -m 700 dev && mknod -m 600 dev/null c 1 3").ok();
    let begun = Instant::now();
    for (name, word) in
        [("empty", "is empty"), ("folder", "folder"), ("fifo", "pipe"), ("dev/null", "device")]
    {
        for command in [&["list"] as &[&str], &["generate", "x"], &["status"], &["vault", "check"]] {
            world.run(&[command, &["--vault", &path(name)]].concat()).fails(5, word);
        }
        world.run(&["exec", "--vault", &path(name), "--all", "--", "true"]).fails(125, word);
        let init = world.run(&["init", "--no-recovery", "--vault", &path(name)]);
        assert_ne!(init.code, 0, "init took {name}");
    }
    world.file(
        "text",
        "not a database, but as long as anyone could wish for in the header of one: 100 bytes and more....",
    );
    world.sh("chmod 600 text").ok();
    world.run(&["list", "--vault", &path("text")]).fails(5, "not a vault");
    assert!(begun.elapsed() < Duration::from_secs(10), "something blocked");
}

#[test]
fn case_13_a_symlinked_vault_is_refused_and_a_symlinked_folder_is_not() {
    let world = filled();
    let link = world.home().join("link.db");
    symlink(world.vault(), &link).unwrap();
    world.run(&["list", "--vault", link.to_str().unwrap()]).fails(5, "symbolic link");
    let folder = world.home().join("stow");
    symlink(world.vault().parent().unwrap(), &folder).unwrap();
    let through = folder.join("vault.db");
    assert_eq!(
        world.run(&["show", "a", "--reveal", "--vault", through.to_str().unwrap()]).ok().out,
        "value-a"
    );
    // The same vault by either way: a change by one is not a rollback by the other.
    world.run(&["edit", "a", "--note", "x", "--vault", through.to_str().unwrap()]).ok();
    world.run(&["vault", "check"]).ok();
    let second = world.home().join("second.db");
    std::fs::hard_link(world.vault(), &second).unwrap();
    world.run(&["list"]).fails(5, "2 names");
    std::fs::remove_file(second).unwrap();
    world.run(&["list"]).ok();
}
