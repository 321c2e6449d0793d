//! The cost of masking, beside `cat` in the same place of the same pipeline: `cargo bench --bench mask`.
//!
//! The child writes a file that is in memory; behind it stands either `exec --mask` or one more `cat`. Nothing is asserted.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    reason = "a report, not a program"
)]

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const KEYVAULT: &str = env!("CARGO_BIN_EXE_keyvault");
const MEGABYTES: usize = 512;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let run = |line: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", home);
        shell
            .env("KEYVAULT_PASSPHRASE", "correct horse battery staple")
            .env("KV", KEYVAULT)
            .current_dir(home);
        shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let begun = Instant::now();
        assert!(shell.status().unwrap().success(), "{line}");
        begun.elapsed()
    };
    run("\"$KV\" init --no-recovery && \"$KV\" unlock --for 1h");
    for key in 0..100 {
        let scope = if key < 10 { "--scope ten --scope hundred" } else { "--scope hundred" };
        run(&format!("\"$KV\" generate key{key} {scope}"));
    }
    // Values with characters that writers escape, in the middle and at both ends.
    for key in 0..10_u64 {
        let letters = key.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let value = format!("+{letters:016x}/\"{letters:016X}=");
        run(&format!("printf %s '{value}' | \"$KV\" add escaped{key} --exact --scope escaped"));
    }
    // Log lines: the letters of values, and none of the values.
    let mut text = String::new();
    for number in 0..20_000_u64 {
        let digest = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        writeln!(
            text,
            "2026-11-21T10:{:02}:07Z INFO request id={digest:016x} path=/v1/items/{number} took 12ms",
            number % 60
        )
        .unwrap();
    }
    // The log lines as JSON strings: about one escape in twenty bytes.
    let json = text.replace('=', "\\u003d\\\"").replace('/', "\\/");
    for (name, text) in [("text", text), ("json", json)] {
        std::fs::write(home.join(name), text.repeat(MEGABYTES * 1_000_000 / text.len() + 1)).unwrap();
    }
    for (scope, file) in [("ten", "text"), ("hundred", "text"), ("escaped", "text"), ("escaped", "json")] {
        let bytes = std::fs::metadata(home.join(file)).unwrap().len();
        let ours = format!("\"$KV\" exec --mask --scope {scope} -- cat {file} | cat > /dev/null");
        let theirs = format!("cat {file} | cat | cat > /dev/null");
        run(&ours);
        let pairs: Vec<(Duration, Duration)> = (0..9).map(|_| (run(&ours), run(&theirs))).collect();
        let median = |mut times: Vec<Duration>| {
            times.sort();
            times[times.len() / 2].as_secs_f64()
        };
        let (ours, theirs) = (
            median(pairs.iter().map(|pair| pair.0).collect()),
            median(pairs.iter().map(|pair| pair.1).collect()),
        );
        let rate = |seconds: f64| bytes as f64 / seconds / 1e9;
        println!(
            "{scope:<8} keys masked in {file}: {:.2} GB/s   cat in its place: {:.2} GB/s   ratio {:.2}",
            rate(ours),
            rate(theirs),
            ours / theirs
        );
    }
    run("\"$KV\" lock");
}
