//! New credentials: a passphrase that is asked for twice, a recovery code that goes where it can be kept.

use std::path::{Path, PathBuf};

use clap::Args;

use keyvault_core::crypto;
use keyvault_core::secret::SecretBytes;
use keyvault_os::fs::private;
use keyvault_os::terminal::prompt;
use keyvault_vault::VaultError;
use keyvault_vault::unlock::passphrase::Passphrase;
use keyvault_vault::unlock::recovery::RecoveryCode;

use crate::cli::context::{Context, variable};
use crate::cli::errors::{Failure, code};
use crate::cli::prompt as ask;

/// Where a new recovery code goes.
#[derive(Debug, Clone, Args)]
pub(crate) struct RecoveryPlace {
    /// Write the recovery code to a new file
    #[arg(long, value_name = "FILE")]
    recovery_file: Option<PathBuf>,
    /// Create no recovery code: if the passphrase is lost, so is the vault
    #[arg(long, conflicts_with = "recovery_file")]
    no_recovery: bool,
    // Doing without a code is out of the question.
    #[arg(skip)]
    needed: bool,
}

/// A recovery code on its way to where it is kept.
pub(in crate::cli) struct NewRecovery {
    /// The code, unless none is wanted.
    pub(in crate::cli) code: Option<RecoveryCode>,
    /// The text, if it goes into the answer.
    json: Option<SecretBytes>,
    file: Option<PathBuf>,
}

impl RecoveryPlace {
    /// Where a code goes that is the point of the command.
    pub(in crate::cli) fn needed(recovery_file: Option<PathBuf>) -> Self {
        Self { recovery_file, no_recovery: false, needed: true }
    }

    /// For a command that says itself what it means to make none.
    pub(in crate::cli) fn of(recovery_file: Option<PathBuf>, no_recovery: bool) -> Self {
        Self { recovery_file, no_recovery, needed: false }
    }

    /// Returns `true` if a code is made at all.
    pub(in crate::cli) fn makes_code(&self) -> bool {
        !self.no_recovery
    }

    /// Makes a code and puts it where it is kept: on the terminal, where part of it is asked back, in a file, or in the
    /// answer. Without any of these it is refused, before anything is asked.
    pub(in crate::cli) fn make(&self, context: &Context, interactive: bool) -> Result<NewRecovery, Failure> {
        self.require(context, interactive)?;
        if self.no_recovery {
            return Ok(NewRecovery { code: None, json: None, file: None });
        }
        let failed = |error| Failure::of(VaultError::Unlock(error), Path::new("the vault"));
        let code = RecoveryCode::create(&crypto::SystemRng).map_err(failed)?;
        let text = code.text().map_err(failed)?;
        if let Some(file) = &self.recovery_file {
            if file == Path::new("-") {
                return Err(Failure::usage(
                    "`--recovery-file` names a file: standard output may end up in a log.",
                    Some("`--json` includes the code in its answer."),
                ));
            }
            private::write_private(file, text.expose()).map_err(|error| Failure::making(file, &error))?;
            return Ok(NewRecovery { code: Some(code), json: None, file: Some(file.clone()) });
        }
        if context.ui.json {
            return Ok(NewRecovery { code: Some(code), json: Some(text), file: None });
        }
        show_and_ask_back(&text)?;
        Ok(NewRecovery { code: Some(code), json: None, file: None })
    }

    /// Returns `true` if there is a place at all.
    pub(in crate::cli) fn require(&self, context: &Context, interactive: bool) -> Result<(), Failure> {
        if interactive || context.ui.json || self.recovery_file.is_some() || self.no_recovery {
            return Ok(());
        }
        Err(Failure::usage(
            "The recovery code opens the vault, so it is not printed where it may be logged.",
            Some(if self.needed {
                "Say where it goes: `--recovery-file FILE` or `--json`."
            } else {
                "Say where it goes: `--recovery-file FILE` or `--json`. `--no-recovery` creates none."
            }),
        ))
    }
}

impl NewRecovery {
    /// Withdraws the code of a change that did not happen; a code that opens nothing would only mislead. One that may
    /// have come into force stays.
    pub(in crate::cli) fn withdraw(&self, why: &Failure) {
        if let Some(file) = self.file.as_ref().filter(|_| !why.is_undecided()) {
            let _ = std::fs::remove_file(file);
        }
    }

    /// Says where the code is, if it is in a file.
    pub(in crate::cli) fn tell(&self, context: &Context) {
        if let Some(file) = &self.file {
            context.ui.note(&format!("The recovery code is in {}. Move it to a safe place.", file.display()));
        }
    }

    /// Prints an answer that may hold the code. The code is in force by now: if the answer is lost, so is the code.
    pub(in crate::cli) fn print(&self, context: &Context, answer: &serde_json::Value) -> Result<(), Failure> {
        const LOST: &str = "The change was made, but the new recovery code is lost. Create another:\n  keyvault vault slot add recovery --recovery-file FILE";
        context.ui.print_json(answer).map_err(|failure| match &self.json {
            Some(_) => Failure { quiet: false, code: code::FAILED, hint: Some(LOST.to_owned()), ..failure },
            None => failure,
        })
    }

    /// The code as `--json` answers it.
    pub(in crate::cli) fn in_json(&self) -> serde_json::Value {
        self.json.as_ref().map_or(serde_json::Value::Null, |text| {
            serde_json::Value::String(String::from_utf8_lossy(text.expose()).into_owned())
        })
    }
}

/// Where a new passphrase is found that nobody types.
const NEW_PASSPHRASE_FILE: &str = "KEYVAULT_NEW_PASSPHRASE_FILE";
const NEW_PASSPHRASE: &str = "KEYVAULT_NEW_PASSPHRASE";

/// A new passphrase: from a file or a variable, or typed twice with an estimate of its strength.
pub(in crate::cli) fn new_passphrase(context: &Context, file: Option<&Path>) -> Result<Passphrase, Failure> {
    use std::os::unix::ffi::OsStrExt;
    require_new_passphrase(context, file)?;
    let read = |file: &Path| {
        let bytes = context.passphrase_file(file)?;
        to_be_set(context, Passphrase::new(&bytes).map_err(Failure::passphrase)?)
    };
    if let Some(file) = file {
        return read(file);
    }
    if let Some(file) = variable(NEW_PASSPHRASE_FILE) {
        return read(Path::new(&file)).map_err(|failure| failure.named(NEW_PASSPHRASE_FILE));
    }
    match variable(NEW_PASSPHRASE) {
        Some(text) => {
            let given = Passphrase::new(&SecretBytes::copy_from(text.as_bytes()));
            to_be_set(context, given.map_err(Failure::passphrase)?)
        }
        None => ask_passphrase(context),
    }
}

/// A passphrase that is about to be set: one that nobody could type is refused, and blanks around it are pointed out.
pub(in crate::cli) fn to_be_set(context: &Context, passphrase: Passphrase) -> Result<Passphrase, Failure> {
    passphrase.refuse_untypeable().map_err(Failure::passphrase)?;
    if let Some(oddity) = passphrase.oddity() {
        context.ui.warn(&format!("The passphrase {oddity}, which has to be typed as well."));
    }
    Ok(passphrase)
}

/// Refuses, before anything is asked, where nobody can give one.
pub(in crate::cli) fn require_new_passphrase(context: &Context, file: Option<&Path>) -> Result<(), Failure> {
    let given = file.is_some()
        || [NEW_PASSPHRASE_FILE, NEW_PASSPHRASE].into_iter().any(|name| variable(name).is_some());
    if given || context.may_ask() {
        return Ok(());
    }
    Err(Failure::usage(
        &format!("No new passphrase given, and {}.", context.unasked()),
        Some("Use `--new-passphrase-file FILE`."),
    ))
}

pub(in crate::cli) fn ask_passphrase(context: &Context) -> Result<Passphrase, Failure> {
    loop {
        let first = context.typed_passphrase("New passphrase: ")?;
        let Estimate { told, weak } = estimate(&first);
        context.ui.say(&told);
        if weak && !ask::confirm("", "Use this weak passphrase anyway?")? {
            continue;
        }
        let second = context.typed_passphrase("Repeat the passphrase: ")?;
        if first.expose() == second.expose() {
            return to_be_set(context, first);
        }
        context.ui.say("The passphrases don't match. Try again.");
    }
}

struct Estimate {
    told: String,
    /// Guessed within days at the most.
    weak: bool,
}

/// How long guessing would take somebody who has the file and a lot of machines: zxcvbn's guesses at 10,000 a second,
/// which is generous against Argon2id.
fn estimate(passphrase: &Passphrase) -> Estimate {
    let text = std::str::from_utf8(passphrase.expose()).unwrap_or_default();
    let estimate = zxcvbn::zxcvbn(text, &["keyvault"]);
    let time = estimate.crack_times().offline_slow_hashing_1e4_per_second();
    let verdict = match u8::from(estimate.score()) {
        0 | 1 => "Weak",
        2 => "Fair",
        3 => "Good",
        _ => "Strong",
    };
    let advice = estimate
        .feedback()
        .and_then(|feedback| feedback.suggestions().first())
        .map_or_else(String::new, |suggestion| format!("\n{suggestion}"));
    let told = format!("{verdict}: someone with the file would need {time} to guess it.{advice}");
    Estimate { told, weak: verdict == "Weak" }
}

/// Shows the code on the terminal, and asks for its last group, so that it was written down and not clicked away.
fn show_and_ask_back(code: &SecretBytes) -> Result<(), Failure> {
    let shown = |bytes: &[u8]| prompt::write_line(bytes).map_err(|error| Failure::prompt(&error));
    shown(b"\nThe recovery code opens the vault if the passphrase is lost.")?;
    shown(b"Write it down: it is not shown again.\n")?;
    shown(code.expose())?;
    shown(b"")?;
    let group = code.expose().rsplit(|byte| *byte == b'-').next().unwrap_or_default();
    loop {
        let typed = prompt::read_line("Type its last five characters: ", 64)
            .map_err(|error| Failure::prompt(&error))?;
        if typed.expose().trim_ascii().eq_ignore_ascii_case(group) {
            return Ok(());
        }
        shown(b"That doesn't match. Try again.")?;
    }
}
