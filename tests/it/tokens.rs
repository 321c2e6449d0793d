//! Tokens: what they open, what they do not, and what their owner sees of it.

use rusqlite::Connection;

use crate::harness::bearer::{ENV, held, seen, token, with_keys};
use crate::harness::vault_file::{beside, put_back, tamper};
use crate::harness::{KEYVAULT, PASSPHRASE, World, finish, minutes, no_key};

/// A check that finds this, and says so.
fn finds(world: &World, what: &str) {
    let checked = world.run(&["vault", "check"]);
    assert!(checked.code == 5 && checked.out.contains(what), "{}: {}", checked.code, checked.out);
}

#[test]
fn a_token_opens_what_it_was_granted_and_exec_needs_no_choice() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy", "--key", "d"]);
    assert!(token.starts_with("kvt_") && token.len() == 75, "{token}");
    assert_eq!(seen(held(&world, &token, &ENV)), ["A=value-a", "B=value-b", "D=value-d"]);
    assert_eq!(seen(held(&world, &token, &["exec", "--only", "b", "--", "env"])), ["B=value-b"]);
    assert_eq!(seen(held(&world, &token, &["exec", "--as", "X=a", "--", "env"])), ["X=value-a"]);
    let dry = held(&world, &token, &["exec", "--scope", "deploy", "--dry-run", "--", "env"]).ok();
    assert_eq!(dry.out, "A <- a\nB <- b\n");
    assert_eq!(held(&world, &token, &["export", "--format", "json"]).ok().json()["D"], "value-d");
    // A key that was not granted gets the report of a key that never was.
    held(&world, &token, &["exec", "--only", "c", "--", "env"]).fails_with(
        125,
        "
            error: Cannot release the keys:
              c: not granted to token `ci`
                   Choose what the token opens, for example with `--only NAME`; `keyvault list` shows it (`keyvault list --bundle FILE` where no vault is).
                   Or have the vault's owner grant it more, and update its bundle if it has one:
                     keyvault token edit ci --key c
                     keyvault bundle update FILE
        ",
    );
    held(&world, &token, &["exec", "--scope", "other", "--", "env"]).fails_with(
        125,
        "
            error: Cannot release the keys:
              scope other: no key granted to token `ci` has it
                   Choose what the token opens, for example with `--only NAME`; `keyvault list` shows it (`keyvault list --bundle FILE` where no vault is).
                   Or have the vault's owner grant it more, and update its bundle if it has one:
                     keyvault token edit ci --scope SCOPE
                     keyvault bundle update FILE
        ",
    );
}

#[test]
fn grants_follow_every_change_of_the_keys() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy", "--key", "d"]);
    let env = || seen(held(&world, &token, &ENV));
    world.run_with_input(&["add", "e", "--scope", "deploy"], "value-e").ok();
    assert_eq!(env(), ["A=value-a", "B=value-b", "D=value-d", "E=value-e"]);
    world.run_with_input(&["rotate", "a", "--grace", "1h"], "value-a2").ok();
    assert_eq!(env(), ["A=value-a2", "B=value-b", "D=value-d", "E=value-e"]);
    assert_eq!(seen(held(&world, &token, &["exec", "--previous", "a", "--", "env"])), ["A=value-a"]);
    world.run(&["edit", "b", "--unscope", "deploy"]).ok();
    world.run(&["edit", "c", "--scope", "deploy"]).ok();
    world.run(&["edit", "d", "--rename", "dd", "--env", "DD"]).ok();
    assert_eq!(env(), ["A=value-a2", "C=value-c", "DD=value-d", "E=value-e"]);
    world.run(&["remove", "e", "--yes"]).ok();
    world.run(&["revoke", "c"]).ok();
    assert_eq!(env(), ["A=value-a2", "DD=value-d"]);
    held(&world, &token, &["exec", "--only", "c", "--", "env"]).fails_with(
        125,
        "
            error: Cannot release the keys:
              c: revoked
                   Give a revoked key a new value with `keyvault rotate c`.
        ",
    );
    world.run(&["rollback", "a"]).ok();
    assert_eq!(env(), ["A=value-a", "DD=value-d"]);
    world.run(&["edit", "a", "--expires", "2020-01-01"]).ok();
    held(&world, &token, &ENV).fails_with(
        125,
        "
            error: Cannot release the keys:
              a: expired on 2020-01-01 00:00
                   Extend expired keys (`keyvault edit a --expires 30d`), or leave them out (`--skip-expired`).
        ",
    );
    world.run(&["vault", "check"]).ok();
}

#[test]
fn the_owner_sees_who_read_what_and_what_a_revoked_token_could_read() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy", "--expires", "30d"]);
    held(&world, &token, &ENV).ok();
    world.run(&["token", "list"]).prints(
        "
            NAME  SCOPES  KEYS  AGE  EXPIRES  LAST READ  STATUS
            ci    deploy     2   0s  in 30d   just now   active
        ",
    );
    world
        .run(&["audit", "log", "--key", "a", "--action", "exec"])
        .prints("ci:0  2040-05-17 08:00  exec  ada@host tests -  a v1, b v1  (env)\n");
    let shown = world.run(&["token", "show", "ci", "--json"]).ok().json();
    assert_eq!(shown["keys"], serde_json::json!(["a", "b"]));
    assert_eq!(shown["reads"][0]["keys"][1]["name"], "b");
    world.run(&["generate", "g", "--scope", "deploy"]).ok();
    // Values that were typed are not in the command that generates anew, which would refuse all of them.
    world.run(&["token", "revoke", "ci"]).is(
        0,
        "Token `ci` is revoked.\n",
        "
            Anyone with the token and a copy of the vault or a bundle can still read today's values. To end that:
              keyvault rotate g
              keyvault rotate NAME, with its new value, for each of: a b
            Keys that it was granted before, and no longer, are in the log: keyvault audit log --action token
            Bundles of the token can no longer be updated: create them again for another token.
        ",
    );
    held(&world, &token, &ENV).fails_with(
        125,
        "
            error: This token opens nothing here: it was revoked or renewed, or belongs to another vault.
                   The vault's owner can see its tokens with `keyvault token list`.
        ",
    );
    assert_eq!(world.run(&["token", "show", "ci", "--json"]).ok().json()["status"], "revoked");
    world.run(&["token", "revoke", "ci"]).fails_with(
        6,
        "
            error: Token `ci` is revoked.
                   Create another: keyvault token create ci --scope SCOPE
        ",
    );
    world.run(&["token", "show", "cd"]).fails_with(
        3,
        "
            error: No token named `cd`.
                   Run `keyvault token list` to see all tokens.
        ",
    );
    world.run(&["vault", "check"]).ok();
    // The name is free again.
    let second = self::token(&world, &["ci", "--key", "c"]);
    assert_eq!(seen(held(&world, &second, &ENV)), ["C=value-c"]);
    held(&world, &token, &ENV).fails_with(
        125,
        "
            error: This token opens nothing here: it was revoked or renewed, or belongs to another vault.
                   The vault's owner can see its tokens with `keyvault token list`.
        ",
    );
}

#[test]
fn a_renewed_token_and_a_rekeyed_one_open_under_the_new_secret_alone() {
    let mut world = with_keys();
    let first = token(&world, &["ci", "--scope", "deploy"]);
    held(&world, &first, &ENV).ok();
    let second = world.run(&["token", "renew", "ci"]).ok().out.trim_end().to_owned();
    held(&world, &first, &ENV).fails_with(
        125,
        "
            error: This token opens nothing here: it was revoked or renewed, or belongs to another vault.
                   The vault's owner can see its tokens with `keyvault token list`.
        ",
    );
    assert_eq!(seen(held(&world, &second, &ENV)), ["A=value-a", "B=value-b"]);
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    let rekeyed =
        world.run(&["vault", "rekey", "--keep-passphrase", "--no-recovery", "--yes", "--json"]).ok().json();
    let third = rekeyed["tokens"][0]["token"].as_str().unwrap().to_owned();
    held(&world, &second, &ENV).fails_with(
        125,
        "
            error: This token opens nothing here: it was revoked or renewed, or belongs to another vault.
                   The vault's owner can see its tokens with `keyvault token list`.
        ",
    );
    assert_eq!(seen(held(&world, &third, &ENV)), ["A=value-a", "B=value-b"]);
    let reads = world.run(&["token", "show", "ci", "--json"]).ok().json()["reads"].as_array().unwrap().len();
    assert_eq!(reads, 3, "what was read before stays known");
    world.run(&["vault", "check"]).ok();
}

#[test]
fn an_expired_token_and_one_that_is_none_are_refused() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy", "--expires", "1m"]);
    world.advance(minutes(1));
    held(&world, &token, &ENV).fails_with(125, "
            error: Token `ci` expired on 2040-05-17 08:01.
                   The vault's owner can replace it: keyvault token revoke ci, then keyvault token create ci --scope SCOPE
        ");
    for wrong in ["kvt_", "nonsense", &token.replace('_', "-"), &format!("{token}x")] {
        held(&world, wrong, &ENV).fails_with(
            125,
            "
                error: That is not a token, which is kvt_ and 71 letters and digits, the last six a checksum.
                       Create one with `keyvault token create NAME --scope SCOPE`.
            ",
        );
    }
    world.run(&["token", "create", "x"]).fails_with(
        2,
        "
            error: Missing option: `--scope SCOPE`.
                   See its usage with `keyvault token create --help`.
        ",
    );
    world.run(&["token", "create", "x", "--key", "nope"]).fails_with(3, &no_key("nope"));
    world.run(&["token", "create", "ci", "--scope", "deploy"]).fails_with(6, "
            error: Token `ci` already exists.
                   Give it a new secret with `keyvault token renew ci`, or end it with `keyvault token revoke ci`.
        ");
}

#[test]
fn a_token_comes_from_a_file_as_well() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    let file = world.file("token", format!("{token}\n"));
    std::os::unix::fs::chown(&file, None, None).unwrap();
    let mut command = world.command(KEYVAULT);
    let ran = finish(command.env("KEYVAULT_TOKEN_FILE", &file).args(ENV), b"");
    assert_eq!(seen(ran), ["A=value-a", "B=value-b"]);
    let mut command = world.command(KEYVAULT);
    let ran = finish(command.env("KEYVAULT_TOKEN_FILE", "nowhere").args(ENV), b"");
    ran.fails_with(125, "error: nowhere does not exist. (KEYVAULT_TOKEN_FILE names it.)\n");
}

#[test]
fn a_child_never_sees_the_token() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    let ran = held(&world, &token, &ENV).ok();
    assert!(!ran.out.contains("kvt_") && !ran.out.contains("KEYVAULT_TOKEN"), "{}", ran.out);
}

/// Copies the rows of the tables that a bearer can write, as it would before it is revoked.
fn rows_of(world: &World, tables: &[&str]) -> String {
    let connection = Connection::open(world.vault()).unwrap();
    let mut statements = String::new();
    for table in tables {
        statements += &format!("DELETE FROM {table};");
        let mut rows = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns = rows.column_count();
        let mut rows = rows.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values: Vec<_> = (0..columns)
                .map(|column| match row.get_ref(column).unwrap() {
                    rusqlite::types::ValueRef::Blob(bytes) => {
                        format!("x'{}'", data_encoding::HEXLOWER.encode(bytes))
                    }
                    rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                    other => panic!("{other:?}"),
                })
                .collect();
            statements += &format!("INSERT INTO {table} VALUES ({});", values.join(","));
        }
    }
    statements
}

#[test]
fn a_grant_that_was_taken_away_and_is_put_back_is_noticed_by_both_sides() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    let before = rows_of(&world, &["token_grant"]);
    world.run(&["edit", "b", "--unscope", "deploy"]).ok();
    tamper(&world, &before);
    held(&world, &token, &ENV).fails_with(125, "
            error: ~/.local/share/keyvault/vault.db is damaged or was tampered with: token_grant of token ci does not match the tree.
                   Nothing was released. Run `keyvault vault check` to see the damaged rows, then `keyvault vault rekey` to keep the rest, or restore a backup.
        ");
    finds(&world, "token_grant of ci");
    // A change goes through without binding what was put there: the owner writes its own again.
    world.run(&["edit", "a", "--note", "x"]).warns("
            warning: Someone altered the grants of token `ci` (token_grant of token ci does not match the tree). They were written again. Give the token a new secret: keyvault token renew ci
        ");
    world.run(&["vault", "check"]).ok();
    assert_eq!(seen(held(&world, &token, &ENV)), ["A=value-a"]);
    world.run(&["token", "revoke", "ci"]).ok();
    world.run(&["vault", "check"]).ok();
}

#[test]
fn an_older_view_with_its_grants_is_an_alarm_to_the_bearer_and_a_finding_to_the_owner() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    held(&world, &token, &ENV).ok();
    let before = rows_of(&world, &["token_grant", "token_view"]);
    world.run(&["edit", "b", "--unscope", "deploy"]).ok();
    assert_eq!(seen(held(&world, &token, &ENV)), ["A=value-a"]);
    tamper(&world, &before);
    held(&world, &token, &ENV).fails_with(125, "
            error: The grants of token `ci` at change 6 are older than what this machine saw at change 7.
                   Put the newer vault back. If its owner restored a backup, any change to a granted key resolves this.
        ");
    finds(&world, "token_view of token ci");
}

#[test]
fn a_revoked_token_whose_rows_are_put_back_is_told_to_the_owner() {
    let world = with_keys();
    token(&world, &["ci", "--scope", "deploy"]);
    let before = rows_of(&world, &["token_grant", "token_view"]);
    world.run(&["token", "revoke", "ci"]).ok();
    tamper(&world, &before);
    world.run(&["edit", "c", "--note", "x"]).warns("
            warning: The vault held rows of an unknown or revoked token, which someone inserted. They were removed.
        ");
    world.run(&["vault", "check"]).ok();
    let left = rows_of(&world, &["token_grant", "token_view"]);
    assert_eq!(left, "DELETE FROM token_grant;DELETE FROM token_view;");
}

#[test]
fn a_key_without_a_value_is_not_counted_among_those_that_a_token_opens() {
    let world = with_keys();
    world.run(&["revoke", "b"]).ok();
    let made = world.run(&["token", "create", "ci", "--scope", "deploy", "--json"]).ok().json();
    assert_eq!(made["keys"], serde_json::json!(["a"]));
    let logged = world.run(&["audit", "log"]).ok().out;
    let created = logged.lines().find(|line| line.contains("created ci")).unwrap();
    assert!(created.contains("a v1") && !created.contains("v0"), "{created}");
    let bundled = world.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb", "--json"]).ok().json();
    assert_eq!(bundled["key_count"], 1);
    let listed = || world.run(&["token", "list", "--json"]).ok().json()["tokens"][0]["keys"].clone();
    assert_eq!(listed(), serde_json::json!(["a"]));
    world.run_with_input(&["rotate", "b"], "value-b2").ok();
    assert_eq!(listed(), serde_json::json!(["a", "b"]));
}

#[test]
fn readers_with_tokens_and_a_rotator_at_once_see_one_state_each() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let seen = seen(held(&world, &token, &ENV));
                    assert_eq!(seen.len(), 2, "{seen:?}");
                }
            });
        }
        scope.spawn(|| {
            for number in 0..10 {
                world.run_with_input(&["rotate", "a"], format!("value-{number}")).ok();
            }
        });
    });
    let reads = world.run(&["token", "show", "ci", "--json"]).ok().json()["reads"].as_array().unwrap().len();
    assert_eq!(reads, 40);
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_whole_vault_that_was_put_back_is_noticed_by_a_bearer_that_saw_the_newer_one() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    let old = std::fs::read(world.vault()).unwrap();
    world.run_with_input(&["rotate", "a"], "value-a2").ok();
    held(&world, &token, &ENV).ok();
    assert!(!beside(&world.vault(), "-journal").exists());
    put_back(&world, &old);
    held(&world, &token, &ENV).fails_with(125, "
            error: The grants of token `ci` at change 6 are older than what this machine saw at change 7.
                   Put the newer vault back. If its owner restored a backup, any change to a granted key resolves this.
        ");
}

#[test]
fn a_project_file_maps_what_a_token_opens_and_nobody_is_asked() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    world.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb"]).ok();
    let away = World::empty();
    std::fs::copy(world.home().join("keys.kvb"), away.home().join("keys.kvb")).unwrap();
    std::fs::create_dir(away.home().join("repo")).unwrap();
    away.file("repo/.keyvault.toml", "[keys]\nFIRST = \"a\"\nURL = { template = \"x://{b}@h\" }\n");
    let line = format!(
        "cd repo; export KEYVAULT_TOKEN={token} KEYVAULT_BUNDLE=../keys.kvb; keyvault exec -- env; keyvault project check"
    );
    let ran = away.sh(&line).ok();
    assert!(ran.out.contains("FIRST=value-a\n") && ran.out.contains("URL=x://value-b@h\n"), "{}", ran.out);
    assert!(!ran.out.contains("A=value-a"), "the file decides, where there is one: {}", ran.out);
    away.file("repo/.keyvault.toml", "[keys]\nFIRST = \"c\"\n");
    away.sh(&line).is(
        3,
        "
        VARIABLE  KEYS  STATUS   ABOUT
        FIRST     c     REFUSED
        ",
        "
            error: Cannot release the keys:
              FIRST <- c: not granted to token `ci`
                   Choose what the token opens, for example with `--only NAME`; `keyvault list` shows it (`keyvault list --bundle FILE` where no vault is).
                   Or have the vault's owner grant it more, and update its bundle if it has one:
                     keyvault token edit ci --key c
                     keyvault bundle update FILE
            error: The project cannot run with this vault:
              FIRST <- c: not granted to token `ci`
        ",
    );
    away.file("x.env", "ONE=kv://a\nTWO=plain\n");
    let exec = ["exec", "--bundle", "keys.kvb", "--env-file", "x.env", "--", "sh", "-c", "echo $ONE $TWO $A"];
    assert_eq!(held(&away, &token, &exec).ok().out, "value-a plain\n");
}

/// A service hands over an unset secret as an empty one. The job must not get what another way would open.
#[test]
fn an_empty_token_is_refused_and_no_other_way_is_taken() {
    let world = with_keys();
    for arguments in [
        &["exec", "--all", "--", "true"] as &[&str],
        &["exec", "--only", "a", "--dry-run", "--", "true"],
        &["exec", "--bundle", "keys.kvb", "--", "true"],
    ] {
        held(&world, "", arguments).fails_with(125, "
                error: KEYVAULT_TOKEN is empty.
                       Give the job its token, or unset the variable. Most CI services don't pass secrets to jobs from forks.
            ");
    }
    held(&world, "", &["export", "--all"]).fails_with(4, "
            error: KEYVAULT_TOKEN is empty.
                   Give the job its token, or unset the variable. Most CI services don't pass secrets to jobs from forks.
        ");
    world.file(".keyvault.toml", "[keys]\nA = \"a\"\n");
    held(&world, "", &["exec", "--", "true"]).fails_with(125, "
            error: KEYVAULT_TOKEN is empty.
                   Give the job its token, or unset the variable. Most CI services don't pass secrets to jobs from forks.
        ");
    held(&world, "", &["list"]).fails(4, "KEYVAULT_TOKEN is empty.");
    held(&world, "", &["show", "a", "--reveal"]).fails(4, "KEYVAULT_TOKEN is empty.");
    // Nor does a command that no token opens take the session instead.
    held(&world, "", &["history", "a"]).fails(4, "KEYVAULT_TOKEN is empty.");
    assert!(held(&world, "", &["status", "-v"]).ok().out.contains("KEYVAULT_TOKEN is empty."));
}

#[test]
fn what_was_seen_with_a_token_and_cannot_be_read_is_said_once() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    world.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb"]).ok();
    for arguments in [&ENV as &[&str], &[&["exec", "--bundle", "keys.kvb"], &ENV[1..]].concat()] {
        held(&world, &token, arguments).ok();
        let pins = std::fs::read_dir(world.pins()).unwrap().map(|entry| entry.unwrap().path());
        let of_token =
            |path: &std::path::PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("token-");
        pins.filter(of_token).for_each(|pin| std::fs::write(pin, "{").unwrap());
        let warned = held(&world, &token, arguments).ok();
        assert!(
            warned.err.contains("The record of what this token last opened here cannot be read"),
            "{}",
            warned.err
        );
        assert_eq!(held(&world, &token, arguments).ok().err, "");
    }
}

#[test]
fn a_renewed_token_names_what_rotates_the_keys_that_the_old_one_read() {
    let world = with_keys();
    token(&world, &["ci", "--scope", "deploy"]);
    world.run(&["token", "renew", "ci"]).warns(
        "
            Token `ci` opens 2 keys. It is shown only once: store it where KEYVAULT_TOKEN is set.
            Anyone with the old token and a copy of the vault or a bundle can still read today's values. If it leaked:
              keyvault rotate NAME, with its new value, for each of: a b
            Create its bundles again: keyvault bundle create --token ci -o FILE
        ",
    );
}

#[test]
fn a_token_whose_text_was_lost_on_its_way_is_said_to_be_made() {
    let world = with_keys();
    let hint = "The token was created, but its text is lost:";
    for (line, code) in
        [("token create ci --key a", 1), ("token create cd --key a --json", 1), ("token renew ci", 1)]
    {
        let ran = world.sh(&format!("keyvault {line} > /dev/full"));
        assert!(ran.code == code && ran.err.contains(hint), "{line}: {} {}", ran.code, ran.err);
    }
}

#[test]
fn a_revoked_token_could_read_what_its_bearer_hid_and_what_was_withdrawn_after_it_was_read() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy", "--scope", "other"]);
    held(&world, &token, &ENV).ok();
    world.run(&["edit", "c", "--unscope", "other"]).ok();
    tamper(&world, "DELETE FROM token_grant");
    let revoked = world.run(&["token", "revoke", "ci", "--json"]).ok().json();
    assert_eq!(revoked["could_read"], serde_json::json!(["a", "b", "c"]));
}

/// Taken out for a while and put back, a token would have kept what it had, and the owner would have seen none.
#[test]
fn a_token_that_was_taken_out_of_the_file_is_missed() {
    for hidden in [
        "DELETE FROM object WHERE id >> 56 = 5; DELETE FROM token_view; DELETE FROM token_grant",
        "DELETE FROM object WHERE id = (SELECT max(id) FROM object WHERE id >> 56 = 5); DELETE FROM token_view; DELETE FROM token_grant",
    ] {
        let world = with_keys();
        token(&world, &["ci", "--scope", "deploy"]);
        token(&world, &["cd", "--scope", "deploy"]);
        tamper(&world, hidden);
        for line in ["token list", "edit a --unscope deploy", "generate new", "token create new --key a"] {
            let line: Vec<_> = line.split(' ').collect();
            world.run(&line).fails_with(5, "
                    error: ~/.local/share/keyvault/vault.db is damaged or was tampered with: the list of tokens does not match the tree.
                           Nothing was released. Run `keyvault vault check` to see the damaged rows, then `keyvault vault rekey` to keep the rest, or restore a backup.
                ");
        }
        let revoked = world.run(&["revoke", "a"]);
        assert!(revoked.code == 5 && revoked.err.contains("A session cannot repair"), "{}", revoked.err);
        assert_eq!(world.run(&["vault", "check"]).code, 5, "{hidden}");
    }
    let world = with_keys();
    for step in [
        &["token", "create", "ci", "--scope", "deploy"][..],
        &["token", "create", "cd", "--key", "a"],
        &["token", "renew", "ci"],
        &["token", "revoke", "ci"],
        &["token", "create", "ci", "--key", "b"],
        &["token", "revoke", "cd"],
    ] {
        world.run(step).ok();
        world.run(&["vault", "check"]).ok();
        world.run(&["list"]).ok();
    }
}

#[test]
fn grants_of_an_expired_token_that_someone_altered_are_not_written_anew() {
    let mut world = with_keys();
    token(&world, &["ci", "--scope", "deploy", "--expires", "1h"]);
    // A session ends before the token does.
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    let count = || {
        let connection = Connection::open(world.vault()).unwrap();
        connection.query_row("SELECT count(*) FROM token_grant", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let alter = || {
        tamper(
            &world,
            "INSERT OR REPLACE INTO token_grant SELECT token, randomblob(16), x'00' FROM token_view",
        );
        let changed = world.run(&["edit", "a", "--note", "x"]).ok().err;
        assert!(changed.contains("keyvault token renew ci"), "{changed}");
        world.run(&["vault", "check"]).ok();
    };
    alter();
    assert_eq!(count(), 2);
    let before = world.time();
    world.advance(minutes(61));
    alter();
    assert_eq!(count(), 0);
    // A clock that is turned back gives it nothing again.
    world.at(&before.to_string());
    alter();
    assert_eq!(count(), 0);
}

#[test]
fn a_token_that_has_expired_is_not_renewed() {
    let world = with_keys();
    token(&world, &["ci", "--scope", "deploy", "--expires", "1m"]);
    world.advance(minutes(1));
    world.run(&["token", "renew", "ci"]).fails_with(6, "
            error: Token `ci` expired on 2040-05-17 08:01.
                   The vault's owner can replace it: keyvault token revoke ci, then keyvault token create ci --scope SCOPE
        ");
    let mut owner = world;
    owner.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    let rekeyed =
        owner.run(&["vault", "rekey", "--keep-passphrase", "--no-recovery", "--yes", "--json"]).ok().json();
    assert_eq!(rekeyed["tokens"], serde_json::json!([]));
    let world = owner;
    world.run(&["token", "revoke", "ci"]).ok();
}

#[test]
fn a_scope_that_is_taken_from_a_key_warns_of_tokens_that_opened_it() {
    let world = with_keys();
    token(&world, &["ci", "--scope", "deploy"]);
    let edited = world.run(&["edit", "a", "--unscope", "deploy"]).ok();
    assert!(
        edited
            .err
            .contains("Anyone with token `ci` and an older copy of the vault or a bundle can still read")
            && edited.err.contains("keyvault rotate NAME, with its new value, for each of: a"),
        "{}",
        edited.err
    );
    let revoked = world.run(&["token", "revoke", "ci"]).ok();
    assert!(revoked.err.contains("keyvault audit log --action token"), "{}", revoked.err);
}
