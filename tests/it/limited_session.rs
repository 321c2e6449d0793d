//! Limited sessions: the keys they open, what they refuse, how they end, and what they leave behind.

use keyvault_core::crypto::SystemRng;
use keyvault_core::secret::SecretBytes;
use keyvault_os::kernel_keyring;
use keyvault_vault::audit::Actor;
use keyvault_vault::state::pin::Pins;
use keyvault_vault::unlock::passphrase::Passphrase;
use keyvault_vault::unlock::session::LimitedSession;
use keyvault_vault::unlock::token::Token;
use keyvault_vault::{BearerKeys, Notices, Sought, Supply, Vault, token};
use pretty_assertions::assert_eq;
use rusqlite::Connection;

use crate::harness::bearer::{ENV, held, seen, with_keys};
use crate::harness::desktop::vault_id;
use crate::harness::project_file::{approved, project, run_in};
use crate::harness::vault_file::{drop_side_files, put_back, tamper};
use crate::harness::watched::{ENDED, SCRIPT, Watched, filled, rotate};
use crate::harness::{KEYVAULT, PASSPHRASE, Ran, World, finish, hours, minutes, nobody, wait_until};

const NEEDS_ALL: &str = "
    error: The open session is limited to some keys, and this command needs the whole vault.
           Open a full session, which ends the limited one: keyvault unlock
";

/// [`with_keys`] without its session.
fn locked() -> World {
    let world = with_keys();
    world.run(&["lock"]).prints("Locked.\n");
    world
}

/// A command that is given the passphrase.
fn owner(world: &World, arguments: &[&str]) -> Ran {
    let mut command = world.command(KEYVAULT);
    finish(command.env("KEYVAULT_PASSPHRASE", PASSPHRASE).args(arguments), b"")
}

/// Keys `a` and `b` for an hour.
fn limited() -> World {
    let world = locked();
    owner(&world, &["unlock", "--scope", "deploy"]).ok();
    world
}

/// The kernel's key of the vault's session.
fn payload(world: &World) -> Option<Vec<u8>> {
    let kept = kernel_keyring::load(&format!("keyvault:{}", vault_id(world))).unwrap();
    kept.map(|payload| payload.expose().to_vec())
}

/// The limited sessions whose tokens the vault has.
fn sessions(world: &World) -> Vec<String> {
    let listed = owner(world, &["token", "list", "--json"]).ok().json();
    let names = listed["sessions"].as_array().unwrap().iter();
    names.map(|session| session["name"].as_str().unwrap().to_owned()).collect()
}

/// Acts through the library, as `ada` on a machine.
fn outside<T>(world: &World, host: &str, act: impl FnOnce(&keyvault_vault::World<'_>) -> T) -> T {
    let clock = world.clock();
    act(&keyvault_vault::World {
        clock: &clock,
        rng: &SystemRng,
        actor: Actor { user: "ada".to_owned(), host: host.to_owned(), ..Actor::default() },
        pins: Pins::in_folder(world.pins()),
        holders: nobody(),
        notices: Notices::told_by(&|_| ()),
        waiting: &|_, _| (),
    })
}

/// The rows of tokens. The ledger of the device that made the vault has number 1.
fn rows(world: &World) -> Vec<i64> {
    let connection = Connection::open(world.vault()).unwrap();
    [
        "object WHERE id >> 56 = 5",
        "token_view",
        "token_grant",
        "log WHERE id >> 32 > 1",
        "log_head WHERE number > 1",
    ]
    .map(|rows| connection.query_row(&format!("SELECT count(*) FROM {rows}"), [], |row| row.get(0)).unwrap())
    .to_vec()
}

#[test]
fn a_limited_session_opens_the_keys_of_its_scopes_and_no_other() {
    let world = locked();
    owner(&world, &["unlock", "--scope", "deploy"])
        .prints("Unlocked 2 keys until 2040-05-17 09:00 (in 1h). `keyvault lock` ends the session.\n");
    assert_eq!(seen(world.run(&ENV)), ["A=value-a", "B=value-b"]);
    assert_eq!(seen(world.run(&["exec", "--scope", "deploy", "--", "env"])), ["A=value-a", "B=value-b"]);
    world.run(&["export", "--only", "b"]).prints("B=value-b\n");
    world.run(&["export"]).prints("A=value-a\nB=value-b\n");
    world.run(&["show", "a", "--reveal"]).prints("value-a");
    world.run(&["exec", "--only", "c", "--", "env"]).fails_with(
        125,
        "
            error: Cannot release the keys:
              c: not granted to the limited session
                   The open session is limited. Open a full one, which ends it: keyvault unlock
        ",
    );
    let other = "
        error: Cannot release the keys:
          scope other: no key granted to the limited session has it
               The open session is limited. Open a full one, which ends it: keyvault unlock
    ";
    world.run(&["exec", "--scope", "other", "--", "env"]).fails_with(125, other);
    world.run(&["export", "--scope", "other"]).fails_with(3, other);
    world.run(&["show", "d", "--reveal"]).fails(3, "Key `d` is not granted to the limited session.");
    owner(&world, &["unlock", "--scope", "other", "--scope", "deploy"]).ok();
    assert_eq!(seen(world.run(&ENV)), ["A=value-a", "B=value-b", "C=value-c"]);
    owner(&world, &["unlock", "--scope", "deplo"]).fails_with(
        3,
        "
            error: No key has the scope `deplo`.
                   Did you mean `deploy`? Run `keyvault list` to see keys and their scopes.
        ",
    );
    assert_eq!(seen(world.run(&ENV)).len(), 3, "the session before goes on");
}

#[test]
fn what_needs_the_owner_says_that_the_session_is_limited_and_what_opens_a_full_one() {
    let world = limited();
    for arguments in [
        &["generate", "new"][..],
        &["rotate", "a"],
        &["edit", "a", "--note", "n"],
        &["revoke", "a"],
        &["remove", "a", "--yes"],
        &["history", "a"],
        &["token", "list"],
        &["token", "create", "ci", "--scope", "deploy"],
        &["audit", "log"],
        &["vault", "check"],
    ] {
        world.run(arguments).fails_with(4, NEEDS_ALL);
    }
    // A credential that is given counts, and leaves the session as it is.
    owner(&world, &["list"]).ok();
    owner(&world, &["edit", "c", "--note", "n"]).ok();
    assert_eq!(seen(world.run(&ENV)), ["A=value-a", "B=value-b"]);
    owner(&world, &["unlock"])
        .prints("Unlocked until 2040-05-17 09:00 (in 1h). `keyvault lock` ends the session.\n");
    world.run(&["list"]).ok();
    assert_eq!(seen(world.run(&["exec", "--all", "--", "env"])).len(), 4);
    assert_eq!(sessions(&world), [""; 0], "a full session ends a limited one");
}

#[test]
fn a_limited_session_gets_what_later_changes_give_its_scope_and_loses_what_they_take() {
    let world = limited();
    let mut add = world.command(KEYVAULT);
    finish(add.env("KEYVAULT_PASSPHRASE", PASSPHRASE).args(["add", "e", "--scope", "deploy"]), b"value-e")
        .ok();
    assert_eq!(seen(world.run(&ENV)), ["A=value-a", "B=value-b", "E=value-e"]);
    owner(&world, &["remove", "a", "--yes"]).ok();
    owner(&world, &["edit", "b", "--unscope", "deploy"]).ok();
    assert_eq!(seen(world.run(&ENV)), ["E=value-e"]);
    owner(&world, &["vault", "check"]).ok();
}

#[test]
fn status_shows_a_limited_session_while_it_is_open_and_as_long_as_the_vault_has_its_token() {
    let world = limited();
    world.run(&["status"]).prints(
        "
            vault        ~/.local/share/keyvault/vault.db
            session      limited to 2 keys until 2040-05-17 09:00 (in 1h): a, b
        ",
    );
    let status = world.run(&["status", "--json"]).ok().json();
    assert_eq!(
        (&status["status"], &status["until"], &status["keys"], &status["sessions"]),
        (
            &"limited".into(),
            &"2040-05-17T09:00:00.000Z".into(),
            &serde_json::json!(["a", "b"]),
            &serde_json::Value::Null
        )
    );
    let name = sessions(&world).remove(0);
    assert!(name.starts_with("session/") && name.len() == 16, "{name}");
    // `lock` ends the kernel's key, and someone who copied it is still let in: so the token is shown.
    world.run(&["lock"]).prints("Locked.\n");
    world.run(&["exec", "--only", "a", "--", "env"]).fails(125, "The vault is locked");
    owner(&world, &["token", "list"]).is(
        0,
        &format!("{name}: limited session, 2 keys, until 2040-05-17 09:00 (in 1h), by ada@host\n"),
        "No tokens yet. Create one with `keyvault token create ci --scope SCOPE`.\n",
    );
    owner(&world, &["unlock"]).ok();
    world.run(&["status"]).prints(
        "
            vault        ~/.local/share/keyvault/vault.db
            session      open until 2040-05-17 09:00 (in 1h)
        ",
    );
}

#[test]
fn a_session_that_another_machine_made_is_shown_and_ended_by_revoke_alone() {
    let world = with_keys();
    let pins = Pins::in_folder(world.pins());
    let mut vault = Vault::open(&world.vault(), &pins).unwrap();
    let access = vault.session(world.clock().0).unwrap().into();
    let scope = Sought::Scopes(vec!["deploy".parse().unwrap()]);
    let made = outside(&world, "elsewhere", |outside| {
        token::begin_session(&mut vault, &access, outside, &scope, (3_600_000, "1h")).unwrap()
    });
    drop(vault);
    let name = made.record.name.to_string();
    owner(&world, &["unlock"]).ok();
    world.run(&["status"]).prints(&format!(
        "
            vault        ~/.local/share/keyvault/vault.db
            session      open until 2040-05-17 09:00 (in 1h)
            limited      {name} until 2040-05-17 09:00 (in 1h), by ada@elsewhere
        "
    ));
    let status = world.run(&["status", "--json"]).ok().json();
    assert_eq!(
        status["sessions"],
        serde_json::json!([{
            "name": name, "scopes": ["deploy"], "created": "2040-05-17T08:00:00.000Z",
            "expires": "2040-05-17T09:00:00.000Z", "made_by": "ada@elsewhere"
        }])
    );
    world.run(&["token", "revoke", &name]).ok();
    assert_eq!(world.run(&["status", "--json"]).ok().json()["sessions"], serde_json::json!([]));
}

#[test]
fn a_full_session_is_ended_only_by_consent() {
    let world = with_keys();
    world.run(&["unlock", "--scope", "deploy"]).fails_with(
        2,
        "
            error: A full session is open, which the limited one would end, and there is no terminal to prompt on.
                   Use `--yes` to end it.
        ",
    );
    world.run(&["list"]).ok();
    // The full session is a credential like another.
    let answer = world.run(&["unlock", "--scope", "deploy", "--yes", "--for", "2h", "--json"]).ok().json();
    assert_eq!(answer["until"], "2040-05-17T10:00:00.000Z");
    assert_eq!(answer["keys"], serde_json::json!(["a", "b"]));
    assert_eq!(sessions(&world), [answer["session"].as_str().unwrap()]);
    world.run(&["history", "a"]).fails_with(4, NEEDS_ALL);
    // One limited session after another asks nothing.
    owner(&world, &["unlock", "--scope", "other"]).ok();
    assert_eq!((seen(world.run(&ENV)), sessions(&world).len()), (vec!["C=value-c".to_owned()], 1));
}

#[test]
fn twelve_hours_are_the_longest_and_a_clock_that_goes_back_ends_what_lies_further_ahead() {
    let world = locked();
    for bad in ["13h", "721m"] {
        owner(&world, &["unlock", "--scope", "deploy", &format!("--for={bad}")])
            .fails(2, "is not between 1s and 12h");
    }
    assert_eq!(sessions(&world), [""; 0]);
    owner(&world, &["unlock", "--scope", "deploy", "--for", "12h"]).ok();
    owner(&world, &["edit", "d", "--note", "one"]).ok();
    assert_eq!((seen(world.run(&ENV)).len(), sessions(&world).len()), (2, 1));
    world.at("2040-05-17T07:59:59Z");
    owner(&world, &["edit", "d", "--note", "two"]).ok();
    assert_eq!((sessions(&world), rows(&world)), (vec![], vec![0; 5]));
    world.run(&ENV).fails_with(
        125,
        "
            error: The limited session no longer opens anything: it has expired, or the vault's owner ended it.
                   Open another with `keyvault unlock --scope SCOPE`, or a full one with `keyvault unlock`.
        ",
    );
}

/// Case 100.
#[test]
fn case_100_the_kernels_key_is_gone_and_the_vault_unchanged() {
    let world = locked();
    owner(&world, &["unlock", "--scope", "deploy", "--for", "1s"]).ok();
    // The world's clock stands still: it is the kernel that ends it.
    wait_until("the end of the session", || payload(&world).is_none());
    let before = std::fs::read(world.vault()).unwrap();
    world.run(&ENV).fails(125, "No keys chosen.");
    world.run(&["exec", "--scope", "deploy", "--", "env"]).fails(125, "The vault is locked");
    assert!(std::fs::read(world.vault()).unwrap() == before, "nobody is there who could change it");
    assert_eq!(rows(&world), [1, 1, 2, 0, 1], "the token is still there");
    world.advance(minutes(1));
    owner(&world, &["edit", "d", "--note", "n"]).ok();
    assert_eq!(rows(&world), [0; 5], "the next change takes it away");
    owner(&world, &["vault", "check"]).ok();
}

#[test]
fn an_expired_session_opens_nothing_and_the_next_change_leaves_its_reads_alone() {
    let world = limited();
    world.run(&["exec", "--only", "a", "--", "true"]).ok();
    world.run(&["show", "b", "--reveal"]).ok();
    let name = sessions(&world).remove(0);
    let log = owner(&world, &["audit", "log"]).ok().out;
    assert!(log.contains(&format!("{name}:0")) && log.contains(&format!("{name}:1")), "{log}");
    world.advance(hours(1));
    world.run(&["exec", "--only", "a", "--", "true"]).fails(125, "The vault is locked");
    owner(&world, &["edit", "d", "--note", "n"]).ok();
    assert_eq!(rows(&world), [0; 5]);
    // The reads stay in the owner's own log, under the session's name.
    let lines = owner(&world, &["audit", "log", "--json"]).ok().out;
    let reads: Vec<_> = lines
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|event| event["detail"].as_str().unwrap().starts_with(&name))
        .map(|event| {
            assert_eq!(
                (&event["token"], &event["change"]),
                (&serde_json::Value::Null, &serde_json::Value::Null)
            );
            (event["action"].clone(), event["keys"][0]["name"].clone(), event["detail"].clone())
        })
        .collect();
    let expected = [("exec", "a", format!("{name}: true")), ("reveal", "b", name)];
    assert_eq!(reads, expected.map(|(action, key, detail)| (action.into(), key.into(), detail.into())));
    owner(&world, &["audit", "verify", "--from-start"]).ok();
    owner(&world, &["vault", "check"]).ok();
}

#[test]
fn reads_of_a_session_that_were_cut_off_are_recorded_as_such_when_it_ends() {
    let world = limited();
    world.run(&ENV).ok();
    world.run(&ENV).ok();
    owner(&world, &["edit", "d", "--note", "n"]).ok();
    tamper(&world, "DELETE FROM log WHERE id >> 32 > 1 AND id & 4294967295 = 0");
    let name = sessions(&world).remove(0);
    let ended = owner(&world, &["token", "revoke", &name]);
    assert!(ended.code == 0 && ended.err.contains("someone may have hidden reads"), "{}", ended.err);
    let log = owner(&world, &["audit", "log"]).ok().out;
    assert!(log.contains(&format!("({name}: its reads cannot be proved)")), "{log}");
}

#[test]
fn a_session_is_ended_by_revoke_and_never_renewed_bundled_or_made_by_hand() {
    let world = limited();
    let name = sessions(&world).remove(0);
    for arguments in [
        &["token", "renew", &name][..],
        &["token", "edit", &name, "--expires", "1h"],
        &["bundle", "create", "--token", &name, "-o", "b"],
    ] {
        owner(&world, arguments)
            .fails(6, "is a limited session, which cannot be renewed, edited, or bundled.");
    }
    owner(&world, &["token", "create", "session/mine", "--scope", "deploy"])
        .fails(2, "`session/` begins the names of limited sessions.");
    owner(&world, &["token", "revoke", &name]).ok();
    assert_eq!(rows(&world), [0; 5]);
    world.run(&["exec", "--all", "--", "env"]).fails(125, "The limited session no longer opens anything");
    world.run(&["status"]).is(4, "
            vault        ~/.local/share/keyvault/vault.db
            session      locked; open a session with `keyvault unlock`
        ", "warning: The limited session no longer opens anything: it has expired, or the vault's owner ended it.\n");
}

#[test]
fn the_kernels_key_opens_only_its_grants_and_writes_nothing() {
    let world = limited();
    let kept = payload(&world).unwrap();
    assert_eq!((kept.len(), kept[0]), (104, 2));
    let text = kept[29..].to_vec();
    // The token is no machine's, and the program does not take it for one.
    held(&world, std::str::from_utf8(&text).unwrap(), &["exec", "--all", "--", "env"]).fails(125, "damaged");
    let pins = Pins::in_folder(world.pins());
    let bearer = || {
        let until = world.clock().0.plus_millis(1);
        BearerKeys::of_session(&LimitedSession { token: Token::parse(&text).unwrap(), until })
    };
    let mut supply = Supply::Granted(Vault::open(&world.vault(), &pins).unwrap(), bearer());
    outside(&world, "here", |outside| {
        let looking = supply.look(outside).unwrap();
        let all = looking.keys().unwrap().all().unwrap();
        let mut names: Vec<_> = all.iter().map(|key| key.name().to_string()).collect();
        names.sort();
        assert_eq!(names, ["a", "b"]);
        for name in ["c", "d"] {
            assert!(looking.keys().unwrap().named(&name.parse().unwrap()).unwrap().is_none(), "{name}");
        }
    });
    // Neither the daily key nor a passphrase is in what the kernel keeps, so nothing that takes them opens.
    let mut vault = Vault::open(&world.vault(), &pins).unwrap();
    assert!(vault.session(world.clock().0).is_none());
    let guess = Passphrase::new(&SecretBytes::copy_from(&text)).unwrap();
    assert!(vault.open_passphrase(&guess).is_err());
    drop(vault);
    // Rows that the token's holder alters are not granted on, and the owner's next change says so.
    let other = Connection::open(world.vault()).unwrap();
    other.execute_batch("UPDATE token_view SET change = change + 1").unwrap();
    drop(other);
    world.run(&ENV).fails(125, "damaged");
    let changed = owner(&world, &["edit", "a", "--note", "n"]);
    assert!(
        changed.code == 0 && changed.err.contains("Someone altered the grants of token"),
        "{}",
        changed.err
    );
    assert_eq!(seen(world.run(&ENV)), ["A=value-a", "B=value-b"]);
}

#[test]
fn a_rekey_and_a_restore_end_limited_sessions_and_keep_what_was_read() {
    let world = limited();
    world.run(&["exec", "--only", "a", "--", "true"]).ok();
    owner(&world, &["vault", "backup", "b"]).ok();
    let name = sessions(&world).remove(0);
    owner(&world, &["vault", "restore", "b", "--yes"]).ok();
    assert_eq!((rows(&world), payload(&world)), (vec![0; 5], None));
    let log = owner(&world, &["audit", "log"]).ok().out;
    assert!(log.contains(&format!("({name}: true)")), "{log}");
    owner(&world, &["unlock", "--scope", "deploy"]).ok();
    world.run(&["exec", "--only", "b", "--", "true"]).ok();
    let name = sessions(&world).remove(0);
    owner(&world, &["vault", "rekey", "--keep-passphrase", "--no-recovery", "--yes"]).ok();
    assert_eq!((rows(&world), payload(&world)), (vec![0; 5], None));
    let log = owner(&world, &["audit", "log"]).ok().out;
    assert!(log.contains(&format!("({name}: true)")), "{log}");
    owner(&world, &["audit", "verify", "--from-start"]).ok();
}

#[test]
fn a_session_for_a_project_opens_the_keys_that_its_approved_file_names() {
    let world = locked();
    let file = "[keys]\nA = \"a\"\nURL = { template = \"x-{c}\" }\nNONE = { key = \"none-yet\", optional = true }\n\
                [profiles.p.keys]\nD = \"d\"\n";
    let folder = project(&world, file);
    let unlock = |more: &[&str]| {
        let mut command = world.command(KEYVAULT);
        command.current_dir(&folder).env("KEYVAULT_PASSPHRASE", PASSPHRASE);
        finish(command.args(["unlock", "--project"]).args(more), b"")
    };
    // A token of a machine approves nothing here.
    let mut by_token = world.command(KEYVAULT);
    by_token.current_dir(&folder).env("KEYVAULT_PASSPHRASE", PASSPHRASE).env("KEYVAULT_TOKEN", "x");
    finish(by_token.args(["unlock", "--project"]), b"").fails(6, "asks for keys that are not approved");
    unlock(&[]).fails(6, "asks for keys that are not approved");
    approved(&world, file);
    unlock(&[]).prints("Unlocked 2 keys until 2040-05-17 09:00 (in 1h). `keyvault lock` ends the session.\n");
    let child = ["exec", "--", "sh", "-c", "echo $A $URL"];
    run_in(&world, &folder, &child).prints("value-a x-value-c\n");
    run_in(&world, &folder, &["exec", "--only", "b", "--", "true"])
        .fails(125, "b: not granted to the limited session");
    run_in(&world, &folder, &["exec", "--profile", "p", "--", "true"])
        .fails(125, "D <- d: not granted to the limited session");
    unlock(&["--profile", "p"]).ok();
    run_in(&world, &folder, &["exec", "--profile", "p", "--", "sh", "-c", "echo $D"]).prints("value-d\n");
    run_in(&world, &world.home(), &["unlock", "--project"]).fails(3, "");
    world.run(&["unlock", "--project", "--scope", "deploy"]).fails(2, "cannot be used with");
}

#[test]
fn a_key_that_no_file_gets_is_handed_to_none_by_a_limited_session_either() {
    let world = locked();
    owner(&world, &["edit", "a", "--tag", "project=never"]).ok();
    let folder = approved(&world, "[keys]\nA = \"a\"\nB = \"b\"\n");
    let mut command = world.command(KEYVAULT);
    command.current_dir(&folder).env("KEYVAULT_PASSPHRASE", PASSPHRASE);
    finish(command.args(["unlock", "--project"]), b"").ok();
    assert_eq!(seen(world.run(&ENV)), ["B=value-b"], "a session for files has nothing for it");
    owner(&world, &["unlock", "--scope", "deploy"]).ok();
    assert_eq!(seen(world.run(&ENV)), ["A=value-a", "B=value-b"]);
    run_in(&world, &folder, &["exec", "--", "true"])
        .fails(125, "A <- a: not available to project files, because of its tag project=never");
    owner(&world, &["edit", "a", "--untag", "project"]).ok();
    run_in(&world, &folder, &["exec", "--", "true"]).ok();
}

/// Like a full session's key, a limited one's is not held by a command that runs on.
#[test]
fn a_watch_follows_a_limited_session_and_ends_with_it() {
    let mut world = filled();
    world.run(&["unlock", "--scope", "s"]).ok();
    world.unset("KEYVAULT_PASSPHRASE");
    let watched = Watched::start(&world, &["--only", "a"], SCRIPT);
    assert_eq!(watched.line(), "start a1 none");
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    rotate(&world, "a", "a2");
    assert_eq!(watched.said(), "keyvault: a is now at version 2; restarting sh.");
    assert_eq!([watched.line(), watched.line()], [ENDED, "start a2 none"]);
    world.run(&["lock"]).ok();
    assert_eq!(
        watched.said(),
        "warning: sh keeps its current keys: the vault is locked, so changes go unnoticed until `keyvault unlock`"
    );
    rotate(&world, "a", "a3");
    world.run(&["unlock"]).ok();
    assert_eq!([watched.line(), watched.line()], [ENDED, "start a3 none"]);
    watched.stop();
}

#[test]
fn a_session_reads_at_no_time_outside_of_its_life() {
    let world = limited();
    world.at("2039-01-01T00:00:00Z");
    world.run(&["exec", "--only", "a", "--", "true"]).ok();
    world.at("2040-05-17T08:30:00Z");
    let name = sessions(&world).remove(0);
    owner(&world, &["token", "revoke", &name]).ok();
    let log = owner(&world, &["audit", "log", "--json"]).ok().out;
    let line = log.lines().find(|line| line.contains(&format!("{name}: true"))).unwrap();
    assert!(line.contains("\"time\":\"2040-05-17T08:00:00.000Z\""), "{line}");
}

#[test]
fn an_older_file_that_is_adopted_and_a_damaged_one_that_is_repaired_have_no_limited_session() {
    let world = limited();
    world.run(&["exec", "--only", "a", "--", "true"]).ok();
    owner(&world, &["edit", "d", "--note", "one"]).ok();
    drop_side_files(&world.vault());
    let older = std::fs::read(world.vault()).unwrap();
    let name = sessions(&world).remove(0);
    // Revoked, and back with the older file.
    owner(&world, &["token", "revoke", &name]).ok();
    put_back(&world, &older);
    assert_eq!(sessions(&world), [name.as_str()]);
    owner(&world, &["vault", "restore", "--adopt"]).ok();
    assert_eq!((sessions(&world), rows(&world)), (vec![], vec![0; 5]));
    let read = format!("({name}: true)");
    assert!(owner(&world, &["audit", "log"]).ok().out.contains(&read));
    owner(&world, &["unlock", "--scope", "deploy"]).ok();
    world.run(&["exec", "--only", "b", "--", "true"]).ok();
    let read = format!("({}: true)", sessions(&world).remove(0));
    tamper(&world, "DELETE FROM leaf");
    let revoked = owner(&world, &["revoke", "c"]);
    assert!(revoked.code == 0 && revoked.err.contains("The vault was damaged"), "{}", revoked.err);
    assert_eq!((sessions(&world), rows(&world)), (vec![], vec![0; 5]));
    assert!(owner(&world, &["audit", "log"]).ok().out.contains(&read));
    owner(&world, &["vault", "check"]).ok();
    owner(&world, &["audit", "verify", "--from-start"]).ok();
}

/// The log's entries of one action, as programs read them.
fn entries(world: &World, action: &str) -> Vec<serde_json::Value> {
    let log = owner(world, &["audit", "log", "--json", "--action", action]).ok().out;
    log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn an_entry_that_a_sessions_holder_wrote_says_so_when_the_session_is_over() {
    let world = limited();
    let name = sessions(&world).remove(0);
    let begun = entries(&world, "unlock").pop().unwrap();
    let maker = |part: &str| begun["actor"][part].as_str().unwrap();
    let of = serde_json::json!({ "name": name, "made_by": format!("{}@{}", maker("user"), maker("host")) });
    assert_eq!(begun["session"], of);
    world.at("2040-05-17T08:20:00Z");
    world.run(&ENV).ok();
    world.at("2040-05-17T08:30:00Z");
    // The vault's token outlasts the kernel's key, which would be used before the passphrase.
    world.run(&["lock"]).ok();
    owner(&world, &["exec", "--only", "a", "--", "true"]).ok();
    assert_eq!(entries(&world, "exec").iter().filter(|read| !read["session"].is_null()).count(), 0);
    world.at("2040-05-17T08:40:00Z");
    owner(&world, &["token", "revoke", &name]).ok();
    let reads = entries(&world, "exec");
    let last = reads.last().unwrap();
    assert_eq!((&last["session"], &last["keys"][1]["name"]), (&of, &"b".into()));
    assert_eq!(reads[reads.len() - 2]["session"], serde_json::Value::Null);
    // It is older than the owner's own read, though it stands behind it.
    let read = |key: &str| {
        owner(&world, &["history", key, "--json"]).ok().json()["versions"][0]["last_read"].clone()
    };
    assert_eq!(read("a"), "2040-05-17T08:30:00.000Z");
    assert_eq!(read("b"), "2040-05-17T08:20:00.000Z");
    owner(&world, &["audit", "verify", "--from-start"]).ok();
}
