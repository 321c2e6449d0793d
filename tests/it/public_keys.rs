//! Keys whose value is no secret: shown and not masked, and otherwise as any other key.

use pretty_assertions::assert_eq;

use crate::harness::bearer::{held, token};
use crate::harness::{KEYVAULT, World, finish};

/// `region` is public; `secret` is not.
fn filled() -> World {
    let world = World::own();
    world.run_with_input(&["add", "region", "--public", "--scope", "s"], "eu-west-1").ok();
    world.run_with_input(&["add", "secret", "--scope", "s"], "Zq7vXk2Lw9Tr").ok();
    world
}

#[test]
fn list_and_show_print_the_value_of_a_public_key_and_record_it() {
    let world = filled();
    let listed = world.run(&["list"]).ok().out;
    assert!(listed.contains("VALUE") && listed.contains("eu-west-1") && !listed.contains("Zq7v"), "{listed}");
    let shown = world.run(&["show", "region"]).ok().out;
    assert!(shown.contains("public       eu-west-1\n"), "{shown}");
    let shown = world.run(&["show", "secret"]).ok().out;
    assert!(!shown.contains("public") && !shown.contains("Zq7v"), "{shown}");
    let json = world.run(&["show", "region", "--json"]).ok().json();
    assert_eq!((&json["value"], &json["public"]), (&"eu-west-1".into(), &true.into()));
    let json = world.run(&["list", "--json"]).ok().json();
    assert_eq!(json["keys"][0]["value"], "eu-west-1");
    assert_eq!((json["keys"][1].get("value"), &json["keys"][1]["public"]), (None, &false.into()));
    let log = world.run(&["audit", "log"]).ok().out;
    assert_eq!(log.matches("reveal").count(), 4, "{log}");
    // A list without a public key has no column for values, and is not recorded.
    world.run(&["edit", "region", "--no-public"]).ok();
    assert!(!world.run(&["list"]).ok().out.contains("VALUE"));
    assert_eq!(world.run(&["audit", "log"]).ok().out.matches("reveal").count(), 4);
    // Sealed like any other.
    assert!(world.every_file().iter().all(|(_, bytes)| !bytes.windows(9).any(|part| part == b"eu-west-1")));
}

#[test]
fn a_value_that_would_be_refused_is_not_shown() {
    let world = filled();
    for spoil in
        [&["disable", "region"][..], &["edit", "region", "--expires", "2020-01-01"], &["revoke", "region"]]
    {
        world.run(&["enable", "region"]);
        world.run(spoil).ok();
        for look in [&["list"][..], &["show", "region"]] {
            let ran = world.run(look).ok();
            assert!(!ran.out.contains("eu-west-1"), "{spoil:?}: {}", ran.out);
        }
    }
}

#[test]
fn only_an_edit_that_is_confirmed_makes_a_secret_public() {
    let world = filled();
    world.run(&["edit", "secret", "--public"]).fails_with(
        2,
        "
            error: A public value is shown in output and logs, and there is no terminal to prompt on.
                   Use `--yes` to confirm.
        ",
    );
    assert!(!world.run(&["show", "secret"]).ok().out.contains("Zq7v"));
    // A new value or name leaves that as it is.
    world.file("more.env", "SECRET=other-value-1\nREGION=eu-west-2\n");
    world.run_with_input(&["rotate", "secret", "--stdin"], "Zq7vXk2Lw9Tr2").ok();
    world.run_with_input(&["rotate", "region", "--stdin"], "eu-west-9").ok();
    world.run(&["edit", "secret", "--rename", "secret2", "--note", "x"]).ok();
    assert!(!world.run(&["show", "secret2"]).ok().out.contains("Zq7v"));
    assert!(world.run(&["show", "region"]).ok().out.contains("eu-west-9"));
    world.run(&["edit", "secret2", "--public", "--yes"]).ok();
    assert!(world.run(&["show", "secret2"]).ok().out.contains("Zq7vXk2Lw9Tr2"));
    world.run(&["edit", "secret2", "--no-public"]).ok();
    assert!(!world.run(&["show", "secret2"]).ok().out.contains("Zq7v"));
    world.run(&["edit", "secret2", "--public", "--no-public"]).fails(2, "cannot be used with");
    let log = world.run(&["audit", "log"]).ok().out;
    assert!(log.contains("made public") && log.contains("made secret"), "{log}");
}

#[test]
fn a_generated_key_can_be_public_and_its_value_is_not_masked() {
    let world = filled();
    let value = world.run(&["generate", "id", "--recipe", "uuid", "--public", "--print"]).ok().out;
    assert!(world.run(&["show", "id"]).ok().out.contains(value.trim()));
    let ran = world.run(&[
        "exec",
        "--mask",
        "--only",
        "id",
        "--only",
        "secret",
        "--",
        "sh",
        "-c",
        "echo $ID $SECRET",
    ]);
    assert_eq!(ran.ok().out, format!("{} [masked]\n", value.trim()));
}

#[test]
fn a_bearer_gets_it_by_grant_and_does_not_mask_it_either() {
    let world = filled();
    world.run_with_input(&["add", "other", "--public"], "not-granted").ok();
    let token = token(&world, &["ci", "--scope", "s"]);
    let show = ["exec", "--mask", "--", "sh", "-c", "echo $REGION $SECRET ${OTHER-none}"];
    held(&world, &token, &show).is(0, "eu-west-1 [masked] none\n", "warning: Not masked: region (public).\n");
    world.run(&["edit", "region", "--no-public"]).ok();
    held(&world, &token, &show).is(0, "[masked] [masked] none\n", "");
    world.run(&["edit", "region", "--public", "--yes"]).ok();
    world.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb"]).ok();
    let mut command = world.command(KEYVAULT);
    command.env("KEYVAULT_TOKEN", &token).env("KEYVAULT_BUNDLE", "keys.kvb").args(show);
    assert_eq!(finish(&mut command, b"").ok().out, "eu-west-1 [masked] none\n");
}

#[test]
fn a_composed_value_is_public_only_if_all_of_it_is() {
    let world = filled();
    world.run_with_input(&["add", "zone", "--public"], "zone-b-of-it").ok();
    let folder = crate::harness::project_file::approved(
        &world,
        "[keys]\nPLACE = { template = \"{region}/{zone}\" }\nURL = { template = \"https://{region}.x/{secret}\" }\n",
    );
    let ran = crate::harness::project_file::run_in(
        &world,
        &folder,
        &["exec", "--mask", "--", "sh", "-c", "echo $PLACE; echo $URL"],
    );
    assert_eq!(ran.ok().out, "eu-west-1/zone-b-of-it\n[masked]\n");
}
