//! Cases 60 and 61 of the fault catalog: a project file does nothing before it was approved, and then not everything.

use std::os::unix::fs::symlink;
use std::path::Path;

use pretty_assertions::assert_eq;

use crate::harness::project_file::{FILE, approved, filled, project, run_in, write};
use crate::harness::{PASSPHRASE, World};

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
    let said = r#"
        error: ~/shop/.keyvault.toml asks for keys that are not approved:
          A <- a
          URL <- "http://evil/{b}", or "\u{202e}" if it is missing
               Nothing was released. Review and approve it: keyvault project approve
    "#;
    for arguments in [&["exec"] as &[&str], &["exec", "--dry-run"], &["exec", "--only", "a", "--only", "URL"]]
    {
        run_in(&world, &folder, &[arguments, &["--", "touch", "ran"]].concat()).fails_with(125, said);
    }
    run_in(&world, &folder, &["exec", "--json", "--", "touch", "ran"]).fails_with(125, r#"
            {"error":{"kind":"not_approved","message":"~/shop/.keyvault.toml asks for keys that are not approved:\n  A <- a\n  URL <- \"http://evil/{b}\", or \"\\u{202e}\" if it is missing","hint":"Nothing was released. Review and approve it: keyvault project approve"}}
        "#);
    // Nor does check look up what was not approved: a reader of its output in CI would learn which keys there are.
    run_in(&world, &folder, &["project", "check"]).is(6, "
            VARIABLE  KEYS  STATUS        ABOUT
            A         a     NOT APPROVED
            URL       b     NOT APPROVED
        ", r#"
            error: The project cannot run with this vault:
              A <- a: not approved (keyvault project approve)
              URL <- "http://evil/{b}", or "\u{202e}" if it is missing: not approved (keyvault project approve)
        "#);
    assert!(!folder.join("ran").exists() && !world.home().join(".local/state/keyvault/projects").exists());
    assert!(std::fs::read(world.vault()).unwrap() == vault);
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    assert_eq!(log(&world), before);
    run_in(&world, &folder, &["project", "approve"]).fails_with(
        2,
        "
            error: A person has to approve a project file, and there is no terminal to prompt on.
                   Use `--yes` if someone has reviewed the file.
        ",
    );
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
    run_in(&world, &folder, &["exec", "--profile", "q", "--", "true"]).fails_with(
        125,
        "
            error: ~/shop/.keyvault.toml asks for keys that are not approved:
              [q] A <- b
                   Nothing was released. Review and approve it: keyvault project approve
        ",
    );
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
fn what_add_approves_is_its_own_entry_and_nothing_else_in_the_file() {
    let world = filled();
    let folder = project(&world, "[keys]\nEVIL = \"a\"\nTOO = { template = \"{a}\" }\n");
    run_in(&world, &folder, &["project", "add", "a"]).ok();
    let ran = run_in(&world, &folder, &["exec", "--", "true"]).fails_with(
        125,
        r#"
            error: ~/shop/.keyvault.toml asks for keys that are not approved:
              EVIL <- a
              TOO <- "{a}"
                   Nothing was released. Review and approve it: keyvault project approve
        "#,
    );
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
    run_in(&world, &folder, &["exec", "--", "true"]).fails_with(
        125,
        "
            error: ~/stripe/.keyvault.toml asks for keys that are not approved:
              live <- stripe/live
                   Nothing was released. Review and approve it: keyvault project approve
        ",
    );
}

// ── A hostile repository ─────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn case_60_variables_that_run_code_name_hosts_or_move_files_are_refused_even_if_approved_once() {
    let world = filled();
    let anyway = "To set it anyway, use the shell or `--as VAR=NAME`.";
    let other = "Choose another variable.";
    for (what, remedy, variables) in [
        (
            "makes programs run or load code",
            other,
            &["LD_PRELOAD", "PATH", "BASH_ENV", "NODE_OPTIONS", "GIT_SSH_COMMAND"] as &[&str],
        ),
        (
            "sets hosts, proxies or trust, and holds no key",
            anyway,
            &[
                "HTTPS_PROXY",
                "http_proxy",
                "All_Proxy",
                "NO_PROXY",
                "SSL_CERT_FILE",
                "PIP_INDEX_URL",
                "DOCKER_HOST",
                "AWS_ENDPOINT_URL_S3",
                "GIT_SSL_NO_VERIFY",
                "PGHOST",
            ] as &[&str],
        ),
        ("makes programs run or load code", anyway, &["npm_config_registry", "KUBECONFIG"] as &[&str]),
        ("sets where programs find their files, and holds no key", anyway, &["HOME"] as &[&str]),
        ("keyvault itself uses", other, &["KEYVAULT_PASSPHRASE", "KEYVAULT_VAULT"] as &[&str]),
    ] {
        for variable in variables {
            let folder = project(&world, &format!("\n[keys]\n{variable} = \"a\"\n"));
            let refused = |line: u32| {
                format!(
                    "error: ~/shop/.keyvault.toml, line {line}: {variable} is a variable that {what}.\n       {remedy}\n"
                )
            };
            run_in(&world, &folder, &["exec", "--", "true"]).fails_with(125, &refused(3));
            run_in(&world, &folder, &["project", "approve", "--yes"]).fails_with(2, &refused(3));
            run_in(&world, &folder, &["project", "check"]).fails_with(2, &refused(3));
            let folder = project(
                &world,
                &format!("[profiles.p.keys]\n{variable} = {{ key = \"a\", optional = true }}\n"),
            );
            run_in(&world, &folder, &["exec", "--", "true"]).fails_with(125, &refused(2));
        }
    }
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
        begun.is(
            0,
            &format!(
                "AWS_SECRET_ACCESS_KEY <- AWS_SECRET_ACCESS_KEY\nWrote ~/{folder}/.keyvault.toml.\n"
            ),
            "
                Import the values with `keyvault import .env`; `keyvault project check` shows what is missing. Write a value that is not secret as { value = '3000' }.
                Without a prefix, nothing is approved yet. Review and approve it: keyvault project approve
            ",
        );
        world.sh(&format!("cd {folder}; keyvault exec -- true")).fails_with(
            125,
            &format!(
                "
                error: ~/{folder}/.keyvault.toml asks for keys that are not approved:
                  AWS_SECRET_ACCESS_KEY <- AWS_SECRET_ACCESS_KEY
                       Nothing was released. Review and approve it: keyvault project approve
                "
            ),
        );
    }
}
