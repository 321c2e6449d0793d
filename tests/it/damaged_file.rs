//! Cases 7 and 74 of the fault catalog: a file whose schema, numbers or head somebody without a key altered.
//!
//! Daily work refuses it, and names the object and a remedy. A backup, a rekey, a recovery, and a restore in either
//! direction go through, and say what they left out. `tests/slow` runs this file with all of its tables, `tests/it` with a
//! part of them.

use keyvault_vault::Vault;
use keyvault_vault::state::pin::Pins;
use pretty_assertions::assert_eq;

use crate::harness::vault_file::{drop_side_files, put_back, tamper};
use crate::harness::{PASSPHRASE, World, create_vault};

const NEW: &str = "another horse battery staple";

/// A vault with a recovery code in `code`, a good backup in `good`, and a new passphrase in `new`.
struct Bench {
    world: World,
    vault: Vec<u8>,
    pins: Vec<(std::path::PathBuf, Vec<u8>)>,
}

impl Bench {
    fn new() -> Self {
        let mut world = World::empty();
        let code = create_vault(&world.vault(), &world.pins(), &world.clock());
        world.file("code", code.text().unwrap().expose());
        world.file("new", NEW);
        world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
        for (name, value, scope) in [("a", "value-a", "s"), ("b", "value-b", "s"), ("c", "value-c", "t")] {
            world.run_with_input(&["add", name, "--scope", scope], value).ok();
        }
        world.run(&["vault", "backup", "good"]).ok();
        drop_side_files(&world.vault());
        let vault = std::fs::read(world.vault()).unwrap();
        let pins = world.every_file().into_iter().filter(|(path, _)| path.starts_with(world.pins()));
        let pins = pins.collect();
        Self { world, vault, pins }
    }

    /// The vault as it was, altered by these statements.
    fn alter(&mut self, sql: &str) {
        let world = &mut self.world;
        world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
        put_back(world, &self.vault);
        std::fs::remove_dir_all(world.pins()).unwrap();
        std::fs::create_dir(world.pins()).unwrap();
        self.pins.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
        for file in ["copy", "broken"] {
            drop_side_files(&world.home().join(file));
            let _ = std::fs::remove_file(world.home().join(file));
        }
        let _ = std::fs::remove_file(world.home().join("code2"));
        tamper(world, sql);
    }

    fn broken_backup(&self) {
        std::fs::copy(self.world.vault(), self.world.home().join("broken")).unwrap();
    }

    /// Returns `true` if the vault is one like any other again.
    #[track_caller]
    fn whole(&self, what: &str) {
        let check = self.world.run(&["vault", "check"]);
        assert_eq!(check.code, 0, "{what}: {}{}", check.out, check.err);
        let shown = self.world.run(&["show", "a", "--reveal"]);
        assert_eq!((shown.code, shown.out.as_str()), (0, "value-a"), "{what}: {}", shown.err);
        let mut vault = Vault::open(&self.world.vault(), &Pins::in_folder(self.world.pins())).unwrap();
        assert_eq!(keyvault_vault::check::strays(&mut vault).unwrap(), [], "{what}");
    }

    #[track_caller]
    fn run(&self, what: &str, code: i32, command: &[&str]) -> String {
        let ran = self.world.run(command);
        assert_eq!(ran.code, code, "{what}: {command:?}\n{}{}", ran.out, ran.err);
        format!("{}{}", ran.out, ran.err)
    }
}

const REKEY: [&str; 6] = ["vault", "rekey", "--keep-passphrase", "--no-recovery", "--yes", "--drop-damaged"];
const RECOVER: [&str; 9] = [
    "vault",
    "recover",
    "--code-file",
    "code",
    "--new-passphrase-file",
    "new",
    "--recovery-file",
    "code2",
    "--drop-damaged",
];

/// An alteration, the statements that make it, and the word that every command has for it.
const ALTERED: [(&str, &str, &str); 16] = [
    ("statistics", "ANALYZE", "table sqlite_stat1"),
    ("an index", "CREATE INDEX zz ON object (revision)", "index zz"),
    ("an index of an expression", "CREATE INDEX aa ON object (abs(revision), length(sealed))", "index aa"),
    ("a table", "CREATE TABLE zz (x); INSERT INTO zz VALUES (1)", "table zz"),
    ("a table of counters", "CREATE TABLE zz (x INTEGER PRIMARY KEY AUTOINCREMENT)", "table zz"),
    ("a trigger", "CREATE TRIGGER steal AFTER INSERT ON log BEGIN DELETE FROM slot; END", "trigger steal"),
    ("a view", "CREATE VIEW extra AS SELECT * FROM object", "view extra"),
    ("a column", "ALTER TABLE object ADD COLUMN more BLOB", "table object is altered"),
    (
        "columns with values",
        "ALTER TABLE slot ADD COLUMN more BLOB DEFAULT x'00'; ALTER TABLE vault ADD COLUMN more ANY; UPDATE slot SET more = x'11'",
        "table slot is altered",
    ),
    ("a column's name", "ALTER TABLE node RENAME COLUMN body TO other", "table node is altered"),
    ("no index", "DROP INDEX log_change", "index log_change is missing"),
    (
        "what is no statement",
        "PRAGMA writable_schema = ON; INSERT INTO sqlite_schema VALUES ('table', 'bad', 'bad', 0, 'CREATE nonsense')",
        "bad",
    ),
    ("a higher format", "PRAGMA user_version = 99", "user_version is 99"),
    ("no format", "PRAGMA user_version = 0", "user_version is 0"),
    ("an application", "PRAGMA application_id = 7", "application_id is 7"),
    ("the id of the vault", "UPDATE vault SET vault_id = zeroblob(16)", "id or epoch is altered"),
];

fn altered() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    ALTERED.into_iter().step_by(if crate::WHOLE_TABLES { 1 } else { 8 })
}

#[test]
fn case_7_what_daily_work_refuses_is_named_with_a_remedy() {
    let mut bench = Bench::new();
    for (what, sql, named) in altered() {
        bench.alter(sql);
        let before = std::fs::read(bench.world.vault()).unwrap();
        for command in [&["show", "a", "--reveal"] as &[&str], &["generate", "x"], &["vault", "check"]] {
            let said = bench.run(what, 5, command);
            assert!(
                said.contains(named) && said.contains("is damaged or was tampered with"),
                "{what}: {said}"
            );
            assert!(said.contains("vault rekey"), "{what}: {said}");
        }
        let said = bench.run(what, 1, &["doctor"]);
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            said.contains(named) || named.starts_with("id or") && said.contains("row in vault"),
            "{what}: {said}"
        );
        assert!(said.contains("vault rekey"), "{what}: {said}");
        assert!(std::fs::read(bench.world.vault()).unwrap() == before, "{what}: a refusal changed the file");
    }
}

#[test]
fn case_74_a_backup_of_an_altered_file_has_its_rows_alone_and_says_so() {
    let mut bench = Bench::new();
    for (what, sql, named) in altered() {
        bench.alter(sql);
        let before = std::fs::read(bench.world.vault()).unwrap();
        let said = bench.run(what, 5, &["vault", "backup", "copy"]);
        if !named.starts_with("id or") {
            assert!(said.contains(named), "{what}: {said}");
        }
        assert!(std::fs::read(bench.world.vault()).unwrap() == before, "{what}: a backup changed the file");
        assert!(!std::fs::exists(bench.world.home().join("copy-wal")).unwrap(), "{what}");
        bench.run(what, 0, &["vault", "restore", "copy", "--yes"]);
        bench.whole(what);
    }
}

/// By turns: each takes the time of a calibration.
#[test]
fn case_74_an_altered_file_is_rekeyed_or_recovered() {
    let mut bench = Bench::new();
    for (number, (what, sql, named)) in altered().enumerate() {
        bench.alter(sql);
        let said = bench.run(what, 0, if number % 2 == 0 { &REKEY } else { &RECOVER });
        assert!(said.contains(named), "{what}: {said}");
        bench.world.set("KEYVAULT_PASSPHRASE", if number % 2 == 0 { PASSPHRASE } else { NEW });
        bench.whole(what);
    }
}

#[test]
fn case_74_an_altered_file_is_replaced_by_a_backup_and_is_one_itself() {
    let mut bench = Bench::new();
    for (what, sql, named) in altered() {
        bench.alter(sql);
        let said = bench.run(what, 0, &["vault", "restore", "good", "--yes"]);
        assert!(said.contains(named), "{what}: {said}");
        bench.whole(what);
        bench.alter(sql);
        bench.broken_backup();
        let altered = std::fs::read(bench.world.home().join("broken")).unwrap();
        put_back(&bench.world, &bench.vault);
        let said = bench.run(what, 0, &["vault", "restore", "broken", "--yes", "--drop-damaged"]);
        assert!(said.contains(named), "{what}: {said}");
        bench.whole(what);
        assert!(std::fs::read(bench.world.home().join("broken")).unwrap() == altered, "{what}");
        // Where there is no vault, and no memory of one.
        std::fs::remove_file(bench.world.vault()).unwrap();
        drop_side_files(&bench.world.vault());
        std::fs::remove_dir_all(bench.world.pins()).unwrap();
        bench.run(what, 0, &["vault", "restore", "broken", "--yes", "--drop-damaged"]);
        bench.whole(what);
    }
}

#[test]
fn a_newer_format_with_a_schema_of_its_own_is_refused_and_a_restore_says_how_it_goes_on() {
    let mut bench = Bench::new();
    bench.alter("PRAGMA user_version = 3000; CREATE TABLE more (x)");
    let before = std::fs::read(bench.world.vault()).unwrap();
    for command in
        [&REKEY as &[&str], &RECOVER, &["vault", "backup", "copy"], &["vault", "restore", "good", "--yes"]]
    {
        let said = bench.run("newer", 1, command);
        assert!(said.contains("format 3000"), "{said}");
    }
    assert!(std::fs::read(bench.world.vault()).unwrap() == before);
    let said = bench.run("newer", 1, &["vault", "restore", "good", "--yes"]);
    let line = said.lines().find(|line| line.contains("for part in")).unwrap().trim().to_owned();
    bench.world.sh(&line);
    bench.run("newer", 0, &["vault", "restore", "good", "--yes"]);
    bench.whole("newer");
}

/// One damage to the head of the vault: what stands in clear there, and what everything else is proved by.
struct Head {
    what: &'static str,
    sql: &'static str,
    /// The exit code of daily work, and a word of what it says.
    daily: (i32, &'static str),
    /// True if a rekey can carry over what is left.
    rekeys: bool,
}

const fn head(what: &'static str, sql: &'static str, daily: (i32, &'static str), rekeys: bool) -> Head {
    Head { what, sql, daily, rekeys }
}

const TAMPERED: &str = "is damaged or was tampered with";

const HEADS: [Head; 22] = [
    head(
        "a bit of the id",
        "UPDATE vault SET vault_id = CAST(substr(vault_id, 1, 15) || CASE substr(vault_id, 16) WHEN x'00' THEN x'01' ELSE x'00' END AS BLOB)",
        (5, "id or epoch"),
        true,
    ),
    head("the whole id", "UPDATE vault SET vault_id = randomblob(16)", (5, "id or epoch"), true),
    head("an id of another length", "UPDATE vault SET vault_id = x'00'", (5, TAMPERED), true),
    head("the epoch", "UPDATE vault SET epoch = 9", (5, "id or epoch"), true),
    head("a high bit of the epoch", "UPDATE vault SET epoch = epoch + 2147483648", (5, "id or epoch"), true),
    head("a negative epoch", "UPDATE vault SET epoch = -1", (5, TAMPERED), true),
    head(
        "the id and the epoch",
        "UPDATE vault SET epoch = 3, vault_id = randomblob(16)",
        (5, "id or epoch"),
        true,
    ),
    head("the writer", "UPDATE vault SET written_by = '9.9.9'", (5, TAMPERED), true),
    head(
        "the log's first key",
        "UPDATE vault SET chain_seed = randomblob(length(chain_seed))",
        (5, TAMPERED),
        true,
    ),
    head("the signer", "UPDATE vault SET signer = randomblob(length(signer))", (5, TAMPERED), true),
    head("the signature", "UPDATE state SET signature = randomblob(length(signature))", (5, TAMPERED), false),
    head("no head", "DELETE FROM vault", (5, TAMPERED), true),
    head(
        "a slot's salt",
        "UPDATE slot SET header = CAST(substr(header, 1, 5) || x'00000000' || substr(header, 10) AS BLOB) WHERE id = 1",
        (4, "its slot is damaged"),
        false,
    ),
    head(
        "a slot's memory",
        "UPDATE slot SET header = CAST(substr(header, 1, 33) || x'ffffffff' || substr(header, 38) AS BLOB) WHERE id = 1",
        (4, "Slot 1 was passed over"),
        false,
    ),
    head(
        "a slot's passes",
        "UPDATE slot SET header = CAST(substr(header, 1, 37) || x'09000000' || substr(header, 42) AS BLOB) WHERE id = 1",
        (4, "its slot is damaged"),
        false,
    ),
    head(
        "a slot's kind",
        "UPDATE slot SET header = CAST(x'09' || substr(header, 2) AS BLOB) WHERE id = 1",
        (4, "Slot 1 was passed over"),
        false,
    ),
    head(
        "a slot's text",
        "UPDATE slot SET sealed = randomblob(length(sealed)) WHERE id = 1",
        (4, "its slot is damaged"),
        false,
    ),
    head("no slot", "DELETE FROM slot WHERE id = 1", (4, "no slot for a passphrase"), false),
    head(
        "the record",
        "UPDATE state SET record = CAST(substr(record, 1, 40) || x'00000000' || substr(record, 45) AS BLOB)",
        (5, TAMPERED),
        false,
    ),
    head(
        "the record's id",
        "UPDATE state SET record = CAST(substr(record, 1, 4) || x'00000000' || substr(record, 9) AS BLOB)",
        (5, TAMPERED),
        false,
    ),
    head("the record's MAC", "UPDATE state SET mac = randomblob(32)", (5, TAMPERED), false),
    head("no record", "DELETE FROM state", (5, TAMPERED), false),
];

#[test]
fn case_74_whatever_is_damaged_in_the_head_is_called_damaged_and_replaced_by_the_backup() {
    let mut bench = Bench::new();
    let heads = HEADS.into_iter().step_by(if crate::WHOLE_TABLES { 1 } else { 11 });
    for (number, Head { what, sql, daily: (code, word), rekeys }) in heads.enumerate() {
        bench.alter(sql);
        let said = bench.run(what, code, &["show", "a", "--reveal"]);
        assert!(said.contains(word), "{what}: {said}");
        let remedies = ["vault check", "vault rekey", "vault recover", "vault restore"];
        assert!(remedies.iter().any(|remedy| said.contains(remedy)), "{what}: {said}");
        if code == 5 {
            let said = bench.run(what, 5, &["vault", "check"]);
            assert!(said.contains("vault rekey") && said.contains("vault restore FILE"), "{what}: {said}");
        }
        bench.run(what, 0, &["vault", "restore", "good", "--yes"]);
        bench.whole(what);
        if rekeys {
            bench.alter(sql);
            bench.broken_backup();
            put_back(&bench.world, &bench.vault);
            bench.run(what, 0, &["vault", "restore", "broken", "--yes", "--drop-damaged"]);
            bench.whole(what);
        }
        // By turns: each takes the time of a calibration.
        if rekeys && number % 2 == 0 {
            bench.alter(sql);
            bench.run(what, 0, &REKEY);
            bench.whole(what);
        } else if code == 4 || rekeys {
            bench.alter(sql);
            bench.run(what, 0, &RECOVER);
            bench.world.set("KEYVAULT_PASSPHRASE", NEW);
            bench.whole(what);
        }
    }
}

#[test]
fn a_session_is_not_asked_to_be_opened_for_a_vault_whose_id_is_altered() {
    let mut bench = Bench::new();
    bench.world.run(&["unlock", "--for", "1h"]).ok();
    let session = |bench: &mut Bench| {
        bench.world.unset("KEYVAULT_PASSPHRASE");
        bench.run("session", 5, &["show", "a", "--reveal"])
    };
    bench.alter("UPDATE vault SET vault_id = randomblob(16)");
    let said = session(&mut bench);
    assert!(said.contains("id or epoch is altered") && said.contains("vault rekey"), "{said}");
}

/// This machine's pin is the second witness where the passphrase was changed since the backup.
#[test]
fn a_vault_whose_id_is_altered_and_whose_passphrase_is_another_is_replaced_by_its_backup() {
    let mut bench = Bench::new();
    bench.world.run(&["vault", "passwd", "--new-passphrase-file", "new"]).ok();
    drop_side_files(&bench.world.vault());
    tamper(&bench.world, "UPDATE vault SET vault_id = randomblob(16)");
    bench.run("passwd", 0, &["vault", "restore", "good", "--yes"]);
    bench.whole("passwd");
    // Rekeyed since, so that nothing of the backup proves anything of the vault.
    bench.alter("SELECT 1");
    let rekey = ["vault", "rekey", "--new-passphrase-file", "new", "--no-recovery", "--yes"];
    bench.run("rekey", 0, &rekey);
    drop_side_files(&bench.world.vault());
    tamper(&bench.world, "UPDATE vault SET vault_id = randomblob(16); DELETE FROM state");
    bench.run("rekey", 0, &["vault", "restore", "good", "--yes"]);
    bench.whole("rekey");
}
