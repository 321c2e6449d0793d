//! Errors of project files.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use crate::project::{Ask, FileError, PlaceError, Profile, ProjectFile, What};
use keyvault_core::name::refused::Refused;
use keyvault_core::name::similar::nearest;
use keyvault_core::name::{EnvName, KeyName};
use keyvault_os::fs::modes::Modes;

use super::remedy::{Remedy, refused};
use super::vault::{did_you_mean, looks_like_a_value};
use super::vault_file;
use super::{Failure, code, reason};
use crate::cli::output;

impl Failure {
    /// A file that is not understood.
    pub(in crate::cli) fn project_file(error: &FileError, path: &Path) -> Self {
        let remedy = |hint: &str| Remedy::new(code::USAGE, "project_file", hint.to_owned());
        let remedy = match &error.what {
            What::Field { near, known, .. } => {
                let known = known.join(", ");
                remedy(&near.map_or_else(
                    || format!("Known fields: {known}. Secrets never go in this file."),
                    |near| format!("Did you mean `{near}`? Known fields: {known}."),
                ))
            }
            What::Variable { why: Refused::Name(_), .. } => remedy("Choose another variable."),
            What::Variable { .. } => remedy("To set it anyway, use the shell or `--as VAR=NAME`."),
            What::Key { .. } => {
                remedy("Put the value in the vault (`keyvault add NAME`), and its name in this file.")
            }
            What::Extends => remedy("For example: extends = \"../.keyvault.toml\""),
            What::Type { field, .. } if field == "value" => {
                remedy("Put quotes around it, as in: PORT = { value = \"3000\" }")
            }
            What::Source { .. } => remedy("Give it exactly one of them."),
            What::Setting { .. } => remedy("Leave them out, or use a key with a default."),
            What::Required { .. } => {
                remedy("An entry is required unless it has `optional = true` or a default.")
            }
            _ => Remedy::without_hint(code::USAGE, "project_file"),
        };
        remedy.after(&error.about(path))
    }

    /// A file, or a place, that is not believed.
    pub(in crate::cli) fn project_place(error: &PlaceError) -> Self {
        let remedy = match error {
            PlaceError::NotRegular { .. } => {
                refused("Put a file there, or choose keys with `--as VAR=NAME`, `--scope` or `--all`.")
            }
            PlaceError::WrongOwner { path, .. } => {
                let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
                refused(format!(
                    "If you trust that user: keyvault project trust {}\n\
                     Or choose keys with `--as VAR=NAME`, `--scope` or `--all`.",
                    output::quoted(folder)
                ))
            }
            PlaceError::Outside { .. } => {
                refused("Extend a file in the same repository, by a path such as ../.keyvault.toml.")
            }
            PlaceError::TooDeep { .. } => refused("Extend one file that has all the entries."),
            PlaceError::WritableByOthers { path, .. } => {
                let command = format!("chmod go-w {}", output::quoted(path));
                refused(vault_file::chmod(
                    &command,
                    Modes::at(path),
                    "Move the project to a file system that keeps them, or choose keys with `--as VAR=NAME`, `--scope` or `--all`.",
                ))
            }
            PlaceError::TooLong { .. } => Remedy::without_hint(code::REFUSED, "refused"),
            PlaceError::Io { path, source } => return Self::io(path, source),
        };
        remedy.after(error)
    }
}

/// A key that no project file gets is not written into one.
pub(in crate::cli) fn withheld(name: &KeyName) -> Failure {
    Failure::refused(
        &format!("`{name}` is not available to project files: it has the tag project=never."),
        Some(&format!(
            "Nothing was changed. To make it available: keyvault edit {name} --untag project\nFor a token, whose grants decide, write the entry by hand."
        )),
    )
}

pub(in crate::cli) fn no_file() -> Failure {
    Failure::new(
        code::NOT_FOUND,
        "not_found",
        "No .keyvault.toml here, or in a parent folder up to the repository's root.",
        Some("Create one with `keyvault project init`."),
    )
}

pub(in crate::cli) fn no_profile(file: &ProjectFile, wanted: Option<&Profile>, path: &Path) -> Failure {
    let wanted = wanted.map(Profile::as_str).unwrap_or_default();
    let near = nearest(file.profiles(), wanted, |profile| profile.as_str());
    let all: Vec<_> = file.profiles().map(Profile::as_str).collect();
    let all = if all.is_empty() {
        "It has no profiles.".to_owned()
    } else {
        format!("Its profiles: {}.", all.join(", "))
    };
    Failure::new(
        code::NOT_FOUND,
        "not_found",
        format!("{} has no profile `{wanted}`.", output::harmless_line(&path.display().to_string())),
        Some(&did_you_mean(near, &all)),
    )
}

pub(in crate::cli) fn asks_for_nothing(
    path: &Path,
    file: &ProjectFile,
    profile: Option<&Profile>,
) -> Failure {
    let path = output::harmless_line(&path.display().to_string());
    let profiles: Vec<_> = file.profiles().map(|profile| format!("--profile {profile}")).collect();
    let (message, hint) = if profile.is_some() || file.all().next().is_none() {
        let hint =
            "Add one with `keyvault project add NAME`, or choose keys with `--only`, `--scope` or `--all`.";
        (format!("{path} lists no keys."), hint.to_owned())
    } else {
        (
            format!("{path} lists no keys outside its profiles."),
            format!("Its profiles: {}.", profiles.join(", ")),
        )
    };
    Failure::new(code::NOT_FOUND, "not_found", message, Some(&hint))
}

pub(in crate::cli) fn not_approved(path: &Path, new: &BTreeSet<Ask>) -> Failure {
    let path = output::harmless_line(&path.display().to_string());
    let mut message = if only_settings(new) {
        format!("{path} has settings that are not approved:")
    } else {
        format!("{path} asks for keys that are not approved:")
    };
    for ask in new {
        message.push_str("\n  ");
        message.push_str(&logged_line(ask));
    }
    Failure::new(
        code::REFUSED,
        "not_approved",
        message,
        Some("Nothing was released. Review and approve it: keyvault project approve"),
    )
}

/// Returns `true` if no key is asked for.
pub(in crate::cli) fn only_settings(asks: &BTreeSet<Ask>) -> bool {
    asks.iter().all(|ask| ask.value.is_some())
}

/// Settings of a file that nobody approved, where a token is used.
pub(in crate::cli) fn unapproved_settings(variables: &[&EnvName]) -> Failure {
    let variables: Vec<_> = variables.iter().map(|variable| variable.as_str()).collect();
    Failure::new(
        code::REFUSED,
        "not_approved",
        format!("The project file's own values are not approved: {}.", variables.join(", ")),
        Some(
            "Nothing was released. Approve them with `keyvault project approve`, or use them as they are with `--unapproved-defaults`.",
        ),
    )
}

pub(in crate::cli) fn not_remembered(error: &io::Error) -> Failure {
    Failure::failed(
        &format!("The approval could not be saved: {}.", reason(error)),
        Some("Approvals are kept in $XDG_STATE_HOME/keyvault/projects. Nothing was released."),
    )
}

/// A line about a release, for the person who decides and must see which key it is. The file's own words stand in quotes,
/// and nothing in it is left to be taken for something else; its descriptions are not repeated where somebody decides.
pub(in crate::cli) fn ask_line(ask: &Ask) -> String {
    line(ask, ToOwned::to_owned)
}

/// [`ask_line`] where it may end up in a log.
pub(in crate::cli) fn logged_line(ask: &Ask) -> String {
    line(ask, key_shown)
}

fn line(ask: &Ask, shown: impl Fn(&str) -> String) -> String {
    let profile = ask.profile.as_ref().map(|profile| format!("[{profile}] ")).unwrap_or_default();
    if let Some(value) = &ask.value {
        return format!("{profile}{} = {}", ask.variable, quoted(value));
    }
    let source = match (&ask.key, &ask.template) {
        (Some(name), _) => shown(name),
        (None, template) => quoted(template.as_deref().unwrap_or_default()),
    };
    let default = ask.default.as_ref().map(|text| format!(", or {} if it is missing", quoted(text)));
    format!("{profile}{} <- {source}{}", ask.variable, default.unwrap_or_default())
}

/// A key's name, unless somebody wrote a value in its place: then it is in the file, and need not be in a log as well.
pub(in crate::cli) fn key_shown(name: &str) -> String {
    if looks_like_a_value(name) { "(a name that looks like a value)".to_owned() } else { name.to_owned() }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.escape_default())
}
