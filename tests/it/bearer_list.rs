//! `list` and `show` for a bearer: the keys of a token, a bundle, or a limited session, as far as a grant describes them.

use pretty_assertions::assert_eq;
use serde_json::{Value, json};

use crate::harness::bearer::{held, token, with_keys};
use crate::harness::{KEYVAULT, PASSPHRASE, Ran, World, finish, hours};

/// [`with_keys`] with more on `a` than a grant says, and a public key.
fn filled() -> World {
    let world = with_keys();
    world.run(&["edit", "a", "--note", "for people", "--owner", "ada", "--tag", "tier=1"]).ok();
    world.run_with_input(&["add", "region", "--scope", "deploy", "--public"], "eu-west-1").ok();
    world
}

/// A command with a bundle and its token, on a machine without a vault.
fn away(world: &World, token: &str, arguments: &[&str]) -> Ran {
    let mut command = world.command(KEYVAULT);
    command.env("KEYVAULT_TOKEN", token).env("KEYVAULT_VAULT", "none.db").env("KEYVAULT_BUNDLE", "keys.kvb");
    finish(command.args(arguments), b"")
}

/// A command of the owner, whose passphrase is given.
fn owner(world: &World, arguments: &[&str]) -> Ran {
    let mut command = world.command(KEYVAULT);
    finish(command.env("KEYVAULT_PASSPHRASE", PASSPHRASE).args(arguments), b"")
}

const LISTED: &str = "
    NAME    VARIABLE  VALUE      SCOPES  VER  EXPIRES  STATUS
    a       A         -          deploy    1  never    active
    b       B         -          deploy    1  never    active
    region  REGION    eu-west-1  deploy    1  never    active
";

#[test]
fn a_bearer_lists_what_it_was_granted_by_token_bundle_and_limited_session() {
    let world = filled();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    world.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb"]).ok();
    held(&world, &token, &["list"]).prints(LISTED);
    held(&world, &token, &["list", "--bundle", "keys.kvb"]).prints(LISTED);
    away(&world, &token, &["list"]).prints(LISTED);
    world.run(&["unlock", "--scope", "deploy", "--yes"]).ok();
    world.run(&["list"]).prints(LISTED);
    // A passphrase that is given opens the whole vault, as elsewhere.
    assert!(owner(&world, &["list"]).ok().out.contains("other"));
}

#[test]
fn filters_and_columns_work_as_far_as_grants_say_something() {
    let world = filled();
    let token = token(&world, &["ci", "--scope", "deploy", "--key", "d"]);
    let names = |arguments: &[&str]| -> Vec<String> {
        let out = held(&world, &token, &[&["list", "--columns", "name"], arguments].concat()).ok().out;
        out.lines().skip(1).map(str::to_owned).collect()
    };
    world.run(&["edit", "b", "--expires", "2040-05-20"]).ok();
    world.run(&["disable", "d"]).ok();
    assert_eq!(names(&[]), ["a", "b", "d", "region"]);
    assert_eq!(names(&["r*"]), ["region"]);
    assert_eq!(names(&["--status", "disabled"]), ["d"]);
    assert_eq!(names(&["--expiring", "7d"]), ["b"]);
    assert_eq!(names(&["--sort", "expires"]), ["b", "a", "d", "region"]);
    held(&world, &token, &["list", "a", "--columns", "name,note,tags,age"]).prints(
        "
            NAME  NOTE  TAGS  AGE
            a     -     -       -
        ",
    );
    held(&world, &token, &["list", "--scope", "deplo"]).reports(
        "
            No key granted to token `ci` has the scope `deplo`. Did you mean `deploy`? Run `keyvault list` to see keys and their scopes.
        ",
    );
    for (options, named) in [(["--tag", "tier"], "--tag"), (["--sort", "created"], "--sort created")] {
        held(&world, &token, &["list", options[0], options[1]]).fails_with(
            4,
            &format!(
                "
                    error: KEYVAULT_TOKEN is set, and `{named}` needs more than a token opens.
                           To run it as the vault's owner: env -u KEYVAULT_TOKEN keyvault …
                "
            ),
        );
    }
    let none = self::token(&world, &["none", "--scope", "later"]);
    held(&world, &none, &["list"]).reports("No keys are granted to token `none`.\n");
}

/// The owner's fields, and null for what a grant does not say.
#[test]
fn json_has_the_owners_shape_and_nothing_that_a_grant_does_not_say() {
    let world = filled();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    let of_owner = world.run(&["list", "--json"]).ok().json()["keys"][0].clone();
    let listed = held(&world, &token, &["list", "--json"]).ok();
    let keys = listed.json()["keys"].clone();
    let fields = |key: &Value| key.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(fields(&keys[0]), fields(&of_owner));
    assert_eq!(
        keys[0],
        json!({
            "name": "a", "variable": "A", "version": 1, "display_name": null, "owner": null, "scopes": ["deploy"],
            "tags": null, "note": null, "public": false, "status": "active", "disabled": null, "created": null,
            "expires": null, "recipe": null, "entropy_bits": null, "fingerprint": null, "public_key": null,
            "previous": null
        })
    );
    assert_eq!(keys[2]["value"], "eu-west-1");
    let shown = held(&world, &token, &["show", "a", "--json"]).ok();
    assert_eq!(shown.json(), keys[0]);
    for said in ["for people", "ada", "tier"] {
        assert!(!listed.out.contains(said) && !shown.out.contains(said), "{said}");
    }
}

#[test]
fn a_bearer_shows_and_reveals_a_key_that_it_was_granted() {
    let world = filled();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    held(&world, &token, &["show", "a"]).prints(
        "
            name         a
            variable     A
            version      1
            scopes       deploy
            status       active
            expires      never
        ",
    );
    assert!(held(&world, &token, &["show", "region"]).ok().out.contains("\npublic       eu-west-1\n"));
    held(&world, &token, &["show", "a", "--reveal"]).prints("value-a");
    world.run_with_input(&["rotate", "a", "--grace", "1h"], "value-a2").ok();
    let json = held(&world, &token, &["show", "a", "--reveal", "--version", "1", "--json"]).ok().json();
    assert_eq!((&json["value"], &json["version"]), (&"value-a".into(), &1.into()));
    let json = held(&world, &token, &["show", "a", "--reveal", "--json"]).ok().json();
    assert_eq!((&json["value"], &json["version"]), (&"value-a2".into(), &2.into()));
    let log = world.run(&["audit", "log", "--token", "ci", "--json"]).ok().out;
    let reads: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = reads.iter().map(|read| (&read["action"], &read["keys"], &read["detail"])).collect();
    let reveal = |name: &str, version: u32, detail: &str| {
        (json!("reveal"), json!([{ "name": name, "version": version }]), json!(detail))
    };
    let expected =
        [reveal("region", 1, "public"), reveal("a", 1, ""), reveal("a", 1, ""), reveal("a", 2, "")];
    assert_eq!(told, expected.iter().map(|(one, two, three)| (one, two, three)).collect::<Vec<_>>());
    world.advance(hours(2));
    held(&world, &token, &["show", "a", "--reveal", "--version", "1"]).fails(6, "a: ");
}

#[test]
fn a_bundle_is_shown_without_a_vault_and_its_reads_are_recorded_beside_it() {
    let world = filled();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    world.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb"]).ok();
    assert!(away(&world, &token, &["show", "a"]).ok().out.starts_with("name         a\n"));
    away(&world, &token, &["show", "a", "--reveal"]).prints("value-a");
    away(&world, &token, &["show", "c", "--reveal"]).fails(3, "Key `c` is not granted to token `ci`.");
    let mut bare = world.command(KEYVAULT);
    finish(bare.args(["list", "--bundle", "keys.kvb"]), b"").fails(4, "A bundle opens only with its token");
}

#[test]
fn a_limited_session_shows_and_reveals_in_json_too() {
    let world = filled();
    world.run(&["unlock", "--scope", "deploy", "--yes"]).ok();
    assert_eq!(world.run(&["show", "a", "--json"]).ok().json()["tags"], Value::Null);
    let json = world.run(&["show", "a", "--reveal", "--json"]).ok().json();
    assert_eq!((&json["name"], &json["value"]), (&"a".into(), &"value-a".into()));
    for arguments in [&["show", "c"][..], &["show", "c", "--reveal"], &["show", "c", "--public"]] {
        world.run(arguments).fails_with(
            3,
            "
                error: Key `c` is not granted to the limited session.
                       The open session is limited. Open a full one, which ends it: keyvault unlock
            ",
        );
    }
    world.run(&["show", "a", "--public"]).fails_with(
        4,
        "
            error: The open session is limited to some keys, and `--public` needs the whole vault.
                   Open a full session, which ends the limited one: keyvault unlock
        ",
    );
}

#[test]
fn a_key_that_was_not_granted_is_told_with_the_name_of_the_token() {
    let world = filled();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    for arguments in [&["show", "c"][..], &["show", "c", "--reveal"]] {
        held(&world, &token, arguments).fails_with(
            3,
            "
                error: Key `c` is not granted to token `ci`.
                       Run `keyvault list` (with `--bundle FILE` where no vault is) to see the keys that it opens.
            ",
        );
    }
    held(&world, &token, &["show", "regio"]).fails(3, "Did you mean `region`?");
    // One that is there and one that never was are told alike.
    let told = |name: &str| held(&world, &token, &["show", name]).err.replace(&format!("`{name}`"), "X");
    assert_eq!(told("other/key"), told("c"));
}

#[test]
fn a_command_that_a_token_does_not_open_names_the_variable_to_unset() {
    let world = filled();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    for arguments in [
        &["rotate", "a"][..],
        &["history", "a"],
        &["edit", "a", "--note", "n"],
        &["token", "list"],
        &["token", "edit", "ci", "--scope", "other"],
        &["audit", "log"],
    ] {
        held(&world, &token, arguments).fails_with(
            4,
            "
                error: KEYVAULT_TOKEN is set, and this command needs more than a token opens.
                       To run it as the vault's owner: env -u KEYVAULT_TOKEN keyvault …
            ",
        );
    }
    let file = world.file("token", &token);
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut named = world.command(KEYVAULT);
    finish(named.env("KEYVAULT_TOKEN_FILE", "token").args(["history", "a"]), b"")
        .fails(4, "KEYVAULT_TOKEN_FILE is set, and this command needs more than a token opens.");
    let mut named = world.command(KEYVAULT);
    assert!(finish(named.env("KEYVAULT_TOKEN_FILE", "token").arg("list"), b"").ok().out.contains("region"));
}

#[test]
fn an_expired_and_a_revoked_token_list_nothing() {
    let world = filled();
    let expired = token(&world, &["old", "--scope", "deploy", "--expires", "1m"]);
    let revoked = token(&world, &["ci", "--scope", "deploy"]);
    world.run(&["token", "revoke", "ci"]).ok();
    world.advance(hours(1));
    held(&world, &expired, &["list"]).fails(6, "Token `old` expired on ");
    held(&world, &revoked, &["list"]).fails(4, "This token opens nothing here");
}

#[test]
fn unlock_and_status_count_the_keys_of_a_limited_session_alike() {
    let world = with_keys();
    world.run(&["disable", "c"]).ok();
    world
        .run(&["unlock", "--scope", "other", "--yes"])
        .prints("Unlocked 0 keys until 2040-05-17 09:00 (in 1h). `keyvault lock` ends the session.\n");
    world.run(&["status"]).prints(
        "
            vault        ~/.local/share/keyvault/vault.db
            session      limited to 0 keys until 2040-05-17 09:00 (in 1h)
        ",
    );
    assert_eq!(world.run(&["status", "--json"]).ok().json()["keys"], json!([]));
    owner(&world, &["enable", "c"]).ok();
    assert_eq!(world.run(&["status", "--json"]).ok().json()["keys"], json!(["c"]));
}
