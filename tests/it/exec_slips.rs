//! Slips in the arguments of `exec`, each with the remedy that can be pasted.

use pretty_assertions::assert_eq;

use crate::harness::{Ran, World};

fn filled() -> World {
    let world = World::new();
    world.run_with_input(&["add", "stripe/live"], "value-of-it").ok();
    for name in ["db/dev", "db/prod"] {
        world.run_with_input(&["add", name, "--env", "DATABASE_URL"], name).ok();
    }
    world
}

fn only(world: &World, command: &[&str]) -> Ran {
    world.run(&[&["exec", "--only", "stripe/live", "--"], command].concat())
}

#[test]
fn a_name_before_the_command_is_told_its_option() {
    let world = filled();
    for (arguments, example) in [
        (&["stripe/live", "--", "npm", "start"][..], "--only stripe/live -- npm start"),
        (&["--mask", "stripe/live", "--", "./ship"], "--only stripe/live -- ./ship"),
        (&["A=stripe/live", "--", "npm", "start"], "--as A=stripe/live -- npm start"),
        (&["stripe/live", "--", "sh", "-c", "echo $A"], "--only stripe/live -- COMMAND"),
        // Whatever may be a value is not repeated.
        (&["sk_live_4eC39HqLyjWDarjtT1zdp7dc", "--", "true"], "--only NAME -- true"),
        (&["A=sk_live_4eC39HqLyjWDarjtT1zdp7dc", "--", "true"], "--only NAME -- true"),
        (&["two words", "--", "true"], "--only NAME -- true"),
        (
            &["stripe/live", "--", "login", "ghp_16C7e42F292c6912E7710c838347Ae178B4a"],
            "--only stripe/live -- COMMAND",
        ),
    ] {
        world.run(&[&["exec"], arguments].concat()).fails_with(
            125,
            &format!("error: A key is chosen with an option.\n       For example: keyvault exec {example}\n"),
        );
    }
    // Without the dashes it is the command that is not told from a key.
    world.run(&["exec", "stripe/live", "npm"]).fails(125, "Put `--` before the command.");
}

#[test]
fn a_variable_in_the_place_of_a_key_finds_its_key() {
    let world = filled();
    let run = |flags: &[&str]| world.run(&[&["exec"], flags, &["--", "true"]].concat());
    for flags in [
        &["--only", "STRIPE_LIVE"][..],
        &["--as", "A=STRIPE_LIVE"],
        &["--fd", "5=STRIPE_LIVE"],
        &["--previous", "STRIPE_LIVE"],
    ] {
        run(flags).fails_with(
            125,
            "
                error: Cannot release the keys:
                  STRIPE_LIVE: a variable, not a key; its key is stripe/live
            ",
        );
    }
    run(&["--only", "DATABASE_URL"]).fails_with(
        125,
        "
            error: Cannot release the keys:
              DATABASE_URL: a variable, not a key; its keys are db/dev, db/prod
        ",
    );
    run(&["--only", "STRIPE"]).fails(125, "STRIPE: no such key");
    // A key of that very name is the key.
    world.run_with_input(&["add", "STRIPE_LIVE", "--env", "OTHER"], "x").ok();
    run(&["--only", "STRIPE_LIVE"]).ok();
}

#[test]
fn a_bearer_hears_of_variables_that_were_granted_to_it_and_of_no_others() {
    use crate::harness::bearer::{held, token, with_keys};
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    held(&world, &token, &["exec", "--only", "A", "--", "true"]).fails(125, "its key is a");
    let told = held(&world, &token, &["exec", "--only", "C", "--", "true"]);
    assert!(!told.err.contains("its key is") && told.code == 125, "{}", told.err);
}

#[test]
fn a_line_in_quotes_and_a_word_of_the_shell_are_told_how_to_run() {
    let world = filled();
    for (command, hint) in [
        (&["echo hi"][..], "Nothing was released. Leave out the quotes around the command: -- echo hi"),
        (
            &["npm run build"],
            "Nothing was released. Leave out the quotes around the command: -- npm run build",
        ),
        (&["echo $A | wc"], "Nothing was released. It is a line for a shell: -- sh -c 'echo $A | wc'"),
        (&["a && b"], "Nothing was released. It is a line for a shell: -- sh -c 'a && b'"),
        (&["echo 'x y'"], "Nothing was released. Leave out the quotes around the command: -- …"),
        (
            &["cd", "/tmp"],
            "Nothing was released. `cd` is built into the shell, so run a shell: -- sh -c 'cd …'",
        ),
        (
            &["source", "x"],
            "Nothing was released. `source` is built into the shell, so run a shell: -- sh -c 'source …'",
        ),
        (
            &["export"],
            "Nothing was released. `export` is built into the shell, so run a shell: -- sh -c 'export …'",
        ),
        (&["no-such-program"], "Nothing was released."),
    ] {
        let told = only(&world, command).fails(127, "Command not found: ").err;
        assert_eq!(told.lines().nth(1).unwrap().trim(), hint, "{command:?}");
    }
    only(&world, &["A=1 npm start"]).fails(127, "starts with an assignment");
}

#[test]
fn a_variable_that_the_calling_shell_replaced_is_pointed_out() {
    let world = filled();
    for line in ["echo $STRIPE_LIVE", "echo \"$STRIPE_LIVE\"", "/bin/echo $STRIPE_LIVE"] {
        let ran = world.sh(&format!("keyvault exec --only stripe/live -- {line}")).ok();
        assert_eq!(
            (ran.out.as_str(), ran.err.as_str()),
            (
                "\n",
                "`echo` has nothing to print. The calling shell replaces $STRIPE_LIVE before the command starts; \
                 the command's own is in: -- sh -c 'printf %s \"$STRIPE_LIVE\"'\n"
            )
        );
    }
    for line in ["echo hi", "sh -c 'echo $STRIPE_LIVE'", "true"] {
        assert_eq!(world.sh(&format!("keyvault exec --only stripe/live -- {line}")).ok().err, "", "{line}");
    }
}
