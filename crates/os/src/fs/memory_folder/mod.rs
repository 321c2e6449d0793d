//! Folders in memory for files that live as long as one command.
//!
//! ```text
//! $XDG_RUNTIME_DIR/keyvault/run-4711-0/     where that is a tmpfs of ours
//! /dev/shm/keyvault-1000/run-4711-0/        else
//! ```
//!
//! Only on a tmpfs: what was once on a disk cannot be called back. A run's folder is locked (`flock`, on the folder
//! itself) by who made it, for as long as that process lives. The kernel lets go of the lock however it dies, and
//! [`sweep`] removes whatever is not locked. So a process number that is used again means nothing, and there is
//! nothing to be read or believed in a folder that was left.
//!
//! `/dev/shm` is open to all. What is ours there has one name, so that a sweep looks at a single folder, however
//! many others lie beside it; if somebody else has taken that name, or a link stands there, it is refused and named. Below it
//! nobody else can make, move or name anything.
#![allow(unsafe_code, reason = "letting go of the lock in a process that was forked off")]

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, flock, fstat, statat};
use rustix::io::Errno;
use rustix::process::geteuid;

use keyvault_core::text::reason;

use super::lock::lock_within;
use super::private;

pub(crate) const SHARED: &str = "/dev/shm";

/// The descriptor of this process's lock.
static LOCK: AtomicI32 = AtomicI32::new(-1);

/// How the folders of runs are called.
const RUN: &str = "run-";

/// Why a folder cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("does not exist")]
    Absent,
    #[error("is not a folder")]
    NotAFolder,
    #[error("is not in memory (tmpfs)")]
    OnDisk,
    #[error("belongs to user {uid}")]
    OfAnotherUser { uid: u32 },
    #[error("is open to others (mode {mode:04o})")]
    OpenToOthers { mode: u32 },
    /// The system said no, with this number.
    #[error("{}", reason(&io::Error::from_raw_os_error(*.0)))]
    Refused(i32),
}

/// Why there is no folder: what was tried.
#[derive(Debug, thiserror::Error)]
#[error("There is no folder in memory for a file with a value:{}", listed(tried))]
pub struct NoFolder {
    /// Each place, and what is wrong with it.
    pub tried: Vec<(PathBuf, Unfit)>,
}

fn listed(tried: &[(PathBuf, Unfit)]) -> String {
    tried.iter().fold(String::new(), |lines, (path, unfit)| format!("{lines}\n  {}: {unfit}", path.display()))
}

/// How long a sweep may hold a folder that was just made.
const SWEEP: Duration = Duration::from_secs(10);

/// The folder of one run, locked. Dropped, it is removed with all that is in it.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    held: OwnedFd,
}

impl RunFolder {
    /// Makes one in the user's own runtime folder, if that is given and fit, else in the one that all share.
    pub fn create(runtime: Option<&Path>) -> Result<Self, NoFolder> {
        let mut tried = Vec::new();
        for home in homes(runtime) {
            match home.prepare().and_then(|()| Self::create_in(&home.path)) {
                Ok(folder) => return Ok(folder),
                Err(Fault(path, unfit)) => tried.push((path, unfit)),
            }
        }
        Err(NoFolder { tried })
    }

    fn create_in(home: &Path) -> Result<Self, Fault> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = home.join(format!("{RUN}{}-{count}", std::process::id()));
            let fault = |error: io::Error| Fault(path.clone(), refused(&error));
            match begin_folder(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(fault(error)),
            }
            // A sweep may come between any two of these steps, take the lock and remove the folder.
            match close_to_others(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                closed => closed.map_err(fault)?,
            }
            let held = match rustix::fs::open(&path, FOLDER, Mode::empty()) {
                Ok(held) => held,
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(fault(error.into())),
            };
            lock_within(&held, SWEEP).map_err(fault)?;
            if is_still(&path, &held) {
                LOCK.store(held.as_raw_fd(), Ordering::Relaxed);
                return Ok(Self { path, held });
            }
        }
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file, 0600, in place of one of that name in one step.
    pub fn put(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let path = self.path.join(name);
        // The name begins with a dot, as no variable's does.
        let fresh = self.path.join(format!(".{name}"));
        let written = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(&fresh)
            .and_then(|mut file| {
                file.set_permissions(fs::Permissions::from_mode(0o600))?;
                file.write_all(content)
            })
            .and_then(|()| fs::rename(&fresh, &path));
        if written.is_err() {
            let _ = fs::remove_file(&fresh);
        }
        written
    }

    /// Takes a file away; one that is gone already is no error.
    pub fn take_away(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Closes the lock in a process that was forked off and outlives its maker: only the maker's life keeps the folder. No
/// value of ours that owns the descriptor may be used afterwards.
pub(crate) fn close_lock() {
    let lock = LOCK.swap(-1, Ordering::Relaxed);
    if lock >= 0 {
        // SAFETY: the number was this folder's lock when the process was forked; the caller uses it no more.
        unsafe { libc::close(lock) };
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        let _ = LOCK.compare_exchange(self.held.as_raw_fd(), -1, Ordering::Relaxed, Ordering::Relaxed);
        // The command may have put files of its own there. What cannot be removed now is tried again by each sweep.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes what runs have left that were killed. Costs a look at a name or two where nothing was; whatever goes wrong
/// is left to the next.
pub fn sweep(runtime: Option<&Path>) {
    // Where the login session keeps it, for a run that was not told (a cron job).
    let login = PathBuf::from(format!("/run/user/{}", geteuid().as_raw()));
    let runtime = runtime.unwrap_or(&login);
    for home in homes(Some(runtime)) {
        // A folder that is not ours alone, or a link, is left as it is.
        if let Ok(facts) = fs::symlink_metadata(&home.path)
            && facts.is_dir()
            && facts.uid() == geteuid().as_raw()
            && !open_to_others(facts.mode())
            && fs::File::open(&home.path).is_ok_and(private::is_tmpfs)
        {
            sweep_folder(&home.path);
        }
    }
}

fn sweep_folder(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !is_run(&entry.file_name()) {
            continue;
        }
        let path = entry.path();
        let Ok(run) = rustix::fs::open(&path, FOLDER, Mode::empty()) else { continue };
        // The lock is held while it is removed: a run that has just made it waits, and then sees that it is gone.
        if flock(&run, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = fs::remove_dir_all(path);
        }
    }
}

/// Returns `true` if a run's folder is called so: two numbers behind [`RUN`].
fn is_run(name: &OsStr) -> bool {
    let numbers = name.to_str().and_then(|name| name.strip_prefix(RUN)?.split_once('-'));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    numbers.is_some_and(|(process, count)| is_number(process) && is_number(count))
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A place and what is wrong with it.
struct Fault(PathBuf, Unfit);

/// The folder of all our runs, and the one that it lies in.
struct Home {
    base: PathBuf,
    path: PathBuf,
    shared: bool,
}

/// Where the folders of runs may be, the best first.
fn homes(runtime: Option<&Path>) -> Vec<Home> {
    let own = runtime.filter(|base| base.is_absolute()).map(|base| Home {
        base: base.to_owned(),
        path: base.join("keyvault"),
        shared: false,
    });
    let mut name = OsString::from("keyvault-");
    name.push(geteuid().as_raw().to_string());
    let base = PathBuf::from(SHARED);
    own.into_iter().chain([Home { path: base.join(name), base, shared: true }]).collect()
}

impl Home {
    /// Makes the folder of all runs, and refuses what is not fit for it.
    fn prepare(&self) -> Result<(), Fault> {
        let base = fs::File::open(&self.base).map_err(|error| Fault(self.base.clone(), refused(&error)))?;
        let facts = base.metadata().map_err(|error| Fault(self.base.clone(), refused(&error)))?;
        let unfit = |unfit| Err(Fault(self.base.clone(), unfit));
        let (uid, mode) = (facts.uid(), facts.mode() & 0o7777);
        if !facts.is_dir() {
            return unfit(Unfit::NotAFolder);
        }
        if !private::is_tmpfs(&base) {
            return unfit(Unfit::OnDisk);
        }
        if uid != geteuid().as_raw() && !(self.shared && uid == 0) {
            return unfit(Unfit::OfAnotherUser { uid });
        }
        // In a sticky folder others may make names, but neither remove nor change ours.
        if mode & 0o022 != 0 && !(self.shared && mode & 0o1000 != 0) {
            return unfit(Unfit::OpenToOthers { mode });
        }
        match begin_folder(&self.path).and_then(|()| close_to_others(&self.path)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Fault(self.path.clone(), refused(&error)));
            }
            _ => {}
        }
        let unfit = |unfit| Err(Fault(self.path.clone(), unfit));
        let facts = match fs::symlink_metadata(&self.path) {
            Ok(facts) => facts,
            Err(error) => return unfit(refused(&error)),
        };
        let mode = facts.mode() & 0o7777;
        if !facts.is_dir() {
            unfit(Unfit::NotAFolder)
        } else if facts.uid() != geteuid().as_raw() {
            unfit(Unfit::OfAnotherUser { uid: facts.uid() })
        } else if open_to_others(mode) {
            unfit(Unfit::OpenToOthers { mode })
        } else {
            Ok(())
        }
    }
}

fn open_to_others(mode: u32) -> bool {
    mode & 0o077 != 0
}

/// A new folder that is at most 0700.
fn begin_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)
}

/// 0700, whatever the umask took away.
fn close_to_others(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

/// Returns `true` if the path leads to the folder that is held.
fn is_still(path: &Path, held: &OwnedFd) -> bool {
    let (Ok(now), Ok(seen)) = (statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW), fstat(held)) else {
        return false;
    };
    (now.st_dev, now.st_ino) == (seen.st_dev, seen.st_ino)
}

fn refused(error: &io::Error) -> Unfit {
    match error.raw_os_error() {
        Some(libc::ENOENT) => Unfit::Absent,
        Some(libc::ENOTDIR) => Unfit::NotAFolder,
        number => Unfit::Refused(number.unwrap_or(0)),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
