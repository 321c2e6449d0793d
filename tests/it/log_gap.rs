//! Reads that this machine recorded and that are no longer in the audit log, and that this is no reason to refuse anything.

use pretty_assertions::assert_eq;

use crate::harness::World;
use crate::harness::vault_file::{put_back, tamper};

const MISSING: &str = "warning: 3 audit log entries that this machine saw are missing: a power cut took the end of the log, or someone cut it off. The next change records it.\n";

fn exec(world: &World, times: usize) {
    for _ in 0..times {
        assert_eq!(world.run(&["exec", "--only", "a", "--", "true"]).ok().err, "");
    }
}

/// A vault whose file was put back to before the last three reads, which no change followed.
fn shortened() -> World {
    let world = World::own();
    world.run(&["unlock"]).ok();
    world.run(&["generate", "a"]).ok();
    let before = std::fs::read(world.vault()).unwrap();
    exec(&world, 3);
    put_back(&world, &before);
    world
}

#[test]
fn case_81_reads_that_were_cut_off_are_reported_and_refuse_nothing() {
    let world = shortened();
    world.run(&["status"]).warns(MISSING);
    let verified = world.run(&["audit", "verify"]).ok();
    assert_eq!(verified.err, MISSING);
    let json: serde_json::Value =
        serde_json::from_str(&world.run(&["audit", "verify", "--json"]).ok().out).unwrap();
    assert_eq!(json["log_gap"], serde_json::json!({ "missing": 3 }));
    let doctor = world.run(&["doctor"]);
    assert_eq!(doctor.code, 1, "{}", doctor.out);
    assert!(doctor.out.contains("3 audit log entries that this machine saw are missing"), "{}", doctor.out);
    exec(&world, 1);
}

#[test]
fn a_gap_in_the_log_stays_reported_however_many_reads_follow_until_a_change_records_it() {
    let world = shortened();
    exec(&world, 5);
    world.run(&["status"]).warns(
        "warning: The end of the audit log that this machine saw was replaced: a power cut took it, or someone cut it off. The next change records it.\n",
    );
    let edited = world.run(&["edit", "a", "--note", "x"]).ok();
    assert_eq!(
        edited.err,
        "warning: The end of the audit log that this machine saw was replaced: a power cut took it, or someone cut it off. This change has recorded it.\n"
    );
    assert_eq!(world.run(&["status"]).ok().err, "");
    let log = world.run(&["audit", "log", "--action", "edit"]).ok().out;
    assert!(log.trim_end().ends_with("(note; behind a gap: entries were replaced)"), "{log}");
    exec(&world, 2);
    assert_eq!(world.run(&["audit", "verify"]).ok().err, "");
}

#[test]
fn a_change_of_another_machine_is_no_gap() {
    let world = World::own();
    world.run(&["unlock"]).ok();
    world.run(&["generate", "a"]).ok();
    exec(&world, 2);
    world
        .sh("export XDG_STATE_HOME=$PWD/elsewhere; keyvault exec --only a -- true; keyvault generate b")
        .ok();
    exec(&world, 1);
    assert_eq!(world.run(&["status"]).ok().err, "");
}

#[test]
fn a_gap_that_a_renewal_records_leaves_the_renewed_token_dead_after_a_restore() {
    let world = World::own();
    world.run(&["unlock"]).ok();
    world.run(&["generate", "a", "--scope", "s"]).ok();
    let token = world.run(&["token", "create", "ci", "--scope", "s"]).ok().out;
    world.run(&["vault", "backup", "copy"]).ok();
    let before = std::fs::read(world.vault()).unwrap();
    exec(&world, 1);
    put_back(&world, &before);
    world.run(&["token", "renew", "ci"]).ok();
    world.run(&["vault", "restore", "copy", "--yes"]).ok();
    let read = world.sh(&format!("KEYVAULT_TOKEN={} keyvault exec --only a -- true", token.trim()));
    assert_eq!(read.code, 125, "{}", read.err);
}

#[test]
fn an_entry_that_is_none_any_more_is_a_gap_and_refuses_nothing() {
    let world = World::own();
    world.run(&["unlock"]).ok();
    world.run(&["generate", "a"]).ok();
    exec(&world, 1);
    world.sh("export XDG_STATE_HOME=$PWD/elsewhere; keyvault exec --only a -- true").ok();
    tamper(&world, "UPDATE log SET mac = substr(mac, 1, 31) WHERE id = (SELECT max(id) - 1 FROM log)");
    world.run(&["exec", "--only", "a", "--", "true"]).ok();
    world.run(&["revoke", "a"]).ok();
}
