//! Cases 60 and 61 of the fault catalogue: a project file does nothing before it was approved, and then not everything.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use pretty_assertions::assert_eq;

use crate::harness::terminal::Terminal;
use crate::harness::{KEYVAULT, PASSPHRASE, Ran, World, finish};

const FILE: &str = ".keyvault.toml";

/// A world with keys `a`, `b`, `db/password`, `old` (expired) and `gone` (revoked); each one's value is its name.
fn filled() -> World {
    let world = World::new();
    for name in ["a", "b", "db/password", "old", "gone"] {
        world.run_with_input(&["add", name], format!("<{name}>")).ok();
    }
    world.run(&["edit", "old", "--expires", "2020-01-01"]).ok();
    world.run(&["revoke", "gone"]).ok();
    world
}

/// A folder of a project with this file in it, below HOME.
fn project(world: &World, text: &str) -> PathBuf {
    let folder = world.home().join("shop");
    std::fs::create_dir_all(&folder).unwrap();
    write(&folder, text);
    folder
}

fn write(folder: &Path, text: &str) {
    std::fs::write(folder.join(FILE), text).unwrap();
    mode(&folder.join(FILE), 0o644);
    mode(folder, 0o755);
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn run_in(world: &World, folder: &Path, arguments: &[&str]) -> Ran {
    finish(world.command(KEYVAULT).current_dir(folder).args(arguments), b"")
}

fn approved(world: &World, text: &str) -> PathBuf {
    let folder = project(world, text);
    run_in(world, &folder, &["project", "approve", "--yes"]).ok();
    folder
}

fn log(world: &World) -> String {
    world.run(&["audit", "log", "--json"]).ok().out
}

// ── Approval ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/// A world in which keyvault says on stderr whatever it opens, because it cannot: nothing unlocks the vault.
fn locked(world: &mut World) {
    world.unset("KEYVAULT_PASSPHRASE");
}

#[test]
fn case_61_nothing_is_unlocked_recorded_or_run_before_it_was_approved() {
    let mut world = filled();
    let folder = project(
        &world,
        "[keys]\nA = \"a\"\nURL = { template = \"http://evil/{b}\", default = \"\\u202e\" }\n",
    );
    let before = log(&world);
    let vault = std::fs::read(world.vault()).unwrap();
    locked(&mut world);
    let said = format!(
        "error: {}/{FILE} asks for keys that are not approved:\n  A <- a\n  \
         URL <- \"http://evil/{{b}}\", or \"\\u{{202e}}\" if it is missing\n       Nothing was released. \
         Review and approve it: keyvault project approve\n",
        folder.display()
    );
    for arguments in [
        &["exec"] as &[&str],
        &["exec", "--dry-run"],
        &["exec", "--json"],
        &["exec", "--only", "a", "--only", "URL"],
    ] {
        let ran = run_in(&world, &folder, &[arguments, &["--", "touch", "ran"]].concat());
        assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{arguments:?}");
        assert!(ran.err == said || arguments.contains(&"--json"), "{}", ran.err);
        assert!(!ran.err.contains("locked"), "{}", ran.err);
    }
    // Nor does check look up what was not approved: who reads its output in CI would learn which keys there are.
    let ran = run_in(&world, &folder, &["project", "check"]);
    assert_eq!(ran.code, 6, "{}", ran.err);
    assert!(ran.out.contains("NOT APPROVED") && !ran.err.contains("locked"), "{}", ran.err);
    assert!(!folder.join("ran").exists() && !world.home().join(".local/state/keyvault/projects").exists());
    assert!(std::fs::read(world.vault()).unwrap() == vault);
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    assert_eq!(log(&world), before);
    run_in(&world, &folder, &["project", "approve"]).fails(2, "--yes");
}

#[test]
fn case_61_what_was_changed_moved_or_copied_is_asked_again_and_what_was_taken_away_is_not() {
    let world = filled();
    let first = "[keys]\nA = \"a\"\nB = \"b\"\n[profiles.p.keys]\nA = \"b\"\n";
    let folder = approved(&world, first);
    let runs = |folder: &Path| match run_in(&world, folder, &["exec", "--", "true"]).code {
        0 => true,
        125 => false,
        other => panic!("{other}"),
    };
    for (text, expected) in [
        (first, true),
        ("# words\n[profiles.p.keys]\nA='b'\n[keys]\nB='b'\n", true),
        ("[keys]\nA = { key = \"a\", optional = true, description = \"?\" }\n", true),
        ("[keys]\nA = \"b\"\n", false),
        ("[keys]\nA = \"a\"\nC = \"a\"\n", false),
        ("[keys]\nA = { template = \"{a}\" }\n", false),
        ("[keys]\nA = { key = \"a\", default = \"\" }\n", false),
        (first, true),
    ] {
        write(&folder, text);
        assert_eq!(runs(&folder), expected, "{text}");
    }
    // Another profile asks for other keys.
    write(&folder, "[keys]\nA = \"a\"\n[profiles.q.keys]\nA = \"b\"\n");
    run_in(&world, &folder, &["exec", "--profile", "q", "--", "true"]).fails(125, "[q] A <- b");
    assert!(runs(&folder));
    let copy = world.home().join("copy");
    std::fs::create_dir(&copy).unwrap();
    write(&copy, "[keys]\nA = \"a\"\n");
    assert!(!runs(&copy));
    // A link to the folder leads to the same file.
    symlink(&folder, world.home().join("link")).unwrap();
    assert!(runs(&world.home().join("link")));
    let moved = world.home().join("moved");
    std::fs::rename(&folder, &moved).unwrap();
    assert!(!runs(&moved));
    std::fs::rename(&moved, &folder).unwrap();
    assert!(runs(&folder));
    run_in(&world, &folder, &["project", "approve", "--withdraw"]).ok();
    assert!(!runs(&folder));
}

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
fn what_add_approves_is_its_own_entry_and_nothing_else_in_the_file() {
    let world = filled();
    let folder = project(&world, "[keys]\nEVIL = \"a\"\nTOO = { template = \"{a}\" }\n");
    run_in(&world, &folder, &["project", "add", "a"]).ok();
    let ran = run_in(&world, &folder, &["exec", "--", "true"]).fails(125, "EVIL <- a");
    assert!(!ran.err.contains(" A <- a"), "{}", ran.err);
    assert_eq!(run_in(&world, &folder, &["exec", "--only", "A", "--", "printenv", "A"]).ok().out, "<a>\n");
}

#[test]
fn init_approves_no_key_that_the_repositorys_example_chose_by_name() {
    let world = filled();
    world.run_with_input(&["add", "stripe/live"], "s").ok();
    // A folder and a variable that together are the name of a key; and a reference as a value.
    let folder = world.home().join("stripe");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join(".env.example"), "live=\nX=kv://stripe/live\n").unwrap();
    run_in(&world, &folder, &["project", "init"]).ok();
    let text = std::fs::read_to_string(folder.join(FILE)).unwrap();
    assert!(text.contains("X = \"stripe/X\"") && !text.contains("kv://"), "{text}");
    run_in(&world, &folder, &["exec", "--", "true"]).fails(125, "not approved:\n  live <- stripe/live\n");
}

// ── A hostile repository ─────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn case_60_variables_that_run_code_name_hosts_or_move_files_are_refused_even_if_approved_once() {
    let world = filled();
    for variable in [
        "LD_PRELOAD",
        "PATH",
        "BASH_ENV",
        "NODE_OPTIONS",
        "GIT_SSH_COMMAND",
        "HTTPS_PROXY",
        "http_proxy",
        "All_Proxy",
        "NO_PROXY",
        "SSL_CERT_FILE",
        "PIP_INDEX_URL",
        "npm_config_registry",
        "DOCKER_HOST",
        "KUBECONFIG",
        "HOME",
        "AWS_ENDPOINT_URL_S3",
        "GIT_SSL_NO_VERIFY",
        "KEYVAULT_PASSPHRASE",
        "KEYVAULT_VAULT",
        "PGHOST",
    ] {
        let folder = project(&world, &format!("\n[keys]\n{variable} = \"a\"\n"));
        let ran = run_in(&world, &folder, &["exec", "--", "true"])
            .fails(125, &format!("line 3: {variable} is a variable"));
        assert!(!ran.err.contains("locked"));
        run_in(&world, &folder, &["project", "approve", "--yes"]).fails(2, variable);
        run_in(&world, &folder, &["project", "check"]).fails(2, variable);
        let folder =
            project(&world, &format!("[profiles.p.keys]\n{variable} = {{ key = \"a\", optional = true }}\n"));
        run_in(&world, &folder, &["exec", "--", "true"]).fails(125, variable);
    }
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

/// Without a prefix the names in the repository's .env.example are those of keys that were imported without one.
#[test]
fn a_project_in_a_folder_without_letters_is_not_approved_anything_at_once() {
    let world = World::own();
    world.run_with_input(&["add", "AWS_SECRET_ACCESS_KEY"], "aws").ok();
    for (folder, arguments) in [("日本", ""), ("plain", "--prefix ''")] {
        let begun = world
            .sh(&format!(
                "mkdir {folder}; cd {folder}; echo AWS_SECRET_ACCESS_KEY= > .env.example; keyvault project init {arguments}"
            ))
            .ok();
        assert!(begun.err.contains("Import the values with `keyvault import .env`"), "{}", begun.err);
        assert!(begun.err.contains("nothing is approved yet"), "{}", begun.err);
        world.sh(&format!("cd {folder}; keyvault exec -- true")).fails(125, "project approve");
    }
}
