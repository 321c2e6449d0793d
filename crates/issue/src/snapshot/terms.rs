use std::collections::BTreeSet;
use std::sync::Arc;

use borsh::BorshSerialize;
use keyvault_core::clock::Moment;
use keyvault_core::codec::Extensions;
use keyvault_core::crypto::sha256_of;
use keyvault_core::name::{Label, Scope};

use super::entry::Fixed;
use super::restrictions::{Asked, Restriction, Restrictions};
use crate::decide::KnownCell;
use crate::rate::Rate;
use crate::record::{Environment, Id, KeyRecord, Limit, Meaning, Period, Prefix, Proof, State};
use crate::set::Found;
use crate::standing::{Counter, Sets};

/// All that keys with the same client, scopes, and conditions have in common.
#[derive(Debug)]
pub struct Terms {
    /// Bounds and client, without the key's own state.
    fixed: Fixed,
    environment: Environment,
    prefix: Prefix,
    client: Option<Id>,
    not_before: Option<Moment>,
    issuer: Option<IssuersTime>,
    /// Shared with other terms that have the same, so that they are at hand: most keys have one of a few sets.
    scopes: Arc<[Scope]>,
    limits: Box<[RateTerm]>,
    quotas: Box<[QuotaTerm]>,
    /// Of the key and of its client; a request has to meet both.
    restrictions: Box<[Restrictions]>,
    /// A record with what these keys' records have in common, to be judged again when client, roles, or bounds change. A
    /// request does not look at it.
    pub(super) model: Box<KeyRecord>,
}

/// Sets of scopes, each once.
pub(super) type ScopeSets = BTreeSet<Arc<[Scope]>>;

/// A rate that a request is counted by.
#[derive(Debug)]
pub struct RateTerm {
    pub rate: Rate,
    /// [`limit_tag`] of the limit's name.
    pub tag: u64,
    pub counter: Counter,
    pub(crate) cell: KnownCell,
    pub limit: Limit,
}

/// A quota that a request is counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaTerm {
    pub counter: Counter,
    pub period: Period,
    pub amount: u64,
}

/// The part of an issuer's bounds that a clock is needed for.
#[derive(Debug, Clone, Copy)]
struct IssuersTime {
    longest_life: u64,
    /// The issuer's end and its longest life together.
    last: Option<Moment>,
}

/// A number for a limit's name: limits of one name share a counter, whatever their figures are.
#[must_use]
pub fn limit_tag(name: &Label) -> u64 {
    let hash = sha256_of(&[b"keyvault limit name", name.as_str().as_bytes()]);
    hash.first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
}

/// Encodes the part of a record that others share, into a buffer that is used again.
pub(super) fn encode_common(key: &KeyRecord, buffer: &mut Vec<u8>) {
    buffer.clear();
    let kind =
        (key.id.mark(), key.environment, key.proof.is_imported(), key.expires.is_some(), key.not_before);
    let who = (&key.prefix, key.client, &key.roles, &key.scopes);
    // A vector takes all that is written.
    let written = kind.serialize(buffer).and_then(|()| who.serialize(buffer));
    drop(written.and_then(|()| key.conditions.serialize(buffer)));
}

/// A record with what `key` has in common with others, and nothing of its own.
pub(super) fn model(key: &KeyRecord) -> Option<KeyRecord> {
    Some(KeyRecord {
        id: Id::of_number(key.id.mark(), 0)?,
        state: State::Active,
        proof: if key.proof.is_imported() { Proof::ImportedSha256([0; 32]) } else { Proof::Own([0; 32]) },
        environment: key.environment,
        prefix: key.prefix,
        client: key.client,
        roles: key.roles.clone(),
        scopes: key.scopes.clone(),
        created: Moment(0),
        not_before: key.not_before,
        expires: key.expires.map(|_| Moment(0)),
        replaced: None,
        decoy: false,
        display_name: Box::default(),
        conditions: key.conditions.clone(),
        extensions: Extensions::default(),
    })
}

impl Terms {
    /// `None` if the set of the model's id is not there.
    pub(super) fn of(sets: &Sets, model: KeyRecord, shared: &mut ScopeSets) -> Option<Self> {
        let credential = sets.credential(&model)?;
        let word = |number: u32| match sets.owner().word(number) {
            Found::Record(word) => match &word.meaning {
                Meaning::Scope(scope) => Some(scope.clone()),
                Meaning::Role(..) => None,
            },
            Found::Newer | Found::Absent => None,
        };
        let mut scopes: Vec<Scope> = credential.scopes().into_iter().filter_map(word).collect();
        scopes.sort_unstable();
        scopes.dedup();
        let scopes = shared.get(scopes.as_slice()).cloned().unwrap_or_else(|| {
            let scopes: Arc<[Scope]> = scopes.into();
            shared.insert(Arc::clone(&scopes));
            scopes
        });
        let limits = credential.limits().into_iter().map(|((counter, _), limit)| RateTerm {
            tag: limit_tag(&limit.name),
            rate: Rate::of(&limit),
            counter,
            cell: KnownCell::default(),
            limit,
        });
        let quotas = credential.quotas().into_iter();
        let quotas = quotas.map(|((counter, period), amount)| QuotaTerm { counter, period, amount });
        let clients = credential.client().and_then(|client| client.conditions.as_deref());
        let restrictions =
            model.conditions.as_deref().into_iter().chain(clients).filter_map(Restrictions::of);
        let issuer = credential.issuer().map(|entry| {
            let longest_life = entry.bounds.longest_life;
            let life = i64::try_from(longest_life).unwrap_or(i64::MAX);
            IssuersTime { longest_life, last: entry.ends.map(|ends| ends.plus_millis(life)) }
        });
        Some(Self {
            fixed: Fixed::of(credential.fixed()),
            environment: model.environment,
            prefix: model.prefix,
            not_before: model.not_before,
            client: credential.client().map(|client| client.id),
            issuer,
            scopes,
            limits: limits.collect(),
            quotas: quotas.collect(),
            restrictions: restrictions.collect(),
            model: Box::new(model),
        })
    }

    #[must_use]
    pub fn environment(&self) -> Environment {
        self.environment
    }

    #[must_use]
    pub fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// The client, if the key has one that is there.
    #[must_use]
    pub fn client(&self) -> Option<Id> {
        self.client
    }

    /// By bounds and client.
    #[must_use]
    pub fn fixed(&self) -> Fixed {
        self.fixed
    }

    #[must_use]
    pub fn not_before(&self) -> Option<Moment> {
        self.not_before
    }

    /// The scopes that these keys have now, those of roles among them. They ascend.
    #[must_use]
    pub fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    pub(super) fn shared_scopes(&self) -> Arc<[Scope]> {
        Arc::clone(&self.scopes)
    }

    #[must_use]
    pub fn limits(&self) -> &[RateTerm] {
        &self.limits
    }

    #[must_use]
    pub fn quotas(&self) -> &[QuotaTerm] {
        &self.quotas
    }

    /// The first restriction that a request does not meet.
    #[must_use]
    pub fn unmet(&self, asked: &Asked<'_>) -> Option<Restriction> {
        if self.restrictions.is_empty() {
            return None;
        }
        let order = [
            Restriction::Network,
            Restriction::Origin,
            Restriction::App,
            Restriction::Method,
            Restriction::Path,
        ];
        let is_met = |one: &Restriction| self.restrictions.iter().all(|all| all.meets(*one, asked));
        order.into_iter().find(|one| !is_met(one))
    }

    /// True if an issuer's key expires later than the issuer may set it, as of now.
    pub(crate) fn outlives_bounds(&self, expires: Option<Moment>, now: Moment) -> bool {
        self.issuer.zip(expires).is_some_and(|(issuer, expires)| {
            i128::from(expires.0) > i128::from(now.0) + i128::from(issuer.longest_life)
        })
    }

    /// The latest end of an issuer's keys.
    pub(crate) fn issuers_end(&self) -> Option<Moment> {
        self.issuer.and_then(|issuer| issuer.last)
    }

    /// The owner of a counter.
    pub(crate) fn owner(&self, counter: Counter, key: Id) -> Id {
        match counter {
            Counter::Key => key,
            Counter::Client => self.client.unwrap_or(key),
        }
    }

    pub(super) fn size(&self) -> usize {
        let texts = self.scopes.iter().map(|scope| size_of::<Scope>() + scope.as_str().len());
        let limits = self.limits.iter().map(|term| size_of::<RateTerm>() + term.limit.name.as_str().len());
        let restrictions = self.restrictions.iter().map(|one| size_of::<Restrictions>() + one.size());
        let numbers = (self.model.scopes.len() + self.model.roles.len()) * size_of::<u32>();
        // The model's conditions are about as long as what was made of them.
        let made = limits.sum::<usize>() + restrictions.sum::<usize>() + size_of_val(&*self.quotas);
        size_of::<Self>() + size_of::<KeyRecord>() + numbers + texts.sum::<usize>() + 2 * made
    }
}
