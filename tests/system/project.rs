//! The project file: what it brings to `exec`, and the commands that write and check it.

use std::path::PathBuf;

use pretty_assertions::assert_eq;

use crate::harness::project_file::{FILE, approved, filled, log, project};
use crate::harness::terminal::Terminal;
use crate::harness::{KEYVAULT, World, finish};

#[test]
fn what_is_left_out_is_named_where_somebody_looks() {
    let world = filled();
    let folder = approved(&world, "[keys]\nA = \"a\"\nB = { key = \"nothing\", optional = true }\n");
    let terminal = Terminal::shell(&world);
    terminal.run(&format!("cd '{}'; keyvault exec -- printenv A", folder.display()), "");
    let (shown, code) = terminal.ended();
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("Left out, because it is optional: B (nothing: no such key)."), "{shown}");
}

#[test]
fn case_62_completion_listing_and_status_read_ask_and_run_nothing() {
    let world = World::own();
    world.run(&["generate", "stripe/live"]).ok();
    world.run(&["unlock"]).ok();
    let folder = project(&world, "[keys]\nA = \"stripe/live\"\n[profiles.prod.keys]\nA = \"stripe/live\"\n");
    let before = log(&world);
    let files = || -> Vec<PathBuf> { world.every_file().into_iter().map(|(path, _)| path).collect() };
    let known = files();
    let trace = world.path().join("trace");
    let traced = |arguments: &[&str], shell: Option<&str>| {
        let mut command = world.command("strace");
        command.args(["-f", "-qq", "-e", "trace=execve,clone,clone3,vfork,fork", "-o"]).arg(&trace);
        command.arg(KEYVAULT).args(arguments).current_dir(&folder);
        if let Some(shell) = shell {
            command.env("KEYVAULT_COMPLETE", shell);
        }
        let ran = finish(&mut command, b"");
        let calls = std::fs::read_to_string(&trace).unwrap();
        std::fs::remove_file(&trace).unwrap();
        assert_eq!(calls.matches("execve(").count(), 1, "{arguments:?}: {calls}");
        ran
    };
    for words in [
        &["exec", "--profile", ""] as &[&str],
        &["exec", "--only", ""],
        &["project", "add", ""],
        &["project", "check", "--profile", "p"],
        &["show", ""],
        &["exec", "--", ""],
    ] {
        let ran = traced(&[&["--", "keyvault"], words].concat(), Some("fish")).ok();
        assert_eq!(ran.err, "", "{words:?}");
    }
    assert_eq!(traced(&["--", "keyvault", "exec", "--profile", ""], Some("fish")).ok().out, "prod\n");
    for arguments in [
        &["list"] as &[&str],
        &["status"],
        &["show", "stripe/live"],
        &["project", "check"],
        &["--help"],
        &["completions", "bash"],
    ] {
        let ran = traced(arguments, None);
        assert!(!ran.err.contains("Approve it"), "{}", ran.err);
    }
    assert_eq!(files(), known, "nothing was written, and nothing allowed");
    assert_eq!(log(&world), before);
    // A file that is broken or blocks costs no completion.
    std::fs::remove_file(folder.join(FILE)).unwrap();
    assert_eq!(world.sh(&format!("mkfifo '{}'", folder.join(FILE).display())).code, 0);
    let ran = traced(&["--", "keyvault", "exec", "--profile", ""], Some("fish"));
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "", ""));
}
