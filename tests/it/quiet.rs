//! `--quiet`: neither notes nor confirmations; data, warnings, and errors stay.

use pretty_assertions::assert_eq;

use crate::harness::{KEYVAULT, World, no_key};

#[test]
fn changes_say_nothing() {
    let world = World::new();
    world.run_with_input(&["add", "a", "--quiet"], "secret-of-a\n").is(0, "", "");
    for line in [
        &["generate", "b", "-q", "--scope", "s"][..],
        &["-q", "edit", "b", "--note", "for the shop"],
        &["rotate", "b", "-q"],
        &["rollback", "b", "-q"],
        &["disable", "b", "-q"],
        &["enable", "b", "-q"],
        &["vault", "backup", "copy.db", "-q"],
        &["token", "create", "ci", "--scope", "s", "-q"],
        &["revoke", "b", "-q"],
        &["remove", "b", "--yes", "-q"],
        &["list", "nothing/", "-q"],
    ] {
        let ran = world.run(line).ok();
        // A token is shown only once, so it is data.
        let out = if line[0] == "token" { "" } else { ran.out.as_str() };
        assert_eq!((out, ran.err.as_str()), ("", ""), "{line:?}");
    }
}

#[test]
fn data_warnings_and_errors_stay() {
    let world = World::new();
    world.run_with_input(&["add", "a", "--scope", "s"], "secret-of-a").ok();
    world.run(&["generate", "r", "--scope", "s"]).ok();
    world.run(&["revoke", "r"]).ok();
    world.run(&["show", "a", "--reveal", "-q"]).prints("secret-of-a");
    assert_eq!(world.run(&["list", "-q"]).ok().out, world.run(&["list"]).ok().out);
    let json = world.run(&["generate", "j", "--json", "-q"]).ok().json();
    assert_eq!(json["keys"][0]["name"], "j");
    world.run(&["exec", "-q", "--scope", "s", "--", "sh", "-c", "echo $A"]).is(
        0,
        "secret-of-a\n",
        "warning: Left out, because it is revoked: r.\n",
    );
    world.run(&["show", "nobody", "-q"]).fails_with(3, &no_key("nobody"));
}

#[test]
fn an_option_behind_the_dashes_is_the_commands() {
    let world = World::new();
    world.run_with_input(&["add", "a"], "secret-of-a").ok();
    let ran = world.sh(&format!("'{KEYVAULT}' exec --only a -- echo -q --quiet")).ok();
    assert_eq!(ran.out, "-q --quiet\n");
}
