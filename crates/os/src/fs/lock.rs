//! A lock between processes, on a file made for it alone.
//!
//! `flock`, not POSIX locks: it belongs to the open file, so that no other open and close in the same process drops
//! it, and the kernel releases it when its holder dies. Never to be put on the vault itself, whose locks are the
//! database's.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use keyvault_core::text::{harmless_line, quoted, sentence};

/// As for the vault itself. A person who answers a question is done by then, and a word on the same terminal would fall
/// into the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much longer a person may take to answer the holder's question.
pub const ANSWER: Duration = Duration::from_secs(60);

/// How often it is looked until then.
const LOOK: Duration = Duration::from_millis(5);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub id: u32,
    /// The program, as the system calls it.
    pub name: String,
}

/// Another process held a lock for the whole time that we were ready to wait. Travels as an [`io::Error`] of the kind
/// [`io::ErrorKind::TimedOut`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} has locked {} for more than {} s", shown(.holder.as_ref()), quoted(.path), .waited.as_secs())]
pub struct Held {
    pub path: PathBuf,
    /// The holder, as far as the system tells.
    pub holder: Option<Process>,
    pub waited: Duration,
}

fn shown(holder: Option<&Process>) -> String {
    holder.map_or_else(
        || "another process".to_owned(),
        |Process { id, name }| format!("process {id} ({})", harmless_line(name)),
    )
}

impl Held {
    /// The message, where it is one of its own and not the reason within another.
    #[must_use]
    pub fn sentence(&self) -> String {
        sentence(&self.to_string())
    }

    /// The lock that an error is about, if it is about one.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

/// A lock that is held until this is dropped. The file stays: removing it would let two processes hold "the" lock.
#[derive(Debug)]
pub struct FileLock {
    held: File,
}

impl FileLock {
    /// Makes the file (0600) if it is not there, and waits for the lock; [`Held`] after ten seconds.
    pub fn exclusive(path: &Path) -> io::Result<Self> {
        Self::exclusive_within(path, PATIENCE)
    }

    /// Waits for the lock as [`Self::exclusive`] does, but for at most `limit`.
    pub fn exclusive_within(path: &Path, limit: Duration) -> io::Result<Self> {
        let file = open(path)?;
        match lock_within(&file, limit) {
            Ok(()) => Ok(Self { held: file }),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                let held = Held { path: path.to_owned(), holder: holder(path), waited: limit };
                Err(io::Error::new(io::ErrorKind::TimedOut, held))
            }
            Err(error) => Err(error),
        }
    }

    /// Waits for a lock that may be held while a person answers a question: after ten seconds `goes_on` is asked once
    /// whether to wait [`ANSWER`] more.
    pub fn exclusive_for_answer(path: &Path, goes_on: &dyn Fn(&Held) -> bool) -> io::Result<Self> {
        match Self::exclusive(path) {
            Err(error) if Held::of(&error).is_some_and(goes_on) => Self::exclusive_within(path, ANSWER),
            lock => lock,
        }
    }

    /// Takes the lock without waiting: `None` if another holds it.
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

/// Waits for the lock on an open file or folder; [`io::ErrorKind::TimedOut`] if that takes longer than `limit`.
pub(crate) fn lock_within(file: impl AsFd, limit: Duration) -> io::Result<()> {
    let until = Instant::now() + limit;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK) if Instant::now() < until => sleep(LOOK),
            Err(Errno::WOULDBLOCK) => return Err(Errno::TIMEDOUT.into()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The process that holds the lock on a file, as far as the system tells: Linux lists locks by device and inode, and some
/// file systems call the device otherwise there.
#[must_use]
pub fn holder(path: &Path) -> Option<Process> {
    listed(path, "FLOCK", |_| true)
}

/// Another process that holds a POSIX lock for writing on a file, as a database's writer does.
#[must_use]
pub fn writer(path: &Path) -> Option<Process> {
    listed(path, "POSIX", |id| id != std::process::id())
}

fn listed(path: &Path, kind: &str, counts: impl Fn(u32) -> bool) -> Option<Process> {
    let facts = fs::symlink_metadata(path).ok()?;
    let (major, minor) = (rustix::fs::major(facts.dev()), rustix::fs::minor(facts.dev()));
    let place = format!("{major:02x}:{minor:02x}:{}", facts.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    // `1: FLOCK  ADVISORY  WRITE 77 fe:00:1234 0 EOF`; a waiter has an arrow before its kind.
    let holding = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let of_kind = fields.next() == Some(kind) && fields.nth(1) == Some("WRITE");
        let id = fields.next()?.parse::<u32>().ok().filter(|id| *id > 0 && counts(*id))?;
        (of_kind && fields.next() == Some(place.as_str())).then_some(id)
    };
    let id = locks.lines().find_map(holding)?;
    let name = fs::read_to_string(format!("/proc/{id}/comm")).ok()?;
    Some(Process { id, name: name.trim_end().to_owned() })
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
    fn waiting_ends_and_the_holder_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert_eq!(holder(&path), None);
        let first = FileLock::exclusive(&path).unwrap();
        let error = FileLock::exclusive_within(&path, Duration::from_millis(20)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(Held::of(&error).unwrap().path, path);
        // Some file systems hide it, but it is never another.
        assert!(holder(&path).is_none_or(|process| process.id == std::process::id()));
        drop(first);
        assert_eq!(holder(&path), None);
    }

    #[test]
    fn only_a_lock_that_is_held_is_an_error_with_a_holder() {
        let folder = tempfile::tempdir().unwrap();
        let error = FileLock::exclusive(&folder.path().join("none/lock")).unwrap_err();
        assert_eq!(Held::of(&error), None);
        let (path, waited) = (folder.path().join("lock"), Duration::from_secs(10));
        let held = |holder| Held { path: path.clone(), holder, waited }.to_string();
        let end = format!("has locked '{}' for more than 10 s", path.display());
        assert_eq!(held(None), format!("another process {end}"));
        let holder = Process { id: 7, name: "a\u{1b}".to_owned() };
        assert_eq!(held(Some(holder)), format!("process 7 (a\\u{{1b}}) {end}"));
    }

    #[test]
    fn the_lock_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = FileLock::exclusive(&path).unwrap();
        let waiting = std::thread::spawn({
            let path = path.clone();
            move || FileLock::exclusive(&path).is_ok()
        });
        // It looks again and again, so no system shows that it waits; several looks find the lock held.
        sleep(3 * LOOK);
        assert!(!waiting.is_finished());
        drop(first);
        assert!(waiting.join().unwrap());
    }
}
