//! Sets of others than the owner, and the bounds within which a verifier takes them and their records.
//!
//! An issuer decides alone what is in its set, and can write the file. So nothing that it says about time, number, or size
//! counts against what the owner signed, and every judgment is made on the owner's words as of now.

mod bounds;

pub use bounds::{Beyond, admit};

use keyvault_core::clock::Moment;
use keyvault_core::crypto::Hash;

use crate::record::{Id, IssuerEntry, IssuerState, KeyRecord};
use crate::set::{
    Found, Header, Kind, Listed, LoadedSet, SetError, Signature, SignedHeader, SignerKind, VerifiedHeader,
    VerifiedList,
};

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
    let verified = Signature::verify(list, &api.id, Some(&entry.signer), signed)?;
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

/// The new floor of an issuer's set, for the owner's change to list: only of a set that is above the old one, and that
/// uses no id again. Otherwise the old floor stays, and the change goes through without.
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
    if let Some(id) = before.and_then(|before| reused(before, set, now)) {
        return Err(SetError::Reused(id));
    }
    Ok(Listed { set: header.set, number: header.number, header: set.header().hash() })
}

/// The first id that means another key in the next generation of a set, or is not revoked in it any more.
#[must_use]
pub fn reused(before: &LoadedSet, next: &LoadedSet, now: Moment) -> Option<Id> {
    let is_over = |key: &KeyRecord| key.expires.is_some_and(|expires| expires <= now);
    before.keys().find_map(|old| {
        let kept = match next.key(&old.id) {
            Found::Record(new) if new.state.is_revoked() => true,
            Found::Record(new) => !old.state.is_revoked() && old.proof == new.proof,
            // It is refused.
            Found::Newer => true,
            Found::Absent => !old.state.is_revoked() || is_over(old),
        };
        (!kept).then_some(old.id)
    })
}
