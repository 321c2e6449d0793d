//! A key as a chooser sees it, made from a held key's record or from a grant.

use std::collections::BTreeSet;
use std::rc::Rc;

use keyvault_core::clock::Moment;
use keyvault_core::name::{EnvName, KeyName, Scope};

use crate::key::record::{KeyRecord, Status, VersionState};
use crate::token::grant::Grant;

/// A key of a [`KeySource`](super::KeySource).
#[derive(Debug)]
pub struct KeyView(pub(crate) Record);

#[derive(Debug)]
pub(crate) enum Record {
    Held(Box<KeyRecord>),
    /// A grant has only the versions that are good.
    Granted(Rc<Grant>),
}

/// The life of a version, as far as a record and a grant both tell it.
#[derive(Debug, Clone, Copy)]
struct Life {
    number: u32,
    state: VersionState,
    grace_until: Option<Moment>,
}

impl Life {
    fn state_at(self, now: Moment) -> VersionState {
        self.state.at(self.grace_until, now)
    }
}

impl KeyView {
    /// Random, for the life of the key; no other key ever has it.
    #[must_use]
    pub fn id(&self) -> &[u8; 16] {
        match &self.0 {
            Record::Held(key) => &key.id,
            Record::Granted(grant) => &grant.key,
        }
    }

    #[must_use]
    pub fn name(&self) -> &KeyName {
        match &self.0 {
            Record::Held(key) => &key.name,
            Record::Granted(grant) => &grant.name,
        }
    }

    #[must_use]
    pub fn variable(&self) -> &EnvName {
        match &self.0 {
            Record::Held(key) => &key.variable,
            Record::Granted(grant) => &grant.variable,
        }
    }

    #[must_use]
    pub fn scopes(&self) -> &BTreeSet<Scope> {
        match &self.0 {
            Record::Held(key) => &key.scopes,
            Record::Granted(grant) => &grant.scopes,
        }
    }

    #[must_use]
    pub fn expires(&self) -> Option<Moment> {
        match &self.0 {
            Record::Held(key) => key.expires,
            Record::Granted(grant) => grant.expires,
        }
    }

    /// From the making of its current version to its expiry, in milliseconds. A grant does not tell it.
    #[must_use]
    pub fn lifetime(&self) -> Option<i64> {
        match &self.0 {
            Record::Held(key) => key.lifetime().map(|(_, lifetime)| lifetime),
            Record::Granted(_) => None,
        }
    }

    /// Returns `true` if its owner said that no file gets it. A machine's grant was given by the owner, by name or
    /// scope.
    #[must_use]
    pub fn is_withheld(&self) -> bool {
        match &self.0 {
            Record::Held(key) => key.is_withheld(),
            Record::Granted(grant) => grant.is_withheld(),
        }
    }

    /// Returns `true` if its owner said that the value is no secret.
    #[must_use]
    pub fn public(&self) -> bool {
        match &self.0 {
            Record::Held(key) => key.public,
            Record::Granted(grant) => grant.public,
        }
    }

    /// Returns `true` if its owner has disabled it, which refuses every version of it.
    #[must_use]
    pub fn disabled(&self) -> bool {
        match &self.0 {
            Record::Held(key) => key.disabled.is_some(),
            Record::Granted(grant) => grant.disabled,
        }
    }

    /// Returns `true` if its end has come, which refuses every version of it.
    #[must_use]
    pub fn expired(&self, now: Moment) -> bool {
        self.expires().is_some_and(|expires| expires <= now)
    }

    #[must_use]
    pub fn status(&self, now: Moment) -> Status {
        Status::of(self.current().is_some(), self.disabled(), self.expired(now))
    }

    /// True if it has a value to give, current or within its grace.
    #[must_use]
    pub fn has_value(&self, now: Moment) -> bool {
        !self.disabled() && self.current().or_else(|| self.previous(now)).is_some()
    }

    /// The number of the version in use.
    #[must_use]
    pub fn current(&self) -> Option<u32> {
        self.lives().find(|life| life.state == VersionState::Current).map(|life| life.number)
    }

    /// The highest number of a version whose grace lasts: they were made in the order of their numbers.
    #[must_use]
    pub fn previous(&self, now: Moment) -> Option<u32> {
        let good = self.lives().filter(|life| life.state_at(now) == VersionState::Previous);
        good.map(|life| life.number).max()
    }

    /// The state of a version at a moment; `None` if there is no such version.
    #[must_use]
    pub fn state_of(&self, version: u32, now: Moment) -> Option<VersionState> {
        self.life(version).map(|life| life.state_at(now))
    }

    /// Until when a version is still good, if it is in its grace.
    #[must_use]
    pub fn good_until(&self, version: u32) -> Option<Moment> {
        self.life(version).filter(|life| life.state == VersionState::Previous)?.grace_until
    }

    fn life(&self, version: u32) -> Option<Life> {
        self.lives().find(|life| life.number == version)
    }

    fn lives(&self) -> impl Iterator<Item = Life> {
        let (held, granted): (&[_], &[_]) = match &self.0 {
            Record::Held(key) => (&key.versions, &[]),
            Record::Granted(grant) => (&[], &grant.versions),
        };
        let held = held.iter().map(|own| Life {
            number: own.number,
            state: own.state,
            grace_until: own.grace_until,
        });
        held.chain(granted.iter().map(|own| Life {
            number: own.number,
            state: own.state(),
            grace_until: own.grace_until,
        }))
    }
}

#[cfg(test)]
mod tests {
    use keyvault_core::crypto::SealingKey;
    use keyvault_core::name::NameError;

    use super::*;
    use crate::key::record::{Version, VersionOrigin};
    use crate::token::grant::GrantedVersion;

    const GRACE: i64 = 100;

    fn version(number: u32, state: VersionState) -> Version {
        Version {
            grace_until: (state == VersionState::Previous).then_some(Moment(GRACE + i64::from(number))),
            digest: Some([8; 16]),
            ..Version::new(number, state, VersionOrigin::Given, (Moment(1), 1))
        }
    }

    fn held(states: &[VersionState], expires: Option<Moment>) -> Result<KeyRecord, NameError> {
        let numbered = (1..).zip(states);
        let versions: Vec<_> = numbered.map(|(number, state)| version(number, *state)).collect();
        let (name, variable) = (KeyName::parse("db/url")?, EnvName::parse("DB_URL")?);
        Ok(KeyRecord {
            revision: 4,
            scopes: BTreeSet::from([Scope::parse("deploy")?]),
            expires,
            next_version: u32::try_from(versions.len()).unwrap_or(u32::MAX) + 1,
            versions,
            ..KeyRecord::new([3; 16], name, variable, Moment(1))
        })
    }

    fn grant_of(key_record: &KeyRecord) -> Grant {
        let good = key_record
            .versions
            .iter()
            .filter(|version| matches!(version.state, VersionState::Current | VersionState::Previous));
        let granted = |version: &Version| {
            let previous = version.state == VersionState::Previous;
            let (number, grace_until) = (version.number, version.grace_until);
            Some(GrantedVersion {
                number,
                previous,
                grace_until,
                key: SealingKey::from_bytes(&[9; 32])?,
                sealed: [0; 32],
            })
        };
        Grant::of(key_record, good.filter_map(granted).collect())
    }

    #[test]
    fn a_record_and_a_grant_of_it_say_the_same_of_a_key_and_its_good_versions() -> Result<(), NameError> {
        use VersionState::{Current, Pending, Previous, Retired, Revoked};
        let lives: [&[VersionState]; 6] = [
            &[],
            &[Current],
            &[Retired, Previous, Previous, Current],
            &[Previous, Revoked],
            &[Revoked, Retired],
            &[Current, Pending],
        ];
        for (states, expires) in lives.iter().flat_map(|states| [(states, None), (states, Some(Moment(150)))])
        {
            let key = held(states, expires)?;
            let granted = KeyView(Record::Granted(Rc::new(grant_of(&key))));
            let own = KeyView(Record::Held(Box::new(key.clone())));
            assert_eq!((own.id(), own.name()), (granted.id(), granted.name()));
            assert_eq!((own.variable(), own.scopes()), (granted.variable(), granted.scopes()));
            assert_eq!(own.expires(), granted.expires());
            for now in [0, GRACE + 1, GRACE + 2, GRACE + 3, 150, 200].map(Moment) {
                let said = |view: &KeyView| (view.status(now), view.current(), view.previous(now));
                let record = (
                    key.status(now),
                    key.current().map(|own| own.number),
                    key.previous(now).map(|own| own.number),
                );
                assert_eq!(said(&own), record, "{states:?} at {now:?}");
                assert_eq!(said(&granted), record, "{states:?} at {now:?}");
                for version in &key.versions {
                    let state = own.state_of(version.number, now);
                    assert_eq!(state, Some(version.state_at(now)));
                    assert_eq!(own.good_until(version.number), version.good_until());
                    if matches!(version.state, Current | Previous) {
                        assert_eq!(granted.state_of(version.number, now), state);
                        assert_eq!(granted.good_until(version.number), version.good_until());
                    } else {
                        assert_eq!(granted.state_of(version.number, now), None);
                    }
                }
            }
        }
        Ok(())
    }
}
