//! `keyvault exec`

mod delivery;
mod expiry;
mod files;
mod masking;
mod plan;
mod preview;
mod watch;

use std::ffi::OsString;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};

use self::delivery::Delivery;
use self::files::{FromFiles, Request};
use self::masking::MaskedOutput;
use self::plan::Plan;
use self::watch::Watching;
use crate::cli::args::Choice;
use crate::cli::complete;
use crate::cli::context::{self, Context, runtime_folder};
use crate::cli::errors::Failure;
use crate::cli::output::view;
use crate::cli::unlock;
use crate::cli::unlock::key_source::Machine;
use keyvault_exec::environment::{self, Inheritance};
use keyvault_exec::release::{Preview, Released, Skipped};
use keyvault_exec::supervise::{Ending, Masking, Nothing, Supervisor};
use keyvault_exec::{Command, ExecError};
use keyvault_vault::key;

/// Run a command with keys in its environment.
///
/// The command replaces keyvault: its exit code, signals and terminal are its own. Values replace inherited variables of
/// the same name. No KEYVAULT_ variable is passed on: the command gets KEYVAULT_EXEC=1, and in KEYVAULT_VAULT the absolute
/// path of the vault, so that a keyvault inside it uses the same one. All problems are reported before the command starts. A key that is delivered another way is not also in a variable, unless --only, --as or --previous names it. Exit
/// codes: the command's own; 125 if keyvault fails, 126 if the command cannot be run, 127 if it is not found, 130 for
/// Ctrl-C at keyvault's prompt.
///
/// If you choose no keys, the project file does: the nearest .keyvault.toml, in the working directory or above, once you
/// have approved it. Without a project file, a token or a limited session injects every key
/// granted to it.
///
/// With --watch, keyvault looks at the vault's file four times a second. When a key has a new value, the command gets TERM,
/// ends in its own time, and is started again, which is recorded. The first restart is immediate; further ones within a
/// short time wait 1, 2, 4 and up to 30 seconds. If a key is revoked, removed or expired, the command gets TERM and
/// keyvault ends with 125. While the vault is locked, or the vault or bundle is older than this machine last saw, the
/// command keeps its keys. With --on-rotate, the command is not ended: keyvault rewrites the files of --file, or removes
/// them if their key is refused, and sends the signal. Variables, descriptors and standard input stay as they were.
///
/// Masking covers each value, each of its lines, and its common encodings: base64, hex, URL and JSON escapes. Under CI
/// (where $CI is set), output that is neither a terminal nor a file is masked by default, and if that output does not go to the log, a line on standard error says how often. These are not masked: public keys, settings and defaults of the project file, values under four bytes, blanks, integers of up to five digits, and the words true, false, yes, no, on, off, null, none, and localhost. Files that the command writes are not masked. Text that may be the beginning of
/// a value is held back until what follows decides, except for three bytes. What the command itself writes to /dev/tty is
/// masked if its standard output is a terminal.
#[derive(Debug, Args)]
#[command(visible_alias = "run")]
pub(crate) struct Exec {
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    files: FromFiles,
    #[command(flatten)]
    machine: Machine,
    /// Start from PATH, HOME, USER, LOGNAME, SHELL, TERM, LANG, LC_*, TZ and TMPDIR only
    #[arg(long, help_heading = "Environment")]
    clean_env: bool,
    /// Keep this variable despite --clean-env; may be repeated
    #[arg(long, value_name = "VAR", add = complete::variables(), value_parser = OsStringValueParser::new().try_map(inheritable),
        requires = "clean_env", help_heading = "Environment", hide_short_help = true)]
    preserve_env: Vec<OsString>,
    /// Refuse keys whose value is empty
    #[arg(long, help_heading = "Environment", hide_short_help = true)]
    no_empty: bool,
    #[command(flatten)]
    delivery: Delivery,
    #[command(flatten)]
    watching: Watching,
    #[command(flatten)]
    mask: masking::MaskArgs,
    /// Show what the command would get, and run nothing
    #[arg(long)]
    dry_run: bool,
    /// The command and its arguments, after --
    #[arg(last = true, required = true, value_name = "COMMAND", add = complete::commands())]
    command: Vec<OsString>,
}

impl Exec {
    /// Returns `true` if it prints what the command would get instead of running it.
    pub(in crate::cli) fn prints(&self) -> bool {
        self.dry_run
    }

    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let wanted = self.delivery.wanted();
        let program =
            self.command.first().map_or_else(String::new, |word| word.to_string_lossy().into_owned());
        let failed = |error: ExecError| Failure::exec(&error, &program);
        let mut command =
            Command::find(&self.command, context::variable("PATH").as_deref()).map_err(failed)?;
        if wanted.has_files() {
            unlock::sweep();
        }
        // Before anything else is opened: the command's own descriptors.
        let places = wanted.prepare(&mut command, runtime_folder().as_deref());
        let places = places.map_err(|error| failed(error.into()))?;
        // Before the vault is touched: what files ask for has to be approved first.
        let request = self.files.request(context, &self.choice, places.wanted(), &self.machine)?;
        let inheritance = Inheritance { clean: self.clean_env, preserve: self.preserve_env.clone() };
        let vault = self.machine.vault_for_child(context);
        let inherited = inheritance.filter(context::variables(), vault.as_deref());
        let weight = command.weight()
            + environment::weight(&inherited)
            + environment::weight(&places.variables())
            + files::weight(&request);
        let Request { selection, literals, settings } = request;
        let no_empty = self.no_empty;
        let plan = Plan { program, selection, literals, settings, inherited, places, weight, no_empty };
        let masked = self.mask.output();
        let masked = masked.as_ref();
        if plan.selection.is_empty() {
            return self.run_without_keys(context, plan, command, masked);
        }
        let mut supply = context.supply(&self.machine)?;
        if self.dry_run {
            return preview::print(context, &plan.preview(context, &mut supply)?, &plan);
        }
        if self.watching.watch {
            return self.watching.run(context, plan, command, supply, masked);
        }
        let released = plan.release(context, &mut supply, &plan.selection, "")?;
        note_replaced_variable(context, &self.command, &released);
        if masked.is_some() || plan.places.wanted().has_files() {
            drop(supply);
            return run_beside(context, plan, command, released, masked);
        }
        let environment = plan.fill(&mut command, &released)?;
        drop(released);
        supply.leave_open();
        Err(plan.failed(&command.replace(&environment)))
    }

    /// An env-file without references needs no vault, nor does a project file with plain settings alone.
    fn run_without_keys(
        &self,
        context: &Context,
        plan: Plan,
        mut command: Command,
        masked: Option<&MaskedOutput>,
    ) -> Result<u8, Failure> {
        if self.dry_run {
            return preview::print(context, &Preview::default(), &plan);
        }
        let nothing = Released::nothing();
        if masked.is_some() || plan.places.wanted().has_files() {
            return run_beside(context, plan, command, nothing, masked);
        }
        let environment = plan.fill(&mut command, &nothing)?;
        Err(plan.failed(&command.replace(&environment)))
    }
}

/// `exec -- echo "$VAR"`: the calling shell has put its own value, which is none, in the variable's place.
fn note_replaced_variable(context: &Context, command: &[OsString], released: &Released) {
    let Some((program, words)) = command.split_first() else { return };
    let name = program.to_str().and_then(|program| program.rsplit('/').next());
    let Some(name @ ("echo" | "printf")) = name.filter(|_| words.iter().all(|word| word.is_empty())) else {
        return;
    };
    if let Some(variable) = released.values().iter().find_map(|key| key.variable.as_ref()) {
        context.ui.note(&format!(
            "`{name}` has nothing to print. The calling shell replaces ${variable} before the command starts; \
             the command's own is in: -- sh -c 'printf %s \"${variable}\"'"
        ));
    }
}

/// A variable that `--preserve-env` may name.
fn inheritable(name: OsString) -> Result<OsString, &'static str> {
    if environment::is_own(&name) {
        return Err("is a variable that keyvault itself uses, which no command inherits");
    }
    if name.is_empty() || name.as_encoded_bytes().contains(&b'=') {
        return Err("takes the name of a variable, without a value");
    }
    Ok(name)
}

/// Runs the command as a child.
fn run_beside(
    context: &Context,
    plan: Plan,
    command: Command,
    released: Released,
    masked: Option<&MaskedOutput>,
) -> Result<u8, Failure> {
    let mask = masked.map(|output| output.mask(context, &plan, &released)).transpose()?;
    let masking = masked.zip(mask.as_ref()).map(|(output, mask)| output.masking(mask));
    let supervisor = Supervisor::begin().map_err(|error| plan.failed(&error))?;
    let ending = look_after(&supervisor, &plan, command, released, masking);
    if let Some(output) = masked {
        output.report(context);
    }
    // While no signal ends us: what has to be taken away.
    drop(plan);
    Ok(ending?.pass_on(supervisor))
}

/// One start, and its end.
fn look_after(
    supervisor: &Supervisor,
    plan: &Plan,
    mut command: Command,
    released: Released,
    masking: Option<Masking<'_>>,
) -> Result<Ending, Failure> {
    let environment = plan.fill(&mut command, &released)?;
    drop(released);
    let ending = supervisor.run(&command, &environment, masking, &mut Nothing);
    ending.map_err(|error| plan.failed(&error))
}

pub(super) fn say_skipped(context: &Context, skipped: &Skipped) {
    let reasons = [
        ("it has expired", "they have expired", &skipped.expired),
        ("it is disabled", "they are disabled", &skipped.disabled),
        ("it is revoked", "they are revoked", &skipped.revoked),
    ];
    for (one, several, names) in reasons {
        if !names.is_empty() {
            let why = if names.len() == 1 { one } else { several };
            context.ui.warn(&format!("Left out, because {why}: {}.", view::joined(names.iter())));
        }
    }
}

/// `exec` and `export` without a choice: the choices that there are, if they can be had without a question.
pub(super) fn nothing_selected(context: &Context) -> Failure {
    let mut hint = "Choose keys with `--only NAME`, `--scope SCOPE`, `--as VAR=NAME` or `--all`.\n\
        In a project, `keyvault project add NAME` records a key, and `exec` needs no options."
        .to_owned();
    if let Some((scopes, keys)) = choices(context) {
        hint.push_str(&format!("\nscopes: {scopes}\nkeys:   {keys}"));
    }
    Failure::usage("No keys chosen.", Some(&hint))
}

fn choices(context: &Context) -> Option<(String, String)> {
    const SHOWN: usize = 20;
    let mut vault = context.open().ok()?;
    let access = context.access_without_question(&mut vault).ok()?;
    let keys = key::list(&mut vault, &access).ok()?;
    let scopes: std::collections::BTreeSet<_> = keys.iter().flat_map(|key| &key.scopes).collect();
    let mut names = view::joined(keys.iter().take(SHOWN).map(|key| &key.name));
    if keys.len() > SHOWN {
        names.push_str(&format!(" and {} more", keys.len() - SHOWN));
    }
    Some((view::joined(scopes.into_iter()), names))
}
