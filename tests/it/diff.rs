//! `vault diff`: what differs between the vault and another copy of it, for someone who has to decide which one to keep.

use pretty_assertions::assert_eq;
use serde_json::json;

use crate::harness::copies::{apart, other, part, there};
use crate::harness::vault_file::{drop_side_files, put_back};
use crate::harness::{PASSPHRASE, World, hours};

/// Every file but the index of the write-ahead log, which SQLite rebuilds.
fn stored(world: &World) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files = world.every_file();
    files.retain(|(path, _)| !path.to_str().unwrap().ends_with("-shm"));
    files
}

#[test]
fn everything_that_differs_is_said_key_by_key_and_nothing_is_changed_or_recorded() {
    let world = apart();
    let files = stored(&world);
    let shown = world.run(&["vault", "diff", "other.db"]);
    assert!(!shown.out.contains("secret-value") && !shown.err.contains("secret-value"));
    shown.is(0, "
            The vault here is at change 14, other.db at change 15. 5 changes were made here only, 6 in other.db only. 1 key is the same, 9 differ.
            KEY  DIFFERS  HERE  OTHER
            api  version 1  REVOKED 2h ago: found in a log  current
            spent  version 1  current  REVOKED 2h ago
            cache  only other  -  version 1, made 2h ago by ada@host
            gone  only other  removed 2h ago  version 1, made 3h ago by ada@host
            db  version 1  current  previous, valid for 2d
            db  version 2  -  current, made 2h ago by ada@host
            kept  version 2  current, made 2h ago by ada@host  -
            kept  version 2  -  current, made 2h ago by ada@host
            quiet  name  quiet  loud
            quiet  scopes  dev, test  dev
            quiet  tags  owner=ada  -
            quiet  note  of the old laptop  -
            quiet  expires  never  2041-01-01 00:00 (in 229d)
            here-only  only here  version 1, made 2h ago by ada@host  -
            old  only here  version 1, made 3h ago by ada@host  removed 2h ago
        ", "
        To take over what the vault here lacks:
          keyvault vault restore 'other.db' --only spent cache db kept
        ");
    assert!(stored(&world) == files);
}

#[test]
fn copies_that_are_the_same_are_said_to_be() {
    let world = World::own();
    world.run(&["generate", "a"]).ok();
    part(&world);
    world
        .run(&["vault", "diff", "other.db"])
        .prints("The vault here is at change 2, other.db at change 2. 1 key is the same, none differs.\n");
    assert_eq!(
        world.run(&["vault", "diff", "other.db", "--json"]).ok().json(),
        json!({ "keys": [], "same": 1, "alarm": null, "change": { "here": 2, "other": 2 }, "own_changes": { "here": 0, "other": 0 } })
    );
}

#[test]
fn an_alarm_points_to_the_copy_that_a_sync_service_left_and_the_comparison_works_in_it() {
    let world = World::own();
    world.run(&["generate", "a"]).ok();
    part(&world);
    world.run(&["generate", "mine"]).ok();
    there(&world, "keyvault generate theirs").ok();
    // The service puts the other machine's file in place, and keeps this one's beside it.
    let conflict = world.vault().with_file_name("vault (conflicted copy).db");
    drop_side_files(&world.vault());
    std::fs::rename(world.vault(), &conflict).unwrap();
    put_back(&world, &std::fs::read(other(&world)).unwrap());
    set_private(&world.vault());
    let refused = world.run(&["show", "a", "--reveal"]);
    let line = refused.err.lines().find(|line| line.contains("vault diff")).unwrap().trim().to_owned();
    refused.fails_with(5, "
            error: ~/.local/share/keyvault/vault.db is on a different branch: its change 3 does not follow from change 3, which this machine saw.
                   No values are released. A sync service left another copy. Compare the two first:
                     keyvault vault diff '~/.local/share/keyvault/vault (conflicted copy).db'
                   If the vault's own file is the one to keep:
                     keyvault vault restore --adopt
        ");
    world.run(&["list"]).warns("
            warning: The vault is on a different branch than the state this machine last saw. To compare it with the copy that a sync service left: keyvault vault diff '~/.local/share/keyvault/vault (conflicted copy).db'. To accept it: keyvault vault restore --adopt
        ");
    let compared = world.sh(&line);
    let remedy: Vec<_> =
        compared.err.lines().filter(|line| line.starts_with("  ")).map(str::to_owned).collect();
    compared.is(0, "
            The vault here is at change 3, ~/.local/share/keyvault/vault (conflicted copy).db at change 3. 1 change was made here only, 1 in ~/.local/share/keyvault/vault (conflicted copy).db only. 1 key is the same, 2 differ.
            KEY  DIFFERS  HERE  OTHER
            mine  only other  -  version 1, made just now by ada@host
            theirs  only here  version 1, made just now by ada@host  -
        ", "
        warning: The vault is on a different branch than the state this machine last saw.
        To keep the vault here and take over what it lacks:
          keyvault vault restore --adopt
          keyvault vault restore '~/.local/share/keyvault/vault (conflicted copy).db' --only mine
        ");
    // In an alarm nothing is taken over; the lines that are printed do it one after the other.
    world.sh(&format!("{} --yes", remedy[1])).fails_with(5, "
            error: ~/.local/share/keyvault/vault.db is on a different branch: its change 3 does not follow from change 3, which this machine saw.
                   No values are released. A sync service left another copy. Compare the two first:
                     keyvault vault diff '~/.local/share/keyvault/vault (conflicted copy).db'
                   If the vault's own file is the one to keep:
                     keyvault vault restore --adopt
        ");
    world.sh(&remedy[0]).ok();
    world.sh(&format!("{} --yes", remedy[1])).ok();
    world.run(&["exec", "--only", "mine", "--only", "theirs", "--", "true"]).ok();
}

/// The file that a sync service put back is older than the one that it left beside it.
#[test]
fn a_copy_that_goes_on_from_the_vault_is_put_in_its_place() {
    let world = World::own();
    world.run(&["generate", "a"]).ok();
    let older = std::fs::read(world.vault()).unwrap();
    world.run(&["generate", "b"]).ok();
    std::fs::copy(world.vault(), other(&world)).unwrap();
    put_back(&world, &older);
    let compared = world.run(&["vault", "diff", "other.db"]);
    let remedy = compared.err.lines().last().unwrap().to_owned();
    compared.is(0, "
            The vault here is at change 2, other.db at change 3. other.db has every change of the vault here, and 1 more. 1 key is the same, 1 differs.
            KEY  DIFFERS  HERE  OTHER
            b  only other  -  version 1, made just now by ada@host
        ", "
        warning: The vault is older than the state this machine last saw.
        To put other.db in the vault's place:
          keyvault vault restore 'other.db'
        ");
    world.sh(&format!("{remedy} --yes")).ok();
    world.run(&["exec", "--only", "b", "--", "true"]).ok();
}

#[test]
fn what_a_program_reads_has_one_shape() {
    let world = World::own();
    for name in ["a", "b"] {
        world.run_with_input(&["add", name], "value").ok();
    }
    part(&world);
    world.run(&["revoke", "a", "--reason", "leaked"]).ok();
    world.run(&["remove", "b", "--yes"]).ok();
    let mut shown = world.run(&["vault", "diff", "other.db", "--json"]).ok().json();
    for key in shown["keys"].as_array_mut().unwrap() {
        assert_eq!(key["id"].as_str().unwrap().len(), 32);
        key["id"] = "…".into();
        for version in
            ["here", "other"].iter().filter_map(|side| key[side]["versions"][0].as_object().cloned())
        {
            assert!(version["made_by"].as_str().unwrap().contains('@'));
        }
        for side in ["here", "other"] {
            if key[side].is_object() {
                key[side]["versions"][0]["made_by"] = "…".into();
            }
        }
    }
    let side = |name: &str, version: serde_json::Value| {
        json!({
            "name": name, "variable": name.to_uppercase(), "display_name": null, "owner": null, "scopes": [],
            "tags": {}, "note": null, "disabled": null, "expires": null, "recipe": null, "versions": [version],
        })
    };
    let version = |state: &str, since: &str, reason: Option<&str>| {
        json!({
            "version": 1, "state": state, "wiped": false, "created": "2040-05-17T08:00:00.000Z", "since": since,
            "made_by": "…", "reason": reason,
        })
    };
    let current = || version("current", "2040-05-17T08:00:00.000Z", None);
    assert_eq!(
        shown,
        json!({
            "keys": [
                {
                    "id": "…", "name": "a", "in": "both", "differs": ["revoked", "versions"], "removed": null,
                    "revoked": { "here": [1], "other": [] },
                    "here": side("a", version("revoked", "2040-05-17T09:00:00.000Z", Some("leaked"))),
                    "other": side("a", current()),
                },
                {
                    "id": "…", "name": "b", "in": "other", "differs": [], "removed": "2040-05-17T09:00:00.000Z",
                    "revoked": { "here": [], "other": [] }, "here": null, "other": side("b", current()),
                },
            ],
            "same": 0, "alarm": null, "change": { "here": 5, "other": 3 },
            "own_changes": { "here": 2, "other": 0 },
        })
    );
}

#[test]
fn a_copy_from_before_a_rekey_opens_with_its_own_passphrase() {
    let mut world = World::own();
    world.run(&["generate", "a"]).ok();
    part(&world);
    let new = world.file("new", "another passphrase");
    set_private(&new);
    world.run(&["vault", "rekey", "--yes", "--no-recovery", "--new-passphrase-file", "new"]).ok();
    world.set("KEYVAULT_PASSPHRASE", "another passphrase");
    world.run(&["revoke", "a"]).ok();
    const LOCKED: &str = "
            error: other.db does not open with what opens the vault, and there is no terminal to prompt on.
                   Run `keyvault unlock` to keep the vault open. Then set KEYVAULT_PASSPHRASE_FILE to a file
                   with the copy's passphrase, or KEYVAULT_KEY_FILE to a key file that opens it.
        ";
    world.run(&["vault", "diff", "other.db"]).fails_with(4, LOCKED);
    world.run(&["unlock"]).ok();
    world.unset("KEYVAULT_PASSPHRASE");
    world.run(&["vault", "diff", "other.db"]).fails_with(4, LOCKED);
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    world.run(&["vault", "diff", "other.db"]).prints("
            The vault here is at change 4, other.db at change 2. The vault here has every change of other.db, and 2 more. 0 keys are the same, 1 differs.
            KEY  DIFFERS    HERE              OTHER
            a    version 1  REVOKED just now  current
        ");
}

#[test]
fn what_is_no_other_copy_of_the_vault_is_refused() {
    let world = World::own();
    world.run(&["vault", "diff", "missing.db"]).fails_with(
        3,
        "
            error: missing.db does not exist.
        ",
    );
    let own = world.vault();
    world.run(&["vault", "diff", own.to_str().unwrap()]).fails_with(
        6,
        "
            error: ~/.local/share/keyvault/vault.db is the vault itself.
                   Name another copy of it: a backup, or a file that a sync service left.
        ",
    );
    let another = World::own();
    std::fs::copy(another.vault(), other(&world)).unwrap();
    world.run(&["vault", "diff", "other.db"]).fails_with(
        6,
        "
            error: other.db is no copy of this vault, but another vault.
                   To see its keys: keyvault list --vault 'other.db'
        ",
    );
    std::fs::write(other(&world), b"no vault at all").unwrap();
    world.run(&["vault", "diff", "other.db"]).fails_with(
        5,
        "
            error: other.db is not a vault.
                   The vault here was not changed. Name a file that `keyvault vault backup` wrote.
        ",
    );
}

#[test]
fn a_key_of_the_same_name_that_is_another_key_is_no_change_of_it() {
    let world = World::own();
    part(&world);
    world.run(&["generate", "token"]).ok();
    there(&world, "keyvault generate token").ok();
    world.advance(hours(1));
    world.run(&["vault", "diff", "other.db"]).prints("
            The vault here is at change 2, other.db at change 2. 1 change was made here only, 1 in other.db only. 0 keys are the same, 2 differ.
            KEY  DIFFERS  HERE  OTHER
            token  only other  another key has this name  version 1, made 1h ago by ada@host
            token  only here  version 1, made 1h ago by ada@host  -
        ");
}

fn set_private(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
