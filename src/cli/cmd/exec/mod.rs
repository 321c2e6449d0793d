//! `keyvault exec`

mod masking;

use std::ffi::OsString;

use clap::Args;

use crate::audit::Action;
use crate::cli::args::Choice;
use crate::cli::complete;
use crate::cli::context::{self, Context};
use crate::cli::error::{Failure, code};
use crate::cli::time;
use crate::cli::{ui, view};
use crate::exec::environment::{self, Inheritance};
use crate::exec::plan::{self, Surroundings};
use crate::exec::supervise::{Masking, Nothing, Supervisor};
use crate::exec::{Command, ExecError};
use crate::vault::{Purpose, Resolved};

/// Run a command with keys in its environment.
///
/// The command takes keyvault's place: its exit code, its signals and its terminal are its own. Values replace inherited
/// variables of the same name; no KEYVAULT_ variable is passed on but KEYVAULT_EXEC=1. Everything that is wrong is
/// said before anything starts. With --mask, and under CI (where $CI is set) for what is neither a terminal nor a file,
/// the values are masked in what the command prints: as they are, line by line, and in base64, hex, URL and JSON
/// escapes. keyvault then stays beside it, passes every signal on once, and ends as it ends. Exit codes: the command's own; 125 for every failure of keyvault, 126 for a command
/// that cannot be run, 127 for one that is not found, 130 for Ctrl-C at keyvault's prompt.
#[derive(Debug, Args)]
pub struct Exec {
    #[command(flatten)]
    choice: Choice,
    /// Start from PATH, HOME, USER, LOGNAME, SHELL, TERM, LANG, LC_*, TZ and TMPDIR only
    #[arg(long, help_heading = "Environment")]
    clean_env: bool,
    /// Keep this variable in spite of --clean-env; may be repeated
    #[arg(long, value_name = "VAR", requires = "clean_env", help_heading = "Environment")]
    preserve_env: Vec<OsString>,
    /// Refuse keys whose value is empty
    #[arg(long, help_heading = "Environment")]
    no_empty: bool,
    #[command(flatten)]
    mask: masking::MaskArgs,
    /// Say what the command would get, and run nothing
    #[arg(long)]
    dry_run: bool,
    /// The command and its arguments, behind --
    #[arg(last = true, required = true, value_name = "COMMAND", add = complete::commands())]
    command: Vec<OsString>,
}

impl Exec {
    /// Whether it prints what the command would get instead of running it.
    pub(in crate::cli) fn prints(&self) -> bool {
        self.dry_run
    }

    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let selection = self.choice.selection();
        if selection.is_empty() {
            return Err(nothing_selected(context));
        }
        let program =
            self.command.first().map_or_else(String::new, |word| word.to_string_lossy().into_owned());
        let failed = |error: ExecError| Failure::exec(&error, &program);
        let command = Command::find(&self.command, context::variable("PATH").as_deref()).map_err(failed)?;
        let inheritance = Inheritance { clean: self.clean_env, preserve: self.preserve_env.clone() };
        let inherited = inheritance.filter(context::variables());
        let surroundings = Surroundings {
            weight: command.weight() + environment::weight(&inherited),
            no_empty: self.no_empty,
        };
        let inspect = |resolved: &[Resolved]| plan::inspect(resolved, surroundings);
        let (mut vault, access) = context.open_with_access()?;
        let path = vault.path().to_owned();
        if self.dry_run {
            let (preview, skipped) = context.with_world(|world| {
                vault.preview(&access, world, &selection, &inspect).map_err(|error| Failure::of(error, &path))
            })?;
            say_skipped(context, &skipped);
            return print_preview(context, &preview);
        }
        let purpose = Purpose { action: Action::Exec, detail: program_name(&program) };
        let (resolved, skipped) = context.with_world(|world| {
            vault
                .resolve(&access, world, &selection, purpose, &inspect)
                .map_err(|error| Failure::of(error, &path))
        })?;
        say_skipped(context, &skipped);
        warn_of_expiry(context, &resolved);
        let block = environment::build(&inherited, &resolved).map_err(|error| failed(error.into()))?;
        let Some(ways) = self.mask.ways() else {
            drop(resolved);
            vault.leave_open();
            return Err(failed(command.replace(&block)));
        };
        let mask = masking::over(context, &resolved)?;
        drop((resolved, vault));
        let supervisor = Supervisor::begin().map_err(failed)?;
        let masking = Masking { mask: &mask, ways, callers: ui::callers() };
        let ending = supervisor.run(&command, &block, Some(masking), &mut Nothing).map_err(failed)?;
        Ok(ending.pass_on(supervisor))
    }
}

/// The last part of a path: what the log says was run.
fn program_name(program: &str) -> String {
    program.rsplit('/').next().unwrap_or(program).to_owned()
}

fn print_preview(
    context: &Context,
    preview: &[(crate::name::KeyName, crate::name::EnvName)],
) -> Result<u8, Failure> {
    if context.ui.json {
        let keys: Vec<_> = preview
            .iter()
            .map(|(name, variable)| serde_json::json!({ "name": name.as_str(), "variable": variable.as_str() }))
            .collect();
        context.ui.print_json(&serde_json::json!({ "keys": keys }))?;
    } else {
        for (name, variable) in preview {
            context.ui.line(&format!("{variable} <- {name}"))?;
        }
    }
    Ok(code::DONE)
}

pub(super) fn say_skipped(context: &Context, skipped: &[crate::name::KeyName]) {
    if !skipped.is_empty() {
        context.ui.warn(&format!("Expired, left out: {}.", view::joined(skipped.iter())));
    }
}

/// One line, and only where somebody is looking.
fn warn_of_expiry(context: &Context, resolved: &[Resolved]) {
    let now = context.now();
    let soon: Vec<_> = resolved
        .iter()
        .filter(|key| view::expires_soon(key.expires, now))
        .filter_map(|key| key.expires.map(|at| format!("{} ({})", key.name, time::relative(at, now))))
        .collect();
    if !soon.is_empty() && context.ui.err_is_terminal() {
        context.ui.warn(&format!("Expiring soon: {}.", soon.join(", ")));
    }
}

/// `exec` and `export` without a choice: the choices that there are, if they can be had without a question.
pub(super) fn nothing_selected(context: &Context) -> Failure {
    let mut hint = "Choose with --only NAME, --scope SCOPE, --as NAME=VAR or --all.".to_owned();
    if let Some((scopes, keys)) = choices(context) {
        hint.push_str(&format!("\nscopes: {scopes}\nkeys:   {keys}"));
    }
    Failure::usage("No key was chosen.", Some(&hint))
}

fn choices(context: &Context) -> Option<(String, String)> {
    const SHOWN: usize = 20;
    let mut vault = context.open().ok()?;
    let access = match vault.session(context.now()) {
        Some(session) => session.into(),
        None => context.given_access(&mut vault).ok()??,
    };
    let items = vault.list(&access).ok()?;
    let scopes: std::collections::BTreeSet<_> = items.iter().flat_map(|item| &item.scopes).collect();
    let mut names = view::joined(items.iter().take(SHOWN).map(|item| &item.name));
    if items.len() > SHOWN {
        names.push_str(&format!(" and {} more", items.len() - SHOWN));
    }
    Some((view::joined(scopes.into_iter()), names))
}
