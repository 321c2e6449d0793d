//! Masking: what a command writes loses the values in every form, and nothing else of it is changed.

use std::process::Stdio;
use std::time::{Duration, Instant};

use pretty_assertions::assert_eq;

use crate::harness::{KEYVAULT, Ran, World};

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

/// A world with the key `a`, and a runtime folder of its own, so that other tests' runs do not sweep it.
fn with_runtime() -> (World, tempfile::TempDir) {
    let runtime = tempfile::Builder::new().prefix("keyvault-test-").tempdir_in("/dev/shm").unwrap();
    let mut world = World::new();
    world.set("XDG_RUNTIME_DIR", runtime.path().to_str().unwrap());
    world.run_with_input(&["add", "a"], PLAIN).ok();
    (world, runtime)
}

/// `echo "$KEY" | base64` prints the newline in the place of the padding, in lines of 76.
#[test]
fn case_51_base64_of_a_long_value_and_a_newline_shows_no_end_of_it() {
    let world = World::own();
    // None is the beginning of another.
    let letter =
        |len: usize, at: usize| b"abcdefghijklmnopqrstuvwxyz"[(len * len + at * at * 7 + at * len) % 26];
    for len in 55..=120_usize {
        let value: Vec<u8> = (0..len).map(|at| letter(len, at)).collect();
        let name = format!("k{len}");
        world.run_with_input(&["add", &name], &value).ok();
    }
    let all: Vec<_> = (55..=120).map(|len| format!("k{len}")).collect();
    let mut flags = vec!["--mask"];
    flags.extend(all.iter().flat_map(|name| ["--only", name.as_str()]));
    let ran =
        masked(&world, &flags, &["sh", "-c", "for n in $(seq 55 120); do eval echo \\$K$n | base64; done"]);
    for line in ran.ok().out.lines() {
        // Only the characters that the newline and the value's last bytes make together.
        assert!(line.replace("[masked]", "").len() <= 4, "{line}");
    }
}

#[test]
fn case_52_values_under_four_bytes_are_not_masked_and_named_in_one_line() {
    let world = filled();
    let ran = masked(&world, &["--mask", "--only", "a", "--only", "s"], &["sh", "-c", "echo $A $S"]).ok();
    assert_eq!(
        (ran.out.as_str(), ran.err.as_str()),
        ("[masked] abc\n", "warning: Not masked: s (short or common values).\n")
    );
}

#[test]
fn a_mask_changes_nothing_where_there_is_nothing_to_mask() {
    let world = filled();
    let bytes: Vec<u8> = (0..=255_u8).cycle().take(1_000_000).collect();
    let ran = world.run_with_input(&["exec", "--mask", "--only", "a", "--", "cat"], &bytes).ok();
    assert!(ran.bytes == bytes);
}

// ── When ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn under_ci_pipes_are_masked_and_files_and_no_mask_are_not() {
    let mut world = filled();
    let show = ["sh", "-c", "echo $A; echo $A >&2"];
    let both = |ran: Ran| (ran.out, ran.err);
    let (plain, hidden) = (format!("{PLAIN}\n"), "[masked]\n".to_owned());
    let only = ["--only", "a"];
    assert_eq!(both(masked(&world, &only, &show).ok()), (plain.clone(), plain.clone()));
    for (ci, masks) in
        [("true", true), ("1", true), ("woodpecker", true), ("false", false), ("0", false), ("", false)]
    {
        world.set("CI", ci);
        let expected = if masks { &hidden } else { &plain };
        let (out, err) = both(masked(&world, &only, &show).ok());
        // Where standard output leads is not known here, so what was masked is counted.
        let told = "warning: Standard output was masked 1 time, because CI is set. If it is data, run the command with `--no-mask`.\n";
        let told = if masks { told } else { "" };
        assert_eq!((out, err), (expected.clone(), format!("{expected}{told}")), "{ci:?}");
    }
    world.set("CI", "true");
    let with = |flag| both(masked(&world, &[flag, "--only", "a"], &show).ok());
    assert_eq!(with("--no-mask"), (plain.clone(), plain.clone()));
    assert_eq!(with("--mask"), (hidden.clone(), hidden.clone()));
    let line = "keyvault exec --only a -- sh -c 'echo $A; echo $A >&2' > file; cat file";
    assert_eq!(both(world.sh(line).ok()), (plain, hidden.clone()));
    let line = "keyvault exec --mask --only a -- sh -c 'echo $A; echo $A >&2' > file 2>&1; cat file";
    assert_eq!(world.sh(line).ok().out, hidden.repeat(2));
}

#[test]
fn without_a_mask_the_command_takes_our_place_and_with_one_it_does_not() {
    let world = filled();
    let mut command = world.command(KEYVAULT);
    command.args(["exec", "--only", "a", "--", "sh", "-c", "echo $$"]).stdout(Stdio::piped());
    let child = command.spawn().unwrap();
    let id = child.id().to_string();
    assert_eq!(String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).trim(), id);
    let ran = masked(&world, &["--mask", "--only", "a"], &["sh", "-c", "cat /proc/$PPID/comm"]).ok();
    assert_eq!(ran.out, "keyvault\n");
}

#[test]
fn output_that_cannot_be_passed_on_is_a_failure_of_ours() {
    let world = filled();
    let line = "keyvault exec --mask --only a -- sh -c 'echo something; exit 0' > /dev/full";
    world.sh(line).fails_with(
        125,
        "
            error: The output of sh could not be passed on: no space left on device.
                   Its output was then closed. Anything it did before that is not undone.
        ",
    );
}

/// `tail -f` looks whether anybody still reads, and we were the reader.
#[test]
fn a_command_that_writes_nothing_learns_that_its_reader_is_gone() {
    let (world, _runtime) = with_runtime();
    let log = world.file("log", "one\n");
    for flags in ["", "--mask"] {
        let begun = Instant::now();
        let line = format!(
            "{{ timeout 30 '{KEYVAULT}' exec --only a {flags} -- tail -n 1 -f '{}'; }} | head -n 1",
            log.display()
        );
        assert_eq!(world.sh(&line).ok().out, "one\n");
        assert!(begun.elapsed() < Duration::from_secs(15), "{flags}");
    }
}
