//! Sentences agree with what they count and with what was asked.

use pretty_assertions::assert_eq;

use crate::harness::{World, days};

#[test]
fn a_token_that_opens_nothing_yet_says_when_it_expires() {
    let world = World::own();
    let end = world.time() + days(2);
    let said = world.run(&["token", "create", "ci", "--scope", "none", "--expires", "2d"]).ok().err;
    let day = end.to_string()[..10].to_owned();
    assert!(
        said.starts_with(&format!("Token `ci` opens no keys yet. It expires on {day} "))
            && said.contains(". It is shown only once"),
        "{said}"
    );
}

#[test]
fn the_audit_log_writes_a_grace_as_people_write_it() {
    let world = World::own();
    world.run(&["generate", "a"]).ok();
    for (grace, written) in [("24h", "(grace 1d)"), ("90m", "(grace 90m)"), ("2h", "(grace 2h)")] {
        world.run(&["rotate", "a", "--grace", grace]).ok();
        let log = world.run(&["audit", "log", "--action", "rotate"]).ok().out;
        assert!(log.lines().last().unwrap().ends_with(written), "{log}");
    }
}

#[test]
fn exec_by_scope_says_which_keys_it_leaves_out_because_they_are_revoked() {
    let world = World::own();
    for key in ["a", "b", "c"] {
        world.run(&["generate", key, "--scope", "s"]).ok();
    }
    world.run(&["revoke", "b", "c"]).ok();
    let warning = "warning: Left out, because they are revoked: b, c.\n";
    for line in [
        &["exec", "--scope", "s", "--", "true"][..],
        &["exec", "--scope", "s", "--dry-run", "--", "true"],
        &["export", "--all"],
    ] {
        assert_eq!(world.run(line).ok().err, warning, "{line:?}");
    }
    assert_eq!(world.run(&["exec", "--only", "a", "--", "true"]).ok().err, "");
}

#[test]
fn removing_the_only_recovery_code_warns_before_it_is_done() {
    let world = World::own();
    world.run(&["vault", "slot", "add", "keyfile", "k"]).ok();
    world.run(&["vault", "slot", "add", "recovery", "--recovery-file", "code"]).ok();
    let warning = "warning: This is the only recovery code.";
    let said = world.run(&["vault", "slot", "remove", "2", "--yes"]).ok().err;
    assert!(!said.contains(warning), "{said}");
    let refused = world.run(&["vault", "slot", "remove", "4"]);
    assert!(refused.code == 2 && refused.err.starts_with(warning), "{}", refused.err);
    let said = world.run(&["vault", "slot", "remove", "4", "--yes"]).ok().err;
    assert!(said.starts_with(warning), "{said}");
}
