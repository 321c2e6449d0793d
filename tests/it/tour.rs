//! The tour is the README's first command, and leaves nothing behind.

use pretty_assertions::assert_eq;

use crate::harness::{KEYVAULT, World, finish};

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
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let mut tour = world.command("timeout");
        tour.args(["--preserve-status", "--signal", signal, "0.4", KEYVAULT, "tour"]);
        let ran = finish(&mut tour, b"");
        assert_eq!(ran.code, code, "{signal}: {}", ran.err);
        let left: Vec<_> =
            std::fs::read_dir(&temporary).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left, Vec::<std::path::PathBuf>::new());
    }
}
