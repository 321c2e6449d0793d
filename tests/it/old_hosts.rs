//! Hosts that refuse system calls because they are newer than the host's filter, with EPERM as old container hosts do, or
//! ENOSYS as old kernels.

#![cfg(target_os = "linux")]

use std::os::unix::fs::PermissionsExt;

use pretty_assertions::assert_eq;

use crate::harness::old_host::refuse;
use crate::harness::{KEYVAULT, Ran, World, finish};

const ERRORS: [libc::c_int; 2] = [libc::EPERM, libc::ENOSYS];

/// The calls of recent kernels that keyvault or its libraries may make.
const RECENT: [libc::c_long; 12] = [
    libc::SYS_faccessat2,
    libc::SYS_statx,
    libc::SYS_close_range,
    libc::SYS_memfd_create,
    libc::SYS_renameat2,
    libc::SYS_openat2,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_mlock2,
    libc::SYS_copy_file_range,
    libc::SYS_clone3,
    libc::SYS_rseq,
];

fn filled() -> World {
    let world = World::new();
    for (name, value) in [("a", "value-of-a"), ("b", "value-of-b")] {
        world.run_with_input(&["add", name], value).ok();
    }
    world
}

fn run(world: &World, calls: &[libc::c_long], errno: libc::c_int, arguments: &[&str]) -> Ran {
    let mut command = world.command(KEYVAULT);
    refuse(command.args(arguments), calls, errno);
    finish(&mut command, b"")
}

#[test]
fn a_command_starts_where_the_call_that_asks_for_permission_is_refused() {
    let world = filled();
    let calls = [&[libc::SYS_faccessat2][..], &[libc::SYS_faccessat2, libc::SYS_faccessat], &RECENT];
    for (calls, errno) in calls.into_iter().flat_map(|calls| ERRORS.map(|errno| (calls, errno))) {
        for flags in [&["--only", "a"][..], &["--mask", "--only", "b", "--as", "A=a"]] {
            let ran =
                run(&world, calls, errno, &[&["exec"], flags, &["--", "sh", "-c", "echo ${#A}"]].concat());
            assert_eq!(ran.ok().out, "10\n", "{calls:?} {errno} {flags:?}");
        }
    }
}

/// Permission still decides where the older call is to be had, and the kernel where none is.
#[test]
fn a_file_that_may_not_be_executed_is_still_told_from_one_that_may() {
    let world = filled();
    let tool = world.file("tool", "#!/bin/sh\necho found\n");
    let other = world.home().join("bin");
    std::fs::create_dir(&other).unwrap();
    std::fs::copy(&tool, other.join("tool")).unwrap();
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::set_permissions(other.join("tool"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}:/usr/bin:/bin", world.home().display(), other.display());
    for errno in ERRORS {
        let mut command = world.command(KEYVAULT);
        command.env("PATH", &path).args(["exec", "--only", "a", "--", "tool"]);
        refuse(&mut command, &[libc::SYS_faccessat2], errno);
        assert_eq!(finish(&mut command, b"").ok().out, "found\n");
        for calls in [&[libc::SYS_faccessat2][..], &[libc::SYS_faccessat2, libc::SYS_faccessat]] {
            run(&world, calls, errno, &["exec", "--only", "a", "--", "./tool"])
                .fails(126, "./tool cannot be run: permission denied.");
        }
    }
}

#[test]
fn a_value_on_a_descriptor_needs_no_memfd() {
    let world = filled();
    for errno in ERRORS {
        let script = "cat <&5; cat /dev/fd/5; cat; stat -Lc %a /dev/fd/5; test -s /dev/fd/5";
        let arguments = ["exec", "--fd", "5=a", "--stdin", "b", "--", "sh", "-c", script];
        let ran = run(&world, &[libc::SYS_memfd_create], errno, &arguments).ok();
        assert_eq!(ran.out, "value-of-avalue-of-avalue-of-b400\n", "{errno}");
    }
}

#[test]
fn a_vault_is_made_backed_up_and_restored_where_recent_calls_are_refused() {
    for errno in ERRORS {
        let mut world = World::empty();
        world.set("KEYVAULT_PASSPHRASE", crate::harness::PASSPHRASE);
        world.file("value", "value-of-a");
        for arguments in [
            &["init", "--no-recovery"][..],
            &["add", "a", "--file", "value"],
            &["generate", "b"],
            &["rotate", "b"],
            &["vault", "backup", "copy.kv"],
            &["remove", "b", "--yes"],
            &["vault", "restore", "copy.kv", "--yes"],
            &["exec", "--file", "F=a", "--", "sh", "-c", "grep -q value-of-a $F"],
            &["vault", "check"],
        ] {
            let ran = run(&world, &RECENT, errno, arguments);
            assert_eq!(ran.code, 0, "{errno} {arguments:?}: {}", ran.err);
        }
    }
}
