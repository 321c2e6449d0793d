//! A token that is set is the one credential: a command uses it, or says that a token cannot do this. An open session, which
//! would answer as the vault's owner, is left alone.

use std::collections::BTreeSet;

use pretty_assertions::assert_eq;

use crate::harness::bearer::{held, token, with_keys};
use crate::harness::{KEYVAULT, Ran, World, finish};

/// Commands, by what becomes of them while a token is set and the owner's session is open.
const BY_GRANTS: [&[&str]; 6] = [
    &["list"],
    &["show", "a"],
    &["exec", "--", "true"],
    &["export", "--format", "json"],
    &["project", "check"],
    &["project", "render", "template"],
];
const REFUSED: [&[&str]; 55] = [
    &["add", "x"],
    &["generate", "x"],
    &["copy", "a", "x"],
    &["edit", "a", "--note", "n"],
    &["rotate", "a", "--stdin"],
    &["rollback", "a"],
    &["revoke", "a"],
    &["disable", "a"],
    &["enable", "a"],
    &["remove", "a", "--yes"],
    &["undelete", "a"],
    &["history", "a"],
    &["import", "file.env"],
    &["list", "--removed"],
    &["audit", "log"],
    &["audit", "verify"],
    &["audit", "export"],
    &["audit", "import", "reads"],
    &["token", "list"],
    &["token", "show", "ci"],
    &["token", "create", "x", "--scope", "deploy"],
    &["token", "edit", "ci", "--scope", "other"],
    &["token", "renew", "ci"],
    &["token", "revoke", "ci"],
    &["bundle", "create", "--token", "ci", "--output", "other"],
    &["bundle", "update", "bundle"],
    &["issue", "x"],
    &["api", "add", "x"],
    &["api", "edit", "x", "--prefix", "y"],
    &["api", "list"],
    &["api", "show", "x"],
    &["client", "add", "x"],
    &["client", "edit", "x", "--contact", "y"],
    &["client", "list"],
    &["client", "show", "x"],
    &["client", "disable", "x"],
    &["client", "enable", "x"],
    &["client", "remove", "x"],
    &["role", "add", "x", "--scope", "y"],
    &["role", "edit", "x", "--scope", "y"],
    &["role", "list"],
    &["role", "remove", "x"],
    &["unlock"],
    &["unlock", "--scope", "deploy", "--yes"],
    &["vault", "check"],
    &["vault", "diff", "copy.db"],
    &["vault", "passwd"],
    &["vault", "rekey", "--keep-passphrase", "--no-recovery", "--yes"],
    &["vault", "restore", "copy.db", "--only", "a", "--yes"],
    &["vault", "restore", "--adopt"],
    &["vault", "slot", "list"],
    &["vault", "slot", "add", "keyfile", "file.key"],
    &["vault", "slot", "add", "keyring"],
    &["vault", "slot", "add", "recovery", "--recovery-file", "code"],
    &["vault", "slot", "remove", "2", "--yes"],
];
/// Need no credential, say what they leave out, or ask for one of their own.
const WITHOUT: [&[&str]; 18] = [
    // A verifier's token verifies.
    &["verify"],
    &["status"],
    &["doctor"],
    &["lock"],
    &["init"],
    &["tour"],
    &["help"],
    &["man"],
    &["completions", "bash"],
    &["direnv"],
    &["vault", "backup", "new.db"],
    &["vault", "recover"],
    &["vault", "restore", "copy.db", "--yes"],
    &["project", "init"],
    &["project", "add", "a"],
    &["project", "approve", "--yes"],
    &["project", "trust"],
    &["vault", "check", "copy.db"],
];

fn world() -> (World, String) {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    world.run(&["vault", "backup", "copy.db"]).ok();
    world.run(&["remove", "d", "--yes"]).ok();
    world.file("file.env", "X=1\n");
    world.file("template", "{{ keyvault:a }}\n");
    world.file("reads", "");
    world.run(&["bundle", "create", "--token", "ci", "--output", "bundle"]).ok();
    (world, token)
}

#[test]
fn every_command_uses_the_token_that_is_set_or_says_that_a_token_cannot_do_this() {
    let (world, token) = world();
    let before = std::fs::read(world.vault()).unwrap();
    let refuses = |ran: &Ran| {
        ran.code == 4
            && ran.err.contains("error: KEYVAULT_TOKEN is set, and ")
            && ran.err.contains("needs more than a token opens.")
            && ran.err.contains("env -u KEYVAULT_TOKEN keyvault …")
    };
    let ran = REFUSED.map(|command| (command, held(&world, &token, command)));
    let others: Vec<_> = ran.iter().filter(|(_, ran)| !refuses(ran)).collect();
    assert!(others.is_empty(), "{others:#?}");
    // Nothing was read as the owner or written by any of them, and the session is still there.
    assert!(std::fs::read(world.vault()).unwrap() == before);
    world.run(&["history", "a"]).ok();
    for command in BY_GRANTS {
        let ran = held(&world, &token, command);
        assert!(!ran.err.contains("needs more than a token opens"), "{command:?}: {ran:?}");
    }
}

#[test]
fn every_command_is_in_one_of_the_lists() {
    let listed: BTreeSet<String> = BY_GRANTS
        .iter()
        .chain(&REFUSED)
        .chain(&WITHOUT)
        .flat_map(|words| (1..=words.len()).map(|end| words[..end].join("-")))
        .collect();
    let pages = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/man")).unwrap();
    let commands = pages.filter_map(|page| {
        let name = page.unwrap().file_name().into_string().unwrap();
        Some(name.strip_prefix("keyvault-")?.strip_suffix(".1")?.to_owned())
    });
    let missing: Vec<_> = commands.filter(|command| !listed.contains(command)).collect();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn what_looks_at_the_session_says_that_a_token_is_set_and_does_not_use_it() {
    let (world, token) = world();
    let status = held(&world, &token, &["status"]).ok().out;
    assert!(
        status.contains("token        KEYVAULT_TOKEN is set: commands use it and no session\n"),
        "{status}"
    );
    let doctor = held(&world, &token, &["doctor"]).out;
    assert!(doctor.contains("a token is given") && doctor.contains("env -u KEYVAULT_TOKEN"), "{doctor}");
    let complete = |words: &[&str]| {
        let mut command = world.command(KEYVAULT);
        command.env("KEYVAULT_COMPLETE", "fish").env("KEYVAULT_TOKEN", &token);
        finish(command.args(["--", "keyvault"]).args(words), b"").ok().out
    };
    assert_eq!(complete(&["exec", "--only", ""]), "a\nb\n");
    assert_eq!(complete(&["undelete", ""]), "");
    assert_eq!(complete(&["token", "show", ""]), "");
    let folder = crate::harness::project_file::project(&world, "[keys]\nA = \"a\"\n");
    let mut add = world.command(KEYVAULT);
    let added =
        finish(add.current_dir(&folder).env("KEYVAULT_TOKEN", &token).args(["project", "add", "c"]), b"");
    assert!(!added.err.contains("needs more"), "{added:?}");
}

#[test]
fn an_empty_token_is_none_of_the_owners_either() {
    let (world, _) = world();
    for command in [&["history", "a"][..], &["token", "list"], &["audit", "log"], &["rotate", "a", "--stdin"]]
    {
        held(&world, "", command).fails(4, "KEYVAULT_TOKEN is empty.");
    }
}

#[test]
fn a_credential_that_is_given_beside_the_token_is_the_owners_word() {
    let (world, token) = world();
    let with_passphrase = |arguments: &[&str]| -> Ran {
        let mut command = world.command(KEYVAULT);
        command.env("KEYVAULT_TOKEN", &token).env("KEYVAULT_PASSPHRASE", crate::harness::PASSPHRASE);
        finish(command.args(arguments), b"")
    };
    with_passphrase(&["history", "a"]).ok();
    let listed = with_passphrase(&["list"]).ok().out;
    assert!(!listed.contains("value") && !listed.contains("\nc "), "{listed}");
}
