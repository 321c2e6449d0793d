//! A value that is easy to recognise goes through every command. Afterwards nothing but what was asked for may hold
//! it, whole or any eight bytes of it: streams, files, and the memory of the process at its end.
//!
//! The memory is read while strace holds the process at the entry of `exit_group`, when everything that is ever
//! wiped has been. Reading another process's memory needs root.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::harness::bearer::held;
use crate::harness::desktop::Bus;
use crate::harness::{KEYVAULT, Ran, World};

/// No eight bytes of it are found anywhere by chance.
const CANARY: &str = "Zq7vXk2Lw9TrNb4Hy8Jd3Fs6Gm1Pc5Qe";
const PIECE: usize = 8;
/// `exit_group` on this machine's architecture.
const EXIT: i64 = if cfg!(target_arch = "aarch64") { 94 } else { 231 };

/// A command that ends by another call than the one that strace holds back, which would hold it back as well.
const ENDING: &[&str] = &[
    "--",
    "/usr/bin/perl",
    "-e",
    if cfg!(target_arch = "aarch64") { "syscall(93, 0)" } else { "syscall(60, 0)" },
];

/// Where the canary or a piece of it stands.
fn pieces(bytes: &[u8]) -> Vec<(usize, String)> {
    pieces_of(CANARY, bytes)
}

/// Where a secret or a piece of it stands.
fn pieces_of(secret: &str, bytes: &[u8]) -> Vec<(usize, String)> {
    let known: HashSet<&[u8]> = secret.as_bytes().windows(PIECE).collect();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(window) = bytes.get(at..at + PIECE) {
        if known.contains(window) {
            let end = bytes.len().min(at + secret.len());
            found.push((at, String::from_utf8_lossy(&bytes[at..end]).into_owned()));
            at += PIECE;
        } else {
            at += 1;
        }
    }
    found
}

#[track_caller]
fn no_trace_in(what: &str, bytes: &[u8]) {
    let found = pieces(bytes);
    assert!(found.is_empty(), "{what}: {found:?}");
}

/// Runs a command to the entry of `exit_group`, and gives back what its writable memory holds of the canary.
fn memory_at_the_end(world: &World, arguments: &[&str], input: &str) -> (Ran, Vec<String>) {
    memory_with(world, arguments, input, &[CANARY])
}

/// The same of several secrets.
fn memory_with(world: &World, arguments: &[&str], input: &str, secrets: &[&str]) -> (Ran, Vec<String>) {
    let mut command = world.command("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=exit_group"]);
    command.args(["-e", "inject=exit_group:delay_enter=60000000", KEYVAULT]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut strace = command.spawn().expect("strace is needed for this test");
    strace.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let begun = Instant::now();
    let pid = loop {
        assert!(begun.elapsed() < Duration::from_secs(20), "{arguments:?} never came to its end");
        std::thread::sleep(Duration::from_millis(5));
        let children = format!("/proc/{0}/task/{0}/children", strace.id());
        let Ok(children) = std::fs::read_to_string(children) else { continue };
        let Some(pid) = children.split_whitespace().next().map(str::to_owned) else { continue };
        // strace tries the kernel out with children of its own before it starts ours.
        if !std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|program| program == Path::new(KEYVAULT))
        {
            continue;
        }
        let at = std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
        if at.split(' ').next().and_then(|number| number.parse().ok()) == Some(EXIT) {
            break pid;
        }
    };
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
    (Ran { code: 0, out: String::from_utf8_lossy(&out).into_owned(), err, bytes: out }, traces)
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
fn no_command_that_must_not_show_a_value_shows_it_or_leaves_it_in_a_file() {
    let world = World::own();
    let quiet = |ran: Ran| {
        no_trace_in("stdout", &ran.bytes);
        no_trace_in("stderr", ran.err.as_bytes());
    };
    quiet(world.run_with_input(&["add", "a", "--scope", "s"], CANARY).ok());
    quiet(world.run_with_input(&["add", "a"], CANARY).fails(6, "already exist"));
    let file = world.file("value", CANARY);
    quiet(world.run(&["add", "b", "--file", file.to_str().unwrap()]).ok());
    std::fs::remove_file(file).unwrap();
    let file = world.file(".env", format!("C={CANARY}\nD='{CANARY} twice {CANARY}'\n"));
    quiet(world.run(&["import", file.to_str().unwrap(), "--scope", "s", "--dry-run"]).ok());
    quiet(world.run(&["import", file.to_str().unwrap(), "--scope", "s"]).ok());
    quiet(world.run(&["import", file.to_str().unwrap()]).fails(6, "already exist"));
    quiet(world.run(&["import", file.to_str().unwrap(), "--on-conflict", "replace"]).ok());
    std::fs::remove_file(file).unwrap();
    let broken =
        world.file("broken.json", format!("{{\"E\": \"{CANARY}\", \"F\": {{\"x\": \"{CANARY}\"}}}}"));
    quiet(world.run(&["import", broken.to_str().unwrap()]));
    std::fs::remove_file(broken).unwrap();
    let token = world.run(&["token", "create", "ci", "--scope", "s"]).ok().out.trim_end().to_owned();
    for command in [
        &["list"] as &[&str],
        &["list", "--json"],
        &["show", "a"],
        &["show", "a", "--json"],
        &["exec", "--all", "--dry-run", "--", "true"],
        &["exec", "--scope", "s", "--", "true"],
        &["project", "add", "a"],
        &["project", "approve", "--yes", "--json"],
        &["project", "check"],
        &["project", "check", "--json"],
        &["exec", "--", "true"],
        &["exec", "--dry-run", "--", "true"],
        &["exec", "--fd", "3=a", "--stdin", "b", "--file", "F=a", "--", "true"],
        &["exec", "--only", "a", "--docker-env", "E", "--", "true"],
        &["exec", "--only", "a", "--docker-env", "E", "--fd", "3=b", "--dry-run", "--", "true"],
        &["exec", "--watch", "--only", "a", "--file", "F=b", "--", "true"],
        &["exec", "--docker-env", "E", "--scope", "s", "--only", "d", "--as", "E=d", "--", "true"],
        &["exec", "--mask", "--only", "a", "--", "sh", "-c", "echo $A; echo $A | base64 >&2"],
        &["doctor", "--json"],
        &["token", "list", "--json"],
        &["token", "show", "ci"],
        &["bundle", "create", "--token", "ci", "-o", "keys.kvb"],
        &["edit", "a", "--rename", "z", "--note", "n"],
        &["bundle", "update", "keys.kvb"],
        &["audit", "log"],
        &["audit", "log", "--json"],
        &["audit", "verify"],
        &["vault", "check"],
        &["status"],
    ] {
        let ran = world.run(command);
        // There is no key d, and no session.
        let fails = ["doctor", "status"].contains(&command[0]) || command.contains(&"E=d");
        assert!(ran.code == 0 || fails, "{command:?}: {}", ran.err);
        quiet(ran);
    }
    // A machine's.
    for command in [
        &["exec", "--all", "--", "true"] as &[&str],
        &["exec", "--all", "--bundle", "keys.kvb", "--", "true"],
        &["exec", "--all", "--bundle", "keys.kvb", "--dry-run", "--", "true"],
        &["exec", "--all", "--mask", "--bundle", "keys.kvb", "--", "sh", "-c", "env"],
        &["exec", "--bundle", "keys.kvb", "--only", "none", "--", "true"],
        &["project", "check"],
        &["status", "-v"],
    ] {
        let ran = held(&world, &token, command);
        assert!(ran.code == 0 || !command.contains(&"--all"), "{command:?}: {}", ran.err);
        assert!(pieces_of(&token, &ran.bytes).is_empty() && pieces_of(&token, ran.err.as_bytes()).is_empty());
        quiet(ran);
    }
    let reads =
        world.every_file().into_iter().find(|(path, _)| path.extension().is_some_and(|it| it == "jsonl"));
    quiet(world.run(&["audit", "import", reads.expect("a log of reads").0.to_str().unwrap()]).ok());
    quiet(world.run(&["audit", "log", "--token", "ci"]).ok());
    let renewed = world.run(&["token", "renew", "ci"]).ok();
    no_trace_in("stderr", renewed.err.as_bytes());
    quiet(world.run(&["token", "revoke", "ci"]).ok());
    // Those that were asked to.
    assert_eq!(world.run(&["show", "z", "--reveal"]).ok().out, CANARY);
    assert!(world.run(&["export", "--scope", "s"]).ok().out.contains(CANARY));
    assert!(world.run(&["exec", "--only", "b", "--", "printenv", "B"]).ok().out.contains(CANARY));
    let printed = world.run(&["generate", "printed", "--print"]).ok().out;
    quiet(world.run(&["remove", "b", "--yes"]).ok());
    // Nor in memory that has a name.
    let left = std::fs::read_dir("/dev/shm").unwrap().map(|entry| entry.unwrap().path());
    assert!(
        !left.filter(|path| path.is_file()).any(|path| !pieces(&std::fs::read(path).unwrap()).is_empty())
    );
    for (path, bytes) in world.every_file() {
        no_trace_in(&path.display().to_string(), &bytes);
        // Behind what every value of that kind begins with.
        for printed in [&printed[3..], &token[4..], &renewed.out[4..]] {
            assert!(pieces_of(printed.trim_end(), &bytes).is_empty(), "{}", path.display());
        }
    }
}

#[test]
fn names_scopes_tags_and_notes_are_in_no_file() {
    let world = World::own();
    let marks = ["NameQx71Zk", "ScopeQx72Zk", "TagQx73Zk", "TagValueQx74Zk", "NoteQx75Zk", "VARIABLE_QX76ZK"];
    let [name, scope, tag, tag_value, note, variable] = marks;
    let tag = format!("{tag}={tag_value}");
    world.run(&["generate", name, "--scope", scope, "--tag", &tag, "--note", note, "--env", variable]).ok();
    world.run(&["exec", "--scope", scope, "--", "true"]).ok();
    world.run(&["edit", name, "--untag", "TagQx73Zk", "--note", "other"]).ok();
    world.run(&["show", name, "--reveal"]).ok();
    let search = |when: &str| {
        for (path, bytes) in world.every_file() {
            for mark in marks {
                let found = bytes.windows(mark.len()).any(|piece| piece == mark.as_bytes());
                assert!(!found, "{mark} is in {} {when}", path.display());
            }
        }
    };
    search("while it lives");
    world.run(&["remove", name, "--yes"]).ok();
    search("after it was removed");
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
    world.sh("printf 'echo no interpreter named' > script; chmod 755 script").ok();
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
    world.sh("printf 'echo no interpreter named' > script; chmod 755 script").ok();
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
    world.sh("printf 'echo no interpreter named' > script; chmod 755 script").ok();
    world.run(&["vault", "slot", "add", "keyring"]).ok();
    world.unset("KEYVAULT_PASSPHRASE");
    for arguments in [&["exec", "--all", "--", "./script"] as &[&str], &["show", "a", "--reveal"]] {
        world.run(&["lock"]).ok();
        let (_, traces) = memory_at_the_end(&world, arguments, "");
        assert!(traces.is_empty(), "{arguments:?}: {}", traces.join("\n"));
    }
    drop(bus);
}
