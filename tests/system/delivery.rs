//! Delivery besides a variable: descriptors, standard input, files in memory, docker's env-file.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use pretty_assertions::assert_eq;

use crate::harness::runtime::{NOTHING, RuntimeFolder};
use crate::harness::{KEYVAULT, finish};

#[test]
fn a_file_is_made_0600_whatever_the_umask_and_never_through_a_name_that_is_there() {
    let place = RuntimeFolder::new();
    let trace = place.world.path().join("trace");
    let mut command = place.world.command("strace");
    command
        .args(["-qq", "-e", "trace=openat,open,creat,rename,renameat,renameat2,mkdir,mkdirat", "-o"])
        .arg(&trace);
    command.args(["sh", "-c", &format!("umask 000; exec '{KEYVAULT}' exec --file KEY=a -- true")]);
    finish(&mut command, b"").ok();
    let trace = std::fs::read_to_string(trace).unwrap();
    let made: Vec<_> =
        trace.lines().filter(|line| line.contains("O_CREAT") && line.contains("run-")).collect();
    assert_eq!(made.len(), 1, "{trace}");
    for word in ["O_EXCL", "O_NOFOLLOW", "O_CLOEXEC", "0600"] {
        assert!(made[0].contains(word), "{word}: {}", made[0]);
    }
    let folders: Vec<_> = trace.lines().filter(|line| line.contains("mkdir")).collect();
    assert!(folders.len() == 2 && folders.iter().all(|line| line.contains("0700")), "{folders:?}");
}

/// Every file with a value in the folder of all runs.
fn values_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { values_in(&path) } else { vec![path] }).collect()
}

#[test]
fn a_run_killed_at_any_of_its_system_calls_leaves_nothing_behind_the_next_and_no_value_if_it_was_asked_to_end()
 {
    let place = RuntimeFolder::new();
    let mut runs = 0;
    for (signal, number) in [("KILL", 9), ("TERM", 15)] {
        for call in [
            "mkdir", "chmod", "openat", "flock", "fchmod", "write", "rename", "clone", "wait4", "unlinkat",
            "rmdir",
        ] {
            for at in 1.. {
                let mut command = place.world.command("strace");
                command.args(["-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e"]);
                command.arg(format!("inject={call}:signal={signal}:when={at}"));
                command.args([KEYVAULT, "exec", "--file", "F=a", "--docker-env", "E", "--only", "b", "--"]);
                let ran = finish(command.args(["sh", "-c", "cat \"$F\""]), b"");
                if signal == "TERM" {
                    assert_eq!(values_in(place.runtime.path()), NOTHING, "{call} {at}");
                }
                place.world.run(&["lock"]);
                assert_eq!(place.left(), NOTHING, "{signal} at {call} {at}");
                if ran.code == 0 {
                    break;
                }
                assert_eq!(ran.code, 128 + number, "{signal} at {call} {at}: {}", ran.err);
                runs += 1;
            }
        }
    }
    println!("{runs} runs were killed");
    assert!(runs > 60, "only {runs} runs were killed");
}

#[test]
fn a_file_never_lies_on_a_disk_or_where_others_can_write() {
    let mut place = RuntimeFolder::new();
    let shared = "echo \"$F\"";
    // A runtime folder that is not fit: the shared one is used instead.
    let disk = place.world.home().to_str().unwrap().to_owned();
    place.world.set("XDG_RUNTIME_DIR", &disk);
    assert!(place.exec(&["--file", "F=a"], shared).ok().out.starts_with("/dev/shm/keyvault-"));
    assert!(!place.world.home().join("keyvault").exists());
    let open = place.runtime.path().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    place.world.set("XDG_RUNTIME_DIR", open.to_str().unwrap());
    assert!(place.exec(&["--file", "F=a"], shared).ok().out.starts_with("/dev/shm/keyvault-"));

    // A /dev/shm of the test's own, in a mount namespace of its own.
    let uid = rustix::process::geteuid().as_raw();
    let within = |prepare: &str| {
        let script = format!("{prepare}; exec '{KEYVAULT}' exec --file F=a -- sh -c 'echo started'");
        let mut command = place.world.command("unshare");
        command.args(["--mount", "sh", "-c", &script]);
        finish(&mut command, b"")
    };
    let before = place.log();
    let tmpfs = "mount -t tmpfs none /dev/shm && chmod 1777 /dev/shm";
    let ours = format!("/dev/shm/keyvault-{uid}");
    assert_eq!(within(tmpfs).ok().out, "started\n");
    for (prepare, said) in [
        ("mount --bind / /dev/shm".to_owned(), "/dev/shm: is not in memory (tmpfs)".to_owned()),
        (
            "mount -t tmpfs none /dev/shm && chmod 777 /dev/shm".to_owned(),
            "/dev/shm: is open to others (mode 0777)".to_owned(),
        ),
        (format!("{tmpfs} && mkdir {ours} && chown 1234 {ours}"), format!("{ours}: belongs to user 1234")),
        (format!("{tmpfs} && mkdir -m 770 {ours}"), format!("{ours}: is open to others (mode 0770)")),
        (format!("{tmpfs} && ln -s /tmp {ours}"), format!("{ours}: is not a folder")),
        (format!("{tmpfs} && touch {ours}"), format!("{ours}: is not a folder")),
        (format!("{tmpfs} && mkdir /dev/shm/x && ln -s x {ours}"), format!("{ours}: is not a folder")),
        ("mount -t tmpfs -o ro none /dev/shm".to_owned(), format!("{ours}: read-only file system")),
    ] {
        let ran = within(&prepare).fails(125, &said);
        assert!(
            ran.err.contains("never written to disk") && ran.err.contains("`--fd` or `--stdin`"),
            "{}",
            ran.err
        );
    }
    let events = place.world.run(&["audit", "log", "--json"]).ok().out;
    assert_eq!(
        events.lines().filter(|line| line.contains("a in a file")).count(),
        3,
        "a refusal releases nothing"
    );
    assert_eq!(before["action"], "exec");
}

/// So that the tests are sure to test what they say: without the tools they fail.
#[test]
fn what_these_tests_need_is_there() {
    for program in ["strace", "unshare", "mount", "stat"] {
        assert!(Command::new(program).arg("--version").output().is_ok(), "{program} is needed: tests/setup");
    }
}
