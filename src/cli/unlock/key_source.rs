//! Where `exec`, `export`, `list`, and `show` take keys from: a bundle, the grants of a token, or the vault to whoever opens it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;

use super::order::ORDER;
use crate::cli::context::{
    Context, UNREADABLE_TOKEN_PIN, read_secret, state_folder, token_variable, variable,
};
use crate::cli::errors::{self, Failure, vault_file};
use crate::cli::output::time;
use keyvault_core::clock::Moment;
use keyvault_core::secret::SecretBytes;
use keyvault_exec::release::ReleaseError;
use keyvault_os::fs::private::open_secret_file;
use keyvault_vault::state::pin::{Memory, Pin, Pins, VaultPath};
use keyvault_vault::unlock::session::{self, Current};
use keyvault_vault::unlock::token::{self, Token};
use keyvault_vault::{
    Access, BearerKeys, Bundle, MAX_BUNDLE, ReadsLog, Supply, TokenError, Vault, VaultError, World,
};

/// A vault, or the part of it that was granted to a bearer.
pub(in crate::cli) enum Opened {
    Owned(Vault, Access),
    Granted(Supply),
}

/// The variable that gives a token, if one does.
pub(in crate::cli) fn token_given_by() -> Option<&'static str> {
    if token_variable().is_some_and(|token| !token.is_empty()) {
        return Some("KEYVAULT_TOKEN");
    }
    variable("KEYVAULT_TOKEN_FILE").map(|_| "KEYVAULT_TOKEN_FILE")
}

/// Returns `true` if a token is given, or an empty one that was to be given. No session is used beside it.
pub(in crate::cli) fn token_is_given() -> bool {
    token_variable().is_some() || token_given_by().is_some()
}

/// Machines, which open only what was granted to them.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Machine {
    /// Take the keys from this bundle, with the token in $KEYVAULT_TOKEN; needs no vault
    #[arg(long, value_name = "FILE", help_heading = "Machines")]
    bundle: Option<PathBuf>,
    /// Refuse grants older than this change
    #[arg(long, value_name = "N", help_heading = "Machines", hide_short_help = true)]
    min_seq: Option<u64>,
}

impl Machine {
    /// Returns `true` if a token or a bundle is given, read or not.
    pub(in crate::cli) fn given(&self) -> bool {
        let names = ["KEYVAULT_TOKEN_FILE", "KEYVAULT_BUNDLE"];
        // An empty token is one that was to be given: what it asks for is refused, and not answered another way.
        self.bundle.is_some()
            || token_variable().is_some()
            || names.into_iter().any(|name| variable(name).is_some())
    }

    /// The bundle, if one is named.
    fn bundle(&self) -> Option<PathBuf> {
        self.bundle.clone().or_else(|| variable("KEYVAULT_BUNDLE").map(PathBuf::from))
    }

    /// The absolute path of the vault that a command inside of this one is to mean as well. With a bundle there need not
    /// be a vault, so only one that was named is passed on.
    pub(in crate::cli) fn vault_for_child(&self, context: &Context) -> Option<PathBuf> {
        if self.bundle().is_some() && !context.names_vault() {
            return None;
        }
        context.vault_path().ok().and_then(|path| std::path::absolute(path).ok())
    }
}

/// Returns `true` if the token lies in something that is no file: opening that may block, and a pipe gives what it has
/// once.
pub(in crate::cli) fn token_is_piped() -> bool {
    let piped = |path: OsString| std::fs::metadata(path).is_ok_and(|facts| !facts.is_file());
    token_variable().is_none() && variable("KEYVAULT_TOKEN_FILE").is_some_and(piped)
}

impl Context {
    /// The token of `KEYVAULT_TOKEN` or `KEYVAULT_TOKEN_FILE`, if either is set. An empty `KEYVAULT_TOKEN` is an error,
    /// not none: services hand an unset secret over as an empty one, and the job must not get the keys of whoever else
    /// has a session there.
    pub(crate) fn given_token(&self) -> Result<Option<Token>, Failure> {
        let text = if let Some(text) = token_variable() {
            if text.is_empty() {
                return Err(errors::token::empty_token());
            }
            SecretBytes::copy_from(text.as_encoded_bytes())
        } else if let Some(path) = variable("KEYVAULT_TOKEN_FILE") {
            let read = self.private_file(Path::new(&path), token::MAX_LEN);
            read.map_err(|failure| failure.named("KEYVAULT_TOKEN_FILE"))?
        } else {
            return Ok(None);
        };
        if errors::token::is_quoted(text.expose()) {
            return Err(errors::token::quoted_token());
        }
        let token = Token::parse(text.expose());
        token.map(Some).map_err(|error| Failure::of(VaultError::Unlock(error), Path::new("the token")))
    }

    /// Keys by token and bundle, by token, by a session of either kind, or by what opens the vault.
    pub(in crate::cli) fn supply(&self, machine: &Machine) -> Result<Supply, Failure> {
        let bundle = machine.bundle();
        let token = self.given_token()?;
        match (token, bundle) {
            (Some(token), Some(file)) => self.open_bundle(&file, &BearerKeys::of(&token, machine.min_seq)),
            (Some(token), None) => {
                let vault = self.open_to_take().map_err(|failure| match failure.kind {
                    "no_vault" => errors::token::no_vault_for_token(failure),
                    _ => failure,
                })?;
                Ok(Supply::Granted(vault, BearerKeys::of(&token, machine.min_seq)))
            }
            (None, Some(_)) => Err(Failure::locked_bundle()),
            (None, None) if machine.min_seq.is_some() => Err(Failure::usage(
                "`--min-seq` needs a token or a bundle, and there is neither.",
                Some("Set KEYVAULT_TOKEN to a token, or KEYVAULT_TOKEN_FILE to a file with one."),
            )),
            (None, None) => {
                let mut vault = self.open_to_take()?;
                match session::current(&vault.identity(), self.now()) {
                    Some(Current::Full(session)) => Ok(Supply::Vault(vault, session.into())),
                    Some(Current::Limited(session)) => {
                        Ok(Supply::Granted(vault, BearerKeys::of_session(&session)))
                    }
                    None => {
                        let access = self.access(&mut vault, &ORDER)?;
                        Ok(Supply::Vault(vault, access))
                    }
                }
            }
        }
    }

    /// The vault for its owner, or the keys of a bearer: by a token or a bundle, or by a limited session unless
    /// something is given that opens everything.
    pub(in crate::cli) fn open_for(&self, machine: &Machine) -> Result<Opened, Failure> {
        if machine.given() || machine.min_seq.is_some() {
            return Ok(Opened::Granted(self.supply(machine)?));
        }
        let mut vault = self.open()?;
        if !self.is_given_root()
            && let Some(Current::Limited(session)) = session::current(&vault.identity(), self.now())
        {
            return Ok(Opened::Granted(Supply::Granted(
                self.open_to_take()?,
                BearerKeys::of_session(&session),
            )));
        }
        let access = self.access(&mut vault, &ORDER)?;
        Ok(Opened::Owned(vault, access))
    }

    /// The keys of a limited session, if one is open.
    pub(in crate::cli) fn limited_supply(&self) -> Option<(Supply, Moment)> {
        let vault = self.open_to_take().ok()?;
        match session::current(&vault.identity(), self.now()) {
            Some(Current::Limited(session)) => {
                Some((Supply::Granted(vault, BearerKeys::of_session(&session)), session.until))
            }
            _ => None,
        }
    }

    /// Looks at the keys of a supply, or takes them.
    pub(in crate::cli) fn with_keys<T>(
        &self,
        supply: &mut Supply,
        act: impl FnOnce(&mut Supply, &World<'_>) -> Result<T, ReleaseError>,
    ) -> Result<T, Failure> {
        let path = supply.path().unwrap_or(Path::new("the bundle")).to_owned();
        let limited = supply.is_limited();
        self.with_world(|world| {
            act(supply, world).map_err(|error| match error {
                ReleaseError::Vault(VaultError::Token(
                    TokenError::OpensNothing | TokenError::Expired { .. },
                )) if limited => errors::token::session_over(),
                error => Failure::release(error, &path),
            })
        })
    }

    /// A token's bundle, opened; that it is older than one that was used here is said.
    fn open_bundle(&self, file: &Path, bearer: &BearerKeys) -> Result<Supply, Failure> {
        let supply = self.read_bundle(file, bearer)?;
        if let Supply::Bundled(bundle, ..) = &supply {
            self.tell_if_stale(bundle, file);
        }
        Ok(supply)
    }

    /// A token's bundle, opened, as a place to take keys from.
    pub(in crate::cli) fn read_bundle(&self, file: &Path, bearer: &BearerKeys) -> Result<Supply, Failure> {
        let (bundle, log) = self.bundle(file, bearer)?;
        let bearer = bearer.again().ok_or_else(Failure::locked_bundle)?;
        Ok(Supply::Bundled(Box::new(bundle), bearer, log))
    }

    /// A token's bundle, opened, and where reads of it are recorded.
    pub(in crate::cli) fn bundle(
        &self,
        file: &Path,
        bearer: &BearerKeys,
    ) -> Result<(Bundle, ReadsLog), Failure> {
        let (mut content, _) = open_secret_file(file).map_err(|error| Failure::io(file, &error))?;
        let content = read_secret(&mut content, MAX_BUNDLE, file)?;
        let bundle = Bundle::open(content.expose(), file, bearer, self.now())
            .map_err(|error| Failure::of(VaultError::Token(error), file))?;
        let log = match (variable("KEYVAULT_READS"), state_folder()) {
            (Some(path), _) => {
                // A container's or a service's user often has no home, and with this log needs none.
                self.go_without_home();
                ReadsLog::at(PathBuf::from(path))
            }
            (None, Ok(state)) => ReadsLog::in_folder(&state, &bundle.label),
            (None, Err(why)) if why.kind == vault_file::FOREIGN_HOME => return Err(why),
            (None, Err(_)) => return Err(errors::token::nowhere_to_write()),
        };
        Ok((bundle, log))
    }

    /// A bundle of an older commit is an everyday thing, so it is named and not refused.
    pub(in crate::cli) fn tell_if_stale(&self, bundle: &Bundle, file: &Path) {
        // Without a home nothing is known of what was used before.
        let state = match state_folder() {
            Ok(state) => state,
            Err(why) if why.kind == vault_file::FOREIGN_HOME => {
                return self.ui.warn(&format!("{} An older bundle would not be noticed.", why.message));
            }
            Err(_) => return,
        };
        let pins = Pins::in_folder(state.join("pins"));
        let place = &VaultPath { given: "bundle".into(), resolved: "bundle".into() };
        let token = &bundle.label.token;
        let seen = pins.read_token(token, place);
        // A user without a home names a place for reads, and has none for what was seen.
        if seen == Memory::Unreadable && variable("KEYVAULT_READS").is_none() {
            self.ui.warn(UNREADABLE_TOKEN_PIN);
        }
        match seen.pin() {
            Some(pin) if pin.change > bundle.label.change => self.ui.warn(&format!(
                "{} is at change {} of {}; a bundle at change {} was used here before. `--min-seq` refuses older ones.",
                file.display(),
                bundle.label.change,
                time::local(bundle.content.made),
                pin.change
            )),
            Some(pin) if pin.change == bundle.label.change => {}
            _ => {
                let pin = Pin::of_token(bundle.label.change, [0; 32], file);
                // Nothing but the word about an older one is lost.
                let _ = pins.advance_token(token, place, &pin);
            }
        }
    }
}
