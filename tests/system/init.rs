//! `init`: on a terminal it asks twice and shows the code; without one it needs a place for the code.

use pretty_assertions::assert_eq;

use crate::harness::terminal::Terminal;
use crate::harness::{PASSPHRASE, World};

#[test]
fn init_asks_twice_estimates_shows_the_code_and_asks_part_of_it_back() {
    let world = World::empty();
    let terminal = Terminal::shell(&world);
    terminal.run("keyvault init", "New passphrase:");
    terminal.type_line("Tr0ub4dor&3");
    terminal.wait_for("Repeat the passphrase:");
    assert!(terminal.screen().contains("would need"));
    terminal.type_line("another");
    terminal.wait_for("The passphrases don't match. Try again.");
    terminal.wait_for_times("New passphrase:", 2);
    terminal.type_line(PASSPHRASE);
    terminal.wait_for_times("Repeat the passphrase:", 2);
    assert!(terminal.screen().contains("Strong: someone with the file would need"));
    terminal.type_line(PASSPHRASE);
    terminal.wait_for("Type its last five characters:");
    let screen = terminal.screen();
    let code =
        screen.lines().find(|line| line.len() == 47 && line.matches('-').count() == 7).unwrap().to_owned();
    assert!(!world.vault().exists(), "there is no vault before the code was written down");
    terminal.type_line("WRONG");
    terminal.wait_for("doesn't match. Try again.");
    terminal.wait_for_times("Type its last five characters:", 2);
    terminal.type_line(&code[code.len() - 5..].to_lowercase());
    let (shown, status) = terminal.ended();
    assert_eq!(status, 0, "{shown}");
    assert!(!shown.contains(PASSPHRASE), "{shown}");
    world.file("code", &code);
    world.file("new", PASSPHRASE);
    let recover =
        ["vault", "recover", "--code-file", "code", "--new-passphrase-file", "new", "--recovery-file", "c2"];
    world.run(&recover).ok();
}

#[test]
fn a_weak_passphrase_is_asked_about() {
    let world = World::empty();
    let terminal = Terminal::shell(&world);
    terminal.run("keyvault init --no-recovery", "New passphrase:");
    terminal.type_line("password1");
    terminal.wait_for("Use this weak passphrase anyway? [y/N]");
    terminal.type_line("no");
    terminal.wait_for_times("New passphrase:", 2);
    assert!(!terminal.screen().contains("Repeat"), "{}", terminal.screen());
    terminal.type_line("password1");
    terminal.wait_for_times("Use this weak passphrase anyway? [y/N]", 2);
    terminal.type_line("yes");
    terminal.wait_for("Repeat the passphrase:");
    terminal.type_line("password1");
    let (shown, code) = terminal.ended();
    assert_eq!(code, 0, "{shown}");
    let mut list = world.command(crate::harness::KEYVAULT);
    crate::harness::finish(list.env("KEYVAULT_PASSPHRASE", "password1").arg("list"), b"").ok();
}

#[test]
fn a_passphrase_with_a_control_character_is_not_set() {
    let world = World::empty();
    let terminal = Terminal::shell(&world);
    terminal.run("keyvault init --no-recovery", "New passphrase:");
    terminal.type_text("correct horse");
    terminal.press("Tab");
    terminal.type_line("battery staple");
    let (shown, code) = terminal.ended();
    assert!(code == 2 && shown.contains("A control character was entered."), "{code}: {shown}");
    assert!(!world.vault().exists());
}
