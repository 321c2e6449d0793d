//! A restore of a backup from before a rekey: its keys come back, and the rekey holds.

use std::path::Path;

use keyvault_core::secret::SecretBytes;
use keyvault_vault::state::pin::Pins;
use keyvault_vault::unlock::passphrase::Passphrase;
use keyvault_vault::{Access, Vault, file};
use pretty_assertions::assert_eq;
use rusqlite::Connection;

use crate::harness::bearer::{ENV, held, token};
use crate::harness::terminal::Terminal;
use crate::harness::vault_file::drop_side_files;
use crate::harness::{PASSPHRASE, Ran, World, no_key};

const NEW: &str = "another passphrase";

const DEAD: &str = "
            error: This token opens nothing here: it was revoked or renewed, or belongs to another vault.
                   The vault's owner can see its tokens with `keyvault token list`.
        ";

fn private(world: &World, name: &str, content: &str) {
    let file = world.file(name, content);
    std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

fn add(world: &World, name: &str, value: &str) {
    world.run_with_input(&["add", name, "--scope", "s"], value).ok();
}

fn value(world: &World, name: &str) -> String {
    world.run(&["show", name, "--reveal"]).ok().out.trim_end().to_owned()
}

/// A second machine: its own memory of the vault, the same file.
fn elsewhere(world: &World, line: &str) -> Ran {
    let state = world.path().join("elsewhere");
    world.sh(&format!("export XDG_STATE_HOME='{}'; {line}", state.display()))
}

/// A vault with keys `a`, `leaked` and `gone`, a backup `b` of it, and a rekey since with another passphrase, which is the
/// one that is set. The files `old` and `new` hold both; `old-code` and `new-code` are recovery codes of their epochs.
/// `leaked` is revoked since, `gone` is removed, `later` is new.
fn rekeyed() -> World {
    let mut world = World::own();
    private(&world, "old", PASSPHRASE);
    private(&world, "new", NEW);
    world.run(&["vault", "slot", "add", "recovery", "--recovery-file", "old-code"]).ok();
    for name in ["a", "leaked", "gone"] {
        add(&world, name, &format!("value-{name}"));
    }
    world.run(&["vault", "backup", "b"]).ok();
    let rekey = ["vault", "rekey", "--yes", "--new-passphrase-file", "new", "--recovery-file", "new-code"];
    world.run(&rekey).ok();
    world.set("KEYVAULT_PASSPHRASE", NEW);
    world.run(&["revoke", "leaked", "--reason", "leaked", "--wipe"]).ok();
    world.run(&["remove", "gone", "--yes"]).ok();
    add(&world, "later", "value-later");
    world
}

fn open(world: &World, path: &Path) -> Vault {
    Vault::open(path, &Pins::in_folder(world.pins())).unwrap()
}

/// Access to a file by its passphrase slot.
fn opened(world: &World, path: &Path, passphrase: &str) -> Access {
    let passphrase = Passphrase::new(&SecretBytes::copy_from(passphrase.as_bytes())).unwrap();
    open(world, path).open_passphrase(&passphrase).unwrap()
}

fn opens(world: &World, access: &Access) -> bool {
    file::opens(&mut open(world, &world.vault()), access).unwrap()
}

fn fields(world: &World) -> (u64, u64) {
    let pin = world.every_file().into_iter().find(|(path, _)| {
        path.starts_with(world.pins()) && path.extension().is_some_and(|extension| extension == "json")
    });
    let pin: serde_json::Value = serde_json::from_slice(&pin.unwrap().1).unwrap();
    (pin["epoch"].as_u64().unwrap(), pin["change"].as_u64().unwrap())
}

#[test]
fn the_keys_come_back_under_the_present_root_and_the_vault_keeps_its_slots() {
    let mut world = rekeyed();
    let slots = world.run(&["vault", "slot", "list"]).ok().out;
    let restore = ["vault", "restore", "b", "--backup-passphrase-file", "old"];
    world.run(&restore).fails_with(2, "
            The backup is at change 5; the vault here is at change 9.
            4 changes since the backup would be superseded, with their audit log entries and those of reads.
            1 key would be lost: later
            1 key would return to an earlier state: leaked
            1 key would come back: gone
            1 key stays revoked: leaked
            The backup is from before the last rekey. Its keys would be sealed again under the vault's present root key, and the vault keeps its slots.
            error: This cannot be undone, and there is no terminal to prompt on.
                   Use `--yes` to confirm.
        ");
    let old = opened(&world, &world.home().join("b"), PASSPHRASE);
    let answer = world.run(&[&restore[..], &["--yes", "--json"]].concat()).ok().json();
    assert_eq!(answer["root"], "present");
    assert_eq!((&answer["epoch"], &answer["change"]), (&2.into(), &10.into()));
    assert_eq!(fields(&world), (2, 10));
    assert_eq!((value(&world, "a"), value(&world, "gone")), ("value-a".to_owned(), "value-gone".to_owned()));
    world.run(&["show", "later"]).fails_with(3, &no_key("later"));
    let history = world.run(&["history", "leaked"]).ok().out;
    assert!(history.contains("revoked, wiped: leaked"), "{history}");
    assert_eq!(world.run(&["vault", "slot", "list"]).ok().out, slots);
    assert!(!opens(&world, &old));
    let log = world.run(&["audit", "log"]).ok().out;
    assert!(log.contains("epoch 2, for a restore"), "{log}");
    assert!(log.contains("backup of change 5 in epoch 1, supersedes change 9"), "{log}");
    world.run(&["vault", "check"]).ok();
    world.run(&["audit", "verify"]).ok();
    world.run(&["generate", "after"]).ok();
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    world.run(&["show", "a", "--reveal"]).fails(4, "That is not the vault's passphrase.");
    // The present recovery code is one of the slots that were kept.
    private(&world, "third", "a third passphrase");
    let recover = ["vault", "recover", "--no-recovery", "--new-passphrase-file", "third", "--code-file"];
    world.run(&[&recover[..], &["old-code"]].concat()).fails(4, "code");
    world.run(&[&recover[..], &["new-code"]].concat()).ok();
    world.set("KEYVAULT_PASSPHRASE", "a third passphrase");
    assert_eq!(value(&world, "a"), "value-a");
}

#[test]
fn nothing_that_the_old_root_opens_is_left_in_the_file() {
    let world = rekeyed();
    let connection = Connection::open(world.home().join("b")).unwrap();
    let texts = |query: &str| -> Vec<Vec<u8>> {
        let mut rows = connection.prepare(query).unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let mut sealed = texts("SELECT sealed FROM version");
    sealed.extend(texts("SELECT sealed FROM object"));
    sealed.extend(texts("SELECT sealed FROM log"));
    assert!(sealed.len() > 10);
    drop_side_files(&world.home().join("b"));
    world.run(&["vault", "restore", "b", "--yes", "--backup-passphrase-file", "old"]).ok();
    let bytes = std::fs::read(world.vault()).unwrap();
    let is_there = |text: &&Vec<u8>| bytes.windows(40).any(|piece| *piece == text[text.len() - 40..]);
    assert_eq!(sealed.iter().filter(is_there).count(), 0);
}

#[test]
fn the_recovery_code_of_the_backup_opens_it() {
    let world = rekeyed();
    let restore = ["vault", "restore", "b", "--yes", "--backup-code-file", "old-code"];
    let said = world.run(&restore).ok().out;
    assert!(said.contains("sealed again under the vault's present root key"), "{said}");
    assert_eq!(value(&world, "a"), "value-a");
    world.run(&["vault", "check"]).ok();
}

#[test]
fn without_the_present_passphrase_the_keys_get_a_new_root_that_only_the_backups_opens() {
    let mut world = rekeyed();
    let present = opened(&world, &world.vault(), NEW);
    let old = opened(&world, &world.home().join("b"), PASSPHRASE);
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    world.run(&["vault", "restore", "b", "--yes"]).is(0, "
            The backup is at change 5; the vault here did not open with what opens the backup, so it is unknown what was lost.
            Everything revoked since the backup is valid again, except what is listed here. Check every key.
            The backup is from before the last rekey. Its keys were sealed again under a new root key, and only the passphrase of the backup opens the vault.
            Restored ~/.local/share/keyvault/vault.db from the backup at change 5. It is now at change 10.
        ", "Set a new passphrase: keyvault vault passwd\n");
    assert_eq!(fields(&world), (3, 10));
    assert!(!opens(&world, &old) && !opens(&world, &present));
    assert_eq!(value(&world, "a"), "value-a");
    world.run(&["vault", "check"]).ok();
    world.run(&["audit", "verify"]).ok();
    let slots = world.run(&["vault", "slot", "list", "--json"]).ok().json();
    assert_eq!(slots["slots"].as_array().unwrap().len(), 1, "{slots}");
    world.set("KEYVAULT_PASSPHRASE", NEW);
    world.run(&["show", "a", "--reveal"]).fails(4, "That is not the vault's passphrase.");
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    world.run(&["vault", "passwd", "--new-passphrase-file", "new"]).ok();
}

#[test]
fn a_session_of_the_present_vault_tells_what_stays_revoked_where_its_passphrase_is_lost() {
    let mut world = rekeyed();
    world.run(&["unlock"]).ok();
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    let answer = world.run(&["vault", "restore", "b", "--yes", "--json"]).ok().json();
    assert_eq!(answer["root"], "new");
    assert_eq!(answer["revoked"], serde_json::json!(["leaked"]));
    let session = world.run(&["status", "--json"]);
    assert!(session.out.contains("\"locked\""), "{}", session.out);
    assert_eq!(value(&world, "a"), "value-a");
}

#[test]
fn a_vault_that_cannot_be_read_gives_way_to_an_epoch_above_it() {
    // A number in the head that nothing proves takes no more than so many epochs.
    for (head, epoch) in [(2_u64, 3), (4_000_000_000, 67)] {
        let mut world = rekeyed();
        let connection = Connection::open(world.vault()).unwrap();
        let damage = format!("DELETE FROM state; DELETE FROM slot; UPDATE vault SET epoch = {head}");
        connection.execute_batch(&damage).unwrap();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        drop(connection);
        drop_side_files(&world.vault());
        world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
        let answer = world.run(&["vault", "restore", "b", "--yes", "--json"]).ok().json();
        assert_eq!((&answer["root"], &answer["epoch"]), (&"new".into(), &epoch.into()));
        assert_eq!(value(&world, "a"), "value-a");
        world.run(&["vault", "check"]).ok();
    }
}

#[test]
fn a_vault_that_is_gone_was_rekeyed_too() {
    let mut world = rekeyed();
    std::fs::remove_file(world.vault()).unwrap();
    drop_side_files(&world.vault());
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    world.run(&["vault", "restore", "b", "--yes"]).is(0, "
            The backup is from before the last rekey. Its keys were sealed again under a new root key, and only the passphrase of the backup opens the vault.
            Restored ~/.local/share/keyvault/vault.db from the backup at change 5. It is now at change 10.
        ", "
        This machine had seen change 9: later changes are missing, and what was revoked since is valid again. Check every key.
        Set a new passphrase: keyvault vault passwd
        ");
    assert_eq!(fields(&world), (3, 10));
    assert_eq!(value(&world, "a"), "value-a");
    world.run(&["vault", "check"]).ok();
    // A machine that has not seen the rekey knows nothing of it.
    std::fs::remove_file(world.vault()).unwrap();
    drop_side_files(&world.vault());
    elsewhere(&world, "keyvault vault restore b").ok();
    let slots = elsewhere(&world, "keyvault vault slot list --json").ok().json();
    assert_eq!(slots["slots"].as_array().unwrap().len(), 3, "{slots}");
}

#[test]
fn a_wrong_secret_for_either_file_changes_nothing() {
    let mut world = rekeyed();
    let before = std::fs::read(world.vault()).unwrap();
    world.run(&["vault", "restore", "b", "--yes"]).fails_with(4, "
            error: That is not the vault's passphrase. (It came from KEYVAULT_PASSPHRASE.)
                   The backup is from before a rekey. Give its own passphrase with `--backup-passphrase-file FILE`, or its recovery code with `--backup-code-file FILE`.
        ");
    world.run(&["vault", "restore", "b", "--yes", "--backup-passphrase-file", "new"]).fails_with(
        4,
        "
            error: That is not the vault's passphrase. (It came from --backup-passphrase-file new.)
                   The backup opens with what opened the vault when the backup was made.
        ",
    );
    world
        .run(&["vault", "restore", "b", "--yes", "--backup-code-file", "new-code"])
        .fails(4, "--backup-code-file");
    world.set("KEYVAULT_PASSPHRASE", "none of them");
    world
        .run(&["vault", "restore", "b", "--yes", "--backup-passphrase-file", "old"])
        .fails(4, "It came from KEYVAULT_PASSPHRASE.");
    assert!(std::fs::read(world.vault()).unwrap() == before);
}

#[test]
fn tokens_of_both_epochs_and_limited_sessions_end() {
    let mut world = World::own();
    private(&world, "old", PASSPHRASE);
    private(&world, "new", NEW);
    add(&world, "a", "value-a");
    let before = token(&world, &["ci", "--scope", "s"]);
    world.run(&["vault", "backup", "b"]).ok();
    let rekey = ["vault", "rekey", "--yes", "--no-recovery", "--new-passphrase-file", "new", "--json"];
    let renewed = world.run(&rekey).ok().json()["tokens"][0]["token"].as_str().unwrap().to_owned();
    world.set("KEYVAULT_PASSPHRASE", NEW);
    world.run(&["unlock", "--scope", "s"]).ok();
    let answer = world
        .run(&["vault", "restore", "b", "--yes", "--json", "--backup-passphrase-file", "old"])
        .ok()
        .json();
    assert_eq!(answer["tokens"], serde_json::json!(["ci"]));
    assert_eq!(answer["revoked_tokens"], serde_json::json!(["ci"]));
    for token in [before, renewed] {
        held(&world, &token, &ENV).fails_with(125, DEAD);
    }
    world.set("KEYVAULT_PASSPHRASE", NEW);
    let listed = world.run(&["token", "list", "--json"]).ok().json();
    assert_eq!(listed["tokens"][0]["status"], "revoked");
    assert_eq!(listed["sessions"], serde_json::json!([]));
    world.run(&["vault", "check"]).ok();
    let again = token(&world, &["ci", "--scope", "s"]);
    held(&world, &again, &ENV).ok();
}

#[test]
fn another_machine_raises_an_alarm_until_it_accepts_the_restored_vault() {
    let mut world = rekeyed();
    elsewhere(&world, "keyvault generate theirs").ok();
    world.run(&["vault", "restore", "b", "--yes", "--backup-passphrase-file", "old"]).ok();
    elsewhere(&world, "keyvault exec --only a -- true").fails(125, "keyvault vault restore --adopt");
    elsewhere(&world, "keyvault vault restore --adopt").ok();
    elsewhere(&world, "keyvault exec --only a -- true").ok();
    // The file of before the restore is no way back here.
    world.run(&["vault", "backup", "b2"]).ok();
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    std::fs::copy(world.home().join("b"), world.vault()).unwrap();
    drop_side_files(&world.vault());
    world.run(&["exec", "--only", "a", "--", "true"]).fails(125, "");
    world.set("KEYVAULT_PASSPHRASE", NEW);
    world.run(&["vault", "restore", "b2", "--yes"]).ok();
    assert_eq!(value(&world, "a"), "value-a");
}

#[test]
fn a_damaged_backup_of_an_older_epoch_loses_what_does_not_hold() {
    let world = rekeyed();
    let backup = world.home().join("b");
    let connection = Connection::open(&backup).unwrap();
    connection
        .execute_batch("UPDATE version SET sealed = zeroblob(length(sealed)) WHERE rowid = (SELECT min(rowid) FROM version)")
        .unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(connection);
    drop_side_files(&backup);
    let restore = ["vault", "restore", "b", "--yes", "--json", "--backup-passphrase-file", "old"];
    world.run(&restore).fails(5, "--drop-damaged");
    let answer = world.run(&[&restore[..], &["--drop-damaged"]].concat()).ok().json();
    assert_eq!(answer["root"], "present");
    world.run(&["vault", "check"]).ok();
}

#[test]
fn on_a_narrow_terminal_both_passphrases_are_asked_for() {
    let mut world = rekeyed();
    world.unset("KEYVAULT_PASSPHRASE");
    let terminal = Terminal::sized(&world, "bash --norc --noprofile", 60);
    terminal.run("keyvault vault restore b", "home/b:");
    terminal.type_line(PASSPHRASE);
    terminal.wait_for("(empty if it is lost):");
    terminal.type_line("wrong");
    terminal.wait_for_times("(empty if it is lost):", 2);
    terminal.type_line(NEW);
    terminal.wait_for("[y/N]");
    terminal.type_line("y");
    let (screen, code) = terminal.ended();
    assert_eq!(code, 0, "{screen}");
    assert!(screen.replace('\n', " ").contains("the vault keeps its slots"), "{screen}");
    terminal.run("keyvault vault restore b", "home/b:");
    terminal.type_line(PASSPHRASE);
    terminal.wait_for("(empty if it is lost):");
    terminal.type_line("");
    terminal.wait_for("[y/N]");
    terminal.type_line("n");
    let (screen, _) = terminal.ended();
    assert!(screen.replace('\n', " ").contains("only the passphrase of the backup"), "{screen}");
    drop(terminal);
    world.set("KEYVAULT_PASSPHRASE", NEW);
    assert_eq!(value(&world, "a"), "value-a");
}
