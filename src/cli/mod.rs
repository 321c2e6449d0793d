//! The command line: arguments in, sentences and exit codes out. The only room that prints.

pub mod args;
pub mod cmd;
mod complete;
pub mod context;
pub mod errors;
mod mapping;
pub mod output;
mod prompt;
pub mod unlock;
mod usage;

use std::ffi::OsString;

use args::Command;
use context::Context;
use errors::{Failure, code};

use keyvault_core::clock::Clock;

/// Runs one command by this clock; the result is the exit code.
#[must_use]
pub fn run(arguments: &[OsString], clock: &'static (dyn Clock + Sync)) -> u8 {
    output::time::set_clock(clock);
    let wants_json = arguments.iter().take_while(|word| *word != "--").any(|word| word == "--json");
    let verb = command_word(arguments).map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    let ui = output::Ui::new(wants_json);
    if let Some(shell) = complete::asked(arguments) {
        return complete::answer(&shell, arguments, &ui).unwrap_or_else(|failure| failure.code);
    }
    let result = match usage::parse(arguments, &verb) {
        Ok(cli) => dispatch(cli.command, &mut Context::new(cli.global, ui.clone(), verb.clone())),
        Err(error) => usage::answer(&error, arguments, &verb, &ui),
    };
    match result {
        Ok(code) => code,
        Err(failure) if failure.quiet => code::DONE,
        Err(failure) => {
            ui.failure(&failure);
            if is_exec(&verb) && failure.code < code::OURS { code::OURS } else { failure.code }
        }
    }
}

/// Whether failures of ours have the codes that leave the child's own alone.
fn is_exec(verb: &str) -> bool {
    matches!(verb, "exec" | "run")
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

/// The child of `exec` has the caller's streams, closed ones too; `lock` and `unlock` answer on stderr.
fn answers_on_stdout(command: &Command, context: &Context) -> bool {
    match command {
        Command::Exec(exec) => exec.prints(),
        Command::Lock(_) | Command::Unlock(_) => context.ui.json,
        _ => true,
    }
}

fn dispatch(command: Command, context: &mut Context) -> Result<u8, Failure> {
    if answers_on_stdout(&command, context) {
        output::require_stdout()?;
    }
    match command {
        Command::Generate(args) => args.run(context),
        Command::Add(args) => args.run(context),
        Command::Show(args) => args.run(context),
        Command::List(args) => args.run(context),
        Command::Edit(args) => args.run(context),
        Command::Rotate(args) => args.run(context),
        Command::Rollback(args) => args.run(context),
        Command::History(args) => args.run(context),
        Command::Revoke(args) => args.run(context),
        Command::Remove(args) => args.run(context),
        Command::Exec(args) => args.run(context),
        Command::Import(args) => args.run(context),
        Command::Export(args) => args.run(context),
        Command::Init(args) => args.run(context),
        Command::Unlock(args) => args.run(context),
        Command::Lock(args) => args.run(context),
        Command::Status(args) => args.run(context),
        Command::Vault(args) => args.run(context),
        Command::Token(args) => args.run(context),
        Command::Bundle(args) => args.run(context),
        Command::Project(args) => args.run(context),
        Command::Audit(args) => args.run(context),
        Command::Doctor(cmd::doctor::Doctor {}) => cmd::doctor::Doctor::run(context),
        Command::Completions(args) => args.run(context),
        Command::Man(args) => args.run(context),
        Command::Tour(cmd::tour::Tour {}) => cmd::tour::Tour::run(context),
    }
}
