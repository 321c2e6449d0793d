//! `--github-env`: the variables of a job's later steps, and their masks.

use std::os::unix::fs::PermissionsExt;

use pretty_assertions::assert_eq;

use crate::harness::terminal::Terminal;
use crate::harness::{KEYVAULT, World};

/// Keys `a` at version 2, whose version 1 is in its grace, `b`, and `cert` of two lines.
fn filled() -> World {
    let world = World::new();
    world.run_with_input(&["add", "a"], "first").ok();
    world.run_with_input(&["rotate", "a", "--grace", "1h", "--stdin"], "second").ok();
    world.run_with_input(&["add", "b/c"], "b@/%").ok();
    world.run_with_input(&["add", "cert", "--exact"], "line one\n  line two\n}\n").ok();
    world
}

/// A step of a GitHub job whose file of variables is HOME/github.
fn step(world: &mut World) {
    world.file("github", "BEFORE=1");
    world.set("GITHUB_ACTIONS", "true");
    world.set("GITHUB_ENV", world.home().join("github").to_str().unwrap().to_owned().as_str());
}

#[test]
fn github_env_shows_nothing_where_no_runner_reads_and_writes_no_half_values() {
    let mut world = filled();
    let export = ["export", "--all", "--format", "github-env"];
    let log = world.run(&["audit", "log", "--json"]).ok().out;
    assert_eq!(world.run(&export).fails(2, "only in a GitHub Actions step").out, "");
    world.set("GITHUB_ENV", "/dev/null");
    assert_eq!(world.run(&export).fails(2, "only in a GitHub Actions step").out, "");
    assert_eq!(world.run(&["audit", "log", "--json"]).ok().out, log);
    step(&mut world);
    let terminal = Terminal::shell(&world);
    terminal.run("keyvault export --all --format github-env", "");
    let (shown, code) = terminal.ended();
    assert!(code == 2 && !shown.contains("second"), "{shown}");
    world.run_with_input(&["add", "binary", "--exact"], b"\xFFx").ok();
    assert_eq!(world.run(&export).fails(6, "BINARY cannot be written").out, "");
    world.run(&["remove", "binary", "--yes"]).ok();
    world.run_with_input(&["add", "tiny"], "abc").ok();
    world.run(&export).ok();
    let ran = world.run(&["export", "--only", "tiny", "--format", "github-env"]).ok();
    assert!(
        ran.out.is_empty() && ran.err.contains("Not masked in the job log: TINY (short or common values)."),
        "{}",
        ran.err
    );
    // A limit in the middle of a value: nothing of it stays.
    let file = world.home().join("github");
    let before = std::fs::read(&file).unwrap();
    let limit = before.len() + 20;
    let ran = world.sh(&format!(
        "trap '' XFSZ; prlimit --fsize={limit} '{KEYVAULT}' --vault '{}' export --only a --format github-env",
        world.vault().display()
    ));
    assert!(ran.code != 0, "{ran:?}");
    assert!(std::fs::read(&file).unwrap() == before, "{ran:?}");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::remove_file(&file).unwrap();
    world.run(&export).fails(3, "does not exist");
}
