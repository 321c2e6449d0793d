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
    /// The person or team that answers for it; may be empty.
    pub owner: String,
    /// A name for people, without a grammar; may be empty.
    pub display_name: String,
    /// The kind of value, by a number that later versions give; 0 says nothing. A number that is not known here is
    /// kept, and the value is treated as any other.
    pub value_kind: u8,
    /// Its value is no secret, only sealed like one.
    pub public: bool,
    /// Set while its owner does not want it to be handed out.
    pub disabled: Option<Disabled>,
    /// Set if it looks real and is never right.
    pub decoy: Option<Decoy>,
    /// How long a version is to be current, in milliseconds.
    pub rotate_every: Option<u64>,
    /// How long before its end, or before it is to be rotated, that is told, in milliseconds.
    pub warn: Option<u64>,
    /// The keys that are rotated with it, by the id of that unit.
    pub unit: Option<[u8; 16]>,
    /// A rotation at the provider that has not ended.
    pub rotation: Option<Rotation>,
    /// The number of the change that wrote the record.
    pub last_change: u64,
    /// The number that the next version gets; numbers are never used twice.
    pub next_version: u32,
    /// In the order of their numbers.
    pub versions: Vec<Version>,
    pub extensions: Extensions,
}

#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Disabled {
    pub since: Moment,
    /// Why, in the words of the person who disabled it; may be empty.
    pub reason: String,
}

/// The effects of reading a decoy. A grant never tells that its key is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Decoy {
    pub alarm: Alarm,
    pub on_trip: OnTrip,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
pub enum Alarm {
    /// The read is recorded like any other.
    None = 0,
    /// The alarm that the vault's policy names is raised.
    Raised = 1,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
pub enum OnTrip {
    Nothing = 0,
    /// Sessions are ended.
    Lock = 1,
}

/// A rotation that a program at the provider takes part in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Rotation {
    pub mode: RotationMode,
    pub step: RotationStep,
    /// Random, for the life of the attempt.
    pub attempt: [u8; 16],
    /// The number of the pending version.
    pub version: u32,
    /// After this it has failed.
    pub deadline: Moment,
    pub outcome: RotationOutcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
pub enum RotationMode {
    /// The provider is given the value.
    Set = 1,
    /// The provider makes the value.
    Mint = 2,
}

/// The last step that was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
pub enum RotationStep {
    /// The pending version is stored, or for [`RotationMode::Mint`] its number is.
    Store = 1,
    /// The provider is asked.
    Ask = 2,
    Verify = 3,
    /// The version before is retired at the provider.
    Retire = 4,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
pub enum RotationOutcome {
    Open = 0,
    Failed = 1,
    /// The provider may have made a value that was lost on the way. It is not asked again by itself.
    Unknown = 2,
}

/// The fields stand in the order of their encoding.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Version {
    /// From 1.
    pub number: u32,
    /// Where it stands in its life.
    pub state: VersionState,
    pub origin: VersionOrigin,
    pub created: Moment,
    /// The number of the change that made it.
    pub created_change: u64,
    /// When it came into its state; of one that was replaced, when that was.
    pub since: Moment,
    /// The number of that change. By it the key's versions were replaced one after another, whatever the clock did.
    pub since_change: u64,
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

/// The source of a version's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
pub enum VersionOrigin {
    /// By the key's recipe.
    Generated = 1,
    /// The user supplied the value.
    Given = 2,
    /// Its provider made it in a rotation.
    Minted = 3,
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

/// Of a key, or of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Its current version is handed out.
    Active,
    /// Its owner has disabled it: nothing reads it until it is enabled again.
    Disabled,
    /// Past its expiry.
    Expired,
    /// It has no current version.
    Revoked,
}

impl Status {
    /// A grant of a disabled key has no version, so that word comes first.
    pub(crate) fn of(has_current: bool, disabled: bool, expired: bool) -> Self {
        match (disabled, has_current, expired) {
            (true, _, _) => Self::Disabled,
            (false, false, _) => Self::Revoked,
            (false, true, true) => Self::Expired,
            (false, true, false) => Self::Active,
        }
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
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
            owner: String::new(),
            display_name: String::new(),
            value_kind: 0,
            public: false,
            disabled: None,
            decoy: None,
            rotate_every: None,
            warn: None,
            unit: None,
            rotation: None,
            last_change: 0,
            next_version: 1,
            versions: Vec::new(),
            extensions: Extensions::default(),
        }
    }

    /// Returns `true` if nothing differs but how often they were rewritten, and under which root.
    pub(crate) fn same_but_sealing(&self, other: &Self) -> bool {
        let bare = |key: &Self| {
            let mut bare = Self { revision: 0, last_change: 0, ..key.clone() };
            for version in &mut bare.versions {
                version.fingerprint = [0; FINGERPRINT_LEN];
                version.digest = version.digest.map(|_| [0; DIGEST_LEN]);
            }
            bare
        };
        bare(self) == bare(other)
    }

    /// Returns `true` if there is a version that a rollback could make the current one.
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

    /// Returns `true` if its end has come, which refuses every version of it.
    #[must_use]
    pub fn expired(&self, now: Moment) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    #[must_use]
    pub fn status(&self, now: Moment) -> Status {
        Status::of(self.current().is_some(), self.disabled.is_some(), self.expired(now))
    }

    /// The version with the highest number whose grace lasts: they were made in the order of their numbers.
    #[must_use]
    pub fn previous(&self, now: Moment) -> Option<&Version> {
        let good = |version: &&Version| version.state_at(now) == VersionState::Previous;
        self.versions.iter().filter(good).max_by_key(|version| version.number)
    }

    /// Returns `true` if its owner said that no file gets it.
    #[must_use]
    pub fn is_withheld(&self) -> bool {
        self.tags.iter().any(|(tag, value)| (tag.as_str(), value.as_str()) == WITHHELD)
    }

    /// True if it has a value to give: one that is revoked has none until it is rotated, a disabled one none until it is
    /// enabled.
    pub(crate) fn has_value(&self, now: Moment) -> bool {
        self.disabled.is_none() && self.current().or_else(|| self.previous(now)).is_some()
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
            && self.rotation.is_none_or(|rotation| rotation.version < self.next_version)
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
    /// A version that came into its state as it was made.
    #[must_use]
    pub fn new(number: u32, state: VersionState, origin: VersionOrigin, at: (Moment, u64)) -> Self {
        let (created, created_change) = at;
        Self {
            number,
            state,
            origin,
            created,
            created_change,
            since: created,
            since_change: created_change,
            grace_until: None,
            fingerprint: [0; FINGERPRINT_LEN],
            digest: None,
            due: None,
            made_by: String::new(),
            public: None,
            reason: String::new(),
        }
    }

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
