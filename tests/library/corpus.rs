//! Replays what the fuzzer kept: every file of `tests/corpus/TARGET`, held against the target's property.
//!
//! `seed-…` is what keyvault writes itself (`src/fuzzing/seeds.rs` holds the files to it), the rest is what the fuzzer
//! made of that. docs/FAULTS.md says how to let it run.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use keyvault::fuzzing::TARGETS;

/// A corpus is a sample to repeat in every build, not the fuzzer's memory.
const MOST_FILES: usize = 20;
const MOST_BYTES: usize = 1024;

fn below(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The names in a folder, without hidden files.
fn names(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(below(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.starts_with('.')).collect()
}

#[test]
fn every_file_of_every_corpus_keeps_its_targets_property() {
    for (target, take) in TARGETS {
        let folder = format!("tests/corpus/{target}");
        let files = names(&folder);
        assert!((1..=MOST_FILES).contains(&files.len()), "{folder} has {} files", files.len());
        let mut taken = 0;
        for file in &files {
            let bytes = fs::read(below(&folder).join(file)).unwrap();
            assert!(bytes.len() < MOST_BYTES, "{folder}/{file} has {} bytes", bytes.len());
            taken += usize::from(take(&bytes));
        }
        assert!(taken > 0, "no file of {folder} is taken: none reaches behind the first check");
    }
}

#[test]
fn every_target_has_its_corpus_and_its_fuzzer() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("tests/corpus"), targets);
    let fuzzers = names("fuzz/fuzz_targets");
    assert_eq!(fuzzers, targets.iter().map(|target| format!("{target}.rs")).collect());
    let manifest = fs::read_to_string(below("fuzz/Cargo.toml")).unwrap();
    for target in targets {
        assert!(manifest.contains(&format!("name = \"{target}\"\n")), "fuzz/Cargo.toml lacks {target}");
    }
}
