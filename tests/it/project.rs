//! The project file: what it brings to `exec`, and the commands that write and check it.

use std::path::PathBuf;

use pretty_assertions::assert_eq;

use crate::harness::bearer::with_keys;
use crate::harness::project_file::{FILE, approved, filled, log, mode, project, run_in, write};
use crate::harness::{KEYVAULT, World, finish};

/// The values that a child gets, of some variables.
const SHOW: [&str; 6] = ["exec", "--", "sh", "-c", "echo \"${A-none} ${B-none} ${URL-none}\"", "sh"];

#[test]
fn exec_alone_hands_out_what_the_file_asks_for_from_any_folder_below() {
    let world = filled();
    let text = "[keys]\nA = \"a\"\nURL = { template = \"pg://x:{db/password|url}@h/{a}{{}}\" }\n\
                [profiles.prod.keys]\nA = \"b\"\nB = \"b\"\n";
    let folder = approved(&world, text);
    let url = "pg://x:%3Cdb%2Fpassword%3E@h/<a>{}";
    assert_eq!(run_in(&world, &folder, &SHOW).ok().out, format!("<a> none {url}\n"));
    let deep = folder.join("src/deep");
    std::fs::create_dir_all(&deep).unwrap();
    assert_eq!(run_in(&world, &deep, &SHOW).ok().out, format!("<a> none {url}\n"));
    let prod = [&["exec", "--profile", "prod"], &SHOW[1..]].concat();
    assert_eq!(run_in(&world, &folder, &prod).ok().out, format!("<b> <b> {url}\n"));
    run_in(&world, &folder, &["exec", "--profile", "prd", "--", "true"]).fails_with(
        125,
        "
            error: ~/shop/.keyvault.toml has no profile `prd`.
                   Did you mean `prod`? Its profiles: prod.
        ",
    );
}

#[test]
fn only_narrows_the_file_and_scope_and_all_ignore_it() {
    let world = filled();
    world.run(&["edit", "b", "--scope", "s"]).ok();
    let folder = approved(&world, "[keys]\nA = \"b\"\nB = \"old\"\nURL = { template = \"{a}\" }\n");
    let with = |choice: &[&str]| run_in(&world, &folder, &[&["exec"], choice, &SHOW[1..]].concat());
    assert_eq!(with(&["--only", "b"]).ok().out, "<b> none none\n");
    assert_eq!(with(&["--only", "URL"]).ok().out, "none none <a>\n");
    // Keys that the file does not name come from the vault as ever.
    assert_eq!(with(&["--only", "b", "--only", "db/password"]).ok().out, "<b> none none\n");
    assert_eq!(with(&["--scope", "s"]).ok().out, "none <b> none\n");
    assert_eq!(with(&["--all", "--skip-expired"]).ok().out, "<a> <b> none\n");
    assert_eq!(with(&["--as", "B=b"]).ok().out, "none <b> none\n");
    assert_eq!(with(&["--profile", "x", "--all"]).code, 125);
}

#[test]
fn optional_ones_are_left_out_and_defaults_stand_in() {
    let world = filled();
    let folder = approved(
        &world,
        "[keys]\nA = { key = \"nothing\", optional = true }\nB = { key = \"nothing\", default = \"n o\" }\n\
         URL = { template = \"x{old}\", optional = true }\nC = { key = \"gone\", required = false }\n",
    );
    let ran = run_in(&world, &folder, &SHOW).ok();
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("none n o none\n", ""));
    // The caller's own variable is worth more than a default, and less than a key.
    let mut command = world.command(KEYVAULT);
    let ran = finish(command.current_dir(&folder).env("A", "mine").env("B", "mine").args(SHOW), b"");
    assert_eq!(ran.ok().out, "mine mine none\n");
    let shown = run_in(&world, &folder, &["exec", "--dry-run", "--", "true"]).ok().out;
    assert_eq!(shown, "B <- its default\n");
    let shown = run_in(&world, &folder, &["exec", "--dry-run", "--json", "--", "true"]).ok().json();
    assert_eq!(
        shown,
        serde_json::json!({
            "keys": [], "defaults": ["B"], "settings": [], "from_env_file": [], "env_file": null, "left_out": ["A", "C", "URL"], "skipped": [],
        })
    );
    // A key that has expired is not missing: somebody relies on it.
    let folder = approved(&world, "[keys]\nA = { key = \"old\", default = \"x\" }\n");
    run_in(&world, &folder, &SHOW).fails_with(
        125,
        "
            error: Cannot release the keys:
              A <- old: expired on 2020-01-01 00:00 (keyvault edit old --expires 30d)
        ",
    );
}

#[test]
fn everything_that_is_wrong_is_one_report_with_the_command_that_mends_each() {
    let world = filled();
    world.run(&["edit", "b", "--tag", "project=never"]).ok();
    let folder = approved(
        &world,
        "[keys]\nA = \"dp/password\"\nB = { key = \"b\", optional = true }\nC = \"old\"\nD = \"gone\"\n\
         E = { template = \"{a}{nothing/like-it}\" }\n",
    );
    let before = log(&world);
    let lines = [
        "A <- dp/password: no such key (did you mean db/password? If not: keyvault add dp/password)",
        "B <- b: not available to project files, because of its tag project=never (keyvault edit b --untag project)",
        "C <- old: expired on 2020-01-01 00:00 (keyvault edit old --expires 30d)",
        "D <- gone: revoked (keyvault rotate gone)",
        "E <- nothing/like-it: no such key (keyvault add nothing/like-it)",
    ];
    let report = lines.map(|line| format!("\n  {line}")).concat();
    let ran = run_in(&world, &folder, &["exec", "--", "touch", "ran"]);
    assert_eq!((ran.code, ran.err), (125, format!("error: Cannot release the keys:{report}\n")));
    assert!(!folder.join("ran").exists() && log(&world) == before);
    let ran = run_in(&world, &folder, &["project", "check"]);
    let table = "\
VARIABLE  KEYS                STATUS    ABOUT
A         dp/password         MISSING
B         b                   WITHHELD
C         old                 EXPIRED
D         gone                REVOKED
E         a, nothing/like-it  MISSING
";
    assert_eq!(ran.out, table);
    assert_eq!((ran.code, ran.err), (6, format!("error: The project cannot run with this vault:{report}\n")));
    assert_eq!(log(&world), before);
}

#[test]
fn check_says_how_it_stands_and_its_exit_code_tells_what_is_missing_apart() {
    let world = filled();
    let folder = approved(
        &world,
        "[keys]\nA = { key = \"a\", description = \"the first\\u001b[31m\" }\nB = { key = \"x\", default = \"1\" }\n\
         C = { key = \"x\", optional = true }\n[profiles.prod.keys]\nA = \"new\"\n",
    );
    run_in(&world, &folder, &["project", "check"]).is(
        0,
        r#"
            VARIABLE  KEYS  STATUS    ABOUT
            A         a     ready     the first\u{1b}[31m
            B         x     default
            C         x     left out
        "#,
        "Profiles: `prod`. Check one with `--profile PROFILE`.\n",
    );
    let ran = run_in(&world, &folder, &["project", "check", "--profile", "prod", "--json"]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert_eq!(
        ran.json()["variables"][0],
        serde_json::json!({
            "variable": "A", "profile": "prod", "keys": ["new"], "status": "refused", "description": null,
            "why": ["new: no such key"],
        })
    );
    assert_eq!(ran.json()["ok"], false);
    run_in(&world, &world.home(), &["project", "check"]).fails_with(
        3,
        "
            error: No .keyvault.toml here, or in a parent folder up to the repository's root.
                   Create one with `keyvault project init`.
        ",
    );
    let empty = allowed_empty(&world);
    run_in(&world, &empty, &["project", "check"]).fails_with(3, "
            error: ~/empty/.keyvault.toml lists no keys.
                   Add one with `keyvault project add NAME`, or choose keys with `--only`, `--scope` or `--all`.
        ");
    run_in(&world, &empty, &["exec", "--", "true"]).fails_with(125, "
            error: ~/empty/.keyvault.toml lists no keys.
                   Add one with `keyvault project add NAME`, or choose keys with `--only`, `--scope` or `--all`.
        ");
}

fn allowed_empty(world: &World) -> PathBuf {
    let folder = world.home().join("empty");
    std::fs::create_dir(&folder).unwrap();
    write(&folder, "# nothing yet\n");
    folder
}

#[test]
fn init_takes_variables_and_no_values_and_add_adds_to_it() {
    let world = filled();
    let folder = world.home().join("My Shop!");
    std::fs::create_dir(&folder).unwrap();
    let value = "Zq7vXk2Lw9TrNb4H";
    std::fs::write(folder.join(".env"), format!("STRIPE_KEY={value}\nPATH=/x\nlower=1\n")).unwrap();
    std::fs::write(folder.join(".env.example"), "DATABASE_URL=\nSTRIPE_KEY=\n").unwrap();
    run_in(&world, &folder, &["project", "init"]).is(0, "
            DATABASE_URL <- My-Shop/DATABASE_URL
            STRIPE_KEY <- My-Shop/STRIPE_KEY
            lower <- My-Shop/lower
            Wrote ~/My Shop!/.keyvault.toml.
        ", "
        warning: Left out, because a project file may not set it: PATH. Set it in the shell.
        Import the values with `keyvault import .env`; `keyvault project check` shows what is missing. Write a value that is not secret as { value = '3000' }.
        ");

    let text = std::fs::read_to_string(folder.join(FILE)).unwrap();
    assert!(text.starts_with("#:schema ./.keyvault.schema.json\n") && !text.contains(value), "{text}");
    let schema = std::fs::read_to_string(folder.join(".keyvault.schema.json")).unwrap();
    assert_eq!(schema, include_str!("../../docs/keyvault.toml.schema.json"));
    run_in(&world, &folder, &["project", "init"]).fails_with(
        6,
        "
            error: ~/My Shop!/.keyvault.toml already exists and was not changed.
                   Add a key to it with `keyvault project add NAME`.
        ",
    );
    // Its own entries are approved at once; keys that the vault lacks are left to add.
    run_in(&world, &folder, &["project", "check"]).is(
        6,
        "
            VARIABLE      KEYS                  STATUS        ABOUT
            DATABASE_URL  My-Shop/DATABASE_URL  MISSING
            STRIPE_KEY    My-Shop/STRIPE_KEY    MISSING
            lower         My-Shop/lower         NOT APPROVED
        ",
        "
            error: The project cannot run with this vault:
              DATABASE_URL <- My-Shop/DATABASE_URL: no such key (keyvault add My-Shop/DATABASE_URL)
              STRIPE_KEY <- My-Shop/STRIPE_KEY: no such key (keyvault add My-Shop/STRIPE_KEY)
              lower <- My-Shop/lower: not approved (keyvault project approve)
        ",
    );
    run_in(&world, &folder, &["import", ".env", "--on-conflict", "skip"]).ok();
    let shown = run_in(&world, &folder, &["exec", "--only", "STRIPE_KEY", "--", "printenv", "STRIPE_KEY"]);
    assert_eq!(shown.ok().out, format!("{value}\n"));
    run_in(&world, &folder, &["project", "add", "a"]).ok();
    run_in(&world, &folder, &["project", "add", "--as", "A=b", "--profile", "prod", "--optional"]).ok();
    run_in(&world, &folder, &["project", "add", "--as", "A=b"]).fails_with(6, "
            error: ~/My Shop!/.keyvault.toml already has a different entry: A <- a.
                   Nothing was changed. Edit the entry in the file, or choose another variable: keyvault project add --as VAR=NAME
        ");
    run_in(&world, &folder, &["project", "add", "--as", "HTTPS_PROXY=b"]).fails_with(
        2,
        "
            error: The value of `--as` is a variable that sets hosts, proxies or trust, and holds no key.
                   See its usage with `keyvault project add --help`.
        ",
    );
    run_in(&world, &folder, &["project", "add", "not/there", "--yes"]).is(
        0,
        "~/My Shop!/.keyvault.toml: NOT_THERE <- not/there\n",
        "warning: No key `not/there` yet. Add it: keyvault add not/there\n",
    );
    let with = |arguments: &[&str]| {
        run_in(&world, &folder, &[&["exec"], arguments, &["--", "printenv", "A"]].concat())
    };
    assert_eq!(with(&["--only", "A"]).ok().out, "<a>\n");
    assert_eq!(with(&["--only", "A", "--profile", "prod"]).ok().out, "<b>\n");
}

#[test]
fn add_makes_a_file_where_there_is_none_and_takes_the_keys_own_variable() {
    let world = filled();
    world.run(&["edit", "a", "--env", "OWN_NAME"]).ok();
    let folder = world.home().join("new");
    std::fs::create_dir(&folder).unwrap();
    run_in(&world, &folder, &["project", "add", "a", "--json"]).ok();
    assert_eq!(run_in(&world, &folder, &["exec", "--", "printenv", "OWN_NAME"]).ok().out, "<a>\n");
    let ran = run_in(&world, &folder, &["project", "approve", "--json"]).ok().json();
    assert_eq!(
        ran["approved"],
        serde_json::json!([{
            "variable": "OWN_NAME", "profile": null, "key": "a", "template": null, "default": null, "new": false,
        }])
    );
}

#[test]
fn a_file_above_the_repository_or_the_home_is_not_found() {
    let world = filled();
    // Beside everything: above HOME, where another user could have put one.
    write(world.path(), "[keys]\nA = \"a\"\n");
    let repository = world.home().join("repo");
    let deep = repository.join("src");
    std::fs::create_dir_all(&deep).unwrap();
    run_in(&world, &world.home(), &["exec", "--", "true"]).fails_with(
        125,
        "
            error: No keys chosen.
                   Choose keys with `--only NAME`, `--scope SCOPE`, `--as VAR=NAME` or `--all`.
                   In a project, `keyvault project add NAME` records a key, and `exec` needs no options.
                   scopes: -
                   keys:   a, b, db/password, gone, old
        ",
    );
    run_in(&world, &deep, &["exec", "--", "true"]).fails_with(
        125,
        "
            error: No keys chosen.
                   Choose keys with `--only NAME`, `--scope SCOPE`, `--as VAR=NAME` or `--all`.
                   In a project, `keyvault project add NAME` records a key, and `exec` needs no options.
                   scopes: -
                   keys:   a, b, db/password, gone, old
        ",
    );
    write(&world.home(), "[keys]\nA = \"a\"\n");
    run_in(&world, &deep, &["exec", "--", "true"]).fails_with(
        125,
        "
            error: ~/.keyvault.toml asks for keys that are not approved:
              A <- a
                   Nothing was released. Review and approve it: keyvault project approve
        ",
    );
    assert_eq!(finish(world.command("git").current_dir(&repository).args(["init", "-q"]), b"").code, 0);
    run_in(&world, &deep, &["exec", "--", "true"]).fails_with(
        125,
        "
            error: No keys chosen.
                   Choose keys with `--only NAME`, `--scope SCOPE`, `--as VAR=NAME` or `--all`.
                   In a project, `keyvault project add NAME` records a key, and `exec` needs no options.
                   scopes: -
                   keys:   a, b, db/password, gone, old
        ",
    );
    // Outside of HOME too: what lies in a folder that everybody writes to is refused, not used.
    let shared = world.path().join("shared");
    std::fs::create_dir_all(shared.join("work")).unwrap();
    write(&shared, "[keys]\nA = \"a\"\n");
    mode(&shared, 0o1777);
    run_in(&world, &shared.join("work"), &["exec", "--", "true"]).fails_with(
        125,
        "
                error: Others can write to $WORLD/shared (mode 1777), so it is not trusted.
                       chmod go-w '$WORLD/shared'
            ",
    );
}

#[test]
fn a_value_in_the_place_of_a_name_is_not_repeated() {
    let world = filled();
    let (slashed, plain) = ("sk_live_4eC39Hq/LyjWDarjtT1==", "sk_live_4eC39HqLyjWDarjtT1zdp7dc");
    let folder = project(&world, &format!("[keys]\nA = \"{slashed}\"\n"));
    run_in(&world, &folder, &["exec", "--", "true"]).fails_with(125, "
                error: ~/shop/.keyvault.toml, line 2: the key name for A is not a valid name (letters, digits, _ . - in parts joined by /; scopes also :; no part starts with . or -).
                       Put the value in the vault (`keyvault add NAME`), and its name in this file.
            ");
    let folder = project(&world, &format!("[keys]\nA = \"{plain}\"\n"));
    run_in(&world, &folder, &["exec", "--", "true"]).fails_with(
        125,
        "
            error: ~/shop/.keyvault.toml asks for keys that are not approved:
              A <- (a name that looks like a value)
                   Nothing was released. Review and approve it: keyvault project approve
        ",
    );
    let folder = approved(&world, &format!("[keys]\nA = \"{plain}\"\n"));
    for arguments in [&["exec", "--", "true"] as &[&str], &["project", "check"]] {
        let ran = run_in(&world, &folder, arguments);
        assert!(ran.code != 0 && !ran.err.contains("4eC39Hq") && !ran.out.contains("4eC39Hq"), "{ran:?}");
    }
}

#[test]
fn an_unknown_field_names_the_nearest_one_and_its_line() {
    let world = filled();
    let fields = "key, template, value, required, optional, default, description.";
    let hint = |text: String| format!("       {text}\n");
    for (text, said) in [
        (
            "[key]\nA = 'a'\n",
            "1: unknown field key.\n".to_owned()
                + &hint("Did you mean `keys`? Known fields: extends, keys, profiles.".to_owned()),
        ),
        (
            "[keys]\n\nA = { key = 'a', optinal = true }\n",
            "3: unknown field optinal.\n".to_owned()
                + &hint(format!("Did you mean `optional`? Known fields: {fields}")),
        ),
        (
            "[keys.A]\nkey = 'a'\ndesciption = 'x'\n",
            "3: unknown field desciption.\n".to_owned()
                + &hint(format!("Did you mean `description`? Known fields: {fields}")),
        ),
        (
            "[profiles.p]\nkeys = {}\nscope = 'x'\n",
            "3: unknown field scope.\n".to_owned()
                + &hint("Known fields: keys. Secrets never go in this file.".to_owned()),
        ),
        (
            "[keys]\nA = { secret = 'x' }\n",
            "2: unknown field secret.\n".to_owned()
                + &hint(format!("Known fields: {fields} Secrets never go in this file.")),
        ),
        ("[keys]\nA = 1\n", "2: A is not the name of a key, or a table.\n".to_owned()),
        ("[keys]\nA = 'a'\nA = 'b'\n", "3: it is not TOML: duplicate key.\n".to_owned()),
    ] {
        let folder = project(&world, text);
        run_in(&world, &folder, &["project", "check"])
            .fails_with(2, &format!("error: ~/shop/.keyvault.toml, line {said}"));
    }
}

/// The remedy was to add a key, where a profile had it.
#[test]
fn a_file_whose_keys_stand_in_profiles_names_them() {
    let world = World::own();
    world.file(".keyvault.toml", "[profiles.prod.keys]\nA = 'a'\n[profiles.test.keys]\nA = 'b'\n");
    for command in [&["exec", "--", "true"] as &[&str], &["project", "check"]] {
        let code = if command[0] == "exec" { 125 } else { 3 };
        world.run(command).fails_with(
            code,
            "
            error: ~/.keyvault.toml lists no keys outside its profiles.
                   Its profiles: --profile prod, --profile test.
            ",
        );
    }
}

#[test]
fn a_project_file_that_could_not_be_begun_is_not_left() {
    let world = World::own();
    world.run(&["project", "add", "path"]).fails_with(
        2,
        "
            error: The variable of `path` is a variable that makes programs run or load code.
                   Choose another: keyvault project add --as VAR=path
        ",
    );
    let before = world.every_file();
    world.file(".env.example", "A=\n");
    let state = world.home().join(".local/state/keyvault/projects");
    std::fs::remove_dir_all(&state).ok();
    std::fs::write(&state, "in the way").unwrap();
    world.run(&["project", "init"]).fails_with(
        1,
        "
            error: The approval could not be saved: file exists.
                   Approvals are kept in $XDG_STATE_HOME/keyvault/projects. Nothing was released.
        ",
    );
    std::fs::remove_file(&state).unwrap();
    assert!(!world.home().join(".keyvault.toml").exists(), "{before:?}");
    world.run(&["project", "init"]).ok();
}

#[test]
fn keys_that_are_added_to_a_project_at_once_are_all_in_the_file() {
    let world = with_keys();
    std::thread::scope(|scope| {
        for name in ["a", "b", "c", "d", "e", "f"] {
            let world: &World = &world;
            scope.spawn(move || world.run(&["project", "add", name, "--yes"]).ok());
        }
    });
    let file = std::fs::read_to_string(world.home().join(".keyvault.toml")).unwrap();
    for line in ["A = \"a\"", "B = \"b\"", "C = \"c\"", "D = \"d\"", "E = \"e\"", "F = \"f\""] {
        assert!(file.contains(line), "{file}");
    }
}
