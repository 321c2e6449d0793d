//! Reads with a token: recorded, imported from bundles, and proved.

use std::time::Duration;

use rusqlite::Connection;

use crate::harness::bearer::{ENV, held, seen, token, with_keys};
use crate::harness::vault_file::tamper;
use crate::harness::{KEYVAULT, PASSPHRASE, World, finish};

/// A check that finds this, and says so.
fn finds(world: &World, what: &str) {
    let checked = world.run(&["vault", "check"]);
    assert!(checked.code == 5 && checked.out.contains(what), "{}: {}", checked.code, checked.out);
}

/// Copies the rows of the tables that a bearer can write, as it would before it is revoked.
fn reads_of(world: &World) -> String {
    let connection = Connection::open(world.vault()).unwrap();
    let mut statements = String::new();
    for (table, condition) in [("log", "id >> 32 > 1"), ("log_head", "number > 1")] {
        let rows = format!("{table} WHERE {condition}");
        statements += &format!("DELETE FROM {rows};");
        let mut rows = connection.prepare(&format!("SELECT * FROM {rows}")).unwrap();
        let columns = rows.column_count();
        let mut rows = rows.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values: Vec<_> = (0..columns)
                .map(|column| match row.get_ref(column).unwrap() {
                    rusqlite::types::ValueRef::Blob(bytes) => {
                        format!("x'{}'", data_encoding::HEXLOWER.encode(bytes))
                    }
                    rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                    rusqlite::types::ValueRef::Null => "NULL".to_owned(),
                    other => panic!("{other:?}"),
                })
                .collect();
            statements += &format!("INSERT INTO {table} VALUES ({});", values.join(","));
        }
    }
    statements
}

#[test]
fn audit_verify_proves_what_was_read_with_tokens_as_well() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    held(&world, &token, &ENV).ok();
    held(&world, &token, &ENV).ok();
    world.run(&["audit", "verify"]).prints("
            7 entries verified: each follows from the previous one; `--from-start` proves them with the passphrase.
            2 reads by tokens verified.
        ");
    tamper(&world, "DELETE FROM log WHERE id >> 32 > 1 AND id & 4294967295 = 0");
    world.run(&["audit", "verify"]).is(5, "
            7 entries verified: each follows from the previous one; `--from-start` proves them with the passphrase.
        ", "
            warning: The reads by token `ci` cannot be proved: entry 0: the entry is missing. Someone may have hidden reads.
        ");
    let answer = world.run(&["audit", "verify", "--json"]);
    assert_eq!((answer.code, &answer.json()["ok"]), (5, &serde_json::json!(false)));
    assert_eq!(answer.json()["broken"][0]["token"], "ci");
}

#[test]
fn reads_of_a_renewed_token_keep_the_others_of_a_log_not_away() {
    let mut world = with_keys();
    let first = token(&world, &["ci", "--scope", "deploy"]);
    world.run(&["bundle", "create", "--token", "ci", "-o", "first.kvb"]).ok();
    let second = world.run(&["token", "renew", "ci"]).ok().out.trim_end().to_owned();
    world.run(&["bundle", "create", "--token", "ci", "-o", "second.kvb"]).ok();
    world.set("KEYVAULT_READS", "reads.jsonl");
    held(&world, &first, &["exec", "--bundle", "first.kvb", "--", "true"]).ok();
    world.run(&["audit", "import", "reads.jsonl"]).fails_with(
        3,
        "
            error: The reads are by a token that this vault does not know.
                   A token that was renewed or created again does not accept the reads of the earlier one.
        ",
    );
    held(&world, &second, &["exec", "--bundle", "second.kvb", "--", "true"]).ok();
    world.run(&["audit", "import", "reads.jsonl"]).is(
        0,
        "Imported 1 new read by token `ci`.\n",
        "warning: Skipped 1 read by tokens that this vault does not know, such as tokens renewed since.\n",
    );
    let again = world.run(&["audit", "import", "reads.jsonl", "--json"]).ok().json();
    assert_eq!((&again["known"], &again["unknown"]), (&1.into(), &1.into()));
}

#[test]
fn a_file_that_is_no_log_of_reads_is_not_touched() {
    let mut world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    world.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb"]).ok();
    world.set("KEYVAULT_READS", "notes");
    for text in ["one\ntwo, without an end", "{\"keys\":1}\n"] {
        let notes = world.file("notes", text);
        held(&world, &token, &["exec", "--bundle", "keys.kvb", "--", "echo", "started"]).fails_with(
            125,
            "
                    error: 'notes' is not a read log and was not changed.
                           Set KEYVAULT_READS to a new file, or to one that keyvault wrote.
                ",
        );
        assert_eq!(std::fs::read_to_string(notes).unwrap(), text);
    }
}

#[test]
fn a_bearer_that_wrecks_its_own_rows_keeps_the_owner_from_nothing() {
    for wreck in [
        "DELETE FROM log_head WHERE number > 1",
        "DELETE FROM log_head WHERE number > 1; DELETE FROM log WHERE id >> 32 > 1",
        "UPDATE log_head SET sealed = x'' WHERE number > 1",
        "UPDATE log SET mac = x'00' WHERE id >> 32 > 1",
    ] {
        let mut world = with_keys();
        let token = token(&world, &["ci", "--scope", "deploy"]);
        held(&world, &token, &ENV).ok();
        tamper(&world, wreck);
        assert_eq!(world.run(&["vault", "check"]).code, 5, "{wreck}");
        world.run(&["vault", "backup", "backup.db"]).ok();
        let rotated = world.run_with_input(&["rotate", "a"], "value-a2").ok();
        // How the reads cannot be proved depends on the damage.
        assert!(rotated.err.contains("someone may have hidden reads"), "{wreck}: {}", rotated.err);
        let renewed = world.run(&["token", "renew", "ci"]).ok();
        assert_eq!(seen(held(&world, renewed.out.trim_end(), &ENV)), ["A=value-a2", "B=value-b"]);
        world.run(&["vault", "check"]).ok();
        tamper(&world, wreck);
        world.run(&["token", "revoke", "ci"]).ok();
        // Said once, as there is nothing left to be done about it.
        assert_eq!(world.run(&["edit", "a", "--note", "x"]).ok().err, "");
        self::token(&world, &["ci", "--scope", "deploy"]);
        world.run(&["vault", "check"]).ok();
        world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
        world.run(&["vault", "restore", "backup.db", "--yes"]).ok();
    }
}

#[test]
fn what_was_read_with_a_token_stays_on_record_when_another_takes_its_name() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    held(&world, &token, &ENV).ok();
    world.run(&["token", "revoke", "ci"]).ok();
    // A token of the name that is made within the millisecond of a read would be taken for its reader.
    world.advance(Duration::from_millis(1));
    self::token(&world, &["ci", "--key", "d"]);
    world
        .run(&["audit", "log", "--action", "exec"])
        .prints("ci:0  2040-05-17 08:00  exec  ada@host tests -  a v1, b v1  (env)\n");
    // They are not reads of the new one.
    let shown = world.run(&["token", "show", "ci", "--json"]).ok().json();
    assert_eq!((&shown["last_read"], &shown["reads"]), (&serde_json::Value::Null, &serde_json::json!([])));
    let revoked = world.run(&["token", "revoke", "ci", "--json"]).ok().json();
    assert_eq!(revoked["could_read"], serde_json::json!(["d"]));
    world.run(&["audit", "verify"]).prints("
            10 entries verified: each follows from the previous one; `--from-start` proves them with the passphrase.
            1 read by tokens verified.
        ");
}

/// One bearer's wrecked log kept the reads of all others away.
#[test]
fn reads_are_imported_past_a_token_whose_log_is_wrecked() {
    let world = with_keys();
    let away = World::empty();
    for (name, key) in [("ci", "a"), ("cd", "b")] {
        let token = token(&world, &[name, "--key", key]);
        world.run(&["bundle", "create", "--token", name, "-o", name]).ok();
        std::fs::copy(world.home().join(name), away.home().join(name)).unwrap();
        held(&away, &token, &["exec", "--bundle", name, "--", "true"]).ok();
    }
    let logs = away.sh("cat .local/state/keyvault/reads/*.jsonl").ok().out;
    world.file("all.jsonl", &logs);
    tamper(&world, "DELETE FROM log_head WHERE ledger = (SELECT max(ledger) FROM log_head WHERE number > 1)");
    let imported = world.run(&["audit", "import", "all.jsonl"]);
    // Tokens have random numbers, so either may be the last.
    let last = imported.err.contains("by token `cd` do not follow");
    let (wrecked, other) = if last { ("cd", "ci") } else { ("ci", "cd") };
    let answer = format!("Imported 1 new read by token `{other}`.\n");
    imported.is(0, &answer, &format!(
        "
        warning: The reads by token `{wrecked}` do not follow from the recorded ones (damaged: log_head): someone may have hidden reads. Revoke it: keyvault token revoke {wrecked}
        warning: Skipped 1 read by tokens that this vault does not know, such as tokens renewed since.
        "
    ));
}

#[test]
fn a_bearer_that_cut_its_chain_keeps_the_owner_neither_from_renewing_nor_from_restoring() {
    let mut world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    held(&world, &token, &ENV).ok();
    tamper(&world, "DELETE FROM log WHERE id >> 32 > 1");
    world.run(&["vault", "backup", "backup.db"]).ok();
    world.advance(Duration::from_millis(1));
    let renewed = world.run(&["token", "renew", "ci"]).ok();
    assert!(renewed.err.contains("someone may have hidden reads"), "{}", renewed.err);
    assert_eq!(seen(held(&world, renewed.out.trim_end(), &ENV)), ["A=value-a", "B=value-b"]);
    world.run(&["vault", "check"]).ok();
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    let restored = world.run(&["vault", "restore", "backup.db", "--yes"]).ok();
    assert!(restored.err.contains("someone may have hidden reads"), "{}", restored.err);
}

#[test]
fn reads_that_were_there_at_a_change_cannot_be_hidden() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    held(&world, &token, &ENV).ok();
    let one = reads_of(&world);
    held(&world, &token, &ENV).ok();
    world.run(&["edit", "c", "--note", "x"]).ok();
    // The bearer puts back a chain of its own that ends before the second read.
    tamper(&world, &one);
    world.run(&["edit", "c", "--note", "y", "--json"]).is(0, r#"
            {"keys":[{"name":"c","variable":"C","version":1,"display_name":null,"owner":null,"scopes":["other"],"tags":{},"note":"y","public":false,"status":"active","disabled":null,"created":"2040-05-17T08:00:00.000Z","expires":null,"recipe":null,"entropy_bits":null,"fingerprint":"xxxxxxxxxxxx","public_key":null,"previous":null}]}
        "#, "
            warning: The reads by token `ci` do not follow from the recorded ones (entry 1: reads that were recorded are gone): someone may have hidden reads. Revoke it: keyvault token revoke ci
        ");
    world.run(&["token", "list"]).is(0, "
            NAME  SCOPES  KEYS  AGE  EXPIRES  LAST READ  STATUS
            ci    deploy     2   0s  never    never      active
        ", "
            warning: The reads by token `ci` cannot be proved: entry 1: reads that were recorded are gone. Someone may have hidden reads.
        ");
    finds(&world, "log of ci");
    // A read that was merely cut off shows at once.
    let world = with_keys();
    let token = self::token(&world, &["ci", "--scope", "deploy"]);
    held(&world, &token, &ENV).ok();
    tamper(&world, "DELETE FROM log WHERE id >> 32 > 1");
    finds(&world, "log of ci");
    held(&world, &token, &ENV).fails_with(125, "
            error: ~/.local/share/keyvault/vault.db is damaged or was tampered with: the audit log: entry 0: entries were cut off or added.
                   Nothing was released. Run `keyvault vault check` to see the damaged rows, then `keyvault vault rekey` to keep the rest, or restore a backup.
        ");
}

#[test]
fn reads_from_a_bundle_are_imported_once() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    world.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb"]).ok();
    let mut away = World::empty();
    std::fs::copy(world.home().join("keys.kvb"), away.home().join("keys.kvb")).unwrap();
    away.set("KEYVAULT_READS", "reads.jsonl");
    let exec = ["exec", "--bundle", "keys.kvb", "--", "true"];
    for _ in 0..3 {
        held(&away, &token, &exec).ok();
    }
    let log = std::fs::read_to_string(away.home().join("reads.jsonl")).unwrap();
    assert_eq!(log.lines().count(), 3);
    assert!(!log.contains("\"a\"") && !log.contains("true"), "{log}");
    let import = |text: &str| {
        world.file("reads.jsonl", text);
        world.run(&["audit", "import", "reads.jsonl"])
    };
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(import(&lines[..2].join("\n")).ok().out, "Imported 2 new reads by token `ci`.\n");
    assert_eq!(import(&log).ok().out, "Imported 1 new read by token `ci`.\n");
    assert_eq!(import(&log).ok().out, "Nothing new: every read in the file was imported before.\n");
    let shown = world.run(&["token", "show", "ci", "--json"]).ok().json();
    assert_eq!(shown["reads"].as_array().unwrap().len(), 3);
    // A line that a crash cut off was never acknowledged.
    away.file("reads.jsonl", format!("{log}{{\"format\":1,\"va"));
    held(&away, &token, &exec).ok();
    let log = std::fs::read_to_string(away.home().join("reads.jsonl")).unwrap();
    assert_eq!(import(&log).ok().out, "Imported 1 new read by token `ci`.\n");
    world.run(&["vault", "check"]).ok();
}

#[test]
fn case_27_a_read_from_a_bundle_that_cannot_be_written_down_is_none() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    world.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb"]).ok();
    let mut command = world.command(KEYVAULT);
    let command = command.env("KEYVAULT_TOKEN", &token).env("KEYVAULT_READS", "/dev/full");
    let ran = finish(command.args(["exec", "--bundle", "keys.kvb", "--", "echo", "started"]), b"");
    ran.fails_with(
        125,
        "
            error: Reads from a bundle must be recorded in a file, but '/dev/full' is a device.
                   Nothing was released. Set KEYVAULT_READS to a new file, or to one that keyvault wrote.
        ",
    );
}

/// Damage by a bearer had no remedy in what the check said.
#[test]
fn a_check_says_what_mends_a_log_of_reads_that_does_not_hold() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    held(&world, &token, &ENV).ok();
    world.run(&["edit", "a", "--note", "n"]).ok();
    tamper(&world, "DELETE FROM log WHERE id >> 32 > 1");
    world.run(&["vault", "check"]).is(5, "
            4 keys, 4 versions, 8 audit log entries, change 7
            damaged log of ci: entry 0: entries were cut off or added
        ", "
            Someone may have hidden reads by a token: treat its keys as read. `keyvault token renew NAME` starts a new read log; so does another token of that name if it is revoked.
        ");
    world.run(&["token", "renew", "ci"]).ok();
    world.run(&["vault", "check"]).ok();
}

/// The likeliest fault in a container named neither the log nor the variable for it.
#[test]
fn a_log_of_reads_that_cannot_be_written_is_named_with_its_variable() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    world.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb"]).ok();
    let mut command = world.command(KEYVAULT);
    command.env("KEYVAULT_TOKEN", &token).env("KEYVAULT_READS", "/proc/reads.jsonl");
    let ran = finish(command.args(["exec", "--bundle", "keys.kvb", "--", "echo", "ran"]), b"");
    ran.fails_with(125, "
            error: Reads from a bundle must be recorded, but '/proc/reads.jsonl' cannot be written: no such file or directory.
                   Nothing was released. Set KEYVAULT_READS to another file.
        ");
}

#[test]
fn a_file_without_reads_is_said_to_have_none() {
    let world = with_keys();
    token(&world, &["ci", "--scope", "deploy"]);
    world.file("empty.jsonl", "");
    assert_eq!(world.run(&["audit", "import", "empty.jsonl"]).ok().out, "The file contains no reads.\n");
}

/// Nothing binds the number of a ledger, and anyone who can write the file can give it any.
#[test]
fn a_ledger_with_any_number_keeps_the_owner_from_nothing() {
    let of_another = "(SELECT min(number) FROM log_head WHERE number > 1)";
    for number in ["0", "-5", "2147483646", "2147483647", "9223372036854775807", of_another] {
        let mut world = with_keys();
        let ci = token(&world, &["ci", "--scope", "deploy"]);
        let other = token(&world, &["other", "--scope", "deploy"]);
        held(&world, &ci, &ENV).ok();
        held(&world, &other, &ENV).ok();
        tamper(&world, &format!("UPDATE log_head SET number = {number} WHERE number > 2"));
        world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
        let goes_on = |arguments: &[&str]| {
            let ran = world.run(arguments);
            assert_eq!(ran.code, 0, "{number}: {arguments:?}: {}{}", ran.out, ran.err);
        };
        // It may say that the copy is damaged.
        world.run(&["vault", "backup", "copy.db"]);
        goes_on(&["generate", "next"]);
        goes_on(&["token", "renew", "other"]);
        held(&world, &token(&world, &["new", "--scope", "deploy"]), &ENV).ok();
        goes_on(&["token", "revoke", "ci"]);
        goes_on(&["vault", "restore", "copy.db", "--yes"]);
        goes_on(&["generate", "behind"]);
        held(&world, &token(&world, &["last", "--scope", "deploy"]), &ENV).ok();
    }
}

#[test]
fn rows_of_unknown_kinds_that_the_tree_does_not_know_are_gone_with_the_next_change() {
    let world = with_keys();
    tamper(
        &world,
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 500)
         INSERT INTO object SELECT (40 << 56) + x, CAST(x'00' AS BLOB), 1, x'00' FROM n",
    );
    finds(&world, "has rows of another shape");
    world.run(&["generate", "next"]).ok();
    world.run(&["vault", "check"]).ok();
}
