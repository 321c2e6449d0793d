//! `keyvault project init`

use std::path::{Path, PathBuf};

use clap::Args;

use super::gate::{self, Found};
use crate::cli::cmd::import;
use crate::cli::context::{self, Context};
use crate::cli::errors::project_sentences;
use crate::cli::errors::{Failure, code};
use crate::cli::output;
use crate::exchange;
use crate::project::approval::Ask;
use crate::project::{FILE_NAME, ProjectFile, edit, schema};
use keyvault_core::name::{EnvName, KeyName, refused};
use keyvault_os::fs::untrusted;

/// The longest .env file that is read, in bytes.
const MAX_ENV: usize = 1 << 20;

/// Create a project file from a .env or .env.example file.
///
/// Each variable gets a key of the same name, prefixed with the folder's name, as `keyvault import --prefix` names them. No
/// values are written. A JSON Schema for editors is written next to the file. The entries are approved at once, unless the
/// prefix is empty. Without a .env file, the project file starts with examples.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The files to read variables from, instead of .env.example and .env
    #[arg(value_name = "FILE")]
    from: Vec<PathBuf>,
    /// How each key's name starts, instead of the folder's name and /
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// Do not write the schema for editors
    #[arg(long)]
    no_schema: bool,
}

impl Init {
    pub(in crate::cli) fn run(self, context: &Context) -> Result<u8, Failure> {
        let folder = gate::working_folder()?;
        refuse_if_there(&folder.join(FILE_NAME))?;
        let prefix = self.prefix.clone().unwrap_or_else(|| prefix_of(&folder));
        let (variables, left_out) = self.variables(context)?;
        let mut entries = Vec::with_capacity(variables.len());
        for (variable, path) in variables {
            let name = KeyName::parse(&format!("{prefix}{path}")).map_err(|why| {
                let message = format!("With this prefix, the key name for {variable} {why}.");
                Failure::usage(&message, Some("Choose another `--prefix`."))
            })?;
            entries.push((variable, name));
        }
        let approvals = gate::approvals()?;
        let turn = gate::turn(context, &approvals)?;
        let found = write(&folder, &entries, !self.no_schema)?;
        // Names in capitals only: a key that was named by hand, as most are, cannot be reached through a name that the
        // repository's own .env.example chose, or through a path in JSON. Nor can one that was imported without a prefix.
        let conventional =
            |variable: &str| !variable.contains(|c: char| c.is_ascii_lowercase()) && variable != "_";
        let asks = found.file.all().map(|(section, entry)| Ask::of(section, entry));
        let after_variable =
            |ask: &Ask| ask.key.as_ref().is_some_and(|key| *key == format!("{prefix}{}", ask.variable));
        let asks = asks
            .filter(|ask| !prefix.is_empty() && conventional(&ask.variable) && after_variable(ask))
            .collect();
        approvals
            .approve(&found.path, &asks, &turn)
            .map_err(|error| project_sentences::not_remembered(&error))?;
        Self::answer(context, &found, &entries, &left_out, &prefix)
    }

    fn answer(
        context: &Context,
        found: &Found,
        entries: &[(EnvName, KeyName)],
        left_out: &[String],
        prefix: &str,
    ) -> Result<u8, Failure> {
        let ui = &context.ui;
        if ui.json {
            let keys: Vec<_> = entries
                .iter()
                .map(|(variable, key)| serde_json::json!({ "variable": variable.as_str(), "name": key.as_str() }))
                .collect();
            ui.print_json(&serde_json::json!({
                "file": found.path.to_string_lossy(), "keys": keys, "left_out": left_out
            }))?;
            return Ok(code::DONE);
        }
        for (variable, key) in entries {
            ui.confirm(&format!("{variable} <- {key}"))?;
        }
        if !left_out.is_empty() {
            let names =
                left_out.iter().map(|name| output::harmless_line(name)).collect::<Vec<_>>().join(", ");
            ui.warn(&format!("Left out because a project file may not set them: {names}."));
        }
        ui.note(&format!("Wrote {}.", output::harmless_line(&found.path.display().to_string())));
        if entries.is_empty() {
            ui.note("Add a key to it with `keyvault project add NAME`.");
        } else {
            let prefixed = if prefix.is_empty() { String::new() } else { format!(" --prefix {prefix}") };
            ui.note(&format!(
                "Remove the entries that are not secret. Import the values with `keyvault import .env{prefixed}`; \
                 `keyvault project check` shows what is missing."
            ));
            if prefix.is_empty() {
                ui.note("Without a prefix, nothing is approved yet. Review and approve it: keyvault project approve");
            }
        }
        Ok(code::DONE)
    }

    /// The variables of the files, each once and with the end of its key's name, and those that a project file may not
    /// set. Values are read, as there is no other way to find where they end, and dropped.
    ///
    /// Neither the text behind a variable is looked at nor the vault: a file of the repository would otherwise choose
    /// which keys are approved.
    fn variables(&self, context: &Context) -> Result<(Vec<Named>, Vec<String>), Failure> {
        let named: Vec<PathBuf> = if self.from.is_empty() {
            let usual = [".env.example", ".env"].map(PathBuf::from);
            usual.into_iter().filter(|path| path.is_file()).collect()
        } else {
            self.from.clone()
        };
        let (mut variables, mut left_out) = (Vec::<Named>::new(), Vec::new());
        for path in named {
            let mut file = std::fs::File::open(&path).map_err(|error| Failure::io(&path, &error))?;
            let bytes = context::read_secret(&mut file, MAX_ENV, &path)?;
            let shown = path.display().to_string();
            let parsed = exchange::parse(&bytes).map_err(|error| Failure::exchange(&error, &shown))?;
            import::warn_of_skipped_lines(context, &parsed.strays, &shown);
            for entry in parsed.entries {
                let variable = entry.env_name().map_or(entry.variable.clone(), |name| name.to_string());
                match refused::parse(&variable) {
                    Ok(variable) if variables.iter().all(|(known, _)| *known != variable) => {
                        variables.push((variable, entry.variable));
                    }
                    Err(_) if !left_out.contains(&entry.variable) => left_out.push(entry.variable),
                    _ => {}
                }
            }
        }
        Ok((variables, left_out))
    }
}

/// A variable, and the end of its key's name.
type Named = (EnvName, String);

/// A new project file in the working directory, for `project add`.
pub(super) fn make(entries: &[(EnvName, KeyName)]) -> Result<Found, Failure> {
    let folder = gate::working_folder()?;
    refuse_if_there(&folder.join(FILE_NAME))?;
    write(&folder, entries, true)
}

fn write(folder: &Path, entries: &[(EnvName, KeyName)], with_schema: bool) -> Result<Found, Failure> {
    let path = folder.join(FILE_NAME);
    let beside = format!("./{}", schema::FILE_NAME);
    let text = edit::start(with_schema.then_some(beside.as_str()), entries);
    let file = ProjectFile::parse(text.as_bytes()).map_err(|error| Failure::project_file(&error, &path))?;
    if with_schema {
        // The schema is the program's own: one that is there is made current.
        let schema_path = folder.join(schema::FILE_NAME);
        untrusted::replace_shared(&schema_path, schema::text().as_bytes())
            .map_err(|error| Failure::making(&schema_path, &error))?;
    }
    untrusted::write_shared(&path, text.as_bytes()).map_err(|error| Failure::making(&path, &error))?;
    Ok(Found { path, file, text: text.into_bytes(), bases: Vec::new() })
}

fn refuse_if_there(path: &Path) -> Result<(), Failure> {
    if std::fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    Err(Failure::refused(
        &format!(
            "{} already exists and was not changed.",
            output::harmless_line(&path.display().to_string())
        ),
        Some("Add a key to it with `keyvault project add NAME`."),
    ))
}

/// The folder's name as the beginning of keys' names; nothing if it has no character for one.
fn prefix_of(folder: &Path) -> String {
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let kept = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    let name: String = name.chars().map(kept).take(48).collect();
    let name = name.trim_matches(['.', '-']);
    if name.is_empty() { String::new() } else { format!("{name}/") }
}
