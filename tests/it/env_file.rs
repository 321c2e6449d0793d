//! `exec --env-file`: references and values of its own, and what refuses it.

use pretty_assertions::assert_eq;

use crate::harness::{KEYVAULT, World, finish};

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

#[test]
fn an_env_file_brings_references_and_values_of_its_own() {
    let world = filled();
    world.file("x.env", "# words\nA=kv://a\nOLD=\"kv://a?version=1\"\nexport PORT='30 00'\nEMPTY=\nB=${A}\n");
    let show = ["--", "sh", "-c", "echo \"$A|$OLD|$PORT|${EMPTY-unset}|$B\""];
    let with = |choice: &[&str]| world.run(&[&["exec"], choice, &show].concat());
    assert_eq!(with(&["--env-file", "x.env"]).ok().out, "second|first|30 00||${A}\n");
    let event = last_event(&world);
    assert_eq!(event["action"], "exec");
    assert_eq!(event["keys"].as_array().unwrap().len(), 2, "{event}");
    // The ways add up; a later file's variable takes the place of an earlier one's.
    world.file("y.env", "PORT=kv://b/c\nA=plain\n");
    assert_eq!(with(&["--env-file", "x.env", "--env-file", "y.env"]).ok().out, "plain|first|b@/%||${A}\n");
    assert_eq!(with(&["--env-file", "y.env", "--as", "OLD=a"]).ok().out, "plain|second|b@/%|unset|\n");
    with(&["--env-file", "y.env", "--only", "a"]).fails(125, "A: set by the env-file, and also by a");
    with(&["--env-file", "y.env", "--as", "PORT=a"]).fails(125, "PORT: set by a, b/c");
    let shown = world.run(&["exec", "--dry-run", "--env-file", "y.env", "--", "true"]).ok().out;
    assert_eq!(shown, "PORT <- b/c\nA <- the env-file\n");
    // Its values stand in the place of the caller's.
    let mut command = world.command(KEYVAULT);
    command.env("A", "inherited").args(["exec", "--env-file", "y.env"]).args(show);
    assert!(finish(&mut command, b"").ok().out.starts_with("plain|"));
}

#[test]
fn an_env_file_without_references_needs_no_vault() {
    let mut world = World::empty();
    world.set("KEYVAULT_TOKEN", "x");
    world.file("x.env", "A=1\n");
    let ran = world.run(&[
        "exec",
        "--env-file",
        "x.env",
        "--",
        "sh",
        "-c",
        "echo $A ${KEYVAULT_TOKEN-none} $KEYVAULT_EXEC",
    ]);
    assert_eq!(ran.ok().out, "1 none 1\n");
}

#[test]
fn what_is_wrong_in_an_env_file_refuses_it_and_repeats_no_value() {
    let world = filled();
    let run = |content: &str| {
        world.file("x.env", content);
        world.run(&["exec", "--env-file", "x.env", "--", "touch", "ran"])
    };
    for (content, word) in [
        ("LD_PRELOAD=secret77", "LD_PRELOAD is a variable that makes programs run"),
        ("KEYVAULT_PASSPHRASE=secret77", "KEYVAULT_PASSPHRASE is a variable that keyvault itself uses"),
        (
            "A=http://secret77:kv://a@host",
            "A has an invalid reference: a kv:// reference must be the whole value",
        ),
        ("A=kv://secret77 x", "the name after kv:// is not a valid name"),
        ("A=kv://a?version=secret77", "?version= and a number"),
        ("A=kv://nothing", "A <- nothing: no such key (keyvault add nothing)"),
        ("A=kv://a?version=7", "A <- a: it has no version 7 (keyvault history a)"),
        ("A=secret77\0", "contains a NUL byte"),
    ] {
        let ran = run(content).fails(125, word);
        assert!(!ran.err.contains("secret77"), "{}", ran.err);
    }
    world.run(&["revoke", "a", "--version", "1"]).ok();
    run("A=kv://a?version=1").fails(125, "A <- a: version 1 is revoked");
    world.run(&["edit", "a", "--tag", "project=never"]).ok();
    run("A=kv://a").fails(125, "not available to project files");
    world
        .run(&["project", "add", "a"])
        .fails(6, "`a` is not available to project files (tag project=never).");
    assert!(!world.home().join(".keyvault.toml").exists());
    world.run(&["exec", "--env-file", "nowhere.env", "--", "true"]).fails(125, "nowhere.env does not exist");
    assert!(!world.home().join("ran").exists());
}
