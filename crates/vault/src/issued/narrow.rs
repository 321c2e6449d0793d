//! The terms that are left to an id which a rotation replaced, after a change of the key.

use keyvault_core::clock::Moment;
use keyvault_issue::record::{
    Ascending, Client, Conditions, Id, KeyRecord, Limit, Network, Period, Quota, Replaced, Sorted,
};
use keyvault_issue::set::Found;

use super::mint::boxed;
use super::view::Loaded;

/// A former within what it had and what the key has now. It keeps its client: another one could be wider. If nothing is
/// within both, its grace ends.
pub(super) fn former(one: &Loaded, former: &KeyRecord, now_has: &KeyRecord, now: Moment) -> KeyRecord {
    let own = Terms::of(one, former);
    let other = Terms::of(one, now_has);
    let conditions = own.within(&other);
    let expires = former.expires.into_iter().chain(now_has.expires).min();
    let not_before = former.not_before.max(now_has.not_before);
    let begins = expires.is_none_or(|expires| not_before.is_none_or(|begin| begin < expires));
    let Some(conditions) = conditions.filter(|_| begins) else { return graced_until(former, now) };
    KeyRecord {
        scopes: Ascending::of(former.scopes.iter().copied().filter(|number| now_has.scopes.has(number))),
        roles: Ascending::of(former.roles.iter().copied().filter(|number| now_has.roles.has(number))),
        expires,
        not_before,
        conditions: boxed(conditions),
        ..former.clone()
    }
}

/// The former with a grace that ends no later than this.
pub(super) fn graced_until(former: &KeyRecord, end: Moment) -> KeyRecord {
    let earlier = |replaced: Replaced| Replaced { grace_until: replaced.grace_until.min(end), ..replaced };
    KeyRecord { replaced: former.replaced.map(earlier), ..former.clone() }
}

/// Conditions of a key, and those of its client, whose limits hold where the key has none of the name or period.
struct Terms<'a> {
    own: Conditions,
    client: Option<&'a Conditions>,
}

impl<'a> Terms<'a> {
    fn of(one: &'a Loaded, key: &KeyRecord) -> Self {
        let found = |id: &Id| match one.set().client(id) {
            Found::Record(client) => Some(client),
            Found::Newer | Found::Absent => None,
        };
        let client: Option<&Client> = key.client.as_ref().and_then(found);
        Self {
            own: key.conditions.as_deref().cloned().unwrap_or_default(),
            client: client.and_then(|client| client.conditions.as_deref()),
        }
    }

    /// `None` if no request would meet both.
    fn within(&self, other: &Self) -> Option<Conditions> {
        let (left, right) = (&self.own, &other.own);
        Some(Conditions {
            limits: self.limits(other),
            quotas: self.quotas(other),
            networks: both(&left.networks, &right.networks, network_has)?,
            origins: both(&left.origins, &right.origins, |left, right| left.eq_ignore_ascii_case(right))?,
            methods: both(&left.methods, &right.methods, |left, right| left == right)?,
            paths: both(&left.paths, &right.paths, |left, right| path_has(left, right))?,
            apps: both(&left.apps, &right.apps, |left, right| left == right)?,
        })
    }

    fn limits(&self, other: &Self) -> Ascending<Limit> {
        let named = self.own.limits.iter().chain(other.own.limits.iter()).map(|limit| &limit.name);
        let strictest = named.filter_map(|name| {
            let all = [self.limit(name), other.limit(name)].into_iter().flatten().cloned();
            all.reduce(|left, right| left.strictest(&right))
        });
        Ascending::of(strictest)
    }

    fn limit(&self, name: &<Limit as Sorted>::Key) -> Option<&Limit> {
        self.own.limits.find(name).or_else(|| self.client?.limits.find(name))
    }

    fn quotas(&self, other: &Self) -> Ascending<Quota> {
        let periods = self.own.quotas.iter().chain(other.own.quotas.iter()).map(|quota| quota.period);
        let smallest = periods.filter_map(|period| {
            let all = [self.quota(period), other.quota(period)].into_iter().flatten().copied();
            all.min_by_key(|quota| quota.amount)
        });
        Ascending::of(smallest)
    }

    fn quota(&self, period: Period) -> Option<&Quota> {
        self.own.quotas.find(&period).or_else(|| self.client?.quotas.find(&period))
    }
}

/// The elements of either list that are within one of the other; an empty list restricts nothing. `None` if none is.
fn both<T: Sorted + Clone>(
    left: &Ascending<T>,
    right: &Ascending<T>,
    has: impl Fn(&T, &T) -> bool,
) -> Option<Ascending<T>> {
    if left.is_empty() || right.is_empty() {
        return Some(Ascending::of(left.iter().chain(right.iter()).cloned()));
    }
    let inside = |list: &Ascending<T>, one: &T| list.iter().any(|wide| has(wide, one));
    let kept = left.iter().filter(|one| inside(right, one));
    let kept = kept.chain(right.iter().filter(|one| inside(left, one))).cloned();
    Some(Ascending::of(kept)).filter(|kept| !kept.is_empty())
}

fn network_has(wide: &Network, narrow: &Network) -> bool {
    let same_first =
        |left: u128, right: u128, behind: u32| (left ^ right).checked_shr(behind).unwrap_or(0) == 0;
    match (wide, narrow) {
        (Network::V4(left, bits), Network::V4(right, narrow)) => {
            let (left, right) = (u32::from_be_bytes(*left), u32::from_be_bytes(*right));
            bits <= narrow && same_first(left.into(), right.into(), 32_u32.saturating_sub(u32::from(*bits)))
        }
        (Network::V6(left, bits), Network::V6(right, narrow)) => {
            let (left, right) = (u128::from_be_bytes(*left), u128::from_be_bytes(*right));
            bits <= narrow && same_first(left, right, 128_u32.saturating_sub(u32::from(*bits)))
        }
        _ => false,
    }
}

/// A pattern that ends with `/*` has all that is below it.
fn path_has(wide: &str, narrow: &str) -> bool {
    let below = wide.strip_suffix('*').filter(|above| above.ends_with('/'));
    wide == narrow
        || below.is_some_and(|above| narrow.strip_prefix(above).is_some_and(|rest| !rest.is_empty()))
}
