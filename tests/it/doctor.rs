//! `doctor`: what it finds, what it says mends it, that this does mend it, and that looking changes nothing.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use keyvault_core::clock::{Clock, Moment};
use keyvault_core::crypto::SystemRng;
use keyvault_core::secret::SecretBytes;
use keyvault_vault::audit::Actor;
use keyvault_vault::state::pin::Pins;
use keyvault_vault::unlock::passphrase::Passphrase;
use keyvault_vault::{Access, NewKey, Notices, Origin, Vault, World as VaultWorld, key};
use pretty_assertions::assert_eq;

use crate::harness::bearer::{held, token, with_keys};
use crate::harness::{PASSPHRASE, StoppedClock, World};

/// The checks that came out as `state`, with what they say.
fn reports(world: &World, state: &str) -> Vec<(String, String, String)> {
    let json = world.run(&["doctor", "--json"]).json();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let checks = json["checks"].as_array().unwrap().iter();
    let found = checks.filter(|check| check["state"] == state);
    found.map(|check| (text(&check["check"]), text(&check["what"]), text(&check["remedy"]))).collect()
}

/// The one finding that there is.
#[track_caller]
fn finding(world: &World) -> (String, String, String) {
    let found = reports(world, "finding");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(world.run(&["doctor"]).code, 1);
    found[0].clone()
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_vault_in_order_has_no_finding_and_the_whole_report_is_this() {
    let world = World::own();
    let ran = world.run(&["doctor"]);
    let expected = "CHECK          STATE  RESULT
files          ok     no one else can read or write the vault's files
synced folder  ok     no sync service found
conflicts      ok     no conflict copies next to the vault
rows           ok     no stray rows
backup         ok     none verified yet; create one with `keyvault vault backup --verify FILE`
keyring        ok     not used; there is no session bus (DBUS_SESSION_BUS_ADDRESS).
kernel keys    ok     sessions can be kept
";
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.starts_with(expected), "{}", ran.out);
    assert!(ran.out.ends_with(
        "clock          ok     not behind the last entry of the audit log
slots          ok     2 give full access
keys           ok     0 keys, none expired, none unused
completion     -      SHELL is not set
No problems found.\n"
    ));
    let json = world.run(&["doctor", "--json"]).ok().json();
    assert_eq!((json["ok"].as_bool(), json["checks"].as_array().unwrap().len()), (Some(true), 12));
    assert_eq!(
        json["checks"][0],
        serde_json::json!({ "check": "files", "state": "ok", "remedy": null,
            "what": "no one else can read or write the vault's files" })
    );
}

#[test]
fn looking_changes_nothing_not_even_a_mode() {
    let world = World::own();
    set_mode(&world.vault(), 0o644);
    let everything = || {
        let mut files: Vec<_> = world.every_file();
        files.sort();
        let meta = |path: &Path| std::fs::metadata(path).unwrap().modified().unwrap();
        let times: Vec<_> = files.iter().map(|(path, _)| meta(path)).collect();
        (files, times)
    };
    let before = everything();
    world.run(&["doctor"]).fails(1, "");
    assert!(everything() == before);
    assert_eq!(std::fs::metadata(world.vault()).unwrap().permissions().mode() & 0o777, 0o644);
    // No session either, though the passphrase was at hand.
    world.run(&["status"]).fails(4, "");
}

#[test]
fn a_vault_that_nobody_would_open_is_a_finding_with_the_refusals_remedy() {
    let world = World::own();
    set_mode(&world.vault(), 0o666);
    let found = reports(&world, "finding");
    assert!(found.iter().any(|(check, what, _)| check == "vault" && what.contains("666")), "{found:?}");
    let none = World::empty();
    let (check, what, remedy) = finding(&none);
    assert_eq!(check, "vault");
    assert!(what.contains("No vault at") && remedy.contains("keyvault init"), "{what} {remedy}");
}

#[test]
fn case_19_synced_folders_and_conflict_copies_are_found() {
    let world = World::own();
    let folder = world.home().join("Dropbox/secrets");
    std::fs::create_dir_all(&folder).unwrap();
    set_mode(&folder, 0o700);
    let vault = folder.join("vault.db");
    std::fs::copy(world.vault(), &vault).unwrap();
    let copy = folder.join("vault (Ada's conflicted copy 2026-11-21).db");
    std::fs::copy(&vault, &copy).unwrap();
    let ran = world.run(&["--vault", vault.to_str().unwrap(), "doctor", "--json"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let json = ran.json();
    let checks = json["checks"].as_array().unwrap();
    let of = |name: &str| checks.iter().find(|check| check["check"] == name).unwrap().clone();
    assert!(of("synced folder")["what"].as_str().unwrap().starts_with("Dropbox syncs"));
    assert!(of("conflicts")["what"].as_str().unwrap().contains("conflicted copy"));
    // The remedy is a command.
    let remedy = of("conflicts")["remedy"].as_str().unwrap().to_owned();
    let command = remedy.strip_prefix("Compare: ").and_then(|rest| rest.split(". Take").next()).unwrap();
    world.sh(&format!("export KEYVAULT_VAULT='{}'; {command}", vault.display())).ok();
}

#[test]
fn where_there_is_a_bundle_and_no_vault_it_is_looked_at_and_no_vault_is_missed() {
    let owner = with_keys();
    let token = token(&owner, &["ci", "--scope", "deploy"]);
    owner.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb"]).ok();
    let mut away = World::empty();
    std::fs::copy(owner.home().join("keys.kvb"), away.home().join("keys.kvb")).unwrap();
    away.set("KEYVAULT_BUNDLE", "keys.kvb");
    let of = |world: &World, state: &str, check: &str| {
        reports(world, state).into_iter().find(|report| report.0 == check).map(|report| report.1)
    };
    assert_eq!(
        of(&away, "finding", "token").as_deref(),
        Some("A bundle opens only with its token, and none is set.")
    );
    let status = away.run(&["status", "-v"]).out;
    assert!(
        status.ends_with("\nCREDENTIAL  OPENS  WHY\ntoken       no     KEYVAULT_TOKEN is not set\n"),
        "{status}"
    );
    away.set("KEYVAULT_TOKEN", &token);
    let before = away.every_file();
    let what = of(&away, "ok", "token").unwrap();
    assert!(what.starts_with("ci opens keys.kvb, created 20"), "{what}");
    assert_eq!(of(&away, "skipped", "vault").as_deref(), Some("no vault, and the bundle needs none"));
    away.run(&["doctor"]).ok();
    assert!(away.every_file() == before, "looking changed something");
    let status = away.run(&["status", "-v"]).out;
    assert!(status.contains("maybe  opens the bundle in KEYVAULT_BUNDLE"), "{status}");
    away.file("keys.kvb", "keyvault bundle 1\n");
    assert!(of(&away, "finding", "token").is_some());
    assert!(of(&away, "finding", "vault").is_some());
    away.set("KEYVAULT_BUNDLE", "fifo");
    away.sh("mkfifo fifo").ok();
    assert!(of(&away, "skipped", "token").unwrap().ends_with("is not a regular file and was not read"));
}

#[test]
fn a_locked_vault_says_what_was_not_looked_at_and_a_session_a_keyring_or_a_credential_opens_it() {
    let mut world = World::own();
    world.run(&["generate", "a", "--expires", "90d"]).ok();
    world.run(&["vault", "slot", "remove", "2", "--yes"]).ok();
    assert_eq!(finding(&world).0, "slots");
    world.unset("KEYVAULT_PASSPHRASE");
    let skipped: Vec<_> = reports(&world, "skipped").into_iter().map(|(check, ..)| check).collect();
    assert_eq!(skipped, ["slots", "keys", "completion"]);
    world.run(&["doctor"]).ok();
}

/// Acts through the library so many days from now.
fn days_from_now(world: &World, days: i64, act: impl FnOnce(&mut Vault, &Access, &VaultWorld<'_>)) {
    let clock = StoppedClock(world.clock().now().plus_millis(days * 86_400_000));
    let pins = Pins::in_folder(world.pins());
    let mut vault = Vault::open(&world.vault(), &pins).unwrap();
    let passphrase = Passphrase::new(&SecretBytes::copy_from(PASSPHRASE.as_bytes())).unwrap();
    let access = vault.open_passphrase(&passphrase).unwrap();
    let vault_world = VaultWorld {
        clock: &clock,
        rng: &SystemRng,
        actor: Actor::default(),
        pins,
        holders: crate::harness::nobody(),
        notices: Notices::told_by(&|_| ()),
        waiting: &|_, _| (),
    };
    act(&mut vault, &access, &vault_world);
}

fn key(name: &str, expires: Option<Moment>) -> NewKey {
    NewKey {
        public: false,
        name: name.parse().unwrap(),
        variable: None,
        scopes: std::collections::BTreeSet::new(),
        tags: std::collections::BTreeMap::new(),
        note: String::new(),
        expires,
        origin: Origin::Given(SecretBytes::copy_from(name.as_bytes())),
    }
}

#[test]
fn expired_and_unused_keys_are_found_by_what_the_log_says() {
    let world = World::own();
    let ago = |days: i64| world.clock().now().plus_millis(-days * 86_400_000);
    days_from_now(&world, -200, |vault, access, at| {
        for (name, expires) in
            [("long/ago", None), ("lately", None), ("never", None), ("gone", None), ("over", Some(ago(100)))]
        {
            key::create(vault, access, at, &key(name, expires), false).unwrap();
        }
        for name in ["long/ago", "gone"] {
            key::reveal(vault, access, at, &name.parse().unwrap(), None).unwrap();
        }
    });
    days_from_now(&world, -89, |vault, access, at| {
        key::reveal(vault, access, at, &"lately".parse().unwrap(), None).unwrap();
    });
    days_from_now(&world, -6, |vault, access, at| {
        key::create(vault, access, at, &key("new", None), false).unwrap();
    });
    // Under its new name a key is the same; another one under an old name is not.
    world.run(&["edit", "lately", "--rename", "renamed"]).ok();
    world.run(&["remove", "gone", "--yes"]).ok();
    world.run(&["generate", "gone"]).ok();
    let mut found = reports(&world, "finding").into_iter();
    let (expired, unused) = (found.next().unwrap(), found.next().unwrap());
    assert_eq!((expired.0.as_str(), expired.1.as_str()), ("expired keys", "over"));
    assert_eq!(unused.0, "unused keys");
    assert_eq!(unused.1, "long/ago (last read 200d ago), never (never read, created 200d ago)");
    assert_eq!(found.next(), None);
    // The remedies mend.
    world.run(&["edit", "over", "--expires", "30d"]).ok();
    for name in ["long/ago", "never", "over"] {
        world.run(&["show", name, "--reveal"]).ok();
    }
    assert_eq!(reports(&world, "finding"), []);
}

#[test]
fn a_clock_behind_the_log_is_found_and_without_the_log_one_behind_the_file() {
    let mut world = World::own();
    days_from_now(&world, 2, |vault, access, at| {
        key::create(vault, access, at, &key("a", None), false).unwrap();
    });
    let (check, what, _) = finding(&world);
    assert_eq!(check, "clock");
    assert!(what.starts_with("the clock is 2d behind the last entry of the audit log ("), "{what}");
    world.unset("KEYVAULT_PASSPHRASE");
    assert_eq!(reports(&world, "finding"), []);
    world.sh("touch -d '2040-05-20 08:00:01 UTC' .local/share/keyvault/vault.db").ok();
    let (_, what, _) = finding(&world);
    assert!(what.starts_with("the clock is 3d behind the last change of the file ("), "{what}");
}

#[test]
fn completion_is_looked_for_in_files_and_nothing_is_run() {
    let mut world = World::own();
    for (shell, file, line) in [
        ("bash", ".bashrc", "source <(keyvault completions bash)"),
        ("zsh", ".zshrc", "source <(keyvault completions zsh)"),
        ("fish", ".config/fish/completions/keyvault.fish", "complete"),
    ] {
        world.set("SHELL", &format!("/usr/bin/{shell}"));
        let (check, what, remedy) = finding(&world);
        assert_eq!((check.as_str(), what), ("completion", format!("{shell} has no completion for keyvault")));
        assert!(remedy.contains(&format!("keyvault completions {shell}")), "{remedy}");
        let path = world.home().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        if shell != "fish" {
            std::fs::write(&path, format!("# {line}\n")).unwrap();
            assert_eq!(finding(&world).0, "completion");
        }
        std::fs::write(&path, format!("touch ran\n  {line}\n")).unwrap();
        assert_eq!(reports(&world, "finding"), []);
        assert!(!world.home().join("ran").exists());
    }
    world.set("SHELL", "/bin/ksh");
    assert!(
        reports(&world, "skipped").iter().any(|(_, what, _)| what == "keyvault has no completion for ksh")
    );
}

#[test]
fn a_session_from_before_a_rekey_is_stale_and_lock_ends_it() {
    let world = World::own();
    world.run(&["unlock"]).ok();
    let before = std::fs::read(world.vault()).unwrap();
    world.run(&["vault", "rekey", "--keep-passphrase", "--yes", "--json"]).ok();
    // As if the rekey had come by a sync from another machine: the session here is of the old epoch.
    let after = std::fs::read(world.vault()).unwrap();
    std::fs::write(world.vault(), before).unwrap();
    // The device still knows its ledger, so that the unlock changes nothing.
    for entry in std::fs::read_dir(world.pins()).unwrap().map(Result::unwrap) {
        if entry.path().extension().is_some_and(|kind| kind == "json") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    world.run(&["unlock"]).ok();
    std::fs::write(world.vault(), after).unwrap();
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", world.vault().display()));
    }
    let (check, _, remedy) = finding(&world);
    assert_eq!((check.as_str(), remedy.as_str()), ("sessions", "keyvault lock"));
    world.sh(&remedy).ok();
    assert_eq!(reports(&world, "finding"), []);
}

#[test]
fn doctor_looks_at_a_bundle_without_a_home_and_waits_for_no_pipe() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    world.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb"]).ok();
    let mut away = World::empty();
    std::fs::copy(world.home().join("keys.kvb"), away.home().join("keys.kvb")).unwrap();
    away.set("KEYVAULT_BUNDLE", "keys.kvb");
    away.set("KEYVAULT_READS", "reads.jsonl");
    away.unset("HOME");
    let ran = held(&away, &token, &["doctor"]).ok();
    assert!(ran.out.contains("ci opens keys.kvb") && ran.out.contains("HOME is not set to"), "{}", ran.out);
    let mut piped = World::own();
    piped.sh("mkfifo pipe").ok();
    piped.set("KEYVAULT_TOKEN_FILE", "pipe");
    assert!(piped.run(&["doctor"]).out.contains("KEYVAULT_TOKEN_FILE is not a regular file"));
    assert!(piped.run(&["status", "-v"]).out.contains("KEYVAULT_TOKEN_FILE is not a regular file"));
}
