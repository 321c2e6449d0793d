//! A project's first day: `import`, `project init`, and `exec` give its keys the same names, and a second project beside it
//! changes nothing.

use std::path::{Path, PathBuf};

use pretty_assertions::assert_eq;

use crate::harness::project_file::{FILE, project, run_in};
use crate::harness::{Ran, World};

const DELETE: &str = "
    The file still contains the plaintext values. Once everything works without it, delete it:
      rm '.env'
    If git tracks it, also run `git rm --cached '.env'` and rotate the keys that were pushed.
";

fn folder(world: &World, name: &str, env: &str) -> PathBuf {
    let folder = world.home().join(name);
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join(".env"), env).unwrap();
    folder
}

fn values(world: &World, folder: &Path) -> String {
    run_in(world, folder, &["exec", "--", "sh", "-c", "echo $A $B"]).ok().out
}

/// With the advice that every import gives.
fn answers(ran: Ran, out: &str, before: &str, after: &str) -> Ran {
    let advice = crate::harness::text(DELETE);
    ran.is(0, out, &format!("{before}{advice}{after}"))
}

#[test]
fn import_and_then_init_name_the_same_keys() {
    let world = World::new();
    let shop = folder(&world, "shop", "A=1\nB=2\n");
    answers(
        run_in(&world, &shop, &["import", ".env", "--scope", "dev"]),
        "Imported .env: 2 new.\n",
        "The names begin with the project's prefix, such as shop/A. `--prefix ''` imports without it.\n",
        "Next: `keyvault project init` records the keys, so that `keyvault exec -- COMMAND` finds them.\n",
    );
    run_in(&world, &shop, &["project", "init"]).ok();
    run_in(&world, &shop, &["project", "check"]).prints(
        "VARIABLE  KEYS    STATUS  ABOUT\n\
         A         shop/A  ready\n\
         B         shop/B  ready\n",
    );
    assert_eq!(values(&world, &shop), "1 2\n");
    let by_scope = run_in(&world, &shop, &["exec", "--scope", "dev", "--", "sh", "-c", "echo $A $B"]);
    assert_eq!(by_scope.ok().out, "1 2\n");
}

#[test]
fn init_imports_and_a_second_project_is_beside_it() {
    let world = World::new();
    let shop = folder(&world, "shop", "A=1\nB=2\n");
    let ran = run_in(&world, &shop, &["project", "init", "--import"]);
    answers(
        ran,
        "A <- shop/A\nB <- shop/B\nWrote ~/shop/.keyvault.toml.\nImported .env: 2 new.\n",
        "",
        "Next: keyvault exec -- COMMAND\n",
    );
    std::fs::remove_file(shop.join(".env")).unwrap();
    let blog = folder(&world, "blog", "A=3\nB=4\n");
    run_in(&world, &blog, &["project", "init", "--import", "--scope", "web"]).ok();
    assert_eq!((values(&world, &shop), values(&world, &blog)), ("1 2\n".to_owned(), "3 4\n".to_owned()));
    let scopes = world.run(&["show", "blog/A", "--json"]).ok().json()["scopes"].clone();
    assert_eq!(scopes, serde_json::json!(["web"]));
}

#[test]
fn two_environments_and_a_setting_are_one_file() {
    let world = World::new();
    let shop = folder(&world, "shop", "A=1\nB=2\nPORT=3000\n");
    std::fs::write(shop.join(".env.example"), "A=\nC=placeholder\n").unwrap();
    std::fs::write(shop.join(".env.production"), "A=9\n").unwrap();
    let ran = run_in(
        &world,
        &shop,
        &["project", "init", "--import", "--plain", "PORT", "--profile", "prod=.env.production"],
    );
    let written = "A <- shop/A\nC <- shop/C\nB <- shop/B\nPORT = \"3000\"\n[prod] A <- shop/prod/A\nWrote ";
    assert!(ran.ok().out.starts_with(written));
    let text = std::fs::read_to_string(shop.join(FILE)).unwrap();
    assert!(
        text.contains("PORT = { value = \"3000\" }\n\n[profiles.prod.keys]\nA = \"shop/prod/A\"\n"),
        "{text}"
    );
    // An example's value is none.
    run_in(&world, &shop, &["project", "check"]).fails(3, "C <- shop/C: no such key (keyvault add shop/C)");
    world.run_with_input(&["add", "shop/C"], "c").ok();
    let shown = |profile: &[&str]| {
        let run = ["--", "sh", "-c", "echo $A $B $C $PORT"];
        run_in(&world, &shop, &[&["exec"], profile, &run].concat()).ok().out
    };
    assert_eq!(
        (shown(&[]).as_str(), shown(&["--profile", "prod"]).as_str()),
        ("1 2 c 3000\n", "9 2 c 3000\n")
    );
}

#[test]
fn init_refuses_names_that_are_taken_and_leaves_nothing() {
    let world = World::new();
    let shop = folder(&world, "shop", "A=1\nB=2\n");
    world.run_with_input(&["add", "shop/B"], "another").ok();
    run_in(&world, &shop, &["project", "init", "--import"]).fails_with(
        6,
        "
            error: Key `shop/B` already exists.
                   Nothing was changed. If they are this project's, leave out `--import`.
                   If they are another project's, choose a prefix of your own: --prefix NAME/
        ",
    );
    assert!(!shop.join(FILE).exists());
    assert_eq!(world.run(&["list", "--json"]).ok().json()["keys"].as_array().unwrap().len(), 1);
    run_in(&world, &shop, &["project", "init", "--import", "--plain", "PORTT"]).fails_with(
        2,
        "
            error: No file has the variable PORTT, which `--plain` names.
                   Nothing was changed.
        ",
    );
    std::fs::remove_file(shop.join(".env")).unwrap();
    run_in(&world, &shop, &["project", "init", "--import"]).fails_with(
        2,
        "
            error: No file has values to import.
                   Nothing was changed. Name a .env file, or leave out `--import`.
        ",
    );
    assert!(!shop.join(FILE).exists());
}

#[test]
fn import_follows_the_project_file_and_an_empty_prefix_does_not() {
    let world = World::new();
    let folder = project(&world, "[keys]\nA = \"web/A\"\nB = \"db/main\"\nC = { value = \"1\" }\n");
    std::fs::write(folder.join(".env"), "A=1\nB=2\nC=3\nD=4\n").unwrap();
    let named = |arguments: &[&str]| {
        let ran = run_in(&world, &folder, &[&["import", ".env", "--dry-run", "--json"], arguments].concat());
        ran.ok().json()["created"].clone()
    };
    assert_eq!(named(&[]), serde_json::json!(["web/A", "db/main", "web/D"]));
    assert_eq!(named(&["--prefix", ""]), serde_json::json!(["A", "B", "C", "D"]));
    assert_eq!(named(&["--prefix", "x/"]), serde_json::json!(["x/A", "x/B", "x/C", "x/D"]));
    // A file that came with a repository chooses no key that gets a new value.
    run_in(&world, &folder, &["import", ".env", "--on-conflict", "replace"]).fails_with(
        6,
        "
            error: ~/shop/.keyvault.toml would choose the keys to replace, and it is not approved.
                   Nothing was changed. Approve it with `keyvault project approve`, or name the keys with `--prefix`.
        ",
    );
    run_in(&world, &folder, &["project", "approve", "--yes"]).ok();
    run_in(&world, &folder, &["import", ".env", "--on-conflict", "replace"]).ok();
    // In the home folder there is no project.
    std::fs::rename(folder.join(".env"), world.home().join(".env")).unwrap();
    let ran = world.run(&["import", ".env", "--dry-run", "--json"]).ok().json();
    assert_eq!((&ran["prefix"], &ran["created"][0]), (&"".into(), &"A".into()));
}

#[test]
fn twenty_missing_keys_are_one_line_and_one_remedy() {
    let world = World::new();
    let text: String = (10..30).map(|n| format!("VARIABLE_{n} = \"shop/VARIABLE_{n}\"\n")).collect();
    let folder = project(&world, &format!("[keys]\n{text}"));
    run_in(&world, &folder, &["project", "approve", "--yes"]).ok();
    let names = (10..30).map(|n| format!("shop/VARIABLE_{n}")).collect::<Vec<_>>().join(", ");
    let hint = "       Add them, for example: keyvault add shop/VARIABLE_10\n       \
                Or import them from a file: keyvault import .env\n";
    for (arguments, code, first) in [
        (&["exec", "--", "true"] as &[&str], 125, "Cannot release the keys:"),
        (&["project", "check"], 3, "The project cannot run with this vault:"),
    ] {
        let ran = run_in(&world, &folder, arguments);
        assert_eq!((ran.code, ran.err), (code, format!("error: {first}\n  no such key: {names}\n{hint}")));
    }
    world.run_with_input(&["add", "VARIABLE_12"], "x").ok();
    let ran = run_in(&world, &folder, &["exec", "--", "true"]);
    assert!(ran.err.contains("shop/VARIABLE_12 (did you mean VARIABLE_12?)"), "{}", ran.err);
    assert!(
        ran.err.contains("for example: keyvault edit VARIABLE_12 --rename shop/VARIABLE_12\n"),
        "{}",
        ran.err
    );
}

#[test]
fn rename_and_remove_point_out_project_files_that_still_use_the_name() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        world.run_with_input(&["add", name], name).ok();
    }
    let folder =
        project(&world, "[keys]\nA = \"a\"\nURL = { template = \"{a}{b}\" }\n[profiles.p.keys]\nA = \"b\"\n");
    let deep = folder.join("deep");
    std::fs::create_dir(&deep).unwrap();
    run_in(&world, &deep, &["edit", "a", "--rename", "new"]).warns(
        "warning: ~/shop/.keyvault.toml still asks for `a` (A, URL). Write `new` there, then run `keyvault project approve`.\n",
    );
    run_in(&world, &deep, &["edit", "c", "--rename", "d"]).warns("");
    run_in(&world, &deep, &["remove", "b", "d", "--yes"]).ok();
    let ran = run_in(&world, &deep, &["edit", "new", "--rename", "b"]);
    assert_eq!(ran.ok().err, "");
    let ran = run_in(&world, &deep, &["remove", "b", "--yes"]).ok();
    let warned = "shop/.keyvault.toml still asks for `b` (URL, A). Remove the entry, or name another key.";
    assert!(ran.err.contains(warned), "{}", ran.err);
}

#[test]
fn a_value_in_the_place_of_a_name_is_refused_and_not_repeated() {
    let world = World::new();
    let value = "sk_live_51HxabcdEFGHijklmnop";
    let refused = "
        error: The name looks like a value, and there is no terminal to prompt on.
               Nothing was changed. If it is a value, treat it as leaked: other users, the shell history, and logs can see arguments.
               If it is a name, confirm it with `--yes`.
    ";
    world.run_with_input(&["add", value], "x").fails_with(2, refused);
    world.run(&["generate", value]).fails_with(2, refused);
    world.run_with_input(&["add", "a"], "x").ok();
    world.run(&["edit", "a", "--rename", value]).fails_with(2, refused);
    world.run(&["copy", "a", value]).fails_with(2, refused);
    world.run_with_input(&["add", "gone"], "x").ok();
    world.run(&["remove", "gone", "--yes"]).ok();
    world.run(&["undelete", "gone", "--as", value]).fails_with(2, refused);
    let copied = format!("{value}2");
    world.run(&["copy", "a", &copied, "--yes"]).ok();
    world.run(&["undelete", "gone", "--as", &format!("{value}3"), "--yes"]).ok();
    world.run(&["generate", value, "--yes"]).ok();
    let leaked = |name: &str| {
        format!(
            "
            error: Values are not accepted as arguments, which other users, the shell history and logs can see.
                   If the value was real, treat it as leaked: get a new one from its issuer.
                   Then give it at a prompt: keyvault add {name}
            "
        )
    };
    world.run(&["add", "STRIPE_KEY=sk_live_x"]).fails_with(2, &leaked("STRIPE_KEY"));
    world.run(&["add", &format!("{value}=STRIPE_KEY")]).fails_with(2, &leaked("NAME"));
    world.run(&["add", "stripe/live", value]).fails_with(2, &leaked("stripe/live"));
    world.run(&["show", "a", "--value"]).fails_with(
        2,
        "
            error: Unknown option `--value`.
                   To see the value: keyvault show NAME --reveal
        ",
    );
    let ran = world.run(&["rotate", "a", &format!("--value={value}")]);
    assert!(ran.code == 2 && ran.err.contains("keyvault rotate NAME") && !ran.err.contains(value), "{ran:?}");
}

/// The usual hint would have put the values of production into the keys of development.
#[test]
fn a_file_of_a_profile_that_is_imported_without_a_prefix_is_pointed_to_the_profile_s() {
    let world = World::new();
    let shop = folder(&world, "shop", "A=1\n");
    std::fs::write(shop.join(".env.production"), "A=9\n").unwrap();
    let init = ["project", "init", "--import", "--profile", "prod=.env.production"];
    run_in(&world, &shop, &init).ok();
    run_in(&world, &shop, &["import", ".env.production"]).fails_with(
        6,
        "
            error: Key `shop/A` already exists.
                   Nothing was changed. This file belongs to profile `prod`: keyvault import '.env.production' --prefix shop/prod/
        ",
    );
}

#[test]
fn a_removed_key_of_a_project_is_brought_back_with_undelete() {
    let world = World::new();
    let shop = folder(&world, "shop", "A=1\n");
    run_in(&world, &shop, &["project", "init", "--import"]).ok();
    world.run(&["remove", "shop/A", "--yes"]).ok();
    let removed = "A <- shop/A: removed (keyvault undelete shop/A)";
    run_in(&world, &shop, &["exec", "--", "true"]).fails(125, removed);
    run_in(&world, &shop, &["project", "check"]).fails(3, removed);
    world
        .run(&["exec", "--only", "shop/A", "--", "true"])
        .fails(125, "shop/A: removed (keyvault undelete shop/A)");
    let generated = world.run(&["generate", "shop/A"]).ok();
    assert!(generated.err.contains("`keyvault undelete shop/A` brings it back"), "{}", generated.err);
    world.run(&["remove", "shop/A", "--yes"]).ok();
    let added = world.run_with_input(&["add", "shop/A"], "2").ok();
    assert!(added.err.contains("`keyvault undelete shop/A` brings it back"), "{}", added.err);
}

#[test]
fn a_new_key_of_a_project_has_its_variable_without_the_prefix() {
    let world = World::new();
    let shop = folder(&world, "shop", "A=1\n");
    run_in(&world, &shop, &["project", "init", "--import"]).ok();
    run_in(&world, &shop, &["project", "add", "shop/SENTRY_DSN", "--yes"]).ok();
    run_in(&world, &shop, &["generate", "shop/SENTRY_DSN"]).ok();
    run_in(&world, &shop, &["generate", "shop/PATH"]).ok();
    run_in(&world, &shop, &["generate", "other/KEY"]).ok();
    let variable = |name| world.run(&["show", name, "--json"]).ok().json()["variable"].clone();
    assert_eq!(variable("shop/SENTRY_DSN"), "SENTRY_DSN");
    assert_eq!(variable("shop/PATH"), "SHOP_PATH");
    assert_eq!(variable("other/KEY"), "OTHER_KEY");
    let file = std::fs::read_to_string(shop.join(FILE)).unwrap();
    assert!(file.contains("\nSENTRY_DSN = \"shop/SENTRY_DSN\"\n"), "{file}");
}
