//! Which variables a token's bearer gets: those of keys that were granted. What else sets one, a file that nobody approved
//! or an owner that chose an unusual name, needs a word of the bearer.

use pretty_assertions::assert_eq;

use crate::harness::bearer::{held, token, with_keys};
use crate::harness::{KEYVAULT, World, finish};

const FILE: &str = "[keys]\nFIRST = \"a\"\nLEVEL = { key = \"log/level\", default = \"debug\" }\n";
const PRINT: [&str; 4] = ["--", "sh", "-c", "echo $FIRST ${LEVEL-unset}"];

fn exec<'a>(flags: &[&'a str]) -> Vec<&'a str> {
    [&["exec"], flags, &PRINT].concat()
}

#[test]
fn a_default_of_a_file_that_nobody_approved_sets_nothing_with_a_token() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    world.file(".keyvault.toml", FILE);
    held(&world, &token, &exec(&[])).fails_with(125, "
            error: Cannot release the keys:
              LEVEL <- log/level: not granted to token `ci`, and the file's default is not approved
                   Approve the file's defaults with `keyvault project approve`, or use them as they are with `--unapproved-defaults`.
        ");
    held(&world, &token, &["project", "check"]).is(
        6,
        "
            VARIABLE  KEYS       STATUS        ABOUT
            FIRST     a          ready
            LEVEL     log/level  NOT APPROVED
        ",
        "
            error: The project cannot run with this vault:
              LEVEL <- log/level: not granted to token `ci`, and the file's default is not approved
        ",
    );
    assert_eq!(held(&world, &token, &exec(&["--unapproved-defaults"])).ok().out, "value-a debug\n");
    held(&world, &token, &["project", "check", "--unapproved-defaults"]).ok();
}

#[test]
fn an_approved_default_stands_in_with_a_token_until_it_is_another() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    world.file(".keyvault.toml", FILE);
    world.run(&["project", "approve", "--yes"]).ok();
    assert_eq!(held(&world, &token, &exec(&[])).ok().out, "value-a debug\n");
    world.file(".keyvault.toml", FILE.replace("debug", "trace"));
    held(&world, &token, &exec(&[])).fails_with(125, "
            error: Cannot release the keys:
              LEVEL <- log/level: not granted to token `ci`, and the file's default is not approved
                   Approve the file's defaults with `keyvault project approve`, or use them as they are with `--unapproved-defaults`.
        ");
}

#[test]
fn an_optional_variable_with_an_unapproved_default_stays_unset() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    world.file(".keyvault.toml", FILE.replace("default", "optional = true, default"));
    assert_eq!(held(&world, &token, &exec(&[])).ok().out, "value-a unset\n");
    held(&world, &token, &["project", "check"]).ok();
}

#[test]
fn a_default_whose_key_was_granted_is_not_needed_and_not_missed() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    world.file(".keyvault.toml", FILE.replace("log/level", "b"));
    assert_eq!(held(&world, &token, &exec(&[])).ok().out, "value-a value-b\n");
}

#[test]
fn a_bundle_without_a_home_uses_no_default_that_nobody_can_have_approved() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    world.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb"]).ok();
    let mut away = World::empty();
    std::fs::copy(world.home().join("keys.kvb"), away.home().join("keys.kvb")).unwrap();
    away.file(".keyvault.toml", FILE);
    away.unset("HOME");
    let run = |flags: &[&str]| {
        let mut command = away.command(KEYVAULT);
        command
            .env("KEYVAULT_TOKEN", &token)
            .env("KEYVAULT_BUNDLE", "keys.kvb")
            .env("KEYVAULT_READS", "reads");
        finish(command.args(exec(flags)), b"")
    };
    run(&[]).fails_with(125, "
            error: Cannot release the keys:
              LEVEL <- log/level: not granted to token `ci`, and the file's default is not approved
                   Approve the file's defaults with `keyvault project approve`, or use them as they are with `--unapproved-defaults`.
        ");
    assert_eq!(run(&["--unapproved-defaults"]).ok().out, "value-a debug\n");
}

#[test]
fn a_variable_of_a_grant_that_would_take_over_the_bearers_machine_is_refused_unless_the_bearer_names_it() {
    let world = with_keys();
    let (hosts, code) = ("sets hosts, proxies or trust, and holds no key", "makes programs run or load code");
    for (variable, what) in [
        ("HTTPS_PROXY", hosts),
        ("GRADLE_USER_HOME", code),
        ("TWINE_REPOSITORY_URL", hosts),
        ("AWS_ENDPOINT_URL", hosts),
    ] {
        world.run(&["edit", "a", "--env", variable]).ok();
        // Its owner chose it, and gets it.
        let own = world.run(&["exec", "--only", "a", "--", "sh", "-c", &format!("echo ${variable}")]);
        assert_eq!(own.ok().out, "value-a\n");
        let name = format!("t-{}", variable.to_ascii_lowercase());
        let token = token(&world, &[&name, "--key", "a", "--key", "b"]);
        let refused = format!(
            "
            error: Cannot release the keys:
              a: {variable} is a variable that {what}; a token sets it only where you name it (--as {variable}=a)
            "
        );
        held(&world, &token, &["exec", "--", "env"]).fails_with(125, &refused);
        held(&world, &token, &["exec", "--only", "a", "--", "env"]).fails_with(125, &refused);
        held(&world, &token, &["export", "--format", "json"]).fails_with(6, &refused);
        assert_eq!(
            held(&world, &token, &["exec", "--only", "b", "--", "sh", "-c", "echo $B"]).ok().out,
            "value-b\n"
        );
        let named = format!("{variable}=a");
        let script = format!("echo ${variable}");
        assert_eq!(
            held(&world, &token, &["exec", "--as", &named, "--", "sh", "-c", &script]).ok().out,
            "value-a\n"
        );
        let bundle = format!("{name}.kvb");
        world.run(&["bundle", "create", "--token", &name, "-o", &bundle]).ok();
        held(&world, &token, &["exec", "--bundle", &bundle, "--", "env"]).fails_with(125, &refused);
    }
}
