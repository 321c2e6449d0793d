//! Cases 14–16, 18 and 27 of the fault catalog: full, failing and read-only file systems, and syncs that fail.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::harness::vault_file::{beside, drop_side_files, filled};
use crate::harness::{KEYVAULT, PASSPHRASE, Ran, World, finish};

/// A file system of its own for a vault; unmounted when dropped.
struct Mounted(PathBuf);

impl Mounted {
    /// A tmpfs with a copy of the world's vault, which `--vault` is to name.
    fn with_vault(world: &World, options: &str) -> (Self, String) {
        let folder = world.path().join("disk");
        std::fs::create_dir(&folder).unwrap();
        let mounted = Self(folder);
        mounted.mount(&format!("mode=700,{options}"));
        let vault = mounted.0.join("vault.db");
        std::fs::copy(world.vault(), &vault).unwrap();
        (mounted, vault.to_str().unwrap().to_owned())
    }

    fn mount(&self, options: &str) {
        let mut command = std::process::Command::new("mount");
        let ran = finish(command.args(["-t", "tmpfs", "-o", options, "none"]).arg(&self.0), b"");
        assert_eq!(ran.code, 0, "this test mounts a small file system and needs root for it: {}", ran.err);
    }

    /// Leaves `free` pages of 4 KiB.
    fn fill(&self, free: u64) {
        let filler = self.0.join("filler");
        let _ = std::fs::remove_file(&filler);
        let room = rustix::fs::statvfs(&self.0).unwrap();
        let bytes = (room.f_bfree - free.min(room.f_bfree)) * room.f_frsize;
        std::fs::write(filler, vec![0; usize::try_from(bytes).unwrap()]).unwrap();
    }

    fn empty(&self) {
        std::fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = finish(std::process::Command::new("umount").arg("-l").arg(&self.0), b"");
    }
}

/// Runs keyvault with the `when`th call of one kind failing. Each kind is counted by itself.
fn with_failing(world: &World, call: &str, when: usize, arguments: &[&str]) -> Ran {
    let mut strace = world.command("strace");
    let inject = format!("inject={call}:error=EIO:when={when}");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject, KEYVAULT]);
    finish(strace.args(arguments), b"")
}

/// A world of its own with a private file `new` that holds `passphrase`.
fn with_new(passphrase: &str) -> World {
    let world = World::own();
    let file = world.file("new", passphrase);
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    world
}

#[test]
fn case_14_a_full_disk_leaves_the_old_state_at_every_page_that_is_left() {
    let world = filled();
    let (disk, vault) = Mounted::with_vault(&world, "size=1m");
    let before = world.run(&["list", "--json", "--vault", &vault]).ok().json();
    for (refusals, free) in (0..200).enumerate() {
        drop_side_files(Path::new(&vault));
        disk.fill(free);
        let ran = world.run(&["generate", "new", "--vault", &vault]);
        let beginning = world.run(&["list", "--json", "--vault", &vault]);
        disk.empty();
        world.run(&["vault", "check", "--vault", &vault]).ok();
        let after = world.run(&["list", "--json", "--vault", &vault]).ok().json();
        if ran.code == 0 {
            assert_ne!(after, before);
            assert!(refusals > 0);
            return;
        }
        assert!(ran.code == 1 && !ran.err.contains("panicked"), "{free} pages left: {}", ran.err);
        assert!(!ran.out.contains("new"), "{}", ran.out);
        assert_eq!(after, before, "{free} pages left, and it was not refused whole: {}", ran.err);
        assert!(beginning.code == 0 || beginning.code == 1, "{}", beginning.err);
    }
    panic!("generate never had room enough");
}

#[test]
fn case_15_a_failed_sync_is_said_and_nothing_is_reported_as_done() {
    let world = filled();
    for call in ["fsync", "fdatasync"] {
        for when in 1..8 {
            let mut command = world.command("strace");
            let trace = format!("trace={call}");
            let inject = format!("inject={call}:error=EIO:when={when}");
            let name = format!("{call}{when}");
            command.args(["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject]);
            let ran = finish(command.args([KEYVAULT, "generate", &name]), b"");
            let there = world.run(&["show", &name]).code == 0;
            world.run(&["vault", "check"]).ok();
            if ran.code == 0 {
                assert!(there, "{name} was reported as done");
            } else {
                ran.fails(1, "could not be");
            }
        }
    }
    let mut command = world.command("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"]);
    command.args(["-e", "inject=fsync,fdatasync:error=EIO", KEYVAULT, "generate", "never"]);
    let ran = finish(&mut command, b"").fails(1, "could not be");
    assert_eq!(ran.out, "");
    world.run(&["vault", "check"]).ok();
}

#[test]
fn case_16_a_read_only_vault_is_looked_at_but_releases_nothing() {
    let world = filled();
    for side_files in [true, false] {
        let (disk, vault) = Mounted::with_vault(&world, "size=1m");
        if side_files {
            world.run(&["list", "--vault", &vault]).ok();
            assert!(beside(Path::new(&vault), "-shm").exists());
        }
        disk.mount("remount,ro");
        for command in [&["list"] as &[&str], &["show", "a"], &["vault", "check"], &["audit", "verify"]] {
            world.run(&[command, &["--vault", &vault]].concat()).ok();
        }
        let status = world.run(&["status", "--vault", &vault]);
        assert_eq!(status.code, 4, "{}", status.err);
        for (command, code) in
            [(&["show", "a", "--reveal"] as &[&str], 1), (&["generate", "x"], 1), (&["export", "--all"], 1)]
        {
            let ran =
                world.run(&[command, &["--vault", &vault]].concat()).fails(code, "`list`, `show`, `status`");
            assert_eq!(ran.out, "");
        }
        world
            .run(&["exec", "--vault", &vault, "--all", "--", "touch", "ran"])
            .fails(125, "`list`, `show`, `status`");
        assert!(!world.home().join("ran").exists());
        drop(disk);
        std::fs::remove_dir(world.path().join("disk")).unwrap();
    }
}

#[test]
fn what_is_done_is_never_reported_as_undone_however_little_room_is_left() {
    let world = filled();
    world.run_with_input(&["add", "big"], vec![b'x'; 200_000]).ok();
    let commands: [&[&str]; 2] = [&["remove", "a", "--yes"], &["add", "new"]];
    let mut failed_after = 0;
    for (command, free) in
        commands.iter().flat_map(|command| (0..120).step_by(8).map(move |free| (command, free)))
    {
        // Each round is a vault of its own to this machine.
        std::fs::remove_dir_all(world.pins()).unwrap();
        let (disk, vault) = Mounted::with_vault(&world, "size=2m");
        let names = || world.run(&["list", "--json", "--vault", &vault]).ok().json();
        let before = names();
        disk.fill(free);
        let ran =
            world.run_with_input(&[command, &["--vault", &vault] as &[&str]].concat(), vec![b'y'; 100_000]);
        disk.empty();
        assert_eq!(ran.code == 0, before != names(), "{command:?} with {free} pages: {}", ran.err);
        failed_after += usize::from(ran.code == 0 && ran.err.contains("Done, but"));
        world.run(&["vault", "check", "--vault", &vault]).ok();
        drop(disk);
        std::fs::remove_dir(world.path().join("disk")).unwrap();
        std::fs::create_dir_all(world.pins()).unwrap();
    }
    assert!(failed_after > 0, "no room was just enough for the change and too little for what follows it");
}

#[test]
fn case_18_out_of_inodes_is_a_clean_error() {
    let world = filled();
    // One for the folder, one for the vault; none for its log.
    let (_disk, vault) = Mounted::with_vault(&world, "size=1m,nr_inodes=2");
    let ran = world.run(&["generate", "x", "--vault", &vault]);
    assert!(ran.code == 1 && ran.err.starts_with("error:"), "{}: {}", ran.code, ran.err);
    assert_eq!(std::fs::read(&vault).unwrap(), std::fs::read(world.vault()).unwrap());
}

#[test]
fn case_27_what_cannot_be_recorded_is_not_released_and_that_is_said_at_once() {
    let world = filled();
    let begun = Instant::now();
    let (disk, vault) = Mounted::with_vault(&world, "size=1m");
    disk.fill(9);
    let exec = ["exec", "--vault", &vault, "--all", "--", "touch", "ran"];
    let ran = world.run(&exec).fails(125, "error:");
    assert!(!world.home().join("ran").exists(), "{}", ran.err);
    for command in [&["show", "a", "--reveal"] as &[&str], &["export", "--all"]] {
        let ran = world.run(&[command, &["--vault", &vault]].concat()).fails(1, "error:");
        assert_eq!(ran.out, "");
    }
    disk.empty();
    // A failing write, wherever it fails.
    for (call, error) in [("pwrite64", "EIO"), ("pwrite64", "ENOSPC"), ("pwrite64", "EROFS")] {
        for when in 1..6 {
            drop_side_files(Path::new(&vault));
            let mut command = world.command("strace");
            let inject = format!("inject={call}:error={error}:when={when}+");
            command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=pwrite64", "-e", &inject, KEYVAULT]);
            finish(command.args(exec), b"").fails(125, "error:");
            assert!(!world.home().join("ran").exists(), "{call} {error} {when}");
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(20));
    drop_side_files(Path::new(&vault));
    world.run(&exec).ok();
    assert!(world.home().join("ran").exists());
}

#[test]
fn an_init_whose_last_sync_fails_keeps_the_code_of_the_vault_that_it_made() {
    let mut seen = 0;
    for when in 1..10 {
        let mut world = World::empty();
        world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
        let ran = with_failing(&world, "fsync", when, &["init", "--recovery-file", "code"]);
        let (vault, code) = (world.vault().exists(), world.home().join("code").exists());
        assert!(!vault || code, "{when}: there is a vault, and its code is gone: {}", ran.err);
        seen += u32::from(vault && ran.code != 0);
    }
    assert!(seen > 0, "no sync failed behind the move");
}

#[test]
fn a_restore_whose_commit_fails_does_not_say_that_nothing_happened() {
    let mut seen = 0;
    for (call, when) in (1..14).map(|when| ("fdatasync", when)).chain((1..4).map(|when| ("fsync", when))) {
        let world = World::own();
        world.run_with_input(&["add", "k"], "one").ok();
        world.run(&["vault", "backup", "b"]).ok();
        world.run_with_input(&["add", "later"], "two").ok();
        let ran = with_failing(&world, call, when, &["vault", "restore", "b", "--yes"]);
        let unsure = ran.err.contains("may or may not");
        assert!(!unsure || ran.err.contains("vault.db"), "{call} {when}: {}", ran.err);
        drop_side_files(&world.vault());
        std::fs::remove_dir_all(world.pins()).ok();
        let replaced = world.run(&["show", "later"]).code != 0;
        assert!(ran.code == 0 || unsure || !replaced, "{call} {when}: done, and said not to be: {}", ran.err);
        seen += u32::from(ran.code != 0 && unsure);
    }
    assert!(seen > 0, "no commit failed");
}

#[test]
fn a_sync_that_fails_at_the_commit_leaves_every_way_in_that_may_be_in_force() {
    for when in 1..12 {
        let world = with_new("the new one");
        world.run(&["vault", "slot", "add", "recovery", "--recovery-file", "old"]).ok();
        let mut recover = world.command("strace");
        let inject = format!("inject=fsync,fdatasync:error=EIO:when={when}");
        recover.args([
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "trace=fsync,fdatasync",
            "-e",
            &inject,
            KEYVAULT,
        ]);
        recover.args(["vault", "recover", "--code-file", "old", "--new-passphrase-file", "new"]);
        let ran = finish(recover.args(["--recovery-file", "code"]), b"");
        let mut list = world.command(KEYVAULT);
        let in_force = finish(list.env("KEYVAULT_PASSPHRASE", "the new one").arg("list"), b"").code == 0;
        let there = world.home().join("code").exists();
        assert!(!in_force || there, "{when}: the new code is in force and its file is gone: {}", ran.err);
        assert!(ran.code != 0 || in_force, "{when}");
        let code = if in_force { "code" } else { "old" };
        let again =
            ["vault", "recover", "--code-file", code, "--new-passphrase-file", "new", "--no-recovery"];
        world.run(&again).ok();
        if ran.code == 0 {
            return;
        }
    }
    panic!("it never ran clean");
}

#[test]
fn a_pin_that_cannot_be_read_is_said_once_by_whatever_opens_the_vault() {
    let world = World::new();
    world.run_with_input(&["add", "a"], "value").ok();
    for entry in std::fs::read_dir(world.pins()).unwrap().map(Result::unwrap) {
        if entry.path().extension().is_some_and(|extension| extension == "json") {
            std::fs::write(entry.path(), "no pin").unwrap();
        }
    }
    for arguments in [
        &["list"][..],
        &["show", "a", "--reveal"],
        &["exec", "--only", "a", "--", "true"],
        &["exec", "--only", "a", "--dry-run", "--", "true"],
        &["export", "--only", "a"],
    ] {
        let said = world.run(arguments).ok().err;
        assert_eq!(
            said.matches("This machine's record of the vault cannot be read").count(),
            1,
            "{arguments:?}: {said}"
        );
    }
}
