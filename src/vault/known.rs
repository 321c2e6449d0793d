//! What a vault that a backup is to replace still tells of what must not come back with it: revoked versions, revoked
//! tokens, numbers that were given. Of a vault that is damaged every row counts that holds by itself.

use std::collections::BTreeMap;

use crate::audit::{self, Action, Event, Outcome};
use crate::clock::Moment;
use crate::name::TokenName;
use crate::store::{SlotRow, StoreError, TokenId};

use super::error::VaultError;
use super::item::{Item, Version, VersionState};
use super::lifecycle::new_name;
use super::open::{Access, Vault, World};
use super::work::Work;

/// By the name that a key had in the backup: the highest version that was revoked since, when, and why.
type Revoked = BTreeMap<String, (u32, Moment, String)>;

/// What stands in a backup's way.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Known {
    /// The highest change number: the vault's or its pin's.
    pub(super) change: Option<u64>,
    /// Keys that could be read.
    pub(super) items: Vec<Item>,
    revoked: Revoked,
    /// Tokens that are in force; `None` where there is no vault, and so nobody who says that one is not.
    pub(super) tokens: Option<BTreeMap<TokenId, TokenName>>,
    /// The slots, if everything could be read.
    pub(super) whole: Option<Vec<SlotRow>>,
}

/// What becomes of a key of a backup.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Something is other than in the backup.
    pub(super) changed: bool,
    /// A version is revoked that is not in the backup.
    pub(super) revoked: bool,
    /// Versions whose values were wiped since.
    wiped: Vec<u32>,
}

impl Known {
    /// Reads the vault with what opens it. `since` is how many entries the backup's log has.
    pub(super) fn of(vault: &mut Vault, access: Option<&Access>, since: u64) -> Result<Self, VaultError> {
        let nothing = Self { tokens: Some(BTreeMap::new()), ..Self::default() };
        let Some(access) = access else { return Ok(nothing) };
        let whole = vault.read(access, |work| {
            let (items, slots, tokens) = (work.items()?, work.slots()?, work.tokens_in_force()?);
            let revoked = work.revoked_since(since)?;
            let (change, tokens, whole) = (Some(work.change_number()), Some(tokens), Some(slots));
            Ok(Self { change, items, revoked, tokens, whole })
        });
        let salvaged = match whole {
            Err(error) if is_damage(&error) => vault.read(access, |work| Ok(work.salvage(since))),
            whole => return whole,
        };
        match salvaged {
            Err(error) if is_damage(&error) => Ok(nothing),
            salvaged => salvaged,
        }
    }

    /// Makes a key of the backup what it may be now. Revoked versions never return, not with a backup either, what was
    /// wiped with them stays so, and no number is given to another value.
    pub(super) fn keep(&self, item: &mut Item) -> Kept {
        let mut kept = Kept::default();
        if let Some(now) = self.items.iter().find(|known| known.id == item.id) {
            for version in now.versions.iter().filter(|version| version.state == VersionState::Revoked) {
                kept.spend(item, version);
            }
            if item.next_version < now.next_version {
                item.next_version = now.next_version;
                kept.changed = true;
            }
        } else if let Some((number, since, reason)) = self.revoked.get(item.name.as_str()) {
            let alive =
                |version: &&mut Version| version.number <= *number && version.state != VersionState::Revoked;
            for version in item.versions.iter_mut().filter(alive) {
                version.revoke(*since, reason);
                (kept.changed, kept.revoked) = (true, true);
            }
        }
        kept
    }
}

impl Kept {
    fn spend(&mut self, item: &mut Item, revoked: &Version) {
        let Some(version) = item.versions.iter_mut().find(|version| version.number == revoked.number) else {
            item.versions.push(Version { digest: None, due: None, ..revoked.clone() });
            item.versions.sort_by_key(|version| version.number);
            self.changed = true;
            return;
        };
        if version.state != VersionState::Revoked {
            version.revoke(revoked.since, &revoked.reason);
            (self.changed, self.revoked) = (true, true);
        }
        if revoked.digest.is_none() && version.digest.take().is_some() {
            self.wiped.push(version.number);
            self.changed = true;
        }
    }
}

/// Whether a vault cannot be read because of what stands in it. That it is busy, or its disk fails, tells nothing.
fn is_damage(error: &VaultError) -> bool {
    !matches!(error, VaultError::Store(StoreError::Busy | StoreError::Io(_)) | VaultError::Io { .. })
}

impl Work<'_> {
    pub(super) fn tokens_in_force(&mut self) -> Result<BTreeMap<TokenId, TokenName>, VaultError> {
        let in_force = self.load_tokens()?.into_iter().filter(|token| token.revoked.is_none());
        Ok(in_force.map(|token| (token.id, token.name)).collect())
    }

    /// Every row that the tree knows, whatever became of the others.
    fn salvage(&mut self, since: u64) -> Known {
        let mut tags = Vec::new();
        let _ = self.tx.each_item(|row| {
            tags.push(row.tag);
            Ok(())
        });
        let items = tags.iter().filter_map(|tag| self.item_at(tag).ok().flatten()).collect();
        let rows = self.tx.tokens().unwrap_or_default();
        let tokens = rows.iter().filter_map(|row| self.verified_token(row).ok());
        let tokens =
            tokens.filter(|token| token.revoked.is_none()).map(|token| (token.id, token.name)).collect();
        Known {
            change: Some(self.change_number()),
            items,
            revoked: self.revoked_since(since).unwrap_or_default(),
            tokens: Some(tokens),
            whole: None,
        }
    }

    /// What the log says was revoked from its entry `since` on, for keys that are gone by now; by the name that the key
    /// had there. An entry names the version that was current, whatever older ones were revoked with it.
    fn revoked_since(&self, since: u64) -> Result<Revoked, VaultError> {
        let mut revoked = Revoked::new();
        let mut was: BTreeMap<String, String> = BTreeMap::new();
        audit::read_all(self.tx, &self.keys.audit, &self.identity, &mut |seq, event: Event| {
            if seq < since || event.outcome != Outcome::Done {
                return;
            }
            match (event.action, new_name(&event), event.keys.as_slice()) {
                (Action::Edit, Some(new), [key]) => {
                    let first = was.remove(&key.name).unwrap_or_else(|| key.name.clone());
                    was.insert(new.to_owned(), first);
                }
                (Action::Revoke, _, keys) => {
                    for key in keys {
                        let name = was.get(&key.name).unwrap_or(&key.name).clone();
                        if revoked.get(&name).is_none_or(|(number, ..)| *number <= key.version) {
                            revoked.insert(name, (key.version, event.time, event.detail.clone()));
                        }
                    }
                }
                _ => {}
            }
        })?;
        Ok(revoked)
    }

    /// Makes a backup's keys and tokens what they may be now.
    pub(super) fn keep_known(&mut self, known: &Known, world: &World<'_>) -> Result<(), VaultError> {
        for mut item in self.items()? {
            let kept = known.keep(&mut item);
            for number in kept.wiped {
                self.tx.delete_version(&item.id, number)?;
            }
            if kept.changed {
                self.put_item(&mut item, world.rng)?;
            }
        }
        match &known.tokens {
            Some(tokens) => self.keep_tokens(&tokens.keys().copied().collect(), world),
            None => Ok(()),
        }
    }
}
