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

fn last_event(world: &World) -> serde_json::Value {
    let log = world.run(&["audit", "log", "--json"]).ok().out;
    serde_json::from_str(log.lines().last().unwrap()).unwrap()
}

/// A step of a GitHub job whose file of variables is HOME/github.
fn step(world: &mut World) {
    world.file("github", "BEFORE=1");
    world.set("GITHUB_ACTIONS", "true");
    world.set("GITHUB_ENV", world.home().join("github").to_str().unwrap().to_owned().as_str());
}

/// The file as GitHub's runner reads it (src/Runner.Worker/FileCommandManager.cs): lines `NAME=value`, or
/// `NAME<<delimiter` and everything up to a line that is the delimiter.
fn read_as_runner(text: &str) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    let mut lines = text.split('\n');
    while let Some(line) = lines.next() {
        match (line.find('='), line.find("<<")) {
            _ if line.is_empty() => {}
            (equals, Some(at)) if equals.is_none_or(|equals| at < equals) => {
                let (name, delimiter) = (&line[..at], &line[at + 2..]);
                let value: Vec<_> = lines.by_ref().take_while(|line| *line != delimiter).collect();
                variables.push((name.to_owned(), value.join("\n")));
            }
            (Some(at), _) => variables.push((line[..at].to_owned(), line[at + 1..].to_owned())),
            _ => panic!("the runner refuses {line:?}"),
        }
    }
    variables
}

#[test]
fn case_47_github_env_carries_every_value_and_masks_each_line_first() {
    let mut world = filled();
    world.run_with_input(&["add", "evil", "--exact"], "x\nEOF\nPATH=/evil\nA<<b\n%0A%").ok();
    step(&mut world);
    let export = ["export", "--all", "--format", "github-env"];
    let ran = world.run(&export).ok();
    let mut masks: Vec<_> = ran.out.lines().collect();
    masks.sort_unstable();
    let expected = ["%250A%25", "A<<b", "PATH=/evil", "b@/%25", "line one", "line two", "second"]
        .map(|mask| format!("::add-mask::{mask}"));
    assert_eq!(masks, expected);
    assert_eq!(ran.err, "Set 4 variables for the following steps.\n");
    let text = std::fs::read_to_string(world.home().join("github")).unwrap();
    let read = |text: &str| {
        read_as_runner(text).into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
    };
    let expected = [
        "BEFORE=1",
        "A=second",
        "B_C=b@/%",
        "CERT=line one\n  line two\n}\n",
        "EVIL=x\nEOF\nPATH=/evil\nA<<b\n%0A%",
    ];
    assert_eq!(read(&text), expected);
    let delimiters = |text: &str| {
        text.lines()
            .filter_map(|line| line.split_once("<<keyvault_"))
            .map(|(_, it)| it.to_owned())
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(delimiters(&text).len(), 4);
    // Appended, with new delimiters.
    world.run(&export).ok();
    let again = std::fs::read_to_string(world.home().join("github")).unwrap();
    assert!(again.starts_with(&text) && delimiters(&again).len() == 8);
    assert_eq!(last_event(&world)["detail"], "github-env");
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
        ran.out.is_empty() && ran.err.contains("Too short to be masked in the job log: TINY."),
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
