//! `--github-env`: the variables of a job's later steps, and their masks.

use pretty_assertions::assert_eq;

use crate::harness::World;

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
