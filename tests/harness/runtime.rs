//! A folder for files in memory, and what is left in it.

use std::path::PathBuf;

use crate::harness::{Ran, World};

/// No file.
pub const NOTHING: [PathBuf; 0] = [];

/// Every byte there is, longer than a pipe holds.
pub fn binary() -> Vec<u8> {
    (0..=255).cycle().take(200_001).collect()
}

/// A world with `bin` (scope s, see [`binary`]), `a` and `b` (scope s, their names are their values) and `lines`; its
/// runtime folder is a tmpfs of its own, so that other tests' runs do not sweep it.
pub struct RuntimeFolder {
    pub world: World,
    pub runtime: tempfile::TempDir,
}

impl RuntimeFolder {
    pub fn new() -> Self {
        let runtime = tempfile::Builder::new().prefix("keyvault-test-").tempdir_in("/dev/shm").unwrap();
        let mut world = World::own();
        world.set("XDG_RUNTIME_DIR", runtime.path().to_str().unwrap());
        world.run_with_input(&["add", "bin", "--exact", "--scope", "s"], binary()).ok();
        for name in ["a", "b"] {
            world.run_with_input(&["add", name, "--scope", "s"], name).ok();
        }
        world.run_with_input(&["add", "lines", "--exact"], "one\ntwo\n").ok();
        Self { world, runtime }
    }

    /// The entries of the folder of all runs.
    pub fn left(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.runtime.path().join("keyvault"));
        entries.map_or_else(|_| Vec::new(), |all| all.map(|entry| entry.unwrap().path()).collect())
    }

    pub fn exec(&self, arguments: &[&str], script: &str) -> Ran {
        self.world.run(&[&["exec"], arguments, &["--", "sh", "-c", script]].concat())
    }

    pub fn log(&self) -> serde_json::Value {
        let ran = self.world.run(&["audit", "log", "--json"]).ok();
        ran.out.lines().last().map(|line| serde_json::from_str(line).unwrap()).unwrap()
    }
}

/// The folders of runs that lie there.
pub fn runs(runtime: &tempfile::TempDir) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(runtime.path().join("keyvault"));
    entries.map_or_else(|_| Vec::new(), |all| all.map(|entry| entry.unwrap().path()).collect())
}
