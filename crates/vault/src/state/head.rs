//! The head of the log as this machine last left it, beside the pin. Daily keys alone can write another head, with a key
//! from which nothing follows; without k₀ that shows only to somebody who remembers the one before.
//!
//! One read and one write of a few bytes without a sync: what a power cut takes away here is noticed less, and no more.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use crate::audit::HeadMark;
use keyvault_core::codec::{Decoder, Encoder, Malformed};
use keyvault_core::identity::Identity;
use keyvault_os::fs::private;

use super::pin::{Pins, VaultPath};

/// Length of a file, in bytes: format, epoch, count, MAC, hash of the key, whether it was forged.
const LEN: usize = 4 + 4 + 8 + 32 + 32 + 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    epoch: u32,
    mark: HeadMark,
    /// Whether another head was found at this very entry; kept until a rekey, a restore or an adoption.
    forged: bool,
}

impl Seen {
    fn encode(&self) -> Vec<u8> {
        let HeadMark { count, head, key } = self.mark;
        let head = Encoder::new().u32(1).u32(self.epoch).u64(count).fixed(&head).fixed(&key);
        head.u8(u8::from(self.forged)).finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(bytes);
        if decoder.u32()? != 1 {
            return Err(Malformed);
        }
        let seen = Self {
            epoch: decoder.u32()?,
            mark: HeadMark { count: decoder.u64()?, head: decoder.array()?, key: decoder.array()? },
            forged: decoder.u8()? != 0,
        };
        decoder.end()?;
        Ok(seen)
    }

    fn read(file: &File) -> Option<Self> {
        let mut bytes = [0; LEN];
        file.read_exact_at(&mut bytes, 0).ok()?;
        Self::decode(&bytes).ok()
    }

    /// Whether a head stands at the entry that was seen last, and goes on from there with another key.
    fn denies(&self, epoch: u32, now: &HeadMark) -> bool {
        let same_entry = (self.epoch, self.mark.count, self.mark.head) == (epoch, now.count, now.head);
        self.epoch == epoch && self.forged || same_entry && self.mark.key != now.key
    }
}

impl Pins {
    /// Whether the log's head is another than the one that this machine left there.
    #[must_use]
    pub(crate) fn denies_head(&self, identity: &Identity, path: &VaultPath, now: &HeadMark) -> bool {
        let seen = File::open(self.head_file(identity, path)).ok().and_then(|file| Seen::read(&file));
        seen.is_some_and(|seen| seen.denies(identity.epoch, now))
    }

    /// Remembers where the log stands after an entry, unless what was found before it is no head of this machine's.
    /// Nobody is kept from anything where that cannot be written.
    pub(crate) fn note_head(&self, identity: &Identity, path: &VaultPath, found: &HeadMark, left: &HeadMark) {
        let _ = self.try_note_head(identity, path, found, left);
    }

    fn try_note_head(
        &self,
        identity: &Identity,
        path: &VaultPath,
        found: &HeadMark,
        left: &HeadMark,
    ) -> io::Result<()> {
        let name = self.head_file(identity, path);
        let open = || {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&name)
        };
        let file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(folder) = name.parent() {
                    private::create_folder(folder)?;
                }
                open()?
            }
            file => file?,
        };
        let seen = match Seen::read(&file).filter(|seen| seen.denies(identity.epoch, found)) {
            Some(seen) if seen.forged => return Ok(()),
            Some(seen) => Seen { forged: true, ..seen },
            None => Seen { epoch: identity.epoch, mark: *left, forged: false },
        };
        file.write_all_at(&seen.encode(), 0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use super::*;

    fn mark(count: u64, head: u8, key: u8) -> HeadMark {
        HeadMark { count, head: [head; 32], key: [key; 32] }
    }

    #[test]
    fn another_key_behind_the_same_entry_is_told_until_the_next_epoch() {
        let folder = tempfile::tempdir().unwrap();
        let pins = Pins::in_folder(folder.path().join("state/pins"));
        let path = &VaultPath::of(Path::new("/a/vault.db"), Path::new("/a/vault.db"));
        let identity = Identity { vault_id: [1; 16], epoch: 1 };
        let denies = |now: HeadMark| pins.denies_head(&identity, path, &now);
        assert!(!denies(mark(3, 1, 1)));
        pins.note_head(&identity, path, &mark(2, 9, 9), &mark(3, 1, 1));
        assert!(!denies(mark(3, 1, 1)) && denies(mark(3, 1, 2)));
        // Other machines go on from where they were.
        assert!(!denies(mark(4, 2, 2)) && !denies(mark(3, 2, 2)));
        pins.note_head(&identity, path, &mark(7, 5, 5), &mark(8, 6, 6));
        pins.note_head(&identity, path, &mark(8, 6, 7), &mark(9, 8, 8));
        pins.note_head(&identity, path, &mark(9, 8, 8), &mark(10, 9, 9));
        assert!(denies(mark(10, 9, 9)), "it goes on from a forged one");
        let rekeyed = Identity { epoch: 2, ..identity };
        assert!(!pins.denies_head(&rekeyed, path, &mark(10, 9, 9)));
        pins.note_head(&rekeyed, path, &mark(10, 1, 1), &mark(11, 2, 2));
        assert!(!pins.denies_head(&rekeyed, path, &mark(11, 2, 2)));
    }
}
