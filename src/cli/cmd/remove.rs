//! `keyvault remove`

use clap::Args;
use keyvault_vault::{VaultError, key};

use crate::cli::args::named;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};
use crate::cli::output::view;
use crate::cli::prompt;
use keyvault_core::name::{KeyName, MAX_NAME};

/// Remove keys with all their versions.
///
/// On a terminal, asks you to type each name; elsewhere, requires --yes. The audit log keeps a record.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The keys' names
    #[arg(required = true, add = complete::more_keys(), value_parser = named::<KeyName>, value_name = "NAME")]
    names: Vec<KeyName>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Remove {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        if !self.yes && !context.may_ask() {
            return Err(Failure::usage(
                &format!("Removing a key cannot be undone, and {}.", context.unasked()),
                Some("Use `--yes` to confirm."),
            ));
        }
        let (mut vault, mut access) = context.open_despite_damage()?;
        let path = vault.path().to_owned();
        // A name that is not there is said before anything is asked.
        for name in &self.names {
            // Any other error may be in the way of the removal too, and is reported there.
            if let Err(error @ VaultError::NoSuchKeys { .. }) = key::show(&mut vault, &access, name) {
                return Err(Failure::of(error, &path));
            }
        }
        if !self.yes {
            for name in &self.names {
                confirm(context, name)?;
            }
        }
        let removed = context.change_despite_damage(&mut vault, &mut access, |vault, access, world| {
            key::remove(vault, access, world, &self.names)
        })?;
        if context.ui.json {
            let names: Vec<_> = removed.iter().map(|key| key.name.as_str()).collect();
            context.ui.print_json(&serde_json::json!({ "removed": names }))?;
        } else {
            for key in &removed {
                let versions = view::counted(key.versions.len(), "version");
                context.ui.note(&format!("Removed `{}` with {versions}.", key.name));
            }
        }
        Ok(code::DONE)
    }
}

fn confirm(context: &Context, name: &KeyName) -> Result<(), Failure> {
    let question = format!("This permanently removes {name}. Type its name");
    let typed = prompt::line(&question, MAX_NAME)?;
    if typed.is_some_and(|typed| typed.expose() == name.as_str().as_bytes()) {
        Ok(())
    } else {
        context.ui.note("The name doesn't match.");
        Err(Failure::refused(
            "Nothing was removed.",
            Some("Type the name as `keyvault list` shows it, or use `--yes` to remove without being asked."),
        ))
    }
}
