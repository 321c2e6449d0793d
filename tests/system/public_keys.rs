//! Questions before a secret becomes public, and before another user's folder is trusted.

use crate::harness::World;
use crate::harness::project_file::project;
use crate::harness::terminal::Terminal;

const VALUE: &str = "Zq7vXk2Lw9Tr";

#[test]
fn on_a_terminal_edit_asks_before_a_secret_becomes_public() {
    let world = World::new();
    world.run_with_input(&["add", "a"], VALUE).ok();
    let terminal = Terminal::shell(&world);
    terminal.type_line("keyvault edit a --public");
    terminal.wait_for("Make them public? [y/N]");
    terminal.type_line("no");
    terminal.wait_for("Nothing was changed.");
    assert!(!world.run(&["show", "a"]).ok().out.contains(VALUE));
    terminal.type_line("keyvault edit a --public");
    terminal.wait_for_times("Make them public? [y/N]", 2);
    terminal.type_line("yes");
    terminal.wait_for_times("READY>", 3);
    assert!(world.run(&["show", "a"]).ok().out.contains(VALUE));
    // A name that is not there is said before anything is asked.
    terminal.type_line("clear; keyvault edit nothing --public");
    terminal.wait_for("No key named `nothing`.");
}

#[test]
fn on_a_terminal_a_folder_is_trusted_after_a_question() {
    let world = World::new();
    let folder = project(&world, "[keys]\nA = \"a\"\n");
    std::os::unix::fs::chown(&folder, Some(4711), Some(4711)).expect("this test needs root");
    let terminal = Terminal::shell(&world);
    terminal.type_line("cd shop; keyvault project trust");
    terminal.wait_for("Read them? [y/N]");
    terminal.type_line("n");
    terminal.wait_for("Nothing was trusted.");
    terminal.type_line("keyvault project trust");
    terminal.wait_for_times("Read them? [y/N]", 2);
    terminal.type_line("y");
    terminal.wait_for("are read from now on.");
}
