//! `vault check`: what it finds beside the vault, and what it says where it cannot look.

use pretty_assertions::assert_eq;

use crate::harness::World;
use crate::harness::vault_file::drop_side_files;

#[test]
fn case_19_a_synced_folders_conflict_copies_are_named() {
    let world = World::new();
    let folder = world.vault().parent().unwrap().to_owned();
    assert_eq!(
        world.run(&["vault", "check", "--json"]).ok().json()["conflict_copies"],
        serde_json::json!([])
    );
    for name in [
        "vault (Ada's conflicted copy 2026-11-21).db",
        "vault.sync-conflict-20261121-101112-ABC.db",
        "vault-of-work.db",
    ] {
        std::fs::copy(world.vault(), folder.join(name)).unwrap();
    }
    let checked = world.run(&["vault", "check"]).ok();
    assert_eq!(checked.err.matches("A sync service left ").count(), 2, "{}", checked.err);
    assert!(
        checked.err.contains("Ada's conflicted copy") && !checked.err.contains("of-work"),
        "{}",
        checked.err
    );
}

#[test]
fn a_check_that_cannot_look_at_the_rows_does_not_name_itself() {
    let world = World::own();
    world.run(&["generate", "a"]).ok();
    drop_side_files(&world.vault());
    let mut bytes = std::fs::read(world.vault()).unwrap();
    // Every page but the first, which says how to read the others.
    bytes[4096..].fill(0xA5);
    std::fs::write(world.vault(), bytes).unwrap();
    let said = world.run(&["vault", "check"]).fails(5, "`keyvault vault restore FILE`").err;
    assert!(!said.contains("`keyvault vault check`"), "{said}");
}
