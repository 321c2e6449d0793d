//! Revocations, disabled keys, and version numbers that a restore must not undo, as the vault that it replaces tells them.
//! Of a damaged vault every row counts that holds by itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::detail::Spent;
use crate::audit::{
    self, Action, Event, KeptIds, Outcome, Renamed, TokenChange, TokenDeed, TokenEdited, Wiped,
};
use crate::store::ObjectKind;
use crate::store::{SlotRow, TokenId};
use keyvault_core::clock::Moment;
use keyvault_core::crypto::sha256;
use keyvault_core::name::{KeyName, TokenName};

use super::open::{Access, Vault, World};
use crate::error::{VaultError, is_damage};
use crate::issued;
use crate::key::record::{Disabled, KeyRecord, Version, VersionState};
use crate::key::removal::{self, RemovedKey};
use crate::key::tombstones::Tombstones;
use crate::key::versions::REMEMBERED;
use crate::token::record::{Rule, TokenRecord};
use crate::tx::VerifiedTx;
use crate::{slot, token};

/// The changes of a log, each by the hash of its event: what two logs have in common.
pub(crate) type Changes = BTreeSet<[u8; 32]>;

/// Everything that a restore must not undo.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Irrevocable {
    /// The highest change number: the vault's or its pin's.
    pub(crate) change: Option<u64>,
    /// Keys that could be read, by their ids.
    pub(crate) keys: BTreeMap<[u8; 16], KeyRecord>,
    /// Removed keys that could be read, by their ids.
    pub(crate) removed: BTreeMap<[u8; 16], KeyRecord>,
    tombstones: Tombstones,
    /// Versions that were revoked since the backup, by the names that their keys have there.
    revoked: BTreeMap<String, Vec<Spent>>,
    /// Keys that were disabled since the backup and not enabled again, by the names that they have there.
    disabled: BTreeMap<String, Disabled>,
    /// Keys that changes which the backup does not know took from its tokens.
    taken: Taken,
    /// `None` where there is no vault, and so nobody who says that one is not in force.
    tokens: Option<Tokens>,
    /// Sets of issued keys.
    pub(crate) sets: issued::Replaced,
    /// The parts that could not be read.
    pub(crate) unread: Unread,
    /// The slots, if everything could be read.
    pub(crate) whole: Option<Vec<SlotRow>>,
}

/// Rows of the replaced vault that do not hold. A restore does not know of the refusals in them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unread {
    pub keys: usize,
    pub tokens: usize,
    /// True if the list of the sets of issued keys does not hold, and with it none of the sets.
    pub set_list: bool,
    /// Listed sets of issued keys.
    pub sets: usize,
}

/// The tokens of the replaced vault.
#[derive(Debug, Clone, Default, PartialEq)]
struct Tokens {
    in_force: BTreeMap<TokenId, (TokenName, Rule)>,
    revoked: BTreeSet<TokenId>,
    /// Names whose token became another one, or none, by a change that the backup does not know; `None` if that could
    /// not be read.
    replaced: Option<Replaced>,
    /// Names of tokens that an edit which the backup does not know gave less, or a shorter time.
    narrowed: BTreeSet<TokenName>,
}

/// Keys that changes which the backup does not know removed or altered.
#[derive(Debug, Clone, Default, PartialEq)]
struct Taken {
    /// The numbers of these changes.
    changes: BTreeSet<u64>,
    /// Removed keys, and wiped ones that had been removed before, by their ids.
    removed: BTreeSet<[u8; 16]>,
    /// Keys that were wiped at once, by the names that they have in the backup.
    wiped: BTreeSet<String>,
    /// Keys that were wiped after their removal, by their ids.
    wiped_removed: BTreeSet<[u8; 16]>,
}

#[derive(Debug, Clone, PartialEq)]
enum Replaced {
    All,
    These(BTreeSet<TokenName>),
}

/// The changes that a restore makes to one key of the backup.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// Something is other than in the backup.
    pub(crate) changed: bool,
    /// A version is revoked that is not in the backup.
    pub(crate) revoked: bool,
    /// Versions whose values were wiped since.
    wiped: Vec<u32>,
}

impl Irrevocable {
    /// Reads the vault with the first of these that opens it. `theirs` are the changes of the backup.
    pub(crate) fn of(vault: &mut Vault, opens: &[Access], theirs: &Changes) -> Result<Self, VaultError> {
        let nothing = Self { tokens: Some(Tokens::default()), ..Self::default() };
        let fits = opens.iter().position(|access| vault.read_damaged(access, |_| Ok(())).is_ok());
        let Some(access) = opens.get(fits.unwrap_or(0)) else { return Ok(nothing) };
        let whole = vault.read(access, |tx| {
            let (keys, slots, records) = (tx.keys()?, slot::verified(tx)?, token::load_all(tx)?);
            let mut log = Log::default();
            audit::read_all(tx.rows, &tx.daily.audit, &tx.identity, &mut |_, event| {
                log.take(&event, theirs);
            })?;
            let replaced = Some(log.replaced());
            let issued = issued::find(tx)?;
            Ok(Self {
                unread: Unread::default().with(issued.lost),
                taken: log.taken(),
                change: Some(tx.change_number()),
                keys: keys.into_iter().map(|key| (key.id, key)).collect(),
                removed: by_id(removal::there(tx)?),
                tombstones: log.tombstones,
                revoked: log.refusals.revoked,
                disabled: log.refusals.disabled,
                tokens: Some(Tokens { replaced, narrowed: log.narrowed, ..Tokens::of(records) }),
                sets: issued::Replaced(issued.sets),
                whole: Some(slots),
            })
        });
        let salvaged = match whole {
            Err(error) if is_damage(&error) => vault.read_damaged(access, |tx| Ok(salvage(tx, theirs))),
            whole => return whole,
        };
        match salvaged {
            Err(error) if is_damage(&error) => Ok(nothing),
            salvaged => salvaged,
        }
    }

    /// Makes a key of the backup what it may be now. Revoked versions never return, not with a backup either, and what
    /// was wiped with them stays so; but another version that has the same number, made where the two went apart, is not
    /// the one that was revoked. As long as the key is here, no number is given to another value.
    pub(crate) fn keep(&self, key: &mut KeyRecord) -> Kept {
        let mut kept = Kept::default();
        let Some(now) = self.keys.get(&key.id).or_else(|| self.removed.get(&key.id)) else {
            self.tombstones.spent(key).iter().for_each(|spent| kept.spend(key, spent));
            // A key that damage took away has no row and no tombstone that tells of it.
            for spent in self.revoked.get(key.name.as_str()).into_iter().flatten() {
                if key.version(spent.version).is_some_and(|version| version.created <= spent.since) {
                    kept.spend(key, spent);
                }
            }
            let by_name = self.disabled.get(key.name.as_str());
            let by_name = by_name.filter(|disabled| key.created <= disabled.since);
            kept.disable(key, self.tombstones.disabled(key).as_ref().or(by_name));
            return kept;
        };
        for version in now.versions.iter().filter(|version| version.state == VersionState::Revoked) {
            match key.versions.iter().find(|theirs| theirs.number == version.number) {
                Some(theirs) if theirs.created == version.created => kept.spend(key, &Spent::of(version)),
                theirs => {
                    let remembers = theirs.is_none();
                    if let Some(number) = taken_over_as(version, now, key) {
                        kept.spend(key, &Spent { version: number, ..Spent::of(version) });
                    }
                    if remembers {
                        kept.remember(key, version);
                    }
                }
            }
        }
        kept.forget(key, now);
        if key.next_version < now.next_version {
            key.next_version = now.next_version;
            kept.changed = true;
        }
        kept.disable(key, now.disabled.as_ref());
        kept
    }

    /// Returns `true` if a token that the backup has in force opens nothing any more: since the two went apart it was
    /// revoked here, or there is another one in its place, or none, or a change took something from it that the backup
    /// would give back: an edit of the token, or one of these keys that went, or that it opens no longer, or for a shorter
    /// time. `keys` are those of the backup.
    pub(crate) fn is_spent<'k>(
        &self,
        record: &TokenRecord,
        mut keys: impl Iterator<Item = &'k KeyRecord>,
    ) -> bool {
        let Some(tokens) = &self.tokens else { return false };
        if let Some((_, rule)) = tokens.in_force.get(&record.id) {
            let regains = |key: &KeyRecord| record.rule.matches(key) && self.was_taken(key, rule);
            return tokens.narrowed.contains(&record.name) || keys.any(regains);
        }
        tokens.revoked.contains(&record.id)
            || match &tokens.replaced {
                None | Some(Replaced::All) => true,
                Some(Replaced::These(names)) => names.contains(&record.name),
            }
    }

    /// Returns `true` if a change that the backup does not know took this key, or a part of its time, from a token that has
    /// this rule here.
    fn was_taken(&self, key: &KeyRecord, rule: &Rule) -> bool {
        let Some(now) = self.keys.get(&key.id) else {
            return self.taken.removed.contains(&key.id) || self.taken.wiped.contains(key.name.as_str());
        };
        let never = Moment(i64::MAX);
        let ends_earlier = now.expires.unwrap_or(never) < key.expires.unwrap_or(never);
        self.taken.changes.contains(&now.last_change) && (!rule.matches(now) || ends_earlier)
    }

    /// Returns `true` if a change that the backup does not know wiped this key, which the backup has with a value.
    /// `is_removed` if the backup has it as a removed key.
    pub(crate) fn was_wiped(&self, key: &KeyRecord, is_removed: bool) -> bool {
        let has_value = key.versions.iter().any(|version| version.digest.is_some());
        let is_here = self.keys.contains_key(&key.id) || self.removed.contains_key(&key.id);
        let by_name = !is_removed && self.taken.wiped.contains(key.name.as_str());
        has_value && !is_here && (by_name || self.taken.wiped_removed.contains(&key.id))
    }

    /// The tokens that are in force here.
    pub(crate) fn tokens_in_force(&self) -> BTreeMap<TokenId, TokenName> {
        let tokens = self.tokens.iter().flat_map(|tokens| &tokens.in_force);
        tokens.map(|(id, (name, _))| (*id, name.clone())).collect()
    }

    /// The key's name in the replaced vault, or its own.
    pub(crate) fn name_of(&self, key: &KeyRecord) -> KeyName {
        self.keys.get(&key.id).map_or(&key.name, |key| &key.name).clone()
    }
}

impl Unread {
    fn with(self, lost: issued::Lost) -> Self {
        Self { set_list: lost.list, sets: lost.sets, ..self }
    }
}

fn by_id(removed: Vec<RemovedKey>) -> BTreeMap<[u8; 16], KeyRecord> {
    removed.into_iter().map(|removed| (removed.key.id, removed.key)).collect()
}

/// The number that a version of the key here has in another copy of the key, where it was taken over from under another.
fn taken_over_as(version: &Version, now: &KeyRecord, theirs: &KeyRecord) -> Option<u32> {
    let is_here = |number: u32, created| now.version(number).is_some_and(|ours| ours.created == created);
    let is_it = |other: &&Version| {
        other.created == version.created
            && other.made_by == version.made_by
            && !is_here(other.number, other.created)
    };
    theirs.versions.iter().find(is_it).map(|other| other.number)
}

impl Kept {
    fn spend(&mut self, key: &mut KeyRecord, spent: &Spent) {
        let mut versions = key.versions.iter_mut();
        let Some(version) = versions.find(|version| version.number == spent.version) else { return };
        if version.state != VersionState::Revoked {
            version.revoke((spent.since, spent.change), &spent.reason);
            (self.changed, self.revoked) = (true, true);
        }
        if spent.wiped && version.digest.take().is_some() {
            self.wiped.push(version.number);
            self.changed = true;
        }
    }

    /// The backup does not know why; whoever does enables the key.
    fn disable(&mut self, key: &mut KeyRecord, disabled: Option<&Disabled>) {
        if key.disabled.is_none() && disabled.is_some() {
            key.disabled = disabled.cloned();
            self.changed = true;
        }
    }

    /// A revoked version that the backup does not have yet: its number is not given again.
    fn remember(&mut self, key: &mut KeyRecord, revoked: &Version) {
        key.versions.push(Version { digest: None, due: None, ..revoked.clone() });
        key.versions.sort_by_key(|version| version.number);
        self.changed = true;
    }

    /// Versions older than all that the key remembers here were wiped: it keeps a bounded number of wiped versions.
    fn forget(&mut self, key: &mut KeyRecord, now: &KeyRecord) {
        let wiped = || now.versions.iter().filter(|version| version.digest.is_none());
        let Some(first) = wiped().next().filter(|_| wiped().count() >= REMEMBERED) else { return };
        let listed: BTreeSet<_> = now.versions.iter().map(|version| version.number).collect();
        let older = key.versions.iter().map(|version| version.number).filter(|number| *number < first.number);
        let forgotten: Vec<_> = older.filter(|number| !listed.contains(number)).collect();
        for version in forgotten {
            // Another branch may have made it; its value is left alone.
            let reason = "not known any more where the backup was restored".to_owned();
            let (since, change) = (first.since, first.since_change);
            self.spend(key, &Spent { version, since, change, reason, wiped: false });
        }
    }
}

impl Tokens {
    fn of(records: Vec<TokenRecord>) -> Self {
        let tokens = records.into_iter().filter(|record| !record.is_session());
        let (in_force, revoked): (Vec<_>, Vec<_>) = tokens.partition(|record| record.revoked.is_none());
        Self {
            in_force: in_force.into_iter().map(|record| (record.id, (record.name, record.rule))).collect(),
            revoked: revoked.into_iter().map(|record| record.id).collect(),
            replaced: None,
            narrowed: BTreeSet::new(),
        }
    }
}

/// Revocations and disabled keys by changes that the backup does not know, by the names that the keys have in it.
#[derive(Default)]
struct Refusals {
    revoked: BTreeMap<String, Vec<Spent>>,
    disabled: BTreeMap<String, Disabled>,
    /// Names of keys in the backup, by their names now; `None` for a key that is not there.
    in_backup: BTreeMap<String, Option<String>>,
    /// Those of removed keys, by the keys' ids.
    of_removed: BTreeMap<[u8; 16], Option<String>>,
    /// Those of keys that were wiped without having been removed before.
    wiped: BTreeSet<String>,
    /// The ids of removed keys that were wiped.
    wiped_removed: BTreeSet<[u8; 16]>,
}

impl Refusals {
    fn take(&mut self, event: &Event) {
        let names = event.keys.iter().map(|key| key.name.clone());
        match event.action {
            Action::Revoke => {
                let wiped = event.get::<Wiped>().is_some();
                for key in &event.keys {
                    if let Some(name) = self.name_in_backup(&key.name) {
                        let reason = event.detail.clone();
                        let change = event.change.map_or(0, |change| change.number);
                        let spent = Spent { version: key.version, since: event.time, change, wiped, reason };
                        self.revoked.entry(name).or_default().push(spent);
                    }
                }
            }
            Action::Disable => {
                for name in self.names_in_backup(event) {
                    let new = || Disabled { since: event.time, reason: String::new() };
                    let disabled = self.disabled.entry(name).or_insert_with(new);
                    if !event.detail.is_empty() {
                        disabled.reason.clone_from(&event.detail);
                    }
                }
            }
            Action::Enable => {
                for name in self.names_in_backup(event) {
                    self.disabled.remove(&name);
                }
            }
            Action::Edit => {
                if let (Some(Renamed(new)), [key]) = (event.get(), event.keys.as_slice()) {
                    let name = self.name_in_backup(&key.name);
                    self.in_backup.insert(new.to_string(), name);
                    self.in_backup.insert(key.name.clone(), None);
                }
            }
            Action::Undelete => {
                let (Some(KeptIds(ids)), [key]) = (event.get(), event.keys.as_slice()) else { return };
                // Of a key that was removed before the backup, the backup has the name of its removal.
                let known = ids.first().and_then(|id| self.of_removed.remove(id));
                let name = known.unwrap_or_else(|| Some(key.name.clone()));
                let now = event.get().map_or_else(|| key.name.clone(), |Renamed(new)| new.to_string());
                self.in_backup.insert(now, name);
            }
            Action::Remove => {
                let kept = event.get::<KeptIds>().map(|kept| kept.0).unwrap_or_default();
                if event.get::<Wiped>().is_some() && !kept.is_empty() {
                    // Removed keys: another key may have the name.
                    for id in kept {
                        self.wiped_removed.insert(id);
                        self.of_removed.entry(id).or_default();
                    }
                    return;
                }
                let followed: Vec<_> = event.keys.iter().map(|key| self.name_in_backup(&key.name)).collect();
                self.wiped.extend(followed.iter().skip(kept.len()).flatten().cloned());
                self.of_removed.extend(kept.into_iter().zip(followed));
                self.in_backup.extend(names.map(|name| (name, None)));
            }
            // From here on the name is that of another key.
            Action::Generate | Action::Add => {
                self.in_backup.extend(names.map(|name| (name, None)));
            }
            _ => {}
        }
    }

    fn names_in_backup(&self, event: &Event) -> Vec<String> {
        event.keys.iter().filter_map(|key| self.name_in_backup(&key.name)).collect()
    }

    fn name_in_backup(&self, name: &str) -> Option<String> {
        self.in_backup.get(name).cloned().unwrap_or_else(|| Some(name.to_owned()))
    }
}

#[derive(Default)]
struct Log {
    tombstones: Tombstones,
    refusals: Refusals,
    rekeyed: bool,
    tokens: BTreeSet<TokenName>,
    narrowed: BTreeSet<TokenName>,
    changes: BTreeSet<u64>,
}

impl Log {
    fn take(&mut self, event: &Event, theirs: &Changes) {
        if event.outcome != Outcome::Done {
            return;
        }
        self.tombstones.take_revoked(event);
        let Some(change) = event.change.filter(|_| !theirs.contains(&sha256(&event.encode()))) else {
            return;
        };
        self.changes.insert(change.number);
        // A key that the backup has was enabled or not after what its own log tells.
        self.tombstones.take_disabled(event);
        self.refusals.take(event);
        self.rekeyed |= event.action == Action::Rekey;
        let Some(TokenChange { deed, token }) = event.get() else { return };
        if deed != TokenDeed::Edited {
            self.tokens.insert(token);
        } else if event.get().is_none_or(|edited: TokenEdited| edited.takes_away()) {
            self.narrowed.insert(token);
        }
    }

    fn taken(&mut self) -> Taken {
        Taken {
            changes: std::mem::take(&mut self.changes),
            removed: std::mem::take(&mut self.refusals.of_removed).into_keys().collect(),
            wiped: std::mem::take(&mut self.refusals.wiped),
            wiped_removed: std::mem::take(&mut self.refusals.wiped_removed),
        }
    }

    fn replaced(&mut self) -> Replaced {
        if self.rekeyed { Replaced::All } else { Replaced::These(std::mem::take(&mut self.tokens)) }
    }
}

/// The changes of this file's log, as far as it can be read.
pub(crate) fn changes(tx: &VerifiedTx<'_>) -> Result<Changes, VaultError> {
    let mut changes = Changes::new();
    audit::read_what_opens(tx.rows, &tx.daily.audit, &tx.identity, &mut |event| {
        if event.change.is_some() {
            changes.insert(sha256(&event.encode()));
        }
    })?;
    Ok(changes)
}

/// Every row that the tree knows, whatever became of the others, and every entry of the log that opens.
fn salvage(tx: &mut VerifiedTx<'_>, theirs: &Changes) -> Irrevocable {
    let tags = tx.rows.object_tags(ObjectKind::Key).unwrap_or_default();
    let keys = tags.iter().filter_map(|tag| tx.object_at::<KeyRecord>(tag).ok().flatten());
    let keys: BTreeMap<_, _> = keys.map(|key| (key.id, key)).collect();
    let removed = by_id(removal::that_hold(tx));
    let rows = tx.rows.objects(ObjectKind::Token).unwrap_or_default();
    let records: Vec<_> = rows.iter().filter_map(|row| tx.verified(row).ok()).collect();
    let mut log = Log::default();
    let take = &mut |event: Event| log.take(&event, theirs);
    let _ = audit::read_what_opens(tx.rows, &tx.daily.audit, &tx.identity, take);
    let issued = issued::find(tx).unwrap_or_else(|_| issued::Found {
        lost: issued::Lost { list: true, sets: 0 },
        ..issued::Found::default()
    });
    let unread = Unread {
        keys: tags.len().saturating_sub(keys.len()),
        tokens: rows.len().saturating_sub(records.len()),
        ..Unread::default()
    };
    Irrevocable {
        taken: log.taken(),
        sets: issued::Replaced(issued.sets),
        unread: unread.with(issued.lost),
        change: Some(tx.change_number()),
        keys,
        removed,
        tombstones: log.tombstones,
        revoked: log.refusals.revoked,
        disabled: log.refusals.disabled,
        tokens: Some(Tokens { narrowed: log.narrowed, ..Tokens::of(records) }),
        whole: None,
    }
}

/// Makes a backup's keys and tokens what they may be now: every token is spent if `ends_all`. Numbers of sets are above
/// `above`. What is to be kept of the keys
/// that it does not have.
pub(crate) fn keep_irrevocable(
    tx: &mut VerifiedTx<'_>,
    irrevocable: &Irrevocable,
    ends_all: bool,
    above: Option<u64>,
    world: &World<'_>,
) -> Result<Tombstones, VaultError> {
    let key_records = tx.keys()?;
    let there: BTreeSet<_> = key_records.iter().map(|key| key.id).collect();
    for mut key in key_records.clone() {
        let kept = irrevocable.keep(&mut key);
        for number in kept.wiped {
            tx.rows.delete_version(&key.id, number)?;
        }
        if kept.changed {
            tx.put_key(&mut key, world.rng)?;
        }
    }
    for mut removed in removal::there(tx)? {
        let kept = irrevocable.keep(&mut removed.key);
        for number in kept.wiped {
            tx.rows.delete_version(&removed.key.id, number)?;
        }
        if kept.changed {
            removal::put(tx, &mut removed, world)?;
        }
    }
    issued::keep_irrevocable(tx, &irrevocable.sets, world)?;
    above.map_or(Ok(()), |above| issued::rise_above(tx, above, world))?;
    tx.entries.moved = true;
    token::end_some(tx, |_| true, world)?;
    token::former::end_of(tx, None)?;
    let is_spent = |record: &TokenRecord| ends_all || irrevocable.is_spent(record, key_records.iter());
    token::revoke_spent(tx, is_spent, world)?;
    let known = irrevocable.keys.values().chain(irrevocable.removed.values());
    Ok(Tombstones::of(known).and(&irrevocable.tombstones, |id| there.contains(id)))
}

#[cfg(test)]
mod tests {
    use keyvault_core::name::{EnvName, NameError};

    use super::*;
    use crate::key::record::VersionOrigin;

    fn key(versions: Vec<Version>) -> Result<KeyRecord, NameError> {
        let (name, variable) = (KeyName::parse("db/url")?, EnvName::parse("DB_URL")?);
        Ok(KeyRecord {
            revision: 1,
            next_version: u32::try_from(versions.len()).unwrap_or(u32::MAX) + 1,
            versions,
            ..KeyRecord::new([1; 16], name, variable, Moment(1))
        })
    }

    fn version(number: u32, state: VersionState, has_value: bool) -> Version {
        Version {
            since: Moment(1000 + i64::from(number)),
            digest: has_value.then(Default::default),
            due: Some(Moment(5)),
            ..Version::new(number, state, VersionOrigin::Given, (Moment(number.into()), number.into()))
        }
    }

    fn states(key: &KeyRecord) -> Vec<(u32, VersionState)> {
        key.versions.iter().map(|version| (version.number, version.state)).collect()
    }

    #[test]
    fn versions_before_all_that_a_full_memory_of_wiped_ones_still_names_are_revoked() -> Result<(), NameError>
    {
        use VersionState::{Current, Retired, Revoked};
        let backup =
            key(vec![version(1, Retired, true), version(2, Retired, true), version(4, Current, true)])?;
        let remembered = u32::try_from(REMEMBERED).unwrap_or(u32::MAX);
        for (wiped, wanted) in [
            (remembered, [(1, Revoked), (2, Revoked), (4, Current)]),
            (remembered - 1, [(1, Retired), (2, Retired), (4, Current)]),
        ] {
            let now = key((3..3 + wiped).map(|number| version(number, Retired, false)).collect())?;
            let (mut kept, mut restored) = (Kept::default(), backup.clone());
            kept.forget(&mut restored, &now);
            assert_eq!(states(&restored), wanted, "{wiped} wiped");
            assert_eq!((kept.revoked, kept.changed), (wiped == remembered, wiped == remembered));
            assert!(restored.versions.iter().all(|version| version.digest.is_some()));
        }
        Ok(())
    }

    #[test]
    fn a_revoked_version_that_the_backup_lacks_keeps_its_number_without_a_value_to_wipe()
    -> Result<(), NameError> {
        use VersionState::{Current, Retired, Revoked};
        let mut restored = key(vec![version(1, Retired, true), version(3, Current, true)])?;
        let mut kept = Kept::default();
        kept.remember(&mut restored, &version(2, Revoked, true));
        assert_eq!(states(&restored), [(1, Retired), (2, Revoked), (3, Current)]);
        let revoked = restored.version(2).map(|version| (version.digest, version.due));
        assert_eq!(revoked, Some((None, None)));
        assert_eq!((kept.changed, kept.revoked), (true, false));
        Ok(())
    }
}
