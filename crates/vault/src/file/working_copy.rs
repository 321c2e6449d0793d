//! A vault under a working name, until it is whole and is moved into place.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::store::StoreError;
use keyvault_os::fs::private;

use super::open::World;
use crate::error::VaultError;

/// Suffixes of SQLite's side files.
const SIDES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// The working file; whatever goes wrong, it and its side files go away again.
pub(crate) struct WorkingCopy(pub(crate) PathBuf);

impl WorkingCopy {
    pub(crate) fn beside(path: &Path, world: &World<'_>) -> Result<Self, VaultError> {
        let mut random = [0; 8];
        world.rng.fill(&mut random)?;
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".new-{}", data_encoding::HEXLOWER.encode(&random)));
        let working = Self(PathBuf::from(name));
        sweep(path);
        private::write_private(&working.0, &[]).map_err(|source| match source.kind() {
            // The folders that the kernel shows, such as /proc, say that there is no such file.
            std::io::ErrorKind::NotFound if folder_of(path).is_dir() => {
                io(path, std::io::Error::other("no file can be made in that folder"))
            }
            // The folder is missing or closed, not the file that is to be made.
            std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied => {
                io(folder_of(path), source)
            }
            _ => io(path, source),
        })?;
        Ok(working)
    }

    /// Fails if something is there by now, which a plain rename would replace.
    ///
    /// File systems without such a rename, and container hosts that refuse the call because it is newer than they are, get a link under the second name and then lose the first; a crash in between
    /// leaves both, and the vault is refused until one of them is removed.
    pub(crate) fn move_to(&self, path: &Path) -> Result<(), VaultError> {
        let failed = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::AlreadyExists => VaultError::VaultExists { path: path.to_owned() },
            _ => io(path, source),
        };
        match renameat_with(CWD, &self.0, CWD, path, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP | Errno::PERM) => {
                std::fs::hard_link(&self.0, path).map_err(failed)?;
                std::fs::remove_file(&self.0).map_err(|source| io(&self.0, source))?;
            }
            renamed => renamed.map_err(|errno| failed(errno.into()))?,
        }
        // The file is there by now; only whether its name outlives a power cut is open.
        private::sync_folder_of(path)
            .map_err(|source| VaultError::Store(StoreError::Undecided(source.to_string())))
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Returns `true` if `found` is a name that `WorkingCopy::beside` makes, or the name of such a copy's side file. A file
/// that a user named `vault.db.new-laptop` does not match.
fn is_working_copy_of(found: &str, name: &str) -> bool {
    let Some(random) = found.strip_prefix(name).and_then(|rest| rest.strip_prefix(".new-")) else {
        return false;
    };
    let random = SIDES.iter().find_map(|side| random.strip_suffix(side)).unwrap_or(random);
    random.len() == 16 && random.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Removes the working files of commands that were killed. One that is an hour old belongs to nobody any more.
fn sweep(path: &Path) {
    const ABANDONED: Duration = Duration::from_secs(3600);
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return };
    let Ok(entries) = std::fs::read_dir(folder_of(path)) else { return };
    for entry in entries.filter_map(Result::ok) {
        let ours = entry.file_name().to_str().is_some_and(|found| is_working_copy_of(found, name));
        let age = entry.metadata().and_then(|facts| facts.modified()).map(|at| at.elapsed());
        if ours && matches!(age, Ok(Ok(age)) if age > ABANDONED) {
            // A leftover takes space; failing to remove it is no reason to fail.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

impl Drop for WorkingCopy {
    fn drop(&mut self) {
        for side in [""].iter().chain(&SIDES) {
            let mut name = self.0.as_os_str().to_owned();
            name.push(side);
            // Gone already, or never made.
            let _ = std::fs::remove_file(name);
        }
    }
}

fn io(path: &Path, source: std::io::Error) -> VaultError {
    VaultError::Io { path: path.to_owned(), source }
}
