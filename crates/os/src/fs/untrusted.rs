//! Files that somebody else may have put where we look: read without following a link, without blocking, and only if
//! nobody but this user and root could have written them; and written in one step, with the mode that they have.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::process::{getegid, geteuid};

/// Why a file is not believed.
#[derive(Debug)]
pub enum Unfit {
    /// A link, a folder, a pipe, a device.
    NotRegular,
    /// It, or its folder, belongs to somebody else.
    WrongOwner {
        path: PathBuf,
        uid: u32,
    },
    /// It, or its folder, can be written by others.
    WritableByOthers {
        path: PathBuf,
        mode: u32,
    },
    TooLong,
    Io(io::Error),
}

/// The users who may have written a file that is read, besides this one and root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writers {
    OnlyUs,
    /// The user of this number.
    User(u32),
    Anyone,
}

/// Reads a file of at most `limit` bytes, after looking at it and at the folder that it lies in.
pub fn read_own(path: &Path, limit: usize) -> Result<Vec<u8>, Unfit> {
    read_written_by(Writers::OnlyUs, path, limit)
}

/// [`read_own`] where others may have written the file, too. It is still no link and no device.
pub fn read_written_by(writers: Writers, path: &Path, limit: usize) -> Result<Vec<u8>, Unfit> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder_facts = fs::metadata(folder).map_err(Unfit::Io)?;
    // Looked at before it is opened: opening alone can do something to a device.
    if !fs::symlink_metadata(path).map_err(Unfit::Io)?.is_file() {
        return Err(Unfit::NotRegular);
    }
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(Unfit::Io)?;
    let facts = file.metadata().map_err(Unfit::Io)?;
    if !facts.is_file() {
        return Err(Unfit::NotRegular);
    }
    written_by(writers, &folder_facts, folder)?;
    written_by(writers, &facts, path)?;
    // One byte more, so that a file that grows meanwhile is noticed too.
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).map_err(Unfit::Io)?;
    if bytes.len() > limit { Err(Unfit::TooLong) } else { Ok(bytes) }
}

/// Reads a regular file of at most `limit` bytes, whoever wrote it.
pub fn read_regular(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = Vec::new();
    file.take(u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() > limit { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

/// Appends to a regular file that is there, on a line of its own: all of it, or after a failure nothing.
pub fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let mut file = OpenOptions::new().read(true).append(true).custom_flags(flags).open(path)?;
    let facts = file.metadata()?;
    if !facts.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut last = [b'\n'];
    if let Some(place) = facts.len().checked_sub(1) {
        file.read_exact_at(&mut last, place)?;
    }
    let ended = if last == *b"\n" { Ok(()) } else { file.write_all(b"\n") };
    let written = ended.and_then(|()| file.write_all(bytes));
    if written.is_err() {
        // Half a value must not be taken for one. The first failure is the one to tell of.
        let _ = file.set_len(facts.len());
    }
    written
}

/// Puts a file in place of whatever has that name, in one step, with the permissions of the one that it replaces, or
/// those that the umask leaves a new file.
pub fn replace_shared(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mode = fs::symlink_metadata(path).ok().filter(Metadata::is_file).map(|facts| facts.permissions());
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(name);
    let write = || {
        let mut file = new_shared(&temporary)?;
        if let Some(mode) = mode {
            file.set_permissions(fs::Permissions::from_mode(mode.mode() & 0o777))?;
        }
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    let written = write();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Writes a new file with the permissions that the umask leaves. Refuses if anything has that name.
pub fn write_shared(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = new_shared(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = fs::remove_file(path);
    }
    written
}

fn new_shared(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
}

/// The owner of a folder, if this process is root and the folder, or else the deepest one above it that exists, belongs
/// to another user. What root makes there its owner can neither change nor read.
///
/// For other users the kernel decides: where they may write in another's folder, its owner lets them.
#[must_use]
pub fn owner_beside_root(folder: &Path) -> Option<u32> {
    if !geteuid().is_root() {
        return None;
    }
    let facts = folder.ancestors().find_map(|part| fs::metadata(part).ok())?;
    Some(facts.uid()).filter(|uid| *uid != 0)
}

/// Returns `true` if a file or folder on another file system begins at `folder`, seen from the one that holds `below`.
#[must_use]
pub fn same_file_system(below: &Path, folder: &Path) -> bool {
    match (fs::metadata(below), fs::metadata(folder)) {
        (Ok(below), Ok(folder)) => below.dev() == folder.dev(),
        _ => false,
    }
}

/// The group of the same number as its user is that user's own: most distributions give everybody one, and an umask of
/// 002 with it.
fn written_by(writers: Writers, facts: &Metadata, path: &Path) -> Result<(), Unfit> {
    let (own, uid) = (geteuid().as_raw(), facts.uid());
    let other = match writers {
        Writers::Anyone => return Ok(()),
        Writers::User(other) => Some(other),
        Writers::OnlyUs => None,
    };
    if uid != 0 && uid != own && Some(uid) != other {
        return Err(Unfit::WrongOwner { path: path.to_owned(), uid });
    }
    let own_group = facts.gid() == getegid().as_raw() && facts.gid() == own
        || other.is_some_and(|other| facts.gid() == other && uid == other);
    let others = if own_group { 0o002 } else { 0o022 };
    if facts.mode() & others != 0 {
        return Err(Unfit::WritableByOthers { path: path.to_owned(), mode: facts.mode() & 0o7777 });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::symlink;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_others_could_have_written_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "text").unwrap();
        set_mode(&path, 0o644);
        assert_eq!(read_own(&path, 4).unwrap(), b"text");
        assert!(matches!(read_own(&path, 3), Err(Unfit::TooLong)));
        for mode in [0o646, 0o602, 0o666] {
            set_mode(&path, mode);
            assert!(
                matches!(read_own(&path, 9), Err(Unfit::WritableByOthers { mode: found, .. }) if found == mode)
            );
        }
        set_mode(&path, 0o644);
        for mode in [0o707, 0o1777] {
            set_mode(folder.path(), mode);
            assert!(
                matches!(read_own(&path, 9), Err(Unfit::WritableByOthers { mode: found, .. }) if found == mode)
            );
        }
    }

    #[test]
    fn links_folders_and_pipes_are_not_read_and_do_not_block() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "text").unwrap();
        symlink(&path, folder.path().join("link")).unwrap();
        fs::create_dir(folder.path().join("folder")).unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
            .unwrap();
        for name in ["link", "folder", "pipe"] {
            assert!(matches!(read_own(&folder.path().join(name), 9), Err(Unfit::NotRegular)), "{name}");
        }
        assert!(matches!(read_own(Path::new("/dev/zero"), 9), Err(Unfit::NotRegular)));
    }

    #[test]
    fn a_replaced_file_keeps_its_mode_and_a_link_its_target() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "old").unwrap();
        set_mode(&path, 0o640);
        replace_shared(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(write_shared(&link, b"x").is_err() && write_shared(&path, b"x").is_err());
        replace_shared(&link, b"other").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
