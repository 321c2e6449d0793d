//! The file format as docs/FORMAT.md has it against the program: a reader in Python that was written from that page
//! alone comes to each vector's outcome.

use std::ffi::OsStr;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use pretty_assertions::assert_eq;

use crate::harness::World;
use crate::harness::bearer::{held, token, with_keys};

/// The lines that the reader prints if it agrees with the vectors.
fn agreed(vectors: &Path) -> String {
    let mut names: Vec<_> = fs::read_dir(vectors).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert!(names.len() > 700, "only {} vectors in {}", names.len(), vectors.display());
    let mut lines = String::new();
    for name in names {
        let text = fs::read_to_string(vectors.join(&name)).unwrap();
        let header = text.split("\n\n").next().unwrap();
        let field = |field: &str| {
            header.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(": ")).unwrap_or_default()
        };
        let outcome = match (field("expect"), field("row")) {
            ("success", _) => format!("success {}", field("content")),
            (expect, "") => format!("{expect} at {}: {}", field("step"), field("reason")),
            (expect, row) => format!("{expect} at {}: {}, {row}", field("step"), field("reason")),
        };
        writeln!(lines, "{}: {outcome}", name.to_str().unwrap()).unwrap();
    }
    lines
}

/// Runs a script of the reader. Debian's Python does: another one does not see the modules that Debian's packages install.
fn reader<A: AsRef<OsStr>>(script: &str, args: &[A]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format_reader").join(script);
    let run = Command::new("/usr/bin/python3")
        .arg(script)
        .args(args)
        .output()
        .expect("/usr/bin/python3 is missing; tests/setup installs what this needs");
    assert!(
        run.status.success(),
        "the reader needs Python 3.10, python3-nacl, and python3-argon2, which tests/setup installs:\n{}",
        String::from_utf8_lossy(&run.stderr)
    );
    String::from_utf8(run.stdout).unwrap()
}

#[test]
fn a_reader_written_from_the_format_page_agrees_with_every_vector() {
    let testkit = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testkit");
    let (agreed, printed) = (agreed(&testkit.join("vectors")), reader("reader.py", &[&testkit]));
    let differing: Vec<_> =
        agreed.lines().zip(printed.lines()).filter(|(left, right)| left != right).collect();
    assert!(agreed == printed, "vector and reader: {differing:#?}");
}

#[test]
fn a_reader_written_from_the_format_page_agrees_with_every_vector_of_a_set() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/sets.json");
    let printed = reader("sets.py", &[&vectors]);
    let differing: Vec<_> = printed.lines().filter(|line| !line.ends_with(": agrees")).collect();
    assert!(printed.lines().count() > 120 && differing.is_empty(), "{differing:#?}");
}

#[test]
fn a_reader_written_from_the_format_page_proves_the_reads_of_a_bundle() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    world.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb"]).ok();
    let mut away = World::empty();
    fs::copy(world.home().join("keys.kvb"), away.home().join("keys.kvb")).unwrap();
    away.set("KEYVAULT_READS", "reads.jsonl");
    let read = ["exec", "--bundle", "keys.kvb", "--", "true"];
    (0..4).for_each(|_| drop(held(&away, &token, &read).ok()));

    let log = away.home().join("reads.jsonl");
    let lines: Vec<String> = fs::read_to_string(&log).unwrap().lines().map(str::to_owned).collect();
    let altered = lines[1].replacen("\"seq\":1", "\"seq\":9", 1);
    fs::write(
        &log,
        [&lines[0], &altered, "nonsense", &lines[2], &lines[3]].map(|line| format!("{line}\n")).concat(),
    )
    .unwrap();
    let printed = reader("reads.py", &[log.to_str().unwrap(), &token]);
    assert_eq!(
        printed,
        "0 exec a@1 b@1\n\
         notsealed\n\
         malformed\n\
         2 exec a@1 b@1, lines before it are missing\n\
         3 exec a@1 b@1\n"
    );
}
