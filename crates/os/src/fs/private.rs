//! Files that nobody else may read: those we write, and a passphrase file that we are pointed to.
//!
//! A mode given to `open` is narrowed by the umask, never widened, but a strange umask may narrow it too far; so the
//! mode is set once more on the open file. What we write never goes through a link that was already there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::OFlags;

/// Writes a new file, 0600, and makes it durable, its name included. Refuses if anything has that name.
///
/// After a failure no file is left.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = create_private(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| sync_folder_of(path));
    if written.is_err() {
        // The first failure is the one to tell of.
        let _ = fs::remove_file(path);
    }
    written
}

/// Puts a file, 0600, in place of whatever has that name, in one step: a reader sees the old or the new one, whole.
///
/// Not made durable: after a power cut the old one may be back, unless [`sync`] follows.
pub fn replace_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (mut file, temporary) = create_beside(path)?;
    let replaced = file.write_all(bytes).and_then(|()| fs::rename(&temporary, path));
    if replaced.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    replaced
}

/// Makes a file's content and its name durable.
pub fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    sync_folder_of(path)
}

/// Makes a folder and its parents, 0700 whatever the umask; what is there stays as it is.
pub fn create_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn create_private(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    Ok(file)
}

/// A new file with a name of its own in the same folder, so on the same file system.
fn create_beside(path: &Path) -> io::Result<(File, PathBuf)> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}-{}.tmp", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
        let temporary = PathBuf::from(name);
        match create_private(&temporary) {
            // Left by a process that had our number and was killed.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => return created.map(|file| (file, temporary)),
        }
    }
}

/// Makes the name of `path` in its folder durable.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match File::open(folder)?.sync_all() {
        // Some file systems have nothing to sync in a folder, and say it so.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

/// The file of a secret lies on a disk and others may read, write or execute it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenToOthers {
    pub mode: u32,
}

/// Opens a file that holds a secret: a file, a link to one, a pipe, `/dev/fd/N`.
///
/// Others' rights are remarked on for a regular file only, and not on tmpfs or ramfs: mounted secrets of containers
/// lie there, with modes that their user cannot change.
pub fn open_secret_file(path: &Path) -> io::Result<(File, Option<OpenToOthers>)> {
    let no_controlling_terminal = OFlags::NOCTTY.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(no_controlling_terminal).open(path)?;
    let facts = file.metadata()?;
    if facts.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mode = facts.mode() & 0o7777;
    let open = facts.is_file() && mode & 0o077 != 0 && !is_tmpfs(&file);
    Ok((file, open.then_some(OpenToOthers { mode })))
}

/// Returns `true` if an open file lies in memory: on tmpfs or ramfs. Never known outside Linux.
#[cfg(target_os = "linux")]
pub(crate) fn is_tmpfs(fd: impl AsFd) -> bool {
    // linux/magic.h; the type of the field differs between architectures.
    const TMPFS_MAGIC: u64 = 0x0102_1994;
    const RAMFS_MAGIC: u64 = 0x8584_58f6;
    rustix::fs::fstatfs(fd).is_ok_and(|found| {
        u64::try_from(found.f_type).is_ok_and(|kind| [TMPFS_MAGIC, RAMFS_MAGIC].contains(&kind))
    })
}

/// Returns `true` if an open file lies in memory: on tmpfs or ramfs. Never known outside Linux.
#[cfg(not(target_os = "linux"))]
pub(crate) fn is_tmpfs(_: impl AsFd) -> bool {
    false
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::symlink;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_private_file_is_new_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("code");
        write_private(&path, b"code").unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"code".to_vec(), 0o600));
        assert_eq!(write_private(&path, b"x").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        let link = folder.path().join("link");
        symlink(folder.path().join("elsewhere"), &link).unwrap();
        assert!(write_private(&link, b"x").is_err() && !folder.path().join("elsewhere").exists());
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        assert!(write_private(Path::new("/proc/self/nonexistent/code"), b"x").is_err());
        let folder = tempfile::tempdir().unwrap();
        let taken = folder.path().join("pin");
        fs::create_dir(&taken).unwrap();
        assert!(replace_private(&taken, b"x").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn replacing_makes_private_and_does_not_write_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (path, target) = (folder.path().join("pin"), folder.path().join("target"));
        fs::write(&target, "old").unwrap();
        symlink(&target, &path).unwrap();
        replace_private(&path, b"new").unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"new".to_vec(), 0o600));
        assert_eq!(fs::read(&target).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_secret_file_that_others_may_read_is_remarked_on_unless_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passphrase");
        write_private(&path, b"x").unwrap();
        assert_eq!(open_secret_file(&path).unwrap().1, None);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let (file, remark) = open_secret_file(&path).unwrap();
        assert_eq!(remark, (!is_tmpfs(&file)).then_some(OpenToOthers { mode: 0o644 }));
        let (_null, remark) = open_secret_file(Path::new("/dev/null")).unwrap();
        assert_eq!(remark, None);
        assert_eq!(open_secret_file(folder.path()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn tmpfs_is_recognized() {
        assert!(!is_tmpfs(File::open("/proc/self/stat").unwrap()));
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        if mounts.lines().any(|line| line.starts_with("tmpfs /dev/shm ")) {
            assert!(is_tmpfs(File::open("/dev/shm").unwrap()));
        }
    }
}
