//! The command line as typed, and usage errors. They are in our own words: clap's repeat what was typed, and that may be a secret in the wrong
//! place.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use super::args::{Cli, Command, Global, Run};
use super::cmd::exec::Exec;
use super::errors::vault::looks_like_a_value;
use super::errors::{Failure, code};
use super::help;
use super::mapping::{self, MappingError};
use super::output::Ui;
use crate::cli::context;
use crate::project::place;
use keyvault_core::name::{EnvName, KeyName};
use keyvault_core::text::resembles_a_secret;

/// The command line of `exec`, as if there were no other command.
#[derive(Debug, Parser)]
#[command(name = "keyvault", version, disable_help_subcommand = true, subcommand_required = true)]
struct ExecAlone {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: ExecOnly,
}

#[derive(Debug, Subcommand)]
enum ExecOnly {
    Exec(Box<Exec>),
}

/// Returns `true` if failures of ours have the codes that leave the child's own alone.
pub(super) fn is_exec(verb: &str) -> bool {
    ExecAlone::command().find_subcommand(verb).is_some()
}

/// Reads the arguments of `verb`.
pub(in crate::cli) fn parse(arguments: &[OsString], verb: &str) -> Result<Cli, clap::Error> {
    exec_alone(arguments, verb).map_or_else(|| whole(arguments), Ok)
}

/// Reads the arguments of `exec` without laying out what every other command takes, which is most of what the command line
/// would cost it. What is wrong, and help, is `None`: found again by [`whole`], it is the same for all commands.
fn exec_alone(arguments: &[OsString], verb: &str) -> Option<Cli> {
    let mut grammar = ExecAlone::command();
    grammar.find_subcommand(verb)?;
    let mut matches = grammar.try_get_matches_from_mut(arguments).ok()?;
    let ExecAlone { global, command: ExecOnly::Exec(exec) } =
        ExecAlone::from_arg_matches_mut(&mut matches).ok()?;
    Some(Cli { global, command: Command::Run(Run::Exec(exec)) })
}

fn whole(arguments: &[OsString]) -> Result<Cli, clap::Error> {
    Cli::from_arg_matches_mut(&mut Cli::command().try_get_matches_from(arguments)?)
}

/// Prints help and versions; turns everything else into a failure.
pub(super) fn answer(
    error: &clap::Error,
    arguments: &[OsString],
    verb: &str,
    ui: &Ui,
) -> Result<u8, Failure> {
    let is_exec = is_exec(verb);
    match error.kind() {
        ErrorKind::DisplayHelp => {
            ui.data(help::asked(arguments, ui.color()).as_bytes())?;
            Ok(code::DONE)
        }
        ErrorKind::DisplayVersion => {
            ui.data(error.render().to_string().as_bytes())?;
            Ok(code::DONE)
        }
        // Incomplete, so a script notices; on a terminal the next thing to read is the help.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand if !ui.json => {
            ui.unasked_help(&help::whole(arguments, ui.err_color()));
            Ok(code::USAGE)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            let hint = format!("List the commands with `{} --help`.", help::command_path(arguments));
            Err(Failure::usage("No command given.", Some(&hint)))
        }
        kind => {
            if is_exec && let Some((message, hint)) = key_without_option(error, arguments) {
                return Err(Failure::usage(message, Some(&hint)));
            }
            let needs_dashes =
                is_exec && matches!(kind, ErrorKind::UnknownArgument | ErrorKind::MissingRequiredArgument);
            let hint = if needs_dashes && !names_option(error) {
                format!("For example: {}", with_dashes(error, arguments))
            } else {
                slip(error, arguments).or_else(|| hint(error, verb)).unwrap_or_else(|| {
                    format!("See its usage with `{} --help`.", help::command_path(arguments))
                })
            };
            Err(Failure::usage(&sentence(error, is_exec), Some(&hint)))
        }
    }
}

/// `exec NAME -- COMMAND`: what is wrong, and the option that was meant. Only names are repeated, and a command of plain
/// words.
fn key_without_option(error: &clap::Error, arguments: &[OsString]) -> Option<(&'static str, String)> {
    const LONGEST: usize = 40;
    let word = text(error, ContextKind::InvalidArg).filter(|_| error.kind() == ErrorKind::UnknownArgument)?;
    let dashes = arguments.iter().position(|argument| argument == "--")?;
    let before = arguments.get(..dashes)?;
    if word.starts_with('-') || !before.iter().any(|argument| *argument == *word) {
        return None;
    }
    let plain = |word: &str| {
        !looks_like_a_value(word)
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_./:-".contains(&byte))
    };
    let command = arguments.get(dashes + 1..).unwrap_or_default().iter().map(|word| word.to_str());
    let command = command.map(|word| word.filter(|word| plain(word))).collect::<Option<Vec<_>>>();
    let command = command.map(|words| words.join(" ")).filter(|command| command.len() <= LONGEST);
    let command = command.unwrap_or_else(|| "COMMAND".to_owned());
    let option = if mapping::to_variable(&word).is_ok_and(|(_, name)| plain(name.as_str())) {
        format!("--as {word}")
    } else if KeyName::parse(&word).is_ok() && plain(&word) {
        format!("--only {word}")
    } else {
        "--only NAME".to_owned()
    };
    Some(("A key is chosen with an option.", format!("For example: keyvault exec {option} -- {command}")))
}

/// Returns `true` for a word that may be repeated, which a shell reads as it is.
fn plain_word(word: &str) -> bool {
    let parts_are_harmless =
        word.split(['=', ',']).all(|part| !looks_like_a_value(part) && !resembles_a_secret(part));
    parts_are_harmless
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_./:=,@%+-".contains(&byte))
}

/// `exec` without `--`: the line as it was typed, with what is missing. Keys are chosen by the project file, if there is one.
fn with_dashes(error: &clap::Error, arguments: &[OsString]) -> String {
    const LONGEST: usize = 100;
    let words: Option<Vec<_>> =
        arguments.iter().skip(1).map(|word| word.to_str().filter(|word| plain_word(word))).collect();
    let words = words.filter(|words| words.iter().map(|word| word.len()).sum::<usize>() <= LONGEST);
    let at = |words: &[&str]| {
        let first =
            text(error, ContextKind::InvalidArg).filter(|_| error.kind() == ErrorKind::UnknownArgument)?;
        words.iter().position(|word| *word == first)
    };
    let (before, command) = match words {
        Some(mut words) => {
            words.retain(|word| *word != "--");
            let command = at(&words).map(|at| words.split_off(at)).unwrap_or_default();
            (words, if command.is_empty() { vec!["npm", "start"] } else { command })
        }
        None => (vec!["exec"], vec!["COMMAND"]),
    };
    let chooses = before.iter().any(|word| {
        let option = word.split('=').next().unwrap_or_default();
        ["--only", "--scope", "--all", "--as", "--previous", "--profile", "--env-file"].contains(&option)
    });
    let choice = if chooses || in_project() { "" } else { " --only NAME" };
    format!("keyvault {}{choice} -- {}", before.join(" "), command.join(" "))
}

fn in_project() -> bool {
    let folder = std::env::current_dir().ok();
    folder.and_then(|folder| place::find(&folder, context::home().as_deref())).is_some()
}

/// A slip with a value that shows how it was meant: quotes around a name, a number without its unit.
fn slip(error: &clap::Error, arguments: &[OsString]) -> Option<String> {
    if let Some(duration) = duration_of_two_words(error, arguments) {
        return Some(format!("Write a duration as one word: {duration}"));
    }
    let value = text(error, ContextKind::InvalidValue)
        .filter(|_| matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue))?;
    let why = std::error::Error::source(error)?.to_string();
    let within = |quote: &str| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    let bare = within("'").or_else(|| within("\"")).or_else(|| within("`"));
    let bare = bare.or_else(|| value.strip_prefix('\u{201c}').and_then(|rest| rest.strip_suffix('\u{201d}')));
    if let Some(bare) = bare.filter(|bare| !bare.is_empty()) {
        let repeated = KeyName::parse(bare).is_ok() && !resembles_a_secret(bare);
        return Some(if repeated {
            format!("Leave out the quotes: {bare}")
        } else {
            "Leave out the quotes.".to_owned()
        });
    }
    if value.contains('*') && why.contains("is not a valid name") {
        let one = if option_name(error) == "--scope" { "scope" } else { "key" };
        return Some(format!("There are no patterns; name each {one}."));
    }
    if !names_option(error)
        && let Some(mapping) = mapping_without_option(&value, arguments)
    {
        return Some(format!("Did you mean `--as {mapping}`?"));
    }
    let is_time = why.contains("is not a duration") || why.contains("is not a time");
    if is_time && let Some(meant) = duration_of_words(&value) {
        return Some(meant);
    }
    let number = (1..=4).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit());
    if !is_time || !number {
        return None;
    }
    let next = arguments.iter().skip_while(|word| **word != *value).nth(1).and_then(|word| word.to_str());
    let usual = if option_name(error) == "--for" { "h" } else { "d" };
    Some(format!("Did you mean `{value}{}`?", next.and_then(unit_of).unwrap_or(usual)))
}

/// `project add NAME=VAR`, or `VAR=NAME` without its option.
fn mapping_without_option(value: &str, arguments: &[OsString]) -> Option<String> {
    let is_project_add = arguments.windows(2).any(|words| words == ["project", "add"]);
    let (left, right) = value.split_once('=').filter(|_| is_project_add && plain_word(value))?;
    let fits = |variable: &str, name: &str| EnvName::parse(variable).is_ok() && KeyName::parse(name).is_ok();
    let (variable, name) = if left.contains('/') { (right, left) } else { (left, right) };
    fits(variable, name).then(|| format!("{variable}={name}"))
}

/// `90days`, `90 d`, and `5M`, as they are written here.
fn duration_of_words(value: &str) -> Option<String> {
    let at = value.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = value.split_at_checked(at).filter(|_| (1..=4).contains(&at))?;
    let unit = unit.trim();
    let lower = unit.to_ascii_lowercase();
    if unit == "M" || ["mo", "mon", "month", "months"].contains(&lower.as_str()) {
        let days = number.parse::<u32>().ok()?.checked_mul(30)?;
        return Some(format!("There is no unit for months. Did you mean `{days}d`?"));
    }
    let letter = ["s", "m", "h", "d", "w", "y"].into_iter().find(|letter| *letter == lower);
    let letter = letter.or_else(|| unit_of(&lower))?;
    Some(format!("Did you mean `{number}{letter}`?"))
}

/// The letter of a unit of time, in the singular or plural.
fn unit_of(word: &str) -> Option<&'static str> {
    const UNITS: [(&str, &str); 6] =
        [("second", "s"), ("minute", "m"), ("hour", "h"), ("day", "d"), ("week", "w"), ("year", "y")];
    let singular = word.strip_suffix('s').unwrap_or(word);
    UNITS.iter().find(|(name, _)| *name == singular).map(|(_, unit)| *unit)
}

/// `--for 3 hours`, whose second word is an argument too many.
fn duration_of_two_words(error: &clap::Error, arguments: &[OsString]) -> Option<String> {
    let word = text(error, ContextKind::InvalidArg).filter(|_| error.kind() == ErrorKind::UnknownArgument)?;
    let unit = unit_of(&word)?;
    let at = arguments.iter().position(|argument| *argument == *word)?;
    let number = arguments.get(at.checked_sub(1)?)?.to_str()?;
    let is_number = (1..=4).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| format!("{number}{unit}"))
}

fn sentence(error: &clap::Error, is_exec: bool) -> String {
    let argument = text(error, ContextKind::InvalidArg);
    let option = argument.as_deref().filter(|argument| argument.starts_with(['-', '<', '[']));
    match (error.kind(), option) {
        (ErrorKind::UnknownArgument, Some(option)) => {
            let name = option.split('=').next().unwrap_or(option);
            if is_like_an_option(name) {
                format!("Unknown option `{name}`.")
            } else {
                "Unknown option. It is not repeated here in case it is a secret.".to_owned()
            }
        }
        (ErrorKind::UnknownArgument, None) if is_exec => "Put `--` before the command.".to_owned(),
        (ErrorKind::UnknownArgument, None) => {
            "Unexpected argument. It is not repeated here in case it is a secret.".to_owned()
        }
        (ErrorKind::InvalidSubcommand, _) => match text(error, ContextKind::InvalidSubcommand) {
            Some(word) if word.len() <= 12 && word.bytes().all(|byte| byte.is_ascii_lowercase()) => {
                format!("Unknown command `{word}`.")
            }
            _ => "Unknown command.".to_owned(),
        },
        (ErrorKind::MissingRequiredArgument, _) if is_exec && !names_option(error) => {
            "No command given.".to_owned()
        }
        (ErrorKind::MissingRequiredArgument, _) => {
            let Some(argument) = argument else { return "An argument is missing.".to_owned() };
            let kind = if argument.starts_with('-') { "option" } else { "argument" };
            // A group of which one is required is `<NAME|--all>`.
            let argument = plain(&argument);
            let choices: Vec<_> = argument.split('|').map(|choice| format!("`{choice}`")).collect();
            let choices = match choices.as_slice() {
                [first, middle @ .., last] if !middle.is_empty() => {
                    format!("{first}, {}, or {last}", middle.join(", "))
                }
                few => few.join(" or "),
            };
            format!("Missing {kind}: {choices}.")
        }
        (ErrorKind::ArgumentConflict, Some(option)) => {
            let other = text(error, ContextKind::PriorArg);
            let option = plain(option);
            let name = |option: &str| option.split(' ').next().map(str::to_owned);
            match other.as_deref().map(plain) {
                Some(other) if name(&other) == name(&option) => {
                    format!("`{}` is given twice.", name(&option).unwrap_or_default())
                }
                Some(other) => format!("`{option}` cannot be used with `{}`.", other.replace(", ", "` or `")),
                None => format!("`{option}` cannot be used with the other options."),
            }
        }
        (ErrorKind::InvalidValue, Some(option))
            if text(error, ContextKind::InvalidValue).as_deref() == Some("") =>
        {
            format!("`{}` needs a value.", option.split([' ', '=']).next().unwrap_or(option))
        }
        (ErrorKind::ValueValidation | ErrorKind::InvalidValue, Some(option)) => {
            let name = plain(option.split([' ', '=']).next().unwrap_or(option));
            let Some(why) = std::error::Error::source(error).map(ToString::to_string) else {
                return format!("Invalid value for `{name}`.");
            };
            // The standard library's words for a number that is none.
            let why =
                if why.contains("invalid digit") || why.contains("number too") || why.contains("is not in") {
                    "is not a valid number".to_owned()
                } else {
                    why
                };
            match why.split_whitespace().next() {
                Some("takes") => format!("`{name}` {why}."),
                Some("is" | "has" | "makes" | "names") => format!("The value of `{name}` {why}."),
                _ => format!("The value of `{name}` is not valid: {why}."),
            }
        }
        (_, Some(option)) => format!("`{option}` is not used correctly."),
        _ => "The arguments are not valid.".to_owned(),
    }
}

/// An argument without the signs with which clap marks that it is a value, optional or repeated.
fn plain(argument: &str) -> String {
    argument.trim_end_matches("...").replace(['<', '>', '[', ']'], "")
}

/// Returns `true` if it is short and plain, as options are; the first line of a PEM file begins with dashes as well.
fn is_like_an_option(name: &str) -> bool {
    let name = name.trim_start_matches('-');
    name.len() <= 24 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
        || name.chars().count() == 1
}

fn names_option(error: &clap::Error) -> bool {
    text(error, ContextKind::InvalidArg).is_some_and(|argument| argument.starts_with('-'))
}

/// Names that other tools have for commands of ours.
const ELSEWHERE: &[(&[&str], &str)] = &[
    (&["delete", "del", "destroy", "unset", "erase"], "remove NAME"),
    (&["rename", "mv", "move"], "edit NAME --rename NEW"),
    (&["tag", "label", "note"], "edit NAME"),
    (&["get", "read", "cat", "print", "reveal", "view"], "show NAME --reveal"),
    (&["describe", "info", "inspect"], "show NAME"),
    (&["keys", "search", "find"], "list"),
    (&["set", "put", "create", "insert", "store", "save", "write"], "add NAME"),
    (&["new", "gen"], "generate NAME"),
    (&["env", "inject", "with"], "exec -- COMMAND"),
    (&["renew", "roll", "update"], "rotate NAME"),
    (&["undo", "revert"], "rollback NAME"),
    (&["versions"], "history NAME"),
    (&["disable", "block"], "revoke NAME"),
    (&["open", "login", "signin"], "unlock"),
    (&["close", "seal", "logout", "signout"], "lock"),
    (&["setup"], "init"),
    (&["load"], "import FILE"),
    (&["dump"], "export --all"),
    (&["backup"], "vault backup FILE"),
    (&["restore"], "vault restore FILE"),
    (&["diff", "compare"], "vault diff OTHER"),
    (&["passwd", "password"], "vault passwd"),
    (&["recover"], "vault recover"),
    (&["rekey"], "vault rekey"),
    (&["log", "logs"], "audit log"),
    (&["render", "template"], "project render FILE"),
    (&["approve", "allow"], "project approve"),
    (&["trust"], "project trust"),
];

/// Names that other tools have for commands in one of our groups.
const IN_GROUPS: &[(&[&str], &str)] =
    &[(&["allow"], "project approve"), (&["delete", "del", "remove", "rm", "destroy"], "token revoke NAME")];

/// The command that does what an unknown word asks for.
fn elsewhere(error: &clap::Error, verb: &str) -> Option<String> {
    let word = text(error, ContextKind::InvalidSubcommand)?;
    // Below a group such as 'token' the same word would mean another thing.
    let known = if word == verb { ELSEWHERE } else { IN_GROUPS };
    let matches = |(words, ours): &&(&[&str], &str)| {
        words.contains(&word.as_str()) && (word == verb || ours.split(' ').next() == Some(verb))
    };
    let (_, ours) = known.iter().find(matches)?;
    Some(format!("Use `keyvault {ours}`."))
}

/// Names that are like the word, the likest first: clap puts it last.
fn likest_first(error: &clap::Error) -> Option<String> {
    let ContextValue::Strings(names) = error.get(ContextKind::SuggestedSubcommand)? else { return None };
    let names: Vec<_> = names.iter().rev().map(String::as_str).collect();
    (!names.is_empty()).then(|| format!("Did you mean `{}`?", names.join("` or `")))
}

/// The way to see or to give a value, for those who look for it under the name that other tools have.
fn instead_of_value(error: &clap::Error, verb: &str) -> Option<String> {
    let option =
        text(error, ContextKind::InvalidArg).filter(|_| error.kind() == ErrorKind::UnknownArgument)?;
    if !["--value", "--secret", "--password"].contains(&option.split('=').next()?) {
        return None;
    }
    let at_a_prompt = "If a value was given, treat it as leaked: other users, the shell history and logs can see arguments.";
    Some(match verb {
        "show" => "To see the value: keyvault show NAME --reveal".to_owned(),
        "list" | "history" => "To see a value: keyvault show NAME --reveal".to_owned(),
        "edit" | "rotate" => format!("To give a new value at a prompt: keyvault rotate NAME\n{at_a_prompt}"),
        "add" | "generate" => format!("To give a value at a prompt: keyvault add NAME\n{at_a_prompt}"),
        _ => return None,
    })
}

/// Options that other tools have, for the ones of `exec`.
fn option_of_exec(error: &clap::Error) -> Option<&'static str> {
    let option =
        text(error, ContextKind::InvalidArg).filter(|_| error.kind() == ErrorKind::UnknownArgument)?;
    match option.split('=').next()? {
        "-p" => Some("Did you mean `--profile`?"),
        "-e" | "--env" => Some(
            "For a variable from a key: keyvault exec --as VAR=NAME -- COMMAND\nA variable that is not secret is set in the shell: VAR=… keyvault exec -- COMMAND",
        ),
        _ => None,
    }
}

fn hint(error: &clap::Error, verb: &str) -> Option<String> {
    if let Some(hint) = instead_of_value(error, verb) {
        return Some(hint);
    }
    if is_exec(verb)
        && let Some(hint) = option_of_exec(error)
    {
        return Some(hint.to_owned());
    }
    if verb == "import" && error.kind() == ErrorKind::UnknownArgument && !names_option(error) {
        return Some(
            "`import` takes one file. To choose how the names begin: keyvault import FILE --prefix TEXT/"
                .to_owned(),
        );
    }
    if let Some(hint) = elsewhere(error, verb).or_else(|| likest_first(error)) {
        return Some(hint);
    }
    match std::error::Error::source(error).and_then(|why| why.downcast_ref::<MappingError>()) {
        Some(MappingError::Swapped { corrected, .. }) => {
            return Some(format!("Swap them: {} {corrected}", option_name(error)));
        }
        Some(MappingError::Shape { example, .. }) => {
            return Some(format!("For example: {} {example}", option_name(error)));
        }
        Some(MappingError::Side(_)) | None => {}
    }
    let suggested =
        [ContextKind::SuggestedArg, ContextKind::ValidValue].into_iter().find_map(|kind| text(error, kind));
    match (suggested, error.kind()) {
        (Some(words), ErrorKind::InvalidValue) => Some(format!("Possible values: {words}.")),
        (Some(words), _) => Some(format!("Did you mean `{words}`?")),
        (None, _) => None,
    }
}

/// The option that an error is about, as it is typed.
fn option_name(error: &clap::Error) -> String {
    let argument = text(error, ContextKind::InvalidArg).unwrap_or_default();
    argument.split([' ', '=']).next().unwrap_or_default().to_owned()
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) if !texts.is_empty() => Some(texts.join(", ")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verb_of(arguments: &[OsString]) -> &str {
        crate::cli::command_word(arguments).and_then(|word| word.to_str()).unwrap_or_default()
    }

    #[test]
    fn exec_is_read_alone_as_among_all_commands() {
        let lines = [
            "keyvault exec -- true",
            "keyvault run --all -- sh -c x --json",
            "keyvault --json --vault /v exec --scope a --scope=b -- env",
            "keyvault exec --only a --only b/c --vault /v --non-interactive --no-session -- cat -n",
            "keyvault exec --as a=B --previous c --skip-expired --no-empty --clean-env --preserve-env P -- x",
            "keyvault exec --file F=a --fd 3=b --stdin c --docker-env D --mask --dry-run -- x",
            "keyvault exec --profile p --env-file .env --bundle b.kvb --min-seq 7 -- x",
            "keyvault exec --watch --on-rotate HUP --file F=a -- x",
        ];
        for line in lines {
            let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let alone = exec_alone(&arguments, verb_of(&arguments));
            assert!(alone.is_some(), "{line}");
            assert_eq!(format!("{alone:?}"), format!("{:?}", whole(&arguments).ok()), "{line}");
        }
    }

    #[test]
    fn what_is_wrong_with_exec_is_said_by_the_whole_command_line() {
        let lines = [
            "keyvault exec",
            "keyvault exec true",
            "keyvault exec --nothing -- x",
            "keyvault exec --help",
            "keyvault exec -h -- x",
            "keyvault exec --version -- x",
            "keyvault exec --scope -- x",
            "keyvault exec --only a --only",
            "keyvault exec --profile p --all -- x",
            "keyvault --help exec -- x",
            "keyvault exec exec -- x",
        ];
        for line in lines {
            let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert!(exec_alone(&arguments, verb_of(&arguments)).is_none(), "{line}");
            assert!(whole(&arguments).is_err(), "{line}");
        }
    }
}
