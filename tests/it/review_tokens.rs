//! What a review of tokens, bundles and project files found, each under the name of what must hold.

use crate::file::tamper;
use crate::harness::{PASSPHRASE, World};
use crate::tokens::{ENV, filled, held, seen, token};

#[test]
fn a_restore_or_an_adoption_locks_no_holder_out_that_saw_what_it_supersedes() {
    let mut world = filled();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    world.run(&["vault", "backup", "backup.db"]).ok();
    let old = std::fs::read(world.vault()).unwrap();
    world.run_with_input(&["rotate", "a"], "value-a2").ok();
    assert_eq!(seen(held(&world, &token, &ENV)), ["A=value-a2", "B=value-b"]);
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    world.run(&["vault", "restore", "backup.db", "--yes"]).ok();
    assert_eq!(seen(held(&world, &token, &ENV)), ["A=value-a", "B=value-b"]);
    world.run(&["vault", "check"]).ok();
    world.run_with_input(&["rotate", "a"], "value-a3").ok();
    held(&world, &token, &ENV).ok();
    crate::file::put_back(&world, &old);
    held(&world, &token, &ENV).fails(125, "older than what was seen here");
    world.run(&["vault", "restore", "--adopt", "--yes"]).ok();
    assert_eq!(seen(held(&world, &token, &ENV)), ["A=value-a", "B=value-b"]);
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_restore_says_which_tokens_it_ends() {
    let mut world = filled();
    token(&world, &["kept", "--scope", "deploy"]);
    token(&world, &["renewed", "--scope", "deploy"]);
    world.run(&["vault", "backup", "backup.db"]).ok();
    token(&world, &["made", "--scope", "deploy"]);
    world.run(&["token", "renew", "renewed"]).ok();
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    let asked = world.run(&["vault", "restore", "backup.db"]);
    assert!(asked.err.contains("Tokens that would open nothing any more: made, renewed"), "{}", asked.err);
    let answer = world.run(&["vault", "restore", "backup.db", "--yes", "--json"]).ok().json();
    assert_eq!(answer["tokens"], serde_json::json!(["made", "renewed"]));
}

#[test]
fn audit_verify_proves_what_was_read_with_tokens_as_well() {
    let world = filled();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    held(&world, &token, &ENV).ok();
    held(&world, &token, &ENV).ok();
    let verified = world.run(&["audit", "verify"]).ok();
    assert!(verified.out.ends_with("\n2 reads with tokens hold.\n"), "{}", verified.out);
    tamper(&world, "DELETE FROM token_audit WHERE seq = 0");
    world.run(&["audit", "verify"]).fails(5, "What was read with ci cannot be proved");
    let answer = world.run(&["audit", "verify", "--json"]);
    assert_eq!((answer.code, &answer.json()["ok"]), (5, &serde_json::json!(false)));
    assert_eq!(answer.json()["broken"][0]["token"], "ci");
}

#[test]
fn a_token_whose_text_was_lost_on_its_way_is_said_to_be_made() {
    let world = filled();
    let hint = "The token is made and its text is lost:";
    for (line, code) in
        [("token create ci --key a", 1), ("token create cd --key a --json", 1), ("token renew ci", 1)]
    {
        let ran = world.sh(&format!("keyvault {line} > /dev/full"));
        assert!(ran.code == code && ran.err.contains(hint), "{line}: {} {}", ran.code, ran.err);
    }
}

#[test]
fn keys_that_are_added_to_a_project_at_once_are_all_in_the_file() {
    let world = filled();
    std::thread::scope(|scope| {
        for name in ["a", "b", "c", "d", "e", "f"] {
            let world: &World = &world;
            scope.spawn(move || world.run(&["project", "add", name]).ok());
        }
    });
    let file = std::fs::read_to_string(world.home().join(".keyvault.toml")).unwrap();
    for line in ["A = \"a\"", "B = \"b\"", "C = \"c\"", "D = \"d\"", "E = \"e\"", "F = \"f\""] {
        assert!(file.contains(line), "{file}");
    }
}

#[test]
fn a_revoked_token_could_read_what_its_holder_hid_and_what_was_withdrawn_after_it_was_read() {
    let world = filled();
    let token = token(&world, &["ci", "--scope", "deploy", "--scope", "other"]);
    held(&world, &token, &ENV).ok();
    world.run(&["edit", "c", "--unscope", "other"]).ok();
    tamper(&world, "DELETE FROM token_grant");
    let revoked = world.run(&["token", "revoke", "ci", "--json"]).ok().json();
    assert_eq!(revoked["could_read"], serde_json::json!(["a", "b", "c"]));
}

#[test]
fn reads_of_a_renewed_token_keep_the_others_of_a_log_not_away() {
    let mut world = filled();
    let first = token(&world, &["ci", "--scope", "deploy"]);
    world.run(&["bundle", "create", "--token", "ci", "-o", "first.kvb"]).ok();
    let second = world.run(&["token", "renew", "ci"]).ok().out.trim_end().to_owned();
    world.run(&["bundle", "create", "--token", "ci", "-o", "second.kvb"]).ok();
    world.set("KEYVAULT_READS", "reads.jsonl");
    held(&world, &first, &["exec", "--bundle", "first.kvb", "--", "true"]).ok();
    world.run(&["audit", "import", "reads.jsonl"]).fails(3, "a token that this vault does not know");
    held(&world, &second, &["exec", "--bundle", "second.kvb", "--", "true"]).ok();
    let brought = world.run(&["audit", "import", "reads.jsonl"]).ok();
    assert!(brought.err.contains("Left out 1 read of tokens"), "{}", brought.err);
    assert!(brought.err.contains("Brought home 1 new read with token ci"), "{}", brought.err);
    let again = world.run(&["audit", "import", "reads.jsonl", "--json"]).ok().json();
    assert_eq!((&again["known"], &again["unknown"]), (&1.into(), &1.into()));
}

#[test]
fn a_file_that_is_no_log_of_reads_is_not_touched() {
    let mut world = filled();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    world.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb"]).ok();
    world.set("KEYVAULT_READS", "notes");
    for text in ["one\ntwo, without an end", "{\"keys\":1}\n"] {
        let notes = world.file("notes", text);
        held(&world, &token, &["exec", "--bundle", "keys.kvb", "--", "echo", "started"])
            .fails(125, "is not a log of what was read");
        assert_eq!(std::fs::read_to_string(notes).unwrap(), text);
    }
}

#[test]
fn a_bundle_that_was_altered_is_not_up_to_date() {
    let world = filled();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    world.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb"]).ok();
    let good = std::fs::read_to_string(world.home().join("keys.kvb")).unwrap();
    let place = good.len() - 30;
    let mut bad = good.clone().into_bytes();
    bad[place] = if bad[place] == b'A' { b'B' } else { b'A' };
    world.file("keys.kvb", bad);
    held(&world, &token, &["exec", "--bundle", "keys.kvb", "--", "true"]).fails(125, "altered or cut off");
    let updated = world.run(&["bundle", "update", "keys.kvb", "--json"]).ok().json();
    assert_eq!(updated["written"], true);
    held(&world, &token, &["exec", "--bundle", "keys.kvb", "--", "true"]).ok();
}

/// Taken out for a while and put back, a token would have kept what it had, and the owner would have seen none.
#[test]
fn a_token_that_was_taken_out_of_the_file_is_missed() {
    for hidden in [
        "DELETE FROM token; DELETE FROM token_view; DELETE FROM token_grant",
        "DELETE FROM token WHERE tag = (SELECT max(tag) FROM token); DELETE FROM token_view; DELETE FROM token_grant",
    ] {
        let world = filled();
        token(&world, &["ci", "--scope", "deploy"]);
        token(&world, &["cd", "--scope", "deploy"]);
        tamper(&world, hidden);
        for line in
            ["token list", "edit a --unscope deploy", "generate new", "revoke a", "token create new --key a"]
        {
            let line: Vec<_> = line.split(' ').collect();
            world.run(&line).fails(5, "");
        }
        assert_eq!(world.run(&["vault", "check"]).code, 5, "{hidden}");
    }
    let world = filled();
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
fn a_holder_that_wrecks_its_own_rows_keeps_the_owner_from_nothing() {
    for wreck in [
        "DELETE FROM token_audit_head",
        "DELETE FROM token_audit_head; DELETE FROM token_audit",
        "UPDATE token_audit_head SET sealed = x''",
        "UPDATE token_audit SET mac = x'00'",
    ] {
        let mut world = filled();
        let token = token(&world, &["ci", "--scope", "deploy"]);
        held(&world, &token, &ENV).ok();
        tamper(&world, wreck);
        assert_eq!(world.run(&["vault", "check"]).code, 5, "{wreck}");
        world.run(&["vault", "backup", "backup.db"]).ok();
        let rotated = world.run_with_input(&["rotate", "a"], "value-a2").ok();
        assert!(rotated.err.contains("somebody may have hidden reads"), "{wreck}: {}", rotated.err);
        let renewed = world.run(&["token", "renew", "ci"]).ok();
        assert_eq!(seen(held(&world, renewed.out.trim_end(), &ENV)), ["A=value-a2", "B=value-b"]);
        world.run(&["vault", "check"]).ok();
        tamper(&world, wreck);
        world.run(&["token", "revoke", "ci"]).ok();
        // Said once, as there is nothing left to be done about it.
        assert_eq!(world.run(&["edit", "a", "--note", "x"]).ok().err, "");
        self::token(&world, &["ci", "--scope", "deploy"]);
        world.run(&["vault", "check"]).ok();
        world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
        world.run(&["vault", "restore", "backup.db", "--yes"]).ok();
    }
}

#[test]
fn what_was_read_with_a_token_stays_on_record_when_another_takes_its_name() {
    let world = filled();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    held(&world, &token, &ENV).ok();
    world.run(&["token", "revoke", "ci"]).ok();
    self::token(&world, &["ci", "--key", "d"]);
    let log = world.run(&["audit", "log", "--action", "exec"]).ok().out;
    assert!(log.contains("a v1") && log.contains("ci"), "{log}");
    // They are not reads of the new one.
    let shown = world.run(&["token", "show", "ci", "--json"]).ok().json();
    assert_eq!((&shown["last_read"], &shown["reads"]), (&serde_json::Value::Null, &serde_json::json!([])));
    let revoked = world.run(&["token", "revoke", "ci", "--json"]).ok().json();
    assert_eq!(revoked["could_read"], serde_json::json!(["d"]));
    assert!(world.run(&["audit", "verify"]).ok().out.ends_with("\n1 read with a token holds.\n"));
}

/// One holder's wrecked log kept the reads of all others away.
#[test]
fn reads_are_brought_home_past_a_token_whose_log_is_wrecked() {
    let world = filled();
    let away = World::empty();
    for (name, key) in [("ci", "a"), ("cd", "b")] {
        let token = token(&world, &[name, "--key", key]);
        world.run(&["bundle", "create", "--token", name, "-o", name]).ok();
        std::fs::copy(world.home().join(name), away.home().join(name)).unwrap();
        held(&away, &token, &["exec", "--bundle", name, "--", "true"]).ok();
    }
    let logs = away.sh("cat .local/state/keyvault/reads/*.jsonl").ok().out;
    world.file("all.jsonl", &logs);
    tamper(&world, "DELETE FROM token_audit_head WHERE token = (SELECT max(token) FROM token_audit_head)");
    let brought = world.run(&["audit", "import", "all.jsonl"]).ok();
    assert!(
        brought.out.contains("1 read") || brought.err.contains("1 read"),
        "{} {}",
        brought.out,
        brought.err
    );
}

#[test]
fn a_token_that_has_expired_is_not_renewed() {
    let world = filled();
    token(&world, &["ci", "--scope", "deploy", "--expires", "1s"]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    world.run(&["token", "renew", "ci"]).fails(6, "Token ci expired on");
    let mut owner = world;
    owner.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    let rekeyed = owner.run(&["vault", "rekey", "--no-recovery", "--yes", "--json"]).ok().json();
    assert_eq!(rekeyed["tokens"], serde_json::json!({}));
    let world = owner;
    world.run(&["token", "revoke", "ci"]).ok();
}

#[test]
fn a_holder_that_cut_its_chain_keeps_the_owner_neither_from_renewing_nor_from_restoring() {
    let mut world = filled();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    held(&world, &token, &ENV).ok();
    tamper(&world, "DELETE FROM token_audit");
    world.run(&["vault", "backup", "backup.db"]).ok();
    let renewed = world.run(&["token", "renew", "ci"]).ok();
    assert!(renewed.err.contains("somebody may have hidden reads"), "{}", renewed.err);
    assert_eq!(seen(held(&world, renewed.out.trim_end(), &ENV)), ["A=value-a", "B=value-b"]);
    world.run(&["vault", "check"]).ok();
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    let restored = world.run(&["vault", "restore", "backup.db", "--yes"]).ok();
    assert!(restored.err.contains("somebody may have hidden reads"), "{}", restored.err);
}
