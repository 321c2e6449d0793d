//! `project render`: a file is filled byte for byte, and git never keeps it.

use std::os::unix::fs::{MetadataExt, symlink};

use pretty_assertions::assert_eq;

use crate::harness::{KEYVAULT, Ran, World, finish};

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

#[test]
fn render_fills_a_file_byte_for_byte_and_nobody_else_reads_it() {
    let world = filled();
    world.file("in", "user: kv://b/c.\npem: |\nkv://cert\nold={{kv://a?version=1}}x kv://a\n");
    let whole = "user: b@/%.\npem: |\nline one\n  line two\n}\n\nold=firstx second\n";
    assert_eq!(world.run(&["project", "render", "in"]).ok().out, whole);
    assert_eq!(world.run_with_input(&["project", "render", "-"], "kv://a").ok().out, "second");
    world.sh("umask 000; keyvault project render in -o out").prints("Wrote out with 3 keys.\n");
    let out = world.home().join("out");
    assert_eq!(std::fs::read_to_string(&out).unwrap(), whole);
    assert_eq!(std::fs::metadata(&out).unwrap().mode() & 0o7777, 0o600);
    let event = last_event(&world);
    assert_eq!((event["action"].as_str(), event["detail"].as_str()), (Some("export"), Some("render")));
    assert_eq!(event["keys"].as_array().unwrap().len(), 4, "{event}");
    world.run(&["project", "render", "in", "-o", "out"]).fails_with(
        6,
        "
            error: out already exists and was not changed.
                   Nothing was released. `--force` replaces it.
        ",
    );
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
    for (content, code, said) in [
        (
            "one\nkv://a?version=x",
            2,
            "
            error: in, line 2, has an invalid reference: only ?version= and a number, or ?json= and a field, may follow the name.
                   Nothing was released.
            ",
        ),
        (
            "kv://nothing",
            3,
            "
            error: Cannot release the keys:
              nothing: no such key
                   Run `keyvault list` to see all keys with their variables, scopes and status.
            ",
        ),
        (
            "{{kv://a",
            2,
            "
            error: in, line 1, has an invalid reference: a {{kv:// is not closed by }}.
                   Nothing was released.
            ",
        ),
    ] {
        world.file("in", content);
        world.run(&["project", "render", "in", "-o", "out"]).fails_with(code, said);
    }
    world.file("in", b"\xFF");
    world.run(&["project", "render", "in", "-o", "out"]).fails_with(
        2,
        "
            error: in is not UTF-8.
                   Nothing was released.
        ",
    );
    world.file("in", "kv://a");
    world.run(&["project", "render", "in", "-o", "no/out"]).fails_with(
        1,
        "
            error: The folder of no/out does not exist.
                   Create it first.
        ",
    );
    world.run(&["project", "render", "in", "-o", ".."]).fails_with(2, "error: .. is not a file name.\n");
    assert!(!world.home().join("out").exists());
    assert_eq!(world.run(&["audit", "log", "--json"]).ok().out, log);
    world.file("in", "plain");
    world.run(&["project", "render", "in"]).is(
        0,
        "plain",
        "warning: in contains no reference such as kv://NAME.\n",
    );
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
            render_in(&world, folder, output).fails_with(
                6,
                &format!(
                    "
                    error: {output} is tracked by git, so the next commit would include the values.
                           Nothing was released. Choose a name that .gitignore lists, or run `git rm --cached FILE`.
                    "
                ),
            );
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
    render_in(&world, "tree", "kept").fails_with(
        6,
        "
            error: kept is tracked by git, so the next commit would include the values.
                   Nothing was released. Choose a name that .gitignore lists, or run `git rm --cached FILE`.
        ",
    );
    render_in(&world, "tree", "free").ok();
    let sparse = "cd repo; git sparse-checkout init --cone --sparse-index; git sparse-checkout set";
    assert_eq!(world.sh(sparse).code, 0);
    std::fs::create_dir_all(world.home().join("repo/dir")).unwrap();
    render_in(&world, "repo/dir", "anything").fails_with(
        6,
        "
            error: anything is tracked by git, so the next commit would include the values.
                   Nothing was released. Choose a name that .gitignore lists, or run `git rm --cached FILE`.
        ",
    );
    render_in(&world, "repo", "free").ok();
    let index = world.home().join("repo/.git/index");
    let good = std::fs::read(&index).unwrap();
    // However little is left of it, what it kept stays refused.
    for len in (0..good.len()).step_by(11) {
        std::fs::write(&index, &good[..len]).unwrap();
        let ran = render_in(&world, "repo", "kept");
        assert!(ran.code == 6 && !ran.err.contains("already exists"), "{len}: {}", ran.err);
    }
    std::fs::write(&index, &good[..good.len() / 2]).unwrap();
    render_in(&world, "repo", "free").fails_with(
        6,
        "
            error: free is in a repository whose index cannot be read, so git may track it.
                   Nothing was released. Choose a place outside the repository.
        ",
    );
    std::fs::remove_file(&index).unwrap();
    assert_eq!(world.sh(&format!("mkfifo '{}'", index.display())).code, 0);
    // A pipe in its place neither blocks nor counts.
    render_in(&world, "repo", "free").fails_with(
        6,
        "
            error: free is in a repository whose index cannot be read, so git may track it.
                   Nothing was released. Choose a place outside the repository.
        ",
    );
    std::fs::remove_file(&index).unwrap();
    render_in(&world, "repo", "kept").ok();
}
