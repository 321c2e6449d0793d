//! From what was asked for to keys: the selection that every command shares.

use std::collections::{BTreeMap, BTreeSet};

use keyvault_core::name::{EnvName, KeyName, Scope};
use keyvault_vault::{KeySource, KeyView, Status, Unrecorded, VaultError};

use super::compose::ComposedVariable;
use super::problem::Problem;
use super::stage::{Resolved, Skipped, Staging};

/// Which keys are asked for. The ways add up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    pub all: bool,
    /// These keys, strictly: one that is missing or revoked is an error.
    pub only: Vec<KeyName>,
    /// Keys that carry any of these scopes.
    pub scopes: Vec<Scope>,
    /// This variable from this key, strictly.
    pub aliases: Vec<(EnvName, KeyName)>,
    /// The version before the current one of this key, strictly, while its grace lasts.
    pub previous: Vec<KeyName>,
    /// These keys, strictly, for something else than a variable, each with the variable that names its file, if it goes
    /// into one. Chosen by its scope or among all as well, such a key is not handed out under its variable.
    pub apart: Vec<(Option<EnvName>, KeyName)>,
    /// Leave expired and disabled keys out instead of refusing.
    pub skip_expired: bool,
    /// Refuse where a key would be left out because it is revoked.
    pub strict: bool,
    /// Variables that a file asks for, each with what it is made of.
    pub composed: Vec<ComposedVariable>,
}

impl Selection {
    /// True if no key is selected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names_nothing() && self.composed.is_empty()
    }

    /// True if only a file selects keys.
    pub(super) fn names_nothing(&self) -> bool {
        !self.all
            && self.only.is_empty()
            && self.scopes.is_empty()
            && self.aliases.is_empty()
            && self.previous.is_empty()
            && self.apart.is_empty()
    }
}

/// The keys that pass, and those that were left out.
type Chosen = (Vec<(KeyView, Option<EnvName>)>, Skipped);

impl Staging<'_> {
    /// Stages what is chosen by name, scope or as a whole.
    pub(super) fn take_chosen(&mut self, selection: &Selection) -> Result<(), VaultError> {
        let (chosen, skipped) = self.choose(selection)?;
        self.staged.skipped = skipped;
        chosen.into_iter().try_for_each(|(key, variable)| self.take(selection, &key, variable))
    }

    fn take(
        &mut self,
        selection: &Selection,
        key: &KeyView,
        variable: Option<EnvName>,
    ) -> Result<(), VaultError> {
        let name = key.name();
        // One that was named with `--as` was checked when it was read, and is the caller's own choice.
        let named = |wanted: &EnvName| {
            selection.aliases.iter().any(|(variable, known)| known == name && variable == wanted)
        };
        if let Some(variable) = variable.as_ref().filter(|variable| !named(variable))
            && let Err(why) = self.keys.check_variable(variable)
        {
            self.problem(Problem::Variable { name: name.clone(), variable: variable.clone(), why });
        }
        let before = selection.previous.contains(name);
        let version = if before { key.previous(self.now) } else { key.current() };
        let Some(version) = version else {
            self.problem(Problem::NoPrevious(name.clone()));
            return Ok(());
        };
        self.staged.values.push(Resolved {
            name: name.clone(),
            version,
            key: *key.id(),
            pinned: false,
            variable,
            value: self.keys.value(key, version)?,
            public: key.public(),
            expires: key.expires(),
            lifetime: key.lifetime(),
            parts: Vec::new(),
        });
        Ok(())
    }

    /// The keys that pass, under their variables, ordered by variable; problems with the others.
    fn choose(&mut self, selection: &Selection) -> Result<Chosen, VaultError> {
        let now = self.now;
        let mut chosen: BTreeMap<(Option<EnvName>, KeyName), KeyView> = BTreeMap::new();
        let (mut expired, mut disabled, mut revoked) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for (key, variable, strict) in self.candidates(selection)? {
            let name = key.name().clone();
            if !strict && selection.apart.iter().any(|(_, apart)| *apart == name) {
                continue;
            }
            let status = match key.status(now) {
                Status::Revoked if strict && key.expired(now) => Status::Expired,
                status => status,
            };
            match status {
                Status::Active => {
                    chosen.insert((variable, name), key);
                }
                // The version before may be just what is needed on the day on which the new one leaks.
                Status::Revoked if selection.previous.contains(&name) && key.previous(now).is_some() => {
                    chosen.insert((variable, name), key);
                }
                Status::Revoked if strict || selection.strict => self.problem_once(Problem::Revoked(name)),
                Status::Revoked => {
                    revoked.insert(name);
                }
                Status::Disabled if selection.skip_expired && !strict => {
                    disabled.insert(name);
                }
                Status::Disabled => self.problem_once(Problem::Disabled(name)),
                Status::Expired if selection.skip_expired && !strict => {
                    expired.insert(name);
                }
                Status::Expired => {
                    let since = key.expires().unwrap_or(now);
                    self.problem_once(Problem::Expired { name, since });
                }
            }
        }
        if chosen.is_empty() && expired.is_empty() && disabled.is_empty() && self.staged.problems.is_empty() {
            self.problem(Problem::NothingLeft);
        }
        let chosen = chosen.into_iter().map(|((variable, _), key)| (key, variable)).collect();
        let skipped = Skipped {
            expired: expired.into_iter().collect(),
            disabled: disabled.into_iter().collect(),
            revoked: revoked.into_iter().collect(),
        };
        Ok((chosen, skipped))
    }

    /// Every key that the selection names, in any of its ways, with the variable and whether it was named strictly.
    fn candidates(
        &mut self,
        selection: &Selection,
    ) -> Result<Vec<(KeyView, Option<EnvName>, bool)>, VaultError> {
        let mut found = Vec::new();
        let own = |key: KeyView| {
            let variable = Some(key.variable().clone());
            (key, variable, false)
        };
        if selection.all {
            found.extend(self.keys.all()?.into_iter().map(own));
        }
        for scope in &selection.scopes {
            match self.keys.with_scope(scope)? {
                None => {
                    let near = self.keys.scope_like(scope)?;
                    let to = self.keys.granted_to();
                    self.problem(Problem::NoSuchScope { wanted: scope.clone(), near, to });
                }
                Some(keys) => found.extend(keys.into_iter().map(own)),
            }
        }
        let strict = selection.only.iter().chain(&selection.previous).map(|name| (name, As::Own));
        let strict =
            strict.chain(selection.aliases.iter().map(|(variable, name)| (name, As::Named(variable))));
        let strict =
            strict.chain(selection.apart.iter().map(|(variable, name)| (name, As::Apart(variable.as_ref()))));
        for (name, wanted) in strict {
            let Some(key) = self.keys.named(name)? else {
                let problem = match self.swapped(name, wanted)? {
                    Some(swapped) => swapped,
                    None => match self.keys_with_variable(name) {
                        Some(named) => named,
                        None => self.missing(name)?,
                    },
                };
                self.problem_once(problem);
                continue;
            };
            let variable = match wanted {
                As::Own => Some(key.variable().clone()),
                As::Named(variable) => Some(variable.clone()),
                As::Apart(_) => None,
            };
            found.push((key, variable, true));
        }
        Ok(found)
    }

    /// `NAME=VAR` instead of `VAR=NAME`: there is no such key, but one whose name was given as the variable.
    fn swapped(&mut self, name: &KeyName, wanted: As<'_>) -> Result<Option<Problem>, VaultError> {
        let (variable, to_file) = match wanted {
            As::Named(variable) => (variable, false),
            As::Apart(Some(variable)) => (variable, true),
            As::Own | As::Apart(None) => return Ok(None),
        };
        let (Ok(key), Ok(meant)) = (KeyName::parse(variable.as_str()), EnvName::parse(name.as_str())) else {
            return Ok(None);
        };
        let found = self.keys.named(&key)?;
        Ok(found.map(|_| Problem::Swapped { variable: meant, name: key, to_file }))
    }

    /// A variable was named instead of a key. Looks at every key, so only where the selection fails anyway.
    fn keys_with_variable(&mut self, name: &KeyName) -> Option<Problem> {
        let variable = EnvName::parse(name.as_str()).ok()?;
        let keys = self.keys.all().ok()?;
        let with = keys.iter().filter(|key| *key.variable() == variable);
        let mut names: Vec<_> = with.map(|key| key.name().clone()).collect();
        names.sort_unstable();
        (!names.is_empty()).then_some(Problem::VariableNamed { variable, names })
    }

    /// The problem with a name that is not in the vault, and the key that was probably meant.
    pub(super) fn missing(&mut self, name: &KeyName) -> Result<Problem, VaultError> {
        if self.keys.is_issued(name)? {
            return Ok(Problem::Issued(name.clone()));
        }
        let (wanted, near) = (name.clone(), self.keys.name_like(name)?);
        Ok(if let Some(to) = self.keys.granted_to() {
            Problem::NotGranted { wanted, near, to }
        } else {
            Problem::Missing { removed: self.keys.removed_until(name), wanted, near }
        })
    }

    pub(super) fn problem(&mut self, problem: Problem) {
        self.staged.problems.push(problem);
    }

    fn problem_once(&mut self, problem: Problem) {
        if !self.staged.problems.contains(&problem) {
            self.problem(problem);
        }
    }
}

/// The variable that a key is wanted as; apart from variables, the one that names its file.
#[derive(Clone, Copy)]
enum As<'a> {
    Own,
    Named(&'a EnvName),
    Apart(Option<&'a EnvName>),
}

/// `values` are ordered by variable.
pub(super) fn find_shared_variables(
    values: &[Resolved<Unrecorded>],
    keys: &mut dyn KeySource,
    problems: &mut Vec<Problem>,
) {
    let same = |left: &Resolved<_>, right: &Resolved<_>| left.variable == right.variable;
    for group in values.chunk_by(same).filter(|group| group.len() > 1) {
        let Some(variable) = group.first().and_then(|first| first.variable.clone()) else { continue };
        let names: Vec<_> = group.iter().map(|value| value.name.clone()).collect();
        let free = |other: &EnvName| values.iter().all(|value| value.variable.as_ref() != Some(other));
        let rename = names.iter().rev().find_map(|name| {
            let key = keys.named(name).ok().flatten()?;
            let other = name.default_variable().ok().filter(free)?;
            (*key.variable() == variable).then(|| (name.clone(), other))
        });
        problems.push(Problem::SameVariable { variable, names, rename });
    }
}
