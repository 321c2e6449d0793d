//! The file format as docs/FORMAT.md has it against the program: a reader in Python that was written from that page
//! alone comes to each vector's outcome.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

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

#[test]
fn a_reader_written_from_the_format_page_agrees_with_every_vector() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let testkit = tests.join("testkit");
    // Debian's Python: another one does not see the modules that Debian's packages install.
    let run = Command::new("/usr/bin/python3")
        .arg(tests.join("format_reader/reader.py"))
        .arg(&testkit)
        .output()
        .expect("/usr/bin/python3 is missing; tests/setup installs what this needs");
    let stderr = String::from_utf8_lossy(&run.stderr);
    assert!(
        run.status.success(),
        "the reader needs Python 3.11, python3-nacl, and python3-argon2, which tests/setup installs:\n{stderr}"
    );
    let (agreed, printed) = (agreed(&testkit.join("vectors")), String::from_utf8(run.stdout).unwrap());
    let differing: Vec<_> = agreed.lines().zip(printed.lines()).filter(|(left, right)| left != right).collect();
    assert!(agreed == printed, "vector and reader: {differing:#?}\n{stderr}");
}
