//! Mappings are `VAR=NAME`, or `N=NAME`: what the command sees, and the key. An error about swapped sides shows the right order.

use pretty_assertions::assert_eq;

use crate::harness::World;

fn world() -> World {
    let world = World::new();
    for name in ["db/prod", "stripe", "token"] {
        world.run_with_input(&["add", name], format!("value of {name}")).ok();
    }
    world
}

#[test]
fn every_option_that_maps_takes_what_the_command_sees_and_then_the_key() {
    let world = world();
    let run = |options: &[&str], script: &str| {
        world.run(&[&["exec"], options, &["--", "sh", "-c", script]].concat()).ok().out
    };
    assert_eq!(run(&["--as", "DATABASE_URL=db/prod"], "printf %s \"$DATABASE_URL\""), "value of db/prod");
    assert_eq!(run(&["--file", "DATABASE_FILE=db/prod"], "cat \"$DATABASE_FILE\""), "value of db/prod");
    assert_eq!(run(&["--fd", "3=db/prod"], "cat <&3"), "value of db/prod");
    assert_eq!(
        world.run(&["export", "--as", "DATABASE_URL=db/prod", "--json"]).ok().json(),
        serde_json::json!({ "DATABASE_URL": "value of db/prod" })
    );
    world.run(&["project", "add", "--as", "DATABASE_URL=db/prod"]).ok();
    let file = std::fs::read_to_string(world.home().join(".keyvault.toml")).unwrap();
    assert!(file.contains("DATABASE_URL = \"db/prod\""), "{file}");
}

/// Only one order can be meant, so no vault is needed to tell.
#[test]
fn swapped_sides_that_cannot_be_meant_are_shown_in_the_right_order() {
    let mut world = world();
    world.unset("KEYVAULT_PASSPHRASE");
    for (arguments, code, corrected) in [
        (
            &["exec", "--as", "db/prod=DATABASE_URL", "--", "true"] as &[&str],
            125,
            "--as DATABASE_URL=db/prod",
        ),
        (&["exec", "--file", "db/prod=DATABASE_URL", "--", "true"], 125, "--file DATABASE_URL=db/prod"),
        (&["exec", "--fd", "db/prod=3", "--", "true"], 125, "--fd 3=db/prod"),
        (&["export", "--as=db/prod=DATABASE_URL"], 2, "--as DATABASE_URL=db/prod"),
        (&["project", "add", "--as", "db/prod=DATABASE_URL"], 2, "--as DATABASE_URL=db/prod"),
    ] {
        let ran = world.run(arguments);
        let form = if corrected.starts_with("--fd") { "N=NAME" } else { "VAR=NAME" };
        let option = corrected.split(' ').next().unwrap();
        let said = format!(
            "error: `{option}` takes {form}, and the two sides look swapped.\n       Swap them: {corrected}\n"
        );
        assert_eq!((ran.code, ran.err), (code, said), "{arguments:?}");
    }
    // A text that may be a secret is not repeated.
    world.run(&["exec", "--as", "4eC39HqLyjWDarjtT1zdp7dc=STRIPE_KEY", "--", "true"]).fails_with(125, "
            error: The value of `--as` is not a valid variable (letters, digits, _ . -; the first is a letter or _).
                   See its usage with `keyvault exec --help`.
        ");
}

/// `stripe` and `STRIPE` could each be either; the vault tells which one is a key.
#[test]
fn swapped_sides_that_could_be_meant_are_recognized_by_the_keys_that_there_are() {
    let world = world();
    for (option, corrected) in [("--as", "--as STRIPE=stripe"), ("--file", "--file STRIPE=stripe")] {
        let ran = world.run(&["exec", option, "stripe=STRIPE", "--", "true"]);
        ran.fails_with(
            125,
            &format!(
                "
                error: Cannot release the keys:
                  STRIPE: no such key, but stripe is one; swap the sides: {corrected}
                "
            ),
        );
    }
    // Both are keys, or neither is: it is taken as it stands.
    world.run(&["exec", "--as", "stripe=token", "--", "true"]).ok();
    world.run(&["exec", "--as", "no_key=NO_KEY", "--", "true"]).fails_with(
        125,
        "
            error: Cannot release the keys:
              NO_KEY: no such key
                   Run `keyvault list` to see all keys with their variables, scopes and status.
        ",
    );
}

/// The former order: the name, and then the variable.
#[test]
fn a_mapping_without_its_other_side_gets_an_example() {
    let world = world();
    for (arguments, code) in [
        (&["exec", "--as", "stripe", "--", "true"] as &[&str], 125),
        (&["project", "add", "stripe", "--as", "STRIPE_KEY"], 2),
    ] {
        world.run(arguments).fails_with(
            code,
            "
            error: `--as` takes VAR=NAME.
                   For example: --as DATABASE_URL=db/prod
            ",
        );
    }
}
