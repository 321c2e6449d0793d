//! `show --copy` with a real terminal (tmux) and a real X server.

use std::process::{Child, Command, Stdio};

use pretty_assertions::assert_eq;

use crate::harness::terminal::Terminal;
use crate::harness::{World, wait_until};

fn with_key() -> World {
    let mut world = World::new();
    world.run_with_input(&["add", "a"], "secret-of-a").ok();
    world.unset("DISPLAY");
    world
}

#[test]
fn a_terminal_takes_the_value_and_is_cleared() {
    let world = with_key();
    let terminal = Terminal::shell(&world);
    terminal.run("tmux set -g set-clipboard on", "");
    assert_eq!(terminal.ended().1, 0);
    terminal.run("SSH_TTY=1 keyvault show a --copy --clear-after 1s", "");
    let (shown, code) = terminal.ended();
    assert_eq!(
        (code, shown.as_str()),
        (0, "Copied `a` with the terminal (OSC 52). The clipboard is cleared in 1s.\n")
    );
    assert_eq!(terminal.clipboard(), "secret-of-a");
    wait_until("a cleared clipboard", || terminal.clipboard() == " ");
}

/// Ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn x_server() -> (Server, String) {
    let mut server = Command::new("Xvfb")
        .args(["-displayfd", "1", "-screen", "0", "64x64x24", "-nolisten", "tcp"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("Xvfb is needed; tests/setup installs it");
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(server.stdout.as_mut().unwrap()), &mut line)
        .unwrap();
    let display = format!(":{}", line.trim());
    (Server(server), display)
}

#[test]
fn xclip_takes_the_value_and_is_cleared() {
    let mut world = with_key();
    let (_server, display) = x_server();
    world.set("DISPLAY", &display);
    let clipboard = || world.sh("timeout 5 xclip -out -selection clipboard").out;
    let terminal = Terminal::shell(&world);
    terminal.run("keyvault show a --copy --clear-after 2s", "");
    let (shown, code) = terminal.ended();
    assert_eq!((code, shown.as_str()), (0, "Copied `a` with xclip. The clipboard is cleared in 2s.\n"));
    assert_eq!(clipboard(), "secret-of-a");
    wait_until("a cleared clipboard", || clipboard().is_empty());
    terminal.run(
        "keyvault show a --copy --clear-after 1s; printf other | xclip -selection clipboard; sleep 2",
        "",
    );
    assert_eq!(terminal.ended().1, 0);
    assert_eq!(clipboard(), "other");
}
