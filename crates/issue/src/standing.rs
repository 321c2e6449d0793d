//! The verdict on a key by all that is signed about it: its record, the owner's overrides, its client, holds, and, for an
//! issuer's key, bounds. The strictest of them counts.

use std::collections::{BTreeMap, BTreeSet};

use keyvault_core::clock::Moment;

use crate::hold::HoldLog;
use crate::issuer::{self, Beyond};
use crate::record::{
    Client, Conditions, Id, IssuerEntry, IssuerState, KeyRecord, Limit, Mark, Meaning, Period, Quota, State,
};
use crate::set::{Found, LoadedSet, SetError, VerifiedList};

/// All sets of an API as of one moment.
#[derive(Debug)]
pub struct Sets {
    owner: LoadedSet,
    /// By their marks.
    issuers: BTreeMap<Mark, LoadedSet>,
    holds: Vec<HoldLog>,
}

/// The result of looking an id up.
#[derive(Debug)]
pub enum Lookup<'a> {
    Key(Credential<'a>),
    /// The set that would have it was not taken, or not yet: the answer is not that there is no such key.
    Unavailable,
    /// No key, or one whose record a later version wrote.
    Unknown,
}

/// A set, by the mark of its ids.
pub(crate) enum Place<'a> {
    Owners,
    Issuers(&'a IssuerEntry, &'a LoadedSet),
    Unavailable,
    Unknown,
}

/// A key in its set.
#[derive(Debug)]
pub struct Credential<'a> {
    sets: &'a Sets,
    key: &'a KeyRecord,
    client: Option<&'a Client>,
    issuer: Option<&'a IssuerEntry>,
    /// Without what depends on the time.
    fixed: Standing,
}

/// From the mildest to the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    Active,
    NotYet,
    Expired,
    Held,
    Disabled,
    Revoked,
    /// The record is out of its issuer's bounds, or its client is not there.
    Refused(Beyond),
    Decoy,
}

/// A limit counts the requests of one key, or of all keys of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counter {
    Key,
    Client,
}

impl Sets {
    /// Joins sets that were loaded. Those of issuers are held against the owner's list and bounds of now, which may be others
    /// than those they were loaded by; each that does not hold is left out and named.
    pub fn join(
        list: &VerifiedList,
        owner: LoadedSet,
        issuers: Vec<LoadedSet>,
        holds: Vec<HoldLog>,
        now: Moment,
    ) -> (Self, Vec<(LoadedSet, SetError)>) {
        let mut taken = BTreeMap::new();
        let mut refused = Vec::new();
        for set in issuers {
            let mark = set.mark();
            match (issuer::still_holds(list, &owner, &set, now), mark) {
                (Ok(()), Some(mark)) => drop(taken.insert(mark, set)),
                (Ok(()), None) => refused.push((set, SetError::NoIssuer)),
                (Err(error), _) => refused.push((set, error)),
            }
        }
        (Self { owner, issuers: taken, holds }, refused)
    }

    #[must_use]
    pub fn owner(&self) -> &LoadedSet {
        &self.owner
    }

    pub fn issuers(&self) -> impl Iterator<Item = &LoadedSet> {
        self.issuers.values()
    }

    pub fn holds(&self) -> &[HoldLog] {
        &self.holds
    }

    /// Looks an id up, in the set that its mark names and in no other.
    #[must_use]
    pub fn find(&self, id: &Id) -> Lookup<'_> {
        let set = match self.place(id.mark()) {
            Place::Owners => &self.owner,
            Place::Issuers(_, set) => set,
            Place::Unavailable => return Lookup::Unavailable,
            Place::Unknown => return Lookup::Unknown,
        };
        let Found::Record(key) = set.key(id) else { return Lookup::Unknown };
        self.credential(key).map_or(Lookup::Unknown, |credential| Lookup::Key(credential.judged()))
    }

    /// The set that ids with a mark are in.
    pub(crate) fn place(&self, mark: Mark) -> Place<'_> {
        let Some(api) = self.owner.api() else { return Place::Unknown };
        if mark == api.mark {
            return Place::Owners;
        }
        let Some(entry) = api.issuers.iter().find(|entry| entry.mark == mark) else { return Place::Unknown };
        match self.issuers.get(&mark) {
            Some(set) => Place::Issuers(entry, set),
            None if entry.state == IssuerState::Ended => Place::Unknown,
            None => Place::Unavailable,
        }
    }

    /// A record of one of the sets with what holds for it beside its own state and the word on its id: bounds, client.
    pub(crate) fn credential<'a>(&'a self, key: &'a KeyRecord) -> Option<Credential<'a>> {
        let (issuer, admitted) = match self.place(key.id.mark()) {
            Place::Owners => {
                let found = key.client.map(|client| self.owner.client(&client));
                let admitted = match found {
                    None => Ok(None),
                    Some(Found::Record(client)) => Ok(Some(client)),
                    Some(_) => Err(Beyond::Client),
                };
                (None, admitted)
            }
            Place::Issuers(entry, set) => (Some(entry), issuer::admit(key, entry, &self.owner, set)),
            Place::Unavailable | Place::Unknown => return None,
        };
        let (client, mut fixed) = match admitted {
            Ok(client) => (client, Standing::Active),
            Err(beyond) => (None, Standing::Refused(beyond)),
        };
        if let Some(client) = client {
            fixed = fixed.max(of_state(&client.state)).max(self.above(&client.id));
        }
        Some(Credential { sets: self, key, client, issuer, fixed })
    }

    /// The owner's word on an id, and that of holds.
    pub(crate) fn above(&self, id: &Id) -> Standing {
        let own = match self.owner.r#override(id) {
            Found::Record(found) => of_state(&found.state),
            // One that narrows in a way that this version does not know is not passed over.
            Found::Newer => Standing::Disabled,
            Found::Absent => Standing::Active,
        };
        let held = self.holds.iter().any(|log| log.held(id).is_some());
        own.max(if held { Standing::Held } else { Standing::Active })
    }
}

/// A key by its own record alone.
pub(crate) fn of_key(key: &KeyRecord) -> Standing {
    of_state(&key.state).max(if key.decoy { Standing::Decoy } else { Standing::Active })
}

fn of_state(state: &State) -> Standing {
    match state {
        State::Active => Standing::Active,
        State::Disabled(_) => Standing::Disabled,
        State::Revoked(_) => Standing::Revoked,
    }
}

impl<'a> Credential<'a> {
    fn judged(mut self) -> Self {
        self.fixed = self.fixed.max(of_key(self.key)).max(self.sets.above(&self.key.id));
        self
    }

    /// Without what depends on the time.
    pub(crate) fn fixed(&self) -> Standing {
        self.fixed
    }

    #[must_use]
    pub fn key(&self) -> &'a KeyRecord {
        self.key
    }

    #[must_use]
    pub fn client(&self) -> Option<&'a Client> {
        self.client
    }

    #[must_use]
    pub fn issuer(&self) -> Option<&'a IssuerEntry> {
        self.issuer
    }

    #[must_use]
    pub fn standing(&self, now: Moment) -> Standing {
        let mut standing = self.fixed;
        if self.key.not_before.is_some_and(|begin| now < begin) {
            standing = standing.max(Standing::NotYet);
        }
        if self.ends().is_some_and(|end| end <= now) {
            standing = standing.max(Standing::Expired);
        }
        if let (Some(entry), Some(expires)) = (self.issuer, self.key.expires) {
            let furthest = i128::from(now.0) + i128::from(entry.bounds.longest_life);
            if i128::from(expires.0) > furthest {
                standing = standing.max(Standing::Refused(Beyond::Life));
            }
        }
        standing
    }

    /// The first of its expiry, the end of its grace, and, for an issuer's key, the issuer's end and longest life together.
    #[must_use]
    pub fn ends(&self) -> Option<Moment> {
        let grace = self.key.replaced.map(|replaced| replaced.grace_until);
        let issuers = self.issuer.and_then(|entry| {
            let life = i64::try_from(entry.bounds.longest_life).unwrap_or(i64::MAX);
            entry.ends.map(|ends| ends.plus_millis(life))
        });
        [self.key.expires, grace, issuers].into_iter().flatten().min()
    }

    /// The scopes that it has now, by their numbers: its own and those of its roles as the owner has them, for an issuer's
    /// key as far as they are within bounds.
    #[must_use]
    pub fn scopes(&self) -> BTreeSet<u32> {
        let word = |number: &u32| match self.sets.owner.word(*number) {
            Found::Record(word) => Some(&word.meaning),
            Found::Newer | Found::Absent => None,
        };
        let within = |scope: &&u32| self.issuer.is_none_or(|entry| entry.bounds.scopes.has(scope));
        let of_roles = self.key.roles.iter().filter_map(|role| match word(role) {
            Some(Meaning::Role(_, scopes)) => Some(scopes.iter()),
            _ => None,
        });
        (self.key.scopes.iter())
            .chain(of_roles.flatten())
            .filter(within)
            .filter(|scope| matches!(word(scope), Some(Meaning::Scope(_))))
            .copied()
            .collect()
    }

    /// The limits that a request is counted by. A key's own replaces its client's; an issuer's does not, or it
    /// could free itself of the client's, and each limit in its bounds holds for each key.
    #[must_use]
    pub fn limits(&self) -> BTreeMap<(Counter, String), Limit> {
        let mut limits = BTreeMap::new();
        let named = |limit: &Limit, counter| (counter, limit.name.as_str().to_owned());
        let own = conditions(self.key.conditions.as_deref()).flat_map(|own| own.limits.iter());
        for limit in own {
            limits.insert(named(limit, Counter::Key), limit.clone());
        }
        let clients = self.client.and_then(|client| client.conditions.as_deref());
        for limit in conditions(clients).flat_map(|clients| clients.limits.iter()) {
            if self.issuer.is_some() || !limits.contains_key(&named(limit, Counter::Key)) {
                limits.insert(named(limit, Counter::Client), limit.clone());
            }
        }
        for bound in self.issuer.into_iter().flat_map(|entry| entry.bounds.limits.iter()) {
            let place = limits.entry(named(bound, Counter::Key)).or_insert_with(|| bound.clone());
            *place = place.strictest(bound);
        }
        limits
    }

    /// The quotas that a request is counted by, like [`Credential::limits`].
    #[must_use]
    pub fn quotas(&self) -> BTreeMap<(Counter, Period), u64> {
        let mut quotas = BTreeMap::new();
        for Quota { period, amount } in
            conditions(self.key.conditions.as_deref()).flat_map(|own| own.quotas.iter())
        {
            quotas.insert((Counter::Key, *period), *amount);
        }
        let clients = self.client.and_then(|client| client.conditions.as_deref());
        for Quota { period, amount } in conditions(clients).flat_map(|clients| clients.quotas.iter()) {
            if self.issuer.is_some() || !quotas.contains_key(&(Counter::Key, *period)) {
                quotas.insert((Counter::Client, *period), *amount);
            }
        }
        for Quota { period, amount } in self.issuer.into_iter().flat_map(|entry| entry.bounds.quotas.iter()) {
            let place = quotas.entry((Counter::Key, *period)).or_insert(*amount);
            *place = (*place).min(*amount);
        }
        quotas
    }
}

fn conditions(conditions: Option<&Conditions>) -> impl Iterator<Item = &Conditions> {
    conditions.into_iter()
}
