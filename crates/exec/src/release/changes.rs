//! The fate of versions that were handed out, for `--watch`, which keeps a process up to date.
//!
//! A file that looks as before from outside has not changed ([`Glance`]); only when it does is anything read, and
//! then it is verified as for every other command. Nothing here releases a value.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use keyvault_core::clock::Moment;
use keyvault_core::name::KeyName;

use keyvault_vault::{KeySource, KeyView, Looking, Reading, VaultError, VersionState};

use super::stage::{Released, Resolved};

/// A version that was handed out. The numbers of a key's versions are never used twice, so this names one value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Given {
    /// The key's name at that time.
    pub name: KeyName,
    pub version: u32,
    /// The key itself, whatever its name.
    key: [u8; 16],
    meant: Meant,
}

impl Given {
    /// Returns `true` if an older version than the current one was asked for.
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

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The key hands out another version: this.
    Replaced(Given),
    /// The key is past its expiry.
    Expired,
    /// Its owner has disabled the key.
    Disabled,
    /// The version that was meant is handed out no more: it was revoked, or its grace is over.
    Revoked,
    /// There is no such key any more.
    Removed,
}

/// The fates of versions that were handed out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Those that are no longer what would be handed out.
    pub fates: Vec<(Given, Fate)>,
    /// When that may change although the vault does not: an expiry, the end of a grace.
    pub until: Option<Moment>,
}

impl Given {
    /// The versions that were released, each once. `previous` are the keys whose version before the current one was meant.
    #[must_use]
    pub fn of(released: &Released, previous: &[KeyName]) -> Vec<Self> {
        let given = |name: &KeyName, version, key, pinned| Self {
            name: name.clone(),
            version,
            key,
            meant: match pinned {
                true => Meant::Pinned,
                false if previous.contains(name) => Meant::Previous,
                false => Meant::Current,
            },
        };
        let values = || released.values().iter();
        let own = values().filter(|value| value.parts.is_empty());
        let own = own.map(|own: &Resolved| given(&own.name, own.version, own.key, own.pinned));
        let parts = values().flat_map(|value| &value.parts);
        let parts = parts.map(|part| given(&part.name, part.version, part.key, part.pinned));
        let mut all: Vec<_> = own.chain(parts).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// This version under the name that `other` was asked for by, whatever its key is called now.
    #[must_use]
    pub fn asked_for_as(self, other: &Self) -> Self {
        Self { name: other.name.clone(), ..self }
    }
}

/// Compares the versions that were handed out with the vault as it is now.
pub fn outcomes(reading: &Reading<'_, Looking>, given: &[Given]) -> Result<Outcomes, VaultError> {
    let (mut keys, now) = (reading.keys()?, reading.now());
    let mut outcomes = Outcomes::default();
    for given in given {
        let key = key_of(&mut *keys, given)?;
        if let Some(fate) = fate(key.as_ref(), given, now) {
            outcomes.fates.push((given.clone(), fate));
        } else if let Some(key) = key {
            let grace = key.good_until(given.version);
            let ends = [key.expires(), grace.filter(|_| given.meant != Meant::Current), outcomes.until];
            outcomes.until = ends.into_iter().flatten().min();
        }
    }
    Ok(outcomes)
}

/// The key, under whatever name it goes now; else the one that has taken its name.
fn key_of(keys: &mut dyn KeySource, given: &Given) -> Result<Option<KeyView>, VaultError> {
    let named = keys.named(&given.name)?;
    if named.as_ref().is_some_and(|key| *key.id() == given.key) {
        return Ok(named);
    }
    Ok(keys.all()?.into_iter().find(|key| *key.id() == given.key).or(named))
}

fn fate(key: Option<&KeyView>, given: &Given, now: Moment) -> Option<Fate> {
    let Some(key) = key else { return Some(Fate::Removed) };
    if key.disabled() {
        return Some(Fate::Disabled);
    }
    if key.expired(now) {
        return Some(Fate::Expired);
    }
    let good = |state| matches!(state, VersionState::Current | VersionState::Previous);
    let meant = match given.meant {
        Meant::Current => key.current(),
        Meant::Previous => key.previous(now),
        Meant::Pinned => key.state_of(given.version, now).filter(|state| good(*state)).map(|_| given.version),
    };
    match meant {
        None => Some(Fate::Revoked),
        Some(version) if *key.id() == given.key && version == given.version => None,
        Some(version) => Some(Fate::Replaced(Given {
            name: key.name().clone(),
            version,
            key: *key.id(),
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

    /// Returns `true` if the file may have changed since the last time. Two changes within one tick of the kernel's
    /// clock look alike: what was touched only now is looked at once more.
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
