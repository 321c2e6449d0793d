//! Keys in other files: env-files, files that are filled, and the variables of a GitHub job's later steps.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use pretty_assertions::assert_eq;

use crate::harness::{KEYVAULT, Ran, World, finish};
use crate::terminal::Terminal;

/// Keys `a` at version 2, whose version 1 is in its grace, `b`, and `cert` of two lines.
fn filled() -> World {
    let world = World::new();
    world.run_with_input(&["add", "a"], "first").ok();
    world.run_with_input(&["rotate", "a", "--grace", "1h", "--stdin"], "second").ok();
    world.run_with_input(&["add", "b/c"], "b@/%").ok();
    world.run_with_input(&["add", "cert", "--exact"], "line one\n  line two\n}\n").ok();
    world
}

fn last_event(world: &World) -> serde_json::Value {
    let log = world.run(&["audit", "log", "--json"]).ok().out;
    serde_json::from_str(log.lines().last().unwrap()).unwrap()
}

// ── Env-files ────────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn an_env_file_brings_references_and_values_of_its_own() {
    let world = filled();
    world.file("x.env", "# words\nA=kv://a\nOLD=\"kv://a?version=1\"\nexport PORT='30 00'\nEMPTY=\nB=${A}\n");
    let show = ["--", "sh", "-c", "echo \"$A|$OLD|$PORT|${EMPTY-unset}|$B\""];
    let with = |choice: &[&str]| world.run(&[&["exec"], choice, &show].concat());
    assert_eq!(with(&["--env-file", "x.env"]).ok().out, "second|first|30 00||${A}\n");
    let event = last_event(&world);
    assert_eq!(event["action"], "exec");
    assert_eq!(event["keys"].as_array().unwrap().len(), 2, "{event}");
    // The ways add up; a later file's variable takes the place of an earlier one's.
    world.file("y.env", "PORT=kv://b/c\nA=plain\n");
    assert_eq!(with(&["--env-file", "x.env", "--env-file", "y.env"]).ok().out, "plain|first|b@/%||${A}\n");
    assert_eq!(with(&["--env-file", "y.env", "--as", "a=OLD"]).ok().out, "plain|second|b@/%|unset|\n");
    with(&["--env-file", "y.env", "--only", "a"]).fails(125, "A: given by the env-file, and wanted by a");
    with(&["--env-file", "y.env", "--as", "a=PORT"]).fails(125, "PORT: wanted by a, b/c");
    let shown = world.run(&["exec", "--dry-run", "--env-file", "y.env", "--", "true"]).ok().out;
    assert_eq!(shown, "PORT <- b/c\nA <- the env-file\n");
    // Its values stand in the place of the caller's.
    let mut command = world.command(KEYVAULT);
    command.env("A", "inherited").args(["exec", "--env-file", "y.env"]).args(show);
    assert!(finish(&mut command, b"").ok().out.starts_with("plain|"));
}

#[test]
fn an_env_file_without_references_needs_no_vault() {
    let mut world = World::empty();
    world.set("KEYVAULT_TOKEN", "x");
    world.file("x.env", "A=1\n");
    let ran = world.run(&[
        "exec",
        "--env-file",
        "x.env",
        "--",
        "sh",
        "-c",
        "echo $A ${KEYVAULT_TOKEN-none} $KEYVAULT_EXEC",
    ]);
    assert_eq!(ran.ok().out, "1 none 1\n");
}

#[test]
fn what_is_wrong_in_an_env_file_refuses_it_and_repeats_no_value() {
    let world = filled();
    let run = |content: &str| {
        world.file("x.env", content);
        world.run(&["exec", "--env-file", "x.env", "--", "touch", "ran"])
    };
    for (content, word) in [
        ("LD_PRELOAD=secret77", "LD_PRELOAD is a variable that makes programs run"),
        ("KEYVAULT_PASSPHRASE=secret77", "KEYVAULT_PASSPHRASE is a variable of keyvault"),
        (
            "A=http://secret77:kv://a@host",
            "A holds no reference to a key: a kv:// reference must be the whole value",
        ),
        ("A=kv://secret77 x", "the name behind kv:// is not letters"),
        ("A=kv://a?version=secret77", "?version= and a number"),
        ("A=kv://nothing", "A <- nothing: there is no such key (keyvault add nothing)"),
        ("A=kv://a?version=7", "A <- a: it has no version 7 (keyvault history a)"),
        ("A=secret77\0", "holds a NUL byte"),
    ] {
        let ran = run(content).fails(125, word);
        assert!(!ran.err.contains("secret77"), "{}", ran.err);
    }
    world.run(&["revoke", "a", "--version", "1"]).ok();
    run("A=kv://a?version=1").fails(125, "A <- a: version 1 is revoked");
    world.run(&["edit", "a", "--tag", "project=never"]).ok();
    run("A=kv://a").fails(125, "marked as never for project files");
    world.run(&["project", "add", "a"]).fails(6, "a is marked as never for project files (project=never).");
    assert!(!world.home().join(".keyvault.toml").exists());
    world.run(&["exec", "--env-file", "nowhere.env", "--", "true"]).fails(125, "There is no nowhere.env");
    assert!(!world.home().join("ran").exists());
}

// ── Files that are filled ────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn render_fills_a_file_byte_for_byte_and_nobody_else_reads_it() {
    let world = filled();
    world.file("in", "user: kv://b/c.\npem: |\nkv://cert\nold={{kv://a?version=1}}x kv://a\n");
    let whole = "user: b@/%.\npem: |\nline one\n  line two\n}\n\nold=firstx second\n";
    assert_eq!(world.run(&["project", "render", "in"]).ok().out, whole);
    assert_eq!(world.run_with_input(&["project", "render", "-"], "kv://a").ok().out, "second");
    let ran = world.sh("umask 000; keyvault project render in -o out").ok();
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", "Wrote out with 3 keys.\n"));
    let out = world.home().join("out");
    assert_eq!(std::fs::read_to_string(&out).unwrap(), whole);
    assert_eq!(std::fs::metadata(&out).unwrap().mode() & 0o7777, 0o600);
    let event = last_event(&world);
    assert_eq!((event["action"].as_str(), event["detail"].as_str()), (Some("export"), Some("render")));
    assert_eq!(event["keys"].as_array().unwrap().len(), 4, "{event}");
    world.run(&["project", "render", "in", "-o", "out"]).fails(6, "there already");
    assert_eq!(last_event(&world), event, "refused before anything was released");
    // Replaced, and not written through a link.
    world.file("target", "kept");
    std::fs::remove_file(&out).unwrap();
    symlink(world.home().join("target"), &out).unwrap();
    world.run(&["project", "render", "in", "-o", "out", "--force"]).ok();
    assert_eq!(std::fs::read_to_string(world.home().join("target")).unwrap(), "kept");
    assert_eq!(std::fs::symlink_metadata(&out).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn render_refuses_before_it_releases_and_leaves_nothing() {
    let world = filled();
    let log = world.run(&["audit", "log", "--json"]).ok().out;
    for (content, code, word) in [
        ("one\nkv://a?version=x", 2, "line 2, holds no reference"),
        ("kv://nothing", 3, "nothing: there is no such key"),
        ("{{kv://a", 2, "is not closed"),
    ] {
        world.file("in", content);
        world.run(&["project", "render", "in", "-o", "out"]).fails(code, word);
    }
    world.file("in", b"\xFF");
    world.run(&["project", "render", "in", "-o", "out"]).fails(2, "not UTF-8");
    world.file("in", "kv://a");
    world.run(&["project", "render", "in", "-o", "no/out"]).fails(1, "no folder");
    world.run(&["project", "render", "in", "-o", ".."]).fails(2, "not the name of a file");
    assert!(!world.home().join("out").exists());
    assert_eq!(world.run(&["audit", "log", "--json"]).ok().out, log);
    world.file("in", "plain");
    let ran = world.run(&["project", "render", "in"]).ok();
    assert!(ran.out == "plain" && ran.err.contains("names no key"), "{}", ran.err);
}

/// A repository in HOME/repo with `kept` and `dir/kept` committed.
fn repository(world: &World, options: &[&str]) {
    let script =
        "set -e; mkdir repo; cd repo; git init -q \"$@\"; git config user.name x; git config user.email x@x
        mkdir dir; echo 1 >kept; echo 1 >dir/kept; echo 'kv://a' >in; git add kept dir; git commit -qm x";
    let mut command = world.command("sh");
    let ran = finish(command.args(["-c", script, "sh"]).args(options), b"");
    assert_eq!(ran.code, 0, "git is needed for this test: {}", ran.err);
}

fn render_in(world: &World, folder: &str, output: &str) -> Ran {
    let template = world.home().join("repo/in");
    let mut command = world.command(KEYVAULT);
    command.current_dir(world.home().join(folder));
    finish(command.args(["project", "render", template.to_str().unwrap(), "--force", "-o", output]), b"")
}

#[test]
fn render_refuses_what_git_keeps_whatever_the_index_looks_like() {
    let setups: [(&[&str], &str); 7] = [
        (&[], "true"),
        (&[], "git update-index --index-version 4"),
        (&[], "git add -N in; git update-index --index-version 3; git update-index --skip-worktree kept"),
        (&["--object-format=sha256"], "true"),
        (&[], "git update-index --split-index; echo 2 >>kept; git add kept; echo 1 >new; git add new"),
        (&[], "rm kept dir/kept"),
        (&[], "git config core.fsmonitor 'touch hacked'; git config core.hooksPath hooks"),
    ];
    for (options, setup) in setups {
        let world = filled();
        repository(&world, options);
        assert_eq!(world.sh(&format!("cd repo; {setup}")).code, 0, "{setup}");
        for (folder, output) in
            [("repo", "kept"), ("repo", "dir/kept"), ("repo/dir", "kept"), ("repo/dir", "../kept")]
        {
            let ran = render_in(&world, folder, output).fails(6, "is kept by git");
            assert!(!ran.err.contains("second"), "{setup}");
        }
        render_in(&world, "repo", "free").ok();
        render_in(&world, "repo/dir", "kept2").ok();
        assert!(!world.home().join("repo/hacked").exists(), "git's configuration ran something");
    }
}

#[test]
fn render_knows_worktrees_and_sparse_indexes_and_refuses_what_it_cannot_read() {
    let world = filled();
    repository(&world, &[]);
    assert_eq!(world.sh("cd repo; git worktree add -q ../tree").code, 0);
    render_in(&world, "tree", "kept").fails(6, "is kept by git");
    render_in(&world, "tree", "free").ok();
    let sparse = "cd repo; git sparse-checkout init --cone --sparse-index; git sparse-checkout set";
    assert_eq!(world.sh(sparse).code, 0);
    std::fs::create_dir_all(world.home().join("repo/dir")).unwrap();
    render_in(&world, "repo/dir", "anything").fails(6, "is kept by git");
    render_in(&world, "repo", "free").ok();
    let index = world.home().join("repo/.git/index");
    let good = std::fs::read(&index).unwrap();
    // However little is left of it, what it kept stays refused.
    for len in (0..good.len()).step_by(11) {
        std::fs::write(&index, &good[..len]).unwrap();
        let ran = render_in(&world, "repo", "kept");
        assert!(ran.code == 6 && !ran.err.contains("there already"), "{len}: {}", ran.err);
    }
    std::fs::write(&index, &good[..good.len() / 2]).unwrap();
    render_in(&world, "repo", "free").fails(6, "cannot be read");
    std::fs::remove_file(&index).unwrap();
    assert_eq!(world.sh(&format!("mkfifo '{}'", index.display())).code, 0);
    // A pipe in its place neither blocks nor counts.
    render_in(&world, "repo", "free").fails(6, "cannot be read");
    std::fs::remove_file(&index).unwrap();
    render_in(&world, "repo", "kept").ok();
}

// ── GitHub ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/// A step of a GitHub job whose file of variables is HOME/github.
fn step(world: &mut World) {
    world.file("github", "BEFORE=1");
    world.set("GITHUB_ACTIONS", "true");
    world.set("GITHUB_ENV", world.home().join("github").to_str().unwrap().to_owned().as_str());
}

/// The file as GitHub's runner reads it (src/Runner.Worker/FileCommandManager.cs): lines `NAME=value`, or
/// `NAME<<delimiter` and everything up to a line that is the delimiter.
fn read_as_runner(text: &str) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    let mut lines = text.split('\n');
    while let Some(line) = lines.next() {
        match (line.find('='), line.find("<<")) {
            _ if line.is_empty() => {}
            (equals, Some(at)) if equals.is_none_or(|equals| at < equals) => {
                let (name, delimiter) = (&line[..at], &line[at + 2..]);
                let value: Vec<_> = lines.by_ref().take_while(|line| *line != delimiter).collect();
                variables.push((name.to_owned(), value.join("\n")));
            }
            (Some(at), _) => variables.push((line[..at].to_owned(), line[at + 1..].to_owned())),
            _ => panic!("the runner refuses {line:?}"),
        }
    }
    variables
}

#[test]
fn case_47_github_env_carries_every_value_and_masks_each_line_first() {
    let mut world = filled();
    world.run_with_input(&["add", "evil", "--exact"], "x\nEOF\nPATH=/evil\nA<<b\n%0A%").ok();
    step(&mut world);
    let export = ["export", "--all", "--format", "github-env"];
    let ran = world.run(&export).ok();
    let mut masks: Vec<_> = ran.out.lines().collect();
    masks.sort_unstable();
    let expected = ["%250A%25", "A<<b", "PATH=/evil", "b@/%25", "line one", "line two", "second"]
        .map(|mask| format!("::add-mask::{mask}"));
    assert_eq!(masks, expected);
    assert_eq!(ran.err, "4 variables for the steps that follow.\n");
    let text = std::fs::read_to_string(world.home().join("github")).unwrap();
    let read = |text: &str| {
        read_as_runner(text).into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
    };
    let expected = [
        "BEFORE=1",
        "A=second",
        "B_C=b@/%",
        "CERT=line one\n  line two\n}\n",
        "EVIL=x\nEOF\nPATH=/evil\nA<<b\n%0A%",
    ];
    assert_eq!(read(&text), expected);
    let delimiters = |text: &str| {
        text.lines()
            .filter_map(|line| line.split_once("<<keyvault_"))
            .map(|(_, it)| it.to_owned())
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(delimiters(&text).len(), 4);
    // Appended, with new delimiters.
    world.run(&export).ok();
    let again = std::fs::read_to_string(world.home().join("github")).unwrap();
    assert!(again.starts_with(&text) && delimiters(&again).len() == 8);
    assert_eq!(last_event(&world)["detail"], "github-env");
}

#[test]
fn github_env_shows_nothing_where_no_runner_reads_and_writes_no_half_values() {
    let mut world = filled();
    let export = ["export", "--all", "--format", "github-env"];
    let log = world.run(&["audit", "log", "--json"]).ok().out;
    assert_eq!(world.run(&export).fails(2, "a step of GitHub Actions only").out, "");
    world.set("GITHUB_ENV", "/dev/null");
    assert_eq!(world.run(&export).fails(2, "a step of GitHub Actions only").out, "");
    assert_eq!(world.run(&["audit", "log", "--json"]).ok().out, log);
    step(&mut world);
    let terminal = Terminal::shell(&world);
    terminal.run("keyvault export --all --format github-env", "");
    let (shown, code) = terminal.ended();
    assert!(code == 2 && !shown.contains("second"), "{shown}");
    world.run_with_input(&["add", "binary", "--exact"], b"\xFFx").ok();
    assert_eq!(world.run(&export).fails(6, "BINARY cannot be written").out, "");
    world.run(&["remove", "binary", "--yes"]).ok();
    world.run_with_input(&["add", "tiny"], "abc").ok();
    world.run(&export).ok();
    let ran = world.run(&["export", "--only", "tiny", "--format", "github-env"]).ok();
    assert!(
        ran.out.is_empty() && ran.err.contains("Too short to be masked in the log: TINY."),
        "{}",
        ran.err
    );
    // A limit in the middle of a value: nothing of it stays.
    let file = world.home().join("github");
    let before = std::fs::read(&file).unwrap();
    let limit = before.len() + 20;
    let ran = world.sh(&format!(
        "trap '' XFSZ; prlimit --fsize={limit} '{KEYVAULT}' --vault '{}' export --only a --format github-env",
        world.vault().display()
    ));
    assert!(ran.code != 0, "{ran:?}");
    assert!(std::fs::read(&file).unwrap() == before, "{ran:?}");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::remove_file(&file).unwrap();
    world.run(&export).fails(3, "There is no");
}
