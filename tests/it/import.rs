//! `import`: real files, conflicts, limits; then real programs with what was imported.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pretty_assertions::assert_eq;
use serde_json::Value;

use crate::harness::World;

fn real(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/dotenv").join(name);
    assert!(path.exists(), "{} is missing", path.display());
    path
}

fn exported(world: &World) -> Value {
    world.run(&["export", "--all", "--format", "json"]).ok().json()
}

#[test]
fn real_dotenv_files_come_out_as_the_reference_parser_reads_them() {
    for name in ["laravel", "sentry"] {
        let world = World::new();
        let file = real(&format!("{name}.env"));
        world.run(&["import", file.to_str().unwrap(), "--scope", "app"]).ok();
        let expected: Value =
            serde_json::from_slice(&std::fs::read(real(&format!("{name}.json"))).unwrap()).unwrap();
        assert_eq!(exported(&world), expected, "{name}");
        // And once more through our own dotenv.
        let dotenv = world.run(&["export", "--scope", "app", "--format", "dotenv"]).ok();
        world.file("again.env", &dotenv.bytes);
        let other = World::new();
        other.run(&["import", world.home().join("again.env").to_str().unwrap()]).ok();
        assert_eq!(exported(&other), expected, "{name} again");
        // The child gets just that.
        let env = world.run(&["exec", "--scope", "app", "--", "env", "-0"]).ok().out;
        let env: BTreeMap<_, _> =
            env.split_terminator('\0').filter_map(|pair| pair.split_once('=')).collect();
        for (variable, value) in expected.as_object().unwrap() {
            assert_eq!(env[variable.as_str()], value, "{name} {variable}");
        }
    }
}

#[test]
fn what_is_there_already_is_refused_skipped_or_replaced_as_asked() {
    let world = World::new();
    world.file("a.env", "A=1\nB=2\n");
    world.run(&["import", "a.env"]).ok();
    world.file("b.env", "B=3\nC=4\n");
    world.run(&["import", "b.env"]).fails_with(6, "
            error: Key `B` already exists.
                   Nothing was changed. Give a key a new value with `keyvault rotate`, or replace keys from a file with `keyvault import --on-conflict replace`.
        ");
    assert_eq!(exported(&world), serde_json::json!({"A": "1", "B": "2"}), "all or nothing");
    world.run(&["import", "b.env", "--on-conflict", "skip"]).is(
        0,
        "Imported b.env: 1 new, 1 skipped.\n",
        "
            The file still contains the plaintext values, and some that were not imported. Keep it until they are.
        ",
    );
    // Values that the vault has are in no danger.
    world.file("same.env", "B=2\nC=4\n");
    world.run(&["import", "same.env", "--on-conflict", "skip"]).is(
        0,
        "Imported same.env: 2 unchanged.\n",
        "
            The file still contains the plaintext values. Once everything works without it, delete it:
              rm 'same.env'
            If git tracks it, also run `git rm --cached 'same.env'` and rotate the keys that were pushed.
        ",
    );
    world.run(&["import", "b.env", "--on-conflict", "skip", "--dry-run"]).is(
        0,
        "
            KEY  STATE
            B    skipped
            C    unchanged
            Would import b.env: 1 skipped, 1 unchanged.
        ",
        "",
    );
    let preview = world.run(&["import", "b.env", "--on-conflict", "skip", "--dry-run", "--json"]).ok().json();
    assert_eq!(
        (&preview["skipped"], &preview["unchanged"]),
        (&serde_json::json!(["B"]), &serde_json::json!(["C"]))
    );
    assert_eq!(exported(&world), serde_json::json!({"A": "1", "B": "2", "C": "4"}));
    world.run(&["import", "b.env", "--on-conflict", "replace"]).is(
        0,
        "Imported b.env: 1 updated, 1 unchanged.\n",
        "
            The file still contains the plaintext values. Once everything works without it, delete it:
              rm 'b.env'
            If git tracks it, also run `git rm --cached 'b.env'` and rotate the keys that were pushed.
        ",
    );
    assert_eq!(exported(&world), serde_json::json!({"A": "1", "B": "3", "C": "4"}));
    assert_eq!(world.run(&["show", "B", "--json"]).ok().json()["version"], 2);
}

#[test]
fn a_dry_run_changes_nothing_and_says_what_would_be_done() {
    let world = World::new();
    world.file("a.env", "A=1\n");
    let before = std::fs::read(world.vault()).unwrap();
    world.run(&["import", "a.env", "--dry-run"]).prints(
        "
            KEY  STATE
            A    new
            Would import a.env: 1 new.
        ",
    );
    assert!(std::fs::read(world.vault()).unwrap() == before);
    world.run(&["import", "a.env"]).ok();
    world.run(&["import", "a.env", "--dry-run"]).fails_with(6, "
            error: Key `A` already exists.
                   Nothing was changed. Give a key a new value with `keyvault rotate`, or replace keys from a file with `keyvault import --on-conflict replace`.
        ");
}

#[test]
fn names_are_prefix_and_variable_and_the_last_of_two_wins() {
    let world = World::new();
    world
        .run_with_input(&["import", "-", "--prefix", "shop/", "--scope", "s"], "A=1\nA=2\nODD.name-x=3\n")
        .ok();
    let key = world.run(&["show", "shop/A", "--json"]).ok().json();
    assert_eq!((&key["variable"], &key["scopes"]), (&"A".into(), &serde_json::json!(["s"])));
    assert_eq!(exported(&world), serde_json::json!({"A": "2", "ODD.name-x": "3"}));
}

#[test]
fn dangerous_variables_are_skipped_and_listed_and_references_are_pointed_out() {
    let world = World::new();
    world
        .run_with_input(&["import", "-"], "LD_PRELOAD=x\nPATH=/evil\nA=1\nURL=http://${HOST}/\nWITH.DOT=1\n")
        .is(0, "Imported standard input: 3 new.\n", "
                warning: ${…} is imported as it is and not expanded: URL.
                warning: Shells cannot read these variables: WITH.DOT.
                warning: Not imported, because they make programs run code, or belong to keyvault: LD_PRELOAD, PATH.
            ");
    assert_eq!(exported(&world), serde_json::json!({"A": "1", "URL": "http://${HOST}/", "WITH.DOT": "1"}));
}

#[test]
fn what_is_said_at_the_end_is_how_to_get_rid_of_the_file() {
    let world = World::new();
    world.file("it's here.env", "A=1\n");
    world.run(&["import", "it's here.env"]).is(
        0,
        "Imported it's here.env: 1 new.\n",
        r#"
            The file still contains the plaintext values. Once everything works without it, delete it:
              rm 'it'\''s here.env'
            If git tracks it, also run `git rm --cached 'it'\''s here.env'` and rotate the keys that were pushed.
        "#,
    );
    world.run_with_input(&["import", "-"], "B=1\n").prints("Imported standard input: 1 new.\n");
}

#[test]
fn case_63_hostile_files_are_taken_whole_or_not_at_all() {
    let world = World::new();
    let deep = format!("{{\"A\":{}1{}}}", "[".repeat(100_000), "]".repeat(99_999));
    let many = (0..100_001).map(|number| format!("K{number}=x\n")).collect::<String>();
    for (name, content) in [
        ("deep.json", deep.into_bytes()),
        ("nested.json", ["{\"A\":".repeat(100_000), "}".repeat(100_000)].concat().into_bytes()),
        ("list.json", b"[\"A\"]".to_vec()),
        ("cut.json", b"{\"A\":\"b\"".to_vec()),
        ("many.env", many.into_bytes()),
        ("latin.env", b"A=\xe9\n".to_vec()),
        ("large.env", vec![b'#'; (16 << 20) + 1]),
    ] {
        let file = world.file(name, content);
        let ran = world.run(&["import", file.to_str().unwrap()]);
        assert_eq!(ran.code, 1, "{name}: {}", ran.err);
        assert_eq!(exported_or_nothing(&world), serde_json::json!({}), "{name}");
    }
    world.run(&["import", "gone.env"]).fails_with(3, "error: gone.env does not exist.\n");
    world.run(&["import", "."]).fails_with(
        1,
        "
            error: . is a folder.
                   Name a file.
        ",
    );
    // Byte order mark, CRLF and doubled members are read as the reference does.
    world.file("bom.env", b"\xef\xbb\xbfA=1\r\nB=2\r\n");
    world.run(&["import", "bom.env"]).ok();
    world.file("twice.json", b"{\"C\":\"1\",\"C\":\"2\"}");
    world.run(&["import", "twice.json"]).ok();
    assert_eq!(exported(&world), serde_json::json!({"A": "1", "B": "2", "C": "2"}));
}

fn exported_or_nothing(world: &World) -> Value {
    let ran = world.run(&["export", "--all", "--format", "json"]);
    if ran.code == 0 { ran.json() } else { serde_json::json!({}) }
}

// ── Real programs ────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn git_commits_as_the_author_that_was_imported() {
    let world = World::new();
    world.file("git.env", "GIT_AUTHOR_NAME='Ada L'\nGIT_AUTHOR_EMAIL=ada@example.org\nGIT_COMMITTER_NAME=C\nGIT_COMMITTER_EMAIL=c@example.org\n");
    world.run(&["import", "git.env", "--scope", "git"]).ok();
    let script = "git init -q repository && cd repository && git commit -q --allow-empty -m first && git log --format='%an <%ae>'";
    let ran = world.run(&["exec", "--scope", "git", "--", "sh", "-c", script]).ok();
    assert_eq!(ran.out, "Ada L <ada@example.org>\n");
}

#[test]
fn a_replacing_import_makes_no_version_of_a_value_that_is_there() {
    let world = World::new();
    world.file("a.env", "A=1\nB=2\n");
    world.run(&["import", "a.env"]).ok();
    world.file("a.env", "A=1\nB=3\n");
    let replace = ["import", "a.env", "--on-conflict", "replace"];
    let preview = world.run(&[&replace[..], &["--dry-run"]].concat()).ok();
    assert!(preview.out.ends_with("Would import a.env: 1 updated, 1 unchanged.\n"), "{}", preview.out);
    assert_eq!(world.run(&replace).ok().out, "Imported a.env: 1 updated, 1 unchanged.\n");
    let versions =
        |name| world.run(&["history", name, "--json"]).ok().json()["versions"].as_array().unwrap().len();
    assert_eq!((versions("A"), versions("B")), (1, 2));
}
