//! The rules of the layout that neither the compiler nor Clippy holds. Crates are the walls: what a crate may import its
//! manifest says, `unsafe` is forbidden outside of `crates/os`, and the `clippy.toml` beside a crate's manifest refuses
//! printing and the environment where they have no place.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The folders of `crates/vault`, from the top down. A folder imports from the lines below its own.
const VAULT_ORDER: [&[&str]; 5] = [
    &["lib", "check", "error", "file", "issued", "key", "slot", "supply", "token", "tx"],
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

/// Whatever is done with a vault is a function in the folder of its noun, not one more method.
#[test]
fn a_vault_and_its_transaction_have_their_methods_in_one_place() {
    let homes = [(" Vault {", "crates/vault/src/file/open.rs"), (" VerifiedTx<", "crates/vault/src/tx/")];
    hold(|path, line| {
        let methods =
            line.starts_with("impl") && !line.contains(" for ") && path.starts_with("crates/vault/");
        let (_, home) = homes.iter().find(|(noun, _)| methods && line.contains(noun))?;
        (!path.starts_with(home)).then(|| format!("gives methods to what only {home} may"))
    });
}

#[test]
fn a_library_is_named_only_in_the_folder_that_owns_it() {
    hold(|path, line| {
        let names = |library: &str| {
            line.match_indices(library)
                .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ':')))
        };
        // Functions that SQLite offers in C alone are called where `unsafe` may be.
        if path == "crates/os/src/brief_index.rs" || path == "crates/os/src/sqlite_build.rs" {
            return None;
        }
        let (library, owner) =
            OWNED.iter().find(|(library, owner)| names(library) && !path.starts_with(owner))?;
        Some(format!("names `{library}`, which only {owner} may"))
    });
}

#[test]
fn only_the_programs_and_unlock_read_the_environment() {
    let readers = ["src/cli/context.rs", "crates/vault/src/unlock/"];
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

/// A comment names its subject: one that begins with "What" or "The same" needs the line below or above to be understood.
#[test]
fn a_comment_names_its_subject() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "crates", "tests", "benches"] {
        collect(&root.join(folder), &mut files);
    }
    let bare = ["What", "Who", "Whoever", "Whose", "Whether", "Nobody", "The same"];
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let mut goes_on = false;
        for (at, line) in text.lines().enumerate() {
            let said = line
                .trim_start()
                .strip_prefix("//")
                .unwrap_or_default()
                .trim_start_matches(['/', '!'])
                .trim();
            let names_none = bare.iter().any(|word| {
                said.strip_prefix(word).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
            });
            if names_none && !goes_on {
                found.push(format!("{}:{}: {said}", file.display(), at + 1));
            }
            goes_on = !said.is_empty();
        }
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// `docs/ARCHITECTURE.md` names every crate and every folder of source, and none that is not there.
#[test]
fn the_map_names_the_folders_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/ARCHITECTURE.md")).unwrap();
    let is_place = |word: &&str| ["src/", "crates/", "tests/"].iter().any(|part| word.starts_with(part));
    let named: BTreeSet<&str> = page.split('`').skip(1).step_by(2).filter(is_place).collect();
    assert!(named.len() > 20, "{named:?}");
    for place in &named {
        assert!(root.join(place).exists(), "{place} is named and not there");
    }
    let mut folders = vec!["src".to_owned()];
    for entry in fs::read_dir(root.join("crates")).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        assert!(page.contains(&format!("keyvault-{name}")), "keyvault-{name} is not named");
        folders.push(format!("crates/{name}/src"));
    }
    folders.push("src/cli".to_owned());
    for folder in folders {
        for entry in fs::read_dir(root.join(&folder)).unwrap().map(Result::unwrap) {
            let place = format!("{folder}/{}", entry.file_name().to_str().unwrap());
            if entry.path().is_dir() && place != "src/cli" {
                assert!(named.contains(place.as_str()), "{place} is not named");
            }
        }
    }
}

/// Holds a rule against each line of code, with the file's path below the checkout. What a file's tests need is theirs.
fn hold(broken: impl Fn(&str, &str) -> Option<String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "crates"] {
        collect(&root.join(folder), &mut files);
    }
    assert!(files.len() > 150, "only {} files of source were found", files.len());
    let tests = ["#[cfg(test)]", "#[cfg(all(test, "];
    let mut found = Vec::new();
    for file in files {
        let path = file.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if ["/tests", "/seeds.rs", "/snapshot/"].iter().any(|part| path.contains(part)) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = text
            .lines()
            .enumerate()
            .take_while(|(_, line)| !tests.iter().any(|begin| line.starts_with(begin)));
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
