//! `keyvault rollback`

use clap::Args;
use keyvault_vault::VersionState;
use keyvault_vault::key;

use crate::cli::args::named;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};
use crate::cli::output::view::{self, KeyJson};
use keyvault_core::name::KeyName;

/// Make an older version of a key current again.
///
/// Without --to, returns to the version that was replaced last. The current
/// version is retired. A revoked version cannot come back.
#[derive(Debug, Args)]
pub(crate) struct Rollback {
    /// The key's name
    #[arg(add = complete::keys(), value_parser = named::<KeyName>)]
    name: KeyName,
    /// The version's number, as `keyvault history` shows it
    #[arg(long, value_name = "N", add = complete::versions(&[VersionState::Previous, VersionState::Retired]))]
    to: Option<u32>,
}

impl Rollback {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let (mut vault, access) = context.open_with_access()?;
        let path = vault.path().to_owned();
        let key = context.with_world(|world| {
            key::rollback(&mut vault, &access, world, &self.name, self.to)
                .map_err(|error| Failure::of(error, &path))
        })?;
        let changed = key.is_some();
        let key = match key {
            Some(key) => key,
            None => key::show(&mut vault, &access, &self.name).map_err(|error| Failure::of(error, &path))?,
        };
        if context.ui.json {
            context.ui.print_json(&KeyJson::all([&key], context.now()))?;
        } else {
            let number = key.current().map_or(0, |version| version.number);
            let text = if changed { "is back at" } else { "was already at" };
            let expires =
                key.expires.map(|at| format!("; the key expires {}", view::when(at, context.now())));
            context.ui.confirm(&format!(
                "{} {text} version {number}{}",
                self.name,
                expires.unwrap_or_default()
            ))?;
        }
        Ok(code::DONE)
    }
}
