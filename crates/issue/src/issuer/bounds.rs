//! One record of an issuer against its bounds. Scopes and limits are no reason to refuse it: of those a verifier takes
//! what record and bounds both allow ([`crate::standing`]).

use crate::record::{Client, IssuerEntry, KeyRecord};
use crate::set::{Found, LoadedSet};

/// The bound that a record is out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Beyond {
    #[error("an issuer may not import keys")]
    Imported,
    #[error("the key has a prefix that the API never had")]
    Prefix,
    #[error("the key has role {0}, which the issuer may not give")]
    Role(u32),
    #[error("the key belongs to a client that is not there, or that the issuer may not give keys to")]
    Client,
    #[error("the client's name does not begin as the issuer's clients do")]
    ClientName,
    #[error("the key has no expiry")]
    NoExpiry,
    #[error("the key's expiry lies further ahead than the issuer may set it")]
    Life,
}

/// Holds a key of an issuer's set against the bounds that need no clock; gives its client, if it has one.
pub fn admit<'a>(
    key: &KeyRecord,
    entry: &IssuerEntry,
    owner: &'a LoadedSet,
    set: &'a LoadedSet,
) -> Result<Option<&'a Client>, Beyond> {
    if key.proof.is_imported() {
        return Err(Beyond::Imported);
    }
    if owner.api().is_none_or(|api| !api.prefixes.has(key.prefix.as_str())) {
        return Err(Beyond::Prefix);
    }
    if let Some(role) = key.roles.iter().find(|role| !entry.bounds.roles.has(role)) {
        return Err(Beyond::Role(*role));
    }
    if key.expires.is_none() {
        return Err(Beyond::NoExpiry);
    }
    let Some(id) = key.client else { return Ok(None) };
    let found = if id.mark() == entry.mark {
        set.client(&id)
    } else if entry.bounds.owners_clients.has(&id) {
        owner.client(&id)
    } else {
        Found::Absent
    };
    let Found::Record(client) = found else { return Err(Beyond::Client) };
    if id.mark() == entry.mark && !client.name.as_str().starts_with(&*entry.bounds.client_prefix) {
        return Err(Beyond::ClientName);
    }
    Ok(Some(client))
}
