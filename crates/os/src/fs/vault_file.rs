//! Refuses files that must not be opened as a vault, and places where none may be made.
//!
//! `SQLite` opens by path, follows links, blocks on a FIFO and believes any journal it finds. So everything that could
//! make it read or write something else is looked at first: the kind of file, its owner, its mode, how many names it
//! has, the folder that holds it, and what lies beside it. A symlink in the *folder's* path is fine, as dotfile
//! managers make them; the path is made canonical once and used so from then on.
//!
//! The vault is looked at through `O_PATH` only. POSIX locks, which guard the database, belong to the process: closing
//! any other kind of descriptor of the same file would drop them. The `O_PATH` descriptor is kept, so that the inode
//! cannot be freed and its number given to another file before [`CheckedVault::still_same`] asks again.
//!
//! The folder must not be writable by others, sticky or not: in a sticky one others could still plant the side files.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, chmodat, fstat, lstat, openat, statat};
use rustix::process::geteuid;

pub use super::fault::{FileFault, FileKind};
use crate::process::actor::User;

/// A vault file that was found fit to be opened. Only [`check_vault`] makes one.
#[derive(Debug)]
pub struct CheckedVault {
    path: PathBuf,
    tightened: bool,
    folder: Seen,
    file: Seen,
}

impl CheckedVault {
    /// The canonical folder, and the name in it: what is to be opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns `true` if the file or one beside it was readable by others, and is no longer.
    #[must_use]
    pub fn tightened(&self) -> bool {
        self.tightened
    }

    /// Lets go of the file without closing it: the process is about to become another program, and exec(2) closes the
    /// descriptors.
    #[allow(clippy::mem_forget, reason = "the process image that owns this memory is about to be replaced")]
    pub fn leave_open(self) {
        std::mem::forget(self);
    }

    /// Returns `true` if both are one file, under whatever names.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        identity(&self.file.facts) == identity(&other.file.facts)
    }

    /// Returns `true` if the path still leads to the same folder and file. To be asked once the database has been
    /// opened: then what was opened is what was checked.
    pub fn still_same(&self) -> Result<(), FileFault> {
        let folder_path = self.path.parent().unwrap_or(Path::new("/"));
        let same = |path: &Path, seen: &Seen| match lstat(path).map_err(io::Error::from) {
            Ok(now) if identity(&now) == identity(&seen.facts) => Ok(()),
            Ok(_) => Err(FileFault::Swapped { path: path.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(FileFault::Swapped { path: path.to_owned() })
            }
            Err(error) => Err(io_fault(path, error)),
        };
        same(folder_path, &self.folder)?;
        same(&self.path, &self.file)
    }
}

/// Looks at the vault at `path`, at its folder and at what lies beside it, without opening or blocking.
///
/// A file that others can read is made private (0600), if that is all that is wrong. Where that is not possible, because
/// the file system is read-only or root owns the file, it stays as it is.
pub fn check_vault(path: &Path) -> Result<CheckedVault, FileFault> {
    check(path, tighten)
}

/// [`check_vault`] without changing the mode of a file that others can read.
pub fn check_vault_untouched(path: &Path) -> Result<CheckedVault, FileFault> {
    check(path, |_, _, _| Ok(false))
}

fn check(
    path: &Path,
    tighten: impl Fn(&Seen, &Path, &OsStr) -> Result<bool, FileFault>,
) -> Result<CheckedVault, FileFault> {
    let (folder_path, name, folder) = locate_and_check(path)?;
    let path = folder_path.join(&name);

    let mut file = look(&folder, &path, &name).map_err(|error| io_fault(&path, error))?;
    settle(&mut file, &path);
    let mut tightened = check_file(&file.facts, &path)? && tighten(&folder, &path, &name)?;
    if file.facts.st_size == 0 {
        return Err(FileFault::Empty { path });
    }

    if let Some(journal) = beside(&path, "-journal")? {
        return Err(FileFault::Journal { path: journal });
    }
    for suffix in ["-wal", "-shm"] {
        let side = with_suffix(&path, suffix);
        let side_name = with_suffix(Path::new(&name), suffix).into_os_string();
        match look_once(&folder, &side, &side_name) {
            Ok(facts) => tightened |= check_file(&facts, &side)? && tighten(&folder, &side, &side_name)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_fault(&side, error)),
        }
    }
    Ok(CheckedVault { path, tightened, folder, file })
}

/// Makes the folders that a new vault at `path` needs, 0700 whatever the umask, and gives its canonical path.
///
/// Refuses if anything at all has that name, or a name that `SQLite` would take for the new file's journals. The file
/// itself is the caller's to make, with [`super::private::write_private`], before the database opens it: the database
/// would give it the umask's mode, and its side files the same.
pub fn prepare_new(path: &Path) -> Result<PathBuf, FileFault> {
    let folder = folder_of(path);
    if let Some(uid) = super::untrusted::owner_beside_root(folder) {
        return Err(wrong_owner(folder, uid));
    }
    // The deepest that exists comes last.
    let missing: Vec<&Path> = folder.ancestors().take_while(|part| is_missing(part)).collect();
    for part in missing.into_iter().rev() {
        match DirBuilder::new().mode(0o700).create(part) {
            // Its name must outlive a power cut as the vault's does.
            Ok(()) => fs::set_permissions(part, fs::Permissions::from_mode(0o700))
                .and_then(|()| super::private::sync_folder_of(part))
                .map_err(|error| io_fault(part, error))?,
            // Somebody else was quicker; the checks below decide.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io_fault(part, error)),
        }
    }
    let (folder_path, name) = locate(path)?;
    check_folder(&folder_path)?;
    let path = folder_path.join(name);
    for suffix in ["", "-wal", "-shm"] {
        if let Some(path) = beside(&path, suffix)? {
            return Err(FileFault::Exists { path });
        }
    }
    match beside(&path, "-journal")? {
        Some(path) => Err(FileFault::Journal { path }),
        None => Ok(path),
    }
}

/// A file or folder as it was found, held so that its inode number stays its own.
#[derive(Debug)]
struct Seen {
    facts: Stat,
    held: Option<File>,
}

/// Reads a file with two names again for a while. Where a file system has no rename that replaces nothing, a new vault has two
/// for a moment, and FUSE may go on telling of both for a second after that.
fn settle(file: &mut Seen, path: &Path) {
    const PAUSE: Duration = Duration::from_millis(10);
    const MOST: u32 = 100;
    if FileType::from_raw_mode(file.facts.st_mode) != FileType::RegularFile {
        return;
    }
    for _ in 0..MOST {
        if file.facts.st_nlink != 2 {
            return;
        }
        std::thread::sleep(PAUSE);
        #[cfg(target_os = "linux")]
        if let Some(held) = &file.held
            && let Ok(now) = rustix::fs::statx(
                held,
                "",
                AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC,
                rustix::fs::StatxFlags::NLINK,
            )
        {
            file.facts.st_nlink = now.stx_nlink.into();
            continue;
        }
        // By its name, if that still leads to it.
        match lstat(path) {
            Ok(now) if identity(&now) == identity(&file.facts) => file.facts.st_nlink = now.st_nlink,
            _ => return,
        }
    }
}

/// An `O_PATH` descriptor where there is such a thing; it neither opens the file nor takes part in its locks.
#[cfg(target_os = "linux")]
fn look(folder: &Seen, _path: &Path, name: &OsStr) -> io::Result<Seen> {
    let held = match &folder.held {
        Some(folder) => File::from(openat(folder, name, LOOK.union(OFlags::NOFOLLOW), Mode::empty())?),
        None => return Err(io::ErrorKind::NotFound.into()),
    };
    Ok(Seen { facts: fstat(&held)?, held: Some(held) })
}

/// Facts of what nothing needs to hold, as a link's own if it is one.
#[cfg(target_os = "linux")]
fn look_once(folder: &Seen, _path: &Path, name: &OsStr) -> io::Result<Stat> {
    match &folder.held {
        Some(folder) => Ok(statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?),
        None => Err(io::ErrorKind::NotFound.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn look_once(_folder: &Seen, path: &Path, _name: &OsStr) -> io::Result<Stat> {
    Ok(lstat(path)?)
}

#[cfg(not(target_os = "linux"))]
fn look(_folder: &Seen, path: &Path, _name: &OsStr) -> io::Result<Seen> {
    Ok(Seen { facts: lstat(path)?, held: None })
}

#[cfg(target_os = "linux")]
const LOOK: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const LOOK: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC);

fn check_folder(path: &Path) -> Result<Seen, FileFault> {
    let seen = hold_folder(path).map_err(|error| io_fault(path, error))?;
    check_access(&seen.facts, path)?;
    Ok(seen)
}

fn hold_folder(path: &Path) -> io::Result<Seen> {
    let held = File::from(rustix::fs::open(path, LOOK.union(OFlags::DIRECTORY), Mode::empty())?);
    Ok(Seen { facts: fstat(&held)?, held: Some(held) })
}

/// Refuses what must not be opened; says whether others may still read it.
fn check_file(facts: &Stat, path: &Path) -> Result<bool, FileFault> {
    let kind = match FileType::from_raw_mode(facts.st_mode) {
        FileType::RegularFile => None,
        FileType::Symlink => return Err(FileFault::Symlink { path: path.to_owned() }),
        FileType::Directory => Some(FileKind::Folder),
        FileType::Fifo => Some(FileKind::Fifo),
        FileType::Socket => Some(FileKind::Socket),
        _ => Some(FileKind::Device),
    };
    if let Some(kind) = kind {
        return Err(FileFault::NotRegular { path: path.to_owned(), kind });
    }
    // A side file that is being removed right now has no name left.
    #[allow(clippy::useless_conversion, reason = "its width differs between systems")]
    let links = u64::from(facts.st_nlink);
    if links > 1 {
        return Err(FileFault::HardLink { path: path.to_owned(), links });
    }
    check_access(facts, path)?;
    Ok(facts.st_mode & 0o077 != 0)
}

fn check_access(facts: &Stat, path: &Path) -> Result<(), FileFault> {
    let uid = facts.st_uid;
    if uid != 0 && uid != geteuid().as_raw() {
        return Err(wrong_owner(path, uid));
    }
    #[allow(clippy::useless_conversion, reason = "its width differs between systems")]
    let mode = u32::from(facts.st_mode) & 0o7777;
    if mode & 0o022 != 0 {
        return Err(FileFault::WritableByOthers { path: path.to_owned(), mode });
    }
    Ok(())
}

fn wrong_owner(path: &Path, uid: u32) -> FileFault {
    FileFault::WrongOwner { path: path.to_owned(), owner: User::of(uid), us: User::effective() }
}

/// Makes a checked file private. By name, as an `O_PATH` descriptor cannot be used for it; in a folder that only we
/// and root can write, nobody else can have put another file under the name since.
fn tighten(folder: &Seen, path: &Path, name: &OsStr) -> Result<bool, FileFault> {
    use rustix::io::Errno;
    let Some(folder) = &folder.held else { return Ok(false) };
    match chmodat(folder, name, Mode::RUSR | Mode::WUSR, AtFlags::empty()) {
        // Some file systems without modes accept a new one, and keep the old.
        Ok(()) => Ok(lstat(path)
            .is_ok_and(|facts| !Mode::from_raw_mode(facts.st_mode).intersects(Mode::RWXG | Mode::RWXO))),
        Err(Errno::ROFS | Errno::PERM | Errno::NOENT) => Ok(false),
        Err(error) => Err(io_fault(path, error.into())),
    }
}

/// The canonical folder, the name in it, and the folder as it was found fit. Where the kernel says what the folder that
/// is held is called, its path is not followed part by part; [`CheckedVault::still_same`] follows it once.
fn locate_and_check(path: &Path) -> Result<(PathBuf, OsString, Seen), FileFault> {
    #[cfg(target_os = "linux")]
    if let Some(name) = path.file_name()
        && let Ok(seen) = hold_folder(folder_of(path))
        && let Some(canonical) = seen.held.as_ref().and_then(canonical_path)
    {
        check_access(&seen.facts, &canonical)?;
        return Ok((canonical, name.to_owned(), seen));
    }
    let (canonical, name) = locate(path)?;
    let seen = check_folder(&canonical)?;
    Ok((canonical, name, seen))
}

/// The path of an open folder by `/proc/self/fd`; none where there is no `/proc`, or where the folder has no path.
#[cfg(target_os = "linux")]
fn canonical_path(folder: &File) -> Option<PathBuf> {
    use std::os::fd::AsRawFd;
    let path = fs::read_link(format!("/proc/self/fd/{}", folder.as_raw_fd())).ok()?;
    path.is_absolute().then_some(path)
}

/// The canonical folder, and the name in it.
fn locate(path: &Path) -> Result<(PathBuf, OsString), FileFault> {
    let Some(name) = path.file_name() else {
        return Err(FileFault::NotRegular { path: path.to_owned(), kind: FileKind::Folder });
    };
    let folder = folder_of(path);
    let canonical = folder.canonicalize().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => FileFault::NotFound { path: path.to_owned() },
        _ => io_fault(folder, error),
    })?;
    Ok((canonical, name.to_owned()))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        None => Path::new("/"),
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
    }
}

fn is_missing(path: &Path) -> bool {
    !path.as_os_str().is_empty()
        && fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// The path with the suffix, if anything, even a link that leads nowhere, has that name.
fn beside(path: &Path, suffix: &str) -> Result<Option<PathBuf>, FileFault> {
    let side = with_suffix(path, suffix);
    match fs::symlink_metadata(&side) {
        Ok(_) => Ok(Some(side)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_fault(&side, error)),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut whole = path.as_os_str().to_owned();
    whole.push(suffix);
    whole.into()
}

#[allow(clippy::unnecessary_cast, clippy::cast_sign_loss, reason = "their types differ between systems")]
fn identity(facts: &Stat) -> (u64, u64) {
    (facts.st_dev as u64, facts.st_ino as u64)
}

fn io_fault(path: &Path, source: io::Error) -> FileFault {
    let path = path.to_owned();
    if source.kind() == io::ErrorKind::NotFound {
        FileFault::NotFound { path }
    } else {
        FileFault::Io { path, source }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rustix::fs::{CWD, FileType, mknodat};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use tempfile::TempDir;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    fn vault() -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("vault.db");
        fs::write(&path, "x").unwrap();
        set_mode(&path, 0o600);
        (folder, path)
    }

    #[test]
    fn a_private_file_passes_and_through_a_symlinked_folder_too() {
        let (folder, path) = vault();
        let checked = check_vault(&path).unwrap();
        assert!(checked.path() == path && !checked.tightened() && checked.still_same().is_ok());
        let outside = tempfile::tempdir().unwrap();
        symlink(folder.path(), outside.path().join("link")).unwrap();
        assert_eq!(check_vault(&outside.path().join("link/vault.db")).unwrap().path(), path);
    }

    #[test]
    fn case_10_other_kinds_are_refused_without_blocking() {
        let (_folder, path) = vault();
        fs::write(&path, "").unwrap();
        assert!(matches!(check_vault(&path), Err(FileFault::Empty { .. })));
        fs::remove_file(&path).unwrap();
        assert!(matches!(check_vault(&path), Err(FileFault::NotFound { .. })));
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert!(matches!(check_vault(&path), Err(FileFault::NotRegular { kind: FileKind::Fifo, .. })));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(check_vault(&path), Err(FileFault::NotRegular { kind: FileKind::Folder, .. })));
        assert!(matches!(check_vault(Path::new("/")), Err(FileFault::NotRegular { .. })));
        let device = check_vault(Path::new("/dev/null"));
        assert!(matches!(device, Err(FileFault::NotRegular { .. } | FileFault::WritableByOthers { .. })));
    }

    #[test]
    fn case_11_writable_by_others_is_refused_and_readable_tightened() {
        let (folder, path) = vault();
        set_mode(&path, 0o620);
        assert!(matches!(check_vault(&path), Err(FileFault::WritableByOthers { mode: 0o620, .. })));
        set_mode(&path, 0o644);
        assert!(check_vault(&path).unwrap().tightened());
        assert_eq!(mode(&path), 0o600);
        let side = with_suffix(&path, "-wal");
        fs::write(&side, "").unwrap();
        set_mode(&side, 0o640);
        assert!(check_vault(&path).unwrap().tightened());
        assert_eq!(mode(&side), 0o600);
        set_mode(folder.path(), 0o1777);
        assert!(matches!(check_vault(&path), Err(FileFault::WritableByOthers { mode: 0o1777, .. })));
    }

    #[test]
    fn case_13_links_and_swaps_are_refused() {
        let (folder, path) = vault();
        let checked = check_vault(&path).unwrap();
        let other = folder.path().join("other");
        fs::hard_link(&path, &other).unwrap();
        assert!(matches!(check_vault(&path), Err(FileFault::HardLink { links: 2, .. })));
        fs::remove_file(&other).unwrap();
        fs::hard_link(&path, &other).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(matches!(checked.still_same(), Err(FileFault::Swapped { .. })));
        symlink(&other, &path).unwrap();
        assert!(matches!(check_vault(&path), Err(FileFault::Symlink { .. })));
        assert!(matches!(checked.still_same(), Err(FileFault::Swapped { .. })));
    }

    /// Another process makes the vault on a file system that has no rename without replacing.
    #[test]
    fn a_second_name_that_is_about_to_go_is_waited_for() {
        let (folder, path) = vault();
        let other = folder.path().join("vault.db.new-0123456789abcdef");
        fs::hard_link(&path, &other).unwrap();
        let remove = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            fs::remove_file(other).unwrap();
        });
        assert!(check_vault(&path).is_ok());
        remove.join().unwrap();
    }

    #[test]
    fn case_8_a_journal_and_linked_side_files_are_refused() {
        let (_folder, path) = vault();
        symlink("nowhere", with_suffix(&path, "-shm")).unwrap();
        assert!(matches!(check_vault(&path), Err(FileFault::Symlink { .. })));
        symlink("nowhere", with_suffix(&path, "-journal")).unwrap();
        assert!(matches!(check_vault(&path), Err(FileFault::Journal { .. })));
    }

    #[test]
    fn case_12_new_folders_are_private_and_nothing_is_overwritten() {
        let (folder, path) = vault();
        let new = prepare_new(&folder.path().join("a/b/new.db")).unwrap();
        assert!(new.is_absolute() && !new.exists());
        assert_eq!([mode(&folder.path().join("a")), mode(&folder.path().join("a/b"))], [0o700, 0o700]);
        assert!(matches!(prepare_new(&path), Err(FileFault::Exists { .. })));
        symlink("nowhere", &new).unwrap();
        assert!(matches!(prepare_new(&new), Err(FileFault::Exists { .. })));
        set_mode(folder.path(), 0o777);
        assert!(matches!(
            prepare_new(&folder.path().join("x.db")),
            Err(FileFault::WritableByOthers { mode: 0o777, .. })
        ));
    }
}
