//! Programs that name another one to be run by, and scripts that name none.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use pretty_assertions::assert_eq;

use crate::harness::{Ran, World};

/// The command in our place, beside us, and restarted by us.
const WAYS: [&[&str]; 3] = [&["--only", "a"], &["--mask", "--only", "a"], &["--watch", "--only", "a"]];

fn filled() -> World {
    let world = World::new();
    world.run_with_input(&["add", "a"], "value-of-a").ok();
    world
}

fn program(world: &World, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = world.file(name, content);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn run(world: &World, way: &[&str], command: &[&str]) -> Ran {
    world.run(&[&["exec"], way, &["--"], command].concat())
}

#[test]
fn an_interpreter_that_is_not_there_is_named_and_is_127() {
    let world = filled();
    let path_of = |name: &str| world.home().join(name).display().to_string();
    let script = path_of("script");
    for (content, interpreter) in [
        ("#!/opt/none/zsh\n", "/opt/none/zsh"),
        ("#! /opt/none/zsh -e\necho\n", "/opt/none/zsh"),
        ("#!\t/opt/none/zsh", "/opt/none/zsh"),
        ("#!/etc/passwd/zsh\n", "/etc/passwd/zsh"),
    ] {
        program(&world, "script", content);
        for way in WAYS {
            run(&world, way, &["./script"]).fails_with(
                127,
                &format!(
                    "
                        error: The interpreter of ./script does not exist: {interpreter}.
                               Install it, or correct the script's first line. The audit log counts the values as released.
                    "
                ),
            );
        }
    }
    program(&world, "script", "#!python3\n");
    run(&world, WAYS[0], &["./script"]).fails(127, "The interpreter of ./script does not exist: python3.");
    run(&world, WAYS[0], &["./script"]).fails(127, "`#!/usr/bin/env NAME`");
    // An interpreter that is a script itself, whose own is not there.
    program(&world, "outer", format!("#!{script}\n"));
    run(&world, WAYS[0], &["./outer"]).fails(127, "The interpreter of ./outer does not exist: python3.");
}

#[test]
fn a_script_with_cr_lf_is_told_so_with_the_command_that_converts_it() {
    let world = filled();
    for content in ["#!/bin/sh\r\necho hi\r\n", "#!/bin/sh\r"] {
        program(&world, "script", content);
        for way in WAYS {
            run(&world, way, &["./script"]).fails_with(
                127,
                "
                    error: The first line of ./script ends in CR LF, so its interpreter /bin/sh is not found.
                           Convert it: sed -i 's/\\r$//' './script'
                           The audit log counts the values as released.
                ",
            );
        }
    }
    // Found along PATH, the file is named where it is. The command can be pasted.
    program(&world, "tool", "#!/bin/sh\r\necho \"<$A>\"\r\n");
    let told = world.sh("PATH=\"$HOME:$PATH\" keyvault exec --only a -- tool").err;
    let command = told.lines().find_map(|line| line.split("Convert it: ").nth(1)).unwrap();
    world.sh(command).ok();
    assert_eq!(world.sh("PATH=\"$HOME:$PATH\" keyvault exec --only a -- tool").ok().out, "<value-of-a>\n");
}

#[test]
fn an_interpreter_that_may_not_be_executed_is_named_and_is_126() {
    let world = filled();
    let plain = world.file("plain", "text").display().to_string();
    for interpreter in [plain.as_str(), "/etc"] {
        program(&world, "script", format!("#!{interpreter}\n"));
        for way in WAYS {
            run(&world, way, &["./script"]).is(126, "", &format!("error: The interpreter of ./script may not be executed: {}.\n       Correct the script's first line. The audit log counts the values as released.\n", interpreter.replace(world.home().to_str().unwrap(), "~")));
        }
    }
}

/// The system's own programs, with the name of their loader altered.
#[test]
fn a_program_for_another_c_library_is_told_which_loader_it_needs() {
    let world = filled();
    let mut bytes = std::fs::read(std::fs::canonicalize("/bin/sh").unwrap()).unwrap();
    let loader = b"/lib64/ld-linux-x86-64.so.2\0";
    let Some(at) = bytes.windows(loader.len()).position(|window| window == loader) else { return };
    bytes[at..at + 6].copy_from_slice(b"/lib00");
    program(&world, "tool", bytes);
    for way in WAYS {
        run(&world, way, &["./tool"]).fails_with(
            127,
            "
                error: ./tool needs a loader that this system does not have: /lib00/ld-linux-x86-64.so.2.
                       It was built for another system or C library, such as glibc instead of musl. The audit log counts the values as released.
            ",
        );
    }
}

#[test]
fn a_script_that_names_no_interpreter_is_run_by_the_shell() {
    let world = filled();
    program(&world, "script", "echo \"<$A> $# $1 ${0##*/}\"; exit 3\n");
    program(&world, "blank", "\n#!/opt/none\necho blank\n");
    program(&world, "empty", "");
    let shown = |way: &[&str], value: &str| {
        assert_eq!(
            run(&world, way, &["./script", "one two", ""])
                .is(3, &format!("<{value}> 2 one two script\n"), "")
                .code,
            3
        );
    };
    shown(WAYS[0], "value-of-a");
    shown(WAYS[1], "[masked]");
    for way in WAYS {
        run(&world, way, &["./blank"]).prints("blank\n");
        run(&world, way, &["./empty"]).prints("");
    }
    let ran = world.sh("PATH=\"$HOME:$PATH\" keyvault exec --only a -- script");
    assert_eq!(ran.out, "<value-of-a> 0  script\n");
    // Input on a descriptor is as with any program.
    program(&world, "reads", "cat; cat <&7\n");
    let ran = world.run(&["exec", "--stdin", "a", "--fd", "7=a", "--", "./reads"]).ok();
    assert_eq!(ran.out, "value-of-avalue-of-a");
}

#[test]
fn a_file_that_is_no_text_is_not_given_to_the_shell() {
    let world = filled();
    for content in
        [&b"\x7fELF\x02\x01\x01\0broken"[..], b"\0\0\0\n", b"a\0b\necho ran\n", b"\xca\xfe\xba\xbe\0\0\0\x02"]
    {
        program(&world, "tool", content);
        for way in WAYS {
            run(&world, way, &["./tool"]).fails_with(
                126,
                "
                    error: ./tool is not a program that this system can run.
                           It may be built for another machine. The audit log counts the values as released.
                ",
            );
        }
    }
}
