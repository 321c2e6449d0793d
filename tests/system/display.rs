//! A terminal's view: width, color, line breaks, and no escape code of anybody else's.

use pretty_assertions::assert_eq;

use crate::harness::terminal::Terminal;
use crate::harness::{KEYVAULT, World, days};

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
    let colored = |setting: &str| {
        terminal.run(&format!("{setting} keyvault list; {setting} keyvault show missing"), "");
        terminal.ended();
        terminal.colored().contains("\u{1b}[3")
    };
    assert!(colored(""));
    assert!(!colored("NO_COLOR=1"));
    assert!(!colored("TERM=dumb"));
    // Empty is unset, by the convention's own words.
    assert!(colored("NO_COLOR="));
}

#[test]
fn tables_fit_terminals_of_60_80_and_200_columns() {
    let world = World::own();
    let long = "a-rather-long-name/with-several-segments/that-go";
    world.run(&["generate", long, "--scope", "payments", "--scope", "production:eu-west-1"]).ok();
    world.run(&["generate", "short", "--expires", "2h", "--note", "漢字 wide, and e\u{301} combined"]).ok();
    world.run(&["rotate", "short", "--grace", "1h"]).ok();
    std::fs::copy(world.vault(), world.home().join("other.db")).unwrap();
    world
        .run(&["edit", "short", "--note", "another note, of more words than a narrow terminal has room for"])
        .ok();
    world.run(&["revoke", "short", "--reason", "found in a log of the build of last night"]).ok();
    world.run(&["remove", long, "--yes"]).ok();
    world.run(&["generate", "another-rather-long-name/with-several-segments"]).ok();
    world.run(&["unlock"]).ok();
    for columns in [60, 80, 200] {
        let terminal = Terminal::sized(&world, "bash --norc --noprofile", columns);
        terminal.type_line("PS1='READY> '; clear");
        terminal.wait_for("READY>");
        for command in ["list", "show short", "history short", "vault slot list", "vault diff other.db"] {
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
fn a_pager_gets_what_is_longer_than_the_screen_and_no_credential() {
    let world = World::own();
    world.file("keys.env", (0..60).map(|n| format!("KEY_{n}=value-{n}\n")).collect::<String>());
    world.run(&["import", "keys.env"]).ok();
    world.run(&["unlock"]).ok();
    let terminal = Terminal::shell(&world);
    let pager = "PAGER='env > seen; cat > paged; echo shown by the pager'";
    terminal.run(&format!("{pager} keyvault list KEY_1"), "");
    let (shown, _) = terminal.ended();
    assert!(shown.starts_with("NAME") && shown.contains("KEY_19"), "{shown}");
    assert!(!world.path().join("home/paged").exists());
    terminal.run(&format!("{pager} keyvault list"), "");
    let (shown, code) = terminal.ended();
    assert_eq!((shown.as_str(), code), ("shown by the pager\n60 keys\n", 0));
    let paged = std::fs::read_to_string(world.home().join("paged")).unwrap();
    assert_eq!(paged.lines().count(), 61);
    let seen = std::fs::read_to_string(world.home().join("seen")).unwrap();
    assert!(seen.contains("LESS=FRX\n"), "{seen}");
    assert!(!seen.contains("KEYVAULT_"), "{seen}");
    // One that stops reading, and one that is not there.
    for pager in ["PAGER='head -n 1'", "KEYVAULT_PAGER=true"] {
        terminal.run(&format!("{pager} keyvault list"), "");
        assert_eq!(terminal.ended().1, 0);
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
    world.run(&["generate", "a", "--expires", "10d"]).ok();
    world.run(&["generate", "b", "--expires", "20d"]).ok();
    world.advance(days(8));
    world.run(&["unlock"]).ok();
    let terminal = Terminal::shell(&world);
    terminal.run("keyvault exec --all -- echo ran", "");
    let (shown, code) = terminal.ended();
    assert_eq!((code, shown.as_str()), (0, "warning: Expiring soon: a (in 2d).\nran\n"));
    terminal.run("keyvault exec --only b -- echo ran", "");
    assert_eq!(terminal.ended().0, "ran\n");
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
    let missing = "keyvault exec --only a-key-of-a-long-name --only another-key-of-a-long-name -- true";
    let project = "printf '[keys]\\nA_VARIABLE_NAME = \"a-key-of-a-long-name\"\\n' > .keyvault.toml; \
        keyvault project check";
    for line in [
        "keyvault rotate a --grace 10m",
        "keyvault generate a",
        "keyvault exec --only b -- true",
        missing,
        project,
    ] {
        terminal.run(line, "");
        let (shown, _) = terminal.ended();
        assert!(shown.lines().count() > 1, "{shown}");
        for broken in ["stay\ns", "val\nue", "ver\nsion"] {
            assert!(!shown.contains(broken), "{shown}");
        }
        assert!(shown.lines().all(|line| line.chars().count() <= 60), "{shown}");
    }
    terminal.run("keyvault generate a", "");
    let (shown, _) = terminal.ended();
    assert!(shown.contains("`keyvault import --on-conflict replace`"), "a command is broken:\n{shown}");
}

#[test]
fn json_on_a_terminal_steers_nothing_and_json_errors_are_json() {
    let world = World::own();
    world.run_with_input(&["add", "a"], "1").ok();
    world.run(&["revoke", "a", "--reason", "\u{9b}31m\u{202e}"]).ok();
    let terminal = Terminal::shell(&world);
    terminal.run(
        "script -qec 'keyvault audit log --json --action revoke' /dev/null > shown; wc -l shown",
        "shown",
    );
    terminal.ended();
    let shown = std::fs::read_to_string(world.home().join("shown")).unwrap();
    assert!(shown.contains("\\u009b31m\\u202e"), "{shown}");
    let error = |line: &str| {
        let ran = world.sh(&format!("{line} 2>&1"));
        let json: serde_json::Value =
            serde_json::from_str(&ran.out).unwrap_or_else(|why| panic!("{why}: {}", ran.out));
        json["error"]["message"].as_str().unwrap().to_owned()
    };
    let odd = "a \u{200d} \u{7f} \u{9b} .env";
    assert!(error(&format!("keyvault --json import '{odd}'")).contains("a \u{200d}"));
    let long = format!("{KEYVAULT} --json import '{}'", "word ".repeat(60));
    assert!(error(&format!("script -qec \"{long}\" /dev/null | tr -d '\\r'")).contains("word word"));
}

#[test]
fn what_is_long_goes_on_below_its_text_on_a_narrow_terminal() {
    let world = World::own();
    let note = "a note of so many words that sixty columns are not enough for all of them";
    world.run(&["generate", "a", "--scope", "s", "--note", note]).ok();
    world.run(&["unlock"]).ok();
    let terminal = Terminal::sized(&world, "bash --norc --noprofile", 60);
    terminal.type_line("PS1='READY> '; clear");
    terminal.wait_for("READY>");
    for (command, line) in [
        (
            "show a",
            "note         a note of so many words that sixty columns are\n             not enough for all of them\n",
        ),
        (
            "--help",
            "  project      Record which keys a project needs, and use\n               them: init, add, approve, check, render,\n",
        ),
    ] {
        terminal.run(&format!("keyvault {command}"), "");
        let (shown, _) = terminal.ended();
        assert!(shown.contains(line), "{command}:\n{shown}");
    }
}

/// A terminal that was never told its size broke words at 40 columns, and long lines wherever it liked.
#[test]
fn a_terminal_without_a_size_counts_as_80_columns_wide() {
    let world = World::own();
    world
        .run(&["generate", "a-rather-long-name/with-several-segments/that-goes-on", "--scope", "payments"])
        .ok();
    // Its size is 0 by 0 until someone sets it.
    let on_terminal = |line: &str| {
        let spawn = "import pty, sys; pty.spawn(sys.argv[1:], lambda fd: __import__('os').read(fd, 4096), lambda fd: b'')";
        let mut command = world.command("python3");
        command.env("NO_COLOR", "1");
        command.args(["-c", spawn, "sh", "-c", &format!("stty size; '{KEYVAULT}' {line}; true")]);
        let shown = crate::harness::finish(&mut command, b"").out.replace('\r', "");
        shown.strip_prefix("0 0\n").unwrap_or_else(|| panic!("{line}: {shown}")).to_owned()
    };
    for (line, at_least) in
        [("--help", 60), ("exec --help", 60), ("list", 60), ("exec --all --scope s -- true", 0)]
    {
        let shown = on_terminal(line);
        let longest = shown.lines().map(|line| line.chars().count()).max().unwrap();
        assert!((at_least..=80).contains(&longest), "{line}: {longest}\n{shown}");
    }
    assert!(on_terminal("list").contains("a-rather-long-name"), "{}", on_terminal("list"));
}
