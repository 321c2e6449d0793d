//! Prompts on a real terminal: passphrase, session, init, remove; and scripts without one.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use keyvault_os::fs::lock::ANSWER;
use pretty_assertions::assert_eq;

use crate::harness::terminal::Terminal;
use crate::harness::vault_file::tamper;
use crate::harness::{PASSPHRASE, World};

/// A world whose vault nothing opens but a typed passphrase.
fn locked() -> World {
    let mut world = World::own();
    world.run(&["generate", "a", "--scope", "s"]).ok();
    world.unset("KEYVAULT_PASSPHRASE");
    world
}

/// The log's (action, outcome, detail), oldest first.
fn log(world: &World) -> Vec<(String, String, String)> {
    let mut command = world.command(crate::harness::KEYVAULT);
    command.env("KEYVAULT_PASSPHRASE", PASSPHRASE).args(["audit", "log", "--json"]);
    let lines = crate::harness::finish(&mut command, b"").ok().out;
    let parse = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    lines
        .lines()
        .map(parse)
        .map(|entry| (text(&entry["action"]), text(&entry["outcome"]), text(&entry["detail"])))
        .collect()
}

#[test]
fn a_typed_passphrase_opens_a_session_of_a_quarter_of_an_hour_said_once() {
    let world = locked();
    let terminal = Terminal::shell(&world);
    terminal.run("keyvault list", "Passphrase for ");
    terminal.type_line(PASSPHRASE);
    let (shown, code) = terminal.ended();
    assert_eq!(code, 0, "{shown}");
    assert!(!shown.contains(PASSPHRASE), "{shown}");
    assert!(shown.contains("Unlocked until ") && shown.contains("`--no-session` opens none"), "{shown}");
    terminal.run("keyvault list", "");
    let (shown, code) = terminal.ended();
    assert!(code == 0 && !shown.contains("Passphrase") && !shown.contains("Unlocked"), "{shown}");
    let status = world.run(&["status", "--json"]).ok().json();
    assert_eq!(status["status"], "open");
    assert_eq!(log(&world).last().unwrap().2, "passphrase typed, 15m");
}

#[test]
fn no_session_declines_the_session() {
    let world = locked();
    let terminal = Terminal::shell(&world);
    terminal.run("keyvault list --no-session", "Passphrase for ");
    terminal.type_line(PASSPHRASE);
    let (shown, code) = terminal.ended();
    assert!(code == 0 && !shown.contains("Unlocked"), "{shown}");
    world.run(&["status"]).fails(4, "");
}

#[test]
fn a_revocation_that_damage_is_in_the_way_of_asks_for_the_passphrase_beside_a_session() {
    let mut world = locked();
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    world.run(&["unlock", "--for", "1h"]).ok();
    world.unset("KEYVAULT_PASSPHRASE");
    tamper(&world, "DELETE FROM node");
    let terminal = Terminal::shell(&world);
    terminal.run("keyvault revoke a", "Passphrase for ");
    terminal.type_line(PASSPHRASE);
    let (shown, code) = terminal.ended();
    assert!(code == 0 && shown.contains("a is revoked"), "{shown}");
    world.run(&["vault", "check"]).ok();
}

#[test]
fn case_28_ctrl_c_at_the_prompt_is_130_and_the_echo_is_back() {
    let world = locked();
    let terminal = Terminal::shell(&world);
    terminal.run("keyvault list", "Passphrase for ");
    terminal.type_text("half a pass");
    terminal.press("C-c");
    let (shown, code) = terminal.ended();
    assert_eq!(code, 130, "{shown}");
    assert!(shown.contains("Interrupted. Nothing was done."), "{shown}");
    terminal.run("stty -a | grep -o -- '-*echo\\b'", "");
    assert_eq!(terminal.ended().0.lines().next(), Some("echo"));
}

#[test]
fn a_wrong_passphrase_may_be_typed_again_twice_and_is_recorded_once_it_can_be() {
    let world = locked();
    let terminal = Terminal::shell(&world);
    terminal.run("keyvault list", "Passphrase for ");
    terminal.type_line("wrong");
    terminal.wait_for("Try again.");
    terminal.wait_for_times("Passphrase for ", 2);
    terminal.type_line(PASSPHRASE);
    assert_eq!(terminal.ended().1, 0);
    let log = log(&world);
    let refused: Vec<_> = log.iter().filter(|entry| entry.1 == "refused").collect();
    assert_eq!(refused.len(), 1, "{log:?}");
    assert_eq!(refused[0].2, "wrong passphrase, 1x");
    world.run(&["lock"]).ok();
    terminal.run("keyvault list", "Passphrase for ");
    for round in 0..3 {
        terminal.wait_for_times("Passphrase for ", round + 1);
        terminal.type_line("wrong");
    }
    let (shown, code) = terminal.ended();
    assert_eq!(code, 4, "{shown}");
    assert!(shown.contains("vault recover"), "{shown}");
}

#[test]
fn case_30_without_a_terminal_it_is_refused_at_once_and_stdin_stays_the_scripts() {
    let world = locked();
    let ran = world.sh("printf 'one\\ntwo\\n' | { keyvault list; echo $?; cat; }").ok();
    assert_eq!(ran.out, "4\none\ntwo\n");
    for word in ["keyvault unlock", "KEYVAULT_PASSPHRASE_FILE", "KEYVAULT_PASSPHRASE"] {
        assert!(ran.err.contains(word), "{}", ran.err);
    }
    let terminal = Terminal::shell(&world);
    terminal.run("keyvault --non-interactive list", "");
    assert_eq!(terminal.ended().1, 4);
}

#[test]
fn a_prompt_is_on_the_terminal_while_stdin_stays_data() {
    let world = locked();
    let terminal = Terminal::shell(&world);
    terminal.run("printf value | keyvault add piped 2>err >out", "Passphrase for ");
    terminal.type_line(PASSPHRASE);
    assert_eq!(terminal.ended().1, 0);
    assert_eq!(world.run(&["show", "piped", "--reveal"]).ok().out, "value");
}

#[test]
fn a_command_that_reads_dev_null_and_writes_to_a_file_fails_at_once() {
    let world = locked();
    let terminal = Terminal::shell(&world);
    terminal.run("keyvault list </dev/null >out", "");
    let (shown, code) = terminal.ended();
    assert_eq!(code, 4, "{shown}");
    assert!(shown.contains("The vault is locked, and there is no terminal to prompt on."), "{shown}");
    // A person who sends the answer elsewhere, or has no input for it, is still there to be asked.
    terminal.run("keyvault list </dev/null", "Passphrase for ");
    terminal.press("C-c");
    assert_eq!(terminal.ended().1, 130);
    terminal.run("keyvault export --all >out", "Passphrase for ");
    terminal.type_line(PASSPHRASE);
    assert_eq!(terminal.ended().1, 0);
}

#[test]
fn of_several_commands_that_would_all_prompt_one_does() {
    let world = locked();
    let terminal = Terminal::shell(&world);
    let line = "for i in 1 2 3; do keyvault exec --only a --dry-run -- true & done; wait";
    terminal.run(&format!("set +m; {line}"), "Passphrase for ");
    terminal.type_line(PASSPHRASE);
    let (shown, _) = terminal.ended();
    assert_eq!(shown.matches("Passphrase for ").count(), 1, "{shown}");
    assert_eq!(shown.matches("A <- a").count(), 3, "{shown}");
}

#[test]
fn a_command_behind_an_unanswered_prompt_says_what_it_waits_for() {
    let world = locked();
    let asking = Terminal::shell(&world);
    asking.type_line("keyvault exec --only a --dry-run -- true");
    asking.wait_for("Passphrase for ");
    asking.press("C-z");
    asking.wait_for("Stopped");
    let terminal = Terminal::shell(&world);
    terminal
        .run("keyvault exec --only a --dry-run -- true", "is waiting for an answer. This command continues");
    terminal.press("C-c");
    terminal.wait_for("READY>");
    // On an emptied screen: the question from before the stop looks like the one that is asked anew, and what is typed
    // before that one is thrown away.
    asking.run("fg", "Passphrase for ");
    asking.type_line(PASSPHRASE);
    let (shown, code) = asking.ended();
    assert!(code == 0 && shown.contains("A <- a"), "{code}: {shown}");
}

#[test]
fn a_recovery_asks_before_it_drops_what_is_damaged() {
    let world = World::own();
    world.run(&["generate", "a"]).ok();
    world.run(&["vault", "slot", "remove", "2", "--yes"]).ok();
    world.run(&["vault", "slot", "add", "recovery", "--recovery-file", "code"]).ok();
    world.file("new", PASSPHRASE);
    tamper(&world, "UPDATE version SET sealed = zeroblob(length(sealed)); DELETE FROM node");
    let before = std::fs::read(world.vault()).unwrap();
    let terminal = Terminal::shell(&world);
    let recover = "keyvault vault recover --code-file code --new-passphrase-file new --recovery-file code2";
    for (answer, code) in [("no", 6), ("yes", 0)] {
        terminal.run(recover, "Continue without 1 value? [y/N]");
        assert!(terminal.screen().contains("Damaged values would be dropped: a version 1."));
        assert!(std::fs::read(world.vault()).unwrap() == before);
        terminal.type_line(answer);
        let (shown, ended) = terminal.ended();
        assert_eq!(ended, code, "{shown}");
    }
    world.run(&["vault", "check"]).ok();
}

/// It waited without limit, for a prompt that was stopped and forgotten.
#[test]
fn a_command_behind_an_unanswered_prompt_gives_up_and_names_the_process() {
    let world = locked();
    world.file(".keyvault.toml", "[keys]\nA = \"a\"\n");
    let asking = Terminal::shell(&world);
    asking.type_line("keyvault project approve");
    asking.wait_for("Approve it?");
    let terminal = Terminal::shell(&world);
    terminal.run("keyvault project approve", "is waiting for an answer");
    let (shown, code) = terminal.ended_within(ANSWER + Duration::from_secs(5));
    assert_eq!(code, 7, "{shown}");
    assert!(shown.contains("(keyvault) has locked ") && shown.contains("for more than 60 s"), "{shown}");
    asking.press("C-c");
    asking.wait_for("Interrupted");
}

#[test]
fn the_question_of_a_wipe_says_whether_it_is_the_key_or_a_removed_one() {
    let world = World::own();
    let add = || world.run_with_input(&["add", "a"], "value").ok();
    let terminal = Terminal::shell(&world);
    let ask = |options: &str, question: &str| {
        terminal.run(&format!("clear; keyvault remove a {options}"), question);
        terminal.type_line("no");
        assert_eq!(terminal.ended().1, 6);
    };
    add();
    ask("--wipe", "This permanently destroys a. Type its name");
    world.run(&["remove", "a", "--yes"]).ok();
    ask(
        "--wipe --removed",
        "This permanently destroys the removed key a; a key that has the name now stays.",
    );
    add();
    ask(
        "--wipe",
        "This permanently destroys the key that has the name a now; 1 removed key of that name stays.",
    );
    world.run(&["remove", "a", "--yes"]).ok();
    add();
    ask(
        "--wipe --removed",
        "This permanently destroys 2 removed keys that had the name a; a key that has it now stays.",
    );
    let removed = world.run(&["list", "--removed", "--json"]).ok().json();
    assert_eq!(removed["keys"].as_array().unwrap().len(), 2);
    world.run(&["show", "a"]).ok();
}

#[test]
fn remove_asks_for_the_name_on_the_terminal_even_where_stderr_is_a_file() {
    let world = locked();
    world.sh("true").ok();
    let terminal = Terminal::shell(&world);
    terminal.run("keyvault unlock", "Passphrase for ");
    terminal.type_line(PASSPHRASE);
    terminal.ended();
    terminal.run("keyvault remove a 2>err", "Type its name");
    terminal.type_line("b");
    assert_eq!(terminal.ended().1, 6);
    world.run(&["show", "a"]).ok();
    terminal.run("keyvault remove a 2>err", "Type its name");
    terminal.press("C-c");
    assert_eq!(terminal.ended().1, 130);
    terminal.run("keyvault remove a 2>err", "Type its name");
    terminal.type_line("a");
    assert_eq!(terminal.ended().1, 0);
    world.run(&["show", "a"]).fails(3, "");
}

#[test]
fn a_file_that_was_exchanged_during_the_prompt_is_refused_and_nothing_is_lost() {
    let world = locked();
    let terminal = Terminal::shell(&world);
    let exchange = || {
        let (vault, copy) = (world.vault(), world.vault().with_extension("tmp"));
        std::fs::copy(&vault, &copy).unwrap();
        std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::rename(&copy, &vault).unwrap();
    };
    for line in
        ["keyvault generate lost --no-session", "keyvault exec --no-session --only a -- echo released"]
    {
        terminal.run(line, "Passphrase for ");
        exchange();
        terminal.type_line(PASSPHRASE);
        let (shown, code) = terminal.ended();
        assert!(code == 5 || code == 125, "{code}: {shown}");
        assert!(shown.contains("replaced by another file") && !shown.contains("released\n"), "{shown}");
    }
    terminal.run("keyvault list", "Passphrase for ");
    terminal.type_line(PASSPHRASE);
    let (shown, code) = terminal.ended();
    assert!(code == 0 && !shown.contains("lost"), "{shown}");
}

#[test]
fn in_an_alarm_a_typed_passphrase_still_lists_and_leaves_no_session() {
    let world = locked();
    let old = std::fs::read(world.vault()).unwrap();
    let mut generate = world.command(crate::harness::KEYVAULT);
    generate.env("KEYVAULT_PASSPHRASE", PASSPHRASE).args(["generate", "later"]);
    crate::harness::finish(&mut generate, b"").ok();
    std::fs::write(world.vault(), old).unwrap();
    let terminal = Terminal::shell(&world);
    terminal.run("keyvault list", "Passphrase for ");
    terminal.type_line(PASSPHRASE);
    let (shown, code) = terminal.ended();
    assert_eq!(code, 0, "{shown}");
    assert!(
        shown.contains("older than the state this machine last saw") && shown.contains("restore --adopt"),
        "{shown}"
    );
    world.run(&["status"]).fails(4, "");
}

#[test]
fn a_secret_is_not_read_from_a_terminal_that_echoes_it() {
    let world = World::own();
    world.run_with_input(&["add", "q"], "old").ok();
    world.run(&["generate", "made"]).ok();
    let terminal = Terminal::shell(&world);
    for (line, hint) in [
        ("rotate q --stdin", "without echo"),
        ("rotate made --stdin", "without echo"),
        ("rotate q --file -", "without echo"),
        ("rotate q --file /dev/tty", "Pipe it in"),
        ("add new --file -", "without echo"),
        ("add new --file /dev/stdin", "Pipe it in"),
        ("import -", "Pipe it in"),
        ("vault recover --code-file - --no-recovery", "without echo"),
        ("vault passwd --new-passphrase-file -", "Pipe it in"),
    ] {
        terminal.run(&format!("keyvault {line}"), "");
        let (shown, code) = terminal.ended();
        assert_eq!(code, 2, "{line}: {shown}");
        assert!(shown.contains("is a terminal, which would show what you type."), "{line}: {shown}");
        assert!(shown.contains(hint), "{line}: {shown}");
    }
    assert_eq!(world.run(&["show", "q", "--reveal"]).ok().out, "old");
    world.run(&["show", "new"]).fails(3, "");
    // A pipe on the same terminal is one.
    terminal.run("printf new | keyvault rotate q --stdin", "");
    assert_eq!(terminal.ended().1, 0);
    assert_eq!(world.run(&["show", "q", "--reveal"]).ok().out, "new");
}

/// One key was taken, and the rest of "yes" was the shell's: "es: command not found".
#[test]
fn yes_and_no_are_lines_and_nothing_of_them_is_left_for_the_shell() {
    let world = World::own();
    world.run(&["generate", "a"]).ok();
    world.run(&["vault", "backup", "backup.db"]).ok();
    let terminal = Terminal::shell(&world);
    for (answer, expected) in [("yes", 0), ("y", 0), ("Yes", 0), ("no", 6), ("n", 6), ("", 6)] {
        terminal.run("keyvault vault restore backup.db", "[y/N]");
        terminal.type_line(answer);
        let (shown, code) = terminal.ended();
        assert_eq!(code, expected, "{answer}: {shown}");
        terminal.run("true", "");
        assert!(!terminal.screen().contains("not found"), "{answer}: {}", terminal.screen());
    }
    terminal.run("keyvault vault restore backup.db", "[y/N]");
    terminal.type_line("yess");
    terminal.wait_for("Please answer yes or no.");
    terminal.wait_for_times("[y/N]", 2);
    terminal.press("C-d");
    let (shown, code) = terminal.ended();
    assert_eq!(code, 6, "{shown}");
    terminal.run("keyvault vault restore backup.db", "[y/N]");
    terminal.press("C-c");
    assert_eq!(terminal.ended().1, 130);
}

#[test]
fn single_keys_are_taken_over_from_a_copy_with_a_passphrase_of_its_own_after_a_question() {
    let mut world = World::own();
    world.run(&["generate", "a"]).ok();
    world.run(&["vault", "backup", "backup.db"]).ok();
    world.run(&["remove", "a", "--wipe", "--yes"]).ok();
    world.set("KEYVAULT_NEW_PASSPHRASE", "another passphrase");
    world.run(&["vault", "rekey", "--yes", "--no-recovery"]).ok();
    world.set("KEYVAULT_PASSPHRASE", "another passphrase");
    let backup = std::fs::read(world.home().join("backup.db")).unwrap();
    let terminal = Terminal::shell(&world);
    for (answer, expected) in [("no", 6), ("yes", 0)] {
        terminal.run("keyvault vault restore backup.db --only a", "Passphrase for backup.db:");
        terminal.type_line("wrong");
        terminal.wait_for("That is not the passphrase. Try again.");
        terminal.wait_for_times("Passphrase for backup.db:", 2);
        terminal.type_line(PASSPHRASE);
        terminal.wait_for("Take over 1 key? [y/N]");
        terminal.type_line(answer);
        let (shown, code) = terminal.ended();
        assert_eq!(code, expected, "{answer}: {shown}");
    }
    world.run(&["show", "a", "--reveal"]).ok();
    assert!(std::fs::read(world.home().join("backup.db")).unwrap() == backup);
}

#[test]
fn ctrl_c_at_a_question_is_130_and_the_cursor_is_back() {
    let world = World::own();
    world.run(&["generate", "a"]).ok();
    world.run(&["vault", "slot", "add", "keyfile", "k"]).ok();
    world.run(&["vault", "backup", "b"]).ok();
    let terminal = Terminal::shell(&world);
    for (line, question) in [
        ("keyvault vault slot remove 3", "Remove slot 3"),
        ("keyvault vault restore b", "Replace "),
        ("keyvault remove a", "Type its name"),
    ] {
        terminal.run(line, question);
        terminal.press("C-c");
        let (shown, code) = terminal.ended();
        assert_eq!(code, 130, "{line}: {shown}");
        assert!(shown.contains("Interrupted. Nothing was done."), "{line}: {shown}");
        assert!(terminal.cursor_is_shown(), "{line}");
        terminal.run(line, question);
        terminal.press("Enter");
        assert_eq!(terminal.ended().1, 6, "{line}");
    }
    world.run(&["show", "a"]).ok();
    assert_eq!(
        world.run(&["vault", "slot", "list", "--json"]).ok().json()["slots"].as_array().unwrap().len(),
        3
    );
}

#[test]
fn enter_where_a_value_is_asked_for_changes_nothing() {
    let world = World::own();
    world.run_with_input(&["add", "h"], "good").ok();
    let terminal = Terminal::shell(&world);
    for line in ["keyvault rotate h", "keyvault add new"] {
        terminal.run(line, "Value of ");
        terminal.press("Enter");
        let (shown, code) = terminal.ended();
        assert!(code == 2 && shown.contains("No value typed"), "{line}: {code} {shown}");
    }
    assert_eq!(world.run(&["show", "h", "--reveal"]).ok().out, "good");
    world.run(&["show", "new"]).fails(3, "");
}

/// A tired user typed the passphrase where the value was asked for.
#[test]
fn add_unlocks_and_checks_the_name_before_it_asks_for_a_value() {
    let world = locked();
    let terminal = Terminal::shell(&world);
    terminal.run("keyvault add new", "Passphrase for ");
    assert!(!terminal.screen().contains("Value of"), "{}", terminal.screen());
    terminal.type_line(PASSPHRASE);
    terminal.wait_for("Value of new:");
    terminal.type_line("value");
    assert_eq!(terminal.ended().1, 0);
    assert_eq!(world.run(&["show", "new", "--reveal"]).ok().out, "value");
    terminal.run("keyvault add a", "");
    let (shown, code) = terminal.ended();
    assert!(code == 6 && shown.contains("Key `a` already exists.") && !shown.contains("Value of"), "{shown}");
}
