//! `keyvault project add`

use clap::{ArgGroup, Args};

use super::gate::{self, Believed, Found};
use super::init;
use super::naming::variable_here;
use crate::cli::args::named;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::errors::{self, Failure, code};
use crate::cli::mapping::{MappingError, to_variable_by};
use crate::cli::output;
use crate::cli::preset;
use crate::cli::prompt;
use crate::cli::unlock::key_source::token_is_given;
use crate::project::approval::Ask;
use crate::project::edit::{self, EditError};
use crate::project::{Profile, VariableSource};
use keyvault_core::name::{EnvName, KeyName, refused};
use keyvault_os::fs::untrusted;
use keyvault_vault::{VaultError, key};

/// Add a key to the project file.
///
/// Creates the file in the working directory if there is none. Comments and order are kept. The new entry is approved at
/// once; other entries are not.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("key").required(true))]
pub(crate) struct Add {
    /// The key's name
    #[arg(group = "key", add = complete::keys(), value_parser = named::<KeyName>, value_name = "NAME")]
    name: Option<KeyName>,
    /// This variable from this key, instead of the key's own variable
    #[arg(long = "as", group = "key", value_name = "VAR=NAME", add = complete::mapped_keys(), value_parser = mapping)]
    mapping: Option<(EnvName, KeyName)>,
    /// Add it to this profile
    #[arg(long, value_name = "PROFILE", add = complete::profiles(), value_parser = named::<Profile>)]
    profile: Option<Profile>,
    /// The project also runs without this key
    #[arg(long)]
    optional: bool,
    /// Do not ask about a key that the vault does not have
    #[arg(long)]
    yes: bool,
}

fn mapping(text: &str) -> Result<(EnvName, KeyName), MappingError> {
    to_variable_by(text, |variable| refused::parse(variable).map_err(|why| why.to_string()))
}

impl Add {
    pub(in crate::cli) fn run(self, context: &Context) -> Result<u8, Failure> {
        let (mapped, name) = match (self.mapping, self.name) {
            (Some((variable, name)), _) => (Some(variable), name),
            (None, Some(name)) => (None, name),
            // The group of the two demands one of them.
            (None, None) => return Err(Failure::usage("No key given.", None)),
        };
        let profile = match self.profile {
            Some(profile) => Some(profile),
            None => preset::profile()?,
        };
        let known = look_up(context, &name);
        if matches!(known, Known::Withheld) {
            return Err(errors::project::withheld(&name));
        }
        let variable = match mapped {
            Some(variable) => variable,
            None => usual_variable(&name, &known)?,
        };
        if let Known::Missing(missing) = &known
            && !self.yes
        {
            confirm_missing(context, &name, missing)?;
        }
        // From before the file is read until it is written: of two that add at once neither loses its entry.
        let approvals = gate::approvals()?;
        let turn = gate::turn(context, &approvals)?;
        let found = match Found::nearest(Believed::Trusted)? {
            Some(found) => found,
            None => init::make()?,
        };
        let shown = output::harmless_line(&found.path.display().to_string());
        // The file was read as UTF-8 already.
        let text = String::from_utf8_lossy(&found.text);
        match edit::add(&text, &profile, &variable, &name, self.optional) {
            Ok(Some(text)) => untrusted::replace_shared(&found.path, text.as_bytes())
                .map_err(|error| Failure::making(&found.path, &error))?,
            Ok(None) => {}
            Err(error) => return Err(not_added(&error, &shown)),
        }
        let approved =
            approvals.approve(&found.path, &[ask(profile.as_ref(), &variable, &name)].into(), &turn);
        approved.map_err(|error| errors::project::not_remembered(&error))?;
        if context.ui.json {
            context.ui.print_json(&serde_json::json!({
                "file": found.path.to_string_lossy(),
                "profile": profile.as_ref().map(Profile::as_str),
                "keys": [{ "variable": variable.as_str(), "name": name.as_str() }],
            }))?;
        } else {
            context.ui.confirm(&format!("{shown}: {variable} <- {name}"))?;
            if matches!(known, Known::Missing(_)) {
                context.ui.warn(&format!("No key `{name}` yet. Add it: keyvault add {name}"));
            }
        }
        Ok(code::DONE)
    }
}

/// The key's own variable, if a project file may set it.
fn usual_variable(name: &KeyName, known: &Known) -> Result<EnvName, Failure> {
    let own = match known {
        Known::There(variable) => Ok(variable.clone()),
        _ => variable_here(name).map_or_else(|| name.default_variable(), Ok),
    };
    let checked = own.map_err(refused::Refused::from).and_then(|own| refused::parse(own.as_str()));
    checked.map_err(|why| {
        let message = format!("The variable of `{name}` {why}.");
        Failure::usage(&message, Some(&format!("Choose another: keyvault project add --as VAR={name}")))
    })
}

/// This entry, and no other that the file may have for the same key.
fn ask(profile: Option<&Profile>, variable: &EnvName, name: &KeyName) -> Ask {
    Ask {
        profile: profile.map(ToString::to_string),
        variable: variable.to_string(),
        key: Some(name.to_string()),
        template: None,
        value: None,
        default: None,
    }
}

/// Asks about a key that is not there: a slip, or one that a colleague has.
fn confirm_missing(context: &Context, name: &KeyName, missing: &Failure) -> Result<(), Failure> {
    if !context.may_ask() {
        let hint = missing.hint.clone().unwrap_or_default();
        let hint =
            format!("{hint}\nIf the name is right, add the key first, or confirm the name with `--yes`.");
        return Err(Failure { hint: Some(hint), ..missing.clone() });
    }
    let near = missing.hint.as_deref().filter(|hint| hint.starts_with("Did you mean"));
    let near = near.and_then(|hint| Some(format!(" {}?", hint.split_once('?')?.0))).unwrap_or_default();
    if prompt::confirm(&format!("{}{near}", missing.message), &format!("Record `{name}` all the same?"))? {
        return Ok(());
    }
    Err(Failure::refused("Nothing was changed.", None))
}

/// The vault's knowledge of a key, as far as it can be had without a question.
enum Known {
    /// It is there, with this variable.
    There(EnvName),
    /// There is none: the error says which was probably meant.
    Missing(Failure),
    /// It is there, and no project file gets it.
    Withheld,
    /// The vault would have to be opened with a question first.
    Locked,
}

fn look_up(context: &Context, name: &KeyName) -> Known {
    let look = || {
        let mut vault = context.open().ok()?;
        let access = match vault.session(context.now()).filter(|_| !token_is_given()) {
            Some(session) => session.into(),
            None => context.given_access(&mut vault).ok()??,
        };
        Some(match key::show(&mut vault, &access, name) {
            Err(error @ VaultError::NoSuchKeys { .. }) => Known::Missing(Failure::of(error, vault.path())),
            Err(_) => return None,
            Ok(key) if key.is_withheld() => Known::Withheld,
            Ok(key) => Known::There(key.variable),
        })
    };
    look().unwrap_or(Known::Locked)
}

fn not_added(error: &EditError, shown: &str) -> Failure {
    match error {
        EditError::Taken { variable, there } => {
            let there = match there {
                VariableSource::Key(key) => key.to_string(),
                VariableSource::Template(template) => format!("the template {}", template.text()),
                VariableSource::Text(_) => "a plain setting".to_owned(),
            };
            Failure::refused(
                &format!(
                    "{shown} already has a different entry: {variable} <- {}.",
                    output::harmless_line(&there)
                ),
                Some(
                    "Nothing was changed. Edit the entry in the file, or choose another variable: keyvault project add --as VAR=NAME",
                ),
            )
        }
        EditError::Shape => Failure::refused(
            &format!("{shown} is written in a form that no entry can be added to."),
            Some("Nothing was changed. Add the entry by hand."),
        ),
    }
}
