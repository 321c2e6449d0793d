//! The OS keyring as a slot: a real gnome-keyring on a bus of its own, working, locked, hanging, empty, absent.

use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use keyvault_core::crypto::SystemRng;
use keyvault_core::identity::Identity;
use keyvault_vault::unlock::keyring_entry::KeyringSecret;
use pretty_assertions::assert_eq;

use crate::harness::desktop::{Bus, vault_id};
use crate::harness::terminal::Terminal;
use crate::harness::{KEYVAULT, PASSPHRASE, Ran, World, finish};

/// How long a keyring is waited for.
const LIMIT: Duration = Duration::from_secs(3);

/// A vault with a key `a` and a keyring slot, the keyring open, no passphrase in the environment.
fn desktop() -> (World, Bus) {
    let mut world = World::own();
    let bus = Bus::with_keyring(&mut world);
    world.run(&["generate", "a"]).ok();
    let added = world.run(&["vault", "slot", "add", "keyring"]).ok();
    assert_eq!(
        added.out,
        "Slot 3 opens with this user's keyring. While the keyring is unlocked, so is the vault.\n"
    );
    world.unset("KEYVAULT_PASSPHRASE");
    (world, bus)
}

/// Runs the command with the passphrase in its variable, the credential that is tried after the keyring.
fn with_passphrase(world: &World, arguments: &[&str]) -> Ran {
    let mut command = world.command(KEYVAULT);
    finish(command.env("KEYVAULT_PASSPHRASE", PASSPHRASE).args(arguments), b"")
}

/// That the keyring's silence costs one line with `why`, and the next credential then opens the vault; where there is
/// none, this line comes before the refusal.
#[track_caller]
fn one_line_and_on(world: &World, why: &str) {
    let read = with_passphrase(world, &["show", "a", "--reveal"]).ok();
    assert_eq!(read.err.lines().count(), 1, "{}", read.err);
    assert!(read.err.starts_with("warning: The OS keyring did not open the vault: "), "{}", read.err);
    assert!(read.err.contains(why), "{}", read.err);
    let refused = world.run(&["show", "a"]);
    assert_eq!(refused.code, 4, "{}", refused.err);
    assert!(refused.err.starts_with(&read.err), "{}", refused.err);
    assert!(refused.err.contains("The vault is locked"), "{}", refused.err);
    world.run(&["exec", "--only", "a", "--", "true"]).fails(125, why);
}

fn status_of(world: &World, credential: &str) -> (Option<bool>, String) {
    let ran = world.run(&["status", "-v", "--json"]);
    let json = ran.json();
    let credentials = json["credentials"].as_array().unwrap();
    let found = credentials.iter().find(|found| found["credential"] == credential).unwrap();
    (found["opens"].as_bool(), found["why"].as_str().unwrap().to_owned())
}

#[test]
fn a_keyring_opens_the_vault_and_a_session_for_the_commands_that_follow() {
    let (world, bus) = desktop();
    assert_eq!(status_of(&world, "keyring"), (Some(true), "opens slot 3".to_owned()));
    let open = world.run(&["status"]).ok().out;
    assert!(open.ends_with("session      open without a session: the keyring opens the vault\n"), "{open}");
    let open = world.run(&["status", "--json"]).ok().json();
    assert_eq!((&open["status"], &open["until"]), (&"open".into(), &serde_json::Value::Null));
    let value = world.run(&["show", "a", "--reveal"]).ok();
    assert_eq!(value.err, "");
    let status = world.run(&["status", "--json"]).ok().json();
    assert_eq!(status["until"], "2040-05-17T08:15:00.000Z");
    // The keyring is not needed any more.
    drop(bus);
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok(), value);
    let log = world.run(&["audit", "log", "--action", "unlock", "--json"]).ok().out;
    assert!(log.contains(r#""detail":"keyring, 15m""#), "{log}");
}

#[test]
fn no_session_is_opened_where_none_is_wanted() {
    let (world, _bus) = desktop();
    world.run(&["--no-session", "list"]).ok();
    assert!(world.run(&["status"]).ok().out.contains("open without a session"));
    world.run(&["unlock", "--for", "1h"]).ok();
    world.run(&["status"]).ok();
    let locked = world.run(&["lock"]).ok();
    assert!(locked.err.contains("the next command opens the vault with it"), "{}", locked.err);
}

#[test]
fn an_open_session_pays_nothing_for_the_keyring() {
    let (world, _bus) = desktop();
    world.run(&["unlock"]).ok();
    let mut strace = world.command("strace");
    strace.args(["-f", "-qq", "-o", "trace", "-e", "trace=socket,connect,clone,clone3", KEYVAULT]);
    finish(strace.args(["exec", "--only", "a", "--", "true"]), b"").ok();
    assert_eq!(std::fs::read_to_string(world.home().join("trace")).unwrap(), "");
}

#[test]
fn a_command_that_a_keyring_opened_gets_no_descriptor_of_ours() {
    let (world, _bus) = desktop();
    let list = "ls -l /proc/self/fd | grep -v 'self/fd\\|/proc/[0-9]*/fd' | grep -c socket:";
    let ran = world.run(&["--no-session", "exec", "--only", "a", "--", "sh", "-c", list]);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("0\n", ""));
}

#[test]
fn a_keyring_gives_a_sessions_rights_and_never_root() {
    let (world, _bus) = desktop();
    for (arguments, said) in [
        (&["vault", "slot", "add", "keyfile", "key"][..], "needs the passphrase or a key file"),
        (&["vault", "slot", "remove", "2", "--yes"], "needs the passphrase or a key file"),
        (&["vault", "rekey", "--keep-passphrase", "--no-recovery", "--yes"], "needs the passphrase"),
        (&["vault", "restore", "--adopt"], "needs the passphrase or a key file"),
    ] {
        world.run(arguments).fails(4, said);
    }
    let verified = world.run(&["audit", "verify", "--json"]).ok().json();
    assert_eq!(verified["from_start"], false);
    world.run(&["generate", "b"]).ok();
    world.run(&["vault", "check"]).ok();
}

#[test]
fn the_last_way_that_gives_root_stays_although_a_keyring_is_left() {
    let (world, _bus) = desktop();
    with_passphrase(&world, &["vault", "slot", "remove", "2", "--yes"]).ok();
    with_passphrase(&world, &["vault", "slot", "remove", "1", "--yes"])
        .fails(6, "the last one with full access");
    let slots = world.run(&["vault", "slot", "list", "--json"]).ok().json();
    let kinds: Vec<_> = slots["slots"].as_array().unwrap().iter().map(|slot| slot["kind"].clone()).collect();
    assert_eq!(kinds, ["passphrase", "keyring"]);
}

#[test]
fn a_removed_slot_takes_its_entry_along_and_another_vaults_stays() {
    let (world, _bus) = desktop();
    let id = vault_id(&world);
    let kept = |id: &str| {
        let mut search = world.command("secret-tool");
        finish(search.args(["search", "service", "keyvault", "username", id]), b"").out.contains("[/")
    };
    assert!(kept(&id));
    let other = "00112233445566778899aabbccddeeff";
    let mut store = world.command("secret-tool");
    store.args(["store", "--label=other", "service", "keyvault", "username", other]);
    finish(&mut store, b"something").ok();
    with_passphrase(&world, &["vault", "slot", "add", "keyring"]).fails(6, "already opens slot 3");
    let removed = with_passphrase(&world, &["vault", "slot", "remove", "3", "--yes"]).ok();
    assert_eq!(
        removed.out,
        "Slot 3 (keyring) no longer opens this vault. Older copies still open with it.\n"
    );
    assert_eq!((kept(&id), kept(other)), (false, true));
    world.run(&["list"]).fails(4, "The vault is locked");
    assert!(!world.run(&["list"]).err.contains("keyring"));
}

#[test]
fn a_rekey_keeps_the_keyring_that_answers_and_drops_one_that_does_not() {
    let (world, bus) = desktop();
    let rekey = ["vault", "rekey", "--keep-passphrase", "--yes", "--json"];
    let kept = with_passphrase(&world, &rekey).ok().json();
    assert_eq!(kept["dropped"].as_array().unwrap().len(), 1, "{kept}");
    assert_eq!(kept["dropped"][0]["kind"], "recovery code");
    assert_eq!(status_of(&world, "keyring").0, Some(true));
    world.run(&["--no-session", "show", "a"]).ok();
    bus.lock_keyring();
    let dropped = with_passphrase(&world, &rekey).ok();
    assert!(dropped.err.contains("The slot of the OS keyring is not kept: it is locked."), "{}", dropped.err);
    let kinds: Vec<_> =
        dropped.json()["dropped"].as_array().unwrap().iter().map(|slot| slot["kind"].clone()).collect();
    assert_eq!(kinds, ["recovery code", "keyring"]);
    assert_eq!(status_of(&world, "keyring"), (Some(false), "the vault has no keyring slot".to_owned()));
    with_passphrase(&world, &["vault", "check"]).ok();
}

#[test]
fn case_37_without_a_bus_nothing_is_waited_for() {
    let (mut world, bus) = desktop();
    drop(bus);
    one_line_and_on(&world, "there is no session bus");
    // No thread and no connection: there is nothing that could wait.
    let mut strace = world.command("strace");
    strace.args(["-f", "-qq", "-o", "trace", "-e", "trace=socket,connect,clone,clone3", KEYVAULT, "list"]);
    finish(&mut strace, b"").fails(4, "");
    assert_eq!(std::fs::read_to_string(world.home().join("trace")).unwrap(), "");
    for (address, why) in [
        ("", "there is no session bus"),
        ("unix:path=/nowhere/bus", "there is no session bus"),
        ("tcp:host=127.0.0.1,port=1", "does not name a local socket"),
        ("unixexec:path=/bin/false", "does not name a local socket"),
    ] {
        world.set("DBUS_SESSION_BUS_ADDRESS", address);
        one_line_and_on(&world, why);
    }
    // A socket that nobody listens on any more.
    let left = world.path().join("left");
    drop(std::os::unix::net::UnixListener::bind(&left).unwrap());
    world.set("DBUS_SESSION_BUS_ADDRESS", &format!("unix:path={}", left.display()));
    one_line_and_on(&world, "there is no session bus");
}

#[test]
fn case_37_a_bus_without_a_keyring_is_not_waited_for() {
    let (world, mut bus) = desktop();
    bus.stop_keyring();
    let begun = Instant::now();
    world.run(&["list"]).fails(4, "no keyring is running on the session bus");
    assert!(begun.elapsed() < LIMIT, "it was waited for");
    one_line_and_on(&world, "no keyring is running on the session bus");
}

#[test]
fn case_38_a_locked_keyring_raises_no_dialogue_and_says_how_to_unlock_it() {
    let (world, bus) = desktop();
    bus.lock_keyring();
    // A dialogue would be waited for: gnome-keyring has no screen to show one on, and says so to nobody.
    let begun = Instant::now();
    world.run(&["list"]).fails(4, "gnome-keyring-daemon --replace --unlock");
    assert!(begun.elapsed() < LIMIT, "it was waited for");
    one_line_and_on(&world, "it is locked");
    let (opens, why) = status_of(&world, "keyring");
    assert!(opens == Some(false) && why.starts_with("it is locked"), "{why}");
}

#[test]
fn case_38_a_keyring_that_hangs_is_given_up_after_three_seconds() {
    let (world, mut bus) = desktop();
    let bounded = |world: &World| {
        let begun = Instant::now();
        let ran = with_passphrase(world, &["show", "a"]).ok();
        assert!(ran.err.contains("it did not answer within 3 s"), "{}", ran.err);
        assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
        // Far from its end, which never comes; a busy machine may take its time.
        assert!((LIMIT..LIMIT * 5).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    };
    bus.signal_keyring("STOP");
    bounded(&world);
    bus.signal_keyring("CONT");
    bus.signal_bus("STOP");
    bounded(&world);
    bus.signal_bus("CONT");
    bus.stop_keyring();
    let mute = bus.mute_service();
    bounded(&world);
    let many = "for i in $(seq 20); do keyvault exec --only a -- true 2>/dev/null & done; wait";
    let begun = Instant::now();
    world.sh(many);
    assert!(begun.elapsed() < LIMIT * 5, "they waited one after the other: {:?}", begun.elapsed());
    drop(mute);
}

#[test]
fn case_39_a_keyring_is_passed_over_only_with_a_word_or_on_request() {
    let (mut world, mut bus) = desktop();
    // Before what is given explicitly, too.
    world.file("passphrase", PASSPHRASE);
    world.set("KEYVAULT_PASSPHRASE_FILE", "passphrase");
    let by_keyring = world.run(&["list"]).ok();
    assert!(!by_keyring.err.contains("keyring"), "{}", by_keyring.err);
    world.run(&["status"]).ok();
    world.run(&["lock"]).ok();
    bus.stop_keyring();
    let by_file = world.run(&["--no-session", "list"]).ok().err;
    assert!(by_file.contains("no keyring is running on the session bus"), "{by_file}");
    world.set("KEYVAULT_KEYRING", "off");
    assert!(!world.run(&["list"]).ok().err.contains("keyring"));
    assert_eq!(status_of(&world, "keyring"), (Some(false), "KEYVAULT_KEYRING=off.".to_owned()));
    world.run(&["lock"]).ok();
    world.run(&["status"]).fails(4, "");
}

#[test]
fn case_40_a_keyring_that_was_lost_costs_the_passphrase_and_one_line() {
    let (world, mut bus) = desktop();
    bus.stop_keyring();
    std::fs::remove_dir_all(Bus::kept(&world)).unwrap();
    bus.start_keyring(&world);
    one_line_and_on(
        &world,
        "it has no entry for this vault. Add one with `keyvault vault slot add keyring`.",
    );
    // The remedy works.
    with_passphrase(&world, &["vault", "slot", "add", "keyring"]).ok();
    assert_eq!(status_of(&world, "keyring").0, Some(true));
    // An ordinary end of the desktop's session loses nothing.
    bus.stop_keyring();
    bus.start_keyring(&world);
    assert_eq!(world.run(&["list"]).ok().err, "");
}

#[test]
fn case_41_garbage_in_the_entry_is_as_if_it_were_absent_with_a_warning() {
    let (world, _bus) = desktop();
    let id = vault_id(&world);
    let tool = |arguments: &[&str], input: &[u8]| {
        let mut tool = world.command("secret-tool");
        finish(tool.args(arguments).args(["service", "keyvault", "username", &id]), input)
    };
    let vault_id = HEXLOWER.decode(id.as_bytes()).unwrap().try_into().unwrap();
    let entry_for = |vault_id| {
        let secret = KeyringSecret::create(&SystemRng).unwrap();
        let entry = secret.entry(&Identity { vault_id, epoch: 1 }).unwrap();
        String::from_utf8(entry.expose().to_vec()).unwrap()
    };
    let entry = entry_for(vault_id);
    let foreign = entry_for([7; 16]);
    let mut slip = entry.clone();
    let last = slip.pop().unwrap();
    slip.push(if last == 'A' { 'B' } else { 'A' });
    for garbage in ["hunter2", slip.as_str(), &foreign, &entry[..40], "\u{1b}[31m\u{202e}"] {
        tool(&["clear"], b"").ok();
        tool(&["store", "--label=garbage"], garbage.as_bytes()).ok();
        one_line_and_on(&world, "keyvault did not write its entry for this vault.");
    }
    // The remedy works, and takes the garbage's place.
    with_passphrase(&world, &["vault", "slot", "add", "keyring"]).ok();
    assert_eq!(status_of(&world, "keyring").0, Some(true));
    // An entry of this vault that opens none of its slots, as an older one does that was put back.
    tool(&["clear"], b"").ok();
    tool(&["store", "--label=old"], entry.as_bytes()).ok();
    one_line_and_on(&world, "its entry opens no slot of this vault.");
    with_passphrase(&world, &["vault", "slot", "add", "keyring"]).ok();
    assert_eq!(status_of(&world, "keyring").0, Some(true));
}

#[test]
fn case_20_adding_the_keyring_killed_or_failing_leaves_a_way_in_or_none_and_can_be_repeated() {
    let (world, _bus) = desktop();
    let opens = || status_of(&world, "keyring").0 == Some(true);
    let id = vault_id(&world);
    let has_entry = || {
        let mut tool = world.command("secret-tool");
        finish(tool.args(["lookup", "service", "keyvault", "username", &id]), b"").code == 0
    };
    with_passphrase(&world, &["vault", "slot", "remove", "3", "--yes"]).ok();
    let (mut undone, mut kept) = (0, 0);
    for call in ["pwrite64", "fdatasync", "renameat"] {
        for what in ["signal=KILL", "error=EIO"] {
            for when in 1..=6 {
                let inject = format!("inject={call}:{what}:when={when}");
                let mut command = world.command("strace");
                command.env("KEYVAULT_PASSPHRASE", PASSPHRASE);
                command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject]);
                let ran = finish(command.args([KEYVAULT, "vault", "slot", "add", "keyring"]), b"");
                with_passphrase(&world, &["vault", "check"]).ok();
                if opens() {
                    kept += 1;
                } else {
                    undone += 1;
                    assert_ne!(ran.code, 0, "{inject}: acknowledged and not there");
                    // A failed attempt takes its entry along. One that was killed cannot, and a slot that may have been
                    // made must not; the next command finds it.
                    let unknown = what == "signal=KILL" || ran.err.contains("may or may not have been made");
                    assert!(!has_entry() || unknown, "{inject}: {}", ran.err);
                    with_passphrase(&world, &["vault", "slot", "add", "keyring"]).ok();
                    assert!(opens(), "{inject}");
                }
                with_passphrase(&world, &["vault", "slot", "remove", "3", "--yes"]).ok();
                assert!(!has_entry(), "{inject}");
            }
        }
    }
    assert!(undone > 6 && kept > 6, "{undone} undone, {kept} kept");
}

#[test]
fn several_entries_for_one_vault_are_called_so_and_none_of_them_is_taken() {
    let (world, mut bus) = desktop();
    let id = vault_id(&world);
    let tool = |arguments: &[&str]| {
        let mut tool = world.command("secret-tool");
        finish(tool.args(arguments).args(["service", "keyvault", "username", &id, "copy", "2"]), b"hunter2")
    };
    let several = "it has several entries for this vault. Delete all but one of them.";
    // One attribute more makes it another entry, as a program that copies keyrings may.
    tool(&["store", "--label=copy"]).ok();
    one_line_and_on(&world, several);
    let (opens, why) = status_of(&world, "keyring");
    assert_eq!((opens, why.as_str()), (Some(false), several));
    with_passphrase(&world, &["vault", "slot", "add", "keyring"]).fails(1, several);
    bus.lock_keyring();
    one_line_and_on(&world, "it is locked");
    // The remedy works.
    bus.stop_keyring();
    bus.start_keyring(&world);
    tool(&["clear"]).ok();
    assert_eq!(status_of(&world, "keyring").0, Some(true));
}

#[test]
fn case_42_the_one_entry_is_read_once_in_a_run_and_by_a_hundred_runs_once() {
    let (world, bus) = desktop();
    for arguments in [
        &["--no-session", "exec", "--only", "a", "--", "true"][..],
        &["--no-session", "show", "a", "--reveal"],
        &["--no-session", "list"],
        &["status"],
        &["status", "-v"],
        &["doctor"],
    ] {
        assert_eq!(bus.reads_of(&world, || drop(world.run(arguments))), 1, "{arguments:?}");
    }
    let many = "for i in $(seq 100); do keyvault exec --only a -- echo done & done; wait";
    let reads = bus.reads_of(&world, || {
        let ran = world.sh(many).ok();
        assert_eq!((ran.out.matches("done").count(), ran.err.as_str()), (100, ""));
    });
    assert_eq!(reads, 1);
}

#[test]
fn init_asks_whether_the_keyring_may_open_the_vault_and_takes_no_for_an_answer() {
    for (answer, kinds) in [("yes", &["passphrase", "keyring"][..]), ("n", &["passphrase"])] {
        let mut world = World::empty();
        let _bus = Bus::with_keyring(&mut world);
        let terminal = Terminal::shell(&world);
        terminal.run("keyvault init --no-recovery", "New passphrase:");
        terminal.type_line(PASSPHRASE);
        terminal.wait_for("Repeat the passphrase:");
        terminal.type_line(PASSPHRASE);
        terminal.wait_for("Also open the vault with this desktop's keyring");
        terminal.type_line(answer);
        let (shown, code) = terminal.ended();
        assert_eq!(code, 0, "{shown}");
        let slots = with_passphrase(&world, &["vault", "slot", "list", "--json"]).ok().json();
        let found: Vec<_> =
            slots["slots"].as_array().unwrap().iter().map(|slot| slot["kind"].clone()).collect();
        assert_eq!(found, kinds, "{shown}");
        assert_eq!(world.run(&["list"]).code, if answer == "yes" { 0 } else { 4 });
    }
}

/// A keyring that is open would lift the limit of a limited session with the next command.
#[test]
fn a_keyring_opens_a_limited_session_and_nothing_beside_it() {
    let (world, _bus) = desktop();
    world.run(&["edit", "a", "--scope", "s"]).ok();
    world.run(&["generate", "b"]).ok();
    world.run(&["lock"]).ok();
    world.run(&["unlock", "--scope", "s"]).ok();
    let logged = with_passphrase(&world, &["audit", "log", "--action", "unlock"]).ok().out;
    assert!(logged.lines().last().unwrap().contains("limited session of 1h"), "{logged}");
    for command in [&["history", "b"][..], &["show", "b", "--reveal"], &["exec", "--only", "b", "--", "true"]]
    {
        assert!(world.run(command).err.contains("limited"));
    }
    assert_eq!(world.run(&["status", "--json"]).ok().json()["status"], "limited");
    // Its end is told, and that the keyring opens the vault again.
    let locked = world.run(&["lock"]).ok().err;
    assert!(locked.contains("the next command opens the vault with it"), "{locked}");
    // The session that the keyring opens by itself ends what is left of the limited one.
    world.run(&["list"]).ok();
    assert_eq!(world.run(&["status", "--json"]).ok().json()["sessions"], serde_json::json!([]));
}
