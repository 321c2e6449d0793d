//! `vault rekey`: everything is sealed anew, and only the ways in that were presented stay.

use std::os::unix::fs::PermissionsExt;

use keyvault_core::crypto::{Cost, SystemRng};
use keyvault_core::secret::SecretBytes;
use keyvault_vault::audit::Actor;
use keyvault_vault::state::pin::Pins;
use keyvault_vault::unlock::keyfile::KeyFile;
use keyvault_vault::unlock::passphrase::Passphrase;
use keyvault_vault::{Credential, Holder, Holders, Vault, VaultError, World as VaultWorld};
use pretty_assertions::assert_eq;

use crate::harness::{PASSPHRASE, START, World};

const NEW: &str = "another horse battery staple";

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
        clock: &START,
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

/// A world with a passphrase file, for what asks twice.
fn with_files() -> World {
    let world = World::own();
    let file = world.file("new", PASSPHRASE);
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    world
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
    let answer = world
        .run(&["vault", "rekey", "--keep-passphrase", "--yes", "--json", "--key-file", "kept.key"])
        .ok()
        .json();
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
    world.run(&["vault", "rekey", "--keep-passphrase"]).fails(2, "--recovery-file");
    world.run(&["vault", "rekey", "--keep-passphrase", "--no-recovery"]).fails(6, "--yes");
    let said = world.run(&["vault", "rekey", "--keep-passphrase", "--no-recovery", "--yes"]).ok().err;
    assert!(said.contains("No longer open the vault: slot 2 (recovery code), slot 3 (key file)."), "{said}");
    assert_eq!(kinds(&world), ["passphrase"]);
    // A key file that opens nothing is the wrong one.
    world.run(&["vault", "rekey", "--keep-passphrase", "--no-recovery", "--key-file", "k"]).fails(4, "");
}

#[test]
fn a_rekey_makes_no_vault_that_its_own_rules_refuse() {
    let world = with_files();
    world.run(&["vault", "slot", "add", "keyfile", "kf"]).ok();
    let mut rekey = vec!["vault", "rekey", "--keep-passphrase", "--no-recovery"];
    rekey.extend(["--key-file", "kf"].repeat(2));
    world.run(&rekey).fails(2, "same key file");
    world.run(&["vault", "slot", "remove", "2", "--yes"]).ok();
    let files: Vec<String> = (0..30).map(|number| format!("kf{number}")).collect();
    for file in &files {
        world.run(&["vault", "slot", "add", "keyfile", file]).ok();
    }
    world.run(&["vault", "slot", "add", "keyfile", "33"]).fails(6, "");
    let mut rekey =
        vec!["vault", "rekey", "--keep-passphrase", "--yes", "--recovery-file", "code", "--key-file", "kf"];
    rekey.extend(files.iter().flat_map(|file| ["--key-file", file]));
    world.run(&rekey).fails(6, "");
    assert!(!world.home().join("code").exists());
    world.run(&["list"]).ok();
    // 31 key files and a passphrase; a recovery code by way of `recover` would be one too many as well.
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_vault_that_only_key_files_open_gets_a_passphrase_by_a_rekey() {
    let mut world = with_files();
    world.run(&["vault", "slot", "add", "keyfile", "k"]).ok();
    world.set("KEYVAULT_KEY_FILE", "k");
    world.unset("KEYVAULT_PASSPHRASE");
    world.run(&["vault", "slot", "remove", "1", "--yes"]).ok();
    let rekey = ["vault", "rekey", "--key-file", "k", "--no-recovery", "--yes"];
    world.run(&[&rekey[..], &["--keep-passphrase"]].concat()).fails(6, "no passphrase to keep");
    world.run(&[&rekey[..], &["--new-passphrase-file", "new"]].concat()).ok();
    world.run(&["list"]).ok();
    let kinds = kinds(&world);
    assert!(kinds.contains(&"passphrase".to_owned()) && kinds.contains(&"key file".to_owned()), "{kinds:?}");
}

#[test]
fn a_rekey_names_every_way_in_that_it_drops() {
    let world = with_files();
    for file in ["k1", "k2"] {
        world.run(&["vault", "slot", "add", "keyfile", file]).ok();
    }
    let slots = world.run(&["vault", "slot", "list", "--json"]).ok().json();
    let id = |place: usize| slots["slots"][place]["slot"].clone();
    let rekeyed = world
        .run(&[
            "vault",
            "rekey",
            "--keep-passphrase",
            "--yes",
            "--key-file",
            "k1",
            "--recovery-file",
            "c",
            "--json",
        ])
        .ok()
        .json();
    let expected = serde_json::json!([
        { "slot": id(1), "kind": "recovery code" },
        { "slot": id(3), "kind": "key file" },
    ]);
    assert_eq!(rekeyed["dropped"], expected);
}

#[test]
fn a_rekey_with_a_key_file_alone_is_told_that_it_needs_the_passphrase() {
    let mut world = World::own();
    world.run(&["vault", "slot", "add", "keyfile", "kf"]).ok();
    world.unset("KEYVAULT_PASSPHRASE");
    world.set("KEYVAULT_KEY_FILE", "kf");
    let said = world
        .run(&["vault", "rekey", "--keep-passphrase", "--no-recovery", "--yes"])
        .fails(4, "needs the passphrase")
        .err;
    assert!(!said.contains("KEYVAULT_KEY_FILE"), "{said}");
}

#[test]
fn the_log_of_a_rekey_names_the_slots_that_went() {
    let world = World::own();
    world.run(&["vault", "rekey", "--keep-passphrase", "--no-recovery", "--yes"]).ok();
    let log = world.run(&["audit", "log", "--action", "rekey"]).ok().out;
    assert!(log.contains("epoch 2, dropped slot 2"), "{log}");
}

#[test]
fn a_rekey_sets_a_new_passphrase_and_the_old_one_opens_nothing() {
    for by_variable in [false, true] {
        let mut world = World::own();
        world.run_with_input(&["add", "a"], "value").ok();
        let rekey = ["vault", "rekey", "--no-recovery", "--yes"];
        let before = std::fs::read(world.vault()).unwrap();
        world.run(&rekey).fails(2, "--new-passphrase-file");
        world.set("KEYVAULT_NEW_PASSPHRASE", PASSPHRASE);
        world.run(&rekey).fails(6, "--keep-passphrase");
        assert!(std::fs::read(world.vault()).unwrap() == before, "a refusal changed the file");
        world.set("KEYVAULT_NEW_PASSPHRASE", NEW);
        if !by_variable {
            world.unset("KEYVAULT_NEW_PASSPHRASE");
            world.set("KEYVAULT_NEW_PASSPHRASE_FILE", world.file("new", NEW).to_str().unwrap());
        }
        let said = world.run(&rekey).ok().err;
        assert!(said.contains("slot 1 (passphrase)"), "{said}");
        world.run(&["show", "a", "--reveal"]).fails(4, "");
        world.set("KEYVAULT_PASSPHRASE", NEW);
        assert_eq!(world.run(&["show", "a", "--reveal"]).ok().out, "value");
        assert_eq!(kinds(&world), ["passphrase"]);
    }
}

#[test]
fn a_rekey_says_what_it_ends_before_it_asks() {
    let world = World::own();
    world.run(&["generate", "a", "--scope", "s"]).ok();
    world.run(&["token", "create", "ci", "--scope", "s"]).ok();
    world.file("new", NEW);
    let before = std::fs::read(world.vault()).unwrap();
    let rekey = ["vault", "rekey", "--recovery-file", "code", "--new-passphrase-file", "new"];
    let said = world.run(&rekey).fails(2, "--yes").err;
    for line in [
        "1 key would be sealed under a new root key.",
        "Slots that would no longer open the vault: slot 1 (passphrase), slot 2 (recovery code).",
        "Tokens that would get a new secret, and whose bundles would no longer open anything: ci.",
        "Every session would end.",
    ] {
        assert!(said.contains(line), "{said}");
    }
    assert!(std::fs::read(world.vault()).unwrap() == before && !world.home().join("code").exists());
    let kept = ["vault", "rekey", "--recovery-file", "code", "--keep-passphrase"];
    let said = world.run(&kept).fails(2, "--yes").err;
    assert!(said.contains("The passphrase stays: anyone who knows it"), "{said}");
    assert!(said.contains("Slots that would no longer open the vault: slot 2 (recovery code)."), "{said}");
}
