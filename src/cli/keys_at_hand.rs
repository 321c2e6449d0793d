//! Where `exec` and `export` take keys from: a bundle, the grants of a token, or the vault to whoever opens it.

use std::path::{Path, PathBuf};

use clap::Args;

use super::context::{Context, read_secret, state_folder, variable};
use super::error::Failure;
use super::time;
use crate::secret::SecretBytes;
use crate::state::pin::{Pin, Pins};
use crate::sys::private::open_secret_file;
use crate::unlock::token::{self, Token};
use crate::vault::{
    Access, Bundle, Holding, MAX_BUNDLE, Preview, Problem, Purpose, ReadsLog, Resolved, Selection, Vault,
    VaultError,
};

/// Machines: what opens less than the vault.
#[derive(Debug, Clone, Args)]
pub struct Machine {
    /// Take the keys from this bundle, with the token in $KEYVAULT_TOKEN; no vault is needed
    #[arg(long, value_name = "FILE", help_heading = "Machines")]
    bundle: Option<PathBuf>,
    /// Refuse what the token opens if it is older than this change
    #[arg(long, value_name = "N", help_heading = "Machines")]
    min_seq: Option<u64>,
}

/// Keys that can be had without asking anybody any more.
pub(super) enum KeysAtHand {
    /// Everything, to the vault's owner.
    Vault(Vault, Access),
    /// A token's grants in a vault.
    Granted(Vault, Holding),
    /// A token's grants in a bundle.
    Bundled(Box<Bundle>, Holding, ReadsLog),
}

/// Looks at the values before anything is released.
pub(super) type Inspect<'i> = dyn Fn(&[Resolved]) -> Vec<Problem> + 'i;

impl KeysAtHand {
    /// The path that errors speak of.
    fn path(&self) -> PathBuf {
        match self {
            Self::Vault(vault, _) | Self::Granted(vault, _) => vault.path().to_owned(),
            Self::Bundled(..) => PathBuf::from("the bundle"),
        }
    }

    /// Whether a machine has them, whose grants decide what it gets.
    pub(super) fn are_granted(&self) -> bool {
        !matches!(self, Self::Vault(..))
    }

    /// The values, once the log knows, and the expired keys that were left out.
    pub(super) fn resolve(
        &mut self,
        context: &Context,
        selection: &Selection,
        purpose: Purpose,
        inspect: &Inspect<'_>,
    ) -> Result<(Vec<Resolved>, Vec<crate::name::KeyName>), Failure> {
        let path = self.path();
        context.with_world(|world| {
            match self {
                Self::Vault(vault, access) => vault.resolve(access, world, selection, purpose, inspect),
                Self::Granted(vault, holding) => {
                    vault.resolve_granted(holding, world, selection, purpose, inspect)
                }
                Self::Bundled(bundle, holding, log) => {
                    bundle.resolve(holding, world, selection, purpose, inspect, log)
                }
            }
            .map_err(|error| Failure::of(error, &path))
        })
    }

    /// What would be released; nothing is recorded.
    pub(super) fn preview(
        &mut self,
        context: &Context,
        selection: &Selection,
        inspect: &Inspect<'_>,
    ) -> Result<Preview, Failure> {
        let path = self.path();
        context.with_world(|world| {
            match self {
                Self::Vault(vault, access) => vault.preview(access, world, selection, inspect),
                Self::Granted(vault, holding) => vault.preview_granted(holding, world, selection, inspect),
                Self::Bundled(bundle, ..) => bundle.preview(world.now(), selection, inspect),
            }
            .map_err(|error| Failure::of(error, &path))
        })
    }

    /// Lets go of the file without closing it, right before the process becomes another program.
    pub(super) fn leave_open(self) {
        match self {
            Self::Vault(vault, _) | Self::Granted(vault, _) => vault.leave_open(),
            Self::Bundled(..) => {}
        }
    }
}

impl Context {
    /// The token of `KEYVAULT_TOKEN` or `KEYVAULT_TOKEN_FILE`, if either is set.
    pub fn given_token(&self) -> Result<Option<Token>, Failure> {
        let text = if let Some(text) = variable("KEYVAULT_TOKEN") {
            SecretBytes::copy_from(text.as_encoded_bytes())
        } else if let Some(path) = variable("KEYVAULT_TOKEN_FILE") {
            let read = self.private_file(Path::new(&path), token::MAX_LEN);
            read.map_err(|failure| failure.named("KEYVAULT_TOKEN_FILE"))?
        } else {
            return Ok(None);
        };
        let token = Token::parse(text.expose());
        token.map(Some).map_err(|error| Failure::of(VaultError::Unlock(error), Path::new("the token")))
    }

    /// Whether a token or a bundle is given, read or not.
    #[must_use]
    pub fn is_machine(machine: &Machine) -> bool {
        let names = ["KEYVAULT_TOKEN", "KEYVAULT_TOKEN_FILE", "KEYVAULT_BUNDLE"];
        machine.bundle.is_some() || names.into_iter().any(|name| variable(name).is_some())
    }

    /// Keys by token and bundle, by token, or by what opens the vault.
    pub(super) fn keys_at_hand(&self, machine: &Machine) -> Result<KeysAtHand, Failure> {
        let bundle = machine.bundle.clone().or_else(|| variable("KEYVAULT_BUNDLE").map(PathBuf::from));
        let token = self.given_token()?;
        match (token, bundle) {
            (Some(token), Some(file)) => {
                self.open_bundle(&file, &Holding::of(&token, machine.min_seq), &token)
            }
            (Some(token), None) => {
                Ok(KeysAtHand::Granted(self.open()?, Holding::of(&token, machine.min_seq)))
            }
            (None, Some(_)) => Err(Failure::locked_bundle()),
            (None, None) if machine.min_seq.is_some() => Err(Failure::usage(
                "--min-seq is for a token or a bundle, and there is neither.",
                Some("KEYVAULT_TOKEN holds a token, KEYVAULT_TOKEN_FILE names a file with one."),
            )),
            (None, None) => self.open_with_access().map(|(vault, access)| KeysAtHand::Vault(vault, access)),
        }
    }

    fn open_bundle(&self, file: &Path, holding: &Holding, token: &Token) -> Result<KeysAtHand, Failure> {
        let (mut content, _) = open_secret_file(file).map_err(|error| Failure::io(file, &error))?;
        let content = read_secret(&mut content, MAX_BUNDLE, file)?;
        let bundle = Bundle::open(content.expose(), holding, self.now())
            .map_err(|error| Failure::of(VaultError::Token(error), file))?;
        let state = state_folder()?;
        self.tell_if_stale(&bundle, &state, file);
        let log = match variable("KEYVAULT_READS") {
            Some(path) => ReadsLog::at(PathBuf::from(path)),
            None => ReadsLog::in_folder(&state, &bundle.label),
        };
        Ok(KeysAtHand::Bundled(Box::new(bundle), Holding::of(token, None), log))
    }

    /// A bundle of an older commit is an everyday thing, so it is named and not refused.
    fn tell_if_stale(&self, bundle: &Bundle, state: &Path, file: &Path) {
        let pins = Pins::in_folder(state.join("pins"));
        let (token, place) = (&bundle.label.token, Path::new("bundle"));
        let seen = pins.read_token(token, place);
        match seen {
            Some(pin) if pin.change > bundle.label.change => self.ui.warn(&format!(
                "{} stands at change {} of {}; one of change {} was used here before. --min-seq refuses older ones.",
                file.display(),
                bundle.label.change,
                time::local(bundle.content.made),
                pin.change
            )),
            Some(pin) if pin.change == bundle.label.change => {}
            _ => {
                let pin = Pin { change: bundle.label.change, mac: [0; 32], path: file.display().to_string() };
                // Nothing but the word about an older one is lost.
                let _ = pins.advance_token(token, place, &pin);
            }
        }
    }
}
