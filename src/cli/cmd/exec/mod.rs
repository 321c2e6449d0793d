//! `keyvault exec`

mod files;

use std::ffi::OsString;

use clap::Args;

use crate::audit::Action;
use crate::cli::args::Choice;
use crate::cli::complete;
use crate::cli::context::{self, Context};
use crate::cli::error::Failure;
use crate::cli::supply::{self, Machine};
use crate::cli::time;
use crate::cli::view;
use crate::exec::environment::{self, Inheritance};
use crate::exec::plan::{self, Surroundings};
use crate::exec::{Command, ExecError};
use crate::name::EnvName;
use crate::secret::SecretBytes;
use crate::vault::{Preview, Purpose, Resolved};

use files::{FromFiles, Request};

/// Run a command with keys in its environment.
///
/// The command takes keyvault's place: its exit code, its signals and its terminal are its own. Values replace inherited
/// variables of the same name; no KEYVAULT_ variable is passed on but KEYVAULT_EXEC=1. Everything that is wrong is
/// said before anything starts. Exit codes: the command's own; 125 for every failure of keyvault, 126 for a command
/// that cannot be run, 127 for one that is not found, 130 for Ctrl-C at keyvault's prompt. Without a choice of keys the
/// project file decides: .keyvault.toml, found upward from the working directory, once it was allowed; where there is
/// none, a token injects all that it was granted.
#[derive(Debug, Args)]
pub struct Exec {
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    files: FromFiles,
    #[command(flatten)]
    machine: Machine,
    /// Start from PATH, HOME, USER, LOGNAME, SHELL, TERM, LANG, LC_*, TZ and TMPDIR only
    #[arg(long, help_heading = "Environment")]
    clean_env: bool,
    /// Keep this variable in spite of --clean-env; may be repeated
    #[arg(long, value_name = "VAR", requires = "clean_env", help_heading = "Environment")]
    preserve_env: Vec<OsString>,
    /// Refuse keys whose value is empty
    #[arg(long, help_heading = "Environment")]
    no_empty: bool,
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
        let program =
            self.command.first().map_or_else(String::new, |word| word.to_string_lossy().into_owned());
        let failed = |error: ExecError| Failure::exec(&error, &program);
        let command = Command::find(&self.command, context::variable("PATH").as_deref()).map_err(failed)?;
        // Before the vault is touched: what files ask for has to be allowed first.
        let Request { selection, literals } =
            self.files.request(context, self.choice.selection(), &self.machine)?;
        let inheritance = Inheritance { clean: self.clean_env, preserve: self.preserve_env.clone() };
        let inherited = environment::with_literals(inheritance.filter(context::variables()), &literals, &[]);
        let surroundings = Surroundings {
            weight: command.weight()
                + environment::weight(&inherited)
                + files::weight_of_defaults(&selection),
            no_empty: self.no_empty,
        };
        let inspect = |resolved: &[Resolved]| {
            let mut problems = plan::inspect(resolved, surroundings);
            problems.extend(files::given_twice(resolved, &literals));
            problems
        };
        if selection.is_empty() {
            return self.run_without_keys(context, &command, &inherited, &literals, &program);
        }
        let mut keys = context.supply(&self.machine)?;
        let refused = supply::failed(&keys);
        if self.dry_run {
            let preview =
                context.with_world(|world| keys.preview(world, &selection, &inspect).map_err(&refused))?;
            say_skipped(context, &preview.skipped);
            return files::print_preview(context, &preview, &literals);
        }
        let purpose = Purpose { action: Action::Exec, detail: program_name(&program) };
        let resolution = context
            .with_world(|world| keys.resolve(world, &selection, purpose, &inspect).map_err(&refused))?;
        say_skipped(context, &resolution.skipped);
        files::say_left_out(context, &resolution.left_out);
        let inherited = environment::with_literals(inherited, &[], &resolution.defaults);
        let resolved = resolution.values;
        warn_of_expiry(context, &resolved);
        let block = environment::build(&inherited, &resolved).map_err(|error| failed(error.into()))?;
        drop(resolved);
        keys.leave_open();
        Err(failed(command.replace(&block)))
    }

    /// An env-file without references needs no vault.
    fn run_without_keys(
        &self,
        context: &Context,
        command: &Command,
        inherited: &[(OsString, OsString)],
        literals: &[(EnvName, SecretBytes)],
        program: &str,
    ) -> Result<u8, Failure> {
        if self.dry_run {
            return files::print_preview(context, &Preview::default(), literals);
        }
        let failed = |error: ExecError| Failure::exec(&error, program);
        let block = environment::build(inherited, &[]).map_err(|error| failed(error.into()))?;
        Err(failed(command.replace(&block)))
    }
}

/// The last part of a path: what the log says was run.
fn program_name(program: &str) -> String {
    program.rsplit('/').next().unwrap_or(program).to_owned()
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
    let mut hint = "Choose with --only NAME, --scope SCOPE, --as NAME=VAR or --all.\n\
        For a project: 'keyvault project add NAME' writes it down, and then exec needs no choice."
        .to_owned();
    if let Some((scopes, keys)) = choices(context) {
        hint.push_str(&format!("\nscopes: {scopes}\nkeys:   {keys}"));
    }
    Failure::usage("No key was chosen.", Some(&hint))
}

fn choices(context: &Context) -> Option<(String, String)> {
    const SHOWN: usize = 20;
    let mut vault = context.open().ok()?;
    let access = context.access_without_question(&mut vault).ok()?;
    let items = vault.list(&access).ok()?;
    let scopes: std::collections::BTreeSet<_> = items.iter().flat_map(|item| &item.scopes).collect();
    let mut names = view::joined(items.iter().take(SHOWN).map(|item| &item.name));
    if items.len() > SHOWN {
        names.push_str(&format!(" and {} more", items.len() - SHOWN));
    }
    Some((view::joined(scopes.into_iter()), names))
}
