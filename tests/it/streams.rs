//! Standard streams: closed, full, broken; colour; JSON; the width of what is shown.

use pretty_assertions::assert_eq;
use serde_json::Value;

use crate::harness::{KEYVAULT, PASSPHRASE, World, finish};
use crate::terminal::Terminal;

/// Every command that has help of its own.
const COMMANDS: [&str; 36] = [
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
fn case_31_a_closed_stdout_is_an_error_before_any_change() {
    let world = World::new();
    world.sh("keyvault generate a --print >&-").fails(1, "Standard output is closed");
    world.sh("keyvault generate a >&-").fails(1, "Standard output is closed");
    world.run(&["show", "a"]).fails(3, "");
    world.run(&["generate", "a"]).ok();
    world.sh("keyvault rotate a >&-").fails(1, "");
    assert_eq!(world.run(&["show", "a", "--json"]).ok().json()["version"], 1);
}

#[test]
fn s9_what_writes_nothing_to_stdout_does_not_need_it() {
    let world = World::own();
    world.run(&["generate", "a"]).ok();
    let ran = world.sh("keyvault exec --only a -- sh -c 'test -n \"$A\" && test ! -e /proc/self/fd/1' >&-");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_eq!(world.sh("keyvault unlock >&- && keyvault lock >&-").code, 0);
}

#[test]
fn case_31_closed_stdin_and_stderr_are_no_ones_files() {
    let world = World::new();
    world.sh("keyvault generate a <&- 2>&-").ok();
    world.sh("keyvault vault check <&- 2>&-").ok();
    // With nothing on 0 to 2 the vault's file must not be opened there and written to by a message.
    let _ = world.sh("keyvault show missing <&- >&- 2>&-");
    world.run(&["vault", "check"]).ok();
}

#[test]
fn case_32_a_reader_that_goes_away_is_no_error() {
    let world = World::new();
    for number in 0..40 {
        world.file(&format!("{number}.env"), format!("V{number}={}\n", "x".repeat(8000)));
        world.run(&["import", &format!("{number}.env")]).ok();
    }
    for line in ["keyvault export --all", "keyvault audit log --json", "keyvault list", "keyvault man"] {
        let ran = world.sh(&format!("{{ {line}; echo $? >code; }} | head -c 1 >/dev/null; cat code"));
        assert_eq!((ran.out.as_str(), ran.err.as_str()), ("0\n", ""), "{line}");
    }
}

#[test]
fn case_33_a_full_device_is_an_error() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    for line in [
        "keyvault list",
        "keyvault show a",
        "keyvault show a --reveal",
        "keyvault export --all",
        "keyvault audit log",
        "keyvault list --json",
        "keyvault --help",
        "keyvault --version",
        "keyvault status",
        "keyvault man",
        "keyvault completions bash",
        "keyvault vault check",
    ] {
        let ran = world.sh(&format!("{line} > /dev/full"));
        assert!(ran.code != 0, "{line}");
        assert!(ran.err.contains("no space left"), "{line}: {}", ran.err);
    }
}

#[test]
fn escapes_are_for_terminals_that_want_them() {
    let world = World::own();
    world.run(&["generate", "a", "--expires", "1d"]).ok();
    world.run(&["unlock"]).ok();
    for (arguments, code) in [
        (&["list"][..], 0),
        (&["status"], 0),
        (&["show", "a"], 0),
        (&["show", "missing"], 3),
        (&["--help"], 0),
    ] {
        let ran = world.run(arguments);
        assert_eq!(ran.code, code);
        assert!(!ran.out.contains('\u{1b}') && !ran.err.contains('\u{1b}'), "{arguments:?}");
    }
    let terminal = Terminal::shell(&world);
    let coloured = |setting: &str| {
        terminal.run(&format!("{setting} keyvault list; {setting} keyvault show missing"), "");
        terminal.ended();
        terminal.coloured().contains("\u{1b}[3")
    };
    assert!(coloured(""));
    assert!(!coloured("NO_COLOR=1"));
    assert!(!coloured("TERM=dumb"));
    // Empty is unset, by the convention's own words.
    assert!(coloured("NO_COLOR="));
}

#[test]
fn with_json_an_error_is_an_object_with_a_kind_for_programs() {
    let world = World::new();
    for (arguments, code, kind) in [
        (&["show", "missing", "--json"][..], 3, "not_found"),
        (&["--json", "exec", "--all", "--", "/nowhere/command"], 127, "no_command"),
        (&["generate", "--json"], 2, "usage"),
        (&["generate", "x", "--length", "1", "--json"], 2, "usage"),
        (&["--vault", "/nowhere/vault.db", "list", "--json"], 3, "no_vault"),
    ] {
        let ran = world.run(arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {}", ran.err);
        assert_eq!(ran.out, "");
        let error: Value = serde_json::from_str(&ran.err).unwrap();
        assert_eq!(error["error"]["kind"], kind, "{arguments:?}");
        assert!(error["error"]["message"].is_string() && error["error"]["hint"].is_string(), "{error}");
    }
}

#[test]
fn an_argument_in_the_wrong_place_is_not_repeated() {
    let world = World::new();
    let secret = "sk_live_4eC39HqLyjWDarjtT1zdp7dc";
    for arguments in [
        &["show", "a", secret][..],
        &["add", "a", secret],
        &["add", "a", "--value", secret],
        &["add", "a", &format!("--secret={secret}")],
        &["generate", secret, "x"],
        &["generate", "a", "--expires", secret],
        &["generate", "a", "--recipe", secret],
        &["generate", "a", "--length", secret],
        &["edit", "a", "--tag", &format!("={secret}")],
        &["exec", "--all", secret],
        &["exec", "--only", &format!("a={secret}"), "--", "true"],
        &["exec", "--all", "--", &format!("API_KEY={secret}"), "true"],
        &[secret],
        &["completions", secret],
        &["import", "x", "--on-conflict", secret],
    ] {
        let ran = world.run(arguments);
        assert!(ran.code != 0, "{arguments:?}");
        assert!(!ran.err.contains("4eC39") && !ran.out.contains("4eC39"), "{arguments:?}: {}", ran.err);
    }
}

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
        ("exec", "125 for every failure of"),
        ("vault rekey", "All of it in one"),
        ("completions", "source <(keyvault completions bash)"),
        ("audit verify", "from the start of the log"),
    ] {
        let mut help = world.command(KEYVAULT);
        let help = finish(help.args(command.split_whitespace()).arg("--help"), b"").ok();
        assert!(help.out.contains(words), "{command}: {}", help.out);
    }
}

#[test]
fn tables_fit_terminals_of_60_80_and_200_columns() {
    let world = World::own();
    let long = "a-rather-long-name/with-several-segments/that-goes-on-and-on";
    world.run(&["generate", long, "--scope", "payments", "--scope", "production:eu-west-1"]).ok();
    world.run(&["generate", "short", "--expires", "2h", "--note", "漢字 wide, and e\u{301} combined"]).ok();
    world.run(&["rotate", "short", "--grace", "1h"]).ok();
    world.run(&["unlock"]).ok();
    for columns in [60, 80, 200] {
        let terminal = Terminal::sized(&world, "bash --norc --noprofile", columns);
        terminal.type_line("PS1='READY> '; clear");
        terminal.wait_for("READY>");
        for command in ["list", "show short", "history short", "vault slot list"] {
            terminal.run(&format!("keyvault {command}"), "");
            let (shown, code) = terminal.ended();
            assert_eq!(code, 0, "{shown}");
            // A line that is too long goes on in the next one, which then does not begin like a line of the table.
            let widest = shown.lines().map(|line| line.chars().count()).max().unwrap_or(0);
            assert!(widest <= usize::from(columns), "{command} at {columns}: {widest}\n{shown}");
        }
    }
}

#[test]
fn case_36_a_value_on_a_terminal_is_shown_and_not_obeyed() {
    let world = World::own();
    world.run_with_input(&["add", "evil"], b"x\x1b]2;taken over\x07\x1b[2Jy\xc2\x9b31m").ok();
    world.run(&["unlock"]).ok();
    let terminal = Terminal::shell(&world);
    for command in
        ["show evil --reveal", "export --only evil", "export --only evil --json", "show evil --reveal --json"]
    {
        terminal.run(&format!("keyvault {command}"), "");
        let (shown, _) = terminal.ended();
        assert!(shown.contains("taken over"), "{command}: {shown}");
        assert!(!terminal.title().contains("taken over"), "{command}");
    }
    // Through a pipe the bytes are exact.
    let ran = world.run(&["show", "evil", "--reveal"]).ok();
    assert_eq!(ran.bytes, b"x\x1b]2;taken over\x07\x1b[2Jy\xc2\x9b31m");
}

#[test]
fn on_a_terminal_exec_warns_in_one_line_of_a_key_that_expires_soon() {
    let world = World::own();
    world.run(&["generate", "a", "--expires", "2d"]).ok();
    world.run(&["generate", "b", "--expires", "8d"]).ok();
    world.run(&["unlock"]).ok();
    let terminal = Terminal::shell(&world);
    terminal.run("keyvault exec --all -- echo ran", "");
    let (shown, code) = terminal.ended();
    assert_eq!((code, shown.as_str()), (0, "warning: Expiring soon: a (in 2d).\nran\n"));
    terminal.run("keyvault exec --only b -- echo ran", "");
    assert_eq!(terminal.ended().0, "ran\n");
}

#[test]
fn s14_an_interrupted_tour_leaves_nothing_behind() {
    let world = World::empty();
    let temporary = world.path().join("tmp");
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let mut tour = world.command("timeout");
        tour.args(["--preserve-status", "--signal", signal, "0.4", KEYVAULT, "tour"]);
        let ran = finish(&mut tour, b"");
        assert_eq!(ran.code, code, "{signal}: {}", ran.err);
        let left: Vec<_> =
            std::fs::read_dir(&temporary).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left, Vec::<std::path::PathBuf>::new());
    }
}

#[test]
fn warnings_do_not_mix_with_data() {
    let mut world = World::own();
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    world.file("x.env", "PATH=/evil\nA=1\nA=2\nB-C=${X}\n");
    let ran = world.run(&["import", "x.env", "--json"]).ok();
    let json = ran.json();
    assert_eq!(json["created"], serde_json::json!(["A", "B-C"]));
    assert_eq!(json["left_out"], serde_json::json!(["PATH"]));
}

#[test]
fn sentences_are_broken_between_words_on_a_terminal_and_never_through_a_pipe() {
    let world = World::own();
    world.run(&["generate", "a", "--expires", "1h"]).ok();
    let piped = world.run(&["rotate", "a", "--grace", "10m"]).ok().out;
    assert_eq!(piped.lines().count(), 1);
    let refused = world.run(&["generate", "a"]).fails(6, "");
    assert_eq!(refused.err.lines().count(), 2);
    world.run(&["unlock"]).ok();
    let terminal = Terminal::sized(&world, "bash --norc --noprofile", 60);
    terminal.type_line("PS1='READY> '; clear");
    terminal.wait_for("READY>");
    for line in ["keyvault rotate a --grace 10m", "keyvault generate a", "keyvault exec --only b -- true"] {
        terminal.run(line, "");
        let (shown, _) = terminal.ended();
        assert!(shown.lines().count() > 1, "{shown}");
        for broken in ["stay\ns", "val\nue", "ver\nsion"] {
            assert!(!shown.contains(broken), "{shown}");
        }
        assert!(shown.lines().all(|line| line.chars().count() <= 60), "{shown}");
    }
}
