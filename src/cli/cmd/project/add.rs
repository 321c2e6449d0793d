//! `keyvault project add`

use clap::Args;

use super::gate::{self, Found};
use super::init;
use crate::cli::args::named;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::error::{Failure, code};
use crate::cli::{project_sentences, ui};
use crate::name::{EnvName, KeyName, refused};
use crate::project::approval::Ask;
use crate::project::edit::{self, EditError};
use crate::project::{FILE_NAME, Profile};
use crate::sys::foreign;

/// Write down that the project needs a key.
///
/// Into the project file, or a new one in the working directory. Comments and order stay. What is written is allowed at
/// once, and nothing else that the file asks for.
#[derive(Debug, Args)]
pub struct Add {
    /// The key's name
    #[arg(add = complete::keys(), value_parser = named::<KeyName>, value_name = "NAME")]
    name: KeyName,
    /// The variable, instead of the key's own
    #[arg(long = "as", value_name = "VAR", value_parser = project_variable)]
    variable: Option<EnvName>,
    /// Under this profile
    #[arg(long, value_name = "PROFILE", add = complete::profiles(), value_parser = named::<Profile>)]
    profile: Option<Profile>,
    /// The project runs without it, too
    #[arg(long)]
    optional: bool,
}

fn project_variable(text: &str) -> Result<EnvName, String> {
    refused::parse(text).map_err(|why| why.to_string())
}

impl Add {
    pub(in crate::cli) fn run(self, context: &Context) -> Result<u8, Failure> {
        let known = look_up(context, &self.name);
        if matches!(known, Known::Withheld) {
            return Err(project_sentences::withheld(&self.name));
        }
        // From before the file is read until it is written: of two that add at once neither loses its entry.
        let approvals = gate::approvals()?;
        let turn = gate::turn(context, &approvals)?;
        let variable = self.variable(&known)?;
        let found = match Found::nearest()? {
            Some(found) => found,
            None => init::make(&[])?,
        };
        let shown = ui::harmless_line(&found.path.display().to_string());
        // The file was read as UTF-8 already.
        let text = String::from_utf8_lossy(&found.text);
        match edit::add(&text, &self.profile, &variable, &self.name, self.optional) {
            Ok(Some(text)) => foreign::replace_shared(&found.path, text.as_bytes())
                .map_err(|error| Failure::making(&found.path, &error))?,
            Ok(None) => {}
            Err(error) => return Err(not_added(&error, &shown)),
        }
        let allowed = approvals.allow(&found.path, &[self.ask(&variable)].into(), &turn);
        allowed.map_err(|error| project_sentences::not_remembered(&error))?;
        if context.ui.json {
            context.ui.print_json(&serde_json::json!({
                "file": found.path.to_string_lossy(),
                "variable": variable.as_str(),
                "key": self.name.as_str(),
                "profile": self.profile.as_ref().map(Profile::as_str),
            }))?;
        } else {
            context.ui.note(&format!("{shown}: {variable} <- {}", self.name));
            if matches!(known, Known::Missing) {
                context.ui.warn(&format!("There is no key {0} yet: keyvault add {0}", self.name));
            }
        }
        Ok(code::DONE)
    }

    fn variable(&self, known: &Known) -> Result<EnvName, Failure> {
        if let Some(variable) = &self.variable {
            return Ok(variable.clone());
        }
        let named = match known {
            Known::There(variable) => Ok(variable.clone()),
            _ => self.name.default_variable(),
        };
        let checked = named.map_err(refused::Refused::from).and_then(|name| refused::parse(name.as_str()));
        checked.map_err(|why| {
            let message = format!("The variable that {} would get {why}.", self.name);
            Failure::usage(&message, Some("Name another with --as VAR."))
        })
    }

    /// This entry, and no other that the file may have for the same key.
    fn ask(&self, variable: &EnvName) -> Ask {
        Ask {
            profile: self.profile.as_ref().map(ToString::to_string),
            variable: variable.to_string(),
            key: Some(self.name.to_string()),
            template: None,
            default: None,
        }
    }
}

/// What the vault says of a key.
enum Known {
    /// It is there, with this variable.
    There(EnvName),
    /// There is none.
    Missing,
    /// It is there, and no project file gets it.
    Withheld,
    /// The vault would have to be opened with a question first.
    Locked,
}

fn look_up(context: &Context, name: &KeyName) -> Known {
    let look = || {
        let mut vault = context.open().ok()?;
        let access = match vault.session(context.now()) {
            Some(session) => session.into(),
            None => context.given_access(&mut vault).ok()??,
        };
        let item = vault.read(&access, |work| work.item(name)).ok()?;
        Some(match item {
            None => Known::Missing,
            Some(item) if item.is_withheld() => Known::Withheld,
            Some(item) => Known::There(item.variable),
        })
    };
    look().unwrap_or(Known::Locked)
}

fn not_added(error: &EditError, shown: &str) -> Failure {
    match error {
        EditError::Taken { variable } => Failure::refused(
            &format!("{variable} stands in {shown} already, and gets something else."),
            Some("Nothing was changed. Edit the file, or choose another variable with --as VAR."),
        ),
        EditError::Shape => Failure::refused(
            &format!("{shown} is written in a way that an entry cannot be added to ({FILE_NAME})."),
            Some("Nothing was changed. Write the entry by hand."),
        ),
    }
}
