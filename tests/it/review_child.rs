//! Bugs that a review of the child, of delivery and of masking found, each by the name of its finding.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use pretty_assertions::assert_eq;

use crate::harness::{KEYVAULT, World, finish};

const VALUE: &str = "Zq7vXk2Lw9TrNb4Hy8Jd3Fs6Gm1Pc5Qe";

/// A world with the key `a`, and a runtime folder of its own, so that other tests' runs do not sweep it.
fn filled() -> (World, tempfile::TempDir) {
    let runtime = tempfile::Builder::new().prefix("keyvault-test-").tempdir_in("/dev/shm").unwrap();
    let mut world = World::new();
    world.set("XDG_RUNTIME_DIR", runtime.path().to_str().unwrap());
    world.run_with_input(&["add", "a"], VALUE).ok();
    (world, runtime)
}

/// The folders of runs that lie there.
fn runs(runtime: &tempfile::TempDir) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(runtime.path().join("keyvault"));
    entries.map_or_else(|_| Vec::new(), |all| all.map(|entry| entry.unwrap().path()).collect())
}

// ── Files ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// A machine with a bundle never opens a vault; who needs no file, on the straight path to a command, does not look.
#[test]
fn case_50_what_a_killed_run_left_is_swept_by_the_next_with_a_file_and_by_who_looks_after_things() {
    let (mut world, runtime) = filled();
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
        let group = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
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
    let (world, runtime) = filled();
    let own = world.file("own.env", "X=1\n");
    let mixed = world.file("mixed.env", "X=1\nY=kv://a\n");
    let script = format!("'{KEYVAULT}' exec --only a -- true; cat \"$D\"; echo \"<$X$Y>\"");
    let command = |file: &std::path::Path| {
        let arguments = ["exec", "--env-file", file.to_str().unwrap(), "--docker-env", "D", "--", "sh", "-c"];
        let mut all = arguments.to_vec();
        let credentials = format!("KEYVAULT_PASSPHRASE='{}' {script}", crate::harness::PASSPHRASE);
        all.push(&credentials);
        world.run(&all).ok().out
    };
    assert_eq!(command(&own), "X=1\n<>\n");
    assert_eq!(command(&mixed), format!("Y={VALUE}\nX=1\n<>\n"));
    assert_eq!(runs(&runtime), Vec::<PathBuf>::new());
}

#[test]
fn a_default_stands_in_dockers_env_file_and_what_docker_would_misread_is_refused() {
    let (world, _runtime) = filled();
    world.file(".keyvault.toml", "[keys]\nA = \"a\"\nPORT = { key = \"port\", default = \"8080\" }\n");
    world.run(&["project", "allow", "--yes"]).ok();
    let script = "cat \"$D\"; echo \"<$A$PORT>\"";
    let ran = world.run(&["exec", "--docker-env", "D", "--", "sh", "-c", script]).ok();
    assert_eq!(ran.out, format!("A={VALUE}\nPORT=8080\n<>\n"));
    let lines = world.file("lines.env", "X=\"one\\ntwo\"\n");
    let arguments = ["exec", "--env-file", lines.to_str().unwrap(), "--docker-env", "D", "--", "true"];
    let ran = world.run(&arguments).fails(125, "newline");
    assert!(ran.err.contains('X') && ran.err.contains("Nothing was released"), "{}", ran.err);
}

/// Both were in the environment, and the program found the first.
#[test]
fn a_variable_with_a_files_path_is_not_given_another_value_as_well() {
    let (world, _runtime) = filled();
    let own = world.file("own.env", "F=1\n");
    for more in [&["--file", "F=a"][..], &["--only", "a", "--docker-env", "F"]] {
        let arguments = [&["exec", "--env-file", own.to_str().unwrap()], more, &["--", "env"]].concat();
        world.run(&arguments).fails(125, "F ");
    }
    world.file(".keyvault.toml", "[keys]\nF = { key = \"f\", default = \"8080\" }\n");
    world.run(&["project", "allow", "--yes"]).ok();
    world.run(&["exec", "--docker-env", "F", "--", "env"]).fails(125, "F ");
}

// ── Masking ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/// `$(…)` takes the final newline away, and what is encoded then is not the value any more.
#[test]
fn case_51_a_value_without_its_final_newline_is_masked_in_encodings() {
    let (world, _runtime) = filled();
    world.run_with_input(&["add", "n", "--exact"], "abcde/ghi\n").ok();
    let script = "import os,base64,binascii,urllib.parse
v=os.environb[b'N'].strip()
for f in (base64.b64encode(v), base64.b64encode(b'x'+v), binascii.hexlify(v), urllib.parse.quote(v,safe='').encode()): print(f.decode())";
    let ran = world.run(&["exec", "--mask", "--only", "n", "--", "python3", "-c", script]).ok();
    assert_eq!(ran.out, "[masked]\neG[masked]\n[masked]\n[masked]\n");
}

// ── Streams ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/// `tail -f` looks whether anybody still reads, and we were the reader.
#[test]
fn a_command_that_writes_nothing_learns_that_its_reader_is_gone() {
    let (world, _runtime) = filled();
    let log = world.file("log", "one\n");
    for flags in ["", "--mask"] {
        let begun = Instant::now();
        let line = format!(
            "{{ timeout 30 '{KEYVAULT}' exec --only a {flags} -- tail -n 1 -f '{}'; }} | head -n 1",
            log.display()
        );
        assert_eq!(world.sh(&line).ok().out, "one\n");
        assert!(begun.elapsed() < Duration::from_secs(15), "{flags}");
    }
}

// ── Watching ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/// The command was started again with the value that had been rotated away, and four warnings with it.
#[test]
fn an_older_bundle_in_the_place_of_the_one_in_use_brings_no_old_value_back() {
    let (mut world, _runtime) = filled();
    let told = world.run(&["token", "create", "ci", "--key", "a", "--json"]).ok().json();
    world.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb"]).ok();
    let bundle = world.home().join("keys.kvb");
    let old = std::fs::read(&bundle).unwrap();
    let rotate = |world: &World, value: &str| {
        world.run_with_input(&["rotate", "a"], value).ok();
        world.run(&["bundle", "update", "keys.kvb"]).ok();
    };
    let owner = world.variables().find(|(name, _)| name == "KEYVAULT_PASSPHRASE").unwrap().1;
    let mut command = world.command(KEYVAULT);
    command.env_remove("KEYVAULT_PASSPHRASE").env("KEYVAULT_TOKEN", told["token"].as_str().unwrap());
    command.env("KEYVAULT_BUNDLE", &bundle);
    command.args(["exec", "--watch", "--only", "a", "--", "sh", "-c", "echo \"$A\"; exec sleep 60"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut err = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut next = || out.next().unwrap().unwrap();
    assert_eq!(next(), VALUE);
    world.set("KEYVAULT_PASSPHRASE", &owner);
    rotate(&world, "second-value");
    assert_eq!(next(), "second-value");
    std::fs::write(&bundle, &old).unwrap();
    let said = err.find(|line| line.as_ref().unwrap().contains("keeps the keys it has")).unwrap().unwrap();
    assert!(said.contains("stands at change"), "{said}");
    // A newer one is news again.
    world.run_with_input(&["rotate", "a"], "third-value").ok();
    world.run(&["bundle", "create", "--token", "ci", "-o", "new.kvb"]).ok();
    std::fs::rename(world.home().join("new.kvb"), &bundle).unwrap();
    assert_eq!(next(), "third-value");
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    child.wait().unwrap();
    assert_eq!(out.count(), 0);
}

/// Found by a review: killed in the first moments, we left the process that watches the group behind, for ever.
#[test]
fn what_watches_the_group_ends_with_us_however_early_we_are_killed() {
    let (world, _runtime) = filled();
    let mut command = world.command("timeout");
    // It is made before the command, and asks to end with its maker only when that was killed long ago.
    command.args(["-s", "KILL", "20", "strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=prctl"]);
    command.args(["-e", "inject=prctl:delay_enter=500000", KEYVAULT, "exec", "--only", "a", "--mask", "--"]);
    let ran = finish(command.args(["sh", "-c", "kill -KILL $PPID"]), b"");
    assert_eq!(ran.code, 128 + 9, "and not 124, as for a process that never ends");
}
