//! The pin: the last state of a vault that this machine saw, kept outside the file.
//!
//! A file that was put back as a whole is consistent in itself; only a memory elsewhere notices. One small JSON file
//! per path, as the user gave it, holds the vault's id, epoch, change number, and the state record's hash: an attacker
//! who exchanges a folder, or the target of a link on the way, does not change the path, so the file that lies there
//! then has to continue the one that was seen there, or is an alarm. The pin is read *before* the state, so that a
//! change made in between can only look newer than the pin. It needs no key: anyone who can write this user's state
//! folder can delete the pin as well, and no pin is a first use.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;

use crate::audit::{self, AuditError, AuditKeys, ChangeMark, Event};
use crate::store::{StoreError, TokenId, Tx};
use keyvault_core::codec;
use keyvault_core::crypto::{Hash, sha256};
use keyvault_core::identity::{FORMAT, Identity};
use keyvault_issue::VerifierId;
use keyvault_issue::hold;
use keyvault_os::fs::lock::FileLock;
use keyvault_os::fs::private;

use super::StateError;
use super::pin_file::parse;
use super::record::Authentic;

/// The folder with this user's pins.
#[derive(Debug, Clone)]
pub struct Pins {
    folder: PathBuf,
}

/// Where a vault lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultPath {
    /// As the user gave it, made absolute; `..` and links stay, for only the file system knows where they lead.
    pub given: PathBuf,
    /// Where that leads now.
    pub resolved: PathBuf,
}

/// Something that a token's bearer saw in a vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen<'i> {
    /// The view of a token.
    View(&'i TokenId),
    /// The state record, with a token.
    Record(&'i TokenId),
    /// The header of a set.
    Set(&'i [u8; 16]),
}

/// The last state of a vault that was seen at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Zero for what a token's bearer sees.
    pub vault_id: [u8; 16],
    pub change: u64,
    /// Names the state record, or a token's view.
    pub hash: Hash,
    /// The vault's epoch; none of what a token's bearer sees. A rekey begins another one, so that no key of before it
    /// makes what goes on from here.
    pub epoch: Option<u32>,
    /// Where, for people; may be lossy.
    pub path: String,
    /// Names the place that the path led to.
    pub resolved: [u8; PLACE_LEN],
}

/// Length of what names a path, in bytes.
pub(super) const PLACE_LEN: usize = 16;

/// The pin as it was read, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Memory {
    /// Nothing: first use at this path. The highest pin of the same vault at another path, if there is one.
    None {
        /// Another copy's pin.
        elsewhere: Option<Pin>,
    },
    /// A file that is not a pin: treated as none, said in one line.
    Unreadable,
    /// Another vault was seen at this path.
    OtherVault(Pin),
    Pin(Pin),
}

impl Memory {
    /// The pin, if there is one.
    #[must_use]
    pub fn pin(&self) -> Option<&Pin> {
        match self {
            Self::Pin(pin) => Some(pin),
            Self::None { .. } | Self::Unreadable | Self::OtherVault(_) => None,
        }
    }
}

/// How the file stands to the pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    FirstUse,
    /// The state is the pinned one.
    Same,
    /// Newer, and its audit chain leads from the pinned record to it.
    Ahead,
    /// Older than what was last seen.
    RolledBack,
    /// Neither older nor a continuation.
    Forked,
    /// Another vault lay at this path.
    OtherVault,
}

impl Standing {
    /// Returns `true` if values are refused until the file is adopted.
    #[must_use]
    pub fn alarms(self) -> bool {
        match self {
            Self::FirstUse | Self::Same | Self::Ahead => false,
            Self::RolledBack | Self::Forked | Self::OtherVault => true,
        }
    }
}

impl Pins {
    /// Pins in `folder`, which need not exist yet.
    #[must_use]
    pub fn in_folder(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn file(&self, path: &VaultPath) -> PathBuf {
        self.folder.join(format!("{}.json", name_of(&path.given)))
    }

    pub(super) fn witness_file(&self, identity: &Identity, path: &VaultPath) -> PathBuf {
        self.folder.join(format!("{}-{}.log", name_of(&path.resolved), identity.vault_hex()))
    }

    fn token_file(&self, seen: &Seen<'_>, given: &Path) -> PathBuf {
        let (word, id) = match seen {
            Seen::View(id) => ("token", id),
            Seen::Record(id) => ("record", id),
            Seen::Set(id) => ("set", id),
        };
        self.folder.join(format!("{word}-{}-{}.json", HEXLOWER.encode(*id), name_of(given)))
    }

    /// The memory of a token's view in the vault at `path`, or of its bundles under a path of their own. A token's
    /// bearer knows nothing of other copies.
    #[must_use]
    pub fn read_token(&self, token: &TokenId, path: &VaultPath) -> Memory {
        self.read_seen(&Seen::View(token), path)
    }

    /// The memory of what a token's bearer saw in the vault at `path`.
    #[must_use]
    pub(crate) fn read_seen(&self, seen: &Seen<'_>, path: &VaultPath) -> Memory {
        let of = |path: &Path| read(&self.token_file(seen, path));
        let resolved = if path.resolved == path.given { None } else { of(&path.resolved) };
        match (of(&path.given), resolved) {
            (Some(Memory::Pin(given)), Some(Memory::Pin(resolved)))
                if resolved.epoch_then_change() > given.epoch_then_change() =>
            {
                Memory::Pin(resolved)
            }
            // A file that is no pin must not hide the one that is.
            (None | Some(Memory::Unreadable), Some(resolved)) => resolved,
            (given, _) => given.unwrap_or(Memory::None { elsewhere: None }),
        }
    }

    /// Moves the pins of a token forward: that of the path as given, and that of where it leads.
    pub fn advance_token(&self, token: &TokenId, path: &VaultPath, seen: &Pin) -> io::Result<()> {
        self.advance_seen(&Seen::View(token), path, seen)
    }

    /// Moves the pins of what a token's bearer saw forward: that of the path as given, and that of where it leads.
    pub(crate) fn advance_seen(&self, what: &Seen<'_>, path: &VaultPath, seen: &Pin) -> io::Result<()> {
        let advance = |path: &Path| {
            self.write(&self.token_file(what, path), seen, |pinned| {
                pinned.vault_id != seen.vault_id || pinned.epoch_then_change() <= seen.epoch_then_change()
            })
        };
        advance(&path.given)?;
        if path.resolved == path.given { Ok(()) } else { advance(&path.resolved) }
    }

    fn holds_file(&self, verifier: &VerifierId, path: &VaultPath) -> PathBuf {
        self.folder.join(format!("holds-{}-{}", HEXLOWER.encode(verifier), name_of(&path.resolved)))
    }

    /// The memory of a verifier's log of holds in the vault at `path`.
    pub(crate) fn holds_seen(&self, verifier: &VerifierId, path: &VaultPath) -> hold::Seen {
        std::fs::read(self.holds_file(verifier, path))
            .ok()
            .and_then(|bytes| codec::decode(&bytes).ok())
            .filter(|(format, _): &(u32, hold::Seen)| *format == FORMAT)
            .map_or_else(hold::Seen::default, |(_, seen)| seen)
    }

    /// Keeps what was seen of a log of holds, beside what another process has seen of it meanwhile.
    pub(crate) fn remember_holds(
        &self,
        verifier: &VerifierId,
        path: &VaultPath,
        seen: &hold::Seen,
    ) -> io::Result<()> {
        if *seen == self.holds_seen(verifier, path) {
            return Ok(());
        }
        private::create_folder(&self.folder)?;
        let _lock = FileLock::exclusive(&self.folder.join("lock"))?;
        let mut kept = self.holds_seen(verifier, path);
        if seen.point.count >= kept.point.count {
            kept.point = seen.point;
        }
        let new = seen.holds.iter().filter(|hold| !kept.holds.contains(hold)).copied();
        kept.holds.extend(new.collect::<Vec<_>>());
        private::replace_private(&self.holds_file(verifier, path), &codec::encode(&(FORMAT, &kept)))
    }

    /// Forgets what was seen with a token that opens nothing any more.
    pub fn forget_token(&self, token: &TokenId) {
        let own = format!("token-{}-", HEXLOWER.encode(token));
        let files = std::fs::read_dir(&self.folder).into_iter().flatten().filter_map(Result::ok);
        for file in files.filter(|file| file.file_name().to_string_lossy().starts_with(&own)) {
            // A pin that stays does no harm.
            let _ = std::fs::remove_file(file.path());
        }
    }

    /// The memory of the vault at `path`. The first use of another path to a place where the vault was seen before
    /// takes over the pin of that place.
    #[must_use]
    pub fn read(&self, identity: &Identity, path: &VaultPath) -> Memory {
        match read(&self.file(path)) {
            Some(Memory::Pin(pin)) if pin.vault_id != identity.vault_id => Memory::OtherVault(pin),
            Some(memory) => memory,
            None => {
                let pins: Vec<_> = self.all().map(|(_, pin)| pin).collect();
                let latest = |pins: &mut dyn Iterator<Item = &Pin>| {
                    pins.max_by_key(|pin| pin.epoch_then_change()).cloned()
                };
                let here = place_of(&path.resolved);
                let is_own = |pin: &&Pin| pin.vault_id == identity.vault_id;
                let mut aliases = pins.iter().filter(|pin| pin.resolved == here);
                match latest(&mut aliases.clone().filter(is_own)) {
                    Some(alias) => Memory::Pin(alias),
                    None => match latest(&mut aliases) {
                        Some(other) => Memory::OtherVault(other),
                        None => Memory::None { elsewhere: latest(&mut pins.iter().filter(is_own)) },
                    },
                }
            }
        }
    }

    /// Every vault's pin that can be read, and its file.
    fn all(&self) -> impl Iterator<Item = (PathBuf, Pin)> {
        let files = std::fs::read_dir(&self.folder).into_iter().flatten().filter_map(Result::ok);
        files
            .filter(|entry| is_name_of_a_vaults_pin(&entry.file_name()))
            .filter_map(|entry| Some((entry.path(), parse(&std::fs::read(entry.path()).ok()?)?)))
    }

    /// The vaults that were seen at `path`, each in the epoch in which it was last.
    pub(crate) fn vaults_at(&self, path: &VaultPath) -> Vec<Identity> {
        let here = place_of(&path.resolved);
        let own = std::fs::read(self.file(path)).ok().and_then(|bytes| parse(&bytes));
        let aliases = self.all().map(|(_, pin)| pin).filter(|pin| pin.resolved == here);
        let seen = own.into_iter().chain(aliases);
        seen.map(|pin| Identity { vault_id: pin.vault_id, epoch: pin.epoch.unwrap_or(1) }).collect()
    }

    /// Moves the pin forward to `seen`; a pin that is as far or further stays. Under a lock, because two commands may
    /// finish at once. Of two changes with one number the first stays remembered, and the alarm is raised.
    pub fn advance(&self, identity: &Identity, path: &VaultPath, seen: &Authentic) -> io::Result<()> {
        let pin = Pin::of(seen, identity, path);
        self.write(&self.file(path), &pin, |pinned| {
            pinned.vault_id == pin.vault_id && pinned.epoch_then_change() < pin.epoch_then_change()
        })
    }

    /// Puts the pin where a new or an adopted file stands, whatever it said before, and those of other paths to it. Made
    /// durable: an older pin that a power cut brought back would raise the alarm again that was just answered.
    pub fn replace(&self, identity: &Identity, path: &VaultPath, seen: &Authentic) -> io::Result<()> {
        let file = self.file(path);
        let pin = Pin::of(seen, identity, path);
        self.write(&file, &pin, |_| true)?;
        for (alias, old) in self.all().filter(|(name, old)| *name != file && old.resolved == pin.resolved) {
            self.write(&alias, &Pin { path: old.path, ..pin.clone() }, |_| true)?;
        }
        self.reset_witness(identity, path);
        private::sync(&file)
    }

    fn write(&self, file: &Path, pin: &Pin, may_replace: impl Fn(&Pin) -> bool) -> io::Result<()> {
        private::create_folder(&self.folder)?;
        let _lock = FileLock::exclusive(&self.folder.join("lock"))?;
        let pinned = std::fs::read(file).ok().and_then(|bytes| parse(&bytes));
        if pinned.is_some_and(|pinned| !may_replace(&pinned)) {
            return Ok(());
        }
        private::replace_private(file, &pin.encode()?)
    }
}

/// The content of a pin's file; `None` if there is no such file. A file that may not be read is no first use.
fn read(file: &Path) -> Option<Memory> {
    match std::fs::read(file) {
        Ok(bytes) => Some(parse(&bytes).map_or(Memory::Unreadable, Memory::Pin)),
        // HOME=/dev/null is no home.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => None,
        Err(_) => Some(Memory::Unreadable),
    }
}

impl VaultPath {
    /// The vault that a user named `given` and that was found at `resolved`.
    #[must_use]
    pub fn of(given: &Path, resolved: &Path) -> Self {
        // Fails only for an empty path, or where the working folder is gone.
        let given = std::path::absolute(given).unwrap_or_else(|_| resolved.to_owned());
        Self { given, resolved: resolved.to_owned() }
    }
}

/// Names a path.
fn place_of(path: &Path) -> [u8; PLACE_LEN] {
    let mut place = [0; PLACE_LEN];
    for (to, from) in place.iter_mut().zip(sha256(path.as_os_str().as_encoded_bytes())) {
        *to = from;
    }
    place
}

/// The part of a file name that says where.
pub(super) fn name_of(path: &Path) -> String {
    HEXLOWER.encode(&place_of(path))
}

/// A vault's pin is named by its place alone.
fn is_name_of_a_vaults_pin(name: &OsStr) -> bool {
    name.as_encoded_bytes()
        .strip_suffix(b".json")
        .is_some_and(|place| place.len() == 2 * PLACE_LEN && HEXLOWER.decode(place).is_ok())
}

impl Pin {
    fn of(seen: &Authentic, identity: &Identity, path: &VaultPath) -> Self {
        Self {
            vault_id: identity.vault_id,
            change: seen.record.change,
            hash: seen.hash,
            epoch: Some(identity.epoch),
            path: path.given.to_string_lossy().into_owned(),
            resolved: place_of(&path.resolved),
        }
    }

    /// A pin for a view or a bundle that a token's bearer saw at `path`.
    #[must_use]
    pub fn of_token(change: u64, hash: Hash, path: &Path) -> Self {
        let path = path.to_string_lossy().into_owned();
        Self { vault_id: [0; 16], change, hash, epoch: None, path, resolved: [0; PLACE_LEN] }
    }

    /// A pin for the header of an issuer's set.
    #[must_use]
    pub(crate) fn of_set(identity: &Identity, number: u64, hash: Hash, path: &Path) -> Self {
        Self {
            vault_id: identity.vault_id,
            epoch: Some(identity.epoch),
            ..Self::of_token(number, hash, path)
        }
    }

    /// A later epoch comes after every change of an earlier one.
    fn epoch_then_change(&self) -> (Option<u32>, u64) {
        (self.epoch, self.change)
    }

    /// Returns `true` if this is of a later epoch than something of these, or of the same and a later change.
    #[must_use]
    pub(crate) fn is_later_than(&self, epoch: u32, change: u64) -> bool {
        (self.epoch.unwrap_or(epoch), self.change) > (epoch, change)
    }

    /// How something of this change and hash stands to what is pinned. Ahead says nothing of the way there.
    #[must_use]
    pub(crate) fn standing_of(&self, change: u64, hash: &Hash) -> Standing {
        match change.cmp(&self.change) {
            Ordering::Less => Standing::RolledBack,
            Ordering::Equal if self.hash == *hash => Standing::Same,
            Ordering::Equal => Standing::Forked,
            Ordering::Greater => Standing::Ahead,
        }
    }
}

/// Holds an authentic record against what is remembered.
///
/// A file ahead of its pin is followed back: the event of the first change after the pinned one must name the pinned
/// record, and every event from there to the record's own must follow from the one before. Events are sealed and
/// the record binds the last of them, so a fork cannot present another branch's event as its own.
pub(crate) fn judge(
    memory: &Memory,
    current: &Authentic,
    tx: &Tx<'_>,
    keys: &AuditKeys,
    identity: &Identity,
) -> Result<Standing, StateError> {
    let pin = match memory {
        Memory::Pin(pin) => pin,
        Memory::OtherVault(_) => return Ok(Standing::OtherVault),
        Memory::None { .. } | Memory::Unreadable => return Ok(Standing::FirstUse),
    };
    // A holder of an epoch's keys and a copy of it can have it go on from anything.
    if pin.epoch.is_some_and(|pinned| identity.epoch < pinned) {
        return Ok(Standing::RolledBack);
    }
    match pin.standing_of(current.record.change, &current.hash) {
        Standing::Ahead => {}
        standing => return Ok(standing),
    }
    // A continuation that cannot be proved is the owner's to accept; an error would leave no way to do so.
    let next = match tx.entry_of_next_change(pin.change) {
        Ok(Some(next)) => next,
        Ok(None) | Err(StoreError::Damaged { .. }) => return Ok(Standing::Forked),
        Err(error) => return Err(error.into()),
    };
    let (mut first, mut last, mut rising) = (None, None, true);
    // The entries behind the record's own are reads, however many; they prove nothing about changes.
    let entries = next.seq..current.record.audit_count;
    let read = audit::read_range(tx, keys, identity, entries, &mut |_, event: Event| {
        if let Some(change) = event.change {
            rising &= last.is_none_or(|before: ChangeMark| before.number < change.number);
            first.get_or_insert(change);
            last = Some(change);
        }
    });
    let record = &current.record;
    let leads_here = rising
        && first.is_some_and(|change| change.previous == pin.hash)
        && last == Some(ChangeMark { number: record.change, previous: record.previous });
    match read {
        Ok(()) if leads_here => Ok(Standing::Ahead),
        Ok(()) | Err(AuditError::Broken { .. } | AuditError::Store(StoreError::Damaged { .. })) => {
            Ok(Standing::Forked)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::record::{Record, SignedBy};
    use super::*;
    use keyvault_core::clock::Moment;
    use keyvault_core::codec::Extensions;

    const IDENTITY: Identity = Identity { vault_id: [1; 16], epoch: 1 };

    fn pin(change: u64, hash: u8) -> Pin {
        Pin {
            vault_id: IDENTITY.vault_id,
            change,
            hash: [hash; 32],
            epoch: None,
            path: "/somewhere/vault.db".to_owned(),
            resolved: place_of(Path::new("/somewhere/vault.db")),
        }
    }

    fn pins() -> (tempfile::TempDir, Pins) {
        let folder = tempfile::tempdir().unwrap();
        let pins = Pins::in_folder(folder.path().join("state/pins"));
        (folder, pins)
    }

    /// A vault that was found where it was said to be.
    fn at(path: &str) -> VaultPath {
        VaultPath::of(Path::new(path), Path::new(path))
    }

    /// A vault's pin as `advance` leaves it.
    fn keep(pins: &Pins, path: &str, pin: &Pin) {
        let pin = Pin { resolved: place_of(Path::new(path)), ..pin.clone() };
        pins.write(&pins.file(&at(path)), &pin, |_| true).unwrap();
    }

    /// Change and first byte of the hash of what is remembered.
    fn seen(memory: &Memory) -> Option<(u64, u8)> {
        memory.pin().map(|pin| (pin.change, pin.hash[0]))
    }

    #[test]
    fn what_was_kept_is_read_back_at_its_path_and_another_vault_there_is_told_apart() {
        let (_folder, pins) = pins();
        let here = at("/a/vault.db");
        assert_eq!(pins.read(&IDENTITY, &here), Memory::None { elsewhere: None });
        keep(&pins, "/a/vault.db", &pin(7, 1));
        assert_eq!(seen(&pins.read(&IDENTITY, &here)), Some((7, 1)));
        let rekeyed = Identity { epoch: 2, ..IDENTITY };
        assert_eq!(seen(&pins.read(&rekeyed, &here)), Some((7, 1)), "an epoch is the same vault's");
        let other = Identity { vault_id: [2; 16], ..IDENTITY };
        assert!(matches!(pins.read(&other, &here), Memory::OtherVault(pin) if pin.change == 7));
        assert_eq!(pins.read(&other, &at("/b")), Memory::None { elsewhere: None });
    }

    #[test]
    fn a_pin_hangs_on_the_path_as_given_wherever_that_leads() {
        let (_folder, pins) = pins();
        keep(&pins, "/home/ada/vault.db", &pin(7, 1));
        // A link on the way leads elsewhere now.
        let moved = VaultPath::of(Path::new("/home/ada/vault.db"), Path::new("/mnt/old/vault.db"));
        assert_eq!(seen(&pins.read(&IDENTITY, &moved)), Some((7, 1)));
        // Another path to the same place takes over what was seen there, the latest of it.
        let alias = VaultPath::of(Path::new("/link/vault.db"), Path::new("/home/ada/vault.db"));
        assert_eq!(seen(&pins.read(&IDENTITY, &alias)), Some((7, 1)));
        let later = Pin { resolved: place_of(Path::new("/home/ada/vault.db")), ..pin(9, 2) };
        pins.write(&pins.file(&at("/third")), &later, |_| true).unwrap();
        assert_eq!(seen(&pins.read(&IDENTITY, &alias)), Some((9, 2)));
    }

    #[test]
    fn another_vault_behind_a_path_that_was_never_pinned_is_told_apart_by_the_place() {
        let (_folder, pins) = pins();
        keep(&pins, "/real/vault.db", &pin(7, 1));
        let alias = VaultPath::of(Path::new("/link/vault.db"), Path::new("/real/vault.db"));
        let other = Identity { vault_id: [2; 16], ..IDENTITY };
        assert!(matches!(pins.read(&other, &alias), Memory::OtherVault(pin) if pin.change == 7));
    }

    #[test]
    fn what_is_adopted_by_one_path_is_adopted_by_all_that_lead_there() {
        let (_folder, pins) = pins();
        let (real, link) =
            (at("/real/v.db"), VaultPath::of(Path::new("/link/v.db"), Path::new("/real/v.db")));
        keep(&pins, "/real/v.db", &pin(7, 1));
        pins.write(&pins.file(&link), &Pin { resolved: place_of(&real.resolved), ..pin(8, 2) }, |_| true)
            .unwrap();
        keep(&pins, "/elsewhere/v.db", &pin(9, 3));
        let record = Record {
            change: 2,
            time: Moment(0),
            root: [0; 16],
            audit_count: 0,
            audit_head: [0; 32],
            sets: [0; 32],
            signer: SignedBy::Epoch([0; 16]),
            previous: [0; 32],
            extensions: Extensions::default(),
        };
        pins.replace(&IDENTITY, &real, &Authentic { record, hash: [5; 32] }).unwrap();
        assert_eq!(seen(&pins.read(&IDENTITY, &link)), Some((2, 5)));
        assert_eq!(seen(&pins.read(&IDENTITY, &real)), Some((2, 5)));
        assert_eq!(seen(&pins.read(&IDENTITY, &at("/elsewhere/v.db"))), Some((9, 3)));
    }

    #[test]
    fn a_view_seen_by_one_path_is_known_by_every_path_to_the_place() {
        let (_folder, pins) = pins();
        let (real, link) =
            (at("/real/v.db"), VaultPath::of(Path::new("/link/v.db"), Path::new("/real/v.db")));
        pins.advance_token(&[3; 16], &real, &pin(5, 1)).unwrap();
        assert_eq!(seen(&pins.read_token(&[3; 16], &link)), Some((5, 1)));
        pins.advance_token(&[3; 16], &link, &pin(6, 2)).unwrap();
        assert_eq!(seen(&pins.read_token(&[3; 16], &real)), Some((6, 2)));
        std::fs::write(pins.token_file(&Seen::View(&[3; 16]), &link.given), "{").unwrap();
        assert_eq!(seen(&pins.read_token(&[3; 16], &link)), Some((6, 2)), "one of the two is damaged");
    }

    #[test]
    fn a_given_path_is_absolute_and_keeps_what_only_the_file_system_can_resolve() {
        let given = |path: &str| VaultPath::of(Path::new(path), Path::new("/")).given;
        assert_eq!(given("/a/./b//vault.db"), Path::new("/a/b/vault.db"));
        assert_eq!(given("/a/../vault.db"), Path::new("/a/../vault.db"));
        assert_eq!(given("vault.db"), std::env::current_dir().unwrap().join("vault.db"));
        assert_eq!(given(""), Path::new("/"));
    }

    #[test]
    fn a_vault_s_pin_moves_forward_only_unless_its_file_is_adopted() {
        let (_folder, pins) = pins();
        let path = at("/a");
        let seen_at = |change, hash| Authentic {
            record: Record {
                change,
                time: Moment(0),
                root: [0; 16],
                audit_count: 0,
                audit_head: [0; 32],
                sets: [0; 32],
                signer: SignedBy::Epoch([0; 16]),
                previous: [0; 32],
                extensions: Extensions::default(),
            },
            hash: [hash; 32],
        };
        let kept = || seen(&pins.read(&IDENTITY, &path));
        pins.advance(&IDENTITY, &path, &seen_at(5, 1)).unwrap();
        assert_eq!(kept(), Some((5, 1)));
        for (change, hash, then) in [(4, 2, (5, 1)), (5, 3, (5, 1)), (6, 4, (6, 4))] {
            pins.advance(&IDENTITY, &path, &seen_at(change, hash)).unwrap();
            assert_eq!(kept(), Some(then));
        }
        let rekeyed = Identity { epoch: 2, ..IDENTITY };
        pins.advance(&rekeyed, &path, &seen_at(3, 7)).unwrap();
        assert_eq!(kept(), Some((3, 7)), "a later epoch comes after all changes of the one before");
        pins.advance(&IDENTITY, &path, &seen_at(9, 8)).unwrap();
        assert_eq!(kept(), Some((3, 7)));
        let other = Identity { vault_id: [2; 16], epoch: 3 };
        pins.advance(&other, &path, &seen_at(99, 9)).unwrap();
        assert_eq!(kept(), Some((3, 7)), "another vault does not take its place in passing");
        pins.replace(&other, &path, &seen_at(2, 5)).unwrap();
        assert_eq!(seen(&pins.read(&other, &path)), Some((2, 5)));
    }

    #[test]
    fn a_first_use_is_told_of_the_highest_pin_at_another_place() {
        let (_folder, pins) = pins();
        for (path, change) in [("/a", 3), ("/b", 9), ("/c", 5)] {
            keep(&pins, path, &pin(change, 0));
        }
        let memory = pins.read(&IDENTITY, &at("/d"));
        assert!(matches!(&memory, Memory::None { elsewhere: Some(pin) } if pin.change == 9), "{memory:?}");
        assert_eq!(memory.pin(), None, "it is not this place's");
    }

    #[test]
    fn what_is_not_a_pin_is_said_to_be_unreadable_and_is_rewritten() {
        let (_folder, pins) = pins();
        let token = [3; 16];
        let path = &at("/a");
        pins.advance_token(&token, path, &pin(5, 0)).unwrap();
        let file = pins.token_file(&Seen::View(&token), &path.given);
        for garbage in ["", "{}", "not JSON"] {
            std::fs::write(&file, garbage).unwrap();
            assert_eq!(pins.read_token(&token, path), Memory::Unreadable, "{garbage}");
        }
        pins.advance_token(&token, path, &pin(2, 0)).unwrap();
        assert_eq!(pins.read_token(&token, path), Memory::Pin(pin(2, 0)));
        std::fs::write(pins.file(&at("/a")), "{").unwrap();
        assert_eq!(pins.read(&IDENTITY, &at("/a")), Memory::Unreadable);
        assert_eq!(Memory::Unreadable.pin(), None);
        // One that may not be read, as a folder may not, is no first use either.
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
        assert_eq!(pins.read_token(&token, path), Memory::Unreadable);
    }

    #[test]
    fn a_token_s_pin_moves_forward_only_and_is_its_own() {
        let (_folder, pins) = pins();
        let path = &at("/a");
        pins.advance_token(&[3; 16], path, &pin(5, 1)).unwrap();
        pins.advance_token(&[3; 16], path, &pin(4, 2)).unwrap();
        assert_eq!(pins.read_token(&[3; 16], path), Memory::Pin(pin(5, 1)));
        pins.advance_token(&[3; 16], path, &pin(5, 3)).unwrap();
        assert_eq!(
            pins.read_token(&[3; 16], path),
            Memory::Pin(pin(5, 3)),
            "the same change may be reported again"
        );
        pins.advance_token(&[3; 16], path, &pin(6, 4)).unwrap();
        assert_eq!(pins.read_token(&[3; 16], path), Memory::Pin(pin(6, 4)));
        for (token, place) in [([4; 16], path), ([3; 16], &at("/b"))] {
            assert_eq!(pins.read_token(&token, place), Memory::None { elsewhere: None });
        }
    }

    #[test]
    fn a_record_is_older_the_same_another_or_ahead() {
        let pinned = pin(5, 1);
        let standing = |change, hash| pinned.standing_of(change, &[hash; 32]);
        assert_eq!(standing(4, 1), Standing::RolledBack);
        assert_eq!(standing(5, 1), Standing::Same);
        assert_eq!(standing(5, 2), Standing::Forked);
        assert_eq!(standing(6, 2), Standing::Ahead);
    }

    #[test]
    fn a_pin_is_one_of_format_1_with_a_whole_hash_and_nothing_else() {
        let text = String::from_utf8(pin(5, 0xab).encode().unwrap()).unwrap();
        assert_eq!(parse(text.as_bytes()), Some(pin(5, 0xab)));
        for (old, new) in [
            (r#""format":1"#, r#""format":2"#),
            (r#""state":"ab"#, r#""state":"a"#),
            (r#""state":"ab"#, r#""state":"zz"#),
            (r#""change":5"#, r#""change":-5"#),
            ("{", r#"{"more":1,"#),
        ] {
            let other = text.replacen(old, new, 1);
            assert_ne!(other, text);
            assert_eq!(parse(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_pin_has_no_number_that_leaves_none_for_the_next_change() {
        let of = |change| parse(&pin(change, 1).encode().unwrap());
        assert!(of((1 << 62) - 1).is_some() && of(1 << 62).is_none() && of(u64::MAX).is_none());
    }

    #[test]
    fn a_pin_is_later_by_its_epoch_and_then_by_its_change() {
        let later = |epoch, change| Pin { epoch, ..pin(5, 1) }.is_later_than(2, change);
        assert!(later(None, 4) && !later(None, 5) && later(Some(2), 4) && !later(Some(2), 5));
        assert!(later(Some(3), 9) && !later(Some(1), 1));
    }
}
