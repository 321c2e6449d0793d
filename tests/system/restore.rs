//! `vault restore`: what it puts in the vault's place, what it says first, and what is mended where it cannot.

use std::process::Stdio;

use pretty_assertions::assert_eq;

use crate::harness::{KEYVAULT, World, wait_until};

#[test]
fn a_restore_does_not_undo_what_was_changed_after_the_question() {
    let world = World::own();
    world.run(&["generate", "a"]).ok();
    world.run(&["vault", "backup", "bb"]).ok();
    let mut restore = world.command("strace");
    // Held up right before the copy is put in place: the changes of others happen in between.
    restore.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"]);
    restore.args(["-e", "inject=fsync,fdatasync:delay_enter=3000000:when=1", KEYVAULT]);
    restore.args(["vault", "restore", "bb", "--yes"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let restore = restore.spawn().expect("strace is needed for this test");
    let drafted = || {
        let names = std::fs::read_dir(world.vault().parent().unwrap()).unwrap();
        names.map(Result::unwrap).any(|entry| entry.file_name().to_string_lossy().contains(".new-"))
    };
    wait_until("the copy", drafted);
    world.run(&["generate", "n1"]).ok();
    world.run(&["generate", "n2"]).ok();
    let restored = restore.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&restored.stderr).into_owned();
    assert_eq!(restored.status.code(), Some(7), "{said}");
    assert!(said.contains("after this one looked at it"), "{said}");
    for name in ["a", "n1", "n2"] {
        world.run(&["show", name]).ok();
    }
    world.run(&["vault", "check"]).ok();
    world.run(&["vault", "restore", "bb", "--yes"]).ok();
    world.run(&["vault", "check"]).ok();
}
