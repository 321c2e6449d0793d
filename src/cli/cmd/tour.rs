//! `keyvault tour`

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use clap::Args;

use crate::cli::context::{self, Context};
use crate::cli::errors::{self, Failure, code};
use crate::cli::output;
use keyvault_core::clock::Rng;
use keyvault_core::crypto::SystemRng;
use keyvault_core::recipe::{Recipe, ValueKind};
use keyvault_core::secret::SecretBytes;
use keyvault_os::fs::private;
use keyvault_os::process::interrupt::Interrupts;
use keyvault_os::terminal::prompt::PromptError;

/// Demonstrate keyvault on a temporary vault.
///
/// Runs this program in temporary folders, shows each command with its real output, and leaves nothing behind.
#[derive(Debug, Args)]
pub(crate) struct Tour {}

/// A newcomer's project before keyvault.
const ENV_FILE: &[u8] =
    b"DATABASE_URL=postgres://shop:pg-9f2c1d@localhost/shop\nMAIL_TOKEN='mail-4be1-77aa'\n";

/// The world of the tour: a folder that goes away with it.
struct Stage<'c> {
    context: &'c Context,
    interrupts: &'c Interrupts,
    folder: PathBuf,
    steps: Vec<serde_json::Value>,
    /// The sentence of each proof, for JSON.
    checked: Vec<&'static str>,
}

impl Tour {
    pub(in crate::cli) fn run(context: &mut Context) -> Result<u8, Failure> {
        let interrupts = Interrupts::catch(&[], &[libc::SIGINT, libc::SIGTERM, libc::SIGHUP]);
        let interrupts = interrupts.map_err(|error| not_caught(&error))?;
        let mut stage = Stage::set(context, &interrupts)?;
        let walked = walk(&mut stage);
        let steps = std::mem::take(&mut stage.steps);
        let checked = std::mem::take(&mut stage.checked);
        drop(stage);
        walked?;
        if context.ui.json {
            context.ui.print_json(&serde_json::json!({ "steps": steps, "checked": checked }))?;
        }
        Ok(code::DONE)
    }
}

fn not_caught(error: &std::io::Error) -> Failure {
    Failure::failed(&format!("Signals cannot be caught: {}.", errors::reason(error)), None)
}

fn walk(stage: &mut Stage<'_>) -> Result<(), Failure> {
    stage.say("A vault that a passphrase opens. Here the passphrase is in a file, as in CI.")?;
    stage.show(&["init", "--recovery-file", "recovery-code.txt"], 0)?;

    stage.say("A strong key with a scope and an expiry. Its value is not shown.")?;
    stage.show(&["generate", "stripe/live", "--scope", "payments", "--expires", "90d"], 0)?;

    stage.say("The project's .env is imported, and the file is deleted.")?;
    stage.show(&["import", ".env", "--scope", "shop"], 0)?;
    stage.shell("rm .env")?;
    stage.show(&["list"], 0)?;

    stage.say("A command gets exactly the keys it needs.")?;
    let child = "echo \"the child holds ${#STRIPE_LIVE} characters, and DATABASE_URL is '${DATABASE_URL-}'\"";
    stage.show(&["exec", "--scope", "payments", "--", "sh", "-c", child], 0)?;
    stage.prove_delivery()?;

    stage.say("A scope restricts: no key has the scope 'admin', so nothing starts.")?;
    stage.show(&["exec", "--scope", "admin", "--", "sh", "-c", "echo never printed"], 125)?;

    stage.say("An expired key is refused everywhere.")?;
    stage.show(&["edit", "stripe/live", "--expires", "2020-01-01T00:00:00Z"], 0)?;
    stage.show(&["exec", "--scope", "payments", "--", "sh", "-c", "echo never printed"], 125)?;

    stage.say("Everything is recorded in an audit log that reveals any edit.")?;
    stage.show(&["audit", "log"], 0)?;
    stage.show(&["audit", "verify"], 0)?;
    stage.say("That was all. The vault of this tour is deleted. To create your own: keyvault init")
}

impl<'c> Stage<'c> {
    fn set(context: &'c Context, interrupts: &'c Interrupts) -> Result<Self, Failure> {
        let mut random = [0; 8];
        SystemRng.fill(&mut random).map_err(|error| Failure::failed(&error.to_string(), None))?;
        let name = format!("keyvault-tour-{}", data_encoding::HEXLOWER.encode(&random));
        let folder = std::env::temp_dir().join(name);
        let stage = Self { context, interrupts, folder, steps: Vec::new(), checked: Vec::new() };
        let made = |path: &Path, made: std::io::Result<()>| made.map_err(|error| Failure::io(path, &error));
        for part in ["home", "tmp", "runtime"] {
            let path = stage.folder.join(part);
            made(&path, private::create_folder(&path))?;
        }
        for (name, bytes) in [("passphrase", passphrase()?.expose()), (".env", ENV_FILE)] {
            let path = stage.home().join(name);
            made(&path, private::write_private(&path, bytes))?;
        }
        Ok(stage)
    }

    fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// A command in the tour's world: its own HOME, XDG folders and TMPDIR, and the caller's PATH.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", context::variable("PATH").unwrap_or_default())
            .env("HOME", self.home())
            .env("XDG_DATA_HOME", self.home().join(".local/share"))
            .env("XDG_STATE_HOME", self.home().join(".local/state"))
            .env("XDG_RUNTIME_DIR", self.folder.join("runtime"))
            .env("TMPDIR", self.folder.join("tmp"))
            .env("KEYVAULT_PASSPHRASE_FILE", self.home().join("passphrase"))
            .current_dir(self.home())
            .stdin(std::process::Stdio::null());
        command
    }

    fn keyvault(&self, arguments: &[&str]) -> Result<Output, Failure> {
        let program = std::env::current_exe().map_err(|error| Failure::io(Path::new("keyvault"), &error))?;
        let run = self.command(&program).args(arguments).output();
        run.map_err(|error| Failure::io(&program, &error))
    }

    fn say(&self, text: &str) -> Result<(), Failure> {
        if self.context.ui.json {
            return Ok(());
        }
        self.context.ui.line(&format!("\n{}", self.context.ui.on_out(output::STRONG, text)))
    }

    /// Prints a command as one would type it, runs it, and prints what it said.
    fn show(&mut self, arguments: &[&str], expected: u8) -> Result<(), Failure> {
        let typed = arguments.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
        let output = self.keyvault(arguments)?;
        self.print(&format!("keyvault {typed}"), &output)?;
        if output.status.code() == Some(i32::from(expected)) {
            return Ok(());
        }
        Err(Failure::failed(&format!("The tour expected exit code {expected} here."), None))
    }

    fn shell(&mut self, line: &str) -> Result<(), Failure> {
        let output = self.command(Path::new("sh")).args(["-c", line]).output();
        let output = output.map_err(|error| Failure::io(Path::new("sh"), &error))?;
        self.print(line, &output)
    }

    fn print(&mut self, typed: &str, output: &Output) -> Result<(), Failure> {
        if let Some(signal) = self.interrupts.next().map_err(|error| not_caught(&error))? {
            let interrupted = Failure::prompt(&PromptError::Interrupted);
            let signal = u8::try_from(signal).unwrap_or(u8::MAX);
            return Err(Failure { code: 128_u8.saturating_add(signal), ..interrupted });
        }
        let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        let said = output::harmless(&String::from_utf8_lossy(&said));
        let code = output.status.code();
        if self.context.ui.json {
            self.steps.push(serde_json::json!({ "command": typed, "code": code, "output": said }));
            return Ok(());
        }
        let ui = &self.context.ui;
        ui.line(&format!("{} {typed}", ui.on_out(output::GOOD, "$")))?;
        ui.data(said.as_bytes())?;
        match code {
            Some(0) => Ok(()),
            _ => ui.line(&ui.on_out(output::WARN, &format!("(exit code {})", code.unwrap_or(-1)))),
        }
    }

    /// The child's value is the vault's, and neither this process's environment nor any file of the tour holds it.
    fn prove_delivery(&mut self) -> Result<(), Failure> {
        let given =
            secret(self.keyvault(&["exec", "--only", "stripe/live", "--", "printenv", "STRIPE_LIVE"])?);
        let kept = secret(self.keyvault(&["show", "stripe/live", "--reveal"])?);
        let given = given.expose().trim_ascii_end();
        let delivered = !kept.is_empty() && given == kept.expose();
        let in_environment = context::variables().iter().any(|(_, value)| {
            let value = value.as_encoded_bytes();
            value.windows(kept.len().max(1)).any(|window| window == kept.expose())
        });
        let in_file = find_in_files(&self.folder, kept.expose());
        if !delivered || in_environment || in_file {
            return Err(Failure::failed(
                "The tour found the key where it must not be, or did not find it where it must be.",
                None,
            ));
        }
        let checked = "checked: the child got the vault's value, which is neither in the parent's environment nor in any file";
        if self.context.ui.json {
            self.checked.push(checked);
            return Ok(());
        }
        self.context.ui.line(checked)
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            self.context.ui.warn(&format!("{} could not be removed: {error}.", self.folder.display()));
        }
    }
}

fn passphrase() -> Result<SecretBytes, Failure> {
    Recipe::new(ValueKind::Passphrase, None, None)
        .and_then(|recipe| recipe.generate(&SystemRng, keyvault_core::crypto::KEY_PAIRS, ""))
        .map(|generated| generated.value)
        .map_err(Failure::recipe)
}

fn secret(output: Output) -> SecretBytes {
    let output = zeroize::Zeroizing::new(output.stdout);
    SecretBytes::copy_from(&output)
}

fn find_in_files(folder: &Path, wanted: &[u8]) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.filter_map(Result::ok).any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return find_in_files(&path, wanted);
        }
        std::fs::read(&path)
            .is_ok_and(|bytes| bytes.windows(wanted.len().max(1)).any(|window| window == wanted))
    })
}

/// As one would type it: in single quotes where a shell would read more into it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}
