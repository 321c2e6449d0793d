//! The vault's file, worked on behind keyvault's back.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::World;

/// A world with a vault of its own, two keys in one scope and one in another, and no log beside the file.
pub fn filled() -> World {
    let world = World::own();
    for (name, value, scope) in [("a", "value-a", "s"), ("b", "value-b", "s"), ("c", "value-c", "t")] {
        world.run_with_input(&["add", name, "--scope", scope], value).ok();
    }
    world
}

/// Takes the log and its index away. After a change the file is complete without them.
pub fn drop_side_files(vault: &Path) {
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(beside(vault, suffix));
    }
}

/// The vault's path with a suffix.
pub fn beside(vault: &Path, suffix: &str) -> PathBuf {
    let mut path = vault.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// Puts `bytes` in the place of the whole vault.
pub fn put_back(world: &World, bytes: &[u8]) {
    drop_side_files(&world.vault());
    std::fs::write(world.vault(), bytes).unwrap();
}

/// Changes rows behind keyvault's back.
pub fn tamper(world: &World, statements: &str) {
    let connection = Connection::open(world.vault()).unwrap();
    connection.execute_batch(statements).unwrap_or_else(|error| panic!("{error}: {statements}"));
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(connection);
    drop_side_files(&world.vault());
}
