//! Sessions and the slots that need no terminal: how long, for whom, and what `status` says of it.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use pretty_assertions::assert_eq;

use crate::harness::desktop::vault_id;
use crate::harness::terminal::Terminal;
use crate::harness::{KEYVAULT, PASSPHRASE, Ran, World, finish, hours};

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
        two unlock >/dev/null && said
        two unlock >/dev/null && one unlock >/dev/null && said
        two unlock >/dev/null && one unlock >/dev/null && said --json
        one status >/dev/null; echo $?
        two status >/dev/null; echo $?
    "#;
    let ran = finish(alone.args(["--user", "--map-root-user", "sh", "-c", script]), b"");
    let said = "No session was open.\nLocked.\nAll vaults are locked.\n{\"closed\":2}\n4\n4\n";
    assert_eq!((ran.out.as_str(), ran.err.as_str()), (said, ""));
    // And they did stay.
    two.run(&["status"]).ok();
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
fn a_limited_session_that_the_kernel_does_not_keep_leaves_no_token() {
    let world = with_file();
    let limited = ["unlock", "--scope", "s"];
    for (error, remedy) in [("ENOSYS", "KEYVAULT_PASSPHRASE_FILE"), ("EPERM", "KEYVAULT_PASSPHRASE_FILE")] {
        without_kernel_keys(&world, error, &limited).fails(1, remedy);
    }
    // The quota is found out only when the key is added, and by then the vault has the token.
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "inject=add_key:error=EDQUOT", KEYVAULT])
        .args(limited);
    strace.env_clear().envs(world.variables()).env("KEYVAULT_PASSPHRASE_FILE", "passphrase");
    finish(strace.current_dir(world.home()), b"").fails_with(
        1,
        "
            error: This user's quota of kernel keys (200) is used up.
                   End all sessions with `keyvault lock --all`, or see what else is kept with `keyctl show @u`.
        ",
    );
    let mut list = world.command(KEYVAULT);
    let list =
        finish(list.env("KEYVAULT_PASSPHRASE_FILE", "passphrase").args(["token", "list", "--json"]), b"");
    assert_eq!(list.ok().json()["sessions"], serde_json::json!([]));
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

/// Holds docs/THREATS.md: a session's 32 bytes open what is written later too, until a rekey.
#[test]
fn the_key_of_a_session_that_has_ended_opens_what_is_written_afterwards_until_a_rekey() {
    let mut world = unlocked("1h");
    let session = world
        .command("keyctl")
        .args(["search", "@u", "user", &format!("keyvault:{}", vault_id(&world))])
        .output()
        .unwrap();
    let number = String::from_utf8(session.stdout).unwrap();
    let stolen = world.command("keyctl").args(["pipe", number.trim()]).output().unwrap().stdout;
    assert_eq!(stolen.len(), 61, "layout, expiry, vault, epoch, 32 bytes of key");
    world.run(&["lock"]).ok();
    world.set("KEYVAULT_PASSPHRASE_FILE", "passphrase");
    world.advance(hours(24 * 21));
    world.run_with_input(&["--no-session", "add", "later"], "written-weeks-later").ok();
    world.unset("KEYVAULT_PASSPHRASE_FILE");
    world.run(&["show", "later", "--reveal"]).fails(4, "locked");
    let plant = |world: &World, epoch: &[u8]| {
        // The thief decides what the expiry says; the key is what counts.
        let until = i64::MAX.to_le_bytes();
        let payload = [&stolen[..1], &until, &stolen[9..25], epoch, &stolen[29..]].concat();
        let mut add = world.command("keyctl");
        add.args(["padd", "user", &format!("keyvault:{}", vault_id(world)), "@u"]);
        finish(&mut add, &payload).ok();
    };
    plant(&world, &stolen[25..29]);
    assert_eq!(world.run(&["show", "later", "--reveal"]).ok().out, "written-weeks-later");
    world.run(&["lock"]).ok();
    world.set("KEYVAULT_PASSPHRASE_FILE", "passphrase");
    world.run(&["--no-session", "vault", "rekey", "--yes"]);
    world.unset("KEYVAULT_PASSPHRASE_FILE");
    plant(&world, &2_u32.to_le_bytes());
    assert_ne!(world.run(&["show", "later", "--reveal"]).code, 0);
}

#[test]
fn a_limited_session_asks_before_it_ends_a_full_one_and_needs_a_vault_that_can_be_written() {
    let world = unlocked("1h");
    let terminal = Terminal::shell(&world);
    terminal.type_line("keyvault unlock --scope s; echo code $?");
    terminal.wait_for("End it and open the limited one? [y/N]");
    terminal.type_line("n");
    terminal.wait_for("code 6");
    world.run(&["audit", "log"]).ok();
    terminal.type_line("clear; keyvault unlock --scope s; echo code $?");
    terminal.wait_for("End it and open the limited one? [y/N]");
    terminal.type_line("y");
    terminal.wait_for("code 0");
    world.run(&["audit", "log"]).fails(4, "The open session is limited");
    // A bundle is for places where the vault cannot be written.
    let folder = world.vault().parent().unwrap().to_owned();
    let mut alone = world.command("unshare");
    alone.env("KV", KEYVAULT).env("FOLDER", folder).env("KEYVAULT_PASSPHRASE_FILE", "passphrase");
    let script = "mount --bind \"$FOLDER\" \"$FOLDER\" && mount -o remount,bind,ro \"$FOLDER\" && \"$KV\" unlock --scope s";
    let ran = finish(alone.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]), b"");
    ran.fails(1, "cannot be written, so no limited session can be opened");
}
