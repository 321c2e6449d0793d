//! What became of versions that were handed out: for who keeps a process up to date.
//!
//! A file that looks as before from outside has not changed ([`Glance`]); only when it does is anything read, and
//! then it is verified as for every other command. Nothing here releases a value.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use keyvault_core::clock::Moment;
use keyvault_core::name::KeyName;

use super::select::{Resolved, Resolver};
use crate::error::VaultError;
use crate::key::record::{Item, Version, VersionState};

/// A version that was handed out. The numbers of a key's versions are never used twice, so this names one value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Given {
    /// The key's name at that time.
    pub name: KeyName,
    /// The version.
    pub version: u32,
    /// The key itself, whatever its name.
    item: [u8; 16],
    meant: Meant,
}

impl Given {
    /// Whether an older version than the current one was asked for.
    #[must_use]
    pub fn is_of_the_past(&self) -> bool {
        self.meant != Meant::Current
    }
}

/// Which version of a key was meant, and so what takes its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Meant {
    Current,
    /// The one before the current one, while its grace lasts.
    Previous,
    /// This very one, while it is good.
    Pinned,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The key hands out another version: this.
    Replaced(Given),
    /// The key is past its expiry.
    Expired,
    /// What was meant is handed out no more: the version was revoked, or its grace is over.
    Revoked,
    /// There is no such key any more.
    Removed,
}

/// What became of all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aftermath {
    /// Those that are no longer what would be handed out.
    pub fates: Vec<(Given, Fate)>,
    /// When that may change although the vault does not: an expiry, the end of a grace.
    pub until: Option<Moment>,
}

impl Given {
    /// What was released, each version once. `previous` are the keys whose version before the current one was meant.
    #[must_use]
    pub fn of(resolved: &[Resolved], previous: &[KeyName]) -> Vec<Self> {
        let given = |name: &KeyName, version, item, pinned| Self {
            name: name.clone(),
            version,
            item,
            meant: match pinned {
                true => Meant::Pinned,
                false if previous.contains(name) => Meant::Previous,
                false => Meant::Current,
            },
        };
        let own = resolved.iter().filter(|key| key.parts.is_empty());
        let own = own.map(|key| given(&key.name, key.version, key.item, key.pinned));
        let parts = resolved.iter().flat_map(|key| &key.parts);
        let parts = parts.map(|part| given(&part.name, part.version, part.item, part.pinned));
        let mut all: Vec<_> = own.chain(parts).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The same under the name that `other` was asked for by, whatever its key is called now.
    #[must_use]
    pub fn asked_for_as(self, other: &Self) -> Self {
        Self { name: other.name.clone(), ..self }
    }
}

impl Resolver<'_> {
    /// What became of versions that were handed out.
    pub(crate) fn aftermath(&mut self, now: Moment, given: &[Given]) -> Result<Aftermath, VaultError> {
        let mut aftermath = Aftermath::default();
        for given in given {
            let item = self.key_of(given)?;
            if let Some(fate) = fate(item.as_ref(), given, now) {
                aftermath.fates.push((given.clone(), fate));
            } else if let Some(item) = item {
                let grace = item.version(given.version).and_then(Version::good_until);
                let ends = [item.expires, grace.filter(|_| given.meant != Meant::Current), aftermath.until];
                aftermath.until = ends.into_iter().flatten().min();
            }
        }
        Ok(aftermath)
    }

    /// The key, under whatever name it goes now; else the one that has taken its name.
    fn key_of(&mut self, given: &Given) -> Result<Option<Item>, VaultError> {
        let named = self.source.named(&given.name)?;
        if named.as_ref().is_some_and(|item| item.id == given.item) {
            return Ok(named);
        }
        Ok(self.source.all()?.into_iter().find(|item| item.id == given.item).or(named))
    }
}

fn fate(item: Option<&Item>, given: &Given, now: Moment) -> Option<Fate> {
    let Some(item) = item else { return Some(Fate::Removed) };
    if item.expired(now) {
        return Some(Fate::Expired);
    }
    let good =
        |version: &&Version| matches!(version.state_at(now), VersionState::Current | VersionState::Previous);
    let meant = match given.meant {
        Meant::Current => item.current(),
        Meant::Previous => item.previous(now),
        Meant::Pinned => item.version(given.version).filter(good),
    };
    match meant {
        None => Some(Fate::Revoked),
        Some(version) if item.id == given.item && version.number == given.version => None,
        Some(version) => Some(Fate::Replaced(Given {
            name: item.name.clone(),
            version: version.number,
            item: item.id,
            meant: given.meant,
        })),
    }
}

/// How a vault's file and its log look from outside.
#[derive(Debug)]
pub struct Glance {
    vault: PathBuf,
    log: PathBuf,
    seen: Option<[Look; 2]>,
}

/// Which file, its length, and when it was last touched.
type Look = Option<(u64, u64, u64, SystemTime)>;

impl Glance {
    /// At this vault; nothing was seen yet.
    #[must_use]
    pub fn at(vault: &Path) -> Self {
        let mut log = vault.as_os_str().to_owned();
        log.push("-wal");
        Self { vault: vault.to_owned(), log: log.into(), seen: None }
    }

    /// Whether the file may have changed since the last time. Two changes within one tick of the kernel's clock look
    /// alike: what was touched only now is looked at once more.
    pub fn changed(&mut self) -> bool {
        const TICK: Duration = Duration::from_millis(100);
        let now = [look(&self.vault), look(&self.log)];
        let settled = |look: &Look| {
            look.is_none_or(|(.., touched)| touched.elapsed().is_ok_and(|elapsed| elapsed > TICK))
        };
        let changed = self.seen != Some(now);
        self.seen = now.iter().all(settled).then_some(now);
        changed
    }
}

fn look(path: &Path) -> Look {
    use std::os::unix::fs::MetadataExt;
    let facts = std::fs::symlink_metadata(path).ok()?;
    let since = Duration::new(
        u64::try_from(facts.ctime()).unwrap_or(0),
        u32::try_from(facts.ctime_nsec()).unwrap_or(0),
    );
    Some((facts.dev(), facts.ino(), facts.len(), SystemTime::UNIX_EPOCH + since))
}
