//! A command that keyvault outlives: orphans, grandchildren, credentials, and an end without a process left behind.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use pretty_assertions::assert_eq;
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{KEYVAULT, PATIENCE, Ran, World, poll_within, wait_until};

/// With characters that each encoding writes differently, and lines.
const VALUE: &str = "p/Zq7v+Xk2 \"w\"\\<9>\nsecond-line-Tr\u{e4}\n'x'";

const PLAIN: &str = "Zq7vXk2Lw9TrNb4Hy8Jd3Fs6Gm1Pc5Qe";

/// A world with the keys `a` (plain), `b` (awkward) and `s` (three bytes).
fn filled() -> World {
    let world = World::new();
    for (name, value) in [("a", PLAIN), ("b", VALUE), ("s", "abc")] {
        world.run_with_input(&["add", name, "--exact"], value).ok();
    }
    world
}

fn masked(world: &World, flags: &[&str], command: &[&str]) -> Ran {
    world.run(&[&["exec"], flags, &["--"], command].concat())
}

#[test]
fn case_55_a_grandchild_that_keeps_the_pipe_does_not_hold_us_up_and_stays_masked() {
    let world = filled();
    let script = "(while [ ! -e go ]; do sleep 0.02; done; echo \"late <$A>\") & echo \"early <$A>\"; exit 3";
    let mut command = world.command(KEYVAULT);
    command.args(["exec", "--mask", "--only", "a", "--", "sh", "-c", script]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    // It ends although the pipe is open.
    assert_eq!(child.wait().unwrap().code(), Some(3));
    world.file("go", "");
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "early <[masked]>\nlate <[masked]>\n");
}

/// The command is ended by the signal, and so is what looks after it, although the command's output cannot go out.
#[test]
fn a_signal_ends_a_masked_command_whose_reader_is_stuck() {
    let world = filled();
    for flags in [&["--mask"][..], &["--mask", "--watch"]] {
        for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
            let (reader, writer) = rustix::pipe::pipe().unwrap();
            let mut command = world.command(KEYVAULT);
            command.arg("exec").args(flags).args(["--only", "a", "--", "yes"]);
            let mut child = command.stdout(writer).stderr(Stdio::inherit()).spawn().unwrap();
            drop(command);
            wait_until("a full pipe", || rustix::io::ioctl_fionread(&reader).unwrap() >= 60_000);
            std::thread::sleep(std::time::Duration::from_millis(200));
            kill_process(Pid::from_child(&child), signal).unwrap();
            let ended = poll_within(PATIENCE, || child.try_wait().unwrap());
            let _ = child.kill();
            let ended = ended.unwrap_or_else(|| panic!("{flags:?}: {signal:?} does not end it"));
            assert_eq!(ended.signal(), Some(signal.as_raw()), "{flags:?}");
        }
    }
}

#[test]
fn case_58_no_credential_is_inherited_by_a_command_that_is_looked_after() {
    let mut world = filled();
    world.set("KEYVAULT_ANYTHING", "x");
    let ran = masked(&world, &["--mask", "--only", "a"], &["env"]).ok().out;
    let ours: Vec<_> = ran.lines().filter(|line| line.starts_with("KEYVAULT_")).collect();
    let vault = format!("KEYVAULT_VAULT={}", world.vault().display());
    assert_eq!(ours, ["KEYVAULT_EXEC=1", &vault]);
    assert!(!ran.contains(crate::harness::PASSPHRASE));
}

#[test]
fn killed_it_leaves_no_process_of_its_own_behind() {
    let world = filled();
    let mut command = world.command(KEYVAULT);
    command.args(["exec", "--mask", "--only", "a", "--", "sleep", "1000"]).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let children = |id: u32| -> Vec<u32> {
        let list = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        list.split_whitespace().map(|id| id.parse().unwrap()).collect()
    };
    let name = |id: &u32| std::fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
    let id = child.id();
    wait_until("its start", || children(id).iter().any(|id| name(id) == "sleep\n"));
    let below = children(id);
    kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
    child.wait().unwrap();
    // The command goes on, as nobody can tell it; what was ours is gone.
    wait_until("the end of all that was ours", || below.iter().all(|id| !name(id).starts_with("keyvault")));
    for id in below.iter().filter(|id| name(id) == "sleep\n") {
        kill_process(Pid::from_raw(i32::try_from(*id).unwrap()).unwrap(), Signal::KILL).unwrap();
    }
}
