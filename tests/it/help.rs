//! `--help`: it fits the terminal, needs no home, and says something.

use pretty_assertions::assert_eq;

use crate::harness::{KEYVAULT, World, finish};

/// Every command that has help of its own.
const COMMANDS: [&str; 37] = [
    "",
    "generate",
    "add",
    "show",
    "list",
    "edit",
    "rotate",
    "rollback",
    "history",
    "revoke",
    "remove",
    "exec",
    "import",
    "export",
    "init",
    "unlock",
    "lock",
    "status",
    "vault",
    "vault check",
    "vault diff",
    "vault backup",
    "vault restore",
    "vault passwd",
    "vault recover",
    "vault rekey",
    "vault slot",
    "vault slot list",
    "vault slot add",
    "vault slot add keyfile",
    "vault slot add recovery",
    "vault slot remove",
    "audit",
    "audit log",
    "audit verify",
    "completions",
    "man",
];

#[test]
fn every_help_fits_80_columns_needs_no_home_and_says_something() {
    let world = World::empty();
    for command in COMMANDS {
        let mut help = world.command(KEYVAULT);
        help.env_clear().args(command.split_whitespace()).arg("--help");
        let help = finish(&mut help, b"").ok();
        assert_eq!(help.err, "", "{command}");
        assert!(help.out.contains("Usage: "), "{command}");
        let wide = help.out.lines().find(|line| line.chars().count() > 80);
        assert_eq!(wide, None, "{command}");
        let mut short = world.command(KEYVAULT);
        short.args(command.split_whitespace()).arg("-h");
        assert_eq!(finish(&mut short, b"").ok().out, help.out, "{command}");
    }
    let mut version = world.command(KEYVAULT);
    let version = finish(version.env_clear().arg("--version"), b"").ok();
    assert_eq!(version.out, format!("keyvault {}\n", env!("CARGO_PKG_VERSION")));
}

/// Help was once cut to its first line, because the words of the list of commands took the place of each one's own.
#[test]
fn the_help_of_a_command_says_more_than_the_list_of_commands() {
    let world = World::empty();
    for (command, words) in [
        ("exec", "/dev/tty"),
        ("vault rekey", "KEYVAULT_NEW_PASSPHRASE_FILE"),
        ("completions", "source <(keyvault completions bash)"),
        ("audit verify", "from the start of the audit log"),
    ] {
        let mut help = world.command(KEYVAULT);
        let help = finish(help.args(command.split_whitespace()).arg("--help"), b"").ok();
        assert!(help.out.contains(words), "{command}: {}", help.out);
    }
}
