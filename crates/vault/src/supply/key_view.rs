//! What may be known of a key by whoever chooses among keys, the same of a held key's record and of a grant.

use std::collections::BTreeSet;
use std::rc::Rc;

use keyvault_core::clock::Moment;
use keyvault_core::name::{EnvName, KeyName, Scope};

use crate::key::record::{Item, Status, VersionState};
use crate::token::grant::Grant;

/// A key of a [`KeySource`](super::KeySource).
#[derive(Debug)]
pub struct KeyView(pub(crate) Record);

/// What the view is of.
#[derive(Debug)]
pub(crate) enum Record {
    Held(Box<Item>),
    /// A grant has only the versions that are good.
    Granted(Rc<Grant>),
}

/// The life of a version, as far as a record and a grant both tell it.
#[derive(Debug, Clone, Copy)]
struct Life {
    number: u32,
    state: VersionState,
    grace_until: Option<Moment>,
}

impl Life {
    fn state_at(self, now: Moment) -> VersionState {
        self.state.at(self.grace_until, now)
    }
}

impl KeyView {
    /// Random, for the life of the key; no other key ever has it.
    #[must_use]
    pub fn id(&self) -> &[u8; 16] {
        match &self.0 {
            Record::Held(item) => &item.id,
            Record::Granted(grant) => &grant.item,
        }
    }

    #[must_use]
    pub fn name(&self) -> &KeyName {
        match &self.0 {
            Record::Held(item) => &item.name,
            Record::Granted(grant) => &grant.name,
        }
    }

    #[must_use]
    pub fn variable(&self) -> &EnvName {
        match &self.0 {
            Record::Held(item) => &item.variable,
            Record::Granted(grant) => &grant.variable,
        }
    }

    #[must_use]
    pub fn scopes(&self) -> &BTreeSet<Scope> {
        match &self.0 {
            Record::Held(item) => &item.scopes,
            Record::Granted(grant) => &grant.scopes,
        }
    }

    #[must_use]
    pub fn expires(&self) -> Option<Moment> {
        match &self.0 {
            Record::Held(item) => item.expires,
            Record::Granted(grant) => grant.expires,
        }
    }

    /// Whether its owner said that no file gets it. A grant was given by the owner, by name or scope.
    #[must_use]
    pub fn is_withheld(&self) -> bool {
        match &self.0 {
            Record::Held(item) => item.is_withheld(),
            Record::Granted(_) => false,
        }
    }

    /// Whether its end has come, which refuses every version of it.
    #[must_use]
    pub fn expired(&self, now: Moment) -> bool {
        self.expires().is_some_and(|expires| expires <= now)
    }

    /// What may be done with it at this moment.
    #[must_use]
    pub fn status(&self, now: Moment) -> Status {
        Status::of(self.current().is_some(), self.expired(now))
    }

    /// The number of the version in use.
    #[must_use]
    pub fn current(&self) -> Option<u32> {
        self.lives().find(|life| life.state == VersionState::Current).map(|life| life.number)
    }

    /// The highest number of a version whose grace lasts: they were made in the order of their numbers.
    #[must_use]
    pub fn previous(&self, now: Moment) -> Option<u32> {
        let good = self.lives().filter(|life| life.state_at(now) == VersionState::Previous);
        good.map(|life| life.number).max()
    }

    /// The state of a version at a moment; `None` if there is no such version.
    #[must_use]
    pub fn state_of(&self, version: u32, now: Moment) -> Option<VersionState> {
        self.life(version).map(|life| life.state_at(now))
    }

    /// Until when a version is still good, if it is in its grace.
    #[must_use]
    pub fn good_until(&self, version: u32) -> Option<Moment> {
        self.life(version).filter(|life| life.state == VersionState::Previous)?.grace_until
    }

    fn life(&self, version: u32) -> Option<Life> {
        self.lives().find(|life| life.number == version)
    }

    fn lives(&self) -> impl Iterator<Item = Life> {
        let (held, granted): (&[_], &[_]) = match &self.0 {
            Record::Held(item) => (&item.versions, &[]),
            Record::Granted(grant) => (&[], &grant.versions),
        };
        let held = held.iter().map(|own| Life {
            number: own.number,
            state: own.state,
            grace_until: own.grace_until,
        });
        held.chain(granted.iter().map(|own| Life {
            number: own.number,
            state: own.state,
            grace_until: own.grace_until,
        }))
    }
}
