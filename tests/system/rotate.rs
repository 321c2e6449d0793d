//! `rotate`: where the new value comes from, which keys it takes, and two at once.

use std::process::Stdio;

use pretty_assertions::assert_eq;

use crate::harness::{KEYVAULT, World, wait_until};

#[test]
fn case_21_a_command_that_was_killed_after_its_commit_may_be_given_again() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    world.run(&["vault", "slot", "add", "keyfile", "k"]).ok();
    // Killed when it was about to answer: the change is made, and nobody was told.
    let killed = |arguments: &[&str]| {
        let mut strace = world.command("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=exit_group"]);
        strace.args(["-e", "inject=exit_group:signal=KILL", KEYVAULT]).args(arguments);
        assert_ne!(crate::harness::finish(&mut strace, b"").code, 0);
    };
    for (again, code) in [
        (&["edit", "a", "--expires", "2030-01-01", "--scope", "s"] as &[&str], 0),
        (&["revoke", "a", "--reason", "r"], 0),
        (&["remove", "a", "--yes"], 3),
        (&["generate", "a"], 6),
        (&["vault", "slot", "remove", "3", "--yes"], 3),
        (&["vault", "backup", "b"], 6),
    ] {
        killed(again);
        let ran = world.run(again);
        assert_eq!(ran.code, code, "{again:?}: {}", ran.err);
        world.run(&["vault", "check"]).ok();
    }
}

fn value(world: &World, name: &str) -> String {
    world.run(&["show", name, "--reveal"]).ok().out
}

#[test]
fn a_value_goes_to_the_key_that_it_was_asked_for_or_to_none() {
    let world = World::new();
    for name in ["x", "y"] {
        world.run_with_input(&["add", name], format!("of {name}")).ok();
    }
    let mut waits = world.command(KEYVAULT);
    let mut waits = waits.args(["rotate", "x"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It reads stdin once it has looked at the vault.
    let calls = format!("/proc/{}/syscall", waits.id());
    wait_until("its reading", || {
        std::fs::read_to_string(&calls).is_ok_and(|call| call.starts_with("0 0x0 "))
    });
    world.run(&["edit", "x", "--rename", "z"]).ok();
    world.run(&["edit", "y", "--rename", "x"]).ok();
    std::io::Write::write_all(&mut waits.stdin.take().unwrap(), b"new").unwrap();
    let ended = waits.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(7), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!((value(&world, "x"), value(&world, "z")), ("of y".to_owned(), "of x".to_owned()));
}
