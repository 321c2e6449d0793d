//! `audit export`: every entry once, from where the last export ended, and losses of the log are said.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use pretty_assertions::assert_eq;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::{KEYVAULT, PATIENCE, World, days, poll_within, wait_until};

fn records(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn actions(out: &str) -> Vec<String> {
    records(out).iter().map(|record| record["action"].as_str().unwrap().to_owned()).collect()
}

fn export(world: &World, arguments: &[&str]) -> String {
    let ran = world.run(&[&["audit", "export"], arguments].concat()).ok();
    assert_eq!(ran.err, "");
    ran.out
}

/// Entries of the vault, of this device's ledger, and of a token's.
fn filled() -> World {
    let world = World::own();
    world.run_with_input(&["add", "a", "--scope", "s"], "secret-of-a").ok();
    let token = world.run(&["token", "create", "ci", "--scope", "s"]).ok().out;
    world.run(&["exec", "--only", "a", "--", "true"]).ok();
    world.sh(&format!("KEYVAULT_TOKEN={} keyvault exec -- true", token.trim())).ok();
    world
}

#[test]
fn the_lines_are_those_of_the_log_with_a_cursor_each() {
    let world = filled();
    let log = records(&world.run(&["audit", "log", "--json"]).ok().out);
    let mut exported = records(&export(&world, &[]));
    for record in &mut exported {
        assert!(
            record.as_object_mut().unwrap().remove("cursor").unwrap().as_str().unwrap().starts_with("1;")
        );
    }
    assert_eq!(exported, log);
    assert_eq!(log.len(), 5);
}

#[test]
fn the_cursor_of_each_line_continues_behind_it() {
    let world = filled();
    let all = export(&world, &[]);
    for (number, record) in records(&all).iter().enumerate() {
        world.file("cursor", format!("{}\n", record["cursor"].as_str().unwrap()));
        let rest = export(&world, &["--cursor", "cursor"]);
        let expected: Vec<_> = all.lines().skip(number + 1).collect();
        assert_eq!(rest.lines().collect::<Vec<_>>(), expected, "{number}");
    }
}

#[test]
fn a_cursor_file_makes_each_export_begin_where_the_last_one_ended() {
    let world = filled();
    assert_eq!(export(&world, &["--cursor", "c"]).lines().count(), 5);
    assert_eq!(export(&world, &["--cursor", "c"]), "");
    world.run(&["exec", "--only", "a", "--", "true"]).ok();
    world.run_with_input(&["rotate", "a", "--stdin"], "another").ok();
    assert_eq!(actions(&export(&world, &["--cursor", "c"])), ["exec", "rotate"]);
    // A rekey seals the whole log again, and says the same.
    rekey(&world);
    assert_eq!(actions(&export(&world, &["--cursor", "c"])), ["rekey"]);
}

#[test]
fn since_leaves_out_what_is_older_and_the_cursor_passes_it() {
    let world = filled();
    world.advance(days(2));
    world.run(&["generate", "b"]).ok();
    assert_eq!(actions(&export(&world, &["--since", "1d", "--cursor", "c"])), ["generate"]);
    assert_eq!(export(&world, &["--cursor", "c"]), "");
}

fn rekey(world: &World) {
    world.run(&["vault", "rekey", "--yes", "--keep-passphrase", "--no-recovery"]).ok();
}

#[test]
fn a_cursor_that_the_log_no_longer_contains_is_an_error_that_counts() {
    let world = World::own();
    world.run(&["generate", "a"]).ok();
    world.run(&["vault", "backup", "b"]).ok();
    for name in ["b", "c", "d"] {
        world.run(&["generate", name]).ok();
    }
    assert_eq!(export(&world, &["--cursor", "c"]).lines().count(), 5);
    world.run(&["vault", "restore", "b", "--yes"]).ok();
    world.run(&["audit", "export", "--cursor", "c"]).fails_with(
        5,
        "
            error: Nothing was exported: the audit log no longer contains at least 2 entries that the cursor has seen.
                   A restore of an older backup does that, and so can anyone who can write the file. Run `keyvault audit verify`. To begin again, delete c and use `--since WHEN`.
        ",
    );
    world.file("c", "not a cursor");
    world.run(&["audit", "export", "--cursor", "c"]).fails(2, "c does not contain a cursor.");
    let other = World::own();
    export(&other, &["--cursor", "c"]);
    std::fs::copy(other.home().join("c"), world.home().join("c")).unwrap();
    world.run(&["audit", "export", "--cursor", "c"]).fails(5, "The cursor in c is of another vault.");
}

#[test]
fn ocsf_events_have_what_the_schema_requires() {
    let world = filled();
    world.run(&["remove", "a", "--yes"]).ok();
    let events = records(&export(&world, &["--format", "ocsf"]));
    let mut activities = Vec::new();
    for event in &events {
        let number = |name: &str| event[name].as_u64().unwrap();
        assert_eq!((number("class_uid"), number("category_uid"), number("severity_id")), (6003, 6, 1));
        assert_eq!(number("type_uid"), 600_300 + number("activity_id"));
        assert_eq!(event["metadata"]["version"], "1.8.0");
        assert_eq!(event["metadata"]["product"]["name"], "keyvault");
        assert_eq!(event["time"], 2_220_854_400_000_u64);
        for path in [
            "/actor/user/name",
            "/api/operation",
            "/src_endpoint/hostname",
            "/metadata/uid",
            "/unmapped/cursor",
        ] {
            assert!(
                event.pointer(path).is_some_and(|text| text.as_str().is_some_and(|text| !text.is_empty())),
                "{path}: {event}"
            );
        }
        activities.push((event["activity_name"].as_str().unwrap(), event["message"].as_str().unwrap()));
    }
    activities.sort_unstable();
    assert_eq!(
        activities,
        [
            ("Create", "add a"),
            ("Create", "init"),
            ("Delete", "remove a"),
            ("Read", "exec a"),
            ("Read", "exec a"),
            ("token", "token a"),
        ]
    );
    let uids: std::collections::BTreeSet<_> =
        events.iter().map(|event| event["metadata"]["uid"].to_string()).collect();
    assert_eq!(uids.len(), events.len());
}

/// A running `audit export --follow`.
struct Following {
    child: Child,
    lines: Receiver<String>,
}

impl Following {
    fn start(world: &World, arguments: &[&str]) -> Self {
        let mut command = world.command(KEYVAULT);
        command.args(["audit", "export", "--follow"]).args(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let lines = read(child.stdout.take().unwrap());
        Self { child, lines }
    }

    #[track_caller]
    fn record(&self) -> Value {
        serde_json::from_str(&self.lines.recv_timeout(PATIENCE).expect("a record")).unwrap()
    }

    #[track_caller]
    fn action(&self) -> String {
        self.record()["action"].as_str().expect("an entry").to_owned()
    }

    fn end(mut self, signal: Signal) -> Vec<String> {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        self.lines.iter().collect()
    }
}

/// A test that fails leaves nothing running.
impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(stream: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            let _ = sender.send(line.unwrap());
        }
    });
    receiver
}

#[test]
fn following_gives_new_entries_as_they_come_and_ends_by_a_signal() {
    let world = World::own();
    let following = Following::start(&world, &["--cursor", "c"]);
    assert_eq!(following.action(), "init");
    world.run(&["generate", "a"]).ok();
    assert_eq!(following.action(), "generate");
    world.run(&["exec", "--only", "a", "--", "true"]).ok();
    assert_eq!(following.action(), "exec");
    assert!(following.end(Signal::TERM).is_empty());
    world.run(&["rotate", "a"]).ok();
    let following = Following::start(&world, &["--cursor", "c"]);
    assert_eq!(following.action(), "rotate");
    assert!(following.end(Signal::INT).is_empty());
}

/// A pipe's buffer is one page here, and nobody reads it: the log's lines do not fit.
#[test]
fn following_ends_by_a_signal_while_its_output_is_stuck() {
    let world = World::own();
    for number in 0..12 {
        world.run(&["generate", &format!("key-{number}")]).ok();
    }
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        rustix::pipe::fcntl_setpipe_size(&writer, 4096).unwrap();
        let mut command = world.command(KEYVAULT);
        command.args(["audit", "export", "--follow", "--cursor", "c"]);
        let mut child = command.stdout(writer).stderr(Stdio::inherit()).spawn().unwrap();
        drop(command);
        wait_until("a full pipe", || rustix::io::ioctl_fionread(&reader).unwrap() >= 4000);
        // It is in the middle of its lines, and stays there.
        std::thread::sleep(Duration::from_millis(200));
        kill_process(Pid::from_child(&child), signal).unwrap();
        let ended = poll_within(PATIENCE, || child.try_wait().unwrap());
        let _ = child.kill();
        let ended = ended.unwrap_or_else(|| panic!("{signal:?} does not end it"));
        let is_asked = [Signal::TERM, Signal::INT].contains(&signal);
        assert_eq!(ended.code(), is_asked.then_some(0), "{signal:?}");
    }
    assert!(!world.home().join("c").exists(), "the cursor passes over lines that no one got");
}

#[test]
fn following_survives_a_rekey_and_a_restore_and_says_so() {
    let world = World::own();
    world.run(&["generate", "a"]).ok();
    world.run(&["vault", "backup", "b"]).ok();
    world.run(&["generate", "b"]).ok();
    let following = Following::start(&world, &["--cursor", "c"]);
    assert_eq!(
        [following.action(), following.action(), following.action()],
        ["init", "generate", "generate"]
    );
    rekey(&world);
    let notice = following.record();
    assert_eq!(notice["notice"], "rekeyed");
    assert_eq!(following.action(), "rekey");
    world.run(&["vault", "restore", "b", "--yes"]).ok();
    let mut notice = following.record();
    while notice["notice"] == "rekeyed" {
        notice = following.record();
    }
    assert_eq!((&notice["notice"], &notice["missing"]), (&"entries_missing".into(), &2.into()), "{notice}");
    // The restored log goes on with what keeps the rekey in force.
    assert_eq!([following.action(), following.action()], ["rekey", "restore"]);
    world.run(&["generate", "c"]).ok();
    assert_eq!(following.action(), "generate");
    assert!(following.end(Signal::TERM).is_empty());
    assert_eq!(export(&world, &["--cursor", "c"]), "");
}

#[test]
fn following_ends_when_its_reader_is_gone() {
    let world = World::own();
    let ran = world.sh("keyvault audit export --follow | head -n 1").ok();
    assert_eq!(actions(&ran.out), ["init"]);
}
