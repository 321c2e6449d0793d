//! Bundles: they need no vault, and tell a stale or altered one.

use crate::harness::bearer::{ENV, held, seen, token, with_keys};
use crate::harness::{KEYVAULT, World, finish, minutes};

#[test]
fn a_bundle_needs_no_vault_and_opens_with_its_token_alone() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    let other = self::token(&world, &["cd", "--scope", "other"]);
    world.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb"]).ok();
    world.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb"]).fails_with(
        6,
        "
            error: keys.kvb already exists and was not changed.
                   To update a bundle: keyvault bundle update 'keys.kvb'
                   If its token was renewed or revoked: rm 'keys.kvb' && keyvault bundle create --token ci -o 'keys.kvb'
                   Otherwise choose another name.
        ",
    );
    let away = World::empty();
    std::fs::copy(world.home().join("keys.kvb"), away.home().join("keys.kvb")).unwrap();
    let exec = ["exec", "--bundle", "keys.kvb", "--", "env"];
    assert_eq!(seen(held(&away, &token, &exec)), ["A=value-a", "B=value-b"]);
    let mut command = away.command(KEYVAULT);
    let named = command.env("KEYVAULT_TOKEN", &token).env("KEYVAULT_BUNDLE", "keys.kvb").args(ENV);
    assert_eq!(seen(finish(named, b"")), ["A=value-a", "B=value-b"]);
    held(&away, &other, &exec).fails_with(
        125,
        "
            error: The bundle belongs to another token.
                   Create one for this token with `keyvault bundle create --token NAME -o FILE`.
        ",
    );
    away.run(&exec).fails_with(
        125,
        "
            error: A bundle opens only with its token, and none is set.
                   Set KEYVAULT_TOKEN to the token, or KEYVAULT_TOKEN_FILE to a file with it.
        ",
    );
    held(&away, &token, &["exec", "--bundle", "nowhere", "--", "env"])
        .fails_with(125, "error: nowhere does not exist.\n");
    // Every bit of it counts, and so does its end.
    let good = std::fs::read(away.home().join("keys.kvb")).unwrap();
    for place in (20..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[place] = if bad[place] == b'A' { b'B' } else { b'A' };
        if bad != good {
            away.file("bad.kvb", &bad);
            let code = held(&away, &token, &["exec", "--bundle", "bad.kvb", "--", "env"]).code;
            assert_eq!(code, 125, "byte {place}");
        }
    }
    away.file("short.kvb", &good[..good.len() - 40]);
    held(&away, &token, &["exec", "--bundle", "short.kvb", "--", "env"]).fails_with(
        125,
        "
            error: The bundle was altered or truncated.
                   Create it again with `keyvault bundle create --token NAME -o FILE`.
        ",
    );
}

#[test]
fn a_bundle_for_standard_output_makes_no_file() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    let made = world.run(&["bundle", "create", "--token", "ci", "-o", "-"]).ok();
    assert_eq!(made.err, "The bundle holds 2 keys for token `ci`, at change 6.\n");
    assert!(!world.home().join("-").exists());
    world.file("keys.kvb", &made.out);
    assert_eq!(
        seen(held(&world, &token, &["exec", "--bundle", "keys.kvb", "--", "env"])),
        ["A=value-a", "B=value-b"]
    );
    world
        .run(&["bundle", "create", "--token", "ci", "-o", "-", "--json"])
        .fails_with(2, r#"
                {"error":{"kind":"usage","message":"`--output -` and `--json` both write to standard output.","hint":null}}
            "#);
}

#[test]
fn bundles_of_as_many_keys_are_as_long_whatever_the_values() {
    let len = |value: &str| {
        let world = with_keys();
        world.run_with_input(&["rotate", "a"], value).ok();
        token(&world, &["ci", "--key", "a"]);
        world.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb"]).ok();
        std::fs::metadata(world.home().join("keys.kvb")).unwrap().len()
    };
    assert_eq!(len("short"), len("a bit longer"));
}

#[test]
fn a_stale_bundle_is_named_and_min_seq_refuses_it() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    world.run(&["bundle", "create", "--token", "ci", "-o", "old.kvb"]).ok();
    world.run_with_input(&["rotate", "a"], "value-a2").ok();
    std::fs::copy(world.home().join("old.kvb"), world.home().join("new.kvb")).unwrap();
    let updated = world.run(&["bundle", "update", "new.kvb", "--json"]).ok().json();
    assert_eq!(updated["written"], true);
    let change = updated["change"].as_u64().unwrap().to_string();
    world.run(&["bundle", "update", "new.kvb"]).prints("new.kvb is up to date.\n");
    let new = held(&world, &token, &["exec", "--bundle", "new.kvb", "--min-seq", &change, "--", "env"]);
    assert_eq!(seen(new), ["A=value-a2", "B=value-b"]);
    held(&world, &token, &["exec", "--bundle", "old.kvb", "--", "true"]).reports("
            warning: old.kvb is at change 6 of 2040-05-17 08:00; a bundle at change 7 was used here before. `--min-seq` refuses older ones.
        ");
    let refused = ["exec", "--bundle", "old.kvb", "--min-seq", &change, "--", "env"];
    held(&world, &token, &refused).fails_with(
        125,
        "
            error: The token's grants are at change 6, but at least 7 is required.
                   Update the bundle with `keyvault bundle update FILE`.
        ",
    );
}

#[test]
fn a_bundle_whose_reads_have_a_file_needs_no_home() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    world.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb"]).ok();
    let mut away = World::empty();
    std::fs::copy(world.home().join("keys.kvb"), away.home().join("keys.kvb")).unwrap();
    away.file(".keyvault.toml", "[keys]\nA = \"a\"\n");
    away.set("KEYVAULT_BUNDLE", "keys.kvb");
    for home in [None, Some("/")] {
        away.unset("HOME");
        home.iter().for_each(|home| away.set("HOME", home));
        held(&away, &token, &ENV).fails_with(
            125,
            "
            error: HOME is not set to a home folder, and reads from a bundle must be recorded.
                   Set KEYVAULT_READS to a file, or HOME or XDG_STATE_HOME to a folder.
            ",
        );
        let mut command = away.command(KEYVAULT);
        command.env("KEYVAULT_TOKEN", &token).env("KEYVAULT_READS", "reads.jsonl");
        assert_eq!(seen(finish(command.args(ENV), b"")), ["A=value-a"]);
        finish(
            away.command(KEYVAULT)
                .env("KEYVAULT_TOKEN", &token)
                .env("KEYVAULT_READS", "r")
                .args(["project", "check"]),
            b"",
        )
        .ok();
    }
    let log = std::fs::read_to_string(away.home().join("reads.jsonl")).unwrap();
    assert_eq!(log.lines().count(), 2);
    let left: Vec<_> = away.every_file().into_iter().map(|(path, _)| path).collect();
    assert_eq!(left.len(), 3, "the bundle, the project file and the log: {left:?}");
}

#[test]
fn a_bundle_whose_token_is_gone_says_how_to_make_another() {
    let world = with_keys();
    token(&world, &["ci", "--scope", "deploy"]);
    world.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb"]).ok();
    world.run(&["token", "renew", "ci"]).ok();
    world.run(&["bundle", "update", "keys.kvb"]).fails_with(
        6,
        "
            error: The bundle's token was renewed or created again, so the bundle can no longer be updated.
                   Create it again: rm 'keys.kvb' && keyvault bundle create --token ci -o 'keys.kvb'
        ",
    );
}

/// A refresh in CI stayed green while every job was refused.
#[test]
fn a_bundle_of_an_expired_token_is_not_up_to_date() {
    let world = with_keys();
    token(&world, &["ci", "--scope", "deploy", "--expires", "1m"]);
    world.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb"]).ok();
    world.run(&["bundle", "update", "keys.kvb"]).ok();
    world.advance(minutes(1));
    world.run(&["bundle", "update", "keys.kvb"]).fails_with(6, "
            error: Token `ci` expired on 2040-05-17 08:01.
                   The vault's owner can replace it: keyvault token revoke ci, then keyvault token create ci --scope SCOPE
        ");
}

#[test]
fn a_bundle_that_was_altered_is_not_up_to_date() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    world.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb"]).ok();
    let good = std::fs::read_to_string(world.home().join("keys.kvb")).unwrap();
    let place = good.len() - 30;
    let mut bad = good.clone().into_bytes();
    bad[place] = if bad[place] == b'A' { b'B' } else { b'A' };
    world.file("keys.kvb", bad);
    held(&world, &token, &["exec", "--bundle", "keys.kvb", "--", "true"]).fails_with(
        125,
        "
            error: The bundle was altered or truncated.
                   Create it again with `keyvault bundle create --token NAME -o FILE`.
        ",
    );
    let updated = world.run(&["bundle", "update", "keys.kvb", "--json"]).ok().json();
    assert_eq!(updated["written"], true);
    held(&world, &token, &["exec", "--bundle", "keys.kvb", "--", "true"]).ok();
}
