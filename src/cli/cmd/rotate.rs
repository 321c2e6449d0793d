//! `keyvault rotate`

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::revoke::bundles_of;
use super::{add, issued};
use crate::cli::args::named;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};
use crate::cli::output::time::{self, Duration};
use crate::cli::output::view::{self, KeyJson};
use crate::cli::prompt;
use crate::cli::value;
use keyvault_core::clock::Moment;
use keyvault_core::name::{KeyName, Scope};
use keyvault_vault::issued::{Key, Standing, Terms as IssuedTerms};
use keyvault_vault::{Access, KeyRecord, NewValue, Terms, Vault, Which, key, token};

/// Give keys new values.
///
/// Repeats the recipe of a generated key. For a key that was added, reads the new value as `keyvault add` does: from a
/// hidden prompt, stdin or a file. The old version is refused at once, or stays valid for the grace period with --grace
/// (`exec --previous`), and is kept for 30 days for `keyvault rollback`. A key that expires gets the same lifetime again.
/// All keys are rotated or none.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true))]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct Rotate {
    /// The keys' names; a revoked key gets a new version
    #[arg(group = "which", add = complete::more_keys(), value_parser = named::<KeyName>, value_name = "NAME")]
    names: Vec<KeyName>,
    /// Held keys with any of these scopes, separated by commas, that are not revoked; may be repeated
    #[arg(long, group = "which", value_name = "SCOPE", value_delimiter = ',', add = complete::scopes(), value_parser = named::<Scope>)]
    scope: Vec<Scope>,
    /// Held keys that have expired
    #[arg(long, group = "which")]
    expired: bool,
    /// How long the old version stays valid
    #[arg(long, value_name = "DURATION", add = complete::one_of(|| ["1h", "24h", "7d"]), allow_hyphen_values = true, value_parser = time::duration)]
    grace: Option<Duration>,
    /// When it expires: 90d, 2027-01-31, 2027-01-31T12:00:00Z or never
    #[arg(long, value_name = "WHEN", add = complete::one_of(|| complete::LIFETIMES), value_parser = time::expiry_ahead)]
    expires: Option<time::Expiry>,
    /// Read the value from stdin, even if the key has a recipe, which is then forgotten
    #[arg(long, conflicts_with_all = ["file", "scope", "expired"])]
    stdin: bool,
    /// Read the value from a file, byte for byte, even if the key has a recipe, which is then forgotten
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scope", "expired"])]
    file: Option<PathBuf>,
    /// Keep the final newline of a single line from stdin
    #[arg(long, conflicts_with_all = ["file", "scope", "expired"])]
    exact: bool,
    /// Do not ask about a value that was revoked before
    #[arg(long)]
    yes: bool,
}

impl Rotate {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let gives_value = self.stdin || self.file.is_some();
        if gives_value && self.names.len() > 1 {
            return Err(Failure::usage(
                "Only one key can be given a value at a time.",
                Some("Rotate the keys one at a time."),
            ));
        }
        self.source().refuse_typed()?;
        let now = context.now();
        let terms = Terms {
            grace: self.grace.map_or(0, |grace| grace.millis),
            expires: self.expires.map(|expires| expires.resolve(now)),
        };
        let which = self.which();
        let (mut vault, access) = context.open_with_access()?;
        if let Which::Names(names) = &which
            && issued::are_issued(&mut vault, &access, names)?
        {
            if gives_value || self.exact {
                return Err(issued::refuse_option(if self.file.is_some() { "--file" } else { "--stdin" }));
            }
            let terms = IssuedTerms { grace: terms.grace, expires: terms.expires };
            return issued::rotate(context, (&mut vault, &access), names, terms);
        }
        let path = vault.path().to_owned();
        let due = key::due(&mut vault, &access, &which, now).map_err(|error| Failure::of(error, &path))?;
        let left_out = self.issued_left_out(&mut vault, &access, now);
        if due.is_empty() {
            if !context.ui.json && left_out.is_empty() {
                context.ui.confirm(match which {
                    Which::Scopes(_) => "Every key with this scope is revoked. Nothing was changed.",
                    Which::Names(_) | Which::Expired => "No keys are due. Nothing was changed.",
                })?;
            }
            let answered = answer(context, &[], false)?;
            note_left_out(context, &left_out);
            return Ok(answered);
        }
        let value = self.value(context, &which, &due)?;
        if let (Some(new), [key]) = (&value, due.as_slice())
            && !self.yes
            && key::is_revoked_value(&mut vault, &access, key, &new.value)
                .map_err(|error| Failure::of(error, &path))?
        {
            confirm_revoked(context)?;
        }
        let keys = rotate(context, &mut vault, &access, &which, value.as_ref(), terms)?;
        let answered = answer(context, &keys, self.grace.is_some_and(|grace| grace.millis > 0))?;
        note_left_out(context, &left_out);
        let tokens = token::granted(&mut vault, &access, &keys).unwrap_or_default();
        if !tokens.is_empty() && !context.ui.json {
            let bundles = bundles_of(&tokens);
            context.ui.note(&format!(
                "{bundles} still holds the old value. Update it: keyvault bundle update FILE"
            ));
        }
        if let Some(size) = value.and_then(|new| value::size_in_lines(new.value.expose())) {
            context.ui.note(&size);
        }
        Ok(answered)
    }

    fn which(&self) -> Which {
        if self.expired {
            Which::Expired
        } else if self.scope.is_empty() {
            Which::Names(self.names.clone())
        } else {
            Which::Scopes(self.scope.clone())
        }
    }

    /// Issued keys with the scopes, or that have expired: their new texts are shown to who names them alone.
    fn issued_left_out(&self, vault: &mut Vault, access: &Access, now: Moment) -> Vec<KeyName> {
        if !self.expired && self.scope.is_empty() {
            return Vec::new();
        }
        let is_due = |key: &Key| match key.standing {
            Some(Standing::Revoked) => false,
            standing if self.expired => standing == Some(Standing::Expired),
            _ => key.scopes.iter().any(|scope| self.scope.contains(scope)),
        };
        // The keys that are rotated are not held up by those that are not.
        let keys = keyvault_vault::issued::list(vault, access, now).unwrap_or_default();
        keys.into_iter().filter(is_due).filter_map(|key| key.name).collect()
    }

    fn source(&self) -> add::GivenValue<'_> {
        add::GivenValue { file: self.file.as_deref(), stdin: self.stdin, exact: self.exact }
    }

    /// The value that one key gets from elsewhere; that several would need one is for `keyvault-vault` to say.
    fn value(
        &self,
        context: &Context,
        which: &Which,
        due: &[KeyRecord],
    ) -> Result<Option<NewValue>, Failure> {
        // A job's stdin becomes a value only where the job named the key.
        let (Which::Names(_), [key]) = (which, due) else { return Ok(None) };
        let named = self.stdin || self.file.is_some();
        if key.recipe.is_some() && !named {
            return Ok(None);
        }
        let value = self.source().read(context, &key.name)?;
        if value.is_empty() && !named {
            return Err(Failure::usage(
                "No new value given. Nothing was changed.",
                Some("If an empty value is intended, use `--stdin`."),
            ));
        }
        if value.is_empty() {
            context.ui.warn("The value is empty.");
        }
        Ok(Some(NewValue { name: key.name.clone(), key: key.id, value }))
    }
}

fn note_left_out(context: &Context, names: &[KeyName]) {
    if !names.is_empty() && !context.ui.json {
        let keys = view::counted(names.len(), "issued key");
        let names = names.iter().map(KeyName::as_str).collect::<Vec<_>>().join(" ");
        context.ui.note(&format!("Left out {keys}. To rotate by name: keyvault rotate {names}"));
    }
}

/// Asks about a value that was revoked: it may have leaked, or been pasted by mistake.
fn confirm_revoked(context: &Context) -> Result<(), Failure> {
    const REVOKED: &str = "That is the value that was revoked.";
    if !context.may_ask() {
        return Err(Failure::refused(
            REVOKED,
            Some(
                "Nothing was changed. Get a new value from its issuer, or use it all the same with `--yes`.",
            ),
        ));
    }
    if prompt::confirm(REVOKED, "Use it all the same?")? {
        Ok(())
    } else {
        Err(Failure::refused("Nothing was changed.", None))
    }
}

fn rotate(
    context: &Context,
    vault: &mut Vault,
    access: &Access,
    which: &Which,
    value: Option<&NewValue>,
    terms: Terms,
) -> Result<Vec<KeyRecord>, Failure> {
    let path = vault.path().to_owned();
    context.with_world(|world| {
        key::rotate(vault, access, world, which, value, terms).map_err(|error| Failure::of(error, &path))
    })
}

fn answer(context: &Context, key_records: &[KeyRecord], graced: bool) -> Result<u8, Failure> {
    let now = context.now();
    if context.ui.json {
        context.ui.print_json(&KeyJson::all(key_records, now))?;
        return Ok(code::DONE);
    }
    for key in key_records {
        context.ui.confirm(&sentence(key, now))?;
        if graced && key.previous(now).is_none() {
            context.ui.note(&format!(
                "{} gets no grace period: an expired or revoked version does not become valid again.",
                key.name
            ));
        }
    }
    Ok(code::DONE)
}

/// `stripe/live is at version 3; version 2 stays good until 2026-11-22 14:00 (in 24h)`
fn sentence(key: &KeyRecord, now: Moment) -> String {
    let current = key.current().map_or(0, |version| version.number);
    let mut text = format!("{} is now at version {current}", key.name);
    if let Some((previous, until)) =
        key.previous(now).and_then(|version| Some((version.number, version.grace_until?)))
    {
        let when = view::when(until, now);
        text += &format!("; version {previous} stays valid until {when}");
    }
    if let Some(expires) = key.expires {
        text += &format!("; the key expires {}", view::when(expires, now));
    }
    text
}
