//! Case 4 of the fault catalog: a vault that was put back or went on elsewhere raises an alarm, and what is right
//! raises none. The pin, its number, and other machines that see the same file.

use std::path::PathBuf;

use pretty_assertions::assert_eq;

use crate::harness::vault_file::{filled, put_back, tamper};
use crate::harness::{Ran, World};

/// The report of every command that looks at a vault older than this machine knows.
const OLDER: &str = "warning: The vault is older than the state this machine last saw. To accept it: keyvault vault restore --adopt\n";

/// A second machine: its own memory of the vault, the same file.
fn elsewhere(world: &World, line: &str) -> Ran {
    let state = world.path().join("elsewhere");
    world.sh(&format!("export XDG_STATE_HOME='{}'; {line}", state.display()))
}

fn add(world: &World, name: &str, value: &str) {
    world.run_with_input(&["add", name], value).ok();
}

#[test]
fn an_adoption_here_is_no_fork_on_a_machine_that_saw_the_adopted_state() {
    let world = World::new();
    world.run(&["generate", "k1"]).ok();
    elsewhere(&world, "keyvault generate k2").ok();
    let adopted = std::fs::read(world.vault()).unwrap();
    world.run(&["generate", "k3"]).ok();
    put_back(&world, &adopted);
    world.run(&["vault", "restore", "--adopt", "--yes"]).ok();
    elsewhere(&world, "keyvault exec --all -- true").ok();
    elsewhere(&world, "keyvault generate k4").ok();
}

#[test]
fn a_moved_vault_is_silent_and_an_older_copy_is_said_to_be_older() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    let older = world.home().join("older.db");
    std::fs::copy(world.vault(), &older).unwrap();
    let moved = world.home().join("moved.db");
    world.run(&["generate", "b"]).ok();
    std::fs::copy(world.vault(), &moved).unwrap();
    let exec = |vault: &std::path::Path, key: &str| {
        world.run(&["--vault", vault.to_str().unwrap(), "exec", "--only", key, "--", "true"]).ok()
    };
    assert_eq!(exec(&moved, "b").err, "");
    exec(&older, "a").reports("
            warning: This copy is at change 2, but this machine saw ~/.local/share/keyvault/vault.db at change 3: what was changed or revoked there is missing here.
        ");
}

#[test]
fn a_machine_that_cannot_remember_says_so_and_the_change_stands() {
    let mut world = World::new();
    world.set("XDG_STATE_HOME", "/proc/nowhere");
    let made = world.run(&["generate", "a", "--json"]).ok();
    made.is(0, r#"
            {"keys":[{"name":"a","variable":"A","version":1,"display_name":null,"owner":null,"scopes":[],"tags":{},"note":null,"public":false,"status":"active","disabled":null,"created":"2040-05-17T08:00:00.000Z","expires":null,"recipe":"token","entropy_bits":256,"fingerprint":"xxxxxxxxxxxx","public_key":null,"previous":null}]}
        "#, "
            warning: Done, but this machine could not record it (no such file or directory), so a rollback would go unnoticed.
        ");
    world.run(&["show", "a"]).ok();
}

#[test]
fn an_alarm_is_said_wherever_the_vault_is_looked_at() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    let older = std::fs::read(world.vault()).unwrap();
    world.run(&["generate", "b"]).ok();
    put_back(&world, &older);
    for command in [&["list"] as &[&str], &["show", "a"]] {
        world.run(command).warns(OLDER);
    }
    world.run(&["exec", "--all", "--dry-run", "--", "true"]).fails_with(125, "
            error: ~/.local/share/keyvault/vault.db was rolled back: it is at change 2, and this machine saw change 3.
                   No values are released. If this copy is the one to keep:
                     keyvault vault restore --adopt
        ");
    world.run(&["exec", "--all", "--", "true"]).fails_with(125, "
            error: ~/.local/share/keyvault/vault.db was rolled back: it is at change 2, and this machine saw change 3.
                   No values are released. If this copy is the one to keep:
                     keyvault vault restore --adopt
        ");
}

#[test]
fn case_4_a_whole_file_that_was_rolled_back_alarms_until_it_is_adopted() {
    let world = filled();
    let old = std::fs::read(world.vault()).unwrap();
    world.run(&["edit", "a", "--note", "later"]).ok();
    put_back(&world, &old);
    world.run(&["show", "a", "--reveal"]).fails_with(5, "
            error: ~/.local/share/keyvault/vault.db was rolled back: it is at change 4, and this machine saw change 5.
                   No values are released. If this copy is the one to keep:
                     keyvault vault restore --adopt
        ");
    world.run(&["exec", "--only", "a", "--", "true"]).fails_with(125, "
            error: ~/.local/share/keyvault/vault.db was rolled back: it is at change 4, and this machine saw change 5.
                   No values are released. If this copy is the one to keep:
                     keyvault vault restore --adopt
        ");
    world.run(&["edit", "a", "--note", "z"]).fails_with(5, "
            error: ~/.local/share/keyvault/vault.db was rolled back: it is at change 4, and this machine saw change 5.
                   No values are released. If this copy is the one to keep:
                     keyvault vault restore --adopt
        ");
    world.run(&["list"]).ok();
    world.run(&["vault", "check"]).is(5, "
            3 keys, 3 versions, 4 audit log entries, change 4
            alarm the vault is older than the state this machine last saw. To accept it: keyvault vault restore --adopt
        ", "");
    world.run(&["vault", "restore", "--adopt"]).ok();
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok().out, "value-a");
    world.run(&["vault", "check"]).ok();
    world.run(&["audit", "verify"]).ok();
    world.run(&["audit", "log", "--action", "adopt"]).prints("
                4  2040-05-17 08:00  adopt  ada@host tests -  -  (change 4 accepted, supersedes change 5 seen here)
        ");
}

#[test]
fn case_4_a_fork_alarms_at_the_same_number_and_beyond_it() {
    let world = filled();
    let old = std::fs::read(world.vault()).unwrap();
    world.run(&["edit", "a", "--note", "here"]).ok();
    let pins: Vec<_> =
        world.every_file().into_iter().filter(|(path, _)| path.starts_with(world.pins())).collect();
    // The other branch, made where nobody remembers.
    put_back(&world, &old);
    std::fs::remove_dir_all(world.pins()).unwrap();
    for (note, change) in [("there", 5), ("further", 6)] {
        world.run(&["edit", "a", "--note", note]).ok();
        let there: Vec<_> =
            world.every_file().into_iter().filter(|(path, _)| path.starts_with(world.pins())).collect();
        let write = |files: &[(PathBuf, Vec<u8>)]| {
            for (path, bytes) in files {
                std::fs::write(path, bytes).unwrap();
            }
        };
        write(&pins);
        world.run(&["show", "a", "--reveal"]).fails_with(
            5,
            &format!(
                "
                error: ~/.local/share/keyvault/vault.db is on a different branch: its change {change} does not follow from change 5, which this machine saw.
                       No values are released. If this copy is the one to keep:
                         keyvault vault restore --adopt
                "
            ),
        );
        world.run(&["list"]).ok();
        world.run(&["vault", "check"]).is(
            5,
            &format!(
                "
                3 keys, 3 versions, {change} audit log entries, change {change}
                alarm the vault is on a different branch than the state this machine last saw. To accept it: keyvault vault restore --adopt
                "
            ),
            "",
        );
        write(&there);
    }
    for (path, bytes) in &pins {
        std::fs::write(path, bytes).unwrap();
    }
    world.run(&["vault", "restore", "--adopt"]).ok();
    world.run(&["show", "a", "--reveal"]).ok();
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_number_in_a_pin_cannot_end_a_vault() {
    let world = World::new();
    add(&world, "a", "1");
    let pin = std::fs::read_dir(world.pins()).unwrap().map(|entry| entry.unwrap().path());
    let pin = pin.into_iter().find(|path| path.extension().is_some_and(|it| it == "json")).unwrap();
    let mut text: serde_json::Value = serde_json::from_slice(&std::fs::read(&pin).unwrap()).unwrap();
    for number in [u64::MAX, (1 << 63) - 2] {
        text["change"] = number.into();
        std::fs::write(&pin, text.to_string()).unwrap();
        world.run(&["vault", "restore", "--adopt"]);
        world.run(&["list"]).ok();
        world.run(&["edit", "a", "--note", "x"]).ok();
    }
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_copy_that_is_older_is_named_by_what_looks_at_it_too() {
    let world = World::new();
    add(&world, "a", "1");
    world.run(&["vault", "backup", "copy"]).ok();
    world.run(&["revoke", "a"]).ok();
    for command in [&["show", "a"][..], &["list"], &["history", "a"], &["vault", "check"]] {
        let ran = world.run(&[command, &["--vault", "copy"]].concat());
        let warning = "
            warning: This copy is at change 2, but this machine saw ~/.local/share/keyvault/vault.db at change 3: what was changed or revoked there is missing here.
            ";
        ran.warns(warning);
    }
}

#[test]
fn what_only_looks_names_the_alarm_where_keys_are_at_hand() {
    let world = World::own();
    world.run(&["generate", "a"]).ok();
    let old = std::fs::read(world.vault()).unwrap();
    world.run(&["generate", "b"]).ok();
    world.run(&["unlock"]).ok();
    put_back(&world, &old);
    for command in [
        &["vault", "slot", "list"] as &[&str],
        &["audit", "verify"],
        &["vault", "backup", "copy"],
        &["status"],
    ] {
        let ran = world.run(command);
        // A backup also reports how much it copied.
        assert!(ran.ok().err.starts_with(OLDER), "{command:?}");
    }
    world.run(&["status", "--json"]).is(0, r#"
            {"vault":"~/.local/share/keyvault/vault.db","status":"open","until":"2040-05-17T09:00:00.000Z","alarm":"older than the state this machine last saw","log_gap":null,"keys":null,"sessions":[],"credentials":null}
        "#, "
            warning: The vault is older than the state this machine last saw. To accept it: keyvault vault restore --adopt
        ");
    let doctor = world.run(&["doctor"]);
    assert!(doctor.code == 1 && doctor.out.contains("restore --adopt"), "{}", doctor.out);
    world.run(&["lock"]).ok();
    world.run(&["status", "--json"]).is(4, "{\"vault\":\"~/.local/share/keyvault/vault.db\",\"status\":\"locked\",\"until\":null,\"alarm\":null,\"log_gap\":null,\"keys\":null,\"sessions\":null,\"credentials\":null}\n", "");
}

/// The vault in a folder that is reached through a link, as dotfile managers lay them.
fn linked(world: &World, to: &str) -> String {
    let folder = world.home().join(to);
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    std::os::unix::fs::symlink(&folder, world.home().join("vaults")).unwrap();
    world.home().join("vaults/vault.db").to_str().unwrap().to_owned()
}

#[test]
fn case_79_an_older_copy_behind_an_exchanged_link_alarms() {
    let world = World::new();
    let vault = linked(&world, "here");
    std::fs::copy(world.vault(), &vault).unwrap();
    let keyvault = |line: &[&str]| world.run(&[&["--vault", &vault], line].concat());
    keyvault(&["generate", "a"]).ok();
    // An old copy in another folder, and the link leads there.
    std::fs::create_dir(world.home().join("there")).unwrap();
    std::fs::copy(&vault, world.home().join("there/vault.db")).unwrap();
    keyvault(&["revoke", "a"]).ok();
    std::fs::remove_file(world.home().join("vaults")).unwrap();
    std::os::unix::fs::symlink(world.home().join("there"), world.home().join("vaults")).unwrap();
    keyvault(&["show", "a", "--reveal"]).fails_with(
        5,
        "
            error: ~/there/vault.db was rolled back: it is at change 2, and this machine saw change 3.
                   No values are released. If this copy is the one to keep:
                     keyvault vault restore --adopt
        ",
    );
}

#[test]
fn a_folder_that_moved_behind_its_link_and_one_that_gets_a_link_are_silent() {
    let world = World::new();
    let vault = linked(&world, "here");
    std::fs::copy(world.vault(), &vault).unwrap();
    let keyvault = |vault: &str, line: &[&str]| world.run(&[&["--vault", vault], line].concat()).ok();
    keyvault(&vault, &["generate", "a"]);
    std::fs::rename(world.home().join("here"), world.home().join("there")).unwrap();
    std::fs::remove_file(world.home().join("vaults")).unwrap();
    std::os::unix::fs::symlink(world.home().join("there"), world.home().join("vaults")).unwrap();
    assert_eq!(keyvault(&vault, &["exec", "--only", "a", "--", "true"]).err, "");
    // The path that it now has takes over what was seen through the link, and its own pin goes on from there.
    let direct = world.home().join("there/vault.db").to_str().unwrap().to_owned();
    keyvault(&vault, &["generate", "b"]);
    let old = std::fs::read(&direct).unwrap();
    assert_eq!(keyvault(&direct, &["generate", "c"]).err, "");
    std::fs::write(&direct, &old).unwrap();
    world.run(&["--vault", &direct, "exec", "--only", "a", "--", "true"]).fails_with(
        125,
        "
            error: ~/there/vault.db was rolled back: it is at change 3, and this machine saw change 4.
                   No values are released. If this copy is the one to keep:
                     keyvault vault restore --adopt
        ",
    );
}

#[test]
fn case_80_another_vault_at_the_path_alarms_until_it_is_adopted_and_init_makes_a_new_one() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    let other = world.home().join("other.db").to_str().unwrap().to_owned();
    world.run(&["--vault", &other, "init", "--no-recovery"]).ok();
    world.run(&["--vault", &other, "generate", "a"]).ok();
    put_back(&world, &std::fs::read(&other).unwrap());
    for command in [&["show", "a", "--reveal"] as &[&str], &["generate", "b"]] {
        world.run(command).fails_with(
            5,
            "
            error: ~/.local/share/keyvault/vault.db is not the vault that this machine last saw at this path.
                   No values are released. If this copy is the one to keep:
                     keyvault vault restore --adopt
        ",
        );
    }
    world.run(&["list"]).warns(
        "warning: The vault is not the vault that this machine last saw at this path. To accept it: keyvault vault restore --adopt\n",
    );
    world.run(&["vault", "restore", "--adopt", "--yes"]).ok();
    world.run(&["show", "a", "--reveal"]).ok();
    world.sh("rm .local/share/keyvault/vault.db*").ok();
    world.run(&["init", "--no-recovery"]).ok();
    world.run(&["generate", "a"]).ok();
    world.run(&["show", "a", "--reveal"]).ok();
}

#[test]
fn a_damaged_entry_between_what_was_seen_and_the_file_is_a_fork_that_can_be_adopted() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    elsewhere(&world, "keyvault generate b; keyvault generate c").ok();
    tamper(&world, "UPDATE log SET mac = substr(mac, 1, 31) WHERE id = 2");
    world.run(&["show", "a", "--reveal"]).fails_with(5, "
            error: ~/.local/share/keyvault/vault.db is on a different branch: its change 4 does not follow from change 2, which this machine saw.
                   No values are released. If this copy is the one to keep:
                     keyvault vault restore --adopt
        ");
    world.run(&["vault", "restore", "--adopt", "--yes"]).ok();
    world.run(&["show", "a", "--reveal"]).ok();
}

#[test]
fn the_way_out_of_an_alarm_about_a_damaged_file_is_named_and_works() {
    for (sql, what) in [
        (
            "INSERT INTO log SELECT max(id) + 3, NULL, zeroblob(32), x'00' FROM log WHERE id >> 32 = 0",
            "entries were cut off or added",
        ),
        ("UPDATE leaf SET digest = zeroblob(16)", "does not match the tree"),
    ] {
        let world = filled();
        let older = std::fs::read(world.vault()).unwrap();
        add(&world, "d", "value-d");
        world.run(&["revoke", "c"]).ok();
        put_back(&world, &older);
        tamper(&world, sql);
        for command in
            [&["revoke", "a"][..], &["vault", "rekey", "--yes", "--keep-passphrase", "--no-recovery"]]
        {
            world.run(command).fails(5, "keyvault vault restore --adopt");
        }
        let ran = world.run(&["vault", "restore", "--adopt"]);
        let ways = "  keyvault vault backup FILE\n         keyvault vault restore FILE\n";
        assert!(ran.code == 5 && ran.err.contains(what) && ran.err.ends_with(ways), "{}", ran.err);
        // Without a key it may not notice the damage.
        assert!([0, 5].contains(&world.run(&["vault", "backup", "copy"]).code));
        world.run(&["vault", "restore", "copy", "--yes", "--drop-damaged"]).ok();
        world.run(&["vault", "check"]).ok();
        assert_eq!(world.run(&["show", "a", "--reveal"]).ok().out, "value-a");
        add(&world, "e", "value-e");
    }
}
