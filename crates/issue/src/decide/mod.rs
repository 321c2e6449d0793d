//! The verdict on a request.
//!
//! The order is: possession, state, network, origin, app, method, path, scope, rate, quota. The first that fails decides.
//! Charging comes last, and either all limits are charged or none, so a refused request costs nothing, and someone who proved
//! nothing charges nobody. Anyone who proved to have the secret learns why a request is refused. All others get one answer, after the
//! same work, whether the id is unknown, the secret is wrong, or the key is a decoy.

mod charge;
mod counters;

pub use counters::Counters;
pub(crate) use counters::KnownCell;

use keyvault_core::clock::Moment;
use keyvault_core::crypto::{Hash, sha256, sha256_of, sha512};
use keyvault_core::name::{Label, Scope};

use crate::query::Query;
use crate::record::{Id, Limit, Period};
use crate::snapshot::{Algorithm, Asked, Entry, Fixed, Found, Known, Records, Restriction, Terms, limit_tag};
use crate::standing::Counter;
use crate::text::KeyText;

use self::charge::Uncharged;

/// Longest text that is looked up, in bytes: a longer one is no key.
pub const MAX_CREDENTIAL: usize = 4096;
/// Most limits of a request whose state is told: the bounds of an issuer and the limits of a client together have fewer.
const MAX_STATES: usize = 8;

/// A request, as far as a verdict depends on it.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The text that was presented as a key.
    pub credential: &'a [u8],
    pub asked: Asked<'a>,
    pub needs: &'a Query,
    pub costs: &'a Costs,
}

/// Time by both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For expiry and quotas.
    pub wall: Moment,
    /// Nanoseconds of a monotonic clock, for rates.
    pub ticks: u64,
}

/// The costs of a route. By default each limit is charged what its record says, and a quota 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Costs {
    /// By tags of names.
    limits: Vec<(u64, u32)>,
    quota: u64,
}

/// A verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Valid,
    /// Not a key, or not proved to be one: 401.
    NotFound,
    /// The key may not be used for such a request, or not yet.
    Forbidden,
    InsufficientPermissions,
    /// A quota is used up.
    UsageExceeded,
    RateLimited,
    /// Disabled or held, or its client is.
    Disabled,
    Expired,
    Revoked,
    /// No verdict can be given now: 503.
    Unavailable,
}

/// The reason for a verdict that is not valid. For logs, and for someone who proved to have the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    NotFound,
    /// Someone has a key that is never right. The caller of the API must not be told.
    Decoy,
    NotYet,
    Expired,
    Held,
    Disabled,
    Revoked,
    /// The record is out of its issuer's bounds, or its client is not there.
    OutOfBounds,
    Unmet(Restriction),
    Scope,
    Rate,
    Quota,
    /// The set that would have the key was not taken.
    NoSet,
    /// A quota is being reserved: to be asked again when the store has written.
    Reserving,
    /// The store of usage cannot write.
    NoStore,
}

/// A verdict, with facts for headers and logs.
#[derive(Debug)]
pub struct Decision<'s> {
    pub outcome: Outcome,
    /// `None` if the request is valid.
    pub cause: Option<Cause>,
    /// The id in the text. Anyone can write one: it says nothing of who asks.
    pub claimed: Option<Id>,
    /// The key, if the request proved to have it, and it is no decoy.
    pub bearer: Option<Bearer<'s>>,
    /// The state of all limits, if it was looked at: of a valid request after it was charged.
    pub limits: States<'s>,
    /// Nanoseconds after which the request would pass, as far as it is known.
    pub retry_after: Option<u64>,
}

/// A key that the request proved to have.
#[derive(Debug, Clone, Copy)]
pub struct Bearer<'s> {
    pub id: Id,
    pub client: Option<Id>,
    /// They ascend.
    pub scopes: &'s [Scope],
}

/// The state of one limit.
#[derive(Debug, Clone, Copy)]
pub struct LimitState<'s> {
    pub limit: LimitOf<'s>,
    pub counter: Counter,
    /// Requests of cost 1.
    pub remaining: u64,
    /// Nanoseconds until the limit is unused again, or the quota's window ends.
    pub reset: u64,
}

#[derive(Debug, Clone, Copy)]
pub enum LimitOf<'s> {
    Rate(&'s Limit),
    Quota { period: Period, amount: u64 },
}

/// States of limits, without memory of their own.
#[derive(Debug, Clone, Copy)]
pub struct States<'s> {
    states: [Option<LimitState<'s>>; MAX_STATES],
}

impl Costs {
    /// The costs with another one for limits of a name; 0 if the route does not charge them.
    #[must_use]
    pub fn with_limit(mut self, name: &Label, cost: u32) -> Self {
        let tag = limit_tag(name);
        self.limits.retain(|(known, _)| *known != tag);
        self.limits.push((tag, cost));
        self
    }

    /// The costs with another one for quotas; 0 if the route does not charge them.
    #[must_use]
    pub fn with_quota(self, cost: u64) -> Self {
        Self { quota: cost, ..self }
    }

    fn of_limit(&self, tag: u64, usual: u32) -> u32 {
        self.limits.iter().find(|(known, _)| *known == tag).map_or(usual, |(_, cost)| *cost)
    }
}

impl Default for Costs {
    fn default() -> Self {
        Self { limits: Vec::new(), quota: 1 }
    }
}

impl Outcome {
    /// As answers and logs have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::NotFound => "not_found",
            Self::Forbidden => "forbidden",
            Self::InsufficientPermissions => "insufficient_permissions",
            Self::UsageExceeded => "usage_exceeded",
            Self::RateLimited => "rate_limited",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Unavailable => "unavailable",
        }
    }
}

impl Cause {
    #[must_use]
    pub fn outcome(self) -> Outcome {
        match self {
            Self::NotFound | Self::Decoy => Outcome::NotFound,
            Self::NotYet | Self::OutOfBounds | Self::Unmet(_) => Outcome::Forbidden,
            Self::Expired => Outcome::Expired,
            Self::Held | Self::Disabled => Outcome::Disabled,
            Self::Revoked => Outcome::Revoked,
            Self::Scope => Outcome::InsufficientPermissions,
            Self::Rate => Outcome::RateLimited,
            Self::Quota => Outcome::UsageExceeded,
            Self::NoSet | Self::Reserving | Self::NoStore => Outcome::Unavailable,
        }
    }
}

impl<'s> States<'s> {
    fn none() -> Self {
        Self { states: [None; MAX_STATES] }
    }

    fn set(&mut self, at: usize, state: LimitState<'s>) {
        if let Some(place) = self.states.get_mut(at) {
            *place = Some(state);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &LimitState<'s>> {
        self.states.iter().flatten()
    }

    /// The limit that is nearest to its end, by the part of it that is left.
    #[must_use]
    pub fn tightest(&self) -> Option<&LimitState<'s>> {
        self.iter().min_by(|left, right| {
            // left / whole, compared without division.
            let part = |state: &LimitState<'_>, other: &LimitState<'_>| {
                u128::from(state.remaining) * u128::from(other.whole())
            };
            part(left, right).cmp(&part(right, left))
        })
    }
}

impl LimitState<'_> {
    /// So much is there when nothing is used.
    #[must_use]
    pub fn whole(&self) -> u64 {
        match self.limit {
            LimitOf::Rate(limit) => limit.burst.into(),
            LimitOf::Quota { amount, .. } => amount,
        }
    }
}

impl<'s> Decision<'s> {
    /// True if the request proved to have a key: its sender may learn why it was refused.
    #[must_use]
    pub fn was_proved(&self) -> bool {
        self.bearer.is_some()
    }

    fn refused(cause: Cause, claimed: Option<Id>, bearer: Option<Bearer<'s>>) -> Self {
        let (outcome, limits) = (cause.outcome(), States::none());
        Self { outcome, cause: Some(cause), claimed, bearer, limits, retry_after: None }
    }
}

/// Decides on a request, and charges it if it is valid. See the [module](self) for the order.
pub fn decide<'s, R: Records + ?Sized>(
    records: &'s R,
    counters: &Counters,
    request: &Request<'_>,
    now: Now,
) -> Decision<'s> {
    let text = KeyText::parse(request.credential);
    let claimed = text.map(|text| text.id);
    let proved = match text {
        Some(text) => proved_own(records, &text),
        None => proved_imported(records, request.credential),
    };
    let known = match proved {
        Found::Known(known) => known,
        Found::Unknown => return Decision::refused(Cause::NotFound, claimed, None),
        Found::Unavailable => return Decision::refused(Cause::NoSet, claimed, None),
    };
    let (entry, terms) = (known.entry, known.terms);
    let claimed = Some(entry.id());
    let state = state(entry, terms, now.wall);
    if state == Some(Cause::Decoy) {
        return Decision::refused(Cause::Decoy, claimed, None);
    }
    let bearer = Some(Bearer { id: entry.id(), client: terms.client(), scopes: terms.scopes() });
    let unmet = || terms.unmet(&request.asked).map(Cause::Unmet);
    let scope = || (!request.needs.is_met_by(terms.scopes())).then_some(Cause::Scope);
    if let Some(cause) = state.or_else(unmet).or_else(scope) {
        return Decision::refused(cause, claimed, bearer);
    }
    let mut limits = States::none();
    match charge::charge(counters, entry.id(), terms, request.costs, now, &mut limits) {
        Ok(()) => {
            Decision { outcome: Outcome::Valid, cause: None, claimed, bearer, limits, retry_after: None }
        }
        Err(Uncharged { cause, retry_after }) => {
            Decision { limits, retry_after, ..Decision::refused(cause, claimed, bearer) }
        }
    }
}

/// The key with the id in the text, if its secret is the right one.
fn proved_own<'s, R: Records + ?Sized>(records: &'s R, text: &KeyText<'_>) -> Found<'s> {
    // The memory that is looked up comes while the hash is computed. An unknown id costs the hash too.
    let found = records.by_id(&text.id);
    let hash = sha256_of(&[text.id.as_bytes(), text.secret]);
    match found {
        Found::Known(known) => {
            let (prefix, environment) = (known.terms.prefix().as_str(), known.terms.environment());
            // Another prefix or environment is another text, with a checksum of its own that anyone can make.
            let is_its_text = prefix == text.prefix && environment == text.environment;
            let is_own = known.entry.algorithm() == Algorithm::Own;
            if is_own && known.entry.is_proved_by(&hash) && is_its_text {
                Found::Known(known)
            } else {
                Found::Unknown
            }
        }
        other => other,
    }
}

/// The imported key with this text.
fn proved_imported<'s, R: Records + ?Sized>(records: &'s R, text: &[u8]) -> Found<'s> {
    if text.is_empty() || text.len() > MAX_CREDENTIAL {
        return Found::Unknown;
    }
    let found = records.by_hash(Algorithm::ImportedSha256, &sha256(text));
    if matches!(found, Found::Unknown) && records.has(Algorithm::ImportedSha512) {
        let cut: Hash = sha512(text).first_chunk().copied().unwrap_or_default();
        return records.by_hash(Algorithm::ImportedSha512, &cut);
    }
    found
}

/// The strictest of what is said of a key, as [`crate::standing`] orders it.
fn state(entry: &Entry, terms: &Terms, now: Moment) -> Option<Cause> {
    let fixed = entry.fixed().max(terms.fixed());
    let is_beyond = terms.outlives_bounds(entry.expires(), now);
    match fixed {
        Fixed::Decoy => return Some(Cause::Decoy),
        Fixed::Refused => return Some(Cause::OutOfBounds),
        _ if is_beyond => return Some(Cause::OutOfBounds),
        Fixed::Revoked => return Some(Cause::Revoked),
        Fixed::Disabled => return Some(Cause::Disabled),
        Fixed::Held => return Some(Cause::Held),
        Fixed::Active => {}
    }
    let ends = [entry.expires(), entry.grace(), terms.issuers_end()];
    if ends.into_iter().flatten().any(|end| end <= now) {
        return Some(Cause::Expired);
    }
    terms.not_before().is_some_and(|begin| now < begin).then_some(Cause::NotYet)
}

impl Known<'_> {
    /// The reason why the key is refused at a time, whatever the request is; `None` if it is active.
    #[must_use]
    pub fn refused_at(&self, now: Moment) -> Option<Cause> {
        state(self.entry, self.terms, now)
    }
}
