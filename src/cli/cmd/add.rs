//! `keyvault add`

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;

use super::generate;
use super::project::naming::variable_here;
use crate::cli::args::{Metadata, named};
use crate::cli::context::{self, Context, STDIN};
use crate::cli::errors::Failure;
use crate::cli::resembling;
use crate::cli::value;
use keyvault_core::name::KeyName;
use keyvault_core::secret::SecretBytes;
use keyvault_core::text::resembles_a_secret;
use keyvault_os::fs::private;
use keyvault_os::terminal::prompt;
use keyvault_vault::{Origin, key};

/// The longest value that is read, in bytes.
const MAX_VALUE: usize = 16 << 20;
/// The longest value that is typed or pasted, in bytes.
const MAX_TYPED: usize = 64 << 10;

/// Store a key that someone else issued.
///
/// Reads the value from a hidden prompt on a terminal, where several lines can be pasted, from stdin, or from a file. Arguments are not accepted, because
/// other users, the shell history and logs can see them.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// The key's name, such as stripe/live
    #[arg(value_parser = typed_name)]
    name: TypedName,
    /// Refused: here, so that it can be refused without being repeated.
    #[arg(hide = true)]
    value: Vec<OsString>,
    #[command(flatten)]
    metadata: Metadata,
    /// Read the value from a file, byte for byte
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Keep the final newline of a single line from stdin
    #[arg(long, conflicts_with = "file")]
    exact: bool,
    /// Do not ask about a name that looks like a value
    #[arg(long)]
    yes: bool,
}

/// The name as it was typed.
#[derive(Debug, Clone)]
enum TypedName {
    Name(KeyName),
    /// `NAME=VALUE`, without the value; the name, if it is one that may be repeated.
    Assignment(Option<KeyName>),
}

fn typed_name(text: &str) -> Result<TypedName, String> {
    match text.split_once('=') {
        // The other way round, or padding at the end of a value: not a name.
        Some((name, _)) => {
            let name = KeyName::parse(name).ok();
            Ok(TypedName::Assignment(name.filter(|name| !resembles_a_secret(name.as_str()))))
        }
        None => named(text).map(TypedName::Name),
    }
}

impl Add {
    pub(in crate::cli) fn run(mut self, context: &mut Context) -> Result<u8, Failure> {
        let name = match self.name {
            TypedName::Name(name) if self.value.is_empty() => name,
            TypedName::Name(name) => return Err(value_as_argument(Some(&name))),
            TypedName::Assignment(name) => return Err(value_as_argument(name.as_ref())),
        };
        self.metadata.env = self.metadata.env.or_else(|| variable_here(&name));
        resembling::confirm(context, &name, self.yes)?;
        let source = GivenValue { file: self.file.as_deref(), stdin: false, exact: self.exact };
        source.refuse_typed()?;
        // Before a value is asked for: at the next hidden prompt a tired user types the passphrase.
        let (mut vault, access) = context.open_with_access()?;
        key::check_new(&mut vault, &access, &name, self.metadata.env.as_ref())
            .map_err(|error| Failure::of(error, vault.path()))?;
        generate::note_removed(context, &mut vault, &access, &name);
        let value = source.read(context, &name)?;
        if value.is_empty() && self.file.as_deref().is_none_or(|file| file == Path::new("-")) {
            return Err(Failure::usage(
                "The value is empty. The program that should have written it may have failed.",
                Some("Nothing was changed. If an empty value is intended, use `--file /dev/null`."),
            ));
        }
        if value.is_empty() {
            context.ui.warn("The value is empty.");
        }
        let size = value::size_in_lines(value.expose());
        let created =
            generate::create(context, (vault, access), name, self.metadata, Origin::Given(value), false)?;
        if let Some(size) = size {
            context.ui.note(&size);
        }
        Ok(created)
    }
}

/// The failure for a value on the command line, which is not repeated.
fn value_as_argument(name: Option<&KeyName>) -> Failure {
    let name = name.filter(|name| !resembles_a_secret(name.as_str()));
    let name = name.map_or("NAME", KeyName::as_str);
    Failure::usage(
        "Values are not accepted as arguments, which other users, the shell history and logs can see.",
        Some(&format!(
            "If the value was real, treat it as leaked: get a new one from its issuer.\nThen give it at a prompt: keyvault add {name}"
        )),
    )
}

/// Where a value that is not generated comes from.
pub(super) struct GivenValue<'s> {
    /// A file, or `-` for stdin, both byte for byte.
    pub(super) file: Option<&'s Path>,
    /// Stdin, and never a prompt.
    pub(super) stdin: bool,
    /// Keep a final newline of stdin.
    pub(super) exact: bool,
}

impl GivenValue<'_> {
    /// Refuses to read from a terminal what was asked for from stdin, before anything is opened for it.
    pub(super) fn refuse_typed(&self) -> Result<(), Failure> {
        if self.stdin {
            return context::refuse_typed_stdin(context::VALUE_BY_STDIN);
        }
        match self.file {
            Some(path) if path == Path::new("-") => context::refuse_typed_stdin(context::VALUE_BY_FILE),
            _ => Ok(()),
        }
    }

    /// Reads it: from the file, from a prompt on a terminal, or from stdin. Warns of what may not be meant.
    pub(super) fn read(&self, context: &Context, name: &KeyName) -> Result<SecretBytes, Failure> {
        let value = self.read_as_it_is(context, name)?;
        value::warn_of_oddities(context, &value, self.exact);
        Ok(value)
    }

    fn read_as_it_is(&self, context: &Context, name: &KeyName) -> Result<SecretBytes, Failure> {
        self.refuse_typed()?;
        if let Some(path) = self.file.filter(|path| *path != Path::new("-")) {
            let (mut file, _) = private::open_secret_file(path).map_err(|error| Failure::io(path, &error))?;
            return context::read_secret(&mut file, MAX_VALUE, path);
        }
        let exact = self.exact || self.file.is_some();
        if std::io::stdin().is_terminal() && self.file.is_none() && !self.stdin {
            if !context.may_ask() {
                return Err(Failure::usage("No value given.", Some("Pipe it in, or use `--file FILE`.")));
            }
            let typed = prompt::read_secret_lines(&format!("Value of {name}: "), MAX_TYPED)
                .map_err(|error| Failure::prompt(&error))?;
            if typed.is_empty() {
                return Err(Failure::usage(
                    "No value typed. Nothing was changed.",
                    Some("If an empty value is intended, use `--file /dev/null`."),
                ));
            }
            return Ok(typed);
        }
        let bytes = context::read_secret(&mut std::io::stdin().lock(), MAX_VALUE, Path::new(STDIN))?;
        if exact {
            return Ok(bytes);
        }
        let (value, dropped) = context::without_line_end(bytes);
        if dropped {
            context.ui.note("Dropped a final newline. `--exact` keeps it.");
        }
        Ok(value)
    }
}
