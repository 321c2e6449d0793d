//! Prompts on a real pseudo-terminal. A shell with job control leads the session and runs this test program again,
//! which asks and tells what it got.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, exit};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::terminal::prompt::*;

const CHILD: &str = "TEST_TTY_CHILD";
const LIMIT: usize = 20_000;

/// Not a test by itself: run by the others on a terminal of its own. `@` and its process id end the prompt, so that a
/// test can wait for it and send it signals.
#[test]
fn child_asks() {
    let Ok(kind) = std::env::var(CHILD) else { return };
    let prompt = format!("ask {}@", std::process::id());
    let answer = match kind.as_str() {
        "line" => read_line(&prompt, LIMIT),
        "lines" => read_secret_lines(&prompt, LIMIT),
        _ => read_secret(&prompt, LIMIT),
    };
    let told = match answer {
        Ok(secret) if secret.len() > 100 => format!("got {} bytes", secret.len()),
        Ok(secret) => format!("got <{}>", String::from_utf8_lossy(secret.expose())),
        Err(PromptError::Interrupted) => exit(130),
        Err(error) => format!("error {error:?}"),
    };
    write_line(told.as_bytes()).unwrap();
}

struct Terminal {
    master: File,
    shown: Arc<Mutex<String>>,
    seen: usize,
    shell: Child,
}

impl Terminal {
    /// Runs the child under a shell, which then says how it ended and how the terminal was left.
    fn start(kind: &str, before: &str) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let slave: OwnedFd = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlags::NOCTTY.bits().cast_signed())
            .open(name)
            .unwrap()
            .into();
        let script = format!(
            "set -m; {before} \"$0\" --exact terminal::prompt::tests::child_asks --nocapture; code=$?
             echo \"ended $code $(stty -a | grep -o -- '[-]*\\<echo\\>')\"
             [ $code -lt 145 ] || {{ fg; echo \"ended $?\"; }}"
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script]).arg(std::env::current_exe().unwrap()).env(CHILD, kind);
        command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(slave);
        // SAFETY: a few system calls between fork and exec. What started the tests may ignore some signals, as a job in
        // the background ignores INT and QUIT.
        unsafe {
            command.pre_exec(|| {
                for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGHUP, libc::SIGTSTP] {
                    libc::signal(signal, libc::SIG_DFL);
                }
                libc::setsid();
                libc::ioctl(0, libc::TIOCSCTTY, 0);
                Ok(())
            });
        }
        let shell = command.spawn().unwrap();
        let (master, shown) = (File::from(master), Arc::new(Mutex::new(String::new())));
        let (mut reader, gathered) = (master.try_clone().unwrap(), Arc::clone(&shown));
        thread::spawn(move || {
            let mut piece = [0_u8; 1024];
            while let Ok(got @ 1..) = reader.read(&mut piece) {
                let text = String::from_utf8_lossy(piece.get(..got).unwrap());
                gathered.lock().unwrap().push_str(&text);
            }
        });
        Self { master, shown, seen: 0, shell }
    }

    /// Waits until `text` appears after what was waited for before; gives what came until then.
    fn expect(&mut self, text: &str) -> String {
        let begin = Instant::now();
        loop {
            let shown = self.shown.lock().unwrap().clone();
            let new = shown.get(self.seen..).unwrap();
            if let Some((before, _)) = new.split_once(text) {
                self.seen += before.len() + text.len();
                return before.to_owned();
            }
            assert!(begin.elapsed() < Duration::from_secs(20), "no {text:?} in {shown:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for the prompt; gives the child's process id.
    fn prompt(&mut self) -> libc::pid_t {
        self.expect("ask ");
        self.expect("@").parse().unwrap()
    }

    fn type_keys(&mut self, keys: &[u8]) {
        self.master.write_all(keys).unwrap();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

fn send(pid: libc::pid_t, signal: c_int) {
    // SAFETY: a signal to the child that was just seen asking.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

#[test]
fn a_secret_is_edited_taken_and_never_shown() {
    let mut terminal = Terminal::start("secret", "");
    terminal.prompt();
    terminal.type_keys("hunteä\u{7f}r2\r".as_bytes());
    let before = terminal.expect("got <hunter2>");
    assert!(!before.contains("hunt"), "{before:?}");
    terminal.expect("ended 0 echo");
}

#[test]
fn a_line_is_shown_while_it_is_typed() {
    let mut terminal = Terminal::start("line", "");
    terminal.prompt();
    terminal.type_keys(b"ABCX\x7f\r");
    assert_eq!(terminal.expect("got <ABC>"), "ABCX\u{8} \u{8}\r\n");
    terminal.expect("ended 0 echo");
}

#[test]
fn a_secret_longer_than_the_terminals_own_line_is_taken_whole() {
    let mut terminal = Terminal::start("secret", "");
    terminal.prompt();
    terminal.type_keys(&[b'x'; 10_000]);
    terminal.type_keys(b"\r");
    terminal.expect("got 10000 bytes");
}

/// A private key as a terminal sends it: each line end is a CR.
fn private_key(lines: usize) -> String {
    format!("-----BEGIN KEY-----\r{}-----END KEY-----\r", format!("{}\r", "x".repeat(64)).repeat(lines))
}

#[test]
fn a_marked_paste_of_several_lines_is_taken_whole_and_nothing_of_it_reaches_the_shell() {
    let mut terminal = Terminal::start("lines", "");
    terminal.prompt();
    let before = terminal.shown.lock().unwrap().clone();
    assert!(before.contains("\u{1b}[?2004h"), "{before:?}");
    terminal.type_keys(b"\x1b[200~");
    // In pieces, as a network brings it.
    for piece in private_key(30).as_bytes().chunks(700) {
        terminal.type_keys(piece);
        thread::sleep(Duration::from_millis(20));
    }
    terminal.type_keys(b"\x1b[201~");
    thread::sleep(Duration::from_millis(200));
    assert!(!terminal.shown.lock().unwrap().contains("got"), "it waits for Enter");
    terminal.type_keys(b"\r");
    let after = terminal.expect(&format!("got {} bytes", private_key(30).len()));
    assert!(after.contains("\u{1b}[?2004l") && !after.contains("KEY"), "{after:?}");
    terminal.expect("ended 0 echo");
}

#[test]
fn several_lines_that_nothing_marks_are_refused_and_drained() {
    for kind in ["lines", "secret"] {
        let mut terminal = Terminal::start(kind, "");
        terminal.prompt();
        for piece in private_key(30).as_bytes().chunks(700) {
            terminal.type_keys(piece);
            thread::sleep(Duration::from_millis(50));
        }
        let before = terminal.expect("error Lines");
        assert!(!before.contains("xxx"), "{before:?}");
        terminal.expect("ended 0 echo");
        thread::sleep(Duration::from_millis(100));
        let rest = terminal.shown.lock().unwrap().get(terminal.seen..).unwrap().to_owned();
        assert!(!rest.contains("xxx") && !rest.contains("KEY"), "{rest:?}");
    }
}

#[test]
fn line_ends_and_blanks_behind_the_answer_are_no_second_line() {
    for end in ["\r\n", "\r", "\n", "\r\r", "\r \r"] {
        let mut terminal = Terminal::start("secret", "");
        terminal.prompt();
        terminal.type_keys(format!("sesame{end}").as_bytes());
        terminal.expect("got <sesame>");
        terminal.expect("ended 0 echo");
    }
}

#[test]
fn keys_that_are_no_characters_are_no_part_of_an_answer_however_slowly_they_come() {
    let mut terminal = Terminal::start("secret", "");
    terminal.prompt();
    terminal.type_keys(b"ses\x1b[A");
    // The key Esc by itself, and then a letter.
    terminal.type_keys(b"\x1b");
    thread::sleep(Duration::from_millis(300));
    terminal.type_keys(b"ame\x1bOD\r");
    terminal.expect("got <sesame>");
    let mut terminal = Terminal::start("secret", "");
    terminal.prompt();
    terminal.type_keys(b"ses\tame\r");
    terminal.expect("error Control");
}

#[test]
fn ctrl_c_while_the_rest_of_a_paste_is_drained_is_heeded() {
    let mut terminal = Terminal::start("secret", "");
    terminal.prompt();
    terminal.type_keys(b"one\rtwo\r\x03");
    terminal.expect("ended 130 echo");
}

#[test]
fn too_much_is_refused_and_ctrl_d_is_the_end() {
    let mut terminal = Terminal::start("secret", "");
    terminal.prompt();
    terminal.type_keys(&vec![b'x'; LIMIT + 1]);
    terminal.type_keys(b"\r");
    terminal.expect("error TooLong { limit: 20000 }");
    let mut terminal = Terminal::start("secret", "");
    terminal.prompt();
    terminal.type_keys(b"\x04");
    terminal.expect("error Eof");
}

#[test]
fn case_28_ctrl_c_ends_with_130_and_echo_on() {
    // Also where the caller ignores it.
    for before in ["", "trap '' INT;"] {
        let mut terminal = Terminal::start("secret", before);
        terminal.prompt();
        terminal.type_keys(b"half\x03");
        terminal.expect("ended 130 echo");
    }
}

#[test]
fn case_29_term_hup_and_quit_end_as_ever_with_echo_on() {
    for (signal, code) in [(libc::SIGTERM, 143), (libc::SIGHUP, 129), (libc::SIGQUIT, 131)] {
        let mut terminal = Terminal::start("secret", "ulimit -c 0;");
        let child = terminal.prompt();
        terminal.type_keys(b"half");
        send(child, signal);
        terminal.expect(&format!("ended {code} echo"));
    }
}

#[test]
fn case_29_an_ignored_hup_stays_ignored() {
    let mut terminal = Terminal::start("secret", "trap '' HUP;");
    let child = terminal.prompt();
    send(child, libc::SIGHUP);
    // Once the signal has been taken or thrown away, what is typed comes after it.
    let status = || std::fs::read_to_string(format!("/proc/{child}/status")).unwrap();
    let begin = Instant::now();
    while !status().lines().any(|line| line == "ShdPnd:\t0000000000000000") {
        assert!(begin.elapsed() < Duration::from_secs(20), "the signal stays pending");
        thread::sleep(Duration::from_millis(5));
    }
    terminal.type_keys(b"still\r");
    terminal.expect("got <still>");
}

#[test]
fn case_29_ctrl_z_stops_with_echo_on_and_asks_again_when_continued() {
    let mut terminal = Terminal::start("secret", "");
    terminal.prompt();
    terminal.type_keys(b"half\x1a");
    // 128 + TSTP.
    terminal.expect("ended 148 echo");
    terminal.prompt();
    terminal.type_keys(b"whole\r");
    let before = terminal.expect("got <whole>");
    assert!(!before.contains("whole"), "{before:?}");
    terminal.expect("ended 0");
}

#[test]
fn case_29_after_a_stop_that_cannot_be_caught_it_hides_and_asks_again() {
    let mut terminal = Terminal::start("secret", "");
    let child = terminal.prompt();
    send(child, libc::SIGSTOP);
    terminal.expect("ended 147");
    terminal.prompt();
    terminal.type_keys(b"whole\r");
    let before = terminal.expect("got <whole>");
    assert!(!before.contains("whole"), "{before:?}");
    terminal.expect("ended 0");
}

#[test]
fn case_30_without_a_terminal_it_fails_at_once() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "terminal::prompt::tests::child_without_terminal"]).env(CHILD, "none");
    // SAFETY: one system call between fork and exec; a new session has no terminal.
    unsafe {
        command.pre_exec(|| {
            libc::setsid();
            Ok(())
        });
    }
    assert!(command.output().unwrap().status.success());
}

/// Not a test by itself: run by the one above.
#[test]
fn child_without_terminal() {
    if std::env::var(CHILD).is_ok_and(|kind| kind == "none") {
        assert!(!has_terminal());
        assert!(matches!(read_secret("ask", 10), Err(PromptError::NoTerminal)));
        assert!(matches!(write_line(b"x"), Err(PromptError::NoTerminal)));
    }
}
