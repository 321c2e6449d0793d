//! Case 20 for what changes the slots or the whole file: passwd, recover, rekey, slots, backup and restore.
//!
//! This very test binary does the deed, as a child under strace ([`child_does_a_deed`]), because the command would derive
//! keys at full cost, thousands of times.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;

use keyvault_core::crypto::{Cost, SystemRng};
use keyvault_core::secret::SecretBytes;
use keyvault_vault::audit::{Action, Actor};
use keyvault_vault::state::pin::{Pins, Standing};
use keyvault_vault::unlock::keyfile::KeyFile;
use keyvault_vault::unlock::passphrase::Passphrase;
use keyvault_vault::{
    Access, Credential, Mark, Notices, Vault, VaultError, World as VaultWorld, check, file, key, slot,
};

use crate::crash::{Fault, KILLED_AT, calls, faults, on_two_stages, strace};
use crate::harness::vault_file::filled;
use crate::harness::{PASSPHRASE, Ran, START, World, finish};

const DEED: &str = "KEYVAULT_TEST_DEED";
const HOME: &str = "KEYVAULT_TEST_HOME";
const OTHER: &str = "another passphrase";

const DEEDS: [&str; 6] = ["passwd", "rekey", "slot add", "slot remove", "backup", "restore"];

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(&SecretBytes::copy_from(text.as_bytes())).unwrap()
}

fn vault_in(home: &Path) -> PathBuf {
    home.join(".local/share/keyvault/vault.db")
}

fn pins_in(home: &Path) -> Pins {
    Pins::in_folder(home.join(".local/state/keyvault/pins"))
}

fn world_of(home: &Path) -> VaultWorld<'static> {
    VaultWorld {
        clock: &START,
        rng: &SystemRng,
        actor: Actor::default(),
        pins: pins_in(home),
        holders: crate::harness::nobody(),
        notices: Notices::told_by(&|_| ()),
        waiting: &|_, _| (),
    }
}

/// A key file that is the same in each run.
fn key_file() -> KeyFile {
    struct Sevens;
    impl keyvault_core::clock::Rng for Sevens {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), keyvault_core::clock::RngError> {
            bytes.fill(7);
            Ok(())
        }
    }
    KeyFile::create(&Sevens).unwrap()
}

fn does(deed: &str, home: &Path) -> Result<(), VaultError> {
    let world = world_of(home);
    let mut vault = Vault::open(&vault_in(home), &world.pins)?;
    let access = vault.open_passphrase(&passphrase(PASSPHRASE))?;
    let other = passphrase(OTHER);
    match deed {
        "passwd" => {
            let credentials = [Credential::Passphrase(&other, Cost::FLOOR)];
            slot::replace(&mut vault, &access, &world, Action::Passwd, &credentials).map(drop)
        }
        "rekey" => {
            let credentials = [Credential::Passphrase(&other, Cost::FLOOR)];
            slot::rekey(&mut vault, &access, &world, &credentials, &[], &|_| ()).map(drop)
        }
        "slot add" => slot::add(&mut vault, &access, &world, Credential::KeyFile(&key_file())).map(drop),
        "slot remove" => {
            let last = *slot::list(&mut vault, &access)?.last().unwrap();
            slot::remove(&mut vault, &access, &world, last).map(drop)
        }
        "backup" => file::backup(&vault, &home.join("copy"), &world).map(drop),
        _ => {
            let mark: Mark = file::mark(&mut vault);
            let mut backup = Vault::open(&home.join("backup"), &world.pins)?;
            let access = backup.open_passphrase(&passphrase(PASSPHRASE))?;
            let difference = file::difference(
                &mut backup,
                &access,
                Some((&mut vault, None)),
                &vault_in(home),
                world.now(),
            )?;
            let here = Some((&mut vault, &mark));
            file::restore(&mut backup, &access, here, &difference, None, &vault_in(home), &world).map(drop)
        }
    }
}

/// Not a test by itself: run by the next one in a process of its own, it does a deed.
#[test]
fn child_does_a_deed() {
    if let (Ok(deed), Ok(home)) = (std::env::var(DEED), std::env::var(HOME)) {
        does(&deed, Path::new(&home)).unwrap();
    }
}

struct Stage {
    world: World,
    deed: &'static str,
    files: Vec<(PathBuf, Vec<u8>)>,
    old: String,
    new: String,
}

impl Stage {
    fn set(deed: &'static str) -> Self {
        let world = filled();
        world.run(&["vault", "backup", "backup"]).ok();
        world.run(&["edit", "a", "--note", "after the backup"]).ok();
        let files = world.every_file();
        let mut stage = Self { world, deed, files, old: String::new(), new: String::new() };
        stage.old = stage.state().unwrap();
        let done = stage.child(Command::new(std::env::current_exe().unwrap()));
        assert_eq!(done.code, 0, "{}{}", done.out, done.err);
        stage.new = stage.state().unwrap();
        assert_ne!(stage.old, stage.new, "{deed}");
        stage
    }

    fn child(&self, mut command: Command) -> Ran {
        command.args(["--exact", "crash_vault::child_does_a_deed", "--test-threads=1"]);
        finish(command.env(DEED, self.deed).env(HOME, self.world.home()), b"")
    }

    fn reset(&self) {
        let home = self.world.home();
        let folders = [home.clone(), vault_in(&home).parent().unwrap().to_owned(), self.world.pins()];
        for entry in folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap()).map(Result::unwrap)
        {
            let known = self.files.iter().any(|(path, _)| *path == entry.path());
            if entry.file_type().unwrap().is_file() && !known {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
        self.files.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
    }

    /// The credential that opens the vault, and its content; or the fault.
    fn state(&self) -> Result<String, String> {
        let home = self.world.home();
        let say = |error: VaultError| format!("{error:?}");
        let mut state = String::new();
        let mut opened = None;
        for text in [PASSPHRASE, OTHER] {
            let mut vault = Vault::open(&vault_in(&home), &pins_in(&home)).map_err(say)?;
            if let Ok(access) = vault.open_passphrase(&passphrase(text)) {
                let _ = writeln!(state, "opens with {text}");
                opened = Some((vault, access));
            }
        }
        let (mut vault, access) = opened.ok_or("nothing opens it")?;
        self.look(&mut vault, &access, &mut state)?;
        let copy = home.join("copy");
        if copy.exists() {
            let mut vault = Vault::open(&copy, &pins_in(&home)).map_err(say)?;
            let access = vault.open_passphrase(&passphrase(PASSPHRASE)).map_err(say)?;
            state.push_str("copy:\n");
            self.look(&mut vault, &access, &mut state)?;
        }
        Ok(state)
    }

    fn look(&self, vault: &mut Vault, access: &Access, state: &mut String) -> Result<(), String> {
        let say = |error: VaultError| format!("{error:?}");
        let checked = check::run(vault, access).map_err(say)?;
        if !checked.findings.is_empty() || checked.audit.is_none() {
            return Err(format!("{:?}", checked.findings));
        }
        // Killed between the copy and the pin, a restore is accepted by hand (docs/recovery.md).
        if checked.standing == Standing::RolledBack
            || checked.standing == Standing::Forked && self.deed != "restore"
        {
            return Err(format!("{:?}", checked.standing));
        }
        for slot in slot::list(vault, access).map_err(say)? {
            let _ = writeln!(state, "way {} {}", slot.id, slot.kind.name());
        }
        let nothing_seen = self.world.path().join("nothing-seen");
        let world =
            VaultWorld { pins: Pins::in_folder(nothing_seen.clone()), ..world_of(&self.world.home()) };
        let mut vault = Vault::open(vault.path(), &world.pins).map_err(say)?;
        for key in key::list(&mut vault, access).map_err(say)? {
            let (_, value) = key::reveal(&mut vault, access, &world, &key.name, None).map_err(say)?;
            let value = String::from_utf8_lossy(value.expose()).into_owned();
            let _ = writeln!(state, "{} {value} {}", key.name, key.note);
        }
        Ok(())
    }

    fn run(&self, (call, what, when): Fault) -> Option<String> {
        self.reset();
        let mut command = strace(&self.world, &format!("trace={call}"), "/dev/null");
        command
            .args(["-e", &format!("inject={call}:{what}:when={when}")])
            .arg(std::env::current_exe().unwrap());
        let ran = self.child(command);
        let wrong = match self.state() {
            Ok(state) if state == self.new || state == self.old && ran.code != 0 => return None,
            Ok(state) if state == self.old => format!("acknowledged and not there: {state}"),
            Ok(state) => format!("neither old nor new: {state}"),
            Err(error) => error,
        };
        Some(format!("{} {call} {what} {when}: code {}, {wrong}\n{}", self.deed, ran.code, ran.out))
    }
}

#[test]
fn case_20_every_change_of_the_ways_in_killed_or_failing_anywhere_leaves_the_old_state_or_the_new() {
    let begun = Instant::now();
    let mut runs = 0;
    let wrong = Mutex::new(Vec::new());
    for deed in DEEDS {
        let stage = Stage::set(deed);
        stage.reset();
        let log = stage.world.path().join("tmp/strace");
        let mut command =
            strace(&stage.world, &format!("trace={}", KILLED_AT.join(",")), log.to_str().unwrap());
        command.arg(std::env::current_exe().unwrap());
        assert_eq!(stage.child(command).code, 0);
        let faults = faults(&calls(&std::fs::read_to_string(&log).unwrap()));
        on_two_stages(
            faults.len(),
            || Stage::set(deed),
            |stage, number| {
                if let Some(error) = stage.run(faults[number]) {
                    wrong.lock().unwrap().push(error);
                }
            },
        );
        println!("case 20: {deed}, {} faults", faults.len());
        runs += faults.len();
    }
    println!("case 20: {runs} runs in {:.1?}", begun.elapsed());
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {runs}:\n{}", wrong.len(), wrong.join("\n"));
}
