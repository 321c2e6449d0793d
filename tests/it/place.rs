//! Cases 11, 12, 14–18 and 27 of the fault catalogue: owners, modes, full, failing and read-only file systems, and
//! limits.
//!
//! Small file systems are mounted for the purpose, which needs root; failing system calls are made by strace. Where
//! either is missing the tests fail and say so.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::file::{beside, drop_side_files, filled};
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

/// Runs keyvault behind a line of sh that sets limits.
fn behind(world: &World, line: &str, arguments: &[&str]) -> Ran {
    let mut command = world.command("sh");
    command.args(["-c", &format!("{line}; exec '{KEYVAULT}' \"$@\""), "sh"]).args(arguments);
    finish(&mut command, b"")
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn case_11_a_vault_that_others_may_write_is_refused_with_the_remedy() {
    let world = filled();
    set_mode(&world.vault(), 0o666);
    world.run(&["list"]).fails(5, "chmod 600");
    set_mode(&world.vault(), 0o600);
    let folder = world.vault().parent().unwrap().to_owned();
    set_mode(&folder, 0o777);
    world.run(&["list"]).fails(5, "chmod go-w");
    set_mode(&folder, 0o700);
    chown(world.vault(), Some(12345), None).expect("this test needs root to give a file away");
    world.run(&["list"]).fails(5, "chown");
    chown(world.vault(), Some(0), None).unwrap();
    world.run(&["list"]).ok();
}

#[test]
fn case_11_a_vault_that_others_may_read_is_tightened_and_that_is_said_in_one_line() {
    let world = filled();
    set_mode(&world.vault(), 0o644);
    let ran = world.run(&["list"]).ok();
    assert_eq!(ran.err.lines().filter(|line| line.contains("readable by others")).count(), 1, "{}", ran.err);
    assert_eq!(mode(&world.vault()), 0o600);
    assert_eq!(world.run(&["list"]).ok().err, "");
}

#[test]
fn case_12_umask_000_leaves_nothing_open() {
    let mut world = World::empty();
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    behind(&world, "umask 000", &["init", "--recovery-file", "code"]).ok();
    behind(&world, "umask 000", &["generate", "a"]).ok();
    behind(&world, "umask 000", &["show", "a", "--reveal"]).ok();
    assert_eq!(mode(&world.home().join("code")), 0o600);
    let mut seen = 0;
    for (path, _) in world.every_file() {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 4, "vault, log, index and pin");
    for folder in [world.vault().parent().unwrap(), &world.pins()] {
        assert_eq!(mode(folder), 0o700, "{}", folder.display());
    }
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
            let ran = world.run(&[command, &["--vault", &vault]].concat()).fails(code, "list, show, status");
            assert_eq!(ran.out, "");
        }
        world
            .run(&["exec", "--vault", &vault, "--all", "--", "touch", "ran"])
            .fails(125, "list, show, status");
        assert!(!world.home().join("ran").exists());
        drop(disk);
        std::fs::remove_dir(world.path().join("disk")).unwrap();
    }
}

#[test]
fn case_17_no_home_names_the_variable() {
    let mut world = filled();
    let vault = world.vault().to_str().unwrap().to_owned();
    world.unset("HOME");
    world.run(&["list"]).fails(1, "HOME");
    world.run(&["list", "--vault", &vault]).fails(1, "HOME");
    world.set("HOME", "/");
    world.run(&["list"]).fails(1, "HOME");
    world.run(&["init", "--no-recovery"]).fails(1, "HOME");
    world.set("XDG_STATE_HOME", world.home().join("state").to_str().unwrap().to_owned().as_str());
    world.run(&["list", "--vault", &vault]).ok();
    // So that the end of the world finds its vault again.
    world.set("HOME", world.home().to_str().unwrap().to_owned().as_str());
}

#[test]
fn case_18_out_of_descriptors_is_a_clean_error() {
    let world = filled();
    for (refusals, limit) in (3..32).enumerate() {
        let name = format!("limit{limit}");
        let ran = behind(&world, &format!("ulimit -n {limit}"), &["generate", &name]);
        let there = world.run(&["show", &name]).code == 0;
        if ran.code == 0 {
            assert!(there && refusals > 0, "with {limit} descriptors");
            world.run(&["vault", "check"]).ok();
            return;
        }
        assert!(ran.code == 1 || ran.code == 3, "{limit} descriptors, {}: {}", ran.code, ran.err);
        assert!(ran.err.starts_with("error:") && !ran.err.contains("panicked"), "{limit}: {}", ran.err);
        assert_eq!(ran.out, "");
    }
    panic!("31 descriptors are not enough");
}

#[test]
fn b2_what_is_done_is_never_reported_as_undone_however_little_room_is_left() {
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
        failed_after += usize::from(ran.code == 0 && ran.err.contains("Done; but"));
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
fn a_user_whom_the_system_does_not_know_and_who_has_no_home_crashes_nothing() {
    let world = World::empty();
    let own = |path: &Path| chown(path, Some(65532), Some(65532)).unwrap();
    own(world.path());
    own(&world.home());
    // The folder of the binary under test may be closed to others.
    let binary = world.path().join("keyvault");
    std::fs::copy(KEYVAULT, &binary).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = world.command("setpriv");
        command.env_clear().env("XDG_STATE_HOME", world.home()).env("XDG_DATA_HOME", world.home());
        command.env("KEYVAULT_PASSPHRASE", PASSPHRASE);
        command.args(["--reuid=65532", "--regid=65532", "--clear-groups"]).arg(&binary).args(arguments);
        finish(&mut command, b"")
    };
    run(&["status"]).fails(3, "");
    run(&["init", "--no-recovery"]).ok();
    run(&["generate", "a"]).ok();
    run(&["exec", "--all", "--", "/usr/bin/true"]).ok();
    assert!(world.home().join("keyvault/vault.db").exists());
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
        assert_eq!(said.matches("What this machine remembers").count(), 1, "{arguments:?}: {said}");
    }
}
