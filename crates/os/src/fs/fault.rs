//! Faults of a file that should be a vault, or of the place for a new one; found by [`super::vault_file`].

use std::io;
use std::path::PathBuf;

use crate::process::actor::User;

/// Why a file cannot be a vault, or a place cannot take one. Each names the path that it is about, which may be the
/// folder or a side file.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    #[error("{path:?} does not exist")]
    NotFound { path: PathBuf },
    /// Something is already there, where a new vault should be.
    #[error("{path:?} exists")]
    Exists { path: PathBuf },
    #[error("{path:?} is a symbolic link")]
    Symlink { path: PathBuf },
    /// More than one name leads to the file.
    #[error("{path:?} has {links} names")]
    HardLink {
        /// The name by which it was reached.
        path: PathBuf,
        links: u64,
    },
    #[error("{path:?} is not a file: {kind:?}")]
    NotRegular { path: PathBuf, kind: FileKind },
    /// It belongs to somebody who is neither us nor root.
    #[error("{path:?} belongs to {owner}")]
    WrongOwner { path: PathBuf, owner: User, us: User },
    /// Its group or everybody may write it.
    #[error("{path:?} is writable by others: {mode:o}")]
    WritableByOthers { path: PathBuf, mode: u32 },
    /// A rollback journal, which would rewrite the vault on mere opening. This vault never makes one.
    #[error("{path:?} lies beside the vault")]
    Journal { path: PathBuf },
    #[error("{path:?} is empty")]
    Empty { path: PathBuf },
    /// The path leads elsewhere now than when it was checked.
    #[error("{path:?} was replaced while it was opened")]
    Swapped { path: PathBuf },
    #[error("{path:?}")]
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
