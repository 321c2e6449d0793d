//! Standard streams: closed, full, broken.

use std::io::{Read, Write};
use std::process::Stdio;

use pretty_assertions::assert_eq;

use crate::harness::{KEYVAULT, World, no_key, wait_until};

#[test]
fn case_31_a_closed_stdout_is_an_error_before_any_change() {
    let world = World::new();
    world
        .sh("keyvault generate a --print >&-")
        .fails_with(1, "error: Standard output is closed. Nothing was done.\n");
    world
        .sh("keyvault generate a >&-")
        .fails_with(1, "error: Standard output is closed. Nothing was done.\n");
    world.run(&["show", "a"]).fails_with(3, &no_key("a"));
    world.run(&["generate", "a"]).ok();
    world.sh("keyvault rotate a >&-").fails_with(1, "error: Standard output is closed. Nothing was done.\n");
    assert_eq!(world.run(&["show", "a", "--json"]).ok().json()["version"], 1);
}

#[test]
fn what_writes_nothing_to_stdout_does_not_need_it() {
    let world = World::own();
    world.run(&["generate", "a"]).ok();
    let ran = world.sh("keyvault exec --only a -- sh -c 'test -n \"$A\" && test ! -e /proc/self/fd/1' >&-");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    world.sh("keyvault unlock >&-").fails_with(1, "error: Standard output is closed. Nothing was done.\n");
}

#[test]
fn case_31_closed_stdin_and_stderr_are_no_ones_files() {
    let world = World::new();
    world.sh("keyvault generate a <&- 2>&-").ok();
    world.sh("keyvault vault check <&- 2>&-").ok();
    // With nothing on 0 to 2 the vault's file must not be opened there and written to by a message.
    let _ = world.sh("keyvault show missing <&- >&- 2>&-");
    world.run(&["vault", "check"]).ok();
}

#[test]
fn case_32_a_reader_that_goes_away_is_no_error() {
    let world = World::new();
    for number in 0..40 {
        world.file(&format!("{number}.env"), format!("V{number}={}\n", "x".repeat(8000)));
        world.run(&["import", &format!("{number}.env")]).ok();
    }
    for line in ["keyvault export --all", "keyvault audit log --json", "keyvault list", "keyvault man"] {
        let ran = world.sh(&format!("{{ {line}; echo $? >code; }} | head -c 1 >/dev/null; cat code"));
        assert_eq!((ran.out.as_str(), ran.err.as_str()), ("0\n", ""), "{line}");
    }
}

#[test]
fn case_33_a_full_device_is_an_error() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    for line in [
        "keyvault list",
        "keyvault show a",
        "keyvault show a --reveal",
        "keyvault export --all",
        "keyvault audit log",
        "keyvault list --json",
        "keyvault --help",
        "keyvault --version",
        "keyvault status",
        "keyvault man",
        "keyvault completions bash",
        "keyvault vault check",
    ] {
        let ran = world.sh(&format!("{line} > /dev/full"));
        if line.ends_with("--json") {
            ran.fails_with(1, r#"
            {"error":{"kind":"failed","message":"The answer could not be written to standard output: no space left on device.","hint":"If the command makes a change, the change was made. Check before you repeat it."}}
            "#);
            continue;
        }
        ran.fails_with(
            1,
            "
            error: The answer could not be written to standard output: no space left on device.
                   If the command makes a change, the change was made. Check before you repeat it.
            ",
        );
    }
}

/// Returns `true` if a process waits for something, such as room in a pipe.
fn sleeps(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    stat.rsplit(") ").next().is_some_and(|state| state.starts_with('S'))
}

#[test]
fn a_notice_that_nobody_reads_keeps_no_other_command_from_the_vault() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    let older = world.home().join("older.db");
    std::fs::copy(world.vault(), &older).unwrap();
    world.run(&["generate", "b"]).ok();
    for command in [&["exec", "--only", "a", "--", "true"][..], &["edit", "a", "--note", "x"]] {
        // A copy that is changed here is not the older one any more.
        let copy = world.home().join(format!("{}.db", command[0]));
        std::fs::copy(&older, &copy).unwrap();
        let copy = copy.to_str().unwrap();
        let (mut reader, mut full) = std::io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&full, true).unwrap();
        while full.write(&[b'.'; 4096]).is_ok() {}
        rustix::io::ioctl_fionbio(&full, false).unwrap();
        let mut stuck = {
            let mut stuck = world.command(KEYVAULT);
            stuck.args(["--vault", copy]).args(command).stdin(Stdio::null()).stderr(full);
            stuck.spawn().unwrap()
        };
        let mut seen_asleep = 0;
        wait_until("the command waits for its reader", || {
            seen_asleep = if sleeps(stuck.id()) { seen_asleep + 1 } else { 0 };
            seen_asleep == 20
        });
        assert!(stuck.try_wait().unwrap().is_none(), "{command:?} did not wait for its reader");
        for other in
            [&["show", "a"][..], &["exec", "--only", "a", "--", "true"], &["edit", "a", "--note", "y"]]
        {
            world.run(&[&["--vault", copy], other].concat()).ok();
        }
        let (mut told, mut all) = (Vec::new(), [0; 4096]);
        while let Ok(got @ 1..) = reader.read(&mut all) {
            told.extend_from_slice(&all[..got]);
        }
        let told = String::from_utf8(told).unwrap();
        let told = told.trim_start_matches('.');
        assert!(told.starts_with("warning: This copy is at change "), "{command:?}: {told}");
        assert!(stuck.wait().unwrap().success(), "{command:?}");
    }
}
