//! `exec` inside of a command that `exec` started: the vault is that of the outer one, and nothing else of ours goes in.

use std::path::PathBuf;

use pretty_assertions::assert_eq;

use crate::harness::bearer::{held, token, with_keys};
use crate::harness::{KEYVAULT, PASSPHRASE, Ran, World, create_vault, finish};

/// A world whose default vault has the key `a` with the value `default`, and another vault with one of the same name.
fn with_two_vaults() -> (World, PathBuf) {
    let world = World::new();
    world.run_with_input(&["add", "a"], "default").ok();
    let folder = world.home().join("team");
    std::fs::create_dir(&folder).unwrap();
    let other = folder.join("keys.db");
    create_vault(&other, &world.pins(), &world.clock());
    world.run_with_input(&["--vault", "team/keys.db", "add", "a"], "of the team").ok();
    (world, other)
}

/// A script that takes `a` by a keyvault of its own, which has to be given credential and clock: neither is inherited.
fn inner(world: &World, arguments: &str) -> String {
    let clock = world.variables().find(|(name, _)| name == "KEYVAULT_TEST_CLOCK").unwrap().1;
    format!(
        "cd /; export KEYVAULT_PASSPHRASE='{PASSPHRASE}' KEYVAULT_TEST_CLOCK='{clock}'; \
         '{KEYVAULT}' {arguments} exec --as INNER=a -- sh -c 'echo \"$INNER, $KEYVAULT_EXEC, $KEYVAULT_VAULT\"'"
    )
}

fn outer(world: &World, before: &[&str], flags: &[&str], script: &str) -> Ran {
    let arguments = [before, &["exec", "--only", "a"], flags, &["--", "sh", "-c", script]].concat();
    world.run(&arguments).ok()
}

#[test]
fn an_inner_exec_takes_its_keys_from_the_outer_ones_vault() {
    let (mut world, other) = with_two_vaults();
    let script = inner(&world, "");
    let of_team = format!("of the team, 1, {}\n", other.display());
    for flags in [&[][..], &["--clean-env"], &["--mask"], &["--watch"], &["--file", "F=a"]] {
        let ran = outer(&world, &["--vault", "team/keys.db"], flags, &script);
        // A mask hides the value, and of the path nothing.
        let expected =
            if flags == ["--mask"] { of_team.replace("of the team", "[masked]") } else { of_team.clone() };
        assert_eq!(ran.out, expected, "{flags:?}");
    }
    for named in ["team/keys.db", "./team/../team/keys.db", other.to_str().unwrap()] {
        world.set("KEYVAULT_VAULT", named);
        assert!(outer(&world, &[], &[], &script).out.starts_with("of the team, 1, /"), "{named}");
    }
    // The option wins over the variable, on either level.
    let default = world.vault();
    let ran = outer(&world, &["--vault", default.to_str().unwrap()], &[], &script);
    assert_eq!(ran.out, format!("default, 1, {}\n", default.display()));
    let ran = outer(&world, &[], &[], &inner(&world, &format!("--vault '{}'", default.display())));
    assert_eq!(ran.out, format!("default, 1, {}\n", default.display()));
}

#[test]
fn the_default_vault_is_found_where_the_command_has_another_home() {
    let (mut world, _) = with_two_vaults();
    let moved = format!(
        "HOME=/nowhere; XDG_DATA_HOME=/nowhere; export HOME XDG_DATA_HOME XDG_STATE_HOME='{}/.local/state'; {}",
        world.home().display(),
        inner(&world, "")
    );
    assert_eq!(outer(&world, &[], &[], &moved).out, format!("default, 1, {}\n", world.vault().display()));
    // A data folder that --clean-env takes away.
    let data = world.home().join(".local/share");
    world.set("XDG_DATA_HOME", data.to_str().unwrap());
    world.set("XDG_STATE_HOME", world.home().join(".local/state").to_str().unwrap());
    let elsewhere = format!(
        "HOME=/nowhere; export HOME XDG_STATE_HOME='{}/.local/state'; {}",
        world.home().display(),
        inner(&world, "")
    );
    assert!(outer(&world, &[], &["--clean-env"], &elsewhere).out.starts_with("default, 1, /"));
}

#[test]
fn no_credential_and_no_setting_of_the_outer_exec_reaches_the_inner_one() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    let show = ["exec", "--", "sh", "-c", "env | grep ^KEYVAULT_ | sort"];
    let vault = format!("KEYVAULT_EXEC=1\nKEYVAULT_VAULT={}\n", world.vault().display());
    assert_eq!(held(&world, &token, &show).ok().out, vault);
    // A bundle needs no vault, so one that was not named is not made up.
    world.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb"]).ok();
    let mut command = world.command(KEYVAULT);
    command.env("KEYVAULT_TOKEN", &token).env("KEYVAULT_BUNDLE", "keys.kvb").args(show);
    assert_eq!(finish(&mut command, b"").ok().out, "KEYVAULT_EXEC=1\n");
    let mut command = world.command(KEYVAULT);
    command
        .env("KEYVAULT_TOKEN", &token)
        .args(["--vault", "a/b.db", "exec", "--bundle", "keys.kvb"])
        .args(&show[1..]);
    let named = format!("KEYVAULT_EXEC=1\nKEYVAULT_VAULT={}/a/b.db\n", world.home().display());
    assert_eq!(finish(&mut command, b"").ok().out, named);
}

#[test]
fn a_file_of_variables_for_docker_names_no_vault_of_this_machine() {
    let world = World::new();
    world.run_with_input(&["add", "a"], "x").ok();
    let ran = world.run(&["exec", "--only", "a", "--docker-env", "FILE", "--", "sh", "-c", "cat $FILE"]).ok();
    assert_eq!(ran.out, "A=x\n");
}

#[test]
fn a_variable_of_ours_cannot_be_preserved_and_saying_so_is_an_error() {
    let world = World::new();
    world.run_with_input(&["add", "a"], "x").ok();
    let preserve =
        |name: &str| world.run(&["exec", "--only", "a", "--clean-env", "--preserve-env", name, "--", "true"]);
    for name in ["KEYVAULT_PASSPHRASE", "KEYVAULT_TOKEN", "KEYVAULT_VAULT", "KEYVAULT_ANYTHING"] {
        preserve(name).fails_with(
            125,
            "
                error: The value of `--preserve-env` is a variable that keyvault itself uses, which no command inherits.
                       See its usage with `keyvault exec --help`.
            ",
        );
    }
    for name in ["TERM=dumb", "=", ""] {
        preserve(name).fails(125, "`--preserve-env`");
    }
    preserve("MY_KEYVAULT_X").ok();
}
