//! `keyvault import`

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::cli::args::named;
use crate::cli::cmd::project::naming::Naming;
use crate::cli::complete;
use crate::cli::context::{self, Context};
use crate::cli::errors::{Failure, code};
use crate::cli::output;
use crate::cli::output::table::{Column, Table};
use crate::cli::value;
use crate::exchange::{self, Entry, Parsed, Strays};
use keyvault_core::name::{EnvName, KeyName, NameError, Scope};
use keyvault_vault::{Conflict, Import as Incomings, Imported, Incoming, VaultError, key};

/// The longest file that is taken in, in bytes.
const MAX_FILE: usize = 16 << 20;

/// Import a .env or JSON file.
///
/// Each key is named after its variable, with --prefix in front. In a project, the prefix is the project's: the name of its
/// folder, or what the keys in its project file begin with; a variable in the project file becomes the key that the file names. A
/// .env file is read as the npm package `dotenv` 18 reads
/// it; lines that are not assignments are skipped and listed by number. JSON must be an object: numbers, booleans, and lists
/// are imported as they are written, and a member of a nested object is named NAME/MEMBER. All keys are imported or none.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file, or - for stdin
    file: PathBuf,
    /// How each key's name starts, such as shop/, instead of the project's prefix; '' for none
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// Join the names of nested JSON objects with this text, such as _, instead of /
    #[arg(long, value_name = "TEXT", default_value = "/", hide_default_value = true)]
    flatten: String,
    /// Scopes for all keys, separated by commas; may be repeated
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', add = complete::scopes(), value_parser = named::<Scope>)]
    scope: Vec<Scope>,
    /// How to treat keys that already exist: fail (import nothing), skip (keep them) or replace (give them the file's value as a new
    /// version)
    #[arg(long, value_enum, value_name = "WHAT", default_value = "fail", hide_possible_values = true)]
    on_conflict: OnConflict,
    /// Show what would be imported, and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnConflict {
    Fail,
    Skip,
    Replace,
}

impl From<OnConflict> for Conflict {
    fn from(what: OnConflict) -> Self {
        match what {
            OnConflict::Fail => Self::Fail,
            OnConflict::Skip => Self::Skip,
            OnConflict::Replace => Self::Replace,
        }
    }
}

impl Import {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let shown =
            if self.reads_stdin() { context::STDIN.to_owned() } else { self.file.display().to_string() };
        let parsed = self.read(&shown)?;
        let naming = self.naming()?;
        let named = |variable: &str| {
            let key = EnvName::parse(variable).ok().and_then(|variable| naming.key_of(&variable).cloned());
            key.map_or_else(|| format!("{}{variable}", naming.prefix), |key| key.to_string())
        };
        point_out(context, &parsed, &shown, (!self.dry_run).then_some(&named as Named<'_>));
        let left = LeftInFile {
            skipped: parsed.strays.clone(),
            cut: parsed.cut().map(str::to_owned).collect(),
            ..LeftInFile::default()
        };
        let is_setting = |entry: &Entry| entry.env_name().is_ok_and(|variable| naming.is_setting(&variable));
        let (settings, entries): (Vec<_>, Vec<_>) = parsed.entries.into_iter().partition(is_setting);
        if !settings.is_empty() {
            let settings: Vec<_> = settings.iter().map(|entry| entry.variable.as_str()).collect();
            context.ui.warn(&format!(
                "Not imported, because .keyvault.toml already sets {}: {}.",
                if settings.len() == 1 { "it" } else { "them" },
                output::harmless_line(&settings.join(", "))
            ));
        }
        let (incoming, dangerous) = Self::name_keys(entries, &naming)?;
        if !dangerous.is_empty() {
            context.ui.warn(&format!(
                "Not imported, because {} keyvault: {}.",
                if dangerous.len() == 1 {
                    "it makes programs run code, or belongs to"
                } else {
                    "they make programs run code, or belong to"
                },
                dangerous.join(", ")
            ));
        }
        if incoming.is_empty() {
            return Err(Failure::failed(
                &format!("{shown} contains no variables to import."),
                Some("Nothing was changed."),
            ));
        }
        let left = LeftInFile { dangerous, ..left };
        let scopes = self.scope.iter().cloned().collect();
        let import = Incomings {
            incoming,
            scopes: &scopes,
            conflict: self.on_conflict.into(),
            source: self.file.file_name().and_then(|name| name.to_str()).unwrap_or("-"),
        };
        let imported = store(context, import, self.dry_run)?.map_err(|(error, path)| {
            let taken = matches!(error, VaultError::KeysExist(_)) && self.prefix.is_none();
            let failure = Failure::of(error, &path);
            if taken && let Some((profile, prefix)) = naming.profile_of(&self.file) {
                let hint = format!(
                    "Nothing was changed. This file belongs to profile `{profile}`: keyvault import {} --prefix {}",
                    output::quoted(&self.file),
                    output::harmless_line(prefix)
                );
                Failure { hint: Some(hint), ..failure }
            } else if taken && !naming.prefix.is_empty() {
                failure.because("If they are another project's, choose a prefix of your own: --prefix NAME/")
            } else {
                failure
            }
        })?;
        self.report(context, &imported, &left, &shown, &naming)
    }

    /// The names of the keys: with the prefix that was given, or as in the project here.
    fn naming(&self) -> Result<Naming, Failure> {
        if let Some(prefix) = self.prefix.clone() {
            return Ok(Naming::with_prefix(prefix));
        }
        let naming = Naming::here()?.unwrap_or_default();
        // A file that came with a repository must not choose which of the owner's keys get new values.
        if let Some((file, false)) = &naming.file
            && self.on_conflict == OnConflict::Replace
        {
            return Err(Failure::refused(
                &format!(
                    "{} would choose the keys to replace, and it is not approved.",
                    output::harmless_line(&file.display().to_string())
                ),
                Some(
                    "Nothing was changed. Approve it with `keyvault project approve`, or name the keys with `--prefix`.",
                ),
            ));
        }
        Ok(naming)
    }

    fn reads_stdin(&self) -> bool {
        self.file == Path::new("-")
    }

    fn read(&self, shown: &str) -> Result<Parsed, Failure> {
        let bytes = if self.reads_stdin() {
            context::read_secret(&mut std::io::stdin().lock(), MAX_FILE, Path::new(shown))?
        } else {
            let mut file =
                std::fs::File::open(&self.file).map_err(|error| Failure::io(&self.file, &error))?;
            context::read_secret(&mut file, MAX_FILE, &self.file)?
        };
        exchange::parse_joined_by(&bytes, &self.flatten).map_err(|error| Failure::exchange(&error, shown))
    }

    /// Names for the keys. Variables that run code are left out and listed; what is no name at all refuses the file.
    fn name_keys(entries: Vec<Entry>, naming: &Naming) -> Result<(Vec<Incoming>, Vec<String>), Failure> {
        let mut incoming = Vec::with_capacity(entries.len());
        let mut dangerous = Vec::new();
        let mut wrong = Vec::new();
        for entry in entries {
            let variable = entry.env_name();
            let named = variable.as_ref().ok().and_then(|variable| naming.key_of(variable)).cloned();
            let name =
                named.map_or_else(|| KeyName::parse(&format!("{}{}", naming.prefix, entry.variable)), Ok);
            match (variable, name) {
                (Ok(variable), Ok(name)) => incoming.push(Incoming { name, variable, value: entry.value }),
                (Err(NameError::RunsCode | NameError::Reserved), _) => dangerous.push(entry.variable),
                (Err(error), _) | (Ok(_), Err(error)) => {
                    wrong.push(format!("\n  {} {error}", output::harmless_line(&entry.variable)));
                }
            }
        }
        if !wrong.is_empty() {
            let message =
                format!("Some variables cannot become keys. Nothing was changed:{}", wrong.concat());
            return Err(Failure::usage(
                &message,
                Some("Rename them in the file, or choose another `--prefix`."),
            ));
        }
        Ok((incoming, dangerous))
    }

    fn report(
        &self,
        context: &Context,
        imported: &Imported,
        left: &LeftInFile,
        shown: &str,
        naming: &Naming,
    ) -> Result<u8, Failure> {
        let ui = &context.ui;
        if ui.json {
            let names = |names: &[KeyName]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
            ui.print_json(&serde_json::json!({
                "created": names(&imported.created),
                "replaced": names(&imported.replaced),
                "skipped": names(&imported.skipped),
                "unchanged": names(&imported.unchanged),
                "left_out": left.dangerous,
                "skipped_lines": left.skipped.runs(),
                "cut_at_hash": left.cut,
                "prefix": naming.prefix,
                "dry_run": self.dry_run,
            }))?;
            return Ok(code::DONE);
        }
        if self.dry_run {
            let mut table = Table::new([Column::whole("KEY"), Column::whole("STATE")]);
            let states = [
                (&imported.created, "new"),
                (&imported.replaced, "updated"),
                (&imported.skipped, "skipped"),
                (&imported.unchanged, "unchanged"),
            ];
            for (names, state) in states {
                for name in names {
                    table.row([name.as_str(), state]);
                }
            }
            ui.paged(&table.text(ui))?;
        }
        let verb = if self.dry_run { "Would import" } else { "Imported" };
        ui.confirm(&format!("{verb} {shown}: {}.", counted(imported)))?;
        if self.prefix.is_none() && !naming.prefix.is_empty() {
            let Imported { created, replaced, skipped, unchanged } = imported;
            let example = [created, replaced, skipped, unchanged].into_iter().flatten().next();
            let example = example.map(|name| format!(", such as {name}")).unwrap_or_default();
            ui.note(&format!(
                "The names begin with the project's prefix{example}. `--prefix ''` imports without it."
            ));
        }
        if self.dry_run || self.reads_stdin() {
            return Ok(code::DONE);
        }
        advise_to_delete(context, &[&self.file], left.is_empty() && imported.skipped.is_empty());
        if self.prefix.is_none() && naming.file.is_none() && !naming.prefix.is_empty() {
            ui.note("Next: `keyvault project init` records the keys, so that `keyvault exec -- COMMAND` finds them.");
        }
        Ok(code::DONE)
    }
}

/// Imports keys, or only says what an import would do. The error comes with the vault's path.
pub(super) fn store(
    context: &mut Context,
    import: Incomings<'_>,
    dry_run: bool,
) -> Result<Result<Imported, (VaultError, PathBuf)>, Failure> {
    let (mut vault, access) = context.open_with_access()?;
    let path = vault.path().to_owned();
    let progress = context.ui.progress("importing", import.incoming.len());
    let imported = context.with_world(|world| {
        let step = |done| progress.set_position(u64::try_from(done).unwrap_or(u64::MAX));
        Ok(if dry_run {
            key::preview_import(&mut vault, &access, &import)
        } else {
            key::import(&mut vault, &access, world, import, &step)
        })
    });
    progress.finish_and_clear();
    Ok(imported?.map_err(|error| (error, path)))
}

/// `3 new, 1 skipped`
pub(super) fn counted(imported: &Imported) -> String {
    let count =
        |names: &[KeyName], what: &str| (!names.is_empty()).then(|| format!("{} {what}", names.len()));
    let counts = [
        count(&imported.created, "new"),
        count(&imported.replaced, "updated"),
        count(&imported.skipped, "skipped"),
        count(&imported.unchanged, "unchanged"),
    ];
    counts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Advises to delete imported files, or to keep them where not all of their values were imported.
pub(super) fn advise_to_delete(context: &Context, files: &[&Path], all_imported: bool) {
    let (one, several) =
        ("The file still contains the plaintext values", "The files still contain the plaintext values");
    let (subject, them) = if files.len() == 1 { (one, "it") } else { (several, "them") };
    if all_imported {
        let paths = files.iter().map(|path| output::quoted(path)).collect::<Vec<_>>().join(" ");
        let track = if files.len() == 1 { "it" } else { "one of them" };
        context.ui.note(&format!(
            "{subject}. Once everything works without {them}, delete {them}:\n  rm {paths}\nIf git tracks {track}, also run `git rm --cached {paths}` and rotate the keys that were pushed."
        ));
    } else {
        context.ui.note(&format!("{subject}, and some that were not imported. Keep {them} until they are."));
    }
}

/// The parts of a file that are in no key, so that deleting the file would lose them.
#[derive(Default)]
struct LeftInFile {
    skipped: Strays,
    /// Variables whose value a `#` ended.
    cut: Vec<String>,
    /// Variables that make programs run code, or belong to keyvault.
    dangerous: Vec<String>,
}

impl LeftInFile {
    fn is_empty(&self) -> bool {
        self.skipped.is_empty() && self.cut.is_empty() && self.dangerous.is_empty()
    }
}

/// Warns of lines of a file from which nothing was read. Their text is not shown: it may be a value's.
pub(super) fn warn_of_skipped_lines(context: &Context, strays: &Strays, file: &str) {
    if strays.is_empty() {
        return;
    }
    let (lines, are) = strays.told("is no assignment and was", "are no assignments and were");
    let file = output::harmless_line(file);
    context.ui.warn(&format!(
        "In {file}, {lines} {are} skipped. Write NAME=value, and put quotes around a value of several lines."
    ));
}

/// Warns of variables whose value may have been cut, and of those without one.
///
/// `named` gives the key of a variable whose value is in the vault once the command ends.
pub(super) fn warn_of_lost_values(context: &Context, parsed: &Parsed, named: Option<Named<'_>>) {
    let cut: Vec<_> = parsed.cut().collect();
    if let Some(first) = cut.first() {
        let repair = named.map_or_else(String::new, |named| {
            let keys: Vec<_> = cut.iter().map(|variable| named(variable)).collect();
            let each = if keys.len() == 1 { "" } else { ", and the same for the others" };
            format!(" Or type the whole value of the key{each}: keyvault rotate {}", first_of(&keys))
        });
        context.ui.warn(&output::harmless(&format!(
            "A # begins a comment, so the rest of the value was left out: {}. If it belongs to the value, put quotes \
             around the value, as in {first}='…'.{repair}",
            cut.join(", ")
        )));
    }
    if !parsed.valueless.is_empty() {
        let valueless = output::harmless_line(&parsed.valueless.join(", "));
        let they_have = if parsed.valueless.len() == 1 { "it has" } else { "they have" };
        context.ui.warn(&format!("Left out, because {they_have} no value: {valueless}."));
    }
}

/// The name of the key that a variable of a file becomes.
pub(super) type Named<'n> = &'n dyn Fn(&str) -> String;

fn first_of(keys: &[String]) -> &str {
    keys.first().map_or("NAME", String::as_str)
}

/// Warns of surprises in the file, a line each.
pub(super) fn point_out(context: &Context, parsed: &Parsed, shown: &str, named: Option<Named<'_>>) {
    let list = |names: Vec<&str>| output::harmless_line(&names.join(", "));
    warn_of_skipped_lines(context, &parsed.strays, shown);
    warn_of_lost_values(context, parsed, named);
    if !parsed.duplicates.is_empty() {
        let repeated = parsed.duplicates.iter().map(String::as_str).collect();
        context
            .ui
            .warn(&format!("Defined more than once in the file; the last one is used: {}.", list(repeated)));
    }
    let named = |wanted: &dyn Fn(&Entry) -> bool| -> Vec<&str> {
        parsed.entries.iter().filter(|entry| wanted(entry)).map(|entry| entry.variable.as_str()).collect()
    };
    let interpolating = named(&|entry| entry.interpolates);
    if !interpolating.is_empty() {
        context.ui.warn(&format!("${{…}} is imported as it is and not expanded: {}.", list(interpolating)));
    }
    let odd = named(&|entry| !value::oddities(entry.value.expose()).is_empty());
    if !odd.is_empty() {
        context.ui.warn(&format!(
            "These values begin or end with a blank, a line end, or a byte order mark, or have CR LF line ends; they are imported as they are: {}.",
            list(odd)
        ));
    }
    let unreadable = named(&|entry| entry.env_name().is_ok_and(|name| !name.readable_by_shells()));
    if !unreadable.is_empty() {
        context.ui.warn(&format!("Shells cannot read these variables: {}.", list(unreadable)));
    }
}
