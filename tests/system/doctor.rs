//! `doctor`: what it finds, what it says mends it, that this does mend it, and that looking changes nothing.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use pretty_assertions::assert_eq;

use crate::harness::desktop::Bus;
use crate::harness::terminal::Terminal;
use crate::harness::{PASSPHRASE, World};

/// The checks that came out as `state`, with what they say.
fn reports(world: &World, state: &str) -> Vec<(String, String, String)> {
    let json = world.run(&["doctor", "--json"]).json();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let checks = json["checks"].as_array().unwrap().iter();
    let found = checks.filter(|check| check["state"] == state);
    found.map(|check| (text(&check["check"]), text(&check["what"]), text(&check["remedy"]))).collect()
}

/// The one finding that there is.
#[track_caller]
fn finding(world: &World) -> (String, String, String) {
    let found = reports(world, "finding");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(world.run(&["doctor"]).code, 1);
    found[0].clone()
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn on_a_terminal_a_report_is_broken_between_words_and_goes_on_below_its_text() {
    let world = World::own();
    let terminal = Terminal::sized(&world, "sh", 60);
    terminal.type_line("PS1='READY> '; clear; keyvault doctor");
    terminal.wait_for("No problems found.");
    let screen = terminal.screen();
    let expected =
        "files          ok     no one else can read or write the\n                      vault's files\n";
    assert!(screen.contains(expected), "{screen}");
}

#[test]
fn modes_and_owners_are_found_and_the_remedy_mends_them() {
    let world = World::own();
    let mend = |world: &World| {
        let (check, _, remedy) = finding(world);
        assert_eq!(check, "files");
        world.sh(&remedy).ok();
        assert_eq!(reports(world, "finding"), []);
    };
    set_mode(&world.vault(), 0o640);
    mend(&world);
    set_mode(&world.pins(), 0o775);
    mend(&world);
    let mut named = World::own();
    named.file("pass word", PASSPHRASE);
    set_mode(&named.home().join("pass word"), 0o644);
    named.set("KEYVAULT_PASSPHRASE_FILE", "pass word");
    mend(&named);
    named.set("KEYVAULT_KEY_FILE", "nowhere");
    let found = reports(&named, "finding");
    assert!(
        found.iter().any(|(_, what, _)| what == "nowhere does not exist, but KEYVAULT_KEY_FILE names it"),
        "{found:?}"
    );
    chown(world.vault(), Some(65534), None).expect("this test needs root");
    let found = reports(&world, "finding");
    assert!(found.iter().any(|(_, what, _)| what.contains("belongs to nobody and not to you")), "{found:?}");
}

#[test]
fn a_keyring_that_does_not_open_its_slot_is_a_finding() {
    let mut world = World::own();
    let mut bus = Bus::with_keyring(&mut world);
    world.run(&["vault", "slot", "add", "keyring"]).ok();
    assert!(
        reports(&world, "ok").iter().any(|(check, what, _)| check == "keyring" && what == "opens slot 3")
    );
    bus.stop_keyring();
    let (check, what, _) = finding(&world);
    assert_eq!(check, "keyring");
    assert!(what.ends_with("no keyring is running on the session bus."), "{what}");
    // The user who turned it off knows.
    world.set("KEYVAULT_KEYRING", "off");
    let skipped = reports(&world, "skipped");
    let what = "the vault has a keyring slot, but the keyring is not asked: KEYVAULT_KEYRING=off.";
    assert!(skipped.iter().any(|(check, said, _)| check == "keyring" && said == what), "{skipped:?}");
    world.run(&["doctor"]).ok();
}
