//! `keyvault show`

use std::collections::BTreeMap;

use clap::Args;
use keyvault_vault::VersionState;
use keyvault_vault::key;

use crate::cli::args::named;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};
use crate::cli::output::view::{self, KeyJson};
use keyvault_core::name::KeyName;
use keyvault_core::secret::SecretBytes;
use keyvault_exec::release::{self, Piece};
use keyvault_vault::audit::Action;
use keyvault_vault::{Access, Encoding, Purpose, Supply, Vault};

/// Show a key; with --reveal, or if it is public, its value.
///
/// A pipe or file gets the value byte for byte; a terminal gets control characters in visible form.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The key's name
    #[arg(add = complete::keys(), value_parser = named::<KeyName>)]
    name: KeyName,
    /// Show the value; the audit log records this
    #[arg(long)]
    reveal: bool,
    /// This version, if it is current or within its grace period
    #[arg(long, value_name = "N", requires = "reveal", add = complete::versions(&[VersionState::Current, VersionState::Previous]))]
    version: Option<u32>,
    /// Show the public half of a key pair
    #[arg(long, conflicts_with = "reveal")]
    public: bool,
}

/// The values of public keys. Reading one is recorded; where that cannot be, as in a vault that may only be read, there
/// are none, and that is said.
pub(super) fn public_values(
    context: &Context,
    vault: &mut Vault,
    access: &Access,
    names: &[KeyName],
) -> BTreeMap<KeyName, SecretBytes> {
    let path = vault.path().to_owned();
    let values = context.with_world(|world| {
        key::public_values(vault, access, world, names).map_err(|error| Failure::of(error, &path))
    });
    values.unwrap_or_else(|failure| {
        context.ui.warn(&format!("Public values are not shown: {}", failure.message));
        BTreeMap::new()
    })
}

impl Show {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        if self.reveal
            && !context.ui.json
            && let Some((mut keys, _)) = context.limited_supply()
        {
            return self.reveal_granted(context, &mut keys);
        }
        let (mut vault, access) =
            if self.reveal { context.open_with_access()? } else { context.open_to_look()? };
        let path = vault.path().to_owned();
        let now = context.now();
        if self.reveal {
            let (key_record, value) = context.with_world(|world| {
                key::reveal(&mut vault, &access, world, &self.name, self.version)
                    .map_err(|error| Failure::of(error, &path))
            })?;
            if context.ui.json {
                let shown =
                    self.version.and_then(|number| key_record.version(number)).or(key_record.current());
                let key = KeyJson::detailed(&key_record, now).of_version(shown).with_value(value.expose());
                context.ui.print_json(&key)?;
            } else {
                context.ui.value(&value)?;
            }
            return Ok(code::DONE);
        }
        let key_record =
            key::show(&mut vault, &access, &self.name).map_err(|error| Failure::of(error, &path))?;
        if self.public {
            let public =
                key_record.current().and_then(|version| version.public.as_ref()).ok_or_else(|| {
                    Failure::refused(
                        &format!("`{}` is not a key pair and has no public half.", self.name),
                        None,
                    )
                })?;
            context.ui.data(format!("{}\n", public.trim_end()).as_bytes())?;
        } else {
            let names = [&key_record].into_iter().filter(|key| key.public).map(|key| key.name.clone());
            let values = public_values(context, &mut vault, &access, &names.collect::<Vec<_>>());
            let value = values.get(&self.name);
            if context.ui.json {
                let key = KeyJson::detailed(&key_record, now);
                let key = match value {
                    Some(value) => key.with_value(value.expose()),
                    None => key,
                };
                context.ui.print_json(&key)?;
            } else {
                let facts = view::facts_with(&key_record, value, now, &context.ui);
                context.ui.data(facts.as_bytes())?;
            }
        }
        Ok(code::DONE)
    }

    /// A limited session has the value, and not what the owner knows of the key, which JSON would show.
    fn reveal_granted(&self, context: &Context, keys: &mut Supply) -> Result<u8, Failure> {
        let piece = Piece::Value {
            name: self.name.clone(),
            version: self.version,
            field: None,
            encoding: Encoding::Raw,
        };
        let purpose = Purpose { action: Action::Reveal, detail: String::new() };
        let released = context.with_keys(keys, |keys, world| {
            let staged = release::stage_text(keys.begin(world)?, &[piece])?;
            Ok(staged.fit_anywhere()?.commit(purpose)?)
        })?;
        if let Some((value, _)) = released.into_text() {
            context.ui.value(&value)?;
        }
        Ok(code::DONE)
    }
}
