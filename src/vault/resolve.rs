//! From what was asked for to values: the selection that `exec` and `export` share.

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::{Action, KeyRef};
use crate::clock::Moment;
use crate::name::{EnvName, KeyName, NameError, Scope};
use crate::secret::SecretBytes;

use super::error::VaultError;
use super::item::{Item, Status};
use super::open::{Access, Vault, World};
use super::work::Work;

/// Which keys are asked for. The ways add up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Every key.
    pub all: bool,
    /// These keys, strictly: one that is missing or revoked is an error.
    pub only: Vec<KeyName>,
    /// Keys that carry any of these scopes.
    pub scopes: Vec<Scope>,
    /// This key under this variable, strictly.
    pub aliases: Vec<(KeyName, EnvName)>,
    /// The version before the current one of this key, strictly, while its grace lasts.
    pub previous: Vec<KeyName>,
    /// These keys, strictly, for something else than a variable. Chosen by its scope or among all as well, such a key
    /// is not handed out under its variable.
    pub apart: Vec<KeyName>,
    /// Leave expired keys out instead of refusing.
    pub skip_expired: bool,
}

impl Selection {
    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.all
            && self.only.is_empty()
            && self.scopes.is_empty()
            && self.aliases.is_empty()
            && self.previous.is_empty()
            && self.apart.is_empty()
    }
}

/// What the values are for, as the log says it.
#[derive(Debug, Clone)]
pub struct Purpose {
    /// `exec` or `export`.
    pub action: Action,
    /// The program, or the format.
    pub detail: String,
}

/// A value on its way out.
#[derive(Debug)]
pub struct Resolved {
    /// The key.
    pub name: KeyName,
    /// The version.
    pub version: u32,
    /// The key's id, which no other key ever has.
    pub(super) item: [u8; 16],
    /// The variable that it is handed out as; none if it is wanted apart from that.
    pub variable: Option<EnvName>,
    /// The value.
    pub value: SecretBytes,
    /// When the key expires.
    pub expires: Option<Moment>,
}

/// Something that is wrong with what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// No key of that name.
    Missing {
        /// The name.
        wanted: KeyName,
        /// A key that was probably meant.
        near: Option<KeyName>,
    },
    /// No key carries that scope.
    NoSuchScope {
        /// The scope.
        wanted: Scope,
        /// One that was probably meant.
        near: Option<Scope>,
    },
    /// The key is past its expiry.
    Expired {
        /// The key.
        name: KeyName,
        /// Since when.
        since: Moment,
    },
    /// The key has no current version.
    Revoked(KeyName),
    /// The key has no version in its grace.
    NoPrevious(KeyName),
    /// Two keys want one variable.
    SameVariable {
        /// The variable.
        variable: EnvName,
        /// The keys.
        names: Vec<KeyName>,
    },
    /// The variable is one that runs code; it was stored before that was known.
    Variable {
        /// The key.
        name: KeyName,
        /// Its variable.
        variable: EnvName,
        /// Why not.
        why: NameError,
    },
    /// The value has a NUL byte, which an environment cannot carry.
    Nul(KeyName),
    /// The value is longer than the kernel takes in one string.
    TooLong {
        /// The key.
        name: KeyName,
        /// Length of `VARIABLE=value` and its NUL, in bytes.
        len: usize,
        /// The most that the kernel takes.
        max: usize,
    },
    /// Environment and arguments together are more than the kernel takes.
    TooMuch {
        /// Their length in bytes.
        len: usize,
        /// The most that the kernel takes.
        max: usize,
    },
    /// The value is empty, and empty ones were declined.
    Empty(KeyName),
    /// The variable of this key is to say where a file is.
    FileVariable {
        /// The key.
        name: KeyName,
        /// The variable.
        variable: EnvName,
    },
    /// The value cannot stand in a line of docker's env-file.
    Line {
        /// The key.
        name: KeyName,
        /// What docker would make of it.
        fault: LineFault,
    },
    /// Everything that was chosen is revoked, or the vault is empty.
    NothingLeft,
}

/// What docker would misread in a line of its env-file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineFault {
    /// A newline: the rest would be a line of its own.
    Newline,
    /// A carriage return at the end, which it drops.
    CarriageReturn,
    /// Bytes that are not UTF-8, which it refuses, and prints.
    NotText,
    /// A line longer than it reads.
    TooLong {
        /// Length of `VARIABLE=value`, in bytes.
        len: usize,
        /// The most that docker takes.
        max: usize,
    },
}

/// What would be released, by name and variable, and what would be left out because it has expired.
pub type Preview = (Vec<(KeyName, Option<EnvName>)>, Vec<KeyName>);

/// What a selection came to, and what was left out of it because it has expired.
type Chosen = (Vec<(Item, Option<EnvName>)>, Vec<KeyName>);

impl Vault {
    /// Resolves a selection to values. All problems are collected, with those that `inspect` finds in the values,
    /// before anything is recorded or released; the event commits before the values leave.
    ///
    /// Returns the values, ordered by variable and those apart first, and the expired keys that were skipped.
    pub fn resolve(
        &mut self,
        access: &Access,
        world: &World<'_>,
        selection: &Selection,
        purpose: Purpose,
        inspect: &dyn Fn(&[Resolved]) -> Vec<Problem>,
    ) -> Result<(Vec<Resolved>, Vec<KeyName>), VaultError> {
        self.release(access, world, |work| {
            let (resolved, skipped) = work.resolve(selection, world.now(), inspect)?;
            let keys: BTreeSet<(&str, u32)> =
                resolved.iter().map(|key| (key.name.as_str(), key.version)).collect();
            let keys =
                keys.into_iter().map(|(name, version)| KeyRef { name: name.to_owned(), version }).collect();
            let event = world.event(purpose.action, keys, purpose.detail);
            Ok(((resolved, skipped), event))
        })
    }

    /// What [`Vault::resolve`] would release, by name and variable only; nothing is recorded.
    pub fn preview(
        &mut self,
        access: &Access,
        world: &World<'_>,
        selection: &Selection,
        inspect: &dyn Fn(&[Resolved]) -> Vec<Problem>,
    ) -> Result<Preview, VaultError> {
        let path = self.path().to_owned();
        self.read(access, |work| {
            work.refuse_in_alarm(&path)?;
            let (resolved, skipped) = work.resolve(selection, world.now(), inspect)?;
            Ok((resolved.into_iter().map(|key| (key.name, key.variable)).collect(), skipped))
        })
    }
}

impl Work<'_> {
    fn resolve(
        &mut self,
        selection: &Selection,
        now: Moment,
        inspect: &dyn Fn(&[Resolved]) -> Vec<Problem>,
    ) -> Result<(Vec<Resolved>, Vec<KeyName>), VaultError> {
        let mut problems = Vec::new();
        let (chosen, skipped) = self.choose(selection, now, &mut problems)?;
        find_shared_variables(&chosen, &mut problems);
        let mut resolved = Vec::with_capacity(chosen.len());
        for (item, variable) in chosen {
            if let Some(variable) = &variable
                && let Err(why) = EnvName::parse(variable.as_str())
            {
                problems.push(Problem::Variable { name: item.name.clone(), variable: variable.clone(), why });
            }
            let before = selection.previous.contains(&item.name);
            let version = if before { item.previous(now) } else { item.current() };
            let Some(version) = version else {
                problems.push(Problem::NoPrevious(item.name));
                continue;
            };
            resolved.push(Resolved {
                version: version.number,
                item: item.id,
                variable,
                value: self.value(&item.id, version)?,
                expires: item.expires,
                name: item.name,
            });
        }
        problems.extend(inspect(&resolved));
        if problems.is_empty() { Ok((resolved, skipped)) } else { Err(VaultError::Problems(problems)) }
    }

    /// The keys that pass, under their variables, ordered by variable and those apart first; problems with the others.
    fn choose(
        &mut self,
        selection: &Selection,
        now: Moment,
        problems: &mut Vec<Problem>,
    ) -> Result<Chosen, VaultError> {
        let mut chosen: BTreeMap<(Option<EnvName>, KeyName), Item> = BTreeMap::new();
        let mut skipped = BTreeSet::new();
        for (item, variable, strict) in self.candidates(selection, problems)? {
            if !strict && selection.apart.contains(&item.name) {
                continue;
            }
            let status = if strict && item.expired(now) { Status::Expired } else { item.status(now) };
            match status {
                Status::Active => {
                    chosen.insert((variable, item.name.clone()), item);
                }
                // The version before may be just what is needed on the day on which the new one leaks.
                Status::Revoked
                    if selection.previous.contains(&item.name) && item.previous(now).is_some() =>
                {
                    chosen.insert((variable, item.name.clone()), item);
                }
                Status::Revoked if strict => {
                    let problem = Problem::Revoked(item.name);
                    if !problems.contains(&problem) {
                        problems.push(problem);
                    }
                }
                Status::Revoked => {}
                Status::Expired if selection.skip_expired && !strict => {
                    skipped.insert(item.name);
                }
                Status::Expired => {
                    let since = item.expires.unwrap_or(now);
                    let problem = Problem::Expired { name: item.name, since };
                    if !problems.contains(&problem) {
                        problems.push(problem);
                    }
                }
            }
        }
        if chosen.is_empty() && skipped.is_empty() && problems.is_empty() {
            problems.push(Problem::NothingLeft);
        }
        let chosen = chosen.into_iter().map(|((variable, _), item)| (item, variable)).collect();
        Ok((chosen, skipped.into_iter().collect()))
    }

    /// Every key that the selection names, in any of its ways, with the variable and whether it was named strictly.
    fn candidates(
        &mut self,
        selection: &Selection,
        problems: &mut Vec<Problem>,
    ) -> Result<Vec<(Item, Option<EnvName>, bool)>, VaultError> {
        let mut found = Vec::new();
        let own = |item: Item| (Some(item.variable.clone()), item, false);
        if selection.all {
            found.extend(self.items()?.into_iter().map(own));
        }
        for scope in &selection.scopes {
            match self.items_of(scope)? {
                None => {
                    problems
                        .push(Problem::NoSuchScope { wanted: scope.clone(), near: self.scope_like(scope)? });
                }
                Some(items) => found.extend(items.into_iter().map(own)),
            }
        }
        let strict = selection.only.iter().chain(&selection.previous).map(|name| (name, As::Own));
        let strict =
            strict.chain(selection.aliases.iter().map(|(name, variable)| (name, As::Named(variable))));
        let strict = strict.chain(selection.apart.iter().map(|name| (name, As::Nothing)));
        for (name, wanted) in strict {
            let Some(item) = self.item(name)? else {
                let problem = Problem::Missing { wanted: name.clone(), near: self.key_like(name)? };
                if !problems.contains(&problem) {
                    problems.push(problem);
                }
                continue;
            };
            let variable = match wanted {
                As::Own => Some(item.variable.clone()),
                As::Named(variable) => Some(variable.clone()),
                As::Nothing => None,
            };
            found.push((variable, item, true));
        }
        Ok(found.into_iter().map(|(variable, item, strict)| (item, variable, strict)).collect())
    }
}

/// The variable that a key is wanted as.
enum As<'a> {
    Own,
    Named(&'a EnvName),
    Nothing,
}

/// `chosen` is ordered by variable.
fn find_shared_variables(chosen: &[(Item, Option<EnvName>)], problems: &mut Vec<Problem>) {
    for group in chosen.chunk_by(|left, right| left.1 == right.1).filter(|group| group.len() > 1) {
        let Some((_, Some(variable))) = group.first() else { continue };
        let names = group.iter().map(|(item, _)| item.name.clone()).collect();
        problems.push(Problem::SameVariable { variable: variable.clone(), names });
    }
}
