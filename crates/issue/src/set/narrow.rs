//! A set out of a backup: it keeps what the set that it replaces refused.

use std::collections::{BTreeMap, BTreeSet};

use keyvault_core::clock::Moment;
use keyvault_core::codec::Extensions;

use super::{Changes, Found, LoadedSet};
use crate::record::{
    Api, Ascending, Bounds, Client, Id, IssuerEntry, IssuerState, KeyRecord, Limit, Meaning, Note, Override,
    Quota, Reaction, Sorted, State, VerifierEntry, VerifierState, Word,
};

/// The change that a set from a backup needs so that nothing which the replaced set of the same API refuses comes back.
///
/// A record that both have gets the stricter state, and only those scopes, roles, and bounds that both give. Ids that only
/// the replaced set has revoked stay, and so do words that only it has, and issuers, as ended ones: no one gets an id, a
/// number, or a mark again. A record that only the backup has comes back.
#[must_use]
pub fn narrowings(backup: &LoadedSet, replaced: &LoadedSet, now: Moment) -> Changes {
    Restore { backup, replaced, now }.changes()
}

struct Restore<'a> {
    backup: &'a LoadedSet,
    replaced: &'a LoadedSet,
    now: Moment,
}

impl Restore<'_> {
    fn changes(&self) -> Changes {
        let mut changes = Changes::default();
        let put = &mut changes.put;
        put.api = self.backup.api().zip(self.replaced.api()).and_then(|(own, other)| self.api(own, other));
        put.words = self.words();
        let mut overrides = self.overrides();
        for other in self.replaced.keys() {
            match self.backup.key(&other.id) {
                Found::Record(own) => put.keys.extend(self.key(own, other)),
                Found::Newer => overrides.refuse(other.id, &other.state),
                Found::Absent if other.state.is_revoked() => put.keys.push(other.clone()),
                Found::Absent => {}
            }
        }
        for id in self.replaced.newer_keys() {
            match self.backup.key(&id) {
                Found::Record(own) => {
                    let state = stricter(&own.state, &self.disabled("its record is of a later version"));
                    put.keys.extend((state != own.state).then(|| KeyRecord { state, ..own.clone() }));
                }
                // Its later version may have disabled it.
                Found::Newer => overrides.refuse(id, &self.disabled("its record is of a later version")),
                Found::Absent => {}
            }
        }
        for other in self.replaced.clients() {
            match self.backup.client(&other.id) {
                Found::Record(own) => put.clients.extend(client(own, other)),
                Found::Newer => overrides.refuse(other.id, &other.state),
                Found::Absent if other.state.is_revoked() => put.clients.push(other.clone()),
                Found::Absent => {}
            }
        }
        for id in self.replaced.newer_clients() {
            match self.backup.client(&id) {
                Found::Record(own) => {
                    let state = stricter(&own.state, &self.disabled("its record is of a later version"));
                    put.clients.extend((state != own.state).then(|| Client { state, ..own.clone() }));
                }
                Found::Newer => overrides.refuse(id, &self.disabled("its record is of a later version")),
                Found::Absent => {}
            }
        }
        // Clients that keys got since the backup was made.
        let named: BTreeSet<Id> = put.keys.iter().filter_map(|key| key.client).collect();
        for id in named {
            if let (Found::Absent, Found::Record(other)) =
                (self.backup.client(&id), self.replaced.client(&id))
                && !other.state.is_revoked()
            {
                put.clients.push(other.clone());
            }
        }
        put.overrides = overrides.changed(self.backup);
        changes
    }

    fn disabled(&self, reason: &str) -> State {
        State::Disabled(Box::new(Note { since: self.now, reason: reason.into() }))
    }

    /// True if a word's number means the same in both sets: one that the replaced set no longer has gives nothing there.
    fn is_shared(&self, number: u32) -> bool {
        match (self.backup.word(number), self.replaced.word(number)) {
            (Found::Record(own), Found::Record(other)) => match (&own.meaning, &other.meaning) {
                (Meaning::Scope(own), Meaning::Scope(other)) => own == other,
                // A role's name is for people; its scopes are narrowed on their own.
                (Meaning::Role(..), Meaning::Role(..)) => true,
                (Meaning::Scope(_), Meaning::Role(..)) | (Meaning::Role(..), Meaning::Scope(_)) => false,
            },
            // It gives nothing in either.
            (Found::Absent, Found::Absent) => true,
            _ => false,
        }
    }

    /// The numbers that both lists have and that mean the same in both sets.
    fn numbers(&self, own: &Ascending<u32>, other: &Ascending<u32>) -> Ascending<u32> {
        Ascending::of(own.iter().copied().filter(|number| other.has(number) && self.is_shared(*number)))
    }

    /// Roles with those scopes that both sets give them, and words that only the replaced set has.
    fn words(&self) -> Vec<Word> {
        let mut words = Vec::new();
        for other in self.replaced.words() {
            match self.backup.word(other.number) {
                Found::Record(own) => {
                    let (Meaning::Role(name, own_scopes), Meaning::Role(_, scopes)) =
                        (&own.meaning, &other.meaning)
                    else {
                        continue;
                    };
                    let meaning = Meaning::Role(name.clone(), self.numbers(own_scopes, scopes));
                    if meaning != own.meaning {
                        words.push(Word { meaning, ..own.clone() });
                    }
                }
                Found::Absent => words.push(other.clone()),
                Found::Newer => {}
            }
        }
        words
    }

    /// The key as both sets let it be; `None` if that is the backup's.
    fn key(&self, own: &KeyRecord, other: &KeyRecord) -> Option<KeyRecord> {
        let mut state = stricter(&own.state, &other.state);
        if other.client.is_some_and(|client| !matches!(self.replaced.client(&client), Found::Record(_))) {
            state = stricter(&state, &self.disabled("its client was removed"));
        }
        // A revoked key stays until its expiry.
        let expires = if state.is_revoked() {
            own.expires.zip(other.expires).map(|(own, other)| own.max(other))
        } else {
            own.expires.into_iter().chain(other.expires).min()
        };
        let replaced = own.replaced.into_iter().chain(other.replaced);
        let key = KeyRecord {
            scopes: self.numbers(&own.scopes, &other.scopes),
            roles: self.numbers(&own.roles, &other.roles),
            not_before: own.not_before.max(other.not_before),
            expires,
            replaced: replaced.min_by_key(|replaced| replaced.grace_until),
            decoy: own.decoy || other.decoy,
            display_name: own.display_name.clone(),
            state,
            // Client and terms are the replaced set's: of two lists of networks neither is the narrower one.
            ..other.clone()
        };
        (key != *own).then_some(key)
    }

    fn overrides(&self) -> Overrides {
        let mut overrides = Overrides::default();
        for word in self.replaced.overrides() {
            overrides.0.insert(word.id, word.clone());
        }
        for id in self.replaced.newer_overrides() {
            overrides.refuse(id, &self.disabled("by an override of a later version"));
        }
        overrides
    }

    /// The API's record of a backup with what has ended since; `None` if that changes nothing.
    fn api(&self, own: &Api, replaced: &Api) -> Option<Api> {
        let mut issuers: Vec<IssuerEntry> = own.issuers.to_vec();
        for issuer in &mut issuers {
            let Some(other) = replaced.issuers.find(&issuer.set) else { continue };
            issuer.state = issuer.state.max(other.state);
            issuer.ends = issuer.ends.into_iter().chain(other.ends).min();
            // The one before may be of a token that leaked.
            issuer.signer = other.signer.clone();
            issuer.bounds = self.bounds(&issuer.bounds, &other.bounds);
            if other.extensions.must_be_known().is_some() {
                issuer.extensions = other.extensions.clone();
            }
        }
        let is_new = |issuer: &&IssuerEntry| !own.issuers.has(&issuer.set);
        let ended = |issuer: &IssuerEntry| IssuerEntry { state: IssuerState::Ended, ..issuer.clone() };
        issuers.extend(replaced.issuers.iter().filter(is_new).map(ended));

        let mut verifiers: Vec<VerifierEntry> = own.verifiers.to_vec();
        for verifier in &mut verifiers {
            let Some(other) = replaced.verifiers.find(&verifier.id) else { continue };
            let is_decided = |number: &u64| [&*verifier, other].iter().all(|entry| entry.is_decided(*number));
            let numbers = verifier.lifted.iter().chain(other.lifted.iter()).copied();
            let lifted: Vec<u64> = numbers.filter(is_decided).collect();
            verifier.lifted = Ascending::of(lifted);
            verifier.settled = verifier.settled.min(other.settled);
            verifier.state = verifier.state.max(other.state);
            verifier.signer = other.signer.clone();
            verifier.epoch = other.epoch;
            if other.seen.count > verifier.seen.count {
                verifier.seen = other.seen;
            }
        }
        let is_new = |verifier: &&VerifierEntry| !own.verifiers.has(&verifier.id);
        let closed =
            |verifier: &VerifierEntry| VerifierEntry { state: VerifierState::Closed, ..verifier.clone() };
        verifiers.extend(replaced.verifiers.iter().filter(is_new).map(closed));

        let reaction = if replaced.reaction == Reaction::Hold { Reaction::Hold } else { own.reaction };
        let api = Api { reaction, ..own.with_others(Ascending::of(issuers), Ascending::of(verifiers)) };
        (api != *own).then_some(api)
    }

    fn bounds(&self, own: &Bounds, other: &Bounds) -> Bounds {
        let is_longer = own.client_prefix.starts_with(&*other.client_prefix);
        let clients = own.owners_clients.iter().copied().filter(|client| other.owners_clients.has(client));
        Bounds {
            scopes: self.numbers(&own.scopes, &other.scopes),
            roles: self.numbers(&own.roles, &other.roles),
            limits: both(&own.limits, &other.limits, Limit::strictest),
            quotas: both(&own.quotas, &other.quotas, |own: &Quota, other: &Quota| Quota {
                amount: own.amount.min(other.amount),
                ..*own
            }),
            longest_life: own.longest_life.min(other.longest_life),
            keys: own.keys.min(other.keys),
            clients: own.clients.min(other.clients),
            client_prefix: if is_longer { own.client_prefix.clone() } else { other.client_prefix.clone() },
            owners_clients: Ascending::of(clients),
        }
    }
}

/// The overrides that the restored set has to have, beside those of the backup.
#[derive(Default)]
struct Overrides(BTreeMap<Id, Override>);

impl Overrides {
    /// Refuses an id, for a record that this version cannot rewrite.
    fn refuse(&mut self, id: Id, state: &State) {
        let state = match self.0.get(&id) {
            Some(word) => stricter(&word.state, state),
            None => state.clone(),
        };
        if !state.is_active() {
            self.0.insert(id, Override { id, state, extensions: Extensions::default() });
        }
    }

    /// Those that the backup does not have, or not as strictly.
    fn changed(self, backup: &LoadedSet) -> Vec<Override> {
        let is_missing = |word: &Override| match backup.r#override(&word.id) {
            Found::Record(own) => stricter(&own.state, &word.state) != own.state,
            Found::Newer => false,
            Found::Absent => true,
        };
        self.0.into_values().filter(is_missing).collect()
    }
}

/// The backup's client in the stricter state; `None` if that is the backup's record. Terms are the replaced set's.
fn client(own: &Client, other: &Client) -> Option<Client> {
    let state = stricter(&own.state, &other.state);
    let client = Client { state, conditions: other.conditions.clone(), ..own.clone() };
    (client != *own).then_some(client)
}

/// The stricter of two states; of two that are as strict the first.
fn stricter(own: &State, other: &State) -> State {
    let rank = |state: &State| match state {
        State::Active => 0,
        State::Disabled(_) => 1,
        State::Revoked(_) => 2,
    };
    if rank(other) > rank(own) { other.clone() } else { own.clone() }
}

/// The terms of either list; of two with one name those that both allow.
fn both<T: Sorted + Clone>(
    own: &Ascending<T>,
    other: &Ascending<T>,
    join: impl Fn(&T, &T) -> T,
) -> Ascending<T> {
    let joined = own.iter().map(|term| match other.find(term.sort_key()) {
        Some(found) => join(term, found),
        None => term.clone(),
    });
    let more = other.iter().filter(|term| !own.has(term.sort_key())).cloned();
    Ascending::of(joined.chain(more))
}
