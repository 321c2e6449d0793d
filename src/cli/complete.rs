//! Shell completion: the shell asks this very program, which knows its grammar, and the names of keys and scopes from
//! an open session; of a limited one, and with a token, the names of its keys.
//!
//! Nothing is asked, unlocked, recorded or run; without a session there are no names, and whatever goes wrong there are
//! none either. Names come from the vault's directory, so that 10,000 keys cost no more than a few milliseconds.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter};
use clap_complete::env::Shells;

use crate::cli::cmd::project::gate::{Believed, Found};
use keyvault_core::crypto::SystemRng;
use keyvault_core::name::KeyName;
use keyvault_core::secret::SecretBytes;
use keyvault_os::fs::private::open_secret_file;
use keyvault_vault::audit::Actor;
use keyvault_vault::state::pin::Pins;
use keyvault_vault::unlock::session::{self, Current};
use keyvault_vault::unlock::token::{MAX_LEN, Token};
use keyvault_vault::{
    Access, BearerKeys, Bundle, Holder, Holders, MAX_BUNDLE, Names, Notices, ReadsLog, Supply, Vault,
    VersionState, World, key, slot, token,
};

use super::args::Cli;
use super::context;
use super::errors::{Failure, code};
use super::output::Ui;
use super::output::time;
use super::unlock::key_source::{token_given_by, token_is_given};

/// Names the shell in the question that its script asks.
const VARIABLE: &str = "KEYVAULT_COMPLETE";

/// The shells that there are scripts for.
pub(super) const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// Lifetimes that are offered where a time is asked for.
pub(super) const LIFETIMES: [&str; 4] = ["7d", "30d", "90d", "1y"];

/// The script that a shell reads at its start.
pub(super) fn script(shell: &str) -> Result<&'static [u8], Failure> {
    // clap's own take bash's pieces for words, have zsh quote the tilde of a path, and know nothing of the command that
    // `exec` runs.
    let script: &[u8] = match shell {
        "bash" => include_bytes!("../../completions/keyvault.bash"),
        "zsh" => include_bytes!("../../completions/_keyvault"),
        "fish" => include_bytes!("../../completions/keyvault.fish"),
        _ => return Err(unknown(shell)),
    };
    Ok(script)
}

/// The shell that asks, if one does: its script puts `--` before the words of the line. A variable that somebody set for
/// another reason changes nothing.
pub(super) fn asked(arguments: &[OsString]) -> Option<OsString> {
    let known = |shell: &OsString| SHELLS.iter().any(|name| shell == name);
    context::variable(VARIABLE)
        .filter(|shell| known(shell) && arguments.get(1).is_some_and(|word| word == "--"))
}

/// Answers a shell's question; `arguments` are this program, `--` and the words of the line so far.
pub(super) fn answer(shell: &OsStr, arguments: &[OsString], ui: &Ui) -> Result<u8, Failure> {
    let name = shell.to_string_lossy();
    let words: Vec<_> = line(arguments.iter().cloned()).collect();
    if words.is_empty() {
        return Ok(code::DONE);
    }
    let shells = Shells::builtins();
    let completer = shells.completer(&name).ok_or_else(|| unknown(&name))?;
    let folder = std::env::current_dir().ok();
    let mut candidates = Vec::new();
    let typed = index().map_or_else(|| words.last(), |index| words.get(index)).cloned().unwrap_or_default();
    let begins_an_option = typed.as_encoded_bytes().starts_with(b"-");
    // A line that cannot be completed has no candidates; a message would land in the middle of it.
    if completer.write_complete(&mut Cli::command(), words, folder.as_deref(), &mut candidates).is_ok() {
        let candidates = candidates.split(|byte| *byte == separator());
        // The folder where one is stands first among files, and is hardly ever meant.
        let candidates = candidates.filter(|candidate| *candidate != b".");
        // Options would hide the values among them.
        let fits = |candidate: &&[u8]| begins_an_option || !candidate.starts_with(b"-");
        let candidates: Vec<_> = candidates.filter(fits).collect();
        if name == "bash" && !is_plain(&candidates, &typed) {
            return Ok(code::FAILED);
        }
        ui.data(&candidates.join(&separator()))?;
    }
    Ok(code::DONE)
}

/// Returns `true` if bash may put candidates into the line, which it does word for word: the name of a file could be
/// code, or stand within quotes. A tilde that the user typed means what it says.
fn is_plain(candidates: &[&[u8]], typed: &OsStr) -> bool {
    let home = typed.as_encoded_bytes().starts_with(b"~");
    let mut words = candidates.iter().copied().chain([typed.as_encoded_bytes()]);
    words.all(|word| {
        let word = if home { word.strip_prefix(b"~").unwrap_or(word) } else { word };
        word.iter().copied().all(is_plain_byte)
    })
}

/// Returns `true` if no shell sees more than itself in the byte.
fn is_plain_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_./=:@%+,".contains(&byte)
}

/// The words of the line that a shell asks about: what stands behind the first `--`.
fn line<T: PartialEq<str>>(arguments: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
    arguments.skip_while(|word| *word != *"--").skip(1)
}

/// Which of the words is typed; fish does not say, it is the last.
fn index() -> Option<usize> {
    context::variable("_CLAP_COMPLETE_INDEX").and_then(|index| index.to_str()?.parse().ok())
}

/// The separator of candidates in the answer.
fn separator() -> u8 {
    let given = context::variable("_CLAP_IFS");
    given.and_then(|text| text.as_encoded_bytes().first().copied()).unwrap_or(b'\n')
}

fn unknown(shell: &str) -> Failure {
    Failure::usage(&format!("No completion for {shell}."), Some("Supported shells: bash, zsh, fish."))
}

/// Completes the name of a key.
pub(super) fn keys() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        beginning_with(current, names().keys.iter().map(KeyName::as_str))
    })
}

/// Completes the name of a key where there may be several, with one that was not given yet.
pub(super) fn more_keys() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let (names, given) = (names(), given());
        let left = names.keys.iter().map(KeyName::as_str).filter(|name| !given.contains(*name));
        beginning_with(current, left)
    })
}

/// Completes the name of a removed key.
pub(super) fn removed_keys() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        beginning_with(current, removed_names().iter().map(KeyName::as_str))
    })
}

/// Completes the name of a key, or behind `--removed` that of a removed one, that was not given yet.
pub(super) fn keys_to_remove() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let names = if line(std::env::args_os()).any(|word| word == "--removed") {
            removed_names()
        } else {
            names().keys.into_iter().collect()
        };
        let given = given();
        beginning_with(current, names.iter().map(KeyName::as_str).filter(|name| !given.contains(*name)))
    })
}

fn removed_names() -> BTreeSet<KeyName> {
    let names = open_session()
        .and_then(|(mut vault, access)| key::removed_names(&mut vault, &access, time::now()).ok());
    names.unwrap_or_default()
}

/// Completes the key of `VAR=NAME` and `N=NAME`.
pub(super) fn mapped_keys() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let Some((place, begun)) = current.to_str().and_then(|text| text.split_once('=')) else {
            return Vec::new();
        };
        let names = names();
        let fitting = names.keys.iter().filter(|name| name.as_str().starts_with(begun));
        fitting.map(|name| CompletionCandidate::new(format!("{place}={name}"))).collect()
    })
}

/// Completes a scope, with one that was not given yet.
pub(super) fn scopes() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let (names, given) = (names(), given());
        let left =
            names.scopes.iter().map(keyvault_core::name::Scope::as_str).filter(|name| !given.contains(*name));
        beginning_with(current, left)
    })
}

/// Completes one of a few words.
pub(super) fn one_of<I: IntoIterator<Item = &'static str> + 'static>(known: fn() -> I) -> ArgValueCompleter {
    ArgValueCompleter::new(move |current: &OsStr| beginning_with(current, known().into_iter()))
}

/// Completes the number of a version in a state that is meant, of the first key that the line names.
pub(super) fn versions(meant: &'static [VersionState]) -> ArgValueCompleter {
    ArgValueCompleter::new(move |current: &OsStr| {
        let numbers = || {
            let (mut vault, access) = open_session()?;
            let words: Vec<_> = line(std::env::args_os()).skip(2).collect();
            let names = words.iter().filter_map(|word| KeyName::parse(word.to_str()?).ok());
            let key = names.map(|name| key::show(&mut vault, &access, &name)).find_map(Result::ok)?;
            let now = time::now();
            let states = key.versions.iter().map(|version| (version, version.state_at(now)));
            let fitting = states.filter(|(version, state)| meant.contains(state) && version.digest.is_some());
            let told = fitting.map(|(version, state)| (version.number.to_string(), state.name()));
            Some(told.rev().collect::<Vec<_>>())
        };
        told_beginning_with(current, numbers().unwrap_or_default())
    })
}

/// Completes the number of a slot.
pub(super) fn slots() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let slots = open_session().and_then(|(mut vault, access)| slot::list(&mut vault, &access).ok());
        let slots = slots.unwrap_or_default();
        let told = slots.iter().map(|slot| (slot.id.to_string(), slot.kind.name())).collect();
        told_beginning_with(current, told)
    })
}

/// Completes a tag that a key has, as `KEY=VALUE`. Every key is opened for it.
pub(super) fn tags() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let tags = tags_of_keys().into_iter().map(|(tag, value)| format!("{tag}={value}"));
        // A comma would end the tag in `list`; what needs quotes cannot be put into a line of bash.
        let plain = |tag: &String| tag.bytes().all(|byte| byte != b',' && is_plain_byte(byte));
        let tags: BTreeSet<_> = tags.filter(plain).collect();
        beginning_with(current, tags.iter().map(String::as_str))
    })
}

/// Completes the key of a tag.
pub(super) fn tag_keys() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let keys: BTreeSet<_> = tags_of_keys().into_iter().map(|(tag, _)| tag).collect();
        beginning_with(current, keys.iter().map(String::as_str))
    })
}

fn tags_of_keys() -> BTreeSet<(String, String)> {
    let keys = open_session().and_then(|(mut vault, access)| key::list(&mut vault, &access).ok());
    let tags = keys.unwrap_or_default().into_iter().flat_map(|key| key.tags);
    tags.map(|(tag, value)| (tag.as_str().to_owned(), value)).collect()
}

/// Completes the name of an environment variable.
pub(super) fn variables() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let names: BTreeSet<_> =
            context::variables().into_iter().filter_map(|(name, _)| name.into_string().ok()).collect();
        let ours = |name: &&str| name.starts_with("KEYVAULT_") || name.starts_with("_CLAP_");
        beginning_with(current, names.iter().map(String::as_str).filter(|name| !ours(name)))
    })
}

/// Completes a word of a command, behind the words before it.
pub(super) fn verbs() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let mut words: Vec<_> = line(std::env::args_os()).collect();
        words.truncate(index().unwrap_or(words.len().saturating_sub(1)));
        let mut command = Cli::command();
        for word in words.iter().skip_while(|word| *word != "help").skip(1) {
            let Some(below) = command.find_subcommand(word).cloned() else { return Vec::new() };
            command = below;
        }
        let names: Vec<_> = command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
        beginning_with(current, names.iter().map(String::as_str))
    })
}

/// Completes the name of a token.
pub(super) fn tokens() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let tokens = open_session().and_then(|(mut vault, access)| token::names(&mut vault, &access).ok());
        beginning_with(current, tokens.unwrap_or_default().iter().map(keyvault_core::name::TokenName::as_str))
    })
}

/// Completes a profile of the project file. It is read and nothing else: what it asks for is neither approved nor resolved.
pub(super) fn profiles() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let found = Found::nearest(Believed::Trusted).ok().flatten();
        let file = found.map(|found| found.file).unwrap_or_default();
        beginning_with(current, file.profiles().map(crate::project::Profile::as_str))
    })
}

/// Completes a command and its arguments: paths, and what the folders of PATH hold.
pub(super) fn commands() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let mut candidates = PathCompleter::any().complete(current);
        let begins = |name: &OsStr| name.as_encoded_bytes().starts_with(current.as_encoded_bytes());
        if !current.is_empty() && !current.as_encoded_bytes().contains(&b'/') {
            let folders = context::variable("PATH").unwrap_or_default();
            let entries =
                std::env::split_paths(&folders).filter_map(|folder| folder.read_dir().ok()).flatten();
            let names = entries.filter_map(Result::ok).map(|entry| entry.file_name());
            let names: BTreeSet<_> = names.filter(|name| begins(name)).collect();
            candidates.extend(names.into_iter().map(CompletionCandidate::new));
        }
        candidates
    })
}

fn beginning_with<'n>(current: &OsStr, names: impl Iterator<Item = &'n str>) -> Vec<CompletionCandidate> {
    let Some(current) = current.to_str() else { return Vec::new() };
    names.filter(|name| name.starts_with(current)).map(CompletionCandidate::new).collect()
}

fn told_beginning_with(current: &OsStr, values: Vec<(String, &'static str)>) -> Vec<CompletionCandidate> {
    let Some(current) = current.to_str() else { return Vec::new() };
    let fitting = values.into_iter().filter(|(value, _)| value.starts_with(current));
    fitting.map(|(value, told)| CompletionCandidate::new(value).help(Some(told.into()))).collect()
}

/// Every name and scope, if a session is open; with a token those that it opens, as for the command.
fn names() -> Names {
    let names = || {
        if let Some(variable) = token_given_by() {
            return of_token(variable);
        }
        if token_is_given() {
            return None;
        }
        let (mut vault, pins) = opened()?;
        match session::current(&vault.identity(), time::now())? {
            Current::Full(session) => key::names(&mut vault, &session.into()).ok(),
            Current::Limited(session) => {
                granted(Supply::Granted(vault, BearerKeys::of_session(&session)), pins)
            }
        }
    };
    names().unwrap_or_default()
}

/// The names of the keys that the token opens which this variable gives, in the bundle if there is one.
fn of_token(variable: &str) -> Option<Names> {
    let given = context::variable(variable)?;
    let text = match variable {
        "KEYVAULT_TOKEN" => SecretBytes::copy_from(given.as_encoded_bytes()),
        _ => contents(Path::new(&given), MAX_LEN)?,
    };
    let bearer = BearerKeys::of(&Token::parse(text.expose()).ok()?, None);
    let named = value_on_line("--bundle");
    let Some(file) = named.or_else(|| context::variable("KEYVAULT_BUNDLE").map(PathBuf::from)) else {
        let (vault, pins) = opened()?;
        return granted(Supply::Granted(vault, bearer), pins);
    };
    let sealed = contents(&file, MAX_BUNDLE)?;
    let bundle = Bundle::open(sealed.expose(), &file, &bearer, time::now()).ok()?;
    let state = context::state_folder().ok()?;
    let log = ReadsLog::in_folder(&state, &bundle.label);
    granted(Supply::Bundled(Box::new(bundle), bearer, log), Pins::in_folder(state.join("pins")))
}

/// A file's content. What is no file may block, or give what it has only once.
fn contents(file: &Path, limit: usize) -> Option<SecretBytes> {
    std::fs::metadata(file).ok().filter(std::fs::Metadata::is_file)?;
    let (mut file, _) = open_secret_file(file).ok()?;
    SecretBytes::read_from(&mut file, limit).ok()
}

/// The names of the keys that a bearer's supply has. Nothing is released, so nothing is recorded.
fn granted(mut supply: Supply, pins: Pins) -> Option<Names> {
    let nobody = Holder { command: String::new(), pid: 0 };
    let world = World {
        clock: time::clock(),
        rng: &SystemRng,
        actor: Actor::default(),
        holders: Holders::in_folder(context::state_folder().ok()?, nobody),
        pins,
        notices: Notices::told_by(&|_| ()),
        waiting: &|_, _| (),
    };
    let keys = supply.look(&world).ok()?.keys().ok()?.all().ok()?;
    Some(Names {
        keys: keys.iter().map(|key| key.name().clone()).collect(),
        scopes: keys.iter().flat_map(|key| key.scopes().clone()).collect(),
    })
}

/// The vault by a full session, unless a token is given, which opens no more than its grants.
fn open_session() -> Option<(Vault, Access)> {
    if token_is_given() {
        return None;
    }
    let (vault, _) = opened()?;
    let access = vault.session(time::now())?.into();
    Some((vault, access))
}

fn opened() -> Option<(Vault, Pins)> {
    let path = match value_on_line("--vault") {
        Some(path) => path,
        None => context::default_vault().ok()?,
    };
    let pins = Pins::in_folder(context::state_folder().ok()?.join("pins"));
    Some((Vault::open_untouched(&path, &pins).ok()?, pins))
}

/// The other values on the line of the option that is typed, or, where none is, of no option.
fn given() -> BTreeSet<String> {
    let words = line(std::env::args_os()).take_while(|word| word != "--");
    let words: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let typed = index().unwrap_or(words.len().saturating_sub(1));
    let parts = |at: usize| {
        let word = words.get(at).map_or("", String::as_str);
        match word.split_once('=').filter(|_| word.starts_with("--")) {
            Some((option, value)) => (Some(option), value),
            // An option without a value looks like the one that the word belongs to; then it is offered once more.
            None => (before(&words, at).filter(|word| word.starts_with("--")), word),
        }
    };
    let (option, _) = parts(typed);
    // The program and its command are no values.
    let others = (2..words.len()).filter(|at| *at != typed).map(parts);
    let others = others.filter(|(of, _)| *of == option).map(|(_, value)| value);
    // Of a list with commas, the parts before the one that is typed.
    let list = parts(typed).1.rsplit_once(',').map_or("", |(before, _)| before);
    others.chain([list]).flat_map(|value| value.split(',')).map(str::to_owned).collect()
}

fn before(words: &[String], at: usize) -> Option<&str> {
    words.get(at.checked_sub(1)?).map(String::as_str)
}

/// The path of `OPTION PATH` or `OPTION=PATH` among the words of the line.
fn value_on_line(option: &str) -> Option<PathBuf> {
    let mut words = line(std::env::args_os());
    while let Some(word) = words.next() {
        if word == option {
            return words.next().map(PathBuf::from);
        }
        let value = word.to_str().and_then(|word| word.strip_prefix(option)?.strip_prefix('='));
        if let Some(path) = value {
            return Some(PathBuf::from(path));
        }
    }
    None
}
