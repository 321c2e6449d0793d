//! Logs of what was read from bundles: what is imported of one that was damaged, and how long one that is locked is
//! waited for.

use std::process::{Child, Stdio};
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use keyvault_core::clock::{Clock, Moment};
use keyvault_core::crypto::SystemRng;
use keyvault_core::secret::SecretBytes;
use keyvault_vault::audit::Actor;
use keyvault_vault::state::pin::Pins;
use keyvault_vault::unlock::passphrase::Passphrase;
use keyvault_vault::{NewToken, Notices, Vault, World as VaultWorld, token};
use pretty_assertions::assert_eq;
use rusqlite::Connection;
use rustix::fs::inotify;
use serde_json::json;

use crate::harness::bearer::{ENV, held, token, with_keys};
use crate::harness::{KEYVAULT, PASSPHRASE, Ran, World, wait_until};

const READ: [&str; 5] = ["exec", "--bundle", "keys.kvb", "--", "true"];

/// A vault with the token `ci`, its bundle, and a machine of its bearer's.
fn with_bundle() -> (World, World, String) {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    world.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb"]).ok();
    let mut away = World::empty();
    std::fs::copy(world.home().join("keys.kvb"), away.home().join("keys.kvb")).unwrap();
    away.set("KEYVAULT_READS", "reads.jsonl");
    (world, away, token)
}

/// So many reads there, as lines.
fn reads(away: &World, token: &str, count: usize) -> Vec<String> {
    (0..count).for_each(|_| drop(held(away, token, &READ).ok()));
    let log = std::fs::read_to_string(away.home().join("reads.jsonl")).unwrap();
    log.lines().map(str::to_owned).collect()
}

fn import(world: &World, lines: &[&str]) -> Ran {
    world.file("reads.jsonl", lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    world.run(&["audit", "import", "reads.jsonl"])
}

fn imported(world: &World) -> usize {
    let shown = world.run(&["token", "show", "ci", "--json"]).ok().json();
    shown["reads"].as_array().unwrap().len()
}

#[test]
fn lines_that_cannot_be_proved_keep_no_other_away_and_nothing_is_imported_twice() {
    let (world, away, token) = with_bundle();
    let lines = reads(&away, &token, 5);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let altered = lines[3].replacen("\"seq\":3", "\"seq\":9", 1);
    let foreign = lines[0].replacen("\"vault\":\"", "\"vault\":\"00000000000000000000000000000000", 1);
    let (head, tail) = foreign.split_at(foreign.find("00000000000000000000000000000000").unwrap() + 32);
    let foreign = format!("{head}{}", &tail[32..]);
    let half = &lines[4][..lines[4].len() / 2];
    let damaged =
        ["nonsense", lines[1], lines[0], half, "", lines[0], &altered, &foreign, lines[2], lines[4]];
    import(&world, &damaged).is(
        5,
        "Imported 4 new reads by token `ci`.\n",
        "
            warning: Line 1 is not a read that keyvault recorded; not imported.
            warning: Line 4 is not a read that keyvault recorded; not imported.
            warning: Line 7 was altered; not imported.
            warning: Before line 10, 1 read is missing.
            warning: Skipped 1 read by tokens of another vault.
        ",
    );
    assert_eq!(imported(&world), 4);
    import(&world, &damaged).is(
        5,
        "Nothing new was imported.\n",
        "
            warning: Line 1 is not a read that keyvault recorded; not imported.
            warning: Line 4 is not a read that keyvault recorded; not imported.
            warning: Line 7 was altered; not imported.
            warning: Skipped 1 read by tokens of another vault.
        ",
    );
    assert_eq!(imported(&world), 4);
    // A whole copy brings what was missing, once.
    assert_eq!(import(&world, &lines).ok().out, "Imported 1 new read by token `ci`.\n");
    assert_eq!(import(&world, &lines).ok().out, "Nothing new: every read in the file was imported before.\n");
    world.file("reads.jsonl", damaged.join("\n"));
    let told = world.run(&["audit", "import", "reads.jsonl", "--json"]);
    assert_eq!(told.code, 5);
    let fault = |line: usize, what: &str| json!({ "line": line, "what": what, "imported": false });
    assert_eq!(
        told.json(),
        json!({
            "new": [], "known": 5, "unknown": 0, "other_vaults": 1, "cut_off": false,
            "faults": [
                fault(1, "is not a read that keyvault recorded"),
                fault(4, "is not a read that keyvault recorded"),
                fault(7, "was altered"),
            ],
        })
    );
    assert_eq!(imported(&world), 5);
    world.run(&["audit", "verify"]).ok();
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_last_line_that_was_cut_off_is_pointed_out_and_no_damage() {
    let (world, away, token) = with_bundle();
    let lines = reads(&away, &token, 2);
    let cut = &lines[1][..lines[1].len() - 1];
    world.file("reads.jsonl", format!("{}\n{cut}", lines[0]));
    let ran = world.run(&["audit", "import", "reads.jsonl"]).ok();
    ran.is(
        0,
        "Imported 1 new read by token `ci`.\n",
        "warning: The last line is truncated. Its read was not released, unless the copy is incomplete.\n",
    );
    // Whole, but for the newline.
    world.file("reads.jsonl", lines.join("\n"));
    assert_eq!(
        world.run(&["audit", "import", "reads.jsonl"]).ok().out,
        "Imported 1 new read by token `ci`.\n"
    );
}

#[test]
fn reads_of_a_log_that_was_put_back_to_an_older_copy_are_imported_and_the_copy_is_noticed() {
    let (world, away, token) = with_bundle();
    let first = reads(&away, &token, 2);
    let cached = std::fs::read(away.home().join("reads.jsonl")).unwrap();
    let one = reads(&away, &token, 1);
    let one: Vec<&str> = one.iter().map(String::as_str).collect();
    assert_eq!(import(&world, &one).ok().out, "Imported 3 new reads by token `ci`.\n");
    away.file("reads.jsonl", cached);
    let other = reads(&away, &token, 2);
    let other: Vec<&str> = other.iter().map(String::as_str).collect();
    assert_eq!((first.len(), other.len()), (2, 4));
    let ran = import(&world, &other);
    ran.is(5, "Imported 2 new reads by token `ci`.\n", "
            warning: Line 3 does not follow from the read imported before it: the read log was replaced by an older copy.
            warning: Line 4 does not follow from the read imported before it: the read log was replaced by an older copy.
        ");
    assert_eq!(imported(&world), 5);
    assert_eq!(import(&world, &other).ok().out, "Nothing new: every read in the file was imported before.\n");
    world.run(&["vault", "check"]).ok();
}

#[test]
fn a_file_with_nothing_of_this_vault_is_refused_by_what_it_is() {
    let (world, away, token) = with_bundle();
    let lines = reads(&away, &token, 1);
    import(&world, &["nonsense"]).is(
        5,
        "Nothing new was imported.\n",
        "warning: Line 1 is not a read that keyvault recorded; not imported.\n",
    );
    assert_eq!(import(&world, &[]).ok().out, "The file contains no reads.\n");
    let other = World::own();
    other.file("reads.jsonl", format!("{}\n", lines[0]));
    other.run(&["audit", "import", "reads.jsonl"]).fails_with(
        6,
        "
            error: The file belongs to another vault.
                   Name its vault with `--vault PATH`.
        ",
    );
}

/// Nothing that opens the file's lines is left in the vault by then.
#[test]
fn reads_that_were_imported_are_skipped_after_a_renewal_or_a_rekey_too() {
    let (mut world, away, token) = with_bundle();
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    let lines = reads(&away, &token, 3);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    import(&world, &lines[..2]).ok();
    let nothing_new = "Nothing new: every read in the file was imported before.\n";
    let rekey = ["vault", "rekey", "--keep-passphrase", "--no-recovery", "--yes"];
    for change in [&["token", "renew", "ci"][..], &rekey] {
        world.run(change).ok();
        assert_eq!(import(&world, &lines[..2]).ok().out, nothing_new, "{change:?}");
        // Reads that were not imported in time are of a token that opens nothing any more.
        import(&world, &lines).is(
            0,
            "Nothing new: every other read in the file was imported before.\n",
            "warning: Skipped 1 read by tokens that this vault does not know, such as tokens renewed since.\n",
        );
    }
    assert_eq!(imported(&world), 2);
    world.run(&["vault", "check"]).ok();
}

/// The system's own words for it were "invalid input parameter".
#[test]
fn a_read_log_that_is_no_file_is_named_with_a_remedy() {
    let (_world, mut away, token) = with_bundle();
    away.sh("mkdir folder; mkfifo pipe; ln -s folder/new link; touch kept; chmod 400 kept").ok();
    for (path, kind) in [
        ("/dev/full", "a device"),
        ("folder", "a folder"),
        ("pipe", "a named pipe"),
        ("link", "a symbolic link, which keyvault does not follow"),
    ] {
        away.set("KEYVAULT_READS", path);
        held(&away, &token, &["export", "--bundle", "keys.kvb"]).fails_with(
            1,
            &format!(
                "
                error: Reads from a bundle must be recorded in a file, but '{path}' is {kind}.
                       Nothing was released. Set KEYVAULT_READS to a new file, or to one that keyvault wrote.
                "
            ),
        );
    }
    // Root may write every file.
    away.set("KEYVAULT_READS", "kept");
    if away.sh("test ! -w kept").code == 0 {
        held(&away, &token, &["export", "--bundle", "keys.kvb"]).fails_with(
            1,
            "
                error: Reads from a bundle must be recorded, but you are not permitted to write 'kept'.
                       Nothing was released. Check its owner and mode with `ls -l`, or set KEYVAULT_READS to another file.
            ",
        );
    }
}

/// Another process that holds the lock on a file, until it is killed.
struct Locker(Child);

impl Locker {
    fn of(world: &World, path: &str) -> Self {
        let path = world.home().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut command = world.command("flock");
        let child = command.arg("--no-fork").arg(&path).args(["sleep", "60"]).stdout(Stdio::null()).spawn();
        let locker = Self(child.expect("flock of util-linux"));
        let until = Instant::now() + Duration::from_secs(10);
        let free = || world.command("flock").arg("-n").arg(&path).arg("true").status().unwrap().success();
        while free() {
            assert!(Instant::now() < until, "nobody locks {}", path.display());
            std::thread::sleep(Duration::from_millis(5));
        }
        locker
    }
}

/// Returns `true` if the system tells of this process's locks: some file systems hide them.
fn listed(id: u32) -> bool {
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    locks.lines().any(|line| line.split_whitespace().any(|field| field == id.to_string()))
}

/// The sentence that names the process which holds a lock.
fn named(locker: &Locker, holds: &str) -> String {
    let id = locker.0.id();
    if listed(id) { format!("Process {id} (sleep) {holds}") } else { format!("Another process {holds}") }
}

impl Drop for Locker {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn timed(run: impl FnOnce() -> Ran) -> (Ran, Duration) {
    let begun = Instant::now();
    (run(), begun.elapsed())
}

fn bounded(time: Duration) {
    assert!(time >= Duration::from_secs(9) && time < Duration::from_secs(25), "{time:?}");
}

#[test]
fn a_lock_that_another_process_holds_is_waited_for_ten_seconds_and_no_longer() {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (_world, away, token) = with_bundle();
            let locker = Locker::of(&away, "reads.jsonl");
            let (ran, time) =
                timed(|| held(&away, &token, &["exec", "--bundle", "keys.kvb", "--", "echo", "x"]));
            bounded(time);
            assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{}", ran.err);
            assert!(
                ran.err.contains(&named(&locker, "has locked 'reads.jsonl' for more than 10 s")),
                "{}",
                ran.err
            );
            let (ran, time) = timed(|| held(&away, &token, &["export", "--bundle", "keys.kvb"]));
            bounded(time);
            assert_eq!((ran.code, ran.out.as_str()), (7, ""), "{}", ran.err);
            drop(locker);
            held(&away, &token, &READ).ok();
        });
        scope.spawn(|| {
            // A read without the pin succeeds, and a warning says so.
            let world = with_keys();
            let token = token(&world, &["ci", "--scope", "deploy"]);
            let locker = Locker::of(&world, ".local/state/keyvault/pins/lock");
            let unrecorded = || {
                let holder = named(&locker, "has locked").to_lowercase();
                format!("Done, but this machine could not record it ({holder} '")
            };
            let (ran, time) = timed(|| held(&world, &token, &ENV));
            bounded(time);
            assert!(ran.err.contains(&unrecorded()), "{}", ran.err);
            ran.ok();
            let (ran, time) = timed(|| world.run(&["generate", "new"]));
            bounded(time);
            assert!(ran.err.contains(&unrecorded()), "{}", ran.err);
            ran.ok();
        });
        scope.spawn(|| {
            // No one is there who could be asked, so nobody waits for another's answer.
            let world = with_keys();
            world.file(".keyvault.toml", "[keys]\nA = \"a\"\n");
            let locker = Locker::of(&world, ".local/state/keyvault/projects/lock");
            let (ran, time) = timed(|| world.run(&["project", "approve", "--yes"]));
            bounded(time);
            assert_eq!(ran.code, 7, "{}", ran.err);
            assert!(ran.err.contains(&named(&locker, "has locked '")), "{}", ran.err);
            assert!(
                ran.err.contains("If it is waiting for an answer, give one; otherwise end it."),
                "{}",
                ran.err
            );
        });
        scope.spawn(|| {
            let world = with_keys();
            let mut writer = Connection::open(world.vault()).unwrap();
            let held = writer.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
            let (ran, time) = timed(|| world.run(&["generate", "new"]));
            bounded(time);
            drop(held);
            assert_eq!(ran.code, 7, "{}", ran.err);
            let process = format!("Process {} (", std::process::id());
            let unnamed = "Another keyvault command kept";
            let named = if listed(std::process::id()) { &process } else { unnamed };
            assert!(ran.err.contains(named) && ran.err.contains("kept the vault busy"), "{}", ran.err);
        });
    });
}

#[test]
fn a_lock_that_is_let_go_of_in_time_is_only_waited_for() {
    let (_world, away, token) = with_bundle();
    let locker = Locker::of(&away, "reads.jsonl");
    let mut command = away.command(KEYVAULT);
    command.env("KEYVAULT_TOKEN", &token).args(READ);
    let opened = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).unwrap();
    inotify::add_watch(&opened, away.home().join("reads.jsonl"), inotify::WatchFlags::OPEN).unwrap();
    let mut waiting = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    wait_until("the log is opened", || rustix::io::read(&opened, &mut [0; 4096]).is_ok());
    // Between that and the lock nothing else has it sleep; had it given up, it would be a zombie.
    let stat = format!("/proc/{}/stat", waiting.id());
    wait_until("the lock is waited for", || std::fs::read_to_string(&stat).unwrap().contains(") S "));
    drop(locker);
    assert!(waiting.wait().unwrap().success());
}

struct Told(AtomicI64);

impl Clock for Told {
    fn now(&self) -> Moment {
        Moment(self.0.load(Relaxed))
    }
}

#[test]
fn what_a_token_read_before_its_making_by_a_clock_that_went_back_is_among_what_it_could_read() {
    let world = with_keys();
    let clock = Told(AtomicI64::new(world.clock().now().0 + 86_400_000));
    let ahead = VaultWorld {
        clock: &clock,
        rng: &SystemRng,
        actor: Actor::default(),
        pins: Pins::in_folder(world.pins()),
        holders: crate::harness::nobody(),
        notices: Notices::told_by(&|_| ()),
        waiting: &|_, _| (),
    };
    let passphrase = Passphrase::new(&SecretBytes::copy_from(PASSPHRASE.as_bytes())).unwrap();
    let mut vault = Vault::open(&world.vault(), &ahead.pins).unwrap();
    let access = vault.open_passphrase(&passphrase).unwrap();
    let scope = |name: &str| name.parse().unwrap();
    let scopes = vec![scope("deploy"), scope("other")];
    let new = NewToken { name: "ci".parse().unwrap(), scopes, keys: Vec::new(), expires: None };
    let issued = token::create(&mut vault, &access, &ahead, &new).unwrap();
    let token = String::from_utf8(issued.token.text().expose().to_vec()).unwrap();
    drop(vault);
    let head = || {
        let vault = Connection::open(world.vault()).unwrap();
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?));
        vault.query_row("SELECT count, sealed FROM log_head WHERE number > 1", [], row).unwrap()
    };
    held(&world, &token, &ENV).ok();
    world.run(&["edit", "c", "--unscope", "other"]).ok();
    let (count, sealed) = head();
    held(&world, &token, &ENV).ok();
    let revoked = world.run(&["token", "revoke", "ci", "--json"]).ok().json();
    assert_eq!(revoked["could_read"], json!(["a", "b", "c"]));
    world.run(&["vault", "check"]).ok();
    // How far the reads had come is recorded by the revocation, though by the clock the token was made after it.
    let vault = Connection::open(world.vault()).unwrap();
    vault.execute("DELETE FROM log WHERE id >> 32 > 1 AND id & 4294967295 >= ?1", [count]).unwrap();
    vault.execute("UPDATE log_head SET count = ?1, sealed = ?2 WHERE number > 1", (count, sealed)).unwrap();
    drop(vault);
    world.run(&["vault", "check"]).is(5, "
            4 keys, 4 versions, 9 audit log entries, change 8
            damaged log of ci: entry 1: reads that were recorded are gone
        ", "
            Someone may have hidden reads by a token: treat its keys as read. `keyvault token renew NAME` starts a new read log; so does another token of that name if it is revoked.
        ");
}
