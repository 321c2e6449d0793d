//! Plain settings in the project file: values that are no secrets, beside the keys.

use pretty_assertions::assert_eq;

use crate::harness::bearer::{token, with_keys};
use crate::harness::project_file::{approved, filled, project, run_in};
use crate::harness::{KEYVAULT, World, finish};

const FILE: &str = "[keys]\nA = \"a\"\nPORT = { value = \"3000\", description = \"of the server\" }\n\
                    [profiles.prod.keys]\nPORT = { value = \"80\" }\n";
const SHOW: [&str; 6] = ["exec", "--", "sh", "-c", "echo \"$A $PORT\"", "sh"];

#[test]
fn a_setting_is_handed_out_like_a_default_and_not_masked() {
    let world = filled();
    let folder = approved(&world, FILE);
    assert_eq!(run_in(&world, &folder, &SHOW).ok().out, "<a> 3000\n");
    let masked = ["exec", "--profile", "prod", "--mask", "--", "sh", "-c", "echo \"$A $PORT\""];
    assert!(run_in(&world, &folder, &masked).ok().out.ends_with(" 80\n"));
    // The caller's own variable is worth more, and a key more than both.
    let mut command = world.command(KEYVAULT);
    let ran = finish(command.current_dir(&folder).env("PORT", "1").args(SHOW), b"");
    assert_eq!(ran.ok().out, "<a> 1\n");
    run_in(&world, &folder, &["exec", "--dry-run", "--", "true"]).prints("A <- a\nPORT = \"3000\"\n");
    let shown = run_in(&world, &folder, &["exec", "--dry-run", "--json", "--", "true"]).ok().json();
    assert_eq!(shown["settings"], serde_json::json!(["PORT"]));
    let docker = ["exec", "--docker-env", "F", "--", "sh", "-c", "cat $F"];
    assert_eq!(run_in(&world, &folder, &docker).ok().out, "A=<a>\nPORT=3000\n");
    run_in(&world, &folder, &["project", "check"]).is(
        0,
        "
            VARIABLE  KEYS  STATUS   ABOUT
            A         a     ready
            PORT            setting  of the server
        ",
        "Profiles: `prod`. Check one with `--profile PROFILE`.\n",
    );
}

#[test]
fn a_setting_is_approved_as_it_is_and_needs_no_vault() {
    let world = World::empty();
    let folder = project(&world, "[keys]\nPORT = { value = \"3000\" }\n");
    let run = ["exec", "--", "sh", "-c", "echo $PORT"];
    run_in(&world, &folder, &run).fails_with(
        125,
        "
            error: ~/shop/.keyvault.toml has settings that are not approved:
              PORT = \"3000\"
                   Nothing was released. Review and approve it: keyvault project approve
        ",
    );
    run_in(&world, &folder, &["project", "approve", "--yes"]).prints("approved: PORT = \"3000\"\n");
    assert_eq!(run_in(&world, &folder, &run).ok().out, "3000\n");
    run_in(&world, &folder, &["project", "check"])
        .prints("VARIABLE  KEYS  STATUS   ABOUT\nPORT            setting\n");
    project(&world, "[keys]\nPORT = { value = \"3001\" }\n");
    run_in(&world, &folder, &run).fails(125, "PORT = \"3001\"");
}

#[test]
fn with_a_token_a_setting_takes_an_approval() {
    let world = with_keys();
    let bearer = token(&world, &["ci", "--scope", "deploy"]);
    let folder = project(&world, "[keys]\nA = \"a\"\nPORT = { value = \"3000\" }\n");
    let run = |arguments: &[&str]| {
        let mut command = world.command(KEYVAULT);
        command.current_dir(&folder).env("KEYVAULT_TOKEN", &bearer).args(arguments);
        finish(&mut command, b"")
    };
    let refused = "
        error: The project file's own values are not approved: PORT.
               Nothing was released. Approve them with `keyvault project approve`, or use them as they are with `--unapproved-defaults`.
    ";
    run(&["exec", "--", "sh", "-c", "echo $PORT"]).fails_with(125, refused);
    run(&["project", "check"]).fails_with(6, refused);
    assert_eq!(run(&["exec", "--unapproved-defaults", "--", "sh", "-c", "echo $PORT"]).ok().out, "3000\n");
    run_in(&world, &folder, &["project", "approve", "--yes"]).ok();
    assert_eq!(run(&["exec", "--", "sh", "-c", "echo $PORT"]).ok().out, "3000\n");
}

#[test]
fn a_setting_that_is_not_one_is_refused() {
    let world = World::new();
    for (entry, message) in [
        (
            "PORT = { value = 3000 }",
            "value is not a text.\n       Put quotes around it, as in: PORT = { value = \"3000\" }",
        ),
        (
            "PORT = { value = \"3000\", optional = true }",
            "PORT has a value of its own, so it takes no required, optional, or default.\n       \
             Leave them out, or use a key with a default.",
        ),
        (
            "PORT = { value = \"3000\", key = \"port\" }",
            "PORT needs one of key, template, and value.\n       Give it exactly one of them.",
        ),
        (
            "NODE_OPTIONS = { value = \"x\" }",
            "NODE_OPTIONS is a variable that makes programs run or load code.\n       Choose another variable.",
        ),
    ] {
        let folder = project(&world, &format!("[keys]\n{entry}\n"));
        let ran = run_in(&world, &folder, &["project", "check"]);
        let expected = format!("error: ~/shop/.keyvault.toml, line 2: {message}\n");
        ran.fails_with(2, &expected);
    }
}
