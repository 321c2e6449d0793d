//! `keyvault export`

use std::collections::BTreeSet;
use std::path::Path;

use clap::{Args, ValueEnum};

use super::exec;
use crate::cli::args::Choice;
use crate::cli::context::{self, Context};
use crate::cli::errors::{Failure, code};
use crate::cli::output::view;
use crate::cli::preset;
use crate::cli::unlock::key_source::Machine;
use crate::exchange::{self, GithubEnv, Shell};
use keyvault_core::name::EnvName;
use keyvault_exec::release::{self, Released};
use keyvault_os::fs::untrusted;
use keyvault_vault::Purpose;
use keyvault_vault::audit::Action;

/// Print keys for a shell, docker, or a program that reads .env or JSON.
///
/// Writes to stdout, keyed by variable. Whatever reads the format gets the same bytes; if the format cannot carry a value,
/// nothing is written. Do not source the .env output in a shell, which would expand and run what is in double quotes or
/// backticks: that is what the shell format is for. In a GitHub Actions step, github-env appends the variables to the file that $GITHUB_ENV names, after the
/// runner was told to mask each line of their values. The audit log records the export.
#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    machine: Machine,
    /// dotenv (NAME=value lines), json (an object, also with --json), shell (for eval), docker (for --env-file), or github-env
    #[arg(long, value_enum, value_name = "FORMAT", hide_possible_values = true)]
    format: Option<Written>,
    /// The shell that evaluates it, with or without --format shell: sh (the default), bash, zsh, fish, or powershell
    #[arg(long, value_enum, value_name = "SHELL", hide_possible_values = true)]
    shell: Option<Dialect>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Dialect {
    #[value(alias = "ksh", alias = "dash")]
    Sh,
    Bash,
    Zsh,
    Fish,
    #[value(alias = "pwsh")]
    Powershell,
}

impl From<Dialect> for Shell {
    fn from(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Sh | Dialect::Bash | Dialect::Zsh => Self::Posix,
            Dialect::Fish => Self::Fish,
            Dialect::Powershell => Self::Pwsh,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Written {
    /// NAME=value lines
    Dotenv,
    /// {"NAME": "value"}
    Json,
    /// export NAME='value' lines
    Shell,
    /// NAME=value lines without quotes
    Docker,
    /// Variables for the following steps of a GitHub Actions job
    GithubEnv,
}

impl Written {
    fn name(self) -> &'static str {
        match self {
            Self::Dotenv => "dotenv",
            Self::Json => "json",
            Self::Shell => "shell",
            Self::Docker => "docker",
            Self::GithubEnv => "github-env",
        }
    }
}

impl Export {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let mut selection = self.choice.selection();
        if selection.is_empty() {
            selection.scopes = preset::scopes()?;
        }
        // Where nothing was chosen, a machine gets all that it was granted.
        if selection.is_empty() && (self.machine.given() || context.limited_supply().is_some()) {
            selection.all = true;
        }
        if selection.is_empty() {
            return Err(exec::nothing_selected(context));
        }
        let format = self.format(context)?;
        let job = if format == Written::GithubEnv { Some(github_job(context)?) } else { None };
        let mut keys = context.supply(&self.machine)?;
        let purpose = Purpose { action: Action::Export, detail: format.name().to_owned() };
        let released = context.with_keys(&mut keys, |keys, world| {
            let staged = release::stage(keys.begin(world)?, &selection)?;
            Ok(staged.fit_anywhere()?.commit(purpose)?)
        })?;
        exec::say_skipped(context, released.skipped());
        match job {
            Some(file) => to_github(context, &released, &file),
            None => to_stdout(context, &released, format, self.shell.map_or(Shell::Posix, Shell::from)),
        }
    }

    fn format(&self, context: &Context) -> Result<Written, Failure> {
        let usual = match self.shell {
            Some(_) => Written::Shell,
            None if context.ui.json => Written::Json,
            None => Written::Dotenv,
        };
        let format = self.format.unwrap_or(usual);
        if self.shell.is_some() && format != Written::Shell {
            return Err(Failure::usage(
                &format!("`--shell` is for `--format shell`, not for `--format {}`.", format.name()),
                Some("Leave out one of them."),
            ));
        }
        Ok(format)
    }
}

fn variables(released: &Released) -> Vec<(&str, &[u8])> {
    let variables = released.values().iter();
    variables.filter_map(|key| Some((key.variable.as_ref()?.as_str(), key.value.expose()))).collect()
}

fn to_stdout(context: &Context, released: &Released, format: Written, shell: Shell) -> Result<u8, Failure> {
    let variables = variables(released);
    let written = match format {
        Written::Json => exchange::write_json(&variables),
        Written::Shell => exchange::write_shell(&variables, shell),
        Written::Docker => exchange::write_docker(&variables),
        Written::Dotenv | Written::GithubEnv => exchange::write_dotenv(&variables),
    };
    let written = written.map_err(|error| Failure::exchange(&error, "the selection"))?;
    context.ui.file(&written, format == Written::Json)?;
    Ok(code::DONE)
}

/// The file for the variables of later steps. Where no runner reads stdout, the commands that mask values would show
/// them instead.
fn github_job(context: &Context) -> Result<std::path::PathBuf, Failure> {
    let runs = context::variable("GITHUB_ACTIONS").is_some_and(|value| value == "true");
    match context::variable("GITHUB_ENV") {
        Some(file) if runs && !context.ui.out_is_terminal() => Ok(file.into()),
        _ => Err(Failure::usage(
            "`github-env` works only in a GitHub Actions step, where the runner reads standard output.",
            Some(
                "Elsewhere, give keys to one process with `keyvault exec`, or print them with `--format dotenv`.",
            ),
        )),
    }
}

/// Masked first: whatever goes wrong then, the log shows nothing.
fn to_github(context: &Context, released: &Released, file: &Path) -> Result<u8, Failure> {
    let variables = variables(released);
    let public = released.values().iter().filter(|key| key.public);
    let public: BTreeSet<_> = public.filter_map(|key| key.variable.as_ref()).map(EnvName::as_str).collect();
    let (secret, open): (Vec<_>, Vec<_>) =
        variables.iter().copied().partition(|(variable, _)| !public.contains(variable));
    let write = |variables: &[(&str, &[u8])]| {
        context.with_world(|world| {
            exchange::write_github_env(variables, world.rng)
                .map_err(|error| Failure::exchange(&error, "the selection"))
        })
    };
    let GithubEnv { file: lines, .. } = write(&variables)?;
    let GithubEnv { masks, unmasked, .. } = write(&secret)?;
    context.ui.data(masks.expose())?;
    let open: Vec<_> = open.into_iter().map(|(variable, _)| variable.to_owned()).collect();
    let reasons = [(unmasked, "short or common values"), (open, "public")];
    let reasons = reasons.into_iter().filter(|(names, _)| !names.is_empty());
    let reasons: Vec<_> = reasons.map(|(names, why)| format!("{} ({why})", names.join(", "))).collect();
    if !reasons.is_empty() {
        context.ui.warn(&format!("Not masked in the job log: {}.", reasons.join("; ")));
    }
    untrusted::append(file, lines.expose()).map_err(|error| Failure::io(file, &error))?;
    context.ui.note(&format!("Set {} for the following steps.", view::counted(variables.len(), "variable")));
    Ok(code::DONE)
}
