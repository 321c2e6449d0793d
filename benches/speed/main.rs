//! Times that users wait for, side by side with what they would wait for anyway: `cargo bench --bench speed`.
//!
//! Each pair is run in turns, so that a busy machine is busy for both; medians are compared. Nothing is asserted here.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a report, not a program"
)]

mod issued;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// A copy of this build, as an installation makes one: what a linker has written piece by piece lies in many small pieces of
/// the page cache, which cost each start a sixth more (PERFORMANCE). Another build is measured where KEYVAULT_BENCH names it, for a before
/// beside an after.
static KEYVAULT: LazyLock<String> = LazyLock::new(|| {
    let built = std::env::var("KEYVAULT_BENCH").unwrap_or_else(|_| env!("CARGO_BIN_EXE_keyvault").to_owned());
    let installed = std::env::temp_dir().join(format!("keyvault-bench-{}", std::process::id()));
    std::fs::copy(built, &installed).unwrap();
    installed.to_str().unwrap().to_owned()
});
const PASSPHRASE: &str = "correct horse battery staple";

/// A vault of its own in a folder of its own, opened by a session.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn with_keys(count: usize) -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        bench.run(&["init", "--no-recovery"]);
        bench.run(&["unlock", "--for", "1h"]);
        let ten = count.min(10);
        bench.import("ten.env", "ten", ten);
        if count > ten {
            bench.import("rest.env", "rest", count - ten);
        }
        bench
    }

    fn import(&self, file: &str, scope: &str, count: usize) -> Duration {
        let path = self.file(file, scope, count);
        let begun = Instant::now();
        self.run(&["import", path.to_str().unwrap(), "--scope", scope]);
        begun.elapsed()
    }

    fn file(&self, file: &str, scope: &str, count: usize) -> PathBuf {
        let mut content = String::new();
        for number in 0..count {
            writeln!(content, "{}_{number:06}=value-{number}-0123456789abcdef", scope.to_uppercase())
                .unwrap();
        }
        let path = self.folder.path().join(file);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&*KEYVAULT);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.folder.path())
            .env("KEYVAULT_PASSPHRASE", PASSPHRASE)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) {
        assert!(self.command(arguments).status().unwrap().success(), "{arguments:?}");
    }

    /// The least of three runs; each is a change or a whole pass of its own.
    fn timed(&self, arguments: &[&str]) -> Duration {
        let run = |number: usize| {
            let arguments: Vec<_> =
                arguments.iter().map(|word| word.replace("backup.db", &format!("{number}.db"))).collect();
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            time(self.command(&arguments).current_dir(self.folder.path()))
        };
        (0..3).map(run).min().unwrap()
    }

    /// A command of a machine, with a token for the scope of ten keys; the bundle lies where it runs.
    fn machine(&self, arguments: &[&str]) -> Command {
        let bundle = self.folder.path().join("keys.kvb");
        let _ = std::fs::remove_file(&bundle);
        let _ = self.command(&["token", "revoke", "ci"]).status();
        let made = self.command(&["token", "create", "ci", "--scope", "ten"]).stdout(Stdio::piped()).output();
        self.run(&["bundle", "create", "--token", "ci", "-o", bundle.to_str().unwrap()]);
        let mut command = self.command(arguments);
        command.current_dir(self.folder.path());
        command.env("KEYVAULT_TOKEN", String::from_utf8(made.unwrap().stdout).unwrap().trim());
        command.env_remove("KEYVAULT_PASSPHRASE");
        command
    }

    fn exec_true(&self) -> Command {
        self.command(&["exec", "--scope", "ten", "--", "true"])
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.command(&["lock"]).status();
    }
}

fn plain_true() -> Command {
    bare("true")
}

fn env_true() -> Command {
    let mut command = bare("env");
    command.arg("true");
    command
}

/// A program of the system by its whole path, as ours is run, with nothing in its environment but PATH.
fn bare(name: &str) -> Command {
    let folders = std::env::var_os("PATH").unwrap();
    let file = std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|file| file.is_file());
    let mut command = Command::new(file.unwrap());
    command.env_clear().env("PATH", folders);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn time(command: &mut Command) -> Duration {
    let begun = Instant::now();
    assert!(command.status().unwrap().success());
    begun.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Runs both in turns and prints medians, difference and ratio.
fn compare(what: &str, rounds: usize, ours: &mut Command, theirs: &mut Command) {
    let [ours, theirs] = in_turns(rounds, [ours, theirs]);
    println!(
        "{what:<58} {:>8.2} ms   true {:>5.2} ms   difference {:>7.2} ms   ratio {:>6.1}",
        millis(ours),
        millis(theirs),
        millis(ours) - millis(theirs),
        millis(ours) / millis(theirs)
    );
}

/// An `exec -- true` beside `env true`, the least that a program which becomes another one can cost: it too is started,
/// relocated and replaced. And what it asks of the kernel, beside what `env` does.
fn compare_exec(what: &str, ours: &mut Command) {
    let (mut env, mut plain) = (env_true(), plain_true());
    let [took, by_env, alone] = in_turns(300, [ours, &mut env, &mut plain]);
    println!(
        "{what:<58} {:>8.2} ms   env true {:>5.2} ms   true {:>5.2} ms   ratio to env true {:>5.2}   to true {:>5.2}",
        millis(took),
        millis(by_env),
        millis(alone),
        millis(took) / millis(by_env),
        millis(took) / millis(alone)
    );
    let plain = faults(&mut plain);
    let own = |command: &mut Command| {
        let calls = system_calls(command).map_or_else(|| "no strace".to_owned(), |calls| calls.to_string());
        (calls, faults(command).saturating_sub(plain))
    };
    let ((calls, faults), (env_calls, env_faults)) = (own(ours), own(&mut env));
    println!(
        "{:<58} system calls {calls} (env {env_calls}), page faults {faults} (env {env_faults})",
        "  of its own, until it is the command"
    );
}

/// The medians of all, run in turns.
fn in_turns<const N: usize>(rounds: usize, mut commands: [&mut Command; N]) -> [Duration; N] {
    let mut times = [const { Vec::new() }; N];
    for round in 0..rounds + 5 {
        for (command, times) in commands.iter_mut().zip(&mut times) {
            let took = time(command);
            // The first five warm the caches.
            if round >= 5 {
                times.push(took);
            }
        }
    }
    times.map(median)
}

/// The system calls of a command from its start to the one that makes it another program, that one included; `None`
/// where there is no strace. The median of 33 runs: the log beside the vault, which each start reads, grows with each and is
/// folded after about as many.
fn system_calls(command: &Command) -> Option<usize> {
    let mut counts = (0..33).map(|_| traced_calls(command)).collect::<Option<Vec<_>>>()?;
    counts.sort_unstable();
    counts.get(counts.len() / 2).copied()
}

fn traced_calls(command: &Command) -> Option<usize> {
    let mut traced = Command::new("strace");
    traced.args(["-qq", "-o", "/dev/stderr"]).arg(command.get_program()).args(command.get_args()).env_clear();
    for (name, value) in command.get_envs() {
        traced.env(name, value?);
    }
    if let Some(folder) = command.get_current_dir() {
        traced.current_dir(folder);
    }
    let told = traced.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output().ok()?;
    let told = String::from_utf8(told.stderr).ok()?;
    // The search for it fails before it is found; what succeeds for the second time is the command's own start.
    let started = |line: &&str| line.starts_with("execve(") && line.ends_with("= 0");
    let calls: Vec<_> = told.lines().collect();
    let second = calls.iter().enumerate().filter(|(_, line)| started(line)).nth(1)?.0;
    Some(second)
}

/// The minor page faults of a command and of what it becomes: the median of 21 runs.
fn faults(command: &mut Command) -> u64 {
    let mut counts: Vec<_> = (0..21)
        .map(|_| {
            let before = faults_of_children();
            time(command);
            faults_of_children() - before
        })
        .collect();
    counts.sort_unstable();
    counts[counts.len() / 2]
}

/// `cminflt` of proc(5): the minor faults of all children that were waited for.
fn faults_of_children() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, behind_name) = stat.rsplit_once(')').unwrap();
    behind_name.split_ascii_whitespace().nth(8).unwrap().parse().unwrap()
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn main() {
    let small = Bench::with_keys(10);
    compare("--version", 200, &mut small.command(&["--version"]), &mut plain_true());
    compare_exec("exec -- true, 10 keys of 10", &mut small.exec_true());
    small.run(&["generate", "g"]);
    compare("generate", 50, &mut generate(&small), &mut plain_true());

    let issuing = Bench::with_keys(10_000);
    issued::issue_in(issuing.folder.path(), PASSPHRASE);
    compare_exec("exec -- true, 10 of 10,000, beside 1,000,000 issued", &mut issuing.exec_true());
    compare(
        "list of 10,000, beside 1,000,000 issued",
        30,
        &mut issuing.command(&["list"]),
        &mut plain_true(),
    );
    compare(
        "completion among 10,000, beside 1,000,000 issued",
        50,
        &mut completion(&issuing, "REST_00500"),
        &mut plain_true(),
    );
    drop(issuing);

    let many = Bench::with_keys(100_000);
    compare_exec("exec -- true, 10 keys of 100,000", &mut many.exec_true());
    for _ in 0..5000 {
        time(&mut many.exec_true());
    }
    compare_exec("exec -- true, 10 of 100,000, after 5,000 execs", &mut many.exec_true());
    report("100 exec at once, until the last has ended", hundred_at_once(&many));

    let mut by_token = many.machine(&["exec", "--", "true"]);
    compare_exec("exec -- true by token, its 10 keys of 100,000", &mut by_token);
    let mut by_bundle = many.machine(&["exec", "--bundle", "keys.kvb", "--", "true"]);
    compare_exec("exec -- true by bundle of 10", &mut by_bundle);

    let ten_thousand = Bench::with_keys(10);
    report("import of 10,000", ten_thousand.import("more.env", "more", 10_000));
    compare("list of 10,000", 30, &mut ten_thousand.command(&["list"]), &mut plain_true());

    let mut complete = completion(&ten_thousand, "MORE_00500");
    compare("completion of a name among 10,000", 50, &mut complete, &mut plain_true());
    report(
        "rekey of 10,000",
        ten_thousand.timed(&["vault", "rekey", "--keep-passphrase", "--no-recovery", "--yes"]),
    );

    compare("rotate", 50, &mut small.command(&["rotate", "g"]), &mut plain_true());
    for number in 0..1000 {
        small.run(&["generate", &format!("many/{number}"), "--scope", "thousand"]);
    }
    report("rotate --scope of 1,000", small.timed(&["rotate", "--scope", "thousand"]));
    report("fdatasync of 4 KiB appended, the disk's own", synced_write(&small));
    report("vault check of 100,000", many.timed(&["vault", "check"]));
    let copied = many.folder.path().join("copied.db");
    let plain = Instant::now();
    let vault = many.folder.path().join(".local/share/keyvault/vault.db");
    let bytes = std::fs::copy(&vault, &copied).unwrap();
    std::fs::File::open(&copied).unwrap().sync_all().unwrap();
    let plain = plain.elapsed();
    let backup = |what: &str, name: &str| {
        let took = millis(many.timed(&["vault", "backup", name]));
        println!(
            "{what:<58} {took:>8.2} ms   a plain copy of {} MiB with fsync {:.2} ms   ratio {:.1}",
            bytes >> 20,
            millis(plain),
            took / millis(plain)
        );
    };
    backup("backup of 100,000, every row looked at", "with-session-backup.db");
    many.run(&["lock"]);
    backup("backup of 100,000, its pages looked at", "locked-backup.db");

    let mut locked = small.command(&["list", "--no-session"]);
    small.run(&["lock"]);
    compare("list by passphrase: one Argon2id run", 5, &mut locked, &mut plain_true());
    std::fs::remove_file(&*KEYVAULT).unwrap();
}

fn completion(bench: &Bench, begun: &str) -> Command {
    let mut complete = bench.command(&["--", "keyvault", "show", begun]);
    complete.env("KEYVAULT_COMPLETE", "fish");
    complete
}

fn report(what: &str, took: Duration) {
    println!("{what:<58} {:>8.2} ms", millis(took));
}

/// The median of what the disk takes to make one page safe: the least that a change can take.
fn synced_write(bench: &Bench) -> Duration {
    let mut file = std::fs::File::create(bench.folder.path().join("synced")).unwrap();
    let times = (0..50).map(|_| {
        let begun = Instant::now();
        std::io::Write::write_all(&mut file, &[0; 4096]).unwrap();
        file.sync_data().unwrap();
        begun.elapsed()
    });
    median(times.collect())
}

/// Each run makes another key: the name comes from the shell's process number.
fn generate(bench: &Bench) -> Command {
    let command = bench.command(&[]);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("exec '{}' generate k$$", *KEYVAULT)]);
    shell.env_clear();
    for (name, value) in command.get_envs() {
        shell.env(name, value.unwrap());
    }
    shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    shell
}

fn hundred_at_once(bench: &Bench) -> Duration {
    let begun = Instant::now();
    let children: Vec<_> = (0..100).map(|_| bench.exec_true().spawn().unwrap()).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    begun.elapsed()
}
