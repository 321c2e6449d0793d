//! Folders with a project file, and the keys that it asks for.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::harness::{KEYVAULT, Ran, World, finish};

pub const FILE: &str = ".keyvault.toml";

/// A world with keys `a`, `b`, `db/password`, `old` (expired) and `gone` (revoked); each one's value is its name.
pub fn filled() -> World {
    let world = World::new();
    for name in ["a", "b", "db/password", "old", "gone"] {
        world.run_with_input(&["add", name], format!("<{name}>")).ok();
    }
    world.run(&["edit", "old", "--expires", "2020-01-01"]).ok();
    world.run(&["revoke", "gone"]).ok();
    world
}

/// A folder of a project with this file in it, below HOME.
pub fn project(world: &World, text: &str) -> PathBuf {
    let folder = world.home().join("shop");
    std::fs::create_dir_all(&folder).unwrap();
    write(&folder, text);
    folder
}

pub fn write(folder: &Path, text: &str) {
    std::fs::write(folder.join(FILE), text).unwrap();
    mode(&folder.join(FILE), 0o644);
    mode(folder, 0o755);
}

pub fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

pub fn run_in(world: &World, folder: &Path, arguments: &[&str]) -> Ran {
    finish(world.command(KEYVAULT).current_dir(folder).args(arguments), b"")
}

pub fn approved(world: &World, text: &str) -> PathBuf {
    let folder = project(world, text);
    run_in(world, &folder, &["project", "approve", "--yes"]).ok();
    folder
}

pub fn log(world: &World) -> String {
    world.run(&["audit", "log", "--json"]).ok().out
}
