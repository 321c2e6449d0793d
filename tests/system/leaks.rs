//! A value that is easy to recognize goes through every command. Afterwards nothing but what was asked for may hold
//! it, whole or any eight bytes of it: streams, files, and the memory of the process at its end.
//!
//! The memory is read while strace holds the process at the entry of `exit_group`, when everything that is ever
//! wiped has been. Reading another process's memory needs root.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::process::Stdio;

use crate::harness::canary::{CANARY, pieces, pieces_of};
use crate::harness::desktop::Bus;
use crate::harness::terminal::Terminal;
use crate::harness::{KEYVAULT, Ran, World, poll};

/// `exit_group` on this machine's architecture.
const EXIT: i64 = if cfg!(target_arch = "aarch64") { 94 } else { 231 };

/// A command that ends by another call than the one that strace holds back, which would hold it back as well.
const ENDING: &[&str] = &[
    "--",
    "/usr/bin/perl",
    "-e",
    if cfg!(target_arch = "aarch64") { "syscall(93, 0)" } else { "syscall(60, 0)" },
];

/// Runs a command to the entry of `exit_group`, and gives back what its writable memory holds of the canary.
fn memory_at_the_end(world: &World, arguments: &[&str], input: &str) -> (Ran, Vec<String>) {
    memory_with(world, arguments, input, &[CANARY])
}

/// [`memory`] of several secrets.
fn memory_with(world: &World, arguments: &[&str], input: &str, secrets: &[&str]) -> (Ran, Vec<String>) {
    let mut command = world.command("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=exit_group"]);
    command.args(["-e", "inject=exit_group:delay_enter=60000000", KEYVAULT]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut strace = command.spawn().expect("strace is needed for this test");
    strace.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let at_its_end = || {
        let children = format!("/proc/{0}/task/{0}/children", strace.id());
        let pid = std::fs::read_to_string(children).ok()?.split_whitespace().next()?.to_owned();
        // strace tries the kernel out with children of its own before it starts ours.
        let ours = std::fs::read_link(format!("/proc/{pid}/exe")).ok()? == Path::new(KEYVAULT);
        let call = std::fs::read_to_string(format!("/proc/{pid}/syscall")).ok()?;
        let exits = call.split(' ').next()?.parse() == Ok(EXIT);
        (ours && exits).then_some(pid)
    };
    let pid = poll(at_its_end).unwrap_or_else(|| panic!("{arguments:?} never came to its end"));
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = File::open(format!("/proc/{pid}/mem")).expect("reading another process's memory needs root");
    let (mut traces, mut read) = (Vec::new(), 0);
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [start, end] = [start, end].map(|address| u64::from_str_radix(address, 16).unwrap());
        let mut region = vec![0; usize::try_from(end - start).unwrap()];
        if memory.read_exact_at(&mut region, start).is_ok() {
            read += region.len();
            let name = line.split_whitespace().nth(5).unwrap_or("anonymous");
            let found: Vec<_> = secrets.iter().flat_map(|secret| pieces_of(secret, &region)).collect();
            traces.extend(found.iter().map(|(at, text)| {
                format!("{name} +{at:#x}, {:#x} before its end: {text:?}", region.len() - at)
            }));
        }
    }
    assert!(read > 50_000, "only {read} bytes of memory could be read");
    strace.kill().unwrap();
    let (mut out, mut err) = (Vec::new(), String::new());
    strace.stdout.take().unwrap().read_to_end(&mut out).unwrap();
    strace.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    strace.wait().unwrap();
    (
        Ran {
            code: 0,
            out: String::from_utf8_lossy(&out).into_owned(),
            err,
            bytes: out,
            home: world.home().display().to_string(),
        },
        traces,
    )
}

/// A world in which the canary is the value of `a`.
fn with_canary() -> World {
    let world = World::own();
    world.run_with_input(&["add", "a", "--scope", "s"], CANARY).ok();
    world
}

#[test]
fn a_search_finds_what_is_there() {
    assert_eq!(pieces(format!("x{CANARY}").as_bytes()).first().map(|(at, _)| *at), Some(1));
    assert_eq!(pieces(&CANARY.as_bytes()[5..13]).len(), 1);
    assert!(pieces(&CANARY.as_bytes()[5..12]).is_empty());
    // The memory search too: an argument is in every process's memory.
    let (_, traces) = memory_at_the_end(&World::own(), &["show", CANARY], "");
    assert!(!traces.is_empty());
}

#[test]
fn no_command_leaves_a_value_in_its_memory() {
    let mut world = with_canary();
    world.file(".keyvault.toml", "[keys]\nA = 'a'\nURL = { template = 'x://u:{a|url}@h/{a}' }\n");
    world.run(&["project", "approve", "--yes"]).ok();
    world.file("reference.env", "R=kv://a\n");
    world.file("filled", "x: kv://a\n");
    world.file("github", "");
    world.set("GITHUB_ACTIONS", "true");
    world.set("GITHUB_ENV", world.home().join("github").to_str().unwrap().to_owned().as_str());
    world.sh("printf '#!/nowhere/sh\\n' > script; chmod 755 script").ok();
    let dotenv = format!("B={CANARY}\nC=\"{CANARY}\"\nD='x {CANARY}'\n");
    let json = format!("{{\"E\": \"{CANARY}\"}}");
    world.file("value", CANARY);
    world.file("in.env", &dotenv);
    let mut left = Vec::new();
    for (arguments, input) in [
        (&["show", "a", "--reveal"] as &[&str], ""),
        (&["show", "a", "--reveal", "--json"], ""),
        (&["add", "stdin"], CANARY),
        (&["add", "file", "--file", "value"], ""),
        (&["import", "-"], &dotenv),
        (&["import", "in.env", "--on-conflict", "replace"], ""),
        (&["import", "-"], &json),
        (&["export", "--scope", "s"], ""),
        (&["export", "--scope", "s", "--format", "json"], ""),
        (&["exec", "--all", "--", "./script"], ""),
        (&["exec", "--all", "--dry-run", "--", "true"], ""),
        (&["exec", "--", "./script"], ""),
        (&["exec", "--env-file", "in.env", "--env-file", "reference.env", "--", "./script"], ""),
        (&["project", "check"], ""),
        (&["project", "init", "in.env", "--json"], ""),
        (&["project", "render", "filled", "-o", "out"], ""),
        (&["project", "render", "filled"], ""),
        (&["export", "--only", "a", "--format", "github-env"], ""),
        (&["exec", "--fd", "3=a", "--stdin", "stdin", "--only", "file", "--", "./script"], ""),
        (&[&["exec", "--fd", "3=a", "--file", "F=stdin", "--only", "a"], ENDING].concat(), ""),
        (&[&["exec", "--docker-env", "E", "--only", "stdin"], ENDING].concat(), ""),
        (&[&["exec", "--watch", "--only", "a", "--file", "F=stdin"], ENDING].concat(), ""),
        (&["edit", "a", "--note", "n"], ""),
        (&["list"], ""),
        (&["vault", "check"], ""),
        (&["audit", "log"], ""),
        (&["remove", "a", "--yes"], ""),
    ] {
        let (ran, traces) = memory_at_the_end(&world, arguments, input);
        if !traces.is_empty() {
            left.push(format!("{}:\n  {}", arguments.join(" "), traces.join("\n  ")));
        }
        let fails = arguments.contains(&"./script") || arguments.contains(&"init");
        assert!(!ran.err.contains("error:") || fails, "{arguments:?}: {}", ran.err);
    }
    assert!(left.is_empty(), "{}", left.join("\n"));
}

/// A child that says its value and ends by the other call.
const SAYING: &[&str] = &[
    "--",
    "/usr/bin/perl",
    "-e",
    if cfg!(target_arch = "aarch64") {
        "$| = 1; print qq($ENV{A}\n); syscall(93, 0)"
    } else {
        "$| = 1; print qq($ENV{A}\n); syscall(60, 0)"
    },
];

#[test]
fn neither_a_token_nor_what_it_opens_stays_in_memory_and_what_is_masked_does_not_either() {
    let mut world = with_canary();
    world.sh("printf '#!/nowhere/sh\\n' > script; chmod 755 script").ok();
    let token = world.run(&["token", "create", "ci", "--scope", "s"]).ok().out.trim_end().to_owned();
    world.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb"]).ok();
    let mut left = Vec::new();
    let mut look = |world: &World, (arguments, command): (&[&str], &[&str])| {
        let arguments = [arguments, command].concat();
        let (ran, traces) = memory_with(world, &arguments, "", &[CANARY, &token]);
        if !traces.is_empty() {
            left.push(format!("{}:\n  {}", arguments.join(" "), traces.join("\n  ")));
        }
        assert!(!ran.err.contains("error:") || command[1..] == ["./script"], "{arguments:?}: {}", ran.err);
        assert!(!arguments.contains(&"--mask") || !ran.out.contains(CANARY), "{arguments:?}: {}", ran.out);
    };
    for step in [
        (&["exec", "--mask", "--only", "a"] as &[&str], SAYING),
        (&["exec", "--mask", "--watch", "--only", "a"], SAYING),
        (&["bundle", "update", "keys.kvb"], &[]),
        (&["token", "show", "ci"], &[]),
    ] {
        look(&world, step);
    }
    world.unset("KEYVAULT_PASSPHRASE");
    let file = world.file("token", &token);
    std::fs::set_permissions(file, PermissionsExt::from_mode(0o600)).unwrap();
    world.set("KEYVAULT_TOKEN_FILE", "token");
    for step in [
        (&["exec"] as &[&str], &["--", "./script"] as &[&str]),
        (&["exec", "--bundle", "keys.kvb"], &["--", "./script"]),
        (&["exec", "--bundle", "keys.kvb", "--mask"], SAYING),
        (&["exec", "--mask", "--file", "F=a", "--only", "a", "--bundle", "keys.kvb"], SAYING),
        (&["export", "--bundle", "keys.kvb"], &[]),
        (&["export"], &[]),
    ] {
        look(&world, step);
    }
    assert!(left.is_empty(), "{}", left.join("\n"));
}

#[test]
fn what_a_keyring_opens_does_not_stay_in_memory() {
    let mut world = with_canary();
    let bus = Bus::with_keyring(&mut world);
    world.sh("printf '#!/nowhere/sh\\n' > script; chmod 755 script").ok();
    world.run(&["vault", "slot", "add", "keyring"]).ok();
    world.unset("KEYVAULT_PASSPHRASE");
    for arguments in [&["exec", "--all", "--", "./script"] as &[&str], &["show", "a", "--reveal"]] {
        world.run(&["lock"]).ok();
        let (_, traces) = memory_at_the_end(&world, arguments, "");
        assert!(traces.is_empty(), "{arguments:?}: {}", traces.join("\n"));
    }
    drop(bus);
}

/// The pieces of the canary in the writable memory of a process that lives.
fn memory_of(pid: &str) -> Vec<String> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = File::open(format!("/proc/{pid}/mem")).expect("reading another process's memory needs root");
    let mut traces = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [start, end] = [start, end].map(|address| u64::from_str_radix(address, 16).unwrap());
        let mut region = vec![0; usize::try_from(end - start).unwrap()];
        if memory.read_exact_at(&mut region, start).is_ok() {
            let name = line.split_whitespace().nth(5).unwrap_or("anonymous");
            traces.extend(pieces(&region).iter().map(|(at, text)| format!("{name} +{at:#x}: {text:?}")));
        }
    }
    traces
}

/// The children of a process, with the names that the system shows.
fn children(pid: &str) -> Vec<(String, String)> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let named = |pid: &str| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        Some((pid.to_owned(), name.trim_end().to_owned()))
    };
    children.split_whitespace().filter_map(named).collect()
}

/// A process that does not outlive its test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

#[test]
fn helpers_that_are_forked_off_hold_no_value() {
    let world = with_canary();
    for (arguments, helpers) in [
        (&["exec", "--mask", "--only", "a"] as &[&str], &["keyvault-group"] as &[&str]),
        (&["exec", "--file", "F=a", "--only", "a"], &["keyvault-group"]),
    ] {
        let mut command = world.command(KEYVAULT);
        command.args(arguments).args(["--", "sleep", "60"]).stdout(Stdio::piped());
        let mut keyvault = Ended(command.spawn().unwrap());
        let pid = keyvault.0.id().to_string();
        helpers_hold_nothing(&pid, helpers);
        let own = rustix::process::Pid::from_child(&keyvault.0);
        rustix::process::kill_process(own, rustix::process::Signal::TERM).unwrap();
        keyvault.0.wait().unwrap();
    }
    let terminal = Terminal::shell(&world);
    terminal.type_line("keyvault exec --mask --only a -- sh -c 'echo \"<$A>\"; read x; read y'");
    terminal.wait_for("<[masked]>");
    let all =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let ours = |pid: &String| {
        std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == Path::new(KEYVAULT))
            && std::fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(world.home().to_str().unwrap()))
            && !children(pid).is_empty()
    };
    let pid = all.filter(ours).find(|pid| children(pid).iter().any(|(_, name)| name == "keyvault-group"));
    helpers_hold_nothing(&pid.expect("keyvault runs"), &["keyvault-group", "keyvault-tty"]);
    terminal.press("C-c");
    terminal.wait_for_times("READY>", 2);
}

/// Waits for these helpers of a process, and looks at their memory.
#[track_caller]
fn helpers_hold_nothing(pid: &str, helpers: &[&str]) {
    let found = poll(|| {
        let found = children(pid);
        let all = helpers.iter().all(|helper| found.iter().any(|(_, name)| name == helper));
        let sleeps =
            |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") S ");
        (all && found.iter().all(|(pid, _)| sleeps(pid))).then_some(found)
    });
    for (helper, name) in found.unwrap_or_else(|| panic!("{helpers:?} never came: {:?}", children(pid))) {
        if helpers.contains(&name.as_str()) {
            let traces = memory_of(&helper);
            assert!(traces.is_empty(), "{name}: {}", traces.join("\n"));
        }
    }
}
