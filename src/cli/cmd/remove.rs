//! `keyvault remove`

use clap::Args;
use keyvault_core::clock::Moment;
use keyvault_vault::{Access, KeyRecord, RemovedKey, Vault, VaultError, key};

use super::issued;
use crate::cli::args::named;
use crate::cli::cmd::project::mentions;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};
use crate::cli::output::{time, view};
use crate::cli::prompt;
use keyvault_core::name::{KeyName, MAX_NAME};

/// Remove keys.
///
/// A removed key is released to nobody, tokens lose it, and its name is free. `keyvault undelete NAME` brings it back for 30
/// days; after them, or at once with --wipe, its values are destroyed. On a terminal, asks you to type each name; elsewhere,
/// requires --yes. The audit log keeps a record.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The keys' names
    #[arg(required = true, add = complete::more_keys(), value_parser = named::<KeyName>, value_name = "NAME")]
    names: Vec<KeyName>,
    /// Destroy all values at once, of removed keys too where no key has the name; this cannot be undone
    #[arg(long)]
    wipe: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Remove {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        if !self.yes && !context.may_ask() {
            let what =
                if self.wipe { "Wiping a key cannot be undone" } else { "Removing a key ends its grants" };
            return Err(Failure::usage(
                &format!("{what}, and {}.", context.unasked()),
                Some("Use `--yes` to confirm."),
            ));
        }
        let (mut vault, mut access) = context.open_despite_damage()?;
        let path = vault.path().to_owned();
        let issued = issued::are_issued(&mut vault, &access, &self.names)?;
        // A name that is not there is said before anything is asked.
        for name in self.names.iter().filter(|_| !issued) {
            self.find(&mut vault, &access, name).map_err(|error| Failure::of(error, &path))?;
        }
        if !self.yes {
            for name in &self.names {
                self.confirm(context, name)?;
            }
        }
        if issued {
            return issued::remove(context, (&mut vault, &access), &self.names, self.wipe);
        }
        let told = if self.wipe {
            let wiped = context.change_despite_damage(&mut vault, &mut access, |vault, access, world| {
                key::wipe(vault, access, world, &self.names)
            })?;
            tell(context, "Wiped", wiped.iter().map(|key| (key, None)))
        } else {
            let removed =
                context.change_despite_damage(&mut vault, &mut access, |vault, access, world| {
                    key::remove(vault, access, world, &self.names)
                })?;
            let until = |removed: &RemovedKey| Some(removed.until());
            tell(context, "Removed", removed.iter().map(|removed| (&removed.key, until(removed))))
        };
        mentions::warn_of(context, &self.names, None);
        told
    }

    /// Any other error than that there is no such key may be in the way of the removal too, and is reported there.
    fn find(&self, vault: &mut Vault, access: &Access, name: &KeyName) -> Result<(), VaultError> {
        let Err(error @ VaultError::NoSuchKeys { .. }) = key::show(vault, access, name) else {
            return Ok(());
        };
        let is_removed =
            self.wipe && key::removed_names(vault, access).map_or(true, |removed| removed.contains(name));
        if is_removed { Ok(()) } else { Err(error) }
    }

    fn confirm(&self, context: &Context, name: &KeyName) -> Result<(), Failure> {
        let what = if self.wipe { "permanently destroys" } else { "removes" };
        let typed = prompt::line(&format!("This {what} {name}. Type its name"), MAX_NAME)?;
        if typed.is_some_and(|typed| typed.expose() == name.as_str().as_bytes()) {
            return Ok(());
        }
        context.ui.say("The name doesn't match.");
        Err(Failure::refused(
            "Nothing was removed.",
            Some("Type the name as `keyvault list` shows it, or use `--yes` to remove without being asked."),
        ))
    }
}

/// Names the keys, and until when each can be brought back.
fn tell<'k>(
    context: &Context,
    deed: &str,
    keys: impl Iterator<Item = (&'k KeyRecord, Option<Moment>)>,
) -> Result<u8, Failure> {
    if context.ui.json {
        let keys = keys.map(|(key, until)| {
            serde_json::json!({ "name": key.name.as_str(), "until": until.map(time::rfc3339) })
        });
        context.ui.print_json(&serde_json::json!({ "keys": keys.collect::<Vec<_>>() }))?;
        return Ok(code::DONE);
    }
    for (key, until) in keys {
        let versions = view::counted(key.versions.len(), "version");
        let back = until.map(|until| {
            format!("\n`keyvault undelete {}` brings it back until {}.", key.name, time::local(until))
        });
        context.ui.note(&format!("{deed} `{}` with {versions}.{}", key.name, back.unwrap_or_default()));
    }
    Ok(code::DONE)
}
