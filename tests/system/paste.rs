//! Text that is pasted at a prompt on a real terminal: all of it is the answer, or it is refused and gone.

use pretty_assertions::assert_eq;

use crate::harness::terminal::Terminal;
use crate::harness::{PASSPHRASE, World};

fn private_key() -> String {
    format!(
        "-----BEGIN PRIVATE KEY-----\n{}-----END PRIVATE KEY-----\n",
        format!("{}\n", "x".repeat(63)).repeat(26)
    )
}

/// Nothing of the key stood on the screen, nor did the shell take it for commands.
fn assert_unseen(terminal: &Terminal<'_>, shown: &str) {
    let typed = terminal.history();
    for text in [shown, &typed] {
        assert!(!text.contains("xxx") && !text.contains("BEGIN") && !text.contains("not found"), "{text}");
    }
}

#[test]
fn a_private_key_is_stored_whole_with_its_last_newline() {
    let world = World::own();
    let key = private_key();
    let terminal = Terminal::shell(&world);
    for (line, text) in [
        ("keyvault add tls", key.as_str()),
        // Without its last line end, as it is often selected.
        ("keyvault rotate tls", key.trim_end()),
        ("keyvault rotate tls", &key.replace('\n', "\r\n")),
    ] {
        terminal.run(line, "Value of tls:");
        terminal.paste(text, true);
        terminal.press("Enter");
        let (shown, code) = terminal.ended();
        assert_eq!(code, 0, "{shown}");
        assert_unseen(&terminal, &shown);
        // tmux sends a CR for each CR and each LF of a buffer, so that CR LF arrives as two line ends.
        let expected = if text.contains('\r') { key.replace('\n', "\n\n") } else { key.clone() };
        let lines = expected.lines().count();
        let size =
            format!("Stored {} bytes, {lines} lines.", expected.len()).replace("Stored 1", "Stored 1,");
        assert!(shown.contains(&size), "{size}: {shown}");
        assert_eq!(world.run(&["show", "tls", "--reveal"]).ok().out, expected);
    }
}

#[test]
fn one_pasted_line_is_stored_without_its_line_end() {
    let world = World::own();
    let terminal = Terminal::shell(&world);
    for (line, text) in [("keyvault add a", "sesame\n"), ("keyvault rotate a", "sesame2")] {
        terminal.run(line, "Value of a:");
        terminal.paste(text, true);
        terminal.press("Enter");
        let (shown, code) = terminal.ended();
        assert!(code == 0 && !shown.contains("Stored"), "{code}: {shown}");
        assert_eq!(world.run(&["show", "a", "--reveal"]).ok().out, text.trim_end());
    }
}

/// The first line was stored, and the shell ran the rest and kept it in its history.
#[test]
fn lines_that_the_terminal_does_not_mark_are_refused_and_do_not_reach_the_shell() {
    let world = World::own();
    world.run_with_input(&["add", "h"], "good").ok();
    let terminal = Terminal::shell(&world);
    for line in [
        "keyvault add tls",
        "keyvault rotate h",
        "TERM=dumb keyvault add tls",
        "env -u TERM keyvault add tls",
    ] {
        terminal.run(line, "Value of ");
        terminal.paste(&private_key(), false);
        let (shown, code) = terminal.ended();
        assert_eq!(code, 2, "{line}: {shown}");
        assert!(shown.contains("More than one line was entered. Nothing was done."), "{line}: {shown}");
        assert!(shown.contains("--file FILE"), "{line}: {shown}");
        assert_unseen(&terminal, &shown);
    }
    world.run(&["show", "tls"]).fails(3, "");
    assert_eq!(world.run(&["show", "h", "--reveal"]).ok().out, "good");
}

#[test]
fn a_dumb_terminal_is_asked_for_nothing_and_takes_a_line() {
    let world = World::own();
    let terminal = Terminal::shell(&world);
    terminal.run("TERM=dumb keyvault add a", "Value of a:");
    terminal.paste("sesame\n", true);
    let (shown, code) = terminal.ended();
    assert_eq!(code, 0, "{shown}");
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok().out, "sesame");
}

#[test]
fn arrow_keys_and_their_like_are_no_part_of_a_value_or_a_passphrase() {
    let world = World::own();
    let terminal = Terminal::shell(&world);
    terminal.run("keyvault add a", "Value of a:");
    for key in ["s", "Up", "e", "Left", "F5", "s", "Home", "PageDown", "M-x", "C-Right", "a", "m", "e"] {
        terminal.press(key);
    }
    terminal.press("Enter");
    assert_eq!(terminal.ended().1, 0);
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok().out, "sesame");
    terminal.run("keyvault add b", "Value of b:");
    terminal.type_text("se");
    terminal.press("Tab");
    terminal.type_line("same");
    let (shown, code) = terminal.ended();
    assert!(
        code == 2 && shown.contains("A control character was entered. Nothing was done."),
        "{code}: {shown}"
    );
    terminal.run("env -u KEYVAULT_PASSPHRASE keyvault list --no-session", "Passphrase for ");
    terminal.press("Up");
    terminal.type_text(PASSPHRASE);
    terminal.press("Down");
    terminal.press("Enter");
    assert_eq!(terminal.ended().1, 0);
}

#[test]
fn a_passphrase_may_be_pasted_with_its_line_end_and_not_with_more() {
    let mut world = World::own();
    world.unset("KEYVAULT_PASSPHRASE");
    let terminal = Terminal::shell(&world);
    terminal.run("keyvault list --no-session", "Passphrase for ");
    terminal.paste(&format!("{PASSPHRASE}\n"), true);
    terminal.press("Enter");
    assert_eq!(terminal.ended().1, 0);
    terminal.run("keyvault list --no-session", "Passphrase for ");
    terminal.paste(&format!("{PASSPHRASE}\n"), false);
    assert_eq!(terminal.ended().1, 0);
    for marked in [true, false] {
        terminal.run("keyvault list --no-session", "Passphrase for ");
        terminal.paste(&format!("{PASSPHRASE}\necho leaked\n"), marked);
        if marked {
            terminal.press("Enter");
        }
        let (shown, code) = terminal.ended();
        assert_eq!(code, 2, "{shown}");
        let typed = terminal.history();
        assert!(!shown.contains("leaked") && !typed.contains("leaked"), "{shown}\n{typed}");
    }
}
