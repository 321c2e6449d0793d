//! The gate between a project file and the vault: the file is found, read and shown to somebody who says yes, before
//! anything is unlocked for it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::context::{self, Context};
use crate::cli::errors::{self, Failure, vault_file};
use crate::cli::unlock::UNANSWERED;
use crate::cli::unlock::key_source::Machine;
use crate::cli::{output, prompt};
use crate::project::approval::{Approvals, Approved, Ask, Turn};
use crate::project::trust::Trusted;
use crate::project::{Entry, PlaceError, Profile, ProjectFile, Section, place};
use keyvault_os::fs::lock::Held;
use keyvault_os::fs::untrusted::Writers;

/// A project file that was found and understood.
pub(in crate::cli) struct Found {
    /// Where it is, without links.
    pub(in crate::cli) path: PathBuf,
    pub(in crate::cli) file: ProjectFile,
    pub(in crate::cli) text: Vec<u8>,
    /// The files that it extends, the nearest first; their entries are among its own.
    pub(in crate::cli) bases: Vec<PathBuf>,
}

/// The users who may have written a project file for it to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Believed {
    /// This user, root, and the owners of folders that were trusted.
    Trusted,
    /// Anyone: the grants of a token decide. A container's job has a checkout that belongs to whoever runs the service.
    ByGrants,
}

impl Believed {
    pub(in crate::cli) fn by(machine: &Machine) -> Self {
        if machine.given() { Self::ByGrants } else { Self::Trusted }
    }

    fn read(self, path: &Path) -> Result<Vec<u8>, PlaceError> {
        if self == Self::ByGrants {
            return place::read(path, Writers::Anyone);
        }
        match place::read(path, Writers::OnlyUs) {
            Err(error @ PlaceError::WrongOwner { .. }) => {
                let user = trusted().ok().and_then(|trusted| trusted.writer_of(path));
                user.map_or(Err(error), |user| place::read(path, Writers::User(user)))
            }
            read => read,
        }
    }
}

impl Found {
    /// The project file of the working directory; none if there is none up to the repository's root or the home folder.
    pub(in crate::cli) fn nearest(believed: Believed) -> Result<Option<Self>, Failure> {
        let path = place::find(&working_folder()?, context::home().as_deref());
        path.map(|path| Self::at(&path, believed)).transpose()
    }

    /// The project file at this path, with the entries of those that it extends.
    pub(in crate::cli) fn at(path: &Path, believed: Believed) -> Result<Self, Failure> {
        let path = path.to_owned();
        let read = |path: &Path| -> Result<(Vec<u8>, ProjectFile), Failure> {
            let text = believed.read(path).map_err(|error| Failure::project_place(&error))?;
            let file = ProjectFile::parse(&text).map_err(|error| Failure::project_file(&error, path))?;
            Ok((text, file))
        };
        let (text, mut file) = read(&path)?;
        let (mut bases, mut next) = (Vec::new(), file.extends().map(str::to_owned));
        while let Some(relative) = next {
            let from = bases.last().unwrap_or(&path);
            if bases.len() == place::DEEPEST {
                return Err(Failure::project_place(&PlaceError::TooDeep { path }));
            }
            let base = place::extended(from, &relative, context::home().as_deref())
                .map_err(|error| Failure::project_place(&error))?;
            let (_, extended) = read(&base)?;
            next = extended.extends().map(str::to_owned);
            file.add_base(extended);
            bases.push(base);
        }
        Ok(Self { path, file, text, bases })
    }

    /// [`Found::nearest`], or an error if there is none.
    pub(in crate::cli) fn required(believed: Believed) -> Result<Self, Failure> {
        Self::nearest(believed)?.ok_or_else(errors::project::no_file)
    }

    /// The entries that hold under a profile: its own, and those of the file that it does not replace.
    pub(in crate::cli) fn entries(
        &self,
        profile: Option<&Profile>,
    ) -> Result<Vec<(Section, &Entry)>, Failure> {
        let no_such = || errors::project::no_profile(&self.file, profile, &self.path);
        self.file.entries(profile).ok_or_else(no_such)
    }
}

pub(in crate::cli) fn working_folder() -> Result<PathBuf, Failure> {
    std::env::current_dir().map_err(|error| {
        let message = format!("The working directory cannot be found: {}.", errors::reason(&error));
        Failure::failed(&message, Some("Change to a folder that exists."))
    })
}

/// This user's approvals.
pub(in crate::cli) fn approvals() -> Result<Approvals, Failure> {
    Ok(Approvals::in_folder(context::state_folder()?.join("projects")))
}

/// The folders of other users that this one trusts.
pub(in crate::cli) fn trusted() -> Result<Trusted, Failure> {
    Ok(Trusted::in_folder(&context::state_folder()?.join("projects")))
}

/// The approvals that entries need.
pub(in crate::cli) fn asks(entries: &[(Section, &Entry)]) -> BTreeSet<Ask> {
    entries.iter().map(|(section, entry)| Ask::of(section, entry)).collect()
}

/// Waits for the turn to ask, or to write what was said. Only a command that could ask waits for another's answer.
pub(in crate::cli) fn turn(context: &Context, approvals: &Approvals) -> Result<Turn, Failure> {
    approvals.turn(&|held| context.waits_for_answer(held)).map_err(|error| match Held::of(&error) {
        Some(held) => vault_file::held_by_another(held, UNANSWERED),
        None => errors::project::not_remembered(&error),
    })
}

/// True if the defaults and settings of a file that nobody approved are used.
#[derive(Debug, Clone, Copy, Args)]
pub(in crate::cli) struct Defaults {
    /// With a token: use the project file's defaults and settings even if nobody approved them
    #[arg(long, help_heading = "Machines", hide_short_help = true)]
    unapproved_defaults: bool,
}

/// The proof without a question, or what was not approved yet. A machine is not asked; its grants decide.
pub(in crate::cli) fn standing(
    found: &Found,
    entries: &[(Section, &Entry)],
    machine: &Machine,
    defaults: Defaults,
) -> Result<Result<Approved, BTreeSet<Ask>>, Failure> {
    if machine.given() {
        if defaults.unapproved_defaults {
            return Ok(Ok(Approved::by_grants_with_defaults()));
        }
        // A machine's user may have no home, and then has approved nothing.
        let any = entries
            .iter()
            .any(|(_, entry)| entry.when_missing.default.is_some() || entry.setting().is_some());
        let approvals = any.then(approvals).and_then(Result::ok);
        let approved = approvals.map(|approvals| approvals.approved(&found.path)).unwrap_or_default();
        return Ok(Ok(Approved::by_grants(approved)));
    }
    Ok(approvals()?.check(&found.path, &asks(entries)))
}

/// The proof that everything that these entries ask for was approved: earlier, or now, on the terminal.
pub(in crate::cli) fn approve(
    context: &Context,
    found: &Found,
    entries: &[(Section, &Entry)],
    machine: &Machine,
    defaults: Defaults,
) -> Result<Approved, Failure> {
    let new = match standing(found, entries, machine, defaults)? {
        Ok(approved) => return Ok(approved),
        Err(new) => new,
    };
    ask_owner(context, found, entries, &new)
}

/// [`approve`] for the vault's owner, whatever token is given.
pub(in crate::cli) fn approve_as_owner(
    context: &Context,
    found: &Found,
    entries: &[(Section, &Entry)],
) -> Result<Approved, Failure> {
    match approvals()?.check(&found.path, &asks(entries)) {
        Ok(approved) => Ok(approved),
        Err(new) => ask_owner(context, found, entries, &new),
    }
}

/// Asks for what is `new`.
fn ask_owner(
    context: &Context,
    found: &Found,
    entries: &[(Section, &Entry)],
    new: &BTreeSet<Ask>,
) -> Result<Approved, Failure> {
    let (approvals, asks) = (approvals()?, asks(entries));
    if !context.may_ask() {
        return Err(errors::project::not_approved(&found.path, new));
    }
    // Of several commands that come here at once one asks; the others find the answer.
    let turn = turn(context, &approvals)?;
    let new = match approvals.check(&found.path, &asks) {
        Ok(approved) => return Ok(approved),
        Err(new) => new,
    };
    if !confirmed(found, &asks, &new)? {
        return Err(Failure::refused("The project file was not approved. Nothing was released.", None));
    }
    approvals.approve(&found.path, &asks, &turn).map_err(|error| errors::project::not_remembered(&error))
}

/// Shows what is asked for, and what of it is new, on the terminal that the question is asked on.
pub(in crate::cli) fn confirmed(
    found: &Found,
    asks: &BTreeSet<Ask>,
    new: &BTreeSet<Ask>,
) -> Result<bool, Failure> {
    let shown = |path: &Path| output::harmless_line(&path.display().to_string());
    let path = shown(&found.path);
    let mut text = if errors::project::only_settings(asks) {
        format!("{path} sets variables for the commands that you run with it:\n")
    } else {
        format!("{path} asks for keys from your vault:\n")
    };
    for base in &found.bases {
        text.push_str(&format!("  (with the entries of {})\n", shown(base)));
    }
    // New entries stand last, right above the question, however much was approved before.
    for (mark, ask) in asks.difference(new).map(|ask| (' ', ask)).chain(new.iter().map(|ask| ('+', ask))) {
        text.push_str(&format!("  {mark} {}\n", errors::project::ask_line(ask)));
    }
    if new.len() < asks.len() {
        text.push_str(&format!("  (+ marks what is new: {} of {})\n", new.len(), asks.len()));
    }
    prompt::confirm(text.trim_end(), "Approve it?")
}
