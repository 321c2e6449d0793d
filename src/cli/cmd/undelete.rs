//! `keyvault undelete`

use clap::Args;
use keyvault_vault::{Status, VaultError, issued, key};

use crate::cli::args::named;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};
use crate::cli::output::time;
use crate::cli::output::view::{self, KeyJson};
use crate::cli::resembling;
use keyvault_core::name::KeyName;

/// Bring back a removed key.
///
/// A removed key is kept for 30 days; `keyvault list --removed` shows for how long. It comes back under its id, with its
/// versions and scopes. Revoked versions stay revoked, and a disabled key stays disabled. Tokens get it through its scopes only.
/// If several removed keys have the name, the one that was removed last comes back. Once the 30 days
/// are over, a key is refused even while its values are still in the file.
#[derive(Debug, Args)]
pub(crate) struct Undelete {
    /// The name that the key had
    #[arg(add = complete::removed_keys(), value_parser = named::<KeyName>)]
    name: KeyName,
    /// Give it this name, if another key has the old one by now
    #[arg(long = "as", value_name = "NEW", value_parser = named::<KeyName>)]
    rename: Option<KeyName>,
    /// Do not ask if NEW looks like a value
    #[arg(long)]
    yes: bool,
}

impl Undelete {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        if let Some(rename) = &self.rename {
            resembling::confirm(context, rename, self.yes)?;
        }
        let (mut vault, access) = context.open_with_access()?;
        let path = vault.path().to_owned();
        let Self { name, rename, .. } = &self;
        let back = context
            .with_world(|world| Ok(key::undelete(&mut vault, &access, world, name, rename.as_ref())))?;
        let back = match back {
            Ok(back) => back,
            Err(error @ VaultError::NotRemoved { .. }) => {
                let removed = issued::removed(&mut vault, &access, context.now()).unwrap_or_default();
                if removed.iter().all(|removed| removed.key.name.as_ref() != Some(name)) {
                    return Err(Failure::of(error, &path));
                }
                return super::issued::undelete(context, (&mut vault, &access), name, rename.as_ref());
            }
            Err(error) => return Err(Failure::of(error, &path)),
        };
        let now = context.now();
        if context.ui.json {
            context.ui.print_json(&KeyJson::all([&back.key], now))?;
        } else {
            let versions = view::counted(back.key.versions.len(), "version");
            let state = match back.key.status(now) {
                Status::Active => String::new(),
                status => format!(" and is {}", status.name()),
            };
            let removed = time::relative(back.removed, now);
            context.ui.confirm(&format!(
                "{} is back with {versions}; it was removed {removed}{state}",
                back.key.name
            ))?;
        }
        match back.others {
            0 => {}
            1 => context.ui.note(&format!(
                "This is the key that was removed last. Another removed key was named `{name}`:\n\
                 keyvault undelete {name} --as NEW"
            )),
            others => context.ui.note(&format!(
                "This is the key that was removed last. {others} other removed keys were named `{name}`:\n\
                 keyvault undelete {name} --as NEW"
            )),
        }
        Ok(code::DONE)
    }
}
