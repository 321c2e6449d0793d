//! Sets of others than the owner, and the bounds within which a verifier takes them and their records.
//!
//! An issuer decides alone what is in its set, and can write the file. So nothing that it says about time, number, or size
//! counts against what the owner signed, and every judgment is made on the owner's words as of now.

mod bounds;

pub use bounds::{Beyond, admit};

use keyvault_core::clock::Moment;
use keyvault_core::crypto::Hash;

use crate::ApiId;
use crate::record::{Client, Id, IssuerEntry, IssuerState, KeyRecord};
use crate::set::{
    Found, Header, Kind, Listed, LoadedSet, SetError, Signature, SignedHeader, SignerKind, VerifiedHeader,
    VerifiedList,
};

/// How far the number of an issuer's header may be above the listed one, 0 if none is. The owner's own next header has a
/// number above it, so that an issuer cannot use the numbers up, and a verifier has pinned none that the owner cannot pass.
pub const MAX_RISE: u64 = 1 << 32;

/// A header that this verifier took before, from its pin or from memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pinned {
    pub number: u64,
    pub hash: Hash,
}

impl Pinned {
    #[must_use]
    pub fn of(header: &VerifiedHeader) -> Self {
        Self { number: header.header().number, hash: header.hash() }
    }
}

/// Takes the header of an issuer's set: signed by the issuer or the owner, not below what the owner listed and this
/// verifier pinned, and within the bounds on numbers. That is judged before a page of the set is read.
pub fn accept(
    list: &VerifiedList,
    owner: &LoadedSet,
    signed: &SignedHeader,
    pinned: Option<&Pinned>,
    now: Moment,
) -> Result<VerifiedHeader, SetError> {
    let api = owner.api().ok_or(SetError::NoIssuer)?;
    let entry = api.issuers.find(&signed.unverified()?.set).ok_or(SetError::NoIssuer)?;
    accept_by(list, (&api.id, entry), signed, pinned, now)
}

/// [`accept`] for the issuer itself, which has its entry and not the API's record.
pub fn accept_by(
    list: &VerifiedList,
    (api, entry): (&ApiId, &IssuerEntry),
    signed: &SignedHeader,
    pinned: Option<&Pinned>,
    now: Moment,
) -> Result<VerifiedHeader, SetError> {
    if signed.unverified()?.set != entry.set {
        return Err(SetError::NoIssuer);
    }
    let verified = Signature::verify(list, api, Some(&entry.signer), signed)?;
    judge(list, entry, &verified.header, &verified.hash, pinned, now)?;
    Ok(VerifiedHeader::of_issuer(verified, entry.mark))
}

/// Holds a set that was taken before against the owner's list and bounds of now.
pub fn still_holds(
    list: &VerifiedList,
    owner: &LoadedSet,
    set: &LoadedSet,
    now: Moment,
) -> Result<(), SetError> {
    let api = owner.api().ok_or(SetError::NoIssuer)?;
    let (header, hash) = (set.header().header(), set.header().hash());
    let entry = api.issuers.find(&header.set).ok_or(SetError::NoIssuer)?;
    if header.identity != list.origin().identity {
        return Err(SetError::OtherVault);
    }
    if header.api != api.id {
        return Err(SetError::OtherApi);
    }
    if header.signer.kind == SignerKind::Issuer && header.signer.id != entry.signer.id() {
        return Err(SetError::Origin);
    }
    judge(list, entry, header, &hash, Some(&Pinned::of(set.header())), now)
}

fn judge(
    list: &VerifiedList,
    entry: &IssuerEntry,
    header: &Header,
    hash: &Hash,
    pinned: Option<&Pinned>,
    now: Moment,
) -> Result<(), SetError> {
    if let Some(field) = header.extensions.first() {
        return Err(SetError::HeaderNewer(field));
    }
    if let Some(field) = entry.extensions.must_be_known() {
        return Err(SetError::IssuerNewer(field));
    }
    let listed = list.set(&header.set);
    let is_listed = listed.is_some_and(|listed| (listed.number, listed.header) == (header.number, *hash));
    match entry.state {
        IssuerState::Ended => return Err(SetError::IssuerEnded),
        // The owner chose these keys; a higher number that this verifier saw does not count against that.
        IssuerState::KeysKept if is_listed => {}
        IssuerState::KeysKept => return Err(SetError::NotListed),
        IssuerState::InForce => {
            let floors = listed.map(|listed| (listed.number, listed.header)).into_iter();
            for (number, seen) in floors.chain(pinned.map(|pinned| (pinned.number, pinned.hash))) {
                if header.number < number {
                    return Err(SetError::Older);
                }
                if header.number == number && *hash != seen {
                    return Err(SetError::Forked);
                }
            }
            if header.signer.kind == SignerKind::Epoch && !is_listed {
                return Err(SetError::NotListed);
            }
            is_near(listed, header)?;
            // Judged by our clock: the issuer can write any time into a header.
            let is_past = entry.ends.is_some_and(|ends| ends <= now);
            if is_past && !is_listed && pinned.is_none_or(|pinned| pinned.hash != *hash) {
                return Err(SetError::IssuerPast);
            }
        }
    }
    if header.kinds.iter().any(|count| !matches!(count.kind, Kind::Clients | Kind::Keys)) {
        return Err(SetError::Shape);
    }
    if header.count(Kind::Keys).1 > entry.bounds.keys {
        return Err(SetError::TooManyKeys);
    }
    if header.count(Kind::Clients).1 > entry.bounds.clients {
        return Err(SetError::TooManyClients);
    }
    Ok(())
}

fn is_near(listed: Option<&Listed>, header: &Header) -> Result<(), SetError> {
    let floor = listed.map_or(0, |listed| listed.number);
    if header.number > floor.saturating_add(MAX_RISE) { Err(SetError::Number) } else { Ok(()) }
}

/// The new floor of an issuer's set, for the owner's change to list: only of a set that is above the old one, though not
/// too far, and that uses no id again. Otherwise the old floor stays, and the change goes through without.
pub fn raise(
    listed: Option<&Listed>,
    before: Option<&LoadedSet>,
    set: &LoadedSet,
    now: Moment,
) -> Result<Listed, SetError> {
    let header = set.header().header();
    if listed.is_some_and(|listed| header.number <= listed.number) {
        return Err(SetError::Older);
    }
    is_near(listed, header)?;
    if let Some(id) = before.and_then(|before| reused(before, set, now)) {
        return Err(SetError::Reused(id));
    }
    Ok(Listed { set: header.set, number: header.number, header: set.header().hash() })
}

/// The first id that means another key or client in the next generation of a set, or is not revoked in it any more.
///
/// A revoked key stays until the expiry that it was listed with, and a revoked client for ever. A record that this version
/// refuses does not keep it: the next listing would know nothing of it.
#[must_use]
pub fn reused(before: &LoadedSet, next: &LoadedSet, now: Moment) -> Option<Id> {
    let key = before.keys().find(|old| !is_kept(old, next, now)).map(|old| old.id);
    key.or_else(|| before.clients().find(|old| !is_client_kept(old, next)).map(|old| old.id)).or_else(|| {
        let keys = next.keys().map(|key| key.id).filter(|id| is_absent(&before.key(id)));
        let clients = next.clients().map(|client| client.id).filter(|id| is_absent(&before.client(id)));
        let mut of_other_kind = keys
            .filter(|id| !is_absent(&before.client(id)))
            .chain(clients.filter(|id| !is_absent(&before.key(id))));
        of_other_kind.next()
    })
}

fn is_kept(old: &KeyRecord, next: &LoadedSet, now: Moment) -> bool {
    // None is the latest expiry.
    let is_shorter = |new: &KeyRecord| {
        new.expires.is_some_and(|expires| old.expires.is_none_or(|before| expires < before))
    };
    match next.key(&old.id) {
        // It would be dropped earlier.
        Found::Record(new) if new.state.is_revoked() => !is_shorter(new),
        Found::Record(new) => !old.state.is_revoked() && old.proof == new.proof,
        Found::Newer | Found::Absent => {
            !old.state.is_revoked() || old.expires.is_some_and(|expires| expires <= now)
        }
    }
}

fn is_client_kept(old: &Client, next: &LoadedSet) -> bool {
    !old.state.is_revoked() || matches!(next.client(&old.id), Found::Record(new) if new.state.is_revoked())
}

fn is_absent<T>(found: &Found<'_, T>) -> bool {
    matches!(found, Found::Absent)
}
