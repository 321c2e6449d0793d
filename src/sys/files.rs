//! Files that an attacker may have prepared, and files that nobody else may read.
//!
//! The vault is looked at through O_PATH descriptors before SQLite opens it: they neither block on a FIFO nor, when
//! closed, drop the POSIX locks that SQLite holds on the same file. After it is open the path is looked at again, so
//! that a folder which was exchanged in between is noticed.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, Stat};

/// Why a file is not opened.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    /// Nothing there.
    #[error("{0} not found")]
    NotFound(PathBuf),
    /// Something is there already.
    #[error("{0} exists")]
    Exists(PathBuf),
    /// A symbolic link where the file should be.
    #[error("{0} is a symbolic link")]
    Symlink(PathBuf),
    /// The file has more than one name.
    #[error("{path} has {links} hard links")]
    HardLink {
        /// The file.
        path: PathBuf,
        /// How many names it has.
        links: u64,
    },
    /// Not a regular file.
    #[error("{path} is a {kind}")]
    NotRegular {
        /// Where.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// A file without content.
    #[error("{0} is empty")]
    Empty(PathBuf),
    /// Owned by neither this user nor root.
    #[error("{path} belongs to user {owner}")]
    WrongOwner {
        /// File or folder.
        path: PathBuf,
        /// The owner's number.
        owner: u32,
    },
    /// Others may write it.
    #[error("{path} is writable by others ({mode:o})")]
    WritableByOthers {
        /// File or folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Whether it is the folder.
        folder: bool,
    },
    /// A rollback journal, which opening the vault would play back into it.
    #[error("{0} lies beside the vault")]
    Journal(PathBuf),
    /// The path leads elsewhere than a moment ago.
    #[error("{0} was exchanged while it was being opened")]
    Exchanged(PathBuf),
    /// The system says no.
    #[error("{path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
}

/// A vault file that may be opened.
#[derive(Debug)]
pub struct CheckedVault {
    /// Canonical folder, and the file's name.
    pub path: PathBuf,
    /// Files that others could read, and no longer can.
    pub tightened: Vec<PathBuf>,
    folder: OwnedFd,
    folder_id: FileId,
    file_id: FileId,
}

type FileId = (u64, u64);

impl CheckedVault {
    /// Whether path and folder still lead to what was checked.
    pub fn still_same(&self) -> Result<(), FileFault> {
        let exchanged = |_| FileFault::Exchanged(self.path.clone());
        let name = self.path.file_name().unwrap_or_default();
        let through_folder =
            rustix::fs::statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(exchanged)?;
        let through_path = rustix::fs::lstat(&self.path).map_err(exchanged)?;
        let folder = rustix::fs::stat(folder_of(&self.path)).map_err(exchanged)?;
        let same = id(&through_folder) == self.file_id
            && id(&through_path) == self.file_id
            && id(&folder) == self.folder_id;
        if same { Ok(()) } else { Err(FileFault::Exchanged(self.path.clone())) }
    }
}

/// Looks at a vault before it is opened, and takes from others the right to read it.
pub fn check_vault(path: &Path) -> Result<CheckedVault, FileFault> {
    let path = canonical(path)?;
    let folder = open_folder(folder_of(&path))?;
    let folder_stat = rustix::fs::fstat(&folder).map_err(|error| fault(folder_of(&path), error))?;
    check_owner_and_mode(folder_of(&path), &folder_stat, true)?;
    let mut tightened = Vec::new();
    let Some(stat) = check_file(&folder, &path, &mut tightened)? else {
        return Err(FileFault::NotFound(path));
    };
    if stat.st_size == 0 {
        return Err(FileFault::Empty(path));
    }
    let journal = with_suffix(&path, "-journal");
    if std::fs::symlink_metadata(&journal).is_ok() {
        return Err(FileFault::Journal(journal));
    }
    for suffix in ["-wal", "-shm"] {
        check_file(&folder, &with_suffix(&path, suffix), &mut tightened)?;
    }
    Ok(CheckedVault { path, tightened, folder, folder_id: id(&folder_stat), file_id: id(&stat) })
}

/// The canonical path for a new vault: folders are made as needed, for this user only, and nothing may lie there.
pub fn prepare_new(path: &Path) -> Result<PathBuf, FileFault> {
    let folder = folder_of(path);
    create_private_folder(folder).map_err(|source| FileFault::Io { path: folder.to_owned(), source })?;
    let path = canonical(path)?;
    let stat = rustix::fs::stat(folder_of(&path)).map_err(|error| fault(folder_of(&path), error))?;
    check_owner_and_mode(folder_of(&path), &stat, true)?;
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let beside = with_suffix(&path, suffix);
        if std::fs::symlink_metadata(&beside).is_ok() {
            return Err(FileFault::Exists(beside));
        }
    }
    Ok(path)
}

fn canonical(path: &Path) -> Result<PathBuf, FileFault> {
    let name =
        path.file_name().ok_or_else(|| FileFault::NotRegular { path: path.to_owned(), kind: "folder" })?;
    let folder = folder_of(path).canonicalize().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => FileFault::NotFound(path.to_owned()),
        _ => FileFault::Io { path: folder_of(path).to_owned(), source },
    })?;
    Ok(folder.join(name))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn open_folder(folder: &Path) -> Result<OwnedFd, FileFault> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(folder, flags, Mode::empty()).map_err(|error| fault(folder, error))
}

/// Looks at one file of the folder; `None` if there is none.
fn check_file(
    folder: &OwnedFd,
    path: &Path,
    tightened: &mut Vec<PathBuf>,
) -> Result<Option<Stat>, FileFault> {
    let name = path.file_name().unwrap_or_default();
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(folder, name, flags, Mode::empty()) {
        Ok(file) => file,
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(error) => return Err(fault(path, error)),
    };
    let stat = rustix::fs::fstat(&file).map_err(|error| fault(path, error))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {}
        FileType::Symlink => return Err(FileFault::Symlink(path.to_owned())),
        other => return Err(FileFault::NotRegular { path: path.to_owned(), kind: kind_name(other) }),
    }
    #[allow(clippy::useless_conversion, reason = "its width differs between systems")]
    let links = u64::from(stat.st_nlink);
    if links > 1 {
        return Err(FileFault::HardLink { path: path.to_owned(), links });
    }
    check_owner_and_mode(path, &stat, false)?;
    if stat.st_mode & 0o077 != 0 && tighten(file.as_fd(), name, folder) {
        tightened.push(path.to_owned());
    }
    Ok(Some(stat))
}

fn check_owner_and_mode(path: &Path, stat: &Stat, folder: bool) -> Result<(), FileFault> {
    let us = rustix::process::geteuid().as_raw();
    if stat.st_uid != us && stat.st_uid != 0 {
        return Err(FileFault::WrongOwner { path: path.to_owned(), owner: stat.st_uid });
    }
    if stat.st_mode & 0o022 != 0 {
        let mode = stat.st_mode & 0o7777;
        return Err(FileFault::WritableByOthers { path: path.to_owned(), mode, folder });
    }
    Ok(())
}

/// An O_PATH descriptor takes no fchmod; on Linux its name under /proc leads to the file that was looked at, and
/// elsewhere the name in the held folder does.
fn tighten(file: std::os::fd::BorrowedFd<'_>, name: &std::ffi::OsStr, folder: &OwnedFd) -> bool {
    use std::os::fd::AsRawFd;
    let through_proc = format!("/proc/self/fd/{}", file.as_raw_fd());
    std::fs::set_permissions(through_proc, std::fs::Permissions::from_mode(0o600)).is_ok()
        || rustix::fs::chmodat(folder, name, Mode::from_raw_mode(0o600), AtFlags::empty()).is_ok()
}

fn kind_name(kind: FileType) -> &'static str {
    match kind {
        FileType::Directory => "folder",
        FileType::Fifo => "named pipe",
        FileType::Socket => "socket",
        FileType::CharacterDevice | FileType::BlockDevice => "device",
        _ => "special file",
    }
}

fn id(stat: &Stat) -> FileId {
    (stat.st_dev, stat.st_ino)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn fault(path: &Path, error: rustix::io::Errno) -> FileFault {
    match error {
        rustix::io::Errno::NOENT => FileFault::NotFound(path.to_owned()),
        other => FileFault::Io { path: path.to_owned(), source: other.into() },
    }
}

// ── Private files ────────────────────────────────────────────────────────────────────────────────────────────────────

/// Makes a folder and its parents, 0700 whatever the umask; what is there stays as it is.
pub fn create_private_folder(folder: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// A new file for this user only; refuses to follow or replace anything. On the disk when this returns.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Replaces a file as a whole. Not synced: losing the last replacement in a power cut is the callers' to bear.
pub fn replace_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = with_suffix(path, &format!(".{}", std::process::id()));
    let _ = std::fs::remove_file(&draft);
    create_new(&draft)?.write_all(bytes)?;
    std::fs::rename(&draft, path)
}

fn create_new(path: &Path) -> io::Result<File> {
    let file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    // Against a umask that takes even the owner's rights.
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    Ok(file)
}

/// Makes a new name in a folder durable.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// Opens a file that holds a secret: a regular file, a pipe, a descriptor, a symlink to one. Says whether others may
/// read it, unless it lies in memory, as the secrets that Docker and Kubernetes mount do.
pub fn open_secret_file(path: &Path) -> io::Result<(File, bool)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let readable = metadata.is_file() && metadata.mode() & 0o077 != 0 && !in_memory(&file);
    Ok((file, readable))
}

#[cfg(target_os = "linux")]
fn in_memory(file: &File) -> bool {
    // statfs(2): TMPFS_MAGIC, RAMFS_MAGIC.
    rustix::fs::fstatfs(file).is_ok_and(|system| matches!(system.f_type, 0x0102_1994 | 0x8584_58f6))
}

#[cfg(not(target_os = "linux"))]
fn in_memory(_: &File) -> bool {
    false
}

/// A lock that the system drops with the process.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

impl FileLock {
    /// Waits until nobody else holds it.
    pub fn exclusive(path: &Path) -> io::Result<Self> {
        let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        loop {
            match rustix::fs::flock(&file, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(Self { _file: file }),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
