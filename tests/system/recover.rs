//! `vault recover` on a terminal: the code may be typed three times, and nothing of it is left for the shell.

use pretty_assertions::assert_eq;

use crate::harness::terminal::Terminal;
use crate::harness::{PASSPHRASE, World};

const WRONG: &str = "000G4-0R40M-30E20-9185G-R38E1-W8124-GKRZM-15SD8";
const RECOVER: &str = "keyvault vault recover --new-passphrase-file new --recovery-file code2";

/// A world whose vault has a recovery code.
fn with_code() -> (World, String) {
    let world = World::own();
    world.run(&["vault", "slot", "remove", "2", "--yes"]).ok();
    world.run(&["vault", "slot", "add", "recovery", "--recovery-file", "code"]).ok();
    world.file("new", PASSPHRASE);
    let code = std::fs::read_to_string(world.home().join("code")).unwrap().trim().to_owned();
    (world, code)
}

#[test]
fn a_recovery_code_may_be_typed_again_twice() {
    let (world, code) = with_code();
    let terminal = Terminal::shell(&world);
    terminal.run(RECOVER, "Recovery code:");
    terminal.type_line("nonsense");
    terminal.wait_for("eight groups of five characters. Try again.");
    terminal.wait_for_times("Recovery code:", 2);
    terminal.type_line(WRONG);
    terminal.wait_for("That recovery code does not open this vault. Try again.");
    terminal.wait_for_times("Recovery code:", 3);
    terminal.type_line(&code.to_lowercase());
    let (shown, status) = terminal.ended();
    assert_eq!(status, 0, "{shown}");
    assert!(!shown.contains(&code) && world.home().join("code2").exists(), "{shown}");
}

#[test]
fn the_third_wrong_code_ends_it_and_nothing_changes() {
    let (world, _) = with_code();
    let before = std::fs::read(world.vault()).unwrap();
    let terminal = Terminal::shell(&world);
    terminal.run(RECOVER, "Recovery code:");
    for round in 1..=3 {
        terminal.wait_for_times("Recovery code:", round);
        terminal.type_line(WRONG);
    }
    let (shown, status) = terminal.ended();
    assert_eq!(status, 4, "{shown}");
    assert!(shown.contains("That recovery code does not open this vault."), "{shown}");
    assert!(std::fs::read(world.vault()).unwrap() == before && !world.home().join("code2").exists());
    // An end is an end, and no try.
    terminal.run(RECOVER, "Recovery code:");
    terminal.press("C-d");
    assert_eq!(terminal.ended().1, 4);
}

#[test]
fn what_follows_a_pasted_code_does_not_reach_the_shell() {
    let (world, code) = with_code();
    let terminal = Terminal::shell(&world);
    for marked in [true, false] {
        terminal.run(RECOVER, "Recovery code:");
        terminal.paste(&format!("{code}\necho leaked\n"), marked);
        if marked {
            terminal.press("Enter");
        }
        let (shown, status) = terminal.ended();
        assert_eq!(status, 2, "{shown}");
        let typed = terminal.history();
        assert!(!typed.contains("leaked") && !typed.contains(&code), "{typed}");
    }
    terminal.run(RECOVER, "Recovery code:");
    terminal.paste(&format!("{code}\n"), true);
    terminal.press("Enter");
    assert_eq!(terminal.ended().1, 0);
}
