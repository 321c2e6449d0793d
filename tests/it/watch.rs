//! `exec --watch`: a command that keeps up with its keys. Every step waits for something that happens; the only times
//! are limits for a test that hangs.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::mpsc::RecvTimeoutError;

use pretty_assertions::assert_eq;
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::watched::{ENDED, SCRIPT, Watched, events, filled, read, rotate};
use crate::harness::{KEYVAULT, PASSPHRASE, PATIENCE, World, hours, wait_until};

const PLAIN: &str = "Zq7vXk2Lw9TrNb4Hy8Jd3Fs6Gm1Pc5Qe";

/// A world with the key `a`, and a runtime folder of its own, so that other tests' runs do not sweep it.
fn with_runtime() -> (World, tempfile::TempDir) {
    let runtime = tempfile::Builder::new().prefix("keyvault-test-").tempdir_in("/dev/shm").unwrap();
    let mut world = World::new();
    world.set("XDG_RUNTIME_DIR", runtime.path().to_str().unwrap());
    world.run_with_input(&["add", "a"], PLAIN).ok();
    (world, runtime)
}

#[test]
fn a_rotated_key_starts_the_command_again_with_the_new_value_and_each_start_is_recorded() {
    let world = filled();
    let watched = Watched::start(&world, &["--scope", "s"], SCRIPT);
    assert_eq!(watched.line(), "start a1 b1");
    rotate(&world, "a", "a2");
    assert_eq!(watched.said(), "keyvault: a is now at version 2; restarting sh.");
    assert_eq!([watched.line(), watched.line()], [ENDED, "start a2 b1"]);
    assert_eq!(
        events(&world),
        [
            ("sh".to_owned(), vec!["a 1".to_owned(), "b 1".to_owned()]),
            ("sh, restarted".to_owned(), vec!["a 2".to_owned(), "b 1".to_owned()]),
        ]
    );
    // Back again, and a key that goes and comes under the same name with the same number.
    world.run(&["rollback", "a"]).ok();
    assert_eq!([watched.line(), watched.line()], [ENDED, "start a1 b1"]);
    assert_eq!(
        watched.stop(),
        (vec![ENDED.to_owned()], vec!["keyvault: a is now at version 1; restarting sh.".to_owned()])
    );
    world.run(&["audit", "verify"]).ok();
}

#[test]
fn only_its_own_keys_start_it_again() {
    let world = filled();
    let watched = Watched::start(&world, &["--only", "a"], SCRIPT);
    assert_eq!(watched.line(), "start a1 none");
    // None of these is a new value of `a`; had one of them started it again, that would be said before the last.
    rotate(&world, "other", "other2");
    rotate(&world, "b", "b2");
    world.run(&["edit", "a", "--note", "words", "--expires", "30d", "--scope", "t"]).ok();
    world.run(&["exec", "--all", "--", "true"]).ok();
    world.run(&["generate", "new", "--scope", "s"]).ok();
    world.run(&["revoke", "b"]).ok();
    world.run(&["vault", "check"]).ok();
    rotate(&world, "a", "a2");
    assert_eq!([watched.line(), watched.line()], [ENDED, "start a2 none"]);
    let (lines, said) = watched.stop();
    assert_eq!((lines.len(), said.len()), (1, 1), "{lines:?} {said:?}");
}

#[test]
fn a_key_under_a_new_name_is_the_same_key_and_another_under_its_name_is_not() {
    let world = filled();
    let watched = Watched::start(&world, &["--scope", "s"], SCRIPT);
    assert_eq!(watched.line(), "start a1 b1");
    world.run(&["edit", "a", "--rename", "c"]).ok();
    world.run(&["remove", "b", "--yes"]).ok();
    // Removed is refused: the command is ended.
    let (code, lines, said) = watched.end();
    assert_eq!((code, lines), (Some(125), vec![ENDED.to_owned()]));
    assert!(
        said[0] == "keyvault: b was removed; ending sh." && said[1].contains("sh was ended: b was removed."),
        "{said:?}"
    );

    let watched = Watched::start(&world, &["--as", "A=c"], SCRIPT);
    assert_eq!(watched.line(), "start a1 none");
    world.run(&["edit", "c", "--rename", "d"]).ok();
    world.run_with_input(&["add", "c"], "another").ok();
    // The command's key is unchanged under its new name. Only when it gets a new value the command is started again, with
    // what now has the name that it asked for.
    rotate(&world, "d", "d2");
    assert_eq!(watched.said(), "keyvault: d is now at version 2; restarting sh.");
    assert_eq!([watched.line(), watched.line()], [ENDED, "start another none"]);
    watched.stop();
}

#[test]
fn a_revoked_key_ends_the_command_and_says_which() {
    let world = filled();
    let watched = Watched::start(&world, &["--scope", "s", "--fd", "3=other"], SCRIPT);
    assert_eq!(watched.line(), "start a1 b1");
    world.run(&["revoke", "other", "--reason", "leaked"]).ok();
    let (code, lines, said) = watched.end();
    assert_eq!((code, lines), (Some(125), vec![ENDED.to_owned()]));
    assert_eq!(
        said,
        [
            "keyvault: other is revoked; ending sh.",
            "error: sh was ended: other is revoked.",
            "       `keyvault rotate NAME` gives a revoked key a new value; `keyvault edit NAME --expires 30d` extends an expired one; `keyvault enable NAME` enables a disabled one.",
        ]
    );
    assert_eq!(events(&world).len(), 1, "nothing was released for it");
}

#[test]
fn a_disabled_key_ends_the_command_and_says_which() {
    let world = filled();
    let watched = Watched::start(&world, &["--scope", "s", "--fd", "3=other"], SCRIPT);
    assert_eq!(watched.line(), "start a1 b1");
    world.run(&["disable", "other"]).ok();
    let (code, lines, said) = watched.end();
    assert_eq!((code, lines), (Some(125), vec![ENDED.to_owned()]));
    assert_eq!(said.first().map(String::as_str), Some("keyvault: other is disabled; ending sh."));
}

/// The passphrase that opened the vault is another one by now; what is held is not.
#[test]
fn a_new_passphrase_does_not_blind_a_watch_that_has_no_session() {
    let mut world = filled();
    world.file("new", "another passphrase than before");
    let watched = Watched::start(&world, &["--no-session", "--only", "a"], SCRIPT);
    assert_eq!(watched.line(), "start a1 none");
    world.run(&["vault", "passwd", "--new-passphrase-file", "new"]).ok();
    world.set("KEYVAULT_PASSPHRASE", "another passphrase than before");
    world.run(&["revoke", "a"]).ok();
    assert_eq!(watched.said(), "keyvault: a is revoked; ending sh.");
    let (code, lines, _) = watched.end();
    assert_eq!((code, lines), (Some(125), vec![ENDED.to_owned()]));
}

#[test]
fn a_key_that_expires_ends_the_command_although_the_vault_does_not_change() {
    let world = filled();
    world.run(&["edit", "a", "--expires", "1h"]).ok();
    let watched = Watched::start(&world, &["--only", "a"], SCRIPT);
    assert_eq!(watched.line(), "start a1 none");
    world.advance(hours(1));
    let (code, lines, said) = watched.end();
    assert_eq!((code, lines), (Some(125), vec![ENDED.to_owned()]));
    assert_eq!(said[0], "keyvault: a has expired; ending sh.");
}

#[test]
fn rapid_rotations_become_few_restarts_and_the_last_value_is_the_one_that_stays() {
    const ROTATIONS: usize = 25;
    let world = filled();
    let watched = Watched::start(&world, &["--only", "a"], SCRIPT);
    assert_eq!(watched.line(), "start a1 none");
    for round in 2..=ROTATIONS {
        rotate(&world, "a", &format!("a{round}"));
    }
    let last = format!("start a{ROTATIONS} none");
    let mut starts = 1;
    loop {
        match watched.line() {
            line if line == ENDED => {}
            line => {
                starts += 1;
                if line == last {
                    break;
                }
            }
        }
    }
    // The first at once, the next a second later, the next two: so many rotations fit into less.
    assert!(starts < ROTATIONS / 2, "{starts} starts");
    watched.stop();
    assert_eq!(events(&world).len(), starts);
}

#[test]
fn with_a_signal_the_file_holds_the_new_value_before_it_comes_and_the_command_goes_on() {
    let world = filled();
    let arguments = ["--only", "a", "--file", "F=b", "--on-rotate", "HUP"];
    let watched = Watched::start(&world, &arguments, SCRIPT);
    assert_eq!(watched.line(), "start a1 none");
    rotate(&world, "b", "b2");
    assert_eq!(watched.line(), "HUP b2");
    assert_eq!(watched.said(), "keyvault: b is now at version 2; sending sh the signal.");
    // The value of a variable cannot follow, but the command is told, and once only.
    rotate(&world, "a", "a2");
    assert_eq!(watched.line(), "HUP b2");
    rotate(&world, "b", "b3");
    assert_eq!(watched.line(), "HUP b3");
    let log = events(&world);
    assert_eq!(log[0], ("sh: b in a file".to_owned(), vec!["a 1".to_owned(), "b 1".to_owned()]));
    let rewritten =
        |version: u32| ("sh: b in a file, files rewritten".to_owned(), vec![format!("b {version}")]);
    assert_eq!(log[1..], [rewritten(2), rewritten(3)], "nothing is read that has not changed");
    assert_eq!(watched.stop().0, [ENDED]);
}

#[test]
fn with_a_signal_a_refused_keys_file_is_taken_away_until_the_key_is_good_again() {
    let world = filled();
    let watched = Watched::start(&world, &["--only", "a", "--file", "F=b", "--on-rotate", "HUP"], SCRIPT);
    assert_eq!(watched.line(), "start a1 none");
    let gone = |line: String| {
        assert!(line.starts_with("HUP cat: ") && line.ends_with("No such file or directory"), "{line}");
    };
    world.run(&["revoke", "b"]).ok();
    gone(watched.line());
    rotate(&world, "a", "a2");
    gone(watched.line());
    rotate(&world, "b", "b2");
    assert_eq!(watched.line(), "HUP b2");
    world.run(&["edit", "b", "--expires", "2020-01-01"]).ok();
    gone(watched.line());
    world.run(&["edit", "b", "--expires", "never"]).ok();
    assert_eq!(watched.line(), "HUP b2");
    let (lines, said) = watched.stop();
    assert_eq!(lines, [ENDED]);
    assert_eq!(
        said,
        [
            "keyvault: b is revoked; sending sh the signal.",
            "keyvault: a is now at version 2; sending sh the signal.",
            "keyvault: b is now at version 2; sending sh the signal.",
            "keyvault: b has expired; sending sh the signal.",
            "keyvault: b is now at version 2; sending sh the signal.",
        ]
    );
    let rewritten = ("sh: b in a file, files rewritten".to_owned(), vec!["b 2".to_owned()]);
    assert_eq!(events(&world)[1..], [rewritten.clone(), rewritten]);
}

#[test]
fn a_signal_without_files_releases_nothing() {
    let world = filled();
    let script = "trap 'echo USR1' USR1; trap 'exit 3' TERM; echo start; while :; do sleep 0.02; done";
    let watched = Watched::start(&world, &["--only", "a", "--on-rotate", "sigusr1"], script);
    assert_eq!(watched.line(), "start");
    rotate(&world, "a", "a2");
    assert_eq!(watched.line(), "USR1");
    world.run(&["revoke", "a"]).ok();
    assert_eq!(watched.line(), "USR1");
    watched.stop();
    assert_eq!(events(&world).len(), 1);
    world.run(&["exec", "--only", "b", "--watch", "--on-rotate", "NOPE", "--", "true"]).fails_with(
        125,
        "
                error: The value of `--on-rotate` is not a signal, such as HUP or USR1.
                       See its usage with `keyvault exec --help`.
            ",
    );
    world.run(&["exec", "--only", "b", "--on-rotate", "HUP", "--", "true"]).fails_with(
        125,
        "
            error: Missing option: `--watch`.
                   See its usage with `keyvault exec --help`.
        ",
    );
}

#[test]
fn a_session_that_has_ended_is_said_once_and_the_command_keeps_what_it_has_until_the_next() {
    let mut world = filled();
    world.run(&["unlock"]).ok();
    world.unset("KEYVAULT_PASSPHRASE");
    let watched = Watched::start(&world, &["--only", "a"], SCRIPT);
    assert_eq!(watched.line(), "start a1 none");
    world.run(&["lock"]).ok();
    assert_eq!(
        watched.said(),
        "warning: sh keeps its current keys: the vault is locked, so changes go unnoticed until `keyvault unlock`"
    );
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    rotate(&world, "a", "a2");
    rotate(&world, "a", "a3");
    world.run(&["unlock"]).ok();
    assert_eq!([watched.line(), watched.line()], [ENDED, "start a3 none"]);
    let (lines, said) = watched.stop();
    assert_eq!(lines, [ENDED]);
    assert_eq!(said, ["keyvault: a is now at version 3; restarting sh."]);
}

#[test]
fn case_4_a_vault_that_was_rolled_back_is_not_believed_and_the_command_keeps_what_it_has() {
    let world = filled();
    let older = std::fs::read(world.vault()).unwrap();
    rotate(&world, "a", "a2");
    let newer = std::fs::read(world.vault()).unwrap();
    let watched = Watched::start(&world, &["--only", "a"], SCRIPT);
    assert_eq!(watched.line(), "start a2 none");
    let put = |bytes: &[u8]| {
        let beside = world.vault().with_extension("new");
        std::fs::write(&beside, bytes).unwrap();
        std::fs::set_permissions(&beside, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        for suffix in ["-wal", "-shm"] {
            let mut side = world.vault().into_os_string();
            side.push(suffix);
            let _ = std::fs::remove_file(PathBuf::from(side));
        }
        std::fs::rename(beside, world.vault()).unwrap();
    };
    put(&older);
    let said = watched.said();
    assert!(
        said.starts_with("warning: sh keeps its current keys: ") && said.contains("was rolled back"),
        "{said}"
    );
    put(&newer);
    rotate(&world, "a", "a3");
    assert_eq!([watched.line(), watched.line()], [ENDED, "start a3 none"]);
    let (lines, said) = watched.stop();
    assert_eq!(lines, [ENDED]);
    assert_eq!(said.last().map(String::as_str), Some("keyvault: a is now at version 3; restarting sh."));
}

#[test]
fn what_could_not_be_started_again_is_not_ended() {
    let world = filled();
    world.run_with_input(&["add", "late", "--scope", "s"], "late").ok();
    let watched =
        Watched::start(&world, &["--only", "a", "--scope", "t", "--skip-expired", "--as", "B=b"], SCRIPT);
    // The scope does not exist: nothing starts.
    let (code, _, said) = watched.end();
    assert!(code == Some(125) && said[0].contains("Cannot release the keys"), "{said:?}");

    let watched = Watched::start(&world, &["--scope", "s", "--no-empty"], SCRIPT);
    assert_eq!(watched.line(), "start a1 b1");
    world.run(&["add", "empty", "--scope", "s", "--file", "/dev/null"]).ok();
    rotate(&world, "a", "a2");
    let said = watched.said();
    assert!(said.starts_with("warning: sh keeps its current keys: Cannot release the keys"), "{said}");
    assert_eq!(watched.said(), "  empty: its value is empty, which --no-empty refuses");
    world.run(&["remove", "empty", "--yes"]).ok();
    assert_eq!([watched.line(), watched.line()], [ENDED, "start a2 b1"]);
    watched.stop();
}

#[test]
fn the_commands_own_end_is_ours_and_so_is_a_signal_to_us_while_it_is_being_ended() {
    let world = filled();
    for code in [0, 1, 42, 255] {
        let ran = world.run(&["exec", "--watch", "--only", "a", "--", "sh", "-c", &format!("exit {code}")]);
        assert_eq!((ran.code, ran.err.as_str()), (code, ""));
    }
    for (name, number) in [("TERM", 15), ("KILL", 9), ("SEGV", 11)] {
        let script = format!("ulimit -c 0; kill -{name} $$");
        assert_eq!(
            world.run(&["exec", "--watch", "--only", "a", "--", "sh", "-c", &script]).code,
            128 + number
        );
    }
    // It takes its time to end: whoever signals us meanwhile does not want it to start again.
    let go = world.home().join("go");
    let script = format!(
        "trap 'echo ending; while ! [ -e {} ]; do sleep 0.02; done; exit 3' TERM
         echo \"start $A\"; while :; do sleep 0.02; done",
        go.display()
    );
    let mut watched = Watched::start(&world, &["--only", "a"], &script);
    assert_eq!(watched.line(), "start a1");
    rotate(&world, "a", "a2");
    assert_eq!(watched.line(), "ending");
    watched.signal(Signal::TERM);
    // Only once it has been passed on does the command end.
    let status = || std::fs::read_to_string(format!("/proc/{}/status", watched.child.id())).unwrap();
    wait_until("the signal's passing on", || {
        status().lines().any(|line| line == "SigPnd:\t0000000000000000")
    });
    std::fs::write(&go, "").unwrap();
    // The second TERM may find it before its end, and be heeded as the first was.
    let rest = std::iter::from_fn(|| match watched.lines.recv_timeout(PATIENCE) {
        Ok(line) => Some(line),
        Err(why) => (why == RecvTimeoutError::Timeout).then(|| panic!("it never ended")),
    });
    assert!(rest.into_iter().all(|line| line == "ending"), "it was started again");
    let status = watched.child.wait().unwrap();
    assert!(status.code() == Some(3) || status.signal() == Some(15), "{status:?}");
}

/// Held by us, the caller's pipes would hide that the command has closed them; let go of, they must not be lost.
#[test]
fn the_callers_pipes_are_the_next_starts_too() {
    let world = filled();
    let mut command = world.command(KEYVAULT);
    let script = "trap 'echo ended; exit 3' TERM; read line; echo \"$A $line\"; while :; do sleep 0.02; done";
    command.args(["exec", "--watch", "--only", "a", "--", "sh", "-c", script]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut typed = child.stdin.take().unwrap();
    let (lines, said) = (read(child.stdout.take().unwrap()), read(child.stderr.take().unwrap()));
    let watched = Watched { child, lines, said };
    std::io::Write::write_all(&mut typed, b"first\n").unwrap();
    assert_eq!(watched.line(), "a1 first");
    rotate(&world, "a", "a2");
    assert_eq!(watched.line(), ENDED);
    std::io::Write::write_all(&mut typed, b"second\n").unwrap();
    assert_eq!(watched.line(), "a2 second");
    drop(typed);
    rotate(&world, "a", "a3");
    assert_eq!([watched.line(), watched.line()], [ENDED, "a3 "]);
    watched.stop();
}

/// The command was started again with the value that had been rotated away, and four warnings with it.
#[test]
fn an_older_bundle_in_the_place_of_the_one_in_use_brings_no_old_value_back() {
    let (mut world, _runtime) = with_runtime();
    let told = world.run(&["token", "create", "ci", "--key", "a", "--json"]).ok().json();
    world.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb"]).ok();
    let bundle = world.home().join("keys.kvb");
    let old = std::fs::read(&bundle).unwrap();
    let rotate = |world: &World, value: &str| {
        world.run_with_input(&["rotate", "a"], value).ok();
        world.run(&["bundle", "update", "keys.kvb"]).ok();
    };
    let owner = world.variables().find(|(name, _)| name == "KEYVAULT_PASSPHRASE").unwrap().1;
    let mut command = world.command(KEYVAULT);
    command.env_remove("KEYVAULT_PASSPHRASE").env("KEYVAULT_TOKEN", told["token"].as_str().unwrap());
    command.env("KEYVAULT_BUNDLE", &bundle);
    command.args(["exec", "--watch", "--only", "a", "--", "sh", "-c", "echo \"$A\"; exec sleep 60"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut err = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut next = || out.next().unwrap().unwrap();
    assert_eq!(next(), PLAIN);
    world.set("KEYVAULT_PASSPHRASE", &owner);
    rotate(&world, "second-value");
    assert_eq!(next(), "second-value");
    std::fs::write(&bundle, &old).unwrap();
    let said = err.find(|line| line.as_ref().unwrap().contains("keeps its current keys")).unwrap().unwrap();
    assert!(said.contains("is now at change"), "{said}");
    // A newer one is news again.
    world.run_with_input(&["rotate", "a"], "third-value").ok();
    world.run(&["bundle", "create", "--token", "ci", "-o", "new.kvb"]).ok();
    std::fs::rename(world.home().join("new.kvb"), &bundle).unwrap();
    assert_eq!(next(), "third-value");
    let process = Pid::from_child(&child);
    kill_process(process, Signal::TERM).unwrap();
    child.wait().unwrap();
    assert_eq!(out.count(), 0);
}

#[test]
fn a_watched_version_whose_grace_is_over_is_not_called_a_revoked_key() {
    let world = filled();
    rotate(&world, "a", "a2");
    let watched = Watched::start(&world, &["--previous", "a"], SCRIPT);
    assert_eq!(watched.line(), "start a1 none");
    world.advance(hours(1));
    let (code, lines, said) = watched.end();
    assert_eq!((code, lines), (Some(125), vec![ENDED.to_owned()]));
    let said = said.join("\n");
    assert!(said.contains("version 1 of a is no longer valid"), "{said}");
    assert!(said.contains("keyvault history NAME") && !said.contains("revoked"), "{said}");
}
