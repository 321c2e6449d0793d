//! `keyvault project init`

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;

use super::gate::{self, Found};
use super::naming::{ENV_FILES, prefix_of};
use crate::cli::args::named;
use crate::cli::cmd::import;
use crate::cli::complete;
use crate::cli::context::{self, Context};
use crate::cli::errors::{self, Failure, code};
use crate::cli::output;
use crate::exchange;
use crate::project::approval::Ask;
use crate::project::edit::{self, Started};
use crate::project::{FILE_NAME, Profile, ProjectFile, Section, VariableSource, schema};
use keyvault_core::name::{EnvName, KeyName, Scope, refused};
use keyvault_core::secret::SecretBytes;
use keyvault_os::fs::untrusted;
use keyvault_vault::{Conflict, Import, Imported, Incoming, VaultError};

/// The longest .env file that is read, in bytes.
const MAX_ENV: usize = 1 << 20;

/// Create a project file from a .env or .env.example file.
///
/// Each variable gets a key of the same name, prefixed with the folder's name, as `keyvault import` names them. With
/// --import, the values of the files go into the vault under these names; files whose name contains `example` or `sample`
/// give variables only. No secret is written into the project file: only the values of --plain are. A JSON Schema for
/// editors is written next to the file. The entries are approved at once, unless the prefix is empty. Without a .env file,
/// the project file starts with examples.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The files to read variables from, instead of .env.example and .env
    #[arg(value_name = "FILE")]
    from: Vec<PathBuf>,
    /// A profile and the file with its variables, such as prod=.env.production; may be repeated
    #[arg(long = "profile", value_name = "PROFILE=FILE", value_parser = profile_file)]
    profiles: Vec<(Profile, PathBuf)>,
    /// Also import the values into the vault
    #[arg(long)]
    import: bool,
    /// Scopes for the imported keys, separated by commas; may be repeated
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', requires = "import", add = complete::scopes(), value_parser = named::<Scope>)]
    scope: Vec<Scope>,
    /// Variables that are not secret, such as PORT: their values go into the project file; separated by commas
    #[arg(long, value_name = "VAR", value_delimiter = ',', value_parser = named::<EnvName>)]
    plain: Vec<EnvName>,
    /// How each key's name starts, instead of the folder's name and /
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// Do not write the schema for editors
    #[arg(long)]
    no_schema: bool,
}

fn profile_file(text: &str) -> Result<(Profile, PathBuf), String> {
    let (profile, file) = text.split_once('=').ok_or("takes PROFILE=FILE")?;
    Ok((named(profile)?, PathBuf::from(file)))
}

impl Init {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let folder = gate::working_folder()?;
        refuse_if_there(&folder.join(FILE_NAME))?;
        let prefix = self.prefix.clone().unwrap_or_else(|| prefix_of(&folder));
        let mut read = self.read(context)?;
        let entries = self.entries(&mut read, &prefix)?;
        // From before the vault is changed until the file is written: of two at once, one finds the other's file.
        let approvals = gate::approvals()?;
        let turn = gate::turn(context, &approvals)?;
        refuse_if_there(&folder.join(FILE_NAME))?;
        let imported = if self.import { Some(self.store(context, &mut read, &entries)?) } else { None };
        let found = write(&folder, &entries, !self.no_schema)?;
        // Names in capitals only: a key that was named by hand, as most are, cannot be reached through a name that the
        // repository's own .env.example chose, or through a path in JSON. Nor can one that was imported without a prefix.
        let conventional =
            |variable: &str| !variable.contains(|c: char| c.is_ascii_lowercase()) && variable != "_";
        let asks = found.file.all().map(|(section, entry)| Ask::of(section, entry));
        let after_variable = |ask: &Ask| {
            let profile = ask.profile.as_ref().map(|profile| format!("{profile}/")).unwrap_or_default();
            ask.value.is_some() && self.plain.iter().any(|plain| plain.as_str() == ask.variable)
                || ask.key.as_ref().is_some_and(|key| *key == format!("{prefix}{profile}{}", ask.variable))
        };
        let asks = asks
            .filter(|ask| !prefix.is_empty() && conventional(&ask.variable) && after_variable(ask))
            .collect();
        approvals
            .approve(&found.path, &asks, &turn)
            .map_err(|error| errors::project::not_remembered(&error))?;
        Self::answer(context, &found, &entries, &read, imported.as_ref(), &prefix)
    }

    /// The variables of the files. Values are read, as there is no other way to find where they end, and dropped unless they
    /// are to be imported.
    ///
    /// Neither the text behind a variable is looked at nor the vault: a file of the repository would otherwise choose
    /// which keys are approved.
    fn read(&self, context: &Context) -> Result<Read, Failure> {
        let mut read = Read::default();
        let usual = || ENV_FILES.map(PathBuf::from).into_iter().filter(|path| path.is_file()).collect();
        let from = if self.from.is_empty() { usual() } else { self.from.clone() };
        let own = from.into_iter().map(|path| (None, path));
        let profiles = self.profiles.iter().map(|(profile, path)| (Some(profile.clone()), path.clone()));
        for (section, path) in own.chain(profiles) {
            self.read_file(context, &section, &path, &mut read)?;
        }
        read.variables.sort_by(|left, right| left.section.cmp(&right.section));
        Ok(read)
    }

    fn read_file(
        &self,
        context: &Context,
        section: &Section,
        path: &Path,
        read: &mut Read,
    ) -> Result<(), Failure> {
        let mut file = std::fs::File::open(path).map_err(|error| Failure::io(path, &error))?;
        let bytes = context::read_secret(&mut file, MAX_ENV, path)?;
        let shown = path.display().to_string();
        let parsed = exchange::parse(&bytes).map_err(|error| Failure::exchange(&error, &shown))?;
        let imports = self.import && !is_example(path);
        if imports {
            import::point_out(context, &parsed, &shown, None);
            if parsed.cut().next().is_some() {
                let file = output::quoted(path);
                context.ui.note(&format!(
                    "After that in {}: keyvault import {file} --on-conflict replace",
                    output::harmless_line(&shown)
                ));
            }
            read.files.push(path.to_owned());
            read.incomplete |= !parsed.strays.is_empty() || parsed.cut().next().is_some();
        } else {
            import::warn_of_skipped_lines(context, &parsed.strays, &shown);
        }
        for entry in parsed.entries {
            let variable = entry.env_name().map_or(entry.variable.clone(), |name| name.to_string());
            let Ok(variable) = refused::parse(&variable) else {
                read.incomplete |= imports;
                if !read.left_out.contains(&entry.variable) {
                    read.left_out.push(entry.variable);
                }
                continue;
            };
            let value = (imports || self.plain.contains(&variable)).then_some(entry.value);
            let same = |known: &&mut Candidate| known.section == *section && known.variable == variable;
            match read.variables.iter_mut().find(same) {
                Some(known) => known.value = value.or_else(|| known.value.take()),
                None => {
                    read.variables.push(Candidate {
                        section: section.clone(),
                        variable,
                        path: entry.variable,
                        value,
                    });
                }
            }
        }
        Ok(())
    }

    /// The entries of the new file: the values of plain variables, and keys for all others.
    fn entries(&self, read: &mut Read, prefix: &str) -> Result<Vec<Started>, Failure> {
        if let Some(unknown) =
            self.plain.iter().find(|plain| read.variables.iter().all(|known| known.variable != **plain))
        {
            return Err(Failure::usage(
                &format!("No file has the variable {unknown}, which `--plain` names."),
                Some("Nothing was changed."),
            ));
        }
        let mut entries = Vec::with_capacity(read.variables.len());
        for Candidate { section, variable, path, value } in &mut read.variables {
            let source = if let Some(text) = value.take_if(|_| self.plain.contains(variable)) {
                VariableSource::Text(plain_text(variable, &text)?)
            } else {
                let profile = section.as_ref().map(|profile| format!("{profile}/")).unwrap_or_default();
                VariableSource::Key(KeyName::parse(&format!("{prefix}{profile}{path}")).map_err(|why| {
                    let message = format!("With this prefix, the key name for {variable} {why}.");
                    Failure::usage(&message, Some("Choose another `--prefix`."))
                })?)
            };
            entries.push((section.clone(), variable.clone(), source));
        }
        Ok(entries)
    }

    /// Imports the values under the names in the entries.
    fn store(
        &self,
        context: &mut Context,
        read: &mut Read,
        entries: &[Started],
    ) -> Result<Imported, Failure> {
        let mut incoming = Vec::with_capacity(entries.len());
        for (known, (_, variable, source)) in read.variables.iter_mut().zip(entries) {
            if let (VariableSource::Key(name), Some(value)) = (source, known.value.take()) {
                incoming.push(Incoming { name: name.clone(), variable: variable.clone(), value });
            }
        }
        if incoming.is_empty() {
            return Err(Failure::usage(
                "No file has values to import.",
                Some("Nothing was changed. Name a .env file, or leave out `--import`."),
            ));
        }
        let scopes: BTreeSet<_> = self.scope.iter().cloned().collect();
        let source =
            read.files.iter().filter_map(|path| path.file_name()?.to_str()).collect::<Vec<_>>().join(", ");
        let import = Import { incoming, scopes: &scopes, conflict: Conflict::Fail, source: &source };
        import::store(context, import, false)?.map_err(|(error, path)| {
            let taken = matches!(error, VaultError::KeysExist(_));
            let failure = Failure::of(error, &path);
            if !taken {
                return failure;
            }
            let hint = "Nothing was changed. If they are this project's, leave out `--import`.\n\
                        If they are another project's, choose a prefix of your own: --prefix NAME/";
            Failure { hint: Some(hint.to_owned()), ..failure }
        })
    }

    fn answer(
        context: &Context,
        found: &Found,
        entries: &[Started],
        read: &Read,
        imported: Option<&Imported>,
        prefix: &str,
    ) -> Result<u8, Failure> {
        let ui = &context.ui;
        if ui.json {
            return Self::answer_json(context, found, entries, read, imported);
        }
        for (place, variable, _) in entries {
            let mut written = found.file.all();
            let asked = written.find(|(section, entry)| *section == place && entry.variable == *variable);
            if let Some((section, entry)) = asked {
                ui.confirm(&errors::project::ask_line(&Ask::of(section, entry)))?;
            }
        }
        if !read.left_out.is_empty() {
            let them = if read.left_out.len() == 1 { "it" } else { "them" };
            let names =
                read.left_out.iter().map(|name| output::harmless_line(name)).collect::<Vec<_>>().join(", ");
            ui.warn(&format!(
                "Left out, because a project file may not set {them}: {names}. Set {them} in the shell."
            ));
        }
        ui.confirm(&format!("Wrote {}.", output::harmless_line(&found.path.display().to_string())))?;
        if entries.is_empty() {
            ui.note("Add a key to it with `keyvault project add NAME`.");
            return Ok(code::DONE);
        }
        if let Some(imported) = imported {
            let files: Vec<_> = read.files.iter().map(PathBuf::as_path).collect();
            let names = files.iter().map(|path| output::harmless_line(&path.display().to_string()));
            let names = names.collect::<Vec<_>>().join(", ");
            ui.confirm(&format!("Imported {names}: {}.", import::counted(imported)))?;
            import::advise_to_delete(context, &files, !read.incomplete);
            ui.note("Next: keyvault exec -- COMMAND");
        } else {
            ui.note(
                "Import the values with `keyvault import .env`; `keyvault project check` shows what is missing. \
                 Write a value that is not secret as { value = '3000' }.",
            );
        }
        if prefix.is_empty() {
            ui.note(
                "Without a prefix, nothing is approved yet. Review and approve it: keyvault project approve",
            );
        }
        Ok(code::DONE)
    }

    fn answer_json(
        context: &Context,
        found: &Found,
        entries: &[Started],
        read: &Read,
        imported: Option<&Imported>,
    ) -> Result<u8, Failure> {
        let line = |(section, variable, source): &Started| {
            let (name, value, template) = match source {
                VariableSource::Key(name) => (Some(name.as_str()), None, None),
                VariableSource::Text(text) => (None, Some(text.as_str()), None),
                VariableSource::Template(template) => (None, None, Some(template.text())),
            };
            serde_json::json!({
                "variable": variable.as_str(), "profile": section.as_ref().map(Profile::as_str),
                "name": name, "value": value, "template": template,
            })
        };
        let lines: Vec<_> = entries.iter().map(line).collect();
        let created =
            imported.map(|imported| imported.created.iter().map(ToString::to_string).collect::<Vec<_>>());
        context.ui.print_json(&serde_json::json!({
            "file": found.path.to_string_lossy(), "keys": lines, "left_out": read.left_out, "created": created,
        }))?;
        Ok(code::DONE)
    }
}

/// A variable of the files, with its value if that is wanted.
struct Candidate {
    section: Section,
    variable: EnvName,
    /// The end of its key's name.
    path: String,
    value: Option<SecretBytes>,
}

/// The content of all files.
#[derive(Default)]
struct Read {
    /// Ordered by section, and within each as in its files.
    variables: Vec<Candidate>,
    /// Those that a project file may not set.
    left_out: Vec<String>,
    /// The files whose values are imported.
    files: Vec<PathBuf>,
    /// True if some of their text is in no key and in no setting.
    incomplete: bool,
}

/// Returns `true` if a file's values stand for others.
fn is_example(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    ["example", "sample", "template", "dist"].iter().any(|word| name.contains(word))
}

/// The text of a variable whose value was said not to be secret.
fn plain_text(variable: &EnvName, value: &SecretBytes) -> Result<String, Failure> {
    let text = std::str::from_utf8(value.expose()).ok().filter(|text| !text.contains('\0'));
    text.map(str::to_owned).ok_or_else(|| {
        Failure::usage(
            &format!("The value of {variable} is not text, so the project file cannot hold it."),
            Some("Nothing was changed. Leave it out of `--plain`."),
        )
    })
}

/// A new project file in the working directory, for `project add`.
pub(super) fn make() -> Result<Found, Failure> {
    let folder = gate::working_folder()?;
    refuse_if_there(&folder.join(FILE_NAME))?;
    write(&folder, &[], true)
}

fn write(folder: &Path, entries: &[Started], with_schema: bool) -> Result<Found, Failure> {
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
