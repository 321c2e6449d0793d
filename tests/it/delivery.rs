//! Delivery besides a variable: descriptors, standard input, files in memory, docker's env-file.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};

use pretty_assertions::assert_eq;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::harness::runtime::{NOTHING, RuntimeFolder, binary, runs};
use crate::harness::{KEYVAULT, World, wait_until};

/// A command under `exec` whose lines are read as they come.
struct Running {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(place: &RuntimeFolder, arguments: &[&str], script: &str) -> Self {
        let mut command = place.world.command(KEYVAULT);
        command.arg("exec").args(arguments).args(["--", "sh", "-c", script]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("a line").unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

/// A test that fails leaves nothing running: TERM is passed on, KILL would not be.
impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::TERM);
            let _ = self.child.wait();
        }
    }
}

const PLAIN: &str = "Zq7vXk2Lw9TrNb4Hy8Jd3Fs6Gm1Pc5Qe";

/// A world with the key `a`, and a runtime folder of its own, so that other tests' runs do not sweep it.
fn with_runtime() -> (World, tempfile::TempDir) {
    let runtime = tempfile::Builder::new().prefix("keyvault-test-").tempdir_in("/dev/shm").unwrap();
    let mut world = World::own();
    world.set("XDG_RUNTIME_DIR", runtime.path().to_str().unwrap());
    world.run_with_input(&["add", "a"], PLAIN).ok();
    (world, runtime)
}

// ── Descriptors and standard input ───────────────────────────────────────────────────────────────────────────────────

#[test]
fn case_50_a_value_on_a_descriptor_is_exact_and_can_be_read_again() {
    let place = RuntimeFolder::new();
    assert!(place.exec(&["--fd", "3=bin"], "cat <&3").ok().bytes == binary());
    assert!(place.exec(&["--fd", "9=bin"], "cat /dev/fd/9 >/dev/null; cat /dev/fd/9").ok().bytes == binary());
    let ran = place.exec(&["--fd", "3=lines", "--fd", "4=a"], "cat <&3; cat <&4; cat <&3; wc -c </dev/fd/3");
    assert_eq!(ran.ok().out, "one\ntwo\na8\n", "no newline is added, and the second reader finds the end");
}

#[test]
fn case_50_a_value_on_standard_input_is_exact_whatever_the_caller_had_there() {
    let place = RuntimeFolder::new();
    let arguments = ["exec", "--stdin", "bin", "--", "cat"];
    assert!(place.world.run_with_input(&arguments, "the caller's").ok().bytes == binary());
    assert!(place.world.sh(&format!("'{KEYVAULT}' exec --stdin bin -- cat <&-")).ok().bytes == binary());
    assert_eq!(place.exec(&["--stdin", "a", "--fd", "3=b"], "cat; cat <&3").ok().out, "ab");
}

#[test]
fn case_57_a_command_finds_the_descriptors_that_were_named_and_nothing_of_ours() {
    let place = RuntimeFolder::new();
    let listed = "for fd in $(seq 0 300); do [ -e /proc/$$/fd/$fd ] && echo $fd; done; true";
    // Through a shell: what started the tests may have passed descriptors on.
    for (arguments, more) in [
        ("--fd 3=a --fd 200=bin --stdin b", "3 200"),
        ("--file F=b", ""),
        ("--file F=b --fd 3=a", "3"),
        ("--watch --fd 5=a --only b", "5"),
    ] {
        let plain = place.world.sh(&format!("sh -c '{listed}' 7</dev/null")).ok().out;
        let ours = place.world.sh(&format!("'{KEYVAULT}' exec {arguments} -- sh -c '{listed}' 7</dev/null"));
        let numbers = |text: &str| {
            text.split_whitespace().map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
        };
        let expected = &numbers(&plain) | &numbers(more);
        assert_eq!(numbers(&ours.ok().out), expected, "{arguments}");
    }
    // The sealed file cannot be written through any of them.
    let ran = place.exec(&["--fd", "3=a"], "echo x >/dev/fd/3 || echo refused");
    assert!(ran.ok().out.ends_with("refused\n"));
}

#[test]
fn a_descriptor_that_cannot_be_had_is_refused_by_its_number_before_anything_is_released() {
    let place = RuntimeFolder::new();
    let before = place.log();
    let ran = place.world.sh(&format!("'{KEYVAULT}' exec --fd 3=a -- true 3</dev/null"));
    ran.fails_with(
        125,
        "
            error: Descriptor 3 is in use: keyvault was started with it open.
                   Nothing was released. Choose another number, or close it: 3<&-
        ",
    );
    place.exec(&["--fd", "3=a", "--fd", "3=b"], "true").fails_with(
        125,
        "
            error: Descriptor 3 is used for two keys.
                   Nothing was released. Use a different number for each `--fd`.
        ",
    );
    for number in ["2", "0", "x", "", "99999999999"] {
        place.exec(&["--fd", &format!("{number}=a")], "true").fails_with(
            125,
            "
                error: The value of `--fd` is not a descriptor: a number from 3 up (`--stdin NAME` is for 0).
                       See its usage with `keyvault exec --help`.
            ",
        );
    }
    let ran = place.world.sh(&format!("ulimit -n 64; '{KEYVAULT}' exec --fd 64=a -- true"));
    ran.fails_with(
        125,
        "
            error: Descriptor 64 is too high: the limit is 64 open files.
                   Nothing was released. Choose a lower number, or raise the limit with `ulimit -n`.
        ",
    );
    let ran = place.world.sh(&format!("ulimit -n 64; '{KEYVAULT}' exec --fd 63=a -- cat /dev/fd/63"));
    assert_eq!(ran.ok().out, "a");
    let log = place.world.run(&["audit", "log", "--json"]).ok().out;
    assert_eq!(log.lines().filter(|line| line.contains("\"exec\"")).count(), 1);
    assert_eq!(before["action"], "add");
}

// ── Which keys, and what the log says ────────────────────────────────────────────────────────────────────────────────

#[test]
fn a_delivered_key_is_a_variable_only_if_it_is_named_as_one() {
    let place = RuntimeFolder::new();
    let show = "echo \"${A-none} ${B-none} ${X-none}\"";
    for (arguments, expected) in [
        (&["--scope", "s", "--fd", "3=a", "--fd", "4=bin"][..], "none b none\n"),
        (&["--all", "--stdin", "a", "--fd", "4=bin"], "none b none\n"),
        (&["--only", "a", "--fd", "3=a"], "a none none\n"),
        (&["--as", "X=a", "--fd", "3=a"], "none none a\n"),
        (&["--fd", "3=a"], "none none none\n"),
        (&["--file", "X=a"], "none none a\n"),
    ] {
        let out = place.exec(arguments, show).ok().out;
        let out = out.replace(place.runtime.path().to_str().unwrap(), "");
        let out = if out.contains("/keyvault/run-") { "none none a\n".to_owned() } else { out };
        assert_eq!(out, expected, "{arguments:?}");
    }
}

#[test]
fn one_event_says_which_keys_and_how_each_was_delivered() {
    let place = RuntimeFolder::new();
    let arguments = ["--only", "a", "--fd", "3=bin", "--stdin", "b", "--file", "F=lines"];
    place.exec(&arguments, "true").ok();
    let event = place.log();
    let detail = "sh: lines in a file, bin on descriptor 3, b on standard input";
    assert_eq!(event["detail"], detail);
    assert_eq!(event["keys"].as_array().unwrap().len(), 4);
}

#[test]
fn everything_that_is_wrong_is_said_at_once_and_leaves_nothing_behind() {
    let place = RuntimeFolder::new();
    place.world.run_with_input(&["add", "e"], "e").ok();
    place.world.run(&["edit", "e", "--expires", "2020-01-01"]).ok();
    let before = place.log();
    let ran = place.exec(
        &[
            "--fd", "3=gone", "--fd", "4=gone", "--file", "F=e", "--stdin", "e", "--only", "a", "--file",
            "A=b",
        ],
        "echo started",
    );
    assert_eq!(
        ran.fails_with(125, "
                error: Cannot release the keys:
                  gone: no such key
                  e: expired on 2020-01-01 00:00
                  a: A would hold both a value and the path of a file (choose another variable for one of them)
                       Extend expired keys (`keyvault edit e --expires 30d`), or leave them out (`--skip-expired`).
            ").err,
        "error: Cannot release the keys:\n  gone: no such key\n  e: expired on 2020-01-01 00:00\n  \
         a: A would hold both a value and the path of a file (choose another variable for one of them)\n       Extend expired keys \
         (`keyvault edit e --expires 30d`), or leave them out (`--skip-expired`).\n"
    );
    place.exec(&["--file", "F=a", "--file", "F=b"], "true").fails_with(
        125,
        "
            error: F is used for two files.
                   Nothing was released. Use a different variable for each `--file` and for `--docker-env`.
        ",
    );
    place.exec(&["--file", "F=a", "--docker-env", "F"], "true").fails_with(
        125,
        "
            error: F is used for two files.
                   Nothing was released. Use a different variable for each `--file` and for `--docker-env`.
        ",
    );
    place.exec(&["--file", "LD_PRELOAD=a"], "true").fails_with(
        125,
        "
            error: The value of `--file` is a variable that makes programs run or load code.
                   See its usage with `keyvault exec --help`.
        ",
    );
    place.exec(&["--docker-env", "F"], "true").fails_with(
        125,
        "
            error: No keys chosen.
                   Choose keys with `--only NAME`, `--scope SCOPE`, `--as VAR=NAME` or `--all`.
                   In a project, `keyvault project add NAME` records a key, and `exec` needs no options.
                   scopes: s
                   keys:   a, b, bin, e, lines
        ",
    );
    assert_eq!(place.log(), before);
    assert_eq!(place.left(), NOTHING);
}

#[test]
fn a_dry_run_says_where_each_key_would_go() {
    let place = RuntimeFolder::new();
    let arguments = ["--scope", "s", "--file", "F=lines", "--fd", "3=bin", "--stdin", "b", "--dry-run"];
    let ran = place.exec(&arguments, "true").ok();
    assert_eq!(ran.out, "A <- a\nfile in F <- lines\ndescriptor 3 <- bin\nstandard input <- b\n");
    let ran = place.exec(&["--only", "a", "--docker-env", "E", "--dry-run"], "true").ok();
    assert_eq!(ran.out, "A in the env-file in E <- a\n");
    let json = place.exec(&[&arguments[..], &["--json"]].concat(), "true").ok().json();
    let expected = serde_json::json!({ "keys": [
        { "variable": "A", "file": null, "descriptor": null, "name": "a" },
        { "variable": null, "file": "F", "descriptor": null, "name": "lines" },
        { "variable": null, "file": null, "descriptor": 3, "name": "bin" },
        { "variable": null, "file": null, "descriptor": 0, "name": "b" },
    ], "defaults": [], "settings": [], "from_env_file": [], "env_file": null, "left_out": [], "skipped": [] });
    assert_eq!(json, expected);
    place.world.file("x.env", "PORT=3000\n");
    let json = place
        .exec(&["--only", "a", "--env-file", "x.env", "--docker-env", "E", "--dry-run", "--json"], "true");
    let expected = serde_json::json!({
        "keys": [{ "variable": "A", "file": null, "descriptor": null, "name": "a" }], "defaults": [], "settings": [], "from_env_file": ["PORT"], "env_file": "E", "left_out": [], "skipped": [],
    });
    assert_eq!(json.ok().json(), expected);
    assert_eq!(place.left(), NOTHING);
}

// ── Files ────────────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn a_file_is_exact_private_in_memory_and_gone_when_the_command_ends() {
    let mut place = RuntimeFolder::new();
    place.world.set("KEY", "inherited");
    let ran = place.exec(
        &["--file", "KEY=bin"],
        "umask 000; stat -f -c %T \"$KEY\"; stat -c '%a %u %h %n' \"$KEY\" \"${KEY%/*}\" \"${KEY%/*/*}\"; cat \"$KEY\"",
    );
    let ran = ran.ok();
    let root = place.runtime.path().to_str().unwrap();
    let uid = rustix::process::geteuid().as_raw();
    let (head, value) = ran.bytes.split_at(ran.bytes.len() - binary().len());
    assert!(value == binary());
    let head = String::from_utf8(head.to_vec()).unwrap();
    let mut lines = head.lines();
    assert_eq!(lines.next(), Some("tmpfs"));
    let file = lines.next().unwrap();
    assert!(
        file.starts_with(&format!("600 {uid} 1 {root}/keyvault/run-")) && file.ends_with("/KEY"),
        "{file}"
    );
    for folder in lines {
        assert!(folder.starts_with(&format!("700 {uid} ")), "{folder}");
    }
    assert_eq!(place.left(), NOTHING);
}

#[test]
fn a_file_is_gone_whatever_ends_the_command_or_us() {
    let place = RuntimeFolder::new();
    for code in [0, 1, 42, 255] {
        assert_eq!(place.exec(&["--file", "F=a"], &format!("exit {code}")).code, code);
    }
    for (name, number) in [("TERM", 15), ("KILL", 9), ("SEGV", 11), ("PIPE", 13)] {
        let ran = place.exec(&["--file", "F=a"], &format!("ulimit -c 0; kill -{name} $$"));
        assert_eq!(ran.code, 128 + number, "{name}");
    }
    let file = place.world.file("plain", "text");
    place.world.run(&["exec", "--file", "F=a", "--", file.to_str().unwrap()]).fails_with(
        126,
        "
            error: ~/plain cannot be run: permission denied.
                   Nothing was released.
        ",
    );
    place.world.sh("printf '#!/opt/none/sh\\n' > script; chmod 755 script").ok();
    place.world.run(&["exec", "--file", "F=a", "--", "./script"]).fails_with(
        127,
        "
            error: The interpreter of ./script does not exist: /opt/none/sh.
                   Install it, or correct the script's first line. The audit log counts the values as released.
        ",
    );
    place.world.run(&["exec", "--file", "F=a", "--", "no-such"]).fails_with(
        127,
        "
            error: Command not found: no-such.
                   Nothing was released.
        ",
    );
    assert_eq!(place.left(), NOTHING);

    for (signal, number) in [(Signal::TERM, 15), (Signal::INT, 2), (Signal::HUP, 1), (Signal::QUIT, 3)] {
        let script = "ulimit -c 0; echo \"$F\"; while :; do sleep 0.02; done";
        let mut running = Running::start(&place, &["--file", "F=a"], script);
        let file = PathBuf::from(running.line());
        assert_eq!(std::fs::read(&file).unwrap(), b"a");
        running.signal(signal);
        assert_eq!(running.child.wait().unwrap().signal(), Some(number));
        assert!(!file.exists());
        assert_eq!(place.left(), NOTHING);
    }
}

#[test]
fn a_file_that_a_killed_run_left_is_gone_with_the_next_command_and_the_child_lives_on() {
    let place = RuntimeFolder::new();
    let script = "exec 9<\"$F\"; echo \"$$ $F\"; read line; cat <&9; [ -e \"$F\" ] || echo gone";
    let mut command = place.world.command(KEYVAULT);
    command.args(["exec", "--file", "F=a", "--", "sh", "-c", script]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    let (pid, file) = line.trim().split_once(' ').unwrap();
    let stdin = child.stdin.take();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(Path::new(file).exists(), "nobody was there to take it away");
    // Another run that lives keeps its own.
    let mut other = Running::start(&place, &["--file", "F=b"], "echo \"$F\"; while :; do sleep 0.02; done");
    let others = other.line();
    assert!(!Path::new(file).exists());
    place.world.run(&["list"]).ok();
    assert_eq!(place.left(), [Path::new(&others).parent().unwrap()]);
    other.signal(Signal::TERM);
    other.child.wait().unwrap();

    let process = Pid::from_raw(pid.parse().unwrap()).unwrap();
    assert!(test_kill_process(process).is_ok(), "the command lives on");
    drop(stdin);
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "agone\n", "and what it had opened stays readable");
}

/// Processes that the command leaves running go on being masked, by a process that must not keep the folder.
#[test]
fn what_a_killed_run_left_is_gone_although_something_goes_on_writing() {
    let place = RuntimeFolder::new();
    let script = "sleep 300 & echo \"$! $$ $F\"; trap 'exit 3' TERM; while :; do sleep 0.02; done";
    let arguments = ["--mask", "--watch", "--only", "a", "--file", "F=b"];
    let mut running = Running::start(&place, &arguments, script);
    let mut left = vec![running.line()];
    place.world.run_with_input(&["rotate", "a", "--stdin"], "a2").ok();
    left.push(running.line());
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    place.world.run(&["lock"]).ok();
    assert_eq!(place.left(), NOTHING);
    for line in left {
        for pid in line.split(' ').take(2) {
            // The first start has ended, all the rest goes on.
            let _ = kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), Signal::KILL);
        }
    }
}

#[test]
fn a_run_folder_with_the_number_of_a_living_process_is_removed_all_the_same() {
    let place = RuntimeFolder::new();
    place.exec(&["--file", "F=a"], "true").ok();
    let left = place.runtime.path().join("keyvault").join(format!("run-{}-0", std::process::id()));
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("KEY"), "x").unwrap();
    place.exec(&["--file", "F=a"], "true").ok();
    assert!(!left.exists());
}

#[test]
fn what_was_delivered_is_masked_wherever_it_came_from() {
    let place = RuntimeFolder::new();
    for name in ["first", "second", "third", "fourth"] {
        place.world.run_with_input(&["add", name], format!("{name}-secret")).ok();
    }
    let script = "cat \"$F\"; echo; cat <&3; echo; cat; echo; cat \"$E\"; echo done";
    let arguments = [
        "--mask",
        "--file",
        "F=first",
        "--fd",
        "3=second",
        "--stdin",
        "third",
        "--only",
        "fourth",
        "--docker-env",
        "E",
    ];
    let ran = place.exec(&arguments, script).ok();
    assert!(ran.out.ends_with("done\n") && !ran.out.contains("secret"), "{}", ran.out);
    let arguments = ["--mask", "--watch", "--on-rotate", "HUP", "--file", "F=first"];
    place.exec(&arguments, "true").fails_with(125, "
            error: With `--on-rotate`, files receive new values that the mask does not know.
                   Nothing was released. Leave out `--on-rotate` to restart the command instead, or use `--no-mask`.
        ");
    assert_eq!(place.left(), NOTHING);
}

// ── docker's env-file ────────────────────────────────────────────────────────────────────────────────────────────────

/// Reads an env-file as docker documents it: a line each; blank ones and those that begin with # are nothing; white space
/// before the name goes; everything behind the first = is the value. Lines end in \n, before which one \r goes; they are
/// UTF-8, and shorter than 64 KiB.
fn as_docker_reads(file: &[u8]) -> Vec<(String, String)> {
    let text = std::str::from_utf8(file).expect("docker refuses what is not UTF-8");
    let mut read = Vec::new();
    for line in text.split_terminator('\n') {
        assert!(line.len() < 64 * 1024, "docker refuses the line");
        let line = line.strip_suffix('\r').unwrap_or(line).trim_start();
        if !line.is_empty() && !line.starts_with('#') {
            let (name, value) =
                line.split_once('=').expect("a name alone would be taken from docker's own environment");
            assert!(!name.is_empty() && !name.contains([' ', '\t']));
            read.push((name.to_owned(), value.to_owned()));
        }
    }
    read
}

#[test]
fn docker_reads_every_value_as_it_is_and_has_none_in_its_own_environment() {
    let place = RuntimeFolder::new();
    let values = [
        ("q1", "'single'".to_owned()),
        ("q2", "\"double\" \\n \\".to_owned()),
        ("q3", "$HOME `id` $(id) ${X}".to_owned()),
        ("q4", "# no comment".to_owned()),
        ("q5", "  spaces and a tab\t ".to_owned()),
        ("q6", "a=b=c".to_owned()),
        ("q7", "\u{feff}ümläut\r in the middle".to_owned()),
        ("q8", String::new()),
        ("q9", "x".repeat(65_535 - 3)),
    ];
    for (name, value) in &values {
        let file = place.world.file("value", value);
        place.world.run(&["add", name, "--scope", "q", "--file", file.to_str().unwrap()]).ok();
    }
    let script = "cat \"$ENVFILE\"; env | grep -q ^Q && echo leaked; stat -c '%a' \"$ENVFILE\" >&2";
    let ran = place.exec(&["--scope", "q", "--docker-env", "ENVFILE"], script).ok();
    let expected: Vec<_> = values.iter().map(|(name, value)| (name.to_uppercase(), value.clone())).collect();
    assert!(as_docker_reads(&ran.bytes) == expected);
    assert_eq!(ran.err, "600\n");
    assert_eq!(place.left(), NOTHING);
    // Other ways of delivery go beside it.
    let ran = place.exec(&["--only", "a", "--docker-env", "E", "--fd", "3=b"], "cat \"$E\"; cat <&3").ok();
    assert_eq!(ran.out, "A=a\nb");
}

#[test]
fn case_47_what_docker_would_misread_is_refused_by_the_keys_names() {
    let place = RuntimeFolder::new();
    for (name, value) in [
        ("newline", b"a\nINJECTED=1".to_vec()),
        ("return", b"a\r".to_vec()),
        ("latin", b"\xfcml\xe4ut".to_vec()),
        ("nul", b"a\0b".to_vec()),
        ("long", vec![b'x'; 65_535 - 4]),
    ] {
        place.world.run_with_input(&["add", name, "--exact", "--scope", "bad"], value).ok();
    }
    let ran = place.exec(&["--scope", "bad", "--docker-env", "E"], "echo started").fails_with(
        125,
        "
                error: Cannot release the keys:
                  latin: its value is not UTF-8, which docker refuses
                  long: 65536 bytes with its variable; docker accepts 65535 in a line
                  newline: its value has a newline, which an env-file cannot carry
                  nul: its value contains a NUL byte, which no variable can carry
                  return: its value ends in a carriage return, which docker drops
            ",
    );
    assert_eq!(
        ran.err,
        "error: Cannot release the keys:\n  \
         latin: its value is not UTF-8, which docker refuses\n  \
         long: 65536 bytes with its variable; docker accepts 65535 in a line\n  \
         newline: its value has a newline, which an env-file cannot carry\n  \
         nul: its value contains a NUL byte, which no variable can carry\n  \
         return: its value ends in a carriage return, which docker drops\n"
    );
    assert_eq!(ran.out, "");
}

#[test]
fn an_env_file_lives_as_long_as_the_command() {
    let place = RuntimeFolder::new();
    let mut running = Running::start(
        &place,
        &["--only", "a", "--docker-env", "E"],
        "echo \"$E\"; while :; do sleep 0.02; done",
    );
    let file = PathBuf::from(running.line());
    assert_eq!(std::fs::read(&file).unwrap(), b"A=a\n");
    running.signal(Signal::TERM);
    running.child.wait().unwrap();
    wait_until("the file is gone", || !file.exists());
}

/// A machine with a bundle never opens a vault; who needs no file, on the straight path to a command, does not look.
#[test]
fn case_50_what_a_killed_run_left_is_swept_by_the_next_with_a_file_and_by_who_looks_after_things() {
    let (mut world, runtime) = with_runtime();
    let told = world.run(&["token", "create", "ci", "--key", "a", "--json"]).ok().json();
    world.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb"]).ok();
    let literals = world.file("literals.env", "X=1\n");
    let literals = literals.to_str().unwrap();
    let left = |world: &World| {
        let mut command = world.command(KEYVAULT);
        command.args(["exec", "--file", "F=a", "--", "sh", "-c", "echo; exec sleep 60"]).process_group(0);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let group = Pid::from_child(&child);
        rustix::process::kill_process_group(group, Signal::KILL).unwrap();
        child.wait().unwrap();
        assert_eq!(runs(&runtime).len(), 1);
    };
    left(&world);
    world.run(&["exec", "--only", "a", "--", "true"]).ok();
    assert_eq!(runs(&runtime).len(), 1, "the straight path does not look");
    for next in [&["unlock", "--for", "1m"][..], &["lock"], &["doctor"]] {
        world.run(next);
        assert_eq!(runs(&runtime), Vec::<PathBuf>::new(), "{next:?}");
        left(&world);
    }
    world.unset("KEYVAULT_PASSPHRASE");
    world.set("KEYVAULT_TOKEN", told["token"].as_str().unwrap());
    world.set("KEYVAULT_BUNDLE", "keys.kvb");
    for next in [
        &["exec", "--file", "F=a", "--", "true"][..],
        &["exec", "--env-file", literals, "--docker-env", "D", "--", "true"],
    ] {
        world.run(next).ok();
        assert_eq!(runs(&runtime), Vec::<PathBuf>::new(), "{next:?}");
        left(&world);
    }
}

/// With values of its own alone the command took our place, and the next run swept its file away under it.
#[test]
fn an_env_files_own_values_stand_in_dockers_env_file_for_as_long_as_the_command_runs() {
    let (world, runtime) = with_runtime();
    let own = world.file("own.env", "X=1\n");
    let mixed = world.file("mixed.env", "X=1\nY=kv://a\n");
    let script = format!("'{KEYVAULT}' exec --only a -- true; cat \"$D\"; echo \"<$X$Y>\"");
    let command = |file: &Path| {
        let arguments = ["exec", "--env-file", file.to_str().unwrap(), "--docker-env", "D", "--", "sh", "-c"];
        let mut all = arguments.to_vec();
        let credentials = format!("KEYVAULT_PASSPHRASE='{}' {script}", crate::harness::PASSPHRASE);
        all.push(&credentials);
        world.run(&all).ok().out
    };
    assert_eq!(command(&own), "X=1\n<>\n");
    assert_eq!(command(&mixed), format!("Y={PLAIN}\nX=1\n<>\n"));
    assert_eq!(runs(&runtime), Vec::<PathBuf>::new());
}

#[test]
fn a_default_stands_in_dockers_env_file_and_what_docker_would_misread_is_refused() {
    let (world, _runtime) = with_runtime();
    world.file(".keyvault.toml", "[keys]\nA = \"a\"\nPORT = { key = \"port\", default = \"8080\" }\n");
    world.run(&["project", "approve", "--yes"]).ok();
    let script = "cat \"$D\"; echo \"<$A$PORT>\"";
    let ran = world.run(&["exec", "--docker-env", "D", "--", "sh", "-c", script]).ok();
    assert_eq!(ran.out, format!("A={PLAIN}\nPORT=8080\n<>\n"));
    let lines = world.file("lines.env", "X=\"one\\ntwo\"\n");
    let arguments = ["exec", "--env-file", lines.to_str().unwrap(), "--docker-env", "D", "--", "true"];
    let ran = world.run(&arguments).fails_with(
        125,
        "
            error: X cannot be passed to docker: its value has a newline, which an env-file cannot carry.
                   Nothing was released.
        ",
    );
    assert!(ran.err.contains('X') && ran.err.contains("Nothing was released"), "{}", ran.err);
}

/// Both were in the environment, and the program found the first.
#[test]
fn a_variable_with_a_files_path_is_not_given_another_value_as_well() {
    let (world, _runtime) = with_runtime();
    let own = world.file("own.env", "F=1\n");
    for more in [&["--file", "F=a"][..], &["--only", "a", "--docker-env", "F"]] {
        let arguments = [&["exec", "--env-file", own.to_str().unwrap()], more, &["--", "env"]].concat();
        world.run(&arguments).fails_with(
            125,
            "
                error: F would hold the path of a file, but an env-file or the project file also sets it.
                       Nothing was released. Use another variable for one of them.
            ",
        );
    }
    world.file(".keyvault.toml", "[keys]\nF = { key = \"f\", default = \"8080\" }\n");
    world.run(&["project", "approve", "--yes"]).ok();
    world.run(&["exec", "--docker-env", "F", "--", "env"]).fails_with(
        125,
        "
            error: F would hold the path of a file, but an env-file or the project file also sets it.
                   Nothing was released. Use another variable for one of them.
        ",
    );
}
