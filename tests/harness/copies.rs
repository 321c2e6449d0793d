//! Two machines that work on copies of one vault.

use std::path::PathBuf;

use super::{Ran, World, hours};

/// The copy of the other machine.
pub fn other(world: &World) -> PathBuf {
    world.home().join("other.db")
}

/// Runs keyvault on the other machine, which remembers what it saw itself.
pub fn there(world: &World, line: &str) -> Ran {
    let state = world.path().join("elsewhere");
    let other = other(world);
    world.sh(&format!(
        "export XDG_STATE_HOME='{}' KEYVAULT_VAULT='{}'; {line}",
        state.display(),
        other.display()
    ))
}

/// Gives the other machine a copy of the vault as it is now; an hour later each goes its own way.
pub fn part(world: &World) {
    std::fs::copy(world.vault(), other(world)).unwrap();
    world.advance(hours(1));
}

/// Two copies that differ in every way.
pub fn apart() -> World {
    let world = World::own();
    for name in ["api", "db", "gone", "kept", "old", "quiet", "same", "spent"] {
        world.run_with_input(&["add", name, "--scope", "dev"], format!("secret-value-of-{name}")).ok();
    }
    part(&world);
    world.run(&["revoke", "api", "--reason", "found in a log"]).ok();
    world.run(&["remove", "gone", "--wipe", "--yes"]).ok();
    world.run(&["generate", "here-only", "--expires", "30d"]).ok();
    world
        .run(&["edit", "quiet", "--note", "of the old laptop", "--scope", "test", "--tag", "owner=ada"])
        .ok();
    world.run_with_input(&["rotate", "kept", "--stdin"], "secret-value-of-kept-here").ok();
    there(&world, "printf secret-value-of-db-there | keyvault rotate db --stdin --grace 2d").ok();
    there(&world, "printf secret-value-of-kept-there | keyvault rotate kept --stdin").ok();
    there(&world, "keyvault revoke spent").ok();
    there(&world, "keyvault remove old --yes").ok();
    there(&world, "keyvault generate cache").ok();
    there(&world, "keyvault edit quiet --rename loud --expires 2041-01-01").ok();
    world.advance(hours(2));
    world
}
