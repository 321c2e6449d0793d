//! A command under `exec --watch`, and what it wrote, line by line.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};

use pretty_assertions::assert_eq;
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{KEYVAULT, PATIENCE, World};

/// A world with `a`, `b` and `other`, whose values are their names and a 1; `a` and `b` carry the scope s.
pub fn filled() -> World {
    let world = World::own();
    for name in ["a", "b"] {
        world.run_with_input(&["add", name, "--scope", "s"], format!("{name}1")).ok();
    }
    world.run_with_input(&["add", "other"], "other1").ok();
    world
}

pub fn rotate(world: &World, name: &str, value: &str) {
    world.run_with_input(&["rotate", name, "--stdin", "--grace", "1h"], value).ok();
}

/// A watched command; its lines and ours are read as they come.
pub struct Watched {
    pub child: Child,
    pub lines: Receiver<String>,
    pub said: Receiver<String>,
}

/// Says its values at its start, `HUP` and its file for that signal, and `ended` when it is ended.
pub const SCRIPT: &str = "trap 'echo ended; exit 3' TERM; trap 'echo \"HUP $(cat \"$F\" 2>&1)\"' HUP
    echo \"start ${A-none} ${B-none}\"; while :; do sleep 0.02; done";

impl Watched {
    pub fn start(world: &World, arguments: &[&str], script: &str) -> Self {
        let mut command = world.command(KEYVAULT);
        command.args(["exec", "--watch"]).args(arguments).args(["--", "sh", "-c", script]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = read(child.stdout.take().unwrap());
        let said = read(child.stderr.take().unwrap());
        Self { child, lines, said }
    }

    #[track_caller]
    pub fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line from the command")
    }

    #[track_caller]
    pub fn said(&self) -> String {
        self.said.recv_timeout(PATIENCE).expect("a line from keyvault")
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it as a user would; everything that it still had to say, and we.
    #[track_caller]
    pub fn stop(mut self) -> (Vec<String>, Vec<String>) {
        self.signal(Signal::TERM);
        assert_eq!(self.child.wait().unwrap().code(), Some(3));
        (self.lines.iter().collect(), self.said.iter().collect())
    }

    /// Its code, and everything that it still had to say, and we.
    pub fn end(mut self) -> (Option<i32>, Vec<String>, Vec<String>) {
        let lines = self.lines.iter().collect();
        let said = self.said.iter().collect();
        (self.child.wait().unwrap().code(), lines, said)
    }
}

/// A test that fails leaves nothing running: TERM is passed on, KILL would not be.
impl Drop for Watched {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::TERM);
            let _ = self.child.wait();
        }
    }
}

pub fn read(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// The details of all exec events.
pub fn events(world: &World) -> Vec<(String, Vec<String>)> {
    let log = world.run(&["audit", "log", "--action", "exec", "--json"]).ok().out;
    let events = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    events
        .map(|event| {
            let keys = event["keys"].as_array().unwrap().iter();
            let keys =
                keys.map(|key| format!("{} {}", key["name"].as_str().unwrap(), key["version"])).collect();
            (event["detail"].as_str().unwrap().to_owned(), keys)
        })
        .collect()
}

pub const ENDED: &str = "ended";
