//! The end of this device's ledger as it was last left here, beside the pin: the one place outside of the file that knows
//! how many reads there were, and which ledger is this device's. While it has none, the end is that of the vault's ledger. A change is bound by the state record and the pin; a read after the last change is bound
//! by nothing in the file that someone could not put back together with an older head.
//!
//! The witness is read before the transaction, so that the log can only be newer, and written by one call and without a
//! sync once the read is committed. A read that a power cut takes away is reported, and no more.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::audit::{HeadMark, LogGap};
use crate::store::{Ledger, LedgerId, StoreError, Tx};
use keyvault_core::codec::{self, Malformed};
use keyvault_core::crypto::sha256;
use keyvault_core::identity::Identity;
use keyvault_os::fs::private;

use super::StateError;
use super::pin::{Pins, VaultPath};

/// Length of a file, in bytes: format, flags, epoch, ledger, count, start of the last MAC, start of the key's hash, checksum.
const LEN: usize = 2 + 2 + 4 + 16 + 8 + 16 + 8 + CHECKSUM;
const FORMAT: u16 = 3;
const CHECKSUM: usize = 8;

/// Format, flags, epoch, ledger, count, start of the last MAC, start of the key's hash.
type Body = (u16, u16, u32, LedgerId, u64, [u8; 16], [u8; 8]);

const FORGED: u16 = 1;
const BROKEN: u16 = 2;

/// Stands for a key that is not known.
const NO_KEY: [u8; 8] = [0; 8];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    epoch: u32,
    ledger: Ledger,
    count: u64,
    /// The first 16 bytes of the last entry's MAC.
    head: [u8; 16],
    /// The first 8 bytes of the hash of the next entry's key.
    key: [u8; 8],
    /// True if another head was found at this very entry; nothing replaces the witness then.
    forged: bool,
    /// True if the log no longer had this entry; nothing replaces the witness until a change has recorded that.
    broken: bool,
}

/// The witness of one vault, as it was before a transaction.
pub(crate) struct Witness {
    name: PathBuf,
    file: Option<File>,
    seen: Option<Seen>,
}

impl Seen {
    fn of(epoch: u32, mark: &HeadMark) -> Self {
        let (head, key) = (start(&mark.head), start(&mark.key));
        Self { epoch, ledger: mark.ledger, count: mark.count, head, key, forged: false, broken: false }
    }

    /// Nothing of a ledger but that it is this device's.
    fn nothing_of(epoch: u32, ledger: Ledger) -> Self {
        Self { epoch, ledger, count: 0, head: [0; 16], key: NO_KEY, forged: false, broken: false }
    }

    fn encode(&self) -> Vec<u8> {
        let flags = u16::from(self.forged) * FORGED + u16::from(self.broken) * BROKEN;
        let body: Body = (FORMAT, flags, self.epoch, self.ledger.id(), self.count, self.head, self.key);
        let body = codec::encode(&body);
        let checksum: [u8; CHECKSUM] = start(&sha256(&body));
        [&body[..], &checksum].concat()
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (body, checksum) = bytes.split_last_chunk::<CHECKSUM>().ok_or(Malformed)?;
        if start(&sha256(body)) != *checksum {
            return Err(Malformed);
        }
        let (format, flags, epoch, ledger, count, head, key): Body = codec::decode(body)?;
        if format != FORMAT {
            return Err(Malformed);
        }
        let ledger = Ledger::of_owner(ledger);
        Ok(Self { epoch, ledger, count, head, key, forged: flags & FORGED != 0, broken: flags & BROKEN != 0 })
    }

    fn read(file: &File) -> Option<Self> {
        let mut bytes = [0; LEN];
        file.read_exact_at(&mut bytes, 0).ok()?;
        Self::decode(&bytes).ok()
    }

    /// Returns `true` if a head stands at the entry that was seen last, and goes on from there with another key.
    fn denies(&self, now: &HeadMark) -> bool {
        let same_entry = (self.ledger, self.count, self.head) == (now.ledger, now.count, start(&now.head));
        self.forged || same_entry && self.key != NO_KEY && self.key != start(&now.key)
    }

    fn gap(&self, now: &HeadMark, tx: &Tx<'_>) -> Result<Option<LogGap>, StateError> {
        if now.count < self.count {
            return Ok(Some(LogGap::Missing(self.count - now.count)));
        }
        let found = match self.count.checked_sub(1) {
            None => return Ok(None),
            Some(_) if self.count == now.count => Some(now.head),
            Some(last) => match tx.entry_mac(self.ledger, last) {
                // A row that is none is as good as gone. Nothing is refused for the witness's sake.
                Err(StoreError::Damaged { .. }) => None,
                mac => mac?,
            },
        };
        let holds = found.is_some_and(|mac| start::<16, 32>(&mac) == self.head);
        Ok(if holds { None } else { Some(LogGap::Replaced) })
    }
}

fn start<const SHORT: usize, const LONG: usize>(bytes: &[u8; LONG]) -> [u8; SHORT] {
    let mut first = [0; SHORT];
    for (to, from) in first.iter_mut().zip(bytes) {
        *to = *from;
    }
    first
}

impl Pins {
    /// The witness of a vault. To be read before the transaction begins.
    #[must_use]
    pub(crate) fn witness(&self, identity: &Identity, path: &VaultPath) -> Witness {
        let name = self.witness_file(identity, path);
        // A state folder that cannot be written can still be read.
        let file = OpenOptions::new().read(true).write(true).open(&name).or_else(|_| File::open(&name)).ok();
        Witness { seen: file.as_ref().and_then(Seen::read), file, name }
    }

    /// Forgets the end that was seen at a path where another file lies now, and keeps which ledger is this device's.
    pub(super) fn reset_witness(&self, identity: &Identity, path: &VaultPath) {
        let Witness { name, file, seen } = self.witness(identity, path);
        let next = seen.map(|seen| Seen::nothing_of(identity.epoch, seen.ledger));
        let written = file.zip(next).map(|(file, next)| file.write_all_at(&next.encode(), 0));
        if !matches!(written, Some(Ok(()))) {
            let _ = std::fs::remove_file(name);
        }
    }
}

fn create(name: &Path) -> io::Result<File> {
    let create = || OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(name);
    match (create(), name.parent()) {
        (Err(error), Some(folder)) if error.kind() == io::ErrorKind::NotFound => {
            private::create_folder(folder)?;
            create()
        }
        (created, _) => created,
    }
}

impl Witness {
    /// Forgets the end that was seen, after the file that had it was removed.
    pub(crate) fn forget(&mut self) {
        (self.file, self.seen) = (None, None);
    }

    /// Remembers the end of a log that was rewritten with what is proved of it, if there was one to remember.
    pub(crate) fn renew(&mut self, identity: &Identity, left: &HeadMark) {
        if self.of_epoch(identity).is_some() {
            self.forget();
            self.note(identity, left, left, None, true);
        }
    }

    fn of_epoch(&self, identity: &Identity) -> Option<Seen> {
        self.seen.filter(|seen| seen.epoch == identity.epoch)
    }

    /// Returns `true` if the log's head is another than the one that this machine left there: everyday keys were used
    /// to write it.
    #[must_use]
    pub(crate) fn denies(&self, identity: &Identity, now: &HeadMark) -> bool {
        self.of_epoch(identity).is_some_and(|seen| seen.denies(now))
    }

    /// The ledger of this device, in whatever epoch it was seen.
    #[must_use]
    pub(crate) fn ledger(&self) -> Ledger {
        self.seen.map_or(Ledger::Vault, |seen| seen.ledger)
    }

    /// The entries that this machine saw where their ledger is gone or does not hold.
    #[must_use]
    pub(crate) fn gap_without(&self, identity: &Identity) -> Option<LogGap> {
        let seen = self.of_epoch(identity)?;
        (seen.count > 0 || seen.broken).then_some(LogGap::Replaced)
    }

    /// Entries that this machine saw and that are not in its ledger now.
    pub(crate) fn gap(
        &self,
        identity: &Identity,
        now: &HeadMark,
        tx: &Tx<'_>,
    ) -> Result<Option<LogGap>, StateError> {
        let Some(seen) = self.of_epoch(identity) else { return Ok(None) };
        match seen.gap(now, tx)? {
            None if seen.broken => Ok(Some(LogGap::Replaced)),
            gap => Ok(gap),
        }
    }

    /// Remembers where this device's log stands after an entry. `found` is where it stood before, and `gap` what was missing there;
    /// `recorded` says that the entry is of a change that tells of it. Nothing is refused where this cannot be
    /// written.
    pub(crate) fn note(
        &self,
        identity: &Identity,
        found: &HeadMark,
        left: &HeadMark,
        gap: Option<LogGap>,
        recorded: bool,
    ) {
        // Another process may have written since: what it saw must not be lost.
        let now = self.file.as_ref().and_then(Seen::read).filter(|seen| seen.epoch == identity.epoch);
        let settled = gap.is_some() && recorded;
        let next = match now.or(self.of_epoch(identity)) {
            Some(seen) if seen.forged => return,
            Some(seen) if seen.denies(found) => Seen { forged: true, ..seen },
            Some(seen) if (gap.is_some() || seen.broken) && !settled => Seen { broken: true, ..seen },
            Some(seen) if seen.ledger == left.ledger && seen.count >= left.count && !settled => return,
            // Another process made a ledger meanwhile.
            Some(seen) if seen.ledger != left.ledger && now != self.seen && !settled => return,
            _ => Seen::of(identity.epoch, left),
        };
        let _ = match &self.file {
            Some(file) => file.write_all_at(&next.encode(), 0),
            None => create(&self.name).and_then(|file| file.write_all_at(&next.encode(), 0)),
        };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    const IDENTITY: Identity = Identity { vault_id: [1; 16], epoch: 1 };

    fn mark(count: u64, head: u8, key: u8) -> HeadMark {
        HeadMark { ledger: Ledger::Vault, count, head: [head; 32], key: [key; 32] }
    }

    fn pins() -> (tempfile::TempDir, Pins, VaultPath) {
        let folder = tempfile::tempdir().unwrap();
        let pins = Pins::in_folder(folder.path().join("state/pins"));
        (folder, pins, VaultPath::of(Path::new("/a/vault.db"), Path::new("/a/vault.db")))
    }

    #[test]
    fn another_key_behind_the_same_entry_is_told_until_the_next_epoch() {
        let (_folder, pins, path) = pins();
        let denies = |identity, now: HeadMark| pins.witness(identity, &path).denies(identity, &now);
        let note = |identity, found: HeadMark, left: HeadMark| {
            pins.witness(identity, &path).note(identity, &found, &left, None, false);
        };
        assert!(!denies(&IDENTITY, mark(3, 1, 1)));
        note(&IDENTITY, mark(2, 9, 9), mark(3, 1, 1));
        assert!(!denies(&IDENTITY, mark(3, 1, 1)) && denies(&IDENTITY, mark(3, 1, 2)));
        // Other machines go on from where they were.
        assert!(!denies(&IDENTITY, mark(4, 2, 2)) && !denies(&IDENTITY, mark(3, 2, 2)));
        note(&IDENTITY, mark(7, 5, 5), mark(8, 6, 6));
        note(&IDENTITY, mark(8, 6, 7), mark(9, 8, 8));
        note(&IDENTITY, mark(9, 8, 8), mark(10, 9, 9));
        assert!(denies(&IDENTITY, mark(10, 9, 9)), "it goes on from a forged one");
        let rekeyed = Identity { epoch: 2, ..IDENTITY };
        assert!(!denies(&rekeyed, mark(10, 9, 9)));
        note(&rekeyed, mark(10, 1, 1), mark(11, 2, 2));
        assert!(!denies(&rekeyed, mark(11, 2, 2)));
    }

    #[test]
    fn a_witness_is_64_bytes_and_a_changed_bit_makes_it_none() {
        let seen = Seen { forged: true, ..Seen::of(7, &mark(3, 1, 2)) };
        let bytes = seen.encode();
        assert_eq!((bytes.len(), Seen::decode(&bytes)), (64, Ok(seen)));
        for place in 0..bytes.len() {
            let mut other = bytes.clone();
            other[place] ^= 1;
            assert_eq!(Seen::decode(&other), Err(Malformed), "{place}");
        }
    }

    #[test]
    fn a_break_stays_until_a_change_has_recorded_it() {
        let (_folder, pins, path) = pins();
        let seen = || pins.witness(&IDENTITY, &path).seen.map(|seen| (seen.count, seen.broken));
        let note = |found, left, gap, recorded| {
            pins.witness(&IDENTITY, &path).note(&IDENTITY, &found, &left, gap, recorded);
        };
        note(mark(8, 1, 1), mark(9, 2, 2), None, false);
        let gap = Some(LogGap::Missing(4));
        note(mark(5, 3, 3), mark(6, 4, 4), gap, false);
        assert_eq!(seen(), Some((9, true)));
        note(mark(6, 4, 4), mark(7, 5, 5), gap, true);
        assert_eq!(seen(), Some((7, false)));
    }
}
