//! From what was asked for to values: the selection that `exec` and `export` share.

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::{Action, KeyRef};
use crate::clock::Moment;
use crate::name::{EnvName, KeyName, NameError, Scope};
use crate::secret::SecretBytes;

use super::error::VaultError;
use super::item::{Item, Status};
use super::open::{Access, Vault, World};
use super::source::Source;

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
    /// The variable that it is handed out as.
    pub variable: EnvName,
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
    /// Everything that was chosen is revoked, or the vault is empty.
    NothingLeft,
}

/// What would be released, by name and variable, and what would be left out because it has expired.
pub type Preview = (Vec<(KeyName, EnvName)>, Vec<KeyName>);

/// The values, ordered by variable, and the expired keys that were left out.
pub(super) type Found = (Vec<Resolved>, Vec<KeyName>);

/// What a selection came to, and what was left out of it because it has expired.
type Chosen = (Vec<(Item, EnvName)>, Vec<KeyName>);

impl Vault {
    /// Resolves a selection to values. All problems are collected, with those that `inspect` finds in the values,
    /// before anything is recorded or released; the event commits before the values leave.
    ///
    /// Returns the values, ordered by variable, and the expired keys that were skipped.
    pub fn resolve(
        &mut self,
        access: &Access,
        world: &World<'_>,
        selection: &Selection,
        purpose: Purpose,
        inspect: &dyn Fn(&[Resolved]) -> Vec<Problem>,
    ) -> Result<(Vec<Resolved>, Vec<KeyName>), VaultError> {
        self.release(access, world, |work| {
            let found = resolve(work, selection, world.now(), inspect)?;
            let event = world.event(purpose.action, read_keys(&found.0), purpose.detail);
            Ok((found, event))
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
            resolve(work, selection, world.now(), inspect).map(previewed)
        })
    }
}

/// Names and variables of what would be released.
pub(super) fn previewed((resolved, skipped): Found) -> Preview {
    (resolved.into_iter().map(|key| (key.name, key.variable)).collect(), skipped)
}

/// The versions that were read, as the log names them.
pub(super) fn read_keys(resolved: &[Resolved]) -> Vec<KeyRef> {
    let keys: BTreeSet<(&str, u32)> = resolved.iter().map(|key| (key.name.as_str(), key.version)).collect();
    keys.into_iter().map(|(name, version)| KeyRef { name: name.to_owned(), version }).collect()
}

/// The values that a selection comes to, from the vault or from what a token was granted.
pub(super) fn resolve(
    source: &mut dyn Source,
    selection: &Selection,
    now: Moment,
    inspect: &dyn Fn(&[Resolved]) -> Vec<Problem>,
) -> Result<Found, VaultError> {
    Resolver { source }.resolve(selection, now, inspect)
}

struct Resolver<'s> {
    source: &'s mut dyn Source,
}

impl Resolver<'_> {
    fn resolve(
        &mut self,
        selection: &Selection,
        now: Moment,
        inspect: &dyn Fn(&[Resolved]) -> Vec<Problem>,
    ) -> Result<Found, VaultError> {
        let mut problems = Vec::new();
        let (chosen, skipped) = self.choose(selection, now, &mut problems)?;
        find_shared_variables(&chosen, &mut problems);
        let mut resolved = Vec::with_capacity(chosen.len());
        for (item, variable) in chosen {
            if let Err(why) = EnvName::parse(variable.as_str()) {
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
                variable,
                value: self.source.value(&item, version)?,
                expires: item.expires,
                name: item.name,
            });
        }
        problems.extend(inspect(&resolved));
        if problems.is_empty() { Ok((resolved, skipped)) } else { Err(VaultError::Problems(problems)) }
    }

    /// The keys that pass, under their variables, ordered by variable; problems with the others.
    fn choose(
        &mut self,
        selection: &Selection,
        now: Moment,
        problems: &mut Vec<Problem>,
    ) -> Result<Chosen, VaultError> {
        let mut chosen: BTreeMap<(EnvName, KeyName), Item> = BTreeMap::new();
        let mut skipped = BTreeSet::new();
        for (item, variable, strict) in self.candidates(selection, problems)? {
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
                Status::Revoked if strict => problems.push(Problem::Revoked(item.name)),
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
    ) -> Result<Vec<(Item, EnvName, bool)>, VaultError> {
        let mut found = Vec::new();
        if selection.all {
            found.extend(self.source.all()?.into_iter().map(|item| (item.variable.clone(), item, false)));
        }
        for scope in &selection.scopes {
            match self.source.with_scope(scope)? {
                None => {
                    problems.push(Problem::NoSuchScope {
                        wanted: scope.clone(),
                        near: self.source.scope_like(scope)?,
                    });
                }
                Some(items) => {
                    found.extend(items.into_iter().map(|item| (item.variable.clone(), item, false)));
                }
            }
        }
        let strict = selection.only.iter().chain(&selection.previous).map(|name| (name, None));
        let strict =
            strict.chain(selection.aliases.iter().map(|(name, variable)| (name, Some(variable.clone()))));
        for (name, variable) in strict {
            match self.source.named(name)? {
                Some(item) => found.push((variable.unwrap_or_else(|| item.variable.clone()), item, true)),
                None => {
                    problems
                        .push(Problem::Missing { wanted: name.clone(), near: self.source.key_like(name)? });
                }
            }
        }
        Ok(found.into_iter().map(|(variable, item, strict)| (item, variable, strict)).collect())
    }
}

/// `chosen` is ordered by variable.
fn find_shared_variables(chosen: &[(Item, EnvName)], problems: &mut Vec<Problem>) {
    for group in chosen.chunk_by(|left, right| left.1 == right.1).filter(|group| group.len() > 1) {
        let Some((_, variable)) = group.first() else { continue };
        let names = group.iter().map(|(item, _)| item.name.clone()).collect();
        problems.push(Problem::SameVariable { variable: variable.clone(), names });
    }
}
