//! `keyvault show`

use std::collections::BTreeMap;
use std::path::Path;

use clap::Args;
use keyvault_vault::VersionState;
use keyvault_vault::key;

use super::issued;
use crate::cli::args::named;
use crate::cli::clipboard::Clipboard;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::errors::{self, Failure, code};
use crate::cli::output::time;
use crate::cli::output::view::{self, KeyJson, Shown};
use crate::cli::unlock::key_source::{Machine, Opened, token_given_by};
use keyvault_core::name::KeyName;
use keyvault_core::secret::SecretBytes;
use keyvault_exec::release::{self, Piece};
use keyvault_vault::audit::Action;
use keyvault_vault::{
    Access, Encoding, GrantedTo, KeyRecord, KeySource, KeyView, Purpose, Supply, Vault, VaultError,
};

/// Show a key; with --reveal, or if it is public, its value.
///
/// A pipe or file gets the value byte for byte; a terminal gets control characters in visible form.
///
/// With --copy, the value goes to wl-copy, xclip, xsel, pbcopy, or clip.exe, whichever serves the desktop. Over SSH, and where
/// there is none of them, the terminal gets it in an escape code (OSC 52), which not every terminal obeys; tmux does with
/// `set-clipboard on`. A process stays behind and clears the clipboard if it still has the value. A terminal and clip.exe do not report what they hold, so they are cleared in any case. Clipboard managers that keep a history are told that the value is secret
/// where the program can do that: wl-copy from version 2.3 on.
///
/// With a token, a bundle, or a limited session, shows a key that it opens, as far as a grant describes it.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The key's name
    #[arg(add = complete::keys(), value_parser = named::<KeyName>)]
    name: KeyName,
    /// Show the value; the audit log records this
    #[arg(long, group = "given")]
    reveal: bool,
    /// Put the value on the clipboard and clear that later; the audit log records this
    #[arg(long, group = "given")]
    copy: bool,
    /// With --copy: when to clear the clipboard if it still has the value, or never
    #[arg(long, value_name = "DURATION", default_value = "30s", requires = "copy", value_parser = clear_after)]
    clear_after: ClearAfter,
    /// This version, if it is current or within its grace period
    #[arg(long, value_name = "N", requires = "given", add = complete::versions(&[VersionState::Current, VersionState::Previous]))]
    version: Option<u32>,
    /// Show the public half of a key pair
    #[arg(long, conflicts_with = "given")]
    public: bool,
    #[command(flatten)]
    machine: Machine,
}

/// Seconds; none is never.
#[derive(Debug, Clone, Copy)]
struct ClearAfter(Option<u64>);

fn clear_after(text: &str) -> Result<ClearAfter, String> {
    if text == "never" {
        return Ok(ClearAfter(None));
    }
    let millis = time::duration(text)?.millis;
    match u64::try_from(millis / 1000) {
        Ok(seconds @ 1..) => Ok(ClearAfter(Some(seconds))),
        _ => Err("is shorter than a second".to_owned()),
    }
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

/// [`public_values`] of keys that were granted.
pub(super) fn granted_public_values(
    context: &Context,
    supply: &mut Supply,
    names: &[KeyName],
) -> BTreeMap<KeyName, SecretBytes> {
    if names.is_empty() {
        return BTreeMap::new();
    }
    let values = context.with_keys(supply, |supply, world| Ok(supply.begin(world)?.public_values(names)?));
    values.unwrap_or_else(|failure| {
        context.ui.warn(&format!("Public values are not shown: {}", failure.message));
        BTreeMap::new()
    })
}

impl Show {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        if self.copy {
            return self.copy_value(context);
        }
        match context.open_for(&self.machine)? {
            Opened::Owned(mut vault, access) if self.reveal => {
                self.reveal_owned(context, &mut vault, &access)
            }
            Opened::Owned(mut vault, access) => self.show_owned(context, &mut vault, &access),
            Opened::Granted(mut supply) if self.public => {
                let variable = token_given_by().filter(|_| !supply.is_limited());
                // A key that is not there comes first.
                self.granted(context, &mut supply)?;
                Err(errors::token::not_in_a_grant(variable, "--public"))
            }
            Opened::Granted(mut supply) if self.reveal => self.reveal_granted(context, &mut supply),
            Opened::Granted(mut supply) => self.show_granted(context, &mut supply),
        }
    }

    fn reveal_owned(&self, context: &Context, vault: &mut Vault, access: &Access) -> Result<u8, Failure> {
        let (key_record, value) = self.take(context, vault, access)?;
        if context.ui.json {
            let shown = self.version.and_then(|number| key_record.version(number)).or(key_record.current());
            let key = KeyJson::of(&key_record, context.now());
            context.ui.print_json(&key.of_version(shown).with_value(value.expose()))?;
        } else {
            context.ui.value(&value)?;
        }
        Ok(code::DONE)
    }

    fn take(
        &self,
        context: &Context,
        vault: &mut Vault,
        access: &Access,
    ) -> Result<(KeyRecord, SecretBytes), Failure> {
        let path = vault.path().to_owned();
        context.with_world(|world| {
            key::reveal(vault, access, world, &self.name, self.version)
                .map_err(|error| Failure::of(error, &path))
        })
    }

    fn show_owned(&self, context: &Context, vault: &mut Vault, access: &Access) -> Result<u8, Failure> {
        context.tell_alarm(vault, access)?;
        let (path, now) = (vault.path().to_owned(), context.now());
        let key_record = match key::show(vault, access, &self.name) {
            Ok(key_record) => key_record,
            Err(missing @ (VaultError::Issued(_) | VaultError::NoSuchKeys { .. })) if !self.public => {
                let key = issued::instead_of(context, vault, access, &self.name, missing)?;
                return issued::show(context, &key);
            }
            Err(error) => return Err(Failure::of(error, &path)),
        };
        if self.public {
            let public =
                key_record.current().and_then(|version| version.public.as_ref()).ok_or_else(|| {
                    Failure::refused(
                        &format!("`{}` is not a key pair and has no public half.", self.name),
                        None,
                    )
                })?;
            context.ui.data(format!("{}\n", public.trim_end()).as_bytes())?;
            return Ok(code::DONE);
        }
        let names = [&key_record].into_iter().filter(|key| key.public).map(|key| key.name.clone());
        let values = public_values(context, vault, access, &names.collect::<Vec<_>>());
        let json = KeyJson::of(&key_record, now);
        print(context, Shown::Held(&key_record), json, values.get(&self.name))
    }

    fn show_granted(&self, context: &Context, supply: &mut Supply) -> Result<u8, Failure> {
        let key = self.granted(context, supply)?;
        let names: Vec<_> = key.public().then(|| self.name.clone()).into_iter().collect();
        let values = granted_public_values(context, supply, &names);
        let json = KeyJson::of(Shown::Granted(&key), context.now());
        print(context, Shown::Granted(&key), json, values.get(&self.name))
    }

    /// The key, if it was granted.
    fn granted(&self, context: &Context, supply: &mut Supply) -> Result<KeyView, Failure> {
        let found = context.with_keys(supply, |supply, world| {
            let looking = supply.look(world)?;
            Ok(self.find(&mut *looking.keys()?)?)
        })?;
        found.map_err(|missing| missing.failure(&self.name))
    }

    fn find(&self, keys: &mut dyn KeySource) -> Result<Result<KeyView, Missing>, VaultError> {
        if let Some(key) = keys.named(&self.name)? {
            return Ok(Ok(key));
        }
        Ok(Err(Missing { near: keys.name_like(&self.name)?, to: keys.granted_to() }))
    }

    /// Copies the value once the audit log has the read.
    fn copy_value(&self, context: &mut Context) -> Result<u8, Failure> {
        let clipboard = Clipboard::find(context, &self.name)?;
        let value = match context.open_for(&self.machine)? {
            Opened::Owned(mut vault, access) => self.take(context, &mut vault, &access)?.1,
            Opened::Granted(mut supply) => self.take_granted(context, &mut supply)?.1,
        };
        clipboard.copy(context, &value)?;
        let ClearAfter(seconds) = self.clear_after;
        let cleared = seconds.map(|seconds| (seconds, clipboard.clear_after(seconds, &value)));
        drop(value);
        if let Some((_, Err(error))) = &cleared {
            context.ui.warn(&format!("The clipboard will not be cleared: {}.", errors::reason(error)));
        }
        let clears = cleared.and_then(|(seconds, started)| started.ok().map(|()| seconds));
        let (name, means) = (&self.name, clipboard.name());
        if context.ui.json {
            context.ui.print_json(
                &serde_json::json!({ "name": name.as_str(), "copied_with": means, "clear_after": clears }),
            )?;
        } else {
            let then = clears.map_or_else(String::new, |seconds| {
                format!(" The clipboard is cleared in {}.", time::exact(seconds))
            });
            context.ui.confirm(&format!("Copied `{name}` with {}.{then}", clipboard.described()))?;
        }
        Ok(code::DONE)
    }

    fn reveal_granted(&self, context: &Context, supply: &mut Supply) -> Result<u8, Failure> {
        let (key, value) = self.take_granted(context, supply)?;
        if context.ui.json {
            let version = self.version.or(key.current());
            let json = KeyJson::of(Shown::Granted(&key), context.now()).of_granted_version(version);
            context.ui.print_json(&json.with_value(value.expose()))?;
        } else {
            context.ui.value(&value)?;
        }
        Ok(code::DONE)
    }

    /// The value, in the transaction in which the key was found.
    fn take_granted(
        &self,
        context: &Context,
        supply: &mut Supply,
    ) -> Result<(KeyView, SecretBytes), Failure> {
        let piece = Piece::Value {
            name: self.name.clone(),
            version: self.version,
            field: None,
            encoding: Encoding::Raw,
        };
        let purpose = Purpose { action: Action::Reveal, detail: String::new() };
        let found = context.with_keys(supply, |supply, world| {
            let taking = supply.begin(world)?;
            let found = self.find(&mut *taking.keys()?)?;
            match found {
                Err(missing) => Ok(Err(missing)),
                Ok(key) => {
                    let staged = release::stage_text(taking, &[piece])?;
                    Ok(Ok((key, staged.fit_anywhere()?.commit(purpose)?)))
                }
            }
        })?;
        let (key, released) = found.map_err(|missing| missing.failure(&self.name))?;
        let value = released.into_text().map_or_else(|| SecretBytes::zeroed(0), |(value, _)| value);
        Ok((key, value))
    }
}

/// A name that was not granted, and the key that was probably meant.
struct Missing {
    near: Option<KeyName>,
    to: Option<GrantedTo>,
}

impl Missing {
    fn failure(self, name: &KeyName) -> Failure {
        if let Some(to) = self.to {
            return errors::token::key_not_granted(name, self.near.as_ref(), &to);
        }
        let missing = VaultError::NoSuchKeys { missing: vec![name.clone()], near: self.near, removed: None };
        Failure::of(missing, Path::new("the vault"))
    }
}

fn print(
    context: &Context,
    key: Shown<'_>,
    json: KeyJson,
    value: Option<&SecretBytes>,
) -> Result<u8, Failure> {
    if context.ui.json {
        context.ui.print_json(&match value {
            Some(value) => json.with_value(value.expose()),
            None => json,
        })?;
    } else {
        let facts = view::facts(key, value, context.now(), &context.ui);
        context.ui.data(facts.as_bytes())?;
    }
    Ok(code::DONE)
}
