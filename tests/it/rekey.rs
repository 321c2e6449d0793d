//! `vault rekey`: everything is sealed anew, and only the slots that were presented stay.

use std::os::unix::fs::PermissionsExt;

use keyvault_core::crypto::{Cost, SystemRng};
use keyvault_core::secret::SecretBytes;
use keyvault_vault::audit::Actor;
use keyvault_vault::state::pin::Pins;
use keyvault_vault::unlock::keyfile::KeyFile;
use keyvault_vault::unlock::passphrase::Passphrase;
use keyvault_vault::{Credential, Holder, Holders, Notices, Vault, VaultError, World as VaultWorld, slot};
use pretty_assertions::assert_eq;

use crate::harness::{PASSPHRASE, START, World};

const NEW: &str = "another horse battery staple";

fn kinds(world: &World) -> Vec<String> {
    let slots = world.run(&["vault", "slot", "list", "--json"]).ok().json();
    slots["slots"].as_array().unwrap().iter().map(|slot| slot["kind"].as_str().unwrap().to_owned()).collect()
}

/// A rekey for which `meanwhile` changes the slots after they were opened, and before it has the vault for itself.
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
        notices: Notices::told_by(&|notice| panic!("{notice:?}")),
        waiting: &|_, _| (),
    };
    let credentials = [Credential::Passphrase(&passphrase, Cost::FLOOR), Credential::KeyFile(&file)];
    let refused = slot::rekey(&mut vault, &access, &vault_world, &credentials, &[&access, &by_file], &|_| ());
    assert!(matches!(refused, Err(VaultError::SlotsChanged)));
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
    assert_eq!((&answer["epoch"], &answer["key_count"]), (&2.into(), &2.into()));
    assert_eq!(answer["dropped"], serde_json::json!([{ "slot": 2, "kind": "recovery code", "cost": null }]));
    assert_eq!(kinds(&world), ["passphrase", "recovery code", "key file"]);
    world.run(&["status"]).is(
        4,
        "
            vault        ~/.local/share/keyvault/vault.db
            session      locked; open a session with `keyvault unlock`
        ",
        "",
    );
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
    world.run(&["vault", "rekey", "--keep-passphrase"]).fails_with(
        2,
        "
            error: The recovery code opens the vault, so it is not printed where it may be logged.
                   Say where it goes: `--recovery-file FILE` or `--json`. `--no-recovery` creates none.
        ",
    );
    world.run(&["vault", "rekey", "--keep-passphrase", "--no-recovery"]).fails_with(
        6,
        "
            error: Only the passphrase would open the vault. If it is lost, so is the vault.
                   Leave out `--no-recovery`, keep a key file with `--key-file FILE`, or confirm with `--yes`.
        ",
    );
    world.run(&["vault", "rekey", "--keep-passphrase", "--no-recovery", "--yes"]).is(
        0,
        "
            Sealed 0 keys under a new root key. The vault opens with: passphrase.
            No longer open the vault: slot 2 (recovery code), slot 3 (key file).
        ",
        "The values are unchanged, and anyone who has seen them still knows them. Rotate the keys.\n",
    );
    assert_eq!(kinds(&world), ["passphrase"]);
    // A key file that opens nothing is the wrong one.
    world.run(&["vault", "rekey", "--keep-passphrase", "--no-recovery", "--key-file", "k"]).fails_with(
        4,
        "
            error: The vault has no slot for a key file. (It came from --key-file k.)
                   Run `keyvault vault slot list` to see the slots.
        ",
    );
}

#[test]
fn a_rekey_makes_no_vault_that_its_own_rules_refuse() {
    let world = with_files();
    world.run(&["vault", "slot", "add", "keyfile", "kf"]).ok();
    let mut rekey = vec!["vault", "rekey", "--keep-passphrase", "--no-recovery"];
    rekey.extend(["--key-file", "kf"].repeat(2));
    world.run(&rekey).fails_with(
        2,
        "
            error: kf is the same key file as an earlier one.
                   Name each key file once.
        ",
    );
    world.run(&["vault", "slot", "remove", "2", "--yes"]).ok();
    let files: Vec<String> = (0..30).map(|number| format!("kf{number}")).collect();
    for file in &files {
        world.run(&["vault", "slot", "add", "keyfile", file]).ok();
    }
    world.run(&["vault", "slot", "add", "keyfile", "33"]).fails_with(
        6,
        "
            error: The vault has 32 slots, the maximum.
                   Remove one with `keyvault vault slot remove NUMBER`.
        ",
    );
    let mut rekey =
        vec!["vault", "rekey", "--keep-passphrase", "--yes", "--recovery-file", "code", "--key-file", "kf"];
    rekey.extend(files.iter().flat_map(|file| ["--key-file", file]));
    world.run(&rekey).fails_with(
        6,
        "
            error: The vault has 32 slots, the maximum.
                   Remove one with `keyvault vault slot remove NUMBER`.
        ",
    );
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
    world.run(&[&rekey[..], &["--keep-passphrase"]].concat()).fails_with(
        6,
        "
            error: The vault has no passphrase to keep.
                   Without `--keep-passphrase`, `keyvault vault rekey` sets one.
        ",
    );
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
        { "slot": id(1), "kind": "recovery code", "cost": null },
        { "slot": id(3), "kind": "key file", "cost": null },
    ]);
    assert_eq!(rekeyed["dropped"], expected);
}

#[test]
fn a_rekey_with_a_key_file_alone_is_told_that_it_needs_the_passphrase() {
    let mut world = World::own();
    world.run(&["vault", "slot", "add", "keyfile", "kf"]).ok();
    world.unset("KEYVAULT_PASSPHRASE");
    world.set("KEYVAULT_KEY_FILE", "kf");
    world
        .run(&["vault", "rekey", "--keep-passphrase", "--no-recovery", "--yes"])
        .fails_with(4, "
                error: A rekey with `--keep-passphrase` needs the passphrase, and there is no terminal to prompt on.
                       Run it in a terminal, or set KEYVAULT_PASSPHRASE_FILE to a file with
                       the passphrase, or KEYVAULT_PASSPHRASE to the passphrase itself.
            ")
        ;
}

#[test]
fn the_log_of_a_rekey_names_the_slots_that_went() {
    let world = World::own();
    world.run(&["vault", "rekey", "--keep-passphrase", "--no-recovery", "--yes"]).ok();
    world
        .run(&["audit", "log", "--action", "rekey"])
        .prints("1  2040-05-17 08:00  rekey  ada@host tests -  -  (epoch 2, dropped slot 2)\n");
}

#[test]
fn a_rekey_sets_a_new_passphrase_and_the_old_one_opens_nothing() {
    for by_variable in [false, true] {
        let mut world = World::own();
        world.run_with_input(&["add", "a"], "value").ok();
        let rekey = ["vault", "rekey", "--no-recovery", "--yes"];
        let before = std::fs::read(world.vault()).unwrap();
        world.run(&rekey).fails_with(
            2,
            "
                error: No new passphrase given, and there is no terminal to prompt on.
                       Use `--new-passphrase-file FILE`.
            ",
        );
        world.set("KEYVAULT_NEW_PASSPHRASE", PASSPHRASE);
        world.run(&rekey).fails_with(
            6,
            "
                error: The new passphrase already opens the vault.
                       Choose another one, or use `--keep-passphrase`.
            ",
        );
        assert!(std::fs::read(world.vault()).unwrap() == before, "a refusal changed the file");
        world.set("KEYVAULT_NEW_PASSPHRASE", NEW);
        if !by_variable {
            world.unset("KEYVAULT_NEW_PASSPHRASE");
            world.set("KEYVAULT_NEW_PASSPHRASE_FILE", world.file("new", NEW).to_str().unwrap());
        }
        let readable =
            if by_variable { "" } else { "warning: Others can read ~/new. Fix it: chmod 600 ~/new\n" };
        let advice =
            "The values are unchanged, and anyone who has seen them still knows them. Rotate the keys.\n";
        world.run(&rekey).is(
            0,
            "
                Sealed 1 key under a new root key. The vault opens with: passphrase.
                No longer open the vault: slot 1 (passphrase), slot 2 (recovery code).
            ",
            &format!("{readable}{advice}"),
        );
        world.run(&["show", "a", "--reveal"]).fails_with(
            4,
            "
                error: That is not the vault's passphrase. (It came from KEYVAULT_PASSPHRASE.)
                       If it is lost, or its slot is damaged, set a new one with the recovery code: keyvault vault recover
            ",
        );
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
    world.run(&rekey).fails_with(
        2,
        "
            1 key would be sealed under a new root key.
            Slots that would no longer open the vault: slot 1 (passphrase), slot 2 (recovery code).
            Tokens that would get a new secret, and whose bundles would no longer open anything: ci.
            Every session would end.
            error: This cannot be undone, and there is no terminal to prompt on.
                   Use `--yes` to confirm.
        ",
    );
    assert!(std::fs::read(world.vault()).unwrap() == before && !world.home().join("code").exists());
    let kept = ["vault", "rekey", "--recovery-file", "code", "--keep-passphrase"];
    world.run(&kept).fails_with(
        2,
        "
            1 key would be sealed under a new root key.
            Slots that would no longer open the vault: slot 2 (recovery code).
            Tokens that would get a new secret, and whose bundles would no longer open anything: ci.
            Every session would end.
            The passphrase stays: anyone who knows it can open every new copy of the vault too.
            error: This cannot be undone, and there is no terminal to prompt on.
                   Use `--yes` to confirm.
        ",
    );
}
