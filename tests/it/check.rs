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
    world.run(&["vault", "check"]).is(0, "
            0 keys, 0 versions, 1 audit log entry, change 1
            Everything verified.
        ", "
            warning: A sync service left ~/.local/share/keyvault/vault (Ada's conflicted copy 2026-11-21).db next to the vault. Compare: keyvault vault diff '~/.local/share/keyvault/vault (Ada'\\''s conflicted copy 2026-11-21).db'
            warning: A sync service left ~/.local/share/keyvault/vault.sync-conflict-20261121-101112-ABC.db next to the vault. Compare: keyvault vault diff '~/.local/share/keyvault/vault.sync-conflict-20261121-101112-ABC.db'
        ");
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
    world.run(&["vault", "check"]).fails_with(5, "
            error: ~/.local/share/keyvault/vault.db is damaged or was tampered with: vault: database disk image is malformed.
                   Nothing was released. Run `keyvault vault rekey` to keep everything that is not damaged, or restore a backup with
                   `keyvault vault restore FILE`. docs/recovery.md has other options.
        ");
}
