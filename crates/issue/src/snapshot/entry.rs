use keyvault_core::clock::Moment;
use keyvault_core::crypto::Hash;
use subtle::ConstantTimeEq;

use crate::record::{Id, KeyRecord, Proof};
use crate::standing::Standing;

/// One key, in one line of the cache.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub struct Entry {
    pub(super) id: Id,
    /// Of SHA-512 the first half: as hard to find a text for as a SHA-256.
    pub(super) hash: Hash,
    expires: Time,
    grace: Time,
    /// Place in the snapshot's list.
    pub(super) terms: u32,
    /// By its own record.
    own: Fixed,
    /// By the owner's override and by holds.
    above: Fixed,
    pub(super) algorithm: Algorithm,
}

const _: () = assert!(size_of::<Entry>() == 64);

/// The proof that a key's text is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Algorithm {
    /// Nothing: a revoked key that keeps no hash.
    None,
    /// SHA-256 of id and secret.
    Own,
    /// SHA-256 of the whole text.
    ImportedSha256,
    /// SHA-512 of the whole text.
    ImportedSha512,
}

/// Facts that hold for a key at any time, from the mildest to the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Fixed {
    Active,
    Held,
    Disabled,
    Revoked,
    /// The record is out of its issuer's bounds, or its client is not there.
    Refused,
    Decoy,
}

/// Milliseconds since 1970 in 48 bits, up to the year 10889; all ones for none. A later one is cut to that, an earlier one to
/// 1970: both narrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Time([u8; 6]);

const LATEST: u64 = (1 << 48) - 2;

impl Time {
    fn of(moment: Option<Moment>) -> Self {
        let millis = moment.map_or(LATEST + 1, |moment| u64::try_from(moment.0).unwrap_or(0).min(LATEST));
        Self(millis.to_le_bytes().first_chunk().copied().unwrap_or_default())
    }

    fn moment(self) -> Option<Moment> {
        let mut bytes = [0; 8];
        for (place, byte) in bytes.iter_mut().zip(self.0) {
            *place = byte;
        }
        let millis = u64::from_le_bytes(bytes);
        (millis <= LATEST).then(|| Moment(i64::try_from(millis).unwrap_or(0)))
    }
}

impl Fixed {
    pub(super) fn of(standing: Standing) -> Self {
        match standing {
            Standing::Active | Standing::NotYet | Standing::Expired => Self::Active,
            Standing::Held => Self::Held,
            Standing::Disabled => Self::Disabled,
            Standing::Revoked => Self::Revoked,
            Standing::Refused(_) => Self::Refused,
            Standing::Decoy => Self::Decoy,
        }
    }
}

impl Entry {
    /// A place in a page that has no key.
    pub(super) const EMPTY: Self = Self {
        id: Id::NONE,
        hash: [0; 32],
        expires: Time([0; 6]),
        grace: Time([0; 6]),
        terms: u32::MAX,
        own: Fixed::Refused,
        above: Fixed::Refused,
        algorithm: Algorithm::None,
    };

    pub(super) fn is_empty(&self) -> bool {
        self.id == Id::NONE
    }

    pub(super) fn of(key: &KeyRecord, own: Fixed, above: Fixed, terms: u32) -> Self {
        let (algorithm, hash) = match &key.proof {
            Proof::None => (Algorithm::None, [0; 32]),
            Proof::Own(hash) => (Algorithm::Own, *hash),
            Proof::ImportedSha256(hash) => (Algorithm::ImportedSha256, *hash),
            Proof::ImportedSha512(hash) => {
                (Algorithm::ImportedSha512, hash.first_chunk().copied().unwrap_or_default())
            }
        };
        let grace = key.replaced.map(|replaced| replaced.grace_until);
        Self {
            id: key.id,
            hash,
            expires: Time::of(key.expires),
            grace: Time::of(grace),
            terms,
            own,
            above,
            algorithm,
        }
    }

    pub(super) fn with_above(&self, above: Fixed) -> Self {
        Self { above, ..self.clone() }
    }

    #[must_use]
    pub fn id(&self) -> Id {
        self.id
    }

    #[must_use]
    pub fn expires(&self) -> Option<Moment> {
        self.expires.moment()
    }

    /// The end of its grace, if another key took its place.
    #[must_use]
    pub fn grace(&self) -> Option<Moment> {
        self.grace.moment()
    }

    /// By its record, overrides, and holds; without its client.
    #[must_use]
    pub fn fixed(&self) -> Fixed {
        self.own.max(self.above)
    }

    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// True if the hash is the one of the record, in time that does not depend on where they differ.
    #[must_use]
    pub fn is_proved_by(&self, hash: &Hash) -> bool {
        self.algorithm != Algorithm::None && bool::from(self.hash.ct_eq(hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_kept_to_the_millisecond_and_cut_where_that_narrows() {
        for (moment, kept) in [
            (None, None),
            (Some(Moment(0)), Some(Moment(0))),
            (Some(Moment(1_900_000_000_123)), Some(Moment(1_900_000_000_123))),
            (Some(Moment(-5)), Some(Moment(0))),
            (Some(Moment(i64::MAX)), Some(Moment((1 << 48) - 2))),
        ] {
            assert_eq!(Time::of(moment).moment(), kept);
        }
    }
}
