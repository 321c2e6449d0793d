//! `keyvault disable`

use clap::Args;
use keyvault_vault::key;

use super::issued;
use super::revoke::reason;
use crate::cli::args::named;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};
use crate::cli::output::view::KeyJson;
use keyvault_core::name::KeyName;
use keyvault_vault::issued::Switch;

/// Disable keys: refuse them everywhere until `keyvault enable`.
///
/// Every version stays. Tokens lose the key's values and get them back with `keyvault enable`; anyone who read a value before still knows it. `keyvault revoke` refuses a value permanently.
#[derive(Debug, Args)]
pub(crate) struct Disable {
    /// The keys' names
    #[arg(required = true, add = complete::more_keys(), value_parser = named::<KeyName>, value_name = "NAME")]
    names: Vec<KeyName>,
    /// The reason, for the audit log and `keyvault show`
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, value_parser = reason)]
    reason: String,
}

impl Disable {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let (mut vault, mut access) = context.open_despite_damage()?;
        if issued::are_issued(&mut vault, &access, &self.names)? {
            let disable = Switch::Disable(&self.reason);
            return issued::switch(context, (&mut vault, &access), &self.names, disable);
        }
        let switched = context.change_despite_damage(&mut vault, &mut access, |vault, access, world| {
            key::disable(vault, access, world, &self.names, &self.reason)
        })?;
        if context.ui.json {
            let now = context.now();
            context.ui.print_json(&KeyJson::all(switched.iter().map(|one| &one.key), now))?;
            return Ok(code::DONE);
        }
        for one in &switched {
            let name = &one.key.name;
            context.ui.confirm(&if one.changed {
                format!("{name} is disabled; `keyvault enable {name}` enables it")
            } else {
                format!("{name} was already disabled")
            })?;
        }
        Ok(code::DONE)
    }
}
