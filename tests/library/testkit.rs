//! The vault vectors of `tests/testkit/`, and the vaults of `tests/compat/`, through the library.
//!
//! `KEYVAULT_WRITE=1 cargo test --test library testkit` writes the vectors anew. Nothing in them is chance: a build writes the
//! same bytes each time. What is there is replayed whoever wrote it.

mod bases;
mod compat;
mod content;
mod file;
mod forge;
mod former;
mod good;
mod later;
mod machines;
mod machines_base;
mod malformed;
mod misplaced;
mod pinned;
mod reasons;
mod removed;
mod replay;
mod set;
mod slots;
mod sql;
mod tampered;
mod vector;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once};

use replay::Kit;
use set::Set;

/// The vectors, written anew first if that is asked for.
fn kit() -> Kit {
    static WRITTEN: Once = Once::new();
    let kit = Kit::open();
    if std::env::var_os("KEYVAULT_WRITE").is_some() {
        WRITTEN.call_once(|| write(&kit));
    }
    kit
}

#[test]
fn the_readme_counts_the_vectors() {
    const COUNTED: &str = " vaults and bundles that open or must not";
    let count = std::fs::read_dir(kit().folder.join("vectors")).unwrap().count();
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, after) = page.split_once(COUNTED).unwrap();
    let (before, told) = before.rsplit_once(' ').unwrap();
    if std::env::var_os("KEYVAULT_WRITE").is_some() {
        std::fs::write(path, format!("{before} {count}{COUNTED}{after}")).unwrap();
    } else {
        assert_eq!(
            told,
            count.to_string(),
            "KEYVAULT_WRITE=1 cargo test --test library testkit writes it anew"
        );
    }
}

fn write(kit: &Kit) {
    let mut set = Set::new();
    good::all(&mut set);
    file::all(&mut set);
    slots::all(&mut set);
    tampered::all(&mut set);
    misplaced::all(&mut set);
    malformed::all(&mut set);
    pinned::all(&mut set);
    machines::all(&mut set);
    removed::all(&mut set);
    former::all(&mut set);
    set.write(&kit.folder);
    let path = kit.folder.join("README.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once("## Reasons\n\n").unwrap();
    let (_, after) = rest.split_once("\n## ").unwrap();
    std::fs::write(path, format!("{before}## Reasons\n\n{}\n## {after}", table())).unwrap();
}

#[test]
fn every_vector_comes_out_as_it_says() {
    let kit = kit();
    let vectors = kit.vectors();
    let wrong = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(vector) = vectors.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let replayed = catch_unwind(AssertUnwindSafe(|| kit.replay(vector)));
                    let replayed = replayed.unwrap_or_else(|_| Err(format!("{}: it panicked", vector.name)));
                    if let Err(what) = replayed {
                        wrong.lock().unwrap().push(what);
                    }
                }
            });
        }
    });
    let mut wrong = wrong.into_inner().unwrap();
    wrong.sort();
    let good = vectors.iter().filter(|vector| vector.expect == "success").count();
    println!("{} vectors, {good} of them succeed, {} wrong", vectors.len(), wrong.len());
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// The table of the reasons, as README.md has it.
fn table() -> String {
    let rows = reasons::REASONS.iter();
    let rows = rows.map(|reason| format!("| `{}` | {} | {} |\n", reason.name, reason.class, reason.means));
    format!("| reason | expect | what |\n| --- | --- | --- |\n{}", rows.collect::<String>())
}

#[test]
fn every_reason_is_described_and_has_a_vector() {
    let kit = kit();
    let page = std::fs::read_to_string(kit.folder.join("README.md")).unwrap();
    assert!(page.contains(&table()), "README.md must have:\n{}", table());
    let vectors = kit.vectors();
    let of = |name: &&str| vectors.iter().filter(|vector| vector.reason == *name).count();
    let unused = reasons::REASONS.iter().map(|reason| reason.name).filter(|name| of(name) == 0);
    assert_eq!(unused.collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn the_vaults_of_all_builds_open() {
    if std::env::var_os("KEYVAULT_WRITE").is_some() {
        compat::write();
    }
    let folders = std::fs::read_dir(compat::folder()).expect("KEYVAULT_WRITE=1 makes this build's");
    let folders: Vec<_> = folders.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    assert!(folders.contains(&compat::own()), "KEYVAULT_WRITE=1 makes this build's");
    for folder in &folders {
        compat::open(folder);
    }
}
