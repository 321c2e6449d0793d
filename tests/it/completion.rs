//! Completion in real shells, on a real terminal (tmux), and what it must never do.

use std::os::unix::fs::PermissionsExt;

use pretty_assertions::assert_eq;

use crate::harness::{KEYVAULT, World, finish};

/// A vault with an open session and no other slot for the shell.
fn world() -> World {
    let mut world = World::own();
    world.run(&["generate", "stripe/live", "--scope", "payments"]).ok();
    world.run(&["generate", "db/password", "--scope", "deploy:prod"]).ok();
    world.run(&["unlock"]).ok();
    world.unset("KEYVAULT_PASSPHRASE");
    world.file("notes.env", "A=1");
    world
}

fn ask(world: &World, words: &[&str]) -> crate::harness::Ran {
    let mut command = world.command(KEYVAULT);
    command.env("KEYVAULT_COMPLETE", "fish").args(["--", "keyvault"]).args(words);
    finish(&mut command, b"")
}

#[test]
fn completion_unlocks_asks_and_records_nothing() {
    let world = world();
    let before = std::fs::read(world.vault()).unwrap();
    let log = world.run(&["audit", "log", "--json"]).ok().out;
    assert_eq!(ask(&world, &["show", ""]).ok().out.lines().next(), Some("db/password"));
    assert!(std::fs::read(world.vault()).unwrap() == before, "the vault was written");
    assert_eq!(world.run(&["audit", "log", "--json"]).ok().out, log);
    world.run(&["lock"]).ok();
    // Even where a passphrase lies ready, none is derived.
    let mut command = world.command(KEYVAULT);
    command.env("KEYVAULT_COMPLETE", "fish").env("KEYVAULT_PASSPHRASE", crate::harness::PASSPHRASE);
    let locked = finish(command.args(["--", "keyvault", "show", ""]), b"").ok();
    assert!(!locked.out.contains("stripe") && locked.err.is_empty(), "{locked:?}");
}

#[test]
fn a_limited_session_offers_its_own_keys_and_scopes() {
    let world = world();
    world.run(&["unlock", "--scope", "payments", "--yes"]).ok();
    let before = std::fs::read(world.vault()).unwrap();
    let offered = |words: &[&str]| ask(&world, words).ok().out;
    assert!(offered(&["exec", "--only", "s"]).starts_with("stripe/live"));
    assert!(!offered(&["exec", "--only", ""]).contains("db/password"));
    assert_eq!(offered(&["exec", "--scope", ""]), "payments\n");
    assert!(std::fs::read(world.vault()).unwrap() == before, "the vault was written");
}

#[test]
fn a_token_offers_its_own_keys_and_scopes_from_the_vault_or_its_bundle() {
    let mut world = world();
    let token = world.run(&["token", "create", "ci", "--scope", "payments"]).ok().out.trim().to_owned();
    world.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb"]).ok();
    let before = std::fs::read(world.vault()).unwrap();
    let offered = |world: &World, words: &[&str]| ask(world, words).ok().out;
    world.set("KEYVAULT_TOKEN", &token);
    assert_eq!(offered(&world, &["exec", "--only", ""]), "stripe/live\n");
    assert_eq!(offered(&world, &["exec", "--scope", ""]), "payments\n");
    let (vault, nowhere) = (world.vault(), ["--vault", "nowhere.db"]);
    let with = |more: &[&str], world: &World| offered(world, &[&["list"], more, &[""]].concat());
    assert!(!with(&nowhere, &world).contains("stripe"));
    let bundled = with(&[&nowhere[..], &["--bundle", "keys.kvb"]].concat(), &world);
    assert!(bundled.contains("stripe/live") && !bundled.contains("db/password"), "{bundled}");
    world.set("KEYVAULT_BUNDLE", "keys.kvb");
    assert!(with(&nowhere, &world).contains("stripe/live"));
    // The command would be refused, so the open session's names are no help.
    world.set("KEYVAULT_TOKEN", "kvt_wrong");
    assert!(!offered(&world, &["exec", "--only", ""]).contains("stripe"));
    assert!(std::fs::read(vault).unwrap() == before, "the vault was written");
    let log = world.home().join(".local/state/keyvault/reads");
    assert!(!log.exists(), "a read was recorded");
}

#[test]
fn what_was_given_is_not_offered_again() {
    let world = world();
    for (words, expected) in [
        (&["exec", "--only", "db/password", "--only", ""] as &[&str], "stripe/live\n"),
        (&["exec", "--only=db/password", "--only="], "--only=stripe/live\n"),
        (&["exec", "--only", "db/password", "--previous", "db"], "db/password\n"),
        (&["exec", "--scope", "payments", "--scope", ""], "deploy:prod\n"),
        (&["list", "--scope", "payments", "--status", ""], "active\ndisabled\nexpired\nrevoked\n"),
        (&["generate", "stripe/live", "--scope", "p"], "payments\n"),
        (&["generate", "a", "--recipe", "ssh-ed"], "ssh-ed25519\n"),
        (&["audit", "log", "--action", "rolls"], ""),
        (&["audit", "log", "--action", "unl"], "unlock\n"),
    ] {
        assert_eq!(ask(&world, words).ok().out, expected, "{words:?}");
    }
    let offered = |words: &[&str]| offered(&world, words);
    assert!(!offered(&["rotate", "db/password", ""]).contains(&"db/password".to_owned()));
    assert!(offered(&["rotate", "db/password", ""]).contains(&"stripe/live".to_owned()));
    let rest = [
        (&["exec", "--scope", "payments,"][..], "payments,deploy:prod\n"),
        (&["exec", "--scope=payments,d"], "--scope=payments,deploy:prod\n"),
    ];
    for (words, expected) in rest {
        assert_eq!(ask(&world, words).ok().out, expected, "{words:?}");
    }
    // Among files the folder where one is comes first, and is hardly ever meant.
    let files = offered(&["import", ""]);
    assert!(files.contains(&"notes.env".to_owned()) && !files.contains(&".".to_owned()), "{files:?}");
}

#[test]
fn tokens_are_completed_where_one_is_named() {
    let world = world();
    world.run(&["token", "create", "ci", "--key", "db/password"]).ok();
    world.run(&["token", "create", "deploy/prod", "--key", "db/password"]).ok();
    for words in [
        &["token", "show", "d"] as &[&str],
        &["token", "revoke", "d"],
        &["bundle", "create", "--token", "d"],
        &["audit", "log", "--token", "d"],
    ] {
        assert_eq!(ask(&world, words).ok().out, "deploy/prod\n", "{words:?}");
    }
}

/// The first words of what is offered, without what is told about them.
fn offered(world: &World, words: &[&str]) -> Vec<String> {
    let out = ask(world, words).ok().out;
    out.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn versions_are_those_of_the_key_on_the_line_that_the_command_takes() {
    let world = World::own();
    world.run(&["generate", "stripe/live"]).ok();
    world.run(&["generate", "other"]).ok();
    world.run(&["rotate", "stripe/live"]).ok();
    world.run(&["rotate", "stripe/live"]).ok();
    world.run(&["rotate", "stripe/live", "--grace", "1h"]).ok();
    world.run(&["revoke", "stripe/live", "--version", "2"]).ok();
    world.run(&["unlock"]).ok();
    let of = |words: &[&str]| offered(&world, words);
    assert_eq!(of(&["show", "stripe/live", "--reveal", "--version", ""]), ["4", "3"]);
    assert_eq!(of(&["rollback", "stripe/live", "--to", ""]), ["3", "1"]);
    assert_eq!(of(&["revoke", "stripe/live", "--version", ""]), ["4", "3", "1"]);
    assert_eq!(of(&["revoke", "stripe/live", "--version="]), ["--version=4", "--version=3", "--version=1"]);
    assert_eq!(of(&["revoke", "other", "--version", ""]), ["1"]);
    assert_eq!(of(&["revoke", "absent", "--version", ""]), [""; 0]);
    assert!(ask(&world, &["rollback", "stripe/live", "--to", ""]).ok().out.contains("3\tprevious\n"));
}

#[test]
fn slots_and_tags_are_completed_from_an_open_session_only() {
    let world = World::own();
    world.run(&["generate", "a", "--tag", "team=web", "--tag", "why=needs a quote"]).ok();
    world.run(&["generate", "b", "--tag", "team=web", "--tag", "tier=1"]).ok();
    world.run(&["unlock"]).ok();
    let before = std::fs::read(world.vault()).unwrap();
    let of = |words: &[&str]| offered(&world, words);
    let slots = of(&["vault", "slot", "remove", ""]);
    assert!(!slots.is_empty() && slots.iter().all(|slot| slot.parse::<u32>().is_ok()), "{slots:?}");
    assert_eq!(of(&["list", "--tag", "t"]), ["team=web", "tier=1"]);
    assert_eq!(of(&["list", "--tag", "tier=1,te"]), ["tier=1,team=web"]);
    assert_eq!(of(&["edit", "a", "--tag", "te"]), ["team=web"]);
    assert_eq!(of(&["add", "c", "--tag=te"]), ["--tag=team=web"]);
    assert_eq!(of(&["edit", "a", "--untag", ""]), ["team", "tier", "why"]);
    assert!(std::fs::read(world.vault()).unwrap() == before, "the vault was written");
    world.run(&["lock"]).ok();
    for words in [
        &["vault", "slot", "remove", ""][..],
        &["list", "--tag", ""],
        &["edit", "a", "--untag", ""],
        &["revoke", "a", "--version", ""],
        &["token", "show", ""],
        &["exec", "--scope", ""],
    ] {
        let ran = ask(&world, words).ok();
        assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""), "{words:?}");
    }
}

#[test]
fn options_are_offered_behind_a_dash_and_values_otherwise() {
    let world = world();
    let of = |words: &[&str]| offered(&world, words);
    assert_eq!(of(&["show", ""]), ["db/password", "stripe/live"]);
    assert_eq!(of(&["status", ""]), [""; 0]);
    assert!(of(&["show", "-"]).contains(&"--reveal".to_owned()));
    assert!(of(&["status", "--js"]).contains(&"--json".to_owned()));
}

#[test]
fn every_value_from_a_fixed_list_is_completed() {
    let mut world = World::own();
    world.set("MY_REGION", "eu");
    world.file("keys.kvb", "");
    world.file(".keyvault.toml", "[keys]\nA = \"a\"\n[profiles.staging.keys]\nA = \"b\"\n");
    for (words, expected) in [
        (&["generate", "a", "--alphabet", "he"][..], "hex"),
        (&["generate", "a", "--recipe", "ssh-ecdsa-p3"], "ssh-ecdsa-p384"),
        (&["generate", "a", "--expires", "9"], "90d"),
        (&["edit", "a", "--expires", "n"], "never"),
        (&["export", "--format", "dot"], "dotenv"),
        (&["export", "--shell", "fi"], "fish"),
        (&["list", "--columns", "name,sta"], "name,status"),
        (&["list", "--sort", "cr"], "created"),
        (&["exec", "--clean-env", "--preserve-env", "MY_R"], "MY_REGION"),
        (&["exec", "--watch", "--on-rotate", "H"], "HUP"),
        (&["exec", "--profile", "st"], "staging"),
        (&["project", "check", "--profile", "st"], "staging"),
        (&["exec", "--bundle", "ke"], "keys.kvb"),
        (&["vault", "diff", "ke"], "keys.kvb"),
        (&["audit", "import", "ke"], "keys.kvb"),
        (&["project", "render", "ke"], "keys.kvb"),
        (&["vault", "rekey", "--key-file", "ke"], "keys.kvb"),
        (&["completions", "fi"], "fish"),
    ] {
        assert_eq!(offered(&world, words), [expected], "{words:?}");
    }
}

#[test]
fn completion_of_another_vault_takes_its_names() {
    let world = world();
    let other = World::own();
    other.run(&["generate", "other/key"]).ok();
    other.run(&["unlock"]).ok();
    let path = other.vault();
    let path = path.to_str().unwrap();
    let shown = ask(&world, &["--vault", path, "show", "o"]).ok().out;
    assert_eq!(shown, "other/key\n");
}

#[test]
fn without_a_vault_or_with_a_damaged_one_completion_says_nothing_of_it() {
    let world = World::empty();
    assert_eq!(ask(&world, &["show", "s"]).ok().err, "");
    let damaged = self::world();
    std::fs::write(damaged.vault(), "nothing").unwrap();
    let ran = ask(&damaged, &["show", "s"]).ok();
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""));
}

/// The output of `keyvault completions` and `keyvault man` is in the repository, for packagers.
/// `KEYVAULT_WRITE=1 cargo test --test it completion::committed` writes it anew. The scripts of the shells are written there
/// by hand and built into the program.
#[test]
fn committed_completions_and_man_pages_are_current() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let world = World::empty();
    let mut files = std::collections::BTreeMap::new();
    for (shell, name) in [("bash", "keyvault.bash"), ("zsh", "_keyvault"), ("fish", "keyvault.fish")] {
        files.insert(root.join("completions").join(name), world.run(&["completions", shell]).ok().bytes);
    }
    world.run(&["man", "--all", "man"]).ok();
    for entry in std::fs::read_dir(world.home().join("man")).unwrap().map(Result::unwrap) {
        files.insert(root.join("man").join(entry.file_name()), std::fs::read(entry.path()).unwrap());
    }
    if std::env::var_os("KEYVAULT_WRITE").is_some() {
        for (path, content) in &files {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
    }
    let mut committed = std::collections::BTreeSet::new();
    for folder in ["completions", "man"] {
        let entries = std::fs::read_dir(root.join(folder)).expect("KEYVAULT_WRITE=1 makes the folder");
        committed.extend(entries.map(|entry| entry.unwrap().path()));
    }
    assert_eq!(committed, files.keys().cloned().collect());
    let stale = files.iter().filter(|(path, content)| std::fs::read(path).unwrap() != **content);
    let stale: Vec<_> = stale.map(|(path, _)| path).collect();
    assert!(stale.is_empty(), "KEYVAULT_WRITE=1 makes these anew: {stale:?}");
}

#[test]
fn completion_answers_its_own_scripts_only() {
    let mut world = World::own();
    for value in ["0", "1", "fish", "xx"] {
        world.set("KEYVAULT_COMPLETE", value);
        let ran = world.run(&["status"]);
        assert!(ran.out.contains("locked"), "{value}: {}", ran.out);
    }
}

#[test]
fn completion_leaves_no_trace() {
    let world = World::own();
    world.run(&["generate", "stripe/live"]).ok();
    world.run(&["unlock"]).ok();
    crate::harness::vault_file::drop_side_files(&world.vault());
    std::fs::set_permissions(world.vault(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let before = world.every_file();
    let mut complete = world.command(KEYVAULT);
    complete.env("KEYVAULT_COMPLETE", "fish").args(["--", "keyvault", "show", "str"]);
    let ran = finish(&mut complete, b"").ok();
    assert!(ran.out.contains("stripe/live"), "{}{}", ran.out, ran.err);
    assert!(world.every_file() == before, "a file was made or changed");
    let mode = std::fs::metadata(world.vault()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
}
