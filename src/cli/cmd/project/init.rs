//! `keyvault project init`

use std::path::{Path, PathBuf};

use clap::Args;

use super::gate::{self, Found};
use crate::cli::context::{self, Context};
use crate::cli::error::{Failure, code};
use crate::cli::{project_sentences, ui};
use crate::exchange;
use crate::name::{EnvName, KeyName, refused};
use crate::project::approval::Ask;
use crate::project::{FILE_NAME, ProjectFile, edit, schema};
use crate::sys::foreign;

/// The longest .env file that is read, in bytes.
const MAX_ENV: usize = 1 << 20;

/// Start a project file from a .env or .env.example.
///
/// Each variable gets the key of its name behind a prefix, which is the folder's name, as 'keyvault import --prefix'
/// names them; no value enters the file. A JSON Schema for editors is written beside it. What is written is allowed at
/// once, unless there is no prefix. Without such a file it begins with examples.
#[derive(Debug, Args)]
pub struct Init {
    /// The files to take variables from, instead of .env.example and .env
    #[arg(value_name = "FILE")]
    from: Vec<PathBuf>,
    /// What each key's name begins with, instead of the folder's name and /
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// Write no schema for editors
    #[arg(long)]
    no_schema: bool,
}

impl Init {
    pub(in crate::cli) fn run(self, context: &Context) -> Result<u8, Failure> {
        let folder = gate::working_folder()?;
        refuse_if_there(&folder.join(FILE_NAME))?;
        let prefix = self.prefix.clone().unwrap_or_else(|| prefix_of(&folder));
        let (variables, left_out) = self.variables()?;
        let mut entries = Vec::with_capacity(variables.len());
        for variable in variables {
            let name = KeyName::parse(&format!("{prefix}{variable}")).map_err(|why| {
                let message = format!("Behind this prefix {variable} is no name of a key: it {why}.");
                Failure::usage(&message, Some("Choose another --prefix."))
            })?;
            entries.push((variable, name));
        }
        let approvals = gate::approvals()?;
        let turn = gate::turn(context, &approvals)?;
        let found = write(&folder, &entries, !self.no_schema)?;
        // Names in capitals only: a key that was named by hand, as most are, cannot be reached through a name that the
        // repository's own .env.example chose. Nor can one that was imported without a prefix.
        let conventional =
            |variable: &str| !variable.contains(|c: char| c.is_ascii_lowercase()) && variable != "_";
        let asks = found.file.all().map(|(section, entry)| Ask::of(section, entry));
        let asks = asks.filter(|ask| !prefix.is_empty() && conventional(&ask.variable)).collect();
        approvals
            .allow(&found.path, &asks, &turn)
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
                .map(|(variable, key)| serde_json::json!({ "variable": variable.as_str(), "key": key.as_str() }))
                .collect();
            ui.print_json(&serde_json::json!({
                "file": found.path.to_string_lossy(), "keys": keys, "left_out": left_out
            }))?;
            return Ok(code::DONE);
        }
        for (variable, key) in entries {
            ui.line(&format!("{variable} <- {key}"))?;
        }
        if !left_out.is_empty() {
            let names = left_out.iter().map(|name| ui::harmless_line(name)).collect::<Vec<_>>().join(", ");
            ui.warn(&format!("Left out, because a project file may not set them: {names}."));
        }
        ui.note(&format!("Wrote {}.", ui::harmless_line(&found.path.display().to_string())));
        if entries.is_empty() {
            ui.note("'keyvault project add NAME' adds a key to it.");
        } else {
            let prefixed = if prefix.is_empty() { String::new() } else { format!(" --prefix {prefix}") };
            ui.note(&format!(
                "Take out what is no secret. 'keyvault import .env{prefixed}' takes the values in; \
                 'keyvault project check' says what is missing."
            ));
            if prefix.is_empty() {
                ui.note("Without a prefix nothing is allowed yet: 'keyvault project allow' asks.");
            }
        }
        Ok(code::DONE)
    }

    /// The variables of the files, each once, and those that a project file may not set. Values are read, as there is no
    /// other way to find where they end, and dropped.
    ///
    /// What stands behind a variable is not looked at, nor is the vault: a file of the repository would otherwise choose
    /// which keys are allowed.
    fn variables(&self) -> Result<(Vec<EnvName>, Vec<String>), Failure> {
        let named: Vec<PathBuf> = if self.from.is_empty() {
            let usual = [".env.example", ".env"].map(PathBuf::from);
            usual.into_iter().filter(|path| path.is_file()).collect()
        } else {
            self.from.clone()
        };
        let (mut variables, mut left_out) = (Vec::new(), Vec::new());
        for path in named {
            let mut file = std::fs::File::open(&path).map_err(|error| Failure::io(&path, &error))?;
            let bytes = context::read_secret(&mut file, MAX_ENV, &path)?;
            let shown = path.display().to_string();
            let parsed = exchange::parse(&bytes).map_err(|error| Failure::exchange(&error, &shown))?;
            for entry in parsed.entries {
                match refused::parse(&entry.variable) {
                    Ok(variable) if !variables.contains(&variable) => variables.push(variable),
                    Err(_) if !left_out.contains(&entry.variable) => left_out.push(entry.variable),
                    _ => {}
                }
            }
        }
        Ok((variables, left_out))
    }
}

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
        foreign::replace_shared(&schema_path, schema::text().as_bytes())
            .map_err(|error| Failure::making(&schema_path, &error))?;
    }
    foreign::write_shared(&path, text.as_bytes()).map_err(|error| Failure::making(&path, &error))?;
    Ok(Found { path, file, text: text.into_bytes() })
}

fn refuse_if_there(path: &Path) -> Result<(), Failure> {
    if std::fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    Err(Failure::refused(
        &format!("{} is there already; it was not touched.", ui::harmless_line(&path.display().to_string())),
        Some("'keyvault project add NAME' adds a key to it."),
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
