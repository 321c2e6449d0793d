//! Standard streams: closed, full, broken.

use pretty_assertions::assert_eq;

use crate::harness::{World, no_key};

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
    assert_eq!(world.sh("keyvault unlock >&- && keyvault lock >&-").code, 0);
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
            {"error":{"hint":"If the command makes a change, the change was made. Check before you repeat it.","kind":"failed","message":"The answer could not be written to standard output: no space left on device."}}
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
