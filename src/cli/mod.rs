//! The command line: arguments in, sentences and exit codes out. Nothing else prints.

pub(crate) mod args;
mod clipboard;
pub(crate) mod cmd;
mod complete;
pub(crate) mod context;
pub(crate) mod errors;
mod help;
mod mapping;
pub(crate) mod output;
mod preset;
mod prompt;
mod resembling;
mod restrictions;
pub(crate) mod unlock;
mod usage;
mod value;

use std::ffi::OsString;

use args::{Command, Keys, Machines, Other, OwnApi, ProjectGroup, Run, VaultGroup, Watch};
use context::Context;
use errors::{Failure, code};

use keyvault_core::clock::Clock;

/// Runs one command by this clock; the result is the exit code.
#[must_use]
pub fn run(arguments: &[OsString], clock: &'static (dyn Clock + Sync)) -> u8 {
    if let Some(code) = clipboard::clear::asked(arguments) {
        return code;
    }
    output::time::set_clock(clock);
    let wants_json = arguments.iter().take_while(|word| *word != "--").any(|word| word == "--json");
    let verb = command_word(arguments).map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    let ui = output::Ui::new(wants_json);
    if let Some(shell) = complete::asked(arguments) {
        return complete::answer(&shell, arguments, &ui).unwrap_or_else(|failure| failure.code);
    }
    let result = match usage::parse(arguments, &verb) {
        Ok(cli) => {
            if !context::terminal_obeys() {
                keyvault_os::terminal::prompt::never_mark_pastes();
            }
            dispatch(cli.command, &mut Context::new(cli.global, ui.clone(), verb.clone()))
        }
        Err(error) => usage::answer(&error, arguments, &verb, &ui),
    };
    match result {
        Ok(code) => code,
        // Its codes are verdicts, and one that was not written is none.
        Err(failure) if verb == "verify" => {
            if !failure.quiet {
                ui.failure(&failure);
            }
            cmd::verify::own_code(&failure)
        }
        Err(failure) if failure.quiet => code::DONE,
        Err(failure) => {
            ui.failure(&failure);
            if failure.code < code::OURS && usage::is_exec(&verb) { code::OURS } else { failure.code }
        }
    }
}

/// The first word that is neither an option nor the value of one, whether the rest makes sense or not.
fn command_word(arguments: &[OsString]) -> Option<&OsString> {
    let mut words = arguments.iter().skip(1);
    while let Some(word) = words.next() {
        if word == "--vault" {
            words.next();
        } else if !word.as_encoded_bytes().starts_with(b"-") {
            return Some(word);
        }
    }
    None
}

/// The child of `exec` has the caller's streams, closed ones too.
fn answers_on_stdout(command: &Command) -> bool {
    match command {
        Command::Run(Run::Exec(exec)) => exec.prints(),
        _ => true,
    }
}

fn dispatch(command: Command, context: &mut Context) -> Result<u8, Failure> {
    if answers_on_stdout(&command) {
        output::require_stdout()?;
    }
    match command {
        Command::Keys(Keys::Generate(args)) => args.run(context),
        Command::Keys(Keys::Add(args)) => args.run(context),
        Command::Keys(Keys::Show(args)) => args.run(context),
        Command::Keys(Keys::List(args)) => args.run(context),
        Command::Keys(Keys::Edit(args)) => args.run(context),
        Command::Keys(Keys::Copy(args)) => args.run(context),
        Command::Keys(Keys::Rotate(args)) => args.run(context),
        Command::Keys(Keys::Rollback(args)) => args.run(context),
        Command::Keys(Keys::History(args)) => args.run(context),
        Command::Keys(Keys::Revoke(args)) => args.run(context),
        Command::Keys(Keys::Disable(args)) => args.run(context),
        Command::Keys(Keys::Enable(args)) => args.run(context),
        Command::Keys(Keys::Remove(args)) => args.run(context),
        Command::Keys(Keys::Undelete(args)) => args.run(context),
        Command::Run(Run::Exec(args)) => args.run(context),
        Command::Run(Run::Import(args)) => args.run(context),
        Command::Run(Run::Export(args)) => args.run(context),
        Command::OwnApi(OwnApi::Issue(args)) => args.run(context),
        Command::OwnApi(OwnApi::Verify(args)) => args.run(context),
        Command::OwnApi(OwnApi::Api(args)) => args.run(context),
        Command::OwnApi(OwnApi::Client(args)) => args.run(context),
        Command::OwnApi(OwnApi::Role(args)) => args.run(context),
        Command::Vault(VaultGroup::Init(args)) => args.run(context),
        Command::Vault(VaultGroup::Unlock(args)) => args.run(context),
        Command::Vault(VaultGroup::Lock(args)) => args.run(context),
        Command::Vault(VaultGroup::Status(args)) => args.run(context),
        Command::Vault(VaultGroup::Vault(args)) => args.run(context),
        Command::Machines(Machines::Token(args)) => args.run(context),
        Command::Machines(Machines::Bundle(args)) => args.run(context),
        Command::Project(ProjectGroup::Project(args)) => args.run(context),
        Command::Watch(Watch::Audit(args)) => args.run(context),
        Command::Watch(Watch::Doctor(cmd::doctor::Doctor {})) => cmd::doctor::Doctor::run(context),
        Command::Other(Other::Direnv(cmd::direnv::Direnv {})) => cmd::direnv::Direnv::run(context),
        Command::Other(Other::Completions(args)) => args.run(context),
        Command::Other(Other::Man(args)) => args.run(context),
        Command::Other(Other::Help(args)) => args.run(context),
        Command::Other(Other::Tour(cmd::tour::Tour {})) => cmd::tour::Tour::run(context),
    }
}
