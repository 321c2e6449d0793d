//! From what was asked for to values: the selection that `exec` and `export` share.

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::{Action, KeyRef};
use keyvault_core::clock::Moment;
use keyvault_core::name::{EnvName, KeyName, Scope};
use keyvault_core::secret::SecretBytes;

use super::compose::{LeftOut, Pick};
use super::key_source::Source;
use super::problem::Problem;
use crate::error::VaultError;
use crate::file::open::{Access, Vault, World};
use crate::key::record::{Item, Status};

/// Which keys are asked for. The ways add up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Every key.
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
    /// Leave expired keys out instead of refusing.
    pub skip_expired: bool,
    /// Variables that a file asks for, each with what it is made of.
    pub picks: Vec<Pick>,
}

impl Selection {
    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names_nothing() && self.picks.is_empty()
    }

    /// Whether nothing is asked for but by a file.
    fn names_nothing(&self) -> bool {
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
    /// The key; of a composed value, the first that it is made of.
    pub name: KeyName,
    /// The version.
    pub version: u32,
    /// The key's id, which no other key ever has.
    pub(crate) item: [u8; 16],
    /// Whether this very version was asked for.
    pub(crate) pinned: bool,
    /// The variable that it is handed out as; none if it is wanted apart from that.
    pub variable: Option<EnvName>,
    /// The value.
    pub value: SecretBytes,
    /// When the key expires; of a composed value, the first of its keys.
    pub expires: Option<Moment>,
    /// What a composed value is made of, each key once; empty where the value is a key's own.
    pub parts: Vec<Part>,
}

impl Resolved {
    /// Every key and version that the value was read from.
    pub fn sources(&self) -> impl Iterator<Item = (&KeyName, u32)> {
        let own = self.parts.is_empty().then_some((&self.name, self.version));
        own.into_iter().chain(self.parts.iter().map(|part| (&part.name, part.version)))
    }
}

/// A key's value within a composed one.
#[derive(Debug)]
pub struct Part {
    /// The key.
    pub name: KeyName,
    /// The version.
    pub version: u32,
    /// The value, as the vault holds it.
    pub value: SecretBytes,
    /// The key's id.
    pub(crate) item: [u8; 16],
    /// Whether this very version was asked for.
    pub(crate) pinned: bool,
}

/// What a selection came to.
#[derive(Debug, Default)]
pub struct Resolution {
    /// The values, ordered by variable and those apart first.
    pub values: Vec<Resolved>,
    /// Expired keys that were left out, as was asked for.
    pub skipped: Vec<KeyName>,
    /// Optional variables that stay unset, and why.
    pub left_out: Vec<LeftOut>,
    /// Variables whose key is not to be had, with the text that stands in for it.
    pub defaults: Vec<(EnvName, String)>,
}

/// What a selection would come to, by name and variable only.
#[derive(Debug, Default)]
pub struct Preview {
    /// The keys and their variables, ordered by variable and those apart first; a composed variable stands with each of
    /// its keys.
    pub keys: Vec<(KeyName, Option<EnvName>)>,
    /// Expired keys that would be left out.
    pub skipped: Vec<KeyName>,
    /// Optional variables that would stay unset, and why.
    pub left_out: Vec<LeftOut>,
    /// Variables that would get a text that stands in for a key.
    pub defaults: Vec<(EnvName, String)>,
}

/// The keys that pass, and what was left out of them because it has expired.
type Chosen = (Vec<(Item, Option<EnvName>)>, Vec<KeyName>);

impl Vault {
    /// Resolves a selection to values. All problems are collected, with those that `inspect` finds in the values,
    /// before anything is recorded or released; the event, which names every key that was read, commits before the
    /// values leave.
    pub fn resolve(
        &mut self,
        access: &Access,
        world: &World<'_>,
        selection: &Selection,
        purpose: Purpose,
        inspect: &dyn Fn(&[Resolved]) -> Vec<Problem>,
    ) -> Result<Resolution, VaultError> {
        self.release(access, world, |work| {
            let (resolution, keys) = Resolver { source: work }.resolve(selection, world.now(), inspect)?;
            Ok((resolution, world.event(purpose.action, keys, purpose.detail)))
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
        self.look(access, |mut keys| Ok(keys.resolve(selection, world.now(), inspect)?.0.into()))
    }

    /// Looks at keys as a release would; nothing is recorded.
    pub(crate) fn look<T>(
        &mut self,
        access: &Access,
        look: impl FnOnce(Resolver<'_>) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        let path = self.path().to_owned();
        self.read(access, |work| {
            work.refuse_in_alarm(&path)?;
            look(Resolver { source: work })
        })
    }
}

/// Keys and versions as the log names them.
pub(crate) fn key_refs(keys: &BTreeSet<(&KeyName, u32)>) -> Vec<KeyRef> {
    keys.iter().map(|(name, version)| KeyRef { name: name.to_string(), version: *version }).collect()
}

impl From<Resolution> for Preview {
    fn from(Resolution { values, skipped, left_out, defaults }: Resolution) -> Self {
        let named = |value: &Resolved| -> Vec<(KeyName, Option<EnvName>)> {
            value.sources().map(|(name, _)| (name.clone(), value.variable.clone())).collect()
        };
        Self { keys: values.iter().flat_map(named).collect(), skipped, left_out, defaults }
    }
}

/// Chooses among the keys of a source: the vault, or what a token was granted.
pub(crate) struct Resolver<'s> {
    pub(crate) source: &'s mut dyn Source,
}

impl Resolver<'_> {
    /// The values, and the keys that they were read from, as the log names them.
    pub(crate) fn resolve(
        &mut self,
        selection: &Selection,
        now: Moment,
        inspect: &dyn Fn(&[Resolved]) -> Vec<Problem>,
    ) -> Result<(Resolution, Vec<KeyRef>), VaultError> {
        let (mut resolution, mut problems) = self.gather(selection, now)?;
        resolution.values.sort_by(|left, right| left.variable.cmp(&right.variable));
        find_shared_variables(&resolution.values, &mut problems);
        problems.extend(inspect(&resolution.values));
        if !problems.is_empty() {
            return Err(VaultError::Problems(problems));
        }
        let keys = key_refs(&resolution.values.iter().flat_map(Resolved::sources).collect());
        Ok((resolution, keys))
    }

    /// Everything that a selection comes to, and everything that is wrong with it.
    fn gather(
        &mut self,
        selection: &Selection,
        now: Moment,
    ) -> Result<(Resolution, Vec<Problem>), VaultError> {
        let (mut resolution, mut problems) = (Resolution::default(), Vec::new());
        if !selection.names_nothing() {
            let (chosen, skipped) = self.choose(selection, now, &mut problems)?;
            resolution.skipped = skipped;
            for (item, variable) in chosen {
                self.take(selection, now, item, variable, &mut resolution, &mut problems)?;
            }
        }
        for pick in &selection.picks {
            self.take_pick(pick, now, &mut resolution, &mut problems)?;
        }
        Ok((resolution, problems))
    }

    fn take(
        &mut self,
        selection: &Selection,
        now: Moment,
        item: Item,
        variable: Option<EnvName>,
        resolution: &mut Resolution,
        problems: &mut Vec<Problem>,
    ) -> Result<(), VaultError> {
        // One that was named with `--as` was checked when it was read, and is the caller's own choice.
        let named = |wanted: &EnvName| {
            selection.aliases.iter().any(|(variable, name)| *name == item.name && variable == wanted)
        };
        if let Some(variable) = variable.as_ref().filter(|variable| !named(variable))
            && let Err(why) = self.source.check_variable(variable)
        {
            problems.push(Problem::Variable { name: item.name.clone(), variable: variable.clone(), why });
        }
        let before = selection.previous.contains(&item.name);
        let version = if before { item.previous(now) } else { item.current() };
        let Some(version) = version else {
            problems.push(Problem::NoPrevious(item.name));
            return Ok(());
        };
        resolution.values.push(Resolved {
            version: version.number,
            item: item.id,
            pinned: false,
            variable,
            value: self.source.value(&item, version)?,
            expires: item.expires,
            name: item.name,
            parts: Vec::new(),
        });
        Ok(())
    }

    /// The keys that pass, under their variables, ordered by variable; problems with the others.
    fn choose(
        &mut self,
        selection: &Selection,
        now: Moment,
        problems: &mut Vec<Problem>,
    ) -> Result<Chosen, VaultError> {
        let mut chosen: BTreeMap<(Option<EnvName>, KeyName), Item> = BTreeMap::new();
        let mut skipped = BTreeSet::new();
        for (item, variable, strict) in self.candidates(selection, problems)? {
            if !strict && selection.apart.iter().any(|(_, name)| *name == item.name) {
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
                Status::Revoked if strict => add_once(problems, Problem::Revoked(item.name)),
                Status::Revoked => {}
                Status::Expired if selection.skip_expired && !strict => {
                    skipped.insert(item.name);
                }
                Status::Expired => {
                    let since = item.expires.unwrap_or(now);
                    add_once(problems, Problem::Expired { name: item.name, since });
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
            found.extend(self.source.all()?.into_iter().map(own));
        }
        for scope in &selection.scopes {
            match self.source.with_scope(scope)? {
                None => {
                    let near = self.source.scope_like(scope)?;
                    problems.push(Problem::NoSuchScope { wanted: scope.clone(), near });
                }
                Some(items) => found.extend(items.into_iter().map(own)),
            }
        }
        let strict = selection.only.iter().chain(&selection.previous).map(|name| (name, As::Own));
        let strict =
            strict.chain(selection.aliases.iter().map(|(variable, name)| (name, As::Named(variable))));
        let strict =
            strict.chain(selection.apart.iter().map(|(variable, name)| (name, As::Apart(variable.as_ref()))));
        for (name, wanted) in strict {
            let Some(item) = self.source.named(name)? else {
                let problem = match self.swapped(name, wanted)? {
                    Some(swapped) => swapped,
                    None => self.source.missing(name)?,
                };
                add_once(problems, problem);
                continue;
            };
            let variable = match wanted {
                As::Own => Some(item.variable.clone()),
                As::Named(variable) => Some(variable.clone()),
                As::Apart(_) => None,
            };
            found.push((variable, item, true));
        }
        Ok(found.into_iter().map(|(variable, item, strict)| (item, variable, strict)).collect())
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
        let found = self.source.named(&key)?;
        Ok(found.map(|_| Problem::Swapped { variable: meant, name: key, to_file }))
    }
}

/// The variable that a key is wanted as; apart from variables, the one that names its file.
#[derive(Clone, Copy)]
enum As<'a> {
    Own,
    Named(&'a EnvName),
    Apart(Option<&'a EnvName>),
}

fn add_once(problems: &mut Vec<Problem>, problem: Problem) {
    if !problems.contains(&problem) {
        problems.push(problem);
    }
}

/// `values` are ordered by variable.
fn find_shared_variables(values: &[Resolved], problems: &mut Vec<Problem>) {
    let same = |left: &Resolved, right: &Resolved| left.variable == right.variable;
    for group in values.chunk_by(same).filter(|group| group.len() > 1) {
        let Some(variable) = group.first().and_then(|first| first.variable.clone()) else { continue };
        let names = group.iter().map(|value| value.name.clone()).collect();
        problems.push(Problem::SameVariable { variable, names });
    }
}
