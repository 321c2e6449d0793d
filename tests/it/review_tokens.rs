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
