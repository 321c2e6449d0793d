//! `exec --watch`: a command that keeps up with its keys. Every step waits for something that happens; the only times
//! are limits for a test that hangs.

use std::process::Command;
use std::time::{Duration, Instant};

use pretty_assertions::assert_eq;

use crate::harness::wait_until;
use crate::harness::watched::{ENDED, SCRIPT, Watched, events, filled, rotate};

/// A tmpfs of 64 KiB, for as long as this is kept.
struct Small(tempfile::TempDir);

impl Small {
    fn mounted() -> Self {
        let place = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k,mode=700", "none"])
            .arg(place.path())
            .status();
        assert!(mount.unwrap().success(), "this test needs root, to mount a small file system");
        Self(place)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.0.path()).status());
    }
}

/// Each attempt is recorded, as values leave the vault for it; there were four in a second.
#[test]
fn a_full_place_for_files_does_not_fill_the_log() {
    let mut world = filled();
    let place = Small::mounted();
    world.set("XDG_RUNTIME_DIR", place.0.path().to_str().unwrap());
    let watched = Watched::start(&world, &["--only", "a", "--file", "F=b", "--on-rotate", "HUP"], SCRIPT);
    assert_eq!(watched.line(), "start a1 none");
    let full = place.0.path().join("full");
    std::fs::write(&full, vec![0; 1 << 20]).unwrap_err();
    rotate(&world, "b", "b2");
    let said = watched.said();
    assert!(said.contains("no space left on device"), "{said}");
    // The first attempt was recorded before it was said; the second comes a second later, by a clock that tests cannot set.
    let begun = Instant::now();
    wait_until("the second attempt", || events(&world).len() > 2);
    assert!(begun.elapsed() > Duration::from_millis(500), "{:?}", begun.elapsed());
    std::fs::remove_file(full).unwrap();
    assert_eq!(watched.line(), "HUP b2");
    assert_eq!(watched.stop().0, [ENDED]);
}

#[test]
fn no_descriptor_of_the_vault_is_held_while_the_command_runs() {
    let world = filled();
    let watched = Watched::start(&world, &["--only", "a"], SCRIPT);
    assert_eq!(watched.line(), "start a1 none");
    rotate(&world, "a", "a2");
    assert_eq!([watched.line(), watched.line()], [ENDED, "start a2 none"]);
    let open = || {
        std::fs::read_dir(format!("/proc/{}/fd", watched.child.id()))
            .unwrap()
            .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
            .any(|path| path.starts_with(world.path().join("home/.local")))
    };
    // It may be looking at it right now; a look takes a moment.
    wait_until("the closing of the vault", || !open());
    watched.stop();
}
