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
        let before_options = help.out.split("\nOptions:").next().unwrap();
        assert!(before_options.contains("\nExamples:\n  # "), "{command}: {}", help.out);
        let mut asked = world.command(KEYVAULT);
        asked.arg("help").args(command.split_whitespace());
        assert_eq!(finish(&mut asked, b"").ok().out, help.out, "{command}");
    }
    let mut version = world.command(KEYVAULT);
    let version = finish(version.env_clear().arg("--version"), b"").ok();
    assert_eq!(version.out, format!("keyvault {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_summary_of_every_command_fits_one_screen() {
    let world = World::empty();
    for command in &commands(&world) {
        let mut help = world.command(KEYVAULT);
        let help = finish(help.env_clear().args(command.split_whitespace()).arg("-h"), b"").ok().out;
        assert!(help.contains(&format!("Usage:   {}", format!("keyvault {command}").trim_end())), "{help}");
        assert!(help.contains("\nExample: ") && help.contains(" --help\n"), "{help}");
        // The last of the 24 lines is the next prompt.
        assert!(help.lines().count() <= 23, "{command}: {help}");
        assert_eq!(help.lines().find(|line| line.chars().count() > 80), None, "{command}");
    }
}

#[test]
fn a_group_without_a_command_prints_its_help_and_fails() {
    let world = World::empty();
    for group in ["", "token", "bundle", "audit", "project", "vault", "vault slot", "vault slot add"] {
        let words: Vec<_> = group.split_whitespace().collect();
        let ran = world.run(&words);
        let help = world.run(&[&words[..], &["--help"]].concat()).ok();
        assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (2, "", help.out.as_str()), "{group}");
        let ran = world.run(&[&words[..], &["--json"]].concat());
        assert!(ran.code == 2 && ran.err.contains("No command given."), "{group}: {}", ran.err);
    }
}

#[test]
fn help_of_an_unknown_command_is_refused() {
    let world = World::empty();
    world.run(&["help", "exce"]).fails(2, "Unknown command.");
    world.run(&["help", "vault", "slot", "ad"]).fails(2, "Unknown command.");
}

#[test]
fn the_root_help_lists_every_command_once() {
    let world = World::empty();
    let help = world.run(&["--help"]).ok().out.replace("\n     ", " ");
    let entries: Vec<Vec<&str>> = help
        .lines()
        .skip_while(|line| *line != "Keys:")
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

#[test]
fn every_manual_page_has_all_sections_and_refers_to_pages_that_exist() {
    const SECTIONS: [&str; 9] = [
        "NAME",
        "SYNOPSIS",
        "DESCRIPTION",
        "OPTIONS",
        "EXIT STATUS",
        "ENVIRONMENT",
        "FILES",
        "EXAMPLES",
        "SEE ALSO",
    ];
    let world = World::empty();
    for command in commands(&world) {
        let page = format!("keyvault {command}").trim_end().replace(' ', "-");
        let text = std::fs::read_to_string(world.home().join(format!("pages/{page}.1"))).unwrap();
        let sections: Vec<_> = text.lines().filter_map(|line| line.strip_prefix(".SH ")).collect();
        let without = |name: &str| sections.iter().copied().filter(|section| *section != name).collect();
        // Groups list their commands as well; the scripts for shells and the pages are the same whatever is set.
        let sections: Vec<_> = if sections.contains(&"COMMANDS") { without("COMMANDS") } else { sections };
        let expected: Vec<_> = SECTIONS
            .into_iter()
            .filter(|section| {
                *section != "ENVIRONMENT" || !["completions", "direnv", "man"].contains(&command.as_str())
            })
            .collect();
        assert_eq!(sections, expected, "{page}");
        let (_, others) = text.split_once(".SH SEE ALSO\n").unwrap();
        assert!(!others.is_empty(), "{page}");
        for other in others.lines() {
            let name =
                other.strip_prefix("\\fB").unwrap().trim_end_matches(',').strip_suffix("\\fR(1)").unwrap();
            let file = world.home().join(format!("pages/{}.1", name.replace('\\', "")));
            assert!(file.exists(), "{page}: {other}");
        }
    }
}

#[test]
fn the_manual_page_describes_every_variable_that_the_program_reads() {
    // How the completion scripts ask, and the switches of tests.
    const OTHERS: [&str; 4] = ["COMPLETE", "WRITE", "SEEDS", "CHUNKINGS"];
    fn sources(folder: &std::path::Path, found: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                sources(&entry.path(), found);
            } else if entry.path().extension().is_some_and(|extension| extension == "rs") {
                *found += &std::fs::read_to_string(entry.path()).unwrap();
            }
        }
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    sources(&root.join("src"), &mut text);
    sources(&root.join("crates/vault/src/unlock"), &mut text);
    let page = std::fs::read_to_string(root.join("man/keyvault.1")).unwrap();
    let names = text.split("\"KEYVAULT_").skip(1).filter_map(|rest| rest.split_once('"'));
    let plain = |name: &&str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    let names: Vec<_> =
        names.map(|(name, _)| name).filter(plain).filter(|name| !OTHERS.contains(name)).collect();
    assert!(names.len() >= 8, "{names:?}");
    for name in names {
        assert!(page.contains(&format!("KEYVAULT_{name}")), "{name}");
    }
}
