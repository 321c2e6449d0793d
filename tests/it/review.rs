//! Bugs that a review of the life of a key and of a vault found, each by the name of its finding.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use pretty_assertions::assert_eq;
use rusqlite::Connection;

use crate::file::drop_side_files;
use crate::harness::{KEYVAULT, PASSPHRASE, World, finish};

fn value(world: &World, name: &str) -> String {
    world.run(&["show", name, "--reveal"]).ok().out
}

/// A world with a passphrase file, for what asks twice.
fn with_files() -> World {
    let world = World::own();
    let file = world.file("new", PASSPHRASE);
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    world
}

#[test]
fn a_jobs_stdin_becomes_no_value_unless_the_job_named_the_key() {
    let world = World::new();
    world.run_with_input(&["add", "b", "--scope", "s"], "v1").ok();
    world.run_with_input(&["rotate", "--scope", "s"], "swallowed").fails(2, "b");
    world.run(&["rotate", "--scope", "s"]).fails(2, "b");
    world.run(&["edit", "b", "--expires", "2020-01-01"]).ok();
    world.run_with_input(&["rotate", "--expired", "--expires", "9d"], "swallowed").fails(2, "b");
    world.run(&["edit", "b", "--expires", "never"]).ok();
    world.run(&["rotate", "b"]).fails(2, "No new value was given");
    assert_eq!(value(&world, "b"), "v1");
    world.run_with_input(&["rotate", "b"], "v2").ok();
    assert_eq!(value(&world, "b"), "v2");
    world.run(&["rotate", "b", "--stdin"]).ok();
    assert_eq!(value(&world, "b"), "");
}

#[test]
fn a_value_goes_to_the_key_that_it_was_asked_for_or_to_none() {
    let world = World::new();
    for name in ["x", "y"] {
        world.run_with_input(&["add", name], format!("of {name}")).ok();
    }
    let mut waits = world.command(KEYVAULT);
    let mut waits = waits.args(["rotate", "x"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It reads stdin once it has looked at the vault.
    let calls = format!("/proc/{}/syscall", waits.id());
    let deadline = Instant::now() + Duration::from_secs(20);
    while !std::fs::read_to_string(&calls).is_ok_and(|call| call.starts_with("0 0x0 ")) {
        assert!(Instant::now() < deadline, "it does not read");
        std::thread::sleep(Duration::from_millis(5));
    }
    world.run(&["edit", "x", "--rename", "z"]).ok();
    world.run(&["edit", "y", "--rename", "x"]).ok();
    std::io::Write::write_all(&mut waits.stdin.take().unwrap(), b"new").unwrap();
    let ended = waits.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(7), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!((value(&world, "x"), value(&world, "z")), ("of y".to_owned(), "of x".to_owned()));
}

#[test]
fn a_rekey_makes_no_vault_that_its_own_rules_refuse() {
    let world = with_files();
    world.run(&["vault", "slot", "add", "keyfile", "kf"]).ok();
    let mut rekey = vec!["vault", "rekey", "--no-recovery"];
    rekey.extend(["--key-file", "kf"].repeat(2));
    world.run(&rekey).fails(2, "same key file");
    world.run(&["vault", "slot", "remove", "2", "--yes"]).ok();
    let files: Vec<String> = (0..30).map(|number| format!("kf{number}")).collect();
    for file in &files {
        world.run(&["vault", "slot", "add", "keyfile", file]).ok();
    }
    world.run(&["vault", "slot", "add", "keyfile", "33"]).fails(6, "");
    let mut rekey = vec!["vault", "rekey", "--recovery-file", "code", "--key-file", "kf"];
    rekey.extend(files.iter().flat_map(|file| ["--key-file", file]));
    world.run(&rekey).fails(6, "");
    assert!(!world.home().join("code").exists());
    world.run(&["list"]).ok();
    // 31 key files and a passphrase; a recovery code by way of `recover` would be one too many as well.
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_vault_that_only_key_files_open_is_told_to_get_a_passphrase_before_a_rekey() {
    let mut world = with_files();
    world.run(&["vault", "slot", "add", "keyfile", "k"]).ok();
    world.set("KEYVAULT_KEY_FILE", "k");
    world.unset("KEYVAULT_PASSPHRASE");
    world.run(&["vault", "slot", "remove", "1", "--yes"]).ok();
    let rekey = ["vault", "rekey", "--key-file", "k", "--no-recovery"];
    world.run(&rekey).fails(6, "'keyvault vault passwd' sets one.");
    world.run(&["vault", "passwd", "--new-passphrase-file", "new"]).ok();
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    world.run(&rekey).ok();
    world.run(&["list"]).ok();
}

#[test]
fn a_rekey_names_every_way_in_that_it_drops() {
    let world = with_files();
    for file in ["k1", "k2"] {
        world.run(&["vault", "slot", "add", "keyfile", file]).ok();
    }
    let slots = world.run(&["vault", "slot", "list", "--json"]).ok().json();
    let id = |place: usize| slots["slots"][place]["slot"].clone();
    let rekeyed =
        world.run(&["vault", "rekey", "--key-file", "k1", "--recovery-file", "c", "--json"]).ok().json();
    let expected = serde_json::json!([
        { "slot": id(1), "kind": "recovery code" },
        { "slot": id(3), "kind": "key file" },
    ]);
    assert_eq!(rekeyed["dropped"], expected);
}

#[test]
fn a_wrong_code_and_a_wrong_key_file_are_named_as_such() {
    let world = with_files();
    world.run(&["vault", "slot", "add", "recovery", "--recovery-file", "code"]).ok();
    let recover = [
        "vault",
        "recover",
        "--code-file",
        "code",
        "--new-passphrase-file",
        "new",
        "--recovery-file",
        "next",
    ];
    world.run(&recover).ok();
    std::fs::remove_file(world.home().join("next")).unwrap();
    let again = world.run(&recover).fails(4, "That recovery code does not open this vault.");
    assert!(!again.err.contains("passphrase"), "{}", again.err);
    assert!(!world.home().join("next").exists());
    world.run(&["vault", "slot", "add", "keyfile", "own"]).ok();
    let other = with_files();
    other.run(&["vault", "slot", "add", "keyfile", "kf"]).ok();
    std::fs::copy(other.home().join("kf"), world.home().join("kf")).unwrap();
    let mut list = world.command(KEYVAULT);
    let list = finish(list.env("KEYVAULT_KEY_FILE", "kf").arg("list"), b"");
    list.fails(4, "That key file does not open this vault.");
}

#[test]
fn a_code_that_was_lost_with_its_answer_is_said_to_be_lost() {
    let world = with_files();
    let ran = world.sh("keyvault vault slot add recovery --json >/dev/full");
    ran.fails(1, "keyvault vault slot add recovery --recovery-file FILE");
}

#[test]
fn what_is_there_already_is_refused_with_6_and_a_missing_folder_is_named() {
    let world = with_files();
    world.file("there", "mine");
    for command in [
        &["vault", "slot", "add", "keyfile", "there"] as &[&str],
        &["vault", "backup", "there"],
        &["vault", "slot", "add", "recovery", "--recovery-file", "there"],
    ] {
        world.run(command).fails(6, "there is there already; it was not touched");
    }
    assert_eq!(std::fs::read_to_string(world.home().join("there")).unwrap(), "mine");
    world.run(&["vault", "slot", "add", "keyfile", "no/x"]).fails(1, "There is no folder for no/x");
    let backup = world.run(&["vault", "backup", "no/x"]);
    assert!(backup.code == 3 && !backup.err.contains(".new-"), "{}", backup.err);
    assert_eq!(
        world.run(&["vault", "slot", "list", "--json"]).ok().json()["slots"].as_array().unwrap().len(),
        2
    );
}

#[test]
fn no_backup_takes_a_name_that_belongs_to_the_vault() {
    let world = World::new();
    for suffix in ["-journal", "-wal", "-shm"] {
        drop_side_files(&world.vault());
        let name = format!("{}{suffix}", world.vault().display());
        world.run(&["vault", "backup", &name]).fails(6, "");
        world.run(&["list"]).ok();
    }
    world.run(&["vault", "backup", "vault.db-journal"]).ok();
    let vault = world.vault();
    world.run(&["vault", "restore", vault.to_str().unwrap(), "--yes"]).fails(6, "the vault itself");
}

#[test]
fn two_that_change_the_ways_in_at_once_see_no_damage() {
    let world = with_files();
    world.run(&["generate", "g"]).ok();
    let both = |first: &str, second: &str| {
        let line = format!(
            "{first} >o1 2>e1 & one=$!; {second} >o2 2>e2 & wait $one; echo $?; wait $!; echo $?; cat e1 e2"
        );
        let line = line.replace("keyvault", KEYVAULT);
        let mut command = world.command("sh");
        finish(command.args(["-c", &line]), b"").out
    };
    for round in 0..4 {
        for (first, second) in [
            (
                "keyvault vault passwd --new-passphrase-file new",
                "keyvault vault passwd --new-passphrase-file new",
            ),
            ("keyvault vault rekey --no-recovery --yes", "keyvault rotate g"),
            ("keyvault vault rekey --no-recovery --yes", "keyvault vault rekey --no-recovery --yes"),
            ("keyvault vault rekey --no-recovery --yes", "keyvault exec --all -- true"),
        ] {
            let out = both(first, second);
            assert!(
                !out.contains("damaged") && !out.contains("authentic") && !out.contains("tampered"),
                "{round}: {out}"
            );
            let codes: Vec<&str> = out.lines().take(2).collect();
            assert!(
                codes.iter().all(|code| ["0", "1", "4", "7", "125"].contains(code)),
                "{first}, {second}: {out}"
            );
            assert!(codes.contains(&"0"), "{out}");
        }
    }
    world.run(&["vault", "check"]).ok();
}

#[test]
fn what_is_shown_of_a_version_is_that_versions() {
    let world = World::new();
    world.run(&["generate", "g"]).ok();
    let first = world.run(&["show", "g", "--json"]).ok().json();
    let rotated = world.run(&["rotate", "g", "--grace", "1h", "--json"]).ok().json();
    assert_eq!(rotated["keys"][0]["previous"]["version"], 1);
    let shown = world.run(&["show", "g", "--version", "1", "--reveal", "--json"]).ok().json();
    assert_eq!((&shown["version"], &shown["fingerprint"]), (&first["version"], &first["fingerprint"]));
    assert!(shown["value"].is_string());
}

#[test]
fn the_version_before_is_good_on_the_day_on_which_the_new_one_is_revoked() {
    let world = World::new();
    world.run(&["generate", "g"]).ok();
    let first = value(&world, "g");
    world.run(&["rotate", "g", "--grace", "1h"]).ok();
    world.run(&["revoke", "g", "--version", "2"]).ok();
    let ran = world.run(&["exec", "--previous", "g", "--", "sh", "-c", "printf %s \"$G\""]).ok();
    assert_eq!(ran.out, first);
    world.run(&["exec", "--only", "g", "--", "true"]).fails(125, "revoked");
    world.run(&["revoke", "g"]).ok();
    world.run(&["exec", "--previous", "g", "--", "true"]).fails(125, "");
}

#[test]
fn an_expired_key_refuses_its_version_in_grace_even_if_the_current_one_is_revoked() {
    let world = World::new();
    world.run(&["generate", "g"]).ok();
    world.run(&["rotate", "g", "--grace", "1h"]).ok();
    world.run(&["revoke", "g", "--version", "2"]).ok();
    world.run(&["edit", "g", "--expires", "2020-01-01"]).ok();
    world.run(&["show", "g", "--version", "1", "--reveal"]).fails(6, "expired");
    world.run(&["exec", "--previous", "g", "--", "true"]).fails(125, "expired");
}

#[test]
fn no_grace_reaches_past_the_expiry_that_the_key_had() {
    let world = World::new();
    world.run(&["generate", "c", "--expires", "2s"]).ok();
    world.run(&["rotate", "c", "--grace", "1h", "--expires", "never"]).ok();
    std::thread::sleep(Duration::from_millis(2100));
    world.run(&["show", "c", "--version", "1", "--reveal"]).fails(6, "");
    world.run(&["exec", "--previous", "c", "--", "true"]).fails(125, "");
    world.run(&["generate", "e", "--expires", "1s"]).ok();
    world.run(&["rotate", "e", "--grace", "1h", "--expires", "2s"]).ok();
    std::thread::sleep(Duration::from_millis(2100));
    world.run(&["rotate", "e", "--grace", "1h", "--expires", "9d"]).ok();
    world.run(&["show", "e", "--version", "1", "--reveal"]).fails(6, "");
    world.run(&["show", "e", "--version", "2", "--reveal"]).fails(6, "");
    world.run(&["rotate", "e", "--expires", "2020-01-01"]).fails(2, "is past already");
}

#[test]
fn a_restore_does_not_undo_what_was_changed_after_the_question() {
    let world = World::own();
    world.run(&["generate", "a"]).ok();
    world.run(&["vault", "backup", "bb"]).ok();
    let mut restore = world.command("strace");
    // Held up right before the copy is put in place: the changes of others happen in between.
    restore.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"]);
    restore.args(["-e", "inject=fsync,fdatasync:delay_enter=3000000:when=1", KEYVAULT]);
    restore.args(["vault", "restore", "bb", "--yes"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let restore = restore.spawn().expect("strace is needed for this test");
    let deadline = Instant::now() + Duration::from_secs(20);
    let drafted = || {
        let names = std::fs::read_dir(world.vault().parent().unwrap()).unwrap();
        names.map(Result::unwrap).any(|entry| entry.file_name().to_string_lossy().contains(".new-"))
    };
    while !drafted() {
        assert!(Instant::now() < deadline, "no copy was begun");
        std::thread::sleep(Duration::from_millis(10));
    }
    world.run(&["generate", "n1"]).ok();
    world.run(&["generate", "n2"]).ok();
    let restored = restore.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&restored.stderr).into_owned();
    assert_eq!(restored.status.code(), Some(7), "{said}");
    assert!(said.contains("after it was looked at"), "{said}");
    for name in ["a", "n1", "n2"] {
        world.run(&["show", name]).ok();
    }
    world.run(&["vault", "check"]).ok();
    world.run(&["vault", "restore", "bb", "--yes"]).ok();
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_damaged_backup_takes_nothings_place() {
    let world = World::own();
    for name in ["k1", "k2"] {
        world.run(&["generate", name]).ok();
    }
    world.run(&["vault", "backup", "bf"]).ok();
    let backup = world.home().join("bf");
    let connection = Connection::open(&backup).unwrap();
    connection.execute_batch("UPDATE version_value SET sealed = zeroblob(length(sealed))").unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(connection);
    drop_side_files(&backup);
    let before = std::fs::read(world.vault()).unwrap();
    world.run(&["vault", "restore", "bf", "--yes"]).fails(5, "The vault here was not touched");
    assert!(std::fs::read(world.vault()).unwrap() == before);
    world.run(&["vault", "check"]).ok();
}

#[test]
fn the_remedy_for_a_vault_that_cannot_be_replaced_works_as_it_is_printed() {
    let world = World::own();
    world.run(&["generate", "a"]).ok();
    world.run(&["vault", "backup", "b"]).ok();
    std::fs::write(world.vault(), b"no vault at all").unwrap();
    let refused = world.run(&["vault", "restore", "b", "--yes"]);
    assert_eq!(refused.code, 5, "{}", refused.err);
    let remedy = refused.err.lines().find(|line| line.contains("for part in")).unwrap().trim().to_owned();
    world.sh(&format!("{{ {remedy}; }} 2>/dev/null; true")).ok();
    world.run(&["vault", "restore", "b", "--yes"]).ok();
    world.run(&["show", "a"]).ok();
}

#[test]
fn what_a_killed_restore_left_beside_the_vault_goes_with_the_next_one_and_nothing_else() {
    let world = World::own();
    world.run(&["vault", "backup", "b"]).ok();
    let folder = world.vault().parent().unwrap().to_owned();
    for (name, age) in [
        ("vault.db.new-00aa00aa00aa00aa", 7200),
        ("vault.db.new-00aa00aa00aa00aa-wal", 7200),
        ("vault.db.new-11bb11bb11bb11bb", 60),
        // Somebody's own.
        ("vault.db.new-laptop", 7200),
        ("vault.db.new-00aa00aa00aa00aa0", 7200),
    ] {
        let file = std::fs::File::create(folder.join(name)).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(age)).unwrap();
    }
    world.run(&["vault", "restore", "b", "--yes"]).ok();
    let mut left: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains(".new-"))
        .collect();
    left.sort();
    // The younger one may be somebody's who is at work.
    let own = ["vault.db.new-00aa00aa00aa00aa0", "vault.db.new-11bb11bb11bb11bb", "vault.db.new-laptop"];
    assert_eq!(left, own);
}
