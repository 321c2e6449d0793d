//! Case 92 of the fault catalog: root with another user's HOME, as under `sudo -E` and `su` without `-`.
//!
//! Every test here needs root, to become another user and to give files away; [`require_root`] says so.

use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use pretty_assertions::assert_eq;

use crate::harness::bearer::token;
use crate::harness::vault_file::filled;
use crate::harness::{KEYVAULT, PASSPHRASE, Ran, World, finish};

/// A user that every system knows, whose HOME root works in.
const OWNER: &str = "nobody";
const UID: u32 = 65534;

/// A user without a name.
const UNNAMED: u32 = 54321;

#[track_caller]
fn require_root() {
    assert!(rustix::process::geteuid().is_root(), "this test needs root: it becomes another user");
}

fn give_all(path: &Path, uid: u32) {
    for (path, _) in tree(path) {
        chown(path, Some(uid), Some(uid)).unwrap();
    }
}

/// A folder and everything below it, with the owner.
fn tree(top: &Path) -> Vec<(PathBuf, u32)> {
    let facts = std::fs::symlink_metadata(top).unwrap();
    let mut all = vec![(top.to_owned(), facts.uid())];
    if facts.is_dir() {
        let mut entries: Vec<_> =
            std::fs::read_dir(top).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        all.extend(entries.iter().flat_map(|entry| tree(entry)));
    }
    all
}

/// A world whose HOME belongs to another user and is empty.
fn others_home() -> World {
    require_root();
    let mut world = World::empty();
    give_all(&world.home(), UID);
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    world
}

/// Runs keyvault as that user.
fn as_user(world: &World, uid: u32, arguments: &[&str]) -> Ran {
    let binary = world.path().join("keyvault");
    if !binary.exists() {
        std::fs::copy(KEYVAULT, &binary).unwrap();
        std::fs::set_permissions(world.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let mut command = world.command("setpriv");
    command.args([&format!("--reuid={uid}"), &format!("--regid={uid}"), "--clear-groups"]);
    finish(command.arg(&binary).args(arguments), b"")
}

/// Commands of every kind that would keep something in the home folder.
const COMMANDS: &[&[&str]] = &[
    &["init", "--no-recovery"],
    &["generate", "a"],
    &["list"],
    &["status"],
    &["unlock"],
    &["vault", "check"],
    &["vault", "backup", "b"],
    &["audit", "log"],
    &["doctor"],
];

#[test]
fn case_92_root_in_another_users_home_leaves_nothing_there_and_names_the_user() {
    let world = others_home();
    let before = tree(&world.home());
    let remedy = format!("sudo -u {OWNER} keyvault");
    for command in COMMANDS {
        let ran = world.run(command).fails(1, &remedy);
        assert!(ran.err.contains("belongs to"), "{command:?}: {}", ran.err);
    }
    world.run(&["exec", "--all", "--", "true"]).fails(125, &remedy);
    // In a project of root's own, whose approval would be kept there.
    world
        .sh("cd ../tmp && printf '[keys]\\nA = \"a\"\\n' > .keyvault.toml && keyvault project approve --yes")
        .fails(1, &remedy);
    assert_eq!(tree(&world.home()), before);
    // Its owner's next run finds nothing in its way.
    as_user(&world, UID, &["init", "--no-recovery"]).ok();
    as_user(&world, UID, &["generate", "a"]).ok();
    assert_eq!(as_user(&world, UID, &["list"]).ok().err, "");
}

#[test]
fn case_92_a_vault_of_roots_own_is_not_worked_with_from_another_users_home() {
    require_root();
    let (elsewhere, world) = (filled(), others_home());
    let before = tree(&world.home());
    let vault = elsewhere.vault().to_str().unwrap().to_owned();
    for command in [&["list"][..], &["generate", "b"], &["show", "a", "--reveal"]] {
        world.run(&[&["--vault", &vault], command].concat()).fails(1, &format!("sudo -u {OWNER}"));
    }
    assert_eq!(tree(&world.home()), before);
    // A state folder of root's own is all that it lacks.
    let mut world = world;
    let own = elsewhere.home().join(".local/state");
    world.set("XDG_STATE_HOME", own.to_str().unwrap());
    world.run(&["list", "--vault", &vault]).ok();
    assert_eq!(tree(&world.home()), before);
}

#[test]
fn case_92_a_folder_that_a_variable_names_in_another_users_home_is_named_with_the_variable() {
    let mut world = others_home();
    let home = world.home();
    let own = world.path().join("tmp");
    world.set("HOME", own.to_str().unwrap());
    let vault = own.join("vault.db");
    for variable in ["XDG_STATE_HOME", "XDG_DATA_HOME"] {
        world.set(variable, home.join("some/folder").to_str().unwrap());
        world.run(&["init", "--no-recovery"]).fails(1, variable);
        world.unset(variable);
    }
    // Made by root in the owner's home, by whatever program: still the owner's home.
    std::fs::create_dir(home.join("roots")).unwrap();
    world.set("HOME", home.to_str().unwrap());
    world.set("XDG_STATE_HOME", home.join("roots").to_str().unwrap());
    world.run(&["init", "--no-recovery"]).fails(1, "HOME");
    world.unset("XDG_STATE_HOME");
    // And by option, with folders that would have to be made.
    world.set("HOME", own.to_str().unwrap());
    let deep = home.join("new/folder/vault.db");
    world.run(&["init", "--no-recovery", "--vault", deep.to_str().unwrap()]).fails(5, OWNER);
    assert!(!home.join("new").exists() && !home.join("some").exists());
    world.run(&["init", "--no-recovery", "--vault", vault.to_str().unwrap()]).ok();
}

#[test]
fn case_92_an_owner_without_a_name_is_no_user_to_change_to_and_a_home_of_roots_own_is_named() {
    let world = others_home();
    give_all(&world.home(), UNNAMED);
    let ran = world.run(&["list"]).fails(1, "HOME=/root keyvault");
    assert!(ran.err.contains("user 54321") && !ran.err.contains("sudo"), "{}", ran.err);
    assert_eq!(tree(&world.home()).len(), 1);
}

#[test]
fn case_92_a_bundle_is_used_from_another_users_home_if_its_reads_go_elsewhere() {
    let owner = World::own();
    require_root();
    owner.run_with_input(&["add", "a", "--scope", "s"], "value-a").ok();
    let token = token(&owner, &["ci", "--scope", "s"]);
    owner.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb"]).ok();
    let mut world = others_home();
    world.unset("KEYVAULT_PASSPHRASE");
    world.set("KEYVAULT_TOKEN", &token);
    world.set("KEYVAULT_BUNDLE", owner.home().join("keys.kvb").to_str().unwrap());
    let before = tree(&world.home());
    // A read is recorded or refused.
    world.run(&["exec", "--", "printenv", "A"]).fails(125, &format!("sudo -u {OWNER}"));
    world.set("KEYVAULT_READS", owner.home().join("reads.jsonl").to_str().unwrap());
    let ran = world.run(&["exec", "--", "printenv", "A"]).ok();
    assert_eq!(ran.out, "value-a\n");
    assert_eq!(ran.err.lines().filter(|line| line.contains("belongs to")).count(), 1, "{}", ran.err);
    assert!(ran.err.contains("older bundle"), "{}", ran.err);
    assert_eq!(tree(&world.home()), before);
}

#[test]
fn case_92_memory_folders_of_root_do_not_lie_in_another_users_runtime_folder() {
    require_root();
    let mut world = filled();
    let runtime = world.path().join("runtime");
    std::fs::create_dir(&runtime).unwrap();
    chown(&runtime, Some(UID), Some(UID)).unwrap();
    world.set("XDG_RUNTIME_DIR", runtime.to_str().unwrap());
    world.run(&["exec", "--file", "F=a", "--", "true"]).ok();
    assert_eq!(tree(&runtime).len(), 1);
}

#[test]
fn no_remedy_gives_a_vault_to_root() {
    require_root();
    let world = filled();
    chown(world.vault(), Some(UID), Some(UID)).unwrap();
    for command in [&["list"][..], &["doctor"]] {
        let ran = world.run(command);
        let said = ran.out + &ran.err;
        assert!(said.contains(&format!("sudo -u {OWNER} keyvault")), "{command:?}: {said}");
        assert!(!said.contains("chown"), "{command:?}: {said}");
    }
    // As its owner would read it: the home is theirs, and a file in it another's.
    give_all(&world.home(), UID);
    chown(world.vault(), Some(UNNAMED), None).unwrap();
    for command in [&["list"][..], &["doctor"]] {
        let ran = as_user(&world, UID, command);
        let said = ran.out + &ran.err;
        assert!(said.contains(&format!("sudo chown {OWNER} ")), "{command:?}: {said}");
        assert!(!said.contains("id -u"), "{command:?}: {said}");
    }
}

#[test]
fn doctor_finds_what_root_has_left_in_the_state_folder_and_gives_it_back() {
    require_root();
    let world = filled();
    world.run(&["list"]).ok();
    give_all(&world.home(), UID);
    let state = world.home().join(".local/state/keyvault");
    for left in [state.clone(), state.join("pins")] {
        chown(&left, Some(0), Some(0)).unwrap();
        let doctor = as_user(&world, UID, &["doctor"]);
        let remedy = format!("sudo chown -R {OWNER} '{}'", state.display());
        assert!(doctor.code == 1 && doctor.out.contains(&remedy), "{}", doctor.out);
        chown(&left, Some(UID), Some(UID)).unwrap();
    }
}
