//! What somebody found who used it; each test has the name of its fault.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use pretty_assertions::assert_eq;

use crate::file::{drop_side_files, tamper};
use crate::harness::{KEYVAULT, PASSPHRASE, World, finish};
use crate::terminal::Terminal;

#[test]
fn a_backup_of_a_damaged_vault_is_no_success() {
    let world = World::own();
    for name in ["a", "b", "c"] {
        world.run(&["generate", name]).ok();
    }
    world.run(&["unlock"]).ok();
    world.run(&["vault", "backup", "whole"]).ok();
    tamper(&world, "DELETE FROM version_value");
    let ran = world.run(&["vault", "backup", "no-values"]).fails(5, "is damaged");
    assert!(ran.err.contains("Keep the older backups"), "{}", ran.err);
    assert!(world.home().join("no-values").exists());
    world.run(&["lock"]).ok();
    // Without a key the pages are looked at.
    let bytes = std::fs::read(world.home().join("whole")).unwrap();
    let half = bytes.len() / 2;
    std::fs::write(world.vault(), [&bytes[..half], &vec![0xFF; 8192], &bytes[half + 8192..]].concat())
        .unwrap();
    drop_side_files(&world.vault());
    let ran = world.run(&["vault", "backup", "pages"]);
    assert_eq!(ran.code, 5, "{}", ran.err);
}

#[test]
fn a_watched_version_whose_grace_is_over_is_not_called_a_revoked_key() {
    let world = World::new();
    world.run_with_input(&["add", "a"], "one").ok();
    world.run_with_input(&["rotate", "a", "--stdin", "--grace", "3s"], "two").ok();
    let watched = ["exec", "--previous", "a", "--watch", "--", "sleep", "60"];
    let ran = world.run(&watched).fails(125, "version 1 of a is no longer good");
    assert!(ran.err.contains("keyvault history NAME") && !ran.err.contains("revoked"), "{}", ran.err);
}

#[test]
fn a_grace_that_an_expired_key_does_not_get_is_named() {
    let world = World::new();
    world.run(&["generate", "a", "--expires", "1s"]).ok();
    world.run(&["generate", "b"]).ok();
    world.run(&["revoke", "b"]).ok();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    for name in ["a", "b"] {
        let ran = world.run(&["rotate", name, "--grace", "1h", "--expires", "30d"]).ok();
        assert!(ran.err.contains("gets no grace"), "{}", ran.err);
    }
    let ran = world.run(&["rotate", "a", "--grace", "1h"]).ok();
    assert_eq!(ran.err, "");
}

#[test]
fn a_vault_that_may_not_be_read_is_called_so() {
    let world = World::empty();
    let own = |path: &Path| chown(path, Some(65532), Some(65532)).unwrap();
    own(world.path());
    own(&world.home());
    let binary = world.path().join("keyvault");
    std::fs::copy(KEYVAULT, &binary).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = world.command("setpriv");
        command.env("KEYVAULT_PASSPHRASE", PASSPHRASE);
        command.args(["--reuid=65532", "--regid=65532", "--clear-groups"]).arg(&binary).args(arguments);
        finish(&mut command, b"")
    };
    run(&["init", "--no-recovery"]).ok();
    let mode = |mode| std::fs::set_permissions(world.vault(), std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o000);
    for command in [&["list"][..], &["vault", "check"], &["vault", "backup", "b"]] {
        run(command).fails(1, "may not be opened by this user");
    }
    let doctor = run(&["doctor"]);
    assert!(doctor.out.contains("may not be read and written by you"), "{}", doctor.out);
    mode(0o600);
    std::fs::create_dir(world.home().join("closed")).unwrap();
    let ran = run(&["vault", "backup", "closed/b"]).fails(1, "closed may not be opened by this user");
    assert!(!ran.err.contains(".new-"), "{}", ran.err);
}

#[test]
fn a_version_that_cannot_be_rolled_back_is_not_said_to_be() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    let said = world.run(&["revoke", "a", "--version", "1", "--wipe"]).ok().out;
    assert_eq!(said, "a version 1 is revoked and wiped, and no version is current: rotate it\n");
    world.run(&["generate", "b"]).ok();
    world.run(&["rotate", "b"]).ok();
    let said = world.run(&["revoke", "b", "--version", "2"]).ok().out;
    assert!(said.contains("rotate it or roll it back"), "{said}");
}

#[test]
fn what_is_long_goes_on_below_its_text_on_a_narrow_terminal() {
    let world = World::own();
    let note = "a note of so many words that sixty columns are not enough for all of them";
    world.run(&["generate", "a", "--scope", "s", "--note", note]).ok();
    world.run(&["unlock"]).ok();
    let terminal = Terminal::sized(&world, "bash --norc --noprofile", 60);
    terminal.type_line("PS1='READY> '; clear");
    terminal.wait_for("READY>");
    for (command, line) in [
        (
            "show a",
            "note         a note of so many words that sixty columns are\n             not enough for all of them\n",
        ),
        ("--help", "  unlock     Open a session, so that commands need no\n             passphrase\n"),
    ] {
        terminal.run(&format!("keyvault {command}"), "");
        let (shown, _) = terminal.ended();
        assert!(shown.contains(line), "{command}:\n{shown}");
    }
}
