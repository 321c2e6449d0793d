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
    with(&["--env-file", "y.env", "--only", "a"]).fails_with(
        125,
        "
            error: Cannot release the keys:
              A: set by the env-file, and also by a
        ",
    );
    with(&["--env-file", "y.env", "--as", "PORT=a"]).fails_with(
        125,
        "
            error: Cannot release the keys:
              PORT: set by a, b/c (choose one with --only, or rename one with --as VAR=NAME)
        ",
    );
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
    let bad_file = |what: &str| format!("x.env cannot be used: {what}.\n       Nothing was released.\n");
    let bad_keys = |what: &str| format!("Cannot release the keys:\n  {what}\n");
    for (content, said) in [
        ("LD_PRELOAD=secret77", bad_file("LD_PRELOAD is a variable that makes programs run or load code")),
        (
            "KEYVAULT_PASSPHRASE=secret77",
            bad_file("KEYVAULT_PASSPHRASE is a variable that keyvault itself uses"),
        ),
        (
            "A=http://secret77:kv://a@host",
            bad_file("A has an invalid reference: a kv:// reference must be the whole value"),
        ),
        (
            "A=kv://secret77 x",
            bad_file(
                "A has an invalid reference: the name after kv:// is not a valid name \
                 (letters, digits, _ . - in parts joined by /; scopes also :; no part starts with . or -)",
            ),
        ),
        (
            "A=kv://a?version=secret77",
            bad_file(
                "A has an invalid reference: only ?version= and a number, or ?json= and a field, may follow the name",
            ),
        ),
        (
            "A=kv://nothing",
            bad_keys("A <- nothing: no such key (keyvault add nothing)")
                + "       Run `keyvault list` to see all keys with their variables, scopes and status.\n",
        ),
        ("A=kv://a?version=7", bad_keys("A <- a: it has no version 7 (keyvault history a)")),
        ("A=secret77\0", bad_file("A contains a NUL byte, which no variable can carry")),
    ] {
        run(content).fails_with(125, &format!("error: {said}"));
    }
    world.run(&["revoke", "a", "--version", "1"]).ok();
    run("A=kv://a?version=1").fails_with(
        125,
        "
            error: Cannot release the keys:
              A <- a: version 1 is revoked (keyvault history a)
        ",
    );
    world.run(&["edit", "a", "--tag", "project=never"]).ok();
    run("A=kv://a").fails_with(125, "
            error: Cannot release the keys:
              A <- a: not available to project files, because of its tag project=never (keyvault edit a --untag project)
        ");
    world.run(&["project", "add", "a"]).fails_with(
        6,
        "
            error: `a` is not available to project files: it has the tag project=never.
                   Nothing was changed. To make it available: keyvault edit a --untag project
                   For a token, whose grants decide, write the entry by hand.
        ",
    );
    assert!(!world.home().join(".keyvault.toml").exists());
    world
        .run(&["exec", "--env-file", "nowhere.env", "--", "true"])
        .fails_with(125, "error: nowhere.env does not exist.\n");
    assert!(!world.home().join("ran").exists());
}
