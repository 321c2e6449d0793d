//! `issue`: keys for an API of our own, shown once, and everything about them afterwards.

use pretty_assertions::assert_eq;

use crate::harness::{Ran, World, days, hours};

/// A world with an issued key, and its text.
pub(crate) fn with_key(options: &[&str]) -> (World, String) {
    let world = World::own();
    let text = issue(&world, "acme/prod", options);
    (world, text)
}

/// Issues a key; its text.
pub(crate) fn issue(world: &World, name: &str, options: &[&str]) -> String {
    let ran = world.run(&[&["issue", name], options].concat()).ok();
    assert_eq!(ran.out.lines().count(), 1, "{}", ran.out);
    ran.out.trim_end().to_owned()
}

/// The id in a key's text.
pub(crate) fn id(text: &str) -> &str {
    text.rsplit('_').nth(1).unwrap()
}

/// Output with words in the place of ids.
pub(crate) fn named(out: &str, ids: &[(&str, &str)]) -> String {
    ids.iter().fold(out.to_owned(), |out, (id, word)| out.replace(id, word))
}

fn outcome(ran: &Ran) -> (i32, String) {
    (ran.code, ran.json()["outcome"].as_str().unwrap().to_owned())
}

pub(crate) fn verify(world: &World, text: &str) -> (i32, String) {
    outcome(&world.run_with_input(&["verify", "--json"], text))
}

#[test]
fn a_key_is_printed_once_alone_on_stdout_and_is_nowhere_in_the_file() {
    let world = World::own();
    let ran = world.run(&["issue", "acme/prod", "--scope", "orders:read", "--expires", "90d"]).ok();
    let text = ran.out.strip_suffix('\n').unwrap();
    let parts: Vec<_> = text.split('_').collect();
    assert_eq!((parts.len(), parts[0], parts[1], parts[2].len(), parts[3].len()), (4, "kv", "live", 12, 49));
    assert_eq!(
        named(&ran.err, &[(id(text), "ID")]),
        "Issued `acme/prod` with the id ID. It expires 2040-08-15 08:00 (in 90d). It is shown only once: hand it over now.\n"
    );
    assert_eq!(verify(&world, text), (0, "valid".to_owned()));
    let secret = &parts[3][..43];
    for (path, content) in world.every_file() {
        let has = content.windows(43).any(|window| window == secret.as_bytes());
        assert!(!has, "{} has the secret", path.display());
    }
}

#[test]
fn a_key_of_a_name_is_issued_once_and_no_held_key_shares_it() {
    let (world, _) = with_key(&[]);
    world.run(&["issue", "acme/prod"]).fails_with(
        6,
        "
            error: Key `acme/prod` was already issued. Its secret was shown once.
                   Nothing was changed. To get a new secret: keyvault rotate acme/prod
        ",
    );
    let exists = "
        error: Key `acme/prod` was already issued. Its secret was shown once.
               Nothing was changed. To get a new secret: keyvault rotate acme/prod
    ";
    world.run(&["generate", "acme/prod"]).fails_with(6, exists);
    world.run_with_input(&["add", "acme/prod"], "value").fails_with(6, exists);
    world.run(&["generate", "held"]).ok();
    world.run(&["edit", "held", "--rename", "acme/prod"]).fails_with(6, exists);
    world.run(&["copy", "held", "acme/prod"]).fails_with(6, exists);
    world.run_with_input(&["import", "-", "--prefix", "acme/"], "PROD=x\n");
    world.run(&["issue", "held"]).fails_with(
        6,
        "
            error: Key `held` already exists. It is a held key.
                   Nothing was changed. Choose another name.
        ",
    );
}

#[test]
fn commands_that_give_values_refuse_an_issued_key_and_say_why() {
    let (world, _) = with_key(&[]);
    world.run(&["generate", "held"]).ok();
    let no_value = "
        error: `acme/prod` is an issued key. The vault has no value for it, only a hash of its secret.
               To get a new secret: keyvault rotate acme/prod
    ";
    world.run(&["show", "acme/prod", "--reveal"]).fails_with(6, no_value);
    world.run(&["copy", "acme/prod", "acme/other"]).fails_with(6, no_value);
    world.run(&["rollback", "acme/prod"]).fails_with(6, no_value);
    let refused = "
        error: Cannot release the keys:
          acme/prod: an issued key, which has no value in the vault
               Leave out issued keys. `keyvault rotate acme/prod` makes a new secret, and shows it once.
    ";
    world.run(&["exec", "--only", "acme/prod", "--", "true"]).fails_with(125, refused);
    world.run(&["export", "--only", "acme/prod", "--format", "dotenv"]).fails_with(6, refused);
    assert_eq!(
        world.run(&["exec", "--all", "--", "sh", "-c", "echo ${HELD:+held}$ACME_PROD"]).ok().out,
        "held\n"
    );
}

#[test]
fn list_shows_held_keys_and_counts_issued_ones_and_the_option_shows_these() {
    let (world, text) = with_key(&["--scope", "orders:read,orders:write", "--expires", "90d"]);
    world.run(&["list"]).is(0, "", "1 issued key: `keyvault list --issued` lists them.\n");
    world.run(&["client", "add", "acme"]).ok();
    let other = issue(&world, "acme/test", &["--client", "acme", "--env", "test"]);
    assert!(other.starts_with("kv_test_"));
    world.run(&["generate", "held"]).ok();
    world.run(&["list", "--columns", "name"]).is(
        0,
        "NAME\nheld\n",
        "2 issued keys: `keyvault list --issued` lists them.\n",
    );
    world.advance(hours(2));
    let ids = [(id(&text), "ID0000000001"), (id(&other), "ID0000000002")];
    let listed = world.run(&["list", "--issued"]).ok().out;
    assert_eq!(
        named(&listed, &ids),
        crate::harness::text(
            "
            NAME       ID            CLIENT  SCOPES                     AGE  EXPIRES  STATUS
            acme/prod  ID0000000001  -       orders:read, orders:write   2h  in 90d   active
            acme/test  ID0000000002  acme    -                           2h  never    active
            "
        )
    );
    let of_client = world.run(&["list", "--issued", "--client", "acme", "--json"]).ok().json();
    assert_eq!(of_client["keys"].as_array().unwrap().len(), 1);
    assert_eq!(of_client["keys"][0]["name"], "acme/test");
    world.run(&["list", "--issued", "nothing/"]).is(0, "", "No matching issued keys.\n");
    let error = world.run(&["list", "--client", "acme"]);
    assert_eq!(error.code, 2, "{}", error.err);
}

#[test]
fn show_tells_all_about_a_key_by_its_name_or_id() {
    let world = World::own();
    world.run(&["client", "add", "acme", "--contact", "ops@acme.example", "--quota", "1M/month"]).ok();
    world.run(&["role", "add", "reader", "--scope", "orders:read,stock:read"]).ok();
    let options = [
        "--client",
        "acme",
        "--role",
        "reader",
        "--scope",
        "orders:write",
        "--expires",
        "90d",
        "--rate",
        "100/m",
        "--rate",
        "burst:20/s,cost=2",
        "--quota",
        "50K/day",
        "--cidr",
        "203.0.113.0/24",
        "--origin",
        "https://shop.example",
        "--method",
        "get",
        "--path",
        "/orders/*",
        "--app",
        "com.example.shop",
        "--display-name",
        "Shop",
        "--note",
        "for the shop",
        "--tag",
        "team=web",
    ];
    let text = issue(&world, "acme/prod", &options);
    let shown = world.run(&["show", "acme/prod"]).ok().out;
    assert_eq!(
        named(&shown, &[(id(&text), "ID")]),
        crate::harness::text(
            "
            name         acme/prod
            id           ID
            api          default, live
            client       acme
            display name Shop
            scopes       orders:write
            roles        reader
            tags         team=web
            note         for the shop
            status       active
            created      2040-05-17 08:00 (just now)
            expires      2040-08-15 08:00 (in 90d)
            rates        burst:20/s,cost=2, 100/m
            quotas       50K/day
            networks     203.0.113.0/24
            origins      https://shop.example
            methods      GET
            paths        /orders/*
            apps         com.example.shop
            "
        )
    );
    assert_eq!(world.run(&["show", id(&text)]).ok().out, shown);
}

#[test]
fn a_rotation_with_grace_leaves_the_old_secret_valid_until_then_and_never_past_its_expiry() {
    let (world, old) = with_key(&["--expires", "10d"]);
    world.advance(days(1));
    let ran = world.run(&["rotate", "acme/prod", "--grace", "24h"]).ok();
    let new = ran.out.trim_end().to_owned();
    assert_ne!(id(&old), id(&new));
    assert_eq!(
        named(&ran.err, &[(id(&new), "ID")]),
        "`acme/prod` has a new secret with the id ID; the old one stays valid until 2040-05-19 08:00 (in 1d). It is shown only once: hand it over now.\n"
    );
    for text in [&old, &new] {
        assert_eq!(verify(&world, text), (0, "valid".to_owned()));
    }
    world.advance(hours(25));
    assert_eq!(verify(&world, &old), (6, "expired".to_owned()));
    assert_eq!(verify(&world, &new), (0, "valid".to_owned()));
    // Nine days are left of the new one.
    world.advance(days(8));
    let last = world.run(&["rotate", "acme/prod", "--grace", "7d"]).ok().out.trim_end().to_owned();
    world.advance(days(2));
    assert_eq!(verify(&world, &new), (6, "expired".to_owned()));
    assert_eq!(verify(&world, &last), (0, "valid".to_owned()));
    let history = world.run(&["history", "acme/prod"]).ok().out;
    let ids = [(id(&old), "ID0000000001"), (id(&new), "ID0000000002"), (id(&last), "ID0000000003")];
    assert_eq!(
        named(&history, &ids),
        crate::harness::text(
            "
            ID            STATUS   AGE  VALID UNTIL  REASON
            ID0000000003  active    2d  in 8d
            ID0000000002  EXPIRED  11d  1d ago
            ID0000000001  EXPIRED  12d  10d ago
            "
        )
    );
}

#[test]
fn a_rotation_without_grace_ends_the_old_secret_at_once() {
    let (world, old) = with_key(&[]);
    let ran = world.run(&["rotate", "acme/prod"]).ok();
    assert!(ran.err.contains("; the old one is refused. It is shown only once"), "{}", ran.err);
    assert_eq!(verify(&world, &old), (6, "expired".to_owned()));
    assert_eq!(verify(&world, ran.out.trim_end()), (0, "valid".to_owned()));
    let stdin = world.run_with_input(&["rotate", "acme/prod", "--stdin"], "x");
    stdin.fails_with(
        2,
        "
            error: `--stdin` does not apply to issued keys.
                   Nothing was changed.
        ",
    );
}

#[test]
fn a_key_is_disabled_and_enabled_with_its_secrets_of_before_and_revoked_permanently() {
    let (world, old) = with_key(&[]);
    let new = world.run(&["rotate", "acme/prod", "--grace", "7d"]).ok().out.trim_end().to_owned();
    world.run(&["disable", "acme/prod", "--reason", "leaked?"]).is(
        0,
        "acme/prod is disabled; `keyvault enable acme/prod` enables it\n",
        "",
    );
    for text in [&old, &new] {
        assert_eq!(verify(&world, text), (6, "disabled".to_owned()));
    }
    world.run(&["disable", "acme/prod"]).is(0, "acme/prod was already disabled\n", "");
    // A rotation gives a disabled key nothing back.
    let third = world.run(&["rotate", "acme/prod"]).ok().out.trim_end().to_owned();
    assert_eq!(verify(&world, &third), (6, "disabled".to_owned()));
    world.run(&["enable", "acme/prod"]).is(0, "acme/prod is enabled\n", "");
    assert_eq!(verify(&world, &third), (0, "valid".to_owned()));
    world.run(&["revoke", "acme/prod", "--reason", "leaked"]).is(
        0,
        "acme/prod is revoked; `keyvault rotate acme/prod` gives it a new secret\n",
        "",
    );
    for text in [&old, &new, &third] {
        assert_eq!(verify(&world, text), (6, "revoked".to_owned()));
    }
    world.run(&["enable", "acme/prod"]).is(
        0,
        "acme/prod is revoked; `keyvault rotate acme/prod` gives it a new secret\n",
        "",
    );
    let back = world.run(&["rotate", "acme/prod"]).ok().out.trim_end().to_owned();
    assert_eq!(verify(&world, &back), (0, "valid".to_owned()));
    assert_eq!(verify(&world, &third), (6, "revoked".to_owned()));
}

#[test]
fn a_revoked_key_that_is_wiped_is_unknown_afterwards() {
    let (world, text) = with_key(&[]);
    world.run(&["revoke", "acme/prod", "--wipe"]).ok();
    assert_eq!(verify(&world, &text), (1, "not_found".to_owned()));
}

#[test]
fn a_removed_key_is_refused_leaves_its_name_and_comes_back_as_it_was() {
    let (world, text) = with_key(&["--scope", "orders:read"]);
    world.run(&["remove", "acme/prod", "--yes"]).is(
        0,
        "acme/prod is removed and refused from now on; `keyvault undelete acme/prod` brings it back until 2040-06-16 08:00\n",
        "",
    );
    assert_eq!(verify(&world, &text), (6, "disabled".to_owned()));
    world.run(&["list"]).is(
        0,
        "",
        "No keys yet. Create one with `keyvault generate NAME`, or import a file with `keyvault import .env`.\n",
    );
    world.run(&["list", "--issued"]).is(0, "", "No matching issued keys.\n");
    let removed = world.run(&["list", "--issued", "--removed"]).ok().out;
    assert!(removed.contains("acme/prod"), "{removed}");
    let other = issue(&world, "acme/prod", &[]);
    let taken = world.run(&["undelete", "acme/prod"]);
    assert_eq!(taken.code, 6, "{}", taken.err);
    world.run(&["undelete", "acme/prod", "--as", "acme/old"]).is(0, "acme/old is back\n", "");
    for text in [&text, &other] {
        assert_eq!(verify(&world, text), (0, "valid".to_owned()));
    }
    world.run(&["list"]).reports("2 issued keys: `keyvault list --issued` lists them.\n");
}

#[test]
fn a_removed_key_ends_after_thirty_days_with_the_next_change() {
    let (world, text) = with_key(&[]);
    world.run(&["remove", "acme/prod", "--yes"]).ok();
    world.advance(days(31));
    issue(&world, "other", &[]);
    assert_eq!(world.run(&["undelete", "acme/prod"]).code, 3);
    assert_eq!(verify(&world, &text), (1, "not_found".to_owned()));
}

#[test]
fn an_edit_changes_what_a_key_may_do_and_narrows_its_old_secret_too() {
    let (world, old) = with_key(&["--scope", "orders:read,orders:write"]);
    let new = world.run(&["rotate", "acme/prod", "--grace", "7d"]).ok().out.trim_end().to_owned();
    let edited = world
        .run(&[
            "edit",
            "acme/prod",
            "--unscope",
            "orders:write",
            "--cidr",
            "10.0.0.0/8",
            "--rename",
            "acme/live",
            "--json",
        ])
        .ok()
        .json();
    assert_eq!(edited["keys"][0]["scopes"], serde_json::json!(["orders:read"]));
    assert_eq!(edited["keys"][0]["cidrs"], serde_json::json!(["10.0.0.0/8"]));
    for text in [&old, &new] {
        let asked = ["verify", "--json", "--ip", "10.1.2.3", "--scope"];
        let write = world.run_with_input(&[&asked[..], &["orders:write"]].concat(), text);
        assert_eq!(outcome(&write), (6, "insufficient_permissions".to_owned()));
        assert_eq!(
            outcome(&world.run_with_input(&[&asked[..], &["orders:read"]].concat(), text)),
            (0, "valid".to_owned())
        );
        assert_eq!(verify(&world, text), (6, "forbidden".to_owned()));
    }
    world.run(&["edit", "acme/live", "--clear", "cidrs"]).ok();
    assert_eq!(verify(&world, &new), (0, "valid".to_owned()));
    assert_eq!(world.run(&["show", "acme/prod"]).code, 3);
    world.run(&["edit", "acme/live", "--owner", "x"]).fails_with(
        2,
        "
            error: `--owner` does not apply to issued keys.
                   Nothing was changed.
        ",
    );
    world.run(&["generate", "held"]).ok();
    let mixed = world.run(&["disable", "held", "acme/live"]);
    mixed.fails_with(
        2,
        "
            error: `acme/live` is an issued key, and `held` is not.
                   Nothing was changed. Name held and issued keys in separate commands.
        ",
    );
    assert_eq!(world.run(&["edit", "held", "--rate", "1/s"]).code, 2);
}

#[test]
fn the_log_says_what_became_of_issued_keys_and_leaves_held_ones_of_the_name_alone() {
    let (world, text) = with_key(&[]);
    world.run(&["disable", "acme/prod", "--reason", "leaked?"]).ok();
    world.run(&["enable", "acme/prod"]).ok();
    world.run(&["revoke", "acme/prod", "--reason", "leaked"]).ok();
    world.run(&["client", "add", "acme"]).ok();
    let log = world.run(&["audit", "log", "--action", "issue"]).ok().out;
    let words: Vec<_> = log.lines().map(|line| line.split_once("  (").unwrap().1.to_owned()).collect();
    let id = id(&text);
    assert_eq!(
        words,
        [
            format!("issued acme/prod ({id}))"),
            format!("disabled acme/prod ({id}), leaked?)"),
            format!("enabled acme/prod ({id}))"),
            format!("revoked acme/prod ({id}), leaked)"),
        ]
    );
    let log = world.run(&["audit", "log", "--action", "api"]).ok().out;
    assert!(log.trim_end().ends_with("(added client acme of API default)"), "{log}");
    assert_eq!(world.run(&["audit", "log", "--key", "acme/prod"]).ok().out.lines().count(), 4);
    world.run(&["vault", "check"]).ok();
}

#[test]
fn texts_that_a_record_does_not_keep_are_refused_with_their_option() {
    let (world, _) = with_key(&[]);
    let long = format!("x={}", "a".repeat(1025));
    for tag in ["x=a\nb", &long] {
        world.run(&["issue", "acme/other", "--tag", tag]).fails(2, "--tag");
        world.run(&["edit", "acme/prod", "--tag", tag]).fails(2, "`--tag` has");
    }
    world.run(&["issue", "acme/other", "--app", ""]).fails(2, "--app");
    world.run(&["edit", "acme/prod", "--app", ""]).fails(2, "--app");
    world.run(&["client", "add", "acme", "--app", ""]).fails(2, "--app");
    for empty in ["--origin", "--method", "--path"] {
        world.run(&["issue", "acme/other", empty, ""]).fails(2, empty);
    }
}

#[test]
fn a_rotation_by_scope_or_expiry_names_the_issued_keys_that_it_leaves_out() {
    let (world, _) = with_key(&["--scope", "ci", "--expires", "1h"]);
    let note = "Left out 1 issued key. To rotate by name: keyvault rotate acme/prod\n";
    world.run(&["generate", "held", "--scope", "ci"]).ok();
    assert!(world.run(&["rotate", "--scope", "ci"]).ok().err.contains(note));
    world.advance(hours(2));
    let ran = world.run(&["rotate", "--expired"]).ok();
    assert!(ran.err.contains(note), "{}{}", ran.out, ran.err);
    assert_eq!(world.run(&["rotate", "--expired", "--json"]).ok().err, "");
}

#[test]
fn a_removed_key_whose_name_was_issued_again_comes_back_under_another() {
    let (world, _) = with_key(&[]);
    world.run(&["remove", "acme/prod", "--yes"]).ok();
    issue(&world, "acme/prod", &[]);
    world.run(&["undelete", "acme/prod"]).fails(6, "keyvault undelete acme/prod --as NEW");
    world.run(&["undelete", "acme/prod", "--as", "acme/old"]).ok();
}

#[test]
fn a_check_and_a_rekey_count_issued_keys_apart() {
    let (world, _) = with_key(&[]);
    let ran = world.run(&["vault", "check"]).ok();
    assert!(ran.out.starts_with("0 keys, 1 issued key, "), "{}", ran.out);
    assert_eq!(world.run(&["vault", "check", "--json"]).ok().json()["issued_key_count"], 1);
}

#[test]
fn a_cost_above_the_burst_is_said_to_never_pass() {
    let (world, text) = with_key(&["--rate", "2/h"]);
    let ran = world.run_with_input(&["verify", "--cost", "3"], &text);
    assert!(
        ran.code == 6 && ran.out.ends_with("it never passes: the cost is above the burst\n"),
        "{}",
        ran.out
    );
    assert!(!world.run_with_input(&["verify", "--cost", "1"], &text).ok().out.contains("never"));
}

#[test]
fn a_verdict_does_not_say_the_same_word_twice() {
    let (world, text) = with_key(&[]);
    world.run(&["disable", "acme/prod"]).ok();
    let ran = world.run_with_input(&["verify"], &text);
    assert!(ran.out.starts_with("disabled: acme/prod"), "{}", ran.out);
}
