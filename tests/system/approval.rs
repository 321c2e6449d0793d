//! Cases 60 and 61 of the fault catalog: a project file does nothing before it was approved, and then not everything.

use std::os::unix::fs::symlink;

use pretty_assertions::assert_eq;

use crate::harness::World;
use crate::harness::project_file::{FILE, approved, filled, mode, project, run_in, write};
use crate::harness::terminal::Terminal;

#[test]
fn on_a_terminal_it_is_shown_marked_and_asked_once() {
    let world = filled();
    let folder = approved(&world, "[keys]\nZ = \"a\"\n");
    write(&folder, "[keys]\nZ = \"a\"\nB = \"b\"\n");
    let terminal = Terminal::shell(&world);
    let line = format!("cd '{}'; keyvault exec -- printenv B 2>hidden", folder.display());
    terminal.run(&line, "Approve it");
    // Shown where it is asked, even if stderr goes elsewhere.
    assert!(
        terminal.screen().contains("    Z <- a\n  + B <- b\n  (+ marks what is new: 1 of 2)"),
        "{}",
        terminal.screen()
    );
    terminal.type_line("n");
    let (shown, code) = terminal.ended();
    assert_eq!(code, 125, "{shown}");
    terminal.run(&line, "Approve it");
    terminal.press("C-c");
    assert_eq!(terminal.ended().1, 130);
    assert_eq!(run_in(&world, &folder, &["exec", "--", "true"]).code, 125);
    terminal.run(&line, "Approve it");
    terminal.type_line("yes");
    let (shown, code) = terminal.ended();
    assert!(code == 0 && shown.contains("<b>"), "{shown}");
    terminal.run(&line, "");
    let (shown, code) = terminal.ended();
    assert!(code == 0 && !shown.contains("Approve it"), "{shown}");
    terminal.run("keyvault exec --non-interactive -- printenv B", "");
    assert_eq!(terminal.ended().1, 0);
}

#[test]
fn several_commands_at_once_ask_once() {
    let world = filled();
    let folder = project(&world, "[keys]\nA = \"a\"\n");
    let terminal = Terminal::shell(&world);
    let one = "keyvault exec -- printenv A";
    terminal.run(&format!("cd '{}'; sh -c '{one} & {one} & {one} & wait'", folder.display()), "Approve it");
    // The shell's prompt is not there while it waits, so the answer reaches the one that asks.
    terminal.type_line("y");
    let (shown, _) = terminal.ended();
    assert_eq!(shown.matches("<a>").count(), 3, "{shown}");
    assert_eq!(shown.matches("Approve it").count(), 1, "{shown}");
}

#[test]
fn a_file_that_somebody_else_could_have_written_is_not_read() {
    let world = filled();
    let text = "[keys]\nA = \"a\"\n";
    let folder = approved(&world, text);
    let file = folder.join(FILE);
    let refused = |word: &str| {
        run_in(&world, &folder, &["exec", "--", "true"]).fails(125, word);
        run_in(&world, &folder, &["project", "approve", "--yes"]).fails(6, word);
    };
    for (path, wrong, right) in
        [(&file, 0o666, 0o644), (&file, 0o646, 0o644), (&folder, 0o777, 0o755), (&folder, 0o1777, 0o755)]
    {
        mode(path, wrong);
        refused("Others can write to");
        mode(path, right);
    }
    for owned in [&file, &folder] {
        std::os::unix::fs::chown(owned, Some(12345), None).expect("giving a file away needs root");
        refused("belongs to another user (12345)");
        std::os::unix::fs::chown(owned, Some(0), None).unwrap();
    }
    run_in(&world, &folder, &["exec", "--", "true"]).ok();
    // Nor a link, a folder, a pipe or a device, and none of them blocks.
    std::fs::rename(&file, folder.join("real")).unwrap();
    let replace = |make: &dyn Fn()| {
        make();
        refused("is not a regular file");
        let _ = std::fs::remove_file(&file).or_else(|_| std::fs::remove_dir(&file));
    };
    replace(&|| symlink(folder.join("real"), &file).unwrap());
    replace(&|| symlink("/dev/zero", &file).unwrap());
    replace(&|| std::fs::create_dir(&file).unwrap());
    replace(&|| assert!(world.sh(&format!("mkfifo '{}'", file.display())).code == 0));
    std::fs::write(&file, format!("# {}\n{text}", "x".repeat(64 << 10))).unwrap();
    refused("longer than 64 KiB");
}

#[test]
fn what_the_file_says_cannot_steer_the_terminal_or_hide_in_the_question() {
    let world = filled();
    let text = "[keys]\nA = { template = \"{a}\\u001b[2J\\u202e\\u0430\\n\\n\\n\", description = \"quite harmless\" }\n";
    let folder = project(&world, text);
    let terminal = Terminal::shell(&world);
    terminal.run(&format!("cd '{}'; keyvault exec -- true", folder.display()), "Approve it");
    let screen = terminal.screen();
    assert!(screen.contains("+ A <- \"{a}\\u{1b}[2J\\u{202e}\\u{430}\\n\\n\\n\""), "{screen}");
    assert!(!screen.contains("quite harmless"), "{screen}");
    terminal.type_line("n");
    terminal.ended();
    // An unknown field, a bad name, a bad text of any kind: made harmless where the error repeats it.
    for text in [
        "\"\\u001b]0;x\\u0007\" = 1",
        "[keys]\n\"A\\u001b[31m\" = 'a'",
        "[keys]\nA = \"\x1b[31m\"",
        "[profiles.\"\\u009b1m\"]",
    ] {
        write(&folder, text);
        let ran = run_in(&world, &folder, &["exec", "--", "true"]).fails(125, "line ");
        assert!(!ran.err.contains(['\x1b', '\u{9b}', '\x07']), "{:?}", ran.err);
    }
}

/// A key that bears the name of its variable, and digits, as an import names it.
#[test]
fn who_approves_a_project_file_sees_which_key_it_would_get() {
    let world = World::own();
    world.run_with_input(&["add", "S3_SECRET_ACCESS_KEY"], "s3").ok();
    world.run_with_input(&["add", "abcdefghij0123456789xyz"], "long").ok();
    world.file(
        ".keyvault.toml",
        "[keys]\nLOG_TOKEN = 'S3_SECRET_ACCESS_KEY'\nOTHER = 'abcdefghij0123456789xyz'\n",
    );
    let refused = world.run(&["exec", "--", "true"]);
    assert!(
        refused.code == 125 && refused.err.contains("LOG_TOKEN <- S3_SECRET_ACCESS_KEY"),
        "{}",
        refused.err
    );
    assert!(refused.err.contains("OTHER <- (a name that looks like a value)"), "{}", refused.err);
    let terminal = Terminal::shell(&world);
    terminal.run("keyvault exec -- true", "Approve it");
    terminal.wait_for("LOG_TOKEN <- S3_SECRET_ACCESS_KEY");
    terminal.wait_for("OTHER <- abcdefghij0123456789xyz");
    terminal.type_line("n");
    assert_eq!(terminal.ended().1, 125);
    let approved = world.run(&["project", "approve", "--yes"]).ok();
    assert!(approved.out.contains("OTHER <- abcdefghij0123456789xyz"), "{}", approved.out);
}

#[test]
fn a_file_of_settings_alone_is_not_said_to_ask_for_keys() {
    let world = World::empty();
    let folder = project(&world, "[keys]\nPORT = { value = \"3000\" }\n");
    let terminal = Terminal::shell(&world);
    let line = format!("cd '{}'; keyvault exec -- sh -c 'echo on $PORT'", folder.display());
    terminal.run(&line, "sets variables for the commands that you run with it:");
    terminal.wait_for("Approve it");
    terminal.type_line("y");
    let (shown, code) = terminal.ended();
    assert!(code == 0 && shown.contains("on 3000") && !shown.contains("from your vault"), "{shown}");
}
