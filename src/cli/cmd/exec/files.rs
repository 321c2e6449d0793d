//! Keys that files ask for: the project file, and env-files that are named.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::args::named;
use crate::cli::cmd::project::gate::{self, Found};
use crate::cli::complete;
use crate::cli::context::{self, Context};
use crate::cli::error::{Failure, code};
use crate::cli::supply::Machine;
use crate::cli::{project_sentences, sentences, ui};
use crate::exchange;
use crate::name::EnvName;
use crate::project::{Profile, reference};
use crate::secret::SecretBytes;
use crate::vault::{LeftOut, Pick, Preview, Problem, Resolved, Selection, WhenMissing};

/// The longest env-file, in bytes.
const MAX_ENV_FILE: usize = 1 << 20;

/// The options that bring files in.
#[derive(Debug, Args)]
pub(super) struct FromFiles {
    /// What the project file says, with this profile's entries on top
    #[arg(long, value_name = "PROFILE", add = complete::profiles(), value_parser = named::<Profile>,
        conflicts_with_all = ["scope", "all"], help_heading = "Which keys")]
    profile: Option<Profile>,
    /// The variables of this .env file, whose values may be kv://NAME or kv://NAME?version=N; may be repeated
    #[arg(long, value_name = "FILE", help_heading = "Which keys")]
    env_file: Vec<PathBuf>,
}

/// Everything that a command is to get.
pub(super) struct Request {
    /// Keys.
    pub(super) selection: Selection,
    /// Variables with values of an env-file's own.
    pub(super) literals: Vec<(EnvName, SecretBytes)>,
}

impl FromFiles {
    /// Adds what the files ask for to what was chosen by name.
    ///
    /// `--scope`, `--all`, `--as`, `--previous` and `--env-file` leave the project file alone. `--only` takes from it the
    /// entries of that variable or key, and what it does not have from the vault.
    pub(super) fn request(
        &self,
        context: &Context,
        selection: Selection,
        machine: &Machine,
    ) -> Result<Request, Failure> {
        let mut request = Request { selection, literals: Vec::new() };
        for path in &self.env_file {
            read_env_file(path, &mut request)?;
        }
        let chosen = &request.selection;
        let by_label = chosen.all || !chosen.scopes.is_empty();
        let nothing = chosen.is_empty() && self.env_file.is_empty();
        let found = if self.profile.is_some() {
            Some(Found::required()?)
        } else if nothing || (!chosen.only.is_empty() && !by_label) {
            Found::nearest()?
        } else {
            None
        };
        match found {
            Some(found) => self.add_project(context, &found, &mut request, machine)?,
            // Without a file a machine gets all that it was granted.
            None if nothing && machine.given() => request.selection.all = true,
            None if nothing => return Err(super::nothing_selected(context)),
            None => {}
        }
        Ok(request)
    }

    fn add_project(
        &self,
        context: &Context,
        found: &Found,
        request: &mut Request,
        machine: &Machine,
    ) -> Result<(), Failure> {
        let mut entries = found.entries(self.profile.as_ref())?;
        let only = &mut request.selection.only;
        if !only.is_empty() {
            let wants = |entry: &crate::project::Entry, name: &str| {
                entry.variable.as_str() == name || entry.keys().iter().any(|key| key.as_str() == name)
            };
            entries.retain(|(_, entry)| only.iter().any(|name| wants(entry, name.as_str())));
            only.retain(|name| !entries.iter().any(|(_, entry)| wants(entry, name.as_str())));
        } else if entries.is_empty() {
            return Err(project_sentences::asks_for_nothing(&found.path));
        }
        let approved = gate::approve(context, found, &entries, machine)?;
        request.selection.picks.extend(approved.picks(&entries));
        Ok(())
    }
}

/// Reads an env-file. What it says is not asked about: it was named by hand. A variable of a later file takes the place
/// of the same one before.
fn read_env_file(path: &Path, request: &mut Request) -> Result<(), Failure> {
    let shown = path.display().to_string();
    let mut file = std::fs::File::open(path).map_err(|error| Failure::io(path, &error))?;
    let bytes = context::read_secret(&mut file, MAX_ENV_FILE, path)?;
    let parsed = exchange::parse(&bytes).map_err(|error| Failure::exchange(&error, &shown))?;
    let wrong = |variable: &str, why: &str| {
        let message = format!("{shown} cannot be used: {} {why}.", ui::harmless_line(variable));
        Failure::usage(&message, Some("Nothing was released."))
    };
    for entry in parsed.entries {
        let variable =
            EnvName::parse(&entry.variable).map_err(|why| wrong(&entry.variable, &why.to_string()))?;
        let text = std::str::from_utf8(entry.value.expose()).unwrap_or_default();
        let piece = reference::whole(text)
            .map_err(|why| wrong(&entry.variable, &format!("holds no reference to a key: {why}")))?;
        if entry.value.expose().contains(&0) {
            return Err(wrong(&entry.variable, "holds a NUL byte, which no variable can carry"));
        }
        request.literals.retain(|(known, _)| *known != variable);
        request.selection.picks.retain(|known| known.variable != variable);
        match piece {
            Some(piece) => request.selection.picks.push(Pick {
                variable,
                pieces: vec![piece],
                when_missing: WhenMissing::default(),
            }),
            None => request.literals.push((variable, entry.value)),
        }
    }
    Ok(())
}

/// Bytes that defaults would take in the environment, all of them.
pub(super) fn weight_of_defaults(selection: &Selection) -> usize {
    let weigh = |pick: &Pick| {
        let default = pick.when_missing.default.as_ref()?;
        Some(pick.variable.as_str().len() + default.len() + 2 + size_of::<usize>())
    };
    selection.picks.iter().filter_map(weigh).sum()
}

/// Keys under variables to which an env-file gives a value of its own.
pub(super) fn given_twice(resolved: &[Resolved], literals: &[(EnvName, SecretBytes)]) -> Vec<Problem> {
    let given: BTreeSet<&EnvName> = literals.iter().map(|(variable, _)| variable).collect();
    let twice = resolved.iter().filter(|key| given.contains(&key.variable));
    twice
        .map(|key| Problem::AlreadyGiven { variable: key.variable.clone(), name: key.name.clone() })
        .collect()
}

/// One line, and only where somebody is looking.
pub(super) fn say_left_out(context: &Context, left_out: &[LeftOut]) {
    if left_out.is_empty() || !context.ui.err_is_terminal() {
        return;
    }
    let one = |left_out: &LeftOut| {
        let why: Vec<_> = left_out.why.iter().map(sentences::problem_line).collect();
        format!("{} ({})", left_out.variable, why.join("; "))
    };
    let all: Vec<_> = left_out.iter().map(one).collect();
    context.ui.note(&format!("Left out, as they are optional: {}.", all.join(", ")));
}

/// What the command would get.
pub(super) fn print_preview(
    context: &Context,
    preview: &Preview,
    literals: &[(EnvName, SecretBytes)],
) -> Result<u8, Failure> {
    say_left_out(context, &preview.left_out);
    if context.ui.json {
        let keys: Vec<_> = preview
            .keys
            .iter()
            .map(|(name, variable)| serde_json::json!({ "name": name.as_str(), "variable": variable.as_str() }))
            .collect();
        let variables = |names: Vec<&EnvName>| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut answer = serde_json::json!({ "keys": keys });
        if let Some(object) = answer.as_object_mut() {
            let mut put = |field: &str, names: Vec<&EnvName>| {
                if !names.is_empty() {
                    object.insert(field.to_owned(), variables(names).into());
                }
            };
            put("defaults", preview.defaults.iter().map(|(variable, _)| variable).collect());
            put("left_out", preview.left_out.iter().map(|left_out| &left_out.variable).collect());
            put("from_env_file", literals.iter().map(|(variable, _)| variable).collect());
        }
        context.ui.print_json(&answer)?;
        return Ok(code::DONE);
    }
    for (variable, group) in grouped(&preview.keys) {
        context.ui.line(&format!("{variable} <- {}", group.join(", ")))?;
    }
    for (variable, _) in &preview.defaults {
        context.ui.line(&format!("{variable} <- its default"))?;
    }
    for (variable, _) in literals {
        context.ui.line(&format!("{variable} <- the env-file"))?;
    }
    Ok(code::DONE)
}

/// Each variable with its keys.
fn grouped(keys: &[(crate::name::KeyName, EnvName)]) -> Vec<(&EnvName, Vec<&str>)> {
    let groups = keys.chunk_by(|left, right| left.1 == right.1);
    groups
        .filter_map(|group| {
            let (_, variable) = group.first()?;
            Some((variable, group.iter().map(|(name, _)| name.as_str()).collect()))
        })
        .collect()
}
