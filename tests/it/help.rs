//! `--help`: it fits the terminal, needs no home, and says something.

use pretty_assertions::assert_eq;

use crate::harness::{KEYVAULT, World, finish};

/// Every command that has help of its own, as `keyvault man` finds them in the grammar: a page for each, and for `keyvault`
/// alone, which is the empty one.
fn commands(world: &World) -> Vec<String> {
    world.run(&["man", "--all", "pages"]).ok();
    let pages = std::fs::read_dir(world.home().join("pages")).unwrap();
    let command = |page: std::fs::DirEntry| {
        let name = page.file_name().into_string().unwrap();
        name.strip_prefix("keyvault").unwrap().strip_suffix(".1").unwrap().replace('-', " ").trim().to_owned()
    };
    pages.map(|page| command(page.unwrap())).collect()
}

#[test]
fn every_help_fits_80_columns_needs_no_home_and_says_something() {
    let world = World::empty();
    let commands = commands(&world);
    for command in
        ["", "exec", "token renew", "bundle update", "project render", "vault slot add keyfile", "doctor"]
    {
        assert!(commands.iter().any(|found| found == command), "{command}");
    }
    for command in &commands {
        let mut help = world.command(KEYVAULT);
        help.env_clear().args(command.split_whitespace()).arg("--help");
        let help = finish(&mut help, b"").ok();
        assert_eq!(help.err, "", "{command}");
        assert!(
            help.out.contains(format!("Usage: keyvault {command}").trim_end()),
            "{command}: {}",
            help.out
        );
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

#[test]
fn the_root_help_lists_every_command_once() {
    let world = World::empty();
    let help = world.run(&["--help"]).ok().out.replace("\n     ", " ");
    let entries: Vec<Vec<&str>> = help
        .lines()
        .filter(|line| line.starts_with("  "))
        .map(|line| line.split([' ', ',']).skip(2).collect())
        .collect();
    for command in commands(&world).iter().filter(|command| !command.is_empty()) {
        let words: Vec<_> = command.split(' ').collect();
        let listed = match words[..] {
            [name] => entries.iter().filter(|entry| entry[0] == name).count(),
            // Stands in the entry of the command above it.
            [outer, name] => {
                entries.iter().filter(|entry| entry[0] == outer && entry.contains(&name)).count()
            }
            _ => 1,
        };
        assert_eq!(listed, 1, "{command}: {help}");
    }
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
