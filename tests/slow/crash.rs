//! Case 20 of the fault catalog: every changing command killed at each of its system calls, and each of its writes
//! and syncs failing. Afterwards: the old state or the new one, never neither; `vault check` content; and what was
//! acknowledged is there.
//!
//! strace injects at the N-th call of a kind; a first run without injection counts how many there are. What is left is
//! looked at through the library, with keys that were derived once. `init` runs at the lowest cost: this very test
//! binary makes the vault, as a child under strace ([`child_makes_a_vault`]).

use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use keyvault_core::clock::Clock;
use keyvault_core::crypto::SystemRng;
use keyvault_core::secret::SecretBytes;
use keyvault_vault::TokenId;
use keyvault_vault::audit::Actor;
use keyvault_vault::state::pin::{Pins, Standing};
use keyvault_vault::unlock::passphrase::Passphrase;
use keyvault_vault::{Access, Notices, Vault, World as VaultWorld, check, key, token};

use crate::harness::vault_file::{filled, put_back};
use crate::harness::{KEYVAULT, PASSPHRASE, START, World, create_vault, finish};

/// System calls at which a process is killed. `strace` counts each kind by itself.
pub(crate) const KILLED_AT: [&str; 14] = [
    "openat",
    "pwrite64",
    "write",
    "fsync",
    "fdatasync",
    "ftruncate",
    "rename",
    "renameat2",
    "link",
    "linkat",
    "unlink",
    "unlinkat",
    "mkdir",
    "fcntl",
];
const FAILING: [&str; 4] = ["pwrite64", "fsync", "fdatasync", "ftruncate"];

/// A changing command.
#[derive(Clone, Copy)]
struct Deed {
    name: &'static str,
    arguments: &'static [&'static str],
    input: &'static str,
    /// Makes the vault one that the command changes.
    prepare: fn(&World),
}

const DEEDS: [Deed; 18] = [
    Deed { name: "generate", arguments: &["generate", "new", "--scope", "s"], input: "", prepare: nothing },
    Deed { name: "add", arguments: &["add", "new", "--scope", "u"], input: "added", prepare: nothing },
    Deed {
        name: "edit",
        arguments: &["edit", "a", "--rename", "z", "--unscope", "s", "--note", "n"],
        input: "",
        prepare: nothing,
    },
    Deed { name: "remove", arguments: &["remove", "a", "b", "--yes"], input: "", prepare: nothing },
    Deed {
        name: "remove --wipe",
        arguments: &["remove", "a", "--wipe", "--yes"],
        input: "",
        prepare: nothing,
    },
    Deed { name: "undelete", arguments: &["undelete", "a", "--as", "z"], input: "", prepare: removed },
    Deed {
        name: "import",
        arguments: &["import", "-", "--on-conflict", "replace", "--scope", "s"],
        input: "a=new-a\nb=new-b\nd=new-d\n",
        prepare: nothing,
    },
    Deed { name: "rotate", arguments: &["rotate", "a", "--grace", "1h"], input: "new-a", prepare: nothing },
    Deed {
        name: "rotate --scope",
        arguments: &["rotate", "--scope", "g"],
        input: "",
        prepare: two_generated,
    },
    Deed { name: "rollback", arguments: &["rollback", "a"], input: "", prepare: rotated },
    Deed { name: "revoke", arguments: &["revoke", "a", "--reason", "r"], input: "", prepare: rotated },
    Deed { name: "revoke --wipe", arguments: &["revoke", "a", "b", "--wipe"], input: "", prepare: rotated },
    Deed { name: "unlock", arguments: &["unlock"], input: "", prepare: nothing },
    Deed {
        name: "token create",
        arguments: &["token", "create", "ci", "--scope", "s"],
        input: "",
        prepare: nothing,
    },
    Deed { name: "token renew", arguments: &["token", "renew", "ci"], input: "", prepare: with_token },
    Deed { name: "token revoke", arguments: &["token", "revoke", "ci"], input: "", prepare: with_token },
    Deed {
        name: "rotate under a token",
        arguments: &["rotate", "a", "--grace", "1h"],
        input: "new-a",
        prepare: with_token,
    },
    Deed { name: "adopt", arguments: &["vault", "restore", "--adopt"], input: "", prepare: roll_back },
];

fn nothing(_: &World) {}

fn removed(world: &World) {
    world.run(&["remove", "a", "b", "--yes"]).ok();
}

fn rotated(world: &World) {
    world.run_with_input(&["rotate", "a", "--grace", "1h"], "second-a").ok();
}

fn with_token(world: &World) {
    world.run(&["token", "create", "ci", "--scope", "s"]).ok();
}

fn two_generated(world: &World) {
    for name in ["g1", "g2"] {
        world.run(&["generate", name, "--scope", "g"]).ok();
    }
}

fn roll_back(world: &World) {
    let old = std::fs::read(world.vault()).unwrap();
    world.run(&["edit", "a", "--note", "later"]).ok();
    put_back(world, &old);
}

/// A fault: which call, what happens to it, at which time.
pub(crate) type Fault = (&'static str, &'static str, usize);

/// One world in which a deed is done again and again, each time from the same files.
struct Stage {
    world: World,
    deed: Deed,
    files: Vec<(PathBuf, Vec<u8>)>,
    access: Access,
    old: Vec<String>,
    new: Vec<String>,
    /// The id of the token that there was at first.
    token: Option<TokenId>,
}

impl Stage {
    fn set(deed: Deed) -> Self {
        let world = filled();
        (deed.prepare)(&world);
        let files = world.every_file();
        let passphrase = Passphrase::new(&SecretBytes::copy_from(PASSPHRASE.as_bytes())).unwrap();
        let pins = Pins::in_folder(world.pins());
        let access = Vault::open(&world.vault(), &pins).unwrap().open_passphrase(&passphrase).unwrap();
        let mut stage = Self { world, deed, files, access, old: Vec::new(), new: Vec::new(), token: None };
        let mut vault = Vault::open(&stage.world.vault(), &pins).unwrap();
        stage.token =
            token::list(&mut vault, &stage.access, START.now()).unwrap().first().map(|token| token.record.id);
        drop(vault);
        stage.old = stage.state().unwrap();
        let mut command = stage.world.command(KEYVAULT);
        finish(command.args(deed.arguments), deed.input.as_bytes()).ok();
        stage.new = stage.state().unwrap();
        stage
    }

    fn reset(&self) {
        for folder in [self.world.vault().parent().unwrap(), &self.world.pins()] {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                if !self.files.iter().any(|(path, _)| *path == entry.path()) {
                    std::fs::remove_file(entry.path()).unwrap();
                }
            }
        }
        self.files.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
    }

    /// The vault's content, checked; or what is wrong with it. Times, ids and drawn values are left out, as they differ from run
    /// to run.
    fn state(&self) -> Result<Vec<String>, String> {
        let pins = Pins::in_folder(self.world.pins());
        let say = |error: keyvault_vault::VaultError| format!("{error:?}");
        let mut vault = Vault::open(&self.world.vault(), &pins).map_err(say)?;
        let checked = check::run(&mut vault, &self.access).map_err(say)?;
        if !checked.findings.is_empty() || checked.audit.is_none() {
            return Err(format!("{:?}", checked.findings));
        }
        let alarm = matches!(checked.standing, Standing::RolledBack | Standing::Forked);
        if alarm && self.deed.name != "adopt" {
            return Err(format!("{:?}", checked.standing));
        }
        let mut state = if self.deed.name == "adopt" { vec![format!("alarm {alarm}")] } else { Vec::new() };
        let world = VaultWorld {
            clock: &START,
            rng: &SystemRng,
            actor: Actor::default(),
            pins: Pins::in_folder(self.world.pins()),
            holders: crate::harness::nobody(),
            notices: Notices::told_by(&|_| ()),
            waiting: &|_, _| (),
        };
        for key in key::list(&mut vault, &self.access).map_err(say)? {
            let value = if alarm {
                "not released".to_owned()
            } else if key.current().is_none() {
                "revoked".to_owned()
            } else {
                let (_, value) =
                    key::reveal(&mut vault, &self.access, &world, &key.name, None).map_err(say)?;
                let text = String::from_utf8_lossy(value.expose()).into_owned();
                if text.starts_with("kv_") && text.len() == 52 { "drawn".to_owned() } else { text }
            };
            let versions = key.versions.iter();
            let versions = versions.map(|version| (version.number, version.state, version.digest.is_some()));
            state.push(format!(
                "{} {} {:?} {:?} {:?} {}",
                key.name,
                key.variable,
                key.scopes,
                key.note,
                versions.collect::<Vec<_>>(),
                value
            ));
        }
        for token in token::list(&mut vault, &self.access, world.now()).map_err(say)? {
            let renewed = self.token.is_some_and(|first| first != token.record.id);
            let status = token.record.status(world.now()).name();
            state
                .push(format!("token {} {status} {:?} renewed: {renewed}", token.record.name, token.granted));
        }
        Ok(state)
    }

    /// How often the deed makes each call.
    fn counts(&self) -> Vec<(&'static str, usize)> {
        self.reset();
        let log = self.world.path().join("tmp/strace");
        let mut command =
            strace(&self.world, &format!("trace={}", KILLED_AT.join(",")), log.to_str().unwrap());
        let ran = finish(command.arg(KEYVAULT).args(self.deed.arguments), self.deed.input.as_bytes()).ok();
        let calls = calls(&std::fs::read_to_string(&log).unwrap());
        std::fs::remove_file(log).unwrap();
        assert!(calls.iter().any(|(call, count)| *call == "pwrite64" && *count > 0), "{}", ran.err);
        calls
    }

    /// Does the deed under a fault; what is wrong afterwards.
    fn run(&self, (call, what, when): Fault) -> Option<String> {
        self.reset();
        let mut command = strace(&self.world, &format!("trace={call}"), "/dev/null");
        command.args(["-e", &format!("inject={call}:{what}:when={when}"), KEYVAULT]);
        let ran = finish(command.args(self.deed.arguments), self.deed.input.as_bytes());
        let wrong = match self.state() {
            Err(error) => error,
            Ok(state) if state == self.new => return None,
            Ok(state) if state == self.old && ran.code != 0 => return None,
            Ok(state) if state == self.old => format!("acknowledged and not there: {state:?}"),
            Ok(state) => format!("neither old nor new: {state:?}"),
        };
        Some(format!("{} {call} {what} {when}: code {}, {wrong}\n{}", self.deed.name, ran.code, ran.err))
    }
}

pub(crate) fn strace(world: &World, trace: &str, log: &str) -> Command {
    let mut command = world.command("strace");
    command.args(["-f", "-qq", "-o", log, "-e", trace]);
    command
}

/// How often each call stands in a log of strace.
pub(crate) fn calls(log: &str) -> Vec<(&'static str, usize)> {
    let of = |call: &str| log.lines().filter(|line| line.contains(&format!(" {call}("))).count();
    KILLED_AT.iter().map(|call| (*call, of(call))).collect()
}

/// Every fault for calls made so often; one more than was counted, as runs differ a little.
pub(crate) fn faults(counts: &[(&'static str, usize)]) -> Vec<Fault> {
    let each = |call, what, count: usize| (1..=count + 1).map(move |when| (call, what, when));
    let mut faults: Vec<Fault> = Vec::new();
    for (call, count) in counts.iter().copied().filter(|(_, count)| *count > 0) {
        faults.extend(each(call, "signal=KILL", count));
        if FAILING.contains(&call) {
            faults.extend(each(call, "error=EIO", count));
            faults.extend(each(call, "error=ENOSPC", count));
        }
    }
    faults
}

/// Does `work` with each of the numbers below `count` on two threads, each of which sets its own stage.
pub(crate) fn on_two_stages<S>(count: usize, set: impl Fn() -> S + Sync, work: impl Fn(&S, usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let stage = set();
                while let Some(number) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|it| *it < count) {
                    work(&stage, number);
                }
            });
        }
    });
}

#[test]
fn case_20_every_changing_command_killed_or_failing_anywhere_leaves_the_old_state_or_the_new() {
    let begun = Instant::now();
    let mut runs = 0;
    let wrong = Mutex::new(Vec::new());
    for deed in DEEDS {
        let faults = faults(&Stage::set(deed).counts());
        on_two_stages(
            faults.len(),
            || Stage::set(deed),
            |stage, number| {
                if let Some(error) = stage.run(faults[number]) {
                    wrong.lock().unwrap().push(error);
                }
            },
        );
        println!("case 20: {}, {} faults", deed.name, faults.len());
        runs += faults.len();
    }
    println!("case 20: {runs} runs in {:.1?}", begun.elapsed());
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {runs}:\n{}", wrong.len(), wrong.join("\n"));
}

const CHILD: &str = "KEYVAULT_TEST_INIT";

/// Not a test by itself: run by the next one in a process of its own, it makes a vault.
#[test]
fn child_makes_a_vault() {
    if let Ok(home) = std::env::var(CHILD) {
        let home = PathBuf::from(home);
        create_vault(&home.join("data/vault.db"), &home.join("pins"), &START);
    }
}

#[test]
fn case_20_init_killed_or_failing_anywhere_leaves_a_whole_vault_or_none() {
    let me = std::env::current_exe().unwrap();
    let under = |world: &World, options: &[&str], log: &str| {
        let mut command = strace(world, options[0], log);
        command.args(&options[1..]).arg(&me);
        command.args(["--exact", "crash::child_makes_a_vault", "--test-threads=1"]);
        finish(command.env(CHILD, world.home()), b"")
    };
    let world = World::empty();
    let log = world.path().join("tmp/strace");
    under(&world, &[&format!("trace={}", KILLED_AT.join(","))], log.to_str().unwrap()).ok();
    let faults = faults(&calls(&std::fs::read_to_string(&log).unwrap()));
    let wrong = Mutex::new(Vec::new());
    let begun = Instant::now();
    on_two_stages(
        faults.len(),
        || (),
        |(), number| {
            let (call, what, when) = faults[number];
            let world = World::empty();
            let ran = under(
                &world,
                &[&format!("trace={call}"), "-e", &format!("inject={call}:{what}:when={when}")],
                "/dev/null",
            );
            let (path, pins) =
                (world.home().join("data/vault.db"), Pins::in_folder(world.home().join("pins")));
            let say = |what_is: &str| {
                wrong
                    .lock()
                    .unwrap()
                    .push(format!("init {call} {what} {when}: code {}, {what_is}\n{}", ran.code, ran.out));
            };
            if !path.exists() {
                if ran.code == 0 {
                    say("acknowledged and not there");
                }
                create_vault(&path, &world.home().join("pins"), &START);
            }
            let passphrase = Passphrase::new(&SecretBytes::copy_from(PASSPHRASE.as_bytes())).unwrap();
            let checked = Vault::open(&path, &pins).and_then(|mut vault| {
                let access = vault.open_passphrase(&passphrase)?;
                check::run(&mut vault, &access)
            });
            match checked {
                Ok(checked) if checked.findings.is_empty() => {}
                other => say(&format!("{other:?}")),
            }
        },
    );
    println!("case 20: init, {} runs in {:.1?}", faults.len(), begun.elapsed());
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), faults.len(), wrong.join("\n"));
}
