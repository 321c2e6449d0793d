//! Differences that a command run by `keyvault exec` can see, and that its caller can: none.
//!
//! One table of cases (`cases.rs`) is run without a wrapper, through every mode of `exec`, and through every other tool
//! of that kind that is installed. Ours must pass in all; the others are printed. docs/CONFORMANCE.md is the table.

mod cases;
mod stage;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::harness::{KEYVAULT, World};
use cases::Case;
use stage::{Mode, Setting, Stage};

/// The value that is masked, if masking is on.
const VALUE: &str = "canary-of-conformance";

/// Every mode of ours. One more is one more line: the flags, and on what it is run.
const OURS: [(&str, &[&str], Setting); 8] = [
    ("replace", &[], Setting::Pipes),
    ("replace, on a terminal", &[], Setting::Terminal),
    ("mask, in a pipe", &["--mask"], Setting::Pipes),
    ("mask, on a terminal", &["--mask"], Setting::Terminal),
    ("file", &["--file", "KEY_FILE=a"], Setting::Pipes),
    ("file, on a terminal", &["--file", "KEY_FILE=a"], Setting::Terminal),
    ("watch", &["--watch"], Setting::Pipes),
    ("watch, on a terminal", &["--watch"], Setting::Terminal),
];

/// Others, if they are installed and need no account for it: the words before the command.
const PEERS: [&[&str]; 8] = [
    &["env"],
    &["dotenvx", "run", "--quiet", "--"],
    &["varlock", "run", "--"],
    &["fnox", "exec", "--"],
    &["secretspec", "run", "--"],
    &["murk", "exec", "--"],
    &["aws-vault", "exec", "conformance", "--"],
    &["chamber", "exec", "conformance", "--"],
];

fn world() -> World {
    let world = World::new();
    world.run_with_input(&["add", "a"], VALUE).ok();
    world
}

fn ours() -> Vec<Mode> {
    let mode = |(name, flags, setting): (&str, &[&str], Setting)| {
        let words = [&[KEYVAULT, "exec", "--only", "a"], flags, &["--"]].concat();
        Mode {
            name: name.to_owned(),
            wrapper: words.iter().map(|word| (*word).to_owned()).collect(),
            setting,
        }
    };
    OURS.into_iter().map(mode).collect()
}

fn without() -> Vec<Mode> {
    let mode =
        |(name, setting): (&str, Setting)| Mode { name: name.to_owned(), wrapper: Vec::new(), setting };
    [("nothing", Setting::Pipes), ("nothing, on a terminal", Setting::Terminal)]
        .into_iter()
        .map(mode)
        .collect()
}

fn peers() -> Vec<Mode> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = |program: &str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let mode = |words: &&[&str]| Mode {
        name: words[0].to_owned(),
        wrapper: words.iter().map(|word| (*word).to_owned()).collect(),
        setting: Setting::Pipes,
    };
    PEERS.iter().filter(|words| installed(words[0])).map(mode).collect()
}

/// The difference in this mode; nothing if the case holds.
fn differs(world: &World, mode: &Mode, case: &Case) -> Option<String> {
    let seen = (case.observe)(&Stage { world, mode });
    (seen != case.expected)
        .then(|| format!("{}: {}: {seen:?} and not {:?}", mode.name, case.name, case.expected))
}

/// `KEYVAULT_CASE=word` runs the cases with that word in their name and compares nothing with the document.
#[test]
fn a_command_cannot_tell_that_it_is_run_by_exec_nor_can_its_caller() {
    let table = cases::table();
    assert!(table.len() >= 35);
    let only = std::env::var("KEYVAULT_CASE").ok();
    let wanted = |case: &&Case| only.as_ref().is_none_or(|word| case.name.contains(word.as_str()));
    let modes: Vec<Mode> = [without(), ours(), peers()].concat();
    let must = without().len() + ours().len();
    // Side by side: most of a case is waiting.
    let columns: Vec<Vec<Option<String>>> = std::thread::scope(|scope| {
        let wanted = &wanted;
        let column = |mode: &'static Mode| {
            scope.spawn(move || {
                let world = world();
                cases::table()
                    .iter()
                    .filter(wanted)
                    .map(|case| differs(&world, mode, case))
                    .collect::<Vec<_>>()
            })
        };
        let modes: &'static [Mode] = Box::leak(modes.clone().into_boxed_slice());
        let running: Vec<_> = modes.iter().map(column).collect();
        running.into_iter().map(|column| column.join().unwrap()).collect()
    });
    let names: Vec<&str> = table.iter().filter(wanted).map(|case| case.name.as_str()).collect();
    println!("{}", render(&names, &modes, &columns));
    let failed: Vec<&String> = columns[..must].iter().flatten().flatten().collect();
    columns[must..].iter().flatten().flatten().for_each(|difference| println!("{difference}"));
    assert!(failed.is_empty(), "\n{failed:#?}");
    if only.is_none() {
        let from = without().len();
        compare(&document(&render(&names, &modes[from..must], &columns[from..must]), names.len()));
    }
}

fn render(names: &[&str], modes: &[Mode], columns: &[Vec<Option<String>>]) -> String {
    let mut text = "| Case |".to_owned();
    modes.iter().for_each(|mode| write!(text, " {} |", mode.name).unwrap());
    text.push_str("\n|---|");
    modes.iter().for_each(|_| text.push_str("---|"));
    for (row, name) in names.iter().enumerate() {
        write!(text, "\n| {name} |").unwrap();
        for column in columns {
            text.push_str(if column[row].is_none() { " yes |" } else { " **no** |" });
        }
    }
    text.push('\n');
    text
}

fn document(table: &str, cases: usize) -> String {
    format!("{}{cases}{}\n{table}", HEAD.0, HEAD.1)
}

const HEAD: (&str, &str) = (
    "# Conformance

What a command can tell from being run by `keyvault exec`, and what its caller can: nothing. ",
    " cases, each of them
observed without a wrapper and through every mode of `exec`; `yes` is the same observation. `tests/system/conformance`
runs them, holds this page against them, and prints the same table for `env(1)` and every other tool of this kind that is
installed.

    cargo test --test system conformance -- --nocapture

What is different, and by its nature cannot be tested away:

- SIGSTOP cannot be caught. Sent to keyvault alone where it looks after the command, it does not stop the command; sent
  to the group, as shells do, it stops both.
- A command that stops itself stops keyvault with it where it looks after the command. Who then continues the command
  alone, and not keyvault or their group, leaves keyvault stopped: its end is seen when keyvault is continued.
- keyvault killed by KILL while it masks on a terminal leaves that as it was set for the command; `reset` mends it.
- A masked command on a terminal is on another terminal than its caller, with the same modes and size, in a session of
  its own. What it sets there (`stty`) ends with it, and so does what was typed ahead and not read by it.
- A signal that a service manager sends to every process of a control group, one by one, reaches the command from it and
  from keyvault.
",
);

fn compare(expected: &str) {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/CONFORMANCE.md");
    if std::env::var_os("KEYVAULT_WRITE").is_some() {
        std::fs::write(&path, expected).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == expected,
        "KEYVAULT_WRITE=1 cargo test --test system conformance writes docs/CONFORMANCE.md anew"
    );
}
