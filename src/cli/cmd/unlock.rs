//! `keyvault unlock`

use clap::Args;

use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};
use crate::cli::output::time::{self, Duration};
use keyvault_vault::audit::Outcome;
use keyvault_vault::unlock::session;
use keyvault_vault::{Access, Vault, VaultError};

/// The longest session, in milliseconds.
const LONGEST: i64 = 12 * 3_600_000;

/// Open a session, so that commands need no passphrase.
///
/// The kernel keeps the vault's everyday keys for all processes of this user until the time is up or `keyvault lock`. The OS
/// keyring opens the vault if there is a slot for it; otherwise KEYVAULT_KEY_FILE, KEYVAULT_PASSPHRASE_FILE,
/// KEYVAULT_PASSPHRASE or a prompt.
#[derive(Debug, Args)]
pub(crate) struct Unlock {
    /// How long, up to 12h
    #[arg(long = "for", value_name = "DURATION", default_value = "1h", allow_hyphen_values = true, value_parser = session_length)]
    duration: Duration,
}

fn session_length(text: &str) -> Result<Duration, String> {
    const WITHIN: &str = "is not between 1s and 12h";
    // A duration that is none at all is told what one is.
    let duration = time::duration(text)
        .map_err(|why| if why.starts_with("is not ") { why } else { WITHIN.to_owned() })?;
    if (1000..=LONGEST).contains(&duration.millis) { Ok(duration) } else { Err(WITHIN.to_owned()) }
}

impl Unlock {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let (mut vault, access) = context.open_for_session()?;
        let path = vault.path().to_owned();
        let seconds = u32::try_from(self.duration.millis / 1000).unwrap_or(u32::MAX);
        // Recorded first: a session that the log does not know must not exist.
        record(context, &mut vault, &access, Outcome::Done, &format!("session of {}", span(seconds)))?;
        let opened = session::open(&access.daily, &vault.identity(), context.now(), seconds);
        let until = opened.map_err(|error| {
            context.record_refused(&mut vault, &access, "the system kept no session");
            Failure::session(&error)
        })?;
        if context.ui.json {
            context.ui.print_json(
                &serde_json::json!({ "vault": path.display().to_string(), "until": time::rfc3339(until) }),
            )?;
        } else {
            context.ui.note(&format!(
                "Unlocked until {} ({}). `keyvault lock` ends the session.",
                time::local(until),
                time::relative(until, context.now())
            ));
        }
        Ok(code::DONE)
    }
}

fn record(
    context: &Context,
    vault: &mut Vault,
    access: &Access,
    outcome: Outcome,
    detail: &str,
) -> Result<(), Failure> {
    let path = vault.path().to_owned();
    context.with_world(|world| {
        vault
            .record_unlock(access, world, outcome, detail)
            .map_err(|error: VaultError| Failure::of(error, &path))
    })
}

fn span(seconds: u32) -> String {
    time::between(keyvault_core::clock::Moment(0), keyvault_core::clock::Moment(i64::from(seconds) * 1000))
}
