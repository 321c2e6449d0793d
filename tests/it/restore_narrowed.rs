//! A restore gives no token back what was taken from it since the backup, and ends no other token.

use pretty_assertions::assert_eq;

use crate::harness::World;
use crate::harness::bearer::{held, token, with_keys};
use crate::harness::vault_file::tamper;

/// Tokens that open keys `a` and `b`, by their scope and by their names.
fn tokens(world: &World) -> [String; 2] {
    let by_scope = token(world, &["scoped", "--scope", "deploy"]);
    [by_scope, token(world, &["named", "--key", "a", "--key", "b"])]
}

fn open(world: &World, tokens: &[String; 2]) -> [bool; 2] {
    tokens.each_ref().map(|token| held(world, token, &["exec", "--", "true"]).code == 0)
}

fn with_passphrase() -> World {
    let mut world = with_keys();
    world.set("KEYVAULT_PASSPHRASE", crate::harness::PASSPHRASE);
    world
}

#[test]
fn a_token_regains_nothing_by_a_restore_that_a_change_since_the_backup_took() {
    let remove = ["remove", "a", "--yes"];
    let wipe = ["remove", "a", "--wipe", "--yes"];
    let unscope = ["edit", "a", "--unscope", "deploy"];
    let rename = ["edit", "a", "--rename", "z"];
    // The changes since the backup, and whether the token by scope and that by name open their keys after a restore.
    let table: &[(&[&[&str]], [bool; 2])] = &[
        (&[], [true, true]),
        (&[&["edit", "a", "--note", "n"]], [true, true]),
        (&[&["rotate", "a", "--stdin"]], [true, true]),
        (&[&["remove", "c", "--yes"], &["remove", "d", "--wipe", "--yes"]], [true, true]),
        (&[&remove], [false, false]),
        (&[&wipe], [false, false]),
        (&[&remove, &["remove", "a", "--wipe", "--removed", "--yes"]], [false, false]),
        (&[&rename, &["remove", "z", "--yes"]], [false, false]),
        (&[&rename, &["remove", "z", "--wipe", "--yes"]], [false, false]),
        (&[&["edit", "c", "--rename", "y"], &rename, &["edit", "y", "--rename", "a"], &wipe], [true, true]),
        // An undeleted key is back by its scopes, and no more by its name.
        (&[&remove, &["undelete", "a"]], [true, false]),
        (&[&remove, &["undelete", "a", "--as", "z"], &["remove", "z", "--wipe", "--yes"]], [false, false]),
        (&[&unscope], [false, true]),
        (&[&unscope, &["edit", "a", "--scope", "deploy"]], [true, true]),
        (&[&["edit", "a", "--expires", "1h"]], [false, false]),
        (&[&["edit", "a", "--expires", "1h"], &["edit", "a", "--expires", "never"]], [true, true]),
        (&[&["token", "edit", "scoped", "--scope", "other", "--unscope", "deploy"]], [false, true]),
        (&[&["token", "edit", "named", "--no-key", "a"]], [true, false]),
        (&[&["token", "edit", "named", "--expires", "1h"]], [true, false]),
        (&[&["token", "revoke", "scoped"]], [false, true]),
    ];
    for (changes, opens) in table {
        let world = with_passphrase();
        let tokens = tokens(&world);
        world.run(&["vault", "backup", "b"]).ok();
        for change in *changes {
            world.run_with_input(change, "new-value").ok();
        }
        let answer = world.run(&["vault", "restore", "b", "--yes", "--json"]).ok().json();
        assert_eq!(open(&world, &tokens), *opens, "{changes:?}");
        let ended: Vec<_> =
            ["named", "scoped"].into_iter().zip([opens[1], opens[0]]).filter(|(_, open)| !open).collect();
        let ended: Vec<_> = ended.into_iter().map(|(name, _)| name).collect();
        assert_eq!(answer["revoked_tokens"], serde_json::json!(ended), "{changes:?}");
        world.run(&["vault", "check"]).ok();
    }
}

#[test]
fn the_preview_names_the_tokens_that_lost_a_key_since_the_backup() {
    let world = with_passphrase();
    tokens(&world);
    world.run(&["vault", "backup", "b"]).ok();
    world.run(&["edit", "a", "--unscope", "deploy"]).ok();
    world
        .run(&["vault", "restore", "b"])
        .fails(2, "Tokens in the backup that no longer open anything: scoped\n");
}

#[test]
fn a_disabled_key_stays_disabled_and_its_tokens_stay() {
    let world = with_passphrase();
    let tokens = tokens(&world);
    world.run(&["vault", "backup", "b"]).ok();
    world.run(&["disable", "a"]).ok();
    world.run(&["vault", "restore", "b", "--yes"]).ok();
    for token in &tokens {
        held(&world, token, &["exec", "--only", "a", "--", "true"]).fails(125, "a: disabled");
        held(&world, token, &["exec", "--only", "b", "--", "true"]).ok();
    }
}

#[test]
fn the_right_backup_after_the_wrong_one_ends_no_token() {
    let world = with_passphrase();
    let tokens = tokens(&world);
    world.run(&["vault", "backup", "wrong"]).ok();
    world.run_with_input(&["add", "e", "--scope", "deploy"], "value-e").ok();
    world.run(&["edit", "c", "--scope", "deploy"]).ok();
    world.run(&["vault", "backup", "right"]).ok();
    world.run(&["vault", "restore", "wrong", "--yes"]).ok();
    world.run(&["vault", "restore", "right", "--yes"]).ok();
    assert_eq!(open(&world, &tokens), [true, true]);
}

#[test]
fn a_damaged_vault_tells_which_keys_were_removed_and_a_damaged_key_is_not_one() {
    for (removed, opens) in [(false, [true, true]), (true, [false, false])] {
        let world = with_passphrase();
        let tokens = tokens(&world);
        world.run(&["vault", "backup", "b"]).ok();
        if removed {
            world.run(&["remove", "a", "--yes"]).ok();
        }
        world.run(&["edit", "d", "--note", "n"]).ok();
        tamper(&world, "UPDATE object SET sealed = zeroblob(length(sealed)) WHERE id >> 56 = 3");
        world.run(&["vault", "restore", "b", "--yes"]).ok();
        assert_eq!(open(&world, &tokens), opens, "{removed}");
    }
}
