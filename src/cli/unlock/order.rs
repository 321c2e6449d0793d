//! The order in which credentials are tried, for a command that opens the vault and for `status`, which says why one did or did not.

use std::path::Path;

use keyvault_vault::unlock::session::{self, Current};
use keyvault_vault::{Access, Vault, file};

use super::key_source::{token_given_by, token_is_piped};
use super::{PASSPHRASE, PASSPHRASE_FILE};
use crate::cli::context::{Context, token_variable, variable};
use crate::cli::errors::{self, Failure};
use crate::cli::output;
use crate::cli::output::time;

/// A credential that opens the vault for everyday access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Step {
    /// `KEYVAULT_TOKEN`. It opens its grants and not the vault: `supply` takes it before it comes here, for the commands
    /// that hand keys out.
    Token,
    /// The kernel's. A limited one opens its keys and not the vault: `supply` takes it.
    Session,
    /// The OS keyring, if the vault has a slot for one.
    Keyring,
    /// `KEYVAULT_KEY_FILE`.
    KeyFile,
    /// `KEYVAULT_PASSPHRASE_FILE`.
    PassphraseFile,
    /// `KEYVAULT_PASSPHRASE`.
    PassphraseVariable,
    /// A question on the terminal.
    Prompt,
}

/// The order. What is nearer to the top costs less and asks nobody.
pub(in crate::cli) const ORDER: [Step; 7] = [
    Step::Token,
    Step::Session,
    Step::Keyring,
    Step::KeyFile,
    Step::PassphraseFile,
    Step::PassphraseVariable,
    Step::Prompt,
];

/// True if a credential would serve the next command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Outlook {
    pub(in crate::cli) step: Step,
    /// True if it opens the vault; `None` where only trying would tell, at the cost of a derivation or a question.
    pub(in crate::cli) opens: Option<bool>,
    pub(in crate::cli) why: String,
}

impl Step {
    /// The word for people and JSON.
    #[must_use]
    pub(in crate::cli) fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Session => "session",
            Self::Keyring => "keyring",
            Self::KeyFile => "key file",
            Self::PassphraseFile => "passphrase file",
            Self::PassphraseVariable => "passphrase variable",
            Self::Prompt => "prompt",
        }
    }
}

impl Context {
    /// Access by the first credential that is there at all. One that is there and fails is an error, except for the
    /// keyring, whose silence is said.
    pub(in crate::cli) fn access(&self, vault: &mut Vault, steps: &[Step]) -> Result<Access, Failure> {
        self.refuse_token()?;
        let (mut looked, mut limited) = (false, false);
        for step in steps {
            if !matches!(step, Step::Token | Step::Session) {
                // A person, a keyring or Argon2id.
                vault.let_others_in();
                // A right credential would be called wrong.
                if !std::mem::replace(&mut looked, true) {
                    file::refuse_altered_head(vault).map_err(|error| Failure::of(error, vault.path()))?;
                }
            }
            let access = match step {
                Step::Token => None,
                Step::Session => match session::current(&vault.identity(), self.now()) {
                    Some(Current::Full(session)) => Some(session.into()),
                    // A credential that was given counts. What would open a full session on its own does not: the user
                    // wanted a limited one.
                    Some(Current::Limited(_)) if self.is_given_root() => {
                        limited = true;
                        None
                    }
                    Some(Current::Limited(_)) => return Err(Failure::limited()),
                    None => None,
                },
                Step::Keyring if limited => None,
                Step::Keyring => self.keyring_access(vault)?,
                Step::KeyFile => self.key_file_access(vault)?,
                Step::PassphraseFile => {
                    let given = self.passphrase_of_file()?;
                    let access = given.map(|passphrase| self.open_passphrase(vault, &passphrase)).transpose();
                    access.map_err(|failure| failure.given_by(PASSPHRASE_FILE))?
                }
                Step::PassphraseVariable => {
                    let given = self.passphrase_of_variable()?;
                    let access = given.map(|passphrase| self.open_passphrase(vault, &passphrase)).transpose();
                    access.map_err(|failure| failure.given_by(PASSPHRASE))?
                }
                Step::Prompt => Some(self.typed_access(vault)?),
            };
            if let Some(access) = access {
                return Ok(access);
            }
        }
        Err(Failure::locked())
    }

    /// Refuses what a token cannot do while one is given: a session, the keyring, and a prompt would answer as the vault's
    /// owner. A credential that was given beside the token opens the vault.
    pub(in crate::cli) fn refuse_token(&self) -> Result<(), Failure> {
        if self.is_given_root() {
            return Ok(());
        }
        match token_given_by() {
            Some(variable) => Err(errors::token::needs_owner(variable, "this command")),
            None if token_variable().is_some() => Err(errors::token::empty_token()),
            None => Ok(()),
        }
    }

    /// [`Context::access`] without a question on the terminal.
    pub(in crate::cli) fn access_without_question(&self, vault: &mut Vault) -> Result<Access, Failure> {
        let steps: Vec<_> = ORDER.into_iter().filter(|step| *step != Step::Prompt).collect();
        self.access(vault, &steps)
    }

    /// Returns `true` if the one credential would serve that needs no vault.
    pub(in crate::cli) fn outlook_without_vault(&self) -> Outlook {
        let (opens, why) = self.judged_token();
        Outlook { step: Step::Token, opens, why: output::harmless_line(&why) }
    }

    /// Credentials in their order, and if each would serve. No one is asked, and nothing is derived that costs. `keyring` is
    /// what [`Context::keyring_alone`] gave.
    pub(in crate::cli) fn outlook(
        &self,
        vault: &mut Vault,
        keyring: &Result<Option<Access>, String>,
    ) -> Vec<Outlook> {
        ORDER
            .map(|step| {
                let (opens, why) = self.judged(vault, step, keyring);
                Outlook { step, opens, why: output::harmless_line(&why) }
            })
            .to_vec()
    }

    fn judged_token(&self) -> (Option<bool>, String) {
        if token_is_piped() {
            return (None, "KEYVAULT_TOKEN_FILE is not a regular file; not read".to_owned());
        }
        match self.given_token() {
            Ok(None) => (Some(false), "KEYVAULT_TOKEN is not set".to_owned()),
            Ok(Some(_)) if variable("KEYVAULT_BUNDLE").is_some() => {
                let why = "opens the bundle in KEYVAULT_BUNDLE, for `exec`, `export`, `list`, and `show`; not tried";
                (None, why.to_owned())
            }
            Ok(Some(_)) => {
                (None, "opens its grants, for `exec`, `export`, `list`, and `show`; not tried".to_owned())
            }
            Err(failure) => (Some(false), failure.message),
        }
    }

    /// Access by a credential that opens the vault without a question and without a derivation that costs, where no
    /// session is open. `keyring` is what that gave.
    pub(in crate::cli) fn opens_alone(
        &self,
        vault: &mut Vault,
        keyring: Option<Access>,
    ) -> Option<(Step, Access)> {
        if let Some(access) = keyring {
            return Some((Step::Keyring, access));
        }
        let file = self.given_key_file().ok().flatten()?;
        vault.open_key_file(&file).ok().map(|access| (Step::KeyFile, access))
    }

    fn judged(
        &self,
        vault: &mut Vault,
        step: Step,
        keyring: &Result<Option<Access>, String>,
    ) -> (Option<bool>, String) {
        match step {
            Step::Token => self.judged_token(),
            Step::Session => match session::current(&vault.identity(), self.now()) {
                None => (Some(false), "no session is open".to_owned()),
                Some(Current::Full(session)) => {
                    (Some(true), format!("open until {}", time::local(session.until)))
                }
                Some(Current::Limited(session)) => {
                    let until = time::local(session.until);
                    let uses = "for `exec`, `export`, `list`, and `show`";
                    (Some(false), format!("limited to some keys, {uses}, until {until}"))
                }
            },
            Step::Keyring => match keyring {
                Ok(Some(access)) => (Some(true), opens_slot(access)),
                Ok(None) => (Some(false), "the vault has no keyring slot".to_owned()),
                Err(why) => (Some(false), why.clone()),
            },
            Step::KeyFile => match self.given_key_file() {
                Ok(None) => (Some(false), "KEYVAULT_KEY_FILE is not set".to_owned()),
                Ok(Some(file)) => match vault.open_key_file(&file) {
                    Ok(access) => (Some(true), opens_slot(&access)),
                    Err(error) => (Some(false), Failure::of(error, vault.path()).message),
                },
                Err(failure) => (Some(false), failure.message),
            },
            Step::PassphraseFile => match variable("KEYVAULT_PASSPHRASE_FILE") {
                None => (Some(false), "KEYVAULT_PASSPHRASE_FILE is not set".to_owned()),
                Some(path) if path != "-" && std::fs::metadata(Path::new(&path)).is_err() => {
                    (Some(false), format!("{} does not exist", Path::new(&path).display()))
                }
                Some(path) => (None, format!("{}; not tried", Path::new(&path).display())),
            },
            Step::PassphraseVariable => match variable("KEYVAULT_PASSPHRASE") {
                None => (Some(false), "KEYVAULT_PASSPHRASE is not set".to_owned()),
                Some(_) => (None, "KEYVAULT_PASSPHRASE is set; not tried".to_owned()),
            },
            Step::Prompt if self.global.non_interactive => (Some(false), "--non-interactive".to_owned()),
            Step::Prompt if !self.may_ask() => (Some(false), "no terminal".to_owned()),
            Step::Prompt => (None, "prompts on this terminal".to_owned()),
        }
    }
}

pub(in crate::cli) fn opens_slot(access: &Access) -> String {
    access.slot_id().map_or_else(|| "opens it".to_owned(), |slot| format!("opens slot {slot}"))
}
