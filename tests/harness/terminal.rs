//! A real terminal: a program in a tmux of its own, keys that are pressed, and what stands on the screen.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{KEYVAULT, PATIENCE, World, poll, poll_within};

/// A program on a terminal; it ends with this.
pub struct Terminal<'w> {
    world: &'w World,
    socket: String,
}

impl<'w> Terminal<'w> {
    /// 200 columns, 50 lines.
    pub fn start(world: &'w World, program: &str) -> Self {
        Self::sized(world, program, 200)
    }

    /// So many columns, 50 lines. `keyvault` is in the PATH.
    pub fn sized(world: &'w World, program: &str, columns: u16) -> Self {
        let folder = Path::new(KEYVAULT).parent().unwrap();
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
        // A server that was told to end may still be there when the world's next terminal starts.
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let name = format!("tmux-{}", STARTED.fetch_add(1, Ordering::Relaxed));
        let socket = world.path().join(name).to_str().unwrap().to_owned();
        let terminal = Self { world, socket };
        let mut start = terminal.tmux();
        start.env("PATH", path).env("SHELL", "/bin/sh").args(["-f", "/dev/null", "-u", "new-session", "-d"]);
        start.args(["-x", &columns.to_string(), "-y", "50", program]);
        assert!(start.status().expect("tmux starts").success());
        terminal
    }

    /// A plain shell whose prompt is `$ `.
    pub fn shell(world: &'w World) -> Self {
        let terminal = Self::start(world, "bash --norc --noprofile");
        terminal.type_line("PS1='READY> '; clear");
        terminal.wait_for("READY>");
        terminal
    }

    fn tmux(&self) -> Command {
        let mut tmux = self.world.command("tmux");
        tmux.env("TERM", "xterm").args(["-S", &self.socket]);
        tmux
    }

    /// Types, byte for byte.
    pub fn type_text(&self, text: &str) {
        assert!(self.tmux().args(["send-keys", "-l", "--", text]).status().unwrap().success());
    }

    /// Types a line and presses Enter.
    pub fn type_line(&self, text: &str) {
        self.type_text(text);
        self.press("Enter");
    }

    /// Pastes: marked, if the program has asked for that and `marked` allows it, else as if it were typed.
    pub fn paste(&self, text: &str, marked: bool) {
        let file = self.world.path().join("paste");
        std::fs::write(&file, text).unwrap();
        assert!(self.tmux().args(["load-buffer", file.to_str().unwrap()]).status().unwrap().success());
        let mut paste = self.tmux();
        paste.args(["paste-buffer", "-d"]);
        if marked {
            paste.arg("-p");
        }
        assert!(paste.status().unwrap().success());
        std::fs::remove_file(file).unwrap();
    }

    /// Presses a key by tmux's name for it.
    pub fn press(&self, key: &str) {
        assert!(self.tmux().args(["send-keys", key]).status().unwrap().success());
    }

    /// The screen's text; with `escapes`, with colors too.
    fn captured(&self, escapes: bool) -> String {
        let mut capture = self.tmux();
        capture.args(["capture-pane", "-p", "-J"]);
        if escapes {
            capture.arg("-e");
        }
        String::from_utf8_lossy(&capture.output().unwrap().stdout).trim_end().to_owned()
    }

    /// The screen's text.
    pub fn screen(&self) -> String {
        self.captured(false)
    }

    /// The screen's text, with its colors as escape codes.
    pub fn colored(&self) -> String {
        self.captured(true)
    }

    /// The window's title, which escape codes can set.
    pub fn title(&self) -> String {
        let shown = self.tmux().args(["display-message", "-p", "#{pane_title}"]).output().unwrap();
        String::from_utf8_lossy(&shown.stdout).trim().to_owned()
    }

    /// The newest paste buffer, which escape codes can set with `set-clipboard on`.
    pub fn clipboard(&self) -> String {
        String::from_utf8_lossy(&self.tmux().arg("show-buffer").output().unwrap().stdout).into_owned()
    }

    /// Returns `true` if the cursor can be seen.
    pub fn cursor_is_shown(&self) -> bool {
        let shown = self.tmux().args(["display-message", "-p", "#{cursor_flag}"]).output().unwrap();
        shown.stdout.starts_with(b"1")
    }

    /// Waits until the text stands on the screen.
    pub fn wait_for(&self, text: &str) {
        self.wait_until(text, |screen| screen.contains(text));
    }

    /// Waits until the text stands on the screen so often. What is typed before a question is there is thrown away, so a
    /// test waits for the question itself, each time that it is asked.
    pub fn wait_for_times(&self, text: &str, times: usize) {
        self.wait_until(text, |screen| screen.matches(text).count() == times);
    }

    /// Waits until the screen is as `holds` says; `what` names it where it never is.
    fn wait_until(&self, what: &str, holds: impl Fn(&str) -> bool) {
        let came = poll(|| holds(&self.screen()).then_some(()));
        assert!(came.is_some(), "{what:?} never came:\n{}", self.screen());
    }

    /// Runs a line in the shell on a cleared screen, up to `prompt` if one is named, else to its end.
    pub fn run(&self, line: &str, prompt: &str) {
        // Emptied before the line is typed: what an earlier line left would look like the answer to this one.
        assert!(self.tmux().args(["send-keys", "-R"]).status().unwrap().success());
        self.type_line(&format!("clear; {line}; echo \"[ended $?]\""));
        self.wait_until(line, |screen| !screen.contains("clear;"));
        self.wait_for(if prompt.is_empty() { "[ended " } else { prompt });
    }

    /// All that the shell took for a command, line by line. Bash only.
    pub fn history(&self) -> String {
        self.run("history -w typed", "");
        self.ended();
        let file = self.world.home().join("typed");
        let typed = std::fs::read_to_string(&file).unwrap();
        std::fs::remove_file(file).unwrap();
        typed
    }

    /// Waits for the end of the line that was run, and gives what stood on the screen and the exit code.
    pub fn ended(&self) -> (String, i32) {
        self.ended_within(PATIENCE)
    }

    /// [`Terminal::ended`] for a line that takes longer than others may.
    pub fn ended_within(&self, limit: Duration) -> (String, i32) {
        let ended = || {
            let screen = self.screen();
            let (shown, rest) = screen.split_once("[ended ")?;
            // Not yet a number while the line itself stands there: `[ended $?]`.
            Some((shown.to_owned(), rest.split(']').next()?.parse().ok()?))
        };
        poll_within(limit, ended).unwrap_or_else(|| panic!("it never ended:\n{}", self.screen()))
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        let _ = self.tmux().arg("kill-server").status();
    }
}
