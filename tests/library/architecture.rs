//! The rules of the layout that neither the compiler nor Clippy holds. Crates are the walls: what a crate may import its
//! manifest says, `unsafe` is forbidden outside of `crates/os`, and the `clippy.toml` beside a crate's manifest refuses
//! printing and the environment where they have no place.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

use std::fs;
use std::path::{Path, PathBuf};

/// The folders of `crates/vault`, from the top down. A folder imports from the lines below its own.
const VAULT_ORDER: [&[&str]; 5] = [
    &["lib", "check", "error", "file", "key", "slot", "supply", "token", "tx"],
    &["unlock"],
    &["state"],
    &["audit"],
    &["store"],
];

/// Crates that one folder alone may name, because that folder is where they are understood.
const OWNED: [(&str, &str); 5] = [
    ("ring::", "crates/core/src/crypto/"),
    ("chacha20poly1305::", "crates/core/src/crypto/"),
    ("argon2::", "crates/core/src/crypto/"),
    ("rusqlite::", "crates/vault/src/store/"),
    ("zbus::", "crates/vault/src/unlock/"),
];

#[test]
fn folders_of_the_vault_import_downward() {
    hold(|path, line| {
        let own = vault_rank(path.strip_prefix("crates/vault/src/")?)?;
        let named = line.split("crate::").skip(1).find_map(|rest| {
            let folder = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
            vault_rank(folder).filter(|rank| *rank < own).map(|_| folder)
        })?;
        Some(format!("imports `{named}`, which is above it"))
    });
}

#[test]
fn a_library_is_named_only_in_the_folder_that_owns_it() {
    hold(|path, line| {
        let names = |library: &str| {
            line.match_indices(library)
                .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ':')))
        };
        let (library, owner) =
            OWNED.iter().find(|(library, owner)| names(library) && !path.starts_with(owner))?;
        Some(format!("names `{library}`, which only {owner} may"))
    });
}

#[test]
fn only_the_programs_and_unlock_read_the_environment() {
    let readers = ["src/cli/context.rs", "src/cli/output/", "crates/os/", "crates/vault/src/unlock/"];
    hold(|path, line| {
        let reads = ["env::var", "env::vars"].iter().any(|reader| line.contains(reader));
        (reads && !readers.iter().any(|reader| path.starts_with(reader)))
            .then(|| "reads the environment".to_owned())
    });
}

#[test]
fn nothing_is_left_unfinished() {
    let words = ["todo!", "unimplemented!", "TODO", "FIXME", "XXX", "for now", "#[ignore"];
    hold(|_, line| words.iter().find(|word| line.contains(**word)).map(|word| format!("says `{word}`")));
}

/// Holds a rule against each line of code, with the file's path below the checkout. What a file's tests need is theirs.
fn hold(broken: impl Fn(&str, &str) -> Option<String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "crates"] {
        collect(&root.join(folder), &mut files);
    }
    assert!(files.len() > 150, "only {} files of source were found", files.len());
    let mut found = Vec::new();
    for file in files {
        let path = file.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if ["/tests", "/seeds.rs", "/snapshot/"].iter().any(|part| path.contains(part)) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = text.lines().enumerate().take_while(|(_, line)| !line.starts_with("#[cfg(test)]"));
        let code = code.filter(|(_, line)| !line.trim_start().starts_with("//"));
        found.extend(
            code.filter_map(|(at, line)| Some(format!("{path}:{}: {}", at + 1, broken(&path, line)?))),
        );
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

fn vault_rank(path: &str) -> Option<usize> {
    let folder = path.split('/').next()?.trim_end_matches(".rs");
    VAULT_ORDER.iter().position(|line| line.contains(&folder))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
