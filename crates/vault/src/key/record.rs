//! A key and its versions, as they stand inside the sealed metadata.

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};
use keyvault_core::clock::Moment;
use keyvault_core::codec::{self, Extensions, Malformed};
use keyvault_core::crypto::{DIGEST_LEN, Digest};
use keyvault_core::name::{EnvName, KeyName, Scope, TagKey};
use keyvault_core::recipe::Recipe;

use crate::store::ObjectKind;
use crate::tx::object::Object;

/// Length of a fingerprint, in bytes.
pub(crate) const FINGERPRINT_LEN: usize = 6;

/// The tag, and its value, of a key that no file gets.
const WITHHELD: (&str, &str) = ("project", "never");

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
pub enum Class {
    #[default]
    Held = 1,
    // 2 issued: reserved.
}

/// The fields stand in the order of their encoding.
#[derive(Debug, Clone, PartialEq, BorshSerialize, BorshDeserialize)]
pub struct KeyRecord {
    pub name: KeyName,
    pub class: Class,
    /// Random, for the life of the key; a new name does not change it.
    pub id: [u8; 16],
    /// Raised by each rewrite. It stands in the row.
    #[borsh(skip)]
    pub revision: u64,
    /// The variable that it is handed out as.
    pub variable: EnvName,
    /// Callers that name scopes get the key only if it carries one of them.
    pub scopes: BTreeSet<Scope>,
    pub tags: BTreeMap<TagKey, String>,
    pub note: String,
    pub created: Moment,
    /// After this it is refused.
    pub expires: Option<Moment>,
    /// How its value was generated; `None` if it came from elsewhere.
    pub recipe: Option<Recipe>,
    /// The number that the next version gets; numbers are never used twice.
    pub next_version: u32,
    /// In the order of their numbers.
    pub versions: Vec<Version>,
    pub extensions: Extensions,
}

/// The fields stand in the order of their encoding.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Version {
    /// From 1.
    pub number: u32,
    /// Where it stands in its life.
    pub state: VersionState,
    pub created: Moment,
    /// When it came into its state; of one that was replaced, when that was. Of the key's versions that were replaced, one
    /// that was replaced later has a later moment, or the same and a higher number, whatever the clock did.
    pub since: Moment,
    /// Until when a previous version is still good; of a retired one since when it is refused, if that is not `since`.
    pub grace_until: Option<Moment>,
    /// Truncated MAC of the value under a key of the vault.
    pub fingerprint: [u8; FINGERPRINT_LEN],
    /// Digest of the version's rows; `None` once the value was wiped.
    pub digest: Option<Digest>,
    /// When a change first found the version past its keeping. One at least an hour later wipes it.
    pub due: Option<Moment>,
    /// `user@host` of the maker.
    pub made_by: String,
    /// The public half, if it is a key pair.
    pub public: Option<String>,
    /// Why it was revoked, in the words of the person who revoked it.
    pub reason: String,
}

/// Where a version stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
pub enum VersionState {
    /// Made, not yet in use.
    Pending = 1,
    Current = 2,
    /// Replaced, still good until its grace ends.
    Previous = 3,
    /// Refused; kept for a rollback.
    Retired = 4,
    /// Refused for good.
    Revoked = 5,
}

impl VersionState {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Current => "current",
            Self::Previous => "previous",
            Self::Retired => "retired",
            Self::Revoked => "revoked",
        }
    }

    /// The state at a moment: a grace that is over has retired it, whether that was written down yet or not.
    pub(crate) fn at(self, grace_until: Option<Moment>, now: Moment) -> Self {
        match grace_until {
            Some(until) if self == Self::Previous && until <= now => Self::Retired,
            _ => self,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Its current version is handed out.
    Active,
    /// Past its expiry.
    Expired,
    /// It has no current version.
    Revoked,
}

impl Status {
    pub(crate) fn of(has_current: bool, expired: bool) -> Self {
        match (has_current, expired) {
            (false, _) => Self::Revoked,
            (true, true) => Self::Expired,
            (true, false) => Self::Active,
        }
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl KeyRecord {
    /// A key without a version.
    #[must_use]
    pub fn new(id: [u8; 16], name: KeyName, variable: EnvName, created: Moment) -> Self {
        Self {
            class: Class::Held,
            id,
            revision: 0,
            name,
            variable,
            scopes: BTreeSet::new(),
            tags: BTreeMap::new(),
            note: String::new(),
            created,
            expires: None,
            recipe: None,
            next_version: 1,
            versions: Vec::new(),
            extensions: Extensions::default(),
        }
    }

    /// Whether nothing differs but how often they were rewritten, and under which root.
    pub(crate) fn same_but_sealing(&self, other: &Self) -> bool {
        let bare = |key: &Self| {
            let mut bare = Self { revision: 0, ..key.clone() };
            for version in &mut bare.versions {
                version.fingerprint = [0; FINGERPRINT_LEN];
                version.digest = version.digest.map(|_| [0; DIGEST_LEN]);
            }
            bare
        };
        bare(self) == bare(other)
    }

    /// Whether there is a version that a rollback could make the current one.
    #[must_use]
    pub fn may_roll_back(&self) -> bool {
        let back = |version: &Version| {
            matches!(version.state, VersionState::Previous | VersionState::Retired)
                && version.digest.is_some()
        };
        self.versions.iter().any(back)
    }

    #[must_use]
    pub fn current(&self) -> Option<&Version> {
        self.versions.iter().find(|version| version.state == VersionState::Current)
    }

    /// Whether its end has come, which refuses every version of it.
    #[must_use]
    pub fn expired(&self, now: Moment) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    #[must_use]
    pub fn status(&self, now: Moment) -> Status {
        Status::of(self.current().is_some(), self.expired(now))
    }

    /// The version with the highest number whose grace lasts: they were made in the order of their numbers.
    #[must_use]
    pub fn previous(&self, now: Moment) -> Option<&Version> {
        let good = |version: &&Version| version.state_at(now) == VersionState::Previous;
        self.versions.iter().filter(good).max_by_key(|version| version.number)
    }

    /// Whether its owner said that no file gets it.
    #[must_use]
    pub fn is_withheld(&self) -> bool {
        self.tags.iter().any(|(tag, value)| (tag.as_str(), value.as_str()) == WITHHELD)
    }

    /// Whether it has a value to give: one that is revoked has none until it is rotated.
    pub(crate) fn has_value(&self, now: Moment) -> bool {
        self.current().or_else(|| self.previous(now)).is_some()
    }

    #[must_use]
    pub fn version(&self, number: u32) -> Option<&Version> {
        self.versions.iter().find(|version| version.number == number)
    }

    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    pub fn decode(bytes: &[u8], revision: u64) -> Result<Self, Malformed> {
        codec::decode::<Self>(bytes)?.complete(revision)
    }

    /// Numbers are never used twice, and one version at most is in use.
    fn numbers_hold(&self) -> bool {
        let current = self.versions.iter().filter(|version| version.state == VersionState::Current);
        current.count() <= 1
            && self.versions.is_sorted_by(|left, right| left.number < right.number)
            && self.versions.first().is_none_or(|first| first.number > 0)
            && self.versions.last().is_none_or(|last| last.number < self.next_version)
    }
}

impl Object for KeyRecord {
    const KIND: ObjectKind = ObjectKind::Key;

    fn name(&self) -> &[u8] {
        self.name.as_str().as_bytes()
    }

    fn complete(self, revision: u64) -> Result<Self, Malformed> {
        if self.numbers_hold() { Ok(Self { revision, ..self }) } else { Err(Malformed) }
    }

    fn extensions(&self) -> &Extensions {
        &self.extensions
    }
}

impl Version {
    #[must_use]
    pub fn state_at(&self, now: Moment) -> VersionState {
        self.state.at(self.grace_until, now)
    }

    /// When it came into its state, as people are told and its keeping is counted.
    #[must_use]
    pub fn in_state_since(&self) -> Moment {
        match self.state {
            VersionState::Retired => self.grace_until.unwrap_or(self.since),
            _ => self.since,
        }
    }

    /// Until when it is still good, if it is in its grace.
    #[must_use]
    pub fn good_until(&self) -> Option<Moment> {
        self.grace_until.filter(|_| self.state == VersionState::Previous)
    }

    /// The fingerprint as people see it.
    #[must_use]
    pub fn fingerprint_hex(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuzz_row_scopes_or_tags_out_of_order_or_repeated_are_malformed()
    -> Result<(), keyvault_core::name::NameError> {
        let key = KeyRecord {
            revision: 1,
            scopes: ["1", "2"].into_iter().map(Scope::parse).collect::<Result<_, _>>()?,
            tags: BTreeMap::from([
                (TagKey::parse("3")?, String::new()),
                (TagKey::parse("4")?, String::new()),
            ]),
            ..KeyRecord::new([0; 16], KeyName::parse("name")?, EnvName::parse("NAME")?, Moment(0))
        };
        let with = |from: &[u8], to: &[u8]| {
            let mut bytes = key.encode();
            for byte in &mut bytes {
                let place = from.iter().position(|digit| digit == byte);
                *byte = place.and_then(|place| to.get(place)).copied().unwrap_or(*byte);
            }
            KeyRecord::decode(&bytes, 1)
        };
        assert_eq!(with(b"", b""), Ok(key.clone()));
        for (from, to) in [(b"12", b"21"), (b"12", b"11"), (b"34", b"43"), (b"34", b"33")] {
            assert_eq!(with(from, to), Err(Malformed), "{from:?} {to:?}");
        }
        Ok(())
    }
}
