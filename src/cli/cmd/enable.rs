//! `keyvault enable`

use clap::Args;
use keyvault_vault::key;

use super::issued;
use crate::cli::args::named;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};
use crate::cli::output::view::KeyJson;
use keyvault_core::name::KeyName;
use keyvault_vault::Status;
use keyvault_vault::issued::Switch;

/// Enable keys that were disabled.
///
/// A key that has expired or was revoked meanwhile stays refused.
#[derive(Debug, Args)]
pub(crate) struct Enable {
    /// The keys' names
    #[arg(required = true, add = complete::more_keys(), value_parser = named::<KeyName>, value_name = "NAME")]
    names: Vec<KeyName>,
}

impl Enable {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let (mut vault, access) = context.open_with_access()?;
        if issued::are_issued(&mut vault, &access, &self.names)? {
            return issued::switch(context, (&mut vault, &access), &self.names, Switch::Enable);
        }
        let path = vault.path().to_owned();
        let now = context.now();
        let switched = context.with_world(|world| {
            key::enable(&mut vault, &access, world, &self.names).map_err(|error| Failure::of(error, &path))
        })?;
        if context.ui.json {
            context.ui.print_json(&KeyJson::all(switched.iter().map(|one| &one.key), now))?;
            return Ok(code::DONE);
        }
        for one in &switched {
            let name = &one.key.name;
            let word = if one.changed { "is enabled" } else { "was not disabled" };
            let refused = match one.key.status(now) {
                Status::Expired => {
                    format!("; it has expired: `keyvault edit {name} --expires 30d` extends it")
                }
                Status::Revoked => format!("; it is revoked: `keyvault rotate {name}` gives it a new value"),
                Status::Active | Status::Disabled => String::new(),
            };
            context.ui.confirm(&format!("{name} {word}{refused}"))?;
        }
        Ok(code::DONE)
    }
}
