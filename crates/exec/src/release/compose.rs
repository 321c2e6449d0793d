//! Variables that a file asks for: made of one key's value, or composed of several with text between them.
//!
//! A file is not the person at the keyboard. So a key can be marked as never to be handed out because a file asks for it.

use std::collections::{BTreeMap, BTreeSet};

use keyvault_core::clock::Moment;
use keyvault_core::name::{EnvName, KeyName};

use keyvault_vault::StoreError;
use keyvault_vault::{Encoding, Fragment, KeyView, Unrecorded, VaultError, VersionState};

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
        encoding: Encoding,
    },
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
}

/// The keys of a composed variable, each once.
type Sources = BTreeMap<(KeyName, Option<u32>), Found>;

impl Staging<'_> {
    /// Stages what a composed variable comes to: a value, a default, nothing, or problems.
    pub(super) fn take_composed(&mut self, composed: &ComposedVariable) -> Result<(), VaultError> {
        let (state, sources) = self.judge(composed)?;
        match &state {
            State::Ready => {
                let value = self.made_of(&composed.pieces, Some(&composed.variable), &sources)?;
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
            let value = self.made_of(pieces, None, &sources)?;
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
                State::Wrong(vec![Problem::UnapprovedDefault(wanted.collect())])
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
                Piece::Value { name, version, .. } => Some((name, *version)),
                Piece::Text(_) => None,
            })
            .collect();
        for (name, wanted) in wanted {
            let Some(key) = self.keys.named(name)? else {
                problems.push(self.missing(name)?);
                continue;
            };
            match usable(&key, wanted, self.now) {
                Ok(version) => {
                    let pinned = wanted.is_some();
                    sources.insert((name.clone(), wanted), Found { key, version, pinned });
                }
                Err(problem) => problems.push(problem),
            }
        }
        Ok((sources, problems))
    }

    /// The value of these pieces; `None` if they name no key.
    fn made_of(
        &mut self,
        pieces: &[Piece],
        variable: Option<&EnvName>,
        sources: &Sources,
    ) -> Result<Option<Resolved<Unrecorded>>, VaultError> {
        let first = pieces.iter().find_map(|piece| match piece {
            Piece::Value { name, version, .. } => sources.get(&(name.clone(), *version)),
            Piece::Text(_) => None,
        });
        let Some(first) = first else { return Ok(None) };
        let (value, parts) = self.compose(pieces, sources)?;
        let own = matches!(pieces, [Piece::Value { encoding: Encoding::Raw, .. }]);
        Ok(Some(Resolved {
            name: first.key.name().clone(),
            version: first.version,
            key: *first.key.id(),
            pinned: first.pinned,
            variable: variable.cloned(),
            value,
            public: sources.values().all(|found| found.key.public()),
            expires: sources.values().filter_map(|found| found.key.expires()).min(),
            parts: if own { Vec::new() } else { parts },
        }))
    }

    /// The pieces as one value, and the values that it was made of.
    fn compose(
        &mut self,
        pieces: &[Piece],
        sources: &Sources,
    ) -> Result<(Unrecorded, Vec<Part<Unrecorded>>), VaultError> {
        let mut parts = BTreeMap::new();
        for (wanted, found) in sources {
            parts.insert(wanted, (self.keys.value(&found.key, found.version)?, found));
        }
        let mut fragments = Vec::with_capacity(pieces.len());
        for piece in pieces {
            fragments.push(match piece {
                Piece::Text(text) => Fragment::Text(text),
                Piece::Value { name, version, encoding } => {
                    let part = parts.get(&(name.clone(), *version));
                    let (value, _) = part.ok_or_else(|| damaged("key: it is gone"))?;
                    Fragment::Value(value, *encoding)
                }
            });
        }
        let whole = Unrecorded::compose(&fragments)?;
        let part = |(value, found): (Unrecorded, &Found)| Part {
            name: found.key.name().clone(),
            version: found.version,
            value,
            public: found.key.public(),
            key: *found.key.id(),
            pinned: found.pinned,
        };
        Ok((whole, parts.into_values().map(part).collect()))
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
