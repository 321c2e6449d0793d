//! A world of its own for each test: HOME, folders, an empty environment, a fixed time, a vault at the lowest accepted cost.
//!
//! [`terminal`] and [`desktop`] put one around it, [`vault_file`] works on the file behind keyvault's back, and [`bearer`] uses
//! a token.
//!
//! The program is `keyvault-test-clock`, built with the tests: all of `keyvault` but its clock. Nothing of the caller's
//! environment reaches it but PATH. Kernel keys that a test's sessions leave are removed when its world ends; a user has 200.
//!
//! Time stands still at [`START`] until a test moves it with [`World::advance`] or [`World::at`]; commands that are running
//! notice. Three clocks do not follow: the kernel ends a session by its own, files have the times that the file system gives
//! them, and a program whose environment was cleared (the child of `exec`, `tour`) goes by the system's.

pub mod bearer;
pub mod canary;
pub mod copies;
pub mod desktop;
pub mod old_host;
pub mod project_file;
pub mod runtime;
pub mod terminal;
pub mod vault_file;
pub mod watched;

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use keyvault_core::clock::{Clock, Moment};
use keyvault_core::crypto::{Cost, SystemRng};
use keyvault_core::secret::SecretBytes;
use keyvault_vault::audit::Actor;
use keyvault_vault::state::pin::Pins;
use keyvault_vault::unlock::passphrase::Passphrase;
use keyvault_vault::unlock::recovery::RecoveryCode;
use keyvault_vault::{Creation, Holder, Holders, Notices, World as VaultWorld, file};
use pretty_assertions::{assert_eq, assert_str_eq};

/// Opens every vault of the tests.
pub const PASSPHRASE: &str = "correct horse battery staple";

/// The program under test, under the name that users know. [`World::empty`] puts it there.
pub const KEYVAULT: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/keyvault");

/// The program as it is released, which goes by the system's clock.
pub const RELEASED: &str = env!("CARGO_BIN_EXE_keyvault");

/// When every world begins: 2040-05-17T08:00:00Z. It lies ahead, so that neither the times of files nor a program by the
/// system's clock are ahead of it.
pub const START: StoppedClock = StoppedClock(Moment(2_220_854_400_000));

/// How long a test waits for what should happen soon.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How long a test waits between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// One test's world.
pub struct World {
    folder: tempfile::TempDir,
    /// Holds the clock, apart from what a test looks at.
    clock: tempfile::TempDir,
    environment: Vec<(String, String)>,
    /// The vault's id is that of other worlds as well.
    shares_sessions: bool,
}

/// A command that has ended, with its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Exit code; 128 + n for a signal.
    pub code: i32,
    /// Standard output, lossily.
    pub out: String,
    /// Standard error, lossily.
    pub err: String,
    /// Standard output, as bytes.
    pub bytes: Vec<u8>,
    /// HOME of the command; empty without one.
    pub home: String,
}

impl Ran {
    /// The output of a command that must succeed.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// All that a command did, with texts as [`text`] reads them and outputs as [`Self::stable`] leaves them.
    #[track_caller]
    pub fn is(self, code: i32, out: &str, err: &str) -> Self {
        let done = format!("{}[{}]\n{}", self.stable(&self.out), self.code, self.stable(&self.err));
        assert_str_eq!(done, format!("{}[{code}]\n{}", text(out), text(err)));
        self
    }

    /// A command that succeeds, prints just `out`, and has nothing to report.
    #[track_caller]
    pub fn prints(self, out: &str) -> Self {
        self.is(0, out, "")
    }

    /// A command that succeeds, reports just `err`, and prints no data.
    #[track_caller]
    pub fn reports(self, err: &str) -> Self {
        self.is(0, "", err)
    }

    /// A command that succeeds and reports just `err`. For data that other tests look at.
    #[track_caller]
    pub fn warns(self, err: &str) -> Self {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.out, self.err);
        assert_str_eq!(self.stable(&self.err), text(err));
        self
    }

    /// A command that fails with `code` and just `err`, and prints no data.
    #[track_caller]
    pub fn fails_with(self, code: i32, err: &str) -> Self {
        self.is(code, "", err)
    }

    /// `~` for the command's HOME, `$WORLD` for the folder around it, `keyvault` for the path of the program, `<hex>` and
    /// `xxxxxxxxxxxx` for identifiers and fingerprints, which are random, and `ada@host tests -` for whoever runs the tests.
    fn stable(&self, output: &str) -> String {
        let mut output = output.replace(KEYVAULT, "keyvault");
        if let Some(world) = self.home.strip_suffix("/home") {
            output = output.replace(&self.home, "~").replace(world, "$WORLD");
        }
        without_random_ids(&without_us(&output))
    }

    /// The output of a command that must fail with `code` and say `word` on stderr. For what cannot be fixed: otherwise
    /// [`Self::fails_with`].
    #[track_caller]
    pub fn fails(self, code: i32, word: &str) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        assert!(self.err.contains(word), "{word:?} is not in: {}", self.err);
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

impl World {
    /// A world without a vault.
    pub fn empty() -> Self {
        static PROGRAM: OnceLock<()> = OnceLock::new();
        PROGRAM.get_or_init(place_program);
        let folder = tempfile::Builder::new().prefix("keyvault-test-").tempdir().unwrap();
        for name in ["home", "tmp"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let clock = tempfile::Builder::new().prefix("keyvault-clock-").tempdir().unwrap();
        // For commands of other users.
        std::fs::set_permissions(clock.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut world = Self { folder, clock, environment: Vec::new(), shares_sessions: false };
        world.set("PATH", &std::env::var("PATH").unwrap_or_default());
        world.set("HOME", world.home().to_str().unwrap().to_owned().as_str());
        world.set("TMPDIR", world.folder.path().join("tmp").to_str().unwrap().to_owned().as_str());
        world.set("TZ", "UTC");
        world.set("LANG", "C.UTF-8");
        world.set("KEYVAULT_TEST_CLOCK", world.clock_file().to_str().unwrap().to_owned().as_str());
        world.set_time(jiff::Timestamp::from_millisecond(START.0.0).unwrap());
        world
    }

    /// A world with a copy of the run's vault. The copies share their vault id, and so a session of one would be that of
    /// all, until the first of them ends: tests with sessions use [`Self::own`].
    pub fn new() -> Self {
        static TEMPLATE: OnceLock<Vec<u8>> = OnceLock::new();
        let template = TEMPLATE.get_or_init(|| std::fs::read(Self::own().vault()).unwrap());
        let mut world = Self::empty();
        create_folders(&world.vault());
        std::fs::write(world.vault(), template).unwrap();
        std::fs::set_permissions(world.vault(), std::fs::Permissions::from_mode(0o600)).unwrap();
        world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
        world.shares_sessions = true;
        world
    }

    /// A world with a vault of its own.
    pub fn own() -> Self {
        let mut world = Self::empty();
        create_vault(&world.vault(), &world.pins(), &world.clock());
        world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
        world
    }

    /// Sets the time, RFC 3339.
    pub fn at(&self, time: &str) {
        self.set_time(time.parse().unwrap());
    }

    /// Moves the time on.
    pub fn advance(&self, by: Duration) {
        self.set_time(self.time() + by);
    }

    /// The time.
    pub fn time(&self) -> jiff::Timestamp {
        std::fs::read_to_string(self.clock_file()).unwrap().parse().unwrap()
    }

    /// The time, for what a test does through the library.
    pub fn clock(&self) -> StoppedClock {
        StoppedClock(Moment(self.time().as_millisecond()))
    }

    fn clock_file(&self) -> PathBuf {
        self.clock.path().join("now")
    }

    fn set_time(&self, time: jiff::Timestamp) {
        // Moved into place: a command that is running must not find half of it.
        let draft = self.clock.path().join("next");
        std::fs::write(&draft, time.to_string()).unwrap();
        std::fs::rename(draft, self.clock_file()).unwrap();
    }

    /// Sets a variable for all commands from here on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.unset(name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Takes a variable away for all commands from here on.
    pub fn unset(&mut self, name: &str) {
        self.environment.retain(|(known, _)| known != name);
    }

    /// The variables of every command.
    pub fn variables(&self) -> impl Iterator<Item = (String, String)> {
        self.environment.iter().cloned()
    }

    /// The world's folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// HOME, and the folder in which commands run.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// The vault's file.
    pub fn vault(&self) -> PathBuf {
        self.home().join(".local/share/keyvault/vault.db")
    }

    /// The folder with the pins.
    pub fn pins(&self) -> PathBuf {
        self.home().join(".local/state/keyvault/pins")
    }

    /// Writes a file in HOME.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.home().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// A command in this world, for what [`Self::run`] does not cover.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        with_default_signals(&mut command);
        command.env_clear().envs(self.variables()).current_dir(self.home());
        command.stdin(Stdio::null());
        command
    }

    /// Runs keyvault without a terminal and with nothing on stdin.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let of_session = ["unlock", "lock"].contains(arguments.first().unwrap_or(&""));
        assert!(!(of_session && self.shares_sessions), "a test with sessions needs a vault of its own");
        let mut command = self.command(KEYVAULT);
        finish(command.args(arguments), b"")
    }

    /// Runs keyvault with `input` on stdin.
    pub fn run_with_input(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> Ran {
        let mut command = self.command(KEYVAULT);
        finish(command.args(arguments), input.as_ref())
    }

    /// Runs a line of sh in which `keyvault` is the binary under test.
    pub fn sh(&self, line: &str) -> Ran {
        let mut command = self.command("sh");
        let line = format!("keyvault() {{ '{KEYVAULT}' \"$@\"; }}\n{line}");
        finish(command.args(["-c", &line]), b"")
    }

    /// Every byte of every file below the world's folder.
    pub fn every_file(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        collect(self.folder.path(), &mut files);
        files
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !self.shares_sessions
            && self.vault().exists()
            && std::fs::metadata(self.vault()).is_ok_and(|file| file.is_file())
        {
            // A vault that a test has damaged on purpose has no session worth ending.
            let _ = self.run(&["lock"]);
        }
    }
}

/// The caller of the tests may ignore some signals, as a job in the background ignores INT and QUIT; children would too.
#[allow(unsafe_code, reason = "signal(2) between fork and exec, where nothing else can set a disposition")]
fn with_default_signals(command: &mut Command) {
    // SAFETY: signal(2) may be called there, and SIG_DFL is no code of ours.
    unsafe {
        command.pre_exec(|| {
            for signal in
                [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGTSTP, libc::SIGWINCH]
            {
                libc::signal(signal, libc::SIG_DFL);
            }
            Ok(())
        });
    }
}

/// Runs a command to its end, feeding it `input`.
pub fn finish(command: &mut Command, input: &[u8]) -> Ran {
    let stdin = if input.is_empty() { Stdio::null() } else { Stdio::piped() };
    let mut child = command
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let feeder = child.stdin.take().map(|mut stdin| {
        let input = input.to_vec();
        // A command that refuses before it reads closes the pipe.
        std::thread::spawn(move || drop(stdin.write_all(&input)))
    });
    let output = child.wait_with_output().unwrap();
    if let Some(feeder) = feeder {
        feeder.join().unwrap();
    }
    let status = output.status;
    Ran {
        code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
        bytes: output.stdout,
        home: home_of(command),
    }
}

/// The HOME that a command was given.
fn home_of(command: &Command) -> String {
    let home = command.get_envs().find(|(name, _)| *name == "HOME").and_then(|(_, value)| value);
    home.map(|home| home.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The output without identifiers of rows and vaults (32 digits or more) and fingerprints (12 digits). What stands for a
/// fingerprint is as wide, so that tables stay aligned.
fn without_random_ids(output: &str) -> String {
    let mut stable = String::new();
    for word in output.split_inclusive(|letter: char| !letter.is_ascii_alphanumeric()) {
        let id = word.trim_end_matches(|letter: char| !letter.is_ascii_alphanumeric());
        let hexadecimal = id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        stable += match id.len() {
            12 if hexadecimal => "xxxxxxxxxxxx",
            32.. if hexadecimal => "<hex>",
            _ => id,
        };
        stable += &word[id.len()..];
    }
    stable
}

/// The output without the names of the user, the machine, its terminal and the test's program. Where they stand, columns are
/// as wide as they are, so what stands between two columns becomes two spaces, and what stands before the first is dropped.
fn without_us(output: &str) -> String {
    static WHO: OnceLock<(String, String, String)> = OnceLock::new();
    let (us, program, terminal) = WHO.get_or_init(|| {
        let who = keyvault_os::process::actor::who();
        let program = std::fs::read_to_string("/proc/self/comm").unwrap();
        (
            format!("{}@{}", who.user, who.host),
            program.trim_end().to_owned(),
            who.terminal.unwrap_or_else(|| "-".to_owned()),
        )
    });
    if !output.contains(us) {
        return output.to_owned();
    }
    let mut stable = output.replace(&format!("{us} {program} {terminal}"), "ada@host tests -");
    stable = stable.replace(&format!("{us} sh {terminal}"), "ada@host sh -").replace(us, "ada@host");
    let mut lines = String::new();
    for line in stable.split_inclusive('\n') {
        let row = line.trim_start_matches(' ');
        let columns: Vec<_> =
            row.split("  ").filter(|column| !column.is_empty()).map(|c| c.trim_start_matches(' ')).collect();
        lines += &columns.join("  ");
    }
    lines
}

/// An expected text. One that begins with a line break is a block: the break, the indentation that its lines share, and the
/// blank last line up to the closing quote are not part of it.
pub fn text(written: &str) -> String {
    let Some(block) = written.strip_prefix('\n') else { return written.to_owned() };
    let (lines, _) = block.rsplit_once('\n').expect("a block ends with a line of its own");
    let filled = || lines.lines().filter(|line| !line.trim().is_empty());
    let shared = filled().map(|line| line.len() - line.trim_start_matches(' ').len()).min().unwrap_or(0);
    lines.split('\n').map(|line| line.get(shared..).unwrap_or("").to_owned() + "\n").collect()
}

/// The report of a command whose key the vault does not have.
pub fn no_key(name: &str) -> String {
    format!("error: No key named `{name}`.\n       Run `keyvault list` to see all keys.\n")
}

/// So many days.
pub fn days(number: u64) -> Duration {
    hours(24 * number)
}

/// So many hours.
pub fn hours(number: u64) -> Duration {
    minutes(60 * number)
}

/// So many minutes.
pub fn minutes(number: u64) -> Duration {
    Duration::from_secs(60 * number)
}

/// A clock that does not move.
#[derive(Debug, Clone, Copy)]
pub struct StoppedClock(pub Moment);

impl Clock for StoppedClock {
    fn now(&self) -> Moment {
        self.0
    }
}

/// Looks until something is found, or [`PATIENCE`] is over.
pub fn poll<T>(look: impl FnMut() -> Option<T>) -> Option<T> {
    poll_within(PATIENCE, look)
}

/// Looks until something is found, or the limit is over.
pub fn poll_within<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        let found = look();
        if found.is_some() || begun.elapsed() > limit {
            return found;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Waits until `holds`; `what` names that where it never does.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    assert!(poll(|| holds().then_some(())).is_some(), "it never came: {what}");
}

/// Puts the program under test where [`KEYVAULT`] says. A link of its own: `/proc/PID/exe` names it, and so do messages.
fn place_program() {
    let draft = format!("{KEYVAULT}.{}", std::process::id());
    let _ = std::fs::remove_file(&draft);
    std::fs::hard_link(env!("CARGO_BIN_EXE_keyvault-test-clock"), &draft).unwrap();
    std::fs::rename(&draft, KEYVAULT).unwrap();
    // Where it was there already, rename(2) leaves both.
    let _ = std::fs::remove_file(&draft);
}

/// Makes a vault at the lowest cost that is accepted, through the library.
pub fn create_vault(path: &Path, pins: &Path, clock: &dyn Clock) -> RecoveryCode {
    let passphrase = Passphrase::new(&SecretBytes::copy_from(PASSPHRASE.as_bytes())).unwrap();
    let recovery = RecoveryCode::create(&SystemRng).unwrap();
    let creation = Creation { passphrase: &passphrase, cost: Cost::FLOOR, recovery: Some(&recovery) };
    let world = VaultWorld {
        clock,
        rng: &SystemRng,
        actor: Actor::default(),
        pins: Pins::in_folder(pins.to_owned()),
        holders: nobody(),
        notices: Notices::told_by(&|_| ()),
        waiting: &|_, _| (),
    };
    file::create(path, &creation, &world).unwrap();
    recovery
}

/// No announcements, neither read nor written.
pub fn nobody() -> Holders {
    // Below no folder: one that is held for long would be announced in the working directory.
    Holders::in_folder(PathBuf::from("/dev/null"), Holder { command: String::new(), pid: 0 })
}

fn create_folders(vault: &Path) {
    std::fs::create_dir_all(vault.parent().unwrap()).unwrap();
    std::fs::set_permissions(vault.parent().unwrap(), std::fs::Permissions::from_mode(0o700)).unwrap();
}

fn collect(folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), files);
        } else if entry.file_type().unwrap().is_file() {
            files.push((entry.path(), std::fs::read(entry.path()).unwrap()));
        }
    }
}
