//! Keys that files ask for: the project file, and env-files that are named.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::args::{Choice, named};
use crate::cli::cmd::import;
use crate::cli::cmd::project::gate::{self, Believed, Defaults, Found};
use crate::cli::complete;
use crate::cli::context::{self, Context};
use crate::cli::errors::{self, Failure};
use crate::cli::output;
use crate::cli::preset::{self, Preset};
use crate::cli::unlock::key_source::Machine;
use crate::exchange;
use crate::project::{Profile, reference};
use keyvault_core::name::EnvName;
use keyvault_core::secret::SecretBytes;
use keyvault_exec::delivery::{self, Deliveries};
use keyvault_exec::release::{ComposedVariable, Problem, Selection, WhenMissing};
use keyvault_vault::Shape;

/// The longest env-file, in bytes.
const MAX_ENV_FILE: usize = 1 << 20;

/// The options that read files.
#[derive(Debug, Args)]
pub(super) struct FromFiles {
    /// The project file's entries, with this profile on top
    #[arg(long, value_name = "PROFILE", add = complete::profiles(), value_parser = named::<Profile>,
        conflicts_with_all = ["scope", "all"], help_heading = "Which keys")]
    profile: Option<Profile>,
    /// The variables of this .env file, with values such as kv://NAME, kv://NAME?version=N or kv://NAME?json=FIELD; may be repeated
    #[arg(long, value_name = "FILE", help_heading = "Which keys")]
    env_file: Vec<PathBuf>,
    #[command(flatten)]
    defaults: Defaults,
}

/// Everything that a command is to get.
pub(super) struct Request {
    pub(super) selection: Selection,
    /// Variables with values of an env-file's own.
    pub(super) literals: Vec<(EnvName, SecretBytes)>,
    /// Plain settings of the project file. The caller's own variable takes precedence.
    pub(super) settings: Vec<(EnvName, String)>,
}

impl FromFiles {
    /// Combines keys that were chosen by name, keys that do not go into a variable, and the requests of the files.
    ///
    /// `--scope`, `--all`, `--as`, `--previous` and `--env-file` leave the project file alone. `--only` takes from it the
    /// entries of that variable or key, under the profile of `KEYVAULT_PROFILE` as well, and what it does not have from the
    /// vault.
    pub(super) fn request(
        &self,
        context: &Context,
        choice: &Choice,
        wanted: &Deliveries,
        machine: &Machine,
    ) -> Result<Request, Failure> {
        let selection = Selection { apart: wanted.keys(), ..choice.selection() };
        let mut request = Request { selection, literals: Vec::new(), settings: Vec::new() };
        for path in &self.env_file {
            read_env_file(context, path, &mut request)?;
        }
        let mut profile = self.profile.clone();
        if profile.is_none() && self.env_file.is_empty() && request.selection.is_empty() {
            match preset::choice()? {
                Preset::Nothing => {}
                Preset::Scopes(scopes) => request.selection.scopes = scopes,
                Preset::Profile(preset) => profile = Some(preset),
            }
        }
        let chosen = &request.selection;
        let by_label = chosen.all || !chosen.scopes.is_empty();
        let nothing = chosen.is_empty() && self.env_file.is_empty();
        let found = if profile.is_some() {
            Some(Found::required(Believed::by(machine))?)
        } else if nothing {
            Found::nearest(Believed::by(machine))?
        } else if !chosen.only.is_empty() && !by_label {
            // The choice is complete without a file, and so it is in a folder that is gone.
            profile = preset::profile()?;
            if std::env::current_dir().is_ok() { Found::nearest(Believed::by(machine))? } else { None }
        } else {
            None
        };
        match found {
            Some(found) => self.add_project(context, &found, profile.as_ref(), &mut request, machine)?,
            // Without a file a machine gets all that it was granted.
            None if nothing && machine.given() => request.selection.all = true,
            None if nothing && context.limited_supply().is_some() => request.selection.all = true,
            None if nothing => return Err(super::nothing_selected(context)),
            None => {}
        }
        refuse_misplaced(&request, wanted)?;
        Ok(request)
    }

    fn add_project(
        &self,
        context: &Context,
        found: &Found,
        profile: Option<&Profile>,
        request: &mut Request,
        machine: &Machine,
    ) -> Result<(), Failure> {
        let mut entries = found.entries(profile)?;
        let only = &mut request.selection.only;
        if !only.is_empty() {
            let wants = |entry: &crate::project::Entry, name: &str| {
                entry.variable.as_str() == name || entry.keys().iter().any(|key| key.as_str() == name)
            };
            entries.retain(|(_, entry)| only.iter().any(|name| wants(entry, name.as_str())));
            only.retain(|name| !entries.iter().any(|(_, entry)| wants(entry, name.as_str())));
        } else if entries.is_empty() {
            return Err(errors::project::asks_for_nothing(&found.path, &found.file, profile));
        }
        let approved = gate::approve(context, found, &entries, machine, self.defaults)?;
        let settings = approved
            .settings(&entries)
            .map_err(|unapproved| errors::project::unapproved_settings(&unapproved))?;
        let settings = settings.into_iter().map(|(variable, text)| (variable.clone(), text.to_owned()));
        request.settings.extend(settings);
        request.selection.composed.extend(approved.composed(&entries));
        Ok(())
    }
}

/// Reads an env-file. What it says is not asked about: it was named by hand. A variable of a later file takes the place
/// of the same one before.
fn read_env_file(context: &Context, path: &Path, request: &mut Request) -> Result<(), Failure> {
    let shown = path.display().to_string();
    let mut file = std::fs::File::open(path).map_err(|error| Failure::io(path, &error))?;
    let bytes = context::read_secret(&mut file, MAX_ENV_FILE, path)?;
    let parsed = exchange::parse(&bytes).map_err(|error| Failure::exchange(&error, &shown))?;
    let wrong = |variable: &str, why: &str| {
        let message = format!("{shown} cannot be used: {} {why}.", output::harmless_line(variable));
        Failure::usage(&message, Some("Nothing was released."))
    };
    if !parsed.strays.is_empty() {
        let (lines, are) = parsed.strays.told("is no assignment", "are no assignments");
        return Err(Failure::usage(
            &format!("{shown} cannot be used: {lines} {are}."),
            Some("Nothing was released. Write NAME=value, and put quotes around a value of several lines."),
        ));
    }
    import::warn_of_lost_values(context, &parsed, None);
    for entry in parsed.entries {
        let variable = entry.env_name().map_err(|why| wrong(&entry.variable, &why.to_string()))?;
        let text = std::str::from_utf8(entry.value.expose()).unwrap_or_default();
        let piece = reference::whole(text)
            .map_err(|why| wrong(&entry.variable, &format!("has an invalid reference: {why}")))?;
        if entry.value.expose().contains(&0) {
            return Err(wrong(&entry.variable, "contains a NUL byte, which no variable can carry"));
        }
        request.literals.retain(|(known, _)| *known != variable);
        request.selection.composed.retain(|known| known.variable != variable);
        match piece {
            Some(piece) => request.selection.composed.push(ComposedVariable {
                variable,
                pieces: vec![piece],
                when_missing: WhenMissing::default(),
            }),
            None => request.literals.push((variable, entry.value)),
        }
    }
    Ok(())
}

/// The size in the environment of an env-file's own values, of plain settings, and of all defaults, in bytes.
pub(super) fn weight(Request { selection, literals, settings }: &Request) -> usize {
    let weigh = |variable: &EnvName, value: usize| variable.as_str().len() + value + 2 + size_of::<usize>();
    let default = |composed: &ComposedVariable| {
        Some(weigh(&composed.variable, composed.when_missing.default.as_ref()?.len()))
    };
    let defaults: usize = selection.composed.iter().filter_map(default).sum();
    let settings: usize = settings.iter().map(|(variable, text)| weigh(variable, text.len())).sum();
    defaults + settings + literals.iter().map(|(variable, value)| weigh(variable, value.len())).sum::<usize>()
}

/// Refuses texts, an env-file's own, settings, and defaults, that cannot stand where they belong: under a variable that is to hold
/// a file's path, or in docker's env-file.
fn refuse_misplaced(request: &Request, wanted: &Deliveries) -> Result<(), Failure> {
    let Request { selection, literals, settings } = request;
    let settings = settings.iter().map(|(variable, text)| (variable, text.as_bytes()));
    let defaults = selection.composed.iter().filter_map(|composed| {
        let default = composed.when_missing.default.as_ref().filter(|_| !composed.when_missing.unapproved);
        default.map(|default| (&composed.variable, default.as_bytes()))
    });
    for (variable, text) in
        literals.iter().map(|(name, text)| (name, text.expose())).chain(settings).chain(defaults)
    {
        if wanted.file_variables().any(|taken| taken == variable) {
            return Err(Failure::usage(
                &format!(
                    "{variable} would hold the path of a file, but an env-file or the project file also sets it."
                ),
                Some("Nothing was released. Use another variable for one of them."),
            ));
        }
        if wanted.env_file.is_some()
            && let Some(fault) = delivery::line_fault(variable, Shape::of(text))
        {
            return Err(Failure::usage(
                &format!("{variable} cannot be passed to docker: {fault}."),
                Some("Nothing was released."),
            ));
        }
    }
    Ok(())
}

/// One line, and only where somebody is looking.
pub(super) fn say_left_out<'o>(
    context: &Context,
    left_out: impl Iterator<Item = (&'o EnvName, &'o [Problem])>,
) {
    let mut left_out = left_out.peekable();
    if left_out.peek().is_none() || !context.ui.err_is_terminal() {
        return;
    }
    let one = |(variable, why): (&EnvName, &[Problem])| {
        let why: Vec<_> = why.iter().map(errors::problem::problem_line).collect();
        format!("{variable} ({})", why.join("; "))
    };
    let all: Vec<_> = left_out.map(one).collect();
    let they_are = if all.len() == 1 { "it is" } else { "they are" };
    context.ui.note(&format!("Left out, because {they_are} optional: {}.", all.join(", ")));
}
