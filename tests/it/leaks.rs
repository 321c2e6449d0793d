//! A value that is easy to recognize goes through every command. Afterwards nothing but what was asked for may hold
//! it, whole or any eight bytes of it: streams, files, and the memory of the process at its end.
//!
//! The memory is read while strace holds the process at the entry of `exit_group`, when everything that is ever
//! wiped has been. Reading another process's memory needs root.

use crate::harness::bearer::held;
use crate::harness::canary::{CANARY, pieces, pieces_of};
use crate::harness::{Ran, World};

#[track_caller]
fn no_trace_in(what: &str, bytes: &[u8]) {
    let found = pieces(bytes);
    assert!(found.is_empty(), "{what}: {found:?}");
}

#[test]
fn no_command_that_must_not_show_a_value_shows_it_or_leaves_it_in_a_file() {
    let world = World::own();
    let quiet = |ran: Ran| {
        no_trace_in("stdout", &ran.bytes);
        no_trace_in("stderr", ran.err.as_bytes());
    };
    quiet(world.run_with_input(&["add", "a", "--scope", "s"], CANARY).ok());
    quiet(world.run_with_input(&["add", "a"], CANARY).fails_with(6, "
            error: Key `a` already exists.
                   Nothing was changed. Give a key a new value with `keyvault rotate`, or replace keys from a file with `keyvault import --on-conflict replace`.
        "));
    let file = world.file("value", CANARY);
    quiet(world.run(&["add", "b", "--file", file.to_str().unwrap()]).ok());
    std::fs::remove_file(file).unwrap();
    let file = world.file(".env", format!("C={CANARY}\nD='{CANARY} twice {CANARY}'\n"));
    quiet(world.run(&["import", file.to_str().unwrap(), "--scope", "s", "--dry-run"]).ok());
    quiet(world.run(&["import", file.to_str().unwrap(), "--scope", "s"]).ok());
    quiet(world.run(&["import", file.to_str().unwrap()]).fails_with(6, "
            error: Keys already exist: C, D.
                   Nothing was changed. Give a key a new value with `keyvault rotate`, or replace keys from a file with `keyvault import --on-conflict replace`.
        "));
    quiet(world.run(&["import", file.to_str().unwrap(), "--on-conflict", "replace"]).ok());
    std::fs::remove_file(file).unwrap();
    let broken =
        world.file("broken.json", format!("{{\"E\": \"{CANARY}\", \"F\": {{\"x\": \"{CANARY}\"}}}}"));
    quiet(world.run(&["import", broken.to_str().unwrap()]));
    std::fs::remove_file(broken).unwrap();
    let token = world.run(&["token", "create", "ci", "--scope", "s"]).ok().out.trim_end().to_owned();
    for command in [
        &["list"] as &[&str],
        &["list", "--json"],
        &["show", "a"],
        &["show", "a", "--json"],
        &["exec", "--all", "--dry-run", "--", "true"],
        &["exec", "--scope", "s", "--", "true"],
        &["project", "add", "a"],
        &["project", "approve", "--yes", "--json"],
        &["project", "check"],
        &["project", "check", "--json"],
        &["exec", "--", "true"],
        &["exec", "--dry-run", "--", "true"],
        &["exec", "--fd", "3=a", "--stdin", "b", "--file", "F=a", "--", "true"],
        &["exec", "--only", "a", "--docker-env", "E", "--", "true"],
        &["exec", "--only", "a", "--docker-env", "E", "--fd", "3=b", "--dry-run", "--", "true"],
        &["exec", "--watch", "--only", "a", "--file", "F=b", "--", "true"],
        &["exec", "--docker-env", "E", "--scope", "s", "--only", "d", "--as", "E=d", "--", "true"],
        &["exec", "--mask", "--only", "a", "--", "sh", "-c", "echo $A; echo $A | base64 >&2"],
        &["doctor", "--json"],
        &["token", "list", "--json"],
        &["token", "show", "ci"],
        &["bundle", "create", "--token", "ci", "-o", "keys.kvb"],
        &["edit", "a", "--rename", "z", "--note", "n"],
        &["bundle", "update", "keys.kvb"],
        &["audit", "log"],
        &["audit", "log", "--json"],
        &["audit", "verify"],
        &["vault", "check"],
        &["status"],
    ] {
        let ran = world.run(command);
        // There is no key d, and no session.
        let fails = ["doctor", "status"].contains(&command[0]) || command.contains(&"E=d");
        assert!(ran.code == 0 || fails, "{command:?}: {}", ran.err);
        quiet(ran);
    }
    // A machine's.
    for command in [
        &["exec", "--all", "--", "true"] as &[&str],
        &["exec", "--all", "--bundle", "keys.kvb", "--", "true"],
        &["exec", "--all", "--bundle", "keys.kvb", "--dry-run", "--", "true"],
        &["exec", "--all", "--mask", "--bundle", "keys.kvb", "--", "sh", "-c", "env"],
        &["exec", "--bundle", "keys.kvb", "--only", "none", "--", "true"],
        &["project", "check"],
        &["status", "-v"],
    ] {
        let ran = held(&world, &token, command);
        assert!(ran.code == 0 || !command.contains(&"--all"), "{command:?}: {}", ran.err);
        assert!(pieces_of(&token, &ran.bytes).is_empty() && pieces_of(&token, ran.err.as_bytes()).is_empty());
        quiet(ran);
    }
    let reads =
        world.every_file().into_iter().find(|(path, _)| path.extension().is_some_and(|it| it == "jsonl"));
    quiet(world.run(&["audit", "import", reads.expect("a log of reads").0.to_str().unwrap()]).ok());
    quiet(world.run(&["audit", "log", "--token", "ci"]).ok());
    let renewed = world.run(&["token", "renew", "ci"]).ok();
    no_trace_in("stderr", renewed.err.as_bytes());
    quiet(world.run(&["token", "revoke", "ci"]).ok());
    // Those that were asked to.
    assert_eq!(world.run(&["show", "z", "--reveal"]).ok().out, CANARY);
    assert!(world.run(&["export", "--scope", "s"]).ok().out.contains(CANARY));
    assert!(world.run(&["exec", "--only", "b", "--", "printenv", "B"]).ok().out.contains(CANARY));
    let printed = world.run(&["generate", "printed", "--print"]).ok().out;
    quiet(world.run(&["remove", "b", "--yes"]).ok());
    // Nor in memory that has a name.
    let left = std::fs::read_dir("/dev/shm").unwrap().map(|entry| entry.unwrap().path());
    assert!(
        !left.filter(|path| path.is_file()).any(|path| !pieces(&std::fs::read(path).unwrap()).is_empty())
    );
    for (path, bytes) in world.every_file() {
        no_trace_in(&path.display().to_string(), &bytes);
        // Behind what every value of that kind begins with.
        for printed in [&printed[3..], &token[4..], &renewed.out[4..]] {
            assert!(pieces_of(printed.trim_end(), &bytes).is_empty(), "{}", path.display());
        }
    }
}

#[test]
fn names_scopes_tags_and_notes_are_in_no_file() {
    let world = World::own();
    let marks = ["NameQx71Zk", "ScopeQx72Zk", "TagQx73Zk", "TagValueQx74Zk", "NoteQx75Zk", "VARIABLE_QX76ZK"];
    let [name, scope, tag, tag_value, note, variable] = marks;
    let tag = format!("{tag}={tag_value}");
    world.run(&["generate", name, "--scope", scope, "--tag", &tag, "--note", note, "--env", variable]).ok();
    world.run(&["exec", "--scope", scope, "--", "true"]).ok();
    world.run(&["edit", name, "--untag", "TagQx73Zk", "--note", "other"]).ok();
    world.run(&["show", name, "--reveal"]).ok();
    let search = |when: &str| {
        for (path, bytes) in world.every_file() {
            for mark in marks {
                let found = bytes.windows(mark.len()).any(|piece| piece == mark.as_bytes());
                assert!(!found, "{mark} is in {} {when}", path.display());
            }
        }
    };
    search("while it lives");
    world.run(&["remove", name, "--yes"]).ok();
    search("after it was removed");
}
