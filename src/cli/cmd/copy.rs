//! `keyvault copy`

use clap::Args;
use keyvault_vault::key;

use super::generate;
use crate::cli::args::named;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};
use crate::cli::output::view::{self, KeyJson};
use crate::cli::resembling;
use keyvault_core::name::{EnvName, KeyName};

/// Copy a key under another name.
///
/// The copy has the same value as its version 1, and the same scopes, tags, note, expiry, and recipe. Its variable follows
/// from its name. From then on the two keys have nothing in common: rotating or revoking one leaves the other as it is. The audit log records a read of NAME and the creation of NEW. The value of a disabled, expired, or revoked key is not copied.
#[derive(Debug, Args)]
pub(crate) struct Copy {
    /// The key's name
    #[arg(add = complete::keys(), value_parser = named::<KeyName>)]
    name: KeyName,
    /// The copy's name
    #[arg(value_parser = named::<KeyName>)]
    new: KeyName,
    /// The variable that holds the copy, instead of its name in upper case
    #[arg(long, value_name = "VAR", value_parser = named::<EnvName>)]
    env: Option<EnvName>,
    /// Do not ask if NEW looks like a value
    #[arg(long)]
    yes: bool,
}

impl Copy {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        resembling::confirm(context, &self.new, self.yes)?;
        let (mut vault, access) = context.open_with_access()?;
        let path = vault.path().to_owned();
        let Self { name, new, env, .. } = &self;
        let key = context.with_world(|world| {
            key::copy(&mut vault, &access, world, name, new, env.as_ref())
                .map_err(|error| Failure::of(error, &path))
        })?;
        generate::hint_unreadable(context, &key);
        let now = context.now();
        if context.ui.json {
            context.ui.print_json(&KeyJson::all([&key], now))?;
        } else {
            context.ui.confirm(&format!("{new} is a copy of {name}; {}", view::in_a_line(&key, now)))?;
        }
        Ok(code::DONE)
    }
}
