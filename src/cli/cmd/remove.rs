//! `keyvault remove`

use std::path::Path;

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
use keyvault_core::name::{KeyName, MAX_NAME, similar};

/// Remove keys.
///
/// Nothing can read a removed key, tokens lose it, and its name is free. `keyvault undelete NAME` brings it back for 30
/// days; after them, or at once with --wipe, its values are destroyed. --wipe destroys the key that has the name now, and
/// --wipe --removed destroys the removed keys that had it. On a terminal, asks you to type each name; elsewhere, requires
/// --yes. The audit log keeps a record.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The keys' names
    #[arg(required = true, add = complete::keys_to_remove(), value_parser = named::<KeyName>, value_name = "NAME")]
    names: Vec<KeyName>,
    /// Destroy all values at once; this cannot be undone
    #[arg(long)]
    wipe: bool,
    /// With --wipe: the removed keys of these names, and not the keys that have them now
    #[arg(long, requires = "wipe")]
    removed: bool,
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
        let issued = !self.removed && issued::are_issued(&mut vault, &access, &self.names)?;
        // A name that is not there is said before anything is asked.
        let mut others = Vec::with_capacity(self.names.len());
        for name in &self.names {
            others.push(if issued { 0 } else { self.find(&mut vault, &access, name, &path)? });
        }
        if !self.yes {
            context.ui.say(match (self.wipe, self.removed) {
                (true, false) => {
                    "The values are destroyed at once, and nothing brings them back but a backup. Without `--wipe`, \
                     `keyvault undelete NAME` does for 30 days."
                }
                (true, true) => "The values are destroyed at once, and nothing brings them back but a backup.",
                (false, _) => "For 30 days, `keyvault undelete NAME` brings a removed key back.",
            });
            for (name, others) in self.names.iter().zip(&others) {
                self.confirm(context, name, *others)?;
            }
        }
        if issued {
            return issued::remove(context, (&mut vault, &access), &self.names, self.wipe);
        }
        if self.removed {
            let wiped = context.change_despite_damage(&mut vault, &mut access, |vault, access, world| {
                key::wipe_removed(vault, access, world, &self.names)
            })?;
            return tell(context, "wiped as a removed key", wiped.iter().map(|key| (key, None)));
        }
        let told = if self.wipe {
            let wiped = context.change_despite_damage(&mut vault, &mut access, |vault, access, world| {
                key::wipe(vault, access, world, &self.names)
            })?;
            tell(context, "wiped", wiped.iter().map(|key| (key, None)))
        } else {
            let removed =
                context.change_despite_damage(&mut vault, &mut access, |vault, access, world| {
                    key::remove(vault, access, world, &self.names)
                })?;
            let until = |removed: &RemovedKey| Some(removed.until());
            tell(context, "removed", removed.iter().map(|removed| (&removed.key, until(removed))))
        };
        let with_removed = self.names.iter().zip(others).filter(|(_, others)| self.wipe && *others > 0);
        for (name, others) in with_removed {
            let keys = view::counted(others, "removed key");
            let kept = if others == 1 { "is kept" } else { "are kept" };
            context.ui.note(&format!(
                "{keys} of that name {kept}. To destroy: keyvault remove --wipe --removed {name}"
            ));
        }
        mentions::warn_of(context, &self.names, None);
        told
    }

    /// How many keys of this name are removed. Any other error than that there is no such key may be in the way of the
    /// removal too, and is reported there.
    fn find(
        &self,
        vault: &mut Vault,
        access: &Access,
        name: &KeyName,
        path: &Path,
    ) -> Result<usize, Failure> {
        let removed = key::removed_of_name(vault, access, name).unwrap_or_default().len();
        if self.removed {
            return Ok(removed);
        }
        match key::show(vault, access, name) {
            Err(error @ VaultError::NoSuchKeys { .. }) if self.wipe && removed > 0 => Err(Failure {
                hint: Some(format!(
                    "`{name}` was removed. To destroy its values: keyvault remove --wipe --removed {name}"
                )),
                ..Failure::of(error, path)
            }),
            Err(error @ VaultError::NoSuchKeys { .. }) => Err(Failure::of(certain(error), path)),
            _ => Ok(removed),
        }
    }

    fn confirm(&self, context: &Context, name: &KeyName, removed: usize) -> Result<(), Failure> {
        let what = match (self.wipe, removed) {
            (false, _) => format!("removes {name}"),
            (true, 0) if !self.removed => format!("permanently destroys {name}"),
            (true, 0 | 1) if self.removed => {
                format!("permanently destroys the removed key {name}; a key that has the name now stays")
            }
            (true, _) if self.removed => format!(
                "permanently destroys {removed} removed keys that had the name {name}; a key that has it now stays"
            ),
            (true, _) => format!(
                "permanently destroys the key that has the name {name} now; {} of that name {}",
                view::counted(removed, "removed key"),
                if removed == 1 { "stays" } else { "stay" }
            ),
        };
        let typed = prompt::line(&format!("This {what}. Type its name"), MAX_NAME)?;
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

/// The error with a suggestion only where the name has a slip of the fingers: what is merely alike must not be destroyed.
pub(super) fn certain(error: VaultError) -> VaultError {
    match error {
        VaultError::NoSuchKeys { missing, near, removed } => {
            let is_slip = |near: &KeyName| {
                missing.first().is_some_and(|wanted| similar::is_slip(wanted.as_str(), near.as_str()))
            };
            VaultError::NoSuchKeys { near: near.filter(is_slip), missing, removed }
        }
        error => error,
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
        let name = &key.name;
        let versions = view::counted(key.versions.len(), "version");
        let back = until
            .map(|until| format!("; `keyvault undelete {name}` brings it back until {}", time::local(until)));
        context.ui.confirm(&format!("{name} is {deed} with {versions}{}", back.unwrap_or_default()))?;
    }
    Ok(code::DONE)
}
