//! Sessions and the ways in that need no terminal: how long, for whom, and what `status` says of it.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::time::{Duration, Instant};

use pretty_assertions::assert_eq;

use crate::harness::desktop::vault_id;
use crate::harness::{KEYVAULT, PASSPHRASE, Ran, World, finish};

/// A world of its own, without the passphrase in the environment, and a file with it.
fn with_file() -> World {
    let mut world = World::own();
    world.run(&["generate", "a", "--scope", "s"]).ok();
    world.unset("KEYVAULT_PASSPHRASE");
    let file = world.file("passphrase", format!("{PASSPHRASE}\n"));
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    world
}

fn unlocked(duration: &str) -> World {
    let mut world = with_file();
    world.set("KEYVAULT_PASSPHRASE_FILE", "passphrase");
    world.run(&["unlock", "--for", duration]).ok();
    world.unset("KEYVAULT_PASSPHRASE_FILE");
    world
}

#[test]
fn status_tells_the_truth_and_derives_nothing() {
    let mut world = World::empty();
    let status = |world: &World| world.run(&["status", "--json"]);
    let none = status(&world);
    assert_eq!((none.code, none.json()["status"].as_str()), (3, Some("none")));
    world = with_file();
    // A passphrase at hand does not make the vault open.
    world.set("KEYVAULT_PASSPHRASE_FILE", "passphrase");
    let begun = Instant::now();
    let locked = status(&world);
    assert_eq!((locked.code, locked.json()["status"].as_str()), (4, Some("locked")));
    assert!(locked.json()["until"].is_null());
    world.run(&["unlock", "--for", "2h"]).ok();
    let open = status(&world);
    assert_eq!((open.code, open.json()["status"].as_str()), (0, Some("open")));
    let until: jiff::Timestamp = open.json()["until"].as_str().unwrap().parse().unwrap();
    let left = until.duration_since(jiff::Timestamp::now()).as_secs();
    let passed = i64::try_from(begun.elapsed().as_secs()).unwrap();
    assert!((7199 - passed..=7200).contains(&left), "{left}");
    world.run(&["lock"]).fails(0, "Locked.");
    assert_eq!(status(&world).code, 4);
    world.run(&["lock"]).fails(0, "No session was open.");
}

#[test]
fn a_session_lasts_from_a_second_to_twelve_hours() {
    let mut world = with_file();
    world.set("KEYVAULT_PASSPHRASE_FILE", "passphrase");
    for bad in ["0s", "13h", "12h1s", "-1h", "1d", "soon"] {
        let ran = world.run(&["unlock", &format!("--for={bad}")]);
        assert_eq!(ran.code, 2, "{bad}: {}", ran.err);
        world.run(&["status"]).fails(4, "");
    }
    for good in ["1s", "12h", "720m"] {
        world.run(&["unlock", "--for", good]).ok();
    }
}

#[test]
fn a_session_is_gone_at_its_time_and_so_is_its_key() {
    let world = unlocked("2s");
    let id = vault_id(&world);
    let kept = || {
        let keys = std::fs::read_to_string("/proc/keys").unwrap();
        keys.lines().any(|line| line.contains(&id) && !line.contains("expd"))
    };
    assert!(kept(), "the kernel's key is known by the vault's id");
    world.run(&["status"]).ok();
    let deadline = Instant::now() + Duration::from_secs(10);
    while world.run(&["status"]).code == 0 {
        assert!(Instant::now() < deadline, "the session does not end");
        std::thread::sleep(Duration::from_millis(50));
    }
    world.run(&["show", "a"]).fails(4, "keyvault unlock");
    assert!(!kept());
}

#[test]
fn a_session_is_shared_by_processes_without_a_terminal_and_in_other_sessions_of_the_system() {
    let world = unlocked("1h");
    // A service, a job of cron: a new session, no terminal, no keyring of its own.
    let mut detached = world.command("setsid");
    finish(detached.args(["-w", KEYVAULT, "exec", "--only", "a", "--", "true"]), b"").ok();
    let mut joined = world.command("keyctl");
    finish(joined.args(["session", "-", KEYVAULT, "show", "a"]), b"").ok();
}

#[test]
fn a_session_belongs_to_one_vault_and_all_can_be_ended_at_once() {
    let (one, two) = (unlocked("1h"), unlocked("1h"));
    one.run(&["lock"]).ok();
    one.run(&["status"]).fails(4, "");
    two.run(&["status"]).ok();
    // In a keyring of its own, so that the sessions of the other tests stay.
    let mut alone = two.command("unshare");
    alone.env("KV", KEYVAULT).env("ONE", one.vault()).env("KEYVAULT_PASSPHRASE_FILE", "passphrase");
    let script = r#"
        two() { "$KV" "$@"; }
        one() { "$KV" "$@" --vault "$ONE"; }
        said() { "$KV" lock --all "$@" 2>&1; }
        said
        two unlock 2>/dev/null && said
        two unlock 2>/dev/null && one unlock 2>/dev/null && said
        two unlock 2>/dev/null && one unlock 2>/dev/null && said --json
        one status >/dev/null; echo $?
        two status >/dev/null; echo $?
    "#;
    let ran = finish(alone.args(["--user", "--map-root-user", "sh", "-c", script]), b"");
    let said = "No session was open.\nLocked.\nAll vaults are locked.\n{\"closed\":2}\n4\n4\n";
    assert_eq!((ran.out.as_str(), ran.err.as_str()), (said, ""));
    // And they did stay.
    two.run(&["status"]).ok();
}

#[test]
fn every_way_to_give_the_passphrase_without_a_terminal() {
    let world = with_file();
    symlink("passphrase", world.home().join("link")).unwrap();
    world.file("bare", PASSPHRASE);
    let shell = |line: &str| world.sh(&format!("umask 077; {line}"));
    for line in [
        "KEYVAULT_PASSPHRASE_FILE=passphrase keyvault list",
        "KEYVAULT_PASSPHRASE_FILE=bare keyvault list",
        "KEYVAULT_PASSPHRASE_FILE=link keyvault list",
        "mkfifo pipe; cat passphrase > pipe & KEYVAULT_PASSPHRASE_FILE=pipe keyvault list",
        "KEYVAULT_PASSPHRASE_FILE=/dev/fd/3 keyvault list 3<passphrase",
        "KEYVAULT_PASSPHRASE_FILE=/dev/stdin keyvault list <passphrase",
        // The file goes before the variable.
        "KEYVAULT_PASSPHRASE_FILE=passphrase KEYVAULT_PASSPHRASE=wrong keyvault list",
        "KEYVAULT_PASSPHRASE='correct horse battery staple' keyvault list",
        "KEYVAULT_PASSPHRASE_FILE= KEYVAULT_PASSPHRASE='correct horse battery staple' keyvault list",
    ] {
        let ran = shell(line);
        assert_eq!((ran.code, ran.out.contains("active")), (0, true), "{line}: {}", ran.err);
        assert!(!ran.err.contains("Unlocked"), "{line} opened a session: {}", ran.err);
        world.run(&["status"]).fails(4, "");
    }
    // One newline is dropped and not two.
    world.file("two", format!("{PASSPHRASE}\n\n"));
    shell("KEYVAULT_PASSPHRASE_FILE=two keyvault list").fails(4, "not the vault's passphrase");
    shell("KEYVAULT_PASSPHRASE_FILE=passphrase keyvault unlock --for 1m").ok();
    world.run(&["status"]).ok();
}

#[test]
fn a_passphrase_file_that_others_can_read_is_warned_of_but_not_on_tmpfs() {
    let world = with_file();
    let run = |path: &str| {
        let mut list = world.command(KEYVAULT);
        finish(list.env("KEYVAULT_PASSPHRASE_FILE", path).arg("list"), b"").ok()
    };
    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let file = world.home().join("passphrase");
    mode(&file, 0o600);
    assert_eq!(run("passphrase").err, "");
    mode(&file, 0o644);
    let warned = run("passphrase").err;
    assert_eq!(warned.lines().count(), 1, "{warned}");
    assert!(warned.contains("passphrase. Fix it: chmod 600 "), "{warned}");
    let secrets = tempfile::tempdir_in("/dev/shm").expect("/dev/shm is needed for this test");
    mode(secrets.path(), 0o755);
    let secret = secrets.path().join("vault_passphrase");
    std::fs::write(&secret, PASSPHRASE).unwrap();
    mode(&secret, 0o444);
    assert_eq!(run(secret.to_str().unwrap()).err, "");
}

#[test]
fn a_passphrase_file_that_is_not_there_locks_and_names_the_variable() {
    let world = with_file();
    let mut list = world.command(KEYVAULT);
    let ran = finish(list.env("KEYVAULT_PASSPHRASE_FILE", "/nowhere/file").arg("list"), b"");
    ran.fails(4, "(KEYVAULT_PASSPHRASE_FILE names it.)");
}

/// Runs a command under a kernel that answers its key calls with an error.
fn without_kernel_keys(world: &World, error: &str, arguments: &[&str]) -> Ran {
    let mut strace = Command::new("strace");
    let refuse = format!("inject=add_key,keyctl,request_key:error={error}");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &refuse, KEYVAULT]).args(arguments);
    strace.env_clear().envs(world.variables()).env("KEYVAULT_PASSPHRASE_FILE", "passphrase");
    finish(strace.current_dir(world.home()), b"")
}

#[test]
fn where_the_kernel_keeps_no_sessions_that_is_said_and_the_rest_works() {
    let world = with_file();
    for (error, remedy) in [
        ("ENOSYS", "KEYVAULT_PASSPHRASE_FILE"),
        ("EPERM", "KEYVAULT_PASSPHRASE_FILE"),
        ("EDQUOT", "lock --all"),
    ] {
        let refused = without_kernel_keys(&world, error, &["unlock"]);
        assert_eq!(refused.code, 1, "{error}: {}", refused.err);
        assert!(refused.err.contains(remedy), "{error}: {}", refused.err);
        let ran = without_kernel_keys(&world, error, &["exec", "--only", "a", "--", "true"]).ok();
        assert_eq!(ran.err, "", "{error}");
        without_kernel_keys(&world, error, &["status"]).fails(4, "");
    }
}

#[test]
fn an_unlock_that_the_kernel_refused_is_refused_in_the_log_too() {
    let world = with_file();
    without_kernel_keys(&world, "EPERM", &["unlock"]).fails(1, "");
    let mut log = world.command(KEYVAULT);
    log.env("KEYVAULT_PASSPHRASE_FILE", "passphrase").args(["audit", "log", "--json"]);
    let log = finish(&mut log, b"").ok().out;
    let last: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!((last["action"].as_str(), last["outcome"].as_str()), (Some("unlock"), Some("refused")));
}
