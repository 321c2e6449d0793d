//! Sessions and the slots that need no terminal: how long, for whom, and what `status` says of it.

use std::os::unix::fs::{PermissionsExt, symlink};

use pretty_assertions::assert_eq;

use crate::harness::desktop::vault_id;
use crate::harness::{KEYVAULT, PASSPHRASE, World, finish, hours, wait_until};

/// A world of its own, without the passphrase in the environment, and a file with it.
fn with_file() -> World {
    let mut world = World::own();
    world.run(&["generate", "a", "--scope", "s"]).ok();
    world.unset("KEYVAULT_PASSPHRASE");
    let file = world.file("passphrase", format!("{PASSPHRASE}\n"));
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    world
}

fn unlocked(duration: &str) -> World {
    let mut world = with_file();
    world.set("KEYVAULT_PASSPHRASE_FILE", "passphrase");
    world.run(&["unlock", "--for", duration]).ok();
    world.unset("KEYVAULT_PASSPHRASE_FILE");
    world
}

#[test]
fn status_tells_the_truth_and_derives_nothing() {
    let mut world = World::empty();
    let status = |world: &World| world.run(&["status", "--json"]);
    status(&world).is(3, "{\"vault\":\"~/.local/share/keyvault/vault.db\",\"status\":\"none\",\"until\":null,\"alarm\":null,\"log_gap\":null,\"keys\":null,\"sessions\":null,\"credentials\":null}\n", "");
    world = with_file();
    // A passphrase at hand does not make the vault open.
    world.set("KEYVAULT_PASSPHRASE_FILE", "passphrase");
    status(&world).is(4, "{\"vault\":\"~/.local/share/keyvault/vault.db\",\"status\":\"locked\",\"until\":null,\"alarm\":null,\"log_gap\":null,\"keys\":null,\"sessions\":null,\"credentials\":null}\n", "");
    world
        .run(&["unlock", "--for", "2h"])
        .prints("Unlocked until 2040-05-17 10:00 (in 2h). `keyvault lock` ends the session.\n");
    status(&world).prints(r#"
            {"vault":"~/.local/share/keyvault/vault.db","status":"open","until":"2040-05-17T10:00:00.000Z","alarm":null,"log_gap":null,"keys":null,"sessions":[],"credentials":null}
        "#);
    world.run(&["status"]).prints(
        "
            vault        ~/.local/share/keyvault/vault.db
            session      open until 2040-05-17 10:00 (in 2h)
        ",
    );
    world.run(&["lock"]).prints("Locked.\n");
    assert_eq!(status(&world).code, 4);
    world.run(&["lock"]).prints("No session was open.\n");
}

#[test]
fn a_session_lasts_from_a_second_to_twelve_hours() {
    let mut world = with_file();
    world.set("KEYVAULT_PASSPHRASE_FILE", "passphrase");
    for bad in ["0s", "13h", "12h1s", "-1h", "1d", "soon"] {
        let ran = world.run(&["unlock", &format!("--for={bad}")]);
        assert_eq!(ran.code, 2, "{bad}: {}", ran.err);
        world.run(&["status"]).is(
            4,
            "
                vault        ~/.local/share/keyvault/vault.db
                session      locked; open a session with `keyvault unlock`
            ",
            "",
        );
    }
    for good in ["1s", "12h", "720m"] {
        world.run(&["unlock", "--for", good]).ok();
    }
}

#[test]
fn a_session_is_gone_at_its_time_and_so_is_its_key() {
    let world = unlocked("6s");
    let id = vault_id(&world);
    let kept = || {
        let keys = std::fs::read_to_string("/proc/keys").unwrap();
        keys.lines().any(|line| line.contains(&id) && !line.contains("expd"))
    };
    assert!(kept(), "the kernel's key is known by the vault's id");
    world.run(&["status"]).ok();
    // The world's clock stands still: it is the kernel that ends it.
    wait_until("the end of the session", || world.run(&["status"]).code != 0);
    world.run(&["show", "a"]).fails_with(
        4,
        "
            error: The vault is locked, and there is no terminal to prompt on.
                   Run `keyvault unlock` in a terminal, or set KEYVAULT_PASSPHRASE_FILE to
                   a file with the passphrase, KEYVAULT_PASSPHRASE to the passphrase itself,
                   or KEYVAULT_KEY_FILE to a key file.
        ",
    );
    assert!(!kept());
}

#[test]
fn a_session_that_the_kernel_still_keeps_opens_nothing_past_its_time() {
    let world = unlocked("1h");
    world.advance(hours(1));
    world.run(&["status"]).is(
        4,
        "
            vault        ~/.local/share/keyvault/vault.db
            session      locked; open a session with `keyvault unlock`
        ",
        "",
    );
    world.run(&["show", "a"]).fails_with(
        4,
        "
            error: The vault is locked, and there is no terminal to prompt on.
                   Run `keyvault unlock` in a terminal, or set KEYVAULT_PASSPHRASE_FILE to
                   a file with the passphrase, KEYVAULT_PASSPHRASE to the passphrase itself,
                   or KEYVAULT_KEY_FILE to a key file.
        ",
    );
}

#[test]
fn every_way_to_give_the_passphrase_without_a_terminal() {
    let world = with_file();
    symlink("passphrase", world.home().join("link")).unwrap();
    world.file("bare", PASSPHRASE);
    let shell = |line: &str| world.sh(&format!("umask 077; {line}"));
    for line in [
        "KEYVAULT_PASSPHRASE_FILE=passphrase keyvault list",
        "KEYVAULT_PASSPHRASE_FILE=bare keyvault list",
        "KEYVAULT_PASSPHRASE_FILE=link keyvault list",
        "mkfifo pipe; cat passphrase > pipe & KEYVAULT_PASSPHRASE_FILE=pipe keyvault list",
        "KEYVAULT_PASSPHRASE_FILE=/dev/fd/3 keyvault list 3<passphrase",
        "KEYVAULT_PASSPHRASE_FILE=/dev/stdin keyvault list <passphrase",
        // The file goes before the variable.
        "KEYVAULT_PASSPHRASE_FILE=passphrase KEYVAULT_PASSPHRASE=wrong keyvault list",
        "KEYVAULT_PASSPHRASE='correct horse battery staple' keyvault list",
        "KEYVAULT_PASSPHRASE_FILE= KEYVAULT_PASSPHRASE='correct horse battery staple' keyvault list",
    ] {
        let ran = shell(line);
        assert_eq!((ran.code, ran.out.contains("active")), (0, true), "{line}: {}", ran.err);
        assert!(!ran.err.contains("Unlocked"), "{line} opened a session: {}", ran.err);
        world.run(&["status"]).is(
            4,
            "
                vault        ~/.local/share/keyvault/vault.db
                session      locked; open a session with `keyvault unlock`
            ",
            "",
        );
    }
    // One newline is dropped and not two.
    world.file("two", format!("{PASSPHRASE}\n\n"));
    shell("KEYVAULT_PASSPHRASE_FILE=two keyvault list").fails_with(
        4,
        "
            warning: Others can read two. Fix it: chmod 600 two
            error: That is not the vault's passphrase. (It came from KEYVAULT_PASSPHRASE_FILE.)
                   What was given has several lines, which may not be part of it.
                   If it is lost, or its slot is damaged, set a new one with the recovery code: keyvault vault recover
        ",
    );
    shell("KEYVAULT_PASSPHRASE_FILE=passphrase keyvault unlock --for 1m").ok();
    world.run(&["status"]).ok();
}

#[test]
fn a_passphrase_file_that_others_can_read_is_warned_of_but_not_on_tmpfs() {
    let world = with_file();
    let run = |path: &str| {
        let mut list = world.command(KEYVAULT);
        finish(list.env("KEYVAULT_PASSPHRASE_FILE", path).arg("list"), b"").ok()
    };
    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let file = world.home().join("passphrase");
    mode(&file, 0o600);
    assert_eq!(run("passphrase").err, "");
    mode(&file, 0o644);
    run("passphrase").is(
        0,
        "
            NAME  VARIABLE  SCOPES  VER  AGE  EXPIRES  STATUS
            a     A         s         1   0s  never    active
        ",
        "warning: Others can read passphrase. Fix it: chmod 600 passphrase\n",
    );
    let secrets = tempfile::tempdir_in("/dev/shm").expect("/dev/shm is needed for this test");
    mode(secrets.path(), 0o755);
    let secret = secrets.path().join("vault_passphrase");
    std::fs::write(&secret, PASSPHRASE).unwrap();
    mode(&secret, 0o444);
    assert_eq!(run(secret.to_str().unwrap()).err, "");
}

#[test]
fn a_passphrase_file_that_is_not_there_locks_and_names_the_variable() {
    let world = with_file();
    let mut list = world.command(KEYVAULT);
    let ran = finish(list.env("KEYVAULT_PASSPHRASE_FILE", "/nowhere/file").arg("list"), b"");
    ran.fails_with(4, "error: /nowhere/file does not exist. (KEYVAULT_PASSPHRASE_FILE names it.)\n");
}

/// Holds docs/THREATS.md: a session belongs to the user, and scopes choose keys, they do not confine a child.
#[test]
fn a_child_that_was_given_one_scope_reads_every_key_while_a_session_is_open() {
    let world = unlocked("1h");
    world.run(&["generate", "other", "--scope", "prod"]).ok();
    let child = format!("'{KEYVAULT}' export --all");
    let ran = world.run(&["exec", "--scope", "s", "--", "sh", "-c", &child]).ok();
    assert!(ran.out.contains("OTHER="), "{}", ran.out);
    world.run(&["lock"]).ok();
    let child = format!("sleep 0; {child}");
    let mut world = world;
    world.set("KEYVAULT_PASSPHRASE_FILE", "passphrase");
    // 'exec' passes on nothing that opens the vault, and without a session there is nothing else.
    let ran =
        world.run(&["--no-session", "exec", "--scope", "s", "--", "sh", "-c", &child]).fails(4, "locked");
    assert!(!ran.out.contains("OTHER="), "{}", ran.out);
}
