//! A lock between processes, on a file made for it alone.
//!
//! `flock`, not POSIX locks: it belongs to the open file, so that no other open and close in the same process drops
//! it, and the kernel releases it when its holder dies. Never to be put on the vault itself, whose locks are the
//! database's.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

/// Who answers is done by then, and a word on the same terminal would fall into the answer.
const WORTH_A_WORD: Duration = Duration::from_secs(10);

/// How often it is looked until then.
const LOOK: Duration = Duration::from_millis(5);

/// A lock that is held until this is dropped. The file stays: removing it would let two processes hold "the" lock.
#[derive(Debug)]
pub struct FileLock {
    held: File,
}

impl FileLock {
    /// Makes the file (0600) if it is not there, and waits for the lock.
    pub fn exclusive(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        loop {
            match flock(&file, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(Self { held: file }),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The same; `tell` is called once if it takes longer than somebody needs to answer a question.
    pub fn exclusive_telling(path: &Path, tell: &dyn Fn()) -> io::Result<Self> {
        let told = Instant::now() + WORTH_A_WORD;
        while Instant::now() < told {
            if let Some(lock) = Self::try_exclusive(path)? {
                return Ok(lock);
            }
            sleep(LOOK);
        }
        tell();
        Self::exclusive(path)
    }

    /// The same without waiting: `None` if another holds it.
    pub fn try_exclusive(path: &Path) -> io::Result<Option<Self>> {
        let file = open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { held: file })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The file, to write into what only its holder may write.
    pub fn file(&mut self) -> &mut File {
        &mut self.held
    }

    /// The file for reading, if another holds its lock; nothing is made.
    pub fn held_by_another(path: &Path) -> io::Result<Option<File>> {
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(None),
            Err(Errno::WOULDBLOCK) => Ok(Some(file)),
            Err(error) => Err(error.into()),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    // Opening a FIFO for both directions would not block, but lock something else than was meant.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags)
        .open(path)?;
    let facts = file.metadata()?;
    if !facts.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    if facts.mode() & 0o7777 != 0o600 {
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_holds_it_at_a_time_and_dropping_releases() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = FileLock::exclusive(&path).unwrap();
        assert!(FileLock::try_exclusive(&path).unwrap().is_none());
        drop(first);
        assert!(FileLock::try_exclusive(&path).unwrap().is_some());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_lock_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = FileLock::exclusive(&path).unwrap();
        let waiting = std::thread::spawn({
            let path = path.clone();
            move || FileLock::exclusive(&path).is_ok()
        });
        // `->` marks one that waits.
        let inode = format!(":{} ", fs::metadata(&path).unwrap().ino());
        let waits = |line: &str| line.contains("-> FLOCK") && line.contains(&inode);
        let begun = Instant::now();
        while !fs::read_to_string("/proc/locks").unwrap().lines().any(waits) {
            assert!(begun.elapsed() < Duration::from_secs(20), "nobody waits");
            sleep(Duration::from_millis(5));
        }
        assert!(!waiting.is_finished());
        drop(first);
        assert!(waiting.join().unwrap());
    }
}
