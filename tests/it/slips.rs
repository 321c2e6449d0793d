//! Slips of the fingers, each answered with what was meant and a way on.

use pretty_assertions::assert_eq;

use crate::harness::bearer::{held, token, with_keys};
use crate::harness::{Ran, World};

#[test]
fn an_unknown_key_or_token_is_not_an_empty_audit_log() {
    let world = with_keys();
    world.run(&["generate", "stripe/live"]).ok();
    world.run(&["generate", "stripe/old"]).ok();
    world.run(&["edit", "stripe/old", "--rename", "stripe/older"]).ok();
    world.run(&["remove", "d", "--yes"]).ok();
    token(&world, &["ci", "--scope", "deploy"]);
    world.run(&["audit", "log", "--key", "stripe/lvie"]).fails_with(
        3,
        "
            error: No key named `stripe/lvie`.
                   Did you mean `stripe/live`? Run `keyvault list` to see all keys.
        ",
    );
    world.run(&["audit", "log", "--token", "cii", "--json"]).fails_with(
        3,
        r#"
            {"error":{"kind":"not_found","message":"No token named `cii`.","hint":"Did you mean `ci`? Run `keyvault token list` to see all tokens."}}
        "#,
    );
    // Keys that were removed or renamed have entries, and a key without a matching one has none.
    for gone in ["d", "stripe/old"] {
        assert!(world.run(&["audit", "log", "--key", gone]).ok().out.contains(gone));
    }
    world.run(&["audit", "log", "--key", "a", "--action", "rotate"]).is(0, "", "No matching entries.\n");
    world.run(&["audit", "log", "--token", "ci"]).is(0, "", "No matching entries.\n");
}

#[test]
fn entries_are_aligned_whatever_their_numbers() {
    let world = with_keys();
    let ci = token(&world, &["ci", "--scope", "deploy"]);
    held(&world, &ci, &["exec", "--", "true"]).ok();
    world.run(&["exec", "--only", "a", "--", "true"]).ok();
    let log = world.run(&["audit", "log"]).ok().out;
    let columns: Vec<_> = log.lines().map(|line| line.find("2040-05-17").unwrap()).collect();
    assert!(columns.len() > 7 && columns.iter().all(|column| *column == columns[0]), "{log}");
}

#[test]
fn a_destructive_command_suggests_a_slip_and_nothing_that_is_merely_alike() {
    let world = World::new();
    world.run(&["generate", "backup/primary-key"]).ok();
    world.run(&["generate", "stripe/live"]).ok();
    let alike = "backup/primary-key-2026";
    let suggests = |verb: &[&str], name: &str, key: &str| {
        let ran = world.run(&[verb, &[name]].concat()).fails(3, name);
        ran.err.contains(&format!("Did you mean `{key}`?"))
    };
    assert!(suggests(&["show"], alike, "backup/primary-key"));
    for verb in [&["remove", "--yes"][..], &["remove", "--wipe", "--yes"], &["revoke"]] {
        assert!(!suggests(verb, alike, "backup/primary-key"), "{verb:?}");
        assert!(suggests(verb, "stripe/lvie", "stripe/live"), "{verb:?}");
    }
}

#[test]
fn a_token_that_is_not_there_finds_the_one_that_was_meant() {
    let world = with_keys();
    token(&world, &["ci", "--scope", "deploy"]);
    let remedy = "       Did you mean `ci`? Run `keyvault token list` to see all tokens.\n";
    for verb in ["revoke", "renew", "show"] {
        world.run(&["token", verb, "cii"]).fails_with(3, &format!("error: No token named `cii`.\n{remedy}"));
    }
    let created = world.run(&["token", "create", "other", "--scope", "deplyo"]).ok();
    assert!(
        created.err.ends_with(
            "warning: No key has the scope `deplyo` yet. Did you mean `deploy`? The token will open any key that is given \
             this scope.\n"
        ),
        "{}",
        created.err
    );
}

#[test]
fn quotes_lists_and_numbers_without_a_unit_are_recognized() {
    let world = with_keys();
    let hint = |arguments: &[&str]| {
        let ran = world.run(arguments);
        (ran.code, ran.err.lines().last().unwrap_or_default().trim().to_owned())
    };
    let usage = |hint: &str| (2, hint.to_owned());
    assert_eq!(hint(&["show", "'a'"]), usage("Leave out the quotes: a"));
    assert_eq!(hint(&["edit", "a", "--scope", "\"deploy\""]), usage("Leave out the quotes: deploy"));
    assert_eq!(hint(&["token", "revoke", "`ci`"]), usage("Leave out the quotes: ci"));
    assert_eq!(hint(&["show", "'ghp_16C7e42F292c6912E7710c838347Ae178B4a'"]), usage("Leave out the quotes."));
    assert_eq!(hint(&["edit", "a", "--expires", "30"]), usage("Did you mean `30d`?"));
    assert_eq!(hint(&["unlock", "--for", "8"]), usage("Did you mean `8h`?"));
    assert_eq!(hint(&["unlock", "--for", "3", "hours"]), usage("Write a duration as one word: 3h"));
    assert_eq!(hint(&["rotate", "a", "--grace", "2", "days"]), usage("Did you mean `2d`?"));
    assert_eq!(
        hint(&["import", "shop", ".env"]),
        usage("`import` takes one file. To choose how the names begin: keyvault import FILE --prefix TEXT/")
    );
    let listed = world.run(&["exec", "--only", "a,b", "--", "sh", "-c", "echo $A $B"]).ok();
    assert_eq!(listed.out, "value-a value-b\n");
    let ci = token(&world, &["ci", "--key", "a,c"]);
    assert_eq!(held(&world, &ci, &["export", "--format", "docker"]).ok().out, "A=value-a\nC=value-c\n");
    held(&world, &format!("'{ci}'"), &["list"]).fails_with(
        4,
        "
        error: The token is in quotes.
               Set it without them: docker's `--env-file`, for one, passes quotes on.
        ",
    );
}

#[test]
fn a_command_without_dashes_is_shown_with_them() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    let example = |arguments: &[&str]| {
        let ran = world.run(&[&["exec"], arguments].concat()).fails(125, "error:");
        ran.err.lines().last().unwrap_or_default().trim().to_owned()
    };
    assert_eq!(example(&["npm", "start"]), "For example: keyvault exec --only NAME -- npm start");
    assert_eq!(example(&["--all", "npm", "start"]), "For example: keyvault exec --all -- npm start");
    assert_eq!(example(&["--scope", "dev"]), "For example: keyvault exec --scope dev -- npm start");
    assert_eq!(
        example(&["login", "ghp_16C7e42F292c6912E7710c838347Ae178B4a"]),
        "For example: keyvault exec --only NAME -- COMMAND"
    );
    world.run(&["project", "add", "a"]).ok();
    assert_eq!(example(&["npm", "start"]), "For example: keyvault exec -- npm start");
}

#[test]
fn a_bundle_that_is_there_is_updated() {
    let world = with_keys();
    token(&world, &["ci", "--scope", "deploy"]);
    let create = ["bundle", "create", "--token", "ci", "-o", "keys.kvb"];
    world.run(&create).ok();
    world.run(&create).fails_with(
        6,
        "
        error: keys.kvb already exists and was not changed.
               To update a bundle: keyvault bundle update 'keys.kvb'
               If its token was renewed or revoked: rm 'keys.kvb' && keyvault bundle create --token ci -o 'keys.kvb'
               Otherwise choose another name.
        ",
    );
}

#[test]
fn a_project_file_gets_no_key_by_a_slip() {
    let world = World::new();
    world.run(&["generate", "shop/TOKEN"]).ok();
    let add = |arguments: &[&str]| -> Ran { world.run(&[&["project", "add"], arguments].concat()) };
    add(&["shop/TOKNE"]).fails_with(
        3,
        "
            error: No key named `shop/TOKNE`.
                   Did you mean `shop/TOKEN`? Run `keyvault list` to see all keys.
                   If the name is right, add the key first, or confirm the name with `--yes`.
        ",
    );
    assert!(!world.path().join(".keyvault.toml").exists());
    // A colleague may have it.
    let added = add(&["shop/LATER", "--yes"]).ok();
    assert!(added.out.ends_with("SHOP_LATER <- shop/LATER\n"), "{}", added.out);
    assert!(added.err.ends_with("warning: No key `shop/LATER` yet. Add it: keyvault add shop/LATER\n"));
    add(&["shop/TOKEN"]).ok();
}

#[test]
fn a_token_that_opens_too_little_is_told_both_ways_out() {
    let world = with_keys();
    for key in ["a", "c", "d"] {
        world.run(&["project", "add", key]).ok();
    }
    let ci = token(&world, &["ci", "--scope", "deploy"]);
    held(&world, &ci, &["exec", "--", "true"]).fails_with(
        125,
        "
            error: Cannot release the keys:
              C <- c: not granted to token `ci`
              D <- d: not granted to token `ci`
                   Choose what the token opens, for example with `--only NAME`; `keyvault list` shows it (`keyvault list --bundle FILE` where no vault is).
                   Or have the vault's owner grant it more, and update its bundle if it has one:
                     keyvault token edit ci --key c --key d
                     keyvault bundle update FILE
        ",
    );
    held(&world, &ci, &["exec", "--only", "a", "--", "true"]).ok();
    held(&world, &ci, &["--vault", "nowhere.db", "list"]).fails_with(3, "
            error: No vault at ~/nowhere.db.
                   A token opens its keys in a vault or in a bundle. Name the bundle with `--bundle FILE` or KEYVAULT_BUNDLE, or the vault with `--vault` or KEYVAULT_VAULT.
        ");
}

#[test]
fn a_change_names_the_tokens_whose_bundles_are_behind() {
    let world = with_keys();
    token(&world, &["ci", "--scope", "deploy"]);
    token(&world, &["ops", "--key", "a"]);
    token(&world, &["gone", "--key", "a"]);
    world.run(&["token", "revoke", "gone"]).ok();
    let update = "Update it: keyvault bundle update FILE\n";
    world.run_with_input(&["rotate", "b"], "new").is(
        0,
        "b is now at version 2\n",
        &format!("Any bundle of token `ci` still holds the old value. {update}"),
    );
    world.run(&["revoke", "a"]).is(
        0,
        "a is revoked; `keyvault rotate a` gives it a new value\n",
        &format!("Any bundle of tokens `ci`, `ops` still holds what was revoked. {update}"),
    );
    world.run(&["revoke", "d"]).is(0, "d is revoked; `keyvault rotate d` gives it a new value\n", "");
    world.run(&["rollback", "a"]).fails_with(
        6,
        "
            error: `a` has no older version to return to.
                   A revoked version cannot come back. Give the key a new value: keyvault rotate a
        ",
    );
}

#[test]
fn a_check_names_the_profiles() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    world.run(&["project", "add", "a"]).ok();
    assert_eq!(world.run(&["project", "check"]).ok().err, "");
    world.run(&["project", "add", "--as", "A=a", "--profile", "prod"]).ok();
    assert_eq!(
        world.run(&["project", "check"]).ok().err,
        "Profiles: `prod`. Check one with `--profile PROFILE`.\n"
    );
    assert_eq!(world.run(&["project", "check", "--profile", "prod"]).ok().err, "");
}

#[test]
fn a_change_is_confirmed_on_stdout_in_a_line_for_each_key() {
    let world = World::own();
    let confirmed = |arguments: &[&str], line: &str| {
        world.run(arguments).is(0, line, "");
    };
    confirmed(
        &["generate", "a", "--scope", "dev,ops", "--expires", "30d"],
        "a is generated (token, 256 bits of entropy); variable A; scopes dev, ops; expires 2040-06-16 08:00 (in 30d)\n",
    );
    confirmed(
        &["copy", "a", "b"],
        "b is a copy of a; variable B; scopes dev, ops; expires 2040-06-16 08:00 (in 30d)\n",
    );
    confirmed(
        &["edit", "a", "b", "--unscope", "ops", "--expires", "never", "--owner", "web", "--note", ""],
        "a is changed: scope dev; never expires; no note; owner web\n\
         b is changed: scope dev; never expires; no note; owner web\n",
    );
    confirmed(&["edit", "b", "--rename", "c"], "b is renamed to c; its variable stays B\n");
    confirmed(
        &["remove", "c", "--yes"],
        "c is removed with 1 version; `keyvault undelete c` brings it back until 2040-06-16 08:00\n",
    );
    confirmed(&["undelete", "c"], "c is back with 1 version; it was removed just now\n");
    confirmed(&["remove", "c", "--wipe", "--yes"], "c is wiped with 1 version\n");
    let unlocked = world.run(&["unlock"]).ok();
    assert!(unlocked.out.starts_with("Unlocked until 2040-05-17 09:00 (in 1h).") && unlocked.err.is_empty());
    confirmed(&["lock"], "Locked.\n");
    assert_eq!(world.run(&["edit", "a", "--note", "x", "--quiet"]).ok().out, "");
}

#[test]
fn units_in_words_patterns_and_options_of_other_tools_are_recognized() {
    let world = with_keys();
    let hint = |arguments: &[&str]| {
        let ran = world.run(arguments);
        assert!(ran.code == 2 || ran.code == 125, "{arguments:?}");
        ran.err.lines().last().unwrap_or_default().trim().to_owned()
    };
    for (typed, meant) in
        [("90days", "90d"), ("24hours", "24h"), ("2days", "2d"), ("90 d", "90d"), ("1Y", "1y")]
    {
        assert_eq!(hint(&["edit", "a", "--expires", typed]), format!("Did you mean `{meant}`?"));
    }
    assert_eq!(hint(&["edit", "a", "--expires", "5M"]), "There is no unit for months. Did you mean `150d`?");
    assert_eq!(hint(&["token", "delete", "ci"]), "Use `keyvault token revoke NAME`.");
    assert_eq!(hint(&["exec", "-p", "prod", "--", "true"]), "Did you mean `--profile`?");
    let option = hint(&["exec", "--env", "FOO=a", "--", "true"]);
    assert_eq!(option, "A variable that is not secret is set in the shell: VAR=… keyvault exec -- COMMAND");
    assert_eq!(hint(&["show", "shop/*"]), "There are no patterns; name each key.");
    assert_eq!(hint(&["list", "--scope", "de*"]), "There are no patterns; name each scope.");
    assert_eq!(hint(&["project", "add", "shop/DEBUG=DEBUG"]), "Did you mean `--as DEBUG=shop/DEBUG`?");
}
