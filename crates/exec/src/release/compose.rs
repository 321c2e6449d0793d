//! Variables that a file asks for: made of one key's value, or composed of several with text between them.
//!
//! A file is not the person at the keyboard. So a key can be marked as never to be handed out because a file asks for it.

use std::collections::{BTreeMap, BTreeSet};

use keyvault_core::clock::Moment;
use keyvault_core::name::{EnvName, KeyName};

use keyvault_vault::StoreError;
use keyvault_vault::{Encoding, Fragment, JsonField, KeyView, Unrecorded, VaultError, VersionState};

use super::problem::Problem;
use super::stage::{Part, Resolved, Staging};

/// A variable and what it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComposedVariable {
    pub variable: EnvName,
    /// In order. At least one piece is a key's value.
    pub pieces: Vec<Piece>,
    pub when_missing: WhenMissing,
}

impl ComposedVariable {
    /// The keys that it is made of.
    pub fn keys(&self) -> impl Iterator<Item = &KeyName> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Value { name, .. } => Some(name),
            Piece::Text(_) => None,
        })
    }
}

/// The rules for a variable whose key is not to be had.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WhenMissing {
    /// A key that is missing, disabled, expired, or revoked is no reason to refuse.
    pub optional: bool,
    /// Stands in for a key that is missing; for one that is disabled, expired, or revoked only if the variable is optional.
    pub default: Option<String>,
    /// The default is not approved, so it is not used.
    pub unapproved: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    Value {
        name: KeyName,
        /// The version; the current one if none is named.
        version: Option<u32>,
        /// The field of a value that is JSON; the whole value if none is named.
        field: Option<JsonField>,
        encoding: Encoding,
    },
}

impl Piece {
    /// A key's current value, byte for byte.
    #[must_use]
    pub fn whole(name: KeyName) -> Self {
        Self::Value { name, version: None, field: None, encoding: Encoding::Raw }
    }
}

/// How it stands with a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Ready,
    /// It would get this text, which stands in for its key.
    Default(String),
    /// It would stay unset, for these reasons.
    LeftOut(Vec<Problem>),
    /// It would refuse the whole.
    Wrong(Vec<Problem>),
}

/// A key as it was found for a piece.
struct Found {
    key: KeyView,
    version: u32,
    /// True if the reference names this version.
    pinned: bool,
    /// The field of its value, where one is named.
    field: Option<Unrecorded>,
}

/// The name, version, and field that a piece names.
type Wanted = (KeyName, Option<u32>, Option<JsonField>);

/// The keys of a composed variable, each once for each of its versions and fields.
type Sources = BTreeMap<Wanted, Found>;

impl Staging<'_> {
    /// Stages what a composed variable comes to: a value, a default, nothing, or problems.
    pub(super) fn take_composed(&mut self, composed: &ComposedVariable) -> Result<(), VaultError> {
        let (state, sources) = self.judge(composed)?;
        match &state {
            State::Ready => {
                let value = self.made_of(&composed.pieces, Some(&composed.variable), sources)?;
                self.staged.values.extend(value);
            }
            State::Wrong(problems) => self.staged.problems.extend(asked(&composed.variable, problems)),
            State::Default(_) | State::LeftOut(_) => {}
        }
        self.staged.states.push((composed.variable.clone(), state));
        Ok(())
    }

    /// Stages a text: its pieces, one behind the other, as one value.
    pub(super) fn take_text(&mut self, pieces: &[Piece]) -> Result<(), VaultError> {
        let (sources, problems) = self.sources(pieces)?;
        if problems.is_empty() {
            let value = self.made_of(pieces, None, sources)?;
            self.staged.values.extend(value);
        }
        self.staged.problems.extend(problems);
        Ok(())
    }

    fn judge(&mut self, composed: &ComposedVariable) -> Result<(State, Sources), VaultError> {
        let (sources, problems) = self.sources(&composed.pieces)?;
        let WhenMissing { optional, default, unapproved } = &composed.when_missing;
        let missing =
            |problem: &Problem| matches!(problem, Problem::Missing { .. } | Problem::NotGranted { .. });
        let only_missing = problems.iter().all(missing);
        let state = if problems.is_empty() {
            State::Ready
        } else if problems.iter().any(|problem| matches!(problem, Problem::Withheld(_))) {
            // The owner who marked the key wants to hear of a file that asks for it, optional or not.
            State::Wrong(problems)
        } else if let Some(default) = default.as_ref().filter(|_| *optional || only_missing) {
            if !unapproved {
                State::Default(default.clone())
            } else if *optional {
                State::LeftOut(problems)
            } else {
                let wanted = problems.into_iter().filter_map(|problem| match problem {
                    Problem::Missing { wanted, .. } | Problem::NotGranted { wanted, .. } => Some(wanted),
                    _ => None,
                });
                let keys = wanted.collect();
                State::Wrong(vec![Problem::UnapprovedDefault { keys, to: self.keys.granted_to() }])
            }
        } else if *optional {
            State::LeftOut(problems)
        } else {
            State::Wrong(problems)
        };
        Ok((state, sources))
    }

    /// The keys that the pieces name, each once, and what is wrong with the others.
    fn sources(&mut self, pieces: &[Piece]) -> Result<(Sources, Vec<Problem>), VaultError> {
        let (mut sources, mut problems) = (Sources::new(), Vec::new());
        let wanted: BTreeSet<_> = pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::Value { name, version, field, .. } => Some((name, *version, field.as_ref())),
                Piece::Text(_) => None,
            })
            .collect();
        for (name, wanted, field) in wanted {
            match self.found(name, wanted, field)? {
                Ok(found) => {
                    sources.insert((name.clone(), wanted, field.cloned()), found);
                }
                // A key that is missing, under each of its versions and fields, is said once.
                Err(problem) if problems.contains(&problem) => {}
                Err(problem) => problems.push(problem),
            }
        }
        Ok((sources, problems))
    }

    fn found(
        &mut self,
        name: &KeyName,
        wanted: Option<u32>,
        field: Option<&JsonField>,
    ) -> Result<Result<Found, Problem>, VaultError> {
        let Some(key) = self.keys.named(name)? else { return Ok(Err(self.missing(name)?)) };
        let version = match usable(&key, wanted, self.now) {
            Ok(version) => version,
            Err(problem) => return Ok(Err(problem)),
        };
        let mut found = Found { key, version, pinned: wanted.is_some(), field: None };
        if let Some(field) = field {
            match self.keys.value(&found.key, version)?.field(field) {
                Ok(value) => found.field = Some(value),
                Err(why) => {
                    return Ok(Err(Problem::Field { name: name.clone(), field: field.clone(), why }));
                }
            }
        }
        Ok(Ok(found))
    }

    /// The value of these pieces; `None` if they name no key.
    fn made_of(
        &mut self,
        pieces: &[Piece],
        variable: Option<&EnvName>,
        sources: Sources,
    ) -> Result<Option<Resolved<Unrecorded>>, VaultError> {
        let first = pieces.iter().find_map(|piece| sources.get(&wanted_by(piece)?));
        let Some(first) = first else { return Ok(None) };
        let (name, version, key, pinned) =
            (first.key.name().clone(), first.version, *first.key.id(), first.pinned);
        let public = sources.values().all(|found| found.key.public());
        let ends = sources.values().filter_map(|found| Some((found.key.expires()?, found.key.lifetime())));
        let (expires, lifetime) = ends.min_by_key(|(expires, _)| *expires).unzip();
        let lifetime = lifetime.flatten();
        let (value, parts) = self.compose(pieces, sources)?;
        let own = matches!(pieces, [Piece::Value { encoding: Encoding::Raw, .. }]);
        let parts = if own { Vec::new() } else { parts };
        let variable = variable.cloned();
        Ok(Some(Resolved { name, version, key, pinned, variable, value, public, expires, lifetime, parts }))
    }

    /// The pieces as one value, and the values that it was made of.
    fn compose(
        &mut self,
        pieces: &[Piece],
        sources: Sources,
    ) -> Result<(Unrecorded, Vec<Part<Unrecorded>>), VaultError> {
        let mut parts = BTreeMap::new();
        for (wanted, Found { key, version, pinned, field }) in sources {
            let value = match field {
                Some(field) => field,
                None => self.keys.value(&key, version)?,
            };
            let (name, public) = (key.name().clone(), key.public());
            parts.insert(wanted, Part { name, version, value, public, key: *key.id(), pinned });
        }
        let mut fragments = Vec::with_capacity(pieces.len());
        for piece in pieces {
            fragments.push(match piece {
                Piece::Text(text) => Fragment::Text(text),
                Piece::Value { encoding, .. } => {
                    let part = wanted_by(piece).and_then(|wanted| parts.get(&wanted));
                    Fragment::Value(&part.ok_or_else(|| damaged("key: it is gone"))?.value, *encoding)
                }
            });
        }
        let whole = Unrecorded::compose(&fragments)?;
        Ok((whole, parts.into_values().collect()))
    }
}

/// The name, version, and field that a piece names; `None` for text.
fn wanted_by(piece: &Piece) -> Option<Wanted> {
    match piece {
        Piece::Value { name, version, field, .. } => Some((name.clone(), *version, field.clone())),
        Piece::Text(_) => None,
    }
}

/// The number of the version that is handed out, if the key may be handed out to a file at all.
fn usable(key: &KeyView, version: Option<u32>, now: Moment) -> Result<u32, Problem> {
    let name = || key.name().clone();
    if key.is_withheld() {
        return Err(Problem::Withheld(name()));
    }
    if key.disabled() {
        return Err(Problem::Disabled(name()));
    }
    if key.expired(now) {
        return Err(Problem::Expired { name: name(), since: key.expires().unwrap_or(now) });
    }
    let Some(version) = version else {
        return key.current().ok_or_else(|| Problem::Revoked(name()));
    };
    match key.state_of(version, now) {
        Some(VersionState::Current | VersionState::Previous) => Ok(version),
        state => Err(Problem::Version { name: name(), version, state: state.map(VersionState::name) }),
    }
}

fn damaged(what: &str) -> VaultError {
    StoreError::Damaged { what: what.to_owned() }.into()
}

fn asked(variable: &EnvName, problems: &[Problem]) -> Vec<Problem> {
    let one =
        |problem: &Problem| Problem::Asked { variable: variable.clone(), problem: Box::new(problem.clone()) };
    problems.iter().map(one).collect()
}
