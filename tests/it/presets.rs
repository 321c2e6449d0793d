//! `KEYVAULT_SCOPE` and `KEYVAULT_PROFILE`: as if `--scope` and `--profile` were typed, where nothing else was chosen.

use pretty_assertions::assert_eq;

use crate::harness::{Ran, World};

/// Keys `a` (scope x), `b` (scope y), and `c`, each with its name as value; no project file.
fn filled() -> World {
    let world = World::new();
    for (name, scope) in [("a", "x"), ("b", "y"), ("c", "z")] {
        world.run_with_input(&["add", name, "--scope", scope], format!("value-{name}")).ok();
    }
    world
}

/// A project whose `TOKEN` is key `a`, under profile `prod` key `b`, all approved.
fn with_project() -> World {
    let world = filled();
    world.file(".keyvault.toml", "[keys]\nTOKEN = \"a\"\n\n[profiles.prod.keys]\nTOKEN = \"b\"\n");
    world.run(&["project", "approve", "--yes"]).ok();
    world
}

fn exec(world: &World, flags: &[&str]) -> Ran {
    let show = "echo ${A-} ${B-} ${C-} ${TOKEN-}; env | grep -E '^KEYVAULT_(SCOPE|PROFILE)' || true";
    world.run(&[&["exec"], flags, &["--", "sh", "-c", show]].concat())
}

#[test]
fn a_scope_in_the_environment_chooses_for_exec_and_export_and_is_not_passed_on() {
    let mut world = filled();
    world.set("KEYVAULT_SCOPE", "x,y");
    exec(&world, &[]).prints("value-a value-b\n");
    world.run(&["export"]).prints("A=value-a\nB=value-b\n");
    world.set("KEYVAULT_SCOPE", "");
    exec(&world, &[]).fails(125, "No keys chosen.");
}

#[test]
fn a_choice_on_the_command_line_leaves_the_variables_alone() {
    let mut world = with_project();
    world.set("KEYVAULT_SCOPE", "x");
    exec(&world, &["--only", "c"]).prints("value-c\n");
    exec(&world, &["--scope", "y"]).prints("value-b\n");
    exec(&world, &["--as", "C=b"]).prints("value-b\n");
    exec(&world, &["--profile", "prod"]).prints("value-b\n");
    world.run(&["export", "--only", "c"]).prints("C=value-c\n");
    world.file(".env", "A=kv://b\n");
    exec(&world, &["--env-file", ".env"]).prints("value-b\n");
    world.set("KEYVAULT_SCOPE", "not a scope");
    exec(&world, &["--only", "c"]).prints("value-c\n");
}

#[test]
fn a_profile_in_the_environment_is_put_on_top_wherever_the_project_file_chooses() {
    let mut world = with_project();
    exec(&world, &[]).prints("value-a\n");
    world.set("KEYVAULT_PROFILE", "prod");
    exec(&world, &[]).prints("value-b\n");
    exec(&world, &["--only", "TOKEN"]).prints("value-b\n");
    exec(&world, &["--scope", "x"]).prints("value-a\n");
    let checked = world.run(&["project", "check", "--json"]).ok().json();
    assert_eq!(checked["profile"], "prod");
    let added = world.run(&["project", "add", "c", "--json"]).ok().json();
    assert_eq!(added["profile"], "prod");
}

#[test]
fn an_invalid_variable_is_named_and_not_repeated() {
    let mut world = with_project();
    world.set("KEYVAULT_SCOPE", "x,,y");
    let ran = exec(&world, &[]);
    assert_eq!(ran.code, 125);
    assert!(ran.err.starts_with("error: The value of KEYVAULT_SCOPE is empty.\n"), "{}", ran.err);
    let ran = world.run(&["export"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("unset KEYVAULT_SCOPE"), "{}", ran.err);
    world.set("KEYVAULT_SCOPE", "x");
    world.set("KEYVAULT_PROFILE", "prod");
    exec(&world, &[]).fails_with(
        125,
        "
            error: KEYVAULT_SCOPE and KEYVAULT_PROFILE are both set, and `--scope` cannot be used with `--profile`.
                   Unset one of them, or choose keys with an option.
        ",
    );
    world.unset("KEYVAULT_SCOPE");
    world.set("KEYVAULT_PROFILE", "sk_live/4eC39HqLyj");
    let ran = exec(&world, &[]);
    assert!(
        ran.code == 125 && ran.err.contains("KEYVAULT_PROFILE") && !ran.err.contains("4eC39"),
        "{}",
        ran.err
    );
    assert_eq!(world.run(&["project", "check"]).code, 2);
}
