//! `client`, `role`, and `api`: owners of issued keys, sets of scopes, and the APIs that accept the keys.

use pretty_assertions::assert_eq;

use super::issue::{id, issue, named, verify};
use crate::harness::{World, text};

#[test]
fn a_client_has_limits_of_its_own_and_refuses_all_of_its_keys_while_it_is_disabled() {
    let world = World::own();
    let added = world
        .run(&[
            "client",
            "add",
            "acme",
            "--contact",
            "ops@acme.example",
            "--rate",
            "100/m",
            "--quota",
            "1M/month",
        ])
        .ok();
    assert_eq!(added.out, "client acme is added\n");
    let json = world.run(&["client", "show", "acme", "--json"]).ok().json();
    let client = json["id"].as_str().unwrap().to_owned();
    let card = world.run(&["client", "show", "acme"]).ok().out;
    assert_eq!(
        named(&card, &[(&client, "ID")]),
        text(
            "
            name         acme
            id           ID
            api          default
            contact      ops@acme.example
            keys         0
            status       active
            created      2040-05-17 08:00 (just now)
            rates        100/m
            quotas       1M/month
            "
        )
    );
    let key = issue(&world, "acme/prod", &["--client", "acme"]);
    let limits = world.run_with_input(&["verify", "--json"], &key).ok().json()["limits"].clone();
    assert_eq!((&limits[0]["counter"], &limits[0]["limit"]), (&"client".into(), &100.into()));
    world.run(&["client", "disable", "acme", "--reason", "unpaid"]).is(0, "client acme is disabled\n", "");
    assert_eq!(verify(&world, &key), (6, "disabled".to_owned()));
    world.run(&["client", "list"]).prints(
        "
            NAME  API      KEYS  CONTACT           AGE  STATUS
            acme  default     1  ops@acme.example   0s  DISABLED
        ",
    );
    world.run(&["client", "enable", "acme"]).is(0, "client acme is enabled\n", "");
    assert_eq!(verify(&world, &key), (0, "valid".to_owned()));
    world.run(&["client", "edit", "acme", "--rename", "acme-inc", "--clear", "rates,quotas"]).ok();
    assert_eq!(world.run(&["show", "acme/prod", "--json"]).ok().json()["client"], "acme-inc");
    world.run(&["client", "remove", "acme-inc"]).fails_with(
        6,
        "
            error: Client `acme-inc` still has 1 key.
                   Revoke them, or give them another client. `keyvault list --issued --client acme-inc` lists them.
        ",
    );
    world.run(&["edit", "acme/prod", "--client", ""]).ok();
    world.run(&["client", "remove", "acme-inc"]).is(0, "client acme-inc is removed\n", "");
    world.run(&["client", "show", "acme-inc"]).fails_with(
        3,
        "
            error: No client named `acme-inc`.
                   Add it first: keyvault client add acme-inc
        ",
    );
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_key_of_a_client_or_role_that_is_not_there_is_not_issued() {
    let world = World::own();
    world.run(&["client", "add", "acme"]).ok();
    world.run(&["issue", "x", "--client", "acmee"]).fails_with(
        3,
        "
            error: No client named `acmee`.
                   Did you mean `acme`? Add it first: keyvault client add acmee
        ",
    );
    world.run(&["issue", "x", "--role", "reader"]).fails_with(
        3,
        "
            error: No role named `reader`.
                   Add it first: keyvault role add reader --scope SCOPE
        ",
    );
    world.run(&["issue", "x", "--api", "shop"]).fails_with(
        3,
        "
            error: No API named `shop`.
                   Add it first: keyvault api add shop
        ",
    );
    world.run(&["client", "add", "acme"]).fails_with(
        6,
        "
            error: Client `acme` already exists.
                   Nothing was changed. Change it with `keyvault client edit acme`.
        ",
    );
    world.run(&["list", "--issued"]).is(0, "", "No matching issued keys.\n");
}

#[test]
fn a_role_gives_its_scopes_to_its_keys_as_it_is_now() {
    let world = World::own();
    world.run(&["role", "add", "reader", "--scope", "orders:read"]).ok();
    let key = issue(&world, "acme/prod", &["--role", "reader"]);
    let may = |scope: &str| world.run_with_input(&["verify", "--scope", scope], &key).code;
    assert_eq!((may("orders:read"), may("stock:read")), (0, 6));
    world.run(&["role", "edit", "reader", "--scope", "stock:read", "--unscope", "orders:read"]).ok();
    assert_eq!((may("orders:read"), may("stock:read")), (6, 0));
    world.run(&["role", "list"]).prints(
        "
            NAME    API      SCOPES      KEYS
            reader  default  stock:read     1
        ",
    );
    world.run(&["role", "remove", "reader"]).fails_with(
        6,
        "
            error: Role `reader` still has 1 key.
                   Revoke them, or take the role from them: keyvault edit NAME --unrole ROLE
        ",
    );
    world.run(&["edit", "acme/prod", "--unrole", "reader"]).ok();
    world.run(&["role", "remove", "reader"]).is(0, "role reader is removed\n", "");
    world.run(&["role", "list"]).is(
        0,
        "",
        "No roles yet. Add one with `keyvault role add NAME --scope SCOPE`.\n",
    );
    // The role that comes back under the name has what it is given now.
    world.run(&["role", "add", "reader", "--scope", "orders:read"]).ok();
    assert_eq!((may("orders:read"), may("stock:read")), (6, 6));
    world.run(&["vault", "check"]).ok();
}

#[test]
fn an_api_has_a_prefix_and_keys_of_its_own_and_the_first_key_makes_the_default_one() {
    let world = World::own();
    world.run(&["api", "list"]).is(0, "", "No APIs yet. Issue the first key with `keyvault issue NAME`.\n");
    let first = issue(&world, "first", &[]);
    world.run(&["api", "add", "shop", "--prefix", "shop", "--on-leak", "hold"]).ok();
    let second = issue(&world, "second", &["--api", "shop"]);
    assert!(first.starts_with("kv_live_") && second.starts_with("shop_live_"));
    world.run(&["api", "list"]).prints(
        "
            NAME     PREFIX  KEYS  CLIENTS  ON LEAK
            default  kv         1        0  alert
            shop     shop       1        0  hold
        ",
    );
    assert_eq!(world.run_with_input(&["verify", "--api", "default"], &second).code, 1);
    world.run(&["issue", "x", "--prefix", "acme"]).fails_with(
        6,
        "
            error: API `default` does not have the prefix `acme`.
                   Give it to the API first: keyvault api edit default --prefix acme
        ",
    );
    world.run(&["api", "edit", "default", "--prefix", "acme"]).ok();
    let third = issue(&world, "third", &[]);
    assert!(third.starts_with("acme_live_"));
    assert!(issue(&world, "fourth", &["--prefix", "kv"]).starts_with("kv_live_"));
    for key in [&first, &second, &third] {
        assert_eq!(verify(&world, key), (0, "valid".to_owned()));
    }
    assert_ne!(id(&first)[..2], id(&second)[..2]);
    world.run(&["issue", "second"]).fails(6, "already issued");
    world.run(&["vault", "check"]).ok();
}

#[test]
fn issued_keys_survive_a_rekey_and_a_restore_brings_no_revoked_one_back() {
    let world = World::own();
    let key = issue(&world, "acme/prod", &["--rate", "100/m"]);
    let other = issue(&world, "acme/other", &[]);
    let backup = world.home().join("backup");
    world.run(&["vault", "backup", backup.to_str().unwrap()]).ok();
    world.run(&["revoke", "acme/prod"]).ok();
    world.run(&["vault", "restore", backup.to_str().unwrap(), "--yes"]).ok();
    assert_eq!(verify(&world, &key), (6, "revoked".to_owned()));
    world.run(&["vault", "rekey", "--keep-passphrase", "--no-recovery", "--yes"]).ok();
    assert_eq!(verify(&world, &key), (6, "revoked".to_owned()));
    assert_eq!(verify(&world, &other), (0, "valid".to_owned()));
    world.run(&["list"]).reports("2 issued keys: `keyvault list --issued` lists them.\n");
}

#[test]
fn a_revoked_key_whose_client_was_removed_gets_no_new_secret_that_would_be_refused() {
    let world = World::own();
    world.run(&["client", "add", "acme"]).ok();
    issue(&world, "acme/prod", &["--client", "acme"]);
    world.run(&["revoke", "acme/prod"]).ok();
    world.run(&["client", "remove", "acme"]).ok();
    world.run(&["rotate", "acme/prod"]).fails_with(
        6,
        "
            error: The client of `acme/prod` was removed, so a new secret would be refused.
                   Nothing was changed. Give it another client first: keyvault edit acme/prod --client CLIENT
        ",
    );
    world.run(&["edit", "acme/prod", "--client", ""]).ok();
    let new = world.run(&["rotate", "acme/prod"]).ok().out;
    assert_eq!(verify(&world, new.trim_end()).0, 0);
}
