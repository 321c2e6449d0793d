//! Cases 1 and 2 of the fault catalog: the file cut at every length, and single bits turned over.
//!
//! Through the library, in this process, for speed: a panic is a failed test. The vault's daily keys are had once and
//! used on every damaged copy; where the damage lies in a slot, the passphrase is derived anew as well.
//! `KEYVAULT_FLIPS=all` turns over every bit of the file, not a sample.

use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use rusqlite::Connection;

use keyvault_core::crypto::SystemRng;
use keyvault_core::name::KeyName;
use keyvault_core::secret::SecretBytes;
use keyvault_exec::release::{self, ReleaseError, Selection};
use keyvault_vault::audit::{Action, Actor};
use keyvault_vault::state::pin::Pins;
use keyvault_vault::unlock::passphrase::Passphrase;
use keyvault_vault::{Access, KeyRecord, Notices, Purpose, Vault, World as VaultWorld, check, key, supply};

use crate::harness::vault_file::{drop_side_files, filled};
use crate::harness::{PASSPHRASE, START};

/// How many bits CI turns over.
const SAMPLE: u64 = 2000;

/// A copy of the vault that one thread damages, and what it holds when it is whole.
struct Bench {
    folder: tempfile::TempDir,
    vault: PathBuf,
    pins: Pins,
    access: Access,
    whole: Contents,
}

/// Every key, and every value that is handed out, with its key and version.
type Contents = (Vec<KeyRecord>, Vec<(KeyName, u32, Vec<u8>)>);

fn passphrase() -> Passphrase {
    Passphrase::new(&SecretBytes::copy_from(PASSPHRASE.as_bytes())).unwrap()
}

impl Bench {
    fn new(bytes: &[u8]) -> Self {
        let folder = tempfile::Builder::new().prefix("keyvault-test-").tempdir().unwrap();
        let vault = folder.path().join("vault.db");
        std::fs::write(&vault, bytes).unwrap();
        std::fs::set_permissions(&vault, std::fs::Permissions::from_mode(0o600)).unwrap();
        let pins = Pins::in_folder(folder.path().join("pins"));
        let access = Vault::open(&vault, &pins).unwrap().open_passphrase(&passphrase()).unwrap();
        let mut bench = Self { folder, vault, pins, access, whole: Contents::default() };
        bench.whole = bench.everything().unwrap();
        bench
    }

    fn everything(&self) -> Result<Contents, ReleaseError> {
        drop_side_files(&self.vault);
        let world = VaultWorld {
            clock: &START,
            rng: &SystemRng,
            actor: Actor::default(),
            pins: self.pins.clone(),
            holders: crate::harness::nobody(),
            notices: Notices::told_by(&|_| ()),
            waiting: &|_, _| (),
        };
        let mut vault = Vault::open(&self.vault, &self.pins)?;
        let keys = key::list(&mut vault, &self.access)?;
        let all = Selection { all: true, ..Selection::default() };
        let purpose = Purpose { action: Action::Exec, detail: "flips".to_owned() };
        let staged = release::stage(supply::begin(&mut vault, &self.access, &world)?, &all)?;
        let released = staged.fit_anywhere()?.commit(purpose)?;
        Ok((
            keys,
            released
                .values()
                .iter()
                .map(|found| (found.name.clone(), found.version, found.value.expose().to_vec()))
                .collect(),
        ))
    }

    /// Returns `true` if `vault check` is content.
    fn is_clean(&self) -> bool {
        drop_side_files(&self.vault);
        Vault::open(&self.vault, &self.pins)
            .and_then(|mut vault| check::run(&mut vault, &self.access))
            .is_ok_and(|checked| checked.findings.is_empty())
    }

    fn slots_open(&self) -> bool {
        drop_side_files(&self.vault);
        Vault::open(&self.vault, &self.pins)
            .and_then(|mut vault| vault.open_passphrase(&passphrase()))
            .is_ok()
    }
}

/// Runs `work` with two threads and all numbers below `count`, each in one of them.
fn in_two_threads(count: u64, work: impl Fn(&mut dyn Iterator<Item = u64>) + Sync) {
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                work(&mut std::iter::from_fn(|| {
                    Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < count)
                }));
            });
        }
    });
}

fn vault_bytes() -> Vec<u8> {
    std::fs::read(filled().vault()).unwrap()
}

/// 100 KiB: 819,200 bits.
fn large_vault_bytes() -> Vec<u8> {
    let world = filled();
    for number in 0.. {
        let bytes = std::fs::read(world.vault()).unwrap();
        if bytes.len() >= 100 << 10 {
            return bytes;
        }
        world.run_with_input(&["add", &format!("more/{number}"), "--scope", "s"], "x".repeat(700)).ok();
    }
    unreachable!()
}

#[test]
fn case_1_a_file_cut_at_any_length_is_refused() {
    let bytes = vault_bytes();
    in_two_threads(bytes.len() as u64, |lengths| {
        let bench = Bench::new(&bytes);
        let file = std::fs::OpenOptions::new().write(true).open(&bench.vault).unwrap();
        let mut at = bytes.len() as u64;
        // Numbers come in order, so lengths only shrink.
        for length in lengths.map(|number| bytes.len() as u64 - 1 - number) {
            assert!(length < at);
            at = length;
            file.set_len(length).unwrap();
            drop_side_files(&bench.vault);
            let opened = Vault::open(&bench.vault, &bench.pins)
                .and_then(|mut vault| key::list(&mut vault, &bench.access));
            assert!(opened.is_err(), "{length} of {} bytes were taken for a vault", bytes.len());
        }
    });
    println!("case 1: {} lengths, all refused", bytes.len());
}

#[test]
fn case_1_a_file_cut_short_is_refused_by_the_command_with_5() {
    let world = filled();
    let bytes = std::fs::read(world.vault()).unwrap();
    for length in
        [0, 1, 15, 99, 100, 511, 4095, 4096, 4097, bytes.len() / 2, bytes.len() - 4096, bytes.len() - 1]
    {
        crate::harness::vault_file::put_back(&world, &bytes[..length]);
        world.run(&["show", "a", "--reveal"]).fails(5, "error:");
        world.run(&["vault", "check"]).fails(5, "");
    }
}

#[test]
fn case_2_a_turned_bit_is_refused_or_gives_the_same_plaintext() {
    let all = std::env::var("KEYVAULT_FLIPS").is_ok_and(|value| value == "all");
    let bytes = if all { large_vault_bytes() } else { vault_bytes() };
    let bits = bytes.len() as u64 * 8;
    let slots = slot_ranges(&bytes);
    let slot_bits: Vec<u64> = slots
        .iter()
        .flat_map(Clone::clone)
        .flat_map(|byte| (0..8).map(move |bit| byte as u64 * 8 + bit))
        .collect();
    let begun = Instant::now();
    let [refused, found_by_check, unnoticed, derived] = [const { AtomicUsize::new(0) }; 4];
    let wrong = Mutex::new(Vec::new());
    in_two_threads(if all { bits } else { SAMPLE }, |numbers| {
        let bench = Bench::new(&bytes);
        let file = std::fs::OpenOptions::new().write(true).open(&bench.vault).unwrap();
        for number in numbers {
            // In a sample, each 16th bit is one of a slot; the others are spread by a multiplicative hash (Knuth).
            let bit = if all {
                number
            } else if number % 16 == 0 {
                slot_bits[usize::try_from(number / 16 * 31).unwrap() % slot_bits.len()]
            } else {
                number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % bits
            };
            let byte = usize::try_from(bit / 8).unwrap();
            file.write_all_at(&[bytes[byte] ^ (1 << (bit % 8))], bit / 8).unwrap();
            let clean = bench.is_clean();
            match bench.everything() {
                Err(_) => {
                    refused.fetch_add(1, Ordering::Relaxed);
                }
                Ok(found) if found == bench.whole => {
                    let count = if clean { &unnoticed } else { &found_by_check };
                    count.fetch_add(1, Ordering::Relaxed);
                }
                Ok(_) => wrong.lock().unwrap().push((bit, clean)),
            }
            if slots.iter().any(|range| range.contains(&byte)) {
                derived.fetch_add(1, Ordering::Relaxed);
                if clean && !bench.slots_open() {
                    wrong.lock().unwrap().push((bit, clean));
                }
            }
            std::fs::write(&bench.vault, &bytes).unwrap();
        }
        drop(bench.folder);
    });
    println!(
        "case 2: {} bits refused by list or show, {} found by a check alone, {} unused; {} of all in a slot; {:.1?}",
        refused.into_inner(),
        found_by_check.into_inner(),
        unnoticed.into_inner(),
        derived.into_inner(),
        begun.elapsed()
    );
    let wrong = wrong.into_inner().unwrap();
    assert!(
        wrong.is_empty(),
        "wrong data, or a slot that no longer opens and no check says so, at {wrong:?}"
    );
}

/// Where headers and sealed roots of the slots lie in the file.
fn slot_ranges(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.db");
    std::fs::write(&path, bytes).unwrap();
    let connection = Connection::open(&path).unwrap();
    let mut statement = connection.prepare("SELECT CAST(header || sealed AS BLOB) FROM slot").unwrap();
    let rows = statement.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
    rows.map(|row| {
        let row = row.unwrap();
        let start =
            bytes.windows(row.len()).position(|piece| piece == row).expect("a slot stands whole in the file");
        start..start + row.len()
    })
    .collect()
}
