//! The interface to the one that decides about keys.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use keyvault_issue::decide::Costs;
use keyvault_issue::query::Query;

/// Decides about keys. The gateway keeps no verdict: it asks for each request.
pub trait Judge: Send + Sync {
    /// Decides on a request, and charges its cost if it is allowed.
    fn decide(&self, asked: &Asked<'_>) -> Verdict;

    /// False once the key is refused: asked again and again while a stream is open.
    fn is_in_force(&self, key_id: &str) -> bool;

    /// The reason for which no key can be judged at present.
    fn unready(&self) -> Option<&'static str>;
}

/// A request as far as the verdict depends on it.
#[derive(Debug)]
pub struct Asked<'a> {
    pub credential: &'a [u8],
    pub network: IpAddr,
    pub origin: Option<&'a str>,
    pub method: &'a str,
    pub path: &'a str,
    pub needs: &'a Query,
    pub costs: &'a Costs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    Valid,
    /// No such key, or another secret.
    NotFound,
    /// From a network, origin, or app that the key is not for, or to a path or by a method.
    Forbidden,
    InsufficientPermissions,
    UsageExceeded,
    RateLimited,
    Disabled,
    Expired,
    Revoked,
    /// The sets of keys are not confirmed.
    Unavailable,
}

/// An answer about a request.
#[derive(Debug, Clone)]
pub struct Verdict {
    pub outcome: Outcome,
    /// Of a key whose secret was proved.
    pub key: Option<Arc<Known>>,
    pub limits: Vec<LimitState>,
    /// Of a request beyond a limit or quota.
    pub retry_after: Option<Duration>,
}

/// Facts about a key that its bearer proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub id: Box<str>,
    pub client: Option<Box<str>>,
    /// Divided by spaces.
    pub scopes: Box<str>,
}

/// A limit after the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitState {
    pub name: Box<str>,
    pub quota: u64,
    pub window: Duration,
    pub remaining: u64,
    /// Until the whole quota is there again.
    pub reset: Duration,
}

impl Outcome {
    /// A word for logs, metrics, and problem documents.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::NotFound => "not-found",
            Self::Forbidden => "forbidden",
            Self::InsufficientPermissions => "insufficient-permissions",
            Self::UsageExceeded => "usage-exceeded",
            Self::RateLimited => "rate-limited",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Unavailable => "unavailable",
        }
    }
}
