//! JSON that comes in: what is no string is imported as it is written, objects by the path to their members; and a field
//! of a value that is JSON goes out alone.

use pretty_assertions::assert_eq;
use serde_json::json;

use crate::harness::World;

const FILE: &str = r#"{
  "PORT": 5432, "RATE": 1.10, "ID": 12345678901234567890123, "DEBUG": true,
  "HOSTS": ["a", {"b": 1}],
  "db": { "user": "ada", "password": "p@ss\n/", "tls": { "key": "k" } },
  "GONE": null, "none": { }
}"#;

#[test]
fn numbers_and_booleans_are_imported_as_written_and_objects_by_their_paths() {
    let world = World::new();
    world.file("x.json", FILE);
    world.run(&["import", "x.json", "--prefix", "shop/"]).is(
        0,
        "Imported x.json: 8 new.\n",
        "
            warning: Left out, because they have no value: GONE, none.
            The file still contains the plaintext values. Once everything works without it, delete it:
              rm 'x.json'
            If git tracks it, also run `git rm --cached 'x.json'` and rotate the keys that were pushed.
        ",
    );
    assert_eq!(
        world.run(&["export", "--all", "--format", "json"]).ok().json(),
        json!({
            "PORT": "5432", "RATE": "1.10", "ID": "12345678901234567890123", "DEBUG": "true",
            "HOSTS": "[\"a\", {\"b\": 1}]", "DB_USER": "ada", "DB_PASSWORD": "p@ss\n/", "DB_TLS_KEY": "k",
        })
    );
    let key = world.run(&["show", "shop/db/tls/key", "--json"]).ok().json();
    assert_eq!(key["variable"], "DB_TLS_KEY");
}

#[test]
fn flatten_joins_the_names_with_another_text() {
    let world = World::new();
    world.file("x.json", r#"{"db": {"user": 1, "tls": {"key": false}}, "db_user": "2"}"#);
    let ran = world.run(&["import", "x.json", "--flatten", "_"]).ok();
    assert!(
        ran.err.contains("Defined more than once in the file; the last one is used: db_user."),
        "{}",
        ran.err
    );
    assert_eq!(
        world.run(&["export", "--all", "--format", "json"]).ok().json(),
        json!({ "db_user": "2", "db_tls_key": "false" })
    );
    world.run(&["import", "x.json", "--flatten", " "]).fails(2, "db tls key is not a valid");
}

#[test]
fn json_that_is_wrong_within_an_object_is_refused_with_its_place() {
    let world = World::new();
    for (content, place) in [
        ("{\"a\":\n  {\"b\": \"sesame\\ud800\"}}", "line 2, column"),
        ("{\"a\": sesame}", "line 1, column 7"),
        ("{\"a\": 01}", "line 1, column"),
        ("{\"a\": [1,]}", "line 1, column 10"),
    ] {
        world.file("x.json", content);
        let ran = world.run(&["import", "x.json"]).fails(1, place);
        assert!(!ran.err.contains("sesame"), "{}", ran.err);
    }
}

#[test]
fn an_env_file_may_be_json_of_that_kind_too() {
    let world = World::new();
    world.run_with_input(&["add", "a"], "value").ok();
    world.file("x.json", r#"{"PORT": 80, "db": {"on": true, "ref": "kv://a"}}"#);
    let script = "echo \"$PORT $DB_ON $DB_REF\"";
    assert_eq!(
        world.run(&["exec", "--env-file", "x.json", "--", "sh", "-c", script]).ok().out,
        "80 true value\n"
    );
}

/// A repository's own file chooses no key that was named by hand.
#[test]
fn project_init_approves_no_key_that_is_named_after_a_path() {
    let world = World::new();
    std::fs::create_dir(world.home().join("shop")).unwrap();
    world.file("shop/.env", r#"{"PORT": 80, "db": {"password": "x"}}"#);
    world.run_with_input(&["add", "shop/PORT"], "1").ok();
    world.run_with_input(&["add", "shop/db/password"], "2").ok();
    let ran = world.sh("cd shop && keyvault project init --no-schema").ok();
    assert!(ran.out.starts_with("PORT <- shop/PORT\nDB_PASSWORD <- shop/db/password\nWrote "), "{}", ran.out);
    world.sh("cd shop && keyvault exec -- true").fails_with(
        125,
        "
            error: ~/shop/.keyvault.toml asks for keys that are not approved:
              DB_PASSWORD <- shop/db/password
                   Nothing was released. Review and approve it: keyvault project approve
        ",
    );
}

/// A world with a key `db` whose value is JSON.
fn with_json() -> World {
    let world = World::new();
    let value =
        r#"{"user": "ada", "password": "p@ss/", "port": 5432, "tls": {"keys": ["k0", "k1"]}, "gone": null}"#;
    world.run_with_input(&["add", "db"], value).ok();
    world
}

#[test]
fn a_field_goes_out_by_template_and_reference() {
    let world = with_json();
    world.file(
        ".keyvault.toml",
        "[keys]\nURL = { template = \"db://{db|json:user}:{db|json:password|url}@h:{db|json:port}\" }\nK = { template = \"{db|json:tls/keys/1}\" }\n",
    );
    world.run(&["project", "approve", "--yes"]).ok();
    let show = ["exec", "--", "sh", "-c", "echo \"$URL $K\""];
    assert_eq!(world.run(&show).ok().out, "db://ada:p%40ss%2F@h:5432 k1\n");
    assert_eq!(world.run(&["exec", "--dry-run", "--", "true"]).ok().out, "K <- db\nURL <- db\n");
    let log = world.run(&["audit", "log", "--json"]).ok().out;
    let event: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(event["keys"].as_array().unwrap().len(), 1, "{event}");
    world.file("x.env", "A=kv://db?json=password\nB=kv://db?json=tls/keys/0&version=1\n");
    let show = ["exec", "--env-file", "x.env", "--", "sh", "-c", "echo \"$A $B\""];
    assert_eq!(world.run(&show).ok().out, "p@ss/ k0\n");
    world.file("in", "u: kv://db?json=user.\n{{kv://db?json=port}}x\n");
    assert_eq!(world.run(&["project", "render", "in"]).ok().out, "u: ada.\n5432x\n");
}

#[test]
fn a_field_is_masked_as_a_value_is() {
    let world = with_json();
    world.file("x.env", "A=kv://db?json=password\n");
    let ran = world.run(&["exec", "--mask", "--env-file", "x.env", "--", "sh", "-c", "echo \"[$A]\""]).ok();
    assert!(!ran.out.contains("p@ss"), "{}", ran.out);
}

#[test]
fn a_field_that_cannot_be_had_is_named_and_the_value_is_not() {
    let world = with_json();
    world.run_with_input(&["add", "plain"], "sesame").ok();
    for (reference, said) in [
        ("db?json=pasword", "A <- db, field pasword: its value has no such field"),
        ("db?json=tls/keys/2", "A <- db, field tls/keys/2: its value has no such field"),
        ("db?json=gone", "A <- db, field gone: the field is null"),
        ("plain?json=a", "A <- plain, field a: its value is not JSON"),
    ] {
        world.file("x.env", format!("A=kv://{reference}\n"));
        let said = format!("error: Cannot release the keys:\n  {said}\n");
        world.run(&["exec", "--env-file", "x.env", "--", "true"]).fails_with(125, &said);
    }
    for (reference, said) in [
        ("kv://db?json=", "only ?version= and a number, or ?json= and a field, may follow the name"),
        ("kv://db?json=a b", "only ?version= and a number, or ?json= and a field, may follow the name"),
    ] {
        world.file("x.env", format!("A={reference}\n"));
        world.run(&["exec", "--env-file", "x.env", "--", "true"]).fails(125, said);
    }
    // Optional, or with a default of its own.
    world.file(
        ".keyvault.toml",
        "[keys]\nA = { template = \"{db|json:no}\", optional = true }\nB = { template = \"{db|json:no}\", optional = true, default = \"d\" }\n",
    );
    world.run(&["project", "approve", "--yes"]).ok();
    let script = "echo \"${A-unset} $B\"";
    assert_eq!(world.run(&["exec", "--", "sh", "-c", script]).ok().out, "unset d\n");
    world.file(".keyvault.toml", "[keys]\nA = { template = \"{db|jsn:no}\" }\n");
    world
        .run(&["exec", "--", "true"])
        .fails(125, "only json:FIELD and then url may follow the | at character 1");
}
