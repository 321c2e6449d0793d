//! From an open reading to released values.

use std::collections::BTreeSet;

use keyvault_core::clock::Moment;
use keyvault_core::name::{EnvName, KeyName};
use keyvault_core::secret::SecretBytes;
use keyvault_vault::{KeySource, Purpose, Reading, Recorded, Taking, Unrecorded, VaultError};

use super::compose::{Piece, State};
use super::problem::{Problem, Refusal};
use super::select::{Selection, find_shared_variables};
use crate::fit::Misfit;

/// A value on its way out, `V` as long as that is not recorded.
#[derive(Debug)]
pub struct Resolved<V = SecretBytes> {
    /// The key; of a composed value, the first that it is made of.
    pub name: KeyName,
    pub version: u32,
    /// The key's id, which no other key ever has.
    pub(super) key: [u8; 16],
    /// True if the reference names this version.
    pub(super) pinned: bool,
    /// The variable that it is handed out as; none if it is wanted apart from that.
    pub variable: Option<EnvName>,
    pub value: V,
    /// True if the value is no secret; of a composed value, if none of its keys' values is.
    pub public: bool,
    /// When the key expires; of a composed value, the first of its keys.
    pub expires: Option<Moment>,
    /// From the making of the current version of that key until then, in milliseconds; a grant does not tell it.
    pub lifetime: Option<i64>,
    /// The keys in a composed value, each once; empty where the value is a key's own.
    pub parts: Vec<Part<V>>,
}

impl<V> Resolved<V> {
    /// Every key and version that the value was read from.
    pub fn sources(&self) -> impl Iterator<Item = (&KeyName, u32)> {
        let own = self.parts.is_empty().then_some((&self.name, self.version));
        own.into_iter().chain(self.parts.iter().map(|part| (&part.name, part.version)))
    }
}

impl Resolved<Unrecorded> {
    fn release(self, recorded: &Recorded) -> Result<Resolved, VaultError> {
        let Self { name, version, key, pinned, variable, value, public, expires, lifetime, parts } = self;
        let value = value.release(recorded)?;
        let parts = parts.into_iter().map(|part| part.release(recorded)).collect::<Result<_, _>>()?;
        Ok(Resolved { name, version, key, pinned, variable, value, public, expires, lifetime, parts })
    }
}

/// A key's value within a composed one, or a field of it.
#[derive(Debug)]
pub struct Part<V = SecretBytes> {
    pub name: KeyName,
    pub version: u32,
    /// Without an encoding.
    pub value: V,
    /// True if the value is no secret.
    pub public: bool,
    pub(super) key: [u8; 16],
    /// True if the reference names this version.
    pub(super) pinned: bool,
}

impl Part<Unrecorded> {
    fn release(self, recorded: &Recorded) -> Result<Part, VaultError> {
        let Self { name, version, value, public, key, pinned } = self;
        Ok(Part { name, version, value: value.release(recorded)?, public, key, pinned })
    }
}

/// Keys that were not chosen by name, and are left out.
#[derive(Debug, Default)]
pub struct Skipped {
    /// Where it was asked for that these are.
    pub expired: Vec<KeyName>,
    pub disabled: Vec<KeyName>,
    pub revoked: Vec<KeyName>,
}

#[derive(Debug)]
pub(super) struct Content<V> {
    /// Ordered by variable, those apart first.
    pub(super) values: Vec<Resolved<V>>,
    pub(super) skipped: Skipped,
    /// How it stands with each variable that a file asks for, in that order.
    pub(super) states: Vec<(EnvName, State)>,
    pub(super) problems: Vec<Problem>,
}

impl<V> Default for Content<V> {
    fn default() -> Self {
        Self { values: Vec::new(), skipped: Skipped::default(), states: Vec::new(), problems: Vec::new() }
    }
}

impl<V> Content<V> {
    fn left_out(&self) -> impl Iterator<Item = (&EnvName, &[Problem])> {
        self.states.iter().filter_map(|(variable, state)| match state {
            State::LeftOut(why) => Some((variable, why.as_slice())),
            _ => None,
        })
    }

    fn defaults(&self) -> impl Iterator<Item = (&EnvName, &str)> {
        self.states.iter().filter_map(|(variable, state)| match state {
            State::Default(text) => Some((variable, text.as_str())),
            _ => None,
        })
    }
}

/// Chooses among the keys of a reading.
pub(super) struct Staging<'k> {
    pub(super) keys: &'k mut dyn KeySource,
    pub(super) now: Moment,
    pub(super) staged: Content<Unrecorded>,
}

/// Looks up what was selected. All problems are collected.
pub fn stage<'r, M>(reading: Reading<'r, M>, selection: &Selection) -> Result<Staged<'r, M>, VaultError> {
    collect(reading, |staging| {
        if !selection.names_nothing() {
            staging.take_chosen(selection)?;
        }
        selection.composed.iter().try_for_each(|composed| staging.take_composed(composed))
    })
}

/// Looks up what a text refers to: its pieces, one behind the other, become one value.
pub fn stage_text<'r, M>(reading: Reading<'r, M>, pieces: &[Piece]) -> Result<Staged<'r, M>, VaultError> {
    collect(reading, |staging| staging.take_text(pieces))
}

fn collect<M>(
    reading: Reading<'_, M>,
    take: impl FnOnce(&mut Staging<'_>) -> Result<(), VaultError>,
) -> Result<Staged<'_, M>, VaultError> {
    let mut keys = reading.keys()?;
    let mut staging = Staging { keys: &mut *keys, now: reading.now(), staged: Content::default() };
    take(&mut staging)?;
    let mut content = staging.staged;
    content.values.sort_by(|left, right| left.variable.cmp(&right.variable));
    find_shared_variables(&content.values, &mut *keys, &mut content.problems);
    drop(keys);
    Ok(Staged { reading, content })
}

/// Values that were looked up. Nothing is recorded yet, so nobody gets them, and what does not fit is not committed.
///
/// ```compile_fail,E0599
/// use keyvault_exec::release::Staged;
/// use keyvault_vault::{Purpose, Taking};
///
/// fn release(staged: Staged<'_, Taking>, purpose: Purpose) {
///     let _ = staged.commit(purpose);
/// }
/// ```
pub struct Staged<'r, M> {
    reading: Reading<'r, M>,
    content: Content<Unrecorded>,
}

impl<'r, M> Staged<'r, M> {
    /// How it stands with each variable that a file asks for.
    #[must_use]
    pub fn states(&self) -> &[(EnvName, State)] {
        &self.content.states
    }

    pub(crate) fn values(&self) -> &[Resolved<Unrecorded>] {
        &self.content.values
    }

    /// For places that take any value.
    pub fn fit_anywhere(self) -> Result<Fitted<'r, M>, Refusal> {
        self.unless(Vec::new())
    }

    pub(crate) fn unless(mut self, misfits: Vec<Misfit>) -> Result<Fitted<'r, M>, Refusal> {
        let problems = std::mem::take(&mut self.content.problems);
        let refusal = Refusal { problems, misfits };
        if refusal.is_empty() { Ok(Fitted(self)) } else { Err(refusal) }
    }
}

/// Staged values that fit their places. Those of a reading that only looks can be previewed, and not released.
///
/// ```compile_fail,E0599
/// use keyvault_exec::release::Fitted;
/// use keyvault_vault::{Looking, Purpose};
///
/// fn release(fitted: Fitted<'_, Looking>, purpose: Purpose) {
///     let _ = fitted.commit(purpose);
/// }
/// ```
pub struct Fitted<'r, M>(Staged<'r, M>);

impl<M> Fitted<'_, M> {
    #[must_use]
    pub fn preview(self) -> Preview {
        let content = self.0.content;
        let keys = content
            .values
            .iter()
            .flat_map(|value| value.sources().map(|(name, _)| (name.clone(), value.variable.clone())));
        let mut keys: Vec<_> = keys.collect();
        // Two fields of a key are one key.
        keys.dedup();
        Preview {
            keys,
            left_out: content.left_out().map(|(variable, why)| (variable.clone(), why.to_vec())).collect(),
            defaults: content.defaults().map(|(variable, _)| variable.clone()).collect(),
            skipped: content.skipped,
        }
    }
}

impl Fitted<'_, Taking> {
    /// Records every key that was read, and then hands the values out.
    pub fn commit(self, purpose: Purpose) -> Result<Released, VaultError> {
        let Staged { reading, content } = self.0;
        let Content { values, skipped, states, problems } = content;
        let recorded = reading.commit(purpose, values.iter().map(|value| &value.value))?;
        let values = values.into_iter().map(|value| value.release(&recorded)).collect::<Result<_, _>>()?;
        Ok(Released(Content { values, skipped, states, problems }))
    }
}

#[derive(Debug)]
pub struct Released(Content<SecretBytes>);

impl Released {
    /// Nothing was asked for, so nothing was read.
    #[must_use]
    pub fn nothing() -> Self {
        Self(Content::default())
    }

    /// Ordered by variable, those apart first.
    #[must_use]
    pub fn values(&self) -> &[Resolved] {
        &self.0.values
    }

    /// Keys that were chosen by their scope or among all, and left out.
    #[must_use]
    pub fn skipped(&self) -> &Skipped {
        &self.0.skipped
    }

    /// Optional variables that stay unset, and why.
    pub fn left_out(&self) -> impl Iterator<Item = (&EnvName, &[Problem])> {
        self.0.left_out()
    }

    /// Variables whose key is not to be had, with the text that stands in for it.
    pub fn defaults(&self) -> impl Iterator<Item = (&EnvName, &str)> {
        self.0.defaults()
    }

    /// The value of a text ([`stage_text`]) and the keys in it; `None` if it refers to none.
    #[must_use]
    pub fn into_text(self) -> Option<(SecretBytes, Vec<KeyName>)> {
        let text = self.0.values.into_iter().next()?;
        let keys: BTreeSet<_> = text.sources().map(|(name, _)| name.clone()).collect();
        Some((text.value, keys.into_iter().collect()))
    }
}

/// The result that a selection would have, by name and variable only.
#[derive(Debug, Default)]
pub struct Preview {
    /// The keys and their variables, ordered by variable and those apart first; a composed variable stands with each of
    /// its keys.
    pub keys: Vec<(KeyName, Option<EnvName>)>,
    pub skipped: Skipped,
    /// Optional variables that would stay unset, and why.
    pub left_out: Vec<(EnvName, Vec<Problem>)>,
    /// Variables that would get a text that stands in for a key.
    pub defaults: Vec<EnvName>,
}
