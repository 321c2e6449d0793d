//! `remove`: it asks, the log remembers, and nothing of the value stays in the file.

use pretty_assertions::assert_eq;
use rusqlite::Connection;

use crate::harness::vault_file::filled;
use crate::harness::{World, no_key};

#[test]
fn case_9_a_removed_versions_wrapped_key_is_nowhere_in_the_file() {
    let world = filled();
    let sealed = || -> Vec<Vec<u8>> {
        let connection = Connection::open(world.vault()).unwrap();
        let mut statement =
            connection.prepare("SELECT wrapped FROM version UNION ALL SELECT sealed FROM version").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let before = sealed();
    world.run(&["remove", "a", "--yes"]).ok();
    let after = sealed();
    let gone: Vec<_> = before.iter().filter(|blob| !after.contains(blob)).collect();
    assert_eq!(gone.len(), 2);
    for (path, bytes) in world.every_file() {
        for blob in &gone {
            assert!(!bytes.windows(16).any(|piece| piece == &blob[16..32]), "{}", path.display());
        }
    }
}

#[test]
fn remove_needs_yes_without_a_terminal_and_the_log_remembers() {
    let world = World::new();
    world.run(&["generate", "a", "--scope", "s"]).ok();
    world.run(&["remove", "a"]).fails_with(
        2,
        "
            error: Removing a key cannot be undone, and there is no terminal to prompt on.
                   Use `--yes` to confirm.
        ",
    );
    world.run(&["remove", "a", "--yes"]).reports("Removed `a` with 1 version.\n");
    world.run(&["show", "a"]).fails_with(3, &no_key("a"));
    let log = world.run(&["audit", "log", "--key", "a", "--action", "remove", "--json"]).ok();
    assert_eq!(log.json()["keys"], serde_json::json!([{ "name": "a", "version": 1 }]));
    world.run(&["vault", "check"]).ok();
}
