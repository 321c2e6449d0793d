//! How it stands with each variable of a project file: one line for each, whatever is wrong with the others.

use std::collections::BTreeSet;

use keyvault_core::name::{EnvName, KeyName};
use keyvault_exec::release::{Problem, State};

use super::approval::Ask;
use super::file::{Entry, Section};

/// A variable, and how it stands with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub variable: EnvName,
    pub section: Section,
    /// The keys that it is made of.
    pub keys: Vec<KeyName>,
    /// The file's words about it.
    pub description: Option<String>,
    pub standing: Standing,
}

/// How it stands with a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    Ready,
    /// It gets the text that stands in for its key.
    Default,
    /// It is a plain setting.
    Setting,
    /// It stays unset, for these reasons.
    LeftOut(Vec<Problem>),
    /// It refuses the whole, for these reasons.
    Wrong(Vec<Problem>),
    /// No one has approved it, so the vault was not asked.
    NotApproved,
}

impl Standing {
    #[must_use]
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Default => "default",
            Self::Setting => "setting",
            Self::LeftOut(_) => "left_out",
            Self::Wrong(_) => "refused",
            Self::NotApproved => "not_approved",
        }
    }
}

/// The report: for every entry what the vault said of it, unless it was not approved.
#[must_use]
pub(crate) fn lines(
    entries: &[(Section, &Entry)],
    new: &BTreeSet<Ask>,
    states: &[(EnvName, State)],
) -> Vec<Line> {
    let standing = |section: &Section, entry: &Entry| {
        if new.contains(&Ask::of(section, entry)) {
            return Standing::NotApproved;
        }
        if entry.setting().is_some() {
            return Standing::Setting;
        }
        match states.iter().find(|(variable, _)| *variable == entry.variable).map(|(_, state)| state) {
            Some(State::Ready) => Standing::Ready,
            Some(State::Default(_)) => Standing::Default,
            Some(State::LeftOut(why)) => Standing::LeftOut(why.clone()),
            Some(State::Wrong(why)) => Standing::Wrong(why.clone()),
            // The vault says something of each that it is asked for; what it was not asked for was not approved.
            None => Standing::NotApproved,
        }
    };
    let line = |(section, entry): &(Section, &Entry)| Line {
        variable: entry.variable.clone(),
        section: section.clone(),
        keys: entry.keys().into_iter().cloned().collect(),
        description: entry.description.clone(),
        standing: standing(section, entry),
    };
    entries.iter().map(line).collect()
}
