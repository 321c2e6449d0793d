//! `token edit`: other grants and another expiry under the secret that the bearer has.

use pretty_assertions::assert_eq;
use serde_json::{Value, json};

use crate::harness::bearer::{ENV, held, seen, token, with_keys};
use crate::harness::vault_file::tamper;
use crate::harness::{PASSPHRASE, hours, minutes};

#[test]
fn scopes_and_keys_come_and_go_and_the_secret_stays() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    let env = || seen(held(&world, &token, &ENV));
    world.run(&["token", "edit", "ci", "--scope", "other", "--key", "d"]).prints(
        "
            name  ci
            scopes  deploy, other
            keys  a, b, c, d
            status  active
            created  2040-05-17 08:00 (just now) by ada@host
            expires  never
            reads  0
        ",
    );
    assert_eq!(env(), ["A=value-a", "B=value-b", "C=value-c", "D=value-d"]);
    let edited = world.run(&["token", "edit", "ci", "--unscope", "deploy", "--no-key", "d"]).ok();
    assert_eq!(
        edited.err,
        "Anyone with the token and an older copy of the vault or a bundle can still read the values that it no longer opens. To end that:\n  keyvault rotate NAME, with its new value, for each of: a b d\n"
    );
    assert_eq!(env(), ["C=value-c"]);
    // The grants follow the keys as before.
    world.run_with_input(&["rotate", "c"], "value-c2").ok();
    world.run_with_input(&["rotate", "a"], "value-a2").ok();
    assert_eq!(env(), ["C=value-c2"]);
    world.run(&["vault", "check"]).ok();
    world.run(&["audit", "verify"]).ok();
}

#[test]
fn a_new_expiry_holds_from_then_on_and_can_be_taken_back_in_time() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy", "--expires", "1h"]);
    let json = world.run(&["token", "edit", "ci", "--expires", "3h", "--json"]).ok().json();
    assert_eq!(json["expires"], "2040-05-17T11:00:00.000Z");
    world.advance(hours(2));
    assert_eq!(seen(held(&world, &token, &ENV)).len(), 2);
    let mut owner = world;
    owner.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    owner.run(&["token", "edit", "ci", "--expires", "1m"]).ok();
    owner.advance(minutes(2));
    held(&owner, &token, &ENV).fails(125, "Token `ci` expired on 2040-05-17 10:01.");
    // It is over, and an edit does not bring it back.
    for change in [["--expires", "never"], ["--scope", "other"]] {
        owner.run(&["token", "edit", "ci", change[0], change[1]]).fails_with(6, "
                error: Token `ci` expired on 2040-05-17 10:01.
                       The vault's owner can replace it: keyvault token revoke ci, then keyvault token create ci --scope SCOPE
            ");
    }
    owner.run(&["vault", "check"]).ok();
}

#[test]
fn json_is_that_of_token_show() {
    let world = with_keys();
    token(&world, &["ci", "--scope", "deploy"]);
    let edited = world.run(&["token", "edit", "ci", "--key", "c", "--json"]).ok();
    assert_eq!(edited.json(), world.run(&["token", "show", "ci", "--json"]).ok().json());
    assert_eq!(edited.json()["keys"], json!(["a", "b", "c"]));
}

#[test]
fn the_log_tells_what_an_edit_changed() {
    let world = with_keys();
    token(&world, &["ci", "--scope", "deploy", "--key", "d"]);
    let edit = ["token", "edit", "ci", "--scope", "other", "--unscope", "deploy", "--no-key", "d"];
    world.run(&[&edit[..], &["--expires", "2040-06-01"]].concat()).ok();
    world.run(&["token", "edit", "ci", "--expires", "never"]).ok();
    let log = world.run(&["audit", "log", "--action", "token", "--json"]).ok().out;
    let told: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [.., first, second] = told.as_slice() else { panic!("{log}") };
    assert_eq!(
        (&first["detail"], &second["detail"]),
        (
            &"edited ci, scopes +other -deploy, keys -d, expires 2040-06-01 00:00".into(),
            &"edited ci, expires never".into()
        )
    );
    let names = |event: &Value| -> Vec<_> {
        event["keys"].as_array().unwrap().iter().map(|key| key["name"].clone()).collect()
    };
    assert_eq!((names(first), names(second)), (vec!["a".into(), "b".into(), "c".into(), "d".into()], vec![]));
}

#[test]
fn a_key_that_a_scope_grants_is_said_to_be_granted_still() {
    let world = with_keys();
    token(&world, &["ci", "--scope", "deploy", "--key", "a"]);
    let edited = world.run(&["token", "edit", "ci", "--no-key", "a"]).ok();
    assert_eq!(edited.err, "warning: A scope of token `ci` still grants it `a`.\n");
    world.run(&["token", "edit", "ci", "--no-key", "a"]).fails_with(6, "
            error: Token `ci` is granted `a` by the scope `deploy`, and not by name.
                   Take the scope from the key with `keyvault edit a --unscope deploy`, or from the token with `keyvault token edit ci --unscope deploy`.
        ");
    let edited = world.run(&["token", "edit", "ci", "--scope", "later"]).ok();
    assert_eq!(
        edited.err,
        "warning: No key has the scope `later` yet. The token will open any key that is given this scope.\n"
    );
}

#[test]
fn an_edit_that_cannot_be_made_changes_nothing() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    let before = world.run(&["token", "show", "ci", "--json"]).ok();
    for (arguments, code, said) in [
        (&[][..], 2, "No change given."),
        (&["--unscope", "other"], 3, "Token `ci` does not have the scope `other`."),
        (&["--no-key", "d"], 3, "Token `ci` is not granted `d`."),
        (&["--key", "missing"], 3, "missing"),
        (&["--unscope", "deploy"], 6, "Token `ci` would have neither a scope nor a key."),
        (&["--expires", "2020-01-01"], 2, ""),
    ] {
        world.run(&[&["token", "edit", "ci"], arguments].concat()).fails(code, said);
    }
    world.run(&["token", "edit", "cd", "--scope", "other"]).fails(3, "No token named `cd`.");
    assert_eq!(world.run(&["token", "show", "ci", "--json"]).ok(), before);
    assert_eq!(seen(held(&world, &token, &ENV)).len(), 2);
    world.run(&["token", "revoke", "ci"]).ok();
    world.run(&["token", "edit", "ci", "--scope", "other"]).fails_with(
        6,
        "
            error: Token `ci` is revoked.
                   Create another: keyvault token create ci --scope SCOPE
        ",
    );
}

#[test]
fn grants_that_someone_altered_are_told_and_written_as_they_should_be() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    tamper(&world, "DELETE FROM token_grant WHERE key = (SELECT key FROM token_grant LIMIT 1)");
    let edited = world.run(&["token", "edit", "ci", "--scope", "other"]).ok();
    assert!(edited.err.contains("Someone altered the grants of token `ci`"), "{}", edited.err);
    assert_eq!(seen(held(&world, &token, &ENV)), ["A=value-a", "B=value-b", "C=value-c"]);
    world.run(&["vault", "check"]).ok();
}

/// A backup from before an edit must not give back what the edit took.
#[test]
fn a_restore_revokes_a_token_that_was_narrowed_since_and_keeps_one_that_was_widened() {
    let mut world = with_keys();
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    let narrowed = token(&world, &["narrow", "--scope", "deploy", "--key", "d"]);
    let widened = token(&world, &["wide", "--scope", "deploy"]);
    world.run(&["vault", "backup", "b"]).ok();
    world.run(&["token", "edit", "narrow", "--no-key", "d"]).ok();
    world.run(&["token", "edit", "wide", "--key", "d", "--expires", "never"]).ok();
    world.run(&["vault", "restore", "b", "--yes"]).ok();
    let status = |name: &str| world.run(&["token", "show", name, "--json"]).ok().json()["status"].clone();
    assert_eq!((status("narrow"), status("wide")), ("revoked".into(), "active".into()));
    held(&world, &narrowed, &ENV).fails(125, "This token opens nothing here");
    assert_eq!(seen(held(&world, &widened, &ENV)), ["A=value-a", "B=value-b"]);
}
