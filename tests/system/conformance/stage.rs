//! Where a command is run: with pipes or on a terminal, through a wrapper or without one.
//!
//! A script reports what it sees into a file, so that nothing of the report depends on the streams, which are what is
//! tested. A case is what the report says and how the command ended.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::harness::World;

/// How the command's streams are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    Pipes,
    Terminal,
}

/// A way to run commands.
#[derive(Debug, Clone)]
pub struct Mode {
    pub name: String,
    /// Words in front of the command.
    pub wrapper: Vec<String>,
    pub setting: Setting,
}

/// One case in one mode.
pub struct Stage<'w> {
    pub world: &'w World,
    pub mode: &'w Mode,
}

/// Everything must have happened by then; nothing takes nearly as long.
const PATIENCE: Duration = Duration::from_secs(30);

impl Stage<'_> {
    fn report(&self) -> PathBuf {
        self.world.home().join("report")
    }

    /// `sh -c SCRIPT`, in which `say` adds a line to the report.
    pub fn script(&self, script: &str) -> Launch<'_> {
        let script = format!("say() {{ echo \"$*\" >> \"$REPORT\"; }}\n{script}");
        self.command(&["sh", "-c", &script])
    }

    /// Any command.
    pub fn command(&self, command: &[&str]) -> Launch<'_> {
        let command = command.iter().map(|word| OsString::from(*word)).collect();
        Launch { stage: self, command, before: String::new(), stdin: None, typing: false, streams: "" }
    }
}

/// A command before it runs.
pub struct Launch<'s> {
    stage: &'s Stage<'s>,
    command: Vec<OsString>,
    before: String,
    stdin: Option<Vec<u8>>,
    typing: bool,
    streams: &'static str,
}

impl Launch<'_> {
    /// Lines of sh that run in the process before it becomes the wrapper.
    pub fn before(mut self, lines: &str) -> Self {
        self.before.push_str(lines);
        self
    }

    /// Redirections of the wrapper.
    pub fn streams(mut self, redirections: &'static str) -> Self {
        self.streams = redirections;
        self
    }

    /// One more argument, which need not be text.
    pub fn argument(mut self, word: impl Into<OsString>) -> Self {
        self.command.push(word.into());
        self
    }

    pub fn stdin(mut self, bytes: &[u8]) -> Self {
        self.stdin = Some(bytes.to_vec());
        self
    }

    /// Its standard input and controlling terminal is a terminal, whatever its output is.
    pub fn typing(mut self) -> Self {
        self.typing = true;
        self
    }

    /// The whole line is one of bash's with job control; `$@` is the wrapper with the command.
    pub fn in_a_shell(self, line: &str) -> Running {
        let say = "say() { echo \"$*\" >> \"$REPORT\"; }";
        // The shell itself needs a terminal to have jobs.
        let pipes = self.stage.mode.setting == Setting::Pipes;
        let line = if pipes { line.replace("\"$@\"", "\"$@\" 2>&1") } else { line.to_owned() };
        self.typing().start_as(&["bash", "--norc", "--noprofile", "-m", "-c", &format!("{say}\n{line}")])
    }

    pub fn start(self) -> Running {
        let line = format!("{}\nexec \"$@\" {}", self.before, self.streams);
        self.start_as(&["sh", "-c", &line])
    }

    fn start_as(self, outer: &[&str]) -> Running {
        let Launch { stage, command, stdin, typing, .. } = self;
        let report = stage.report();
        let _ = std::fs::remove_file(&report);
        let mut run = stage.world.command(outer[0]);
        run.args(&outer[1..]).arg("sh").args(&stage.mode.wrapper).args(command).env("REPORT", &report);
        let on_terminal = stage.mode.setting == Setting::Terminal;
        let pty = (on_terminal || typing).then(|| new_terminal(&mut run));
        let (seen, said) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        match &pty {
            Some((_, slave)) if stdin.is_none() => run.stdin(slave.try_clone().unwrap()),
            _ if stdin.is_some() => run.stdin(Stdio::piped()),
            _ => run.stdin(Stdio::null()),
        };
        match &pty {
            Some((_, slave)) if on_terminal => {
                run.stdout(slave.try_clone().unwrap()).stderr(slave.try_clone().unwrap())
            }
            _ => run.stdout(Stdio::piped()).stderr(Stdio::piped()),
        };
        if let (Some((_, slave)), "bash") = (&pty, outer[0]) {
            run.stderr(slave.try_clone().unwrap());
        }
        if pty.is_none() {
            // So that signals to the group reach nobody else.
            run.process_group(0);
        }
        let mut child = run.spawn().unwrap();
        drop(run);
        if let (Some(bytes), Some(mut pipe)) = (stdin, child.stdin.take()) {
            std::thread::spawn(move || drop(pipe.write_all(&bytes)));
        }
        let (mut outputs, mut errors, mut master) = (None, None, None);
        if let Some(pipe) = child.stdout.take() {
            outputs = Some(follow(pipe, &seen));
            errors = child.stderr.take().map(|pipe| follow(pipe, &said));
        }
        if let Some((end, slave)) = pty {
            drop(slave);
            let reader = File::from(end.try_clone().unwrap());
            let here = if on_terminal { Arc::clone(&seen) } else { Arc::default() };
            follow(reader, &here);
            master = Some(end);
        }
        Running { child, seen, said, master, report, readers: [outputs, errors] }
    }

    /// Runs it to its end.
    pub fn observe(self) -> String {
        self.start().end()
    }
}

fn follow(mut stream: impl Read + Send + 'static, seen: &Arc<Mutex<Vec<u8>>>) -> std::thread::JoinHandle<()> {
    let seen = Arc::clone(seen);
    std::thread::spawn(move || {
        let mut piece = [0; 65_536];
        // A terminal whose last user went away answers with an error.
        while let Ok(got @ 1..) = stream.read(&mut piece) {
            seen.lock().unwrap().extend_from_slice(&piece[..got]);
        }
    })
}

/// A terminal of 80 columns and 24 lines, in whose session the command will be, at its head.
#[allow(
    unsafe_code,
    reason = "a session and its terminal between fork and exec, where nothing else can make them"
)]
fn new_terminal(run: &mut Command) -> (OwnedFd, OwnedFd) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let slave = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let slave = OwnedFd::from(slave);
    tcsetwinsize(&master, Winsize { ws_col: 80, ws_row: 24, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let terminal = slave.as_raw_fd();
    // SAFETY: two system calls with plain numbers.
    unsafe {
        run.pre_exec(move || {
            if libc::setsid() < 0 || libc::ioctl(terminal, libc::TIOCSCTTY, 0) < 0 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
    (master, slave)
}

/// A command that runs.
pub struct Running {
    child: Child,
    seen: Arc<Mutex<Vec<u8>>>,
    said: Arc<Mutex<Vec<u8>>>,
    master: Option<OwnedFd>,
    report: PathBuf,
    readers: [Option<std::thread::JoinHandle<()>>; 2],
}

impl Running {
    /// Reports so far, lines joined by `, `.
    pub fn reported(&self) -> String {
        let text = std::fs::read(&self.report).unwrap_or_default();
        String::from_utf8_lossy(&text).trim_end().replace('\n', ", ")
    }

    /// Waits until the report says so.
    #[track_caller]
    pub fn wait_for(&self, report: &str) -> &Self {
        self.wait_until(report, || self.reported() == report)
    }

    #[track_caller]
    fn wait_until(&self, what: &str, holds: impl Fn() -> bool) -> &Self {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            if Instant::now() >= deadline {
                // The case fails by what it reports; a wrapper that loses signals must not stop the table.
                let said = format!("[{what:?} never came]\n");
                let _ = File::options()
                    .append(true)
                    .create(true)
                    .open(&self.report)
                    .unwrap()
                    .write_all(said.as_bytes());
                let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
                let _ = kill_process(Pid::from_child(&self.child), Signal::KILL);
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self
    }

    /// Sends a signal to the one process that was started.
    pub fn signal(&self, signal: Signal) -> &Self {
        let _ = kill_process(Pid::from_child(&self.child), signal);
        self
    }

    /// Sends a signal to its group.
    pub fn signal_group(&self, signal: Signal) -> &Self {
        let _ = kill_process_group(Pid::from_child(&self.child), signal);
        self
    }

    /// The number of the process that was started.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Presses keys.
    pub fn press(&self, keys: &[u8]) -> &Self {
        rustix::io::write(self.master.as_ref().unwrap().as_fd(), keys).unwrap();
        self
    }

    /// Waits until the text was written.
    pub fn wait_for_screen(&self, text: &str) -> &Self {
        self.wait_until(text, || self.output().contains(text))
    }

    /// Sends a signal to the child of the process that was started.
    pub fn signal_first_below(&self, signal: Signal) -> &Self {
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        let children = std::fs::read_to_string(children).unwrap_or_default();
        if let Some(child) =
            children.split_whitespace().next().and_then(|pid| Pid::from_raw(pid.parse().unwrap()))
        {
            let _ = kill_process(child, signal);
        }
        self
    }

    /// Gives the terminal another size.
    pub fn resize(&self, columns: u16, lines: u16) -> &Self {
        let size = Winsize { ws_col: columns, ws_row: lines, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(self.master.as_ref().unwrap(), size).unwrap();
        self
    }

    /// The text on standard output, or on the terminal; there with its line ends made plain.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).replace("\r\n", "\n")
    }

    /// The text on standard error, where that is not the terminal.
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().unwrap()).into_owned()
    }

    /// How it ended.
    pub fn ended(&mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return said(status);
            }
            if Instant::now() >= deadline {
                let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
                self.child.kill().unwrap();
                self.child.wait().unwrap();
                return "never".to_owned();
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The report and the end.
    pub fn end(mut self) -> String {
        let ended = self.ended();
        let reported = self.reported();
        if reported.is_empty() { ended } else { format!("{reported}, {ended}") }
    }

    /// Waits until every writer is gone; on a terminal, until this was written.
    pub fn wait_for_all(&mut self, last: &str) {
        if self.readers[0].is_none() {
            self.wait_until(last, || self.output().contains(last));
        }
        for reader in &mut self.readers {
            let deadline = Instant::now() + PATIENCE;
            while reader.as_ref().is_some_and(|reader| !reader.is_finished()) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(2));
            }
            // One that never finishes is left: what was read by then is what the case is judged by.
            *reader = None;
        }
    }
}

fn said(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit {code}"),
        (_, signal) => format!("signal {}", signal.unwrap_or(0)),
    }
}
