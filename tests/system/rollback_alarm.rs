//! Case 4 of the fault catalog: a vault that was put back or went on elsewhere raises an alarm, and what is right
//! raises none. The pin, its number, and other machines that see the same file.

use std::os::unix::fs::FileExt;
use std::process::Stdio;

use pretty_assertions::assert_eq;

use crate::harness::vault_file::filled;
use crate::harness::{KEYVAULT, World, finish, wait_until};

#[test]
fn case_25_killed_between_commit_and_pin_the_next_change_advances_the_pin() {
    let world = filled();
    let pin = || -> u64 {
        let files = world.every_file();
        let pin = files.iter().find(|(path, _)| path.extension().is_some_and(|it| it == "json")).unwrap();
        serde_json::from_slice::<serde_json::Value>(&pin.1).unwrap()["change"].as_u64().unwrap()
    };
    let change = || world.run(&["vault", "check", "--json"]).ok().json()["change"].as_u64().unwrap();
    let before = pin();
    let mut command = world.command("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=rename", "-e", "inject=rename:signal=KILL"]);
    let ran = finish(command.args([KEYVAULT, "generate", "new"]), b"");
    assert_eq!(ran.code, 137, "{}", ran.err);
    assert_eq!((pin(), change()), (before, before + 1), "it died elsewhere");
    world.run(&["show", "new", "--reveal"]).ok();
    // Case 21 as well: doing it again is harmless.
    world.run(&["generate", "new"]).fails(6, "already exists");
    world.run(&["edit", "new", "--note", "x"]).ok();
    assert_eq!(pin(), before + 2);
    assert_eq!(change(), before + 2);
}

#[test]
fn a_change_made_while_another_command_waits_is_not_rolled_back_in_silence() {
    let world = World::own();
    world.run_with_input(&["add", "k"], "one").ok();
    let before = std::fs::read(world.vault()).unwrap();
    let mut waiting = world.command(KEYVAULT);
    waiting
        .args(["rotate", "k", "--stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = waiting.spawn().unwrap();
    let opened = || {
        let folder = format!("/proc/{}/fd", child.id());
        let links =
            std::fs::read_dir(folder).unwrap().filter_map(|link| std::fs::read_link(link.ok()?.path()).ok());
        links.into_iter().any(|path| path == world.vault())
    };
    wait_until("the vault's opening", opened);
    world.run_with_input(&["add", "x"], "acknowledged").ok();
    // In place, so that it is the same file.
    let file = std::fs::OpenOptions::new().write(true).open(world.vault()).unwrap();
    file.write_all_at(&before, 0).unwrap();
    file.set_len(before.len() as u64).unwrap();
    drop(file);
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"two").unwrap();
    let ran = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(5), "{said}");
    assert!(said.contains("was rolled back"), "{said}");
}
