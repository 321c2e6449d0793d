//! `export`: it is recorded, it is read back word for word, and what a format cannot carry is refused.

use pretty_assertions::assert_eq;

use crate::harness::World;

#[test]
fn an_export_is_recorded_and_what_a_format_cannot_carry_is_refused() {
    let world = World::new();
    world.file("bytes", b"\xff\xfe");
    world.run(&["add", "a", "--file", "bytes"]).ok();
    let ran = world.run(&["export", "--all", "--format", "json"]).fails_with(6, "
            error: A cannot be written in this format: the value is not UTF-8.
                   Leave out the key, use another `--format`, or get the value with `keyvault show NAME --reveal`.
        ");
    assert_eq!(ran.out, "");
    world.run(&["generate", "b"]).ok();
    world.run(&["export", "--only", "b", "--format", "dotenv"]).ok();
    let log = world.run(&["audit", "log", "--action", "export", "--json"]).ok().out;
    assert!(log.lines().last().unwrap().contains(r#""name":"b""#), "{log}");
    assert!(!log.contains("kv_"));
}

#[test]
fn the_format_of_a_shell_or_of_docker_is_theirs() {
    let world = World::new();
    world.run_with_input(&["add", "db/url"], b"it's $HOME").ok();
    world.run(&["export", "--all", "--format", "shell"]).prints("export DB_URL='it'\\''s $HOME'\n");
    world.run(&["export", "--all", "--shell", "zsh"]).prints("export DB_URL='it'\\''s $HOME'\n");
    world.run(&["export", "--all", "--shell", "fish"]).prints("set -gx DB_URL 'it\\'s $HOME'\n");
    world.run(&["export", "--all", "--shell", "powershell"]).prints("${env:DB_URL} = 'it''s $HOME'\n");
    world.run(&["export", "--all", "--format", "docker"]).prints("DB_URL=it's $HOME\n");
    world.run(&["export", "--all", "--format", "docker", "--shell", "sh"]).fails_with(
        2,
        "
            error: `--shell` is for `--format shell`, not for `--format docker`.
                   Leave out one of them.
        ",
    );
    world.file("two", "one\ntwo");
    world.run(&["add", "lines", "--file", "two"]).ok();
    world.run(&["export", "--all", "--format", "docker"]).fails_with(6, "
            error: LINES cannot be written in this format: its value has a newline, which an env-file cannot carry.
                   Leave out the key, use another `--format`, or get the value with `keyvault show NAME --reveal`.
        ");
    world.run(&["edit", "lines", "--env", "a.b"]).ok();
    world.run(&["export", "--only", "lines", "--format", "shell"]).fails_with(6, "
            error: a.b cannot be written in this format: the format does not allow the name.
                   Leave out the key, use another `--format`, or get the value with `keyvault show NAME --reveal`.
        ");
}
