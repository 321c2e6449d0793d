//! Faults of a file that should be a vault, or of the place for a new one; found by [`super::vault_file`].

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use keyvault_core::text::{looks_like_a_value, reason};

use crate::process::actor::User;

/// Why a file cannot be a vault, or a place cannot take one. Each names the path that it is about, which may be the
/// folder or a side file.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    #[error("No vault at {}.", path.display())]
    NotFound { path: PathBuf },
    /// Something is already there, where a new vault should be.
    #[error("{} already exists.", path.display())]
    Exists { path: PathBuf },
    #[error("{} is a symbolic link, which keyvault does not follow.", path.display())]
    Symlink { path: PathBuf },
    #[error("{} has {links} hard links; someone else may own another one.", path.display())]
    HardLink {
        /// The name by which it was reached.
        path: PathBuf,
        links: u64,
    },
    #[error("{} is a {kind}, not a vault.", path.display())]
    NotRegular { path: PathBuf, kind: FileKind },
    /// It belongs to somebody who is neither us nor root.
    #[error("{} belongs to {owner}, who could replace it at any time.", path.display())]
    WrongOwner { path: PathBuf, owner: User, us: User },
    #[error("Others can write to {} (mode {mode:04o}).", path.display())]
    WritableByOthers { path: PathBuf, mode: u32 },
    /// A rollback journal, which would rewrite the vault on mere opening. This vault never makes one.
    #[error("{} is next to the vault, and opening the vault would apply it.", path.display())]
    Journal { path: PathBuf },
    #[error("{} is empty and not a vault.", path.display())]
    Empty { path: PathBuf },
    /// The path leads elsewhere now than when it was checked.
    #[error("{} was replaced by another file during the command.", path.display())]
    Swapped { path: PathBuf },
    #[error("{}", PathError(path, source))]
    Io { path: PathBuf, source: io::Error },
}

/// A file that is not a regular one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    Folder,
    Fifo,
    Socket,
    Device,
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Folder => "folder",
            Self::Fifo => "named pipe",
            Self::Socket => "socket",
            Self::Device => "device",
        })
    }
}

/// The message for an operation on a path that the system refused.
#[derive(Debug)]
pub struct PathError<'e>(pub &'e Path, pub &'e io::Error);

impl PathError<'_> {
    /// Returns `true` if the path is missing and looks like a value that was given in its place. It is not repeated.
    #[must_use]
    pub fn hides_its_path(&self) -> bool {
        self.1.kind() == io::ErrorKind::NotFound && looks_like_a_value(&self.0.to_string_lossy())
    }
}

impl fmt::Display for PathError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.0.display();
        match self.1.kind() {
            _ if self.hides_its_path() => {
                f.write_str("No such file. Its name is not shown, because it looks like a value.")
            }
            io::ErrorKind::NotFound => write!(f, "{path} does not exist."),
            io::ErrorKind::IsADirectory => write!(f, "{path} is a folder."),
            io::ErrorKind::PermissionDenied => write!(f, "You are not permitted to open {path}."),
            _ => write!(f, "{path}: {}.", reason(self.1)),
        }
    }
}
