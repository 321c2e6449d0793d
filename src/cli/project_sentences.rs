//! The sentences about project files.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use crate::name::KeyName;
use crate::name::refused::Refused;
use crate::project::{Ask, FileError, PlaceError, Profile, ProjectFile, What};

use super::error::{Failure, code, reason};
use super::sentences::{did_you_mean, looks_like_a_value};
use super::ui;

impl Failure {
    /// A file that is not understood.
    pub(super) fn project_file(error: &FileError, path: &Path) -> Self {
        let safe = ui::harmless_line;
        let (fact, hint) = match &error.what {
            What::NotUtf8 => ("it is not UTF-8".to_owned(), None),
            What::Toml(why) => (format!("it is not TOML: {}", safe(why).trim_end_matches('.')), None),
            What::Field { field, near, known } => {
                let known = known.join(", ");
                let hint = near.map_or_else(
                    || format!("There are: {known}. Values never stand in this file."),
                    |near| format!("Did you mean {near}? There are: {known}."),
                );
                (format!("there is no field {}", safe(field)), Some(hint))
            }
            What::Type { field, expected } => (format!("{} is not {expected}", safe(field)), None),
            What::Variable { variable, why } => {
                let hint = match why {
                    Refused::Name(_) => "Choose another variable.",
                    _ => "Who needs it sets it in the shell, or with --as NAME=VAR.",
                };
                (format!("{} {why}", safe(variable)), Some(hint.to_owned()))
            }
            What::Profile { profile, why } => (format!("the profile {} {why}", safe(profile)), None),
            What::Key { variable, why } => (
                format!("what {variable} is to get is not the name of a key: it {why}"),
                Some(
                    "A value belongs into the vault ('keyvault add NAME'), its name into this file."
                        .to_owned(),
                ),
            ),
            What::Template { variable, why } => {
                (format!("the template of {variable} cannot be read: {why}"), None)
            }
            What::Source { variable } => (
                format!("{variable} has both a key and a template, or neither"),
                Some("An entry has one of them.".to_owned()),
            ),
            What::Required { variable } => (
                format!("{variable} is said to be required and something else at once"),
                Some(
                    "An entry is required as long as it says neither optional = true nor a default."
                        .to_owned(),
                ),
            ),
            What::Text { variable, field } => {
                (format!("the {field} of {variable} has more than 1024 characters, or a NUL"), None)
            }
        };
        let message = format!("{}, line {}: {fact}.", safe(&path.display().to_string()), error.line);
        Self::new(code::USAGE, "project_file", message, hint.as_deref())
    }

    /// A file, or a place, that is not believed.
    pub(super) fn project_place(error: &PlaceError) -> Self {
        let shown = |path: &Path| ui::harmless_line(&path.display().to_string());
        match error {
            PlaceError::NotRegular { path } => Self::refused(
                &format!("{} is not a file: it is not followed and not read.", shown(path)),
                Some("Put a file there, or choose keys with --as NAME=VAR, --scope or --all."),
            ),
            PlaceError::WrongOwner { path, uid } => Self::refused(
                &format!("{} belongs to another user ({uid}), so it is not read.", shown(path)),
                Some("Work in a copy of your own, or choose keys with --as NAME=VAR, --scope or --all."),
            ),
            PlaceError::WritableByOthers { path, mode } => Self::refused(
                &format!("{} can be written by others (mode {mode:o}), so it is not believed.", shown(path)),
                Some(&format!("chmod go-w {}", ui::quoted(path))),
            ),
            PlaceError::TooLong { path } => {
                Self::refused(&format!("{} is longer than 64 KiB.", shown(path)), None)
            }
            PlaceError::Io { path, source } => Self::io(path, source),
        }
    }
}

/// A key that no project file gets is not written into one.
pub(super) fn withheld(name: &KeyName) -> Failure {
    Failure::refused(
        &format!("{name} is marked as never for project files (project=never)."),
        Some(&format!(
            "Nothing was changed. 'keyvault edit {name} --untag project' lets them have it. For a token, which its grants bind, write the entry by hand."
        )),
    )
}

pub(super) fn no_file() -> Failure {
    Failure::new(
        code::NOT_FOUND,
        "not_found",
        "There is no .keyvault.toml here, nor above up to the repository's root.",
        Some("'keyvault project init' makes one."),
    )
}

pub(super) fn no_profile(file: &ProjectFile, wanted: Option<&Profile>, path: &Path) -> Failure {
    const ALIKE: f64 = 0.7;
    let wanted = wanted.map(Profile::as_str).unwrap_or_default();
    let likeness = |profile: &&Profile| strsim::jaro_winkler(profile.as_str(), wanted);
    let near = file.profiles().filter(|profile| likeness(profile) >= ALIKE);
    let near = near.max_by(|left, right| likeness(left).total_cmp(&likeness(right)));
    let all: Vec<_> = file.profiles().map(Profile::as_str).collect();
    let all = if all.is_empty() { "It has none.".to_owned() } else { format!("It has: {}.", all.join(", ")) };
    Failure::new(
        code::NOT_FOUND,
        "not_found",
        format!("{} has no profile {wanted}.", ui::harmless_line(&path.display().to_string())),
        Some(&did_you_mean(near, &all)),
    )
}

pub(super) fn asks_for_nothing(path: &Path, file: &ProjectFile, profile: Option<&Profile>) -> Failure {
    let path = ui::harmless_line(&path.display().to_string());
    let profiles: Vec<_> = file.profiles().map(|profile| format!("--profile {profile}")).collect();
    let (message, hint) = if profile.is_some() || file.all().next().is_none() {
        let hint = "'keyvault project add NAME' adds one; --only, --scope and --all choose without it.";
        (format!("{path} asks for no key."), hint.to_owned())
    } else {
        (format!("{path} asks for no key without a profile."), format!("It has: {}.", profiles.join(", ")))
    };
    Failure::new(code::NOT_FOUND, "not_found", message, Some(&hint))
}

pub(super) fn not_allowed(path: &Path, new: &BTreeSet<Ask>) -> Failure {
    let mut message =
        format!("{} asks for keys that it was not allowed:", ui::harmless_line(&path.display().to_string()));
    for ask in new {
        message.push_str("\n  ");
        message.push_str(&logged_line(ask));
    }
    Failure::new(
        code::REFUSED,
        "not_allowed",
        message,
        Some("Nothing was released. 'keyvault project allow' shows it again and allows it for this path."),
    )
}

pub(super) fn not_remembered(error: &io::Error) -> Failure {
    Failure::failed(
        &format!("What is allowed could not be written down: {}.", reason(error)),
        Some(
            "It is kept in the folder of your state: $XDG_STATE_HOME/keyvault/projects. Nothing was released.",
        ),
    )
}

/// What would be handed out, in a line, for who decides and must see which key it is. What the file chose to write stands in quotes, and nothing in it is left to be
/// taken for something else; its descriptions are not repeated where somebody decides.
pub(super) fn ask_line(ask: &Ask) -> String {
    line(ask, ToOwned::to_owned)
}

/// The same where it may end up in a log.
pub(super) fn logged_line(ask: &Ask) -> String {
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
pub(super) fn key_shown(name: &str) -> String {
    if looks_like_a_value(name) { "(a name that looks like a value)".to_owned() } else { name.to_owned() }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.escape_default())
}
