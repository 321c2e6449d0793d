//! In an emergency `revoke` goes through: damage that keeps daily work from it is mended on the way by whoever has the
//! passphrase, and a session alone is told so.

use crate::harness::bearer::{ENV, held, seen, token};
use crate::harness::vault_file::{drop_side_files, put_back, tamper};
use crate::harness::{PASSPHRASE, World};
use pretty_assertions::assert_eq;

/// Three keys, two tokens in force, a session, and the vault as it is then.
struct Bench {
    world: World,
    vault: Vec<u8>,
    ci: String,
    cd: String,
}

impl Bench {
    fn new() -> Self {
        let world = World::own();
        for (name, scope) in [("a", "s"), ("b", "s"), ("c", "t")] {
            world.run_with_input(&["add", name, "--scope", scope], format!("value-{name}")).ok();
        }
        let ci = token(&world, &["ci", "--scope", "s"]);
        let cd = token(&world, &["cd", "--scope", "t"]);
        world.run(&["unlock", "--for", "12h"]).ok();
        world.run(&["edit", "c", "--note", "x"]).ok();
        world.run(&["vault", "backup", "good"]).ok();
        drop_side_files(&world.vault());
        let vault = std::fs::read(world.vault()).unwrap();
        Self { world, vault, ci, cd }
    }

    /// The vault as it was, altered by these statements; with the passphrase in the environment or without.
    fn alter(&mut self, sql: &str, passphrase: bool) {
        put_back(&self.world, &self.vault);
        let pins = self.world.pins();
        std::fs::remove_dir_all(&pins).unwrap();
        std::fs::create_dir(pins).unwrap();
        tamper(&self.world, sql);
        self.passphrase(passphrase);
    }

    fn passphrase(&mut self, there: bool) {
        if there {
            self.world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
        } else {
            self.world.unset("KEYVAULT_PASSPHRASE");
        }
    }

    #[track_caller]
    fn run(&self, what: &str, code: i32, command: &[&str]) -> String {
        let ran = self.world.run(command);
        assert_eq!(ran.code, code, "{what}: {command:?}\n{}{}", ran.out, ran.err);
        format!("{}{}", ran.out, ran.err)
    }
}

/// The damage after a revocation.
#[derive(Clone, Copy, PartialEq)]
enum Left {
    /// The vault is one like any other.
    Whole,
    /// So it is, but for key `a`, which was lost.
    KeyLost,
    /// It stays, because it was not in the way.
    Damaged,
}
use Left::{Damaged, KeyLost, Whole};

/// Done to the file by a writer without keys.
const DAMAGES: [(&str, &str, Left); 24] = [
    ("the leaves", "UPDATE leaf SET digest = zeroblob(16)", Whole),
    ("no leaves", "DELETE FROM leaf", Whole),
    ("the nodes", "UPDATE node SET body = zeroblob(length(body))", Whole),
    ("no nodes", "DELETE FROM node", Whole),
    ("the tree", "DELETE FROM node; DELETE FROM leaf", Whole),
    (
        "the log's head",
        "UPDATE log_head SET sealed = zeroblob(length(sealed)) WHERE ledger = zeroblob(16)",
        Whole,
    ),
    ("no head of the log", "DELETE FROM log_head WHERE ledger = zeroblob(16)", Whole),
    (
        "the last entry",
        "UPDATE log SET sealed = zeroblob(length(sealed)) WHERE id = (SELECT max(id) FROM log WHERE id >> 32 = 0)",
        Damaged,
    ),
    (
        "the last entry's MAC",
        "UPDATE log SET mac = zeroblob(32) WHERE id = (SELECT max(id) FROM log WHERE id >> 32 = 0)",
        Whole,
    ),
    (
        "the last entry's shape",
        "UPDATE log SET mac = x'00', sealed = x'' WHERE id = (SELECT max(id) FROM log WHERE id >> 32 = 0)",
        Whole,
    ),
    ("no last entries", "DELETE FROM log WHERE id >> 32 = 0 AND id > 3", Whole),
    ("no log", "DELETE FROM log WHERE id >> 32 = 0; DELETE FROM log_head WHERE ledger = zeroblob(16)", Whole),
    ("the log's first key", "UPDATE vault SET chain_seed = zeroblob(length(chain_seed))", Whole),
    ("the writer", "UPDATE vault SET written_by = '9.9.9'", Whole),
    ("the signer", "UPDATE vault SET signer = zeroblob(length(signer))", Whole),
    ("the id", "UPDATE vault SET vault_id = randomblob(16)", Whole),
    ("the epoch", "UPDATE vault SET epoch = 7", Whole),
    ("the schema", "CREATE TABLE zz (x)", Whole),
    ("every token", "UPDATE object SET sealed = zeroblob(length(sealed)) WHERE id >> 56 = 5", Whole),
    ("one token", "DELETE FROM object WHERE id = (SELECT max(id) FROM object WHERE id >> 56 = 5)", Whole),
    ("another token", "DELETE FROM object WHERE id = (SELECT min(id) FROM object WHERE id >> 56 = 5)", Whole),
    ("every key", "UPDATE object SET sealed = zeroblob(length(sealed)) WHERE id >> 56 = 3", KeyLost),
    (
        "no key, no name, no log",
        "DELETE FROM object WHERE id >> 56 IN (3, 7); DELETE FROM log WHERE id >> 32 = 0",
        KeyLost,
    ),
    ("no key and no name", "DELETE FROM object WHERE id >> 56 IN (3, 7)", KeyLost),
];

/// Each damage meets the first two by turns; `recovery` has all of them, in process.
const COMMANDS: [&[&str]; 3] =
    [&["revoke", "a", "--reason", "leaked"], &["token", "revoke", "ci"], &["remove", "a", "--yes"]];

/// Returns `true` if the command's work is done, and the vault as it must be.
#[track_caller]
fn done(bench: &Bench, command: &[&str], what: &str, left: Left) {
    let what = format!("{what}, {command:?}");
    let checked = bench.world.run(&["vault", "check"]);
    let stays = left == Damaged || left == KeyLost && command[0] == "token" && !what.contains("no log");
    assert_eq!(checked.code, if stays { 5 } else { 0 }, "{what}: {}{}", checked.out, checked.err);
    match command[0] {
        "revoke" | "disable" if left != KeyLost => {
            let shown = bench.run(&what, 6, &["show", "a", "--reveal"]);
            assert!(shown.contains(&format!("`a` is {}d", command[0])), "{what}: {shown}");
            assert_eq!(bench.run(&what, 0, &["show", "b", "--reveal"]), "value-b", "{what}");
        }
        "token" => {
            assert_eq!(held(&bench.world, &bench.ci, &ENV).code, 125, "{what}");
        }
        _ => drop(bench.run(&what, 3, &["show", "a", "--reveal"])),
    }
}

#[test]
fn with_the_passphrase_revoke_goes_through_whatever_is_damaged() {
    let mut bench = Bench::new();
    for (number, (what, sql, left)) in DAMAGES.into_iter().enumerate() {
        let command = COMMANDS[number % 2];
        bench.alter(sql, true);
        bench.run(what, 0, command);
        done(&bench, command, what, left);
    }
}

#[test]
fn with_a_session_alone_revoke_goes_through_or_names_the_command_that_does() {
    let mut bench = Bench::new();
    for (number, (what, sql, left)) in DAMAGES.into_iter().enumerate() {
        let command = COMMANDS[(number + 1) % 2];
        bench.alter(sql, false);
        let ran = bench.world.run(command);
        bench.passphrase(true);
        if ran.code != 0 {
            assert_eq!(ran.code, 5, "{what}: {command:?} {}", ran.err);
            assert!(ran.err.contains("KEYVAULT_PASSPHRASE"), "{what}: {command:?} {}", ran.err);
            assert!(!ran.err.contains("vault check"), "{what}: {command:?} {}", ran.err);
            bench.run(what, 0, command);
        }
        done(&bench, command, what, left);
    }
}

#[test]
fn disable_goes_through_whatever_is_damaged() {
    let mut bench = Bench::new();
    let disable = ["disable", "a"];
    for (what, sql, left) in DAMAGES {
        bench.alter(sql, true);
        bench.run(what, 0, &disable);
        done(&bench, &disable, what, left);
    }
    bench.alter("DELETE FROM node", false);
    let said = bench.run("session", 5, &disable);
    assert!(said.contains("A session cannot repair the vault"), "{said}");
}

#[test]
fn a_key_that_was_damaged_when_it_was_disabled_comes_back_disabled() {
    let mut bench = Bench::new();
    bench.alter("DELETE FROM object WHERE id >> 56 = 3", true);
    let said = bench.run("disable", 0, &["disable", "a", "--reason", "leaked?"]);
    assert!(said.contains("a could not be read") && said.contains("stays disabled"), "{said}");
    bench.run("restore", 0, &["vault", "restore", "good", "--yes"]);
    let json = bench.world.run(&["show", "a", "--json"]).ok().json();
    assert_eq!((&json["status"], &json["disabled"]["reason"]), (&"disabled".into(), &"leaked?".into()));
    assert_eq!(bench.run("b", 0, &["show", "b", "--reveal"]), "value-b");
    bench.run("check", 0, &["vault", "check"]);
}

#[test]
fn disabling_a_disabled_key_repairs_nothing() {
    let mut bench = Bench::new();
    bench.run("disable", 0, &["disable", "a"]);
    drop_side_files(&bench.world.vault());
    bench.vault = std::fs::read(bench.world.vault()).unwrap();
    bench.alter("UPDATE leaf SET digest = zeroblob(16)", true);
    let before = std::fs::read(bench.world.vault()).unwrap();
    let said = bench.run("again", 0, &["disable", "a"]);
    assert!(said.contains("a was already disabled") && !said.contains("damaged"), "{said}");
    assert!(std::fs::read(bench.world.vault()).unwrap() == before);
}

/// A removal can wait, and costs nothing but what it removes.
#[test]
fn remove_goes_through_unless_something_else_would_be_lost() {
    let mut bench = Bench::new();
    let remove = COMMANDS[2];
    for (what, sql, left) in DAMAGES {
        bench.alter(sql, true);
        let before = std::fs::read(bench.world.vault()).unwrap();
        let ran = bench.world.run(remove);
        if ran.code == 0 {
            done(&bench, remove, what, left);
            continue;
        }
        assert_eq!(ran.code, 5, "{what}: {}", ran.err);
        assert!(
            ran.err.contains("would be lost") && ran.err.contains("keyvault vault rekey"),
            "{what}: {}",
            ran.err
        );
        assert!(what.contains("log") || what.contains("entr") || left == KeyLost, "{what}: {}", ran.err);
        assert!(std::fs::read(bench.world.vault()).unwrap() == before, "{what}: a refusal changed the file");
    }
}

#[test]
fn what_was_dropped_for_a_revocation_is_said_behind_it() {
    let mut bench = Bench::new();
    bench.alter("DELETE FROM log_head WHERE ledger = zeroblob(16); DELETE FROM log WHERE id = 2", true);
    bench.world.run(COMMANDS[0]).is(0, "a is revoked; `keyvault rotate a` gives it a new value\n", "
            warning: The vault was damaged. Everything in it that verifies was kept and written again.
            warning: The audit log has a gap: entries 2 to 3 cannot be proved and were dropped; the last proved entry before is of 2040-05-17 08:00.
            warning: 1 damaged row was dropped or rebuilt: log_head does not follow from the start of the log.
            Any bundle of token `ci` still holds what was revoked. Update it: keyvault bundle update FILE
        ");
    // The tokens keep their secrets, and open what was not revoked.
    assert_eq!(seen(held(&bench.world, &bench.ci, &ENV)), ["B=value-b"]);
    assert_eq!(seen(held(&bench.world, &bench.cd, &ENV)), ["C=value-c"]);
}

#[test]
fn a_session_alone_is_told_why_and_how() {
    let mut bench = Bench::new();
    bench.alter("DELETE FROM node", false);
    let before = std::fs::read(bench.world.vault()).unwrap();
    bench.world.run(COMMANDS[0]).fails_with(5, "
            error: ~/.local/share/keyvault/vault.db is damaged or was tampered with: node 0 does not match the tree.
                   Nothing was changed. A session cannot repair the vault; this command can, with the passphrase or a key file.
                   Run it in a terminal, or set KEYVAULT_PASSPHRASE_FILE to a file with
                   the passphrase, KEYVAULT_PASSPHRASE to the passphrase itself, or
                   KEYVAULT_KEY_FILE to a key file.
        ");
    assert!(std::fs::read(bench.world.vault()).unwrap() == before);
}

/// Rows that nothing proves any more are not kept on trust, and the remedy named is the one that works.
#[test]
fn where_nothing_can_be_proved_the_backup_is_named_and_revoke_works_behind_it() {
    let mut bench = Bench::new();
    let remedy = "`keyvault vault restore FILE`, then run this command again";
    for (sql, session_knows) in [
        ("UPDATE state SET mac = randomblob(32)", true),
        (
            "DELETE FROM node; DELETE FROM leaf; DELETE FROM object WHERE id = (SELECT max(id) FROM object WHERE id >> 56 = 3)",
            false,
        ),
    ] {
        bench.alter("SELECT 1", true);
        // The restore before has ended it.
        bench.run(sql, 0, &["unlock", "--for", "1h"]);
        bench.alter(sql, false);
        let before = std::fs::read(bench.world.vault()).unwrap();
        let said = bench.run(sql, 5, COMMANDS[0]);
        let expected = if session_knows { remedy } else { "A session cannot repair" };
        assert!(said.contains(expected) && !said.contains("vault check"), "{sql}: {said}");
        bench.passphrase(true);
        let said = bench.run(sql, 5, COMMANDS[0]);
        assert!(said.contains(remedy) && !said.contains("vault check"), "{sql}: {said}");
        assert!(std::fs::read(bench.world.vault()).unwrap() == before, "{sql}");
        bench.run(sql, 0, &["vault", "restore", "good", "--yes"]);
        bench.run(sql, 0, COMMANDS[0]);
    }
}

/// A session is used first, and root only where it is needed and at hand.
#[test]
fn a_key_file_beside_a_session_is_enough() {
    let mut bench = Bench::new();
    bench.run("slot", 0, &["vault", "slot", "add", "keyfile", "key"]);
    drop_side_files(&bench.world.vault());
    bench.vault = std::fs::read(bench.world.vault()).unwrap();
    bench.alter("DELETE FROM node", false);
    bench.world.set("KEYVAULT_KEY_FILE", "key");
    bench.run("key file", 0, COMMANDS[0]);
}

#[test]
fn a_mistyped_name_drops_nothing_of_a_damaged_vault() {
    let mut bench = Bench::new();
    bench.alter(
        "UPDATE object SET sealed = zeroblob(100) WHERE id = (SELECT max(id) FROM object WHERE id >> 56 = 3); DELETE FROM node",
        true,
    );
    let before = std::fs::read(bench.world.vault()).unwrap();
    bench.run("no key", 3, &["revoke", "nobody"]);
    bench.run("no token", 3, &["token", "revoke", "nobody"]);
    assert!(std::fs::read(bench.world.vault()).unwrap() == before);
}

#[test]
fn a_damaged_value_is_left_where_it_is() {
    let mut bench = Bench::new();
    bench.alter("UPDATE version SET sealed = zeroblob(length(sealed)); DELETE FROM node", true);
    let said = bench.run("values", 0, COMMANDS[0]);
    assert!(!said.contains("dropped: "), "{said}");
    let checked = bench.run("values", 5, &["vault", "check"]);
    assert_eq!(checked.matches("damaged key").count(), 3, "{checked}");
}

/// Nothing is left of the key but its name, and a backup knows all of it.
#[test]
fn a_key_that_was_damaged_when_it_was_revoked_comes_back_revoked() {
    for (wipe, with_log) in [(false, true), (true, true), (false, false)] {
        let mut bench = Bench::new();
        bench.alter("DELETE FROM object WHERE id >> 56 = 3", true);
        if !with_log {
            tamper(&bench.world, "DELETE FROM log; DELETE FROM log_head");
        }
        let mut command = COMMANDS[0].to_vec();
        command.extend(wipe.then_some("--wipe"));
        let said = bench.run("revoke", 0, &command);
        assert!(said.contains("a could not be read") && said.contains("stays revoked"), "{said}");
        bench.run("restore", 0, &["vault", "restore", "good", "--yes"]);
        let history = bench.world.run(&["history", "a", "--json"]).ok().json();
        let version = &history["versions"][0];
        assert_eq!((&version["state"], &version["wiped"]), (&"revoked".into(), &wipe.into()), "{version}");
        assert_eq!(bench.run("b", 0, &["show", "b", "--reveal"]), "value-b");
        bench.run("check", 0, &["vault", "check"]);
    }
}

#[test]
fn a_value_that_was_wiped_before_damage_took_its_key_does_not_come_back() {
    let world = World::own();
    for name in ["wiped", "kept"] {
        world.run_with_input(&["add", name], "value").ok();
    }
    world.run(&["vault", "backup", "copy"]).ok();
    world.run(&["revoke", "wiped", "--wipe"]).ok();
    world.run(&["revoke", "kept", "--reason", "wiped"]).ok();
    tamper(&world, "DELETE FROM object WHERE id >> 56 = 3");
    world.run(&["vault", "restore", "copy", "--yes"]).ok();
    let facts = |name: &str| {
        let version = world.run(&["history", name, "--json"]).ok().json()["versions"][0].clone();
        (version["state"].clone(), version["wiped"].clone(), version["reason"].clone())
    };
    assert_eq!(facts("wiped"), ("revoked".into(), true.into(), serde_json::Value::Null));
    assert_eq!(facts("kept"), ("revoked".into(), false.into(), "wiped".into()));
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_tokens_bearer_is_told_of_an_altered_header_and_not_that_its_token_is_wrong() {
    let mut bench = Bench::new();
    for (what, sql) in [
        ("id or epoch", "UPDATE vault SET vault_id = randomblob(16)"),
        ("id or epoch", "UPDATE vault SET epoch = epoch + 1"),
        ("id or epoch", "UPDATE vault SET vault_id = randomblob(16); DELETE FROM state"),
        ("signer", "UPDATE vault SET signer = randomblob(length(signer))"),
    ] {
        bench.alter("SELECT 1", false);
        // This machine remembers the vault by its own changes.
        bench.run("seen", 0, &["edit", "c", "--note", "y"]);
        assert_eq!(held(&bench.world, &bench.ci, &ENV).ok().code, 0);
        tamper(&bench.world, sql);
        let ran = held(&bench.world, &bench.ci, &ENV);
        assert_eq!(ran.code, 125, "{sql}: {}", ran.err);
        let header = format!("The vault's header is damaged: its {what} is altered.");
        assert!(ran.err.contains(&header) && !ran.err.contains("token renew"), "{sql}: {}", ran.err);
    }
    // Another vault's token is wrong, and the header is not.
    let ran = held(&World::own(), &bench.ci, &ENV);
    assert!(ran.err.contains("opens nothing here"), "{}", ran.err);
}
