//! `keyvault exec`

mod delivery;
mod masking;
mod order;
mod watch;

use std::ffi::OsString;

use clap::Args;

use self::delivery::Delivery;
use self::order::Order;
use self::watch::Watching;
use crate::cli::args::Choice;
use crate::cli::complete;
use crate::cli::context::{self, Context, runtime_folder};
use crate::cli::error::{Failure, code};
use crate::cli::time;
use crate::cli::{ui, view};
use crate::exec::delivery::Deliveries;
use crate::exec::environment::{self, Inheritance};
use crate::exec::plan::Surroundings;
use crate::exec::streams::Ways;
use crate::exec::supervise::{Ending, Masking, Nothing, Supervisor};
use crate::exec::{Command, ExecError};
use crate::name::{EnvName, KeyName};
use crate::vault::{Access, Resolved, Selection, Vault};

/// Run a command with keys in its environment.
///
/// The command takes keyvault's place: its exit code, its signals and its terminal are its own. Values replace inherited
/// variables of the same name; no KEYVAULT_ variable is passed on but KEYVAULT_EXEC=1. Everything that is wrong is
/// said before anything starts. A key that is handed over another way is in no variable as well, unless --only, --as or
/// --previous names it. Exit codes: the command's own; 125 for every failure of keyvault, 126 for a command
/// that cannot be run, 127 for one that is not found, 130 for Ctrl-C at keyvault's prompt.
///
/// With --watch the vault's file is looked at four times a second. A new value means TERM to the command, its end, however
/// long that takes, and a new start, which is recorded: the first at once, those that follow soon 1, 2, 4… up to 30 seconds
/// apart. A key that is revoked, removed or expired ends the command by TERM, and keyvault with 125. While the vault is
/// locked, or older than what was last seen here, the command keeps what it has. With --on-rotate nothing is ended: the
/// files of --file are rewritten, or taken away if their key is refused, and the signal is sent; what is in variables, on
/// descriptors and on standard input stays as it was.
///
/// Masked are the values themselves, each of their lines, and their usual encodings: base64, hex, URL and JSON escapes.
/// Under CI (where $CI is set) that is so without asking for what is neither a terminal nor a file.
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
    delivery: Delivery,
    #[command(flatten)]
    watching: Watching,
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
        let wanted = self.delivery.wanted();
        let selection = Selection { apart: wanted.keys(), ..self.choice.selection() };
        if selection.is_empty() {
            return Err(nothing_selected(context));
        }
        let program =
            self.command.first().map_or_else(String::new, |word| word.to_string_lossy().into_owned());
        let failed = |error: ExecError| Failure::exec(&error, &program);
        let mut command =
            Command::find(&self.command, context::variable("PATH").as_deref()).map_err(failed)?;
        let places = wanted.prepare(&mut command, runtime_folder().as_deref());
        let places = places.map_err(|error| failed(error.into()))?;
        let inheritance = Inheritance { clean: self.clean_env, preserve: self.preserve_env.clone() };
        let inherited = inheritance.filter(context::variables());
        let surroundings = Surroundings {
            weight: command.weight()
                + environment::weight(&inherited)
                + environment::weight(&places.variables()),
            no_empty: self.no_empty,
        };
        let order = Order { program, selection, inherited, places, surroundings };
        let (mut vault, access) = context.open_with_access()?;
        if self.dry_run {
            return preview(context, &order, &mut vault, &access);
        }
        let ways = self.mask.ways();
        if self.watching.watch {
            return self.watching.run(context, order, command, (vault, access), ways);
        }
        let resolved = order.release(context, (&mut vault, &access), &order.selection, "")?;
        if ways.is_some() || order.places.wanted().has_files() {
            drop(vault);
            return run_beside(context, order, command, resolved, ways);
        }
        let environment = order.fill(&mut command, &resolved)?;
        drop(resolved);
        vault.leave_open();
        Err(order.failed(&command.replace(&environment)))
    }
}

/// Runs the command as a child.
fn run_beside(
    context: &Context,
    order: Order,
    command: Command,
    resolved: Vec<Resolved>,
    ways: Option<Ways>,
) -> Result<u8, Failure> {
    let mask = ways.map(|ways| masking::over(context, &resolved).map(|mask| (mask, ways))).transpose()?;
    let masking = mask.as_ref().map(|(mask, ways)| Masking { mask, ways: *ways, callers: ui::callers() });
    let supervisor = Supervisor::begin().map_err(|error| order.failed(&error))?;
    let ending = look_after(&supervisor, &order, command, resolved, masking);
    // While no signal ends us: what has to be taken away.
    drop(order);
    Ok(ending?.pass_on(supervisor))
}

/// One start, and its end.
fn look_after(
    supervisor: &Supervisor,
    order: &Order,
    mut command: Command,
    resolved: Vec<Resolved>,
    masking: Option<Masking<'_>>,
) -> Result<Ending, Failure> {
    let environment = order.fill(&mut command, &resolved)?;
    drop(resolved);
    let ending = supervisor.run(&command, &environment, masking, &mut Nothing);
    ending.map_err(|error| order.failed(&error))
}

fn preview(context: &Context, order: &Order, vault: &mut Vault, access: &Access) -> Result<u8, Failure> {
    let path = vault.path().to_owned();
    let inspect = |resolved: &[Resolved]| order.inspect(resolved);
    let (preview, skipped) = context.with_world(|world| {
        vault.preview(access, world, &order.selection, &inspect).map_err(|error| Failure::of(error, &path))
    })?;
    say_skipped(context, &skipped);
    print_preview(context, &preview, order.places.wanted())
}

fn print_preview(
    context: &Context,
    preview: &[(KeyName, Option<EnvName>)],
    wanted: &Deliveries,
) -> Result<u8, Failure> {
    let place = wanted.env_file.as_ref();
    let variables = preview.iter().filter_map(|(name, variable)| {
        let variable = variable.as_ref()?;
        let line = match place {
            Some(place) => format!("{variable} in the env-file in {place} <- {name}"),
            None => format!("{variable} <- {name}"),
        };
        let mut data = serde_json::json!({ "name": name.as_str(), "variable": variable.as_str() });
        if let (Some(place), Some(data)) = (place, data.as_object_mut()) {
            data.insert("env_file".to_owned(), place.as_str().into());
        }
        Some((line, data))
    });
    let all: Vec<_> = variables.chain(delivery::preview(wanted)).collect();
    if context.ui.json {
        let keys: Vec<_> = all.into_iter().map(|(_, data)| data).collect();
        context.ui.print_json(&serde_json::json!({ "keys": keys }))?;
    } else {
        for (line, _) in all {
            context.ui.line(&line)?;
        }
    }
    Ok(code::DONE)
}

pub(super) fn say_skipped(context: &Context, skipped: &[KeyName]) {
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
