//! `keyvault export`

use clap::{Args, ValueEnum};

use super::exec;
use crate::audit::Action;
use crate::cli::args::Choice;
use crate::cli::context::Context;
use crate::cli::error::{Failure, code};
use crate::exchange::{self, Format};
use crate::vault::Purpose;

/// Write keys out as .env or JSON.
///
/// On stdout, keyed by variable. What reads it back gets the same bytes; a value that the format cannot carry refuses
/// the whole. Do not source a .env file into a shell: what stands in double quotes or backticks would be expanded and run.
/// This is recorded.
#[derive(Debug, Args)]
pub struct Export {
    #[command(flatten)]
    choice: Choice,
    /// dotenv (NAME=value lines) or json (an object), which --json means too
    #[arg(long, value_enum, value_name = "FORMAT", hide_possible_values = true)]
    format: Option<Written>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Written {
    /// NAME=value lines
    Dotenv,
    /// {"NAME": "value"}
    Json,
}

fn name_of(format: Format) -> &'static str {
    match format {
        Format::Dotenv => "dotenv",
        Format::Json => "json",
    }
}

impl Export {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let selection = self.choice.selection();
        if selection.is_empty() {
            return Err(exec::nothing_selected(context));
        }
        let format = match (self.format, context.ui.json) {
            (Some(Written::Json), _) | (None, true) => Format::Json,
            (Some(Written::Dotenv), _) | (None, false) => Format::Dotenv,
        };
        let (mut vault, access) = context.open_with_access()?;
        let path = vault.path().to_owned();
        let purpose = Purpose { action: Action::Export, detail: name_of(format).to_owned() };
        let (resolved, skipped) = context.with_world(|world| {
            vault
                .resolve(&access, world, &selection, purpose, &|_| Vec::new())
                .map_err(|error| Failure::of(error, &path))
        })?;
        exec::say_skipped(context, &skipped);
        let variables: Vec<_> = resolved
            .iter()
            .filter_map(|key| Some((key.variable.as_ref()?.as_str(), key.value.expose())))
            .collect();
        let written = match format {
            Format::Dotenv => exchange::write_dotenv(&variables),
            Format::Json => exchange::write_json(&variables),
        };
        let written = written.map_err(|error| Failure::exchange(&error, "the selection"))?;
        context.ui.file(&written, format == Format::Json)?;
        Ok(code::DONE)
    }
}
