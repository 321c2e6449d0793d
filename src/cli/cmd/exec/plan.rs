//! One command and what it is to get, from its first start to its last.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use super::say_skipped;
use super::{expiry, files};
use crate::cli::context::Context;
use crate::cli::errors::Failure;
use keyvault_core::name::EnvName;
use keyvault_core::secret::SecretBytes;
use keyvault_exec::delivery::{Besides, Deliveries, Places};
use keyvault_exec::environment;
use keyvault_exec::fit::{Surroundings, fit};
use keyvault_exec::release::{self, Preview, Released, Selection};
use keyvault_exec::{Command, ExecError};
use keyvault_os::process::exec::EnvBlock;
use keyvault_vault::audit::Action;
use keyvault_vault::{Purpose, Supply};

/// The arguments of `exec`, checked as far as they can be without the vault.
pub(super) struct Plan {
    /// The program as it was typed.
    pub(super) program: String,
    pub(super) selection: Selection,
    /// Variables with values of an env-file's own.
    pub(super) literals: Vec<(EnvName, SecretBytes)>,
    /// Plain settings of the project file.
    pub(super) settings: Vec<(EnvName, String)>,
    /// The caller's variables that the command inherits.
    pub(super) inherited: Vec<(OsString, OsString)>,
    /// Where values go that are not variables.
    pub(super) places: Places,
    /// Bytes of arguments and variables that are no key's, pointers included.
    pub(super) weight: usize,
    /// Refuse empty values.
    pub(super) no_empty: bool,
}

impl Plan {
    /// Stages the release and records nothing.
    pub(super) fn preview(&self, context: &Context, supply: &mut Supply) -> Result<Preview, Failure> {
        context.with_keys(supply, |supply, world| {
            let staged = release::stage(supply.look(world)?, &self.selection)?;
            Ok(fit(staged, self.surroundings())?.preview())
        })
    }

    /// Has the values released; `occasion` is what the log says besides.
    pub(super) fn release(
        &self,
        context: &Context,
        supply: &mut Supply,
        selection: &Selection,
        occasion: &str,
    ) -> Result<Released, Failure> {
        let purpose = Purpose {
            action: Action::Exec,
            detail: format!("{}{occasion}", detail_of(&self.program, self.places.wanted())),
        };
        let released = context.with_keys(supply, |supply, world| {
            let staged = release::stage(supply.begin(world)?, selection)?;
            Ok(fit(staged, self.surroundings())?.commit(purpose)?)
        })?;
        say_skipped(context, released.skipped());
        files::say_left_out(context, released.left_out());
        expiry::warn_daily(context, supply, released.values());
        Ok(released)
    }

    fn surroundings(&self) -> Surroundings<'_> {
        Surroundings {
            places: &self.places,
            literals: &self.literals,
            weight: self.weight,
            no_empty: self.no_empty,
        }
    }

    /// Puts values in their places, and the others into an environment.
    pub(super) fn fill(&self, command: &mut Command, released: &Released) -> Result<EnvBlock, Failure> {
        let besides = self.besides(released);
        self.places.fill(command, released, &besides).map_err(|error| self.failed(&error.into()))?;
        let paths = self.places.variables();
        let mut given: Vec<(&[u8], &[u8])> =
            paths.iter().map(|(name, path)| (name.as_bytes(), path.as_bytes())).collect();
        let variables = released.values().iter().filter(|key| self.places.is_variable(key));
        given.extend(
            variables
                .filter_map(|key| Some((key.variable.as_ref()?.as_str().as_bytes(), key.value.expose()))),
        );
        if self.places.wanted().env_file.is_none() {
            given
                .extend(besides.iter().filter_map(|(name, text)| Some((name.as_str().as_bytes(), (*text)?))));
        }
        environment::build(&self.inherited, &given).map_err(|error| self.failed(&error.into()))
    }

    /// Variables that are no key's: an env-file's own, and settings and defaults of those that nobody sets.
    pub(super) fn besides<'o>(&'o self, released: &'o Released) -> Vec<Besides<'o>> {
        let own = self.literals.iter().map(|(name, value)| (name, Some(value.expose())));
        let is_own = |name: &EnvName| self.literals.iter().any(|(known, _)| known == name);
        let is_set = |name: &EnvName| self.inherited.iter().any(|(known, _)| known == name.as_str());
        let is_key = |name: &EnvName| released.values().iter().any(|key| key.variable.as_ref() == Some(name));
        let settings = self.settings.iter().map(|(name, text)| (name, text.as_str()));
        let texts = settings.filter(move |(name, _)| !is_key(name)).chain(released.defaults());
        own.chain(
            texts
                .filter(move |(name, _)| !is_own(name))
                .map(|(name, text)| (name, (!is_set(name)).then_some(text.as_bytes()))),
        )
        .collect()
    }

    /// Returns `true` if a value is the text of a setting or default that stands, approved, in the project file.
    pub(super) fn is_default(&self, value: &[u8]) -> bool {
        let rules = self.selection.composed.iter().map(|composed| &composed.when_missing);
        let mut defaults = rules.filter(|rule| !rule.unapproved).filter_map(|rule| rule.default.as_ref());
        defaults.any(|text| text.as_bytes() == value)
            || self.settings.iter().any(|(_, text)| text.as_bytes() == value)
    }

    /// A failure of the command's own kind.
    pub(super) fn failed(&self, error: &ExecError) -> Failure {
        Failure::exec(error, &self.program)
    }

    /// The last part of the program's path.
    pub(super) fn name(&self) -> &str {
        program_name(&self.program)
    }
}

fn program_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// The log's detail: the program, and the places of values that are not variables.
fn detail_of(program: &str, wanted: &Deliveries) -> String {
    let program = program_name(program);
    if wanted.is_empty() { program.to_owned() } else { format!("{program}: {}", wanted.described()) }
}
