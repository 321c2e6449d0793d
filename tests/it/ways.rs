//! The ways in and the file as a whole: passwd, recover, rekey, slots, backup, restore.

use std::os::unix::fs::PermissionsExt;

use keyvault::audit::Actor;
use keyvault::clock::SystemClock;
use keyvault::crypto::{Cost, SystemRng};
use keyvault::secret::SecretBytes;
use keyvault::state::pin::Pins;
use keyvault::unlock::keyfile::KeyFile;
use keyvault::unlock::passphrase::Passphrase;
use keyvault::vault::{Credential, Holder, Holders, Vault, VaultError, World as VaultWorld};
use pretty_assertions::assert_eq;

use crate::harness::{PASSPHRASE, World};

const NEW: &str = "another horse battery staple";

/// A world whose vault has a recovery code, in the file `code`.
fn with_code() -> World {
    let world = World::own();
    world.run(&["vault", "slot", "remove", "2", "--yes"]).ok();
    world.run(&["vault", "slot", "add", "recovery", "--recovery-file", "code"]).ok();
    world
}

fn kinds(world: &World) -> Vec<String> {
    let slots = world.run(&["vault", "slot", "list", "--json"]).ok().json();
    slots["slots"].as_array().unwrap().iter().map(|slot| slot["kind"].as_str().unwrap().to_owned()).collect()
}

/// A rekey for which `meanwhile` changes the ways in after they were opened, and before it has the vault for itself.
fn rekey_refuses(world: &World, meanwhile: impl FnOnce()) {
    let pins = Pins::in_folder(world.pins());
    let mut vault = Vault::open(&world.vault(), &pins).unwrap();
    let passphrase = Passphrase::new(&SecretBytes::copy_from(PASSPHRASE.as_bytes())).unwrap();
    let access = vault.open_passphrase(&passphrase).unwrap();
    let file = KeyFile::parse(&std::fs::read(world.home().join("kf")).unwrap()).unwrap();
    let by_file = vault.open_key_file(&file).unwrap();
    meanwhile();
    let before = std::fs::read(world.vault()).unwrap();
    let vault_world = VaultWorld {
        clock: &SystemClock,
        rng: &SystemRng,
        actor: Actor::default(),
        pins,
        holders: Holders::in_folder(world.pins(), Holder { command: String::new(), pid: 0 }),
        notice: &|notice| panic!("{notice:?}"),
        waiting: &|_, _| (),
    };
    let ways = [Credential::Passphrase(&passphrase, Cost::FLOOR), Credential::KeyFile(&file)];
    let refused = vault.rekey(&access, &vault_world, &ways, &[&access, &by_file], &|_| ());
    assert!(matches!(refused, Err(VaultError::WaysChanged)));
    drop(vault);
    assert!(std::fs::read(world.vault()).unwrap() == before);
}

#[test]
fn a_rekey_does_not_bring_back_a_passphrase_that_was_changed_meanwhile() {
    let world = World::own();
    world.run(&["vault", "slot", "add", "keyfile", "kf"]).ok();
    world.file("new", NEW);
    rekey_refuses(&world, || {
        world.run(&["vault", "passwd", "--new-passphrase-file", "new"]).ok();
    });
}

#[test]
fn a_rekey_does_not_bring_back_a_key_file_whose_number_another_one_got_meanwhile() {
    let world = World::own();
    world.run(&["vault", "slot", "add", "keyfile", "kf"]).ok();
    let slots = || world.run(&["vault", "slot", "list", "--json"]).ok().json()["slots"].clone();
    let before = slots();
    rekey_refuses(&world, || {
        world.run(&["vault", "slot", "remove", "3", "--yes"]).ok();
        world.run(&["vault", "slot", "add", "keyfile", "other"]).ok();
        assert_eq!(slots(), before, "the other file did not get the number");
    });
}

#[test]
fn passwd_changes_the_one_slot_and_says_what_it_does_not_do() {
    let mut world = World::own();
    world.run(&["generate", "a"]).ok();
    let value = world.run(&["show", "a", "--reveal"]).ok().out;
    let old = std::fs::read(world.vault()).unwrap();
    world.file("new", NEW);
    let said = world.run(&["vault", "passwd", "--new-passphrase-file", "new"]).ok();
    assert!(
        said.err.contains("still open with the old one") && said.err.contains("vault rekey"),
        "{}",
        said.err
    );
    world.run(&["show", "a", "--reveal"]).fails(4, "");
    world.set("KEYVAULT_PASSPHRASE", NEW);
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok().out, value);
    world.run(&["vault", "check"]).ok();
    assert_eq!(kinds(&world), ["passphrase", "recovery code"]);
    // What it says of old copies is true.
    std::fs::write(world.home().join("old.db"), old).unwrap();
    std::fs::set_permissions(world.home().join("old.db"), std::fs::Permissions::from_mode(0o600)).unwrap();
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    world.set("XDG_STATE_HOME", world.path().join("elsewhere").to_str().unwrap().to_owned().as_str());
    assert_eq!(world.run(&["--vault", "old.db", "show", "a", "--reveal"]).ok().out, value);
}

#[test]
fn passwd_without_a_terminal_or_a_file_is_refused_before_anything() {
    let world = World::new();
    let before = std::fs::read(world.vault()).unwrap();
    world.run(&["vault", "passwd"]).fails(2, "--new-passphrase-file");
    assert!(std::fs::read(world.vault()).unwrap() == before);
}

#[test]
fn recover_sets_a_passphrase_and_issues_a_new_code() {
    let mut world = with_code();
    world.run(&["generate", "a"]).ok();
    let value = world.run(&["show", "a", "--reveal"]).ok().out;
    world.unset("KEYVAULT_PASSPHRASE");
    world.file("new", NEW);
    let recover = ["vault", "recover", "--code-file", "code", "--new-passphrase-file", "new"];
    world.run(&recover).fails(2, "--recovery-file");
    world.run(&[&recover[..], &["--recovery-file", "code2"]].concat()).ok();
    world.set("KEYVAULT_PASSPHRASE", NEW);
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok().out, value);
    world.run(&[&recover[..], &["--no-recovery"]].concat()).fails(4, "");
    let again = ["vault", "recover", "--code-file", "code2", "--new-passphrase-file", "new", "--json"];
    let json = world.run(&again).ok().json();
    assert_eq!(json["recovery_code"].as_str().unwrap().len(), 47);
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_recovery_code_is_read_from_stdin_and_a_wrong_one_opens_nothing() {
    let world = with_code();
    world.file("new", NEW);
    let recover =
        ["vault", "recover", "--code-file", "-", "--new-passphrase-file", "new", "--recovery-file", "code2"];
    let wrong = "000G4-0R40M-30E20-9185G-R38E1-W8124-GKRZM-15SD8";
    world.run_with_input(&recover, wrong).fails(4, "");
    world.run_with_input(&recover, "nonsense").fails(4, "not a recovery code");
    assert!(!world.home().join("code2").exists());
    let code = std::fs::read_to_string(world.home().join("code")).unwrap().to_lowercase().replace('-', " ");
    world.run_with_input(&recover, code).ok();
}

#[test]
fn a_key_file_opens_until_its_slot_is_removed() {
    let mut world = World::own();
    world.run(&["generate", "a"]).ok();
    world.run(&["vault", "slot", "add", "keyfile", "machine.key"]).ok();
    let mode = std::fs::metadata(world.home().join("machine.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    world.run(&["vault", "slot", "add", "keyfile", "machine.key"]).fails(6, "machine.key");
    assert_eq!(kinds(&world), ["passphrase", "recovery code", "key file"]);
    world.unset("KEYVAULT_PASSPHRASE");
    world.run(&["show", "a"]).fails(4, "");
    world.set("KEYVAULT_KEY_FILE", "machine.key");
    world.run(&["exec", "--only", "a", "--", "true"]).ok();
    world.run(&["vault", "slot", "remove", "3"]).fails(2, "--yes");
    world.run(&["vault", "slot", "remove", "9", "--yes"]).fails(3, "no slot 9");
    world.run(&["vault", "slot", "remove", "3", "--yes"]).ok();
    world.run(&["show", "a"]).fails(4, "");
}

#[test]
fn the_last_way_in_is_never_removed() {
    let world = World::own();
    let said = world.run(&["vault", "slot", "remove", "2", "--yes"]).ok();
    assert!(said.err.contains("One way in is left"), "{}", said.err);
    world.run(&["vault", "slot", "remove", "1", "--yes"]).fails(6, "last way");
    world.run(&["show", "a"]).fails(3, "no key a");
}

#[test]
fn a_session_is_not_enough_for_the_ways_in() {
    let mut world = World::own();
    world.run(&["unlock"]).ok();
    world.unset("KEYVAULT_PASSPHRASE");
    world.run(&["vault", "slot", "list"]).ok();
    world.run(&["vault", "slot", "add", "keyfile", "k"]).fails(4, "");
    world.run(&["vault", "slot", "remove", "2", "--yes"]).fails(4, "");
    world.run(&["vault", "rekey", "--no-recovery", "--yes"]).fails(4, "");
    assert!(!world.home().join("k").exists());
}

#[test]
fn rekey_seals_everything_anew_and_what_opened_before_does_not() {
    let mut world = World::own();
    world.run(&["generate", "a", "--scope", "s", "--tag", "team=x", "--note", "words"]).ok();
    world.run(&["rotate", "a", "--grace", "24h"]).ok();
    world.run(&["generate", "b", "--scope", "s"]).ok();
    world.run(&["vault", "slot", "add", "keyfile", "kept.key"]).ok();
    world.run(&["unlock"]).ok();
    let see = |world: &World| {
        let shown = world.run(&["show", "a", "--json"]).ok().json();
        let values = world.run(&["export", "--all", "--format", "json"]).ok().out;
        let previous = world.run(&["show", "a", "--reveal", "--version", "1"]).ok().out;
        (shown["scopes"].clone(), shown["tags"].clone(), shown["note"].clone(), values, previous)
    };
    let before = see(&world);
    let log = world.run(&["audit", "log", "--json"]).ok().out;
    let old = std::fs::read(world.vault()).unwrap();
    let answer = world.run(&["vault", "rekey", "--json", "--key-file", "kept.key"]).ok().json();
    assert_eq!((&answer["epoch"], &answer["keys"]), (&2.into(), &2.into()));
    assert_eq!(answer["dropped"], serde_json::json!([{ "slot": 2, "kind": "recovery code" }]));
    assert_eq!(kinds(&world), ["passphrase", "recovery code", "key file"]);
    world.run(&["status"]).fails(4, "");
    world.run(&["vault", "check"]).ok();
    world.run(&["audit", "verify"]).ok();
    let after = world.run(&["audit", "log", "--json"]).ok().out;
    assert!(after.starts_with(&log), "the log keeps its entries");
    assert_eq!(see(&world), before);
    // No sealed byte of the old file is left.
    let new = std::fs::read(world.vault()).unwrap();
    let common = old.windows(48).step_by(7).filter(|piece| varied(piece)).any(|piece| contains(&new, piece));
    assert!(!common, "a piece of the old file's sealed text is still in the new one");
    world.unset("KEYVAULT_PASSPHRASE");
    world.set("KEYVAULT_KEY_FILE", "kept.key");
    assert_eq!(see(&world), before);
}

/// Random bytes, and not a schema's text or an empty page.
fn varied(piece: &[u8]) -> bool {
    let kinds = piece.iter().collect::<std::collections::BTreeSet<_>>().len();
    kinds > 36 && piece.iter().filter(|byte| byte.is_ascii_graphic() || **byte == b' ').count() < 32
}

fn contains(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn rekey_keeps_only_what_was_presented_and_asks_for_two_ways_in() {
    let world = World::own();
    world.run(&["vault", "slot", "add", "keyfile", "k"]).ok();
    world.run(&["vault", "rekey"]).fails(2, "--recovery-file");
    world.run(&["vault", "rekey", "--no-recovery"]).fails(6, "--yes");
    let said = world.run(&["vault", "rekey", "--no-recovery", "--yes"]).ok().err;
    assert!(said.contains("No way in any more: slot 2 (recovery code), slot 3 (key file)."), "{said}");
    assert_eq!(kinds(&world), ["passphrase"]);
    // A key file that opens nothing is the wrong one.
    world.run(&["vault", "rekey", "--no-recovery", "--key-file", "k"]).fails(4, "");
}

#[test]
fn a_backup_is_whole_private_and_opens_on_another_machine() {
    let mut world = World::own();
    world.run(&["generate", "a"]).ok();
    let value = world.run(&["show", "a", "--reveal"]).ok().out;
    world.unset("KEYVAULT_PASSPHRASE");
    world.run(&["vault", "backup", "copy.db"]).ok();
    let copy = world.home().join("copy.db");
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o7777, 0o600);
    let before = std::fs::read(&copy).unwrap();
    world.run(&["vault", "backup", "copy.db"]).fails(6, "copy.db");
    assert!(std::fs::read(&copy).unwrap() == before);
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    world.set("XDG_STATE_HOME", world.path().join("elsewhere").to_str().unwrap().to_owned().as_str());
    assert_eq!(world.run(&["--vault", "copy.db", "show", "a", "--reveal"]).ok().out, value);
    world.run(&["--vault", "copy.db", "vault", "check"]).ok();
    let left: Vec<_> =
        std::fs::read_dir(world.home()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains(".new-")), "{left:?}");
}

#[test]
fn a_restore_says_what_it_supersedes_and_the_vault_goes_on_above_it() {
    let world = World::own();
    world.run(&["generate", "kept"]).ok();
    world.run(&["generate", "turned"]).ok();
    world.run(&["generate", "removed"]).ok();
    let turned = world.run(&["show", "turned", "--reveal"]).ok().out;
    world.run(&["vault", "backup", "copy.db"]).ok();
    world.run(&["generate", "later"]).ok();
    world.run(&["rotate", "turned"]).ok();
    world.run(&["remove", "removed", "--yes"]).ok();
    world.run(&["vault", "restore", "copy.db"]).fails(2, "--yes");
    let answer = world.run(&["vault", "restore", "copy.db", "--yes", "--json"]).ok();
    let json = answer.json();
    assert_eq!(json["lost"], serde_json::json!(["later"]));
    assert_eq!(json["older"], serde_json::json!(["turned"]));
    assert_eq!(json["back"], serde_json::json!(["removed"]));
    assert_eq!((&json["found"], &json["superseded"], &json["change"]), (&4.into(), &7.into(), &8.into()));
    assert!(answer.err.contains("1 would be gone: later"), "{}", answer.err);
    assert_eq!(world.run(&["show", "turned", "--reveal"]).ok().out, turned);
    world.run(&["show", "later"]).fails(3, "no key later");
    world.run(&["vault", "check"]).ok();
    world.run(&["audit", "verify"]).ok();
    world.run(&["generate", "after"]).ok();
}

#[test]
fn a_restore_where_there_is_no_vault_brings_it_back() {
    let world = World::own();
    world.run(&["generate", "a"]).ok();
    let value = world.run(&["show", "a", "--reveal"]).ok().out;
    world.run(&["vault", "backup", "copy.db"]).ok();
    world.run(&["generate", "b"]).ok();
    std::fs::remove_file(world.vault()).unwrap();
    for side in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{side}", world.vault().display()));
    }
    world.run(&["vault", "restore", "copy.db"]).ok();
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok().out, value);
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_backup_of_another_vault_or_a_damaged_one_changes_nothing() {
    let world = World::own();
    let other = World::own();
    other.run(&["vault", "backup", "copy.db"]).ok();
    let foreign = std::fs::read(other.home().join("copy.db")).unwrap();
    world.run(&["generate", "a"]).ok();
    let before = std::fs::read(world.vault()).unwrap();
    let put = |bytes: &[u8]| {
        std::fs::write(world.home().join("copy.db"), bytes).unwrap();
        std::fs::set_permissions(world.home().join("copy.db"), std::fs::Permissions::from_mode(0o600))
            .unwrap();
    };
    put(&foreign);
    world.run(&["vault", "restore", "copy.db", "--yes"]).fails(6, "another vault");
    put(b"not a vault");
    world.run(&["vault", "restore", "copy.db", "--yes"]).fails(5, "");
    let mut damaged = before.clone();
    let middle = damaged.len() / 2;
    damaged.truncate(middle);
    put(&damaged);
    world.run(&["vault", "restore", "copy.db", "--yes"]).fails(5, "");
    assert!(std::fs::read(world.vault()).unwrap() == before, "the vault was touched");
}
