//! The tour is the README's first command, and leaves nothing behind.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;

use pretty_assertions::assert_eq;
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{KEYVAULT, World, wait_until};

#[test]
fn the_tour_shows_the_main_job_and_leaves_nothing_behind() {
    let world = World::empty();
    let kernel_keys =
        || std::fs::read_to_string("/proc/keys").unwrap().matches("user      keyvault:").count();
    let before = kernel_keys();
    let tour = world.sh("keyvault tour").ok();
    for line in [
        "$ keyvault init --recovery-file recovery-code.txt",
        "$ keyvault generate stripe/live --scope payments --expires 90d",
        "the child holds 52 characters, and DATABASE_URL is ''",
        "checked: the child got the vault's value, which is neither in the parent's environment nor in any file",
        "  scope admin: no key has it",
        "  stripe/live: expired on 2020-01-01 00:00",
        "7 entries verified: all proved from the start of the audit log.",
    ] {
        assert!(tour.out.lines().any(|found| found == line), "{line}\nis not in:\n{}", tour.out);
    }
    assert!(!tour.out.contains("kv_"), "a value was shown:\n{}", tour.out);
    assert_eq!(world.every_file(), [], "left in {}", world.path().display());
    assert!(kernel_keys() <= before, "a kernel key was left behind");
}

#[test]
fn an_interrupted_tour_leaves_nothing_behind() {
    let world = World::empty();
    let temporary = world.path().join("tmp");
    let left = || -> Vec<PathBuf> {
        std::fs::read_dir(&temporary).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut tour = world.command(KEYVAULT);
        let mut tour = tour.arg("tour").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_until("the tour's vault", || left().iter().any(|folder| folder.join("home/.local").exists()));
        kill_process(Pid::from_child(&tour), signal).unwrap();
        let ended = tour.wait().unwrap();
        assert_eq!(ended.code().or(ended.signal().map(|number| 128 + number)), Some(code));
        assert_eq!(left(), Vec::<PathBuf>::new());
    }
}
