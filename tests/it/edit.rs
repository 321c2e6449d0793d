//! `edit`: it changes what it names, and the value stays.

use pretty_assertions::assert_eq;

use crate::harness::{World, no_key};

#[test]
fn edit_changes_what_it_names_and_the_value_stays() {
    let world = World::new();
    world.run(&["generate", "a", "--scope", "one", "--tag", "team=x", "--note", "first"]).ok();
    let value = world.run(&["show", "a", "--reveal"]).ok().out;
    world
        .run(&[
            "edit",
            "a",
            "--rename",
            "b",
            "--scope",
            "two",
            "--unscope",
            "one",
            "--untag",
            "team",
            "--env",
            "B_KEY",
        ])
        .ok();
    world.run(&["show", "b", "--json"]).prints(r#"
            {"name":"b","variable":"B_KEY","scopes":["two"],"tags":{},"version":1,"status":"active","created":"2040-05-17T08:00:00.000Z","expires":null,"fingerprint":"xxxxxxxxxxxx","note":"first","entropy_bits":256}
        "#);
    assert_eq!(world.run(&["show", "b", "--reveal"]).ok().out, value);
    world.run(&["show", "a"]).fails_with(3, &no_key("a"));
    world.run(&["exec", "--scope", "one", "--", "true"]).fails_with(
        125,
        "
            error: Cannot release the keys:
              scope one: no key has it
                   Run `keyvault list` to see all keys with their variables, scopes and status.
        ",
    );
    world.run(&["vault", "check"]).ok();
}
