//! `keyvault unlock`

use std::path::Path;

use clap::Args;

use super::project::gate::{self, Believed, Found};
use crate::cli::args::named;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::errors::{self, Failure, code};
use crate::cli::output::time::{self, Duration};
use crate::cli::output::view;
use crate::cli::prompt;
use crate::project::Profile;
use keyvault_core::clock::Moment;
use keyvault_core::name::{KeyName, Scope};
use keyvault_os::kernel_keyring;
use keyvault_vault::unlock::session;
use keyvault_vault::{Issued, LONGEST_SESSION, Sought, StoreError, VaultError, token};

/// Open a session, so that commands need no passphrase.
///
/// The kernel keeps the vault's everyday keys for all processes of this user until the time is up or `keyvault lock`. The OS
/// keyring opens the vault if there is a slot for it; otherwise KEYVAULT_KEY_FILE, KEYVAULT_PASSPHRASE_FILE,
/// KEYVAULT_PASSPHRASE or a prompt.
///
/// With --scope or --project, the session is limited: the kernel keeps a token that opens only these keys and expires with
/// the session. `exec`, `export`, `list`, `show`, and `project render` work with it; other commands need a full session. It protects other keys from the programs of this user only while nothing else opens the vault without a
/// question, such as a keyring slot or a key file. Each user has one session per vault, so a limited session ends a full
/// one, and a full session a limited one.
#[derive(Debug, Args)]
pub(crate) struct Unlock {
    /// How long, up to 12h
    #[arg(long = "for", value_name = "DURATION", default_value = "1h", add = complete::one_of(|| ["15m", "1h", "8h"]), allow_hyphen_values = true, value_parser = session_length)]
    duration: Duration,
    /// Only the keys with any of these scopes, separated by commas, now and later; may be repeated
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', add = complete::scopes(), value_parser = named::<Scope>,
        conflicts_with = "project", help_heading = "Limited")]
    scope: Vec<Scope>,
    /// Only the keys that the project file names, once you have approved it
    #[arg(long, help_heading = "Limited")]
    project: bool,
    /// With --project: this profile's entries on top
    #[arg(long, value_name = "PROFILE", add = complete::profiles(), value_parser = named::<Profile>,
        requires = "project", help_heading = "Limited")]
    profile: Option<Profile>,
    /// End an open full session without asking
    #[arg(long, help_heading = "Limited")]
    yes: bool,
}

fn session_length(text: &str) -> Result<Duration, String> {
    const WITHIN: &str = "is not between 1s and 12h";
    // A duration that is none at all is told what one is.
    let duration = time::duration(text)
        .map_err(|why| if why.starts_with("is not ") { why } else { WITHIN.to_owned() })?;
    if (1000..=LONGEST_SESSION).contains(&duration.millis) { Ok(duration) } else { Err(WITHIN.to_owned()) }
}

impl Unlock {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        if self.project || !self.scope.is_empty() {
            return self.open_limited(context);
        }
        let (mut vault, access) = context.open_for_session()?;
        let path = vault.path().to_owned();
        let seconds = self.seconds();
        // Recorded first: a session that the log does not know must not exist.
        context.record_session(&mut vault, &access, &format!("session of {}", span(seconds)))?;
        let opened = session::open(&access.daily, &vault.identity(), context.now(), seconds);
        let until = opened.map_err(|error| {
            context.record_refused(&mut vault, &access, "the system kept no session");
            Failure::session(&error)
        })?;
        tell(context, &path, until, None)
    }

    fn seconds(&self) -> u32 {
        u32::try_from(self.duration.millis / 1000).unwrap_or(u32::MAX)
    }

    fn open_limited(&self, context: &Context) -> Result<u8, Failure> {
        let sought = self.sought(context)?;
        crate::cli::unlock::sweep();
        let mut vault = context.open()?;
        // Before anything is asked or changed.
        kernel_keyring::available().map_err(|error| Failure::session(&error))?;
        if vault.session(context.now()).is_some() {
            self.confirm_end(context)?;
        }
        let access = context.access_to_limit(&mut vault)?;
        let (path, seconds) = (vault.path().to_owned(), self.seconds());
        context.forget_limited(&vault);
        // In the vault first: a session that the log does not know must not exist.
        let length = (i64::from(seconds) * 1000, span(seconds));
        let issued = context.with_world(|world| {
            token::begin_session(&mut vault, &access, world, &sought, (length.0, &length.1))
                .map_err(|error| not_begun(error, &path))
        })?;
        let until = issued.record.expires.unwrap_or(context.now());
        let kept = session::open_limited(&issued.token, &vault.identity(), until, seconds);
        if let Err(error) = kept {
            // It expires by itself where this fails too.
            let _ = context.with_world(|world| {
                token::end_session(&mut vault, &access, world, &issued.record.name)
                    .map_err(|error| Failure::of(error, &path))
            });
            return Err(Failure::session(&error));
        }
        tell(context, &path, until, Some(&issued))
    }

    /// The keys that the session is limited to. A project file is approved before the vault is opened for it.
    fn sought(&self, context: &Context) -> Result<Sought, Failure> {
        if !self.project {
            return Ok(Sought::Scopes(self.scope.clone()));
        }
        let found = Found::required(Believed::Trusted)?;
        let entries = found.entries(self.profile.as_ref())?;
        let approved = gate::approve_as_owner(context, &found, &entries)?;
        let composed = approved.composed(&entries);
        let mut names: Vec<_> = composed.iter().flat_map(|variable| variable.keys().cloned()).collect();
        names.sort();
        names.dedup();
        Ok(Sought::ForProject(names))
    }

    fn confirm_end(&self, context: &Context) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !context.may_ask() {
            return Err(Failure::usage(
                &format!(
                    "A full session is open, which the limited one would end, and {}.",
                    context.unasked()
                ),
                Some("Use `--yes` to end it."),
            ));
        }
        if prompt::confirm("A full session is open.", "End it and open the limited one?")? {
            Ok(())
        } else {
            Err(Failure::refused("Nothing was changed.", None))
        }
    }
}

fn not_begun(error: VaultError, path: &Path) -> Failure {
    match error {
        VaultError::Store(StoreError::ReadOnly) => errors::token::session_of_read_only(path),
        error => Failure::of(error, path),
    }
}

fn tell(context: &Context, path: &Path, until: Moment, limited: Option<&Issued>) -> Result<u8, Failure> {
    let ui = &context.ui;
    let granted: Option<Vec<_>> = limited.map(|issued| issued.granted.iter().map(KeyName::as_str).collect());
    if ui.json {
        ui.print_json(&serde_json::json!({
            "vault": path.display().to_string(),
            "until": time::rfc3339(until),
            "session": limited.map(|issued| issued.record.name.as_str()),
            "keys": granted,
        }))?;
        return Ok(code::DONE);
    }
    let what = granted.map(|keys| format!(" {}", view::counted(keys.len(), "key"))).unwrap_or_default();
    ui.confirm(&format!(
        "Unlocked{what} until {}. `keyvault lock` ends the session.",
        view::when(until, context.now())
    ))?;
    Ok(code::DONE)
}

fn span(seconds: u32) -> String {
    time::between(Moment(0), Moment(i64::from(seconds) * 1000))
}
