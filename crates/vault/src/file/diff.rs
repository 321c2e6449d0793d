//! A vault held against another copy of it, and single keys taken over from that copy. A sync service leaves two files
//! where two machines made changes, and a backup has what was lost here since.

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::{self, Action, Outcome};
use keyvault_core::clock::Moment;
use keyvault_core::crypto::sha256;
use keyvault_core::name::KeyName;
use keyvault_core::name::similar::nearest;
use keyvault_core::secret::SecretBytes;

use super::open::{Access, Vault, World};
use super::restore_guard::{Changes, Irrevocable};
use crate::error::{VaultError, is_damage};
use crate::key::edit::key_ref;
use crate::key::record::{KeyRecord, Version, VersionState};
use crate::key::{removal, settle};

type KeyId = [u8; 16];

/// The keys and the changes of one copy.
#[derive(Debug)]
pub struct Contents {
    /// The number of its last change.
    pub change: u64,
    time: Moment,
    keys: BTreeMap<KeyId, KeyRecord>,
    /// The names of removed keys.
    removed: BTreeMap<KeyId, KeyName>,
    log: BTreeMap<[u8; 32], Change>,
}

/// A change as the log names it.
#[derive(Debug)]
struct Change {
    time: Moment,
    removed: Vec<String>,
}

/// The differences between a vault and a copy of it.
#[derive(Debug)]
pub struct Comparison {
    pub here: Contents,
    pub there: Contents,
    /// Keys that differ: those with a version that is revoked on one side only, those that only the copy has, those
    /// that both have, and those that only the vault has; each by name.
    pub keys: Vec<Compared>,
    /// How many keys do not differ.
    pub same: usize,
    /// How many changes only the vault has.
    pub ahead: usize,
    /// How many changes only the copy has.
    pub behind: usize,
    guard: Irrevocable,
    copys_guard: Irrevocable,
    matching: Matching,
}

/// A key that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    pub here: Option<KeyRecord>,
    pub there: Option<KeyRecord>,
    /// When the side that does not have it removed it.
    pub removed: Option<Moment>,
    /// Versions that one side has, or that are in another state there, by number.
    pub versions: Vec<VersionPair>,
    pub fields: Vec<Field>,
    /// Versions of the copy, by their numbers there, that are revoked here only.
    pub revoked_here: Vec<u32>,
    /// Versions of the vault that are revoked in the copy only.
    pub revoked_there: Vec<u32>,
}

/// One version as each side has it. Where the two went apart, versions of one number are not one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionPair {
    pub here: Option<Version>,
    pub there: Option<Version>,
}

/// A fact of a key besides its versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Name,
    Variable,
    Scopes,
    Tags,
    Note,
    Expiry,
    Recipe,
    Owner,
    DisplayName,
    /// The disabled state, with its reason.
    Disabled,
}

/// Keys that a vault is to take over from a copy.
#[derive(Debug)]
pub struct Takeover {
    /// The copy's change number.
    pub found: u64,
    /// The vault's, when it was compared.
    here: u64,
    pub keys: Vec<Taken>,
    /// Keys of which the vault lacks nothing.
    pub unchanged: Vec<KeyName>,
}

/// A key, and the versions that it takes over.
#[derive(Debug)]
pub struct Taken {
    pub before: Option<KeyRecord>,
    pub after: KeyRecord,
    /// The numbers of the versions in the copy, and here.
    pub versions: Vec<(u32, u32)>,
    /// Versions here that become revoked.
    pub revoked: Vec<u32>,
    /// Versions of the copy that are revoked here, and stay so.
    pub stay_revoked: Vec<u32>,
    /// The version that a taken one replaces as the current one.
    pub replaced: Option<u32>,
    /// The key as it is in the copy.
    source: KeyRecord,
}

/// Values of a copy, in the order of the keys and versions of a takeover; nobody is shown them.
pub struct Values(Vec<Vec<(u32, SecretBytes)>>);

/// Returns `true` if `access` opens the vault. That it is busy, or its disk fails, is no answer.
pub fn opens(vault: &mut Vault, access: &Access) -> Result<bool, VaultError> {
    match vault.read(access, |_| Ok(())) {
        Ok(()) => Ok(true),
        Err(error) if is_damage(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reads the keys and the changes of a vault, in an alarm too; damage is an error.
pub fn contents(vault: &mut Vault, access: &Access) -> Result<Contents, VaultError> {
    vault.read(access, |tx| {
        let keys = tx.keys()?.into_iter().map(|key| (key.id, key)).collect();
        let removed = removal::there(tx)?;
        let removed = removed.into_iter().map(|removed| (removed.key.id, removed.key.name)).collect();
        let mut log = BTreeMap::new();
        audit::read_all(tx.rows, &tx.daily.audit, &tx.identity, &mut |_, event| {
            if event.change.is_some() && event.outcome == Outcome::Done {
                let removed = event.keys.iter().filter(|_| event.action == Action::Remove);
                let removed = removed.map(|key| key.name.clone()).collect();
                log.insert(sha256(&event.encode()), Change { time: event.time, removed });
            }
        })?;
        Ok(Contents { change: tx.change_number(), time: tx.current.record.time, keys, removed, log })
    })
}

/// Compares what was read of a vault and of a copy. `access` and `opens` are what opens them.
pub fn compare(
    (here, vault, access): (Contents, &mut Vault, &Access),
    (there, copy, opens): (Contents, &mut Vault, &Access),
    now: Moment,
) -> Result<Comparison, VaultError> {
    let one = std::slice::from_ref::<Access>;
    let same_keys = vault.identity() == copy.identity() && access.daily == opens.daily;
    let matching = Matching { fingerprints: same_keys };
    let guard = Irrevocable::of(vault, one(access), &there.changes())?;
    let copys_guard = Irrevocable::of(copy, one(opens), &here.changes())?;
    let parted = here.log.iter().filter(|(hash, _)| there.log.contains_key(*hash));
    let parted = parted.map(|(_, change)| change.time).max();
    let ids: BTreeSet<_> = here.keys.keys().chain(there.keys.keys()).collect();
    let mut keys = Vec::new();
    for id in &ids {
        let (ours, theirs) = (here.keys.get(*id), there.keys.get(*id));
        let spent = |key: Option<&KeyRecord>, guard: &Irrevocable| {
            key.map_or_else(Vec::new, |key| newly_revoked(key, &kept(guard, key)))
        };
        let compared = Compared {
            here: ours.cloned(),
            there: theirs.cloned(),
            removed: match (ours, theirs) {
                (None, Some(key)) => here.removal(key, &there, parted),
                (Some(key), None) => there.removal(key, &here, parted),
                _ => None,
            },
            versions: ours
                .zip(theirs)
                .map_or_else(Vec::new, |(ours, theirs)| other_versions(matching.pairs(ours, theirs), now)),
            fields: ours.zip(theirs).map_or_else(Vec::new, |(ours, theirs)| other_fields(ours, theirs)),
            revoked_here: spent(theirs, &guard),
            revoked_there: spent(ours, &copys_guard),
        };
        if compared.differs() {
            keys.push(compared);
        }
    }
    keys.sort_by_cached_key(|key| (key.rank(), key.name().cloned()));
    let same = ids.len() - keys.len();
    let common = here.log.keys().filter(|hash| there.log.contains_key(*hash)).count();
    let (ahead, behind) = (here.log.len() - common, there.log.len() - common);
    Ok(Comparison { here, there, keys, same, ahead, behind, guard, copys_guard, matching })
}

/// Plans to take keys over, which are named as in the copy, or as here.
pub fn plan_takeover(
    comparison: &Comparison,
    names: &BTreeSet<KeyName>,
    now: Moment,
) -> Result<Takeover, VaultError> {
    let Comparison { here, there, .. } = comparison;
    let (ours, theirs) = (here.by_name(), there.by_name());
    let mut missing = Vec::new();
    let mut sources = BTreeMap::new();
    for name in names {
        let found = theirs.get(name).copied();
        match found.or_else(|| there.keys.get(&ours.get(name)?.id)) {
            Some(key) => drop(sources.insert(key.id, key)),
            None => missing.push(name.clone()),
        }
    }
    if let Some(first) = missing.first() {
        let near = nearest(theirs.into_keys(), first.as_str(), |name| name.as_str());
        return Err(VaultError::NoSuchKeys { near: near.cloned(), missing, removed: None });
    }
    let mut takeover =
        Takeover { found: there.change, here: here.change, keys: Vec::new(), unchanged: Vec::new() };
    for source in sources.into_values() {
        let taken = comparison.taken(source, &ours, now)?;
        if taken.changes() {
            takeover.keys.push(taken);
        } else {
            takeover.unchanged.push(taken.after.name);
        }
    }
    takeover.keys.sort_by(|one, other| one.after.name.cmp(&other.after.name));
    takeover.unchanged.sort();
    Ok(takeover)
}

/// Reads the values that a takeover needs from the copy that it was planned for.
pub fn values(copy: &mut Vault, opens: &Access, takeover: &Takeover) -> Result<Values, VaultError> {
    copy.read(opens, |tx| {
        if tx.change_number() != takeover.found {
            return Err(VaultError::Changed);
        }
        let mut values = Vec::with_capacity(takeover.keys.len());
        for key in &takeover.keys {
            let mut of_key = Vec::new();
            for (theirs, ours) in &key.versions {
                let has_value = key.after.version(*ours).is_some_and(|version| version.digest.is_some());
                if let Some(version) = key.source.version(*theirs).filter(|_| has_value) {
                    of_key.push((*ours, tx.value(&key.source.id, version)?));
                }
            }
            values.push(of_key);
        }
        Ok(Values(values))
    })
}

/// Takes the keys over in one change, whose number it returns. Refused if the vault has changed since it was compared.
pub fn take_over(
    vault: &mut Vault,
    access: &Access,
    takeover: &Takeover,
    Values(values): Values,
    world: &World<'_>,
) -> Result<u64, VaultError> {
    let wipes = takeover.keys.iter().any(|key| !key.wiped().is_empty());
    let change = vault.change(access, world, |tx| {
        if tx.change_number() != takeover.here {
            return Err(VaultError::Changed);
        }
        let mut refs = Vec::with_capacity(takeover.keys.len());
        for (key, values) in takeover.keys.iter().zip(&values) {
            let mut after = key.after.clone();
            for number in key.wiped() {
                tx.rows.delete_version(&after.id, number)?;
            }
            for (number, value) in values {
                let digest = tx.put_value(&after.id, *number, value, world.rng)?;
                let fingerprint = tx.opener().fingerprint(value);
                for version in after.versions.iter_mut().filter(|version| version.number == *number) {
                    (version.digest, version.fingerprint) = (Some(digest), fingerprint);
                }
            }
            settle(tx, &mut after, world.now())?;
            tx.put_key(&mut after, world.rng)?;
            if key.before.is_none() {
                tx.enter_key(None, Some(&after));
            }
            refs.push(key_ref(&after));
        }
        let names: Vec<_> = takeover.keys.iter().map(|key| key.after.name.as_str()).collect();
        let detail = format!("{} from a copy at change {}", names.join(", "), takeover.found);
        Ok((tx.next_change(), world.event(Action::Restore, refs, detail)))
    })?;
    if wipes {
        vault.compact(world);
    }
    Ok(change)
}

impl Contents {
    fn by_name(&self) -> BTreeMap<&KeyName, &KeyRecord> {
        self.keys.values().map(|key| (&key.name, key)).collect()
    }

    fn changes(&self) -> Changes {
        self.log.keys().copied().collect()
    }

    /// When a key of the other copy was removed here: it was there when the two went apart, and a later change of this
    /// copy alone removed a key of its name.
    fn removal(&self, key: &KeyRecord, other: &Self, parted: Option<Moment>) -> Option<Moment> {
        parted.filter(|parted| key.created <= *parted)?;
        let own =
            self.log.iter().filter(|(hash, _)| !other.log.contains_key(*hash)).map(|(_, change)| change);
        own.filter(|change| change.removed.iter().any(|name| name == key.name.as_str()))
            .map(|change| change.time)
            .max()
    }
}

impl Comparison {
    /// The keys of which the copy has something that the vault lacks and may have, but for those that were removed here.
    #[must_use]
    pub fn offered(&self, now: Moment) -> Vec<KeyName> {
        let ours = self.here.by_name();
        let sources =
            self.keys.iter().filter(|key| key.removed.is_none()).filter_map(|key| key.there.as_ref());
        let offers = |source: &&KeyRecord| self.taken(source, &ours, now).is_ok_and(|taken| taken.changes());
        sources.filter(offers).map(|key| key.name.clone()).collect()
    }

    /// Returns `true` if the vault has another key of the name that a key has in the copy.
    #[must_use]
    pub fn has_another(&self, key: &Compared) -> bool {
        let name = key.there.as_ref().filter(|_| key.here.is_none()).map(|key| &key.name);
        self.keys.iter().any(|other| other.here.as_ref().is_some_and(|here| Some(&here.name) == name))
    }

    fn taken(
        &self,
        source: &KeyRecord,
        ours: &BTreeMap<&KeyName, &KeyRecord>,
        now: Moment,
    ) -> Result<Taken, VaultError> {
        let allowed = kept(&self.guard, source);
        match self.here.keys.get(&source.id) {
            Some(here) => {
                let revoked = kept(&self.copys_guard, here);
                let pairs = self.matching.pairs(&revoked, &allowed);
                let last = (now.max(self.here.time), self.here.change);
                Ok(merged((here, &revoked), (source, &allowed), &pairs, last))
            }
            None if self.here.removed.contains_key(&source.id) => {
                let name = self.here.removed.get(&source.id).unwrap_or(&source.name);
                Err(VaultError::RemovedHere(name.clone()))
            }
            None if ours.contains_key(&source.name) => Err(VaultError::NameTaken(source.name.clone())),
            None => Ok(added(source, allowed, self.here.change)),
        }
    }
}

impl Compared {
    /// The name here, or in the copy if it is only there.
    #[must_use]
    pub fn name(&self) -> Option<&KeyName> {
        self.here.as_ref().or(self.there.as_ref()).map(|key| &key.name)
    }

    /// Returns `true` if a version is revoked on one side only.
    #[must_use]
    pub fn is_revoked_on_one_side(&self) -> bool {
        !self.revoked_here.is_empty() || !self.revoked_there.is_empty()
    }

    fn differs(&self) -> bool {
        self.here.is_none()
            || self.there.is_none()
            || !self.versions.is_empty()
            || !self.fields.is_empty()
            || self.is_revoked_on_one_side()
    }

    fn rank(&self) -> u8 {
        match (&self.here, &self.there) {
            _ if self.is_revoked_on_one_side() => 0,
            (None, _) => 1,
            (Some(_), Some(_)) => 2,
            (Some(_), None) => 3,
        }
    }
}

impl Taken {
    fn changes(&self) -> bool {
        let states = |key: &KeyRecord| -> Vec<_> {
            key.versions.iter().map(|version| (version.number, version.state, version.digest)).collect()
        };
        self.before.as_ref().is_none_or(|before| {
            states(before) != states(&self.after) || before.disabled != self.after.disabled
        })
    }

    /// Versions here whose values go.
    fn wiped(&self) -> Vec<u32> {
        let before =
            self.before.iter().flat_map(|key| &key.versions).filter(|version| version.digest.is_some());
        let goes = |version: &&Version| {
            self.after.version(version.number).is_some_and(|after| after.digest.is_none())
        };
        before.filter(goes).map(|version| version.number).collect()
    }
}

/// A key of one copy as it may be where `guard` holds.
fn kept(guard: &Irrevocable, key: &KeyRecord) -> KeyRecord {
    let mut kept = key.clone();
    guard.keep(&mut kept);
    kept
}

/// Versions of a key that are revoked in what it may be, and were not.
fn newly_revoked(before: &KeyRecord, after: &KeyRecord) -> Vec<u32> {
    let revoked = |version: &Version| version.state == VersionState::Revoked;
    let newly = |version: &&Version| {
        revoked(version) && before.version(version.number).is_some_and(|before| !revoked(before))
    };
    after.versions.iter().filter(newly).map(|version| version.number).collect()
}

/// Which versions of two copies of a key are one version. Two machines may have given one number twice.
#[derive(Debug, Clone, Copy)]
struct Matching {
    /// True if the fingerprints of both are made with one key.
    fingerprints: bool,
}

/// A version in two copies of a key; at least one has it.
type Pair<'k> = (Option<&'k Version>, Option<&'k Version>);

impl Matching {
    fn pairs<'k>(self, ours: &'k KeyRecord, theirs: &'k KeyRecord) -> Vec<Pair<'k>> {
        let mut left: Vec<&Version> = theirs.versions.iter().collect();
        let mut pairs: Vec<Pair<'k>> = ours.versions.iter().map(|version| (Some(version), None)).collect();
        // One that was taken over where its number was given already has another one.
        for renumbered in [false, true] {
            for (one, paired) in pairs.iter_mut().filter(|(_, paired)| paired.is_none()) {
                let Some(one) = *one else { continue };
                let same =
                    |other: &&Version| (renumbered || one.number == other.number) && self.is_same(one, other);
                *paired = left.iter().position(same).map(|place| left.remove(place));
            }
        }
        pairs.extend(left.into_iter().map(|version| (None, Some(version))));
        pairs
    }

    fn is_same(self, one: &Version, other: &Version) -> bool {
        one.created == other.created
            && one.made_by == other.made_by
            && (!self.fingerprints || one.fingerprint == other.fingerprint)
    }
}

/// The versions that differ, by their numbers here.
fn other_versions(pairs: Vec<Pair<'_>>, now: Moment) -> Vec<VersionPair> {
    let state = |version: &Version| {
        let grace = version.good_until().filter(|until| *until > now);
        (version.state_at(now), grace, version.digest.is_some())
    };
    let differs = |(one, other): &Pair<'_>| one.map(state) != other.map(state);
    let pairs = pairs.into_iter().filter(differs);
    let mut pairs: Vec<_> =
        pairs.map(|(here, there)| VersionPair { here: here.cloned(), there: there.cloned() }).collect();
    pairs.sort_by_key(|pair| pair.here.as_ref().or(pair.there.as_ref()).map(|version| version.number));
    pairs
}

fn other_fields(ours: &KeyRecord, theirs: &KeyRecord) -> Vec<Field> {
    let fields = [
        (Field::Name, ours.name != theirs.name),
        (Field::Variable, ours.variable != theirs.variable),
        (Field::Scopes, ours.scopes != theirs.scopes),
        (Field::Tags, ours.tags != theirs.tags),
        (Field::Note, ours.note != theirs.note),
        (Field::Expiry, ours.expires != theirs.expires),
        (Field::Recipe, ours.recipe != theirs.recipe),
        (Field::Owner, ours.owner != theirs.owner),
        (Field::DisplayName, ours.display_name != theirs.display_name),
        (Field::Disabled, ours.disabled != theirs.disabled),
    ];
    fields.into_iter().filter(|(_, differs)| *differs).map(|(field, _)| field).collect()
}

/// A version as it comes from a copy after the change `last`. When its keeping was found to be over there counts for
/// nothing here, and the copy's changes have numbers of their own: all came before the one that takes the version over.
fn foreign(version: &Version, last: u64) -> Version {
    let since_change = version.since_change.min(last);
    Version { due: None, since_change, ..version.clone() }
}

/// A key that is only in the copy comes under its id, with its versions under their numbers.
fn added(source: &KeyRecord, allowed: KeyRecord, last: u64) -> Taken {
    let stay_revoked = newly_revoked(source, &allowed);
    let versions = allowed.versions.iter().map(|version| foreign(version, last)).collect();
    let after = KeyRecord { revision: 0, versions, ..allowed };
    Taken {
        before: None,
        versions: after.versions.iter().map(|version| (version.number, version.number)).collect(),
        after,
        revoked: Vec::new(),
        stay_revoked,
        replaced: None,
        source: source.clone(),
    }
}

/// A key that both have gets the versions that are missing here: those of `pairs` that only the copy has. `revoked` is the
/// key here with what is revoked in the copy, `allowed` that of the copy with what is revoked here. A taken version that is
/// current in the copy becomes so here, and the key's expiry and recipe, which are about that, come with it. A key that is
/// disabled in either copy is so afterwards. All else about the key stays.
fn merged(
    (ours, revoked): (&KeyRecord, &KeyRecord),
    (source, allowed): (&KeyRecord, &KeyRecord),
    pairs: &[Pair<'_>],
    (now, last): (Moment, u64),
) -> Taken {
    let mut after = revoked.clone();
    let missing: Vec<_> =
        pairs.iter().filter(|(ours, _)| ours.is_none()).filter_map(|(_, theirs)| *theirs).collect();
    let replaced = ours.current().map(|version| version.number);
    let takes_current = missing.iter().any(|version| version.state == VersionState::Current);
    if takes_current {
        let current = after.current().map(|version| version.number);
        let in_copy = pairs.iter().find(|(ours, _)| ours.is_some_and(|ours| Some(ours.number) == current));
        match in_copy.and_then(|(_, theirs)| *theirs) {
            Some(theirs) => {
                for version in after.versions.iter_mut().filter(|version| Some(version.number) == current) {
                    let theirs = foreign(theirs, last);
                    (version.state, version.since) = (theirs.state, theirs.since);
                    (version.since_change, version.grace_until) = (theirs.since_change, theirs.grace_until);
                }
            }
            None => after.retire_current(now, (now, last + 1), 0),
        }
        after.end_graces_by_expiry();
        after.expires = allowed.expires;
        after.recipe.clone_from(&allowed.recipe);
    }
    after.next_version = ours.next_version.max(source.next_version);
    // A number that was given here, to a version that is still listed or not, is not given again.
    let given =
        |version: &&Version| version.number < ours.next_version || after.version(version.number).is_some();
    let renumbers = missing.iter().any(given);
    let mut versions = Vec::with_capacity(missing.len());
    for theirs in missing {
        let number = if renumbers { after.next_version } else { theirs.number };
        after.next_version = after.next_version.max(number.saturating_add(1));
        versions.push((theirs.number, number));
        after.versions.push(Version { number, ..foreign(theirs, last) });
    }
    after.versions.sort_by_key(|version| version.number);
    Taken {
        revoked: newly_revoked(ours, &after),
        stay_revoked: newly_revoked(source, allowed),
        replaced: replaced.filter(|_| takes_current),
        before: Some(ours.clone()),
        after,
        versions,
        source: source.clone(),
    }
}
