//! The sentences about project files.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use crate::project::{Ask, FileError, PlaceError, Profile, ProjectFile, What};
use keyvault_core::name::KeyName;
use keyvault_core::name::refused::Refused;
use keyvault_core::name::similar::nearest;

use super::sentences::{did_you_mean, looks_like_a_value};
use super::{Failure, code, reason};
use crate::cli::output;

impl Failure {
    /// A file that is not understood.
    pub(in crate::cli) fn project_file(error: &FileError, path: &Path) -> Self {
        let safe = output::harmless_line;
        let (fact, hint) = match &error.what {
            What::NotUtf8 => ("it is not UTF-8".to_owned(), None),
            What::Toml(why) => (format!("it is not TOML: {}", safe(why).trim_end_matches('.')), None),
            What::Field { field, near, known } => {
                let known = known.join(", ");
                let hint = near.map_or_else(
                    || format!("Known fields: {known}. Values never go in this file."),
                    |near| format!("Did you mean `{near}`? Known fields: {known}."),
                );
                (format!("unknown field {}", safe(field)), Some(hint))
            }
            What::Type { field, expected } => (format!("{} is not {expected}", safe(field)), None),
            What::Variable { variable, why } => {
                let hint = match why {
                    Refused::Name(_) => "Choose another variable.",
                    _ => "To set it anyway, use the shell or `--as VAR=NAME`.",
                };
                (format!("{} {why}", safe(variable)), Some(hint.to_owned()))
            }
            What::Profile { profile, why } => (format!("the profile {} {why}", safe(profile)), None),
            What::Key { variable, why } => (
                format!("the key name for {variable} {why}"),
                Some(
                    "Put the value in the vault (`keyvault add NAME`), and its name in this file.".to_owned(),
                ),
            ),
            What::Template { variable, why } => {
                (format!("the template of {variable} is not valid: {why}"), None)
            }
            What::Source { variable } => (
                format!("{variable} has both a key and a template, or neither"),
                Some("Give it exactly one of them.".to_owned()),
            ),
            What::Required { variable } => (
                format!("{variable} is marked as required, but also as optional or with a default"),
                Some("An entry is required unless it has `optional = true` or a default.".to_owned()),
            ),
            What::Text { variable, field } => {
                (format!("the {field} of {variable} is longer than 1024 characters, or contains a NUL"), None)
            }
        };
        let message = format!("{}, line {}: {fact}.", safe(&path.display().to_string()), error.line);
        Self::new(code::USAGE, "project_file", message, hint.as_deref())
    }

    /// A file, or a place, that is not believed.
    pub(in crate::cli) fn project_place(error: &PlaceError) -> Self {
        let shown = |path: &Path| output::harmless_line(&path.display().to_string());
        match error {
            PlaceError::NotRegular { path } => Self::refused(
                &format!("{} is not a regular file, so it is not read.", shown(path)),
                Some("Put a file there, or choose keys with `--as VAR=NAME`, `--scope` or `--all`."),
            ),
            PlaceError::WrongOwner { path, uid } => Self::refused(
                &format!("{} belongs to another user ({uid}), so it is not read.", shown(path)),
                Some("Use a copy of your own, or choose keys with `--as VAR=NAME`, `--scope` or `--all`."),
            ),
            PlaceError::WritableByOthers { path, mode } => Self::refused(
                &format!("Others can write to {} (mode {mode:o}), so it is not trusted.", shown(path)),
                Some(&format!("chmod go-w {}", output::quoted(path))),
            ),
            PlaceError::TooLong { path } => {
                Self::refused(&format!("{} is longer than 64 KiB.", shown(path)), None)
            }
            PlaceError::Io { path, source } => Self::io(path, source),
        }
    }
}

/// A key that no project file gets is not written into one.
pub(in crate::cli) fn withheld(name: &KeyName) -> Failure {
    Failure::refused(
        &format!("`{name}` is not available to project files (tag project=never)."),
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
    let mut message = format!(
        "{} asks for keys that are not approved:",
        output::harmless_line(&path.display().to_string())
    );
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
