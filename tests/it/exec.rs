//! `exec`: which keys, which environment, and a child that sees the caller's world and nothing of ours.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Stdio};

use pretty_assertions::assert_eq;
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{KEYVAULT, Ran, World, finish, no_key, wait_until};

/// A world with keys `a` (scopes x, y), `b` (x), `c` (y), `e` (x, expired); each one's value is its name.
fn filled() -> World {
    let world = World::new();
    for (name, scopes) in [("a", &["x", "y"][..]), ("b", &["x"]), ("c", &["y"]), ("e", &["x"])] {
        let mut arguments = vec!["add", name];
        scopes.iter().for_each(|scope| arguments.extend(["--scope", scope]));
        world.run_with_input(&arguments, name).ok();
    }
    world.run(&["edit", "e", "--expires", "2020-01-01"]).ok();
    world
}

/// Runs `sh -c SCRIPT` with this selection.
fn run(world: &World, selection: &[&str], script: &str) -> Ran {
    world.run(&[&["exec"], selection, &["--", "sh", "-c", script]].concat())
}

const SHOW: &str = "echo \"${A-none} ${B-none} ${C-none} ${E-none}\"";

// ── Which keys ───────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn the_ways_to_choose_add_up() {
    let world = filled();
    for (selection, expected) in [
        (&["--only", "a"][..], "a none none none\n"),
        (&["--scope", "y"], "a none c none\n"),
        (&["--scope", "y", "--only", "b"], "a b c none\n"),
        (&["--scope", "x", "--scope", "y", "--skip-expired"], "a b c none\n"),
        (&["--all", "--skip-expired"], "a b c none\n"),
        (&["--as", "B=a"], "none a none none\n"),
        (&["--only", "a", "--as", "B=a"], "a a none none\n"),
    ] {
        assert_eq!(run(&world, selection, SHOW).ok().out, expected, "{selection:?}");
    }
    assert_eq!(world.run(&["run", "--only", "a", "--", "sh", "-c", SHOW]).ok().out, "a none none none\n");
}

#[test]
fn an_expired_key_refuses_and_names_itself_and_the_remedy() {
    let world = filled();
    run(&world, &["--scope", "x"], "echo started").fails_with(
        125,
        "
            error: Cannot release the keys:
              e: expired on 2020-01-01 00:00
                   Extend expired keys (`keyvault edit e --expires 30d`), or leave them out (`--skip-expired`).
        ",
    );
    run(&world, &["--scope", "x", "--skip-expired"], SHOW).is(
        0,
        "a b none none\n",
        "warning: Left out, because it has expired: e.\n",
    );
    run(&world, &["--only", "e"], "echo started").fails_with(
        125,
        "
            error: Cannot release the keys:
              e: expired on 2020-01-01 00:00
                   Extend expired keys (`keyvault edit e --expires 30d`), or leave them out (`--skip-expired`).
        ",
    );
}

#[test]
fn revoked_keys_are_left_out_of_scopes_and_refused_by_name() {
    let world = filled();
    world.run(&["revoke", "c"]).ok();
    assert_eq!(run(&world, &["--scope", "y"], SHOW).ok().out, "a none none none\n");
    run(&world, &["--only", "c"], "true").fails_with(
        125,
        "
            error: Cannot release the keys:
              c: revoked
                   Give a revoked key a new value with `keyvault rotate c`.
        ",
    );
    run(&world, &["--as", "B=c"], "true").fails_with(
        125,
        "
            error: Cannot release the keys:
              c: revoked
                   Give a revoked key a new value with `keyvault rotate c`.
        ",
    );
}

#[test]
fn everything_that_is_wrong_is_said_at_once_before_anything_starts() {
    let world = filled();
    world.run_with_input(&["add", "nul", "--exact"], b"a\0b").ok();
    world.run_with_input(&["add", "long", "--exact"], vec![b'x'; 200_000]).ok();
    let log = world.run(&["audit", "log", "--json"]).ok().out;
    let all =
        ["--only", "nul", "--only", "long", "--only", "gone", "--scope", "x", "--as", "B=a", "--scope", "zz"];
    run(&world, &all, "echo started").fails_with(
        125,
        "
            error: Cannot release the keys:
              scope zz: no key has it
              gone: no such key
              e: expired on 2020-01-01 00:00
              B: set by a, b (choose one with --only, or rename one with --as VAR=NAME)
              long: 200006 bytes with its variable; the kernel accepts 131072 in one string
              nul: its value contains a NUL byte, which no variable can carry
                   Extend expired keys (`keyvault edit e --expires 30d`), or leave them out (`--skip-expired`).
        ",
    );
    assert_eq!(world.run(&["audit", "log", "--json"]).ok().out, log, "a refusal releases nothing");
}

#[test]
fn keys_of_two_projects_that_set_one_variable_are_named_with_a_command_that_works() {
    let world = World::own();
    for name in ["shop/token", "blog/token"] {
        world.run_with_input(&["add", name, "--env", "TOKEN", "--scope", "both"], name).ok();
    }
    let show = ["exec", "--scope", "both", "--", "sh", "-c", "echo $TOKEN $SHOP_TOKEN $BLOG_TOKEN"];
    world.run(&show).fails_with(
        125,
        "
            error: Cannot release the keys:
              TOKEN: set by blog/token, shop/token (keyvault edit shop/token --env SHOP_TOKEN)
        ",
    );
    world.run(&["edit", "shop/token", "--env", "SHOP_TOKEN"]).ok();
    assert_eq!(world.run(&show).ok().out, "blog/token shop/token\n");
}

#[test]
fn no_choice_shows_the_choices_and_a_missing_separator_is_usage() {
    let mut world = filled();
    world.run(&["exec", "--", "true"]).fails_with(
        125,
        "
            error: No keys chosen.
                   Choose keys with `--only NAME`, `--scope SCOPE`, `--as VAR=NAME` or `--all`.
                   In a project, `keyvault project add NAME` records a key, and `exec` needs no options.
                   scopes: x, y
                   keys:   a, b, c, e
        ",
    );
    let own = World::own();
    own.run(&["generate", "stripe/live", "--scope", "payments"]).ok();
    own.run(&["unlock"]).ok();
    own.run(&["exec", "--", "true"]).fails_with(
        125,
        "
            error: No keys chosen.
                   Choose keys with `--only NAME`, `--scope SCOPE`, `--as VAR=NAME` or `--all`.
                   In a project, `keyvault project add NAME` records a key, and `exec` needs no options.
                   scopes: payments
                   keys:   stripe/live
        ",
    );
    world.unset("KEYVAULT_PASSPHRASE");
    world.run(&["exec", "--all", "true"]).fails_with(
        125,
        "
            error: Put `--` before the command.
                   For example: keyvault exec --all -- true
        ",
    );
    world.run(&["exec", "--all"]).fails_with(
        125,
        "
            error: No command given.
                   For example: keyvault exec --all -- npm start
        ",
    );
    world.run(&["exec", "--all", "--"]).fails_with(
        125,
        "
            error: No command given.
                   For example: keyvault exec --all -- npm start
        ",
    );
}

#[test]
fn a_name_that_is_nearly_right_is_suggested() {
    let world = World::new();
    world.run(&["generate", "stripe/live", "--scope", "payments"]).ok();
    world.run(&["show", "stripe/lve"]).fails_with(
        3,
        "
            error: No key named `stripe/lve`.
                   Did you mean `stripe/live`? Run `keyvault list` to see all keys.
        ",
    );
    run(&world, &["--only", "stirpe/live"], "true").fails_with(
        125,
        "
            error: Cannot release the keys:
              stirpe/live: no such key (did you mean stripe/live?)
                   Run `keyvault list` to see all keys with their variables, scopes and status.
        ",
    );
    run(&world, &["--scope", "payment"], "true").fails_with(
        125,
        "
            error: Cannot release the keys:
              scope payment: no key has it (did you mean payments?)
                   Run `keyvault list` to see all keys with their variables, scopes and status.
        ",
    );
    world.run(&["show", "quite-other"]).fails_with(3, &no_key("quite-other"));
}

// ── The environment ──────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn case_58_nothing_of_ours_is_inherited_but_the_marker() {
    let mut world = filled();
    world.set("KEYVAULT_ANYTHING", "x");
    let ran = world.run(&["exec", "--only", "a", "--", "env"]).ok().out;
    let ours: Vec<_> = ran.lines().filter(|line| line.starts_with("KEYVAULT_")).collect();
    let vault = format!("KEYVAULT_VAULT={}", world.vault().display());
    assert_eq!(ours, ["KEYVAULT_EXEC=1", &vault]);
    assert!(!ran.contains(crate::harness::PASSPHRASE));
}

#[test]
fn a_clean_environment_keeps_what_programs_need_and_what_is_named() {
    let mut world = filled();
    for name in ["USER", "LOGNAME", "SHELL", "TERM", "LC_ALL", "SECRET", "WANTED"] {
        world.set(name, "set");
    }
    let arguments = ["exec", "--only", "a", "--clean-env", "--preserve-env", "WANTED", "--", "env"];
    let ran = world.run(&arguments).ok().out;
    let mut names: Vec<_> = ran.lines().filter_map(|line| line.split('=').next()).collect();
    names.sort_unstable();
    let expected = [
        "A",
        "HOME",
        "KEYVAULT_EXEC",
        "KEYVAULT_VAULT",
        "LANG",
        "LC_ALL",
        "LOGNAME",
        "PATH",
        "SHELL",
        "TERM",
        "TMPDIR",
        "TZ",
        "USER",
        "WANTED",
    ];
    assert_eq!(names, expected);
}

#[test]
fn case_49_variables_and_arguments_that_are_not_utf8_pass_as_bytes() {
    let world = filled();
    let mut command = world.command(KEYVAULT);
    command.env(OsString::from_vec(b"ODD\xff".to_vec()), OsString::from_vec(b"\xfe\xff".to_vec()));
    command.args([
        "exec",
        "--only",
        "a",
        "--",
        "sh",
        "-c",
        "tr '\\0' '\\n' < /proc/$$/environ; printf %s \"$1\"",
        "sh",
    ]);
    command.arg(OsString::from_vec(b"\x80arg".to_vec()));
    let ran = finish(&mut command, b"").ok();
    let has = |piece: &[u8]| ran.bytes.windows(piece.len()).any(|window| window == piece);
    assert!(has(b"ODD\xff=\xfe\xff\n") && ran.bytes.ends_with(b"\x80arg"), "{}", ran.out);
}

#[test]
fn a_dry_run_says_what_the_command_would_get_and_runs_nothing() {
    let world = filled();
    let log = world.run(&["audit", "log", "--json"]).ok().out;
    let ran = world.run(&["exec", "--scope", "y", "--as", "X=b", "--dry-run", "--", "touch", "ran"]).ok();
    assert_eq!(ran.out, "A <- a\nC <- c\nX <- b\n");
    assert!(!world.home().join("ran").exists());
    assert_eq!(world.run(&["audit", "log", "--json"]).ok().out, log);
}

#[test]
fn without_a_terminal_exec_is_silent_even_before_an_expiry() {
    let world = World::new();
    world.run(&["generate", "a", "--expires", "1h"]).ok();
    let ran = run(&world, &["--only", "a"], "true").ok();
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""));
}

// ── The child ────────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn exit_codes_are_the_childs_own_and_126_and_127_say_what_was_wrong() {
    let world = filled();
    for code in [0, 1, 42, 255] {
        assert_eq!(run(&world, &["--only", "a"], &format!("exit {code}")).code, code);
    }
    let file = world.file("plain", "text");
    world.run(&["exec", "--only", "a", "--", file.to_str().unwrap()]).fails_with(
        126,
        "
            error: ~/plain cannot be run: permission denied.
                   Nothing was released.
        ",
    );
    world.run(&["exec", "--only", "a", "--", "/"]).fails_with(
        126,
        "
            error: / cannot be run: permission denied.
                   Nothing was released.
        ",
    );
    world.run(&["exec", "--only", "a", "--", "no-such-command"]).fails_with(
        127,
        "
            error: Command not found: no-such-command.
                   Nothing was released.
        ",
    );
    world.run(&["exec", "--only", "a", "--", "./gone"]).fails_with(
        127,
        "
            error: Command not found: ./gone.
                   Nothing was released.
        ",
    );
}

#[test]
fn case_54_death_by_a_signal_is_that_death() {
    let world = filled();
    for (signal, number) in [("HUP", 1), ("INT", 2), ("KILL", 9), ("SEGV", 11), ("PIPE", 13), ("TERM", 15)] {
        let ran = run(&world, &["--only", "a"], &format!("ulimit -c 0; kill -{signal} $$"));
        assert_eq!(ran.code, 128 + number, "{signal}");
    }
}

/// A command under `exec`, whose lines are read as they come.
struct Running {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(world: &World, script: &str) -> Self {
        let mut command = world.command(KEYVAULT);
        command.args(["exec", "--only", "a", "--", "sh", "-c", script]);
        // In a group of its own: to an orphaned one the kernel sends no TSTP.
        command.process_group(0);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

#[test]
fn case_53_signals_reach_the_command_exactly_once() {
    let world = filled();
    let script =
        "for s in HUP INT QUIT WINCH USR1; do trap \"echo $s\" $s; done; trap 'echo TERM; exit 7' TERM
                  echo $$; while :; do sleep 0.01; done";
    let mut running = Running::start(&world, script);
    // The command has taken keyvault's place: its process is the one that was started.
    assert_eq!(running.line(), running.child.id().to_string());
    for (name, signal) in [
        ("HUP", Signal::HUP),
        ("INT", Signal::INT),
        ("QUIT", Signal::QUIT),
        ("WINCH", Signal::WINCH),
        ("USR1", Signal::USR1),
        ("TERM", Signal::TERM),
    ] {
        running.signal(signal);
        // Had one come twice, the second would stand in the place of the next.
        assert_eq!(running.line(), name);
    }
    assert_eq!(running.child.wait().unwrap().code(), Some(7));
    assert!(running.lines.next().is_none());
}

#[test]
fn case_53_a_stopped_command_goes_on_where_it_was() {
    let world = filled();
    let mut running = Running::start(&world, "echo ready; read line; echo \"$line\"");
    assert_eq!(running.line(), "ready");
    let stat = format!("/proc/{}/stat", running.child.id());
    let stopped = || std::fs::read_to_string(&stat).unwrap().contains(") T ");
    running.signal(Signal::TSTP);
    wait_until("the stop", stopped);
    running.signal(Signal::CONT);
    running.child.stdin.take().unwrap().write_all(b"went on\n").unwrap();
    assert_eq!(running.line(), "went on");
    assert!(running.child.wait().unwrap().success());
}

#[test]
fn case_57_no_descriptor_of_ours_and_every_one_of_the_callers() {
    let world = filled();
    let listed = "for fd in /proc/$$/fd/*; do echo ${fd##*/}; done";
    let plain = world.sh(&format!("sh -c '{listed}' 5</dev/null 9</dev/null")).ok().out;
    let ours =
        world.sh(&format!("'{KEYVAULT}' exec --only a -- sh -c '{listed}' 5</dev/null 9</dev/null")).ok().out;
    assert_eq!(ours, plain);
    assert!(ours.contains("\n5\n") && ours.contains("9\n"), "{ours}");
    // Closed ones stay closed.
    let closed =
        world.sh(&format!("'{KEYVAULT}' exec --only a -- sh -c '[ -e /proc/$$/fd/0 ] || echo closed' <&-"));
    assert_eq!(closed.ok().out, "closed\n");
}

#[test]
fn case_59_arguments_pass_exactly_and_never_through_a_shell() {
    let world = filled();
    let odd = ["$(touch hacked)", "a b", "", "`id`", "*", "-x", "--", "\n", "'\"\\"];
    let mut arguments = vec!["exec", "--only", "a", "--", "printf", "<%s>"];
    arguments.extend(odd);
    assert_eq!(world.run(&arguments).ok().out, odd.map(|word| format!("<{word}>")).concat());
    assert!(!world.home().join("hacked").exists());
}

#[test]
fn the_child_sees_the_callers_limits_umask_folder_mask_and_dispositions() {
    let world = filled();
    let look =
        "ulimit -Sc; ulimit -Hc; ulimit -Sn; umask; pwd; grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status";
    let prepare = "ulimit -Sc 100; ulimit -Sn 200; umask 027; cd /; trap '' PIPE HUP;";
    let plain = world.sh(&format!("{prepare} sh -c \"{look}\"")).ok().out;
    let ours = world.sh(&format!("{prepare} '{KEYVAULT}' exec --only a -- sh -c \"{look}\"")).ok().out;
    assert_eq!(ours, plain);
    let dispositions = "grep -E '^Sig(Blk|Ign)' /proc/self/status";
    let plain = world.sh(&format!("sh -c \"{dispositions}\"")).ok().out;
    let ours = world.sh(&format!("'{KEYVAULT}' exec --only a -- sh -c \"{dispositions}\"")).ok().out;
    assert_eq!(ours, plain, "SIGPIPE is as it was");
}

#[test]
fn stdin_and_both_streams_pass_byte_for_byte() {
    let world = filled();
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let ran = world.run_with_input(&["exec", "--only", "a", "--", "cat"], &bytes).ok();
    assert!(ran.bytes == bytes);
    let ran = run(&world, &["--only", "a"], "echo out; echo err >&2").ok();
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("out\n", "err\n"));
}

#[test]
fn only_exec_itself_fails_with_125() {
    let world = World::new();
    world.run(&["show", "run"]).fails_with(3, &no_key("run"));
    world.run(&["--vault", "exec", "list"]).fails_with(
        3,
        "
            error: No vault at ~/exec.
                   Create one with `keyvault init`, or name another with `--vault` or KEYVAULT_VAULT.
        ",
    );
    world.run(&["--vault", "elsewhere", "run", "--all", "--", "true"]).fails_with(
        125,
        "
            error: No vault at ~/elsewhere.
                   Create one with `keyvault init`, or name another with `--vault` or KEYVAULT_VAULT.
        ",
    );
}

#[test]
fn keys_that_are_named_are_handed_out_in_a_folder_that_is_gone() {
    let world = World::own();
    world.run_with_input(&["add", "a"], "value-a").ok();
    let ran = world.sh("mkdir gone; cd gone; rmdir ../gone; keyvault exec --only a -- printenv A").ok();
    assert_eq!(ran.out, "value-a\n");
}
